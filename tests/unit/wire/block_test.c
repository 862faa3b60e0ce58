/* Tests of call blocks: what goes in comes out, in few bytes; the bytes are as block.h draws them; whatever
 * is malformed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schedule.h"

#define N WIRE_BLOCK_CALLS_MAX

static struct block_calls in, out, again;
static struct buf columns = BUF_INIT(BLOCK_BYTES_MAX);
static Pilotgate__PackedCalls__Entry entry = PILOTGATE__PACKED_CALLS__ENTRY__INIT;
static Pilotgate__PackedCalls__Entry *entries[WIRE_BLOCK_PROBES_MAX + 1];

static int prepare(void **state) {
    (void)state;
    entry.probe = entry.tool = entry.target = (char *)"p";
    for (size_t i = 0; i < WIRE_BLOCK_PROBES_MAX + 1; i++)
        entries[i] = &entry;
    return 0;
}

static int clean(void **state) {
    (void)state;
    buf_free(&columns);
    return 0;
}

static Pilotgate__PackedCalls packed(size_t calls, size_t n_entries, const void *data, size_t len) {
    Pilotgate__PackedCalls p = PILOTGATE__PACKED_CALLS__INIT;
    p.base_wall_ns = 7;
    p.base_mono_ns = 8;
    p.calls = (uint32_t)calls;
    p.entries = entries;
    p.n_entries = n_entries;
    p.columns = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)data};
    return p;
}

static void check_same(const struct block_calls *a, const struct block_calls *b) {
    size_t n = a->n;
    assert_int_equal(n, b->n);
    assert_memory_equal(a->number, b->number, n * sizeof *a->number);
    assert_memory_equal(a->entry, b->entry, n * sizeof *a->entry);
    assert_memory_equal(a->start_us, b->start_us, n * sizeof *a->start_us);
    assert_memory_equal(a->duration_us, b->duration_us, n * sizeof *a->duration_us);
    assert_memory_equal(a->outcome, b->outcome, n * sizeof *a->outcome);
    assert_memory_equal(a->connection, b->connection, n * sizeof *a->connection);
    assert_memory_equal(a->flags, b->flags, n * sizeof *a->flags);
}

/* The encoder orders; a sum over all of each call does not see the order, but everything else. */
static uint64_t sum_of(const struct block_calls *c) {
    uint64_t sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        const uint64_t all[] = {c->number[i],      c->entry[i],      (uint64_t)c->start_us[i],
                                c->duration_us[i], c->connection[i], c->outcome[i],
                                c->flags[i]};
        uint64_t one = 1469598103934665603u;
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            one = (one ^ all[k]) * 1099511628211u;
        sum += one;
    }
    return sum;
}

/* Columns end where the decoder ends them: each begins with a head, and nothing is left over. */
static void check_cut(const uint8_t *bytes, size_t len, size_t calls) {
    size_t lens[BLOCK_CUT], at = 0;
    assert_int_equal(block_cut(bytes, len, calls, lens), 0);
    for (size_t c = 0; c < BLOCK_CUT; at += lens[c++]) {
        assert_true(lens[c] >= 2);
        assert_true((bytes[at] & 0x0f) <= 2 && bytes[at] >> 4 <= 2);
    }
    assert_int_equal(at, len);
    assert_int_equal(block_cut(bytes, len - 1, calls, lens), -EBADMSG);
    assert_int_equal(block_cut(bytes, len, 0, lens), -EBADMSG);
    assert_int_equal(block_cut(bytes, len, N + 1, lens), -EBADMSG);
}

/* `in` goes round; gives the columns' length. */
static size_t round_trip(size_t n_entries) {
    struct err e = {0};
    uint64_t sum = sum_of(&in);
    if (block_encode(&in, n_entries, &columns, &e) < 0)
        fail_msg("%s", e.text);
    assert_true(columns.len <= BLOCK_BYTES_MAX);
    assert_int_equal(sum_of(&in), sum);
    uint8_t *exact = malloc(columns.len); /* a sanitizer sees what reads beyond */
    memcpy(exact, columns.data, columns.len);
    Pilotgate__PackedCalls p = packed(in.n, n_entries, exact, columns.len);
    if (block_decode(&p, &out, &e) < 0)
        fail_msg("%s", e.text);
    check_same(&in, &out);
    assert_int_equal(out.base_wall_ns, 7);
    assert_int_equal(out.base_mono_ns, 8);
    check_cut(exact, columns.len, in.n);
    free(exact);
    return columns.len;
}

