/* sqlite_rollup: gathered counts into the rollup table, and out of it. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/varint.h"

static const int64_t level_ns[STORE_LEVELS] = {
    [STORE_MINUTE] = ROLLUP_MINUTE_NS,
    [STORE_HOUR] = 60 * ROLLUP_MINUTE_NS,
    [STORE_DAY] = 24 * 60 * ROLLUP_MINUTE_NS,
};

size_t rollup_pack(const uint64_t *counts, uint8_t *out) {
    size_t n = 0, last = 0;
    for (size_t i = 0; i < ROLLUP_COUNTS; i++) {
        if (!counts[i])
            continue;
        n += varint_put(out + n, i - last);
        n += varint_put(out + n, counts[i]);
        last = i;
    }
    return n;
}

int rollup_unpack(const uint8_t *data, size_t len, uint64_t *counts) {
    const uint8_t *p = data, *end = data + len;
    uint64_t at = 0, step, count;
    while (p < end) {
        if (varint_get(&p, end, &step) < 0 || varint_get(&p, end, &count) < 0 || step >= ROLLUP_COUNTS ||
            (at += step) >= ROLLUP_COUNTS)
            return -EBADMSG;
        counts[at] += count;
    }
    return 0;
}

/* ---- writing */

static void bind_series(sqlite3_stmt *st, const struct rollup_series *x) {
    const char *p = x->text;
    for (int i = 1; i <= 5; i++) {
        sqlite3_bind_text(st, i, p, -1, SQLITE_STATIC);
        p += strlen(p) + 1;
    }
    sqlite3_bind_int(st, 6, *p);
}

/* The id of its row, made when it is missing. */
static int know_series(struct store *s, struct rollup_series *x, struct err *e) {
    int r = 0;
    if (x->id)
        return 0;
    sqlite3_stmt *st = store_stmt(s, STMT_SERIES_FIND, &r, e);
    if (!st)
        return r;
    bind_series(st, x);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        x->id = sqlite3_column_int64(st, 0);
    else if (step != SQLITE_DONE)
        r = store_fail(s, e, "cannot find a series");
    sqlite3_reset(st);
    if (r < 0 || x->id)
        return r;
    st = store_stmt(s, STMT_SERIES_NEW, &r, e);
    if (!st)
        return r;
    bind_series(st, x);
    r = store_run(s, st, "cannot make a series", e);
    if (r == 0)
        x->id = sqlite3_last_insert_rowid(s->db);
    return r;
}

/* Adds what is stored of this row to counts. */
static int read_counts(struct store *s, int64_t series, enum store_level level, int64_t from_ns,
                       uint64_t *counts, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_ROLLUP_GET, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, series);
    sqlite3_bind_int(st, 2, (int)level);
    sqlite3_bind_int64(st, 3, from_ns);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        if (rollup_unpack(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0), counts) < 0)
            r = err_set(e, -EBADMSG, "%s: a rollup is damaged", s->path);
    } else if (step != SQLITE_DONE) {
        r = store_fail(s, e, "cannot read a rollup");
    }
    sqlite3_reset(st);
    return r;
}

static int write_cell(struct store *s, const struct rollup_cell *c, int64_t series, enum store_level level,
                      struct err *e) {
    uint64_t counts[ROLLUP_COUNTS];
    uint8_t blob[ROLLUP_BLOB_MAX];
    int64_t from_ns = rollup_floor(c->from_ns, level_ns[level]);
    for (size_t i = 0; i < ROLLUP_COUNTS; i++)
        counts[i] = c->counts[i];
    int r = read_counts(s, series, level, from_ns, counts, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_ROLLUP_PUT, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, series);
    sqlite3_bind_int(st, 2, (int)level);
    sqlite3_bind_int64(st, 3, from_ns);
    sqlite3_bind_int64(st, 4, (int64_t)s->n);
    sqlite3_bind_int64(st, 5, c->calls);
    sqlite3_bind_int64(st, 6, c->unsent);
    sqlite3_bind_blob(st, 7, blob, (int)rollup_pack(counts, blob), SQLITE_STATIC);
    r = store_run(s, st, "cannot write a rollup", e);
    sqlite3_clear_bindings(st);
    return r;
}

static int by_series_and_time(const void *a, const void *b) {
    const struct rollup_cell *x = a, *y = b;
    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    return (x->from_ns > y->from_ns) - (x->from_ns < y->from_ns);
}

static void add_cell(struct rollup_cell *sum, const struct rollup_cell *c) {
    sum->calls += c->calls;
    sum->unsent += c->unsent;
    for (size_t i = 0; i < ROLLUP_COUNTS; i++)
        sum->counts[i] += c->counts[i];
}

/* The cells are in order, so that what goes into one row of the level lies together: each row is written
 * once. */
