/* sqlite_records: the records of a query, from rows, packs and neighbours, merged by seq.
 *
 *   rows ─────────────────┐
 *   packs of each family ─┼─► the least seq next ─► callback
 *   neighbours ───────────┘
 *
 * All in one read transaction: what moves from rows to packs meanwhile is seen once. */
#include <errno.h>
#include <string.h>

#include "store/records_priv.h"

static const char all_rows[] = "SELECT seq, n, family, t_from, t_to, payload FROM record "
                               "WHERE stream = ?1 AND n <= ?2 ORDER BY seq";
/* A window: the index alone finds the numbers, which are sorted before any payload is touched. LIMIT keeps
 * SQLite from flattening the inner SELECT. */
static const char window_rows[] =
    "SELECT r.seq, r.n, r.family, r.t_from, r.t_to, r.payload FROM ("
    "  SELECT seq FROM record INDEXED BY record_time WHERE stream = ?1 AND n <= ?2 AND t_from BETWEEN ?3 AND "
    "?4 "
    "  AND t_to >= ?5 AND family IN (?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ORDER BY seq LIMIT -1) k "
    "CROSS JOIN record r ON r.stream = ?1 AND r.seq = k.seq";
static const char all_packs[] =
    "SELECT body, id FROM pack INDEXED BY pack_seq WHERE stream = ?1 AND family = ?2 AND "
    "n_from <= ?3 ORDER BY seq_from";
static const char window_packs[] = "SELECT p.body, p.id FROM (SELECT id FROM pack INDEXED BY pack_time WHERE "
                                   "stream = ?1 AND family = ?2 AND n_from <= "
                                   "?3 AND t_from BETWEEN ?4 AND ?5 AND t_to >= ?6 ORDER BY seq_from LIMIT "
                                   "-1) k CROSS JOIN pack p ON p.id = k.id";

/* ---- one source of records each */

struct source {
    bool have;
    struct store_record r;
    uint64_t n;
};
struct pack_source {
    struct source at;
    sqlite3_stmt *st;
    struct pack pack;
    size_t next;
    struct open_packs *open;
};

static int next_row(struct records_query *q, struct source *x) {
    int step = sqlite3_step(q->rows);
    x->have = step == SQLITE_ROW;
    if (step == SQLITE_DONE)
        return 0;
    if (step != SQLITE_ROW)
        return store_fail(q->s, q->e, "cannot read the records");
    x->n = (uint64_t)sqlite3_column_int64(q->rows, 1);
    x->r.seq = (uint64_t)sqlite3_column_int64(q->rows, 0);
    x->r.family = (enum wire_family)sqlite3_column_int(q->rows, 2);
    x->r.t_from_ns = sqlite3_column_int64(q->rows, 3);
    x->r.t_to_ns = sqlite3_column_int64(q->rows, 4);
    x->r.payload = sqlite3_column_blob(q->rows, 5);
    x->r.len = (size_t)sqlite3_column_bytes(q->rows, 5);
    return 0;
}

static bool entry_fits(const struct records_query *q, const struct pack_entry *e) {
    return e->payload && e->n <= q->q.commit &&
           (!q->timed || (e->t_from_ns <= q->q.to_ns && e->t_to_ns >= q->q.from_ns));
}

static int next_packed(struct records_query *q, struct pack_source *x) {
    for (;;) {
        for (; x->next < x->pack.n; x->next++) {
            const struct pack_entry *e = &x->pack.entries[x->next];
            if (!entry_fits(q, e))
                continue;
            x->next++;
            x->at.n = e->n;
            x->at.r.seq = e->seq;
            x->at.r.t_from_ns = e->t_from_ns;
            x->at.r.t_to_ns = e->t_to_ns;
            x->at.r.payload = e->payload;
            x->at.r.len = e->len;
            x->at.have = true;
            return 0;
        }
        pack_free(&x->pack);
        x->next = 0;
        x->at.have = false;
        x->open->window_id = 0;
        int step = sqlite3_step(x->st);
        if (step == SQLITE_DONE)
            return 0;
        int r = step == SQLITE_ROW ? store_pack_decode(q->s, x->st, 0, &x->pack, q->e)
                                   : store_fail(q->s, q->e, "cannot read a pack");
        if (r < 0)
            return r;
        x->open->window_id = sqlite3_column_int64(x->st, 1);
        x->open->window = &x->pack;
    }
}

/* ---- one stream */

struct merge {
    struct source row;
    struct pack_source packs[STORE_BULK_COUNT];
    struct near_list near;
    size_t near_next;
};

static void bind_rows(struct records_query *q, const struct records_stream *x) {
    sqlite3_stmt *st = q->rows;
    _Static_assert(WIRE_FAMILIES <= 9, "the statement has nine places for families");
    sqlite3_bind_int64(st, 1, x->id);
    sqlite3_bind_int64(st, 2, (int64_t)q->q.commit);
    if (sqlite3_bind_parameter_count(st) == 2)
        return;
    int64_t from = q->timed ? q->q.from_ns : INT64_MIN;
    sqlite3_bind_int64(st, 3, records_enter(from, x->span));
    sqlite3_bind_int64(st, 4, q->timed ? q->q.to_ns : INT64_MAX);
    sqlite3_bind_int64(st, 5, from);
    for (int f = 0; f < WIRE_FAMILIES; f++)
        sqlite3_bind_int(st, 6 + f, records_wants(q, f) ? f : -1);
}

