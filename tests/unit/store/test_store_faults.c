/* test_store_faults: every write, sync and mapping of a store's life fails once, or from then on;
 * allocations, many of them. Whatever failed: what was committed with 0 is there, exactly once; what was not
 * is there as a whole or not at all; a handle goes on after a single fault. And a real disk that is full. */
#include "store_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/when.h"
#include "fault_vfs.h"

#define START (1700000000 * WHEN_S)
#define BATCHES 4
#define BATCH 100 /* records of a transaction */

static void text_of(uint64_t seq, char *out) {
    (void)snprintf(out, 400, "record %d %0*d", (int)seq, (int)(seq % 300), 7);
}

static int put_batch(struct store *s, uint64_t first) {
    uint8_t boot[WIRE_BOOT_BYTES] = {1};
    struct store_stream_key k = {"c", "a", "node-1", boot};
    int64_t stream = 0;
    uint64_t hwm = 0;
    bool elsewhere;
    int r = store_stream(s, &k, &stream, &hwm, &elsewhere, NULL);
    for (uint64_t i = 0; r == 0 && i < BATCH; i++) {
        char text[512];
        enum store_put put;
        text_of(first + i, text);
        struct store_record rec = {stream,      first + i, i % 3 ? WIRE_FAMILY_COVERAGE : WIRE_FAMILY_PHASE,
                                   START,       START,     (const uint8_t *)text,
                                   strlen(text)};
        r = store_put_record(s, &rec, &put, NULL);
    }
    return r;
}

static int commit_batch(struct store *s, uint64_t first) {
    static struct block_calls b;
    static const char *const name[] = {"quick"};
    struct store_calls calls = {&b, 1, name, name, name};
    b.n = 10;
    int r = store_begin(s, NULL);
    if (r == 0)
        r = put_batch(s, first);
    if (r == 0)
        r = store_add_calls(s, "c", "a", &calls, NULL);
    if (r == 0)
        r = store_commit(s, START, NULL, NULL);
    store_rollback(s); /* nothing, when it is committed */
    return r;
}

/* ---- a life */

struct life {
    uint64_t committed; /* batches whose commit returned 0 */
    bool failed;        /* something did not return 0 */
    bool lasting;
};

/* After a single fault the second try works. */
static int step(struct life *l, int r) {
    l->failed = l->failed || r < 0;
    return r;
}

static struct store *open_twice(const struct fixture *f, struct life *l) {
    struct store *s = NULL;
    struct err first = {""}, e = {""};
    if (step(l, store_open(f->url, STORE_SERVE, &s, &first)) < 0 &&
        step(l, store_open(f->url, STORE_SERVE, &s, &e)) < 0)
        s = NULL;
    if (!s && !l->lasting)
        fail_msg("the store does not open after one fault: %s; then: %s", first.text, e.text);
    return s;
}

static void live(const struct fixture *f, struct life *l) {
    struct store *s = open_twice(f, l);
    if (!s)
        return;
    for (uint64_t i = 0; i < BATCHES; i++) {
        int r = step(l, commit_batch(s, i * BATCH + 1));
        if (r < 0)
            r = step(l, commit_batch(s, i * BATCH + 1));
        if (r < 0) {
            if (!l->lasting)
                fail_msg("batch %d does not commit after one fault: %d", (int)i, r);
            break;
        }
        l->committed = i + 1;
    }
    for (int i = 0; i < 3; i++) {
        size_t n = 0;
        (void)step(l, store_pack(s, START + 2 * 3600 * WHEN_S, &n, NULL));
    }
    store_close(&s);
}

static int check_record(void *ctx, const struct store_record *r, uint64_t commit) {
    uint64_t *seen = ctx;
    char text[512];
    (void)commit;
    text_of(++*seen, text);
    if (r->seq != *seen || r->len != strlen(text) || memcmp(r->payload, text, r->len) != 0)
        fail_msg("record %d is not record %d", (int)r->seq, (int)*seen);
    return 0;
}

static int sum_calls(void *ctx, const struct store_rollup *r) {
    *(uint64_t *)ctx += r->calls;
    return 0;
}

