"""What the writers did (truth.h) beside what the store holds (dump.c). A difference is one line of `wrong`."""
import collections
import dataclasses

ENOSPC = 28
SPOOL_FULL, SPOOL_FAILED, QUEUE_FULL, SPOOL_DAMAGED = 1, 2, 3, 4  # Loss.Cause
RECORD_MAX = (256 << 10) - 11  # WIRE_RECORD_MAX without room for the seq: larger ones are lost, and told
GAP_AGENT, GAP_RESTORED, GAP_REPLACED = 1, 2, 3  # enum store_gap_cause
TWO_AGENTS, TWO_STAGES = 1 << 1, 1 << 2  # enum store_doubt, as bits
COVERING = ("calls", "sources")


@dataclasses.dataclass
class Record:
    """One append, or one row."""
    digest: str
    content: str
    family: str
    wall: int
    speaks: str


@dataclasses.dataclass
class GivenUp:
    """A record that the journal had and could not append."""
    cause: int
    family: str
    wall: int
    covered: bool = False  # a coverage record followed it


@dataclasses.dataclass
class Emitted:
    thread: int
    content: str
    family: str
    wall: int
    size: int


class Lifetime:
    """One writer's truth. `steps` are what matters to losses, in their order: ("loss", seq), ("cover",), GivenUp."""

    def __init__(self, path, boot, stage, node):
        self.path, self.boot, self.stage, self.node = path, boot, stage, node
        self.appended, self.intent, self.steps, self.emitted = {}, None, [], []
        self.contents, self.trimmed, self.acked, self.ending, self.ended = {}, {}, 0, False, False
        self.twice = []

    def bye(self):
        return any(r.speaks == "bye" for r in self.appended.values())

    def last(self):
        return max(self.appended, default=0)

    def take(self, word, fields):
        getattr(self, {"E": "emits", "A": "intends", "+": "did", "-": "failed", "F": "gave_up", "T": "trims",
                       "S": "ends", "Z": "is_over"}[word])(*fields)

    def emits(self, thread, content, family, wall, size):
        self.emitted.append(Emitted(int(thread), content, family, int(wall), int(size)))

    def intends(self, seq, digest, content, family, wall, speaks):
        self.intent = int(seq), Record(digest, content, family, int(wall), speaks)

    def did(self, seq):
        intended, record = self.intent
        self.intent = None
        if intended != int(seq) or int(seq) in self.appended:
            self.twice.append(f"append said {seq}, {intended} was next")
        self.appended[int(seq)] = record
        if record.content != "-":
            if record.content in self.contents:
                self.twice.append(f"{self.contents[record.content]} and {seq} are the same record")
            self.contents[record.content] = int(seq)
        if record.family == "loss":
            self.steps.append(("loss", int(seq)))
        elif record.speaks in COVERING:
            self.steps.append(("cover", int(seq)))

    def failed(self, _seq, _error):
        self.intent = None

    def gave_up(self, content, family, wall, error):
        cause = SPOOL_FULL if int(error) in (0, ENOSPC) else SPOOL_FAILED
        self.steps.append(GivenUp(cause, family, int(wall)))
        if content != "-":
            self.contents[content] = 0

    def trims(self, boot, seq):
        self.trimmed[boot] = max(self.trimmed.get(boot, 0), int(seq))

    def ends(self):
        self.ending = True

    def is_over(self):
        self.ended = True


def read_truth(paths):
    """{boot: Lifetime}, in the order of their begins. A line without its end was never written: the process was dead."""
    lives = []
    for path in paths:
        life = None
        for line in path.read_text().split("\n")[:-1]:
            word, *fields = line.split(" ")
            if word == "L":
                life = Lifetime(path, *fields[:3])
                lives.append((int(fields[3]), life))
            else:
                life.take(word, fields)
    acked = collections.Counter()  # a later lifetime is told what was acknowledged of an earlier one
    for _, life in lives:
        acked |= collections.Counter(life.trimmed)
    for _, life in lives:
        life.acked = acked[life.boot]
    return {life.boot: life for _, life in sorted(lives, key=lambda pair: pair[0])}


class Stream:
    def __init__(self, stage, node, boot, hwm, conflicts, doubts):
        self.stage, self.node, self.boot = stage, node, boot
        self.hwm, self.conflicts, self.doubts = int(hwm), int(conflicts), int(doubts)
        self.records, self.gaps, self.losses, self.wrong = {}, [], {}, []
        self.calls = 0


