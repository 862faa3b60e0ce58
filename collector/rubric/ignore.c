/* ignore: which changes of objects say nothing about the product's configuration; the rubric's list
 * `ignore_objects`, checked when the rubric is loaded. docs/verdicts.md says how a rule reads. */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/js.h"
#include "rubric/rubric.h"
#include "rubric/rubric_priv.h"

enum part { PART_TEXT, PART_BOOL, PART_PLACES, PART_VALUES };

static const struct {
    const char *name;
    enum part part;
} parts[] = {
    {"kind", PART_TEXT},    {"name", PART_TEXT},   {"label", PART_TEXT},      {"annotation", PART_TEXT},
    {"where", PART_VALUES}, {"only", PART_PLACES}, {"autoscaled", PART_BOOL}, {"reason", PART_TEXT},
};

static bool is_pointer(const char *text) {
    return text && text[0] == '/' && text[1];
}

static bool are_places(const json_t *v) {
    size_t i;
    json_t *place;
    json_array_foreach((json_t *)v, i, place) {
        if (!is_pointer(json_string_value(place)))
            return false;
    }
    return json_array_size(v) > 0;
}

static bool are_values(const json_t *v) {
    const char *place;
    json_t *value;
    json_object_foreach((json_t *)v, place, value) {
        if (!is_pointer(place) || (!json_is_string(value) && !json_is_null(value)))
            return false;
    }
    return json_object_size(v) > 0;
}

static bool is_part(const json_t *v, enum part part) {
    switch (part) {
    case PART_TEXT:
        return json_is_string(v) && json_string_length(v) > 0;
    case PART_BOOL:
        return json_is_boolean(v);
    case PART_PLACES:
        return are_places(v);
    case PART_VALUES:
    default:
        return are_values(v);
    }
}

static int check_part(size_t index, const char *name, const json_t *v, struct err *e) {
    static const char *const wants[] = {"a text", "true or false", "a list of JSON Pointers",
                                        "a mapping from JSON Pointers to a text or null"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(parts[i].name, name) != 0)
            continue;
        if (!is_part(v, parts[i].part))
            return err_set(e, -EINVAL, "rubric: ignore_objects[%zu].%s must be %s", index, name,
                           wants[parts[i].part]);
        return 0;
    }
    return err_set(e, -EINVAL,
                   "rubric: ignore_objects[%zu] has an unknown part '%s'; docs/verdicts.md lists them", index,
                   name);
}

static int read_rule(size_t index, const json_t *rule, struct rubric_ignore *ret, struct err *e) {
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)rule, name, v) {
        int r = check_part(index, name, v, e);
        if (r < 0)
            return r;
    }
    *ret = (struct rubric_ignore){
        .kind = js_str(rule, "kind", NULL),
        .name = js_str(rule, "name", NULL),
        .label = js_str(rule, "label", NULL),
        .annotation = js_str(rule, "annotation", NULL),
        .where = json_object_get(rule, "where"),
        .only = json_object_get(rule, "only"),
        .autoscaled = js_bool(rule, "autoscaled", false),
        .reason = js_str(rule, "reason", NULL),
    };
    ret->looks_inside = ret->label || ret->annotation || ret->where;
    if (!ret->kind || !ret->reason)
        return err_set(e, -EINVAL, "rubric: ignore_objects[%zu] needs a kind and a reason", index);
    return 0;
}

int rubric_read_ignores(struct rubric *r, struct err *e) {
    const json_t *list = js_at(r->doc, "ignore_objects");
    size_t n = json_array_size(list);
    if (n > RUBRIC_IGNORES_MAX)
        return err_set(e, -EINVAL, "rubric: more than %d ignore_objects", RUBRIC_IGNORES_MAX);
    for (size_t i = 0; i < n; i++) {
        int rc = read_rule(i, json_array_get(list, i), &r->ignores[i], e);
        if (rc < 0)
            return rc;
    }
    r->n_ignores = n;
    return 0;
}

bool rubric_ignore_names(const struct rubric_ignore *i, const char *kind, const char *name) {
    return fnmatch(i->kind, kind, 0) == 0 && (!i->name || fnmatch(i->name, name, 0) == 0);
}

/* "key" is there, or "key=value" is. */
static bool has_entry(const json_t *map, const char *wanted) {
    const char *eq = strchr(wanted, '=');
    const char *key;
    json_t *v;
    size_t n = eq ? (size_t)(eq - wanted) : strlen(wanted);
    json_object_foreach((json_t *)map, key, v) {
        const char *text = json_string_value(v);
        if (strlen(key) == n && strncmp(key, wanted, n) == 0)
            return !eq || (text && strcmp(text, eq + 1) == 0);
    }
    return false;
}

bool rubric_ignore_fits(const struct rubric_ignore *i, const json_t *normal) {
    const char *place;
    json_t *value;
    if (i->label && !has_entry(js_at(normal, "metadata.labels"), i->label))
        return false;
    if (i->annotation && !has_entry(js_at(normal, "metadata.annotations"), i->annotation))
        return false;
    json_object_foreach((json_t *)i->where, place, value) {
        const json_t *is = js_at(normal, place);
        if (json_is_null(value) ? is != NULL : !is || !json_equal((json_t *)is, value))
            return false;
    }
    return true;
}

bool rubric_ignores(const struct rubric *r, const char *kind, const char *name, const json_t *normal) {
    for (size_t i = 0; i < r->n_ignores; i++) {
        const struct rubric_ignore *rule = &r->ignores[i];
        if (!rule->only && !rule->autoscaled && rubric_ignore_names(rule, kind, name) &&
            (!rule->looks_inside || (normal && rubric_ignore_fits(rule, normal))))
            return true;
    }
    return false;
}
