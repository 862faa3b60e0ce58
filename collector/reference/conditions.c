/* conditions: what a CONDITION asks of each place of an object. See checks.h, and reference.h for the words.
 *
 * Where nothing is there counts as `absent`, if that is said; else nothing is there: not, not_in and
 * `present: false` hold of it, and nothing else does. A "*" that meets an empty list is one such place. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

enum result { MET, UNMET, UNKNOWN };

struct asking {
    const struct ref_scope *scope;
    const json_t *condition;
    const struct ref_object *object;
    struct ref_outcome *out;
    size_t met, unmet;
    bool unknown;
};

/* ---- values by meaning */

static bool same(const char *kind, const char *pointer, const json_t *a, const json_t *b);

static bool same_members(const char *kind, const char *pointer, const json_t *a, const json_t *b) {
    const char *key;
    json_t *v;
    char below[REF_AT_MAX];
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, v) {
        const json_t *other = json_object_get(b, key);
        (void)snprintf(below, sizeof below, "%s/%s", pointer, key);
        if (!other || !same(kind, below, v, other))
            return false;
    }
    return true;
}

static bool same(const char *kind, const char *pointer, const json_t *a, const json_t *b) {
    char below[REF_AT_MAX];
    if (json_is_object(a) && json_is_object(b))
        return same_members(kind, pointer, a, b);
    if (!json_is_array(a) || !json_is_array(b))
        return !json_is_object(a) && !json_is_object(b) && !json_is_array(a) && !json_is_array(b) &&
               ref_same_value(ref_meaning_of(kind, pointer), a, b);
    bool all = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; all && i < json_array_size(a); i++) {
        (void)snprintf(below, sizeof below, "%s/%zu", pointer, i);
        all = same(kind, below, json_array_get(a, i), json_array_get(b, i));
    }
    return all;
}

static bool among(const struct asking *x, const char *pointer, const json_t *list, const json_t *v) {
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)list, i, one) {
        if (same(x->object->kind, pointer, v, one))
            return true;
    }
    return false;
}

/* A leaf as a text; NULL: it is none. */
static const char *text_of(const json_t *v, char *out, size_t size) {
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        (void)snprintf(out, size, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)snprintf(out, size, "%.15g", json_real_value(v));
    else if (json_is_boolean(v))
        (void)snprintf(out, size, "%s", json_is_true(v) ? "true" : "false");
    else
        return NULL;
    return out;
}

static bool matches(const struct asking *x, const json_t *globs, const json_t *v) {
    char number[40];
    const char *text = text_of(v, number, sizeof number);
    size_t i;
    json_t *glob;
    if (!text)
        return false;
    if (json_is_string(globs))
        return ref_glob_object(x->scope->live, json_string_value(globs), "", text);
    json_array_foreach((json_t *)globs, i, glob) {
        if (ref_glob_object(x->scope->live, json_string_value(glob), "", text))
            return true;
    }
    return false;
}

static bool contains(const struct asking *x, const char *pointer, const json_t *wanted, const json_t *v) {
    size_t i;
    json_t *one;
    if (json_is_string(v) && json_is_string(wanted))
        return strstr(json_string_value(v), json_string_value(wanted)) != NULL;
    json_array_foreach((json_t *)v, i, one) {
        char below[REF_AT_MAX];
        (void)snprintf(below, sizeof below, "%s/%zu", pointer, i);
        if (same(x->object->kind, below, one, wanted))
            return true;
    }
    return json_is_object(v) && json_is_string(wanted) && json_object_get(v, json_string_value(wanted));
}

/* ---- images */

/* A glob, or a repository as people write it: "nginx" is docker.io/library/nginx. */
static bool names_repository(const json_t *globs, const char *repository) {
    struct ref_image image;
    size_t i;
    json_t *glob;
    if (ref_glob_any(globs, repository))
        return true;
    if (json_is_string(globs))
        return ref_image(json_string_value(globs), &image) == 0 && strcmp(image.repository, repository) == 0;
    json_array_foreach((json_t *)globs, i, glob) {
        if (ref_image(json_string_value(glob), &image) == 0 && strcmp(image.repository, repository) == 0)
            return true;
    }
    return false;
}

