"""A whole pilot on two real Kubernetes clusters, and what must not pass on them.

tools/demo plays the pilot and leaves its clusters up; its verdicts are read from the store that it kept. Then
a collector goes on with that pilot, and the clusters are treated badly. At the end they are taken down.

Run with: /usr/bin/python3 -m pytest tests/cluster/test_clusters.py        needs root; see README.md
"""
import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "integration"))
from lab import PILOTGATE, Process, free_port, listens, run, wait_until  # noqa: E402

DEMO = TOP / "build" / "demo"
KEPT = DEMO / "pilot.db"
STORE = DEMO / "store" / "pilot.db"
CLUSTER = TOP / "tests" / "cluster"
TOOLS = pathlib.Path(os.environ.get("PILOTGATE_LAB_CACHE", pathlib.Path.home() / ".cache" / "pilotgate-lab")) / "bin"
NAMESPACE = "shop"
EAST, WEST = "east/shop", "west/shop"
DEMO_BOUND = 25 * 60
REPLICAS_BOUND = 8 * 60
PLANTED = "planted-secret-8d21f0"

signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that fixtures end what they began


def play_demo(log):
    """tools/demo to its end; it is ended in order when this is interrupted."""
    with log.open("w") as out:
        demo = subprocess.Popen([TOP / "tools" / "demo", "--keep"], stdout=out, stderr=out, start_new_session=True)
        try:
            return demo.wait(DEMO_BOUND)
        finally:
            if demo.poll() is None:
                demo.terminate()
                demo.wait(60)


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    up = run(CLUSTER / "cluster", "ls").stdout
    assert up == "", f"the lab's clusters are up already; tests/cluster/both down ends them: {up}"
    log = tmp_path_factory.mktemp("demo") / "log"
    try:
        status = play_demo(log)
        print(log.read_text())
        yield Pilot(KEPT, status, log.read_text())
    finally:
        print(run(CLUSTER / "both", "down", bound=120).stderr)


@pytest.fixture(scope="module")
def live(pilot):
    """The same pilot, gone on with: a collector on the demo's store, where the agents still look for it."""
    if not STORE.exists():
        pytest.fail("the demo left no store")
    made = Live(pilot)
    try:
        made.serve()
        yield made
    finally:
        made.close()


class Pilot:
    """A store, asked through the CLI."""

    def __init__(self, store, status=None, said=""):
        self.url, self.status, self.said = f"sqlite:{store}", status, said

    def ask(self, *words):
        return run(PILOTGATE, *words, env={"PILOTGATE_STORE": self.url})

    def read(self, *words):
        done = self.ask(*words, "-o", "json")
        assert done.returncode in (0, 1, 3), done
        return json.loads(done.stdout)

    def stage(self, gate, stage):
        gates = self.read("gates")["gates"]
        return next(s for g in gates if g["id"] == gate for s in g["stages"] if s["stage"] == stage)

    def changes(self, stage):
        return self.read("changes", "--stage", stage)


