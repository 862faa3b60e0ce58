/* test_import: exported files into a store. The writer here follows agent/spool/FORMAT.md by itself, so that
 * agent and collector cannot be wrong together; tests/integration has files of the real agent. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "ingest/ingest.h"
#include "wire/curve.h"

#define FILE_MAX (1u << 20)

struct desk {
    char dir[64], url[128], key_file[128], allow_file[128], file[128];
    struct curve_key server, agent, stranger;
    struct store *store;
    /* the file in the making */
    crypto_secretstream_xchacha20poly1305_state state;
    uint8_t bytes[FILE_MAX];
    size_t len;
    uint64_t batches, records;
};

#define ok(call)                               \
    do {                                       \
        struct err e = {""};                   \
        if ((call) < 0)                        \
            fail_msg("%s: %s", #call, e.text); \
    } while (0)

static int setup(void **state) {
    struct desk *d = calloc(1, sizeof *d);
    assert_non_null(d);
    assert_true(sodium_init() >= 0);
    (void)snprintf(d->dir, sizeof d->dir, "/tmp/test-import.XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    (void)snprintf(d->url, sizeof d->url, "sqlite:%s/p.db", d->dir);
    (void)snprintf(d->key_file, sizeof d->key_file, "%s/server.key", d->dir);
    (void)snprintf(d->allow_file, sizeof d->allow_file, "%s/agents.allow", d->dir);
    (void)snprintf(d->file, sizeof d->file, "%s/export", d->dir);
    ok(curve_generate(&d->server, &e));
    ok(curve_generate(&d->agent, &e));
    ok(curve_generate(&d->stranger, &e));
    ok(curve_save(d->key_file, &d->server, true, &e));
    FILE *f = fopen(d->allow_file, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "%s c1 shop\n", d->agent.public_z85) > 0);
    assert_int_equal(fclose(f), 0);
    ok(store_open(d->url, STORE_SERVE, &d->store, &e));
    *state = d;
    return 0;
}

static int teardown(void **state) {
    struct desk *d = *state;
    store_close(&d->store);
    DIR *dir = opendir(d->dir);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", d->dir, entry->d_name);
        (void)unlink(path);
    }
    if (dir)
        closedir(dir);
    (void)rmdir(d->dir);
    free(d);
    return 0;
}

/* ---- the writer */

static void number(uint8_t *to, size_t n, uint64_t v) {
    for (size_t k = 0; k < n; k++)
        to[k] = (uint8_t)(v >> 8 * k);
}

static void begin_file(struct desk *d, const struct curve_key *agent, const struct curve_key *to) {
    uint8_t *h = d->bytes, secret[32], shared[32], key[32];
    memcpy(h, "PGEXPRT\n", 8);
    number(h + 8, 4, 1);
    assert_non_null(zmq_z85_decode(h + 12, agent->public_z85));
    assert_non_null(zmq_z85_decode(h + 44, to->public_z85));
    assert_non_null(zmq_z85_decode(secret, agent->secret_z85));
    assert_int_equal(crypto_box_beforenm(shared, h + 44, secret), 0);
    assert_int_equal(crypto_generichash(key, sizeof key, h, 76, shared, sizeof shared), 0);
    assert_int_equal(crypto_secretstream_xchacha20poly1305_init_push(&d->state, h + 76, key), 0);
    d->len = 100;
    d->batches = d->records = 0;
}

static void add_chunk(struct desk *d, const uint8_t *plain, size_t len, uint8_t tag) {
    unsigned long long sealed = 0;
    assert_true(d->len + len + 64 < FILE_MAX);
    assert_int_equal(crypto_secretstream_xchacha20poly1305_push(&d->state, d->bytes + d->len + 4, &sealed,
                                                                plain, len, NULL, 0, tag),
                     0);
    number(d->bytes + d->len, 4, sealed);
    d->len += 4 + (size_t)sealed;
}

