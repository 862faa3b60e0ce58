"""The processes that the bench runs: collectors, simulated and real agents, and what is measured beside them.

Everything is on loopback and ends with the bench; everything it writes lies in one folder.
"""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PILOTGATE_BUILD", TOP / "build"))
PILOTGATE = BUILD / "collector/pilotgate"
AGENT = BUILD / "agent/pilotgate-agent"
CANARY = BUILD / "tools/pilotgate-canary"
LOAD, LIMITS, NATS = (BUILD / f"tests/bench-{name}" for name in ("load", "limits", "nats"))
WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"]
BOUND = 30


class Failed(Exception):
    """Something could not run; one line that says what."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, bound=BOUND):
    end = time.monotonic() + bound
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failed(f"gave up after {bound} s: {what}")
        time.sleep(0.05)
    return value


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(log, *command, ending=BOUND):
    """A process until the end of the block, then SIGTERM; what it says goes to the log."""
    with open(log, "ab") as out:
        popen = subprocess.Popen(WITH_US + [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=out)
    try:
        yield popen
    finally:
        if popen.poll() is None:
            popen.terminate()
        try:
            popen.wait(ending)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def lives(popen, log):
    """Else its last line is the reason."""
    if popen.poll() is not None:
        raise Failed((pathlib.Path(log).read_text(errors="replace").strip().splitlines() or ["it ended"])[-1])


def answer(*command, bound):
    """What a command says; its failure is ours."""
    done = subprocess.run(WITH_US + [str(word) for word in command], capture_output=True, text=True, timeout=bound,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name}: {done.stderr.strip() or done.returncode}")
    return done.stdout


# ---- /proc

def status(pid):
    """Of /proc/PID/status: kB figures as bytes."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {words[0][:-1]: int(words[1]) * 1024 for line in text.splitlines()
            if len(words := line.split()) == 3 and words[2] == "kB"}


def cpu_seconds(pid):
    ticks = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def machine():
    """The processor's name and how many cores we may use."""
    names = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    memory = status_of_machine()["MemTotal"] >> 30
    return f"{names[0] if names else 'unknown processor'}, {len(os.sched_getaffinity(0))} cores, {memory} GiB"


def status_of_machine():
    text = pathlib.Path("/proc/meminfo").read_text()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines()}


# ---- collector and simulated agents

class Collector:
    """A real `pilotgate serve` on a fresh store, and the keys of so many simulated agents."""

    def __init__(self, folder, agents):
        self.folder, self.agents = folder, agents
        self.keys, self.db = folder / "keys", folder / "store.db"
        self.port, self.http = free_port(), free_port()
        folder.mkdir()
        answer(LOAD, "--keys", self.keys, "--agents", agents, "--make-keys", bound=BOUND)
        self.popen = None

    @contextlib.contextmanager
    def serving(self):
        with running(self.folder / "serve.log", PILOTGATE, "serve", "--store", self.url(), "--key",
                     self.keys / "server.key", "--allow", self.keys / "allow", "--listen",
                     f"tcp://127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http}", ending=120) as self.popen:
            wait_until(lambda: self.popen.poll() is not None or listens(self.http), "the collector listens")
            lives(self.popen, self.folder / "serve.log")
            yield self

    def url(self):
        return f"sqlite:{self.db}"

    def load(self, *options, seconds, agents=None):
        """The report of the load generator; loss is a failure of the run."""
        command = [LOAD, "--keys", self.keys, "--agents", agents or self.agents, "--seconds", seconds, "--endpoint",
                   f"tcp://127.0.0.1:{self.port}", "--watch", self.popen.pid, "--store", self.url(), *options]
        done = subprocess.run(WITH_US + [str(word) for word in command], capture_output=True, text=True,
                              timeout=seconds * 3 + 400, check=False)
        try:
            report = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Failed(f"bench-load: {done.stderr.strip() or done.returncode}") from None
        if done.returncode == 2:
            raise Failed(f"bench-load: {report['failed']}")
        return report


