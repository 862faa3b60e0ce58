/* compare_export: `compare` as Markdown, to be pasted into a scorecard, and as JUnit, one test case a row and
 * stage. In JUnit, what does not decide the verdict (recommended, info) is skipped with its reason, so that a
 * build is red exactly when the exit status is not 0. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/compare_priv.h"

/* ---- Markdown */

static void markdown_head(const struct report *r, const json_t *stages) {
    size_t i;
    json_t *stage;
    (void)fputs("| Severity | Expectation |", r->to);
    json_array_foreach((json_t *)stages, i, stage) {
        (void)fprintf(r->to, " %s |", js_str(stage, "stage", ""));
    }
    (void)fputs("\n|---|---|", r->to);
    for (i = 0; i < json_array_size(stages); i++)
        (void)fputs("---|", r->to);
    (void)fputc('\n', r->to);
}

static void markdown_row(const struct report *r, const json_t *stages, const json_t *row) {
    size_t i;
    json_t *stage;
    (void)fprintf(r->to, "| %s | ", js_str(row, "severity", ""));
    report_markdown_cell(r->to, js_str(row, "title", ""));
    (void)fputs(" (", r->to);
    report_markdown_cell(r->to, js_str(row, "id", ""));
    (void)fputs(") |", r->to);
    json_array_foreach((json_t *)stages, i, stage) {
        enum compare_cell cell =
            compare_has_rows(stage) ? compare_cell_of(row, js_str(stage, "stage", "")) : COMPARE_UNKNOWN;
        (void)fprintf(r->to, cell == COMPARE_FAIL ? " **%s** |" : " %s |", compare_cell_word(cell));
    }
    (void)fputc('\n', r->to);
}

static void markdown_match(const struct report *r, const json_t *stages) {
    size_t i;
    json_t *stage;
    for (size_t k = 0; compare_severities[k]; k++) {
        (void)fprintf(r->to, "| %s | **match** |", compare_severities[k]);
        json_array_foreach((json_t *)stages, i, stage) {
            char text[COMPARE_MATCH_MAX];
            (void)fprintf(r->to, " %s |", compare_match_text(stage, compare_severities[k], text));
        }
        (void)fputc('\n', r->to);
    }
    (void)fputs("| | **verdict** |", r->to);
    json_array_foreach((json_t *)stages, i, stage) {
        (void)fprintf(r->to, " %s |", js_str(stage, "verdict", ""));
    }
    (void)fputc('\n', r->to);
}

/* What is unmet, not known or tolerated on a stage: a list, with the differences' owners. */
static void markdown_finding(const struct report *r, const char *stage, const json_t *f) {
    size_t i;
    json_t *t;
    if (strcmp(js_str(f, "verdict", ""), "PASS") != 0) {
        (void)fprintf(r->to, "- %s, ", stage);
        report_markdown_cell(r->to, js_str(f, "id", ""));
        (void)fprintf(r->to, ", %s: ", strcmp(js_str(f, "verdict", ""), "FAIL") == 0 ? "unmet" : "not known");
        report_markdown_cell(r->to, js_str(f, "reason", ""));
        (void)fputc('\n', r->to);
    }
    json_array_foreach(json_object_get(f, "tolerated"), i, t) {
        (void)fprintf(r->to, "- %s, ", stage);
        report_markdown_cell(r->to, js_str(f, "id", ""));
        (void)fprintf(r->to, ", %lld tolerated: ", (long long)js_int(t, "n", 1));
        report_markdown_cell(r->to, js_str(t, "reason", ""));
        (void)fputs(" (owner: ", r->to);
        report_markdown_cell(r->to, js_str(t, "owner", ""));
        (void)fputs(")\n", r->to);
    }
}

static void markdown_findings(const struct report *r, const json_t *stages) {
    size_t i, j;
    json_t *stage, *finding;
    (void)fputc('\n', r->to);
    json_array_foreach((json_t *)stages, i, stage) {
        if (!compare_has_rows(stage)) {
            (void)fprintf(r->to, "- %s, %s: ", js_str(stage, "stage", ""), js_str(stage, "verdict", ""));
            report_markdown_cell(r->to, js_str(stage, "reason", ""));
            (void)fputc('\n', r->to);
        }
        json_array_foreach(json_object_get(stage, "rows"), j, finding) {
            markdown_finding(r, js_str(stage, "stage", ""), finding);
        }
    }
}

