/* Where an install ends: what somebody edits shortly after it is a change of its own, and judged; what the
 * install itself still brings is not. The good pilot: installed at 5, deployed at 8, first call at 10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "gates/gates.h"
#include "pilot.h"

#define CREATED PILOTGATE__PHASE__KIND__KIND_WORKLOAD_CREATED
#define DOWN PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE
#define UP PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE
#define FIRST_CALL PILOTGATE__PHASE__KIND__KIND_FIRST_CALL
#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED

static const struct fault none, late_call = {.late_first_call = 1};

static void drop(struct scenario *s, double from, double to) {
    scenario_calls(s, 0, 1, "hold", from, to, PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED, 0);
}

/* An object of the install, and what became of it later. */
static void object(struct scenario *s, int op, double t, double previous, const char *content) {
    scenario_object(s, 0, ADDED, 5.6, 5, "Service", "edge", "l1");
    scenario_object(s, 0, op, t, previous, "Service", "edge", content);
}

static void edited(struct scenario *s) {
    object(s, MODIFIED, 40, 39, "by hand");
    drop(s, 39, 42);
}

/* Its watch was last heard of before the first call: the edit may be older, but it was in service. */
static void edited_unheard(struct scenario *s) {
    object(s, MODIFIED, 40, 7, "by hand");
    drop(s, 39, 42);
}

static void removed(struct scenario *s) {
    object(s, DELETED, 40, 39, "");
    drop(s, 39, 42);
}

static void walled_in(struct scenario *s) {
    scenario_object(s, 0, ADDED, 40, 39, "NetworkPolicy", "deny", "all");
    drop(s, 39, 42);
}

static void settled(struct scenario *s) {
    scenario_phase(s, 0, 6, CREATED, "Deployment/gateway", "");
    scenario_phase(s, 0, 9, UP, "Deployment/gateway", "");
    edited(s);
    scenario_phase(s, 0, 39.9, DOWN, "Deployment/gateway", ""); /* by the edit, and told before it */
}

static void edits_are_judged(void **state) {
    (void)state;
    pilot_expect(&none, edited, 290, "config-safety", "FAIL", "1 calls dropped");
    pilot_expect(&none, edited_unheard, 290, "config-safety", "FAIL", "1 calls dropped");
    pilot_expect(&none, removed, 290, "config-safety", "FAIL", "1 calls dropped");
    pilot_expect(&none, walled_in, 290, "config-safety", "FAIL", "1 calls dropped");
    pilot_expect(&none, settled, 290, "config-safety", "FAIL", "1 calls dropped");
}

/* What was lost before the product served is the install's, whenever the edit was. */
static void edited_unheard_and_lost_before(struct scenario *s) {
    object(s, MODIFIED, 40, 7, "by hand");
    drop(s, 7, 9);
}

static void tools_arrive(struct scenario *s) {
    for (size_t a = 0; a < 2; a++) {
        scenario_tools(s, a, MODIFIED, 30, 29.5, "\"echo\"");
        scenario_tools(s, a, MODIFIED, 40, 39.5, TOOLS_1);
    }
    drop(s, 39, 42);
}

static void made_by_a_controller(struct scenario *s) {
    scenario_object(s, 0, ADDED, 40, 39, "Secret", "gateway-tls", "cert");
    drop(s, 39, 42);
}

static void read_late(struct scenario *s) {
    scenario_object(s, 0, LISTED, 40, 0, "Service", "unread-so-far", "x");
    drop(s, 39, 42);
}

static void defaulted(struct scenario *s) {
    object(s, MODIFIED, 9.5, 9, "with defaults");
    drop(s, 9, 11);
}

static void still_starting(struct scenario *s) {
    scenario_phase(s, 0, 6, CREATED, "Deployment/gateway", "");
    object(s, MODIFIED, 40, 39, "by hand");
    drop(s, 39, 42);
    scenario_phase(s, 0, 60, UP, "Deployment/gateway", "");
}

static void the_install_is_not_judged(void **state) {
    (void)state;
    pilot_expect(&none, edited_unheard_and_lost_before, 290, "config-safety", "PASS", "");
    pilot_expect(&none, tools_arrive, 290, "config-safety", "PASS", "");
    pilot_expect(&none, made_by_a_controller, 290, "config-safety", "PASS", "");
    pilot_expect(&none, read_late, 290, "config-safety", "PASS", "");
    pilot_expect(&none, defaulted, 290, "config-safety", "PASS", "");
    pilot_expect(&none, still_starting, 290, "config-safety", "PASS", "");
}

/* Nothing is a change of a configuration in service before the product serves. */
static void nothing_served_yet(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &late_call);
    edited(&s);
    json_t *result = scenario_judge(&s, 90);
    assert_string_equal(js_str(scenario_gate(result, "config-safety"), "verdict", ""), "PENDING");
    json_decref(result);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_judged),
        cmocka_unit_test(the_install_is_not_judged),
        cmocka_unit_test(nothing_served_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
