/* parse_expect: conditions, selectors and expectations, of which parse.c's document is made. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/kinds.h"
#include "reference/parse_priv.h"

#define NOT_MAX 4 /* selectors inside each other */

/* ---- conditions */

const char *const ref_condition_forms[] = {"equals",  "not",     "at_least", "at_most",  "in", "not_in",
                                           "matches", "present", "image",    "contains", NULL};

static int orderable(struct ref_parse *p, const json_t *v) {
    bool known = false;
    (void)ref_order(v, v, &known);
    return known ? 0
                 : ref_parse_say(p, "must be a number, a quantity such as 512Mi, a duration or a percentage");
}

static int values(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "values", REF_LIST_MAX, ref_parse_anything);
}

static int image(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {
        {"repository", ref_parse_globs, false},
        {"tag", ref_parse_globs, false},
        {"not_tag", ref_parse_globs, false},
        {"digest", ref_parse_boolean, false},
        {NULL, NULL, false},
    };
    if (json_is_object(v) && json_object_size(v) == 0)
        return ref_parse_say(p, "an image needs repository, tag, not_tag or digest");
    return ref_parse_mapping(p, v, "an image", fields);
}

static int condition(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {
        {"at", ref_parse_pointer, true},
        {"equals", ref_parse_anything, false},
        {"not", ref_parse_anything, false},
        {"at_least", orderable, false},
        {"at_most", orderable, false},
        {"in", values, false},
        {"not_in", values, false},
        {"matches", ref_parse_globs, false},
        {"present", ref_parse_boolean, false},
        {"image", image, false},
        {"contains", ref_parse_anything, false},
        {"every", ref_parse_boolean, false},
        {"absent", ref_parse_anything, false},
        {NULL, NULL, false},
    };
    int r = ref_parse_mapping(p, v, "a condition", fields);
    return r < 0 ? r : ref_parse_exactly_one(p, v, "a condition", ref_condition_forms);
}

static int conditions(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "conditions", REF_LIST_MAX, condition);
}

/* ---- selectors */

/* A kind of Kubernetes' own, one with its group, or one that agents make up. */
static int kind(struct ref_parse *p, const json_t *v) {
    static const char *const told[] = {"HelmRelease", "GitOps", NULL};
    const char *s = json_string_value(v);
    int r = ref_parse_text_upto(p, v, KINDS_NAME_MAX - 1);
    if (r < 0 || strchr(s, '.') || ref_parse_is_among(s, kinds_builtin) || ref_parse_is_among(s, told))
        return r;
    const char *near = word_nearest(s, kinds_builtin);
    return near ? ref_parse_say(p, "there is no kind '%.60s': did you mean '%s'?", s, near)
                : ref_parse_say(p,
                                "Kubernetes has no kind '%.60s' of its own: a custom resource is written "
                                "KIND.GROUP, such as "
                                "HTTPRoute.gateway.networking.k8s.io",
                                s);
}

static int kinds(struct ref_parse *p, const json_t *v) {
    return ref_parse_one_or_list(p, v, "kinds", kind);
}

static int labels(struct ref_parse *p, const json_t *v) {
    const char *key;
    json_t *value;
    if (!json_is_object(v) || json_object_size(v) == 0 || json_object_size(v) > REF_LIST_MAX)
        return ref_parse_say(p, "must be a mapping of labels to globs");
    json_object_foreach((json_t *)v, key, value) {
        if (ref_parse_glob(p, value) < 0)
            return ref_parse_say(p, "the label '%.60s' needs a glob, a text of 1 to %d bytes", key,
                                 WORD_GLOB_MAX);
    }
    return 0;
}

static int inner_selector(struct ref_parse *p, const json_t *v);

static const struct ref_field selector_fields[] = {
    {"kind", kinds, false},       {"name", ref_parse_globs, false}, {"labels", labels, false},
    {"where", conditions, false}, {"not", inner_selector, false},   {NULL, NULL, false},
};

static int inner_selector(struct ref_parse *p, const json_t *v) {
    if (++p->nots > NOT_MAX)
        return ref_parse_say(p, "selectors are nested deeper than %d", NOT_MAX);
    int r = ref_parse_mapping(p, v, "a selector", selector_fields);
    p->nots--;
    if (r == 0 && json_object_size(v) == 0)
        return ref_parse_say(p, "an empty selector selects everything: name what is meant");
    return r;
}

