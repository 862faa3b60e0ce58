/* store_priv: what the files of the SQLite backend share.
 *
 *   sqlite.c          open, close, provenance          sqlite_write.c    transactions, records, documents
 *   sqlite_schema.c   versions, meta                   sqlite_streams.c  streams, gaps, doubts
 *   sqlite_tables.c   the tables                       sqlite_read.c     as-of reads for the judge
 *   sqlite_migrate.c  from an older version            sqlite_ops.c      sessions, refusals, commands
 *   sqlite_stmts.c    statements that write            sqlite_place.c    the file's surroundings
 *   sqlite_backup.c   online backup                    sqlite_rollup.c   rollups: tables
 *   sqlite_pack.c     packing, step by step            sqlite_packed.c   packs as rows
 *   sqlite_retain.c   retention                        sqlite_size.c     sizes
 *   pack_codec.c      packs as bytes                   sqlite_records.c  records of rows and packs, merged
 *   rollup_gather.c   rollups: counting                latency.c         rollups: buckets
 */
#pragma once

#include <sqlite3.h>

#include "store/pack_codec.h"
#include "store/rollup_priv.h"
#include "store/store.h"

#define STORE_PATH_MAX 4096
#define STORE_ID_HEX 33
#define STORE_BUSY_MS 5000
#define STORE_SEQ_MAX (1ull << 62)
#define STORE_REFUSALS_MAX 1000 /* rows; the oldest go first */
#define STORE_DOCUMENT_MAX \
    (16u << 20) /* bytes of a document's body: a reference holds a whole chart's objects */

/* Families whose records are many and small. */
#define STORE_BULK                                                                     \
    (1u << WIRE_FAMILY_TIMING | 1u << WIRE_FAMILY_CALLS | 1u << WIRE_FAMILY_COVERAGE | \
     1u << WIRE_FAMILY_CONFIRMED)
#define STORE_BULK_COUNT 4
#define STORE_PACK_QUIET_NS (10 * 60 * 1000000000LL) /* a record is not packed before */
#define STORE_PACK_OLD_NS (60 * 60 * 1000000000LL)   /* then it is, however few there are */
#define STORE_PACK_ENOUGH 256                        /* records of a stream; a pack of few saves little */
#define STORE_SWEEP_ROWS 1024                        /* of one step ... */
#define STORE_SWEEP_BYTES (384u << 10)               /* ... and about so many bytes */
#define STORE_PACK_CACHE 16

/* Statements of the writing path, prepared once a handle. */
enum store_stmt {
    STMT_COMMIT_NEXT,
    STMT_COMMIT_STAMP,
    STMT_STREAM_FIND,
    STMT_STREAM_ELSEWHERE,
    STMT_STREAM_NEW,
    STMT_STREAM_GET,
    STMT_STREAM_PUT,
    STMT_RECORD_NEW,
    STMT_RECORD_GET,
    STMT_RECORD_FIRST,
    STMT_STREAM_UNPACKED,
    STMT_PACK_NEW,
    STMT_PACK_OF,
    STMT_PACK_BODY,
    STMT_PACK_MARK,
    STMT_PACK_REPLACE,
    STMT_PACK_PASSES,
    STMT_DELETION_NEW,
    STMT_CONFLICT_NEW,
    STMT_GAP_NEW,
    STMT_DOUBT_GET,
    STMT_DOUBT_NEW,
    STMT_TALLY,
    STMT_SERIES_FIND,
    STMT_SERIES_NEW,
    STMT_ROLLUP_GET,
    STMT_ROLLUP_PUT,
    STMT_DOCUMENT_NEW,
    STMT_SESSION_PUT,
    STMT_REFUSAL_PUT,
    STMT_COUNT
};

/* A stream as the open transaction leaves it; dirty: it differs from what is stored. */
struct store_touched {
    int64_t id;
    uint64_t hwm;
    int64_t span;
    bool dirty;
};
struct store_touches {
    struct store_touched *slots; /* owned */
    size_t n_slots, used;
};

/* What the open transaction adds to the tally. */
struct store_tally {
    int64_t records, packed, calls;
};

/* Where a round of retention goes on: after this pack. */
struct store_pack_place {
    int64_t pack, stream, t_from_ns, passes;
};
struct store_retain_place {
    uint64_t stage; /* whose round it is; 0: nobody's */
    struct store_pack_place at;
};

