/* The judge, on scenarios: one pilot that passes everything, and what each single fault makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "gates/gates.h"
#include "pilot.h"

static void expect(const struct fault *x, double at, const char *gate, const char *verdict,
                   const char *reason) {
    pilot_expect(x, NULL, at, gate, verdict, reason);
}

static const struct fault none;

static void good_pilot_passes(void **state) {
    (void)state;
    expect(&none, 290, "helm-deployment", "PASS", "from clean namespace");
    expect(&none, 290, "config-safety", "PASS", "0 of 320 calls in flight across 2 changes");
    expect(&none, 290, "rollback", "PASS", "restored revision 1");
    expect(&none, 290, "architecture", "PENDING", "reference");
    expect(&none, 290, "dedicated-se", "PENDING", "support");
}

static void nothing_is_said_too_early(void **state) {
    (void)state;
    expect(&none, 210, "config-safety", "PENDING", "not settled");
    expect(&none, 210, "rollback", "PENDING", "not settled");
}

static void lost_calls_fail(void **state) {
    (void)state;
    expect(&(struct fault){.lost_call = 1}, 290, "config-safety", "FAIL", "2 calls dropped");
    expect(&(struct fault){.lost_call = 1, .control_fails = 1}, 290, "config-safety", "INCONCLUSIVE",
           "control");
    expect(&(struct fault){.rate_limited = 1}, 290, "config-safety", "INCONCLUSIVE", "429");
}

static void missing_evidence_is_no_pass(void **state) {
    (void)state;
    static const struct {
        struct fault x;
        const char *reason;
    } cases[] = {
        {{.few = 1}, "too few calls in flight"},
        {{.no_clock = 1}, "clock"},
        {{.no_second_agent = 1}, "nobody watched on (an expected agent)"},
        {{.killed_in_change = 1}, "nobody watched on node n2"},
        {{.killed_in_change = 1, .bye_in_change = 1}, "nobody watched on node n2"},
        {{.killed_before_change = 1}, "nobody watched on node n2"},
        {{.loss = 1}, "5 records of node n1 were lost"},
        {{.conflict = 1}, "different content"},
        {{.uncalled = 1}, "sum was listed, but no call proved"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(&cases[i].x, 290, "config-safety", "INCONCLUSIVE", cases[i].reason);
    expect(&(struct fault){.unknown_outcome = 1}, 290, "config-safety", "INCONCLUSIVE", "does not know");
}

static void a_change_of_nothing_is_inconclusive(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &(struct fault){.no_effect = 1});
    json_t *result = scenario_judge(&s, 190);
    const json_t *change = js_at(scenario_gate(result, "config-safety"), "changes.0");
    assert_string_equal(js_str(change, "id", ""), "shop.v2");
    assert_string_equal(js_str(change, "verdict", ""), "INCONCLUSIVE");
    assert_non_null(strstr(js_str(change, "reason", ""), "changed nothing"));
    json_decref(result);
    scenario_end(&s);
}

static void open_calls_of_a_dead_agent_are_unresolved(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &(struct fault){.killed_in_change = 1, .open_at_end = 1});
    json_t *result = scenario_judge(&s, 290);
    const json_t *change = js_at(scenario_gate(result, "config-safety"), "changes.0");
    assert_int_equal(js_int(change, "measured.unresolved", -1), 1);
    json_decref(result);
    scenario_end(&s);
}

static void secrets_refused_is_inconclusive(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, RULES);
    size_t a = scenario_agent(&s, "n1");
    scenario_unreadable(&s, a, 2, "HelmRelease", "RBAC: allow list on secrets");
    json_t *result = scenario_judge(&s, 50);
    assert_string_equal(js_str(scenario_gate(result, "helm-deployment"), "verdict", ""), "INCONCLUSIVE");
    assert_non_null(strstr(js_str(scenario_gate(result, "helm-deployment"), "reason", ""), "RBAC"));
    assert_string_equal(js_str(scenario_gate(result, "rollback"), "verdict", ""), "INCONCLUSIVE");
    assert_string_equal(js_str(scenario_gate(result, "config-safety"), "verdict", ""), "PENDING");
    assert_int_equal(gates_exit_status(result, NULL, NULL), 3);
    json_decref(result);
    scenario_end(&s);
}

static void slow_deployment_fails(void **state) {
    (void)state;
    expect(&(struct fault){.late_first_call = 1}, 90100, "helm-deployment", "FAIL", "24 h 59 min");
}

static void rollback_must_restore(void **state) {
    (void)state;
    expect(&(struct fault){.live_differs = 1}, 290, "rollback", "FAIL", "ConfigMap/gateway-config");
    expect(&(struct fault){.leftover = 1}, 290, "rollback", "FAIL", "Service/left-behind");
    expect(&(struct fault){.product_differs = 1}, 290, "rollback", "FAIL", "ProductConfiguration/caddy");
    expect(&(struct fault){.unread_product = 1}, 290, "rollback", "INCONCLUSIVE", "was not read");
    expect(&(struct fault){.crash = 1}, 290, "rollback", "FAIL", "CrashLoopBackOff");
    expect(&(struct fault){.not_deployed = 1}, 290, "rollback", "PENDING", "not completed");
    expect(&(struct fault){.not_deployed = 1}, 2000, "rollback", "FAIL", "not deployed within");
}

static void units_and_bounds_agree(void **state) {
    (void)state;
    assert_int_equal(gates_units_needed(0.001, 0.95), 2995);
    assert_true(gates_rate_bound(2995, 0.95) <= 0.001);
    assert_true(gates_rate_bound(2994, 0.95) > 0.001);
    assert_true(gates_rate_bound(0, 0.95) == 1);
}

static void equal_evidence_gives_equal_bytes(void **state) {
    (void)state;
    char *text[2];
    for (int i = 0; i < 2; i++) {
        struct scenario s;
        pilot_play(&s, &(struct fault){.lost_call = 1});
        json_t *result = scenario_judge(&s, 290);
        text[i] = js_canonical(result);
        json_decref(result);
        scenario_end(&s);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_pilot_passes),
        cmocka_unit_test(nothing_is_said_too_early),
        cmocka_unit_test(lost_calls_fail),
        cmocka_unit_test(missing_evidence_is_no_pass),
        cmocka_unit_test(a_change_of_nothing_is_inconclusive),
        cmocka_unit_test(open_calls_of_a_dead_agent_are_unresolved),
        cmocka_unit_test(secrets_refused_is_inconclusive),
        cmocka_unit_test(slow_deployment_fails),
        cmocka_unit_test(rollback_must_restore),
        cmocka_unit_test(units_and_bounds_agree),
        cmocka_unit_test(equal_evidence_gives_equal_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
