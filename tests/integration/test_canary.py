"""The canary as a process: flags, signals, the log, tools that change while it runs, many held calls.

Run with: python3 -m pytest tests/integration/test_canary.py
"""
import contextlib
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from lab import CANARY as PROGRAM
from lab import WITH_US, wait_until

VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
LIMIT = 10


def wait_for(condition):
    return wait_until(condition, LIMIT, "the canary")


class Canary:
    def __init__(self, folder, *flags):
        self.log, self.errors = folder / "log", folder / "errors"
        with self.log.open("w") as out, self.errors.open("w") as err:
            self.process = subprocess.Popen([*WITH_US, PROGRAM, "--listen", "127.0.0.1:0", *flags], stdout=out, stderr=err)
        found = wait_for(lambda: re.search(r"listens on port (\d+)", self.errors.read_text()))
        self.port = int(found[1])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)

    def send(self, method, headers=None, connection=None, **params):
        """Sends a modern request, returns its connection."""
        c = connection or self.connect()
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        all_headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
                       "MCP-Protocol-Version": VERSION, "Mcp-Method": method, **(headers or {})}
        if "name" in params:
            all_headers["Mcp-Name"] = params["name"]
        c.request("POST", "/mcp", json.dumps(body), all_headers)
        return c

    def ask(self, method, headers=None, **params):
        c = self.send(method, headers, **params)
        answer = json.load(c.getresponse())
        c.close()
        return answer

    def tools(self, headers=None):
        return [t["name"] for t in self.ask("tools/list", headers)["result"]["tools"]]

    def counts(self):
        c = self.connect()
        c.request("GET", "/executions")
        return json.load(c.getresponse())

    def events(self):
        """The log's whole lines."""
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1]]


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:
        def begin(*flags):
            canary = Canary(tmp_path, *flags)
            stack.callback(canary.process.wait)
            stack.callback(canary.process.kill)
            return canary
        yield begin


@pytest.mark.parametrize("flags, part", [
    (["--nope"], "nope"), (["--tools", "rm"], "unknown tool"), (["--listen", "here"], "HOST:PORT"),
    (["--answer", "xml"], "answer"), (["--drain", "-1"], "drain"), (["--log", "/nonexistent/log"], "/nonexistent/log"),
    (["--tools-file", "/nonexistent"], "/nonexistent"), (["--worker-secret-file", "/nonexistent"], "/nonexistent"),
    (["word"], "--help")])
def test_wrong_flags_are_one_line_and_exit_2(flags, part):
    done = subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and part in done.stderr
    assert done.stdout == ""


