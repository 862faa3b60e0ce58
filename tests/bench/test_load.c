/* The load generator's parts: its histogram, its records, and that it finds what a store lacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "load.h"
#include "store/store.h"

static void quantiles_are_at_most_a_32nd_too_high(void **state) {
    static struct hist h;
    (void)state;
    assert_int_equal(hist_quantile(&h, 0.5), 0);
    for (int64_t us = 1; us <= 100000; us++)
        hist_add(&h, us * 1000);
    const double q[] = {0.01, 0.5, 0.99, 0.999};
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        double exact = q[i] * 1e8, seen = (double)hist_quantile(&h, q[i]);
        assert_true(seen >= exact && seen <= exact * (1 + 1.0 / 32));
    }
    assert_int_equal(hist_quantile(&h, 1), 100000000);
    hist_add(&h, INT64_MAX);
    hist_add(&h, -5);
    assert_int_equal(h.max, INT64_MAX);
    assert_int_equal(hist_quantile(&h, 0), 0);
}

/* Every number from `first` on, once, in whatever order. */
static bool has_each(const Pilotgate__CallBlock *b, uint64_t first) {
    static bool seen[WIRE_BLOCK_CALLS_MAX];
    uint64_t number = b->first_number;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < b->n_number_delta; i++) {
        number += (uint64_t)b->number_delta[i];
        if (number < first || number - first >= b->n_number_delta || seen[number - first])
            return false;
        seen[number - first] = true;
    }
    return true;
}

static void blocks_are_what_the_wire_takes(void **state) {
    struct calls_source s = {.random = 1, .rate = 500, .next = 1, .wall = WHEN_S, .mono = WHEN_S};
    struct buf record = BUF_INIT(WIRE_RECORD_MAX);
    Pilotgate__Record *r = NULL;
    struct err e = {""};
    (void)state;
    for (uint64_t first = 1; first < 3 * WIRE_BLOCK_CALLS_MAX; first += WIRE_BLOCK_CALLS_MAX) {
        assert_int_equal(calls_block(&s, WIRE_BLOCK_CALLS_MAX, &record, &e), 0);
        assert_int_equal(calls_number(&record, 300), 0);
        assert_int_equal(wire_record_unpack((uint8_t *)record.data, record.len, &r, &e), 0);
        assert_int_equal(r->seq, 300);
        assert_int_equal(wire_family(r), WIRE_FAMILY_CALLS);
        assert_int_equal(r->calls->n_outcome, WIRE_BLOCK_CALLS_MAX);
        assert_true(has_each(r->calls, first));
        wire_record_free(&r);
    }
    assert_int_equal(calls_block(&s, WIRE_BLOCK_CALLS_MAX + 1, &record, &e), -22);
    buf_free(&record);
}

static void queue_keeps_order_while_it_grows(void **state) {
    struct load_queue q = {.first_seq = 1};
    struct err e = {""};
    (void)state;
    for (uint32_t i = 1, dropped = 0; i <= 1000; i++) {
        struct buf b = {.data = (char *)&i, .len = sizeof i};
        assert_int_equal(load_queue_add(&q, &b, i, i, &e), 0);
        if (i % 3 == 0) {
            load_queue_drop(&q);
            dropped++;
        }
        assert_int_equal(load_queue_at(&q, dropped + 1)->calls, dropped + 1);
        assert_int_equal(load_queue_at(&q, i)->calls, i);
    }
    load_queue_free(&q);
}

/* ------------------------------------------------------------------ what a store lacks */

#define RECORDS 6
#define CALLS 10

struct scene {
    char path[64], url[80];
    struct load load;
    struct load_agent agents[2];
};

static void put(struct store *s, const struct load_agent *a, int64_t stream, uint64_t seq) {
    struct calls_source source = {
        .random = seq, .rate = 10, .next = seq * 100, .wall = WHEN_S, .mono = WHEN_S};
    struct buf record = BUF_INIT(WIRE_RECORD_MAX);
    struct err e = {""};
    enum store_put put;
    (void)a;
    assert_int_equal(calls_block(&source, CALLS, &record, &e), 0);
    assert_int_equal(calls_number(&record, seq), 0);
    struct store_record r = {stream,    seq, WIRE_FAMILY_CALLS, WHEN_S, 2 * WHEN_S, (uint8_t *)record.data,
                             record.len};
    assert_int_equal(store_put_record(s, &r, &put, &e), 0);
    buf_free(&record);
}

