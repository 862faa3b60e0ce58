"""Versions that are one apart, in both orders of an upgrade: an agent and a collector of version 0.1, over its frozen
schema and decoder (tests/compat), against the real programs of this version."""
import json
import re
import sqlite3
import types

from google.protobuf import descriptor_pb2

from lab import BUILD, TOP, Stage, listens, run, wait_until
from test_delivery import check_ended

OLD_AGENT = BUILD / "tests" / "compat-old-agent"
OLD_COLLECTOR = BUILD / "tests" / "compat-old-collector"
UNKNOWN, CALLS = 0, 3  # enum wire_family


def begin_alone(lab, name):
    """A collector of this version that expects one agent, which no test starts."""
    lab.make_keys(name)
    lab.declare(name)
    lab.serve()
    return types.SimpleNamespace(name=f"local/{name}")


def send_old(lab, stage, *options):
    """What an agent of version 0.1 has to tell, acknowledged in full; the records as they are stored."""
    keys = lab.folder / "keys"
    done = run(OLD_AGENT, *options, f"tcp://127.0.0.1:{lab.port}", keys / "server.pub", keys / "agent.key",
               *stage.name.split("/"))
    assert done.returncode == 0, done
    records = next(iter(lab.records(stage).values()))
    assert done.stdout == f"{len(records)} records\n"
    return records


def bodies(records):
    return [r.WhichOneof("body") for r in records]


def outcomes_told(lab, stage):
    done = lab.ask("calls", "--stage", stage.name, "-o", "json")
    assert done.returncode == 0, done
    return sorted(c["outcome"] for c in json.loads(done.stdout))


def families(lab):
    with lab.rows() as db:
        return dict(db.execute("SELECT family, count(*) FROM record GROUP BY family"))


def test_an_old_agent_and_this_collector(lab):
    stage = begin_alone(lab, "old")
    records = send_old(lab, stage)
    assert bodies(records) == ["coverage", "calls", "call", "object", "coverage"]
    assert list(records[1].calls.outcome) == [1, 1, 1, 7, 1]
    assert lab.agents()["refusals"] == []
    assert outcomes_told(lab, stage) == ["completed"] * 4 + ["reset"]
    agents = wait_until(lambda: lab.agents()["agents"], 10, "the session's row, which housekeeping writes")
    assert [a["version"] for a in agents] == ["0.1.0"]
    document, status = lab.gates()
    assert status == 3 and not document.get("warnings")


def test_a_newer_agent_and_this_collector(lab):
    """An outcome and a family that nobody knows yet: stored, acknowledged and flagged; unknown is no success."""
    stage = begin_alone(lab, "newer")
    records = send_old(lab, stage, "--newer")
    assert bodies(records) == ["coverage", "calls", "call", "object", None, "coverage"]
    assert families(lab)[UNKNOWN] == 1
    assert outcomes_told(lab, stage) == ["completed"] * 3 + ["reset", "unknown"]
    document, status = lab.gates()
    assert status == 3 and re.search("1 records are of a kind that this version", json.dumps(document))


def described(folder, proto):
    """Every field and enum number of a schema: {name: what it is on the wire}."""
    out = folder / f"{proto.stem}.set"
    done = run("protoc", f"-I{proto.parent}", f"--descriptor_set_out={out}", proto)
    assert done.returncode == 0, done
    file = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    found = {}

    def walk(prefix, messages, enums):
        for e in enums:
            found.update({f"{prefix}{e.name}.{v.name}": v.number for v in e.value})
        for m in messages:
            for f in m.field:
                kind = f.type_name.replace(f".{file.package}.", "")
                found[f"{prefix}{m.name}.{f.name}"] = (f.number, f.type, f.label, kind, f.HasField("oneof_index"))
            walk(f"{prefix}{m.name}.", m.nested_type, m.enum_type)

    walk("", file.message_type, file.enum_type)
    return found


def test_fields_are_only_added(tmp_path):
    old = described(tmp_path, TOP / "tests" / "compat" / "v1.proto")
    new = described(tmp_path, TOP / "proto" / "pilotgate.proto")
    assert len(old) > 100 and "Record.calls" in old
    assert {name: new.get(name) for name in old} == old


def old_store(lab):
    """A store as version 0.1 made it."""
    db = sqlite3.connect(lab.db)
    db.executescript((TOP / "tests" / "compat" / "v1_schema.sql").read_text())
    db.execute("PRAGMA journal_mode = WAL")
    db.close()


def stored_by_old(lab, family):
    db = sqlite3.connect(f"file:{lab.db}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(*) FROM record WHERE family = ?", (family,)).fetchone()[0]
    finally:
        db.close()


def test_this_agent_and_an_old_collector_which_is_then_upgraded(lab):
    lab.make_keys("new")
    old_store(lab)
    old = lab.start("old-collector", OLD_COLLECTOR, f"tcp://127.0.0.1:{lab.port}", lab.folder / "keys" / "server.key",
                    lab.db)
    wait_until(lambda: listens(lab.port), 20, "the old collector listens")
    stage = Stage(lab, "new", load=80, extra="", hold=1, node=None)
    stage.start_agent()
    wait_until(lambda: stored_by_old(lab, UNKNOWN) >= 4, 40, "blocks arrive that it does not know")
    assert stored_by_old(lab, CALLS) == 0
    assert old.end() == 0
    told = dict(line.split() for line in old.said().split("\n")[-10:-1])
    assert told["refused"] == "0" and int(told["coverage"]) >= 4 and int(told["unknown"]) >= 4

    lab.serve()  # the upgrade: the same store, the same agent, which never ended
    lab.declare("new")
    wait_until(stage.connected, 40, "the agent is back")
    assert stage.agent.is_alive()
    wait_until(lambda: families(lab).get(CALLS, 0) > int(told["unknown"]), 20, "newer blocks follow")
    assert UNKNOWN not in families(lab)
    assert outcomes_told(lab, stage).count("completed") >= 4
    check_ended(lab, stage)
