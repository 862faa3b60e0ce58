/* report: verdicts and facts as text for people and machines. Writers take the documents that gates makes
 * and write to a stream; they decide nothing. Colour only when asked (the caller knows the terminal). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "correlate/facts.h"

enum report_format { REPORT_TABLE, REPORT_JSON, REPORT_MARKDOWN, REPORT_JUNIT };

/* "table", "json", "markdown", "junit"; -EINVAL names them. */
int report_format_parse(const char *text, enum report_format *ret, struct err *e) MUST_CHECK;

struct report {
    FILE *to;
    bool colour;
    unsigned width; /* columns to wrap at; 0: never */
};

/* The result of gates_evaluate. */
void report_gates(const struct report *r, const json_t *result, enum report_format format);
/* One gate in full, for people. */
void report_explain(const struct report *r, const json_t *result, const char *gate);
/* The result of gates_changes; one of them in full when id is given. Returns false when there is none. */
bool report_changes(const struct report *r, const json_t *changes, const char *id);
bool report_changes_markdown(const struct report *r, const json_t *changes, const char *id);
/* The new states of objects that the rubric calls no changes, with its reasons; nothing when there are none.
 */
void report_noise(const struct report *r, const struct facts *f);
/* A stage's phases as a Gantt. */
void report_timeline(const struct report *r, const struct facts *f);

/* ---- building blocks, also for other tables of the CLI */

/* Word-wraps text from column `indent`, first line already there. */
void report_wrapped(const struct report *r, const char *text, unsigned indent);
/* A verdict in its colour, padded to 12 columns. */
void report_verdict(const struct report *r, const char *verdict);
void report_json(const struct report *r, const json_t *doc);
