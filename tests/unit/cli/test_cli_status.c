/* test_cli_status: `plan` and `status` on a real store: what agents tell of their load, what is missing, and
 * exit statuses. The arithmetic of plans is in tests/unit/gates/test_plan.c. */
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
#include "base/when.h"
#include "cli_fixture.h"
#include "stored_pilot.h"

static struct run r; /* large */

/* The stored pilot, with a load of n calls of each kind in drills, each of so many seconds. */
static void store_load(const char *dir, uint64_t n, double seconds) {
    struct stored s;
    Pilotgate__Coverage__Probe kept = PILOTGATE__COVERAGE__PROBE__INIT, fresh = kept, control = kept;
    Pilotgate__Coverage__Probe *probes[] = {&kept, &fresh, &control};
    kept.name = (char *)"kept";
    fresh.name = (char *)"fresh";
    control.name = (char *)"control";
    control.control = true;
    kept.in_flight = fresh.in_flight = control.in_flight = 2;
    kept.drill_in_flight = fresh.drill_in_flight = n;
    stored_open(&s, dir);
    stored_calls(&s, "kept", 1000, 20, 200, 200 + seconds, PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED);
    stored_calls(&s, "fresh", 1100, 20, 200, 200 + seconds, 0);
    stored_coverage(&s, 200, 220, probes, 3);
    stored_close(&s);
}

static void test_plan(void **state) {
    const char *dir = *state;
    store_load(dir, 100, 4); /* a switch was known within 0.25 s and twice the clock's error */
    run_cli(&r, dir, "plan --max-drop-rate 1%% --confidence 0.95 -o json");
    json_t *doc = said(&r, 0);
    const json_t *stage = json_array_get(js_at(doc, "stages"), 0);
    assert_int_equal(js_int(stage, "units_needed", 0), 299);
    assert_int_equal(js_int(stage, "units", 0), 2 * STORED_EACH); /* of the change that passes */
    assert_in_range(js_int(stage, "reused", 0), 88, 94);
    assert_in_range(js_int(stage, "new", 0), 88, 94);
    assert_int_equal(js_int(stage, "drills", 0), 2);
    const json_t *load = json_array_get(js_at(stage, "loads"), 0);
    assert_string_equal(js_str(load, "connection", ""), "reused");
    assert_true(json_real_value(json_object_get(load, "call_s")) > 3.9);
    json_decref(doc);
    run_cli(&r, dir, "plan --max-drop-rate 0.01");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "--repeat 2 --"));
    assert_non_null(strstr(r.out, "299 units needed"));
    run_cli(&r, dir, "plan --stage c1/shop"); /* the rubric's own: 0.5, which few units prove */
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "no further drill is needed"));
}

static void test_plan_says_what_to_raise(void **state) {
    const char *dir = *state;
    store_load(dir, 100, 0.125);
    run_cli(&r, dir, "plan --max-drop-rate 1%%");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "a slower tool"));
}

static void test_wrong_words(void **state) {
    static const struct {
        const char *line, *part;
    } bad[] = {
        {"plan --max-drop-rate 0", "0.1% or 0.001"},
        {"plan --max-drop-rate 100%%", "0.1% or 0.001"},
        {"plan --max-drop-rate -1%%", "0.1% or 0.001"},
        {"plan --max-drop-rate nan", "0.1% or 0.001"},
        {"plan --max-drop-rate 0x1p-3", "0.1% or"},
        {"plan --max-drop-rate '1 % x'", "0.1% or 0.001"},
        {"plan --confidence 40%%", "95% or 0.95"},
        {"plan --stage c1/none", "c1/none"},
        {"status --stage c1/none", "c1/none"},
        {"status -o xml", "table, json, yaml"},
        {"status extra", "too many"},
    };
    stored_pilot(*state);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        run_cli(&r, *state, "%s", bad[i].line);
        if (r.status != 2 || !strstr(r.err, bad[i].part) || *r.out)
            fail_msg("%s: status %d: %s%s", bad[i].line, r.status, r.out, r.err);
        assert_ptr_equal(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
    }
}

static bool stops(const json_t *doc, const char *gate, const char *part) {
    size_t i;
    json_t *o;
    json_array_foreach(js_at(doc, "never"), i, o) {
        if (strcmp(js_str(o, "gate", ""), gate) == 0 && (strstr(js_str(o, "what", ""), part)) &&
            *js_str(o, "do", ""))
            return true;
    }
    return false;
}

/* The collector's clock was an hour ahead when it committed the lost call, and was set right since. */
static void test_what_a_clock_ahead_committed_is_judged(void **state) {
    const char *dir = *state;
    struct stored s;
    struct err e = {""};
    stored_open(&s, dir);
    assert_int_equal(store_commit(s.store, when_wall_ns() + 3600 * WHEN_S, NULL, &e), 0);
    store_close(&s.store);
    run_cli(&r, dir, "gates -o json");
    json_t *doc = said(&r, 1);
    char at[WHEN_TEXT_MAX];
    (void)snprintf(at, sizeof at, "%s", js_str(doc, "at", ""));
    int64_t commit = js_int(doc, "commit", 0);
    json_decref(doc);
    assert_int_equal(store_open(NULL, STORE_SERVE, &s.store, &e), 0);
    assert_int_equal(store_begin(s.store, &e), 0);
    stored_calls(&s, "kept", 1000, 1, 250, 251, 0); /* more comes, stamped by the right clock */
    stored_close(&s);
    run_cli(&r, dir, "gates --at %s -o json", at);
    doc = said(&r, 1);
    assert_int_equal(js_int(doc, "commit", 0), commit);
    json_decref(doc);
}

