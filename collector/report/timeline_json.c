/* timeline_json: a timeline as a document. Every time comes with its source, precision and bound, and with
 * the record that says it. See timeline_priv.h.
 *
 *   {"stage", "from", "to",
 *    "rows": [{"row", "subject", "uid", "owner", "figure",
 *              "spans": [{"state", "from", "to" | null, "from_source", "from_bound", "from_precision_s"}],
 *              "failures": [{"at", "reason", "count", "container"}]}],
 *    "phases": [{"phase", "subject", "uid", "owner", "at", "precision_s", "bound", "source",
 *                "reason", "count", "container", "image", "bytes", "duration_s", "cached", "evidence"}],
 *    "changes": [{"id", "begin", "last", "window_to"}],
 *    "marks": [{"at", "what", "of", "source", "bound"}]}
 *
 * Fields are only ever added. What a phase does not say has no key. */
#include <string.h>

#include "base/when.h"
#include "report/timeline_priv.h"

static json_t *time_json(int64_t t) {
    char text[WHEN_TEXT_MAX];
    return t == INT64_MAX || t == INT64_MIN ? json_null() : json_string(when_format(t, 3, text));
}

static const char *bound_name(const Pilotgate__Phase *p) {
    switch (p->bound) {
    case PILOTGATE__TIME_BOUND__TIME_BOUND_AT:
        return "at";
    case PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST:
        return "at most";
    case PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST:
        return "at least";
    default:
        return "unknown";
    }
}

/* An agent's first one is the stage's at the latest, where the product was there before the agents. */
static const char *bound_in(const struct timeline *t, const struct fact_phase *x) {
    return t->adopted && tl_is_first(x->kind) ? "at most" : bound_name(x->p);
}

static double seconds(uint64_t ns) {
    return (double)ns / 1e9;
}

static int set(json_t *o, const char *key, json_t *value) {
    return json_object_set_new(o, key, value);
}

static int set_text(json_t *o, const char *key, const char *text) {
    return *text ? set(o, key, json_string(text)) : 0;
}

static int append(json_t *list, json_t *item, int failed) {
    if (failed) {
        json_decref(item);
        return -1;
    }
    return json_array_append_new(list, item);
}

/* What was pulled. */
static int set_image(json_t *o, const Pilotgate__Phase *p) {
    int r = set_text(o, "image", p->image);
    if (p->bytes)
        r |= set(o, "bytes", json_integer((json_int_t)p->bytes));
    if (p->duration_ns)
        r |= set(o, "duration_s", json_real(seconds(p->duration_ns)));
    if (*p->image)
        r |= set(o, "cached", json_boolean(p->cached));
    return r;
}

/* Events of a pod do not say whose it is; its row does. */
static json_t *owners_of(const struct timeline *t) {
    json_t *owners = json_object();
    int r = owners ? 0 : -1;
    for (size_t i = 0; i < t->n_rows && r == 0; i++)
        if (t->rows[i].kind == TL_POD && *t->rows[i].uid && *t->rows[i].owner)
            r = set(owners, t->rows[i].uid, json_string(t->rows[i].owner));
    if (r == 0)
        return owners;
    json_decref(owners);
    return NULL;
}

static const char *owner_of(const json_t *owners, const Pilotgate__Phase *p) {
    const char *owner = *p->owner ? p->owner : json_string_value(json_object_get(owners, p->uid));
    return owner ? owner : "";
}

static int add_phase(json_t *list, const struct timeline *t, const json_t *owners,
                     const struct fact_phase *x) {
    const Pilotgate__Phase *p = x->p;
    char ref[WIRE_REF_MAX];
    json_t *o = json_object();
    int r = o ? 0 : -1;
    r |= set(o, "phase", json_string(wire_phase_name(x->kind)));
    r |= set(o, "subject", json_string(p->subject));
    r |= set_text(o, "uid", p->uid) | set_text(o, "owner", owner_of(owners, p));
    r |= set(o, "at", time_json(x->lo));
    r |= set(o, "precision_s", json_real(seconds((uint64_t)(x->hi - x->lo))));
    r |= set(o, "bound", json_string(bound_in(t, x)));
    r |= set(o, "source", json_string(wire_origin_name((int)p->origin)));
    r |= set_text(o, "reason", p->reason) | set_text(o, "container", p->container);
    if (p->count || x->kind == PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED)
        r |= set(o, "count", json_integer(p->count));
    r |= set_image(o, p);
    r |= set(o, "evidence", json_string(facts_ref(t->f->ev, x->ref, ref)));
    return append(list, o, r);
}

