/* blocks: see blocks.h. */
#include "mcp/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow_one(void *column, size_t cap, size_t size) {
    void *old;
    memcpy(&old, column, sizeof old);
    void *p = realloc(old, cap * size);
    if (!p)
        return -ENOMEM;
    memcpy(column, &p, sizeof p);
    return 0;
}

static int grow(struct mcp_block *b) {
    size_t cap = b->cap ? b->cap * 2 : 64;
    if (grow_one(&b->number_delta, cap, sizeof *b->number_delta) < 0 ||
        grow_one(&b->start_us, cap, sizeof *b->start_us) < 0 ||
        grow_one(&b->duration_us, cap, sizeof *b->duration_us) < 0 ||
        grow_one(&b->probe, cap, sizeof *b->probe) < 0 ||
        grow_one(&b->outcome, cap, sizeof *b->outcome) < 0 ||
        grow_one(&b->connection, cap, sizeof *b->connection) < 0 ||
        grow_one(&b->flags, cap, sizeof *b->flags) < 0)
        return -ENOMEM;
    b->cap = cap;
    return 0;
}

/* Index of probe and path in the table, added when new; -ENOSPC when the table is full. */
static int probe_index(struct mcp_block *b, const struct mcp_block_call *c) {
    for (size_t i = 0; i < b->n_probes; i++)
        if (strcmp(b->probes[i], c->probe) == 0 && strcmp(b->paths[i], c->path) == 0)
            return (int)i;
    if (b->n_probes == WIRE_BLOCK_PROBES_MAX)
        return -ENOSPC;
    b->probes[b->n_probes] = (char *)c->probe;
    b->tools[b->n_probes] = (char *)c->tool;
    b->targets[b->n_probes] = (char *)c->target;
    b->paths[b->n_probes] = (char *)c->path;
    b->by_replica = b->by_replica || *c->path;
    return (int)b->n_probes++;
}

static void open_block(struct mcp_block *b, const struct mcp_block_call *c) {
    b->base_wall = c->start_wall;
    b->base_mono = c->start_mono;
    b->first_number = b->last_number = c->number;
}

int mcp_block_add(struct mcp_block *b, const struct mcp_block_call *c) {
    if (b->n == WIRE_BLOCK_CALLS_MAX)
        return -ENOSPC;
    if (b->n == b->cap && grow(b) < 0)
        return -ENOMEM;
    int probe = probe_index(b, c);
    if (probe < 0)
        return probe;
    if (b->n == 0)
        open_block(b, c);
    size_t i = b->n++;
    b->number_delta[i] = (int64_t)(c->number - b->last_number);
    b->last_number = c->number;
    b->probe[i] = (uint32_t)probe;
    b->start_us[i] = (c->start_mono - b->base_mono) / 1000;
    b->duration_us[i] = c->duration_us;
    b->outcome[i] = c->outcome;
    b->connection[i] = c->connection;
    b->flags[i] = c->flags;
    return 0;
}

void mcp_block_emit(struct mcp_block *b, const struct emit *to) {
    if (b->n == 0)
        return;
    Pilotgate__CallBlock block = PILOTGATE__CALL_BLOCK__INIT;
    block.base_wall_ns = b->base_wall;
    block.base_mono_ns = (uint64_t)b->base_mono;
    block.first_number = b->first_number;
    block.probes = b->probes;
    block.tools = b->tools;
    block.targets = b->targets;
    block.n_probes = block.n_tools = block.n_targets = b->n_probes;
    block.paths = b->paths;
    block.n_paths = b->by_replica ? b->n_probes : 0; /* none: all took the URL */
    block.number_delta = b->number_delta;
    block.start_us = b->start_us;
    block.duration_us = b->duration_us;
    block.probe = b->probe;
    block.outcome = b->outcome;
    block.connection = b->connection;
    block.flags = b->flags;
    block.n_number_delta = block.n_start_us = block.n_duration_us = b->n;
    block.n_probe = block.n_outcome = block.n_connection = block.n_flags = b->n;
    Pilotgate__Record record = PILOTGATE__RECORD__INIT;
    record.body_case = PILOTGATE__RECORD__BODY_CALLS;
    record.calls = &block;
    emit_record(to, &record);
    b->n = b->n_probes = 0;
    b->by_replica = false;
}

void mcp_block_free(struct mcp_block *b) {
    free(b->number_delta);
    free(b->start_us);
    free(b->duration_us);
    free(b->probe);
    free(b->outcome);
    free(b->connection);
    free(b->flags);
    *b = (struct mcp_block){0};
}