def read_dump(text):
    """{(boot, stage): Stream}"""
    streams = {}
    for line in text.splitlines():
        word, *fields = line.split(" ")
        if word == "rollup":
            continue
        if word == "stream":
            streams[fields[0]] = Stream(*fields[1:])
            continue
        stream = streams[fields[0]]
        if word == "gap":
            stream.gaps.append(tuple(map(int, fields[1:])))
        elif word == "rec":
            seq, digest, family, wall, speaks, calls = fields[1:]
            stream.calls += int(calls)
            if int(seq) in stream.records:
                stream.wrong.append(f"{seq} is there twice")
            stream.records[int(seq)] = Record(digest, "-", family, int(wall), speaks)
        elif word == "loss":
            seq, cause, records, start, end = map(int, fields[1:6])
            stream.losses[seq] = (cause, records, start, end, " ".join(fields[6:]))
        else:
            stream.wrong.append(line)
    return {(s.boot, s.stage): s for s in streams.values()}


LEVELS = ("minute", "hour", "day")


def compare_rollups(text, streams):
    """Lines of what is wrong: at each level a stage's rollups count the calls of its blocks, each once."""
    true, told = collections.Counter(), collections.Counter()
    for stream in streams.values():
        for level in LEVELS:
            true[stream.stage, level] += stream.calls
    for line in text.splitlines():
        word, *fields = line.split(" ")
        if word == "rollup":
            told[fields[0], LEVELS[int(fields[1])]] += int(fields[2])
    return [f"{stage}: rollups by {level} count {told[stage, level]} calls, {true[stage, level]} are stored"
            for stage, level in sorted(true) if true[stage, level] != told[stage, level]]


@dataclasses.dataclass
class Expected:
    """What the round did that loses records in a declared way. causes: of gaps, by stores that were restored or
    replaced; copied: spools while they were in use, so that a copy may lack a segment; cloned: one that named no stage, to another stage; held: boots of which a spool has records in the end;
    twins: truths of two that said to be one node for long."""
    causes: set
    copied: bool
    cloned: bool
    held: set
    twins: set


def families_of(given_up):
    return collections.Counter(g.family for g in given_up)


def counts(text):
    """{family: n} of "call 12, coverage 3"."""
    return collections.Counter({family: int(n) for family, n in (part.rsplit(" ", 1) for part in text.split(", "))})


