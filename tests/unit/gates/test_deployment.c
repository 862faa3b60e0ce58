/* Helm deployment: when the clock starts and whether it may start again, what was there before the first
 * agent, and what is told of the way. */
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

#define HOUR 3600.0
#define NAMESPACE PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED
#define FIRST_CALL PILOTGATE__PHASE__KIND__KIND_FIRST_CALL
#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED

/* One agent whose first word is at `from`; what lies before is what the API server told it then. */
static void begin(struct scenario *s, double from) {
    scenario_begin(s, RULES);
    size_t a = scenario_agent(s, "n1");
    scenario_clock(s, a, from, 0, 0.001);
    scenario_clock(s, a, from + 25 * HOUR, 0, 0.001);
}

static void namespace_made(struct scenario *s, double t, double told, const char *uid) {
    s->uid = uid;
    scenario_phase(s, 0, t, NAMESPACE, "Namespace/shop", "");
    s->uid = NULL;
    struct ev_record *r = &s->c.ev.records.items[s->c.ev.records.n - 1];
    r->r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    r->r->wall_ns = SCENARIO_T0 * 1000000000LL + (int64_t)(told * 1e9);
}

static void installed(struct scenario *s, double t, const char *content) {
    scenario_release(s, 0, ADDED, t, t + 0.2, 1, "pending-install", "Initial install underway", content);
    scenario_release(s, 0, MODIFIED, t, t + 3, 1, "deployed", "Install complete", content);
}

static void uninstalled(struct scenario *s, double created, double t) {
    scenario_release(s, 0, MODIFIED, created, t, 1, "uninstalling", "Deletion in progress", "m1");
    scenario_release(s, 0, DELETED, created, t + 1, 1, "", "", "m1");
}

static void called(struct scenario *s, double t) {
    scenario_phase(s, 0, t, FIRST_CALL, "Probe/hold", "custom-server");
}

/* Judges, checks and ends. The document is the caller's. */
static json_t *judged(struct scenario *s, double at, const char *verdict, const char *reason) {
    json_t *result = scenario_judge(s, at);
    json_t *stage = json_deep_copy(scenario_gate(result, "helm-deployment"));
    json_decref(result);
    scenario_end(s);
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason))
        fail_msg("wanted %s (%s), got %s: %s", verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""));
    return stage;
}

/* A first attempt yesterday, taken away with its history; the second one works at once. */
static void a_reinstall_does_not_reset_the_clock(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    uninstalled(&s, 5, 20 * HOUR);
    installed(&s, 25 * HOUR, "m1");
    called(&s, 25 * HOUR + 60);
    json_t *stage = judged(&s, 26 * HOUR, "FAIL", "25 h 00 min from clean namespace");
    assert_int_equal(json_array_size(js_at(stage, "installs")), 2);
    assert_string_equal(js_str(stage, "installs.0.end", ""), "uninstalled");
    assert_true(*js_str(stage, "installs.0.ended", ""));
    assert_string_equal(js_str(stage, "installs.1.end", ""), "there");
    assert_string_equal(js_str(stage, "t0_sign", ""), "the namespace was created");
    assert_int_equal(json_array_size(js_at(stage, "past")), 0);
    json_decref(stage);
}

/* The same, but the namespace went, too: a stage of its own, with its past shown. */
static void a_new_namespace_is_a_new_stage(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    called(&s, 65);
    uninstalled(&s, 5, 20 * HOUR);
    namespace_made(&s, 25 * HOUR, 25 * HOUR, "u2");
    installed(&s, 25 * HOUR + 10, "m1");
    called(&s, 25 * HOUR + 60);
    json_t *stage = judged(&s, 26 * HOUR, "PASS", "1 min 00 s from clean namespace");
    assert_non_null(strstr(js_str(stage, "reason", ""), "made anew 1 time"));
    assert_string_equal(js_str(stage, "namespace_uid", ""), "u2");
    assert_string_equal(js_str(stage, "past.0.uid", ""), "u1");
    assert_int_equal(js_int(stage, "past.0.installs", 0), 1);
    assert_true(*js_str(stage, "past.0.first_call", ""));
    json_decref(stage);
    /* a call in the old one proves nothing of the new one */
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    called(&s, 65);
    namespace_made(&s, 25 * HOUR, 25 * HOUR, "u2");
    installed(&s, 25 * HOUR + 10, "m1");
    json_decref(judged(&s, 26 * HOUR, "PENDING", "no successful call"));
}

