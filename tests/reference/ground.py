"""Where references are compared with what lives: two clusters of the lab, and pilots on them.

Ground is the clusters, one and two, with the images of agent and canary. A Pilot is a store, a collector beside the
clusters and its stages: namespaces with agents of their own (pilotgate's chart), which call nothing; its reference is
part of its declaration. Stages come from tests/cluster/scene.py.
"""
import contextlib
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(TOP / "tests" / "cluster"))
from scene import BUILD, CLUSTER, PILOTGATE, TOOLS, Scene, Stage, free_port, run, wait_until  # noqa: E402,F401

CHARTS = HERE / "charts"
LIVE = TOP / "tests" / "unit" / "reference" / "live"
IMAGES = TOOLS.parent / "images"
PLAYED = ("localhost/lab-client:2", "docker.io/library/postgres:16.4", "docker.io/library/redis:7.2",
          *(f"quay.io/arcade/{service}:1.8.0"
            for service in ("engine", "coordinator", "dashboard", "experience-api", "worker")))
INDEX = {"one": 8, "two": 9}
# Every stage hashes with this key, so that what --record keeps stays the same from run to run.
KEY = "5e" * 32
SETTLED = 90  # seconds until images, probes, claims and controllers have done what they do
TOLD = 20  # and until agents and collector know
FIGURES = []  # what the run prints at its end
# What a chart may bring, for `kubectl get`; what counts itself by the second (Leases, Events) is left out.
KINDS = ("deployments,statefulsets,daemonsets,jobs,cronjobs,services,endpoints,configmaps,secrets,serviceaccounts,"
         "persistentvolumeclaims,ingresses,networkpolicies,horizontalpodautoscalers,poddisruptionbudgets,roles,"
         "rolebindings,pods")


class Ground:
    def __init__(self, folder):
        self.folder, self.clusters, self.pilots = folder, {}, []

    def make_images(self):
        """Agent and canary, and the names under which the lab's busybox plays what a chart brings. Those programs do not
        run here: what is compared is what Kubernetes makes of the objects that name them."""
        Scene.must(TOP / "tools" / "images", "--build", BUILD, "agent", "canary", bound=120)
        archives = [BUILD / "images" / f"{name}.tar" for name in ("agent", "canary")]
        for number, image in enumerate(PLAYED):
            archives.append(self.folder / f"played-{number}.tar")
            Scene.must(CLUSTER / "mkimage", archives[-1], image, '{"Entrypoint":["/bin/sh"],"Env":["PATH=/bin"]}',
                       f"@{IMAGES / 'client.tar'}")
        return archives

    def begin(self):
        up = run(CLUSTER / "cluster", "ls").stdout.split()
        assert not set(INDEX) & set(up), f"the lab's clusters {up} are up; tests/cluster/cluster down NAME ends them"
        starts = [subprocess.Popen([CLUSTER / "cluster", "up", name, str(index)], stdout=subprocess.DEVNULL)
                  for name, index in INDEX.items()]
        self.clusters = dict.fromkeys(INDEX)
        archives = self.make_images()
        assert [start.wait(180) for start in starts] == [0] * len(starts), "the lab did not start"
        for name in INDEX:
            Scene.must(CLUSTER / "cluster", "load", name, *archives, bound=120)
            self.clusters[name] = Scene.must(CLUSTER / "cluster", "kubeconfig", name).strip()

    @contextlib.contextmanager
    def pilot(self, name, stages, references, **more):
        """A pilot of these stages ("one/shop"), measured by these references, until the block ends."""
        made = Pilot(self, name, stages, references, **more)
        try:
            made.declare()
            made.serve()
            yield made
        finally:
            made.close()

    def close(self):
        for name in self.clusters:
            run(CLUSTER / "cluster", "down", name, bound=120)


