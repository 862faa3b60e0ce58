/* kept: what became of a segment after its records were acknowledged. It waits as NAME.seg, is kept as
 * NAME.kept, and goes after the grace or when an append needs its room; a store that turns out to be another
 * one, or an older copy, makes the kept ones wait again. Every step is one rename or unlink, and whatever of
 * them a crash leaves undone only makes records be sent twice, which the store drops. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "base/when.h"
#include "spool_priv.h"

/* Takes segment i out of memory; its file is gone. */
static void forget_segment(struct spool *s, struct stream *st, size_t i) {
    struct segment *seg = &st->segments[i];
    s->bytes -= seg->size;
    if (seg->kept) {
        s->kept_bytes -= seg->size;
        s->kept--;
    }
    st->n--;
    memmove(seg, seg + 1, (st->n - i) * sizeof *seg);
}

static int remove_segment(struct spool *s, struct stream *st, size_t i) {
    char name[SEGMENT_NAME_MAX];
    segment_name(st->boot, st->segments[i].first_seq, st->segments[i].kept, name);
    if (s->io.unlink(s->dir, name, 0) < 0 && errno != ENOENT)
        return -errno;
    CRASH_POINT("spool-removed");
    forget_segment(s, st, i);
    return 0;
}

/* A dead stream without segments is no stream any more. */
static void drop_if_empty(struct spool *s, struct stream *st) {
    if (st == stream_living(s) || st->n > 0)
        return;
    size_t i = (size_t)(st - s->streams);
    free(st->segments);
    s->n--;
    memmove(st, st + 1, (s->n - i) * sizeof *st);
}

/* Streams are ordered by their age. */
bool kept_drop_oldest(struct spool *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct stream *st = &s->streams[i];
        if (st->n > 0 && st->segments[0].kept && remove_segment(s, st, 0) == 0) {
            drop_if_empty(s, st);
            return true;
        }
    }
    return false;
}

/* Gives segment i the name of a kept or of a waiting one. -ENOENT: it is gone, and forgotten. */
static int rename_segment(struct spool *s, struct stream *st, size_t i, bool kept) {
    struct segment *seg = &st->segments[i];
    char from[SEGMENT_NAME_MAX];
    char to[SEGMENT_NAME_MAX];
    segment_name(st->boot, seg->first_seq, seg->kept, from);
    segment_name(st->boot, seg->first_seq, kept, to);
    if (s->io.rename(s->dir, from, s->dir, to) < 0) {
        int r = -errno;
        if (r == -ENOENT)
            forget_segment(s, st, i);
        return r;
    }
    seg->kept = kept;
    s->kept_bytes += kept ? seg->size : -seg->size;
    s->kept += kept ? 1 : (size_t)-1;
    s->dir_dirty = true;
    return 0;
}

/* Segment i is acknowledged to its end: it is kept, or removed where it holds nothing. */
static int keep_segment(struct spool *s, struct stream *st, size_t i) {
    struct segment *seg = &st->segments[i];
    char name[SEGMENT_NAME_MAX];
    struct stat sb;
    if (seg->first_seq == seg->next_seq)
        return remove_segment(s, st, i);
    segment_name(st->boot, seg->first_seq, false, name);
    seg->written_ns = fstatat(s->dir, name, &sb, AT_SYMLINK_NOFOLLOW) == 0
                          ? sb.st_mtim.tv_sec * WHEN_S + sb.st_mtim.tv_nsec
                          : when_wall_ns();
    CRASH_POINT("spool-keep");
    return rename_segment(s, st, i, true);
}

int spool_trim(struct spool *s, const uint8_t boot[SPOOL_BOOT_BYTES], uint64_t acked) {
    struct stream *st = stream_find(s, boot);
    if (!st)
        return 0;
    if (acked >= st->next_seq)
        acked = st->next_seq - 1;
    if (acked > st->acked)
        st->acked = acked;
    int r = 0;
    for (size_t i = 0; i < st->n && st->segments[i].next_seq <= acked + 1 && r == 0;) {
        bool growing = st == stream_living(s) && i + 1 == st->n && s->fd >= 0;
        if (growing)
            break;
        size_t n = st->n;
        if (!st->segments[i].kept)
            r = keep_segment(s, st, i);
        if (r == -ENOENT)
            r = 0;
        i += st->n == n;
    }
    drop_if_empty(s, st);
    while (s->kept > KEPT_MAX && kept_drop_oldest(s))
        ;
    return r;
}

int spool_expire(struct spool *s, int64_t older_than_wall_ns) {
    int r = 0;
    for (size_t i = s->n; i-- > 0 && r == 0;) { /* backwards: a stream may vanish */
        struct stream *st = &s->streams[i];
        while (r == 0 && st->n > 0 && st->segments[0].kept && st->segments[0].written_ns < older_than_wall_ns)
            r = remove_segment(s, st, 0);
        drop_if_empty(s, st);
    }
    return r;
}

/* Newest first, so that what a crash leaves kept is what is oldest. */
static int unsettle_all(struct spool *s) {
    int r = 0;
    for (size_t i = s->n; i-- > 0 && r == 0;) {
        struct stream *st = &s->streams[i];
        for (size_t j = st->n; j-- > 0 && r == 0;) {
            if (st->segments[j].kept)
                r = rename_segment(s, st, j, false);
            if (r == -ENOENT)
                r = 0;
            CRASH_POINT("spool-unsettled-one");
        }
        if (r == 0)
            st->acked = 0;
        drop_if_empty(s, st);
    }
    if (r == 0 && s->io.fsync(s->dir) < 0)
        r = -errno;
    return r;
}

/* The name goes first and comes back last: a folder that names no store is unsettled by the next Welcome,
 * whichever store says it, so that no crash and no failure leaves some segments kept in the name of a store
 * that does not have them. A name that cannot be written now is tried again with each sync. */
static int resettle(struct spool *s, const char *id, uint64_t epoch) {
    int r = store_name_forget(s);
    CRASH_POINT("spool-store-forgotten");
    if (r == 0)
        r = unsettle_all(s);
    CRASH_POINT("spool-unsettled");
    if (r < 0)
        return r;
    memcpy(s->store_id, id, strlen(id) + 1);
    s->store_epoch = epoch;
    s->store_unsaved = *id && store_name_save(s) < 0;
    CRASH_POINT("spool-store-named");
    return 0;
}

int spool_set_store(struct spool *s, const char *store_id, uint64_t epoch) {
    if (strnlen(store_id, SPOOL_STORE_MAX) == SPOOL_STORE_MAX)
        return -EMSGSIZE;
    if (strcmp(s->store_id, store_id) == 0 && s->store_epoch == epoch)
        return 0;
    int r = resettle(s, store_id, epoch);
    return r < 0 ? r : 1;
}

int spool_unsettle(struct spool *s) {
    char id[SPOOL_STORE_MAX];
    uint64_t epoch;
    spool_store(s, id, &epoch);
    return resettle(s, id, epoch);
}

void spool_store(const struct spool *s, char ret_id[SPOOL_STORE_MAX], uint64_t *ret_epoch) {
    memcpy(ret_id, s->store_id, sizeof s->store_id);
    *ret_epoch = s->store_epoch;
}
