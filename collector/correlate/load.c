/* load: see load.h. What is small is read over the whole pilot: phases, objects, calls that did not complete,
 * losses. What agents tell all the time is read only where it may count, with the neighbours on both sides:
 * clocks and confirmed readings around what the first pass found, coverage and call blocks of the windows of
 * changes, and the newest coverage before T (load_sources.c). So that the work does not grow with the pilot's
 * length. */
#include "correlate/load_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/slim.h"

#define LOAD_FAR_MAX 256 /* of more different clocks everything is read */
/* Clocks drift by so little in this time that the first answer of a stream serves what it told first. */
#define LOAD_NEAR_NS (60 * WHEN_S)

struct loading {
    struct evidence *ev;
    struct err *e;
    uint64_t pilot_commit;
    uint8_t *slim, *scratch; /* WIRE_RECORD_MAX + 16 each; NULL: coverage is not asked for */
};

/* ---- streams and documents */

static unsigned doubts_of(unsigned stored) {
    return (stored & 1u << STORE_DOUBT_TWO_AGENTS ? 1u << EV_DOUBT_TWO_AGENTS : 0) |
           (stored & 1u << STORE_DOUBT_TWO_STAGES ? 1u << EV_DOUBT_TWO_STAGES : 0);
}

static int take_stream(void *ctx, const struct store_stream_row *row) {
    struct loading *l = ctx;
    struct ev_stream s = {.id = row->id, .conflicts = row->conflicts, .doubts = doubts_of(row->doubts)};
    memcpy(s.cluster, row->cluster, sizeof s.cluster);
    memcpy(s.namespace_name, row->namespace_name, sizeof s.namespace_name);
    memcpy(s.node, row->node, sizeof s.node);
    memcpy(s.boot, row->boot, sizeof s.boot);
    return ev_add_stream(l->ev, &s) < 0 ? -ENOMEM : 0;
}

struct ev_stream *load_stream(struct evidence *ev, int64_t id, size_t *ret_index) {
    size_t lo = 0;
    size_t hi = ev->n_streams;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ev->streams[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == ev->n_streams || ev->streams[lo].id != id)
        return NULL;
    *ret_index = lo;
    return &ev->streams[lo];
}

