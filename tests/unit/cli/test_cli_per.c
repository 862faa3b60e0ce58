/* test_cli_per: `calls --per` on a real store: counts, quantiles, and a row counted again as of an older
 * commit. */
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

#define MINUTE (60 * WHEN_S)
#define COMPLETED PILOTGATE__OUTCOME__OUTCOME_COMPLETED

static struct run r; /* large */
static struct block_calls b;

/* Completed calls that begin at t, as a record and in the counts; the last of them was reset. */
static void put(struct stored *s, uint64_t first, size_t n, double t, double seconds) {
    static const char *const probe[] = {"per"}, *const target[] = {"gateway"}, *const path[] = {""};
    struct store_calls c = {&b, 1, probe, target, path};
    struct err e = {""};
    stored_calls(s, "per", first, n, t, t + seconds, 0);
    memset(&b, 0, sizeof b);
    b.base_wall_ns = s->begin_ns;
    for (b.n = 0; b.n < n; b.n++) {
        b.number[b.n] = first + b.n;
        b.start_us[b.n] = (int64_t)(t * 1e6);
        b.duration_us[b.n] = (uint64_t)(seconds * 1e6);
        b.outcome[b.n] = COMPLETED;
    }
    if (store_add_calls(s->store, "c1", "shop", &c, &e) < 0)
        fail_msg("%s", e.text);
}

/* Ten calls of 100 ms in a minute, then another commit with five of 2 s in the same one. Returns its begin.
 */
static int64_t store_two(const char *dir, int64_t now) {
    struct stored s;
    struct err e = {""};
    stored_open(&s, dir);
    int64_t minute = (s.begin_ns + 150 * WHEN_S) / MINUTE * MINUTE;
    double t = (double)(minute - s.begin_ns) / 1e9 + 1;
    put(&s, 5000, 10, t, 0.1);
    assert_int_equal(store_commit(s.store, now + 10 * WHEN_S, NULL, &e), 0);
    assert_int_equal(store_begin(s.store, &e), 0);
    put(&s, 5100, 5, t + 2, 2);
    assert_int_equal(store_commit(s.store, now + 20 * WHEN_S, NULL, &e), 0);
    assert_int_equal(store_begin(s.store, &e), 0);
    stored_close(&s);
    return minute;
}

static void expect_row(const json_t *doc, int calls, int64_t p50, int64_t p99, bool recounted) {
    const json_t *row = js_at(doc, "rows.0");
    assert_int_equal(json_array_size(json_object_get(doc, "rows")), 1);
    assert_string_equal(js_str(row, "stage", ""), "c1/shop");
    assert_int_equal(js_int(row, "calls", -1), calls);
    assert_int_equal(js_int(row, "outcomes.completed", -1), calls);
    assert_int_equal(js_bool(row, "recounted", !recounted), recounted);
    int64_t half = js_int(row, "p50_us", 0), most = js_int(row, "p99_us", 0);
    assert_true(half >= p50 && half <= p50 * 5 / 4);
    assert_true(most >= p99 && most <= p99 * 5 / 4);
}

static void counts_are_told_by_time(void **state) {
    char at[WHEN_TEXT_MAX];
    int64_t now = when_wall_ns();
    int64_t minute = store_two(*state, now);
    when_format(now + 30 * WHEN_S, 3, at);
    static const char *const levels[] = {"minute", "hour", "day"};
    for (int i = 0; i < 3; i++) {
        run_cli(&r, *state, "calls --per %s --at %s --probe per -o json", levels[i], at);
        json_t *doc = said(&r, 0);
        expect_row(doc, 15, 100000, 2000000, false);
        json_decref(doc);
    }
    when_format(minute + MINUTE, 0, at);
    run_cli(&r, *state, "calls --per minute --probe per --from %s -o json", at);
    json_t *doc = said(&r, 0);
    assert_int_equal(json_array_size(json_object_get(doc, "rows")), 0);
    json_decref(doc);
    run_cli(&r, *state, "calls --per minute --probe per -o json"); /* committed while the clock was ahead */
    doc = said(&r, 0);
    expect_row(doc, 15, 100000, 2000000, false);
    json_decref(doc);
    when_format(now - WHEN_S, 9, at);
    run_cli(&r, *state, "calls --per minute --at %s", at);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "no calls were counted"));
}

static void an_older_commit_is_counted_again(void **state) {
    char at[WHEN_TEXT_MAX];
    int64_t now = when_wall_ns();
    (void)store_two(*state, now);
    when_format(now + 15 * WHEN_S, 3, at);
    run_cli(&r, *state, "calls --per minute --at %s -o json", at);
    json_t *doc = said(&r, 0);
    expect_row(doc, 10, 100000, 100000, true);
    json_decref(doc);
    run_cli(&r, *state, "calls --per hour --at %s", at);
    assert_non_null(strstr(r.out, "counted again as of --at"));
    when_format(now - 3600 * WHEN_S, 3, at);
    run_cli(&r, *state, "calls --per minute --at %s -o json", at);
    doc = said(&r, 0);
    assert_int_equal(json_array_size(json_object_get(doc, "rows")), 0);
    json_decref(doc);
}

static void what_cannot_be_counted_is_refused(void **state) {
    static const char *const lines[] = {"calls --per week", "calls --per day --lost",
                                        "calls --per day -o csv", "calls --per day --change x",
                                        "calls --per day --join f"};
    stored_pilot(*state);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        run_cli(&r, *state, "%s", lines[i]);
        assert_int_equal(r.status, 2);
        assert_ptr_equal(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_are_told_by_time, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(an_older_commit_is_counted_again, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_counted_is_refused, dir_setup, dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
