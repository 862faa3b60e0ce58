/* hooks: Helm's hooks: Jobs (stage-scoped) and bare pods (of the node) with the annotation helm.sh/hook.
 * Helm makes them, waits for them, and often deletes them at once; they are in no release's manifest.
 * See kube_priv.h.
 *
 *   appeared                          HOOK_STARTED, at creationTimestamp
 *   Job: condition Complete, Failed   HOOK_SUCCEEDED, HOOK_FAILED, at lastTransitionTime: both are final,
 *                                     so that is exact however late it is read (batch/v1 JobCondition)
 *   pod: phase Succeeded, Failed      the same, when its last container ended
 *
 * reason: which hook ("pre-upgrade"), and of a failure why ("pre-upgrade: BackoffLimitExceeded"); count:
 * failed attempts. Source of the annotation and its values: Helm pkg/release HookEvent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "kube/kube_priv.h"

#define PATH_HOOK "/metadata/annotations/helm.sh~1hook"
#define PATH_INSTANCE "/metadata/labels/app.kubernetes.io~1instance"

enum said { SAID_STARTED = 1, SAID_ENDED = 2 };

struct hook_look {
    const struct kube_scope *sc;
    const struct kube_meta *m;
    const char *kind; /* "Job", "Pod" */
    const char *release;
    const char *hook;
};

const char *kube_hook_of(const json_t *object) {
    return js_str(object, PATH_HOOK, "");
}

/* Helm puts its own annotations on no hook; charts put their label on most. */
static const char *release_of(const struct kube_meta *m, const json_t *object) {
    return *m->release ? m->release : js_str(object, PATH_INSTANCE, "");
}

static void tell(const struct hook_look *l, Pilotgate__Phase__Kind kind, struct kube_time t, const char *why,
                 int64_t count) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    char release[KUBE_NAME_MAX];
    char reason[KUBE_REASON_MAX];
    (void)snprintf(release, sizeof release, "%s", l->release);
    (void)snprintf(reason, sizeof reason, "%.120s%s%.200s", l->hook, *why ? ": " : "", why);
    p.kind = kind;
    p.owner = release;
    p.reason = reason;
    p.count = count > 0 && count < INT32_MAX ? (uint32_t)count : 0;
    kube_tell_phase(l->sc, &p, l->kind, l->m, t);
}

static void tell_started(const struct hook_look *l, const struct kube_sight *s, const json_t *object,
                         unsigned *said) {
    if (*said & SAID_STARTED)
        return;
    *said |= SAID_STARTED;
    tell(l, PILOTGATE__PHASE__KIND__KIND_HOOK_STARTED,
         kube_time_api(js_str(object, "metadata.creationTimestamp", ""), s), "", 0);
}

static const json_t *true_condition(const json_t *job, const char *type) {
    const json_t *c = kube_condition(job, type);
    return strcmp(js_str(c, "status", ""), "True") == 0 ? c : NULL;
}

int kube_job_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                 const struct kube_meta *m, const json_t *job, struct kube_entry *x, struct err *e) {
    const char *hook = kube_hook_of(job);
    if (!*hook)
        return 0;
    if (!x->extra)
        x->extra = calloc(1, sizeof(unsigned));
    if (!x->extra)
        return err_oom(e);
    unsigned *said = x->extra;
    struct hook_look l = {sc, m, kind->kind, release_of(m, job), hook};
    const json_t *failed = true_condition(job, "Failed");
    const json_t *ended = failed ? failed : true_condition(job, "Complete");
    tell_started(&l, s, job, said);
    if (!ended || (*said & SAID_ENDED))
        return 0;
    *said |= SAID_ENDED;
    tell(&l, failed ? PILOTGATE__PHASE__KIND__KIND_HOOK_FAILED : PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED,
         kube_time_api(js_str(ended, "lastTransitionTime", ""), s),
         failed ? js_str(failed, "reason", "") : "", js_int(job, "status.failed", 0));
    return 0;
}

/* When the last of its containers ended; "" when one did not. */
static const char *ended_at(const json_t *pod) {
    const char *latest = "";
    size_t i;
    json_t *c;
    json_array_foreach(js_at(pod, "status.containerStatuses"), i, c) {
        const char *t = js_str(c, "state.terminated.finishedAt", "");
        if (!*t)
            return "";
        latest = strcmp(t, latest) > 0 ? t : latest;
    }
    return latest;
}

void kube_hook_pod(const struct kube_scope *sc, const struct kube_sight *s, const struct kube_meta *m,
                   const json_t *pod, unsigned *said) {
    const char *hook = kube_hook_of(pod);
    const char *phase = js_str(pod, "status.phase", "");
    bool failed = strcmp(phase, "Failed") == 0;
    if (!*hook || json_array_size(js_at(pod, "metadata.ownerReferences")))
        return;
    struct hook_look l = {sc, m, "Pod", release_of(m, pod), hook};
    tell_started(&l, s, pod, said);
    if ((*said & SAID_ENDED) || (!failed && strcmp(phase, "Succeeded") != 0))
        return;
    *said |= SAID_ENDED;
    tell(&l, failed ? PILOTGATE__PHASE__KIND__KIND_HOOK_FAILED : PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED,
         kube_time_api(ended_at(pod), s), failed ? js_str(pod, "status.reason", "") : "", failed);
}
