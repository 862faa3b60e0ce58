/* mutate: what lives is changed in one place, and the comparison must say so at this place, or must not say
 * anything. What is right is decided here, without the code that is tested. */
#pragma once

#include <stdio.h>

#include "fixture.h"

struct tally {
    size_t cases, matter, found; /* matter: those that must be found */
    size_t told, right;          /* differences that were told; of them, at the right place */
    size_t excepted;             /* cases that an exception says mean nothing */
};

struct run {
    const struct fixture *f;
    const struct ref_match *pair; /* whose live object is changed */
    const json_t *exceptions;     /* an array; see exceptions.json */
    struct tally tally;
    size_t shown; /* wrong ones */
    FILE *log;
};

enum expectation { NOTHING, AT_THE_PLACE };

/* Two cases: the pair's live object is `mutated` (taken over) at this place, compared with the manifests, and
 * with itself as it was. */
void mutate_try(struct run *r, const char *operation, const char *pointer, json_t *mutated,
                enum expectation expected);
/* One case: the manifests' object is another one. */
void mutate_manifest(struct run *r, const char *operation, const char *pointer, json_t *mutated,
                     enum expectation expected);
/* Counts a case that was decided elsewhere. */
void mutate_count(struct run *r, const char *what, const char *object, bool matters, size_t told,
                  size_t right);

/* cases.c: every leaf, map and list of one pair. */
void mutate_pair(struct run *r);
/* fields.c: fields of the API that the manifests do not set. */
void mutate_fields(struct run *r);
/* whole.c: objects that are missing, there besides or called otherwise; harmless ones of a whole stage. */
void mutate_side(struct run *r);

/* ---- oracle.c: what matters */

/* NULL: no exception. */
const char *oracle_exception(const struct run *r, const char *operation, const char *pointer,
                             const json_t *v);
/* What is expected of two stages, where `expected` is of manifests and a stage. */
enum expectation oracle_between(const struct run *r, const char *operation, const char *pointer,
                                enum expectation expected);
bool oracle_order_matters(const char *kind, const char *pointer);
/* Does leaving out what the manifest has here matter? */
bool oracle_removal_matters(const struct run *r, const char *pointer, const json_t *manifest);
/* Is a difference that was told at `told` one of the change at `pointer`? */
bool oracle_is_right(const char *pointer, const char *told);
/* Another spelling of the value at this place: a new reference; NULL: it has none. */
json_t *oracle_spelling(const char *kind, const char *pointer, const json_t *v);
