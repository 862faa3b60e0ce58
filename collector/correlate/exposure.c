/* exposure: the calls that meet a change's window, and what became of them.
 *
 * Counted as in flight across the switch are only calls that certainly were: begun before the old state was
 * last seen, ended after the new one was first seen, clock bounds against us. Counted as lost is every call
 * that may meet the window and did not complete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correlate/correlate_priv.h"

struct call { /* one entry of a block, on the collector's clock */
    uint64_t number;
    const char *probe, *tool;
    int64_t start, end, error;
    uint32_t outcome, flags, connection;
};

struct work {
    struct facts *f;
    struct fact_change *c;
    json_t *rows;     /* "stream number" of calls that have a full row */
    json_t *resolved; /* "stream number" of calls of the watched blocks */
    json_t *proven;   /* added tools that gave an expected answer */
};

static void call_key(size_t stream, uint64_t number, char out[48]) {
    (void)snprintf(out, 48, "%zu %llu", stream, (unsigned long long)number);
}

static int mark_key(json_t *set, size_t stream, uint64_t number) {
    char key[48];
    call_key(stream, number, key);
    return json_object_set_new(set, key, json_true());
}

static int has_key(const json_t *set, size_t stream, uint64_t number) {
    char key[48];
    call_key(stream, number, key);
    return json_object_get(set, key) != NULL;
}

static int meets_window(const struct fact_change *c, int64_t start, int64_t end, int64_t error) {
    return end + error >= c->begin_lo && start - error <= c->window_to;
}

static int names_tool(const char *const *names, size_t n, const char *tool) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], tool) == 0)
            return 1;
    return 0;
}

static int is_changed_tool(const struct fact_change *c, const char *tool) {
    return names_tool(c->added, c->n_added, tool) || names_tool(c->removed, c->n_removed, tool);
}

/* ---- completed calls */

static int completed(uint32_t outcome) {
    return outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
}

static void count_completed(struct work *w, const struct call *k) {
    struct fact_change *c = w->c;
    c->calls_in_window++;
    if (c->has_switch && k->end - k->error > c->switch_hi && names_tool(c->added, c->n_added, k->tool))
        (void)json_object_set_new(w->proven, k->tool, json_true());
    if (!c->has_switch || k->connection == 0 || is_changed_tool(c, k->tool))
        return;
    if (k->start + k->error >= c->switch_lo || k->end - k->error <= c->switch_hi)
        return;
    c->in_flight[k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED ? FACT_KIND_REUSED : FACT_KIND_NEW]++;
    if (k->end - k->start > c->longest_in_flight_ns)
        c->longest_in_flight_ns = k->end - k->start;
}

static int add_lost(struct work *w, const struct fact_lost_call *l) {
    struct fact_lost_call *slot = CORR_PUSH(w->c->lost, w->c->n_lost, w->c->cap_lost);
    if (!slot)
        return -ENOMEM;
    *slot = *l;
    w->c->n_lost++;
    return 0;
}

/* An entry of a block that did not complete and whose full row never came: it counts all the same. */
static int count_bare_loss(struct work *w, size_t stream, uint64_t seq, const struct call *k) {
    w->c->calls_in_window++;
    w->c->unknown_outcomes += k->outcome == 0 || k->outcome > PILOTGATE__OUTCOME__OUTCOME_MALFORMED;
    return add_lost(w, &(struct fact_lost_call){
                           .number = k->number,
                           .probe = k->probe,
                           .start = k->start,
                           .end = k->end,
                           .reading = FACT_READING_UNRESOLVED,
                           .why = "its full record is missing",
                           .ref = {stream, seq},
                       });
}

static const char *table_entry(char **table, size_t n, uint32_t i) {
    return i < n ? table[i] : "";
}

