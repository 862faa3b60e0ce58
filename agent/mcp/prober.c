/* prober: when calls of a probe start. Two schedules, which a probe may have both:
 *
 *  - interval: a call at t0 + k * interval, whatever earlier calls do. A start that the agent missed by
 *    more than a second (and an interval) is counted as unsent, not made up for in a burst.
 *  - in flight: `slots` calls are kept open. Slots are added one by one, spread over the time that a call
 *    takes, so that calls do not all end together; the call after one that completed starts at once. A
 *    call that did not complete gives its slot back to that ramp: a gateway that refuses everything is
 *    not hammered.
 */
#include "mcp/mcp_priv.h"

#include "base/when.h"

#define MISSED_NS WHEN_S
#define RAMP_MIN_NS WHEN_S
#define RAMP_MAX_NS (5 * WHEN_S)
#define PAUSE_SENT_NS (50 * WHEN_MS)    /* of the ramp, after a call that failed */
#define PAUSE_UNSENT_NS (100 * WHEN_MS) /* after a call that could not be sent */

static size_t wanted(const struct mcp_probe *p) {
    int64_t n = p->c->in_flight;
    if (p->m->loaded && p->c->drill_in_flight > n)
        n = p->c->drill_in_flight;
    return p->m->scheduling && n > 0 ? (size_t)n : 0;
}

static bool takes_fresh(struct mcp_probe *p) {
    if (p->c->connection == CONFIG_CONNECTION_BOTH)
        p->next_is_new = !p->next_is_new;
    else
        p->next_is_new = p->c->connection == CONFIG_CONNECTION_NEW;
    return p->next_is_new;
}

/* One call that is due now. False: it is counted as unsent. */
static bool start(struct mcp_probe *p, bool drill) {
    p->scheduled++;
    if (p->target->state != MCP_SESSION_UP) {
        mcp_call_unsent(p, &p->target->failure);
        return false;
    }
    if (p->m->calls_open >= (size_t)p->m->c->max_in_flight) {
        p->unsent++;
        return false;
    }
    return mcp_call_begin(p, takes_fresh(p), drill, p->c->timeout);
}

static void run_interval(struct mcp_probe *p, int64_t now) {
    int64_t bound = p->c->interval > MISSED_NS ? p->c->interval : MISSED_NS;
    while (p->due <= now) {
        int64_t delay = now - p->due;
        p->due += p->c->interval;
        if (delay > p->max_delay)
            p->max_delay = delay;
        if (delay > bound) {
            p->scheduled++;
            p->unsent++;
        } else {
            (void)start(p, false);
        }
    }
}

/* Time between two new slots: the time that a call takes, divided by the number of calls. */
static int64_t ramp_gap(const struct mcp_probe *p, size_t want) {
    int64_t takes = p->takes > RAMP_MIN_NS ? p->takes : RAMP_MIN_NS;
    return (takes < RAMP_MAX_NS ? takes : RAMP_MAX_NS) / (int64_t)want;
}

static void run_slots(struct mcp_probe *p, int64_t now) {
    size_t want = wanted(p);
    if (p->slots > want)
        p->slots = want;
    if (p->slots < want && now >= p->ramp_at) {
        p->slots++;
        p->ramp_at = now + ramp_gap(p, want);
    }
    while (p->open < p->slots) {
        bool drill = p->m->loaded && (int64_t)p->open >= p->c->in_flight;
        if (!start(p, drill)) {
            p->slots--;
            p->ramp_at = now + (p->target->state == MCP_SESSION_UP ? PAUSE_UNSENT_NS : MCP_RETRY_NS);
            return;
        }
    }
}

void mcp_probe_turn(struct mcp_probe *p, int64_t now) {
    if (!p->m->scheduling || !p->target->tried)
        return;
    if (!p->begun) {
        p->begun = true;
        p->due = p->ramp_at = now;
    }
    if (p->c->interval > 0)
        run_interval(p, now);
    run_slots(p, now);
}

int64_t mcp_probe_next(const struct mcp_probe *p) {
    int64_t next = INT64_MAX;
    if (!p->m->scheduling || !p->target->tried)
        return next;
    if (!p->begun)
        return 0;
    if (p->c->interval > 0)
        next = p->due;
    if (p->slots < wanted(p) && p->ramp_at < next)
        next = p->ramp_at;
    return p->open < p->slots ? 0 : next;
}

void mcp_probe_ended(struct mcp_probe *p, bool sent, bool completed, int64_t now) {
    if (completed)
        return;
    int64_t again = now + (sent ? PAUSE_SENT_NS : PAUSE_UNSENT_NS);
    if (p->slots > 0)
        p->slots--;
    if (p->ramp_at < again)
        p->ramp_at = again;
}
