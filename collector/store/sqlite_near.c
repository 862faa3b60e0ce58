/* sqlite_near: neighbours of a window: of each family the last record that ended before it, and the first
 * that began after it. "Last" is the one that began last, "first" the one that began first; of several at the
 * same moment the one that ended later, or earlier, then by seq: the order of the index record_time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/records_priv.h"

#define COLUMNS \
    "SELECT seq, n, t_from, t_to, payload FROM record INDEXED BY record_time WHERE stream = ?1 AND "
static const char row_before[] = COLUMNS "family = ?2 AND n <= ?3 AND t_from < ?4 AND t_to < ?4 "
                                         "ORDER BY t_from DESC, t_to DESC, n DESC, seq DESC LIMIT 1";
static const char row_after[] =
    COLUMNS "family = ?2 AND n <= ?3 AND t_from > ?4 ORDER BY t_from, t_to, n, seq LIMIT 1";
/* From the window outwards; ?5 is where a pack may begin that holds what comes after the window. */
static const char pack_before[] =
    "SELECT id, t_from, t_to FROM pack INDEXED BY pack_time WHERE stream = ?1 AND family "
    "= ?2 AND n_from <= ?3 AND t_from < ?4 ORDER BY t_from DESC";
static const char pack_after[] =
    "SELECT id, t_from, t_to FROM pack INDEXED BY pack_time WHERE stream = ?1 AND family "
    "= ?2 AND n_from <= ?3 AND t_from >= ?5 AND t_to > ?4 ORDER BY t_from";

struct search {
    struct records_query *q;
    const struct records_stream *x;
    int family;
    bool before;
    int64_t edge;
    struct near_record best;
    bool found;
};

static bool better(const struct search *f, const struct pack_entry *e) {
    const struct store_record *b = &f->best.r;
    bool later = e->t_from_ns != b->t_from_ns ? e->t_from_ns > b->t_from_ns
                 : e->t_to_ns != b->t_to_ns   ? e->t_to_ns > b->t_to_ns
                                              : e->seq > b->seq;
    return !f->found || later == f->before;
}

static int keep(struct search *f, const struct pack_entry *p) {
    uint8_t *copy = malloc(p->len + 1);
    if (!copy)
        return err_oom(f->q->e);
    if (p->len)
        memcpy(copy, p->payload, p->len);
    free(f->best.bytes);
    f->best = (struct near_record){.r = {.stream = f->x->id,
                                         .seq = p->seq,
                                         .family = (enum wire_family)f->family,
                                         .t_from_ns = p->t_from_ns,
                                         .t_to_ns = p->t_to_ns,
                                         .payload = copy,
                                         .len = p->len},
                                   .n = p->n,
                                   .bytes = copy};
    f->found = true;
    return 0;
}

static int begin(struct search *f, sqlite3_stmt **st, const char *sql) {
    int r = *st ? 0 : store_prepare(f->q->s, sql, st, f->q->e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(*st, 1, f->x->id);
    sqlite3_bind_int(*st, 2, f->family);
    sqlite3_bind_int64(*st, 3, (int64_t)f->q->q.commit);
    sqlite3_bind_int64(*st, 4, f->edge);
    if (sqlite3_bind_parameter_count(*st) > 4)
        sqlite3_bind_int64(*st, 5, records_enter(f->edge, f->x->pack_span));
    return 0;
}

static int search_rows(struct search *f) {
    sqlite3_stmt **st = f->before ? &f->q->row_before : &f->q->row_after;
    int r = begin(f, st, f->before ? row_before : row_after);
    if (r < 0)
        return r;
    int step = sqlite3_step(*st);
    if (step == SQLITE_ROW) {
        struct pack_entry e = {.seq = (uint64_t)sqlite3_column_int64(*st, 0),
                               .n = (uint64_t)sqlite3_column_int64(*st, 1),
                               .t_from_ns = sqlite3_column_int64(*st, 2),
                               .t_to_ns = sqlite3_column_int64(*st, 3),
                               .payload = sqlite3_column_blob(*st, 4),
                               .len = (size_t)sqlite3_column_bytes(*st, 4)};
        r = keep(f, &e);
    } else if (step != SQLITE_DONE) {
        r = store_fail(f->q->s, f->q->e, "cannot read the records");
    }
    sqlite3_reset(*st);
    return r;
}

static int search_pack(struct search *f, const struct pack *p) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n; i++) {
        const struct pack_entry *e = &p->entries[i];
        bool outside = f->before ? e->t_from_ns < f->edge && e->t_to_ns < f->edge : e->t_from_ns > f->edge;
        if (e->payload && e->n <= f->q->q.commit && outside && better(f, e))
            r = keep(f, e);
    }
    return r;
}

