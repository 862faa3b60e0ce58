/* exposure: what was in flight across a change's switches, and what became of every call that meets its
 * window. The order of the steps, and the sums; calls.c and open.c take the calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/exposure_priv.h"
#include "correlate/reading.h"

#define CLOCK_SLACK_NS (60 * WHEN_S) /* by which an unknown clock may be off here */

static int by_start(const void *a, const void *b) {
    const struct fact_lost_call *x = a;
    const struct fact_lost_call *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->ref.stream != y->ref.stream)
        return x->ref.stream < y->ref.stream ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* To the switch of its path; of two pods with one name, to the one that was there when it began. */
static void add_to_switch(struct fact_change *c, const struct fact_lost_call *l) {
    struct fact_switch *at = NULL;
    for (size_t i = 0; i < c->n_switches; i++) {
        struct fact_switch *s = &c->switches[i];
        if (strcmp(s->path, l->path) == 0 && (!at || s->pod->created_lo <= l->start))
            at = s;
    }
    if (!at)
        return;
    at->dropped += l->reading == FACT_READING_DROPPED;
    at->interrupted += l->reading == FACT_READING_INTERRUPTED;
}

static void sum_up(struct corr_work *w) {
    struct fact_change *c = w->c;
    if (c->n_lost)
        qsort(c->lost, c->n_lost, sizeof *c->lost, by_start);
    for (size_t i = 0; i < c->n_lost; i++) {
        c->dropped += c->lost[i].reading == FACT_READING_DROPPED;
        c->interrupted += c->lost[i].reading == FACT_READING_INTERRUPTED;
        c->unresolved += c->lost[i].reading == FACT_READING_UNRESOLVED;
        c->unattributed += c->lost[i].reading == FACT_READING_UNATTRIBUTED;
        c->excluded += c->lost[i].reading == FACT_READING_EXCLUDED;
        add_to_switch(c, &c->lost[i]);
    }
    c->added_called = true;
    for (size_t i = 0; i < c->n_added && c->added_called; i++) {
        if (!w->proven[i]) {
            c->added_called = false;
            c->added_uncalled = c->added[i].name;
        }
    }
}

static bool has_tick(const struct corr_watch *w, int64_t from, int64_t to) {
    size_t i = corr_view_since(w, from);
    while (i < w->n_ticks && !w->ticks[i].calls)
        i++;
    return i < w->n_ticks && w->ticks[i].t <= to;
}

static bool tells_sign(const struct fact_change *c, size_t stream) {
    for (size_t i = 0; i < c->n_signs; i++)
        if (c->signs[i]->ref.seq && c->signs[i]->ref.stream == stream)
            return true;
    return false;
}

/* A stream counts for a change when it covered the window or told of a sign. */
static void bound_clocks(const struct corr_work *w) {
    struct fact_change *c = w->c;
    for (size_t s = 0; s < w->view->n_streams; s++) {
        const struct corr_watch *of = &w->view->streams[s];
        if (!has_tick(of, c->begin_lo - CLOCK_SLACK_NS, c->window_to + CLOCK_SLACK_NS) &&
            !tells_sign(c, of->stream))
            continue;
        int64_t error;
        (void)facts_clock(w->f->ev, of->stream, c->begin_lo, &error);
        if (error < 0 || c->clock_error_ns < 0)
            c->clock_error_ns = -1;
        else if (error > c->clock_error_ns)
            c->clock_error_ns = error;
    }
}

/* Of a node that was watched, no call meets the window. */
static int find_silent(struct corr_work *w) {
    const struct corr_view *v = w->view;
    bool *called = calloc(v->n_nodes + 1, sizeof *called);
    if (!called)
        return -ENOMEM;
    for (size_t i = 0; i < v->n_streams; i++)
        called[v->streams[i].node] |= w->called[v->streams[i].stream];
    for (size_t i = 0; i < v->n_streams; i++)
        if (!called[v->streams[i].node] && has_tick(&v->streams[i], w->c->begin_lo, w->c->window_to))
            w->c->silent_node = v->nodes[v->streams[i].node];
    free(called);
    return 0;
}

/* ---- what stood still, what failed past the gateway */

static int add_moment(struct corr_moments *m, size_t stream, int64_t from, int64_t to) {
    struct corr_moment *slot = CORR_PUSH(m->items, m->n, m->cap);
    if (!slot)
        return -ENOMEM;
    *slot = (struct corr_moment){.stream = stream, .from = from, .to = to};
    m->n++;
    return 0;
}

