"""Sites that reach the collector through a proxy or not at all, and keys that are changed under running agents."""
import re

from lab import AGENT, PILOTGATE, free_port, listens, run, wait_until
from test_delivery import check_ended, stream


def spool_bytes(stage):
    return sum(f.stat().st_size for f in (stage.folder / "spool").glob("*.seg"))


def export(stage, name):
    """Beside the running agent."""
    file = stage.folder / name
    done = run(AGENT, "spool", "export", "--config", stage.folder / "agent.yaml", file)
    assert done.returncode == 0, done
    assert not done.stdout and re.fullmatch(r"pilotgate-agent: \d+ records exported\n", done.stderr)
    return file, int(re.search(r"\d+", done.stderr)[0])


def imported(lab, file):
    keys = lab.folder / "keys"
    return lab.ask("import", "--key", keys / "server.key", "--allow", keys / "agents.allow", file)


def counts(lab):
    with lab.rows() as db:
        return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("gap", "conflict")]


def test_a_site_that_cannot_connect_exports(lab):
    stage = lab.begin("island")
    lab.collector.end()
    there = stage.config["collector"]["endpoint"]
    stage.config["collector"]["endpoint"] = f"tcp://127.0.0.1:{free_port()}"
    agent = stage.start_agent()
    wait_until(lambda: spool_bytes(stage) > 6000, 40, "records wait")
    first, n = export(stage, "first.export")
    assert n > 10
    # A byte that was changed on the way, and a file that ends early: refused, and nothing of it is taken.
    for name, change in (("flipped", lambda b: b[:2000] + bytes([b[2000] ^ 1]) + b[2001:]), ("cut", lambda b: b[:-9])):
        bad = stage.folder / name
        bad.write_bytes(change(first.read_bytes()))
        done = imported(lab, bad)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    assert lab.records(stage) == {}
    done = imported(lab, first)
    assert done.returncode == 0, done
    records = stream(lab, stage)
    assert [r.seq for r in records] == list(range(1, n + 1))
    wait_until(lambda: spool_bytes(stage) > 10000, 40, "more records wait")
    second, more = export(stage, "second.export")
    assert more > n and agent.is_alive()
    for file in (second, first):  # in any order, and twice
        done = imported(lab, file)
        assert done.returncode == 0, done
    assert [r.seq for r in stream(lab, stage)] == list(range(1, more + 1))
    assert counts(lab) == [0, 0]
    # The way is open at last: what came by hand is not counted twice.
    assert agent.end() == 0
    stage.config["collector"]["endpoint"] = there
    lab.serve()
    stage.start_agent()
    wait_until(lambda: sorted(len(r) > 5 for r in lab.records(stage).values()) == [True, True], 30, "both arrive")
    for records in lab.records(stage).values():
        assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert counts(lab) == [0, 0]


def test_export_says_what_is_wrong(lab):
    stage = lab.begin("wrong")
    stage.start_agent()
    config = stage.folder / "agent.yaml"
    for words, text in (((), "name the file"), (("--dir", "/nowhere/at/all", "-"), "/nowhere/at/all"),
                        (("--dir", stage.folder / "spool", "/nowhere/file"), "/nowhere/file")):
        done = run(AGENT, "spool", "export", "--config", config, *words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and text in done.stderr, done
        assert done.stdout == ""


def start_proxy(lab, port, name="proxy"):
    proxy = lab.start(name, "microsocks", "-i", "127.0.0.1", "-p", str(port))
    wait_until(lambda: listens(port), 20, "the proxy listens")
    return proxy


def test_the_way_leads_through_a_socks_proxy(lab):
    stage = lab.begin("proxied")
    port = free_port()
    proxy = start_proxy(lab, port)
    stage.config["collector"]["socks_proxy"] = f"127.0.0.1:{port}"
    stage.start_witnessing()
    assert f"connected to 127.0.0.1:{lab.port}" in proxy.said()
    proxy.kill()
    wait_until(lambda: not stage.connected(), 40, "without the proxy there is no session")
    before = len(stream(lab, stage))
    start_proxy(lab, port, "proxy-again")
    wait_until(stage.connected, 40, "the session is back")
    wait_until(lambda: len(stream(lab, stage)) > before + 10, 30, "records arrive again")
    check_ended(lab, stage)


def new_key(lab, who, name):
    keys = lab.folder / "keys"
    done = run(PILOTGATE, "keygen", who, "--out", keys, "--name", name)
    assert done.returncode == 0, done
    public = re.search(r"^public: *(\S+)$", (keys / f"{name}.pub").read_text(), re.M)[1]
    return keys / f"{name}.key", public


def test_an_agents_key_is_changed_without_a_restart(lab):
    stage = lab.begin("agentkey")
    stage.start_witnessing()
    allow = lab.folder / "keys" / "agents.allow"
    key, public = new_key(lab, "agent", "agent2")
    old = allow.read_text()
    allow.write_text(old + f"{public} local agentkey\n")  # the overlap: both are good
    key.replace(lab.folder / "keys" / "agent.key")
    allow.write_text(f"{public} local agentkey\n")  # its end: the session under the old key ends
    wait_until(lambda: [a for a in stage.connected() if a["key"] == public], 60, "it came back with the new key")
    assert stage.agent.is_alive()
    check_ended(lab, stage)


def test_the_collectors_key_is_changed_without_a_restart_of_agents(lab):
    stage = lab.begin("serverkey")
    stage.start_witnessing()
    keys = lab.folder / "keys"
    key, public = new_key(lab, "server", "server2")
    with (keys / "server.pub").open("a") as known:
        known.write(f"public: {public}\n")
    lab.collector.end()
    key.replace(keys / "server.key")
    lab.serve()
    wait_until(stage.connected, 60, "the agent tried the other key")
    assert stage.agent.is_alive()
    check_ended(lab, stage)
