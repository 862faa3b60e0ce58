/* block_priv: what encoder and decoder of call blocks share: the columns and their ranges. */
#pragma once

#include "wire/block.h"

enum block_transform { BLOCK_PLAIN, BLOCK_BASE, BLOCK_STRIDE };
enum block_coding { BLOCK_SAME, BLOCK_VARINT, BLOCK_RUNS };

enum block_column {
    BLOCK_NUMBER,
    BLOCK_ENTRY,
    BLOCK_START,
    BLOCK_DURATION,
    BLOCK_OUTCOME,
    BLOCK_CONNECTION,
    BLOCK_FLAGS,
    BLOCK_COLUMNS,
};

/* A value x of a column is in range when x + offset, modulo 2^64, is at most limit; limit < 2^63. */
struct block_range {
    const char *name;
    bool is_signed;
    uint64_t offset, limit;
};

static inline struct block_range block_range(enum block_column c, size_t n_entries) {
    switch (c) {
    case BLOCK_NUMBER:
        return (struct block_range){"number", false, UINT64_MAX, WIRE_SEQ_MAX - 1};
    case BLOCK_ENTRY:
        return (struct block_range){"entry", false, 0, n_entries - 1};
    case BLOCK_START:
        return (struct block_range){"start_us", true, WIRE_US_MAX, 2 * WIRE_US_MAX};
    case BLOCK_DURATION:
        return (struct block_range){"duration_us", false, 0, WIRE_US_MAX};
    case BLOCK_OUTCOME:
        return (struct block_range){"outcome", false, 0, UINT32_MAX};
    case BLOCK_CONNECTION:
        return (struct block_range){"connection", false, 0, UINT32_MAX};
    default:
        return (struct block_range){"flags", false, 0, UINT32_MAX};
    }
}

/* Without a branch a value, so that compilers do several at once: the top bit is set when y or limit - y
 * have it, which is when y is over the limit. */
static inline bool block_in_range(const struct block_range *r, const uint64_t *x, size_t n) {
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t y = x[i] + r->offset;
        bad |= y | (r->limit - y);
    }
    return bad >> 63 == 0;
}

static inline uint64_t block_zigzag(uint64_t x) {
    return (x << 1) ^ (0 - (x >> 63));
}

static inline uint64_t block_unzigzag(uint64_t v) {
    return (v >> 1) ^ (0 - (v & 1));
}
