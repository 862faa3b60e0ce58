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
    uint64_t acked_seq; /* everything up to here was acknowledged, as far as this folder tells */
};

/* Opens or makes the folder (mode 0700), finds earlier streams, begins a new one with `boot`.
 * quota: bytes over all segments, at least SPOOL_QUOTA_MIN. *ret_torn: bytes of torn tails that were cut.
 * -EBUSY: another process has the folder. */
int spool_open(const char *dir, int64_t quota, const uint8_t boot[SPOOL_BOOT_BYTES], struct spool **ret,
               uint64_t *ret_torn, struct err *e) MUST_CHECK;
void spool_close(struct spool **s);

/* Opens the folder to read it, and changes nothing, also beside the agent that uses it: no lock is taken.
 * What is appended later is not seen. The streams are those of spool_held; reading gives -ESTALE when the
 * agent took away what was there on opening: begin again then. -ENOENT: there is no such folder. */
int spool_open_readonly(const char *dir, struct spool **ret, struct err *e) MUST_CHECK;

/* The streams that hold records, kept ones as well, the oldest first, from the `from`-th on. Returns how
 * many, at most max. */
size_t spool_held(const struct spool *s, size_t from, struct spool_stream *out, size_t max);

/* Bytes of kept segments; spool_bytes - this is what waits for the collector. */
int64_t spool_kept_bytes(const struct spool *s);

/* Appends to the living stream; *ret_seq is its number. -ENOSPC: quota reached or disk full; -EMSGSIZE: empty
 * or over SPOOL_RECORD_MAX; other negative: the write failed. Whatever failed, the stream is as before. */
int spool_append(struct spool *s, const void *record, size_t len, uint64_t *ret_seq) MUST_CHECK;

/* The seq that the next append will get: goes into the record before it is packed. */
uint64_t spool_next_seq(const struct spool *s);

/* fsync of what was appended since. After a failure it goes on failing until the segment that may be
 * incomplete on disk was trimmed: a later fsync that returns 0 says nothing about it. */
int spool_sync(struct spool *s) MUST_CHECK;

/* The streams that hold unacknowledged records, the youngest settled one, and the living one, which comes
 * last; first_seq is the oldest that can still be read, kept ones too. The settled one is there to be asked
 * for: a store that lost some of it (acked_seq says what it had) may have lost of older ones as well, and one
 * that has it has those, too, since it got them before. Returns how many, at most max. */
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

/* Everything up to acked is in the store: segments that hold nothing else become *kept* ones. They can still
 * be read, in case that the store comes back from an older backup, and go when they are older than the grace
 * (spool_expire), or earlier, the oldest first, when an append needs their room: they never make an append
 * fail. A dead stream of which all is kept is *settled*: spool_streams leaves out all but one. */
int spool_trim(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t acked) MUST_CHECK;

/* Removes kept segments whose last byte was written before older_than (CLOCK_REALTIME, ns), whatever the
 * clock does: a segment from the future stays. */
int spool_expire(struct spool *s, int64_t older_than_wall_ns) MUST_CHECK;

/* The store that acknowledged what is kept; "" and 0 when none is known. Set once per change, durable before
 * it returns (written aside, fsync, rename). When the given store differs from the known one, all kept
 * segments become unacknowledged again *before* the new name is written: a crash in between repeats it, and
 * loses nothing. Returns 1 when it differed, 0 when not. The old name is removed before anything else: where
 * the new one cannot be written (a full disk), the folder names no store until a later spool_sync writes it,
 * and a crash until then makes the kept segments unacknowledged once more. Negative: something may have been
 * done, the spool knows no store, and the next call does the rest; -EMSGSIZE: the id is too long, nothing was
 * done. */
#define SPOOL_STORE_MAX 64 /* with NUL */
int spool_set_store(struct spool *s, const char *store_id, uint64_t epoch) MUST_CHECK;
void spool_store(const struct spool *s, char ret_id[SPOOL_STORE_MAX], uint64_t *ret_epoch);
/* The same for a store that keeps its name and has less than it acknowledged (a machine's snapshot). */
int spool_unsettle(struct spool *s) MUST_CHECK;

/* The folder is a stage's: noted in it, and true of its copies too. Called once, before the first append.
 * -EXDEV: it holds records of another stage, which *ret_other names; a folder without records, and one that
 * an agent left that noted no stage, is taken over. Where the note cannot be written (a full disk), a later
 * spool_sync does it. -EMSGSIZE: too long. Of a folder that is only read nothing is noted. */
#define SPOOL_STAGE_MAX 512 /* with NUL */
int spool_claim(struct spool *s, const char *stage, char ret_other[SPOOL_STAGE_MAX]) MUST_CHECK;

int64_t spool_bytes(const struct spool *s);

/* The bytes that waiting records may take up altogether: the quota, or less when the disk has less. */
int64_t spool_room(const struct spool *s);
