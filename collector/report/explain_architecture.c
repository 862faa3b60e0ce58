/* explain_architecture: what of a stage is not as the reference recommends, by severity: where, what was
 * expected and found, since when, why it matters and who says so; then what is tolerated, and by whom. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

/* Wrapped, whatever is in it. */
static void text(const struct report *r, unsigned indent, const char *s) {
    char *plain = strdup(s);
    for (unsigned char *p = (unsigned char *)plain; p && *p; p++)
        if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
            *p = *p == '\n' || *p == '\t' ? ' ' : '?';
    report_wrapped(r, plain ? plain : "(out of memory)", indent);
    free(plain);
}

static void labelled(const struct report *r, unsigned indent, const char *label, const char *s) {
    if (!s || !*s)
        return;
    (void)fprintf(r->to, "%*s%-10s", (int)indent, "", label);
    text(r, indent + 10, s);
}

static void since(const struct report *r, unsigned indent, const json_t *d) {
    const char *at = js_str(d, "since", "");
    char line[160];
    if (!*at)
        return;
    bool exact = strcmp(js_str(d, "since_bound", ""), "at") == 0;
    (void)snprintf(line, sizeof line, "%.40s%s", at,
                   exact ? "" : " at the latest: it was so when it was first looked at");
    labelled(r, indent, "since", line);
}

static void evidence(const struct report *r, unsigned indent, const json_t *d) {
    size_t i;
    json_t *ref;
    json_array_foreach(json_object_get(d, "evidence"), i, ref) {
        labelled(r, indent, "evidence", json_string_value(ref));
    }
}

/* "Deployment/shop-engine /spec/replicas (where)" */
static void place(const struct report *r, unsigned indent, const json_t *d) {
    const char *object = js_str(d, "object", ""), *pointer = js_str(d, "pointer", "");
    const char *where = js_str(d, "where", "");
    (void)fprintf(r->to, "%*s", (int)indent, "");
    text(r, indent + 2, *object ? object : "(the stage as a whole)");
    if (*pointer)
        labelled(r, indent + 2, "at", pointer);
    if (*where)
        labelled(r, indent + 2, "that is", where);
}

static void difference(const struct report *r, const json_t *d) {
    const char *what = js_str(d, "what", "");
    place(r, 6, d);
    labelled(r, 8, "what", what);
    labelled(r, 8, "expected", js_str(d, "expected", ""));
    labelled(r, 8, "found", js_str(d, "found", strcmp(what, "missing") == 0 ? "nothing" : ""));
    since(r, 8, d);
    evidence(r, 8, d);
}

/* ---- rows */

static void row_differences(const struct report *r, const json_t *row) {
    size_t i, shown = 0, untold = (size_t)js_int(row, "more", 0);
    json_t *d;
    json_array_foreach(json_object_get(row, "differences"), i, d) {
        if (json_object_get(d, "tolerated"))
            continue;
        if (shown++ < REPORT_LIST_MAX)
            difference(r, d);
        else
            untold++;
    }
    if (untold)
        (void)fprintf(r->to, "      ... and %zu more: -o json has them\n", untold);
}

static void row(const struct report *r, const json_t *row_) {
    const char *id = js_str(row_, "id", ""), *title = js_str(row_, "title", "");
    (void)fputs("\n    ", r->to);
    report_verdict(r, js_str(row_, "verdict", ""));
    (void)fputs("  ", r->to);
    text(r, 18, id);
    if (*title && strcmp(title, id) != 0) {
        (void)fprintf(r->to, "%*s", 18, "");
        text(r, 18, title);
    }
    labelled(r, 6, "because", js_str(row_, "reason", ""));
    labelled(r, 6, "why", js_str(row_, "why", ""));
    labelled(r, 6, "source", js_str(row_, "source", ""));
    row_differences(r, row_);
}

static size_t count(const json_t *rows, const char *severity, bool met) {
    size_t i, n = 0;
    json_t *x;
    json_array_foreach((json_t *)rows, i, x) {
        n += strcmp(js_str(x, "severity", ""), severity) == 0 &&
             (strcmp(js_str(x, "verdict", ""), "PASS") == 0) == met;
    }
    return n;
}