/* Whole batches, and all that were committed; a last one whose commit failed may be there. */
static void check(const struct fixture *f, const struct life *l) {
    struct store *s = fixture_open(f, STORE_SERVE);
    uint64_t seen = 0, calls = 0;
    struct store_rollup_query q = {.level = STORE_DAY, .from_ns = INT64_MIN, .to_ns = INT64_MAX};
    assert_int_equal(store_records(s, &(struct store_query){0}, check_record, &seen, NULL), 0);
    assert_int_equal(seen % BATCH, 0);
    assert_true(seen / BATCH == l->committed || (l->lasting && seen / BATCH == l->committed + 1));
    assert_int_equal(store_rollups(s, &q, sum_calls, &calls, NULL), 0);
    assert_int_equal(calls, seen / BATCH * 10);
    struct store_size size;
    assert_int_equal(store_size(s, &size, NULL), 0);
    assert_int_equal(size.records, seen);
    store_close(&s);
    assert_string_equal(fixture_value(f->path, "PRAGMA integrity_check"), "ok");
}

static void empty_folder(const struct fixture *f) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]);
        (void)unlink(path);
    }
}

static bool one_life(const struct fixture *f, enum fault kind, long at, bool lasting) {
    struct life l = {.lasting = lasting};
    fault_arm(kind, at, lasting);
    live(f, &l);
    bool shown = fault_disarm();
    check(f, &l);
    empty_folder(f);
    return shown;
}

/* Some of them, evenly spread; with the environment PILOTGATE_TEST_FAULTS=all every call, and 400
 * allocations. */
static void every_call_fails(const struct fixture *f, enum fault kind) {
    struct life l = {0};
    fault_arm(kind, -1, false);
    live(f, &l);
    long calls = fault_calls(), most = getenv("PILOTGATE_TEST_FAULTS") ? 400 : 24;
    (void)fault_disarm();
    assert_int_equal(l.committed, BATCHES);
    empty_folder(f);
    long stride = calls / most + 1;
    for (int lasting = 0; lasting < 2; lasting++) {
        long lives = 0;
        for (long at = 1 + (lasting ? stride / 2 : 0); one_life(f, kind, at, lasting); at += stride)
            lives++;
        assert_true(lives >= calls / stride / 2);
        print_message("fault %d%s: %ld lives, %ld calls\n", (int)kind, lasting ? " for good" : "", lives,
                      calls);
    }
}

static void test_writes_fail(void **state) {
    every_call_fails(*state, FAULT_WRITE);
}
static void test_writes_stop_short(void **state) {
    every_call_fails(*state, FAULT_SHORT);
}
static void test_disk_is_full(void **state) {
    every_call_fails(*state, FAULT_FULL);
}
static void test_syncs_fail(void **state) {
    every_call_fails(*state, FAULT_SYNC);
}
static void test_mappings_fail(void **state) {
    every_call_fails(*state, FAULT_SHM);
}
static void test_allocations_fail(void **state) {
    every_call_fails(*state, FAULT_MALLOC);
}

/* ---- a real disk */

static void test_a_full_tmpfs(void **state) {
    struct fixture *f = *state;
    if (mount("none", f->dir, "tmpfs", 0, "size=2m") < 0) {
        print_message("no right to mount a tmpfs: not tried\n");
        skip();
    }
    struct store *s = fixture_open(f, STORE_SERVE);
    uint64_t batches = 0, seen = 0;
    int r = 0;
    while (batches < 1000 && (r = commit_batch(s, batches * BATCH + 1)) == 0)
        batches++;
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(commit_batch(s, batches * BATCH + 1), -ENOSPC); /* as long as there is no room */
    assert_int_equal(mount("none", f->dir, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    assert_int_equal(commit_batch(s, batches * BATCH + 1), 0); /* the same handle */
    store_close(&s);
    s = fixture_open(f, STORE_SERVE);
    assert_int_equal(store_records(s, &(struct store_query){0}, check_record, &seen, NULL), 0);
    assert_int_equal(seen, (batches + 1) * BATCH);
    store_close(&s);
    assert_int_equal(umount(f->dir), 0);
}

/* Hundreds of lives: in memory, where that is allowed; the faults are ours. */
static int setup(void **state) {
    int r = fixture_setup(state);
    struct fixture *f = *state;
    if (r == 0 && mount("none", f->dir, "tmpfs", 0, "size=64m") < 0)
        print_message("on disk, as there is no right to mount a tmpfs\n");
    return r;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    (void)umount(f->dir);
    return fixture_teardown(state);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_writes_fail),  CASE(test_writes_stop_short), CASE(test_disk_is_full),
        CASE(test_syncs_fail),   CASE(test_mappings_fail),     CASE(test_allocations_fail),
        CASE(test_a_full_tmpfs),
    };
    fault_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
