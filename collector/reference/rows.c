/* rows: what a SET asks of the stage: a row for each of its objects, and those of what is there besides.
 * See checks.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/word.h"
#include "reference/checks.h"
#include "reference/reference_priv.h"

struct rows {
    const struct ref_scope *s;
    const json_t *set; /* its document */
    const struct ref_side *side;
    struct ref_matches matches;
    struct ref_outcome fields; /* extra ones, of all objects */
    ref_set_row_fn *fn;
    void *ctx;
};

static const char *severity_of(const struct rows *w) {
    return js_str(w->set, "severity", "required");
}

/* "recommended" where the SET does not say. */
static const char *severity_of_extra(const struct rows *w, const char *what) {
    return js_str(json_object_get(w->set, "extra"), what, "recommended");
}

static bool is_optional(const struct rows *w, const char *name) {
    size_t i;
    const json_t *glob;
    json_array_foreach(json_object_get(w->set, "optional"), i, glob) {
        if (json_is_string(glob) && word_glob(json_string_value(glob), name))
            return true;
    }
    return false;
}

static const char *unread(const struct rows *w, const char *kind) {
    const struct ref_side *live = w->s->live;
    return live->unread ? live->unread(live->unread_ctx, kind) : NULL;
}

/* What Helm, or the Job controller, takes away when it is done (helm.sh/hook-delete-policy; batch/v1,
 * JobSpec.ttlSecondsAfterFinished). */
static bool is_passing(const struct ref_object *o) {
    return (o->traits & REF_HOOK) ||
           (strcmp(o->kind, "Job") == 0 && json_is_integer(js_at(o->normal, "spec.ttlSecondsAfterFinished")));
}

/* Differences that are fields which nobody asked for go to their own row. */
static int take_fields(struct rows *w, struct ref_outcome *row) {
    struct ref_differences *from = &row->differences;
    size_t kept = 0;
    int r = 0;
    for (size_t i = 0; i < from->n; i++) {
        if (!from->items[i].field)
            from->items[kept++] = from->items[i];
        else if (ref_differences_take(&w->fields.differences, &from->items[i]) < 0)
            r = -ENOMEM;
    }
    from->n = kept;
    return r;
}

static int compare(struct rows *w, const struct ref_match *m, struct ref_outcome *out) {
    if (!m->a->normal || !m->b->normal) {
        const char *why = m->a->normal ? m->b->unknown : m->a->unknown;
        ref_outcome_unknown(out, "%s/%s: %s", m->b->kind, m->b->name, why ? why : "its text is not known");
        return 0;
    }
    int r = ref_compare_objects(&w->matches, m->a, m->b, false, &out->differences);
    return r == 0 ? take_fields(w, out) : r;
}

static int add_missing(struct rows *w, const struct ref_object *a, struct ref_outcome *out) {
    char there[REF_NAME_MAX];
    char name[2 * REF_NAME_MAX];
    const char *why = unread(w, a->kind);
    if (why) {
        ref_outcome_unknown(out, "%s: %s", a->kind, why);
        return 0;
    }
    bool fits = ref_name_there(&w->matches, a->name, there, sizeof there);
    (void)snprintf(name, sizeof name, "%s/%s", a->kind, fits ? there : a->name);
    int r = ref_differences_add(&out->differences, REF_MISSING, NULL, name, NULL, NULL, NULL, NULL);
    if (r == 0)
        out->differences.items[0].of_a = a;
    return r;
}

static int tell_object(struct rows *w, const struct ref_match *m) {
    char name[REF_NAME_MAX];
    char full[2 * REF_NAME_MAX];
    struct ref_set_row row = {.name = full, .severity = severity_of(w)};
    if (!ref_name_relative(w->side, m->a->name, name, sizeof name))
        (void)snprintf(name, sizeof name, "%s", m->a->name);
    (void)snprintf(full, sizeof full, "%s/%s", m->a->kind, name);
    if (!m->b && (is_passing(m->a) || (is_optional(w, full) && !unread(w, m->a->kind))))
        return 0; /* where nobody read the kind, an optional one may be there, and be otherwise */
    row.outcome.objects = m->b != NULL;
    int r = m->b ? compare(w, m, &row.outcome) : add_missing(w, m->a, &row.outcome);
    if (r < 0) {
        ref_outcome_free(&row.outcome);
        return r;
    }
    return w->fn(w->ctx, &row);
}

