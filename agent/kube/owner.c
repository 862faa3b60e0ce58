/* owner: who owns an object as code, by the labels and annotations that controllers put on what they apply.
 *
 *   helm-controller       labels helm.toolkit.fluxcd.io/{name,namespace} (Flux, HelmRelease, "origin labels")
 *   kustomize-controller  labels kustomize.toolkit.fluxcd.io/{name,namespace} (Flux, Kustomization)
 *   Argo CD               annotation argocd.argoproj.io/tracking-id
 * "[NAMESPACE_]APP:GROUP/KIND:NAMESPACE/NAME", or label app.kubernetes.io/instance, which many charts set as
 * well: it counts only where an Application of that name was seen (Argo CD, "Resource tracking") Helm
 * annotation meta.helm.sh/release-name (Helm, pkg/kube)
 *
 * They are claims: who may edit the object may write them. See kube_priv.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "kube/kube_priv.h"

#define LABELS "/metadata/labels/"
#define ANNOTATIONS "/metadata/annotations/"

static bool name_ok(const char *s) {
    size_t n = 0;
    for (; s[n]; n++)
        if (n + 1 >= KUBE_NAME_MAX || !(isalnum((unsigned char)s[n]) || strchr("-._", s[n])))
            return false;
    return n > 0;
}

static bool read_flux(const json_t *object, const char *name_path, const char *namespace_path,
                      const char *kind, char out[KUBE_OWNER_MAX]) {
    const char *name = js_str(object, name_path, "");
    const char *ns = js_str(object, namespace_path, "");
    if (!name_ok(name) || !name_ok(ns))
        return false;
    (void)snprintf(out, KUBE_OWNER_MAX, "flux:%s/%s/%s", kind, ns, name);
    return true;
}

static bool app_known(const struct kube_apps *a, const char *name) {
    for (size_t i = 0; a && i < a->n; i++)
        if (strcmp(a->names[i], name) == 0)
            return true;
    return false;
}

static bool read_argo(const struct kube_apps *apps, const json_t *object, char out[KUBE_OWNER_MAX]) {
    char app[KUBE_NAME_MAX];
    const char *id = js_str(object, ANNOTATIONS "argocd.argoproj.io~1tracking-id", "");
    const char *instance = js_str(object, LABELS "app.kubernetes.io~1instance", "");
    size_t n = strcspn(id, ":");
    (void)snprintf(app, sizeof app, "%.*s", n < sizeof app && id[n] == ':' ? (int)n : 0, id);
    if (!*app && app_known(apps, instance))
        (void)snprintf(app, sizeof app, "%s", instance);
    if (!name_ok(app))
        return false;
    (void)snprintf(out, KUBE_OWNER_MAX, "argocd:%s", app);
    return true;
}

void kube_owner_read(const struct kube_apps *apps, const json_t *object, char out[KUBE_OWNER_MAX]) {
    out[0] = 0;
    if (read_flux(object, LABELS "helm.toolkit.fluxcd.io~1name", LABELS "helm.toolkit.fluxcd.io~1namespace",
                  "HelmRelease", out) ||
        read_flux(object, LABELS "kustomize.toolkit.fluxcd.io~1name",
                  LABELS "kustomize.toolkit.fluxcd.io~1namespace", "Kustomization", out) ||
        read_argo(apps, object, out))
        return;
    const char *release = js_str(object, ANNOTATIONS "meta.helm.sh~1release-name", "");
    if (name_ok(release))
        (void)snprintf(out, KUBE_OWNER_MAX, "helm:%s", release);
}

/* ---- Applications that were seen */

void kube_apps_add(struct kube_apps *a, const char *name) {
    if (!a || app_known(a, name) || a->n == KUBE_APPS_MAX || !name_ok(name))
        return;
    (void)snprintf(a->names[a->n++], KUBE_NAME_MAX, "%s", name);
}

void kube_apps_remove(struct kube_apps *a, const char *name) {
    for (size_t i = 0; a && i < a->n; i++)
        if (strcmp(a->names[i], name) == 0) {
            (void)memmove(a->names[i], a->names[--a->n], KUBE_NAME_MAX);
            return;
        }
}
