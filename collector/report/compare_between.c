/* compare_between: two stages with each other: what differs, object by object, with both sides' values and
 * since when; what is on one of them only, what is tolerated, and what could not be compared. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/compare_priv.h"

static void plain(FILE *to, const char *text) {
    report_plain(to, text, strlen(text));
}

/* The whole object is on one side only. */
static bool is_object(const json_t *d) {
    return !*js_str(d, "pointer", "") &&
           (strcmp(js_str(d, "what", ""), "missing") == 0 || strcmp(js_str(d, "what", ""), "extra") == 0);
}

static bool is_tolerated(const json_t *d) {
    return json_is_object(json_object_get(d, "tolerated"));
}

/* "since 2026-11-23T04:05:06Z", "at least since ..." where it was so when it was first looked at; "". */
static const char *since(const json_t *d, char side, char out[80]) {
    char key[24], bound[24];
    (void)snprintf(key, sizeof key, "since_%c", side);
    (void)snprintf(bound, sizeof bound, "since_bound_%c", side);
    const char *at = js_str(d, key, NULL);
    out[0] = 0;
    if (at)
        (void)snprintf(out, 80, "%ssince %.40s", strcmp(js_str(d, bound, "at"), "at") ? "at least " : "", at);
    return out;
}

/* ---- for a terminal */

static void side(const struct report *r, const json_t *doc, const json_t *d, char which) {
    char text[80];
    const char key[2] = {which, 0};
    const char *value = js_str(d, which == 'a' ? "expected" : "found", NULL);
    unsigned a = report_columns(js_str(doc, "a", "")), b = report_columns(js_str(doc, "b", ""));
    (void)fprintf(r->to, "      %-*s  ", (int)(a > b ? a : b), js_str(doc, key, ""));
    plain(r->to, value ? value : "(none)");
    if (*since(d, which, text))
        (void)fprintf(r->to, "   %s", text);
    (void)fputc('\n', r->to);
}

static void tolerance(const struct report *r, const json_t *d) {
    const json_t *t = json_object_get(d, "tolerated");
    if (!t)
        return;
    (void)fputs("      tolerated by ", r->to);
    plain(r->to, js_str(t, "owner", ""));
    (void)fputs(": ", r->to);
    plain(r->to, js_str(t, "reason", ""));
    (void)fputc('\n', r->to);
}

static void field(const struct report *r, const json_t *doc, const json_t *d) {
    const char *where = js_str(d, "where", ""), *pointer = js_str(d, "pointer", "");
    (void)fputs("    ", r->to);
    plain(r->to, *pointer ? pointer : js_str(d, "what", ""));
    if (*where) {
        (void)fputs("  (", r->to);
        plain(r->to, where);
        (void)fputc(')', r->to);
    }
    (void)fputc('\n', r->to);
    side(r, doc, d, 'a');
    side(r, doc, d, 'b');
    tolerance(r, d);
}

static void fields(const struct report *r, const json_t *doc, const char *title, bool tolerated) {
    const char *object = "";
    bool begun = false;
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(doc, "differences"), i, d) {
        if (is_object(d) || is_tolerated(d) != tolerated)
            continue;
        if (!begun)
            report_heading(r, title);
        if (!begun || strcmp(object, js_str(d, "object", "")) != 0) {
            (void)fputs("  ", r->to);
            plain(r->to, js_str(d, "object", ""));
            (void)fputc('\n', r->to);
        }
        begun = true;
        object = js_str(d, "object", "");
        field(r, doc, d);
    }
}

