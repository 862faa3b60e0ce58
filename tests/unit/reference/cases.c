/* cases: every leaf, map and list of one object, changed in each way. See mutate.h. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "mutate.h"

#define POINTER_MAX 2048

static json_t *copy(const struct run *r) {
    return json_deep_copy(r->pair->b->normal);
}

/* What the API server itself writes beside a field follows it. */
static void follow(json_t *mutated, const char *pointer) {
    static const struct {
        const char *field, *follower;
        bool list;
    } followers[] = {{"serviceAccountName", "serviceAccount", false}, {"clusterIP", "clusterIPs", true}};
    char holder[POINTER_MAX];
    (void)snprintf(holder, sizeof holder, "%.*s", (int)(place_step(pointer) - pointer - 1), pointer);
    json_t *map = place_at(mutated, holder);
    for (size_t i = 0; i < sizeof followers / sizeof *followers; i++) {
        json_t *v = json_object_get(map, followers[i].field);
        if (strcmp(place_step(pointer), followers[i].field) != 0)
            continue;
        (void)json_object_del(map, followers[i].follower);
        if (v)
            (void)json_object_set_new(map, followers[i].follower,
                                      followers[i].list ? json_pack("[O]", v) : json_incref(v));
    }
}

/* The live object with v (taken over; NULL: nothing) at this place. */
static void try_value(struct run *r, const char *operation, const char *pointer, json_t *v, bool matters) {
    json_t *mutated = copy(r);
    place_set(mutated, pointer, v);
    follow(mutated, pointer);
    mutate_try(r, operation, pointer, mutated, matters ? AT_THE_PLACE : NOTHING);
}

/* What lives, and the manifests do not have. */
static void try_without(struct run *r, const char *pointer, const json_t *manifest) {
    json_t *mutated = json_deep_copy(r->pair->a->normal);
    place_set(mutated, pointer, NULL);
    bool told = oracle_removal_matters(r, pointer, manifest) &&
                !oracle_exception(r, "not in the manifests", pointer, manifest);
    mutate_manifest(r, "not in the manifests", pointer, mutated, told ? AT_THE_PLACE : NOTHING);
}

/* ---- leaves */

static json_t *changed(const json_t *v) {
    if (json_is_boolean(v))
        return json_boolean(!json_is_true(v));
    if (json_is_integer(v))
        return json_integer(json_integer_value(v) + 1);
    if (json_is_real(v))
        return json_real(json_real_value(v) + 1);
    const char *text = json_string_value(v);
    if (!text)
        return json_string("changed");
    return *text >= '0' && *text <= '9' ? json_sprintf("9%s", text) : json_sprintf("%sx", text);
}

static json_t *retyped(const json_t *v) {
    if (json_is_string(v))
        return json_pack("[O]", v);
    if (json_is_integer(v))
        return json_true();
    if (json_is_boolean(v))
        return json_string(json_is_true(v) ? "true" : "false");
    return json_string("retyped");
}

static bool matters(const struct run *r, const char *operation, const char *pointer, const json_t *v) {
    return !oracle_exception(r, operation, pointer, v);
}

static void mutate_leaf(struct run *r, const char *pointer, const json_t *manifest, const json_t *live) {
    try_value(r, "removed", pointer, NULL, oracle_removal_matters(r, pointer, manifest));
    try_value(r, "changed", pointer, changed(live), matters(r, "changed", pointer, manifest));
    try_value(r, "retyped", pointer, retyped(live), matters(r, "retyped", pointer, manifest));
    json_t *other = oracle_spelling(r->pair->a->kind, pointer, live);
    if (other)
        try_value(r, "spelled otherwise", pointer, other, false);
}

/* ---- lists */

static json_t *reversed(const json_t *list) {
    json_t *out = json_array();
    for (size_t i = json_array_size(list); i-- > 0;)
        (void)json_array_append(out, json_array_get(list, i));
    return out;
}

/* Another element like the first one: each of its texts and numbers is another. */
static json_t *another(const json_t *v) {
    if (!json_is_object(v) && !json_is_array(v))
        return changed(v);
    json_t *out = json_deep_copy(v);
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)v, key, child)(void) json_object_set_new(out, key, another(child));
    for (size_t i = 0; i < json_array_size(v); i++)
        (void)json_array_set_new(out, i, another(json_array_get(v, i)));
    return out;
}

