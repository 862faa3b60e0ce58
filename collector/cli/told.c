/* told: see told.h. */
#include "cli/told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/cover.h"

#define SAMPLES_MAX 255               /* of which the median is taken */
#define CLOCKS_APART_NS (60 * WHEN_S) /* between an agent and us */

struct load {
    int64_t stream, wall_ns;
    struct plan_load l;
    uint64_t reused, fresh;
    uint32_t ms[SAMPLES_MAX]; /* durations of completed calls */
    size_t n_ms;
    uint64_t seen;
};

struct telling {
    struct load *loads;
    size_t n, cap;
    int64_t newest_ns;
    struct err *e;
};

/* ---- coverage */

static struct load *find(struct telling *t, int64_t stream, const char *probe, const char *path) {
    for (size_t i = t->n; i-- > 0;) /* the stream that is read now came last */
        if (t->loads[i].stream == stream && strcmp(t->loads[i].l.probe, probe) == 0 &&
            strcmp(t->loads[i].l.path, path) == 0)
            return &t->loads[i];
    return NULL;
}

static struct load *add(struct telling *t, int64_t stream, const char *probe, const char *path) {
    if (t->n == TOLD_MAX) {
        (void)err_set(t->e, -E2BIG, "more than %d probes and paths in one stage: restart fewer agents",
                      TOLD_MAX);
        return NULL;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        struct load *more = realloc(t->loads, cap * sizeof *more);
        if (!more) {
            (void)err_oom(t->e);
            return NULL;
        }
        t->loads = more;
        t->cap = cap;
    }
    struct load *x = &t->loads[t->n];
    memset(x, 0, sizeof *x);
    x->stream = stream;
    x->l.probe = strdup(probe);
    x->l.path = strdup(path);
    t->n++; /* owned from here on */
    return x->l.probe && x->l.path ? x : (err_oom(t->e), NULL);
}

static void take_probe(struct load *x, const Pilotgate__Coverage__Probe *p, int64_t wall_ns) {
    x->wall_ns = wall_ns;
    x->l.control = p->control;
    x->l.in_flight = p->in_flight;
    x->l.drill_in_flight = p->drill_in_flight;
    x->l.interval_us = p->interval_us;
    if (!p->in_flight &&
        !p->interval_us) /* an agent that does not tell what it is to keep open: what it does */
        x->l.in_flight = p->n_open_start_us;
}

static int take_coverage(void *ctx, const struct store_record *row, uint64_t commit) {
    struct telling *t = ctx;
    Pilotgate__Record *rec = NULL;
    (void)commit;
    int r = wire_record_unpack(row->payload, row->len, &rec, t->e);
    if (r < 0)
        return r;
    const Pilotgate__Coverage *c = rec->coverage;
    t->newest_ns = rec->wall_ns > t->newest_ns ? rec->wall_ns : t->newest_ns;
    for (size_t i = 0; i < c->n_probes && r == 0; i++) {
        struct load *x = find(t, row->stream, c->probes[i]->name, c->probes[i]->path);
        if (!x)
            x = add(t, row->stream, c->probes[i]->name, c->probes[i]->path);
        if (!x)
            r = -ENOMEM;
        else
            take_probe(x, c->probes[i], c->bye ? 0 : rec->wall_ns); /* who said bye tells no more */
    }
    wire_record_free(&rec);
    return r;
}

/* ---- calls */

