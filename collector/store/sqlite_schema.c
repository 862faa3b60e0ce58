/* sqlite_schema: the tables, their version, and the statements that write into them.
 *
 *   meta(key, value)          id, restore_epoch, state: open | closed | backup
 *   commit_log(n, at_ns)      every transaction that put evidence
 *   stream, record, gap, conflict, document    evidence; every row carries the n that brought it
 *   session, refusal, command                  operations; never read by a verdict
 *
 * stream.span is the longest t_to - t_from of the stream's records: it bounds how far before a window
 * the index on (stream, family, t_from) must be entered, so that a window never scans the stream.
 */
#include "store/store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SCHEMA_VERSION 1
#define SCHEMA_APPLICATION_ID 0x50474154 /* "PGAT" */

static const char schema_sql[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE commit_log(n INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;"
    "CREATE INDEX commit_log_at ON commit_log(at_ns, n);"
    "CREATE TABLE stream("
    "  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),"
    "  cluster TEXT NOT NULL, namespace TEXT NOT NULL, node TEXT NOT NULL,"
    "  boot BLOB NOT NULL CHECK(length(boot) = 16),"
    "  hwm INTEGER NOT NULL DEFAULT 0, span INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE(cluster, namespace, node, boot)) STRICT;"
    "CREATE TABLE record("
    "  stream INTEGER NOT NULL REFERENCES stream(id), seq INTEGER NOT NULL CHECK(seq > 0),"
    "  n INTEGER NOT NULL REFERENCES commit_log(n), family INTEGER NOT NULL,"
    "  t_from INTEGER NOT NULL, t_to INTEGER NOT NULL, payload BLOB NOT NULL,"
    "  PRIMARY KEY(stream, seq)) STRICT;"
    "CREATE INDEX record_time ON record(stream, family, t_from, t_to, n, seq);"
    "CREATE TABLE gap("
    "  stream INTEGER NOT NULL REFERENCES stream(id), from_seq INTEGER NOT NULL,"
    "  to_seq INTEGER NOT NULL CHECK(to_seq >= from_seq), n INTEGER NOT NULL REFERENCES commit_log(n),"
    "  PRIMARY KEY(stream, from_seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE conflict("
    "  stream INTEGER NOT NULL REFERENCES stream(id), seq INTEGER NOT NULL,"
    "  n INTEGER NOT NULL REFERENCES commit_log(n),"
    "  PRIMARY KEY(stream, seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE document("
    "  id INTEGER PRIMARY KEY, n INTEGER NOT NULL REFERENCES commit_log(n),"
    "  kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE INDEX document_name ON document(kind, name, id);"
    "CREATE TABLE session("
    "  cluster TEXT NOT NULL, namespace TEXT NOT NULL, node TEXT NOT NULL, boot BLOB NOT NULL,"
    "  key TEXT NOT NULL, version TEXT NOT NULL, connected INTEGER NOT NULL, since_ns INTEGER NOT NULL,"
    "  last_seen_ns INTEGER NOT NULL, records INTEGER NOT NULL,"
    "  PRIMARY KEY(cluster, namespace, node, boot)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE refusal("
    "  key TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, first_ns INTEGER NOT NULL,"
    "  last_ns INTEGER NOT NULL, PRIMARY KEY(key, reason)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE command("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT, cluster TEXT NOT NULL, namespace TEXT NOT NULL,"
    "  kind INTEGER NOT NULL, ttl_seconds INTEGER NOT NULL, asked_ns INTEGER NOT NULL,"
    "  expires_ns INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,"
    "  answered_ok INTEGER NOT NULL DEFAULT 0, answered_bad INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX command_expires ON command(expires_ns, id);";

static const char *const statements[STMT_COUNT] = {
    [STMT_COMMIT_NEXT] = "INSERT INTO commit_log(n, at_ns) SELECT coalesce(max(n), 0) + 1, 0 FROM commit_log "
                         "RETURNING n",
    /* the collector's clock may step back; the log's times do not */
    [STMT_COMMIT_STAMP] = "UPDATE commit_log SET at_ns = max(?2, coalesce((SELECT at_ns FROM commit_log "
                          "WHERE n = ?1 - 1), 0)) WHERE n = ?1",
    [STMT_STREAM_FIND] = "SELECT id, hwm FROM stream WHERE cluster = ?1 AND namespace = ?2 AND node = ?3 "
                         "AND boot = ?4",
    [STMT_STREAM_NEW] = "INSERT INTO stream(n, cluster, namespace, node, boot) VALUES(?1, ?2, ?3, ?4, ?5)",
    [STMT_STREAM_RAISE] = "UPDATE stream SET hwm = ?3, span = max(span, ?4) WHERE id = ?1 AND hwm = ?2",
    [STMT_RECORD_NEW] = "INSERT INTO record(stream, seq, n, family, t_from, t_to, payload) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [STMT_RECORD_GET] = "SELECT payload FROM record WHERE stream = ?1 AND seq = ?2",
    [STMT_CONFLICT_NEW] = "INSERT OR IGNORE INTO conflict(stream, seq, n) VALUES(?1, ?2, ?3)",
    [STMT_GAP_NEW] = "INSERT INTO gap(stream, from_seq, to_seq, n) VALUES(?1, ?2, ?3, ?4)",
    [STMT_DOCUMENT_NEW] = "INSERT INTO document(n, kind, name, body) VALUES(?1, ?2, ?3, ?4)",
    [STMT_SESSION_PUT] =
        "INSERT INTO session(cluster, namespace, node, boot, key, version, connected, since_ns, "
        "last_seen_ns, records) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
        "ON CONFLICT DO UPDATE SET key = excluded.key, version = excluded.version, connected = "
        "excluded.connected, since_ns = excluded.since_ns, last_seen_ns = excluded.last_seen_ns, "
        "records = excluded.records",
    [STMT_REFUSAL_PUT] =
        "INSERT INTO refusal(key, reason, count, first_ns, last_ns) VALUES(?1, ?2, ?4, ?3, ?3) "
        "ON CONFLICT DO UPDATE SET count = count + excluded.count, "
        "last_ns = max(last_ns, excluded.last_ns)",
};

const char *store_stmt_sql(enum store_stmt which) {
    return statements[which];
}

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

int store_schema_check(struct store *s, struct err *e) {
    int64_t version = 0, application = 0;
    int r = read_pragma(s, "PRAGMA user_version", &version, e);
    if (r == 0)
        r = read_pragma(s, "PRAGMA application_id", &application, e);
    if (r < 0)
        return r;
    if (application != SCHEMA_APPLICATION_ID)
        return err_set(e, -EINVAL, "%s is no pilotgate store: name another file with --store sqlite:PATH",
                       s->path);
    if (version > SCHEMA_VERSION)
        return err_set(
            e, -ENOTSUP,
            "%s has schema %lld, this pilotgate knows schema %d: use the newer pilotgate that wrote it",
            s->path, (long long)version, SCHEMA_VERSION);
    if (version < 1)
        return err_set(e, -EINVAL, "%s has no schema: remove it, or name another file with --store", s->path);
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
                   SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
    r = read_pragma(s, "SELECT count(*) FROM sqlite_master", &tables, e);
    if (r == 0 && tables == 0) {
        r = store_exec(s, schema_sql, "cannot make the tables", e);
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
