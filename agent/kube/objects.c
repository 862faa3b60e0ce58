/* objects: kinds whose normal form is all that matters (Services, ConfigMaps, Secrets, Ingresses ...), and
 * the Namespace. See kube_priv.h. */
#include <string.h>

#include "base/js.h"
#include "kube/kube_priv.h"

/* Made by the cluster in every namespace, nobody's configuration. */
static bool is_noise(const char *kind, const char *name) {
    return strcmp(kind, "ConfigMap") == 0 && strcmp(name, "kube-root-ca.crt") == 0;
}

int kube_object_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                    const struct kube_meta *m, const json_t *object, struct kube_entry *x, struct err *e) {
    if (is_noise(kind->kind, m->name))
        return 0;
    json_t *normal =
        kind->custom ? norm_custom(sc->key, object, kind->object) : norm_object(sc->key, object, kind->kind);
    if (!normal)
        return err_oom(e);
    int r = kube_tell_object(sc, kind->object, m->name, s, m, normal, x, e);
    json_decref(normal);
    return r;
}

/* Only what was said to be there is said to be gone. */
void kube_object_gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                      const struct kube_entry *x) {
    if (*x->digest)
        kube_tell_deleted(sc, kind->object, s, x);
}

int kube_namespace_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                       const struct kube_meta *m, const json_t *object, struct kube_entry *x, struct err *e) {
    if (!*x->digest) {
        Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
        p.kind = PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED;
        kube_tell_phase(sc, &p, "Namespace", m,
                        kube_time_api(js_str(object, "metadata.creationTimestamp", ""), s));
    }
    return kube_object_see(sc, kind, s, m, object, x, e);
}