static void only_on(const struct report *r, const json_t *doc, char which) {
    const char key[2] = {which, 0};
    char title[2 * WIRE_NAME_MAX + 16], text[80];
    bool begun = false;
    size_t i;
    json_t *d;
    (void)snprintf(title, sizeof title, "only on %s", js_str(doc, key, ""));
    json_array_foreach(json_object_get(doc, "differences"), i, d) {
        bool extra = strcmp(js_str(d, "what", ""), "extra") == 0;
        if (!is_object(d) || extra != (which == 'b'))
            continue;
        if (!begun)
            report_heading(r, title);
        begun = true;
        (void)fputs("  ", r->to);
        plain(r->to, js_str(d, "object", ""));
        (void)fprintf(r->to, "%s%s\n", *since(d, which, text) ? "   " : "", text);
        tolerance(r, d);
    }
}

static void not_compared(const struct report *r, const json_t *doc) {
    const json_t *list = json_object_get(doc, "not_compared");
    size_t i;
    json_t *x;
    if (json_array_size(list))
        report_heading(r, "not compared");
    json_array_foreach((json_t *)list, i, x) {
        (void)fputs("  ", r->to);
        plain(r->to, js_str(x, "what", ""));
        (void)fputc(':', r->to);
        compare_text(r, 3 + report_columns(js_str(x, "what", "")), js_str(x, "why", ""));
    }
}

static void table(const struct report *r, const json_t *doc) {
    (void)fprintf(r->to,
                  "pilot %s   at %s   commit %lld\n%s (%lld objects) and %s (%lld objects), %lld paired\n\n",
                  js_str(doc, "pilot", "(none)"), js_str(doc, "at", ""), (long long)js_int(doc, "commit", 0),
                  js_str(doc, "a", ""), (long long)js_int(doc, "objects.a", 0), js_str(doc, "b", ""),
                  (long long)js_int(doc, "objects.b", 0), (long long)js_int(doc, "objects.paired", 0));
    report_verdict(r, js_str(doc, "verdict", ""));
    (void)fputs("  ", r->to);
    report_wrapped(r, js_str(doc, "reason", ""), 14);
    fields(r, doc, "different", false);
    only_on(r, doc, 'a');
    only_on(r, doc, 'b');
    fields(r, doc, "tolerated", true);
    if (js_int(doc, "more", 0))
        (void)fprintf(r->to, "\n... and %lld more differences\n", (long long)js_int(doc, "more", 0));
    not_compared(r, doc);
}

/* ---- Markdown */

static void markdown_cell(FILE *to, const char *text) {
    report_markdown_cell(to, text);
    (void)fputs(" | ", to);
}

static void markdown(const struct report *r, const json_t *doc) {
    char text[2][80];
    size_t i;
    json_t *d;
    (void)fprintf(r->to, "| Object | Field | %s | %s | Since | Tolerated |\n|---|---|---|---|---|---|\n",
                  js_str(doc, "a", ""), js_str(doc, "b", ""));
    json_array_foreach(json_object_get(doc, "differences"), i, d) {
        const char *none = is_object(d) ? "absent" : "(none)", *there = is_object(d) ? "there" : "(none)";
        bool extra = strcmp(js_str(d, "what", ""), "extra") == 0;
        (void)fputs("| ", r->to);
        markdown_cell(r->to, js_str(d, "object", ""));
        markdown_cell(r->to, js_str(d, "pointer", ""));
        markdown_cell(r->to, js_str(d, "expected", extra ? none : there));
        markdown_cell(r->to, js_str(d, "found", extra ? there : none));
        (void)fprintf(r->to, "%s%s%s | ", since(d, 'a', text[0]),
                      *text[0] && *since(d, 'b', text[1]) ? "; " : "", since(d, 'b', text[1]));
        if (is_tolerated(d)) {
            report_markdown_cell(r->to, js_str(d, "tolerated.reason", ""));
            (void)fputs(" (owner: ", r->to);
            report_markdown_cell(r->to, js_str(d, "tolerated.owner", ""));
            (void)fputc(')', r->to);
        }
        (void)fputs(" |\n", r->to);
    }
    (void)fprintf(r->to, "\n%s: ", js_str(doc, "verdict", ""));
    report_markdown_cell(r->to, js_str(doc, "reason", ""));
    (void)fputc('\n', r->to);
    json_array_foreach(json_object_get(doc, "not_compared"), i, d) {
        (void)fputs("- not compared: ", r->to);
        report_markdown_cell(r->to, js_str(d, "what", ""));
        (void)fputs(": ", r->to);
        report_markdown_cell(r->to, js_str(d, "why", ""));
        (void)fputc('\n', r->to);
    }
    (void)fprintf(r->to, "\nComputed at %s from commit %lld, %s.\n", js_str(doc, "at", ""),
                  (long long)js_int(doc, "commit", 0), js_str(doc, "evaluator", ""));
}

