/* test_compare: the writers of `compare` on findings as reference/reference.h has them: every cell is there
 * in any width, what is unmet has its reason, and what others say is obeyed by nobody. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "report/report.h"

static const struct report_head head = {
    .pilot = "demo", .at = "2026-11-23T12:00:00Z", .evaluator = "pilotgate test", .commit = 41};

/* ---- documents */

static json_t *finding(const char *id, const char *severity, const char *verdict, const char *reason) {
    json_t *f = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[], s:[]}", "id", id, "title",
                          "what it asks for", "severity", severity, "verdict", verdict, "reason", reason,
                          "why", "it matters", "source", "the vendor", "tolerated", "differences");
    assert_non_null(f);
    return f;
}

static void differ(json_t *f, const char *pointer, const char *found, const char *owner) {
    json_t *d =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "object", "Deployment/shop-engine", "pointer", pointer,
                  "where", "container engine", "what", "different", "expected", ">= 2", "found", found);
    if (owner) {
        json_t *t = json_pack("{s:s, s:s}", "reason", "small pilot", "owner", owner);
        (void)json_object_set(d, "tolerated", t);
        (void)json_object_set_new(t, "n", json_integer(1));
        (void)json_array_append_new(json_object_get(f, "tolerated"), t);
    }
    assert_int_equal(json_array_append_new(json_object_get(f, "differences"), d), 0);
}

/* Five rows of which this stage fails "pdb", does not know "tls" and tolerates "replicas", when it is bad. */
static json_t *stage(const char *name, bool bad) {
    json_t *rows = json_array();
    json_t *replicas = finding("replicas", "required", "PASS", "met");
    json_t *pdb = finding("every-deployment-has-a-disruption-budget-that-selects-its-pods", "required",
                          bad ? "FAIL" : "PASS", "1 of 4 Deployments has no PodDisruptionBudget");
    json_t *tls = finding("tls", "recommended", bad ? "INCONCLUSIVE" : "PASS", "Ingresses were not read");
    if (bad) {
        differ(replicas, "/spec/replicas", "1", "Ann");
        for (int i = 0; i < 5; i++)
            differ(pdb, "/spec/selector", "\033[31mnone|<b>", NULL);
    }
    (void)json_array_append_new(rows, replicas);
    (void)json_array_append_new(rows, tls);
    (void)json_array_append_new(rows, pdb);
    (void)json_array_append_new(rows, finding("probes", "required", "PASS", "met"));
    (void)json_array_append_new(rows, finding("usage", "info", "PASS", "met"));
    json_t *s =
        json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s}, s:o, s:{s:{s:f}, s:{s:i}, s:{s:i}}}", "stage", name,
                  "verdict", bad ? "FAIL" : "PASS", "reason",
                  bad ? "1 of 3 required expectations is not met: every-deployment" : "all are met",
                  "reference", "id", "arcade", "title", "Recommended for production", "digest",
                  "0123456789abcdef", "rows", rows, "match", "required", "percent", bad ? 66.9 : 100.0,
                  "recommended", "percent", bad ? 0 : 100, "info", "percent", 100);
    assert_non_null(s);
    return s;
}

static json_t *pending(const char *name) {
    return json_pack("{s:s, s:s, s:s}", "stage", name, "verdict", "PENDING", "reason",
                     "no reference is declared: name one in the pilot's file under architecture");
}

/* Takes the stages. */
static json_t *made(json_t *stages) {
    json_t *doc = NULL;
    assert_int_equal(report_compare_make(&head, stages, &doc), 0);
    json_decref(stages);
    return doc;
}

static json_t *two_stages(void) {
    return made(json_pack("[o, o]", stage("east/shop", false), stage("west/shop", true)));
}

/* ---- writing */

enum which { COMPARE, BETWEEN, OVER };

static char *written(const json_t *doc, enum which which, enum report_format format, unsigned width,
                     bool all) {
    char *text = NULL;
    size_t len = 0;
    struct report r = {.to = open_memstream(&text, &len), .width = width};
    assert_non_null(r.to);
    if (which == COMPARE)
        assert_int_equal(report_compare(&r, doc, format, all), 0);
    else if (which == BETWEEN)
        assert_int_equal(report_between(&r, doc, format), 0);
    else
        assert_int_equal(report_over(&r, doc, format), 0);
    assert_int_equal(fclose(r.to), 0);
    if (getenv("SHOW"))
        (void)fprintf(stderr, "%s----\n", text);
    return text;
}

