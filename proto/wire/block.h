/* block: calls as columns of few bytes (PackedCalls), and back. Pure; no state; thread-safe.
 *
 * PackedCalls.columns holds seven columns one after the other, each of `calls` values:
 *
 *   number  entry  start_us  duration_us  outcome  connection  flags
 *
 * entry indexes PackedCalls.entries (probe, tool, target, path). start_us is relative to the block's base.
 * A column is one head byte and its data; all numbers are LEB128 varints of at most ten bytes, "signed" ones
 * zigzag'ed first. Of the columns start_us is signed. Sums and differences are modulo 2^64.
 *
 *   head & 0x0f, what the values x[i] become:
 *     0 PLAIN  v[i] = x[i]
 *     1 BASE   a varint b, the least value; v[i] = x[i] - b
 *     2 STRIDE a signed x[0] and a signed stride s; v[i] = zigzag(x[i+1] - x[i] - s), one value fewer
 *   head >> 4, how the values v[i] are written:
 *     0 SAME   one varint: all are equal to it (also when there is none)
 *     1 VARINT each as a varint
 *     2 RUNS   varint number of runs, then for each its length and its value, as varints
 *
 * The encoder takes the shortest of these for each column, and orders the calls by entry, flags, then number,
 * so that most columns are one run; a decoder takes them in any order. A block is malformed, and refused
 * whole, when a column ends early, a run is empty or too long, a value is out of its range (wire.h), or
 * bytes are left over.
 */
#pragma once

#include "base/buf.h"
#include "wire/wire.h"

/* The columns in memory, `n` values each; about 200 KiB, meant to be kept and used again. */
struct block_calls {
    size_t n;
    int64_t base_wall_ns;
    uint64_t base_mono_ns;
    uint64_t number[WIRE_BLOCK_CALLS_MAX];
    int64_t start_us[WIRE_BLOCK_CALLS_MAX];
    uint64_t duration_us[WIRE_BLOCK_CALLS_MAX];
    uint32_t connection[WIRE_BLOCK_CALLS_MAX];
    uint32_t flags[WIRE_BLOCK_CALLS_MAX];
    uint32_t outcome[WIRE_BLOCK_CALLS_MAX]; /* numbers may be unknown ones */
    uint8_t entry[WIRE_BLOCK_CALLS_MAX];
};

/* Columns are never longer than this: their heads, and each value at its longest. */
#define BLOCK_BYTES_MAX (7 * 32 + WIRE_BLOCK_CALLS_MAX * (10 + 8 + 8 + 3 * 5 + 1))

/* Orders the calls (in place) and writes their columns into out, which is cleared first. -EINVAL: no call,
 * too many, an entry that is not below n_entries, a value out of its range; -ENOMEM; -EMSGSIZE by the limit
 * of out, never with BLOCK_BYTES_MAX. Uses about 170 KiB of stack. */
int block_encode(struct block_calls *calls, size_t n_entries, struct buf *out, struct err *e) MUST_CHECK;

/* Everything is checked: after 0 each value is in range. -EBADMSG with the reason. Texts of the entries are
 * not looked at (wire_record_unpack does). */
int block_decode(const Pilotgate__PackedCalls *p, struct block_calls *ret, struct err *e) MUST_CHECK;

/* To the older form, which the rest of the program reads; everything in it is malloc'ed as protobuf-c does.
 * wire_record_unpack calls this: a record with packed_calls comes out of it with `calls`. */
int block_unpack(const Pilotgate__PackedCalls *p, Pilotgate__CallBlock **ret, struct err *e) MUST_CHECK;

/* The lengths of the seven columns in `len` bytes of PackedCalls.columns, for who keeps columns apart. Only
 * their shape is looked at, not their values. -EBADMSG: they are not seven columns of so many calls. */
#define BLOCK_CUT 7
int block_cut(const uint8_t *columns, size_t len, size_t calls, size_t ret_len[BLOCK_CUT]) MUST_CHECK;
