/* facts: the order of the steps, snapshots and small questions about facts; see facts.h. */
#include "correlate/corr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

int corr_in_stage(const struct facts *f, size_t stream) {
    const struct ev_stream *s = &f->ev->streams[stream];
    size_t n = strlen(s->cluster);
    return strncmp(f->stage, s->cluster, n) == 0 && f->stage[n] == '/' &&
           strcmp(f->stage + n + 1, s->namespace_name) == 0;
}

bool facts_has_stream(const struct facts *f, size_t stream) {
    return corr_in_stage(f, stream) != 0;
}

char *facts_ref(const struct evidence *ev, struct fact_ref ref, char *out) {
    const struct ev_stream *s = &ev->streams[ref.stream];
    return wire_ref(s->cluster, s->namespace_name, s->node, s->boot, ref.seq, out);
}

const char *fact_reading_name(enum fact_reading r) {
    static const char *const names[] = {"completed",  "interrupted",  "dropped",
                                        "unresolved", "unattributed", "excluded"};
    return names[r];
}

/* Of several nodes with a doubt the first is named. */
static void take_stream(struct facts *f, const struct ev_stream *s) {
    f->n_streams++;
    f->conflicts += s->conflicts;
    if (s->conflicts && !f->conflict_node)
        f->conflict_node = s->node;
    if (s->doubts & 1u << EV_DOUBT_TWO_AGENTS && !f->twin_node)
        f->twin_node = s->node;
    if (s->doubts & 1u << EV_DOUBT_TWO_STAGES && !f->clone_node)
        f->clone_node = s->node;
}

static void read_stage(struct facts *f, const struct rubric *rubric, const json_t *stage) {
    (void)snprintf(f->stage, sizeof f->stage, "%s", js_str(stage, "stage", ""));
    f->gateway = js_str(stage, "gateway", NULL);
    f->release = js_str(stage, "release", NULL);
    f->expected_agents = (unsigned)js_int(stage, "agents", 1);
    f->longest_call_ns = rubric->rules.longest_call_ns;
    f->keep_alive_ns = rubric->rules.keep_alive_ns;
    for (size_t i = 0; i < f->ev->n_streams; i++) {
        if (!corr_in_stage(f, i))
            continue;
        take_stream(f, &f->ev->streams[i]);
    }
}

int facts_build(const struct evidence *ev, const struct rubric *rubric, const json_t *stage,
                struct facts *ret, struct err *e) {
    struct facts f = {.ev = ev};
    read_stage(&f, rubric, stage);
    int r = corr_phases(&f, e);
    if (r == 0)
        r = corr_revisions(&f, e);
    if (r == 0)
        r = corr_signs(&f, rubric, e);
    if (r == 0)
        r = corr_pods(&f, rubric, e);
    if (r == 0)
        r = corr_changes(&f, rubric, e);
    if (r < 0) {
        facts_free(&f);
        return r;
    }
    *ret = f;
    return 0;
}

void facts_free(struct facts *f) {
    if (!f)
        return;
    for (size_t i = 0; i < f->n_revisions; i++)
        json_decref((json_t *)f->revisions[i].normal);
    for (size_t i = 0; i < f->n_changes; i++) {
        struct fact_change *c = &f->changes[i];
        free(c->signs);
        free(c->added);
        free(c->removed);
        free(c->passing);
        free(c->switches);
        free(c->lost);
        free(c->unwitnessed);
    }
    json_decref(f->texts);
    free(f->phases);
    free(f->revisions);
    free(f->signs);
    free(f->changes);
    free(f->unreadable);
    free(f->pods);
    free(f->scales);
    free(f->missing);
    *f = (struct facts){0};
}

void corr_free(struct corr *c) {
    if (!c)
        return;
    for (size_t i = 0; i < c->n_stages; i++)
        facts_free(&c->stages[i]);
    free(c->stages);
    rubric_free(&c->rubric);
    ev_free(&c->ev);
    *c = (struct corr){0};
}

/* ---- snapshots */

