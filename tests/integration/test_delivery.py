"""What becomes of records when collector or agent die, end, or are not let in."""
import re
import time

from lab import PILOTGATE, run, wait_until


def check_stream(records, stalled):
    """One lifetime's records: numbered without a hole, no loss, a coverage record each second, every call told.
    stalled: the longest time for which the machine itself stood still."""
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert not [r for r in records if r.WhichOneof("body") == "loss"]
    ticks = [r.mono_ns / 1e9 for r in records if r.WhichOneof("body") == "coverage" and r.coverage.probes]
    assert len(ticks) >= 4
    assert max(b - a for a, b in zip(ticks, ticks[1:])) < 2.5 + stalled
    numbers = sorted(call_numbers(records))
    assert numbers == list(range(1, len(numbers) + 1))


def call_numbers(records):
    for record in records:
        if record.WhichOneof("body") == "calls":
            number = record.calls.first_number
            for delta in record.calls.number_delta:
                number += delta
                yield number


def completed_calls(records):
    return sum(outcome == 1 for r in records if r.WhichOneof("body") == "calls" for outcome in r.calls.outcome)


def last_is_bye(records):
    return records[-1].WhichOneof("body") == "coverage" and records[-1].coverage.bye


def stream(lab, stage):
    streams = list(lab.records(stage).values())
    assert len(streams) == 1
    return streams[0]


def check_ended(lab, stage):
    """Ends the agent; nothing of its stream is missing, and every execution of the canary is in it."""
    assert stage.agent.end() == 0
    wait_until(lambda: last_is_bye(stream(lab, stage)), 20, "the agent's last record is committed")
    records = stream(lab, stage)
    check_stream(records, lab.stalls.longest)
    assert completed_calls(records) == len([e for e in stage.executions() if e["event"] == "end"])
    assert not [e for e in stage.executions() if e["event"] == "gone"]
    with lab.rows() as db:
        assert db.execute("SELECT count(*) FROM gap").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM conflict").fetchone() == (0,)
        assert db.execute("SELECT hwm FROM stream").fetchone() == (len(records),)


def test_sigterm_of_an_agent_is_an_orderly_end(lab):
    stage = lab.begin("bye")
    stage.start_witnessing()
    check_ended(lab, stage)
    wait_until(lambda: not stage.connected(), 20, "the session is ended")
    assert len(lab.agents()["agents"]) == 1
    assert [bool(r.coverage.bye) for r in stream(lab, stage) if r.WhichOneof("body") == "coverage"].count(True) == 1


def test_a_collector_that_is_down_for_a_minute_loses_nothing(lab):
    stage = lab.begin("minute")
    stage.start_witnessing()
    before = len(stream(lab, stage))
    lab.collector.kill()
    # Time itself is the subject: a minute without a collector.
    time.sleep(60)
    assert stage.agent.is_alive()
    lab.serve()
    wait_until(lambda: len(stream(lab, stage)) > before + 120, 30, "the agent sent what it kept")
    check_ended(lab, stage)


def test_both_sides_killed_lose_nothing_that_was_appended(lab):
    stage = lab.begin("both")
    stage.start_witnessing()
    lab.collector.kill()
    wait_until(lambda: sum(f.stat().st_size for f in (stage.folder / "spool").iterdir()) > 4096, 30, "records wait")
    stage.agent.kill()
    stage.start_agent()  # a second lifetime, while there is no collector; both are on the same spool
    wait_until(lambda: len(list((stage.folder / "spool").glob("*.seg"))) >= 2, 20, "the second lifetime has a spool")
    lab.serve()
    wait_until(lambda: len(streams := lab.records(stage)) == 2 and all(len(r) > 5 for r in streams.values()), 30,
               "both lifetimes arrive")
    assert stage.agent.end() == 0
    wait_until(lambda: any(last_is_bye(r) for r in lab.records(stage).values()), 20, "the last record is committed")
    streams = list(lab.records(stage).values())
    assert sorted(map(last_is_bye, streams)) == [False, True]
    for records in streams:
        assert [r.seq for r in records] == list(range(1, len(records) + 1))
        assert not [r for r in records if r.WhichOneof("body") == "loss"]
    with lab.rows() as db:
        assert db.execute("SELECT count(*) FROM gap").fetchone() == (0,)


def test_a_wrong_key_is_refused_counted_and_visible(lab):
    stage = lab.begin("stranger")
    done = run(PILOTGATE, "keygen", "agent", "--out", lab.folder / "keys", "--name", "stranger")
    assert done.returncode == 0, done
    public = re.search(r"^public: *(\S+)$", (lab.folder / "keys" / "stranger.pub").read_text(), re.M)[1]
    stage.config["collector"]["key_file"] = str(lab.folder / "keys" / "stranger.key")
    agent = stage.start_agent()

    def refusals():
        return [r for r in lab.agents()["refusals"] if r["key"] == public]

    first = wait_until(refusals, 30, "the refusal is visible")
    assert first[0]["count"] >= 1 and first[0]["reason"]
    wait_until(lambda: sum(r["count"] for r in refusals()) > first[0]["count"], 60, "the next refusal is counted")
    assert public[:8] in lab.ask("agents").stdout
    assert agent.is_alive() and lab.agents()["agents"] == []
    assert lab.verdict("config-safety", stage.name)["verdict"] == "PENDING"
    # Let in, without a restart of either: what it witnessed before arrives too.
    with (lab.folder / "keys" / "agents.allow").open("a") as allow:
        allow.write(f"{public} local stranger\n")
    wait_until(stage.connected, 60, "the agent is let in")
    assert agent.is_alive()
    wait_until(lambda: len(stream(lab, stage)) > 10, 20, "its records arrive")
    check_ended(lab, stage)


def test_a_key_that_is_taken_off_the_list_ends_the_session(lab):
    stage = lab.begin("removed")
    stage.start_witnessing()
    allow = lab.folder / "keys" / "agents.allow"
    kept = allow.read_text()
    allow.write_text("# nobody\n")
    wait_until(lambda: not stage.connected(), 30, "the session is ended")
    assert stage.agent.is_alive()
    allow.write_text(kept)
    wait_until(stage.connected, 60, "the agent is let in again")
    check_ended(lab, stage)


def test_a_key_speaks_for_its_own_stages_only(lab):
    stage = lab.begin("mine")
    stage.config["stage"]["namespace"] = "other"
    agent = stage.start_agent()
    wait_until(lambda: lab.agents()["refusals"], 30, "the refusal is visible")
    assert any("other" in r["reason"] or "stage" in r["reason"] or "namespace" in r["reason"]
               for r in lab.agents()["refusals"])
    assert agent.is_alive() and lab.records(stage) == {}


def test_a_second_daemon_on_the_same_store_is_refused(lab):
    lab.begin("one")
    keys = lab.folder / "keys"
    done = lab.ask("serve", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--key", keys / "server.key",
                   "--allow", keys / "agents.allow")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "another `pilotgate serve`" in done.stderr
    assert lab.collector.is_alive()
