/* zap: the ZAP handler (ZeroMQ RFC 27). CURVE has proven that the peer owns the key; we say whether that
 * key may come in. The User-Id that we give is the key itself, and libzmq puts it on every message. */
#include "ingest/ingest_priv.h"

#include <string.h>
#include <zmq.h>

#define ZAP_PARTS 7 /* version, request id, domain, address, identity, mechanism, credentials */
#define ZAP_PART_MAX 256
#define ZAP_KEY_BYTES 32

struct zap_request {
    char part[ZAP_PARTS][ZAP_PART_MAX];
    size_t len[ZAP_PARTS];
    int n;
};

/* Reads a whole message, however many parts it has; 0 when there is none. */
static int receive(void *socket, struct zap_request *q) {
    int more = 1;
    size_t size = sizeof more;
    q->n = 0;
    while (more) {
        char surplus[ZAP_PART_MAX];
        char *into = q->n < ZAP_PARTS ? q->part[q->n] : surplus;
        int len = zmq_recv(socket, into, ZAP_PART_MAX - 1, ZMQ_DONTWAIT);
        if (len < 0)
            return 0;
        if (q->n < ZAP_PARTS) {
            q->len[q->n] = len < ZAP_PART_MAX - 1 ? (size_t)len : ZAP_PART_MAX - 1;
            into[q->len[q->n]] = 0;
        }
        q->n++;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0)
            return 0;
    }
    return 1;
}

static void reply(void *socket, const struct zap_request *q, const char *code, const char *text,
                  const char *user) {
    (void)zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    (void)zmq_send(socket, q->part[1], q->n > 1 ? q->len[1] : 0, ZMQ_SNDMORE);
    (void)zmq_send(socket, code, strlen(code), ZMQ_SNDMORE);
    (void)zmq_send(socket, text, strlen(text), ZMQ_SNDMORE);
    (void)zmq_send(socket, user, strlen(user), ZMQ_SNDMORE);
    (void)zmq_send(socket, "", 0, 0);
}

int zap_serve(struct ingest *i) {
    struct zap_request q;
    char key[CURVE_Z85_MAX] = "";
    if (!receive(i->zap, &q))
        return 0;
    if (q.n != ZAP_PARTS || strcmp(q.part[0], "1.0") != 0) {
        reply(i->zap, &q, "500", "malformed request", "");
        return 1;
    }
    if (strcmp(q.part[5], "CURVE") != 0 || q.len[6] != ZAP_KEY_BYTES ||
        !zmq_z85_encode(key, (const uint8_t *)q.part[6], ZAP_KEY_BYTES)) {
        refusal_count(i, "", "peer without CURVE");
        reply(i->zap, &q, "400", "CURVE is required", "");
        return 1;
    }
    if (allow_key(i->allow, key)) {
        reply(i->zap, &q, "200", "OK", key);
        return 1;
    }
    refusal_count(i, key, "key is not in the allow-list");
    reply(i->zap, &q, "400", "key is not in the allow-list", "");
    return 1;
}
