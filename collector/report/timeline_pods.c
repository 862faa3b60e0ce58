/* timeline_pods: what the phases of one thing (a pod, a workload, a release revision ...) make of its row:
 * which state it was in from when to when. See timeline_priv.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/timeline_priv.h"

#define KIND(x) PILOTGATE__PHASE__KIND__KIND_##x

static int grow(void **items, size_t n, size_t *cap, size_t size) {
    if (n < *cap)
        return 0;
    size_t want = *cap ? 2 * *cap : 8;
    void *more = realloc(*items, want * size);
    if (!more)
        return -ENOMEM;
    *items = more;
    *cap = want;
    return 0;
}

/* Ends the last span where this one begins; TL_NONE only ends. The same state again goes on. */
static int enter(struct tl_row *row, enum tl_state state, int64_t at, const struct fact_phase *by) {
    struct tl_span *last = row->n_spans ? &row->spans[row->n_spans - 1] : NULL;
    if (last && last->state == state)
        return 0;
    if (last && last->to == INT64_MAX)
        last->to = at > last->from ? at : last->from;
    if (state == TL_NONE)
        return 0;
    if (grow((void **)&row->spans, row->n_spans, &row->cap_spans, sizeof *row->spans) < 0)
        return -ENOMEM;
    row->spans[row->n_spans++] = (struct tl_span){state, at, INT64_MAX, by};
    return 0;
}

static int fail(struct tl_row *row, const struct fact_phase *p) {
    if (grow((void **)&row->failures, row->n_failures, &row->cap_failures, sizeof *row->failures) < 0)
        return -ENOMEM;
    row->failures[row->n_failures++] = p;
    return 0;
}

static enum tl_state state_of(const struct tl_row *row) {
    const struct tl_span *last = row->n_spans ? &row->spans[row->n_spans - 1] : NULL;
    return last && last->to == INT64_MAX ? last->state : TL_NONE;
}

static int end_row(struct tl_row *row, const struct fact_phase *p) {
    if (row->gone == INT64_MAX)
        row->gone = p->lo;
    return enter(row, TL_NONE, p->lo, p);
}

static void reach(struct tl_row *row, const struct fact_phase *p) {
    if (!row->goal)
        row->goal = p;
}

/* ---- pods */

static int pod_failed(struct tl_row *row, const struct fact_phase *p) {
    enum tl_state now = state_of(row);
    if (fail(row, p) < 0)
        return -ENOMEM;
    if (p->kind == KIND(POD_UNSCHEDULABLE))
        return now <= TL_CREATED ? enter(row, TL_UNSCHEDULABLE, p->lo, p) : 0;
    /* a pod that serves loses its readiness by a phase of its own */
    return now == TL_READY || now == TL_DELETING ? 0 : enter(row, TL_FAILING, p->lo, p);
}

/* The costliest is what the note tells of. */
static void take_pull(struct tl_row *row, const struct fact_phase *p) {
    if (p->p->origin != PILOTGATE__ORIGIN__ORIGIN_EVENT)
        return;
    if (!row->pulled || p->p->duration_ns > row->pulled->p->duration_ns)
        row->pulled = p;
}

/* A pull that is over: back to what came before it, or, where its beginning was not told, nothing. */
static int pod_pulled(struct tl_row *row, const struct fact_phase *p) {
    take_pull(row, p);
    return state_of(row) == TL_PULLING ? enter(row, TL_SCHEDULED, p->lo, p) : 0;
}

/* initialized: when its init containers were done; INT64_MIN: it has none, or they never were. */
static int pod_started(struct tl_row *row, const struct fact_phase *p, int64_t initialized) {
    enum tl_state now = state_of(row);
    if (now == TL_READY || now == TL_DELETING)
        return 0;
    return enter(row, p->lo < initialized ? TL_INIT : TL_STARTED, p->lo, p);
}