/* An agent beside the stored one whose clock is days behind, and which died in the second change with a call
 * open. */
static void add_far_agent(struct stored *s, int64_t behind_ns) {
    static const uint8_t boot[WIRE_BOOT_BYTES] = {0xfa};
    const struct store_stream_key key = {"c1", "shop", "n2", boot};
    struct err e = {""};
    uint64_t hwm;
    int64_t start = -6000000;
    Pilotgate__Coverage__Probe kept = PILOTGATE__COVERAGE__PROBE__INIT;
    Pilotgate__Coverage__Probe *probes[] = {&kept};
    Pilotgate__Timing timing = PILOTGATE__TIMING__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    struct stored far = {.store = s->store, .begin_ns = s->begin_ns - behind_ns};
    assert_int_equal(store_stream(s->store, &key, &far.stream, &hwm, &(bool){false}, &e), 0);
    timing.kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET;
    timing.value_ns = behind_ns;
    timing.error_ns = 1000000;
    rec.body_case = PILOTGATE__RECORD__BODY_TIMING;
    rec.timing = &timing;
    stored_put(&far, &rec, 90);
    kept.name = (char *)"kept";
    kept.started = 7;
    kept.resolved = 6;
    kept.first_open = 7;
    kept.n_open_number_delta = kept.n_open_start_us = 1;
    kept.open_number_delta = (uint64_t[]){0};
    kept.open_start_us = &start;
    stored_coverage(&far, 90, 102, probes, 1);
}

static int64_t unresolved_in_last_change(const char *dir) {
    run_cli(&r, dir, "changes -o json");
    json_t *doc = NULL;
    struct err e = {""};
    assert_int_equal(js_parse(r.out, strlen(r.out), JS_TEXT_MAX, &doc, &e), 0);
    const json_t *last = json_array_get(doc, json_array_size(doc) - 1);
    int64_t n = js_int(last, "measured.unresolved", -1);
    json_decref(doc);
    return n;
}

static void test_open_calls_of_a_far_clock_count(void **state) {
    static const int64_t behind[] = {0, 3 * 86400 * WHEN_S, -400 * 86400 * WHEN_S, 1700000000 * WHEN_S};
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        char dir[64];
        struct stored s;
        make_dir(dir);
        stored_open(&s, dir);
        add_far_agent(&s, behind[i]);
        stored_close(&s);
        int64_t n = unresolved_in_last_change(dir);
        if (n != 1)
            fail_msg("behind by %lld s: %lld unresolved: %s", (long long)(behind[i] / WHEN_S), (long long)n,
                     r.out);
        remove_dir(dir);
    }
    (void)state;
}

static void test_status(void **state) {
    const char *dir = *state;
    stored_pilot(dir); /* agents that do not tell their load, and echo calls nobody of a custom server */
    run_cli(&r, dir, "status -o json");
    json_t *doc = said(&r, 1); /* a change failed */
    assert_true(stops(doc, "config-safety", "no probe keeps calls open"));
    assert_true(stops(doc, "config-safety", "no probe takes part in drills"));
    assert_true(stops(doc, "helm-deployment", "custom server"));
    assert_true(stops(doc, "rollback", "configuration is not read"));
    assert_true(stops(doc, "architecture", "reference"));
    assert_false(stops(doc, "config-safety", "catalogue"));
    json_decref(doc);
    run_cli(&r, dir, "status");
    assert_int_equal(r.status, 1);
    assert_non_null(
        strstr(r.out, "c1/shop: never, as it is now: no probe takes part in drills; set drill_in_flight"));
    run_cli(&r, dir, "pilot status"); /* the same, told of a pilot */
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "never, as it is now"));
}

static void test_status_of_a_good_load(void **state) {
    const char *dir = *state;
    store_load(dir, 100, 4);
    run_cli(&r, dir, "status -o json");
    json_t *doc = said(&r, 1);
    if (stops(doc, "config-safety", ""))
        fail_msg("%s", strstr(r.out, "\"never\""));
    assert_true(stops(doc, "rollback", "configuration is not read"));
    json_decref(doc);
}

static void test_status_without_agents(void **state) {
    const char *dir = *state;
    write_text(dir, "p.yaml", "name: demo\nstages: [{stage: c1/shop, agents: 2}]\n");
    (void)setenv("PILOTGATE_STORE", "sqlite:p.db", 1);
    run_cli(&r, dir, "status");
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "pilot init"));
    run_cli(&r, dir, "pilot init --file p.yaml");
    run_cli(&r, dir, "status -o json");
    json_t *doc = said(&r, 3);
    assert_true(stops(doc, "config-safety", "no agent has reported"));
    assert_true(stops(doc, "rollback", "no agent has reported"));
    json_decref(doc);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_plan),
        CASE(test_plan_says_what_to_raise),
        CASE(test_wrong_words),
        CASE(test_what_a_clock_ahead_committed_is_judged),
        CASE(test_open_calls_of_a_far_clock_count),
        CASE(test_status),
        CASE(test_status_of_a_good_load),
        CASE(test_status_without_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