static bool image_holds(const json_t *asked, const json_t *v) {
    struct ref_image image;
    const json_t *repository = json_object_get(asked, "repository");
    const json_t *tag = json_object_get(asked, "tag");
    const json_t *not_tag = json_object_get(asked, "not_tag");
    const json_t *digest = json_object_get(asked, "digest");
    if (!json_is_string(v) || ref_image(json_string_value(v), &image) < 0)
        return false;
    return (!repository || names_repository(repository, image.repository)) &&
           (!tag || ref_glob_any(tag, image.tag)) && (!not_tag || !ref_glob_any(not_tag, image.tag)) &&
           (!digest || json_is_true(digest) == (*image.digest != 0));
}

/* ---- one place */

static enum result order_holds(const json_t *v, const json_t *limit, bool least) {
    bool known = false;
    int order = ref_order(v, limit, &known);
    return known && (least ? order >= 0 : order <= 0) ? MET : UNMET;
}

/* Nothing is there, and nothing is said of what that counts as. */
static enum result nothing_holds(const char *form, const json_t *asked) {
    bool met = strcmp(form, "not") == 0 || strcmp(form, "not_in") == 0 ||
               (strcmp(form, "present") == 0 && json_is_false(asked));
    return met ? MET : UNMET;
}

static enum result place_holds(const struct asking *x, const char *form, const json_t *asked,
                               const char *pointer, const json_t *v) {
    const char *kind = x->object->kind;
    if (strcmp(form, "present") == 0)
        return json_is_true(asked) == (v != NULL) ? MET : UNMET;
    if (!v)
        return nothing_holds(form, asked);
    if (ref_is_reduced(v))
        return UNKNOWN;
    bool met = false;
    if (strcmp(form, "at_least") == 0 || strcmp(form, "at_most") == 0)
        return order_holds(v, asked, form[3] == 'l');
    if (strcmp(form, "equals") == 0)
        met = same(kind, pointer, v, asked);
    else if (strcmp(form, "not") == 0)
        met = !same(kind, pointer, v, asked);
    else if (strcmp(form, "in") == 0)
        met = among(x, pointer, asked, v);
    else if (strcmp(form, "not_in") == 0)
        met = !among(x, pointer, asked, v);
    else if (strcmp(form, "matches") == 0)
        met = matches(x, asked, v);
    else if (strcmp(form, "contains") == 0)
        met = contains(x, pointer, asked, v);
    else if (strcmp(form, "image") == 0)
        met = image_holds(asked, v);
    return met ? MET : UNMET;
}

/* Which form it is, and what is asked. */
static const char *form_of(const json_t *condition, const json_t **ret_asked) {
    for (const char *const *f = ref_condition_forms; *f; f++) {
        *ret_asked = json_object_get(condition, *f);
        if (*ret_asked)
            return *f;
    }
    return "";
}

/* ---- what was asked, for people */

static void join(const json_t *v, const char *between, char *out, size_t size) {
    size_t i;
    json_t *one;
    char number[40];
    const char *text = text_of(v, number, sizeof number);
    if (!json_is_array(v)) {
        char *canonical = text ? NULL : js_canonical(v);
        (void)snprintf(out, size, "%s", text ? text : canonical ? canonical : "");
        free(canonical);
        return;
    }
    *out = 0;
    json_array_foreach((json_t *)v, i, one) {
        size_t n = strlen(out);
        text = text_of(one, number, sizeof number);
        char *canonical = text ? NULL : js_canonical(one);
        (void)snprintf(out + n, size - n, "%s%s", i ? between : "", text ? text : canonical ? canonical : "");
        free(canonical);
    }
}

static void image_asked(const json_t *asked, char *out, size_t size) {
    static const struct {
        const char *key, *words;
    } parts[] = {{"repository", "of "}, {"tag", "with tag "}, {"not_tag", "without tag "}};
    (void)snprintf(out, size, "an image");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *v = json_object_get(asked, parts[i].key);
        char text[REF_VALUE_MAX];
        size_t n = strlen(out);
        if (!v)
            continue;
        join(v, " or ", text, sizeof text);
        (void)snprintf(out + n, size - n, " %s%s", parts[i].words, text);
    }
    const json_t *digest = json_object_get(asked, "digest");
    size_t n = strlen(out);
    if (digest)
        (void)snprintf(out + n, size - n, " %s a digest", json_is_true(digest) ? "with" : "without");
}

