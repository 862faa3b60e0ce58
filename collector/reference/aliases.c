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

static bool has_alias(const char *kind, const json_t *normal) {
    return strcmp(kind, "Secret") == 0
               ? json_object_get(normal, "stringData") != NULL
               : strcmp(kind, "Ingress") == 0 &&
                     js_at(normal, "/metadata/annotations/kubernetes.io~1ingress.class") != NULL;
}

json_t *ref_modern(const char *kind, const json_t *normal) {
    json_t *newest = ref_newest_form(kind, normal);
    if (!newest || !has_alias(kind, newest))
        return newest;
    json_t *copy = json_deep_copy(newest);
    json_decref(newest);
    if (copy && take_class(copy) && take_texts(copy))
        return copy;
    json_decref(copy);
    return NULL;
}
