/* groups: expectations about which objects there are (all_of, any_of, one_of, none_of, optional), and about
 * what each selected one is (for, expect). See checks.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

#define NAMED_MAX 200 /* bytes of a selector, for people */

/* ---- a selector, for people */

static void add_text(char *out, size_t size, const char *before, const json_t *v) {
    const json_t *first = json_is_array(v) ? json_array_get(v, 0) : v;
    size_t n = strlen(out);
    if (json_is_string(first))
        (void)snprintf(out + n, size - n, "%s%s%s", before, json_string_value(first),
                       json_array_size(v) > 1 ? " (or others)" : "");
}

static void describe(const json_t *selector, char out[NAMED_MAX]) {
    const char *key;
    json_t *v;
    *out = 0;
    add_text(out, NAMED_MAX, "", json_object_get(selector, "kind"));
    add_text(out, NAMED_MAX, "/", json_object_get(selector, "name"));
    json_object_foreach(json_object_get(selector, "labels"), key, v) {
        size_t n = strlen(out);
        (void)snprintf(out + n, NAMED_MAX - n, " %s=%s", key, json_string_value(v));
    }
    if (json_object_get(selector, "where") || json_object_get(selector, "not"))
        (void)snprintf(out + strlen(out), NAMED_MAX - strlen(out), " as asked");
}

/* ---- selecting */

struct found {
    const struct ref_scope *scope;
    const json_t *expectation;
    struct ref_outcome *out;
    size_t n;
    const struct ref_object *first;
};

static int count(void *ctx, const struct ref_object *o) {
    struct found *f = ctx;
    f->first = f->n++ ? f->first : o;
    return 0;
}

/* What one selector of a group came to. */
struct selected {
    size_t n;
    bool unknown;
    const struct ref_object *first;
};

static int select_one(const struct ref_scope *s, const json_t *selector, struct ref_outcome *out,
                      struct selected *ret) {
    struct ref_outcome aside = {0};
    struct found f = {.out = &aside};
    int r = ref_select(s, selector, &aside, count, &f);
    *ret = (struct selected){f.n, aside.unknown, f.first};
    out->objects += f.n;
    if (aside.unknown && f.n == 0 && !*out->why)
        (void)snprintf(out->why, sizeof out->why, "%s", aside.why);
    ref_outcome_free(&aside);
    return r;
}

static int missing(struct ref_outcome *out, const char *object, const char *expected) {
    json_t *text = json_string(expected);
    int r = text ? ref_differences_add(&out->differences, REF_MISSING, NULL, object, "", "", text, NULL)
                 : -ENOMEM;
    json_decref(text);
    return r;
}

/* ---- groups */

static int all_of(const struct ref_scope *s, const json_t *selectors, struct ref_outcome *out) {
    size_t i;
    json_t *selector;
    bool unknown = false;
    json_array_foreach((json_t *)selectors, i, selector) {
        struct selected x;
        char named[NAMED_MAX];
        describe(selector, named);
        int r = select_one(s, selector, out, &x);
        if (r == 0 && x.n == 0 && !x.unknown)
            r = missing(out, named, "at least one");
        unknown = unknown || (x.n == 0 && x.unknown);
        if (r < 0)
            return r;
    }
    out->unknown = unknown;
    return 0;
}

