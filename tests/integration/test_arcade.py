"""Targets of kind arcade and worker: the worker interface of a real pilotgate-canary, and the engine's REST API as
its documents describe it (fake_engine.py says why that is a fake)."""
import collections
import json

import pytest

import fake_engine
from lab import AGENT, CANARY, free_port, listens, run, wait_until

SECRET = "a worker secret of the test".replace(" ", "-")
NEVER_TOLD = (fake_engine.KEY, SECRET, "worker-secret-text")


class Witness:
    """An agent with these targets and probes, and the collector that it reports to."""

    name = "local/rest"

    def __init__(self, lab, target, tool):
        lab.make_keys("rest")
        lab.declare("rest")
        lab.serve()
        self.lab, keys = lab, lab.folder / "keys"
        self.path = lab.folder / "agent.yaml"
        self.path.write_text(json.dumps({
            "collector": {"endpoint": f"tcp://127.0.0.1:{lab.port}", "server_key_file": str(keys / "server.pub"),
                          "key_file": str(keys / "agent.key"), "hash_key_file": str(keys / "pilot.hash")},
            "stage": {"cluster": "local", "namespace": "rest", "node": "n1"}, "kube": {"enabled": False},
            "spool": {"dir": str(lab.folder / "spool")},
            "targets": [{"name": "product", "catalogue_interval": "200ms", "custom_server": True, **target}],
            "probes": [{"name": "calls", "target": "product", "tool": tool, "arguments": {"nonce": "{nonce}"},
                        "interval": "50ms", "timeout": "5s", "limit": "4s"}]}))

    def start(self):
        self.agent = self.lab.start("agent", AGENT, "--config", self.path)

    def check(self):
        return run(AGENT, "check", "--config", self.path)

    def records(self):
        [stream] = self.lab.records(self).values()
        return stream

    def calls(self):
        """{what became of it: how many}, of all calls so far."""
        names = self.lab_outcomes()
        return collections.Counter(names[number] for r in self.records() if r.WhichOneof("body") == "calls"
                                   for number in r.calls.outcome)

    @staticmethod
    def lab_outcomes():
        from lab import load_schema
        return {value.number: value.name.removeprefix("OUTCOME_").lower()
                for value in load_schema().Outcome.DESCRIPTOR.values}

    def failed(self):
        return [r.call for r in self.records() if r.WhichOneof("body") == "call"]

    def objects(self, kind):
        return [r.object for r in self.records() if r.WhichOneof("body") == "object" and r.object.kind == kind]

    def source(self, name):
        """The source as the newest coverage record has it."""
        found = [s for r in self.records() if r.WhichOneof("body") == "coverage" for s in r.coverage.sources
                 if s.name == name]
        return found[-1] if found else None

    def wait(self, condition, what):
        return wait_until(lambda: self.lab.agents()["agents"] and condition(), 30, what)

    def told(self):
        """Everything that left the agent or lies on its disk."""
        files = [self.lab.db, *self.lab.folder.glob("pilot.db-*"), *(self.lab.folder / "spool").rglob("*"),
                 self.agent.log, self.lab.collector.log]
        return b"".join(path.read_bytes() for path in files if path.is_file())


@pytest.fixture
def engine():
    made = fake_engine.Engine()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def arcade(lab, engine):
    key = lab.folder / "key"
    key.write_text(fake_engine.KEY + "\n")
    return Witness(lab, {"kind": "arcade", "url": engine.url + "/", "bearer_file": str(key), "user_id": "pilot@x"},
                   "Canary.Echo")


def test_the_engine_is_called_listed_and_asked_for_its_health(arcade, engine):
    arcade.start()
    arcade.wait(lambda: arcade.calls()["completed"] >= 20, "calls complete")
    assert set(arcade.calls()) == {"completed"}
    [body, *_] = [body for _, path, _, body in engine.seen if path == "/v1/tools/execute"]
    assert body == {"tool_name": "Canary.Echo", "input": {"nonce": body["input"]["nonce"]}, "user_id": "pilot@x"}
    # Two pages of each list, one object for each.
    [catalogue] = [o for o in arcade.objects("ToolCatalogue") if o.op == 1]
    assert json.loads(catalogue.normal) == {"tools": ["Canary.Echo", "Canary.Hold", "Canary.Whoami"]}
    [workers] = [o for o in arcade.objects("ProductConfiguration") if o.op == 1]
    assert workers.name == "product.workers"
    assert [w["id"] for w in json.loads(workers.normal)] == ["canary", "other", "third"]
    assert "met" not in workers.normal and "keyed:" in workers.normal
    assert arcade.source("health/product").ok and arcade.source("document/product.workers").ok
    # Health is asked without the key, everything else with it.
    assert all(("Authorization" in headers) == (path != "/v1/health") for _, path, headers, _ in engine.seen)
    assert not [secret for secret in NEVER_TOLD if secret.encode() in arcade.told()]


def test_a_change_of_workers_and_of_tools_is_seen_and_the_volatile_is_not(arcade, engine):
    arcade.start()
    arcade.wait(lambda: arcade.objects("ProductConfiguration"), "workers are listed")
    # What a user has authorized by now is no change.
    engine.tools[0]["requirements"] = {"met": False}
    engine.workers[0]["requirements"] = {"met": False}
    listed = sum(path == "/v1/workers" for _, path, _, _ in engine.seen)
    arcade.wait(lambda: sum(path == "/v1/workers" for _, path, _, _ in engine.seen) >= listed + 6, "listed again")
    assert not [o for kind in ("ToolCatalogue", "ProductConfiguration") for o in arcade.objects(kind) if o.op == 3]
    engine.workers[1]["http"]["uri"] = "http://elsewhere:8002"
    engine.tools.append(fake_engine.tool("Sum"))
    arcade.wait(lambda: [o for o in arcade.objects("ProductConfiguration") if o.op == 3], "the workers' change")
    arcade.wait(lambda: [o for o in arcade.objects("ToolCatalogue") if o.op == 3], "the tools' change")


