/* sqlite_packed: packs as rows: written, decoded, and searched for one record or for a high-water mark. */
#include "store/store_priv.h"

#include <errno.h>

const int store_bulk_families[STORE_BULK_COUNT] = {WIRE_FAMILY_TIMING, WIRE_FAMILY_CALLS,
                                                   WIRE_FAMILY_COVERAGE, WIRE_FAMILY_CONFIRMED};

void store_pack_bounds(const struct pack_entry *entries, size_t n, struct store_pack_row *ret) {
    ret->seq_from = entries[0].seq;
    ret->seq_to = entries[n - 1].seq;
    ret->n_from = entries[0].n;
    ret->n_to = entries[n - 1].n;
    ret->t_from_ns = entries[0].t_from_ns;
    ret->t_to_ns = entries[0].t_to_ns;
    for (size_t i = 1; i < n; i++) {
        if (entries[i].t_from_ns < ret->t_from_ns)
            ret->t_from_ns = entries[i].t_from_ns;
        if (entries[i].t_to_ns > ret->t_to_ns)
            ret->t_to_ns = entries[i].t_to_ns;
    }
}

int store_pack_insert(struct store *s, const struct store_pack_row *row, const uint8_t *body, size_t len,
                      struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_PACK_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, row->stream);
    sqlite3_bind_int(st, 2, row->family);
    sqlite3_bind_int64(st, 3, (int64_t)row->seq_from);
    sqlite3_bind_int64(st, 4, (int64_t)row->seq_to);
    sqlite3_bind_int64(st, 5, (int64_t)row->n_from);
    sqlite3_bind_int64(st, 6, (int64_t)row->n_to);
    sqlite3_bind_int64(st, 7, row->t_from_ns);
    sqlite3_bind_int64(st, 8, row->t_to_ns);
    sqlite3_bind_int64(st, 9, row->records);
    sqlite3_bind_blob64(st, 10, body, len, SQLITE_STATIC);
    return store_run(s, st, "cannot write a pack", e);
}

int store_pack_decode(struct store *s, sqlite3_stmt *st, int column, struct pack *ret, struct err *e) {
    int r = pack_decode(sqlite3_column_blob(st, column), (size_t)sqlite3_column_bytes(st, column), ret);
    return r == -ENOMEM ? err_oom(e) : r < 0 ? err_set(e, r, "%s: a pack is damaged", s->path) : 0;
}

/* ---- one record */

void store_pack_cache_clear(struct store *s) {
    for (size_t i = 0; i < STORE_PACK_CACHE; i++) {
        pack_free(&s->pack_cache[i].pack);
        s->pack_cache[i].id = 0;
    }
}

/* What is sent again comes in order, of some streams at a time: the packs that were opened last are kept. */
static int open_pack(struct store *s, int64_t id, const struct pack **ret, struct err *e) {
    for (size_t i = 0; i < STORE_PACK_CACHE; i++)
        if (s->pack_cache[i].id == id) {
            *ret = &s->pack_cache[i].pack;
            return 0;
        }
    struct store_pack_slot *slot = &s->pack_cache[s->pack_cache_next++ % STORE_PACK_CACHE];
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_PACK_BODY, &r, e);
    if (!st)
        return r;
    pack_free(&slot->pack);
    slot->id = 0;
    sqlite3_bind_int64(st, 1, id);
    r = sqlite3_step(st) == SQLITE_ROW ? store_pack_decode(s, st, 0, &slot->pack, e)
                                       : store_fail(s, e, "cannot read a pack");
    sqlite3_reset(st);
    if (r < 0)
        return r;
    slot->id = id;
    *ret = &slot->pack;
    return 0;
}

/* The pack of this family in whose range seq lies; 0: none does. */
static int pack_of(struct store *s, int64_t stream, int family, uint64_t seq, int64_t *ret, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_PACK_OF, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int(st, 2, family);
    sqlite3_bind_int64(st, 3, (int64_t)seq);
    int step = sqlite3_step(st);
    *ret =
        step == SQLITE_ROW && (uint64_t)sqlite3_column_int64(st, 1) >= seq ? sqlite3_column_int64(st, 0) : 0;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read a pack");
    sqlite3_reset(st);
    return r;
}

int store_pack_find(struct store *s, int64_t stream, uint64_t seq, const struct pack_entry **ret,
                    struct err *e) {
    *ret = NULL;
    for (size_t i = 0; i < STORE_BULK_COUNT; i++) {
        const struct pack *p = NULL;
        int64_t id = 0;
        int r = pack_of(s, stream, store_bulk_families[i], seq, &id, e);
        if (r == 0 && id)
            r = open_pack(s, id, &p, e);
        if (r < 0)
            return r;
        if (p && (*ret = pack_find(p, seq)))
            return 0;
    }
    return 0;
}

/* ---- the mark of a stream as of a commit */

static uint64_t last_until(const struct pack *p, uint64_t commit) {
    uint64_t seq = 0;
    for (size_t i = 0; i < p->n && p->entries[i].n <= commit; i++)
        seq = p->entries[i].seq;
    return seq;
}

int store_pack_mark(struct store *s, int64_t stream, uint64_t commit, uint64_t *mark, struct err *e) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < STORE_BULK_COUNT; i++) {
        sqlite3_stmt *st = store_stmt(s, STMT_PACK_MARK, &r, e);
        if (!st)
            return r;
        sqlite3_bind_int64(st, 1, stream);
        sqlite3_bind_int(st, 2, store_bulk_families[i]);
        sqlite3_bind_int64(st, 3, (int64_t)commit);
        int step = sqlite3_step(st);
        uint64_t seq = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
        struct pack p = {0};
        if (step == SQLITE_ROW && (uint64_t)sqlite3_column_int64(st, 1) > commit) {
            r = store_pack_decode(s, st, 2, &p, e);
            seq = last_until(&p, commit);
            pack_free(&p);
        } else if (step != SQLITE_ROW && step != SQLITE_DONE) {
            r = store_fail(s, e, "cannot read a pack");
        }
        sqlite3_reset(st);
        *mark = seq > *mark ? seq : *mark;
    }
    return r;
}
