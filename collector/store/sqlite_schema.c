/* sqlite_schema: which version of the tables a file has, making them, and the few words in meta. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SCHEMA_APPLICATION_ID 0x50474154 /* "PGAT" */

static int read_pragma(struct store *s, const char *sql, int64_t *ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, sql, &st, e);
    if (r < 0)
        return r;
    if (sqlite3_step(st) == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    else
        r = store_fail(s, e, "cannot read the store");
    sqlite3_finalize(st);
    return r;
}

int store_schema_version(struct store *s, int *ret, struct err *e) {
    int64_t version = 0, application = 0;
    int r = read_pragma(s, "PRAGMA user_version", &version, e);
    if (r == 0)
        r = read_pragma(s, "PRAGMA application_id", &application, e);
    if (r < 0)
        return r;
    if (application != SCHEMA_APPLICATION_ID)
        return err_set(e, -EINVAL, "%s is no pilotgate store: name another file with --store sqlite:PATH",
                       s->path);
    if (version > STORE_SCHEMA_VERSION)
        return err_set(
            e, -ENOTSUP,
            "%s has schema %lld, this pilotgate knows schema %d: use the newer pilotgate that wrote it",
            s->path, (long long)version, STORE_SCHEMA_VERSION);
    if (version < 1)
        return err_set(e, -EINVAL, "%s has no schema: remove it, or name another file with --store", s->path);
    *ret = (int)version;
    return 0;
}

static int fill_meta(struct store *s, struct err *e) {
    uint8_t bits[16];
    char id[STORE_ID_HEX];
    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return err_set(e, -EIO, "the system gives no random numbers");
    for (size_t i = 0; i < sizeof bits; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", bits[i]);
    int r = store_meta_set(s, "id", id, e);
    if (r == 0)
        r = store_meta_set(s, "restore_epoch", "0", e);
    if (r == 0)
        r = store_meta_set(s, "state", "closed", e);
    return r;
}

/* Inside one transaction, so that two processes that start together make one store. */
int store_schema_make(struct store *s, struct err *e) {
    int r = store_exec(s, "PRAGMA journal_mode = WAL", "cannot use write-ahead logging", e);
    if (r == 0)
        r = store_exec(s, "BEGIN IMMEDIATE", "cannot lock the store", e);
    if (r < 0)
        return r;
    int64_t tables = 0;
    char version[96];
    (void)snprintf(version, sizeof version, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   SCHEMA_APPLICATION_ID, STORE_SCHEMA_VERSION);
    r = read_pragma(s, "SELECT count(*) FROM sqlite_master", &tables, e);
    if (r == 0 && tables == 0) {
        r = store_exec(s, store_tables_sql, "cannot make the tables", e);
        if (r == 0)
            r = store_exec(s, version, "cannot make the tables", e);
        if (r == 0)
            r = fill_meta(s, e);
    }
    if (r == 0)
        r = store_exec(s, "COMMIT", "cannot make the tables", e);
    if (r < 0)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

int store_meta_get(struct store *s, const char *key, char *out, size_t max, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "SELECT value FROM meta WHERE key = ?1", &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    int step = sqlite3_step(st);
    out[0] = 0;
    if (step == SQLITE_ROW)
        (void)snprintf(out, max, "%s", (const char *)sqlite3_column_text(st, 0));
    else if (step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the store");
    sqlite3_finalize(st);
    return r;
}

int store_meta_set(struct store *s, const char *key, const char *value, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)", &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
    r = store_run(s, st, "cannot write to the store", e);
    sqlite3_finalize(st);
    return r;
}
