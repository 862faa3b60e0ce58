/* Architecture: a stage against the pilot's reference, since when it differs, over time, and two stages with
 * each other. What of an object differs at all is tests/unit/reference's; here is what of a stage there is to
 * compare, and what must be known of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "architecture.h"
#include "base/js.h"
#include "gates/gates.h"
#include "gates/hindrance.h"

/* ---- verdicts */

static void test_pass(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "PASS", "");
    assert_string_equal(js_str(o, "reference.id", ""), "test");
    assert_int_equal(json_array_size(json_object_get(o, "not_read")), 0);
    assert_true(json_array_size(json_object_get(o, "evidence")) > 0);
    assert_string_equal(js_str(arch_judged(), "gates.3.reference", ""), js_str(o, "reference.digest", "-"));
    arch_end(&s);
}

static void test_fail_names_place_and_time(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_deployment(&s, 0, MODIFIED, 50, 1);
    s.normal = "{\"spec\":{\"replicas\":1,\"paused\":true}}"; /* another change of the same object */
    scenario_object(&s, 0, MODIFIED, 60, 59, "Deployment", "gateway", "d1b");
    s.normal = "{\"spec\":{\"replicas\":1,\"paused\":false}}";
    scenario_object(&s, 0, MODIFIED, 70, 69, "Deployment", "gateway", "d1c");
    s.normal = NULL;
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "FAIL", "");
    const json_t *d = arch_difference(o, "replicas");
    assert_string_equal(js_str(d, "object", ""), "Deployment/gateway");
    assert_string_equal(js_str(d, "pointer", ""), "/spec/replicas");
    assert_string_equal(js_str(d, "found", ""), "1");
    assert_null(json_object_get(d, "tag"));
    assert_non_null(strstr(js_str(d, "evidence.0", ""), "east/shop/n1@"));
    arch_expect_since(o, "replicas", 50, "at");
    assert_string_equal(js_str(arch_row(o, "budget"), "verdict", ""), "PASS");
    arch_end(&s);
}

/* One replica, then none: both are too few. Enough of them in between begin anew. */
static void test_since_it_is_unmet(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_deployment(&s, 0, MODIFIED, 50, 1);
    s.normal = "{\"spec\":{\"replicas\":0}}";
    scenario_object(&s, 0, MODIFIED, 60, 59, "Deployment", "gateway", "d0");
    s.normal = NULL;
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    assert_string_equal(js_str(arch_difference(o, "replicas"), "found", ""), "0");
    arch_expect_since(o, "replicas", 50, "at");
    arch_deployment(&s, 0, MODIFIED, 110, 3);
    arch_deployment(&s, 0, MODIFIED, 120, 1);
    arch_read_at(&s, 130, arch_all);
    arch_expect_since(arch_stage_at(&s, 131), "replicas", 120, "at");
    arch_end(&s);
}

static void test_missing_since_it_went(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    scenario_object(&s, 0, DELETED, 70, 69, "PodDisruptionBudget", "gateway", "");
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "FAIL", "");
    arch_expect_since(o, "budget", 70, "at");
    arch_expect(arch_stage_at(&s, 101), "FAIL", "");
    arch_end(&s);
}

static void test_before_it_came(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    scenario_object(&s, 0, DELETED, 70, 69, "PodDisruptionBudget", "gateway", "");
    arch_read_at(&s, 60, arch_all);
    arch_expect(arch_stage_at(&s, 61), "PASS", "");
    arch_end(&s);
}

static void test_always_so_is_at_most(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    scenario_clock(&s, scenario_agent(&s, "n1"), 2, 0, 0.001);
    scenario_agent(&s, "n2");
    arch_declare(&s, arch_reference, NULL);
    s.replicas = 1;
    scenario_object(&s, 0, LISTED, 10, 0, "Deployment", "gateway", "d1");
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "FAIL", "");
    arch_expect_since(o, "replicas", 10, "at most");
    arch_expect_since(o, "budget", 10, "at most");
    arch_end(&s);
}

static void test_recommended_alone_passes(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    scenario_object(&s, 0, DELETED, 70, 69, "NetworkPolicy", "gateway", "");
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "PASS", "");
    assert_string_equal(js_str(arch_row(o, "policy"), "verdict", ""), "FAIL");
    arch_end(&s);
}

static void test_tolerated(void **state) {
    (void)state;
    struct scenario s;
    char yaml[2048];
    arch_begin(&s);
    json_decref(s.c.ev.reference);
    (void)snprintf(
        yaml, sizeof yaml,
        "%stolerate:\n  - {expectation: replicas, stage: east/shop, reason: a small cluster, owner: "
        "platform team}\n",
        arch_reference);
    arch_declare(&s, yaml, NULL);
    arch_deployment(&s, 0, MODIFIED, 50, 1);
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "PASS", "");
    assert_string_equal(js_str(arch_difference(o, "replicas"), "tolerated.owner", ""), "platform team");
    arch_end(&s);
}

/* ---- what keeps it from ever passing */

static bool stops(const struct scenario *s, const json_t *stage, const char *text) {
    static const struct plan_rules rules;
    static const struct plan_stage load;
    json_t *list = json_array();
    struct hindrance_input in = {&s->c.stages[0], &load, &rules, 0, s->c.at_ns, stage};
    hindrances_of_stage(&in, list);
    size_t i;
    json_t *x;
    bool found = false;
    json_array_foreach(list, i, x) {
        found |= strcmp(js_str(x, "gate", ""), "architecture") == 0 && strstr(js_str(x, "what", ""), text) &&
                 *js_str(x, "do", "");
    }
    json_decref(list);
    return found;
}

