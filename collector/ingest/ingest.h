/* ingest: the ROUTER side. Authenticates, decodes, deduplicates, group-commits, acknowledges.
 *
 *   ZAP (allow-list) ─────────┐   one thread polls both sockets
 *   ROUTER ─ decode ─ check ──┴─► open transaction ─ commit (every INGEST_COMMIT_MS or bytes) ─► acks
 *
 * Acks leave only after store_commit returned 0. Every frame's CURVE User-Id must be the one that its
 * session's Hello had; the key's line in the allow-list says which cluster and namespaces it may speak
 * for. A frame that breaks a rule is counted as a refusal (key, reason), answered with the reason, and its
 * session ends.
 *
 * Allow-list: text file, one agent a line: "<public key Z85> <cluster> <namespace>[,<namespace>...]",
 * '#' begins a comment; "*" as namespace allows all of the cluster. Looked at once a second; a key
 * that vanished loses its sessions. A file that cannot be read or has a bad line keeps the old list and
 * is logged once a change.
 */
#pragma once

#include "base/err.h"
#include "store/store.h"

#define INGEST_COMMIT_MS 10
#define INGEST_SESSIONS_MAX 10000

struct ingest_options {
    const char *bind;     /* tcp://0.0.0.0:5670 */
    const char *key_file; /* the collector's key pair */
    const char *allow_file;
};

struct ingest_counters { /* since start; read by /metrics under ingest's own lock */
    uint64_t records, duplicates, conflicts, commits, refusals, frames, bytes;
    uint32_t sessions;
};

struct ingest;

/* Binds at once, so that a wrong address is known before anything else starts. */
int ingest_new(const struct ingest_options *o, struct store *s, struct ingest **ret,
               struct err *e) MUST_CHECK;
/* Runs until ingest_stop; in the caller's thread, which owns the store. Negative errno when the store
 * can no longer commit: the caller ends, agents keep what was not acknowledged. */
int ingest_run(struct ingest *i, struct err *e) MUST_CHECK;
/* The address that was bound: with "tcp://127.0.0.1:*" the system chose the port. */
const char *ingest_endpoint(const struct ingest *i);
void ingest_stop(struct ingest *i);                                  /* async-signal-safe */
void ingest_counters(struct ingest *i, struct ingest_counters *ret); /* any thread */
/* True while ingest_run takes records; any thread. */
bool ingest_ready(const struct ingest *i);
void ingest_free(struct ingest **i);
