/* store: where records rest. The contract is backend-neutral; sqlite.c is the one backend so far.
 *
 * Data (sqlite_schema.c has the tables; arrows are foreign keys):
 *
 *   commit_log(n, at_ns)  <- record(stream, seq, n, family, t_from, t_to, payload) -> stream(id, stage, ...)
 *                         <- pack(stream, family, seq_from, seq_to, ..., body)  many small records as one row
 *                         <- rollup(stage, probe, path, level, from, ...)       counts of calls by minute,
 * hour, day
 *                         <- gap, conflict, deletion(stream, seq_from, seq_to)  what there is not, and why
 *                         <- document(n, kind, name, body)       what people say: pilot, marks, drills ...
 *   session, refusal, command, alert                                  operations; never part of a verdict
 *
 * A record keeps its address (stream, seq), its commit and its bytes for as long as it is stored; whether it
 * lies in a row of its own or in a pack is nobody's business outside of this module.
 *
 * Every write happens in a transaction that gets one number N from commit_log, ascending without holes,
 * with the collector's time. A verdict at N reads only rows with n <= N, so it can be computed again.
 *
 * Durability: SQLite WAL, synchronous=FULL: when store_commit returned 0 the rows survive a power cut.
 * Threads: a handle belongs to one thread. One process serves (writes records); CLI processes open
 * their own handle beside it and write only documents and commands.
 *
 * Provenance: a database is believed when a live `serve` holds its lock (file + "-lock"), when it was
 * closed in order, or when `backup`/`export` wrote it; anything else (a bare copy of a .db whose -wal stayed
 * behind) is refused with -EBUSY and a text that names `pilotgate backup`. Never on a network file system.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/block.h"
#include "wire/wire.h"

struct store;

enum store_mode {
    STORE_CREATE, /* make it when it is missing; for `pilot init` and `serve` */
    STORE_SERVE,  /* the daemon: takes the lock, -EBUSY when another serves */
    STORE_READ,   /* CLI: an existing one; may still write documents and commands */
};

/* url: "sqlite:PATH" (or NULL: env PILOTGATE_STORE). A newer schema is refused (-ENOTSUP). STORE_SERVE and
 * STORE_CREATE bring an older one up to date when no daemon serves it, after an online backup beside it
 * (PATH.schema-N); STORE_READ refuses it and says so. */
int store_open(const char *url, enum store_mode mode, struct store **ret, struct err *e) MUST_CHECK;
void store_close(struct store **s); /* the server's handle marks the store as closed in order */

const char *store_id(const struct store *s); /* 32 hex digits, made with the store */
uint64_t store_restore_epoch(const struct store *s);
bool store_live(const struct store *s);        /* a daemon serves it (or did when we opened) */
int64_t store_fsync_ns(const struct store *s); /* server's handle: median fsync of the store's disk, ns */
bool store_on_fuse(const struct store *s);     /* server's handle: on FUSE, whose durability is not known */

/* ---- writing */

/* One transaction at a time. Begin assigns nothing; commit gives *ret_n (untouched when nothing was put:
 * an empty transaction gets no number). */
int store_begin(struct store *s, struct err *e) MUST_CHECK;
int store_commit(struct store *s, int64_t now_wall_ns, uint64_t *ret_n, struct err *e) MUST_CHECK;
/* A full disk is -ENOSPC from any of these: the transaction is gone, the handle stays usable, and the next
 * may succeed when there is room again. */
void store_rollback(struct store *s);

/* A stream's identity is its boot within its stage (a spool on a volume may come back on another node): node
 * counts only when the stream is made. *ret_elsewhere of store_stream: the same boot is known under another
 * stage. */
struct store_stream_key {
    const char *cluster, *namespace_name, *node;
    const uint8_t *boot; /* WIRE_BOOT_BYTES */
};

/* Finds or makes the stream; *ret_hwm: the seq up to which it is complete in the store. */
int store_stream(struct store *s, const struct store_stream_key *k, int64_t *ret_id, uint64_t *ret_hwm,
                 bool *ret_elsewhere, struct err *e) MUST_CHECK;

