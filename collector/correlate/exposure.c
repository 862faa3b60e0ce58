/* exposure: the calls that meet a change's window, and what became of them.
 *
 * Counted as in flight across the switch are only calls that certainly were: begun before the old state was
 * last seen, ended after the new one was first seen, clock bounds against us. Counted as lost is every call
 * that may meet the window and did not complete. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/correlate_priv.h"

#define CLOCK_SLACK_NS (60 * WHEN_S) /* by which an unknown clock may be off here */

struct call { /* one entry of a block, on the collector's clock */
    uint64_t number;
    const char *probe, *tool, *target;
    int64_t start, end, error;
    uint32_t outcome, flags, connection;
};

struct work {
    struct facts *f;
    struct fact_change *c;
    json_t *resolved;                /* "stream number" of calls whose end is known */
    json_t *units;                   /* "stream connection" that is counted already */
    bool *proven;                    /* added tools that gave an expected answer */
    const Pilotgate__Call **control; /* calls past the gateway that did not complete */
    size_t *control_stream;
    size_t n_control;
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

static const struct fact_tool *find_tool(const struct fact_tool *tools, size_t n, const char *name,
                                         const char *target) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(tools[i].name, name) == 0 && strcmp(tools[i].target, target) == 0)
            return &tools[i];
    return NULL;
}

/* Calls to a tool that comes or goes say nothing, until the added one is there everywhere: also on
 * connections that were kept from before, where the old configuration may serve once more. The change that
 * brings or takes it may be another one, whose window overlaps. */
static int is_excluded(const struct facts *f, const struct call *k) {
    for (const struct fact_change *c = f->changes; c < f->changes + f->n_changes; c++) {
        if (!meets_window(c, k->start, k->end, k->error))
            continue;
        if (find_tool(c->removed, c->n_removed, k->tool, k->target) ||
            find_tool(c->passing, c->n_passing, k->tool, k->target) ||
            (k->start - k->error <= c->last_hi + f->keep_alive_ns &&
             find_tool(c->added, c->n_added, k->tool, k->target)))
            return 1;
    }
    return 0;
}

/* ---- completed calls */

static int completed(uint32_t outcome) {
    return outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
}

/* One call on a connection of its own across the switch is a unit; more of them on one connection share its
 * fate and are no more than one. */
static int is_new_unit(struct work *w, size_t stream, const struct call *k) {
    const struct fact_change *c = w->c;
    if (!c->has_switch || k->connection == 0 || k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT ||
        find_tool(c->added, c->n_added, k->tool, k->target) ||
        find_tool(c->removed, c->n_removed, k->tool, k->target))
        return 0;
    if (k->start + k->error >= c->switch_lo || k->end - k->error <= c->switch_hi)
        return 0;
    return !has_key(w->units, stream, k->connection) && mark_key(w->units, stream, k->connection) == 0;
}

static void count_completed(struct work *w, size_t stream, const struct call *k) {
    struct fact_change *c = w->c;
    c->calls_in_window++;
    const struct fact_tool *added = find_tool(c->added, c->n_added, k->tool, k->target);
    if (added && c->has_switch && k->end - k->error > c->switch_hi)
        w->proven[added - c->added] = true;
    if (!is_new_unit(w, stream, k))
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

/* ---- calls that did not complete */

/* Did the control probe of the same node fail in the same moments? Then the gateway need not be at fault. */
static int control_failed(const struct work *w, size_t stream, int64_t from_wall, int64_t to_wall) {
    for (size_t i = 0; i < w->n_control; i++) {
        const Pilotgate__Call *c = w->control[i];
        if (w->control_stream[i] == stream && c->start_wall_ns <= to_wall &&
            c->start_wall_ns + (int64_t)c->duration_us * 1000 >= from_wall)
            return 1;
    }
    return 0;
}

static int outcome_known(uint32_t outcome) {
    return outcome != 0 && outcome <= PILOTGATE__OUTCOME__OUTCOME_MALFORMED;
}

static void read_outcome(const struct call *k, struct fact_lost_call *ret) {
    ret->reading = FACT_READING_DROPPED;
    ret->why = k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT
                   ? "the gateway could not be reached inside the change's window"
                   : "no answer came to a call that meets the change's window";
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
        if (!outcome_known(k->outcome)) {
            ret->reading = FACT_READING_UNRESOLVED;
            ret->why = "its outcome is one that this version does not know";
        }
        break;
    }
}

/* The uninstall of the product ends calls; that is no fault of the change before it. */
static int uninstalled_meanwhile(const struct work *w, const struct call *k) {
    for (const struct fact_change *c = w->c + 1; c < w->f->changes + w->f->n_changes; c++)
        if (c->uninstall && c->begin_lo <= k->end + k->error)
            return 1;
    return 0;
}

