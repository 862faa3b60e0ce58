/* Normal forms: an agent of a newer version tells every object in another one. That is no change, and what
 * did change is seen all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/norm.h"
#include "base/when.h"
#include "gates/gates.h"
#include "pilot.h"

#define OLD "{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"controller-uid\":\"x\",\"app\":\"a\"}},\"spec\":1}"
#define NEW "{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"app\":\"a\"}},\"spec\":1}"
#define OTHER "{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"app\":\"a\"}},\"spec\":2}"

static void seen(struct scenario *s, size_t agent, int op, double t, unsigned norm, const char *version,
                 const char *text) {
    s->norm = norm;
    s->normal = text;
    s->version_of = version;
    scenario_object(s, agent, op, t, op == LISTED ? 0 : t - 1, "Job", "migrate", text);
    s->norm = 0;
    s->normal = s->version_of = NULL;
}

/* An agent, and from 50 on its successor. */
static void begin(struct scenario *s) {
    scenario_begin(s, RULES);
    size_t old = scenario_agent(s, "n1");
    size_t new = scenario_agent(s, "n1");
    scenario_clock(s, old, 2, 0, 0.001);
    scenario_clock(s, new, 50, 0, 0.001);
}

static size_t changes(struct scenario *s) {
    json_t *result = scenario_judge(s, 290);
    size_t n = s->c.stages[0].n_changes;
    json_decref(result);
    scenario_end(s);
    return n;
}

static void an_upgrade_of_the_agent_is_no_change(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    seen(&s, 0, LISTED, 3, 0, "1", OLD);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "7", NEW); /* its status moved on, so has its version */
    assert_int_equal(changes(&s), 0);
    begin(&s); /* and back again */
    seen(&s, 0, LISTED, 3, NORM_VERSION, "1", NEW);
    seen(&s, 1, LISTED, 51, 1, "7", OLD);
    assert_int_equal(changes(&s), 0);
}

static void a_change_beside_it_is_seen(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    seen(&s, 0, LISTED, 3, 0, "1", OLD);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "7", OTHER);
    assert_int_equal(changes(&s), 1);
    begin(&s); /* later, from the same version of it */
    seen(&s, 0, LISTED, 3, 0, "1", OLD);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "1", NEW);
    seen(&s, 1, MODIFIED, 60, NORM_VERSION, "8", OTHER);
    assert_int_equal(changes(&s), 1);
    begin(&s); /* in one form digests are what counts */
    seen(&s, 0, LISTED, 3, NORM_VERSION, "1", OLD);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "7", NEW);
    assert_int_equal(changes(&s), 1);
}

static void cut(struct scenario *s) { /* the last one told was too long to be told whole */
    s->c.ev.records.items[s->c.ev.records.n - 1].r->object->truncated = 1;
}

/* A text that was cut compares by digest only: with the newest telling in the same form. */
static void the_newest_form_is_compared_with(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    seen(&s, 0, LISTED, 3, 0, "1", OLD);
    cut(&s);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "1", NEW);
    cut(&s);
    seen(&s, 1, MODIFIED, 60, NORM_VERSION, "8", OTHER);
    cut(&s);
    assert_int_equal(changes(&s), 1);
    begin(&s);
    seen(&s, 0, LISTED, 3, 0, "1", OLD);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "7", NEW);
    seen(&s, 1, MODIFIED, 60, NORM_VERSION, "8", OTHER);
    cut(&s);
    assert_int_equal(changes(&s), 1);
    begin(&s);
    seen(&s, 0, LISTED, 3, 0, "1", OLD);
    cut(&s);
    seen(&s, 1, LISTED, 51, NORM_VERSION, "7", OTHER); /* nobody can say */
    assert_int_equal(changes(&s), 0);
}

static void a_form_of_the_future_is_a_new_baseline(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    seen(&s, 0, LISTED, 3, NORM_VERSION, "1", NEW);
    seen(&s, 1, LISTED, 51, NORM_VERSION + 1, "7", OTHER);
    assert_int_equal(changes(&s), 0);
    begin(&s);
    seen(&s, 0, LISTED, 3, NORM_VERSION, "1", NEW);
    seen(&s, 1, LISTED, 51, NORM_VERSION + 1, "7", OTHER);
    seen(&s, 1, MODIFIED, 60, NORM_VERSION + 1, "8", OLD);
    assert_int_equal(changes(&s), 1);
}

/* Between baseline and rollback the agents were upgraded to what this collector does not know yet. */
static void from_the_future(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "Deployment") == 0)
            r->object->norm = NORM_VERSION;
    }
    s->norm = NORM_VERSION + 1;
    scenario_object(s, 0, MODIFIED, 203, 202, "Deployment", "gateway", "d1 in another form");
    s->norm = 0;
}

static void states_that_do_not_compare_decide_nothing(void **state) {
    (void)state;
    static const struct fault none;
    pilot_expect(&none, from_the_future, 290, "rollback", "INCONCLUSIVE", "the agents were upgraded between");
}

/* A long ConfigMap, told whole by nobody, by an agent of each version. */
static void cut_across_an_upgrade(struct scenario *s) {
    s->normal = "{\"data\":{\"a\":\"x";
    scenario_object(s, 0, LISTED, 20, 0, "ConfigMap", "long", "l1");
    cut(s);
    size_t next = scenario_agent(s, "n1");
    scenario_clock(s, next, 150, 0, 0.001);
    s->norm = NORM_VERSION;
    scenario_object(s, next, LISTED, 150, 0, "ConfigMap", "long", "l1 in another form");
    cut(s);
    s->norm = 0;
    s->normal = NULL;
}

/* Whether it changed is not known: that is no proof that nothing did. A drill that passes afterwards is one.
 */
static void cut_before_a_drill(struct scenario *s) {
    cut_across_an_upgrade(s);
    json_array_append_new(s->c.ev.drills, json_pack("{s:s, s:s, s:I, s:I}", "name", "d", "stage", "east/shop",
                                                    "begin_ns", (json_int_t)((SCENARIO_T0 + 199) * WHEN_S),
                                                    "end_ns", (json_int_t)((SCENARIO_T0 + 206) * WHEN_S)));
}

/* The same of a lock, which the rubric calls noise: no matter. */
static void cut_noise(struct scenario *s) {
    cut_across_an_upgrade(s);
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->name, "long") == 0)
            r->object->kind = strcpy(realloc(r->object->kind, 16), "Lease");
    }
}

static void what_does_not_compare_may_have_changed(void **state) {
    (void)state;
    static const struct fault none;
    pilot_expect(&none, cut_across_an_upgrade, 290, "config-safety", "INCONCLUSIVE",
                 "whether ConfigMap/long changed");
    pilot_expect(&none, cut_before_a_drill, 290, "config-safety", "PASS", "");
    pilot_expect(&none, cut_noise, 290, "config-safety", "PASS", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upgrade_of_the_agent_is_no_change),
        cmocka_unit_test(a_change_beside_it_is_seen),
        cmocka_unit_test(the_newest_form_is_compared_with),
        cmocka_unit_test(a_form_of_the_future_is_a_new_baseline),
        cmocka_unit_test(states_that_do_not_compare_decide_nothing),
        cmocka_unit_test(what_does_not_compare_may_have_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
