/* endpoints: whether a Service has a ready address, as an object of kind "Endpoints" and the Service's name:
 *
 *   {"kind": "Endpoints", "metadata": {"name", "labels"}, "ready": BOOL}
 *
 * Told when it is first seen, when it gets its first ready address, and when it loses its last one: a rolling
 * update, in which addresses come and go, tells nothing, and labels are those of that moment. It is no
 * configuration and no sign of a change.
 *
 * core/v1 Endpoints: subsets[].addresses[] are the ready ones, subsets[].notReadyAddresses[] the others
 * (k8s.io/api core/v1 types.go, EndpointSubset); labels are the Service's, copied by its controller
 * (kubernetes pkg/controller/endpoint/endpoints_controller.go, syncService). Deprecated since 1.33 in favour
 * of EndpointSlices, but served by every API server, one object a Service.
 *
 * Not shared with replicas.c, which looks at the same objects: every agent needs the addresses of the few
 * Services that its probes name, on its own, also where it may list no others (resourceNames), while this is
 * told once, by the agent that does the work of the whole stage. See kube_priv.h. */
#include "base/js.h"
#include "kube/kube_priv.h"

static bool has_ready(const json_t *endpoints) {
    size_t i;
    json_t *subset;
    json_array_foreach(js_at(endpoints, "subsets"), i, subset) {
        if (json_array_size(js_at(subset, "addresses")) > 0)
            return true;
    }
    return false;
}

/* A new reference; NULL: out of memory. */
static json_t *form_of(const struct norm_key *key, const json_t *endpoints, const char *name, bool ready) {
    json_t *labels = json_object_get(json_object_get(endpoints, "metadata"), "labels");
    json_t *form =
        json_pack("{s:s, s:{s:s}, s:b}", "kind", "Endpoints", "metadata", "name", name, "ready", ready);
    if (form && json_is_object(labels) &&
        json_object_set(json_object_get(form, "metadata"), "labels", labels) < 0) {
        json_decref(form);
        return NULL;
    }
    json_t *normal = form ? norm_object(key, form, "Endpoints") : NULL;
    json_decref(form);
    return normal;
}

int kube_endpoints_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                       const struct kube_meta *m, const json_t *object, struct kube_entry *x, struct err *e) {
    bool ready = has_ready(object);
    if (*x->digest && x->ready == ready)
        return 0;
    json_t *normal = form_of(sc->key, object, m->name, ready);
    if (!normal)
        return err_oom(e);
    int r = kube_tell_object(sc, kind->object, m->name, s, m, normal, x, e);
    json_decref(normal);
    if (r == 0)
        x->ready = ready;
    return r;
}
