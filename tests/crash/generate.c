/* generate: see generate.h. Texts and numbers count up in each thread, and the times differ, so that no two
 * records of a lifetime are alike; the truth notes each before it is emitted. */
#include "generate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/when.h"
#include "truth.h"
#include "wire/block.h"

#define CALLS_MAX 40
#define NAME_MAX_BYTES 96
#define COVERAGE_EVERY (1 * WHEN_S)
#define TOO_LARGE (WIRE_RECORD_MAX + 1000)

/* xorshift64 (Marsaglia 2003): repeatable by its seed. */
static uint64_t draw(struct generator *g, uint64_t below) {
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return g->random % below;
}

static void emit_noted(struct generator *g, Pilotgate__Record *r) {
    r->wall_ns = when_wall_ns();
    r->mono_ns = (uint64_t)when_mono_ns();
    r->seq = 0;
    truth_emits(g->kind, r);
    emit_record(g->emit, r);
}

static char *name(struct generator *g, const char *what, char out[NAME_MAX_BYTES]) {
    (void)snprintf(out, NAME_MAX_BYTES, "%s-%" PRIu64 "-%" PRId64, what, ++g->unique, when_wall_ns());
    return out;
}

/* ---- calls */

static void emit_failed(struct generator *g, uint64_t number) {
    char nonce[NAME_MAX_BYTES];
    Pilotgate__Call c = PILOTGATE__CALL__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    c.number = number;
    c.nonce = name(g, "nonce", nonce);
    c.probe = c.tool = (char[]){"echo"};
    c.target = (char[]){"gateway"};
    c.start_wall_ns = when_wall_ns();
    c.start_mono_ns = (uint64_t)when_mono_ns();
    c.duration_us = draw(g, 5000) + 1;
    c.outcome = PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR;
    r.body_case = PILOTGATE__RECORD__BODY_CALL;
    r.call = &c;
    g->failed++;
    emit_noted(g, &r);
}

struct block {
    size_t n;
    int64_t delta[CALLS_MAX], start[CALLS_MAX];
    uint64_t duration[CALLS_MAX];
    uint32_t zero[CALLS_MAX], outcome[CALLS_MAX], connection[CALLS_MAX];
};

static void fill_block(struct generator *g, struct block *b) {
    b->n = 1 + draw(g, CALLS_MAX);
    for (size_t i = 0; i < b->n; i++) {
        b->delta[i] = i > 0;
        b->start[i] = (int64_t)(i * 10);
        b->duration[i] = draw(g, 5000) + 1;
        b->outcome[i] = PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
        b->connection[i] = 1 + (uint32_t)draw(g, 8);
        b->zero[i] = 0;
    }
}

static void emit_block(struct generator *g, struct block *b) {
    char *names[] = {(char[]){"echo"}}, *targets[] = {(char[]){"gateway"}};
    Pilotgate__CallBlock c = PILOTGATE__CALL_BLOCK__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    c.base_wall_ns = when_wall_ns();
    c.base_mono_ns = (uint64_t)when_mono_ns();
    c.first_number = g->calls + 1;
    c.probes = c.tools = names;
    c.targets = targets;
    c.n_probes = c.n_tools = c.n_targets = 1;
    c.number_delta = b->delta;
    c.start_us = b->start;
    c.duration_us = b->duration;
    c.probe = c.flags = b->zero;
    c.outcome = b->outcome;
    c.connection = b->connection;
    c.n_number_delta = c.n_start_us = c.n_duration_us = c.n_probe = c.n_flags = c.n_outcome = c.n_connection =
        b->n;
    r.body_case = PILOTGATE__RECORD__BODY_CALLS;
    r.calls = &c;
    g->calls += b->n;
    emit_noted(g, &r);
}

/* The same as agents send it since 0.2. */
static void emit_packed(struct generator *g, const struct block *b) {
    static struct block_calls calls; /* of the one thread that makes calls */
    struct buf columns = BUF_INIT(WIRE_RECORD_MAX);
    Pilotgate__PackedCalls__Entry entry = PILOTGATE__PACKED_CALLS__ENTRY__INIT, *entries[] = {&entry};
    Pilotgate__PackedCalls p = PILOTGATE__PACKED_CALLS__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    calls.n = b->n;
    for (size_t i = 0; i < b->n; i++) {
        calls.number[i] = ++g->calls;
        calls.start_us[i] = b->start[i];
        calls.duration_us[i] = b->duration[i];
        calls.connection[i] = b->connection[i];
        calls.outcome[i] = b->outcome[i];
        calls.flags[i] = calls.entry[i] = 0;
    }
    if (block_encode(&calls, 1, &columns, NULL) < 0)
        abort();
    entry.probe = entry.tool = (char[]){"echo"};
    entry.target = (char[]){"gateway"};
    p.base_wall_ns = when_wall_ns();
    p.base_mono_ns = (uint64_t)when_mono_ns();
    p.calls = (uint32_t)b->n;
    p.entries = entries;
    p.n_entries = 1;
    p.columns = (ProtobufCBinaryData){columns.len, (uint8_t *)columns.data};
    r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    r.packed_calls = &p;
    emit_noted(g, &r);
    buf_free(&columns);
}

