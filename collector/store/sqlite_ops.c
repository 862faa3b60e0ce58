/* sqlite_ops: what the daemon and the CLI tell each other: sessions, refusals, commands. No verdict reads
 * any of it. */
#include "store/store_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

static void copy_text(sqlite3_stmt *st, int column, char *out, size_t max) {
    const char *text = (const char *)sqlite3_column_text(st, column);
    (void)snprintf(out, max, "%s", text ? text : "");
}

/* ---- sessions */

int store_put_session(struct store *s, const struct store_session *row, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_SESSION_PUT, &r, e);
    if (!st)
        return r;
    sqlite3_bind_text(st, 1, row->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, row->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, row->node, -1, SQLITE_STATIC);
    sqlite3_bind_blob(st, 4, row->boot, WIRE_BOOT_BYTES, SQLITE_STATIC);
    sqlite3_bind_text(st, 5, row->key, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 6, row->version, -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 7, row->connected);
    sqlite3_bind_int64(st, 8, row->since_ns);
    sqlite3_bind_int64(st, 9, row->last_seen_ns);
    sqlite3_bind_int64(st, 10, (int64_t)row->records);
    return store_run(s, st, "cannot write a session", e);
}

static void session_of(sqlite3_stmt *st, struct store_session *row) {
    memset(row, 0, sizeof *row);
    copy_text(st, 0, row->cluster, sizeof row->cluster);
    copy_text(st, 1, row->namespace_name, sizeof row->namespace_name);
    copy_text(st, 2, row->node, sizeof row->node);
    if (sqlite3_column_bytes(st, 3) == WIRE_BOOT_BYTES)
        memcpy(row->boot, sqlite3_column_blob(st, 3), WIRE_BOOT_BYTES);
    copy_text(st, 4, row->key, sizeof row->key);
    copy_text(st, 5, row->version, sizeof row->version);
    row->connected = sqlite3_column_int(st, 6) != 0;
    row->since_ns = sqlite3_column_int64(st, 7);
    row->last_seen_ns = sqlite3_column_int64(st, 8);
    row->records = (uint64_t)sqlite3_column_int64(st, 9);
}

int store_sessions(struct store *s, store_session_fn *fn, void *ctx, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        s,
        "SELECT cluster, namespace, node, boot, key, version, connected, since_ns, last_seen_ns, "
        "records FROM session ORDER BY cluster, namespace, node, since_ns",
        &st, e);
    int step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_session row;
        session_of(st, &row);
        r = fn(ctx, &row);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the sessions");
    sqlite3_finalize(st);
    return r;
}

/* ---- refusals */

static int count_refusals(struct store *s, int64_t *ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "SELECT count(*) FROM refusal", &st, e);
    if (r < 0)
        return r;
    if (sqlite3_step(st) == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    else
        r = store_fail(s, e, "cannot read the refusals");
    sqlite3_finalize(st);
    return r;
}

/* Sorting the table costs milliseconds, and strangers decide how often a row is new: it is done once for
 * many rows, and leaves room for as many. */
static int bound_refusals(struct store *s, struct err *e) {
    char sql[256];
    int64_t n = 0;
    int r = count_refusals(s, &n, e);
    if (r < 0 || n <= STORE_REFUSALS_MAX)
        return r;
    (void)snprintf(sql, sizeof sql,
                   "DELETE FROM refusal WHERE (key, reason) IN (SELECT key, reason FROM refusal "
                   "ORDER BY last_ns DESC LIMIT -1 OFFSET %d)",
                   STORE_REFUSALS_MAX * 3 / 4);
    return store_exec(s, sql, "cannot write a refusal", e);
}

int store_add_refusals(struct store *s, const struct store_refusal *row, struct err *e) {
    int r = 0;
    sqlite3_stmt *st = store_stmt(s, STMT_REFUSAL_PUT, &r, e);
    if (!st)
        return r;
    sqlite3_bind_text(st, 1, row->key, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, row->reason, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, row->last_ns);
    sqlite3_bind_int64(st, 4, (int64_t)row->count);
    r = store_run(s, st, "cannot write a refusal", e);
    return r < 0 ? r : bound_refusals(s, e);
}

int store_put_refusal(struct store *s, const char *key, const char *reason, int64_t now_ns, struct err *e) {
    struct store_refusal row = {.count = 1, .last_ns = now_ns};
    (void)snprintf(row.key, sizeof row.key, "%s", key);
    (void)snprintf(row.reason, sizeof row.reason, "%s", reason);
    return store_add_refusals(s, &row, e);
}

