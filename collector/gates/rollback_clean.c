/* rollback_clean: did a rollback complete cleanly? Deployed inside the limit, nothing dropped, nothing
 * crashing, everything available again, and all of it witnessed. */
#include <string.h>

#include "base/when.h"
#include "gates/rollback_priv.h"

/* What fails in a pod that the rollback takes away is what it was rolled back for. */
static int goes_away(const struct rollback *r, const struct fact_phase *failed) {
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if ((p->kind == PILOTGATE__PHASE__KIND__KIND_POD_DELETING ||
             p->kind == PILOTGATE__PHASE__KIND__KIND_POD_GONE) &&
            p->lo <= r->change->window_to && strcmp(p->p->subject, failed->p->subject) == 0 &&
            strcmp(p->p->uid, failed->p->uid) == 0)
            return 1;
    }
    return 0;
}

static const struct fact_phase *crashed(const struct rollback *r) {
    int64_t until = r->settled ? r->settled : r->change->window_to;
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED && p->lo >= r->now->created_lo &&
            p->lo <= until && !goes_away(r, p))
            return p;
    }
    return NULL;
}

struct wanted {
    const char *subject;
    int exists;
};

static int match_subject(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct wanted *w = ctx;
    size_t n = strlen(o->kind);
    (void)ref;
    w->exists |= strncmp(w->subject, o->kind, n) == 0 && w->subject[n] == '/' &&
                 strcmp(w->subject + n + 1, o->name) == 0;
    return 0;
}

static int exists_after(const struct rollback *r, const char *subject) {
    struct wanted w = {subject, 0};
    return facts_snapshot(r->f, r->change->window_to, match_subject, &w, NULL) < 0 || w.exists;
}

static bool is_availability(const struct fact_phase *p, const char *subject, int kind) {
    return p->kind == kind && strcmp(p->p->subject, subject) == 0;
}

/* The first time after this that it was available; NULL: it never was. */
static const struct fact_phase *available_again(const struct rollback *r, const struct fact_phase *down) {
    for (const struct fact_phase *p = down + 1; p < r->f->phases + r->f->n_phases; p++)
        if (is_availability(p, down->p->subject, PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE))
            return p;
    return NULL;
}

/* It was available since the rollback began, before it went down: it does not start, it fails. */
static bool went_down_again(const struct rollback *r, const struct fact_phase *down) {
    for (const struct fact_phase *p = r->f->phases; p < down; p++)
        if (p->lo >= r->now->created_lo &&
            is_availability(p, down->p->subject, PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE))
            return true;
    return false;
}

static int64_t deadline(const struct rollback *r) {
    int64_t limit = r->now->created_hi + r->c->rubric.rules.rollback_limit_ns;
    return limit > r->change->window_to ? limit : r->change->window_to;
}

/* again: when the last workload was available that was not in the window; 0: there is none. */
static int64_t read_at(const struct rollback *r, int64_t again) {
    int64_t rest = r->change->window_to - r->change->last_hi;
    return again && again + rest > r->change->window_to ? again + rest : r->change->window_to;
}

/* A workload that is still there, whose last word inside the window, or until the others were available, was
 * that it is not available, and that was not inside the limit either; NULL: none. again: when the last of the
 * others was, 0: there is none. */
static const struct fact_phase *unavailable(const struct rollback *r, int64_t *ret_again) {
    const struct fact_phase *found = NULL;
    *ret_again = 0;
    for (size_t i = 0; i < r->f->n_phases; i++) {
        const struct fact_phase *p = &r->f->phases[i];
        int64_t until = read_at(r, *ret_again);
        if (p->kind != PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE || p->lo > until ||
            (p->lo > r->change->window_to && p->lo >= r->change->next_lo))
            continue;
        const struct fact_phase *up = available_again(r, p);
        if (up && up->lo <= until)
            continue;
        if (!exists_after(r, p->p->subject))
            continue;
        found = p;
        if (!up || up->lo > deadline(r) || went_down_again(r, p))
            break;
        *ret_again = up->hi > *ret_again ? up->hi : *ret_again;
        found = NULL;
    }
    return found;
}

int64_t rollback_settled(const struct rollback *r) {
    int64_t again;
    if (unavailable(r, &again))
        return 0;
    return read_at(r, again);
}

