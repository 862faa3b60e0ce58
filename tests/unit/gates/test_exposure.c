/* Exposure: units, what is lost in quiet times, failures that a later test supersedes; and how long it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates.h"
#include "pilot.h"

#define O(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define HTTP2 PILOTGATE__CALL_FLAG__CALL_FLAG_HTTP2
#define AT(t) ((SCENARIO_T0 + (int64_t)(t)) * WHEN_S)

static const struct fault none;

static void expect(pilot_extra *extra, const char *gate, const char *verdict, const char *reason) {
    pilot_expect(&none, extra, 290, gate, verdict, reason);
}

/* ---- units */

/* Streams of one connection: in flight, all of them, and one unit. */
static void streams_share_their_connection(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &none);
    s.connection = 5000;
    scenario_calls(&s, 0, 1, "hold", 98, 106, OK, HTTP2);
    scenario_calls(&s, 0, 24, "hold", 98, 107, OK, HTTP2 | REUSED);
    s.connection = 0;
    json_t *result = scenario_judge(&s, 290);
    const json_t *change = js_at(scenario_gate(result, "config-safety"), "changes.0");
    assert_string_equal(js_str(change, "id", ""), "shop.v2");
    assert_int_equal(js_int(change, "measured.units", 0), 161);
    assert_int_equal(js_int(change, "measured.calls_across", 0), 185);
    assert_int_equal(js_int(change, "switches.0.units_http2", 0), 1);
    assert_string_equal(js_str(change, "switches.0.what", ""), "gateway");
    assert_true(json_number_value(js_at(change, "measured.longest_in_flight_s")) > 8.9);
    json_decref(result);
    scenario_end(&s);
}

/* A call at a replica's address is no call through the target's URL. */
static void other_paths_only(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.watched.n; i++) {
        Pilotgate__Record *r = s->c.ev.watched.items[i].r;
        if (r->body_case != PILOTGATE__RECORD__BODY_CALLS || r->calls->flags[0] & REUSED ||
            strcmp(r->calls->tools[0], "sum") == 0)
            continue;
        r->calls->n_paths = 1;
        r->calls->paths = malloc(sizeof *r->calls->paths);
        assert_non_null(r->calls->paths);
        r->calls->paths[0] = strdup("Pod/gateway-1");
    }
}

/* The added tool was called at one address only. */
static void called_at_a_replica_only(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.watched.n; i++) {
        Pilotgate__Record *r = s->c.ev.watched.items[i].r;
        if (r->body_case != PILOTGATE__RECORD__BODY_CALLS || strcmp(r->calls->tools[0], "sum") != 0)
            continue;
        r->calls->n_paths = 1;
        r->calls->paths = malloc(sizeof *r->calls->paths);
        assert_non_null(r->calls->paths);
        r->calls->paths[0] = strdup("Pod/gateway-1");
    }
}

/* Only a replica's own catalogue changed; the target's URL shows what it always did. */
static void only_a_replica_changed(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "ToolCatalogue") == 0)
            r->object->path = strdup("Pod/gateway-1");
        else if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT &&
                 strcmp(r->object->kind, "ProductConfiguration") == 0)
            strcpy(r->object->digest, "p1");
    }
}

/* A replica that goes takes its catalogue with it, and one that comes brings its own: no change. */
static void catalogues_come_and_go(struct scenario *s) {
    s->path = "Pod/gateway-1";
    scenario_tools(s, 0, LISTED, 50, 0, TOOLS_1);
    scenario_tools(s, 0, PILOTGATE__OBJECT__OP__OP_DELETED, 260, 259, TOOLS_1);
    s->path = "Pod/gateway-2";
    scenario_tools(s, 0, ADDED, 262, 0, TOOLS_2);
    s->path = NULL;
}

