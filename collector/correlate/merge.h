/* merge: which element of one list is which of another one. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* Are the elements of a list in this field known by a key, each by another one? Then *ret_old and *ret_new
 * are maps from the key, as a person reads it, to the place in the list; new references, NULL: no memory. */
bool merge_by_key(const char *field, const json_t *before, const json_t *after, json_t **ret_old,
                  json_t **ret_new);
