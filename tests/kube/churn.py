"""What happens in the stage while a fault is there: objects are made, changed and deleted, and each write is noted.

Every change is one of the normal form, so that each must be told with its resourceVersion. Releases are written as
Helm writes them (Secret sh.helm.release.v1.NAME.vREV, pkg/storage/driver/secrets.go), without Helm.
"""
import base64
import dataclasses
import gzip
import json
import time

RELEASE = "helm.sh/release.v1"
NODE = "n1"


@dataclasses.dataclass
class Write:
    op: str  # "create", "change", "delete"
    source: str
    kind: str  # as records call it
    name: str
    uid: str
    rv: str
    begun: float  # wall clock, before the request
    ended: float


def encode_release(name, revision, status, n):
    document = {"name": name, "version": revision, "namespace": "kube", "info": {
        "status": status, "description": f"Upgrade {n}", "first_deployed": "2026-11-23T10:00:00Z",
        "last_deployed": "2026-11-23T10:00:00Z"},
        "chart": {"metadata": {"name": name, "version": f"1.0.{n}"}}, "config": {"n": n},
        "manifest": f"---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: of-{name}\ndata:\n  n: \"{n}\"\n"}
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(document).encode()))).decode()


def pods_of(name, n):
    return {"metadata": {"labels": {"app": name}, "annotations": {"n": str(n)}},
            "spec": {"containers": [{"name": "main", "image": f"localhost/none:{n}"}]}}


def workload(name, n, **spec):
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}},
                                                 "template": pods_of(name, n), **spec}}


class Kind:
    """How one kind is made and changed; n is different each time. create, change: (name, n) -> body. told: what records
    call it."""

    def __init__(self, source, kind, create, change, told=None):
        self.source, self.kind, self.create, self.change = source, kind, create, change
        self.told = told or kind

    def name(self, letter):
        return f"{self.source}-{letter}"

    def recorded(self, name):
        return name


class Release(Kind):
    """Revision 1 of a release, pending first, and then deployed again and again with other contents."""

    def __init__(self):
        super().__init__("releases", "Secret", self.secret, self.deployed, told="HelmRelease")

    def name(self, letter):
        return f"sh.helm.release.v1.shop{letter}.v1"

    def recorded(self, name):
        return name.removeprefix("sh.helm.release.v1.")

    def deployed(self, name, n, status="deployed"):
        chart = self.recorded(name).split(".")[0]
        return {"metadata": {"labels": {"owner": "helm", "name": chart, "version": "1", "status": status}},
                "data": {"release": encode_release(chart, 1, status, n)}}

    def secret(self, name, n):
        body = self.deployed(name, n, "pending-install")
        return {**body, "metadata": {"name": name, **body["metadata"]}, "type": RELEASE}


def b64(n):
    return base64.b64encode(f"planted-{n}".encode()).decode()


def pod(name, _):
    return {"metadata": {"name": name}, "spec": {"nodeName": NODE, "automountServiceAccountToken": False, **pods_of(
        name, 0)["spec"]}}


KINDS = [
    Kind("configmaps", "ConfigMap", lambda name, n: {"metadata": {"name": name}, "data": {"n": str(n)}},
         lambda name, n: {"data": {"n": str(n)}}),
    Kind("services", "Service", lambda name, n: {"metadata": {"name": name}, "spec": {
        "selector": {"n": str(n)}, "ports": [{"port": 80, "protocol": "TCP"}]}},
        lambda name, n: {"spec": {"selector": {"n": str(n)}}}),
    Kind("deployments", "Deployment", lambda name, n: workload(name, n, replicas=1),
         lambda name, n: {"spec": {"template": pods_of(name, n)}}),
    Kind("statefulsets", "StatefulSet", lambda name, n: workload(name, n, serviceName=name),
         lambda name, n: {"spec": {"template": pods_of(name, n)}}),
    Kind("daemonsets", "DaemonSet", workload, lambda name, n: {"spec": {"template": pods_of(name, n)}}),
    Kind("secrets", "Secret", lambda name, n: {"metadata": {"name": name}, "data": {"key": b64(n)}},
         lambda name, n: {"data": {"key": b64(n)}}),
    Release(),
    Kind("pods", "Pod", pod, None),
]
STEPS = ("change", "change", "delete")  # of what is there, in turn; what is not there is made


class Churn:
    """Not for several threads at once, but for `while_it`."""

    def __init__(self, control):
        self.control, self.n, self.writes, self.there, self.turn = control, 0, [], {}, {}

    def note(self, op, kind, name, document, begun):
        meta = document.get("metadata", {})
        before = self.there.get((kind.source, name), {})
        self.writes.append(Write(op, kind.source, kind.told, kind.recorded(name), meta.get("uid") or before["uid"],
                                 meta.get("resourceVersion", ""), begun, time.time()))
        self.there[kind.source, name] = {"uid": self.writes[-1].uid} if op != "delete" else None

    def do(self, op, kind, name):
        """One write; n says which, in the object as well."""
        self.n += 1
        begun = time.time()
        if op == "create":
            document = self.control.create(kind.kind, kind.create(name, self.n))
        elif op == "change":
            document = self.control.patch(kind.kind, name, kind.change(name, self.n))
        else:
            document = {"metadata": {"uid": self.there[kind.source, name]["uid"]}}
            self.control.delete(kind.kind, name)
        self.note(op, kind, name, document, begun)

    def step(self, letter="a", kinds=KINDS):
        """Each kind's object of that letter goes on by one step."""
        for kind in kinds:
            name = kind.name(letter)
            if not self.there.get((kind.source, name)):
                self.do("create", kind, name)
                continue
            turn = self.turn[kind.source, name] = self.turn.get((kind.source, name), -1) + 1
            self.do(STEPS[turn % len(STEPS)] if kind.change else "delete", kind, name)

    def steps(self, n, letters="ab", pause=0.0):
        for _ in range(n):
            for letter in letters:
                self.step(letter)
                time.sleep(pause)

    def while_it(self, condition, bound, pause=0.1):
        """Steps until the condition is true; the number of steps."""
        end, done = time.monotonic() + bound, 0
        while not condition():
            assert time.monotonic() < end, f"gave up after {bound} s and {done} steps"
            self.step("ab"[done % 2])
            done += 1
            time.sleep(pause)
        return done