static void mutate_list(struct run *r, const char *pointer, const json_t *manifest, const json_t *live) {
    char element[POINTER_MAX];
    size_t n = json_array_size(live);
    json_t *turned = reversed(live);
    if (!json_equal(turned, (json_t *)live))
        try_value(r, "reordered", pointer, json_incref(turned),
                  oracle_order_matters(r->pair->a->kind, pointer) &&
                      matters(r, "reordered", pointer, manifest));
    json_decref(turned);
    try_value(r, "removed", pointer, NULL, oracle_removal_matters(r, pointer, manifest));
    try_value(r, "emptied", pointer, json_array(), oracle_removal_matters(r, pointer, manifest));
    try_value(r, "retyped", pointer, json_string("retyped"), true);
    for (size_t i = 0; i < n; i++) {
        json_t *mutated = copy(r);
        place_element(pointer, i, element, sizeof element);
        place_set(mutated, element, NULL);
        mutate_try(r, "an element less", pointer, mutated, AT_THE_PLACE);
    }
    if (n == 0)
        return;
    json_t *mutated = copy(r);
    (void)json_array_append_new(place_at(mutated, pointer), another(json_array_get(live, 0)));
    mutate_try(r, "an element more", pointer, mutated, AT_THE_PLACE);
    mutated = copy(r);
    (void)json_array_insert_new(place_at(mutated, pointer), 0, another(json_array_get(live, n - 1)));
    mutate_try(r, "an element more, first", pointer, mutated, AT_THE_PLACE);
}

/* ---- what only the live object has */

static bool is_last(const struct run *r, const char *pointer) {
    char holder[POINTER_MAX];
    (void)snprintf(holder, sizeof holder, "%.*s", (int)(place_step(pointer) - pointer - 1), pointer);
    return json_object_size(place_at((json_t *)r->pair->b->normal, holder)) == 1;
}

/* top: the uppermost place that the manifest does not have, where it is told. */
static void mutate_live_only(struct run *r, const char *top, const char *pointer, const json_t *live) {
    char below[POINTER_MAX];
    const char *key;
    json_t *v;
    if (strcmp(pointer, "/metadata/namespace") == 0)
        return;
    if (!is_last(r, pointer)) /* then the map that holds it goes, too, which is a case of its own */
        try_value(r, "a default less", pointer, NULL, false);
    json_object_foreach((json_t *)live, key, v) {
        place_below(pointer, key, below, sizeof below);
        mutate_live_only(r, top, below, v);
    }
    if (json_is_object(live) || json_is_array(live))
        return;
    json_t *mutated = copy(r);
    place_set(mutated, pointer, changed(live));
    if (matters(r, "a default changed", pointer, live))
        mutate_try(r, "a default changed", top, mutated, AT_THE_PLACE);
    else
        mutate_try(r, "a default changed", pointer, mutated, NOTHING);
}

/* ---- maps */

static void walk(struct run *r, const char *pointer, const json_t *manifest, const json_t *live);

static void mutate_map(struct run *r, const char *pointer, const json_t *manifest) {
    char below[POINTER_MAX];
    if (!*pointer)
        return;
    try_value(r, "removed", pointer, NULL, oracle_removal_matters(r, pointer, manifest));
    try_value(r, "retyped", pointer, json_string("retyped"), true);
    place_below(pointer, "addedByHand", below, sizeof below);
    json_t *mutated = copy(r);
    place_set(mutated, below, json_string("extra"));
    mutate_try(r, "a field more", below, mutated,
               matters(r, "a field more", below, NULL) ? AT_THE_PLACE : NOTHING);
}

/* Names, kinds and namespaces are what objects are matched by. */
static bool is_matched_by(const char *pointer) {
    static const char *const places[] = {"/kind", "/apiVersion", "/metadata/name", "/metadata/namespace",
                                         NULL};
    for (const char *const *p = places; *p; p++)
        if (strcmp(*p, pointer) == 0)
            return true;
    return false;
}

static void walk_map(struct run *r, const char *pointer, const json_t *manifest, const json_t *live) {
    char below[POINTER_MAX];
    const char *key;
    json_t *v;
    mutate_map(r, pointer, manifest);
    json_object_foreach((json_t *)manifest, key, v) {
        const json_t *there = json_object_get(live, key);
        place_below(pointer, key, below, sizeof below);
        if (!there || json_is_null(v) || is_matched_by(below))
            continue;
        try_without(r, below, v);
        walk(r, below, v, there);
    }
    json_object_foreach((json_t *)live, key, v) {
        place_below(pointer, key, below, sizeof below);
        if (!json_object_get(manifest, key))
            mutate_live_only(r, below, below, v);
    }
}

static void walk(struct run *r, const char *pointer, const json_t *manifest, const json_t *live) {
    char element[POINTER_MAX];
    if (json_is_object(manifest) && json_is_object(live) && json_object_size(manifest) > 0) {
        walk_map(r, pointer, manifest, live);
        return;
    }
    if (json_is_array(manifest) && json_is_array(live)) {
        mutate_list(r, pointer, manifest, live);
        for (size_t i = 0; i < json_array_size(manifest) && i < json_array_size(live); i++) {
            place_element(pointer, i, element, sizeof element);
            if (json_is_object(json_array_get(manifest, i)))
                walk(r, element, json_array_get(manifest, i), json_array_get(live, i));
            else
                try_value(r, "changed", element, changed(json_array_get(live, i)), true);
        }
        return;
    }
    mutate_leaf(r, pointer, manifest, live);
}

void mutate_pair(struct run *r) {
    mutate_try(r, "nothing", "", copy(r), NOTHING);
    walk(r, "", r->pair->a->normal, r->pair->b->normal);
}
