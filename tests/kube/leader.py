"""The agent that holds the Lease is killed again and again while objects change: no write is lost, or the gap is
declared; the history is kept, so that none need be declared, until the last time, when the API server forgets it.

A real API server, two agents, and a third as each comes back. Every other time the holder's spool goes with it, so
that what it had not delivered is gone.
"""
import shutil
import time

import churn
import picture as pictures
import world as worlds

DOORS = ("a", "b")
LEASE = "elected"
BUSY = 3  # seconds of writes before each kill
TAKEN = 60  # seconds in which another one must hold it
KINDS = [kind for kind in churn.KINDS if kind.source != "pods"]  # those are each node's own


class Stage:
    def __init__(self, folder):
        self.w = worlds.World(folder / "leader", DOORS, LEASE)
        self.lives = dict.fromkeys(DOORS, 0)
        self.turn = 0

    def start(self, door):
        self.lives[door] += 1
        self.w.start_agent(door, f"node-{door}")

    def holder(self):
        status, lease = self.w.control.ask(
            "GET", f"/apis/coordination.k8s.io/v1/namespaces/{worlds.STAGE}/leases/{LEASE}")
        return lease["spec"].get("holderIdentity", "") if status == 200 else ""

    def is_watched(self):
        """Its first lists are over."""
        watched = {e.request.source for e in self.w.proxy.log if e.request.watch and e.status == 200}
        return self.holder() and {kind.source for kind in KINDS} <= watched

    def change(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.w.churn.step("ab"[self.turn % 2], KINDS)
            self.turn += 1
            time.sleep(0.2)

    def change_until(self, condition, bound, what):
        end = time.monotonic() + bound
        while not condition():
            if time.monotonic() > end:
                raise worlds.Wrong(f"gave up after {bound} s: {what}")
            self.change(0.5)

    def kill(self, compact):
        """The holder at once; returns how long another one took to hold it."""
        self.change(BUSY)
        was = self.holder()
        door = was.removeprefix("node-")[:1]
        self.w.agents[door].kill()
        if self.turn % 2:
            shutil.rmtree(self.w.folder / f"spool-{door}")
        begun = time.monotonic()
        if compact:
            self.change(2)
            self.w.control.compact()
        self.change_until(lambda: self.holder() not in ("", was), TAKEN, "another agent holds the Lease")
        took = time.monotonic() - begun
        self.start(door)
        return took

    def untold(self):
        """Once all is told, or after the time that it may take."""
        end = time.monotonic() + worlds.SETTLE
        while (lines := pictures.undeclared(self.w.churn.writes, self.w.look())) and time.monotonic() < end:
            time.sleep(0.5)
        return lines


def check(stage, kills):
    took = []
    for n in range(kills):
        took.append(stage.kill(compact=False))
    stage.change(BUSY)
    wrong = stage.untold()
    gaps = pictures.unwatched(stage.w.seen.losses)
    wrong += [f"a gap was declared though no history was lost: {gap}" for gap in gaps]
    print(f"      {kills} kills: {len(stage.w.churn.writes)} writes, {len(stage.w.seen.objects)} records; another agent "
          f"held the Lease after {', '.join(f'{t:.0f}' for t in took)} s", flush=True)
    stage.kill(compact=True)
    stage.change(BUSY)
    wrong += stage.untold()
    gaps = pictures.unwatched(stage.w.seen.losses)
    wrong += [] if gaps else ["no gap was declared though the history was lost"]
    print(f"      history lost: {len(pictures.missing(stage.w.churn.writes, stage.w.seen))} writes untold, "
          f"{len(gaps)} gaps declared", flush=True)
    return wrong


def measure(folder, kills):
    begun, stage = time.monotonic(), Stage(folder)
    try:
        for door in DOORS:
            stage.start(door)
        worlds.labs.wait_until(stage.is_watched, TAKEN, "an agent holds the Lease and watches the stage")
        wrong = check(stage, kills)
    finally:
        stage.w.close()
    what = f"the holder of the Lease killed {kills + 1} times: no write is lost, or its gap is declared"
    print(f"{'FALSE' if wrong else 'true':5} Leader           {what}", *(f"      {line}" for line in wrong[:6]), sep="\n",
          flush=True)
    return [("Leader", what, wrong, time.monotonic() - begun)]
