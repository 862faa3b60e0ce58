/* mcp_priv: what the files of the prober share: its state, owned by the one thread that drives it.
 *
 *   mcp.c        life, thread loop, what other threads may touch
 *   prober.c     the schedule of probes      catalogue.c  a target's tools
 *   call.c       one call and its records    document.c   configuration documents
 *   cover.c      coverage records            check.c      `pilotgate-agent check`
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "mcp/blocks.h"
#include "mcp/mcp.h"
#include "mcp/peer.h"
#include "mcp/watch.h"

#define MCP_DOCUMENT_TIMEOUT_NS 5000000000LL
#define MCP_LOADED_POLL_NS 250000000LL /* between polls while the load is raised */

struct mcp_target {
    struct mcp *m;
    const struct config_target *c;
    struct peer *peer;
    /* catalogue.c */
    struct mcp_watch watch;
    struct peer_list poll;
    json_t *names;      /* of the tools, sorted, as of the last poll that succeeded; NULL: none */
    int64_t poll_began; /* monotonic; 0: never */
    bool listed;        /* FIRST_TOOL_LISTED was emitted */
};

struct mcp_probe {
    struct mcp *m;
    const struct config_probe *c;
    struct mcp_target *target;
    json_t *arguments;
    char *expect; /* NULL: any result that is no error */
    bool begun;   /* the target's first handshake has ended, the schedule runs */
    int64_t due;  /* next start of the open loop */
    size_t slots; /* calls that are to be kept open by now; grows to the wanted number */
    int64_t ramp_at;
    bool next_is_new; /* connection BOTH: kinds take turns */
    size_t open;      /* calls begun and not ended, sent or not */
    int64_t *rests;   /* ring: when the slots whose call has ended may call again; owned */
    size_t rest_at, resting, rest_cap;
    uint64_t scheduled, resolved, unsent;
    int64_t takes;       /* how long the last call that completed was in flight */
    int64_t max_delay;   /* since the last coverage record */
    int64_t unsent_told; /* when a call that could not be sent last made a record */
    bool completed_once;
    struct mcp_failure last; /* of the last call; outcome 0: none ended yet */
};

/* One call, from its begin to its outcome; a list by ascending numbers. */
struct mcp_call {
    struct mcp_call *prev, *next;
    struct mcp_probe *probe;
    uint64_t number;
    bool drill;
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
    struct mcp_probe *probes;
    struct mcp_document *documents;
    struct mcp_call *calls_first, *calls_last;
    size_t calls_open;
    uint64_t last_number; /* of calls */
    struct mcp_block block;
    int64_t second_at; /* next block and coverage */
    bool scheduling;   /* false: ending, or a check */
    bool loaded;       /* the load is raised, as of this turn */
    pthread_t thread;
    /* other threads */
    _Atomic int64_t load_until; /* monotonic */
    _Atomic int64_t stop_at;    /* monotonic end of the grace; 0: go on */
};

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
/* When a poll that began then is due again; never for interval 0, sooner while the load is raised. */
int64_t mcp_poll_due(const struct mcp *m, int64_t interval, int64_t began);

/* catalogue.c, document.c */
void mcp_catalogue_turn(struct mcp_target *t, int64_t now);
void mcp_catalogue_start(struct mcp_target *t);
void mcp_document_turn(struct mcp_document *d, int64_t now);
void mcp_document_start(struct mcp_document *d);

/* prober.c */
int mcp_probe_open(struct mcp_probe *p) MUST_CHECK;
void mcp_probe_close(struct mcp_probe *p);
void mcp_probe_turn(struct mcp_probe *p, int64_t now);
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
