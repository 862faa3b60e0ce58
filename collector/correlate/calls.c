/* calls: rows and blocks that meet a change's window; which calls count as in flight, and which as lost.
 *
 * Counted as in flight across a switch are only calls that certainly were: begun before it, ended after it,
 * clock bounds against us, on the path that switched. Counted as lost is every call that may meet the window
 * and did not plainly complete. */
#include <errno.h>
#include <string.h>

#include "correlate/exposure_priv.h"
#include "correlate/reading.h"

int corr_meets_window(const struct fact_change *c, int64_t start, int64_t end, int64_t error) {
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
static bool is_own_change(const struct facts *f, const struct corr_call *k) {
    for (const struct fact_change *c = f->changes; c < f->changes + f->n_changes; c++) {
        if (!corr_meets_window(c, k->start, k->end, k->error))
            continue;
        if (find_tool(c->removed, c->n_removed, k->tool, k->target) ||
            find_tool(c->passing, c->n_passing, k->tool, k->target) ||
            (k->start - k->error <= c->last_hi + f->keep_alive_ns &&
             find_tool(c->added, c->n_added, k->tool, k->target)))
            return true;
    }
    return false;
}

/* The replica that had this address: the newest of the name that may have been there. */
int corr_told(const struct facts *f, const char *path, int64_t start, int64_t error) {
    const struct fact_pod *pod = NULL;
    for (size_t i = 0; *path && i < f->n_pods && f->pods[i].created_lo <= start + error; i++)
        if (strcmp(f->pods[i].subject, path) == 0)
            pod = &f->pods[i];
    if (!pod || pod->told_hi == 0 || start + error < pod->told_lo)
        return CORR_TOLD_NOT;
    return start - error > pod->told_hi ? CORR_TOLD_AFTER : CORR_TOLD_ABOUT;
}

bool corr_moment_meets(const struct corr_moments *m, size_t stream, int64_t from, int64_t to) {
    size_t lo = 0;
    size_t hi = m->n;
    while (lo < hi) { /* the first that is of a later stream, or begins after `to` */
        size_t mid = lo + (hi - lo) / 2;
        const struct corr_moment *k = &m->items[mid];
        if (k->stream < stream || (k->stream == stream && k->from <= to))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && m->items[lo - 1].stream == stream && m->items[lo - 1].reach >= from;
}

/* ---- completed calls */

static bool has_flag(const struct corr_call *k, uint32_t flag) {
    return (k->flags & flag) != 0;
}

#define SOME_SWITCH 0xffffffu /* in place of a switch's number */

/* 1: this connection was not counted yet for this switch. */
static int is_fresh(struct corr_work *w, const struct corr_call *k, size_t i) {
    return corr_keys_add(&w->units, (uint64_t)k->stream << 24 | (i & SOME_SWITCH), k->connection);
}

static enum fact_kind kind_of(const struct corr_call *k) {
    return has_flag(k, PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED) ? FACT_KIND_REUSED : FACT_KIND_NEW;
}

static bool spans(const struct corr_call *k, const struct fact_switch *s) {
    return s->known && k->start + k->error < s->lo && k->end - k->error > s->hi;
}

/* Streams of one connection share its fate: they are one unit, and so are calls after each other on it. */
static int count_across(struct corr_work *w, const struct corr_call *k, size_t i) {
    struct fact_switch *s = &w->c->switches[i];
    enum fact_kind kind = kind_of(k);
    int fresh = is_fresh(w, k, i);
    if (fresh < 0)
        return -ENOMEM;
    s->calls[kind]++;
    s->units[kind] += (uint64_t)fresh;
    s->http2_units += (uint64_t)(fresh && has_flag(k, PILOTGATE__CALL_FLAG__CALL_FLAG_HTTP2));
    if (k->end - k->start > s->longest_ns)
        s->longest_ns = k->end - k->start;
    return 0;
}

/* Through the target's URL, while some replica switched: which one it was at is not known. */
static int count_some(struct corr_work *w, const struct corr_call *k) {
    const struct fact_change *c = w->c;
    size_t i = 0;
    while (i < c->n_switches && !spans(k, &c->switches[i]))
        i++;
    if (i == c->n_switches || c->switches[0].kind != FACT_SWITCH_GATEWAY)
        return 0;
    int fresh = is_fresh(w, k, SOME_SWITCH);
    if (fresh > 0)
        c->switches[0].some[kind_of(k)]++;
    return fresh;
}

/* Was it certainly in flight across a switch of its path? Calls of a tool that comes or goes prove nothing.
 */
static int count_in_flight(struct corr_work *w, const struct corr_call *k) {
    const struct fact_change *c = w->c;
    if (k->connection == 0 || has_flag(k, PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT) ||
        find_tool(c->added, c->n_added, k->tool, k->target) ||
        find_tool(c->removed, c->n_removed, k->tool, k->target))
        return 0;
    for (size_t i = 0; i < c->n_switches; i++) {
        struct fact_switch *s = &c->switches[i];
        if (strcmp(s->path, k->path) != 0)
            continue;
        if (s->pod && k->start - k->error > s->pod->created_hi)
            s->reached++;
        if (spans(k, s) && count_across(w, k, i) < 0)
            return -ENOMEM;
    }
    return !*k->path && count_some(w, k) < 0 ? -ENOMEM : 0;
}

static int count_completed(struct corr_work *w, const struct corr_call *k) {
    struct fact_change *c = w->c;
    c->calls_in_window++;
    c->completed_after += !*k->path && k->start - k->error > c->last_hi;
    const struct fact_tool *added = find_tool(c->added, c->n_added, k->tool, k->target);
    if (added && c->has_switch && !*k->path && k->end - k->error > c->switch_hi)
        w->proven[added - c->added] = true;
    return count_in_flight(w, k);
}

/* ---- calls that did not plainly complete */

int corr_add_lost(struct corr_work *w, const struct fact_lost_call *l) {
    struct fact_lost_call *slot = CORR_PUSH(w->c->lost, w->c->n_lost, w->c->cap_lost);
    if (!slot)
        return -ENOMEM;
    *slot = *l;
    w->c->n_lost++;
    return 0;
}

/* The uninstall of the product ends calls; that is no fault of the change before it. */
static bool uninstalled_meanwhile(const struct corr_work *w, const struct corr_call *k) {
    for (const struct fact_change *c = w->c + 1; c < w->f->changes + w->f->n_changes; c++)
        if (c->uninstall && c->begin_lo <= k->end + k->error)
            return true;
    return false;
}

static enum fact_reading read_call(const struct corr_work *w, const struct corr_call *k,
                                   const char **ret_why) {
    int64_t end_wall = k->start_wall + (k->end - k->start);
    struct corr_case what = {.outcome = k->outcome, .flags = k->flags};
    if (corr_read(&what, ret_why) == FACT_READING_COMPLETED)
        return FACT_READING_COMPLETED;
    what.own_change = is_own_change(w->f, k);
    what.told = (enum corr_told)corr_told(w->f, k->path, k->start, k->error);
    what.stalled = corr_moment_meets(w->stalls, k->stream, k->start_wall, end_wall);
    what.control_failed = corr_moment_meets(w->control, k->stream, k->start_wall, end_wall);
    what.uninstalled = uninstalled_meanwhile(w, k);
    return corr_read(&what, ret_why);
}

/* Takes a call that meets the window and is not taken yet; row may be NULL. */
static int take_call(struct corr_work *w, const struct corr_call *k, const Pilotgate__Call *row,
                     struct fact_ref ref) {
    int fresh = corr_keys_add(&w->resolved, k->stream, k->number);
    if (fresh <= 0)
        return fresh;
    if (has_flag(k, PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL))
        return 0;
    struct fact_lost_call l = {.call = row,
                               .number = k->number,
                               .probe = k->probe,
                               .path = k->path,
                               .start = k->start,
                               .end = k->end,
                               .ref = ref};
    w->c->repeated += has_flag(k, PILOTGATE__CALL_FLAG__CALL_FLAG_REPEATED);
    l.reading = read_call(w, k, &l.why);
    w->called[k->stream] |= l.reading != FACT_READING_EXCLUDED;
    if (l.reading == FACT_READING_COMPLETED)
        return count_completed(w, k);
    w->c->calls_in_window += l.reading != FACT_READING_EXCLUDED; /* nothing was tried, or it proves nothing */
    w->c->unknown_outcomes += !corr_outcome_known(k->outcome);
    return corr_add_lost(w, &l);
}

/* ---- rows and blocks */

static int plainly_completed(uint32_t outcome, uint32_t flags) {
    const char *why;
    return corr_read(&(struct corr_case){.outcome = outcome, .flags = flags}, &why) == FACT_READING_COMPLETED;
}

/* A row of a call that completed may repeat an entry of a block, or be all that is left of it when a block
 * had no room: it resolves the call, and adds nothing to n. */
static int read_row(struct corr_work *w, const struct ev_record *r, bool completed) {
    const Pilotgate__Call *row = r->r->call;
    int64_t error;
    int64_t start = facts_clock(w->f->ev, r->stream, row->start_wall_ns, &error);
    struct corr_call k = {.stream = r->stream,
                          .number = row->number,
                          .probe = row->probe,
                          .tool = row->tool,
                          .target = row->target,
                          .path = row->path,
                          .start = start,
                          .end = start + (int64_t)row->duration_us * 1000,
                          .error = error < 0 ? 0 : error,
                          .start_wall = row->start_wall_ns,
                          .outcome = (uint32_t)row->outcome,
                          .flags = row->flags};
    if (plainly_completed(k.outcome, k.flags) != completed ||
        !corr_meets_window(w->c, k.start, k.end, k.error))
        return 0;
    if (completed)
        return corr_keys_add(&w->resolved, k.stream, k.number);
    w->c->executions_told += row->executions > 0 && !has_flag(&k, PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL);
    w->c->control_failures += has_flag(&k, PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) &&
                              k.outcome != PILOTGATE__OUTCOME__OUTCOME_ABORTED;
    return take_call(w, &k, row, (struct fact_ref){r->stream, r->seq});
}

static int read_rows(struct corr_work *w, bool completed) {
    for (size_t i = 0; i < w->f->ev->records.n; i++) {
        const struct ev_record *r = &w->f->ev->records.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_CALL && corr_in_stage(w->f, r->stream) &&
            read_row(w, r, completed) < 0)
            return -ENOMEM;
    }
    return 0;
}

static const char *table_entry(char **table, size_t n, uint32_t i) {
    return i < n ? table[i] : "";
}

/* A call that did not complete and whose full row never came counts all the same. */
static int read_entry(struct corr_work *w, const struct ev_record *r, const struct corr_call *k) {
    if (k->end + k->error < w->c->begin_lo) {
        w->c->served_before |= k->outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED &&
                               !has_flag(k, PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL);
        return 0;
    }
    if (!corr_meets_window(w->c, k->start, k->end, k->error))
        return 0;
    return take_call(w, k, NULL, (struct fact_ref){r->stream, r->seq});
}

static int read_block(struct corr_work *w, const struct ev_record *r) {
    const Pilotgate__CallBlock *b = r->r->calls;
    int64_t error;
    int64_t base = facts_clock(w->f->ev, r->stream, b->base_wall_ns, &error);
    struct corr_call k = {.stream = r->stream, .number = b->first_number, .error = error < 0 ? 0 : error};
    for (size_t i = 0; i < b->n_number_delta; i++) {
        k.number += (uint64_t)b->number_delta[i];
        k.probe = table_entry(b->probes, b->n_probes, b->probe[i]);
        k.tool = table_entry(b->tools, b->n_tools, b->probe[i]);
        k.target = table_entry(b->targets, b->n_targets, b->probe[i]);
        k.path = table_entry(b->paths, b->n_paths, b->probe[i]);
        k.start = base + b->start_us[i] * 1000;
        k.end = k.start + (int64_t)b->duration_us[i] * 1000;
        k.start_wall = b->base_wall_ns + b->start_us[i] * 1000;
        k.outcome = b->outcome[i];
        k.flags = b->flags[i];
        k.connection = b->connection[i];
        if (read_entry(w, r, &k) < 0)
            return -ENOMEM;
    }
    return 0;
}

int corr_read_calls(struct corr_work *w) {
    if (read_rows(w, false) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < w->f->ev->watched.n; i++) {
        const struct ev_record *r = &w->f->ev->watched.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_CALLS && corr_in_stage(w->f, r->stream) &&
            read_block(w, r) < 0)
            return -ENOMEM;
    }
    return read_rows(w, true);
}
