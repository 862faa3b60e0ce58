/* manifests: rendered YAML to objects in normal form, as one side of a comparison. See reference.h.
 *
 * What `helm template` prints is read as Helm reads it (base/conf.h, CONF_YAML_HELM). Left out are hooks and
 * tests of a chart (annotations helm.sh/hook; Helm docs, "Chart Hooks"): Helm makes and removes them besides
 * the release. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/kinds.h"
#include "correlate/differences.h"
#include "reference/reference_priv.h"

#define WHERE_MAX 512
#define OBJECT_NAME_MAX 253 /* a DNS subdomain, of which every other kind of name is a part */
#define HEX_DIGITS 64
#define KEYED "keyed:"

/* ---- secrets */

static const char *keyed_hash(const char *text) {
    for (const char *p = strstr(text, KEYED); p; p = strstr(p + 1, KEYED))
        if (strspn(p + strlen(KEYED), "0123456789abcdef") >= HEX_DIGITS)
            return p;
    return NULL;
}

bool ref_is_reduced(const json_t *v) {
    const char *text = json_string_value(v);
    return text && (keyed_hash(text) || strstr(text, DIFF_SECRET));
}

/* The text with every keyed hash as DIFF_SECRET; a new reference, NULL: no memory. */
static json_t *without_hashes(const char *text) {
    size_t n = 0;
    char *out = malloc(strlen(text) + 1); /* DIFF_SECRET is shorter than a hash */
    if (!out)
        return NULL;
    for (const char *hash = keyed_hash(text); hash; hash = keyed_hash(text)) {
        memcpy(out + n, text, (size_t)(hash - text));
        n += (size_t)(hash - text);
        memcpy(out + n, DIFF_SECRET, strlen(DIFF_SECRET));
        n += strlen(DIFF_SECRET);
        text = hash + strlen(KEYED) + HEX_DIGITS;
    }
    strcpy(out + n, text);
    json_t *v = json_string(out);
    free(out);
    return v;
}

/* Is it the same text, but that a hash was hashed again? "keyed:HEX" and "--flag=keyed:HEX" are. */
static bool was_keyed(const char *was, const char *is) {
    size_t before = (size_t)(keyed_hash(is) - is);
    return strncmp(was, is, before) == 0 && keyed_hash(was) == was + before &&
           strlen(was) == before + strlen(KEYED) + HEX_DIGITS;
}

/* What stands for a text that was reduced: what was reduced before stays as it was. *ret NULL: the normal. */
static int secret_text(const json_t *source, const json_t *normal, bool keyed, json_t **ret) {
    const char *was = json_string_value(source);
    const char *is = json_string_value(normal);
    *ret = NULL;
    if (!is || !keyed_hash(is))
        return 0;
    if (keyed && was && was_keyed(was, is))
        *ret = json_string(was);
    else if (!keyed || (was && strstr(was, DIFF_SECRET)))
        *ret = without_hashes(is);
    else
        return 0;
    return *ret ? 0 : -ENOMEM;
}

