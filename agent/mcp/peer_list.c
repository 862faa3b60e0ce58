/* peer_list: tools/list of a server, page by page. MCP 2025-11-25, server/utilities/pagination: cursors are
 * opaque, and no nextCursor is the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "mcp/peer_priv.h"

static void finish(struct peer_list *l, const struct mcp_failure *how) {
    l->failure = *how;
    mcp_xfer_clear(&l->xfer);
    l->peer = NULL;
    l->done(l);
}

static void fail_text(struct peer_list *l, const char *text) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", text);
    finish(l, &why);
}

/* False: that is no list of tools. */
static bool gather(json_t *into, const json_t *tools) {
    size_t i;
    json_t *tool;
    if (!json_is_array(tools) || json_array_size(into) + json_array_size(tools) > PEER_TOOLS_MAX)
        return false;
    json_array_foreach(tools, i, tool) {
        if (!js_str(tool, "name", NULL) || json_array_append(into, tool) < 0)
            return false;
    }
    return true;
}

static int ask_page(struct peer_list *l, const char *cursor, struct err *e);

static void on_page(struct mcp_xfer *x) {
    struct peer_list *l = (struct peer_list *)((char *)x - offsetof(struct peer_list, xfer));
    struct mcp_failure how = peer_result_of(x, l->peer->session[0]);
    if (how.outcome == PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST)
        peer_session_lost(l->peer, l->generation, &how);
    if (how.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED) {
        finish(l, &how);
        return;
    }
    if (l->pages++ == 0)
        l->asked_wall = x->sent_wall;
    if (!gather(l->tools, js_at(x->message, "result.tools"))) {
        fail_text(l, "tools/list gives no list of named tools");
        return;
    }
    const char *next = js_str(x->message, "result.nextCursor", NULL);
    char *cursor = next ? strdup(next) : NULL;
    struct err e;
    mcp_xfer_clear(x);
    if (!cursor) {
        finish(l, &how);
    } else if (l->pages >= PEER_PAGES_MAX) {
        fail_text(l, "tools/list has too many pages");
    } else if (ask_page(l, cursor, &e) < 0) {
        how = peer_own_failure(&e);
        finish(l, &how);
    }
    free(cursor);
}

static int ask_page(struct peer_list *l, const char *cursor, struct err *e) {
    char id[MCP_ID_MAX];
    peer_next_id(l->peer, id);
    struct mcp_request r = peer_request(l->peer, mcp_rpc_tools_list(id, cursor), id);
    return r.body ? mcp_xfer_begin(&l->xfer, l->peer->transport, &r, on_page, e) : err_oom(e);
}

int peer_list_begin(struct peer *p, struct peer_list *l, struct err *e) {
    if (p->state != PEER_UP)
        return err_set(e, -ENOTCONN, "%s", p->failure.detail);
    *l = (struct peer_list){.done = l->done, .peer = p, .generation = p->generation, .tools = json_array()};
    int r = l->tools ? ask_page(l, NULL, e) : err_oom(e);
    if (r < 0)
        peer_list_clear(l);
    return r;
}

void peer_list_clear(struct peer_list *l) {
    mcp_xfer_clear(&l->xfer);
    json_decref(l->tools);
    *l = (struct peer_list){.done = l->done};
}
