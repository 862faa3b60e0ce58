/* sqlite_migrate_calls: rollups of the call blocks that an older schema stored, in the commits that brought
 * them. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crash.h"

static void to_columns(const Pilotgate__CallBlock *b, struct block_calls *out) {
    out->n = b->n_start_us;
    out->base_wall_ns = b->base_wall_ns;
    for (size_t i = 0; i < out->n; i++) {
        out->start_us[i] = b->start_us[i];
        out->duration_us[i] = b->duration_us[i];
        out->outcome[i] = b->outcome[i];
        out->flags[i] = b->flags[i];
        out->entry[i] = (uint8_t)b->probe[i];
    }
}

static const char *text_at(char *const *texts, size_t n, size_t i) {
    return i < n ? texts[i] : "";
}

static int add_block(struct store *s, sqlite3_stmt *st, const Pilotgate__CallBlock *b,
                     struct block_calls *columns, struct err *e) {
    const char *targets[WIRE_BLOCK_PROBES_MAX], *paths[WIRE_BLOCK_PROBES_MAX];
    for (size_t i = 0; i < b->n_probes && i < WIRE_BLOCK_PROBES_MAX; i++) {
        targets[i] = text_at(b->targets, b->n_targets, i);
        paths[i] = text_at(b->paths, b->n_paths, i);
    }
    to_columns(b, columns);
    struct store_calls calls = {columns, b->n_probes, (const char *const *)b->probes, targets, paths};
    return store_add_calls(s, (const char *)sqlite3_column_text(st, 2),
                           (const char *)sqlite3_column_text(st, 3), &calls, e);
}

/* A block that cannot be read counts nothing; it is kept as it is. */
static int take(struct store *s, sqlite3_stmt *st, struct block_calls *columns, struct err *e) {
    Pilotgate__Record *r = NULL;
    uint64_t n = (uint64_t)sqlite3_column_int64(st, 0);
    int code = n == s->n ? 0 : store_rollup_write(s, e); /* of the commit before */
    s->n = n;
    if (code < 0 ||
        wire_record_unpack(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1), &r, NULL) < 0)
        return code;
    if (r->body_case == PILOTGATE__RECORD__BODY_CALLS)
        code = add_block(s, st, r->calls, columns, e);
    wire_record_free(&r);
    return code;
}

static int walk(struct store *s, struct block_calls *columns, struct err *e) {
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE;
    int r =
        store_prepare(s,
                      "SELECT r.n, r.payload, s.cluster, s.namespace FROM record r NOT INDEXED JOIN stream s "
                      "ON s.id = r.stream WHERE r.family = 3 ORDER BY r.rowid",
                      &st, e);
    while (r == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        r = take(s, st, columns, e);
        CRASH_POINT("store-migrate-rollup");
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read a record");
    sqlite3_finalize(st);
    return r == 0 ? store_rollup_write(s, e) : r;
}

int store_migrate_calls(struct store *s, struct err *e) {
    struct block_calls *columns = calloc(1, sizeof *columns);
    if (!columns)
        return err_oom(e);
    s->in_transaction = true; /* the migration's */
    int r = walk(s, columns, e);
    if (r == 0)
        r = store_tally_write(s, e);
    store_forget_transaction(s, r == 0);
    free(columns);
    return r;
}
