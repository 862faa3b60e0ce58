/* report: building blocks and the gates' table, JSON, Markdown and JUnit; see report.h. */
#include "report/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

int report_format_parse(const char *text, enum report_format *ret, struct err *e) {
    static const char *const names[] = {"table", "json", "yaml", "markdown", "junit"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = (enum report_format)i;
            return 0;
        }
    }
    return err_set(e, -EINVAL, "unknown output format '%s'; use table, json, yaml, markdown or junit", text);
}

int report_json(FILE *to, const json_t *doc) {
    bool ok = json_dumpf(doc, to, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII) == 0;
    return ok && fputc('\n', to) != EOF ? 0 : -EIO;
}

static const char *colour_of(const char *verdict) {
    if (strcmp(verdict, "PASS") == 0)
        return "\033[32m";
    if (strcmp(verdict, "FAIL") == 0)
        return "\033[31m";
    return strcmp(verdict, "INCONCLUSIVE") == 0 ? "\033[33m" : "\033[36m";
}

void report_verdict(const struct report *r, const char *verdict) {
    if (r->colour)
        (void)fprintf(r->to, "%s%-12s\033[0m", colour_of(verdict), verdict);
    else
        (void)fprintf(r->to, "%-12s", verdict);
}

/* ---- the gates */

static unsigned longest_stage(const json_t *result) {
    size_t longest = 5;
    size_t i;
    size_t j;
    json_t *g;
    json_t *s;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        json_array_foreach(json_object_get(g, "stages"), j, s) {
            size_t n = strlen(js_str(s, "stage", ""));
            longest = n > longest ? n : longest;
        }
    }
    return (unsigned)longest;
}

static void table_row(const struct report *r, const char *gate, const char *stage, unsigned width,
                      const char *verdict, const char *reason) {
    (void)fprintf(r->to, "%-16s%-*s  ", gate, (int)width, stage);
    report_verdict(r, verdict);
    (void)fputs("  ", r->to);
    report_wrapped(r, reason, 16 + width + 2 + 12 + 2);
}

static void gates_table(const struct report *r, const json_t *result) {
    unsigned width = longest_stage(result);
    (void)fprintf(r->to, "pilot %s   at %s   commit %lld   rubric %.12s\n\n",
                  js_str(result, "pilot", "(none)"), js_str(result, "at", ""),
                  (long long)js_int(result, "commit", 0), js_str(result, "rubric", ""));
    (void)fprintf(r->to, "%-16s%-*s  %-12s  %s\n", "GATE", (int)width, "STAGE", "VERDICT", "REASON");
    size_t i;
    size_t j;
    json_t *g;
    json_t *s;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        const json_t *stages = json_object_get(g, "stages");
        if (json_array_size(stages) == 0)
            table_row(r, js_str(g, "id", ""), "-", width, js_str(g, "verdict", ""), js_str(g, "summary", ""));
        json_array_foreach((json_t *)stages, j, s) {
            table_row(r, j ? "" : js_str(g, "id", ""), js_str(s, "stage", ""), width,
                      js_str(s, "verdict", ""), js_str(s, "reason", ""));
        }
    }
}

/* Text of others inside a table: no cell ends early, no HTML begins, no line breaks. */
void report_markdown_cell(FILE *to, const char *s) {
    for (; *s; s++) {
        if (*s == '<')
            (void)fputs("&lt;", to);
        else if (*s == '|' || *s == '\\' || *s == '`')
            (void)fprintf(to, "\\%c", *s);
        else
            (void)fputc((unsigned char)*s < 0x20 ? ' ' : *s, to);
    }
}

static void gates_markdown(const struct report *r, const json_t *result) {
    (void)fprintf(r->to, "| Gate | Pass condition (verbatim) | Result | Evidence |\n|---|---|---|---|\n");
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        (void)fprintf(r->to, "| %s | %s | %s | ", js_str(g, "title", ""), js_str(g, "pass", ""),
                      js_str(g, "verdict", ""));
        report_markdown_cell(r->to, js_str(g, "summary", ""));
        (void)fputs(" |\n", r->to);
    }
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        report_architecture_markdown(r, g);
    }
    (void)fprintf(r->to, "\nComputed at %s from commit %lld, rubric %s, %s.\n", js_str(result, "at", ""),
                  (long long)js_int(result, "commit", 0), js_str(result, "rubric", ""),
                  js_str(result, "evaluator", ""));
}

