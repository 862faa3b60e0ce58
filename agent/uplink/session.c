/* session: the frames of one DEALER socket. A new socket is made for every session, because a DEALER
 * reconnects without a word and what was lost meanwhile would not be noticed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uplink_priv.h"

int session_dealer(void *zmq, const struct config *c, const struct curve_key *own, const char *server_z85,
                   void **ret, struct err *e) {
    void *s = zmq_socket(zmq, ZMQ_DEALER);
    if (!s)
        return err_set(e, -errno, "cannot make a socket: %s", zmq_strerror(errno));
    int r = curve_setup_agent(s, own, server_z85, c->collector.socks_proxy, e);
    if (r == 0 && zmq_connect(s, c->collector.endpoint) != 0)
        r = err_set(e, -errno, "cannot connect to %s (%s): set collector.endpoint to tcp://HOST:PORT",
                    c->collector.endpoint, zmq_strerror(errno));
    if (r < 0) {
        (void)zmq_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void free_bytes(void *data, void *hint) {
    (void)hint;
    free(data);
}

int session_send(void *socket, const Pilotgate__Frame *f) {
    uint8_t *bytes = NULL;
    size_t len = 0;
    zmq_msg_t m;
    int r = wire_pack(f, &bytes, &len);
    if (r < 0)
        return r;
    if (zmq_msg_init_data(&m, bytes, len, free_bytes, NULL) != 0) {
        free(bytes);
        return -ENOMEM;
    }
    if (zmq_msg_send(&m, socket, ZMQ_DONTWAIT) >= 0)
        return 0;
    r = -errno;
    (void)zmq_msg_close(&m);
    return r;
}

/* The names of the probes that take part in drills, borrowed from the configuration. */
static size_t drill_probes(const struct config *c, char **out) {
    const struct config_probe *probes = c->probes.items;
    size_t n = 0;
    for (size_t i = 0; i < c->probes.n && n < WIRE_BLOCK_PROBES_MAX; i++)
        if (probes[i].drill_in_flight > 0)
            out[n++] = probes[i].name;
    return n;
}

int session_make_hello(const struct config *c, const struct journal_identity *id,
                       const struct session_streams *s, session_frame_fn *fn, void *ctx) {
    Pilotgate__StreamState states[WIRE_STREAMS_MAX];
    Pilotgate__StreamState *pointers[WIRE_STREAMS_MAX];
    char *probes[WIRE_BLOCK_PROBES_MAX];
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    for (size_t i = 0; i < s->n; i++) {
        pilotgate__stream_state__init(&states[i]);
        states[i].boot.data = (uint8_t *)(uintptr_t)s->items[i].boot;
        states[i].boot.len = WIRE_BOOT_BYTES;
        states[i].first_seq = s->items[i].first_seq;
        states[i].next_seq = s->items[i].next_seq;
        pointers[i] = &states[i];
    }
    h.protocol = WIRE_PROTOCOL;
    h.version = (char *)(uintptr_t)PILOTGATE_VERSION;
    h.cluster = c->stage.cluster;
    h.namespace_name = c->stage.namespace_name;
    h.node = c->stage.node;
    h.n_streams = s->n;
    h.store_id = (char *)(uintptr_t)s->store_id;
    h.restore_epoch = s->restore_epoch;
    h.streams = pointers;
    h.namespace_uid = (char *)(uintptr_t)id->ns_uid;
    h.cluster_identity = (char *)(uintptr_t)id->cluster_identity;
    h.n_probes = drill_probes(c, probes);
    h.probes = probes;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    return fn(ctx, &f);
}

int session_hello(void *socket, const struct config *c, const struct journal_identity *id,
                  const struct session_streams *s) {
    return session_make_hello(c, id, s, session_send, socket);
}

/* Throws away the parts that a frame of ours never has. */
static bool more_parts(void *socket) {
    bool some = false;
    int more = 0;
    size_t len = sizeof more;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &len) == 0 && more) {
        zmq_msg_t m;
        (void)zmq_msg_init(&m);
        int r = zmq_msg_recv(&m, socket, ZMQ_DONTWAIT);
        (void)zmq_msg_close(&m);
        if (r < 0)
            break;
        some = true;
    }
    return some;
}

int session_receive(void *socket, Pilotgate__Frame **ret, struct err *e) {
    zmq_msg_t m;
    (void)zmq_msg_init(&m);
    if (zmq_msg_recv(&m, socket, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(&m);
        return 0;
    }
    int r = more_parts(socket) ? err_set(e, -EBADMSG, "message of several parts")
                               : wire_unpack(zmq_msg_data(&m), zmq_msg_size(&m), ret, e);
    (void)zmq_msg_close(&m);
    return r < 0 ? -EBADMSG : 1;
}

int session_check_welcome(const Pilotgate__Frame *f, struct err *e) {
    const Pilotgate__Welcome *w = f->welcome;
    if (w->refused && *w->refused)
        return err_set(e, -EACCES, "the collector refuses this agent: %s", w->refused);
    /* A neighbouring version is understood: unknown fields and kinds are left aside. */
    if (w->protocol + 1 < WIRE_PROTOCOL || w->protocol > WIRE_PROTOCOL + 1 || w->protocol == 0)
        return err_set(e, -EPROTO,
                       "the collector speaks protocol %u, this agent %u: bring them within one version",
                       w->protocol, WIRE_PROTOCOL);
    if (f->session == 0)
        return err_set(e, -EPROTO, "the collector began no session: is it a version that fits this agent?");
    return 0;
}
