/* workloads: Deployments, StatefulSets and DaemonSets: their normal form, and when all their pods are of
 * the newest form and available. See kube_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"

enum availability { UNKNOWN, AVAILABLE, UNAVAILABLE };

struct said_workload {
    enum availability said;
};

static bool deployment_available(const json_t *o) {
    int64_t want = js_int(o, "spec.replicas", 1);
    return strcmp(js_str(kube_condition(o, "Available"), "status", ""), "True") == 0 &&
           js_int(o, "status.replicas", 0) == want && js_int(o, "status.updatedReplicas", 0) == want &&
           js_int(o, "status.availableReplicas", 0) == want;
}

/* availableReplicas is younger than StatefulSets; ready is what older servers say. */
static bool stateful_available(const json_t *o) {
    int64_t want = js_int(o, "spec.replicas", 1);
    int64_t ready = js_int(o, "status.readyReplicas", 0);
    return js_int(o, "status.replicas", 0) == want && js_int(o, "status.updatedReplicas", 0) == want &&
           ready == want;
}

static bool daemon_available(const json_t *o) {
    int64_t want = js_int(o, "status.desiredNumberScheduled", -1);
    return js_int(o, "status.updatedNumberScheduled", 0) == want &&
           js_int(o, "status.numberAvailable", 0) == want;
}

static bool is_available(const char *kind, const json_t *o) {
    if (js_int(o, "status.observedGeneration", -1) != js_int(o, "metadata.generation", 0))
        return false;
    if (strcmp(kind, "Deployment") == 0)
        return deployment_available(o);
    return strcmp(kind, "StatefulSet") == 0 ? stateful_available(o) : daemon_available(o);
}

/* Found available in a list: the API knows since when only of a Deployment whose spec never changed (its
 * rollout ended once); of others we know that it is so at the latest now. One that was unavailable in between
 * was so before, too: at the latest then. */
static struct kube_time available_since(const char *kind, const json_t *o, const struct kube_sight *s) {
    if (!s->listed || strcmp(kind, "Deployment") != 0 || js_int(o, "metadata.generation", 0) != 1)
        return kube_time_seen(s);
    const char *flip = js_str(kube_condition(o, "Available"), "lastTransitionTime", "");
    const json_t *rollout = kube_condition(o, "Progressing");
    const char *done = js_str(rollout, "lastUpdateTime", "");
    if (strcmp(js_str(rollout, "reason", ""), "NewReplicaSetAvailable") != 0)
        return kube_time_seen(s);
    return strcmp(flip, done) > 0 ? kube_time_flip(flip, s) : kube_time_api(done, s);
}

static void tell(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_meta *m,
                 Pilotgate__Phase__Kind phase, struct kube_time t) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = phase;
    p.owner = (char *)m->release;
    kube_tell_phase(sc, &p, kind->kind, m, t);
}

/* A workload that was just made is not said to be unavailable; one found so in the first list is. */
static void look_at_availability(const struct kube_scope *sc, const struct kube_kind *kind,
                                 const struct kube_sight *s, const struct kube_meta *m, const json_t *o,
                                 struct said_workload *w) {
    enum availability now = is_available(kind->kind, o) ? AVAILABLE : UNAVAILABLE;
    if (now == w->said || (now == UNAVAILABLE && w->said == UNKNOWN && !s->first))
        return;
    w->said = now;
    if (now == AVAILABLE)
        tell(sc, kind, m, PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE, available_since(kind->kind, o, s));
    else
        tell(sc, kind, m, PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE, kube_time_seen(s));
}

int kube_workload_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                      const struct kube_meta *m, const json_t *o, struct kube_entry *x, struct err *e) {
    if (!x->extra) {
        x->extra = calloc(1, sizeof(struct said_workload));
        if (!x->extra)
            return err_oom(e);
        tell(sc, kind, m, PILOTGATE__PHASE__KIND__KIND_WORKLOAD_CREATED,
             kube_time_api(js_str(o, "metadata.creationTimestamp", ""), s));
    }
    look_at_availability(sc, kind, s, m, o, x->extra);
    if (strcmp(kind->kind, "DaemonSet") == 0)
        kube_fleet_daemons(sc->fleet, m, o);
    return kube_object_see(sc, kind, s, m, o, x, e);
}

void kube_workload_gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                        const struct kube_entry *x) {
    kube_fleet_gone(sc->fleet, x->uid);
    kube_object_gone(sc, kind, s, x);
}
