"""What the proxy can do to a request, to a line of a watch or to the body of a list.

A fault harms what it wants, in each collection (`source`, as coverage names it) at most `times` times; then that
collection is left alone. `struck` counts by collection.
"""
import asyncio
import collections
import json
import re
import time

from apiproxy import Cut, End, as_line
from picture import SOURCES


def status(code, reason, message):
    """Status of the API (meta/v1): what an API server answers when it does not do what was asked."""
    return json.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                       "reason": reason, "message": message}).encode()


GONE = "too old resource version: 1 (2)"


class Fault:
    """what: "watch", "list" or both by "any"; sources: None for all that are compared."""
    mute = False  # no connection is answered at all

    def __init__(self, what="any", times=None, sources=None):
        self.what, self.times, self.sources = what, times, sources or SOURCES
        self.name, self.struck = type(self).__name__, collections.Counter()

    def wants(self, request):
        is_wanted = {"watch": request.watch, "list": request.list}.get(self.what, request.watch or request.list)
        return (is_wanted and request.source in self.sources
                and (self.times is None or self.struck[request.source] < self.times))

    def count(self, source):
        self.struck[source] += 1

    def target(self, request):
        """What is asked of the API server."""
        return request.target

    async def instead(self, exchange):
        """True when the request was answered here."""
        return False

    async def line(self, exchange, one):
        """The lines of a watch that take the place of this one; BOOKMARKs are lines as well."""
        return [one]

    async def body(self, exchange, status, fields, body):
        """True when the body was answered here."""
        return False


def is_bookmark(one):
    return one.startswith(b'{"type":"BOOKMARK"')


class OnLine(Fault):
    """Strikes at a line that tells of an object."""

    def __init__(self, **options):
        super().__init__("watch", **options)

    async def line(self, exchange, one):
        if is_bookmark(one):
            return [one]
        self.count(exchange.request.source)
        return await self.strike(exchange, one)


