/* election: who holds the Lease and what we do next, as a table; no I/O and no clock. See lease.h.
 *
 *             FREE, ABSENT, EXPIRED: write; WRITTEN
 *   FOLLOW ─────────────────────────────────────────► HOLD
 *     │  ▲                 OTHER, LIVING               │ │
 *     │  └──────────────────────────────────────────────┘ │
 *     │ REFUSED for 5 s, FAILED for 30 s                  │ the same
 *     └────────► ALONE ◄──────────────────────────────────┘
 *                ALONE ─ LIVING ─► FOLLOW, ─ WRITTEN ─► HOLD
 *
 * Pauses:
 * - NOW: at once
 * - FIRST: 2 s; by then the new holder has positions of its own to note
 * - RENEW: 5 s
 * - POLL: 8 to 10 s, or when the other's term ends (plus up to 2 s by chance, so that not all write at once)
 * - SOON: 0.5 to 1 s
 * - PATIENCE: 0.8 s doubling to 10 s, times 1.0 to 2.0 by chance; what Retry-After asks for, at most a minute
 * - LATER: 30 to 60 s
 *
 * Silence changes nobody's mind: who cannot reach the API server can witness nothing anyway, and who works
 * goes on. Only a Lease that names another one ends the work. */
#include "base/when.h"
#include "kube/lease.h"

/* In seconds of the election (lease.h). */
#define REFUSED_FOR 5 /* an API server that has just started refuses for a moment what it allows */
#define FAILED_FOR 30
#define FIRST_AFTER 2
#define RENEW_EVERY 5
#define POLL_EVERY 8
#define LATER_EVERY 30
#define PATIENCE_MAX 10
#define RETRY_AFTER_MAX 60

enum pause { NOW, FIRST, RENEW, POLL, SOON, PATIENCE, LATER };

struct step {
    enum election_state state;
    enum election_act next;
    enum pause pause;
};

/* clang-format off */
static const struct step table[ELECTION_STATES][ELECTION_EVENTS] = {
    [ELECTION_FOLLOW] = {
        [ELECTION_FREE]     = {ELECTION_FOLLOW, ELECTION_UPDATE, NOW},
        [ELECTION_ABSENT]   = {ELECTION_FOLLOW, ELECTION_CREATE, NOW},
        [ELECTION_OURS]     = {ELECTION_HOLD,   ELECTION_UPDATE, NOW}, /* the answer to our write was lost */
        [ELECTION_OTHER]    = {ELECTION_FOLLOW, ELECTION_READ,   POLL},
        [ELECTION_LIVING]   = {ELECTION_FOLLOW, ELECTION_READ,   POLL},
        [ELECTION_EXPIRED]  = {ELECTION_FOLLOW, ELECTION_UPDATE, NOW},
        [ELECTION_WRITTEN]  = {ELECTION_HOLD,   ELECTION_UPDATE, FIRST},
        [ELECTION_CONFLICT] = {ELECTION_FOLLOW, ELECTION_READ,   SOON},
        [ELECTION_REFUSED]  = {ELECTION_FOLLOW, ELECTION_READ,   SOON},
        [ELECTION_FAILED]   = {ELECTION_FOLLOW, ELECTION_READ,   PATIENCE},
        [ELECTION_SILENT]   = {ELECTION_FOLLOW, ELECTION_READ,   PATIENCE},
    },
    [ELECTION_HOLD] = {
        [ELECTION_FREE]     = {ELECTION_HOLD,   ELECTION_UPDATE, NOW},
        [ELECTION_ABSENT]   = {ELECTION_HOLD,   ELECTION_CREATE, NOW},
        [ELECTION_OURS]     = {ELECTION_HOLD,   ELECTION_UPDATE, NOW},
        [ELECTION_OTHER]    = {ELECTION_FOLLOW, ELECTION_READ,   POLL},
        [ELECTION_LIVING]   = {ELECTION_FOLLOW, ELECTION_READ,   POLL},
        [ELECTION_EXPIRED]  = {ELECTION_HOLD,   ELECTION_UPDATE, NOW},
        [ELECTION_WRITTEN]  = {ELECTION_HOLD,   ELECTION_UPDATE, RENEW},
        [ELECTION_CONFLICT] = {ELECTION_HOLD,   ELECTION_READ,   SOON},
        [ELECTION_REFUSED]  = {ELECTION_HOLD,   ELECTION_READ,   SOON},
        [ELECTION_FAILED]   = {ELECTION_HOLD,   ELECTION_UPDATE, PATIENCE},
        [ELECTION_SILENT]   = {ELECTION_HOLD,   ELECTION_UPDATE, PATIENCE},
    },
    [ELECTION_ALONE] = {
        [ELECTION_FREE]     = {ELECTION_ALONE,  ELECTION_UPDATE, NOW},
        [ELECTION_ABSENT]   = {ELECTION_ALONE,  ELECTION_CREATE, NOW},
        [ELECTION_OURS]     = {ELECTION_HOLD,   ELECTION_UPDATE, NOW},
        [ELECTION_OTHER]    = {ELECTION_ALONE,  ELECTION_READ,   POLL},
        [ELECTION_LIVING]   = {ELECTION_FOLLOW, ELECTION_READ,   POLL},
        [ELECTION_EXPIRED]  = {ELECTION_ALONE,  ELECTION_UPDATE, NOW},
        [ELECTION_WRITTEN]  = {ELECTION_HOLD,   ELECTION_UPDATE, FIRST},
        [ELECTION_CONFLICT] = {ELECTION_ALONE,  ELECTION_READ,   SOON},
        [ELECTION_REFUSED]  = {ELECTION_ALONE,  ELECTION_READ,   LATER},
        [ELECTION_FAILED]   = {ELECTION_ALONE,  ELECTION_READ,   LATER},
        [ELECTION_SILENT]   = {ELECTION_ALONE,  ELECTION_READ,   PATIENCE},
    },
};
/* clang-format on */

