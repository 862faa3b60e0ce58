/* An agent's time as the collector's: what answers, drift, steps, pauses and contradictions make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/when.h"
#include "scenario.h"

#define OFFSET PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET
#define STEP PILOTGATE__TIMING__KIND__KIND_CLOCK_STEP
#define PAUSE PILOTGATE__TIMING__KIND__KIND_PAUSE

struct said { /* seconds; kind 0: an answer of the collector */
    double t, value, error;
    int kind;
};

static const struct row {
    const char *what;
    struct said said[4];
    double at, offset, error; /* error < 0: not known */
} table[] = {
    {"nothing is known", {{0, 0, 0, 0}}, 10, 0, -1},
    {"an answer at the moment itself", {{10, 3, 0.001, 0}}, 10, 3, 0.001},
    {"one answer drifts by 500 ppm, after it", {{10, 3, 0.001, 0}}, 110, 3, 0.051},
    {"and before it", {{110, 3, 0.001, 0}}, 10, 3, 0.051},
    {"between two that agree, the nearer bounds", {{0.001, 3, 0.001, 0}, {60, 3, 0.001, 0}}, 50, 3, 0.006},
    {"in the middle, both", {{0.001, 3, 0.001, 0}, {60, 3, 0.001, 0}}, 30, 3, 0.016},
    {"of two that drift apart, what both allow",
     {{0.001, 3, 0.001, 0}, {60, 3.02, 0.001, 0}},
     30,
     3.01,
     0.006},
    {"a coarse one does not spoil a fine one", {{0.001, 3, 1, 0}, {60, 3.5, 0.001, 0}}, 59, 3.5, 0.0015},
    {"nor the other way round", {{0.001, 3, 0.001, 0}, {60, 3.5, 1, 0}}, 1, 3, 0.0015},
    {"a contradiction is a step that nobody saw", {{0.001, 3, 0.001, 0}, {60, 7, 0.001, 0}}, 30, 5, 2.016},
    {"near its ends, too", {{0.001, 3, 0.001, 0}, {60, 7, 0.001, 0}}, 1, 5.0145, 2.016},
    {"outside of it nothing is wrong", {{0.001, 3, 0.001, 0}, {60, 7, 0.001, 0}}, 62, 7, 0.002},
    {"a step that was seen, behind", {{10, 3, 0.001, 0}, {30, 2, 0, STEP}}, 50, 3, 2.021},
    {"and from the other side it is far",
     {{10, 3, 0.001, 0}, {30, 2, 0, STEP}, {60, 5, 0.001, 0}},
     50,
     5,
     0.006},
    {"back by as much", {{10, 3, 0.001, 0}, {30, -2, 0, STEP}}, 50, 3, 2.021},
    {"a pause, behind", {{10, 3, 0.001, 0}, {40, 8, 0, PAUSE}}, 50, 3, 8.021},
    {"before the pause", {{10, 3, 0.001, 0}, {40, 8, 0, PAUSE}, {60, 3, 0.001, 0}}, 20, 3, 0.006},
    {"after the pause", {{10, 3, 0.001, 0}, {40, 8, 0, PAUSE}, {60, 3, 0.001, 0}}, 50, 3, 0.006},
    {"in the pause", {{10, 3, 0.001, 0}, {40, 8, 0, PAUSE}, {60, 3, 0.001, 0}}, 35, 3, 8.0135},
};

static void say(struct scenario *s, const struct said *x) {
    int kind = x->kind ? x->kind : PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET;
    if (x->t > 0)
        scenario_timing(s, 0, SCENARIO_T0 * WHEN_S + (int64_t)(x->t * 1e9), kind, (int64_t)(x->value * 1e9),
                        (uint64_t)(x->error * 1e9));
}

static void agent_time_is_collector_time_with_a_bound(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct scenario s;
        scenario_begin(&s, "{}");
        (void)scenario_agent(&s, "n1");
        for (size_t k = 0; k < 4; k++)
            say(&s, &table[i].said[k]);
        int64_t error;
        int64_t wall = SCENARIO_T0 * WHEN_S + (int64_t)(table[i].at * 1e9);
        double offset = (double)(facts_clock(&s.c.ev, 0, wall, &error) - wall) / 1e9;
        double bound = error < 0 ? -1 : (double)error / 1e9;
        if (llabs((long long)((offset - table[i].offset) * 1e6)) > 100 ||
            llabs((long long)((bound - table[i].error) * 1e6)) > 100)
            fail_msg("%s: wanted %g +- %g, got %g +- %g", table[i].what, table[i].offset, table[i].error,
                     offset, bound);
        scenario_end(&s);
    }
}

/* Whatever an agent says, nothing overflows. */
static void nothing_that_an_agent_says_breaks_it(void **state) {
    (void)state;
    static const int64_t far[] = {0, 1, WIRE_NS_MAX, -WIRE_NS_MAX, INT64_MAX, INT64_MIN + 1};
    struct scenario s;
    scenario_begin(&s, "{}");
    (void)scenario_agent(&s, "n1");
    for (size_t i = 0; i < 6; i++) {
        int64_t at = far[i] < 0 ? 0 : far[i] > WIRE_NS_MAX ? WIRE_NS_MAX : far[i];
        scenario_timing(&s, 0, at, STEP, far[(i + 1) % 6], 0);
        scenario_timing(&s, 0, at, OFFSET, far[(i + 2) % 6], (uint64_t)WIRE_NS_MAX);
    }
    for (size_t i = 0; i < 3; i++) {
        int64_t error;
        int64_t t = facts_clock(&s.c.ev, 0, far[i], &error);
        assert_true(t >= 0 && t <= WIRE_NS_MAX && error >= 0);
    }
    for (size_t i = 0; i < 2 * EV_STEPS_MAX; i++)
        scenario_timing(&s, 0, SCENARIO_T0 * WHEN_S, STEP, WHEN_S, 0);
    assert_int_equal(s.c.ev.streams[0].n_steps, EV_STEPS_MAX);
    assert_true(s.c.ev.streams[0].more_steps_ns >= EV_STEPS_MAX * WHEN_S);
    scenario_end(&s);
}

/* Windows that meet load a record twice. */
static void the_same_record_twice_counts_once(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    (void)scenario_agent(&s, "n1");
    for (int i = 0; i < 2; i++) {
        s.seq[0] = 7;
        scenario_timing(&s, 0, SCENARIO_T0 * WHEN_S, OFFSET, 0, 1);
        scenario_timing(&s, 0, SCENARIO_T0 * WHEN_S, STEP, WHEN_S, 0);
        scenario_timing(&s, 0, SCENARIO_T0 * WHEN_S, OFFSET, 0, 1);
    }
    assert_int_equal(s.c.ev.streams[0].n_clock, 2);
    assert_int_equal(s.c.ev.streams[0].n_steps, 1);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agent_time_is_collector_time_with_a_bound),
        cmocka_unit_test(the_same_record_twice_counts_once),
        cmocka_unit_test(nothing_that_an_agent_says_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
