/* sqlite: opening and closing a store, and whether it may be believed.
 *
 *            pilot init                serve                    kill -9
 *   (none) ────────────► closed ◄──────────────► open (locked) ────────► open (no lock): only `serve` heals
 * it ▲      SIGTERM backup FILE ─► backup ─┘ (serve: restore epoch + 1)
 *
 * The state is written to the main file (checkpoint) before a server's first record, so that a bare copy
 * of the .db shows "open", and is refused. A server that finds "open" needs the -wal of its predecessor
 * beside it, which no crash removes: handles that do not end the serving keep the -wal in place. */
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"

#define SESSION_KEEP_NS (30LL * 24 * 3600 * WHEN_S)

/* The disk may say "full" where SQLite knows only a failed write: of the -shm, of a sync. */
static int errno_of(int code, int system) {
    if ((code & 0xff) == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT))
        return -ENOSPC;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
        return -EINVAL;
    default:
        return -EIO;
    }
}

int store_fail(const struct store *s, struct err *e, const char *what) {
    int code = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_NOMEM;
    return err_set(e, errno_of(code, s->db ? sqlite3_system_errno(s->db) : 0), "%s: %s: %s", s->path, what,
                   s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

int store_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e) {
    if (sqlite3_prepare_v2(s->db, sql, -1, ret, NULL) != SQLITE_OK)
        return store_fail(s, e, "cannot read the store");
    return 0;
}

int store_exec(struct store *s, const char *sql, const char *what, struct err *e) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_fail(s, e, what);
}

sqlite3_stmt *store_stmt(struct store *s, enum store_stmt which, int *ret_code, struct err *e) {
    sqlite3_stmt **st = &s->stmts[which];
    if (!*st && sqlite3_prepare_v3(s->db, store_stmt_sql(which), -1, SQLITE_PREPARE_PERSISTENT, st, NULL) !=
                    SQLITE_OK) {
        *ret_code = store_fail(s, e, "cannot write to the store");
        return NULL;
    }
    sqlite3_reset(*st);
    sqlite3_clear_bindings(*st);
    return *st;
}

/* After a full disk, a failed write or no memory nobody knows what of the transaction is left: none is. */
static int end_broken(struct store *s, int r) {
    if (s->in_transaction && (r == -ENOSPC || r == -EIO || r == -ENOMEM || r == -EBADMSG))
        store_rollback(s);
    return r;
}

int store_run(struct store *s, sqlite3_stmt *st, const char *what, struct err *e) {
    int r = sqlite3_step(st) == SQLITE_DONE ? 0 : store_fail(s, e, what);
    sqlite3_reset(st);
    return end_broken(s, r);
}

static int path_of(const char *url, char *out, struct err *e) {
    static const char scheme[] = "sqlite:";
    if (!url)
        url = getenv("PILOTGATE_STORE");
    if (!url || !*url)
        return err_set(e, -EINVAL, "no store is named: use --store sqlite:PATH, or set PILOTGATE_STORE");
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return err_set(e, -EINVAL, "%s: a store is named sqlite:PATH", url);
    const char *path = url + sizeof scheme - 1;
    if (!*path || strlen(path) > STORE_PATH_MAX - 64)
        return err_set(e, -EINVAL, "%s: the path after sqlite: is empty or too long", url);
    (void)snprintf(out, STORE_PATH_MAX, "%s", path);
    return 0;
}

/* Makes the file ourselves, so that it is nobody else's to read. */
static int make_file(const struct store *s, struct err *e) {
    if (s->mode == STORE_READ)
        return 0;
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, -errno, "cannot open %s: %s", s->path, strerror(errno));
    close(fd);
    return 0;
}

