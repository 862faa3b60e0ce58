/* What retention must leave: each kind of moment by itself, far from the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/when.h"
#include "gates/protect.h"
#include "pilot.h"

static const struct fault none;

static int64_t at(double t) {
    return SCENARIO_T0 * WHEN_S + (int64_t)(t * 1e9);
}

static void drill(struct scenario *s, const char *stage, double from, double to) {
    (void)json_array_append_new(s->c.ev.drills,
                                json_pack("{s:s, s:s, s:I, s:I}", "name", stage, "stage", stage, "begin_ns",
                                          (json_int_t)at(from), "end_ns", (json_int_t)at(to)));
}

static void mark(struct scenario *s, const char *stage, double t) {
    (void)json_array_append_new(
        s->c.ev.marks, json_pack("{s:s, s:s, s:I}", "stage", stage, "what", "x", "t_ns", (json_int_t)at(t)));
}

static bool is_protected(const struct protect_span *spans, size_t n, double from, double to) {
    for (size_t i = 0; i < n; i++)
        if (spans[i].from_ns <= at(from) && spans[i].to_ns >= at(to))
            return true;
    return false;
}

/* RULES: the longest call 15 s, keep-alive 5 s; a change's window goes on for as long. Beyond all that 600 s.
 */
static void each_kind_is_protected_with_its_margin(void **state) {
    (void)state;
    static const struct row {
        const char *what;
        double from, to;
        bool is;
    } table[] = {
        {"the changes of the pilot, and its first call", -500, 820, true},
        {"what lies long after them", 2000, 2000, false},
        {"a drill", 9400, 10700, true},
        {"before the drill", 9300, 9300, false},
        {"after the drill", 10800, 10800, false},
        {"a mark", 19400, 20600, true},
        {"beside the mark", 19300, 19300, false},
        {"a change that nobody drilled", 29400, 30620, true},
        {"after it", 30700, 30700, false},
        {"another stage's drill", 40000, 40000, false},
        {"another stage's mark", 50000, 50000, false},
        {"a first call after a restart", 59400, 60600, true},
        {"a drill that never said its end", 69400, 70600, true},
    };
    struct scenario s;
    struct protect_span *spans;
    size_t n;
    pilot_play(&s, &none);
    drill(&s, "east/shop", 10000, 10100);
    mark(&s, "east/shop", 20000);
    scenario_tools(&s, 0, MODIFIED, 30000, 29999, TOOLS_2);
    drill(&s, "west/shop", 40000, 40100);
    mark(&s, "west/shop", 50000);
    scenario_phase(&s, 0, 60000, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL, "Probe/hold", "custom-server");
    (void)json_array_append_new(s.c.ev.drills, json_pack("{s:s, s:s, s:I}", "name", "x", "stage", "east/shop",
                                                         "begin_ns", (json_int_t)at(70000)));
    json_decref(scenario_judge(&s, 80000));
    assert_int_equal(protect_spans(&s.c.stages[0], &spans, &n), 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is_protected(spans, n, table[i].from, table[i].to) != table[i].is)
            fail_msg("%s is %sprotected", table[i].what, table[i].is ? "not " : "");
    for (size_t i = 1; i < n; i++)
        assert_true(spans[i].from_ns > spans[i - 1].to_ns);
    free(spans);
    scenario_end(&s);
}

/* Spans are of the agents' clocks: where those are wrong they are longer. */
static void bad_clocks_widen_the_margin(void **state) {
    (void)state;
    struct scenario s;
    struct protect_span *spans;
    size_t n;
    pilot_play(&s, &none);
    scenario_clock(&s, 0, 5000, 3600, 1);
    json_decref(scenario_judge(&s, 80000));
    assert_int_equal(protect_spans(&s.c.stages[0], &spans, &n), 0);
    assert_true(is_protected(spans, n, -3900, 4300));
    free(spans);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_protected_with_its_margin),
        cmocka_unit_test(bad_clocks_widen_the_margin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
