/* mcp_priv: what the files of the prober share: its state, owned by the one thread that drives it.
 *
 *   mcp.c        life, thread loop, what other threads may touch
 *   prober.c     the schedule of probes      catalogue.c  a target's tools
 *   call.c       one call and its records    document.c   configuration documents
 *   cover.c      coverage records            check.c      `pilotgate-agent check`
 *   path.c       a target's paths: its URL, and its replicas as they come and go
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "mcp/blocks.h"
#include "mcp/counters.h"
#include "mcp/mcp.h"
#include "mcp/peer.h"
#include "mcp/watch.h"

#define MCP_DOCUMENT_TIMEOUT_NS 5000000000LL
#define MCP_LOADED_POLL_NS \
    250000000LL /* between polls while the load is raised, or the server gives notices */
#define MCP_PATH_GONE_NS 5000000000LL /* a replica may be away from the list so long and come back */
#define MCP_REPLICAS_MAX 96           /* paths to replicas, of all targets */

/* What is known of the replicas of a target. */
struct mcp_replicas {
    struct replica list[REPLICAS_MAX];
    size_t n, left_out;
    bool known; /* told at least once */
    bool news;  /* of the inbox: the thread has not taken it yet */
    char reason[WIRE_TEXT_MAX];
};

struct mcp_target {
    struct mcp *m;
    const struct config_target *c;
    struct mcp_path *url;          /* the path by its URL; in the list of all paths */
    struct mcp_replicas *replicas; /* NULL: none are called by address */
    struct mcp_replicas *inbox;    /* written by other threads, under mcp.inbox_lock */
    size_t paths_wanting;          /* replicas for which there was no room */
};

/*              ready              not ready, or gone             gone for MCP_PATH_GONE_NS
 *   WAITING ----------> OPEN ---------------------------> GOING --------------------------> ENDING
 *      |                 ^            ready                 |                                  | no call is
 * open |                 +----------------------------------+                                  v
 *      +---------------------------------------------------------------------------------> PARTING -> closed
 *        gone                                                                          session ended, covered
 *
 * WAITING: nothing is sent, as Kubernetes sends nothing there either. OPEN: everything. GOING: calls on kept
 * connections only, as kube-proxy leaves those to a pod that ends, and gives it no new ones. ENDING: no call
 * begins. A target's URL is OPEN always. */
enum mcp_path_state { MCP_PATH_WAITING, MCP_PATH_OPEN, MCP_PATH_GOING, MCP_PATH_ENDING, MCP_PATH_PARTING };

/* One way of calls to a target, in the list of all: URLs first. */
struct mcp_path {
    struct mcp_path *next;
    struct mcp_target *target;
    enum mcp_path_state state;
    char name[WIRE_NAME_MAX + 5]; /* "": the URL; else "Pod/NAME" */
    char at[REPLICA_IP_MAX + 10]; /* "ADDRESS:PORT", IPv6 in brackets; "" for the URL */
    struct peer *peer;
    struct mcp_probe *probes; /* those that call here; n_probes */
    size_t n_probes;
    int64_t gone_at;   /* monotonic; 0: it is among the replicas */
    int64_t parted_at; /* when PARTING began */
    bool covered;      /* since PARTING: a coverage record has its last numbers */
    /* catalogue.c */
    struct mcp_watch watch;
    struct peer_list poll;
    json_t *names;                  /* of the tools, sorted, as of the last poll that succeeded; NULL: none */
    int64_t poll_began;             /* monotonic; 0: never */
    bool poll_now;                  /* the server has said that its tools changed */
    bool listed;                    /* FIRST_TOOL_LISTED was emitted */
    struct mcp_watch configuration; /* of the product, where the kind lists it with the tools */
    char configuration_name[WIRE_NAME_MAX + 1]; /* "TARGET.workers" */
};

/* A probe on one path. */
struct mcp_probe {
    struct mcp *m;
    const struct config_probe *c;
    struct mcp_path *path;
    json_t *arguments;
    char *expect;    /* NULL: any result that is no error */
    bool begun;      /* the path's first handshake has ended, the schedule runs */
    int64_t due;     /* next start of the open loop */
    size_t share[2]; /* calls that are to be kept open: in quiet times, and with the load raised */
    size_t slots;    /* of these as many as by now; grows to the wanted number */
    int64_t ramp_at;
    bool next_is_new; /* connection BOTH: kinds take turns */
    size_t open;      /* calls begun and not ended, sent or not */
    int64_t *rests;   /* ring: when the slots whose call has ended may call again; owned */
    size_t rest_at, resting, rest_cap;
    uint64_t scheduled, resolved, unsent;
    uint64_t executions_told; /* of the resolved: the tool server said how often it executed them */
    int64_t takes;            /* how long the last call that completed was in flight */
    int64_t max_delay;        /* since the last coverage record */
    int64_t
        unsent_told[2]; /* when a call that could not be sent last made a record; [1]: for our own reasons */
    bool completed_once;
    Pilotgate__Coverage__Probe *covered; /* while cover.c gathers */
    uint64_t last_covered;
    struct mcp_failure last; /* of the last call; outcome 0: none ended yet */
};

