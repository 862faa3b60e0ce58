"""The proxy's side of HTTP/2, without TLS (prior knowledge): a connection whose streams are answered as faults.py says.

How a stream ends, beside what HTTP/1.1 has too: `stream CODE` (RST_STREAM), `stream-end` (END_STREAM, too early),
`no-error` (a whole answer, then RST_STREAM NO_ERROR: RFC 9113, 8.1), `goaway` (the stream was not taken),
`goaway CODE`, `goaway-answered` (GOAWAY that still takes every stream there is, and then the answer). fin, rst and
goaway end the connection, and with it whatever else was open there: those calls are told as `fellow`.
"""
import asyncio
import socket
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import hyperframe.frame

import answers
import faults

# Seconds in which a client reads what it has; looks for such a time, in all less than a call's hard maximum.
REST, REST_MOST = 0.2, 60
OUR_OWN = ("connection", "host", "content-length", "transfer-encoding")


class Stream:
    """One call; the interface of a connection of HTTP/1.1, of which the door knows no more."""
    stale = False

    def __init__(self, client, number):
        self.client, self.id, self.number = client, number, client.number
        self.fields, self.body, self.gone = [], b"", asyncio.Event()

    def raw(self):
        """The request as HTTP/1.1, for the tool server."""
        pseudo = {name: value for name, value in self.fields if name.startswith(":")}
        lines = [f"{pseudo[':method']} {pseudo[':path']} HTTP/1.1", "Host: canary", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.fields if name[0] != ":" and name not in OUR_OWN]
        return "\r\n".join([*lines, "", ""]).encode() + self.body

    async def left(self, seconds):
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
            return True
        except asyncio.TimeoutError:
            return False

    def relay(self, top, body):
        """An answer of the tool server, as it is."""
        first, *lines = top.decode().split("\r\n")
        fields = [line.split(": ", 1) for line in lines if ": " in line]
        fields = [(name.lower(), value) for name, value in fields if name.lower() not in OUR_OWN]
        self.head(int(first.split()[1]), fields, not body)
        self.data(body, True)

    # ---- frames; a client that has gone makes them void

    def do(self, what):
        try:
            what(self.client.h2)
        except (h2.exceptions.ProtocolError, KeyError):
            self.gone.set()
        self.client.flush()

    def head(self, status, fields, last=False):
        self.do(lambda c: c.send_headers(self.id, [(":status", str(status)), *fields], end_stream=last))

    def data(self, data, last=False):
        if data:
            self.do(lambda c: c.send_data(self.id, data, end_stream=last))

    def reset(self, code):
        self.do(lambda c: c.reset_stream(self.id, h2.errors.ErrorCodes[code]))

    # ---- answers

    async def answer(self, fault, rng, answer):
        """The answer is framed as for HTTP/1.1 and taken apart again: both differ in nothing else."""
        settings = self.client.door.truth.settings
        texts = answers.MESSAGES[fault.message](answer)
        top, body = answers.frame(fault.form, texts)
        if fault.form == "sse":
            body = b": hello\n\n" + b"".join(map(answers.event, texts))
        whole, body = body, self.cut(fault, body, rng)
        if fault.end == "goaway-answered":
            self.client.goaway(self.client.h2.highest_inbound_stream_id)
        if fault.pace == "late":
            await self.left(answers.late_by(settings, rng))
        if fault.cut != "zero":
            await self.send(fault, rng, top, body, done=fault.end in ("keep", "goaway-answered", "stream-end"))
        await self.end(fault, rng, len(whole))

    @staticmethod
    def cut(fault, body, rng):
        if fault.cut == "after-head":
            return b""
        if fault.cut == "body":
            most = body.rfind(b"\n\n") + 1 if fault.form == "sse" else len(body) - 1
            return body[:rng.randrange(1, most + 1)]
        return body

    async def send(self, fault, rng, top, body, done):
        first, *lines = top.decode().split("\r\n")
        fields = [(n.lower(), v) for n, v in (line.split(": ", 1) for line in lines if line)
                  if n.lower() not in ("connection", "transfer-encoding")]
        self.head(int(first.split()[1]), fields, last=done and not body and fault.pace != "forever")
        if fault.pace == "forever":
            while not await self.left(0.1):
                self.data(answers.COMMENT)
        elif fault.pace == "drip":
            *early, final = answers.pieces(body, rng)
            for piece in early:
                self.data(piece)
                await asyncio.sleep(answers.DRIP_PAUSE)
            self.data(final, last=done)
        else:
            self.data(body, last=done)

    async def end(self, fault, rng, length):
        how, _, code = fault.end.partition(" ")
        if how == "no-error":
            self.do(lambda c: c.end_stream(self.id))
            self.reset("NO_ERROR")
        elif how == "stream":
            await self.left(rng.choice(answers.RST_AFTER))
            self.reset(code)
        elif how == "stall":
            await self.left(answers.STALL_BOUND)
        elif how == "goaway":
            self.client.lose_fellows(self)
            self.client.goaway(self.id - 2 if self.id > 1 else 0, code or "NO_ERROR")
            self.client.fin()
        elif how in ("fin", "rst"):
            if how == "rst":
                await self.client.rest()
            self.client.lose_fellows(self)
            getattr(self.client, how)()


