/* hello: from Hello to Welcome. The key's line in the allow-list decides which stage may speak; records
 * that the agent no longer holds become a gap; the Welcome tells where each stream goes on. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/when.h"

/* NULL when the Hello is in order, or why it is refused. */
static const char *check_streams(const Pilotgate__Hello *h) {
    if (h->n_streams == 0 || h->n_streams > WIRE_STREAMS_MAX)
        return "Hello without a stream, or with too many";
    for (size_t k = 0; k < h->n_streams; k++) {
        const Pilotgate__StreamState *st = h->streams[k];
        if (st->boot.len != WIRE_BOOT_BYTES || st->first_seq == 0 || st->next_seq < st->first_seq ||
            st->next_seq > WIRE_SEQ_MAX)
            return "Hello with a stream whose numbers make no sense";
        for (size_t j = 0; j < k; j++)
            if (memcmp(h->streams[j]->boot.data, st->boot.data, WIRE_BOOT_BYTES) == 0)
                return "Hello names a stream twice";
    }
    return NULL;
}

const char *hello_check(const struct allow *a, const char *key, const Pilotgate__Hello *h) {
    if (h->protocol != WIRE_PROTOCOL)
        return "the agent speaks another protocol: use agent and collector of neighbouring versions";
    if (!wire_name_ok(h->cluster) || !wire_name_ok(h->namespace_name) || !wire_name_ok(h->node))
        return "Hello with a malformed cluster, namespace or node";
    if (!allow_stage(a, key, h->cluster, h->namespace_name))
        return "the key may not speak for this stage: add it to the allow-list";
    return check_streams(h);
}

struct same_stream {
    const Pilotgate__Hello *hello;
    const char *key;
    uint32_t n_key; /* sessions under that key */
    int64_t first_batch_ns;
};

/* The agent took a new socket: its old session is over. A stream is its boot in its stage, on whichever node.
 */
static void end_predecessor(void *ctx, struct session *s) {
    struct same_stream *w = ctx;
    const Pilotgate__StreamState *living = w->hello->streams[w->hello->n_streams - 1];
    if (strcmp(s->cluster, w->hello->cluster) == 0 &&
        strcmp(s->namespace_name, w->hello->namespace_name) == 0 &&
        memcmp(s->streams[s->n_streams - 1].boot, living->boot.data, WIRE_BOOT_BYTES) == 0) {
        s->gone = true;
        if (s->first_batch_ns && (!w->first_batch_ns || s->first_batch_ns < w->first_batch_ns))
            w->first_batch_ns = s->first_batch_ns;
        s->replaced = strcmp(s->node, w->hello->node) == 0;
    }
    w->n_key += !s->gone && strcmp(s->key, w->key) == 0;
}

static uint64_t new_nonce(void) {
    uint64_t n = 0;
    while (n == 0)
        if (getrandom(&n, sizeof n, 0) != (ssize_t)sizeof n)
            n = 0;
    return n;
}

static struct session *make_session(struct ingest *i, const struct frame_in *in, const Pilotgate__Hello *h) {
    struct session *s = session_find(&i->sessions, in->routing, in->routing_len);
    struct same_stream w = {.hello = h, .key = in->key};
    if (s)
        s->gone = true;
    session_each(&i->sessions, end_predecessor, &w);
    if (s)
        session_drop(&i->sessions, s);
    s = w.n_key < INGEST_SESSIONS_PER_KEY ? session_add(&i->sessions, in->routing, in->routing_len) : NULL;
    if (!s)
        return NULL;
    s->streams = calloc(h->n_streams, sizeof *s->streams);
    if (!s->streams) {
        session_drop(&i->sessions, s);
        return NULL;
    }
    s->n_streams = h->n_streams;
    s->nonce = new_nonce();
    (void)snprintf(s->key, sizeof s->key, "%s", in->key);
    (void)snprintf(s->cluster, sizeof s->cluster, "%s", h->cluster);
    (void)snprintf(s->namespace_name, sizeof s->namespace_name, "%s", h->namespace_name);
    (void)snprintf(s->node, sizeof s->node, "%s", h->node);
    (void)snprintf(s->version, sizeof s->version, "%s", h->version);
    s->since_ns = s->seen_ns = in->wall_ns;
    s->seen_mono_ns = when_mono_ns();
    s->first_batch_ns = w.first_batch_ns;
    s->row_changed = true;
    return s;
}

static int open_stream(struct ingest *i, struct session_stream *st, const Pilotgate__Hello *h,
                       const Pilotgate__StreamState *state, struct err *e) {
    memcpy(st->boot, state->boot.data, WIRE_BOOT_BYTES);
    int r = intake_stream(i->intake, h, state, &st->id, &st->hwm, e);
    if (st->id > i->newest_stream)
        i->newest_stream = st->id;
    return r;
}

