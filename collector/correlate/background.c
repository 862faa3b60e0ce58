/* background: what coverage counts, where rows do not: how many calls ended, of which those outside the
 * windows of all changes are what is normal here; how many could not be sent, or waited, inside each.
 *
 * Coverage is loaded around the windows only, and its totals count from the stream's beginning: what the last
 * record says, less what was counted inside the windows, ended outside of them. Replicas' own addresses come
 * and go, and their totals with them, so that only the target's URL can be counted in this way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/exposure_priv.h"
#include "correlate/reading.h"

struct span {
    int64_t from, to;
};

struct totals {
    uint64_t resolved, unsent, told;
};

struct books {
    struct facts *f;
    const struct corr_view *v;
    struct span *windows; /* joined where they overlap, by time */
    size_t n_windows;
    int64_t *until; /* of each stream: its last tick of the prober; 0: none */
    bool any;
};

static int by_from(const void *a, const void *b) {
    const struct span *x = a;
    const struct span *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static void join_windows(struct books *b) {
    for (size_t i = 0; i < b->f->n_changes; i++)
        b->windows[i] = (struct span){b->f->changes[i].begin_lo, b->f->changes[i].window_to};
    if (b->f->n_changes)
        qsort(b->windows, b->f->n_changes, sizeof *b->windows, by_from);
    for (size_t i = 0; i < b->f->n_changes; i++) {
        if (b->n_windows && b->windows[i].from <= b->windows[b->n_windows - 1].to) {
            struct span *last = &b->windows[b->n_windows - 1];
            last->to = b->windows[i].to > last->to ? b->windows[i].to : last->to;
        } else {
            b->windows[b->n_windows++] = b->windows[i];
        }
    }
}

static struct totals totals_of(const struct corr_watch *w, const struct corr_tick *t) {
    struct totals sum = {0};
    const Pilotgate__Coverage *c = t ? t->r->r->coverage : NULL;
    for (size_t i = 0; c && i < c->n_probes; i++) {
        if (*c->probes[i]->path || corr_is_control_probe(w, c->probes[i]))
            continue;
        sum.resolved += c->probes[i]->resolved;
        sum.unsent += c->probes[i]->unsent;
        sum.told += c->probes[i]->executions_told;
    }
    return sum;
}

/* The last of the prober's that is not after t; NULL: the stream began later. */
static const struct corr_tick *last_until(const struct corr_watch *w, int64_t t) {
    for (size_t i = corr_view_since(w, t + 1); i-- > 0;)
        if (w->ticks[i].calls)
            return &w->ticks[i];
    return NULL;
}

/* The first since t, or the last that there is. */
static const struct corr_tick *first_since(const struct corr_watch *w, int64_t t) {
    for (size_t i = corr_view_since(w, t); i < w->n_ticks; i++)
        if (w->ticks[i].calls)
            return &w->ticks[i];
    return last_until(w, t);
}

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static struct totals inside(const struct books *b, const struct corr_watch *w, struct span window) {
    if (b->until[w->stream] < window.from)
        return (struct totals){0};
    struct totals before = totals_of(w, last_until(w, window.from));
    struct totals after = totals_of(w, first_since(w, window.to));
    return (struct totals){less(after.resolved, before.resolved), less(after.unsent, before.unsent),
                           less(after.told, before.told)};
}

static uint64_t queued_in(const struct corr_tick *t) {
    uint64_t sum = 0;
    for (size_t i = 0; i < t->r->r->coverage->n_probes; i++)
        sum += t->r->r->coverage->probes[i]->queued;
    return sum;
}

static void count_in_change(const struct books *b, const struct corr_watch *w, struct fact_change *c) {
    struct totals sum = inside(b, w, (struct span){c->begin_lo, c->window_to});
    c->unsent += sum.unsent;
    c->executions_told += sum.told;
    for (size_t i = corr_view_since(w, c->begin_lo); i < w->n_ticks && w->ticks[i].t <= c->window_to; i++) {
        uint64_t queued = queued_in(&w->ticks[i]);
        c->queued = queued > c->queued ? queued : c->queued;
    }
}

static void count_stream(struct books *b, const struct corr_watch *w) {
    const struct corr_tick *last = last_until(w, WIRE_NS_MAX);
    if (!last)
        return;
    b->any = true;
    b->until[w->stream] = last->t;
    struct totals outside = totals_of(w, last);
    for (size_t i = 0; i < b->n_windows; i++) {
        struct totals in = inside(b, w, b->windows[i]);
        outside.resolved = less(outside.resolved, in.resolved);
        outside.unsent = less(outside.unsent, in.unsent);
    }
    struct fact_background *g = &b->f->background;
    g->n += outside.resolved;
    g->unsent += outside.unsent;
    g->to = last->t > g->to ? last->t : g->to;
    for (size_t i = 0; i < b->f->n_changes; i++)
        count_in_change(b, w, &b->f->changes[i]);
}

static bool meets_a_window(const struct books *b, int64_t from, int64_t to) {
    for (size_t i = 0; i < b->n_windows; i++)
        if (to >= b->windows[i].from && from <= b->windows[i].to)
            return true;
    return false;
}

/* Of a call through the target's URL: did the gateway lose it? */
static bool is_lost(const Pilotgate__Call *k) {
    const char *why;
    struct corr_case what = {.outcome = (uint32_t)k->outcome, .flags = k->flags};
    enum fact_reading reading = corr_read(&what, &why);
    return !*k->path &&
           !(k->flags & (PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL | PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT)) &&
           (reading == FACT_READING_DROPPED || reading == FACT_READING_INTERRUPTED);
}

static bool is_background(const struct books *b, const struct ev_record *r) {
    const Pilotgate__Call *k = r->r->call;
    int64_t error;
    int64_t start = facts_clock(b->f->ev, r->stream, k->start_wall_ns, &error);
    return is_lost(k) && start <= b->until[r->stream] &&
           !meets_a_window(b, start, start + (int64_t)k->duration_us * 1000);
}

size_t facts_lost_between(const struct facts *f, int64_t from, int64_t to, struct fact_ref *ret_first) {
    size_t n = 0;
    *ret_first = (struct fact_ref){0};
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_CALL || !corr_in_stage(f, r->stream) ||
            !is_lost(r->r->call))
            continue;
        int64_t error;
        int64_t start = facts_clock(f->ev, r->stream, r->r->call->start_wall_ns, &error);
        if (start > to || start + (int64_t)r->r->call->duration_us * 1000 < from)
            continue;
        if (n++ == 0)
            *ret_first = (struct fact_ref){r->stream, r->seq};
    }
    return n;
}

