/* test_store_rollup: calls of blocks counted by series, minute, hour and day; what is rolled back counts
 * nothing; and how fast the counting is. */
#include "store_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

#define MINUTE (60 * WHEN_S)
#define BASE (20000LL * 24 * 60 * MINUTE) /* a day begins */

static void test_buckets(void **state) {
    (void)state;
    assert_int_equal(store_latency_bucket(0), 0);
    assert_int_equal(store_latency_bucket(1), 0);
    assert_int_equal(store_latency_bucket(4), 8);
    assert_int_equal(store_latency_bucket(5), 9);
    assert_int_equal(store_latency_bucket(UINT64_MAX), STORE_LATENCY_BUCKETS - 1);
    assert_int_equal(store_latency_bucket(1ull << 32), STORE_LATENCY_BUCKETS - 1);
    unsigned last = 0;
    for (uint64_t us = 1; us < 1ull << 33; us += 1 + us / 7) {
        unsigned b = store_latency_bucket(us);
        assert_true(b >= last && b < STORE_LATENCY_BUCKETS);
        assert_true(store_latency_from_us(b) <= us);
        assert_true(b + 1 == STORE_LATENCY_BUCKETS || us < store_latency_from_us(b + 1));
        last = b;
    }
}

static void add(struct block_calls *b, uint8_t entry, int64_t start_us, uint64_t us, uint32_t outcome,
                uint32_t flags) {
    size_t i = b->n++;
    b->entry[i] = entry;
    b->start_us[i] = start_us;
    b->duration_us[i] = us;
    b->outcome[i] = outcome;
    b->flags[i] = flags;
}

static const char *const probes[] = {"quick", "slow"}, *const targets[] = {"gw", "gw"},
                         *const paths[] = {"", "Pod/a"};

static int add_calls(struct store *s, const struct block_calls *b) {
    struct store_calls c = {b, 2, probes, targets, paths};
    return store_add_calls(s, "c", "a", &c, NULL);
}

static int collect(void *ctx, const struct store_rollup *r) {
    char *out = ctx;
    size_t used = strlen(out);
    uint64_t latency = 0;
    for (size_t i = 0; i < STORE_LATENCY_BUCKETS; i++)
        latency += r->latency[i];
    (void)snprintf(out + used, 2048 - used, "%s/%s:%s%s+%d n%d-%d %d-%d ok%d to%d x%d lat%d; ", r->cluster,
                   r->probe, r->path, r->control ? "!" : "", (int)((r->from_ns - BASE) / MINUTE),
                   (int)r->n_first, (int)r->n_last, (int)r->calls, (int)r->unsent,
                   (int)r->outcomes[PILOTGATE__OUTCOME__OUTCOME_COMPLETED],
                   (int)r->outcomes[PILOTGATE__OUTCOME__OUTCOME_TIMEOUT],
                   (int)r->outcomes[STORE_OUTCOMES - 1], (int)latency);
    return 0;
}

static const char *read_level(struct store *s, enum store_level level) {
    static char out[2048];
    out[0] = 0;
    struct store_rollup_query q = {.cluster = "c", .level = level, .from_ns = BASE - 1, .to_ns = INT64_MAX};
    assert_int_equal(store_rollups(s, &q, collect, out, NULL), 0);
    return out;
}

static void put_some(struct store *s, struct block_calls *b) {
    memset(b, 0, sizeof *b);
    b->base_wall_ns = BASE + MINUTE;
    add(b, 0, -1, 100, 1, 0); /* a microsecond before the minute */
    add(b, 0, 0, 100, 1, 0);
    add(b, 0, 59999999, 100, 12, 0);
    add(b, 0, 60000000, 100, 4711, 0); /* an outcome that nobody knows */
    add(b, 1, 60000000, 100, 2, 0);
    add(b, 1, 60000001, 0, 12, PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT);
    add(b, 1, 60000002, 100, 1, PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL);
    assert_int_equal(add_calls(s, b), 0);
}

