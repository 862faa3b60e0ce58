/* missing: records of a stage that nobody can read (lost by an agent, never to come, deleted, never made
 * because nobody watched), placed in time.
 *
 * Of a gap only its place in the stream is known: what was in it was told after the last record before it and
 * before the first one after it. Both are looked for among the records that were loaded; where one lies
 * further away than the nearest in the store, the gap counts as longer than it is, never as shorter. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/correlate_priv.h"

/* A block is told some time after its calls ended, and coverage names what was open for as long. */
#define TOLD_LATE_NS (60 * WHEN_S)

/* Sources that one absence left unwatched begin and end with so much between them: they list one by one. */
#define NEAR_NS (60 * WHEN_S)
#define TOGETHER_MAX 64 /* sources of an agent, and then some */

struct placing {
    struct facts *f;
    struct ev_missing *gaps; /* of this stage, by (stream, from_seq); owned */
    int64_t *lo, *hi;        /* when each was told; owned */
    size_t n;
};

static int by_place(const void *a, const void *b) {
    const struct ev_missing *x = a;
    const struct ev_missing *y = b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->from_seq < y->from_seq ? -1 : x->from_seq > y->from_seq;
}

static int collect_gaps(struct placing *p) {
    const struct evidence *ev = p->f->ev;
    p->gaps = calloc(ev->n_missing + 1, sizeof *p->gaps);
    p->lo = calloc(ev->n_missing + 1, sizeof *p->lo);
    p->hi = calloc(ev->n_missing + 1, sizeof *p->hi);
    if (!p->gaps || !p->lo || !p->hi)
        return -ENOMEM;
    for (size_t i = 0; i < ev->n_missing; i++) {
        if (!corr_in_stage(p->f, ev->missing[i].stream) || ev->missing[i].cause == EV_CAUSE_DELETED)
            continue;
        p->hi[p->n] = INT64_MAX;
        p->gaps[p->n++] = ev->missing[i];
    }
    if (p->n)
        qsort(p->gaps, p->n, sizeof *p->gaps, by_place);
    return 0;
}

