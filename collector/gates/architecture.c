/* architecture: does the stage look as the pilot's reference recommends? reference/ compares; here is what of
 * a stage there is to compare, what must be known of it, and since when it differs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/architecture_priv.h"

/* ---- the reference */

/* As the pilot names it. NULL: it is loaded; else why not. */
static const char *load_reference(const struct corr *c, struct reference *ret, struct err *e) {
    const char *digest = js_str(c->ev.pilot, "architecture.digest", "");
    if (!c->ev.reference) {
        (void)err_set(e, -ENOENT,
                      "the reference %.12s that the pilot names is not in the store: declare the pilot again "
                      "with `pilotgate pilot init`",
                      digest);
        return e->text;
    }
    if (ref_from_document(c->ev.reference, ret, e) < 0) {
        (void)err_prefix(e, -EINVAL, "the stored reference %.12s cannot be read", digest);
        return e->text;
    }
    if (strcmp(ret->digest, digest) != 0) {
        (void)err_set(
            e, -EBADMSG,
            "the stored reference has the digest %.12s, and the pilot names %.12s: declare the pilot "
            "again with `pilotgate pilot init`",
            ret->digest, digest);
        ref_free(ret);
        return e->text;
    }
    return NULL;
}

static bool is_declared(const struct corr *c) {
    return *js_str(c->ev.pilot, "architecture.digest", "") != 0;
}

/* ---- one stage at one moment */

/* What is looked at over and over. */
struct looking {
    const struct corr *c;
    const struct facts *f;
    struct reference r;
    struct gate_texts texts;
};

/* The records that show what failed, and that the stage was read. */
static void cite(json_t *o, const struct facts *f, const struct gate_reading *g) {
    json_t *set = json_object_get(o, "evidence");
    size_t i, k, m;
    json_t *row, *d, *ref;
    gate_cite(o, f, g->reader);
    json_array_foreach(json_object_get(o, "rows"), i, row) {
        if (strcmp(js_str(row, "verdict", ""), "PASS") == 0 ||
            strcmp(js_str(row, "severity", ""), "required") != 0)
            continue;
        json_array_foreach(json_object_get(row, "differences"), k, d) {
            json_array_foreach(json_object_get(d, "evidence"), m, ref) {
                const char *text = json_string_value(ref);
                if (text && !json_object_get(set, text))
                    (void)json_object_set_new(set, text, json_true());
            }
        }
    }
}

static void measure(json_t *o, const struct gate_picture *p) {
    json_t *m = json_object_get(o, "measured");
    static const char *const severities[] = {"required", "recommended", "info"};
    (void)json_object_set_new(m, "objects", json_integer((json_int_t)p->side.n));
    for (size_t i = 0; i < sizeof severities / sizeof *severities; i++) {
        const json_t *of = json_object_get(json_object_get(o, "match"), severities[i]);
        if (js_int(of, "n", 0) > 0)
            (void)json_object_set_new(
                m, severities[i],
                json_sprintf("%lld of %lld", (long long)(js_int(of, "met", 0) + js_int(of, "tolerated", 0)),
                             (long long)js_int(of, "n", 0)));
    }
}

/* What was not read comes first where it keeps the stage from being judged. */
static void decide(json_t *o, const json_t *findings, const struct gate_reading *g, const json_t *not_read) {
    enum gate_verdict v = gate_verdict_of(findings);
    const json_t *first = json_array_get(not_read, 0);
    if (v == GATE_INCONCLUSIVE && g->nobody)
        gate_decide(o, v, "%s", g->nobody);
    else if (v == GATE_INCONCLUSIVE && first)
        gate_decide(o, v, "%s; objects of kind %s%s: %s", js_str(findings, "reason", ""),
                    js_str(first, "kind", ""), json_array_size(not_read) > 1 ? " (and others)" : "",
                    js_str(first, "reason", ""));
    else
        gate_decide(o, v, "%s", js_str(findings, "reason", ""));
}