/* Agents watched the old namespace, and came to the new one long after the product was there. */
static void nobody_watched_the_new_namespace_at_first(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    called(&s, 65);
    double came = 40 * HOUR;
    size_t late = scenario_agent(&s, "n1");
    scenario_clock(&s, late, came, 0, 0.001);
    namespace_made(&s, 10 * HOUR, came, "u2");
    s.c.ev.records.items[s.c.ev.records.n - 1].stream = late;
    scenario_release(&s, late, LISTED, 10 * HOUR + 10, came + 1, 1, "deployed", "Install complete", "m1");
    scenario_phase(&s, late, came + 60, FIRST_CALL, "Probe/hold", "custom-server");
    json_decref(judged(&s, 41 * HOUR, "INCONCLUSIVE", "a call may have succeeded before anybody watched"));
}

/* Two namespaces whose agents tell at the same time: one name was given to two clusters. */
static void two_clusters_under_one_name_decide_nothing(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    called(&s, 65);
    size_t other = scenario_agent(&s, "n1");
    scenario_clock(&s, other, 100, 0, 0.001);
    s.uid = "u2";
    scenario_phase(&s, other, 90, NAMESPACE, "Namespace/shop", "");
    s.c.ev.records.items[s.c.ev.records.n - 1].r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    s.uid = NULL;
    scenario_object(&s, other, LISTED, 101, 0, "Deployment", "gateway", "d1");
    scenario_object(&s, other, MODIFIED, HOUR, 101, "Deployment", "gateway", "d2");
    scenario_object(&s, 0, LISTED, HOUR, 0, "ConfigMap", "a", "c1");
    json_decref(judged(&s, 2 * HOUR, "INCONCLUSIVE", "two clusters have one name"));
}

/* The product was there for some hours; whether its time is short enough is known, or not. */
static json_t *late_agent(double came, double call, const char *verdict, const char *reason) {
    struct scenario s;
    begin(&s, came);
    namespace_made(&s, 0, came, "u1");
    scenario_release(&s, 0, LISTED, 5, came + 1, 1, "deployed", "Install complete", "m1");
    if (call > 0)
        called(&s, call);
    return judged(&s, 40 * HOUR, verdict, reason);
}

static void what_was_there_before_is_known_at_most(void **state) {
    (void)state;
    json_t *stage = late_agent(3 * HOUR, 3 * HOUR + 60, "PASS", "at most 3 h 01 min");
    assert_string_equal(js_str(stage, "measured.bound", ""), "at most");
    assert_true(js_bool(stage, "adopted", false));
    json_decref(stage);
    json_decref(late_agent(3 * HOUR, 30 * HOUR, "INCONCLUSIVE", "may have succeeded before anybody watched"));
    json_decref(late_agent(3 * HOUR, 0, "INCONCLUSIVE", "may have succeeded before anybody watched"));
    json_decref(late_agent(30 * HOUR, 30 * HOUR + 60, "INCONCLUSIVE", "the first agent came only 30 h"));
}

/* Helm keeps ten revisions: what the objects say is older. */
static void objects_outlive_the_history(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 20 * HOUR);
    s.created = 10;
    scenario_object(&s, 0, LISTED, 20 * HOUR + 1, 0, "Deployment", "gateway", "d1");
    s.created = 0;
    scenario_release(&s, 0, LISTED, 19 * HOUR, 20 * HOUR + 1, 12, "deployed", "Upgrade complete", "m1");
    called(&s, 20 * HOUR + 30);
    json_t *stage = judged(&s, 21 * HOUR, "INCONCLUSIVE", "the namespace's creation could not be read");
    assert_string_equal(js_str(stage, "t0_sign", ""), "the first object of the release was created");
    assert_true(json_number_value(js_at(stage, "measured.seconds")) > 19.9 * HOUR);
    assert_int_equal(js_int(stage, "installs.0.first_known_revision", 0), 12);
    json_decref(stage);
}