class Live(Pilot):
    def __init__(self, pilot):
        super().__init__(STORE)
        self.collector = None
        self.kubeconfig = {name: run(CLUSTER / "cluster", "kubeconfig", name).stdout.strip() for name in ("east", "west")}
        config = self.kubectl("east", "get", "configmap", "pilotgate-agent", "-o", "json")
        self.port = int(re.search(r"host\.lab\.internal:(\d+)", config)[1])

    def serve(self):
        http, keys = free_port(), DEMO / "keys"
        self.collector = Process(DEMO / "logs", "collector-again", PILOTGATE, "serve", "--listen",
                                 f"tcp://0.0.0.0:{self.port}", "--http", f"127.0.0.1:{http}", "--key",
                                 keys / "server.key", "--allow", keys / "agents.allow",
                                 env={"PILOTGATE_STORE": self.url})
        wait_until(lambda: listens(http), 20, "the collector listens")
        self.wait_for_agents("east")
        self.wait_for_agents("west")

    def close(self):
        if self.collector:
            self.collector.end()

    def command(self, program, cluster, *words, bound=180):
        done = run(TOOLS / program, "--kubeconfig", self.kubeconfig[cluster], "-n", NAMESPACE, *words, bound=bound)
        assert done.returncode == 0, done
        return done.stdout

    def kubectl(self, cluster, *words):
        return self.command("kubectl", cluster, *words)

    def helm(self, cluster, *words):
        return self.command("helm", cluster, *words)

    def values(self, cluster):
        """What the product runs with now, in a file."""
        path = DEMO / f"{cluster}-values.json"
        path.write_text(self.helm(cluster, "get", "values", "shop", "-o", "json"))
        return path

    def connected(self, cluster):
        return [a for a in self.read("agents")["agents"] if a["stage"] == f"{cluster}/shop" and a["connected"]]

    def wait_for_agents(self, cluster, but=()):
        """Two agents, none of these lifetimes."""
        return wait_until(lambda: len(now := self.connected(cluster)) == 2 and
                          not {a["boot"] for a in now} & set(but) and now, 90, f"the agents of {cluster} are connected")

    def restart_agents(self, cluster):
        before = [a["boot"] for a in self.connected(cluster)]
        self.kubectl(cluster, "rollout", "restart", "daemonset/pilotgate-agent")
        self.wait_for_agents(cluster, before)

    def agents_said(self, cluster):
        """What each agent pod logged."""
        pods = self.kubectl(cluster, "get", "pods", "-l", "app.kubernetes.io/component=agent", "-o", "name").split()
        return [self.kubectl(cluster, "logs", pod) for pod in pods]


def settled_change(store, stage, name):
    """The change of this id, once it is judged."""
    return wait_until(lambda: next((c for c in store.changes(stage) if c["id"] == name and c["verdict"] != "PENDING"),
                                   None), 90, f"the change {name} of {stage} is settled")


def newest_revision(live, cluster):
    return json.loads(live.helm(cluster, "history", "shop", "-o", "json"))[-1]["revision"]


# ---- the pilot that the demo played


def test_the_demo_ends_well(pilot):
    assert pilot.status == 0, pilot.said[-4000:]
    assert "They agree, call by call." in pilot.said


def test_verdicts_of_the_pilot(pilot):
    gates = {g["id"]: {s["stage"]: s["verdict"] for s in g["stages"]} for g in pilot.read("gates")["gates"]}
    assert gates == {
        "helm-deployment": {EAST: "PASS", WEST: "PASS"}, "config-safety": {EAST: "PASS", WEST: "FAIL"},
        "rollback": {EAST: "PASS", WEST: "PASS"}, "architecture": {EAST: "PENDING", WEST: "PENDING"},
        "dedicated-se": {EAST: "PENDING", WEST: "PENDING"}}
    assert pilot.ask("gates").returncode == 1
    assert pilot.ask("gates", "--stage", EAST).returncode == 3


@pytest.mark.parametrize("stage", [EAST, WEST])
def test_helm_deployment_with_its_phases(pilot, stage):
    verdict = pilot.stage("helm-deployment", stage)
    assert verdict["verdict"] == "PASS" and verdict["evidence"]
    phases = {p["phase"]: p for p in verdict["phases"]}
    assert all(p["seen"] for p in phases.values()), verdict["phases"]
    for one, other in (("namespace created", "release created"), ("release created", "containers started"),
                       ("release created", "release deployed"), ("containers started", "first tool listed")):
        slack = phases[other]["precision_s"] + phases[one]["precision_s"]  # the API tells whole seconds
        assert phases[one]["since_t0_s"] <= phases[other]["since_t0_s"] + slack, (one, other, verdict["phases"])
    assert 0 < verdict["measured"]["seconds"] < 600
    assert verdict["measured"]["limit_s"] == 86400
    assert all(p["evidence"].startswith(stage) for p in phases.values())


