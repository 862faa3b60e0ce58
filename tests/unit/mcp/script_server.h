/* script_server: a server whose every answer a test writes down, and which keeps every request. It is a fake:
 * it stands for servers that do on time what a real one cannot be made to do (forget a session between two
 * requests, refuse a cursor, break a stream and take it up). Real HTTP over a loopback port (libmicrohttpd,
 * one thread a connection). Thread-safe. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define SCRIPT_REQUESTS_MAX 256

struct script_request {
    char http[8];
    char method[48], id[48]; /* of JSON-RPC; the id as canonical text; "" for none */
    char session[64], version[32], last_event[64], mcp_method[48], mcp_name[128], region[128];
    json_t *body;
    int64_t at; /* monotonic */
    bool cut;   /* the client closed before the answer ended */
};

struct script_answer {
    int status;
    const char *type;    /* "json" (default), "sse", or the whole type */
    const char *session; /* NULL: no such header */
    char text[4096];     /* the body, or its beginning */
    char rest[2048];     /* what follows as soon as `until` is true */
    bool (*until)(void *ctx);
    int every_ms; /* repeats the rest for ever, so often */
    bool open;    /* the stream does not end by itself */
};

struct script_server {
    void *daemon;
    int port;
    char url[64];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    void (*answer)(void *ctx, const struct script_request *q, struct script_answer *a); /* under the lock */
    void *ctx;
    struct script_request requests[SCRIPT_REQUESTS_MAX];
    int n;
    bool ending;
};

/* answer and ctx are set. */
void script_start(struct script_server *s);
void script_stop(struct script_server *s);

/* How many requests there were of this JSON-RPC method, or of this HTTP method ("GET", "DELETE"). */
int script_count(struct script_server *s, const char *method);
/* The i-th of them; NULL: there is none. It does not change any more, but for `cut`. */
const struct script_request *script_request(struct script_server *s, const char *method, int i);
/* The first that answers a request of the server with this id, as canonical text. Also under the lock. */
const struct script_request *script_response(const struct script_server *s, const char *id);
/* For `answer`: a JSON-RPC result, or error, to the request. Formats what stands behind "result": or
 * "error":. */
void script_result(struct script_answer *a, const struct script_request *q, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void script_error(struct script_answer *a, const struct script_request *q, int status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The text becomes one event of a stream, with what stands before data:. */
void script_event(struct script_answer *a, const char *before);
