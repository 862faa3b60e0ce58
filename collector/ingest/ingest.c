/* ingest: sockets, the loop, group commit. See ingest.h; the other files are listed in ingest_priv.h. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/log.h"
#include "base/when.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

/* ---------------------------------------------------------------- transaction */

int ingest_begin(struct ingest *i, struct err *e) {
    if (i->tx_open)
        return 0;
    int r = store_begin(i->store, e);
    if (r < 0)
        return r;
    i->tx_open = true;
    i->tx_since_ns = when_mono_ns();
    i->tx_bytes = 0;
    return 0;
}

static void acknowledge(struct ingest *i) {
    while (i->sessions.dirty) {
        struct session *s = i->sessions.dirty;
        i->sessions.dirty = s->dirty_next;
        s->dirty = false;
        for (size_t k = 0; k < s->n_streams; k++)
            s->streams[k].acked = s->streams[k].hwm;
        if (!s->gone)
            frame_ack(i, s, "");
    }
}

int ingest_flush(struct ingest *i, struct err *e) {
    if (!i->tx_open)
        return 0;
    uint64_t n = 0;
    int r = store_commit(i->store, when_wall_ns(), &n, e);
    i->tx_open = false;
    if (r < 0)
        return r;
    i->now.commits += n != 0;
    acknowledge(i);
    return 0;
}

/* ---------------------------------------------------------------- house-keeping */

static void put_row(void *ctx, struct session *s) {
    struct ingest *i = ctx;
    if (!s->row_changed || s->replaced)
        return;
    const struct session_stream *living = &s->streams[s->n_streams - 1];
    struct store_session row = {
        .connected = !s->gone, .since_ns = s->since_ns, .last_seen_ns = s->seen_ns, .records = living->acked};
    memcpy(row.cluster, s->cluster, sizeof row.cluster);
    memcpy(row.namespace_name, s->namespace_name, sizeof row.namespace_name);
    memcpy(row.node, s->node, sizeof row.node);
    memcpy(row.key, s->key, sizeof row.key);
    memcpy(row.version, s->version, sizeof row.version);
    memcpy(row.boot, living->boot, WIRE_BOOT_BYTES);
    if (store_put_session(i->store, &row, NULL) == 0)
        s->row_changed = false;
}

static int write_rows(struct ingest *i, struct err *e) {
    if (i->sessions.n == 0)
        return 0;
    int r = ingest_begin(i, e);
    if (r < 0)
        return r == -EBUSY ? 0 : r;
    session_each(&i->sessions, put_row, i);
    return 0;
}

static void end_revoked(void *ctx, struct session *s) {
    struct ingest *i = ctx;
    if (!s->gone && !allow_stage(i->allow, s->key, s->cluster, s->namespace_name))
        frame_end(i, s, "the key was taken out of the allow-list");
}

static void refresh_allow(struct ingest *i) {
    struct err e = {""};
    int r = allow_refresh(i->allow, &e);
    if (r < 0)
        log_warn("allow-list kept as it was: %s", e.text);
    if (r > 0)
        session_each(&i->sessions, end_revoked, i);
}

static void look_at(void *ctx, struct session *s) {
    struct ingest *i = ctx;
    int64_t now = when_mono_ns();
    if (now - s->seen_mono_ns > INGEST_SESSION_QUIET_S * WHEN_S)
        s->gone = true;
    else if (!s->gone && now - s->sent_mono_ns > INGEST_ACK_REPEAT_S * WHEN_S) {
        frame_ack(i, s, "");
        s->row_changed = true; /* last_seen moved */
    }
}

/* Sessions that are over, and that their successor's row does not replace, are written as such. */
static void sweep(struct ingest *i) {
    for (size_t b = 0; b < INGEST_BUCKETS; b++) {
        struct session *next;
        for (struct session *s = i->sessions.buckets[b]; s; s = next) {
            next = s->next;
            if (!s->gone)
                continue;
            s->row_changed = true;
            put_row(i, s);
            session_drop(&i->sessions, s);
        }
    }
}

static bool any_gone(const struct ingest *i) {
    for (size_t b = 0; b < INGEST_BUCKETS; b++)
        for (const struct session *s = i->sessions.buckets[b]; s; s = s->next)
            if (s->gone)
                return true;
    return false;
}