/* One replica lost a tool that the gateway's URL goes on listing: calls to it that fail count. */
static void a_replica_lost_a_tool(struct scenario *s) {
    s->path = "Pod/gateway-1";
    scenario_tools(s, 0, LISTED, 50, 0, TOOLS_1);
    scenario_tools(s, 0, MODIFIED, 102, 101.5, "\"hold\",\"sum\"");
    s->path = NULL;
    scenario_calls(s, 0, 1, "echo", 105, 105.1, O(RPC_ERROR), 0);
}

/* The one node sees it gone, the other does not; the rollback brings it back. */
static void one_node_lost_a_tool(struct scenario *s) {
    scenario_calls(s, 0, 1, "echo", 205, 205.1, OK, 0);
    scenario_tools(s, 1, MODIFIED, 103, 102.5, "\"hold\",\"sum\"");
}

static void one_node_lost_a_tool_and_calls(struct scenario *s) {
    one_node_lost_a_tool(s);
    scenario_calls(s, 0, 1, "echo", 105, 105.1, O(RPC_ERROR), 0);
}

static void one_node_lost_the_added_tool(struct scenario *s) {
    scenario_tools(s, 1, MODIFIED, 103, 102.5, TOOLS_1);
}

static void tools_of_all_count(void **state) {
    (void)state;
    expect(a_replica_lost_a_tool, "config-safety", "FAIL", "1 interrupted");
    expect(one_node_lost_a_tool, "config-safety", "INCONCLUSIVE", "some nodes listed the tool echo");
    expect(one_node_lost_a_tool_and_calls, "config-safety", "FAIL", "1 interrupted");
    expect(one_node_lost_the_added_tool, "config-safety", "INCONCLUSIVE", "some nodes listed the tool sum");
}

static void paths_are_kept_apart(void **state) {
    (void)state;
    expect(other_paths_only, "config-safety", "INCONCLUSIVE", "0 on new connections");
    expect(called_at_a_replica_only, "config-safety", "INCONCLUSIVE", "sum was listed, but no call proved");
    expect(only_a_replica_changed, "config-safety", "INCONCLUSIVE", "changed nothing");
    expect(catalogues_come_and_go, "config-safety", "PASS", "across 2 changes");
}

/* ---- rollback: one replica still serves what was rolled back */

static void stale_replica(struct scenario *s) {
    s->owner = "Deployment/gateway";
    s->uid = "1";
    scenario_phase(s, 0, 7, PILOTGATE__PHASE__KIND__KIND_POD_CREATED, "Pod/gateway-1", "");
    s->owner = s->uid = NULL;
    s->path = "Pod/gateway-1";
    scenario_tools(s, 0, LISTED, 9, 0, TOOLS_1);
    scenario_tools(s, 0, MODIFIED, 102, 101, TOOLS_2);
    scenario_tools(s, 0, PILOTGATE__OBJECT__OP__OP_CONFIRMED, 205, 204, TOOLS_2);
    s->path = NULL;
}

static void restored_replica(struct scenario *s) {
    stale_replica(s);
    s->path = "Pod/gateway-1";
    scenario_tools(s, 0, MODIFIED, 206, 205, TOOLS_1);
    s->path = NULL;
}

static void ended_stale_replica(struct scenario *s) {
    stale_replica(s);
    s->owner = "Deployment/gateway";
    s->uid = "1";
    scenario_phase(s, 0, 206, PILOTGATE__PHASE__KIND__KIND_POD_DELETING, "Pod/gateway-1", "");
    scenario_phase(s, 0, 207, PILOTGATE__PHASE__KIND__KIND_POD_GONE, "Pod/gateway-1", "");
    s->owner = s->uid = NULL;
}

static void silent_replica(struct scenario *s) {
    stale_replica(s);
    struct ev_list *l = &s->c.ev.records;
    wire_record_free(&l->items[--l->n].r);
}

/* Read once after the rollback, as it should be, and then no more. */
static void unreadable_replica(struct scenario *s) {
    stale_replica(s);
    s->path = "Pod/gateway-1";
    scenario_tools(s, 0, MODIFIED, 206, 205, TOOLS_1);
    scenario_tools(s, 0, PILOTGATE__OBJECT__OP__OP_UNREADABLE, 207, 206, "");
    s->path = NULL;
}

