/* What http.c, http_route.c, http_answer.c and listen.c share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <microhttpd.h>

#include "base/buf.h"
#include "canary/hold.h"
#include "canary/http.h"

struct http {
    struct http_config config;
    struct MHD_Daemon *daemon;
    struct hold *hold;
    int listen_fd; /* ours until the daemon has it, and again once it is quiet */
    uint16_t port;
    atomic_bool draining; /* answers close their connections */
    atomic_bool ended;    /* the drain is over: no call waits any more */
    atomic_uint open;     /* requests that have begun and not completed */
};

enum exchange_state { RECEIVING, WAITING, ANSWERING, GONE };

/* One request; lives from its headers to its completion. Owned by the daemon's thread, except that hold's
 * thread sets the state of one that waits, before it resumes the connection. */
struct exchange {
    struct hold_entry entry;
    struct http *http;
    struct MHD_Connection *connection;
    enum exchange_state state;
    bool too_large, handed; /* handed: the whole answer is with libmicrohttpd */
    struct buf body;
    size_t discarded; /* of a body that is too large */
    struct reply reply;
    struct execution run;
    size_t sent;      /* of an event stream's text */
    struct buf event; /* the event stream's text */
    unsigned offered; /* of a stream of notices: what its client knows of */
};

/* The reply to a request that has arrived whole. */
void http_route(struct exchange *x, const char *method, const char *url);

/* Suspends the connection until the call's time. Only from the two callbacks of libmicrohttpd that may
 * suspend. False, and not suspended, once the drain is over. */
bool http_wait(struct exchange *x);

/* A response whose text read gives; x->event holds its first line. NULL: out of memory. */
struct MHD_Response *http_event_stream(struct exchange *x, MHD_ContentReaderCallback read);
struct MHD_Response *http_notices(struct exchange *x);

/* Queues the reply: an event stream at once, anything else when it is due. */
enum MHD_Result http_answer(struct exchange *x);

/* "HOST:PORT" to a listening socket; *ret_port: the port it got. */
int http_listen(const char *where, int *ret_fd, uint16_t *ret_port, struct err *e) MUST_CHECK;
