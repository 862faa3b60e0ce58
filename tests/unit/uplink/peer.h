/* peer: a scripted collector for the tests: a real ROUTER with CURVE in a thread of its own, which keeps
 * what it "committed" over restarts, and misbehaves on demand. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire/curve.h"
#include "wire/wire.h"

#define PEER_STREAMS 160
#define PEER_RECORDS 40000 /* of one stream */

struct peer_stream {
    uint8_t boot[WIRE_BOOT_BYTES];
    uint64_t hwm, gap_records, duplicates, conflicts;
    uint64_t most, resent; /* highest hwm ever; records that came again after the store had lost them */
    uint64_t first_seq;    /* of the last Hello that named it */
    uint64_t losses, lost_records, timings, phases, coverages, calls;
    uint64_t numbers;     /* phases whose subject is "N/<numbers + 1>", in order */
    uint64_t misnumbered; /* phases out of that order */
    int64_t offset_ns;
    uint64_t offset_error_ns;
    Pilotgate__Loss__Cause loss_cause;
    bool bye_record, bye_frame;
    uint64_t digests[PEER_RECORDS + 1];
};

struct peer {
    struct curve_key key;
    char endpoint[64];
    /* the script */
    atomic_bool listening; /* false: no socket; true again is a restart that forgot its sessions */
    atomic_bool silent;    /* takes frames, answers nothing */
    atomic_bool mute_acks; /* commits, answers all but acks */
    atomic_bool refuse;    /* Welcome with a reason */
    atomic_bool stray;     /* before each ack: one of another session, which acknowledges everything */
    atomic_bool overack;   /* acknowledges what was never made */
    atomic_int command;    /* Pilotgate__Command__Kind to send, once; ttl 7 s */
    atomic_llong clock_offset;
    atomic_uint credit_records, credit_bytes;
    char store[64]; /* id and epoch in Welcome, under the lock: peer_restore */
    uint64_t epoch;
    /* what it saw */
    char hello_store[64]; /* of the last Hello, under the lock */
    atomic_uint hellos, results_ok, results_bad, frames, stale;
    atomic_uint outstanding_max; /* records taken in one session without an ack */
    atomic_bool open;            /* has a socket now */
    struct peer_stream *streams; /* under its lock: peer_stream copies */
    void *own;
};

struct peer *peer_start(void);
void peer_stop(struct peer *p);
/* The store is another one, or another copy: every stream has at most `hwm` records. Takes effect at once; an
 * agent learns it with its next session. */
void peer_restore(struct peer *p, const char *store, uint64_t epoch, uint64_t hwm);
/* The store that the last Hello named, into out. */
void peer_hello_store(struct peer *p, char out[64]);
/* Copies the stream's numbers (without digests); false when there is none. */
bool peer_stream(struct peer *p, const uint8_t *boot, struct peer_stream *out);