class Client(asyncio.Protocol):
    """A connection of the agent, with its streams."""

    def __init__(self, door):
        self.door, self.streams, self.requests, self.last, self.answered = door, {}, 0, None, 0
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport):
        self.transport, self.number = transport, self.door.number_connection()
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:  # the client ended badly: it is its own affair
            self.fin()
            return
        for event in events:
            self.take(event)
        self.flush()

    def take(self, event):
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.streams[number] = Stream(self, number)
            self.streams[number].fields = event.headers
        elif isinstance(event, h2.events.DataReceived):
            self.streams[number].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded):
            self.requests += 1
            self.door.begin(self.serve(self.streams[number], self.requests > 1))
        elif isinstance(event, h2.events.StreamReset) and number in self.streams:
            self.streams[number].gone.set()

    async def serve(self, stream, reused):
        nonce = dict(stream.fields).get("x-pilotgate-call", "")
        await self.door.serve(stream, nonce, stream.raw(), reused, self.fate(stream))
        self.streams.pop(stream.id, None)
        self.answered = asyncio.get_running_loop().time()
        if self.last is not None and not self.streams:  # the last answer after a GOAWAY, which is to be read first
            await self.rest()
            self.fin()

    def fate(self, stream):
        """A request that crosses our GOAWAY, or the connection's end, is not taken."""
        crossed = self.transport.is_closing() or (self.last is not None and stream.id > self.last)
        return faults.CROSSED if crossed else None

    def connection_lost(self, exc):
        for stream in self.streams.values():
            stream.gone.set()

    # ---- of the whole connection

    def goaway(self, last, code="NO_ERROR"):
        """Past the library, which takes a GOAWAY for the end and would send no more answers. What was taken once
        stays taken, and no later GOAWAY may take more (RFC 9113, 6.8)."""
        if self.last is not None and last >= self.last:
            return
        self.last = last
        frame = hyperframe.frame.GoAwayFrame(0, last_stream_id=last, error_code=h2.errors.ErrorCodes[code])
        if not self.transport.is_closing():
            self.transport.write(frame.serialize())

    async def rest(self):
        """Until no answer is so fresh that an RST might still take it from the client."""
        for _ in range(REST_MOST):
            if asyncio.get_running_loop().time() - self.answered > REST:
                break
            await asyncio.sleep(REST / 4)

    def lose_fellows(self, but):
        for stream in self.streams.values():
            if stream is not but:
                self.door.lose(stream, faults.FELLOW)

    def fin(self):
        if not self.transport.is_closing():
            self.door.truth.tell(ended=self.door.now())
        self.transport.close()

    def rst(self):
        if not self.transport.is_closing():
            self.door.truth.tell(ended=self.door.now())
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
