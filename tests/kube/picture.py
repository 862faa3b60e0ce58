"""The agent's picture, from the collector's store, and the comparison with the cluster's. Pure, but for Seen.read.

  picture      of the newest record of each (kind, name): uid and resourceVersion; of pods the uids from phases
  doubled      more than one record of one state (kind, name, uid, resourceVersion), or of one end (kind, name, uid)
  missing      writes of which no record is there; each must lie in a loss of cause UNWATCHED that names its source
"""
import collections

SOURCES = ("pods", "releases", "deployments", "statefulsets", "daemonsets", "services", "configmaps", "secrets")
KINDS = ("ConfigMap", "Secret", "Service", "Deployment", "StatefulSet", "DaemonSet", "HelmRelease", "Namespace")
UNWATCHED = 6  # Loss.Cause
LIVING = ("LISTED", "ADDED", "MODIFIED")
ROOM = 1.0  # seconds: the clocks are one, the moments of a request and of what it does are not


class Seen:
    """What the store has of the stage, read on and on. streams may be several; each is one agent's lifetime."""

    def __init__(self, schema):
        self.schema, self.marks = schema, {}
        self.objects, self.phases, self.losses, self.sources = [], [], [], {}

    def read(self, db, stage):
        """What came since the last time, through a connection to the store."""
        for stream, boot in db.execute("SELECT id, boot FROM stream WHERE cluster || '/' || namespace = ?",
                                       (stage,)).fetchall():
            for seq, payload in db.execute("SELECT seq, payload FROM record WHERE stream = ? AND seq > ? ORDER BY seq",
                                           (stream, self.marks.get(stream, 0))):
                self.take(boot.hex(), self.schema.Record.FromString(payload))
                self.marks[stream] = seq

    def take(self, boot, record):
        body = record.WhichOneof("body")
        if body == "object":
            o = record.object
            op = self.schema.Object.Op.Name(o.op).removeprefix("OP_")
            self.objects.append({"boot": boot, "op": op, "kind": o.kind, "name": o.name, "uid": o.uid,
                                 "rv": o.resource_version, "at": record.wall_ns / 1e9, "reason": o.reason})
        elif body == "phase":
            p = record.phase
            self.phases.append({"boot": boot, "phase": self.schema.Phase.Kind.Name(p.kind).removeprefix("KIND_"),
                                "subject": p.subject, "uid": p.uid, "at": record.wall_ns / 1e9})
        elif body == "coverage" and any(s.kind for s in record.coverage.sources):  # a full one
            self.sources = {s.name: (s.kind, s.ok, s.reason) for s in record.coverage.sources}
        elif body == "loss":
            loss = record.loss
            self.losses.append({"boot": boot, "cause": loss.cause, "from": loss.from_wall_ns / 1e9,
                                "to": loss.to_wall_ns / 1e9, "sources": [s.strip() for s in loss.families.split(",")]})

    def forget(self):
        """Of what there is, nothing counts any more."""
        self.objects, self.phases, self.losses = [], [], []

    def marked(self):
        """How much there is now; what comes later is `since` it."""
        return len(self.objects), len(self.losses)


def picture(seen):
    """{(kind, name): (uid, rv)} by the newest record of each, and {("Pod", name): (uid, "")}."""
    found = {}
    for o in sorted(seen.objects, key=lambda o: o["at"]):
        if o["kind"] not in KINDS:
            continue
        if o["op"] in LIVING:
            found[o["kind"], o["name"]] = (o["uid"], o["rv"])
        elif o["op"] == "DELETED" and found.get((o["kind"], o["name"]), (o["uid"],))[0] == o["uid"]:
            found.pop((o["kind"], o["name"]), None)
    return {**found, **pods(seen)}


def pods(seen):
    living = {}
    for p in sorted(seen.phases, key=lambda p: p["at"]):
        if not p["subject"].startswith("Pod/"):
            continue
        if p["phase"] == "POD_GONE":
            living.pop(p["uid"], None)
        elif p["phase"] == "POD_CREATED":
            living[p["uid"]] = p["subject"].removeprefix("Pod/")
    return {("Pod", name): (uid, "") for uid, name in living.items()}


def truth(items, node):
    """The same of what the cluster says."""
    found = {}
    for item in items:
        meta, kind, name = item["metadata"], item["kind"], item["metadata"]["name"]
        rv = meta["resourceVersion"]
        if kind == "Secret" and item.get("type") == "helm.sh/release.v1":
            kind, name = "HelmRelease", f"{meta['labels']['name']}.v{meta['labels']['version']}"
        if kind == "Pod":
            if item["spec"].get("nodeName") != node:
                continue
            rv = ""
        if kind == "ConfigMap" and name == "kube-root-ca.crt":
            continue
        found[kind, name] = (meta["uid"], rv)
    return found


def differences(told, true):
    """Lines; none when the two are one."""
    lines = []
    for key in sorted(told.keys() | true.keys()):
        if told.get(key) != true.get(key):
            lines.append(f"{key[0]}/{key[1]}: the agent says {told.get(key, 'absent')}, "
                         f"the cluster {true.get(key, 'absent')}")
    return lines


def doubled(objects):
    """{state: how often} of what was told more than once by one stream."""
    counts = collections.Counter(
        (o["boot"], o["kind"], o["name"], o["uid"], "end" if o["op"] == "DELETED" else o["rv"]) for o in objects
        if o["op"] in LIVING or o["op"] == "DELETED")
    return {state: n for state, n in counts.items() if n > 1}


def is_told(write, states, ends, pod_phases):
    if write.kind == "Pod":
        return ("POD_GONE" if write.op == "delete" else "POD_CREATED", write.uid) in pod_phases
    if write.op == "delete":
        return (write.kind, write.uid) in ends
    return (write.kind, write.uid, write.rv) in states


def missing(writes, seen):
    """The writes of which nothing was told."""
    states = {(o["kind"], o["uid"], o["rv"]) for o in seen.objects if o["op"] in LIVING}
    ends = {(o["kind"], o["uid"]) for o in seen.objects if o["op"] == "DELETED"}
    pod_phases = {(p["phase"], p["uid"]) for p in seen.phases}
    return [w for w in writes if not is_told(w, states, ends, pod_phases)]


def unwatched(losses):
    return [loss for loss in losses if loss["cause"] == UNWATCHED]


def undeclared(writes, seen):
    """Lines: writes of which nothing was told, and which no loss of cause UNWATCHED covers."""
    gaps = unwatched(seen.losses)
    return [f"{w.op} of {w.kind}/{w.name} at {w.begun:.3f} was not told and lies in no declared gap of {w.source}"
            for w in missing(writes, seen)
            if not any(w.source in gap["sources"] and gap["from"] <= w.ended + ROOM and gap["to"] >= w.begun - ROOM
                       for gap in gaps)]
