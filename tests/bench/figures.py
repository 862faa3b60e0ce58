"""The arithmetic of the bench: a row is one figure of ours, the limit measured in the same run, and its target.

A target compares either the figure itself (unit of the figure) or its ratio to the limit. Figures and limits that
were taken in turns, round by round, are compared round by round; the row has the median of the ratios, and the
medians of both sides.
"""
import json
import statistics


class Row:
    """One line of the table. target: ("ratio" | "ours", ">=" | "<=" | "<", number), or None for context."""

    def __init__(self, name, unit, ours, limit=None, target=None, note=""):
        self.name, self.unit, self.note, self.target = name, unit, note, target
        ours = ours if isinstance(ours, list) else [ours]
        limits = limit if isinstance(limit, list) else [limit] * len(ours)
        if len(ours) != len(limits):
            raise ValueError(f"{name}: {len(ours)} figures beside {len(limits)} limits")
        self.ours = statistics.median(ours)
        self.limit = None if limit is None else statistics.median(limits)
        self.ratio = None if limit is None else statistics.median(a / b if b else float("inf")
                                                                  for a, b in zip(ours, limits))

    def met(self):
        """True also for a row that has no target."""
        if self.target is None:
            return True
        what, how, wanted = self.target
        value = self.ratio if what == "ratio" else self.ours
        if value is None:
            raise ValueError(f"{self.name}: a target for a ratio without a limit")
        return {">=": value >= wanted, "<=": value <= wanted, "<": value < wanted}[how]

    def wanted(self):
        if self.target is None:
            return None
        what, how, wanted = self.target
        return f"{'ratio ' if what == 'ratio' else ''}{how} {wanted:g}"

    def as_json(self, machine):
        def short(value):
            return None if value is None else float(f"{value:.4g}")
        return json.dumps({"name": self.name, "ours": short(self.ours), "limit": short(self.limit), "unit": self.unit,
                           "ratio": short(self.ratio), "target": self.wanted(), "met": self.met(), "note": self.note,
                           "machine": machine})

    def as_line(self):
        verdict = "" if self.target is None else "met" if self.met() else "MISSED"
        limit = "" if self.limit is None else for_people(self.limit)
        ratio = "" if self.ratio is None else f"{self.ratio:.3g} x"
        line = (f"{self.name:<66} {for_people(self.ours):>10} {limit:>10} {self.unit:<12} {ratio:>8} "
                f"{self.wanted() or '':>14} {verdict}")
        return line.rstrip() + (f"\n    {self.note}" if self.note else "")


HEAD = f"{'':<66} {'ours':>10} {'limit':>10} {'unit':<12} {'ratio':>8} {'target':>14}"


def for_people(value):
    """Three digits, with k or M."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def growth(values):
    """By how much the last quarter's median is above the second quarter's: 0.1 is 10 %. The first quarter fills
    caches. 0 for fewer than eight values."""
    quarter = len(values) // 4
    if quarter < 2:
        return 0.0
    before = statistics.median(values[quarter:2 * quarter])
    return statistics.median(values[-quarter:]) / before - 1 if before else 0.0