static void add_frame(struct desk *d, const Pilotgate__Frame *f) {
    uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(wire_pack(f, &data, &len), 0);
    add_chunk(d, data, len, crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    free(data);
}

static void add_hello(struct desk *d, const char *ns, uint8_t *boot, uint64_t first, uint64_t next) {
    Pilotgate__StreamState st = PILOTGATE__STREAM_STATE__INIT, *list = &st;
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    st.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, boot};
    st.first_seq = first;
    st.next_seq = next;
    h.protocol = WIRE_PROTOCOL;
    h.cluster = (char *)"c1";
    h.namespace_name = (char *)ns;
    h.node = (char *)"n1";
    h.n_streams = 1;
    h.streams = &list;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    add_frame(d, &f);
}

static void add_batch(struct desk *d, uint8_t *boot, uint64_t first, size_t n, uint64_t mark) {
    uint8_t packed[16][64];
    ProtobufCBinaryData records[16];
    assert_true(n <= 16);
    for (size_t k = 0; k < n; k++) {
        Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
        Pilotgate__Record r = PILOTGATE__RECORD__INIT;
        c.rss_bytes = mark;
        r.seq = first + k;
        r.wall_ns = 1000;
        r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
        r.coverage = &c;
        assert_true(pilotgate__record__get_packed_size(&r) <= sizeof packed[k]);
        records[k] = (ProtobufCBinaryData){pilotgate__record__pack(&r, packed[k]), packed[k]};
    }
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    b.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, boot};
    b.first_seq = first;
    b.n_records = n;
    b.records = records;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    add_frame(d, &f);
    d->batches++;
    d->records += n;
}

static void add_end(struct desk *d) {
    uint8_t end[16];
    number(end, 8, d->batches);
    number(end + 8, 8, d->records);
    add_chunk(d, end, sizeof end, crypto_secretstream_xchacha20poly1305_TAG_FINAL);
}

