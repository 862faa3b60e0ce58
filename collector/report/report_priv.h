/* report_priv: what the writers share. */
#pragma once

#include "report/report.h"

#define REPORT_LIST_MAX 40 /* lines of one list; the rest is counted and left to -o json */

/* change.c: one change in full, and blocks that explain.c shares. */
void report_change(const struct report *r, const json_t *change);
/* change.c: one difference of an object. */
void report_difference(const struct report *r, int indent, const json_t *d);
void report_heading(const struct report *r, const char *text);
void report_rest(const struct report *r, size_t n,
                 const char *indent); /* "... and N more", if more than shown */
void report_measured(const struct report *r, const json_t *measured, const char *indent);
void report_strings(const struct report *r, const char *title, const json_t *list);
/* text.c. n bytes of a cluster's text; what a terminal would obey becomes '?'. */
void report_plain(FILE *to, const char *text, size_t n);
/* Bytes of the text that take at most so many columns. */
size_t report_bytes(const char *text, unsigned columns);
/* In so many columns, filled with spaces; what was cut shows. 0: all of it. */
void report_cut(const struct report *r, const char *text, unsigned room);
/* report.c: text of others inside a Markdown table. */
void report_markdown_cell(FILE *to, const char *s);
/* report.c: text of others inside an XML element or attribute. */
void report_xml(FILE *to, const char *s);

/* exposure.c: parts of a change, and of a stage, for people; each writes nothing when there is nothing. */
void report_switches(const struct report *r, const json_t *change);
void report_background(const struct report *r, const json_t *measured, const char *indent);
void report_supersedes(const struct report *r, const json_t *stage);

/* explain_deployment.c, explain_rollback.c, explain_architecture.c: what a stage of these gates has besides.
 */
void report_deployment(const struct report *r, const json_t *stage);
void report_rollbacks(const struct report *r, const json_t *list);
void report_architecture(const struct report *r, const json_t *stage);
void report_architecture_markdown(const struct report *r, const json_t *gate);