static void fill_one(size_t i, uint64_t v) {
    in.number[i] = 1 + v % WIRE_SEQ_MAX;
    in.entry[i] = (uint8_t)(v % WIRE_BLOCK_PROBES_MAX);
    in.start_us[i] = (int64_t)(v % (2 * (uint64_t)WIRE_US_MAX + 1)) - WIRE_US_MAX;
    in.duration_us[i] = v % ((uint64_t)WIRE_US_MAX + 1);
    in.outcome[i] = (uint32_t)v;
    in.connection[i] = (uint32_t)(v >> 7);
    in.flags[i] = (uint32_t)(v >> 13);
}

/* Values of any length, with runs of equal ones and steps of equal width among them. */
static void random_blocks_go_round(void **state) {
    (void)state;
    uint32_t r = 4711;
    for (int round = 0; round < 2000; round++) {
        uint64_t v = 0;
        in.n = 1 + schedule_random(&r) % (round % 50 ? 64 : N);
        for (size_t i = 0; i < in.n; i++) {
            uint32_t kind = schedule_random(&r) % 8;
            if (kind < 3)
                v = ((uint64_t)schedule_random(&r) << 40 ^ (uint64_t)schedule_random(&r) << 20 ^
                     schedule_random(&r)) >>
                    schedule_random(&r) % 64;
            else if (kind < 6)
                v += 17;
            fill_one(i, v);
        }
        (void)round_trip(WIRE_BLOCK_PROBES_MAX);
    }
}

static void extremes_go_round(void **state) {
    (void)state;
    for (size_t n = 1; n <= N; n = n < 8 ? n + 1 : n * 8) {
        in.n = n;
        for (size_t i = 0; i < n; i++) {
            in.number[i] = i % 2 ? 1 : WIRE_SEQ_MAX;
            in.entry[i] = i % 2 ? 0 : WIRE_BLOCK_PROBES_MAX - 1;
            in.start_us[i] = i % 2 ? -WIRE_US_MAX : WIRE_US_MAX;
            in.duration_us[i] = i % 3 ? 0 : (uint64_t)WIRE_US_MAX;
            in.outcome[i] = in.connection[i] = in.flags[i] = i % 2 ? 0 : UINT32_MAX;
        }
        (void)round_trip(WIRE_BLOCK_PROBES_MAX);
    }
}

/* The longest that there is still fits a record, with entries of usual length. */
static void the_longest_block(void **state) {
    (void)state;
    uint32_t r = 1;
    in.n = N;
    for (size_t i = 0; i < N; i++)
        fill_one(i, (uint64_t)schedule_random(&r) << 40 ^ (uint64_t)schedule_random(&r) << 20 ^
                        schedule_random(&r));
    assert_true(round_trip(WIRE_BLOCK_PROBES_MAX) > N * 30);
    assert_true(columns.len < WIRE_RECORD_MAX);
}

/* ---------------------------------------------------------------- what a call costs */

static size_t record_bytes(size_t n_entries) {
    Pilotgate__PackedCalls p = packed(in.n, n_entries, columns.data, columns.len);
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    p.base_wall_ns = in.base_wall_ns;
    p.base_mono_ns = in.base_mono_ns;
    r.seq = 1000000;
    r.wall_ns = in.base_wall_ns;
    r.mono_ns = in.base_mono_ns;
    r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    r.packed_calls = &p;
    return pilotgate__record__get_packed_size(&r);
}

