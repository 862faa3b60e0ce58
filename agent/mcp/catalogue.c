/* catalogue: polls tools/list of a target, page by page, and says when the tools differ from before.
 * Each page goes over a connection of its own: an old one may still be served by the configuration that
 * was in force when it was made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

void mcp_catalogue_reset(struct mcp_target *t) {
    mcp_xfer_clear(&t->poll);
    json_decref(t->tools);
    t->tools = NULL;
}

static void fail(struct mcp_target *t, const struct mcp_failure *why) {
    char reason[MCP_REASON_MAX];
    mcp_failure_text(why, reason);
    mcp_catalogue_reset(t);
    mcp_watch_failed(&t->watch, reason, when_wall_ns(), t->m->emit);
}

static void fail_text(struct mcp_target *t, Pilotgate__Outcome outcome, const char *text) {
    struct mcp_failure why = {.outcome = outcome};
    (void)snprintf(why.detail, sizeof why.detail, "%s", text);
    fail(t, &why);
}

/* Takes name, description and inputSchema of each tool; false: that is no list of tools. */
static bool gather(json_t *into, const json_t *tools) {
    size_t i;
    json_t *tool;
    if (!json_is_array(tools) || json_array_size(into) + json_array_size(tools) > MCP_TOOLS_MAX)
        return false;
    json_array_foreach(tools, i, tool) {
        const char *name = js_str(tool, "name", NULL);
        json_t *kept =
            name ? json_pack("{s:s,s:s,s:O*}", "name", name, "description", js_str(tool, "description", ""),
                             "inputSchema", json_object_get(tool, "inputSchema"))
                 : NULL;
        if (!kept || json_array_append_new(into, kept) < 0)
            return false;
    }
    return true;
}

static int by_name(const void *a, const void *b) {
    return strcmp(js_str(*(json_t *const *)a, "name", ""), js_str(*(json_t *const *)b, "name", ""));
}

/* The tools in the order of their names; a new reference or NULL. */
static json_t *sorted(const json_t *tools) {
    size_t n = json_array_size(tools);
    json_t **order = calloc(n ? n : 1, sizeof *order);
    json_t *ret = json_array();
    if (!order || !ret)
        goto out;
    for (size_t i = 0; i < n; i++)
        order[i] = json_array_get(tools, i);
    qsort(order, n, sizeof *order, by_name);
    for (size_t i = 0; i < n; i++)
        (void)json_array_append(ret, order[i]);
out:
    free(order);
    return ret;
}

static json_t *names_of(const json_t *tools) {
    json_t *names = json_array();
    size_t i;
    json_t *tool;
    json_array_foreach(tools, i, tool) {
        (void)json_array_append(names, json_object_get(tool, "name"));
    }
    return names;
}

/* {"tools": ["a", "b"]} */
static char *names_text(json_t *names) {
    json_t *normal = names ? json_pack("{s:O}", "tools", names) : NULL;
    char *text = normal ? js_canonical(normal) : NULL;
    json_decref(normal);
    return text;
}

static void tell_first(struct mcp_target *t, size_t tools, int64_t now_wall) {
    char subject[WIRE_NAME_MAX + 16];
    if (t->listed || tools == 0)
        return;
    t->listed = true;
    (void)snprintf(subject, sizeof subject, "Target/%s", t->c->name);
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    phase.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_TOOL_LISTED;
    phase.subject = subject;
    phase.t_wall_ns = now_wall;
    mcp_emit_phase(t->m, &phase);
}

static void complete(struct mcp_target *t) {
    struct mcp_watch_read read = {
        .start_wall = t->poll_wall, .now_wall = when_wall_ns(), .now_mono = when_mono_ns()};
    char digest[NORM_HEX_MAX];
    char *whole = NULL;
    json_t *tools = sorted(t->tools);
    json_decref(t->names);
    t->names = tools ? names_of(tools) : NULL;
    char *names = names_text(t->names);
    if (names && norm_digest(t->m->key, tools, &whole, digest) == 0) {
        read.normal = names;
        read.digest = digest;
        mcp_watch_read(&t->watch, &read, t->m->emit);
        tell_first(t, json_array_size(tools), read.now_wall);
    }
    free(whole);
    free(names);
    json_decref(tools);
    mcp_catalogue_reset(t);
}

static void ask_page(struct mcp_target *t, const char *cursor);

static void on_page(struct mcp_xfer *x) {
    struct mcp_target *t = (struct mcp_target *)((char *)x - offsetof(struct mcp_target, poll));
    struct mcp_failure why = mcp_result_of(x, t->session[0]);
    if (why.outcome == PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST)
        mcp_session_lost(t, t->poll_generation, &why);
    if (why.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED) {
        fail(t, &why);
        return;
    }
    if (t->pages++ == 0)
        t->poll_wall = x->sent_wall;
    if (!gather(t->tools, js_at(x->message, "result.tools"))) {
        fail_text(t, PILOTGATE__OUTCOME__OUTCOME_MALFORMED, "tools/list gives no list of named tools");
        return;
    }
    const char *next = js_str(x->message, "result.nextCursor", NULL);
    char *cursor = next ? strdup(next) : NULL;
    mcp_xfer_clear(x);
    if (!cursor)
        complete(t);
    else if (t->pages >= MCP_PAGES_MAX)
        fail_text(t, PILOTGATE__OUTCOME__OUTCOME_MALFORMED, "tools/list has too many pages");
    else
        ask_page(t, cursor);
    free(cursor);
}

static void ask_page(struct mcp_target *t, const char *cursor) {
    struct err e;
    char id[MCP_ID_MAX];
    mcp_next_id(t->m, id);
    struct mcp_request r = mcp_target_request(t, mcp_rpc_tools_list(id, cursor), id);
    if (!r.body)
        (void)err_oom(&e);
    if (!r.body || mcp_xfer_begin(&t->poll, &t->m->transport, &r, on_page, &e) < 0)
        fail_text(t, PILOTGATE__OUTCOME__OUTCOME_ABORTED, e.text);
}

void mcp_catalogue_turn(struct mcp_target *t, int64_t now) {
    if (!t->tried || mcp_xfer_running(&t->poll) ||
        now < mcp_poll_due(t->m, t->c->catalogue_interval, t->poll_began))
        return;
    t->poll_began = now;
    mcp_catalogue_start(t);
}

void mcp_catalogue_start(struct mcp_target *t) {
    if (t->state != MCP_SESSION_UP) {
        fail(t, &t->failure);
        return;
    }
    t->tools = json_array();
    t->pages = 0;
    t->poll_generation = t->generation;
    if (t->tools)
        ask_page(t, NULL);
}