static void marks_are_shown_with_their_names(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    for (int i = 0; i < 3; i++) {
        json_t *m = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "stage", "east/shop", "what", "t0", "by",
                              i == 2 ? ""
                              : i    ? "ann"
                                     : "bob",
                              "at", i ? "later" : "first", "t_ns",
                              (json_int_t)((SCENARIO_T0 + 10 + i) * 1000000000LL), "said_ns",
                              (json_int_t)(100 + i), "note", i ? "second attempt" : "");
        assert_int_equal(json_array_append_new(s.c.ev.marks, m), 0);
    }
    called(&s, 60);
    json_t *stage = judged(&s, 100, "PASS", "s from the marked t0");
    assert_string_equal(js_str(stage, "t0_set_by", ""), "ann");
    assert_int_equal(json_array_size(js_at(stage, "t0_marks")), 3);
    assert_false(js_bool(stage, "t0_marks.0.used", true));
    assert_true(js_bool(stage, "t0_marks.1.used", false));
    json_decref(stage);
}

static bool has_step(const json_t *stage, const char *name) {
    size_t i;
    json_t *o;
    json_array_foreach(js_at(stage, "phases"), i, o) {
        if (strcmp(js_str(o, "phase", ""), name) == 0)
            return js_bool(o, "seen", false);
    }
    return false;
}

static void the_way_is_told(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    scenario_phase(&s, 0, 6, PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED, "Job/init", "pre-install");
    scenario_phase(&s, 0, 7, PILOTGATE__PHASE__KIND__KIND_POD_UNSCHEDULABLE, "Pod/gateway-1",
                   "no node has room");
    s.image = "gateway:1";
    scenario_phase(&s, 0, 8, PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLING, "Pod/gateway-1", "");
    s.seconds = 12.5;
    scenario_phase(&s, 0, 20.5, PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, "Pod/gateway-1", "");
    s.seconds = 0;
    scenario_phase(&s, 0, 21, PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, "Pod/gateway-2", "");
    s.image = NULL;
    for (unsigned i = 1; i <= 3; i++) {
        s.count = 2 * i;
        scenario_phase(&s, 0, 22 + i, PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED, "Pod/gateway-1",
                       "CrashLoopBackOff");
    }
    s.count = 0;
    scenario_phase(&s, 0, 29, PILOTGATE__PHASE__KIND__KIND_POD_INITIALIZED, "Pod/gateway-1", "");
    scenario_phase(&s, 0, 30, PILOTGATE__PHASE__KIND__KIND_CONTAINERS_READY, "Pod/gateway-1", "");
    scenario_phase(&s, 0, 30, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/gateway-1", "");
    called(&s, 60);
    scenario_phase(&s, 0, 70, PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED, "Pod/gateway-1", "OOMKilled");
    json_t *stage = judged(&s, 100, "PASS", "1 min 00 s");
    assert_true(has_step(stage, "last hook succeeded"));
    assert_true(has_step(stage, "first image pulling"));
    assert_true(has_step(stage, "pods initialized"));
    assert_true(has_step(stage, "containers ready"));
    assert_int_equal(js_int(stage, "images.0.pulls", 0), 1);
    assert_int_equal(js_int(stage, "images.0.cached", 0), 1);
    assert_int_equal(js_int(stage, "images.0.bytes", 0), 5 << 20);
    assert_true(json_number_value(js_at(stage, "images.0.seconds")) == 12.5);
    assert_int_equal(json_array_size(js_at(stage, "failures")),
                     2); /* what came after the call is not of it */
    assert_string_equal(js_str(stage, "failures.1.reason", ""), "CrashLoopBackOff");
    assert_int_equal(js_int(stage, "failures.1.times", 0), 6);
    json_decref(stage);
}

/* The API tells whole seconds: a call in the very second in which the last pod became ready came after it. */
static void a_step_in_the_second_of_the_call_is_seen(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    scenario_phase(&s, 0, 60, PILOTGATE__PHASE__KIND__KIND_CONTAINERS_READY, "Pod/gateway-1", "");
    s.c.ev.records.items[s.c.ev.records.n - 1].r->phase->precision_ns = 1000000000;
    called(&s, 60.1);
    json_t *stage = judged(&s, 100, "PASS", "1 min 00 s");
    assert_true(has_step(stage, "containers ready"));
    json_decref(stage);
}

static void argo_leaves_no_release(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    called(&s, 65);
    scenario_object(&s, 0, LISTED, 3, 0, "Deployment", "gateway", "d1");
    Pilotgate__Object *o = s.c.ev.records.items[s.c.ev.records.n - 1].r->object;
    o->managed_by = strdup("argocd:shop");
    json_decref(judged(&s, 2 * HOUR, "PENDING", "Argo CD, which owns objects here"));
}

static void marked(struct scenario *s, double t) {
    json_t *m =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "stage", "east/shop", "what", "t0", "by", "ada",
                  "note", "", "at", "", "t_ns", (json_int_t)(SCENARIO_T0 * 1000000000LL + (int64_t)(t * 1e9)),
                  "said_ns", (json_int_t)1);
    assert_int_equal(json_array_append_new(s->c.ev.marks, m), 0);
}

