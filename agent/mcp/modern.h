/* modern: what revision 2026-07-28, the stateless era, puts into requests and answers. Pure; thread-safe.
 * MCP 2026-07-28: basic (_meta, ResultType, error codes), basic/transports/streamable-http (headers). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MCP_MODERN_REVISION "2026-07-28"
#define MCP_MODERN_NAME_MAX 128    /* bytes of a header's name from a tool's schema; longer: invalid */
#define MCP_MODERN_HEADERS_MAX 64  /* such headers of one tool; more: invalid */
#define MCP_MODERN_DEPTH_MAX 32    /* of a parameter with a header; deeper: invalid */
#define MCP_MODERN_VALUE_MAX 8192u /* bytes of a header's value, encoded; longer: the call cannot be made */

enum mcp_modern_error {
    MCP_HEADER_MISMATCH = -32020,
    MCP_MISSING_CAPABILITY = -32021,
    MCP_UNSUPPORTED_VERSION = -32022,
};

/* True for the codes above: only a server of this era gives them. */
bool mcp_modern_is_error(int64_t code);
bool mcp_modern_revision_ok(const char *revision);
/* The first of a list of revisions that we speak; "" when none. legacy: one of the era before. */
const char *mcp_modern_choose(const json_t *revisions, bool legacy);

/* The request's params (NULL: none) with what every request declares of itself; a new reference. */
json_t *mcp_modern_params(const json_t *params, const char *revision, const json_t *capabilities);

enum mcp_result_type { MCP_RESULT_COMPLETE, MCP_RESULT_INPUT_REQUIRED, MCP_RESULT_UNKNOWN };
enum mcp_result_type mcp_modern_result_type(const json_t *result);

/* A value as it may stand in a header: as it is, or as =?base64?...?=; malloc'ed, NULL out of memory. */
char *mcp_modern_header_value(const char *value, size_t len);

/* Where x-mcp-header stands in a tool's inputSchema: a new array of {"header": "Mcp-Param-Region", "path":
 * ["region"]}. -EINVAL: an annotation is not as the specification wants it, so the tool must not be used;
 * the text says why. */
int mcp_modern_annotations(const json_t *schema, json_t **ret, struct err *e) MUST_CHECK;
/* The value of one of them in a call's arguments, encoded; *ret NULL: there is none to send. -EINVAL: it
 * cannot be sent. */
int mcp_modern_param(const json_t *annotation, const json_t *arguments, char **ret, struct err *e) MUST_CHECK;
