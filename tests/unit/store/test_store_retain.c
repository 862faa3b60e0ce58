/* test_store_retain: only blocks of completed calls go, and only where they may; what is gone is told, is
 * known when it comes again, and leaves room that is used; a kill never leaves half. */
#include "store_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"

#define START (1700000000 * WHEN_S)
#define HOUR (3600 * WHEN_S)
#define BLOCKS 300

/* A block of one second with 40 calls; in every tenth one of them failed. */
static size_t block(uint64_t seq, uint8_t *out) {
    enum { N = 40 };
    uint32_t zeros[N] = {0}, outcomes[N];
    int64_t ones[N], starts[N];
    uint64_t durations[N];
    char name[] = "quick", *text[] = {name};
    for (size_t i = 0; i < N; i++) {
        outcomes[i] = i == 7 && seq % 10 == 0 ? 12 : 1;
        ones[i] = 1;
        starts[i] = (int64_t)i * 1000;
        durations[i] = seq * 7919 % 10007 + i * 104729 % 1009;
    }
    Pilotgate__CallBlock b = PILOTGATE__CALL_BLOCK__INIT;
    b.n_probes = b.n_tools = b.n_targets = 1;
    b.probes = b.tools = b.targets = text;
    b.first_number = seq * N;
    b.n_number_delta = b.n_probe = b.n_start_us = b.n_duration_us = b.n_outcome = b.n_connection = b.n_flags =
        N;
    b.number_delta = ones;
    b.probe = b.connection = b.flags = zeros;
    b.start_us = starts;
    b.duration_us = durations;
    b.outcome = outcomes;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.seq = seq;
    r.body_case = PILOTGATE__RECORD__BODY_CALLS;
    r.calls = &b;
    return pilotgate__record__pack(&r, out);
}

static int64_t time_of(uint64_t seq) {
    return START + (int64_t)seq * 10 * WHEN_S;
}

static enum store_put put_block(struct store *s, int64_t stream, uint64_t seq) {
    uint8_t bytes[4096];
    enum store_put put = STORE_PUT_NEW;
    struct store_record r = {stream, seq, WIRE_FAMILY_CALLS, time_of(seq), time_of(seq) + WHEN_S, bytes, 0};
    r.len = block(seq, bytes);
    assert_int_equal(store_put_record(s, &r, &put, NULL), 0);
    return put;
}

static void put_blocks(struct store *s, const char *ns, uint8_t boot, uint64_t from) {
    int64_t stream = fixture_stream(s, ns, boot, NULL);
    for (uint64_t k = from; k < from + BLOCKS; k++)
        (void)put_block(s, stream, k);
}

static struct store *filled(const struct fixture *f) {
    struct store *s = fixture_open(f, STORE_SERVE);
    size_t n = 1;
    assert_int_equal(store_begin(s, NULL), 0);
    put_blocks(s, "a", 1, 1);
    put_blocks(s, "b", 2, 1);
    fixture_commit(s, START);
    while (n)
        assert_int_equal(store_pack(s, START + HOUR + 1, &n, NULL), 0);
    return s;
}

static int count(void *ctx, const struct store_record *r, uint64_t commit) {
    (void)commit;
    (void)r;
    ++*(int *)ctx;
    return 0;
}

static int stored(struct store *s, const char *ns, int64_t from, int64_t to) {
    int n = 0;
    struct store_query q = {.namespace_name = ns, .from_ns = from, .to_ns = to};
    assert_int_equal(store_records(s, &q, count, &n, NULL), 0);
    return n;
}

static size_t delete_all(struct store *s, const struct store_retention *r, size_t *steps) {
    size_t all = 0, n = 1;
    struct err e = {""};
    while (n) {
        if (store_delete_passes(s, r, START + 9 * HOUR, &n, &e) < 0)
            fail_msg("%s", e.text);
        assert_true(n <= r->max_records);
        all += n;
        if (steps)
            ++*steps;
    }
    return all;
}

static int sum(void *ctx, const struct store_deletion_row *row) {
    struct store_deletion_row *all = ctx;
    all->records += row->records;
    if (row->to_seq > all->to_seq)
        all->to_seq = row->to_seq;
    if (row->t_to_ns > all->t_to_ns)
        all->t_to_ns = row->t_to_ns;
    assert_true(row->stream == 1 && row->t_from_ns >= time_of(1));
    return 0;
}

static int tell_hwm(void *ctx, const struct store_stream_row *row) {
    if (row->id == 1)
        *(uint64_t *)ctx = row->hwm;
    return 0;
}