static void test_hindrances(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: secrets, title: r, severity: required, why: w, source: s,\n"
                               "     check: default-secrets, with: {known: [dev]}}\n";
    struct scenario s;
    arch_begin(&s);
    static const char *const no_budgets[] = {"Pod", "Deployment", "PodDisruptionBudget!RBAC: allow list",
                                             NULL};
    arch_read_at(&s, 100, no_budgets);
    const json_t *o = arch_stage_at(&s, 101);
    assert_true(stops(&s, o, "objects of kind PodDisruptionBudget are not read"));
    assert_false(stops(&s, o, "key"));
    assert_false(stops(&s, o, "no reference"));
    json_decref(s.c.ev.reference);
    arch_declare(&s, yaml, NULL);
    o = arch_stage_at(&s, 101);
    arch_expect(o, "INCONCLUSIVE", "");
    assert_true(stops(&s, o, "without the pilot's key"));
    json_decref(s.c.ev.reference);
    s.c.ev.reference = NULL;
    assert_true(stops(&s, NULL, "not in the store"));
    json_object_del(s.c.ev.pilot, "architecture");
    assert_true(stops(&s, NULL, "no reference is declared"));
    arch_end(&s);
}

/* ---- over time, and the same bytes */

static void test_same_bytes(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_deployment(&s, 0, MODIFIED, 50, 1);
    arch_read_at(&s, 100, arch_all);
    char *first = json_dumps(arch_stage_at(&s, 101), 0), *second = json_dumps(arch_stage_at(&s, 101), 0);
    assert_string_equal(first, second);
    free(first);
    free(second);
    arch_end(&s);
}

static void test_over(void **state) {
    (void)state;
    struct scenario s;
    struct err e;
    json_t *list;
    arch_begin(&s);
    arch_deployment(&s, 0, MODIFIED, 50, 1);
    arch_deployment(&s, 0, MODIFIED, 80, 3);
    for (double t = 5; t < 100; t += 2)
        arch_read_at(&s, t, arch_all);
    (void)arch_stage_at(&s, 101);
    const struct facts *f = &s.c.stages[0];
    assert_int_equal(gates_architecture_over(&s.c, f, 0, s.c.at_ns, &list, &e), 0);
    /* the budget is there from 11 on, the policy from 12, one replica from 50 to 80 */
    static const char *const verdicts[] = {"FAIL", "PASS", "PASS", "FAIL", "PASS"};
    if (json_array_size(list) != 5)
        fail_msg("%s", json_dumps(list, JSON_INDENT(1)));
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(js_str(json_array_get(list, i), "verdict", ""), verdicts[i]);
    assert_string_equal(js_str(json_array_get(list, 3), "moved.0.id", ""), "replicas");
    assert_string_equal(js_str(json_array_get(list, 3), "moved.0.to", ""), "FAIL");
    assert_string_equal(js_str(json_array_get(list, 4), "rows.replicas", ""), "PASS");
    json_decref(list);
    arch_end(&s);
}

static void test_between(void **state) {
    (void)state;
    static const char *const every[] = {"Pod",
                                        "Deployment",
                                        "StatefulSet",
                                        "DaemonSet",
                                        "CronJob",
                                        "Service",
                                        "ConfigMap",
                                        "Secret",
                                        "Ingress",
                                        "NetworkPolicy",
                                        "Role",
                                        "RoleBinding",
                                        "ServiceAccount",
                                        "PersistentVolumeClaim",
                                        "PodDisruptionBudget",
                                        "HorizontalPodAutoscaler",
                                        NULL};
    struct scenario s;
    struct err e = {""};
    json_t *doc;
    arch_begin(&s);
    arch_read_at(&s, 100, arch_all);
    (void)arch_stage_at(&s, 101);
    assert_int_equal(gates_compare(&s.c, "east/shop", "east/shop", s.c.at_ns, &doc, &e), 0);
    assert_string_equal(js_str(doc, "verdict", ""), "INCONCLUSIVE"); /* the reference's kinds are not all */
    assert_true(json_array_size(json_object_get(doc, "not_compared")) > 0);
    json_decref(doc);
    arch_read_at(&s, 101, every);
    (void)arch_stage_at(&s, 102);
    assert_int_equal(gates_compare(&s.c, "east/shop", "east/shop", s.c.at_ns, &doc, &e), 0);
    assert_string_equal(js_str(doc, "verdict", ""), "PASS");
    json_decref(doc);
    assert_int_equal(gates_compare(&s.c, "east/shop", "west/shop", s.c.at_ns, &doc, &e), -ENOENT);
    assert_non_null(strstr(e.text, "west/shop"));
    arch_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass),
        cmocka_unit_test(test_fail_names_place_and_time),
        cmocka_unit_test(test_since_it_is_unmet),
        cmocka_unit_test(test_missing_since_it_went),
        cmocka_unit_test(test_before_it_came),
        cmocka_unit_test(test_always_so_is_at_most),
        cmocka_unit_test(test_recommended_alone_passes),
        cmocka_unit_test(test_tolerated),
        cmocka_unit_test(test_hindrances),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_over),
        cmocka_unit_test(test_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
