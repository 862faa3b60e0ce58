/* clocks: how far this agent's clock is from the collector's, and whether it jumped.
 *
 *   agent      t1 ─────────────►             t4
 *   collector              t2 ──── t3 ─────►        offset = ((t2-t1) + (t3-t4)) / 2
 *                                                   bound  = ((t4-t1) - (t3-t2)) / 2, rounded up
 *
 * The bound holds however unevenly the way there and the way back share the delay. The best sample of a
 * window becomes the record and carries the time at which it was taken, so that drift since then is not
 * hidden in it. It becomes one only when it says something: after a session's begin, when the offset moved by
 * more than was known before, when it is known twice as well; and once a minute. A sample over which the wall
 * clock moved against the monotonic one is thrown away. */
#include <stdlib.h>

#include "uplink_priv.h"

#define PROBE_EVERY (5 * WHEN_S)
#define PROBE_FAST (1 * WHEN_S)
#define PROBES_FAST 5
#define WINDOW (10 * WHEN_S)       /* of samples, of which the best counts */
#define RECORD_EVERY (60 * WHEN_S) /* where nothing new is to be said */
#define PAUSE_MIN (500 * WHEN_MS)
#define SUSPEND_MIN (10 * WHEN_MS)
#define STEP_MIN (50 * WHEN_MS)
#define SAMPLE_SLIP (1 * WHEN_MS)

void clocks_begin(struct clocks *c, int64_t now) {
    c->waiting = false;
    c->best.some = false;
    c->fresh = true;
    c->fast = PROBES_FAST;
    c->next_probe = now;
}

bool clocks_probe(struct clocks *c, int64_t now, Pilotgate__ClockProbe *ret) {
    if (now < c->next_probe)
        return false;
    c->next_probe = now + (c->fast > 0 ? PROBE_FAST : PROBE_EVERY);
    c->fast -= c->fast > 0;
    c->waiting = true; /* an older probe that is still unanswered is given up */
    c->id++;
    c->t1_mono_ns = when_mono_ns();
    c->t1_wall_ns = when_wall_ns();
    ret->id = c->id;
    ret->t1_wall_ns = c->t1_wall_ns;
    return true;
}

void clocks_reply(struct clocks *c, const Pilotgate__ClockReply *r, int64_t t4_wall_ns, int64_t t4_mono_ns) {
    if (!c->waiting || r->id != c->id || r->t1_wall_ns != c->t1_wall_ns)
        return;
    c->waiting = false;
    int64_t there = t4_wall_ns - c->t1_wall_ns;
    int64_t inside = r->t3_wall_ns - r->t2_wall_ns;
    if (llabs((long long)(there - (t4_mono_ns - c->t1_mono_ns))) > SAMPLE_SLIP || inside < 0 ||
        inside > there)
        return;
    struct clock_sample s = {.some = true,
                             .value_ns = ((r->t2_wall_ns - c->t1_wall_ns) + (r->t3_wall_ns - t4_wall_ns)) / 2,
                             .error_ns = (uint64_t)(there - inside) / 2 + 1,
                             .wall_ns = t4_wall_ns,
                             .mono_ns = t4_mono_ns};
    if (!c->best.some || s.error_ns < c->best.error_ns)
        c->best = s;
}

static void fill(Pilotgate__Record *r, Pilotgate__Timing *t) {
    pilotgate__record__init(r);
    pilotgate__timing__init(t);
    r->body_case = PILOTGATE__RECORD__BODY_TIMING;
    r->timing = t;
}

static bool says_something(const struct clocks *c, int64_t now) {
    int64_t moved = (int64_t)llabs((long long)(c->best.value_ns - c->told.value_ns));
    return c->fresh || !c->told.some || now >= c->next_record || moved > (int64_t)c->told.error_ns ||
           c->best.error_ns < c->told.error_ns / 2;
}

bool clocks_offset(struct clocks *c, int64_t now, Pilotgate__Record *ret, Pilotgate__Timing *timing) {
    if (!c->best.some || now < c->next_look)
        return false;
    c->next_look = now + WINDOW;
    if (!says_something(c, now)) {
        c->best.some = false;
        return false;
    }
    fill(ret, timing);
    ret->wall_ns = c->best.wall_ns;
    ret->mono_ns = (uint64_t)c->best.mono_ns;
    timing->kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET;
    timing->value_ns = c->best.value_ns;
    timing->error_ns = c->best.error_ns;
    c->told = c->best;
    c->best.some = c->fresh = false;
    c->next_record = now + RECORD_EVERY;
    return true;
}

bool clocks_step(struct clocks *c, int64_t wall_ns, int64_t mono_ns, uint64_t error_ns,
                 Pilotgate__Timing *ret) {
    int64_t base = wall_ns - mono_ns;
    int64_t jump = base - c->base_ns;
    bool stepped = c->based && llabs((long long)jump) > STEP_MIN;
    c->based = true;
    c->base_ns = base;
    if (!stepped)
        return false;
    pilotgate__timing__init(ret);
    ret->kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_STEP;
    ret->value_ns = jump;
    ret->error_ns = error_ns;
    c->next_look = mono_ns; /* what was measured before is worth nothing now */
    clocks_begin(c, mono_ns);
    return true;
}

bool clocks_pause(struct clocks *c, const struct clocks_wait *w, Pilotgate__Timing *ret) {
    int64_t asleep = w->boot_ns - w->mono_ns;
    int64_t suspended = c->waited ? asleep - c->asleep_ns : 0;
    int64_t stood = w->took_ns - w->asked_ns > PAUSE_MIN ? w->took_ns : 0;
    c->waited = true;
    c->asleep_ns = asleep;
    if (suspended < SUSPEND_MIN)
        suspended = 0;
    if (stood == 0 && suspended == 0)
        return false;
    pilotgate__timing__init(ret);
    ret->kind = PILOTGATE__TIMING__KIND__KIND_PAUSE;
    ret->value_ns = stood > suspended ? stood : suspended;
    ret->error_ns = stood > suspended ? (uint64_t)w->asked_ns : 0;
    return true;
}
