/* http: the server around mcp and worker, on libmicrohttpd.
 *
 *   POST|DELETE|GET /mcp    mcp.h              GET /healthz             liveness and readiness
 *   /worker/...             worker.h           GET /executions[?nonce=] what execlog counted
 *
 * One libmicrohttpd thread serves every connection and owns tools, sessions and counts. A call that waits
 * is suspended; hold's thread resumes it at its time, or at once when its client hangs up:
 *
 *   RECEIVING ──► WAITING ──due──► ANSWERING ──sent──► "end"
 *       │            └──hung up──► GONE ──────closed──► "gone"
 *       └── a tool that does not wait ──► ANSWERING
 *
 * An event stream begins (headers and a comment) before it waits. A stream of notices waits again and again;
 * a drain ends it.
 */
#pragma once

#include <stdint.h>

#include "canary/execlog.h"
#include "canary/mcp.h"
#include "canary/worker.h"

struct http; /* opaque */

struct http_config {
    const char *listen;       /* "127.0.0.1:8090", "[::]:8090"; port 0: any free one */
    unsigned connections;     /* most at once; further ones wait in the backlog */
    unsigned idle_s;          /* a connection without a request is closed after this; 0: never */
    const char *tools_header; /* NULL: none */
    const char *origins;      /* comma-separated; NULL: a request with an Origin is refused */
    const struct tool_identity *who;
    struct mcp *mcp; /* this and the next two: the http's alone until http_stop */
    struct worker *worker;
    struct execlog *log;
};

/* Config and all it points to must outlive the server. */
int http_start(const struct http_config *config, struct http **ret, struct err *e) MUST_CHECK;

uint16_t http_port(const struct http *h);

/* Stops accepting at once, lets open calls end for at most drain_ns, ends the others, frees. NULL-safe.
 * early: called while it waits; true: wait no longer. It may be NULL. */
void http_stop(struct http **h, int64_t drain_ns, bool (*early)(void));
