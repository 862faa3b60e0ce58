/* What mcp.c, mcp_modern.c and mcp_tools.c share. */
#pragma once

#include "canary/mcp.h"
#include "canary/seen.h"

#define MCP_MODERN "2026-07-28"
#define MCP_LEGACY "2025-11-25" /* the newest of the legacy era */

enum mcp_error {
    MCP_PARSE_ERROR = -32700,
    MCP_INVALID_REQUEST = -32600,
    MCP_METHOD_NOT_FOUND = -32601,
    MCP_INVALID_PARAMS = -32602,
    MCP_SESSION_NOT_FOUND = -32001,
    MCP_HEADER_MISMATCH = -32020,
    MCP_UNSUPPORTED_VERSION = -32022,
};

struct mcp {
    struct mcp_config config;
    struct seen *sessions;
};

/* One request on its way: the message and what is known of it. All borrowed. */
struct mcp_call {
    struct mcp *m;
    const struct mcp_request *q;
    const json_t *message;
    const json_t *id; /* NULL: a notification */
    const char *method;
    bool modern;
    struct reply *reply;
};

void mcp_fail(const struct mcp_call *c, int status, enum mcp_error code, const char *text);
void mcp_fail_data(const struct mcp_call *c, int status, enum mcp_error code, const char *text, json_t *data);

/* Steals result; a modern one gets resultType and the server's identity. The message, or NULL. */
json_t *mcp_response(const struct mcp_call *c, json_t *result);
void mcp_result(const struct mcp_call *c, json_t *result);

json_t *mcp_server_info(void); /* {name, version} */
json_t *mcp_versions(void);    /* every version spoken, newest first */
bool mcp_speaks_legacy(const char *version);
void mcp_fail_version(const struct mcp_call *c, const char *requested);

json_t *mcp_capabilities(const struct mcp *m);
bool mcp_accepts_events(const struct mcp_request *q);
bool mcp_session_ok(const struct mcp_call *c); /* false: the reply says what is wrong */

void mcp_modern(const struct mcp_call *c);

unsigned mcp_limit(const struct mcp_request *q); /* what the tools header allows */
void mcp_tools_list(const struct mcp_call *c);
void mcp_tools_call(const struct mcp_call *c);

void mcp_notices_get(const struct mcp_call *c);    /* legacy: GET */
void mcp_notices_listen(const struct mcp_call *c); /* modern: subscriptions/listen */
