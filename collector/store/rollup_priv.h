/* rollup_priv: counts of calls on their way into the rollup table. Belongs to the store's handle. */
#pragma once

#include "store/store.h"

#define ROLLUP_MINUTE_NS (60 * 1000000000LL)
#define ROLLUP_COUNTS (STORE_OUTCOMES + STORE_LATENCY_BUCKETS)
#define ROLLUP_TEXT_MAX 8192    /* of the five names together */
#define ROLLUP_CELLS_MAX 8192   /* then they are written, though the transaction is not over */
#define ROLLUP_SERIES_MAX 65536 /* cached */
#define ROLLUP_BLOB_MAX (ROLLUP_COUNTS * 12)

struct rollup_name {
    const char *cluster, *namespace_name, *probe, *target, *path;
    bool control;
};
struct rollup_series {
    int64_t id; /* of its row; 0: not looked up yet */
    uint64_t hash;
    size_t len;
    char *text; /* owned */
};
struct rollup_cell {
    uint32_t series;
    int64_t from_ns;
    uint32_t calls, unsent;
    uint32_t counts[ROLLUP_COUNTS]; /* outcomes, then latencies */
};
struct rollup {
    struct rollup_series *series;
    size_t n_series, cap_series, n_series_slots;
    uint32_t *series_slots; /* index + 1 */
    struct rollup_cell *cells;
    size_t n_cells, cap_cells, n_cell_slots;
    uint32_t *cell_slots;
};

/* -EINVAL: an entry is not in the tables, or names are too long; -ENOMEM. */
int rollup_add(struct rollup *r, const char *cluster, const char *ns, const struct store_calls *c) MUST_CHECK;
void rollup_forget_cells(struct rollup *r);
void rollup_forget_series(struct rollup *r);
void rollup_free(struct rollup *r);
int64_t rollup_floor(int64_t t, int64_t step);

/* Counts as bytes: for each that is not 0 its distance from the one before and its value, as LEB128. */
size_t rollup_pack(const uint64_t *counts, uint8_t *out); /* out holds ROLLUP_BLOB_MAX */
int rollup_unpack(const uint8_t *data, size_t len, uint64_t *counts) MUST_CHECK; /* adds; -EBADMSG */