static void severity(const struct report *r, const json_t *rows, const json_t *match, const char *name) {
    size_t open = count(rows, name, false), met = count(rows, name, true), i;
    json_t *x;
    if (open + met == 0)
        return;
    (void)fprintf(r->to, "\n  %s: %zu of %zu met, match %.4g %%\n", name, met, open + met,
                  json_number_value(json_object_get(json_object_get(match, name), "percent")));
    json_array_foreach((json_t *)rows, i, x) {
        if (strcmp(js_str(x, "severity", ""), name) == 0 && strcmp(js_str(x, "verdict", ""), "FAIL") == 0)
            row(r, x);
    }
    json_array_foreach((json_t *)rows, i, x) {
        if (strcmp(js_str(x, "severity", ""), name) == 0 && strcmp(js_str(x, "verdict", ""), "FAIL") != 0 &&
            strcmp(js_str(x, "verdict", ""), "PASS") != 0)
            row(r, x);
    }
}

/* ---- what is tolerated */

static void tolerated(const struct report *r, const json_t *rows) {
    size_t i, k, n = 0;
    json_t *x, *d;
    json_array_foreach((json_t *)rows, i, x) {
        json_array_foreach(json_object_get(x, "differences"), k, d) {
            const json_t *t = json_object_get(d, "tolerated");
            if (!t || n++ >= REPORT_LIST_MAX)
                continue;
            if (n == 1)
                (void)fputs("\n  tolerated\n", r->to);
            place(r, 4, d);
            labelled(r, 6, "row", js_str(x, "id", ""));
            labelled(r, 6, "expected", js_str(d, "expected", ""));
            labelled(r, 6, "found", js_str(d, "found", ""));
            labelled(r, 6, "reason", js_str(t, "reason", ""));
            labelled(r, 6, "owner", js_str(t, "owner", ""));
        }
    }
    report_rest(r, n, "    ");
}

void report_architecture(const struct report *r, const json_t *stage) {
    static const char *const severities[] = {"required", "recommended", "info"};
    const json_t *rows = json_object_get(stage, "rows");
    size_t i;
    json_t *x;
    if (!rows && !json_object_get(stage, "not_read"))
        return;
    if (rows)
        labelled(r, 2, "reference", js_str(stage, "reference.title", js_str(stage, "reference.id", "")));
    labelled(r, 2, "digest", js_str(stage, "reference.digest", ""));
    labelled(r, 2, "state of", js_str(stage, "as_of", ""));
    json_array_foreach(json_object_get(stage, "not_read"), i, x) {
        (void)fprintf(r->to, "  not read  %s: ", js_str(x, "kind", ""));
        text(r, 12, js_str(x, "reason", ""));
    }
    for (i = 0; rows && i < sizeof severities / sizeof *severities; i++)
        severity(r, rows, json_object_get(stage, "match"), severities[i]);
    tolerated(r, rows);
}

/* ---- Markdown, below the gates: what is not as recommended, and what is let be so */

static void markdown_row(const struct report *r, const char *stage, const json_t *row_, const char *result,
                         const char *reason) {
    (void)fputs("| ", r->to);
    report_markdown_cell(r->to, stage);
    (void)fputs(" | ", r->to);
    report_markdown_cell(r->to, js_str(row_, "id", ""));
    (void)fprintf(r->to, " | %s | %s | ", js_str(row_, "severity", ""), result);
    report_markdown_cell(r->to, reason);
    (void)fputs(" |\n", r->to);
}

static void markdown_stage(const struct report *r, const json_t *stage, size_t *n) {
    const char *name = js_str(stage, "stage", "");
    size_t i, k;
    json_t *x, *t;
    json_array_foreach(json_object_get(stage, "rows"), i, x) {
        bool open = strcmp(js_str(x, "verdict", ""), "PASS") != 0;
        if ((open || json_array_size(json_object_get(x, "tolerated"))) && (*n)++ == 0)
            (void)fputs("\n| Stage | Expectation | Severity | Result | Reason |\n|---|---|---|---|---|\n",
                        r->to);
        if (open)
            markdown_row(r, name, x, js_str(x, "verdict", ""), js_str(x, "reason", ""));
        json_array_foreach(json_object_get(x, "tolerated"), k, t) {
            char who[512];
            (void)snprintf(who, sizeof who, "%.300s (%.100s)", js_str(t, "reason", ""),
                           js_str(t, "owner", ""));
            markdown_row(r, name, x, "tolerated", who);
        }
    }
}

void report_architecture_markdown(const struct report *r, const json_t *gate) {
    size_t i, n = 0;
    json_t *s;
    json_array_foreach(json_object_get(gate, "stages"), i, s) {
        markdown_stage(r, s, &n);
    }
    if (n)
        (void)fprintf(r->to, "\nThe reference has the digest %s.\n", js_str(gate, "reference", ""));
}
