/* test_ingest_store: what agents are told, and what is acknowledged, while the store cannot write. The fault
 * is real: RLIMIT_FSIZE makes every write of this process that would pass the limit fail with EFBIG. */
#include "ingest_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/when.h"

static void limit_files(rlim_t bytes) {
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static int setup(void **state) {
    (void)signal(SIGXFSZ, SIG_IGN);
    return site_setup(state);
}

static int teardown(void **state) {
    limit_files(RLIM_INFINITY);
    return site_teardown(state);
}

static void wait_ready(const struct site *s, bool ready, char why[INGEST_WHY_MAX]) {
    int64_t end = when_mono_ns() + WAIT_MS * WHEN_MS;
    while (ingest_ready(s->ingest, why) != ready) {
        if (when_mono_ns() > end)
            fail_msg("waited in vain to be %s: %s", ready ? "ready" : "not ready", why);
        (void)poll(NULL, 0, 5);
    }
}

struct seen {
    uint64_t next;
    int n;
};

static int in_order(void *ctx, const struct store_record *r, uint64_t commit) {
    struct seen *w = ctx;
    (void)commit;
    w->next = r->seq == 1 ? 1 : w->next;
    assert_int_equal(r->seq, w->next++);
    w->n++;
    return 0;
}

static int no_gap(void *ctx, const struct store_gap_row *row) {
    (void)ctx;
    (void)row;
    fail_msg("a gap");
    return 0;
}

static int no_conflict(void *ctx, const struct store_stream_row *row) {
    (void)ctx;
    assert_int_equal(row->conflicts, 0);
    return 0;
}

static void assert_whole(const struct site *s, int records) {
    struct store *cli = NULL;
    struct seen w = {0};
    assert_int_equal(store_open(s->url, STORE_READ, &cli, NULL), 0);
    assert_int_equal(store_records(cli, &(struct store_query){0}, in_order, &w, NULL), 0);
    assert_int_equal(w.n, records);
    assert_int_equal(store_gaps(cli, 0, no_gap, NULL, NULL), 0);
    assert_int_equal(store_streams(cli, no_conflict, NULL, NULL), 0);
    store_close(&cli);
}

static void join_and_send(struct peer *p, const struct site *s, uint8_t boot, const char *node) {
    peer_open(p, s, &s->agent, boot);
    assert_int_equal(peer_join(p, "shop", node, 1, 1), 0);
    peer_batch(p, 1, 3, boot, 0);
    peer_wait_ack(p, 3);
}

static void refused(struct peer *p) {
    char why[256];
    peer_wait_refused(p, why, sizeof why);
    if (!strstr(why, "the store"))
        fail_msg("%s", why);
}

static void test_nothing_is_acknowledged_that_is_not_written(void **state) {
    struct site *s = *state;
    struct peer p, q, r;
    char why[INGEST_WHY_MAX] = "";
    struct ingest_counters c;
    join_and_send(&p, s, 1, "n1");
    join_and_send(&q, s, 2, "n2");
    wait_ready(s, true, why);
    limit_files(0);
    peer_batch(&p, 4, 3, 1, 0);
    refused(&p);
    wait_ready(s, false, why);
    assert_non_null(strstr(why, s->dir)); /* names the file */
    peer_batch(&q, 4, 3, 2, 0);
    refused(&q);
    peer_open(&r, s, &s->agent, 3); /* a stream that was never made must not stay in memory either */
    peer_hello(&r, "c1", "shop", "n3", 1, 1);
    refused(&r);
    peer_hello(&p, "c1", "shop", "n1", 4, 7);
    refused(&p);
    ingest_counters(s->ingest, &c);
    assert_int_equal(c.records, 6);
    assert_int_equal(c.store_full, 2);
    assert_int_equal(s->result, 0);
    limit_files(RLIM_INFINITY);
    wait_ready(s, true, why); /* without a word from anybody */
    assert_int_equal(peer_join(&p, "shop", "n1", 4, 7), 3);
    peer_batch(&p, 4, 3, 1, 0);
    assert_int_equal(peer_join(&q, "shop", "n2", 1, 7), 3); /* said again, or as it was kept: the same */
    peer_batch(&q, 4, 3, 2, 0);
    assert_int_equal(peer_join(&r, "shop", "n3", 1, 1), 0);
    peer_batch(&r, 1, 2, 3, 0);
    peer_wait_ack(&p, 6);
    peer_wait_ack(&q, 6);
    peer_wait_ack(&r, 2);
    assert_whole(s, 14);
    site_wait_refusal(s, "", "the store fails");
    peer_close(&p);
    peer_close(&q);
    peer_close(&r);
}

static rlim_t wal_bytes(const struct site *s) {
    char path[160];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/p.db-wal", s->dir);
    assert_int_equal(stat(path, &st), 0);
    return (rlim_t)st.st_size;
}

/* Failures at the first page that a transaction writes, and at each one after it. */
static void test_any_moment_of_failing(void **state) {
    struct site *s = *state;
    struct peer p;
    char why[INGEST_WHY_MAX] = "";
    uint64_t sent = 3, acked;
    join_and_send(&p, s, 1, "n1");
    for (int round = 0; round < 10; round++) {
        limit_files(wal_bytes(s) + (rlim_t)round * 2048);
        peer_batch(&p, sent + 1, 40, 1, 0);
        Pilotgate__Frame *f = NULL;
        for (acked = 0; acked < sent + 40 && (f = peer_wait(&p, PILOTGATE__FRAME__KIND_ACK, 40));) {
            acked = f->ack->streams[0]->acked_seq;
            wire_free(&f);
        }
        limit_files(RLIM_INFINITY);
        wait_ready(s, true, why);
        acked = peer_join(&p, "shop", "n1", 1, sent + 41);
        assert_in_range(acked, 3, sent + 40);
        assert_true(acked == sent || acked == sent + 40); /* a batch is taken whole or not at all */
        sent = acked;
    }
    assert_whole(s, (int)sent);
    peer_close(&p);
}

static void put_old_records(struct store *s, const uint8_t *boot, int64_t at_ns) {
    const struct store_stream_key key = {"c1", "shop", "n1", boot};
    int64_t id = 0;
    uint64_t hwm = 0;
    bool elsewhere = false;
    enum store_put put;
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_stream(s, &key, &id, &hwm, &elsewhere, NULL), 0);
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        const struct store_record r = {.stream = id,
                                       .seq = seq,
                                       .family = WIRE_FAMILY_COVERAGE,
                                       .t_from_ns = at_ns,
                                       .t_to_ns = at_ns,
                                       .payload = (const uint8_t *)"covered",
                                       .len = 7};
        assert_int_equal(store_put_record(s, &r, &put, NULL), 0);
    }
    assert_int_equal(store_commit(s, at_ns, NULL, NULL), 0);
}

