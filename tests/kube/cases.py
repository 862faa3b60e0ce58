"""The cases: each harms the way between agent and API server, while objects of the stage are made, changed and deleted.

After each, `Case.judge` compares the agent's picture with the cluster's, looks for what was told twice, and for writes
of which nothing was told: these must lie in a declared gap, and where no history was lost there is none.
"""
import harms
import picture as pictures
from case import STRIKE, Case, Lossy, gone, wait
from churn import KINDS
from world import Wrong

RETRY_AFTER = 4


def throttled(what):
    return harms.Answer(what, 429, harms.status(429, "TooManyRequests", "too many requests"), times=1,
                        fields={"Retry_After": RETRY_AFTER})


class Undisturbed(Case):
    """nothing is harmed: the comparison itself"""

    def play(self):
        self.churn.steps(6, pause=0.05)

    def judge(self):
        super().judge()
        self.expect_no_lists()
        if not self.w.streaming:
            self.expect_streams_refused()

    def expect_streams_refused(self):
        """The lab's API server is older than streaming lists: it says so, and nobody asks it again."""
        asked = [e for e in self.proxy.log if e.request.streamed]
        if not asked or {e.status for e in asked} != {422}:
            raise Wrong(f"requests for a streaming list were answered with {sorted({e.status for e in asked})}")
        if len({e.request.target.split("timeoutSeconds")[0] for e in asked}) < len(asked):
            raise Wrong("a streaming list was asked for again after it was refused")
        self.said.append(f"{len(asked)} streaming lists refused with 422")


class Lines(Case):
    """A fault at a line of each watch, several times; the watch goes on from where it was."""
    fault, times = None, 2

    def play(self):
        self.under(self.fault(times=self.times), times=self.times)

    def judge(self):
        super().judge()
        self.expect_no_lists()


class CutInLine(Lines):
    """watch cut in the middle of a line"""
    fault = harms.CutInLine


class EndInLine(Lines):
    """watch ended in order in the middle of a line"""
    fault = harms.EndInLine


class CutBetween(Lines):
    """watch cut between lines"""
    fault = harms.CutBetween


class EndBetween(Lines):
    """watch ended in order between lines, as by timeoutSeconds"""
    fault = harms.EndBetween


class Duplicates(Lines):
    """every line twice"""
    fault, times = harms.Twice, 4


class GoneEvent(Lossy):
    """410 as ERROR event in a watch"""

    def play(self):
        self.under(harms.GoneEvent(times=1))

    def judge(self):
        super().judge()
        self.expect_lists()


class GoneStatus(Lossy):
    """410 as status of a watch"""
    steady = True

    def play(self):
        self.under(gone(), cut=True)

    def judge(self):
        super().judge()
        self.expect_lists()


class GoneAfterGap(Lossy):
    """unreachable while objects change to and fro, then 410: the gap is declared"""
    steady = True

    def play(self):
        away = harms.Answer("any", 503, b"away", "text/plain")
        self.proxy.harm(away)
        self.proxy.cut()
        self.churn.while_it(self.struck(away, times=2), STRIKE)
        self.churn.steps(8)  # each object made, changed and deleted, so that no list can tell it
        self.under(gone())

    def judge(self):
        super().judge()
        if not pictures.missing(self.churn.writes[self.writes:], self.w.seen):
            raise Wrong("the test lost nothing: it shows nothing")


class Throttled(Case):
    """429 with Retry-After, which is honoured"""

    def play(self):
        self.under(throttled("watch"), cut=True)
        self.churn.while_it(self.all_back, STRIKE)

    def all_back(self):
        return all(self.waits(source) for source in pictures.SOURCES)

    def waits(self, source):
        """Seconds from each 429 to the next request of the collection."""
        entries = self.requests(source)
        return [after.at - entry.ended for entry, after in zip(entries, entries[1:]) if entry.status == 429]

    def judge(self):
        super().judge()
        waits = [wait for source in pictures.SOURCES for wait in self.waits(source)]
        self.said.append(f"Retry-After: {RETRY_AFTER}; waited {min(waits):.1f} to {max(waits):.1f} s")
        if min(waits) < RETRY_AFTER:
            raise Wrong(f"Retry-After: {RETRY_AFTER}, and the next request came after {min(waits):.2f} s")
        if max(waits) > RETRY_AFTER * 1.25 + 5:
            raise Wrong(f"Retry-After: {RETRY_AFTER}, and the next request came only after {max(waits):.2f} s")


