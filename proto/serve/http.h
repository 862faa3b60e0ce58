/* http: health and metrics over HTTP, GET only, bounded.
 *
 *   /healthz   200 while the process does its work (without `healthy`: while it answers), else 503
 *   /readyz    200 while it is ready, else 503 and, when `why` says something, why
 *   /metrics   Prometheus text
 *
 * One thread of libmicrohttpd's own; the callbacks run in it. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP_CONNECTIONS_MAX 32
#define HTTP_IDLE_SECONDS 10
#define HTTP_BODY_MAX (4u << 20)
#define HTTP_WHY_MAX 512

struct http;

struct http_source {
    bool (*ready)(void *ctx);
    bool (*healthy)(void *ctx);                     /* NULL: always */
    void (*why)(void *ctx, char out[HTTP_WHY_MAX]); /* NULL: not said */
    int (*metrics)(void *ctx, struct buf *out);     /* 0, or negative errno: 500 */
    void *ctx;
};

/* address: "127.0.0.1:5671", "[::1]:5671"; port 0: the system chooses. */
int http_start(const char *address, const struct http_source *source, struct http **ret,
               struct err *e) MUST_CHECK;
unsigned http_port(const struct http *h);
void http_stop(struct http **h); /* NULL-safe */
