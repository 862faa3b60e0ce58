/* spool: appending, reading and syncing; see spool.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/crash.h"
#include "spool_priv.h"

void spool_set_io(struct spool *s, const struct spool_io *io) {
    s->io = *io;
}

void spool_close(struct spool **sp) {
    struct spool *s = *sp;
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->streams[i].segments);
    free(s->streams);
    buf_free(&s->scratch);
    const int fds[] = {s->fd, s->dir, s->lock};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    free(s);
    *sp = NULL;
}

struct stream *stream_living(const struct spool *s) {
    return &s->streams[s->n - 1];
}

/* From the end: the living one is asked for most. */
struct stream *stream_find(const struct spool *s, const uint8_t *boot) {
    for (size_t i = s->n; i-- > 0;)
        if (memcmp(s->streams[i].boot, boot, SPOOL_BOOT_BYTES) == 0)
            return &s->streams[i];
    return NULL;
}

int stream_push(struct stream *st, const struct segment *seg) {
    if (st->n == st->cap) {
        size_t cap = st->cap ? 2 * st->cap : 4;
        struct segment *p = realloc(st->segments, cap * sizeof *p);
        if (!p)
            return -ENOMEM;
        st->segments = p;
        st->cap = cap;
    }
    st->segments[st->n++] = *seg;
    return 0;
}

static int write_all(const struct spool *s, int fd, const struct iovec *iov, int n, int64_t offset) {
    ssize_t want = 0;
    for (int i = 0; i < n; i++)
        want += (ssize_t)iov[i].iov_len;
    ssize_t done;
    do
        done = s->io.pwritev(fd, iov, n, (off_t)offset);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return errno == EDQUOT ? -ENOSPC : -errno;
    return done == want ? 0 : -ENOSPC; /* a regular file takes less only when the disk is full */
}

/* Ends the newest segment: nothing is added to it any more. */
static void close_newest(struct spool *s) {
    struct segment *seg = &stream_living(s)->segments[stream_living(s)->n - 1];
    if (s->dirty && s->io.fsync(s->fd) < 0)
        seg->unsure = true;
    s->dirty = false;
    (void)close(s->fd);
    s->fd = -1;
}

