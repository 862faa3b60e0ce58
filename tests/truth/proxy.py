#!/usr/bin/python3
"""The proxy that breaks calls and knows which: between the agent and a real tool server.

usage: proxy.py SETTINGS.json

Why a fake: no real gateway can be made to show every row of faults.py, and none says exactly which call it broke.
Everything beyond it is real. A call is known by its X-Pilotgate-Call header; anything else passes unharmed.
What is done to a call depends on the seed and the call's number only. Settings:

  seed, calls        so many calls are broken or not; later ones pass, and a line `reached` is printed
  truth              the file that gets one JSON line for each call, when the proxy has done with it:
                     nonce, door, fault, classes, reused, executed, connection, from, to (CLOCK_BOOTTIME), and
                     {"relayed": door, ...} for what is no call, {"ended": time} of a
                     connection of HTTP/2, and
                     of the shaky door {"down": kind, "from", "to"} and {"turned_away": time}
  limit, timeout     of the probes, seconds
  healthy            share of calls that nothing is done to
  upstream           port of the tool server
  certificate, key   files for doors with TLS
  doors              [{name, port, kind, tls}]; kind: plain, session (answers of lost sessions), http2, arcade (REST
                     before, MCP behind), shaky (closes its port or turns connections away, now and then), quiet
                     (harms nobody until SIGUSR1, and then breaks `breaks` of the calls in flight at it)
"""
import asyncio
import json
import random
import signal
import socket
import ssl
import struct
import sys
import time

import answers
import faults
import http2

TICK, LAG = 0.05, 0.2  # the proxy's own standing still is looked for, and told beyond LAG
DOWN_EVERY, DOWN_FOR = 2.0, 0.5  # of the shaky door
BREAKS = ("rst", "fin", "rst-in-head", "fin-in-body", "status-502", "is-error")  # in flight, of a quiet door


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Truth:
    def __init__(self, settings):
        self.settings, self.counted = settings, 0
        self.file = open(settings["truth"], "a", buffering=1 << 16)

    def tell(self, **what):
        self.file.write(json.dumps(what) + "\n")

    def choose(self, kind, nonce):
        """The row for this call, and the dice for its details."""
        rng = random.Random(f"{self.settings['seed']} {nonce.split('-')[1]}")
        self.counted += 1
        if self.counted == self.settings["calls"]:
            print("reached", flush=True)
        if self.counted > self.settings["calls"]:
            return faults.TAIL, rng
        healthy, broken = faults.CHOICE[kind]
        if not broken or rng.random() < self.settings["healthy"]:
            return rng.choice([healthy[0]] * len(healthy) + healthy), rng
        return rng.choice(broken), rng