/* wait * (1 + part * chance), chance in 0..1. */
static int64_t jitter(int64_t wait, double part, uint32_t chance) {
    return wait + (int64_t)((double)wait * part * ((double)chance / 4294967295.0));
}

static int64_t until_expiry(const struct kube_election *e, int64_t now, uint32_t chance) {
    int64_t poll = jitter(POLL_EVERY * e->second, 0.25, chance);
    if (e->expires_mono == 0 || e->expires_mono - now >= poll)
        return poll;
    int64_t left = e->expires_mono > now ? e->expires_mono - now : 0;
    return left + jitter(e->second / 4, 7.0, chance);
}

static int64_t patience(struct kube_election *e, int64_t retry_after, uint32_t chance) {
    int64_t max = PATIENCE_MAX * e->second;
    int64_t wait = e->second * 4 / 5;
    for (unsigned i = 0; i < e->tries && wait < max; i++)
        wait *= 2;
    e->tries++;
    if (retry_after > 0)
        return jitter(retry_after < RETRY_AFTER_MAX * WHEN_S ? retry_after : RETRY_AFTER_MAX * WHEN_S, 0.25,
                      chance);
    return jitter(wait < max ? wait : max, 1.0, chance);
}

static int64_t wait_of(struct kube_election *e, enum pause pause, int64_t now, int64_t retry_after,
                       uint32_t chance) {
    switch (pause) {
    case FIRST:
        return FIRST_AFTER * e->second;
    case RENEW:
        return RENEW_EVERY * e->second;
    case POLL:
        return until_expiry(e, now, chance);
    case SOON:
        return jitter(e->second / 2, 1.0, chance);
    case PATIENCE:
        return patience(e, retry_after, chance);
    case LATER:
        return jitter(LATER_EVERY * e->second, 1.0, chance);
    case NOW:
        break;
    }
    return 0;
}

/* A refusal that lasts: nobody is elected that way. What says nothing of our rights does not end it. */
static bool refused_for_long(struct kube_election *e, enum election_event ev, int64_t now) {
    if (ev == ELECTION_WRITTEN || ev == ELECTION_LIVING)
        e->refused_mono = 0;
    if (ev != ELECTION_REFUSED && ev != ELECTION_FAILED)
        return false;
    if (e->refused_mono == 0)
        e->refused_mono = now;
    return now - e->refused_mono >= e->second * (ev == ELECTION_REFUSED ? REFUSED_FOR : FAILED_FOR);
}

void kube_election_step(struct kube_election *e, enum election_event ev, int64_t now, int64_t retry_after,
                        uint32_t chance) {
    bool alone = refused_for_long(e, ev, now);
    const struct step *s = &table[alone ? ELECTION_ALONE : e->state][ev];
    if (ev != ELECTION_SILENT && ev != ELECTION_FAILED)
        e->tries = 0;
    if (ev == ELECTION_WRITTEN)
        e->expires_mono = 0;
    e->state = s->state;
    e->next = s->next;
    e->due_mono = now + wait_of(e, s->pause, now, retry_after, chance);
}

void kube_election_changed(struct kube_election *e, int64_t now, int64_t seconds) {
    if (seconds <= 0)
        seconds = ELECTION_SECONDS;
    e->expires_mono = now + e->second * (seconds < ELECTION_SECONDS_MAX ? seconds : ELECTION_SECONDS_MAX);
}

enum election_event kube_election_other(const struct kube_election *e, int64_t now, bool first,
                                        bool changed) {
    if (changed)
        return first ? ELECTION_OTHER : ELECTION_LIVING;
    return now >= e->expires_mono ? ELECTION_EXPIRED : ELECTION_OTHER;
}
