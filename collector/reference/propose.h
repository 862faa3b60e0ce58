/* propose: expectations that manifests meet already, so that they go on being met. Pure; for init.c. */
#pragma once

#include "reference/reference.h"

/* Adds to `into`, an array, one expectation for each check that all or some objects of the side meet; it is
 * about those that do. source NULL: the manifests. */
int ref_propose(const struct ref_side *s, const char *source, json_t *into, struct err *e) MUST_CHECK;