/* Two days to the first call; then a mark, and an agent that was started anew and tells of its own first
 * call. */
static void a_mark_on_a_product_that_serves_proves_nothing(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    called(&s, 48 * HOUR);
    marked(&s, 50 * HOUR);
    size_t other = scenario_agent(&s, "n2");
    scenario_clock(&s, other, 51 * HOUR, 0, 0.001);
    scenario_phase(&s, other, 51 * HOUR, FIRST_CALL, "Probe/hold", "custom-server");
    json_decref(judged(&s, 52 * HOUR, "INCONCLUSIVE", "nothing was installed since"));
}

/* The same, but what served is uninstalled, and the clock starts before it is installed again. */
static void a_mark_before_an_install_starts_the_clock(void **state) {
    (void)state;
    struct scenario s;
    begin(&s, 1);
    namespace_made(&s, 0, 1, "u1");
    installed(&s, 5, "m1");
    called(&s, 48 * HOUR);
    uninstalled(&s, 5, 49 * HOUR);
    marked(&s, 50 * HOUR);
    installed(&s, 50 * HOUR + 10, "m1");
    size_t other = scenario_agent(&s, "n2");
    scenario_clock(&s, other, 51 * HOUR, 0, 0.001);
    scenario_phase(&s, other, 51 * HOUR, FIRST_CALL, "Probe/hold", "custom-server");
    json_decref(judged(&s, 52 * HOUR, "PASS", "1 h 00 min from the marked t0"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reinstall_does_not_reset_the_clock),
        cmocka_unit_test(a_new_namespace_is_a_new_stage),
        cmocka_unit_test(nobody_watched_the_new_namespace_at_first),
        cmocka_unit_test(two_clusters_under_one_name_decide_nothing),
        cmocka_unit_test(what_was_there_before_is_known_at_most),
        cmocka_unit_test(objects_outlive_the_history),
        cmocka_unit_test(marks_are_shown_with_their_names),
        cmocka_unit_test(a_mark_on_a_product_that_serves_proves_nothing),
        cmocka_unit_test(a_mark_before_an_install_starts_the_clock),
        cmocka_unit_test(the_way_is_told),
        cmocka_unit_test(a_step_in_the_second_of_the_call_is_seen),
        cmocka_unit_test(argo_leaves_no_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
