/* The judge, on scenarios: one pilot that passes everything, and what each single fault makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "gates/gates.h"
#include "scenario.h"

#define OK PILOTGATE__OUTCOME__OUTCOME_COMPLETED
#define REUSED PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED
#define CONTROL PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL
#define LISTED PILOTGATE__OBJECT__OP__OP_LISTED
#define ADDED PILOTGATE__OBJECT__OP__OP_ADDED
#define MODIFIED PILOTGATE__OBJECT__OP__OP_MODIFIED
#define RULES \
    "{\"max_drop_rate\":0.02,\"longest_call\":\"15s\",\"keep_alive\":\"5s\",\"min_in_flight_per_kind\":30}"

#define TOOLS_1 "\"echo\",\"hold\""
#define TOOLS_2 "\"echo\",\"hold\",\"sum\""

/* What differs from the good pilot. */
struct fault {
    int no_clock, no_second_agent, killed_in_change, bye_in_change, few, no_effect, uncalled, unreadable,
        lost_call, control_fails, conflict, loss, leftover, product_differs, unread_product, late_first_call,
        open_at_end, rate_limited, unknown_outcome, live_differs, not_deployed, crash;
};

static void install(struct scenario *s, size_t a, const struct fault *x) {
    scenario_phase(s, a, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    scenario_release(s, a, ADDED, 5, 5.2, 1, "pending-install", "Initial install underway", "m1");
    scenario_object(s, a, ADDED, 5.5, 0, "ConfigMap", "gateway-config", "c1");
    scenario_object(s, a, ADDED, 5.5, 0, "Deployment", "gateway", "d1");
    scenario_phase(s, a, 6, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/gateway-1", "");
    scenario_release(s, a, MODIFIED, 5, 8, 1, "deployed", "Install complete", "m1");
    scenario_phase(s, a, x->late_first_call ? 90000 : 10, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL,
                   "Probe/hold", "custom-server");
}

static void see_tools(struct scenario *s, const size_t *agents, int n, int op, double t, const char *tools) {
    for (int i = 0; i < n; i++)
        scenario_tools(s, agents[i], op, t + 0.1 * i, op == LISTED ? 0 : t - 0.5, tools);
}

static void calls_across(struct scenario *s, const size_t *agents, int n, double t, unsigned each,
                         double extra) {
    for (int i = 0; i < n; i++) {
        scenario_calls(s, agents[i], each, "hold", t - 4, t + 4 + extra, OK, 0);
        scenario_calls(s, agents[i], each, "hold", t - 4, t + 4 + extra, OK, REUSED);
    }
}

/* An upgrade at 100 that adds the tool sum, a rollback at 200. */
static void play(struct scenario *s, const struct fault *x) {
    scenario_begin(s, RULES);
    size_t agents[2] = {scenario_agent(s, "n1"), 0};
    int n = 1;
    if (!x->no_second_agent)
        agents[n++] = scenario_agent(s, "n2");
    for (int i = 0; i < n && !x->no_clock; i++)
        scenario_clock(s, agents[i], 2, 0, 0.001);
    if (x->unreadable)
        scenario_unreadable(s, agents[0], 2, "HelmRelease", "RBAC: allow list on secrets");
    else
        install(s, agents[0], x);
    see_tools(s, agents, n, LISTED, 9, TOOLS_1);
    if (!x->unread_product)
        scenario_object(s, agents[0], LISTED, 9, 0, "ProductConfiguration", "caddy", "p1");

    scenario_release(s, agents[0], ADDED, 100, 100.3, 2, "pending-upgrade", "Preparing upgrade", "m2");
    scenario_object(s, agents[0], MODIFIED, 100.5, 90, "ConfigMap", "gateway-config",
                    x->no_effect ? "c1" : "c2");
    if (!x->no_effect) {
        see_tools(s, agents, n, MODIFIED, 102, TOOLS_2);
        if (!x->unread_product)
            scenario_object(s, agents[0], MODIFIED, 102, 101.5, "ProductConfiguration", "caddy", "p2");
    }
    scenario_release(s, agents[0], MODIFIED, 100, 103, 2, "deployed", "Upgrade complete", "m2");
    calls_across(s, agents, n, 102, x->few ? 10 : 40, 0);
    if (!x->uncalled)
        scenario_calls(s, agents[0], 1, "sum", 104, 104.1, OK, 0);
    if (x->lost_call)
        scenario_calls(s, agents[0], 2, "hold", 99, 102, PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED, 0);
    if (x->control_fails)
        scenario_calls(s, agents[0], 1, "hold", 98, 103, PILOTGATE__OUTCOME__OUTCOME_RESET, CONTROL);
    if (x->rate_limited)
        scenario_calls(s, agents[0], 1, "hold", 99, 102, PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED, 0);
    if (x->unknown_outcome)
        scenario_calls(s, agents[0], 1, "hold", 99, 102, 77, 0);

    scenario_release(s, agents[0], ADDED, 200, 200.2, 3, "pending-rollback", "Rollback to 1", "m1");
    scenario_object(s, agents[0], MODIFIED, 200.5, 190, "ConfigMap", "gateway-config",
                    x->live_differs ? "c9" : "c1");
    if (x->leftover)
        scenario_object(s, agents[0], ADDED, 150, 0, "Service", "left-behind", "s1");
    see_tools(s, agents, n, MODIFIED, 202, TOOLS_1);
    if (!x->unread_product)
        scenario_object(s, agents[0], MODIFIED, 202, 201.5, "ProductConfiguration", "caddy",
                        x->product_differs ? "p9" : "p1");
    if (!x->not_deployed)
        scenario_release(s, agents[0], MODIFIED, 200, 204, 3, "deployed", "Rollback to 1", "m1");
    if (x->crash)
        scenario_phase(s, agents[0], 203, PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED, "Pod/gateway-2",
                       "CrashLoopBackOff");
    calls_across(s, agents, n, 202, x->few ? 10 : 40, 0);
    if (x->loss)
        scenario_loss(s, agents[0], 101, 103, 5);
    if (x->conflict)
        s->c.ev.streams[0].conflicts = 1;

    scenario_coverage(s, agents[0], 3, 300, 0);
    if (n > 1 && x->killed_in_change) {
        scenario_coverage(s, agents[1], 3, 102, x->bye_in_change);
        if (x->open_at_end)
            scenario_open_call(s, agents[1], 102, 100);
        size_t again = scenario_agent(s, "n2");
        scenario_clock(s, again, 110, 0, 0.001);
        scenario_coverage(s, again, 112, 300, 0);
    } else if (n > 1) {
        scenario_coverage(s, agents[1], 3, 300, 0);
    }
}

static void expect(const struct fault *x, double at, const char *gate, const char *verdict,
                   const char *reason) {
    struct scenario s;
    play(&s, x);
    json_t *result = scenario_judge(&s, at);
    const json_t *stage = scenario_gate(result, gate);
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason))
        fail_msg("%s: wanted %s (%s), got %s: %s", gate, verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""));
    json_decref(result);
    scenario_end(&s);
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
        {{.loss = 1}, "lost 5 records"},
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
    play(&s, &(struct fault){.no_effect = 1});
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
    play(&s, &(struct fault){.killed_in_change = 1, .open_at_end = 1});
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
        play(&s, &(struct fault){.lost_call = 1});
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
