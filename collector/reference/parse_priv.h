/* parse_priv: what parse.c and parse_expect.c share. Each ref_parse_fn says whether a value is what its name
 * says; -EINVAL leaves the pointer at the place. */
#pragma once

#include "reference/reference_priv.h"

#define REF_TEXT_MAX 2000 /* bytes of a why, a reason ... */

struct ref_parse {
    char *pointer; /* REF_AT_MAX bytes: where it is looked at */
    struct err *e;
    bool loaded; /* no file is named any more */
    int nots;    /* selectors that are entered */
};
typedef int ref_parse_fn(struct ref_parse *p, const json_t *v);
struct ref_field { /* of a mapping; ended by name == NULL */
    const char *name;
    ref_parse_fn *fn;
    bool required;
};

int ref_parse_say(struct ref_parse *p, const char *fmt, ...) PRINTF_LIKE(2, 3); /* -EINVAL with the text */
/* Steps down; returns the length to cut the pointer back to. */
size_t ref_parse_enter(struct ref_parse *p, const char *step);
/* what: "a condition", for messages. */
int ref_parse_mapping(struct ref_parse *p, const json_t *v, const char *what, const struct ref_field *fields);
int ref_parse_list_of(struct ref_parse *p, const json_t *v, const char *of, size_t max, ref_parse_fn *fn);
int ref_parse_one_or_list(struct ref_parse *p, const json_t *v, const char *of, ref_parse_fn *fn);
/* Exactly one of these keys? */
int ref_parse_exactly_one(struct ref_parse *p, const json_t *v, const char *what, const char *const *forms);
bool ref_parse_is_among(const char *text, const char *const *words);

int ref_parse_text_upto(struct ref_parse *p, const json_t *v, size_t max);
ref_parse_fn ref_parse_text, ref_parse_id, ref_parse_boolean, ref_parse_key_id, ref_parse_anything,
    ref_parse_severity, ref_parse_glob, ref_parse_globs, ref_parse_pointer;
ref_parse_fn ref_parse_expectation;
