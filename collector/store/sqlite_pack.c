/* sqlite_pack: small records of the bulk families become packs, in the background.
 *
 *   rows of a stream after stream.packed ─ by family ─► deflate (no lock) ─► one transaction:
 *   insert the packs, delete their rows, raise stream.packed
 *
 * A sweep takes a stream's rows in the order of seq, so that packs of one stream and family never overlap,
 * and a row is in the table or in a pack, never in both: rows do not change once they are committed, and only
 * the server's handle, this one, writes any. Packing is no evidence and takes no number. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crash.h"
#include "base/when.h"

#define STREAMS_AT_ONCE 64
#define STEP_NS                                                                                 \
    (10 * WHEN_MS) /* spent on looking for a stream; packing what was found takes about as long \
                    */

/* ---- what a sweep gathers */

struct group {
    struct pack_entry *entries; /* payloads owned */
    size_t n, cap;
    uint8_t *body;
    size_t len;
};
struct sweep {
    int64_t stream;
    uint64_t packed, last; /* rows in (packed, last] were looked at */
    size_t rows, bytes, records;
    int64_t span; /* of the longest pack */
    struct group groups[WIRE_FAMILIES];
};

static void free_sweep(struct sweep *w) {
    for (int f = 0; f < WIRE_FAMILIES; f++) {
        struct group *g = &w->groups[f];
        for (size_t i = 0; i < g->n; i++)
            free((void *)g->entries[i].payload);
        free(g->entries);
        free(g->body);
    }
}

static int add_entry(struct group *g, const struct pack_entry *e) {
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 64;
        struct pack_entry *more = realloc(g->entries, cap * sizeof *more);
        if (!more)
            return -ENOMEM;
        g->entries = more;
        g->cap = cap;
    }
    uint8_t *copy = malloc(e->len + 1); /* also nothing has an address */
    if (!copy)
        return -ENOMEM;
    if (e->len)
        memcpy(copy, e->payload, e->len);
    g->entries[g->n] = *e;
    g->entries[g->n++].payload = copy;
    return 0;
}

static int take_row(struct sweep *w, sqlite3_stmt *st) {
    struct pack_entry e = {.seq = (uint64_t)sqlite3_column_int64(st, 0),
                           .n = (uint64_t)sqlite3_column_int64(st, 1),
                           .t_from_ns = sqlite3_column_int64(st, 3),
                           .t_to_ns = sqlite3_column_int64(st, 4)};
    int family = sqlite3_column_int(st, 2);
    w->last = e.seq;
    w->rows++;
    if (family < 0 || family >= WIRE_FAMILIES || !(STORE_BULK & 1u << family))
        return 0;
    e.payload = sqlite3_column_blob(st, 5);
    e.len = (size_t)sqlite3_column_bytes(st, 5);
    w->bytes += e.len;
    w->records++;
    return add_entry(&w->groups[family], &e);
}

/* n ascends with seq: the first row that is too young ends the sweep. */
static int read_rows(struct store *s, struct sweep *w, uint64_t quiet, struct err *e) {
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE;
    int r = store_prepare(
        s,
        "SELECT seq, n, family, t_from, t_to, payload FROM record WHERE stream = ?1 AND seq > ?2 "
        "ORDER BY seq",
        &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, w->stream);
    sqlite3_bind_int64(st, 2, (int64_t)w->packed);
    while (r == 0 && w->rows < STORE_SWEEP_ROWS && w->bytes < STORE_SWEEP_BYTES &&
           (step = sqlite3_step(st)) == SQLITE_ROW) {
        if ((uint64_t)sqlite3_column_int64(st, 1) > quiet)
            break;
        if (take_row(w, st) < 0)
            r = err_oom(e);
    }
    if (r == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        r = store_fail(s, e, "cannot read a record");
    sqlite3_finalize(st);
    return r;
}

static int encode(struct sweep *w, struct err *e) {
    int r = 0;
    for (int f = 0; r == 0 && f < WIRE_FAMILIES; f++) {
        struct group *g = &w->groups[f];
        if (g->n)
            r = pack_encode(g->entries, g->n, &g->body, &g->len);
    }
    return r < 0 ? err_set(e, r, "cannot pack records of stream %lld", (long long)w->stream) : 0;
}

/* ---- the transaction */

static int insert_pack(struct store *s, struct sweep *w, int family, struct err *e) {
    const struct group *g = &w->groups[family];
    struct store_pack_row row = {.stream = w->stream, .family = family, .records = (int64_t)g->n};
    store_pack_bounds(g->entries, g->n, &row);
    int64_t span;
    if (__builtin_sub_overflow(row.t_to_ns, row.t_from_ns, &span))
        span = INT64_MAX;
    w->span = span > w->span ? span : w->span;
    return store_pack_insert(s, &row, g->body, g->len, e);
}

static int delete_rows(struct store *s, const struct sweep *w, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r =
        store_prepare(s,
                      "DELETE FROM record WHERE stream = ?1 AND seq > ?2 AND seq <= ?3 AND family IN (1, 3, "
                      "6, 8)",
                      &st, e);
    if (r < 0)
        return r;
    _Static_assert(STORE_BULK == (1u << 1 | 1u << 3 | 1u << 6 | 1u << 8),
                   "the statement names the bulk families");
    sqlite3_bind_int64(st, 1, w->stream);
    sqlite3_bind_int64(st, 2, (int64_t)w->packed);
    sqlite3_bind_int64(st, 3, (int64_t)w->last);
    r = store_run(s, st, "cannot delete packed records", e);
    sqlite3_finalize(st);
    if (r == 0 && (size_t)sqlite3_changes(s->db) != w->records)
        return err_set(e, -EIO, "%s: another process changed records while they were packed", s->path);
    return r;
}

static int raise_packed(struct store *s, const struct sweep *w, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "UPDATE stream SET packed = ?2, pack_span = max(pack_span, ?3) WHERE id = ?1",
                          &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, w->stream);
    sqlite3_bind_int64(st, 2, (int64_t)w->last);
    sqlite3_bind_int64(st, 3, w->span);
    r = store_run(s, st, "cannot write to the store", e);
    sqlite3_finalize(st);
    return r;
}

