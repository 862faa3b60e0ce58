/* prober: when calls of a probe start, on one path. Two schedules, which a probe may have both:
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
 * Quotas: a call that is due and over max_in_flight or max_rate is unsent, and told so once a second.
 *
 * A probe whose tool is not in the target's catalogue waits until it is, so that a probe can be there
 * before the change that adds its tool.
 */
#include "mcp/mcp_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

#define MISSED_NS WHEN_S
#define RAMP_MIN_NS WHEN_S
#define RAMP_MAX_NS (5 * WHEN_S)
#define PAUSE_SENT_NS (50 * WHEN_MS)    /* of the ramp, after a call that failed */
#define PAUSE_UNSENT_NS (100 * WHEN_MS) /* after a call that could not be sent */

#define REST_NS (25 * WHEN_MS)

/* Of max_rate what may be used at once: calls that are held for equal times end, and begin again, together.
 * Calls by URL come first. */
#define RATE_BURST_NS WHEN_S
#define RATE_BURST_REPLICA_NS (WHEN_S / 2)

size_t mcp_probe_load(const struct mcp_probe *p, bool loaded) {
    bool url = !*p->path->name;
    int64_t quiet = url ? p->c->in_flight : p->c->replica_in_flight;
    int64_t drill = url ? p->c->drill_in_flight : p->c->replica_drill_in_flight;
    return (size_t)(loaded && drill > quiet ? drill : quiet);
}

int mcp_probe_open(struct mcp_probe *p) {
    p->rest_cap = mcp_probe_load(p, true) + 1;
    p->rests = calloc(p->rest_cap, sizeof *p->rests);
    return p->rests ? 0 : -ENOMEM;
}

void mcp_probe_close(struct mcp_probe *p) {
    free(p->rests);
    p->rests = NULL;
}

/* ------------------------------------------------------------------ shares */

/* Sum of what probes want, by URL or by replica. */
static size_t sum_of(const struct mcp *m, bool url, bool loaded) {
    size_t sum = 0;
    for (const struct mcp_path *t = m->paths; t; t = t->next)
        for (size_t i = 0; i < t->n_probes && !*t->name == url && mcp_path_may_call(t); i++)
            sum += mcp_probe_load(&t->probes[i], loaded);
    return sum;
}

/* What is left over is dealt out by rounding the running sum: shares differ by one at most. */
static void share(struct mcp *m, bool loaded) {
    size_t url = sum_of(m, true, loaded);
    size_t asked = sum_of(m, false, loaded);
    size_t room = (size_t)m->c->max_in_flight > url ? (size_t)m->c->max_in_flight - url : 0;
    size_t before = 0;
    m->cut = m->cut || asked > room;
    for (struct mcp_path *t = m->paths; t; t = t->next)
        for (size_t i = 0; i < t->n_probes; i++) {
            struct mcp_probe *p = &t->probes[i];
            size_t load = mcp_path_may_call(t) ? mcp_probe_load(p, loaded) : 0;
            p->share[loaded] = load;
            if (asked <= room || !*t->name)
                continue;
            p->share[loaded] = (before + load) * room / asked - before * room / asked;
            before += load;
        }
}

void mcp_probes_share(struct mcp *m) {
    m->cut = false;
    m->shared = true;
    share(m, false);
    share(m, true);
}

/* ------------------------------------------------------------------ rests */

static void begin_rest(struct mcp_probe *p, int64_t until) {
    if (p->resting == p->rest_cap)
        return;
    p->rests[(p->rest_at + p->resting++) % p->rest_cap] = until;
}

static void end_rests(struct mcp_probe *p, int64_t now) {
    for (; p->resting && p->rests[p->rest_at] <= now; p->resting--)
        p->rest_at = (p->rest_at + 1) % p->rest_cap;
}

/* ------------------------------------------------------------------ starting */

/* In sorted names: a catalogue may have thousands, and is asked in every turn. */
static bool is_among(const json_t *names, const char *tool) {
    size_t lo = 0;
    size_t hi = json_array_size(names);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(json_string_value(json_array_get(names, mid)), tool);
        if (order == 0)
            return true;
        *(order < 0 ? &lo : &hi) = order < 0 ? mid + 1 : mid;
    }
    return false;
}

/* A catalogue that was never read hides nothing: the call's own failure is evidence then. */
static bool tool_is_absent(const struct mcp_probe *p) {
    const struct mcp_path *t = p->path;
    bool polled = t->target->c->catalogue_interval > 0;
    if (!t->names)
        return polled && (t->poll_began == 0 || peer_list_running(&t->poll));
    return polled && !is_among(t->names, p->c->tool);
}

