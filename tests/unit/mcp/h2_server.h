/* h2_server: an HTTP/2 server (libnghttp2) on loopback that answers, holds, refuses and breaks streams as
 * the test says, without TLS or with it (ALPN), and counts what reached it. Thread-safe. */
#pragma once

#include <stdint.h>

#include "raw_server.h"

#define H2_NONCES_MAX 1024

enum h2_fault {
    H2_NONE,
    H2_REFUSE,       /* RST_STREAM REFUSED_STREAM when the request is whole */
    H2_RESET,        /* RST_STREAM INTERNAL_ERROR instead of an answer */
    H2_RESET_BODY,   /* the same inside the answer's body */
    H2_RESET_EVENTS, /* the same inside an event stream */
    H2_CLEAN,        /* RST_STREAM NO_ERROR instead of an answer */
    H2_GOAWAY,       /* GOAWAY whose last stream lies before this one, then the end */
    H2_GRACEFUL,     /* GOAWAY, then all open streams are answered and the connection ends */
    H2_GOAWAY_DROP,  /* GOAWAY that promises this stream, then the connection ends without an answer */
    H2_CLOSE,        /* the connection ends in order */
    H2_RST,          /* the connection is reset */
    H2_1_1,          /* RST_STREAM HTTP_1_1_REQUIRED */
    H2_IDLE_GOAWAY,  /* an answer, and then GOAWAY on the connection that is idle */
};

struct h2_server {
    struct raw_server raw;
    void *tls; /* SSL_CTX, NULL: plain */
    char url[64];
    /* script, under raw.lock */
    enum h2_fault fault;
    int hold_ms;
    uint32_t max_streams; /* as told in SETTINGS; 0: not told */
    /* seen, under raw.lock */
    int requests, most_open, client_certs;
    int connections; /* that had a request */
    char nonces[H2_NONCES_MAX][40];
    char subject[128]; /* of the newest client certificate */
};

/* cert, key, client_ca: PEM files, NULL: none. A client_ca makes certificates of clients mandatory. */
void h2_start(struct h2_server *s, const char *cert, const char *key, const char *client_ca);
void h2_stop(struct h2_server *s);
void h2_set(struct h2_server *s, enum h2_fault fault, int hold_ms);
int h2_get(struct h2_server *s, const int *counter);
/* How often requests with this nonce came, whole. */
int h2_executions(struct h2_server *s, const char *nonce);
