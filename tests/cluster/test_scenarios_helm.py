"""What people do to a release with Helm and kubectl, played one after the other on one real cluster; each must show
as the right timeline, change and verdict.

The story runs in the order of this file: every scenario begins where the one before it left the release. Run with
tests/cluster/scenarios --only helm.
"""
import json
import shutil

import pytest

from scene import PRODUCT, wait_until

PLAIN, SUM = "gateway.tools={echo,hold,whoami}", "gateway.tools={echo,hold,whoami,sum}"
# Changes what the gateway says of itself, and nothing that a client meets.
SLOWER, SLOWEST = "gateway.hardStopAfter=20m", "gateway.hardStopAfter=30m"
NO_IMAGE = "localhost/no-such-image:1"
# A person in an editor: one tool more, in both of its places, and not where the chart would put it.
EDITOR = r"sed -i -e s/echo,hold,whoami/sum,echo,hold,whoami/ -e s/\"echo\"/\"sum\",\"echo\"/"
KEPT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
    "name": "left-behind", "annotations": {"helm.sh/resource-policy": "keep"}}, "data": {"of": "a revision"}}


@pytest.fixture(scope="module")
def stage(scene):
    made = scene.stage("helm")
    made.start_agents()
    return made


def pointers(change, thing):
    """Where this object differs, by JSON Pointer: (before, after)."""
    return {item["pointer"]: (item.get("before"), item.get("after"))
            for d in change["differences"] if d["object"] == thing for item in d["items"]}


def brief(change):
    """For people: why, and what was in flight."""
    return {part: change[part] for part in ("reason", "begin", "last_sign", "switches", "signs", "unwitnessed")}


def lost_nothing(change):
    return change["measured"]["dropped"] == change["measured"]["interrupted"] == 0


def in_order(stage, *steps):
    """The first of each of these phases, (name, {field: value}); each no earlier than the one before, as far as
    their precision says."""
    found = []
    for name, wanted in steps:
        phases = stage.phases(name, **wanted)
        assert phases, (name, wanted)
        found.append(phases[0])
    for one, other in zip(found, found[1:]):
        assert one["at"][:19] <= other["at"][:19], (one, other)  # the API tells whole seconds
    return found


# ---- the story


def test_install(stage):
    stage.install(PLAIN)
    wait_until(lambda: stage.gate("helm-deployment")["verdict"] == "PASS", 60, "the deployment passes")
    release = {"subject": "Release/shop.v1"}
    gateway = {"owner": "Deployment/gateway"}
    in_order(stage, ("namespace-created", {}), ("release-created", release), ("pod-created", gateway),
             ("pod-scheduled", gateway), ("container-started", gateway), ("pod-ready", gateway),
             ("workload-available", {"subject": "Deployment/gateway"}), ("release-deployed", release),
             ("first-tool-listed", {}), ("first-call", {}))
    assert stage.phases("release-pending", subject="Release/shop.v1")[0]["reason"] == "pending-install"
    pulled = stage.phases("image-pulled", owner="Deployment/gateway")
    assert any(p.get("cached") for p in pulled), pulled  # the lab's images are on every node
    change = stage.change("shop.v1")
    assert not change["qualifies"] and "the install" in change["reason"], change["reason"]
    assert stage.gate("rollback")["verdict"] == "PENDING"
    stage.t0 = stage.gate("helm-deployment")["t0"]


def test_good_upgrade(stage):
    stage.quiet()
    change = stage.settled(stage.upgrade(SUM))
    assert change["verdict"] == "PASS", brief(change)
    assert change["tools_added"] == ["sum"] and change["tools_removed"] == []
    before, after = pointers(change, "ConfigMap/gateway-config")["/data/configuration.json"]
    assert '"sum"' not in before and '"sum"' in after
    kinds = {s["kind"] for s in change["signs"]}
    assert {"HelmRelease", "ConfigMap", "ToolCatalogue", "ProductConfiguration"} <= kinds  # one change, several signs
    assert not [p for p in pointers(change, "Deployment/gateway") if p.startswith("/spec")]
    assert stage.rollbacks() == []


def test_rollback(stage):
    stage.quiet()
    stage.helm("rollback", "shop", "1", "--wait", "--timeout", "60s")
    verdict = stage.settled_rollback(3)
    assert verdict["verdict"] == "PASS", verdict["reason"]
    assert verdict["target"] == 1 and verdict["description"] == "Rollback to 1"
    assert verdict["differed_before"] > 0 and verdict["leftover"] == verdict["missing"] == []
    change = stage.settled("shop.v3")
    assert change["verdict"] == "PASS" and change["tools_removed"] == ["sum"], change["reason"]
    before, after = pointers(change, "ConfigMap/gateway-config")["/data/configuration.json"]
    assert '"sum"' in before and '"sum"' not in after


def test_manual_edit(stage):
    """`kubectl edit` of a ConfigMap: a change without a revision, with its differences."""
    stage.quiet()
    before_it = {c["id"] for c in stage.changes()}
    newest = stage.revision()
    stage.kubectl("edit", "configmap", "gateway-config", env={"KUBE_EDITOR": EDITOR})
    name = wait_until(lambda: {c["id"] for c in stage.changes()} - before_it, 30, "the edit is seen").pop()
    change = stage.settled(name)
    assert stage.revision() == newest and not name.startswith("shop.v")
    assert change["verdict"] == "PASS" and change["tools_added"] == ["sum"], brief(change)
    differences = pointers(change, "ConfigMap/gateway-config")
    assert set(differences) == {"/data/configuration.json", "/data/haproxy.cfg"}
    assert ['"sum"' in text for text in differences["/data/configuration.json"]] == [False, True]


