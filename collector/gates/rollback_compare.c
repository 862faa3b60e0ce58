/* rollback_compare: two states of a stage, object by object: equal, different, missing, left over, and what
 * of that may be. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "gates/rollback_priv.h"

const char *rollback_what_name(enum rollback_what w) {
    static const char *const names[ROLLBACK_WHATS] = {
        "equal", "tolerated", "regenerated", "not comparable", "different", "came", "missing", "left over"};
    return names[w];
}

size_t rollback_wrong(const struct rollback_compared *k) {
    return k->count[ROLLBACK_DIFFERENT] + k->count[ROLLBACK_CAME] + k->count[ROLLBACK_MISSING] +
           k->count[ROLLBACK_LEFTOVER];
}

struct comparing {
    json_t *cite; /* NULL: no evidence is wanted */
    const struct rollback_state *base, *after;
    const json_t *named;
    struct rollback_compared *k;
};

static const char *digest_of(const struct rollback_item *x) {
    return x ? x->o->digest : "";
}

/* Takes the fields over. */
static void add(struct comparing *c, const char *key, const struct rollback_item *a,
                const struct rollback_item *b, struct rollback_differ *d) {
    struct rollback_compared *k = c->k;
    bool wrong = d->what >= ROLLBACK_DIFFERENT;
    const char *where = js_str(json_array_get(d->fields, 0), "pointer", NULL);
    k->count[d->what]++;
    if (wrong && !*k->first)
        (void)snprintf(k->first, sizeof k->first, "%s%s%.120s", key, where ? " at " : "", where ? where : "");
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:b, s:s}", "object", key, "baseline", digest_of(a), "after", digest_of(b),
                  "equal", d->what == ROLLBACK_EQUAL, "what", rollback_what_name(d->what));
    if (*d->why)
        (void)json_object_set_new(o, "why", json_string(d->why));
    if (d->fields)
        (void)json_object_set_new(o, "fields", d->fields);
    if (d->places > ROLLBACK_FIELDS_MAX)
        (void)json_object_set_new(o, "places", json_integer((json_int_t)d->places));
    (void)json_array_append_new(k->list, o);
    if (!c->cite || d->what == ROLLBACK_EQUAL)
        return;
    if (a)
        gate_cite(c->cite, c->base->r->f, a->ref);
    if (b)
        gate_cite(c->cite, c->base->r->f, b->ref);
}

/* ---- live objects */

static bool is_named(const struct comparing *c, const char *kind, const char *name) {
    char key[2 * WIRE_NAME_MAX + 2];
    (void)snprintf(key, sizeof key, "%.*s/%s", (int)strcspn(kind, "."), kind, name);
    return json_object_get(c->named, key) != NULL;
}

/* There in one of the two states only. */
static void add_alone(struct comparing *c, const struct rollback_item *x, enum rollback_what what,
                      const struct rollback_item *a, const struct rollback_item *b) {
    int unused;
    struct rubric_place place = {.kind = x->o->kind,
                                 .name = x->o->name,
                                 .traits = rollback_traits(c->base->r, c->base, c->after, x->o)};
    const char *why = rubric_tolerates(&c->base->r->c->rubric, &place, &unused);
    struct rollback_differ d = {.what = why ? ROLLBACK_TOLERATED : what, .why = why ? why : ""};
    if (!why && what == ROLLBACK_LEFTOVER && c->named)
        d.why = "the restored manifest does not name it";
    else if (!why && what == ROLLBACK_CAME)
        d.why = "the restored manifest names it; it was not there while the target was active";
    add(c, x->key, a, b, &d);
}

/* An agent of an older version watched fewer kinds, so that nothing is known of others at that time. */
static bool is_watched(const struct rollback_state *s, const char *kind) {
    const char *key;
    json_t *v;
    size_t n = strcspn(kind, ".");
    json_object_foreach(s->live, key, v) {
        if (strncmp(key, kind, n) == 0 && key[n] == '/')
            return true;
    }
    return false;
}

static void add_new(struct comparing *c, const struct rollback_item *b) {
    bool named = c->named && is_named(c, b->o->kind, b->o->name);
    bool older = b->o->created_wall_ns > 0 && b->o->created_wall_ns <= c->base->at;
    if (!is_watched(c->base, b->o->kind) && (named || older))
        (void)json_array_append_new(c->k->unwatched, json_string(b->key));
    else
        add_alone(c, b, named ? ROLLBACK_CAME : ROLLBACK_LEFTOVER, NULL, b);
}

