/* products: what each node read of the product's own state, as of a time. Every node asks for itself, and two
 * of them may well be answered differently. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "correlate/correlate_priv.h"

struct reading {
    const Pilotgate__Object *o;
    const char *node;
    struct fact_ref ref;
    int64_t t;
};

int corr_is_product(const Pilotgate__Object *o) {
    return strcmp(o->kind, "ToolCatalogue") == 0 || strcmp(o->kind, "ProductConfiguration") == 0;
}

static int compare_source(const struct reading *a, const struct reading *b) {
    int c = strcmp(a->o->kind, b->o->kind);
    if (c == 0)
        c = strcmp(a->o->name, b->o->name);
    if (c == 0)
        c = strcmp(a->node, b->node);
    return c ? c : strcmp(a->o->path, b->o->path);
}

static int by_source(const void *a, const void *b) {
    const struct reading *x = a;
    const struct reading *y = b;
    int c = compare_source(x, y);
    if (c == 0)
        c = x->t < y->t ? -1 : x->t > y->t;
    if (c == 0)
        c = x->ref.stream < y->ref.stream ? -1 : x->ref.stream > y->ref.stream;
    if (c == 0)
        c = x->ref.seq < y->ref.seq ? -1 : x->ref.seq > y->ref.seq;
    return c;
}

static int collect(const struct facts *f, int64_t t, struct reading **ret, size_t *ret_n) {
    struct reading *all = NULL;
    size_t n = 0;
    size_t cap = 0;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT || !corr_in_stage(f, r->stream) ||
            !corr_is_product(r->r->object) || r->r->object->own || r->r->object->control)
            continue;
        int64_t lo;
        int64_t hi;
        corr_interval(f->ev, r->stream, r->r->object->t_wall_ns, 0, &lo, &hi);
        if (hi > t)
            continue;
        struct reading *slot = CORR_PUSH(all, n, cap);
        if (!slot) {
            free(all);
            return -ENOMEM;
        }
        *slot = (struct reading){r->r->object, f->ev->streams[r->stream].node, {r->stream, r->seq}, hi};
        n++;
    }
    if (n)
        qsort(all, n, sizeof *all, by_source);
    *ret = all;
    *ret_n = n;
    return 0;
}

static void take(struct fact_product *p, const struct reading *r) {
    p->unreadable = r->o->op == PILOTGATE__OBJECT__OP__OP_UNREADABLE;
    if (p->unreadable)
        return;
    p->digest = r->o->digest;
    p->o = r->o;
    p->read_hi = r->t;
    p->ref = r->ref;
}

int facts_products(const struct facts *f, int64_t t, facts_product_fn *fn, void *ctx, struct err *e) {
    struct reading *all;
    size_t n;
    if (collect(f, t, &all, &n) < 0)
        return err_oom(e);
    int rc = 0;
    for (size_t i = 0, j; i < n && rc == 0; i = j) {
        struct fact_product p = {
            .kind = all[i].o->kind, .name = all[i].o->name, .node = all[i].node, .path = all[i].o->path};
        for (j = i; j < n && compare_source(&all[i], &all[j]) == 0; j++)
            take(&p, &all[j]);
        rc = fn(ctx, &p);
    }
    free(all);
    return rc;
}

/* Where the records of a stream begin: lists are in (stream, seq) order. */
static size_t first_of(const struct ev_list *l, size_t stream) {
    size_t lo = 0;
    size_t hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->items[mid].stream < stream)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool told_in(const struct facts *f, const struct ev_list *l, size_t stream, int64_t from, int64_t to) {
    for (size_t i = first_of(l, stream); i < l->n && l->items[i].stream == stream; i++) {
        int64_t lo;
        int64_t hi;
        corr_interval(f->ev, stream, l->items[i].r->wall_ns, 0, &lo, &hi);
        if (hi >= from && lo <= to)
            return true;
    }
    return false;
}

/* Of most of what an agent tells only what may count is loaded: coverage shows that it lived, too. */
bool facts_node_alive(const struct facts *f, const char *node, int64_t from, int64_t to) {
    for (size_t s = 0; s < f->ev->n_streams; s++)
        if (strcmp(f->ev->streams[s].node, node) == 0 && corr_in_stage(f, s) &&
            (told_in(f, &f->ev->records, s, from, to) || told_in(f, &f->ev->watched, s, from, to)))
            return true;
    return false;
}
