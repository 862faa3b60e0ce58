/* frames: one message of the ROUTER. Everything is checked before it is believed: the frame's form, that
 * its session is the one that this connection's Hello made, and that the CURVE User-Id is that session's. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/when.h"

/* 0, or the errno of libzmq. */
static int send_to(struct ingest *i, const void *routing, size_t len, const Pilotgate__Frame *f) {
    uint8_t *data = NULL;
    size_t size = 0;
    int r = wire_pack(f, &data, &size);
    if (r < 0)
        return -r;
    int code = 0;
    if (zmq_send(i->router, routing, len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        code = errno;
    else if (zmq_send(i->router, data, size, ZMQ_DONTWAIT) < 0)
        code = errno;
    free(data);
    return code;
}

void frame_send(struct ingest *i, struct session *s, Pilotgate__Frame *f) {
    f->session = s->nonce;
    int code = send_to(i, s->routing, s->routing_len, f);
    if (code == EHOSTUNREACH)
        s->gone = true;
    if (code == 0)
        s->sent_mono_ns = when_mono_ns();
}

void frame_ack(struct ingest *i, struct session *s, const char *reason) {
    Pilotgate__StreamAck acks[WIRE_STREAMS_MAX], *list[WIRE_STREAMS_MAX];
    for (size_t k = 0; k < s->n_streams; k++) {
        pilotgate__stream_ack__init(&acks[k]);
        acks[k].boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, s->streams[k].boot};
        acks[k].acked_seq = s->streams[k].acked;
        list[k] = &acks[k];
    }
    Pilotgate__Ack ack = PILOTGATE__ACK__INIT;
    ack.n_streams = s->n_streams;
    ack.streams = list;
    ack.reason = (char *)reason;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_ACK;
    f.ack = &ack;
    frame_send(i, s, &f);
}

void frame_refuse(struct ingest *i, const void *routing, size_t len, const char *reason) {
    Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
    w.protocol = WIRE_PROTOCOL;
    w.refused = (char *)reason;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_WELCOME;
    f.welcome = &w;
    (void)send_to(i, routing, len, &f);
}

void frame_end(struct ingest *i, struct session *s, const char *reason) {
    refusal_count(i, s->key, reason);
    frame_refuse(i, s->routing, s->routing_len, reason);
    s->gone = true;
}

/* ---- batches */

/* Puts one packed record; 1: the session ended because of it. */
static int put_record(struct ingest *i, struct session *s, struct session_stream *st, uint64_t seq,
                      const ProtobufCBinaryData *packed, struct err *e) {
    const struct intake_place at = {st->id, s->cluster, s->namespace_name};
    struct err why = {""};
    int r = intake_record(i->intake, &at, seq, packed, &why, e);
    if (r > 0) {
        frame_ack(i, s, why.text);
        frame_end(i, s, why.text);
    }
    if (r == 0 && seq > st->hwm)
        st->hwm = seq;
    return r;
}

/* What a batch of ours holds is far below the limit on calls. What is above it is put by another session:
 * nothing of it is lost, and the others come first. */
static int put_records(struct ingest *i, struct session *s, struct session_stream *st,
                       const Pilotgate__Batch *b, struct err *e) {
    uint64_t before = i->intake->count.decoded;
    int r = 0;
    for (size_t k = 0; r == 0 && k < b->n_records; k++) {
        if (i->intake->count.decoded - before >= INGEST_BATCH_CALLS) {
            frame_end(i, s, "batch of too many calls: say Hello again");
            return 0;
        }
        r = put_record(i, s, st, b->first_seq + k, &b->records[k], e);
    }
    return r;
}

static int handle_batch(struct ingest *i, struct session *s, const Pilotgate__Batch *b, struct err *e) {
    struct session_stream *st = b->boot.len == WIRE_BOOT_BYTES ? session_stream(s, b->boot.data) : NULL;
    if (!st) {
        frame_end(i, s, "batch of a stream that Hello did not name");
        return 0;
    }
    if (b->first_seq == 0 || b->first_seq > WIRE_SEQ_MAX || b->n_records > WIRE_SEQ_MAX - b->first_seq) {
        frame_end(i, s, "batch with a number out of range");
        return 0;
    }
    if (b->first_seq >
        st->hwm + 1) { /* something before it got lost on the way: the ack says where to begin */
        frame_ack(i, s, "");
        return 0;
    }
    if (ingest_trouble(i)) { /* not taken, so not acknowledged: the agent comes again */
        frame_refuse(i, s->routing, s->routing_len, ingest_trouble(i));
        s->gone = true;
        i->now.store_full++;
        return 0;
    }
    session_mark_dirty(&i->sessions, s); /* from here on it shares the transaction's fate */
    int r = ingest_begin(i, e);
    if (r < 0)
        i->now.store_full++;
    else
        i->tx_batches++;
    if (r == 0)
        r = put_records(i, s, st, b, e);
    s->row_changed = true;
    s->last_batch_ns = s->seen_mono_ns;
    if (!s->first_batch_ns)
        s->first_batch_ns = s->seen_mono_ns;
    return r < 0 ? r : 0;
}

/* ---- the small ones */

static void answer_clock(struct ingest *i, struct session *s, const struct frame_in *in,
                         const Pilotgate__ClockProbe *p) {
    Pilotgate__ClockReply reply = PILOTGATE__CLOCK_REPLY__INIT;
    reply.id = p->id;
    reply.t1_wall_ns = p->t1_wall_ns;
    reply.t2_wall_ns = in->wall_ns;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_REPLY;
    f.clock_reply = &reply;
    reply.t3_wall_ns = when_wall_ns();
    frame_send(i, s, &f);
}

/* What came before the Bye is committed and acknowledged first. */
static int handle_bye(struct ingest *i, struct session *s, struct err *e) {
    int r = ingest_flush(i, e);
    if (r == 0)
        s->gone = true;
    return r;
}

static int dispatch(struct ingest *i, struct session *s, const struct frame_in *in, const Pilotgate__Frame *f,
                    struct err *e) {
    switch (f->kind_case) {
    case PILOTGATE__FRAME__KIND_BATCH:
        return handle_batch(i, s, f->batch, e);
    case PILOTGATE__FRAME__KIND_CLOCK_PROBE:
        answer_clock(i, s, in, f->clock_probe);
        return 0;
    case PILOTGATE__FRAME__KIND_COMMAND_RESULT:
        commands_result(i, s, f->command_result);
        return 0;
    case PILOTGATE__FRAME__KIND_BYE:
        return handle_bye(i, s, e);
    default:
        frame_end(i, s, "frame of a kind that agents do not send");
        return 0;
    }
}

static int handle_in_session(struct ingest *i, const struct frame_in *in, const Pilotgate__Frame *f,
                             struct err *e) {
    struct session *s = session_find(&i->sessions, in->routing, in->routing_len);
    if (!s || s->gone) { /* no offence: after our restart an agent's socket reconnects by itself */
        frame_refuse(i, in->routing, in->routing_len, "there is no session: say Hello again");
        return 0;
    }
    if (strcmp(s->key, in->key) != 0) {
        frame_end(i, s, "frame under another key than its session's");
        return 0;
    }
    if (f->session != s->nonce) {
        frame_end(i, s, "frame of another session");
        return 0;
    }
    s->seen_mono_ns = when_mono_ns();
    s->seen_ns = in->wall_ns;
    return dispatch(i, s, in, f, e);
}

static void refuse_malformed(struct ingest *i, const struct frame_in *in, const char *reason) {
    struct session *s = session_find(&i->sessions, in->routing, in->routing_len);
    if (s && !s->gone) {
        frame_end(i, s, reason);
        return;
    }
    refusal_count(i, in->key, reason);
    frame_refuse(i, in->routing, in->routing_len, reason);
}

int frame_handle(struct ingest *i, const struct frame_in *in, struct err *e) {
    Pilotgate__Frame *f = NULL;
    struct err why = {""};
    i->now.frames++;
    i->now.bytes += in->len;
    if (in->len > INGEST_HELLO_MAX && !session_find(&i->sessions, in->routing, in->routing_len)) {
        frame_refuse(i, in->routing, in->routing_len, "there is no session: say Hello again");
        return 0;
    }
    if (wire_unpack(in->data, in->len, &f, &why) < 0) {
        refuse_malformed(i, in, why.text);
        return 0;
    }
    int r = f->kind_case == PILOTGATE__FRAME__KIND_HELLO ? hello_handle(i, in, f->hello, e)
                                                         : handle_in_session(i, in, f, e);
    wire_free(&f);
    return r;
}
