/* holes: what of a stage nobody saw, cannot be read or cannot be believed, for people: what it is, and what
 * to do about it. Pure. Used by `status`. */
#pragma once

#include "correlate/corr.h"

/* [{"stage","what","do"}], the gravest first; a new reference, NULL: out of memory. */
json_t *holes_of_stage(const struct facts *f);
