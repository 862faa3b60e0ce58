/* watch: see watch.h. */
#include "mcp/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void emit_object(const struct mcp_watch *w, Pilotgate__Object *o, const struct emit *to) {
    Pilotgate__Record record = PILOTGATE__RECORD__INIT;
    o->kind = (char *)w->kind;
    o->name = (char *)w->name;
    o->control = w->control;
    if (w->path)
        o->path = (char *)w->path;
    o->origin = PILOTGATE__ORIGIN__ORIGIN_PROBE;
    record.body_case = PILOTGATE__RECORD__BODY_OBJECT;
    record.object = o;
    emit_record(to, &record);
}

/* The normal form, cut to the wire's limit at a character's beginning; malloc'ed when cut. */
static char *cut(const char *normal) {
    size_t n = strlen(normal);
    if (n <= WIRE_NORMAL_MAX)
        return NULL;
    n = WIRE_NORMAL_MAX;
    while (n > 0 && ((unsigned char)normal[n] & 0xc0) == 0x80)
        n--;
    return strndup(normal, n);
}

/* Says which revision the server speaks, when no record has said so yet. */
static bool tell_revision(struct mcp_watch *w, const char *speaks, char out[MCP_REASON_MAX]) {
    if (!speaks || !*speaks || strcmp(w->speaks, speaks) == 0)
        return false;
    (void)snprintf(out, MCP_REASON_MAX, "speaks MCP %.15s%s%s", speaks, *w->speaks ? ", before that " : "",
                   w->speaks);
    (void)snprintf(w->speaks, sizeof w->speaks, "%s", speaks);
    return true;
}

void mcp_watch_read(struct mcp_watch *w, const struct mcp_watch_read *r, const struct emit *to) {
    bool first = w->read_wall == 0;
    bool same = !first && strcmp(w->digest, r->digest) == 0;
    bool due = w->unreadable || r->now_mono - w->emitted_mono >= MCP_CONFIRM_NS;
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.op = first  ? PILOTGATE__OBJECT__OP__OP_LISTED
           : same ? PILOTGATE__OBJECT__OP__OP_CONFIRMED
                  : PILOTGATE__OBJECT__OP__OP_MODIFIED;
    o.digest = (char *)r->digest;
    o.norm = NORM_VERSION;
    o.t_wall_ns = r->now_wall;
    o.previous_wall_ns = same ? r->start_wall : w->read_wall;
    char *shorter = same ? NULL : cut(r->normal);
    if (!same)
        o.normal = shorter ? shorter : (char *)r->normal;
    o.truncated = shorter != NULL;
    char revision[MCP_REASON_MAX];
    bool news = tell_revision(w, r->speaks, revision);
    if (news)
        o.reason = revision;
    if (!same || due || news) {
        emit_object(w, &o, to);
        w->emitted_mono = r->now_mono;
    }
    free(shorter);
    (void)snprintf(w->digest, sizeof w->digest, "%s", r->digest);
    w->read_wall = r->start_wall;
    w->failures = 0;
    w->unreadable = false;
    w->reason[0] = 0;
}

void mcp_watch_failed(struct mcp_watch *w, const char *reason, int64_t now_wall, const struct emit *to) {
    bool changed = strcmp(w->reason, reason) != 0;
    (void)snprintf(w->reason, sizeof w->reason, "%s", reason);
    if (++w->failures < MCP_FAILURES_MAX || (w->unreadable && !changed))
        return;
    w->failures = MCP_FAILURES_MAX;
    w->unreadable = true;
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.op = PILOTGATE__OBJECT__OP__OP_UNREADABLE;
    o.t_wall_ns = now_wall;
    o.previous_wall_ns = w->read_wall;
    o.reason = w->reason;
    emit_object(w, &o, to);
}

void mcp_watch_cover(const struct mcp_watch *w, Pilotgate__Coverage__Source *ret) {
    ret->last_wall_ns = w->read_wall;
    ret->ok = w->read_wall != 0 && w->failures == 0;
    ret->reason =
        ret->ok ? (char *)protobuf_c_empty_string : (char *)(w->reason[0] ? w->reason : "not read yet");
}
