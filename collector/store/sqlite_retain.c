/* sqlite_retain: retention. What is deleted leaves its place in its pack (seq, commit and times, no bytes),
 * so that a resend is a duplicate and a mark as of an old commit stays what it was; and a row in `deletion`.
 *
 * Only packs are looked at: what is not packed yet is younger than any retention. A handle remembers where
 * the last step of the same request ended, so that packs with nothing to delete are opened once a round. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crash.h"
#include "base/when.h"

#define PACKS_AT_ONCE 32 /* as next_sql has it */
#define STEP_NS (20 * WHEN_MS)

/* ---- which records may go */

/* Every call of it completed, once and without a detour. */
static bool is_pass(const struct pack_entry *p) {
    static const uint32_t odd = PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT |
                                PILOTGATE__CALL_FLAG__CALL_FLAG_RESUMED |
                                PILOTGATE__CALL_FLAG__CALL_FLAG_REPEATED;
    Pilotgate__Record *r = NULL;
    if (wire_record_unpack(p->payload, p->len, &r, NULL) < 0)
        return false;
    const Pilotgate__CallBlock *b = r->body_case == PILOTGATE__RECORD__BODY_CALLS ? r->calls : NULL;
    bool pass = b && b->n_outcome > 0;
    for (size_t i = 0; pass && i < b->n_outcome; i++)
        pass = b->outcome[i] == PILOTGATE__OUTCOME__OUTCOME_COMPLETED && !(b->flags[i] & odd);
    wire_record_free(&r);
    return pass;
}

static bool is_kept(const struct store_retention *r, const struct pack_entry *p) {
    if (p->t_to_ns >= r->before_ns)
        return true;
    for (size_t i = 0; i < r->n_keep; i++)
        if (p->t_from_ns <= r->keep[i].to_ns && p->t_to_ns >= r->keep[i].from_ns)
            return true;
    return false;
}

struct deletion {
    int64_t pack, stream;
    size_t records, passes, live; /* deleted; that could be, as far as their content goes; still stored */
    struct pack_entry first, last;
    int64_t t_from_ns, t_to_ns;
};

static void mark(struct pack_entry *p, struct deletion *d) {
    if (!d->records || p->t_from_ns < d->t_from_ns)
        d->t_from_ns = p->t_from_ns;
    if (!d->records || p->t_to_ns > d->t_to_ns)
        d->t_to_ns = p->t_to_ns;
    if (!d->records++)
        d->first = *p;
    d->last = *p;
    p->payload = NULL;
    p->len = 0;
}

/* Marks what goes, at most max records. */
static void choose(struct pack *pack, const struct store_retention *r, size_t max, struct deletion *d) {
    for (size_t i = 0; i < pack->n; i++) {
        struct pack_entry *p = &pack->entries[i];
        if (!p->payload)
            continue;
        bool pass = is_pass(p);
        if (pass && d->records < max && !is_kept(r, p)) {
            mark(p, d);
            continue;
        }
        d->live++;
        d->passes += pass;
    }
}

/* ---- one pack */

static int write_pack(struct store *s, const struct pack *pack, const struct deletion *d, struct err *e) {
    uint8_t *body = NULL;
    size_t len = 0;
    int r = pack_encode(pack->entries, pack->n, &body, &len);
    if (r < 0)
        return err_set(e, r, "cannot write a pack of stream %lld", (long long)d->stream);
    sqlite3_stmt *st = store_stmt(s, STMT_PACK_REPLACE, &r, e);
    if (st) {
        sqlite3_bind_int64(st, 1, d->pack);
        sqlite3_bind_int64(st, 2, (int64_t)d->live);
        sqlite3_bind_int64(st, 3, (int64_t)d->passes);
        sqlite3_bind_blob64(st, 4, body, len, SQLITE_STATIC);
        sqlite3_bind_int64(st, 5, (int64_t)(d->live + d->records));
        r = store_run(s, st, "cannot write a pack", e);
        sqlite3_clear_bindings(st);
        if (r == 0 && sqlite3_changes(s->db) != 1)
            r = err_set(e, -EBUSY, "another process deletes records: try again");
    }
    free(body);
    return r;
}

