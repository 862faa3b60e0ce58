/* rpc: JSON-RPC messages of MCP as text, and what an envelope says. Pure; thread-safe. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define MCP_REVISION "2025-11-25" /* what we offer in initialize */
#define MCP_METHOD_NOT_FOUND (-32601)
#define MCP_INVALID_PARAMS (-32602)

/* malloc'ed texts, NULL when out of memory. Our ids are strings; params NULL: none. */
char *mcp_rpc_request(const char *id, const char *method, const json_t *params);
char *mcp_rpc_notification(const char *method, const json_t *params);
/* The answer to a request of the server, whose id may be of any type; result NULL: method not found. */
char *mcp_rpc_answer(const json_t *id, const json_t *result);

/* Params of the methods that we use; new references. cursor NULL: the first page. */
json_t *mcp_rpc_initialize(const char *revision, const json_t *capabilities); /* NULL: none */
json_t *mcp_rpc_tools_list(const char *cursor);
json_t *mcp_rpc_tools_call(const char *tool, const json_t *arguments); /* NULL: none */
json_t *mcp_rpc_cancelled(const char *id, const char *reason);

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
/* The same for a text that ends with a number: not with a longer one, which another call's would be. */
bool mcp_rpc_names(const json_t *result, const char *text);
