/* old-collector: a collector of version 0.1, over its frozen schema and decoder and, in a store of its time
 * (v1_schema.sql), what its ingest did: a record of a family that it does not know is kept as it is and
 * acknowledged. Lets every key in; serves one agent at a time.
 *
 * usage: compat-old-collector ENDPOINT SERVER.key STORE    the store's tables exist already
 *
 * Runs until SIGTERM; then a line on stdout for each family: NAME COUNT, where `unknown` are the opaque ones;
 * and `refused COUNT`, of frames and records that it could not take. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/when.h"
#include "v1_wire.h"
#include "wire/curve.h"

#define STREAMS 16

struct stream {
    int64_t id;
    uint8_t boot[V1_BOOT_BYTES];
    uint64_t hwm;
};

static struct {
    void *router;
    zmq_msg_t from;
    sqlite3 *db;
    sqlite3_int64 n; /* of the newest commit */
    uint64_t session;
    struct stream streams[STREAMS];
    size_t n_streams;
    uint64_t families[V1_FAMILIES], refused;
} me;

static volatile sig_atomic_t ending;

static void on_term(int signal) {
    (void)signal;
    ending = 1;
}

static void must(bool ok, const char *what) {
    if (ok)
        return;
    (void)fprintf(stderr, "old-collector: %s (%s)\n", what, me.db ? sqlite3_errmsg(me.db) : "");
    exit(1);
}

/* ---------------------------------------------------------------- store */

static void sql(const char *text) {
    must(sqlite3_exec(me.db, text, NULL, NULL, NULL) == SQLITE_OK, text);
}

static sqlite3_stmt *prepare(const char *text) {
    sqlite3_stmt *st = NULL;
    must(sqlite3_prepare_v2(me.db, text, -1, &st, NULL) == SQLITE_OK, text);
    return st;
}

static void run(sqlite3_stmt *st) {
    must(sqlite3_step(st) == SQLITE_DONE, "write");
    must(sqlite3_finalize(st) == SQLITE_OK, "write");
}

static void begin(void) {
    sql("BEGIN IMMEDIATE");
    sqlite3_stmt *st = prepare("INSERT INTO commit_log(n, at_ns) VALUES(?1, ?2)");
    sqlite3_bind_int64(st, 1, ++me.n);
    sqlite3_bind_int64(st, 2, when_wall_ns());
    run(st);
}

static void put(const struct stream *s, uint64_t seq, int family, int64_t t, const ProtobufCBinaryData *d) {
    sqlite3_stmt *st = prepare("INSERT INTO record(stream, seq, n, family, t_from, t_to, payload) "
                               "VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6)");
    sqlite3_bind_int64(st, 1, s->id);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)seq);
    sqlite3_bind_int64(st, 3, me.n);
    sqlite3_bind_int(st, 4, family);
    sqlite3_bind_int64(st, 5, t);
    sqlite3_bind_blob64(st, 6, d->data, d->len, SQLITE_STATIC);
    run(st);
    st = prepare("UPDATE stream SET hwm = ?2 WHERE id = ?1");
    sqlite3_bind_int64(st, 1, s->id);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)seq);
    run(st);
}

static void put_stream(struct stream *s, const PilotgateV1__Hello *h) {
    begin();
    sqlite3_stmt *st =
        prepare("INSERT INTO stream(n, cluster, namespace, node, boot) VALUES(?1, ?2, ?3, ?4, ?5)");
    sqlite3_bind_int64(st, 1, me.n);
    sqlite3_bind_text(st, 2, h->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, h->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 4, h->node, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 5, s->boot, sizeof s->boot, SQLITE_STATIC);
    run(st);
    s->id = sqlite3_last_insert_rowid(me.db);
    sql("COMMIT");
}