/* One call, from its begin to its outcome; a list by ascending numbers. */
struct mcp_call {
    struct mcp_call *prev, *next;
    struct mcp_probe *probe;
    uint64_t number;
    bool drill;
    uint32_t executions;   /* of the nonce, as the tool server says; 0: it does not */
    struct peer_call call; /* its id is the nonce */
};

struct mcp_document {
    struct mcp *m;
    const struct config_document *c;
    struct mcp_bearer bearer;
    struct mcp_watch watch;
    struct mcp_xfer poll;
    int64_t poll_began, asked_wall;
};

struct mcp {
    const struct config *c;
    const struct norm_key *key;
    const struct emit *emit;
    char boot[9];
    struct mcp_transport transport;
    struct mcp_target *targets;
    struct mcp_path *paths;
    size_t n_paths, n_probes; /* of all paths */
    struct mcp_document *documents;
    struct mcp_call *calls_first, *calls_last;
    size_t calls_open;
    uint64_t last_number; /* of calls */
    struct mcp_block block;
    int64_t second_at; /* next block and coverage */
    bool scheduling;   /* false: ending, or a check */
    bool loaded;       /* the load is raised, as of this turn */
    bool shared;       /* every probe's share is as the paths ask */
    bool cut;          /* max_in_flight leaves less for the replicas than is configured, also in a drill */
    int64_t rate_at;   /* of max_rate: when the calls begun so far would all be due */
    int64_t asked_at;  /* when the next turn was asked for at the latest */
    int64_t stalled;   /* longest lateness of a turn and time in it, since the last coverage record */
    struct mcp_counters counters;
    pthread_t thread;
    /* other threads */
    pthread_mutex_t inbox_lock;
    atomic_bool news;           /* some inbox holds something */
    _Atomic int64_t load_until; /* monotonic */
    _Atomic int64_t stop_at;    /* monotonic end of the grace; 0: go on */
};

/* Place of the probe in the configuration, the same for all of its paths. */
static inline size_t mcp_probe_index(const struct mcp_probe *p) {
    return (size_t)(p->c - (const struct config_probe *)p->m->c->probes.items);
}

static inline void mcp_probe_unsent(struct mcp_probe *p) {
    p->unsent++;
    mcp_count_unsent(&p->m->counters, mcp_probe_index(p));
}

/* mcp.c: everything but the thread. */
int mcp_open(const struct config *c, const struct norm_key *key, const uint8_t boot[16],
             const struct emit *emit, struct mcp **ret, struct err *e) MUST_CHECK;
void mcp_close(struct mcp **m);
/* One round: what is due, what moved; then waits, at most until what is due next or wait_ns. */
void mcp_turn(struct mcp *m, int64_t wait_ns);
/* Ends the sessions with their servers, within two seconds. */
void mcp_goodbye(struct mcp *m);
/* "refused: Couldn't connect to server": a failure in one line of at most MCP_REASON_MAX. */
void mcp_failure_text(const struct mcp_failure *f, char out[MCP_REASON_MAX]);
/* path.c */
int mcp_paths_open(struct mcp *m, struct err *e) MUST_CHECK;
void mcp_paths_close(struct mcp *m);
/* Takes what other threads told of replicas, and leads paths to their ends. */
void mcp_paths_turn(struct mcp *m, int64_t now);
int64_t mcp_path_next(const struct mcp_path *t);
/* Of kept connections, or none at all. */
static inline bool mcp_path_may_call(const struct mcp_path *t) {
    return t->state == MCP_PATH_OPEN || t->state == MCP_PATH_GOING;
}

/* When a poll that began then is due again; never for interval 0, sooner while the load is raised. */
int64_t mcp_poll_due(const struct mcp *m, int64_t interval, int64_t began);

/* catalogue.c, document.c */
void mcp_catalogue_turn(struct mcp_path *t, int64_t now);
void mcp_catalogue_start(struct mcp_path *t);
int64_t mcp_catalogue_next(const struct mcp_path *t);
void mcp_document_turn(struct mcp_document *d, int64_t now);
void mcp_document_start(struct mcp_document *d);

/* prober.c */
int mcp_probe_open(struct mcp_probe *p) MUST_CHECK;
void mcp_probe_close(struct mcp_probe *p);
void mcp_probe_turn(struct mcp_probe *p, int64_t now);
/* Calls to keep open on this path, as configured; with the load raised or not. */
size_t mcp_probe_load(const struct mcp_probe *p, bool loaded);
/* Gives every probe its shares: URLs in full, and what max_in_flight leaves to the replicas, in equal parts.
 */
void mcp_probes_share(struct mcp *m);
/* When the probe wants its next turn. */
int64_t mcp_probe_next(const struct mcp_probe *p);
/* A call has ended; sent: it had been in flight. */
void mcp_probe_ended(struct mcp_probe *p, bool sent, bool completed, int64_t now);

/* call.c. timeout_ns: hard maximum. False: it could not begin, and was told as unsent. */
bool mcp_call_begin(struct mcp_probe *p, bool fresh, bool drill, int64_t timeout_ns);
/* A due call that cannot even be begun, as there is no session. */
void mcp_call_unsent(struct mcp_probe *p, const struct mcp_failure *why);
void mcp_calls_abort(struct mcp *m);

/* cover.c */
void mcp_cover(struct mcp *m);
void mcp_emit_phase(struct mcp *m, Pilotgate__Phase *phase);