void hello_welcome(struct ingest *i, struct session *s) {
    Pilotgate__StreamAck acks[WIRE_STREAMS_MAX], *list[WIRE_STREAMS_MAX];
    for (size_t k = 0; k < s->n_streams; k++) {
        pilotgate__stream_ack__init(&acks[k]);
        acks[k].boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, s->streams[k].boot};
        acks[k].acked_seq = s->streams[k].acked;
        list[k] = &acks[k];
    }
    Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
    w.protocol = WIRE_PROTOCOL;
    w.store_id = (char *)store_id(i->store);
    w.restore_epoch = store_restore_epoch(i->store);
    w.n_streams = s->n_streams;
    w.streams = list;
    w.credit_records = WIRE_CREDIT_RECORDS;
    w.credit_bytes = WIRE_CREDIT_BYTES;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_WELCOME;
    f.welcome = &w;
    s->welcome_due = false;
    frame_send(i, s, &f);
}

/* The store has more of the living stream than its agent ever made: another one writes it as well. */
static bool is_behind(const struct session *s, const Pilotgate__Hello *h) {
    const Pilotgate__StreamState *living = h->streams[h->n_streams - 1];
    return living->next_seq <= s->streams[h->n_streams - 1].hwm;
}

/* In the open transaction, with which the Welcome goes out: a high-water mark that it names must be on disk.
 */
static int open_streams(struct ingest *i, struct session *s, const Pilotgate__Hello *h, struct err *e) {
    session_mark_dirty(&i->sessions, s);
    s->welcome_due = true;
    int r = ingest_begin(i, e);
    for (size_t k = 0; r == 0 && k < h->n_streams; k++)
        r = open_stream(i, &s->streams[k], h, h->streams[k], e);
    return r;
}

/* It never was a session: no row tells of it. */
static void refuse_session(struct ingest *i, const struct frame_in *in, struct session *s,
                           const char *reason) {
    refusal_count(i, in->key, reason);
    frame_refuse(i, in->routing, in->routing_len, reason);
    s->gone = s->replaced = true;
}

/* The key has made its new streams of this hour: a Hello that names none goes on, in a transaction of its own
 * that is undone when it did. */
static int open_known(struct ingest *i, const struct frame_in *in, struct session *s,
                      const Pilotgate__Hello *h, struct err *e) {
    int64_t newest = i->newest_stream;
    int r = ingest_flush(i, e);
    if (r == 0)
        r = open_streams(i, s, h, e);
    if (r < 0 || i->newest_stream == newest)
        return r;
    store_rollback(i->store);
    i->tx_open = false;
    i->newest_stream = newest;
    refuse_session(i, in, s,
                   "too many new streams under this key in an hour: is an agent restarting all the time?");
    return 0;
}

static int open_session(struct ingest *i, const struct frame_in *in, struct session *s,
                        const Pilotgate__Hello *h, struct err *e) {
    int64_t now = when_mono_ns(), newest = i->newest_stream;
    if (!quota_streams_left(&i->quotas, s->key, now))
        return open_known(i, in, s, h, e);
    int r = open_streams(i, s, h, e);
    if (r == 0)
        quota_streams(&i->quotas, s->key, now, i->newest_stream - newest);
    return r;
}

static void refuse(struct ingest *i, const struct frame_in *in, const char *reason) {
    refusal_count(i, in->key, reason);
    frame_refuse(i, in->routing, in->routing_len, reason);
}

int hello_handle(struct ingest *i, const struct frame_in *in, const Pilotgate__Hello *h, struct err *e) {
    const char *reason = hello_check(i->allow, in->key, h);
    if (reason) {
        struct session *old = session_find(&i->sessions, in->routing, in->routing_len);
        if (old)
            old->gone = true;
        refuse(i, in, reason);
        return 0;
    }
    reason = quota_hello(&i->quotas, in->key, when_mono_ns());
    if (reason) {
        refuse(i, in, reason);
        return 0;
    }
    if (ingest_trouble(i)) {
        frame_refuse(i, in->routing, in->routing_len, ingest_trouble(i));
        return 0;
    }
    struct session *s = make_session(i, in, h);
    if (!s) {
        refuse(i, in, "too many sessions: run another collector");
        return 0;
    }
    int r = open_session(i, in, s, h, e);
    if (r == 0 && !s->gone && is_behind(s, h))
        refuse_session(
            i, in, s, "the store has more of this stream than the agent made: do two agents share one boot?");
    return r;
}