static void test_counts_by_minute_hour_and_day(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    struct block_calls *b = calloc(1, sizeof *b);
    assert_non_null(b);
    assert_int_equal(add_calls(s, b), -EINVAL); /* no transaction */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_begin(s, NULL), 0);
        put_some(s, b);
        fixture_commit(s, 10);
    }
    assert_string_equal(read_level(s, STORE_MINUTE),
                        "c/quick:+0 n1-2 2-0 ok2 to0 x0 lat2; c/quick:+1 n1-2 4-0 ok2 to2 x0 lat2; "
                        "c/quick:+2 n1-2 2-0 ok0 to0 x2 lat0; c/slow:Pod/a+2 n1-2 2-2 ok0 to0 x0 lat2; "
                        "c/slow:Pod/a!+2 n1-2 2-0 ok2 to0 x0 lat2; ");
    assert_string_equal(read_level(s, STORE_HOUR),
                        "c/quick:+0 n1-2 8-0 ok4 to2 x2 lat4; c/slow:Pod/a+0 n1-2 2-2 ok0 to0 x0 lat2; "
                        "c/slow:Pod/a!+0 n1-2 2-0 ok2 to0 x0 lat2; ");
    assert_string_equal(read_level(s, STORE_DAY), read_level(s, STORE_HOUR));
    free(b);
    store_close(&s);
}

static void test_what_is_rolled_back_counts_nothing(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    struct block_calls *b = calloc(1, sizeof *b);
    assert_non_null(b);
    assert_int_equal(store_begin(s, NULL), 0);
    put_some(s, b);
    store_rollback(s);
    assert_int_equal(store_begin(s, NULL), 0);
    b->n = 0;
    add(b, 2, 0, 100, 1, 0); /* an entry that is not there */
    assert_int_equal(add_calls(s, b), -EINVAL);
    b->n = 0;
    add(b, 0, 0, 100, 1, 0);
    assert_int_equal(add_calls(s, b), 0);
    fixture_commit(s, 10);
    assert_string_equal(read_level(s, STORE_MINUTE), "c/quick:+1 n1-1 1-0 ok1 to0 x0 lat1; ");
    free(b);
    store_close(&s);
}

/* More minutes than are held in memory, and starts at the ends of what the wire allows. */
static void test_many_minutes_and_far_ones(void **state) {
    struct fixture *f = *state;
    struct store *s = fixture_open(f, STORE_SERVE);
    struct block_calls *b = calloc(1, sizeof *b);
    assert_non_null(b);
    assert_int_equal(store_begin(s, NULL), 0);
    for (int k = 0; k < 5; k++) {
        memset(b, 0, sizeof *b);
        b->base_wall_ns = BASE + k * WIRE_BLOCK_CALLS_MAX * MINUTE;
        for (int i = 0; i < WIRE_BLOCK_CALLS_MAX; i++)
            add(b, 0, i * 60000000LL, 100, 1, 0);
        assert_int_equal(add_calls(s, b), 0);
    }
    memset(b, 0, sizeof *b);
    b->base_wall_ns = -WIRE_NS_MAX;
    add(b, 1, -WIRE_US_MAX, WIRE_US_MAX, 1, 0);
    assert_int_equal(add_calls(s, b), 0);
    fixture_commit(s, 10);
    store_close(&s);
    assert_string_equal(fixture_value(f->path, "SELECT count(*) FROM rollup WHERE level = 0"), "20481");
    assert_string_equal(fixture_value(f->path, "SELECT sum(calls) FROM rollup WHERE level = 2"), "20481");
    assert_string_equal(fixture_value(f->path, "SELECT calls FROM tally"), "20481");
    free(b);
}

/* The counting must be no burden on an ingest of 7 M calls a second: it gets a fifth of that time. Generous,
 * for a busy machine and a build with sanitizers; the figure is printed. */
static void test_speed(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    struct block_calls *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->base_wall_ns = BASE;
    for (int i = 0; i < WIRE_BLOCK_CALLS_MAX; i++)
        add(b, i >= WIRE_BLOCK_CALLS_MAX / 2, i % (WIRE_BLOCK_CALLS_MAX / 2) * 1000LL,
            (uint64_t)(900 + i % 777), 1, PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED);
    assert_int_equal(store_begin(s, NULL), 0);
    int64_t t0 = when_mono_ns();
    for (int i = 0; i < 500; i++)
        assert_int_equal(add_calls(s, b), 0);
    int64_t t = when_mono_ns() - t0;
    print_message("counting: %.1f M calls/s\n", 500.0 * WIRE_BLOCK_CALLS_MAX / ((double)t / 1e3));
    assert_true(500.0 * WIRE_BLOCK_CALLS_MAX / ((double)t / 1e9) > 7e6);
    fixture_commit(s, 10);
    free(b);
    store_close(&s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        CASE(test_counts_by_minute_hour_and_day),
        CASE(test_what_is_rolled_back_counts_nothing),
        CASE(test_many_minutes_and_far_ones),
        CASE(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
