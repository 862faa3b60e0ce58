/* report_priv: what the writers share. */
#pragma once

#include "report/report.h"

/* exposure.c: parts of a change, and of a stage, for people; each writes nothing when there is nothing. */
void report_switches(const struct report *r, const json_t *change);
void report_background(const struct report *r, const json_t *measured, const char *indent);
void report_supersedes(const struct report *r, const json_t *stage);
