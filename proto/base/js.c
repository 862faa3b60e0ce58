/* js: see js.h. */
#include "base/js.h"

#include <errno.h>
#include <string.h>

int js_parse(const char *text, size_t len, size_t max, json_t **ret, struct err *e) {
    if (len > max || len > JS_TEXT_MAX)
        return err_set(e, -EMSGSIZE, "JSON document of %zu bytes is over the limit of %zu", len, max);
    json_error_t je;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!root) { /* without "near '...'": the text may be a Secret's */
        char *near = strstr(je.text, " near ");
        if (near)
            *near = 0;
        return err_set(e, -EBADMSG, "not JSON: %s (line %d, column %d)", je.text, je.line, je.column);
    }
    *ret = root;
    return 0;
}

/* Copies one step of the path into key, decoding ~0 and ~1 of RFC 6901; returns the rest or NULL. */
static const char *next_step(const char *p, char sep, char *key, size_t size) {
    size_t n = 0;
    while (*p && *p != sep) {
        char c = *p++;
        if (sep == '/' && c == '~' && (*p == '0' || *p == '1'))
            c = *p++ == '0' ? '~' : '/';
        if (n + 1 >= size)
            return NULL;
        key[n++] = c;
    }
    key[n] = 0;
    return *p ? p + 1 : p;
}

static json_t *step_into(const json_t *at, const char *key) {
    if (json_is_object(at))
        return json_object_get(at, key);
    if (!json_is_array(at) || !*key)
        return NULL;
    size_t i = 0;
    for (const char *p = key; *p; p++) {
        if (*p < '0' || *p > '9' || i > 1000000)
            return NULL;
        i = i * 10 + (size_t)(*p - '0');
    }
    return json_array_get(at, i);
}

json_t *js_at(const json_t *root, const char *path) {
    const char sep = *path == '/' ? '/' : '.';
    const char *p = *path == '/' ? path + 1 : path;
    const json_t *at = root;
    for (int i = 0; at && *p && i < JS_PATH_MAX; i++) {
        char key[256];
        p = next_step(p, sep, key, sizeof key);
        if (!p)
            return NULL;
        at = step_into(at, key);
    }
    return *p ? NULL : (json_t *)at;
}

const char *js_str(const json_t *root, const char *path, const char *fallback) {
    const char *s = json_string_value(js_at(root, path));
    return s ? s : fallback;
}

int64_t js_int(const json_t *root, const char *path, int64_t fallback) {
    const json_t *v = js_at(root, path);
    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_real(v) && json_real_value(v) > -9e18 && json_real_value(v) < 9e18)
        return (int64_t)json_real_value(v);
    return fallback;
}

bool js_bool(const json_t *root, const char *path, bool fallback) {
    const json_t *v = js_at(root, path);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

char *js_canonical(const json_t *root) {
    return json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
}
