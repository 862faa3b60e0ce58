/* load_agent: one agent's side of the wire, as agent/uplink has it: a new socket for every session, the
 * nonce in every frame, batches inside the credit, cumulative acks, a new Hello after silence. Written here
 * once more because uplink takes a thread and a spool on disk for each agent. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define AGAIN_AFTER (1 * WHEN_S)
#define FLOOD_RECORDS 512 /* made at once */

static void free_bytes(void *data, void *hint) {
    (void)hint;
    free(data);
}

/* -EAGAIN: not now. */
static int send_frame(struct load_agent *a, Pilotgate__Frame *f) {
    uint8_t *bytes = NULL;
    size_t len = 0;
    zmq_msg_t m;
    f->session = a->nonce;
    int r = wire_pack(f, &bytes, &len);
    if (r < 0)
        return r;
    if (zmq_msg_init_data(&m, bytes, len, free_bytes, NULL) != 0) {
        free(bytes);
        return -ENOMEM;
    }
    if (zmq_msg_send(&m, a->socket, ZMQ_DONTWAIT) >= 0) {
        a->load->sent_bytes += len;
        return 0;
    }
    r = -errno;
    (void)zmq_msg_close(&m);
    return r;
}

/* ------------------------------------------------------------------ sessions */

static int send_hello(struct load_agent *a) {
    Pilotgate__StreamState state = PILOTGATE__STREAM_STATE__INIT, *states[] = {&state};
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    char stage[32];
    (void)snprintf(stage, sizeof stage, "stage-%u", a->number % a->load->o.stages);
    state.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, a->boot};
    state.first_seq = a->queue.first_seq;
    state.next_seq = a->next_seq;
    h.protocol = WIRE_PROTOCOL;
    h.version = (char *)(uintptr_t)PILOTGATE_VERSION;
    h.cluster = (char *)(uintptr_t)a->load->o.cluster;
    h.namespace_name = stage;
    h.node = a->node;
    h.n_streams = 1;
    h.streams = states;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    return send_frame(a, &f);
}

void load_agent_end(struct load_agent *a) {
    if (a->socket) {
        (void)epoll_ctl(a->load->epoll, EPOLL_CTL_DEL, a->fd, NULL);
        (void)zmq_close(a->socket);
    }
    a->load->streaming -= a->state == LOAD_STREAMING;
    a->socket = NULL;
    a->nonce = 0;
    a->state = LOAD_OFF;
}

static void end_and_try_again(struct load_agent *a) {
    load_agent_end(a);
    a->again_ns = when_mono_ns() + AGAIN_AFTER;
    a->load->again++;
}

int load_agent_connect(struct load_agent *a, struct err *e) {
    struct load *l = a->load;
    size_t size = sizeof a->fd;
    a->socket = zmq_socket(l->zmq, ZMQ_DEALER);
    if (!a->socket)
        return err_set(e, -errno, "agent %u gets no socket: %s", a->number, zmq_strerror(errno));
    int r = curve_setup_agent(a->socket, &a->key, l->server_z85, NULL, e);
    if (r < 0)
        return r;
    if (zmq_connect(a->socket, l->o.endpoint) != 0 || zmq_getsockopt(a->socket, ZMQ_FD, &a->fd, &size) != 0)
        return err_set(e, -errno, "cannot connect to %s: %s", l->o.endpoint, zmq_strerror(errno));
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = a};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, a->fd, &ev) < 0)
        return err_set(e, -errno, "epoll: %s", strerror(errno));
    a->state = LOAD_HELLO;
    a->heard_ns = when_mono_ns();
    r = send_hello(a);
    return r < 0 ? err_set(e, r, "agent %u cannot say Hello", a->number) : load_agent_serve(a, e);
}

/* ------------------------------------------------------------------ what the collector says */

static void land(struct load_agent *a, uint64_t acked, int64_t now) {
    struct load *l = a->load;
    while (a->acked < acked && a->acked + 1 < a->next_seq) {
        const struct load_record *r = load_queue_at(&a->queue, ++a->acked);
        if (a->sent > a->acked)
            a->flying_bytes -= r->len;
        a->acked_calls += r->calls;
        l->acked_records++;
        l->acked_calls += r->calls;
        if (l->began_ns && r->emitted_ns >= l->began_ns)
            hist_add(&l->latency, now - r->emitted_ns);
        if (l->began_ns && now >= l->began_ns && (!l->ended_ns || now <= l->ended_ns))
            l->calls_in_time += r->calls;
        load_queue_drop(&a->queue);
    }
    if (a->sent <= a->acked)
        a->sent = a->acked + 1;
}

