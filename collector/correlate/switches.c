/* switches: within a change, the moment at which the gateway as a whole, and each replica of it, went over.
 *
 * A pod that ended inside the change switched when it was told to end: from then on it has to finish what it
 * holds. A pod that stayed switched between the last old and the first new reading of the product's state
 * through its own path. A pod that came had nothing in flight before. A pod that was never ready in these
 * moments got no calls and is no replica. */
#include <errno.h>
#include <string.h>

#include "correlate/correlate_priv.h"

static int64_t replicas_at(const struct facts *f, int64_t t) {
    int64_t n = 0;
    for (size_t i = 0; i < f->n_scales && f->scales[i].at <= t; i++)
        n = f->scales[i].replicas;
    return n;
}

bool corr_several_replicas(const struct facts *f, const struct fact_change *c) {
    const char *path = NULL;
    if (replicas_at(f, c->begin_lo) > 1 || replicas_at(f, c->last_hi) > 1)
        return true;
    for (size_t i = 0; i < c->n_signs; i++) {
        const Pilotgate__Object *o = c->signs[i]->after;
        if (!corr_is_product(o) || !*o->path)
            continue;
        if (path && strcmp(path, o->path) != 0)
            return true;
        path = o->path;
    }
    return false;
}

/* It was told to end inside this change, and not by the next one, whose window may overlap: that one counts
 * it.
 */
static bool is_told_in(const struct fact_change *c, const struct fact_pod *p) {
    return p->told_hi && p->told_hi >= c->begin_lo && p->told_hi < c->next_lo;
}

/* One pass; what is gone later than the last sign makes the window longer, and other pods may meet it. */
static void include_until(const struct facts *f, struct fact_change *c, int64_t until) {
    for (size_t i = 0; i < f->n_pods; i++) {
        const struct fact_pod *p = &f->pods[i];
        if (!is_told_in(c, p) || p->told_lo > until)
            continue;
        c->has_switch = true;
        c->switch_lo = c->begin_lo;
        if (p->told_hi > c->switch_hi)
            c->switch_hi = p->told_hi;
        if (p->gone_hi == 0)
            c->ending_pod = p->subject;
        else if (p->gone_hi > c->last_hi)
            c->last_hi = p->gone_hi;
    }
}

void corr_include_pods(const struct facts *f, struct fact_change *c) {
    int64_t before;
    do {
        before = c->last_hi;
        include_until(f, c, before + f->longest_call_ns);
    } while (c->last_hi != before);
}

/* Where the nodes agree, what all of them allow; otherwise from the first to the last of them. Readings of
 * an earlier pod of the same name say nothing of this one. */
static bool switch_of_pod(const struct fact_change *c, const struct fact_pod *p, int64_t *ret_lo,
                          int64_t *ret_hi) {
    int64_t max_lo = INT64_MIN;
    int64_t min_hi = INT64_MAX;
    int64_t min_lo = INT64_MAX;
    int64_t max_hi = INT64_MIN;
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *s = c->signs[i];
        if (!corr_is_product(s->after) || strcmp(s->after->path, p->subject) != 0 || s->lo < p->created_lo)
            continue;
        max_lo = s->lo > max_lo ? s->lo : max_lo;
        min_lo = s->lo < min_lo ? s->lo : min_lo;
        max_hi = s->hi > max_hi ? s->hi : max_hi;
        min_hi = s->hi < min_hi ? s->hi : min_hi;
    }
    if (max_hi == INT64_MIN)
        return false;
    *ret_lo = max_lo <= min_hi ? max_lo : min_lo;
    *ret_hi = max_lo <= min_hi ? min_hi : max_hi;
    return true;
}

