"""A real API server for the test: etcd and kube-apiserver alone (./server), and the ways to speak with it."""
import base64
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration")]

import lab as labs  # noqa: E402

ADDRESS = ("10.250.0.1", 6443)
CACHE = pathlib.Path(os.environ.get("PILOTGATE_LAB_CACHE", pathlib.Path.home() / ".cache" / "pilotgate-lab"))
TYPES = {"Namespace": "/api/v1/namespaces", "ConfigMap": "/api/v1/namespaces/{ns}/configmaps",
         "Secret": "/api/v1/namespaces/{ns}/secrets", "Service": "/api/v1/namespaces/{ns}/services",
         "Pod": "/api/v1/namespaces/{ns}/pods", "Deployment": "/apis/apps/v1/namespaces/{ns}/deployments",
         "StatefulSet": "/apis/apps/v1/namespaces/{ns}/statefulsets",
         "DaemonSet": "/apis/apps/v1/namespaces/{ns}/daemonsets",
         "ServiceAccount": "/api/v1/namespaces/{ns}/serviceaccounts"}
LISTED = "configmaps,secrets,services,deployments.apps,statefulsets.apps,daemonsets.apps,pods"


class Refused(Exception):
    """The API server answered otherwise than asked for."""


class Control:
    """Runs as long as the lab; `ns` is the stage's namespace."""

    def __init__(self, lab, ns):
        self.lab, self.ns, self.folder = lab, ns, lab.folder / "control"
        self.connection = self.apiserver = None
        (self.folder / "cp" / "etcd").mkdir(parents=True)
        for command in (["ip", "link", "set", "lo", "up"], ["ip", "addr", "replace", f"{ADDRESS[0]}/32", "dev", "lo"],
                        ["mount", "-t", "tmpfs", "tmpfs", self.folder / "cp" / "etcd"],
                        [HERE / "server", self.folder, "pki"]):
            subprocess.run(command, check=True, timeout=30, capture_output=True)
        self.pki = self.folder / "pki"
        self.etcd = lab.start("etcd", HERE / "server", self.folder, "etcd")
        labs.wait_until(lambda: labs.listens(2379), 20, "etcd listens")
        self.start()

    def start(self):
        """The API server, once more."""
        self.apiserver = self.lab.start("apiserver", HERE / "server", self.folder, "apiserver")
        labs.wait_until(lambda: self.is_ready() or not self.apiserver.is_alive(), 60, "the API server is ready")
        assert self.apiserver.is_alive(), self.apiserver.said()[-500:]

    def is_ready(self):
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    # ---- speaking with it, as its administrator

    def ask(self, method, path, body=None, kind="application/json"):
        """(status, document or text)"""
        if self.connection is None:
            context = ssl.create_default_context(cafile=self.pki / "ca.crt")
            context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
            self.connection = http.client.HTTPSConnection(*ADDRESS, context=context, timeout=30)
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
            answer = self.connection.getresponse()
            text = answer.read()
        except BaseException:
            self.connection.close()
            self.connection = None
            raise
        is_document = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status, json.loads(text) if is_document else text.decode()

    def want(self, *words, **more):
        status, document = self.ask(*words, **more)
        if status // 100 != 2:
            raise Refused(f"{words[0]} {words[1]}: {document}")
        return document

    def path(self, kind, name=None):
        return TYPES[kind].format(ns=self.ns) + (f"/{name}" if name else "")

    def create(self, kind, body):
        return self.want("POST", self.path(kind), body)

    def patch(self, kind, name, body):
        return self.want("PATCH", self.path(kind, name), body, kind="application/merge-patch+json")

    def delete(self, kind, name):
        return self.want("DELETE", self.path(kind, name), {"gracePeriodSeconds": 0})

    def kubectl(self, *words, text=None):
        done = subprocess.run([CACHE / "bin" / "kubectl", "--kubeconfig", self.folder / "kubeconfig", "--cache-dir",
                               self.folder / "kubectl", *words], input=text, capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode:
            raise Refused(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def items(self):
        """All objects of the stage, as kubectl tells them."""
        found = json.loads(self.kubectl("get", LISTED, "-n", self.ns, "-o", "json"))["items"]
        return found + [json.loads(self.kubectl("get", "namespace", self.ns, "-o", "json"))]

    # ---- what is done to it

    def prepare(self, lease):
        """The stage, and the agent's account with the rights that the chart gives it."""
        self.create("Namespace", {"metadata": {"name": self.ns}})
        for name in ("default", "agent"):
            self.create("ServiceAccount", {"metadata": {"name": name}})
        self.kubectl("apply", "-n", self.ns, "-f", "-", text=self.role(lease))

    def role(self, lease):
        done = subprocess.run(
            [CACHE / "bin" / "helm", "template", "pilotgate", labs.TOP / "chart", "-n", self.ns, "-s",
             "templates/agent-rbac.yaml", "--set", "agent.enabled=true,agent.cluster=local,"
             "agent.serviceAccount.name=agent,agent.config.collector.endpoint=tcp://127.0.0.1:5670,"
             "agent.config.kube.resources[0]=widgets.example.com",
             *(["--set", f"agent.config.kube.lease={lease}"] if lease else [])],
            capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Refused(f"helm template: {done.stderr.strip()}")
        return done.stdout

    def make_token(self, bound_to):
        """A token that is good as long as this Secret is there."""
        secret = self.create("Secret", {"metadata": {"name": bound_to}})
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "audiences": [], "expirationSeconds": 36000, "boundObjectRef": {
                "kind": "Secret", "apiVersion": "v1", "name": bound_to, "uid": secret["metadata"]["uid"]}}}
        return self.want("POST", self.path("ServiceAccount", "agent/token"), asked)["status"]["token"]

    def is_valid(self, token):
        review = self.want("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}})
        return review["status"].get("authenticated", False)

    @staticmethod
    def ask_etcd(what, body):
        connection = http.client.HTTPConnection("127.0.0.1", 2379, timeout=10)
        connection.request("POST", f"/v3/kv/{what}", json.dumps(body))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def compact(self):
        """All history but the present is gone: positions of lists under way expire for real."""
        answer = self.ask_etcd("range", {"key": base64.b64encode(b"\0").decode(), "limit": 1})
        self.ask_etcd("compaction", {"revision": answer["header"]["revision"], "physical": True})
