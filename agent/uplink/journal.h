/* journal: the one thread that owns spool and uplink. Records come in over an inproc pipe (emit), get
 * their seq, are appended to the spool, and go from there to the collector; acknowledgements trim it.
 *
 *            emit (any thread)                     ZeroMQ DEALER, CURVE
 *   sources ───── PUSH/PULL ─────► journal ─ spool ═══════════════════► collector
 *
 * States of the uplink (uplink.c has the table):
 *   IDLE ─ connect ─► HELLO ─ Welcome ─► STREAMING ─ silence, refusal ─► BACKOFF ─ time ─► IDLE
 *
 * Loss: when spool_append fails, records of completed calls are dropped first, and a Loss record with
 * count and time span is appended as soon as there is room.
 */
#pragma once

#include <stdio.h>

#include "config.h"
#include "source.h"

struct journal; /* opaque; one thread of its own between start and stop */

struct journal_hooks {
    void (*load)(void *ctx, int64_t ttl_ns); /* a Command asks for more (or, 0, normal) load */
    void *ctx;
};

struct journal_identity {
    char ns_uid[64];
    char cluster_identity[80];
};

/* Opens the spool, reads the keys, starts the thread. The collector need not be there. */
int journal_start(const struct config *c, const uint8_t boot[16], const struct journal_identity *id,
                  const struct journal_hooks *hooks, struct journal **ret, struct err *e) MUST_CHECK;

/* The callback for sources; valid until journal_stop. */
const struct emit *journal_emit(struct journal *j);

/* Hooks may be set after start, before the first Command can matter (main wires mcp, which needs emit). */
void journal_set_hooks(struct journal *j, const struct journal_hooks *hooks);

/* What the journal says of itself, as of the last second. Totals count from the start. Any thread. */
#define JOURNAL_LOSS_CAUSES 8
struct journal_stats {
    int64_t turned_mono_ns;             /* when its thread last turned; 0: not yet */
    uint64_t appended[WIRE_FAMILIES];   /* records, to the spool */
    uint64_t lost[JOURNAL_LOSS_CAUSES]; /* records, by Pilotgate__Loss__Cause */
    int64_t spool_bytes, spool_kept_bytes, spool_quota;
    uint64_t unacked_records;
    int64_t oldest_unacked_wall_ns; /* of the oldest of these; 0: none, or it cannot be read */
    bool keeps;                     /* appends succeed */
    bool up;                        /* a session is there */
    uint64_t sessions, session_losses, refusals;
    struct {
        bool known;                 /* and reported */
        int64_t offset_ns, wall_ns; /* wall_ns: when it was measured */
        uint64_t bound_ns;
    } clock;
    uint64_t clock_steps, pauses;
};
void journal_stats(struct journal *j, struct journal_stats *ret);

/* Everything whose emit returned before this moment (when_mono_ns) is committed at the collector, or counted
 * as lost; 0: not known yet. Any thread. */
int64_t journal_settled_mono(const struct journal *j);

/* Appends the last coverage record (bye), tries for at most grace_ns to deliver what is left, sends Bye,
 * ends the thread, frees. What is not delivered stays in the spool. NULL-safe. */
void journal_stop(struct journal **j, int64_t grace_ns);

/* For `pilotgate-agent check`: keys, spool folder, and a real session with the collector, which announces
 * an empty stream and says Bye. Returns the number of failures. */
int journal_check(const struct config *c, check_say *say, void *ctx);

/* For `pilotgate-agent spool export`: everything that the spool's folder holds, as FORMAT.md draws it, for
 * the collector whose public key stands first in collector.server_key_file. The folder is only read, also
 * beside the agent that uses it. */
struct journal_exported {
    uint64_t records;
    uint64_t unreadable; /* damaged: the collector will make gaps of them */
};
int journal_export(const struct config *c, FILE *out, struct journal_exported *ret, struct err *e) MUST_CHECK;