static int read_block(struct work *w, const struct ev_record *r) {
    const Pilotgate__CallBlock *b = r->r->calls;
    int64_t error;
    int64_t base = facts_clock(w->f->ev, r->stream, b->base_wall_ns, &error);
    uint64_t number = b->first_number;
    for (size_t i = 0; i < b->n_number_delta; i++) {
        number += (uint64_t)b->number_delta[i];
        struct call k = {
            .number = number,
            .probe = table_entry(b->probes, b->n_probes, b->probe[i]),
            .tool = table_entry(b->tools, b->n_tools, b->probe[i]),
            .start = base + b->start_us[i] * 1000,
            .error = error < 0 ? 0 : error,
            .outcome = b->outcome[i],
            .flags = b->flags[i],
            .connection = b->connection[i],
        };
        k.end = k.start + (int64_t)b->duration_us[i] * 1000;
        if (mark_key(w->resolved, r->stream, number) < 0)
            return -ENOMEM;
        if (k.flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL || !meets_window(w->c, k.start, k.end, k.error))
            continue;
        if (completed(k.outcome))
            count_completed(w, &k);
        else if (!has_key(w->rows, r->stream, number) && count_bare_loss(w, r->stream, r->seq, &k) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- calls that did not complete */

/* Did the control probe of the same node fail in the same moments? Then the gateway need not be at fault. */
static int control_failed(const struct work *w, size_t stream, const Pilotgate__Call *lost) {
    int64_t from = lost->start_wall_ns;
    int64_t to = from + (int64_t)lost->duration_us * 1000;
    for (size_t i = 0; i < w->f->ev->records.n; i++) {
        const struct ev_record *r = &w->f->ev->records.items[i];
        if (r->stream != stream || r->r->body_case != PILOTGATE__RECORD__BODY_CALL ||
            !(r->r->call->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL))
            continue;
        int64_t start = r->r->call->start_wall_ns;
        int64_t end = start + (int64_t)r->r->call->duration_us * 1000;
        if (start <= to && end >= from)
            return 1;
    }
    return 0;
}

static void read_outcome(const struct work *w, size_t stream, const Pilotgate__Call *k,
                         struct fact_lost_call *ret) {
    ret->reading = FACT_READING_DROPPED;
    ret->why = "no answer came to a call that meets the change's window";
    switch (k->outcome) {
    case PILOTGATE__OUTCOME__OUTCOME_COMPLETED_LATE:
        ret->reading = FACT_READING_INTERRUPTED;
        ret->why = "the expected answer came only after the probe's limit";
        break;
    case PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR:
    case PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR:
        ret->reading = FACT_READING_INTERRUPTED;
        ret->why = "an answer came, but not the expected one";
        break;
    case PILOTGATE__OUTCOME__OUTCOME_ABORTED:
        ret->reading = FACT_READING_UNRESOLVED;
        ret->why = "the agent ended before the answer";
        break;
    case PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED:
        ret->reading = FACT_READING_UNATTRIBUTED;
        ret->why = "refused by a rate limit (429)";
        break;
    default:
        break;
    }
    if (k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT && ret->reading == FACT_READING_DROPPED)
        ret->why = "the gateway could not be reached inside the change's window";
    if (is_changed_tool(w->c, k->tool)) {
        ret->reading = FACT_READING_EXCLUDED;
        ret->why = "its tool is one that the change itself added or removed";
    } else if (ret->reading <= FACT_READING_DROPPED && control_failed(w, stream, k)) {
        ret->reading = FACT_READING_UNATTRIBUTED;
        ret->why = "the control probe, past the gateway, failed in the same moments";
    }
}

static int read_row(struct work *w, const struct ev_record *r) {
    const Pilotgate__Call *k = r->r->call;
    int64_t error;
    int64_t start = facts_clock(w->f->ev, r->stream, k->start_wall_ns, &error);
    int64_t end = start + (int64_t)k->duration_us * 1000;
    if (mark_key(w->rows, r->stream, k->number) < 0 || mark_key(w->resolved, r->stream, k->number) < 0)
        return -ENOMEM;
    if (!meets_window(w->c, start, end, error < 0 ? 0 : error))
        return 0;
    if (k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) {
        w->c->control_failures++;
        return 0;
    }
    struct fact_lost_call l = {.call = k,
                               .number = k->number,
                               .probe = k->probe,
                               .start = start,
                               .end = end,
                               .ref = {r->stream, r->seq}};
    read_outcome(w, r->stream, k, &l);
    w->c->calls_in_window++;
    w->c->unknown_outcomes += k->outcome == 0 || k->outcome > PILOTGATE__OUTCOME__OUTCOME_MALFORMED;
    return add_lost(w, &l);
}

/* ---- calls whose end nobody saw */

static const struct ev_record *last_coverage(const struct work *w, size_t stream, int *ret_bye) {
    const struct ev_record *last = NULL;
    *ret_bye = 0;
    for (size_t i = 0; i < w->f->ev->watched.n; i++) {
        const struct ev_record *r = &w->f->ev->watched.items[i];
        if (r->stream != stream || r->r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
            continue;
        *ret_bye |= r->r->coverage->bye;
        if (corr_is_call_coverage(r->r->coverage))
            last = r;
    }
    return last;
}

static int add_open_calls(struct work *w, const struct ev_record *r, const Pilotgate__Coverage__Probe *p) {
    uint64_t number = p->first_open;
    int64_t shift = r->r->wall_ns - (int64_t)r->r->mono_ns; /* of this stream's two clocks, at that moment */
    for (size_t i = 0; i < p->n_open_start_us && i < p->n_open_number_delta; i++) {
        number += p->open_number_delta[i];
        int64_t error;
        int64_t wall = (int64_t)r->r->coverage->base_mono_ns + shift + p->open_start_us[i] * 1000;
        int64_t start = facts_clock(w->f->ev, r->stream, wall, &error);
        if (has_key(w->resolved, r->stream, number) || start > w->c->window_to)
            continue;
        struct fact_lost_call l = {.number = number,
                                   .probe = p->name,
                                   .start = start,
                                   .reading = FACT_READING_UNRESOLVED,
                                   .why = "still open when its agent was last heard",
                                   .ref = {r->stream, r->seq}};
        if (add_lost(w, &l) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int find_unresolved(struct work *w, int64_t now, int64_t gap) {
    for (size_t s = 0; s < w->f->ev->n_streams; s++) {
        int bye;
        const struct ev_record *r = corr_in_stage(w->f, s) ? last_coverage(w, s, &bye) : NULL;
        if (!r || bye)
            continue;
        int64_t error;
        int64_t t = facts_clock(w->f->ev, s, r->r->wall_ns, &error);
        int64_t heard_until = w->c->window_to < now ? w->c->window_to : now;
        if (t < w->c->begin_lo || t >= heard_until - gap)
            continue;
        for (size_t i = 0; i < r->r->coverage->n_probes; i++)
            if (add_open_calls(w, r, r->r->coverage->probes[i]) < 0)
                return -ENOMEM;
    }
    return 0;
}

/* ---- one change */

static int by_start(const void *a, const void *b) {
    const struct fact_lost_call *x = a;
    const struct fact_lost_call *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->ref.stream != y->ref.stream)
        return x->ref.stream < y->ref.stream ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void sum_up(struct work *w) {
    struct fact_change *c = w->c;
    if (c->n_lost)
        qsort(c->lost, c->n_lost, sizeof *c->lost, by_start);
    for (size_t i = 0; i < c->n_lost; i++) {
        c->dropped += c->lost[i].reading == FACT_READING_DROPPED;
        c->interrupted += c->lost[i].reading == FACT_READING_INTERRUPTED;
        c->unresolved += c->lost[i].reading == FACT_READING_UNRESOLVED;
        c->unattributed += c->lost[i].reading == FACT_READING_UNATTRIBUTED;
        c->excluded += c->lost[i].reading == FACT_READING_EXCLUDED;
    }
    c->added_called = true;
    for (size_t i = 0; i < c->n_added && c->added_called; i++) {
        if (!json_object_get(w->proven, c->added[i])) {
            c->added_called = false;
            c->added_uncalled = c->added[i];
        }
    }
}

static void bound_clocks(struct work *w) {
    for (size_t s = 0; s < w->f->ev->n_streams; s++) {
        int bye;
        if (!corr_in_stage(w->f, s) || !last_coverage(w, s, &bye))
            continue;
        int64_t error;
        (void)facts_clock(w->f->ev, s, w->c->begin_lo, &error);
        if (error < 0 || w->c->clock_error_ns < 0)
            w->c->clock_error_ns = -1;
        else if (error > w->c->clock_error_ns)
            w->c->clock_error_ns = error;
    }
}

static int expose(struct work *w, int64_t now, int64_t gap) {
    for (size_t i = 0; i < w->f->ev->records.n; i++) {
        const struct ev_record *r = &w->f->ev->records.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_CALL && corr_in_stage(w->f, r->stream) &&
            read_row(w, r) < 0)
            return -ENOMEM;
    }
    for (size_t i = 0; i < w->f->ev->watched.n; i++) {
        const struct ev_record *r = &w->f->ev->watched.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_CALLS && corr_in_stage(w->f, r->stream) &&
            read_block(w, r) < 0)
            return -ENOMEM;
    }
    if (find_unresolved(w, now, gap) < 0)
        return -ENOMEM;
    bound_clocks(w);
    sum_up(w);
    return 0;
}

int facts_exposure(struct facts *f, const struct rubric *rubric, int64_t now, struct err *e) {
    for (size_t i = 0; i < f->n_changes; i++) {
        struct work w = {.f = f,
                         .c = &f->changes[i],
                         .rows = json_object(),
                         .resolved = json_object(),
                         .proven = json_object()};
        int r = w.rows && w.resolved && w.proven ? expose(&w, now, rubric->rules.coverage_gap_ns) : -ENOMEM;
        json_decref(w.rows);
        json_decref(w.resolved);
        json_decref(w.proven);
        if (r < 0)
            return err_oom(e);
        r = corr_coverage(f, &f->changes[i], rubric, now, e);
        if (r < 0)
            return r;
    }
    return 0;
}
