/* timeline: the phases of a stage, oldest first, each with its place on a bar of the whole time. */
#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "report/report.h"

#define TIMELINE_BAR 30

static void bar(char out[TIMELINE_BAR + 1], int64_t from, int64_t to, int64_t t) {
    memset(out, '.', TIMELINE_BAR);
    out[TIMELINE_BAR] = 0;
    double span = (double)(to > from ? to - from : 1);
    double at = t <= from ? 0 : t >= to ? 1 : (double)(t - from) / span;
    out[(int)(at * (TIMELINE_BAR - 1))] = '#';
}

static void phase_line(const struct report *r, const struct fact_phase *p, int64_t from, int64_t to) {
    char at[WHEN_TEXT_MAX];
    char since[WHEN_TEXT_MAX];
    char line[TIMELINE_BAR + 1];
    bar(line, from, to, p->lo);
    (void)fprintf(r->to, "%s %12s  %s  %-22s %s%s%s (%s%s)\n", when_format(p->lo, 1, at),
                  when_format_duration(p->lo - from, since), line, wire_phase_name(p->kind), p->p->subject,
                  *p->p->reason ? ": " : "", p->p->reason, wire_origin_name((int)p->p->origin),
                  p->p->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST    ? ", at most"
                  : p->p->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST ? ", at least"
                                                                              : "");
}

static void change_line(const struct report *r, const struct fact_change *c, int64_t from, int64_t to) {
    char at[WHEN_TEXT_MAX];
    char since[WHEN_TEXT_MAX];
    char line[TIMELINE_BAR + 1];
    bar(line, from, to, c->begin_lo);
    (void)fprintf(r->to, "%s %12s  %s  %-22s %s, %zu signs\n", when_format(c->begin_lo, 1, at),
                  when_format_duration(c->begin_lo - from, since), line, "CHANGE", c->id, c->n_signs);
}

static int64_t begin_of(const struct facts *f) {
    int64_t from = f->n_phases ? f->phases[0].lo : INT64_MAX;
    return f->n_changes && f->changes[0].begin_lo < from ? f->changes[0].begin_lo : from;
}

static int64_t end_of(const struct facts *f) {
    int64_t to = f->n_phases ? f->phases[f->n_phases - 1].hi : INT64_MIN;
    int64_t last = f->n_changes ? f->changes[f->n_changes - 1].begin_lo : INT64_MIN;
    return last > to ? last : to;
}

void report_timeline(const struct report *r, const struct facts *f) {
    if (f->n_phases + f->n_changes == 0) {
        (void)fprintf(r->to, "%s: no phase was witnessed yet\n", f->stage);
        return;
    }
    int64_t from = begin_of(f);
    int64_t to = end_of(f);
    size_t c = 0;
    (void)fprintf(r->to, "%s: %zu phases, %zu changes\n", f->stage, f->n_phases, f->n_changes);
    for (size_t i = 0; i < f->n_phases; i++) {
        for (; c < f->n_changes && f->changes[c].begin_lo <= f->phases[i].lo; c++)
            change_line(r, &f->changes[c], from, to);
        phase_line(r, &f->phases[i], from, to);
    }
    for (; c < f->n_changes; c++)
        change_line(r, &f->changes[c], from, to);
}