enum store_put { STORE_PUT_NEW, STORE_PUT_DUPLICATE, STORE_PUT_CONFLICT };

struct store_record {
    int64_t stream;
    uint64_t seq;
    enum wire_family family;
    int64_t t_from_ns, t_to_ns; /* agent wall time that the record speaks of */
    const uint8_t *payload;     /* packed Record */
    size_t len;
};

/* The same (stream, seq) with other bytes is a conflict: the first stays, the conflict is counted and
 * dated in the stream; so is a record that comes after its seq was declared lost. A record that was deleted
 * (store_delete_passes) and comes again is a duplicate. Raises the stream's high-water mark to seq; a seq
 * above hwm + 1 is refused (-EINVAL): an acknowledgement is cumulative. */
int store_put_record(struct store *s, const struct store_record *r, enum store_put *ret,
                     struct err *e) MUST_CHECK;

/* Why records will never come. */
enum store_gap_cause {
    STORE_GAP_AGENT = 1, /* the agent no longer holds them */
    STORE_GAP_RESTORED,  /* this store had acknowledged them, and was restored from an older copy */
    STORE_GAP_REPLACED,  /* another store had acknowledged them */
};
/* Records lost for good: the agent no longer holds hwm+1 .. first-1. Stored, and hwm raised to first-1. */
int store_put_gap(struct store *s, int64_t stream, uint64_t from_seq, uint64_t to_seq,
                  enum store_gap_cause cause, struct err *e) MUST_CHECK;

/* A stream that cannot be believed as a whole, whatever its records say. Once for each stream and reason; two
 * stages with one boot are doubted both, whichever came first: nobody knows which is the clone. */
enum store_doubt {
    STORE_DOUBT_TWO_AGENTS = 1, /* two agents said that they are this node at the same time */
    STORE_DOUBT_TWO_STAGES,     /* the same boot came under another stage: a cloned spool */
};
int store_put_doubt(struct store *s, int64_t stream, enum store_doubt d, struct err *e) MUST_CHECK;

/* ---- rollups: how many calls of a probe began in a minute, hour or day of the agent's wall clock, by
 * outcome and latency. Written in the transaction that brings the block; no query over the pilot reads its
 * calls. */
#define STORE_OUTCOMES 32         /* outcomes from 31 on, and unknown ones, count in the last */
#define STORE_LATENCY_BUCKETS 128 /* store_latency_bucket: four to the octave, from 1 us to 71 min */
enum store_level { STORE_MINUTE, STORE_HOUR, STORE_DAY, STORE_LEVELS };
struct store_rollup {
    const char *cluster, *namespace_name, *probe, *target, *path;
    bool control;
    enum store_level level;
    int64_t from_ns; /* begin of the minute, hour or day, UTC */
    uint64_t n_first,
        n_last;     /* first and last commit that added to it: exact as of any N outside [first, last) */
    uint64_t calls; /* of them unsent ones are not counted */
    uint64_t unsent;
    uint64_t outcomes[STORE_OUTCOMES];
    uint64_t latency[STORE_LATENCY_BUCKETS]; /* of completed calls */
};
unsigned store_latency_bucket(uint64_t us);
uint64_t store_latency_from_us(unsigned bucket); /* least latency of the bucket */

/* Adds one block's calls; gathered in memory and written by store_commit. `entries` as in the block. */
struct store_calls {
    const struct block_calls *calls;
    size_t n_entries;
    const char *const *probes, *const *targets, *const *paths;
};
int store_add_calls(struct store *s, const char *cluster, const char *namespace_name,
                    const struct store_calls *calls, struct err *e) MUST_CHECK;

struct store_rollup_query {
    const char *cluster, *namespace_name, *probe; /* NULL: all */
    enum store_level level;
    int64_t from_ns, to_ns; /* of those that begin inside */
};
typedef int store_rollup_fn(void *ctx, const struct store_rollup *r);
int store_rollups(struct store *s, const struct store_rollup_query *q, store_rollup_fn *fn, void *ctx,
                  struct err *e) MUST_CHECK;

/* ---- housekeeping of the daemon, each one bounded step in a transaction of its own (none may be open) */

