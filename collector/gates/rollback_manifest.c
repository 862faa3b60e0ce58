/* rollback_manifest: what two revisions render, object by object, as digests: agents tell nothing else of a
 * manifest. Who compares it with live objects needs only the names. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "gates/rollback_priv.h"

static const char *namespace_of(const struct facts *f) {
    const char *slash = strchr(f->stage, '/');
    return slash ? slash + 1 : "";
}

/* False: not all of the manifest is told by name. */
static bool add_named(json_t *named, const json_t *x, const char *ns) {
    const char *kind = js_str(x, "kind", "");
    const char *where = js_str(x, "namespace", "");
    char key[2 * WIRE_NAME_MAX + 2];
    if (js_bool(x, "unparsed", false) || !*kind || strcmp(kind, "List") == 0)
        return false;
    bool elsewhere = (*where && strcmp(where, ns) != 0) || strcmp(kind, "Namespace") == 0;
    if (elsewhere || !*js_str(x, "name", "")) /* or a name that the API server makes */
        return true;
    (void)snprintf(key, sizeof key, "%.250s/%.250s", kind, js_str(x, "name", ""));
    return json_object_set_new(named, key, json_string(js_str(x, "digest", ""))) == 0;
}

json_t *rollback_named(const struct facts *f, const struct fact_revision *v) {
    const json_t *objects = js_at(v->normal, "objects");
    bool whole = json_is_array(objects) && !js_bool(v->normal, "objects_cut", false);
    json_t *named = whole ? json_object() : NULL;
    size_t i;
    json_t *x;
    if (!named)
        return NULL;
    json_array_foreach((json_t *)objects, i, x) {
        if (!add_named(named, x, namespace_of(f))) {
            json_decref(named);
            return NULL;
        }
    }
    return named;
}

/* The entry of a live object; NULL: not named. */
static const json_t *entry_of(const struct fact_revision *v, const char *kind, const char *name) {
    size_t group = strcspn(kind, ".");
    size_t i;
    json_t *x;
    json_array_foreach(js_at(v->normal, "objects"), i, x) {
        const char *k = js_str(x, "kind", "");
        if (strlen(k) == group && strncmp(k, kind, group) == 0 && strcmp(js_str(x, "name", ""), name) == 0)
            return x;
    }
    return NULL;
}

bool rollback_names(const struct fact_revision *v, const char *kind, const char *name) {
    return entry_of(v, kind, name) != NULL;
}

bool rollback_rendered_anew(const struct rollback *r, const char *kind, const char *name) {
    const char *before = js_str(entry_of(r->to, kind, name), "digest", "");
    const char *after = js_str(entry_of(r->now, kind, name), "digest", "");
    return r->to->norm == r->now->norm && *before && *after && strcmp(before, after) != 0;
}

static int add_difference(json_t *list, const char *key, const char *before, const char *after) {
    if (strcmp(before, after) == 0)
        return 0;
    return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "object", key, "baseline", before,
                                                 "after", after, "what",
                                                 !*before  ? "only in the restored one"
                                                 : !*after ? "only in the target"
                                                           : "rendered anew"));
}

static int list_differences(json_t *list, const json_t *before, const json_t *after) {
    const char *key;
    json_t *v;
    int bad = 0;
    json_object_foreach((json_t *)before, key, v) {
        const char *now = json_string_value(json_object_get(after, key));
        bad |= add_difference(list, key, json_string_value(v), now ? now : "");
    }
    json_object_foreach((json_t *)after, key, v) {
        if (!json_object_get(before, key))
            bad |= add_difference(list, key, "", json_string_value(v));
    }
    return bad;
}

json_t *rollback_manifest(const struct rollback *r) {
    json_t *before = rollback_named(r->f, r->to);
    json_t *after = rollback_named(r->f, r->now);
    json_t *list = before && after && r->to->norm == r->now->norm ? json_array() : NULL;
    if (list && list_differences(list, before, after) != 0) {
        json_decref(list);
        list = NULL;
    }
    json_decref(before);
    json_decref(after);
    return list;
}

bool rollback_renders_alike(const struct rollback *r) {
    json_t *list = rollback_manifest(r);
    bool alike = list != NULL;
    bool secret = false;
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) {
        alike = alike && *js_str(x, "baseline", "") && *js_str(x, "after", "");
        secret = secret || strncmp(js_str(x, "object", ""), "Secret/", 7) == 0;
    }
    json_decref(list);
    return alike && secret;
}
