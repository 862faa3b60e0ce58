/* sqlite_read: what the judge reads, each as of a commit. Statements are the call's own, so that a
 * callback may read the store too. */
#include "store/store_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

/* One row as "n, at" of the commit log; zeros when there is none. */
static int read_commit(struct store *s, const char *sql, int64_t at_ns, uint64_t *ret_n, int64_t *ret_at_ns,
                       struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, sql, &st, e);
    if (r < 0)
        return r;
    if (sqlite3_bind_parameter_count(st) > 0)
        sqlite3_bind_int64(st, 1, at_ns);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW || step == SQLITE_DONE) {
        *ret_n = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
        if (ret_at_ns)
            *ret_at_ns = step == SQLITE_ROW ? sqlite3_column_int64(st, 1) : 0;
    } else {
        r = store_fail(s, e, "cannot read the commit log");
    }
    sqlite3_finalize(st);
    return r;
}

int store_newest_commit(struct store *s, uint64_t *ret_n, int64_t *ret_at_ns, struct err *e) {
    return read_commit(s, "SELECT n, at_ns FROM commit_log ORDER BY n DESC LIMIT 1", 0, ret_n, ret_at_ns, e);
}

int store_commit_at(struct store *s, int64_t at_ns, uint64_t *ret_n, struct err *e) {
    return read_commit(
        s, "SELECT n, at_ns FROM commit_log WHERE at_ns <= ?1 ORDER BY at_ns DESC, n DESC LIMIT 1", at_ns,
        ret_n, NULL, e);
}

int store_newest_if_zero(struct store *s, uint64_t *commit, struct err *e) {
    return *commit ? 0 : store_newest_commit(s, commit, NULL, e);
}

int store_each_row(struct store *s, sqlite3_stmt *st, store_row_fn *row, void *ctx, struct err *e) {
    int r = 0, step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(st)) == SQLITE_ROW)
        r = row(st, ctx);
    if (r == 0 && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the store");
    sqlite3_finalize(st);
    return r;
}

static void copy_text(sqlite3_stmt *st, int column, char *out, size_t max) {
    const char *text = (const char *)sqlite3_column_text(st, column);
    (void)snprintf(out, max, "%s", text ? text : "");
}

struct stream_walk {
    struct store *s;
    store_stream_fn *fn;
    void *ctx;
    struct err *e;
    int64_t commit;
    sqlite3_stmt *mark; /* of streams that went on after the commit; made when the first comes */
};

/* Within a stream, n ascends with seq: the newest row not above the commit carries the mark. */
static const char mark_sql[] =
    "SELECT max("
    "coalesce((SELECT seq FROM record r WHERE r.stream = ?2 AND r.n <= ?1 ORDER BY seq DESC LIMIT 1), 0), "
    "coalesce((SELECT to_seq FROM gap g WHERE g.stream = ?2 AND g.n <= ?1 ORDER BY from_seq DESC LIMIT 1), "
    "0))";

static int mark_at(struct stream_walk *w, int64_t stream, uint64_t *ret) {
    int r = w->mark ? 0 : store_prepare(w->s, mark_sql, &w->mark, w->e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(w->mark, 1, w->commit);
    sqlite3_bind_int64(w->mark, 2, stream);
    if (sqlite3_step(w->mark) == SQLITE_ROW)
        *ret = (uint64_t)sqlite3_column_int64(w->mark, 0);
    else
        r = store_fail(w->s, w->e, "cannot read a stream's high-water mark");
    sqlite3_reset(w->mark);
    return r < 0 ? r : store_pack_mark(w->s, stream, (uint64_t)w->commit, ret, w->e);
}

static int stream_row(sqlite3_stmt *st, void *ctx) {
    struct stream_walk *w = ctx;
    struct store_stream_row row = {.id = sqlite3_column_int64(st, 0),
                                   .hwm = (uint64_t)sqlite3_column_int64(st, 5),
                                   .conflicts = (uint64_t)sqlite3_column_int64(st, 6),
                                   .doubts = (unsigned)sqlite3_column_int(st, 7)};
    int r = sqlite3_column_int64(st, 8) > w->commit ? mark_at(w, row.id, &row.hwm) : 0;
    if (r < 0)
        return r;
    copy_text(st, 1, row.cluster, sizeof row.cluster);
    copy_text(st, 2, row.namespace_name, sizeof row.namespace_name);
    copy_text(st, 3, row.node, sizeof row.node);
    if (sqlite3_column_bytes(st, 4) == WIRE_BOOT_BYTES)
        memcpy(row.boot, sqlite3_column_blob(st, 4), WIRE_BOOT_BYTES);
    return w->fn(w->ctx, &row);
}

#define STREAMS_SQL                                                                                   \
    "SELECT id, cluster, namespace, node, boot, hwm, "                                                \
    "(SELECT count(*) FROM conflict c WHERE c.stream = s.id AND c.n <= ?1), "                         \
    "(SELECT coalesce(sum(1 << reason), 0) FROM doubt d WHERE d.stream = s.id AND d.n <= ?1), hwm_n " \
    "FROM stream s WHERE n <= ?1 ORDER BY id"

static int walk_streams(struct store *s, struct stream_walk *w, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, STREAMS_SQL, &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, w->commit);
    r = store_each_row(s, st, stream_row, w, e);
    sqlite3_finalize(w->mark);
    return r;
}

