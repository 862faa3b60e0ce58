/* rollback_differ: where two states of one object differ, field by field, and whether the rubric lets them.
 */
#include <string.h>

#include "base/js.h"
#include "base/norm.h"
#include "gates/rollback_priv.h"

/* What may not differ comes first: it is why somebody looks. */
static void note(struct rollback_differ *ret, const struct difference *d, const char *why, bool regenerated) {
    enum rollback_what what = !why          ? ROLLBACK_DIFFERENT
                              : regenerated ? ROLLBACK_REGENERATED
                                            : ROLLBACK_TOLERATED;
    ret->places++;
    if (what < ret->what && ret->what == ROLLBACK_DIFFERENT)
        return;
    if (what == ROLLBACK_DIFFERENT && ret->what != what)
        (void)json_array_clear(ret->fields);
    if (what > ret->what) {
        ret->what = what;
        ret->why = why ? why : "";
    }
    if (json_array_size(ret->fields) < ROLLBACK_FIELDS_MAX)
        (void)json_array_append_new(ret->fields, gate_difference_json(d));
}

static void note_all(const struct rollback *r, const Pilotgate__Object *o, unsigned traits,
                     const struct differences *d, struct rollback_differ *ret) {
    struct rubric_place place = {.kind = o->kind, .name = o->name, .traits = traits};
    for (size_t i = 0; i < d->n; i++) {
        int regenerated = 0;
        place.pointer = d->items[i].pointer;
        const char *why = rubric_tolerates(&r->c->rubric, &place, &regenerated);
        if (regenerated && (!d->items[i].before || !d->items[i].after)) /* another key is no other value */
            why = NULL;
        note(ret, &d->items[i], why, regenerated);
    }
    ret->places += d->more;
    if (d->more) { /* too many to look at each */
        ret->what = ROLLBACK_DIFFERENT;
        ret->why = "";
    }
    if (d->reordered && ret->what != ROLLBACK_DIFFERENT) {
        (void)json_array_clear(ret->fields);
        ret->what = ROLLBACK_DIFFERENT;
        ret->why = "elements of a list stand in another order";
    }
}

/* In this version's normal form; a document of the product has one form only. NULL: cut, or no JSON. */
static json_t *form_of(const Pilotgate__Object *o) {
    json_t *doc = NULL;
    if (o->truncated || js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return NULL;
    if (strcmp(o->kind, "ToolCatalogue") != 0 && strcmp(o->kind, "ProductConfiguration") != 0)
        norm_again(doc);
    return doc;
}

static void differ_texts(const struct rollback *r, const Pilotgate__Object *a, const Pilotgate__Object *b,
                         unsigned traits, struct rollback_differ *ret) {
    json_t *x = form_of(a);
    json_t *y = form_of(b);
    struct differences d = {0};
    if (x && y && diff_fields(b->kind, x, y, &d, NULL) == 0)
        note_all(r, b, traits, &d, ret);
    diff_free(&d);
    json_decref(x);
    json_decref(y);
    if (ret->places || ret->what == ROLLBACK_DIFFERENT)
        return;
    ret->what = ROLLBACK_DIFFERENT; /* the digests differ, and the texts do not say where */
    ret->why = "where is not known: its text was cut, or its digest covers more than it";
}

void rollback_differ(const struct rollback *r, const struct rollback_item *a, const struct rollback_item *b,
                     unsigned traits, struct rollback_differ *ret) {
    *ret = (struct rollback_differ){.what = ROLLBACK_EQUAL, .why = ""};
    switch (facts_same(a->o, b->o)) {
    case FACT_SAME:
        return;
    case FACT_SAME_UNKNOWN:
        ret->what = ROLLBACK_UNKNOWN;
        ret->why = "told by agents of two versions in normal forms that do not compare";
        return;
    case FACT_DIFFERS:
        ret->fields = json_array();
        differ_texts(r, a->o, b->o, traits, ret);
    }
}
