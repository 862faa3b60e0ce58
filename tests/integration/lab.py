"""A small pilot on loopback: collector, agents, gateways (HAProxy) and canaries as processes of their own.

Used by the tests of this folder through the fixture `lab` (conftest.py). The programs come from
PILOTGATE_BUILD (default: build/ in the tree's top). Everything lies in one folder; what was started is
ended, by its own number, when the lab is closed. Every wait is for a condition and has a bound.
"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import blocks

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PILOTGATE_BUILD", TOP / "build"))
PILOTGATE = BUILD / "collector" / "pilotgate"
AGENT = BUILD / "agent" / "pilotgate-agent"
CANARY = BUILD / "tools" / "pilotgate-canary"
GATEWAY = TOP / "tests" / "demo" / "quick-gateway.cfg"
RELOAD = TOP / "tools" / "lib" / "reload-gateway"

PLAIN = "echo,hold,whoami"
ADDED = PLAIN + ",sum"
HARMFUL = "hard-stop-after 1s"
CLI_BOUND = 60

# Small n, short windows: 59 clean units bound a drop rate of 5 % at 95 %. longest_call is the probes' timeout.
RUBRIC = {"max_drop_rate": 0.05, "longest_call": "6s", "keep_alive": "1s", "merge_gap": "2s"}


def wait_until(condition, bound, what):
    """The condition's first true value; fails when that takes longer than bound seconds."""
    end = time.monotonic() + bound
    while not (value := condition()):
        assert time.monotonic() < end, f"gave up after {bound} s: {what}"
        time.sleep(0.05)
    return value


def free_port():
    """A port that nobody listens on, below the range from which connections get theirs."""
    while True:
        free_port.next += 1
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", free_port.next))
            return free_port.next


# Tests that run side by side (pytest-xdist names its workers gw0, gw1 ...) have ranges of their own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
free_port.next = 20000 + 2000 * int(WORKER[2:]) if WORKER else 18000 + os.getpid() % 10000


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


# What is started ends with whoever started it, also with a worker of pytest-xdist that is killed.
WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"]


def run(*command, bound=CLI_BOUND, env=None):
    """A command to its end, with what it said."""
    return subprocess.run(WITH_US + [str(word) for word in command], capture_output=True, text=True, timeout=bound,
                          env=None if env is None else {**os.environ, **env}, check=False)


def one_line(done, status=2):
    """The one line on stderr with which a command ended."""
    assert done.returncode == status, done
    assert done.stdout == "", done
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    return done.stderr.rstrip("\n")


