"""One round: a world, actions drawn at random, then everything is mended, ends in order, and is compared."""
import collections
import random
import re
import shutil
import signal
import subprocess
import time

import compare
import witnessed
from world import TOP, World, Wrong, wait_until

SETTLE = 60
FIRST_COVERAGE = 1.2
TRIES = 6  # for each point that chance left out
PASSED = 3  # seconds in which it is passed after what passes it
TWINS = 75  # seconds; INGEST_TWINS_S is 60
# Points that no round passes, by prefix, and where they are killed.
LEFT_OUT = {"store-migrate-": "a store of an older version: tests/unit/store kills its migration",
            "store-delete-": "retention takes blocks of days: tests/unit/store kills it",
            "retain-": "likewise", "import-": "nothing is imported here"}


class Points:
    """Crash points: killed[name] counts; `kinds` says which program passes them."""

    def __init__(self):
        self.killed, self.kinds, self.actions = collections.Counter(), {}, {}

    def found(self, kind, name, action):
        if name not in self.kinds:
            self.kinds[name], self.actions[name] = kind, action

    def choose(self, kind, rng):
        """One of a kind: the one that killed least, or any, as some are hardly ever passed."""
        names = sorted(n for n, k in self.kinds.items() if k == kind)
        rng.shuffle(names)
        if names and rng.random() < 0.5:
            return names[0]
        return min(names, key=lambda n: self.killed[n], default=None)

    def missing(self):
        """What the long form must not leave: {name: why}."""
        names = {n: "passed, and never killed there" for n in self.kinds if not self.killed[n]}
        names.update({n: "passed, so LEFT_OUT is no longer true" for n in self.kinds if n.startswith(tuple(LEFT_OUT))})
        for name in points_in_sources() - set(self.kinds):
            if not any(name.startswith(prefix) for prefix in LEFT_OUT):
                names[name] = "never passed: add an action that does, or a reason to LEFT_OUT"
        return names


def points_in_sources():
    return {name for folder in ("agent", "collector") for path in (TOP / folder).rglob("*.c")
            for name in re.findall(r'CRASH_POINT\("([^"]+)"', path.read_text())}


