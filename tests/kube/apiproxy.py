"""The proxy between agents and a real API server: passes everything on, counts it, and harms what a fault wants.

Why a fake: no real API server can be made to show these faults at a chosen moment. Everything beyond it is real.
Agents come by TLS to a *door* of their own, so that requests are counted by agent. A fault (harms.py) is asked for
each request and each line of a watch. The proxy runs in a thread; what other threads may use is said at each method.
"""
import asyncio
import collections
import dataclasses
import json
import re
import socket
import ssl
import threading
import time
import traceback
import urllib.parse

HEAD_MAX = 1 << 16
LINE_MAX = 1 << 26


class Cut(Exception):
    """The connection is to end at once, whatever is unfinished."""


class End(Exception):
    """The answer is to end in order, as far as it has come."""


@dataclasses.dataclass(eq=False)
class Request:
    door: str
    method: str
    target: str
    fields: dict
    body: bytes

    def __post_init__(self):
        path, _, query = self.target.partition("?")
        self.path = path
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.watch = self.query.get("watch") in ("1", "true")
        found = re.fullmatch(r"/(?:api|apis/[^/]+)/[^/]+/namespaces/[^/]+(?:/([^/]+)(/.*)?)?", path)
        self.source = "other"
        if found:
            self.source = self.name_source(found[1] or "namespace")
        self.streamed = self.watch and self.query.get("sendInitialEvents") == "true"
        self.list = bool(found and found[1] and not found[2]) and self.method == "GET" and (
            not self.watch or self.streamed)

    def name_source(self, plural):
        """As coverage calls it: Helm's Secrets and the others are two, and so are pods of a node and of none."""
        selector = self.query.get("fieldSelector", "") + self.query.get("labelSelector", "")
        if plural == "secrets" and "!=" not in selector and ("helm.sh/release" in selector or "owner=helm" in selector):
            return "releases"
        return "pods-unscheduled" if plural == "pods" and selector == "spec.nodeName=" else plural

    def raw(self, target, identity):
        """For the API server; identity: nothing may be compressed, as it is to be harmed."""
        left_out = {"connection", "content-length"} | ({"accept-encoding"} if identity else set())
        lines = [f"{self.method} {target} HTTP/1.1", "Connection: close",
                 *(f"{name}: {value}" for name, value in self.fields.items() if name not in left_out)]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclasses.dataclass
class Entry:
    """One exchange in the proxy's log."""
    request: Request
    at: float
    status: int = 0
    fault: str = ""
    ended: float = 0


class Exchange:
    """One request and the answer to it."""

    def __init__(self, proxy, request, writer):
        self.proxy, self.request, self.writer = proxy, request, writer
        self.entry = Entry(request, time.monotonic())
        self.chunked = False
        proxy.log.append(self.entry)

    async def send(self, data):
        self.proxy.bytes[self.request.door, "out"] += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status, fields, length=None):
        self.entry.status, self.chunked = status, length is None
        keep = [(k, v) for k, v in fields if k not in ("connection", "content-length", "transfer-encoding")]
        keep.append(("content-length", length) if length is not None else ("transfer-encoding", "chunked"))
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Status'}", *(f"{k}: {v}" for k, v in keep)]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def chunk(self, data):
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self):
        if self.chunked:
            await self.send(b"0\r\n\r\n")

    async def whole(self, status, body, kind="application/json", **fields):
        """An answer of the proxy's own."""
        self.entry.fault = self.entry.fault or "whole"
        more = [(name.replace("_", "-"), str(value)) for name, value in fields.items()]
        await self.head(status, [("content-type", kind), *more], len(body))
        await self.send(body)

    async def hang(self):
        """Until the client leaves."""
        await asyncio.get_running_loop().create_future()


async def read_head(reader):
    top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = [(name.strip().lower(), value.strip())
              for name, _, value in (line.partition(":") for line in top[1:] if line)]
    return top[0], fields


async def read_body(reader, fields):
    """What the API server answers, in pieces."""
    fields = dict(fields)
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
            yield await reader.readexactly(size)
            await reader.readline()
    elif "content-length" in fields:
        left = int(fields["content-length"])
        while left > 0:
            piece = await reader.read(min(left, 1 << 18))
            if not piece:
                raise Cut
            left -= len(piece)
            yield piece
    else:
        while piece := await reader.read(1 << 18):
            yield piece