static void compare_one(struct comparing *c, const struct rollback_item *a) {
    const struct rollback_item *b = rollback_find(&c->after->objects, a->key);
    struct rollback_differ d;
    if (!b) {
        add_alone(c, a, ROLLBACK_MISSING, a, NULL);
        return;
    }
    rollback_differ(c->base->r, a, b, rollback_traits(c->base->r, c->base, c->after, b->o), &d);
    if (d.what == ROLLBACK_EQUAL && c->named && !is_named(c, b->o->kind, b->o->name))
        d.why = "not in the manifest, neither before nor after";
    add(c, a->key, a, b, &d);
}

/* What the restored manifest names and is not alive. Of a kind that nobody watches only the manifest speaks.
 */
static void add_unseen(struct comparing *c, const char *key) {
    char kind[2 * WIRE_NAME_MAX + 2];
    struct rollback_differ d = {.what = ROLLBACK_MISSING, .why = "the restored manifest names it"};
    int unused;
    (void)snprintf(kind, sizeof kind, "%.*s", (int)strcspn(key, "/"), key);
    struct rubric_place place = {.kind = kind, .name = key + strlen(kind) + 1};
    const char *why = rubric_tolerates(&c->base->r->c->rubric, &place, &unused);
    if (!is_watched(c->after, kind)) {
        (void)json_array_append_new(c->k->unwatched, json_string(key));
        return;
    }
    if (why) {
        d.what = ROLLBACK_TOLERATED;
        d.why = why;
    }
    add(c, key, NULL, NULL, &d);
}

/* "Kind/name" of an object whose key may be "Kind.GROUP/name". */
static bool was_live(const struct comparing *c, const char *key) {
    size_t kind = strcspn(key, "/");
    for (size_t i = 0; i < c->base->objects.n; i++) {
        const Pilotgate__Object *o = c->base->objects.items[i].o;
        if (strncmp(o->kind, key, kind) == 0 && (o->kind[kind] == 0 || o->kind[kind] == '.') &&
            strcmp(o->name, key + kind + 1) == 0)
            return true;
    }
    return false;
}

static void compare_named(struct comparing *c) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)c->named, key, v) {
        if (!json_object_get(c->after->live, key) && !was_live(c, key))
            add_unseen(c, key);
    }
}

static void begin(struct comparing *c, json_t *o) {
    *c->k = (struct rollback_compared){.list = json_array(), .unwatched = json_array()};
    c->cite = o;
}

void rollback_compare_objects(json_t *o, const struct rollback_state *base,
                              const struct rollback_state *after, const json_t *named,
                              struct rollback_compared *ret) {
    struct comparing c = {.base = base, .after = after, .named = named, .k = ret};
    begin(&c, o);
    for (size_t i = 0; i < base->objects.n; i++)
        compare_one(&c, &base->objects.items[i]);
    for (size_t i = 0; i < after->objects.n; i++) {
        const struct rollback_item *b = &after->objects.items[i];
        if (!rollback_find(&base->objects, b->key))
            add_new(&c, b);
    }
    if (named)
        compare_named(&c);
}

/* ---- the product */

static void compare_product(struct comparing *c, const struct rollback_item *a, const struct rollback_item *b,
                            const char *key) {
    struct rollback_differ d = {.what = a ? ROLLBACK_MISSING : ROLLBACK_CAME, .why = ""};
    if (a && b)
        rollback_differ(c->base->r, a, b, 0, &d);
    add(c, key, a, b, &d);
}

/* What each replica says is compared with what the gateway as a whole said under the target revision. */
static void compare_replicas(struct comparing *c) {
    for (size_t i = 0; i < c->after->replicas.n; i++) {
        const struct rollback_item *b = &c->after->replicas.items[i];
        const char *at = strstr(b->key, " at Pod/");
        char whole[5 * WIRE_NAME_MAX + 32];
        (void)snprintf(whole, sizeof whole, "%.*s", at ? (int)(at - b->key) : 0, b->key);
        const struct rollback_item *a = rollback_find(&c->base->product, whole);
        if (a)
            compare_product(c, a, b, b->key);
    }
}

void rollback_compare_product(json_t *o, const struct rollback_state *base,
                              const struct rollback_state *after, struct rollback_compared *ret) {
    struct comparing c = {.base = base, .after = after, .k = ret};
    begin(&c, o);
    for (size_t i = 0; i < base->product.n; i++) {
        const struct rollback_item *a = &base->product.items[i];
        compare_product(&c, a, rollback_find(&after->product, a->key), a->key);
    }
    for (size_t i = 0; i < after->product.n; i++) {
        const struct rollback_item *b = &after->product.items[i];
        if (!rollback_find(&base->product, b->key))
            compare_product(&c, NULL, b, b->key);
    }
    compare_replicas(&c);
}
