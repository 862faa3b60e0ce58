/* change_details: what a shown change changed, field by field. Only what is shown is compared: texts are
 * parsed here and nowhere on the way to a verdict. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "correlate/differences.h"
#include "correlate/gitops.h"
#include "gates/gates_priv.h"

static void set_text(json_t *o, const char *key, const char *text) {
    if (text)
        (void)json_object_set_new(o, key, json_string(text));
}

/* "2-4" */
static void set_lines(json_t *o, const char *key, unsigned from, unsigned to) {
    if (from)
        (void)json_object_set_new(o, key,
                                  from == to ? json_sprintf("%u", from) : json_sprintf("%u-%u", from, to));
}

json_t *gate_difference_json(const struct difference *d) {
    json_t *o = json_pack("{s:s, s:s}", "pointer", d->pointer, "where", d->where);
    if (!o)
        return json_pack("{s:s}", "pointer", "(not UTF-8)");
    set_text(o, "before", d->before);
    set_text(o, "after", d->after);
    set_lines(o, "lines_before", d->line_from, d->line_to);
    set_lines(o, "lines_after", d->after_from, d->after_to);
    if (d->secret)
        (void)json_object_set_new(o, "secret", json_true());
    return o;
}

static void set_items(json_t *o, const struct differences *d) {
    json_t *items = json_array();
    for (size_t i = 0; i < d->n; i++)
        (void)json_array_append_new(items, gate_difference_json(&d->items[i]));
    (void)json_object_set_new(o, "items", items);
    if (d->more)
        (void)json_object_set_new(o, "more", json_integer((json_int_t)d->more));
    if (d->unknown)
        (void)json_object_set_new(o, "not_known", json_string(d->unknown));
}

/* ---- what is compared */

static bool same_object(const struct fact_sign *a, const struct fact_sign *b) {
    return a->kind == b->kind && strcmp(a->object_kind, b->object_kind) == 0 &&
           strcmp(a->name, b->name) == 0 && strcmp(a->after->path, b->after->path) == 0;
}

/* The last sign of what this one, the first of it, tells of; NULL when this one is not the first. */
static const struct fact_sign *last_of(const struct fact_change *c, size_t first) {
    const struct fact_sign *last = c->signs[first];
    for (size_t i = 0; i < c->n_signs; i++) {
        if (!same_object(c->signs[i], c->signs[first]))
            continue;
        if (i < first)
            return NULL;
        last = c->signs[i];
    }
    return last;
}

/* The revision of the same release before this one; NULL: there is none. */
static const struct fact_revision *revision_before(const struct facts *f, size_t at) {
    const char *release = f->revisions[at].release;
    while (at-- > 0)
        if (strcmp(f->revisions[at].release, release) == 0)
            return &f->revisions[at];
    return NULL;
}

/* Nothing of an uninstall: all of it is gone. */
static int compare(const struct facts *f, const struct fact_change *c, const struct fact_sign *first,
                   const struct fact_sign *last, struct differences *ret, struct err *e) {
    *ret = (struct differences){0};
    if (first->kind == FACT_SIGN_RELEASE) {
        const struct fact_revision *old = c->revision ? revision_before(f, c->revision - 1) : NULL;
        return old ? diff_normals(first->object_kind, old->normal, f->revisions[c->revision - 1].normal, ret,
                                  e)
                   : 0;
    }
    bool both = first->before && *first->old_digest && *last->new_digest;
    if (!both || first->kind == FACT_SIGN_UNINSTALL || strcmp(first->old_digest, last->new_digest) == 0)
        return 0;
    int r = diff_objects(first->before, last->after, ret, e);
    if (r == 0 && ret->n == 0 && !ret->unknown)
        ret->unknown = "the order of a list that is a set, or something of which agents tell a digest alone";
    return r;
}

