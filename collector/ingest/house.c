/* house: what is done now and then: rows of sessions, ends of sessions, the allow-list, repeated acks,
 * packing. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/when.h"

#define PACK_REST 6 /* times as long as it took */
#define PACK_REST_MIN_NS (50 * WHEN_MS)
#define PACK_NOTHING_NS (10 * WHEN_S)
#define PACK_OVERDUE_NS WHEN_S

struct rows {
    struct ingest *i;
    int r;
    struct err *e;
};

static int put_row(struct ingest *i, struct session *s, struct err *e) {
    const struct session_stream *living = &s->streams[s->n_streams - 1];
    struct store_session row = {
        .connected = !s->gone, .since_ns = s->since_ns, .last_seen_ns = s->seen_ns, .records = living->acked};
    memcpy(row.cluster, s->cluster, sizeof row.cluster);
    memcpy(row.namespace_name, s->namespace_name, sizeof row.namespace_name);
    memcpy(row.node, s->node, sizeof row.node);
    memcpy(row.key, s->key, sizeof row.key);
    memcpy(row.version, s->version, sizeof row.version);
    memcpy(row.boot, living->boot, WIRE_BOOT_BYTES);
    int r = store_put_session(i->store, &row, e);
    if (r == 0)
        s->row_changed = false;
    return r;
}

static bool has_news(const struct session *s) {
    return s->row_changed && !s->gone && !s->replaced && !s->welcome_due;
}

/* Some rows, and next time those after them: all at once would make a commit late. */
static int write_rows(struct ingest *i, struct err *e) {
    size_t rows = 0;
    int r = 0;
    for (size_t k = 0; r == 0 && k < INGEST_BUCKETS && rows < INGEST_ROWS_AT_ONCE; k++) {
        for (struct session *s = i->sessions.buckets[i->rows_at]; r == 0 && s; s = s->next) {
            if (!has_news(s))
                continue;
            r = rows++ ? 0 : ingest_begin(i, e);
            if (r == 0)
                r = put_row(i, s, e);
        }
        i->rows_at = (i->rows_at + 1) % INGEST_BUCKETS;
    }
    return r;
}

static void end_revoked(void *ctx, struct session *s) {
    struct ingest *i = ctx;
    if (!s->gone && !allow_stage(i->allow, s->key, s->cluster, s->namespace_name))
        frame_end(i, s, "the key was taken out of the allow-list");
}

static void refresh_allow(struct ingest *i) {
    struct err e = {""};
    int r = allow_refresh(i->allow, &e);
    if (r < 0)
        log_warn("allow-list kept as it was: %s", e.text);
    if (r > 0)
        session_each(&i->sessions, end_revoked, i);
}

static void look_at(void *ctx, struct session *s) {
    struct ingest *i = ctx;
    int64_t now = when_mono_ns();
    if (now - s->seen_mono_ns > INGEST_SESSION_QUIET_S * WHEN_S)
        s->gone = true;
    else if (!s->gone && !s->welcome_due && now - s->sent_mono_ns > INGEST_ACK_REPEAT_S * WHEN_S) {
        frame_ack(i, s, "");
        s->row_changed = true; /* last_seen moved */
    }
}

/* ---- sessions that are over */

static void find_gone(void *ctx, struct session *s) {
    *(bool *)ctx |= s->gone;
}

/* The row says that it is over, unless its successor's row does not. */
static void put_over(void *ctx, struct session *s) {
    struct rows *w = ctx;
    if (!s->gone || s->over || w->r < 0)
        return;
    w->r = s->replaced ? 0 : put_row(w->i, s, w->e);
    s->over = w->r == 0;
}

/* Only when the rows are on disk: nobody else would tell of the end. */
static void drop_over(struct ingest *i) {
    for (size_t b = 0; b < INGEST_BUCKETS; b++)
        for (struct session *s = i->sessions.buckets[b], *next; s; s = next) {
            next = s->next;
            if (s->over)
                session_drop(&i->sessions, s);
        }
}

static int sweep(struct ingest *i, struct err *e) {
    bool any = false;
    session_each(&i->sessions, find_gone, &any);
    if (!any)
        return 0;
    int r = ingest_begin(i, e);
    if (r < 0)
        return r;
    struct rows w = {i, 0, e};
    session_each(&i->sessions, put_over, &w);
    r = w.r < 0 ? w.r : ingest_flush(i, e);
    if (r == 0)
        drop_over(i);
    return r;
}

int house_tick(struct ingest *i, struct err *e) {
    i->tick_ns = when_mono_ns();
    session_each(&i->sessions, look_at, i);
    if (i->trouble.code)
        return 0;
    int r = commands_poll(i, e);
    if (r == 0)
        r = sweep(i, e);
    return r < 0 ? r : write_rows(i, e);
}

static int doubt_twin(void *ctx, struct session *s) {
    struct rows *w = ctx;
    int r = ingest_begin(w->i, w->e);
    if (r == 0)
        r = store_put_doubt(w->i->store, s->streams[s->n_streams - 1].id, STORE_DOUBT_TWO_AGENTS, w->e);
    if (r == 0) {
        refusal_count(w->i, s->key, "two agents say that they are the same node, and both go on");
        s->twin_told = true;
    }
    return r;
}

int house_keep(struct ingest *i, struct err *e) {
    i->house_ns = when_mono_ns();
    refresh_allow(i);
    quota_forget(&i->quotas, i->house_ns, false);
    if (i->trouble.code)
        return 0;
    struct rows w = {i, 0, e};
    int r = twins_find(&i->sessions, doubt_twin, &w);
    if (r == 0)
        r = refusal_flush(i, e);
    return r;
}

/* A step of packing between two transactions: when nobody waits, or when it is long overdue. It rests longer
 * than it works, so that commits are late by a step only now and then. It only saves room: when it fails,
 * that is told, and nobody is refused for it. */
void house_pack(struct ingest *i, bool idle) {
    int64_t begun = when_mono_ns();
    struct err why = {""};
    size_t n = 0;
    if (i->tx_open || i->trouble.code || begun < i->pack_ns + (idle ? 0 : PACK_OVERDUE_NS))
        return;
    int r = store_pack(i->store, when_wall_ns(), &n, &why);
    bool failed = r < 0 && r != -EBUSY;
    if (failed && !i->pack_failed)
        log_warn("records are not packed: %s", why.text);
    i->pack_failed = failed;
    int64_t now = when_mono_ns(), rest = PACK_REST * (now - begun);
    i->pack_ns = now + (n == 0 ? PACK_NOTHING_NS : rest > PACK_REST_MIN_NS ? rest : PACK_REST_MIN_NS);
}

static void say_gone(void *ctx, struct session *s) {
    (void)ctx;
    s->gone = true;
}

int house_end(struct ingest *i, struct err *e) {
    int r = ingest_flush(i, e);
    if (r == 0)
        r = refusal_flush(i, e);
    session_each(&i->sessions, say_gone, NULL);
    return r < 0 ? r : house_tick(i, e);
}
