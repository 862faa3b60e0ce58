/* lane: where exchanges run: one libcurl multi handle, its sockets in an epoll of its own, and those that
 * wait for their turn. HTTP/1.1 and connections of one's own have a lane each, shared by all; HTTP/2 has one
 * for each place that is connected to, so that nothing else shares its connections.
 *
 * A lane of HTTP/2 is gated: one exchange at a time goes to libcurl and finds its connection. libcurl 7.88
 * knows how many streams a connection bears only once it is up (ConnectionExists in its url.c), and would
 * put any number on one that is being made. A new connection also gets the time to tell its limit
 * (SETTINGS_MAX_CONCURRENT_STREAMS comes within a round trip, RFC 9113, 3.4), as what is sent before and
 * goes over it would be refused.
 *
 * Part of the transport (transport.h); one thread. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MCP_LANE_IDLE_NS 120000000000LL /* then it is closed, with its kept connections */

struct mcp_transport;
struct mcp_xfer;

struct mcp_lane {
    struct mcp_lane *next;
    struct mcp_transport *transport;
    CURLM *multi;
    int epoll;
    char *key; /* owned */
    bool gated, had_connection;
    struct mcp_xfer *first, *last; /* that wait, in the order of their begins */
    struct mcp_xfer *entering;     /* of a gated lane: has no connection yet */
    int64_t settles_at;            /* a new connection may tell its limit until then */
    int64_t timer_at;              /* libcurl's; INT64_MAX: none */
    int64_t ends_at;               /* no running exchange is over its time before; INT64_MAX: none runs */
    int64_t idle_since;
    size_t n; /* exchanges, waiting or running */
};

/* The lane of that key, made when there is none. streams: 0 for one that is not gated. */
int mcp_lane_get(struct mcp_transport *t, const char *key, long streams, struct mcp_lane **ret,
                 struct err *e) MUST_CHECK;
void mcp_lane_close(struct mcp_lane **l);

void mcp_lane_enter(struct mcp_lane *l, struct mcp_xfer *x);
/* Takes x out, wherever it is. */
void mcp_lane_leave(struct mcp_lane *l, struct mcp_xfer *x);
/* libcurl found a connection for x. */
void mcp_lane_connected(struct mcp_lane *l, struct mcp_xfer *x, bool is_new);

/* Hands waiting exchanges to libcurl as far as the gate allows; ends those whose time is over. */
void mcp_lane_pump(struct mcp_lane *l, int64_t now);
/* Moves what sockets and libcurl's timer want moved. */
void mcp_lane_move(struct mcp_lane *l);
/* When it must be pumped or moved without any socket's asking. */
int64_t mcp_lane_next(const struct mcp_lane *l);