static void take_acks(struct load_agent *a, Pilotgate__StreamAck *const *acks, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (acks[i]->boot.len == WIRE_BOOT_BYTES && memcmp(acks[i]->boot.data, a->boot, WIRE_BOOT_BYTES) == 0)
            land(a, acks[i]->acked_seq, when_mono_ns());
}

static void tell_refusal(struct load_agent *a, const char *reason) {
    if (!a->load->refused++)
        (void)snprintf(a->load->refusal, sizeof a->load->refusal, "%s", reason);
}

static void take_welcome(struct load_agent *a, const Pilotgate__Frame *f) {
    const Pilotgate__Welcome *w = f->welcome;
    if (*w->refused) {
        tell_refusal(a, w->refused);
        end_and_try_again(a);
        return;
    }
    a->nonce = f->session;
    a->load->streaming += a->state != LOAD_STREAMING;
    a->state = LOAD_STREAMING;
    a->load->sessions++;
    take_acks(a, w->streams, w->n_streams);
    a->sent = a->acked + 1;
    a->flying_bytes = 0;
    a->credit_records = w->credit_records;
    a->credit_bytes = w->credit_bytes;
}

/* As agent/uplink/clocks.c has it. */
static void take_clock(struct load_agent *a, const Pilotgate__ClockReply *c) {
    int64_t t4 = when_wall_ns(), inside = c->t3_wall_ns - c->t2_wall_ns;
    if (c->id != a->probe_id || c->t1_wall_ns != a->probe_wall_ns)
        return;
    a->offset_ns = ((c->t2_wall_ns - a->probe_wall_ns) + (c->t3_wall_ns - t4)) / 2;
    a->error_ns = (uint64_t)(t4 - a->probe_wall_ns - inside) / 2 + 1;
}

static void take_frame(struct load_agent *a, const Pilotgate__Frame *f) {
    a->heard_ns = when_mono_ns();
    if (f->kind_case == PILOTGATE__FRAME__KIND_WELCOME)
        take_welcome(a, f);
    else if (f->session != a->nonce)
        return;
    else if (f->kind_case == PILOTGATE__FRAME__KIND_CLOCK_REPLY)
        take_clock(a, f->clock_reply);
    else if (f->kind_case == PILOTGATE__FRAME__KIND_ACK) {
        if (*f->ack->reason)
            tell_refusal(a, f->ack->reason);
        take_acks(a, f->ack->streams, f->ack->n_streams);
    }
}

/* 1: there may be more. */
static int receive(struct load_agent *a, struct err *e) {
    Pilotgate__Frame *f = NULL;
    zmq_msg_t m;
    (void)zmq_msg_init(&m);
    int r = zmq_msg_recv(&m, a->socket, ZMQ_DONTWAIT);
    if (r >= 0)
        r = wire_unpack(zmq_msg_data(&m), zmq_msg_size(&m), &f, e);
    else
        r = 1;
    (void)zmq_msg_close(&m);
    if (r != 0)
        return r < 0 ? r : 0;
    take_frame(a, f);
    wire_free(&f);
    return a->socket != NULL;
}

/* ------------------------------------------------------------------ what the agent sends */

static size_t at_most(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The next records that fit into the credit and a frame; 0: none. */
static size_t gather(struct load_agent *a, ProtobufCBinaryData *records, size_t *ret_bytes) {
    size_t flying = (size_t)(a->sent - a->acked - 1), n = 0, bytes = 0;
    size_t most =
        flying < a->credit_records ? at_most(a->credit_records - flying, WIRE_BATCH_RECORDS_MAX) : 0;
    while (n < most && a->sent + n < a->next_seq) {
        const struct load_record *r = load_queue_at(&a->queue, a->sent + n);
        if (bytes + r->len > WIRE_FRAME_MAX / 2 || a->flying_bytes + bytes + r->len > a->credit_bytes)
            break;
        records[n++] = (ProtobufCBinaryData){r->len, r->data};
        bytes += r->len;
    }
    *ret_bytes = bytes;
    return n;
}

static bool send_batch(struct load_agent *a) {
    static ProtobufCBinaryData records[WIRE_BATCH_RECORDS_MAX];
    size_t bytes = 0;
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    b.n_records = gather(a, records, &bytes);
    if (b.n_records == 0)
        return false;
    b.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, a->boot};
    b.first_seq = a->sent;
    b.records = records;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    if (send_frame(a, &f) < 0)
        return false;
    a->sent += b.n_records;
    a->flying_bytes += bytes;
    return true;
}

