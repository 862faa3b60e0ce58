/* architecture_since: since when a difference is there, by walking back from the moment that was compared.
 *
 * What one object shows is looked for in that object's earlier states: it is there since the oldest one,
 * without a break, that shows the same at the same place. What several objects show together is looked for in
 * earlier states of the stage: those rows of the reference are evaluated again, at most SNAPSHOTS_MAX times.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/architecture_priv.h"

#define SNAPSHOTS_MAX 200
#define OBJECTS_MAX 200000 /* that are looked at again, over all snapshots */
#define POINTER_MAX 1024

struct walking {
    struct gate_picture *p;
    const struct reference *r;
    int64_t t;
    json_t *again; /* owned: differences that need snapshots, [{"row","difference"}] */
    size_t left;   /* objects that may be looked at again */
    struct err *e;
};

static void set_since(json_t *d, int64_t at, bool exact) {
    gate_set_time(d, "since", at);
    (void)json_object_set_new(d, "since_bound", json_string(exact ? "at" : "at most"));
}

/* ---- one object */

/* Steps are as many as an object has depth. */
const json_t *gate_value_at(const json_t *v, const char *pointer) {
    while (v && *pointer == '/') {
        char step[POINTER_MAX];
        size_t n = 0;
        for (pointer++; *pointer && *pointer != '/' && n + 1 < sizeof step; pointer++) {
            bool escaped = *pointer == '~' && (pointer[1] == '0' || pointer[1] == '1');
            step[n++] = !escaped ? *pointer : *++pointer == '0' ? '~' : '/';
        }
        step[n] = 0;
        if (json_is_array(v)) {
            char *end;
            unsigned long i = strtoul(step, &end, 10);
            v = *step && !*end ? json_array_get(v, i) : NULL;
        } else
            v = json_object_get(v, step);
    }
    return v;
}

static bool same(const json_t *a, const json_t *b) {
    return a == b || (a && b && json_equal(a, b));
}

/* The state before this one of the same object and of the same life; SIZE_MAX: the object came with it. */
static size_t earlier(const struct gate_texts *x, size_t state) {
    size_t b = x->before[state];
    return b == SIZE_MAX || x->f->states[b].life != x->f->states[state].life ||
                   x->f->states[b].o->op == PILOTGATE__OBJECT__OP__OP_DELETED
               ? SIZE_MAX
               : b;
}

/* The oldest state that shows the same there without a break; *ret_before: the one before it. */
static size_t oldest_same(struct gate_texts *x, size_t state, const char *pointer, size_t *ret_before) {
    const char *why;
    const json_t *now = pointer ? gate_value_at(gate_texts_normal(x, state, &why), pointer) : NULL;
    while ((*ret_before = earlier(x, state)) != SIZE_MAX) {
        const json_t *normal = gate_texts_normal(x, *ret_before, &why);
        if (pointer && (!normal || !same(gate_value_at(normal, pointer), now)))
            break;
        state = *ret_before;
    }
    return state;
}

/* Did it become so then? Else it was so when it was first looked at. */
static bool became(const struct fact_state *s, size_t before) {
    return s->news || (before != SIZE_MAX && s->hi > s->lo);
}

bool gate_value_since(struct gate_texts *x, size_t state, const char *pointer, int64_t *ret) {
    size_t before;
    const struct fact_state *s = &x->f->states[oldest_same(x, state, pointer, &before)];
    *ret = s->hi;
    return became(s, before);
}

static bool is_named(const Pilotgate__Object *o, const char *object) {
    size_t n = strlen(o->kind);
    return strncmp(object, o->kind, n) == 0 && object[n] == '/' && strcmp(object + n + 1, o->name) == 0;
}

/* When the newest object of this name went, or was found to be gone; 0: none ever did in this life of the
 * stage. */