static void every_replica_is_rolled_back(void **state) {
    (void)state;
    expect(stale_replica, "rollback", "FAIL", "ToolCatalogue/canary on n1 at Pod/gateway-1");
    expect(silent_replica, "rollback", "INCONCLUSIVE", "at Pod/gateway-1 was not read after");
    expect(unreadable_replica, "rollback", "INCONCLUSIVE", "at Pod/gateway-1 was not read after");
    expect(restored_replica, "rollback", "PASS", "");
    expect(ended_stale_replica, "rollback", "PASS", "");
}

/* ---- background */

static const json_t *background_of(struct scenario *s, pilot_extra *extra, json_t **ret_result) {
    pilot_play(s, &none);
    if (extra)
        extra(s);
    *ret_result = scenario_judge(s, 290);
    return js_at(scenario_gate(*ret_result, "config-safety"), "measured.background");
}

/* 10 calls a second over 297 s on each of two nodes, and three lost calls, one of them inside a window. */
static void quiet_losses(struct scenario *s) {
    struct ev_list *l = &s->c.ev.watched;
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i].r->body_case == PILOTGATE__RECORD__BODY_COVERAGE)
            wire_record_free(&l->items[i].r);
        else
            l->items[kept++] = l->items[i];
    }
    l->n = kept;
    s->per_second = 10;
    for (size_t a = 0; a < 2; a++)
        scenario_coverage(s, a, 3, 300, 0);
    scenario_calls(s, 0, 2, "hold", 40, 41, O(RESET), 0);
    scenario_calls(s, 1, 1, "hold", 103, 104, O(RESET), 0);
    scenario_calls(s, 0, 1, "hold", 42, 43, O(RESET), CONTROL);
    scenario_calls(s, 0, 1, "hold", 44, 45, O(RATE_LIMITED), 0);
}

/* A replica's totals come and go with its address. */
static void totals_of_a_replica(struct scenario *s) {
    quiet_losses(s);
    for (size_t i = 0; i < s->c.ev.watched.n; i++) {
        Pilotgate__Record *r = s->c.ev.watched.items[i].r;
        if (r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
            continue;
        Pilotgate__Coverage__Probe **p = r->coverage->probes = realloc(r->coverage->probes, 2 * sizeof *p);
        assert_non_null(p);
        p[1] = malloc(sizeof **p);
        pilotgate__coverage__probe__init(p[1]);
        p[1]->name = strdup("hold");
        p[1]->path = strdup("Pod/x");
        p[1]->resolved = 1000000;
        r->coverage->n_probes = 2;
    }
}

static void quiet_losses_untold(struct scenario *s) {
    quiet_losses(s);
    scenario_loss(s, 0, 40, 50, 7);
}

static void what_is_lost_in_quiet_times(void **state) {
    (void)state;
    struct scenario s;
    json_t *result;
    const json_t *b = background_of(&s, totals_of_a_replica, &result);
    assert_true(js_bool(b, "known", false));
    assert_int_equal(js_int(b, "lost", 0), 2);
    const json_t *changes = js_at(scenario_gate(result, "config-safety"), "changes");
    double windows = 0;
    for (size_t i = 0; i < s.c.stages[0].n_changes; i++)
        windows += (double)(s.c.stages[0].changes[i].window_to - s.c.stages[0].changes[i].begin_lo) / 1e9;
    assert_in_range((int64_t)(2 * 10 * (296 - windows)) - js_int(b, "n", 0) + 200, 0, 400);
    assert_true(json_number_value(js_at(b, "rate")) > 0);
    assert_non_null(js_at(json_array_get(changes, 0), "measured.background.n"));
    json_decref(result);
    scenario_end(&s);

    b = background_of(&s, quiet_losses_untold, &result);
    assert_false(js_bool(b, "known", true));
    assert_string_equal(js_str(b, "reason", ""), "agents lost records");
    json_decref(result);
    scenario_end(&s);

    b = background_of(&s, NULL, &result); /* agents of before, whose coverage counts nothing */
    assert_false(js_bool(b, "known", true));
    json_decref(result);
    scenario_end(&s);
}

/* ---- superseded */

static const struct fault failing = {.lost_call = 1}; /* shop.v2 fails, shop.v3 passes */

static void attest_in(struct scenario *s, const char *stage, const char *change, const char *by,
                      const char *who) {
    json_t *a = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "what", "supersede", "stage", stage, "change",
                          change, "by", by, "who", who, "said_ns", (json_int_t)AT(280));
    assert_int_equal(json_array_append_new(s->c.ev.attestations, a), 0);
}