int compare_markdown(const struct report *r, const json_t *doc, bool all) {
    const json_t *stages = json_object_get(doc, "stages"), *reference = json_object_get(doc, "reference");
    size_t i, folded = 0;
    json_t *row;
    markdown_head(r, stages);
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        if (all || !compare_ok_everywhere(doc, row))
            markdown_row(r, stages, row);
        else
            folded++;
    }
    markdown_match(r, stages);
    compare_folded(r->to, folded);
    markdown_findings(r, stages);
    (void)fprintf(r->to, "\nComputed at %s from commit %lld, reference %s (%.12s), %s.\n",
                  js_str(doc, "at", ""), (long long)js_int(doc, "commit", 0), js_str(reference, "id", "none"),
                  js_str(reference, "digest", ""), js_str(doc, "evaluator", ""));
    return 0;
}

/* ---- JUnit */

struct counts {
    unsigned tests, failures, errors, skipped;
};

static const char *element_of(const json_t *finding) {
    const char *verdict = js_str(finding, "verdict", "");
    if (strcmp(verdict, "PASS") == 0)
        return NULL;
    if (strcmp(js_str(finding, "severity", "required"), "required") != 0)
        return "skipped";
    return strcmp(verdict, "FAIL") == 0 ? "failure" : "error";
}

/* -ENOMEM. */
static int xml_difference(FILE *to, const json_t *d) {
    char *text = NULL;
    size_t len = 0;
    FILE *line = open_memstream(&text, &len);
    if (!line)
        return -ENOMEM;
    compare_difference(line, d);
    (void)fputs(json_object_get(d, "tolerated") ? " (tolerated)" : "", line);
    int r = fclose(line) == 0 ? 0 : -ENOMEM;
    if (r == 0)
        report_xml(to, text);
    (void)fputc('\n', to);
    free(text);
    return r;
}

static int xml_differences(FILE *to, const json_t *finding) {
    int r = 0;
    size_t i;
    json_t *d;
    (void)fputc('\n', to);
    json_array_foreach(json_object_get(finding, "differences"), i, d) {
        if (r == 0)
            r = xml_difference(to, d);
    }
    if (js_int(finding, "more", 0))
        (void)fprintf(to, "... and %lld more\n", (long long)js_int(finding, "more", 0));
    return r;
}

static int junit_case(FILE *to, const char *stage, const char *name, const json_t *finding) {
    const char *element = element_of(finding);
    (void)fputs("  <testcase classname=\"pilotgate.architecture.", to);
    report_xml(to, stage);
    (void)fputs("\" name=\"", to);
    report_xml(to, name);
    (void)fputs("\">", to);
    int r = 0;
    if (element) {
        (void)fprintf(to, "<%s type=\"%s\" message=\"", element, js_str(finding, "verdict", ""));
        report_xml(to, js_str(finding, "reason", ""));
        (void)fputs("\">", to);
        r = xml_differences(to, finding);
        (void)fprintf(to, "</%s>", element);
    }
    (void)fputs("</testcase>\n", to);
    return r;
}

static void count(struct counts *n, const json_t *finding) {
    const char *element = element_of(finding);
    n->tests++;
    n->failures += element && strcmp(element, "failure") == 0;
    n->errors += element && strcmp(element, "error") == 0;
    n->skipped += element && strcmp(element, "skipped") == 0;
}

static struct counts count_all(const json_t *stages) {
    struct counts n = {0};
    size_t i, j;
    json_t *stage, *finding;
    json_array_foreach((json_t *)stages, i, stage) {
        if (!compare_has_rows(stage))
            count(&n, stage);
        json_array_foreach(json_object_get(stage, "rows"), j, finding) {
            count(&n, finding);
        }
    }
    return n;
}

int compare_junit(const struct report *r, const json_t *doc) {
    const json_t *stages = json_object_get(doc, "stages");
    struct counts n = count_all(stages);
    int rc = 0;
    size_t i, j;
    json_t *stage, *finding;
    (void)fprintf(r->to,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"pilotgate.architecture\" "
                  "tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n",
                  n.tests, n.failures, n.errors, n.skipped);
    json_array_foreach((json_t *)stages, i, stage) {
        const char *name = js_str(stage, "stage", "");
        if (!compare_has_rows(stage))
            rc = junit_case(r->to, name, "(not compared)", stage);
        json_array_foreach(json_object_get(stage, "rows"), j, finding) {
            if (rc == 0)
                rc = junit_case(r->to, name, js_str(finding, "id", ""), finding);
        }
    }
    (void)fputs("</testsuite>\n", r->to);
    return rc;
}