def test_help_and_version():
    for flag in "--help", "--version":
        done = subprocess.run([PROGRAM, flag], capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0 and done.stdout.startswith("pilotgate-canary") and done.stderr == ""


def test_an_execution_is_logged_from_start_to_end(start):
    canary = start()
    answer = canary.ask("tools/call", {"X-Pilotgate-Call": "c1"}, name="hold", arguments={"seconds": 0.2, "nonce": "n1"})
    assert "n1" in answer["result"]["content"][0]["text"]
    wait_for(lambda: len(canary.events()) == 2)
    first, last = canary.events()
    assert (first["event"], last["event"]) == ("start", "end")
    for event in first, last:
        assert event["nonce"] == "n1" and event["tool"] == "hold" and event["call"] == "c1"
    assert 0.2 <= last["seconds"] < 2
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{9}Z", first["t"])


def test_a_connection_serves_one_call_after_the_other(start):
    canary = start()
    c = canary.connect()
    for i, stream in enumerate([False, True, True, False]):
        canary.send("tools/call", connection=c, name="hold",
                    arguments={"seconds": 0.05, "nonce": f"k{i}", "stream": stream})
        sock = c.sock
        response = c.getresponse()
        assert response.getheader("Content-Type") == ("text/event-stream" if stream else "application/json")
        assert f"k{i}" in response.read().decode()
        assert c.sock is sock
    wait_for(lambda: canary.counts()["ended"] == 4)


def test_hostile_values_stay_out_of_the_log(start):
    canary = start()
    canary.ask("tools/call", {"X-Pilotgate-Call": 'c","event":"end'}, name="echo", arguments={"text": "private"})
    canary.ask("tools/call", name="echo", arguments={"nonce": 'n","event":"end'})
    wait_for(lambda: len(canary.events()) == 2)
    assert "private" not in canary.log.read_text()
    assert all("call" not in e and "nonce" not in e for e in canary.events())


def test_tools_change_while_it_runs(start, tmp_path):
    offered = tmp_path / "tools"
    offered.write_text("echo\nhold\n")
    canary = start("--tools-file", offered, "--tools-header", "X-Canary-Tools")
    assert canary.tools() == ["echo", "hold"]
    assert canary.ask("tools/call", name="sum", arguments={"a": 1, "b": 2})["error"]["code"] == -32602
    (tmp_path / "new").write_text("echo\nhold\nsum\n")
    (tmp_path / "new").rename(offered)
    wait_for(lambda: canary.tools() == ["echo", "hold", "sum"])
    assert canary.ask("tools/call", name="sum", arguments={"a": 1, "b": 2})["result"]["content"][0]["text"] == "3"
    assert canary.tools({"X-Canary-Tools": "sum,elsewhere"}) == ["sum"]


def test_a_client_that_leaves_is_noticed(start):
    canary = start()
    for stream in False, True:
        c = canary.send("tools/call", name="hold", arguments={"seconds": 60, "nonce": f"gone{stream}", "stream": stream})
        wait_for(lambda: canary.counts()["started"] == 1 + stream)
        left = time.monotonic()
        c.sock.shutdown(socket.SHUT_RDWR)
        c.close()
        wait_for(lambda: canary.counts()["gone"] == 1 + stream)
        assert time.monotonic() - left < 1


def test_sigterm_lets_open_calls_end(start):
    canary = start("--drain", "20")
    calls = [canary.send("tools/call", name="hold", arguments={"seconds": 0.7, "nonce": f"d{i}", "stream": i % 2 == 0})
             for i in range(10)]
    wait_for(lambda: canary.counts()["started"] == 10)
    canary.process.send_signal(signal.SIGTERM)
    wait_for(lambda: refused(canary.port))
    for i, c in enumerate(calls):
        assert f"d{i}" in c.getresponse().read().decode()
    assert canary.process.wait(LIMIT) == 0
    assert sum(e["event"] == "end" for e in canary.events()) == 10


def test_the_drain_has_an_end(start):
    canary = start("--drain", "1")
    c = canary.send("tools/call", name="hold", arguments={"seconds": 100, "nonce": "d"})
    wait_for(lambda: canary.counts()["started"] == 1)
    canary.process.send_signal(signal.SIGTERM)
    assert canary.process.wait(LIMIT) == 0
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        c.getresponse()
    assert canary.events()[-1]["event"] == "gone"


def refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def test_holds_many_calls_in_little_memory(start):
    canary, count = start(), 1500
    calls = []
    for i in range(count):
        calls.append(canary.send("tools/call", name="hold",
                                 arguments={"seconds": 3, "nonce": f"m{i}", "stream": i % 2 == 0}))
    wait_for(lambda: canary.counts()["started"] == count)
    status = pathlib.Path(f"/proc/{canary.process.pid}/status").read_text()
    assert int(re.search(r"Threads:\s+(\d+)", status)[1]) <= 4
    if b"__asan_init" not in PROGRAM.read_bytes():
        assert int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) < 1024 + 16 * count
    for i, c in enumerate(calls):
        assert f"m{i}\"" in c.getresponse().read().decode()
        c.close()
    wait_for(lambda: canary.counts()["ended"] == count)
    assert canary.counts()["gone"] == 0