/* Packs records of the bulk families (calls, coverage, timing, confirmed) that were committed at least a
 * quiet time ago, many of one stream and family into one row, deflated. *ret_records: how many this step
 * packed; 0: there is nothing to do now. At most about 20 ms. */
int store_pack(struct store *s, int64_t now_wall_ns, size_t *ret_records, struct err *e) MUST_CHECK;

/* Retention: deletes packed blocks of calls of one stage in which every call completed, once and without a
 * detour, and which ended before before_ns and meet no kept span; nothing else is ever deleted. Each deletion
 * is recorded (evidence: it gets a commit) with stream, seqs and time span. A call deletes at most
 * `max_records`, in a transaction of about 20 ms; while it only looks, nobody waits for it. *ret_records 0:
 * the round is over, and the next call begins another. By any handle, also beside a daemon. The file does not
 * shrink: what is freed is used again. */
struct store_keep {
    int64_t from_ns, to_ns;
};
struct store_retention {
    const char *cluster, *namespace_name;
    int64_t before_ns;
    const struct store_keep *keep;
    size_t n_keep;
    size_t max_records;
};
int store_delete_passes(struct store *s, const struct store_retention *r, int64_t now_wall_ns,
                        size_t *ret_records, struct err *e) MUST_CHECK;

struct store_deletion_row {
    int64_t stream;
    uint64_t from_seq, to_seq;  /* some records in this range were deleted ... */
    uint64_t records;           /* so many ... */
    int64_t t_from_ns, t_to_ns; /* whose calls were within, by their agent's clock */
    int64_t at_ns;              /* when they were deleted: the time of the deletion's commit */
};
typedef int store_deletion_fn(void *ctx, const struct store_deletion_row *row);
/* Of records that were there at the commit, whenever they were deleted: a verdict as of then lacks them, too.
 */
int store_deletions(struct store *s, uint64_t commit, store_deletion_fn *fn, void *ctx,
                    struct err *e) MUST_CHECK;

/* Sizes for retention and metrics. */
struct store_size {
    uint64_t file_bytes;   /* of the database, its -wal included */
    uint64_t unused_bytes; /* of the file: freed by deletions, and used again before it grows */
    uint64_t free_disk_bytes;
    uint64_t records, packed, calls; /* stored; calls: in rollups */
};
int store_size(struct store *s, struct store_size *ret, struct err *e) MUST_CHECK;

/* What people say, append-only; kind: "pilot", "reference", "mark", "drill", "attestation" ... The newest of
 * a (kind, name) counts. body is canonical JSON. */
int store_put_document(struct store *s, const char *kind, const char *name, const json_t *body,
                       struct err *e) MUST_CHECK;

/* ---- reading; `commit` 0 means the newest */

int store_newest_commit(struct store *s, uint64_t *ret_n, int64_t *ret_at_ns, struct err *e) MUST_CHECK;
/* The newest commit that was not after at_ns; 0 when there was none. */
int store_commit_at(struct store *s, int64_t at_ns, uint64_t *ret_n, struct err *e) MUST_CHECK;

struct store_stream_row {
    int64_t id;
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1], node[WIRE_NAME_MAX + 1];
    uint8_t boot[WIRE_BOOT_BYTES];
    uint64_t hwm;
    uint64_t conflicts;
    unsigned doubts; /* bits 1u << STORE_DOUBT_... */
};
typedef int store_stream_fn(void *ctx, const struct store_stream_row *row);
int store_streams(struct store *s, store_stream_fn *fn, void *ctx, struct err *e) MUST_CHECK;
/* As of a commit: streams that existed then, with the high-water mark and conflicts they had then. */
int store_streams_at(struct store *s, uint64_t commit, store_stream_fn *fn, void *ctx,
                     struct err *e) MUST_CHECK;

struct store_gap_row {
    int64_t stream;
    uint64_t from_seq, to_seq;
    enum store_gap_cause cause;
};
typedef int store_gap_fn(void *ctx, const struct store_gap_row *row);
int store_gaps(struct store *s, uint64_t commit, store_gap_fn *fn, void *ctx, struct err *e) MUST_CHECK;