class ThrottledList(Throttled):
    """429 with Retry-After to lists"""
    lossy = True

    def play(self):
        self.relist(throttled("list"))
        self.churn.while_it(self.all_back, STRIKE)


class Errors(Case):
    """500, 502, 503 and 504 to every watch"""

    def play(self):
        self.under(harms.Errors("watch"), times=4, cut=True)

    def judge(self):
        super().judge()
        self.expect_calm()
        self.expect_no_lists()


class ErrorsOfLists(Lossy):
    """500, 502, 503 and 504 to every list"""

    def play(self):
        self.relist(harms.Errors("list", times=3), times=3)

    def judge(self):
        super().judge()
        self.expect_calm()


class Dripping(Lossy):
    """lists and watches byte by byte"""

    def play(self):
        self.relist(harms.Drip(), times=2, bound=90)
        self.churn.steps(1)


class Garbage(Lossy):
    """lines that are no JSON, and a list that is a page in HTML"""

    def play(self):
        self.under(harms.GarbageLine(times=1))
        self.relist(harms.Answer("list", 200, b"<html>Please log in</html>", "text/html", times=1))


class SilentConnect(Case):
    """connections are taken, and nothing comes, not even a hello of TLS"""

    def play(self):
        fault = harms.Mute()
        self.proxy.harm(fault)
        self.proxy.cut()
        self.churn.while_it(lambda: fault.struck["accepted"] >= 2 * len(pictures.SOURCES), 120, pause=0.5)


class SilentWatch(Case):
    """watch requests are read and never answered"""

    def play(self):
        self.under(harms.Silent("watch", times=1), cut=True)
        self.churn.while_it(self.asked_again, 150, pause=0.5)

    def asked_again(self):
        return all(len(self.requests(source, watch=True)) >= 2 for source in pictures.SOURCES)

    def judge(self):
        super().judge()
        silent = [e.ended - e.at for e in self.requests(watch=True) if e.fault == "Silent" and e.ended]
        self.said.append(f"given up after {min(silent):.0f} to {max(silent):.0f} s")


class HungWatch(Case):
    """watches stay open, and nothing comes any more"""

    def play(self):
        fault = harms.HangInWatch(times=1)
        self.under(fault)
        self.churn.while_it(lambda: all(self.begun_anew(fault, s) for s in pictures.SOURCES), 240, pause=1)
        took = [self.begun_anew(fault, s)[0].at - fault.since[s] for s in pictures.SOURCES]
        self.said.append(f"begun anew after {min(took):.0f} to {max(took):.0f} s")

    def begun_anew(self, fault, source):
        return [e for e in self.requests(source, watch=True) if e.at > fault.since[source]]

    def judge(self):
        super().judge()
        self.expect_no_lists()


class RotatedToken(Case):
    """the token is rotated and the old one refused by the API server, while watches end"""

    def play(self):
        old, number = self.w.token, len(self.proxy.log)
        self.control.delete("Secret", f"token-{self.w.tokens}")
        wait(lambda: not self.control.is_valid(old), 60, "the old token is refused")
        self.proxy.cut()
        wait(lambda: self.requests(status=401), 30, "the agent is refused")
        self.churn.steps(2)
        self.w.tokens += 1
        self.w.rotate(f"token-{self.w.tokens}")
        self.churn.while_it(lambda: all(self.requests(s, watch=True, status=200) for s in pictures.SOURCES), 90, 0.3)
        self.said.append(f"{len([e for e in self.proxy.since(number) if e.status == 401])} answers of 401")


class WrongCertificate(Case):
    """a server with another certificate gets no request, and no token"""

    def play(self):
        self.proxy.context = "wrong"
        try:
            before = dict(self.proxy.handshakes)
            self.proxy.disconnect()
            number = len(self.proxy.log)
            self.churn.while_it(lambda: self.proxy.handshakes["a"] >= before["a"] + 2 * len(pictures.SOURCES), 60, 0.2)
            if self.proxy.log[number:]:
                raise Wrong(f"asked a server of another CA: {self.proxy.log[number].request.target}")
        finally:
            self.proxy.context = "right"


