/* message: one JSON message of a server, parsed within bounds. The text is bounded by who calls; this
 * bounds what it becomes, as an empty object of two bytes takes some hundreds. Pure; thread-safe. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

#define MCP_PARSED_MAX (32u << 20) /* bytes that the parsed message may take, as estimated */

/* Bytes that the text takes when it is parsed, as estimated: never far fewer than it does. */
size_t mcp_message_cost(const char *text, size_t len);
/* -EBADMSG: not JSON; -EMSGSIZE: too large a text, or too many values. A new reference. */
int mcp_message_parse(const char *text, size_t len, json_t **ret) MUST_CHECK;
