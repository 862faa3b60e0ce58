/* items: a list of the API as it arrives, element by element, so that no list is ever held, whatever its
 * size; and what may be said of a JSON text without parsing it. Pure: no I/O, no state but its own.
 *
 *   {"kind": ..., "metadata": {...}, "items": [ {...}, {...} ], ...}
 *                  kept (meta)                 each handed over (fn)
 *
 * The members may come in any order: Go's encoder writes metadata first for built-in kinds, and items before
 * metadata for custom resources (an unstructured list is a map, written with sorted keys).
 *
 * Limits, and why they are what they are:
 *   KUBE_OBJECT_MAX  text of one object. etcd takes no request over 1.5 MiB (--max-request-bytes), the API
 *                    server no body over 3 MiB (k8s.io/apiserver pkg/server/config.go, MaxRequestBodyBytes);
 *                    3 MiB is what etcd can hold even when every byte of it has to be escaped
 *   KUBE_NODES_MAX   marks of one object: brackets, commas and colons, of which a value has one or two. An
 *                    empty object is two bytes of text and some 230 bytes of tree: 3 MiB of them would be
 *                    240 MiB. With the limit a tree takes 15 MiB at most, and its normal form as much. The
 *                    largest real ones (an Application of Argo CD with thousands of resources in its status,
 *                    a ConfigMap of thousands of keys with managedFields) have some ten thousand values
 *   KUBE_META_MAX    metadata of a list: two texts, of which `continue` is a key of etcd in base64
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define KUBE_OBJECT_MAX (3u << 20)
#define KUBE_NODES_MAX 131072
#define KUBE_META_MAX (64u << 10)
#define KUBE_PEEK_MAX 254 /* of each text, with NUL */

/* One element, NUL-terminated. whole: false when it is longer than KUBE_OBJECT_MAX, and text is its
 * beginning. Borrowed for the call; negative ends the feeding. */
typedef int kube_item_fn(void *ctx, char *text, size_t len, bool whole, struct err *e);

/* Where in a JSON value the last byte was. */
struct kube_extent {
    unsigned depth; /* open brackets */
    bool text, escape, scalar;
};

struct kube_items {
    kube_item_fn *fn;
    void *ctx;
    struct buf item, meta;
    struct kube_extent in;
    int at;       /* of items.c */
    char key[16]; /* member under way; "": one that is longer */
    size_t n_key;
    bool first; /* nothing came since the bracket opened */
    bool whole; /* of the element under way */
    bool has_items, has_meta;
};

void kube_items_init(struct kube_items *l, kube_item_fn *fn, void *ctx);
/* -EBADMSG: not the JSON of a list; -ENOMEM; otherwise the callback's error. After an error: begin anew. */
int kube_items_feed(struct kube_items *l, const char *data, size_t len, struct err *e) MUST_CHECK;
/* Whether the document is complete and has items; l->meta holds the text of its metadata then, "" for none.
 */
bool kube_items_complete(const struct kube_items *l);
/* Frees; keeps fn. */
void kube_items_free(struct kube_items *l);

/* The marks of a text, brackets that open, commas and colons outside of strings, and one: it has no more
 * values than that. */
size_t kube_items_nodes(const char *text, size_t len);

/* What the beginning of an object says of it, or of a watch event around one; "" for what is not there, or
 * is no plain text. */
struct kube_peek {
    char type[16]; /* of an event */
    char name[KUBE_PEEK_MAX];
    char uid[KUBE_PEEK_MAX];
    char rv[KUBE_PEEK_MAX];
};
void kube_items_peek(const char *text, size_t len, bool event, struct kube_peek *ret);
