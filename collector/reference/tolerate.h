/* tolerate: which TOLERANCE a difference falls under. Pure; for evaluate.c and between.c. */
#pragma once

#include "reference/compare.h"

struct ref_tolerating {  /* borrowed */
    const json_t *rules; /* `tolerate` of a reference; NULL: none */
    const struct ref_side *live;
    const char *stage; /* "cluster/namespace" */
    int64_t now_ns;
};
/* The first one that is in force, borrowed, or NULL; *ret_over: one that would be, were it not over
 * (untouched when there is none). row: the id of the difference's row; NULL: it is of none, and tolerances by
 * expectation do not count. */
const json_t *ref_tolerance(const struct ref_tolerating *t, const char *row, const struct ref_difference *d,
                            const json_t **ret_over);
