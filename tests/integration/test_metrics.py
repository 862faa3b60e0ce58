"""Metrics and health of agent and collector, as Prometheus reads them."""
import urllib.error
import urllib.request

from lab import free_port, wait_until
from prometheus_client.parser import text_string_to_metric_families


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Metrics(dict):
    """One reading: sample name and sorted labels -> value. Fails where a metric breaks the conventions."""

    def __init__(self, port):
        status, text = get(port, "/metrics")
        assert status == 200, text
        for family in text_string_to_metric_families(text):
            assert family.name.startswith("pilotgate_") and family.documentation, family
            assert family.type in ("counter", "gauge", "histogram"), family
            for sample in family.samples:
                key = (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items())))
                assert key not in self, key
                self[key] = sample.value

    def of(self, name, *labels):
        return self.get((name, *labels), 0)


def listen(stage):
    port = free_port()
    stage.config["metrics"] = {"listen": f"127.0.0.1:{port}"}
    return port


def test_an_agent_tells_of_itself(lab):
    stage = lab.begin("told")
    port = listen(stage)
    stage.start_witnessing()
    wait_until(lambda: get(port, "/readyz")[0] == 200, 10, "the agent is ready")
    assert get(port, "/healthz")[0] == 200
    wait_until(lambda: Metrics(port).of("pilotgate_agent_calls_total", "outcome=completed", "probe=echo") >= 4, 20,
               "calls are counted")
    wait_until(lambda: ("pilotgate_agent_clock_bound_seconds",) in Metrics(port), 20, "the clock is known")
    now = Metrics(port)
    assert now.of("pilotgate_agent_session_up") == now.of("pilotgate_agent_sessions_total") == 1
    assert now.of("pilotgate_agent_records_total", "family=coverage") >= 2
    assert not [k for k, v in now.items() if k[0] == "pilotgate_agent_lost_records_total" and v]
    assert 0 < now.of("pilotgate_agent_spool_bytes") < now.of("pilotgate_agent_spool_quota_bytes") == 256 << 20
    assert 0 < now.of("pilotgate_agent_clock_bound_seconds") < 0.1
    assert abs(now.of("pilotgate_agent_clock_offset_seconds")) <= now.of("pilotgate_agent_clock_bound_seconds")
    assert now.of("pilotgate_agent_scheduling_delay_seconds_count") >= 4
    assert now.of("pilotgate_agent_resident_anonymous_bytes") > 0
    told = now.of("pilotgate_agent_calls_total", "outcome=completed", "probe=kept")
    assert told <= len([e for e in stage.executions() if e["tool"] == "hold" and e["event"] == "end"])


def test_what_waits_for_a_collector_that_is_away(lab):
    stage = lab.begin("waiting")
    port = listen(stage)
    stage.start_witnessing()
    lab.collector.kill()
    wait_until(lambda: Metrics(port).of("pilotgate_agent_session_up") == 0, 40, "the session is lost")
    wait_until(lambda: Metrics(port).of("pilotgate_agent_oldest_unacknowledged_seconds") > 2, 20, "records wait")
    now = Metrics(port)
    assert now.of("pilotgate_agent_unacknowledged_records") >= 4
    assert now.of("pilotgate_agent_session_losses_total") >= 1
    assert get(port, "/readyz")[0] == 200, "an agent that goes on witnessing is ready"
    lab.serve()
    wait_until(lambda: Metrics(port).of("pilotgate_agent_session_up") == 1, 30, "there is a session again")
    wait_until(lambda: Metrics(port).of("pilotgate_agent_unacknowledged_records") <= 5, 30, "what waited is there")
    assert Metrics(port).of("pilotgate_agent_oldest_unacknowledged_seconds") < 5
    assert Metrics(port).of("pilotgate_agent_sessions_total") >= 2


def test_an_agent_that_was_never_taken_is_not_ready(lab):
    stage = lab.begin("astray")
    port = listen(stage)
    stage.config["collector"]["endpoint"] = f"tcp://127.0.0.1:{free_port()}"
    stage.start_agent()
    wait_until(lambda: get(port, "/healthz")[0] == 200, 20, "the agent serves")
    wait_until(lambda: get(port, "/metrics")[0] == 200 and
               Metrics(port).of("pilotgate_agent_session_losses_total") +
               Metrics(port).of("pilotgate_agent_refusals_total") >= 1, 30, "it was not taken")
    assert get(port, "/readyz")[0] == 503


def test_a_collector_tells_of_itself(lab):
    stage = lab.begin("collected")
    stage.start_witnessing()
    wait_until(lambda: Metrics(lab.http).of("pilotgate_stage_sessions", f"stage={stage.name}") == 1, 30,
               "the collector looked at its pilot")
    wait_until(lambda: Metrics(lab.http).of("pilotgate_calls_total") >= 4, 30, "calls came")
    now = Metrics(lab.http)
    assert now.of("pilotgate_sessions") == now.of("pilotgate_stage_expected_agents", f"stage={stage.name}") == 1
    assert now.of("pilotgate_records_total") > 10 and now.of("pilotgate_commits_total") > 1
    assert now.of("pilotgate_commit_seconds_count") > 1 and now.of("pilotgate_commit_seconds_sum") > 0
    gates = {k[1:] for k, v in now.items() if k[0] == "pilotgate_gate_verdict" and v == 1}
    shown = {(f"gate={g['id']}", f"stage={s['stage']}", f"verdict={s['verdict']}")
             for g in lab.gates()[0]["gates"] for s in g["stages"]}
    assert gates and {g[:2] for g in gates} == {s[:2] for s in shown}
    assert sum(v for k, v in now.items() if k[0] == "pilotgate_alert_active") == 0
    assert now.of("pilotgate_look_duration_seconds") > 0
    assert 0 < now.of("pilotgate_store_records") and 0 < now.of("pilotgate_store_file_bytes")
    assert now.of("pilotgate_store_free_bytes") > 0
