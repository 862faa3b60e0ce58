/* pods_priv: what pods.c and containers.c share: what was said of a pod so far, and one look at it. */
#pragma once

#include "kube/kube_priv.h"

#define POD_TIME_TEXT 32

/* The newest record that the pod's rate held back; its count holds those before it, too. */
struct pod_held {
    Pilotgate__Phase__Kind kind; /* 0: none */
    char reason[64];
    struct kube_time t;
    uint32_t count;
};

struct said_container {
    char name[64];
    char started[POD_TIME_TEXT]; /* startedAt last said */
    int64_t failed_run;          /* restart number of the last ended run that was said to have failed */
    int64_t waiting_run;         /* restart number that `waiting` belongs to */
    unsigned waiting;            /* bits of waiting_reasons that were said */
    struct pod_held held;
};

struct said_pod {
    unsigned said, hook; /* hook: what hooks.c said */
    bool ready;          /* POD_READY was the last */
    bool was_ready;
    char transition[POD_TIME_TEXT]; /* of the last READY or UNREADY */
    uint32_t readies, unreadies;    /* so far */
    int64_t full;                   /* of the rate of what can happen again and again */
    struct pod_held held;           /* of readiness */
    char owner[2 * KUBE_NAME_MAX];
    size_t n;
    struct said_container containers[]; /* grows */
};

struct pod_look {
    const struct kube_scope *sc;
    const struct kube_sight *s;
    const struct kube_meta *m;
    const json_t *pod;
    struct kube_entry *x; /* its extra may move while containers are looked at */
    const char *owner;
};

/* Of a container ("": of the pod). */
struct pod_word {
    Pilotgate__Phase__Kind kind;
    struct kube_time t;
    const char *reason, *container;
    int64_t count;
};
void pod_tell(const struct pod_look *l, struct pod_word w);
/* As far as the pod's rate allows; else it is kept in `held`, and told when it does. Between a failure and
 * a start, the failure is kept. */
void pod_tell_limited(const struct pod_look *l, struct pod_word w, struct pod_held *held);

/* containers.c */
void pod_look_at_containers(const struct pod_look *l);
