/* spool: records on disk until the collector has them. Append-only segment files; FORMAT.md draws them.
 *
 * A folder holds the segments of several streams (boots): the living one and those of earlier
 * lifetimes of this agent that are not yet acknowledged. Only the living one is appended to.
 * Not thread-safe: one thread (the journal) owns it.
 *
 * Promise: a record whose spool_append returned 0 is read back after kill -9 of the process; after a
 * power cut, if spool_sync returned 0 since. Torn tails are cut on opening and counted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SPOOL_SEGMENT_BYTES (4u << 20) /* a segment is closed when it is longer */
#define SPOOL_BOOT_BYTES 16
#define SPOOL_RECORD_MAX (512u << 10) /* bytes of one record */
#define SPOOL_QUOTA_MIN (64 << 10)

struct spool;

struct spool_stream {
    uint8_t boot[SPOOL_BOOT_BYTES];
    uint64_t first_seq; /* oldest record held; next_seq when none */
    uint64_t next_seq;
};

/* Opens or makes the folder (mode 0700), finds earlier streams, begins a new one with `boot`.
 * quota: bytes over all segments, at least SPOOL_QUOTA_MIN. *ret_torn: bytes of torn tails that were cut.
 * -EBUSY: another process has the folder. */
int spool_open(const char *dir, int64_t quota, const uint8_t boot[SPOOL_BOOT_BYTES], struct spool **ret,
               uint64_t *ret_torn, struct err *e) MUST_CHECK;
void spool_close(struct spool **s);

/* Appends to the living stream; *ret_seq is its number. -ENOSPC: quota reached or disk full; -EMSGSIZE: empty
 * or over SPOOL_RECORD_MAX; other negative: the write failed. Whatever failed, the stream is as before. */
int spool_append(struct spool *s, const void *record, size_t len, uint64_t *ret_seq) MUST_CHECK;

/* The seq that the next append will get: goes into the record before it is packed. */
uint64_t spool_next_seq(const struct spool *s);

/* fsync of what was appended since. After a failure it goes on failing until the segment that may be
 * incomplete on disk was trimmed: a later fsync that returns 0 says nothing about it. */
int spool_sync(struct spool *s) MUST_CHECK;

/* The streams that hold records, and the living one, which comes last. Returns how many, at most max. */
size_t spool_streams(const struct spool *s, struct spool_stream *out, size_t max);

/* Reads up to max_records records and max_bytes bytes from `from` on, ascending, without gaps inside the
 * answer; calls fn for each; a first record longer than max_bytes comes alone. A non-zero return of fn
 * ends the reading before that record counts. Returns how many, 0 when there are none, -EBADMSG when
 * `from` itself is damaged or gone (spool_next_held says where to go on), other negative errno when the
 * folder cannot be read now. */
typedef int spool_fn(void *ctx, uint64_t seq, const uint8_t *data, size_t len);
int spool_read(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t from, size_t max_records,
               size_t max_bytes, spool_fn *fn, void *ctx) MUST_CHECK;

/* The first seq >= from that can be read; next_seq of the stream when there is none. */
int spool_next_held(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t from,
                    uint64_t *ret) MUST_CHECK;

/* Everything up to acked is no longer needed: whole segments are removed; a dead stream without
 * records vanishes. */
int spool_trim(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t acked) MUST_CHECK;

int64_t spool_bytes(const struct spool *s);
