/* An object as a stage or a manifest may say it, at every place of it: what is a default, added or left out
 * is bounded and the same each time; the newest form is its own newest form; a selector in one spelling
 * selects what it selected. Input: a byte for the kind, then JSON: an object, or a list of one and of labels
 * to select among. */
#include <string.h>

#include "base/js.h"
#include "fuzz.h"
#include "reference/values.h"

#define DEPTH_MAX 20

static void look_at_selector(const json_t *v, const json_t *labels) {
    json_t *form = ref_selector_form(v);
    json_t *again = ref_selector_form(form);
    MUST(form && again && json_equal(form, again));
    bool odd = json_is_object(v) && json_equal(form, (json_t *)v) &&
               json_object_size(v) > 0; /* or as it should be */
    MUST(odd || ref_selects(v, false, labels) == ref_selects(form, false, labels));
    (void)ref_selects(v, true, labels);
    json_decref(form);
    json_decref(again);
}

static void look_at_place(const char *kind, const char *pointer, const json_t *v, const json_t *object) {
    enum ref_meaning m = ref_meaning_of(kind, pointer);
    MUST(ref_same_value(m, v, v));
    MUST(ref_is_default(kind, pointer, v, object) == ref_is_default(kind, pointer, v, object));
    (void)ref_is_added(kind, pointer, v, object);
    bool out = ref_is_left_out(kind, pointer, v);
    MUST(!out || !json_is_true(v));
    if (json_is_object(v))
        look_at_selector(v, js_at(object, "/metadata/labels"));
}

static void walk(const char *kind, char pointer[1024], const json_t *v, const json_t *object, int depth) {
    size_t n = strlen(pointer);
    size_t i;
    const char *key;
    json_t *child;
    look_at_place(kind, pointer, v, object);
    if (depth == DEPTH_MAX || n > 900)
        return;
    json_array_foreach((json_t *)v, i, child) {
        (void)snprintf(pointer + n, 1024 - n, "/%zu", i);
        walk(kind, pointer, child, object, depth + 1);
    }
    json_object_foreach((json_t *)v, key, child) {
        (void)snprintf(pointer + n, 1024 - n, "/%.60s", key);
        walk(kind, pointer, child, object, depth + 1);
    }
    pointer[n] = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const kinds[] = {"Deployment",
                                        "StatefulSet",
                                        "DaemonSet",
                                        "Job",
                                        "CronJob",
                                        "Service",
                                        "NetworkPolicy",
                                        "Ingress",
                                        "ConfigMap",
                                        "Secret",
                                        "Pod",
                                        "LimitRange",
                                        "RoleBinding",
                                        "PersistentVolumeClaim",
                                        "HorizontalPodAutoscaler",
                                        "HTTPRoute.gateway.networking.k8s.io"};
    json_t *object = NULL;
    char pointer[1024] = "";
    if (size < 2 || size > 1u << 14 ||
        js_parse((const char *)data + 1, size - 1, 1u << 14, &object, NULL) < 0)
        return 0;
    const char *kind = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
    walk(kind, pointer, object, object, 0);
    json_t *newest = ref_newest_form(kind, object);
    json_t *again = newest ? ref_newest_form(kind, newest) : NULL;
    MUST(newest && again);
    json_decref(again);
    json_decref(newest);
    json_decref(object);
    return 0;
}