def test_config_safety_of_the_good_gateway(pilot):
    verdict = pilot.stage("config-safety", EAST)
    measured = verdict["measured"]
    assert measured["dropped"] == measured["interrupted"] == 0
    assert measured["units"] >= measured["units_needed"] == 2995
    assert 0 < measured["rate_bound"] <= 0.001
    passed = [c for c in verdict["changes"] if c["verdict"] == "PASS"]
    assert passed and sum(c["measured"]["units"] for c in passed) == measured["units"]
    assert any(c["tools_added"] == ["sum"] for c in passed)
    for change in passed:
        assert {c["reading"] for c in change["lost"]} <= {"excluded"}  # calls to a tool that the change took away
        assert change["unwitnessed"] == [] and change["measured"]["witnesses"] == 2
        assert change["drill"]
        assert min(change["measured"]["in_flight_reused"], change["measured"]["in_flight_new"]) >= 30


def lost_calls(changes):
    """By the number that each call carries."""
    return {call["call"]: call for change in changes for call in change["lost"]
            if call["reading"] in ("dropped", "interrupted")}


def test_config_safety_of_the_harmful_gateway_names_each_call(pilot):
    verdict = pilot.stage("config-safety", WEST)
    failed = [c for c in verdict["changes"] if c["verdict"] == "FAIL"]
    assert failed
    for change in failed:
        counted = [c for c in change["lost"] if c["reading"] in ("dropped", "interrupted")]
        assert len(counted) == change["measured"]["dropped"] + change["measured"]["interrupted"] > 0
    lost = lost_calls(failed)
    assert len(lost) >= 100
    for call in lost.values():
        for part in ("start", "how_far", "why", "outcome", "probe", "target", "tool", "evidence"):
            assert call[part], (part, call)
        assert call["evidence"].startswith(WEST) and call["evidence"] in verdict["evidence"]


def log_lines(path):
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if isinstance(entry := json.loads(line), dict):
                yield entry


def test_dropped_calls_are_those_of_the_logs(pilot):
    """What pilotgate lost, what the gateway ended, and what the canary could not answer, call by call. The last
    change is the one whose logs were followed."""
    lost = lost_calls([pilot.stage("config-safety", WEST)["changes"][-1]])
    to_canary = {name for name, call in lost.items() if call["target"] == "canary"}
    gone = {e["call"] for e in log_lines(DEMO / "logs" / "west-canary-followed.log") if e.get("event") == "gone"}
    # "K" and what it waited for; of kept connections the gateway logs no name.
    named = {e["call"] for e in log_lines(DEMO / "logs" / "west-gateway-followed.log")
             if re.match("K[^-]", e.get("end", "")) and e["call"] != "-"}
    assert gone and gone <= to_canary
    ended = {e["call"] for e in log_lines(DEMO / "logs" / "west-canary-followed.log") if e.get("event") == "end"}
    assert to_canary - gone <= ended  # answered in the moment of the stop, and not passed on
    new = {name for name, call in lost.items() if call["connection"] == "new"}
    said = (DEMO / "logs" / "west-gateway-followed.log").read_text(errors="replace")
    assert named and named <= new
    if named != new:  # its stop ended before it had logged every call; or its output could not take a few lines
        assert "Some tasks resisted to hard-stop" in said or len(new - named) * 20 <= len(new)
        assert len(lost) <= int(re.findall(r"Proxy mcp hard-stopped \((\d+) remaining", said)[-1])


@pytest.mark.parametrize("stage", [EAST, WEST])
def test_rollback_with_equal_digests(pilot, stage):
    verdict = pilot.stage("rollback", stage)
    rollback = verdict["rollbacks"][-1]
    assert rollback["verdict"] == "PASS"
    assert rollback["manifest_baseline"] == rollback["manifest_after"] != ""
    assert rollback["objects"] and rollback["product"] and rollback["differed_before"] > 0
    for entry in rollback["objects"] + rollback["product"]:
        assert entry["equal"] and entry["baseline"] == entry["after"] != "", entry
    assert 0 < rollback["seconds"] < 600


def test_verdicts_are_the_same_bytes_again(pilot):
    at = pilot.read("gates")["at"]
    first, second = (pilot.ask("gates", "-o", "json", "--at", at) for _ in range(2))
    assert first.stdout == second.stdout != ""


# ---- on the live clusters


