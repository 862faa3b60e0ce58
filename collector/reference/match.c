/* match: which object of one side is which of the other. See compare.h. Everything is found by sorting: n
 * objects cost n log n. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/compare.h"

#define DEPTH_MAX 64
#define SAME_STEM_MAX 64 /* objects whose names differ in the last part only that are looked at */

struct matching {
    const struct ref_side *a, *b;
    struct ref_matches *to;
    const struct ref_object **of_a; /* by place in a->objects: what it is of b; owned */
    bool *taken;                    /* by place in b->objects; owned */
    json_t *referred; /* "ConfigMap/NAME" ... that objects of b refer to; NULL: not asked yet; owned */
};

static void match(struct matching *g, size_t i, const struct ref_object *o) {
    g->of_a[i] = o;
    g->taken[o - g->b->objects] = true;
}

static bool is_taken(const struct matching *g, const struct ref_object *o) {
    return g->taken[o - g->b->objects];
}

/* ---- names of a as b would write them */

static bool is_word(char c) {
    return isalnum((unsigned char)c);
}

/* The pair whose a's text stands at p as a whole word; `first` is tried before the others. */
static const struct ref_pair *pair_at(const struct ref_names *n, size_t first, const char *p) {
    for (size_t k = 0; k <= n->n; k++) {
        const struct ref_pair *x = k == 0 ? &n->pairs[first] : &n->pairs[k - 1];
        size_t len = strlen(x->a);
        if (len && strncmp(p, x->a, len) == 0 && !is_word(p[len]))
            return x;
    }
    return NULL;
}

/* The pair at `first` goes before the others. False: it does not fit. */
static bool translate(const struct ref_names *n, size_t first, const char *name, char *out, size_t size) {
    size_t len = 0;
    const char *p = name;
    while (*p) {
        const struct ref_pair *x = n->n && (p == name || !is_word(p[-1])) ? pair_at(n, first, p) : NULL;
        size_t more = x ? strlen(x->b) : 1;
        if (len + more >= size)
            return false;
        memcpy(out + len, x ? x->b : p, more);
        len += more;
        p += x ? strlen(x->a) : 1;
    }
    out[len] = 0;
    return true;
}

bool ref_name_there(const struct ref_matches *m, const char *name, char *out, size_t size) {
    return translate(&m->plain, 0, name, out, size);
}

/* ---- by name */

static bool take_name(struct matching *g, size_t i, const char *name) {
    const struct ref_object *o = ref_side_find(g->b, g->a->objects[i].kind, name);
    if (!o || is_taken(g, o))
        return false;
    match(g, i, o);
    return true;
}

static void match_by_name(struct matching *g, size_t i) {
    const struct ref_names *n = &g->to->plain;
    const char *name = g->a->objects[i].name;
    char other[REF_NAME_MAX];
    for (size_t k = 0; k < n->n; k++)
        if (translate(n, k, name, other, sizeof other) && take_name(g, i, other))
            return;
    (void)take_name(g, i, name);
}

/* ---- by a name with a generated suffix */

struct stem { /* an object of b, and its name without the last part */
    const struct ref_object *o;
    size_t len;
};

static int order_stems(const void *x, const void *y) {
    const struct stem *a = x;
    const struct stem *b = y;
    int r = strcmp(a->o->kind, b->o->kind);
    if (r == 0)
        r = strncmp(a->o->name, b->o->name, a->len < b->len ? a->len : b->len);
    return r ? r : a->len < b->len ? -1 : a->len > b->len;
}

static size_t stem_of(const char *name) {
    const char *dash = strrchr(name, '-');
    return dash ? (size_t)(dash - name) : strlen(name);
}

