/* test_store_pack: packed records read back as those that were never packed: random records in two stores, of
 * which one is packed at random moments, and random questions to both. And kills in the middle of packing. */
#include "store_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"

#define STREAMS 4
#define START (1700000000 * WHEN_S)
#define HOUR (3600 * WHEN_S)

static uint64_t seed = 0x243f6a8885a308d3ull;
static uint64_t rnd(uint64_t below) { /* xorshift64*: the same sequence in every run */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545f4914f6cdd1dull >> 33) % below;
}

/* ---- two stores, fed the same */

struct pair {
    struct store *packed, *plain;
    uint64_t hwm[STREAMS + 1];
    uint64_t commits;
    int64_t now;
};

/* What record seq of a stream is, by its number alone, so that it can be made again. */
static struct store_record record_of(int64_t stream, uint64_t seq, uint8_t *bytes) {
    uint64_t keep = seed;
    seed = (uint64_t)stream * 7919 + seq * 104729 + 1;
    (void)rnd(2);
    struct store_record r = {.stream = stream, .seq = seq, .payload = bytes};
    r.family = (enum wire_family)rnd(WIRE_FAMILIES);
    r.t_from_ns = START + (int64_t)seq * 10 * WHEN_S + (int64_t)rnd(60) * WHEN_S;
    if (rnd(100) == 0) /* a clock that stepped */
        r.t_from_ns += ((int64_t)rnd(5) - 2) * HOUR;
    r.t_to_ns = r.t_from_ns + (int64_t)(rnd(3) ? 0 : rnd(90) * (uint64_t)WHEN_S);
    r.len = rnd(20) ? rnd(200) : rnd(20) ? 0 : 20000;
    for (size_t i = 0; i < r.len; i++)
        bytes[i] = (uint8_t)(i % 7 + rnd(9));
    if (r.family == WIRE_FAMILY_CALLS && rnd(4)) {
        r.len = fixture_block(rnd(1u << 30), seq, bytes, &r.t_from_ns, &r.t_to_ns);
        if (rnd(10) == 0)
            bytes[rnd(r.len)] ^= 1;
    }
    seed = keep;
    return r;
}

static enum store_put put(struct store *s, const struct store_record *r) {
    enum store_put p = STORE_PUT_CONFLICT;
    struct err e = {""};
    if (store_put_record(s, r, &p, &e) < 0)
        fail_msg("%s", e.text);
    return p;
}

static void put_both(struct pair *p, const struct store_record *r) {
    assert_int_equal(put(p->packed, r), put(p->plain, r));
}

static void send_again(struct pair *p, int64_t stream) {
    static uint8_t bytes[20000];
    if (!p->hwm[stream])
        return;
    struct store_record r = record_of(stream, 1 + rnd(p->hwm[stream]), bytes);
    if (rnd(10) == 0 && r.len)
        bytes[0] ^= 1; /* with other bytes */
    put_both(p, &r);
}

static void put_new(struct pair *p, int64_t stream) {
    static uint8_t bytes[20000];
    if (rnd(200) == 0) {
        uint64_t to = p->hwm[stream] + 1 + rnd(30);
        assert_int_equal(store_put_gap(p->packed, stream, p->hwm[stream] + 1, to, STORE_GAP_AGENT, NULL), 0);
        assert_int_equal(store_put_gap(p->plain, stream, p->hwm[stream] + 1, to, STORE_GAP_AGENT, NULL), 0);
        p->hwm[stream] = to;
    }
    struct store_record r = record_of(stream, ++p->hwm[stream], bytes);
    put_both(p, &r);
}

static void feed(struct pair *p) {
    assert_int_equal(store_begin(p->packed, NULL), 0);
    assert_int_equal(store_begin(p->plain, NULL), 0);
    for (uint64_t k = rnd(12); k > 0; k--) {
        int64_t stream = 1 + (int64_t)rnd(STREAMS);
        put_new(p, stream);
        if (rnd(8) == 0)
            send_again(p, stream);
    }
    p->now += 60 * WHEN_S;
    uint64_t n = fixture_commit(p->packed, p->now);
    assert_int_equal(fixture_commit(p->plain, p->now), n);
    p->commits = n ? n : p->commits;
}

static size_t pack(struct store *s, int64_t now) {
    size_t n = 0;
    struct err e = {""};
    if (store_pack(s, now, &n, &e) < 0)
        fail_msg("%s", e.text);
    return n;
}