int store_streams(struct store *s, store_stream_fn *fn, void *ctx, struct err *e) {
    struct stream_walk w = {.fn = fn, .ctx = ctx, .commit = INT64_MAX};
    return walk_streams(s, &w, e);
}

int store_streams_at(struct store *s, uint64_t commit, store_stream_fn *fn, void *ctx, struct err *e) {
    struct stream_walk w = {.s = s, .fn = fn, .ctx = ctx, .e = e};
    int r = store_newest_if_zero(s, &commit, e);
    w.commit = (int64_t)commit;
    return r < 0 ? r : walk_streams(s, &w, e);
}

struct gap_walk {
    store_gap_fn *fn;
    void *ctx;
};

static int gap_row(sqlite3_stmt *st, void *ctx) {
    struct gap_walk *w = ctx;
    struct store_gap_row row = {sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1),
                                (uint64_t)sqlite3_column_int64(st, 2),
                                (enum store_gap_cause)sqlite3_column_int(st, 3)};
    return w->fn(w->ctx, &row);
}

int store_gaps(struct store *s, uint64_t commit, store_gap_fn *fn, void *ctx, struct err *e) {
    struct gap_walk w = {fn, ctx};
    sqlite3_stmt *st = NULL;
    int r = store_newest_if_zero(s, &commit, e);
    if (r == 0)
        r = store_prepare(
            s, "SELECT stream, from_seq, to_seq, cause FROM gap WHERE n <= ?1 ORDER BY stream, from_seq", &st,
            e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)commit);
    return store_each_row(s, st, gap_row, &w, e);
}

/* ---- documents */

struct document_walk {
    store_document_fn *fn;
    void *ctx;
    struct err *e;
};

static int document_row(sqlite3_stmt *st, void *ctx) {
    struct document_walk *w = ctx;
    json_t *body = NULL;
    int r = js_parse((const char *)sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1),
                     STORE_DOCUMENT_MAX, &body, w->e);
    if (r < 0)
        return r;
    r = w->fn(w->ctx, (const char *)sqlite3_column_text(st, 0), body, (uint64_t)sqlite3_column_int64(st, 2),
              sqlite3_column_int64(st, 3));
    json_decref(body);
    return r;
}

int store_documents(struct store *s, uint64_t commit, const char *kind, store_document_fn *fn, void *ctx,
                    struct err *e) {
    struct document_walk w = {fn, ctx, e};
    sqlite3_stmt *st = NULL;
    int r = store_newest_if_zero(s, &commit, e);
    if (r == 0)
        r = store_prepare(
            s,
            "SELECT d.name, d.body, d.n, c.at_ns FROM document d JOIN commit_log c ON c.n = d.n "
            "WHERE d.id IN (SELECT max(id) FROM document WHERE kind = ?1 AND n <= ?2 GROUP BY name) "
            "ORDER BY d.name",
            &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, (int64_t)commit);
    return store_each_row(s, st, document_row, &w, e);
}

static int keep_document(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    json_t **kept = ctx;
    (void)name;
    (void)commit;
    (void)at_ns;
    *kept = json_incref((json_t *)body);
    return 0;
}

int store_document(struct store *s, uint64_t commit, const char *kind, const char *name, json_t **ret,
                   struct err *e) {
    json_t *kept = NULL;
    struct document_walk w = {keep_document, &kept, e};
    sqlite3_stmt *st = NULL;
    int r = store_newest_if_zero(s, &commit, e);
    if (r == 0)
        r = store_prepare(
            s,
            "SELECT d.name, d.body, d.n, c.at_ns FROM document d JOIN commit_log c ON c.n = d.n "
            "WHERE d.id = (SELECT max(id) FROM document WHERE kind = ?1 AND n <= ?2 AND name = ?3)",
            &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, (int64_t)commit);
    sqlite3_bind_text(st, 3, name, -1, SQLITE_STATIC);
    r = store_each_row(s, st, document_row, &w, e);
    if (r < 0)
        json_decref(kept);
    else
        *ret = kept;
    return r;
}
