/* The one function that reads a call, by a table of cases; and the cases that only a whole pilot shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/reading.h"
#include "gates/gates.h"
#include "pilot.h"

#define O(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define FLAG(name) PILOTGATE__CALL_FLAG__CALL_FLAG_##name
#define AT(t) ((SCENARIO_T0 + (int64_t)(t)) * WHEN_S)

enum { /* short for the table */
       DONE = FACT_READING_COMPLETED,
       CUT = FACT_READING_INTERRUPTED,
       DROP = FACT_READING_DROPPED,
       OPEN = FACT_READING_UNRESOLVED,
       DOUBT = FACT_READING_UNATTRIBUTED,
       OUT = FACT_READING_EXCLUDED
};

static enum fact_reading read_case(struct corr_case k) {
    const char *why = NULL;
    enum fact_reading r = corr_read(&k, &why);
    assert_non_null(why);
    assert_int_equal(*why == 0, r == FACT_READING_COMPLETED);
    return r;
}

/* Each outcome: alone, with a stalled node, with the control probe failing, begun after the replica was told.
 */
static void every_outcome_has_its_reading(void **state) {
    (void)state;
    static const struct {
        uint32_t outcome;
        int alone, stalled, control, told;
    } cases[] = {
        {O(UNSPECIFIED), OPEN, OPEN, OPEN, OUT},
        {O(COMPLETED), DONE, DONE, DONE, DONE},
        {O(COMPLETED_LATE), CUT, DOUBT, DOUBT, OUT},
        {O(TOOL_ERROR), CUT, CUT, DOUBT, OUT},
        {O(RPC_ERROR), CUT, CUT, DOUBT, OUT},
        {O(HTTP_ERROR), DROP, DROP, DOUBT, OUT},
        {O(REFUSED), DROP, DROP, DOUBT, OUT},
        {O(RESET), DROP, DROP, DOUBT, OUT},
        {O(CLOSED), DROP, DROP, DOUBT, OUT},
        {O(TRUNCATED), DROP, DROP, DOUBT, OUT},
        {O(STREAM_ENDED), DROP, DROP, DOUBT, OUT},
        {O(SESSION_LOST), DROP, DROP, DOUBT, OUT},
        {O(TIMEOUT), DROP, DOUBT, DOUBT, OUT},
        {O(TLS), DROP, DROP, DOUBT, OUT},
        {O(DNS), DROP, DROP, DOUBT, OUT},
        {O(ABORTED), OPEN, OPEN, OPEN, OUT},
        {O(RATE_LIMITED), DOUBT, DOUBT, DOUBT, OUT},
        {O(MALFORMED), DROP, DROP, DOUBT, OUT},
        {O(MALFORMED) + 1, OPEN, OPEN, OPEN, OUT},
        {UINT32_MAX, OPEN, OPEN, OPEN, OUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t o = cases[i].outcome;
        assert_int_equal(read_case((struct corr_case){.outcome = o}), cases[i].alone);
        assert_int_equal(read_case((struct corr_case){.outcome = o, .stalled = true}), cases[i].stalled);
        assert_int_equal(read_case((struct corr_case){.outcome = o, .control_failed = true}),
                         cases[i].control);
        assert_int_equal(read_case((struct corr_case){.outcome = o, .told = CORR_TOLD_AFTER}), cases[i].told);
        assert_int_equal(corr_outcome_known(o), o != 0 && o <= O(MALFORMED));
    }
}

static void what_else_happened_decides(void **state) {
    (void)state;
    static const struct {
        struct corr_case k;
        int want;
    } cases[] = {
        {{.outcome = O(COMPLETED), .flags = FLAG(RESUMED)}, CUT},
        {{.outcome = O(COMPLETED), .flags = FLAG(REPEATED)}, CUT},
        {{.outcome = O(COMPLETED), .flags = FLAG(REPEATED), .control_failed = true}, DOUBT},
        {{.outcome = O(COMPLETED), .flags = FLAG(REPEATED), .stalled = true}, CUT},
        {{.outcome = O(COMPLETED), .flags = FLAG(RESUMED), .stalled = true}, CUT},
        {{.outcome = O(COMPLETED), .flags = FLAG(REUSED) | FLAG(HTTP2) | FLAG(DRILL)}, DONE},
        {{.outcome = O(COMPLETED), .own_change = true, .uninstalled = true}, DONE},
        {{.outcome = O(RPC_ERROR), .own_change = true}, OUT},
        {{.outcome = O(RESET), .uninstalled = true}, DOUBT},
        {{.outcome = O(RESET), .flags = FLAG(REPEATED)}, DROP},
        {{.outcome = O(REFUSED), .told = CORR_TOLD_ABOUT}, OUT},
        {{.outcome = O(TIMEOUT), .flags = FLAG(UNSENT), .told = CORR_TOLD_ABOUT}, OUT},
        {{.outcome = O(RESET), .told = CORR_TOLD_ABOUT}, DROP},
        {{.outcome = O(REFUSED), .told = CORR_TOLD_NOT}, DROP},
        {{.outcome = O(ABORTED), .flags = FLAG(UNSENT)}, OUT},
        {{.open = true, .outcome = O(ABORTED), .flags = FLAG(UNSENT)}, OPEN},
        {{.open = true}, OPEN},
        {{.open = true, .outcome = O(COMPLETED)}, OPEN},
        {{.open = true, .stalled = true, .control_failed = true}, OPEN},
        {{.open = true, .told = CORR_TOLD_ABOUT, .flags = FLAG(UNSENT)}, OPEN},
        {{.open = true, .told = CORR_TOLD_AFTER}, OUT},
        {{.outcome = 99, .own_change = true}, OUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(read_case(cases[i].k), cases[i].want);
}

/* ---- in a pilot */

static const struct fault none;

static void expect(pilot_extra *extra, const char *verdict, const char *reason) {
    pilot_expect(&none, extra, 290, "config-safety", verdict, reason);
}

static void timed_out(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 108, O(TIMEOUT), REUSED);
}

static void timed_out_on_a_stalled_node(struct scenario *s) {
    timed_out(s);
    scenario_stall(s, 0, 105.5, 0.8);
}

static void late_on_a_stalled_node(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 108, O(COMPLETED_LATE), REUSED);
    scenario_stall(s, 0, 105.5, 0.8);
}

/* The record of a stall comes late by as much as the stall was long. */
static void long_stall_told_afterwards(struct scenario *s) {
    timed_out(s);
    scenario_stall(s, 0, 114, 9);
}

static void short_stall(struct scenario *s) {
    timed_out(s);
    scenario_stall(s, 0, 105.5, 0.4);
}

static void another_node_stalls(struct scenario *s) {
    timed_out(s);
    scenario_stall(s, 1, 105.5, 5);
}

static void stall_at_another_time(struct scenario *s) {
    timed_out(s);
    scenario_stall(s, 0, 95, 2);
    scenario_stall(s, 0, 112, 2);
}

static void reset_on_a_stalled_node(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 108, O(RESET), REUSED);
    scenario_stall(s, 0, 105.5, 0.8);
}

