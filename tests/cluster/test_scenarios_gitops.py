"""Objects of Flux and Argo CD, written as their controllers write them, beside real Helm revisions of the same stage.

The API server, Helm, the product and the agents are real. The controllers of Flux and Argo CD do not run: their
definitions are in crds/, and what their controllers would say is written by kubectl here, Flux's status through the
status subresource, Argo CD's with the object, as it does. Fields: Flux's HelmRelease v2 (docs/spec/v2/helmreleases.md
of fluxcd/helm-controller: History, Conditions), Kustomization v1 (docs/spec/v1/kustomizations.md of
fluxcd/kustomize-controller: History), Argo CD's Application v1alpha1 (pkg/apis/application/v1alpha1/types.go).

The story runs in the order of this file. Run with tests/cluster/scenarios --only gitops.
"""
import json
import shutil
import time

import pytest

from scene import CLUSTER, PRODUCT, TOOLS, wait_until

SHA1, SHA2 = "1f4c" + "0" * 36, "2e9b" + "0" * 36
CHART = "0.1.0"
NO_IMAGE = "localhost/no-such-image:1"
OWNER = {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "gitops"}


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def thing(api, kind, name, labels=None, **more):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "gitops", "labels": labels or {}},
            **more}


def condition(kind, reason, message, status="True"):
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now(),
            "observedGeneration": 1}


