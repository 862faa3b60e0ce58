/* reply: what a request gets, decided by mcp.c and worker.c and carried out by http.c.
 *
 * A tool's answer is known when the call is accepted; a slow tool only makes it wait. So a reply holds
 * the finished text and, when a tool runs, the execution that the log is to show. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "canary/tools.h"

#define REPLY_SESSION_MAX 33

struct reply {
    int status;                      /* HTTP */
    char *body;                      /* owned JSON text; NULL: no body */
    const char *allow;               /* static; the Allow header of a 405, else NULL */
    char session[REPLY_SESSION_MAX]; /* Mcp-Session-Id to send, "" for none */
    bool stream;                     /* the body goes out as one server-sent event */
    bool executes;                   /* a tool runs; call says which */
    struct tool_call call;
    json_t *stamp; /* owned; becomes the body once "duration" and "finished_at" are known, or NULL */
};

/* A reply with a body to own (NULL becomes status 500: out of memory). */
void reply_set(struct reply *r, int status, char *body);

/* {"message": text}. */
void reply_message(struct reply *r, int status, const char *text);

/* Turns stamp into the body; started_ns and now_ns are wall clock. Nothing to do without a stamp. */
void reply_finish(struct reply *r, int64_t started_ns, int64_t now_ns);

void reply_free(struct reply *r);
