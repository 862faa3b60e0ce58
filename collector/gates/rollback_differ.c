/* rollback_differ: where two states of one object differ, as JSON Pointers (RFC 6901), and whether the rubric
 * lets them. Values are never shown: those of Secrets are hashes, but nobody needs even those here. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "gates/rollback_priv.h"

#define POINTER_MAX 512

struct walk {
    const struct rollback *r;
    struct rubric_place place;
    struct rollback_differ *d;
    char pointer[POINTER_MAX];
};

/* Once something may not differ, only that is told. */
static void note(struct walk *w) {
    int regenerated = 0;
    struct rollback_differ *d = w->d;
    w->place.pointer = w->pointer;
    const char *why = rubric_tolerates(&w->r->c->rubric, &w->place, &regenerated);
    enum rollback_what what = !why          ? ROLLBACK_DIFFERENT
                              : regenerated ? ROLLBACK_REGENERATED
                                            : ROLLBACK_TOLERATED;
    d->places++;
    if (what < d->what && d->what == ROLLBACK_DIFFERENT)
        return;
    if (what > d->what) {
        d->what = what;
        d->why = why ? why : "";
    }
    if (what == ROLLBACK_DIFFERENT && !d->serious++)
        (void)json_array_clear(d->pointers);
    if (json_array_size(d->pointers) < ROLLBACK_POINTERS_MAX)
        (void)json_array_append_new(d->pointers, json_string(w->pointer));
}

/* Appends "/step", escaped; what does not fit is reported at the place above it. Returns the old length. */
static size_t push(struct walk *w, const char *step) {
    size_t old = strlen(w->pointer);
    size_t n = old;
    w->pointer[n++] = '/';
    for (const char *p = step; *p && n + 3 < sizeof w->pointer; p++) {
        if (*p == '~' || *p == '/') {
            w->pointer[n++] = '~';
            w->pointer[n++] = *p == '~' ? '0' : '1';
        } else {
            w->pointer[n++] = *p;
        }
    }
    w->pointer[n] = 0;
    return old;
}

static void walk(struct walk *w, const json_t *a, const json_t *b);

static void walk_step(struct walk *w, const char *step, const json_t *a, const json_t *b) {
    size_t old = push(w, step);
    walk(w, a, b);
    w->pointer[old] = 0;
}

static void walk_object(struct walk *w, const json_t *a, const json_t *b) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)a, key, v) {
        walk_step(w, key, v, json_object_get(b, key));
    }
    json_object_foreach((json_t *)b, key, v) {
        if (!json_object_get(a, key))
            walk_step(w, key, NULL, v);
    }
}

static void walk_array(struct walk *w, const json_t *a, const json_t *b) {
    size_t n = json_array_size(a) > json_array_size(b) ? json_array_size(a) : json_array_size(b);
    char step[32];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(step, sizeof step, "%zu", i);
        walk_step(w, step, json_array_get(a, i), json_array_get(b, i));
    }
}

static bool goes_down(const json_t *a, const json_t *b, json_type type) {
    const json_t *some = a ? a : b;
    size_t n = type == JSON_OBJECT ? json_object_size(some) : json_array_size(some);
    return n && json_typeof(some) == type && (!a || !b || json_typeof(a) == json_typeof(b));
}

/* What is there on one side only is told leaf by leaf, too: rules are about leaves. */
static void walk(struct walk *w, const json_t *a, const json_t *b) {
    if (a && b && json_equal(a, b))
        return;
    bool deep = strlen(w->pointer) + 64 < sizeof w->pointer;
    if (deep && goes_down(a, b, JSON_OBJECT))
        walk_object(w, a, b);
    else if (deep && goes_down(a, b, JSON_ARRAY))
        walk_array(w, a, b);
    else
        note(w);
}

static json_t *form_of(const Pilotgate__Object *o) {
    json_t *doc = NULL;
    if (o->truncated || js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return NULL;
    if (strcmp(o->kind, "ToolCatalogue") != 0 && strcmp(o->kind, "ProductConfiguration") != 0)
        norm_again(doc);
    return doc;
}

/* A list of names (a catalogue's) is told by name: which came and which went, not at which place. */
static bool is_names(const json_t *list) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (!json_is_string(v))
            return false;
    }
    return json_is_array(list);
}

static bool lists_name(const json_t *list, const json_t *name) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (json_equal(v, name))
            return true;
    }
    return false;
}

static void note_names(struct walk *w, const json_t *from, const json_t *in, char sign) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)from, i, v) {
        if (lists_name(in, v))
            continue;
        (void)snprintf(w->pointer, sizeof w->pointer, "%c%.400s", sign, json_string_value(v));
        note(w);
    }
    w->pointer[0] = 0;
}

static void differ_texts(struct walk *w, const json_t *a, const json_t *b) {
    const json_t *x = json_object_get(a, "tools");
    const json_t *y = json_object_get(b, "tools");
    if (is_names(x) && is_names(y)) {
        note_names(w, x, y, '-');
        note_names(w, y, x, '+');
    } else {
        walk(w, a, b);
    }
}

void rollback_differ(const struct rollback *r, const struct rollback_item *a, const struct rollback_item *b,
                     unsigned traits, struct rollback_differ *ret) {
    *ret = (struct rollback_differ){.what = ROLLBACK_EQUAL, .why = ""};
    enum fact_same same = facts_same(a->o, b->o);
    if (same == FACT_SAME)
        return;
    ret->what = same == FACT_DIFFERS ? ROLLBACK_DIFFERENT : ROLLBACK_UNKNOWN;
    if (same != FACT_DIFFERS) {
        ret->why = "told by agents of two versions in normal forms that do not compare";
        return;
    }
    json_t *x = form_of(a->o);
    json_t *y = form_of(b->o);
    struct walk w = {.r = r, .place = {.kind = b->o->kind, .name = b->o->name, .traits = traits}, .d = ret};
    ret->pointers = json_array();
    if (x && y) {
        ret->what = ROLLBACK_EQUAL;
        differ_texts(&w, x, y);
    }
    if (ret->places == 0) { /* the digests differ, and the texts do not say where */
        ret->what = ROLLBACK_DIFFERENT;
        ret->why = "where is not known: its text was cut, or the digest covers more than it";
    }
    json_decref(x);
    json_decref(y);
}
