/* init: a first reference from rendered manifests: what usually matters. What is left out is told with its
 * reason; what is proposed on top of the manifests (propose.c) is met by them already. See reference.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/kinds.h"
#include "reference/propose.h"
#include "reference/reference_priv.h"
#include "wire/wire.h"

struct making {
    const struct ref_init *how;
    json_t *objects, *left_out; /* arrays */
    json_t *versions;           /* {POINTER: why it may differ} */
    char namespace_name[REF_NAME_MAX];
};

/* ---- what is of one version of a chart only */

/* Say which version of what was rendered, and by whom (Helm docs, "Labels and Annotations"). */
static const char *const version_labels[] = {
    "helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "chart", "heritage", NULL};
/* Places that hold metadata of their own. */
static const char *const metadata_places[] = {"/metadata", "/spec/template/metadata",
                                              "/spec/jobTemplate/spec/template/metadata", NULL};

/* Remembers "/metadata/labels/helm.sh~1chart" once. */
static int note_pointer(json_t *pointers, const char *place, const char *map, const char *key) {
    char pointer[REF_AT_MAX];
    (void)snprintf(pointer, sizeof pointer, "%s/%s/", place, map);
    ref_pointer_add(pointer, sizeof pointer, key);
    return json_object_set_new(pointers, pointer,
                               json_string(strcmp(map, "labels") == 0
                                               ? "says which version of the chart rendered it"
                                               : "follows from a file that is compared itself"));
}

/* Checksums make new pods when a file changes ("checksum/config": Helm docs, "Automatically Roll
 * Deployments").
 */
static int note_versions(json_t *pointers, const json_t *object) {
    for (const char *const *place = metadata_places; *place; place++) {
        const json_t *metadata = js_at(object, *place);
        const char *key;
        json_t *value;
        int r = 0;
        for (const char *const *label = version_labels; *label; label++)
            if (json_object_get(json_object_get(metadata, "labels"), *label))
                r = r ? r : note_pointer(pointers, *place, "labels", *label);
        json_object_foreach(json_object_get(metadata, "annotations"), key, value) {
            if (strncmp(key, "checksum/", 9) == 0 || strstr(key, "/checksum"))
                r = r ? r : note_pointer(pointers, *place, "annotations", key);
        }
        if (r)
            return -ENOMEM;
    }
    return 0;
}

/* The same with apiVersion, kind and metadata first, as people write it. A new reference. */
static json_t *in_order(const json_t *object) {
    static const char *const first[] = {"apiVersion", "kind", "metadata", NULL};
    json_t *ordered = json_object();
    for (const char *const *f = first; ordered && *f; f++)
        if (json_object_set(ordered, *f, json_object_get(object, *f)) != 0)
            break;
    if (!ordered || json_object_update_missing(ordered, (json_t *)object) != 0) {
        json_decref(ordered);
        return NULL;
    }
    return ordered;
}

/* ---- which objects */

static const char *why_not(const struct making *m, const json_t *object, char *text, size_t size) {
    char kind[KINDS_NAME_MAX];
    const char *hook = js_str(object, "/metadata/annotations/helm.sh~1hook", NULL);
    const char *ns = js_str(object, "metadata.namespace", NULL);
    if (hook)
        return strstr(hook, "test") ? "a test of the chart" : "a hook: Helm makes it besides the release";
    if (kinds_name(js_str(object, "apiVersion", ""), js_str(object, "kind", ""), kind, sizeof kind) < 0)
        return NULL; /* an error, which the intake says */
    if (strcmp(kind, "CustomResourceDefinition") == 0)
        return "a definition of the whole cluster: agents see their namespace";
    if (kinds_cluster_scoped(kind))
        return "of the whole cluster: agents see their namespace";
    if (strcmp(kind, "Job") == 0 || strcmp(kind, "Pod") == 0)
        return "it runs and is done: agents tell how it went, not the object";
    if (ref_is_elsewhere(object, m->namespace_name)) {
        (void)snprintf(text, size, "of another namespace, %.100s", ns);
        return text;
    }
    return !*js_str(object, "metadata.name", "") && js_at(object, "metadata.generateName")
               ? "its name is made anew each time"
               : NULL;
}

static int leave_out(struct making *m, const json_t *object, const char *reason, struct err *e) {
    char name[2 * REF_NAME_MAX];
    (void)snprintf(name, sizeof name, "%.300s/%.300s", js_str(object, "kind", "?"),
                   js_str(object, "metadata.name", js_str(object, "metadata.generateName", "?")));
    json_t *entry = json_pack("{s:o, s:s}", "object", ref_json_text(name), "reason", reason);
    return entry && json_array_append_new(m->left_out, entry) == 0 ? 0 : err_oom(e);
}

static int take(void *ctx, const char *where, const json_t *object, struct err *e) {
    struct making *m = ctx;
    char text[200];
    json_t *normal = NULL;
    const char *reason = json_is_object(object) ? why_not(m, object, text, sizeof text) : NULL;
    if (reason)
        return leave_out(m, object, reason, e);
    int r = ref_manifest_normal(where, object, NULL, &normal, e);
    if (r < 0)
        return r;
    json_t *ordered = note_versions(m->versions, normal) == 0 ? in_order(normal) : NULL;
    json_decref(normal);
    return ordered && json_array_append_new(m->objects, ordered) == 0 ? 0 : err_oom(e);
}

static int collect(void *ctx, const char *where, const json_t *object, struct err *e) {
    (void)where;
    return json_array_append(ctx, (json_t *)object) == 0 ? 0 : err_oom(e);
}

static int find_namespace(struct making *m, const char *name, const char *text, size_t len, struct err *e) {
    json_t *all = json_array();
    int r = all ? ref_manifests_each(name, text, len, collect, all, e) : err_oom(e);
    if (r == 0)
        (void)snprintf(m->namespace_name, sizeof m->namespace_name, "%s",
                       m->how->namespace_name ? m->how->namespace_name : ref_main_namespace(all));
    json_decref(all);
    return r;
}

/* ---- the document */

/* An id of what the chart or release is called. */
static void make_id(const char *from, char out[WIRE_NAME_MAX + 1]) {
    size_t n = 0;
    for (; *from && n < WIRE_NAME_MAX; from++) {
        bool good = (*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ||
                    (*from >= '0' && *from <= '9');
        if (good || (n > 0 && strchr("._-", *from)))
            out[n++] = *from;
    }
    while (n > 0 && strchr("._-", out[n - 1]))
        n--;
    out[n] = 0;
    if (!n)
        (void)snprintf(out, WIRE_NAME_MAX + 1, "reference");
}

static int set_text(json_t *object, const char *key, const char *text) {
    return text && *text ? json_object_set_new(object, key, ref_json_text(text)) : 0;
}

static json_t *set_of(const struct making *m, const struct ref_side *s, const char *source) {
    json_t *set = json_pack("{s:s, s:s, s:s, s:s}", "id", "rendered", "severity", "required", "why",
                            "it is what the recommended configuration renders", "source", source);
    bool bad = !set || set_text(set, "release", m->how->release ? m->how->release : s->release) != 0 ||
               set_text(set, "namespace", m->namespace_name) != 0 || set_text(set, "chart", s->chart) != 0 ||
               json_object_set(set, "objects", m->objects) != 0;
    if (!bad)
        return set;
    json_decref(set);
    return NULL;
}

static int tolerate(json_t *into, const char *pointer, const char *when, const char *reason,
                    const char *owner) {
    json_t *rule = json_pack("{s:s, s:s, s:s*, s:s, s:s}", "object", "*/*", "pointer", pointer, "when", when,
                             "reason", reason, "owner", owner);
    return rule ? json_array_append_new(into, rule) : -1;
}

/* What an autoscaler decides is not the reference's to say, nor is which version of a chart it is. */
static json_t *tolerances(const struct making *m, const struct ref_side *s) {
    json_t *all = json_array();
    const char *pointer;
    json_t *why;
    bool scaled = false;
    for (size_t i = 0; i < s->n; i++)
        scaled = scaled || s->objects[i].traits & REF_AUTOSCALED;
    bool bad = scaled && tolerate(all, "/spec/replicas", "autoscaled",
                                  "an autoscaler decides how many replicas there are", "the autoscaler") != 0;
    json_object_foreach(m->versions, pointer, why) {
        bad = bad || tolerate(all, pointer, NULL, json_string_value(why), "the chart") != 0;
    }
    if (!bad)
        return all;
    json_decref(all);
    return NULL;
}

static json_t *document(const struct making *m, const struct ref_side *s, json_t *expectations) {
    char id[WIRE_NAME_MAX + 1];
    char title[REF_NAME_MAX + 80];
    const char *of = *s->chart ? s->chart : *s->release ? s->release : "reference";
    const char *source = m->how->source ? m->how->source : "the manifests that it was made from";
    json_t *allowed = tolerances(m, s);
    make_id(m->how->id ? m->how->id : of, id);
    (void)snprintf(title, sizeof title, "%s, as it is rendered", of);
    json_t *doc =
        json_pack("{s:s, s:s, s:o, s:[o]}", "schema", REF_SCHEMA, "id", id, "title",
                  ref_json_text(m->how->title ? m->how->title : title), "manifests", set_of(m, s, source));
    bool bad = !doc || !allowed ||
               (json_array_size(expectations) && json_object_set(doc, "expectations", expectations)) ||
               (json_array_size(allowed) && json_object_set(doc, "tolerate", allowed));
    json_decref(allowed);
    if (!bad)
        return doc;
    json_decref(doc);
    return NULL;
}

static int make(const struct making *m, struct ref_side *s, json_t *normals, json_t **ret, struct err *e) {
    json_t *expectations = json_array();
    int r = ref_side_of_objects(m->objects, normals, s, e);
    if (r == 0 && m->how->release)
        s->release = m->how->release;
    if (r == 0)
        r = expectations ? ref_propose(s, m->how->source, expectations, e) : err_oom(e);
    if (r == 0) {
        *ret = document(m, s, expectations);
        r = *ret ? 0 : err_oom(e);
    }
    json_decref(expectations);
    return r;
}

int ref_make(const char *name, const char *text, size_t len, const struct ref_init *how, json_t **ret,
             json_t **ret_left_out, struct err *e) {
    struct making m = {
        .how = how, .objects = json_array(), .left_out = json_array(), .versions = json_object()};
    struct ref_side s = {.label = name};
    json_t *normals = json_array();
    json_t *doc = NULL;
    int r = m.objects && m.left_out && m.versions && normals ? find_namespace(&m, name, text, len, e)
                                                             : err_oom(e);
    if (r == 0)
        r = ref_manifests_each(name, text, len, take, &m, e);
    if (r == 0 && json_array_size(m.objects) == 0)
        r = err_set(e, -EINVAL, "%s: no object of a namespace is in it: give what `helm template` prints",
                    name);
    if (r == 0)
        r = make(&m, &s, normals, &doc, e);
    ref_side_free(&s);
    json_decref(normals);
    json_decref(m.objects);
    json_decref(m.versions);
    if (r < 0) {
        json_decref(m.left_out);
        return r;
    }
    *ret = doc;
    *ret_left_out = m.left_out;
    return 0;
}
