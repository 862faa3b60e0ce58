/* Changes that follow each other so fast that their windows overlap, as in `drill --repeat`: what one of them
 * did must not be counted for another one as well. Two pods, a and b, are replaced by c and d, and these,
 * while the first window is open, by e and f. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates.h"
#include "pilot.h"

#define RESET PILOTGATE__OUTCOME__OUTCOME_RESET
#define CREATED PILOTGATE__PHASE__KIND__KIND_POD_CREATED
#define READY PILOTGATE__PHASE__KIND__KIND_POD_READY
#define DELETING PILOTGATE__PHASE__KIND__KIND_POD_DELETING
#define GONE PILOTGATE__PHASE__KIND__KIND_POD_GONE

static void pod(struct scenario *s, int kind, double t, const char *name) {
    s->owner = "Deployment/gateway";
    s->uid = name;
    scenario_phase(s, 0, t, kind, name, "");
    s->owner = s->uid = NULL;
}

static void calls_at(struct scenario *s, const char *path, unsigned n, double from, double to) {
    s->path = path;
    for (size_t a = 0; a < 2; a++)
        scenario_calls(s, a, n, "hold", from, to, OK, REUSED);
    s->path = NULL;
}

static void install(struct scenario *s) {
    for (size_t a = 0; a < 2; a++)
        scenario_clock(s, scenario_agent(s, a ? "n2" : "n1"), 2, 0, 0.001);
    scenario_release(s, 0, ADDED, 5, 5.2, 1, "pending-install", "Initial install underway", "m1");
    s->replicas = 2;
    scenario_object(s, 0, ADDED, 5.5, 0, "Deployment", "gateway", "d1");
    for (int i = 0; i < 2; i++) {
        pod(s, CREATED, 6, i ? "Pod/b" : "Pod/a");
        pod(s, READY, 8, i ? "Pod/b" : "Pod/a");
    }
    scenario_release(s, 0, MODIFIED, 5, 8, 1, "deployed", "Install complete", "m1");
    scenario_phase(s, 0, 10, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL, "Probe/hold", "custom-server");
    for (size_t a = 0; a < 2; a++)
        scenario_tools(s, a, LISTED, 9, 0, TOOLS_1);
}

/* old[0] ends at t+4, old[1] at t+6; calls at each across that, and by URL across it all. */
static void replace(struct scenario *s, double t, int revision, const char *tools, const char *const old[2],
                    const char *const new[2]) {
    char content[8];
    (void)snprintf(content, sizeof content, "m%d", revision);
    scenario_release(s, 0, ADDED, t, t + 0.3, revision, "pending-upgrade", "Preparing upgrade", content);
    scenario_object(s, 0, MODIFIED, t + 0.5, t - 10, "Deployment", "gateway", content);
    for (int i = 0; i < 2; i++) {
        double told = t + 4 + 2 * i;
        pod(s, CREATED, told - 3, new[i]);
        pod(s, READY, told - 1, new[i]);
        pod(s, DELETING, told, old[i]);
        pod(s, GONE, told + 3, old[i]);
        calls_at(s, old[i], 20, told - 2, told + 2);
        calls_at(s, new[i], 3, told + 4, told + 5);
    }
    for (size_t a = 0; a < 2; a++) {
        scenario_tools(s, a, MODIFIED, t + 7, t + 6.5, tools);
        scenario_calls(s, a, 40, "hold", t - 1, t + 13, OK, 0);
        scenario_calls(s, a, 40, "hold", t - 1, t + 13, OK, REUSED);
    }
    scenario_calls(s, 0, 1, "sum", t + 12, t + 12.1, OK, 0);
    scenario_release(s, 0, MODIFIED, t, t + 10, revision, "deployed", "Upgrade complete", content);
}

static const char *const ab[] = {"Pod/a", "Pod/b"}, *const cd[] = {"Pod/c", "Pod/d"},
                         *const ef[] = {"Pod/e", "Pod/f"};

/* second: when the second change begins; 0: never. extra: what else happens. */
static json_t *judge(struct scenario *s, double second, pilot_extra *extra) {
    scenario_begin(s, RULES);
    install(s);
    replace(s, 100, 2, TOOLS_2, ab, cd);
    if (second > 0)
        replace(s, second, 3, TOOLS_2 ",\"more\"", cd, ef);
    if (second > 0)
        scenario_calls(s, 0, 1, "more", second + 12, second + 12.1, OK, 0);
    if (extra)
        extra(s);
    for (size_t a = 0; a < 2; a++)
        scenario_coverage(s, a, 3, 240, 0);
    return scenario_judge(s, 230);
}

static json_int_t units_of(double second, unsigned ret_each[2]) {
    struct scenario s;
    json_t *result = judge(&s, second, NULL);
    const json_t *stage = scenario_gate(result, "config-safety");
    if (strcmp(js_str(stage, "verdict", ""), "PASS") != 0)
        fail_msg("%s", js_str(stage, "reason", ""));
    ret_each[0] = (unsigned)js_int(stage, "changes.0.measured.units", 0);
    ret_each[1] = (unsigned)js_int(stage, "changes.1.measured.units", 0);
    json_int_t n = js_int(stage, "measured.units", 0);
    json_decref(result);
    scenario_end(&s);
    return n;
}

static void the_end_of_a_pod_counts_once(void **state) {
    (void)state;
    unsigned each[2];
    assert_int_equal(units_of(0, each), 240);
    for (double second = 116; second <= 124; second += 8) {
        assert_int_equal(units_of(second, each), 480);
        assert_int_equal(each[0], 240);
        assert_int_equal(each[1], 240);
    }
}

/* A call lost in the second change may be the first one's fault, too: both windows are open. */
static void lost_in_the_second(struct scenario *s) {
    s->path = "Pod/c";
    scenario_calls(s, 0, 1, "hold", 119, 121, RESET, REUSED);
    s->path = NULL;
}

static void what_is_lost_counts_for_each(void **state) {
    (void)state;
    struct scenario s;
    json_t *result = judge(&s, 116, lost_in_the_second);
    const json_t *stage = scenario_gate(result, "config-safety");
    assert_string_equal(js_str(stage, "changes.0.verdict", ""), "FAIL");
    assert_string_equal(js_str(stage, "changes.1.verdict", ""), "FAIL");
    json_decref(result);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_pod_counts_once),
        cmocka_unit_test(what_is_lost_counts_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