/* First of those that sort no lower than the key. */
static size_t lower_bound(const struct stem *stems, size_t n, const struct stem *key) {
    size_t low = 0;
    while (low < n) {
        size_t mid = low + (n - low) / 2;
        if (order_stems(&stems[mid], key) < 0)
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

static bool have_same_data(const struct ref_object *x, const struct ref_object *y) {
    const json_t *a = json_object_get(x->normal, "data");
    return a && json_equal(a, json_object_get(y->normal, "data"));
}

/* Of several the one with the same data: what an earlier state left behind is not it. */
static void match_by_stem(struct matching *g, size_t i, const struct stem *stems, size_t n, const char *name,
                          size_t len) {
    const struct ref_object *a = &g->a->objects[i];
    const struct ref_object named = {.kind = a->kind, .name = name};
    const struct stem key = {&named, len};
    const struct ref_object *best = NULL;
    size_t from = lower_bound(stems, n, &key);
    for (size_t k = from; k < n && k < from + SAME_STEM_MAX && order_stems(&stems[k], &key) == 0; k++) {
        const struct ref_object *o = stems[k].o;
        if (is_taken(g, o) || !ref_name_generated(&g->to->plain, a->name, o->name))
            continue;
        if (!best || (have_same_data(a, o) && !have_same_data(a, best)))
            best = o;
    }
    if (best)
        match(g, i, best);
}

/* ConfigMaps, Secrets and claims that pods refer to by name (core/v1 types.go, PodSpec). */
static int collect_referred(json_t *set, const json_t *v, unsigned depth) {
    static const struct {
        const char *holder, *field, *kind;
    } places[] = {{"configMapRef", "name", "ConfigMap"},
                  {"configMapKeyRef", "name", "ConfigMap"},
                  {"configMap", "name", "ConfigMap"},
                  {"secretRef", "name", "Secret"},
                  {"secretKeyRef", "name", "Secret"},
                  {"secret", "name", "Secret"},
                  {"secret", "secretName", "Secret"},
                  {"persistentVolumeClaim", "claimName", "PersistentVolumeClaim"}};
    const char *key;
    json_t *child;
    size_t i;
    int r = 0;
    if (depth == DEPTH_MAX)
        return 0;
    for (size_t k = 0; r == 0 && k < sizeof places / sizeof *places; k++) {
        const char *name =
            json_string_value(json_object_get(json_object_get(v, places[k].holder), places[k].field));
        char text[2 * REF_NAME_MAX];
        if (!name)
            continue;
        (void)snprintf(text, sizeof text, "%s/%s", places[k].kind, name);
        r = json_object_set_new(set, text, json_true());
    }
    json_object_foreach((json_t *)v, key, child) r = r == 0 ? collect_referred(set, child, depth + 1) : r;
    json_array_foreach((json_t *)v, i, child) r = r == 0 ? collect_referred(set, child, depth + 1) : r;
    return r == 0 ? 0 : -ENOMEM;
}

/* Does an object of b ask for one of exactly this name? Then the one with a suffix is not it. */
static int is_referred(struct matching *g, const char *kind, const char *name, bool *ret) {
    char text[2 * REF_NAME_MAX];
    int r = 0;
    if (!g->referred) {
        g->referred = json_object();
        r = g->referred ? 0 : -ENOMEM;
        for (size_t j = 0; r == 0 && j < g->b->n; j++)
            r = collect_referred(g->referred, g->b->objects[j].normal, 0);
    }
    (void)snprintf(text, sizeof text, "%s/%s", kind, name);
    *ret = json_object_get(g->referred, text) != NULL;
    return r;
}

static int match_generated(struct matching *g) {
    struct stem *stems = calloc(g->b->n + 1, sizeof *stems);
    size_t n = 0;
    if (!stems)
        return -ENOMEM;
    for (size_t j = 0; j < g->b->n; j++)
        if (!g->taken[j])
            stems[n++] = (struct stem){&g->b->objects[j], stem_of(g->b->objects[j].name)};
    qsort(stems, n, sizeof *stems, order_stems);
    int r = 0;
    for (size_t i = 0; r == 0 && n && i < g->a->n; i++) {
        char name[REF_NAME_MAX];
        if (g->of_a[i] || !translate(&g->to->plain, 0, g->a->objects[i].name, name, sizeof name))
            continue;
        if (name[stem_of(name)])
            match_by_stem(g, i, stems, n, name, stem_of(name));
        bool referred = false;
        if (!g->of_a[i])
            r = is_referred(g, g->a->objects[i].kind, name, &referred);
        if (r == 0 && !g->of_a[i] && !referred) /* only the other one has a suffix */
            match_by_stem(g, i, stems, n, name, strlen(name));
    }
    free(stems);
    return r;
}

/* ---- by labels */

struct labelled {
    size_t place;
    char *key; /* kind and labels, as b would write them; owned */
};

static int order_labelled(const void *x, const void *y) {
    return strcmp(((const struct labelled *)x)->key, ((const struct labelled *)y)->key);
}

/* "/metadata/labels/app.kubernetes.io~1name"; false: it does not fit. */
static bool point_at_label(const char *key, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "/metadata/labels/");
    for (; *key; key++) {
        bool escaped = *key == '/' || *key == '~';
        if (n + 3 > size)
            return false;
        out[n++] = escaped ? '~' : *key;
        if (escaped)
            out[n++] = *key == '~' ? '0' : '1';
    }
    out[n] = 0;
    return true;
}

/* Labels that a person chose. A new reference; NULL: no memory. */
static json_t *own_labels(const struct ref_object *o, const struct ref_names *names) {
    json_t *out = json_object();
    const char *key;
    json_t *v;
    json_object_foreach(js_at(o->normal, "/metadata/labels"), key, v) {
        char pointer[REF_NAME_MAX];
        char text[REF_NAME_MAX];
        if (!json_is_string(v) || !point_at_label(key, pointer, sizeof pointer) ||
            ref_is_added(o->kind, pointer, v, o->normal))
            continue;
        if (!names || !translate(names, 0, json_string_value(v), text, sizeof text))
            (void)snprintf(text, sizeof text, "%s", json_string_value(v));
        if (!out || json_object_set_new(out, key, json_string(text)) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* NULL key: it has no labels. */
static int label(struct labelled *l, size_t place, const struct ref_object *o,
                 const struct ref_names *names) {
    *l = (struct labelled){.place = place};
    if (!o->normal)
        return 0;
    json_t *labels = own_labels(o, names);
    char *text = labels && json_object_size(labels) ? js_canonical(labels) : NULL;
    bool failed = !labels || (json_object_size(labels) && !text);
    if (text && asprintf(&l->key, "%s %s", o->kind, text) < 0) {
        l->key = NULL;
        failed = true;
    }
    free(text);
    json_decref(labels);
    return failed ? -ENOMEM : 0;
}

struct labels {
    struct labelled *items; /* owned; by key */
    size_t n;
};

static void free_labels(struct labels *l) {
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].key);
    free(l->items);
}

/* Those of all objects of the side, by labels. */
static int label_side(const struct ref_side *s, const struct ref_names *names, struct labels *ret) {
    ret->items = calloc(s->n + 1, sizeof *ret->items);
    if (!ret->items)
        return -ENOMEM;
    for (size_t i = 0; i < s->n; i++) {
        if (label(&ret->items[ret->n], i, &s->objects[i], names) < 0)
            return -ENOMEM;
        ret->n += ret->items[ret->n].key != NULL;
    }
    qsort(ret->items, ret->n, sizeof *ret->items, order_labelled);
    return 0;
}

static bool is_alone(const struct labels *l, size_t i) {
    return (i == 0 || strcmp(l->items[i - 1].key, l->items[i].key) != 0) &&
           (i + 1 == l->n || strcmp(l->items[i + 1].key, l->items[i].key) != 0);
}

static void match_alone(struct matching *g, const struct labels *a, const struct labels *b) {
    for (size_t i = 0; i < a->n; i++) {
        const struct labelled *x = &a->items[i];
        if (g->of_a[x->place] || !is_alone(a, i) || !b->n)
            continue;
        const struct labelled *y = bsearch(x, b->items, b->n, sizeof *y, order_labelled);
        if (y && is_alone(b, (size_t)(y - b->items)) && !g->taken[y->place])
            match(g, x->place, &g->b->objects[y->place]);
    }
}

static bool is_complete(const struct matching *g) {
    for (size_t i = 0; i < g->a->n; i++)
        if (!g->of_a[i])
            return false;
    return true;
}

static int match_by_labels(struct matching *g) {
    struct labels a = {0};
    struct labels b = {0};
    int r = is_complete(g) ? 0 : label_side(g->a, &g->to->plain, &a);
    if (r == 0 && a.n)
        r = label_side(g->b, NULL, &b);
    if (r == 0)
        match_alone(g, &a, &b);
    free_labels(&a);
    free_labels(&b);
    return r;
}

/* ---- all of them */

bool ref_is_configuration(const struct ref_object *o) {
    static const char *const told[] = {"HelmRelease",          "GitOps", "Endpoints", "ToolCatalogue",
                                       "ProductConfiguration", "Pod",    "Event",     NULL};
    size_t i;
    const json_t *owner;
    for (const char *const *p = told; *p; p++)
        if (strcmp(*p, o->kind) == 0)
            return false;
    json_array_foreach(js_at(o->normal, "metadata.ownerReferences"), i, owner) {
        if (json_is_true(json_object_get(owner, "controller")))
            return false;
    }
    return true;
}

static int append(struct ref_matches *m, const struct ref_object *a, const struct ref_object *b) {
    m->items[m->n++] = (struct ref_match){a, b};
    if (!a || !b || ref_names_same(&m->plain, a->name, b->name))
        return 0;
    return ref_names_add(&m->names, a->name, b->name);
}

static int collect(struct matching *g) {
    struct ref_matches *m = g->to;
    int r = 0;
    m->cap = g->a->n + g->b->n;
    m->items = calloc(m->cap + 1, sizeof *m->items);
    if (!m->items)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < g->a->n; i++)
        r = append(m, &g->a->objects[i], g->of_a[i]);
    for (size_t j = 0; r == 0 && j < g->b->n; j++)
        if (!g->taken[j])
            r = append(m, NULL, &g->b->objects[j]);
    return r;
}

static bool are_same(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static int match_all(struct matching *g) {
    struct ref_matches *m = g->to;
    m->one_place =
        are_same(g->a->release, g->b->release) && are_same(g->a->namespace_name, g->b->namespace_name);
    m->other_key = !g->a->live && g->a->key_id && *g->a->key_id && g->b->key_id &&
                   strcmp(g->a->key_id, g->b->key_id) != 0;
    int r = ref_names_of(g->a, g->b, &m->plain);
    if (r == 0)
        r = ref_names_of(g->a, g->b, &m->names);
    for (size_t i = 0; r == 0 && i < g->a->n; i++)
        match_by_name(g, i);
    if (r == 0)
        r = match_generated(g);
    if (r == 0)
        r = match_by_labels(g);
    return r == 0 ? collect(g) : r;
}

int ref_match_sides(const struct ref_side *a, const struct ref_side *b, struct ref_matches *ret) {
    struct matching g = {.a = a, .b = b, .to = ret};
    *ret = (struct ref_matches){0};
    g.of_a = calloc(a->n + 1, sizeof *g.of_a);
    g.taken = calloc(b->n + 1, sizeof *g.taken);
    int r = g.of_a && g.taken ? match_all(&g) : -ENOMEM;
    free(g.of_a);
    free(g.taken);
    json_decref(g.referred);
    if (r < 0)
        ref_matches_free(ret);
    return r;
}

void ref_matches_free(struct ref_matches *m) {
    free(m->items);
    ref_names_free(&m->plain);
    ref_names_free(&m->names);
    *m = (struct ref_matches){0};
}
