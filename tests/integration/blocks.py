"""Reads PackedCalls as proto/wire/block.h draws them: written from the drawing, not from the C code, so that both
are read alike by two."""

STRIDE, BASE, PLAIN = 2, 1, 0
SAME, VARINT, RUNS = 0, 1, 2
COLUMNS = ("number", "entry", "start_us", "duration_us", "outcome", "connection", "flags")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self):
        return unzigzag(self.varint())

    def values(self, coding, n):
        if coding == SAME:
            return [self.varint()] * n
        if coding == VARINT:
            return [self.varint() for _ in range(n)]
        assert coding == RUNS
        runs = [(self.varint(), self.varint()) for _ in range(self.varint())]
        values = [value for length, value in runs for _ in range(length)]
        assert len(values) == n and all(length > 0 for length, _ in runs)
        return values

    def column(self, n, is_signed):
        head = self.byte()
        transform, coding = head & 0x0f, head >> 4
        if transform == PLAIN:
            return [unzigzag(v) if is_signed else v for v in self.values(coding, n)]
        if transform == BASE:
            base = self.signed() if is_signed else self.varint()
            return [base + v for v in self.values(coding, n)]
        assert transform == STRIDE
        x, stride = [self.signed()], self.signed()
        for v in self.values(coding, n - 1):
            x.append(x[-1] + stride + unzigzag(v))
        return x


def unzigzag(v):
    return (v >> 1) ^ -(v & 1)


def columns(packed):
    """{column: [value, ...]}, in the order in which they are written."""
    reader = Reader(packed.columns)
    out = {name: reader.column(packed.calls, name == "start_us") for name in COLUMNS}
    assert reader.at == len(packed.columns)
    return out


def unpack(record):
    """The record; one with packed_calls gets `calls` instead, which tests read."""
    if record.WhichOneof("body") != "packed_calls":
        return record
    packed = type(record.packed_calls)()
    packed.CopyFrom(record.packed_calls)
    c, calls = columns(packed), record.calls  # naming the other body's field does not set it yet
    calls.base_wall_ns, calls.base_mono_ns = packed.base_wall_ns, packed.base_mono_ns
    calls.first_number = c["number"][0]
    calls.number_delta.extend([0] + [b - a for a, b in zip(c["number"], c["number"][1:])])
    calls.probe.extend(c["entry"])
    for name in COLUMNS[2:]:
        getattr(calls, name).extend(c[name])
    for entry in packed.entries:
        calls.probes.append(entry.probe)
        calls.tools.append(entry.tool)
        calls.targets.append(entry.target)
        calls.paths.append(entry.path)
    return record
