"""What an answer of the proxy looks like on the wire: pure functions from a row of the table (faults.py) and the
tool server's JSON to bytes, and the place where they break off."""
import json

NOTIFICATION = json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                           "params": {"level": "info", "data": "soon"}})
HTML = "<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"
MODERN = "2026-07-28"
COMMENT = b": still here\n\n"
STALL_BOUND = 60  # seconds; clients leave long before
RST_AFTER = (0, 0, 0.002, 0.03)  # seconds between the last bytes and the RST
DRIP_PAUSE = 0.002
REASONS = {204: "No Content", 307: "Temporary Redirect", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout"}


def result(answer, text, **more):
    return json.dumps({**answer, "result": {"content": [{"type": "text", "text": text}], **more}})


def error(answer):
    kept = {key: answer[key] for key in ("jsonrpc", "id")}
    return json.dumps({**kept, "error": {"code": -32603, "message": "upstream connection failed"}})


# From the tool server's answer (a parsed JSON-RPC response with a result) to the texts that are sent instead.
MESSAGES = {
    "as-is": lambda a: [json.dumps(a)],
    "after-notification": lambda a: [NOTIFICATION, NOTIFICATION, json.dumps(a)],
    "twice": lambda a: [json.dumps(a)] * 2,
    "notification-only": lambda a: [NOTIFICATION],
    "nothing": lambda a: [],
    "is-error": lambda a: [json.dumps({**a, "result": {**a["result"], "isError": True}})],
    "success-false": lambda a: [result(a, '{"success": false}', structuredContent={"success": False})],
    "success-false-bare": lambda a: [json.dumps({"id": a["id"], "status": "failed", "success": False})],
    "other-nonce": lambda a: [result(a, str(a["id"])[::-1])],
    "no-content": lambda a: [json.dumps({**a, "result": {"content": []}})],
    "rpc-error": lambda a: [error(a)],
    "other-id": lambda a: [json.dumps({**a, "id": f"{a['id']}0"})],
    "garbage": lambda a: ["\x16\x03\x01 not at all {"],
    "half-json": lambda a: [json.dumps(a)[:-1]],
    "batch": lambda a: [json.dumps([a])],
    "html": lambda a: [HTML],
}


def empty(nonce):
    """What an answer of ours begins with, where the tool server is not asked."""
    return {"jsonrpc": "2.0", "id": nonce, "result": {"content": []}}


def late_by(settings, rng):
    """Seconds after which an answer is late, well before the timeout."""
    return settings["limit"] + rng.uniform(0.3, 0.5) * (settings["timeout"] - settings["limit"])


def pieces(data, rng):
    """Bytes one by one, and then ever larger pieces."""
    at, size = 0, 1
    while at < len(data):
        yield data[at:at + size]
        at += size
        size = 1 if at < 30 else size + rng.randrange(1, 5)


def tool_call(nonce, arguments):
    """A request to the tool server for a call that came over another interface."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": nonce, "method": "tools/call",
                       "params": {"name": "echo", "arguments": arguments, "_meta": meta}})
    return "\r\n".join([
        "POST /mcp HTTP/1.1", "Host: canary", "Content-Type: application/json", f"Content-Length: {len(body)}",
        "Accept: application/json, text/event-stream", f"MCP-Protocol-Version: {MODERN}", "Mcp-Method: tools/call",
        "Mcp-Name: echo", f"X-Pilotgate-Call: {nonce}", "", body]).encode()


def as_arcade(text):
    """The same, as Arcade's engine says it: POST /v1/tools/execute (@arcadeai/arcadejs 2.4.1, resources/tools)."""
    try:
        result = json.loads(text).get("result")
    except (ValueError, AttributeError):
        result = None
    if not isinstance(result, dict):
        return text
    said = "".join(part["text"] for part in result["content"])
    failed = result.get("isError", False)
    output = {"error": {"message": said, "kind": "TOOL_RUNTIME_FATAL"}} if failed else {"value": said}
    return json.dumps({"id": "te_1", "status": "failed" if failed else "success", "success": not failed,
                       "output": output})


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def head(first, *fields):
    return "\r\n".join([f"HTTP/1.1 {first}", "Server: truth", *fields, "", ""]).encode()


def event(text):
    return f"event: message\ndata: {text}\n\n".encode()


def frame(form, texts):
    """(head, body) of an answer in that form."""
    body = "".join(texts).encode()
    length, plain = f"Content-Length: {len(body)}", "Content-Type: application/json"
    if form.startswith("status "):
        return status(int(form.split()[1]))
    if form == "sse":
        events = map(event, texts)
        return (head("200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"),
                chunk(b": hello\n\n") + b"".join(map(chunk, events)) + b"0\r\n\r\n")
    if form == "chunked":
        half = len(body) // 2
        return (head("200 OK", plain, "Transfer-Encoding: chunked"),
                chunk(body[:half]) + chunk(body[half:]) + b"0\r\n\r\n")
    if form == "bare":
        return head("200 OK", plain, "Connection: close"), body
    if form == "json-close":
        return head("200 OK", plain, length, "Connection: close"), body
    if form == "html":
        return head("200 OK", "Content-Type: text/html; charset=utf-8", length), body
    if form == "hinted":
        return head("103 Early Hints", "Link: </style.css>; rel=preload") + head("200 OK", plain, length), body
    if form == "doubled":
        return head("200 OK", plain, length), body + head("200 OK", plain, length) + body
    assert form == "json", form
    return head("200 OK", plain, length), body


def status(number):
    body = b"" if number == 204 else f"<html><h1>{number} {REASONS[number]}</h1></html>".encode()
    more = {204: [], 307: ["Location: http://127.0.0.1:9/"], 429: ["Retry-After: 1"]}.get(number, [])
    if number != 204:
        more = [*more, "Content-Type: text/html", f"Content-Length: {len(body)}"]
    return head(f"{number} {REASONS[number]}", *more), body


def cut_at(fault, top, body, rng):
    """How many bytes of the answer are sent; what is missing always matters."""
    if fault.cut == "zero":
        return 0
    if fault.cut == "first-line":
        return rng.randrange(1, top.index(b"\r\n"))
    if fault.cut == "head":
        return rng.randrange(top.index(b"\r\n") + 2, len(top) - 1)
    if fault.cut == "after-head":
        return len(top)
    if fault.cut == "body":
        # An event counts once the empty line after it is there. libcurl takes a last chunk without its very last LF
        # for whole, and nothing is missing then.
        most = {"sse": body.rfind(b"\n\n\r\n") + 1, "chunked": len(body) - 2}.get(fault.form, len(body) - 1)
        return len(top) + rng.randrange(1, most + 1)
    return len(top) + len(body)
