/* compare_reasons: below the table of `compare`: each row that is unmet or not known on some stage, with its
 * reason and first differences there, then what is tolerated and by whom, and where to read on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/compare_priv.h"

#define ROOM_LEAST 32       /* columns that a text needs beside what it is of */
#define GAP 2               /* columns before it */
#define OWN_LINE 8          /* column at which it begins on a line of its own */
#define DIFFERENCES_SHOWN 3 /* of a row on a stage; `explain architecture` has them all */

static void plain(FILE *to, const char *text) {
    report_plain(to, text, strlen(text));
}

/* "Deployment/engine /spec/replicas (container engine)" */
static void place(FILE *to, const json_t *d) {
    const char *where = js_str(d, "where", ""), *pointer = js_str(d, "pointer", "");
    plain(to, js_str(d, "object", ""));
    (void)fputs(*pointer ? " " : "", to);
    plain(to, pointer);
    if (*where) {
        (void)fputs(" (", to);
        plain(to, where);
        (void)fputc(')', to);
    }
}

/* "expected >= 2, found 1", "missing, expected at least one" */
static void values(FILE *to, const json_t *d) {
    const char *what = js_str(d, "what", ""), *between = "";
    const char *expected = js_str(d, "expected", NULL), *found = js_str(d, "found", NULL);
    bool obvious = (expected || found) && (strcmp(what, "unmet") == 0 || strcmp(what, "different") == 0);
    if (!obvious) {
        (void)fputs(what, to);
        between = ", ";
    }
    if (expected) {
        (void)fprintf(to, "%sexpected ", between);
        plain(to, expected);
        between = ", ";
    }
    if (found) {
        (void)fprintf(to, "%sfound ", between);
        plain(to, found);
    }
}

void compare_difference(FILE *to, const json_t *d) {
    place(to, d);
    (void)fputs(": ", to);
    values(to, d);
}

/* What a writer writes, as a text; NULL without memory. Free it. */
static char *text_of(void (*write)(FILE *, const json_t *), const json_t *d) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return NULL;
    write(to, d);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* On one line where it fits, else the values below the place. */
static void difference(const struct report *r, unsigned indent, const json_t *d) {
    char *where = text_of(place, d), *what = text_of(values, d);
    if (where && what) {
        bool fits = r->width == 0 || indent + report_columns(where) + 2 + report_columns(what) <= r->width;
        (void)fprintf(r->to, "%*s", (int)indent, "");
        if (fits) {
            (void)fprintf(r->to, "%s: ", where);
        } else {
            report_wrapped(r, where, indent);
            (void)fprintf(r->to, "%*s", (int)indent + 2, "");
        }
        report_wrapped(r, what, indent + 2);
    }
    free(where);
    free(what);
}

void compare_folded(FILE *to, size_t n) {
    if (n)
        (void)fprintf(to, "\n%zu %s ok on every stage that was compared: --all shows %s\n", n,
                      n == 1 ? "row is" : "rows are", n == 1 ? "it" : "them");
}

void compare_text(const struct report *r, unsigned used, const char *text) {
    bool narrow = r->width && used + GAP + ROOM_LEAST > r->width;
    (void)fprintf(r->to, narrow ? "\n%*s" : "%*s", narrow ? OWN_LINE : GAP, "");
    report_wrapped(r, text, narrow ? OWN_LINE : used + GAP);
}

static const json_t *finding_of(const json_t *index, const char *stage, const char *id) {
    return json_object_get(json_object_get(index, stage), id);
}

/* ---- one row on one stage */

static void differences(const struct report *r, const json_t *finding, unsigned indent, bool tolerated) {
    int64_t more = tolerated ? 0 : js_int(finding, "more", 0);
    unsigned shown = 0;
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(finding, "differences"), i, d) {
        if ((json_object_get(d, "tolerated") != NULL) != tolerated)
            continue;
        if (shown++ < DIFFERENCES_SHOWN)
            difference(r, indent, d);
        else
            more++;
    }
    if (more)
        (void)fprintf(r->to, "%*s... and %lld more\n", (int)indent, "", (long long)more);
}

/* A reason that begins with the first difference's object tells no more than the differences do. */
static bool is_said_below(const json_t *finding) {
    const char *object = js_str(json_array_get(json_object_get(finding, "differences"), 0), "object", "");
    return *object && strncmp(js_str(finding, "reason", ""), object, strlen(object)) == 0;
}

