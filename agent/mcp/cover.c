/* cover: the coverage record of each second: what was due, started and ended, what is open, and until
 * when each polled source is known. */
#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"
#include "mcp/mcp_priv.h"

void mcp_emit_phase(struct mcp *m, Pilotgate__Phase *phase) {
    Pilotgate__Record record = PILOTGATE__RECORD__INIT;
    phase->precision_ns = (uint64_t)WHEN_MS;
    phase->bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
    phase->origin = PILOTGATE__ORIGIN__ORIGIN_PROBE;
    record.body_case = PILOTGATE__RECORD__BODY_PHASE;
    record.phase = phase;
    emit_record(m->emit, &record);
}

/* Room for one coverage record; all arrays in one place, so that freeing is one act. */
struct cover {
    Pilotgate__Coverage__Probe *probes, **probe_list;
    Pilotgate__Coverage__Source *sources, **source_list;
    char (*names)[2 * WIRE_NAME_MAX + 32];
    int64_t *starts;
    uint64_t *deltas;
    size_t n_probes, n_sources;
};

static void cover_free(struct cover *v) {
    free(v->probes);
    free(v->probe_list);
    free(v->sources);
    free(v->source_list);
    free(v->names);
    free(v->starts);
    free(v->deltas);
}

static bool cover_alloc(struct cover *v, const struct mcp *m) {
    size_t probes = m->n_probes + 1;
    size_t sources = 3 * m->n_paths + m->c->targets.n + m->c->documents.n + 1;
    v->probes = calloc(probes, sizeof *v->probes);
    v->probe_list = calloc(probes, sizeof *v->probe_list);
    v->sources = calloc(sources, sizeof *v->sources);
    v->source_list = calloc(sources, sizeof *v->source_list);
    v->names = calloc(sources, sizeof *v->names);
    v->starts = calloc(m->calls_open + 1, sizeof *v->starts);
    v->deltas = calloc(m->calls_open + 1, sizeof *v->deltas);
    return v->probes && v->probe_list && v->sources && v->source_list && v->names && v->starts && v->deltas;
}

/* ------------------------------------------------------------------ probes */

static void add_probe(struct cover *v, struct mcp_probe *p, size_t *room_used) {
    Pilotgate__Coverage__Probe *out = &v->probes[v->n_probes];
    pilotgate__coverage__probe__init(out);
    v->probe_list[v->n_probes++] = out;
    out->open_number_delta = v->deltas + *room_used;
    out->open_start_us = v->starts + *room_used;
    *room_used += p->open;
    out->name = p->c->name;
    out->path = p->path->name;
    out->control = p->path->target->c->control;
    out->scheduled = p->scheduled;
    out->resolved = out->started = p->resolved;
    out->unsent = p->unsent;
    out->executions_told = p->executions_told;
    out->queued = p->open; /* until add_call finds them sent */
    out->max_delay_us = (uint64_t)p->max_delay / 1000;
    out->interval_us = *p->path->name ? 0 : (uint64_t)p->c->interval / 1000;
    out->in_flight = p->share[false];
    out->drill_in_flight = mcp_probe_load(p, true) > mcp_probe_load(p, false) ? p->share[true] : 0;
    p->max_delay = 0;
    p->covered = out;
}

/* Calls come by ascending numbers; last: the number before, of the same probe and path. */
static void add_call(const struct mcp_call *c, uint64_t *last, int64_t now) {
    Pilotgate__Coverage__Probe *out = c->probe->covered;
    int64_t sent = peer_call_sent(&c->call);
    if (!sent)
        return;
    out->started++;
    out->queued--;
    if (out->n_open_number_delta == WIRE_BLOCK_CALLS_MAX)
        return;
    if (out->n_open_number_delta == 0)
        out->first_open = *last = c->number;
    out->open_number_delta[out->n_open_number_delta++] = c->number - *last;
    out->open_start_us[out->n_open_start_us++] = (sent - now) / 1000;
    *last = c->number;
}

static void add_probes(struct cover *v, struct mcp *m, int64_t now) {
    size_t used = 0;
    for (struct mcp_path *t = m->paths; t; t = t->next)
        for (size_t i = 0; i < t->n_probes; i++)
            add_probe(v, &t->probes[i], &used);
    for (const struct mcp_call *c = m->calls_first; c; c = c->next)
        add_call(c, &c->probe->last_covered, now);
}

/* ------------------------------------------------------------------ sources */

