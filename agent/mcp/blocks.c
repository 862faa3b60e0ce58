/* blocks: see blocks.h. */
#include "mcp/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Memory that was never written to costs nothing: a block of few calls takes few pages of it. */
static int open_memory(struct mcp_block *b) {
    if (b->calls)
        return 0;
    b->columns = BUF_INIT(BLOCK_BYTES_MAX);
    b->calls = calloc(1, sizeof *b->calls);
    if (!b->calls || buf_reserve(&b->columns, BLOCK_BYTES_MAX) < 0) {
        mcp_block_free(b);
        return -ENOMEM;
    }
    return 0;
}

/* Index of probe and path in the table, added when new; -ENOSPC when the table is full. */
static int entry_index(struct mcp_block *b, const struct mcp_block_call *c) {
    for (size_t i = 0; i < b->n_entries; i++)
        if (strcmp(b->probes[i], c->probe) == 0 && strcmp(b->paths[i], c->path) == 0)
            return (int)i;
    if (b->n_entries == WIRE_BLOCK_PROBES_MAX)
        return -ENOSPC;
    b->probes[b->n_entries] = c->probe;
    b->tools[b->n_entries] = c->tool;
    b->targets[b->n_entries] = c->target;
    b->paths[b->n_entries] = c->path;
    return (int)b->n_entries++;
}

static bool in_range(const struct mcp_block_call *c, int64_t start_us) {
    return c->number > 0 && c->number <= WIRE_SEQ_MAX && c->duration_us <= (uint64_t)WIRE_US_MAX &&
           start_us >= -WIRE_US_MAX && start_us <= WIRE_US_MAX;
}

int mcp_block_add(struct mcp_block *b, const struct mcp_block_call *c) {
    int r = open_memory(b);
    if (r < 0)
        return r;
    struct block_calls *to = b->calls;
    int64_t start_us = to->n ? (c->start_mono - (int64_t)to->base_mono_ns) / 1000 : 0;
    if (!in_range(c, start_us))
        return -ERANGE;
    int entry = to->n < WIRE_BLOCK_CALLS_MAX ? entry_index(b, c) : -ENOSPC;
    if (entry < 0)
        return entry;
    if (to->n == 0) {
        to->base_wall_ns = c->start_wall;
        to->base_mono_ns = (uint64_t)c->start_mono;
    }
    size_t i = to->n++;
    to->number[i] = c->number;
    to->entry[i] = (uint8_t)entry;
    to->start_us[i] = start_us;
    to->duration_us[i] = c->duration_us;
    to->outcome[i] = c->outcome;
    to->connection[i] = c->connection;
    to->flags[i] = c->flags;
    return 0;
}

static void emit(struct mcp_block *b, const struct emit *to) {
    Pilotgate__PackedCalls__Entry entries[WIRE_BLOCK_PROBES_MAX];
    Pilotgate__PackedCalls__Entry *list[WIRE_BLOCK_PROBES_MAX];
    Pilotgate__PackedCalls block = PILOTGATE__PACKED_CALLS__INIT;
    Pilotgate__Record record = PILOTGATE__RECORD__INIT;
    for (size_t i = 0; i < b->n_entries; i++) {
        pilotgate__packed_calls__entry__init(&entries[i]);
        entries[i].probe = (char *)b->probes[i];
        entries[i].tool = (char *)b->tools[i];
        entries[i].target = (char *)b->targets[i];
        entries[i].path = (char *)b->paths[i];
        list[i] = &entries[i];
    }
    block.base_wall_ns = b->calls->base_wall_ns;
    block.base_mono_ns = b->calls->base_mono_ns;
    block.calls = (uint32_t)b->calls->n;
    block.entries = list;
    block.n_entries = b->n_entries;
    block.columns = (ProtobufCBinaryData){.len = b->columns.len, .data = (uint8_t *)b->columns.data};
    record.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    record.packed_calls = &block;
    emit_record(to, &record);
}

void mcp_block_emit(struct mcp_block *b, const struct emit *to) {
    if (mcp_block_calls(b) == 0)
        return;
    if (block_encode(b->calls, b->n_entries, &b->columns, NULL) < 0)
        abort(); /* every call was checked when it was added, and there is room: nothing may vanish here */
    emit(b, to);
    b->calls->n = b->n_entries = 0;
}

void mcp_block_free(struct mcp_block *b) {
    free(b->calls);
    buf_free(&b->columns);
    *b = (struct mcp_block){0};
}