static int64_t went(const struct walking *w, const char *object, bool *ret_exact) {
    const struct facts *f = w->p->texts->f;
    size_t life = facts_life_at(f, w->t);
    int64_t from;
    for (size_t i = f->n_states; i-- > 0;) {
        const struct fact_state *s = &f->states[i];
        if (s->hi > w->t || s->life != life || !is_named(s->o, object))
            continue;
        *ret_exact = s->o->op == PILOTGATE__OBJECT__OP__OP_DELETED;
        if (*ret_exact)
            return s->hi;
        return gate_tellings_look(&w->p->texts->tellings, w->p->reading, s, w->t, &from) == GATE_GONE ? from
                                                                                                      : 0;
    }
    return 0;
}

/* The Namespace itself says nothing of when what is in it was looked at: it is read by itself, and first. */
static bool moves(const struct fact_state *s) {
    return !s->o->own && gate_is_compared(s->o->kind) && strcmp(s->o->kind, "Namespace") != 0;
}

/* When the first object of this life of the stage was told of. */
static int64_t watched_from(const struct facts *f, int64_t t) {
    size_t life = facts_life_at(f, t);
    for (size_t i = 0; i < f->n_states && f->states[i].hi <= t; i++)
        if (f->states[i].life == life && moves(&f->states[i]))
            return f->states[i].hi;
    return t;
}

/* ---- looking again */

/* A reference with this row alone; NULL: with those that need snapshots. */
static int only_rows(const struct walking *w, const char *id, struct reference *ret, struct err *e) {
    json_t *doc = json_copy(w->r->doc), *kept = json_array();
    size_t i, k;
    json_t *x, *again;
    int r = doc && kept ? 0 : err_oom(e);
    json_array_foreach(json_object_get(w->r->doc, "expectations"), i, x) {
        bool wanted = id && strcmp(id, js_str(x, "id", "")) == 0;
        json_array_foreach(id ? NULL : w->again, k, again) {
            wanted |= strcmp(js_str(again, "row.id", ""), js_str(x, "id", "")) == 0;
        }
        if (wanted)
            (void)json_array_append(kept, x);
    }
    if (r == 0 && json_object_set(doc, "expectations", kept) < 0)
        r = err_oom(e);
    (void)json_object_del(doc, "manifests");
    (void)json_object_del(doc, "tolerate");
    if (r == 0)
        r = ref_from_document(doc, ret, e);
    json_decref(doc);
    json_decref(kept);
    return r;
}

enum there { THERE_NO, THERE_UNKNOWN, THERE_YES };

/* The same difference in other findings. */
static enum there still_there(const json_t *findings, const char *row, const json_t *d) {
    static const char *const keys[] = {"object", "pointer", "what"};
    enum there best = THERE_NO;
    size_t i, k;
    json_t *x, *y;
    json_array_foreach(json_object_get(findings, "rows"), i, x) {
        if (strcmp(js_str(x, "id", ""), row) != 0)
            continue;
        if (strcmp(js_str(x, "verdict", ""), "INCONCLUSIVE") == 0)
            best = THERE_UNKNOWN;
        json_array_foreach(json_object_get(x, "differences"), k, y) {
            bool equal = true;
            for (size_t j = 0; j < sizeof keys / sizeof *keys; j++)
                equal &= strcmp(js_str(y, keys[j], ""), js_str(d, keys[j], "")) == 0;
            if (equal)
                return THERE_YES;
        }
    }
    return best;
}

static int evaluate_at(struct walking *w, const struct reference *rows, int64_t t, json_t **ret) {
    struct gate_picture p;
    int r = gate_picture_make(w->p->texts, w->p->reading, t, &p, w->e);
    if (r < 0)
        return r;
    r = ref_evaluate(rows, &p.side, w->p->texts->f->stage, w->t, ret, w->e);
    gate_picture_free(&p);
    return r;
}

