/* old-agent: an agent of version 0.1, over its frozen schema: one lifetime of five calls, one of which was
 * reset, sent as it did: call blocks of columns that protobuf writes, no field that came later.
 *
 * usage: compat-old-agent [--newer] ENDPOINT SERVER.pub AGENT.key CLUSTER NAMESPACE
 *
 * --newer: what a later version might send instead: one call has an outcome that nobody knows yet, and one
 * record is of a family that nobody knows yet. A fake, as that version does not exist. Exit status 0: every
 * record was acknowledged; one line on stdout says how many there were. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/when.h"
#include "v1_wire.h"
#include "wire/curve.h"

#define CALLS 5
#define RECORDS_MAX 16
#define WAIT_NS (20 * WHEN_S)
#define AGAIN_MS 500

static struct {
    void *socket;
    uint64_t session;
    uint8_t boot[V1_BOOT_BYTES];
    ProtobufCBinaryData records[RECORDS_MAX];
    size_t n;
    int64_t wall, mono; /* begin of the calls */
} me;

static void must(bool ok, const char *what) {
    if (ok)
        return;
    (void)fprintf(stderr, "old-agent: %s\n", what);
    exit(1);
}

/* ---------------------------------------------------------------- records */

/* After the calls, a second for each record. more: bytes of fields that came later. */
static void add(PilotgateV1__Record *r, const void *more, size_t more_len) {
    must(me.n < RECORDS_MAX, "too many records");
    r->seq = me.n + 1;
    r->wall_ns = me.wall + (int64_t)r->seq * WHEN_S;
    r->mono_ns = (uint64_t)(me.mono + (int64_t)r->seq * WHEN_S);
    size_t len = pilotgate_v1__record__get_packed_size(r);
    uint8_t *bytes = malloc(len + more_len);
    must(bytes, "out of memory");
    (void)pilotgate_v1__record__pack(r, bytes);
    if (more_len)
        memcpy(bytes + len, more, more_len);
    me.records[me.n++] = (ProtobufCBinaryData){.len = len + more_len, .data = bytes};
}

static void add_coverage(uint64_t resolved, bool bye) {
    PilotgateV1__Coverage__Probe p = PILOTGATE_V1__COVERAGE__PROBE__INIT;
    PilotgateV1__Coverage__Probe *probes[] = {&p};
    PilotgateV1__Coverage c = PILOTGATE_V1__COVERAGE__INIT;
    PilotgateV1__Record r = PILOTGATE_V1__RECORD__INIT;
    p.name = (char *)"kept";
    p.scheduled = p.started = p.resolved = resolved;
    p.interval_us = 100000;
    c.base_mono_ns = (uint64_t)(me.mono + (int64_t)(me.n + 1) * WHEN_S);
    c.probes = probes;
    c.n_probes = 1;
    c.bye = bye;
    r.body_case = PILOTGATE_V1__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    add(&r, NULL, 0);
}

static void add_block(bool newer) {
    int64_t delta[CALLS] = {0, 1, 1, 1, 1};
    int64_t start[CALLS] = {0, 100000, 200000, 300000, 400000};
    uint64_t duration[CALLS] = {2000, 2100, 1900, 50, 2000};
    uint32_t outcome[CALLS] = {1, 1, 1, PILOTGATE_V1__OUTCOME__OUTCOME_RESET, 1};
    uint32_t zero[CALLS] = {0};
    uint32_t one[CALLS] = {1, 1, 1, 1, 1};
    char *probe[] = {(char[]){"kept"}};
    char *tool[] = {(char[]){"hold"}};
    char *target[] = {(char[]){"gateway"}};
    PilotgateV1__CallBlock b = PILOTGATE_V1__CALL_BLOCK__INIT;
    PilotgateV1__Record r = PILOTGATE_V1__RECORD__INIT;
    outcome[4] = newer ? 99 : 1;
    b.base_wall_ns = me.wall;
    b.base_mono_ns = (uint64_t)me.mono;
    b.first_number = 1;
    b.probes = probe;
    b.tools = tool;
    b.targets = target;
    b.n_probes = b.n_tools = b.n_targets = 1;
    b.number_delta = delta;
    b.start_us = start;
    b.duration_us = duration;
    b.outcome = outcome;
    b.probe = zero;
    b.connection = b.flags = one;
    b.n_number_delta = b.n_start_us = b.n_duration_us = b.n_outcome = CALLS;
    b.n_probe = b.n_connection = b.n_flags = CALLS;
    r.body_case = PILOTGATE_V1__RECORD__BODY_CALLS;
    r.calls = &b;
    add(&r, NULL, 0);
}

