"""Whether the comparison can fail: every kind of wrong is planted, in a copy of a finished round's store, of its truth
or of what the judge told, and must be found for what it is."""
import contextlib
import shutil
import sqlite3

import compare
import witnessed

GAP = 3 * witnessed.SECOND
TOUR = ["kill_writer", "fill_spool", "fill_spool", "leave_writer", "leave_writer", "kill_collector", "end_writer"]


class Copy:
    """One copy of what a round left."""

    def __init__(self, r, folder):
        self.round, self.folder = r, folder
        folder.mkdir()
        shutil.copytree(r.world.truth, folder / "truth")
        self.db = folder / "pilot.db"
        for path in r.world.collector.disk.folder.glob("pilot.db*"):
            if not path.name.endswith("-lock"):
                shutil.copy(path, folder / path.name)
        self.changes = witnessed.judged(r.world)

    def sql(self, text, *values):
        with contextlib.closing(sqlite3.connect(self.db)) as db:
            done = db.execute(text, values)
            db.commit()
            return done.rowcount

    def row(self, text):
        with contextlib.closing(sqlite3.connect(self.db)) as db:
            return db.execute(text).fetchone()

    def truth(self, change):
        """change(lines): the lines of one lifetime, or None to leave it. True when one was changed."""
        for path in sorted((self.folder / "truth").iterdir()):
            lines = change(path.read_text().split("\n"))
            if lines is not None:
                path.write_text("\n".join(lines))
                return True
        return False

    def span(self, writer):
        """A span of that writer's node that the comparison must see, as the judge tells it."""
        lives, found = self.compare()
        told = next(c for c in self.changes if c["stage"] == writer.stage)
        end = witnessed.time_of(told["window_to"]) - GAP
        sure = [s for s in witnessed.true_spans(lives, found.remaining, writer.stage, writer.node, GAP)
                if s[2] and s[1] - s[0] > 2 * witnessed.NEAR and witnessed.time_of(told["begin"]) <= s[0] and s[1] <= end]
        return told["unwitnessed"], next((x for x in told["unwitnessed"] for s in sure
                                          if abs(witnessed.time_of(x["from"]) - s[0]) < witnessed.NEAR), None)

    def compare(self):
        lives = compare.read_truth(sorted((self.folder / "truth").iterdir()))
        self.streams = compare.read_dump(self.round.world.dump(self.db))
        return lives, compare.Comparison(lives, self.streams, self.round.expected())

    def wrong(self):
        lives, found = self.compare()
        wrong = found.wrong
        for w in self.round.world.writers:
            wrong += witnessed.compare(lives, found.remaining, self.changes, w.stage, w.node, GAP)[0]
            wrong += witnessed.compare_losses(self.streams, self.changes, w.stage, w.node)
        return wrong


# ---- what is planted; each says whether it could be

def lost(copy):
    return copy.sql("DELETE FROM record WHERE rowid = (SELECT rowid FROM record WHERE seq > 2 LIMIT 1)") == 1


def doubled(copy):
    """The last record of a stream once more, as the next one."""
    stream, seq = copy.row("SELECT stream, max(seq) FROM record GROUP BY stream LIMIT 1")
    copy.sql("UPDATE stream SET hwm = hwm + 1 WHERE id = ?", stream)
    return copy.sql("INSERT INTO record SELECT stream, seq + 1, n, family, t_from, t_to, payload FROM record "
                    "WHERE stream = ? AND seq = ?", stream, seq) == 1


def changed(copy):
    """Bytes that protobuf reads as before: its number once more."""
    stream, seq, payload = copy.row("SELECT stream, seq, payload FROM record WHERE seq BETWEEN 2 AND 100 LIMIT 1")
    return copy.sql("UPDATE record SET payload = ? WHERE stream = ? AND seq = ?", payload + bytes([8, seq]), stream,
                    seq) == 1


def appended_twice(copy):
    def change(lines):
        for i, line in enumerate(lines):
            if line.startswith("A ") and line.split()[3] != "-" and lines[i + 1].startswith("+ "):
                word, _, *rest = line.split(" ")
                return [*lines[:-1], " ".join([word, "999999", *rest]), "+ 999999", ""]
        return None
    return copy.truth(change)


