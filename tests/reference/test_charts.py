"""Charts as they are in the world, installed on a real cluster and compared with their own rendering: nothing may
differ, and what an autoscaler does may differ where the reference says so. See run."""
import dataclasses
import json

import pytest
import yaml

from ground import CHARTS, LIVE, TOOLS, Scene, wait_until

VOLUMES = [{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"disk-{n}"}, "spec": {
    "capacity": {"storage": "1Gi"}, "accessModes": modes, "persistentVolumeReclaimPolicy": "Delete",
    "hostPath": {"path": f"/run/disk-{n}", "type": "DirectoryOrCreate"}}}
    for n, modes in enumerate([["ReadWriteOnce"]] * 3 + [["ReadWriteMany", "ReadWriteOnce"]])]

# Kinds that agents tell as objects.
TOLD = ("ConfigMap", "CronJob", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy",
        "PersistentVolumeClaim", "PodDisruptionBudget", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount",
        "StatefulSet")


@dataclasses.dataclass
class Case:
    """A chart, as it is rendered (RELEASE in NAMESPACE) and as it is installed."""
    chart: str
    rendered: tuple  # release, namespace
    installed: tuple
    words: tuple = ()  # of helm install
    crds: bool = False  # installed before the agents look
    before: tuple = ()  # objects that a cluster's administrator makes

    def __str__(self):
        return self.chart


CASES = [
    Case("web", ("production", "web-prod"), ("shop-web", "shop"), words=("--server-side=false",)),
    Case("stateful", ("stateful", "data"), ("cache", "caching"), words=("--server-side=false",), before=VOLUMES),
    Case("ingress", ("edge", "edge-prod"), ("sites", "sites-stage")),
    Case("batch", ("nightly", "batch-prod"), ("batch", "jobs"), words=("--server-side=false",)),
    Case("operator", ("op", "operators"), ("cache-operator", "pilot-ops"),
         crds=True),
]


def render(chart, release, namespace, path, *words):
    """As a vendor's chart is rendered away from any cluster."""
    path.write_text(Scene.must(TOOLS / "helm", "template", release, chart, "--namespace", namespace, *words))
    return path


class Setting:
    """One chart: rendered, its pilot, and its stage with the chart installed."""

    def __init__(self, case, ground):
        self.case, self.ground = case, ground
        self.chart = CHARTS / case.chart
        self.rendered = render(self.chart, *case.rendered, ground.folder / f"{case.chart}-rendered.yaml")

    def keep(self, stage):
        """What lives, for the unit tests."""
        release, namespace = self.case.installed
        LIVE.mkdir(parents=True, exist_ok=True)
        (LIVE / f"{self.case.chart}.yaml").write_text(self.rendered.read_text())
        (LIVE / f"{self.case.chart}.json").write_text(json.dumps(
            {"release": release, "namespace": namespace, "chart": self.case.chart, "rendered": {
                "release": self.case.rendered[0], "namespace": self.case.rendered[1]},
             "objects": stage.objects()}, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_chart(case, ground, request):
    setting = Setting(case, ground)
    release, namespace = case.installed
    name = f"one/{namespace}"
    with ground.pilot(case.chart, [name], [], release=release) as pilot:
        if case.crds:
            Scene.must(TOOLS / "kubectl", "--kubeconfig", ground.clusters["one"], "apply", "-f", setting.chart / "crds")
        stage = pilot.begin_stage(name)
        if case.before:
            stage.apply(*case.before)
        stage.install_chart(release, setting.chart, *case.words)
        manifest = yaml.safe_load_all(stage.helm("get", "manifest", release))
        wanted = {(o["kind"], o["metadata"]["name"]) for o in manifest if o["kind"] in TOLD}
        wait_until(lambda: wanted <= {(o["kind"], o["name"]) for o in stage.objects()}, 20, f"the agents told {wanted}")
        if request.config.getoption("--record"):
            setting.keep(stage)
