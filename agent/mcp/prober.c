/* prober: when calls of a probe start. Two schedules, which a probe may have both:
 *
 *  - interval: a call at t0 + k * interval, whatever earlier calls do. A start that the agent missed by
 *    more than a second (and an interval) is counted as unsent, not made up for in a burst.
 *  - in flight: `slots` calls are kept open. Slots are added one by one, spread over the time that a call
 *    takes, so that calls do not all end together; after a call that completed its slot rests REST_NS. A
 *    call that did not complete gives its slot back to that ramp: a gateway that refuses everything is
 *    not hammered.
 *
 * The rest is there because of HTTP/1.1: a server may close a connection right after an answer without
 * saying so, and a call that is sent in that very moment is lost although nothing in flight was dropped
 * (RFC 9112, 9.3.1). No client of flesh calls again within microseconds.
 *
 * A probe whose tool is not in the target's catalogue waits until it is, so that a probe can be there
 * before the change that adds its tool.
 */
#include "mcp/mcp_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

#define MISSED_NS WHEN_S
#define RAMP_MIN_NS WHEN_S
#define RAMP_MAX_NS (5 * WHEN_S)
#define PAUSE_SENT_NS (50 * WHEN_MS)    /* of the ramp, after a call that failed */
#define PAUSE_UNSENT_NS (100 * WHEN_MS) /* after a call that could not be sent */

#define REST_NS (25 * WHEN_MS)

int mcp_probe_open(struct mcp_probe *p) {
    int64_t most = p->c->drill_in_flight > p->c->in_flight ? p->c->drill_in_flight : p->c->in_flight;
    p->rest_cap = (size_t)most + 1;
    p->rests = calloc(p->rest_cap, sizeof *p->rests);
    return p->rests ? 0 : -ENOMEM;
}

void mcp_probe_close(struct mcp_probe *p) {
    free(p->rests);
    p->rests = NULL;
}

static void begin_rest(struct mcp_probe *p, int64_t until) {
    if (p->resting == p->rest_cap)
        return;
    p->rests[(p->rest_at + p->resting++) % p->rest_cap] = until;
}

static void end_rests(struct mcp_probe *p, int64_t now) {
    for (; p->resting && p->rests[p->rest_at] <= now; p->resting--)
        p->rest_at = (p->rest_at + 1) % p->rest_cap;
}

/* A catalogue that was never read hides nothing: the call's own failure is evidence then. */
static bool tool_is_absent(const struct mcp_probe *p) {
    const struct mcp_target *t = p->target;
    size_t i;
    json_t *name;
    if (!t->names)
        return t->c->catalogue_interval > 0 && (t->poll_began == 0 || peer_list_running(&t->poll));
    json_array_foreach(t->names, i, name) {
        if (strcmp(json_string_value(name), p->c->tool) == 0)
            return false;
    }
    return t->c->catalogue_interval > 0;
}

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
    if (peer_state(p->target->peer) != PEER_UP) {
        mcp_call_unsent(p, peer_failure(p->target->peer));
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
    end_rests(p, now);
    while (p->open + p->resting < p->slots) {
        bool drill = p->m->loaded && (int64_t)p->open >= p->c->in_flight;
        if (!start(p, drill)) {
            p->slots--;
            p->ramp_at = now + (peer_state(p->target->peer) == PEER_UP ? PAUSE_UNSENT_NS : PEER_RETRY_NS);
            return;
        }
    }
}

void mcp_probe_turn(struct mcp_probe *p, int64_t now) {
    if (!p->m->scheduling || !peer_tried(p->target->peer))
        return;
    if (!p->begun) {
        p->begun = true;
        p->due = p->ramp_at = now;
    }
    if (tool_is_absent(p)) {
        p->due = now + p->c->interval;
        p->slots = 0;
        return;
    }
    if (p->c->interval > 0)
        run_interval(p, now);
    run_slots(p, now);
}

int64_t mcp_probe_next(const struct mcp_probe *p) {
    int64_t next = INT64_MAX;
    if (!p->m->scheduling || !peer_tried(p->target->peer))
        return next;
    if (!p->begun)
        return 0;
    if (p->c->interval > 0)
        next = p->due;
    if (p->slots < wanted(p) && p->ramp_at < next)
        next = p->ramp_at;
    if (tool_is_absent(p))
        return INT64_MAX;
    if (p->resting && p->rests[p->rest_at] < next)
        next = p->rests[p->rest_at];
    return p->open + p->resting < p->slots ? 0 : next;
}

void mcp_probe_ended(struct mcp_probe *p, bool sent, bool completed, int64_t now) {
    if (completed) {
        begin_rest(p, now + REST_NS);
        return;
    }
    int64_t again = now + (sent ? PAUSE_SENT_NS : PAUSE_UNSENT_NS);
    if (p->slots > 0)
        p->slots--;
    if (p->ramp_at < again)
        p->ramp_at = again;
}