class Round:
    def __init__(self, folder, seed, points, writers=3, interval_ms=12, listing=False, each=False, say=print):
        self.rng = random.Random(seed)
        self.folder, self.seed, self.points, self.listing, self.say = folder, seed, points, listing, say
        self.each = each  # in the end, the points that never killed yet
        self.begun = time.monotonic()
        self.kills, self.done = collections.Counter(), collections.Counter()
        folder.mkdir(parents=True)
        self.actions_log = (folder / "actions.log").open("w", buffering=1)
        self.world = World(folder / "world", writers, self.rng.randrange, interval_ms,
                           512 if each else self.rng.choice([512, 1024, 4096]))
        self.backup, self.causes, self.cloned, self.twin_truths = None, set(), False, set()
        self.wanted = None  # a point at which the next program of its kind shall end
        self.faults = []  # (when to end it, what ends it)

    def log(self, text):
        self.actions_log.write(f"{time.monotonic() - self.begun:8.3f} {text}\n")

    # ---- programs

    def armed(self, program):
        if self.listing:
            return "list"
        if self.wanted and self.points.kinds[self.wanted] == program.kind():
            return f"{self.wanted}:1"
        if self.rng.random() < 0.5:
            name = self.points.choose(program.kind(), self.rng)
            return name and f"{name}:{self.rng.choice([1, 1, 2, 5, 20, 60])}"
        return None

    def start(self, program, armed=None):
        self.log(f"start {program.name} {armed or ''}")
        program.begin(armed)

    def count(self, program, how):
        self.kills[how] += 1
        self.log(f"killed {program.name} ({how})")

    def kill(self, program):
        if program.kill():
            self.is_counted(program)
            self.count(program, "at random")

    def revive(self, arm=True):
        """What ended itself at a point is started again; anything else that ended is wrong."""
        for program in self.world.programs():
            if program.alive() or time.monotonic() < program.away_until:
                continue
            if program.popen is not None and program.popen.returncode not in (None, 0):
                self.look_at_end(program)
            self.start(program, self.armed(program) if arm or self.listing else None)

    def look_at_end(self, program):
        status = program.popen.returncode
        if status == -signal.SIGKILL:
            if program.armed and program.armed != "list" and not self.is_counted(program):
                name = program.armed.rsplit(":", 1)[0]
                self.points.killed[name] += 1
                self.wanted = None if self.wanted == name else self.wanted
                self.count(program, name)
            return
        if program.disk.is_full() and status == 2:
            self.log(f"{program.name} ended on a full disk: {program.last_words()}")
            time.sleep(0.1)  # before it is tried again
            return
        raise Wrong(f"{program.name} ended by itself with {status}: {program.last_words()}")

    def is_counted(self, program):
        counted, program.counted = getattr(program, "counted", None), program.starts
        return counted == program.starts

    # ---- actions

    def wait(self, least, most):
        """The time until the next action; what is due to end, ends."""
        end = time.monotonic() + self.rng.uniform(least, most)
        while (now := time.monotonic()) < end:
            for fault in [f for f in self.faults if f[0] <= now]:
                self.faults.remove(fault)
                self.log(fault[2])
                fault[1]()
            for program in self.world.programs():
                if program.disk.is_filled():
                    program.disk.fill()
            self.revive()
            time.sleep(0.02)

    def later(self, seconds, what, text):
        self.faults.append((time.monotonic() + seconds, what, text))

    def writer(self):
        return self.rng.choice(self.world.writers)

    def kill_writer(self):
        self.kill(self.writer())

    def kill_collector(self):
        self.kill(self.world.collector)

    def kill_both(self):
        first, second = self.rng.sample([self.writer(), self.world.collector], 2)
        self.kill(first)
        self.wait(0, 0.2)
        self.kill(second)

    def kill_all(self):
        for program in self.world.programs():
            self.kill(program)

    def leave(self):
        """Killed, and not started again for a while: longer than the rubric's coverage_gap now and then."""
        program = self.rng.choice([self.writer(), self.writer(), self.world.collector])
        self.kill(program)
        program.away_until = time.monotonic() + self.rng.choice([1.7, 2.5, 4])

    def leave_writer(self):
        """Long enough for a span that nobody can take for an accident."""
        program = self.world.writers[0]
        self.kill(program)
        program.away_until = time.monotonic() + 2.5

    def end_writer(self):
        self.writer().signal(signal.SIGTERM)

    def end_collector(self):
        self.world.collector.signal(signal.SIGTERM)

    def stop_some(self):
        program = self.rng.choice(self.world.programs())
        seconds = self.rng.choice([0.3, 1, 1, 4])  # 4 s are longer than the writers' silence
        program.signal(signal.SIGSTOP)
        self.log(f"stopped {program.name} for {seconds} s")
        popen = program.popen
        self.later(seconds, lambda: popen.poll() is None and popen.send_signal(signal.SIGCONT), f"cont {program.name}")

    def partition(self):
        writer = self.writer()
        ways = self.rng.choice([["INPUT"], ["OUTPUT"], ["INPUT", "OUTPUT"]])
        seconds = self.rng.choice([0.3, 1, 2, 5])
        self.world.cut(writer, ways)
        self.log(f"cut {writer.name} {' '.join(ways)} for {seconds} s")
        self.later(seconds, lambda: self.world.mend(writer), f"mend {writer.name}")

    def fill_spool(self):
        self.fill(self.writer().disk)

    def fill_store(self):
        self.fill(self.world.collector.disk)

    def fill(self, disk):
        seconds = self.rng.choice([0.5, 1, 2, 3])
        disk.fill()
        self.log(f"filled {disk.folder.name} for {seconds} s")
        self.later(seconds, disk.free, f"freed {disk.folder.name}")

    # ---- identity: stores and spools that are not what they were

    def back_up(self):
        """With whatever the store has now; `restore` comes back to it. One that is killed leaves none, or a whole one."""
        if not self.world.collector.alive():
            return
        for n, armed in enumerate([self.armed(self.world.backup), None]):
            path = self.folder / f"backup-{self.done['back_up']}-{n}.db"
            self.world.backup.begin(path, armed)
            if self.finish(self.world.backup) == 0 or (armed and path.exists()):
                self.backup = path

    def finish(self, program):
        """One that ends by itself, or at a point."""
        try:
            program.popen.wait(SETTLE)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{program.name} does not end") from None
        status = program.popen.returncode
        if program is self.world.backup and status == 2 and not self.world.collector.alive():
            self.log(program.last_words())  # a store that nobody serves is not believed
        elif status:
            self.look_at_end(program)
        return status

    def restore(self):
        if not self.backup:
            self.back_up()
        if self.backup and not self.cloned:
            self.kill(self.world.collector)
            self.world.collector.forget()
            self.world.collector.disk.free()
            shutil.copy(self.backup, self.world.collector.db)
            self.causes.add(compare.GAP_RESTORED)

    def replace(self):
        if self.cloned:
            return
        self.kill(self.world.collector)
        self.world.collector.forget()
        self.world.collector.disk.free()
        self.world.declare()
        self.backup = None  # of another store
        self.causes.add(compare.GAP_REPLACED)

    def pack(self):
        """The collector's housekeeping, some of it killed on the way; the collector goes on with what it left."""
        keeper = self.world.keeper
        self.kill(self.world.collector)
        for armed in [self.armed(keeper), None]:
            keeper.begin(armed)
            self.finish(keeper)
        self.log(keeper.last_words())

    def clone(self):
        """A volume's snapshot, started beside its original: the same node, or one of another stage."""
        writer = self.writer()
        other = self.rng.choice([writer, self.writer()])
        # A later store cannot know whose an older agent's copy is, so there is no later one in such a round.
        noted = other is writer or bool(self.causes) or self.each or self.rng.random() < 0.5
        self.world.spare.clone(writer, other.stage, other.node, noted)
        if other is not writer and noted:
            self.is_refused(self.world.spare, writer.stage)
            return
        if other is not writer:
            self.cloned = True
        self.start(self.world.spare)
        self.wait(1.5, 3)
        if self.rng.random() < 0.5:
            self.kill(self.world.spare)
        else:
            self.world.spare.end()

    def is_refused(self, spare, stage):
        """A copy that says whose it is, in the hands of another stage's agent."""
        self.start(spare)
        try:
            status = spare.popen.wait(SETTLE)
        except subprocess.TimeoutExpired:
            raise Wrong(f"an agent of {spare.stage} goes on with a spool of {stage}") from None
        if status <= 0 or f"spool.dir belongs to stage {stage}:" not in spare.last_words():
            raise Wrong(f"with a spool of {stage}, an agent of {spare.stage} ended with {status}: {spare.last_words()}")
        self.log("refused")
        spare.forget_clone()

    def settle_clones(self):
        """Each goes on once more, so that what it had arrives."""
        spare = self.world.spare
        for clone in list(spare.clones):
            spare.be(clone)
            boots = self.world.boots_in(spare.spool())  # the others' turn comes
            self.start(spare)
            wait_until(lambda boots=boots: self.arrived(boots), SETTLE, "what a clone left arrives")
            spare.end()

    def twins(self):
        """Two agents that say they are one node, for longer than a pod and its successor may."""
        writer, spare = self.writer(), self.world.spare
        if writer.armed:
            self.kill(writer)
            self.start(writer)
        folder = spare.disk.folder / f"twin-{self.done['twins']}"
        spare.be((folder, writer.stage, writer.node))
        self.start(spare)
        self.wait(TWINS, TWINS)
        self.twin_truths = {writer.truth, spare.truth}
        spare.end()

    ACTIONS = {"kill_writer": 30, "kill_collector": 20, "kill_both": 8, "kill_all": 4, "leave": 4, "end_writer": 3,
               "end_collector": 3, "stop_some": 5, "partition": 6, "fill_spool": 3, "fill_store": 2,
               "back_up": 2, "pack": 2, "restore": 1, "replace": 1, "clone": 2}

    def act(self, name):
        self.done[name] += 1
        self.log(name)
        getattr(self, name)()

    def find_points(self, action):
        for kind in ("writer", "collector", "keeper", "backup"):
            path = self.folder / "world" / f"{kind}.points"
            for name in path.read_text().split() if path.exists() else ():
                self.points.found(kind, name, action)

    def kill_at_each(self):
        """The points that chance left out, each by the action that was seen to pass it."""
        for name in sorted(n for n in self.points.kinds if not self.points.killed[n]):
            for n in range(TRIES):
                if self.points.killed[name]:
                    break
                self.wanted = name
                for program in self.world.programs():
                    if program.kind() == self.points.kinds[name]:
                        self.kill(program)
                self.wait(0.7, 0.7)
                if n % 2 and self.wanted:  # a new store passes what only a first one does, and lacks what nobody keeps
                    self.lose_kept()
                    self.act("replace")
                elif self.points.actions[name] in self.ACTIONS and self.wanted:
                    self.act(self.points.actions[name])
                end = time.monotonic() + PASSED
                while self.wanted and time.monotonic() < end:
                    self.wait(0.1, 0.1)
            self.wanted = None

    def lose_kept(self):
        """What is kept gives way on a full disk, once the collector has something to acknowledge."""
        self.wait(1, 1)
        for writer in self.world.writers:
            self.fill(writer.disk)
        self.wait(1, 1)

    # ---- the whole

    def run(self, kills, tour=()):
        """First each action of the tour, then as many as it takes."""
        self.revive()
        self.wait(1, 1)
        for name in tour:
            self.act(name)
            self.wait(0.6, 1.2)
            while name.startswith("fill") and self.faults:  # until what it cost is told
                self.wait(1.2, 1.2)
            self.find_points(name)
        if self.each:
            self.kill_at_each()
        names, weights = zip(*self.ACTIONS.items())
        while sum(self.kills.values()) < kills:
            self.act(*self.rng.choices(names, weights))
            self.wait(0.1, 0.9)
        self.settle()

    def mend(self):
        self.log("mend everything")
        self.faults.clear()
        for program in self.world.programs():
            program.away_until = 0
            program.signal(signal.SIGCONT)
            program.disk.free()
        for writer in self.world.writers:
            self.world.mend(writer)
        for program in self.world.programs():
            if program.armed:
                self.kill(program)
        self.revive(arm=False)

    def settle(self):
        """Everything that is in a spool arrives; the last lifetimes end in order, after a coverage or two."""
        self.mend()
        self.wait(0, 0)
        self.settle_clones()
        wait_until(self.arrived, SETTLE, "what dead writers left arrives")
        for _ in range(3):
            time.sleep(2 * FIRST_COVERAGE)
            for writer in self.world.writers:
                writer.end()
            if self.arrived():
                break
            for writer in self.world.writers:
                writer.begin()
        self.find_points("settle")
        self.world.collector.end()
        self.log("settled")

    def lives(self):
        return compare.read_truth(sorted(self.world.truth.iterdir()))

    def arrived(self, boots=None):
        """What a dead writer appended and somebody still holds is in the store. boots: of these only."""
        try:
            streams = compare.read_dump(self.world.dump(None, "--marks"))
        except Wrong:  # the collector is about to begin
            self.revive(arm=False)
            return False
        living = {w.truth for w in [*self.world.writers, self.world.spare] if w.alive()}
        held = self.world.held()
        return all(life.path in living or self.has(streams, life) or (self.causes and life.boot not in held)
                   for life in self.lives().values() if life.last() and (boots is None or life.boot in boots))

    @staticmethod
    def has(streams, life):
        stream = streams.get((life.boot, life.stage))
        return stream is not None and stream.hwm >= life.last()

    def expected(self):
        return compare.Expected(self.causes, bool(self.world.spare.clones), self.cloned, self.world.held(),
                                self.twin_truths)

    def compare(self):
        """The lines of what is wrong, and a text of what was compared."""
        lives = self.lives()
        dump = self.world.dump()
        streams = compare.read_dump(dump)
        found = compare.Comparison(lives, streams, self.expected())
        wrong = found.wrong + compare.compare_rollups(dump, streams)
        changes = witnessed.judged(self.world)
        spans = 0
        for writer in self.world.writers:
            if writer.stage in found.doubted:  # what is told there is of two, and the doubt says so
                continue
            lines, n = witnessed.compare(lives, found.remaining, changes, writer.stage, writer.node, 3 * witnessed.SECOND)
            wrong += lines + witnessed.compare_losses(streams, changes, writer.stage, writer.node)
            spans += n
        return wrong, {"lifetimes": len(lives), "records": found.records, "losses": found.losses, "gone": found.gone,
                       "unwitnessed spans": spans}

    def close(self):
        self.world.close()
        self.actions_log.close()
