/* sqlite_write: transactions, and what is put inside them. A transaction gets its number with the first
 * row that is evidence; sessions, refusals and commands ride along without one. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

int store_begin(struct store *s, struct err *e) {
    if (s->in_transaction)
        return err_set(e, -EINVAL, "a transaction is open already");
    int r = store_exec(s, "BEGIN IMMEDIATE", "cannot begin a transaction", e);
    if (r < 0)
        return r;
    s->in_transaction = true;
    s->n = 0;
    return 0;
}

void store_rollback(struct store *s) {
    if (s->in_transaction)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->in_transaction = false;
    s->n = 0;
}

static int stamp(struct store *s, int64_t now_wall_ns, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_COMMIT_STAMP, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)s->n);
    sqlite3_bind_int64(st, 2, now_wall_ns);
    return store_run(s, st, "cannot commit", e);
}

int store_commit(struct store *s, int64_t now_wall_ns, uint64_t *ret_n, struct err *e) {
    if (!s->in_transaction)
        return err_set(e, -EINVAL, "no transaction is open");
    int r = s->n ? stamp(s, now_wall_ns, e) : 0;
    if (r == 0)
        r = store_exec(s, "COMMIT", "cannot commit", e);
    if (r < 0) {
        store_rollback(s);
        return r;
    }
    s->in_transaction = false;
    if (s->n && ret_n)
        *ret_n = s->n;
    return 0;
}

/* The open transaction's number, given now if this is its first row of evidence. */
static int number(struct store *s, struct err *e) {
    if (!s->in_transaction)
        return err_set(e, -EINVAL, "no transaction is open");
    if (s->n)
        return 0;
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_COMMIT_NEXT, &r, e);
    if (!st)
        return r;
    if (sqlite3_step(st) == SQLITE_ROW)
        s->n = (uint64_t)sqlite3_column_int64(st, 0);
    else
        r = store_fail(s, e, "cannot begin a transaction");
    /* RETURNING hands the row out before the insert is done: step to its end */
    if (r == 0 && sqlite3_step(st) != SQLITE_DONE)
        r = store_fail(s, e, "cannot begin a transaction");
    sqlite3_reset(st);
    return r;
}

static int find_stream(struct store *s, const struct store_stream_key *k, int64_t *ret_id, uint64_t *ret_hwm,
                       struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_FIND, &r, e);
    if (!st)
        return r;
    sqlite3_bind_text(st, 1, k->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, k->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, k->node, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 4, k->boot, WIRE_BOOT_BYTES, SQLITE_STATIC);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        *ret_id = sqlite3_column_int64(st, 0);
        *ret_hwm = (uint64_t)sqlite3_column_int64(st, 1);
        r = 1;
    } else if (step != SQLITE_DONE) {
        r = store_fail(s, e, "cannot find the stream");
    }
    sqlite3_reset(st);
    return r;
}

int store_stream(struct store *s, const struct store_stream_key *k, int64_t *ret_id, uint64_t *ret_hwm,
                 bool *ret_elsewhere, struct err *e) {
    *ret_elsewhere = false;
    int r = find_stream(s, k, ret_id, ret_hwm, e);
    if (r != 0)
        return r < 0 ? r : 0;
    r = number(s, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)s->n);
    sqlite3_bind_text(st, 2, k->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, k->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 4, k->node, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 5, k->boot, WIRE_BOOT_BYTES, SQLITE_STATIC);
    r = store_run(s, st, "cannot make the stream", e);
    if (r < 0)
        return r;
    *ret_id = sqlite3_last_insert_rowid(s->db);
    *ret_hwm = 0;
    return 0;
}

/* Raises the high-water mark from `from` to `to`; 1 when it stood at `from`, 0 when it did not. */
static int raise_hwm(struct store *s, int64_t stream, uint64_t from, uint64_t to, int64_t span,
                     struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_RAISE, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int64(st, 2, (int64_t)from);
    sqlite3_bind_int64(st, 3, (int64_t)to);
    sqlite3_bind_int64(st, 4, span);
    r = store_run(s, st, "cannot raise the stream's high-water mark", e);
    return r < 0 ? r : sqlite3_changes(s->db);
}

static int insert_record(struct store *s, const struct store_record *rec, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_RECORD_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, rec->stream);
    sqlite3_bind_int64(st, 2, (int64_t)rec->seq);
    sqlite3_bind_int64(st, 3, (int64_t)s->n);
    sqlite3_bind_int(st, 4, (int)rec->family);
    sqlite3_bind_int64(st, 5, rec->t_from_ns);
    sqlite3_bind_int64(st, 6, rec->t_to_ns);
    sqlite3_bind_blob64(st, 7, rec->len ? (const void *)rec->payload : "", rec->len, SQLITE_STATIC);
    return store_run(s, st, "cannot write a record", e);
}

