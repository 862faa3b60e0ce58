/* peer: see peer.h. */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/when.h"

struct own {
    pthread_t thread;
    pthread_mutex_t lock;
    atomic_bool ending;
    void *zmq, *router;
    uint64_t session; /* of the newest Hello; others are stale */
    unsigned outstanding;
    zmq_msg_t from;
};

static void must(bool ok, const char *what) {
    if (ok)
        return;
    (void)fprintf(stderr, "peer: %s: %s\n", what, zmq_strerror(zmq_errno()));
    abort();
}

static struct peer_stream *stream_of(struct peer *p, const uint8_t *boot, bool make) {
    static const uint8_t none[WIRE_BOOT_BYTES];
    for (int i = 0; i < PEER_STREAMS; i++) {
        struct peer_stream *s = &p->streams[i];
        if (make && memcmp(s->boot, none, sizeof none) == 0)
            memcpy(s->boot, boot, sizeof s->boot);
        if (memcmp(s->boot, boot, sizeof s->boot) == 0)
            return s;
    }
    return NULL;
}

bool peer_stream(struct peer *p, const uint8_t *boot, struct peer_stream *out) {
    struct own *o = p->own;
    (void)pthread_mutex_lock(&o->lock);
    const struct peer_stream *s = stream_of(p, boot, false);
    if (s)
        memcpy(out, s, offsetof(struct peer_stream, digests));
    (void)pthread_mutex_unlock(&o->lock);
    return s != NULL;
}

void peer_restore(struct peer *p, const char *store, uint64_t epoch, uint64_t hwm) {
    struct own *o = p->own;
    (void)pthread_mutex_lock(&o->lock);
    (void)snprintf(p->store, sizeof p->store, "%s", store);
    p->epoch = epoch;
    for (int i = 0; i < PEER_STREAMS; i++)
        if (p->streams[i].hwm > hwm)
            p->streams[i].hwm = hwm;
    (void)pthread_mutex_unlock(&o->lock);
}

void peer_hello_store(struct peer *p, char out[64]) {
    struct own *o = p->own;
    (void)pthread_mutex_lock(&o->lock);
    memcpy(out, p->hello_store, 64);
    (void)pthread_mutex_unlock(&o->lock);
}

