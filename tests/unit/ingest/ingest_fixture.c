/* ingest_fixture: see ingest_fixture.h. */
#include "ingest_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/when.h"

#define ok(call)                               \
    do {                                       \
        struct err e = {""};                   \
        if ((call) < 0)                        \
            fail_msg("%s: %s", #call, e.text); \
    } while (0)

void site_write_allow(struct site *s, const char *text) {
    char name[160];
    (void)snprintf(name, sizeof name, "%s.new", s->allow_file);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(name, s->allow_file), 0);
}

static void *run(void *ctx) {
    struct site *s = ctx;
    s->result = ingest_run(s->ingest, &s->error);
    return NULL;
}

void site_start(struct site *s) {
    struct ingest_options o = {"tcp://127.0.0.1:*", s->key_file, s->allow_file};
    ok(store_open(s->url, STORE_SERVE, &s->store, &e));
    ok(ingest_new(&o, s->store, &s->ingest, &e));
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

int site_setup(void **state) {
    struct site *s = calloc(1, sizeof *s);
    assert_non_null(s);
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/test-ingest.XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->url, sizeof s->url, "sqlite:%s/p.db", s->dir);
    (void)snprintf(s->key_file, sizeof s->key_file, "%s/server.key", s->dir);
    (void)snprintf(s->allow_file, sizeof s->allow_file, "%s/agents.allow", s->dir);
    ok(curve_generate(&s->server, &e));
    ok(curve_generate(&s->agent, &e));
    ok(curve_generate(&s->stranger, &e));
    ok(curve_save(s->key_file, &s->server, true, &e));
    char line[128];
    (void)snprintf(line, sizeof line, "# agents\n%s c1 shop,pay\n", s->agent.public_z85);
    site_write_allow(s, line);
    site_start(s);
    *state = s;
    return 0;
}

void site_stop(struct site *s) {
    if (!s->ingest)
        return;
    ingest_stop(s->ingest);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    assert_int_equal(s->result, 0);
    ingest_free(&s->ingest);
    store_close(&s->store);
}

void site_restart_as_restored(struct site *s) {
    char copy[128], file[128];
    (void)snprintf(file, sizeof file, "%s/p.db", s->dir);
    (void)snprintf(copy, sizeof copy, "%s/backup.db", s->dir);
    struct store *cli = NULL;
    ok(store_open(s->url, STORE_READ, &cli, &e));
    ok(store_backup(cli, copy, &e));
    store_close(&cli);
    site_stop(s);
    assert_int_equal(rename(copy, file), 0);
    site_start(s);
}

int site_teardown(void **state) {
    struct site *s = *state;
    site_stop(s);
    DIR *d = opendir(s->dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", s->dir, entry->d_name);
        (void)unlink(path);
    }
    if (d)
        closedir(d);
    (void)rmdir(s->dir);
    free(s);
    return 0;
}

/* ---- peers */

void peer_open(struct peer *p, const struct site *s, const struct curve_key *key, uint8_t boot) {
    memset(p, 0, sizeof *p);
    memset(p->boot, boot, sizeof p->boot);
    p->zmq = zmq_ctx_new();
    p->socket = zmq_socket(p->zmq, ZMQ_DEALER);
    const int bound_ms = 10000; /* a refused handshake leaves nowhere to send to */
    assert_int_equal(zmq_setsockopt(p->socket, ZMQ_SNDTIMEO, &bound_ms, sizeof bound_ms), 0);
    assert_non_null(p->socket);
    ok(curve_setup_agent(p->socket, key, s->server.public_z85, NULL, &e));
    assert_int_equal(zmq_connect(p->socket, ingest_endpoint(s->ingest)), 0);
}

void peer_close(struct peer *p) {
    zmq_close(p->socket);
    zmq_ctx_term(p->zmq);
}

void peer_send_bytes(struct peer *p, const void *data, size_t len) {
    assert_int_equal(zmq_send(p->socket, data, len, 0), (int)len);
}

void peer_send(struct peer *p, Pilotgate__Frame *f) {
    uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(wire_pack(f, &data, &len), 0);
    peer_send_bytes(p, data, len);
    free(data);
}

void peer_hello(struct peer *p, const char *cluster, const char *ns, const char *node, uint64_t first,
                uint64_t next) {
    Pilotgate__StreamState st = PILOTGATE__STREAM_STATE__INIT, *list = &st;
    st.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, p->boot};
    st.first_seq = first;
    st.next_seq = next;
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    h.protocol = WIRE_PROTOCOL;
    h.version = (char *)"test";
    h.cluster = (char *)cluster;
    h.namespace_name = (char *)ns;
    h.node = (char *)node;
    h.store_id = p->store_id;
    h.restore_epoch = p->restore_epoch;
    h.n_streams = 1;
    h.streams = &list;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    peer_send(p, &f);
}

static ProtobufCBinaryData pack_record(uint64_t seq, uint64_t mark) {
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    c.rss_bytes = mark;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.seq = seq;
    r.wall_ns = 1000 + (int64_t)(seq % 1000);
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    ProtobufCBinaryData d = {pilotgate__record__get_packed_size(&r), NULL};
    d.data = malloc(d.len);
    assert_non_null(d.data);
    pilotgate__record__pack(&r, d.data);
    return d;
}