static int pod_step(struct tl_row *row, const struct fact_phase *p, int64_t initialized) {
    enum tl_state now = state_of(row);
    switch (p->kind) {
    case KIND(POD_CREATED):
        return now == TL_NONE ? enter(row, TL_CREATED, p->lo, p) : 0;
    case KIND(POD_SCHEDULED):
        return now <= TL_UNSCHEDULABLE ? enter(row, TL_SCHEDULED, p->lo, p) : 0;
    case KIND(IMAGE_PULLING):
        return now < TL_STARTED || now == TL_FAILING ? enter(row, TL_PULLING, p->lo, p) : 0;
    case KIND(IMAGE_PULLED):
        return pod_pulled(row, p);
    case KIND(POD_INITIALIZED):
        return now == TL_INIT ? enter(row, TL_SCHEDULED, p->lo, p) : 0;
    case KIND(CONTAINER_STARTED):
        return pod_started(row, p, initialized);
    case KIND(POD_READY):
        reach(row, p);
        return enter(row, TL_READY, p->lo, p);
    case KIND(POD_UNREADY):
        return now == TL_DELETING ? 0 : enter(row, TL_UNREADY, p->lo, p);
    case KIND(POD_DELETING):
        return enter(row, TL_DELETING, p->lo, p);
    case KIND(POD_GONE):
        return end_row(row, p);
    case KIND(CONTAINER_FAILED):
    case KIND(POD_UNSCHEDULABLE):
        return pod_failed(row, p);
    default:
        return 0;
    }
}

static int fill_pod(struct tl_row *row, const struct fact_phase *const *phases, size_t n) {
    int64_t initialized = INT64_MIN;
    for (size_t i = 0; i < n && initialized == INT64_MIN; i++)
        if (phases[i]->kind == KIND(POD_INITIALIZED))
            initialized = phases[i]->lo;
    for (size_t i = 0; i < n; i++)
        if (pod_step(row, phases[i], initialized) < 0)
            return -ENOMEM;
    return 0;
}

/* ---- everything else */

/* Of a revision whose end is known, and of its operation nothing: it was deployed before the agents came. */
static bool was_before(const struct fact_phase *const *phases, size_t n) {
    bool ended = false;
    for (size_t i = 0; i < n; i++) {
        if (phases[i]->kind == KIND(RELEASE_DEPLOYED) || phases[i]->kind == KIND(RELEASE_FAILED) ||
            phases[i]->kind == KIND(RELEASE_PENDING))
            return false;
        ended = ended || phases[i]->kind == KIND(RELEASE_SUPERSEDED) ||
                phases[i]->kind == KIND(RELEASE_UNINSTALLED);
    }
    return ended;
}

static int other_step(struct tl_row *row, const struct fact_phase *p, enum tl_state begun) {
    switch (p->kind) {
    case KIND(NAMESPACE_CREATED):
        return enter(row, TL_EXISTS, p->lo, p);
    case KIND(RELEASE_CREATED):
    case KIND(RELEASE_PENDING):
        return enter(row, begun, p->lo, p);
    case KIND(RELEASE_DEPLOYED):
        reach(row, p);
        return enter(row, TL_DEPLOYED, p->lo, p);
    case KIND(RELEASE_FAILED):
    case KIND(HOOK_FAILED):
        return fail(row, p) < 0 ? -ENOMEM : end_row(row, p);
    case KIND(WORKLOAD_CREATED):
    case KIND(WORKLOAD_UNAVAILABLE):
    case KIND(HOOK_STARTED):
        return enter(row, TL_UNDER_WAY, p->lo, p);
    case KIND(WORKLOAD_AVAILABLE):
        reach(row, p);
        return enter(row, TL_AVAILABLE, p->lo, p);
    case KIND(HOOK_SUCCEEDED):
        reach(row, p);
        return end_row(row, p);
    case KIND(RELEASE_SUPERSEDED):
    case KIND(RELEASE_UNINSTALLED):
        return end_row(row, p);
    default:
        return 0;
    }
}

int timeline_row_fill(struct tl_row *row, const struct fact_phase *const *phases, size_t n) {
    enum tl_state begun = row->kind == TL_RELEASE && was_before(phases, n) ? TL_KNOWN : TL_UNDER_WAY;
    row->first = phases[0];
    row->born = phases[0]->lo;
    row->gone = INT64_MAX;
    if (row->kind == TL_POD)
        return fill_pod(row, phases, n);
    for (size_t i = 0; i < n; i++)
        if (other_step(row, phases[i], begun) < 0)
            return -ENOMEM;
    return 0;
}
