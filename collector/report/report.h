/* report: verdicts and facts as text for people and machines. Writers take the documents that gates makes
 * and write to a stream; they decide nothing. Colour only when asked (the caller knows the terminal). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "correlate/facts.h"

enum report_format { REPORT_TABLE, REPORT_JSON, REPORT_YAML, REPORT_MARKDOWN, REPORT_JUNIT };

/* "table", "json", "yaml", "markdown", "junit"; -EINVAL names them. */
int report_format_parse(const char *text, enum report_format *ret, struct err *e) MUST_CHECK;

struct report {
    FILE *to;
    bool colour;
    unsigned width; /* columns to wrap at; 0: never */
};

/* The result of gates_evaluate. Negative as report_json. */
int report_gates(const struct report *r, const json_t *result, enum report_format format) MUST_CHECK;
/* One gate in full, for people. */
void report_explain(const struct report *r, const json_t *result, const char *gate);
/* The result of gates_changes; one of them in full when id is given. Returns false when there is none. */
bool report_changes(const struct report *r, const json_t *changes, const char *id);
bool report_changes_markdown(const struct report *r, const json_t *changes, const char *id);
/* The new states of objects that the rubric calls no changes, with its reasons; nothing when there are none.
 */
void report_noise(const struct report *r, const struct facts *f);
/* What of a stage's timeline is shown. */
struct report_timeline {
    int64_t from, to;   /* 0: from the first phase, to the last */
    int64_t revision;   /* of the release: from its creation to the next one's; 0: any */
    const char *change; /* id of a change: its window; NULL: any */
    bool all;           /* every pod; else those of old revisions are one row a workload */
    bool ascii;         /* no character outside of ASCII */
    enum { REPORT_TIMELINE_GANTT, REPORT_TIMELINE_LIST } as;
};
/* A stage's phases as a Gantt chart of r->width columns (0: 100), or as a list. -ENOENT: it has no such
 * revision or change. */
int report_timeline(const struct report *r, const struct facts *f, const struct report_timeline *how,
                    struct err *e) MUST_CHECK;
/* The same as a document, a new reference. */
int report_timeline_json(const struct facts *f, const struct report_timeline *how, json_t **ret,
                         struct err *e) MUST_CHECK;

/* ---- the recommended architecture. Formats but JSON and YAML, which write the document itself. */

/* What every document begins with. */
struct report_head {
    const char *pilot, *at, *evaluator;
    uint64_t commit;
};

/* Stage objects of Architecture (gates.h) as one document:
 *   {"pilot","at","commit","evaluator","reference":{..} or null,"stages":[stage object],
 *    "rows":[{"id","severity","title","why","source","cells":{STAGE: VERDICT},"tolerated":{STAGE:
 * N}}],"verdict"} rows by severity, then as the reference has them. A new reference in *ret; -ENOMEM. */
int report_compare_make(const struct report_head *h, json_t *stages, json_t **ret) MUST_CHECK;
/* all: also rows that are ok everywhere. Negative as report_json. */
int report_compare(const struct report *r, const json_t *doc, enum report_format format, bool all) MUST_CHECK;
/* Two stages: the document of gates_compare, with what every document begins with. */
int report_between(const struct report *r, const json_t *doc, enum report_format format) MUST_CHECK;
/* {"pilot","at",..,"from","to","stages":[{"stage","moments": as gates_architecture_over gives them, "cut":
 * there are earlier ones, "reason": why there are none}]}; no JUnit: -ENOTSUP. */
int report_over(const struct report *r, const json_t *doc, enum report_format format) MUST_CHECK;

/* ---- building blocks, also for other tables of the CLI */

/* Columns that a text takes on a terminal. */
unsigned report_columns(const char *text);
/* Word-wraps text from column `indent`, first line already there. */
void report_wrapped(const struct report *r, const char *text, unsigned indent);
/* A verdict in its colour, padded to 12 columns. */
void report_verdict(const struct report *r, const char *verdict);
/* One document: JSON, or YAML that conf_yaml_to_json and readers of YAML 1.1 and 1.2 read as the same one;
 * keys in their order. -ENOMEM, or -EIO when `to` takes no more. */
int report_json(FILE *to, const json_t *doc) MUST_CHECK;
int report_yaml(FILE *to, const json_t *doc) MUST_CHECK;
