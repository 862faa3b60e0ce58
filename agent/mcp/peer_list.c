/* peer_list: tools/list of a server, page by page, and what it says of how its tools are to be called.
 *
 * MCP server/utilities/pagination: cursors are opaque, and no nextCursor is the end; an empty one is a cursor
 * like any other since 2026-07-28, and was the end by habit before. A cursor that is not good any more
 * (-32602) means that the catalogue has changed on the way: it is read once more from its beginning. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "mcp/message.h"
#include "mcp/peer_priv.h"

/* ------------------------------------------------------------------ how tools are called */

void peer_list_forget(struct peer *p) {
    json_decref(p->annotations);
    json_decref(p->refused);
    p->annotations = p->refused = NULL;
}

static void learn_tool(struct peer *p, const json_t *tool) {
    struct err e;
    const char *name = js_str(tool, "name", "");
    json_t *found = NULL;
    if (mcp_modern_annotations(json_object_get(tool, "inputSchema"), &found, &e) < 0)
        (void)json_object_set_new(p->refused, name, json_string(e.text));
    else if (json_array_size(found) > 0)
        (void)json_object_set(p->annotations, name, found);
    json_decref(found);
}

static void learn(struct peer *p, const json_t *tools) {
    size_t i;
    json_t *tool;
    peer_list_forget(p);
    if (!p->modern)
        return;
    p->annotations = json_object();
    p->refused = json_object();
    json_array_foreach(tools, i, tool) {
        learn_tool(p, tool);
    }
}

/* ------------------------------------------------------------------ pages */

bool peer_list_afford(struct peer_list *l, size_t cost) {
    struct mcp_transport *t = l->peer->transport;
    l->cost += cost;
    t->listed += cost;
    return l->cost <= MCP_PARSED_MAX && t->listed <= MCP_HELD_MAX;
}

static void give_back(struct peer_list *l) {
    l->peer->transport->listed -= l->cost;
    l->cost = 0;
}

void peer_list_finish(struct peer_list *l, const struct mcp_failure *how) {
    l->failure = *how;
    mcp_xfer_clear(&l->xfer);
    give_back(l);
    if (how->outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
        learn(l->peer, l->tools);
    else
        peer_session_failed(l->peer, l->generation, how);
    l->peer = NULL;
    l->done(l);
}

static void fail_text(struct peer_list *l, const char *text) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", text);
    peer_list_finish(l, &why);
}

/* False: that is no list of tools, or too large a one. */
static bool gather(struct peer_list *l, const json_t *tools) {
    size_t i;
    json_t *tool;
    l->bytes += json_dumpb(tools, NULL, 0, JSON_COMPACT);
    if (!json_is_array(tools) || json_array_size(l->tools) + json_array_size(tools) > PEER_TOOLS_MAX ||
        l->bytes > PEER_CATALOGUE_MAX)
        return false;
    json_array_foreach(tools, i, tool) {
        if (!js_str(tool, "name", NULL) || json_array_append(l->tools, tool) < 0)
            return false;
    }
    return true;
}

static int ask_page(struct peer_list *l, const char *cursor, struct err *e);

static void ask_on(struct peer_list *l, const char *cursor) {
    struct err e;
    if (ask_page(l, cursor, &e) == 0)
        return;
    struct mcp_failure how = peer_own_failure(&e);
    peer_list_finish(l, &how);
}

static void begin_again(struct peer_list *l) {
    l->again = true;
    l->pages = 0;
    l->bytes = 0;
    give_back(l);
    (void)json_array_clear(l->tools);
    mcp_xfer_clear(&l->xfer);
    ask_on(l, NULL);
}

/* Takes a page; *ret_cursor, malloc'ed: of the next one, NULL: this was the last. False: told as failed. */
static bool take_page(struct peer_list *l, char **ret_cursor) {
    const json_t *result = json_object_get(l->xfer.message, "result");
    const json_t *next = json_object_get(result, "nextCursor");
    bool end = !next || json_is_null(next) || (!l->peer->modern && json_string_length(next) == 0);
    if (mcp_modern_result_type(result) != MCP_RESULT_COMPLETE || !peer_list_afford(l, l->xfer.parsed) ||
        !gather(l, json_object_get(result, "tools"))) {
        fail_text(l, "tools/list gives no list of named tools, or more than we read");
        return false;
    }
    if (next && !json_is_null(next) && !json_is_string(next)) {
        fail_text(l, "tools/list gives a nextCursor that is no text");
        return false;
    }
    *ret_cursor = end ? NULL : strdup(json_string_value(next));
    return true;
}

static void on_page(struct mcp_xfer *x) {
    struct peer_list *l = (struct peer_list *)((char *)x - offsetof(struct peer_list, xfer));
    struct mcp_failure how = peer_result_of(x, l->peer->session[0]);
    char *cursor = NULL;
    if (how.rpc_code == MCP_INVALID_PARAMS && l->pages > 0 && !l->again) {
        begin_again(l);
        return;
    }
    if (how.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED) {
        peer_list_finish(l, &how);
        return;
    }
    if (l->pages++ == 0)
        l->asked_wall = x->sent_wall;
    if (!take_page(l, &cursor))
        return;
    mcp_xfer_clear(x);
    if (!cursor)
        peer_list_finish(l, &how);
    else if (l->pages >= PEER_PAGES_MAX)
        fail_text(l, "tools/list has too many pages");
    else
        ask_on(l, cursor);
    free(cursor);
}

static int ask_page(struct peer_list *l, const char *cursor, struct err *e) {
    char id[MCP_ID_MAX];
    json_t *params = mcp_rpc_tools_list(cursor);
    peer_next_id(l->peer, id);
    struct peer_out out = {.method = "tools/list", .params = params, .id = id, .fresh = true};
    int r = params ? peer_send(l->peer, &l->xfer, &out, on_page, e) : err_oom(e);
    json_decref(params);
    return r;
}

int peer_list_begin(struct peer *p, struct peer_list *l, struct err *e) {
    if (p->state != PEER_UP)
        return err_set(e, -ENOTCONN, "%s", p->failure.detail);
    *l = (struct peer_list){.done = l->done, .peer = p, .generation = p->generation, .tools = json_array()};
    int r = !l->tools ? err_oom(e) : p->kind ? peer_rest_list(l, e) : ask_page(l, NULL, e);
    if (r < 0)
        peer_list_clear(l);
    return r;
}

void peer_list_clear(struct peer_list *l) {
    mcp_xfer_clear(&l->xfer);
    if (l->peer)
        give_back(l);
    json_decref(l->tools);
    json_decref(l->configuration);
    *l = (struct peer_list){.done = l->done};
}
