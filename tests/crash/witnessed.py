"""What nobody witnessed, and what was lost: computed from the truth, and as the judge tells it (`pilotgate changes
-o json`). What a Loss record says was compared with the truth before."""
import datetime
import itertools
import json
import time

from world import wait_until

SECOND = 1_000_000_000
NEAR = SECOND // 4  # between truth and judge: clocks are bounded by less ...
WIDE = 5 * SECOND  # ... but around a process that was stopped: there the judge tells a loss as that much longer, never as shorter
LONGEST_WINDOW = 60  # seconds
EDGE = SECOND // 10  # a silence so near to the rubric's coverage_gap may be told or not


def true_spans(lives, remaining, stage, node, gap):
    """[(from, to, sure)] of a node, from the records that remain. A lifetime without Bye is unwitnessed from its last coverage of calls to its
    successor's first; so is a silence longer than `gap`."""
    ticks = sorted((r.wall, life.boot, r.speaks == "bye") for life in lives.values()
                   for seq, r in life.appended.items() if seq in remaining[life.boot] and (life.stage, life.node) == (stage, node) and r.speaks in ("calls", "bye"))
    last_of = {boot: wall for wall, boot, _ in ticks}
    ordered = {boot for _, boot, bye in ticks if bye}
    spans = []
    for (wall, boot, _), (after, _, _) in itertools.pairwise(ticks):
        died = last_of[boot] == wall and boot not in ordered
        if after > wall and (died or after - wall > gap - EDGE):
            spans.append((wall, after, died or after - wall > gap + EDGE))
    return spans


def time_of(text):
    whole, _, part = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return int(seconds) * SECOND + int(part.ljust(9, "0")[:9] or 0)


def judged(world):
    """What the judge says of the changes once all their windows are over: of what is younger it says less."""
    changes = json.loads(world.ask("changes", "-o", "json"))
    over = max((time_of(c["window_to"]) for c in changes), default=0)
    wait_until(lambda: time.time_ns() > over, LONGEST_WINDOW, "the windows of the changes end")
    return json.loads(world.ask("changes", "-o", "json"))


def told_spans(changes, stage):
    """(window's begin, window's end, [(node, from, to)]) of the one change of a stage, or None."""
    here = [c for c in changes if c["stage"] == stage]
    if len(here) != 1:
        return None
    c = here[0]
    return (time_of(c["begin"]), time_of(c["window_to"]),
            [(s["node"], time_of(s["from"]), time_of(s["to"])) for s in c["unwitnessed"]])


def compare(lives, remaining, changes, stage, node, gap):
    """Lines of what is wrong, and how many spans were compared."""
    told = told_spans(changes, stage)
    if told is None:
        return [f"{stage}: the judge tells of no change, or of several; one was made"], 0
    begin, end, spans = told
    wrong = []
    here = [(a, b) for n, a, b in spans if n == node]
    true = true_spans(lives, remaining, stage, node, gap)
    inside = [t for t in true if t[0] >= begin and t[1] <= end - gap]

    def has(span, others):
        return any(abs(span[0] - o[0]) < NEAR and abs(span[1] - o[1]) < NEAR for o in others)

    for span in inside:
        if span[2] and not has(span, here):
            wrong.append(f"{stage} {node}: unwitnessed from {span[0]} to {span[1]}, and the judge does not tell it")
    for span in here:
        if span[0] > begin and span[1] < end and not has(span, true):
            wrong.append(f"{stage} {node}: told unwitnessed from {span[0]} to {span[1]}, and it was witnessed")
    if any(n != node for n, _, _ in spans):
        wrong.append(f"{stage}: spans of other nodes than its own: {spans}")
    return wrong, len(inside)


def compare_losses(streams, changes, stage, node):
    """Lines of what is wrong: the judge tells of each loss inside the window, with its count and time."""
    here = next((c for c in changes if c["stage"] == stage), None)
    if here is None:
        return []
    begin, end = time_of(here["begin"]), time_of(here["window_to"])
    told = [(m["records"], time_of(m["from"]), time_of(m["to"])) for m in here["missing"] if m["node"] == node]
    wrong = []
    for stream in streams.values():
        for _, records, start, stop, _ in stream.losses.values() if (stream.stage, stream.node) == (stage, node) else ():
            if start > begin and stop < end and not any(
                    n == records and start - WIDE < a < start + NEAR and stop - NEAR < b < stop + WIDE for n, a, b in told):
                wrong.append(f"{stage} {node}: {records} records lost from {start} to {stop}, and the judge does not tell it")
    return wrong