static const char *word(const struct fact_sign *first, const struct fact_sign *last) {
    if (first->kind == FACT_SIGN_UNINSTALL)
        return "uninstalled";
    if (first->kind == FACT_SIGN_RELEASE)
        return "new revision";
    if (strcmp(first->old_digest, last->new_digest) == 0)
        return *first->old_digest ? "changed and came back" : "came and went";
    if (!*first->old_digest)
        return "added";
    return *last->new_digest ? "changed" : "removed";
}

static json_t *object_json(const struct facts *f, const struct fact_change *c, const struct fact_sign *first,
                           const struct fact_sign *last, struct err *e) {
    struct differences d;
    if (compare(f, c, first, last, &d, e) < 0)
        return NULL;
    json_t *o = json_pack("{s:o, s:s, s:s}", "object", json_sprintf("%s/%s", first->object_kind, first->name),
                          "path", first->after->path, "what", word(first, last));
    if (o)
        set_items(o, &d);
    else
        (void)err_oom(e);
    diff_free(&d);
    return o;
}

static json_t *differences_json(const struct facts *f, const struct fact_change *c, struct err *e) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < c->n_signs; i++) {
        const struct fact_sign *last = c->signs[i]->kind == FACT_SIGN_MARK ? NULL : last_of(c, i);
        json_t *o = last ? object_json(f, c, c->signs[i], last, e) : NULL;
        if (last && !o) {
            json_decref(list);
            return NULL;
        }
        if (o)
            (void)json_array_append_new(list, o);
    }
    return list;
}

/* ---- the revision of code that it was */

/* Those of the stage's GitOps revisions that are tied to this change. */
static json_t *tied(const json_t *gitops, const char *id) {
    json_t *list = json_array();
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(gitops, "revisions"), i, v) {
        if (strcmp(js_str(v, "change", ""), id) == 0)
            (void)json_array_append(list, v);
    }
    return list;
}

/* ---- the changes that are shown */

/* What Flux and Argo CD say is read once a stage. */
struct code {
    const struct facts *f;
    json_t *doc; /* owned; NULL: of no stage yet */
};

static int read_code(const struct corr *c, const struct facts *f, struct code *code, struct err *e) {
    if (code->f == f)
        return 0;
    json_decref(code->doc);
    *code = (struct code){f, NULL};
    return gitops_read(f, &c->rubric, c->at_ns, &code->doc, e);
}

static int add_details(const struct corr *c, const struct facts *f, const struct fact_change *ch,
                       struct code *code, json_t *o, struct err *e) {
    json_t *list = differences_json(f, ch, e);
    if (!list)
        return -ENOMEM;
    if (json_object_set_new(o, "differences", list) < 0)
        return err_oom(e);
    int r = read_code(c, f, code, e);
    if (r == 0 && json_object_set_new(o, "gitops", tied(code->doc, ch->id)) < 0)
        r = err_oom(e);
    return r;
}

static const struct fact_change *find(const struct corr *c, const char *stage, const char *id,
                                      const struct facts **ret_facts) {
    for (size_t s = 0; s < c->n_stages; s++) {
        *ret_facts = &c->stages[s];
        if (strcmp(c->stages[s].stage, stage) != 0)
            continue;
        for (size_t i = 0; i < c->stages[s].n_changes; i++)
            if (strcmp(c->stages[s].changes[i].id, id) == 0)
                return &c->stages[s].changes[i];
    }
    return NULL;
}

int gates_details(const struct corr *c, json_t *changes, const char *id, struct err *e) {
    struct code code = {0};
    size_t i;
    json_t *o;
    int r = 0;
    json_array_foreach(changes, i, o) {
        const struct facts *f;
        const struct fact_change *ch = find(c, js_str(o, "stage", ""), js_str(o, "id", ""), &f);
        if (r == 0 && ch && (!id || strcmp(ch->id, id) == 0))
            r = add_details(c, f, ch, &code, o, e);
    }
    json_decref(code.doc);
    return r;
}
