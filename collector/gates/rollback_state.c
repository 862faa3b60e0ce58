/* rollback_state: is the prior configuration restored? The rendered manifest, the live objects, and the
 * product's configuration with its catalogues, each against the last settled state under the target revision.
 */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/rollback_priv.h"

struct judging {
    const struct rollback *r;
    json_t *o;
    int64_t base_at;
    struct rollback_state base, before, after;
    struct rollback_compared objects, product; /* the state after the rollback against the baseline */
    size_t moved;                              /* the state before the rollback against the baseline */
    json_t *manifest;                          /* of rollback_manifest, or NULL */
};

/* ---- was all of it read? */

static bool has_kind(const struct rollback_list *l, const char *kind) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].o->kind, kind) == 0)
            return true;
    return false;
}

/* A kind of object that the agents may not read, or no longer, so that equal snapshots of it mean nothing.
 * What they never read is not compared at all. */
static const struct fact_unreadable *unread_kind(const struct judging *j) {
    static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet",
                                        "Service",    "ConfigMap",   "Secret"};
    for (size_t i = 0; i < j->r->f->n_unreadable; i++) {
        const struct fact_unreadable *u = &j->r->f->unreadable[i];
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (strcmp(u->kind, kinds[k]) == 0)
                return u;
        if (has_kind(&j->base.objects, u->kind))
            return u;
    }
    return NULL;
}

/* A catalogue or document that is there only afterwards: it was not asked for before. */
static const char *first_new(const struct rollback_list *base, const struct rollback_list *after) {
    for (size_t i = 0; i < after->n; i++)
        if (!rollback_find(base, after->items[i].key))
            return after->items[i].key;
    return NULL;
}

/* Something that must be compared was not read. True when a reason was given. */
static bool not_read(const struct judging *j) {
    const struct rollback *r = j->r;
    const struct fact_unreadable *u = unread_kind(j);
    const char *new_source = NULL;
    if (!*r->to->manifest_digest || !*r->now->manifest_digest)
        gate_decide(j->o, GATE_INCONCLUSIVE, "the rendered manifest of revision %d is not known",
                    *r->to->manifest_digest ? r->now->revision : r->to->revision);
    else if (u)
        gate_decide(j->o, GATE_INCONCLUSIVE, "objects of kind %s could not be read: %s", u->kind, u->reason);
    else if (j->base.objects.n == 0)
        gate_decide(j->o, GATE_INCONCLUSIVE,
                    "no live object of release %s was read under revision %d, so there is nothing to compare",
                    r->to->release, r->to->revision);
    else if (j->base.configurations == 0)
        gate_decide(j->o, GATE_INCONCLUSIVE,
                    "the product's own configuration was not read: name it under `documents` in the agent's "
                    "configuration");
    else if (*j->base.unread || (new_source = first_new(&j->base.product, &j->after.product)) != NULL)
        gate_decide(j->o, GATE_INCONCLUSIVE, "%s was not read under revision %d",
                    *j->base.unread ? j->base.unread : new_source, r->to->revision);
    else if (*j->after.unread)
        gate_decide(j->o, GATE_INCONCLUSIVE, "%s was not read after the rollback", j->after.unread);
    else
        return false;
    return true;
}

/* ---- do they equal? */

/* A change of the target's own time had not settled at the baseline: its state may not show yet there. */
static bool baseline_unsettled(const struct judging *j) {
    const struct fact_change *own = rollback_change_of(j->r->f, j->r->to);
    for (const struct fact_change *c = own; c && c < j->r->change && c->begin_lo < j->base_at; c++)
        if (c->window_to > j->base_at)
            return true;
    return false;
}

static void objects_differ(const struct judging *j) {
    const size_t *n = j->objects.count;
    char left[64] = "";
    char gone[64] = "";
    if (n[ROLLBACK_LEFTOVER])
        (void)snprintf(left, sizeof left, ", %zu of them left over", n[ROLLBACK_LEFTOVER]);
    if (n[ROLLBACK_MISSING])
        (void)snprintf(gone, sizeof gone, ", %zu of them missing", n[ROLLBACK_MISSING]);
    gate_decide(j->o, GATE_FAIL, "%zu live objects differ from the state under revision %d%s%s, first %s",
                rollback_wrong(&j->objects), j->r->to->revision, left, gone, j->objects.first);
}

