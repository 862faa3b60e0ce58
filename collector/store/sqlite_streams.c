/* sqlite_streams: streams, their high-water marks, gaps and doubts.
 *
 * What a transaction makes of a stream (hwm, span) is gathered in memory and written once, by store_commit:
 * a record costs one insert and no statement more. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the streams that the open transaction touched: open addressing, at most half full */

static size_t place_of(const struct store_touched *slots, size_t n, int64_t id) {
    size_t i = ((uint64_t)id * 0x9e3779b97f4a7c15ull >> 20) & (n - 1);
    while (slots[i].id && slots[i].id != id)
        i = (i + 1) & (n - 1);
    return i;
}

static int grow(struct store_touches *t) {
    size_t n = t->n_slots ? 2 * t->n_slots : 64;
    struct store_touched *slots = calloc(n, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].id)
            slots[place_of(slots, n, t->slots[i].id)] = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return 0;
}

static int load(struct store *s, int64_t id, struct store_touched *ret, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_GET, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, id);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        *ret = (struct store_touched){
            .id = id, .hwm = (uint64_t)sqlite3_column_int64(st, 0), .span = sqlite3_column_int64(st, 1)};
    else
        r = step == SQLITE_DONE ? err_set(e, -ENOENT, "there is no stream %lld", (long long)id)
                                : store_fail(s, e, "cannot find the stream");
    sqlite3_reset(st);
    return r;
}

int store_touch(struct store *s, int64_t id, struct store_touched **ret, struct err *e) {
    struct store_touches *t = &s->touches;
    if (t->n_slots) {
        struct store_touched *slot = &t->slots[place_of(t->slots, t->n_slots, id)];
        if (id > 0 && slot->id == id) {
            *ret = slot;
            return 0;
        }
    }
    struct store_touched fresh;
    int r = load(s, id, &fresh, e);
    if (r < 0)
        return r;
    if (2 * (t->used + 1) > t->n_slots && grow(t) < 0)
        return err_oom(e);
    t->used++;
    *ret = &t->slots[place_of(t->slots, t->n_slots, id)];
    **ret = fresh;
    return 0;
}

static int write_touched(struct store *s, const struct store_touched *t, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_PUT, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, t->id);
    sqlite3_bind_int64(st, 2, (int64_t)t->hwm);
    sqlite3_bind_int64(st, 3, (int64_t)s->n);
    sqlite3_bind_int64(st, 4, t->span);
    return store_run(s, st, "cannot raise the stream's high-water mark", e);
}

int store_touches_write(struct store *s, struct err *e) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < s->touches.n_slots; i++)
        if (s->touches.slots[i].dirty)
            r = write_touched(s, &s->touches.slots[i], e);
    return r;
}

/* A transaction that touched very many leaves no large table for the small ones to clear. */
void store_touches_clear(struct store *s) {
    struct store_touches *t = &s->touches;
    if (t->n_slots > 4096)
        store_touches_free(s);
    else if (t->used)
        memset(t->slots, 0, t->n_slots * sizeof *t->slots);
    t->used = 0;
}

void store_touches_free(struct store *s) {
    free(s->touches.slots);
    s->touches = (struct store_touches){0};
}

/* ---- streams */

static void bind_key(sqlite3_stmt *st, const struct store_stream_key *k) {
    sqlite3_bind_text(st, 1, k->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, k->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 3, k->boot, WIRE_BOOT_BYTES, SQLITE_STATIC);
}

/* *ret: the first column of the one row; 1 found, 0 none. */
static int find(struct store *s, enum store_stmt which, const struct store_stream_key *k, int64_t *ret,
                struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, which, &r, e);
    if (!st)
        return r;
    bind_key(st, k);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
        r = 1;
    } else if (step != SQLITE_DONE) {
        r = store_fail(s, e, "cannot find the stream");
    }
    sqlite3_reset(st);
    return r;
}