/* ---- JUnit: one case a difference, and one for all that does not differ */

static void junit_case(FILE *to, const json_t *doc, const char *name, const char *more, const char *element,
                       const char *message) {
    (void)fputs("  <testcase classname=\"pilotgate.compare.", to);
    report_xml(to, js_str(doc, "a", ""));
    (void)fputs(" ", to);
    report_xml(to, js_str(doc, "b", ""));
    (void)fputs("\" name=\"", to);
    report_xml(to, name);
    (void)fputs(*more ? " " : "", to);
    report_xml(to, more);
    (void)fputs("\">", to);
    if (element) {
        (void)fprintf(to, "<%s message=\"", element);
        report_xml(to, message);
        (void)fputs("\"/>", to);
    }
    (void)fputs("</testcase>\n", to);
}

static int junit_difference(FILE *to, const json_t *doc, const json_t *d) {
    char *text = NULL;
    size_t len = 0;
    FILE *line = open_memstream(&text, &len);
    if (!line)
        return -ENOMEM;
    compare_difference(line, d);
    if (fclose(line) != 0) {
        free(text);
        return -ENOMEM;
    }
    junit_case(to, doc, js_str(d, "object", ""), js_str(d, "pointer", ""),
               is_tolerated(d) ? "skipped" : "failure",
               is_tolerated(d) ? js_str(d, "tolerated.reason", "") : text);
    free(text);
    return 0;
}

static int junit(const struct report *r, const json_t *doc) {
    const json_t *list = json_object_get(doc, "differences"), *rest = json_object_get(doc, "not_compared");
    size_t i, tolerated = 0, errors = json_array_size(rest);
    json_t *d;
    int rc = 0;
    json_array_foreach((json_t *)list, i, d) {
        tolerated += is_tolerated(d);
    }
    /* a document that decides nothing has an error, also when it lists nothing that was not compared */
    bool undecided = errors == 0 && strcmp(js_str(doc, "verdict", ""), "PASS") != 0 &&
                     strcmp(js_str(doc, "verdict", ""), "FAIL") != 0;
    (void)fprintf(
        r->to,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"pilotgate.compare\" tests=\"%zu\" "
        "failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n",
        1 + json_array_size(list) + errors, json_array_size(list) - tolerated, errors + undecided, tolerated);
    junit_case(r->to, doc, "everything else", "", undecided ? "error" : NULL, js_str(doc, "reason", ""));
    json_array_foreach((json_t *)list, i, d) {
        if (rc == 0)
            rc = junit_difference(r->to, doc, d);
    }
    json_array_foreach((json_t *)rest, i, d) {
        junit_case(r->to, doc, js_str(d, "what", ""), "", "error", js_str(d, "why", ""));
    }
    (void)fputs("</testsuite>\n", r->to);
    return rc;
}

int report_between(const struct report *r, const json_t *doc, enum report_format format) {
    if (format == REPORT_JSON)
        return report_json(r->to, doc);
    if (format == REPORT_YAML)
        return report_yaml(r->to, doc);
    if (format == REPORT_JUNIT)
        return junit(r, doc);
    if (format == REPORT_MARKDOWN)
        markdown(r, doc);
    else
        table(r, doc);
    return 0;
}
