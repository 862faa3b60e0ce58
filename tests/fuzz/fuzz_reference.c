/* Two stages as hostile agents may tell them, matched and compared, as a reference and with each other:
 * nothing crashes, what is kept is bounded and shows no keyed hash, and an object does not differ from
 * itself. Input: a byte for the kind, two texts with a NUL between; each a JSON array of normal forms, or
 * one. */
#include <string.h>

#include "base/js.h"
#include "fuzz.h"
#include "reference/compare.h"
#include "wire/wire.h"

#define OBJECTS_MAX 64

static const char *const kinds[] = {
    "Deployment",        "ConfigMap", "Secret",      "NetworkPolicy",
    "Ingress",           "Service",   "StatefulSet", "HorizontalPodAutoscaler",
    "Cache.lab.example", "Role"};

static void add(struct ref_side *s, const json_t *normal, size_t kind) {
    const char *name = js_str(normal, "metadata.name", "x");
    struct ref_object o = {.kind = kinds[kind % (sizeof kinds / sizeof *kinds)],
                           .name = strlen(name) <= WIRE_NAME_MAX ? name : "x",
                           .normal = normal,
                           .release = ""};
    MUST(ref_side_add(s, &o) == 0);
}

static void fill(struct ref_side *s, const json_t *doc, size_t kind) {
    *s = (struct ref_side){.label = "fuzz/stage", .live = true};
    if (json_is_object(doc))
        add(s, doc, kind);
    for (size_t i = 0; i < json_array_size(doc) && i < OBJECTS_MAX; i++)
        if (json_is_object(json_array_get(doc, i)))
            add(s, json_array_get(doc, i), kind + i);
    MUST(ref_side_finish(s) == 0);
}

static void look_at_value(const char *text) {
    if (!text)
        return;
    MUST(strlen(text) <= REF_VALUE_MAX + 6);
    for (const char *p = strstr(text, "keyed:"); p; p = strstr(p + 1, "keyed:"))
        MUST(strspn(p + 6, "0123456789abcdef") < 64);
}

static size_t compare(const struct ref_matches *m, const struct ref_match *x, bool exact) {
    struct ref_differences d = {0};
    MUST(ref_compare_objects(m, x->a, x->b, exact, &d) == 0);
    MUST(d.n <= REF_DIFFERENCES_KEPT && (d.n == REF_DIFFERENCES_KEPT || d.more == 0));
    for (size_t i = 0; i < d.n; i++) {
        const struct ref_difference *f = &d.items[i];
        MUST(f->pointer && f->where && (f->expected || f->found) && f->of == x->b && f->of_a == x->a);
        MUST(!f->field || f->what == REF_EXTRA);
        look_at_value(f->expected);
        look_at_value(f->found);
    }
    size_t n = d.n;
    ref_differences_free(&d);
    return n;
}

/* Every object of either side is in one match. */
static void compare_sides(const struct ref_side *a, const struct ref_side *b, bool same) {
    struct ref_matches m;
    size_t n_a = 0;
    size_t n_b = 0;
    MUST(ref_match_sides(a, b, &m) == 0);
    for (size_t i = 0; i < m.n; i++) {
        const struct ref_match *x = &m.items[i];
        n_a += x->a != NULL;
        n_b += x->b != NULL;
        if (!x->a || !x->b)
            continue;
        size_t n = compare(&m, x, true) + compare(&m, x, false);
        MUST(!same || x->a->normal != x->b->normal || n == 0);
    }
    MUST(n_a == a->n && n_b == b->n);
    ref_matches_free(&m);
}

static void look_between(const struct ref_side *a, const struct ref_side *b) {
    json_t *doc;
    struct err e;
    MUST(ref_between(NULL, a, b, 0, &doc, &e) == 0);
    MUST(json_array_size(json_object_get(doc, "differences")) <= REF_DIFFERENCES_KEPT);
    char *text = js_canonical(doc);
    MUST(text);
    free(text);
    json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ref_side a, b, again;
    json_t *x = NULL;
    json_t *y = NULL;
    if (size < 2 || size > 2 * WIRE_NORMAL_MAX)
        return 0;
    const char *text = (const char *)data + 1;
    size_t first = strnlen(text, size - 1);
    const char *second = first + 1 < size - 1 ? text + first + 1 : text;
    size_t rest = second == text ? first : size - 1 - first - 1;
    if (js_parse(text, first, WIRE_NORMAL_MAX, &x, NULL) == 0 &&
        js_parse(second, rest, WIRE_NORMAL_MAX, &y, NULL) == 0) {
        fill(&a, x, data[0]);
        fill(&b, y, data[0]);
        fill(&again, x, data[0]);
        compare_sides(&a, &again, true);
        compare_sides(&a, &b, false);
        compare_sides(&b, &a, false);
        look_between(&a, &b);
        ref_side_free(&a);
        ref_side_free(&b);
        ref_side_free(&again);
    }
    json_decref(x);
    json_decref(y);
    return 0;
}
