/* rollback_read: the state of a stage at a time: its live objects, and what each node read of the product. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "gates/rollback_priv.h"

static int add(struct rollback_list *l, const char *key, const Pilotgate__Object *o, struct fact_ref ref) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 32;
        struct rollback_item *p = realloc(l->items, cap * sizeof *p);
        if (!p)
            return -ENOMEM;
        l->items = p;
        l->cap = cap;
    }
    char *copy = strdup(key);
    if (!copy || json_object_set_new(l->index, key, json_integer((json_int_t)l->n)) < 0) {
        free(copy);
        return -ENOMEM;
    }
    l->items[l->n++] = (struct rollback_item){copy, o, ref};
    return 0;
}

const struct rollback_item *rollback_find(const struct rollback_list *l, const char *key) {
    const json_t *at = json_object_get(l->index, key);
    return at ? &l->items[json_integer_value(at)] : NULL;
}

static void free_list(struct rollback_list *l) {
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].key);
    free(l->items);
    json_decref(l->index);
    *l = (struct rollback_list){0};
}

/* ---- live objects */

/* What an autoscaler targets, "Deployment/gateway". */
static int take_autoscaler(struct rollback_state *s, const Pilotgate__Object *o) {
    json_t *doc;
    char key[2 * WIRE_NAME_MAX + 2];
    if (js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return 0;
    (void)snprintf(key, sizeof key, "%.250s/%.250s", js_str(doc, "spec.scaleTargetRef.kind", ""),
                   js_str(doc, "spec.scaleTargetRef.name", ""));
    bool to_zero = facts_scales_to_zero(doc);
    json_decref(doc);
    return json_object_set_new(s->scaled, key, json_boolean(to_zero));
}

static int take_object(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct rollback_state *s = ctx;
    char key[2 * WIRE_NAME_MAX + 2];
    if (strcmp(o->kind, "HelmRelease") == 0 || strcmp(o->kind, "GitOps") == 0)
        return 0;
    (void)snprintf(key, sizeof key, "%.*s/%s", (int)strcspn(o->kind, "."), o->kind, o->name);
    if (json_object_set_new(s->live, key, json_true()) < 0)
        return -ENOMEM;
    if (strcmp(o->kind, "HorizontalPodAutoscaler") == 0 && take_autoscaler(s, o) < 0)
        return -ENOMEM;
    if (strcmp(o->release, s->r->now->release) != 0)
        return 0;
    (void)snprintf(key, sizeof key, "%s/%s", o->kind, o->name);
    return add(&s->objects, key, o, ref);
}

/* What stands at zero an autoscaler left there only if it scales so far: others leave it alone. */
static bool is_autoscaled(const struct rollback_state *s, const char *key) {
    const json_t *to_zero = json_object_get(s->scaled, key);
    const struct rollback_item *x = rollback_find(&s->objects, key);
    json_t *doc = NULL;
    if (!to_zero || json_is_true(to_zero) || !x ||
        js_parse(x->o->normal, strlen(x->o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return to_zero != NULL;
    bool runs = js_int(doc, "spec.replicas", 1) > 0;
    json_decref(doc);
    return runs;
}

/* The API server keeps the annotations that Helm reads in the live object; but it reads them in what it
 * renders: what the manifest names is no hook. */
static unsigned helm_traits(const struct rollback *r, const Pilotgate__Object *o) {
    json_t *doc;
    unsigned t = 0;
    if (o->truncated || js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return 0;
    if (js_at(doc, "/metadata/annotations/helm.sh~1hook") && !rollback_names(r->now, o->kind, o->name))
        t |= RUBRIC_HOOK;
    if (strcmp(js_str(doc, "/metadata/annotations/helm.sh~1resource-policy", ""), "keep") == 0)
        t |= RUBRIC_KEPT;
    json_decref(doc);
    return t;
}

unsigned rollback_traits(const struct rollback *r, const struct rollback_state *base,
                         const struct rollback_state *after, const Pilotgate__Object *o) {
    char key[2 * WIRE_NAME_MAX + 2];
    (void)snprintf(key, sizeof key, "%s/%s", o->kind, o->name);
    unsigned t = helm_traits(r, o);
    if (is_autoscaled(base, key) && is_autoscaled(after, key))
        t |= RUBRIC_AUTOSCALED;
    if (r->by_inputs && rollback_rendered_anew(r, o->kind, o->name))
        t |= RUBRIC_REGENERATED;
    return t;
}

/* ---- the product */

/* What one replica says at its own address must be what the gateway as a whole says; one that ended says
 * nothing. */
static int take_replica(struct rollback_state *s, const struct fact_product *p) {
    char key[sizeof s->unread];
    if (!s->read_since || !facts_path_lives(s->r->f, p->path, s->at))
        return 0;
    (void)snprintf(key, sizeof key, "%s/%s on %s at %s", p->kind, p->name, p->node, p->path);
    if (p->digest && !p->unreadable && p->read_hi >= s->read_since)
        return add(&s->replicas, key, p->o, p->ref);
    (void)snprintf(s->unread, sizeof s->unread, "%s", key);
    return 0;
}

/* Nodes that were gone by the time of the rollback say nothing about it. */
static int take_product(void *ctx, const struct fact_product *p) {
    struct rollback_state *s = ctx;
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
    return add(&s->product, key, p->o, p->ref);
}

int rollback_read(const struct rollback *r, int64_t at, int64_t read_since, struct rollback_state *ret) {
    *ret = (struct rollback_state){
        .r = r,
        .objects.index = json_object(),
        .product.index = json_object(),
        .replicas.index = json_object(),
        .live = json_object(),
        .scaled = json_object(),
        .at = at,
        .read_since = read_since,
    };
    if (!ret->objects.index || !ret->product.index || !ret->replicas.index || !ret->live || !ret->scaled ||
        facts_snapshot(r->f, at, take_object, ret, NULL) < 0)
        return -ENOMEM;
    return facts_products(r->f, at, take_product, ret, NULL);
}

void rollback_state_free(struct rollback_state *s) {
    free_list(&s->objects);
    free_list(&s->product);
    free_list(&s->replicas);
    json_decref(s->live);
    json_decref(s->scaled);
    *s = (struct rollback_state){0};
}
