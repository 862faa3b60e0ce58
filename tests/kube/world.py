"""The stage of the test: API server, proxy, collector and agents, and what a case does with them."""
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import churn as churns  # noqa: E402
import control as controls  # noqa: E402
import lab as labs  # noqa: E402
import picture as pictures  # noqa: E402
import apiproxy as proxies  # noqa: E402

STAGE = "kube"
SETTLE = 90  # seconds until the agent's picture is the cluster's again: its longest pause is a minute


class Wrong(Exception):
    """What must not be, as lines."""


def memory(pid, row):
    """KiB of a row of /proc/PID/status."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(row + ":")))


class World:
    def __init__(self, folder, doors=("a",), lease="", streaming=False):
        folder.mkdir(parents=True)
        self.folder, self.lease, self.streaming = folder, lease, streaming
        self.lab = labs.Lab(folder)
        self.agents = {}
        try:
            self.build(doors)
        except BaseException:
            self.lab.tell()
            self.lab.close()
            raise

    def build(self, doors):
        self.control = controls.Control(self.lab, STAGE)
        self.control.prepare(self.lease)
        self.lab.make_keys(STAGE)
        self.lab.declare(STAGE)
        self.lab.serve()
        self.certificate = self.certify("right")
        self.proxy = proxies.Proxy(controls.ADDRESS, self.control.pki / "ca.crt", self.certificate, doors,
                                   self.streaming)
        self.proxy.contexts["wrong"] = self.proxy.serving(self.certify("wrong"))
        self.proxy.start()
        self.churn = churns.Churn(self.control)
        self.seen = pictures.Seen(labs.load_schema())
        self.token_file, self.tokens = self.folder / "token", 0
        self.rotate("token-0")

    def certify(self, name):
        """A certificate that is its own CA."""
        path = self.folder / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=kube-test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                        path.with_suffix(".key"), "-out", path], check=True, capture_output=True, timeout=30)
        return path

    def rotate(self, name):
        """Another token, as the kubelet does it: in one step."""
        self.token = self.control.make_token(name)
        fresh = self.token_file.with_suffix(".new")
        fresh.write_text(self.token)
        fresh.rename(self.token_file)

    def start_agent(self, door="a", node=churns.NODE, **kube):
        keys = self.folder / "keys"
        path = self.folder / f"agent-{door}.yaml"
        path.write_text(json.dumps({  # JSON is YAML
            "collector": {"endpoint": f"tcp://127.0.0.1:{self.lab.port}", "server_key_file": str(keys / "server.pub"),
                          "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")},
            "stage": {"cluster": "local", "namespace": STAGE, "node": node},
            "kube": {"api": f"https://127.0.0.1:{self.proxy.ports[door]}", "token_file": str(self.token_file),
                     "ca_file": str(self.certificate), "lease": self.lease, "resources": ["widgets.example.com"],
                     **kube},
            "spool": {"dir": str(self.folder / f"spool-{door}")}}))
        self.agents[door] = self.lab.start(f"agent-{door}", labs.AGENT, "--config", path)
        return self.agents[door]

    def renew(self):
        """Another lifetime of the agent, of whose past nothing counts."""
        self.agents["a"].kill()
        self.seen.forget()
        self.start_agent()
        self.settle()

    # ---- what is seen

    def look(self):
        """Reads on in the store."""
        with self.lab.rows(live=True) as db:
            self.seen.read(db, f"local/{STAGE}")
        return self.seen

    def differences(self, items=None):
        told = pictures.picture(self.look())
        return pictures.differences(told, pictures.truth(items or self.control.items(), churns.NODE))

    def settled(self):
        """True when every write of which something can be told was told, and the pictures are one."""
        return not self.differences()

    def settle(self, bound=SETTLE):
        """Until the pictures are one; how long that took."""
        begun = time.monotonic()
        while lines := self.differences():
            if time.monotonic() > begun + bound:
                raise Wrong(f"after {bound} s the agent's picture is not the cluster's: " + "; ".join(lines[:5]))
            assert self.agents["a"].is_alive(), "the agent ended: " + self.agents["a"].said()[-300:]
            time.sleep(0.3)
        return time.monotonic() - begun

    # ---- memory

    def reset_peak(self):
        pid = self.agents["a"].popen.pid
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        return memory(pid, "VmRSS")

    def peak(self):
        pid = self.agents["a"].popen.pid
        return memory(pid, "VmHWM"), memory(pid, "VmRSS")

    def close(self):
        self.proxy.close()
        self.lab.close()
