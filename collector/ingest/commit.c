/* commit: the open transaction, its end, and what happens when the store cannot take it.
 *
 *          first write              bytes, time, Bye
 *   none ─────────────► open ──────────────────────────► committed ─► Welcomes and acks go out
 *                        │ the store failed
 *                        ▼
 *              rolled back: who had something in it is refused, and nothing of it is acknowledged
 *                        │
 *                        ▼            the wait is over                 it worked
 *                     trouble ─────────────────────────► a try ─────────────────────► as before
 *                        ▲ waits longer                    │ failed
 *                        └─────────────────────────────────┘
 *
 * In trouble nothing is written but the tries, which are ours, so that the store heals without a word from
 * any agent. Agents keep what was not acknowledged and come again by themselves. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/log.h"
#include "base/when.h"

#define TRY_MIN_NS (WHEN_S / 4)
#define TRY_MAX_NS WHEN_S
#define WELL_NS (10 * WHEN_S) /* so long without trouble: the next one begins with the shortest wait */

int ingest_begin(struct ingest *i, struct err *e) {
    if (i->tx_open)
        return 0;
    int r = store_begin(i->store, e);
    if (r < 0)
        return r;
    i->tx_open = true;
    i->tx_since_ns = when_mono_ns();
    i->tx_bytes = 0;
    i->tx_batches = 0;
    memset(&i->intake->count, 0, sizeof i->intake->count);
    return 0;
}

static void take_counts(struct ingest *i, int64_t took_ns) {
    i->now.records += i->intake->count.records;
    i->now.duplicates += i->intake->count.duplicates;
    i->now.conflicts += i->intake->count.conflicts;
    i->now.calls += i->intake->count.calls;
    i->now.commits++;
    i->now.commit_ns_sum += (uint64_t)took_ns;
    for (size_t k = 0; k < INGEST_COMMIT_BUCKETS; k++)
        if (took_ns <= INGEST_COMMIT_BUCKET_NS << k) {
            i->now.commit_buckets[k]++;
            break;
        }
}

static void acknowledge(struct ingest *i) {
    while (i->sessions.dirty) {
        struct session *s = i->sessions.dirty;
        i->sessions.dirty = s->dirty_next;
        s->dirty = false;
        for (size_t k = 0; k < s->n_streams; k++)
            s->streams[k].acked = s->streams[k].hwm;
        if (s->gone)
            continue;
        if (s->welcome_due)
            hello_welcome(i, s);
        else
            frame_ack(i, s, "");
        CRASH_POINT("ingest-acknowledged");
    }
}

int ingest_flush(struct ingest *i, struct err *e) {
    if (!i->tx_open)
        return 0;
    uint64_t n = 0;
    CRASH_POINT("ingest-before-commit");
    int r = store_commit(i->store, when_wall_ns(), &n, e);
    if (r < 0)
        return r;
    CRASH_POINT("ingest-committed");
    i->tx_open = false;
    i->newest_committed = i->newest_stream;
    i->commit_ns = when_mono_ns();
    if (n)
        take_counts(i, when_mono_ns() - i->tx_since_ns);
    acknowledge(i);
    return 0;
}

/* ---- trouble */

/* What may pass by itself, or by somebody's making room. A store that is no longer one does not. */
static bool may_pass(int r) {
    switch (-r) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case ENOMEM:
    case EROFS:
    case EBUSY:
    case ENOENT: /* SQLite cannot open one of its files */
    case EINVAL: /* a row that the store does not take: who sent it is refused with the others */
        return true;
    default:
        return false;
    }
}

static const char *words_of(int r) {
    switch (-r) {
    case ENOSPC:
    case EDQUOT:
        return "the store is full: say Hello again when there is room on the collector's disk";
    case EBUSY:
        return "the store is busy: say Hello again";
    default:
        return "the store fails: say Hello again; the collector's /readyz says why";
    }
}

const char *ingest_trouble(const struct ingest *i) {
    return i->trouble.code ? words_of(i->trouble.code) : NULL;
}

/* The marks in memory go back to what is on disk: nothing above it was acknowledged. */
static void forget_uncommitted(void *ctx, struct session *s) {
    (void)ctx;
    s->row_changed = true;
    s->over = s->twin_told = false;
    for (size_t k = 0; k < s->n_streams; k++)
        s->streams[k].hwm = s->streams[k].acked;
}

static void refuse_open(struct ingest *i, const char *reason) {
    session_each(&i->sessions, forget_uncommitted, NULL);
    while (i->sessions.dirty) {
        struct session *s = i->sessions.dirty;
        i->sessions.dirty = s->dirty_next;
        s->dirty = false;
        if (s->gone)
            continue;
        frame_refuse(i, s->routing, s->routing_len, reason);
        s->gone = true;
        s->replaced = s->replaced || s->welcome_due; /* it never was a session: no row tells of it */
    }
}

static void say_trouble(struct ingest *i, int r, const struct err *e) {
    pthread_mutex_lock(&i->lock);
    (void)snprintf(i->why, sizeof i->why, "%s", r ? e->text : "");
    pthread_mutex_unlock(&i->lock);
    if (r && !i->trouble.code)
        log_warn("records are refused until the store takes them again: %s", e->text);
    if (!r && i->trouble.code)
        log_info("the store takes records again");
    i->trouble.code = r;
}

int ingest_endure(struct ingest *i, int r, const struct err *e) {
    int64_t now = when_mono_ns();
    struct trouble *t = &i->trouble;
    store_rollback(i->store);
    if (i->tx_open)
        i->now.store_full += i->tx_batches;
    i->tx_open = false;
    i->newest_stream = i->newest_committed;
    CRASH_POINT("ingest-rolled-back");
    refuse_open(i, words_of(r));
    if (!may_pass(r))
        return r;
    refusal_count(i, "", words_of(r));
    commands_again(i);
    t->wait_ns = t->code || now - t->healed_ns <= WELL_NS ? 2 * t->wait_ns : TRY_MIN_NS;
    if (t->wait_ns < TRY_MIN_NS || t->wait_ns > TRY_MAX_NS)
        t->wait_ns = t->wait_ns > TRY_MAX_NS ? TRY_MAX_NS : TRY_MIN_NS;
    t->again_ns = now + t->wait_ns;
    say_trouble(i, r, e);
    return 0;
}

/* Writes what waits to be written anyway: refusals, of which the trouble itself is one. */
int ingest_try_again(struct ingest *i, struct err *e) {
    if (!i->trouble.code || when_mono_ns() < i->trouble.again_ns)
        return 0;
    int r = refusal_flush(i, e);
    if (r < 0)
        return r;
    i->trouble.healed_ns = when_mono_ns();
    say_trouble(i, 0, NULL);
    return 0;
}
