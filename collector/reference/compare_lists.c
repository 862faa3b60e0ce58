/* compare_lists: two lists of one place. Which element is which: by the keys of correlate/merge.h, and where
 * a key holds the release's name, by names.h; of lists without keys and order, whatever is the same; else by
 * place. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "correlate/merge.h"
#include "reference/compare_priv.h"

#define PAIRS_MAX 250000 /* elements of one list times those of the other that are tried */

static bool is_one_of(const char *const *list, const char *text) {
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

/* Texts whose order says nothing: k8s.io/api, rbac/v1, core/v1, networking/v1, meta/v1 types.go; of
 * gateway.networking.k8s.io hostnames. (ipFamilies have an order: the first is the primary one.) */
static bool is_set(const struct ref_walk *w, const char *field) {
    static const char *const sets[] = {"verbs",
                                       "apiGroups",
                                       "resources",
                                       "resourceNames",
                                       "nonResourceURLs",
                                       "hosts",
                                       "hostnames",
                                       "accessModes",
                                       "policyTypes",
                                       "finalizers",
                                       "values",
                                       "add",
                                       "drop",
                                       "supplementalGroups",
                                       "namespaces",
                                       "except",
                                       "externalIPs",
                                       "loadBalancerSourceRanges",
                                       "matchLabelKeys",
                                       "mismatchLabelKeys",
                                       "topologyKeys",
                                       "shortNames",
                                       "categories",
                                       NULL};
    return is_one_of(sets, field) && !strstr(w->at.pointer, "/hostAliases/"); /* the first one is canonical */
}

/* Lists of maps without keys whose order says nothing: rules that add up, terms of which any, or all, count.
 */
static bool has_no_order(const struct ref_walk *w, const char *field) {
    static const char *const lists[] = {"from",
                                        "to",
                                        "ports",
                                        "ingress",
                                        "egress",
                                        "rules",
                                        "tolerations",
                                        "tls",
                                        "subjects",
                                        "topologySpreadConstraints",
                                        "matchExpressions",
                                        "nodeSelectorTerms",
                                        "matchFields",
                                        "preferredDuringSchedulingIgnoredDuringExecution",
                                        "requiredDuringSchedulingIgnoredDuringExecution",
                                        "metrics",
                                        "policies",
                                        "imagePullSecrets",
                                        "volumes",
                                        "volumeMounts",
                                        "hostAliases",
                                        NULL};
    return !w->custom && is_one_of(lists, field);
}

/* Lists whose elements have names and all the same an order that counts: headers are sent, and sources of
 * environment overlaid, in it; the first rule of a Job's podFailurePolicy that fits is taken. */
static bool has_order(const struct ref_walk *w, const char *field) {
    static const char *const lists[] = {"args", "command", "envFrom", "httpHeaders", NULL};
    return is_one_of(lists, field) || strstr(w->at.pointer, "/podFailurePolicy/rules");
}

/* Elements i and j. */
static bool are_same(struct ref_walk *w, const json_t *a, size_t i, const json_t *b, size_t j) {
    char step[24];
    (void)snprintf(step, sizeof step, "%zu", j);
    return ref_walk_same(w, step, json_array_get(a, i), json_array_get(b, j));
}

/* ---- by place */

/* Without what both lists begin and end with. */
static int walk_in_order(struct ref_walk *w, const json_t *a, const json_t *b) {
    size_t n = json_array_size(a);
    size_t m = json_array_size(b);
    size_t head = 0;
    size_t tail = 0;
    while (head < n && head < m && are_same(w, a, head, b, head))
        head++;
    while (tail < n - head && tail < m - head && are_same(w, a, n - 1 - tail, b, m - 1 - tail))
        tail++;
    int r = 0;
    for (size_t i = head; r == 0 && (i < n - tail || i < m - tail); i++)
        r = ref_walk_at(w, i, NULL, i < n - tail ? json_array_get(a, i) : NULL,
                        i < m - tail ? json_array_get(b, i) : NULL);
    return r;
}

/* ---- pairs: which element of b each of a is, and the other way round */

struct pairs {
    size_t n, m;
    size_t *of_a, *of_b; /* index in the other list + 1; 0: none yet; owned */
};

static int pairs_begin(struct pairs *p, const json_t *a, const json_t *b) {
    p->n = json_array_size(a);
    p->m = json_array_size(b);
    p->of_a = calloc(p->n + 1, sizeof *p->of_a);
    p->of_b = calloc(p->m + 1, sizeof *p->of_b);
    return p->of_a && p->of_b ? 0 : -ENOMEM;
}

static void pairs_end(struct pairs *p) {
    free(p->of_a);
    free(p->of_b);
}

static void pair(struct pairs *p, size_t i, size_t j) {
    p->of_a[i] = j + 1;
    p->of_b[j] = i + 1;
}

typedef bool like_fn(struct ref_walk *w, void *ctx, size_t i, size_t j);

/* Pairs what is left and alike, nearest to the same place first; a bounded number of tries. */
static void pair_alike(struct ref_walk *w, struct pairs *p, like_fn *like, void *ctx) {
    size_t tries = 0;
    for (size_t i = 0; i < p->n && i < p->m; i++)
        if (!p->of_a[i] && !p->of_b[i] && like(w, ctx, i, i))
            pair(p, i, i);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->m && !p->of_a[i]; j++) {
            if (p->of_b[j] || i == j)
                continue;
            if (tries++ > PAIRS_MAX || w->steps > REF_WALK_STEPS_MAX)
                return;
            if (like(w, ctx, i, j))
                pair(p, i, j);
        }
}