int load_agent_emit(struct load_agent *a, struct buf *record, uint32_t calls, struct err *e) {
    int r = calls_number(record, a->next_seq);
    if (r == 0)
        r = load_queue_add(&a->queue, record, when_mono_ns(), calls, e);
    if (r < 0)
        return r;
    a->next_seq++;
    a->made_calls += calls;
    a->load->records++;
    a->load->calls += calls;
    return 0;
}

/* A copy of a template, or a block of its own. */
static int next_block(struct load_agent *a, struct buf *record, struct err *e) {
    struct load *l = a->load;
    if (l->n_templates == 0)
        return calls_block(&a->calls, l->o.block_calls, record, e);
    const struct buf *t = &l->templates[(a->next_seq + a->number) % l->n_templates];
    buf_clear(record);
    return buf_add(record, t->data, t->len);
}

/* Blocks until there are enough for a frame. */
static int make_flood(struct load_agent *a, struct err *e) {
    struct buf record = BUF_INIT(WIRE_RECORD_MAX);
    size_t waiting = 0;
    int r = 0;
    while (r == 0 && a->next_seq - a->sent < FLOOD_RECORDS && waiting < WIRE_FRAME_MAX / 2) {
        r = next_block(a, &record, e);
        waiting += record.len;
        if (r == 0)
            r = load_agent_emit(a, &record, a->load->o.block_calls, e);
    }
    buf_free(&record);
    return r;
}

/* More is made only while the window has room for a frame of it. */
static int top_up(struct load_agent *a, struct err *e) {
    bool room = a->flying_bytes + WIRE_FRAME_MAX / 2 < a->credit_bytes &&
                a->sent - a->acked + WIRE_BATCH_RECORDS_MAX / 2 < a->credit_records;
    return a->load->flooding && a->sent == a->next_seq && room ? make_flood(a, e) : 0;
}

/* ZMQ_FD is edge-triggered (zmq_getsockopt(3)): after every send and receive the socket is read until it has
 * nothing more, else an edge may be missed. */
int load_agent_serve(struct load_agent *a, struct err *e) {
    int r = 1;
    bool sent = true;
    while (a->socket && sent && r >= 0) {
        for (r = 1; r > 0;)
            r = receive(a, e);
        sent = false;
        if (r == 0 && a->state == LOAD_STREAMING) {
            r = top_up(a, e);
            sent = send_batch(a);
        }
    }
    int64_t now = when_mono_ns();
    if (r >= 0 && a->socket && now - a->heard_ns > WIRE_SILENCE_S * WHEN_S)
        end_and_try_again(a);
    return r < 0 ? r : 0;
}

void load_agent_clock_probe(struct load_agent *a) {
    Pilotgate__ClockProbe p = PILOTGATE__CLOCK_PROBE__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    if (a->state != LOAD_STREAMING)
        return;
    p.id = ++a->probe_id;
    p.t1_wall_ns = a->probe_wall_ns = when_wall_ns();
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_PROBE;
    f.clock_probe = &p;
    (void)send_frame(a, &f); /* an unanswered one is given up */
}

bool load_agent_quiet(const struct load_agent *a) {
    return a->acked + 1 == a->next_seq;
}

void load_agent_bye(struct load_agent *a) {
    Pilotgate__Bye b = PILOTGATE__BYE__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    if (a->state != LOAD_STREAMING)
        return;
    b.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, a->boot};
    b.last_seq = a->next_seq - 1;
    f.kind_case = PILOTGATE__FRAME__KIND_BYE;
    f.bye = &b;
    (void)send_frame(a, &f);
}
