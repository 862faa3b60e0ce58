"""A fake of Arcade's engine: its documented REST API, as far as pilotgate asks it. It is a fake because the engine is
a licensed product that cannot be had here, so that what it says is only as true as the documents it follows:

  - npm @arcadeai/arcadejs 2.4.1 (made from the vendor's OpenAPI description): resources/health.ts, workers.ts,
    tools/tools.ts (ToolDefinition, ExecuteToolRequest, ExecuteToolResponse), core/pagination.ts (OffsetPage)
  - ArcadeAI/docs, references: the API key as a bearer token; GET /v1/health without it

It also plays what a healthy engine will not do when asked: `answer` and `health` set by the test.
"""
import http.server
import json
import threading
import urllib.parse

KEY = "arc_key_of_the_test"
PAGE = 2  # at most so many items a page, whatever limit is asked for


def tool(name, **requirements):
    return {"name": name, "qualified_name": f"Canary.{name}", "fully_qualified_name": f"Canary.{name}@1.0.0",
            "description": f"the tool {name}", "toolkit": {"name": "Canary", "version": "1.0.0"},
            "input": {"parameters": [{"name": "nonce", "required": True, "value_schema": {"val_type": "string"}}]},
            "requirements": {"met": True, **requirements}}


def worker(name, uri):
    return {"id": name, "enabled": True, "type": "http", "binding": {"type": "static"}, "requirements": {"met": True},
            "http": {"uri": uri, "retry": 3, "timeout": 30, "secret": {"exists": True, "value": "worker-secret-text"}}}


def success(body):
    return 200, {"id": "e1", "execution_id": "e1", "status": "success", "success": True, "duration": 1.0,
                 "output": {"value": {"said": body["input"]["nonce"]}}}


def failure(kind):
    """A 200 that is none."""
    return lambda body: (200, {"id": "e1", "status": "failed", "success": False, "output": {
        "error": {"kind": kind, "message": f"no {body['input']['nonce']}", "can_retry": False}}})


def status(code):
    return lambda body: (code, {"name": "error", "message": f"HTTP {code}"})


class Engine(http.server.ThreadingHTTPServer):
    """Listens on a free port of loopback until it is closed."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tools = [tool(name) for name in ("Echo", "Hold", "Whoami")]
        self.workers = [worker("canary", "http://canary:8090"), worker("other", "http://other:8002"),
                        worker("third", "http://third:8002")]
        self.answer, self.health = success, (200, {"healthy": True})
        self.seen = []  # (method, path, headers, body) of every request
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    def executions(self):
        """The names of the calls, one for each time that one was executed."""
        return [headers.get("X-Pilotgate-Call") for _, path, headers, _ in list(self.seen) if path == "/v1/tools/execute"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, code, body):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def admitted(self, path):
        return path == "/v1/health" or self.headers.get("Authorization") == f"Bearer {KEY}"

    def handle_one(self, body):
        url = urllib.parse.urlsplit(self.path)
        self.server.seen.append((self.command, url.path, dict(self.headers), body))
        if not self.admitted(url.path):
            return self.reply(401, {"name": "unauthorized", "message": "no or a wrong key"})
        if url.path == "/v1/health":
            return self.reply(*self.server.health)
        if (self.command, url.path) == ("POST", "/v1/tools/execute"):
            return self.reply(*self.server.answer(body))
        lists = {"/v1/tools": self.server.tools, "/v1/workers": self.server.workers}
        if self.command == "GET" and url.path in lists:
            return self.reply(200, self.page(lists[url.path], dict(urllib.parse.parse_qsl(url.query))))
        return self.reply(404, {"name": "not_found", "message": "no such path"})

    @staticmethod
    def page(items, query):
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 25)), PAGE)
        part = items[offset:offset + limit]
        return {"items": part, "total_count": len(items), "offset": offset, "limit": limit, "page_count": len(part)}

    def do_GET(self):
        self.handle_one(None)

    def do_POST(self):
        self.handle_one(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
