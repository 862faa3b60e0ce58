/* uplink_priv: the parts of the journal and what they share. Everything but intake_emit is used by the
 * journal's thread alone.
 *
 *   intake   emit() of any thread -> pipe -> items of the journal's thread
 *   keeper   item -> spool; counts and declares what could not be kept
 *   window   which records are on their way, per stream, inside the collector's credit
 *   clocks   four-timestamp probes, steps of the wall clock
 *   session  frames of one DEALER: Hello, Batch, and what the collector sends
 *   announce what a Hello says, and what the Welcome's store means for what is kept
 *   uplink   the state machine over them
 */
#pragma once

#include <pthread.h>
#include <zmq.h>

#include "base/buf.h"
#include "base/when.h"
#include "spool/spool.h"
#include "uplink/journal.h"
#include "wire/curve.h"
#include "wire/wire.h"

/* ---- losses: what was to be appended and was not, by cause and family */

#define LOSS_CAUSES 6 /* numbers of Pilotgate__Loss__Cause */

struct losses {
    struct tally {
        uint64_t records[WIRE_FAMILIES];
        int64_t from_wall_ns, to_wall_ns;
    } causes[LOSS_CAUSES];
    bool any;
};

void losses_count(struct losses *l, unsigned cause, enum wire_family f, uint64_t records, int64_t wall_ns);
void losses_merge(struct losses *into, const struct losses *from);

/* ---- intake */

#define INTAKE_MESSAGES 1024         /* records that may wait */
#define INTAKE_BYTES (4u << 20)      /* and their bytes */
#define INTAKE_PATIENCE (1 * WHEN_S) /* how long emit waits for room */
#define INTAKE_SEQ_ROOM 11           /* tag and varint of Record.seq */

/* One record on its way: this, then `len` packed bytes, then INTAKE_SEQ_ROOM bytes for the seq. */
struct item {
    int64_t wall_ns;
    uint32_t family; /* enum wire_family */
    uint32_t len;
};

/* ZeroMQ sockets belong to one thread; the sources' side is shared under a mutex, which is allowed with
 * the full fence that a mutex is, and keeps the source's contract free of per-thread set-up. */
struct intake {
    pthread_mutex_t lock; /* push, queued, lost */
    pthread_cond_t room;  /* signalled when queued fell */
    void *push, *pull;
    size_t queued, messages;
    struct losses lost;
};

int intake_open(struct intake *in, void *zmq, struct err *e) MUST_CHECK;
void intake_close(struct intake *in);
void intake_emit(void *intake, Pilotgate__Record *r);
void intake_wake(struct intake *in); /* makes the journal's poll return */
/* The next message: 1 and *ret_item inside m, 0 when there is none. */
int intake_take(struct intake *in, zmq_msg_t *m, struct item **ret_item) MUST_CHECK;
/* Gives the room of taken records back and hands over what emit had to drop. */
void intake_release(struct intake *in, size_t messages, size_t bytes, struct losses *into);

/* ---- keeper */

struct keeper {
    struct spool *spool;                   /* borrowed */
    int64_t room, looked_bytes, next_look; /* spool_room when last looked at, and the spool's size then */
    struct losses lost;
    int64_t next_loss_mono_ns;
    uint64_t appended[WIRE_FAMILIES]; /* records, since the start */
    uint64_t declared[LOSS_CAUSES];   /* lost and declared, since the start */
    int trouble;                      /* why appends fail, 0 when none did for some seconds */
    int64_t failed_mono_ns;
};

/* Before coverage what was lost so far is declared; when that cannot be, the coverage is lost, too. */
void keeper_item(struct keeper *k, struct item *item);
void keeper_record(struct keeper *k, Pilotgate__Record *r); /* fills seq, wall_ns, mono_ns */
/* Appends Loss records, at most once a second unless `at_once`. */
void keeper_declare(struct keeper *k, int64_t now, bool at_once);

/* ---- window */

#define WINDOW_BATCHES 256 /* batches on their way */

struct lane { /* one stream in this session */
    uint8_t boot[WIRE_BOOT_BYTES];
    uint64_t acked; /* the collector has everything up to here */
    uint64_t sent;  /* next to send */
    uint64_t end;   /* dead streams: their next_seq; the living one: 0 */
    bool damaged;   /* `sent` cannot be read: a new Hello must announce the gap */
};

struct window {
    struct lane lanes[WIRE_STREAMS_MAX];
    size_t n; /* the last is the living one */
    struct flight {
        uint64_t last_seq;
        uint32_t lane, records;
        size_t bytes;
    } flights[WINDOW_BATCHES]; /* ring, in the order of sending */
    size_t head, flying;
    size_t records, bytes; /* on their way */
    size_t credit_records, credit_bytes;
    bool more; /* the spool holds streams that this session did not announce */
};

