/* values_priv: what the files of values share: JSON Pointers and patterns of them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What follows in the pointer after the pattern, "" or "/..."; NULL: the pointer does not begin so. A step of
 * the pattern that ends in '*' stands for any step that begins as it does. NULL of either gives NULL. */
const char *ref_pointer_after(const char *pointer, const char *pattern);
/* The whole pointer is as the pattern says. */
bool ref_pointer_is(const char *pointer, const char *pattern);

/* The last steps of a pointer, undecoded: 0 the last one, 1 the one that holds it ...; empty where there is
 * none. */
#define REF_STEPS 4
struct ref_step {
    const char *text;
    size_t len;
};
void ref_last_steps(const char *pointer, struct ref_step out[REF_STEPS]);
bool ref_step_is(const struct ref_step *s, const char *text);
/* One of these, ended by NULL. */
bool ref_step_in(const struct ref_step *s, const char *const *texts);

/* Not of the API server's own groups: "HTTPRoute.gateway.networking.k8s.io". Kinds of the built-in groups
 * have no dot, whichever group they are of. */
bool ref_is_custom(const char *kind);

/* A text or number as a quantity. */
bool ref_as_quantity(const json_t *v, __int128 *ret);

#define REF_POINTER_MAX 1024 /* of a place that is looked up; longer ones are neither default nor added */

/* A key as a step of a pointer, with ~ and / escaped. false: it does not fit. */
bool ref_escape_step(const char *key, char *out, size_t size);

/* fn for each member of a map, or each element of a list of maps; false as soon as it is, or where there is
 * none. */
typedef bool ref_below_fn(const void *ctx, const char *pointer, const json_t *value);
bool ref_each_below(const char *pointer, const json_t *value, ref_below_fn *fn, const void *ctx);

/* Is the value what a row of the tables says: a scalar as text, or JSON of a list or map? (defaults.c) */
bool ref_is_written(const json_t *v, const char *text);
bool ref_custom_default(const char *kind, const char *pointer, const json_t *value); /* (defaults_custom.c) */