@pytest.fixture(scope="module")
def stage(scene, tmp_path_factory):
    for file in ("flux.yaml", "argocd.yaml"):
        scene.must(*kubectl(scene), "apply", "--server-side", "-f", CLUSTER / "crds" / file)
    scene.must(*kubectl(scene), "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    made = scene.stage("gitops")
    made.chart = labelled(tmp_path_factory.mktemp("chart"))
    made.start_agents()
    return made


def kubectl(scene):
    return [TOOLS / "kubectl", "--kubeconfig", scene.kubeconfig]


def labelled(folder):
    """The product as helm-controller installs it: a post-renderer of it labels every object's own metadata."""
    chart = shutil.copytree(PRODUCT, folder / "product")
    helpers = chart / "templates" / "_helpers.tpl"
    own = '{{- define "product.labels" -}}\n'
    text = helpers.read_text()
    assert own in text
    helpers.write_text(text.replace(own, own + "".join(f"{k}: {v}\n" for k, v in OWNER.items())))
    return chart


def write_status(stage, kind, name, status):
    """As a controller does, through the status subresource."""
    stage.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


DEPLOYED = {}  # of each Helm revision, when helm-controller began with it


def snapshot(version, status, action):
    began = DEPLOYED.setdefault(version, now())
    return {"name": "shop", "namespace": "gitops", "version": version, "status": status, "action": action,
            "chartName": "product", "chartVersion": CHART, "appVersion": "2.6.2",
            "configDigest": "sha256:" + f"{version:064x}", "digest": "sha256:" + f"{version + 99:064x}",
            "firstDeployed": DEPLOYED[min(DEPLOYED)], "lastDeployed": began}


def release_status(history, action, *conditions, **more):
    return {"observedGeneration": 1, "history": history, "conditions": list(conditions), "storageNamespace": "gitops",
            "lastAttemptedRevision": CHART, "lastAttemptedReleaseAction": action,
            "lastAttemptedReleaseActionDuration": "3.1s", "lastAttemptedGeneration": 1, **more}


FLUX, ARGO = "flux:HelmRelease/gitops/shop", "argocd:extra"


def gitops(stage):
    return next(s for s in stage.scene.read("gitops", "--stage", stage.name) if s["stage"] == stage.name)


def wait_for_owner(stage, name, wanted):
    """What pilotgate says of this owner, once the condition holds."""
    def told():
        owner = next((o for o in gitops(stage)["owners"] if o["owner"] == name), None)
        return owner and owner["seen"] and wanted(owner) and owner
    return wait_until(told, 30, f"{name} is told")


def revisions(stage, owner):
    """What this owner applied: {Helm's revision, or what was applied: entry}."""
    return {r["helm"] or r["revision"]: r for r in gitops(stage)["revisions"] if r["owner"] == owner}


# ---- the story


def test_success(stage):
    """A Kustomization applied a HelmRelease, and that installed the product from this commit."""
    stage.apply(thing("source.toolkit.fluxcd.io/v1", "GitRepository", "apps",
                      spec={"url": "https://git.example.com/apps", "interval": "1m", "ref": {"branch": "main"}}),
                thing("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "apps",
                      spec={"interval": "10m", "path": "./shop", "prune": True,
                            "sourceRef": {"kind": "GitRepository", "name": "apps"}}),
                thing("helm.toolkit.fluxcd.io/v2", "HelmRelease", "shop",
                      {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "gitops"},
                      spec={"interval": "10m", "chart": {"spec": {"chart": "./product", "sourceRef": {
                          "kind": "GitRepository", "name": "apps"}}}, "values": {"gateway": {"tools": ["echo"]}}}))
    stage.install("gateway.tools={echo,hold,whoami}")
    revision = f"main@sha1:{SHA1}"
    write_status(stage, "gitrepository", "apps", {
        "observedGeneration": 1, "artifact": {"revision": revision, "lastUpdateTime": now(), "path": "x", "url": "x",
                                              "digest": "sha256:" + "1" * 64},
        "conditions": [condition("Ready", "Succeeded", f"stored artifact for revision '{revision}'")]})
    write_status(stage, "kustomization", "apps", {
        "observedGeneration": 1, "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
        "conditions": [condition("Ready", "ReconciliationSucceeded", f"Applied revision: {revision}")],
        "history": [{"digest": "sha256:" + "3" * 64, "firstReconciled": now(), "lastReconciled": now(),
                     "lastReconciledDuration": "1.5s", "lastReconciledStatus": "ReconciliationSucceeded",
                     "totalReconciliations": 1, "metadata": {"revision": revision}}]})
    write_status(stage, "helmrelease", "shop", release_status(
        [snapshot(1, "deployed", "install")], "install",
        condition("Ready", "InstallSucceeded", "Helm install succeeded for release gitops/shop.v1"),
        condition("Released", "InstallSucceeded", "Helm install succeeded for release gitops/shop.v1")))
    wait_until(lambda: stage.gate("helm-deployment")["verdict"] == "PASS", 60, "the deployment passes")
    owner = wait_for_owner(stage, FLUX, lambda o: o["ready"] == "True")
    assert not (owner["suspended"] or owner["drifted"] or owner["stalled"]) and owner["reason"] == "InstallSucceeded"
    assert owner["via"] == "flux:Kustomization/gitops/apps"
    assert (owner["source"]["kind"], owner["source"]["name"], owner["source"]["revision"]) == \
        ("GitRepository", "apps", revision)
    assert wait_for_owner(stage, owner["via"], lambda o: o["ready"] == "True")["revision"] == revision
    assert revisions(stage, FLUX)["shop.v1"]["source_revision"] == revision


def test_coverage(stage):
    """What of the stage is owned as code, and by whom; what somebody made by hand is not."""
    stage.kubectl("create", "configmap", "by-hand", "--from-literal=a=b")
    wait_until(lambda: "ConfigMap/by-hand" in unowned(stage), 30, "the object by hand is told")
    covered = gitops(stage)
    owners = {o["owner"]: o["objects"] for o in covered["owners"]}
    assert owners[FLUX] == 7  # three workloads, three Services, a ConfigMap
    assert owners["flux:Kustomization/gitops/apps"] == 1  # the HelmRelease
    assert covered["owned"] == sum(owners.values()) == covered["objects"] - len(unowned(stage))
    # Its own release is left out. The Secret with its keys, and the token that this old Kubernetes makes, have no owner.
    assert not [name for name in unowned(stage) if "pilotgate" in name and not name.startswith("Secret/")]


def unowned(stage):
    return {o["object"] for o in gitops(stage)["unowned"]}


def test_status_is_no_change(stage):
    """Controllers write statuses all day: none of it is a change of the stage's configuration."""
    stage.quiet()
    before = [c["id"] for c in stage.changes()]
    for count in range(3):
        write_status(stage, "helmrelease", "shop", {"lastHandledReconcileAt": f"{now()}-{count}", "failures": 0})
    time.sleep(3)
    assert [c["id"] for c in stage.changes()] == before


def test_a_commit_becomes_a_revision(stage):
    """The commit, Helm's revision and the change are tied."""
    stage.quiet()
    revision = f"main@sha1:{SHA2}"
    name = stage.upgrade("gateway.tools={echo,hold,whoami,sum}")
    write_status(stage, "gitrepository", "apps", {"artifact": {"revision": revision, "lastUpdateTime": now()}})
    write_status(stage, "kustomization", "apps", {"lastAppliedRevision": revision, "lastAttemptedRevision": revision})
    write_status(stage, "helmrelease", "shop", release_status(
        [snapshot(2, "deployed", "upgrade"), snapshot(1, "superseded", "install")], "upgrade",
        condition("Ready", "UpgradeSucceeded", "Helm upgrade succeeded for release gitops/shop.v2"),
        condition("Released", "UpgradeSucceeded", "Helm upgrade succeeded for release gitops/shop.v2")))
    change = stage.settled(name)
    assert change["verdict"] == "PASS", change["reason"]
    entry = revisions(stage, FLUX)[name]
    assert (entry["change"], entry["tied_by"], entry["source_revision"]) == (name, "release", revision)
    assert entry["status"] == "deployed" and revisions(stage, FLUX)["shop.v1"]["status"] == "superseded"


def test_remediation(stage):
    """An upgrade that failed and that helm-controller rolled back: a rollback like one by hand."""
    stage.quiet()
    stage.helm("upgrade", "shop", stage.chart, *stage.settings("gateway.tools={echo,hold,whoami,sum}",
               f"gateway.image={NO_IMAGE}"), "--wait", "--timeout", "8s", status=1)
    write_status(stage, "helmrelease", "shop", release_status(
        [snapshot(3, "failed", "upgrade"), snapshot(2, "deployed", "upgrade")], "upgrade",
        condition("Ready", "UpgradeFailed", "Helm upgrade failed for release gitops/shop.v3", "False"),
        condition("Released", "UpgradeFailed", "Helm upgrade failed for release gitops/shop.v3", "False"), failures=1,
        upgradeFailures=1))
    stage.helm("rollback", "shop", "2", "--wait", "--timeout", "60s")
    text = "Helm rollback to previous release gitops/shop.v2 with chart product@0.1.0 succeeded"
    write_status(stage, "helmrelease", "shop", release_status(
        [snapshot(4, "deployed", "rollback"), snapshot(3, "failed", "upgrade"), snapshot(2, "superseded", "upgrade")],
        "upgrade", condition("Ready", "RollbackSucceeded", text, "False"),
        condition("Released", "UpgradeFailed", "Helm upgrade failed for release gitops/shop.v3", "False"),
        condition("Remediated", "RollbackSucceeded", text), failures=1, upgradeFailures=1))
    verdict = stage.settled_rollback(4)
    assert verdict["target"] == 2 and verdict["verdict"] == "PASS", verdict["reason"]
    owner = wait_for_owner(stage, FLUX, lambda o: o["reason"] == "RollbackSucceeded")
    assert owner["ready"] == "False" and owner["failures"] == 1
    applied = revisions(stage, FLUX)
    assert [applied[f"shop.v{n}"]["status"] for n in (2, 3, 4)] == ["superseded", "failed", "deployed"]
    assert "shop.v1" in applied  # Flux itself has forgotten it
    assert applied["shop.v4"]["change"] == "shop.v4"


def test_drift(stage):
    """Somebody changes an object by hand, and helm-controller sees that it drifted."""
    stage.quiet()
    stage.kubectl("annotate", "service", "gateway", "example.com/by-hand=yes")
    write_status(stage, "helmrelease", "shop", {"conditions": [
        condition("Ready", "UpgradeSucceeded", "Helm upgrade succeeded"),
        condition("Drifted", "DriftDetected", "Service/gitops/gateway changed (0 additions, 1 changes, 0 removals)")]})
    wait_for_owner(stage, FLUX, lambda o: o["drifted"])
    change = wait_until(lambda: next((c for c in stage.changes() if any(
        i["pointer"] == "/metadata/annotations/example.com~1by-hand" for d in c["differences"] for i in d["items"])),
                                     None), 30,
        "the edit is a change")
    assert not change["id"].startswith("shop.v")


def test_suspended(stage):
    stage.kubectl("patch", "helmrelease", "shop", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_for_owner(stage, FLUX, lambda o: o["suspended"])
    stage.kubectl("patch", "helmrelease", "shop", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    wait_for_owner(stage, FLUX, lambda o: not o["suspended"])


def application(sync, health, revision, *history):
    return {"sync": {"status": sync, "revision": revision}, "health": {"status": health}, "reconciledAt": now(),
            "operationState": {"phase": "Succeeded", "startedAt": now(), "finishedAt": now(),
                               "message": "successfully synced (all tasks run)",
                               "operation": {"sync": {"revision": revision}},
                               "syncResult": {"revision": revision, "source": {
                                   "repoURL": "https://git.example.com/apps", "path": "extra"}}},
            "history": [{"id": n, "revision": sha, "deployedAt": now(), "deployStartedAt": now(), "source": {
                "repoURL": "https://git.example.com/apps", "path": "extra"}} for n, sha in enumerate(history)]}


def test_argo_application(stage):
    """Argo CD's controller writes the status with the object; it renders charts itself and keeps no Helm revisions."""
    stage.quiet()
    app = thing("argoproj.io/v1alpha1", "Application", "extra", spec={
        "project": "default", "source": {"repoURL": "https://git.example.com/apps", "path": "extra",
                                         "targetRevision": "main"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "gitops"}})
    owned = thing("v1", "ConfigMap", "extra-config", data={"a": "1"})
    owned["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "extra:/ConfigMap:gitops/extra-config"}
    stage.apply(app | {"status": application("Synced", "Healthy", SHA1, SHA1)}, owned)
    owner = wait_for_owner(stage, ARGO, lambda o: o["objects"] == 1)
    assert not owner["drifted"] and not owner["suspended"] and owner["revision"] == SHA1
    assert owner["source"]["url"] == "https://git.example.com/apps"
    stage.apply(app | {"status": application("OutOfSync", "Degraded", SHA2, SHA1, SHA2)})
    wait_for_owner(stage, ARGO, lambda o: o["drifted"])
    assert set(revisions(stage, ARGO)) == {SHA1, SHA2}
