/* rollback: it completes cleanly, and the prior configuration is restored.
 *
 *   revision N active ... | change away from N ... | rollback R          | settled
 *              baseline ──┘           before ──────┘            after ───┘
 *
 * Restored means three comparisons of `after` with `baseline`: the rendered manifest, the live objects in
 * normal form, the product's configuration and tool catalogue. `before` must differ from `baseline`, or
 * nothing was rolled back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

struct rollback {
    const struct corr *c;
    const struct facts *f;
    const struct fact_revision *from, *to, *now; /* state before, target, the rollback itself */
    const struct fact_change *change;
};

/* ---- which revisions are rollbacks */

static int same_content(const struct fact_revision *a, const struct fact_revision *b) {
    return strcmp(a->release, b->release) == 0 && *a->manifest_digest &&
           strcmp(a->manifest_digest, b->manifest_digest) == 0;
}

static const struct fact_revision *previous(const struct facts *f, const struct fact_revision *v) {
    for (const struct fact_revision *p = v; p-- > f->revisions;)
        if (strcmp(p->release, v->release) == 0)
            return p;
    return NULL;
}

/* The revision that this one says, or shows by its content, that it goes back to; NULL: none. */
static const struct fact_revision *target_of(const struct facts *f, const struct fact_revision *v) {
    int number = 0;
    int named = sscanf(v->description, "Rollback to %d", &number) == 1;
    const struct fact_revision *prev = previous(f, v);
    for (const struct fact_revision *p = v; p-- > f->revisions;) {
        if (strcmp(p->release, v->release) != 0)
            continue;
        if (named ? p->revision == number : p != prev && prev && same_content(p, v) && !same_content(prev, v))
            return p;
    }
    return NULL;
}

static const struct fact_change *change_of(const struct facts *f, const struct fact_revision *v) {
    for (size_t i = 0; i < f->n_changes; i++)
        if (f->changes[i].revision == (size_t)(v - f->revisions) + 1)
            return &f->changes[i];
    return NULL;
}

/* The last settled moment while the target was active: just before the next change began. */
static int64_t baseline_time(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_changes; i++) {
        const struct fact_change *c = &r->f->changes[i];
        if (c->revision && &r->f->revisions[c->revision - 1] > r->to && gate_change_qualifies(r->f, c))
            return c->begin_lo;
    }
    return 0;
}

/* When what the rollback left is read: at its window's end, or just before the next change when that comes
 * earlier; 0 when the next change began before the rollback's last sign, and no such moment exists. */
static int64_t after_time(const struct rollback *r) {
    const struct fact_change *last = r->f->changes + r->f->n_changes;
    const struct fact_change *next = r->change + 1;
    if (next == last || next->begin_lo >= r->change->window_to)
        return r->change->window_to;
    return next->begin_lo >= r->change->last_hi ? next->begin_lo : 0;
}

/* ---- snapshots as JSON: {"Deployment/gateway": "digest"} */

struct snapshot {
    json_t *objects, *product;
    const char *release;
};

static int take(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct snapshot *s = ctx;
    char key[2 * WIRE_NAME_MAX + 2];
    (void)ref;
    (void)snprintf(key, sizeof key, "%s/%s", o->kind, o->name);
    int product = strcmp(o->kind, "ToolCatalogue") == 0 || strcmp(o->kind, "ProductConfiguration") == 0;
    if (!product && strcmp(o->release, s->release) != 0)
        return 0;
    if (strcmp(o->kind, "HelmRelease") == 0)
        return 0;
    return json_object_set_new(product ? s->product : s->objects, key, json_string(o->digest));
}

static int snapshot_at(const struct rollback *r, int64_t t, struct snapshot *ret) {
    *ret = (struct snapshot){json_object(), json_object(), r->now->release};
    return ret->objects && ret->product ? facts_snapshot(r->f, t, take, ret, NULL) : -ENOMEM;
}

static void free_snapshot(struct snapshot *s) {
    json_decref(s->objects);
    json_decref(s->product);
}