static int write_level(struct store *s, enum store_level level, struct err *e) {
    const struct rollup *u = &s->rollup;
    int r = 0;
    for (size_t i = 0, next; r == 0 && i < u->n_cells; i = next) {
        struct rollup_cell sum = u->cells[i];
        int64_t from_ns = rollup_floor(sum.from_ns, level_ns[level]);
        for (next = i + 1; next < u->n_cells && u->cells[next].series == sum.series &&
                           rollup_floor(u->cells[next].from_ns, level_ns[level]) == from_ns;
             next++)
            add_cell(&sum, &u->cells[next]);
        r = write_cell(s, &sum, u->series[sum.series].id, level, e);
    }
    return r;
}

int store_rollup_write(struct store *s, struct err *e) {
    struct rollup *u = &s->rollup;
    int r = 0;
    if (u->n_cells)
        qsort(u->cells, u->n_cells, sizeof *u->cells, by_series_and_time);
    for (size_t i = 0; r == 0 && i < u->n_cells; i++) {
        r = know_series(s, &u->series[u->cells[i].series], e);
        s->tally.calls += u->cells[i].calls;
    }
    for (int level = 0; r == 0 && level < STORE_LEVELS; level++)
        r = write_level(s, (enum store_level)level, e);
    rollup_forget_cells(u);
    return r;
}

int store_add_calls(struct store *s, const char *cluster, const char *namespace_name,
                    const struct store_calls *calls, struct err *e) {
    int r = store_number(s, e);
    if (r < 0)
        return r;
    r = rollup_add(&s->rollup, cluster, namespace_name, calls);
    if (r == -ENOMEM)
        return err_oom(e);
    if (r < 0)
        return err_set(e, r, "a block names an entry that it does not have, or one that is too long");
    return s->rollup.n_cells > ROLLUP_CELLS_MAX ? store_rollup_write(s, e) : 0;
}

/* Series that were made in a transaction that is gone have no row: all are looked up again. */
void store_rollup_end(struct store *s, bool committed) {
    rollup_forget_cells(&s->rollup);
    if (!committed || s->rollup.n_series > ROLLUP_SERIES_MAX)
        rollup_forget_series(&s->rollup);
}

/* ---- reading */

static int give_row(struct store *s, sqlite3_stmt *st, store_rollup_fn *fn, void *ctx, struct err *e) {
    uint64_t counts[ROLLUP_COUNTS] = {0};
    struct store_rollup row = {.cluster = (const char *)sqlite3_column_text(st, 0),
                               .namespace_name = (const char *)sqlite3_column_text(st, 1),
                               .probe = (const char *)sqlite3_column_text(st, 2),
                               .target = (const char *)sqlite3_column_text(st, 3),
                               .path = (const char *)sqlite3_column_text(st, 4),
                               .control = sqlite3_column_int(st, 5) != 0,
                               .level = (enum store_level)sqlite3_column_int(st, 6),
                               .from_ns = sqlite3_column_int64(st, 7),
                               .n_first = (uint64_t)sqlite3_column_int64(st, 8),
                               .n_last = (uint64_t)sqlite3_column_int64(st, 9),
                               .calls = (uint64_t)sqlite3_column_int64(st, 10),
                               .unsent = (uint64_t)sqlite3_column_int64(st, 11)};
    if (rollup_unpack(sqlite3_column_blob(st, 12), (size_t)sqlite3_column_bytes(st, 12), counts) < 0)
        return err_set(e, -EBADMSG, "%s: a rollup is damaged", s->path);
    memcpy(row.outcomes, counts, sizeof row.outcomes);
    memcpy(row.latency, counts + STORE_OUTCOMES, sizeof row.latency);
    return fn(ctx, &row);
}

int store_rollups(struct store *s, const struct store_rollup_query *q, store_rollup_fn *fn, void *ctx,
                  struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        s,
        "SELECT s.cluster, s.namespace, s.probe, s.target, s.path, s.control, r.level, r.from_ns, r.n_first, "
        "r.n_last, r.calls, r.unsent, r.counts FROM series s JOIN rollup r ON r.series = s.id "
        "WHERE (?1 IS NULL OR s.cluster = ?1) AND (?2 IS NULL OR s.namespace = ?2) AND (?3 IS NULL OR "
        "s.probe = ?3) AND r.level = ?4 AND r.from_ns >= ?5 AND r.from_ns < ?6 "
        "ORDER BY s.cluster, s.namespace, s.probe, s.target, s.path, s.control, r.from_ns",
        &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(st, 1, q->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, q->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, q->probe, -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 4, (int)q->level);
    sqlite3_bind_int64(st, 5, q->from_ns);
    sqlite3_bind_int64(st, 6, q->to_ns);
    int step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(st)) == SQLITE_ROW)
        r = give_row(s, st, fn, ctx, e);
    if (r == 0 && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the rollups");
    sqlite3_finalize(st);
    return r;
}
