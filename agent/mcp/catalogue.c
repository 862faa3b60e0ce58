/* catalogue: polls the tools of a target on each of its paths, and says when they differ from before. A path
 * to a replica that is not simply open is not polled: each poll takes connections of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

#define REPLICAS_EASY 8 /* so many are polled as often as the URL */

static void fail(struct mcp_path *t, const struct mcp_failure *why) {
    char reason[MCP_REASON_MAX];
    mcp_failure_text(why, reason);
    mcp_watch_failed(&t->watch, reason, when_wall_ns(), t->target->m->emit);
    if (t->target->c->kind == CONFIG_TARGET_ARCADE) /* which would have been read after it */
        mcp_watch_failed(&t->configuration, reason, when_wall_ns(), t->target->m->emit);
}

/* What a change of a tool is judged by; a new reference or NULL. */
static json_t *essence(const json_t *tool) {
    return json_pack("{s:s,s:s,s:O*}", "name", js_str(tool, "name", ""), "description",
                     js_str(tool, "description", ""), "inputSchema", json_object_get(tool, "inputSchema"));
}

static int by_name(const void *a, const void *b) {
    return strcmp(js_str(*(json_t *const *)a, "name", ""), js_str(*(json_t *const *)b, "name", ""));
}

/* The items in that order; a new reference or NULL. */
static json_t *in_order(const json_t *items, int (*compare)(const void *a, const void *b)) {
    size_t n = json_array_size(items);
    json_t **order = calloc(n ? n : 1, sizeof *order);
    json_t *ret = order ? json_array() : NULL;
    for (size_t i = 0; ret && i < n; i++)
        order[i] = json_array_get(items, i);
    if (ret)
        qsort(order, n, sizeof *order, compare);
    for (size_t i = 0; ret && i < n; i++)
        (void)json_array_append(ret, order[i]);
    free(order);
    return ret;
}

/* What counts of the tools, in the order of their names; a new reference or NULL. */
static json_t *sorted(const json_t *tools) {
    json_t *order = in_order(tools, by_name);
    json_t *ret = order ? json_array() : NULL;
    size_t i;
    json_t *tool;
    json_array_foreach(order, i, tool) {
        (void)json_array_append_new(ret, essence(tool));
    }
    json_decref(order);
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

static void tell_first(struct mcp_path *t, size_t tools, int64_t now_wall) {
    char subject[WIRE_NAME_MAX + 16];
    if (t->listed || tools == 0 || *t->name)
        return;
    t->listed = true;
    (void)snprintf(subject, sizeof subject, "Target/%s", t->target->c->name);
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    phase.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_TOOL_LISTED;
    phase.subject = subject;
    phase.t_wall_ns = now_wall;
    mcp_emit_phase(t->target->m, &phase);
}

static void complete(struct mcp_path *t) {
    struct mcp_watch_read read = {
        .start_wall = t->poll.asked_wall, .now_wall = when_wall_ns(), .now_mono = when_mono_ns()};
    char digest[NORM_HEX_MAX];
    char *whole = NULL;
    json_t *tools = sorted(t->poll.tools);
    json_decref(t->names);
    t->names = tools ? names_of(tools) : NULL;
    char *names = names_text(t->names);
    if (names && norm_digest(t->target->m->key, tools, &whole, digest) == 0) {
        read.normal = names;
        read.digest = digest;
        read.speaks = peer_revision(t->peer);
        mcp_watch_read(&t->watch, &read, t->target->m->emit);
        tell_first(t, json_array_size(tools), read.now_wall);
    }
    free(whole);
    free(names);
    json_decref(tools);
}

static int by_id(const void *a, const void *b) {
    return strcmp(js_str(*(json_t *const *)a, "id", ""), js_str(*(json_t *const *)b, "id", ""));
}

/* The product's own configuration, which the kind arcade lists with the tools. */
static void read_configuration(struct mcp_path *t) {
    struct mcp_watch_read read = {
        .start_wall = t->poll.configuration_wall, .now_wall = when_wall_ns(), .now_mono = when_mono_ns()};
    char digest[NORM_HEX_MAX];
    char *text = NULL;
    json_t *parts = in_order(t->poll.configuration, by_id);
    json_t *normal = parts ? norm_document(t->target->m->key, parts) : NULL;
    if (normal && norm_digest(t->target->m->key, normal, &text, digest) == 0) {
        read.normal = text;
        read.digest = digest;
        read.speaks = peer_revision(t->peer);
        mcp_watch_read(&t->configuration, &read, t->target->m->emit);
    }
    free(text);
    json_decref(normal);
    json_decref(parts);
}

static void tell_configuration(struct mcp_path *t) {
    const struct mcp_failure *why = &t->poll.configuration_failure;
    char reason[MCP_REASON_MAX];
    if (t->poll.configuration) {
        read_configuration(t);
    } else if (why->outcome) {
        mcp_failure_text(why, reason);
        mcp_watch_failed(&t->configuration, reason, when_wall_ns(), t->target->m->emit);
    }
}

static void on_list(struct peer_list *l) {
    struct mcp_path *t = (struct mcp_path *)((char *)l - offsetof(struct mcp_path, poll));
    if (l->failure.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
        complete(t);
    else
        fail(t, &l->failure);
    tell_configuration(t);
    peer_list_clear(l);
}

/* Between two polls. Many replicas are polled less often, so that their number does not load the gateway. */
static int64_t interval_of(const struct mcp_path *t) {
    int64_t interval = t->target->c->catalogue_interval;
    size_t replicas = t->target->replicas ? t->target->replicas->n : 0;
    return *t->name && replicas > REPLICAS_EASY ? interval * (int64_t)replicas / REPLICAS_EASY : interval;
}

int64_t mcp_catalogue_next(const struct mcp_path *t) {
    if (t->state != MCP_PATH_OPEN || !peer_tried(t->peer) || peer_list_running(&t->poll))
        return INT64_MAX;
    if (t->poll_now && t->target->c->catalogue_interval > 0) /* a server may say so without end */
        return t->poll_began ? t->poll_began + MCP_LOADED_POLL_NS : 0;
    return mcp_poll_due(t->target->m, interval_of(t), t->poll_began);
}

void mcp_catalogue_turn(struct mcp_path *t, int64_t now) {
    if (now < mcp_catalogue_next(t))
        return;
    t->poll_now = false;
    t->poll_began = now;
    mcp_catalogue_start(t);
}

void mcp_catalogue_start(struct mcp_path *t) {
    struct err e;
    t->poll.done = on_list;
    if (peer_state(t->peer) != PEER_UP) {
        fail(t, peer_failure(t->peer));
    } else if (peer_list_begin(t->peer, &t->poll, &e) < 0) {
        struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED};
        (void)snprintf(why.detail, sizeof why.detail, "%s", e.text);
        fail(t, &why);
    }
}