/* Workloads that are not available: they start yet, or they never will. */
static void not_available(json_t *o, const struct rollback *r, const struct fact_phase *p) {
    char limit[WHEN_TEXT_MAX];
    (void)when_format_duration(r->c->rubric.rules.rollback_limit_ns, limit);
    if (went_down_again(r, p))
        gate_decide(o, GATE_FAIL, "%s is not available after the rollback: it was, and went down again",
                    p->p->subject);
    else if (r->c->at_ns < deadline(r))
        gate_decide(o, GATE_PENDING, "not settled: %s is not available yet", p->p->subject);
    else
        gate_decide(o, GATE_FAIL, "%s is not available after the rollback: it was not within %s",
                    p->p->subject, limit);
    gate_cite(o, r->f, p->ref);
}

/* Nobody saw the end of it: its calls, or, without a watch, its release. */
static int unwitnessed(const struct rollback *r) {
    const struct fact_change *c = r->change;
    return c->n_unwitnessed || c->unresolved || c->unattributed || c->unknown_outcomes ||
           c->clock_error_ns < 0 || c->clock_error_ns > r->c->rubric.rules.clock_error_max_ns;
}

static void some_missing(json_t *o, const struct rollback *r) {
    char text[GATE_MISSING_MAX];
    gate_missing_text(r->f, r->change->missing, text);
    gate_decide(o, GATE_INCONCLUSIVE, "%s, and roll back again", text);
    gate_cite(o, r->f, r->change->missing->ref);
}

/* True when a verdict was given: the rollback did not end cleanly, or not yet. */
bool rollback_not_clean(json_t *o, const struct rollback *r) {
    int64_t limit = r->c->rubric.rules.rollback_limit_ns;
    char a[WHEN_TEXT_MAX];
    int64_t again;
    const struct fact_phase *p;
    if (strcmp(r->now->status, "failed") == 0)
        gate_decide(o, GATE_FAIL, "Helm says that the rollback failed: %s", r->now->description);
    else if (!r->now->deployed_hi && r->c->at_ns - r->now->created_lo <= limit)
        gate_decide(o, GATE_PENDING, "the rollback has not completed yet");
    else if (!r->now->deployed_hi && (r->change->n_unwitnessed || strcmp(r->now->status, "superseded") == 0))
        gate_decide(o, GATE_INCONCLUSIVE, "nobody saw whether the rollback was deployed: roll back again");
    else if (!r->now->deployed_hi || r->now->deployed_lo - r->now->created_hi > limit)
        gate_decide(o, GATE_FAIL, "not deployed within %s%s%s", when_format_duration(limit, a),
                    r->now->deployed_hi ? "" : ": it is still ", r->now->deployed_hi ? "" : r->now->status);
    else if (r->change->dropped + r->change->interrupted)
        gate_decide(o, GATE_FAIL, "%llu calls dropped and %llu interrupted by the rollback",
                    (unsigned long long)r->change->dropped, (unsigned long long)r->change->interrupted);
    else if ((p = crashed(r)) != NULL)
        gate_decide(o, GATE_FAIL, "%s failed after the rollback: %s", p->p->subject, p->p->reason);
    else if (r->c->at_ns < r->change->window_to)
        gate_decide(o, GATE_PENDING, "not settled: the window closes at %s",
                    when_format(r->change->window_to, 0, a));
    else if ((p = unavailable(r, &again)) != NULL)
        not_available(o, r, p);
    else if (r->c->at_ns < r->settled)
        gate_decide(o, GATE_PENDING, "not settled: its workloads started late, and it is read at %s",
                    when_format(r->settled, 0, a));
    else if (r->change->ending_pod && !r->change->n_unwitnessed)
        gate_decide(o, GATE_PENDING, "not settled: %s was told to end and is not gone yet",
                    r->change->ending_pod);
    else if (r->change->calls_in_window == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "no call met the rollback, so nothing shows that none was dropped: `pilotgate drill "
                    "rollback` raises the load");
    else if (r->change->missing)
        some_missing(o, r);
    else if (unwitnessed(r))
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the calls of its window were not all witnessed: `pilotgate changes %s`", r->change->id);
    else
        return false;
    return true;
}

/* Its window was over, and its workloads were starting yet: what was lost then no change's window may hold.
 */
bool rollback_lost_since(json_t *o, const struct rollback *r, int64_t after_at) {
    struct fact_ref first;
    size_t n = after_at > r->change->window_to
                   ? facts_lost_between(r->f, r->change->window_to, after_at, &first)
                   : 0;
    if (n == 0)
        return false;
    gate_decide(o, GATE_INCONCLUSIVE,
                "%zu calls were dropped or interrupted after its window, while its workloads were still "
                "starting: roll back again",
                n);
    gate_cite(o, r->f, first);
    return true;
}
