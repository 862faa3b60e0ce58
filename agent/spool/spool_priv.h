/* spool_priv: what spool's own files share: the segment format, the state, and the seam where tests make
 * writes fail. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "spool/spool.h"

#define SEGMENT_VERSION 1
#define SEGMENT_HEADER_BYTES 48
#define SEGMENT_RECORD_BYTES 16 /* before each record */
#define SEGMENT_NAME_MAX \
    (2 * SPOOL_BOOT_BYTES + 1 + 16 + 5 + 1) /* "<boot>-<first seq>.seg" or .kept and NUL */
#define SEGMENTS_MAX 65536
#define KEPT_MAX 8192 /* kept segments: many short lifetimes make many files of few bytes */

/* The calls that make and change files; tests put failing ones in. open: mode 0600. */
struct spool_io {
    int (*open)(int dir, const char *name, int flags);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t offset);
    int (*fsync)(int fd);
    int (*ftruncate)(int fd, off_t size);
    int (*rename)(int dir, const char *from, int to_dir, const char *to);
    int (*unlink)(int dir, const char *name, int flags);
};
extern const struct spool_io spool_io_real;
void spool_set_io(struct spool *s, const struct spool_io *io);
/* spool_open with these calls from the beginning. */
int spool_open_io(const char *dir, int64_t quota, const uint8_t boot[SPOOL_BOOT_BYTES],
                  const struct spool_io *io, struct spool **ret, uint64_t *ret_torn,
                  struct err *e) MUST_CHECK;

struct segment {
    uint64_t first_seq, next_seq;
    int64_t size;       /* bytes that hold records and header; the file may be longer by a torn tail */
    int64_t written_ns; /* of kept ones: CLOCK_REALTIME of the last byte */
    bool kept;          /* everything in it is acknowledged */
    bool unsure;        /* an fsync of it failed: what a power cut leaves of it is not known */
};

struct stream {
    uint8_t boot[SPOOL_BOOT_BYTES];
    uint64_t generation; /* order of the streams of a folder */
    uint64_t next_seq;
    uint64_t acked;           /* everything up to here is acknowledged, as far as is known here */
    struct segment *segments; /* owned, ascending */
    size_t n, cap;
    /* Where the last reading ended, so that the next one need not walk its segment again. */
    uint64_t read_seq, read_segment; /* read_segment: its first_seq; 0: nowhere */
    int64_t read_offset;
};

struct spool {
    int dir, lock;
    int64_t quota, bytes;
    int64_t kept_bytes; /* of these */
    size_t kept;        /* segments */
    int64_t segment_limit;
    struct stream *streams; /* owned; the last is the living one */
    size_t n;
    int fd;                /* newest segment of the living stream; -1: the next append makes one */
    bool dirty, dir_dirty; /* written since the last sync */
    struct buf scratch;    /* one record, while reading */
    struct spool_io io;
    bool readonly;
    char store_id[SPOOL_STORE_MAX]; /* whose acknowledgements made segments kept */
    uint64_t store_epoch;
    bool store_unsaved;          /* the folder does not say so yet: it names no store */
    char stage[SPOOL_STAGE_MAX]; /* to be noted */
    bool stage_unsaved;
};

/* ---- segment.c: bytes of one file */

struct segment_header {
    uint8_t boot[SPOOL_BOOT_BYTES];
    uint64_t first_seq, generation;
};

struct segment_record {
    uint64_t seq;
    size_t len;    /* of the record itself, which lies in the scratch buffer */
    int64_t after; /* offset of what follows */
};

void segment_name(const uint8_t *boot, uint64_t first_seq, bool kept, char out[SEGMENT_NAME_MAX]);
bool segment_parse_name(const char *name, uint8_t *boot, uint64_t *ret_first_seq, bool *ret_kept);

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_BYTES]);
/* -EBADMSG: damaged; -EPROTO: a version that is not ours. */
int segment_header_read(int fd, struct segment_header *ret) MUST_CHECK;

void segment_record_encode(uint64_t seq, const void *data, size_t len, uint8_t out[SEGMENT_RECORD_BYTES]);
/* The record at offset of a file of `size` bytes. -ENODATA at its end, -EBADMSG when damaged. */
int segment_record_read(int fd, int64_t offset, int64_t size, struct buf *scratch,
                        struct segment_record *ret) MUST_CHECK;
/* The first whole record from `offset` on whose seq is within [min, max]. -ENODATA when there is none. */
int segment_resync(int fd, int64_t offset, int64_t size, uint64_t min, uint64_t max, struct buf *scratch,
                   int64_t *ret_offset) MUST_CHECK;

/* ---- spool.c, for the other files */
int stream_push(struct stream *st, const struct segment *seg) MUST_CHECK;
struct stream *stream_living(const struct spool *s);
struct stream *stream_find(const struct spool *s, const uint8_t *boot);

/* ---- kept.c */
/* Removes the oldest kept segment; false when there is none that can be removed. */
bool kept_drop_oldest(struct spool *s);

/* ---- store_name.c: the file that names the store */
#define STORE_NAME_BYTES 96
/* A file that is missing, damaged or not ours names no store. */
void store_name_load(struct spool *s);
int store_name_save(struct spool *s) MUST_CHECK;
int store_name_forget(struct spool *s) MUST_CHECK; /* durably */

/* ---- stage_name.c: the file that names the stage */
int stage_name_save(const struct spool *s) MUST_CHECK;