struct store_pack_slot {
    int64_t id; /* 0: empty */
    struct pack pack;
};

struct store {
    sqlite3 *db;
    enum store_mode mode;
    char path[STORE_PATH_MAX];
    int lock_fd;    /* held by the server's handle; -1 */
    bool live;      /* a daemon served beside us when we opened, or we are the daemon */
    bool crashed;   /* found open without its daemon: its -wal must stay */
    bool said_open; /* "open" may be in the file: without its -wal it would be refused for ever */
    char id[STORE_ID_HEX];
    uint64_t restore_epoch;
    int64_t fsync_ns; /* median, server's handle only */
    bool on_fuse;
    bool in_transaction;
    uint64_t n; /* number of the open transaction, 0: nothing was put yet */
    struct store_touches touches;
    struct store_tally tally;
    struct rollup rollup;
    int64_t pack_cursor; /* stream at which store_pack goes on */
    struct store_pack_slot pack_cache[STORE_PACK_CACHE];
    unsigned pack_cache_next;
    struct store_retain_place retain;
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

/* Steps a statement to its end, calling row for each until it returns something else than 0; finalizes it. */
typedef int store_row_fn(sqlite3_stmt *st, void *ctx);
int store_each_row(struct store *s, sqlite3_stmt *st, store_row_fn *row, void *ctx, struct err *e) MUST_CHECK;
/* The newest commit instead of 0. */
int store_newest_if_zero(struct store *s, uint64_t *commit, struct err *e) MUST_CHECK;

/* ---- inside a transaction */

/* The open transaction's number in s->n, given now if this is its first row of evidence. */
int store_number(struct store *s, struct err *e) MUST_CHECK;
/* The stream in the open transaction; borrowed until the next call. -ENOENT when there is none. */
int store_touch(struct store *s, int64_t id, struct store_touched **ret, struct err *e) MUST_CHECK;
int store_touches_write(struct store *s, struct err *e) MUST_CHECK;
void store_touches_clear(struct store *s);
void store_touches_free(struct store *s);
/* Gathered counts into the tables, and what is left of them when the transaction is over. */
int store_rollup_write(struct store *s, struct err *e) MUST_CHECK;
void store_rollup_end(struct store *s, bool committed);
int store_tally_write(struct store *s, struct err *e) MUST_CHECK;
/* Nothing of the transaction is left in memory, however it ended. */
void store_forget_transaction(struct store *s, bool committed);

/* ---- packs */

extern const int store_bulk_families[STORE_BULK_COUNT];
struct store_pack_row {
    int64_t stream;
    int family;
    uint64_t seq_from, seq_to, n_from, n_to;
    int64_t t_from_ns, t_to_ns;
    int64_t records;
};
/* Fills the bounds from entries, of which there is one at least. */
void store_pack_bounds(const struct pack_entry *entries, size_t n, struct store_pack_row *ret);
int store_pack_insert(struct store *s, const struct store_pack_row *row, const uint8_t *body, size_t len,
                      struct err *e) MUST_CHECK;
int store_pack_decode(struct store *s, sqlite3_stmt *st, int column, struct pack *ret,
                      struct err *e) MUST_CHECK;
/* *ret: the packed record, borrowed until the next call; NULL: it is in no pack. */
int store_pack_find(struct store *s, int64_t stream, uint64_t seq, const struct pack_entry **ret,
                    struct err *e) MUST_CHECK;
/* Raises *mark to the newest packed seq that was there at the commit. */
int store_pack_mark(struct store *s, int64_t stream, uint64_t commit, uint64_t *mark,
                    struct err *e) MUST_CHECK;
void store_pack_cache_clear(struct store *s);

/* ---- schema */

#define STORE_SCHEMA_VERSION 2
extern const char store_tables_sql[], store_tables_1_to_2_sql[];

/* Makes the tables when the file is empty. */
int store_schema_make(struct store *s, struct err *e) MUST_CHECK;
/* *ret: 1 to STORE_SCHEMA_VERSION; -ENOTSUP when it is newer, -EINVAL when the file is another's. */
int store_schema_version(struct store *s, int *ret, struct err *e) MUST_CHECK;
/* Backs up and migrates; the caller holds the server's lock, and no transaction is open. */
int store_migrate(struct store *s, int from, struct err *e) MUST_CHECK;
int store_migrate_calls(struct store *s, struct err *e) MUST_CHECK;
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