static void bytes_of_a_call(void **state) {
    (void)state;
    static const struct {
        struct schedule s;
        size_t calls;
        double most;
    } cases[] = {
        {{"kept connection", 1, 100000, 300, 20000, 3000, 1, false}, 1000, 4},
        {{"a connection each", 1, 100000, 300, 20000, 3000, 0, false}, 1000, 4},
        {{"three probes by turns", 3, 100000, 300, 20000, 3000, 2, true}, 1000, 5},
        {{"thirty in flight", 1, 66000, 300, 2000000, 3000, 30, false}, 1000, 5},
        {{"very late ones", 1, 100000, 30000, 20000, 300000, 1, false}, 1000, 6},
        {{"ten seconds", 1, 100000, 300, 20000, 3000, 1, false}, 100, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        schedule_fill(&cases[i].s, cases[i].calls, 9, &in);
        int64_t wall = in.base_wall_ns;
        (void)round_trip(cases[i].s.probes);
        assert_int_equal(in.base_wall_ns, wall);
        double each = (double)record_bytes(cases[i].s.probes) / (double)in.n;
        print_message("%s: %.2f bytes a call of %zu\n", cases[i].s.name, each, in.n);
        assert_true(each <= cases[i].most);
    }
}

/* ---------------------------------------------------------------- the drawing */

/* Seven columns of two calls, each SAME with a value that is in every range. */
static const uint8_t same[] = {0x00, 1, 0x00, 0, 0x00, 1, 0x00, 1, 0x00, 1, 0x00, 1, 0x00, 1};

static void columns_are_as_drawn(void **state) {
    (void)state;
    static const uint8_t bytes[] = {
        0x02, 0x14, 0x04,             /* number: STRIDE from 10 by 2, SAME ... */
        0x00,                         /* ... 10 12 14 16 */
        0x20, 0x02, 3,    0,    1, 1, /* entry: PLAIN, two RUNS: 0 0 0 1 */
        0x11, 0x09, 5,    0,    1, 2, /* start_us: BASE -5, VARINT: 0 -5 -4 -3 */
        0x10, 0x80, 0x01, 0x07, 0, 1, /* duration_us: PLAIN VARINT: 128 7 0 1 */
        0x00, 0x01,                   /* outcome: all 1 */
        0x12, 0x06, 0x01,             /* connection: STRIDE from 3 by -1 ... */
        0x00, 0x02, 0x00,             /* ... 3 2 2 1 */
        0x21, 0x04, 0x01, 4,    0,    /* flags: BASE 4, one run: 4 4 4 4 */
    };
    static const int64_t expected[4][7] = {
        {10, 0, 0, 128, 1, 3, 4}, {12, 0, -5, 7, 1, 2, 4}, {14, 0, -4, 0, 1, 2, 4}, {16, 1, -3, 1, 1, 1, 4}};
    struct err e = {0};
    Pilotgate__PackedCalls p = packed(4, 2, bytes, sizeof bytes);
    if (block_decode(&p, &out, &e) < 0)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(out.number[i], expected[i][0]);
        assert_int_equal(out.entry[i], expected[i][1]);
        assert_int_equal(out.start_us[i], expected[i][2]);
        assert_int_equal(out.duration_us[i], expected[i][3]);
        assert_int_equal(out.outcome[i], expected[i][4]);
        assert_int_equal(out.connection[i], expected[i][5]);
        assert_int_equal(out.flags[i], expected[i][6]);
    }
}

/* Given in another order, calls come out by entry, flags and number, each column in the shortest way. */
static void the_encoder_takes_the_shortest(void **state) {
    (void)state;
    static const uint8_t expected[] = {
        0x02, 0x02, 0x02, 0x00,                               /* number: 1 2 3 4 */
        0x00, 0x00,                                           /* entry */
        0x12, 0x00, 0xc0, 0x9a, 0x0c, 0x00, 0x02, 0x01,       /* start: each 100,000 us */
        0x11, 0xa0, 0x8d, 0x06, 0x00, 0x09, 0x07, 0x08,       /* duration: from 100,000 us on */
        0x00, 0x01, 0x00, 0x87, 0x01, 0x10, 0,    0,    0, 1, /* outcome, connection, flags */
    };
    static const size_t order[] = {3, 0, 2, 1};
    static const int64_t starts[] = {0, 100000, 200001, 300000};
    static const uint64_t durations[] = {100000, 100009, 100007, 100008};
    in.n = 4;
    for (size_t k = 0; k < in.n; k++) {
        size_t i = order[k];
        in.number[k] = i + 1;
        in.entry[k] = 0;
        in.start_us[k] = starts[i];
        in.duration_us[k] = durations[i];
        in.outcome[k] = 1;
        in.connection[k] = 135;
        in.flags[k] = i == 3;
    }
    (void)round_trip(1);
    assert_int_equal(in.number[2], 3);
    assert_int_equal(columns.len, sizeof expected);
    assert_memory_equal(columns.data, expected, sizeof expected);
}

/* ---------------------------------------------------------------- malformed */

static void expect_refused(const Pilotgate__PackedCalls *p, const char *why) {
    struct err e = {0};
    Pilotgate__CallBlock *b = NULL;
    assert_int_equal(block_decode(p, &out, &e), -EBADMSG);
    if (!strstr(e.text, why))
        fail_msg("'%s' does not say '%s'", e.text, why);
    assert_int_equal(block_unpack(p, &b, &e), -EBADMSG);
    assert_null(b);
    assert_non_null(strstr(e.text, why));
}