static void add_row(void) {
    char nonce[32];
    PilotgateV1__Call c = PILOTGATE_V1__CALL__INIT;
    PilotgateV1__Record r = PILOTGATE_V1__RECORD__INIT;
    (void)snprintf(nonce, sizeof nonce, "%02x%02x%02x%02x-4", me.boot[0], me.boot[1], me.boot[2], me.boot[3]);
    c.number = 4;
    c.nonce = nonce;
    c.probe = (char *)"kept";
    c.target = (char *)"gateway";
    c.tool = (char *)"hold";
    c.start_wall_ns = me.wall + 300 * WHEN_MS;
    c.start_mono_ns = (uint64_t)(me.mono + 300 * WHEN_MS);
    c.duration_us = 50;
    c.outcome = PILOTGATE_V1__OUTCOME__OUTCOME_RESET;
    c.flags = c.connection = 1;
    c.detail = (char *)"Recv failure: Connection reset by peer";
    r.body_case = PILOTGATE_V1__RECORD__BODY_CALL;
    r.call = &c;
    add(&r, NULL, 0);
}

static void add_object(void) {
    PilotgateV1__Object o = PILOTGATE_V1__OBJECT__INIT;
    PilotgateV1__Record r = PILOTGATE_V1__RECORD__INIT;
    o.op = PILOTGATE_V1__OBJECT__OP__OP_CONFIRMED;
    o.kind = (char *)"ToolCatalogue";
    o.name = (char *)"gateway";
    o.digest = (char *)"0011223344556677";
    o.t_wall_ns = me.wall;
    o.origin = PILOTGATE_V1__ORIGIN__ORIGIN_PROBE;
    r.body_case = PILOTGATE_V1__RECORD__BODY_OBJECT;
    r.object = &o;
    add(&r, NULL, 0);
}

static void add_unknown_family(void) {
    static const uint8_t field_111[] = {0xfa, 0x06, 0x02, 0x08, 0x01};
    PilotgateV1__Record r = PILOTGATE_V1__RECORD__INIT;
    add(&r, field_111, sizeof field_111);
}

static void make_records(bool newer) {
    add_coverage(0, false);
    add_block(newer);
    add_row();
    add_object();
    if (newer)
        add_unknown_family();
    add_coverage(CALLS, true);
}

/* ---------------------------------------------------------------- frames */

static void send(PilotgateV1__Frame *f) {
    uint8_t *bytes = NULL;
    size_t len = 0;
    f->session = me.session;
    must(v1_pack(f, &bytes, &len) == 0, "a frame is too long");
    (void)zmq_send(me.socket, bytes, len, ZMQ_DONTWAIT);
    free(bytes);
}

static void send_hello(const char *cluster, const char *ns) {
    PilotgateV1__StreamState s = PILOTGATE_V1__STREAM_STATE__INIT;
    PilotgateV1__StreamState *streams[] = {&s};
    PilotgateV1__Hello h = PILOTGATE_V1__HELLO__INIT;
    PilotgateV1__Frame f = PILOTGATE_V1__FRAME__INIT;
    s.boot = (ProtobufCBinaryData){.len = sizeof me.boot, .data = me.boot};
    s.first_seq = 1;
    s.next_seq = me.n + 1;
    h.protocol = V1_PROTOCOL;
    h.version = (char *)"0.1.0";
    h.cluster = (char *)cluster;
    h.namespace_name = (char *)ns;
    h.node = (char *)"old";
    h.streams = streams;
    h.n_streams = 1;
    f.kind_case = PILOTGATE_V1__FRAME__KIND_HELLO;
    f.hello = &h;
    me.session = 0;
    send(&f);
}