/* -EPROTO with the reason when the collector's answer cannot be. */
int window_begin(struct window *w, const struct spool_stream *announced, size_t n, bool more,
                 const Pilotgate__Welcome *welcome, struct err *e) MUST_CHECK;
/* What the Welcome acknowledges of the stream; 0 when it does not name it. */
uint64_t window_acked_of(const Pilotgate__Welcome *w, const uint8_t *boot);
/* How much the next batch may hold; false: no credit. */
bool window_room(const struct window *w, size_t *ret_records, size_t *ret_bytes);
void window_sent(struct window *w, size_t lane, size_t records, size_t bytes);
/* 1 when the stream came forward, 0 when not; -EPROTO: acknowledges what the living one never made. */
int window_ack(struct window *w, const uint8_t *boot, uint64_t acked, uint64_t living_next) MUST_CHECK;
bool window_empty(const struct window *w, uint64_t living_next); /* everything announced is acknowledged */
/* A new Hello would bring more: unannounced streams, or a gap to announce. */
bool window_wants_renewal(const struct window *w);

/* ---- clocks */

struct clocks {
    uint64_t id; /* of the probe under way */
    bool waiting;
    int64_t t1_wall_ns, t1_mono_ns;
    int64_t next_probe, next_look, next_record; /* monotonic */
    bool fresh;                                 /* a session began, and no offset was told since */
    unsigned fast;                              /* probes that still go out every second */
    struct clock_sample {
        bool some;
        int64_t value_ns, wall_ns, mono_ns;
        uint64_t error_ns;
    } best, told; /* the best since the last record; what the last record said */
    bool based;
    int64_t base_ns; /* CLOCK_REALTIME - CLOCK_BOOTTIME when last looked at */
    bool waited;
    int64_t asleep_ns; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC after the last wait */
};

void clocks_begin(struct clocks *c, int64_t now); /* a session begins */
bool clocks_probe(struct clocks *c, int64_t now, Pilotgate__ClockProbe *ret);
/* t4 on both clocks. */
void clocks_reply(struct clocks *c, const Pilotgate__ClockReply *r, int64_t t4_wall_ns, int64_t t4_mono_ns);
/* The offset record when one is due; wall_ns and mono_ns are those of the best sample. */
bool clocks_offset(struct clocks *c, int64_t now, Pilotgate__Record *ret, Pilotgate__Timing *timing);
/* Call once a second with both clocks; true when the wall clock jumped. error_ns: time between the readings.
 */
bool clocks_step(struct clocks *c, int64_t wall_ns, int64_t mono_ns, uint64_t error_ns,
                 Pilotgate__Timing *ret);
/* After each wait of the journal's thread, in which it does nothing else: true when it took much longer than
 * was asked for (the process or its machine stood still; value_ns is the whole wait, of which error_ns may
 * have been asked for), or the machine was suspended. */
struct clocks_wait {
    int64_t asked_ns, took_ns;
    int64_t boot_ns, mono_ns; /* CLOCK_BOOTTIME and CLOCK_MONOTONIC at its end */
};
bool clocks_pause(struct clocks *c, const struct clocks_wait *w, Pilotgate__Timing *ret);

/* ---- uplink */

struct uplink_times { /* ns */
    int64_t hello, silence;
    int64_t lost_min, lost_max;       /* waiting after silence */
    int64_t refused_min, refused_max; /* waiting after a refusal */
};
extern const struct uplink_times uplink_times_default;

enum uplink_state { UPLINK_IDLE, UPLINK_HELLO, UPLINK_STREAMING, UPLINK_BACKOFF, UPLINK_STATES };
enum uplink_event {
    UPLINK_TIME,    /* the state's deadline came */
    UPLINK_WELCOME, /* the session begins */
    UPLINK_REFUSED, /* by a Welcome, or a batch by an Ack */
    UPLINK_LOST,    /* the socket failed, or the collector ended the session */
    UPLINK_RENEW,   /* a new Hello is wanted */
    UPLINK_EVENTS,
};

struct gap { /* of a stream, found damaged; from 0: unused */
    uint8_t boot[WIRE_BOOT_BYTES];
    uint64_t from, to; /* [from, to) cannot be read */
    bool ready;        /* what was before it is acknowledged: the next Hello says that it is gone */
};

struct uplink {
    const struct config *config;
    const struct journal_identity *id;
    struct uplink_times times;
    void *zmq;
    struct curve_key own;
    char server_z85[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX];
    size_t n_server_keys, server_key; /* server_key: the one that is tried, or that worked */
    struct spool *spool;
    struct keeper *keeper;
    bool (*load)(void *ctx, int64_t ttl_ns); /* false: nothing here takes load */
    void *load_ctx;