static int by_id(const void *a, const void *b) {
    const struct ev_stream *x = a;
    const struct ev_stream *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static enum ev_cause cause_of(enum store_gap_cause c) {
    if (c == STORE_GAP_RESTORED)
        return EV_CAUSE_RESTORED;
    return c == STORE_GAP_REPLACED ? EV_CAUSE_REPLACED : EV_CAUSE_AGENT;
}

static int take_gap(void *ctx, const struct store_gap_row *row) {
    struct loading *l = ctx;
    struct ev_missing m = {.from_seq = row->from_seq,
                           .to_seq = row->to_seq,
                           .records = row->to_seq - row->from_seq + 1,
                           .cause = cause_of(row->cause)};
    return load_stream(l->ev, row->stream, &m.stream) ? ev_add_missing(l->ev, &m) : 0;
}

static int take_deletion(void *ctx, const struct store_deletion_row *row) {
    struct loading *l = ctx;
    struct ev_missing m = {.from_seq = row->from_seq,
                           .to_seq = row->to_seq,
                           .records = row->records,
                           .cause = EV_CAUSE_DELETED,
                           .t_from_ns = row->t_from_ns,
                           .t_to_ns = row->t_to_ns,
                           .at_ns = row->at_ns};
    return load_stream(l->ev, row->stream, &m.stream) ? ev_add_missing(l->ev, &m) : 0;
}

/* The pilot that was declared last, whatever its name. */
static int take_pilot(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    struct loading *l = ctx;
    (void)name;
    (void)at_ns;
    if (l->ev->pilot && commit < l->pilot_commit)
        return 0;
    json_decref(l->ev->pilot);
    l->ev->pilot = json_deep_copy(body);
    l->pilot_commit = commit;
    return l->ev->pilot ? 0 : -ENOMEM;
}

struct documents {
    json_t *list;
};

static int take_document(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    struct documents *d = ctx;
    (void)commit;
    json_t *copy = json_deep_copy(body);
    if (!copy || json_object_set_new(copy, "name", json_string(name)) < 0 ||
        json_object_set_new(copy, "said_ns", json_integer(at_ns)) < 0 ||
        json_array_append_new(d->list, copy) < 0)
        return -ENOMEM;
    return 0;
}

/* What the stages are compared with, as the pilot names it. */
static int load_reference(struct store *s, struct evidence *ev, struct err *e) {
    const char *digest = js_str(ev->pilot, "architecture.digest", "");
    return *digest ? store_document(s, ev->commit, "reference", digest, &ev->reference, e) : 0;
}

static int load_documents(struct store *s, struct evidence *ev, struct err *e) {
    ev->marks = json_array();
    ev->drills = json_array();
    ev->attestations = json_array();
    if (!ev->marks || !ev->drills || !ev->attestations)
        return err_oom(e);
    struct loading l = {.ev = ev, .e = e};
    int r = store_documents(s, ev->commit, "pilot", take_pilot, &l, e);
    if (r == 0)
        r = load_reference(s, ev, e);
    if (r == 0)
        r = store_documents(s, ev->commit, "mark", take_document, &(struct documents){ev->marks}, e);
    if (r == 0)
        r = store_documents(s, ev->commit, "drill", take_document, &(struct documents){ev->drills}, e);
    if (r == 0)
        r = store_documents(s, ev->commit, "attestation", take_document,
                            &(struct documents){ev->attestations}, e);
    return r;
}

/* ---- records */

/* A record of a family that was new to the collector that stored it is read as what it is. */
static bool is_watched(const Pilotgate__Record *r) {
    return r->body_case == PILOTGATE__RECORD__BODY_COVERAGE || r->body_case == PILOTGATE__RECORD__BODY_CALLS;
}

static int take_record(void *ctx, const struct store_record *row, uint64_t commit) {
    struct loading *l = ctx;
    (void)commit;
    size_t i;
    if (!load_stream(l->ev, row->stream, &i))
        return err_set(l->e, -EBADMSG, "the store names a stream that it does not have: restore a backup");
    Pilotgate__Record *r;
    size_t slim = l->slim && row->family == WIRE_FAMILY_COVERAGE && row->len <= WIRE_RECORD_MAX
                      ? corr_slim(row->payload, row->len, l->slim, l->scratch)
                      : 0;
    int rc = slim ? wire_record_unpack(l->slim, slim, &r, l->e)
                  : wire_record_unpack(row->payload, row->len, &r, l->e);
    if (rc < 0)
        return rc;
    if (r->body_case == PILOTGATE__RECORD__BODY__NOT_SET) {
        l->ev->unknown_records++;
        wire_record_free(&r);
        return 0;
    }
    return ev_add(l->ev, is_watched(r) ? &l->ev->watched : &l->ev->records, i, row->seq, r) < 0
               ? err_oom(l->e)
               : 0;
}

static int load_whole_pilot(struct store *s, struct evidence *ev, struct err *e) {
    struct loading l = {.ev = ev, .e = e};
    struct store_query q = {.commit = ev->commit,
                            .families = 1u << WIRE_FAMILY_NONE | 1u << WIRE_FAMILY_PHASE |
                                        1u << WIRE_FAMILY_CALL | 1u << WIRE_FAMILY_OBJECT |
                                        1u << WIRE_FAMILY_LOSS};
    return store_records(s, &q, take_record, &l, e);
}

static int by_from(const void *a, const void *b) {
    const struct load_span *x = a;
    const struct load_span *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

size_t load_join_spans(struct load_span *s, size_t n) {
    size_t kept = 0;
    if (n)
        qsort(s, n, sizeof *s, by_from);
    for (size_t i = 0; i < n; i++) {
        if (kept && s[i].from <= s[kept - 1].to)
            s[kept - 1].to = s[i].to > s[kept - 1].to ? s[i].to : s[kept - 1].to;
        else
            s[kept++] = s[i];
    }
    return kept;
}

static int load_spans(struct store *s, struct evidence *ev, struct store_query q,
                      const struct load_span *spans, size_t n, struct err *e) {
    struct loading l = {.ev = ev, .e = e};
    int r = 0;
    if (q.families & 1u << WIRE_FAMILY_COVERAGE) {
        l.slim = malloc(2 * (WIRE_RECORD_MAX + 16));
        if (!l.slim)
            return err_oom(e);
        l.scratch = l.slim + WIRE_RECORD_MAX + 16;
    }
    q.commit = ev->commit;
    for (size_t i = 0; i < n && r == 0; i++) {
        q.from_ns = spans[i].from;
        q.to_ns = spans[i].to;
        r = store_records(s, &q, take_record, &l, e);
    }
    free(l.slim);
    return r;
}

/* ---- clocks and confirmed readings */

/* Of each stream its first answer of the collector's clock. */
static int load_first_clocks(struct store *s, struct evidence *ev, struct err *e) {
    struct store_query q = {.families = 1u << WIRE_FAMILY_TIMING, .neighbours = true};
    return load_spans(s, ev, q, &(struct load_span){1, 1}, 1, e);
}

/* What an agent found when it came is told near its first answer, and changes nothing. */
static bool is_beginning(const struct evidence *ev, const struct ev_record *r) {
    const struct ev_stream *s = &ev->streams[r->stream];
    return s->n_clock && llabs(r->r->wall_ns - s->clock[0].wall_ns) <= LOAD_NEAR_NS &&
           (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT ||
            r->r->object->op == PILOTGATE__OBJECT__OP__OP_LISTED);
}

bool load_in_stage(const struct ev_stream *s, const char *cluster, const char *ns) {
    return strcmp(s->cluster, cluster) == 0 && strcmp(s->namespace_name, ns) == 0;
}

/* Around all that was told of this stage: from shortly before it until after the window that it may open. */
static size_t told_spans(const struct evidence *ev, const char *cluster, const char *ns, int64_t after,
                         struct load_span *out) {
    size_t n = 0;
    for (size_t i = 0; i < ev->records.n; i++) {
        const struct ev_record *r = &ev->records.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_CALL ||
            !load_in_stage(&ev->streams[r->stream], cluster, ns) || is_beginning(ev, r))
            continue;
        struct load_span told = {r->r->wall_ns - LOAD_MARGIN_NS, r->r->wall_ns + after + LOAD_MARGIN_NS};
        if (n && told.from >= out[n - 1].from && told.from <= out[n - 1].to)
            out[n - 1].to = told.to > out[n - 1].to ? told.to : out[n - 1].to;
        else
            out[n++] = told;
    }
    return load_join_spans(out, n);
}

bool load_split_stage(const char *stage, char cluster[FACTS_STAGE_MAX], const char **ret_ns) {
    (void)snprintf(cluster, FACTS_STAGE_MAX, "%s", stage);
    char *slash = strchr(cluster, '/');
    if (!slash)
        return false;
    *slash = 0;
    *ret_ns = slash + 1;
    return true;
}

static int load_told(struct store *s, struct evidence *ev, const char *stage,
                     const struct rubric_rules *rules, struct err *e) {
    char cluster[FACTS_STAGE_MAX];
    const char *ns;
    struct load_span *spans = calloc(ev->records.n + 1, sizeof *spans);
    if (!spans)
        return err_oom(e);
    int r = 0;
    if (load_split_stage(stage, cluster, &ns)) {
        struct store_query q = {.cluster = cluster,
                                .namespace_name = ns,
                                .families = 1u << WIRE_FAMILY_TIMING | 1u << WIRE_FAMILY_CONFIRMED,
                                .neighbours = true};
        size_t n = told_spans(ev, cluster, ns, rules->longest_call_ns + rules->keep_alive_ns, spans);
        r = load_spans(s, ev, q, spans, n, e);
    }
    free(spans);
    return r;
}

/* ---- windows */

/* By how much agents' times may differ from the collector's: all of a stage's, but for those that are far
 * off; those are looked for where their clocks put a window. */
struct margins {
    int64_t near;
    int64_t far[LOAD_FAR_MAX]; /* offsets, each standing for those up to the largest margin around it */
    size_t n_far;
    bool all; /* there are too many of them */
};

static void add_far(struct margins *m, int64_t offset) {
    for (size_t i = 0; i < m->n_far; i++)
        if (llabs(m->far[i] / 2 - offset / 2) <= LOAD_MARGIN_MAX_NS / 2)
            return;
    if (m->n_far == LOAD_FAR_MAX)
        m->all = true;
    else
        m->far[m->n_far++] = offset;
}

static void take_clock(struct margins *m, const struct ev_clock *k) {
    int64_t half = llabs(k->offset_ns) / 2 + k->error_ns / 2;
    if (half > LOAD_MARGIN_MAX_NS / 2)
        add_far(m, k->offset_ns);
    else if (2 * half > m->near)
        m->near = 2 * half;
}

static void find_margins(const struct evidence *ev, const char *cluster, const char *ns,
                         const struct rubric_rules *rules, struct margins *m) {
    *m = (struct margins){.near = 0};
    for (size_t i = 0; i < ev->n_streams; i++) {
        const struct ev_stream *s = &ev->streams[i];
        if (!load_in_stage(s, cluster, ns))
            continue;
        if ((s->n_clock == 0 || s->n_steps) && m->near < LOAD_MARGIN_NS)
            m->near = LOAD_MARGIN_NS;
        for (size_t k = 0; k < s->n_clock; k++)
            take_clock(m, &s->clock[k]);
    }
    m->near += rules->coverage_gap_ns + LOAD_SLACK_NS;
}

/* What an agent's time would be at t on the collector's clock; nothing here overflows. */
static int64_t far_time(int64_t t, int64_t offset) {
    int64_t most = WIRE_NS_MAX / 2;
    return t - (offset > most ? most : offset < -most ? -most : offset);
}

static size_t window_spans(const struct facts *f, const struct margins *m, struct load_span *out) {
    size_t n = 0;
    int64_t wide = m->near + 2 * LOAD_MARGIN_MAX_NS;
    if (m->all) {
        out[0] = (struct load_span){INT64_MIN / 2, INT64_MAX / 2};
        return f->n_changes ? 1 : 0;
    }
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct fact_change *c = &f->changes[i];
        out[n++] = (struct load_span){c->begin_lo - m->near, c->window_to + m->near};
        for (size_t k = 0; k < m->n_far; k++)
            out[n++] = (struct load_span){far_time(c->begin_lo, m->far[k]) - wide,
                                          far_time(c->window_to, m->far[k]) + wide};
    }
    return load_join_spans(out, n);
}

