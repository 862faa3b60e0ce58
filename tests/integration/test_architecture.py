"""The gate Architecture from an agent's lists to the verdict: what is declared is stored once, what differs is named
with its place, and what nobody may read is no pass.

The API server is a fake (fake_kube.py) because objects are to be refused and to be wrong in single fields within
seconds; real ones, with real charts, are in tests/reference."""
import json

import pytest
from fake_kube import FakeKube
from lab import one_line, wait_until

REFERENCE = {
    "schema": "pilotgate.reference/1", "id": "shop", "title": "Two of each",
    "expectations": [
        {"id": "replicas", "title": "At least two replicas", "severity": "required", "why": "one node may go",
         "source": "the test", "for": {"kind": "Deployment", "name": "gateway"},
         "expect": [{"at": "/spec/replicas", "at_least": 2}]},
        {"id": "budget", "title": "A disruption budget", "severity": "required", "why": "nodes are drained",
         "source": "the test", "all_of": [{"kind": "PodDisruptionBudget", "name": "gateway"}]},
        {"id": "policy", "title": "A network policy", "severity": "recommended", "why": "pods talk to each other",
         "source": "the test", "all_of": [{"kind": "NetworkPolicy"}]}]}


def deployment(replicas):
    return {"metadata": {"name": "gateway", "annotations": {"meta.helm.sh/release-name": "shop"}},
            "spec": {"replicas": replicas}}


BUDGET = {"metadata": {"name": "gateway"}, "spec": {"minAvailable": 1}}


@pytest.fixture
def kubes():
    made = []

    def make(items):
        made.append(FakeKube(items))
        return made[-1]
    yield make
    for kube in made:
        kube.close()


def declare(lab, **architecture):
    """The lab's pilot with a reference; what init said."""
    path = lab.folder / "pilot.yaml"
    (lab.folder / "shop.json").write_text(json.dumps(REFERENCE))
    pilot = json.loads(path.read_text())
    pilot["architecture"] = {"reference": "shop.json", **architecture}
    path.write_text(json.dumps(pilot))
    done = lab.ask("pilot", "init", "--file", path, "--key", lab.folder / "keys" / "pilot.hash")
    assert done.returncode == 0, done
    return done.stdout


def begin(lab, kube):
    stage = lab.begin("arch")
    stage.config["kube"] = {"enabled": True, "api": kube.url, "own_release": "pilotgate", "lease": ""}
    return stage


def judged(lab, stage):
    """The stage once its objects were read."""
    def read():
        o = lab.verdict("architecture", stage.name)
        return o if "rows" in o and not o["not_read"] else None
    return wait_until(read, 30, "the stage is read")


def rows(o):
    return {r["id"]: r["verdict"] for r in o["rows"]}


def stored_references(lab):
    with lab.rows() as db:
        return db.execute("SELECT name FROM document WHERE kind = 'reference'").fetchall()


