/* intake: what the wire and an exported file have in common. Inside one transaction, which the caller begins
 * and ends: what is written is there only after its commit. One thread. */
#pragma once

#include "store/store.h"

/* Counted while a transaction is open; the caller clears it, and believes it after the commit. */
struct intake_count {
    uint64_t records, duplicates, conflicts, calls;
    uint64_t decoded; /* calls, also of blocks that were there already: what they cost */
};

struct intake {
    struct store *store;
    struct intake_count count;
    struct block_calls calls; /* of the record in hand: large, so it is kept */
};

int intake_new(struct store *s, struct intake **ret, struct err *e) MUST_CHECK;
void intake_free(struct intake **t);

/* Why an agent that says this Hello no longer holds what the store lacks. */
enum store_gap_cause intake_cause(const struct intake *t, const Pilotgate__Hello *h);

/* Finds or makes the stream; what the agent no longer holds is a gap, the same boot under another stage a
 * doubt. */
int intake_stream(struct intake *t, const Pilotgate__Hello *h, const Pilotgate__StreamState *state,
                  int64_t *ret_id, uint64_t *ret_hwm, struct err *e) MUST_CHECK;

/* Nothing between *hwm and first will ever come: a gap, and *hwm raised, unless there is nothing between. */
int intake_gap(struct intake *t, int64_t stream, uint64_t *hwm, uint64_t first, enum store_gap_cause cause,
               struct err *e) MUST_CHECK;

/* Checks one packed record and puts it; calls of a new block go into the rollups. 1: it breaks a rule,
 * *ret_why says which, and nothing was put; negative: the store failed. */
struct intake_place {
    int64_t stream;
    const char *cluster, *namespace_name;
};
int intake_record(struct intake *t, const struct intake_place *at, uint64_t seq,
                  const ProtobufCBinaryData *packed, struct err *ret_why, struct err *e) MUST_CHECK;
