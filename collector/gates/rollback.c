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
#include <stdlib.h>
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
    static const char words[] = "Rollback to ";
    int named = strncmp(v->description, words, sizeof words - 1) == 0;
    long number = named ? strtol(v->description + sizeof words - 1, NULL, 10) : 0;
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

/* The last settled moment while the target was active: just before the next revision's change began. */
static int64_t baseline_time(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_changes; i++) {
        const struct fact_change *c = &r->f->changes[i];
        const struct fact_revision *v = c->revision ? &r->f->revisions[c->revision - 1] : NULL;
        if (v && v > r->to && strcmp(v->release, r->to->release) == 0)
            return c->begin_lo;
    }
    return 0;
}

/* The next change came before the target's own had settled: its state may not show yet at the baseline. */
static int baseline_unsettled(const struct rollback *r, int64_t base_at) {
    const struct fact_change *c = change_of(r->f, r->to);
    return c && c->window_to > base_at;
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

/* ---- snapshots as JSON: {"Deployment/gateway": "digest"}, {"ToolCatalogue/shop on node-1": "digest"} */

struct snapshot {
    const struct rollback *r;
    json_t *objects, *product;
    const char *release;
    size_t configurations; /* of the product that were read */
    int64_t read_since;    /* earlier readings count as none; 0: any counts */
    char unread[3 * WIRE_NAME_MAX + 16];
};

static int take(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct snapshot *s = ctx;
    char key[2 * WIRE_NAME_MAX + 2];
    (void)ref;
    (void)snprintf(key, sizeof key, "%s/%s", o->kind, o->name);
    if (strcmp(o->release, s->release) != 0 || strcmp(o->kind, "HelmRelease") == 0)
        return 0;
    return json_object_set_new(s->objects, key, json_string(o->digest));
}

/* Nodes that were gone by the time of the rollback say nothing about it. */
static int take_product(void *ctx, const struct fact_product *p) {
    struct snapshot *s = ctx;
    char key[sizeof s->unread];
    (void)snprintf(key, sizeof key, "%s/%s on %s", p->kind, p->name, p->node);
    if (!facts_node_alive(s->r->f, p->node, s->r->change->begin_lo, s->r->change->window_to))
        return 0;
    if (!p->digest || p->unreadable || p->read_hi < s->read_since) {
        (void)snprintf(s->unread, sizeof s->unread, "%s", key);
        return 0;
    }
    s->configurations += strcmp(p->kind, "ProductConfiguration") == 0;
    return json_object_set_new(s->product, key, json_string(p->digest));
}

static int snapshot_at(const struct rollback *r, int64_t t, int64_t read_since, struct snapshot *ret) {
    *ret = (struct snapshot){
        .r = r,
        .objects = json_object(),
        .product = json_object(),
        .release = r->now->release,
        .read_since = read_since,
    };
    if (!ret->objects || !ret->product || facts_snapshot(r->f, t, take, ret, NULL) < 0)
        return -ENOMEM;
    return facts_products(r->f, t, take_product, ret, NULL);
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

/* What fails in a pod that the rollback takes away is what it was rolled back for. */
static int goes_away(const struct rollback *r, const struct fact_phase *failed) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if ((p->kind == PILOTGATE__PHASE__KIND__KIND_POD_DELETING ||
             p->kind == PILOTGATE__PHASE__KIND__KIND_POD_GONE) &&
            p->lo <= r->change->window_to && strcmp(p->p->subject, failed->p->subject) == 0 &&
            strcmp(p->p->uid, failed->p->uid) == 0)
            return 1;
    }
    return 0;
}

static const struct fact_phase *crashed(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED && p->lo >= r->now->created_lo &&
            p->lo <= r->change->window_to && !goes_away(r, p))
            return p;
    }
    return NULL;
}

struct wanted {
    const char *subject;
    int exists;
};