class Comparison:
    """wrong: what must not be, each with the stream it is about."""

    def __init__(self, lives, streams, expected):
        self.lives, self.streams, self.expected = lives, streams, expected
        self.wrong, self.records, self.losses, self.gone = [], 0, 0, 0
        self.doubted = set()  # stages to which a stream of another came
        self.remaining = {}  # of each boot: the seqs that are to be in the store
        for (boot, stage), stream in streams.items():
            if boot not in lives:
                self.say(boot, "a stream that no writer made")
            elif lives[boot].stage != stage:
                self.compare_alien(lives[boot], stream)
        for boot, life in lives.items():
            self.compare(life, streams.get((boot, life.stage)) or Stream(life.stage, life.node, boot, 0, 0, 0))

    def say(self, boot, text):
        name = self.lives[boot].node if boot in self.lives else "?"
        self.wrong.append(f"{name}@{boot[:8]}: {text}")

    def compare(self, life, stream):
        held = life.intent and stream.records.get(life.intent[0])
        if held and held.digest == life.intent[1].digest:  # it was appended, and killed before it could say so
            life.did(life.intent[0])
        for text in life.twice + stream.wrong:
            self.say(life.boot, text)
        self.compare_records(life, stream)
        self.compare_identity(life, stream)
        if not self.gone_of(life, stream):  # what is gone may have been the telling
            self.compare_losses(life, stream)
            self.compare_emitted(life, stream)

    def compare_alien(self, life, stream):
        """The same boot under another stage: never silent, and nothing in it that was not appended."""
        self.doubted.add(stream.stage)
        if not self.expected.cloned:
            self.say(life.boot, f"came to {stream.stage}, and no spool was cloned")
        if not stream.doubts & TWO_STAGES:
            self.say(life.boot, f"came to {stream.stage} as well, and no doubt tells of it")
        for seq, held in stream.records.items():
            if seq in life.appended and life.appended[seq].digest != held.digest:
                self.say(life.boot, f"changed: {seq} in {stream.stage}")

    # ---- each record once, with its bytes

    def compare_records(self, life, stream):
        gone = self.gone_of(life, stream)
        self.records += len(stream.records)
        self.gone += len(gone)
        for seq, record in life.appended.items():
            held = stream.records.get(seq)
            if held is None and seq not in gone:
                self.say(life.boot, f"lost: {seq} ({record.family}) was appended and is not in the store")
            elif held and (held.digest, held.family) != (record.digest, record.family):
                self.say(life.boot, f"changed: {seq} ({record.family}) has other bytes")
        for seq, held in stream.records.items():
            if seq not in life.appended:
                self.say(life.boot, f"invented: {seq} ({held.family}) was never appended")
            if seq in gone:
                self.say(life.boot, f"declared lost and there: {seq}")
        self.remaining[life.boot] = {seq for seq in life.appended if seq not in gone}

    def gone_of(self, life, stream):
        """By gaps; and a stream that was settled and has left its spool is announced to no store that comes later: it
        ends there without a word, so unwitnessed, from what the store has."""
        gone = {seq for start, end, _ in stream.gaps for seq in range(start, end + 1)}
        if self.expected.causes and life.boot not in self.expected.held:
            gone |= {seq for seq in life.appended if stream.hwm < seq <= life.acked}
        return gone

    def compare_identity(self, life, stream):
        causes = self.expected.causes | ({GAP_AGENT} if self.expected.causes else set())
        for start, end, cause in stream.gaps:  # kept records may go between a Hello to another store and its Welcome
            if cause not in causes or end > life.acked:
                self.say(life.boot, f"gaps that nothing explains: {start} to {end}, cause {cause}; acknowledged up to "
                                    f"{life.acked}")
        if stream.conflicts:
            self.say(life.boot, f"{stream.conflicts} conflicts")
        twin = life.path in self.expected.twins
        if bool(stream.doubts & TWO_AGENTS) != twin:
            self.say(life.boot, f"two agents were {'' if twin else 'not '}one node, doubts are {stream.doubts}")
        if stream.doubts & TWO_STAGES and not self.expected.cloned:
            self.say(life.boot, f"doubts {stream.doubts}, and no spool was cloned")
        complete = max([*self.remaining[life.boot], *(end for _, end, _ in stream.gaps)], default=0)
        if stream.hwm != complete:
            self.say(life.boot, f"complete up to {stream.hwm}, there should be {complete}")

    # ---- each loss as it was

    def compare_losses(self, life, stream):
        """What the journal gave up is what the next Loss of that cause says; nothing is covered before it is told."""
        open_ones = {SPOOL_FULL: [], SPOOL_FAILED: []}
        for step in life.steps:
            if isinstance(step, GivenUp):
                open_ones[step.cause].append(step)
            elif step[0] == "cover":
                for given_up in sum(open_ones.values(), []):
                    given_up.covered = True
            elif step[1] in stream.losses:
                self.compare_loss(life, stream.losses[step[1]], open_ones)
        left = sum(open_ones.values(), [])
        if life.bye() and left:
            self.say(life.boot, f"undeclared: {dict(families_of(left))} given up, and it ended in order")
        silent = [g for g in left if g.covered]
        if silent and not life.bye():
            self.say(life.boot, f"silent: {dict(families_of(silent))} given up, covered since, and not declared")

    def compare_loss(self, life, loss, open_ones):
        cause, records, start, end, families = loss
        self.losses += records
        if cause == SPOOL_DAMAGED and not self.expected.copied:
            self.say(life.boot, f"{records} records found damaged")
        if cause not in open_ones:
            return
        given_up, open_ones[cause] = open_ones[cause], []
        said = records, start, end, counts(families)
        walls = [g.wall for g in given_up]
        true = len(given_up), min(walls, default=0), max(walls, default=0), families_of(given_up)
        if said != true:
            self.say(life.boot, f"miscounted: a loss says {said}, true is {true}")

    # ---- what never reached the journal

    def compare_emitted(self, life, stream):
        """Too large, or no room in the pipe: told by Loss records of other causes. Of a writer that was killed,
        what a thread emitted after its last coverage may have died with it."""
        declared = sum(l[1] for l in stream.losses.values() if l[0] not in (SPOOL_FULL, SPOOL_FAILED, SPOOL_DAMAGED))
        under_way = life.intent and life.intent[1].content
        never = [e for e in life.emitted if e.content not in life.contents and e.content != under_way]
        if life.bye():
            if declared != len(never):
                self.say(life.boot, f"miscounted: {len(never)} were never appended nor given up, {declared} declared")
            return
        last = self.last_coverage(life)
        silent = [e for e in never if e.thread in last and e.wall < last[e.thread]]
        if declared < len(silent):
            self.say(life.boot, f"silent: {len(silent)} never reached the journal and were covered since, "
                                f"{declared} declared")
        if declared > len(never):
            self.say(life.boot, f"miscounted: {declared} declared, {len(never)} never reached the journal")

    @staticmethod
    def last_coverage(life):
        last = {}
        for e in life.emitted:
            if e.family == "coverage" and life.contents.get(e.content):
                last[e.thread] = e.wall
        return last