/* Counts selectors that select something: at least one, and with `exactly` no second one. */
static int some_of(const struct ref_scope *s, const json_t *selectors, bool exactly,
                   struct ref_outcome *out) {
    char names[400] = "", there[400] = "";
    size_t i, n = 0;
    json_t *selector;
    bool unknown = false;
    json_array_foreach((json_t *)selectors, i, selector) {
        struct selected x;
        char named[NAMED_MAX];
        int r = select_one(s, selector, out, &x);
        if (r < 0)
            return r;
        describe(selector, named);
        (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? " or " : "",
                       named);
        if (x.n)
            (void)snprintf(there + strlen(there), sizeof there - strlen(there), "%s%s", n ? ", " : "", named);
        n += x.n > 0;
        unknown = unknown || (x.n == 0 && x.unknown);
    }
    out->unknown = unknown && (exactly ? n < 2 : n == 0);
    if (out->unknown || n == 1 || (!exactly && n > 1)) {
        if (!out->unknown)
            *out->why = 0;
        return 0;
    }
    char asked[40];
    (void)snprintf(asked, sizeof asked, "%s of them", exactly ? "exactly one" : "at least one");
    json_t *expected = ref_json_text(asked);
    json_t *found = n ? ref_json_text(there) : NULL;
    int r = expected && (found || !n) ? ref_differences_add(&out->differences, n ? REF_UNMET : REF_MISSING,
                                                            NULL, names, "", "", expected, found)
                                      : -ENOMEM;
    json_decref(expected);
    json_decref(found);
    return r;
}

static int forbid(void *ctx, const struct ref_object *o) {
    struct found *f = ctx;
    char object[2 * REF_NAME_MAX];
    f->n++;
    (void)snprintf(object, sizeof object, "%s/%s", o->kind, o->name);
    return ref_differences_add(&f->out->differences, REF_EXTRA, o, object, "", "", NULL, NULL);
}

static int none_of(const struct ref_scope *s, const json_t *selectors, struct ref_outcome *out) {
    struct found f = {.out = out};
    int r = ref_select(s, selectors, out, forbid, &f);
    out->objects += f.n;
    return r;
}

/* Never failed for: what is there is told. */
static int optional(const struct ref_scope *s, const json_t *selectors, struct ref_outcome *out) {
    char there[200] = "", not_there[200] = "";
    size_t i;
    json_t *selector;
    json_array_foreach((json_t *)selectors, i, selector) {
        struct selected x;
        char named[NAMED_MAX];
        int r = select_one(s, selector, out, &x);
        if (r < 0)
            return r;
        describe(selector, named);
        char *into = x.n ? there : not_there;
        (void)snprintf(into + strlen(into), sizeof there - strlen(into), "%s%s", *into ? ", " : "", named);
    }
    (void)snprintf(out->why, sizeof out->why, "%s%s%s%s%s", *there ? "there: " : "", there,
                   *there && *not_there ? "; " : "", *not_there ? "not there: " : "", not_there);
    return 0;
}

/* ---- for, expect */

static int expect_of(void *ctx, const struct ref_object *o) {
    struct found *f = ctx;
    size_t i;
    json_t *condition;
    f->n++;
    json_array_foreach(json_object_get(f->expectation, "expect"), i, condition) {
        int r = ref_condition(f->scope, condition, o, f->out);
        if (r < 0)
            return r;
    }
    return 0;
}

static int expect(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out) {
    const json_t *of = json_object_get(expectation, "for");
    struct found f = {.scope = s, .expectation = expectation, .out = out};
    char named[NAMED_MAX];
    int r = ref_select(s, of, out, expect_of, &f);
    out->objects += f.n;
    if (r < 0 || f.n || out->unknown)
        return r;
    if (js_bool(expectation, "if_any", false)) {
        (void)snprintf(out->why, sizeof out->why, "there is none of what this is about");
        return 0;
    }
    describe(json_is_array(of) ? json_array_get(of, 0) : of, named);
    return missing(out, named, "at least one");
}

int ref_group(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out) {
    const json_t *of;
    if ((of = json_object_get(expectation, "all_of")))
        return all_of(s, of, out);
    if ((of = json_object_get(expectation, "any_of")))
        return some_of(s, of, false, out);
    if ((of = json_object_get(expectation, "one_of")))
        return some_of(s, of, true, out);
    if ((of = json_object_get(expectation, "none_of")))
        return none_of(s, of, out);
    if ((of = json_object_get(expectation, "optional")))
        return optional(s, of, out);
    return expect(s, expectation, out);
}

const struct ref_check_type *ref_check_type(const char *name) {
    for (const struct ref_check_type *t = ref_check_types; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}
