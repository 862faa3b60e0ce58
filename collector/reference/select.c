/* select: which objects of a stage a SELECTOR means. See checks.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

/* What could be said of an object, when some of it is not known. */
enum answer { NO, YES, MAYBE };

static bool names_kind(const json_t *kinds, const char *kind) {
    size_t i;
    json_t *k;
    if (!kinds || json_is_string(kinds))
        return !kinds || strcmp(json_string_value(kinds), kind) == 0;
    json_array_foreach((json_t *)kinds, i, k) {
        if (strcmp(json_string_value(k), kind) == 0)
            return true;
    }
    return false;
}

struct name { /* as it is called, and with {release} and {namespace} in it, in both of Helm's ways */
    const char *forms[3];
};

static bool matches_one(const json_t *glob, const struct name *n) {
    for (size_t i = 0; i < 3; i++)
        if (n->forms[i] && word_glob(json_string_value(glob), n->forms[i]))
            return true;
    return false;
}

static bool names_object(const struct ref_side *s, const json_t *globs, const char *name) {
    char relative[REF_NAME_MAX];
    char other[2 * REF_NAME_MAX];
    struct name n = {.forms = {name}};
    size_t i;
    json_t *glob;
    if (!globs)
        return true;
    if (ref_name_relative(s, name, relative, sizeof relative)) {
        n.forms[1] = relative;
        n.forms[2] = ref_name_other(s, relative, other, sizeof other) ? other : NULL;
    }
    if (json_is_string(globs))
        return matches_one(globs, &n);
    json_array_foreach((json_t *)globs, i, glob) {
        if (matches_one(glob, &n))
            return true;
    }
    return false;
}

static bool has_labels(const struct ref_side *s, const json_t *globs, const json_t *labels) {
    const char *key;
    json_t *glob;
    json_object_foreach((json_t *)globs, key, glob) {
        const char *value = json_string_value(json_object_get(labels, key));
        if (!value || !ref_glob_object(s, json_string_value(glob), "", value))
            return false;
    }
    return true;
}

/* Of one CONDITION; a value that is reduced makes it MAYBE. */
static enum answer holds(const struct ref_scope *s, const json_t *condition, const struct ref_object *o) {
    struct ref_outcome out = {0};
    if (ref_condition(s, condition, o, &out) < 0)
        out.unknown = true;
    enum answer a = out.differences.n ? NO : out.unknown ? MAYBE : YES;
    ref_outcome_free(&out);
    return a;
}

static enum answer selects(const struct ref_scope *s, const json_t *selector, const struct ref_object *o) {
    const json_t *labels = json_object_get(selector, "labels");
    const json_t *where = json_object_get(selector, "where");
    const json_t *not = json_object_get(selector, "not");
    enum answer all = YES;
    size_t i;
    json_t *condition;
    if (!names_kind(json_object_get(selector, "kind"), o->kind) ||
        !names_object(s->live, json_object_get(selector, "name"), o->name))
        return NO;
    if ((labels || where) && !o->normal)
        all = MAYBE;
    else if (labels && !has_labels(s->live, labels, js_at(o->normal, "metadata.labels")))
        return NO;
    json_array_foreach((json_t *)(o->normal ? where : NULL), i, condition) {
        enum answer a = holds(s, condition, o);
        if (a == NO)
            return NO;
        all = a == MAYBE ? MAYBE : all;
    }
    enum answer inner = not ? selects(s, not, o) : NO;
    return inner == YES ? NO : inner == MAYBE ? MAYBE : all;
}

/* Of a selector, a list of them or none at all. */
static enum answer selects_any(const struct ref_scope *s, const json_t *selector,
                               const struct ref_object *o) {
    enum answer best = NO;
    size_t i;
    json_t *one;
    if (!selector)
        return YES;
    if (!json_is_array(selector))
        return selects(s, selector, o);
    json_array_foreach((json_t *)selector, i, one) {
        enum answer a = selects(s, one, o);
        if (a == YES)
            return YES;
        best = a == MAYBE ? MAYBE : best;
    }
    return best;
}

bool ref_selected(const struct ref_scope *s, const json_t *selector, const struct ref_object *o) {
    return selects_any(s, selector, o) == YES;
}

/* ---- kinds that nobody read */

static void look_at_kind(const struct ref_scope *s, const char *kind, struct ref_outcome *out) {
    const char *why = s->live->unread ? s->live->unread(s->live->unread_ctx, kind) : NULL;
    if (why)
        ref_outcome_unknown(out, "%s: %s", kind, why);
}

static void look_at_kinds(const struct ref_scope *s, const json_t *selector, struct ref_outcome *out) {
    const json_t *kinds = json_object_get(selector, "kind");
    size_t i;
    json_t *one;
    if (json_is_array(selector))
        json_array_foreach((json_t *)selector, i, one) look_at_kinds(s, one, out);
    else if (json_is_array(kinds))
        json_array_foreach((json_t *)kinds, i, one) look_at_kind(s, json_string_value(one), out);
    else if (kinds)
        look_at_kind(s, json_string_value(kinds), out);
}

int ref_select(const struct ref_scope *s, const json_t *selector, struct ref_outcome *out, ref_select_fn *fn,
               void *ctx) {
    look_at_kinds(s, selector, out);
    for (size_t i = 0; i < s->live->n; i++) {
        const struct ref_object *o = &s->live->objects[i];
        enum answer a = selects_any(s, selector, o);
        if (a == MAYBE)
            ref_outcome_unknown(out, "whether %s/%s is meant: %s", o->kind, o->name,
                                o->normal    ? "it depends on a value that is a secret"
                                : o->unknown ? o->unknown
                                             : "nobody knows what is in it");
        int r = a == YES ? fn(ctx, o) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}