static int write_deletion(struct store *s, const struct deletion *d, struct err *e) {
    int r = store_number(s, e);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_stmt(s, STMT_DELETION_NEW, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)s->n);
    sqlite3_bind_int64(st, 2, d->stream);
    sqlite3_bind_int64(st, 3, (int64_t)d->first.seq);
    sqlite3_bind_int64(st, 4, (int64_t)d->last.seq);
    sqlite3_bind_int64(st, 5, (int64_t)d->records);
    sqlite3_bind_int64(st, 6, (int64_t)d->first.n);
    sqlite3_bind_int64(st, 7, d->t_from_ns);
    sqlite3_bind_int64(st, 8, d->t_to_ns);
    return store_run(s, st, "cannot record a deletion", e);
}

/* How many of it could go is remembered, so that a pack of kept records is not opened again. */
static int write_passes(struct store *s, const struct deletion *d, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_PACK_PASSES, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, d->pack);
    sqlite3_bind_int64(st, 2, (int64_t)d->passes);
    return store_run(s, st, "cannot write a pack", e);
}

static int open_pack(struct store *s, int64_t id, struct pack *ret, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_PACK_BODY, &r, e);
    if (!st)
        return r;
    sqlite3_bind_int64(st, 1, id);
    r = sqlite3_step(st) == SQLITE_ROW ? store_pack_decode(s, st, 0, ret, e)
                                       : store_fail(s, e, "cannot read a pack");
    sqlite3_reset(st);
    return r;
}

/* The transaction begins with the first pack that changes: until then nobody waits for us. */
static int write_changes(struct store *s, const struct pack *pack, const struct deletion *d, struct err *e) {
    int r = s->in_transaction ? 0 : store_begin(s, e);
    if (r < 0 || !d->records)
        return r < 0 ? r : write_passes(s, d, e);
    r = write_deletion(s, d, e);
    CRASH_POINT("store-delete-recorded");
    if (r == 0)
        r = write_pack(s, pack, d, e);
    s->tally.records -= (int64_t)d->records;
    s->tally.packed -= (int64_t)d->records;
    return r;
}

static int retain_pack(struct store *s, const struct store_retention *r, const struct store_pack_place *at,
                       size_t max, size_t *deleted, struct err *e) {
    struct deletion d = {.pack = at->pack, .stream = at->stream};
    struct pack pack = {0};
    int code = open_pack(s, at->pack, &pack, e);
    if (code < 0)
        return code;
    choose(&pack, r, max, &d);
    if (d.records || (int64_t)d.passes != at->passes)
        code = write_changes(s, &pack, &d, e);
    pack_free(&pack);
    *deleted += d.records;
    return code;
}

/* ---- which packs */

static const char next_sql[] =
    "SELECT p.id, p.stream, p.t_from, coalesce(p.passes, -1) FROM stream s CROSS JOIN pack p INDEXED BY "
    "pack_time "
    "WHERE s.id >= ?4 AND s.cluster = ?1 AND s.namespace = ?2 AND p.stream = s.id AND p.family = 3 AND "
    "p.t_from < "
    "?3 AND (p.passes IS NULL OR p.passes > 0) AND (p.stream, p.t_from, p.id) > (?4, ?5, ?6) "
    "ORDER BY s.id, p.t_from, p.id LIMIT 32";

static int next_packs(struct store *s, const struct store_retention *r, struct store_pack_place *out,
                      size_t *ret_n, struct err *e) {
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    int step = SQLITE_DONE, code = store_prepare(s, next_sql, &st, e);
    if (code < 0)
        return code;
    sqlite3_bind_text(st, 1, r->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, r->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, r->before_ns);
    sqlite3_bind_int64(st, 4, s->retain.at.stream);
    sqlite3_bind_int64(st, 5, s->retain.at.t_from_ns);
    sqlite3_bind_int64(st, 6, s->retain.at.pack);
    while (n < PACKS_AT_ONCE && (step = sqlite3_step(st)) == SQLITE_ROW)
        out[n++] = (struct store_pack_place){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                                             sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3)};
    if (n < PACKS_AT_ONCE && step != SQLITE_DONE)
        code = store_fail(s, e, "cannot read the packs");
    sqlite3_finalize(st);
    *ret_n = n;
    return code;
}