static int load_windows(struct store *s, struct evidence *ev, const struct facts *f,
                        const struct rubric_rules *rules, struct err *e) {
    char cluster[FACTS_STAGE_MAX];
    const char *ns;
    struct margins m;
    if (!load_split_stage(f->stage, cluster, &ns))
        return 0;
    find_margins(ev, cluster, ns, rules, &m);
    struct load_span *spans = calloc(f->n_changes * (1 + m.n_far) + 1, sizeof *spans);
    if (!spans)
        return err_oom(e);
    struct store_query q = {.cluster = cluster,
                            .namespace_name = ns,
                            .families = 1u << WIRE_FAMILY_CALLS | 1u << WIRE_FAMILY_COVERAGE};
    int r = load_spans(s, ev, q, spans, window_spans(f, &m, spans), e);
    free(spans);
    return r;
}

static int load_clocks(struct store *s, struct corr *c, struct err *e) {
    const json_t *list = js_at(c->ev.pilot, "stages");
    size_t n = json_array_size(list);
    int r = load_first_clocks(s, &c->ev, e);
    for (size_t i = 0; i < n && r == 0; i++)
        r = load_told(s, &c->ev, js_str(json_array_get(list, i), "stage", ""), &c->rubric.rules, e);
    ev_sort(&c->ev.records);
    return r;
}

