#!/usr/bin/python3
"""The proxy that breaks calls and knows which: between the agent and a real tool server.

usage: proxy.py SETTINGS.json

Why a fake: no real gateway can be made to show every row of faults.py, and none says exactly which call it broke.
Everything beyond it is real. A call is known by its X-Pilotgate-Call header; anything else passes unharmed.
What is done to a call depends on the seed and the call's number only. Settings:

  seed, calls        so many calls are broken or not; later ones pass, and a line `reached` is printed
  truth              the file that gets one JSON line for each call, when the proxy has done with it:
                     nonce, door, fault, classes, reused, executed, connection, from, to (CLOCK_BOOTTIME), and
                     of the shaky door {"down": kind, "from", "to"} and {"turned_away": time}
  limit, timeout     of the probes, seconds
  healthy            share of calls that nothing is done to
  upstream           port of the tool server
  doors              [{name, port, kind}]; kind: plain, session (answers of lost sessions, too), shaky (closes its
                     port or turns connections away, now and then), quiet (harms nobody until SIGUSR1, and
                     then breaks `breaks` of the calls in flight at it)
"""
import asyncio
import json
import random
import signal
import socket
import struct
import sys
import time

import answers
import faults

STALL_BOUND = 60  # seconds; clients leave long before
TICK, LAG = 0.05, 0.2  # the proxy's own standing still is looked for, and told beyond LAG
DOWN_EVERY, DOWN_FOR = 2.0, 0.5  # of the shaky door
RST_AFTER = (0, 0, 0.002, 0.03)  # between the last bytes and the RST
BREAKS = ("rst", "fin", "rst-in-head", "fin-in-body", "status-502", "is-error")  # in flight, of a quiet door


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Truth:
    def __init__(self, settings):
        self.settings, self.counted = settings, 0
        self.file = open(settings["truth"], "a", buffering=1 << 16)

    def tell(self, **what):
        self.file.write(json.dumps(what) + "\n")

    def choose(self, kind, nonce, stale):
        """The row for this call, and the dice for its details."""
        rng = random.Random(f"{self.settings['seed']} {nonce.split('-')[1]}")
        self.counted += 1
        if self.counted == self.settings["calls"]:
            print("reached", flush=True)
        if self.counted > self.settings["calls"]:
            return faults.TAIL, rng
        if stale:
            return faults.STALE, rng
        if kind in ("shaky", "quiet"):
            return faults.HEALTHY[0], rng
        if rng.random() < self.settings["healthy"]:
            return rng.choice([faults.HEALTHY[0]] * len(faults.HEALTHY) + faults.HEALTHY), rng
        return rng.choice(faults.SESSIONS if kind == "session" else faults.FAULTS), rng


class Upstream:
    """The tool server; its connections are kept. Nothing is ever sent twice."""

    def __init__(self, port):
        self.port, self.idle = port, []

    async def ask(self, raw):
        """(head, body) of the answer to that request."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
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
        asyncio.ensure_future(self.door.serve(self, nonce, raw, self.requests > 1))

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

    def fin(self):
        self.transport.close()

    def rst(self):
        if not self.transport.is_closing():
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()


class Door:
    """A port that the agent calls."""
    connections = 0

    def __init__(self, settings, truth, upstream, breaks):
        self.name, self.kind, self.port = settings["name"], settings["kind"], settings["port"]
        self.truth, self.upstream, self.turns_away = truth, upstream, False
        self.called = asyncio.Event()
        self.breaks, self.open, self.rng = breaks, {}, random.Random(f"{truth.settings['seed']} {self.name}")

    def number_connection(self):
        Door.connections += 1
        return Door.connections

    async def listen(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Client(self), "127.0.0.1", self.port, backlog=1024)

    # ---- one call

    async def serve(self, client, nonce, raw, reused):
        if not nonce:
            client.send(b"".join(await self.upstream.ask(raw)))
            return
        self.called.set()
        fault, rng = self.truth.choose(self.kind, nonce, client.stale)
        call = {"nonce": nonce, "door": self.name, "fault": fault.name, "classes": fault.allowed(reused),
                "reused": reused, "executed": fault.through, "connection": client.number, "from": now()}
        self.open[nonce] = call, client, asyncio.current_task()
        try:
            await self.do(fault, rng, client, raw, nonce)
        except asyncio.CancelledError:  # broken in flight, by break_some
            pass
        finally:
            del self.open[nonce]
            self.truth.tell(**call, to=now())

    async def do(self, fault, rng, client, raw, nonce):
        answer = {"jsonrpc": "2.0", "id": nonce, "result": {"content": []}}
        if fault.through:
            _, body = await self.upstream.ask(raw)
            answer = json.loads(body)
        await self.answer(fault, rng, client, answer)

    async def answer(self, fault, rng, client, answer):
        settings = self.truth.settings
        top, body = answers.frame(fault.form, answers.MESSAGES[fault.message](answer))
        data = (top + body)[:answers.cut_at(fault, top, body, rng)]
        client.stale = client.stale or fault.form == "doubled"
        if fault.pace == "late":
            part = rng.uniform(0.3, 0.5)
            await client.left(settings["limit"] + part * (settings["timeout"] - settings["limit"]))
        if fault.pace == "drip":
            await self.drip(client, data, rng)
        elif fault.pace == "forever":
            client.send(data[:data.rindex(b"0\r\n")])
            while not await client.left(0.1):
                client.send(answers.chunk(b": still here\n\n"))
        else:
            client.send(data)
        await self.end(fault, rng, client)

    async def drip(self, client, data, rng):
        """Bytes one by one, and then ever larger pieces: at most half of the limit."""
        until, pause, size, at = now() + self.truth.settings["limit"] / 2, 0.002, 1, 0
        while at < len(data):
            client.send(data[at:at + size])
            at += size
            size = 1 if at < 30 else size + rng.randrange(1, 5)
            if now() < until:
                await asyncio.sleep(pause)

    async def end(self, fault, rng, client):
        if fault.end == "fin":
            client.fin()
        elif fault.end == "rst":
            await client.left(rng.choice(RST_AFTER))
            client.rst()
        elif fault.end == "stall":
            await client.left(STALL_BOUND)
            client.fin()

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
            call, client, task = self.open[nonce]
            fault = faults.BY_NAME[BREAKS[i % len(BREAKS)]]
            call.update(fault=fault.name, classes=fault.allowed(call["reused"]), broken=now(), executed=True)
            task.cancel()
            answer = {"jsonrpc": "2.0", "id": nonce, "result": {"content": []}}
            asyncio.ensure_future(self.answer(fault, self.rng, client, answer))


async def watch_itself(truth):
    """A proxy that stands still makes healthy answers late: such spans are told."""
    while True:
        before = now()
        await asyncio.sleep(TICK)
        if now() - before > TICK + LAG:
            truth.tell(stood_still=now() - before - TICK, **{"from": before, "to": now()})


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
