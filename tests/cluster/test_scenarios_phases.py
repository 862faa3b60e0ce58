"""What pods and Helm's hooks go through on a real cluster, as the timeline tells it: scheduled or not, images, init
containers, starts, failures with their counts.

Run with tests/cluster/scenarios --only phases.
"""
import json

import pytest

from scene import wait_until

IMAGE = "localhost/lab-everything:1"  # it has node


def node(script):
    return {"image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["node", "-e", script]}


def pod(name, *containers, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "app", **c} for c in containers], "terminationGracePeriodSeconds": 0,
                     "automountServiceAccountToken": False, **spec}}


STAY = node("setInterval(() => {}, 1000)")
# More than it may have, page by page; the kernel ends it.
EAT = {**node("let all = []; setInterval(() => all.push(Buffer.alloc(16 << 20, 1)), 10)"),
       "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "16Mi"}}}


def hook_chart(folder, status):
    """A release that is nothing but a hook, which ends with this status."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: hooked\nversion: 0.1.0\n")
    job = {"apiVersion": "batch/v1", "kind": "Job",
           "metadata": {"name": "migrate", "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
                        "labels": {"app.kubernetes.io/instance": "hooked"}},
           "spec": {"backoffLimit": 0, "template": {"spec": {
               "restartPolicy": "Never", "automountServiceAccountToken": False,
               "containers": [{"name": "migrate", **node(f"setTimeout(() => process.exit({status}), 1500)")}]}}}}
    (folder / "templates" / "hook.yaml").write_text(json.dumps(job))
    return folder


@pytest.fixture(scope="module")
def stage(scene):
    made = scene.stage("phases")
    made.start_agents(in_flight=1)
    return made


def test_init_containers(stage):
    stage.apply(pod("slow", STAY, initContainers=[{"name": "first", **node("setTimeout(() => {}, 3000)")}]))
    wait_until(lambda: stage.phases("pod-ready", subject="Pod/slow"), 60, "the pod is ready")
    at = {(p["phase"], p.get("container", "")): p for p in stage.phases(subject="Pod/slow")}
    order = [at[step]["at"] for step in (
        ("pod-created", ""), ("pod-scheduled", ""), ("container-started", "first"), ("pod-initialized", ""),
        ("container-started", "app"), ("containers-ready", ""))]
    assert order == sorted(order), at
    assert order[2] < order[3]  # it took three seconds
    assert all(p["bound"] == "at" for key, p in at.items() if key != ("image-pulled", "")), at
    row = stage.row("Pod/slow")
    states = [s["state"] for s in row["spans"]]
    assert states[-1] == "ready" and "init" in states, row


def test_what_an_image_cost(stage):
    """The lab's images are on every node: the kubelet says so of each container."""
    pulled = wait_until(lambda: stage.phases("image-pulled", subject="Pod/slow", source="event", container="app"), 30,
                        "the kubelet's Event")
    assert pulled[0]["cached"] and pulled[0]["image"] == IMAGE, pulled
    assert pulled[0]["precision_s"] == 1.0


def test_an_image_that_is_not_there(stage):
    stage.apply(pod("imageless", {"image": "localhost/no-such-image:1", "imagePullPolicy": "IfNotPresent"}))
    failed = wait_until(lambda: stage.phases("container-failed", subject="Pod/imageless", source="event",
                                             reason="ErrImagePull"), 60, "the kubelet's Event")
    assert failed[0]["image"] == "localhost/no-such-image:1" and failed[0]["container"] == "app"
    assert stage.phases("image-pulling", subject="Pod/imageless", container="app")
    # It is tried again and again: one phase, and a count that rises at most once a minute.
    wait_until(lambda: stage.phases("container-failed", subject="Pod/imageless", reason="ErrImagePull")[-1]["count"] > 1, 100,
               "the attempts are counted")
    told = stage.phases("container-failed", subject="Pod/imageless", source="event", reason="ErrImagePull")
    assert len(told) <= 3, told


def test_no_node_takes_it(stage):
    stage.apply(pod("homeless", STAY, nodeSelector={"no": "such-node"}))
    said = wait_until(lambda: stage.phases("pod-unschedulable", subject="Pod/homeless"), 60, "the scheduler's reason")
    assert "0/2 nodes are available" in said[0]["reason"], said
    assert stage.phases("pod-created", subject="Pod/homeless")
    assert not stage.phases("pod-scheduled", subject="Pod/homeless")
    assert {"unschedulable"} <= {s["state"] for s in stage.row("Pod/homeless")["spans"]}


def test_out_of_memory_again_and_again(stage):
    stage.apply(pod("hungry", EAT))
    wait_until(lambda: [p for p in stage.phases("container-failed", subject="Pod/hungry", reason="OOMKilled")
                        if p["count"] >= 2], 90, "the kernel ended it twice")
    wait_until(lambda: stage.phases("container-failed", subject="Pod/hungry", reason="CrashLoopBackOff"), 60,
               "the kubelet backs off")


def test_hooks(stage):
    chart = hook_chart(stage.scene.folder / "hooked", 0)
    stage.helm("install", "hooked", chart, "--timeout", "60s")
    ended = wait_until(lambda: stage.phases("hook-succeeded", subject="Job/migrate"), 30, "the hook succeeded")
    started = stage.phases("hook-started", subject="Job/migrate")
    assert started[0]["reason"] == "pre-install,pre-upgrade" and started[0]["owner"] == "hooked", started
    assert started[0]["at"] < ended[0]["at"] and ended[0]["bound"] == "at"
    stage.helm("upgrade", "hooked", hook_chart(chart, 3), "--timeout", "60s", status=1)
    failed = wait_until(lambda: stage.phases("hook-failed", subject="Job/migrate"), 30, "the hook failed")
    assert failed[0]["reason"].endswith("BackoffLimitExceeded") and failed[0]["count"] == 1, failed
    assert len(stage.phases("hook-started")) == 2


def test_the_chart_shows_it(stage):
    """As its user sees it, in a plain terminal."""
    shown = stage.scene.ask("timeline", stage.name, "--all").stdout
    print(shown)
    for line, holds in (("  slow", "image cached"), ("  imageless", "!"), ("  homeless", "?"), ("  hungry", "!"),
                        ("hook Job/migrate", "succeeded after"), ("hook Job/migrate", "!")):
        assert any(one.startswith(line) and holds in one for one in shown.splitlines()), (line, holds, shown)
