/* compare: which object of one side is which of the other (match.c), and where two of them differ
 * (compare.c). Pure.
 *
 * Matching, of one kind each: release-relative name; else a name that differs in a generated suffix only;
 * else the same labels (but for those of tools) where they are the only ones on either side. Each object is
 * matched once.
 *
 * Walking: lists by the keys of correlate/merge.h, lists of texts whose order means nothing as sets, leaves
 * by values.h, texts by names.h, selectors by what they select, older versions of the API as newer ones
 * (aliases.c). Order where order means something (args,
 * command, initContainers, httpGet headers ...) is compared. subset (a SET against a live stage): what the
 * reference says must be there ("missing", "different"). What it does not say is "extra": an element of a
 * keyed list, a key of data, labels of a selector, nodeSelector or a field that is neither default nor added
 * by tools (values.h). exact (two stages): every field of both.
 */
#pragma once

#include "reference/names.h"
#include "reference/reference.h"
#include "reference/values.h"

#define REF_VALUE_MAX 240 /* bytes of an expected or found text that are kept */

enum ref_what { REF_MISSING, REF_DIFFERENT, REF_EXTRA, REF_UNMET, REF_UNKNOWN };
const char *ref_what_name(enum ref_what w);

struct ref_difference {
    enum ref_what what;
    char object[2 * REF_NAME_MAX];
    char *pointer, *where;         /* owned; "" where there is none */
    char *expected, *found;        /* owned; NULL: none. What is secret stands as "(secret)" */
    const struct ref_object *of;   /* the live one (b's); NULL: there is none */
    const struct ref_object *of_a; /* of the reference, or a's */
    bool field; /* of REF_EXTRA: a field that nobody asked for, of the SET's row "extra fields" */
};
struct ref_differences {
    struct ref_difference *items; /* owned */
    size_t n, cap;
    size_t more; /* beyond REF_DIFFERENCES_KEPT */
};
#define REF_DIFFERENCES_KEPT 500 /* of one object or expectation */
/* Texts are copied; NULL for none. -ENOMEM. */
int ref_differences_add(struct ref_differences *d, enum ref_what what, const struct ref_object *of,
                        const char *object, const char *pointer, const char *where, const json_t *expected,
                        const json_t *found) MUST_CHECK;
/* Moves *x, which is of another list, to this one. -ENOMEM: it is freed. */
int ref_differences_take(struct ref_differences *d, struct ref_difference *x) MUST_CHECK;
void ref_differences_free(struct ref_differences *d);

/* Is it an object that somebody configured? Not what agents tell of a state (releases, endpoints, tools), nor
 * what a controller made from another object. */
bool ref_is_configuration(const struct ref_object *o);

struct ref_match { /* a NULL: extra; b NULL: missing */
    const struct ref_object *a, *b;
};
struct ref_matches {
    struct ref_match *items; /* owned; by a's kind and name, then the extra ones */
    size_t n, cap;
    struct ref_names plain; /* of both sides' release, chart and namespace */
    struct ref_names names; /* and with what the matches themselves say */
    bool one_place;         /* both sides have the same release and namespace */
    bool other_key;         /* a is a SET, and its hashes are not known to be of the key that b's are of */
};
int ref_match_sides(const struct ref_side *a, const struct ref_side *b, struct ref_matches *ret) MUST_CHECK;
void ref_matches_free(struct ref_matches *m);
/* A name of a as b would write it; false: it does not fit. */
bool ref_name_there(const struct ref_matches *m, const char *name, char *out, size_t size);

/* exact: of two stages. Both objects are known (normal is not NULL). */
int ref_compare_objects(const struct ref_matches *m, const struct ref_object *a, const struct ref_object *b,
                        bool exact, struct ref_differences *ret) MUST_CHECK;