static int import(struct desk *d, size_t len, struct ingest_imported *done, struct err *e) {
    FILE *f = fopen(d->file, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(d->bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return ingest_import(d->store, d->file, d->key_file, d->allow_file, done, e);
}

static void refused(struct desk *d, const char *words) {
    struct ingest_imported done;
    struct err e = {""};
    assert_true(import(d, d->len, &done, &e) < 0);
    if (!strstr(e.text, words))
        fail_msg("refused with: %s", e.text);
}

/* ---- what the store says */

struct seen {
    uint64_t hwm, records, conflicts;
    int gaps;
    uint64_t gap_from, gap_to;
};

static int take_stream(void *ctx, const struct store_stream_row *row) {
    struct seen *w = ctx;
    w->hwm += row->hwm;
    w->conflicts += row->conflicts;
    return 0;
}

static int take_gap(void *ctx, const struct store_gap_row *row) {
    struct seen *w = ctx;
    w->gaps++;
    w->gap_from = row->from_seq;
    w->gap_to = row->to_seq;
    return 0;
}

static int take_record(void *ctx, const struct store_record *r, uint64_t commit) {
    struct seen *w = ctx;
    (void)r;
    (void)commit;
    w->records++;
    return 0;
}

static struct seen look(struct desk *d) {
    struct seen w = {0};
    ok(store_streams(d->store, take_stream, &w, &e));
    ok(store_gaps(d->store, 0, take_gap, &w, &e));
    ok(store_records(d->store, &(struct store_query){0}, take_record, &w, &e));
    return w;
}

static uint8_t boot_a[WIRE_BOOT_BYTES] = {1}, boot_b[WIRE_BOOT_BYTES] = {2};

/* Two streams; of the second, 4..6 and the last one cannot be read. */
static void make_file(struct desk *d) {
    begin_file(d, &d->agent, &d->server);
    add_hello(d, "shop", boot_a, 1, 4);
    add_batch(d, boot_a, 1, 3, 7);
    add_hello(d, "shop", boot_b, 2, 10);
    add_batch(d, boot_b, 2, 2, 7);
    add_batch(d, boot_b, 7, 2, 7);
    add_end(d);
}

static void test_a_file_and_again(void **state) {
    struct desk *d = *state;
    struct ingest_imported done;
    make_file(d);
    ok(import(d, d->len, &done, &e));
    assert_int_equal(done.streams, 2);
    assert_int_equal(done.records, 7);
    assert_string_equal(done.namespace_name, "shop");
    struct seen w = look(d);
    assert_int_equal(w.records, 7);
    assert_int_equal(w.hwm, 3 + 9);
    assert_int_equal(w.gaps, 3); /* 1, 4..6, 9 of the second */
    ok(import(d, d->len, &done, &e));
    assert_int_equal(done.records, 0);
    assert_int_equal(done.duplicates, 7);
    assert_int_equal(done.conflicts, 0);
    struct seen again = look(d);
    assert_memory_equal(&again, &w, sizeof w);
    begin_file(d, &d->agent, &d->server);
    add_hello(d, "shop", boot_a, 1, 5);
    add_batch(d, boot_a, 3, 2, 8); /* 3 with other bytes, 4 is new; 1 and 2 are there already: no gap */
    add_end(d);
    ok(import(d, d->len, &done, &e));
    assert_int_equal(done.conflicts, 1);
    assert_int_equal(done.records, 1);
    assert_int_equal(look(d).gaps, 3);
}

/* Wherever it is cut, and whichever byte is wrong: nothing of it is taken. */
static void test_all_or_nothing(void **state) {
    struct desk *d = *state;
    struct ingest_imported done;
    struct err why = {""};
    make_file(d);
    for (size_t len = 0; len < d->len; len += 1 + len / 40)
        assert_true(import(d, len, &done, &why) < 0);
    for (size_t at = 0; at < d->len; at += 7) {
        d->bytes[at] ^= 0x10;
        assert_true(import(d, d->len, &done, &why) < 0);
        d->bytes[at] ^= 0x10;
    }
    d->bytes[d->len] = 0;
    assert_true(import(d, d->len + 1, &done, &why) < 0);
    struct seen w = look(d);
    assert_int_equal(w.records + w.hwm + (uint64_t)w.gaps, 0);
    ok(import(d, d->len, &done, &e));
}

static void test_what_is_refused(void **state) {
    struct desk *d = *state;
    make_file(d);
    begin_file(d, &d->stranger, &d->server);
    add_end(d);
    refused(d, "not in the allow-list");
    begin_file(d, &d->agent, &d->stranger);
    add_end(d);
    refused(d, "another collector");
    begin_file(d, &d->stranger, &d->server); /* by a stranger, under the agent's name */
    assert_non_null(zmq_z85_decode(d->bytes + 12, d->agent.public_z85));
    add_end(d);
    refused(d, "damaged");
    begin_file(d, &d->agent, &d->server);
    add_hello(d, "pay", boot_a, 1, 4);
    add_end(d);
    refused(d, "may not speak");
    begin_file(d, &d->agent, &d->server);
    add_batch(d, boot_a, 1, 1, 0);
    add_end(d);
    refused(d, "no stream that it named");
    begin_file(d, &d->agent, &d->server);
    add_hello(d, "shop", boot_a, 1, 4);
    add_batch(d, boot_a, 1, 4, 0); /* beyond what it said */
    add_end(d);
    refused(d, "out of its order");
    begin_file(d, &d->agent, &d->server);
    add_hello(d, "shop", boot_a, 1, 4);
    add_batch(d, boot_a, 2, 2, 0);
    add_batch(d, boot_a, 1, 1, 0);
    add_end(d);
    refused(d, "out of its order");
    begin_file(d, &d->agent, &d->server);
    add_hello(d, "shop", boot_a, 1, 4);
    add_batch(d, boot_a, 1, 3, 0);
    d->records++;
    add_end(d);
    refused(d, "damaged");
    struct seen w = look(d);
    assert_int_equal(w.records + w.hwm + (uint64_t)w.gaps, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_file_and_again),
        CASE(test_all_or_nothing),
        CASE(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
