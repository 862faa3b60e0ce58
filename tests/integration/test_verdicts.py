"""Verdicts on real changes of a real gateway, judged from what a real agent witnessed."""
import json
import re
import signal
import time

from lab import ADDED, HARMFUL, PLAIN, one_line, run, wait_until

GATES = ["helm-deployment", "config-safety", "rollback", "architecture", "dedicated-se"]


def change_of(verdict):
    assert len(verdict["changes"]) == 1, verdict
    return verdict["changes"][0]


def test_an_empty_store_is_pending_everywhere(lab):
    lab.declare("a", "b")
    document, status = lab.gates()
    assert status == 3
    assert [g["id"] for g in document["gates"]] == GATES
    for gate in document["gates"]:
        assert gate["verdict"] == "PENDING", gate
        assert [(s["stage"], s["verdict"]) for s in gate["stages"]] == [("local/a", "PENDING"), ("local/b", "PENDING")]
        assert all(s["reason"] for s in gate["stages"])
    assert lab.ask("gates").returncode == 3


def test_a_store_without_a_pilot_is_pending_everywhere(lab):
    lab.make_keys("a")
    lab.serve()
    document, status = lab.gates()
    assert status == 3
    assert [(g["id"], g["verdict"]) for g in document["gates"]] == [(gate, "PENDING") for gate in GATES]


def test_a_good_change_passes(lab):
    stage = lab.begin("good")
    stage.start_witnessing()
    drill = lab.drill(stage, *stage.reload(ADDED))
    assert lab.finish_drill(drill) in (0, 3)
    verdict = lab.settled_verdict("config-safety", stage.name)
    assert verdict["verdict"] == "PASS", verdict["reason"]
    assert verdict["measured"]["units"] >= verdict["measured"]["units_needed"] == 59
    assert 0 < verdict["measured"]["rate_bound"] <= 0.05
    change = change_of(verdict)
    assert change["tools_added"] == ["sum"] and change["lost"] == [] and change["unwitnessed"] == []
    assert change["measured"]["in_flight_reused"] >= 30 and change["measured"]["in_flight_new"] >= 30
    assert change["measured"]["in_flight"] == verdict["measured"]["units"]
    assert verdict["evidence"]
    document, status = lab.gates()
    assert status == 3  # the other gates have nothing to judge here
    assert next(g for g in document["gates"] if g["id"] == "rollback")["verdict"] == "PENDING"
    # Nothing that the canary ran was broken off.
    assert not [e for e in stage.executions() if e["event"] == "gone"]


def test_a_harmful_change_fails_and_names_every_dropped_call(lab):
    stage = lab.begin("harmful", load=40, extra=HARMFUL)
    stage.start_witnessing()
    drill = lab.drill(stage, *stage.reload(ADDED))
    assert lab.finish_drill(drill) == 1
    assert lab.gates()[1] == 1
    verdict = lab.verdict("config-safety", stage.name)
    assert verdict["verdict"] == "FAIL", verdict["reason"]
    change = change_of(verdict)
    lost = change["lost"]
    assert len(lost) == change["measured"]["dropped"] + change["measured"]["interrupted"] >= 20
    for call in lost:
        assert call["reading"] in ("dropped", "interrupted"), call
        for part in ("call", "start", "how_far", "why", "evidence", "outcome", "probe"):
            assert call[part], (part, call)
        assert call["evidence"] in change["evidence"]
    assert_logs_agree(stage, {call["call"]: call for call in lost})
    explained = lab.ask("explain", "config-safety", "--stage", stage.name).stdout
    assert all(call["call"] in explained for call in lost[:40])  # so many are listed; JSON has them all


def assert_logs_agree(stage, lost):
    """The lost calls are those that the canary's own log has as gone; in the moment of the gateway's stop one may
    be answered and not passed on. The gateway's log names those that it ended on new connections."""
    gone = {e["call"] for e in stage.executions() if e["event"] == "gone"}
    named = {e["call"] for e in stage.handled() if re.match("K[^-]", e["end"]) and e["call"] != "-"}
    ended = {e["call"] for e in stage.executions() if e["event"] == "end"}
    assert gone <= set(lost) and set(lost) - gone <= ended
    new = {name for name, call in lost.items() if call["connection"] == "new"}
    assert named <= new
    if named != new:  # its stop ended before it had logged every call; it says so, and how many it closed
        said = stage.gateway.said()
        assert "Some tasks resisted to hard-stop" in said
        assert len(lost) <= int(re.findall(r"Proxy mcp hard-stopped \((\d+) remaining", said)[-1])