static void make_streams(struct store *s) {
    assert_int_equal(store_begin(s, NULL), 0);
    for (uint8_t i = 1; i <= STREAMS; i++)
        assert_int_equal(fixture_stream(s, i % 2 ? "a" : "b", i, NULL), i);
    fixture_commit(s, START);
}

static void open_pair(const struct fixture *f, struct pair *p) {
    char url[200];
    (void)snprintf(url, sizeof url, "%s-plain", f->url);
    memset(p, 0, sizeof *p);
    p->packed = fixture_open(f, STORE_SERVE);
    assert_int_equal(store_open(url, STORE_SERVE, &p->plain, NULL), 0);
    make_streams(p->packed);
    make_streams(p->plain);
    p->now = START;
    p->commits = 1;
}

/* ---- questions */

static uint64_t mix(uint64_t h, const void *data, size_t n) {
    const uint8_t *b = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3ull;
    return h;
}

static int tell_record(void *ctx, const struct store_record *r, uint64_t commit) {
    (void)fprintf(ctx, "%d.%d n%d f%d %lld-%lld %zu/%llx\n", (int)r->stream, (int)r->seq, (int)commit,
                  (int)r->family, (long long)r->t_from_ns, (long long)r->t_to_ns, r->len,
                  (unsigned long long)mix(1, r->payload, r->len));
    return 0;
}

static int tell_stream(void *ctx, const struct store_stream_row *r) {
    (void)fprintf(ctx, "stream %d hwm %d conflicts %d\n", (int)r->id, (int)r->hwm, (int)r->conflicts);
    return 0;
}

static char *answer(struct store *s, const struct store_query *q) {
    char *text = NULL;
    size_t n = 0;
    struct err e = {""};
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    if (store_records(s, q, tell_record, out, &e) < 0 ||
        store_streams_at(s, q->commit, tell_stream, out, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(fclose(out), 0);
    return text;
}

static struct store_query question(const struct pair *p) {
    struct store_query q = {.commit = rnd(3) ? 1 + rnd(p->commits) : 0, .neighbours = rnd(2)};
    if (rnd(2))
        q.families = 1u + (unsigned)rnd((1u << WIRE_FAMILIES) - 1);
    if (rnd(3)) {
        q.from_ns = START + (int64_t)rnd((uint64_t)(p->now - START) / WHEN_S) * WHEN_S;
        q.to_ns = q.from_ns + (int64_t)rnd(600) * WHEN_S;
    }
    if (rnd(3) == 0)
        q.namespace_name = "b";
    return q;
}

static void compare(struct pair *p, int times) {
    for (int i = 0; i < times; i++) {
        struct store_query q = question(p);
        char *packed = answer(p->packed, &q), *plain = answer(p->plain, &q);
        if (strcmp(packed, plain) != 0)
            fail_msg("commit %d families %x [%lld %lld] neighbours %d:\n--- packed\n%s--- plain\n%s",
                     (int)q.commit, q.families, (long long)q.from_ns, (long long)q.to_ns, q.neighbours,
                     packed, plain);
        free(packed);
        free(plain);
    }
}

static void test_packed_is_as_unpacked(void **state) {
    struct fixture *f = *state;
    struct pair p;
    size_t packed = 0;
    open_pair(f, &p);
    for (int i = 0; i < 600; i++) {
        feed(&p);
        if (rnd(10) == 0)
            packed += pack(p.packed, p.now);
        if (i % 50 == 49)
            compare(&p, 8);
    }
    compare(&p, 60);
    for (size_t n = 1; n;)
        packed += n = pack(p.packed, p.now + 2 * HOUR);
    assert_true(packed > 500);
    compare(&p, 60);
    store_close(&p.packed);
    store_close(&p.plain);
    char rows[32];
    (void)snprintf(rows, sizeof rows, "%zu", packed);
    assert_string_equal(fixture_value(f->path, "SELECT sum(records) FROM pack"), rows);
    assert_string_equal(fixture_value(f->path, "SELECT packed FROM tally"), rows);
    assert_string_equal(fixture_value(f->path, "SELECT count(*) FROM record WHERE family IN (1, 3, 6, 8)"),
                        "0");
    assert_string_equal(fixture_value(f->path,
                                      "SELECT (SELECT count(*) FROM record) + (SELECT sum(records) FROM "
                                      "pack) - records FROM tally"),
                        "0");
}

/* ---- what is packed, and when */

static void fill(struct store *s, int from, int n, int64_t at) {
    assert_int_equal(store_begin(s, NULL), 0);
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    for (int i = 0; i < n; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "record %d", from + i);
        fixture_put(s, stream, (uint64_t)(from + i), i % 2 ? WIRE_FAMILY_COVERAGE : WIRE_FAMILY_TIMING, at,
                    at, text);
    }
    fixture_commit(s, at);
}

static void test_only_what_is_quiet_and_enough(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    size_t n = 7;
    fill(s, 1, 300, START);
    assert_int_equal(pack(s, START + 9 * 60 * WHEN_S), 0); /* too young */
    assert_int_equal(pack(s, START + 11 * 60 * WHEN_S), 300);
    fill(s, 301, 5, START + 1);
    assert_int_equal(pack(s, START + 11 * 60 * WHEN_S), 0); /* too few ... */
    assert_int_equal(pack(s, START + 61 * 60 * WHEN_S), 5); /* ... but not for ever */
    assert_int_equal(pack(s, START + 99 * HOUR), 0);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_pack(s, START, &n, NULL), -EINVAL);
    assert_int_equal(n, 7);
    store_close(&s);
}

