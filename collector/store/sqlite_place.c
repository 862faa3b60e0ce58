/* sqlite_place: the surroundings of a database file: lock file, file system, and how long an fsync takes.
 *
 * The lock is an open-file-description lock (fcntl(2)) on PATH-lock. The kernel drops it with the daemon,
 * however that ends, and readers can ask who holds it without taking it themselves. */
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/when.h"

#define FSYNC_SAMPLES 20

static int lock_name(const char *path, char *out) {
    int n = snprintf(out, STORE_PATH_MAX, "%s-lock", path);
    return n < STORE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int store_lock_take(const char *path, int *ret_fd, struct err *e) {
    char name[STORE_PATH_MAX];
    if (lock_name(path, name) < 0)
        return err_set(e, -ENAMETOOLONG, "%s: the path is too long", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, -errno, "cannot make the lock file %s: %s", name, strerror(errno));
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &l) < 0) {
        int code = errno;
        close(fd);
        if (code == EAGAIN || code == EACCES)
            return err_set(e, -EBUSY, "another `pilotgate serve` uses %s: stop it, or name another store",
                           path);
        return err_set(e, -code, "cannot lock %s: %s", name, strerror(code));
    }
    *ret_fd = fd;
    return 0;
}

bool store_lock_held(const char *path) {
    char name[STORE_PATH_MAX];
    if (lock_name(path, name) < 0)
        return false;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    bool held = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
    close(fd);
    return held;
}

static int folder_of(const char *path, char *out) {
    char copy[STORE_PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int n = snprintf(out, STORE_PATH_MAX, "%s", dirname(copy));
    return n < STORE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Numbers of statfs(2); those that older kernel headers lack are spelled out. */
static const struct {
    unsigned long magic;
    const char *name;
} network_systems[] = {
    {NFS_SUPER_MAGIC, "NFS"}, {SMB_SUPER_MAGIC, "SMB"}, {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
    {V9FS_MAGIC, "9p"},       {AFS_SUPER_MAGIC, "AFS"}, {0x00c36400, "Ceph"},  {CODA_SUPER_MAGIC, "Coda"},
    {0x0bd00bd0, "Lustre"},   {0x01161970, "GFS2"},     {0x7461636f, "OCFS2"},
};
#define FUSE_MAGIC 0x65735546UL

int store_place_check(const char *path, bool *ret_fuse, struct err *e) {
    char dir[STORE_PATH_MAX];
    struct statfs fs;
    if (folder_of(path, dir) < 0 || statfs(dir, &fs) < 0)
        return err_set(e, -ENOENT, "the folder of %s cannot be read: make it first", path);
    unsigned long type = (unsigned long)fs.f_type & 0xffffffffUL;
    for (size_t i = 0; i < sizeof network_systems / sizeof *network_systems; i++)
        if (type == network_systems[i].magic)
            return err_set(e, -ENOTSUP,
                           "%s is on %s: SQLite is not safe on a network file system, use a local disk", path,
                           network_systems[i].name);
    *ret_fuse = type == FUSE_MAGIC;
    return 0;
}

static int compare_times(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int store_place_fsync(const char *path, int64_t *ret_ns, struct err *e) {
    char name[STORE_PATH_MAX];
    int n = snprintf(name, sizeof name, "%s-fsync.XXXXXX", path);
    int fd = n < (int)sizeof name ? mkostemp(name, O_CLOEXEC) : -1;
    if (fd < 0)
        return err_set(e, -errno, "cannot write beside %s: %s", path, strerror(errno));
    (void)unlink(name);
    char page[4096] = {0};
    int64_t times[FSYNC_SAMPLES];
    int code = 0;
    for (int i = 0; i < FSYNC_SAMPLES && !code; i++) {
        int64_t t0 = when_mono_ns();
        if (pwrite(fd, page, sizeof page, (off_t)i * (off_t)sizeof page) != (ssize_t)sizeof page ||
            fdatasync(fd) < 0)
            code = errno ? errno : EIO;
        times[i] = when_mono_ns() - t0;
    }
    close(fd);
    if (code)
        return err_set(e, -code, "cannot write to disk beside %s: %s", path, strerror(code));
    qsort(times, FSYNC_SAMPLES, sizeof *times, compare_times);
    *ret_ns = times[FSYNC_SAMPLES / 2];
    return 0;
}