static int write_sweep(struct store *s, struct sweep *w, int64_t now_wall_ns, struct err *e) {
    int r = store_begin(s, e);
    if (r < 0)
        return r;
    for (int f = 0; r == 0 && f < WIRE_FAMILIES; f++)
        if (w->groups[f].n)
            r = insert_pack(s, w, f, e);
    CRASH_POINT("store-pack-inserted");
    if (r == 0)
        r = delete_rows(s, w, e);
    CRASH_POINT("store-pack-deleted");
    if (r == 0)
        r = raise_packed(s, w, e);
    s->tally.packed += (int64_t)w->records;
    if (r == 0)
        return store_commit(s, now_wall_ns, NULL, e);
    store_rollback(s);
    return r;
}

static int sweep(struct store *s, int64_t stream, uint64_t packed, uint64_t quiet, int64_t now_wall_ns,
                 size_t *ret_records, struct err *e) {
    struct sweep w = {.stream = stream, .packed = packed, .last = packed};
    int r = read_rows(s, &w, quiet, e);
    if (r == 0)
        r = encode(&w, e);
    CRASH_POINT("store-pack-encoded");
    if (r == 0 && w.rows)
        r = write_sweep(s, &w, now_wall_ns, e);
    if (r == 0)
        *ret_records += w.records;
    free_sweep(&w);
    return r;
}

/* ---- which stream is next */

/* The commit of the first row at or after seq; 0: there is none. */
static int commit_of(struct store *s, int64_t stream, uint64_t seq, uint64_t *ret, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_RECORD_FIRST, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, stream);
    sqlite3_bind_int64(st, 2, (int64_t)seq);
    int step = sqlite3_step(st);
    *ret = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read a record");
    sqlite3_reset(st);
    return r;
}

/* Enough for a pack lies there, or what lies there has waited for long. 1, 0 or negative. */
static int is_ready(struct store *s, int64_t stream, uint64_t packed, uint64_t quiet, uint64_t old,
                    struct err *e) {
    uint64_t n = 0;
    int r = commit_of(s, stream, packed + STORE_PACK_ENOUGH, &n, e);
    if (r < 0 || (n && n <= quiet))
        return r < 0 ? r : 1;
    r = commit_of(s, stream, packed + 1, &n, e);
    return r < 0 ? r : n && n <= old;
}

struct candidate {
    int64_t id;
    uint64_t packed;
};

static int candidates(struct store *s, struct candidate *out, size_t *ret_n, struct err *e) {
    int r = 0, step = SQLITE_DONE;
    size_t n = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_STREAM_UNPACKED, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, s->pack_cursor);
    sqlite3_bind_int64(st, 2, STREAMS_AT_ONCE);
    while (n < STREAMS_AT_ONCE && (step = sqlite3_step(st)) == SQLITE_ROW)
        out[n++] = (struct candidate){sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1)};
    if (n < STREAMS_AT_ONCE && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the streams");
    sqlite3_reset(st);
    *ret_n = n;
    return r;
}

/* Goes round the streams from where the last step ended, until something was packed, all were seen or the
 * time is over. */
static int search(struct store *s, uint64_t quiet, uint64_t old, int64_t now_wall_ns, size_t *ret_records,
                  struct err *e) {
    int64_t begun = when_mono_ns();
    bool wrapped = s->pack_cursor == 0;
    while (*ret_records == 0 && when_mono_ns() - begun < STEP_NS) {
        struct candidate list[STREAMS_AT_ONCE];
        size_t n = 0;
        int r = candidates(s, list, &n, e);
        for (size_t i = 0; r == 0 && i < n && *ret_records == 0; i++) {
            r = is_ready(s, list[i].id, list[i].packed, quiet, old, e);
            if (r == 1)
                r = sweep(s, list[i].id, list[i].packed, quiet, now_wall_ns, ret_records, e);
            else
                s->pack_cursor = list[i].id; /* else: it may hold more */
        }
        if (r < 0)
            return r;
        if (n < STREAMS_AT_ONCE && *ret_records == 0) {
            s->pack_cursor = 0;
            if (wrapped)
                break;
            wrapped = true;
        }
    }
    return 0;
}

int store_pack(struct store *s, int64_t now_wall_ns, size_t *ret_records, struct err *e) {
    uint64_t quiet = 0, old = 0;
    size_t records = 0;
    if (s->in_transaction)
        return err_set(e, -EINVAL, "a transaction is open already");
    int r = store_commit_at(s, now_wall_ns - STORE_PACK_QUIET_NS, &quiet, e);
    if (r == 0)
        r = store_commit_at(s, now_wall_ns - STORE_PACK_OLD_NS, &old, e);
    if (r == 0 && quiet)
        r = search(s, quiet, old, now_wall_ns, &records, e);
    if (r == 0)
        *ret_records = records;
    return r;
}
