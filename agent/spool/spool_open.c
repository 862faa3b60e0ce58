/* spool_open: from a folder to streams: takes the lock, finds the segments of earlier lifetimes, cuts torn
 * tails, begins the living stream. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool_priv.h"

#define SEGMENT_FILE_MAX (SPOOL_SEGMENT_BYTES + SPOOL_RECORD_MAX + 4096) /* what we can have written */
#define READ_TRIES 10              /* while an agent renames what is being listed */
#define SEGMENT_GAP_MAX (1u << 20) /* how far a seq may jump over damage inside a segment */

/* A segment file as the folder lists it. */
struct found {
    uint8_t boot[SPOOL_BOOT_BYTES];
    uint64_t first_seq;
    bool kept;
};

struct finds {
    struct found *items;
    size_t n, cap;
};

static int open_in(int dir, const char *name, int flags) {
    return openat(dir, name, flags, 0600);
}

const struct spool_io spool_io_real = {.open = open_in,
                                       .pwritev = pwritev,
                                       .fsync = fsync,
                                       .ftruncate = ftruncate,
                                       .rename = renameat,
                                       .unlink = unlinkat};

static int open_folder(struct spool *s, const char *dir, struct err *e) {
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "spool folder %s: cannot make it (%s): make its parent, or set spool.dir",
                       dir, strerror(errno));
    s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0)
        return err_set(e, -errno, "spool folder %s: %s: set spool.dir to a folder that this user owns", dir,
                       strerror(errno));
    s->lock = s->io.open(s->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW);
    if (s->lock < 0)
        return err_set(e, -errno, "spool folder %s: cannot write to it (%s): make this user its owner", dir,
                       strerror(errno));
    if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(e, -EBUSY,
                       "spool folder %s is used by another agent: give each agent a spool.dir of its own",
                       dir);
    return err_set(e, -errno, "spool folder %s: cannot lock it (%s): use a local file system", dir,
                   strerror(errno));
}

static int finds_add(struct finds *f, const struct found *item) {
    if (f->n == SEGMENTS_MAX)
        return -E2BIG;
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 16;
        struct found *p = realloc(f->items, cap * sizeof *p);
        if (!p)
            return -ENOMEM;
        f->items = p;
        f->cap = cap;
    }
    f->items[f->n++] = *item;
    return 0;
}

static int by_boot_and_seq(const void *va, const void *vb) {
    const struct found *a = va;
    const struct found *b = vb;
    int d = memcmp(a->boot, b->boot, SPOOL_BOOT_BYTES);
    d = d ? d : (a->first_seq > b->first_seq) - (a->first_seq < b->first_seq);
    return d ? d : a->kept - b->kept;
}

/* Of two files that say they are the same segment, which no life of ours leaves, the one that waits counts.
 */
static void drop_doubles(struct finds *f) {
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (n == 0 || f->items[n - 1].first_seq != f->items[i].first_seq ||
            memcmp(f->items[n - 1].boot, f->items[i].boot, SPOOL_BOOT_BYTES) != 0)
            f->items[n++] = f->items[i];
    f->n = n;
}

/* Lists the segments, sorted; other files are not ours and stay untouched. */
static int list_segments(const struct spool *s, struct finds *f) {
    int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int r = -errno;
        if (fd >= 0)
            (void)close(fd);
        return r;
    }
    int r = 0;
    struct found item;
    for (const struct dirent *de; r == 0 && (de = readdir(d));)
        if (segment_parse_name(de->d_name, item.boot, &item.first_seq, &item.kept))
            r = finds_add(f, &item);
    (void)closedir(d);
    if (f->n > 1)
        qsort(f->items, f->n, sizeof *f->items, by_boot_and_seq);
    drop_doubles(f);
    return r;
}

/* Walks the newest segment of a dead stream: sets its next_seq and size, cuts what follows the last whole
 * record. Damage before that stays as a gap. */
static int scan_tail(struct spool *s, int fd, struct segment *seg, uint64_t *torn) {
    int64_t file = seg->size;
    int64_t at = SEGMENT_HEADER_BYTES;
    seg->next_seq = seg->first_seq;
    for (;;) {
        struct segment_record rec;
        int r = segment_record_read(fd, at, file, &s->scratch, &rec);
        if (r == 0 && rec.seq >= seg->next_seq && rec.seq - seg->next_seq <= SEGMENT_GAP_MAX) {
            seg->next_seq = rec.seq + 1;
            at = rec.after;
            continue;
        }
        if (r < 0 && r != -EBADMSG && r != -ENODATA)
            return r;
        if (r == -ENODATA || segment_resync(fd, at + 1, file, seg->next_seq, seg->next_seq + SEGMENT_GAP_MAX,
                                            &s->scratch, &at) < 0)
            break;
    }
    if (at < file) {
        *torn += (uint64_t)(file - at);
        if (s->io.ftruncate(fd, (off_t)at) < 0)
            return -errno;
    }
    seg->size = at;
    return 0;
}