/* 1: the same bytes are stored, 0: others are, or none. -EINVAL for a seq that the stream has not reached. */
static int same_record(struct store *s, const struct store_record *rec, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_RECORD_GET, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, rec->stream);
    sqlite3_bind_int64(st, 2, (int64_t)rec->seq);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        r = (size_t)sqlite3_column_bytes(st, 0) == rec->len &&
            (rec->len == 0 || memcmp(sqlite3_column_blob(st, 0), rec->payload, rec->len) == 0);
    else if (step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read a record");
    sqlite3_reset(st);
    return r;
}

static int put_conflict(struct store *s, const struct store_record *rec, struct err *e) {
    int r = number(s, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_CONFLICT_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, rec->stream);
    sqlite3_bind_int64(st, 2, (int64_t)rec->seq);
    sqlite3_bind_int64(st, 3, (int64_t)s->n);
    return store_run(s, st, "cannot write a conflict", e);
}

/* The stream's high-water mark, or -ENOENT. */
static int read_hwm(struct store *s, int64_t stream, uint64_t *ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "SELECT hwm FROM stream WHERE id = ?1", &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    if (sqlite3_step(st) == SQLITE_ROW)
        *ret = (uint64_t)sqlite3_column_int64(st, 0);
    else
        r = err_set(e, -ENOENT, "there is no stream %lld", (long long)stream);
    sqlite3_finalize(st);
    return r;
}

static int put_old(struct store *s, const struct store_record *rec, enum store_put *ret, struct err *e) {
    uint64_t hwm = 0;
    int r = read_hwm(s, rec->stream, &hwm, e);
    if (r < 0)
        return r;
    if (rec->seq > hwm)
        return err_set(e, -EINVAL, "record %llu would leave a hole: the stream ends at %llu",
                       (unsigned long long)rec->seq, (unsigned long long)hwm);
    int same = same_record(s, rec, e);
    if (same < 0)
        return same;
    if (!same && (r = put_conflict(s, rec, e)) < 0)
        return r;
    *ret = same ? STORE_PUT_DUPLICATE : STORE_PUT_CONFLICT;
    return 0;
}

static int64_t span_of(const struct store_record *rec) {
    int64_t span;
    return __builtin_sub_overflow(rec->t_to_ns, rec->t_from_ns, &span) ? INT64_MAX : span;
}

int store_put_record(struct store *s, const struct store_record *rec, enum store_put *ret, struct err *e) {
    if (!s->in_transaction)
        return err_set(e, -EINVAL, "no transaction is open");
    if (rec->seq == 0 || rec->seq > STORE_SEQ_MAX || rec->len > WIRE_RECORD_MAX ||
        rec->t_to_ns < rec->t_from_ns)
        return err_set(e, -EINVAL, "record %llu has a number, size or time span out of range",
                       (unsigned long long)rec->seq);
    int raised = raise_hwm(s, rec->stream, rec->seq - 1, rec->seq, span_of(rec), e);
    if (raised < 0)
        return raised;
    if (!raised)
        return put_old(s, rec, ret, e);
    int r = number(s, e);
    if (r == 0)
        r = insert_record(s, rec, e);
    if (r == 0)
        *ret = STORE_PUT_NEW;
    return r;
}

int store_put_gap(struct store *s, int64_t stream, uint64_t from_seq, uint64_t to_seq,
                  enum store_gap_cause cause, struct err *e) {
    (void)cause;
    if (from_seq == 0 || to_seq < from_seq || to_seq > STORE_SEQ_MAX)
        return err_set(e, -EINVAL, "a gap must name its first and last record");
    int r = number(s, e);
    if (r < 0)
        return r;
    r = raise_hwm(s, stream, from_seq - 1, to_seq, 0, e);
    if (r <= 0)
        return r < 0 ? r : err_set(e, -EINVAL, "a gap must begin where the stream ends");
    sqlite3_stmt *st = store_stmt(s, STMT_GAP_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int64(st, 2, (int64_t)from_seq);
    sqlite3_bind_int64(st, 3, (int64_t)to_seq);
    sqlite3_bind_int64(st, 4, (int64_t)s->n);
    return store_run(s, st, "cannot write a gap", e);
}

int store_put_document(struct store *s, const char *kind, const char *name, const json_t *body,
                       struct err *e) {
    int r = number(s, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_DOCUMENT_NEW, &r, e);
    if (!st)
        return r;
    char *text = js_canonical(body);
    if (!text)
        return err_oom(e);
    if (strlen(text) > STORE_DOCUMENT_MAX) {
        free(text);
        return err_set(e, -EMSGSIZE, "%s %s is larger than %u bytes: make it smaller", kind, name,
                       STORE_DOCUMENT_MAX);
    }
    sqlite3_bind_int64(st, 1, (int64_t)s->n);
    sqlite3_bind_text(st, 2, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 4, text, -1, SQLITE_STATIC);
    r = store_run(s, st, "cannot write a document", e);
    sqlite3_clear_bindings(st);
    free(text);
    return r;
}