static int begin_packs(struct records_query *q, const struct records_stream *x, struct pack_source *p,
                       size_t k) {
    p->st = q->packs[k];
    p->open = &q->open[k];
    p->at.r.stream = x->id;
    p->at.r.family = (enum wire_family)store_bulk_families[k];
    if (!x->packed || !records_wants(q, store_bulk_families[k]))
        return 0;
    sqlite3_bind_int64(p->st, 1, x->id);
    sqlite3_bind_int(p->st, 2, store_bulk_families[k]);
    sqlite3_bind_int64(p->st, 3, (int64_t)q->q.commit);
    if (q->timed) {
        sqlite3_bind_int64(p->st, 4, records_enter(q->q.from_ns, x->pack_span));
        sqlite3_bind_int64(p->st, 5, q->q.to_ns);
        sqlite3_bind_int64(p->st, 6, q->q.from_ns);
    }
    return next_packed(q, p);
}

static int begin_merge(struct records_query *q, const struct records_stream *x, struct merge *m) {
    m->row.r.stream = x->id;
    bind_rows(q, x);
    int r = next_row(q, &m->row);
    for (size_t k = 0; r == 0 && k < STORE_BULK_COUNT; k++)
        r = begin_packs(q, x, &m->packs[k], k);
    if (r == 0 && q->timed && q->q.neighbours)
        r = records_near(q, x, &m->near);
    return r;
}

/* Gives what has the least seq, and moves that source on. */
static int give_next(struct records_query *q, struct merge *m) {
    struct source *least = m->row.have ? &m->row : NULL;
    struct pack_source *of_pack = NULL;
    for (size_t k = 0; k < STORE_BULK_COUNT; k++) {
        struct pack_source *p = &m->packs[k];
        if (!p->at.have || (least && least->r.seq < p->at.r.seq))
            continue;
        least = &p->at;
        of_pack = p;
    }
    if (m->near_next < m->near.count && (!least || m->near.list[m->near_next].r.seq < least->r.seq)) {
        struct near_record *n = &m->near.list[m->near_next++];
        return q->fn(q->ctx, &n->r, n->n);
    }
    if (!least)
        return 0;
    int r = q->fn(q->ctx, &least->r, least->n);
    return r != 0 ? r : of_pack ? next_packed(q, of_pack) : next_row(q, &m->row);
}

static void end_merge(struct records_query *q, struct merge *m) {
    sqlite3_reset(q->rows);
    for (size_t k = 0; k < STORE_BULK_COUNT; k++) {
        pack_free(&m->packs[k].pack);
        q->open[k].window_id = 0;
        sqlite3_reset(q->packs[k]);
    }
    records_near_free(&m->near);
}

static bool at_end(const struct merge *m) {
    bool have = m->row.have || m->near_next < m->near.count;
    for (size_t k = 0; k < STORE_BULK_COUNT; k++)
        have = have || m->packs[k].at.have;
    return !have;
}

static int walk_stream(sqlite3_stmt *st, void *ctx) {
    struct records_query *q = ctx;
    struct records_stream x = {sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                               sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3) > 0};
    struct merge m = {0};
    int r = begin_merge(q, &x, &m);
    while (r == 0 && !at_end(&m))
        r = give_next(q, &m);
    end_merge(q, &m);
    return r;
}

/* ---- the query */

static int prepare(struct records_query *q) {
    bool all = !q->timed && !q->q.families;
    int r = store_prepare(q->s, all ? all_rows : window_rows, &q->rows, q->e);
    for (size_t k = 0; r == 0 && k < STORE_BULK_COUNT; k++)
        r = store_prepare(q->s, q->timed ? window_packs : all_packs, &q->packs[k], q->e);
    return r;
}

static int walk_streams(struct records_query *q) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        q->s,
        "SELECT id, span, pack_span, packed FROM stream WHERE n <= ?1 AND (?2 IS NULL OR cluster "
        "= ?2) AND (?3 IS NULL OR namespace = ?3) ORDER BY id",
        &st, q->e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)q->q.commit);
    sqlite3_bind_text(st, 2, q->q.cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, q->q.namespace_name, -1, SQLITE_STATIC);
    return store_each_row(q->s, st, walk_stream, q, q->e);
}

static void end_query(struct records_query *q, bool began) {
    sqlite3_stmt *const near[] = {q->pack_body, q->row_before, q->row_after, q->pack_before, q->pack_after};
    sqlite3_finalize(q->rows);
    for (size_t k = 0; k < STORE_BULK_COUNT; k++) {
        sqlite3_finalize(q->packs[k]);
        pack_free(&q->open[k].near);
    }
    for (size_t k = 0; k < sizeof near / sizeof *near; k++)
        sqlite3_finalize(near[k]);
    if (began && !sqlite3_get_autocommit(q->s->db))
        (void)sqlite3_exec(q->s->db, "COMMIT", NULL, NULL, NULL); /* nothing was written */
}

int store_records(struct store *s, const struct store_query *query, store_record_fn *fn, void *ctx,
                  struct err *e) {
    struct records_query q = {.s = s, .q = *query, .fn = fn, .ctx = ctx, .e = e};
    q.timed = query->from_ns || query->to_ns;
    bool began = sqlite3_get_autocommit(s->db);
    int r = began ? store_exec(s, "BEGIN", "cannot read the store", e) : 0;
    if (r < 0)
        return r;
    r = store_newest_if_zero(s, &q.q.commit, e);
    if (r == 0)
        r = prepare(&q);
    if (r == 0)
        r = walk_streams(&q);
    end_query(&q, began);
    return r;
}
