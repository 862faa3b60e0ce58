"""Alerts of a real collector about real agents, as a webhook gets them."""
import http.server
import json
import signal
import threading

from lab import PILOTGATE, free_port, listens, wait_until
from test_metrics import Metrics


class Receiver:
    """A webhook: keeps what it gets, answers `status`, and can be away."""

    def __init__(self):
        self.port, self.got, self.status, self.server = free_port(), [], 200, None
        self.begin()

    def begin(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Content-Type"] == "application/json"
                if receiver.status == 200:
                    receiver.got.append(body)
                self.send_response(receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        self.server = None

    def of(self, alert, state=None):
        return [e for e in self.got if e["alert"] == alert and state in (None, e["state"])]


def serve(lab, receiver):
    """The collector, which looks each second and tells the receiver."""
    path = lab.folder / "hook"
    path.write_text(f"http://127.0.0.1:{receiver.port}/hook?secret=s3cret\n")
    keys = lab.folder / "keys"
    lab.collector = lab.start("collector", PILOTGATE, "serve", "--listen", f"tcp://127.0.0.1:{lab.port}", "--http",
                              f"127.0.0.1:{lab.http}", "--key", keys / "server.key", "--allow", keys / "agents.allow",
                              "--webhook-file", path, "--alert-every", "1s", "--alert-stale", "5s",
                              env={"PILOTGATE_STORE": lab.url()})
    wait_until(lambda: listens(lab.http) and listens(lab.port), 20, "the collector listens")


def begin(lab, name):
    receiver = Receiver()
    stage = lab.begin(name)
    lab.collector.end()
    serve(lab, receiver)
    stage.start_witnessing()
    wait_until(lambda: ("pilotgate_stage_sessions", f"stage={stage.name}") in Metrics(lab.http), 20, "it looked")
    return stage, receiver


def pauses(lab, stage):
    """What the agent says of the times for which it stood still, ns."""
    return [r.timing.value_ns for stream in lab.records(stage).values() for r in stream
            if r.WhichOneof("body") == "timing" and r.timing.kind == 3]


def check_told_once(receiver):
    """Each begin is followed by its end before it begins again, and no event came twice."""
    assert len({e["id"] for e in receiver.got}) == len(receiver.got)
    numbers = [int(e["id"].rpartition("-")[2]) for e in receiver.got]
    assert numbers == sorted(numbers)
    holds = set()
    for event in receiver.got:
        if event["alert"] == "verdict-changed":
            continue
        key = event["alert"], event.get("stage"), event.get("node")
        assert (event["state"] == "begin") == (key not in holds), receiver.got
        (holds.add if event["state"] == "begin" else holds.remove)(key)


def test_an_agent_that_is_killed_and_comes_back(lab):
    stage, receiver = begin(lab, "gone")
    stage.agent.kill()
    wait_until(lambda: receiver.of("agent-gone", "begin") and receiver.of("coverage-stale", "begin"), 60,
               "the receiver is told")
    event = receiver.of("agent-gone")[0]
    assert event["stage"] == stage.name and event["node"] == "gone" and event["pilot"] == "lab"
    assert event["since"] <= event["at"] and "at_ns" not in event
    now = Metrics(lab.http)
    for alert in ("agent-gone", "coverage-stale"):
        assert now.of("pilotgate_alert_active", f"alert={alert}", f"stage={stage.name}") == 1
    assert now.of("pilotgate_stage_sessions", f"stage={stage.name}") == 0
    stage.start_agent()
    wait_until(lambda: receiver.of("agent-gone", "end") and receiver.of("coverage-stale", "end"), 60, "it is over")
    wait_until(lambda: not Metrics(lab.http).of("pilotgate_alert_active", "alert=agent-gone", f"stage={stage.name}"),
               10, "the metric follows")
    check_told_once(receiver)
    assert "s3cret" not in lab.collector.said()
    receiver.end()


def test_an_agent_that_stands_still_and_a_receiver_that_is_away(lab):
    stage, receiver = begin(lab, "away")
    receiver.end()
    stage.agent.kill()
    wait_until(lambda: Metrics(lab.http).of("pilotgate_alerts_waiting") >= 2, 60, "events wait")
    lab.collector.kill()
    serve(lab, receiver)
    wait_until(lambda: Metrics(lab.http).of("pilotgate_alerts_waiting") >= 2, 20, "they wait after a restart, too")
    receiver.status = 302
    receiver.begin()
    wait_until(lambda: "redirects" in lab.collector.said(), 40, "a redirect is not followed")
    assert not receiver.got
    receiver.status = 200
    wait_until(lambda: len(receiver.of("agent-gone", "begin")) == 1, 60, "the receiver is told at last")
    wait_until(lambda: len(receiver.of("coverage-stale", "begin")) == 1, 60, "of everything")
    assert lab.collector.end() == 0
    serve(lab, receiver)
    wait_until(lambda: ("pilotgate_stage_sessions", f"stage={stage.name}") in Metrics(lab.http), 20, "it looked")
    wait_until(lambda: Metrics(lab.http).of("pilotgate_alert_active", "alert=agent-gone", f"stage={stage.name}"), 20,
               "it knows of the alert")
    stage.start_agent()
    wait_until(lambda: receiver.of("agent-gone", "end") and receiver.of("coverage-stale", "end"), 60, "it is over")
    check_told_once(receiver)
    assert len(receiver.of("agent-gone")) == len(receiver.of("coverage-stale")) == 2
    assert Metrics(lab.http).of("pilotgate_alerts_dropped_total") == 0
    receiver.end()


def test_coverage_that_stops_while_the_process_is_there(lab):
    """An agent tells a pause of a wait alone, since work may be slow by itself: a stop in the midst of an fsync shows in
    coverage only. What it does tell is told before the coverage that ends the alert."""
    stage, receiver = begin(lab, "still")
    for times in (1, 2, 3):
        stage.agent.popen.send_signal(signal.SIGSTOP)
        wait_until(lambda: len(receiver.of("coverage-stale", "begin")) == times, 60, "the receiver is told")
        stage.agent.popen.send_signal(signal.SIGCONT)
        wait_until(lambda: len(receiver.of("coverage-stale", "end")) == times, 60, "it is over")
        if pauses(lab, stage):
            break
    assert receiver.of("coverage-stale")[0]["node"] == "still"
    assert max(pauses(lab, stage), default=0) > 4e9
    check_told_once(receiver)
    receiver.end()


def test_a_verdict_that_changes(lab):
    stage, receiver = begin(lab, "verdict")
    wait_until(lambda: [k for k, v in Metrics(lab.http).items() if k[0] == "pilotgate_gate_verdict" and v], 20,
               "gates are judged")
    before = Metrics(lab.http)
    done = lab.ask("attest", "--help")
    assert done.returncode == 0, done
    lab.finish_drill(lab.drill(stage, *stage.reload("echo,hold,sum,extra")))
    wait_until(lambda: receiver.of("verdict-changed"), 60, "the receiver is told of a verdict")
    event = receiver.of("verdict-changed")[0]
    labels = [f"gate={event['gate']}", f"stage={stage.name}"]
    assert before.of("pilotgate_gate_verdict", *labels, f"verdict={event['before']}") == 1
    assert before.of("pilotgate_gate_verdict", *labels, f"verdict={event['after']}") == 0
    assert event["reason"] and event["state"] == "begin" and event["before"] != event["after"]
    check_told_once(receiver)
    receiver.end()
