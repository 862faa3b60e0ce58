/* ingest_priv: what the files of ingest share. All of it belongs to the one thread of ingest_run, except
 * the counters' copy and the two flags.
 *
 *   ingest.c   sockets, loop, counters              frames.c    one frame: session, batch, clock, bye
 *   commit.c   transaction, trouble of the store    hello.c     Hello to Welcome
 *   allow.c    allow-list                           commands.c  store's queue to sessions and back
 *   zap.c      ZeroMQ RFC 27                        refusal.c   who was turned away
 *   session.c  table of sessions                    house.c     what is done now and then
 *   quota.c    what a key may ask for               twins.c     two agents that are one node
 *   intake.c   streams and records, also of files   import.c    an exported file, which export_file.c reads
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/ingest.h"
#include "ingest/intake.h"
#include "wire/curve.h"

#define INGEST_COMMIT_BYTES (1u << 20)
#define INGEST_BATCH_CALLS (64u * WIRE_BLOCK_CALLS_MAX) /* of one batch: a few bytes can say thousands */
#define INGEST_TICK_MS 200                              /* commands, expiry, repeated acks, session rows */
#define INGEST_HOUSE_MS 1000                            /* allow-list, refusals, twins */
#define INGEST_ROWS_AT_ONCE 256                         /* of sessions, each tick */
#define INGEST_ACK_REPEAT_S 2                           /* an ack may be lost without notice */
#define INGEST_SESSION_QUIET_S 30
#define INGEST_ROUTING_MAX 255 /* bytes of a ZeroMQ routing id */
#define INGEST_BUCKETS 16384
#define INGEST_REFUSALS 256 /* kinds gathered between two writes */
#define INGEST_COMMANDS 64  /* commands whose answers are counted */
#define INGEST_ZAP_BURST 64
#define INGEST_FRAME_BURST 256
#define INGEST_HELLO_MAX (64u << 10) /* bytes; without a session, longer frames are not looked into */

/* ---- allow-list */

struct allow;
int allow_open(const char *path, struct allow **ret, struct err *e) MUST_CHECK;
/* Looks whether the file changed: 1 taken, 0 as before, negative: could not be taken, the old one stays. */
int allow_refresh(struct allow *a, struct err *e) MUST_CHECK;
bool allow_key(const struct allow *a, const char *key);
bool allow_stage(const struct allow *a, const char *key, const char *cluster, const char *ns);
void allow_free(struct allow **a);

/* ---- sessions */

struct session_stream {
    uint8_t boot[WIRE_BOOT_BYTES];
    int64_t id;
    uint64_t hwm;   /* put, perhaps not committed yet */
    uint64_t acked; /* committed */
};

struct session {
    struct session *next;       /* in its bucket */
    struct session *dirty_next; /* in the list of those that the next commit acknowledges */
    bool dirty, gone;           /* gone: swept by the next tick */
    bool replaced;              /* the agent has a newer session: its row is not ours any more */
    bool row_changed;           /* its row in the store is old */
    bool over;                  /* gone, and its row says so */
    bool welcome_due;           /* its Welcome waits for the commit */
    uint8_t routing[INGEST_ROUTING_MAX];
    size_t routing_len;
    uint64_t nonce;
    char key[CURVE_Z85_MAX];
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1], node[WIRE_NAME_MAX + 1];
    char version[64];
    struct session_stream *streams; /* owned; the last is the living one */
    size_t n_streams;
    int64_t since_ns, seen_ns; /* wall */
    int64_t seen_mono_ns, sent_mono_ns;
    uint64_t answered; /* newest command it gave a result for */
    int64_t first_batch_ns,
        last_batch_ns; /* monotonic; first: of this agent, whichever its session; 0: none */
    bool twin_told;    /* the store knows that there are two of it */
};

struct sessions {
    struct session *buckets[INGEST_BUCKETS];
    struct session *dirty;
    uint32_t n;
};

/* Adds an empty session; NULL when out of memory or the table is full. */
struct session *session_add(struct sessions *t, const void *routing, size_t len);
struct session *session_find(const struct sessions *t, const void *routing, size_t len);
/* Takes it out of the table and frees it. */
void session_drop(struct sessions *t, struct session *s);
void session_mark_dirty(struct sessions *t, struct session *s);
struct session_stream *session_stream(struct session *s, const uint8_t *boot);
/* Calls fn for every session; fn must not add or drop. */
void session_each(struct sessions *t, void (*fn)(void *ctx, struct session *s), void *ctx);
void session_drop_all(struct sessions *t);

/* ---- two agents that are one node */

/* Calls fn for each session whose agent has a twin, unless that was told; 0, fn's non-zero, or -ENOMEM. */
typedef int twins_fn(void *ctx, struct session *s);
int twins_find(struct sessions *t, twins_fn *fn, void *ctx) MUST_CHECK;

/* ---- quotas */

