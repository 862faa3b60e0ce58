"""Drills with commands of every kind, and what they leave behind when they are killed."""
import json
import os
import signal
import subprocess
import time

import pytest

from lab import ADDED, HARMFUL, PILOTGATE, PLAIN, wait_until


def open_calls(stage):
    """Calls that run at the canary right now, as its log tells."""
    events = [e for e in stage.executions() if e["tool"] == "hold"]
    return sum(1 if e["event"] == "start" else -1 for e in events)


@pytest.mark.parametrize("dies", ["drill", "collector"])
def test_a_killed_drill_or_collector_leaves_no_raised_load(lab, dies):
    stage = lab.begin("killed", load=40)
    stage.start_witnessing()
    pid = stage.folder / "pid"
    drill = lab.start("drill", PILOTGATE, "drill", "config-change", "--stage", stage.name, "--load-ttl", "6s", "--",
                      "sh", "-c", f"echo $$ >{pid}; exec sleep 120", env={"PILOTGATE_STORE": lab.url()})
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), 60, "the drill's command runs")
    try:
        assert open_calls(stage) >= 60
        # Time itself is the subject: longer than the load lives when nobody asks for it again.
        time.sleep(9)
        assert open_calls(stage) >= 60
        (drill if dies == "drill" else lab.collector).kill()
        # Its life, and the longest of the calls that were open then.
        wait_until(lambda: open_calls(stage) <= 10, 30, "the load has fallen")
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)  # the drill could not end it


def plan_of(lab, stage):
    done = lab.ask("plan", "--stage", stage.name, "-o", "json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)["stages"][0]


def test_a_drill_waits_for_its_verdict(lab):
    """And gives what was planned, from what the agent tells of its load and how long its calls take."""
    stage = lab.begin("waits")
    stage.start_witnessing()
    plan = wait_until(lambda: (p := plan_of(lab, stage))["reused"] and p["new"] and p, 30, "the load is told")
    assert plan["units_needed"] == 59 and plan["never"] == [] and plan["drills"] == 1, plan
    loads = {load["probe"]: load for load in plan["loads"]}
    assert loads["kept"]["drill_in_flight"] == loads["fresh"]["drill_in_flight"] == 80
    assert loads["control"]["control"] and loads["control"]["units"] == 0
    assert 2.9 < loads["fresh"]["call_s"] < 4
    drill = lab.drill(stage, *stage.reload(ADDED))
    lab.finish_drill(drill)
    said = drill.said().splitlines()
    assert any(line.startswith("change t") and ": PASS, 0 of " in line for line in said), said
    assert any(line.startswith(f"config-safety {stage.name}: PASS") for line in said), said
    after = plan_of(lab, stage)
    units = lab.verdict("config-safety", stage.name)["measured"]["units"]
    assert after["units"] == after["units_of_last_drill"] == units and after["drills"] == 0
    assert plan["units_per_drill"] / 2 < units <= 160, (plan, units)
    status = json.loads(lab.ask("status", "-o", "json").stdout)
    assert not [o for o in status["never"] if o["gate"] == "config-safety"], status["never"]


def test_a_commit_that_something_else_applies(lab):
    """The drill's command commits to a repository; what applies it is a stand-in for Flux, a loop that looks at the
    repository and reloads the gateway."""
    stage = lab.begin("commit")
    stage.start_witnessing()
    repo = stage.folder / "repo"
    git = ["git", "-C", str(repo), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    (repo / "gateway.cfg").write_text(stage.configuration(PLAIN).read_text())
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "plain"], check=True)
    (repo / "gateway.cfg").write_text(stage.configuration(ADDED).read_text())
    reload = stage.reload(ADDED)
    lab.start("applier", "sh", "-c", f"""
        last=$(git -C {repo} rev-parse HEAD)
        while sleep 1; do
            now=$(git -C {repo} rev-parse HEAD)
            [ "$now" = "$last" ] || {reload[0]} {reload[1]} {reload[2]} {repo}/gateway.cfg
            last=$now
        done""")
    done = lab.ask("drill", "config-change", "--stage", stage.name, "--settle", "2s", "--wait-change", "60s", "--",
                   *git, "commit", "-q", "-a", "-m", "add a tool", bound=150)
    assert done.returncode == 0 or "PASS" in done.stdout, done
    assert f"config-safety {stage.name}: PASS" in done.stdout, done


def test_a_failure_stands_until_it_is_superseded(lab):
    stage = lab.begin("again", load=100, extra=HARMFUL)
    stage.start_witnessing()
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 1
    stage.extra = ""  # the repaired gateway; the old one, which does harm, is ended by this change
    assert lab.finish_drill(lab.drill(stage, *stage.reload(PLAIN))) == 1
    assert lab.finish_drill(lab.drill(stage, *stage.reload(ADDED))) == 1  # passes, and the failures stand
    verdict = lab.verdict("config-safety", stage.name)
    failed = [c["id"] for c in verdict["changes"] if c["verdict"] == "FAIL"]
    passed = [c["id"] for c in verdict["changes"] if c["verdict"] == "PASS"]
    assert len(failed) == 2 and len(passed) == 1, verdict
    for change in failed:
        assert lab.verdict("config-safety", stage.name)["verdict"] == "FAIL"
        done = lab.ask("attest", "supersede", change, "--by", passed[0], "--who", "Ann", "--link", "https://x/1")
        assert done.returncode == 0, done
    verdict = lab.verdict("config-safety", stage.name)
    assert verdict["verdict"] == "PASS", verdict["reason"]
    shown = {c["id"]: c["verdict"] for c in verdict["changes"]}
    assert shown == {**{change: "FAIL" for change in failed}, passed[0]: "PASS"}
    assert {s["change"] for s in verdict["supersedes"]} == set(failed)
    listed = json.loads(lab.ask("changes", "-o", "json").stdout)
    assert {c["id"] for c in listed} == set(shown)
