/* ingest: sockets, the loop, group commit. See ingest.h; the other files are listed in ingest_priv.h. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/when.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

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

/* While frames wait, the transaction goes on: what a sync costs is shared by all that came meanwhile, the
 * more of them the more it costs. When none waits it ends at once, but not sooner than so long after the last
 * one. */
static bool commit_due(const struct ingest *i, bool drained) {
    int64_t now = when_mono_ns();
    return i->tx_open &&
           (i->tx_bytes >= INGEST_COMMIT_BYTES || now - i->tx_since_ns >= INGEST_GATHER_MS * WHEN_MS ||
            (drained && now - i->commit_ns >= INGEST_COMMIT_MS * WHEN_MS));
}

static long wait_ms(const struct ingest *i) {
    if (!i->tx_open)
        return INGEST_TICK_MS / 2;
    int64_t left = INGEST_COMMIT_MS * WHEN_MS - (when_mono_ns() - i->commit_ns);
    return left <= 0 ? 0 : (long)((left + WHEN_MS - 1) / WHEN_MS);
}

static void publish(struct ingest *i) {
    i->now.sessions = i->sessions.n;
    i->now.oldest_unacked_ns = i->tx_open ? when_mono_ns() - i->tx_since_ns : 0;
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
    int r = 1, frames = 0;
    for (; frames < INGEST_FRAME_BURST && r > 0 && !commit_due(i, false); frames += r > 0)
        r = receive(i, e);
    if (r >= 0)
        r = commit_due(i, r == 0) ? ingest_flush(i, e) : 0;
    int64_t now = when_mono_ns();
    if (r == 0 && now - i->tick_ns >= INGEST_TICK_MS * WHEN_MS)
        r = house_tick(i, e);
    if (r == 0 && now - i->house_ns >= INGEST_HOUSE_MS * WHEN_MS)
        r = house_keep(i, e);
    if (r == 0)
        r = ingest_try_again(i, e);
    if (r == 0)
        house_pack(i, frames == 0);
    if (r < 0)
        r = ingest_endure(i, r, e);
    publish(i);
    return r;
}

int ingest_run(struct ingest *i, struct err *e) {
    int r = 0;
    i->ready = true;
    while (r == 0 && !i->stopping)
        r = round_of(i, e);
    i->ready = false;
    if (r == 0)
        r = house_end(i, e);
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

static int newest_id(void *ctx, const struct store_stream_row *row) {
    int64_t *newest = ctx;
    *newest = row->id > *newest ? row->id : *newest;
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
        r = intake_new(s, &i->intake, e);
    if (r == 0)
        r = store_streams(s, newest_id, &i->newest_stream, e);
    i->newest_committed = i->newest_stream;
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

bool ingest_ready(struct ingest *i, char ret_why[INGEST_WHY_MAX]) {
    char why[INGEST_WHY_MAX];
    pthread_mutex_lock(&i->lock);
    memcpy(why, i->why, sizeof why);
    pthread_mutex_unlock(&i->lock);
    bool ready = i->ready && !*why;
    if (ret_why)
        (void)snprintf(ret_why, INGEST_WHY_MAX, "%s", ready || *why ? why : "begins or ends");
    return ready;
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
    quota_forget(&i->quotas, 0, true);
    if (i->router)
        zmq_close(i->router);
    if (i->zap)
        zmq_close(i->zap);
    if (i->zmq)
        zmq_ctx_term(i->zmq);
    if (i->stop_fd >= 0)
        close(i->stop_fd);
    allow_free(&i->allow);
    intake_free(&i->intake);
    pthread_mutex_destroy(&i->lock);
    free(i);
    *ip = NULL;
}
