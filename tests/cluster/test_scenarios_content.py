"""Rollbacks that only their content shows, of a chart that makes random material with each rendering; and what an
autoscaler may change meanwhile. Run with tests/cluster/scenarios --only content.

The story runs in the order of this file: every scenario begins where the one before it left the release.
"""
import shutil

import pytest

from scene import PRODUCT, wait_until

PLAIN, SUM = "gateway.tools={echo,hold,whoami}", "gateway.tools={echo,hold,whoami,sum}"

# A key and a certificate that are new with each rendering, and a workload that is made anew with them.
RANDOM = """
{{- $ca := genCA "scene" 30 }}
{{- $key := randAlphaNum 24 }}
apiVersion: v1
kind: Secret
metadata: {name: random}
stringData:
  key: {{ $key | quote }}
  ca.crt: {{ $ca.Cert | quote }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: spare}
spec:
  replicas: 1
  selector: {matchLabels: {app: spare}}
  template:
    metadata:
      labels: {app: spare}
      annotations: {checksum/random: {{ $key | sha256sum }}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {name: spare, image: {{ .Values.canary.image }}, imagePullPolicy: IfNotPresent, args: {{ toJson .Values.canary.args }}}
---
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: spare}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: spare}
  minReplicas: 1
  maxReplicas: 3
"""


@pytest.fixture(scope="module")
def stage(scene, tmp_path_factory):
    made = scene.stage("content")
    made.chart = shutil.copytree(PRODUCT, tmp_path_factory.mktemp("content") / "product")
    (made.chart / "templates" / "random.yaml").write_text(RANDOM)
    made.start_agents()
    return made


def entries(verdict):
    return {entry["object"]: entry for entry in verdict["objects"]}


def upgraded(stage, tools):
    stage.quiet()
    # Who scales takes the field over: Helm 4 applies on the server and must be told to take it back.
    stage.settled(stage.upgrade(tools, options=("--wait", "--force-conflicts")))
    return stage.revision()


def test_install(stage):
    stage.install(PLAIN)
    wait_until(lambda: stage.gate("helm-deployment")["verdict"] == "PASS", 60, "the deployment passes")
    upgraded(stage, SUM)
    assert stage.rollbacks() == []  # everything is rendered anew, and nothing went back


def test_random_material_is_said_to_be_regenerated(stage):
    verdict = stage.settled_rollback(upgraded(stage, PLAIN))
    assert verdict["verdict"] == "PASS" and verdict["target"] == 1, verdict["reason"]
    assert verdict["recognised"] == "by its chart and values"
    assert verdict["manifest_baseline"] != verdict["manifest_after"]
    assert {m["object"] for m in verdict["manifest"]} == {"Secret/random", "Deployment/spare"}
    what = {name: entry["what"] for name, entry in entries(verdict).items()}
    assert what["Secret/random"] == what["Deployment/spare"] == "regenerated", what
    assert set(what.values()) == {"equal", "regenerated"}
    secret = entries(verdict)["Secret/random"]["fields"]
    assert {f["pointer"] for f in secret} == {"/data/key", "/data/ca.crt"} and all(f["secret"] for f in secret)
    assert verdict["measured"]["completed_after"] > 0 and "calls succeeded" in verdict["reason"]


def test_an_autoscaler_may_scale(stage):
    """Helm's own rollback applies the stored manifest, and so the old key; then the load grows."""
    upgraded(stage, SUM)
    stage.quiet()
    stage.helm("rollback", "shop", "1", "--wait", "--timeout", "60s")
    stage.kubectl("scale", "deployment", "spare", "--replicas=2")
    verdict = stage.settled_rollback(stage.revision())
    assert verdict["verdict"] == "PASS" and verdict["target"] == 1, verdict["reason"]
    assert verdict["manifest_baseline"] == verdict["manifest_after"]
    assert entries(verdict)["Secret/random"]["what"] == "equal"
    spare = entries(verdict)["Deployment/spare"]
    assert spare["what"] == "tolerated" and "autoscaler" in spare["why"], spare
    assert [f["pointer"] for f in spare["fields"]] == ["/spec/replicas"]


def test_without_an_autoscaler_it_differs(stage):
    """Back to a revision that had time to settle, as what differs from an unsettled one says nothing."""
    upgraded(stage, SUM)
    stage.quiet()
    before = stage.revision()
    stage.helm("rollback", "shop", "3", "--wait", "--timeout", "60s")
    stage.kubectl("delete", "horizontalpodautoscaler", "spare")
    stage.kubectl("scale", "deployment", "spare", "--replicas=2")
    verdict = stage.settled_rollback(before + 1)
    assert verdict["verdict"] == "FAIL", verdict["reason"]
    assert "HorizontalPodAutoscaler/spare" in verdict["missing"] and "Deployment/spare" in verdict["different"]
