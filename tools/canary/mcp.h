/* mcp: the Model Context Protocol over Streamable HTTP, both eras, as a function from request to reply.
 *
 *   POST, _meta or version header of 2026-07-28 ──► modern: stateless; headers must mirror the body
 *   POST, otherwise                             ──► legacy: initialize opens a session that every
 *                                                   further request names in Mcp-Session-Id
 *   GET                                         ──► legacy, with notices: a stream of its session
 *   DELETE ends a session
 *
 * Specification: revisions 2026-07-28, 2025-11-25 and 2025-06-18, basic/transports. A version header that
 * is absent in the legacy era is accepted, as 2025-03-26 had none. No I/O; one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "canary/reply.h"

#define MCP_BODY_MAX (1u << 20) /* bytes of a request */
#define MCP_SESSIONS_MAX 100000 /* open sessions; then the one idle for longest is forgotten */

struct mcp; /* opaque */

struct mcp_config {
    struct tools *tools;             /* borrowed */
    const struct tool_identity *who; /* borrowed */
    size_t page_size;                /* tools in one page of tools/list, 0 for all */
    bool notices;                    /* tell of changed tools: GET, subscriptions/listen; else 405, 404 */
    bool stream;                     /* tool calls are answered by an event stream unless they choose */
};

/* Header values are as they came, NULL when absent. */
struct mcp_request {
    const char *http_method;
    const char *accept, *content_type;
    const char *version, *session, *method, *name; /* MCP-Protocol-Version, Mcp-Session-Id, -Method, -Name */
    const char *tools; /* of the tools header: limits what is offered; NULL: no limit */
    const char *body;
    size_t len;
    int64_t mono_ns;
};

int mcp_new(const struct mcp_config *config, struct mcp **ret) MUST_CHECK;
void mcp_free(struct mcp **m);

/* The tools that are offered now, of those that limit names. */
unsigned mcp_offered(struct mcp *m, unsigned limit, int64_t mono_ns);

/* *ret is zeroed by the caller and freed by it (reply_free). */
void mcp_handle(struct mcp *m, const struct mcp_request *q, struct reply *ret);