static size_t wanted(const struct mcp_probe *p) {
    if (!p->m->scheduling)
        return 0;
    size_t want = p->share[p->m->loaded];
    return p->path->state == MCP_PATH_GOING && p->slots < want ? p->slots : want;
}

static bool takes_fresh(struct mcp_probe *p) {
    if (p->path->state != MCP_PATH_OPEN)
        return false;
    if (p->c->connection == CONFIG_CONNECTION_BOTH)
        p->next_is_new = !p->next_is_new;
    else
        p->next_is_new = p->c->connection == CONFIG_CONNECTION_NEW;
    return p->next_is_new;
}

static bool over_quota(struct mcp_probe *p, const char *text, int64_t quota) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED};
    (void)snprintf(why.detail, sizeof why.detail, "%s %lld of this agent is reached", text, (long long)quota);
    mcp_call_unsent(p, &why);
    return false;
}

/* max_rate as a bucket: calls use up time, and a little may be used in advance. */
static bool may_by_rate(struct mcp_probe *p, int64_t now) {
    struct mcp *m = p->m;
    int64_t burst = *p->path->name ? RATE_BURST_REPLICA_NS : RATE_BURST_NS;
    if (m->c->max_rate <= 0)
        return true;
    if (now < m->rate_at - burst)
        return false;
    m->rate_at = (m->rate_at > now ? m->rate_at : now) + WHEN_S / m->c->max_rate;
    return true;
}

/* One call that is due now. False: it is counted as unsent. */
static bool start(struct mcp_probe *p, bool drill, int64_t now) {
    p->scheduled++;
    if (peer_state(p->path->peer) != PEER_UP && p->path->state != MCP_PATH_OPEN) {
        struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED,
                                  .detail = "its replica is going, and is not opened anew"};
        mcp_call_unsent(p, &why);
        return false;
    }
    if (peer_state(p->path->peer) != PEER_UP) {
        mcp_call_unsent(p, peer_failure(p->path->peer));
        return false;
    }
    if (p->m->calls_open >= (size_t)p->m->c->max_in_flight)
        return over_quota(p, "max_in_flight", p->m->c->max_in_flight);
    if (!may_by_rate(p, now))
        return over_quota(p, "max_rate", p->m->c->max_rate);
    return mcp_call_begin(p, takes_fresh(p), drill, p->c->timeout);
}

static void note_delay(struct mcp_probe *p, int64_t delay) {
    if (delay > p->max_delay)
        p->max_delay = delay;
    mcp_count_delay(&p->m->counters, delay);
}

static void run_interval(struct mcp_probe *p, int64_t now) {
    int64_t bound = p->c->interval > MISSED_NS ? p->c->interval : MISSED_NS;
    while (p->due <= now) {
        int64_t due = p->due;
        p->due += p->c->interval;
        if (now - due > bound) {
            p->scheduled++;
            mcp_probe_unsent(p);
            note_delay(p, now - due);
        } else {
            (void)start(p, false, now);
            note_delay(p, when_mono_ns() - due); /* the begins of this turn delay one another */
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
        bool drill = p->m->loaded && p->open >= mcp_probe_load(p, false);
        if (!start(p, drill, now)) {
            p->slots--;
            p->ramp_at = now + (peer_state(p->path->peer) == PEER_UP ? PAUSE_UNSENT_NS : PEER_RETRY_NS);
            return;
        }
    }
}

/* The interval is kept by URL; a replica has calls in flight. */
static bool has_interval(const struct mcp_probe *p) {
    return p->c->interval > 0 && !*p->path->name;
}

void mcp_probe_turn(struct mcp_probe *p, int64_t now) {
    if (!p->m->scheduling || !peer_tried(p->path->peer))
        return;
    if (!p->begun) {
        size_t i = (size_t)(p - p->path->probes); /* so that not all probes call at the same moments */
        p->begun = true;
        p->due = now + p->c->interval * (int64_t)i / (int64_t)p->path->n_probes;
        p->ramp_at = now;
    }
    if (tool_is_absent(p)) {
        p->due = now + p->c->interval;
        p->slots = 0;
        return;
    }
    if (has_interval(p))
        run_interval(p, now);
    run_slots(p, now);
}

int64_t mcp_probe_next(const struct mcp_probe *p) {
    int64_t next = INT64_MAX;
    if (!p->m->scheduling || !peer_tried(p->path->peer))
        return next;
    if (!p->begun)
        return 0;
    if (has_interval(p))
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
