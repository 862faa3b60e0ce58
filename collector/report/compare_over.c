/* compare_over: how stages moved during the pilot: one line for each moment from which something came out
 * otherwise, with the match of each severity then and what turned from what to what. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/compare_priv.h"

static const char *word_of(const char *verdict) {
    if (strcmp(verdict, "PASS") == 0)
        return "ok";
    if (strcmp(verdict, "INCONCLUSIVE") == 0)
        return "?";
    return *verdict ? verdict : "-";
}

/* "postgres: ok -> FAIL, tls: ? -> ok"; of the first moment that it is the first. NULL without memory; free
 * it. */
static char *moved_words(const json_t *moment, bool first) {
    char *text = NULL;
    size_t len = 0, i;
    json_t *m;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return NULL;
    json_array_foreach(json_object_get(moment, "moved"), i, m) {
        (void)fprintf(to, "%s%s: %s -> %s", i ? ", " : "", js_str(m, "id", ""),
                      word_of(js_str(m, "from", "")), word_of(js_str(m, "to", "")));
    }
    if (json_array_size(json_object_get(moment, "moved")) == 0)
        (void)fputs(json_object_size(json_object_get(moment, "rows")) == 0 ? "not compared"
                    : first                                                ? "compared for the first time"
                                                                           : "no row turned",
                    to);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- for a terminal */

#define FIXED (2 + 30 + 2 + 8 + 2 + 11 + 2 + 5 + 2 + 12 + 2) /* columns before what turned */
#define NARROW 34                                            /* where that begins on a line of its own */

static int moment_line(const struct report *r, const json_t *moment, bool first) {
    char text[3][COMPARE_MATCH_MAX];
    char *words = moved_words(moment, first);
    if (!words)
        return -ENOMEM;
    (void)fprintf(r->to, "  %-30s  %8s  %11s  %5s  ", js_str(moment, "at", ""),
                  compare_match_text(moment, compare_severities[0], text[0]),
                  compare_match_text(moment, compare_severities[1], text[1]),
                  compare_match_text(moment, compare_severities[2], text[2]));
    report_verdict(r, js_str(moment, "verdict", ""));
    bool narrow = r->width && r->width < FIXED + 40;
    (void)fprintf(r->to, narrow ? "\n%*s" : "  %*s", narrow ? NARROW : 0, "");
    report_wrapped(r, words, narrow ? NARROW : FIXED);
    free(words);
    return 0;
}

static void cut_line(const struct report *r, const json_t *stage) {
    if (js_bool(stage, "cut", false))
        (void)fputs("  these are the newest: earlier ones are shown with an earlier --to\n", r->to);
}

static int stage_table(const struct report *r, const json_t *stage) {
    const json_t *moments = json_object_get(stage, "moments");
    int rc = 0;
    size_t i;
    json_t *moment;
    report_heading(r, js_str(stage, "stage", ""));
    if (json_array_size(moments) == 0) {
        (void)fputs("  ", r->to);
        report_wrapped(r, js_str(stage, "reason", "it was never compared in this time"), 2);
        return 0;
    }
    (void)fprintf(r->to, "  %-30s  %8s  %11s  %5s  %-12s  %s\n", "FROM", "REQUIRED", "RECOMMENDED", "INFO",
                  "VERDICT", r->width && r->width < FIXED + 40 ? "" : "WHAT TURNED");
    json_array_foreach((json_t *)moments, i, moment) {
        if (rc == 0)
            rc = moment_line(r, moment, i == 0);
    }
    cut_line(r, stage);
    return rc;
}

static int table(const struct report *r, const json_t *doc) {
    int rc = 0;
    size_t i;
    json_t *stage;
    (void)fprintf(r->to, "pilot %s   at %s   commit %lld\n", js_str(doc, "pilot", "(none)"),
                  js_str(doc, "at", ""), (long long)js_int(doc, "commit", 0));
    json_array_foreach(json_object_get(doc, "stages"), i, stage) {
        if (rc == 0)
            rc = stage_table(r, stage);
    }
    return rc;
}

/* ---- Markdown */

static int markdown_line(const struct report *r, const char *stage, const json_t *moment, bool first) {
    char text[3][COMPARE_MATCH_MAX];
    char *words = moved_words(moment, first);
    if (!words)
        return -ENOMEM;
    (void)fprintf(r->to, "| %s | %s | %s | %s | %s | %s | ", stage, js_str(moment, "at", ""),
                  compare_match_text(moment, compare_severities[0], text[0]),
                  compare_match_text(moment, compare_severities[1], text[1]),
                  compare_match_text(moment, compare_severities[2], text[2]), js_str(moment, "verdict", ""));
    report_markdown_cell(r->to, words);
    (void)fputs(" |\n", r->to);
    free(words);
    return 0;
}

static int markdown(const struct report *r, const json_t *doc) {
    int rc = 0;
    size_t i, j;
    json_t *stage, *moment;
    (void)fputs("| Stage | From | Required | Recommended | Info | Verdict | What turned "
                "|\n|---|---|---|---|---|---|---|\n",
                r->to);
    json_array_foreach(json_object_get(doc, "stages"), i,
                       stage){json_array_foreach(json_object_get(stage, "moments"), j, moment){
        if (rc == 0) rc = markdown_line(r, js_str(stage, "stage", ""), moment, j == 0);
}
}
(void)fprintf(r->to, "\nComputed at %s from commit %lld, %s.\n", js_str(doc, "at", ""),
              (long long)js_int(doc, "commit", 0), js_str(doc, "evaluator", ""));
return rc;
}

int report_over(const struct report *r, const json_t *doc, enum report_format format) {
    if (format == REPORT_JUNIT)
        return -ENOTSUP;
    if (format == REPORT_JSON)
        return report_json(r->to, doc);
    if (format == REPORT_YAML)
        return report_yaml(r->to, doc);
    return format == REPORT_MARKDOWN ? markdown(r, doc) : table(r, doc);
}
