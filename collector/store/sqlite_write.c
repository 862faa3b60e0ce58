/* sqlite_write: transactions, and what is put inside them. A transaction gets its number with the first
 * row that is evidence; sessions, refusals and commands ride along without one. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crash.h"
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

void store_forget_transaction(struct store *s, bool committed) {
    s->in_transaction = false;
    s->n = 0;
    s->tally = (struct store_tally){0};
    store_touches_clear(s);
    store_rollup_end(s, committed);
}

/* SQLite ends a transaction by itself after some failures. */
void store_rollback(struct store *s) {
    if (s->in_transaction && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    store_forget_transaction(s, false);
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

int store_tally_write(struct store *s, struct err *e) {
    int r = 0;
    const struct store_tally *t = &s->tally;
    if (!t->records && !t->packed && !t->calls)
        return 0;
    sqlite3_stmt *st = store_stmt(s, STMT_TALLY, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, t->records);
    sqlite3_bind_int64(st, 2, t->packed);
    sqlite3_bind_int64(st, 3, t->calls);
    return store_run(s, st, "cannot commit", e);
}

/* What was gathered in memory goes to the tables. */
static int write_gathered(struct store *s, int64_t now_wall_ns, struct err *e) {
    int r = store_rollup_write(s, e);
    if (r == 0)
        r = store_touches_write(s, e);
    if (r == 0)
        r = store_tally_write(s, e);
    return r == 0 && s->n ? stamp(s, now_wall_ns, e) : r;
}

int store_commit(struct store *s, int64_t now_wall_ns, uint64_t *ret_n, struct err *e) {
    if (!s->in_transaction)
        return err_set(e, -EINVAL, "no transaction is open");
    uint64_t n = s->n;
    int r = write_gathered(s, now_wall_ns, e);
    CRASH_POINT("store-commit-before");
    if (r == 0)
        r = store_exec(s, "COMMIT", "cannot commit", e);
    if (r < 0) {
        store_rollback(s);
        return r;
    }
    CRASH_POINT("store-commit-after");
    store_forget_transaction(s, true);
    if (n && ret_n)
        *ret_n = n;
    return 0;
}

int store_number(struct store *s, struct err *e) {
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

/* In a row of its own: 1 the same bytes, 0 others, -ENOENT: there is none. */
static int same_row(struct store *s, const struct store_record *rec, struct err *e) {
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
    else
        r = step == SQLITE_DONE ? -ENOENT : store_fail(s, e, "cannot read a record");
    sqlite3_reset(st);
    return r;
}

/* 1: the same bytes are stored, or were and are deleted; 0: others are, or none. */
static int same_record(struct store *s, const struct store_record *rec, struct err *e) {
    const struct pack_entry *packed = NULL;
    int r = same_row(s, rec, e);
    if (r != -ENOENT)
        return r;
    r = store_pack_find(s, rec->stream, rec->seq, &packed, e);
    if (r < 0 || !packed)
        return r;
    return !packed->payload || (packed->len == rec->len &&
                                (rec->len == 0 || memcmp(packed->payload, rec->payload, rec->len) == 0));
}

static int put_conflict(struct store *s, const struct store_record *rec, struct err *e) {
    int r = store_number(s, e);
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

static int put_old(struct store *s, const struct store_record *rec, enum store_put *ret, struct err *e) {
    int same = same_record(s, rec, e);
    if (same < 0)
        return same;
    int r = same ? 0 : put_conflict(s, rec, e);
    if (r == 0)
        *ret = same ? STORE_PUT_DUPLICATE : STORE_PUT_CONFLICT;
    return r;
}

static int64_t span_of(const struct store_record *rec) {
    int64_t span;
    return __builtin_sub_overflow(rec->t_to_ns, rec->t_from_ns, &span) ? INT64_MAX : span;
}

static int put_new(struct store *s, const struct store_record *rec, struct store_touched *t, struct err *e) {
    int r = store_number(s, e);
    if (r == 0)
        r = insert_record(s, rec, e);
    if (r < 0)
        return r;
    int64_t span = span_of(rec);
    t->hwm = rec->seq;
    t->span = span > t->span ? span : t->span;
    t->dirty = true;
    s->tally.records++;
    return 0;
}

int store_put_record(struct store *s, const struct store_record *rec, enum store_put *ret, struct err *e) {
    if (!s->in_transaction)
        return err_set(e, -EINVAL, "no transaction is open");
    if (rec->seq == 0 || rec->seq > STORE_SEQ_MAX || rec->len > WIRE_RECORD_MAX ||
        rec->t_to_ns < rec->t_from_ns)
        return err_set(e, -EINVAL, "record %llu has a number, size or time span out of range",
                       (unsigned long long)rec->seq);
    struct store_touched *t = NULL;
    int r = store_touch(s, rec->stream, &t, e);
    if (r < 0)
        return r;
    if (rec->seq > t->hwm + 1)
        return err_set(e, -EINVAL, "record %llu would leave a hole: the stream ends at %llu",
                       (unsigned long long)rec->seq, (unsigned long long)t->hwm);
    if (rec->seq <= t->hwm)
        return put_old(s, rec, ret, e);
    r = put_new(s, rec, t, e);
    if (r == 0)
        *ret = STORE_PUT_NEW;
    return r;
}

int store_put_document(struct store *s, const char *kind, const char *name, const json_t *body,
                       struct err *e) {
    int r = store_number(s, e);
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
