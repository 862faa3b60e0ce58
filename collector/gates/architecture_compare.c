/* architecture_compare: two stages with each other, whatever the reference says of either. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "correlate/differences.h"
#include "gates/architecture_priv.h"

struct half { /* one of the two stages */
    const struct facts *f;
    struct gate_texts texts;
    struct gate_reading reading;
    struct gate_picture picture;
    bool made;
};

static const struct facts *find(const struct corr *c, const char *stage) {
    for (size_t i = 0; i < c->n_stages; i++)
        if (strcmp(c->stages[i].stage, stage) == 0)
            return &c->stages[i];
    return NULL;
}

static int make(const struct corr *c, struct half *h, int64_t t, struct err *e) {
    int r = gate_texts_make(h->f, &h->texts, e);
    if (r < 0)
        return r;
    r = gate_reading_make(c, h->f, t, &h->texts.tellings, &h->reading, e);
    if (r == 0) {
        r = gate_picture_make(&h->texts, &h->reading, t, &h->picture, e);
        if (r < 0)
            gate_reading_free(&h->reading);
    }
    if (r < 0)
        gate_texts_free(&h->texts);
    h->made = r == 0;
    return r;
}

static void half_free(struct half *h) {
    if (!h->made)
        return;
    gate_picture_free(&h->picture);
    gate_reading_free(&h->reading);
    gate_texts_free(&h->texts);
}

/* Does the value there read as the difference tells it? Elements of a list may stand elsewhere on either
 * side, and the pointer is of one of them. */
static bool reads_as(const json_t *value, const char *told) {
    if (!value || !told)
        return !value && !told;
    char *text =
        json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    const char *whole = text ? text : json_string_value(value);
    bool same = whole && strcmp(whole, told) == 0;
    free(text);
    return same || strcmp(told, DIFF_SECRET) == 0;
}

static void add_since(json_t *d, struct half *h, size_t state, char side) {
    const char *pointer = js_str(d, "pointer", ""), *why;
    const char *told = js_str(d, side == 'a' ? "expected" : "found", NULL);
    const json_t *normal = gate_texts_normal(&h->texts, state, &why);
    char key[24], bound[24];
    int64_t at;
    if (*pointer && (!normal || !reads_as(gate_value_at(normal, pointer), told)))
        return;
    bool exact = gate_value_since(&h->texts, state, *pointer ? pointer : NULL, &at);
    (void)snprintf(key, sizeof key, "since_%c", side);
    (void)snprintf(bound, sizeof bound, "since_bound_%c", side);
    gate_set_time(d, key, at);
    (void)json_object_set_new(d, bound, json_string(exact ? "at" : "at most"));
}

/* A tag becomes the record that shows the object, and since when it shows that. */
static void cite(json_t *d, struct half *h, char side) {
    char tag[16], evidence[16], ref[WIRE_REF_MAX];
    (void)snprintf(tag, sizeof tag, "tag_%c", side);
    (void)snprintf(evidence, sizeof evidence, "evidence_%c", side);
    int64_t state = js_int(d, tag, -1);
    (void)json_object_del(d, tag);
    if (state < 0 || (size_t)state >= h->f->n_states)
        return;
    (void)facts_ref(h->f->ev, h->f->states[state].ref, ref);
    (void)json_object_set_new(d, evidence, json_pack("[s]", ref));
    add_since(d, h, (size_t)state, side);
}

static int compare(const struct corr *c, struct half *a, struct half *b, int64_t t, json_t **ret,
                   struct err *e) {
    struct reference r;
    struct err unused;
    bool have = c->ev.reference && ref_from_document(c->ev.reference, &r, &unused) == 0;
    int rc = ref_between(have ? &r : NULL, &a->picture.side, &b->picture.side, t, ret, e);
    size_t i;
    json_t *d;
    if (have)
        ref_free(&r);
    if (rc < 0)
        return rc;
    json_array_foreach(json_object_get(*ret, "differences"), i, d) {
        cite(d, a, 'a');
        cite(d, b, 'b');
    }
    gate_set_time(*ret, "as_of", t);
    return 0;
}

/* Neither of them is compared when one cannot be believed. */
static json_t *cannot(const struct half *a, const struct half *b) {
    const struct half *halves[] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        json_t *o = gate_unjudgeable(halves[i]->f, 0);
        if (!o)
            continue;
        json_t *doc =
            json_pack("{s:s, s:s, s:[], s:i, s:[], s:O, s:o}", "a", a->f->stage, "b", b->f->stage,
                      "differences", "more", 0, "not_compared", "verdict", json_object_get(o, "verdict"),
                      "reason", json_sprintf("%s: %s", halves[i]->f->stage, js_str(o, "reason", "")));
        json_decref(o);
        return doc;
    }
    return NULL;
}

int gates_compare(const struct corr *c, const char *a, const char *b, int64_t t, json_t **ret,
                  struct err *e) {
    struct half x = {.f = find(c, a)}, y = {.f = find(c, b)};
    if (!x.f || !y.f)
        return err_set(e, -ENOENT, "the pilot has no stage '%s'; `pilotgate status` lists them", x.f ? b : a);
    json_t *doc = cannot(&x, &y);
    if (doc) {
        *ret = doc;
        return 0;
    }
    t = corr_state_time(c, t);
    int r = make(c, &x, t, e);
    if (r == 0)
        r = make(c, &y, t, e);
    if (r == 0)
        r = compare(c, &x, &y, t, ret, e);
    half_free(&x);
    half_free(&y);
    return r;
}