/* What is asked of a kind that nobody read is not known: so every selector says which it is about. */
static int selector(struct ref_parse *p, const json_t *v) {
    int r = ref_parse_mapping(p, v, "a selector", selector_fields);
    return r == 0 && !json_object_get(v, "kind") ? ref_parse_say(p, "a selector needs 'kind'") : r;
}

static int selectors(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "selectors", REF_LIST_MAX, selector);
}

static int one_or_selectors(struct ref_parse *p, const json_t *v) {
    return ref_parse_one_or_list(p, v, "selectors", selector);
}

/* ---- expectations */

const char *const ref_expectation_forms[] = {"all_of",   "any_of", "one_of", "none_of",
                                             "optional", "expect", "check",  NULL};

static int check_name(struct ref_parse *p, const json_t *v) {
    const char *names[64] = {NULL};
    const char *s = json_string_value(v);
    int r = ref_parse_text_upto(p, v, WORD_GLOB_MAX);
    if (r < 0 || ref_check_type(s))
        return r;
    for (size_t i = 0; ref_check_types[i].name && i + 1 < sizeof names / sizeof *names; i++)
        names[i] = ref_check_types[i].name;
    const char *near = word_nearest(s, names);
    return near ? ref_parse_say(p, "there is no check '%.60s': did you mean '%s'?", s, near)
                : ref_parse_say(p, "there is no check '%.60s': docs/reference.md lists them", s);
}

static int mapping_of_any(struct ref_parse *p, const json_t *v) {
    return json_is_object(v) ? 0 : ref_parse_say(p, "must be a mapping");
}

static int check_with(struct ref_parse *p, const struct ref_check_type *t, const json_t *with) {
    const char *key;
    json_t *v;
    size_t n = with ? ref_parse_enter(p, "with") : strlen(p->pointer);
    json_object_foreach((json_t *)with, key, v) {
        bool made = strcmp(key, "known_keyed") == 0 && ref_parse_is_among("known", t->keys); /* by ref_load */
        if (made || ref_parse_is_among(key, t->keys))
            continue;
        const char *near = word_nearest(key, t->keys);
        return near ? ref_parse_say(p, "the check %s has no '%.60s': did you mean '%s'?", t->name, key, near)
                    : ref_parse_say(p, "the check %s has no '%.60s': docs/reference.md lists what there is",
                                    t->name, key);
    }
    json_t *empty = with || !t->valid ? NULL : json_object();
    if (!with && t->valid && !empty)
        return err_oom(p->e);
    int r = t->valid ? t->valid(with ? with : empty, p->e) : 0;
    json_decref(empty);
    if (r == 0)
        p->pointer[n] = 0;
    return r;
}

/* Which keys go with which form. */
static int keys_fit(struct ref_parse *p, const json_t *v) {
    static const struct {
        const char *key, *with[3];
    } rules[] = {{"for", {"expect", "check", NULL}},
                 {"if_any", {"expect", "check", NULL}},
                 {"with", {"check", NULL, NULL}}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        bool fits = !json_object_get(v, rules[i].key);
        for (const char *const *w = rules[i].with; *w; w++)
            fits = fits || json_object_get(v, *w);
        if (!fits)
            return ref_parse_say(p, "'%s' goes with '%s' only", rules[i].key, rules[i].with[0]);
    }
    return json_object_get(v, "expect") && !json_object_get(v, "for")
               ? ref_parse_say(p, "'expect' needs 'for': a selector of what it is expected of")
               : 0;
}

int ref_parse_expectation(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {
        {"id", ref_parse_id, true},
        {"title", ref_parse_text, false},
        {"severity", ref_parse_severity, true},
        {"why", ref_parse_text, true},
        {"source", ref_parse_text, true},
        {"all_of", selectors, false},
        {"any_of", selectors, false},
        {"one_of", selectors, false},
        {"none_of", selectors, false},
        {"optional", selectors, false},
        {"for", one_or_selectors, false},
        {"expect", conditions, false},
        {"if_any", ref_parse_boolean, false},
        {"check", check_name, false},
        {"with", mapping_of_any, false},
        {NULL, NULL, false},
    };
    int r = ref_parse_mapping(p, v, "an expectation", fields);
    if (r == 0)
        r = ref_parse_exactly_one(p, v, "an expectation", ref_expectation_forms);
    if (r == 0)
        r = keys_fit(p, v);
    const char *check = js_str(v, "check", NULL);
    return r == 0 && check ? check_with(p, ref_check_type(check), json_object_get(v, "with")) : r;
}