class Stalls(threading.Thread):
    """Notices when the whole machine stands still, as virtual ones do; for tests of what happens each second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest, self.over = 0, threading.Event()

    def run(self):
        before = time.monotonic()
        while not self.over.wait(0.1):
            now = time.monotonic()
            self.longest, before = max(self.longest, now - before - 0.1), now


class Process:
    """A program that runs until it is ended; what it says is in `log`."""

    def __init__(self, folder, name, *command, env=None):
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(WITH_US + [str(word) for word in command], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, env={**os.environ, **(env or {})})

    def is_alive(self):
        return self.popen.poll() is None

    def said(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        """As kill -9, and waits for the end."""
        self.popen.kill()
        return self.popen.wait(10)

    def end(self, bound=15):
        """By SIGTERM; the exit status."""
        if self.is_alive():
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(bound)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {bound} s of SIGTERM") from None


class Stage:
    """One stage: a canary, a gateway before it, and the configuration of its agent."""

    def __init__(self, lab, name, load, extra, hold, node):
        self.lab, self.name, self.extra, self.node = lab, f"local/{name}", extra, node or name
        self.folder = lab.folder / name
        self.folder.mkdir()
        self.canary_port, self.port, self.admin = free_port(), free_port(), free_port()
        self.agent = self.gateway = None
        self.config = self.agent_config(load, hold)
        self.canary = lab.start(f"{name}-canary", CANARY, "--listen", f"127.0.0.1:{self.canary_port}",
                                "--tools-header", "X-Canary-Tools", "--log", self.folder / "executions")
        self.start_gateway()
        wait_until(lambda: listens(self.canary_port) and listens(self.port), 20, f"gateway and canary of {name}")

    def start_gateway(self):
        self.gateway_pid, self.gateway_config = self.folder / "gateway.pid", self.folder / "gateway.cfg"
        self.gateway_config.write_text(self.configuration(PLAIN).read_text())
        self.gateway = self.lab.start(f"{self.folder.name}-gateway", "haproxy", "-W", "-f", self.gateway_config,
                                      "-p", self.gateway_pid)

    def configuration(self, tools):
        """The demo's gateway with these tools; the harmful variant has one line more."""
        text = GATEWAY.read_text()
        for mark, value in (("ADMIN", self.admin), ("GATEWAY", self.port), ("CANARY", self.canary_port),
                            ("TOOLS", tools), ("EXTRA", self.extra)):
            text = text.replace(f"@{mark}@", str(value))
        path = self.folder / f"{tools.count(',')}.cfg"
        path.write_text(text)
        return path

    def reload(self, tools):
        """The command that gives the gateway these tools."""
        return [str(RELOAD), str(self.gateway_pid), str(self.gateway_config), str(self.configuration(tools))]

    def agent_config(self, load, hold):
        keys = self.lab.folder / "keys"
        call = {"timeout": "6s", "limit": "5s"}
        slow = {"tool": "hold", "arguments": {"seconds": hold, "nonce": "{nonce}"}, **call}
        quick = {"tool": "echo", "arguments": {"text": "{nonce}"}, "interval": "500ms", **call}
        cluster, namespace = self.name.split("/")
        return {
            "collector": {"endpoint": f"tcp://127.0.0.1:{self.lab.port}", "server_key_file": str(keys / "server.pub"),
                          "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")},
            "stage": {"cluster": cluster, "namespace": namespace, "node": self.node},
            "kube": {"enabled": False},
            "spool": {"dir": str(self.folder / "spool")},
            "targets": [
                {"name": "gateway", "url": f"http://127.0.0.1:{self.port}/mcp/canary", "custom_server": True},
                {"name": "direct", "url": f"http://127.0.0.1:{self.canary_port}/mcp", "control": True}],
            "documents": [{"name": "config", "url": f"http://127.0.0.1:{self.admin}/config/"}],
            "probes": [
                {"name": "kept", "target": "gateway", "in_flight": 2, "drill_in_flight": load,
                 "connection": "reused", **slow},
                {"name": "fresh", "target": "gateway", "in_flight": 2, "drill_in_flight": load, "connection": "new",
                 **slow},
                {"name": "echo", "target": "gateway", **quick},
                {"name": "sum", "target": "gateway", "tool": "sum", "arguments": {"a": 20, "b": 22}, "expect": "42",
                 "interval": "500ms", **call},
                {"name": "control", "target": "direct", **quick}],
        }

    def start_agent(self):
        """A new lifetime of the stage's agent, on the same spool."""
        path = self.folder / "agent.yaml"
        path.write_text(json.dumps(self.config))  # JSON is YAML
        self.agent = self.lab.start(f"{self.folder.name}-agent", AGENT, "--config", path)
        return self.agent

    def start_witnessing(self):
        """Starts the agent; on return the collector has it, and a slow call was executed to its end."""
        self.start_agent()
        wait_until(lambda: self.connected() and any(e["tool"] == "hold" and e["event"] == "end"
                                                    for e in self.executions()), 30, f"{self.name} is witnessed")

    def connected(self):
        return [a for a in self.lab.agents()["agents"] if a["stage"] == self.name and a["connected"]]

    def executions(self):
        """What the canary logged, whole lines only."""
        path = self.folder / "executions"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def handled(self):
        """The requests that the gateway logged, with what it answered."""
        return [json.loads(line) for line in self.gateway.said().split("\n")[:-1] if line.startswith("{")]


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.collector = None
        self.port, self.http = free_port(), free_port()
        self.db = folder / "pilot.db"
        self.stalls = Stalls()
        self.stalls.start()

    # ---- processes

    def start(self, name, *command, env=None):
        process = Process(self.folder, name, *command, env=env)
        self.processes.append(process)
        return process

    def close(self):
        """Newest first, so that agents end before what they call; a gateway ends its workers itself."""
        for process in reversed(self.processes):
            if process.is_alive() and process.name.endswith("-gateway"):
                process.end()
            elif process.is_alive():
                process.kill()
        self.stalls.over.set()

    def tell(self, to=sys.stderr):
        """The last lines of every log, for a test that failed."""
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").split("\n")[-12:]
            print(f"---- {path.name}", *lines, sep="\n", file=to)

    # ---- collector

    def begin(self, *stages, rubric=None, kind=Stage, **stage_options):
        """Keys, the pilot's declaration and the daemon, for stages of these names; returns the stages."""
        self.make_keys(*stages)
        self.declare(*stages, rubric=rubric)
        self.serve()
        made = [kind(self, name, **{"load": 80, "extra": "", "hold": 3, "node": None, **stage_options})
                for name in stages]
        return made[0] if len(made) == 1 else made

    def make_keys(self, *stages):
        done = self.ask("keygen", "all", "--out", self.folder / "keys", "--stage",
                        ",".join(f"local/{name}" for name in stages))
        assert done.returncode == 0, done

    def declare(self, *stages, rubric=None):
        path = self.folder / "pilot.yaml"
        path.write_text(json.dumps({"name": "lab", "rubric": {**RUBRIC, **(rubric or {})},
                                    "stages": [{"stage": f"local/{name}", "agents": 1} for name in stages]}))
        done = self.ask("pilot", "init", "--file", path)
        assert done.returncode == 0, done

    def serve(self):
        """Starts the daemon, or starts it again."""
        keys = self.folder / "keys"
        self.collector = self.start("collector", PILOTGATE, "serve", "--listen", f"tcp://127.0.0.1:{self.port}",
                                    "--http", f"127.0.0.1:{self.http}", "--key", keys / "server.key", "--allow",
                                    keys / "agents.allow", env={"PILOTGATE_STORE": self.url()})
        wait_until(lambda: listens(self.http) and listens(self.port), 20, "the collector listens")

    def url(self, path=None):
        return f"sqlite:{path or self.db}"

    def ask(self, *words, store=None, bound=CLI_BOUND):
        """The collector's CLI."""
        return run(PILOTGATE, *words, bound=bound, env={"PILOTGATE_STORE": self.url(store)})

    def gates(self, *words):
        """The verdicts' document and the exit status."""
        done = self.ask("gates", "-o", "json", *words)
        assert done.returncode in (0, 1, 3) and done.stderr == "", done
        return json.loads(done.stdout), done.returncode

    def verdict(self, gate, stage):
        """The verdict of one gate on one stage."""
        document, _ = self.gates()
        return next(s for g in document["gates"] if g["id"] == gate for s in g["stages"] if s["stage"] == stage)

    def settled_verdict(self, gate, stage, bound=30):
        """The same, once it is no longer PENDING."""
        return wait_until(lambda: (v := self.verdict(gate, stage))["verdict"] != "PENDING" and v, bound,
                          f"{gate} of {stage} is settled")

    def agents(self):
        done = self.ask("agents", "-o", "json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def drill(self, stage, *command, repeat=1):
        """Starts a drill of that command; finish_drill waits for its end."""
        return self.start(f"drill-{len(self.processes)}", PILOTGATE, "drill", "config-change", "--stage", stage.name,
                          "--settle", "2s", "--repeat", repeat, "--", *command, env={"PILOTGATE_STORE": self.url()})

    @staticmethod
    def finish_drill(drill, bound=150):
        try:
            status = drill.popen.wait(bound)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the drill did not end within {bound} s") from None
        assert status in (0, 1, 3), drill.said()
        return status

    # ---- evidence

    def backup(self, name="backup.db"):
        path = self.folder / name
        done = self.ask("backup", path)
        assert done.returncode == 0, done
        return path

    @contextlib.contextmanager
    def rows(self, live=False):
        """A connection to a copy of the store; live: to the store beside its daemon, read only (a copy holds
        no operations)."""
        path = self.db if live else self.backup(f"rows-{time.monotonic_ns()}.db")
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            yield connection
        finally:
            connection.close()
            if not live:
                path.unlink()

    def records(self, stage):
        """The stage's records, decoded, by stream: {boot: [Record, ...]} in their order."""
        schema = load_schema()
        streams = {}
        with self.rows() as db:
            for boot, payload in db.execute(
                    "SELECT boot, payload FROM record JOIN stream ON stream = id WHERE cluster || '/' || namespace = ? "
                    "ORDER BY stream, seq", (stage.name,)):
                streams.setdefault(boot.hex(), []).append(blocks.unpack(schema.Record.FromString(payload)))
        return streams


def load_schema():
    """The module of proto/pilotgate.proto, made by protoc beside the built programs."""
    if not load_schema.module:
        out = BUILD / "tests" / "python"
        out.mkdir(parents=True, exist_ok=True)
        subprocess.run(["protoc", f"-I{TOP / 'proto'}", f"--python_out={out}", TOP / "proto" / "pilotgate.proto"],
                       check=True, timeout=60)
        sys.path.insert(0, str(out))
        load_schema.module = __import__("pilotgate_pb2")
    return load_schema.module


load_schema.module = None
