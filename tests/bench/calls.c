/* calls: see calls.h. */
#include "calls.h"

#include <errno.h>
#include <string.h>

#include "base/when.h"

#define SEQ_TAG 0x08 /* field 1, varint: Record.seq */
#define RECORD_ROOM WIRE_RECORD_MAX

static const char *const probes[CALLS_PROBES] = {"echo-kept", "echo-new", "hold", "echo-control"};
static const char *const tools[CALLS_PROBES] = {"echo", "echo", "hold", "echo"};
static const char *const targets[CALLS_PROBES] = {"gateway", "gateway", "gateway", "canary"};

/* xorshift64*: quick, and the same on every machine. */
static uint64_t next_random(struct calls_source *s) {
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * 0x2545f4914f6cdd1dull;
}

/* 0 .. max, small values more often than large ones. */
static uint64_t skewed(struct calls_source *s, uint64_t max) {
    uint64_t a = next_random(s) >> 48, b = next_random(s) >> 48;
    return (a * b * max) >> 32;
}

static int pack(Pilotgate__Record *r, struct buf *out, struct err *e) {
    buf_clear(out);
    out->max = RECORD_ROOM;
    size_t len = pilotgate__record__get_packed_size(r);
    int code = buf_reserve(out, len + 16);
    if (code < 0)
        return err_set(e, code, "a record of %zu bytes", len);
    out->len = pilotgate__record__pack(r, (uint8_t *)out->data);
    return 0;
}

/* ------------------------------------------------------------------ call blocks */

static struct block_calls columns; /* too large for a stack; this module is one thread's */

static void fill(struct calls_source *s, size_t n) {
    columns.n = n;
    columns.base_wall_ns = s->wall;
    columns.base_mono_ns = (uint64_t)s->mono;
    int64_t apart_us = 1000000 / s->rate;
    for (size_t i = 0; i < n; i++) {
        uint8_t probe = (uint8_t)(s->next % CALLS_PROBES);
        bool kept = probe != 1;
        columns.number[i] = s->next++;
        columns.entry[i] = probe;
        columns.start_us[i] = (int64_t)i * apart_us + 40 + (int64_t)skewed(s, 300);
        columns.duration_us[i] = (probe == 2 ? 2000000 : 8000) + skewed(s, 40000);
        columns.outcome[i] = PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
        columns.connection[i] = kept ? 1u + probe : (uint32_t)(100 + s->next / CALLS_PROBES);
        columns.flags[i] = kept ? PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED : 0;
        if (probe == 3)
            columns.flags[i] |= PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL;
    }
    s->wall += (int64_t)n * apart_us * 1000;
    s->mono += (int64_t)n * apart_us * 1000;
}

static int pack_columns(struct buf *out, struct err *e) {
    static struct buf bytes = BUF_INIT(WIRE_RECORD_MAX);
    Pilotgate__PackedCalls__Entry entries[CALLS_PROBES], *list[CALLS_PROBES];
    Pilotgate__PackedCalls b = PILOTGATE__PACKED_CALLS__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    int code = block_encode(&columns, CALLS_PROBES, &bytes, e);
    if (code < 0)
        return code;
    for (unsigned i = 0; i < CALLS_PROBES; i++) {
        pilotgate__packed_calls__entry__init(&entries[i]);
        entries[i].probe = (char *)(uintptr_t)probes[i];
        entries[i].tool = (char *)(uintptr_t)tools[i];
        entries[i].target = (char *)(uintptr_t)targets[i];
        list[i] = &entries[i];
    }
    b.base_wall_ns = columns.base_wall_ns;
    b.base_mono_ns = columns.base_mono_ns;
    b.calls = (uint32_t)columns.n;
    b.n_entries = CALLS_PROBES;
    b.entries = list;
    b.columns = (ProtobufCBinaryData){bytes.len, (uint8_t *)bytes.data};
    r.wall_ns = columns.base_wall_ns;
    r.mono_ns = columns.base_mono_ns;
    r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    r.packed_calls = &b;
    return pack(&r, out, e);
}

int calls_block(struct calls_source *s, size_t n, struct buf *out, struct err *e) {
    if (n == 0 || n > WIRE_BLOCK_CALLS_MAX || s->rate == 0 || s->rate > 1000000)
        return err_set(e, -EINVAL, "a block of %zu calls at %u a second", n, s->rate);
    fill(s, n);
    return pack_columns(out, e);
}

/* ------------------------------------------------------------------ coverage and clocks */

static void cover_probes(const struct calls_source *s, Pilotgate__Coverage__Probe *all,
                         Pilotgate__Coverage__Probe **list, Pilotgate__Coverage *c) {
    for (unsigned i = 0; i < CALLS_PROBES; i++) {
        pilotgate__coverage__probe__init(&all[i]);
        all[i].name = (char *)(uintptr_t)probes[i];
        all[i].scheduled = all[i].started = all[i].resolved = s->next / CALLS_PROBES;
        all[i].interval_us = 1000000ull * CALLS_PROBES / s->rate;
        all[i].in_flight = 1;
        all[i].max_delay_us = 120;
        all[i].control = i == 3;
        list[i] = &all[i];
    }
    c->n_probes = CALLS_PROBES;
    c->probes = list;
}

int calls_coverage(const struct calls_source *s, enum calls_cover which, int64_t wall, int64_t mono,
                   struct buf *out, struct err *e) {
    static const char *const of_mcp[] = {"catalogue/gateway", "catalogue/canary"};
    static const char *const of_kube[] = {"pods", "workloads", "releases", "configmaps", "namespace"};
    Pilotgate__Coverage__Probe all[CALLS_PROBES], *list[CALLS_PROBES];
    Pilotgate__Coverage__Source sources[5], *sources_list[5];
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    const char *const *names = which == CALLS_COVER_KUBE ? of_kube : of_mcp;
    c.base_mono_ns = (uint64_t)mono;
    c.n_sources = which == CALLS_COVER_KUBE ? 5 : which == CALLS_COVER_MCP ? 2 : 0;
    c.sources = sources_list;
    for (size_t i = 0; i < c.n_sources; i++) {
        pilotgate__coverage__source__init(&sources[i]);
        sources[i].name = (char *)(uintptr_t)names[i];
        sources[i].last_wall_ns = wall - 100 * WHEN_MS;
        sources[i].ok = true;
        sources_list[i] = &sources[i];
    }
    if (which == CALLS_COVER_MCP)
        cover_probes(s, all, list, &c);
    c.bye = which == CALLS_COVER_BYE;
    r.wall_ns = wall;
    r.mono_ns = (uint64_t)mono;
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    return pack(&r, out, e);
}

int calls_timing(int64_t wall, int64_t mono, int64_t offset_ns, uint64_t error_ns, struct buf *out,
                 struct err *e) {
    Pilotgate__Timing t = PILOTGATE__TIMING__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    t.kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET;
    t.value_ns = offset_ns;
    t.error_ns = error_ns;
    r.wall_ns = wall;
    r.mono_ns = (uint64_t)mono;
    r.body_case = PILOTGATE__RECORD__BODY_TIMING;
    r.timing = &t;
    return pack(&r, out, e);
}

int calls_number(struct buf *record, uint64_t seq) {
    uint8_t bytes[11] = {SEQ_TAG};
    size_t n = 1;
    for (; seq >= 0x80; seq >>= 7)
        bytes[n++] = (uint8_t)(seq | 0x80);
    bytes[n++] = (uint8_t)seq;
    return buf_add(record, bytes, n);
}