static int count_lost(struct work *w, size_t stream, const struct call *k, int64_t start_wall,
                      struct fact_lost_call *l) {
    l->number = k->number;
    l->probe = k->probe;
    l->start = k->start;
    l->end = k->end;
    read_outcome(k, l);
    if (is_excluded(w->f, k)) {
        l->reading = FACT_READING_EXCLUDED;
        l->why = "its tool is one that a change of these moments added or removed";
    } else if (l->reading <= FACT_READING_DROPPED &&
               control_failed(w, stream, start_wall, start_wall + k->end - k->start)) {
        l->reading = FACT_READING_UNATTRIBUTED;
        l->why = "the control probe, past the gateway, failed in the same moments";
    } else if (l->reading <= FACT_READING_DROPPED && uninstalled_meanwhile(w, k)) {
        l->reading = FACT_READING_UNATTRIBUTED;
        l->why = "the product was being uninstalled in the same moments";
    }
    w->c->calls_in_window++;
    w->c->unknown_outcomes += !outcome_known(k->outcome);
    return add_lost(w, l);
}

static int read_row(struct work *w, const struct ev_record *r) {
    const Pilotgate__Call *row = r->r->call;
    int64_t error;
    int64_t start = facts_clock(w->f->ev, r->stream, row->start_wall_ns, &error);
    struct call k = {.number = row->number,
                     .probe = row->probe,
                     .tool = row->tool,
                     .target = row->target,
                     .start = start,
                     .end = start + (int64_t)row->duration_us * 1000,
                     .error = error < 0 ? 0 : error,
                     .outcome = (uint32_t)row->outcome,
                     .flags = row->flags};
    if (!meets_window(w->c, k.start, k.end, k.error))
        return 0;
    if (mark_key(w->resolved, r->stream, k.number) < 0)
        return -ENOMEM;
    if (k.flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) {
        w->c->control_failures++;
        return 0;
    }
    if (completed(k.outcome)) /* only a call that found no room in a block has a row and completed */
        return 0;
    return count_lost(w, r->stream, &k, row->start_wall_ns,
                      &(struct fact_lost_call){.call = row, .ref = {r->stream, r->seq}});
}

/* ---- blocks */

static const char *table_entry(char **table, size_t n, uint32_t i) {
    return i < n ? table[i] : "";
}

/* A call that did not complete and whose full row never came counts all the same. */
static int read_entry(struct work *w, const struct ev_record *r, const struct call *k, int64_t start_wall) {
    if (k->end + k->error < w->c->begin_lo && completed(k->outcome) &&
        !(k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL))
        w->c->served_before = true;
    if (!meets_window(w->c, k->start, k->end, k->error))
        return 0;
    int told = has_key(w->resolved, r->stream, k->number);
    if (told || k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL)
        return told ? 0 : mark_key(w->resolved, r->stream, k->number);
    if (mark_key(w->resolved, r->stream, k->number) < 0)
        return -ENOMEM;
    if (!completed(k->outcome))
        return count_lost(w, r->stream, k, start_wall, &(struct fact_lost_call){.ref = {r->stream, r->seq}});
    count_completed(w, r->stream, k);
    return 0;
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
            .target = table_entry(b->targets, b->n_targets, b->probe[i]),
            .start = base + b->start_us[i] * 1000,
            .error = error < 0 ? 0 : error,
            .outcome = b->outcome[i],
            .flags = b->flags[i],
            .connection = b->connection[i],
        };
        k.end = k.start + (int64_t)b->duration_us[i] * 1000;
        if (read_entry(w, r, &k, b->base_wall_ns + b->start_us[i] * 1000) < 0)
            return -ENOMEM;
    }
    return 0;
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

static int64_t open_since(const struct ev_record *r, int64_t before_us) {
    int64_t lag = (int64_t)r->r->coverage->base_mono_ns - (int64_t)r->r->mono_ns;
    if (llabs(lag) > WHEN_S) /* both are of one moment */
        lag = 0;
    int64_t start = r->r->wall_ns + lag + before_us * 1000;
    return start < 0 ? 0 : start;
}

