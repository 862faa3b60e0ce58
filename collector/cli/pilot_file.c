/* pilot_file: see pilot_file.h. Unknown keys are errors: a misspelt one would silently change a verdict. */
#include "cli/pilot_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "cli/cli.h"
#include "rubric/rubric.h"

#define STAGES_MAX 1000
#define AGENTS_MAX 100000
#define NAME_MAX_HERE 320

static int check_keys(const char *path, const char *where, const json_t *o, const char *const *names,
                      struct err *e) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value) {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (names[i])
            continue;
        const char *near = cli_nearest(key, names);
        return err_set(e, -EINVAL, "%s: %s has no key '%s'%s%s%s", path, where, key,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return 0;
}

static int check_time(const char *path, json_t *doc, const char *key, const char *key_ns, struct err *e) {
    const json_t *v = json_object_get(doc, key);
    int64_t ns;
    char text[WHEN_TEXT_MAX];
    if (!v)
        return 0;
    if (!json_is_string(v) || when_parse(json_string_value(v), &ns) < 0)
        return err_set(e, -EINVAL, "%s: %s must be a time like 2026-11-23T04:05:06Z", path, key);
    if (json_object_set_new(doc, key, json_string(when_format(ns, 0, text))) < 0 ||
        json_object_set_new(doc, key_ns, json_integer(ns)) < 0)
        return err_oom(e);
    return 0;
}

/* "Deployment/gateway" and the like: a text with the wanted number of slashes, or absent. */
static int check_text(const char *path, const char *where, const json_t *o, const char *key, int slashes,
                      struct err *e) {
    const json_t *v = json_object_get(o, key);
    if (!v)
        return 0;
    const char *s = json_string_value(v);
    int n = 0;
    for (const char *p = s; p && *p; p++)
        n += *p == '/';
    if (!s || !*s || strlen(s) > NAME_MAX_HERE || n != slashes)
        return err_set(e, -EINVAL, "%s: %s: %s must be %s", path, where, key,
                       slashes ? "KIND/NAME, as Deployment/gateway" : "a name");
    return 0;
}

static int check_stage(const char *path, const json_t *list, size_t i, struct err *e) {
    static const char *const names[] = {"stage", "agents", "gateway", "release", "custom_server", NULL};
    char where[64], cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
    json_t *o = json_array_get(list, i);
    (void)snprintf(where, sizeof where, "stages[%zu]", i);
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "%s: %s must be a mapping with stage: CLUSTER/NAMESPACE", path, where);
    int r = check_keys(path, where, o, names, e);
    if (r < 0)
        return r;
    const char *stage = js_str(o, "stage", NULL);
    if (!stage || !cli_split_stage(stage, cluster, ns))
        return err_set(e, -EINVAL, "%s: %s: stage must be CLUSTER/NAMESPACE", path, where);
    for (size_t k = 0; k < i; k++)
        if (strcmp(js_str(json_array_get(list, k), "stage", ""), stage) == 0)
            return err_set(e, -EINVAL, "%s: %s: %s is declared twice", path, where, stage);
    const json_t *agents = json_object_get(o, "agents");
    if (agents && (!json_is_integer(agents) || json_integer_value(agents) < 1 ||
                   json_integer_value(agents) > AGENTS_MAX))
        return err_set(e, -EINVAL, "%s: %s: agents must be the number of nodes with an agent, 1 to %d", path,
                       where, AGENTS_MAX);
    if (!agents && json_object_set_new(o, "agents", json_integer(1)) < 0)
        return err_oom(e);
    r = check_text(path, where, o, "gateway", 1, e);
    if (r == 0)
        r = check_text(path, where, o, "release", 0, e);
    return r == 0 ? check_text(path, where, o, "custom_server", 0, e) : r;
}

static int check_stages(const char *path, const json_t *doc, struct err *e) {
    const json_t *list = json_object_get(doc, "stages");
    size_t n = json_array_size(list);
    if (n == 0 || n > STAGES_MAX)
        return err_set(e, -EINVAL, "%s: stages must be a list of 1 to %d stages", path, STAGES_MAX);
    for (size_t i = 0; i < n; i++) {
        int r = check_stage(path, list, i, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_rubric(const char *path, const json_t *doc, struct err *e) {
    struct rubric rubric;
    int r = rubric_load(json_object_get(doc, "rubric"), &rubric, e);
    if (r < 0)
        return err_prefix(e, r, "%s", path);
    rubric_free(&rubric);
    return 0;
}

/* One name or file, or a list of them. */
static int check_references(const char *path, const json_t *v, struct err *e) {
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n == 0 || n > PILOT_REFERENCES_MAX)
        return err_set(e, -EINVAL, "%s: architecture: reference must name 1 to %d references", path,
                       PILOT_REFERENCES_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!name || !*name || strlen(name) > NAME_MAX_HERE)
            return err_set(
                e, -EINVAL,
                "%s: architecture: reference must be the name of a built-in one or a file, or a list of "
                "them; `pilotgate reference show` lists the built-in ones",
                path);
    }
    return 0;
}

/* The tolerances themselves are checked with the reference. */
static int check_architecture(const char *path, const json_t *doc, struct err *e) {
    static const char *const names[] = {"reference", "tolerate", NULL};
    const json_t *o = json_object_get(doc, "architecture");
    const json_t *tolerate = json_object_get(o, "tolerate");
    if (!o)
        return 0;
    if (!json_is_object(o) || !json_object_get(o, "reference"))
        return err_set(e, -EINVAL, "%s: architecture must be a mapping with reference: NAME or FILE", path);
    int r = check_keys(path, "architecture", o, names, e);
    if (r == 0 && tolerate && !json_is_array(tolerate))
        r = err_set(e, -EINVAL, "%s: architecture: tolerate must be a list", path);
    return r == 0 ? check_references(path, json_object_get(o, "reference"), e) : r;
}

static int check(const char *path, json_t *doc, struct err *e) {
    static const char *const names[] = {"name", "begin", "end", "stages", "rubric", "architecture", NULL};
    if (!json_is_object(doc))
        return err_set(e, -EINVAL, "%s: a pilot is a mapping with name and stages", path);
    int r = check_keys(path, "the pilot", doc, names, e);
    if (r < 0)
        return r;
    const char *name = js_str(doc, "name", NULL);
    if (!name || !wire_name_ok(name))
        return err_set(e, -EINVAL, "%s: name must be letters, digits, '.', '-' and '_'", path);
    r = check_time(path, doc, "begin", "begin_ns", e);
    if (r == 0)
        r = check_time(path, doc, "end", "end_ns", e);
    if (r == 0 && js_int(doc, "end_ns", INT64_MAX) <= js_int(doc, "begin_ns", INT64_MIN))
        r = err_set(e, -EINVAL, "%s: end must be after begin", path);
    if (r == 0)
        r = check_stages(path, doc, e);
    if (r == 0)
        r = check_architecture(path, doc, e);
    return r == 0 ? check_rubric(path, doc, e) : r;
}

int pilot_file_load(const char *path, json_t **ret, struct err *e) {
    char *text = NULL;
    size_t len = 0;
    json_t *doc = NULL;
    int r = conf_read_file(path, CONF_FILE_MAX, &text, &len, e);
    if (r < 0)
        return r;
    r = conf_yaml_to_json(path, text, len, &doc, e);
    free(text);
    if (r == 0)
        r = check(path, doc, e);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}
