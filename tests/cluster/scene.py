"""One lab cluster, a collector beside it, and stages in its namespaces: where the scenarios play.

The cluster is called `scene` and has two nodes. A stage is a namespace with agents of its own (pilotgate's chart)
and, where a scenario installs it, the product (product/). The collector runs on this machine, where pods reach it
as host.lab.internal. Everything lies in one folder; close() takes all of it down again.

Programs come from PILOTGATE_BUILD (default: build/ in the tree's top).
"""
import contextlib
import datetime
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import time

CLUSTER = pathlib.Path(__file__).resolve().parent
TOP = CLUSTER.parents[1]
sys.path.insert(0, str(TOP / "tests" / "integration"))
from lab import BUILD, PILOTGATE, Process, free_port, listens, load_schema, run, wait_until  # noqa: E402,F401

NAME, INDEX = "scene", 7
TOOLS = pathlib.Path(os.environ.get("PILOTGATE_LAB_CACHE", pathlib.Path.home() / ".cache" / "pilotgate-lab")) / "bin"
PRODUCT = CLUSTER / "product"
STAGES = ("helm", "content", "gitops", "leader", "adopted", "phases")
AGENTS = 2  # one a node

# Windows of twelve seconds; 59 clean units bound a drop rate of 5 % at 95 %. longest_call is the probes' timeout.
# merge_gap is longer than the kubelet takes to hand a changed ConfigMap to a pod.
MERGE_GAP = 8
RUBRIC = {"max_drop_rate": 0.05, "longest_call": "10s", "keep_alive": "2s", "merge_gap": f"{MERGE_GAP}s"}
RARE = (2, 5, 7)  # families of phases, objects and losses (proto/wire/wire.h): each is a row of its own
SETTLED = 75  # seconds until a change is judged: the kubelet's share, the window, a busy machine


def agent_config(in_flight):
    """What the agents of a stage witness; so many slow calls on either kind of connection are always in flight."""
    call = {"timeout": "10s", "limit": "9s"}
    slow = {"target": "gateway", "tool": "hold", "arguments": {"seconds": 6, "nonce": "{nonce}"},
            "in_flight": in_flight, **call}
    quick = {"tool": "echo", "arguments": {"text": "{nonce}"}, "interval": "1s", **call}
    return {
        "max_in_flight": 4 * in_flight + 100,
        "targets": [{"name": "gateway", "url": "http://gateway:8080/mcp/canary", "custom_server": True},
                    {"name": "direct", "url": "http://canary:8090/mcp", "control": True}],
        "documents": [{"name": "gateway", "url": "http://gateway:2019/config/"}],
        "probes": [{"name": "kept", "connection": "reused", **slow}, {"name": "fresh", "connection": "new", **slow},
                   {"name": "echo", "target": "gateway", **quick}, {"name": "control", "target": "direct", **quick},
                   {"name": "sum", "target": "gateway", "tool": "sum", "arguments": {"a": 20, "b": 22},
                    "expect": "42", "interval": "1s", **call}]}