static void http_error_on_a_stalled_node(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 108, O(HTTP_ERROR), REUSED);
    scenario_stall(s, 0, 105.5, 0.8);
}

static void only_a_stall(struct scenario *s) {
    scenario_stall(s, 0, 102.5, 3);
}

static void a_stalled_node_blames_nobody(void **state) {
    (void)state;
    expect(timed_out, "FAIL", "1 calls dropped");
    expect(timed_out_on_a_stalled_node, "INCONCLUSIVE", "stood still");
    expect(late_on_a_stalled_node, "INCONCLUSIVE", "stood still");
    expect(long_stall_told_afterwards, "INCONCLUSIVE", "stood still");
    expect(short_stall, "FAIL", "1 calls dropped");
    expect(another_node_stalls, "FAIL", "1 calls dropped");
    expect(stall_at_another_time, "FAIL", "1 calls dropped");
    expect(reset_on_a_stalled_node, "FAIL", "1 calls dropped");
    expect(http_error_on_a_stalled_node, "FAIL", "1 calls dropped");
    expect(only_a_stall, "PASS", "");
}

static void resumed(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 106, OK, FLAG(RESUMED));
}

static void repeated(struct scenario *s) {
    s->executions = 2;
    scenario_calls(s, 0, 3, "hold", 98, 106, OK, FLAG(REPEATED));
    s->executions = 0;
}

