"""Calls one by one, and joined with what a real gateway and a real tool server logged themselves."""
import json

from lab import ADDED, HARMFUL, wait_until


def read(lab, *words, statuses=(0,)):
    done = lab.ask(*words, "-o", "json")
    assert done.returncode in statuses and done.stderr == "", done
    return json.loads(done.stdout)


def gateway_log(stage):
    """What the gateway logged of its requests, in a file."""
    path = stage.folder / "access.log"
    path.write_text(stage.gateway.said())
    return path


def test_a_good_change_agrees_with_both_logs(lab):
    stage = lab.begin("good")
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) in (0, 3)
    stage.agent.end()  # so that the log and the store are of the same calls
    wait_until(lambda: not stage.connected(), 20, "the agent has gone")
    # The canary executed each call once; those past the gateway are among them.
    joined = read(lab, "calls", "--join", stage.folder / "executions")
    assert joined["agree"] and joined["differences"] == [], joined
    assert joined["calls"] == joined["counts"]["agrees"] > 160
    assert joined["lines_without_call"] == 0  # but those of the agent's own listing, which executes nothing
    # The gateway logged every call through it; an access log cannot have those past it.
    joined = read(lab, "calls", "--target", "gateway", "--join", gateway_log(stage))
    assert joined["agree"], joined
    listed = read(lab, "calls", "--target", "gateway", "--limit", "1000000")
    assert len(listed) == joined["calls"] and all(c["outcome"] == "completed" for c in listed if c["tool"] == "hold")
    # One line less, or one twice, is found.
    lines = (stage.folder / "executions").read_text().splitlines(keepends=True)
    ours = {c["call"] for c in listed}
    some = next(line for line in lines if json.loads(line)["event"] == "end" and json.loads(line).get("call") in ours)
    call = json.loads(some)["call"]
    (stage.folder / "less").write_text("".join(line for line in lines if f'"{call}"' not in line))
    joined = read(lab, "calls", "--join", stage.folder / "less", statuses=(1,))
    assert [(d["call"], d["what"]) for d in joined["differences"]] == [(call, "absent")]
    (stage.folder / "twice").write_text("".join(lines) + some)
    joined = read(lab, "calls", "--join", stage.folder / "twice", statuses=(1,))
    assert [(d["call"], d["what"]) for d in joined["differences"]] == [(call, "repeated")]


def test_lost_calls_of_a_harmful_change_are_told_apart(lab):
    stage = lab.begin("harmful", load=40, extra=HARMFUL)
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 1
    change = lab.verdict("config-safety", stage.name)["changes"][0]
    lost = {c["call"] for c in change["lost"] if c["reading"] in ("dropped", "interrupted")}
    listed = read(lab, "calls", "--change", change["id"], "--lost")
    assert {c["call"] for c in listed} == lost and all(c["reading"] for c in listed)
    joined = read(lab, "calls", "--change", change["id"], "--join", stage.folder / "executions", statuses=(0, 1))
    told = {d["call"]: d["what"] for d in joined["differences"]}
    gone = {e["call"] for e in stage.executions() if e["event"] == "gone"}
    # Each was executed. Of most the connection ended before the answer; in the moment of the gateway's stop one may be
    # answered and not passed on, and only that is a disagreement.
    assert set(told) == lost
    assert {call for call, what in told.items() if what == "unanswered"} == gone & lost
    assert {what for what in told.values()} <= {"unanswered", "answer-lost"}
    assert joined["agree"] == ("answer-lost" not in told.values())