class Scene:
    def __init__(self, folder):
        self.folder, self.keys, self.db = folder, folder / "keys", folder / "pilot.db"
        self.env = {"PILOTGATE_STORE": f"sqlite:{self.db}"}
        self.collector, self.kubeconfig, self.port = None, None, free_port()

    # ---- up and down

    def begin(self):
        """Cluster, images, keys, pilot, collector."""
        up = run(CLUSTER / "cluster", "ls").stdout
        assert NAME not in up, f"the lab's cluster {NAME} is up already; tests/cluster/cluster down {NAME} ends it"
        images = subprocess.Popen([TOP / "tools" / "images", "--build", BUILD, "agent", "canary"],
                                  stdout=subprocess.DEVNULL)
        self.must(CLUSTER / "cluster", "up", NAME, INDEX, bound=180)
        assert images.wait(120) == 0, "tools/images failed"
        self.must(CLUSTER / "cluster", "load", NAME, BUILD / "images" / "agent.tar", BUILD / "images" / "canary.tar",
                  bound=120)
        self.kubeconfig = self.must(CLUSTER / "cluster", "kubeconfig", NAME).strip()
        self.declare()
        self.serve()

    def declare(self):
        self.ask_well("keygen", "all", "--out", self.keys, "--stage", ",".join(f"{NAME}/{s}" for s in STAGES))
        path = self.folder / "pilot.yaml"
        path.write_text(json.dumps({"name": "scenarios", "rubric": RUBRIC, "stages": [
            {"stage": f"{NAME}/{s}", "agents": AGENTS, "gateway": "Deployment/gateway", "release": "shop"}
            for s in STAGES]}))  # JSON is YAML
        self.ask_well("pilot", "init", "--file", path)

    def serve(self):
        http = free_port()
        self.collector = Process(self.folder, "collector", PILOTGATE, "serve", "--listen", f"tcp://0.0.0.0:{self.port}",
                                 "--http", f"127.0.0.1:{http}", "--key", self.keys / "server.key", "--allow",
                                 self.keys / "agents.allow", env=self.env)
        wait_until(lambda: listens(http) and listens(self.port), 20, "the collector listens")

    def close(self):
        try:
            if self.collector:
                self.collector.end()
        finally:
            run(CLUSTER / "cluster", "down", NAME, bound=120)

    # ---- commands

    @staticmethod
    def must(*command, bound=60, env=None):
        done = run(*command, bound=bound, env=env)
        assert done.returncode == 0, done
        return done.stdout

    def ask(self, *words):
        """The collector's CLI."""
        return run(PILOTGATE, *words, env=self.env)

    def ask_well(self, *words):
        done = self.ask(*words)
        assert done.returncode == 0, done
        return done.stdout

    def read(self, *words):
        """What a subcommand says, as JSON; statuses other than 2 are verdicts."""
        done = self.ask(*words, "-o", "json")
        assert done.returncode in (0, 1, 3), done
        return json.loads(done.stdout)

    def stage(self, name):
        return Stage(self, name)