static json_t *asked_text(const char *form, const json_t *asked) {
    static const struct {
        const char *form, *words;
    } words[] = {
        {"not", "not "},        {"at_least", "at least "}, {"at_most", "at most "},    {"in", "one of "},
        {"not_in", "none of "}, {"matches", "like "},      {"contains", "containing "}};
    char text[2 * REF_VALUE_MAX];
    if (strcmp(form, "present") == 0)
        return json_string(json_is_true(asked) ? "anything" : "nothing");
    if (strcmp(form, "equals") == 0)
        return json_incref((json_t *)asked);
    if (strcmp(form, "image") == 0) {
        image_asked(asked, text, sizeof text);
        return ref_json_text(text);
    }
    join(asked, ", ", text, sizeof text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].form, form) == 0) {
            char all[3 * REF_VALUE_MAX];
            (void)snprintf(all, sizeof all, "%s%s", words[i].words, text);
            return ref_json_text(all);
        }
    return ref_json_text(text);
}

/* ---- the contract */

static int unmet_at(struct asking *x, const struct ref_place *p, const char *form, const json_t *asked,
                    enum ref_what what) {
    char object[2 * REF_NAME_MAX];
    json_t *expected = asked_text(form, asked);
    if (!expected)
        return -ENOMEM;
    (void)snprintf(object, sizeof object, "%s/%s", x->object->kind, x->object->name);
    int r = ref_differences_add(&x->out->differences, what, x->object, object, p->pointer, p->where, expected,
                                p->value);
    json_decref(expected);
    return r;
}

static int look_at_place(void *ctx, const struct ref_place *p) {
    struct asking *x = ctx;
    const json_t *asked = NULL;
    const char *form = form_of(x->condition, &asked);
    const json_t *v = p->value ? p->value : json_object_get(x->condition, "absent");
    enum result r = place_holds(x, form, asked, p->pointer, json_is_null(v) ? NULL : v);
    x->met += r == MET;
    x->unmet += r == UNMET;
    if (r == UNKNOWN) {
        x->unknown = true;
        ref_outcome_unknown(x->out, "%s/%s: %s%s%s is a secret, of which only a keyed hash is told",
                            x->object->kind, x->object->name, p->pointer, *p->where ? " of " : "", p->where);
    }
    bool each = js_bool(x->condition, "every", true);
    return r == UNMET && each ? unmet_at(x, p, form, asked, REF_UNMET) : 0;
}

int ref_condition(const struct ref_scope *s, const json_t *condition, const struct ref_object *o,
                  struct ref_outcome *out) {
    struct asking x = {.scope = s, .condition = condition, .object = o, .out = out};
    const char *at = js_str(condition, "at", "");
    if (!o->normal) {
        ref_outcome_unknown(out, "%s/%s: %s", o->kind, o->name,
                            o->unknown ? o->unknown : "nobody knows what is in it");
        return 0;
    }
    if (js_bool(condition, "every", true))
        return ref_places(o->normal, at, look_at_place, &x);
    struct ref_outcome aside = {0}; /* one place that holds is enough: then the others say nothing */
    x.out = &aside;
    int r = ref_places(o->normal, at, look_at_place, &x);
    if (r == 0 && x.met == 0 && x.unknown)
        ref_outcome_unknown(out, "%s", aside.why);
    ref_outcome_free(&aside);
    const json_t *asked = NULL;
    const char *form = form_of(condition, &asked);
    struct ref_place place = {NULL, at, ""};
    x.out = out;
    return r == 0 && x.met == 0 && !x.unknown ? unmet_at(&x, &place, form, asked, REF_UNMET) : r;
}

bool ref_condition_holds(const struct ref_scope *s, const json_t *condition, const struct ref_object *o) {
    struct ref_outcome out = {0};
    bool met = ref_condition(s, condition, o, &out) == 0 && !out.unknown && out.differences.n == 0;
    ref_outcome_free(&out);
    return met;
}