static void take_call(struct load *x, const Pilotgate__CallBlock *b, size_t i) {
    bool reused = b->flags[i] & PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED;
    x->reused += reused;
    x->fresh += !reused;
    x->l.control |= (b->flags[i] & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) != 0;
    if (b->outcome[i] != PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
        return;
    uint64_t ms = b->duration_us[i] / 1000;
    x->ms[x->seen++ % SAMPLES_MAX] = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    x->n_ms += x->n_ms < SAMPLES_MAX;
}

static int take_block(void *ctx, const struct store_record *row, uint64_t commit) {
    struct telling *t = ctx;
    struct load *of[WIRE_BLOCK_PROBES_MAX] = {NULL};
    Pilotgate__Record *rec = NULL;
    (void)commit;
    int r = wire_record_unpack(row->payload, row->len, &rec, t->e);
    if (r < 0)
        return r;
    const Pilotgate__CallBlock *b = rec->calls;
    for (size_t i = 0; i < b->n_probes && i < WIRE_BLOCK_PROBES_MAX; i++)
        of[i] = find(t, row->stream, b->probes[i], i < b->n_paths ? b->paths[i] : "");
    for (size_t i = 0; i < b->n_number_delta; i++)
        if (b->probe[i] < WIRE_BLOCK_PROBES_MAX && of[b->probe[i]])
            take_call(of[b->probe[i]], b, i);
    wire_record_free(&rec);
    return 0;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void conclude(struct load *x) {
    if (x->n_ms) {
        qsort(x->ms, x->n_ms, sizeof *x->ms, by_value);
        x->l.call_ns = x->ms[x->n_ms / 2] * WHEN_MS;
        x->l.call_ns += x->l.call_ns == 0 ? WHEN_MS : 0; /* known, and short */
    }
    uint64_t all = x->reused + x->fresh;
    if (3 * x->reused > 2 * all)
        x->l.kind = PLAN_KIND_REUSED;
    else if (3 * x->fresh > 2 * all)
        x->l.kind = PLAN_KIND_NEW; /* else they take turns */
}

/* ---- both */

struct naming {
    struct telling *t;
    int failed;
};

static int take_node(void *ctx, const struct store_stream_row *row) {
    struct naming *n = ctx;
    for (size_t i = 0; i < n->t->n; i++)
        if (n->t->loads[i].stream == row->id && !(n->t->loads[i].l.node = strdup(row->node)))
            n->failed = -ENOMEM;
    return n->failed;
}

static void free_load(struct plan_load *l) {
    free((char *)l->node);
    free((char *)l->probe);
    free((char *)l->path);
}

/* Of the streams that live. */
static int hand_over(struct telling *t, struct told *ret) {
    struct plan_load *loads = calloc(t->n + 1, sizeof *loads);
    size_t n = 0;
    if (!loads)
        return err_oom(t->e);
    for (size_t i = 0; i < t->n; i++) {
        conclude(&t->loads[i]);
        if (t->loads[i].l.node && t->newest_ns - t->loads[i].wall_ns <= COVER_STALE_S * WHEN_S)
            loads[n++] = t->loads[i].l;
        else
            free_load(&t->loads[i].l);
        t->loads[i].l = (struct plan_load){0};
    }
    *ret = (struct told){loads, n};
    return 0;
}

int told_read(struct store *s, const char *cluster, const char *ns, int64_t now_ns, struct told *ret,
              struct err *e) {
    struct telling t = {.e = e};
    struct naming naming = {&t, 0};
    struct store_query q = {.cluster = cluster,
                            .namespace_name = ns,
                            .families = 1u << WIRE_FAMILY_COVERAGE,
                            .from_ns = now_ns - TOLD_RECENT_S * WHEN_S,
                            .to_ns = now_ns + CLOCKS_APART_NS};
    int r = store_records(s, &q, take_coverage, &t, e);
    q.families = 1u << WIRE_FAMILY_CALLS;
    if (r == 0 && t.n)
        r = store_records(s, &q, take_block, &t, e);
    if (r == 0 && t.n)
        r = store_streams(s, take_node, &naming, e);
    if (naming.failed)
        r = err_oom(e);
    if (r == 0)
        r = hand_over(&t, ret);
    for (size_t i = 0; i < t.n; i++)
        free_load(&t.loads[i].l);
    free(t.loads);
    return r;
}

void told_free(struct told *t) {
    for (size_t i = 0; i < t->n; i++)
        free_load(&t->loads[i]);
    free(t->loads);
    *t = (struct told){0};
}

/* ---- what a plan needs of it */

static const json_t *config_safety_of(const json_t *gates, const char *stage) {
    size_t i, k;
    json_t *g, *s;
    json_array_foreach(json_object_get(gates, "gates"), i, g) {
        if (strcmp(js_str(g, "id", ""), "config-safety") != 0)
            continue;
        json_array_foreach(json_object_get(g, "stages"), k, s) {
            if (strcmp(js_str(s, "stage", ""), stage) == 0)
                return s;
        }
    }
    return NULL;
}

static int64_t last_command_ns(const struct facts *f) {
    size_t i, k;
    json_t *d, *round;
    int64_t last = 0;
    json_array_foreach(f->ev->drills, i, d) {
        if (strcmp(js_str(d, "stage", ""), f->stage) != 0)
            continue;
        json_array_foreach(json_object_get(d, "iterations"), k, round) {
            int64_t took = js_int(round, "end_ns", 0) - js_int(round, "begin_ns", 0);
            last = took > 0 ? took : last;
        }
    }
    return last;
}

struct plan_stage told_plan_stage(const struct facts *f, const struct told *t, const json_t *gates) {
    struct plan_stage s = {
        .stage = f->stage, .loads = t->loads, .n_loads = t->n, .command_ns = last_command_ns(f)};
    const json_t *stage = config_safety_of(gates, f->stage);
    size_t i;
    json_t *c;
    s.units = (uint64_t)js_int(stage, "measured.units", 0);
    json_array_foreach(json_object_get(stage, "changes"), i, c) {
        if (json_object_get(c, "drill") && strcmp(js_str(c, "verdict", ""), "PASS") == 0)
            s.drill_units = (uint64_t)js_int(c, "measured.units", 0);
    }
    for (size_t k = 0; k < f->n_changes; k++) {
        const struct fact_change *ch = &f->changes[k];
        int64_t span = ch->has_switch ? ch->switch_hi - ch->switch_lo : 0;
        s.switch_ns = span > 0 ? span : s.switch_ns; /* the newest */
    }
    if (f->n_scales)
        s.replicas = f->scales[f->n_scales - 1].replicas;
    return s;
}

struct plan_rules told_plan_rules(const struct rubric *rubric) {
    const struct rubric_rules *r = &rubric->rules;
    return (struct plan_rules){.max_drop_rate = r->max_drop_rate,
                               .confidence = r->confidence,
                               .min_per_kind = (uint64_t)r->min_in_flight_per_kind,
                               .min_per_replica = (uint64_t)r->min_in_flight_per_replica,
                               .longest_call_ns = r->longest_call_ns,
                               .keep_alive_ns = r->keep_alive_ns};
}