static int begin_segment(struct spool *s) {
    struct stream *st = stream_living(s);
    char name[SEGMENT_NAME_MAX];
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct segment_header h = {.first_seq = st->next_seq, .generation = st->generation};
    memcpy(h.boot, st->boot, sizeof h.boot);
    segment_header_encode(&h, bytes);
    segment_name(st->boot, st->next_seq, false, name);
    int fd = s->io.open(s->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == EDQUOT ? -ENOSPC : -errno;
    CRASH_POINT("spool-segment-made");
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
    int r = write_all(s, fd, &iov, 1, 0);
    struct segment seg = {.first_seq = st->next_seq, .next_seq = st->next_seq, .size = SEGMENT_HEADER_BYTES};
    if (r == 0)
        r = stream_push(st, &seg);
    if (r < 0) {
        (void)s->io.unlink(s->dir, name, 0);
        (void)close(fd);
        return r;
    }
    s->fd = fd;
    s->bytes += SEGMENT_HEADER_BYTES;
    s->dirty = s->dir_dirty = true;
    CRASH_POINT("spool-segment-begun");
    return 0;
}

/* A failed write left bytes behind that could not be cut: the segment takes no more, and vanishes when
 * it holds nothing. Reading stops at its known size, reopening at its successor's first seq. */
static void abandon_newest(struct spool *s) {
    struct stream *st = stream_living(s);
    close_newest(s);
    const struct segment *seg = &st->segments[st->n - 1];
    if (seg->first_seq == seg->next_seq) {
        char name[SEGMENT_NAME_MAX];
        segment_name(st->boot, seg->first_seq, false, name);
        (void)s->io.unlink(s->dir, name, 0);
        s->bytes -= seg->size;
        st->n--;
    }
}

/* One try. -ENOSPC: quota or disk; there may be kept segments whose room it can have. */
static int append_once(struct spool *s, const void *record, size_t len, uint64_t *ret_seq) {
    struct stream *st = stream_living(s);
    bool roll = s->fd < 0 || st->segments[st->n - 1].size >= s->segment_limit;
    int64_t need = SEGMENT_RECORD_BYTES + (int64_t)len;
    if (s->bytes + need + (roll ? SEGMENT_HEADER_BYTES : 0) > s->quota)
        return -ENOSPC;
    if (roll && s->fd >= 0)
        close_newest(s);
    int r = s->fd < 0 ? begin_segment(s) : 0;
    if (r < 0)
        return r;
    uint8_t head[SEGMENT_RECORD_BYTES];
    segment_record_encode(st->next_seq, record, len, head);
    struct iovec iov[] = {{.iov_base = head, .iov_len = sizeof head},
                          {.iov_base = (void *)(uintptr_t)record, .iov_len = len}};
    struct segment *seg = &st->segments[st->n - 1];
    r = write_all(s, s->fd, iov, 2, seg->size);
    if (r < 0) {
        if (s->io.ftruncate(s->fd, (off_t)seg->size) < 0)
            abandon_newest(s);
        return r;
    }
    CRASH_POINT("spool-append");
    seg->size += need;
    s->bytes += need;
    s->dirty = true;
    *ret_seq = st->next_seq;
    seg->next_seq = ++st->next_seq;
    return 0;
}

int spool_append(struct spool *s, const void *record, size_t len, uint64_t *ret_seq) {
    if (len == 0 || len > SPOOL_RECORD_MAX)
        return -EMSGSIZE;
    int64_t waiting = s->bytes - s->kept_bytes;
    if (waiting + SEGMENT_RECORD_BYTES + (int64_t)len > s->quota)
        return -ENOSPC; /* not for the kept ones, which may stay */
    int r;
    do
        r = append_once(s, record, len, ret_seq);
    while (r == -ENOSPC && kept_drop_oldest(s));
    return r;
}

uint64_t spool_next_seq(const struct spool *s) {
    return stream_living(s)->next_seq;
}

int spool_sync(struct spool *s) {
    const struct stream *st = stream_living(s);
    int r = 0;
    if (s->store_unsaved && store_name_save(s) == 0)
        s->store_unsaved = false;
    if (s->stage_unsaved && stage_name_save(s) == 0)
        s->stage_unsaved = false;
    if (s->dirty && s->fd >= 0 && s->io.fsync(s->fd) < 0) {
        r = -errno;
        st->segments[st->n - 1].unsure = true;
    }
    s->dirty = false;
    if (s->dir_dirty && s->io.fsync(s->dir) < 0)
        return -errno;
    s->dir_dirty = false;
    for (size_t i = 0; i < st->n && r == 0; i++)
        if (st->segments[i].unsure && !st->segments[i].kept)
            r = -EIO;
    return r;
}

static bool settled(const struct spool *s, const struct stream *st) {
    for (size_t i = st->n; i-- > 0;)
        if (!st->segments[i].kept)
            return false;
    return st != stream_living(s);
}

static void describe(const struct stream *st, struct spool_stream *out) {
    out->first_seq = st->n ? st->segments[0].first_seq : st->next_seq;
    out->next_seq = st->next_seq;
    out->acked_seq = st->acked;
    memcpy(out->boot, st->boot, SPOOL_BOOT_BYTES);
}

size_t spool_held(const struct spool *s, size_t from, struct spool_stream *out, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < s->n && n < max; i++)
        if (s->streams[i].n > 0 && from-- == 0) {
            describe(&s->streams[i], &out[n++]);
            from = 0;
        }
    return n;
}

/* The youngest settled one; NULL when there is none. */
static const struct stream *witness(const struct spool *s) {
    for (size_t i = s->n; i-- > 0;)
        if (settled(s, &s->streams[i]))
            return &s->streams[i];
    return NULL;
}

size_t spool_streams(const struct spool *s, struct spool_stream *out, size_t max) {
    const struct stream *youngest = witness(s);
    size_t n = 0;
    for (size_t i = 0; i < s->n && n < max; i++) {
        const struct stream *st = &s->streams[i];
        if (settled(s, st) && st != youngest)
            continue;
        if (n + 1 == max)
            st = stream_living(s);
        describe(st, &out[n++]);
    }
    return n;
}

/* A place in a stream: segment i, opened, and an offset in it. */
struct place {
    size_t i;
    int fd;
    int64_t offset;
    bool borrowed; /* fd is the spool's own */
};

static void place_leave(struct place *p) {
    if (p->fd >= 0 && !p->borrowed)
        (void)close(p->fd);
    p->fd = -1;
}

