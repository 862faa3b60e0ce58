/* fleet: how many agents there should be: what the DaemonSet that owns this agent's own pod wants, learned
 * from the pods and DaemonSets that are watched anyway. See kube_priv.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "kube/kube_priv.h"

#define DESIRED_MAX 100000 /* what is above it, no cluster has */

void kube_fleet_init(struct kube_fleet *f, const char *pod) {
    *f = (struct kube_fleet){.n = 0};
    if (pod && *pod)
        (void)snprintf(f->pod, sizeof f->pod, "%s", pod);
    else if (gethostname(f->pod, sizeof f->pod - 1) < 0)
        f->pod[0] = 0;
}

void kube_fleet_pod(struct kube_fleet *f, const struct kube_meta *m, const json_t *pod) {
    size_t i;
    json_t *ref;
    if (!f || !*f->pod || strcmp(m->name, f->pod) != 0)
        return;
    f->owner[0] = 0;
    json_array_foreach(js_at(pod, "metadata.ownerReferences"), i, ref) {
        if (js_bool(ref, "controller", false) && strcmp(js_str(ref, "kind", ""), "DaemonSet") == 0)
            (void)snprintf(f->owner, sizeof f->owner, "%s", js_str(ref, "uid", ""));
    }
}

static struct kube_daemons *find(struct kube_fleet *f, const char *uid) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->sets[i].uid, uid) == 0)
            return &f->sets[i];
    return NULL;
}

/* The own one is kept even where a namespace has more DaemonSets than we keep. */
void kube_fleet_daemons(struct kube_fleet *f, const struct kube_meta *m, const json_t *set) {
    if (!f || !*m->uid)
        return;
    struct kube_daemons *d = find(f, m->uid);
    int64_t desired = js_int(set, "status.desiredNumberScheduled", 0);
    bool known = js_int(set, "status.observedGeneration", -1) == js_int(set, "metadata.generation", 0);
    if (!d && f->n < KUBE_DAEMONS_MAX)
        d = &f->sets[f->n++];
    else if (!d && strcmp(f->owner, m->uid) == 0)
        d = &f->sets[0];
    if (!d)
        return;
    (void)snprintf(d->uid, sizeof d->uid, "%s", m->uid);
    if (known) /* until its controller has looked at a change, what was so before holds */
        d->desired = desired > 0 && desired <= DESIRED_MAX ? (uint32_t)desired : 0;
}

void kube_fleet_gone(struct kube_fleet *f, const char *uid) {
    struct kube_daemons *d = f ? find(f, uid) : NULL;
    if (d)
        *d = f->sets[--f->n];
}

void kube_fleet_forget(struct kube_fleet *f) {
    f->n = 0;
}

uint32_t kube_fleet_expected(const struct kube_fleet *f) {
    const struct kube_daemons *d = *f->owner ? find((struct kube_fleet *)f, f->owner) : NULL;
    return d ? d->desired : 0;
}
