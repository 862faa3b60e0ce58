/* What several agents tell of one object, each with its own clock, again and out of order, is one story: each
 * state once, in the order in which it was. Whatever a handover of the Lease tells again is no change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "gates/gates.h"
#include "told.h"

#define TELLS_MAX 12
#define C .kind = "ConfigMap", .name = "c"

static const struct {
    const char *what;
    int clock; /* bits: the agents whose clocks are known */
    struct tell tells[TELLS_MAX];
    const char *signs, *at_the_end;
} cases[] = {
    {"one agent",
     1,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {0, MODIFIED, 30, C, "u", "7", "d1"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d1",
     "ConfigMap/c=d1"},
    {"a status that changed is no change",
     1,
     {{0, LISTED, 10, C, "u", "5", "d1"}, {0, MODIFIED, 20, C, "u", "6", "d1"}},
     "",
     "ConfigMap/c=d1"},
    {"two agents tell the same",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {1, LISTED, 11, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {1, MODIFIED, 20.1, C, "u", "6", "d2"},
      {1, MODIFIED, 29.9, C, "u", "7", "d3"},
      {0, MODIFIED, 30, C, "u", "7", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"one is late by more than a change",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {0, MODIFIED, 30, C, "u", "7", "d3"},
      {1, MODIFIED, 31, C, "u", "6", "d2"},
      {1, MODIFIED, 32, C, "u", "7", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"a clock that nobody knows is behind by more than a change",
     1,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {0, MODIFIED, 30, C, "u", "7", "d3"},
      {1, MODIFIED, 14, C, "u", "7", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"a successor watches on from before what was told",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {0, MODIFIED, 30, C, "u", "7", "d3"},
      {1, ADDED, 100, C, "u", "6", "d2"},
      {1, MODIFIED, 100.1, C, "u", "7", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"a successor tells a version that the first one did not, and dies before it caught up",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 30, C, "u", "70", "d3"},
      {1, ADDED, 100, C, "u", "6", "d2"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"the same where versions are no numbers, once a third one caught up",
     7,
     {{0, LISTED, 10, C, "u", "aa", "d1"},
      {0, MODIFIED, 30, C, "u", "ac", "d3"},
      {1, ADDED, 100, C, "u", "ab", "d2"},
      {2, ADDED, 130, C, "u", "ab", "d2"},
      {2, MODIFIED, 130.1, C, "u", "ac", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"versions that are no numbers, told again by the same agent",
     1,
     {{0, LISTED, 10, C, "u", "aa", "d1"},
      {0, MODIFIED, 20, C, "u", "ab", "d2"},
      {0, MODIFIED, 30, C, "u", "ac", "d3"},
      {0, ADDED, 90, C, "u", "ab", "d2"},
      {0, MODIFIED, 90.1, C, "u", "ac", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"what the successor finds is another state",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {1, LISTED, 100, C, "u", "9", "d1"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d1",
     "ConfigMap/c=d1"},
    {"the successor finds the state with another status",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {1, LISTED, 100, C, "u", "9", "d2"}},
     "ConfigMap/c d1>d2",
     "ConfigMap/c=d2"},
    {"an etcd that was restored counts lower again: a list shows it, and is believed",
     3,
     {{0, LISTED, 10, C, "u", "900", "d1"},
      {0, MODIFIED, 20, C, "u", "1000", "d2"},
      {1, LISTED, 5000, C, "u", "950", "d3"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"numbers count as numbers",
     3,
     {{0, LISTED, 10, C, "u", "9", "d1"},
      {0, MODIFIED, 30, C, "u", "100", "d3"},
      {1, ADDED, 60, C, "u", "20", "d2"}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d3",
     "ConfigMap/c=d3"},
    {"deleted, made again, and another agent tells of the deletion only then",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1", .created = 5},
      {1, LISTED, 10, C, "u", "5", "d1", .created = 5},
      {0, DELETED, 20, C, "u", "6", ""},
      {0, ADDED, 22, C, "v", "7", "d2", .created = 22},
      {1, ADDED, 23, C, "v", "7", "d2", .created = 22},
      {1, DELETED, 25, C, "u", "5", ""}},
     "ConfigMap/c d1>; ConfigMap/c >d2",
     "ConfigMap/c=d2"},
    {"a state from before the deletion is told again after it",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1", .created = 5},
      {0, DELETED, 20, C, "u", "6", ""},
      {1, ADDED, 30, C, "u", "5", "d1", .created = 5}},
     "ConfigMap/c d1>",
     ""},
    {"an agent that said deleted sees the object again",
     1,
     {{0, LISTED, 10, C, "u", "5", "d1", .created = 5},
      {0, DELETED, 20, C, "u", "5", ""},
      {0, ADDED, 30, C, "u", "5", "d1", .created = 5, .list = 1}},
     "ConfigMap/c d1>; ConfigMap/c >d1",
     "ConfigMap/c=d1"},
    {"an agent that has the Lease again tells all of it again",
     1,
     {{0, LISTED, 10, C, "u", "5", "d1"},
      {0, MODIFIED, 20, C, "u", "6", "d2"},
      {0, DELETED, 30, C, "u", "7", ""},
      {0, ADDED, 90, C, "u", "6", "d2"},
      {0, DELETED, 90.1, C, "u", "7", ""}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>",
     ""},
    {"an etcd that was restored, under one agent",
     1,
     {{0, LISTED, 10, C, "u", "900", "d1"},
      {0, MODIFIED, 20, C, "u", "1000", "d2"},
      {0, MODIFIED, 50, C, "u", "950", "d1", .list = 1}},
     "ConfigMap/c d1>d2; ConfigMap/c d2>d1",
     "ConfigMap/c=d1"},
    {"made again while nobody watched",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1", .created = 5}, {1, LISTED, 100, C, "v", "9", "d2", .created = 50}},
     "ConfigMap/c d1>d2",
     "ConfigMap/c=d2"},
    {"the older of two uids is told later",
     3,
     {{0, LISTED, 10, C, "u", "5", "d1", .created = 5},
      {0, MODIFIED, 60, C, "v", "9", "d2", .created = 50},
      {1, LISTED, 100, C, "u", "5", "d1", .created = 5}},
     "ConfigMap/c d1>d2",
     "ConfigMap/c=d2"},
    {"one agent saw it come, another one found it",
     1,
     {{1, LISTED, 10, C, "u", "5", "d1"}, {0, ADDED, 12, C, "u", "5", "d1"}},
     "ConfigMap/c >d1",
     "ConfigMap/c=d1"},
    {"a deletion of what nobody knew", 1, {{0, DELETED, 12, C, "u", "5", ""}}, "", ""},
    {"what controllers say of their work is no change",
     1,
     {{0, LISTED, 10, .kind = "GitOps", .name = "flux:HelmRelease/ns/x", "u", "5", "d1"},
      {0, MODIFIED, 20, .kind = "GitOps", .name = "flux:HelmRelease/ns/x", "u", "6", "d2"}},
     "",
     "GitOps/flux:HelmRelease/ns/x=d2"},
};

static void each_case(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scenario s;
        static const char *const nodes[] = {"n1", "n2", "n3"};
        scenario_begin(&s, "{}");
        for (size_t a = 0; a < 3; a++) {
            size_t agent = scenario_agent(&s, nodes[a]);
            if (cases[i].clock & 1 << a)
                scenario_clock(&s, agent, 1, 0, 0.001);
        }
        for (size_t k = 0; k < TELLS_MAX && cases[i].tells[k].kind; k++)
            told_add(&s, &cases[i].tells[k]);
        const struct facts *f = told_facts(&s);
        if (strcmp(told_signs(f), cases[i].signs) != 0)
            fail_msg("%s: wanted the signs %s, got %s", cases[i].what, cases[i].signs, told_signs(f));
        if (strcmp(told_snapshot(f, 1e6), cases[i].at_the_end) != 0)
            fail_msg("%s: wanted at the end %s, got %s", cases[i].what, cases[i].at_the_end,
                     told_snapshot(f, 1e6));
        scenario_end(&s);
    }
}

/* Of two agents with clocks that differ, a sign has the time of the one that told first, on the collector's
 * clock; it lies after the last moment at which the old state was seen. */
static void a_sign_has_the_earliest_time(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    size_t b = scenario_agent(&s, "n2");
    scenario_clock(&s, a, 1, 0, 0.001);
    scenario_clock(&s, b, 51, -50, 0.001); /* is 50 s ahead */
    told_add(&s, &(struct tell){a, LISTED, 10, C, "u", "5", "d1"});
    told_add(&s, &(struct tell){b, LISTED, 61, C, "u", "5", "d1"});
    told_add(&s, &(struct tell){a, MODIFIED, 20.5, C, "u", "6", "d2", .previous = 19});
    told_add(&s, &(struct tell){b, MODIFIED, 70.2, C, "u", "6", "d2", .previous = 69.5});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_signs, 1);
    assert_int_equal(f->signs[0].ref.stream, b);
    assert_true(llabs(f->signs[0].hi - told_ns(20.2)) < 50000000);
    assert_true(llabs(f->signs[0].lo - told_ns(19.5)) < 50000000);
    scenario_end(&s);
}

/* A state that was only told late was there at the latest when the next one was seen. */
static void a_late_state_is_placed_before_its_successor(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    size_t b = scenario_agent(&s, "n2");
    scenario_clock(&s, a, 1, 0, 0.001);
    scenario_clock(&s, b, 1, 0, 0.001);
    told_add(&s, &(struct tell){a, LISTED, 10, C, "u", "5", "d1"});
    told_add(&s, &(struct tell){a, MODIFIED, 30, C, "u", "7", "d3"});
    told_add(&s, &(struct tell){b, ADDED, 100, C, "u", "6", "d2"});
    told_add(&s, &(struct tell){b, MODIFIED, 100, C, "u", "7", "d3"});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_signs, 2);
    assert_true(f->signs[0].lo < told_ns(10.1) && f->signs[0].hi < told_ns(30.1));
    assert_true(f->signs[1].hi < told_ns(30.1));
    assert_string_equal(told_snapshot(f, 50), "ConfigMap/c=d3");
    scenario_end(&s);
}

/* A clock that nobody knows does not say when, where another one does. */
static void a_known_clock_says_when(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t b = scenario_agent(&s, "n2");
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    told_add(&s, &(struct tell){a, LISTED, 10, C, "u", "5", "d1"});
    told_add(&s, &(struct tell){b, MODIFIED, 14, C, "u", "6", "d2"});
    told_add(&s, &(struct tell){a, MODIFIED, 20, C, "u", "6", "d2"});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_signs, 1);
    assert_int_equal(f->signs[0].ref.stream, a);
    assert_true(f->signs[0].hi >= told_ns(20));
    scenario_end(&s);
}

/* A reading that confirms the old state moves the earliest moment of the change. */
static void a_confirmed_reading_bounds_the_change(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    told_add(&s, &(struct tell){a, LISTED, 10, .kind = "ToolCatalogue", .name = "t", "", "", "d1"});
    told_add(&s, &(struct tell){a, PILOTGATE__OBJECT__OP__OP_CONFIRMED, 50, .kind = "ToolCatalogue",
                                .name = "t", "", "", "d1"});
    told_add(&s, &(struct tell){a, MODIFIED, 60, .kind = "ToolCatalogue", .name = "t", "", "", "d2"});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_signs, 1);
    assert_true(f->signs[0].lo > told_ns(49) && f->signs[0].lo <= told_ns(50));
    scenario_end(&s);
}

/* ---- any order of tellings */

static uint32_t dice;

static unsigned roll(unsigned sides) {
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

#define TRUTH 24
#define AGENTS 4

/* The truth is a row of states, each with its own time. Each agent tells a stretch of it, or two that
 * overlap, late by any time and with a clock that is off by any time, and may miss any of them; the last one
 * tells the newest. */
static void play(struct scenario *s, const char digests[TRUTH][8]) {
    for (size_t a = 0; a < AGENTS; a++) {
        char node[8];
        (void)snprintf(node, sizeof node, "n%zu", a);
        size_t agent = scenario_agent(s, node);
        double off = a ? (double)roll(400) - 200 : 0;
        if (a == 0 || roll(2)) {
            off = a ? (double)roll(4000) / 1000 - 2 : 0;
            scenario_clock(s, agent, 1, -off, 0.001);
        }
        unsigned from = a ? 1 + roll(TRUTH - 1) : 0;
        for (int stretch = 0; stretch < 2; stretch++) {
            double late = a ? (double)roll(500) : 0;
            for (unsigned v = from; v < TRUTH; v++) {
                char version[8];
                (void)snprintf(version, sizeof version, "%u", 95 + v);
                bool first = v == 0 && a == 0 && stretch == 0;
                if (a && roll(4) == 0)
                    continue;
                told_add(s, &(struct tell){agent, first ? LISTED : MODIFIED, 100 + 10.0 * v + late + off, C,
                                           "u", version, digests[v]});
                if (a && roll(12) == 0)
                    break;
            }
            from = 1 + roll(TRUTH - 1);
        }
    }
}

static void any_order_tells_the_same_story(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        struct scenario s;
        char digests[TRUTH][8];
        char expected[TRUTH * 32] = "";
        size_t n = 0;
        dice = seed;
        for (unsigned v = 0; v < TRUTH; v++) {
            (void)snprintf(digests[v], sizeof digests[v], "d%u", roll(3));
            if (v && strcmp(digests[v], digests[v - 1]) != 0)
                n += (size_t)snprintf(expected + n, sizeof expected - n, "%sConfigMap/c %s>%s", n ? "; " : "",
                                      digests[v - 1], digests[v]);
        }
        scenario_begin(&s, "{}");
        play(&s, digests);
        const struct facts *f = told_facts(&s);
        if (strcmp(told_signs(f), expected) != 0)
            fail_msg("seed %u: wanted %s, got %s", seed, expected, told_signs(f));
        for (size_t i = 1; i < f->n_signs; i++)
            assert_true(f->signs[i].hi >= f->signs[i - 1].hi && f->signs[i].lo <= f->signs[i].hi);
        scenario_end(&s);
    }
}

/* ---- releases */

#define RELEASE(n, status) "{\"name\":\"shop\",\"revision\":" #n ",\"status\":\"" status "\"}"

/* What a successor tells again of a revision does not take its status back. */
static void a_status_told_again_is_not_the_newest(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    size_t b = scenario_agent(&s, "n2");
    scenario_clock(&s, a, 1, 0, 0.001);
    scenario_clock(&s, b, 1, 0, 0.001);
    static const char *const texts[] = {RELEASE(1, "pending-install"), RELEASE(1, "deployed")};
    told_add(&s,
             &(struct tell){a, ADDED, 10, "HelmRelease", "shop.v1", "r1", "5", "p", texts[0], .created = 10});
    told_add(&s, &(struct tell){a, MODIFIED, 15, "HelmRelease", "shop.v1", "r1", "8", "d", texts[1],
                                .created = 10});
    told_add(&s,
             &(struct tell){b, ADDED, 90, "HelmRelease", "shop.v1", "r1", "5", "p", texts[0], .created = 10});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_revisions, 1);
    assert_string_equal(f->revisions[0].status, "deployed");
    assert_true(f->revisions[0].live);
    assert_true(f->revisions[0].deployed_hi < told_ns(15.1));
    assert_int_equal(f->n_signs, 1);
    scenario_end(&s);
}

/* Between two agents a revision was made: the second finds it, and the one before it with another status. */
static void a_revision_that_came_unwatched_is_a_sign(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    size_t b = scenario_agent(&s, "n2");
    scenario_clock(&s, a, 1, 0, 0.001);
    scenario_clock(&s, b, 1, 0, 0.001);
    told_add(&s, &(struct tell){a, LISTED, 10, "HelmRelease", "shop.v1", "r1", "5", "d",
                                RELEASE(1, "deployed"), .created = 5});
    told_add(&s, &(struct tell){b, LISTED, 90, "HelmRelease", "shop.v1", "r1", "9", "s",
                                RELEASE(1, "superseded"), .created = 5});
    told_add(&s, &(struct tell){b, LISTED, 90, "HelmRelease", "shop.v2", "r2", "8", "d",
                                RELEASE(2, "deployed"), .created = 50});
    told_add(&s, &(struct tell){b, LISTED, 90, .kind = "HelmRelease", .name = "shop.v3", "r3", "10", "d",
                                RELEASE(3, "deployed"), .created = 60});
    const struct facts *f = told_facts(&s);
    assert_string_equal(told_signs(f), "HelmRelease/shop.v2 >d; HelmRelease/shop.v3 >d");
    scenario_end(&s);
}

/* ---- a namespace that was made again */

static void a_namespace_made_again_is_a_new_stage(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    size_t b = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    scenario_clock(&s, b, 1, 0, 0.001);
    told_namespace(&s, a, 2, "ns-1", 1);
    told_add(&s, &(struct tell){a, LISTED, 10, C, "u", "5", "d1", .created = 5});
    told_add(&s, &(struct tell){a, LISTED, 10, "ConfigMap", "old", "o", "6", "d1", .created = 5});
    told_add(&s, &(struct tell){a, MODIFIED, 20, C, "u", "7", "d2", .created = 5});
    told_namespace(&s, b, 210, "ns-2", 200);
    told_add(&s, &(struct tell){b, LISTED, 210, C, "v", "90", "d9", .created = 205});
    told_add(&s, &(struct tell){b, MODIFIED, 300, C, "v", "95", "d8", .created = 205});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_lives, 2);
    assert_string_equal(f->lives[1].uid, "ns-2");
    assert_true(f->lives[0].to == f->lives[1].from && f->lives[1].to == INT64_MAX);
    assert_string_equal(told_signs(f), "ConfigMap/c d1>d2; ConfigMap/c d9>d8");
    assert_string_equal(told_snapshot(f, 100), "ConfigMap/c=d2; ConfigMap/old=d1");
    assert_string_equal(told_snapshot(f, 250), "ConfigMap/c=d9");
    assert_int_equal(f->n_changes, 2);
    json_t *list;
    struct err e;
    s.c.at_ns = told_ns(1000);
    assert_int_equal(facts_exposure(&s.c.stages[0], &s.c.rubric, s.c.at_ns, &e), 0);
    assert_int_equal(gates_changes(&s.c, NULL, &list, &e), 0);
    assert_false(js_bool(json_array_get(list, 0), "qualifies", true));
    assert_non_null(strstr(js_str(json_array_get(list, 0), "reason", ""), "earlier life"));
    assert_null(strstr(js_str(json_array_get(list, 1), "reason", ""), "earlier life"));
    assert_string_equal(js_str(json_array_get(list, 0), "namespace_uid", ""), "ns-1");
    assert_string_equal(js_str(json_array_get(list, 1), "namespace_uid", ""), "ns-2");
    json_decref(list);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case),
        cmocka_unit_test(a_sign_has_the_earliest_time),
        cmocka_unit_test(a_late_state_is_placed_before_its_successor),
        cmocka_unit_test(a_known_clock_says_when),
        cmocka_unit_test(a_confirmed_reading_bounds_the_change),
        cmocka_unit_test(any_order_tells_the_same_story),
        cmocka_unit_test(a_status_told_again_is_not_the_newest),
        cmocka_unit_test(a_revision_that_came_unwatched_is_a_sign),
        cmocka_unit_test(a_namespace_made_again_is_a_new_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