/* Pairs whatever is left, first with first. */
static void pair_rest(struct pairs *p) {
    size_t j = 0;
    for (size_t i = 0; i < p->n; i++) {
        while (j < p->m && p->of_b[j])
            j++;
        if (!p->of_a[i] && j < p->m)
            pair(p, i, j);
    }
}

/* ---- without order */

struct two_lists {
    const json_t *a, *b;
};

static bool are_alike(struct ref_walk *w, void *ctx, size_t i, size_t j) {
    const struct two_lists *l = ctx;
    return are_same(w, l->a, i, l->b, j);
}

/* rest: elements that are left over are another state of each other. */
static int walk_unordered(struct ref_walk *w, const json_t *a, const json_t *b, bool rest) {
    struct pairs p = {0};
    struct two_lists lists = {a, b};
    int r = pairs_begin(&p, a, b);
    if (r == 0) {
        pair_alike(w, &p, are_alike, &lists);
        if (rest)
            pair_rest(&p);
    }
    for (size_t i = 0; r == 0 && i < p.n; i++)
        r = ref_walk_at(w, p.of_a[i] ? p.of_a[i] - 1 : i, NULL, json_array_get(a, i),
                        p.of_a[i] ? json_array_get(b, p.of_a[i] - 1) : NULL);
    for (size_t j = 0; r == 0 && j < p.m; j++)
        if (!p.of_b[j])
            r = ref_walk_at(w, j, NULL, NULL, json_array_get(b, j));
    pairs_end(&p);
    return r;
}

/* ---- by keys */

struct keyed {
    const json_t *a, *b;
    const char **names_a, **names_b; /* by place; owned, the texts borrowed from the maps */
};

static const char **names_by_place(const json_t *map, size_t n) {
    const char **names = calloc(n + 1, sizeof *names);
    const char *key;
    json_t *at;
    if (!names)
        return NULL;
    json_object_foreach((json_t *)map, key, at) names[json_integer_value(at)] = key;
    return names;
}

/* The same name on another release: volumes, Secrets, hosts. */
static bool have_same_key(struct ref_walk *w, void *ctx, size_t i, size_t j) {
    const struct keyed *k = ctx;
    return ref_walk_names(w, k->names_a[i], k->names_b[j]);
}

/* Keyed by something else than its name, which it has, too: a port with another number, a mount with another
 * path. */
static bool have_same_name(struct ref_walk *w, void *ctx, size_t i, size_t j) {
    const struct keyed *k = ctx;
    const json_t *x = json_object_get(json_array_get(k->a, i), "name");
    const json_t *y = json_object_get(json_array_get(k->b, j), "name");
    (void)w;
    return json_is_string(x) && json_string_length(x) && json_equal(x, y);
}

