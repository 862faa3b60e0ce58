/* drill_wait: what a drill waits for. Every wait is on a condition in the store, with a bound, and ends at
 * once when the drill is interrupted (-EINTR). */
#include "cli/drill.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/when.h"
#include "cli/cover.h"

#define POLL_MS 250
#define UP_MAX_NS (60 * WHEN_S)
#define UP_STEADY_NS (2 * WHEN_S)
#define SETTLE_MAX_NS (120 * WHEN_S)
#define RESOLVE_MAX_NS (90 * WHEN_S)
#define RENEW_EXPIRES_NS (10 * WHEN_S) /* after which a daemon that did not see it need not send it */
#define CLOCKS_APART_NS (5 * WHEN_S)   /* between an agent and us, when nothing better is known */
#define RECENT_NS (120 * WHEN_S)

static struct store_command command(const struct drill *d, int kind, int64_t expires_ns) {
    int64_t now = when_wall_ns();
    struct store_command c = {.kind = kind,
                              .ttl_seconds = (uint32_t)(d->ttl_ns / WHEN_S),
                              .asked_ns = now,
                              .expires_ns = now + expires_ns};
    memcpy(c.cluster, d->cli->cluster, sizeof c.cluster);
    memcpy(c.namespace_name, d->cli->namespace_name, sizeof c.namespace_name);
    return c;
}

void drill_keep_load(struct drill *d) {
    if (!d->raised || when_mono_ns() - d->raised_mono_ns < d->ttl_ns / 3)
        return;
    struct store_command c = command(d, PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD, RENEW_EXPIRES_NS);
    if (store_put_command(d->store, &c, NULL) == 0) /* else again at the next look */
        d->raised_mono_ns = when_mono_ns();
}

int drill_pause(struct drill *d, struct err *e) {
    drill_keep_load(d);
    if (!*d->interrupted)
        (void)poll(NULL, 0, POLL_MS);
    return *d->interrupted ? err_set(e, -EINTR, "interrupted") : 0;
}

int drill_load(struct drill *d, int kind, int64_t wait_ns, struct err *e) {
    int64_t end = when_mono_ns() + wait_ns;
    struct store_command c = command(d, kind, wait_ns);
    d->raised = kind == PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD;
    d->raised_mono_ns = when_mono_ns();
    int r = store_put_command(d->store, &c, e);
    while (r == 0) {
        r = store_command(d->store, c.id, &c, e);
        if (r < 0 || (c.sent > 0 && c.answered_ok + c.answered_bad >= c.sent))
            break;
        if (when_mono_ns() > end)
            return err_set(e, -ETIMEDOUT, "%u of %u agents of %s answered: see `pilotgate agents`",
                           c.answered_ok + c.answered_bad, c.sent, d->cli->stage);
        (void)poll(NULL, 0, POLL_MS);
        if (d->raised && *d->interrupted)
            return err_set(e, -EINTR, "interrupted");
    }
    if (r == 0 && c.answered_bad)
        return err_set(e, -EPROTO, "%u of %u agents of %s would not change their load: see their logs",
                       c.answered_bad, c.sent, d->cli->stage);
    return r;
}

static int read_open(struct drill *d, size_t *ret_telling, uint64_t *ret_open, int64_t *ret_oldest,
                     struct err *e) {
    struct cover cover = {0};
    int r =
        cover_read(d->store, d->cli->cluster, d->cli->namespace_name, when_wall_ns() - RECENT_NS, &cover, e);
    if (r < 0)
        return r;
    *ret_telling = cover_open(&cover, ret_open, ret_oldest);
    cover_free(&cover);
    return 0;
}

int drill_wait_up(struct drill *d, uint64_t *ret_open, struct err *e) {
    int64_t begin = when_mono_ns(), grew = begin, now, oldest;
    uint64_t open = 0, most = 0;
    size_t telling = 0;
    do {
        int r = read_open(d, &telling, &open, &oldest, e);
        if (r == 0)
            r = drill_pause(d, e);
        if (r < 0)
            return r;
        now = when_mono_ns();
        if (open > most) {
            most = open;
            grew = now;
        }
    } while (now - begin < d->ramp_ns ||
             ((most == 0 || now - grew < UP_STEADY_NS) && now - begin < UP_MAX_NS));
    *ret_open = open;
    return 0;
}

