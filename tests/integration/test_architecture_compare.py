"""`compare` on a pilot of two stages that differ, from agents' lists to what a person or a build reads: one document in
every format, the exit status of the contract, errors that say what to do. See test_architecture.py on the fake."""
import json
import re
import xml.etree.ElementTree

import pytest
import yaml
from lab import PILOTGATE, one_line, run, wait_until
from test_architecture import BUDGET, declare, deployment, judged, kubes  # noqa: F401

STAGES = ("east", "west")


def begin(lab, kubes, *items):
    """Stages whose API servers list these objects."""
    stages = lab.begin(*STAGES[:len(items)])
    stages = stages if isinstance(stages, (list, tuple)) else [stages]
    for stage, these in zip(stages, items):
        stage.kube = kubes(these)
        stage.config["kube"] = {"enabled": True, "api": stage.kube.url, "own_release": "pilotgate", "lease": ""}
    return stages


@pytest.fixture
def differing(lab, kubes):  # noqa: F811
    """local/east has what the reference asks for, local/west one replica and no budget."""
    east, west = begin(lab, kubes, {"deployments": [deployment(2)], "poddisruptionbudgets": [BUDGET]},
                       {"deployments": [deployment(1)]})
    declare(lab)
    for stage in (east, west):
        stage.start_agent()
    for stage in (east, west):
        judged(lab, stage)
    document, _ = lab.gates()
    lab.at = document["at"]
    return east, west


def document(lab, status, *words):
    done = lab.ask("compare", *words, "--at", lab.at, "-o", "json")
    assert done.returncode == status, done
    return json.loads(done.stdout)


def test_stages_as_columns(lab, differing):
    found = document(lab, 1)
    assert [s["stage"] for s in found["stages"]] == ["local/east", "local/west"]
    assert found["verdict"] == "FAIL" and found["reference"]["id"] == "shop"
    cells = {row["id"]: (row["cells"]["local/east"], row["cells"]["local/west"]) for row in found["rows"]}
    assert cells == {"replicas": ("PASS", "FAIL"), "budget": ("PASS", "FAIL"), "policy": ("FAIL", "FAIL")}
    assert [row["id"] for row in found["rows"]] == ["replicas", "budget", "policy"]
    assert document(lab, 0, "local/east")["verdict"] == "PASS"  # only recommended rows fail
    assert [s["stage"] for s in document(lab, 1, "--stage", "local/west")["stages"]] == ["local/west"]

    table = lab.ask("compare", "--at", lab.at)
    assert table.returncode == 1 and table.stdout == lab.ask("compare", "--at", lab.at).stdout
    for text in ("local/west  FAIL", "Deployment/gateway /spec/replicas: expected at least 2, found 1",
                 "pilotgate explain architecture"):
        assert text in table.stdout, table.stdout
    for width in (80, 160):
        narrow = run(PILOTGATE, "compare", "--at", lab.at, env={"PILOTGATE_STORE": lab.url(), "COLUMNS": str(width)})
        lines = narrow.stdout[:narrow.stdout.index("\nunmet\n")].split("\n")
        assert max(map(len, lines)) <= width and narrow.stdout.count("FAIL") == table.stdout.count("FAIL")


def test_formats_of_one_document(lab, differing):
    for words in ((), ("local/east", "local/west"), ("--over",)):
        status = 0 if words == ("--over",) else 1
        found = document(lab, status, *words)
        text = lab.ask("compare", *words, "--at", lab.at, "-o", "yaml")
        assert text.returncode == status and yaml.safe_load(text.stdout) == found
        markdown = lab.ask("compare", *words, "--at", lab.at, "-o", "markdown").stdout
        columns = {line.count("|") for line in markdown.split("\n") if line.startswith("|")}
        assert len(columns) == 1, markdown
    suite = xml.etree.ElementTree.fromstring(lab.ask("compare", "--at", lab.at, "-o", "junit").stdout)
    assert suite.attrib["tests"] == "6" and suite.attrib["failures"] == "2" and suite.attrib["skipped"] == "2"
    assert {c.attrib["name"] for c in suite if c.find("failure") is not None} == {"replicas", "budget"}
    assert "/spec/replicas" in "".join(suite.itertext())