    enum uplink_state state;
    int64_t deadline; /* monotonic */
    void *socket;     /* NULL outside HELLO and STREAMING */
    uint64_t session;
    int64_t begun;             /* when it began */
    int64_t heard;             /* last frame of the session */
    int64_t progress;          /* last ack that moved something, or the first batch on its way */
    unsigned losses, refusals; /* in a row; they stretch the waiting */
    struct {
        uint64_t sessions, losses, refusals;
    } counts; /* since the start */
    struct spool_stream announced[WIRE_STREAMS_MAX + 1];
    size_t n_announced;
    struct window window;
    struct clocks clocks;
    struct gap gaps[WIRE_STREAMS_MAX];
    struct buf batch;
    ProtobufCBinaryData records[WIRE_BATCH_RECORDS_MAX];
    /* Whose store it is: what is kept was acknowledged by the one that the spool names. */
    bool settled;    /* that is the one of this session; else nothing is trimmed */
    bool announcing; /* Hellos name the store before it, until all that waits again was announced */
    char old_store[SPOOL_STORE_MAX];
    uint64_t old_epoch;
    bool ending;            /* the stream's last record is made */
    bool blocked;           /* the socket takes no more just now */
    int spool_trouble;      /* why the spool could not be read, 0 when it could */
    int trim_trouble;       /* the same for trimming */
    struct err trouble;     /* why the last session ended or did not begin */
    struct err key_trouble; /* why the key files cannot be read now; "" when they can */
};

int uplink_open(struct uplink *u, struct err *e) MUST_CHECK; /* keys; the fields above `state` are set */
void uplink_close(struct uplink *u);
void uplink_fire(struct uplink *u, enum uplink_event ev, int64_t now);
void uplink_step(struct uplink *u, int64_t now); /* receives, keeps time, sends */
int64_t uplink_next(const struct uplink *u);     /* monotonic time at which step has something to do */
bool uplink_delivered(const struct uplink *u);
void uplink_bye(struct uplink *u);

/* ---- session.c */

struct session_streams { /* what a Hello says of the spool */
    const struct spool_stream *items;
    size_t n;
    char store_id[SPOOL_STORE_MAX];
    uint64_t restore_epoch;
};

int session_dealer(void *zmq, const struct config *c, const struct curve_key *own, const char *server_z85,
                   void **ret, struct err *e) MUST_CHECK;
int session_send(void *socket, const Pilotgate__Frame *f) MUST_CHECK; /* -EAGAIN: not now */
/* Makes the Hello and gives it to fn, whose answer it returns. */
typedef int session_frame_fn(void *ctx, const Pilotgate__Frame *f);
int session_make_hello(const struct config *c, const struct journal_identity *id,
                       const struct session_streams *s, session_frame_fn *fn, void *ctx) MUST_CHECK;
int session_hello(void *socket, const struct config *c, const struct journal_identity *id,
                  const struct session_streams *streams) MUST_CHECK;
/* The next frame: 1, 0 when there is none, -EBADMSG for one that breaks a rule. */
int session_receive(void *socket, Pilotgate__Frame **ret, struct err *e) MUST_CHECK;
/* 0, or why this Welcome begins no session. */
int session_check_welcome(const Pilotgate__Frame *f, struct err *e) MUST_CHECK;

/* ---- announce.c */

/* Reads the agent's key and the collector's; both are as before on failure. */
int uplink_load_keys(struct uplink *u, struct err *e) MUST_CHECK;
struct gap *uplink_gap_of(struct uplink *u, const uint8_t *boot);
void uplink_found_gap(struct uplink *u, struct lane *l);
/* Fills `announced` from the spool; *ret borrows it. */
void uplink_announce(struct uplink *u, struct session_streams *ret);
/* What a valid Welcome means: WELCOME, RENEW (what was kept waits again, and must be announced) or REFUSED.
 */
enum uplink_event uplink_settle(struct uplink *u, const Pilotgate__Welcome *w);

/* ---- stats */

struct stats {
    pthread_mutex_t lock;
    struct journal_stats now; /* under lock */
    /* the journal's thread: the record whose time was read last */
    uint8_t oldest_boot[WIRE_BOOT_BYTES];
    uint64_t oldest_seq;
    int64_t oldest_wall_ns;
    uint64_t clock_steps, pauses;
};

void stats_publish(struct stats *st, const struct uplink *u, int64_t now); /* the journal's thread */
void stats_read(struct stats *st, struct journal_stats *ret);              /* any thread */

/* ---- journal.c */
/* The spool is that of the configured stage: spool_claim, with the line that says what to do. */
int journal_claim(struct spool *s, const struct config *c, struct err *e) MUST_CHECK;

/* for tests */
int journal_start_timed(const struct config *c, const uint8_t boot[16], const struct journal_identity *id,
                        const struct journal_hooks *hooks, const struct uplink_times *times,
                        struct journal **ret, struct err *e) MUST_CHECK;