static void expect_refused_bytes(const void *data, size_t len, const char *why) {
    uint8_t *exact = malloc(len ? len : 1);
    memcpy(exact, data, len);
    Pilotgate__PackedCalls p = packed(2, 1, exact, len);
    expect_refused(&p, why);
    free(exact);
}

/* `same` with column i as given. */
static void expect_refused_column(size_t i, const void *column, size_t len, const char *why) {
    uint8_t bytes[128];
    memcpy(bytes, same, 2 * i);
    memcpy(bytes + 2 * i, column, len);
    memcpy(bytes + 2 * i + len, same + 2 * (i + 1), sizeof same - 2 * (i + 1));
    expect_refused_bytes(bytes, sizeof same - 2 + len, why);
}
#define REFUSED(i, why, ...) \
    expect_refused_column(i, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), why)

static void heads_are_checked(void **state) {
    (void)state;
    Pilotgate__PackedCalls p = packed(2, 1, same, sizeof same);
    assert_int_equal(block_decode(&p, &out, NULL), 0);
    p.calls = 0;
    expect_refused(&p, "0 calls, not 1 to 4096");
    p.calls = N + 1;
    expect_refused(&p, "4097 calls");
    p.calls = UINT32_MAX;
    expect_refused(&p, "calls, not 1 to 4096");
    p.calls = N;
    assert_int_equal(block_decode(&p, &out, NULL), 0);
    p.n_entries = 0;
    expect_refused(&p, "0 entries");
    p.n_entries = WIRE_BLOCK_PROBES_MAX + 1;
    expect_refused(&p, "65 entries");
    for (unsigned head = 0; head < 256; head++)
        if ((head & 15) > 2 || head >> 4 > 2)
            REFUSED(3, "duration_us is malformed", (uint8_t)head, 0, 0, 0);
    expect_refused_bytes(same, 0, "number is malformed");
    p = packed(2, 1, NULL, 0); /* as protobuf-c gives it */
    expect_refused(&p, "number is malformed");
    uint8_t longer[sizeof same + 1] = {0};
    memcpy(longer, same, sizeof same);
    expect_refused_bytes(longer, sizeof longer, "1 bytes are left over");
}