/* Beside each other: an object as it was written, and its normal form. */
static int settle_secrets(const json_t *source, json_t *normal, bool keyed) {
    const char *key;
    json_t *value, *text;
    int r = 0;
    json_object_foreach(normal, key, value) {
        const json_t *from = json_object_get(source, key);
        r = secret_text(from, value, keyed, &text);
        if (r == 0 && text)
            r = json_object_set_new(normal, key, text) == 0 ? 0 : -ENOMEM;
        else if (r == 0)
            r = settle_secrets(from, value, keyed);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < json_array_size(normal); i++) {
        const json_t *from = json_array_get(source, i);
        r = secret_text(from, json_array_get(normal, i), keyed, &text);
        if (r == 0 && text)
            r = json_array_set_new(normal, i, text) == 0 ? 0 : -ENOMEM;
        else if (r == 0)
            r = settle_secrets(from, json_array_get(normal, i), keyed);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The API server writes stringData into data (core/v1 Secret, stringData). */
static int merge_string_data(json_t *secret) {
    json_t *from = json_object_get(secret, "stringData");
    json_t *to = json_object_get(secret, "data");
    if (!json_is_object(from))
        return 0;
    if (!json_is_object(to)) {
        to = json_object();
        if (!to || json_object_set_new(secret, "data", to) != 0)
            return -ENOMEM;
    }
    int r = json_object_update(to, from) == 0 ? 0 : -ENOMEM;
    (void)json_object_del(secret, "stringData");
    return r;
}

static int hide_all(json_t *node);

/* A new text, NULL where it stays as it is, or as what is in it. */
static json_t *hidden(json_t *v, int *r) {
    if (json_is_object(v) || json_is_array(v))
        *r = hide_all(v);
    bool stays = json_is_object(v) || json_is_array(v) || json_is_null(v) || ref_is_reduced(v) ||
                 (json_is_string(v) && json_string_length(v) == 0);
    return stays ? NULL : json_string(DIFF_SECRET);
}

static int hide_all(json_t *node) {
    const char *key;
    json_t *v, *text;
    int r = 0;
    json_object_foreach(node, key, v) {
        if (r == 0 && (text = hidden(v, &r)))
            r = json_object_set_new(node, key, text) == 0 ? 0 : -ENOMEM;
    }
    for (size_t i = 0; r == 0 && i < json_array_size(node); i++)
        if ((text = hidden(json_array_get(node, i), &r)))
            r = json_array_set_new(node, i, text) == 0 ? 0 : -ENOMEM;
    return r;
}

/* A Secret that stands inside of something else (a List, a Template, a policy that makes it), or that is
 * spelt wrongly, is no object of which the normal form knows what is secret: none of its values stays. */
static int hide_inner(json_t *node) {
    bool secret = strcasecmp(js_str(node, "kind", ""), "Secret") == 0;
    const char *key;
    json_t *v, *text;
    int r = 0;
    json_object_foreach(node, key, v) {
        bool values = secret && (strcasecmp(key, "data") == 0 || strcasecmp(key, "stringData") == 0);
        if (r == 0 && !values)
            r = hide_inner(v);
        else if (r == 0 && (text = hidden(v, &r)))
            r = json_object_set_new(node, key, text) == 0 ? 0 : -ENOMEM;
    }
    for (size_t i = 0; r == 0 && i < json_array_size(node); i++)
        r = hide_inner(json_array_get(node, i));
    return r;
}

/* In normal form, as agents tell it. */
static json_t *normal_of(const struct norm_key *key, const json_t *object, const char *kind) {
    return strchr(kind, '.') ? norm_custom(key, object, kind) : norm_object(key, object, NULL);
}

static json_t *reduced_of(const json_t *object, const char *kind, const struct norm_key *key) {
    struct norm_key once;
    if (!key)
        randombytes_buf(once.bytes, sizeof once.bytes);
    json_t *normal = normal_of(key ? key : &once, object, kind);
    if (!normal)
        return NULL;
    bool ok = settle_secrets(object, normal, key != NULL) == 0 &&
              (strcmp(kind, "Secret") != 0 || merge_string_data(normal) == 0) && hide_inner(normal) == 0 &&
              json_object_set(normal, "apiVersion", json_object_get(object, "apiVersion")) == 0;
    if (ok)
        return normal;
    json_decref(normal);
    return NULL;
}

/* ---- objects */

static bool is_hook(const json_t *object) {
    return js_at(object, "/metadata/annotations/helm.sh~1hook") != NULL;
}

int ref_manifest_normal(const char *where, const json_t *object, const struct norm_key *key, json_t **ret,
                        struct err *e) {
    char kind[KINDS_NAME_MAX];
    const char *name = js_str(object, "metadata.name", "");
    const char *as = js_str(object, "kind", "");
    if (!json_is_object(object) || !*as)
        return err_set(e, -EINVAL, "%s: not a Kubernetes object: it needs apiVersion, kind and metadata.name",
                       where);
    if (kinds_name(js_str(object, "apiVersion", ""), as, kind, sizeof kind) < 0)
        return err_set(e, -EINVAL, "%s: %.60s: '%.60s' is no apiVersion of it", where, as,
                       js_str(object, "apiVersion", ""));
    *ret = NULL;
    if (is_hook(object))
        return 0;
    const json_t *named = js_at(object, "metadata.name");
    if (!*name || strlen(name) > OBJECT_NAME_MAX || strchr(name, '/'))
        return err_set(e, -EINVAL, "%s: %s: metadata.name must be a text of at most %d bytes%s", where, kind,
                       OBJECT_NAME_MAX,
                       js_at(object, "metadata.generateName") ? "; what has a generateName cannot be compared"
                       : named && !json_is_string(named)      ? ": quote it"
                                                              : "");
    json_t *normal = reduced_of(object, kind, key);
    if (!normal)
        return err_oom(e);
    if (strcmp(js_str(normal, "metadata.name", ""), name) != 0) { /* only names of RBAC may hold a ':' */
        json_decref(normal);
        return err_set(e, -EINVAL, "%s: %s/%s: agents take the name for a secret: rename it, or take it out",
                       where, kind, name);
    }
    *ret = normal;
    return 0;
}

struct each {
    const char *name;
    ref_manifest_fn *fn;
    void *ctx;
    size_t objects;
};

static bool is_list(const json_t *doc) {
    const char *kind = js_str(doc, "kind", "");
    size_t n = strlen(kind);
    return n >= 4 && strcmp(kind + n - 4, "List") == 0 && json_is_array(json_object_get(doc, "items"));
}

static int each_object(struct each *x, const char *where, const json_t *doc, struct err *e) {
    size_t i;
    json_t *item;
    int r = 0;
    if (!is_list(doc)) {
        if (++x->objects > REF_OBJECTS_MAX)
            return err_set(e, -EINVAL, "%s: more than %d objects", where, REF_OBJECTS_MAX);
        return x->fn(x->ctx, where, doc, e);
    }
    json_array_foreach(json_object_get(doc, "items"), i, item) {
        char at[WHERE_MAX];
        (void)snprintf(at, sizeof at, "%s, item %zu", where, i);
        if (++x->objects > REF_OBJECTS_MAX)
            return err_set(e, -EINVAL, "%s: more than %d objects", where, REF_OBJECTS_MAX);
        if (r == 0)
            r = x->fn(x->ctx, at, item, e);
    }
    return r;
}

static int take_document(void *ctx, json_t *doc, size_t line, struct err *e) {
    struct each *x = ctx;
    char where[WHERE_MAX];
    (void)snprintf(where, sizeof where, "%.400s:%zu", x->name, line);
    int r = each_object(x, where, doc, e);
    json_decref(doc);
    return r;
}

int ref_manifests_each(const char *name, const char *text, size_t len, ref_manifest_fn *fn, void *ctx,
                       struct err *e) {
    struct each x = {name, fn, ctx, 0};
    return conf_yaml_documents(name, text, len, REF_FILE_MAX, CONF_YAML_HELM, take_document, &x, e);
}

struct reader {
    const struct norm_key *key;
    json_t *into, *left_out;
};

static int leave_out(json_t *left_out, const json_t *object, const char *reason, struct err *e) {
    if (!left_out)
        return 0;
    json_t *entry = json_pack(
        "{s:o, s:s}", "object",
        json_sprintf("%.253s/%.253s", js_str(object, "kind", "?"), js_str(object, "metadata.name", "?")),
        "reason", reason);
    return entry && json_array_append_new(left_out, entry) == 0 ? 0 : err_oom(e);
}

static int take_object(void *ctx, const char *where, const json_t *object, struct err *e) {
    struct reader *x = ctx;
    json_t *normal = NULL;
    int r = ref_manifest_normal(where, object, x->key, &normal, e);
    if (r < 0)
        return r;
    if (!normal)
        return leave_out(x->left_out, object, "a hook: Helm makes it besides the release", e);
    return json_array_append_new(x->into, normal) == 0 ? 0 : err_oom(e);
}

int ref_manifests_read(const char *name, const char *text, size_t len, const struct norm_key *key,
                       json_t *into, json_t *left_out, struct err *e) {
    struct reader x = {key, into, left_out};
    return ref_manifests_each(name, text, len, take_object, &x, e);
}

/* ---- sides */

/* {"kind","name","normal"}: what a ref_object borrows; the normal form is without apiVersion, as agents tell
 * it, and shares what is in it. */
static json_t *entry_of(const json_t *object, const char *kind) {
    json_t *normal = json_copy((json_t *)object);
    if (!normal)
        return NULL;
    (void)json_object_del(normal, "apiVersion");
    return json_pack("{s:s, s:s, s:o}", "kind", kind, "name", js_str(object, "metadata.name", ""), "normal",
                     normal);
}

static int add_object(struct ref_side *s, json_t *normals, const json_t *object, struct err *e) {
    char kind[KINDS_NAME_MAX];
    if (kinds_name(js_str(object, "apiVersion", ""), js_str(object, "kind", ""), kind, sizeof kind) < 0 ||
        !*js_str(object, "metadata.name", ""))
        return err_set(e, -EINVAL, "an object without apiVersion, kind or metadata.name");
    json_t *entry = entry_of(object, kind);
    if (!entry || json_array_append_new(normals, entry) != 0)
        return err_oom(e);
    struct ref_object o = {.kind = js_str(entry, "kind", ""),
                           .name = js_str(entry, "name", ""),
                           .normal = json_object_get(entry, "normal"),
                           .release = "",
                           .tag = s->n};
    return ref_side_add(s, &o) < 0 ? err_oom(e) : 0;
}

static int must_be_unique(const struct ref_side *s, struct err *e) {
    for (size_t i = 1; i < s->n; i++)
        if (strcmp(s->objects[i].kind, s->objects[i - 1].kind) == 0 &&
            strcmp(s->objects[i].name, s->objects[i - 1].name) == 0)
            return err_set(e, -EINVAL, "%s/%s is there twice: keep one", s->objects[i].kind,
                           s->objects[i].name);
    return 0;
}

/* In place: a side that found its names points into itself. */
int ref_side_of_objects(const json_t *objects, json_t *normals, struct ref_side *ret, struct err *e) {
    size_t i;
    json_t *object;
    json_array_foreach((json_t *)objects, i, object) {
        int r = add_object(ret, normals, object, e);
        if (r < 0)
            return r;
    }
    return ref_side_finish(ret) < 0 ? err_oom(e) : must_be_unique(ret, e);
}

const char *ref_main_namespace(const json_t *objects) {
    const char *best = "";
    size_t most = 0, i;
    json_t *object;
    json_t *counts = json_object();
    json_array_foreach((json_t *)objects, i, object) {
        const char *ns = js_str(object, "metadata.namespace", "");
        if (!*ns || strncmp(ns, "kube-", 5) == 0)
            continue;
        size_t n = (size_t)json_integer_value(json_object_get(counts, ns)) + 1;
        (void)json_object_set_new(counts, ns, json_integer((json_int_t)n));
        best = n > most ? ns : best;
        most = n > most ? n : most;
    }
    json_decref(counts);
    return best;
}

bool ref_is_elsewhere(const json_t *object, const char *namespace_name) {
    const char *ns = js_str(object, "metadata.namespace", NULL);
    return ns && strcmp(ns, namespace_name) != 0;
}

/* A stage is one namespace: what else is rendered lives elsewhere. */
static void drop_elsewhere(json_t *objects) {
    char ns[OBJECT_NAME_MAX + 1];
    (void)snprintf(ns, sizeof ns, "%s", ref_main_namespace(objects));
    for (size_t i = json_array_size(objects); i-- > 0;)
        if (ref_is_elsewhere(json_array_get(objects, i), ns))
            (void)json_array_remove(objects, i);
}

int ref_side_of_manifests(const char *name, const char *text, size_t len, const struct norm_key *key,
                          struct ref_side *ret, json_t **ret_docs, struct err *e) {
    json_t *objects = json_array();
    json_t *normals = json_array();
    *ret = (struct ref_side){.label = name};
    int r = objects && normals ? ref_manifests_read(name, text, len, key, objects, NULL, e) : err_oom(e);
    if (r == 0) {
        drop_elsewhere(objects);
        r = ref_side_of_objects(objects, normals, ret, e);
        if (r < 0)
            (void)err_prefix(e, r, "%.300s", name);
    }
    json_decref(objects);
    if (r == 0) {
        *ret_docs = normals;
        return 0;
    }
    ref_side_free(ret);
    json_decref(normals);
    return r;
}