static void attest(struct scenario *s, const char *change, const char *by) {
    attest_in(s, "east/shop", change, by, "Ann");
}

static void valid(struct scenario *s) {
    attest(s, "shop.v2", "shop.v3");
}

static void by_itself(struct scenario *s) {
    attest(s, "shop.v2", "shop.v2");
}

static void by_an_earlier_one(struct scenario *s) {
    attest(s, "shop.v2", "shop.v1");
}

static void by_nothing(struct scenario *s) {
    attest(s, "shop.v2", "shop.v9");
}

static void of_another_stage(struct scenario *s) {
    attest_in(s, "west/shop", "shop.v2", "shop.v3", "Ann");
}

static void by_nobody(struct scenario *s) {
    attest_in(s, "east/shop", "shop.v2", "shop.v3", "");
}

static void by_one_that_fails(struct scenario *s) {
    valid(s);
    scenario_calls(s, 0, 1, "hold", 199, 203, O(RESET), 0);
}

static void by_one_too_small(struct scenario *s) {
    struct ev_list *l = &s->c.ev.watched;
    valid(s);
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].r->body_case == PILOTGATE__RECORD__BODY_CALLS && l->items[i].r->wall_ns > AT(150))
            l->items[i].r->calls->n_number_delta = 5;
}

static void not_a_supersede(struct scenario *s) {
    valid(s);
    assert_int_equal(
        json_object_set_new(json_array_get(s->c.ev.attestations, 0), "what", json_string("dedicated-se")), 0);
}

static void of_one_that_passed(struct scenario *s) {
    attest(s, "shop.v3", "shop.v3");
}

static void of_garbage(struct scenario *s) {
    assert_int_equal(
        json_array_append_new(s->c.ev.attestations, json_pack("{s:s, s:s, s:i, s:[]}", "what", "supersede",
                                                              "stage", "east/shop", "change", 4, "by")),
        0);
}

static void stands(pilot_extra *extra, const char *why) {
    struct scenario s;
    pilot_play(&s, &failing);
    extra(&s);
    json_t *result = scenario_judge(&s, 290);
    const json_t *stage = scenario_gate(result, "config-safety");
    assert_string_equal(js_str(stage, "verdict", ""), "FAIL");
    if (why) {
        assert_false(js_bool(stage, "supersedes.0.valid", true));
        if (!strstr(js_str(stage, "supersedes.0.reason", ""), why))
            fail_msg("wanted '%s', got '%s'", why, js_str(stage, "supersedes.0.reason", ""));
    } else {
        assert_null(js_at(stage, "supersedes"));
    }
    json_decref(result);
    scenario_end(&s);
}