static int load_stages(struct store *s, struct corr *c, struct err *e) {
    const json_t *list = js_at(c->ev.pilot, "stages");
    size_t n = json_array_size(list);
    c->stages = calloc(n ? n : 1, sizeof *c->stages);
    if (!c->stages)
        return err_oom(e);
    for (size_t i = 0; i < n; i++) {
        int r = facts_build(&c->ev, &c->rubric, json_array_get(list, i), &c->stages[i], e);
        if (r < 0)
            return r;
        c->n_stages++;
    }
    for (size_t i = 0; i < n; i++) {
        int r = load_windows(s, &c->ev, &c->stages[i], &c->rubric.rules, e);
        if (r < 0)
            return r;
    }
    ev_sort(&c->ev.watched); /* a block that reaches into two windows was loaded twice */
    for (size_t i = 0; i < n; i++) {
        int r = facts_exposure(&c->stages[i], &c->rubric, c->at_ns, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_all(struct store *s, struct corr *c, struct err *e) {
    int r = load_documents(s, &c->ev, e);
    if (r == 0)
        r = rubric_load(js_at(c->ev.pilot, "rubric"), &c->rubric, e);
    struct loading l = {.ev = &c->ev, .e = e};
    if (r == 0)
        r = store_streams_at(s, c->ev.commit, take_stream, &l, e);
    if (r == 0 && c->ev.n_streams)
        qsort(c->ev.streams, c->ev.n_streams, sizeof *c->ev.streams, by_id);
    if (r == 0)
        r = store_gaps(s, c->ev.commit, take_gap, &l, e);
    if (r == 0)
        r = store_deletions(s, c->ev.commit, take_deletion, &l, e);
    if (r == 0)
        r = load_whole_pilot(s, &c->ev, e);
    if (r == 0)
        r = load_clocks(s, c, e);
    if (r == 0)
        r = load_stages(s, c, e);
    int64_t t = corr_state_time(c, c->at_ns);
    if (r == 0 && c->ev.reference) /* nobody else asks what was read */
        r = corr_load_sources(s, c, NULL, &t, 1, e);
    return r;
}

int corr_load(struct store *s, uint64_t commit, int64_t at_ns, struct corr *ret, struct err *e) {
    struct corr c = {.at_ns = at_ns};
    int r = 0;
    if (commit)
        c.commit = commit;
    else
        r = store_newest_commit(s, &c.commit, &c.ev.commit_at_ns, e);
    c.ev.commit = c.commit;
    if (r == 0 && c.commit == 0) /* an empty store: to the store, commit 0 would be whatever comes next */
        r = rubric_load(NULL, &c.rubric, e);
    else if (r == 0)
        r = load_all(s, &c, e);
    if (r < 0) {
        corr_free(&c);
        return r;
    }
    *ret = c;
    /* Facts point at the evidence: after the move they must point at where it now lives. */
    for (size_t i = 0; i < ret->n_stages; i++)
        ret->stages[i].ev = &ret->ev;
    return 0;
}
