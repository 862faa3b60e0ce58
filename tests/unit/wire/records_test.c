/* Tests of records: blocks of calls, coverage, families that are not known, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

#define N WIRE_BLOCK_CALLS_MAX

/* A block with room for one call too many. */
struct block {
    Pilotgate__Record r;
    Pilotgate__CallBlock b;
    int64_t number[N + 1], start[N + 1];
    uint64_t duration[N + 1];
    uint32_t probe[N + 1], outcome[N + 1], connection[N + 1], flags[N + 1];
    char *probes[WIRE_BLOCK_PROBES_MAX + 1], *tools[WIRE_BLOCK_PROBES_MAX + 1],
        *targets[WIRE_BLOCK_PROBES_MAX + 1];
};

static void resize(struct block *b, size_t n) {
    b->b.n_number_delta = b->b.n_probe = b->b.n_start_us = b->b.n_duration_us = n;
    b->b.n_outcome = b->b.n_connection = b->b.n_flags = n;
}

static void probes(struct block *b, size_t n) {
    b->b.n_probes = b->b.n_tools = b->b.n_targets = n;
}

static struct block *block_new(size_t n) {
    struct block *b = calloc(1, sizeof *b);
    pilotgate__record__init(&b->r);
    pilotgate__call_block__init(&b->b);
    b->r.body_case = PILOTGATE__RECORD__BODY_CALLS;
    b->r.calls = &b->b;
    b->r.seq = 5;
    b->b.first_number = 1;
    b->b.number_delta = b->number;
    b->b.start_us = b->start;
    b->b.duration_us = b->duration;
    b->b.probe = b->probe;
    b->b.outcome = b->outcome;
    b->b.connection = b->connection;
    b->b.flags = b->flags;
    b->b.probes = b->probes;
    b->b.tools = b->tools;
    b->b.targets = b->targets;
    for (size_t i = 0; i < WIRE_BLOCK_PROBES_MAX + 1; i++)
        b->probes[i] = b->tools[i] = b->targets[i] = (char *)"p";
    for (size_t i = 0; i < N + 1; i++) {
        b->number[i] = i > 0;
        b->outcome[i] = 1;
        b->duration[i] = 1000;
        b->start[i] = -(int64_t)i;
    }
    probes(b, 1);
    resize(b, n);
    return b;
}

static int through(const Pilotgate__Record *r, Pilotgate__Record **out, struct err *e) {
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *p = malloc(len + 1);
    assert_int_equal(pilotgate__record__pack(r, p), len);
    int code = wire_record_unpack(p, len, out, e);
    free(p);
    return code;
}

