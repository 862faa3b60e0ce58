/* mcp_notices: streams that tell of changed tools, in both eras; see mcp.h. Events are made here once, http
 * sends them when it is time. */
#include "canary/mcp_priv.h"

#include "base/js.h"

#define SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

/* Steals message; NULL when out of memory. */
static char *to_text(json_t *message) {
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    return text;
}

/* made: every event that is wanted. */
static void begin(const struct mcp_call *c, bool made) {
    c->reply->status = made ? 200 : 500;
    c->reply->listens = made;
    c->reply->limit = mcp_limit(c->q);
}

/* 2025-11-25, basic/transports, Listening for Messages from the Server. */
void mcp_notices_get(const struct mcp_call *c) {
    if (!mcp_accepts_events(c->q)) {
        mcp_fail(c, 406, MCP_INVALID_REQUEST, "Accept must list text/event-stream");
        return;
    }
    if (!mcp_session_ok(c))
        return;
    c->reply->notice =
        to_text(json_pack("{s:s,s:s}", "jsonrpc", "2.0", "method", "notifications/tools/list_changed"));
    begin(c, c->reply->notice);
}

/* 2026-07-28, basic/patterns/subscriptions: the first event says what of the filter is honoured; every one
 * names the request; a result ends the stream in order. */
void mcp_notices_listen(const struct mcp_call *c) {
    struct reply *r = c->reply;
    json_t *id = (json_t *)c->id;
    const json_t *wanted = js_at(c->message, "params.notifications");
    if (!json_is_object(wanted)) {
        mcp_fail(c, 400, MCP_INVALID_PARAMS, "subscriptions/listen: give params.notifications, an object");
        return;
    }
    bool tools = json_is_true(json_object_get(wanted, "toolsListChanged"));
    json_t *honoured = tools ? json_pack("{s:b}", "toolsListChanged", 1) : json_object();
    r->body = to_text(json_pack("{s:s,s:s,s:{s:{s:O},s:o}}", "jsonrpc", "2.0", "method",
                                "notifications/subscriptions/acknowledged", "params", "_meta", SUBSCRIPTION,
                                id, "notifications", honoured));
    if (tools)
        r->notice =
            to_text(json_pack("{s:s,s:s,s:{s:{s:O}}}", "jsonrpc", "2.0", "method",
                              "notifications/tools/list_changed", "params", "_meta", SUBSCRIPTION, id));
    json_t *end = mcp_response(c, json_object());
    json_object_set(json_object_get(json_object_get(end, "result"), "_meta"), SUBSCRIPTION, id);
    r->last = to_text(end);
    begin(c, r->body && r->last && (r->notice || !tools));
}