static void send_frame(struct own *o, const Pilotgate__Frame *f) {
    uint8_t *bytes;
    size_t len;
    zmq_msg_t to;
    must(wire_pack(f, &bytes, &len) == 0, "pack");
    (void)zmq_msg_init(&to);
    must(zmq_msg_copy(&to, &o->from) == 0, "copy");
    if (zmq_msg_send(&to, o->router, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        (void)zmq_send(o->router, bytes, len, ZMQ_DONTWAIT);
    else
        (void)zmq_msg_close(&to);
    free(bytes);
}

static void on_hello(struct peer *p, struct own *o, const Pilotgate__Hello *h) {
    Pilotgate__StreamAck acks[WIRE_STREAMS_MAX];
    Pilotgate__StreamAck *pointers[WIRE_STREAMS_MAX];
    Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    atomic_fetch_add(&p->hellos, 1);
    for (size_t i = 0; i < h->n_streams; i++) {
        struct peer_stream *s = stream_of(p, h->streams[i]->boot.data, true);
        must(s != NULL, "too many streams");
        if (h->streams[i]->first_seq > s->hwm + 1) {
            s->gap_records += h->streams[i]->first_seq - 1 - s->hwm;
            s->hwm = h->streams[i]->first_seq - 1;
        }
        s->first_seq = h->streams[i]->first_seq;
        pilotgate__stream_ack__init(&acks[i]);
        acks[i].boot = h->streams[i]->boot;
        acks[i].acked_seq = s->hwm;
        pointers[i] = &acks[i];
    }
    (void)snprintf(p->hello_store, sizeof p->hello_store, "%s", h->store_id ? h->store_id : "");
    w.store_id = p->store;
    w.restore_epoch = p->epoch;
    bool refuse = atomic_load(&p->refuse);
    w.protocol = WIRE_PROTOCOL;
    w.n_streams = h->n_streams;
    w.streams = pointers;
    w.credit_records = atomic_load(&p->credit_records);
    w.credit_bytes = atomic_load(&p->credit_bytes);
    w.refused = (char *)(uintptr_t)(refuse ? "not in the allow-list" : "");
    f.session = refuse ? 0 : ++o->session;
    o->outstanding = 0;
    f.kind_case = PILOTGATE__FRAME__KIND_WELCOME;
    f.welcome = &w;
    send_frame(o, &f);
}

static void look_into(struct peer_stream *s, const Pilotgate__Record *r) {
    char want[32];
    switch (r->body_case) {
    case PILOTGATE__RECORD__BODY_PHASE:
        s->phases++;
        (void)snprintf(want, sizeof want, "N/%llu", (unsigned long long)s->numbers + 1);
        if (strncmp(r->phase->subject, want, strlen(want)) == 0)
            s->numbers++;
        else
            s->misnumbered++;
        break;
    case PILOTGATE__RECORD__BODY_TIMING:
        s->timings++;
        s->offset_ns = r->timing->value_ns;
        s->offset_error_ns = r->timing->error_ns;
        break;
    case PILOTGATE__RECORD__BODY_LOSS:
        s->losses++;
        s->lost_records += r->loss->records;
        s->loss_cause = r->loss->cause;
        break;
    case PILOTGATE__RECORD__BODY_COVERAGE:
        s->coverages++;
        s->bye_record = r->coverage->bye;
        break;
    case PILOTGATE__RECORD__BODY_CALLS:
        s->calls++;
        break;
    default:
        abort();
    }
}

static void on_record(struct peer_stream *s, uint64_t seq, const ProtobufCBinaryData *d) {
    uint64_t digest = 14695981039346656037u;
    for (size_t i = 0; i < d->len; i++)
        digest = (digest ^ d->data[i]) * 1099511628211u;
    must(seq <= PEER_RECORDS, "too many records");
    if (seq <= s->hwm) {
        s->duplicates++;
        s->conflicts += s->digests[seq] != digest;
        return;
    }
    Pilotgate__Record *r = NULL;
    struct err e;
    must(seq == s->hwm + 1, "gap inside a session");
    if (seq <= s->most) { /* it had this one before it was restored */
        s->hwm = seq;
        s->resent++;
        s->conflicts += s->digests[seq] != digest;
        return;
    }
    must(wire_record_unpack(d->data, d->len, &r, &e) == 0, "record");
    must(r->seq == seq && r->wall_ns > 0 && r->mono_ns > 0, "record without seq or times");
    s->hwm = s->most = seq;
    s->digests[seq] = digest;
    look_into(s, r);
    wire_record_free(&r);
}

static void send_ack(struct peer *p, struct own *o, uint8_t *boot, uint64_t acked, uint64_t session) {
    Pilotgate__StreamAck a = PILOTGATE__STREAM_ACK__INIT;
    Pilotgate__StreamAck *acks[] = {&a};
    Pilotgate__Ack ack = PILOTGATE__ACK__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    (void)p;
    a.boot = (ProtobufCBinaryData){.len = WIRE_BOOT_BYTES, .data = boot};
    a.acked_seq = acked;
    ack.n_streams = 1;
    ack.streams = acks;
    f.session = session;
    f.kind_case = PILOTGATE__FRAME__KIND_ACK;
    f.ack = &ack;
    send_frame(o, &f);
}

static void on_batch(struct peer *p, struct own *o, const Pilotgate__Batch *b) {
    struct peer_stream *s = stream_of(p, b->boot.data, false);
    must(s != NULL, "batch of a stream that no Hello named");
    for (size_t i = 0; i < b->n_records; i++)
        on_record(s, b->first_seq + i, &b->records[i]);
    o->outstanding += (unsigned)b->n_records;
    if (o->outstanding > atomic_load(&p->outstanding_max))
        atomic_store(&p->outstanding_max, o->outstanding);
    if (atomic_load(&p->mute_acks))
        return;
    if (atomic_load(&p->stray))
        send_ack(p, o, s->boot, PEER_RECORDS, o->session + 1000);
    send_ack(p, o, s->boot, atomic_load(&p->overack) ? s->hwm + 100000 : s->hwm, o->session);
    o->outstanding = 0;
}

static void on_clock(struct peer *p, struct own *o, const Pilotgate__ClockProbe *c) {
    Pilotgate__ClockReply r = PILOTGATE__CLOCK_REPLY__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    r.id = c->id;
    r.t1_wall_ns = c->t1_wall_ns;
    r.t2_wall_ns = when_wall_ns() + atomic_load(&p->clock_offset);
    r.t3_wall_ns = when_wall_ns() + atomic_load(&p->clock_offset);
    f.session = o->session;
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_REPLY;
    f.clock_reply = &r;
    send_frame(o, &f);
}

static void send_command(struct peer *p, struct own *o) {
    int kind = atomic_exchange(&p->command, 0);
    if (kind == 0)
        return;
    Pilotgate__Command c = PILOTGATE__COMMAND__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    c.id = 5;
    c.kind = (Pilotgate__Command__Kind)kind;
    c.ttl_seconds = 7;
    f.session = o->session;
    f.kind_case = PILOTGATE__FRAME__KIND_COMMAND;
    f.command = &c;
    send_frame(o, &f);
}

static void send_refusal(struct own *o, const char *reason) {
    Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    w.protocol = WIRE_PROTOCOL;
    w.refused = (char *)(uintptr_t)reason;
    f.kind_case = PILOTGATE__FRAME__KIND_WELCOME;
    f.welcome = &w;
    send_frame(o, &f);
}

static void on_frame(struct peer *p, struct own *o, const Pilotgate__Frame *f) {
    atomic_fetch_add(&p->frames, 1);
    if (f->kind_case == PILOTGATE__FRAME__KIND_HELLO) {
        if (!atomic_load(&p->silent))
            on_hello(p, o, f->hello);
        return;
    }
    if (f->session != o->session) {
        atomic_fetch_add(&p->stale, 1);
        if (!atomic_load(&p->silent))
            send_refusal(o, "there is no session: say Hello again");
        return;
    }
    if (f->kind_case == PILOTGATE__FRAME__KIND_BYE)
        stream_of(p, f->bye->boot.data, true)->bye_frame = true;
    if (f->kind_case == PILOTGATE__FRAME__KIND_COMMAND_RESULT)
        atomic_fetch_add(f->command_result->ok ? &p->results_ok : &p->results_bad, 1);
    if (atomic_load(&p->silent))
        return;
    if (f->kind_case == PILOTGATE__FRAME__KIND_BATCH)
        on_batch(p, o, f->batch);
    if (f->kind_case == PILOTGATE__FRAME__KIND_CLOCK_PROBE)
        on_clock(p, o, f->clock_probe);
}

static void take(struct peer *p, struct own *o) {
    zmq_msg_t id;
    zmq_msg_t m;
    Pilotgate__Frame *f = NULL;
    struct err e;
    (void)zmq_msg_init(&id);
    (void)zmq_msg_init(&m);
    if (zmq_msg_recv(&id, o->router, ZMQ_DONTWAIT) >= 0) {
        must(zmq_msg_recv(&m, o->router, 0) >= 0, "second part");
        (void)zmq_msg_move(&o->from, &id);
        must(wire_unpack(zmq_msg_data(&m), zmq_msg_size(&m), &f, &e) == 0, "frame");
        (void)pthread_mutex_lock(&o->lock);
        on_frame(p, o, f);
        (void)pthread_mutex_unlock(&o->lock);
        wire_free(&f);
    }
    (void)zmq_msg_close(&id);
    (void)zmq_msg_close(&m);
}

/* libzmq closes a socket in its own time: the address of the one before may be taken for a moment. */
static bool bind_again(void *router, const char *endpoint) {
    for (int tries = 0; tries < 500; tries++) {
        if (zmq_bind(router, endpoint) == 0)
            return true;
        if (zmq_errno() != EADDRINUSE)
            return false;
        (void)poll(NULL, 0, 10);
    }
    return false;
}

static void open_router(struct peer *p, struct own *o) {
    size_t len = sizeof p->endpoint;
    o->router = zmq_socket(o->zmq, ZMQ_ROUTER);
    int on = 1;
    int off = 0; /* no ZAP domain: any key may come */
    must(zmq_setsockopt(o->router, ZMQ_CURVE_SERVER, &on, sizeof on) == 0 &&
             zmq_setsockopt(o->router, ZMQ_CURVE_SECRETKEY, p->key.secret_z85, CURVE_Z85_MAX) == 0 &&
             zmq_setsockopt(o->router, ZMQ_LINGER, &off, sizeof off) == 0,
         "curve");
    must(bind_again(o->router, p->endpoint), "bind");
    must(zmq_getsockopt(o->router, ZMQ_LAST_ENDPOINT, p->endpoint, &len) == 0, "endpoint");
    o->session += 100; /* a restart knows no session */
    atomic_store(&p->open, true);
}

static void *run(void *arg) {
    struct peer *p = arg;
    struct own *o = p->own;
    while (!atomic_load(&o->ending)) {
        bool want = atomic_load(&p->listening);
        if (want && !o->router)
            open_router(p, o);
        if (!want && o->router) {
            (void)zmq_close(o->router);
            o->router = NULL;
            atomic_store(&p->open, false);
        }
        zmq_pollitem_t item = {.socket = o->router, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, o->router ? 1 : 0, 5) > 0)
            take(p, o);
        if (o->router && zmq_msg_size(&o->from) > 0)
            send_command(p, o);
    }
    if (o->router)
        (void)zmq_close(o->router);
    return NULL;
}

struct peer *peer_start(void) {
    struct peer *p = calloc(1, sizeof *p);
    struct own *o = calloc(1, sizeof *o);
    struct err e;
    must(p && o, "memory");
    p->own = o;
    p->streams = calloc(PEER_STREAMS, sizeof *p->streams);
    must(p->streams && curve_generate(&p->key, &e) == 0, "key");
    /* A loopback address of this process alone: nobody takes its port while it restarts. */
    unsigned id = (unsigned)getpid();
    (void)snprintf(p->endpoint, sizeof p->endpoint, "tcp://127.%u.%u.%u:*", 1 + (id >> 16) % 200,
                   id >> 8 & 255, 1 + (id & 127));
    p->listening = true;
    p->credit_records = WIRE_CREDIT_RECORDS;
    p->credit_bytes = WIRE_CREDIT_BYTES;
    (void)pthread_mutex_init(&o->lock, NULL);
    (void)zmq_msg_init(&o->from);
    o->zmq = zmq_ctx_new();
    open_router(p, o);
    must(pthread_create(&o->thread, NULL, run, p) == 0, "thread");
    return p;
}

void peer_stop(struct peer *p) {
    struct own *o = p->own;
    atomic_store(&o->ending, true);
    (void)pthread_join(o->thread, NULL);
    (void)zmq_msg_close(&o->from);
    (void)zmq_ctx_term(o->zmq);
    (void)pthread_mutex_destroy(&o->lock);
    free(p->streams);
    free(o);
    free(p);
}