static size_t count(const char *text, const char *word) {
    size_t n = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

static void assert_has(const char *text, const char *word) {
    if (!strstr(text, word))
        fail_msg("no '%s' in\n%s", word, text);
}

/* ---- the document */

static void test_rows_by_severity_with_each_stages_verdict(void **state) {
    (void)state;
    json_t *doc = two_stages();
    const json_t *rows = json_object_get(doc, "rows");
    static const char *const order[] = {"replicas",
                                        "every-deployment-has-a-disruption-budget-that-selects-its-pods",
                                        "probes", "tls", "usage"};
    assert_int_equal(json_array_size(rows), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(js_str(json_array_get(rows, i), "id", ""), order[i]);
    assert_string_equal(js_str(json_array_get(rows, 1), "/cells/west~1shop", ""), "FAIL");
    assert_string_equal(js_str(json_array_get(rows, 1), "/cells/east~1shop", ""), "PASS");
    assert_int_equal(js_int(json_array_get(rows, 0), "/tolerated/west~1shop", 0), 1);
    assert_null(js_at(json_array_get(rows, 0), "/tolerated/east~1shop"));
    assert_string_equal(js_str(doc, "verdict", ""), "FAIL");
    assert_string_equal(js_str(doc, "reference.id", ""), "arcade");
    json_decref(doc);
}

static void test_the_worst_stage_decides(void **state) {
    (void)state;
    json_t *doc = made(json_pack("[o, o]", stage("a/b", false), pending("c/d")));
    assert_string_equal(js_str(doc, "verdict", ""), "PENDING");
    json_decref(doc);
    doc = made(json_pack("[o]", stage("a/b", false)));
    assert_string_equal(js_str(doc, "verdict", ""), "PASS");
    json_decref(doc);
    doc = made(json_array());
    assert_string_equal(js_str(doc, "verdict", ""), "PENDING");
    json_decref(doc);
}

/* ---- the table */

static void test_a_table_says_what_is_unmet_and_why(void **state) {
    (void)state;
    json_t *doc = two_stages();
    char *text = written(doc, COMPARE, REPORT_TABLE, 0, false);
    assert_has(text, "east/shop  PASS ");
    assert_has(text, "2 rows are ok on every stage that was compared: --all shows them");
    assert_null(strstr(text, "probes"));
    assert_has(text, "  replicas ");
    assert_has(text, "tolerated");
    assert_has(text, "66 %"); /* never rounded up */
    assert_has(text, "    west/shop  1 of 4 Deployments has no PodDisruptionBudget\n");
    assert_has(text, "      Deployment/shop-engine /spec/selector (container engine): expected >= 2, "
                     "found ?[31mnone|<b>\n");
    assert_int_equal(count(text, "/spec/selector"), 3);
    assert_has(text, "... and 2 more\n");
    assert_has(text, "      1, owner Ann:  small pilot\n");
    assert_has(text, "\nnot known\n  west/shop\n    tls:\n      Ingresses were not read\n");
    assert_has(text, "pilotgate explain architecture");
    assert_null(strchr(text, '\033'));
    free(text);
    text = written(doc, COMPARE, REPORT_TABLE, 0, true);
    assert_has(text, "  probes ");
    assert_null(strstr(text, "--all"));
    free(text);
    json_decref(doc);
}

static void test_colours_are_only_colours(void **state) {
    (void)state;
    json_t *doc = two_stages();
    char *text = NULL;
    size_t len = 0;
    struct report r = {.to = open_memstream(&text, &len), .colour = true};
    assert_int_equal(report_compare(&r, doc, REPORT_TABLE, true), 0);
    assert_int_equal(fclose(r.to), 0);
    assert_has(text, "\033[31mFAIL");
    size_t kept = 0;
    for (size_t i = 0; text[i]; i++) {
        if (text[i] == '\033')
            i += strcspn(text + i, "m");
        else
            text[kept++] = text[i];
    }
    text[kept] = 0;
    char *without = written(doc, COMPARE, REPORT_TABLE, 0, true);
    assert_string_equal(text, without);
    free(without);
    free(text);
    json_decref(doc);
}

static void assert_lines_fit(const char *text, unsigned width) {
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        char one[4096];
        (void)snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
        if (report_columns(one) > width)
            fail_msg("wider than %u: %s", width, one);
    }
}

/* Up to the reasons below: those name objects and values, which are never cut. */
static void cut_reasons(char *text) {
    char *below = strstr(text, "\nunmet\n");
    if (below)
        *below = 0;
}

static void test_no_cell_is_lost_in_any_width(void **state) {
    (void)state;
    json_t *stages = json_array();
    char name[64];
    for (int i = 0; i < 23; i++) {
        (void)snprintf(name, sizeof name, "cluster-with-a-long-name-%d/namespace-of-the-shop", i);
        (void)json_array_append_new(stages, stage(name, i % 2));
    }
    json_t *doc = made(stages);
    for (unsigned width = 40; width <= 400; width += 20) {
        char *text = written(doc, COMPARE, REPORT_TABLE, width, true);
        assert_has(text, "[23]");
        cut_reasons(text);
        const char *tables = strstr(text, "EXPECTATION");
        assert_non_null(tables);
        assert_int_equal(count(tables, "FAIL ") + count(tables, "FAIL\n"), 11);
        assert_int_equal(count(tables, "66 %"), 11);
        if (width >= 80)
            assert_lines_fit(tables, width);
        free(text);
    }
    json_decref(doc);
}

static void test_a_stage_that_was_not_compared_is_not_known(void **state) {
    (void)state;
    json_t *doc = made(json_pack("[o, o]", stage("a/b", false), pending("c/d")));
    char *text = written(doc, COMPARE, REPORT_TABLE, 0, false);
    assert_has(text, "c/d    PENDING       no reference is declared: name one");
    assert_has(text, "5 rows are ok on every stage that was compared");
    free(text);
    text = written(doc, COMPARE, REPORT_TABLE, 0, true);
    assert_has(text, "ok     ?");
    assert_has(text, "100 %  ?");
    free(text);
    json_decref(doc);
    doc = made(json_pack("[o]", pending("c/d")));
    text = written(doc, COMPARE, REPORT_TABLE, 80, false);
    assert_has(text, "no reference is declared");
    assert_null(strstr(text, "EXPECTATION"));
    free(text);
    json_decref(doc);
}

static void test_what_is_not_known_is_told_once_a_reason(void **state) {
    (void)state;
    json_t *s = stage("a/b", true);
    json_t *kinds = json_pack("[{s:s, s:s}, {s:s, s:s}]", "kind", "Ingress", "reason", "refused", "kind",
                              "HTTPRoute", "reason", "refused");
    (void)json_array_append_new(json_object_get(s, "rows"),
                                finding("hosts", "info", "INCONCLUSIVE", "Ingresses were not read"));
    (void)json_object_set_new(s, "not_read", kinds);
    json_t *doc = made(json_pack("[o]", s));
    char *text = written(doc, COMPARE, REPORT_TABLE, 80, false);
    assert_has(text, "not known\n  a/b\n    tls, hosts:\n      Ingresses were not read\n");
    assert_has(text, "not read\n  a/b\n    Ingress, HTTPRoute:\n      refused\n");
    free(text);
    json_decref(doc);
}

/* ---- for others */

static void test_markdown_for_a_scorecard(void **state) {
    (void)state;
    json_t *doc = two_stages();
    char *text = written(doc, COMPARE, REPORT_MARKDOWN, 0, false);
    assert_has(text, "| Severity | Expectation | east/shop | west/shop |\n|---|---|---|---|\n");
    assert_has(text, "| required | what it asks for (replicas) | ok | tolerated |\n");
    assert_has(text, "| ok | **FAIL** |\n");
    assert_has(text, "| recommended | what it asks for (tls) | ok | ? |\n");
    assert_has(text, "| required | **match** | 100 % | 66 % |\n");
    assert_has(text, "| | **verdict** | PASS | FAIL |\n");
    assert_has(text, "- west/shop, replicas, 1 tolerated: small pilot (owner: Ann)\n");
    assert_has(text, "reference arcade (0123456789ab)");
    free(text);
    json_decref(doc);
}

static void test_junit_fails_where_the_verdict_does(void **state) {
    (void)state;
    json_t *doc = two_stages();
    char *text = written(doc, COMPARE, REPORT_JUNIT, 0, false);
    assert_has(text, "tests=\"10\" failures=\"1\" errors=\"0\" skipped=\"1\">");
    assert_has(text,
               "classname=\"pilotgate.architecture.west/shop\" name=\"tls\"><skipped type=\"INCONCLUSIVE\"");
    assert_has(text, "<failure type=\"FAIL\" message=\"1 of 4 Deployments");
    assert_has(text, "found ?[31mnone|&lt;b&gt;\n");
    assert_int_equal(count(text, "<testcase "), 10);
    free(text);
    json_decref(doc);
    doc = made(json_pack("[o]", pending("c/d")));
    text = written(doc, COMPARE, REPORT_JUNIT, 0, false);
    assert_has(text, "tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">");
    free(text);
    json_decref(doc);
}

static void assert_same_document(const json_t *doc, enum which which) {
    struct err e = {""};
    json_t *json = NULL, *yaml = NULL;
    char *text = written(doc, which, REPORT_JSON, 0, false);
    assert_int_equal(js_parse(text, strlen(text), JS_TEXT_MAX, &json, &e), 0);
    free(text);
    text = written(doc, which, REPORT_YAML, 0, false);
    assert_int_equal(conf_yaml_to_json("written", text, strlen(text), &yaml, &e), 0);
    assert_true(json_equal(json, doc) && json_equal(yaml, doc));
    free(text);
    json_decref(json);
    json_decref(yaml);
}

static void test_documents(void **state) {
    (void)state;
    json_t *doc = two_stages();
    assert_same_document(doc, COMPARE);
    json_decref(doc);
}

/* ---- two stages */

static json_t *pair(void) {
    struct err e = {""};
    json_t *doc = NULL;
    static const char text[] =
        "{pilot: demo, at: '2026-11-23T12:00:00Z', commit: 41, evaluator: pilotgate test, a: east/shop, "
        "b: west/shop, verdict: FAIL, reason: 3 differences, 1 of them tolerated, more: 2, "
        "objects: {a: 23, b: 22, paired: 21}, differences: ["
        "{object: Deployment/shop-engine, pointer: /spec/replicas, what: different, expected: '3', found: "
        "'2', "
        "since_a: '2026-11-23T10:00:00Z', since_bound_a: at most, since_b: '2026-11-23T11:00:00Z', "
        "since_bound_b: at}, "
        "{object: Deployment/shop-engine, pointer: /spec/template/spec/containers/0/image, where: container "
        "engine, "
        "what: different, expected: \"engine:1 \\e[2J\", found: 'engine:2', "
        "tolerated: {reason: rolled out | by region, owner: Ann}}, "
        "{object: PodDisruptionBudget/shop-engine, pointer: '', what: missing}, "
        "{object: ConfigMap/left-over, pointer: '', what: extra}], "
        "not_compared: [{what: Secret/shop, why: no agent may read Secrets}]}";
    const char *comma = strstr(text, "3 differences,");
    assert_non_null(comma);
    char *copy = strdup(text);
    copy[comma - text + 13] = ';'; /* a comma would end the value */
    if (conf_yaml_to_json("pair", copy, strlen(copy), &doc, &e) < 0)
        fail_msg("%s", e.text);
    free(copy);
    return doc;
}

static void test_two_stages(void **state) {
    (void)state;
    json_t *doc = pair();
    char *text = written(doc, BETWEEN, REPORT_TABLE, 100, false);
    assert_has(text, "east/shop (23 objects) and west/shop (22 objects), 21 paired\n");
    assert_has(text, "different\n  Deployment/shop-engine\n    /spec/replicas\n"
                     "      east/shop  3   at least since 2026-11-23T10:00:00Z\n"
                     "      west/shop  2   since 2026-11-23T11:00:00Z\n");
    assert_has(text, "only on east/shop\n  PodDisruptionBudget/shop-engine\n");
    assert_has(text, "only on west/shop\n  ConfigMap/left-over\n");
    assert_has(text,
               "tolerated\n  Deployment/shop-engine\n    /spec/template/spec/containers/0/image  (container "
               "engine)\n      east/shop  engine:1 ?[2J\n");
    assert_has(text, "tolerated by Ann: rolled out | by region\n");
    assert_has(text, "... and 2 more differences\n");
    assert_has(text, "Secret/shop:  no agent may read Secrets\n");
    free(text);
    text = written(doc, BETWEEN, REPORT_MARKDOWN, 0, false);
    assert_has(text, "| PodDisruptionBudget/shop-engine |  | there | absent |  |  |\n");
    assert_has(text, "| ConfigMap/left-over |  | absent | there |  |  |\n");
    assert_has(text, "rolled out \\| by region (owner: Ann) |\n");
    free(text);
    text = written(doc, BETWEEN, REPORT_JUNIT, 0, false);
    assert_has(text, "tests=\"6\" failures=\"3\" errors=\"1\" skipped=\"1\">");
    assert_int_equal(count(text, "<testcase "), 6);
    assert_int_equal(count(text, "<failure "), 3);
    free(text);
    assert_same_document(doc, BETWEEN);
    json_decref(doc);
}

static void test_two_stages_of_which_nothing_is_known(void **state) {
    (void)state;
    json_t *doc = json_pack("{s:s, s:s, s:[], s:[], s:s, s:s}", "a", "a/b", "b", "c/d", "differences",
                            "not_compared", "verdict", "INCONCLUSIVE", "reason", "c/d was not read");
    char *text = written(doc, BETWEEN, REPORT_JUNIT, 0, false);
    assert_has(text, "tests=\"1\" failures=\"0\" errors=\"1\"");
    assert_has(text, "<error message=\"c/d was not read\"/>");
    free(text);
    json_decref(doc);
}

/* ---- over time */

static json_t *moving(void) {
    struct err e = {""};
    json_t *doc = NULL;
    static const char text[] =
        "{pilot: demo, at: '2026-11-23T12:00:00Z', commit: 41, stages: ["
        "{stage: east/shop, moments: ["
        "{at: '2026-11-23T10:00:00.123456789Z', verdict: INCONCLUSIVE, match: {required: {percent: 50}}, "
        "rows: {tls: INCONCLUSIVE}, moved: []}, "
        "{at: '2026-11-23T11:00:00Z', verdict: PASS, match: {required: {percent: 100}}, rows: {tls: PASS}, "
        "moved: ["
        "{id: replicas, from: FAIL, to: PASS}, {id: tls, from: INCONCLUSIVE, to: PASS}]}]}, "
        "{stage: north/shop, cut: true, moments: [{at: '2026-11-23T11:00:00Z', verdict: PENDING, match: "
        "null, rows: {}, "
        "moved: []}]}, "
        "{stage: west/shop, moments: [], reason: no reference is declared}]}";
    if (conf_yaml_to_json("moving", text, strlen(text), &doc, &e) < 0)
        fail_msg("%s", e.text);
    return doc;
}

static void test_over_time(void **state) {
    (void)state;
    json_t *doc = moving();
    assert_non_null(doc);
    char *text = written(doc, OVER, REPORT_TABLE, 0, false);
    assert_has(text, "INCONCLUSIVE  compared for the first time\n");
    assert_has(text, "PASS          replicas: FAIL -> ok, tls: ? -> ok\n");
    assert_has(text, "PENDING       not compared\n  these are the newest: ");
    assert_has(text, "west/shop\n  no reference is declared\n");
    free(text);
    text = written(doc, OVER, REPORT_TABLE, 80, false);
    assert_has(text, "replicas: FAIL -> ok, tls: ? -> ok\n");
    assert_lines_fit(text, 80);
    free(text);
    text = written(doc, OVER, REPORT_MARKDOWN, 0, false);
    assert_has(
        text,
        "| east/shop | 2026-11-23T11:00:00Z | 100 % | ? | ? | PASS | replicas: FAIL -> ok, tls: ? -> ok |\n");
    free(text);
    struct report r = {.to = stdout};
    assert_int_equal(report_over(&r, doc, REPORT_JUNIT), -ENOTSUP);
    assert_same_document(doc, OVER);
    json_decref(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_by_severity_with_each_stages_verdict),
        cmocka_unit_test(test_the_worst_stage_decides),
        cmocka_unit_test(test_a_table_says_what_is_unmet_and_why),
        cmocka_unit_test(test_colours_are_only_colours),
        cmocka_unit_test(test_no_cell_is_lost_in_any_width),
        cmocka_unit_test(test_a_stage_that_was_not_compared_is_not_known),
        cmocka_unit_test(test_what_is_not_known_is_told_once_a_reason),
        cmocka_unit_test(test_markdown_for_a_scorecard),
        cmocka_unit_test(test_junit_fails_where_the_verdict_does),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_two_stages),
        cmocka_unit_test(test_two_stages_of_which_nothing_is_known),
        cmocka_unit_test(test_over_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