/* Two agents that made RECORDS each; of the second so many are stored. */
static void set_up(struct scene *c, uint64_t of_second) {
    struct store *s = NULL;
    struct err e = {""};
    memset(c, 0, sizeof *c);
    (void)snprintf(c->path, sizeof c->path, "/tmp/test_load.%d.db", (int)getpid());
    (void)snprintf(c->url, sizeof c->url, "sqlite:%s", c->path);
    c->load.o = (struct load_options){.agents = 2, .store = c->url};
    c->load.agents = c->agents;
    (void)unlink(c->path);
    assert_int_equal(store_open(c->url, STORE_CREATE, &s, &e), 0);
    assert_int_equal(store_begin(s, &e), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct store_stream_key k = {"load", "stage-0", i ? "node-1" : "node-0", c->agents[i].boot};
        int64_t stream;
        uint64_t hwm;
        bool elsewhere;
        memset(c->agents[i].boot, 1 + (int)i, WIRE_BOOT_BYTES);
        c->agents[i].next_seq = RECORDS + 1;
        c->agents[i].made_calls = RECORDS * CALLS;
        assert_int_equal(store_stream(s, &k, &stream, &hwm, &elsewhere, &e), 0);
        for (uint64_t seq = 1; seq <= (i ? of_second : RECORDS); seq++)
            put(s, &c->agents[i], stream, seq);
    }
    assert_int_equal(store_commit(s, WHEN_S, NULL, &e), 0);
    store_close(&s);
}

static void tear_down(const struct scene *c) {
    static const char *const beside[] = {"", "-wal", "-shm", "-lock"};
    for (size_t i = 0; i < 4; i++) {
        char path[80];
        (void)snprintf(path, sizeof path, "%s%s", c->path, beside[i]);
        (void)unlink(path);
    }
}

static void a_whole_store_is_found_whole(void **state) {
    struct scene c;
    struct err e = {""};
    (void)state;
    set_up(&c, RECORDS);
    assert_int_equal(load_check(&c.load, &e), 0);
    assert_int_equal(c.load.stored_records, 2 * RECORDS);
    assert_int_equal(c.load.stored_calls, 2 * RECORDS * CALLS);
    tear_down(&c);
}

static void a_record_that_is_missing_is_found(void **state) {
    struct scene c;
    struct err e = {""};
    (void)state;
    set_up(&c, RECORDS - 1);
    assert_int_equal(load_check(&c.load, &e), -74); /* EBADMSG */
    assert_int_equal(c.load.missing, 1);
    assert_non_null(strstr(e.text, "1 records missing"));
    tear_down(&c);
}

static void calls_that_are_missing_are_found(void **state) {
    struct scene c;
    struct err e = {""};
    (void)state;
    set_up(&c, RECORDS);
    c.agents[0].made_calls++;
    assert_int_equal(load_check(&c.load, &e), -74);
    assert_int_equal(c.load.missing, 0);
    assert_non_null(strstr(e.text, "1 with other calls"));
    tear_down(&c);
}

static void a_stream_that_is_missing_is_found(void **state) {
    struct scene c;
    struct err e = {""};
    (void)state;
    set_up(&c, RECORDS);
    c.agents[1].boot[0] = 99;
    assert_int_equal(load_check(&c.load, &e), -74);
    assert_non_null(strstr(e.text, "1 of 2 streams"));
    tear_down(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_at_most_a_32nd_too_high),
        cmocka_unit_test(blocks_are_what_the_wire_takes),
        cmocka_unit_test(queue_keeps_order_while_it_grows),
        cmocka_unit_test(a_whole_store_is_found_whole),
        cmocka_unit_test(a_record_that_is_missing_is_found),
        cmocka_unit_test(calls_that_are_missing_are_found),
        cmocka_unit_test(a_stream_that_is_missing_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