static int place_enter(const struct spool *s, const struct stream *st, size_t i, struct place *p) {
    place_leave(p);
    p->i = i;
    p->offset = SEGMENT_HEADER_BYTES;
    p->borrowed = st == stream_living(s) && i + 1 == st->n && s->fd >= 0;
    if (p->borrowed) {
        p->fd = s->fd;
        return 0;
    }
    char name[SEGMENT_NAME_MAX];
    segment_name(st->boot, st->segments[i].first_seq, st->segments[i].kept, name);
    p->fd = s->io.open(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (p->fd >= 0)
        return 0;
    if (errno == ENOENT && s->readonly)
        return -ESTALE;
    return errno == ENOENT || errno == EIO ? -EBADMSG : -errno;
}

/* The next whole record of the place's segment with seq >= want, over damage if need be. -ENODATA when
 * the segment has none. The place stays at the record; *rec tells what follows. */
static int next_in_segment(struct spool *s, const struct stream *st, struct place *p, uint64_t want,
                           struct segment_record *rec) {
    const struct segment *seg = &st->segments[p->i];
    for (;;) {
        int r = segment_record_read(p->fd, p->offset, seg->size, &s->scratch, rec);
        if (r == -EBADMSG)
            r = segment_resync(p->fd, p->offset + 1, seg->size, want, seg->next_seq - 1, &s->scratch,
                               &p->offset);
        else if (r == 0 && rec->seq >= seg->next_seq)
            return -ENODATA;
        else if (r == 0 && rec->seq >= want)
            return 0;
        else if (r == 0)
            p->offset = rec->after;
        if (r < 0)
            return r;
    }
}

/* The first whole record from `from` on, over segments. -ENODATA when the stream has none. */
static int seek_record(struct spool *s, const struct stream *st, uint64_t from, struct place *p,
                       struct segment_record *rec) {
    size_t i = 0;
    while (i + 1 < st->n && st->segments[i + 1].first_seq <= from)
        i++;
    int r = -ENODATA;
    for (; i < st->n && r == -ENODATA; i++) {
        r = place_enter(s, st, i, p);
        if (r == 0 && st->read_segment == st->segments[i].first_seq && st->read_seq <= from)
            p->offset = st->read_offset;
        if (r == 0)
            r = next_in_segment(s, st, p, from, rec);
        if (r == -EBADMSG) /* the whole segment is gone */
            r = -ENODATA;
    }
    return r;
}

int spool_next_held(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t from, uint64_t *ret) {
    const struct stream *st = stream_find(s, boot);
    struct place p = {.fd = -1};
    struct segment_record rec;
    if (!st)
        return -ENOENT;
    int r = seek_record(s, st, from, &p, &rec);
    place_leave(&p);
    if (r < 0 && r != -ENODATA)
        return r;
    *ret = r == 0 ? rec.seq : st->next_seq;
    return 0;
}

/* Remembers the end of a reading: the record `next` would begin there. */
static void remember(struct stream *st, const struct place *p, uint64_t next) {
    st->read_segment = st->segments[p->i].first_seq;
    st->read_seq = next;
    st->read_offset = p->offset;
}

/* The record that follows the place, which must be number `want`: in this segment or at the start of
 * the next. */
static int follow(struct spool *s, const struct stream *st, struct place *p, uint64_t want,
                  struct segment_record *rec) {
    int r = next_in_segment(s, st, p, want, rec);
    if (r == -ENODATA && p->i + 1 < st->n) {
        r = place_enter(s, st, p->i + 1, p);
        if (r == 0)
            r = next_in_segment(s, st, p, want, rec);
    }
    return r == 0 && rec->seq != want ? -EBADMSG : r;
}

int spool_read(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t from, size_t max_records,
               size_t max_bytes, spool_fn *fn, void *ctx) {
    struct stream *st = stream_find(s, boot);
    struct place p = {.fd = -1};
    struct segment_record rec;
    if (!st || from >= st->next_seq)
        return st ? 0 : -ENOENT;
    int r = seek_record(s, st, from, &p, &rec);
    if (r == -ENODATA || (r == 0 && rec.seq != from))
        r = -EBADMSG;
    size_t n = 0;
    size_t bytes = 0;
    while (r == 0 && n < max_records && n < INT32_MAX && (n == 0 || bytes + rec.len <= max_bytes)) {
        if (fn(ctx, rec.seq, (const uint8_t *)s->scratch.data, rec.len) != 0)
            break;
        n++;
        bytes += rec.len;
        p.offset = rec.after;
        remember(st, &p, rec.seq + 1);
        if (rec.seq + 1 == st->next_seq)
            break;
        r = follow(s, st, &p, rec.seq + 1, &rec);
    }
    place_leave(&p);
    return n > 0 || r == 0 ? (int)n : r;
}

int64_t spool_bytes(const struct spool *s) {
    return s->bytes;
}

int64_t spool_room(const struct spool *s) {
    struct statvfs fs;
    if (fstatvfs(s->dir, &fs) < 0)
        return s->quota;
    int64_t disk = s->bytes + (int64_t)(fs.f_bavail * fs.f_frsize);
    return disk < s->quota ? disk : s->quota;
}

int64_t spool_kept_bytes(const struct spool *s) {
    return s->kept_bytes;
}