/* An autoscaler's metric, a rule, a constraint that is another one: by its place. */
static bool stand_alike(struct ref_walk *w, void *ctx, size_t i, size_t j) {
    const struct keyed *k = ctx;
    const json_t *x = json_object_get(json_array_get(k->a, i), "name");
    (void)w;
    return i == j && !x && json_array_size(k->a) == json_array_size(k->b);
}

static void pair_by_keys(struct ref_walk *w, struct pairs *p, struct keyed *k, const json_t *map_a,
                         const json_t *map_b) {
    const char *key;
    json_t *at;
    json_object_foreach((json_t *)map_a, key, at) {
        const json_t *there = json_object_get(map_b, key);
        if (there)
            pair(p, (size_t)json_integer_value(at), (size_t)json_integer_value(there));
    }
    pair_alike(w, p, have_same_key, k);
    pair_alike(w, p, have_same_name, k);
    pair_alike(w, p, stand_alike, k);
}

/* Names in the order of one list, of those that the other one has, too: a new reference. */
static json_t *common_names(const char **names, const size_t *of, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (of[i] && json_array_append_new(list, json_string(names[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* Init containers run one after the other. */
static int check_sequence(struct ref_walk *w, const struct pairs *p, const struct keyed *k) {
    size_t last = 0;
    bool reordered = false;
    for (size_t i = 0; i < p->n; i++) {
        reordered |= p->of_a[i] && p->of_a[i] < last;
        last = p->of_a[i] ? p->of_a[i] : last;
    }
    if (!reordered)
        return 0;
    json_t *a = common_names(k->names_a, p->of_a, p->n);
    json_t *b = common_names(k->names_b, p->of_b, p->m);
    int r = a && b ? ref_walk_add(w, REF_DIFFERENT, a, b, false) : -ENOMEM;
    json_decref(a);
    json_decref(b);
    return r;
}

/* Does the value refer to this variable? Kubernetes replaces $(NAME) by what stands before it in the list,
 * and leaves what comes after (core/v1 types.go, EnvVar.Value). */
static bool refers_to(const json_t *element, const char *name) {
    size_t n = strlen(name);
    for (const char *p = strstr(js_str(element, "value", ""), "$("); p; p = strstr(p + 2, "$("))
        if (strncmp(p + 2, name, n) == 0 && p[2 + n] == ')')
            return true;
    return false;
}

static bool is_before(const struct pairs *p, size_t i, size_t other, bool in_b) {
    return in_b ? p->of_a[other] < p->of_a[i] : other < i;
}

/* The i-th value refers to the o-th variable, which stands on the other side of it now. */
static int add_reference(struct ref_walk *w, const struct pairs *p, const struct keyed *k, size_t i,
                         size_t o) {
    static const char *const words[] = {"before ", "after "};
    bool first = is_before(p, i, o, false);
    json_t *a = json_sprintf("%s%s", words[first], k->names_a[o]);
    json_t *b = json_sprintf("%s%s", words[!first], k->names_a[o]);
    size_t back = strlen(w->at.pointer);
    (void)snprintf(w->at.pointer + back, sizeof w->at.pointer - back, "/%zu", p->of_a[i] - 1);
    int r = a && b ? ref_walk_add(w, REF_DIFFERENT, a, b, false) : -ENOMEM;
    w->at.pointer[back] = 0;
    json_decref(a);
    json_decref(b);
    return r;
}

static int check_references_of(struct ref_walk *w, const struct pairs *p, const struct keyed *k, size_t i) {
    const json_t *element = json_array_get(k->a, i);
    for (size_t o = 0; o < p->n; o++)
        if (o != i && p->of_a[o] && refers_to(element, k->names_a[o]) &&
            is_before(p, i, o, false) != is_before(p, i, o, true))
            return add_reference(w, p, k, i, o);
    return 0;
}

static int check_references(struct ref_walk *w, const struct pairs *p, const struct keyed *k) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n; i++)
        if (p->of_a[i] && strstr(js_str(json_array_get(k->a, i), "value", ""), "$("))
            r = check_references_of(w, p, k, i);
    return r;
}

static int walk_pairs(struct ref_walk *w, const struct pairs *p, const struct keyed *k) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n; i++)
        r = ref_walk_at(w, p->of_a[i] ? p->of_a[i] - 1 : i, k->names_a[i], json_array_get(k->a, i),
                        p->of_a[i] ? json_array_get(k->b, p->of_a[i] - 1) : NULL);
    for (size_t j = 0; r == 0 && j < p->m; j++)
        if (!p->of_b[j])
            r = ref_walk_at(w, j, k->names_b[j], NULL, json_array_get(k->b, j));
    return r;
}

static int walk_keyed(struct ref_walk *w, const char *field, const json_t *a, const json_t *b,
                      const json_t *map_a, const json_t *map_b) {
    struct pairs p = {0};
    struct keyed k = {a, b, names_by_place(map_a, json_array_size(a)),
                      names_by_place(map_b, json_array_size(b))};
    int r = pairs_begin(&p, a, b);
    if (!k.names_a || !k.names_b)
        r = -ENOMEM;
    if (r == 0) {
        pair_by_keys(w, &p, &k, map_a, map_b);
        r = walk_pairs(w, &p, &k);
    }
    if (r == 0 && strcmp(field, "initContainers") == 0)
        r = check_sequence(w, &p, &k);
    if (r == 0 && strcmp(field, "env") == 0)
        r = check_references(w, &p, &k);
    pairs_end(&p);
    free(k.names_a);
    free(k.names_b);
    return r;
}

/* ---- which way */

static bool is_of(const json_t *list, bool maps) {
    size_t i;
    const json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (maps ? !json_is_object(v) : json_is_object(v) || json_is_array(v))
            return false;
    }
    return true;
}

