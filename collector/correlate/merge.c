/* merge: see merge.h. One table of the keys by which Kubernetes itself merges lists. */
#include "correlate/merge.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"

#define KEYS_MAX 6
#define KEY_TEXT_MAX 512

/* Of the Kubernetes API where nothing else is said: tags patchMergeKey and listMapKey in k8s.io/api,
 * core/v1/types.go, apps/v1/types.go, autoscaling/v2/types.go, networking/v1/types.go and
 * admissionregistration/v1/types.go (Strategic Merge Patch,
 * sigs.k8s.io/structured-merge-diff). Where a list is atomic to the API, or merged by what the normal form
 * drops, the key that a person would take. */
static const struct merge {
    const char *field;
    const char *keys[KEYS_MAX];
} merges[] = {
    {"containers", {"name"}},
    {"initContainers", {"name"}},
    {"ephemeralContainers", {"name"}},
    {"env", {"name"}},
    {"ports", {"containerPort", "protocol"}}, /* of a container */
    {"ports", {"port", "protocol"}},          /* of a Service */
    {"volumes", {"name"}},
    {"volumeMounts", {"mountPath"}},
    {"volumeDevices", {"devicePath"}},
    {"imagePullSecrets", {"name"}},
    {"secrets", {"name"}}, /* of a ServiceAccount */
    {"hostAliases", {"ip"}},
    {"topologySpreadConstraints", {"topologyKey", "whenUnsatisfiable"}},
    {"conditions", {"type"}},
    {"webhooks", {"name"}},
    {"ownerReferences", {"kind", "name"}},          /* by uid, which the normal form drops */
    {"tolerations", {"key", "operator", "effect"}}, /* atomic */
    {"subjects", {"kind", "name", "namespace"}},    /* atomic; of a RoleBinding */
    {"rules", {"host"}},                            /* atomic; of an Ingress */
    {"paths", {"path", "pathType"}},                /* atomic; of an Ingress */
    {"tls", {"secretName"}},                        /* atomic; of an Ingress */
    {"volumeClaimTemplates", {"metadata.name"}},    /* atomic; of a StatefulSet */
    {"items", {"path"}},                            /* atomic; of a volume */
    {"metrics",                                     /* atomic; of a HorizontalPodAutoscaler */
     {"type", "resource.name", "containerResource.name", "containerResource.container", "pods.metric.name",
      "external.metric.name"}},
    {"objects", {"kind", "name", "namespace"}}, /* of a Helm release's normal form, agent/kube/release.c */
};

/* Lists of texts whose order says nothing. */
static const char *const sets[] = {"tools",       "finalizers", "config_keys", "hosts",    "accessModes",
                                   "policyTypes", "verbs",      "apiGroups",   "resources"};

/* Whatever else is a list of things with names: a product's own configuration. */
static const struct merge generic[] = {{"", {"name"}}, {"", {"id"}}};

/* "8080/TCP"; false when the element has none of the keys. */
static bool key_of(const json_t *element, const struct merge *m, char out[KEY_TEXT_MAX]) {
    size_t n = 0;
    bool any = false;
    out[0] = 0;
    for (size_t k = 0; k < KEYS_MAX && m->keys[k]; k++) {
        const json_t *v = js_at(element, m->keys[k]);
        char text[KEY_TEXT_MAX] = "";
        if (json_is_string(v))
            (void)snprintf(text, sizeof text, "%s", json_string_value(v));
        else if (json_is_integer(v))
            (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
        any |= *text != 0;
        int more = snprintf(out + n, KEY_TEXT_MAX - n, "%s%s", n && *text ? "/" : "", text);
        if (more < 0 || n + (size_t)more >= KEY_TEXT_MAX)
            return false;
        n += (size_t)more;
    }
    return any;
}

/* The places of all elements by their keys; NULL when not each has one of its own (or, *ret_oom, no memory).
 */
static json_t *index_of(const json_t *list, const struct merge *m, bool *ret_oom) {
    json_t *index = json_object();
    size_t i;
    json_t *v;
    *ret_oom = !index;
    json_array_foreach((json_t *)list, i, v) {
        char key[KEY_TEXT_MAX];
        const char *name = key;
        bool good = m ? json_is_object(v) && key_of(v, m, key) : json_is_string(v);
        if (good && !m)
            name = json_string_value(v);
        if (!good || json_object_get(index, name)) {
            json_decref(index);
            return NULL;
        }
        if (json_object_set_new(index, name, json_integer((json_int_t)i)) < 0) {
            *ret_oom = true;
            json_decref(index);
            return NULL;
        }
    }
    return index;
}

/* m NULL: texts, by themselves. */
static bool try_key(const struct merge *m, const json_t *before, const json_t *after, json_t **ret_old,
                    json_t **ret_new) {
    bool oom;
    bool oom_too = false;
    *ret_old = index_of(before, m, &oom);
    *ret_new = *ret_old ? index_of(after, m, &oom_too) : NULL;
    if (*ret_old && *ret_new)
        return true;
    if (!oom && !oom_too) {
        json_decref(*ret_old);
        *ret_old = NULL;
    }
    return oom || oom_too;
}

bool merge_by_key(const char *field, const json_t *before, const json_t *after, json_t **ret_old,
                  json_t **ret_new) {
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(sets[i], field) == 0 && try_key(NULL, before, after, ret_old, ret_new))
            return true;
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        if (strcmp(merges[i].field, field) == 0 && try_key(&merges[i], before, after, ret_old, ret_new))
            return true;
    for (size_t i = 0; i < sizeof generic / sizeof *generic; i++)
        if (try_key(&generic[i], before, after, ret_old, ret_new))
            return true;
    return false;
}