class Replayed(Lossy):
    """after a list the watch tells old events again, those of different objects in another order"""
    again = 2  # what comes again is told again: a resourceVersion has no order that a client may rely on

    def play(self):
        positions = harms.Positions()
        self.under(positions, times=harms.Older.SWAPPED)
        self.relist(harms.Count("list"))
        self.under(harms.Older(positions.first), times=harms.Older.SWAPPED, cut=True)


class LostContinue(Lossy):
    """the API server compacts in the middle of a list of pages: its answer to the next page is 410"""
    streaming = False
    NAMES = [f"many-{i}" for i in range(300)]

    def play(self):
        for name in self.NAMES:
            self.control.create("ConfigMap", {"metadata": {"name": name}, "data": {"n": name}})
        self.w.settle()
        held = harms.Held("configmaps")
        self.relist(held, sources=["configmaps"])
        for name in self.NAMES[::2]:
            self.control.delete("ConfigMap", name)
        self.churn.steps(2)
        self.control.compact()
        held.release(self.proxy.loop)
        wait(lambda: self.requests("configmaps", status=410), 30, "the position is refused")

    def run(self):
        try:
            super().run()
        finally:
            for name in self.NAMES[1::2]:
                self.control.ask("DELETE", self.control.path("ConfigMap", name))