static void codings_are_checked(void **state) {
    (void)state;
    REFUSED(3, "malformed", 0x20, 2, 1, 5, 0, 5);             /* an empty run */
    REFUSED(3, "malformed", 0x20, 1, 3, 5);                   /* a run that is too long */
    REFUSED(3, "malformed", 0x20, 2, 2, 5, 1, 5);             /* too many runs */
    REFUSED(3, "malformed", 0x20, 1, 1, 5);                   /* too few */
    REFUSED(3, "malformed", 0x20, 0);                         /* none */
    REFUSED(3, "malformed", 0x20, 0xff, 0xff, 0xff, 0x0f, 1); /* far too many */
    REFUSED(3, "malformed", 0x20, 1, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 5);
    /* eleven bytes of varint; ten with more than 64 bits; ten with just 64, which is out of range */
    REFUSED(3, "malformed", 0x00, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0);
    REFUSED(3, "malformed", 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02);
    REFUSED(3, "out of range", 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    REFUSED(3, "malformed", 0x10, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02);
}

static void ranges_are_checked(void **state) {
    (void)state;
    REFUSED(0, "number: a value is out of range", 0x00, 0);
    REFUSED(0, "number: a value is out of range", 0x10, 0, 1);
    REFUSED(0, "number: a value is out of range", 0x10, 1, 0);
    REFUSED(0, "number: a value", 0x00, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40); /* 2^62 + 1 */
    REFUSED(0, "number: a value", 0x02, 2, 3, 0);                                              /* 1, -1 */
    REFUSED(1, "entry: a value is out of range", 0x00, 1);
    REFUSED(1, "entry: a value is out of range", 0x10, 0, 0x80, 2); /* 256: not cut to a byte first */
    REFUSED(2, "start_us: a value", 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1);
    REFUSED(3, "duration_us: a value", 0x02, 0, 1, 0); /* 0, -1 */
    REFUSED(4, "outcome: a value", 0x00, 0x80, 0x80, 0x80, 0x80, 0x10);
    REFUSED(5, "connection: a value", 0x00, 0x80, 0x80, 0x80, 0x80, 0x10);
    REFUSED(6, "flags: a value", 0x10, 0, 0x80, 0x80, 0x80, 0x80, 0x10);
}

static void torn_and_random_bytes(void **state) {
    (void)state;
    static const struct schedule s = {"", 3, 100000, 300, 20000, 3000, 2, true};
    uint32_t r = 99;
    schedule_fill(&s, 40, 5, &in);
    size_t len = round_trip(3);
    uint8_t *noisy = malloc(len);
    for (size_t n = 0; n < len; n++) {
        uint8_t *torn = malloc(n ? n : 1);
        memcpy(torn, columns.data, n);
        Pilotgate__PackedCalls p = packed(40, 3, torn, n);
        assert_int_equal(block_decode(&p, &out, NULL), -EBADMSG);
        free(torn);
    }
    int taken = 0;
    Pilotgate__PackedCalls p = packed(40, 3, noisy, len);
    struct buf other = BUF_INIT(BLOCK_BYTES_MAX);
    for (int i = 0; i < 100000; i++) {
        memcpy(noisy, columns.data, len);
        for (int k = 0; k < 1 + i % 4; k++)
            noisy[schedule_random(&r) % len] = (uint8_t)schedule_random(&r);
        if (block_decode(&p, &out, NULL) < 0)
            continue;
        assert_int_equal(block_encode(&out, 3, &other, NULL), 0);
        Pilotgate__PackedCalls q = packed(40, 3, other.data, other.len);
        assert_int_equal(block_decode(&q, &again, NULL), 0);
        check_same(&out, &again);
        taken++;
    }
    assert_true(taken > 1000);
    buf_free(&other);
    free(noisy);
}

/* ---------------------------------------------------------------- the encoder's rules */

static void what_no_block_holds_is_not_encoded(void **state) {
    (void)state;
    struct err e = {0};
    struct buf small = BUF_INIT(8);
    fill_one(0, 0);
    in.n = 0;
    assert_int_equal(block_encode(&in, 1, &columns, &e), -EINVAL);
    in.n = N + 1;
    assert_int_equal(block_encode(&in, 1, &columns, &e), -EINVAL);
    in.n = 1;
    assert_int_equal(block_encode(&in, 0, &columns, &e), -EINVAL);
    assert_int_equal(block_encode(&in, WIRE_BLOCK_PROBES_MAX + 1, &columns, &e), -EINVAL);
    assert_int_equal(block_encode(&in, 1, &small, &e), -EMSGSIZE);
    buf_free(&small);
    in.entry[0] = 1;
    assert_int_equal(block_encode(&in, 1, &columns, &e), -EINVAL);
    assert_non_null(strstr(e.text, "entry: a value is out of range"));
    in.entry[0] = 0;
    in.number[0] = 0;
    assert_int_equal(block_encode(&in, 1, &columns, &e), -EINVAL);
    in.number[0] = 1;
    in.start_us[0] = WIRE_US_MAX + 1;
    assert_int_equal(block_encode(&in, 1, &columns, &e), -EINVAL);
    in.start_us[0] = 0;
    in.duration_us[0] = (uint64_t)WIRE_US_MAX + 1;
    assert_int_equal(block_encode(&in, 1, &columns, &e), -EINVAL);
    in.duration_us[0] = 0;
    assert_int_equal(block_encode(&in, 1, &columns, &e), 0);
}

/* ---------------------------------------------------------------- as a record */

static int through(Pilotgate__PackedCalls *p, Pilotgate__Record **ret, struct err *e) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.seq = 5;
    r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    r.packed_calls = p;
    size_t len = pilotgate__record__get_packed_size(&r);
    uint8_t *bytes = malloc(len);
    assert_int_equal(pilotgate__record__pack(&r, bytes), len);
    assert_int_equal(wire_family(&r), WIRE_FAMILY_CALLS);
    int code = wire_record_unpack(bytes, len, ret, e);
    free(bytes);
    return code;
}

static void check_record(const Pilotgate__Record *r, size_t n_entries) {
    assert_int_equal(r->seq, 5);
    assert_int_equal(r->body_case, PILOTGATE__RECORD__BODY_CALLS);
    const Pilotgate__CallBlock *b = r->calls;
    assert_int_equal(b->base_wall_ns, 7);
    assert_int_equal(b->base_mono_ns, 8);
    assert_int_equal(b->n_probes, n_entries);
    assert_int_equal(b->n_number_delta, in.n);
    uint64_t number = b->first_number;
    for (size_t i = 0; i < in.n; i++) {
        number += (uint64_t)b->number_delta[i];
        assert_int_equal(number, in.number[i]);
        assert_int_equal(b->probe[i], in.entry[i]);
        assert_int_equal(b->start_us[i], in.start_us[i]);
        assert_int_equal(b->duration_us[i], in.duration_us[i]);
        assert_int_equal(b->outcome[i], in.outcome[i]);
        assert_int_equal(b->connection[i], in.connection[i]);
        assert_int_equal(b->flags[i], in.flags[i]);
    }
}