static int add_span(json_t *list, const struct tl_span *s) {
    json_t *o = json_object();
    int r = o ? 0 : -1;
    r |= set(o, "state", json_string(tl_state_name(s->state)));
    r |= set(o, "from", time_json(s->from));
    r |= set(o, "to", time_json(s->to));
    if (s->by) {
        r |= set(o, "from_source", json_string(wire_origin_name((int)s->by->p->origin)));
        r |= set(o, "from_bound", json_string(bound_name(s->by->p)));
        r |= set(o, "from_precision_s", json_real(seconds((uint64_t)(s->by->hi - s->by->lo))));
    }
    return append(list, o, r);
}

static int add_failure(json_t *list, const struct fact_phase *x) {
    json_t *o = json_object();
    int r = o ? 0 : -1;
    r |= set(o, "at", time_json(x->lo));
    r |= set_text(o, "reason", x->p->reason) | set_text(o, "container", x->p->container);
    r |= set(o, "count", json_integer(x->p->count));
    return append(list, o, r);
}

static int add_row(json_t *list, const struct tl_row *row) {
    json_t *o = json_object();
    json_t *spans = json_array();
    json_t *failures = json_array();
    int r = o && spans && failures ? 0 : -1;
    for (size_t i = 0; i < row->n_spans && r == 0; i++)
        r = add_span(spans, &row->spans[i]);
    for (size_t i = 0; i < row->n_failures && r == 0; i++)
        r = add_failure(failures, row->failures[i]);
    r |= set(o, "row", json_string(tl_row_name(row->kind)));
    r |= set_text(o, "subject", row->subject) | set_text(o, "uid", row->uid) |
         set_text(o, "owner", row->owner);
    r |= set_text(o, "figure", row->note);
    r |= set(o, "spans", spans);
    r |= set(o, "failures", failures);
    return append(list, o, r);
}

static int add_change(json_t *list, const struct fact_change *c) {
    json_t *o = json_object();
    int r = o ? 0 : -1;
    r |= set(o, "id", json_string(c->id));
    r |= set(o, "begin", time_json(c->begin_lo));
    r |= set(o, "last", time_json(c->last_hi));
    r |= set(o, "window_to", time_json(c->window_to));
    return append(list, o, r);
}

static int add_mark(json_t *list, const struct timeline *t, const struct tl_mark *m) {
    json_t *o = json_object();
    int r = o ? 0 : -1;
    r |= set(o, "at", time_json(m->at));
    r |= set(o, "what", json_string(m->what));
    r |= set_text(o, "of", m->text);
    if (m->by) {
        r |= set(o, "source", json_string(wire_origin_name((int)m->by->p->origin)));
        r |= set(o, "bound", json_string(bound_in(t, m->by)));
    }
    return append(list, o, r);
}

/* What meets the window. */
static int fill(const struct timeline *t, json_t *rows, json_t *phases, json_t *changes, json_t *marks) {
    json_t *owners = owners_of(t);
    int r = owners ? 0 : -1;
    for (size_t i = 0; i < t->n_rows && r == 0; i++)
        r = add_row(rows, &t->rows[i]);
    for (size_t i = 0; i < t->f->n_phases && r == 0; i++)
        if (t->f->phases[i].hi >= t->from && t->f->phases[i].lo <= t->to)
            r = add_phase(phases, t, owners, &t->f->phases[i]);
    for (size_t i = 0; i < t->f->n_changes && r == 0; i++)
        if (t->f->changes[i].window_to >= t->from && t->f->changes[i].begin_lo <= t->to)
            r = add_change(changes, &t->f->changes[i]);
    for (size_t i = 0; i < t->n_marks && r == 0; i++)
        if (t->marks[i].at >= t->from && t->marks[i].at <= t->to)
            r = add_mark(marks, t, &t->marks[i]);
    json_decref(owners);
    return r;
}

json_t *timeline_json(const struct timeline *t) {
    json_t *rows = json_array();
    json_t *phases = json_array();
    json_t *changes = json_array();
    json_t *marks = json_array();
    json_t *doc = json_object();
    int r = rows && phases && changes && marks && doc ? fill(t, rows, phases, changes, marks) : -1;
    bool any = t->from <= t->to;
    r |= set(doc, "stage", json_string(t->f->stage));
    r |= set(doc, "from", any ? time_json(t->from) : json_null());
    r |= set(doc, "to", any ? time_json(t->to) : json_null());
    r |= set(doc, "rows", rows);
    r |= set(doc, "phases", phases);
    r |= set(doc, "changes", changes);
    r |= set(doc, "marks", marks);
    if (r == 0)
        return doc;
    json_decref(doc);
    return NULL;
}
