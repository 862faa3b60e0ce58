/* pods: phases of the pods of this node. Each is said once for a uid, kind and value, however often the
 * pod changes; what was said is kept in a small block beside the uid. Pods are not sent as objects: their
 * state changes all the time and what matters of it is in the phases.
 *
 * Times: where the API carries a timestamp, that one (whole seconds, exact); otherwise the moment the
 * event reached us, as an upper bound. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"

#define TIME_TEXT 32

enum said { SAID_CREATED = 1, SAID_SCHEDULED = 2, SAID_PULLED = 4, SAID_DELETING = 8 };

struct said_container {
    char name[64];
    char started[TIME_TEXT]; /* startedAt last said */
    int64_t failed_run;      /* restart number of the last ended run that was said to have failed */
    int64_t waiting_run;     /* restart number that `waiting` belongs to */
    unsigned waiting;        /* bits of waiting_reasons that were said */
};

struct said_pod {
    unsigned said;
    bool ready; /* POD_READY was the last */
    bool was_ready;
    char transition[TIME_TEXT]; /* of the last READY or UNREADY */
    char owner[2 * KUBE_NAME_MAX];
    size_t n;
    struct said_container containers[]; /* grows */
};

/* What keeps a container from running and needs somebody; ContainerCreating and PodInitializing do not. */
static const char *const waiting_reasons[] = {
    "CrashLoopBackOff",           "ImagePullBackOff",     "ErrImagePull",      "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "InvalidImageName"};

struct pod_look {
    const struct kube_scope *sc;
    const struct kube_sight *s;
    const struct kube_meta *m;
    const json_t *pod;
    struct kube_entry *x;
    const char *owner;
};

static void tell(const struct pod_look *l, Pilotgate__Phase__Kind kind, struct kube_time t,
                 const char *reason, int64_t count) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = kind;
    p.owner = (char *)l->owner;
    p.reason = (char *)reason;
    p.count = count > 0 && count < INT32_MAX ? (uint32_t)count : 0;
    kube_tell_phase(l->sc, &p, "Pod", l->m, t);
}

/* "Deployment/web" of a pod whose ReplicaSet is "web-HASH"; else its controller; "" without one. */
static void find_owner(const json_t *pod, char *out, size_t size) {
    const json_t *refs = js_at(pod, "metadata.ownerReferences");
    const char *hash = js_str(pod, "/metadata/labels/pod-template-hash", "");
    size_t i;
    json_t *ref;
    *out = 0;
    json_array_foreach(refs, i, ref) {
        if (!js_bool(ref, "controller", false))
            continue;
        const char *kind = js_str(ref, "kind", "");
        const char *name = js_str(ref, "name", "");
        size_t n = strlen(name);
        size_t h = strlen(hash);
        if (strcmp(kind, "ReplicaSet") == 0 && h > 0 && n > h + 1 && name[n - h - 1] == '-' &&
            strcmp(name + n - h, hash) == 0)
            (void)snprintf(out, size, "Deployment/%.*s", (int)(n - h - 1), name);
        else
            (void)snprintf(out, size, "%.60s/%s", kind, name);
        return;
    }
}

static const json_t *condition(const json_t *pod, const char *type) {
    size_t i;
    json_t *c;
    json_array_foreach(js_at(pod, "status.conditions"), i, c) {
        if (strcmp(js_str(c, "type", ""), type) == 0)
            return c;
    }
    return NULL;
}

static bool is_deleting(const json_t *pod) {
    return js_at(pod, "metadata.deletionTimestamp") != NULL;
}

static void look_at_birth(const struct pod_look *l, struct said_pod *p) {
    if (!(p->said & SAID_CREATED)) {
        p->said |= SAID_CREATED;
        tell(l, PILOTGATE__PHASE__KIND__KIND_POD_CREATED,
             kube_time_api(js_str(l->pod, "metadata.creationTimestamp", ""), l->s), "", 0);
    }
    const json_t *c = condition(l->pod, "PodScheduled");
    if (!(p->said & SAID_SCHEDULED) && strcmp(js_str(c, "status", ""), "True") == 0) {
        p->said |= SAID_SCHEDULED;
        tell(l, PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED,
             kube_time_api(js_str(c, "lastTransitionTime", ""), l->s), "", 0);
    }
}

/* Startedness of the run under way, or of the last. */
static const char *started_at(const json_t *status) {
    static const char *const paths[] = {"state.running.startedAt", "state.terminated.startedAt",
                                        "lastState.terminated.startedAt"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *t = js_str(status, paths[i], "");
        if (*t)
            return t;
    }
    return "";
}