/* Adds the findings; with since, also since when. */
static int add_findings(json_t *o, struct looking *l, struct gate_picture *p, int64_t t, bool since,
                        struct err *e) {
    json_t *findings = NULL;
    int r = ref_evaluate(&l->r, &p->side, l->f->stage, t, &findings, e);
    json_t *not_read = r == 0 ? gate_reading_json(p->reading) : NULL;
    if (r == 0 && since)
        r = gate_since(p, &l->r, t, findings, e);
    if (r == 0) {
        decide(o, findings, p->reading, not_read);
        (void)json_object_del(findings, "verdict");
        (void)json_object_del(findings, "reason");
        if (json_object_set(o, "not_read", not_read) < 0 || json_object_update(o, findings) < 0)
            r = err_oom(e);
    }
    json_decref(not_read);
    json_decref(findings);
    return r;
}

/* Nothing is deployed there (yet, or any more), and that is known. */
static bool is_empty(struct gate_picture *p) {
    static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (p->side.unread(p->side.unread_ctx, kinds[i]))
            return false;
    return p->workloads == 0;
}

static int compare_at(struct looking *l, int64_t t, bool since, json_t **ret, struct err *e) {
    struct gate_reading g;
    struct gate_picture p;
    int r = gate_reading_make(l->c, l->f, t, &l->texts.tellings, &g, e);
    if (r < 0)
        return r;
    r = gate_picture_make(&l->texts, &g, t, &p, e);
    if (r < 0) {
        gate_reading_free(&g);
        return r;
    }
    json_t *o =
        gate_stage(l->f, GATE_PENDING, "nothing is deployed in this stage: install the product with Helm");
    if (!o)
        r = err_oom(e);
    else if (!is_empty(&p))
        r = add_findings(o, l, &p, t, since, e);
    if (r == 0) {
        gate_set_time(o, "as_of", t);
        if (!json_object_get(o, "not_read"))
            (void)json_object_set_new(o, "not_read", gate_reading_json(&g));
        cite(o, l->f, &g);
        measure(o, &p);
        *ret = o;
    } else
        json_decref(o);
    gate_picture_free(&p);
    gate_reading_free(&g);
    return r;
}

/* Why nothing can be said of the stage; NULL: something can. *ret_looking is then to be freed. */
static json_t *prepare(const struct corr *c, const struct facts *f, struct looking *ret, struct err *e,
                       int *ret_error) {
    struct err why;
    *ret = (struct looking){.c = c, .f = f};
    *ret_error = 0;
    if (!is_declared(c))
        return gate_stage(
            f, GATE_PENDING,
            "no reference is declared: name one as `architecture:` in the pilot file, and declare "
            "the pilot again with `pilotgate pilot init`");
    json_t *o = gate_unjudgeable(f, 0);
    if (o)
        return o;
    if (load_reference(c, &ret->r, &why))
        return gate_stage(f, GATE_INCONCLUSIVE, "%s", why.text);
    *ret_error = gate_texts_make(f, &ret->texts, e);
    if (*ret_error < 0)
        ref_free(&ret->r);
    return NULL;
}

static void looking_free(struct looking *l) {
    gate_texts_free(&l->texts);
    ref_free(&l->r);
}

static int stage_at(const struct corr *c, const struct facts *f, int64_t t, json_t **ret, struct err *e) {
    struct looking l;
    int r;
    json_t *o = prepare(c, f, &l, e, &r);
    if (o) {
        *ret = o;
        return 0;
    }
    if (r < 0)
        return r;
    r = compare_at(&l, corr_state_time(c, t), true, ret, e);
    looking_free(&l);
    return r;
}

int gates_architecture_at(const struct corr *c, const struct facts *f, int64_t t, json_t **ret,
                          struct err *e) {
    int r = stage_at(c, f, t, ret, e);
    if (r == 0)
        gate_seal(*ret);
    return r;
}

json_t *gate_architecture(const struct corr *c, const struct facts *f) {
    struct err e;
    json_t *o = NULL;
    if (stage_at(c, f, c->at_ns, &o, &e) < 0)
        return gate_stage(f, GATE_INCONCLUSIVE, "%s", e.text);
    return o;
}

/* ---- over time */