static void keep_wal(struct store *s, int keep) {
    (void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
}

/* 16 MiB of pages in memory; a -wal of as many goes to the main file, so that a page that many commits change
 * is written there once. */
static const char connection_sql[] = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                                     "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4096";

static int open_file(struct store *s, struct err *e) {
    if (s->mode == STORE_READ && access(s->path, F_OK) < 0)
        return err_set(e, -ENOENT,
                       "%s: there is no store: `pilotgate pilot init` or `pilotgate serve` makes one",
                       s->path);
    int r = make_file(s, e);
    if (r < 0)
        return r;
    int flags =
        SQLITE_OPEN_NOMUTEX | (access(s->path, W_OK) == 0 ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK)
        return store_fail(s, e, "cannot open the store");
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    keep_wal(s, 1);
    return store_exec(s, connection_sql, "cannot open the store", e);
}

static bool file_is_empty(struct store *s) {
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT count(*) FROM sqlite_master", -1, &st, NULL) != SQLITE_OK)
        return false;
    bool empty = sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int64(st, 0) == 0;
    sqlite3_finalize(st);
    return empty;
}

static int not_believed(const struct store *s, struct err *e) {
    return err_set(
        e, -EBUSY,
        "%s was not closed in order and no `pilotgate serve` runs beside it, so it may lack its newest "
        "records: start `pilotgate serve` on it, or use a file that `pilotgate backup` wrote",
        s->path);
}

/* A reader believes a live daemon, or a store that was closed in order. `pilot init` runs before the daemon,
 * also before one that has to heal a crash: with the -wal beside it nothing is missing. */
static int believe_as_reader(struct store *s, bool had_wal, struct err *e) {
    char state[16];
    s->live = store_lock_held(s->path);
    int r = store_meta_get(s, "state", state, sizeof state, e);
    if (r < 0 || s->live || strcmp(state, "open") != 0)
        return r;
    s->live = store_lock_held(s->path); /* a daemon may have started in between */
    if (s->live)
        return 0;
    s->crashed = true;
    return s->mode == STORE_CREATE && had_wal ? 0 : not_believed(s, e);
}

static int raise_epoch(struct store *s, struct err *e) {
    char text[24];
    int r = store_meta_get(s, "restore_epoch", text, sizeof text, e);
    if (r < 0)
        return r;
    (void)snprintf(text, sizeof text, "%" PRIu64, (uint64_t)strtoull(text, NULL, 10) + 1);
    return store_meta_set(s, "restore_epoch", text, e);
}

static int forget_sessions(struct store *s, struct err *e) {
    char sql[160];
    (void)snprintf(sql, sizeof sql,
                   "UPDATE session SET connected = 0; DELETE FROM session WHERE last_seen_ns < %lld",
                   (long long)(when_wall_ns() - SESSION_KEEP_NS));
    return store_exec(s, sql, "cannot write to the store", e);
}

/* Everything in the -wal goes to the main file. */
static int checkpoint(struct store *s, struct err *e) {
    if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        return store_fail(s, e, "cannot write the store's main file");
    return 0;
}

/* had_wal: a -wal stood beside the file before we opened it. */
static int refuse_bare_copy(struct store *s, bool had_wal, char *state, size_t max, struct err *e) {
    int r = store_meta_get(s, "state", state, max, e);
    if (r < 0 || strcmp(state, "open") != 0 || had_wal)
        return r;
    return err_set(
        e, -EBUSY,
        "%s is a bare copy of a store in use: its newest records stayed behind in its -wal; restore a "
        "file that `pilotgate backup` wrote",
        s->path);
}

static int begin_serving(struct store *s, bool had_wal, struct err *e) {
    char state[16];
    int r = refuse_bare_copy(s, had_wal, state, sizeof state, e);
    if (r == 0)
        r = store_exec(s, "PRAGMA journal_mode = WAL", "cannot use write-ahead logging", e);
    if (r == 0 && strcmp(state, "backup") == 0)
        r = raise_epoch(s, e);
    if (r == 0)
        r = forget_sessions(s, e);
    s->said_open = r == 0;
    if (r == 0)
        r = store_meta_set(s, "state", "open", e);
    if (r == 0)
        r = checkpoint(s, e);
    s->live = true;
    return r;
}

static int read_identity(struct store *s, struct err *e) {
    char text[24];
    int r = store_meta_get(s, "id", s->id, sizeof s->id, e);
    if (r == 0)
        r = store_meta_get(s, "restore_epoch", text, sizeof text, e);
    if (r == 0)
        s->restore_epoch = strtoull(text, NULL, 10);
    return r;
}

static int take_place(struct store *s, struct err *e) {
    int r = store_place_check(s->path, &s->on_fuse, e);
    if (r == 0)
        r = store_lock_take(s->path, &s->lock_fd, e);
    if (r == 0)
        r = store_place_fsync(s->path, &s->fsync_ns, e);
    return r;
}

/* By whoever may write and finds no daemon: `pilot init` runs before `serve`, in the same pod. */
static int bring_up_to_date(struct store *s, bool had_wal, struct err *e) {
    char state[16];
    int from = 0;
    int r = store_schema_version(s, &from, e);
    if (r < 0 || from == STORE_SCHEMA_VERSION)
        return r;
    if (s->mode == STORE_READ)
        return err_set(
            e, -ENOTSUP,
            "%s has schema %d, this pilotgate needs schema %d: start this `pilotgate serve` on it, "
            "which backs it up and migrates it",
            s->path, from, STORE_SCHEMA_VERSION);
    r = refuse_bare_copy(s, had_wal, state, sizeof state, e);
    if (r < 0)
        return r;
    bool borrowed = s->lock_fd < 0;
    if (borrowed)
        r = store_lock_take(s->path, &s->lock_fd, e);
    if (r == 0)
        r = store_schema_version(s, &from, e); /* another may have been faster */
    if (r == 0 && from < STORE_SCHEMA_VERSION)
        r = store_migrate(s, from, e);
    if (borrowed && s->lock_fd >= 0) {
        close(s->lock_fd);
        s->lock_fd = -1;
    }
    return r;
}

static int open_all(struct store *s, struct err *e) {
    char wal[STORE_PATH_MAX + 8];
    (void)snprintf(wal, sizeof wal, "%s-wal", s->path);
    bool had_wal = access(wal, F_OK) == 0;
    int r = s->mode == STORE_SERVE ? take_place(s, e) : 0;
    if (r == 0)
        r = open_file(s, e);
    if (r == 0 && s->mode != STORE_READ && file_is_empty(s))
        r = store_schema_make(s, e);
    if (r == 0)
        r = bring_up_to_date(s, had_wal, e);
    if (r == 0)
        r = s->mode == STORE_SERVE ? begin_serving(s, had_wal, e) : believe_as_reader(s, had_wal, e);
    if (r == 0)
        r = read_identity(s, e);
    if (r < 0 && s->db && !had_wal && !s->said_open)
        keep_wal(s, 0); /* a refused copy must not get a -wal that makes it look complete */
    return r;
}

static void free_handle(struct store *s) {
    for (size_t i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(s->stmts[i]);
    store_touches_free(s);
    rollup_free(&s->rollup);
    store_pack_cache_clear(s);
    sqlite3_close_v2(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s);
}

int store_open(const char *url, enum store_mode mode, struct store **ret, struct err *e) {
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return err_oom(e);
    s->mode = mode;
    s->lock_fd = -1;
    int r = path_of(url, s->path, e);
    if (r == 0)
        r = open_all(s, e);
    if (r < 0) {
        free_handle(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* Everything goes to the main file first, and only then the word "closed": a crash between the two leaves
 * "open", never a "closed" file that lacks pages. A failure leaves "open" too, which is the truth. */
static void end_serving(struct store *s) {
    if (checkpoint(s, NULL) < 0)
        return;
    if (store_meta_set(s, "state", "closed", NULL) < 0)
        return;
    if (checkpoint(s, NULL) == 0)
        keep_wal(s, 0);
}

void store_close(struct store **sp) {
    struct store *s = sp ? *sp : NULL;
    if (!s)
        return;
    *sp = NULL;
    store_rollback(s);
    for (size_t i = 0; i < STMT_COUNT; i++) {
        sqlite3_finalize(s->stmts[i]);
        s->stmts[i] = NULL;
    }
    if (s->mode == STORE_SERVE)
        end_serving(s);
    else if (!s->live && !s->crashed)
        keep_wal(s, 0); /* a document that we wrote goes to the main file as we close */
    free_handle(s);
}

const char *store_id(const struct store *s) {
    return s->id;
}

uint64_t store_restore_epoch(const struct store *s) {
    return s->restore_epoch;
}

bool store_live(const struct store *s) {
    return s->live;
}

int64_t store_fsync_ns(const struct store *s) {
    return s->fsync_ns;
}

bool store_on_fuse(const struct store *s) {
    return s->on_fuse;
}
