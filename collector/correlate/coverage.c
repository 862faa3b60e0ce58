/* coverage: who watched a change's window, and what nobody watched.
 *
 * A node's calls are watched while its agent emits a coverage record with probes each second; two such
 * records further apart than the rubric's coverage_gap leave a span that nobody witnessed. So does an agent
 * that ended without saying so, however soon its successor came: it took with it what it had not told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correlate/exposure_priv.h"

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

static int collect_ticks(const struct corr_watch *w, int64_t from, int64_t to, struct ticks *ret) {
    for (size_t i = corr_view_since(w, from); i < w->n_ticks && w->ticks[i].t <= to; i++) {
        struct tick *slot = CORR_PUSH(ret->items, ret->n, ret->cap);
        if (!slot)
            return -ENOMEM;
        *slot = (struct tick){w->ticks[i].t, w->stream, w->ticks[i].bye, 0};
        ret->n++;
    }
    return 0;
}

/* Marks the last tick of a stream, if that stopped before `until`; those of the stream are [first, t->n). */
static void mark_end(struct ticks *t, size_t first, int64_t until) {
    if (t->n > first && !t->items[t->n - 1].bye && t->items[t->n - 1].t < until)
        t->items[t->n - 1].ends = 1;
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

/* Adds the spans of [from, to] that the ticks leave open, also those that began before it; returns how many,
 * or -ENOMEM. */
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
        if (next > from && (next - last > gap || (last_ends && i < t->n && next > last))) {
            const char *why =
                i == t->n ? (last_bye ? "the agent ended" : "the agent fell silent")
                          : (last_bye ? "the agent ended and came back" : "the agent was away or silent");
            if (add_span(c, node, last > from ? last : from, next, why) < 0)
                return -ENOMEM;
            found++;
        }
        if (i < t->n) { /* the first may be before `from` */
            last = next;
            last_bye = t->items[i].bye;
            last_ends = t->items[i].ends;
        }
    }
    return found;
}

/* How many agents there should be at `to`: what the pilot declares, or the newest that the DaemonSet wanted
 * by then, if that is more. */
static unsigned expected_agents(const struct facts *f, const struct corr_view *v, int64_t to) {
    struct corr_wish newest = {INT64_MIN, 0};
    for (size_t i = 0; i < v->n_wishes; i++) {
        const struct corr_wish *w = &v->wishes[i];
        if (w->t <= to && (w->t > newest.t || (w->t == newest.t && w->agents > newest.agents)))
            newest = *w;
    }
    return newest.agents > f->expected_agents ? newest.agents : f->expected_agents;
}

/* The streams of each node after each other: by_node[first[n]] .. by_node[first[n + 1]]. */
static int group_by_node(const struct corr_view *v, size_t **ret_first, size_t **ret_by_node) {
    size_t *first = calloc(v->n_nodes + 2, sizeof *first);
    size_t *list = calloc(v->n_streams + 1, sizeof *list);
    *ret_first = first;
    *ret_by_node = list;
    if (!first || !list)
        return -ENOMEM;
    for (size_t i = 0; i < v->n_streams; i++)
        first[v->streams[i].node + 2]++;
    for (size_t n = 2; n < v->n_nodes + 2; n++)
        first[n] += first[n - 1];
    for (size_t i = 0; i < v->n_streams; i++)
        list[first[v->streams[i].node + 1]++] = i;
    return 0;
}

struct looking {
    struct fact_change *c;
    const struct corr_view *v;
    int64_t to, gap;
    unsigned present;
};

static int look_at_node(struct looking *k, size_t node, const size_t *streams, size_t n) {
    struct ticks t = {0};
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t first = t.n;
        r = collect_ticks(&k->v->streams[streams[i]], k->c->begin_lo - k->gap, k->to + k->gap, &t);
        mark_end(&t, first, k->to - k->gap);
    }
    if (n > 1 && t.n)
        qsort(t.items, t.n, sizeof *t.items, by_tick);
    if (r == 0 && t.n > 0) {
        k->present++;
        r = find_spans(k->c, k->v->nodes[node], &t, k->c->begin_lo, k->to, k->gap);
        k->c->witnesses += r == 0;
    }
    free(t.items);
    return r < 0 ? r : 0;
}

int corr_coverage(struct facts *f, const struct corr_view *v, struct fact_change *c,
                  const struct rubric *rubric, int64_t now, struct err *e) {
    struct looking k = {c, v, c->window_to < now ? c->window_to : now, rubric->rules.coverage_gap_ns, 0};
    size_t *first;
    size_t *by_node;
    int r = group_by_node(v, &first, &by_node);
    for (size_t n = 0; n < v->n_nodes && r == 0; n++)
        r = look_at_node(&k, n, &by_node[first[n]], first[n + 1] - first[n]);
    free(first);
    free(by_node);
    c->expected_agents = expected_agents(f, v, k.to);
    const char *why = c->expected_agents > f->expected_agents
                          ? "fewer agents with probes were there than their DaemonSet wants"
                          : "fewer agents with probes were there than the pilot expects";
    if (r == 0 && k.present < c->expected_agents)
        r = add_span(c, "(an expected agent)", c->begin_lo, k.to, why);
    return r < 0 ? err_oom(e) : 0;
}
