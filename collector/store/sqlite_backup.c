/* sqlite_backup: SQLite's online backup into one file that needs nothing beside it. The file appears
 * under its name only when it is complete, on disk and marked as a backup. */
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"

#define BACKUP_PAGES (-1) /* all in one step: one snapshot, while the daemon goes on writing its -wal */
#define BACKUP_BUSY_MAX 500
#define BACKUP_BUSY_MS 10

static int copy_pages(struct store *s, sqlite3 *to, const char *path, struct err *e) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", s->db, "main");
    if (!b)
        return err_set(e, -EIO, "%s: cannot begin the backup: %s", path, sqlite3_errmsg(to));
    int code, busy = 0;
    do {
        code = sqlite3_backup_step(b, BACKUP_PAGES);
        if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
            busy++;
            (void)sqlite3_sleep(BACKUP_BUSY_MS);
        }
    } while (code == SQLITE_OK || ((code == SQLITE_BUSY || code == SQLITE_LOCKED) && busy < BACKUP_BUSY_MAX));
    (void)sqlite3_backup_finish(b);
    if (code != SQLITE_DONE)
        return err_set(e, code == SQLITE_FULL ? -ENOSPC : -EIO, "%s: the backup failed: %s", path,
                       sqlite3_errstr(code));
    return 0;
}

/* One file without a -wal, that says what it is. */
static int mark(sqlite3 *to, const char *path, struct err *e) {
    static const char sql[] = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;"
                              "UPDATE meta SET value = 'backup' WHERE key = 'state';"
                              "UPDATE session SET connected = 0; DELETE FROM command;";
    if (sqlite3_exec(to, sql, NULL, NULL, NULL) != SQLITE_OK)
        return err_set(e, -EIO, "%s: cannot finish the backup: %s", path, sqlite3_errmsg(to));
    return 0;
}

static int write_partial(struct store *s, const char *partial, struct err *e) {
    sqlite3 *to = NULL;
    int r = 0;
    if (sqlite3_open_v2(partial, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        r = err_set(e, -EIO, "%s: cannot write the backup: %s", partial,
                    to ? sqlite3_errmsg(to) : "out of memory");
    if (r == 0)
        r = copy_pages(s, to, partial, e);
    if (r == 0)
        r = mark(to, partial, e);
    if (sqlite3_close(to) != SQLITE_OK && r == 0)
        r = err_set(e, -EIO, "%s: cannot finish the backup", partial);
    return r;
}

static int sync_path(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* link(2) and not rename(2): it never replaces a file. */
static int publish(const char *partial, const char *path, struct err *e) {
    char copy[STORE_PATH_MAX];
    CRASH_POINT("store-backup-copied");
    int r = sync_path(partial, O_RDWR);
    if (r == 0 && link(partial, path) < 0)
        r = -errno;
    (void)snprintf(copy, sizeof copy, "%s", path);
    if (r == 0)
        r = sync_path(dirname(copy), O_RDONLY | O_DIRECTORY);
    CRASH_POINT("store-backup-linked");
    if (r == -EEXIST)
        return err_set(e, r, "%s exists: a backup never overwrites, name a new file", path);
    return r < 0 ? err_set(e, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

int store_backup(struct store *s, const char *path, struct err *e) {
    char partial[STORE_PATH_MAX];
    int n = snprintf(partial, sizeof partial, "%s.partial", path);
    if (n >= (int)sizeof partial)
        return err_set(e, -ENAMETOOLONG, "the name of the backup is too long");
    if (access(path, F_OK) == 0)
        return err_set(e, -EEXIST, "%s exists: a backup never overwrites, name a new file", path);
    int fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return err_set(e, -EEXIST, "%s exists: another backup writes it; remove it if none does", partial);
    if (fd < 0)
        return err_set(e, -errno, "cannot make %s: %s", partial, strerror(errno));
    close(fd);
    int r = write_partial(s, partial, e);
    if (r == 0)
        r = publish(partial, path, e);
    (void)unlink(partial);
    return r;
}