def test_agents_find_a_collector_that_comes_back(live):
    """Nothing that they witnessed meanwhile is lost."""
    missing = live.read("agents")["missing"]
    assert missing == []
    for stage in (EAST, WEST):
        assert live.stage("helm-deployment", stage)["verdict"] == "PASS"
        assert "no longer has them" not in live.stage("config-safety", stage)["reason"]


def forms(secret):
    """As it is, and as base64 of it shows wherever it begins."""
    text = secret.encode()
    return [text, *(base64.b64encode(b"x" * k + text)[4 if k else 0:-4] for k in range(3))]


def test_planted_secrets_never_leave_a_cluster(live, tmp_path):
    chart = tmp_path / "planted"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: planted, version: 1.0.0}\n")
    (chart / "templates" / "secret.yaml").write_text(json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "planted-chart"},
         "stringData": {"password": PLANTED}}))
    live.kubectl("west", "create", "secret", "generic", "planted-bare", f"--from-literal=password={PLANTED}")
    live.helm("west", "install", "planted", chart, "--set", f"password={PLANTED}", "--wait")
    wait_until(lambda: b"planted" in store_bytes(), 60, "the planted release is witnessed")
    everything = store_bytes() + b"".join(text.encode() for text in live.agents_said("west"))
    for words in (["gates"], ["changes"]):
        everything += live.ask(*words, "-o", "json").stdout.encode()
    everything += live.ask("timeline", WEST).stdout.encode()
    assert [form for form in forms(PLANTED) if form in everything] == []


def store_bytes():
    """All that lies on the collector's disk."""
    return b"".join(path.read_bytes() for path in sorted(STORE.parent.iterdir()) if path.is_file())


def watch_replicas(live, cluster):
    """The agents of the cluster also call each replica of the gateway by its address."""
    values = yaml.safe_load((TOP / "tests" / "demo" / "agent.yaml").read_text())
    config = values["agent"]["config"]
    next(t for t in config["targets"] if t["name"] == "canary")["replicas"] = "gateway:8080"
    for probe in config["probes"]:
        if probe["name"] == "hold-new":
            probe |= {"replica_in_flight": 1, "replica_drill_in_flight": 40}
    path = DEMO / f"{cluster}-agent.json"
    path.write_text(json.dumps(values))
    before = [a["boot"] for a in live.connected(cluster)]
    live.helm(cluster, "upgrade", "pilotgate", TOP / "chart", "--reset-then-reuse-values", "--values", path, "--wait")
    live.wait_for_agents(cluster, before)


def drill_two_replicas(live, cluster, tools):
    """The change that a drill made, once it is judged; the gateway has two replicas before and after."""
    upgrade = [TOOLS / "helm", "--kubeconfig", live.kubeconfig[cluster], "-n", NAMESPACE, "upgrade", "shop",
               CLUSTER / "product", "--values", live.values(cluster), "--set", f"gateway.tools={{{tools}}}"]
    done = run(PILOTGATE, "drill", "config-change", "--stage", f"{cluster}/shop", "--for", "12s", "--", *upgrade,
               env={"PILOTGATE_STORE": live.url}, bound=300)
    assert done.returncode in (0, 1, 3), done
    return settled_change(live, f"{cluster}/shop", f"shop.v{newest_revision(live, cluster)}")


def switch_two_replicas(live):
    """A gateway with two replicas, changed before and after agents call each one at its own address: (change, change)."""
    live.helm("west", "upgrade", "shop", CLUSTER / "product", "--values", live.values("west"), "--set",
              "gateway.replicas=2,gateway.hardStopAfter=,gateway.tools={echo,hold,whoami}", "--wait")
    # The harmful configuration ends calls once more; what is recovered of them may end late.
    settled_change(live, WEST, f"shop.v{newest_revision(live, 'west')}")
    unseen = drill_two_replicas(live, "west", "echo,hold,whoami,sum")
    watch_replicas(live, "west")
    return unseen, drill_two_replicas(live, "west", "echo,hold,whoami")


