"""What must not leave the agent of what the Kubernetes API shows it: texts are planted in every place where secrets
stand, and looked for in spool, store, logs and all that the CLI prints. What may be told is told: the objects are in
the store, and `pilotgate gitops` knows who owns them."""
import base64
import gzip
import json
import shutil

import pytest
from fake_kube import FakeKube
from lab import wait_until
from test_secrets import holding

PLANTED = []


def plant(place):
    """A secret that nothing else looks like."""
    text = f"Zq7{place}x93kfPlanted1d"
    PLANTED.append(text)
    return text


def b64(text):
    return base64.b64encode(text.encode()).decode()


def helm_secret():
    release = {
        "name": "shop", "namespace": "plant", "version": 3,
        "info": {"first_deployed": "2026-11-23T04:00:01Z", "last_deployed": "2026-11-23T04:00:01Z", "deleted": "",
                 "status": "failed", "notes": f"Your password is {plant('notes')}",
                 "description": f"Upgrade \"shop\" failed: cannot log in with {plant('description')}"},
        "chart": {"metadata": {"name": "shop", "version": "1.2.3"}, "values": {"db": {"pw": plant("defaults")}},
                  "templates": [{"name": "templates/NOTES.txt", "data": b64(plant("template"))}], "files": []},
        "config": {"db": {"password": plant("values"), "pw": plant("innocent")}, "list": [plant("list")],
                   plant("key"): 1},
        "hooks": [{"name": "migrate", "kind": "Job", "events": ["pre-upgrade"],
                   "manifest": f"password: {plant('hook')}", "last_run": {"phase": "Failed"}}],
        "manifest": "---\nkind: Secret\nmetadata: {name: made}\nstringData: {a: " + plant("manifest") + "}\n---\n"
                    "{{ no yaml, password: " + plant("unparsed") + "\n"}
    inner = base64.b64encode(gzip.compress(json.dumps(release).encode())).decode()
    return {"metadata": {"name": "sh.helm.release.v1.shop.v3", "labels": {"owner": "helm"}},
            "type": "helm.sh/release.v1", "data": {"release": b64(inner)}}


FLUX_LABELS = {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "plant"}


def gateway():
    container = {"name": "gateway", "image": "gateway:1", "args": ["--api-token", plant("flag"),
                                                                  f"--password={plant('assigned')}"],
                 "env": [{"name": "DB_PASSWORD", "value": plant("env")},
                         {"name": "DB", "value": f"postgres://u:{plant('url')}@db/x"}]}
    return {"metadata": {"name": "gateway", "labels": FLUX_LABELS,
                         "annotations": {"example.com/api-token": plant("annotation"),
                                         "kubectl.kubernetes.io/last-applied-configuration": plant("applied")}},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}}}


def flux():
    message = f"Helm upgrade failed: execution error: {plant('flux')} is no password"
    return {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {
        "name": "shop", "namespace": "plant", "labels": {"kustomize.toolkit.fluxcd.io/name": "apps",
                                                         "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}},
            "spec": {"suspend": True, "values": {"db": {"pw": plant("inline")}},
                     "chart": {"spec": {"chart": "shop", "sourceRef": {"kind": "GitRepository", "name": "code"}}}},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "UpgradeFailed",
                                       "message": message, "lastTransitionTime": "2026-11-23T04:00:05Z"}],
                       "history": [{"name": "shop", "namespace": "plant", "version": 3, "status": "failed",
                                    "chartName": "shop", "chartVersion": "1.2.3", "digest": f"sha256:{plant('digest')}",
                                    "configDigest": f"sha256:{plant('config')}",
                                    "lastDeployed": "2026-11-23T04:00:01Z"}]}}


def source():
    return {"kind": "GitRepository", "metadata": {"name": "code", "namespace": "plant"},
            "spec": {"url": f"https://robot:{plant('repository')}@git.example/code"},
            "status": {"artifact": {"revision": "main@sha1:0123456789abcdef0123456789abcdef01234567"}}}


def application():
    helm = {"values": f"pw: {plant('argo')}", "valuesObject": {"x": plant("object")},
            "parameters": [{"name": "x", "value": plant("parameter")}]}
    return {"kind": "Application", "metadata": {"name": "other", "namespace": "plant"},
            "spec": {"source": {"repoURL": f"https://{plant('user')}@git.example/x", "helm": helm}},
            "status": {"operationState": {"phase": "Failed", "message": f"Authorization: Bearer {plant('operation')}"},
                       "sync": {"status": "OutOfSync"}}}