/* What lies long enough is packed beside the work, and goes on to be what it was. */
static void test_packing_goes_on_beside(void **state) {
    struct site *s = *state;
    struct store_size size = {0};
    struct peer p;
    uint8_t boot[WIRE_BOOT_BYTES];
    memset(boot, 1, sizeof boot);
    site_stop(s);
    assert_int_equal(store_open(s->url, STORE_SERVE, &s->store, NULL), 0);
    put_old_records(s->store, boot, when_wall_ns() - 2 * 3600 * WHEN_S);
    store_close(&s->store);
    site_start(s);
    peer_open(&p, s, &s->agent, 1);
    assert_int_equal(peer_join(&p, "shop", "n1", 1, 1001), 1000);
    struct store *cli = NULL;
    assert_int_equal(store_open(s->url, STORE_READ, &cli, NULL), 0);
    int64_t end = when_mono_ns() + WAIT_MS * WHEN_MS;
    for (uint64_t seq = 1001; size.packed < 1000; seq++) {
        peer_batch(&p, seq, 1, 0, 0);
        peer_wait_ack(&p, seq);
        assert_int_equal(store_size(cli, &size, NULL), 0);
        assert_true(when_mono_ns() < end);
    }
    store_close(&cli);
    peer_close(&p);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_is_acknowledged_that_is_not_written),
        CASE(test_any_moment_of_failing),
        CASE(test_packing_goes_on_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