/* One found segment of a stream; `last`: the newest one, whose tail may be torn. */
static int load_segment(struct spool *s, struct stream *st, const struct found *found, bool last,
                        uint64_t *torn) {
    char name[SEGMENT_NAME_MAX];
    struct segment_header h = {0};
    struct stat sb;
    segment_name(st->boot, found->first_seq, found->kept, name);
    int fd = s->io.open(s->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &sb) < 0 ? -errno : 0;
    struct segment seg = {.first_seq = found->first_seq, .next_seq = found->first_seq, .kept = found->kept};
    if (r == 0) {
        seg.written_ns = sb.st_mtim.tv_sec * 1000000000LL + sb.st_mtim.tv_nsec;
        seg.size = sb.st_size < (off_t)SEGMENT_FILE_MAX ? sb.st_size : (off_t)SEGMENT_FILE_MAX;
        r = segment_header_read(fd, &h);
        if (r == -EBADMSG) /* the name says enough to read the records behind a damaged header */
            r = 0;
    }
    if (r == 0 && h.generation > st->generation)
        st->generation = h.generation;
    if (r == 0 && last && seg.size >= SEGMENT_HEADER_BYTES)
        r = scan_tail(s, fd, &seg, torn);
    else if (last && seg.size < SEGMENT_HEADER_BYTES)
        *torn += (uint64_t)seg.size; /* died while beginning it */
    (void)close(fd);
    return r < 0 ? r : stream_push(st, &seg);
}

/* A segment ends where its successor begins. What is before the oldest was acknowledged, as only that goes.
 */
static void join_segments(struct spool *s, struct stream *st) {
    for (size_t i = 0; i + 1 < st->n; i++)
        st->segments[i].next_seq = st->segments[i + 1].first_seq;
    st->next_seq = st->segments[st->n - 1].next_seq;
    st->acked = st->segments[0].first_seq - 1;
    for (size_t i = 0; i < st->n && st->segments[i].kept; i++)
        st->acked = st->segments[i].next_seq - 1;
    for (size_t i = 0; i < st->n; i++) {
        s->bytes += st->segments[i].size;
        s->kept_bytes += st->segments[i].kept ? st->segments[i].size : 0;
        s->kept += st->segments[i].kept;
    }
}

static int load_streams(struct spool *s, const struct finds *f, uint64_t *torn) {
    for (size_t i = 0; i < f->n; i++) {
        bool first = i == 0 || memcmp(f->items[i].boot, f->items[i - 1].boot, SPOOL_BOOT_BYTES) != 0;
        bool last = i + 1 == f->n || memcmp(f->items[i].boot, f->items[i + 1].boot, SPOOL_BOOT_BYTES) != 0;
        if (first)
            memcpy(s->streams[s->n++].boot, f->items[i].boot, SPOOL_BOOT_BYTES);
        struct stream *st = &s->streams[s->n - 1];
        int r = load_segment(s, st, &f->items[i], last, torn);
        if (r < 0)
            return r;
        if (last)
            join_segments(s, st);
    }
    return 0;
}

static int by_generation(const void *va, const void *vb) {
    const struct stream *a = va;
    const struct stream *b = vb;
    int d = (a->generation > b->generation) - (a->generation < b->generation);
    return d ? d : memcmp(a->boot, b->boot, SPOOL_BOOT_BYTES);
}

static void order_streams(struct spool *s) {
    if (s->n > 1)
        qsort(s->streams, s->n, sizeof *s->streams, by_generation);
}

