/* test_drills: which changes belong to a drill, also to one that was killed and never said that it ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "pilot.h"

#define HOUR 3600.0
#define AT(t) ((json_int_t)((SCENARIO_T0 + (int64_t)(t)) * WHEN_S))

/* A change at 102; the drill began, spoke last, and ended (0: it never said so) at these times. */
static int is_of_drill(double begin, double said, double end) {
    struct scenario s;
    scenario_begin(&s, RULES);
    assert_int_equal(json_object_del(s.stage, "gateway") | json_object_del(s.stage, "release"), 0);
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 20, 0, 0.001);
    scenario_tools(&s, a, PILOTGATE__OBJECT__OP__OP_LISTED, 21, 0, TOOLS_1);
    scenario_phase(&s, a, 22, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL, "Probe/hold", "custom-server");
    scenario_tools(&s, a, PILOTGATE__OBJECT__OP__OP_MODIFIED, 102, 101.5, TOOLS_2);
    scenario_coverage(&s, a, 20, 200, 0);
    json_t *drill = json_pack("{s:s, s:s, s:I, s:I, s:[]}", "name", "d", "stage", "east/shop", "begin_ns",
                              AT(begin), "said_ns", AT(said), "iterations");
    if (end != 0)
        assert_int_equal(json_object_set_new(drill, "end_ns", json_integer(AT(end))), 0);
    assert_int_equal(json_array_append_new(s.c.ev.drills, drill), 0);
    json_t *result = scenario_judge(&s, 190);
    const json_t *change = js_at(scenario_gate(result, "config-safety"), "changes.0");
    assert_non_null(change);
    int is = json_object_get(change, "drill") != NULL;
    json_decref(result);
    scenario_end(&s);
    return is;
}

static void changes_of_drills(void **state) {
    (void)state;
    assert_true(is_of_drill(90, 120, 120));
    assert_false(is_of_drill(50, 80, 80));
    assert_false(is_of_drill(110, 130, 130));
    assert_true(is_of_drill(90, 90, 0)); /* it goes on */
    assert_true(is_of_drill(-0.5 * HOUR, -0.5 * HOUR, 0));
    assert_false(is_of_drill(-2 * HOUR, -1.5 * HOUR, 0)); /* it was killed long ago */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(changes_of_drills)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