static bool judge_unequal(const struct judging *j) {
    const struct rollback *r = j->r;
    size_t wrong = rollback_wrong(&j->objects) + rollback_wrong(&j->product);
    if (!rollback_same_content(r->to, r->now) && !r->by_inputs)
        gate_decide(j->o, GATE_FAIL, "the rendered manifest of revision %d is not that of revision %d",
                    r->now->revision, r->to->revision);
    else if (wrong && baseline_unsettled(j))
        gate_decide(j->o, GATE_INCONCLUSIVE,
                    "revision %d had not settled when the next one came, so its state is not known: repeat "
                    "with more time between",
                    r->to->revision);
    else if (rollback_wrong(&j->objects))
        objects_differ(j);
    else if (wrong)
        gate_decide(j->o, GATE_FAIL, "%zu of the product's configurations and catalogues differ, first %s",
                    wrong, j->product.first);
    else if (j->objects.count[ROLLBACK_UNKNOWN] + j->product.count[ROLLBACK_UNKNOWN])
        gate_decide(j->o, GATE_INCONCLUSIVE,
                    "the agents were upgraded between, and their normal forms do not compare: upgrade the "
                    "collector, or roll back again");
    else if (j->moved == 0)
        gate_decide(j->o, GATE_INCONCLUSIVE,
                    "nothing was rolled back: the state before it equals the state under revision %d",
                    r->to->revision);
    else
        return false;
    return true;
}

static void judge_equal(const struct judging *j) {
    const struct rollback *r = j->r;
    size_t again = j->objects.count[ROLLBACK_REGENERATED];
    size_t tolerated = j->objects.count[ROLLBACK_TOLERATED];
    char besides[ERR_TEXT_MAX / 2] = "";
    size_t n = 0;
    if (judge_unequal(j))
        return;
    if (again && r->change->completed_after == 0) {
        gate_decide(j->o, GATE_INCONCLUSIVE,
                    "%zu objects hold regenerated random material, and no call that began after the rollback "
                    "shows that it works: roll back again under `pilotgate drill rollback`",
                    again);
        return;
    }
    if (again)
        n = (size_t)snprintf(
            besides, sizeof besides,
            "; %zu hold random material that was regenerated, and %llu calls succeeded after it", again,
            (unsigned long long)r->change->completed_after);
    if (tolerated)
        (void)snprintf(besides + n, sizeof besides - n, "; %zu differ as the rubric lets them", tolerated);
    gate_decide(
        j->o, GATE_PASS,
        "revision %d restored revision %d: %s%zu live objects and %zu product configurations have equal "
        "digests%s",
        r->now->revision, r->to->revision, r->by_inputs ? "chart, values, " : "manifest, ",
        j->objects.count[ROLLBACK_EQUAL], j->product.count[ROLLBACK_EQUAL], besides);
}

/* ---- what is shown besides */

static json_t *counts_json(const struct judging *j) {
    json_t *m = json_object();
    for (int w = 0; w < ROLLBACK_WHATS; w++) {
        char key[48];
        size_t n = j->objects.count[w] + j->product.count[w];
        (void)snprintf(key, sizeof key, "%s", rollback_what_name((enum rollback_what)w));
        for (char *p = key; *p; p++)
            *p = *p == ' ' ? '_' : *p;
        (void)json_object_set_new(m, key, json_integer((json_int_t)n));
    }
    (void)json_object_set_new(m, "completed_after", json_integer((json_int_t)j->r->change->completed_after));
    return m;
}

/* A hook that ran between target and rollback may have changed what no manifest holds. */
static void add_hooks(json_t *list, const struct rollback *r, int64_t from) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if (p->kind != PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED || p->lo < from ||
            p->lo > r->change->window_to)
            continue;
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s+}", "what", p->p->subject, "reason",
                                              "a hook that ran since the target was active: ", p->p->reason));
    }
}

static json_t *not_restored(const struct judging *j) {
    json_t *list = json_deep_copy(js_at(j->r->c->rubric.doc, "not_restored"));
    size_t i;
    json_t *x;
    if (!list)
        list = json_array();
    json_array_foreach(js_at(j->r->now->normal, "objects"), i, x) {
        if (strcmp(js_str(x, "kind", ""), "CustomResourceDefinition") == 0)
            (void)json_array_append_new(list, json_pack("{s:s+, s:s}", "what", "CustomResourceDefinition/",
                                                        js_str(x, "name", ""), "reason",
                                                        "rendered by the chart; its custom resources stay"));
    }
    add_hooks(list, j->r, j->base_at);
    return list;
}