static int tick(struct ingest *i, struct err *e) {
    session_each(&i->sessions, look_at, i);
    int r = commands_poll(i, e);
    if (r == 0 && any_gone(i)) {
        r = ingest_begin(i, e);
        if (r == 0)
            sweep(i);
        r = r == -EBUSY ? 0 : r;
    }
    i->tick_ns = when_mono_ns();
    return r;
}

static int keep_house(struct ingest *i, struct err *e) {
    refresh_allow(i);
    int r = refusal_flush(i, e);
    if (r == 0)
        r = write_rows(i, e);
    i->house_ns = when_mono_ns();
    return r;
}

/* ---------------------------------------------------------------- loop */

/* One message: routing id, then one frame; further parts are dropped with it. 1 taken, 0 none. */
static int receive(struct ingest *i, struct err *e) {
    uint8_t routing[INGEST_ROUTING_MAX];
    int len = zmq_recv(i->router, routing, sizeof routing, ZMQ_DONTWAIT);
    if (len < 0)
        return 0;
    zmq_msg_t m;
    int parts = 0, r = 0, more = 1;
    while (more) {
        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, i->router, ZMQ_DONTWAIT) < 0)
            more = 0;
        else if (parts++ == 0) {
            const char *key = zmq_msg_gets(&m, "User-Id");
            struct frame_in in = {.routing = routing,
                                  .routing_len = (size_t)len,
                                  .data = zmq_msg_data(&m),
                                  .len = zmq_msg_size(&m),
                                  .key = key,
                                  .wall_ns = when_wall_ns()};
            more = zmq_msg_more(&m);
            if (key && curve_z85_ok(key) && !more) {
                r = frame_handle(i, &in, e);
                i->tx_bytes += in.len;
            } else {
                refusal_count(i, key ? key : "", "message of several parts, or without a CURVE key");
            }
        } else {
            more = zmq_msg_more(&m);
        }
        zmq_msg_close(&m);
    }
    return r < 0 ? r : 1;
}

static bool commit_due(const struct ingest *i) {
    return i->tx_open && (i->tx_bytes >= INGEST_COMMIT_BYTES ||
                          when_mono_ns() - i->tx_since_ns >= INGEST_COMMIT_MS * WHEN_MS);
}

static long wait_ms(const struct ingest *i) {
    if (!i->tx_open)
        return INGEST_TICK_MS / 2;
    int64_t left = INGEST_COMMIT_MS * WHEN_MS - (when_mono_ns() - i->tx_since_ns);
    return left <= 0 ? 0 : (long)((left + WHEN_MS - 1) / WHEN_MS);
}

static void publish(struct ingest *i) {
    i->now.sessions = i->sessions.n;
    pthread_mutex_lock(&i->lock);
    i->published = i->now;
    pthread_mutex_unlock(&i->lock);
}

static int round_of(struct ingest *i, struct err *e) {
    zmq_pollitem_t items[] = {{.socket = i->router, .events = ZMQ_POLLIN},
                              {.socket = i->zap, .events = ZMQ_POLLIN},
                              {.fd = i->stop_fd, .events = ZMQ_POLLIN}};
    if (zmq_poll(items, 3, wait_ms(i)) < 0 && errno != EINTR)
        return err_set(e, -errno, "cannot wait for agents: %s", zmq_strerror(errno));
    for (int k = 0; k < INGEST_ZAP_BURST && zap_serve(i); k++)
        continue;
    int r = 1;
    for (int k = 0; k < INGEST_FRAME_BURST && r > 0 && !commit_due(i); k++)
        r = receive(i, e);
    if (r >= 0)
        r = commit_due(i) ? ingest_flush(i, e) : 0;
    int64_t now = when_mono_ns();
    if (r == 0 && now - i->tick_ns >= INGEST_TICK_MS * WHEN_MS)
        r = tick(i, e);
    if (r == 0 && now - i->house_ns >= INGEST_HOUSE_MS * WHEN_MS)
        r = keep_house(i, e);
    publish(i);
    return r;
}

static void say_gone(void *ctx, struct session *s) {
    (void)ctx;
    s->gone = true;
}