static int match_subject(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct wanted *w = ctx;
    size_t n = strlen(o->kind);
    (void)ref;
    w->exists |= strncmp(w->subject, o->kind, n) == 0 && w->subject[n] == '/' &&
                 strcmp(w->subject + n + 1, o->name) == 0;
    return 0;
}

static int exists_after(const struct rollback *r, const char *subject) {
    struct wanted w = {subject, 0};
    return facts_snapshot(r->f, r->change->window_to, match_subject, &w, NULL) < 0 || w.exists;
}

static int available_again(const struct rollback *r, const struct fact_phase *down) {
    for (const struct fact_phase *p = down + 1; p < r->f->phases + r->f->n_phases; p++)
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE && p->lo <= r->change->window_to &&
            strcmp(p->p->subject, down->p->subject) == 0)
            return 1;
    return 0;
}

/* A workload that is still there and whose last word inside the window was that it is not available. */
static const struct fact_phase *unavailable(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE && p->lo <= r->change->window_to &&
            !available_again(r, p) && exists_after(r, p->p->subject))
            return p;
    }
    return NULL;
}

/* Nobody saw the end of it: its calls, or, without a watch, its release. */
static int unwitnessed(const struct rollback *r) {
    const struct fact_change *c = r->change;
    return c->n_unwitnessed || c->unresolved || c->losses || c->unattributed || c->unknown_outcomes ||
           c->clock_error_ns < 0 || c->clock_error_ns > r->c->rubric.rules.clock_error_max_ns;
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
    else if (!r->now->deployed_hi && (r->change->n_unwitnessed || strcmp(r->now->status, "superseded") == 0))
        gate_decide(o, GATE_INCONCLUSIVE, "nobody saw whether the rollback was deployed: roll back again");
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
    else if (r->change->ending_pod && !r->change->n_unwitnessed)
        gate_decide(o, GATE_PENDING, "not settled: %s was told to end and is not gone yet",
                    r->change->ending_pod);
    else if (r->change->calls_in_window == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "no call met the rollback, so nothing shows that none was dropped: `pilotgate drill "
                    "rollback` raises the load");
    else if (unwitnessed(r))
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the calls of its window were not all witnessed: `pilotgate changes %s`", r->change->id);
    else
        return 0;
    return 1;
}

/* ---- restored */

/* A kind of object that the agents may not read, so that equal snapshots of it mean nothing. */
static const struct fact_unreadable *unread_kind(const struct facts *f) {
    static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet",
                                        "Service",    "ConfigMap",   "Secret"};
    for (size_t i = 0; i < f->n_unreadable; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (strcmp(f->unreadable[i].kind, kinds[k]) == 0)
                return &f->unreadable[i];
    return NULL;
}

/* A catalogue or document that is there only afterwards: it was not asked for before. */
static const char *first_new(const json_t *base, const json_t *after) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)after, key, v) {
        if (!json_object_get(base, key))
            return key;
    }
    return NULL;
}

/* Something that must be compared was not read. True when a reason was given. */
static int not_read(json_t *o, const struct rollback *r, const struct snapshot *base,
                    const struct snapshot *after) {
    const struct fact_unreadable *u = unread_kind(r->f);
    const char *new_source = NULL;
    if (!*r->to->manifest_digest || !*r->now->manifest_digest)
        gate_decide(o, GATE_INCONCLUSIVE, "the rendered manifest of revision %d is not known",
                    *r->to->manifest_digest ? r->now->revision : r->to->revision);
    else if (u)
        gate_decide(o, GATE_INCONCLUSIVE, "objects of kind %s could not be read: %s", u->kind, u->reason);
    else if (json_object_size(base->objects) == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "no live object of release %s was read under revision %d, so there is nothing to compare",
                    r->to->release, r->to->revision);
    else if (base->configurations == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the product's own configuration was not read: name it under `documents` in the agent's "
                    "configuration");
    else if (*base->unread || (new_source = first_new(base->product, after->product)) != NULL)
        gate_decide(o, GATE_INCONCLUSIVE, "%s was not read under revision %d",
                    *base->unread ? base->unread : new_source, r->to->revision);
    else if (*after->unread)
        gate_decide(o, GATE_INCONCLUSIVE, "%s was not read after the rollback", after->unread);
    else
        return 0;
    return 1;
}

