/* alert_look: what is seen, look by look, and the events that it must give. */
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

#include "alert/alert.h"
#include "base/js.h"
#include "base/when.h"

#define BEGAN (1800000000 * WHEN_S)

/* One look: seconds since the begin, and JSON for stages and verdicts (NULL: not known); expected: the
 * events, "alert state stage node|gate before after", each ended by ';'. */
struct row {
    int at;
    const char *stages, *verdicts, *full, *expected;
    bool over;
};

static json_t *parsed(const char *text) {
    json_t *o = NULL;
    struct err e;
    if (text && js_parse(text, strlen(text), JS_TEXT_MAX, &o, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    return o;
}

static void describe(const json_t *event, char *out, size_t max) {
    const char *const keys[] = {"alert", "state", "stage", "node", "gate", "before", "after"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = js_str(event, keys[i], NULL);
        if (text)
            (void)snprintf(out + strlen(out), max - strlen(out), "%s%s", i ? " " : "", text);
    }
    (void)snprintf(out + strlen(out), max - strlen(out), ";");
}

static void look(json_t *state, const struct row *row) {
    char told[2048] = "";
    struct err e;
    bool changed = false, dropped = false;
    json_t *stages = parsed(row->stages), *verdicts = parsed(row->verdicts);
    struct alert_seen seen = {.pilot = "p",
                              .running = !row->over,
                              .stages = stages,
                              .verdicts = verdicts,
                              .store_full = row->full,
                              .store_id = "abc",
                              .now_ns = BEGAN + row->at * WHEN_S,
                              .stale_ns = 30 * WHEN_S,
                              .hold_ns = 20 * WHEN_S};
    json_t *before = json_deep_copy(state);
    assert_int_equal(alert_look(&seen, state, &changed, &e), 0);
    if (changed == json_equal(before, state) && json_object_size(before))
        fail_msg("at %d: the state changed, and it was not said (or the other way round)", row->at);
    for (const json_t *event; (event = alert_next(state, seen.now_ns, &dropped)); alert_told(state))
        describe(event, told, sizeof told);
    if (strcmp(told, row->expected) != 0)
        fail_msg("at %d: told '%s' instead of '%s'", row->at, told, row->expected);
    json_decref(before);
    json_decref(stages);
    json_decref(verdicts);
}

/* The state goes through text between looks, as over a restart. */
static void play(const struct row *rows, size_t n) {
    json_t *state = json_object();
    for (size_t i = 0; i < n; i++) {
        look(state, &rows[i]);
        char *text = js_canonical(state);
        json_decref(state);
        state = parsed(text);
        free(text);
    }
    json_decref(state);
}
#define PLAY(rows) play(rows, sizeof(rows) / sizeof *(rows))

#define NODE(name, on, seen, age) \
    "{\"node\":\"" name "\",\"connected\":" on ",\"last_seen_ns\":" seen ",\"age_ns\":" age "}"
#define STAGE(expected, nodes) "[{\"stage\":\"c/s\",\"expected\":" expected ",\"nodes\":[" nodes "]}]"
#define YOUNG "1000000000"
#define OLD "31000000000"

static void test_an_agent_goes_and_comes_back(void **state) {
    (void)state;
    static const char on[] = STAGE("1", NODE("n", "true", "5", YOUNG));
    static const char off[] = STAGE("1", NODE("n", "false", "5", YOUNG));
    static const char stale[] = STAGE("1", NODE("n", "false", "5", OLD));
    const struct row rows[] = {
        {.at = 0, .stages = on, .expected = ""},
        {.at = 10, .stages = off, .expected = ""}, /* held, not yet begun */
        {.at = 20, .stages = on, .expected = ""},  /* a restart tells nothing */
        {.at = 30, .stages = off, .expected = ""},
        {.at = 50, .stages = off, .expected = "agent-gone begin c/s n;"},
        {.at = 60, .stages = NULL, .expected = ""}, /* not known ends nothing */
        {.at = 70, .stages = stale, .expected = ""},
        {.at = 90, .stages = stale, .expected = "coverage-stale begin c/s n;"},
        {.at = 95, .stages = stale, .expected = ""},
        {.at = 100, .stages = on, .expected = "agent-gone end c/s n;coverage-stale end c/s n;"},
        {.at = 200, .stages = on, .expected = ""},
    };
    PLAY(rows);
}

static void test_which_agents_are_missed(void **state) {
    (void)state;
    /* three nodes spoke once, two are wanted: the one that was seen last is missed */
    static const char three[] =
        STAGE("2", NODE("old", "false", "1", OLD) "," NODE("late", "false", "9",
                                                           YOUNG) "," NODE("here", "true", "9", YOUNG));
    static const char enough[] =
        STAGE("1", NODE("old", "false", "1", OLD) "," NODE("here", "true", "9", YOUNG));
    static const char never[] = STAGE("3", NODE("here", "true", "9", YOUNG));
    const struct row rows[] = {
        {.at = 0, .stages = three, .expected = ""},
        {.at = 20, .stages = three, .expected = "agent-gone begin c/s late;"},
        {.at = 30, .stages = enough, .expected = "agent-gone end c/s late;"},
        {.at = 60, .stages = never, .expected = ""},
        {.at = 80, .stages = never, .expected = "agent-gone begin c/s;"},
        {.at = 90, .stages = never, .expected = "agent-gone end c/s;", .over = true}, /* nobody is missed */
    };
    PLAY(rows);
}

static void test_a_connected_agent_that_covers_nothing(void **state) {
    (void)state;
    static const char silent[] = STAGE("1", NODE("n", "true", "9", OLD));
    static const char covers[] = STAGE("1", NODE("n", "true", "9", YOUNG));
    static const char unknown[] = STAGE("1", NODE("n", "true", "9", "-1"));
    const struct row rows[] = {
        {.at = 0, .stages = silent, .expected = ""},
        {.at = 20, .stages = silent, .expected = "coverage-stale begin c/s n;"},
        {.at = 30, .stages = unknown, .expected = ""}, /* after a restart nothing is known yet */
        {.at = 40, .stages = covers, .expected = "coverage-stale end c/s n;"},
        {.at = 50, .stages = unknown, .expected = ""},
    };
    PLAY(rows);
}

static void test_a_stage_that_no_agent_watches(void **state) {
    (void)state;
#define HELD(ns) "[{\"stage\":\"c/s\",\"expected\":0,\"conflicts\":0,\"unheld_ns\":" ns ",\"nodes\":[]}]"
    static const char held[] = HELD("0"), minute[] = HELD("60000000000"), longer[] = HELD("61000000000");
    const struct row rows[] = {
        {.at = 0, .stages = held, .expected = ""},
        {.at = 60, .stages = minute, .expected = ""},
        {.at = 61, .stages = longer, .expected = "stage-unwatched begin c/s;"},
        {.at = 70, .stages = HELD("-1"), .expected = ""}, /* nobody tells: it is as it was */
        {.at = 80, .stages = held, .expected = "stage-unwatched end c/s;"},
        {.at = 200, .stages = longer, .expected = "", .over = true},
    };
    PLAY(rows);
}

#define VERDICT(v) \
    "{\"gates\":[{\"id\":\"g\",\"stages\":[{\"stage\":\"c/s\",\"verdict\":\"" v "\",\"reason\":\"r\"}]}]}"

static void test_verdicts(void **state) {
    (void)state;
    const struct row rows[] = {
        {.at = 0, .verdicts = VERDICT("PENDING"), .expected = ""}, /* the first one is no change */
        {.at = 1, .verdicts = VERDICT("PENDING"), .expected = ""},
        {.at = 2, .verdicts = VERDICT("PASS"), .expected = "verdict-changed begin c/s g PENDING PASS;"},
        {.at = 3, .verdicts = NULL, .expected = ""},
        {.at = 4, .verdicts = VERDICT("PASS"), .expected = ""},
        {.at = 5, .verdicts = VERDICT("FAIL"), .expected = "verdict-changed begin c/s g PASS FAIL;"},
    };
    PLAY(rows);
}

static void test_store_and_conflicts(void **state) {
    (void)state;
    static const char bad[] = "[{\"stage\":\"c/s\",\"expected\":0,\"conflicts\":1,\"nodes\":[]}]";
    static const char worse[] = "[{\"stage\":\"c/s\",\"expected\":0,\"conflicts\":7,\"nodes\":[]}]";
    const struct row rows[] = {
        {.at = 0, .full = "", .stages = bad, .expected = "conflict begin c/s;"},
        {.at = 1, .full = "disk full", .stages = worse, .expected = "store-full begin;"},
        {.at = 2, .full = NULL, .stages = worse, .expected = ""},
        {.at = 3, .full = "", .stages = NULL, .expected = "store-full end;"},
    };
    PLAY(rows);
}

static void test_what_nobody_takes_is_dropped_after_a_day_and_counted(void **state) {
    (void)state;
    json_t *s = json_object();
    struct err e;
    bool changed;
    struct alert_seen seen = {.pilot = "p", .store_id = "abc", .now_ns = BEGAN, .store_full = "full"};
    assert_int_equal(alert_look(&seen, s, &changed, &e), 0);
    seen.now_ns = BEGAN + 10 * WHEN_S;
    seen.store_full = "";
    assert_int_equal(alert_look(&seen, s, &changed, &e), 0);
    assert_int_equal(alert_waiting(s), 2);
    assert_string_equal(js_str(alert_next(s, BEGAN + ALERT_KEEP_S * WHEN_S, &changed), "state", ""), "begin");
    assert_false(changed);
    const json_t *second = alert_next(s, BEGAN + (ALERT_KEEP_S + 1) * WHEN_S, &changed);
    assert_true(changed);
    assert_string_equal(js_str(second, "state", ""), "end");
    assert_string_equal(js_str(second, "id", ""), "abc-2");
    assert_int_equal(alert_dropped(s), 1);
    json_decref(s);
}

static void test_bounds(void **state) {
    (void)state;
    json_t *s = json_object();
    struct err e;
    bool changed;
    struct alert_seen seen = {.pilot = "p", .store_id = "abc", .now_ns = BEGAN};
    for (int i = 0; i < ALERT_QUEUE_MAX + 10; i++) {
        seen.store_full = i % 2 ? "" : "full";
        assert_int_equal(alert_look(&seen, s, &changed, &e), 0);
    }
    assert_int_equal(alert_waiting(s), ALERT_QUEUE_MAX);
    assert_int_equal(alert_dropped(s), 10);
    assert_int_equal(alert_wait(1), WHEN_S);
    assert_int_equal(alert_wait(4), 8 * WHEN_S);
    assert_int_equal(alert_wait(4000000000u), ALERT_WAIT_MAX_S * WHEN_S);
    json_decref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_agent_goes_and_comes_back),
        cmocka_unit_test(test_which_agents_are_missed),
        cmocka_unit_test(test_a_connected_agent_that_covers_nothing),
        cmocka_unit_test(test_a_stage_that_no_agent_watches),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_store_and_conflicts),
        cmocka_unit_test(test_what_nobody_takes_is_dropped_after_a_day_and_counted),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
