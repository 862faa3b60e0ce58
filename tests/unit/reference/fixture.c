/* fixture: see fixture.h. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "reference/reference.h"

static void fail(const char *what, const char *why) {
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

static char *read_all(const char *path, size_t *ret_len) {
    struct err e;
    char *text;
    if (conf_read_file(path, REF_FILE_MAX, &text, ret_len, &e) < 0)
        fail(path, e.text);
    return text;
}

void fixture_side(const json_t *live, struct ref_side *ret) {
    size_t i;
    const json_t *o;
    *ret = (struct ref_side){
        .label = "lab/stage",
        .release = js_str(live, "release", NULL),
        .namespace_name = js_str(live, "namespace", NULL),
        .live = true,
    };
    json_array_foreach(json_object_get(live, "objects"), i, o) {
        json_t *newest = ref_newest_form(js_str(o, "kind", ""), json_object_get(o, "normal"));
        if (!newest || json_object_set_new((json_t *)o, "normal", newest) < 0)
            fail("fixture", "no memory");
        struct ref_object object = {.kind = js_str(o, "kind", ""),
                                    .name = js_str(o, "name", ""),
                                    .release = js_str(o, "release", ""),
                                    .normal = json_object_get(o, "normal"),
                                    .tag = i};
        if (ref_side_add(ret, &object) < 0)
            fail("fixture", "no memory");
    }
    if (ref_side_finish(ret) < 0)
        fail("fixture", "no memory");
}

/* What the manifests were rendered with, as a SET says it. */
static void name_rendered(struct fixture *f) {
    const json_t *rendered = json_object_get(f->live, "rendered");
    f->a.release = js_str(rendered, "release", f->a.release);
    f->a.namespace_name = js_str(rendered, "namespace", f->a.namespace_name);
}

/* Values that a chart makes anew each time it is rendered, or with the release's name in it, have another
 * hash: the manifests get those that live, so that each of them is compared. */
static void settle_secret(const struct ref_match *m) {
    const char *key;
    json_t *v;
    if (!m->a || !m->b || strcmp(m->a->kind, "Secret") != 0)
        return;
    json_t *data = json_object_get(m->a->normal, "data");
    json_object_foreach(json_object_get(m->b->normal, "data"), key, v) {
        if (json_object_get(data, key) && json_object_set(data, key, v) < 0)
            fail("fixture", "no memory");
    }
}

void fixture_load(const char *manifests, const char *live, struct fixture *ret) {
    struct norm_key key;
    struct err e;
    size_t len;
    memset(&key, FIXTURE_KEY, sizeof key);
    *ret = (struct fixture){0};
    const char *slash = strrchr(live, '/');
    (void)snprintf(ret->name, sizeof ret->name, "%s", slash ? slash + 1 : live);
    char *text = read_all(live, &len);
    if (js_parse(text, len, JS_TEXT_MAX, &ret->live, &e) < 0)
        fail(live, e.text);
    free(text);
    ret->manifests = read_all(manifests, &len);
    if (ref_side_of_manifests(manifests, ret->manifests, len, &key, &ret->a, &ret->rendered, &e) < 0)
        fail(manifests, e.text);
    name_rendered(ret);
    fixture_side(ret->live, &ret->b);
    if (ref_match_sides(&ret->a, &ret->b, &ret->matches) < 0)
        fail(live, "no memory");
    for (size_t i = 0; i < ret->matches.n; i++)
        settle_secret(&ret->matches.items[i]);
}

void fixture_free(struct fixture *f) {
    ref_matches_free(&f->matches);
    ref_side_free(&f->a);
    ref_side_free(&f->b);
    json_decref(f->rendered);
    json_decref(f->live);
    free(f->manifests);
}

/* ---- places */

/* The step at *p, unescaped; *p behind it. */
static void take_step(const char **p, char *out, size_t size) {
    size_t n = 0;
    for ((*p)++; **p && **p != '/' && n + 1 < size; (*p)++) {
        bool escaped = **p == '~' && ((*p)[1] == '0' || (*p)[1] == '1');
        *p += escaped;
        out[n++] = !escaped ? **p : **p == '0' ? '~' : '/';
    }
    out[n] = 0;
}

static json_t *child(json_t *v, const char *step) {
    return json_is_array(v) ? json_array_get(v, strtoul(step, NULL, 10)) : json_object_get(v, step);
}

json_t *place_at(json_t *root, const char *pointer) {
    char step[1024];
    while (root && *pointer) {
        take_step(&pointer, step, sizeof step);
        root = child(root, step);
    }
    return root;
}

void place_below(const char *pointer, const char *step, char *out, size_t size) {
    size_t n = (size_t)snprintf(out, size, "%s/", pointer);
    for (; *step && n + 3 < size; step++) {
        bool escaped = *step == '~' || *step == '/';
        out[n++] = escaped ? '~' : *step;
        if (escaped)
            out[n++] = *step == '~' ? '0' : '1';
    }
    out[n] = 0;
}

void place_element(const char *pointer, size_t index, char *out, size_t size) {
    (void)snprintf(out, size, "%s/%zu", pointer, index);
}

const char *place_step(const char *pointer) {
    const char *step = strrchr(pointer, '/');
    return step ? step + 1 : "";
}

void place_set(json_t *root, const char *pointer, json_t *v) {
    char holder[4096];
    char step[1024];
    const char *last = strrchr(pointer, '/');
    (void)snprintf(holder, sizeof holder, "%.*s", (int)(last - pointer), pointer);
    take_step(&last, step, sizeof step);
    json_t *at = place_at(root, holder);
    int r;
    if (json_is_array(at))
        r = v ? json_array_set_new(at, strtoul(step, NULL, 10), v)
              : json_array_remove(at, strtoul(step, NULL, 10));
    else
        r = v ? json_object_set_new(at, step, v) : json_object_del(at, step);
    if (r < 0)
        fail(pointer, "cannot be set");
}
