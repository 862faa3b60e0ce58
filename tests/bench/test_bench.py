"""The bench's own arithmetic, and its load generator against a real collector: 200 agents without loss, also when the
collector is killed among them. What it says of a store that lacks something is tested in test_load.c."""
import json
import pathlib
import re
import sys
import threading
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import parts  # noqa: E402
from figures import Row, growth  # noqa: E402

AGENTS = 200


def test_ratio_is_the_median_of_the_rounds():
    row = Row("x", "calls/s", [10, 30, 20], [10, 10, 1], ("ratio", ">=", 3))
    assert (row.ours, row.limit, row.ratio) == (20, 10, 3)
    assert row.met() and not Row("x", "calls/s", [10, 30, 20], [10, 10, 10], ("ratio", ">=", 3)).met()


def test_targets_compare_the_side_they_name():
    assert Row("x", "ms", 19.9, 20, ("ratio", "<", 1)).met() and not Row("x", "ms", 20, 20, ("ratio", "<", 1)).met()
    assert Row("x", "bytes", 8, 100, ("ours", "<=", 8)).met() and not Row("x", "bytes", 8.1, 100, ("ours", "<=", 8)).met()
    assert Row("x", "bytes", 8).met(), "context has no target"


def test_rows_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="2 figures beside 1"):
        Row("x", "calls/s", [1, 2], [1])
    with pytest.raises(ValueError, match="without a limit"):
        Row("x", "calls/s", 1, None, ("ratio", ">=", 1)).met()


def test_json_has_the_fields_that_are_promised():
    line = json.loads(Row("x", "ms", 3, 4, ("ratio", "<", 1)).as_json("a machine"))
    assert list(line)[:7] == ["name", "ours", "limit", "unit", "ratio", "target", "met"]
    assert (line["ratio"], line["target"], line["met"], line["machine"]) == (0.75, "ratio < 1", True, "a machine")


def test_growth_leaves_out_the_first_quarter():
    assert growth([1, 1, 50, 50, 50, 50, 50, 50]) == 0
    assert growth([1, 1, 50, 50, 60, 70, 100, 100]) == 1
    assert growth([1, 100]) == 0, "too short to tell"


@pytest.fixture
def collector(tmp_path):
    return parts.Collector(tmp_path / "collector", AGENTS)


def is_whole(report):
    assert report["failed"] == "", report["failed"]
    assert report["records"] == report["acked_records"] == report["stored_records"] > 0
    assert report["calls"] == report["acked_calls"] == report["stored_calls"] > 0
    return True


def test_many_agents_lose_nothing(collector):
    with collector.serving():
        report = collector.load("--rate", 10, seconds=10)
    assert is_whole(report) and report["sessions"] >= AGENTS
    assert report["calls"] == AGENTS * 10 * 10
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]
    assert len(report["collector"]) >= 5 and all(second["rss"] > 0 for second in report["collector"])


def test_flood_is_counted_in_calls(collector):
    with collector.serving():
        report = collector.load("--flood", "--rate", 500, seconds=2, agents=4)
    assert is_whole(report) and report["calls"] % 4096 == 0
    assert 0 < report["acked_calls_per_s"] * report["seconds"] <= report["calls"]


def records_of(collector):
    """Committed ones, as /metrics counts them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{collector.http}/metrics", timeout=5) as reply:
        return float(re.search(r"^pilotgate_records_total (\S+)", reply.read().decode(), re.M)[1])


def test_a_collector_that_is_killed_loses_nothing(collector):
    """The generator says Hello again and sends again; otherwise its losses would be its own."""
    reports = []
    with collector.serving():
        run = threading.Thread(target=lambda: reports.append(collector.load("--rate", 10, seconds=8)))
        run.start()
        parts.wait_until(lambda: records_of(collector) > 3 * AGENTS, "the agents are at work")
        collector.popen.kill()
        collector.popen.wait()
        with collector.serving():
            run.join(120)
    assert not run.is_alive() and is_whole(reports[0])
    assert reports[0]["sessions"] >= 2 * AGENTS, "each agent began a second session"