class CutInLine(OnLine):
    """The connection ends in the middle of a line."""

    async def strike(self, exchange, one):
        await exchange.chunk(one[:len(one) // 2])
        raise Cut


class EndInLine(OnLine):
    """The answer ends in order, in the middle of a line: what a proxy in between makes of a cut."""

    async def strike(self, exchange, one):
        await exchange.chunk(one[:len(one) // 2])
        raise End


class CutBetween(OnLine):
    """The connection ends after a line."""

    async def strike(self, exchange, one):
        await exchange.chunk(one)
        raise Cut


class EndBetween(OnLine):
    """The watch ends in order, as by timeoutSeconds, after a line."""

    async def strike(self, exchange, one):
        await exchange.chunk(one)
        raise End


class GoneEvent(OnLine):
    """ERROR with code 410 in the place of a line."""

    async def strike(self, exchange, one):
        await exchange.chunk(as_line("ERROR", json.loads(status(410, "Expired", GONE))))
        raise End


class GarbageLine(OnLine):
    """A line that is no JSON."""

    async def strike(self, exchange, one):
        return [b"<html>out of order</html>\n", one]


class Twice(OnLine):
    """Every line twice."""

    async def strike(self, exchange, one):
        return [one, one]


class Swallow(OnLine):
    """A line never comes: what no watch machinery can know. For the test of the test."""

    async def strike(self, exchange, one):
        return []


class WideLine(OnLine):
    """An object of so many bytes, which is nobody's, before a line; endless: it has no end."""

    def __init__(self, size, endless=False, **options):
        super().__init__(**options)
        self.size, self.endless = size, endless

    async def strike(self, exchange, one):
        sent, piece = 0, b"x" * (1 << 18)
        await exchange.chunk(b'{"type":"ADDED","object":{"data":{"x":"')
        while sent < self.size or self.endless:
            await exchange.chunk(piece)
            sent += len(piece)
            await asyncio.sleep(0.02)
        await exchange.chunk(b'"}}}\n')
        return [one]


class HangInWatch(OnLine):
    """The watch stays open, and from a line on nothing comes any more, no BOOKMARK either."""

    def __init__(self, **options):
        super().__init__(**options)
        self.since = {}

    async def line(self, exchange, one):
        self.count(exchange.request.source)
        self.since[exchange.request.source] = time.monotonic()
        await exchange.hang()


class Drip(Fault):
    """Lines and bodies byte by byte; about two thousand bytes a second."""

    async def drip(self, exchange, data, send):
        self.count(exchange.request.source)
        for at in range(len(data)):
            await send(data[at:at + 1])
            if at % 8 == 7:
                await asyncio.sleep(0.004)

    async def line(self, exchange, one):
        await self.drip(exchange, one, exchange.chunk)
        return []

    async def body(self, exchange, status, fields, body):
        await exchange.head(status, fields, len(body))
        await self.drip(exchange, body, exchange.send)
        return True


class Answer(Fault):
    """An answer of our own in the place of the API server's. fields: further headers, with _ for -."""

    def __init__(self, what, code, body=None, kind="application/json", fields=None, **options):
        super().__init__(what, **options)
        self.code, self.kind, self.fields = code, kind, fields or {}
        self.text = body if body is not None else status(code, "Test", "asked for by the test")
        self.name = str(code)

    async def instead(self, exchange):
        self.count(exchange.request.source)
        await exchange.whole(self.code, self.text, self.kind, **self.fields)
        return True


class Errors(Fault):
    """5xx of an API server and of what may stand before it, one after the other."""
    ROWS = [(500, "application/json", status(500, "InternalError", "etcdserver: leader changed")),
            (502, "text/html", b"<html><body>502 Bad Gateway</body></html>"),
            (504, "application/json", status(504, "Timeout", "request did not complete")),
            (503, "text/plain", b"no healthy upstream")]

    async def instead(self, exchange):
        source = exchange.request.source
        self.count(source)
        code, kind, body = self.ROWS[(self.struck[source] - 1) % len(self.ROWS)]
        await exchange.whole(code, body, kind)
        return True


class Silent(Fault):
    """The request is read and nothing is answered."""

    async def instead(self, exchange):
        self.count(exchange.request.source)
        exchange.entry.fault = self.name
        await exchange.hang()


class Mute(Fault):
    """Connections are taken, and nothing is said on them, not even a hello of TLS."""
    mute = True

    def wants(self, request):
        return False


class Held(Fault):
    """The second page of a list waits for `release`, in the meantime its position expires (for real)."""

    def __init__(self, source):
        super().__init__("list", times=1, sources=[source])
        self.released = asyncio.Event()

    def wants(self, request):
        return super().wants(request) and "continue" in request.query

    async def instead(self, exchange):
        self.count(exchange.request.source)
        await self.released.wait()
        return False

    def release(self, loop):
        loop.call_soon_threadsafe(self.released.set)


class NoLimit(Fault):
    """The whole list in one answer, whatever the agent asked for: `limit` does not reach the API server."""

    def __init__(self, sources):
        super().__init__("list", sources=sources)

    def target(self, request):
        self.count(request.source)
        return "&".join(part for part in request.target.split("&") if not part.startswith("limit=")).replace(
            "?limit=", "?was=")


class Positions(OnLine):
    """Harms nothing; notes the first position of each collection."""

    def __init__(self):
        super().__init__()
        self.first = {}

    async def strike(self, exchange, one):
        self.first.setdefault(exchange.request.source, json.loads(one)["object"]["metadata"]["resourceVersion"])
        return [one]


class Older(Fault):
    """A watch begins at an older position than was asked for, as at an API server that lags behind the one that listed:
    what the API server tells from there is real. Of the first lines those of different objects change places."""
    SWAPPED = 6

    def __init__(self, positions):
        super().__init__("watch")
        self.positions, self.mine, self.held = positions, {}, {}  # mine: {source: request}

    def wants(self, request):
        return (super().wants(request) and not request.streamed and request.source in self.positions
                and self.mine.get(request.source, request) is request)

    def target(self, request):
        self.mine[request.source] = request
        return re.sub(r"resourceVersion=[^&]*", f"resourceVersion={self.positions[request.source]}", request.target)

    async def line(self, exchange, one):
        source = exchange.request.source
        held = self.held.pop(source, None)
        if is_bookmark(one) or self.struck[source] >= self.SWAPPED:
            return [held, one] if held else [one]
        self.count(source)
        if held is None and self.struck[source] < self.SWAPPED:
            self.held[source] = one
            return []
        if held is None:
            return [one]
        return [held, one] if uid_of(held) == uid_of(one) else [one, held]


def uid_of(one):
    return json.loads(one)["object"]["metadata"]["uid"]


class Count(Fault):
    """Harms nothing; counts."""

    def target(self, request):
        self.count(request.source)
        return request.target


class Both(Fault):
    """The first as long as it wants what is there, then the second, which is the one that counts."""

    def __init__(self, first, second):
        super().__init__("any")
        self.neither = Fault()
        self.first, self.second, self.struck, self.name = first, second, second.struck, second.name

    def chosen(self, request):
        """What wanted a request may want no more of it."""
        return next((f for f in (self.first, self.second) if f.wants(request)), self.neither)

    def wants(self, request):
        return self.chosen(request) is not self.neither

    def target(self, request):
        return self.chosen(request).target(request)

    async def instead(self, exchange):
        return await self.chosen(exchange.request).instead(exchange)

    async def line(self, exchange, one):
        return await self.chosen(exchange.request).line(exchange, one)

    async def body(self, exchange, status, fields, body):
        return await self.chosen(exchange.request).body(exchange, status, fields, body)
