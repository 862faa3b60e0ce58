/* blocks: gathers resolved calls as columns and emits them as PackedCalls records. Not thread-safe. */
#pragma once

#include "source.h"
#include "wire/block.h"

struct mcp_block {
    struct block_calls *calls;                 /* owned; NULL: none was ever added */
    struct buf columns;                        /* room for the longest, so that emitting cannot fail */
    const char *probes[WIRE_BLOCK_PROBES_MAX]; /* borrowed names; one entry for each probe and path */
    const char *tools[WIRE_BLOCK_PROBES_MAX];
    const char *targets[WIRE_BLOCK_PROBES_MAX];
    const char *paths[WIRE_BLOCK_PROBES_MAX];
    size_t n_entries;
};

struct mcp_block_call {
    const char *probe, *tool, *target, *path; /* must outlive the block */
    uint64_t number;
    int64_t start_wall, start_mono;
    uint64_t duration_us;
    uint32_t outcome, connection, flags;
};

/* -ENOSPC: the block is full, emit it and add again; -ENOMEM; -ERANGE: no block holds such a call. */
int mcp_block_add(struct mcp_block *b, const struct mcp_block_call *c) MUST_CHECK;

/* Nothing when empty. */
void mcp_block_emit(struct mcp_block *b, const struct emit *to);
void mcp_block_free(struct mcp_block *b);

/* How many calls it holds. */
static inline size_t mcp_block_calls(const struct mcp_block *b) {
    return b->calls ? b->calls->n : 0;
}
