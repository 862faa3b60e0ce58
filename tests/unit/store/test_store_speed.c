/* test_store_speed: blocks into the store beside bare inserts of the same bytes, at the same durability in
 * the same process; and what the judge asks of a thousand streams. Ratios and generous bounds: the machine
 * may be busy. */
#include "store_fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/when.h"

#define START (1700000000 * WHEN_S)
#define BLOCKS 1000
#define BLOCK 12288
#define BATCH 100
#define ROUNDS 3

static uint8_t bytes[BLOCK];

struct took {
    double s, cpu_s;
};

static int64_t cpu_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * WHEN_S + t.tv_nsec;
}

static struct took begun(void) {
    return (struct took){(double)when_mono_ns() / 1e9, (double)cpu_ns() / 1e9};
}

static struct took since(struct took t) {
    struct took now = begun();
    return (struct took){now.s - t.s, now.cpu_s - t.cpu_s};
}

static struct took bare(const struct fixture *f) {
    char path[200];
    (void)snprintf(path, sizeof path, "%s-bare", f->path);
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE b(id INTEGER "
                     "PRIMARY KEY, body BLOB)",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO b(body) VALUES(?1)", -1, &st, NULL), SQLITE_OK);
    struct took t = begun();
    for (int i = 0; i < BLOCKS; i++) {
        if (i % BATCH == 0)
            assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_bind_blob(st, 1, bytes, BLOCK, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(st), SQLITE_DONE);
        sqlite3_reset(st);
        if (i % BATCH == BATCH - 1)
            assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    }
    t = since(t);
    sqlite3_finalize(st);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    (void)unlink(path);
    return t;
}

static struct took ours(const struct fixture *f) {
    struct store *s = fixture_open(f, STORE_SERVE);
    int64_t stream[10];
    uint64_t seq[10] = {0};
    assert_int_equal(store_begin(s, NULL), 0);
    for (uint8_t k = 0; k < 10; k++)
        stream[k] = fixture_stream(s, "a", k, NULL);
    fixture_commit(s, START);
    struct took t = begun();
    for (int i = 0; i < BLOCKS; i++) {
        int k = i / 7 % 10;
        enum store_put put;
        struct store_record r = {
            stream[k], ++seq[k], WIRE_FAMILY_CALLS, START + i * WHEN_S, START + (i + 1) * WHEN_S,
            bytes,     BLOCK};
        if (i % BATCH == 0)
            assert_int_equal(store_begin(s, NULL), 0);
        assert_int_equal(store_put_record(s, &r, &put, NULL), 0);
        if (i % BATCH == BATCH - 1)
            fixture_commit(s, START + i);
    }
    t = since(t);
    store_close(&s);
    (void)unlink(f->path);
    return t;
}

static void test_blocks_beside_bare_inserts(void **state) {
    double best = 0;
    for (size_t i = 0; i < BLOCK; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int i = 0; i < ROUNDS; i++) {
        struct took b = bare(*state), o = ours(*state);
        print_message(
            "blocks of 12 KiB: %.0f/s (%.0f MB/s), bare inserts %.0f/s: ratio %.2f, of CPU time %.2f\n",
            BLOCKS / o.s, BLOCKS / o.s * BLOCK / 1e6, BLOCKS / b.s, b.s / o.s, b.cpu_s / o.cpu_s);
        best = b.cpu_s / o.cpu_s > best ? b.cpu_s / o.cpu_s : best;
    }
    assert_true(best >= 0.5);
}

/* ---- a thousand streams */

#define STREAMS 1000
#define RECORDS 60
#define STEPS 150 /* of packing: each costs an fsync */

static struct store *thousand(const struct fixture *f) {
    struct store *s = fixture_open(f, STORE_SERVE);
    char text[200];
    memset(text, 'x', sizeof text);
    for (int at = 0; at < RECORDS; at += 10) {
        assert_int_equal(store_begin(s, NULL), 0);
        for (int k = 1; k <= STREAMS; k++) {
            uint8_t boot[WIRE_BOOT_BYTES] = {(uint8_t)k, (uint8_t)(k >> 8)};
            struct store_stream_key key = {"c", "a", "node", boot};
            int64_t id = 0;
            uint64_t hwm = 0;
            bool elsewhere;
            assert_int_equal(store_stream(s, &key, &id, &hwm, &elsewhere, NULL), 0);
            for (uint64_t i = 1; i <= 10; i++) {
                int64_t t = START + (int64_t)(hwm + i) * WHEN_S;
                enum store_put put;
                struct store_record r = {id, hwm + i, i % 5 ? WIRE_FAMILY_COVERAGE : WIRE_FAMILY_CALLS,
                                         t,  t,       (const uint8_t *)text,
                                         150};
                assert_int_equal(store_put_record(s, &r, &put, NULL), 0);
            }
        }
        fixture_commit(s, START + at * WHEN_S);
    }
    return s;
}

static int count_stream(void *ctx, const struct store_stream_row *row) {
    *(uint64_t *)ctx += row->hwm;
    return 0;
}

static int count_record(void *ctx, const struct store_record *r, uint64_t commit) {
    (void)r;
    (void)commit;
    ++*(uint64_t *)ctx;
    return 0;
}

static double marks(struct store *s, uint64_t commit, uint64_t expected) {
    uint64_t sum = 0;
    struct took t = begun();
    assert_int_equal(store_streams_at(s, commit, count_stream, &sum, NULL), 0);
    assert_int_equal(sum, expected);
    return since(t).cpu_s * 1e3;
}

static double window(struct store *s, uint64_t expected) {
    uint64_t n = 0;
    struct store_query q = {.families = 1u << WIRE_FAMILY_COVERAGE | 1u << WIRE_FAMILY_CALLS,
                            .from_ns = START + 20 * WHEN_S,
                            .to_ns = START + 24 * WHEN_S,
                            .neighbours = true};
    struct took t = begun();
    assert_int_equal(store_records(s, &q, count_record, &n, NULL), 0);
    assert_int_equal(n, expected);
    return since(t).cpu_s * 1e3;
}

static void ask(struct store *s, const char *what) {
    uint64_t all = (uint64_t)STREAMS * RECORDS;
    double now = marks(s, 0, all), then = marks(s, RECORDS / 20, all / 2);
    /* 20 to 24 are five; and coverage and calls have a neighbour on each side */
    double seen = window(s, STREAMS * 9ull);
    print_message(
        "a thousand streams, %s: marks %.1f ms, as of an old commit %.1f ms, a window with neighbours %.1f "
        "ms\n",
        what, now, then, seen);
    assert_true(now < 100 && then < 3000 && seen < 3000);
}

static void test_a_thousand_streams(void **state) {
    struct store *s = thousand(*state);
    ask(s, "rows");
    size_t n = 0, packed = 0;
    struct took t = begun();
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(store_pack(s, START + 5 * 3600 * WHEN_S, &n, NULL), 0);
        assert_int_equal(n, RECORDS);
        packed += n;
    }
    print_message("packed %zu records, %.2f ms of CPU time a step\n", packed, since(t).cpu_s * 1e3 / STEPS);
    ask(s, "some in packs");
    store_close(&s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_blocks_beside_bare_inserts),
        CASE(test_a_thousand_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
