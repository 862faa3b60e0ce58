"""Compares what the collector has (decoded from its store) with what the proxy did.

Three sources, none of which knows the others: the proxy's truth file, the canary's log of executions, and the
records that the agent sent. `Comparison.wrong` has for each claim the lines that contradict it.
"""
import collections
import json

REUSED, UNSENT, HTTP2 = 1, 4, 16  # CALL_FLAG_*
NEAR = 0.3  # seconds between what proxy and agent call the same moment, on a machine of two cores
QUEUED = 5.0  # seconds that a call may have waited for its connection: the probes' timeout counts them
# What becomes of a connection that the shaky door does not serve; see reconcile_shaky.
DOOR_CLASSES = {"refuse": {"REFUSED", "RESET"}, "turn-away": {"RESET", "CLOSED"}}


class Truth:
    """The proxy's file, by kind of line."""

    def __init__(self, path):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.calls = {line["nonce"]: line for line in lines if "nonce" in line}
        self.repeated = [n for n, k in collections.Counter(x["nonce"] for x in lines if "nonce" in x).items() if k > 1]
        self.down = [line for line in lines if "down" in line]
        self.turned_away = [line["turned_away"] for line in lines if "turned_away" in line]
        self.ended = sorted(line["ended"] for line in lines if "ended" in line)
        self.stood_still = [line for line in lines if "stood_still" in line]


class Seen:
    """The agent's records of one stage: blocks as calls by nonce, rows, and the last coverage of each probe."""

    def __init__(self, streams, outcome_name):
        self.calls, self.rows, self.repeated = {}, {}, []
        self.unsent, self.coverage = [], {}
        for boot, records in streams.items():
            for record in records:
                if record.HasField("calls"):
                    self.take_block(boot[:8], record.calls, outcome_name)
                elif record.HasField("call"):
                    self.take_row(boot[:8], record.call, outcome_name)
                elif record.HasField("coverage"):
                    self.coverage.update({p.name: p for p in record.coverage.probes})

    def take_block(self, boot, block, outcome_name):
        number = block.first_number
        for i, delta in enumerate(block.number_delta):
            number += delta
            nonce = f"{boot}-{number}"
            if nonce in self.calls:
                self.repeated.append(nonce)
            start = block.base_mono_ns / 1e9 + block.start_us[i] / 1e6
            self.calls[nonce] = {"probe": block.probes[block.probe[i]], "outcome": outcome_name(block.outcome[i]),
                                 "start": start, "end": start + block.duration_us[i] / 1e6, "flags": block.flags[i]}

    def take_row(self, boot, row, outcome_name):
        call = {"nonce": row.nonce, "probe": row.probe, "outcome": outcome_name(row.outcome),
                "start": row.start_mono_ns / 1e9, "end": row.start_mono_ns / 1e9 + row.duration_us / 1e6,
                "flags": row.flags, "detail": row.detail}
        if row.flags & UNSENT:
            self.unsent.append(call)
        else:
            self.repeated += [row.nonce] * (row.nonce in self.rows)
            self.rows[row.nonce] = call
            if row.nonce != f"{boot}-{row.number}":
                self.repeated.append(f"{row.nonce} under the number {row.number}")