def store_bytes(db):
    """Bytes of the database that hold something: free pages will be used again, and the -wal is no second copy."""
    import sqlite3
    with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as c:
        pages, free, size = (c.execute(f"PRAGMA {name}").fetchone()[0]
                             for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


# ---- limits

def limit(*words, seconds=0):
    """What bench-limits measured."""
    return float(answer(LIMITS, *words, bound=seconds + BOUND))


@contextlib.contextmanager
def jetstream(folder):
    """The URL of a nats-server with a fresh store in the folder."""
    folder.mkdir(exist_ok=True)
    port, store = free_port(), folder / "js"
    (folder / "nats.conf").write_text(f'listen: "127.0.0.1:{port}"\n'
                                      f'jetstream {{ store_dir: "{store}", max_file: 50GB }}\n')
    try:
        with running(folder / "nats.log", "nats-server", "-c", folder / "nats.conf"):
            wait_until(lambda: listens(port), "nats-server listens")
            yield f"nats://127.0.0.1:{port}"
    finally:
        shutil.rmtree(store, ignore_errors=True)


# ---- a real agent

def agent_config(collector, canary_port, probes):
    """As a user has it, for a tool server of ours without a gateway: what is measured is the agent."""
    hash_key = collector.folder / "pilot.hash"
    if not hash_key.exists():
        answer(PILOTGATE, "keygen", "pilot", "--out", collector.folder, bound=BOUND)
    public, secret = (collector.keys / "agents.keys").read_text().split()[:2]
    key = collector.folder / "agent.key"
    key.write_text(f"# pilotgate CURVE key\npublic: {public}\nsecret: {secret}\n")
    key.chmod(0o600)
    config = {
        "collector": {"endpoint": f"tcp://127.0.0.1:{collector.port}",
                      "server_key_file": str(collector.keys / "server.pub"), "key_file": str(key),
                      "hash_key_file": str(hash_key)},
        "stage": {"cluster": "load", "namespace": "stage-0", "node": "n1"}, "kube": {"enabled": False},
        "spool": {"dir": str(collector.folder / "spool")},
        "targets": [{"name": "canary", "url": f"http://127.0.0.1:{canary_port}/mcp", "custom_server": True}],
        "probes": probes,
    }
    path = collector.folder / "agent.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


@contextlib.contextmanager
def agent(collector, probes):
    """A real agent with these probes, which has a session."""
    port = free_port()
    with running(collector.folder / "canary.log", CANARY, "--listen", f"127.0.0.1:{port}"):
        wait_until(lambda: listens(port), "the canary listens")
        config = agent_config(collector, port, probes)
        with running(collector.folder / "agent.log", AGENT, "--config", config) as popen:
            wait_until(lambda: popen.poll() is not None or connected(collector), "the agent has a session")
            lives(popen, collector.folder / "agent.log")
            yield popen


def connected(collector):
    done = subprocess.run([PILOTGATE, "agents", "-o", "json", "--store", collector.url()], capture_output=True,
                          text=True, check=False)
    return done.returncode == 0 and any(a["connected"] for a in json.loads(done.stdout)["agents"])


@contextlib.contextmanager
def node_exporter(folder):
    """prometheus-node-exporter, scraped once."""
    port = free_port()
    with running(folder / "node-exporter.log", "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}") as p:
        wait_until(lambda: listens(port), "prometheus-node-exporter listens")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=BOUND) as reply:
            if not reply.read():
                raise Failed("prometheus-node-exporter answers nothing")
        yield p


def needs(*programs):
    for program in programs:
        if not (pathlib.Path(program).exists() if "/" in str(program) else shutil.which(str(program))):
            raise Failed(f"no {program}: run tools/install build test bench, then tools/test --unit")


def say(text):
    print(f"run: {text}", file=sys.stderr, flush=True)