static void expect_taken(const struct block *b) {
    Pilotgate__Record *out = NULL;
    struct err e = {0};
    if (through(&b->r, &out, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(wire_family(out), WIRE_FAMILY_CALLS);
    wire_record_free(&out);
    assert_null(out);
}

static void expect_refused(const struct block *b, const char *why) {
    Pilotgate__Record *out = NULL;
    struct err e = {0};
    assert_int_equal(through(&b->r, &out, &e), -EBADMSG);
    assert_null(out);
    if (!strstr(e.text, why))
        fail_msg("'%s' does not say '%s'", e.text, why);
}

static void block_goes_round(void **state) {
    (void)state;
    struct block *b = block_new(N);
    Pilotgate__Record *out = NULL;
    struct err e;
    assert_int_equal(through(&b->r, &out, &e), 0);
    assert_int_equal(out->calls->n_outcome, N);
    assert_int_equal(out->calls->start_us[N - 1], -(N - 1));
    assert_int_equal(out->calls->duration_us[7], 1000);
    assert_string_equal(out->calls->probes[0], "p");
    wire_record_free(&out);
    resize(b, 0);
    probes(b, 0);
    expect_taken(b);
    free(b);
}

static void block_limits(void **state) {
    (void)state;
    struct block *b = block_new(N + 1);
    expect_refused(b, "elements, over the limit of 4096");
    resize(b, 3);
    probes(b, WIRE_BLOCK_PROBES_MAX);
    expect_taken(b);
    probes(b, WIRE_BLOCK_PROBES_MAX + 1);
    expect_refused(b, "elements, over the limit of 64");
    probes(b, 2);
    b->b.n_tools = 1;
    expect_refused(b, "differ in number");
    b->b.n_tools = 2;
    b->b.n_targets = 3;
    expect_refused(b, "differ in number");
    free(b);
}

/* Each column shorter and longer by one. */
static void columns_of_different_length(void **state) {
    (void)state;
    struct block *b = block_new(3);
    size_t *const lengths[] = {&b->b.n_number_delta, &b->b.n_probe,   &b->b.n_start_us,
                               &b->b.n_duration_us,  &b->b.n_outcome, &b->b.n_connection,
                               &b->b.n_flags};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        *lengths[i] = 2;
        expect_refused(b, "columns of different length");
        *lengths[i] = 4;
        expect_refused(b, "columns of different length");
        *lengths[i] = 0;
        expect_refused(b, "columns of different length");
        *lengths[i] = 3;
    }
    expect_taken(b);
    free(b);
}

static void values_out_of_range(void **state) {
    (void)state;
    struct block *b = block_new(3);
    b->probe[2] = 1;
    expect_refused(b, "call 2 names no probe");
    b->probe[2] = 0;
    b->number[1] = INT64_MIN;
    expect_refused(b, "number of call 1");
    b->number[1] = INT64_MAX;
    expect_refused(b, "number of call 1");
    b->number[1] = -1;
    expect_refused(b, "number of call 1");
    b->number[1] = 1;
    b->b.first_number = UINT64_MAX;
    expect_refused(b, "first_number is out of range");
    b->b.first_number = 0;
    expect_refused(b, "number of call 0");
    b->b.first_number = WIRE_SEQ_MAX;
    expect_refused(b, "number of call 1");
    b->b.first_number = 1;
    b->duration[0] = UINT64_MAX;
    expect_refused(b, "duration_us is out of range");
    b->duration[0] = (uint64_t)WIRE_US_MAX;
    b->start[0] = -WIRE_US_MAX;
    expect_taken(b);
    b->start[0] = INT64_MIN;
    expect_refused(b, "start_us is out of range");
    b->start[0] = 0;
    b->b.base_mono_ns = UINT64_MAX;
    expect_refused(b, "base_mono_ns is out of range");
    b->b.base_mono_ns = 0;
    b->r.wall_ns = INT64_MIN;
    expect_refused(b, "wall_ns is out of range");
    b->r.wall_ns = 0;
    b->r.mono_ns = (uint64_t)WIRE_NS_MAX + 1;
    expect_refused(b, "mono_ns is out of range");
    free(b);
}

/* An outcome of a newer agent is kept as a number and never read as success. */
static void unknown_numbers(void **state) {
    (void)state;
    struct block *b = block_new(2);
    b->outcome[1] = 4000000000u;
    Pilotgate__Record *out = NULL;
    struct err e;
    assert_int_equal(through(&b->r, &out, &e), 0);
    assert_int_equal(out->calls->outcome[1], 4000000000u);
    assert_string_equal(wire_outcome_name((int)out->calls->outcome[1]), "unknown");
    wire_record_free(&out);
    free(b);
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.body_case = PILOTGATE__RECORD__BODY_PHASE;
    r.phase = &p;
    p.kind = (Pilotgate__Phase__Kind)77;
    assert_int_equal(through(&r, &out, &e), 0);
    assert_int_equal(out->phase->kind, 77);
    wire_record_free(&out);
}

static void unknown_family(void **state) {
    (void)state;
    static const uint8_t newer[] = {0x08, 0x05, 0xfa, 0x06, 0x02, 0x01, 0x02}; /* seq 5, field 111 */
    static const uint8_t none[] = {0x08, 0x05};
    Pilotgate__Record *out = NULL;
    struct err e;
    assert_int_equal(wire_record_unpack(newer, sizeof newer, &out, &e), 0);
    assert_int_equal(wire_family(out), WIRE_FAMILY_NONE);
    assert_int_equal(out->seq, 5);
    wire_record_free(&out);
    assert_int_equal(wire_record_unpack(none, sizeof none, &out, &e), -EBADMSG);
    assert_int_equal(wire_record_unpack(none, 0, &out, &e), -EBADMSG);
    assert_null(out);
}

static void objects_and_size(void **state) {
    (void)state;
    static char text[WIRE_RECORD_MAX + 1];
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__Record *out = NULL;
    struct err e;
    r.body_case = PILOTGATE__RECORD__BODY_OBJECT;
    r.object = &o;
    o.normal = text;
    memset(text, 'x', WIRE_NORMAL_MAX);
    assert_int_equal(through(&r, &out, &e), 0);
    wire_record_free(&out);
    text[WIRE_NORMAL_MAX] = 'x';
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
    memset(text, 'x', WIRE_RECORD_MAX);
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "over the limit of 262144"));
    text[0] = 0;
    o.reason = text + 1;
    text[WIRE_TEXT_MAX + 1] = 0;
    assert_int_equal(through(&r, &out, &e), 0);
    wire_record_free(&out);
    o.name = text + 1;
    text[WIRE_TEXT_MAX + 1] = 'x';
    text[WIRE_TEXT_MAX + 2] = 0;
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
}

