/* What living agents cover: who reads what, whose reason counts, and whether any of them watches the whole
 * stage. On a real store, by the built program. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "cli_fixture.h"
#include "stored_pilot.h"

static struct run r; /* large */

struct sources {
    bool stage;
    const char *unreadable; /* NULL: all are read */
    const char *unserved;   /* NULL: all are served */
};

/* The kube thread's coverage, each second. */
static void put(struct stored *s, double from, double to, const struct sources *what) {
    for (double t = from; t < to; t += 1) {
        Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
        Pilotgate__Coverage__Source pods = PILOTGATE__COVERAGE__SOURCE__INIT;
        Pilotgate__Coverage__Source other = pods;
        Pilotgate__Coverage__Source *list[] = {&pods, &other};
        Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
        pods.name = (char *)"pods";
        pods.ok = true;
        other.name = (char *)"deployments";
        other.ok = !what->unreadable;
        other.reason = (char *)(what->unreadable ? what->unreadable : what->unserved ? what->unserved : "");
        other.kind = (char *)"Deployment";
        c.base_mono_ns = (uint64_t)(t * 1e9) + 1000;
        c.sources = list;
        c.n_sources = what->stage ? 2 : 1;
        c.stage_scoped = what->stage;
        rec.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
        rec.coverage = &c;
        stored_put(s, &rec, t);
    }
}

/* what[0] until `then`, what[1] until `to`: does the stage show this source as unreadable, and why? */
static void expect(const char *dir, const struct sources *what, double from, double then, double to,
                   const char *source, const char *reason) {
    struct stored s;
    json_t *doc = NULL;
    stored_open(&s, dir);
    put(&s, from, then, what);
    put(&s, then, to, &what[1]);
    stored_close(&s);
    run_cli(&r, dir, "agents -o json");
    assert_int_equal(js_parse(r.out, strlen(r.out), JS_TEXT_MAX, &doc, NULL), 0);
    const json_t *stage = json_array_get(js_at(doc, "stages"), 0);
    assert_string_equal(js_str(stage, "stage", ""), "c1/shop");
    const char *said = js_str(js_at(stage, "unreadable"), source, "");
    if (!*reason ? *said : !strstr(said, reason))
        fail_msg("%s: \"%s\" instead of \"%s\"", source, said, reason);
    json_decref(doc);
}

static void test_a_stage_that_no_agent_watches_shows(void **state) {
    static const struct sources never[] = {{.stage = false}, {.stage = false}};
    expect(*state, never, 140, 170, 210, "stage", "no agent watches releases");
}

static void test_a_takeover_is_no_news(void **state) {
    static const struct sources later[] = {{.stage = true}, {.stage = false}};
    expect(*state, later, 140, 170, 210, "stage", "");
}

static void test_an_agent_that_just_came_is_no_news(void **state) {
    static const struct sources fresh[] = {{.stage = false}, {.stage = false}};
    expect(*state, fresh, 140, 160, 180, "stage", "");
}

static void test_a_watched_stage_is_no_news(void **state) {
    static const struct sources held[] = {{.stage = false}, {.stage = true}};
    expect(*state, held, 140, 205, 210, "stage", "");
}

/* Sources of the stage go with the Lease: what could not be read then says nothing now. */
static void test_reasons_go_with_the_work(void **state) {
    static const struct sources gone[] = {{.stage = true, .unreadable = "RBAC"}, {.stage = false}};
    expect(*state, gone, 140, 170, 180, "deployments", "");
}

static void test_reasons_stand_while_they_are_told(void **state) {
    static const struct sources told[] = {{.stage = false}, {.stage = true, .unreadable = "RBAC"}};
    expect(*state, told, 140, 170, 180, "deployments", "RBAC");
}

/* There are no objects of it: nothing is missing that a person could give. */
static void test_what_is_not_served_is_not_unreadable(void **state) {
    static const char why[] = "the API server does not serve it";
    static const struct sources unserved[] = {{.stage = true, .unserved = why},
                                              {.stage = true, .unserved = why}};
    expect(*state, unserved, 140, 170, 180, "deployments", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_stage_that_no_agent_watches_shows),
        TEST(test_a_takeover_is_no_news),
        TEST(test_an_agent_that_just_came_is_no_news),
        TEST(test_a_watched_stage_is_no_news),
        TEST(test_reasons_go_with_the_work),
        TEST(test_reasons_stand_while_they_are_told),
        TEST(test_what_is_not_served_is_not_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
