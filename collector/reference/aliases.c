/* aliases: two ways to say one thing that the API itself keeps apart. What is told in an older version of its
 * API is values.h's. */
#include <string.h>

#include "base/js.h"
#include "reference/compare_priv.h"

#define CLASS "kubernetes.io/ingress.class"

/* The annotation is the older way to name the class (networking/v1 types.go, IngressSpec.ingressClassName).
 */
static bool take_class(json_t *object) {
    json_t *spec = json_object_get(object, "spec");
    json_t *annotations = js_at(object, "metadata.annotations");
    json_t *class = json_object_get(annotations, CLASS);
    if (!class || !spec || json_object_get(spec, "ingressClassName"))
        return true;
    return json_object_set(spec, "ingressClassName", class) == 0 && json_object_del(annotations, CLASS) == 0;
}

/* Write-only, and merged over data by the API server (core/v1 types.go, Secret.stringData). */
static bool take_texts(json_t *object) {
    json_t *texts = json_object_get(object, "stringData");
    json_t *data = json_object_get(object, "data");
    if (!json_is_object(texts))
        return true;
    if (json_is_object(data))
        return json_object_update(data, texts) == 0 && json_object_del(object, "stringData") == 0;
    return json_object_set(object, "data", texts) == 0 && json_object_del(object, "stringData") == 0;
}

/* ---- two fields of one meaning */

/* core/v1 types.go: PodSpec.serviceAccount is the older name of serviceAccountName; the API server writes
 * both. PersistentVolumeClaimSpec.dataSource and dataSourceRef: it copies one into the other. */
static const struct alias {
    const char *kind, *path[6], *older, *name;
} aliases[] = {
    {"Pod", {"spec"}, "serviceAccount", "serviceAccountName"},
    {"Deployment", {"spec", "template", "spec"}, "serviceAccount", "serviceAccountName"},
    {"StatefulSet", {"spec", "template", "spec"}, "serviceAccount", "serviceAccountName"},
    {"DaemonSet", {"spec", "template", "spec"}, "serviceAccount", "serviceAccountName"},
    {"Job", {"spec", "template", "spec"}, "serviceAccount", "serviceAccountName"},
    {"CronJob", {"spec", "jobTemplate", "spec", "template", "spec"}, "serviceAccount", "serviceAccountName"},
    {"PersistentVolumeClaim", {"spec"}, "dataSource", "dataSourceRef"},
};

static const struct alias *alias_of(const char *kind, const json_t *object) {
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        const struct alias *a = &aliases[i];
        const json_t *at = object;
        for (const char *const *step = a->path; *step; step++)
            at = json_object_get(at, *step);
        if (strcmp(a->kind, kind) == 0 && json_object_get(at, a->older))
            return a;
    }
    return NULL;
}

/* The same object, of which only the maps on the way are copied. *ret_at: the last of them. */
static json_t *copy_way(const json_t *object, const struct alias *a, json_t **ret_at) {
    json_t *copy = json_copy((json_t *)object);
    json_t *at = copy;
    for (const char *const *step = a->path; at && *step; step++) {
        json_t *next = json_copy(json_object_get(at, *step));
        at = json_object_set_new(at, *step, next) == 0 ? next : NULL;
    }
    *ret_at = at;
    if (at)
        return copy;
    json_decref(copy);
    return NULL;
}

/* One that says something else than its newer name stays. */
static json_t *with_newer_name(json_t *object, const struct alias *a) {
    json_t *at;
    json_t *copy = copy_way(object, a, &at);
    json_decref(object);
    if (!copy)
        return NULL;
    json_t *older = json_object_get(at, a->older);
    json_t *newer = json_object_get(at, a->name);
    if (newer && !json_equal(newer, older))
        return copy;
    if (json_object_set(at, a->name, older) == 0 && json_object_del(at, a->older) == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

/* ---- all of it */

static bool has_alias(const char *kind, const json_t *normal) {
    return strcmp(kind, "Secret") == 0
               ? json_object_get(normal, "stringData") != NULL
               : strcmp(kind, "Ingress") == 0 &&
                     js_at(normal, "/metadata/annotations/kubernetes.io~1ingress.class") != NULL;
}

json_t *ref_modern(const char *kind, const json_t *normal) {
    json_t *newest = ref_newest_form(kind, normal);
    const struct alias *alias = newest ? alias_of(kind, newest) : NULL;
    if (alias)
        return with_newer_name(newest, alias);
    if (!newest || !has_alias(kind, newest))
        return newest;
    json_t *copy = json_deep_copy(newest);
    json_decref(newest);
    if (copy && take_class(copy) && take_texts(copy))
        return copy;
    json_decref(copy);
    return NULL;
}