static void a_record_comes_out_in_the_older_form(void **state) {
    (void)state;
    static const struct schedule s = {"", 3, 100000, 300, 20000, 3000, 2, true};
    struct err e = {0};
    Pilotgate__Record *r = NULL;
    schedule_fill(&s, N, 5, &in);
    (void)round_trip(3);
    Pilotgate__PackedCalls p = packed(N, 3, columns.data, columns.len);
    if (through(&p, &r, &e) < 0)
        fail_msg("%s", e.text);
    check_record(r, 3);
    assert_int_equal(r->calls->n_paths, 0); /* all took the URL */
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *bytes = malloc(len);
    (void)pilotgate__record__pack(r, bytes);
    wire_record_free(&r);
    assert_int_equal(wire_record_unpack(bytes, len, &r, &e), 0); /* it keeps the older form's rules */
    free(bytes);
    check_record(r, 3);
    wire_record_free(&r);
    Pilotgate__PackedCalls__Entry by_replica = entry;
    by_replica.path = (char *)"Pod/gw-1";
    entries[1] = &by_replica;
    assert_int_equal(through(&p, &r, &e), 0);
    entries[1] = &entry;
    assert_int_equal(r->calls->n_paths, 3);
    assert_string_equal(r->calls->paths[0], "");
    assert_string_equal(r->calls->paths[1], "Pod/gw-1");
    assert_string_equal(r->calls->tools[1], "p");
    wire_record_free(&r);
}

static void expect_refused_record(Pilotgate__PackedCalls *p, const char *why) {
    struct err e = {0};
    Pilotgate__Record *r = NULL;
    assert_int_equal(through(p, &r, &e), -EBADMSG);
    assert_null(r);
    if (!strstr(e.text, why))
        fail_msg("'%s' does not say '%s'", e.text, why);
}

static void texts_and_times_are_bounded(void **state) {
    (void)state;
    static char text[WIRE_TEXT_MAX + 2];
    struct err e = {0};
    Pilotgate__Record *r = NULL;
    Pilotgate__PackedCalls p = packed(2, 1, same, sizeof same);
    Pilotgate__PackedCalls__Entry x = entry;
    entries[0] = &x;
    const struct {
        char **field;
        size_t max;
    } texts[] = {{&x.probe, WIRE_NAME_MAX},
                 {&x.target, WIRE_NAME_MAX},
                 {&x.tool, WIRE_TEXT_MAX},
                 {&x.path, WIRE_NAME_MAX + 4}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *was = *texts[i].field;
        *texts[i].field = text;
        memset(text, 'x', sizeof text - 1);
        text[texts[i].max] = 0;
        assert_int_equal(through(&p, &r, &e), 0);
        wire_record_free(&r);
        text[texts[i].max] = 'x';
        text[texts[i].max + 1] = 0;
        expect_refused_record(&p, "over the limit of");
        *texts[i].field = was;
    }
    x.tool = (char *)"a\x1b[31mb";
    assert_int_equal(through(&p, &r, &e), 0);
    assert_string_equal(r->calls->tools[0], "a?[31mb");
    wire_record_free(&r);
    entries[0] = &entry;
    p.n_entries = WIRE_BLOCK_PROBES_MAX + 1;
    expect_refused_record(&p, "entries has 65 elements");
    p.n_entries = 1;
    p.base_wall_ns = -1;
    expect_refused_record(&p, "base_wall_ns is out of range");
    p.base_wall_ns = 0;
    p.columns.len--;
    expect_refused_record(&p, "flags is malformed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_blocks_go_round),
        cmocka_unit_test(extremes_go_round),
        cmocka_unit_test(the_longest_block),
        cmocka_unit_test(bytes_of_a_call),
        cmocka_unit_test(columns_are_as_drawn),
        cmocka_unit_test(the_encoder_takes_the_shortest),
        cmocka_unit_test(heads_are_checked),
        cmocka_unit_test(codings_are_checked),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(torn_and_random_bytes),
        cmocka_unit_test(what_no_block_holds_is_not_encoded),
        cmocka_unit_test(a_record_comes_out_in_the_older_form),
        cmocka_unit_test(texts_and_times_are_bounded),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
