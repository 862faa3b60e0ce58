/* rpc: JSON-RPC requests of MCP as text, and what an envelope says. Pure; thread-safe. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define MCP_REVISION "2025-11-25" /* what we offer in initialize */

/* malloc'ed texts, NULL when out of memory. ids are strings. cursor: NULL for the first page. */
char *mcp_rpc_initialize(const char *id);
char *mcp_rpc_initialized(void);
char *mcp_rpc_request(const char *id, const char *method, const json_t *params); /* NULL: no params */
char *mcp_rpc_tools_list(const char *id, const char *cursor);
char *mcp_rpc_tools_call(const char *id, const char *tool, const json_t *arguments); /* NULL: none */

/* The text with every "{nonce}" replaced; malloc'ed. */
char *mcp_rpc_fill(const char *text, const char *nonce);
/* A copy with "{nonce}" replaced in every string; a new reference, NULL when out of memory. */
json_t *mcp_rpc_filled(const json_t *value, const char *nonce);
bool mcp_rpc_has_nonce(const json_t *value);

/* True for a revision of the legacy era that has the Streamable HTTP transport. */
bool mcp_rpc_revision_ok(const char *revision);
/* True for 1..MCP_SESSION_MAX visible ASCII characters. */
#define MCP_SESSION_MAX 512
bool mcp_rpc_session_ok(const char *id);

enum mcp_answer {
    MCP_ANSWER_NONE,      /* nothing yet, or something that is not for us: a request, a notification */
    MCP_ANSWER_RESULT,    /* the result for our id */
    MCP_ANSWER_ERROR,     /* the error for our id, or for no id */
    MCP_ANSWER_MALFORMED, /* no JSON-RPC 2.0 message */
};

/* ret_code: of an error, else untouched. */
enum mcp_answer mcp_rpc_classify(const json_t *message, const char *id, int64_t *ret_code);

/* True when a string anywhere in the result's content or structuredContent holds the text, or the
 * canonical text of structuredContent does. */
bool mcp_rpc_contains(const json_t *result, const char *text);