@pytest.fixture(scope="module")
def replicas(live):
    """What happens to the second cluster while the tests from here on are busy with the first."""
    aside = concurrent.futures.ThreadPoolExecutor(1)
    yield aside.submit(switch_two_replicas, live)
    aside.shutdown(wait=False)  # when a test ended before it: its commands end with the clusters


def test_an_upgrade_that_changes_nothing_is_inconclusive(live, replicas):
    assert replicas  # they begin here
    values = live.values("east")
    live.helm("east", "upgrade", "shop", CLUSTER / "product", "--values", values, "--wait")
    revision = newest_revision(live, "east")
    change = settled_change(live, EAST, f"shop.v{revision}")
    assert change["verdict"] == "INCONCLUSIVE", change["reason"]
    assert "changed nothing that can be seen" in change["reason"]
    verdict = live.stage("config-safety", EAST)
    assert verdict["verdict"] == "INCONCLUSIVE" and f"shop.v{revision}" in verdict["reason"]
    assert live.stage("config-safety", WEST)["verdict"] == "FAIL"


FLUX = {"helmreleases.helm.toolkit.fluxcd.io/flux-shop": ("helm.toolkit.fluxcd.io/v2", "HelmRelease", False),
        "kustomizations.kustomize.toolkit.fluxcd.io/flux-frozen": ("kustomize.toolkit.fluxcd.io/v1", "Kustomization",
                                                                   True)}


@pytest.fixture
def suspendable(live):
    """Objects of Flux in the first cluster, under definitions of the lab's own. One is suspended already."""
    live.kubectl("east", "apply", "--server-side", "-f", CLUSTER / "crds" / "flux.yaml")
    live.kubectl("east", "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    for thing, (api, kind, suspend) in FLUX.items():
        path = DEMO / f"{kind}.json"
        path.write_text(json.dumps({"apiVersion": api, "kind": kind, "metadata": {"name": thing.split("/")[1]},
                                    "spec": {"interval": "10m", "suspend": suspend}}))
        live.kubectl("east", "apply", "-f", path)
    yield lambda name: live.kubectl("east", "get", next(t for t in FLUX if t.endswith(name)), "-o",
                                    "jsonpath={.spec.suspend}")
    live.kubectl("east", "delete", *FLUX)


def flux_drill(live, name, *command):
    """A drill of that command in the first cluster, which suspends both."""
    return Process(DEMO / "logs", name, PILOTGATE, "drill", "config-change", "--stage", EAST, "--no-wait",
                   "--suspend-flux", "HelmRelease/flux-shop,Kustomization/flux-frozen", "--", *command,
                   env={"PILOTGATE_STORE": live.url, "KUBECONFIG": live.kubeconfig["east"],
                        "PATH": f"{TOOLS}:{os.environ['PATH']}"})


def test_drill_suspends_flux(live, suspendable, tmp_path):
    """kubectl, the API server and spec.suspend are real; Flux's controllers do not run here."""
    upgrade = ["helm", "-n", NAMESPACE, "upgrade", "shop", str(CLUSTER / "product"), "--values",
               str(live.values("east")), "--wait"]
    seen = tmp_path / "seen"
    drill = flux_drill(live, "flux-drill", "sh", "-c",
                       f"kubectl -n {NAMESPACE} get helmreleases flux-shop -o 'jsonpath={{.spec.suspend}}' >{seen} "
                       "&& exec \"$@\"", "sh", *upgrade)
    assert drill.popen.wait(240) in (0, 1, 3), drill.said()
    assert seen.read_text() == "true"
    assert (suspendable("flux-shop"), suspendable("flux-frozen")) == ("false", "true")
    assert "Kustomization/flux-frozen in shop was suspended already, and stays so" in drill.said()
    # Killed, its guard resumes what it suspended.
    pid = tmp_path / "pid"
    drill = flux_drill(live, "flux-killed", "sh", "-c", f"echo $$ >{pid}; exec sleep 300")
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), 90, "the drill's command runs")
    assert suspendable("flux-shop") == "true"
    drill.kill()
    os.kill(int(pid.read_text()), signal.SIGKILL)
    wait_until(lambda: suspendable("flux-shop") == "false", 30, "it is resumed")
    assert suspendable("flux-frozen") == "true"