/* A pause has a length, and no record may hold one that sums could not bear. */
static void a_pause_is_bounded(void **state) {
    (void)state;
    Pilotgate__Timing t = PILOTGATE__TIMING__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__Record *out = NULL;
    struct err e;
    r.body_case = PILOTGATE__RECORD__BODY_TIMING;
    r.timing = &t;
    t.kind = PILOTGATE__TIMING__KIND__KIND_PAUSE;
    t.value_ns = WIRE_NS_MAX;
    assert_int_equal(through(&r, &out, &e), 0);
    assert_int_equal(wire_family(out), WIRE_FAMILY_TIMING);
    assert_int_equal(out->timing->kind, PILOTGATE__TIMING__KIND__KIND_PAUSE);
    wire_record_free(&out);
    t.value_ns = WIRE_NS_MAX + 1;
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "value_ns is out of range"));
    t.value_ns = INT64_MIN;
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
    t.value_ns = 0;
    t.error_ns = UINT64_MAX;
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "error_ns is out of range"));
}

static void coverage_columns(void **state) {
    (void)state;
    uint64_t numbers[2] = {1, 1};
    int64_t starts[2] = {-5, -4};
    Pilotgate__Coverage__Probe p = PILOTGATE__COVERAGE__PROBE__INIT;
    Pilotgate__Coverage__Probe *all[] = {&p};
    Pilotgate__Coverage__Source s = PILOTGATE__COVERAGE__SOURCE__INIT;
    static Pilotgate__Coverage__Source *sources[WIRE_SOURCES_MAX + 1];
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__Record *out = NULL;
    struct err e;
    for (size_t i = 0; i < WIRE_SOURCES_MAX + 1; i++)
        sources[i] = &s;
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    c.probes = all;
    c.n_probes = 1;
    c.sources = sources;
    c.n_sources = WIRE_SOURCES_MAX;
    p.open_number_delta = numbers;
    p.open_start_us = starts;
    p.n_open_number_delta = p.n_open_start_us = 2;
    assert_int_equal(through(&r, &out, &e), 0);
    assert_int_equal(out->coverage->probes[0]->open_start_us[1], -4);
    wire_record_free(&out);
    p.n_open_start_us = 1;
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
    p.n_open_start_us = 2;
    c.n_sources++;
    assert_int_equal(through(&r, &out, &e), -EBADMSG);
}

static void torn_and_random_bytes(void **state) {
    (void)state;
    struct block *b = block_new(5);
    size_t len = pilotgate__record__get_packed_size(&b->r);
    uint8_t *p = malloc(len);
    uint8_t *noisy = malloc(len);
    (void)pilotgate__record__pack(&b->r, p);
    Pilotgate__Record *out = NULL;
    for (size_t n = 0; n < len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, p, n);
        assert_int_equal(wire_record_unpack(exact, n, &out, NULL), -EBADMSG);
        free(exact);
    }
    uint32_t x = 4711;
    for (int i = 0; i < 200000; i++) {
        memcpy(noisy, p, len);
        for (int k = 0; k < 1 + i % 5; k++) {
            x = x * 1664525 + 1013904223;
            noisy[(x >> 8) % len] = (uint8_t)(x >> 24);
        }
        if (wire_record_unpack(noisy, len, &out, NULL) == 0) {
            if (out->body_case == PILOTGATE__RECORD__BODY_CALLS)
                for (size_t c = 0; c < out->calls->n_number_delta; c++) /* what readers rely on */
                    assert_true(out->calls->probe[c] < out->calls->n_probes);
            wire_record_free(&out);
        }
    }
    free(noisy);
    free(p);
    free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_goes_round),
        cmocka_unit_test(block_limits),
        cmocka_unit_test(columns_of_different_length),
        cmocka_unit_test(values_out_of_range),
        cmocka_unit_test(unknown_numbers),
        cmocka_unit_test(unknown_family),
        cmocka_unit_test(objects_and_size),
        cmocka_unit_test(a_pause_is_bounded),
        cmocka_unit_test(coverage_columns),
        cmocka_unit_test(torn_and_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
