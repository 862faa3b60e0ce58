/* sqlite_size: how large the store is, and how much room its disk has. Sums are kept by each commit. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static uint64_t bytes_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int read_tally(struct store *s, struct store_size *ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "SELECT records, packed, calls FROM tally", &st, e);
    if (r < 0)
        return r;
    if (sqlite3_step(st) == SQLITE_ROW) {
        ret->records = (uint64_t)sqlite3_column_int64(st, 0);
        ret->packed = (uint64_t)sqlite3_column_int64(st, 1);
        ret->calls = (uint64_t)sqlite3_column_int64(st, 2);
    } else {
        r = store_fail(s, e, "cannot read the store's size");
    }
    sqlite3_finalize(st);
    return r;
}

static int read_unused(struct store *s, struct store_size *ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        s, "SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()", &st, e);
    if (r < 0)
        return r;
    if (sqlite3_step(st) == SQLITE_ROW)
        ret->unused_bytes = (uint64_t)sqlite3_column_int64(st, 0);
    else
        r = store_fail(s, e, "cannot read the store's size");
    sqlite3_finalize(st);
    return r;
}

int store_size(struct store *s, struct store_size *ret, struct err *e) {
    struct store_size size = {0};
    struct statvfs fs;
    char wal[STORE_PATH_MAX + 8];
    (void)snprintf(wal, sizeof wal, "%s-wal", s->path);
    if (statvfs(s->path, &fs) < 0)
        return err_set(e, -errno, "%s: cannot read the disk's free space: %s", s->path, strerror(errno));
    size.file_bytes = bytes_of(s->path) + bytes_of(wal);
    size.free_disk_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    int r = read_tally(s, &size, e);
    if (r == 0)
        r = read_unused(s, &size, e);
    if (r == 0)
        *ret = size;
    return r;
}