def as_line(kind, document):
    return json.dumps({"type": kind, "object": document}, separators=(",", ":")).encode() + b"\n"


async def split_lines(pieces):
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end + 1])
            del rest[:end + 1]
            yield line
    if rest:
        yield bytes(rest)


class Client(asyncio.StreamReaderProtocol):
    """A connection of an agent's. left: it went, or will send nothing more."""

    def __init__(self, reader, loop):
        super().__init__(reader, loop=loop)
        self.left = asyncio.Event()

    def eof_received(self):
        self.left.set()
        return super().eof_received()

    def connection_lost(self, exc):
        self.left.set()
        super().connection_lost(exc)


class Proxy(threading.Thread):
    """doors: names. streaming: it serves streaming lists, which the API server behind it does not.
    `ports`, `log` and the counters may be read from any thread."""

    def __init__(self, address, upstream_ca, certificate, doors, streaming=False):
        super().__init__(daemon=True)
        self.streaming = streaming
        self.address, self.loop = address, asyncio.new_event_loop()
        self.upstream = ssl.create_default_context(cafile=upstream_ca)
        self.contexts = {"right": self.serving(certificate)}
        self.context, self.fault = "right", None
        self.log, self.open, self.transports = [], set(), set()
        self.bytes, self.requests, self.handshakes = (collections.Counter() for _ in range(3))
        self.sockets = {door: socket.create_server(("127.0.0.1", 0), backlog=128) for door in doors}
        self.ports = {door: s.getsockname()[1] for door, s in self.sockets.items()}
        self.tasks = set()

    @staticmethod
    def serving(certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context

    def run(self):
        asyncio.set_event_loop(self.loop)
        for door, listening in self.sockets.items():
            listening.setblocking(False)
            self.begin(self.accept(door, listening))
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def begin(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.finished)

    def finished(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and (wrong := task.exception()) and not isinstance(wrong, OSError):
            traceback.print_exception(wrong)

    # ---- from any thread

    def harm(self, fault):
        """From now on, until another or None takes its place."""
        self.fault = fault

    def cut(self, wanted=lambda request: True):
        """Cuts the exchanges under way; returns when they are gone."""
        def do():
            for task, request in list(self.open):
                if wanted(request):
                    task.cancel()
        self.loop.call_soon_threadsafe(do)
        end = time.monotonic() + 10
        while any(wanted(request) for _, request in list(self.open)) and time.monotonic() < end:
            time.sleep(0.01)

    def disconnect(self):
        """Ends every connection, also those that rest."""
        def do():
            for transport in list(self.transports):
                transport.abort()
        self.loop.call_soon_threadsafe(do)
        self.cut()

    def since(self, mark, wanted=lambda entry: True):
        """Entries of the log after that many."""
        return [entry for entry in self.log[mark:] if wanted(entry)]

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(5)
        for listening in self.sockets.values():
            listening.close()

    # ---- connections

    async def accept(self, door, listening):
        while True:
            sock, _ = await self.loop.sock_accept(listening)
            self.handshakes[door] += 1
            if self.fault and self.fault.mute:
                self.fault.count("accepted")
                self.begin(self.keep_silent(sock))
            else:
                self.begin(self.greet(door, sock))

    async def keep_silent(self, sock):
        """Reads and says nothing, until the client leaves."""
        with sock:
            while await self.loop.sock_recv(sock, 1 << 16):
                pass

    async def greet(self, door, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = asyncio.StreamReader(limit=HEAD_MAX, loop=self.loop)
        client = Client(reader, self.loop)
        try:
            transport, _ = await self.loop.connect_accepted_socket(lambda: client, sock,
                                                                   ssl=self.contexts[self.context])
        except (OSError, ssl.SSLError):
            sock.close()
            return
        writer = asyncio.StreamWriter(transport, client, reader, self.loop)
        self.transports.add(transport)
        try:
            while await self.serve(door, reader, writer, client.left):
                pass
        except (OSError, asyncio.IncompleteReadError, Cut):
            pass
        finally:
            self.transports.discard(transport)
            transport.abort()

    async def serve(self, door, reader, writer, left):
        """One exchange; false when the connection is not to go on."""
        first, fields = await read_head(reader)
        method, target, _ = first.split(" ")
        fields = dict(fields)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.bytes[door, "in"] += len(first) + sum(len(k) + len(v) + 4 for k, v in fields.items()) + 4 + len(body)
        request = Request(door, method, target, fields, body)
        self.requests[door, request.source, "watch" if request.watch else "list" if request.list else method] += 1
        return await self.attend(Exchange(self, request, writer), left)

    async def attend(self, exchange, left):
        """Until it was answered, or the client left, or it is cut."""
        answer = self.loop.create_task(self.answer(exchange))
        leaving = self.loop.create_task(left.wait())
        pair = (answer, exchange.request)
        self.open.add(pair)
        try:
            await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
            answer.cancel()
            leaving.cancel()
            await asyncio.wait({answer, leaving})  # neither is left alone
            if answer.cancelled():
                return False
            answer.result()
            return not left.is_set()
        finally:
            self.open.discard(pair)
            exchange.entry.ended = time.monotonic()

    # ---- answers

    def fault_for(self, request):
        fault = self.fault
        return fault if fault and fault.wants(request) else None

    async def answer(self, exchange):
        fault = self.fault_for(exchange.request)
        if fault and await fault.instead(exchange):
            exchange.entry.fault = fault.name
            return
        try:
            await self.relay(exchange, fault)
        except End:
            await exchange.end()
        except (OSError, asyncio.IncompleteReadError) as gone:  # the API server went, or is not there
            raise Cut from gone

    async def relay(self, exchange, fault):
        request = exchange.request
        target = fault.target(request) if fault else request.target
        if request.streamed and self.streaming:
            target = await self.stream_list(exchange)
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.upstream, limit=LINE_MAX)
        try:
            writer.write(request.raw(target, self.fault is not None))
            first, fields = await read_head(reader)
            status = int(first.split(" ")[1])
            pieces = read_body(reader, fields)
            if exchange.chunked and status != 200:  # a streamed list, whose watch was refused
                raise Cut
            if request.watch and status == 200:
                await self.relay_watch(exchange, fields, pieces)
            else:
                await self.relay_whole(exchange, status, fields, pieces)
        finally:
            writer.transport.abort()

    async def relay_watch(self, exchange, fields, pieces):
        if not exchange.chunked:
            await exchange.head(200, fields)
        async for line in split_lines(pieces):
            await self.relay_line(exchange, line)
        await exchange.end()

    async def relay_line(self, exchange, line):
        fault = self.fault_for(exchange.request)
        for one in [line] if fault is None else await fault.line(exchange, line):
            await exchange.chunk(one)

    async def stream_list(self, exchange):
        """Begins the answer with what there is, as an API server of 1.34 does (KEP-3157); the target of the watch that
        goes on from there. A fake, as Debian has no such server: what is told is real."""
        request = exchange.request
        query = {k: v for k, v in request.query.items() if k in ("fieldSelector", "labelSelector")}
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.upstream, limit=LINE_MAX)
        try:
            writer.write(request.raw(f"{request.path}?{urllib.parse.urlencode(query)}", True))
            first, fields = await read_head(reader)
            body = b"".join([piece async for piece in read_body(reader, fields)])
        finally:
            writer.transport.abort()
        if " 404 " in first:  # it serves no such resource, and says so in plain text
            await exchange.head(404, fields, len(body))
            await exchange.send(body)
            raise End
        listed = json.loads(body)
        if listed["kind"] == "Status":
            raise Cut
        version, kind = listed["metadata"]["resourceVersion"], listed["kind"].removesuffix("List")
        await exchange.head(200, [("content-type", "application/json")])
        for item in listed["items"]:
            whole = {"kind": kind, "apiVersion": listed["apiVersion"], **item}
            await self.relay_line(exchange, as_line("ADDED", whole))
        end = {"kind": kind, "apiVersion": listed["apiVersion"], "metadata": {
            "resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}}
        await exchange.chunk(as_line("BOOKMARK", end))
        kept = {k: v for k, v in request.query.items() if k not in ("sendInitialEvents", "resourceVersionMatch")}
        return f"{request.path}?{urllib.parse.urlencode({**kept, 'resourceVersion': version})}"

    async def relay_whole(self, exchange, status, fields, pieces):
        body = b"".join([piece async for piece in pieces])
        fault = self.fault_for(exchange.request)
        if fault and await fault.body(exchange, status, fields, body):
            return
        await exchange.head(status, fields, len(body))
        await exchange.send(body)
