"""Agents that come to a stage long after the product: what they find is told as what it is, at most and at least.

Run with tests/cluster/scenarios --only adopted.
"""
import time

import pytest

from scene import wait_until

AGE = 4  # seconds between install, upgrade and agents: more than the API's whole seconds blur


@pytest.fixture(scope="module")
def stage(scene):
    """A product that was installed and upgraded before the first agent came."""
    made = scene.stage("adopted")
    made.install("gateway.tools={echo,hold,whoami}")
    time.sleep(AGE)
    made.upgrade("gateway.tools={echo,hold,whoami,sum}")
    time.sleep(AGE)
    made.adopted = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    made.start_agents(in_flight=2)
    wait_until(lambda: made.gate("helm-deployment").get("measured"), 60, "a call succeeded")
    return made


def test_history_is_found(stage):
    """Both revisions, with the times that the API still knows."""
    created = {p["subject"]: p for p in stage.phases("release-created")}
    assert set(created) == {"Release/shop.v1", "Release/shop.v2"}
    assert created["Release/shop.v1"]["at"] < created["Release/shop.v2"]["at"] < stage.adopted
    assert all(p["bound"] == "at" for p in created.values())  # creationTimestamp: exact, to a second
    namespace = stage.phases("namespace-created")[0]
    assert namespace["at"] < stage.adopted and namespace["bound"] == "at"


def test_what_was_not_watched_is_bounded(stage):
    """Nobody saw the moment at which the revision was deployed, or the first tool was listed."""
    deployed = stage.phases("release-deployed", subject="Release/shop.v2")[0]
    assert deployed["bound"] == "at most", deployed
    for phase in ("first-tool-listed", "first-call"):
        assert stage.phases(phase)[0]["bound"] == "at most", phase
    pods = stage.phases("pod-ready", owner="Deployment/gateway")
    assert pods and pods[0]["at"] < stage.adopted  # a condition's time is the API's own


def test_the_verdict_says_at_most(stage):
    verdict = stage.gate("helm-deployment")
    assert verdict["verdict"] == "PASS", verdict["reason"]
    assert "at most" in verdict["reason"], verdict["reason"]
    steps = {p["phase"]: p for p in verdict["phases"]}
    assert steps["release deployed"]["bound"] == "at most"
    assert steps["namespace created"]["bound"] == "at"
    assert verdict["measured"]["seconds"] >= 2 * AGE


def test_what_was_before_is_no_change(stage):
    """Found, not witnessed: it proves nothing of in-flight calls, and is no rollback."""
    assert not any(c["qualifies"] for c in stage.changes())
    assert stage.gate("config-safety")["verdict"] == "PENDING"
    assert stage.rollbacks() == []