struct found {
    const Pilotgate__Object *o;
    struct fact_ref ref;
    int64_t t;
};

static int by_name(const void *a, const void *b) {
    const struct found *x = a;
    const struct found *y = b;
    int c = strcmp(x->o->kind, y->o->kind);
    if (c == 0)
        c = strcmp(x->o->name, y->o->name);
    if (c == 0)
        c = x->t < y->t ? -1 : x->t > y->t;
    if (c == 0)
        c = x->ref.stream < y->ref.stream ? -1 : x->ref.stream > y->ref.stream;
    if (c == 0)
        c = x->ref.seq < y->ref.seq ? -1 : x->ref.seq > y->ref.seq;
    return c;
}

static int same_object(const struct found *a, const struct found *b) {
    return strcmp(a->o->kind, b->o->kind) == 0 && strcmp(a->o->name, b->o->name) == 0;
}

/* Several agents tell of one state; whoever is late repeats a resource version that is already past. */
static int repeats_version(const struct found *group, const struct found *item) {
    for (const struct found *g = group; g < item; g++)
        if (*item->o->resource_version && strcmp(g->o->resource_version, item->o->resource_version) == 0 &&
            g->o->op != PILOTGATE__OBJECT__OP__OP_DELETED)
            return item->o->op != PILOTGATE__OBJECT__OP__OP_DELETED;
    return 0;
}

/* The version that is the newest one already, told by an agent that knows a newer normal form. */
static int in_newer_form(const struct found *newest, const struct found *item) {
    return item->o->norm > newest->o->norm && item->o->op != PILOTGATE__OBJECT__OP__OP_DELETED &&
           strcmp(item->o->uid, newest->o->uid) == 0 &&
           strcmp(item->o->resource_version, newest->o->resource_version) == 0;
}

/* The newest state in a group of records of one object, ascending in time. */
static const struct found *newest_state(const struct found *group, const struct found *end) {
    const struct found *newest = group;
    for (const struct found *g = group + 1; g < end; g++)
        if (!repeats_version(group, g) || in_newer_form(newest, g))
            newest = g;
    return newest;
}

int corr_tells_state(const Pilotgate__Object *o) {
    return o->op == PILOTGATE__OBJECT__OP__OP_LISTED || o->op == PILOTGATE__OBJECT__OP__OP_ADDED ||
           o->op == PILOTGATE__OBJECT__OP__OP_MODIFIED || o->op == PILOTGATE__OBJECT__OP__OP_DELETED;
}

static int collect_states(const struct facts *f, int64_t t, struct found **ret, size_t *ret_n) {
    struct found *all = NULL;
    size_t n = 0;
    size_t cap = 0;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT || !corr_in_stage(f, r->stream) ||
            !corr_tells_state(r->r->object) || r->r->object->own || corr_is_product(r->r->object))
            continue;
        int64_t lo;
        int64_t hi;
        corr_interval(f->ev, r->stream, r->r->object->t_wall_ns, 0, &lo, &hi);
        if (hi > t)
            continue;
        struct found *slot = CORR_PUSH(all, n, cap);
        if (!slot) {
            free(all);
            return -ENOMEM;
        }
        *slot = (struct found){r->r->object, {r->stream, r->seq}, hi};
        n++;
    }
    *ret = all;
    *ret_n = n;
    return 0;
}

int facts_snapshot(const struct facts *f, int64_t t, facts_object_fn *fn, void *ctx, struct err *e) {
    struct found *all;
    size_t n;
    if (collect_states(f, t, &all, &n) < 0)
        return err_oom(e);
    if (n)
        qsort(all, n, sizeof *all, by_name);
    int r = 0;
    for (size_t i = 0, j; i < n && r == 0; i = j) {
        for (j = i + 1; j < n && same_object(&all[i], &all[j]); j++) {
        }
        const struct found *state = newest_state(&all[i], &all[j]);
        if (state->o->op != PILOTGATE__OBJECT__OP__OP_DELETED)
            r = fn(ctx, state->o, state->ref);
    }
    free(all);
    return r;
}
