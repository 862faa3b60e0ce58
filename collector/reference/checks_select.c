/* checks_select: which objects with a label selector (PodDisruptionBudgets, NetworkPolicies) may be about
 * which workloads, without asking each about each: a selector is looked for under that pair of its
 * matchLabels which the fewest workloads have. What comes out is a little more than what is selected; the
 * callers ask ref_selects. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

#define PAIR_MAX 512 /* a longer one is no label: such selectors are asked about every workload */

static bool pair_of(const char *key, const json_t *value, char out[PAIR_MAX]) {
    const char *text = json_string_value(value);
    int n = text ? snprintf(out, PAIR_MAX, "%s=%s", key, text) : -1;
    return n >= 0 && n < PAIR_MAX;
}

/* Adds a number to the list that stands under the pair. */
static int put(json_t *map, const char *pair, size_t i) {
    json_t *list = json_object_get(map, pair);
    if (!list) {
        list = json_array();
        if (json_object_set_new(map, pair, list) != 0)
            return -ENOMEM;
    }
    return json_array_append_new(list, json_integer((json_int_t)i)) == 0 ? 0 : -ENOMEM;
}

static int add_workload(struct ref_selectors *s, const struct ref_object *o) {
    const char *key;
    const json_t *value;
    char pair[PAIR_MAX];
    size_t i = s->n_workloads++;
    s->workloads[i] = o;
    if (!o->normal)
        s->cut_workload = o;
    json_object_foreach((json_t *)ref_workload_labels(o), key, value) {
        if (pair_of(key, value, pair) && put(s->having, pair, i) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_workloads(struct ref_selectors *s, const struct ref_checking *c) {
    size_t all = 0;
    size_t n;
    for (const char *const *k = ref_workloads_all; *k; k++) {
        (void)ref_checking_kind(c, *k, &n);
        all += n;
    }
    s->workloads = calloc(all + 1, sizeof *s->workloads);
    int r = s->workloads ? 0 : -ENOMEM;
    for (const char *const *k = ref_workloads_all; *k; k++) {
        const struct ref_object *o = ref_checking_kind(c, *k, &n);
        for (size_t i = 0; r == 0 && i < n; i++)
            r = add_workload(s, &o[i]);
    }
    return r;
}

static const json_t *labels_asked(const struct ref_selectors *s, const struct ref_object *o) {
    return json_object_get(js_at(o->normal, s->path), "matchLabels");
}

/* The pair that the fewest workloads have; false: the selector has none. */
static bool rarest(const struct ref_selectors *s, const struct ref_object *o, char out[PAIR_MAX]) {
    const char *key;
    const json_t *value;
    char pair[PAIR_MAX];
    size_t best = SIZE_MAX;
    json_object_foreach((json_t *)labels_asked(s, o), key, value) {
        if (!pair_of(key, value, pair))
            return false;
        size_t n = json_array_size(json_object_get(s->having, pair));
        if (n < best) {
            best = n;
            strcpy(out, pair);
        }
    }
    return best != SIZE_MAX;
}

static int add_selectors(struct ref_selectors *s) {
    char pair[PAIR_MAX];
    for (size_t i = 0; i < s->n; i++) {
        if (!s->objects[i].normal)
            s->cut = &s->objects[i];
        int r = rarest(s, &s->objects[i], pair)
                    ? put(s->asking, pair, i)
                    : -json_array_append_new(s->rest, json_integer((json_int_t)i));
        if (r != 0)
            return -ENOMEM;
    }
    return 0;
}

int ref_selectors_make(const struct ref_checking *c, const char *kind, const char *path,
                       struct ref_selectors *ret) {
    struct ref_selectors s = {
        .path = path, .having = json_object(), .asking = json_object(), .rest = json_array()};
    s.objects = ref_checking_kind(c, kind, &s.n);
    int r = s.having && s.asking && s.rest ? add_workloads(&s, c) : -ENOMEM;
    if (r == 0)
        r = add_selectors(&s);
    if (r < 0)
        ref_selectors_free(&s);
    else
        *ret = s;
    return r;
}

void ref_selectors_free(struct ref_selectors *s) {
    free(s->workloads);
    json_decref(s->having);
    json_decref(s->asking);
    json_decref(s->rest);
    *s = (struct ref_selectors){0};
}

static bool visit(const json_t *list, const struct ref_object *objects, ref_selectors_fn *fn, void *ctx) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!fn(ctx, &objects[json_integer_value(json_array_get(list, i))]))
            return false;
    return true;
}

void ref_selectors_about(const struct ref_selectors *s, const struct ref_object *workload,
                         ref_selectors_fn *fn, void *ctx) {
    const char *key;
    const json_t *value;
    char pair[PAIR_MAX];
    if (!visit(s->rest, s->objects, fn, ctx))
        return;
    json_object_foreach((json_t *)ref_workload_labels(workload), key, value) {
        if (pair_of(key, value, pair) && !visit(json_object_get(s->asking, pair), s->objects, fn, ctx))
            return;
    }
}

void ref_selectors_meant(const struct ref_selectors *s, const struct ref_object *o, ref_selectors_fn *fn,
                         void *ctx) {
    char pair[PAIR_MAX];
    bool one = rarest(s, o, pair);
    const json_t *list = one ? json_object_get(s->having, pair) : NULL;
    size_t n = one ? json_array_size(list) : s->n_workloads;
    for (size_t i = 0; i < n; i++)
        if (!fn(ctx, s->workloads[one ? (size_t)json_integer_value(json_array_get(list, i)) : i]))
            return;
}