/* Was the same row of the same object unmet at t? */
static int was_there(struct walking *w, const char *id, const json_t *d, int64_t t, enum there *ret) {
    struct reference row;
    json_t *findings = NULL;
    *ret = THERE_UNKNOWN;
    if (w->left < w->p->side.n)
        return 0;
    w->left -= w->p->side.n;
    int r = only_rows(w, id, &row, w->e);
    if (r < 0)
        return r;
    r = evaluate_at(w, &row, t, &findings);
    if (r == 0)
        *ret = still_there(findings, id, d);
    json_decref(findings);
    ref_free(&row);
    return r;
}

static bool is_expectation(const struct reference *r, const char *id) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(r->doc, "expectations"), i, x) {
        if (strcmp(js_str(x, "id", ""), id) == 0)
            return true;
    }
    return false;
}

/* What was otherwise there before may have been unmet as well: an expectation is asked again. */
static int since_in_object(struct walking *w, const json_t *row, json_t *d, size_t state) {
    struct gate_texts *x = w->p->texts;
    const char *id = js_str(row, "id", "");
    size_t before;
    state = oldest_same(x, state, js_str(d, "pointer", ""), &before);
    while (before != SIZE_MAX && is_expectation(w->r, id)) {
        enum there t;
        int r = was_there(w, id, d, x->f->states[state].hi - 1, &t);
        if (r < 0)
            return r;
        if (t != THERE_YES)
            break;
        state = oldest_same(x, before, js_str(d, "pointer", ""), &before);
    }
    set_since(d, x->f->states[state].hi, became(&x->f->states[state], before));
    return 0;
}

/* ---- which way of the two */

/* Does the reference ask this row of several objects at once? */
static bool is_across(const struct reference *r, const char *id) {
    static const char *const groups[] = {"check", "all_of", "any_of", "one_of", "none_of"};
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(r->doc, "expectations"), i, x) {
        if (strcmp(js_str(x, "id", ""), id) != 0)
            continue;
        for (size_t k = 0; k < sizeof groups / sizeof *groups; k++)
            if (json_object_get(x, groups[k]))
                return true;
        return false;
    }
    return false;
}

static int look_at(struct walking *w, const json_t *row, json_t *d) {
    const char *what = js_str(d, "what", "");
    int64_t tag = js_int(d, "tag", -1);
    bool live = tag >= 0 && (size_t)tag < w->p->texts->f->n_states;
    if (live) {
        char ref[WIRE_REF_MAX];
        (void)facts_ref(w->p->texts->f->ev, w->p->texts->f->states[tag].ref, ref);
        (void)json_object_set_new(d, "evidence", json_pack("[s]", ref));
    }
    (void)json_object_del(d, "tag");
    if (strcmp(what, "unknown") == 0)
        return 0;
    bool exact = false;
    int64_t at = strcmp(what, "missing") == 0 && !live ? went(w, js_str(d, "object", ""), &exact) : 0;
    if (at)
        set_since(d, at, exact);
    else if (is_across(w->r, js_str(row, "id", "")))
        return json_array_append_new(w->again,
                                     json_pack("{s:O, s:O}", "row", (json_t *)row, "difference", d)) < 0
                   ? err_oom(w->e)
                   : 0;
    else if (live)
        return since_in_object(w, row, d, (size_t)tag);
    else if (strcmp(what, "missing") == 0)
        set_since(d, watched_from(w->p->texts->f, w->t), false);
    return 0;
}

/* ---- several objects together */

/* Gives those that were not there yet the moment after it, and forgets them; NULL: all of them. */
static void settle(struct walking *w, const json_t *findings, int64_t next) {
    for (size_t i = json_array_size(w->again); i-- > 0;) {
        json_t *x = json_array_get(w->again, i);
        json_t *d = json_object_get(x, "difference");
        enum there t = findings ? still_there(findings, js_str(x, "row.id", ""), d) : THERE_UNKNOWN;
        if (t == THERE_YES)
            continue;
        set_since(d, next, t == THERE_NO);
        (void)json_array_remove(w->again, i);
    }
}

