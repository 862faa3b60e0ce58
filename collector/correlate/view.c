/* view: the watched records of one stage by stream, node and time. A stage may have thousands of agents, each
 * of which tells every second: nothing that looks at a window may walk through all of them for each of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "correlate/exposure_priv.h"

#define NOT_OURS SIZE_MAX

struct making {
    const struct facts *f;
    struct corr_view *v;
    size_t *ours; /* stream -> position in v->streams */
    size_t cap_ticks, cap_wishes, cap_blocks;
};

/* ---- streams and nodes */

struct name {
    const char *node;
    size_t at;
};

static int by_node(const void *a, const void *b) {
    const struct name *x = a;
    const struct name *y = b;
    int c = strcmp(x->node, y->node);
    return c ? c : x->at < y->at ? -1 : x->at > y->at;
}

/* Numbers the nodes in the order of their first stream. */
static int number_nodes(struct corr_view *v, const struct evidence *ev) {
    struct name *names = calloc(v->n_streams + 1, sizeof *names);
    size_t *first = calloc(v->n_streams + 1, sizeof *first);
    v->nodes = calloc(v->n_streams + 1, sizeof *v->nodes);
    int r = names && first && v->nodes ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < v->n_streams; i++)
        names[i] = (struct name){ev->streams[v->streams[i].stream].node, i};
    if (r == 0 && v->n_streams)
        qsort(names, v->n_streams, sizeof *names, by_node);
    for (size_t i = 0; r == 0 && i < v->n_streams; i++)
        first[names[i].at] =
            i && strcmp(names[i].node, names[i - 1].node) == 0 ? first[names[i - 1].at] : names[i].at;
    for (size_t i = 0; r == 0 && i < v->n_streams; i++) {
        v->streams[i].node = first[i] == i ? v->n_nodes : v->streams[first[i]].node;
        if (first[i] == i)
            v->nodes[v->n_nodes++] = ev->streams[v->streams[i].stream].node;
    }
    free(names);
    free(first);
    return r;
}

static int find_streams(struct making *m) {
    const struct evidence *ev = m->f->ev;
    m->ours = calloc(ev->n_streams + 1, sizeof *m->ours);
    m->v->streams = calloc(ev->n_streams + 1, sizeof *m->v->streams);
    if (!m->ours || !m->v->streams)
        return -ENOMEM;
    for (size_t i = 0; i < ev->n_streams; i++) {
        m->ours[i] = NOT_OURS;
        if (!corr_in_stage(m->f, i))
            continue;
        m->ours[i] = m->v->n_streams;
        m->v->streams[m->v->n_streams++].stream = i;
    }
    return number_nodes(m->v, ev);
}

/* ---- records */

static int add_coverage(struct making *m, const struct ev_record *r) {
    const Pilotgate__Coverage *c = r->r->coverage;
    int64_t error;
    int64_t t = facts_clock(m->f->ev, r->stream, r->r->wall_ns, &error);
    if (c->expected_agents) {
        struct corr_wish *w = CORR_PUSH(m->v->wishes, m->v->n_wishes, m->cap_wishes);
        if (!w)
            return -ENOMEM;
        *w = (struct corr_wish){t, c->expected_agents};
        m->v->n_wishes++;
    }
    if (!corr_is_call_coverage(c) && !c->bye)
        return 0;
    struct corr_tick *k = CORR_PUSH(m->v->ticks, m->v->n_ticks, m->cap_ticks);
    if (!k)
        return -ENOMEM;
    *k = (struct corr_tick){t, r, corr_is_call_coverage(c), c->bye};
    m->v->n_ticks++;
    return 0;
}

static int add_block(struct making *m, const struct ev_record *r) {
    const struct ev_record **b = CORR_PUSH(m->v->blocks, m->v->n_blocks, m->cap_blocks);
    if (!b)
        return -ENOMEM;
    *b = r;
    m->v->n_blocks++;
    struct corr_watch *w = &m->v->streams[m->ours[r->stream]];
    for (size_t i = 0; !w->control && i < r->r->calls->n_flags; i++)
        w->control = r->r->calls->flags[i] & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL;
    return 0;
}

static int add_records(struct making *m) {
    const struct ev_list *l = &m->f->ev->watched;
    int r = 0;
    for (size_t i = 0; r == 0 && i < l->n; i++) {
        const struct ev_record *x = &l->items[i];
        if (m->ours[x->stream] == NOT_OURS)
            continue;
        if (x->r->body_case == PILOTGATE__RECORD__BODY_COVERAGE)
            r = add_coverage(m, x);
        else if (x->r->body_case == PILOTGATE__RECORD__BODY_CALLS)
            r = add_block(m, x);
    }
    return r;
}

static int by_time(const void *a, const void *b) {
    const struct corr_tick *x = a;
    const struct corr_tick *y = b;
    if (x->r->stream != y->r->stream)
        return x->r->stream < y->r->stream ? -1 : 1;
    if (x->t != y->t)
        return x->t < y->t ? -1 : 1;
    return x->r->seq < y->r->seq ? -1 : x->r->seq > y->r->seq;
}

static int by_place(const void *a, const void *b) {
    const struct ev_record *x = *(const struct ev_record *const *)a;
    const struct ev_record *y = *(const struct ev_record *const *)b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* From a store they come in this order already, but for clocks that stepped. */
static void order(void *items, size_t n, size_t size, int (*compare)(const void *, const void *)) {
    const char *at = items;
    for (size_t i = 1; i < n; i++)
        if (compare(at + (i - 1) * size, at + i * size) > 0) {
            qsort(items, n, size, compare);
            return;
        }
}

static void hand_out(struct making *m) {
    struct corr_view *v = m->v;
    order(v->ticks, v->n_ticks, sizeof *v->ticks, by_time);
    order(v->blocks, v->n_blocks, sizeof *v->blocks, by_place);
    for (size_t i = v->n_ticks; i-- > 0;) {
        struct corr_watch *w = &v->streams[m->ours[v->ticks[i].r->stream]];
        w->ticks = &v->ticks[i];
        w->n_ticks++;
    }
    for (size_t i = v->n_blocks; i-- > 0;) {
        struct corr_watch *w = &v->streams[m->ours[v->blocks[i]->stream]];
        w->blocks = &v->blocks[i];
        w->n_blocks++;
    }
}

int corr_view_make(const struct facts *f, struct corr_view *ret) {
    *ret = (struct corr_view){0};
    struct making m = {.f = f, .v = ret};
    int r = find_streams(&m);
    if (r == 0)
        r = add_records(&m);
    if (r == 0)
        hand_out(&m);
    free(m.ours);
    return r;
}

void corr_view_free(struct corr_view *v) {
    free(v->streams);
    free(v->nodes);
    free(v->ticks);
    free(v->wishes);
    free(v->blocks);
    *v = (struct corr_view){0};
}

size_t corr_view_since(const struct corr_watch *w, int64_t t) {
    size_t lo = 0;
    size_t hi = w->n_ticks;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->ticks[mid].t < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
