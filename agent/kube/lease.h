/* lease: which agent does the stage-scoped work, and from where its successor goes on. Nothing outside
 * agent/kube includes this.
 *
 *   election.c   what comes next: a pure table, no I/O and no clock
 *   handover.c   positions of the sources, as text in an annotation of the Lease (pure)
 *   lease.c      the Lease object over HTTP, in the kube thread's transfers
 *
 * coordination.k8s.io/v1 Lease: holderIdentity, leaseDurationSeconds, acquireTime, renewTime (microseconds),
 * leaseTransitions. A write names the resourceVersion that was read, and 409 says that another one was
 * faster. Expiry is counted from the moment at which *this* process saw the Lease change last: clocks of
 * different nodes are not compared (client-go, tools/leaderelection).
 *
 * No fencing: for a moment two agents may both hold that they are it. That doubles records, and the collector
 * takes each (uid, resourceVersion) once. So every doubt is decided for doing the work.
 *
 * Cost: the holder writes every 5 s, each other agent reads every 8 to 10 s.
 */
#pragma once

#include "kube/kube_priv.h"

/* ---------------------------------------------------------------- election.c */

#define ELECTION_SECONDS 15     /* what we write as leaseDurationSeconds */
#define ELECTION_SECONDS_MAX 60 /* of what others write, no more is believed */

enum election_state {
    ELECTION_FOLLOW, /* another agent does the work, or nobody yet */
    ELECTION_HOLD,   /* we do it, and the Lease says so */
    ELECTION_ALONE,  /* nobody can be elected as far as we can see: we do it */
    ELECTION_STATES
};

enum election_event {
    ELECTION_FREE,     /* read: nobody holds it */
    ELECTION_ABSENT,   /* there is no such Lease */
    ELECTION_OURS,     /* read: it names us */
    ELECTION_OTHER,    /* read: it names another one, who may be gone */
    ELECTION_LIVING,   /* read: it names another one, and changed since we saw it first */
    ELECTION_EXPIRED,  /* read: it names another one, and has not changed for its duration */
    ELECTION_WRITTEN,  /* our write was taken */
    ELECTION_CONFLICT, /* 409: another one was faster */
    ELECTION_REFUSED,  /* answered, but not with what is needed: no right, no Lease */
    ELECTION_FAILED,   /* answered with an error of the server's */
    ELECTION_SILENT,   /* no answer, or one that asks for patience (429, 503) */
    ELECTION_EVENTS
};

enum election_act { ELECTION_READ, ELECTION_CREATE, ELECTION_UPDATE };

struct kube_election {
    int64_t second; /* ns: WHEN_S, or less in tests */
    enum election_state state;
    enum election_act next;
    int64_t due_mono;     /* when */
    int64_t expires_mono; /* another one's term, if nothing changes; 0: nobody's */
    int64_t refused_mono; /* since when it has been refused without a break; 0: it is not */
    unsigned tries;       /* silences and failures in a row */
};

/* Goes on. retry_after: ns that the server asked for, 0: none. chance: random bits for the jitter. */
void kube_election_step(struct kube_election *e, enum election_event ev, int64_t now_mono,
                        int64_t retry_after, uint32_t chance);
/* A Lease that names another one was seen to change just now. */
void kube_election_changed(struct kube_election *e, int64_t now_mono, int64_t seconds);
/* Which of OTHER, LIVING, EXPIRED a Lease is that names another one. first: it was never seen before. */
enum election_event kube_election_other(const struct kube_election *e, int64_t now_mono, bool first,
                                        bool changed);
static inline bool kube_election_works(const struct kube_election *e) {
    return e->state != ELECTION_FOLLOW;
}

/* ---------------------------------------------------------------- handover.c */

#define POSITIONS_MAX 128          /* sources */
#define POSITIONS_TEXT (32u << 10) /* bytes of the annotation */
#define POSITIONS_KEY "pilotgate/positions"

struct kube_positions {
    struct kube_position items[POSITIONS_MAX];
    size_t n;
};

/* NULL: none. */
const struct kube_position *kube_positions_find(const struct kube_positions *p, const char *source);
/* Takes over those of `newer`, and keeps the others. What has no room is left out: its successor lists. */
void kube_positions_merge(struct kube_positions *into, const struct kube_positions *newer);
/* What is not valid is left out, entry by entry: it counts as not known. */
void kube_positions_read(const char *text, struct kube_positions *ret);
/* malloc'ed; NULL: out of memory. Within POSITIONS_TEXT: those without room are left out. */
char *kube_positions_write(const struct kube_positions *p);
/* When the position was current, on this process' clock, at the earliest: both agents' answers of the
 * collector's clock lead from one to the other; where either has none, a minute is allowed for. */
int64_t kube_position_since(const struct kube_position *p, bool clock_known, int64_t offset_ns,
                            uint64_t bound_ns);

/* ---------------------------------------------------------------- lease.c */

struct kube_lease {
    const struct kube_scope *scope;
    struct kube_http *http;
    CURLM *multi;
    const char *name;
    char identity[KUBE_NAME_MAX];
    struct kube_election election;
    enum election_act act; /* under way */
    CURL *easy;            /* NULL: nothing under way */
    struct curl_slist *headers;
    struct buf body;
    json_t *object;              /* as read or written last; owned */
    bool looked;                 /* it was read once */
    char seen_rv[KUBE_RV_MAX];   /* of a Lease that names another one; "": none was seen */
    struct kube_positions found; /* the annotation as read last */
    struct kube_positions ours;  /* acknowledged by the collector: goes into the next write */
    char reason[KUBE_REASON_MAX];
    char told[KUBE_REASON_MAX];
};

/* second: of the election. */
void kube_lease_init(struct kube_lease *l, const char *name, const char *identity, int64_t second,
                     const struct kube_scope *sc, struct kube_http *h, CURLM *multi);
void kube_lease_free(struct kube_lease *l);
/* Begins the transfer that is due; returns the ns until something is due, INT64_MAX for one under way. */
int64_t kube_lease_run(struct kube_lease *l, int64_t now_mono);
/* The transfer ended. */
void kube_lease_done(struct kube_lease *l, CURLcode code);
/* Gives it up, so that another one need not wait for the term to end; blocking, at most a second. */
void kube_lease_release(struct kube_lease *l);
/* For `pilotgate-agent check`: tries one act and changes nothing (dryRun=All, Kubernetes 1.18). Blocking. */
int kube_lease_try(struct kube_lease *l, enum election_act act, long *ret_status, struct err *e) MUST_CHECK;
/* "RBAC: allow create on leases ..." */
void kube_lease_advice(const char *ns, const char *name, char out[KUBE_REASON_MAX]);

/* ---------------------------------------------------------------- kube.c */

/* For tests: kube_start with other seconds for the election. */
int kube_start_timed(const struct config *c, const struct norm_key *key, const struct emit *emit,
                     const struct replicas_to *replicas, const struct kube_handover *handover, int64_t second,
                     struct kube **ret, struct err *e) MUST_CHECK;
