/* coverage: who watched a change's window, and what nobody watched.
 *
 * A node's calls are watched while its agent emits a coverage record with probes each second; two such
 * records further apart than the rubric's coverage_gap leave a span that nobody witnessed. So does an agent
 * that ended without saying so, however soon its successor came: it took with it what it had not told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correlate/correlate_priv.h"

int corr_is_call_coverage(const Pilotgate__Coverage *c) {
    return c->n_probes > 0;
}

struct tick { /* one coverage record of one node */
    int64_t t;
    size_t stream;
    int bye;
    int ends; /* the last of a stream that ended without a word */
};

struct ticks {
    struct tick *items;
    size_t n, cap;
};

static int by_tick(const void *a, const void *b) {
    const struct tick *x = a;
    const struct tick *y = b;
    if (x->t != y->t)
        return x->t < y->t ? -1 : 1;
    return x->stream < y->stream ? -1 : x->stream > y->stream;
}

static int collect_ticks(const struct facts *f, const char *node, int64_t from, int64_t to,
                         struct ticks *ret) {
    for (size_t i = 0; i < f->ev->watched.n; i++) {
        const struct ev_record *r = &f->ev->watched.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_COVERAGE || !corr_in_stage(f, r->stream) ||
            strcmp(f->ev->streams[r->stream].node, node) != 0)
            continue;
        if (!corr_is_call_coverage(r->r->coverage) && !r->r->coverage->bye)
            continue;
        int64_t error;
        int64_t t = facts_clock(f->ev, r->stream, r->r->wall_ns, &error);
        if (t < from || t > to)
            continue;
        struct tick *slot = CORR_PUSH(ret->items, ret->n, ret->cap);
        if (!slot)
            return -ENOMEM;
        *slot = (struct tick){t, r->stream, r->r->coverage->bye, 0};
        ret->n++;
    }
    if (ret->n)
        qsort(ret->items, ret->n, sizeof *ret->items, by_tick);
    return 0;
}

/* Marks the last tick of each stream that stopped before `until`; ticks are in the order of time. */
static void mark_ends(struct ticks *t, int64_t until) {
    for (size_t i = t->n; i-- > 0;) {
        size_t later = i + 1;
        while (later < t->n && t->items[later].stream != t->items[i].stream)
            later++;
        t->items[i].ends = later == t->n && !t->items[i].bye && t->items[i].t < until;
    }
}

static int add_span(struct fact_change *c, const char *node, int64_t from, int64_t to, const char *why) {
    struct fact_span *s = CORR_PUSH(c->unwitnessed, c->n_unwitnessed, c->cap_unwitnessed);
    if (!s)
        return -ENOMEM;
    (void)snprintf(s->node, sizeof s->node, "%s", node);
    s->from = from;
    s->to = to;
    s->why = why;
    c->n_unwitnessed++;
    return 0;
}

/* Adds the spans of [from, to] that the ticks leave open; returns how many, or -ENOMEM. */
static int find_spans(struct fact_change *c, const char *node, const struct ticks *t, int64_t from,
                      int64_t to, int64_t gap) {
    int found = 0;
    int64_t last = from;
    int last_bye = 0;
    int last_ends = 0;
    for (size_t i = 0; i <= t->n; i++) {
        int64_t next = i < t->n ? t->items[i].t : to;
        if (next > to)
            next = to;
        if (next - last > gap || (last_ends && i < t->n && next > last)) {
            const char *why =
                i == t->n ? (last_bye ? "the agent ended" : "the agent fell silent")
                          : (last_bye ? "the agent ended and came back" : "the agent was away or silent");
            if (add_span(c, node, last, next, why) < 0)
                return -ENOMEM;
            found++;
        }
        if (i < t->n && next > last) {
            last = next;
            last_bye = t->items[i].bye;
            last_ends = t->items[i].ends;
        }
    }
    return found;
}

/* How many agents there should be at `to`: what the pilot declares, or the newest that the DaemonSet wanted
 * by then, if that is more. */
static unsigned expected_agents(const struct facts *f, int64_t to) {
    unsigned wanted = 0;
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < f->ev->watched.n; i++) {
        const struct ev_record *r = &f->ev->watched.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_COVERAGE || !r->r->coverage->expected_agents ||
            !corr_in_stage(f, r->stream))
            continue;
        int64_t error;
        int64_t t = facts_clock(f->ev, r->stream, r->r->wall_ns, &error);
        if (t > to || t < newest)
            continue;
        bool same = t == newest && wanted > r->r->coverage->expected_agents;
        wanted = same ? wanted : r->r->coverage->expected_agents;
        newest = t;
    }
    return wanted > f->expected_agents ? wanted : f->expected_agents;
}

/* The names of the stage's nodes, each once, in the order of their first stream. */
static int first_of_node(const struct facts *f, size_t stream) {
    for (size_t i = 0; i < stream; i++)
        if (corr_in_stage(f, i) && strcmp(f->ev->streams[i].node, f->ev->streams[stream].node) == 0)
            return 0;
    return 1;
}

int corr_coverage(struct facts *f, struct fact_change *c, const struct rubric *rubric, int64_t now,
                  struct err *e) {
    int64_t gap = rubric->rules.coverage_gap_ns;
    int64_t to = c->window_to < now ? c->window_to : now;
    unsigned present = 0;
    for (size_t i = 0; i < f->ev->n_streams; i++) {
        if (!corr_in_stage(f, i) || !first_of_node(f, i))
            continue;
        struct ticks t = {0};
        const char *node = f->ev->streams[i].node;
        int r = collect_ticks(f, node, c->begin_lo - gap, to + gap, &t);
        if (r == 0 && t.n > 0) {
            present++;
            mark_ends(&t, to - gap);
            r = find_spans(c, node, &t, c->begin_lo, to, gap);
            if (r == 0)
                c->witnesses++;
        }
        free(t.items);
        if (r < 0)
            return err_oom(e);
    }
    c->expected_agents = expected_agents(f, to);
    const char *why = c->expected_agents > f->expected_agents
                          ? "fewer agents with probes were there than their DaemonSet wants"
                          : "fewer agents with probes were there than the pilot expects";
    if (present < c->expected_agents && add_span(c, "(an expected agent)", c->begin_lo, to, why) < 0)
        return err_oom(e);
    return 0;
}
