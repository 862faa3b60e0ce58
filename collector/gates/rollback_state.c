/* rollback_state: is the prior configuration restored? The states before and after as sets of digests, and
 * their comparison: rendered manifest, live objects, the product's configuration and catalogues. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/rollback_priv.h"

/* ---- snapshots as JSON: {"Deployment/gateway": "digest"}, {"ToolCatalogue/shop on node-1": "digest"} */

struct snapshot {
    const struct rollback *r;
    json_t *objects, *product;
    const char *release;
    size_t configurations; /* of the product that were read */
    json_t *replicas;      /* "ToolCatalogue/shop on node-1 at Pod/x": digest, of those that live at `at` */
    int64_t at;
    int64_t read_since; /* earlier readings count as none; 0: any counts */
    char unread[5 * WIRE_NAME_MAX + 32];
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

/* What one replica says at its own address must be what the gateway as a whole says; one that ended says
 * nothing. */
static int take_replica(struct snapshot *s, const struct fact_product *p) {
    char key[sizeof s->unread];
    if (!s->read_since || !facts_path_lives(s->r->f, p->path, s->at))
        return 0;
    (void)snprintf(key, sizeof key, "%s/%s on %s at %s", p->kind, p->name, p->node, p->path);
    if (p->digest && !p->unreadable && p->read_hi >= s->read_since)
        return json_object_set_new(s->replicas, key, json_string(p->digest));
    (void)snprintf(s->unread, sizeof s->unread, "%s", key);
    return 0;
}

/* Nodes that were gone by the time of the rollback say nothing about it. */
static int take_product(void *ctx, const struct fact_product *p) {
    struct snapshot *s = ctx;
    char key[sizeof s->unread];
    (void)snprintf(key, sizeof key, "%s/%s on %s", p->kind, p->name, p->node);
    if (!facts_node_alive(s->r->f, p->node, s->r->change->begin_lo, s->r->change->window_to))
        return 0;
    if (*p->path)
        return take_replica(s, p);
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
        .replicas = json_object(),
        .at = t,
        .release = r->now->release,
        .read_since = read_since,
    };
    if (!ret->objects || !ret->product || !ret->replicas || facts_snapshot(r->f, t, take, ret, NULL) < 0)
        return -ENOMEM;
    return facts_products(r->f, t, take_product, ret, NULL);
}

static void free_snapshot(struct snapshot *s) {
    json_decref(s->objects);
    json_decref(s->product);
    json_decref(s->replicas);
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

/* The next change came before the target's own had settled: its state may not show yet at the baseline. */
static int baseline_unsettled(const struct rollback *r, int64_t base_at) {
    const struct fact_change *c = rollback_change_of(r->f, r->to);
    return c && c->window_to > base_at;
}

static void judge_equal(json_t *o, const struct rollback *r, int64_t base_at, const struct snapshot *base,
                        const struct comparison *k) {
    if (!rollback_same_content(r->to, r->now))
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

/* Compares each replica's catalogue with what the gateway as a whole said under the target revision. */
static void add_replicas(const struct snapshot *base, const struct snapshot *after) {
    const char *key;
    json_t *v;
    json_object_foreach(after->replicas, key, v) {
        const char *at = strstr(key, " at Pod/");
        json_t *whole = at ? json_object_getn(base->product, key, (size_t)(at - key)) : NULL;
        if (!whole)
            continue;
        (void)json_object_set(base->product, key, whole);
        (void)json_object_set(after->product, key, v);
    }
}

static void judge_restored(json_t *o, const struct rollback *r, int64_t base_at, const struct snapshot *base,
                           const struct snapshot *before, const struct snapshot *after) {
    struct comparison k = {0};
    size_t objects;
    size_t product;
    json_decref(compare(base->objects, before->objects, &objects));
    json_decref(compare(base->product, before->product, &product));
    k.moved = objects + product;
    bool unread = not_read(o, r, base, after);
    add_replicas(base, after);
    k.objects = compare(base->objects, after->objects, &k.objects_differ);
    k.product = compare(base->product, after->product, &k.product_differ);
    if (!unread)
        judge_equal(o, r, base_at, base, &k);
    (void)json_object_set_new(o, "objects", k.objects);
    (void)json_object_set_new(o, "product", k.product);
    (void)json_object_set_new(o, "differed_before", json_integer((json_int_t)k.moved));
}

void rollback_compare(json_t *o, const struct rollback *r, int64_t base_at, int64_t after_at) {
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
