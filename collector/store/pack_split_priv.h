/* pack_split_priv: what splitting and joining share: the columns, and one record in its parts. */
#pragma once

#include "store/pack_split.h"
#include "wire/block.h"

enum split_column {
    SPLIT_KIND, /* of each record */
    SPLIT_SEQ,
    SPLIT_COMMIT,
    SPLIT_FROM,
    SPLIT_TO,
    SPLIT_PLACE, /* of each split record, a varint each */
    SPLIT_WALL,
    SPLIT_MONO,
    SPLIT_BASE_WALL,
    SPLIT_BASE_MONO,
    SPLIT_CALLS,
    SPLIT_NAMES, /* 0: the entries of the split record before, else the length + 1 */
    SPLIT_FIRST,
    SPLIT_LENGTHS,                               /* seven: how long is each column of calls */
    SPLIT_BYTES = SPLIT_LENGTHS + BLOCK_CUT,     /* seven: their bytes */
    SPLIT_NAMES_BYTES = SPLIT_BYTES + BLOCK_CUT, /* entries tables */
    SPLIT_WHOLE,                                 /* records as they are */
    SPLIT_COLUMNS,
};

enum split_kind { SPLIT_IS_DELETED, SPLIT_IS_SPLIT, SPLIT_IS_WHOLE }; /* + length */
enum split_place { SPLIT_NO_SEQ, SPLIT_SEQ_FIRST, SPLIT_SEQ_LAST, SPLIT_PLACES };

/* Tags of the fields in proto/pilotgate.proto: number << 3 | wire type. */
enum split_tag {
    SPLIT_TAG_SEQ = 1 << 3, /* Record */
    SPLIT_TAG_WALL = 2 << 3 | 1,
    SPLIT_TAG_MONO = 3 << 3 | 1,
    SPLIT_TAG_PACKED_CALLS = 11 << 3 | 2,
    SPLIT_TAG_BASE_WALL = 1 << 3 | 1, /* PackedCalls */
    SPLIT_TAG_BASE_MONO = 2 << 3 | 1,
    SPLIT_TAG_CALLS = 3 << 3,
    SPLIT_TAG_ENTRY = 4 << 3 | 2,
    SPLIT_TAG_COLUMNS = 5 << 3 | 2,
};

struct split_bytes {
    const uint8_t *at;
    size_t len;
};

/* Record{seq, wall_ns, mono_ns, PackedCalls{...}}, as its bytes have it. */
struct split_record {
    enum split_place place; /* of seq */
    uint64_t seq;
    uint64_t wall, mono, base_wall, base_mono;
    uint64_t calls;
    struct split_bytes names;             /* all entries, with their tags */
    uint8_t number_head;                  /* of the number column: head, first varint; */
    uint64_t first;                       /* what follows is column[0] */
    struct split_bytes column[BLOCK_CUT]; /* the other six whole */
};

/* What the next split record is told against. */
struct split_before {
    uint64_t wall, wall_step;
    uint64_t mono_ahead;  /* mono - wall */
    uint64_t base_behind; /* base_wall - wall */
    uint64_t calls, first;
    struct split_bytes names;
    struct pack_entry any, unsplit; /* the last of all, the last that was not split: seq and n, times */
};

/* Bytes of the record when joined. */
size_t split_size(const struct split_record *r);
/* Writes split_size bytes. */
void split_write(const struct split_record *r, uint8_t *out);
void split_step(struct split_before *b, const struct split_record *r);