/* ---- the change */

struct change {
    uint64_t commit_before, newest_commit; /* newest that brought a changed object */
    int64_t begin_ns;
    bool seen;
    struct err *e;
};

static bool tells_of_change(const Pilotgate__Object *o) {
    static const char *const kinds[] = {"ToolCatalogue", "ProductConfiguration", "HelmRelease", "ConfigMap"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(o->kind, kinds[i]) == 0)
            return true;
    return false;
}

static int take_object(void *ctx, const struct store_record *row, uint64_t commit) {
    struct change *c = ctx;
    if (commit <= c->commit_before)
        return 0;
    Pilotgate__Record *rec = NULL;
    int r = wire_record_unpack(row->payload, row->len, &rec, c->e);
    if (r < 0)
        return r;
    const Pilotgate__Object *o = rec->object;
    bool counts = !o->own && o->op != PILOTGATE__OBJECT__OP__OP_CONFIRMED &&
                  o->op != PILOTGATE__OBJECT__OP__OP_UNREADABLE &&
                  o->t_wall_ns >= c->begin_ns - CLOCKS_APART_NS;
    if (counts && commit > c->newest_commit)
        c->newest_commit = commit;
    if (counts && tells_of_change(o))
        c->seen = true;
    wire_record_free(&rec);
    return 0;
}

/* Everything that changed since the command began, and whether more did since the last look. */
static int look(struct drill *d, struct change *c, bool *ret_more) {
    const struct store_query q = {.cluster = d->cli->cluster,
                                  .namespace_name = d->cli->namespace_name,
                                  .families = 1u << WIRE_FAMILY_OBJECT | 1u << WIRE_FAMILY_CONFIRMED,
                                  .from_ns = c->begin_ns - CLOCKS_APART_NS,
                                  .to_ns = INT64_MAX};
    uint64_t before = c->newest_commit;
    int r = store_records(d->store, &q, take_object, c, c->e);
    *ret_more = c->newest_commit != before;
    return r;
}

int drill_wait_settled(struct drill *d, uint64_t commit_before, int64_t begin_ns, bool *ret_seen,
                       struct err *e) {
    int64_t now = when_mono_ns(), quiet_since = now;
    int64_t until = now + (d->wait_change_ns ? d->wait_change_ns : SETTLE_MAX_NS);
    struct change c = {.commit_before = commit_before, .begin_ns = begin_ns, .e = e};
    do {
        bool more = false, seen_before = c.seen;
        int r = look(d, &c, &more);
        if (r == 0)
            r = drill_pause(d, e);
        if (r < 0)
            return r;
        now = when_mono_ns();
        quiet_since = more ? now : quiet_since;
        until = c.seen && !seen_before ? now + SETTLE_MAX_NS : until;
    } while (now < until && !(c.seen && now - quiet_since >= d->settle_ns));
    *ret_seen = c.seen;
    if (!c.seen && d->wait_change_ns)
        return err_set(e, -ETIMEDOUT,
                       "no change of %s was seen in the time of --wait-change: did what applies it run?",
                       d->cli->stage);
    return 0;
}

int drill_wait_resolved(struct drill *d, int64_t since_ns, bool *ret_done, struct err *e) {
    int64_t begin = when_mono_ns(), oldest = 0;
    uint64_t open = 0;
    size_t telling = 0;
    for (;;) {
        int r = read_open(d, &telling, &open, &oldest, e);
        if (r == 0)
            r = drill_pause(d, e);
        if (r < 0)
            return r;
        bool done = telling > 0 && (oldest == 0 || oldest > since_ns);
        if (done || when_mono_ns() - begin >= RESOLVE_MAX_NS) {
            *ret_done = done;
            return 0;
        }
    }
}
