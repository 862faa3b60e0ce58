"""Every error that a user can cause is one line on stderr and exit status 2; the line names the thing and
says what to do."""
import json
import sqlite3

import pytest

from lab import AGENT, PILOTGATE, one_line, run

PILOT = "name: lab\nstages:\n  - {stage: local/a, agents: 1}\n"


def agent_words(folder, **changes):
    """A configuration that is right but for the changes, and the words that use it."""
    config = {"stage": {"cluster": "local", "namespace": "a"}, "kube": {"enabled": False},
              "spool": {"dir": str(folder / "spool")},
              "targets": [{"name": "g", "url": "http://127.0.0.1:9/mcp"}],
              "probes": [{"name": "p", "target": "g", "tool": "echo", "arguments": {"text": "{nonce}"},
                          "interval": "1s"}]}
    (folder / "agent.yaml").write_text(json.dumps({**config, **changes}))
    return ["--config", folder / "agent.yaml"]


@pytest.mark.parametrize("text, place, parts", [
    ("stages: [\n  {stage: a/b}\n", "3:1", []),
    ("name: lab\n\tstages: []\n", "2:1", []),
    ("name: lab\nname: twice\nstages: []\n", "2", ["name"]),
    ("", None, ["mapping"]),
    ("name: lab\n", None, ["stages"]),
    ("name: lab\nstages: [{stage: nowhere}]\n", None, ["CLUSTER/NAMESPACE"]),
    ("name: lab\nstages: [{stage: a/b}, {stage: a/b}]\n", None, ["a/b", "twice"]),
    ("name: lab\nstagse: []\n", None, ["stagse", "stages"]),
    ("name: lab\nbegin: soon\nstages: [{stage: a/b}]\n", None, ["begin", "2026-"]),
    ("name: lab\nrubric: {max_drop_rat: 0.1}\nstages: [{stage: a/b}]\n", None, ["max_drop_rat"]),
    ("name: lab\nrubric: {confidence: 3}\nstages: [{stage: a/b}]\n", None, ["confidence"]),
    ("name: [\x00]\n", None, []),
])
def test_a_pilot_file(tmp_path, text, place, parts):
    path = tmp_path / "pilot.yaml"
    path.write_text(text)
    line = one_line(run(PILOTGATE, "pilot", "init", "--file", path, "--store", f"sqlite:{tmp_path}/p.db"))
    assert str(path) in line, line
    assert place is None or f"{path}:{place}" in line, line
    assert all(part in line for part in parts), line
    assert not (tmp_path / "p.db").exists()


