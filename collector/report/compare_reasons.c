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

static void stage_line(const struct report *r, const char *stage, const json_t *finding) {
    (void)fprintf(r->to, "    %s", stage);
    if (is_said_below(finding))
        (void)fputc('\n', r->to);
    else
        compare_text(r, 4 + report_columns(stage), js_str(finding, "reason", ""));
    differences(r, finding, 6, false);
}

/* ---- what is unmet, row by row */

static void row_head(const struct report *r, const json_t *row) {
    (void)fprintf(r->to, "  %s  %s", js_str(row, "severity", ""), js_str(row, "id", ""));
    compare_text(r, 4 + report_columns(js_str(row, "severity", "")) + report_columns(js_str(row, "id", "")),
                 js_str(row, "title", ""));
}

static bool unmet_row(const struct report *r, const json_t *index, const json_t *row, bool begun) {
    const char *stage;
    json_t *verdict;
    bool of_row = false;
    json_object_foreach(json_object_get(row, "cells"), stage, verdict) {
        if (compare_cell_of(row, stage) != COMPARE_FAIL)
            continue;
        if (!begun)
            report_heading(r, "unmet");
        if (!of_row)
            row_head(r, row);
        begun = of_row = true;
        stage_line(r, stage, finding_of(index, stage, js_str(row, "id", "")));
    }
    return begun;
}

static void unmet(const struct report *r, const json_t *doc, const json_t *index) {
    bool begun = false;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        begun = unmet_row(r, index, row, begun);
    }
}

/* ---- what is not known, stage by stage: rows of one reason together */

static int add_to_group(json_t *groups, const char *reason, const char *id) {
    json_t *ids = json_object_get(groups, reason);
    if (!ids) {
        ids = json_array();
        if (json_object_set_new(groups, reason, ids) < 0)
            return -ENOMEM;
    }
    return json_array_append_new(ids, json_string(id)) < 0 ? -ENOMEM : 0;
}

/* {reason: [id]} in the order of rows; NULL without memory. */
static json_t *unknown_of(const json_t *doc, const json_t *index, const char *stage) {
    json_t *groups = json_object(), *row;
    size_t i;
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        const char *id = js_str(row, "id", "");
        if (compare_cell_of(row, stage) == COMPARE_UNKNOWN &&
            add_to_group(groups, js_str(finding_of(index, stage, id), "reason", ""), id) < 0) {
            json_decref(groups);
            return NULL;
        }
    }
    return groups;
}

/* "tls, replicas:" */
static void ids_words(FILE *to, const json_t *ids) {
    for (size_t i = 0; i < json_array_size(ids); i++)
        (void)fprintf(to, "%s%s", i ? ", " : "", json_string_value(json_array_get(ids, i)));
    (void)fputc(':', to);
}

static int group_lines(const struct report *r, const char *reason, const json_t *ids) {
    char *words = text_of(ids_words, ids);
    if (!words)
        return -ENOMEM;
    (void)fputs("    ", r->to);
    report_wrapped(r, words, 4);
    (void)fputs("      ", r->to);
    report_wrapped(r, reason, 6);
    free(words);
    return 0;
}

/* Takes groups; NULL: there was no memory for them. */
static int stage_groups(const struct report *r, const char *title, bool *begun, const char *stage,
                        json_t *groups) {
    const char *reason;
    json_t *ids;
    int rc = groups ? 0 : -ENOMEM;
    if (json_object_size(groups)) {
        if (!*begun)
            report_heading(r, title);
        *begun = true;
        (void)fprintf(r->to, "  %s\n", stage);
    }
    json_object_foreach(groups, reason, ids) {
        if (rc == 0)
            rc = group_lines(r, reason, ids);
    }
    json_decref(groups);
    return rc;
}

static int unknown(const struct report *r, const json_t *doc, const json_t *index) {
    bool begun = false;
    int rc = 0;
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(doc, "stages"), i, stage) {
        const char *name = js_str(stage, "stage", "");
        if (rc == 0)
            rc = stage_groups(r, "not known", &begun, name, unknown_of(doc, index, name));
    }
    return rc;
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

/* {reason: [kind]}; NULL without memory. */
static json_t *not_read_of(const json_t *stage) {
    json_t *groups = json_object(), *kind;
    size_t i;
    json_array_foreach(json_object_get(stage, "not_read"), i, kind) {
        if (add_to_group(groups, js_str(kind, "reason", ""), js_str(kind, "kind", "")) < 0) {
            json_decref(groups);
            return NULL;
        }
    }
    return groups;
}

static int not_read(const struct report *r, const json_t *doc) {
    bool begun = false;
    int rc = 0;
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(doc, "stages"), i, stage) {
        if (rc == 0)
            rc = stage_groups(r, "not read", &begun, js_str(stage, "stage", ""), not_read_of(stage));
    }
    return rc;
}

int compare_reasons(const struct report *r, const json_t *doc) {
    json_t *index = compare_index(doc);
    if (!index)
        return -ENOMEM;
    unmet(r, doc, index);
    int rc = unknown(r, doc, index);
    tolerated(r, doc, index);
    if (rc == 0)
        rc = not_read(r, doc);
    json_decref(index);
    if (json_array_size(json_object_get(doc, "rows"))) {
        (void)fputc('\n', r->to);
        report_wrapped(
            r,
            "read on: `pilotgate explain architecture` has every difference, since when, why it matters "
            "and the source",
            0);
    }
    return rc;
}