/* Works on packs until enough was deleted, the time is over (1: there is more) or none is left (0). A pack of
 * which more could go stays the next one. */
static int work(struct store *s, const struct store_retention *r, size_t *deleted, struct err *e) {
    int64_t begun = when_mono_ns();
    struct store_pack_place list[PACKS_AT_ONCE];
    size_t n = PACKS_AT_ONCE;
    while (n == PACKS_AT_ONCE) {
        int code = next_packs(s, r, list, &n, e);
        for (size_t i = 0; code == 0 && i < n; i++) {
            if (*deleted >= r->max_records || when_mono_ns() - begun > STEP_NS)
                return 1;
            code = retain_pack(s, r, &list[i], r->max_records - *deleted, deleted, e);
            if (code == 0 && *deleted < r->max_records)
                s->retain.at = list[i];
        }
        if (code < 0)
            return code;
    }
    return *deleted >= r->max_records; /* the last pack may hold more */
}

static uint64_t digest(const struct store_retention *r) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (const char *p = r->cluster; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
    for (const char *p = r->namespace_name; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
    return h | 1;
}

/* About 20 ms, in one transaction. 1: there is more. */
static int step(struct store *s, const struct store_retention *r, int64_t now_wall_ns, size_t *deleted,
                struct err *e) {
    struct store_retain_place before = s->retain;
    int code = work(s, r, deleted, e), done = 0;
    CRASH_POINT("store-delete-before-commit");
    if (code < 0)
        store_rollback(s);
    else if (s->in_transaction)
        done = store_commit(s, now_wall_ns, NULL, e);
    code = done < 0 ? done : code;
    if (code < 0)
        s->retain = before; /* the same is tried again */
    return code;
}

int store_delete_passes(struct store *s, const struct store_retention *r, int64_t now_wall_ns,
                        size_t *ret_records, struct err *e) {
    size_t deleted = 0;
    int code = 1;
    if (!r->cluster || !r->namespace_name || r->max_records == 0)
        return err_set(e, -EINVAL, "retention must name a stage, and delete some records at once");
    if (s->in_transaction)
        return err_set(e, -EINVAL, "a transaction is open already");
    if (s->retain.stage != digest(r))
        s->retain = (struct store_retain_place){.stage = digest(r), .at = {.t_from_ns = INT64_MIN}};
    store_pack_cache_clear(s); /* its packs may change */
    while (code == 1 && deleted == 0)
        code = step(s, r, now_wall_ns, &deleted, e);
    if (code == 0)
        s->retain = (struct store_retain_place){0}; /* the next call begins another round */
    if (code < 0)
        return code;
    *ret_records = deleted;
    return 0;
}

/* ---- what is gone */

struct walk {
    store_deletion_fn *fn;
    void *ctx;
};

static int give_row(sqlite3_stmt *st, void *ctx) {
    struct walk *w = ctx;
    struct store_deletion_row row = {.stream = sqlite3_column_int64(st, 0),
                                     .from_seq = (uint64_t)sqlite3_column_int64(st, 1),
                                     .to_seq = (uint64_t)sqlite3_column_int64(st, 2),
                                     .records = (uint64_t)sqlite3_column_int64(st, 3),
                                     .t_from_ns = sqlite3_column_int64(st, 4),
                                     .t_to_ns = sqlite3_column_int64(st, 5),
                                     .at_ns = sqlite3_column_int64(st, 6)};
    return w->fn(w->ctx, &row);
}

int store_deletions(struct store *s, uint64_t commit, store_deletion_fn *fn, void *ctx, struct err *e) {
    struct walk w = {fn, ctx};
    sqlite3_stmt *st = NULL;
    int r = store_newest_if_zero(s, &commit, e);
    if (r == 0)
        r = store_prepare(s,
                          "SELECT d.stream, d.from_seq, d.to_seq, d.records, d.t_from, d.t_to, c.at_ns FROM "
                          "deletion d JOIN "
                          "commit_log c ON c.n = d.n WHERE d.n_from <= ?1 "
                          "ORDER BY d.stream, d.from_seq, d.id",
                          &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)commit);
    return store_each_row(s, st, give_row, &w, e);
}
