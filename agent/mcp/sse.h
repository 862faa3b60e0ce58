/* sse: an incremental parser of server-sent events (HTML standard, "Interpreting an event stream").
 * Only the data of events matters to MCP: names, ids and retry times are skipped. Bytes may be split
 * anywhere; lines end with LF, CR or CRLF. Bounded: MCP_SSE_LINE_MAX, MCP_ANSWER_MAX. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct mcp_sse {
    struct buf line;
    struct buf data;
    bool after_cr;   /* a CR ended the last line: a LF that follows belongs to it */
    bool past_first; /* the first line, which may begin with a byte order mark, is over */
};

void mcp_sse_init(struct mcp_sse *s);
void mcp_sse_free(struct mcp_sse *s);

/* One event with data that is not empty. Not 0 ends the feeding with that value. */
typedef int mcp_sse_event(void *ctx, const char *data, size_t len);

/* -EMSGSIZE over a limit, -ENOMEM, or what the callback returned. */
int mcp_sse_feed(struct mcp_sse *s, const char *bytes, size_t len, mcp_sse_event *fn, void *ctx) MUST_CHECK;
