/* explain: a gate in full for people: what was measured, what was lost, what is cited. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

static void explain_stage(const struct report *r, const json_t *s) {
    report_heading(r, js_str(s, "stage", ""));
    (void)fputs("  ", r->to);
    report_verdict(r, js_str(s, "verdict", ""));
    (void)fputs("  ", r->to);
    report_wrapped(r, js_str(s, "reason", ""), 16);
    report_measured(r, json_object_get(s, "measured"), "    ");
    report_supersedes(r, s);
    report_deployment(r, s);
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(s, "changes"), i, c) {
        (void)fputs("\n", r->to);
        report_change(r, c);
    }
    report_rollbacks(r, json_object_get(s, "rollbacks"));
    report_architecture(r, s);
    report_strings(r, "evidence", json_object_get(s, "evidence"));
}

void report_explain(const struct report *r, const json_t *result, const char *gate) {
    size_t i;
    size_t j;
    json_t *g;
    json_t *s;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        if (strcmp(js_str(g, "id", ""), gate) != 0)
            continue;
        (void)fprintf(r->to, "%s: %s\n", js_str(g, "title", ""), js_str(g, "pass", ""));
        (void)fprintf(r->to, "at %s, commit %lld, rubric %.12s, %s\n", js_str(result, "at", ""),
                      (long long)js_int(result, "commit", 0), js_str(result, "rubric", ""),
                      js_str(result, "evaluator", ""));
        if (json_array_size(json_object_get(g, "stages")) == 0)
            (void)fprintf(r->to, "%s: %s\n", js_str(g, "verdict", ""), js_str(g, "summary", ""));
        json_array_foreach(json_object_get(g, "stages"), j, s) {
            explain_stage(r, s);
        }
    }
}