def test_git_revert(stage):
    """An upgrade with the values of an older revision says "Upgrade complete", and is a rollback by its content."""
    stage.quiet()
    # The edit above took the field over: Helm 4 applies on the server and must be told to take it back.
    name = stage.upgrade(SUM, options=("--wait", "--force-conflicts"))
    verdict = stage.settled_rollback(stage.revision())
    assert verdict["description"] == "Upgrade complete" and verdict["target"] == 2
    assert verdict["verdict"] == "PASS", verdict["reason"]
    assert stage.settled(name)["verdict"] == "PASS"


def test_upgrade_to_an_image_that_never_starts(stage):
    """Helm does not wait and says deployed; the old replica serves on."""
    stage.quiet()
    rollbacks = [r["revision"] for r in stage.rollbacks()]
    name = stage.upgrade(SUM, f"gateway.image={NO_IMAGE}", options=())
    failed = stage.wait_for_phase("container-failed", reason="ImagePullBackOff", owner="Deployment/gateway")
    assert failed["count"] >= 1 and failed["container"] == "gateway"
    change = stage.settled(name)
    assert change["verdict"] == "INCONCLUSIVE" and lost_nothing(change), change["reason"]
    template = "/spec/template/spec/containers/0/image"
    assert pointers(change, "Deployment/gateway")[template] == ("localhost/lab-gateway:1", NO_IMAGE)
    assert [r["revision"] for r in stage.rollbacks()] == rollbacks


def test_upgrade_that_crashes(stage):
    stage.quiet()
    rollbacks = [r["revision"] for r in stage.rollbacks()]
    name = stage.upgrade(SUM, "canary.args={--no-such-option}", options=())
    wait_until(lambda: [p for p in stage.phases("container-failed", reason="CrashLoopBackOff",
                                                owner="Deployment/canary") if p["count"] >= 2], 60,
               "the crashes are counted")
    change = stage.settled(name)
    assert change["verdict"] != "PASS" and lost_nothing(change), change["reason"]
    assert [r["revision"] for r in stage.rollbacks()] == rollbacks


def test_rollback_on_failure(stage):
    """Helm 4's --rollback-on-failure: a failed revision, and a rollback that nobody asked for by hand."""
    stage.quiet()
    good = stage.settled(stage.upgrade(PLAIN, SLOWER))
    assert good["verdict"] == "PASS", brief(good)
    to = stage.revision()
    stage.quiet()
    stage.helm("upgrade", "shop", PRODUCT, *stage.settings(PLAIN, SLOWER, f"gateway.image={NO_IMAGE}"),
               "--rollback-on-failure", "--timeout", "10s", status=1)
    assert stage.revision() == to + 2
    verdict = stage.settled_rollback(to + 2)
    assert verdict["target"] == to and verdict["verdict"] == "PASS", verdict["reason"]
    assert stage.phases("release-failed", subject=f"Release/shop.v{to + 1}")
    assert not stage.phases("release-deployed", subject=f"Release/shop.v{to + 1}")
    failed = stage.settled(f"shop.v{to + 1}")
    assert failed["verdict"] != "PASS" and lost_nothing(failed), failed["reason"]


def test_rollback_that_leaves_an_object_behind(stage, tmp_path):
    stage.quiet()
    before = stage.revision()
    chart = shutil.copytree(PRODUCT, tmp_path / "product")
    (chart / "templates" / "kept.yaml").write_text(json.dumps(KEPT))
    stage.chart = chart
    good = stage.settled(stage.upgrade(PLAIN, SLOWEST))
    assert good["verdict"] == "PASS", brief(good)
    assert "ConfigMap/left-behind" in {d["object"] for d in good["differences"]}
    stage.quiet()
    stage.helm("rollback", "shop", before, "--wait", "--timeout", "60s")
    stage.chart = PRODUCT
    assert stage.get("configmap", "left-behind")["metadata"]["annotations"]["meta.helm.sh/release-name"] == "shop"
    verdict = stage.settled_rollback(before + 2)
    assert "ConfigMap/left-behind" in json.dumps(verdict["leftover"]) and verdict["missing"] == []
    assert verdict["verdict"] == "FAIL" and "left-behind" in verdict["reason"], verdict["reason"]


def test_uninstall_and_reinstall(stage):
    stage.quiet()
    stage.helm("uninstall", "shop", "--wait", "--timeout", "60s")
    wait_until(lambda: stage.phases("release-uninstalled"), 30, "the uninstall is seen")
    rollbacks = [r["revision"] for r in stage.rollbacks()]
    stage.install(PLAIN)
    wait_until(lambda: len([i for i in stage.gate("helm-deployment")["installs"] if i["release"] == "shop"]) == 2, 60,
               "the second install is seen")
    verdict = stage.gate("helm-deployment")
    assert verdict["t0"] == stage.t0  # the clock goes on
    assert verdict["verdict"] == "PASS", verdict["reason"]
    uninstalls = [c for c in stage.changes() if "uninstall" in c["reason"]]
    assert uninstalls and not any(c["qualifies"] for c in uninstalls)
    again = stage.settled("shop.v1~2")
    assert not again["qualifies"], again["reason"]
    assert [r["revision"] for r in stage.rollbacks()] == rollbacks  # the same content again is no rollback