def refusals(live):
    """How often each agent of the first cluster logged that it may not read Secrets."""
    return [sum("secrets" in line.lower() for line in said.splitlines()) for said in live.agents_said("east")]


def test_secrets_that_may_not_be_read(live):
    role = json.loads(live.kubectl("east", "get", "role", "pilotgate-agent", "-o", "json"))
    kept = [rule for rule in role["rules"] if "secrets" not in rule["resources"]]
    assert len(kept) == len(role["rules"]) - 1
    live.kubectl("east", "patch", "role", "pilotgate-agent", "--type", "merge", "-p", json.dumps({"rules": kept}))
    live.restart_agents("east")

    def unreadable(gate):
        verdict = live.stage(gate, EAST)
        return verdict["verdict"] == "INCONCLUSIVE" and "releases could not be read" in verdict["reason"]

    wait_until(lambda: unreadable("helm-deployment") and unreadable("rollback"), 60, "the gates say why")
    reason = live.stage("helm-deployment", EAST)["reason"]
    assert "RBAC" in reason and "list, watch on secrets in namespace shop" in reason, reason
    status = live.ask("pilot", "status").stdout
    assert "secrets" in status.lower() or "releases" in status.lower(), status
    # Once in the log of the agent that does the stage's work, whoever that was since they began.
    assert sorted(refusals(live)) in ([0, 1], [1, 1]), live.agents_said("east")
    # Everything else goes on: calls, and the effect of an upgrade.
    assert "releases could not be read" not in live.stage("config-safety", EAST)["reason"]
    assert live.stage("helm-deployment", WEST)["verdict"] == "PASS"
    before = live.read("gates")["at"][:19]
    tools = json.loads(live.values("east").read_text())["gateway"]["tools"]
    tools = ",".join([t for t in tools if t != "sum"] if "sum" in tools else [*tools, "sum"])
    live.helm("east", "upgrade", "shop", CLUSTER / "product", "--values", live.values("east"), "--set",
              f"gateway.tools={{{tools}}}", "--wait")
    # Without a revision its signs may belong to the change before.
    wait_until(lambda: [c for c in live.changes(EAST) if c["last_sign"][:19] >= before and
                        "sum" in c["tools_added"] + c["tools_removed"]], 90, "the change is seen without releases")
    assert sorted(refusals(live)) in ([0, 1], [1, 1]), live.agents_said("east")
    # Given back, they are read again.
    live.kubectl("east", "patch", "role", "pilotgate-agent", "--type", "merge", "-p",
                 json.dumps({"rules": role["rules"]}))
    live.restart_agents("east")
    wait_until(lambda: live.stage("helm-deployment", EAST)["verdict"] == "PASS", 60, "releases are read again")


def test_each_replica_of_the_gateway_is_witnessed(replicas):
    """With two replicas, calls through the Service alone cannot tell that each one switched without a drop."""
    unseen, change = replicas.result(REPLICAS_BOUND)
    assert unseen["verdict"] == "INCONCLUSIVE" and "targets[].replicas" in unseen["reason"], unseen["reason"]
    assert change["verdict"] == "PASS", change["reason"]
    assert (change["replicas"]["before"], change["replicas"]["after"]) == (2, 2)
    pods = [s for s in change["switches"] if s.get("path", "").startswith("Pod/gateway-")]
    assert len(pods) == 2 and all(sum(s["units"].values()) >= 30 for s in pods), change["switches"]


def test_nothing_stays_of_the_clusters(pilot):
    """Last: taken down by the test itself, so that it can look."""
    indexes = re.findall(r"INDEX=(\d+)", run(CLUSTER / "cluster", "ls").stdout)
    assert len(indexes) == 2
    done = run(CLUSTER / "both", "down", bound=120)
    assert done.returncode == 0, done
    assert run(CLUSTER / "cluster", "ls").stdout == ""
    ours = re.compile(rf"pglab({'|'.join(indexes)})\D")
    wait_until(lambda: not ours.search(run("ip", "-o", "link").stdout), 20, "the clusters' links are gone")