@pytest.mark.parametrize("text, place, parts", [
    ("stage:\n  cluster: [east\n  namespace: shop\n", "3:", []),
    ("stage: {cluster: east}\n\tx: y\n", "2:1", []),
    ("stage:\n  cluster: east\n  namespcae: shop\n", "3:", ["namespcae"]),
    ("stage: {cluster: east, namespace: shop}\nmax_in_flight: many\n", "2:", ["max_in_flight"]),
    ("stage: {cluster: east, namespace: shop}\nspool: {quota: 1}\n", "2:", ["quota"]),
    ("stage: {cluster: east}\n", None, ["stage.namespace"]),
    ("stage: {cluster: east, namespace: shop}\nkube: {enabled: false}\nprobes:\n  - {name: p, target: none, tool: t}\n", None, ["none"]),
])
@pytest.mark.parametrize("command", [[], ["check"]])
def test_an_agent_configuration(tmp_path, command, text, place, parts):
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    line = one_line(run(AGENT, *command, "--config", path))
    assert place is None or f"{path}:{place}" in line, line
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("words, parts", [
    (["gaets"], ["gaets", "gates"]),
    (["frobnicate"], ["frobnicate", "help"]),
    (["gates", "--nope"], ["--nope", "help gates"]),
    (["--nope", "gates"], ["--nope"]),
    (["gates", "word"], ["gates"]),
    (["gates", "--at", "yesterday"], ["yesterday", "2026-"]),
    (["gates", "--at"], ["--at"]),
    (["gates", "-o", "xml"], ["xml", "json"]),
    (["gates", "--stage", "local"], ["CLUSTER/NAMESPACE"]),
    (["gates", "--stage", "local/none"], ["local/none", "pilotgate status"]),
    (["explain", "config-safty"], ["config-safty", "config-safety"]),
    (["explain"], ["GATE"]),
    (["timeline", "local/none"], ["local/none"]),
    (["timeline", "-o", "xml"], ["xml", "gantt", "json"]),
    (["timeline", "--revision", "one"], ["one", "number"]),
    (["timeline", "--from", "2026-11-24T00:00:00Z", "--to", "2026-11-23T00:00:00Z"], ["--from", "--to"]),
    (["keygen", "everything", "--out", "x"], ["everything"]),
    (["keygen", "all", "--out", "x"], ["--stage"]),
    (["pilot", "frob"], ["frob", "init"]),
    (["pilot", "init"], ["--file"]),
    (["pilot", "init", "--file", "/nonexistent/pilot.yaml"], ["/nonexistent/pilot.yaml"]),
    (["drill", "config-change", "--", "true"], ["--stage"]),
    (["drill", "config-change", "--stage", "local/a"], ["--"]),
    (["drill", "explosion", "--stage", "local/a", "--", "true"], ["explosion", "config-change"]),
    (["drill", "config-change", "--stage", "local/a", "--", "true"], ["pilotgate serve"]),
    (["drill", "config-change", "--stage", "local/a", "--for", "long", "--", "true"], ["long", "--for"]),
    (["drill", "config-change", "--stage", "local/a", "--repeat", "0", "--", "true"], ["--repeat"]),
    (["serve"], ["--key", "--allow", "keygen"]),
    (["serve", "--key", "/nonexistent/server.key", "--allow", "/nonexistent/allow"], ["/nonexistent/server.key"]),
    (["mark", "--stage", "local/a", "--name", "t0", "--by", "me", "--at", "noon"], ["noon"]),
    (["backup"], ["FILE"]),
    (["backup", "/nonexistent/copy.db"], ["/nonexistent"]),
])
def test_the_collector_cli(lab, words, parts):
    lab.declare("a")
    line = one_line(lab.ask(*words))
    assert line.startswith("pilotgate: "), line
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("words, parts", [
    (["frobnicate"], ["frobnicate", "check"]),
    (["--nope"], ["--nope", "--help"]),
    (["check", "--nope", "x"], ["--nope"]),
    (["--config", "/nonexistent/agent.yaml"], ["/nonexistent/agent.yaml"]),
    (["--stage-cluster"], ["--stage-cluster"]),
])
def test_the_agent_command_line(words, parts):
    line = one_line(run(AGENT, *words))
    assert line.startswith("pilotgate-agent: "), line
    assert all(part in line for part in parts), line


def test_a_word_too_many_for_the_agent(tmp_path):
    for command in [], ["check"]:
        assert "'word'" in one_line(run(AGENT, *command, *agent_words(tmp_path), "word"))


@pytest.mark.parametrize("text, parts", [
    (None, ["hook"]),
    ("", ["hook", "URL"]),
    ("not a url\n", ["https://"]),
    ("http://hooks.example/s3cret\n", ["https", "--webhook-plain"]),
    ("file:///etc/s3cret\n", ["https"]),
    ("https://" + 5000 * "x" + "\n", ["URL"]),
])
def test_a_webhook(lab, text, parts):
    """Before anything is served, and without a word of the URL, which may be secret."""
    lab.make_keys("a")
    keys, path = lab.folder / "keys", lab.folder / "hook"
    if text is not None:
        path.write_text(text)
    line = one_line(lab.ask("serve", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--key",
                            keys / "server.key", "--allow", keys / "agents.allow", "--webhook-file", path))
    assert all(part in line for part in parts) and "s3cret" not in line, line


def test_an_address_for_metrics(lab):
    lab.make_keys("a")
    keys = lab.folder / "keys"
    collector = {"endpoint": "tcp://127.0.0.1:9", "server_key_file": str(keys / "server.pub"),
                 "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")}
    words = agent_words(lab.folder, collector=collector, metrics={"listen": "localhost"})
    line = one_line(run(AGENT, *words))
    assert "localhost" in line and "127.0.0.1" in line, line


@pytest.mark.parametrize("missing", ["server_key_file", "key_file", "hash_key_file"])
def test_a_missing_key_file_of_the_agent(lab, missing):
    lab.make_keys("a")
    keys = lab.folder / "keys"
    collector = {"endpoint": "tcp://127.0.0.1:9", "server_key_file": str(keys / "server.pub"),
                 "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")}
    collector[missing] = "/nonexistent/key"
    line = one_line(run(AGENT, *agent_words(lab.folder, collector=collector)))
    assert "/nonexistent/key" in line


