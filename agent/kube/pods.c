/* pods: phases of the pods of this node. Each is said once for a uid, kind and value, however often the
 * pod changes; what was said is kept in a small block beside the uid. Pods are not sent as objects: their
 * state changes all the time and what matters of it is in the phases.
 *
 * Times: where the API carries a timestamp, that one (whole seconds, exact); otherwise the moment the
 * event reached us, as an upper bound. A condition's lastTransitionTime is that of its last flip:
 *
 *   created, scheduled       happen once: exact, however late they are read
 *   container started, ended of one run, which has its number: exact
 *   initialized, containers  may flip again (a new sandbox, a failing probe): exact where the flip itself was
 *   ready, ready, unready    watched; found in a list it was so at the latest then
 *
 * What can happen again and again (restarts, failures, flaps) is told KUBE_RATE_BURST times and then once in
 * KUBE_RATE_NS for each pod; what that leaves out is in the `count` of what is told next, and the last
 * word is always told. */
#include "kube/pods_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"

enum said {
    SAID_CREATED = 1,
    SAID_SCHEDULED = 2,
    SAID_PULLED = 4,
    SAID_DELETING = 8,
    SAID_INITIALIZED = 16,
    SAID_CONTAINERS_READY = 32
};

void pod_tell(const struct pod_look *l, struct pod_word w) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = w.kind;
    p.owner = (char *)l->owner;
    p.reason = (char *)w.reason;
    p.container = (char *)w.container;
    p.count = w.count > 0 && w.count < INT32_MAX ? (uint32_t)w.count : 0;
    kube_tell_phase(l->sc, &p, "Pod", l->m, w.t);
}

/* A start says less than the failure that waits to be told. */
static bool outweighs(const struct pod_held *held, const struct pod_word *w) {
    return held->kind == PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED &&
           w->kind == PILOTGATE__PHASE__KIND__KIND_CONTAINER_STARTED;
}

static void hold(struct pod_held *held, const struct pod_word *w) {
    if (outweighs(held, w))
        return;
    held->kind = w->kind;
    held->t = w->t;
    held->count = w->count > 0 && w->count < INT32_MAX ? (uint32_t)w->count : 0;
    (void)snprintf(held->reason, sizeof held->reason, "%s", w->reason);
}

void pod_tell_limited(const struct pod_look *l, struct pod_word w, struct pod_held *held) {
    struct said_pod *p = l->x->extra;
    if (!kube_rate_take(&p->full, l->s->recv_wall, KUBE_RATE_NS, KUBE_RATE_BURST)) {
        hold(held, &w);
        l->x->held = true;
        return;
    }
    if (!outweighs(held, &w))
        held->kind = PILOTGATE__PHASE__KIND__KIND_UNSPECIFIED;
    pod_tell(l, w);
}

static void tell_held(const struct pod_look *l, struct pod_held *held, const char *container) {
    pod_tell(l, (struct pod_word){held->kind, held->t, held->reason, container, held->count});
    held->kind = PILOTGATE__PHASE__KIND__KIND_UNSPECIFIED;
}

static struct kube_meta meta_of(const struct kube_entry *x) {
    return (struct kube_meta){.name = x->name, .uid = x->uid, .rv = x->rv, .release = "", .own = x->own};
}

/* now 0: all of it, whatever the rate. */
static void tell_all_held(const struct pod_look *l, struct said_pod *p, int64_t now) {
    for (size_t i = 0; i <= p->n; i++) {
        struct pod_held *held = i < p->n ? &p->containers[i].held : &p->held;
        if (held->kind == PILOTGATE__PHASE__KIND__KIND_UNSPECIFIED)
            continue;
        if (now && !kube_rate_take(&p->full, now, KUBE_RATE_NS, KUBE_RATE_BURST))
            return;
        tell_held(l, held, i < p->n ? p->containers[i].name : "");
    }
    l->x->held = false;
}

void kube_pod_tick(const struct kube_scope *sc, int64_t now_wall, struct kube_entry *x) {
    struct said_pod *p = x->extra;
    struct kube_meta m = meta_of(x);
    struct pod_look l = {.sc = sc, .m = &m, .x = x, .owner = p->owner};
    tell_all_held(&l, p, now_wall);
}