static int make(struct store *s, const struct store_stream_key *k, int64_t *ret_id, struct err *e) {
    int r = store_number(s, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_NEW, &r, e);
    if (!st)
        return r;
    bind_key(st, k);
    sqlite3_bind_text(st, 4, k->node, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 5, (int64_t)s->n);
    r = store_run(s, st, "cannot make the stream", e);
    if (r == 0)
        *ret_id = sqlite3_last_insert_rowid(s->db);
    return r;
}

int store_stream(struct store *s, const struct store_stream_key *k, int64_t *ret_id, uint64_t *ret_hwm,
                 bool *ret_elsewhere, struct err *e) {
    struct store_touched now, *t = &now;
    int64_t id = 0, other = 0;
    int elsewhere = find(s, STMT_STREAM_ELSEWHERE, k, &other, e);
    if (elsewhere < 0)
        return elsewhere;
    int r = find(s, STMT_STREAM_FIND, k, &id, e);
    if (r == 0)
        r = make(s, k, &id, e);
    if (r >= 0) /* outside of a transaction there is nothing to gather */
        r = s->in_transaction ? store_touch(s, id, &t, e) : load(s, id, &now, e);
    if (r < 0)
        return r;
    *ret_id = id;
    *ret_hwm = t->hwm;
    *ret_elsewhere = elsewhere > 0;
    return 0;
}

/* ---- gaps and doubts */

static int insert_gap(struct store *s, int64_t stream, uint64_t from_seq, uint64_t to_seq,
                      enum store_gap_cause cause, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_GAP_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int64(st, 2, (int64_t)from_seq);
    sqlite3_bind_int64(st, 3, (int64_t)to_seq);
    sqlite3_bind_int64(st, 4, (int64_t)s->n);
    sqlite3_bind_int(st, 5, (int)cause);
    return store_run(s, st, "cannot write a gap", e);
}

int store_put_gap(struct store *s, int64_t stream, uint64_t from_seq, uint64_t to_seq,
                  enum store_gap_cause cause, struct err *e) {
    if (from_seq == 0 || to_seq < from_seq || to_seq > STORE_SEQ_MAX)
        return err_set(e, -EINVAL, "a gap must name its first and last record");
    if (cause < STORE_GAP_AGENT || cause > STORE_GAP_REPLACED)
        return err_set(e, -EINVAL, "a gap must name its cause");
    struct store_touched *t = NULL;
    int r = store_number(s, e);
    if (r == 0)
        r = store_touch(s, stream, &t, e);
    if (r < 0)
        return r;
    if (t->hwm != from_seq - 1)
        return err_set(e, -EINVAL, "a gap must begin where the stream ends");
    r = insert_gap(s, stream, from_seq, to_seq, cause, e);
    if (r == 0) {
        t->hwm = to_seq;
        t->dirty = true;
    }
    return r;
}

/* 1: this doubt is stored already. */
static int has_doubt(struct store *s, int64_t stream, enum store_doubt d, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_DOUBT_GET, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int(st, 2, (int)d);
    int step = sqlite3_step(st);
    r = step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : store_fail(s, e, "cannot read a doubt");
    sqlite3_reset(st);
    return r;
}

int store_put_doubt(struct store *s, int64_t stream, enum store_doubt d, struct err *e) {
    if (!s->in_transaction)
        return err_set(e, -EINVAL, "no transaction is open");
    if (d < STORE_DOUBT_TWO_AGENTS || d > STORE_DOUBT_TWO_STAGES)
        return err_set(e, -EINVAL, "a doubt must name its reason");
    struct store_touched *t = NULL;
    int r = store_touch(s, stream, &t, e);
    if (r == 0)
        r = has_doubt(s, stream, d, e);
    if (r != 0)
        return r < 0 ? r : 0;
    r = store_number(s, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_DOUBT_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int(st, 2, (int)d);
    sqlite3_bind_int64(st, 3, (int64_t)s->n);
    sqlite3_bind_int(st, 4, d == STORE_DOUBT_TWO_STAGES);
    return store_run(s, st, "cannot write a doubt", e);
}