class Stage:
    """One staged namespace of the scene, or, of those who bring several clusters, of one of these."""

    def __init__(self, scene, namespace, cluster=NAME, kubeconfig=None):
        self.scene, self.namespace, self.name = scene, namespace, f"{cluster}/{namespace}"
        self.cluster, self.kubeconfig = cluster, kubeconfig or scene.kubeconfig
        self.chart = PRODUCT  # what upgrade() installs
        self.kubectl("create", "namespace", namespace)
        self.kubectl("create", "secret", "generic", "pilotgate-agent",
                     *(f"--from-file={scene.keys / file}" for file in ("agent.key", "server.pub", "pilot.hash")))

    # ---- what is done to it

    def command(self, program, *words, bound=120, env=None, status=0):
        done = run(TOOLS / program, "--kubeconfig", self.kubeconfig, "-n", self.namespace, *words, bound=bound,
                   env=env)
        assert (done.returncode == 0) == (status == 0), done
        return done.stdout

    def kubectl(self, *words, **options):
        return self.command("kubectl", *words, **options)

    def helm(self, *words, **options):
        return self.command("helm", *words, **options)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def apply(self, *objects):
        """Objects as an owner of their fields would write them."""
        path = self.scene.folder / f"{self.namespace}-{time.monotonic_ns()}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        self.kubectl("apply", "-f", path)

    def start_agents(self, in_flight=40, **config):
        values = {"agent": {"enabled": True, "cluster": self.cluster, "image": "localhost/pilotgate-agent:dev",
                            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"},
                                          "limits": {"cpu": "2", "memory": "256Mi"}},
                            "config": {**agent_config(in_flight), **config,
                                       "collector": {"endpoint": f"tcp://host.lab.internal:{self.scene.port}"}}}}
        path = self.scene.folder / f"{self.namespace}-agents.json"
        path.write_text(json.dumps(values))
        self.helm("install", "pilotgate", TOP / "chart", "--values", path, "--wait", "--timeout", "90s")
        wait_until(lambda: len(self.agents()) == AGENTS, 60, f"the agents of {self.name} are connected")

    def agents(self):
        return [a for a in self.scene.read("agents")["agents"] if a["stage"] == self.name and a["connected"]]

    def settings(self, *settings):
        return [word for setting in settings for word in ("--set", setting)]

    def install(self, *settings):
        self.helm("install", "shop", self.chart, *self.settings(*settings), "--wait", "--timeout", "90s")

    def upgrade(self, *settings, options=("--wait",), **more):
        """Every value that differs from the chart's own; gives the change's name."""
        self.helm("upgrade", "shop", self.chart, *self.settings(*settings), "--timeout", "60s", *options, **more)
        return f"shop.v{self.revision()}"

    def revision(self):
        return json.loads(self.helm("history", "shop", "-o", "json"))[-1]["revision"]

    # ---- what pilotgate says of it

    def gate(self, gate):
        gates = self.scene.read("gates", "--stage", self.name)["gates"]
        return next(s for g in gates if g["id"] == gate for s in g["stages"] if s["stage"] == self.name)

    def rollbacks(self):
        return self.gate("rollback").get("rollbacks", [])

    def changes(self):
        return self.scene.read("changes", "--stage", self.name)

    def change(self, name):
        return next((c for c in self.changes() if c["id"] == name), None)

    def settled(self, name):
        """This change, once its window is closed and it is judged (or known to be none)."""
        def judged():
            change = self.change(name)
            return change if change and (change["verdict"] != "PENDING" or not change["qualifies"]) else None
        return wait_until(judged, SETTLED, f"the change {name} of {self.name} is settled")

    def quiet(self):
        """Waits until what comes next is a change of its own: the rubric's merge_gap after the last sign."""
        def age():
            last = max((c["last_sign"] for c in self.changes()), default="1970-01-01T00:00:00Z")
            return time.time() - datetime.datetime.fromisoformat(last).timestamp()
        wait_until(lambda: age() > MERGE_GAP + 1, 60, f"{self.name} is quiet")

    def settled_rollback(self, revision):
        def judged():
            return next((r for r in self.rollbacks() if r["revision"] == revision and r["verdict"] != "PENDING"), None)
        return wait_until(judged, SETTLED, f"the rollback by revision {revision} of {self.name} is judged")

    def phases(self, phase=None, **wanted):
        """The timeline's phases, oldest first; only those of this name and with these fields."""
        stage = next(s for s in self.scene.read("timeline", self.name)["stages"] if s["stage"] == self.name)
        return [p for p in stage["phases"] if phase in (None, p["phase"]) and
                all(p.get(field) == value for field, value in wanted.items())]

    def row(self, subject):
        """The row of the timeline of this thing."""
        timeline = self.scene.read("timeline", self.name, "--all")
        return next(r for s in timeline["stages"] for r in s["rows"] if r.get("subject") == subject)

    def wait_for_phase(self, phase, bound=60, **wanted):
        return wait_until(lambda: self.phases(phase, **wanted), bound, f"{self.name}: {phase} {wanted}")[-1]

    def account(self):
        """For people, when a scenario failed."""
        said = [self.scene.ask(*words).stdout for words in
                (("gates", "--stage", self.name), ("changes", "--stage", self.name), ("timeline", self.name))]
        for words in (("get", "pods", "-o", "wide"), ("get", "lease", "-o", "yaml"),
                      ("logs", "-l", "app.kubernetes.io/component=agent", "--prefix", "--tail=20")):
            said.append(run(TOOLS / "kubectl", "--kubeconfig", self.kubeconfig, "-n", self.namespace, *words).stdout)
        return "\n".join([*said, *self.scene.collector.said().splitlines()[-5:]])

    def records(self):
        """The stage's phases, objects and losses, decoded: [(boot, Record), ...] by stream and sequence."""
        copy = self.scene.folder / f"records-{time.monotonic_ns()}.db"
        self.scene.ask_well("backup", copy)
        with contextlib.closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as db:
            rows = db.execute(f"SELECT boot, payload FROM record JOIN stream ON stream = id WHERE family IN {RARE} AND "
                              "cluster || '/' || namespace = ? ORDER BY stream, seq", (self.name,)).fetchall()
        copy.unlink()
        schema = load_schema()
        return [(boot.hex(), schema.Record.FromString(payload)) for boot, payload in rows]