static void a_failure_stands_until_it_is_superseded(void **state) {
    (void)state;
    stands(by_itself, "did not begin after");
    stands(by_an_earlier_one, "no change 'shop.v1' was judged");
    stands(by_nothing, "no change 'shop.v9' was judged");
    stands(by_nobody, "who attests");
    stands(by_one_that_fails, "shop.v3 does not pass: it is FAIL");
    stands(by_one_too_small, "shop.v3 does not pass: it is INCONCLUSIVE");
    stands(of_one_that_passed, "shop.v3 did not fail");
    stands(of_garbage, "who attests");
    stands(of_another_stage, NULL);
    stands(not_a_supersede, NULL);
    pilot_expect(&failing, valid, 290, "config-safety", "PASS",
                 "1 failed change superseded: shop.v2 by shop.v3, attested by Ann");
    pilot_expect(&failing, valid, 210, "config-safety", "FAIL", "2 calls dropped"); /* not settled yet */
}

/* What failed stays displayed, and its good calls do not count for what was repaired. */
static void superseded_stays_displayed(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &failing);
    valid(&s);
    json_t *result = scenario_judge(&s, 290);
    const json_t *stage = scenario_gate(result, "config-safety");
    assert_int_equal(json_array_size(js_at(stage, "changes")), 2);
    assert_string_equal(js_str(stage, "changes.0.verdict", ""), "FAIL");
    assert_string_equal(js_str(stage, "changes.0.superseded.by", ""), "shop.v3");
    assert_true(js_bool(stage, "supersedes.0.valid", false));
    assert_int_equal(js_int(stage, "measured.units", 0), 160);
    assert_int_equal(js_int(stage, "measured.superseded", 0), 1);
    assert_int_equal(gates_exit_status(result, "config-safety", NULL), 0);
    assert_null(js_at(scenario_gate(result, "rollback"), "supersedes"));
    json_decref(result);
    scenario_end(&s);
}

static void later_change(struct scenario *s, double t, int revision, const char *content, const char *text,
                         const char *config, const char *product, const char *tools) {
    scenario_release(s, 0, ADDED, t, t + 0.2, revision, "pending", text, content);
    scenario_object(s, 0, MODIFIED, t + 0.5, t - 10, "ConfigMap", "gateway-config", config);
    scenario_object(s, 0, MODIFIED, t + 2, t + 1.5, "ProductConfiguration", "caddy", product);
    for (size_t a = 0; a < 2; a++) {
        scenario_tools(s, a, MODIFIED, t + 2, t + 1.5, tools);
        scenario_calls(s, a, 40, "hold", t - 2, t + 6, OK, 0);
        scenario_calls(s, a, 40, "hold", t - 2, t + 6, OK, REUSED);
    }
    scenario_release(s, 0, MODIFIED, t, t + 4, revision, "deployed", text, content);
    scenario_calls(s, 0, 1, "sum", t + 4, t + 4.1, OK, 0);
}

/* The rollback at 200 drops a call; an upgrade at 300 and a rollback at 400 do not. */
static void rolled_back_again(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 199, 203, O(RESET), 0);
    later_change(s, 300, 4, "m4", "Upgrade complete", "c4", "p4", TOOLS_2);
    later_change(s, 400, 5, "m1", "Rollback to 1", "c1", "p1", TOOLS_1);
    for (size_t a = 0; a < 2; a++)
        scenario_coverage(s, a, 300, 500, 0);
}

static void rolled_back_again_and_said(struct scenario *s) {
    rolled_back_again(s);
    attest(s, "shop.v3", "shop.v5");
}

/* A good upgrade is no re-test of a rollback. */
static void rolled_back_again_and_said_of_an_upgrade(struct scenario *s) {
    rolled_back_again(s);
    attest(s, "shop.v3", "shop.v4");
}

static void fails_again(struct scenario *s) {
    rolled_back_again_and_said(s);
    later_change(s, 460, 6, "m6", "Upgrade complete", "c6", "p6", TOOLS_2);
    scenario_calls(s, 0, 1, "hold", 459, 463, O(RESET), 0);
}