@pytest.mark.parametrize("answer, outcome, detail", [
    (fake_engine.failure("TOOL_RUNTIME_FATAL"), "tool_error", "the tool failed: TOOL_RUNTIME_FATAL"),
    (fake_engine.failure("NETWORK_TRANSPORT_RUNTIME_UNREACHABLE"), "tool_error",
     "the tool failed: NETWORK_TRANSPORT_RUNTIME_UNREACHABLE"),
    (lambda body: (200, {"success": True, "output": {"value": "somebody else's"}}), "tool_error", "other than"),
    (lambda body: (200, {"status": "queued"}), "malformed", "no answer"),
    # What the vendor's SDK would repeat.
    (fake_engine.status(408), "http_error", "408"),
    (fake_engine.status(409), "http_error", "409"),
    (fake_engine.status(429), "rate_limited", "429"),
    (fake_engine.status(503), "http_error", "503"),
], ids=["fatal", "unreachable", "unexpected", "no-success", "408", "409", "429", "503"])
def test_a_failed_call_is_told_as_what_it_is_and_never_repeated(arcade, engine, answer, outcome, detail):
    engine.answer = answer
    arcade.start()
    arcade.wait(lambda: arcade.calls()[outcome] >= 10, f"calls end as {outcome}")
    assert set(arcade.calls()) == {outcome}
    assert all(detail in call.detail for call in arcade.failed()), arcade.failed()[0].detail
    counts = collections.Counter(engine.executions())
    assert None not in counts and set(counts.values()) == {1}
    # The message of an error may hold what a call was about.
    assert not [call for call in arcade.failed() if call.nonce in call.detail]


def test_an_unhealthy_engine_is_told_and_called_all_the_same(arcade, engine):
    engine.health = 503, {"healthy": False, "reason": "no database"}
    arcade.start()
    arcade.wait(lambda: arcade.calls()["completed"] >= 5, "calls complete")
    health = arcade.source("health/product")
    assert not health.ok and health.reason == "no database"
    engine.health = 200, {"healthy": True}
    arcade.wait(lambda: arcade.source("health/product").ok, "healthy again")


def test_check_names_what_is_wrong_with_an_engine(arcade, engine):
    done = arcade.check()
    for text in ("target product: open, healthy", "tools/list, 3 tools", "probe calls: one call of Canary.Echo"):
        assert text in done.stdout, done
    (arcade.lab.folder / "key").write_text("another-key\n")
    done = arcade.check()
    assert done.returncode != 0 and "HTTP 401" in done.stdout + done.stderr
    assert "another-key" not in done.stdout + done.stderr


def test_a_key_can_stand_in_a_header_file(lab, engine):
    """As it must where the engine wants it in a form of its own."""
    header = lab.folder / "authorization"
    header.write_text(f"Bearer {fake_engine.KEY}\n")
    target = {"kind": "arcade", "url": engine.url, "header_files": [f"Authorization: {header}"], "user_id": "u"}
    assert "probe calls: one call of Canary.Echo" in Witness(lab, target, "Canary.Echo").check().stdout


# ---- the worker interface of a real server


@pytest.fixture
def worker(lab):
    port, secret = free_port(), lab.folder / "canary-secret"
    secret.write_text(SECRET + "\n")
    lab.start("canary", CANARY, "--listen", f"127.0.0.1:{port}", "--worker-secret-file", secret, "--log",
              lab.folder / "executions")
    wait_until(lambda: listens(port), 20, "the canary listens")
    ours = lab.folder / "our-secret"
    ours.write_text(SECRET + "\n")
    return Witness(lab, {"kind": "worker", "url": f"http://127.0.0.1:{port}", "secret_file": str(ours)}, "Canary.Echo")


def executions(lab, event):
    path = lab.folder / "executions"
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []
    return [line["call"] for line in lines if line["event"] == event]


def test_a_worker_is_called_with_its_token(lab, worker):
    worker.start()
    worker.wait(lambda: worker.calls()["completed"] >= 20, "calls complete")
    assert set(worker.calls()) == {"completed"}
    counts = collections.Counter(executions(lab, "start"))
    assert len(counts) >= 20 and set(counts.values()) == {1}
    [catalogue] = [o for o in worker.objects("ToolCatalogue") if o.op == 1]
    assert {"Canary.Echo", "Canary.Hold", "Canary.Sum", "Canary.Whoami"} <= set(json.loads(catalogue.normal)["tools"])
    assert worker.source("health/product").ok
    assert worker.objects("ProductConfiguration") == []
    assert not [secret for secret in NEVER_TOLD if secret.encode() in worker.told()]


def test_a_secret_that_changes_is_read_again(lab, worker):
    secret = lab.folder / "our-secret"
    secret.write_text("not-the-right-one\n")
    worker.start()
    # Health needs no token, so that the server is up; its tools and calls are refused.
    worker.wait(lambda: worker.calls()["http_error"] >= 3, "calls are refused")
    assert {call.http_status for call in worker.failed()} == {401}
    assert executions(lab, "start") == []
    assert not worker.source("catalogue/product").ok and worker.source("health/product").ok
    secret.write_text(SECRET + "\n")
    worker.wait(lambda: worker.calls()["completed"] >= 5, "calls complete")
    worker.wait(lambda: worker.source("catalogue/product").ok, "the catalogue is read")


def test_check_of_a_worker(worker):
    done = worker.check()
    assert "target product: open, healthy" in done.stdout and "probe calls: one call of Canary.Echo" in done.stdout
