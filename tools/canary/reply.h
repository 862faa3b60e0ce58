/* reply: what a request gets, decided by mcp.c and worker.c and carried out by http.c.
 *
 * A tool's answer is known when the call is accepted; a slow tool only makes it wait. So a reply holds
 * the finished text, or, when a tool was called, the message that lacks only what is known at the end. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "canary/tools.h"

#define REPLY_SESSION_MAX 33

/* What is known only when the answer of a tool goes out. */
struct reply_end {
    int64_t started_ns, now_ns; /* wall clock; started_ns is now_ns when nothing was executed */
    uint32_t executions;        /* of the call's nonce; 0: it has none, or is no longer remembered */
};

struct reply {
    int status;                      /* HTTP */
    char *body;                      /* owned JSON text; NULL: no body */
    const char *allow;               /* static; the Allow header of a 405, else NULL */
    char session[REPLY_SESSION_MAX]; /* Mcp-Session-Id to send, "" for none */
    bool stream;                     /* the body goes out as one server-sent event */
    bool executes;                   /* a tool runs; call says which */
    struct tool_call call;
    bool listens;        /* a stream of notices instead of an answer; body is its first event, or NULL */
    char *notice, *last; /* owned events of it: at each change of the tools, and at its end; or NULL */
    unsigned limit;      /* of it: the tools that its client may see */
    json_t *message;     /* owned; becomes the body when the answer goes out, or NULL */
    void (*complete)(json_t *message, const struct reply_end *end);
};

/* A reply with a body to own (NULL becomes status 500: out of memory). */
void reply_set(struct reply *r, int status, char *body);

/* {"message": text}. */
void reply_message(struct reply *r, int status, const char *text);

/* A reply whose message (to own; NULL becomes status 500) is completed by reply_finish. */
void reply_later(struct reply *r, int status, json_t *message,
                 void (*complete)(json_t *message, const struct reply_end *end));

/* Turns message into the body. Nothing to do without one. */
void reply_finish(struct reply *r, const struct reply_end *end);

void reply_free(struct reply *r);
