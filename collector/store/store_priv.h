/* store_priv: what the files of the SQLite backend share.
 *
 *   sqlite.c         open, close, provenance          sqlite_write.c   transactions, records, documents
 *   sqlite_schema.c  tables, versions, meta           sqlite_read.c    as-of reads for the judge
 *   sqlite_place.c   the file's surroundings          sqlite_ops.c     sessions, refusals, commands
 *   sqlite_backup.c  online backup
 */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

#define STORE_PATH_MAX 4096
#define STORE_ID_HEX 33
#define STORE_BUSY_MS 5000
#define STORE_SEQ_MAX (1ull << 62)
#define STORE_REFUSALS_MAX 1000       /* rows; the oldest go first */
#define STORE_DOCUMENT_MAX (1u << 20) /* bytes of a document's body */

/* Statements of the writing path, prepared once a handle. */
enum store_stmt {
    STMT_COMMIT_NEXT,
    STMT_COMMIT_STAMP,
    STMT_STREAM_FIND,
    STMT_STREAM_NEW,
    STMT_STREAM_RAISE,
    STMT_RECORD_NEW,
    STMT_RECORD_GET,
    STMT_CONFLICT_NEW,
    STMT_GAP_NEW,
    STMT_DOCUMENT_NEW,
    STMT_SESSION_PUT,
    STMT_REFUSAL_PUT,
    STMT_COUNT
};

struct store {
    sqlite3 *db;
    enum store_mode mode;
    char path[STORE_PATH_MAX];
    int lock_fd;  /* held by the server's handle; -1 */
    bool live;    /* a daemon served beside us when we opened, or we are the daemon */
    bool crashed; /* found open without its daemon: its -wal must stay */
    char id[STORE_ID_HEX];
    uint64_t restore_epoch;
    int64_t fsync_ns; /* median, server's handle only */
    bool on_fuse;
    bool in_transaction;
    uint64_t n; /* number of the open transaction, 0: nothing was put yet */
    sqlite3_stmt *stmts[STMT_COUNT];
};

/* SQLite's last error as errno, with "what" and SQLite's words in the text. */
int store_fail(const struct store *s, struct err *e, const char *what);

/* The cached statement, reset and unbound. NULL: the reason is in e, *ret_code is set. */
sqlite3_stmt *store_stmt(struct store *s, enum store_stmt which, int *ret_code, struct err *e);
/* Steps a statement that returns no row, and resets it. */
int store_run(struct store *s, sqlite3_stmt *st, const char *what, struct err *e) MUST_CHECK;
/* A statement of the caller's own, for reads. */
int store_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e) MUST_CHECK;
int store_exec(struct store *s, const char *sql, const char *what, struct err *e) MUST_CHECK;

/* ---- schema */

/* Makes the tables when the file is empty; -ENOTSUP when it is newer, -EINVAL when it is another's. */
int store_schema_make(struct store *s, struct err *e) MUST_CHECK;
int store_schema_check(struct store *s, struct err *e) MUST_CHECK;
/* "" when the key is absent. */
int store_meta_get(struct store *s, const char *key, char *out, size_t max, struct err *e) MUST_CHECK;
int store_meta_set(struct store *s, const char *key, const char *value, struct err *e) MUST_CHECK;
const char *store_stmt_sql(enum store_stmt which);

/* ---- surroundings of the file */

/* Exclusive lock on PATH-lock: -EBUSY when another serves. */
int store_lock_take(const char *path, int *ret_fd, struct err *e) MUST_CHECK;
bool store_lock_held(const char *path);
/* Refuses network file systems; *ret_fuse: on FUSE, whose backing is not known. */
int store_place_check(const char *path, bool *ret_fuse, struct err *e) MUST_CHECK;
/* Median of 20 write + fdatasync in the file's folder. */
int store_place_fsync(const char *path, int64_t *ret_ns, struct err *e) MUST_CHECK;