def test_a_failure_stands_until_a_passing_change_supersedes_it(lab):
    stage = lab.begin("again", extra=HARMFUL)
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 1
    stage.extra = ""
    # The worker that this reload stops still has the harmful setting; the one after it has not.
    assert lab.finish_drill(lab.drill(stage, *stage.reload(PLAIN))) == 1
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) in (1, 3)
    verdict = lab.settled_verdict("config-safety", stage.name)
    assert [c["verdict"] for c in verdict["changes"]] == ["FAIL", "FAIL", "PASS"], verdict["changes"]
    assert verdict["verdict"] == "FAIL"
    first, second, good = (c["id"] for c in verdict["changes"])

    def attest(change, by):
        return lab.ask("attest", "supersede", change, "--by", by, "--who", "Ann", "--link", "https://example.org/7")

    assert "does not pass" in one_line(attest(first, second))
    assert attest(first, good).returncode == 0
    assert lab.verdict("config-safety", stage.name)["verdict"] == "FAIL"  # the other failure stands
    assert attest(second, good).returncode == 0
    verdict = lab.verdict("config-safety", stage.name)
    assert verdict["verdict"] == "PASS", verdict["reason"]
    for word in (first, second, good, "2 failed changes superseded", "attested by Ann"):
        assert word in verdict["reason"]
    assert "hidden retries" not in verdict["reason"]  # the canary tells its executions
    assert [c["verdict"] for c in verdict["changes"]] == ["FAIL", "FAIL", "PASS"]  # both stay displayed
    assert all(a["valid"] and a["link"] == "https://example.org/7" for a in verdict["supersedes"])
    assert verdict["measured"]["units"] == verdict["changes"][2]["measured"]["units"]
    explained = lab.ask("explain", "config-safety", "--stage", stage.name).stdout
    assert f"{first} superseded by {good}" in explained and "background" in explained and "switches" in explained


def test_too_few_calls_in_flight_are_inconclusive(lab):
    stage = lab.begin("few", load=3)
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 3
    verdict = lab.settled_verdict("config-safety", stage.name)
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "too few calls in flight" in verdict["reason"]
    assert re.search(r"\d+ on (reused|new) connections, 30 are needed", verdict["reason"])
    assert change_of(verdict)["measured"]["dropped"] == 0


def test_too_few_units_are_inconclusive(lab):
    stage = lab.begin("units", rubric={"max_drop_rate": 0.001})
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 3
    verdict = lab.settled_verdict("config-safety", stage.name)
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "2995 are needed" in verdict["reason"]
    assert change_of(verdict)["verdict"] == "PASS"


def test_an_agent_killed_in_the_middle_of_a_change(lab):
    stage = lab.begin("killed")
    stage.start_witnessing()
    agent = stage.agent
    drill = lab.drill(stage, "sh", "-c", f'kill -9 {agent.popen.pid} && exec "$@"', "sh", *stage.reload(ADDED))
    wait_until(lambda: not agent.is_alive(), 60, "the drill killed the agent")
    assert agent.popen.wait(5) == -signal.SIGKILL
    killed = time.time()
    # Time itself is the subject: longer than the rubric's coverage_gap of 5 s nobody watches.
    time.sleep(8)
    stage.start_agent()
    assert lab.finish_drill(drill) == 3
    verdict = lab.settled_verdict("config-safety", stage.name)
    assert verdict["verdict"] == "INCONCLUSIVE", verdict["reason"]
    assert f"nobody watched on node {stage.node} from" in verdict["reason"]
    spans = change_of(verdict)["unwitnessed"]
    assert [s["node"] for s in spans] == [stage.node]
    assert seconds(spans[0]["from"]) <= killed < seconds(spans[0]["to"]) - 5
    streams = {a["boot"] for a in lab.agents()["agents"]}
    assert len(streams) == 2


def seconds(text):
    from datetime import datetime
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_a_verdict_is_the_same_bytes_anywhere(lab):
    stage = lab.begin("same", load=5, extra=HARMFUL)
    stage.start_witnessing()
    lab.finish_drill(lab.drill(stage, *stage.reload(ADDED)))
    at = lab.gates()[0]["at"]
    ask = ["gates", "-o", "json", "--at", at]
    first, second = lab.ask(*ask), lab.ask(*ask)
    copy = lab.backup()
    elsewhere = lab.folder / "elsewhere"
    elsewhere.mkdir()
    copy.rename(elsewhere / "pilot.db")
    # More happens to the original; the past stays as it was.
    assert lab.finish_drill(lab.drill(stage, *stage.reload(PLAIN))) == 1
    third = lab.ask(*ask)
    fourth = lab.ask(*ask, store=elsewhere / "pilot.db")
    assert json.loads(first.stdout)["at"] == at
    assert first.returncode == second.returncode == third.returncode == fourth.returncode == 1
    assert first.stdout == second.stdout == third.stdout == fourth.stdout
    for words in (["explain", "config-safety"], ["changes", "-o", "json"], ["timeline", stage.name]):
        assert lab.ask(*words, "--at", at).stdout == lab.ask(*words, "--at", at, store=elsewhere / "pilot.db").stdout != ""


def test_a_bare_copy_of_the_database_is_refused(lab):
    stage = lab.begin("bare")
    stage.start_witnessing()
    bare = lab.folder / "bare.db"
    bare.write_bytes(lab.db.read_bytes())
    for words in (["gates"], ["agents"], ["backup", lab.folder / "x.db"]):
        line = one_line(lab.ask(*words, store=bare))
        assert "bare.db" in line and "pilotgate backup" in line
    assert lab.ask("gates").returncode == 3
    # The copy that is supported is believed, and a file is never overwritten by one.
    assert lab.ask("gates", store=lab.backup("good.db")).returncode == 3
    assert "good.db" in one_line(lab.ask("backup", lab.folder / "good.db"))
    streamed = run("sh", "-c", f"{lab_program()} --store {lab.url()} backup - > {lab.folder}/streamed.db")
    assert streamed.returncode == 0, streamed
    assert lab.ask("gates", store=lab.folder / "streamed.db").returncode == 3


def lab_program():
    from lab import PILOTGATE
    return PILOTGATE
