"""A stage with the proxy in it: agent -> proxy -> canary, and the collector that the agent reports to."""
import json
import pathlib
import subprocess
import sys
import time

import compare
import lab as labs

HERE = pathlib.Path(__file__).resolve().parent


class Stage:
    """Parts come up in `start` and go in `end`, in the order in which calls flow; everything lies in one folder."""

    def __init__(self, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, f"local/{name}"
        self.lab = labs.Lab(folder)
        self.truth_file, self.executions_file = folder / "truth", folder / "executions"
        self.agent = None

    def start(self, doors, settings, canary_words=(), rubric=None):
        """Collector, canary and proxy; doors are triples of name, kind and scheme."""
        name = self.name.split("/")[1]
        self.lab.make_keys(name)
        self.lab.declare(name, rubric=rubric)
        self.lab.serve()
        self.canary_port = labs.free_port()
        self.canary = self.lab.start("canary", labs.CANARY, "--listen", f"127.0.0.1:{self.canary_port}",
                                     "--log", self.executions_file, *canary_words)
        labs.wait_until(lambda: labs.listens(self.canary_port), 20, "the canary listens")
        self.ports = {door: labs.free_port() for door, _, _ in doors}
        self.urls = {door: f"{scheme}://127.0.0.1:{self.ports[door]}/mcp" for door, _, scheme in doors}
        self.certify()
        settings = {**settings, "truth": str(self.truth_file), "upstream": self.canary_port,
                    "certificate": str(self.certificate), "key": str(self.folder / "key.pem"),
                    "doors": [{"name": door, "kind": kind, "port": self.ports[door], "tls": scheme == "https"}
                              for door, kind, scheme in doors]}
        path = self.folder / "proxy.json"
        path.write_text(json.dumps(settings))
        self.proxy = self.lab.start("proxy", sys.executable, HERE / "proxy.py", path)
        labs.wait_until(lambda: all(map(labs.listens, self.ports.values())), 20, "the proxy listens")

    def start_agent(self, targets, probes):
        keys = self.lab.folder / "keys"
        cluster, namespace = self.name.split("/")
        path = self.folder / "agent.yaml"
        path.write_text(json.dumps({  # JSON is YAML
            "collector": {"endpoint": f"tcp://127.0.0.1:{self.lab.port}", "server_key_file": str(keys / "server.pub"),
                          "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")},
            "stage": {"cluster": cluster, "namespace": namespace, "node": namespace},
            "kube": {"enabled": False}, "spool": {"dir": str(self.folder / "spool")},
            "max_in_flight": 4000, "max_rate": 0, "targets": targets, "probes": probes}))
        self.agent = self.lab.start("agent", labs.AGENT, "--config", path)

    def certify(self):
        """A certificate for the doors with TLS, which is its own CA."""
        self.certificate = self.folder / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=truth", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                        self.folder / "key.pem", "-out", self.certificate], check=True, capture_output=True, timeout=30)

    def end_calls(self):
        """Agent, proxy and canary end in order, so that each has written what it knows."""
        assert self.agent.end(30) == 0, self.agent.said()
        assert self.proxy.end() == 0, self.proxy.said()
        assert self.canary.end() == 0, self.canary.said()

    def executions(self):
        return [json.loads(line) for line in self.executions_file.read_text().splitlines()]

    def seen(self):
        schema = labs.load_schema()
        return compare.Seen(self.lab.records(self), lambda v: schema.Outcome.Name(v).removeprefix("OUTCOME_"))


def cpu_seconds(process):
    """What a living process has used so far."""
    fields = pathlib.Path(f"/proc/{process.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def settle(seconds):
    """Lets calls that are open come to their end; time itself is what is waited for."""
    time.sleep(seconds)