static void pack_batch(struct peer *p, uint64_t first, size_t n, ProtobufCBinaryData *records, uint8_t **ret,
                       size_t *ret_len) {
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    b.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, p->boot};
    b.first_seq = first;
    b.n_records = n;
    b.records = records;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = p->session;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    assert_int_equal(wire_pack(&f, ret, ret_len), 0);
    for (size_t i = 0; i < n; i++)
        free(records[i].data);
}

static void pack_records(uint64_t first, size_t n, uint64_t mark, ProtobufCBinaryData *records) {
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++)
        records[i] = pack_record(first + i, mark);
}

void peer_batch(struct peer *p, uint64_t first, size_t n, uint64_t mark, size_t bad) {
    ProtobufCBinaryData records[64];
    uint8_t *data = NULL;
    size_t len = 0;
    pack_records(first, n, mark, records);
    if (bad)
        memset(records[bad].data, 0xff, records[bad].len);
    pack_batch(p, first, n, records, &data, &len);
    peer_send_bytes(p, data, len);
    free(data);
}

void peer_batch_or_leave(struct peer *p, uint64_t first, size_t n) {
    ProtobufCBinaryData records[64];
    uint8_t *data = NULL;
    size_t len = 0;
    pack_records(first, n, 0, records);
    pack_batch(p, first, n, records, &data, &len);
    (void)zmq_send(p->socket, data, len, 0);
    free(data);
}

Pilotgate__Frame *peer_wait(struct peer *p, Pilotgate__Frame__KindCase kind, int ms) {
    int64_t end = when_mono_ns() + ms * WHEN_MS;
    for (;;) {
        int64_t left = (end - when_mono_ns()) / WHEN_MS;
        zmq_pollitem_t item = {.socket = p->socket, .events = ZMQ_POLLIN};
        if (left <= 0 || zmq_poll(&item, 1, left) <= 0)
            return NULL;
        zmq_msg_t m;
        zmq_msg_init(&m);
        assert_true(zmq_msg_recv(&m, p->socket, 0) >= 0);
        Pilotgate__Frame *f = NULL;
        ok(wire_unpack(zmq_msg_data(&m), zmq_msg_size(&m), &f, &e));
        zmq_msg_close(&m);
        if (f->kind_case == kind)
            return f;
        wire_free(&f);
    }
}

uint64_t peer_join(struct peer *p, const char *ns, const char *node, uint64_t first, uint64_t next) {
    peer_hello(p, "c1", ns, node, first, next);
    Pilotgate__Frame *f = peer_wait(p, PILOTGATE__FRAME__KIND_WELCOME, WAIT_MS);
    assert_non_null(f);
    assert_string_equal(f->welcome->refused, "");
    assert_int_not_equal(f->session, 0);
    assert_int_equal(f->welcome->n_streams, 1);
    p->session = f->session;
    uint64_t acked = f->welcome->streams[0]->acked_seq;
    wire_free(&f);
    return acked;
}

void peer_wait_ack(struct peer *p, uint64_t seq) {
    uint64_t acked;
    do {
        Pilotgate__Frame *f = peer_wait(p, PILOTGATE__FRAME__KIND_ACK, WAIT_MS);
        assert_non_null(f);
        assert_int_equal(f->session, p->session);
        acked = f->ack->streams[0]->acked_seq;
        wire_free(&f);
    } while (acked < seq);
}

void peer_wait_refused(struct peer *p, char *out, size_t max) {
    Pilotgate__Frame *f = peer_wait(p, PILOTGATE__FRAME__KIND_WELCOME, WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->session, 0);
    assert_string_not_equal(f->welcome->refused, "");
    (void)snprintf(out, max, "%s", f->welcome->refused);
    wire_free(&f);
}

/* ---- what the store says */

struct want {
    const char *key, *reason, *node;
    bool connected, found;
};

static int match_refusal(void *ctx, const struct store_refusal *row) {
    struct want *w = ctx;
    w->found =
        w->found || (strcmp(row->key, w->key) == 0 && strstr(row->reason, w->reason) && row->count > 0);
    return 0;
}

static int match_session(void *ctx, const struct store_session *row) {
    struct want *w = ctx;
    w->found = w->found || (strcmp(row->node, w->node) == 0 && row->connected == w->connected);
    return 0;
}

static void wait_until(const struct site *s, struct want *w) {
    struct store *cli = NULL;
    ok(store_open(s->url, STORE_READ, &cli, &e));
    int64_t end = when_mono_ns() + WAIT_MS * WHEN_MS;
    while (!w->found) {
        if (w->reason)
            ok(store_refusals(cli, match_refusal, w, &e));
        else
            ok(store_sessions(cli, match_session, w, &e));
        if (!w->found && when_mono_ns() > end)
            fail_msg("waited in vain for %s", w->reason ? w->reason : w->node);
        if (!w->found)
            (void)poll(NULL, 0, 20);
    }
    store_close(&cli);
}

void site_wait_refusal(const struct site *s, const char *key, const char *reason) {
    struct want w = {.key = key, .reason = reason};
    wait_until(s, &w);
}

void site_wait_session(const struct site *s, const char *node, bool connected) {
    struct want w = {.node = node, .connected = connected};
    wait_until(s, &w);
}