static void a_rollback_is_superseded_by_a_rollback(void **state) {
    (void)state;
    pilot_expect(&none, rolled_back_again, 450, "rollback", "FAIL", "1 calls dropped");
    pilot_expect(&none, rolled_back_again_and_said, 450, "rollback", "PASS", "shop.v3 by shop.v5");
    /* Of 160 units in each of the three that pass, those before the failure do not count. */
    pilot_expect(&none, rolled_back_again_and_said, 450, "config-safety", "PASS", "0 of 320 calls");
    pilot_expect(&none, rolled_back_again_and_said, 450, "config-safety", "PASS", "shop.v3 by shop.v5");
    pilot_expect(&none, rolled_back_again_and_said_of_an_upgrade, 450, "rollback", "FAIL", "1 calls dropped");
    pilot_expect(&none, rolled_back_again_and_said_of_an_upgrade, 450, "config-safety", "PASS", "shop.v4");
    pilot_expect(&none, fails_again, 490, "config-safety", "FAIL", "change shop.v6: 1 calls dropped");
}

/* ---- how long it takes */

static double seconds_for(unsigned blocks) {
    struct scenario s;
    struct timespec a;
    struct timespec b;
    pilot_play(&s, &none);
    for (unsigned i = 0; i < blocks; i++)
        scenario_calls(&s, i % 2, 4000, "hold", 98, 106, OK, i % 3 ? REUSED : 0);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    json_t *result = scenario_judge(&s, 290);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    assert_string_equal(js_str(scenario_gate(result, "config-safety"), "verdict", ""), "PASS");
    assert_int_equal(js_int(scenario_gate(result, "config-safety"), "measured.units", 0),
                     320 + 4000 * blocks);
    json_decref(result);
    scenario_end(&s);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* 80,000 calls in far less than a second of CPU time, and four times as many in not much more than four times
 * as long. */
static void many_calls_are_judged_fast(void **state) {
    (void)state;
    double one = seconds_for(20);
    double four = seconds_for(80);
    print_message("80,000 calls: %.3f s; 320,000 calls: %.3f s\n", one, four);
    assert_true(one < 1);
    assert_true(four < 10 * one + 0.2);
}

static void everything_broke(struct scenario *s) {
    for (unsigned i = 0; i < 10; i++)
        scenario_calls(s, 0, 4000, "hold", 98 + i * 0.1, 106, O(RESET), REUSED);
    scenario_calls(s, 0, 1, "hold", 108, 109, O(RESET), REUSED);
}

/* 40,000 lost calls, as many failures past the gateway on the same node: each is looked up, none is compared
 * with all others. */
static void so_are_many_lost_ones(void **state) {
    (void)state;
    for (int control = 0; control < 2; control++) {
        struct scenario s;
        pilot_play(&s, &none);
        everything_broke(&s);
        for (unsigned i = 0; i < 10; i++) /* an early long one reaches over later short ones */
            scenario_calls(&s, 0, control ? 4000 : 1, "hold", control ? 97 + i : 60 + i,
                           control && i == 0 ? 110 : 61 + i + control * 37, O(RESET), CONTROL);
        clock_t begin = clock();
        json_t *result = scenario_judge(&s, 290);
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        print_message("40,000 lost calls: %.3f s\n", seconds);
        const json_t *stage = scenario_gate(result, "config-safety");
        assert_string_equal(js_str(stage, "verdict", ""), control ? "INCONCLUSIVE" : "FAIL");
        assert_int_equal(js_int(stage, "changes.0.measured.unattributed", -1), control ? 40001 : 0);
        assert_true(seconds < 10);
        json_decref(result);
        scenario_end(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_share_their_connection),
        cmocka_unit_test(tools_of_all_count),
        cmocka_unit_test(paths_are_kept_apart),
        cmocka_unit_test(every_replica_is_rolled_back),
        cmocka_unit_test(what_is_lost_in_quiet_times),
        cmocka_unit_test(a_failure_stands_until_it_is_superseded),
        cmocka_unit_test(superseded_stays_displayed),
        cmocka_unit_test(a_rollback_is_superseded_by_a_rollback),
        cmocka_unit_test(many_calls_are_judged_fast),
        cmocka_unit_test(so_are_many_lost_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