void report_xml(FILE *to, const char *s) {
    for (; *s; s++) {
        switch (*s) {
        case '<':
            (void)fputs("&lt;", to);
            break;
        case '>':
            (void)fputs("&gt;", to);
            break;
        case '&':
            (void)fputs("&amp;", to);
            break;
        case '"':
            (void)fputs("&quot;", to);
            break;
        default:
            (void)fputc((unsigned char)*s < 0x20 ? ' ' : *s, to);
        }
    }
}

/* Of Architecture, a line for each row of the reference that is not met. */
static void junit_rows(FILE *to, const json_t *stage) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(stage, "rows"), i, row) {
        if (strcmp(js_str(row, "verdict", ""), "PASS") == 0)
            continue;
        report_xml(to, js_str(row, "verdict", ""));
        (void)fputc(' ', to);
        report_xml(to, js_str(row, "severity", ""));
        (void)fputc(' ', to);
        report_xml(to, js_str(row, "id", ""));
        (void)fputs(": ", to);
        report_xml(to, js_str(row, "reason", ""));
        (void)fputc('\n', to);
    }
}

static void junit_case(FILE *to, const json_t *gate, const json_t *stage) {
    const char *verdict = js_str(stage, "verdict", "");
    (void)fputs("  <testcase classname=\"pilotgate.", to);
    report_xml(to, js_str(gate, "id", ""));
    (void)fputs("\" name=\"", to);
    report_xml(to, js_str(stage, "stage", ""));
    (void)fputs("\">", to);
    const char *element = strcmp(verdict, "FAIL") == 0 ? "failure" : "error";
    if (strcmp(verdict, "PASS") != 0) {
        (void)fprintf(to, "<%s type=\"%s\" message=\"", element, verdict);
        report_xml(to, js_str(stage, "reason", ""));
        (void)fputs("\">", to);
        junit_rows(to, stage);
        (void)fprintf(to, "</%s>", element);
    }
    (void)fputs("</testcase>\n", to);
}

struct junit_count {
    unsigned tests, failures, errors;
};

static void count_verdict(struct junit_count *n, const char *verdict) {
    n->tests++;
    n->failures += strcmp(verdict, "FAIL") == 0;
    n->errors += strcmp(verdict, "FAIL") != 0 && strcmp(verdict, "PASS") != 0;
}

static void count_cases(const json_t *result, struct junit_count *n) {
    size_t i;
    size_t j;
    json_t *g;
    json_t *s;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        if (json_array_size(json_object_get(g, "stages")) == 0)
            count_verdict(n, js_str(g, "verdict", ""));
        json_array_foreach(json_object_get(g, "stages"), j, s) {
            count_verdict(n, js_str(s, "verdict", ""));
        }
    }
}

/* What is not proven is an error: a build that waits for evidence must not go green without it. */
static void gates_junit(const struct report *r, const json_t *result) {
    struct junit_count n = {0};
    count_cases(result, &n);
    (void)fprintf(r->to,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<testsuite name=\"pilotgate\" tests=\"%u\" failures=\"%u\" errors=\"%u\">\n",
                  n.tests, n.failures, n.errors);
    size_t i;
    size_t j;
    json_t *g;
    json_t *s;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        const json_t *stages = json_object_get(g, "stages");
        json_t *whole = json_pack("{s:s, s:s, s:s}", "stage", "(no stage)", "verdict",
                                  js_str(g, "verdict", ""), "reason", js_str(g, "summary", ""));
        if (json_array_size(stages) == 0)
            junit_case(r->to, g, whole);
        json_decref(whole);
        json_array_foreach((json_t *)stages, j, s) {
            junit_case(r->to, g, s);
        }
    }
    (void)fputs("</testsuite>\n", r->to);
}

int report_gates(const struct report *r, const json_t *result, enum report_format format) {
    switch (format) {
    case REPORT_TABLE:
        gates_table(r, result);
        break;
    case REPORT_JSON:
        return report_json(r->to, result);
    case REPORT_YAML:
        return report_yaml(r->to, result);
    case REPORT_MARKDOWN:
        gates_markdown(r, result);
        break;
    case REPORT_JUNIT:
        gates_junit(r, result);
        break;
    }
    return 0;
}
