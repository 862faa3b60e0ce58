/* rubric_priv: what the files of this module share. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "rubric/rubric.h"

/* category-8.yaml, compiled in. */
extern const char rubric_text[];
extern const size_t rubric_text_len;

/* tolerate.c: are the entries of this list well formed? NULL: there is none. */
int rubric_check_tolerate(const json_t *list, struct err *e) MUST_CHECK;

/* ignore.c: fills ignores from the document. */
int rubric_read_ignores(struct rubric *r, struct err *e) MUST_CHECK;
