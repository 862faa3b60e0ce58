/* sqlite_migrate: from an older schema to this one.
 *
 *   lock ─► online backup to PATH.schema-N, on disk ─► one transaction: tables, families, rollups ─► version
 *
 * A kill at any moment leaves the older version whole, or this one. A backup that an interrupted migration
 * left is taken for this one's when it holds the same store up to the same commit; any other file of that
 * name stays, and the next free number is used.
 */
#include "store/store_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"

#define BACKUP_NAMES_MAX 99

/* ---- the backup */

/* What a file says of itself, as "schema id newest-commit". */
static int read_mark(sqlite3 *db, char *out, size_t max) {
    static const char sql[] =
        "SELECT (SELECT user_version FROM pragma_user_version) || ' ' || (SELECT value FROM meta WHERE key = "
        "'id') || ' ' || coalesce((SELECT max(n) FROM commit_log), 0)";
    sqlite3_stmt *st = NULL;
    int r = -EBADMSG;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
        (void)snprintf(out, max, "%s", (const char *)sqlite3_column_text(st, 0));
        r = 0;
    }
    sqlite3_finalize(st);
    return r;
}

static bool is_our_backup(struct store *s, const char *path) {
    char ours[128] = "", theirs[128] = "";
    sqlite3 *db = NULL;
    bool same = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
                read_mark(db, theirs, sizeof theirs) == 0 && read_mark(s->db, ours, sizeof ours) == 0 &&
                strcmp(ours, theirs) == 0;
    (void)sqlite3_close(db);
    return same;
}

/* We hold the server's lock, so that a ".partial" of these names was left by a process that is gone. */
static int back_up(struct store *s, int from, struct err *e) {
    char path[STORE_PATH_MAX], partial[STORE_PATH_MAX + 16];
    for (int i = 1; i <= BACKUP_NAMES_MAX; i++) {
        char suffix[16] = "";
        if (i > 1)
            (void)snprintf(suffix, sizeof suffix, ".%d", i);
        (void)snprintf(path, sizeof path, "%s.schema-%d%s", s->path, from, suffix);
        (void)snprintf(partial, sizeof partial, "%s.partial", path);
        (void)unlink(partial);
        if (access(path, F_OK) < 0) {
            int r = store_backup(s, path, e);
            return r < 0 ? err_prefix(e, r, "cannot back the store up before its migration") : 0;
        }
        if (is_our_backup(s, path))
            return 0;
    }
    return err_set(e, -EEXIST, "%s.schema-%d and %d more backups exist: move them elsewhere", s->path, from,
                   BACKUP_NAMES_MAX - 1);
}

/* ---- from 1 to 2: records */

struct seen_record {
    int64_t rowid;
    int family;
    int64_t t_from_ns, t_to_ns;
};

/* Looks at one record; 1: its row changes. Bytes that cannot be read keep the family they have. */
static int look_again(sqlite3_stmt *st, struct seen_record *ret) {
    Pilotgate__Record *r = NULL;
    int old = sqlite3_column_int(st, 1);
    if (wire_record_unpack(sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2), &r, NULL) < 0)
        return 0;
    ret->rowid = sqlite3_column_int64(st, 0);
    ret->family = (int)wire_family(r);
    wire_record_span(r, &ret->t_from_ns, &ret->t_to_ns);
    wire_record_free(&r);
    return ret->family != old && ret->t_to_ns >= ret->t_from_ns;
}

static int change_record(struct store *s, sqlite3_stmt *update, const struct seen_record *c, struct err *e) {
    sqlite3_bind_int64(update, 1, c->rowid);
    sqlite3_bind_int(update, 2, c->family);
    sqlite3_bind_int64(update, 3, c->t_from_ns);
    sqlite3_bind_int64(update, 4, c->t_to_ns);
    CRASH_POINT("store-migrate-record");
    return store_run(s, update, "cannot migrate a record", e);
}

static int walk_families(struct store *s, sqlite3_stmt *walk, sqlite3_stmt *update, struct err *e) {
    struct seen_record c;
    int r = 0, step;
    while (r == 0 && (step = sqlite3_step(walk)) == SQLITE_ROW)
        if (look_again(walk, &c))
            r = change_record(s, update, &c, e);
    return r == 0 && step != SQLITE_DONE ? store_fail(s, e, "cannot read a record") : r;
}

/* Records whose family an older collector did not know, and objects that only confirm. Walked by rowid, which
 * no change moves. */
static int families(struct store *s, struct err *e) {
    sqlite3_stmt *walk = NULL, *update = NULL;
    int r = store_prepare(
        s, "SELECT rowid, family, payload FROM record NOT INDEXED WHERE family IN (0, 5) ORDER BY rowid",
        &walk, e);
    if (r == 0)
        r = store_prepare(s, "UPDATE record SET family = ?2, t_from = ?3, t_to = ?4 WHERE rowid = ?1",
                          &update, e);
    if (r == 0)
        r = walk_families(s, walk, update, e);
    sqlite3_finalize(walk);
    sqlite3_finalize(update);
    if (r == 0)
        r = store_exec(s,
                       "UPDATE stream SET span = max(span, coalesce((SELECT max(t_to - t_from) FROM record r "
                       "WHERE r.stream = stream.id AND r.family <> 0), 0))",
                       "cannot migrate a stream", e);
    return r;
}

/* ---- the transaction */

static int steps(struct store *s, int from, struct err *e) {
    char version[48];
    (void)snprintf(version, sizeof version, "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
    int r = from < 2 ? store_exec(s, store_tables_1_to_2_sql, "cannot migrate the tables", e) : 0;
    CRASH_POINT("store-migrate-tables");
    if (r == 0 && from < 2)
        r = families(s, e);
    if (r == 0 && from < 2)
        r = store_migrate_calls(s, e);
    if (r == 0)
        r = store_exec(s, version, "cannot finish the migration", e);
    CRASH_POINT("store-migrate-before-commit");
    return r;
}

static int in_transaction(struct store *s, int from, struct err *e) {
    int r = store_exec(s, "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE", "cannot lock the store", e);
    if (r < 0)
        return r;
    r = steps(s, from, e);
    if (r == 0)
        r = store_exec(s, "COMMIT", "cannot finish the migration", e);
    if (r < 0)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    CRASH_POINT("store-migrate-committed");
    int on = store_exec(s, "PRAGMA foreign_keys = ON", "cannot open the store", e);
    return r < 0 ? r : on;
}

int store_migrate(struct store *s, int from, struct err *e) {
    CRASH_POINT("store-migrate-begin");
    int r = back_up(s, from, e);
    CRASH_POINT("store-migrate-backed-up");
    return r < 0 ? r : in_transaction(s, from, e);
}
