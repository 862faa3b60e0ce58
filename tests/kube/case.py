"""What all cases share: play one, wait until the pictures are one, and judge."""
import time

import harms
import picture as pictures
from world import Wrong

STRIKE = 60  # seconds in which a fault must have struck each collection
TELLING = 20  # seconds until what the picture does not show is told as well
CATCH_UP = 8  # seconds after which a watch has surely told what it had to catch up with
BEFORE = 5  # seconds by which a gap may begin before what made it
CALM = 8  # requests of one collection in ten seconds


def wait(condition, bound, what):
    end = time.monotonic() + bound
    while not condition():
        if time.monotonic() > end:
            raise Wrong(f"gave up after {bound} s: {what}")
        time.sleep(0.1)


def gone(**options):
    return harms.Answer("watch", 410, harms.status(410, "Expired", harms.GONE), times=1, **options)


class Case:
    """One case on a world. lossy: history is lost, so that a gap may, or must, be declared."""
    lossy = False
    steady = False  # watches have held for a while when it begins, so that a gap can begin where they broke
    streaming = True  # may be played where lists are streaming ones
    again = 1  # how often one state may be told, as documented: once

    def __init__(self, world):
        self.w, self.proxy, self.churn, self.control = world, world.proxy, world.churn, world.control
        self.said = []  # what is to be shown

    def __str__(self):
        return (type(self).__doc__ or type(self).__name__).split("\n", maxsplit=1)[0]

    def play(self):
        raise NotImplementedError

    def struck(self, fault, sources=pictures.SOURCES, times=1):
        return lambda: all(fault.struck[source] >= times for source in sources)

    def relist(self, fault, sources=pictures.SOURCES, **options):
        """Each of these lists again, and meets the fault."""
        self.under(harms.Both(gone(sources=sources), fault), sources, cut=True, **options)

    def under(self, fault, sources=pictures.SOURCES, times=1, bound=STRIKE, cut=False):
        """Writes go on until the fault has struck each of these collections so often. cut: watches are begun anew."""
        self.proxy.harm(fault)
        if cut:
            self.proxy.cut(lambda request: request.watch and request.source in sources)
        try:
            self.churn.while_it(self.struck(fault, sources, times), bound)
        except AssertionError as late:
            left = {s: fault.struck[s] for s in sources if fault.struck[s] < times}
            raise Wrong(f"{fault.name} did not strike {left}: {late}") from None

    def run(self):
        if self.steady:
            self.churn.while_it(lambda end=time.monotonic() + CATCH_UP: time.monotonic() > end, 2 * CATCH_UP)
        self.writes, self.mark, self.begun = len(self.churn.writes), len(self.proxy.log), time.time()
        self.objects, self.losses = self.w.look().marked()
        try:
            self.play()
            self.churn.steps(1)
        finally:
            self.proxy.harm(None)
        took = self.w.settle()
        self.said.append(f"{len(self.churn.writes) - self.writes} writes, one picture after {took:.1f} s")
        self.judge()

    def judge(self):
        seen, writes = self.w.seen, self.churn.writes[self.writes:]
        lines = self.left_untold(writes)
        gaps = pictures.unwatched(seen.losses[self.losses:])
        lines += [f"{state[1]}/{state[2]} ({state[4]}) was told {n} times" for state, n in
                  pictures.doubled(seen.objects[self.objects:]).items() if n > self.again]
        if not self.lossy:
            lines += [f"a gap was declared though no history was lost: {gap}" for gap in gaps]
        if self.steady:
            lines += [f"a gap is wider than it need be: {gap}" for gap in gaps if gap["from"] < self.begun - BEFORE]
        lost = pictures.missing(writes, seen)
        if self.lossy:
            self.said.append(f"{len(lost)} writes untold, {len(gaps)} gaps declared"
                             + (f", of {min(g['to'] - g['from'] for g in gaps):.1f} to "
                                f"{max(g['to'] - g['from'] for g in gaps):.1f} s" if gaps else ""))
        if lines:
            raise Wrong("; ".join(lines[:6]) + (f"; and {len(lines) - 6} more" if len(lines) > 6 else ""))

    def left_untold(self, writes):
        """The pictures may be one before all that led there was told."""
        end = time.monotonic() + TELLING
        while (lines := pictures.undeclared(writes, self.w.look())) and time.monotonic() < end:
            time.sleep(0.3)
        return lines

    # ---- what several need

    def requests(self, source=None, **wanted):
        """Log entries of this case: status=429, watch=True ..."""
        return self.proxy.since(self.mark, lambda e: (source is None or e.request.source == source) and all(
            (getattr(e, k) if hasattr(e, k) else getattr(e.request, k)) == v for k, v in wanted.items()))

    def expect_lists(self, sources=pictures.SOURCES):
        """Each was listed again, from the beginning."""
        for source in sources:
            if not [e for e in self.requests(source, list=True) if "continue" not in e.request.query]:
                raise Wrong(f"{source} was not listed again")

    def expect_no_lists(self):
        if self.lists():
            raise Wrong(f"listed again without need: {self.lists()}")

    def lists(self):
        return sorted({e.request.source for e in self.requests(list=True)} & set(pictures.SOURCES))

    def expect_calm(self):
        """No collection was asked for in a hot loop."""
        for source in pictures.SOURCES:
            at = [e.at for e in self.requests(source)]
            worst = max((sum(1 for b in at if a <= b < a + 10) for a in at), default=0)
            if worst > CALM:
                raise Wrong(f"{source}: {worst} requests in ten seconds")


class Lossy(Case):
    """History is lost in it."""
    lossy = True