static void test_duplicates_and_conflicts_are_found_in_packs(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    fill(s, 1, 300, START);
    assert_int_equal(pack(s, START + HOUR), 300);
    assert_int_equal(store_begin(s, NULL), 0);
    for (int i = 1; i <= 300; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, i == 200 ? "record x" : "record %d", i);
        assert_int_equal(fixture_put(s, 1, (uint64_t)i, WIRE_FAMILY_CALLS, 0, 0, text),
                         i == 200 ? STORE_PUT_CONFLICT : STORE_PUT_DUPLICATE);
    }
    assert_int_equal(fixture_commit(s, START + HOUR), 2); /* the conflict */
    store_close(&s);
}

/* ---- kill -9 */

static void fill_and_pack(const struct fixture *f) {
    struct store *s = NULL;
    size_t n = 0;
    if (store_open(f->url, STORE_SERVE, &s, NULL) < 0)
        _exit(1);
    fill(s, 1, 300, START);
    if (store_pack(s, START + HOUR, &n, NULL) < 0 || n != 300)
        _exit(1);
    store_close(&s);
}

static int check_record(void *ctx, const struct store_record *r, uint64_t commit) {
    char text[64];
    int *seen = ctx;
    (void)snprintf(text, sizeof text, "record %d", ++*seen);
    assert_int_equal(r->seq, *seen);
    assert_int_equal(commit, 1);
    assert_int_equal(r->len, strlen(text));
    assert_memory_equal(r->payload, text, r->len);
    return 0;
}

static void test_kill_9_while_packing(void **state) {
    static const char *const points[] = {"store-pack-encoded", "store-pack-inserted", "store-pack-deleted",
                                         "store-commit-before:2", "store-commit-after:2"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        assert_true(fixture_crash(f, points[i], fill_and_pack));
        struct store *s = fixture_open(f, STORE_SERVE);
        for (int round = 0; round < 2; round++) {
            int seen = 0;
            assert_int_equal(store_records(s, &(struct store_query){0}, check_record, &seen, NULL), 0);
            assert_int_equal(seen, 300);
            (void)pack(s, START + HOUR);
        }
        store_close(&s);
        assert_string_equal(fixture_value(f->path, "SELECT packed FROM tally"), "300");
        (void)unlink(f->path);
    }
}

/* ---- size */

static void test_packs_save_space(void **state) {
    struct fixture *f = *state;
    struct store *s = fixture_open(f, STORE_SERVE);
    char text[256];
    assert_int_equal(store_begin(s, NULL), 0);
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    for (int i = 1; i <= 1000; i++) { /* coverage as agents send it: much the same each second */
        (void)snprintf(
            text, sizeof text,
            "probe quick scheduled %d started %d resolved %d open 0 source pods ok at %d source releases ok "
            "at %d source catalogue/canary ok at %d",
            10 * i, 10 * i, 10 * i - 1, 1000 * i, 1000 * i, 997 * i);
        fixture_put(s, stream, (uint64_t)i, WIRE_FAMILY_COVERAGE, i * WHEN_S, i * WHEN_S, text);
    }
    fixture_commit(s, START);
    while (pack(s, START + HOUR)) {
    }
    store_close(&s);
    int bytes = atoi(fixture_value(f->path, "SELECT sum(length(body)) / sum(records) FROM pack"));
    print_message("packed coverage: %d bytes a record\n", bytes);
    assert_true(bytes < 40);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_packed_is_as_unpacked),
        CASE(test_only_what_is_quiet_and_enough),
        CASE(test_duplicates_and_conflicts_are_found_in_packs),
        CASE(test_kill_9_while_packing),
        CASE(test_packs_save_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