/* Nothing in packs from here on can be nearer. */
static bool is_far(const struct search *f, int64_t pack_from) {
    if (!f->found)
        return false;
    return f->before ? pack_from < records_enter(f->best.r.t_from_ns, f->x->pack_span)
                     : pack_from > f->best.r.t_from_ns;
}

static struct open_packs *open_of(const struct search *f) {
    for (size_t k = 0; k < STORE_BULK_COUNT; k++)
        if (store_bulk_families[k] == f->family)
            return &f->q->open[k];
    return NULL;
}

static int open_pack(const struct search *f, int64_t id, const struct pack **ret) {
    struct records_query *q = f->q;
    struct open_packs *o = open_of(f);
    *ret = id == o->window_id ? o->window : &o->near;
    if (id == o->window_id || id == o->near_id)
        return 0;
    int r =
        q->pack_body ? 0 : store_prepare(q->s, "SELECT body FROM pack WHERE id = ?1", &q->pack_body, q->e);
    if (r < 0)
        return r;
    pack_free(&o->near);
    o->near_id = 0;
    sqlite3_bind_int64(q->pack_body, 1, id);
    r = sqlite3_step(q->pack_body) == SQLITE_ROW ? store_pack_decode(q->s, q->pack_body, 0, &o->near, q->e)
                                                 : store_fail(q->s, q->e, "cannot read a pack");
    sqlite3_reset(q->pack_body);
    if (r == 0)
        o->near_id = id;
    return r;
}

static int search_packs(struct search *f) {
    sqlite3_stmt **st = f->before ? &f->q->pack_before : &f->q->pack_after;
    int r = begin(f, st, f->before ? pack_before : pack_after), step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(*st)) == SQLITE_ROW && !is_far(f, sqlite3_column_int64(*st, 1))) {
        const struct pack *p = NULL;
        if (f->before && f->found && sqlite3_column_int64(*st, 2) < f->best.r.t_from_ns)
            continue; /* all of it began before what we have */
        r = open_pack(f, sqlite3_column_int64(*st, 0), &p);
        if (r == 0)
            r = search_pack(f, p);
    }
    if (r == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        r = store_fail(f->q->s, f->q->e, "cannot read a pack");
    sqlite3_reset(*st);
    return r;
}

static int search_side(struct records_query *q, const struct records_stream *x, int family, bool before,
                       struct near_list *ret) {
    struct search f = {
        .q = q, .x = x, .family = family, .before = before, .edge = before ? q->q.from_ns : q->q.to_ns};
    int r = search_rows(&f);
    if (r == 0 && x->packed && (STORE_BULK & 1u << family))
        r = search_packs(&f);
    if (r == 0 && f.found)
        ret->list[ret->count++] = f.best;
    else
        free(f.best.bytes);
    return r;
}

static int by_seq(const void *a, const void *b) {
    const struct near_record *x = a, *y = b;
    return (x->r.seq > y->r.seq) - (x->r.seq < y->r.seq);
}

int records_near(struct records_query *q, const struct records_stream *x, struct near_list *ret) {
    int r = 0;
    for (int f = 0; r == 0 && f < WIRE_FAMILIES; f++) {
        if (!records_wants(q, f))
            continue;
        r = search_side(q, x, f, true, ret);
        if (r == 0)
            r = search_side(q, x, f, false, ret);
    }
    qsort(ret->list, ret->count, sizeof *ret->list, by_seq);
    return r;
}

void records_near_free(struct near_list *l) {
    for (size_t i = 0; i < l->count; i++)
        free(l->list[i].bytes);
    l->count = 0;
}
