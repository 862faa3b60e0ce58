"""Truth about the judge: a drill with a real change, a tool that the canary begins to offer, while calls are in
flight through the proxy. What was broken inside the change's window must be what the verdict names; what was
broken before it must not matter."""
import signal

import compare
import lab as labs
import stage as stages

LOAD, HOLD = 60, 3
BREAKS = 12
CALL = {"timeout": "6s", "limit": "5s"}
SLOW = {"tool": "hold", "arguments": {"seconds": HOLD, "nonce": "{nonce}"}, **CALL, "in_flight": 4}
QUICK = {"tool": "echo", "arguments": {"text": "{nonce}"}, "interval": "500ms", **CALL}
READINGS = {"is-error": "interrupted"}  # anything else that is broken is dropped


def start(stage, seed):
    offered = stage.folder / "tools"
    offered.write_text("echo\nhold\nwhoami\n")
    (stage.folder / "tools.new").write_text("echo\nhold\nwhoami\nsum\n")
    stage.start([("gateway", "quiet", "http")], {"seed": seed, "calls": 1 << 30, "limit": 5, "timeout": 6, "healthy": 1,
                                         "breaks": BREAKS}, ["--tools-file", offered], rubric=labs.RUBRIC)
    stage.start_agent(
        [{"name": "gateway", "url": stage.urls["gateway"], "custom_server": True, "notices": False},
         {"name": "direct", "url": f"http://127.0.0.1:{stage.canary_port}/mcp", "control": True}],
        [{"name": "kept", "target": "gateway", "drill_in_flight": LOAD, "connection": "reused", **SLOW},
         {"name": "fresh", "target": "gateway", "drill_in_flight": LOAD, "connection": "new", **SLOW},
         {"name": "echo", "target": "gateway", **QUICK},
         {"name": "sum", "target": "gateway", "tool": "sum", "arguments": {"a": 20, "b": 22}, "expect": "42",
          "interval": "500ms", **CALL},
         {"name": "control", "target": "direct", **QUICK}])
    labs.wait_until(lambda: any(e["tool"] == "hold" and e["event"] == "end" for e in stage.executions()), 40,
                    "a slow call is executed to its end")


def drill(stage, and_then):
    """The drill, whose command offers one tool more; the verdict's only change, and the truth about broken calls."""
    command = f"mv {stage.folder}/tools.new {stage.folder}/tools{and_then}"
    status = stage.lab.finish_drill(stage.lab.drill(stage, "sh", "-c", command))
    verdict = stage.lab.settled_verdict("config-safety", stage.name, bound=60)
    stage.end_calls()
    broken = {n: call for n, call in compare.Truth(stage.truth_file).calls.items() if "broken" in call}
    return status, verdict, broken


def contradictions(verdict, wanted, broken, lost):
    """Lines, none when the verdict is the wanted one and names just these calls, each with its reading."""
    if verdict["verdict"] != wanted:
        yield f"the verdict is {verdict['verdict']}, not {wanted}: {verdict['reason']}"
    for nonce in set(broken) ^ set(lost):
        yield f"{nonce} was {'broken and is not named' if nonce in broken else 'named and not broken'}"
    for nonce in set(broken) & set(lost):
        reading = READINGS.get(broken[nonce]["fault"], "dropped")
        if lost[nonce]["reading"] != reading:
            yield f"{nonce} ({broken[nonce]['fault']}) reads {lost[nonce]['reading']}, not {reading}"


def describe(verdict, broken):
    (change,) = verdict["changes"]
    measured = change["measured"]
    print(f"{verdict['verdict']}: {measured['in_flight']} calls in flight, {len(broken)} broken, "
          f"{measured['dropped']} dropped, {measured['interrupted']} interrupted", flush=True)
    return {call["call"]: call for call in change["lost"]}


def judge_broken(stage, seed):
    start(stage, seed)
    status, verdict, broken = drill(stage, f" && kill -USR1 {stage.proxy.popen.pid}")
    lines = [] if status == 1 and len(broken) == BREAKS else [f"exit status {status}, {len(broken)} calls broken"]
    lines += contradictions(verdict, "FAIL", broken, describe(verdict, broken))
    return {"a change with calls broken in it fails and names just these": lines}


def judge_quiet(stage, seed):
    start(stage, seed)
    stage.proxy.popen.send_signal(signal.SIGUSR1)  # long before the change
    stages.settle(2 * HOLD)
    status, verdict, broken = drill(stage, "")
    lines = [] if status != 1 and broken else [f"exit status {status}, {len(broken)} calls broken before"]
    lines += contradictions(verdict, "PASS", {}, describe(verdict, broken))
    return {"a change passes in which nothing is broken, whatever was broken before": lines}