def kustomization():
    """In a namespace of Flux's, as the owner of the stage's HelmRelease."""
    return {"kind": "Kustomization", "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {"sourceRef": {"kind": "GitRepository", "name": "fleet"},
                     "postBuild": {"substitute": {"x": plant("elsewhere")}}},
            "status": {"lastAppliedRevision": "main@sha1:feed", "inventory": {"entries": [
                {"id": "plant_shop_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"}]},
                       "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded",
                                       "message": f"token: {plant('applied')}",
                                       "lastTransitionTime": "2026-11-23T04:00:05Z"}]}}


def pod():
    waiting = {"reason": "CreateContainerConfigError", "message": f"token={plant('waiting')} is invalid"}
    return {"metadata": {"name": "gateway-1"}, "spec": {"nodeName": "plant"},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "gateway", "state": {"waiting": waiting}}]}}


def event():
    return {"type": "Warning", "reason": "Failed", "count": 3, "lastTimestamp": "2026-11-23T04:00:09Z",
            "metadata": {"name": "gateway-1.17"},
            "involvedObject": {"kind": "Pod", "name": "gateway-1", "namespace": "plant", "uid": "pods-0"},
            "message": f"Failed to pull image \"r.example/x\": 401: Bearer {plant('event')} was refused"}


@pytest.fixture
def kube():
    PLANTED.clear()
    served = FakeKube({
        "secrets": [helm_secret(), {"metadata": {"name": "db"}, "type": "Opaque",
                                    "data": {"password": b64(plant("secret")), "plain": b64(plant("plain"))}}],
        "configmaps": [{"metadata": {"name": "config"},
                        "data": {"app.yaml": f"db:\n  password: {plant('file')}\n",
                                 "key.pem": f"-----BEGIN PRIVATE KEY-----\n{plant('pem')}\n"}}],
        "deployments": [gateway()], "pods": [pod()], "events": [event()], "helmreleases": [flux()],
        "gitrepositories": [source()], "applications": [application()]},
        {"flux-system": {"kustomizations": [kustomization()]}})
    yield served
    served.close()


def told(lab, stage):
    return [r for records in lab.records(stage).values() for r in records]


def test_planted_secrets_do_not_leave(lab, kube):
    stage = lab.begin("plant")
    stage.config["kube"] = {"enabled": True, "api": kube.url, "own_release": "pilotgate", "lease": "",
                            "gitops_namespaces": ["flux-system"]}
    stage.config["log_level"] = "debug"
    stage.start_agent()
    wanted = {"HelmRelease", "Secret", "ConfigMap", "Deployment", "GitOps", "HelmRelease.helm.toolkit.fluxcd.io",
              "Application.argoproj.io", "GitRepository.source.toolkit.fluxcd.io"}
    wait_until(lambda: wanted <= {r.object.kind for r in told(lab, stage) if r.WhichOneof("body") == "object"}, 60,
               "everything is told")
    # The spool, while it holds what the collector does not have: a new lifetime tells everything again.
    lab.collector.kill()
    assert stage.agent.end() == 0
    stage.start_agent()
    spool = stage.folder / "spool"
    wait_until(lambda: any(b"configmaps-0" in f.read_bytes() and b"applications-0" in f.read_bytes()
                           for f in spool.iterdir() if f.is_file()), 30, "records wait in the spool")
    spooled = shutil.copytree(spool, lab.folder / "spooled")
    lab.serve()
    wait_until(stage.connected, 60, "the agent is back")
    assert stage.agent.end() == 0

    for number, words in enumerate((["gates", "-o", "json"], ["changes", "-o", "json"], ["timeline", stage.name],
                                    ["status"], ["gitops"], ["gitops", "-o", "json"])):
        (lab.folder / f"said-{number}").write_text(lab.ask(*words).stdout)
    (lab.folder / "records").write_bytes(b"".join(r.SerializeToString() for r in told(lab, stage)))
    files = [*spooled.iterdir(), *lab.folder.glob("pilot.db*"), lab.folder / "records", lab.backup(),
             *lab.folder.glob("said-*"), stage.agent.log, lab.collector.log]
    assert len(PLANTED) >= 35
    assert holding(files, PLANTED) == []
    # What may be known is known.
    (owned,) = json.loads((lab.folder / "said-5").read_text())
    owner = next(o for o in owned["owners"] if o["owner"] == "flux:HelmRelease/plant/shop")
    assert owner["suspended"] and owner["objects"] == 1 and owner["reason"] == "UpgradeFailed"
    assert owner["source"]["revision"].startswith("main@sha1:0123")
    assert owner["via"] == "flux:Kustomization/flux-system/apps"
    apps = next(o for o in owned["owners"] if o["owner"] == owner["via"])
    assert apps["revision"] == "main@sha1:feed" and apps["objects"] == 1
    assert [r["helm"] for r in owned["revisions"]] == ["shop.v3", ""]
    assert "is suspended" in (lab.folder / "said-3").read_text()