static json_t *verdicts_of_rows(const json_t *stage) {
    json_t *rows = json_object();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(stage, "rows"), i, row) {
        (void)json_object_set(rows, js_str(row, "id", ""), json_object_get(row, "verdict"));
    }
    return rows;
}

/* Rows that came out otherwise than in the entry before. */
static json_t *moved(const json_t *before, const json_t *rows) {
    json_t *list = json_array();
    const char *id;
    json_t *v;
    json_object_foreach((json_t *)rows, id, v) {
        const json_t *old = json_object_get(before, id);
        if (old && !json_equal(old, v))
            (void)json_array_append_new(
                list, json_pack("{s:s, s:O, s:O}", "id", id, "from", (json_t *)old, "to", v));
    }
    return list;
}

static int add_moment(json_t *list, const json_t *stage, int64_t t, struct err *e) {
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    json_t *rows = verdicts_of_rows(stage);
    bool same = last && json_equal(json_object_get(last, "rows"), rows) &&
                json_equal(json_object_get(last, "verdict"), json_object_get(stage, "verdict")) &&
                json_equal(json_object_get(last, "match"), json_object_get(stage, "match"));
    json_t *o = same ? NULL
                     : json_pack("{s:O, s:O?, s:O, s:o}", "verdict", json_object_get(stage, "verdict"),
                                 "match", json_object_get(stage, "match"), "rows", rows, "moved",
                                 moved(json_object_get(last, "rows"), rows));
    if (o)
        gate_set_time(o, "at", t);
    int r = same || (o && json_array_append_new(list, o) == 0) ? 0 : err_oom(e);
    json_decref(rows);
    return r;
}

int gates_architecture_over(const struct corr *c, const struct facts *f, int64_t from, int64_t to,
                            json_t **ret, struct err *e) {
    struct looking l;
    int64_t moments[GATES_MOMENTS_MAX];
    bool cut;
    size_t n = gates_architecture_moments(c, f, from, to, moments, &cut);
    int r;
    json_t *list = json_array();
    json_t *cannot = prepare(c, f, &l, e, &r);
    if (cannot || r < 0 || !list) {
        if (cannot && list)
            r = add_moment(list, cannot, corr_state_time(c, to), e);
        json_decref(cannot);
        *ret = list;
        return list ? r : err_oom(e);
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        json_t *stage = NULL;
        r = compare_at(&l, moments[i], false, &stage, e);
        bool begun =
            r == 0 && (json_array_size(list) || (json_object_get(stage, "rows") &&
                                                 json_array_size(json_object_get(stage, "not_read")) == 0));
        if (begun)
            r = add_moment(list, stage, moments[i], e);
        json_decref(stage);
    }
    looking_free(&l);
    if (r < 0)
        json_decref(list);
    else
        *ret = list;
    return r;
}

/* What is read is told of after the objects themselves, in full every 10 s: a moment at which an object was
 * told of first is followed by one at which that is known too, or by the last one before the next object. */
#define TOLD_NS (15 * WHEN_S)
#define TOLD_LEAST_NS (2 * WHEN_S)

size_t gates_architecture_moments(const struct corr *c, const struct facts *f, int64_t from, int64_t to,
                                  int64_t out[GATES_MOMENTS_MAX], bool *ret_cut) {
    int64_t end = corr_state_time(c, to), changes[GATES_MOMENTS_MAX / 2 - 1];
    const size_t max = sizeof changes / sizeof *changes;
    const struct reference r = {.doc = c->ev.reference};
    size_t n = 0, n_changes = gate_moments(f, from, end, gate_asks_for_pods(&r), changes, max);
    *ret_cut = n_changes == max;
    for (size_t i = 0; i < n_changes; i++) {
        int64_t next = i + 1 < n_changes ? changes[i + 1] : end;
        out[n++] = changes[i];
        if (next - changes[i] >= TOLD_LEAST_NS)
            out[n++] = next - changes[i] > TOLD_NS ? changes[i] + TOLD_NS : next - 1;
    }
    if (n == 0 || out[n - 1] < end)
        out[n++] = end;
    return n;
}
