/* test_cli_retain: what retention leaves, what it takes, and what verdicts say before and after. */
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
#include "cli/retain.h"
#include "cli_fixture.h"
#include "stored_pilot.h"

#define DAY (86400 * WHEN_S)
#define QUIET 2000 /* seconds after the pilot's begin: far from any change */

static struct run r; /* large */

#define ok(call)                               \
    do {                                       \
        struct err e = {""};                   \
        if ((call) < 0)                        \
            fail_msg("%s: %s", #call, e.text); \
    } while (0)

static struct store *reopen(void) {
    struct store *s = NULL;
    ok(store_open(NULL, STORE_SERVE, &s, &e));
    return s;
}

/* The stored pilot with blocks of completed calls when nothing changed, all packed. Returns its begin. */
static int64_t make_store(const char *dir) {
    struct stored s;
    stored_open(&s, dir);
    for (uint64_t i = 0; i < 20; i++)
        stored_calls(&s, "kept", 10000 + 10 * i, 10, QUIET + (double)i, QUIET + (double)i + 0.5, 0);
    int64_t begin = s.begin_ns;
    stored_close(&s);
    struct store *store = reopen();
    size_t n = 1;
    while (n)
        ok(store_pack(store, when_wall_ns() + DAY, &n, &e));
    store_close(&store);
    return begin;
}

struct sum {
    uint64_t hash, records;
};

static int add(void *ctx, const struct store_record *row, uint64_t commit) {
    struct sum *s = ctx;
    for (size_t i = 0; i < row->len; i++)
        s->hash = (s->hash ^ row->payload[i]) * 0x100000001b3ull;
    s->hash = (s->hash ^ row->seq ^ commit << 32) * 0x100000001b3ull;
    s->records++;
    return 0;
}

static struct sum sum_of(struct store *s, int64_t from, int64_t to) {
    struct sum sum = {1, 0};
    struct store_query q = {.from_ns = from, .to_ns = to};
    ok(store_records(s, &q, add, &sum, &e));
    return sum;
}

static json_t *retain(struct store *s, int64_t now, int64_t keep_ns) {
    json_t *done = NULL;
    struct retain_options o = {.keep_ns = keep_ns};
    ok(retain_once(s, &o, now, false, NULL, &done, &e));
    return done;
}

static void verdict_at(const char *dir, const char *at, char out[RUN_OUT_MAX]) {
    run_cli(&r, dir, "gates --at %s -o json", at);
    assert_true(r.status != 2);
    memcpy(out, r.out, RUN_OUT_MAX);
}

static void what_no_verdict_needs_goes(void **state) {
    static char before[RUN_OUT_MAX], after[RUN_OUT_MAX];
    char at[WHEN_TEXT_MAX];
    int64_t begin = make_store(*state);
    when_format(when_wall_ns() + 3600 * WHEN_S, 9, at);
    verdict_at(*state, at, before);
    struct store *s = reopen();
    struct sum kept = sum_of(s, begin - 3600 * WHEN_S, begin + 1000 * WHEN_S);
    struct sum quiet = sum_of(s, begin + QUIET * WHEN_S, begin + (QUIET + 100) * WHEN_S);
    json_t *done = retain(s, when_wall_ns() + 60 * DAY, 30 * DAY);
    assert_int_equal(quiet.records, 20);
    assert_int_equal(js_int(done, "deleted", 0), 20);
    assert_string_equal(js_str(done, "why", ""), "age");
    json_decref(done);
    struct sum now = sum_of(s, begin - 3600 * WHEN_S, begin + 1000 * WHEN_S);
    assert_int_equal(now.records, kept.records);
    assert_true(now.hash == kept.hash);
    assert_int_equal(sum_of(s, begin + QUIET * WHEN_S, begin + (QUIET + 100) * WHEN_S).records, 0);
    done = retain(s, when_wall_ns() + 60 * DAY, 30 * DAY);
    assert_int_equal(js_int(done, "deleted", -1), 0);
    json_decref(done);
    store_close(&s);
    verdict_at(*state, at, after);
    assert_string_equal(after, before);
}

/* An agent that went on telling half an hour ago may still send what is older. */
static void nothing_goes_that_a_stage_has_not_told_yet(void **state) {
    (void)make_store(*state);
    struct store *s = reopen();
    json_t *done = retain(s, when_wall_ns() + 5 * DAY, 3600 * WHEN_S);
    assert_int_equal(js_int(done, "deleted", -1), 0);
    assert_string_equal(js_str(done, "why", ""), "c1/shop");
    json_decref(done);
    store_close(&s);
}

/* An earlier agent of the same node said goodbye before this one came, as at each update. */
static void put_predecessor(int64_t t) {
    static const uint8_t boot[WIRE_BOOT_BYTES] = {9, 9, 9};
    const struct store_stream_key key = {"c1", "shop", "n1", boot};
    Pilotgate__Coverage bye = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    uint8_t bytes[256];
    uint64_t hwm;
    bool elsewhere;
    enum store_put put;
    bye.bye = 1;
    rec.seq = 1;
    rec.wall_ns = t;
    rec.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    rec.coverage = &bye;
    struct store_record row = {.seq = 1,
                               .family = WIRE_FAMILY_COVERAGE,
                               .t_from_ns = t,
                               .t_to_ns = t,
                               .payload = bytes,
                               .len = pilotgate__record__pack(&rec, bytes)};
    struct store *s = reopen();
    ok(store_begin(s, &e));
    ok(store_stream(s, &key, &row.stream, &hwm, &elsewhere, &e));
    ok(store_put_record(s, &row, &put, &e));
    ok(store_commit(s, when_wall_ns(), NULL, &e));
    store_close(&s);
}

/* Nothing goes before what the node's living agent has told, whatever ended in order before it. */
static void who_came_after_an_orderly_end_is_waited_for(void **state) {
    int64_t begin = make_store(*state);
    put_predecessor(begin - 60 * WHEN_S);
    struct store *s = reopen();
    json_t *done = retain(s, when_wall_ns() + 5 * DAY, 3600 * WHEN_S);
    assert_int_equal(js_int(done, "deleted", -1), 0);
    assert_string_equal(js_str(done, "why", ""), "c1/shop");
    json_decref(done);
    store_close(&s);
}

/* By size the oldest go first, also where an agent's clock once said 1970. */
static void a_clock_of_1970_does_not_end_retention(void **state) {
    static struct block_calls b;
    static const char *probe[] = {"z"};
    static const char *const target[] = {"gateway"}, *const path[] = {""};
    const struct store_calls calls = {&b, 1, probe, target, path};
    const struct retain_options o = {.keep_bytes = 1};
    json_t *done = NULL;
    (void)make_store(*state);
    struct store *s = reopen();
    ok(store_begin(s, &e));
    b.n = 1;
    b.outcome[0] = PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
    b.base_wall_ns = when_wall_ns();
    ok(store_add_calls(s, "c1", "shop", &calls, &e));
    probe[0] = "zz";
    b.base_wall_ns = WHEN_S;
    ok(store_add_calls(s, "c1", "shop", &calls, &e));
    ok(store_commit(s, when_wall_ns(), NULL, &e));
    ok(retain_once(s, &o, when_wall_ns() + 60 * DAY, false, NULL, &done, &e));
    assert_int_equal(js_int(done, "deleted", 0), 20);
    json_decref(done);
    store_close(&s);
}

/* Against retention's own rules: a verdict that needed them says so, also one as of before the deletion. */
static void what_a_verdict_needed_is_missed(void **state) {
    static char text[RUN_OUT_MAX];
    char at[WHEN_TEXT_MAX];
    int64_t begin = make_store(*state);
    when_format(when_wall_ns() + 3600 * WHEN_S, 9, at);
    struct store *s = reopen();
    struct store_retention all = {"c1", "shop", begin + 200 * WHEN_S, NULL, 0, 1000};
    size_t n = 1, deleted = 0;
    for (; n; deleted += n)
        ok(store_delete_passes(s, &all, when_wall_ns(), &n, &e));
    assert_true(deleted > 0);
    store_close(&s);
    verdict_at(*state, at, text);
    assert_non_null(strstr(text, "records of this window were deleted on "));
}

static void people_see_what_would_go(void **state) {
    (void)make_store(*state);
    run_cli(&r, *state, "retain --dry-run --keep-calls 30d");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "would delete"));
    assert_non_null(strstr(r.out, "kept for its verdicts: "));
    run_cli(&r, *state, "retain --now --keep-bytes 1MiB -o json");
    assert_int_equal(r.status, 0);
    static const char *const lines[] = {"retain",
                                        "retain --now --dry-run --keep-calls 1d",
                                        "retain --now",
                                        "retain --now --keep-calls soon",
                                        "retain --now --keep-calls 1m",
                                        "retain --now --keep-bytes -1",
                                        "retain --now --keep-bytes 10"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        run_cli(&r, *state, "%s", lines[i]);
        assert_int_equal(r.status, 2);
        assert_ptr_equal(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
    }
    struct store *s = reopen();
    run_cli(&r, *state, "retain --now --keep-calls 30d");
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "one process deletes"));
    store_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_no_verdict_needs_goes, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(nothing_goes_that_a_stage_has_not_told_yet, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(who_came_after_an_orderly_end_is_waited_for, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(a_clock_of_1970_does_not_end_retention, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(what_a_verdict_needed_is_missed, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(people_see_what_would_go, dir_setup, dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