static void stage_line(const struct report *r, const char *stage, enum compare_cell cell,
                       const json_t *finding) {
    (void)fprintf(r->to, "    %s  %s", stage, compare_cell_word(cell));
    if (is_said_below(finding))
        (void)fputc('\n', r->to);
    else
        compare_text(r, 6 + report_columns(stage) + report_columns(compare_cell_word(cell)),
                     js_str(finding, "reason", ""));
    differences(r, finding, 6, false);
}

/* ---- all rows */

static void row_head(const struct report *r, const json_t *row) {
    (void)fprintf(r->to, "  %s  %s", js_str(row, "severity", ""), js_str(row, "id", ""));
    compare_text(r, 4 + report_columns(js_str(row, "severity", "")) + report_columns(js_str(row, "id", "")),
                 js_str(row, "title", ""));
}

static void row_of(const struct report *r, const json_t *index, const json_t *row, enum compare_cell cell) {
    const char *stage;
    json_t *verdict;
    bool begun = false;
    json_object_foreach(json_object_get(row, "cells"), stage, verdict) {
        if (compare_cell_of(row, stage) != cell)
            continue;
        if (!begun)
            row_head(r, row);
        begun = true;
        stage_line(r, stage, cell, finding_of(index, stage, js_str(row, "id", "")));
    }
}

static bool any_cell(const json_t *doc, enum compare_cell cell) {
    size_t i;
    json_t *row, *verdict;
    const char *stage;
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        json_object_foreach(json_object_get(row, "cells"), stage, verdict) {
            if (compare_cell_of(row, stage) == cell)
                return true;
        }
    }
    return false;
}

static void rows_with(const struct report *r, const json_t *doc, const json_t *index, enum compare_cell cell,
                      const char *title) {
    size_t i;
    json_t *row;
    if (!any_cell(doc, cell))
        return;
    report_heading(r, title);
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        row_of(r, index, row, cell);
    }
}

/* ---- what is tolerated: also beside what is not, on one row */

static void tolerances(const struct report *r, const json_t *finding) {
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(finding, "tolerated"), i, t) {
        long long n = js_int(t, "n", 1);
        int used = fprintf(r->to, "      %lld, owner ", n);
        plain(r->to, js_str(t, "owner", ""));
        (void)fputc(':', r->to);
        compare_text(r, (unsigned)(used > 0 ? used : 0) + 1 + report_columns(js_str(t, "owner", "")),
                     js_str(t, "reason", ""));
    }
    differences(r, finding, 8, true);
}

static void tolerated(const struct report *r, const json_t *doc, const json_t *index) {
    bool begun = false;
    size_t i;
    json_t *row, *n;
    const char *stage;
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        json_object_foreach(json_object_get(row, "tolerated"), stage, n) {
            if (!begun)
                report_heading(r, "tolerated");
            begun = true;
            (void)fprintf(r->to, "    %s  %s\n", stage, js_str(row, "id", ""));
            tolerances(r, finding_of(index, stage, js_str(row, "id", "")));
        }
    }
}

static void not_read(const struct report *r, const json_t *doc) {
    bool begun = false;
    size_t i, j;
    json_t *stage, *kind;
    json_array_foreach(json_object_get(doc, "stages"), i, stage) {
        json_array_foreach(json_object_get(stage, "not_read"), j, kind) {
            if (!begun)
                report_heading(r, "not read");
            begun = true;
            (void)fprintf(r->to, "    %s  %s", js_str(stage, "stage", ""), js_str(kind, "kind", ""));
            compare_text(
                r, 6 + report_columns(js_str(stage, "stage", "")) + report_columns(js_str(kind, "kind", "")),
                js_str(kind, "reason", ""));
        }
    }
}

int compare_reasons(const struct report *r, const json_t *doc) {
    json_t *index = compare_index(doc);
    if (!index)
        return -ENOMEM;
    rows_with(r, doc, index, COMPARE_FAIL, "unmet");
    rows_with(r, doc, index, COMPARE_UNKNOWN, "not known");
    tolerated(r, doc, index);
    not_read(r, doc);
    json_decref(index);
    if (json_array_size(json_object_get(doc, "rows"))) {
        (void)fputc('\n', r->to);
        report_wrapped(
            r,
            "read on: `pilotgate explain architecture` has every difference, since when, why it matters "
            "and the source",
            0);
    }
    return 0;
}
