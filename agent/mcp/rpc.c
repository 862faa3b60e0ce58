/* rpc: see rpc.h. MCP specification 2025-11-25: basic, basic/lifecycle, server/tools. */
#include "mcp/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/js.h"
#include "mcp/mcp.h"

#define NONCE_MARK "{nonce}"

/* Steals message. */
static char *to_text(json_t *message) {
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    return text;
}

char *mcp_rpc_request(const char *id, const char *method, const json_t *params) {
    return to_text(
        json_pack("{s:s,s:s,s:s,s:O*}", "jsonrpc", "2.0", "id", id, "method", method, "params", params));
}

char *mcp_rpc_notification(const char *method, const json_t *params) {
    return to_text(json_pack("{s:s,s:s,s:O*}", "jsonrpc", "2.0", "method", method, "params", params));
}

char *mcp_rpc_answer(const json_t *id, const json_t *result) {
    if (result)
        return to_text(json_pack("{s:s,s:O,s:O}", "jsonrpc", "2.0", "id", id, "result", result));
    return to_text(json_pack("{s:s,s:O,s:{s:i,s:s}}", "jsonrpc", "2.0", "id", id, "error", "code",
                             MCP_METHOD_NOT_FOUND, "message", "method not found"));
}

json_t *mcp_rpc_initialize(const char *revision, const json_t *capabilities) {
    json_t *own = capabilities ? json_incref((json_t *)capabilities) : json_object();
    return json_pack("{s:s,s:o,s:{s:s,s:s}}", "protocolVersion", revision, "capabilities", own, "clientInfo",
                     "name", "pilotgate-agent", "version", PILOTGATE_VERSION);
}

json_t *mcp_rpc_tools_list(const char *cursor) {
    return json_pack("{s:s*}", "cursor", cursor);
}

json_t *mcp_rpc_tools_call(const char *tool, const json_t *arguments) {
    json_t *own = arguments ? json_incref((json_t *)arguments) : json_object();
    return json_pack("{s:s,s:o}", "name", tool, "arguments", own);
}

json_t *mcp_rpc_cancelled(const char *id, const char *reason) {
    return json_pack("{s:s,s:s}", "requestId", id, "reason", reason);
}

char *mcp_rpc_fill(const char *text, const char *nonce) {
    struct buf b = BUF_INIT(MCP_ANSWER_MAX);
    int r = buf_adds(&b, "");
    const char *mark;
    while (r == 0 && (mark = strstr(text, NONCE_MARK))) {
        r = buf_add(&b, text, (size_t)(mark - text));
        if (r == 0)
            r = buf_adds(&b, nonce);
        text = mark + strlen(NONCE_MARK);
    }
    if (r == 0)
        r = buf_adds(&b, text);
    if (r < 0)
        buf_free(&b);
    return b.data;
}

bool mcp_rpc_has_nonce(const json_t *value) {
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(value))
        return strstr(json_string_value(value), NONCE_MARK);
    json_object_foreach((json_t *)value, key, item) {
        if (mcp_rpc_has_nonce(item))
            return true;
    }
    json_array_foreach(value, i, item) {
        if (mcp_rpc_has_nonce(item))
            return true;
    }
    return false;
}

static json_t *filled_object(const json_t *value, const char *nonce) {
    json_t *copy = json_object();
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)value, key, item) {
        if (json_object_set_new(copy, key, mcp_rpc_filled(item, nonce)) < 0) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

static json_t *filled_array(const json_t *value, const char *nonce) {
    json_t *copy = json_array();
    json_t *item;
    size_t i;
    json_array_foreach(value, i, item) {
        if (json_array_append_new(copy, mcp_rpc_filled(item, nonce)) < 0) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

json_t *mcp_rpc_filled(const json_t *value, const char *nonce) {
    if (json_is_object(value))
        return filled_object(value, nonce);
    if (json_is_array(value))
        return filled_array(value, nonce);
    if (!json_is_string(value))
        return json_deep_copy(value);
    char *text = mcp_rpc_fill(json_string_value(value), nonce);
    json_t *string = text ? json_string(text) : NULL;
    free(text);
    return string;
}

bool mcp_rpc_revision_ok(const char *revision) {
    static const char *const known[] = {"2025-11-25", "2025-06-18", "2025-03-26"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(revision, known[i]) == 0)
            return true;
    return false;
}

bool mcp_rpc_session_ok(const char *id) {
    size_t n = strlen(id);
    if (n == 0 || n > MCP_SESSION_MAX)
        return false;
    for (const char *p = id; *p; p++)
        if (*p < 0x21 || *p > 0x7e)
            return false;
    return true;
}

enum mcp_answer mcp_rpc_classify(const json_t *message, const char *id, int64_t *ret_code) {
    if (!json_is_object(message) || strcmp(js_str(message, "jsonrpc", ""), "2.0") != 0)
        return MCP_ANSWER_MALFORMED;
    const json_t *method = json_object_get(message, "method");
    const json_t *result = json_object_get(message, "result");
    const json_t *error = json_object_get(message, "error");
    if (method)
        return json_is_string(method) && !result && !error ? MCP_ANSWER_NONE : MCP_ANSWER_MALFORMED;
    if (!result == !error)
        return MCP_ANSWER_MALFORMED;
    const json_t *got = json_object_get(message, "id");
    bool mine = json_is_string(got) && strcmp(json_string_value(got), id) == 0;
    if (result && !mine)
        return json_is_string(got) || json_is_integer(got) ? MCP_ANSWER_NONE : MCP_ANSWER_MALFORMED;
    if (result)
        return json_is_object(result) ? MCP_ANSWER_RESULT : MCP_ANSWER_MALFORMED;
    if (!json_is_object(error) || !json_is_integer(json_object_get(error, "code")))
        return MCP_ANSWER_MALFORMED;
    if (got && !json_is_null(got) && !mine)
        return MCP_ANSWER_NONE;
    *ret_code = js_int(error, "code", 0);
    return MCP_ANSWER_ERROR;
}

static bool holds(const char *in, const char *text, bool whole) {
    for (const char *p = strstr(in, text); p; p = strstr(p + 1, text)) {
        char next = p[strlen(text)];
        if (!whole || next < '0' || next > '9')
            return true;
    }
    return false;
}

static bool strings_hold(const json_t *value, const char *text, bool whole) {
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(value))
        return holds(json_string_value(value), text, whole);
    json_object_foreach((json_t *)value, key, item) {
        if (strings_hold(item, text, whole))
            return true;
    }
    json_array_foreach(value, i, item) {
        if (strings_hold(item, text, whole))
            return true;
    }
    return false;
}

static bool result_holds(const json_t *result, const char *text, bool whole) {
    const json_t *structured = json_object_get(result, "structuredContent");
    if (strings_hold(json_object_get(result, "content"), text, whole) ||
        strings_hold(structured, text, whole))
        return true;
    char *canonical = structured ? js_canonical(structured) : NULL;
    bool found = canonical && holds(canonical, text, whole);
    free(canonical);
    return found;
}

bool mcp_rpc_contains(const json_t *result, const char *text) {
    return result_holds(result, text, false);
}

bool mcp_rpc_names(const json_t *result, const char *text) {
    return result_holds(result, text, true);
}
