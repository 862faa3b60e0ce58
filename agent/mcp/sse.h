/* sse: an incremental parser of server-sent events (HTML standard, 9.2.6 "Interpreting an event stream").
 * Bytes may be split anywhere; lines end with LF, CR or CRLF. Names of events do not matter to MCP and are
 * skipped. Bounded: MCP_SSE_LINE_MAX, MCP_ANSWER_MAX, MCP_EVENT_ID_MAX. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define MCP_EVENT_ID_MAX 512        /* a longer id counts as none: its stream cannot be taken up again */
#define MCP_SSE_RETRY_MAX 3600000LL /* ms; a longer time counts as this one */

struct mcp_sse {
    struct buf line;
    struct buf data;
    char next_id[MCP_EVENT_ID_MAX + 1]; /* of the event that is being read */
    char id[MCP_EVENT_ID_MAX + 1];      /* of the last whole event, also one without data; "": none */
    int64_t retry_ms;                   /* that the server asked for; -1: it did not */
    bool after_cr;                      /* a CR ended the last line: a LF that follows belongs to it */
    bool past_first;                    /* the first line, which may begin with a byte order mark, is over */
};

void mcp_sse_init(struct mcp_sse *s);
void mcp_sse_free(struct mcp_sse *s);

/* One event with data that is not empty; s->id is its id by then. Not 0 ends the feeding with that value. */
typedef int mcp_sse_event(void *ctx, const char *data, size_t len);

/* -EMSGSIZE over a limit, -ENOMEM, or what the callback returned. */
int mcp_sse_feed(struct mcp_sse *s, const char *bytes, size_t len, mcp_sse_event *fn, void *ctx) MUST_CHECK;
