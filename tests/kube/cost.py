"""What agents at rest ask of the API server: requests and bytes a minute, of one agent and of a stage of three, with
and without a Lease; and that an agent without the Lease asks for what belongs to its node only.

Bytes are those of HTTP, heads and bodies, both ways; TLS adds about 22 a record.
"""
import time

import churn
import world as worlds

WARM = 20  # seconds after the start that do not count
DOORS = ("a", "b", "c")
NODES = dict(zip(DOORS, ("n1", "n2", "n3")))
# Of a minute, by what is run: requests, bytes both ways. The lab's 1.20 sends no bookmarks to quiet watches, so that
# each is asked for once a minute; API servers that do are asked a fifth to a tenth as often.
ALONE, STAGE, FOLLOWER = (35, 60_000), (75, 300_000), (12, 60_000)
NODE_SCOPED = ("pods", "endpoints", "leases")


class Count:
    """What one stage of agents did in a time."""

    def __init__(self, name, world, seconds):
        self.name, self.minutes = name, seconds / 60
        proxy = world.proxy
        before, mark = (proxy.requests.copy(), proxy.bytes.copy()), len(proxy.log)
        time.sleep(seconds)  # time itself is what is measured
        self.requests, self.bytes = proxy.requests - before[0], proxy.bytes - before[1]
        self.entries = proxy.log[mark:]

    def rows(self, doors):
        for door in doors:
            yield door, self.row([door])
        yield "stage", self.row(doors)

    def row(self, doors):
        asked = {}
        for (door, source, how), n in self.requests.items():
            if door in doors:
                asked[f"{source} {how}"] = asked.get(f"{source} {how}", 0) + n
        total = sum(asked.values()) / self.minutes
        both = [sum(self.bytes[door, way] for door in doors) / self.minutes for way in ("in", "out")]
        return total, *both, ", ".join(f"{what} {n}" for what, n in sorted(asked.items()))


def dear(name, row, limit):
    """Lines: a row that is over its limit."""
    requests, received, sent, _ = row
    return [] if requests <= limit[0] and received + sent <= limit[1] else [
        f"{name}: {requests:.1f} requests and {received + sent:.0f} bytes a minute, more than {limit[0]} and {limit[1]}"]


def over_limits(count, world, doors, lease):
    if len(doors) == 1:
        return dear("one agent", count.row(doors), ALONE)
    if not lease:
        return dear("each agent without a Lease", count.row(doors[:1]), ALONE)
    followers = [door for door in doors if door not in holders(world, doors)]
    return dear("the stage", count.row(doors), STAGE) + [
        line for door in followers for line in dear("an agent without the Lease", count.row([door]), FOLLOWER)]


def fill(world):
    """A stage as the product makes it: some objects of each kind."""
    for letter in "abcd":
        world.churn.step(letter, [k for k in churn.KINDS if k.source != "pods"])


def start(world, doors):
    for door in doors:
        world.start_agent(door, NODES[door])
    worlds.labs.wait_until(lambda: all(
        any(e.request.watch and e.status == 200 and e.request.door == door for e in world.proxy.log) for door in doors),
        60, "the agents watch")
    time.sleep(WARM)  # what is done once, is over


def holders(world, doors):
    """The agents that watch the stage's objects."""
    return [door for door in doors if any(
        e.request.door == door and e.request.watch and e.request.source not in NODE_SCOPED for e in world.proxy.log)]


def node_scoped(world, doors):
    """Lines that tell of what an agent without the Lease asked beyond its node."""
    holding = holders(world, doors)
    lines = [] if len(holding) == 1 else [f"{len(holding)} agents watch the stage's objects: {holding}"]
    for entry in world.proxy.log:
        request = entry.request
        if request.door in holding or not (request.watch or request.list):
            continue
        if request.source not in NODE_SCOPED:
            lines.append(f"{NODES[request.door]} without the Lease asked for {request.target}")
        elif request.source == "pods" and f"spec.nodeName={NODES[request.door]}" not in request.query.get(
                "fieldSelector", ""):
            lines.append(f"{NODES[request.door]} asked for pods of other nodes: {request.target}")
    return lines


def run_stage(folder, name, doors, lease, seconds):
    """(name, what, wrong, took) as a case has it; prints its rows."""
    begun = time.monotonic()
    world = worlds.World(folder / name.replace(" ", "-").replace(",", ""), doors, lease)
    try:
        fill(world)
        start(world, doors)
        count = Count(name, world, seconds)
        wrong = over_limits(count, world, doors, lease) + (node_scoped(world, doors) if lease else [])
        for who, (requests, received, sent, what) in count.rows(doors):
            print(f"| {name} | {who} | {requests:.1f} | {received:.0f} | {sent:.0f} | {what} |", flush=True)
        lists = [e for e in count.entries if e.request.list]
        wrong += [f"lists at rest: {lists[0].request.target}"] if lists else []
    finally:
        world.close()
    for line in wrong:
        print(f"FALSE {name}: {line}", flush=True)
    return ("Cost", name, wrong, time.monotonic() - begun)


def measure(folder, seconds):
    print(f"API cost at rest, a minute, over {seconds} s",
          "| what | who | requests | bytes asked | bytes answered | requests in all |", "|---|---|---|---|---|---|",
          sep="\n", flush=True)
    return [run_stage(folder, "one agent", DOORS[:1], "", seconds),
            run_stage(folder, "three agents", DOORS, "", seconds),
            run_stage(folder, "three agents with a Lease", DOORS, "pilotgate-agent", seconds)]
