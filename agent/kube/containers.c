/* containers: starts, failures and images of a pod's containers, out of its status. See pods_priv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "kube/pods_priv.h"

/* What keeps a container from running and needs somebody; ContainerCreating and PodInitializing do not. */
static const char *const waiting_reasons[] = {
    "CrashLoopBackOff",           "ImagePullBackOff",     "ErrImagePull",      "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "InvalidImageName"};

static struct said_container *container_of(struct kube_entry *x, const char *name) {
    struct said_pod *p = x->extra;
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->containers[i].name, name) == 0)
            return &p->containers[i];
    if (p->n >= KUBE_CONTAINERS_MAX)
        return NULL;
    p = realloc(p, sizeof *p + (p->n + 1) * sizeof p->containers[0]);
    if (!p)
        return NULL;
    x->extra = p;
    struct said_container *c = &p->containers[p->n++];
    *c = (struct said_container){.failed_run = -1, .waiting_run = -1};
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

/* The first start is always told; of restarts, as many as the rate allows. Its name is the reason, too, as
 * agents before `container` told it. */
static void look_at_start(const struct pod_look *l, struct said_container *c, const json_t *status) {
    const char *t =
        js_str(status, "state.running.startedAt", js_str(status, "state.terminated.startedAt", ""));
    if (!*t || strncmp(t, c->started, sizeof c->started - 1) == 0)
        return;
    struct pod_word w = {PILOTGATE__PHASE__KIND__KIND_CONTAINER_STARTED, kube_time_api(t, l->s), c->name,
                         c->name, js_int(status, "restartCount", 0)};
    if (*c->started)
        pod_tell_limited(l, w, &c->held);
    else
        pod_tell(l, w);
    (void)snprintf(c->started, sizeof c->started, "%s", t);
}

/* count: how many runs ended or could not begin, this one included. */
static void tell_failed(const struct pod_look *l, struct said_container *c, struct kube_time t,
                        const char *reason, int64_t run) {
    struct pod_word w = {PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED, t, reason, c->name, run + 1};
    pod_tell_limited(l, w, &c->held);
}

static void look_at_waiting(const struct pod_look *l, struct said_container *c, const json_t *status) {
    const char *reason = js_str(status, "state.waiting.reason", "");
    int64_t run = js_int(status, "restartCount", 0);
    for (unsigned i = 0; i < sizeof waiting_reasons / sizeof *waiting_reasons; i++) {
        if (strcmp(reason, waiting_reasons[i]) != 0)
            continue;
        if (c->waiting_run != run)
            c->waiting = 0;
        c->waiting_run = run;
        if (!(c->waiting & (1u << i)))
            tell_failed(l, c, kube_time_seen(l->s), waiting_reasons[i], run);
        c->waiting |= 1u << i;
    }
}

/* A run that ended badly. The exit of a pod that is being deleted is its order, unless memory ran out. */
static void look_at_exit(const struct pod_look *l, struct said_container *c, const json_t *ended,
                         int64_t run) {
    const char *reason = js_str(ended, "reason", "");
    bool oom = strcmp(reason, "OOMKilled") == 0;
    bool deleting = js_at(l->pod, "metadata.deletionTimestamp") != NULL;
    if (!ended || run <= c->failed_run || (js_int(ended, "exitCode", 0) == 0 && !oom) || (deleting && !oom))
        return;
    char word[64];
    (void)snprintf(word, sizeof word, "%s", *reason ? reason : "Error");
    c->failed_run = run;
    tell_failed(l, c, kube_time_api(js_str(ended, "finishedAt", ""), l->s), word, run);
}

static void look_at_list(const struct pod_look *l, const char *path) {
    size_t i;
    json_t *status;
    json_array_foreach(js_at(l->pod, path), i, status) {
        struct said_container *c = container_of(l->x, js_str(status, "name", ""));
        int64_t runs = js_int(status, "restartCount", 0);
        if (!c)
            return;
        look_at_exit(l, c, js_at(status, "lastState.terminated"), runs - 1);
        look_at_exit(l, c, js_at(status, "state.terminated"), runs);
        look_at_waiting(l, c, status);
        look_at_start(l, c, status);
    }
}

void pod_look_at_containers(const struct pod_look *l) {
    look_at_list(l, "status.initContainerStatuses");
    look_at_list(l, "status.containerStatuses");
}
