/* blocks: gathers resolved calls as columns and emits them as CallBlock records. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source.h"

struct mcp_block {
    int64_t base_wall, base_mono; /* start of the first call */
    uint64_t first_number, last_number;
    char *probes[WIRE_BLOCK_PROBES_MAX]; /* borrowed names; one entry for each probe and path */
    char *tools[WIRE_BLOCK_PROBES_MAX];
    char *targets[WIRE_BLOCK_PROBES_MAX];
    char *paths[WIRE_BLOCK_PROBES_MAX];
    bool by_replica; /* some path is not the URL */
    size_t n_probes;
    size_t n, cap;
    /* columns; one allocation each, cap entries */
    int64_t *number_delta, *start_us;
    uint64_t *duration_us;
    uint32_t *probe, *outcome, *connection, *flags;
};

struct mcp_block_call {
    const char *probe, *tool, *target, *path; /* must outlive the block */
    uint64_t number;
    int64_t start_wall, start_mono;
    uint64_t duration_us;
    uint32_t outcome, connection, flags;
};

/* -ENOSPC: the block is full, emit it and add again; -ENOMEM. */
int mcp_block_add(struct mcp_block *b, const struct mcp_block_call *c) MUST_CHECK;

/* Nothing when empty. */
void mcp_block_emit(struct mcp_block *b, const struct emit *to);
void mcp_block_free(struct mcp_block *b);