/* A container that started had its image: all images were there at the latest when the last one started. */
static void look_at_images(const struct pod_look *l, struct said_pod *p) {
    const json_t *list = js_at(l->pod, "status.containerStatuses");
    const char *latest = "";
    size_t i;
    json_t *c;
    if ((p->said & SAID_PULLED) || json_array_size(list) == 0)
        return;
    json_array_foreach(list, i, c) {
        const char *t = started_at(c);
        if (!*t)
            return;
        latest = strcmp(t, latest) > 0 ? t : latest;
    }
    p->said |= SAID_PULLED;
    struct kube_time at = kube_time_api(latest, l->s);
    at.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST;
    tell(l, PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, at, "", 0);
}

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

static void look_at_start(const struct pod_look *l, struct said_container *c, const json_t *status) {
    const char *t =
        js_str(status, "state.running.startedAt", js_str(status, "state.terminated.startedAt", ""));
    if (!*t || strncmp(t, c->started, sizeof c->started - 1) == 0)
        return;
    (void)snprintf(c->started, sizeof c->started, "%s", t);
    tell(l, PILOTGATE__PHASE__KIND__KIND_CONTAINER_STARTED, kube_time_api(t, l->s), c->name,
         js_int(status, "restartCount", 0));
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
            tell(l, PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED, kube_time_seen(l->s), waiting_reasons[i],
                 run);
        c->waiting |= 1u << i;
    }
}

/* A run that ended badly. The exit of a pod that is being deleted is its order, unless memory ran out. */
static void look_at_exit(const struct pod_look *l, struct said_container *c, const json_t *ended,
                         int64_t run) {
    const char *reason = js_str(ended, "reason", "");
    bool oom = strcmp(reason, "OOMKilled") == 0;
    bool deleting = is_deleting(l->pod);
    if (!ended || run <= c->failed_run || (js_int(ended, "exitCode", 0) == 0 && !oom) || (deleting && !oom))
        return;
    char word[64];
    (void)snprintf(word, sizeof word, "%s", *reason ? reason : "Error");
    c->failed_run = run;
    tell(l, PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED,
         kube_time_api(js_str(ended, "finishedAt", ""), l->s), word, run);
}

static void look_at_containers(const struct pod_look *l, const char *path) {
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

/* A pod that was never ready is not said to be unready: that is what "created" means. */
static void look_at_readiness(const struct pod_look *l, struct said_pod *p) {
    const json_t *c = condition(l->pod, "Ready");
    const char *transition = js_str(c, "lastTransitionTime", "");
    bool ready = strcmp(js_str(c, "status", ""), "True") == 0;
    if (!c || (!ready && !p->was_ready))
        return;
    if (p->was_ready && ready == p->ready && strncmp(transition, p->transition, TIME_TEXT - 1) == 0)
        return;
    p->was_ready = true;
    p->ready = ready;
    (void)snprintf(p->transition, sizeof p->transition, "%s", transition);
    tell(l, ready ? PILOTGATE__PHASE__KIND__KIND_POD_READY : PILOTGATE__PHASE__KIND__KIND_POD_UNREADY,
         kube_time_api(transition, l->s), ready ? "" : js_str(c, "reason", ""), 0);
}

int kube_pod_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                 const struct kube_meta *m, const json_t *pod, struct kube_entry *x, struct err *e) {
    (void)kind;
    if (!x->extra)
        x->extra = calloc(1, sizeof(struct said_pod));
    if (!x->extra)
        return err_oom(e);
    char owner[2 * KUBE_NAME_MAX];
    struct pod_look l = {.sc = sc, .s = s, .m = m, .pod = pod, .x = x, .owner = owner};
    struct said_pod *p = x->extra;
    find_owner(pod, owner, sizeof owner);
    memcpy(p->owner, owner, sizeof owner);
    x->own = m->own;
    kube_fleet_pod(sc->fleet, m, pod);
    look_at_birth(&l, p);
    look_at_images(&l, p);
    look_at_containers(&l, "status.initContainerStatuses");
    look_at_containers(&l, "status.containerStatuses");
    p = x->extra; /* may have grown */
    look_at_readiness(&l, p);
    if (is_deleting(pod) && !(p->said & SAID_DELETING)) {
        p->said |= SAID_DELETING;
        tell(&l, PILOTGATE__PHASE__KIND__KIND_POD_DELETING, kube_time_seen(s), "", 0);
    }
    return 0;
}

void kube_pod_gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                   const struct kube_entry *x) {
    (void)kind;
    struct kube_meta m = {.name = x->name, .uid = x->uid, .rv = x->rv, .release = "", .own = x->own};
    const struct said_pod *p = x->extra;
    struct pod_look l = {.sc = sc, .s = s, .m = &m, .owner = p ? p->owner : ""};
    tell(&l, PILOTGATE__PHASE__KIND__KIND_POD_GONE, kube_time_seen(s), "", 0);
}