static int walk_back(struct walking *w, const struct reference *rows) {
    const struct facts *f = w->p->texts->f;
    int64_t moments[SNAPSHOTS_MAX];
    size_t life = facts_life_at(f, w->t);
    int64_t from = f->n_lives ? f->lives[life].from : INT64_MIN;
    size_t n = gate_moments(f, from, w->t, gate_asks_for_pods(rows), moments, SNAPSHOTS_MAX);
    while (n > 1 && json_array_size(w->again) && w->left >= w->p->side.n) {
        json_t *findings = NULL;
        w->left -= w->p->side.n;
        int r = evaluate_at(w, rows, moments[n - 2], &findings);
        if (r < 0)
            return r;
        settle(w, findings, moments[n - 1]);
        json_decref(findings);
        n--;
    }
    settle(w, NULL, n ? moments[n - 1] : w->t);
    return 0;
}

static int since_together(struct walking *w) {
    struct reference rows;
    if (json_array_size(w->again) == 0)
        return 0;
    int r = only_rows(w, NULL, &rows, w->e);
    if (r < 0)
        return r;
    r = walk_back(w, &rows);
    ref_free(&rows);
    return r;
}

int gate_since(struct gate_picture *p, const struct reference *r, int64_t t, json_t *findings,
               struct err *e) {
    struct walking w = {.p = p, .r = r, .t = t, .again = json_array(), .left = OBJECTS_MAX, .e = e};
    size_t i, k;
    json_t *row, *d;
    int rc = w.again ? 0 : err_oom(e);
    json_array_foreach(json_object_get(findings, "rows"), i, row) {
        json_array_foreach(json_object_get(row, "differences"), k, d) {
            rc = rc == 0 ? look_at(&w, row, d) : rc;
        }
    }
    if (rc == 0)
        rc = since_together(&w);
    json_decref(w.again);
    return rc;
}

/* ---- moments */

bool gate_asks_for_pods(const struct reference *r) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(r->doc, "expectations"), i, x) {
        if (strcmp(js_str(x, "check", ""), "spread") == 0 && js_bool(x, "with.seen", false))
            return true;
    }
    return false;
}

/* A pod came to its node, or left it. */
static bool moves_pod(const Pilotgate__Phase *p) {
    return !p->own && strncmp(p->subject, "Pod/", 4) == 0 &&
           (p->kind == PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED ||
            p->kind == PILOTGATE__PHASE__KIND__KIND_POD_READY ||
            p->kind == PILOTGATE__PHASE__KIND__KIND_POD_DELETING ||
            p->kind == PILOTGATE__PHASE__KIND__KIND_POD_GONE);
}

/* The newest moment of each list that is not after `to`, going down it; INT64_MIN: there is none. */
static int64_t next_state(const struct facts *f, size_t *at, int64_t to) {
    for (; *at > 0; --*at)
        if (f->states[*at - 1].hi <= to && moves(&f->states[*at - 1]))
            return f->states[*at - 1].hi;
    return INT64_MIN;
}

static int64_t next_phase(const struct facts *f, size_t *at, int64_t to) {
    for (; *at > 0; --*at)
        if (f->phases[*at - 1].hi <= to && moves_pod(f->phases[*at - 1].p))
            return f->phases[*at - 1].hi;
    return INT64_MIN;
}

size_t gate_moments(const struct facts *f, int64_t from, int64_t to, bool pods, int64_t *out, size_t max) {
    size_t n = 0, state = f->n_states, phase = pods ? f->n_phases : 0;
    while (n < max) {
        int64_t s = next_state(f, &state, to), p = next_phase(f, &phase, to);
        int64_t t = s > p ? s : p;
        if (t <= from || t == INT64_MIN)
            break;
        out[n++] = t;
        to = t - 1;
    }
    for (size_t i = 0; i < n / 2; i++) {
        int64_t x = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = x;
    }
    return n;
}