#define INGEST_QUOTA_PLACES 1024
struct quotas {
    struct quota *places[INGEST_QUOTA_PLACES];
};
/* Takes one Hello; NULL, or why it is refused. */
const char *quota_hello(struct quotas *t, const char *key, int64_t now_ns);
bool quota_streams_left(struct quotas *t, const char *key, int64_t now_ns);
void quota_streams(struct quotas *t, const char *key, int64_t now_ns, int64_t made);
/* Forgets keys of which nothing is to be remembered, or all. */
void quota_forget(struct quotas *t, int64_t now_ns, bool all);

/* ---- the whole */

/* The store does not take what it is given. */
struct trouble {
    int code;          /* negative errno; 0: none */
    int64_t wait_ns;   /* from the last failure to the next try ... */
    int64_t again_ns;  /* ... which is then, monotonic */
    int64_t healed_ns; /* end of the last one, monotonic */
};

struct ingest {
    void *zmq, *router, *zap;
    int stop_fd; /* eventfd: ingest_stop writes, the loop polls */
    char endpoint[256];
    struct store *store;
    struct allow *allow;
    struct sessions sessions;
    struct quotas quotas;
    int64_t newest_stream;    /* the largest id there is */
    int64_t newest_committed; /* and that is on disk: ids above it are given again when a transaction fails */
    bool tx_open;
    int64_t tx_since_ns; /* monotonic */
    int64_t commit_ns;   /* monotonic, end of the last transaction */
    size_t tx_bytes;
    uint64_t tx_batches;
    struct intake *intake; /* its count is of the open transaction: counted for good when it is committed */
    struct trouble trouble;
    bool pack_failed; /* and was told */
    struct store_refusal refusals[INGEST_REFUSALS];
    size_t n_refusals;
    struct store_command commands[INGEST_COMMANDS]; /* ring, by id */
    bool command_changed[INGEST_COMMANDS];
    uint64_t last_command;
    int64_t tick_ns, house_ns;  /* monotonic, when last done */
    size_t rows_at;             /* the bucket whose sessions' rows are written next */
    int64_t pack_ns;            /* when next */
    struct ingest_counters now; /* the loop's own */
    pthread_mutex_t lock;       /* guards published and why */
    struct ingest_counters published;
    char why[INGEST_WHY_MAX]; /* of the trouble; "": there is none */
    atomic_bool stopping, ready;
};

/* Opens the transaction if none is. A negative errno of this and of all that writes goes up to the loop,
 * which has ingest_endure deal with it: nothing else may be put after it. */
int ingest_begin(struct ingest *i, struct err *e) MUST_CHECK;
/* Commits what is open, and sends the Welcomes and acks that waited for it. */
int ingest_flush(struct ingest *i, struct err *e) MUST_CHECK;
/* After a failure of the store: rolls back, refuses whose frames were in it (those that are marked dirty).
 * 0: it may pass; else r, and the collector ends. */
int ingest_endure(struct ingest *i, int r, const struct err *e);
/* Why nothing is written now, in words for agents; NULL: it is. */
const char *ingest_trouble(const struct ingest *i);
/* Tries to write when the wait is over. */
int ingest_try_again(struct ingest *i, struct err *e) MUST_CHECK;

/* ---- now and then */
int house_tick(struct ingest *i, struct err *e) MUST_CHECK;
int house_keep(struct ingest *i, struct err *e) MUST_CHECK;
void house_pack(struct ingest *i, bool idle); /* idle: nobody waits */
/* Commits, and says of every session that it is over. */
int house_end(struct ingest *i, struct err *e) MUST_CHECK;

/* One ZAP request, if there is one: 1 served, 0 none. */
int zap_serve(struct ingest *i);

/* One message of the ROUTER; negative: the store failed. */
struct frame_in {
    const void *routing;
    size_t routing_len;
    const uint8_t *data;
    size_t len;
    const char *key; /* the CURVE User-Id */
    int64_t wall_ns; /* received */
};
int frame_handle(struct ingest *i, const struct frame_in *in, struct err *e) MUST_CHECK;
/* Sends to a session; a peer that is gone is marked so, a full queue drops (acks are repeated). */
void frame_send(struct ingest *i, struct session *s, Pilotgate__Frame *f);
/* Acknowledges every stream of the session; reason "" or why its last batch was refused. */
void frame_ack(struct ingest *i, struct session *s, const char *reason);
/* Tells a peer without (or no longer with) a session why. */
void frame_refuse(struct ingest *i, const void *routing, size_t len, const char *reason);
/* Counts, tells, and ends the session. */
void frame_end(struct ingest *i, struct session *s, const char *reason);

int hello_handle(struct ingest *i, const struct frame_in *in, const Pilotgate__Hello *h,
                 struct err *e) MUST_CHECK;
/* NULL, or why this key may not say it. */
const char *hello_check(const struct allow *a, const char *key, const Pilotgate__Hello *h);
void hello_welcome(struct ingest *i, struct session *s); /* what it names is committed */

void refusal_count(struct ingest *i, const char *key, const char *reason);
int refusal_flush(struct ingest *i, struct err *e) MUST_CHECK; /* commits */

int commands_poll(struct ingest *i, struct err *e) MUST_CHECK;
void commands_again(struct ingest *i); /* counts that were written may have been rolled back */
void commands_result(struct ingest *i, struct session *s, const Pilotgate__CommandResult *r);