def test_a_stage_that_differs_fails_where_and_why(lab, kubes):
    stage = begin(lab, kubes({"deployments": [deployment(1)]}))
    assert lab.verdict("architecture", stage.name)["verdict"] == "PENDING"
    said = declare(lab)
    assert "reference" in said
    assert "is as it was" in declare(lab)
    ((digest,),) = stored_references(lab)
    stage.start_agent()
    o = judged(lab, stage)
    assert o["verdict"] == "FAIL", o
    assert rows(o) == {"replicas": "FAIL", "budget": "FAIL", "policy": "FAIL"}
    assert o["reference"]["digest"] == digest
    (difference,) = next(r for r in o["rows"] if r["id"] == "replicas")["differences"]
    assert difference["object"] == "Deployment/gateway" and difference["pointer"] == "/spec/replicas"
    assert difference["found"] == "1" and difference["since"] and difference["since_bound"] == "at most"
    assert difference["evidence"][0] in o["evidence"]
    explained = lab.ask("explain", "architecture").stdout
    for text in ("Deployment/gateway", "/spec/replicas", "one node may go", "the test", difference["evidence"][0],
                 "PodDisruptionBudget"):
        assert text in explained, explained
    assert all(len(line) <= 120 for line in explained.split("\n"))
    junit = lab.ask("gates", "-o", "junit").stdout
    assert "FAIL required replicas" in junit
    # The same at the same time, whatever is declared later.
    document, _ = lab.gates()
    declare(lab, tolerate=[{"expectation": "*", "reason": "a test", "owner": "platform team"}])
    again, _ = lab.gates("--at", document["at"])
    assert again == document
    o = judged(lab, stage)
    assert o["verdict"] == "PASS", o
    assert next(r for r in o["rows"] if r["id"] == "replicas")["differences"][0]["tolerated"]["owner"] == "platform team"
    assert "platform team" in lab.ask("explain", "architecture").stdout
    markdown = lab.ask("gates", "-o", "markdown").stdout
    assert "| local/arch | replicas | required | tolerated | a test (platform team) |" in markdown, markdown
    assert len(stored_references(lab)) == 2


def test_a_stage_as_recommended_passes(lab, kubes):
    stage = begin(lab, kubes({"deployments": [deployment(2)], "poddisruptionbudgets": [BUDGET]}))
    declare(lab)
    stage.start_agent()
    o = judged(lab, stage)
    assert o["verdict"] == "PASS", o
    assert rows(o) == {"replicas": "PASS", "budget": "PASS", "policy": "FAIL"}  # recommended only
    stage.agent.kill()


def test_what_may_not_be_read_is_no_pass(lab, kubes):
    kube = kubes({"deployments": [deployment(2)]})
    kube.server.refused = {"poddisruptionbudgets"}
    stage = begin(lab, kube)
    declare(lab)
    stage.start_agent()

    def refused():
        o = lab.verdict("architecture", stage.name)
        unread = o.get("not_read", [])
        return o if [n["kind"] for n in unread] == ["PodDisruptionBudget"] and "RBAC" in unread[0]["reason"] else None
    o = wait_until(refused, 30, "all else is read")
    assert o["verdict"] == "INCONCLUSIVE", o
    assert "RBAC" in o["reason"]
    assert rows(o)["budget"] == "INCONCLUSIVE"
    status = lab.ask("status").stdout
    assert "objects of kind PodDisruptionBudget are not read" in status


def test_what_went_while_nobody_watched_is_not_believed_to_be_there(lab, kubes):
    kube = kubes({"deployments": [deployment(2)], "poddisruptionbudgets": [BUDGET]})
    stage = begin(lab, kube)
    declare(lab)
    stage.start_agent()
    assert judged(lab, stage)["verdict"] == "PASS"
    stage.agent.kill()
    kube.server.items["poddisruptionbudgets"] = []
    stage.start_agent()  # it lists what there is, and knows of nothing else

    def doubted():
        o = lab.verdict("architecture", stage.name)
        return o if o["verdict"] == "INCONCLUSIVE" and "may be gone" in o["reason"] else None
    assert rows(wait_until(doubted, 30, "the budget is doubted")) == {
        "replicas": "PASS", "budget": "INCONCLUSIVE", "policy": "FAIL"}


def test_a_pilot_with_a_wrong_reference_is_refused(lab):
    lab.declare("a")
    path = lab.folder / "pilot.yaml"
    pilot = json.loads(path.read_text())
    for architecture, text in (({"reference": "nowhere.yaml"}, "nowhere.yaml"), ({"refrence": "x"}, "architecture"),
                               ({"reference": []}, "reference"),
                               ({"reference": "shop.json", "tolerate": [{"object": "*"}]}, "reason")):
        (lab.folder / "shop.json").write_text(json.dumps(REFERENCE))
        path.write_text(json.dumps({**pilot, "architecture": architecture}))
        assert text in one_line(lab.ask("pilot", "init", "--file", path))
