/* compare_priv: what the files of `compare` share.
 *
 *   compare_make.c     stage objects of Architecture to the document of `compare`
 *   compare.c          its table: expectations as rows, stages as columns
 *   compare_reasons.c  below it: what is unmet, not known and tolerated, and why
 *   compare_export.c   the same as Markdown and JUnit
 *   compare_between.c  two stages with each other
 *   compare_over.c     how stages moved
 */
#pragma once

#include "report/report_priv.h"

extern const char *const compare_severities[]; /* required, recommended, info; ended by NULL */

/* What a row came out as on a stage. */
enum compare_cell {
    COMPARE_NONE, /* the stage has no such row */
    COMPARE_OK,
    COMPARE_FAIL,
    COMPARE_TOLERATED,
    COMPARE_UNKNOWN,
};
enum compare_cell compare_cell_of(const json_t *row, const char *stage);
const char *compare_cell_word(enum compare_cell cell);
/* Was the stage compared at all? */
bool compare_has_rows(const json_t *stage);
/* On every stage that was compared. */
bool compare_ok_everywhere(const json_t *doc, const json_t *row);
/* Says how many such rows are not shown; nothing for none. */
void compare_folded(FILE *to, size_t n);

/* {stage: {id: finding}} of the stage objects; a new reference, NULL without memory. */
json_t *compare_index(const json_t *doc);

#define COMPARE_MATCH_MAX 24
/* "72 %" of the rows of this severity are met or tolerated; "?": not known, "-": there are none. */
const char *compare_match_text(const json_t *stage, const char *severity, char out[COMPARE_MATCH_MAX]);

/* One difference in words: "Deployment/engine /spec/replicas (container engine): expected >= 2, found 1". */
void compare_difference(FILE *to, const json_t *d);

/* Two columns behind the `used` ones, wrapped; where little room is left there, on lines of its own. */
void compare_text(const struct report *r, unsigned used, const char *text);

/* 0 or -ENOMEM. */
int compare_reasons(const struct report *r, const json_t *doc) MUST_CHECK;
int compare_markdown(const struct report *r, const json_t *doc, bool all) MUST_CHECK;
int compare_junit(const struct report *r, const json_t *doc) MUST_CHECK;
