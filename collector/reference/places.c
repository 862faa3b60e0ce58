/* places: JSON Pointers with "*", globs, and what they name in an object. Pure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

const char *ref_step(const char *pointer, char *step, size_t size) {
    const char *p = *pointer == '/' ? pointer + 1 : pointer;
    size_t n = 0;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~' && (p[1] == '0' || p[1] == '1'))
            c = *++p == '0' ? '~' : '/';
        if (n + 1 < size)
            step[n++] = c;
    }
    step[n] = 0;
    return p;
}

/* ---- walking */

struct walk {
    ref_place_fn *fn;
    void *ctx;
    char pointer[REF_AT_MAX], where[REF_AT_MAX];
};

static int walk(struct walk *w, const json_t *node, const char *rest);

void ref_pointer_add(char *out, size_t size, const char *step) {
    size_t n = strlen(out);
    for (const char *s = step; *s && n + 3 < size; s++)
        if (*s == '~' || *s == '/') {
            out[n++] = '~';
            out[n++] = *s == '~' ? '0' : '1';
        } else {
            out[n++] = *s;
        }
    out[n] = 0;
}

/* One step down; what was added to pointer and names is taken off again. */
static int walk_child(struct walk *w, const char *step, const json_t *child, bool element, const char *rest) {
    size_t pointer = strlen(w->pointer);
    size_t where = strlen(w->where);
    if (pointer + 1 < sizeof w->pointer) {
        w->pointer[pointer] = '/';
        w->pointer[pointer + 1] = 0;
        ref_pointer_add(w->pointer, sizeof w->pointer, step);
    }
    const char *name = element ? js_str(child, "name", "") : "";
    if (*name)
        (void)snprintf(w->where + where, sizeof w->where - where, "%s%s", where ? " " : "", name);
    int r = walk(w, child, rest);
    w->pointer[pointer] = 0;
    w->where[where] = 0;
    return r;
}

static int walk_all(struct walk *w, const json_t *node, const char *rest) {
    const char *key;
    json_t *child;
    size_t i;
    char step[24];
    int r = 0;
    json_array_foreach((json_t *)node, i, child) {
        (void)snprintf(step, sizeof step, "%zu", i);
        r = walk_child(w, step, child, true, rest);
        if (r < 0)
            return r;
    }
    json_object_foreach((json_t *)node, key, child) {
        r = walk_child(w, key, child, false, rest);
        if (r < 0)
            return r;
    }
    return r;
}

static const json_t *element_of(const json_t *list, const char *step) {
    size_t digits = strspn(step, "0123456789");
    size_t i = 0;
    if (digits == 0 || digits > 6 || step[digits])
        return NULL;
    for (const char *s = step; *s; s++)
        i = 10 * i + (size_t)(*s - '0');
    return json_array_get(list, i);
}

static int walk(struct walk *w, const json_t *node, const char *rest) {
    char step[REF_AT_MAX];
    if (!*rest) {
        struct ref_place p = {json_is_null(node) ? NULL : node, w->pointer, w->where};
        return w->fn(w->ctx, &p);
    }
    const char *below = ref_step(rest, step, sizeof step);
    if (strcmp(step, "*") == 0 && (json_array_size(node) || json_object_size(node)))
        return walk_all(w, node, below);
    const json_t *child = json_is_array(node) ? element_of(node, step) : json_object_get(node, step);
    return walk_child(w, step, child, json_is_array(node), below);
}

int ref_places(const json_t *object, const char *at, ref_place_fn *fn, void *ctx) {
    struct walk w = {.fn = fn, .ctx = ctx};
    return walk(&w, object, at);
}

bool ref_pointer_below(const char *pointer, const char *under) {
    char step[REF_AT_MAX], wanted[REF_AT_MAX];
    while (*under) {
        if (!*pointer)
            return false;
        pointer = ref_step(pointer, step, sizeof step);
        under = ref_step(under, wanted, sizeof wanted);
        if (strcmp(wanted, "*") != 0 && strcmp(wanted, step) != 0)
            return false;
    }
    return true;
}

/* ---- globs */

bool ref_glob_any(const json_t *globs, const char *text) {
    size_t i;
    json_t *glob;
    if (!globs || json_is_string(globs))
        return !globs || word_glob(json_string_value(globs), text);
    json_array_foreach((json_t *)globs, i, glob) {
        if (word_glob(json_string_value(glob), text))
            return true;
    }
    return false;
}

bool ref_name_other(const struct ref_side *s, const char *relative, char *out, size_t size) {
    static const char word[] = "{release}";
    const char *at = strstr(relative, word);
    if (!at || !s->release || !s->chart || !*s->chart)
        return false;
    const char *rest = at + sizeof word - 1;
    size_t n = strlen(s->chart);
    if (strstr(s->release, s->chart)) {
        (void)snprintf(out, size, "%.*s-%s%s", (int)(rest - relative), relative, s->chart, rest);
        return true;
    }
    if (*rest != '-' || strncmp(rest + 1, s->chart, n) != 0 || (rest[1 + n] && rest[1 + n] != '-'))
        return false;
    (void)snprintf(out, size, "%.*s%s", (int)(rest - relative), relative, rest + 1 + n);
    return true;
}

bool ref_glob_object(const struct ref_side *s, const char *glob, const char *kind, const char *name) {
    char relative[REF_NAME_MAX], text[3 * REF_NAME_MAX];
    (void)snprintf(text, sizeof text, "%s%s%s", kind, *kind ? "/" : "", name);
    if (word_glob(glob, text))
        return true;
    if (!ref_name_relative(s, name, relative, sizeof relative))
        return false;
    (void)snprintf(text, sizeof text, "%s%s%s", kind, *kind ? "/" : "", relative);
    if (word_glob(glob, text))
        return true;
    char other[2 * REF_NAME_MAX];
    if (!ref_name_other(s, relative, other, sizeof other))
        return false;
    (void)snprintf(text, sizeof text, "%s%s%s", kind, *kind ? "/" : "", other);
    return word_glob(glob, text);
}

json_t *ref_json_text(const char *text) {
    json_t *v = json_string(text);
    char *copy = v ? NULL : strdup(text);
    if (!copy)
        return v;
    for (char *c = copy; *c; c++)
        *c = *c & 0x80 ? '?' : *c;
    v = json_string(copy);
    free(copy);
    return v;
}