/* What the comparisons say together; each list is that of compare. */
struct comparison {
    json_t *objects, *product;
    size_t objects_differ, product_differ, moved;
};

static void judge_equal(json_t *o, const struct rollback *r, int64_t base_at, const struct snapshot *base,
                        const struct comparison *k) {
    if (!same_content(r->to, r->now))
        gate_decide(o, GATE_FAIL, "the rendered manifest of revision %d is not that of revision %d",
                    r->now->revision, r->to->revision);
    else if (k->objects_differ + k->product_differ && baseline_unsettled(r, base_at))
        gate_decide(o, GATE_INCONCLUSIVE,
                    "revision %d had not settled when the next one came, so its state is not known: repeat "
                    "with more time between",
                    r->to->revision);
    else if (k->objects_differ)
        gate_decide(o, GATE_FAIL, "%zu live objects differ from the state under revision %d, first %s",
                    k->objects_differ, r->to->revision, first_difference(k->objects));
    else if (k->product_differ)
        gate_decide(o, GATE_FAIL, "%zu of the product's configurations and catalogues differ, first %s",
                    k->product_differ, first_difference(k->product));
    else if (k->moved == 0)
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
}

static void judge_restored(json_t *o, const struct rollback *r, int64_t base_at, const struct snapshot *base,
                           const struct snapshot *before, const struct snapshot *after) {
    struct comparison k = {0};
    size_t objects;
    size_t product;
    k.objects = compare(base->objects, after->objects, &k.objects_differ);
    k.product = compare(base->product, after->product, &k.product_differ);
    json_decref(compare(base->objects, before->objects, &objects));
    json_decref(compare(base->product, before->product, &product));
    k.moved = objects + product;
    if (!not_read(o, r, base, after))
        judge_equal(o, r, base_at, base, &k);
    (void)json_object_set_new(o, "objects", k.objects);
    (void)json_object_set_new(o, "product", k.product);
    (void)json_object_set_new(o, "differed_before", json_integer((json_int_t)k.moved));
}

static void compare_states(json_t *o, const struct rollback *r, int64_t base_at, int64_t after_at) {
    struct snapshot base;
    struct snapshot before;
    struct snapshot after;
    int failed = snapshot_at(r, base_at, 0, &base) | snapshot_at(r, r->change->begin_lo, 0, &before) |
                 snapshot_at(r, after_at, r->change->begin_lo, &after);
    gate_set_time(o, "baseline_at", base_at);
    if (failed)
        gate_decide(o, GATE_INCONCLUSIVE, "out of memory while the states were compared");
    else
        judge_restored(o, r, base_at, &base, &before, &after);
    free_snapshot(&base);
    free_snapshot(&before);
    free_snapshot(&after);
}

static json_t *judge_one(const struct rollback *r) {
    json_t *o = json_pack("{s:s, s:s, s:{}, s:i, s:i, s:s, s:s, s:s}", "verdict", "", "reason", "",
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
    int64_t after_at = r->change ? after_time(r) : 0;
    if (!r->change || !r->now->live || !base_at)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the rollback happened while nobody watched: roll back again under `pilotgate drill`");
    else if (not_clean(o, r))
        return o;
    else if (!after_at)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "another change began before the rollback had settled: roll back again");
    else
        compare_states(o, r, base_at, after_at);
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
        json_t *one = judge_one(&r);
        if (one)
            gate_seal(one);
        else /* one that is left out might be the one that fails */
            one = json_pack("{s:s, s:s}", "verdict", "INCONCLUSIVE", "reason", "out of memory");
        (void)json_array_append_new(list, one);
    }
    if (o) {
        sum_up(o, list);
        (void)json_object_set(o, "rollbacks", list);
    }
    json_decref(list);
    return o;
}
