/* selector: which labels a label selector selects, and one spelling for selectors that mean the same. See
 * values.h. metav1.LabelSelector: matchLabels {k: v} is matchExpressions {k In [v]}; all are ANDed; NotIn
 * also selects what has no such label (k8s.io/apimachinery pkg/labels/selector.go, Requirement.Matches). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reference/values.h"

static bool holds(const json_t *list, const char *text) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (json_is_string(v) && strcmp(json_string_value(v), text) == 0)
            return true;
    }
    return false;
}

/* Every key of the map has the same text among the labels. */
static bool all_equal(const json_t *map, const json_t *labels) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value) {
        const char *want = json_string_value(value);
        const char *have = json_string_value(json_object_get(labels, key));
        if (!want || !have || strcmp(want, have) != 0)
            return false;
    }
    return true;
}

static bool meets(const json_t *requirement, const json_t *labels) {
    const char *key = json_string_value(json_object_get(requirement, "key"));
    const char *operator= json_string_value(json_object_get(requirement, "operator"));
    const json_t *values = json_object_get(requirement, "values");
    if (!key || !operator)
        return false;
    const char *have = json_string_value(json_object_get(labels, key));
    if (strcmp(operator, "In") == 0)
        return have && holds(values, have);
    if (strcmp(operator, "NotIn") == 0)
        return json_is_array(values) && (!have || !holds(values, have));
    if (strcmp(operator, "Exists") == 0)
        return have != NULL;
    return strcmp(operator, "DoesNotExist") == 0 && !have;
}

bool ref_selects(const json_t *selector, bool plain, const json_t *labels) {
    if (!json_is_object(selector))
        return false;
    if (plain)
        return json_object_size(selector) > 0 && all_equal(selector, labels);
    const json_t *map = json_object_get(selector, "matchLabels");
    const json_t *list = json_object_get(selector, "matchExpressions");
    if ((map && !json_is_object(map) && !json_is_null(map)) ||
        (list && !json_is_array(list) && !json_is_null(list)) || !all_equal(map, labels))
        return false;
    size_t i;
    json_t *requirement;
    json_array_foreach((json_t *)list, i, requirement) {
        if (!meets(requirement, labels))
            return false;
    }
    return true;
}

/* ---- one spelling */

static int by_text(const void *a, const void *b) {
    const json_t *const *x = a;
    const json_t *const *y = b;
    const char *s = json_string_value(*x);
    const char *t = json_string_value(*y);
    return strcmp(s ? s : "", t ? t : "");
}

/* Texts in order, each once; anything else as it is. A new reference. */
static json_t *sorted(const json_t *list) {
    size_t n = json_array_size(list);
    const json_t **items = calloc(n + 1, sizeof *items);
    json_t *out = json_array();
    if (!items || !out) {
        free(items);
        json_decref(out);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        items[i] = json_array_get(list, i);
    qsort(items, n, sizeof *items, by_text);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        if (i == 0 || !json_equal((json_t *)items[i], (json_t *)items[i - 1]))
            r = json_array_append(out, (json_t *)items[i]);
    free(items);
    if (r == 0)
        return out;
    json_decref(out);
    return NULL;
}

/* One requirement into the map from its canonical text to itself, so that the same one is there once. */
static int add_requirement(json_t *all, const char *key, const char *operator, const json_t * values) {
    bool in = strcmp(operator, "In") == 0 || strcmp(operator, "NotIn") == 0;
    json_t *list = in ? sorted(values) : json_array();
    json_t *one =
        list ? json_pack("{s:s, s:s, s:o}", "key", key, "operator", operator, "values", list) : NULL;
    if (!one) /* json_pack takes `list` also when it fails */
        return -ENOMEM;
    if (!in || !json_is_array(values))
        (void)json_object_del(one, "values");
    char *text = json_dumps(one, JSON_SORT_KEYS | JSON_COMPACT);
    int r = text ? json_object_set_new(all, text, one) : (json_decref(one), -1);
    free(text);
    return r == 0 ? 0 : -ENOMEM;
}

static int add_map(json_t *all, const json_t *map) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value) {
        json_t *values = json_array();
        int r = values && json_array_append(values, value) == 0 ? add_requirement(all, key, "In", values)
                                                                : -ENOMEM;
        json_decref(values);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What is no requirement stays as it is, under its own text. */
static int add_list(json_t *all, const json_t *list) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        const char *key = json_string_value(json_object_get(v, "key"));
        const char *operator= json_string_value(json_object_get(v, "operator"));
        char *text = key && operator? NULL : json_dumps(v, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
        int r = key && operator? add_requirement(all, key, operator, json_object_get(v, "values"))
                               : (text ? json_object_set(all, text, v) : -ENOMEM);
        free(text);
        if (r != 0)
            return -ENOMEM;
    }
    return 0;
}

static int by_key(const void *a, const void *b) {
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

/* One of requirements in their order: {k In [v]} as a label, while no other one has taken it. */
static int place(json_t *labels, json_t *expressions, json_t *requirement) {
    const char *key = json_string_value(json_object_get(requirement, "key"));
    const char *operator= json_string_value(json_object_get(requirement, "operator"));
    const json_t *values = json_object_get(requirement, "values");
    json_t *only = json_array_size(values) == 1 ? json_array_get(values, 0) : NULL;
    if (key && operator&& strcmp(operator, "In") == 0 && only && !json_object_get(labels, key))
        return json_object_set(labels, key, only);
    return json_array_append(expressions, requirement);
}

/* The requirements, by their texts, as a selector; without what is empty. A new reference. */
static json_t *in_order(json_t *all) {
    size_t n = 0;
    const char **keys = calloc(json_object_size(all) + 1, sizeof *keys);
    json_t *out = json_pack("{s:{}, s:[]}", "matchLabels", "matchExpressions");
    const char *key;
    json_t *value;
    int r = keys && out ? 0 : -1;
    if (keys) {
        json_object_foreach(all, key, value) keys[n++] = key;
        qsort(keys, n, sizeof *keys, by_key);
    }
    json_t *labels = json_object_get(out, "matchLabels");
    json_t *expressions = json_object_get(out, "matchExpressions");
    for (size_t i = 0; i < n && r == 0; i++)
        r = place(labels, expressions, json_object_get(all, keys[i]));
    free(keys);
    if (r != 0) {
        json_decref(out);
        return NULL;
    }
    if (json_array_size(expressions) == 0)
        (void)json_object_del(out, "matchExpressions");
    if (json_object_size(labels) == 0)
        (void)json_object_del(out, "matchLabels");
    return out;
}

/* Nothing but the two fields of a selector, of their types. */
static bool is_selector(const json_t *v) {
    const json_t *map = json_object_get(v, "matchLabels");
    const json_t *list = json_object_get(v, "matchExpressions");
    return json_is_object(v) && json_object_size(v) == (size_t) !!map + (size_t) !!list &&
           (!map || json_is_object(map)) && (!list || json_is_array(list));
}

json_t *ref_selector_form(const json_t *selector) {
    if (!is_selector(selector))
        return json_incref((json_t *)selector);
    json_t *all = json_object();
    json_t *list = NULL;
    if (all && add_map(all, json_object_get(selector, "matchLabels")) == 0 &&
        add_list(all, json_object_get(selector, "matchExpressions")) == 0)
        list = in_order(all);
    json_decref(all);
    return list;
}