int store_refusals(struct store *s, store_refusal_fn *fn, void *ctx, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        s, "SELECT key, reason, count, first_ns, last_ns FROM refusal ORDER BY last_ns DESC", &st, e);
    int step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_refusal row = {.count = (uint64_t)sqlite3_column_int64(st, 2),
                                    .first_ns = sqlite3_column_int64(st, 3),
                                    .last_ns = sqlite3_column_int64(st, 4)};
        copy_text(st, 0, row.key, sizeof row.key);
        copy_text(st, 1, row.reason, sizeof row.reason);
        r = fn(ctx, &row);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the refusals");
    sqlite3_finalize(st);
    return r;
}

/* ---- commands */

int store_put_command(struct store *s, struct store_command *c, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s,
                          "INSERT INTO command(cluster, namespace, kind, ttl_seconds, asked_ns, expires_ns) "
                          "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                          &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(st, 1, c->cluster, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, c->namespace_name, -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 3, c->kind);
    sqlite3_bind_int64(st, 4, c->ttl_seconds);
    sqlite3_bind_int64(st, 5, c->asked_ns);
    sqlite3_bind_int64(st, 6, c->expires_ns);
    r = store_run(s, st, "cannot write a command", e);
    sqlite3_finalize(st);
    if (r == 0)
        c->id = (uint64_t)sqlite3_last_insert_rowid(s->db);
    return r;
}

int store_update_command(struct store *s, const struct store_command *c, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        s, "UPDATE command SET sent = ?2, answered_ok = ?3, answered_bad = ?4 WHERE id = ?1", &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)c->id);
    sqlite3_bind_int64(st, 2, c->sent);
    sqlite3_bind_int64(st, 3, c->answered_ok);
    sqlite3_bind_int64(st, 4, c->answered_bad);
    r = store_run(s, st, "cannot write a command", e);
    sqlite3_finalize(st);
    return r;
}

#define COMMAND_COLUMNS \
    "id, cluster, namespace, kind, ttl_seconds, asked_ns, expires_ns, sent, answered_ok, answered_bad"

static void command_of(sqlite3_stmt *st, struct store_command *c) {
    memset(c, 0, sizeof *c);
    c->id = (uint64_t)sqlite3_column_int64(st, 0);
    copy_text(st, 1, c->cluster, sizeof c->cluster);
    copy_text(st, 2, c->namespace_name, sizeof c->namespace_name);
    c->kind = sqlite3_column_int(st, 3);
    c->ttl_seconds = (uint32_t)sqlite3_column_int64(st, 4);
    c->asked_ns = sqlite3_column_int64(st, 5);
    c->expires_ns = sqlite3_column_int64(st, 6);
    c->sent = (uint32_t)sqlite3_column_int64(st, 7);
    c->answered_ok = (uint32_t)sqlite3_column_int64(st, 8);
    c->answered_bad = (uint32_t)sqlite3_column_int64(st, 9);
}

int store_commands(struct store *s, uint64_t after_id, int64_t now_ns, store_command_fn *fn, void *ctx,
                   struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(
        s, "SELECT " COMMAND_COLUMNS " FROM command WHERE expires_ns > ?2 AND id > ?1 ORDER BY id", &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)after_id);
    sqlite3_bind_int64(st, 2, now_ns);
    int step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_command c;
        command_of(st, &c);
        r = fn(ctx, &c);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the commands");
    sqlite3_finalize(st);
    return r;
}

int store_command(struct store *s, uint64_t id, struct store_command *ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    int r = store_prepare(s, "SELECT " COMMAND_COLUMNS " FROM command WHERE id = ?1", &st, e);
    if (r < 0)
        return r;
    sqlite3_bind_int64(st, 1, (int64_t)id);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        command_of(st, ret);
    else
        r = step == SQLITE_DONE ? err_set(e, -ENOENT, "there is no command %" PRIu64, id)
                                : store_fail(s, e, "cannot read a command");
    sqlite3_finalize(st);
    return r;
}

/* ---- alerts */

int store_put_alerts(struct store *s, const json_t *state, struct err *e) {
    sqlite3_stmt *st = NULL;
    char *text = js_canonical(state);
    if (!text)
        return err_oom(e);
    int r = store_prepare(
        s, "INSERT INTO alert VALUES(1, ?1) ON CONFLICT DO UPDATE SET state = excluded.state", &st, e);
    if (r == 0) {
        sqlite3_bind_text(st, 1, text, -1, SQLITE_STATIC);
        r = store_run(s, st, "cannot write the alerts", e);
    }
    sqlite3_finalize(st);
    free(text);
    return r;
}

int store_alerts(struct store *s, json_t **ret, struct err *e) {
    sqlite3_stmt *st = NULL;
    json_t *state = NULL;
    int r = store_prepare(s, "SELECT state FROM alert", &st, e);
    if (r < 0)
        return r;
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        r = js_parse((const char *)sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0),
                     JS_TEXT_MAX, &state, e);
    else if (step != SQLITE_DONE)
        r = store_fail(s, e, "cannot read the alerts");
    sqlite3_finalize(st);
    if (r == 0)
        *ret = state;
    return r;
}
