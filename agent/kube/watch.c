/* watch: the state machine of one collection, as a table; no I/O and no clock.
 *
 *   start
 *     v           DUE                  LISTED
 *   PAUSE_LIST --------> LIST -----------------------> WATCH <---------------+
 *     ^ ^  |             | ^ |                         ^ | |                 | DUE, DUE_STREAM
 *     | |  |       MORE  +-+ | EXPIRED, DENIED,        | | | ENDED, SILENT,  |
 *     | |  |                 | FAILED, THROTTLED,      | | | DENIED, FAILED, |
 *     | +--|-----------------+ POLLED          SYNCED  | | | THROTTLED       |
 *     |    |  DUE_STREAM                               | | +----------> PAUSE_WATCH
 *     |    +------------> STREAM ----------------------+ |
 *     |                   |    | UNSERVED, ENDED         |
 *     | EXPIRED, DENIED,  |    +-----------> LIST        |
 *     +-------------------+ FAILED, THROTTLED            |
 *     +--------------------------------------------------+ EXPIRED
 *
 * A streaming list (Kubernetes API concepts, "Streaming lists") is a watch that tells first what there is,
 * and then ends that with a bookmark: SYNCED, and the same transfer is the watch. Only who asks by DUE_STREAM
 * gets there; a server that does not serve it refuses it (see source.c), and then LIST follows at once.
 *
 * Pauses:
 *   SOON     ENDED, EXPIRED, SILENT: at once; a backoff when it happens again before a line came (a server
 *            that ends every watch must not be asked in a hot loop)
 *   BACKOFF  FAILED: 0.8 s doubling to 30 s, times 1.0 to 2.0 by chance
 *   ASKED    THROTTLED: what Retry-After asks for, at most 5 min, plus up to a quarter; else as BACKOFF
 *   DENIED   0.8 s doubling to 30 s: an API server that has just started denies what it soon allows
 *   POLL     10 s
 * A failure keeps the position: WATCH goes on from the last resourceVersion. Only 410, or a position lost
 * otherwise, lists again.
 */
#include "base/when.h"
#include "kube/kube_priv.h"

#define BACKOFF_FIRST (800 * WHEN_MS)
#define BACKOFF_MAX (30 * WHEN_S)
#define RETRY_AFTER_MAX (300 * WHEN_S)
#define POLL_PAUSE (10 * WHEN_S)

enum pause { STAY, NOW, SOON, BACKOFF, ASKED, DENIED, POLL };

struct step {
    enum kube_state next;
    enum pause pause;
};

/* clang-format off */
static const struct step table[KUBE_STATES][KUBE_EVENTS] = {
    [KUBE_PAUSE_LIST] = {
        [KUBE_DUE]        = {KUBE_LIST, NOW},
        [KUBE_DUE_STREAM] = {KUBE_STREAM, NOW},
    },
    [KUBE_LIST] = {
        [KUBE_MORE]      = {KUBE_LIST, NOW},
        [KUBE_LISTED]    = {KUBE_WATCH, NOW},
        [KUBE_POLLED]    = {KUBE_PAUSE_LIST, POLL},
        [KUBE_EXPIRED]   = {KUBE_PAUSE_LIST, SOON},
        [KUBE_DENIED]    = {KUBE_PAUSE_LIST, DENIED},
        [KUBE_THROTTLED] = {KUBE_PAUSE_LIST, ASKED},
        [KUBE_FAILED]    = {KUBE_PAUSE_LIST, BACKOFF},
    },
    [KUBE_STREAM] = {
        [KUBE_SYNCED]    = {KUBE_WATCH, NOW},
        [KUBE_UNSERVED]  = {KUBE_LIST, NOW},
        [KUBE_ENDED]     = {KUBE_LIST, NOW},
        [KUBE_EXPIRED]   = {KUBE_PAUSE_LIST, SOON},
        [KUBE_DENIED]    = {KUBE_PAUSE_LIST, DENIED},
        [KUBE_THROTTLED] = {KUBE_PAUSE_LIST, ASKED},
        [KUBE_FAILED]    = {KUBE_PAUSE_LIST, BACKOFF},
    },
    [KUBE_WATCH] = {
        [KUBE_ENDED]     = {KUBE_PAUSE_WATCH, SOON},
        [KUBE_SILENT]    = {KUBE_PAUSE_WATCH, SOON},
        [KUBE_EXPIRED]   = {KUBE_PAUSE_LIST, SOON},
        [KUBE_DENIED]    = {KUBE_PAUSE_WATCH, DENIED},
        [KUBE_THROTTLED] = {KUBE_PAUSE_WATCH, ASKED},
        [KUBE_FAILED]    = {KUBE_PAUSE_WATCH, BACKOFF},
    },
    [KUBE_PAUSE_WATCH] = {
        [KUBE_DUE]        = {KUBE_WATCH, NOW},
        [KUBE_DUE_STREAM] = {KUBE_WATCH, NOW},
    },
};
/* clang-format on */

/* wait * (1 + part * chance), chance in 0..1. */
static int64_t jitter(int64_t wait, double part, uint32_t chance) {
    return wait + (int64_t)((double)wait * part * ((double)chance / 4294967295.0));
}

static int64_t backoff(unsigned tries, uint32_t chance) {
    int64_t wait = BACKOFF_FIRST;
    for (unsigned i = 1; i < tries && wait < BACKOFF_MAX; i++)
        wait *= 2;
    return jitter(wait < BACKOFF_MAX ? wait : BACKOFF_MAX, 1.0, chance);
}

static int64_t asked(unsigned tries, int64_t retry_after, uint32_t chance) {
    if (retry_after <= 0)
        return backoff(tries, chance);
    return jitter(retry_after < RETRY_AFTER_MAX ? retry_after : RETRY_AFTER_MAX, 0.25, chance);
}

static int64_t denied(unsigned tries, uint32_t chance) {
    int64_t wait = backoff(tries, chance);
    return wait < BACKOFF_MAX ? wait : BACKOFF_MAX;
}

static int64_t wait_of(struct kube_watch *w, enum pause pause, int64_t retry_after, uint32_t chance) {
    switch (pause) {
    case SOON:
        return w->again++ == 0 ? 0 : backoff(w->again - 1, chance);
    case BACKOFF:
        return backoff(++w->tries, chance);
    case ASKED:
        return asked(++w->tries, retry_after, chance);
    case DENIED:
        return denied(++w->tries, chance);
    case POLL:
        return POLL_PAUSE;
    case STAY:
    case NOW:
        break;
    }
    return 0;
}

void kube_watch_step(struct kube_watch *w, enum kube_event ev, int64_t now, int64_t retry_after,
                     uint32_t chance) {
    const struct step *s = &table[w->state][ev];
    if (s->pause == STAY) /* no such event in this state */
        return;
    if (ev == KUBE_LISTED || ev == KUBE_POLLED || ev == KUBE_SYNCED)
        kube_watch_answered(w);
    w->state = s->next;
    w->due_mono = now + wait_of(w, s->pause, retry_after, chance);
}

void kube_watch_answered(struct kube_watch *w) {
    w->tries = 0;
}

void kube_watch_alive(struct kube_watch *w) {
    w->tries = 0;
    w->again = 0;
}