void kube_pod_owner(const json_t *pod, char *out, size_t size) {
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

static bool is_deleting(const json_t *pod) {
    return js_at(pod, "metadata.deletionTimestamp") != NULL;
}

static void tell_once(const struct pod_look *l, struct said_pod *p, enum said what,
                      Pilotgate__Phase__Kind kind, struct kube_time t) {
    if (p->said & what)
        return;
    p->said |= what;
    pod_tell(l, (struct pod_word){kind, t, "", "", 0});
}

static const char *true_since(const struct pod_look *l, const char *type) {
    const json_t *c = kube_condition(l->pod, type);
    return strcmp(js_str(c, "status", ""), "True") == 0 ? js_str(c, "lastTransitionTime", "") : NULL;
}

/* Without init containers Initialized says nothing: it is true before the sandbox is made. */
static void look_at_birth(const struct pod_look *l, struct said_pod *p) {
    tell_once(l, p, SAID_CREATED, PILOTGATE__PHASE__KIND__KIND_POD_CREATED,
              kube_time_api(js_str(l->pod, "metadata.creationTimestamp", ""), l->s));
    const char *since = true_since(l, "PodScheduled");
    if (since)
        tell_once(l, p, SAID_SCHEDULED, PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED,
                  kube_time_api(since, l->s));
    since = json_array_size(js_at(l->pod, "spec.initContainers")) ? true_since(l, "Initialized") : NULL;
    if (since)
        tell_once(l, p, SAID_INITIALIZED, PILOTGATE__PHASE__KIND__KIND_POD_INITIALIZED,
                  kube_time_flip(since, l->s));
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

/* A container that started had its image: all images were there at the latest when the last one started.
 * What each pull cost, the kubelet's Events tell (events.c). */
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
    struct kube_time at = kube_time_api(latest, l->s);
    at.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST;
    tell_once(l, p, SAID_PULLED, PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, at);
}

/* A pod that was never ready is not said to be unready: that is what "created" means. */
static void look_at_readiness(const struct pod_look *l, struct said_pod *p) {
    const json_t *c = kube_condition(l->pod, "Ready");
    const char *transition = js_str(c, "lastTransitionTime", "");
    bool ready = strcmp(js_str(c, "status", ""), "True") == 0;
    if (!c || (!ready && !p->was_ready))
        return;
    if (p->was_ready && ready == p->ready && strncmp(transition, p->transition, POD_TIME_TEXT - 1) == 0)
        return;
    p->was_ready = true;
    p->ready = ready;
    (void)snprintf(p->transition, sizeof p->transition, "%s", transition);
    struct pod_word w = {ready ? PILOTGATE__PHASE__KIND__KIND_POD_READY
                               : PILOTGATE__PHASE__KIND__KIND_POD_UNREADY,
                         kube_time_flip(transition, l->s), ready ? "" : js_str(c, "reason", ""), "",
                         ready ? ++p->readies : ++p->unreadies};
    pod_tell_limited(l, w, &p->held);
}

static void look_at_conditions(const struct pod_look *l, struct said_pod *p) {
    const char *since = true_since(l, "ContainersReady");
    if (since)
        tell_once(l, p, SAID_CONTAINERS_READY, PILOTGATE__PHASE__KIND__KIND_CONTAINERS_READY,
                  kube_time_flip(since, l->s));
    look_at_readiness(l, p);
    if (is_deleting(l->pod))
        tell_once(l, p, SAID_DELETING, PILOTGATE__PHASE__KIND__KIND_POD_DELETING, kube_time_seen(l->s));
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
    kube_pod_owner(pod, owner, sizeof owner);
    memcpy(p->owner, owner, sizeof owner);
    x->own = m->own;
    kube_fleet_pod(sc->fleet, m, pod);
    look_at_birth(&l, p);
    look_at_images(&l, p);
    pod_look_at_containers(&l);
    p = x->extra; /* may have grown */
    look_at_conditions(&l, p);
    kube_hook_pod(sc, s, m, pod, &p->hook);
    return 0;
}

void kube_pod_gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                   const struct kube_entry *x) {
    (void)kind;
    struct kube_meta m = meta_of(x);
    struct said_pod *p = x->extra;
    struct pod_look l = {.sc = sc, .s = s, .m = &m, .x = (struct kube_entry *)x, .owner = p ? p->owner : ""};
    if (p && x->held)
        tell_all_held(&l, p, 0);
    pod_tell(&l, (struct pod_word){PILOTGATE__PHASE__KIND__KIND_POD_GONE, kube_time_seen(s), "", "", 0});
}

/* ---- pods that no node has yet: what keeps them from being scheduled */

struct said_unscheduled {
    bool created;
    int64_t told_wall;
    char message[KUBE_WORDS_MAX];
};

/* Told when the scheduler gave up once, and again when its reason changes, at most once a minute. A pod
 * that leaves this list was scheduled, which its node's agent tells, or is gone: the API does not say
 * which. */
int kube_unscheduled_see(const struct kube_scope *sc, const struct kube_kind *kind,
                         const struct kube_sight *s, const struct kube_meta *m, const json_t *pod,
                         struct kube_entry *x, struct err *e) {
    (void)kind;
    const json_t *c = kube_condition(pod, "PodScheduled");
    char message[KUBE_REASON_MAX];
    char words[KUBE_WORDS_MAX];
    char owner[2 * KUBE_NAME_MAX];
    if (!x->extra)
        x->extra = calloc(1, sizeof(struct said_unscheduled));
    if (!x->extra)
        return err_oom(e);
    struct said_unscheduled *u = x->extra;
    const char *why = js_str(c, "message", js_str(c, "reason", ""));
    (void)snprintf(message, sizeof message, "%.*s", (int)strcspn(why, "\r\n"), why);
    kube_words_reduce(sc->key, message, words);
    if (strcmp(js_str(c, "status", ""), "False") != 0 || strcmp(words, u->message) == 0 ||
        (u->created && s->recv_wall - u->told_wall < 60 * WHEN_S))
        return 0;
    struct pod_look l = {.sc = sc, .s = s, .m = m, .pod = pod, .x = x, .owner = owner};
    kube_pod_owner(pod, owner, sizeof owner);
    struct kube_time since =
        u->created ? kube_time_seen(s) : kube_time_api(js_str(c, "lastTransitionTime", ""), s);
    if (!u->created)
        pod_tell(&l, (struct pod_word){PILOTGATE__PHASE__KIND__KIND_POD_CREATED,
                                       kube_time_api(js_str(pod, "metadata.creationTimestamp", ""), s), "",
                                       "", 0});
    u->created = true;
    u->told_wall = s->recv_wall;
    memcpy(u->message, words, sizeof words);
    pod_tell(&l, (struct pod_word){PILOTGATE__PHASE__KIND__KIND_POD_UNSCHEDULABLE, since, words, "", 0});
    return 0;
}