class Upstream:
    """The tool server; its connections are kept. Nothing is ever sent twice."""

    def __init__(self, port):
        self.port, self.idle = port, []

    async def ask(self, raw, call):
        """(head, body) of the answer to that request; notes in the call that it was handed over."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            call["executed"] = True
            top = await reader.readuntil(b"\r\n\r\n")
            fields = top.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in fields if line.startswith(b"content-length:")), 0)
            body = await reader.readexactly(length)
        except asyncio.CancelledError:  # broken in flight
            writer.close()
            raise
        self.idle.append((reader, writer))
        return top, body


class Client(asyncio.Protocol):
    """A connection of the agent, which sends one request after the other."""

    def __init__(self, door):
        self.door, self.buffer, self.requests, self.stale = door, b"", 0, False

    def connection_made(self, transport):
        self.transport, self.gone = transport, asyncio.Event()
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self.door.number_connection()
        if self.door.turns_away:
            self.door.truth.tell(turned_away=now(), connection=self.number)
            self.transport.abort()

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        fields = dict(line.lower().split(b":", 1) for line in self.buffer[:end].split(b"\r\n")[1:])
        whole = end + 4 + int(fields.get(b"content-length", 0))
        if len(self.buffer) < whole:
            return
        raw, self.buffer = self.buffer[:whole], self.buffer[whole:]
        nonce = fields.get(b"x-pilotgate-call", b"").strip().decode()
        self.requests += 1
        fate = faults.STALE if self.stale else None
        self.door.begin(self.door.serve(self, nonce, raw, self.requests > 1, fate))

    def connection_lost(self, exc):
        self.gone.set()

    async def left(self, seconds):
        """Waits; true when the client left meanwhile."""
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
            return True
        except asyncio.TimeoutError:
            return False

    def send(self, data):
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def relay(self, top, body):
        self.send(top + body)

    def fin(self):
        self.transport.close()

    def rst(self):
        if not self.transport.is_closing():
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()


    # ---- answers

    async def answer(self, fault, rng, answer):
        settings = self.door.truth.settings
        texts = answers.MESSAGES[fault.message](answer)
        if self.door.kind == "arcade":
            texts = map(answers.as_arcade, texts)
        top, body = answers.frame(fault.form, texts)
        data = (top + body)[:answers.cut_at(fault, top, body, rng)]
        self.stale = self.stale or fault.form == "doubled"
        if fault.pace == "late":
            await self.left(answers.late_by(settings, rng))
        if fault.pace == "drip":
            await self.drip(data, rng)
        elif fault.pace == "forever":
            self.send(data[:data.rindex(b"0\r\n")])
            while not await self.left(0.1):
                self.send(answers.chunk(answers.COMMENT))
        else:
            self.send(data)
        await self.end(fault, rng)

    async def drip(self, data, rng):
        until = now() + self.door.truth.settings["limit"] / 2
        for piece in answers.pieces(data, rng):
            self.send(piece)
            if now() < until:
                await asyncio.sleep(answers.DRIP_PAUSE)

    async def end(self, fault, rng):
        if fault.end == "fin":
            self.fin()
        elif fault.end == "rst":
            await self.left(rng.choice(answers.RST_AFTER))
            self.rst()
        elif fault.end == "stall":
            await self.left(answers.STALL_BOUND)
            self.fin()


class Door:
    """A port that the agent calls."""
    connections = 0
    now = staticmethod(now)

    def __init__(self, settings, truth, upstream, breaks):
        self.name, self.kind, self.port = settings["name"], settings["kind"], settings["port"]
        self.truth, self.upstream, self.turns_away = truth, upstream, False
        self.tls = self.context(truth.settings) if settings["tls"] else None
        self.called, self.tasks = asyncio.Event(), set()
        self.breaks, self.open, self.rng = breaks, {}, random.Random(f"{truth.settings['seed']} {self.name}")

    def number_connection(self):
        Door.connections += 1
        return Door.connections

    def context(self, settings):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(settings["certificate"], settings["key"])
        tls.set_alpn_protocols(["h2" if self.kind == "http2" else "http/1.1"])
        return tls

    async def listen(self):
        loop = asyncio.get_running_loop()
        client = http2.Client if self.kind == "http2" else Client
        self.server = await loop.create_server(lambda: client(self), "127.0.0.1", self.port, backlog=1024,
                                               ssl=self.tls, ssl_shutdown_timeout=0.05 if self.tls else None)

    def begin(self, work):
        """Runs beside the rest; asyncio itself would forget a task that nobody holds."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # ---- one call

    async def serve(self, client, nonce, raw, reused, fate=None):
        """One request; fate: the row, where the connection leaves no choice."""
        if not nonce:
            begun = now()
            client.relay(*await (self.welcome() if self.kind == "arcade" else self.upstream.ask(raw, {})))
            self.truth.tell(relayed=self.name, connection=client.number, **{"from": begun, "to": now()})
            return
        self.called.set()
        chosen, rng = self.truth.choose(self.kind, nonce)
        fault = fate or chosen
        call = {"nonce": nonce, "door": self.name, "fault": fault.name, "classes": fault.allowed(reused),
                "reused": reused, "http2": self.kind == "http2", "executed": False, "connection": client.number,
                "from": now()}
        self.open[nonce] = call, client, asyncio.current_task()
        try:
            await client.answer(fault, rng, await self.learn(fault, call, raw))
        except asyncio.CancelledError:  # broken in flight
            pass
        finally:
            del self.open[nonce]
            self.truth.tell(**call, to=now())

    async def learn(self, fault, call, raw):
        """The answer to begin with: the tool server's, or an empty one of ours where it is not to be asked."""
        if not fault.through:
            return answers.empty(call["nonce"])
        if self.kind == "arcade":
            raw = answers.tool_call(call["nonce"], json.loads(raw[raw.index(b"\r\n\r\n"):])["input"])
        _, body = await self.upstream.ask(raw, call)
        return json.loads(body)

    @staticmethod
    async def welcome():
        """Arcade's answer to whoever asks for its health."""
        return answers.frame("json", ['{"healthy": true}'])

    # ---- what happens to a door as a whole

    async def shake(self):
        """Closes the port, or turns connections away, for a moment; open connections are left alone."""
        await self.called.wait()  # the agent has its session, which it ends in peace as well
        while self.truth.counted < self.truth.settings["calls"]:
            await asyncio.sleep(self.rng.uniform(0.5, 1) * DOWN_EVERY)
            kind, begun = self.rng.choice(("refuse", "turn-away")), now()
            if kind == "refuse":
                self.server.close()
            self.turns_away = kind == "turn-away"
            try:
                await asyncio.sleep(self.rng.uniform(0.5, 1) * DOWN_FOR)
                if kind == "refuse":
                    await self.listen()
                self.turns_away = False
            finally:  # also when the proxy ends
                self.truth.tell(down=kind, **{"from": begun, "to": now()})

    def break_some(self):
        """Ends some of the calls in flight in several ways; which, the truth tells as for any other."""
        slow = sorted(nonce for nonce, (call, _, _) in self.open.items() if now() - call["from"] > 0.2)
        chosen = self.rng.sample(slow, min(self.breaks, len(slow)))
        for i, nonce in enumerate(chosen):
            client, fault = self.open[nonce][1], faults.BY_NAME[BREAKS[i % len(BREAKS)]]
            self.lose(client, fault)
            self.begin(client.answer(fault, self.rng, answers.empty(nonce)))

    def lose(self, client, fault):
        """The open call of this connection or stream is not answered as it was to be: that row is the truth of it."""
        for call, its, task in self.open.values():
            if its is client:
                call.update(fault=fault.name, classes=fault.allowed(call["reused"]), broken=now())
                task.cancel()


async def watch_itself(truth):
    """A proxy that stands still makes healthy answers late: such spans are told."""
    while True:
        before, used = now(), time.process_time()
        await asyncio.sleep(TICK)
        if now() - before > TICK + LAG:
            truth.tell(stood_still=now() - before - TICK, busy=time.process_time() - used,
                       **{"from": before, "to": now()})


async def main(settings):
    truth, upstream, tasks = Truth(settings), Upstream(settings["upstream"]), []
    doors = [Door(door, truth, upstream, settings.get("breaks", 0)) for door in settings["doors"]]
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    for door in doors:
        await door.listen()
        if door.kind == "shaky":
            tasks.append(asyncio.ensure_future(door.shake()))
        if door.kind == "quiet":
            loop.add_signal_handler(signal.SIGUSR1, door.break_some)
    tasks.append(asyncio.ensure_future(watch_itself(truth)))
    await over.wait()
    tasks += [task for door in doors for _, _, task in door.open.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    truth.file.close()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        asyncio.run(main(json.load(file)))