static void send_batch(void) {
    PilotgateV1__Batch b = PILOTGATE_V1__BATCH__INIT;
    PilotgateV1__Frame f = PILOTGATE_V1__FRAME__INIT;
    b.boot = (ProtobufCBinaryData){.len = sizeof me.boot, .data = me.boot};
    b.first_seq = 1;
    b.records = me.records;
    b.n_records = me.n;
    f.kind_case = PILOTGATE_V1__FRAME__KIND_BATCH;
    f.batch = &b;
    send(&f);
}

static void send_bye(void) {
    PilotgateV1__Bye b = PILOTGATE_V1__BYE__INIT;
    PilotgateV1__Frame f = PILOTGATE_V1__FRAME__INIT;
    b.boot = (ProtobufCBinaryData){.len = sizeof me.boot, .data = me.boot};
    b.last_seq = me.n;
    f.kind_case = PILOTGATE_V1__FRAME__KIND_BYE;
    f.bye = &b;
    send(&f);
}

/* The next frame; NULL when none came for a while. */
static PilotgateV1__Frame *receive(void) {
    zmq_msg_t m;
    struct err e = {""};
    PilotgateV1__Frame *f = NULL;
    zmq_pollitem_t item = {.socket = me.socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, AGAIN_MS) <= 0)
        return NULL;
    (void)zmq_msg_init(&m);
    must(zmq_msg_recv(&m, me.socket, 0) >= 0, "receive");
    must(v1_unpack(zmq_msg_data(&m), zmq_msg_size(&m), &f, &e) == 0, e.text);
    (void)zmq_msg_close(&m);
    return f;
}

/* True: everything is acknowledged. */
static bool take(const PilotgateV1__Frame *f) {
    if (f->kind_case == PILOTGATE_V1__FRAME__KIND_WELCOME) {
        must(!*f->welcome->refused, f->welcome->refused);
        must(f->welcome->protocol == V1_PROTOCOL && f->session, "Welcome without protocol or session");
        me.session = f->session;
        send_batch();
    }
    if (f->kind_case != PILOTGATE_V1__FRAME__KIND_ACK)
        return false;
    must(f->session == me.session && !*f->ack->reason, f->ack->reason);
    return f->ack->n_streams == 1 && f->ack->streams[0]->acked_seq == me.n;
}

static void deliver(const char *cluster, const char *ns) {
    int64_t until = when_mono_ns() + WAIT_NS;
    bool done = false;
    send_hello(cluster, ns);
    while (!done) {
        must(when_mono_ns() < until, "no acknowledgement of all records");
        PilotgateV1__Frame *f = receive();
        if (f)
            done = take(f);
        else if (!me.session)
            send_hello(cluster, ns);
        v1_free(&f);
    }
    send_bye();
}

int main(int argc, char **argv) {
    bool newer = argc > 1 && strcmp(argv[1], "--newer") == 0;
    char **arg = argv + 1 + newer;
    struct curve_key own;
    struct curve_key server;
    struct err e = {""};
    must(argc == 6 + newer,
         "usage: compat-old-agent [--newer] ENDPOINT SERVER.pub AGENT.key CLUSTER NAMESPACE");
    must(curve_load(arg[1], false, &server, &e) == 0 && curve_load(arg[2], true, &own, &e) == 0, e.text);
    void *zmq = zmq_ctx_new();
    me.socket = zmq_socket(zmq, ZMQ_DEALER);
    must(curve_setup_agent(me.socket, &own, server.public_z85, NULL, &e) == 0, e.text);
    must(zmq_connect(me.socket, arg[0]) == 0, "connect");
    me.mono = when_mono_ns();
    me.wall = when_wall_ns() - 10 * WHEN_S;
    memcpy(me.boot, &me.mono, sizeof me.mono);
    me.boot[V1_BOOT_BYTES - 1] = 1;
    make_records(newer);
    deliver(arg[3], arg[4]);
    (void)printf("%zu records\n", me.n);
    int linger = 2000; /* for Bye */
    (void)zmq_setsockopt(me.socket, ZMQ_LINGER, &linger, sizeof linger);
    (void)zmq_close(me.socket);
    (void)zmq_ctx_term(zmq);
    for (size_t i = 0; i < me.n; i++)
        free(me.records[i].data);
    return 0;
}
