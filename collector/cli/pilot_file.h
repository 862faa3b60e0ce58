/* pilot_file: the pilot as people write it (YAML), checked, as the document that is stored. */
#pragma once

#include <jansson.h>

#include "base/err.h"

#define PILOT_REFERENCES_MAX 16

/* {"name","begin","begin_ns","end","end_ns","stages":[{"stage","agents","gateway"...}],"rubric",
 * "architecture":{"reference","tolerate"}}; begin is left out when the file does not name it. A new
 * reference. Errors name file, place and what to do. */
int pilot_file_load(const char *path, json_t **ret, struct err *e) MUST_CHECK;

/* Loads what `architecture` names (files relative to the pilot's file at path), as one reference, and puts
 * {"use":[NAME],"digest","keyed"} in its place. key_file: the pilot's key, or NULL. *ret: the document that
 * is to be stored under the digest, a new reference; NULL: the pilot names none. */
int pilot_reference(const char *path, json_t *doc, const char *key_file, json_t **ret,
                    struct err *e) MUST_CHECK;