class Pilot(Scene):
    def __init__(self, ground, name, stages, references, releases=None, tolerate=(), resources=()):
        folder = ground.folder / name
        folder.mkdir()
        super().__init__(folder)
        self.ground, self.stages, self.references, self.releases = ground, stages, references, releases
        self.tolerate, self.resources = tolerate, resources

    def declare(self):
        self.ask_well("keygen", "all", "--out", self.keys, "--stage", ",".join(self.stages))
        (self.keys / "pilot.hash").write_text(KEY + "\n")
        self.declare_again()

    def declare_again(self, **more):
        """The pilot, with another reference or other tolerances than before."""
        for name, value in more.items():
            setattr(self, name, value)
        path = self.folder / "pilot.yaml"
        pilot = {"name": self.folder.name,
                 "stages": [{"stage": s, "agents": 2, "release": self.releases[s]} for s in self.stages]}
        if self.references:
            pilot["architecture"] = {"reference": [str(r) for r in self.references], "tolerate": list(self.tolerate)}
        path.write_text(json.dumps(pilot))  # JSON is YAML
        self.ask_well("pilot", "init", "--file", path, "--key", self.keys / "pilot.hash", "--replace")

    def close(self):
        if self.collector:
            self.collector.end()

    def begin_stage(self, stage):
        """Its namespace and its agents."""
        cluster, namespace = stage.split("/")
        made = Witnessed(self, namespace, cluster, self.ground.clusters[cluster])
        kube = {"kube": {"resources": list(self.resources)}} if self.resources else {}
        made.start_agents(targets=[], probes=[], documents=[], **kube)
        return made

    # ---- what is said

    def compared(self, *words, verdict="PASS"):
        """`pilotgate compare`, once it comes to this verdict; the last one it came to when it does not in time."""
        end = time.monotonic() + TOLD
        while True:
            said = self.read("compare", *words)
            if said["verdict"] == verdict or time.monotonic() > end:
                return said
            time.sleep(0.2)

    def account(self):
        """For people, when a test failed."""
        said = [self.ask(*words).stdout for words in (("compare",), ("agents",))]
        return "\n".join([*said, *self.collector.said().splitlines()[-5:]])


class Witnessed(Stage):
    """A stage into which charts are installed."""

    def install_chart(self, release, chart, *words):
        self.helm("install", release, chart, *words)
        self.settle()

    def picture(self):
        """Every object with its version, and whether what it asks for is there."""
        objects = self.get(KINDS)["items"]
        return ([(o["kind"], o["metadata"]["name"], o["metadata"]["resourceVersion"]) for o in objects],
                all(is_settled(o) for o in objects))

    def settle(self):
        """Waits until all controllers have done their work and no object moved for two seconds."""
        still = {"picture": None, "since": 0}

        def quiet():
            picture, settled = self.picture()
            if picture != still["picture"]:
                still.update(picture=picture, since=time.monotonic())
            return settled and time.monotonic() - still["since"] > 2
        wait_until(quiet, SETTLED, f"{self.name} is settled")

    def objects(self):
        """What the agents told last of each object, as a list for tests/unit/reference/live."""
        newest = {}
        for _, record in self.records():
            if record.WhichOneof("body") == "object" and not record.object.own:
                newest[record.object.kind, record.object.name] = record.object
        return [{"kind": o.kind, "name": o.name, "release": o.release, "normal": json.loads(o.normal)}
                for _, o in sorted(newest.items()) if o.normal and not o.truncated and o.kind != "HelmRelease"]


def is_settled(o):
    """Has the controller of this object done what the object asks for?"""
    status, spec, kind = o.get("status", {}), o.get("spec", {}), o["kind"]
    if kind in ("Deployment", "StatefulSet"):
        wanted = spec["replicas"]
        return (status.get("observedGeneration", 0) >= o["metadata"]["generation"] and
                status.get("readyReplicas", 0) == wanted == status.get("replicas", 0) ==
                status.get("updatedReplicas", 0))
    if kind == "Job":
        return any(c["type"] in ("Complete", "Failed") for c in status.get("conditions", []))
    if kind == "PersistentVolumeClaim":
        return status.get("phase") == "Bound"
    if kind == "Pod":
        return status.get("phase") in ("Running", "Succeeded") and "deletionTimestamp" not in o["metadata"]
    return True