/* Lost calls, and the beginning of the streams whose totals were counted. */
static void count_rows(struct books *b) {
    struct fact_background *g = &b->f->background;
    for (size_t i = 0; i < b->f->ev->records.n; i++) {
        const struct ev_record *r = &b->f->ev->records.items[i];
        if (b->until[r->stream] == 0)
            continue;
        int64_t error;
        int64_t t = facts_clock(b->f->ev, r->stream, r->r->wall_ns, &error);
        g->from = g->from == 0 || t < g->from ? t : g->from;
        if (r->r->body_case == PILOTGATE__RECORD__BODY_LOSS)
            g->unknown = "agents lost records";
        else if (r->r->body_case == PILOTGATE__RECORD__BODY_CALL)
            g->lost += is_background(b, r);
    }
    if (!b->any)
        g->unknown = "no coverage of calls: no change was witnessed yet";
    else if (!g->unknown && g->n == 0)
        g->unknown = "no call is known to have ended outside the windows of the changes";
    if (g->n < g->lost) /* a lost call at the very edge of a window may be counted inside it */
        g->n = g->lost;
}

int corr_background(struct facts *f, const struct corr_view *v, struct err *e) {
    struct books b = {.f = f,
                      .v = v,
                      .windows = calloc(f->n_changes + 1, sizeof *b.windows),
                      .until = calloc(f->ev->n_streams + 1, sizeof *b.until)};
    int r = b.windows && b.until ? 0 : -ENOMEM;
    f->background = (struct fact_background){0};
    if (r == 0) {
        join_windows(&b);
        for (size_t i = 0; i < v->n_streams; i++)
            count_stream(&b, &v->streams[i]);
        count_rows(&b);
    }
    free(b.windows);
    free(b.until);
    return r < 0 ? err_oom(e) : 0;
}