/* Parts of keys that the API server fills in (k8s.io/api types.go, "+default"; networking/v1beta1 for
 * pathType), so that an element without them has the same key: a new reference. */
static json_t *with_whole_keys(const char *field, const json_t *list) {
    static const struct {
        const char *field, *key, *fallback;
    } parts[] = {{"ports", "protocol", "TCP"},
                 {"topologySpreadConstraints", "whenUnsatisfiable", "DoNotSchedule"},
                 {"tolerations", "operator", "Equal"},
                 {"paths", "pathType", "ImplementationSpecific"}};
    size_t k = 0;
    while (k < sizeof parts / sizeof *parts && strcmp(parts[k].field, field) != 0)
        k++;
    if (k == sizeof parts / sizeof *parts || !is_of(list, true))
        return json_incref((json_t *)list);
    json_t *copy = json_array();
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        json_t *whole = json_object_get(v, parts[k].key) ? json_incref(v) : json_copy(v);
        if (whole && whole != v)
            (void)json_object_set_new(whole, parts[k].key, json_string(parts[k].fallback));
        if (!copy || json_array_append_new(copy, whole) < 0) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

static int walk_maps(struct ref_walk *w, const char *field, const json_t *a, const json_t *b) {
    json_t *map_a = NULL;
    json_t *map_b = NULL;
    if (!merge_by_key(field, a, b, &map_a, &map_b))
        return has_no_order(w, field) ? walk_unordered(w, a, b, true) : walk_in_order(w, a, b);
    int r = map_a && map_b ? walk_keyed(w, field, a, b, map_a, map_b) : -ENOMEM;
    json_decref(map_a);
    json_decref(map_b);
    return r;
}

int ref_walk_lists(struct ref_walk *w, const json_t *a, const json_t *b) {
    char field[64];
    (void)snprintf(field, sizeof field, "%s", ref_walk_step(w));
    if (is_of(a, false) && is_of(b, false))
        return is_set(w, field) ? walk_unordered(w, a, b, false) : walk_in_order(w, a, b);
    if (has_order(w, field) || !is_of(a, true) || !is_of(b, true))
        return walk_in_order(w, a, b);
    json_t *x = w->custom ? json_incref((json_t *)a) : with_whole_keys(field, a);
    json_t *y = w->custom ? json_incref((json_t *)b) : with_whole_keys(field, b);
    int r = x && y ? walk_maps(w, field, x, y) : -ENOMEM;
    json_decref(x);
    json_decref(y);
    return r;
}