/* [{"object","baseline","after","equal"}] over both; *ret_differ counts. */
static json_t *compare(const json_t *baseline, const json_t *after, size_t *ret_differ) {
    json_t *list = json_array();
    const char *key;
    json_t *v;
    *ret_differ = 0;
    json_object_foreach((json_t *)baseline, key, v) {
        const char *now = json_string_value(json_object_get(after, key));
        int equal = now && strcmp(now, json_string_value(v)) == 0;
        *ret_differ += !equal;
        (void)json_array_append_new(list, json_pack("{s:s, s:O, s:s, s:b}", "object", key, "baseline", v,
                                                    "after", now ? now : "", "equal", equal));
    }
    json_object_foreach((json_t *)after, key, v) {
        if (json_object_get(baseline, key))
            continue;
        ++*ret_differ;
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:O, s:b}", "object", key, "baseline", "", "after", v, "equal", 0));
    }
    return list;
}

static const char *first_difference(const json_t *list) {
    size_t i;
    json_t *o;
    json_array_foreach((json_t *)list, i, o) {
        if (!js_bool(o, "equal", true))
            return js_str(o, "object", "");
    }
    return "";
}

/* ---- clean */

static const struct fact_phase *crashed(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED && p->lo >= r->now->created_lo &&
            p->lo <= r->change->window_to)
            return p;
    }
    return NULL;
}

/* A workload whose last word inside the window was that it is not available. */
static const struct fact_phase *unavailable(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if (p->kind != PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE || p->lo > r->change->window_to)
            continue;
        int back = 0;
        for (size_t j = 0; j < r->f->n_phases; j++)
            back |= r->f->phases[j].kind == PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE &&
                    strcmp(r->f->phases[j].p->subject, p->p->subject) == 0 && r->f->phases[j].hi >= p->lo &&
                    r->f->phases[j].lo <= r->change->window_to;
        if (!back)
            return p;
    }
    return NULL;
}

/* True when a verdict was given: the rollback did not end cleanly, or not yet. */
static int not_clean(json_t *o, const struct rollback *r) {
    int64_t limit = r->c->rubric.rules.rollback_limit_ns;
    char a[WHEN_TEXT_MAX];
    const struct fact_phase *p;
    if (strcmp(r->now->status, "failed") == 0)
        gate_decide(o, GATE_FAIL, "Helm says that the rollback failed: %s", r->now->description);
    else if (!r->now->deployed_hi && r->c->at_ns - r->now->created_lo <= limit)
        gate_decide(o, GATE_PENDING, "the rollback has not completed yet");
    else if (!r->now->deployed_hi || r->now->deployed_lo - r->now->created_hi > limit)
        gate_decide(o, GATE_FAIL, "not deployed within %s", when_format_duration(limit, a));
    else if (r->change->dropped + r->change->interrupted)
        gate_decide(o, GATE_FAIL, "%llu calls dropped and %llu interrupted by the rollback",
                    (unsigned long long)r->change->dropped, (unsigned long long)r->change->interrupted);
    else if ((p = crashed(r)) != NULL)
        gate_decide(o, GATE_FAIL, "%s failed after the rollback: %s", p->p->subject, p->p->reason);
    else if (r->c->at_ns < r->change->window_to)
        gate_decide(o, GATE_PENDING, "not settled: the window closes at %s",
                    when_format(r->change->window_to, 0, a));
    else if ((p = unavailable(r)) != NULL)
        gate_decide(o, GATE_FAIL, "%s is not available after the rollback", p->p->subject);
    else if (r->change->n_unwitnessed || r->change->unresolved || r->change->losses ||
             r->change->unattributed || r->change->unknown_outcomes)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the calls of its window were not all witnessed: `pilotgate changes %s`", r->change->id);
    else
        return 0;
    return 1;
}

/* ---- restored */

static void judge_restored(json_t *o, const struct rollback *r, const struct snapshot *base,
                           const struct snapshot *before, const struct snapshot *after) {
    size_t objects;
    size_t product;
    size_t moved_objects;
    size_t moved_product;
    json_t *a = compare(base->objects, after->objects, &objects);
    json_t *b = compare(base->product, after->product, &product);
    json_decref(compare(base->objects, before->objects, &moved_objects));
    json_decref(compare(base->product, before->product, &moved_product));
    if (!same_content(r->to, r->now))
        gate_decide(o, GATE_FAIL, "the rendered manifest of revision %d is not that of revision %d",
                    r->now->revision, r->to->revision);
    else if (objects)
        gate_decide(o, GATE_FAIL, "%zu live objects differ from the state under revision %d, first %s",
                    objects, r->to->revision, first_difference(a));
    else if (!r->f->configuration_seen || json_object_size(base->product) == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the product's own configuration was not read: name it under `documents` in the agent's "
                    "configuration");
    else if (product)
        gate_decide(o, GATE_FAIL, "%zu of the product's configurations and catalogues differ, first %s",
                    product, first_difference(b));
    else if (moved_objects + moved_product == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "nothing was rolled back: the state before it equals the state under revision %d",
                    r->to->revision);
    else
        gate_decide(
            o, GATE_PASS,
            "revision %d restored revision %d: manifest, %zu live objects and %zu product configurations "
            "have equal digests",
            r->now->revision, r->to->revision, json_object_size(base->objects),
            json_object_size(base->product));
    (void)json_object_set_new(o, "objects", a);
    (void)json_object_set_new(o, "product", b);
    (void)json_object_set_new(o, "differed_before",
                              json_integer((json_int_t)(moved_objects + moved_product)));
}