static void emit_calls(struct generator *g) {
    struct block b;
    fill_block(g, &b);
    if (draw(g, 8) == 0) {
        b.outcome[b.n - 1] = PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR;
        emit_failed(g, g->calls + b.n);
    }
    if (draw(g, 2))
        emit_packed(g, &b);
    else
        emit_block(g, &b);
}

static void cover_calls(struct generator *g) {
    Pilotgate__Coverage__Probe p = PILOTGATE__COVERAGE__PROBE__INIT, *list[] = {&p};
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    p.name = (char[]){"echo"};
    p.scheduled = p.started = p.resolved = g->calls;
    p.in_flight = 1;
    c.base_mono_ns = (uint64_t)when_mono_ns();
    c.probes = list;
    c.n_probes = 1;
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    emit_noted(g, &r);
}

/* ---- what kube tells */

static void emit_phase(struct generator *g) {
    char subject[NAME_MAX_BYTES];
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    p.kind = PILOTGATE__PHASE__KIND__KIND_POD_READY;
    p.subject = name(g, "Pod/other", subject);
    p.uid = subject + 4;
    p.t_wall_ns = when_wall_ns();
    p.precision_ns = WHEN_S;
    p.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
    p.origin = PILOTGATE__ORIGIN__ORIGIN_WATCH;
    r.body_case = PILOTGATE__RECORD__BODY_PHASE;
    r.phase = &p;
    emit_noted(g, &r);
}

/* `normal` is as long as the writer likes: over the wire's limit it must be told as lost. */
static void emit_object(struct generator *g, Pilotgate__Object__Op op, size_t normal_len) {
    static _Thread_local char normal[TOO_LARGE + 1];
    char digest[NAME_MAX_BYTES];
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    memset(normal, ' ', normal_len);
    normal[normal_len] = 0;
    o.op = op;
    o.kind = (char[]){"Service"};
    o.name = o.uid = (char[]){"aside"};
    o.digest = name(g, "digest", digest);
    o.normal = normal;
    o.t_wall_ns = when_wall_ns();
    o.origin = PILOTGATE__ORIGIN__ORIGIN_WATCH;
    r.body_case = PILOTGATE__RECORD__BODY_OBJECT;
    r.object = &o;
    emit_noted(g, &r);
}

static void emit_kube(struct generator *g) {
    switch (draw(g, 40)) {
    case 0:
        emit_object(g, PILOTGATE__OBJECT__OP__OP_MODIFIED, TOO_LARGE);
        return;
    case 1:
        emit_object(g, PILOTGATE__OBJECT__OP__OP_MODIFIED, WIRE_NORMAL_MAX);
        return;
    default:
        break;
    }
    if (draw(g, 2))
        emit_phase(g);
    else if (draw(g, 2))
        emit_object(g, PILOTGATE__OBJECT__OP__OP_MODIFIED, draw(g, 500));
    else
        emit_object(g, PILOTGATE__OBJECT__OP__OP_CONFIRMED, 0);
}

static void cover_sources(struct generator *g) {
    Pilotgate__Coverage__Source s = PILOTGATE__COVERAGE__SOURCE__INIT, *list[] = {&s};
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    s.name = (char[]){"pods"};
    s.last_wall_ns = when_wall_ns();
    s.ok = true;
    c.base_mono_ns = (uint64_t)when_mono_ns();
    c.sources = list;
    c.n_sources = 1;
    c.rss_bytes = ++g->unique;
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    emit_noted(g, &r);
}

static void emit_timing(struct generator *g) {
    Pilotgate__Timing t = PILOTGATE__TIMING__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    t.kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET; /* true on one machine */
    t.error_ns = (uint64_t)WHEN_MS + ++g->unique;
    r.body_case = PILOTGATE__RECORD__BODY_TIMING;
    r.timing = &t;
    emit_noted(g, &r);
}

/* ---- threads */

static void cover(struct generator *g) {
    if (g->kind == GENERATE_CALLS)
        cover_calls(g);
    else if (g->kind == GENERATE_KUBE)
        cover_sources(g);
}

static void step(struct generator *g) {
    int64_t now = when_mono_ns();
    if (now >= g->next_coverage) {
        cover(g);
        g->next_coverage = now + COVERAGE_EVERY;
    }
    if (g->kind == GENERATE_CALLS)
        emit_calls(g);
    else if (g->kind == GENERATE_KUBE)
        emit_kube(g);
    else
        emit_timing(g);
}

void *generate(void *generator) {
    struct generator *g = generator;
    while (!atomic_load(g->stop)) {
        step(g);
        int64_t wait = g->interval_ns / 2 + (int64_t)draw(g, (uint64_t)g->interval_ns);
        struct timespec t = {wait / WHEN_S, wait % WHEN_S};
        (void)nanosleep(&t, NULL);
    }
    return NULL;
}
