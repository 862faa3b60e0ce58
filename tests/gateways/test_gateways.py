"""Real gateways, each with a change of its configuration while calls are in flight: what pilotgate says of every call
is what the gateway's and the tool server's own logs say, name by name. See ./run."""
import datetime
import re
import time

import pytest

from gateways import NEARLY_LATE, Gateway, McpHub, McpProxy, McpProxyModern, Nginx, NginxRestarted
from lab import HARMFUL, wait_until

# A drop rate that needs 998 clean units: a PASS proves that so many calls were in flight.
RUBRIC = {"max_drop_rate": 0.003, "longest_call": "12s", "keep_alive": "1s", "merge_gap": "2s"}
LEAST = 1000  # calls in flight over the changes of a gateway
MANY = 650  # of each kind of connection, so that 1,000 are certainly in flight at the change
NEVER_ARRIVED = {"refused", "reset", "closed", "http-error", "session-lost", "timeout"}


class Case:
    """times: how often the configuration is changed; load: of each kind of connection."""

    def __init__(self, name, kind, verdict, load=MANY, times=1, short=True, extra="", hold=4):
        self.name, self.kind, self.verdict, self.load, self.times = name, kind, verdict, load, times
        self.short, self.extra, self.hold = short, extra, hold


CASES = [
    Case("nginx-reload", Nginx, "PASS"),
    Case("nginx-restart", NginxRestarted, "FAIL"),
    Case("haproxy-reload", Gateway, "PASS"),
    Case("haproxy-hard-stop", Gateway, "FAIL", extra=HARMFUL),
    # Bears 1,300 at once on an idle machine; two restarts do on a busy one, too.
    Case("mcp-proxy-restart", McpProxy, "FAIL", load=280, times=2),
    # Slow in this era: so many over several restarts.
    Case("mcp-proxy-restart-modern", McpProxyModern, "FAIL", load=220, times=3, short=False),
    # Its chain of three Node.js processes answers about 50 calls a second in time, and does not bear 1,000 at once:
    # fewer and longer calls, over more changes.
    Case("mcp-hub-watch", McpHub, "PASS", load=80, times=8, hold=6, short=False),
]


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def settled_account(stage, began_before):
    """The account of the calls begun before that moment, once none of them is open any more."""
    wait_until(lambda: not stage.account(began_before).open, 30, "the canary's calls end")
    time.sleep(0.5)  # a call's line in the gateway's log follows the canary's
    return stage.account(began_before)


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name, marks=[pytest.mark.short] if c.short else [])
                                  for c in CASES])
def test_verdict_is_what_the_logs_say(lab, case, record_property):
    stage = lab.begin("real", kind=case.kind, load=case.load, hold=case.hold, extra=case.extra, rubric=RUBRIC)
    stage.start_witnessing()
    drill = lab.drill(stage, *stage.changes(case.times), repeat=case.times)
    lab.finish_drill(drill, bound=60 * case.times + 60)
    over = now()
    in_flight = sum(int(n) for n in re.findall(r"(\d+) calls open, running", drill.said()))
    verdict = lab.settled_verdict("config-safety", stage.name, bound=60)
    account = settled_account(stage, over)
    changes = verdict["changes"]
    told = [call for change in changes for call in change["lost"]]
    lost = {call["call"]: call for call in told if call["call"]}  # without a name: due, and never sent to anybody
    harmed = [call for call in told if call["reading"] != "excluded"]  # excluded: to a tool that was removed

    record_property("gateway", case.name)
    record_property("calls in flight", in_flight)
    record_property("lost: pilotgate", len(lost))
    record_property("servers' logs", len(account.unanswered))
    record_property("sessions lost", sum(call["outcome"] == "session-lost" for call in lost.values()))
    record_property("verdict", verdict["verdict"])

    # What came too late for the caller may be an answer to the gateway, which then says that it took that long.
    late = {name for name, call in lost.items() if call["outcome"] in ("completed-late", "timeout")}
    took = stage.seconds()
    assert (set(lost) & account.seen) - late == account.unanswered - late
    assert not [name for name in late & account.answered if took[name] < NEARLY_LATE]
    for call in (lost[name] for name in set(lost) - account.seen):
        assert call["outcome"] in NEVER_ARRIVED, call
    assert {name for name, call in lost.items() if call["outcome"] == "session-lost"} == stage.forgotten()
    assert verdict["verdict"] == ("FAIL" if harmed else "PASS"), verdict["reason"]
    assert verdict["verdict"] == case.verdict, verdict["reason"]
    assert [change["tools_added"] for change in changes] == [[stage.tools["sum"]], []] * (case.times // 2) + [
        [stage.tools["sum"]]] * (case.times % 2)
    assert in_flight >= LEAST
    if not harmed:  # each of these certainly began before the change and ended after it
        assert verdict["measured"]["units"] >= LEAST