def invented(copy):
    """The truth of one append is gone."""
    def change(lines):
        at = next((i for i, line in enumerate(lines) if line.startswith("+ ") and lines[i - 1].startswith("A ")), None)
        return None if at is None else lines[:at - 1] + lines[at + 1:]
    return copy.truth(change)


def given_up(lines):
    return [i for i, line in enumerate(lines) if line.startswith("F ")]


def miscounted(copy):
    """A record less was given up than its Loss says."""
    def change(lines):
        losses = [i for i, line in enumerate(lines) if line.startswith("A ") and line.split()[4] == "loss"]
        at = [i for i in given_up(lines) if losses and i < losses[-1]]
        return lines[:at[0]] + lines[at[0] + 1:] if at else None
    return copy.truth(change)


def undeclared(copy):
    """A record was given up, and a lifetime that ended in order says nothing of it."""
    def change(lines):
        if "Z" not in lines:
            return None
        at = next(i for i, line in enumerate(lines) if line.startswith("A ") and line.endswith(" bye"))
        return lines[:at] + ["F - phase 1 28"] + lines[at:]
    return copy.truth(change)


def silent(copy):
    """A record was given up, its lifetime was killed, and coverage was appended in between."""
    def change(lines):
        covers = [i for i, line in enumerate(lines) if line.startswith("A ") and line.endswith((" calls", " sources"))]
        if any(line.endswith(" bye") for line in lines) or not covers or not lines[covers[-1] + 1].startswith("+"):
            return None
        losses = [i for i, line in enumerate(lines) if line.startswith("A ") and line.split()[4] == "loss"]
        if losses and losses[-1] > covers[-1]:
            return None
        return lines[:covers[-1]] + ["F - phase 1 28"] + lines[covers[-1]:]
    return copy.truth(change)


def never_told(copy):
    """A record was emitted, never reached the journal, and no Loss counts it."""
    def change(lines):
        return [lines[0], "E 1 0123456789abcdef phase 1 100", *lines[1:]] if "Z" in lines else None
    return copy.truth(change)


def gap(copy):
    stream, hwm, n = copy.row("SELECT id, hwm, n FROM stream LIMIT 1")
    return copy.sql("INSERT INTO gap(stream, from_seq, to_seq, n, cause) VALUES(?, ?, ?, ?, 1)", stream, hwm, hwm,
                    n) == 1


def short(copy):
    """The judge tells of an unwitnessed span that ends too early."""
    for writer in copy.round.world.writers:
        _, span = copy.span(writer)
        if span:
            span["to"] = span["from"]
            return True
    return False


def forgotten(copy):
    for writer in copy.round.world.writers:
        spans, span = copy.span(writer)
        if span:
            spans.remove(span)
            return True
    return False


def slandered(copy):
    """The judge tells of a span in which coverage was there."""
    for writer in copy.round.world.writers:
        spans, span = copy.span(writer)
        if span:
            spans.append({**span, "to": next(c for c in copy.changes if c["stage"] == writer.stage)["last_sign"]})
            return True
    return False


def untold(copy):
    """The judge tells of no loss."""
    some = any(c["missing"] for c in copy.changes)
    for change in copy.changes:
        change["missing"] = []
    return some


PLANTS = [(lost, "lost:"), (doubled, "invented:"), (changed, "changed:"), (appended_twice, "are the same record"),
          (invented, "invented:"), (miscounted, "miscounted:"), (undeclared, "undeclared:"), (silent, "silent:"),
          (never_told, "miscounted:"), (gap, "gaps that nothing explains"), (short, "the judge does not tell it"),
          (forgotten, "the judge does not tell it"), (slandered, "and it was witnessed"),
          (untold, "records lost from")]


NO_PLACE = "could not be planted: the round had no place for it"


def claim_of(plant):
    return f"the comparison finds: {plant.__name__.replace('_', ' ')}"


def run(r, known):
    """{claim: what is wrong}, on a round that was compared and is right; known: of rounds before, which may have had
    no place for some."""
    results = dict(known)
    for plant, word in PLANTS:
        if results.get(claim_of(plant), [NO_PLACE]) != [NO_PLACE]:
            continue
        copy = Copy(r, r.folder / plant.__name__)
        if not plant(copy):
            lines = [NO_PLACE]
        else:
            found = copy.wrong()
            lines = [] if any(word in line for line in found) else [f"not found; found: {found[:3]}"]
        results[claim_of(plant)] = lines
        shutil.rmtree(copy.folder)
    return results
