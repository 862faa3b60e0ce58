/* ingest: the ROUTER side. Authenticates, decodes, deduplicates, group-commits, acknowledges.
 *
 *   ZAP (allow-list) ─────────┐   one thread polls both sockets
 *   ROUTER ─ decode ─ check ──┴─► open transaction ─ commit (nothing waits, or enough) ─► acks
 *
 * Acks leave only after store_commit returned 0. Every frame's CURVE User-Id must be the one that its
 * session's Hello had; the key's line in the allow-list says which cluster and namespaces it may speak
 * for. A frame that breaks a rule is counted as a refusal (key, reason), answered with the reason, and its
 * session ends.
 *
 * Nobody can harm the others: a session's frames are taken in turn with everyone else's, a key has at most
 * INGEST_SESSIONS_PER_KEY sessions and INGEST_STREAMS_PER_KEY_HOUR new streams an hour, what is wanted over
 * that is refused with the reason. A peer that does not read loses its acks, not our memory. When the disk is
 * full the collector stays: records are refused ("the store is full"), nothing is acknowledged, /readyz says
 * so.
 *
 * Two sessions with different living streams of one node that both go on sending are told as
 * STORE_DOUBT_TWO_AGENTS (INGEST_TWINS_S of overlap: a pod and its successor overlap shorter).
 *
 * Allow-list: text file, one agent a line: "<public key Z85> <cluster> <namespace>[,<namespace>...]",
 * '#' begins a comment; "*" as namespace allows all of the cluster. Looked at once a second; a key
 * that vanished loses its sessions. A file that cannot be read or has a bad line keeps the old list and
 * is logged once a change.
 */
#pragma once

#include "base/err.h"
#include "store/store.h"

#define INGEST_COMMIT_MS 10  /* rest between commits, in which a transaction gathers */
#define INGEST_GATHER_MS 100 /* and how long it may while frames wait */
#define INGEST_SESSIONS_MAX 10000
#define INGEST_SESSIONS_PER_KEY 2000
#define INGEST_STREAMS_PER_KEY_HOUR 10000
#define INGEST_TWINS_S 60

struct ingest_options {
    const char *bind;     /* tcp://0.0.0.0:5670 */
    const char *key_file; /* the collector's key pair */
    const char *allow_file;
};

#define INGEST_COMMIT_BUCKETS 16
#define INGEST_COMMIT_BUCKET_NS 250000ll
struct ingest_counters { /* since start; read by /metrics under ingest's own lock */
    uint64_t records, duplicates, conflicts, commits, refusals, frames, bytes;
    uint32_t sessions;
    uint64_t calls;         /* in committed blocks */
    uint64_t store_full;    /* batches that were refused because the store was full, or failed */
    uint64_t commit_ns_sum; /* of commits: from the first record of the transaction to its fsync */
    uint64_t
        commit_buckets[INGEST_COMMIT_BUCKETS]; /* of commits: over the bucket before, up to
                                                  INGEST_COMMIT_BUCKET_NS << k; longer ones are in none */
    int64_t oldest_unacked_ns;                 /* age of the open transaction; 0: none */
};

struct ingest;

/* Binds at once, so that a wrong address is known before anything else starts. */
int ingest_new(const struct ingest_options *o, struct store *s, struct ingest **ret,
               struct err *e) MUST_CHECK;
/* Runs until ingest_stop; in the caller's thread, which owns the store. A store that is full, busy or fails
 * is endured: negative errno only when it is damaged (or cannot end in order). Then the caller ends, and
 * agents keep what was not acknowledged. */
int ingest_run(struct ingest *i, struct err *e) MUST_CHECK;
/* The address that was bound: with "tcp://127.0.0.1:*" the system chose the port. */
const char *ingest_endpoint(const struct ingest *i);
void ingest_stop(struct ingest *i);                                  /* async-signal-safe */
void ingest_counters(struct ingest *i, struct ingest_counters *ret); /* any thread */
/* True while ingest_run takes records; else *ret_why (NULL: not wanted) says why not. Any thread. */
#define INGEST_WHY_MAX 512
bool ingest_ready(struct ingest *i, char ret_why[INGEST_WHY_MAX]);
void ingest_free(struct ingest **i);

/* A file that `pilotgate-agent spool export` wrote (agent/spool/FORMAT.md) into a store that was opened to
 * serve: the one writer of records is the daemon or the import, never both. Same checks, same identity of
 * records, same answers as over the wire: what is there already is a duplicate. Everything or nothing of a
 * file is taken. The allow-list must hold the key that made it; key_file is the collector's pair, for which
 * it was made. */
struct ingest_imported {
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1], node[WIRE_NAME_MAX + 1];
    uint64_t streams, records, duplicates, conflicts;
};
int ingest_import(struct store *s, const char *path, const char *key_file, const char *allow_file,
                  struct ingest_imported *ret, struct err *e) MUST_CHECK;