def test_two_stages_with_each_other(lab, differing):
    found = document(lab, 1, "local/east", "local/west")
    assert found == document(lab, 1, "--stage", "local/east", "--stage", "local/west")
    differences = {(d["object"], d["pointer"]): d for d in found["differences"]}
    assert set(differences) == {("Deployment/gateway", "/spec/replicas"), ("PodDisruptionBudget/gateway", "")}
    replicas = differences["Deployment/gateway", "/spec/replicas"]
    assert (replicas["expected"], replicas["found"]) == ("2", "1")
    assert replicas["since_a"] and replicas["since_b"] and replicas["since_bound_a"] == "at most"
    assert replicas["evidence_a"] and replicas["evidence_b"]
    budget = differences["PodDisruptionBudget/gateway", ""]
    assert budget["what"] == "missing" and budget["since_a"] and "since_b" not in budget
    table = lab.ask("compare", "local/east", "local/west", "--at", lab.at).stdout
    assert "only on local/east\n  PodDisruptionBudget/gateway" in table
    assert re.search(r"/spec/replicas\n +local/east +2.*\n +local/west +1 +at least since 20", table), table


def test_over_time(lab, kubes):  # noqa: F811
    (stage,) = begin(lab, kubes, {"deployments": [deployment(1)], "poddisruptionbudgets": [BUDGET]})
    declare(lab)
    stage.start_agent()
    assert judged(lab, stage)["verdict"] == "FAIL"
    stage.agent.end()
    better = deployment(2)
    better["metadata"].update(resourceVersion="2")
    stage.kube.server.items.update(stage.kube.objects({"deployments": [better]}))
    stage.start_agent()
    wait_until(lambda: judged(lab, stage)["verdict"] == "PASS", 30, "the new state is told")
    found = json.loads(lab.ask("compare", "--over", "-o", "json").stdout)
    (told,) = found["stages"]
    turned = [m["moved"] for m in told["moments"]]
    assert {"id": "replicas", "from": "FAIL", "to": "PASS"} in sum(turned, []), told
    assert told["moments"][-1]["verdict"] == "PASS"
    table = lab.ask("compare", "--over", "--stage", stage.name)
    assert table.returncode == 0 and "replicas: FAIL -> ok" in table.stdout
    assert "local/nowhere" in one_line(lab.ask("compare", "--over", "local/nowhere"))


def test_without_a_reference_it_says_what_to_do(lab):
    lab.declare("a")
    done = lab.ask("compare")
    assert done.returncode == 3 and "PENDING" in done.stdout and "architecture:" in done.stdout, done
    assert "pilot init" in done.stdout
    suite = xml.etree.ElementTree.fromstring(lab.ask("compare", "-o", "junit").stdout)
    assert suite.attrib["errors"] == "1"
    over = lab.ask("compare", "--over")
    assert over.returncode == 0 and "architecture:" in over.stdout or "not compared" in over.stdout, over


@pytest.mark.parametrize("words, part", [
    (["local/nowhere"], "local/nowhere"),
    (["local/a", "local/nowhere"], "local/nowhere"),
    (["local/a", "local/a"], "itself"),
    (["local"], "CLUSTER/NAMESPACE"),
    (["local/a", "local/b", "--stage", "local/c"], "two stages"),
    (["--stage", "local/a", "--stage", "local/b", "--stage", "local/c"], "two stages"),
    (["--over", "local/a", "local/b"], "--over"),
    (["--over", "-o", "junit"], "junit"),
    (["--over", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"], "before"),
    (["--from", "2026-01-02T00:00:00Z"], "--over"),
    (["--all", "--over"], "--all"),
    (["-o", "xml"], "markdown"),
])
def test_errors_say_what_to_do(lab, words, part):
    lab.declare("a", "b")
    line = one_line(lab.ask("compare", *words))
    assert part in line, line


def test_a_store_without_a_pilot(lab):
    (lab.folder / "pilot.db").touch()
    line = one_line(lab.ask("compare", store=lab.folder / "none.db"))
    assert "pilotgate" in line