/* The living stream goes to the end; dead streams that hold nothing vanish. */
static int begin_living(struct spool *s, const uint8_t *boot) {
    order_streams(s);
    for (size_t i = 0; i < s->n; i++)
        if (memcmp(s->streams[i].boot, boot, SPOOL_BOOT_BYTES) == 0)
            return -EEXIST;
    uint64_t generation = s->n ? s->streams[s->n - 1].generation + 1 : 1;
    struct stream *living = &s->streams[s->n++];
    memcpy(living->boot, boot, SPOOL_BOOT_BYTES);
    living->generation = generation;
    living->next_seq = 1;
    for (size_t i = s->n - 1; i-- > 0;) {
        const struct stream *st = &s->streams[i];
        if (i + 1 < s->n && st->segments[0].first_seq == st->next_seq) {
            int r = spool_trim(s, st->boot, st->next_seq - 1);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* boot: of the living stream; NULL: there is none. */
static int find_streams(struct spool *s, const uint8_t *boot, uint64_t *torn) {
    static const uint8_t nobody[SPOOL_BOOT_BYTES];
    struct finds f = {0};
    int r = list_segments(s, &f);
    if (r >= 0) {
        s->streams = calloc(f.n + 1, sizeof *s->streams);
        r = s->streams ? load_streams(s, &f, torn) : -ENOMEM;
    }
    free(f.items);
    if (r < 0)
        return r;
    if (boot)
        return begin_living(s, boot);
    order_streams(s);
    memcpy(s->streams[s->n++].boot, nobody, sizeof nobody);
    s->streams[s->n - 1].next_seq = 1;
    return 0;
}

static int64_t segment_limit(int64_t quota) {
    int64_t eighth = quota / 8; /* whole segments are trimmed: several must fit into a small quota */
    return eighth < (int64_t)SPOOL_SEGMENT_BYTES ? eighth : (int64_t)SPOOL_SEGMENT_BYTES;
}

static void say_unreadable(const char *dir, int r, struct err *e) {
    if (r == -EPROTO)
        (void)err_set(e, r,
                      "spool folder %s holds segments of another version: run that version until they "
                      "are delivered, or move them away",
                      dir);
    else if (r < 0)
        (void)err_set(e, r, "spool folder %s: cannot read its segments (%s): check the disk", dir,
                      strerror(-r));
}

/* A spool that holds nothing yet. */
static struct spool *spool_new(const struct spool_io *io, int64_t quota) {
    struct spool *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->dir = s->lock = s->fd = -1;
    s->quota = quota;
    s->segment_limit = segment_limit(quota);
    s->scratch = BUF_INIT(SPOOL_RECORD_MAX);
    s->io = *io;
    return s;
}

int spool_open(const char *dir, int64_t quota, const uint8_t boot[SPOOL_BOOT_BYTES], struct spool **ret,
               uint64_t *ret_torn, struct err *e) {
    return spool_open_io(dir, quota, boot, &spool_io_real, ret, ret_torn, e);
}

int spool_open_io(const char *dir, int64_t quota, const uint8_t boot[SPOOL_BOOT_BYTES],
                  const struct spool_io *io, struct spool **ret, uint64_t *ret_torn, struct err *e) {
    if (quota < SPOOL_QUOTA_MIN)
        return err_set(e, -EINVAL, "spool quota %lld bytes is too small: set spool.quota to at least 64KiB",
                       (long long)quota);
    struct spool *s = spool_new(io, quota);
    if (!s)
        return err_oom(e);
    uint64_t torn = 0;
    int r = open_folder(s, dir, e);
    if (r == 0) {
        store_name_load(s);
        r = find_streams(s, boot, &torn);
        say_unreadable(dir, r, e);
    }
    if (r < 0) {
        spool_close(&s);
        return r;
    }
    *ret = s;
    *ret_torn = torn;
    return 0;
}

/* ---- reading only: the same calls, but for those that change something */

static int open_to_read(int dir, const char *name, int flags) {
    return openat(dir, name, (flags & ~O_ACCMODE) | O_RDONLY);
}

static ssize_t write_nothing(int fd, const struct iovec *iov, int n, off_t offset) {
    (void)fd, (void)iov, (void)n, (void)offset;
    errno = EROFS;
    return -1;
}

static int cut_nothing(int fd, off_t size) {
    (void)fd, (void)size;
    return 0;
}

static int rename_nothing(int dir, const char *from, int to_dir, const char *to) {
    (void)dir, (void)from, (void)to_dir, (void)to;
    errno = EROFS;
    return -1;
}

static int unlink_nothing(int dir, const char *name, int flags) {
    (void)dir, (void)name, (void)flags;
    errno = EROFS;
    return -1;
}

static const struct spool_io reading_io = {.open = open_to_read,
                                           .pwritev = write_nothing,
                                           .fsync = fsync,
                                           .ftruncate = cut_nothing,
                                           .rename = rename_nothing,
                                           .unlink = unlink_nothing};

static int open_once(const char *dir, struct spool **ret, struct err *e) {
    uint64_t torn = 0;
    struct spool *s = spool_new(&reading_io, SPOOL_QUOTA_MIN);
    if (!s)
        return err_oom(e);
    s->readonly = true;
    s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = s->dir < 0 ? -errno : 0;
    if (r < 0) {
        (void)err_set(e, r, "spool folder %s: %s: name the folder with --dir", dir, strerror(-r));
    } else {
        store_name_load(s);
        r = find_streams(s, NULL, &torn);
        say_unreadable(dir, r, e);
        if (r == -ENOENT)
            r = -ESTALE;
    }
    if (r < 0)
        spool_close(&s);
    else
        *ret = s;
    return r;
}

int spool_open_readonly(const char *dir, struct spool **ret, struct err *e) {
    int r = -ESTALE;
    for (int tries = 0; tries < READ_TRIES && r == -ESTALE; tries++)
        r = open_once(dir, ret, e);
    return r;
}
