/* test_plan: drills planned from what agents tell of their load: a table of loads, and what is said of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/plan.h"

static const struct plan_rules rules = {.max_drop_rate = 0.001,
                                        .confidence = 0.95,
                                        .min_per_kind = 30,
                                        .min_per_replica = 30,
                                        .longest_call_ns = 60 * WHEN_S,
                                        .keep_alive_ns = 5 * WHEN_S};

#define REUSED(n, seconds)                                                                  \
    {                                                                                       \
        .node = "n", .probe = "kept", .path = "", .kind = PLAN_KIND_REUSED, .in_flight = 2, \
        .drill_in_flight = (n), .call_ns = (int64_t)((seconds)*1e9)                         \
    }
#define NEW(n, seconds)                                                                   \
    {                                                                                     \
        .node = "n", .probe = "fresh", .path = "", .kind = PLAN_KIND_NEW, .in_flight = 2, \
        .drill_in_flight = (n), .call_ns = (int64_t)((seconds)*1e9)                       \
    }
#define POD(n, seconds)                                                                                    \
    {                                                                                                      \
        .node = "n", .probe = "kept", .path = "Pod/g-1", .kind = PLAN_KIND_REUSED, .drill_in_flight = (n), \
        .call_ns = (int64_t)((seconds)*1e9)                                                                \
    }
#define CONTROL                                                                                \
    {                                                                                          \
        .node = "n", .probe = "control", .path = "", .control = true, .drill_in_flight = 1000, \
        .call_ns = 8 * WHEN_S                                                                  \
    }
#define ECHO                                                                                        \
    {                                                                                               \
        .node = "n", .probe = "echo", .path = "", .kind = PLAN_KIND_REUSED, .interval_us = 1000000, \
        .call_ns = WHEN_MS                                                                          \
    }

struct planned {
    const char *name;
    struct plan_load loads[4];
    size_t n;
    int64_t switch_ns;
    uint64_t units;
    int64_t replicas;
    long long each, drills;      /* expected */
    const char *never, *no_less; /* parts of texts, or NULL: never, and notes */
};

static const struct planned table[] = {
    {"half of the open calls are sure when the switch is known within half a call",
     {REUSED(500, 8), NEW(500, 8), CONTROL},
     3,
     4 * WHEN_S,
     0,
     1,
     500,
     6,
     NULL,
     NULL},
    {"what is there counts", {REUSED(500, 8), NEW(500, 8)}, 2, 4 * WHEN_S, 2000, 1, 500, 2, NULL, NULL},
    {"nothing is missing", {REUSED(500, 8), NEW(500, 8)}, 2, 4 * WHEN_S, 2995, 1, 500, 0, NULL, NULL},
    {"replicas by address add up",
     {REUSED(500, 8), NEW(500, 8), POD(500, 8)},
     3,
     4 * WHEN_S,
     0,
     2,
     750,
     4,
     NULL,
     NULL},
    {"replicas without paths",
     {REUSED(500, 8), NEW(500, 8)},
     2,
     4 * WHEN_S,
     0,
     3,
     500,
     0,
     "targets[].replicas",
     NULL},
    {"calls shorter than the switch",
     {REUSED(500, 2), NEW(500, 3)},
     2,
     4 * WHEN_S,
     0,
     1,
     0,
     0,
     "a slower tool",
     NULL},
    {"one kind is missing", {REUSED(500, 8)}, 1, WHEN_S, 0, 1, 437, 0, "connection: new", NULL},
    {"too few of one kind", {REUSED(500, 8), NEW(30, 8)}, 2, WHEN_S, 0, 1, 463, 0, "26 calls on new", NULL},
    {"nothing is kept open", {ECHO}, 1, WHEN_S, 0, 1, 0, 0, "no probe keeps calls open", NULL},
    {"only the control probe", {CONTROL}, 1, WHEN_S, 0, 1, 0, 0, "no probe keeps calls open", NULL},
    {"no agent speaks", {ECHO}, 0, WHEN_S, 0, 1, 0, 0, "pilotgate agents", NULL},
    {"no drill load: the quiet one is too small",
     {REUSED(0, 8), NEW(0, 8)},
     2,
     WHEN_S,
     0,
     1,
     2,
     0,
     "1 calls on reused",
     "takes part in drills"},
    {"too many drills", {REUSED(31, 1000), NEW(31, 1000)}, 2, 1000, 0, 1, 60, 50, NULL, NULL},
    {"durations are not known",
     {REUSED(500, 0), NEW(500, 0)},
     2,
     WHEN_S,
     0,
     1,
     1000,
     3,
     NULL,
     "counted as long enough"},
    {"no switch was seen", {REUSED(500, 8), NEW(500, 8)}, 2, 0, 0, 1, 874, 4, NULL, "no switch was seen"},
};

static int says(const json_t *list, const char *part) {
    size_t i;
    json_t *text;
    json_array_foreach((json_t *)list, i, text) {
        if (strstr(json_string_value(text), part))
            return 1;
    }
    return 0;
}

static void plans(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct planned *t = &table[i];
        const struct plan_stage s = {.stage = "east/shop",
                                     .loads = t->loads,
                                     .n_loads = t->n,
                                     .switch_ns = t->switch_ns,
                                     .units = t->units,
                                     .command_ns = WHEN_S,
                                     .replicas = t->replicas};
        json_t *p = plan_make(&rules, &s);
        assert_int_equal(js_int(p, "units_needed", 0), 2995);
        if (js_int(p, "units_per_drill", -1) != t->each || js_int(p, "drills", -1) != t->drills)
            fail_msg("%s: %lld a drill, %lld drills", t->name, (long long)js_int(p, "units_per_drill", -1),
                     (long long)js_int(p, "drills", -1));
        const json_t *never = json_object_get(p, "never"), *notes = json_object_get(p, "notes");
        if (t->never ? !says(never, t->never) : json_array_size(never) > 0)
            fail_msg("%s: never %s", t->name, js_str(json_array_get(never, 0), "", ""));
        if (t->no_less && !says(notes, t->no_less))
            fail_msg("%s: no note on '%s'", t->name, t->no_less);
        json_decref(p);
    }
}

static void drills_take_time(void **state) {
    (void)state;
    const struct plan_load loads[] = {REUSED(500, 8), NEW(500, 8)};
    struct plan_stage s = {
        .stage = "e/s", .loads = loads, .n_loads = 2, .switch_ns = 4 * WHEN_S, .command_ns = WHEN_S};
    json_t *p = plan_make(&rules, &s);
    double once = json_real_value(json_object_get(p, "seconds_per_drill"));
    assert_true(once >= 8 + 1 + 5 && once < 60); /* a call, the command, the quiet time after it */
    double all = json_real_value(json_object_get(p, "seconds"));
    assert_true(all > 6 * once + 64 && all < 6 * once + 66); /* six of them, and the last window */
    json_decref(p);
    struct plan_rules loose = rules;
    loose.max_drop_rate = 0.05; /* 59 units */
    p = plan_make(&loose, &s);
    assert_int_equal(js_int(p, "drills", 0), 1);
    json_decref(p);
    const struct plan_load few[] = {REUSED(100, 8), NEW(100, 8)};
    struct plan_rules strict = rules;
    strict.max_drop_rate = 0.00001;
    s.loads = few;
    p = plan_make(&strict, &s);
    assert_int_equal(js_int(p, "drills", 9), 0);
    assert_true(says(json_object_get(p, "never"), "drills would be needed"));
    json_decref(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(plans), cmocka_unit_test(drills_take_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
