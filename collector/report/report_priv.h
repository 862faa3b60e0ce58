/* report_priv: what the writers share. */
#pragma once

#include "report/report.h"

#define REPORT_LIST_MAX 40 /* lines of one list; the rest is counted and left to -o json */

/* exposure.c: parts of a change, and of a stage, for people; each writes nothing when there is nothing. */
void report_switches(const struct report *r, const json_t *change);
void report_background(const struct report *r, const json_t *measured, const char *indent);
void report_supersedes(const struct report *r, const json_t *stage);

/* explain_deployment.c, explain_rollback.c: what a stage of these gates has besides. */
void report_deployment(const struct report *r, const json_t *stage);
void report_rollbacks(const struct report *r, const json_t *list);