class LargeList(Lossy):
    """a list of 50 MB, in pages or as a stream: memory stays bounded"""
    SIZE, N = 900_000, 60
    GROWTH = 12 << 10  # KiB over what the agent had before there were such objects; one and its parsed forms, no list

    def fault(self):
        return harms.Count("list", sources=["configmaps"])

    def play(self):
        before = self.w.reset_peak()
        for i in range(self.N):
            self.control.create("ConfigMap", {"metadata": {"name": f"large-{i}"},
                                              "data": {"x": f"{i:06}" * (self.SIZE // 6)}})
        self.w.settle(120)
        self.w.reset_peak()
        self.mark = len(self.proxy.log)
        out = self.proxy.bytes["a", "out"]
        self.relist(self.fault(), sources=["configmaps"])
        wait(lambda: self.requests("configmaps", watch=True, status=200), 120, "a watch after the list")
        self.measure(before, out)

    def measure(self, before, out):
        wait(lambda: self.proxy.bytes["a", "out"] - out >= 50e6, 120, "50 MB")  # a stream begins before it is told
        out = self.proxy.bytes["a", "out"] - out
        self.churn.steps(1)
        self.w.settle(120)
        peak, after = self.w.peak()
        self.said.append(f"{out / 1e6:.0f} MB answered; RSS {before} KiB before, {peak} KiB at most, {after} KiB after")
        if peak > before + self.GROWTH:
            raise Wrong(f"RSS rose from {before} to {peak} KiB, more than {self.GROWTH} KiB more")

    def run(self):
        try:
            super().run()
        finally:
            for i in range(self.N):
                self.control.ask("DELETE", self.control.path("ConfigMap", f"large-{i}"))
            self.w.settle()


class LargeAnswer(LargeList):
    """the same list in one answer, as `limit` is ignored: memory stays bounded"""
    streaming = False

    def fault(self):
        return harms.NoLimit(["configmaps"])


class WideLine(Lossy):
    """a watch line longer than any object may be, and one without end"""
    GROWTH = 12 << 10

    def play(self):
        before = self.w.reset_peak()
        self.under(harms.WideLine(18 << 20, times=1, sources=["configmaps"]), sources=["configmaps"])
        self.under(harms.WideLine(1, endless=True, times=1, sources=["services"]), sources=["services"])
        self.churn.while_it(lambda: self.requests("services", status=200), 120, pause=0.5)
        self.w.settle()
        peak, after = self.w.peak()
        self.said.append(f"RSS {before} KiB before, {peak} KiB at most, {after} KiB after")
        if peak > before + self.GROWTH:
            raise Wrong(f"RSS rose from {before} to {peak} KiB, more than {self.GROWTH} KiB more")


class Restarted(Lossy):
    """the API server is killed and started again, with writes at once; for real"""

    def play(self):
        for _ in range(2):
            self.churn.steps(2)
            self.control.apiserver.kill()
            self.control.start()
            self.churn.steps(3)


class Swallowed(Case):
    """the test of the test: an event never comes, and the comparison tells it"""

    def run(self):
        configmaps = [k for k in KINDS if k.source == "configmaps"]
        self.churn.step("z", configmaps)
        self.w.settle()
        fault = harms.Swallow(times=1, sources=["configmaps"])
        self.proxy.harm(fault)
        self.churn.step("z", configmaps)
        self.churn.step("y", configmaps)
        wait(lambda: "ConfigMap/configmaps-y" not in str(self.w.differences()), 30, "what follows is told")
        self.proxy.harm(None)
        lines = self.w.differences()
        write = self.churn.writes[-2]
        if len(lines) != 1 or write.name not in lines[0]:
            raise Wrong(f"one event was swallowed, and the comparison says: {lines or 'nothing'}")
        if not pictures.undeclared([write], self.w.seen):
            raise Wrong("one event was swallowed, and nobody misses it")
        self.said.append(lines[0])
        self.churn.step("z", configmaps)
        self.w.settle()


CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
UNSERVED = "the API server does not serve it"


class CustomResource(Case):
    """a custom resource whose API is installed, moves to another version, and is taken away, for real"""
    SOURCE, KIND = "widgets.example.com", "Widget.example.com"
    FOUND = 180  # seconds until an API that was installed is seen: /apis is asked for each minute

    def versions(self, *names):
        """The first is stored; none but these is served."""
        return [{"name": name, "served": name in names, "storage": name == names[0], "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True}}} for name in ("v1beta1", "v1")]

    def told(self):
        return [o["op"] for o in self.w.look().objects if o["kind"] == self.KIND]

    def source(self):
        return self.w.look().sources.get(self.SOURCE)

    def widgets(self, version):
        return f"/apis/example.com/{version}/namespaces/{self.control.ns}/widgets"

    def is_served(self, version):
        return self.control.ask("GET", self.widgets(version))[0] == 200

    def run(self):
        wait(lambda: self.source() == ("", True, UNSERVED), 60, f"coverage says that it is not served: {self.source()}")
        self.control.want("POST", CRD, {"metadata": {"name": self.SOURCE}, "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": self.versions("v1beta1"),
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}}})
        wait(lambda: self.is_served("v1beta1"), 30, "the API server serves it")
        self.control.want("POST", self.widgets("v1beta1"), {
            "apiVersion": "example.com/v1beta1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}})
        wait(lambda: self.told()[:1] in (["LISTED"], ["ADDED"]), self.FOUND, "what was installed is found")
        wait(lambda: self.source() == (self.KIND, True, ""), 30, "coverage names its kind")
        self.move()
        self.control.want("DELETE", f"{CRD}/{self.SOURCE}")
        wait(lambda: self.source() == (self.KIND, True, UNSERVED), self.FOUND, f"it is not served: {self.source()}")
        if self.told()[1:] != ["MODIFIED", "DELETED"]:
            raise Wrong(f"of one object that was made, changed and deleted these were told: {self.told()}")
        self.w.settle()

    def move(self):
        """To v1 alone; it is changed there, and was never away."""
        self.control.want("PATCH", f"{CRD}/{self.SOURCE}", {"spec": {"versions": self.versions("v1")}},
                          kind="application/merge-patch+json")
        wait(lambda: self.is_served("v1") and not self.is_served("v1beta1"), 30, "the API server serves v1 alone")
        self.control.want("PATCH", self.widgets("v1") + "/w", {"spec": {"size": 2}},
                          kind="application/merge-patch+json")
        wait(lambda: len(self.told()) > 1, self.FOUND, "it is told in its new version")
        self.said.append(f"in another version it was told as {self.told()[1:]}")


CASES = [CustomResource, Undisturbed, Swallowed, CutInLine, EndInLine, CutBetween, EndBetween, Duplicates, GoneEvent, GoneStatus,
         GoneAfterGap, Throttled, ThrottledList, Errors, ErrorsOfLists, Dripping, Garbage, SilentConnect, SilentWatch,
         HungWatch, RotatedToken, WrongCertificate, Replayed, LostContinue, LargeList, LargeAnswer, WideLine, Restarted]
