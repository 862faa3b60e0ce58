"""The truth test must be able to fail: each kind of contradiction, put into made-up sources, is found.

Made up, as a correct agent never shows them.
"""
import copy
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
import faults  # noqa: E402

HEALTHY, BROKEN, DOOR = "b-1", "b-2", "b-3"


def sources():
    """Truth, seen and executions of three calls: healthy, reset, and refused at the shaky door; all agree."""
    def told(nonce, fault, executed):
        return {"nonce": nonce, "fault": fault, "classes": faults.BY_NAME[fault].classes, "reused": False,
                "executed": executed, "from": 1.0, "to": 1.1}

    def stored(probe, outcome):
        return {"probe": probe, "outcome": outcome, "start": 1.0, "end": 1.1, "flags": 0}

    def counted(**count):
        return types.SimpleNamespace(**{"scheduled": 1, "started": 1, "resolved": 1, "unsent": 0, **count})
    truth = types.SimpleNamespace(calls={HEALTHY: told(HEALTHY, "json", True), BROKEN: told(BROKEN, "rst", False)},
                                  repeated=[], down=[{"down": "refuse", "from": 5.0, "to": 6.0}], turned_away=[],
                                  ended=[],
                                  stood_still=[])
    refused = {"nonce": DOOR, **stored("door", "REFUSED"), "start": 5.5, "end": 5.5, "flags": compare.UNSENT,
               "detail": ""}
    seen = types.SimpleNamespace(
        calls={HEALTHY: stored("p", "COMPLETED"), BROKEN: stored("q", "RESET")}, rows={BROKEN: stored("q", "RESET")},
        repeated=[], unsent=[refused],
        coverage={"p": counted(), "q": counted(), "door": counted(started=0, resolved=0, unsent=1)})
    return truth, seen, [{"event": "start", "call": HEALTHY}, {"event": "end", "call": HEALTHY}]


def contradictions(truth, seen, executions):
    wrong = compare.Comparison(truth, seen, executions, {"door"}).wrong
    return {claim: lines for claim, lines in wrong.items() if lines}


def test_sources_that_agree():
    assert contradictions(*sources()) == {}


def change(claim, what):
    return pytest.param(claim, what, id=what.__name__)


def a_fault_called_success(truth, seen, log):
    seen.calls[BROKEN]["outcome"] = "COMPLETED"


def a_fault_that_is_missing(truth, seen, log):
    del seen.calls[BROKEN]


def a_healthy_call_called_lost(truth, seen, log):
    seen.calls[HEALTHY]["outcome"] = "RESET"


def a_wrong_class(truth, seen, log):
    seen.calls[BROKEN]["outcome"] = "TIMEOUT"


def a_wrong_kind(truth, seen, log):
    seen.calls[HEALTHY]["flags"] = compare.REUSED


def a_row_that_is_missing(truth, seen, log):
    seen.rows.clear()


def a_row_too_many(truth, seen, log):
    seen.rows[HEALTHY] = copy.copy(seen.rows[BROKEN])


def a_call_stored_twice(truth, seen, log):
    seen.repeated.append(HEALTHY)


def a_call_that_never_was(truth, seen, log):
    seen.calls["b-9"] = copy.copy(seen.calls[HEALTHY])


def a_call_the_proxy_got_twice(truth, seen, log):
    truth.repeated.append(BROKEN)


def an_execution_too_many(truth, seen, log):
    log.append(log[0])


def an_execution_of_what_was_held_back(truth, seen, log):
    log.append({"event": "start", "call": BROKEN})


def an_execution_that_is_missing(truth, seen, log):
    log.clear()


def a_count_that_differs(truth, seen, log):
    seen.coverage["p"].resolved = 2


def a_call_scheduled_and_forgotten(truth, seen, log):
    seen.coverage["q"].scheduled = 2


def a_refusal_while_the_door_was_open(truth, seen, log):
    truth.down.clear()


def a_refusal_not_told(truth, seen, log):
    seen.unsent.clear()


def a_connection_turned_away_and_not_noticed(truth, seen, log):
    truth.turned_away.append(5.2)


@pytest.mark.parametrize("claim, what", [
    change("recall", a_fault_called_success), change("recall", a_fault_that_is_missing),
    change("no false drop", a_healthy_call_called_lost), change("each class", a_wrong_class),
    change("new and reused", a_wrong_kind), change("every failed call", a_row_that_is_missing),
    change("every failed call", a_row_too_many), change("every call is stored once", a_call_stored_twice),
    change("every call is stored once", a_call_that_never_was),
    change("nothing is sent twice", a_call_the_proxy_got_twice),
    change("nothing is sent twice", an_execution_too_many),
    change("nothing is sent twice", an_execution_of_what_was_held_back),
    change("nothing is sent twice", an_execution_that_is_missing), change("coverage", a_count_that_differs),
    change("coverage", a_call_scheduled_and_forgotten), change("a closed port", a_refusal_while_the_door_was_open),
    change("a closed port", a_refusal_not_told),
    change("a closed port", a_connection_turned_away_and_not_noticed)])
def test_a_contradiction_is_found(claim, what):
    made = sources()
    what(*made)
    found = contradictions(*made)
    assert any(name.startswith(claim) for name in found), found