static json_t *judge_one(const struct rollback *r) {
    json_t *o = json_pack("{s:s, s:s, s:[], s:i, s:i, s:s, s:s, s:s}", "verdict", "", "reason", "",
                          "evidence", "revision", r->now->revision, "target", r->to->revision,
                          "manifest_baseline", r->to->manifest_digest, "manifest_after",
                          r->now->manifest_digest, "description", r->now->description);
    if (!o)
        return NULL;
    gate_cite(o, r->f, r->now->ref);
    gate_cite(o, r->f, r->to->ref);
    gate_set_time(o, "created", r->now->created_lo);
    if (r->now->deployed_hi) {
        gate_set_time(o, "deployed", r->now->deployed_hi);
        gate_set_seconds(o, "seconds", r->now->deployed_hi - r->now->created_lo);
    }
    int64_t base_at = baseline_time(r);
    if (!r->change || !r->now->live || !base_at) {
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the rollback happened while nobody watched: roll back again under `pilotgate drill`");
        return o;
    }
    if (not_clean(o, r))
        return o;
    int64_t after_at = after_time(r);
    if (!after_at) {
        gate_decide(o, GATE_INCONCLUSIVE,
                    "another change began before the rollback had settled: roll back again");
        return o;
    }
    struct snapshot base;
    struct snapshot before;
    struct snapshot after;
    int failed = snapshot_at(r, base_at, &base) | snapshot_at(r, r->change->begin_lo, &before) |
                 snapshot_at(r, after_at, &after);
    gate_set_time(o, "baseline_at", base_at);
    if (failed)
        gate_decide(o, GATE_INCONCLUSIVE, "out of memory while the states were compared");
    else
        judge_restored(o, r, &base, &before, &after);
    free_snapshot(&base);
    free_snapshot(&before);
    free_snapshot(&after);
    return o;
}

/* The stage's verdict is that of the newest rollback, unless one failed. */
static void sum_up(json_t *o, const json_t *list) {
    const json_t *chosen = NULL;
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (!chosen || gate_verdict_of(chosen) != GATE_FAIL)
            chosen = v;
    }
    if (!chosen) {
        gate_decide(o, GATE_PENDING, "no rollback was witnessed yet: `pilotgate drill rollback` makes one");
        return;
    }
    gate_decide(o, gate_verdict_of(chosen), "%s", js_str(chosen, "reason", ""));
    (void)json_object_set(o, "evidence", json_object_get(chosen, "evidence"));
    json_t *m = json_object_get(o, "measured");
    (void)json_object_set_new(m, "rollbacks", json_integer((json_int_t)json_array_size(list)));
    if (json_object_get(chosen, "seconds"))
        (void)json_object_set(m, "seconds", json_object_get(chosen, "seconds"));
}

json_t *gate_rollback(const struct corr *c, const struct facts *f) {
    json_t *o = gate_unjudgeable(f, 1);
    if (o)
        return o;
    o = gate_stage(f, GATE_PENDING, "%s", "");
    json_t *list = json_array();
    for (size_t i = 0; o && list && i < f->n_revisions; i++) {
        const struct fact_revision *to = target_of(f, &f->revisions[i]);
        if (!to)
            continue;
        struct rollback r = {.c = c,
                             .f = f,
                             .from = previous(f, &f->revisions[i]),
                             .to = to,
                             .now = &f->revisions[i],
                             .change = change_of(f, &f->revisions[i])};
        (void)json_array_append_new(list, judge_one(&r));
    }
    if (o) {
        sum_up(o, list);
        (void)json_object_set(o, "rollbacks", list);
    }
    json_decref(list);
    return o;
}