static void test_what_goes_and_what_stays(void **state) {
    struct store *s = filled(*state);
    const struct store_keep keep[] = {{time_of(50), time_of(60)},
                                      {time_of(70) + WHEN_S, time_of(70) + WHEN_S}};
    struct store_retention r = {.cluster = "c",
                                .namespace_name = "a",
                                .before_ns = time_of(201),
                                .keep = keep,
                                .n_keep = 2,
                                .max_records = 23};
    size_t steps = 0, n = 0;
    /* 200 end before it; 20 of them failed; kept are 50 to 60 (two of them failed) and 70, which failed, too
     */
    assert_int_equal(delete_all(s, &r, &steps), 200 - 20 - 9);
    assert_true(steps >= (200 - 29) / 23);
    assert_int_equal(stored(s, "a", 0, 0), BLOCKS - 171);
    assert_int_equal(stored(s, "a", time_of(50), time_of(60)), 11);
    assert_int_equal(stored(s, "b", 0, 0), BLOCKS);
    struct store_deletion_row all = {0};
    assert_int_equal(store_deletions(s, 0, sum, &all, NULL), 0);
    assert_int_equal(all.records, 171);
    assert_int_equal(all.to_seq, 199);
    assert_int_equal(all.t_to_ns, time_of(199) + WHEN_S);
    all.records = 0;
    assert_int_equal(store_deletions(s, 1, sum, &all, NULL), 0); /* a verdict as of then lacks them, too */
    assert_int_equal(all.records, 171);
    assert_int_equal(delete_all(s, &r, NULL), 0); /* once is all */
    r.n_keep = 0;
    assert_int_equal(delete_all(s, &r, NULL), 9);
    r.before_ns = INT64_MAX;
    r.max_records = 10000;
    assert_int_equal(delete_all(s, &r, NULL), 90);
    assert_int_equal(stored(s, "a", 0, 0), 30);
    struct store_size size;
    assert_int_equal(store_size(s, &size, NULL), 0);
    assert_int_equal(size.records, BLOCKS + 30);
    assert_int_equal(size.packed, BLOCKS + 30);
    assert_true(size.file_bytes > 0 && size.free_disk_bytes > 0);
    uint64_t hwm = 0;
    assert_int_equal(store_streams_at(s, 1, tell_hwm, &hwm, NULL), 0);
    assert_int_equal(hwm, BLOCKS); /* the mark does not sink with what is gone */
    r.max_records = 0;
    assert_int_equal(store_delete_passes(s, &r, START, &n, NULL), -EINVAL);
    store_close(&s);
}

static void test_a_resend_of_what_is_gone_is_a_duplicate(void **state) {
    struct store *s = filled(*state);
    struct store_retention r = {
        .cluster = "c", .namespace_name = "a", .before_ns = INT64_MAX, .max_records = 1000};
    assert_int_equal(delete_all(s, &r, NULL), 270);
    assert_int_equal(store_begin(s, NULL), 0);
    for (uint64_t k = 1; k <= BLOCKS; k++)
        assert_int_equal(put_block(s, 1, k), STORE_PUT_DUPLICATE);
    uint64_t n = 0;
    assert_int_equal(store_commit(s, START, &n, NULL), 0);
    assert_int_equal(n, 0);
    assert_int_equal(stored(s, "a", 0, 0), 30);
    store_close(&s);
}

static void test_room_is_used_again(void **state) {
    struct fixture *f = *state;
    struct store *s = filled(f);
    struct store_retention r = {
        .cluster = "c", .namespace_name = "a", .before_ns = INT64_MAX, .max_records = 1000};
    int pages[12];
    for (uint64_t round = 0; round < 12; round++) {
        size_t n = 1;
        assert_int_equal(delete_all(s, &r, NULL), BLOCKS - BLOCKS / 10);
        assert_int_equal(store_begin(s, NULL), 0);
        put_blocks(s, "a", 1, (round + 1) * BLOCKS + 1);
        fixture_commit(s, START);
        while (n)
            assert_int_equal(store_pack(s, START + 11 * HOUR, &n, NULL), 0);
        store_close(&s);
        pages[round] = atoi(fixture_value(f->path, "PRAGMA page_count"));
        s = fixture_open(f, STORE_SERVE);
    }
    store_close(&s);
    print_message("pages: %d, later %d\n", pages[1], pages[11]);
    assert_true(pages[11] < pages[1] + pages[1] / 4); /* failed blocks and places stay; without: sixfold */
}

static void fill_and_delete(const struct fixture *f) {
    struct store *s = filled(f);
    struct store_retention r = {
        .cluster = "c", .namespace_name = "a", .before_ns = INT64_MAX, .max_records = 100};
    size_t n = 0;
    if (store_delete_passes(s, &r, START, &n, NULL) < 0)
        _exit(1);
    store_close(&s);
}

static void test_kill_9_while_deleting(void **state) {
    static const char *const points[] = {"store-delete-recorded", "store-delete-before-commit"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        assert_true(fixture_crash(f, points[i], fill_and_delete));
        struct store *s = fixture_open(f, STORE_SERVE);
        struct store_deletion_row all = {0};
        assert_int_equal(store_deletions(s, 0, sum, &all, NULL), 0);
        assert_int_equal(all.records, 0);
        assert_int_equal(stored(s, "a", 0, 0), BLOCKS);
        store_close(&s);
        (void)unlink(f->path);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_what_goes_and_what_stays),
        CASE(test_a_resend_of_what_is_gone_is_a_duplicate),
        CASE(test_room_is_used_again),
        CASE(test_kill_9_while_deleting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