/* A record that there is bounds the gap before it and the gap after it. */
static void bound_by(struct placing *p, const struct ev_record *r) {
    size_t lo = 0;
    size_t hi = p->n;
    while (lo < hi) { /* the first gap that begins after the record */
        size_t mid = lo + (hi - lo) / 2;
        const struct ev_missing *g = &p->gaps[mid];
        if (g->stream < r->stream || (g->stream == r->stream && g->from_seq <= r->seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    int64_t from;
    int64_t to;
    corr_interval(p->f->ev, r->stream, r->r->wall_ns, 0, &from, &to);
    if (lo < p->n && p->gaps[lo].stream == r->stream && from > p->lo[lo])
        p->lo[lo] = from;
    if (lo > 0 && p->gaps[lo - 1].stream == r->stream && to < p->hi[lo - 1])
        p->hi[lo - 1] = to;
}

static void bound_all(struct placing *p, const struct ev_list *l) {
    for (size_t i = 0; i < l->n && p->n; i++)
        bound_by(p, &l->items[i]);
}

/* Between two gaps there may be no record that was loaded: what bounds the one bounds the other. */
static void pass_on(struct placing *p) {
    for (size_t i = 1; i < p->n; i++)
        if (p->gaps[i].stream == p->gaps[i - 1].stream && p->lo[i] < p->lo[i - 1])
            p->lo[i] = p->lo[i - 1];
    for (size_t i = p->n; i-- > 1;)
        if (p->gaps[i].stream == p->gaps[i - 1].stream && p->hi[i - 1] > p->hi[i])
            p->hi[i - 1] = p->hi[i];
}

static int add(struct facts *f, struct fact_missing m) {
    struct fact_missing *slot = CORR_PUSH(f->missing, f->n_missing, f->cap_missing);
    if (!slot)
        return -ENOMEM;
    *slot = m;
    f->n_missing++;
    return 0;
}

static enum fact_missing_kind kind_of(enum ev_cause cause) {
    switch (cause) {
    case EV_CAUSE_RESTORED:
        return FACT_MISSING_RESTORED;
    case EV_CAUSE_REPLACED:
        return FACT_MISSING_REPLACED;
    case EV_CAUSE_DELETED:
        return FACT_MISSING_DELETED;
    case EV_CAUSE_AGENT:
    default:
        return FACT_MISSING_AGENT;
    }
}

static int add_gaps(struct placing *p) {
    bound_all(p, &p->f->ev->records);
    bound_all(p, &p->f->ev->watched);
    pass_on(p);
    for (size_t i = 0; i < p->n; i++) {
        if (p->hi[i] < p->lo[i]) { /* the agent's clock went back in it */
            int64_t earlier = p->hi[i];
            p->hi[i] = p->lo[i];
            p->lo[i] = earlier;
        }
        struct fact_missing m = {.kind = kind_of(p->gaps[i].cause),
                                 .stream = p->gaps[i].stream,
                                 .records = p->gaps[i].records,
                                 .lo = p->lo[i] - p->f->longest_call_ns - TOLD_LATE_NS,
                                 .hi = p->hi[i],
                                 .blind = true};
        if (add(p->f, m) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_deletions(struct facts *f) {
    for (size_t i = 0; i < f->ev->n_missing; i++) {
        const struct ev_missing *d = &f->ev->missing[i];
        struct fact_missing m = {
            .kind = FACT_MISSING_DELETED, .stream = d->stream, .records = d->records, .at = d->at_ns};
        int64_t unused;
        if (d->cause != EV_CAUSE_DELETED || !corr_in_stage(f, d->stream))
            continue;
        corr_interval(f->ev, d->stream, d->t_from_ns, 0, &m.lo, &unused);
        corr_interval(f->ev, d->stream, d->t_to_ns, 0, &unused, &m.hi);
        if (add(f, m) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* "call 12, coverage 3": are there only such that tell of no change? What is not said counts as the worst. */
static bool holds_signs(const char *families) {
    static const char *const harmless[] = {"calls", "call", "coverage", "timing", "confirmed"};
    const char *at = families;
    for (;;) {
        size_t n = strcspn(at, " ,");
        size_t i = 0;
        while (i < sizeof harmless / sizeof *harmless &&
               (strlen(harmless[i]) != n || strncmp(harmless[i], at, n) != 0))
            i++;
        if (i == sizeof harmless / sizeof *harmless)
            return true;
        at = strstr(at, ", ");
        if (!at)
            return false;
        at += 2;
    }
}

/* ---- what nobody watched */

/* Events are aggregated and dropped by the cluster itself, what cannot be scheduled never served, of Jobs
 * only hooks are told, which make no change, whether a Service has addresses is no configuration, and those
 * of replicas are no records. */
static bool is_harmless(const char *source, size_t len) {
    static const char *const names[] = {"events", "pods-unscheduled", "jobs", "endpoints"};
    static const char endpoints[] = "endpoints/";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && strncmp(source, names[i], len) == 0)
            return true;
    return len >= sizeof endpoints - 1 && strncmp(source, endpoints, sizeof endpoints - 1) == 0;
}

/* What is not said counts as the worst. */
static bool may_hide_signs(const char *sources) {
    for (const char *at = sources; at;) {
        if (!is_harmless(at, strcspn(at, ",")))
            return true;
        at = strstr(at, ", ");
        at = at ? at + 2 : NULL;
    }
    return false;
}

/* When it began, on the clock of the agent that watched last. One whose stream is not here, or whose
 * clock nobody knows: at any time. */
static int64_t unwatched_from(const struct facts *f, size_t teller, const Pilotgate__Loss *l) {
    const struct evidence *ev = f->ev;
    size_t stream = teller;
    int64_t lo;
    int64_t unused;
    if (l->from_boot.len == WIRE_BOOT_BYTES)
        for (stream = 0; stream < ev->n_streams; stream++)
            if (corr_in_stage(f, stream) &&
                memcmp(ev->streams[stream].boot, l->from_boot.data, WIRE_BOOT_BYTES) == 0)
                break;
    if (stream == ev->n_streams || (stream != teller && ev->streams[stream].n_clock == 0))
        return 0;
    corr_interval(ev, stream, l->from_wall_ns, 0, &lo, &unused);
    return lo;
}

static void set_unwatched(struct fact_missing *m, const struct facts *f, const Pilotgate__Loss *l) {
    m->kind = FACT_MISSING_UNWATCHED;
    m->sources = l->families;
    m->blind = may_hide_signs(l->families);
    m->lo = unwatched_from(f, m->stream, l);
    if (m->hi < m->lo) /* two clocks of which one is not known */
        m->hi = m->lo;
}

static bool is_near(int64_t a, int64_t b) {
    return (a < b ? b - a : a - b) <= NEAR_NS;
}

/* "a, b", which lives as long as the facts. */
static const char *both(struct facts *f, const char *a, const char *b) {
    char *text;
    if (!f->texts)
        f->texts = json_object();
    if (asprintf(&text, "%s, %s", a, b) < 0)
        return NULL;
    (void)json_object_set_new(f->texts, text, json_string(text));
    const char *kept = json_string_value(json_object_get(f->texts, text));
    free(text);
    return kept;
}

/* Each source says for itself that it was not watched: those of one absence are one, over all of their times.
 */
static int add_unwatched(struct facts *f, const struct fact_missing *m) {
    size_t end = f->n_missing > TOGETHER_MAX ? f->n_missing - TOGETHER_MAX : 0;
    for (size_t i = f->n_missing; i-- > end;) {
        struct fact_missing *x = &f->missing[i];
        if (x->kind != FACT_MISSING_UNWATCHED || x->stream != m->stream || x->blind != m->blind ||
            !is_near(x->lo, m->lo) || !is_near(x->hi, m->hi))
            continue;
        const char *sources = both(f, x->sources, m->sources);
        if (!sources)
            return -ENOMEM;
        x->sources = sources;
        x->lo = m->lo < x->lo ? m->lo : x->lo;
        x->hi = m->hi > x->hi ? m->hi : x->hi;
        return 0;
    }
    return add(f, *m);
}

static int add_losses(struct facts *f) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_LOSS || !corr_in_stage(f, r->stream))
            continue;
        struct fact_missing m = {.kind = FACT_MISSING_LOST,
                                 .stream = r->stream,
                                 .records = r->r->loss->records,
                                 .blind = holds_signs(r->r->loss->families),
                                 .ref = {r->stream, r->seq}};
        int64_t unused;
        corr_interval(f->ev, r->stream, r->r->loss->from_wall_ns, 0, &m.lo, &unused);
        corr_interval(f->ev, r->stream, r->r->loss->to_wall_ns, 0, &unused, &m.hi);
        bool unwatched = r->r->loss->cause == PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED;
        if (unwatched)
            set_unwatched(&m, f, r->r->loss);
        if ((unwatched ? add_unwatched(f, &m) : add(f, m)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int by_time(const void *a, const void *b) {
    const struct fact_missing *x = a;
    const struct fact_missing *y = b;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->hi < y->hi ? -1 : x->hi > y->hi;
}

/* Where nobody watched, no call is missing: only signs may be. Of states that do not compare nothing is. */
const struct fact_missing *facts_missing(const struct facts *f, int64_t from, int64_t to, bool blind) {
    for (size_t i = 0; i < f->n_missing && f->missing[i].lo <= to; i++)
        if (f->missing[i].hi >= from && f->missing[i].kind != FACT_MISSING_UNCOMPARED &&
            (f->missing[i].blind || (!blind && f->missing[i].kind != FACT_MISSING_UNWATCHED)))
            return &f->missing[i];
    return NULL;
}

int corr_missing(struct facts *f, struct err *e) {
    struct placing p = {.f = f};
    int r = collect_gaps(&p);
    if (r == 0)
        r = add_gaps(&p);
    if (r == 0)
        r = add_deletions(f);
    if (r == 0)
        r = add_losses(f);
    if (f->n_missing)
        qsort(f->missing, f->n_missing, sizeof *f->missing, by_time);
    for (size_t i = 0; i < f->n_changes; i++)
        f->changes[i].missing = facts_missing(f, f->changes[i].begin_lo, f->changes[i].window_to, false);
    free(p.gaps);
    free(p.lo);
    free(p.hi);
    return r < 0 ? err_oom(e) : 0;
}
