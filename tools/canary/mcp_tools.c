/* mcp_tools: tools/list and tools/call of both eras; see mcp.h. */
#include "canary/mcp_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

#define CURSOR_MAX 64

unsigned mcp_offered(struct mcp *m, unsigned limit, int64_t mono_ns) {
    return tools_offered(m->config.tools, mono_ns) & limit;
}

/* A gateway may narrow by the tools header what is offered to a request. */
unsigned mcp_limit(const struct mcp_request *q) {
    unsigned limit = TOOL_ANY;
    if (q->tools && tools_parse(q->tools, ',', false, &limit, NULL))
        limit = 0;
    return limit;
}

static unsigned offered(const struct mcp_call *c) {
    return mcp_offered(c->m, mcp_limit(c->q), c->q->mono_ns);
}

/* A cursor is the hex of the last tool sent, so that it stays true while tools come and go. */
static json_t *cursor_after(int tool) {
    char hex[CURSOR_MAX];
    const char *name = tool_name((enum tool)tool);
    return json_string(sodium_bin2hex(hex, sizeof hex, (const unsigned char *)name, strlen(name)));
}

/* The tool to go on after; -1: from the start. -EINVAL: not a cursor of ours. */
static int parse_cursor(const json_t *cursor, int *ret) {
    char name[CURSOR_MAX / 2 + 1];
    size_t len = 0;
    *ret = -1;
    if (!cursor)
        return 0;
    const char *hex = json_string_value(cursor);
    if (!hex || sodium_hex2bin((unsigned char *)name, sizeof name - 1, hex, strlen(hex), NULL, &len, NULL))
        return -EINVAL;
    name[len] = 0;
    *ret = tool_find(name);
    return *ret < 0 || strcmp(tool_name((enum tool) * ret), name) ? -EINVAL : 0;
}

void mcp_tools_list(const struct mcp_call *c) {
    int after;
    if (parse_cursor(js_at(c->message, "params.cursor"), &after)) {
        mcp_fail(c, 200, MCP_INVALID_PARAMS, "unknown cursor: leave it out to begin again");
        return;
    }
    unsigned mask = offered(c);
    json_t *list = json_array(), *next = NULL;
    for (int t = after + 1, last = 0; t < TOOL_COUNT && !next; t++) {
        if (!(mask & (1u << t)))
            continue;
        if (c->m->config.page_size && json_array_size(list) == c->m->config.page_size) {
            next = cursor_after(last);
            break;
        }
        json_array_append_new(list, tool_describe((enum tool)t));
        last = t;
    }
    json_t *result = json_pack("{s:o,s:o*}", "tools", list, "nextCursor", next);
    if (c->modern) { /* tools may change at any time, and a gateway's header makes them its own */
        json_object_set_new(result, "ttlMs", json_integer(0));
        json_object_set_new(result, "cacheScope", json_string("private"));
    }
    mcp_result(c, result);
}

static json_t *content(const char *text, bool failed) {
    json_t *result = json_pack("{s:[{s:s,s:s}]}", "content", "type", "text", "text", text);
    if (failed)
        json_object_set_new(result, "isError", json_true());
    return result;
}

/* The count as structured content, and as text beside it (server/tools, Structured Content: SHOULD): some
 * gateways pass on only text. */
static void complete(json_t *message, const struct reply_end *end) {
    json_t *result = json_object_get(message, "result");
    char text[32];
    if (!end->executions)
        return;
    snprintf(text, sizeof text, "{\"executions\":%" PRIu32 "}", end->executions);
    json_array_append_new(json_object_get(result, "content"),
                          json_pack("{s:s,s:s}", "type", "text", "text", text));
    json_object_set_new(result, "structuredContent",
                        json_pack("{s:I}", "executions", (json_int_t)end->executions));
}

void mcp_tools_call(const struct mcp_call *c) {
    const char *name = js_str(c->message, "params.name", NULL);
    const json_t *arguments = js_at(c->message, "params.arguments");
    if (!name || (arguments && !json_is_object(arguments))) {
        mcp_fail(c, 200, MCP_INVALID_PARAMS, "tools/call: give params.name and params.arguments, an object");
        return;
    }
    int t = tool_find(name);
    if (t < 0 || strcmp(tool_name((enum tool)t), name) || !(offered(c) & (1u << t))) {
        mcp_fail(c, 200, MCP_INVALID_PARAMS, "unknown tool: tools/list names those that are here");
        return;
    }
    struct reply *r = c->reply;
    struct err e;
    char *text;
    int rc = tool_prepare((enum tool)t, arguments, c->m->config.who, &r->call, &text, &e);
    json_t *message = mcp_response(c, content(rc ? e.text : text, rc != 0));
    reply_later(r, 200, message, complete);
    if (rc)
        return;
    free(text);
    r->executes = message != NULL;
    r->stream = r->call.stream_set ? r->call.stream : c->m->config.stream;
}