static int by_begin(const void *a, const void *b) {
    const struct corr_moment *x = a;
    const struct corr_moment *y = b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

static void order_moments(struct corr_moments *m) {
    if (m->n)
        qsort(m->items, m->n, sizeof *m->items, by_begin);
    for (size_t i = 0; i < m->n; i++) {
        struct corr_moment *k = &m->items[i];
        k->reach = i && k[-1].stream == k->stream && k[-1].reach > k->to ? k[-1].reach : k->to;
    }
}

/* The agent's own quota or end says nothing of the tool server. */
static bool is_control_failure(const Pilotgate__Call *k) {
    return k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL &&
           k->outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED &&
           k->outcome != PILOTGATE__OUTCOME__OUTCOME_ABORTED;
}

static int find_control(const struct facts *f, struct corr_moments *m) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_CALL || !corr_in_stage(f, r->stream))
            continue;
        const Pilotgate__Call *k = r->r->call;
        if (is_control_failure(k) &&
            add_moment(m, r->stream, k->start_wall_ns, k->start_wall_ns + (int64_t)k->duration_us * 1000) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The record comes at the end of its second, and after a stall late by as much. */
static int64_t stall_begin(const struct ev_record *r) {
    return r->r->wall_ns - WHEN_S - (int64_t)r->r->coverage->stalled_us * 1000;
}

static int find_stalls(const struct facts *f, int64_t max, struct corr_moments *m) {
    for (size_t i = 0; i < f->ev->watched.n; i++) {
        const struct ev_record *r = &f->ev->watched.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_COVERAGE && corr_in_stage(f, r->stream) &&
            (int64_t)r->r->coverage->stalled_us * 1000 > max &&
            add_moment(m, r->stream, stall_begin(r), r->r->wall_ns) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void count_stalls(const struct facts *f, struct fact_change *c, const struct corr_moments *m) {
    for (size_t i = 0; i < m->n; i++) {
        int64_t error;
        int64_t t = facts_clock(f->ev, m->items[i].stream, m->items[i].to, &error);
        int64_t length = m->items[i].to - m->items[i].from - WHEN_S;
        if (t < c->begin_lo || t > c->window_to)
            continue;
        c->stalls++;
        c->worst_stall_ns = length > c->worst_stall_ns ? length : c->worst_stall_ns;
    }
}

/* ---- one change, all changes */

static int expose(struct corr_work *w, int64_t now, int64_t gap) {
    w->proven = calloc(w->c->n_added + 1, sizeof *w->proven);
    w->called = calloc(w->f->ev->n_streams + 1, sizeof *w->called);
    if (!w->proven || !w->called || corr_read_calls(w) < 0 || corr_read_open(w, now, gap) < 0 ||
        find_silent(w) < 0)
        return -ENOMEM;
    bound_clocks(w);
    count_stalls(w->f, w->c, w->stalls);
    sum_up(w);
    return 0;
}

static int expose_all(struct facts *f, const struct corr_view *v, const struct rubric *rubric, int64_t now,
                      struct corr_moments *stalls, struct corr_moments *control, struct err *e) {
    int r = find_control(f, control) | find_stalls(f, rubric->rules.stall_max_ns, stalls);
    order_moments(control);
    order_moments(stalls);
    for (size_t i = 0; r == 0 && i < f->n_changes; i++) {
        struct corr_work w = {.f = f, .view = v, .c = &f->changes[i], .stalls = stalls, .control = control};
        r = expose(&w, now, rubric->rules.coverage_gap_ns);
        corr_keys_free(&w.resolved);
        corr_keys_free(&w.units);
        free(w.proven);
        free(w.called);
        if (r == 0)
            r = corr_coverage(f, v, &f->changes[i], rubric, now, e);
    }
    return r < 0 ? err_oom(e) : 0;
}

int facts_exposure(struct facts *f, const struct rubric *rubric, int64_t now, struct err *e) {
    struct corr_moments stalls = {0};
    struct corr_moments control = {0};
    struct corr_view view;
    int r = corr_view_make(f, &view);
    r = r < 0 ? err_oom(e) : expose_all(f, &view, rubric, now, &stalls, &control, e);
    if (r == 0)
        r = corr_missing(f, e);
    if (r == 0)
        r = corr_background(f, &view, e);
    corr_view_free(&view);
    free(stalls.items);
    free(control.items);
    return r;
}