/* Was it ready at some time in [from, to]? */
static bool was_ready(const struct facts *f, const struct fact_pod *pod, int64_t from, int64_t to) {
    bool ready = false;
    for (size_t i = 0; i < f->n_phases && f->phases[i].lo <= to; i++) {
        const struct fact_phase *p = &f->phases[i];
        int is_ready = p->kind == PILOTGATE__PHASE__KIND__KIND_POD_READY;
        if ((!is_ready && p->kind != PILOTGATE__PHASE__KIND__KIND_POD_UNREADY) ||
            strcmp(p->p->subject, pod->subject) != 0 || strcmp(p->p->uid, pod->uid) != 0)
            continue;
        if (p->lo > from && ready)
            return true;
        ready = is_ready;
    }
    return ready;
}

/* Until the window is closed, or the next change begins: what that one does is its own. */
static int64_t end_of(const struct fact_change *c) {
    return c->window_to < c->next_lo ? c->window_to : c->next_lo - 1;
}

static bool is_replica(const struct facts *f, const struct fact_change *c, const struct fact_pod *p) {
    if (p->created_lo > end_of(c) || (p->told_hi && p->told_hi < c->begin_lo))
        return false;
    return was_ready(f, p, c->begin_lo, end_of(c));
}

/* Made inside the change, as far as whole seconds tell, and not ready before it: nothing was in flight there.
 */
static bool has_come(const struct facts *f, const struct fact_change *c, const struct fact_pod *p) {
    return p->created_hi > c->begin_lo && !was_ready(f, p, c->begin_lo, c->begin_lo);
}

static struct fact_switch switch_of(const struct facts *f, struct fact_change *c, const struct fact_pod *p) {
    struct fact_switch s = {.path = p->subject, .pod = p, .kind = FACT_SWITCH_UNSEEN};
    bool ended = is_told_in(c, p) && p->told_lo <= c->last_hi + f->longest_call_ns;
    bool signs = switch_of_pod(c, p, &s.lo, &s.hi);
    bool came = !signs && has_come(f, c, p);
    if (ended) {
        s.kind = FACT_SWITCH_ENDED;
        s.lo = p->told_lo > c->begin_lo ? p->told_lo : c->begin_lo;
        s.hi = p->told_hi;
    } else if (signs) {
        s.kind = FACT_SWITCH_RELOADED;
    } else if (came) {
        s.kind = FACT_SWITCH_NEW;
    }
    s.known = s.kind == FACT_SWITCH_ENDED || s.kind == FACT_SWITCH_RELOADED;
    c->pods_before += !came;
    c->ready_before += was_ready(f, p, c->begin_lo, c->begin_lo);
    c->pods_after += !ended;
    return s;
}

/* An ended pod for which a new one came was replaced: the first for the first. */
static void pair_replaced(struct fact_change *c) {
    size_t came = 0;
    for (size_t i = 0; i < c->n_switches; i++)
        came += c->switches[i].kind == FACT_SWITCH_NEW;
    for (size_t i = 0; i < c->n_switches && came; i++) {
        if (c->switches[i].kind != FACT_SWITCH_ENDED)
            continue;
        c->switches[i].kind = FACT_SWITCH_REPLACED;
        came--;
    }
}

static int add(struct fact_change *c, struct fact_switch s) {
    struct fact_switch *slot = CORR_PUSH(c->switches, c->n_switches, c->cap_switches);
    if (!slot)
        return -ENOMEM;
    *slot = s;
    c->n_switches++;
    return 0;
}

int corr_switches(const struct facts *f, struct fact_change *c) {
    struct fact_switch whole = {.path = "", .known = true, .lo = c->switch_lo, .hi = c->switch_hi};
    if (c->has_switch && add(c, whole) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < f->n_pods; i++)
        if (is_replica(f, c, &f->pods[i]) && add(c, switch_of(f, c, &f->pods[i])) < 0)
            return -ENOMEM;
    pair_replaced(c);
    c->replicas_before = replicas_at(f, c->begin_lo);
    c->replicas_after = replicas_at(f, end_of(c));
    return 0;
}
