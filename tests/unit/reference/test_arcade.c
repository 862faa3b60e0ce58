/* The built-in profile "arcade" against two stages of arcade/: one that follows it, one in which faults were
 * planted. Every planted fault is named, by object and place and with its source, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/js.h"
#include "reference/reference.h"

#define FILE_MAX (1u << 20)

static const struct norm_key key = {{7, 7, 7}};

static json_t *evaluate(const char *file, const struct norm_key *with) {
    char path[512];
    char *text = NULL;
    size_t len = 0;
    struct reference r;
    struct ref_side side;
    json_t *docs = NULL;
    json_t *findings = NULL;
    struct err e = {""};
    (void)snprintf(path, sizeof path, "%s/arcade/%s", TEST_SOURCE_DIR, file);
    if (conf_read_file(path, FILE_MAX, &text, &len, &e) < 0 || ref_load("arcade", with, &r, &e) < 0 ||
        ref_side_of_manifests(file, text, len, &key, &side, &docs, &e) < 0 ||
        ref_evaluate(&r, &side, "east/arcade", 0, &findings, &e) < 0)
        fail_msg("%s", e.text);
    ref_side_free(&side);
    ref_free(&r);
    json_decref(docs);
    free(text);
    return findings;
}

static const json_t *row_of(const json_t *findings, const char *id) {
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(findings, "rows"), i,
                       row) if (strcmp(js_str(row, "id", ""), id) == 0) return row;
    fail_msg("no row %s", id);
    return NULL;
}

/* Every row but those of `but` (ended by NULL) has this verdict; and every row says why it is asked and who
 * says so. */
static void assert_verdicts(const json_t *findings, const char *verdict, const char *const *but) {
    size_t i;
    const json_t *row;
    assert_true(json_array_size(json_object_get(findings, "rows")) > 10);
    json_array_foreach(json_object_get(findings, "rows"), i, row) {
        const char *const *b = but;
        const char *id = js_str(row, "id", "");
        assert_true(strlen(js_str(row, "why", "")) > 10 &&
                    strncmp(js_str(row, "source", ""), "ArcadeAI/", 9) == 0);
        while (*b && strcmp(*b, id) != 0)
            b++;
        if (!*b && strcmp(js_str(row, "verdict", ""), verdict) != 0)
            fail_msg("%s: %s, %s", id, js_str(row, "verdict", ""), js_str(row, "reason", ""));
    }
}

/* The row fails with these differences, "KIND/NAME POINTER", in any order. */
static void assert_named(const json_t *findings, const char *id, const char *severity,
                         const char *const *wanted) {
    const json_t *row = row_of(findings, id);
    const json_t *list = json_object_get(row, "differences");
    size_t n = 0;
    assert_string_equal(js_str(row, "verdict", ""), "FAIL");
    assert_string_equal(js_str(row, "severity", ""), severity);
    for (; wanted[n]; n++) {
        size_t i;
        const json_t *d;
        bool found = false;
        json_array_foreach(list, i, d) {
            char told[512];
            (void)snprintf(told, sizeof told, "%s %s", js_str(d, "object", ""), js_str(d, "pointer", ""));
            found = found || strcmp(told, wanted[n]) == 0;
        }
        if (!found)
            fail_msg("%s does not name %s", id, wanted[n]);
    }
    assert_int_equal(json_array_size(list), n);
}

static void good_has_nothing_unmet(void **state) {
    (void)state;
    static const char *const none[] = {NULL};
    json_t *findings = evaluate("good.yaml", &key);
    assert_verdicts(findings, "PASS", none);
    assert_string_equal(js_str(findings, "verdict", ""), "PASS");
    json_decref(findings);
}

static void bad_has_what_was_planted(void **state) {
    (void)state;
    static const char *const planted[] = {"stores-external", "stores-tls",         "worker-secret",    "tls",
                                          "replicas",        "disruption-budgets", "network-policies", NULL};
    static const char *const stores[] = {
        "StatefulSet/arcade-postgresql /spec/template/spec/containers/0/image",
        "StatefulSet/arcade-redis-master /spec/template/spec/containers/0/image", NULL};
#define ENV(deployment, i) "Deployment/arcade-" deployment " /spec/template/spec/containers/0/env/" i "/value"
    static const char *const tls[] = {ENV("engine", "3"),
                                      ENV("engine", "5"),
                                      ENV("coordinator", "3"),
                                      ENV("coordinator", "5"),
                                      ENV("experience-api", "3"),
                                      ENV("experience-api", "5"),
                                      NULL};
    static const char *const secrets[] = {ENV("engine", "9"), ENV("worker-main", "0"), NULL};
#define ALL(kind, pointer)                                                             \
    {                                                                                  \
        kind "/arcade-engine " pointer, kind "/arcade-coordinator " pointer,           \
            kind "/arcade-dashboard " pointer, kind "/arcade-experience-api " pointer, \
            kind "/arcade-worker-main " pointer, NULL                                  \
    }
    static const char *const replicas[] = ALL("Deployment", "/spec/replicas");
    static const char *const pods[] = ALL("Deployment", "/spec/template/metadata/labels");
    static const char *const ways[] = {
        "Ingress/arcade-dashboard-apex /spec/rules/0/host", "Ingress/arcade-engine /spec/rules/0/host",
        "Ingress/arcade-coordinator /spec/rules/0/host",    "Ingress/arcade-dashboard /spec/rules/0/host",
        "Ingress/arcade-experience-api /spec/rules/0/host", NULL};
    json_t *findings = evaluate("bad.yaml", &key);
    assert_verdicts(findings, "PASS", planted);
    assert_named(findings, "stores-external", "required", stores);
    assert_named(findings, "stores-tls", "recommended", tls);
    assert_named(findings, "worker-secret", "required", secrets);
    assert_named(findings, "tls", "required", ways);
    assert_named(findings, "replicas", "recommended", replicas);
    assert_named(findings, "disruption-budgets", "recommended", pods);
    assert_named(findings, "network-policies", "recommended", pods);
    assert_string_equal(js_str(findings, "verdict", ""), "FAIL");
    json_decref(findings);
}

/* Without the pilot's key nobody can say whether a Secret is a known default. */
static void without_the_key_it_is_inconclusive(void **state) {
    (void)state;
    static const char *const secret[] = {"worker-secret", NULL};
    json_t *findings = evaluate("good.yaml", NULL);
    assert_verdicts(findings, "PASS", secret);
    assert_string_equal(js_str(row_of(findings, "worker-secret"), "verdict", ""), "INCONCLUSIVE");
    assert_string_equal(js_str(findings, "verdict", ""), "INCONCLUSIVE");
    json_decref(findings);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_has_nothing_unmet),
                                       cmocka_unit_test(bad_has_what_was_planted),
                                       cmocka_unit_test(without_the_key_it_is_inconclusive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