struct store_query {
    uint64_t commit;
    const char *cluster, *namespace_name; /* NULL: every stage */
    unsigned families;                    /* bits 1u << WIRE_FAMILY_...; 0: all */
    int64_t from_ns, to_ns;               /* records whose [t_from, t_to] meets it; both 0: all */
    bool
        neighbours; /* besides, of each stream and family the last before from_ns and the first after to_ns */
};
/* Calls fn in (stream, seq) order; a non-zero return of fn stops and is returned. payload is borrowed. */
typedef int store_record_fn(void *ctx, const struct store_record *r, uint64_t commit);
int store_records(struct store *s, const struct store_query *q, store_record_fn *fn, void *ctx,
                  struct err *e) MUST_CHECK;

/* Newest of each name, by name. body is borrowed. */
typedef int store_document_fn(void *ctx, const char *name, const json_t *body, uint64_t commit,
                              int64_t at_ns);
int store_documents(struct store *s, uint64_t commit, const char *kind, store_document_fn *fn, void *ctx,
                    struct err *e) MUST_CHECK;
/* The newest of this one name, a new reference; *ret NULL: there is none. */
int store_document(struct store *s, uint64_t commit, const char *kind, const char *name, json_t **ret,
                   struct err *e) MUST_CHECK;

/* ---- operations: not evidence */

struct store_session {
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1], node[WIRE_NAME_MAX + 1];
    uint8_t boot[WIRE_BOOT_BYTES];
    char key[41]; /* Z85 public key of the agent */
    char version[64];
    bool connected;
    int64_t since_ns, last_seen_ns;
    uint64_t records; /* of the living stream, committed */
};
int store_put_session(struct store *s, const struct store_session *row, struct err *e) MUST_CHECK;
typedef int store_session_fn(void *ctx, const struct store_session *row);
int store_sessions(struct store *s, store_session_fn *fn, void *ctx, struct err *e) MUST_CHECK;

/* Peers that were turned away: by key and reason, counted. */
struct store_refusal {
    char key[41];
    char reason[128];
    uint64_t count;
    int64_t first_ns, last_ns;
};
int store_put_refusal(struct store *s, const char *key, const char *reason, int64_t now_ns,
                      struct err *e) MUST_CHECK;
/* The same, count at once (ingest gathers them for a second, so that a storm is not a storm of writes).
 * At most 1000 rows are kept; the oldest go first, some hundred at once. */
int store_add_refusals(struct store *s, const struct store_refusal *row, struct err *e) MUST_CHECK;
typedef int store_refusal_fn(void *ctx, const struct store_refusal *row);
int store_refusals(struct store *s, store_refusal_fn *fn, void *ctx, struct err *e) MUST_CHECK;

/* The queue by which a CLI process asks the daemon to send a Command to the agents of a stage. */
struct store_command {
    uint64_t id;
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1];
    int kind; /* Pilotgate__Command__Kind */
    uint32_t ttl_seconds;
    int64_t asked_ns, expires_ns;
    uint32_t sent, answered_ok, answered_bad; /* agents */
};
int store_put_command(struct store *s, struct store_command *c, struct err *e) MUST_CHECK; /* fills id */
int store_update_command(struct store *s, const struct store_command *c, struct err *e) MUST_CHECK;
/* Not expired at now_ns and with an id above after_id. */
typedef int store_command_fn(void *ctx, const struct store_command *row);
int store_commands(struct store *s, uint64_t after_id, int64_t now_ns, store_command_fn *fn, void *ctx,
                   struct err *e) MUST_CHECK;
int store_command(struct store *s, uint64_t id, struct store_command *ret, struct err *e) MUST_CHECK;

/* What was told to people and is to be told yet (alert.h), one document; *ret NULL when nothing was put. Any
 * handle may; one process does. */
int store_put_alerts(struct store *s, const json_t *state, struct err *e) MUST_CHECK;
int store_alerts(struct store *s, json_t **ret, struct err *e) MUST_CHECK;

/* ---- whole store */

/* SQLite's online backup to a new file (never overwrites; "-" is the caller's business), marked as such. */
int store_backup(struct store *s, const char *path, struct err *e) MUST_CHECK;