/* until: calls that began later are not asked for. */
static int add_open_calls(struct work *w, const struct ev_record *r, const Pilotgate__Coverage__Probe *p,
                          int64_t until) {
    uint64_t number = p->first_open;
    for (size_t i = 0; i < p->n_open_start_us && i < p->n_open_number_delta; i++) {
        number += p->open_number_delta[i];
        int64_t error;
        int64_t start = facts_clock(w->f->ev, r->stream, open_since(r, p->open_start_us[i]), &error);
        if (has_key(w->resolved, r->stream, number) || start > until)
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

/* Coverage does not say which probes go past the gateway; the blocks do. */
static int is_control_probe(const struct work *w, size_t stream, const char *name) {
    for (size_t i = 0; i < w->f->ev->watched.n; i++) {
        const struct ev_record *r = &w->f->ev->watched.items[i];
        if (r->stream != stream || r->r->body_case != PILOTGATE__RECORD__BODY_CALLS)
            continue;
        const Pilotgate__CallBlock *b = r->r->calls;
        for (size_t k = 0; k < b->n_probe; k++)
            if (strcmp(table_entry(b->probes, b->n_probes, b->probe[k]), name) == 0)
                return (b->flags[k] & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) != 0;
    }
    return 0;
}

/* Of a stream that fell silent inside the window every open call is unresolved; of one that lives, those that
 * were in flight across the change and outlast its window. */
static int find_unresolved(struct work *w, int64_t now, int64_t gap) {
    for (size_t s = 0; s < w->f->ev->n_streams; s++) {
        int bye;
        const struct ev_record *r = corr_in_stage(w->f, s) ? last_coverage(w, s, &bye) : NULL;
        if (!r || bye)
            continue;
        int64_t error;
        int64_t t = facts_clock(w->f->ev, s, r->r->wall_ns, &error);
        int64_t heard_until = w->c->window_to < now ? w->c->window_to : now;
        int silent = t < heard_until - gap;
        if (t < w->c->begin_lo || (!silent && now < w->c->window_to))
            continue;
        int64_t until = silent ? w->c->window_to : w->c->last_hi;
        for (size_t i = 0; i < r->r->coverage->n_probes; i++)
            if (!is_control_probe(w, s, r->r->coverage->probes[i]->name) &&
                add_open_calls(w, r, r->r->coverage->probes[i], until) < 0)
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
        if (!w->proven[i]) {
            c->added_called = false;
            c->added_uncalled = c->added[i].name;
        }
    }
}

/* A stream counts for a change when it covered the window or told of a sign. */
static int is_used(const struct work *w, size_t stream) {
    for (size_t i = 0; i < w->c->n_signs; i++)
        if (w->c->signs[i]->ref.stream == stream)
            return 1;
    for (size_t i = 0; i < w->f->ev->watched.n; i++) {
        const struct ev_record *r = &w->f->ev->watched.items[i];
        if (r->stream == stream && r->r->body_case == PILOTGATE__RECORD__BODY_COVERAGE &&
            corr_is_call_coverage(r->r->coverage) && r->r->wall_ns >= w->c->begin_lo - CLOCK_SLACK_NS &&
            r->r->wall_ns <= w->c->window_to + CLOCK_SLACK_NS)
            return 1;
    }
    return 0;
}

static void bound_clocks(struct work *w) {
    for (size_t s = 0; s < w->f->ev->n_streams; s++) {
        if (!corr_in_stage(w->f, s) || !is_used(w, s))
            continue;
        int64_t error;
        (void)facts_clock(w->f->ev, s, w->c->begin_lo, &error);
        if (error < 0 || w->c->clock_error_ns < 0)
            w->c->clock_error_ns = -1;
        else if (error > w->c->clock_error_ns)
            w->c->clock_error_ns = error;
    }
}

static int find_control(struct work *w) {
    size_t cap = 0;
    size_t cap_stream = 0;
    for (size_t i = 0; i < w->f->ev->records.n; i++) {
        const struct ev_record *r = &w->f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_CALL || !corr_in_stage(w->f, r->stream) ||
            !(r->r->call->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL))
            continue;
        if (corr_grow_into((void **)&w->control, w->n_control, &cap, sizeof *w->control) < 0 ||
            corr_grow_into((void **)&w->control_stream, w->n_control, &cap_stream,
                           sizeof *w->control_stream) < 0)
            return -ENOMEM;
        w->control[w->n_control] = r->r->call;
        w->control_stream[w->n_control++] = r->stream;
    }
    return 0;
}

static int expose(struct work *w, int64_t now, int64_t gap) {
    if (find_control(w) < 0)
        return -ENOMEM;
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

static int expose_one(struct facts *f, struct fact_change *c, int64_t now, int64_t gap) {
    struct work w = {.f = f,
                     .c = c,
                     .resolved = json_object(),
                     .units = json_object(),
                     .proven = calloc(c->n_added + 1, sizeof *w.proven)};
    int r = w.resolved && w.units && w.proven ? expose(&w, now, gap) : -ENOMEM;
    json_decref(w.resolved);
    json_decref(w.units);
    free(w.proven);
    free(w.control);
    free(w.control_stream);
    return r;
}

int facts_exposure(struct facts *f, const struct rubric *rubric, int64_t now, struct err *e) {
    for (size_t i = 0; i < f->n_changes; i++) {
        if (expose_one(f, &f->changes[i], now, rubric->rules.coverage_gap_ns) < 0)
            return err_oom(e);
        int r = corr_coverage(f, &f->changes[i], rubric, now, e);
        if (r < 0)
            return r;
    }
    return 0;
}
