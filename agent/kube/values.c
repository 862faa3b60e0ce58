/* values: what a user gave a chart or a kustomization, made fit to be told (norm_values): no text leaves but
 * as keyed hash, by which revisions and stages compare. Names of keys are told, but for those that look like
 * tokens. See kube_priv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/kube_priv.h"

#define DEPTH_MAX 32
#define POINTER_MAX 512 /* a longer one is told by its hash */

/* ---- by JSON Pointer (RFC 6901) */

struct listing {
    const struct norm_key *key;
    json_t *out;
    size_t left; /* bytes that may still be told */
    bool cut;
    bool failed; /* out of memory */
};

static void list_value(struct listing *l, const char *pointer, size_t len, json_t *value) {
    char hex[NORM_HEX_MAX];
    char hashed[NORM_HEX_MAX + 8];
    size_t cost = len + 16 + (json_is_string(value) ? json_string_length(value) : 8);
    if (cost > l->left) {
        l->cut = true;
        return;
    }
    l->left -= cost;
    if (len >= POINTER_MAX) {
        (void)snprintf(hashed, sizeof hashed, "/keyed:%s", norm_hash(l->key, pointer, len, hex));
        pointer = hashed;
    }
    l->failed |= json_object_set(l->out, pointer, value) < 0;
}

/* One step of a pointer: '~' and '/' escaped; a name that looks like a token by its hash. */
static int add_step(struct listing *l, struct buf *pointer, const char *name) {
    char hex[NORM_HEX_MAX];
    size_t n = strlen(name);
    if (buf_adds(pointer, "/") < 0)
        return -1;
    if (kube_words_random(name, n))
        return buf_addf(pointer, "keyed:%.16s", norm_hash(l->key, name, n, hex));
    for (const char *p = name; *p; p++)
        if (*p == '~' || *p == '/' ? buf_adds(pointer, *p == '~' ? "~0" : "~1") < 0
                                   : buf_add(pointer, p, 1) < 0)
            return -1;
    return 0;
}

static void list_node(struct listing *l, struct buf *pointer, json_t *node, int depth);

static void list_child(struct listing *l, struct buf *pointer, const char *name, json_t *child, int depth) {
    size_t len = pointer->len;
    if (add_step(l, pointer, name) < 0)
        l->cut = true; /* too long a pointer */
    else
        list_node(l, pointer, child, depth + 1);
    pointer->len = len;
    pointer->data[len] = 0;
}

static void list_node(struct listing *l, struct buf *pointer, json_t *node, int depth) {
    const char *name;
    json_t *child;
    char index[24];
    if (depth > DEPTH_MAX || (json_object_size(node) == 0 && json_array_size(node) == 0)) {
        l->cut |= depth > DEPTH_MAX;
        list_value(l, buf_str(pointer), pointer->len, node);
        return;
    }
    json_object_foreach(node, name, child) {
        list_child(l, pointer, name, child, depth);
    }
    for (size_t i = 0; i < json_array_size(node); i++) {
        (void)snprintf(index, sizeof index, "%zu", i);
        list_child(l, pointer, index, json_array_get(node, i), depth);
    }
}

json_t *kube_values_list(const struct norm_key *key, const json_t *values, size_t max, bool *ret_cut) {
    struct listing l = {.key = key, .out = json_object(), .left = max};
    struct buf pointer = BUF_INIT(8192);
    json_t *form = values ? norm_values(key, values) : json_object(); /* Helm writes no empty config */
    l.failed = !l.out || !form || buf_adds(&pointer, "") < 0 || buf_reserve(&pointer, 1) < 0;
    if (!l.failed && (json_object_size(form) || json_array_size(form)))
        list_node(&l, &pointer, form, 0);
    buf_free(&pointer);
    json_decref(form);
    if (l.failed) {
        json_decref(l.out);
        return NULL;
    }
    *ret_cut = l.cut;
    return l.out;
}
