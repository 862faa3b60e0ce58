/* clock: an agent's time as the collector's, with a bound.
 *
 *   answer a          w            answer b          each answer says: offset = what I measured, give or take
 *   ───┼──────────────┼────────────────┼─────►       my error, 500 ppm of the time to w, and every step and
 *      |<- drift, steps, pauses ->|                  pause between; the truth is in what both of them allow
 *
 * Answers that leave nothing which both allow contradict each other: the clock stepped between them, unseen.
 * Then the offset is anything that one of the two allows. */
#include <errno.h>
#include <stdlib.h>

#include "base/when.h"
#include "correlate/correlate_priv.h"

#define DRIFT_PER 2000               /* the kernel slews a clock by at most 500 ppm */
#define PAUSE_TOLD_LATE (2 * WHEN_S) /* a pause ended at most so long before its record */

/* Sums of times stay inside what an int64_t can subtract, whatever an agent says. */
static int64_t add_time(int64_t a, int64_t b) {
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || sum > WIRE_NS_MAX)
        return b < 0 ? 0 : WIRE_NS_MAX;
    return sum < 0 ? 0 : sum;
}

/* By how much what happened between the answer and w makes it less certain. A step may lie on either side of
 * the moment that is asked for; a pause lasted until shortly before its record. */
static int64_t hidden_between(const struct ev_stream *s, int64_t a, int64_t b) {
    int64_t from = a < b ? a : b;
    int64_t to = a < b ? b : a;
    int64_t sum = s->more_steps_ns;
    for (size_t i = 0; i < s->n_steps; i++) {
        int64_t size = llabs(s->steps[i].jump_ns);
        int64_t begin = add_time(s->steps[i].wall_ns, -add_time(size, PAUSE_TOLD_LATE));
        int64_t end = s->steps[i].pause ? s->steps[i].wall_ns : add_time(s->steps[i].wall_ns, size);
        if (end >= from && begin <= to)
            sum = add_time(sum, size);
    }
    return sum;
}

struct range {
    int64_t lo, hi;
};

/* What one answer says of the offset at w; offsets are within +-WIRE_NS_MAX, so that this cannot overflow. */
static struct range range_of(const struct ev_stream *s, const struct ev_clock *c, int64_t wall_ns) {
    int64_t error = add_time(add_time(c->error_ns, llabs(wall_ns - c->wall_ns) / DRIFT_PER),
                             hidden_between(s, c->wall_ns, wall_ns));
    int64_t half = error < WIRE_NS_MAX / 2 ? error : WIRE_NS_MAX / 2;
    int64_t offset = c->offset_ns > WIRE_NS_MAX / 2    ? WIRE_NS_MAX / 2
                     : c->offset_ns < -WIRE_NS_MAX / 2 ? -WIRE_NS_MAX / 2
                                                       : c->offset_ns;
    return (struct range){offset - half, offset + half};
}

/* The first answer that is not before w; n_clock: there is none. */
static size_t first_since(const struct ev_stream *s, int64_t wall_ns) {
    size_t lo = 0;
    size_t hi = s->n_clock;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->clock[mid].wall_ns < wall_ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct range join(struct range a, struct range b) {
    struct range both = {a.lo > b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    struct range any = {a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
    return both.lo <= both.hi ? both : any;
}

int64_t facts_clock(const struct evidence *ev, size_t stream, int64_t wall_ns, int64_t *ret_error) {
    const struct ev_stream *s = &ev->streams[stream];
    size_t next = first_since(s, wall_ns);
    if (s->n_clock == 0) {
        *ret_error = -1;
        return wall_ns;
    }
    struct range r = range_of(s, &s->clock[next < s->n_clock ? next : next - 1], wall_ns);
    if (next > 0 && next < s->n_clock)
        r = join(range_of(s, &s->clock[next - 1], wall_ns), r);
    int64_t offset = r.lo + (r.hi - r.lo) / 2;
    *ret_error = r.hi - offset;
    return add_time(wall_ns, offset);
}

void corr_interval(const struct evidence *ev, size_t stream, int64_t wall_ns, int64_t precision_ns,
                   int64_t *ret_lo, int64_t *ret_hi) {
    int64_t error;
    int64_t t = facts_clock(ev, stream, wall_ns, &error);
    if (error < 0)
        error = 0;
    *ret_lo = add_time(t, -error);
    *ret_hi = add_time(add_time(t, precision_ns), error);
}

/* ---- what a timing record adds */

/* Keeps the order by wall_ns; after a step back of the agent's clock a later answer comes earlier. */
static int add_offset(struct ev_stream *s, const Pilotgate__Record *r, uint64_t seq) {
    struct ev_clock c = {r->wall_ns, r->timing->value_ns, (int64_t)r->timing->error_ns, seq};
    size_t at = first_since(s, c.wall_ns);
    for (size_t i = at; i < s->n_clock && s->clock[i].wall_ns == c.wall_ns; i++)
        if (s->clock[i].seq == seq)
            return 0;
    if (corr_grow_into((void **)&s->clock, s->n_clock, &s->cap_clock, sizeof *s->clock) < 0)
        return -ENOMEM;
    for (size_t i = s->n_clock++; i > at; i--)
        s->clock[i] = s->clock[i - 1];
    s->clock[at] = c;
    return 0;
}

/* Of more steps and pauses than are kept the sizes count everywhere. */
static int add_step(struct ev_stream *s, const Pilotgate__Record *r, uint64_t seq) {
    bool pause = r->timing->kind == PILOTGATE__TIMING__KIND__KIND_PAUSE;
    for (size_t i = 0; i < s->n_steps; i++)
        if (s->steps[i].seq == seq)
            return 0;
    if (s->n_steps == EV_STEPS_MAX) {
        s->more_steps_ns = add_time(s->more_steps_ns, llabs(r->timing->value_ns));
        return 0;
    }
    struct ev_step *step = CORR_PUSH(s->steps, s->n_steps, s->cap_steps);
    if (!step)
        return -ENOMEM;
    *step = (struct ev_step){r->wall_ns, r->timing->value_ns, seq, pause};
    s->n_steps++;
    return 0;
}

int corr_add_clock(struct ev_stream *s, const Pilotgate__Record *r, uint64_t seq) {
    if (r->body_case != PILOTGATE__RECORD__BODY_TIMING)
        return 0;
    switch (r->timing->kind) {
    case PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET:
        return add_offset(s, r, seq);
    case PILOTGATE__TIMING__KIND__KIND_CLOCK_STEP:
    case PILOTGATE__TIMING__KIND__KIND_PAUSE:
        return add_step(s, r, seq);
    default:
        return 0;
    }
}