/* ---- what is there besides */

static bool is_extra(const struct rows *w, const struct ref_object *o) {
    const char *release = w->s->live->release;
    return o->release && strcmp(o->release, release) == 0 && !(o->traits & REF_HOOK) &&
           ref_is_configuration(o);
}

int ref_in_sets(const struct reference *r, const struct ref_side *live, bool *out) {
    int e = 0;
    for (size_t i = 0; e == 0 && i < r->n_sets; i++) {
        struct ref_matches m;
        if ((e = ref_match_sides(&r->sets[i], live, &m)) < 0)
            return e;
        for (size_t k = 0; k < m.n; k++)
            if (m.items[k].a && m.items[k].b)
                out[m.items[k].b - live->objects] = true;
        ref_matches_free(&m);
    }
    return e;
}

/* What another SET of this reference has is not besides. */
static int find_extra_objects(struct rows *w, struct ref_outcome *out) {
    const struct ref_side *live = w->s->live;
    if (!live->release || !*live->release) {
        ref_outcome_unknown(out, "which release is under pilot is not known");
        return 0;
    }
    bool required = strcmp(severity_of_extra(w, "objects"), "required") == 0;
    for (const char *const *k = ref_watched_kinds; required && *k; k++)
        if (unread(w, *k)) /* there may be one more of them */
            ref_outcome_unknown(out, "%s: %s", *k, unread(w, *k));
    bool *own = w->s->in_sets ? NULL : calloc(live->n + 1, sizeof *own);
    const bool *known = own ? own : w->s->in_sets;
    int r = own ? ref_in_sets(w->s->r, live, own) : known ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < w->matches.n; i++) {
        const struct ref_object *o = w->matches.items[i].b;
        if (w->matches.items[i].a || known[o - live->objects] || !is_extra(w, o))
            continue;
        out->objects++;
        r = ref_differences_add(&out->differences, REF_EXTRA, o, NULL, NULL, NULL, NULL, NULL);
    }
    free(own);
    return r;
}

static int tell_extra_objects(struct rows *w) {
    struct ref_set_row row = {
        .name = "extra objects",
        .severity = severity_of_extra(w, "objects"),
        .title = "the release has no object that the manifests do not have",
    };
    if (strcmp(row.severity, "ignore") == 0)
        return 0;
    int r = find_extra_objects(w, &row.outcome);
    if (r < 0) {
        ref_outcome_free(&row.outcome);
        return r;
    }
    return w->fn(w->ctx, &row);
}

static int tell_extra_fields(struct rows *w) {
    struct ref_set_row row = {
        .name = "extra fields",
        .severity = severity_of_extra(w, "fields"),
        .title = "no field is set that the manifests leave to its default",
    };
    if (strcmp(row.severity, "ignore") == 0)
        return 0;
    row.outcome = w->fields;
    w->fields = (struct ref_outcome){0};
    return w->fn(w->ctx, &row);
}

static int tell_all(struct rows *w) {
    int r = ref_match_sides(w->side, w->s->live, &w->matches);
    for (size_t i = 0; r == 0 && i < w->matches.n; i++)
        if (w->matches.items[i].a) {
            w->fields.objects += w->matches.items[i].b != NULL;
            r = tell_object(w, &w->matches.items[i]);
        }
    if (r == 0)
        r = tell_extra_objects(w);
    return r == 0 ? tell_extra_fields(w) : r;
}

int ref_manifests(const struct ref_scope *s, size_t i, ref_set_row_fn *fn, void *ctx) {
    struct rows w = {.s = s,
                     .set = json_array_get(json_object_get(s->r->doc, "manifests"), i),
                     .side = &s->r->sets[i],
                     .fn = fn,
                     .ctx = ctx};
    int r = tell_all(&w);
    ref_outcome_free(&w.fields);
    ref_matches_free(&w.matches);
    return r;
}
