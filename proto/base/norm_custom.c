/* norm_custom: the normal form of custom resources, and of what users give to charts. See norm.h. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/norm.h"

/* ---- every text becomes its hash */

static json_t *keyed(const struct norm_key *k, const json_t *value) {
    char hex[NORM_HEX_MAX];
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (len == 0 || strncmp(text, "keyed:", 6) == 0)
        return json_stringn(text, len);
    return json_sprintf("keyed:%s", norm_hash(k, text, len, hex));
}

static bool hash_texts(const struct norm_key *k, json_t *node) {
    const char *name;
    json_t *value;
    void *next;
    bool ok = true;
    json_object_foreach_safe(node, next, name, value) {
        if (json_is_string(value))
            ok = ok && json_object_set_new(node, name, keyed(k, value)) == 0;
        else
            ok = ok && hash_texts(k, value);
    }
    for (size_t i = 0; i < json_array_size(node); i++) {
        value = json_array_get(node, i);
        if (json_is_string(value))
            ok = ok && json_array_set_new(node, i, keyed(k, value)) == 0;
        else
            ok = ok && hash_texts(k, value);
    }
    return ok;
}

json_t *norm_values(const struct norm_key *k, const json_t *values) {
    if (json_is_string(values)) /* a document in a text */
        return keyed(k, values);
    if (!json_is_object(values) && !json_is_array(values))
        return json_deep_copy(values);
    json_t *form = norm_document(k, values);
    if (form && !hash_texts(k, form)) {
        json_decref(form);
        return NULL;
    }
    return form;
}

/* ---- Flux and Argo CD */

/* Asked for and taken away again by people and controllers, without anything being configured. */
static const char *const passing[] = {
    "argocd.argoproj.io/refresh",  "argocd.argoproj.io/hydrate",  "reconcile.fluxcd.io/requestedAt",
    "reconcile.fluxcd.io/forceAt", "reconcile.fluxcd.io/resetAt",
};

static void drop_passing(json_t *normal) {
    json_t *annotations = js_at(normal, "metadata.annotations");
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        (void)json_object_del(annotations, passing[i]);
    if (annotations && json_object_size(annotations) == 0)
        (void)json_object_del(json_object_get(normal, "metadata"), "annotations");
    (void)json_object_del(normal, "operation"); /* of an Application: a sync under way */
}

static bool reduce_member(const struct norm_key *k, json_t *in, const char *name) {
    json_t *value = json_object_get(in, name);
    return !value || json_object_set_new(in, name, norm_values(k, value)) == 0;
}

static bool reduce_helm(const struct norm_key *k, json_t *source) {
    json_t *helm = json_object_get(source, "helm");
    return reduce_member(k, helm, "values") && reduce_member(k, helm, "valuesObject") &&
           reduce_member(k, helm, "parameters");
}

/* A user's values: spec.values (HelmRelease), spec.postBuild.substitute (Kustomization), spec.source.helm and
 * spec.sources[].helm (Application). */
static bool reduce_values(const struct norm_key *k, json_t *normal) {
    json_t *spec = json_object_get(normal, "spec");
    json_t *sources = json_object_get(spec, "sources");
    bool ok = reduce_member(k, spec, "values") && reduce_helm(k, json_object_get(spec, "source")) &&
              reduce_member(k, json_object_get(spec, "postBuild"), "substitute");
    for (size_t i = 0; i < json_array_size(sources); i++)
        ok = ok && reduce_helm(k, json_array_get(sources, i));
    return ok;
}

static bool is_gitops(const char *kind) {
    const char *group = strchr(kind, '.');
    return group && (strstr(group, ".toolkit.fluxcd.io") || strcmp(group, ".argoproj.io") == 0);
}

json_t *norm_custom(const struct norm_key *k, const json_t *object, const char *kind) {
    char bare[256];
    (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(kind, "."), kind);
    json_t *normal = norm_object(k, object, bare);
    if (!normal)
        return NULL;
    bool ok = true;
    if (is_gitops(kind)) {
        drop_passing(normal);
        ok = reduce_values(k, normal);
    }
    json_t *reduced = ok ? norm_document(k, normal) : NULL;
    json_decref(normal);
    return reduced;
}