class Comparison:
    def __init__(self, truth, seen, executions, shaky_probes):
        self.truth, self.seen, self.shaky = truth, seen, shaky_probes
        self.started = collections.Counter(e["call"] for e in executions if e["event"] == "start" and "call" in e)
        self.matrix = collections.defaultdict(collections.Counter)
        self.excused, self.faults_found, self.faults, self.wrong = [], 0, 0, {}
        for claim, check in (("recall is 1.0: every broken call is found, by its nonce", self.recall),
                             ("no false drop: every healthy call completed", self.false_drops),
                             ("each class is right", self.classes),
                             ("new and reused connections are told apart", self.kinds),
                             ("every failed call has one row with its nonce", self.each_row),
                             ("every call is stored once", self.each_stored),
                             ("nothing is sent twice", self.executions),
                             ("coverage counts every call", self.coverage),
                             ("a closed port is seen for what it is", self.reconcile_shaky)):
            self.wrong[claim] = self.lines = []
            check()

    def say(self, what, nonces):
        nonces = list(nonces)
        if nonces:
            self.lines.append(f"{what}: {len(nonces)}, such as {', '.join(map(str, nonces[:3]))}")

    # ---- class by class

    def excuse(self, call, seen):
        """A machine that stood still made the proxy's answer late: then time decided, which nobody chose."""
        return seen["outcome"] in ("COMPLETED_LATE", "TIMEOUT", "COMPLETED") and self.stood_still(
            min(call["from"], seen["start"]) - QUEUED, max(call["to"], seen["end"]))

    def stood_still(self, begun, ended):
        return any(x["from"] < ended + NEAR and begun < x["to"] + NEAR for x in self.truth.stood_still)

    def each_call(self):
        """Counts every call of the proxy into the matrix; what is not in its row's classes is a contradiction."""
        self.wrong_classes = collections.defaultdict(list)
        for nonce, call in self.truth.calls.items():
            seen = self.seen.calls.get(nonce)
            outcome = seen["outcome"] if seen else "MISSING"
            is_fault = "COMPLETED" not in call["classes"]
            self.matrix[call["fault"]][outcome] += 1
            right = outcome in call["classes"]
            if seen and not right and self.excuse(call, seen):
                right = True
                self.excused.append(nonce)
            self.faults += is_fault
            self.faults_found += is_fault and (right or outcome not in ("COMPLETED", "MISSING"))
            if not right:
                self.wrong_classes[call["fault"], outcome, is_fault].append(nonce)

    def say_wrong(self, choose):
        for (fault, outcome, is_fault), nonces in sorted(self.wrong_classes.items()):
            if choose(outcome, is_fault):
                wanted = " or ".join(self.truth.calls[nonces[0]]["classes"])
                self.say(f"{fault} must be {wanted} and is {outcome}", nonces)

    def recall(self):
        self.each_call()
        self.say_wrong(lambda outcome, is_fault: is_fault and outcome in ("COMPLETED", "MISSING"))

    def false_drops(self):
        self.say_wrong(lambda outcome, is_fault: not is_fault)

    def classes(self):
        self.say_wrong(lambda outcome, is_fault: is_fault and outcome not in ("COMPLETED", "MISSING"))

    def kinds(self):
        """With HTTP/2 the call that began a connection need not be the first that the server sees on it."""
        self.say("calls whose connection was new where the agent says reused, or the other way round", (
            n for n, call in self.truth.calls.items()
            if n in self.seen.calls and not self.seen.calls[n]["flags"] & HTTP2
            and bool(self.seen.calls[n]["flags"] & REUSED) != call["reused"]))
        self.say("calls of which the agent does not say HTTP/2, or says it wrongly", (
            n for n, call in self.truth.calls.items()
            if n in self.seen.calls and bool(self.seen.calls[n]["flags"] & HTTP2) != call.get("http2", False)))

    def each_row(self):
        """What did not complete has one full row with its nonce, which says the same as the block; nothing else has."""
        failed = {n for n, call in self.seen.calls.items() if call["outcome"] != "COMPLETED"}
        self.say("calls that failed and have no row with their nonce", failed - set(self.seen.rows))
        self.say("rows of calls that did not fail", set(self.seen.rows) - failed)
        self.say("rows that contradict their block", (n for n in failed & set(self.seen.rows)
                                                      if self.seen.rows[n]["outcome"] != self.seen.calls[n]["outcome"]))

    def each_stored(self):
        unseen = []
        self.say("calls stored twice", self.seen.repeated)
        for nonce, call in self.seen.calls.items():
            if nonce not in self.truth.calls and call["probe"] not in self.shaky:
                if self.met_the_end(call):
                    self.matrix["unread"][call["outcome"]] += 1
                else:
                    unseen.append(nonce)
        self.say("calls stored that the proxy never saw", unseen)

    def met_the_end(self, call):
        """A stream may be begun on a connection of HTTP/2 that the proxy has just ended: nobody reads it any more."""
        return call["flags"] & HTTP2 and call["outcome"] in ("RESET", "CLOSED") and any(
            call["start"] - NEAR < t < call["end"] + NEAR for t in self.truth.ended)

    def executions(self):
        self.say("calls that the proxy got twice", self.truth.repeated)
        self.say("calls executed more than once", (n for n, k in self.started.items() if k > 1))
        self.say("calls executed that were not let through", (
            n for n in self.started if n in self.truth.calls and not self.truth.calls[n]["executed"]))
        self.say("calls let through that were never executed", (
            n for n, call in self.truth.calls.items() if call["executed"] and n not in self.started))
        self.say("calls executed that the proxy never saw", (n for n in self.started if n not in self.truth.calls))

    def coverage(self):
        """The last coverage counts what the blocks hold; what was not sent is counted beside."""
        stored = collections.Counter(call["probe"] for call in self.seen.calls.values())
        for name, probe in self.seen.coverage.items():
            if probe.resolved != stored[name] or probe.started != probe.resolved:
                self.lines.append(f"probe {name}: coverage counts {probe.started} started, {probe.resolved} resolved; "
                                  f"the blocks hold {stored[name]}")
            if probe.scheduled != probe.resolved + probe.unsent:
                self.lines.append(f"probe {name}: {probe.scheduled} scheduled are not {probe.resolved} resolved and "
                                  f"{probe.unsent} unsent")

    # ---- the shaky door, where a call that meets a closed port never tells its nonce

    def reconcile_shaky(self):
        """A call that the proxy never read was refused or turned away: each lies in a span in which the door was down,
        each turned-away connection belongs to one of them, and no call was lost without having met one."""
        unread = sorted((call for call in [*self.seen.unsent, *(c for n, c in self.seen.calls.items()
                                                                if n not in self.truth.calls)]
                         if call["probe"] in self.shaky), key=lambda call: call["start"])
        told = collections.Counter(call["probe"] for call in self.seen.unsent)
        # An agent that is kept from running for a second counts what it missed, without a row for each.
        for name in self.shaky if not self.truth.stood_still else ():
            if name in self.seen.coverage and told[name] != self.seen.coverage[name].unsent:
                self.lines.append(f"probe {name}: {told[name]} unsent calls told, "
                                  f"{self.seen.coverage[name].unsent} counted")
        away = []
        for call in unread:
            spans = [d for d in self.truth.down if d["from"] - NEAR < call["end"] and call["start"] < d["to"] + NEAR]
            allowed = set().union(*(DOOR_CLASSES[d["down"]] for d in spans))
            fault = "/".join(sorted({d["down"] for d in spans})) or "door open"
            self.matrix[fault][call["outcome"]] += 1
            right = call["outcome"] in allowed
            if not right and self.stood_still(call["start"], call["end"]):
                right = True
                self.excused.append(call)
            self.faults, self.faults_found = self.faults + 1, self.faults_found + right
            if not right:
                self.lines.append(f"a call to the shaky door ({fault}) is {call['outcome']}: {call['detail']}"
                                  if "detail" in call else f"a call to the shaky door ({fault}) is {call['outcome']}")
            away += [call] * (call["outcome"] != "REFUSED")
        if len(away) < len(self.truth.turned_away) and not self.truth.stood_still:
            self.lines.append(f"{len(self.truth.turned_away)} connections were turned away, {len(away)} calls say so")

    # ---- words

    def table(self):
        """The confusion matrix: a row for each fault, a column for each class."""
        columns = sorted({outcome for counts in self.matrix.values() for outcome in counts})
        width = max(map(len, self.matrix), default=0)
        yield " " * width + "".join(f" {name:>{max(7, len(name))}}" for name in columns)
        for fault, counts in sorted(self.matrix.items()):
            yield f"{fault:{width}}" + "".join(f" {counts[name] or '.':>{max(7, len(name))}}" for name in columns)