static void open_store(const char *path) {
    must(sqlite3_open_v2(path, &me.db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, "open the store");
    sqlite3_stmt *st = prepare("SELECT coalesce(max(n), 0) FROM commit_log");
    must(sqlite3_step(st) == SQLITE_ROW, "read the store");
    me.n = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    sql("UPDATE meta SET value = 'open' WHERE key = 'state'");
}

static void close_store(void) {
    sql("UPDATE meta SET value = 'closed' WHERE key = 'state'");
    must(sqlite3_close(me.db) == SQLITE_OK, "close the store");
    me.db = NULL;
}

/* ---------------------------------------------------------------- frames */

static void send(PilotgateV1__Frame *f) {
    uint8_t *bytes = NULL;
    size_t len = 0;
    zmq_msg_t to;
    f->session = me.session;
    must(v1_pack(f, &bytes, &len) == 0, "a frame is too long");
    (void)zmq_msg_init(&to);
    must(zmq_msg_copy(&to, &me.from) == 0, "copy");
    if (zmq_msg_send(&to, me.router, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        (void)zmq_send(me.router, bytes, len, ZMQ_DONTWAIT);
    else
        (void)zmq_msg_close(&to);
    free(bytes);
}

static struct stream *stream_of(const ProtobufCBinaryData *boot) {
    for (size_t i = 0; i < me.n_streams; i++)
        if (memcmp(me.streams[i].boot, boot->data, V1_BOOT_BYTES) == 0)
            return &me.streams[i];
    return NULL;
}

static size_t fill_acks(PilotgateV1__StreamAck *acks, PilotgateV1__StreamAck **list) {
    for (size_t i = 0; i < me.n_streams; i++) {
        pilotgate_v1__stream_ack__init(&acks[i]);
        acks[i].boot = (ProtobufCBinaryData){.len = V1_BOOT_BYTES, .data = me.streams[i].boot};
        acks[i].acked_seq = me.streams[i].hwm;
        list[i] = &acks[i];
    }
    return me.n_streams;
}

static void on_hello(const PilotgateV1__Hello *h) {
    PilotgateV1__StreamAck acks[STREAMS];
    PilotgateV1__StreamAck *list[STREAMS];
    PilotgateV1__Welcome w = PILOTGATE_V1__WELCOME__INIT;
    PilotgateV1__Frame f = PILOTGATE_V1__FRAME__INIT;
    must(h->protocol == V1_PROTOCOL, "Hello of another protocol");
    for (size_t i = 0; i < h->n_streams; i++) {
        if (stream_of(&h->streams[i]->boot))
            continue;
        must(me.n_streams < STREAMS, "too many streams");
        struct stream *s = &me.streams[me.n_streams++];
        memcpy(s->boot, h->streams[i]->boot.data, sizeof s->boot);
        put_stream(s, h);
    }
    me.session++;
    w.protocol = V1_PROTOCOL;
    w.store_id = (char *)"00112233445566778899aabbccddeeff";
    w.n_streams = fill_acks(acks, list);
    w.streams = list;
    w.credit_records = V1_CREDIT_RECORDS;
    w.credit_bytes = V1_CREDIT_BYTES;
    f.kind_case = PILOTGATE_V1__FRAME__KIND_WELCOME;
    f.welcome = &w;
    send(&f);
}

/* False: it cannot be taken. */
static bool on_record(struct stream *s, uint64_t seq, const ProtobufCBinaryData *d) {
    PilotgateV1__Record *r = NULL;
    struct err e = {""};
    if (v1_record_unpack(d->data, d->len, &r, &e) < 0) {
        (void)fprintf(stderr, "old-collector: record %" PRIu64 ": %s\n", seq, e.text);
        me.refused++;
        return false;
    }
    must(r->seq == seq && seq <= s->hwm + 1, "a record is not in its place");
    if (seq > s->hwm) {
        enum v1_family family = v1_family(r);
        me.families[family]++;
        put(s, seq, (int)family, r->wall_ns, d);
        s->hwm = seq;
    }
    v1_record_free(&r);
    return true;
}

static void on_batch(const PilotgateV1__Batch *b) {
    PilotgateV1__StreamAck acks[STREAMS];
    PilotgateV1__StreamAck *list[STREAMS];
    PilotgateV1__Ack ack = PILOTGATE_V1__ACK__INIT;
    PilotgateV1__Frame f = PILOTGATE_V1__FRAME__INIT;
    struct stream *s = stream_of(&b->boot);
    must(s, "batch of a stream that no Hello named");
    begin();
    for (size_t i = 0; i < b->n_records; i++)
        if (!on_record(s, b->first_seq + i, &b->records[i]))
            break;
    sql("COMMIT");
    ack.n_streams = fill_acks(acks, list);
    ack.streams = list;
    f.kind_case = PILOTGATE_V1__FRAME__KIND_ACK;
    f.ack = &ack;
    send(&f);
}

static void on_clock(const PilotgateV1__ClockProbe *c) {
    PilotgateV1__ClockReply r = PILOTGATE_V1__CLOCK_REPLY__INIT;
    PilotgateV1__Frame f = PILOTGATE_V1__FRAME__INIT;
    r.id = c->id;
    r.t1_wall_ns = c->t1_wall_ns;
    r.t2_wall_ns = r.t3_wall_ns = when_wall_ns();
    f.kind_case = PILOTGATE_V1__FRAME__KIND_CLOCK_REPLY;
    f.clock_reply = &r;
    send(&f);
}

static void on_frame(const PilotgateV1__Frame *f) {
    if (f->kind_case == PILOTGATE_V1__FRAME__KIND_HELLO)
        on_hello(f->hello);
    else if (f->session != me.session) /* of a socket that is no longer */
        return;
    else if (f->kind_case == PILOTGATE_V1__FRAME__KIND_BATCH)
        on_batch(f->batch);
    else if (f->kind_case == PILOTGATE_V1__FRAME__KIND_CLOCK_PROBE)
        on_clock(f->clock_probe);
}

static void receive(void) {
    zmq_msg_t m;
    struct err e = {""};
    PilotgateV1__Frame *f = NULL;
    if (zmq_msg_recv(&me.from, me.router, ZMQ_DONTWAIT) < 0)
        return;
    (void)zmq_msg_init(&m);
    must(zmq_msg_recv(&m, me.router, 0) >= 0, "second part");
    if (v1_unpack(zmq_msg_data(&m), zmq_msg_size(&m), &f, &e) == 0) {
        on_frame(f);
    } else {
        (void)fprintf(stderr, "old-collector: %s\n", e.text);
        me.refused++;
    }
    v1_free(&f);
    (void)zmq_msg_close(&m);
}

static void report(void) {
    static const char *const names[V1_FAMILIES] = {"unknown", "timing", "phase",    "calls",
                                                   "call",    "object", "coverage", "loss"};
    for (int i = 0; i < V1_FAMILIES; i++)
        (void)printf("%s %" PRIu64 "\n", names[i], me.families[i]);
    (void)printf("refused %" PRIu64 "\n", me.refused);
}

int main(int argc, char **argv) {
    struct curve_key own;
    struct err e = {""};
    must(argc == 4, "usage: compat-old-collector ENDPOINT SERVER.key STORE");
    must(curve_load(argv[2], true, &own, &e) == 0, e.text);
    (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    open_store(argv[3]);
    void *zmq = zmq_ctx_new();
    me.router = zmq_socket(zmq, ZMQ_ROUTER);
    must(curve_setup_collector(me.router, &own, &e) == 0, e.text);
    must(zmq_bind(me.router, argv[1]) == 0, "bind");
    (void)zmq_msg_init(&me.from);
    while (!ending) {
        zmq_pollitem_t item = {.socket = me.router, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, 100) > 0)
            receive();
    }
    (void)zmq_msg_close(&me.from);
    (void)zmq_close(me.router);
    (void)zmq_ctx_term(zmq);
    close_store();
    report();
    return 0;
}
