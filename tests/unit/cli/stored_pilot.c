/* stored_pilot: see stored_pilot.h. */
#include "stored_pilot.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "cli_fixture.h"

#define COMPLETED PILOTGATE__OUTCOME__OUTCOME_COMPLETED
#define REUSED PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED
#define MANY 64

#define ok(call)                               \
    do {                                       \
        struct err e = {""};                   \
        if ((call) < 0)                        \
            fail_msg("%s: %s", #call, e.text); \
    } while (0)

static struct run r;

static int64_t at(const struct stored *s, double t) {
    return s->begin_ns + (int64_t)(t * 1e9);
}

void stored_put(struct stored *s, Pilotgate__Record *rec, double t) {
    uint8_t bytes[16384];
    enum store_put put;
    rec->seq = ++s->seq;
    rec->wall_ns = at(s, t);
    rec->mono_ns = (uint64_t)(t * 1e9) + 1000;
    assert_true(pilotgate__record__get_packed_size(rec) <= sizeof bytes);
    struct store_record row = {.stream = s->stream,
                               .seq = rec->seq,
                               .family = wire_family(rec),
                               .t_from_ns = rec->wall_ns,
                               .t_to_ns = rec->wall_ns,
                               .payload = bytes,
                               .len = pilotgate__record__pack(rec, bytes)};
    if (rec->body_case == PILOTGATE__RECORD__BODY_CALL)
        row.t_from_ns = rec->call->start_wall_ns;
    if (rec->body_case == PILOTGATE__RECORD__BODY_CALLS)
        row.t_from_ns = rec->calls->base_wall_ns;
    ok(store_put_record(s->store, &row, &put, &e));
    assert_int_equal(put, STORE_PUT_NEW);
}

static void put_clock(struct stored *s, double t) {
    Pilotgate__Timing timing = PILOTGATE__TIMING__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    timing.kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET;
    timing.error_ns = 1000000;
    rec.body_case = PILOTGATE__RECORD__BODY_TIMING;
    rec.timing = &timing;
    stored_put(s, &rec, t);
}

static void put_first_call(struct stored *s, double t) {
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    phase.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_CALL;
    phase.subject = (char *)"Probe/kept";
    phase.t_wall_ns = at(s, t);
    phase.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
    phase.origin = PILOTGATE__ORIGIN__ORIGIN_PROBE;
    rec.body_case = PILOTGATE__RECORD__BODY_PHASE;
    rec.phase = &phase;
    stored_put(s, &rec, t);
}

static void put_tools(struct stored *s, double t, double previous, const char *tools) {
    char normal[128];
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    (void)snprintf(normal, sizeof normal, "{\"tools\":[%s]}", tools);
    o.op = previous > 0 ? PILOTGATE__OBJECT__OP__OP_MODIFIED : PILOTGATE__OBJECT__OP__OP_LISTED;
    o.kind = (char *)"ToolCatalogue";
    o.name = (char *)"gateway";
    o.digest = (char *)tools;
    o.normal = normal;
    o.t_wall_ns = at(s, t);
    o.previous_wall_ns = previous > 0 ? at(s, previous) : 0;
    rec.body_case = PILOTGATE__RECORD__BODY_OBJECT;
    rec.object = &o;
    stored_put(s, &rec, t);
}

void stored_coverage(struct stored *s, double from, double to, Pilotgate__Coverage__Probe **probes,
                     size_t n) {
    for (double t = from; t < to; t += 1) {
        Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
        Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
        c.base_mono_ns = (uint64_t)(t * 1e9) + 1000;
        c.n_probes = n;
        c.probes = probes;
        rec.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
        rec.coverage = &c;
        stored_put(s, &rec, t);
    }
}

static void put_block(struct stored *s, const char *probe, const char *tool, uint64_t first, size_t n,
                      double start, double end, uint32_t outcome, uint32_t flags) {
    char *probes[] = {(char *)probe}, *tools[] = {(char *)tool}, *targets[] = {(char *)"gateway"};
    int64_t deltas[MANY], starts[MANY] = {0};
    uint32_t probe_of[MANY] = {0}, outcomes[MANY], all_flags[MANY], connections[MANY];
    uint64_t durations[MANY];
    Pilotgate__CallBlock b = PILOTGATE__CALL_BLOCK__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    assert_true(n <= MANY);
    for (size_t i = 0; i < n; i++) {
        deltas[i] = i ? 1 : 0;
        outcomes[i] = outcome;
        all_flags[i] = flags;
        connections[i] = (uint32_t)(first + i);
        durations[i] = (uint64_t)((end - start) * 1e6);
    }
    b.base_wall_ns = at(s, start);
    b.first_number = first;
    b.n_probes = b.n_tools = b.n_targets = 1;
    b.probes = probes;
    b.tools = tools;
    b.targets = targets;
    b.n_number_delta = b.n_probe = b.n_start_us = b.n_duration_us = b.n_outcome = b.n_connection = b.n_flags =
        n;
    b.number_delta = deltas;
    b.probe = probe_of;
    b.start_us = starts;
    b.duration_us = durations;
    b.outcome = outcomes;
    b.connection = connections;
    b.flags = all_flags;
    rec.body_case = PILOTGATE__RECORD__BODY_CALLS;
    rec.calls = &b;
    stored_put(s, &rec, end);
}

void stored_calls(struct stored *s, const char *probe, uint64_t first, size_t n, double start, double end,
                  uint32_t flags) {
    put_block(s, probe, "hold", first, n, start, end, COMPLETED, flags);
}

/* In a block and in full, as agents send what did not complete. */
static void put_lost(struct stored *s, uint64_t number, double start, double end) {
    Pilotgate__Call k = PILOTGATE__CALL__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    char nonce[32];
    (void)snprintf(nonce, sizeof nonce, STORED_BOOT "-%llu", (unsigned long long)number);
    put_block(s, "kept", "hold", number, 1, start, end, PILOTGATE__OUTCOME__OUTCOME_RESET, REUSED);
    k.number = number;
    k.nonce = nonce;
    k.probe = (char *)"kept";
    k.target = (char *)"gateway";
    k.tool = (char *)"hold";
    k.start_wall_ns = at(s, start);
    k.duration_us = (uint64_t)((end - start) * 1e6);
    k.outcome = PILOTGATE__OUTCOME__OUTCOME_RESET;
    k.flags = REUSED;
    k.detail = (char *)"sent, \"no byte\" of the answer";
    rec.body_case = PILOTGATE__RECORD__BODY_CALL;
    rec.call = &k;
    stored_put(s, &rec, end);
}

static void put_change(struct stored *s, double t, uint64_t first, const char *tools) {
    stored_calls(s, "kept", first, STORED_EACH, t - 2, t + 2, REUSED);
    stored_calls(s, "fresh", first + STORED_EACH, STORED_EACH, t - 2, t + 2, 0);
    put_tools(s, t, t - 0.25, tools);
}

static void fill(struct stored *s) {
    Pilotgate__Coverage__Probe kept = PILOTGATE__COVERAGE__PROBE__INIT, fresh = kept;
    Pilotgate__Coverage__Probe *probes[] = {&kept, &fresh};
    kept.name = (char *)"kept";
    fresh.name = (char *)"fresh";
    put_clock(s, 0);
    put_tools(s, 1, 0, "\"echo\",\"hold\",\"sum\"");
    stored_calls(s, "kept", 1, 2, 3, 5, REUSED);
    put_first_call(s, 5);
    stored_coverage(s, 0, 130, probes, 2);
    put_lost(s, STORED_LOST, 48.5, 50.25);
    put_change(s, 50, 100, "\"echo\",\"hold\"");
    put_change(s, 100, 200, "\"hold\"");
    stored_calls(s, "control", STORED_CONTROL, 1, 110, 111, PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL);
}

static void put_session(struct stored *s, const uint8_t *boot) {
    struct store_session row = {.cluster = "c1",
                                .namespace_name = "shop",
                                .node = "n1",
                                .version = "test",
                                .since_ns = s->begin_ns,
                                .last_seen_ns = when_wall_ns()};
    memcpy(row.boot, boot, WIRE_BOOT_BYTES);
    ok(store_put_session(s->store, &row, &e));
}

void stored_open(struct stored *s, const char *dir) {
    static const uint8_t boot[WIRE_BOOT_BYTES] = {0x0a, 0x0b, 0x0c, 0x0d};
    const struct store_stream_key key = {"c1", "shop", "n1", boot};
    char url[128];
    uint64_t hwm;
    write_text(dir, "p.yaml",
               "name: demo\nrubric: {max_drop_rate: 0.5, min_in_flight_per_kind: 3, longest_call: 3s, "
               "keep_alive: 1s, "
               "merge_gap: 2s}\nstages: [{stage: c1/shop}]\n");
    (void)snprintf(url, sizeof url, "sqlite:%s/p.db", dir);
    (void)setenv("PILOTGATE_STORE", url, 1);
    run_cli(&r, dir, "pilot init --file p.yaml");
    assert_int_equal(r.status, 0);
    *s = (struct stored){.begin_ns = when_wall_ns() - STORED_BEFORE_NOW * WHEN_S};
    ok(store_open(url, STORE_SERVE, &s->store, &e));
    ok(store_begin(s->store, &e));
    ok(store_stream(s->store, &key, &s->stream, &hwm, &(bool){false}, &e));
    put_session(s, boot);
    fill(s);
}

void stored_close(struct stored *s) {
    uint64_t n;
    ok(store_commit(s->store, when_wall_ns(), &n, &e));
    store_close(&s->store);
}

void stored_pilot(const char *dir) {
    struct stored s;
    stored_open(&s, dir);
    stored_close(&s);
}

int stored_setup(void **state) {
    if (dir_setup(state) == 0)
        stored_pilot(*state);
    return 0;
}
