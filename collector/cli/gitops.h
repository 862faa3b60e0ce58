/* gitops: what `pilotgate status` says of owners that are suspended or have drifted. */
#pragma once

#include <jansson.h>

#include "correlate/corr.h"

/* Adds {"stage","owner","what"} for each. */
int cli_gitops_notes(const struct corr *corr, const struct facts *f, json_t *list, struct err *e) MUST_CHECK;
