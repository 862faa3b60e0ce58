/* pilot_reference: what a pilot's stages are compared with, as `pilot init` stores it: loaded once, reduced,
 * and named by its digest, so that a verdict of any moment can be computed again. See pilot_file.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "cli/pilot_file.h"
#include "reference/reference.h"

#define PATH_MAX_HERE 4096

struct gathering {
    struct reference items[PILOT_REFERENCES_MAX];
    const struct reference *list[PILOT_REFERENCES_MAX];
    size_t n;
    json_t *use; /* owned: as the file names them */
};

static bool is_builtin(const char *name) {
    for (const char *const *p = ref_builtin_names; *p; p++)
        if (strcmp(*p, name) == 0)
            return true;
    return false;
}

/* Relative to the folder of the pilot's file. */
static int place(const char *path, const char *name, char out[PATH_MAX_HERE], struct err *e) {
    const char *slash = strrchr(path, '/');
    int folder = *name == '/' || is_builtin(name) || !slash ? 0 : (int)(slash - path + 1);
    int n = snprintf(out, PATH_MAX_HERE, "%.*s%s", folder, path, name);
    return n < PATH_MAX_HERE ? 0 : err_set(e, -ENAMETOOLONG, "%s: %s: the path is too long", path, name);
}

static int load_one(const char *path, const char *name, const struct norm_key *key, struct gathering *g,
                    struct err *e) {
    char from[PATH_MAX_HERE];
    int r = place(path, name, from, e);
    if (r == 0)
        r = ref_load(from, key, &g->items[g->n], e);
    if (r < 0)
        return r;
    g->list[g->n] = &g->items[g->n];
    g->n++;
    return json_array_append_new(g->use, json_string(name)) < 0 ? err_oom(e) : 0;
}

static int load_all(const char *path, const json_t *names, const struct norm_key *key, struct gathering *g,
                    struct err *e) {
    size_t n = json_is_array(names) ? json_array_size(names) : 1;
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = load_one(path, json_string_value(json_is_array(names) ? json_array_get(names, i) : names), key, g,
                     e);
    return r;
}

static int put(json_t *doc, const struct reference *merged, json_t *use, json_t **ret, struct err *e) {
    json_t *o = json_pack("{s:O, s:s, s:b}", "use", use, "digest", merged->digest, "keyed", merged->keyed);
    if (!o || json_object_set_new(doc, "architecture", o) < 0)
        return err_oom(e);
    *ret = json_incref(merged->doc);
    return 0;
}

int pilot_reference(const char *path, json_t *doc, const char *key_file, json_t **ret, struct err *e) {
    const json_t *o = json_object_get(doc, "architecture");
    struct gathering g = {.use = json_array()};
    struct norm_key key;
    struct reference merged = {0};
    *ret = NULL;
    int r = g.use ? 0 : err_oom(e);
    if (r == 0 && o && key_file)
        r = norm_key_load(key_file, &key, e);
    if (r == 0 && o)
        r = load_all(path, json_object_get(o, "reference"), key_file ? &key : NULL, &g, e);
    if (r == 0 && o) {
        r = ref_merge(g.list, g.n, json_object_get(o, "tolerate"), &merged, e);
        if (r < 0)
            (void)err_prefix(e, r, "%s: architecture", path);
    }
    if (r == 0 && o)
        r = put(doc, &merged, g.use, ret, e);
    ref_free(&merged);
    for (size_t i = 0; i < g.n; i++)
        ref_free(&g.items[i]);
    json_decref(g.use);
    return r;
}
