/* compare_priv: one walk over two objects, shared by compare.c, compare_lists.c and aliases.c. */
#pragma once

#include "base/trail.h"
#include "reference/compare.h"

#define REF_WALK_DEPTH_MAX 64
/* Nodes that are looked at in one object: beyond, lists without order are compared by place and generated
 * names as they are, so that hostile ones cost a bounded time. What is then told may be none; nothing is
 * missed. */
#define REF_WALK_STEPS_MAX 1000000

struct ref_walk {
    struct ref_differences *to; /* NULL: it is only asked whether there is any */
    bool found;                 /* there is one */
    const struct ref_matches *m;
    const struct ref_object *a, *b;
    const char *kind;
    bool exact;
    bool custom; /* a custom resource: the API server drops nothing of it */
    size_t steps;
    const json_t *normal_a, *normal_b; /* both objects, as the newest API says them */
    struct trail at;                   /* the place that is looked at */
};

/* Two values at the walk's place; NULL: not there. -ENOMEM. */
int ref_walk(struct ref_walk *w, const json_t *a, const json_t *b) MUST_CHECK;
/* Two elements, at this index; name: the key by which they were matched, or NULL. */
int ref_walk_at(struct ref_walk *w, size_t index, const char *name, const json_t *a,
                const json_t *b) MUST_CHECK;
int ref_walk_lists(struct ref_walk *w, const json_t *a, const json_t *b) MUST_CHECK;
/* Is there no difference, at the place or (step not NULL) one step below? Nothing is told. */
bool ref_walk_same(struct ref_walk *w, const char *step, const json_t *a, const json_t *b);
int ref_walk_add(struct ref_walk *w, enum ref_what what, const json_t *expected, const json_t *found,
                 bool field) MUST_CHECK;
/* Is it one name on either side? */
bool ref_walk_names(struct ref_walk *w, const char *a, const char *b);
bool ref_walk_leaf(struct ref_walk *w, const json_t *a, const json_t *b);

/* The last step of the place, as it stands in the pointer; "" at the top. */
const char *ref_walk_step(const struct ref_walk *w);

/* The object as the newest version of its API says it, and in one way: a new reference, of the same where
 * nothing is to be done. NULL: out of memory. (aliases.c) */
json_t *ref_modern(const char *kind, const json_t *normal);
