"""An API server of one namespace, and of what stands in others, on loopback that answers lists with what it was given, and holds watches open.

A fake, because what is planted in it stands in places that only controllers write which do not run here (Flux's and
Argo CD's status, events of a kubelet); real API servers are in tests/cluster. Plain HTTP: the agent sends no token.
"""
import http.server
import json
import threading
import urllib.parse

GROUPS = ["networking.k8s.io/v1", "autoscaling/v2", "policy/v1", "batch/v1", "rbac.authorization.k8s.io/v1", "apps/v1",
          "helm.toolkit.fluxcd.io/v2", "kustomize.toolkit.fluxcd.io/v1", "source.toolkit.fluxcd.io/v1",
          "argoproj.io/v1alpha1"]


def groups():
    return {"kind": "APIGroupList", "groups": [
        {"name": name.split("/")[0], "versions": [{"groupVersion": name, "version": name.split("/")[1]}]}
        for name in GROUPS]}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, document, status=200):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/apis":
            self.answer(groups())
        elif url.path == "/version":
            self.answer({"gitVersion": "v0"})
        elif url.path.split("/")[-1] in self.server.refused:
            self.answer({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}, 403)
        elif "sendInitialEvents" in query:  # as an API server that serves no streaming lists
            self.answer({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422}, 422)
        elif "watch" in query:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            self.server.over.wait()
        elif url.path.count("/") == 4 and url.path.startswith("/api/v1/namespaces/"):
            self.answer({"kind": "Namespace", "metadata": {"name": url.path.split("/")[-1], "uid": "ns",
                                                           "resourceVersion": "1"}})
        else:
            self.answer({"kind": "List", "metadata": {"resourceVersion": "9"},
                         "items": self.items(*url.path.split("/")[-2:], query.get("fieldSelector", [""])[0])})

    def items(self, namespace, plural, selector):
        items = self.server.elsewhere.get(namespace, self.server.items).get(plural, [])
        if plural == "secrets":
            helm = selector == "type=helm.sh/release.v1"
            items = [s for s in items if (s.get("type") == "helm.sh/release.v1") == helm]
        return items if selector != "spec.nodeName=" else []


class FakeKube:
    """items: plural -> objects; each gets uid and resourceVersion. elsewhere: namespace -> the same."""

    def __init__(self, items, elsewhere=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.over = threading.Event()
        self.server.items = self.objects(items)
        self.server.refused = set()  # plural names that the agent may not list
        self.server.elsewhere = {name: self.objects(more) for name, more in (elsewhere or {}).items()}
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def objects(self, items):
        return {plural: [self.object(plural, number, item) for number, item in enumerate(objects)]
                for plural, objects in items.items()}

    @staticmethod
    def object(plural, number, item):
        metadata = {"uid": f"{plural}-{number}", "resourceVersion": "1", "creationTimestamp": "2026-11-23T04:00:01Z",
                    **item["metadata"]}
        return {**item, "metadata": metadata}

    def close(self):
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()
