/* timeline: a stage's timeline: which window, then rows, then a writer. See timeline_priv.h and report.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "report/timeline_priv.h"

#define REVISION_BEFORE (2 * WHEN_S) /* shown before a revision's creation */

/* ---- the window */

static void whole(struct timeline *t) {
    const struct facts *f = t->f;
    t->from = f->n_phases ? f->phases[0].lo : INT64_MAX;
    t->to = f->n_phases ? f->phases[f->n_phases - 1].hi : INT64_MIN;
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct fact_change *c = &f->changes[i];
        t->from = c->begin_lo < t->from ? c->begin_lo : t->from;
        t->to = c->last_hi > t->to ? c->last_hi : t->to;
    }
}

/* From its creation until that of the next one of its release; of several with this number (the release was
 * installed anew) the newest. */
static bool of_revision(struct timeline *t, int64_t revision) {
    const struct facts *f = t->f;
    size_t i = f->n_revisions;
    while (i > 0 && f->revisions[i - 1].revision != revision)
        i--;
    if (i == 0)
        return false;
    const struct fact_revision *found = &f->revisions[i - 1];
    t->from = found->created_lo - REVISION_BEFORE;
    for (; i < f->n_revisions; i++)
        if (strcmp(f->revisions[i].release, found->release) == 0) {
            t->to = f->revisions[i].created_lo;
            break;
        }
    return true;
}

static bool of_change(struct timeline *t, const char *id) {
    for (size_t i = 0; i < t->f->n_changes; i++) {
        const struct fact_change *c = &t->f->changes[i];
        if (strcmp(c->id, id) != 0)
            continue;
        t->from = c->begin_lo;
        t->to = c->window_to;
        return true;
    }
    return false;
}

static int choose_window(struct timeline *t, const struct report_timeline *how, struct err *e) {
    whole(t);
    if (how->revision && !of_revision(t, how->revision))
        return err_set(e, -ENOENT, "%s has no revision %lld: `pilotgate changes` lists what there was",
                       t->f->stage, (long long)how->revision);
    if (how->change && !of_change(t, how->change))
        return err_set(e, -ENOENT, "%s has no change '%.90s': `pilotgate changes` lists them", t->f->stage,
                       how->change);
    t->from = how->from ? how->from : t->from;
    t->to = how->to ? how->to : t->to;
    if (t->from >= t->to && t->from < INT64_MAX)
        t->to = t->from + WHEN_S;
    return 0;
}

/* How a moment is known: "api-timestamp, at most" */
static const char *bound_text(const struct fact_phase *p) {
    return p->p->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST    ? ", at most"
           : p->p->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST ? ", at least"
                                                                       : "";
}

/* ---- as a list */

static void phase_line(const struct report *r, const struct fact_phase *p, int64_t from) {
    char at[WHEN_TEXT_MAX];
    char since[WHEN_TEXT_MAX];
    const Pilotgate__Phase *o = p->p;
    bool named = *o->container && strcmp(o->container, o->reason) != 0;
    (void)fprintf(r->to, "%s %12s  %-22s %s%s%s%s%s", when_format(p->lo, 1, at),
                  when_format_duration(p->lo > from ? p->lo - from : 0, since), wire_phase_name(p->kind),
                  o->subject, named ? "/" : "", named ? o->container : "", *o->reason ? ": " : "", o->reason);
    if (o->count > 1)
        (void)fprintf(r->to, " x%u", o->count);
    if (*o->image)
        (void)fprintf(r->to, " %s", o->image);
    if (o->cached)
        (void)fprintf(r->to, " (cached)");
    if (o->duration_ns)
        (void)fprintf(r->to, " in %s", when_format_duration((int64_t)o->duration_ns, since));
    if (o->bytes)
        (void)fprintf(r->to, ", %llu bytes", (unsigned long long)o->bytes);
    (void)fprintf(r->to, " (%s%s)\n", wire_origin_name((int)o->origin), bound_text(p));
}

static void change_line(const struct report *r, const struct fact_change *c, int64_t from) {
    char at[WHEN_TEXT_MAX];
    char since[WHEN_TEXT_MAX];
    (void)fprintf(r->to, "%s %12s  %-22s %s, %zu signs\n", when_format(c->begin_lo, 1, at),
                  when_format_duration(c->begin_lo > from ? c->begin_lo - from : 0, since), "CHANGE", c->id,
                  c->n_signs);
}

void timeline_list(const struct report *r, const struct timeline *t) {
    const struct facts *f = t->f;
    size_t c = 0;
    (void)fprintf(r->to, "%s: %zu phases, %zu changes\n", f->stage, f->n_phases, f->n_changes);
    for (size_t i = 0; i <= f->n_phases; i++) {
        const struct fact_phase *p = i < f->n_phases ? &f->phases[i] : NULL;
        for (; c < f->n_changes && (!p || f->changes[c].begin_lo <= p->lo); c++)
            if (f->changes[c].window_to >= t->from && f->changes[c].begin_lo <= t->to)
                change_line(r, &f->changes[c], t->from);
        if (p && p->hi >= t->from && p->lo <= t->to)
            phase_line(r, p, t->from);
    }
}

/* ---- for the CLI */

static int prepare(struct timeline *t, const struct facts *f, const struct report_timeline *how,
                   struct err *e) {
    *t = (struct timeline){.f = f};
    int r = choose_window(t, how, e);
    if (r == 0)
        r = timeline_rows(t, e);
    if (r == 0)
        r = timeline_arrange(t, how->all, e);
    if (r < 0)
        timeline_free(t);
    else
        timeline_notes(t, how->ascii);
    return r;
}

int report_timeline(const struct report *r, const struct facts *f, const struct report_timeline *how,
                    struct err *e) {
    struct timeline t;
    int rc = prepare(&t, f, how, e);
    if (rc < 0)
        return rc;
    if (f->n_phases + f->n_changes == 0)
        (void)fprintf(r->to, "%s: no phase was witnessed yet\n", f->stage);
    else if (how->as == REPORT_TIMELINE_LIST)
        timeline_list(r, &t);
    else
        timeline_gantt(r, &t, how->ascii);
    timeline_free(&t);
    return 0;
}

int report_timeline_json(const struct facts *f, const struct report_timeline *how, json_t **ret,
                         struct err *e) {
    struct timeline t;
    struct report_timeline all = *how;
    all.all = true; /* programs can leave out by themselves */
    int rc = prepare(&t, f, &all, e);
    if (rc < 0)
        return rc;
    *ret = timeline_json(&t);
    timeline_free(&t);
    return *ret ? 0 : err_oom(e);
}
