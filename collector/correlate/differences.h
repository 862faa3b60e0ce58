/* differences: what one change of an object changed, field by field. Pure: two normal forms in, a list out.
 *
 * Each difference names its place by JSON Pointer (RFC 6901) and, where lists were matched by a key, by the
 * names that a person knows: "/spec/template/spec/containers/0/image" is "gateway". An element of a list
 * that both sides have has its index in the new one, one that was removed its index in the old one. Values
 * are bounded; what the agent reduced to a keyed hash is said to have changed, and the hash is not shown. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/wire.h"

#define DIFF_ITEMS_MAX 200     /* differences of one object that are kept; more are counted */
#define DIFF_VALUE_MAX 240     /* bytes of a value that are kept */
#define DIFF_SECRET "(secret)" /* stands for a keyed hash */
#define DIFF_SECRET_CHANGED "(secret, changed)"

struct difference {
    char *pointer;                 /* owned */
    char *where;                   /* names on the way, "gateway LOG_LEVEL"; "": none; owned */
    char *before, *after;          /* owned; NULL: there was, or is, none */
    bool secret;                   /* values, or parts of them, are keyed hashes and stand as "(secret)" */
    unsigned line_from, line_to;   /* of a text with several lines: which of them differ, before ... */
    unsigned after_from, after_to; /* ... and after; 0: none there */
};

struct differences {
    struct difference *items; /* owned */
    size_t n, cap;
    bool reordered;      /* elements of some list that have keys stand in another order, which is no item */
    uint64_t more;       /* differences beyond DIFF_ITEMS_MAX */
    const char *unknown; /* why it is not known what differs: static text; NULL: it is known */
};

/* From one state of an object to another one of the same kind. -ENOMEM. */
int diff_objects(const Pilotgate__Object *before, const Pilotgate__Object *after, struct differences *ret,
                 struct err *e) MUST_CHECK;
/* The same for two documents in normal form of this kind. */
int diff_normals(const char *kind, const json_t *before, const json_t *after, struct differences *ret,
                 struct err *e) MUST_CHECK;
/* The same, but a map that is there on one side only is told field by field: for rules that are about fields.
 */
int diff_fields(const char *kind, const json_t *before, const json_t *after, struct differences *ret,
                struct err *e) MUST_CHECK;
void diff_free(struct differences *d);

/* Two values, or one of them (NULL: none), as differences show them: bounded, keyed hashes masked. Owned. */
int diff_values(const json_t *before, const json_t *after, char **ret_before, char **ret_after) MUST_CHECK;
