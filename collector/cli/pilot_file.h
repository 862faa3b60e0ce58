/* pilot_file: the pilot as people write it (YAML), checked, as the document that is stored. */
#pragma once

#include <jansson.h>

#include "base/err.h"

/* {"name","begin","begin_ns","end","end_ns","stages":[{"stage","agents","gateway"...}],"rubric"}; begin is
 * left out when the file does not name it. A new reference. Errors name file, place and what to do. */
int pilot_file_load(const char *path, json_t **ret, struct err *e) MUST_CHECK;
