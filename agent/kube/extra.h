/* extra: custom resources that the configuration names (kube.resources), which no table can know. Each is a
 * row as kinds.c has them, but made here, of what the API server's discovery says:
 *
 *   "widgets.example.com"  --- GET /apis (served.c): versions of example.com, the preferred one first
 *                          --- GET /apis/example.com/v1: kind, namespaced, verbs; else the next version
 *                          --> {.kind = "Widget", .object = "Widget.example.com", .group =
 * "/apis/example.com/v1"}
 *
 * It is asked when its source wants to list: when the agent starts, when a watch is no longer served, and
 * while it is absent with each newer answer to /apis, so that what is installed later is found. The row
 * changes only in kube_extra_take, before a list. In the source's one thread.
 *
 * Kubernetes API concepts, "Discovery API"; k8s.io/apimachinery pkg/apis/meta/v1/types.go, APIGroupList
 * (groups[] with name, versions[].groupVersion, preferredVersion) and APIResourceList (resources[] with name,
 * namespaced, kind, verbs). Every authenticated client may ask (ClusterRole system:discovery). */
#pragma once

#include "kube/served.h"

enum kube_extra_answer {
    KUBE_EXTRA_ASKING,   /* not known yet; reason says why, where asking failed */
    KUBE_EXTRA_FOUND,    /* it can be listed and watched: kube_extra_take */
    KUBE_EXTRA_UNSERVED, /* there is none */
    KUBE_EXTRA_UNFIT,    /* it cannot be watched in a namespace, or that cannot be known: reason says why */
};

/* What an APIResourceList says of one resource. */
struct kube_extra_found {
    char kind[KUBE_NAME_MAX];   /* "" when it is not in it */
    bool namespaced, watched;   /* watched: list and watch are among its verbs */
    char object[KUBE_NAME_MAX]; /* as records spell it, "Widget.example.com"; once it is FOUND */
};

struct kube_extra {
    struct kube_kind kind;      /* the row; points into what follows */
    char source[KUBE_NAME_MAX]; /* "widgets.example.com", as configured and as coverage names it */
    char plural[KUBE_NAME_MAX];
    const char *group;                                                    /* "example.com", in source */
    char name[KUBE_NAME_MAX], object[KUBE_NAME_MAX], path[KUBE_NAME_MAX]; /* of the row */
    enum kube_extra_answer answer;
    unsigned round;         /* of served, on which the answer stands; 0: nobody asked */
    unsigned version;       /* asked about, of the group's */
    char at[KUBE_NAME_MAX]; /* "/apis/example.com/v1", of that version */
    int64_t due_mono;       /* not asked before, after a failure */
    struct kube_extra_found found;
    char reason[KUBE_REASON_MAX];
};

struct kube_extras {
    struct kube_extra items[CONFIG_RESOURCES_MAX];
    size_t n;
    struct kube_http *http;
    CURLM *multi;
    struct kube_served *served;
    CURL *easy; /* NULL: nothing under way */
    struct buf body;
    char at[KUBE_NAME_MAX]; /* under way */
};

/* What a row of kinds.c tells already is left out; Jobs, of which only phases are told, are not. */
void kube_extras_init(struct kube_extras *all, const struct config *c, struct kube_http *h, CURLM *multi,
                      struct kube_served *served);
void kube_extras_free(struct kube_extras *all);
/* Begins the transfer that is due; ns until something is due. Its end is told by kube_extras_done, which is
 * to be called for the transfer `easy`. */
int64_t kube_extras_run(struct kube_extras *all, int64_t now_mono);
void kube_extras_done(struct kube_extras *all, CURLcode code, int64_t now_mono);

/* What is known; there must be an answer of `served`. What was found stays; where nothing was, a newer answer
 * of `served` begins the asking anew. */
enum kube_extra_answer kube_extra_ask(struct kube_extra *x, const struct kube_served *served);
/* It was not where discovery said that it was: it is asked anew. */
void kube_extra_forget(struct kube_extra *x);
/* What was found is another kind than the row's. */
bool kube_extra_renamed(const struct kube_extra *x);
/* The row becomes what was found. */
void kube_extra_take(struct kube_extra *x);

/* One resource in an APIResourceList. -EBADMSG, -EMSGSIZE, -ENOMEM. Pure. */
int kube_extra_read(const char *text, size_t len, const char *plural, struct kube_extra_found *ret,
                    struct err *e) MUST_CHECK;
/* "widgets.example.com" of the configuration, not asked about yet. */
void kube_extra_init(struct kube_extra *x, const char *resource);
/* Takes the answer to a GET of x->at; false: it is to be asked again later, x->reason says why. Pure. */
bool kube_extra_answered(struct kube_extra *x, const struct kube_served *served, long status,
                         const char *text, size_t len);
