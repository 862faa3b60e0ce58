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
    char (*names)[WIRE_NAME_MAX + 16];
    int64_t *starts;
    uint64_t *deltas;
    size_t n_sources;
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
    size_t probes = m->c->probes.n + 1;
    size_t sources = m->c->targets.n + m->c->documents.n + 1;
    v->probes = calloc(probes, sizeof *v->probes);
    v->probe_list = calloc(probes, sizeof *v->probe_list);
    v->sources = calloc(sources, sizeof *v->sources);
    v->source_list = calloc(sources, sizeof *v->source_list);
    v->names = calloc(sources, sizeof *v->names);
    v->starts = calloc(m->calls_open + 1, sizeof *v->starts);
    v->deltas = calloc(m->calls_open + 1, sizeof *v->deltas);
    return v->probes && v->probe_list && v->sources && v->source_list && v->names && v->starts && v->deltas;
}

/* The probe's calls that are in flight, at starts[0..] and deltas[0..]; returns how many there are. */
static size_t fill_open(const struct mcp_probe *p, int64_t now, Pilotgate__Coverage__Probe *out) {
    size_t n = 0;
    uint64_t last = 0;
    for (const struct mcp_call *c = p->m->calls_first; c; c = c->next) {
        int64_t sent = peer_call_sent(&c->call);
        if (c->probe != p || !sent)
            continue;
        if (n == 0)
            out->first_open = last = c->number;
        if (n < WIRE_BLOCK_CALLS_MAX) {
            out->open_number_delta[n] = c->number - last;
            out->open_start_us[n] = (sent - now) / 1000;
            out->n_open_number_delta = out->n_open_start_us = n + 1;
        }
        last = c->number;
        n++;
    }
    return n;
}

static void fill_probes(struct cover *v, struct mcp *m, int64_t now) {
    size_t used = 0;
    for (size_t i = 0; i < m->c->probes.n; i++) {
        struct mcp_probe *p = &m->probes[i];
        Pilotgate__Coverage__Probe *out = &v->probes[i];
        pilotgate__coverage__probe__init(out);
        v->probe_list[i] = out;
        out->open_number_delta = v->deltas + used;
        out->open_start_us = v->starts + used;
        size_t open = fill_open(p, now, out);
        used += out->n_open_start_us;
        out->name = p->c->name;
        out->scheduled = p->scheduled;
        out->started = p->resolved + open;
        out->resolved = p->resolved;
        out->unsent = p->unsent;
        out->max_delay_us = (uint64_t)p->max_delay / 1000;
        p->max_delay = 0;
    }
}

static void add_source(struct cover *v, const char *kind, const struct mcp_watch *w) {
    size_t i = v->n_sources++;
    pilotgate__coverage__source__init(&v->sources[i]);
    (void)snprintf(v->names[i], sizeof v->names[i], "%s/%s", kind, w->name);
    v->sources[i].name = v->names[i];
    mcp_watch_cover(w, &v->sources[i]);
    v->source_list[i] = &v->sources[i];
}

void mcp_cover(struct mcp *m) {
    struct cover v = {0};
    int64_t now = when_mono_ns();
    if (cover_alloc(&v, m)) { /* else: the second stays uncovered, which is what happened */
        Pilotgate__Coverage coverage = PILOTGATE__COVERAGE__INIT;
        Pilotgate__Record record = PILOTGATE__RECORD__INIT;
        fill_probes(&v, m, now);
        for (size_t i = 0; i < m->c->targets.n; i++)
            if (m->targets[i].c->catalogue_interval > 0)
                add_source(&v, "catalogue", &m->targets[i].watch);
        for (size_t i = 0; i < m->c->documents.n; i++)
            add_source(&v, "document", &m->documents[i].watch);
        coverage.base_mono_ns = (uint64_t)now;
        coverage.probes = v.probe_list;
        coverage.n_probes = m->c->probes.n;
        coverage.sources = v.source_list;
        coverage.n_sources = v.n_sources;
        record.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
        record.coverage = &coverage;
        emit_record(m->emit, &record);
    }
    cover_free(&v);
}