/* The flag alone, without a row. */
static void repeated_in_a_block(struct scenario *s) {
    scenario_calls(s, 0, 3, "hold", 98, 106, OK, FLAG(REPEATED));
}

static void repeated_beside_a_broken_tool_server(struct scenario *s) {
    repeated(s);
    scenario_calls(s, 0, 1, "hold", 97, 107, O(RESET), CONTROL);
}

static void repeated_outside(struct scenario *s) {
    scenario_calls(s, 0, 3, "hold", 60, 66, OK, FLAG(REPEATED));
}

/* A row of a call that completed plainly, beside its entry: it counts once, as completed. */
static void told_twice(struct scenario *s) {
    s->executions = 1;
    scenario_calls(s, 0, 3, "hold", 98, 106, OK, 0);
    s->executions = 0;
}

static void a_control_call_that_completed(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 106, O(RESET), 0);
    s->executions = 1;
    scenario_calls(s, 0, 1, "hold", 98, 106, OK, CONTROL);
    s->executions = 0;
}

/* The control probe was over its agent's own quota: that says nothing of the tool server. */
static void lost_beside_a_control_quota(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 106, O(RESET), 0);
    scenario_calls(s, 0, 1, "hold", 100, 100, O(ABORTED), CONTROL | FLAG(UNSENT));
}

static void lost_beside_a_control_failure(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 98, 106, O(RESET), 0);
    scenario_calls(s, 0, 1, "hold", 100, 100, O(REFUSED), CONTROL | FLAG(UNSENT));
}

static void quotas_blame_nobody(void **state) {
    (void)state;
    expect(lost_beside_a_control_quota, "FAIL", "1 calls dropped");
    expect(lost_beside_a_control_failure, "INCONCLUSIVE", "control probe");
}

static void executions_are_told(struct scenario *s) {
    s->told = true;
    for (size_t a = 0; a < 2; a++)
        scenario_coverage(s, a, 3.5, 300, 0);
}

static void a_detour_is_an_interruption(void **state) {
    (void)state;
    expect(resumed, "FAIL", "0 calls dropped and 1 interrupted");
    expect(repeated, "FAIL", "3 calls were executed twice or more: something between retried");
    expect(repeated_in_a_block, "FAIL", "0 calls dropped and 3 interrupted");
    expect(repeated_beside_a_broken_tool_server, "INCONCLUSIVE", "outside the gateway");
    expect(repeated_outside, "PASS", "hidden retries are not visible");
    expect(told_twice, "PASS", "0 of 323 calls in flight");
    expect(a_control_call_that_completed, "FAIL", "1 calls dropped");
}

/* The tool server tells its executions, past the gateway only. */
static void told_past_the_gateway(struct scenario *s) {
    s->executions = 1;
    scenario_calls(s, 0, 1, "hold", 98, 206, O(COMPLETED_LATE), CONTROL); /* meets both changes */
    s->executions = 0;
}

static void hidden_retries_are_admitted(void **state) {
    (void)state;
    struct scenario s;
    expect(told_past_the_gateway, "PASS", "hidden retries are not visible");
    expect(NULL, "PASS", "hidden retries are not visible: no tool server says");
    pilot_play(&s, &none);
    executions_are_told(&s);
    json_t *result = scenario_judge(&s, 290);
    const json_t *stage = scenario_gate(result, "config-safety");
    assert_string_equal(js_str(stage, "verdict", ""), "PASS");
    assert_null(strstr(js_str(stage, "reason", ""), "hidden"));
    json_decref(result);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_outcome_has_its_reading), cmocka_unit_test(what_else_happened_decides),
        cmocka_unit_test(a_stalled_node_blames_nobody),  cmocka_unit_test(a_detour_is_an_interruption),
        cmocka_unit_test(hidden_retries_are_admitted),   cmocka_unit_test(quotas_blame_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