/* The names of those that are so: what scripts ask for first. */
static json_t *names_of(const struct judging *j, enum rollback_what what) {
    json_t *names = json_array();
    size_t i;
    json_t *x;
    json_array_foreach(j->objects.list, i, x) {
        if (strcmp(js_str(x, "what", ""), rollback_what_name(what)) == 0)
            (void)json_array_append(names, json_object_get(x, "object"));
    }
    return names;
}

static void show(struct judging *j) {
    (void)json_object_set_new(j->o, "leftover", names_of(j, ROLLBACK_LEFTOVER));
    (void)json_object_set_new(j->o, "missing", names_of(j, ROLLBACK_MISSING));
    (void)json_object_set_new(j->o, "different", names_of(j, ROLLBACK_DIFFERENT));
    (void)json_object_set(j->o, "objects", j->objects.list);
    (void)json_object_set(j->o, "product", j->product.list);
    (void)json_object_set(j->o, "not_compared", j->objects.unwatched);
    if (j->manifest)
        (void)json_object_set(j->o, "manifest", j->manifest);
    (void)json_object_set_new(j->o, "differed_before", json_integer((json_int_t)j->moved));
    (void)json_object_set_new(j->o, "measured", counts_json(j));
    (void)json_object_set_new(j->o, "not_restored", not_restored(j));
}

/* ---- the whole */

static void free_compared(struct rollback_compared *k) {
    json_decref(k->list);
    json_decref(k->unwatched);
}

static size_t differences(const struct rollback_state *a, const struct rollback_state *b) {
    struct rollback_compared k;
    size_t n;
    rollback_compare_objects(NULL, a, b, NULL, &k);
    n = rollback_wrong(&k);
    free_compared(&k);
    rollback_compare_product(NULL, a, b, &k);
    n += rollback_wrong(&k);
    free_compared(&k);
    return n;
}

/* What was rendered anew is, live, no more than regenerated or let differ. */
static bool only_regenerated(const struct judging *j) {
    size_t i;
    size_t k;
    json_t *m;
    json_t *x;
    json_array_foreach(j->manifest, i, m) {
        bool found = false;
        if (strcmp(js_str(m, "what", ""), "rendered anew") != 0)
            return false;
        json_array_foreach(j->objects.list, k, x) {
            if (strcmp(js_str(x, "object", ""), js_str(m, "object", "")) != 0)
                continue;
            found = strcmp(js_str(x, "what", ""), rollback_what_name(ROLLBACK_REGENERATED)) == 0 ||
                    strcmp(js_str(x, "what", ""), rollback_what_name(ROLLBACK_TOLERATED)) == 0 ||
                    strcmp(js_str(x, "what", ""), rollback_what_name(ROLLBACK_EQUAL)) == 0;
        }
        if (!found)
            return false;
    }
    return j->manifest != NULL;
}

static bool judge(struct judging *j) {
    json_t *named = rollback_named(j->r->f, j->r->now);
    j->manifest = rollback_manifest(j->r);
    j->moved = differences(&j->base, &j->before);
    rollback_compare_objects(j->o, &j->base, &j->after, named, &j->objects);
    rollback_compare_product(j->o, &j->base, &j->after, &j->product);
    bool is_one = !j->r->by_inputs || only_regenerated(j);
    if (is_one && !not_read(j))
        judge_equal(j);
    show(j);
    free_compared(&j->objects);
    free_compared(&j->product);
    json_decref(j->manifest);
    json_decref(named);
    return is_one;
}

bool rollback_restored(json_t *o, const struct rollback *r, int64_t base_at, int64_t after_at) {
    struct judging j = {.r = r, .o = o, .base_at = base_at};
    bool is_one = true;
    int failed = rollback_read(r, base_at, 0, &j.base) | rollback_read(r, r->change->begin_lo, 0, &j.before) |
                 rollback_read(r, after_at, r->change->begin_lo, &j.after);
    gate_set_time(o, "baseline_at", base_at);
    gate_set_time(o, "after_at", after_at);
    if (failed)
        gate_decide(o, GATE_INCONCLUSIVE, "out of memory while the states were compared");
    else
        is_one = judge(&j);
    rollback_state_free(&j.base);
    rollback_state_free(&j.before);
    rollback_state_free(&j.after);
    return is_one;
}