static Pilotgate__Coverage__Source *next_source(struct cover *v, const char *kind, const char *name,
                                                const char *path) {
    size_t i = v->n_sources;
    pilotgate__coverage__source__init(&v->sources[i]);
    (void)snprintf(v->names[i], sizeof v->names[i], "%s/%s%s%s", kind, name, *path ? "@" : "", path);
    v->sources[i].name = v->names[i];
    v->source_list[i] = &v->sources[i];
    return &v->sources[v->n_sources++];
}

/* Whether each replica that there is is witnessed; reason holds what is missing. */
static bool all_witnessed(const struct mcp_target *t, char reason[WIRE_TEXT_MAX]) {
    const struct mcp_replicas *r = t->replicas;
    size_t missed = r->left_out + t->paths_wanting;
    bool ok = false;
    if (r->reason[0])
        (void)snprintf(reason, WIRE_TEXT_MAX, "%s", r->reason);
    else if (!r->known)
        (void)snprintf(reason, WIRE_TEXT_MAX, "not read yet");
    else if (missed)
        (void)snprintf(reason, WIRE_TEXT_MAX,
                       "%zu of %zu replicas are not called: too many, or not at a pod's own address", missed,
                       r->n + r->left_out);
    else if (t->m->cut)
        (void)snprintf(reason, WIRE_TEXT_MAX,
                       "max_in_flight %lld leaves less than replica_in_flight for each replica: raise it",
                       (long long)t->m->c->max_in_flight);
    else
        ok = true;
    return ok;
}

/* What the REST interfaces tell with their tools: health, and the product's own configuration. */
static void add_rest_sources(struct cover *v, const struct mcp_path *t) {
    const char *reason;
    int64_t wall;
    if (t->target->c->kind == CONFIG_TARGET_MCP)
        return;
    Pilotgate__Coverage__Source *s = next_source(v, "health", t->target->c->name, t->name);
    s->ok = peer_health(t->peer, &wall, &reason);
    s->reason = s->ok ? (char *)protobuf_c_empty_string : (char *)reason;
    s->last_wall_ns = wall;
    if (t->target->c->kind == CONFIG_TARGET_ARCADE)
        mcp_watch_cover(&t->configuration, next_source(v, "document", t->configuration_name, t->name));
}

static void add_sources(struct cover *v, struct mcp *m, char reasons[][WIRE_TEXT_MAX]) {
    for (struct mcp_path *t = m->paths; t; t = t->next)
        if (t->target->c->catalogue_interval > 0 && t->state == MCP_PATH_OPEN) {
            mcp_watch_cover(&t->watch, next_source(v, "catalogue", t->target->c->name, t->name));
            add_rest_sources(v, t);
        }
    for (size_t i = 0; i < m->c->documents.n; i++)
        mcp_watch_cover(&m->documents[i].watch, next_source(v, "document", m->documents[i].watch.name, ""));
    for (size_t i = 0; i < m->c->targets.n; i++) {
        const struct mcp_target *t = &m->targets[i];
        if (!t->replicas)
            continue;
        Pilotgate__Coverage__Source *s = next_source(v, "replicas", t->c->name, "");
        s->ok = all_witnessed(t, reasons[i]);
        s->reason = s->ok ? (char *)protobuf_c_empty_string : reasons[i];
        s->last_wall_ns = t->replicas->known && !t->replicas->reason[0] ? when_wall_ns() : 0;
    }
}

/* ------------------------------------------------------------------ the record */

static void emit(struct cover *v, struct mcp *m, int64_t now) {
    Pilotgate__Coverage coverage = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record record = PILOTGATE__RECORD__INIT;
    coverage.base_mono_ns = (uint64_t)now;
    coverage.probes = v->probe_list;
    coverage.n_probes = v->n_probes;
    coverage.sources = v->source_list;
    coverage.n_sources = v->n_sources;
    coverage.stalled_us = (uint64_t)m->stalled / 1000;
    record.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    record.coverage = &coverage;
    emit_record(m->emit, &record);
}

void mcp_cover(struct mcp *m) {
    struct cover v = {0};
    int64_t now = when_mono_ns();
    char(*reasons)[WIRE_TEXT_MAX] = calloc(m->c->targets.n + 1, sizeof *reasons);
    if (reasons && cover_alloc(&v, m)) { /* else: the second stays uncovered, which is what happened */
        add_probes(&v, m, now);
        add_sources(&v, m, reasons);
        emit(&v, m, now);
        m->stalled = 0;
        for (struct mcp_path *t = m->paths; t; t = t->next)
            t->covered = t->state == MCP_PATH_PARTING;
    }
    cover_free(&v);
    free(reasons);
}
