/* Two states of an object, as an agent may tell them: what differs is bounded, shows no keyed hash, is
 * nothing where nothing changed, and something both ways or none. Input: a byte for the kind, two texts with
 * a NUL between. */
#include <string.h>

#include "base/js.h"
#include "correlate/differences.h"
#include "correlate/facts.h"
#include "fuzz.h"

static size_t hex_run(const char *s) {
    return strspn(s, "0123456789abcdef");
}

static void look_at_value(const char *text) {
    if (!text)
        return;
    MUST(strlen(text) <= DIFF_VALUE_MAX + 6);
    for (const char *p = strstr(text, "keyed:"); p; p = strstr(p + 1, "keyed:"))
        MUST(hex_run(p + 6) < 64);
}

static size_t compare(const Pilotgate__Object *a, const Pilotgate__Object *b) {
    struct differences d;
    struct err e;
    MUST(diff_objects(a, b, &d, &e) == 0);
    MUST(d.n <= DIFF_ITEMS_MAX && (d.n == DIFF_ITEMS_MAX || d.more == 0));
    for (size_t i = 0; i < d.n; i++) {
        const struct difference *x = &d.items[i];
        MUST(x->pointer && x->where && (x->before || x->after));
        MUST(!x->line_from == !x->line_to && x->line_from <= x->line_to && x->after_from <= x->after_to);
        look_at_value(x->before);
        look_at_value(x->after);
    }
    size_t n = d.n;
    diff_free(&d);
    return n;
}

/* Field by field there is a difference where there is one at all; and states in two forms compare, or do not.
 */
static void compare_fields(Pilotgate__Object *a, Pilotgate__Object *b, size_t n) {
    json_t *x = NULL;
    json_t *y = NULL;
    struct differences d;
    struct err e;
    if (js_parse(a->normal, strlen(a->normal), WIRE_NORMAL_MAX, &x, NULL) == 0 &&
        js_parse(b->normal, strlen(b->normal), WIRE_NORMAL_MAX, &y, NULL) == 0 &&
        strcmp(a->kind, "HelmRelease") != 0) { /* of which whole places are left out */
        MUST(diff_fields(a->kind, x, y, &d, &e) == 0);
        MUST(!d.n == !n);
        for (size_t i = 0; i < d.n; i++) {
            look_at_value(d.items[i].before);
            look_at_value(d.items[i].after);
        }
        diff_free(&d);
    }
    json_decref(x);
    json_decref(y);
    a->digest = (char *)"a";
    b->digest = (char *)"b";
    a->norm = 1;
    b->norm = 2;
    enum fact_same same = facts_same(a, b);
    MUST(same == facts_same(b, a) &&
         (n > 0 || same != FACT_DIFFERS || strcmp(a->kind, "ToolCatalogue") == 0 ||
          strcmp(a->kind, "HelmRelease") == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const kinds[] = {"Deployment", "ConfigMap", "HelmRelease", "ToolCatalogue"};
    if (size < 2 || size > 2 * WIRE_NORMAL_MAX)
        return 0;
    char *texts = malloc(size);
    MUST(texts);
    memcpy(texts, data + 1, size - 1);
    texts[size - 1] = 0;
    size_t first = strlen(texts);
    Pilotgate__Object a = PILOTGATE__OBJECT__INIT;
    Pilotgate__Object b = PILOTGATE__OBJECT__INIT;
    a.kind = b.kind = (char *)kinds[data[0] % 4];
    a.normal = texts;
    b.normal = first + 1 < size ? texts + first + 1 : texts;
    MUST(compare(&a, &a) == 0);
    size_t n = compare(&a, &b);
    MUST(!n == !compare(&b, &a));
    compare_fields(&a, &b, n);
    free(texts);
    return 0;
}