int ingest_run(struct ingest *i, struct err *e) {
    int r = 0;
    i->ready = true;
    while (r == 0 && !i->stopping)
        r = round_of(i, e);
    i->ready = false;
    if (r == 0)
        r = ingest_flush(i, e);
    if (r == 0)
        r = refusal_flush(i, e);
    if (r == 0) {
        session_each(&i->sessions, say_gone, NULL);
        r = tick(i, e);
    }
    if (r == 0)
        r = ingest_flush(i, e);
    else if (i->tx_open)
        store_rollback(i->store);
    i->tx_open = false;
    return r;
}

/* ---------------------------------------------------------------- life */

static int open_sockets(struct ingest *i, const struct ingest_options *o, const struct curve_key *key,
                        struct err *e) {
    int on = 1, off = 0;
    size_t size = sizeof i->endpoint;
    i->zmq = zmq_ctx_new();
    i->zap = i->zmq ? zmq_socket(i->zmq, ZMQ_REP) : NULL;
    i->router = i->zmq ? zmq_socket(i->zmq, ZMQ_ROUTER) : NULL;
    if (!i->zap || !i->router)
        return err_set(e, -ENOMEM, "cannot make sockets: %s", zmq_strerror(errno));
    (void)zmq_setsockopt(i->zap, ZMQ_LINGER, &off, sizeof off);
    if (zmq_bind(i->zap, ZAP_ENDPOINT) < 0)
        return err_set(e, -errno, "cannot authenticate agents: %s", zmq_strerror(errno));
    int r = curve_setup_collector(i->router, key, e);
    if (r < 0)
        return r;
    /* a peer that is gone must be noticed, not silently dropped */
    if (zmq_setsockopt(i->router, ZMQ_ROUTER_MANDATORY, &on, sizeof on) < 0)
        return err_set(e, -errno, "cannot set up the agents' socket: %s", zmq_strerror(errno));
    if (zmq_bind(i->router, o->bind) < 0)
        return err_set(e, -errno, "cannot listen on %s: %s; name another address with --listen", o->bind,
                       zmq_strerror(errno));
    (void)zmq_getsockopt(i->router, ZMQ_LAST_ENDPOINT, i->endpoint, &size);
    return 0;
}

int ingest_new(const struct ingest_options *o, struct store *s, struct ingest **ret, struct err *e) {
    struct curve_key key;
    int r = curve_load(o->key_file, true, &key, e);
    if (r < 0)
        return r;
    struct ingest *i = calloc(1, sizeof *i);
    if (!i)
        return err_oom(e);
    i->store = s;
    pthread_mutex_init(&i->lock, NULL);
    i->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (i->stop_fd < 0)
        r = err_set(e, -errno, "cannot make an eventfd: %s", strerror(errno));
    if (r == 0)
        r = allow_open(o->allow_file, &i->allow, e);
    if (r == 0)
        r = open_sockets(i, o, &key, e);
    explicit_bzero(&key, sizeof key);
    if (r < 0)
        ingest_free(&i);
    else
        *ret = i;
    return r;
}

const char *ingest_endpoint(const struct ingest *i) {
    return i->endpoint;
}

void ingest_stop(struct ingest *i) {
    uint64_t one = 1;
    i->stopping = true;
    ssize_t written = write(i->stop_fd, &one, sizeof one);
    (void)written; /* full means that it was written before */
}

bool ingest_ready(const struct ingest *i) {
    return i->ready;
}

void ingest_counters(struct ingest *i, struct ingest_counters *ret) {
    pthread_mutex_lock(&i->lock);
    *ret = i->published;
    pthread_mutex_unlock(&i->lock);
}

void ingest_free(struct ingest **ip) {
    struct ingest *i = ip ? *ip : NULL;
    if (!i)
        return;
    session_drop_all(&i->sessions);
    if (i->router)
        zmq_close(i->router);
    if (i->zap)
        zmq_close(i->zap);
    if (i->zmq)
        zmq_ctx_term(i->zmq);
    if (i->stop_fd >= 0)
        close(i->stop_fd);
    allow_free(&i->allow);
    pthread_mutex_destroy(&i->lock);
    free(i);
    *ip = NULL;
}