def test_key_files_that_are_none(lab):
    lab.make_keys("a")
    wrong = lab.folder / "wrong"
    wrong.write_text("no key\n")
    keys = lab.folder / "keys"
    serve = ["serve", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0"]
    assert str(wrong) in one_line(lab.ask(*serve, "--key", wrong, "--allow", keys / "agents.allow"))
    assert str(wrong) in one_line(lab.ask(*serve, "--key", keys / "server.key", "--allow", wrong))
    assert "nonexistent" in one_line(lab.ask(*serve, "--key", keys / "server.key", "--allow", "/nonexistent"))
    assert "server.key" in one_line(lab.ask("keygen", "all", "--out", keys, "--stage", "local/a"))


def test_check_says_what_cannot_be_reached(lab):
    """`check` has a line for each endpoint on standard output, good or bad, and status 2."""
    stage = lab.begin("checked")
    stage.start_agent().end()
    words = ["check", "--config", stage.folder / "agent.yaml"]
    done = run(AGENT, *words)
    assert done.returncode == 0 and done.stderr == "", done
    assert "FAIL" not in done.stdout and done.stdout.count("ok ") >= 4
    stage.gateway.end()
    done = run(AGENT, *words)
    assert done.returncode == 2 and done.stderr == "", done
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert any("target gateway" in line and "nothing listens there" in line for line in failed), done.stdout
    assert not any("direct" in line for line in failed)
    lab.collector.kill()
    failed = [line for line in run(AGENT, *words).stdout.splitlines() if line.startswith("FAIL")]
    assert any(f"127.0.0.1:{lab.port}" in line for line in failed), failed


@pytest.mark.parametrize("url, parts", [
    (None, ["--store", "PILOTGATE_STORE"]),
    ("mysql://x", ["mysql", "sqlite:"]),
    ("sqlite:{folder}/none.db", ["none.db", "pilot init"]),
    ("sqlite:{folder}/nowhere/none.db", ["nowhere"]),
    ("sqlite:{folder}/text.db", ["text.db"]),
    ("sqlite:{folder}/other.db", ["other.db"]),
    ("sqlite:{folder}/newer.db", ["newer.db", "newer"]),
    ("sqlite:{folder}", []),
])
def test_stores_that_cannot_be_read(lab, url, parts):
    (lab.folder / "text.db").write_text("no database at all, but long enough to look at\n" * 100)
    with sqlite3.connect(lab.folder / "other.db") as db:
        db.execute("CREATE TABLE something(x)")
    lab.declare("a")
    lab.backup("newer.db")
    with sqlite3.connect(lab.folder / "newer.db") as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version + 1}")
    env = {"PILOTGATE_STORE": "" if url is None else url.format(folder=lab.folder)}
    line = one_line(run(PILOTGATE, "gates", env=env))
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("command, said", [
    (["false"], "status 1"), (["sh", "-c", "exit 7"], "status 7"), (["/nonexistent/helm"], "/nonexistent/helm"),
    (["sh", "-c", "kill -9 $$"], "status 137")])
def test_a_drill_of_a_command_that_fails(lab, command, said):
    stage = lab.begin("failing", load=3, hold=1)
    stage.start_witnessing()
    done = lab.ask("drill", "config-change", "--stage", stage.name, "--", *command, bound=60)
    assert done.returncode == 2, done
    assert done.stderr.splitlines()[-1].startswith("pilotgate: ") and said in done.stderr, done
    # The load is lowered again all the same, and the failure is on record.
    with lab.rows(live=True) as db:
        assert [row[0] for row in db.execute("SELECT kind FROM command ORDER BY id")] == [1, 2]
        body = json.loads(db.execute("SELECT body FROM document WHERE kind = 'drill' ORDER BY id DESC").fetchone()[0])
        assert body["failed"]


def test_a_port_that_is_taken(lab):
    lab.begin("a")
    keys = lab.folder / "keys"
    other = ["serve", "--store", f"sqlite:{lab.folder}/other.db", "--key", keys / "server.key", "--allow",
             keys / "agents.allow"]
    taken = one_line(lab.ask(*other, "--listen", f"tcp://127.0.0.1:{lab.port}", "--http", "127.0.0.1:0"))
    assert str(lab.port) in taken
    taken = one_line(lab.ask(*other, "--listen", "tcp://127.0.0.1:0", "--http", f"127.0.0.1:{lab.http}"))
    assert str(lab.http) in taken
    assert "nonsense" in one_line(lab.ask(*other, "--listen", "nonsense"))


def test_output_that_cannot_be_written(lab):
    lab.declare("a")
    done = run("sh", "-c", f"{PILOTGATE} gates --store {lab.url()} > /dev/full")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "write" in done.stderr, done
