/* twins: two living agents that say they are the same node. A pod and its successor overlap while the first
 * one ends; two that both go on sending for INGEST_TWINS_S are two, and nobody can tell which of them speaks
 * for the node. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

struct list {
    struct session **all;
    size_t n;
};

static void add_sending(void *ctx, struct session *s) {
    struct list *l = ctx;
    if (!s->gone && s->first_batch_ns)
        l->all[l->n++] = s;
}

static int compare_nodes(const struct session *x, const struct session *y) {
    int c = strcmp(x->cluster, y->cluster);
    if (c == 0)
        c = strcmp(x->namespace_name, y->namespace_name);
    return c ? c : strcmp(x->node, y->node);
}

static int compare(const void *a, const void *b) {
    const struct session *x = *(struct session *const *)a, *y = *(struct session *const *)b;
    int c = compare_nodes(x, y);
    return c ? c : (x->first_batch_ns > y->first_batch_ns) - (x->first_batch_ns < y->first_batch_ns);
}

/* From when both had begun to when the first of them had said its last. */
static int64_t overlap(const struct session *older, const struct session *younger) {
    int64_t end =
        older->last_batch_ns < younger->last_batch_ns ? older->last_batch_ns : younger->last_batch_ns;
    return end - younger->first_batch_ns;
}

/* In order of their beginning, neighbours are enough: of three that go on, each has one. */
int twins_find(struct sessions *t, twins_fn *fn, void *ctx) {
    struct list l = {.all = t->n ? malloc(t->n * sizeof *l.all) : NULL};
    int r = 0;
    if (!l.all)
        return t->n ? -ENOMEM : 0;
    session_each(t, add_sending, &l);
    qsort(l.all, l.n, sizeof *l.all, compare);
    for (size_t k = 1; r == 0 && k < l.n; k++) {
        struct session *older = l.all[k - 1], *younger = l.all[k];
        if (compare_nodes(older, younger) != 0 || overlap(older, younger) < INGEST_TWINS_S * WHEN_S)
            continue;
        r = older->twin_told ? 0 : fn(ctx, older);
        if (r == 0 && !younger->twin_told)
            r = fn(ctx, younger);
    }
    free(l.all);
    return r;
}
