/* What nobody can read: gaps with their causes, losses, deletions, doubts, agents that were wanted and not
 * there. The good pilot, with a third agent whose records come in the order of time, so that a gap has its
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/holes.h"
#include "pilot.h"

static const struct fault none;

static void expect(pilot_extra *extra, const char *gate, const char *verdict, const char *reason) {
    pilot_expect(&none, extra, 290, gate, verdict, reason);
}

/* Five records are missing at `gap`; 0: none are. */
static void third_agent(struct scenario *s, int gap, enum ev_cause cause) {
    size_t a = scenario_agent(s, "n3");
    scenario_clock(s, a, 2, 0, 0.001);
    for (int t = 3; t < 300; t++) {
        if (t == 106 || t == 206)
            scenario_calls(s, a, 1, "hold", t - 8, t, OK, 0);
        if (gap && t == gap)
            scenario_gap(s, a, 5, cause);
        else
            scenario_coverage(s, a, t, t + 1, 0);
    }
}

static void drilled(struct scenario *s, int from, int to) {
    int64_t begin = (SCENARIO_T0 + from) * WHEN_S;
    int64_t end = (SCENARIO_T0 + to) * WHEN_S;
    json_array_append_new(s->c.ev.drills,
                          json_pack("{s:s, s:s, s:I, s:I}", "name", "d", "stage", "east/shop", "begin_ns",
                                    (json_int_t)begin, "end_ns", (json_int_t)end));
}

/* ---- gaps */

static void whole(struct scenario *s) {
    third_agent(s, 0, EV_CAUSE_AGENT);
}
static void in_upgrade(struct scenario *s) {
    third_agent(s, 110, EV_CAUSE_AGENT);
}
static void in_upgrade_restored(struct scenario *s) {
    third_agent(s, 110, EV_CAUSE_RESTORED);
}
static void in_upgrade_replaced(struct scenario *s) {
    third_agent(s, 110, EV_CAUSE_REPLACED);
}
/* What is told after the window may be of calls inside it. */
static void told_after_upgrade(struct scenario *s) {
    third_agent(s, 150, EV_CAUSE_AGENT);
}
static void in_rollback(struct scenario *s) {
    third_agent(s, 215, EV_CAUSE_RESTORED);
}
static void before_all(struct scenario *s) {
    third_agent(s, 40, EV_CAUSE_AGENT);
}
static void before_drill(struct scenario *s) {
    third_agent(s, 40, EV_CAUSE_AGENT);
    drilled(s, 199, 206);
}
static void in_upgrade_before_drill(struct scenario *s) {
    third_agent(s, 110, EV_CAUSE_AGENT);
    drilled(s, 199, 206);
}
static void at_the_end(struct scenario *s) {
    third_agent(s, 299, EV_CAUSE_AGENT);
    drilled(s, 199, 206);
}
static void two_at_once(struct scenario *s) {
    size_t a = scenario_agent(s, "n3");
    scenario_clock(s, a, 2, 0, 0.001);
    scenario_coverage(s, a, 3, 40, 0);
    scenario_gap(s, a, 5, EV_CAUSE_AGENT);
    scenario_gap(s, a, 7, EV_CAUSE_RESTORED);
    scenario_coverage(s, a, 41, 42, 1);
}

static void gaps_leave_their_window_undecided(void **state) {
    (void)state;
    expect(whole, "config-safety", "PASS", "");
    expect(in_upgrade, "config-safety", "INCONCLUSIVE",
           "change shop.v2: 5 records of node n3 never arrived, and its agent no longer has them");
    expect(in_upgrade_restored, "config-safety", "INCONCLUSIVE", "the store was restored from an older copy");
    expect(in_upgrade_replaced, "config-safety", "INCONCLUSIVE", "are in another store");
    expect(told_after_upgrade, "config-safety", "INCONCLUSIVE", "change shop.v2: 5 records of node n3");
    expect(in_rollback, "rollback", "INCONCLUSIVE",
           "5 records of node n3 were gone when the store was restored");
}

static void gaps_elsewhere_may_hide_a_change_until_a_drill_passes(void **state) {
    (void)state;
    expect(before_all, "config-safety", "INCONCLUSIVE", "a later `pilotgate drill` that passes settles it");
    expect(two_at_once, "config-safety", "INCONCLUSIVE", "records of node n3");
    expect(before_drill, "config-safety", "PASS", "");
    expect(in_upgrade_before_drill, "config-safety", "PASS", "earlier changes could not be judged");
    expect(at_the_end, "config-safety", "INCONCLUSIVE", "5 records of node n3");
}

static void gaps_do_not_unsay_what_was_seen(void **state) {
    (void)state;
    static const struct fault lost = {.lost_call = 1};
    static const struct fault late = {.late_first_call = 1};
    expect(before_all, "helm-deployment", "PASS", "");
    pilot_expect(&lost, in_upgrade, 290, "config-safety", "FAIL", "2 calls dropped");
    pilot_expect(&late, whole, 90001, "helm-deployment", "FAIL", "");
    pilot_expect(&late, before_all, 90001, "helm-deployment", "INCONCLUSIVE",
                 "may be one that nobody can read");
    expect(before_all, "rollback", "INCONCLUSIVE", "may not be the ones that were seen");
}

/* ---- losses */

static void loss_of_calls(struct scenario *s) {
    scenario_loss(s, 0, 150, 151, 3);
    Pilotgate__Record *r = s->c.ev.records.items[s->c.ev.records.n - 1].r;
    r->loss->families = strdup("calls 2, coverage 1");
}
static void loss_of_objects(struct scenario *s) {
    loss_of_calls(s);
    scenario_loss(s, 0, 152, 153, 3);
    Pilotgate__Record *r = s->c.ev.records.items[s->c.ev.records.n - 1].r;
    r->loss->families = strdup("calls 2, object 1");
}
static void loss_of_anything(struct scenario *s) {
    scenario_loss(s, 0, 150, 151, 3);
}

static void losses_hide_a_change_only_where_objects_were_lost(void **state) {
    (void)state;
    expect(loss_of_calls, "config-safety", "PASS", "");
    expect(loss_of_objects, "config-safety", "INCONCLUSIVE", "3 records of node n1 were lost by its agent");
    expect(loss_of_anything, "config-safety", "INCONCLUSIVE", "3 records of node n1 were lost by its agent");
}

/* ---- what nobody watched */

static Pilotgate__Loss *unwatched(struct scenario *s, size_t agent, double from, double to,
                                  const char *sources) {
    scenario_loss(s, agent, from, to, 0);
    Pilotgate__Loss *l = s->c.ev.records.items[s->c.ev.records.n - 1].r->loss;
    l->cause = PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED;
    l->families = strdup(sources);
    return l;
}

static void of_boot(Pilotgate__Loss *l, const uint8_t *boot) {
    l->from_boot.len = WIRE_BOOT_BYTES;
    l->from_boot.data = malloc(WIRE_BOOT_BYTES);
    memcpy(l->from_boot.data, boot, WIRE_BOOT_BYTES);
}

static void unwatched_in_upgrade(struct scenario *s) {
    unwatched(s, 1, 98, 101, "deployments, configmaps");
}
static void unwatched_before_all(struct scenario *s) {
    unwatched(s, 1, 40, 50, "configmaps");
}
static void unwatched_before_drill(struct scenario *s) {
    unwatched(s, 1, 40, 50, "configmaps");
    drilled(s, 199, 206);
}
static void unwatched_in_rollback(struct scenario *s) {
    unwatched(s, 1, 190, 198, "services, releases");
}
static void unwatched_events(struct scenario *s) {
    unwatched(s, 1, 98, 101, "events, endpoints, endpoints/gateway:8080");
}
static void unwatched_unnamed(struct scenario *s) {
    unwatched(s, 1, 40, 50, "");
}
/* Another agent's clock, which is an hour ahead: at 3640 by it, it was 40. */
static void unwatched_since_another(struct scenario *s) {
    size_t a = scenario_agent(s, "n3");
    scenario_clock(s, a, 3602, -3600, 0.001);
    of_boot(unwatched(s, 1, 3640, 50, "configmaps"), s->c.ev.streams[a].boot);
}
static void unwatched_since_nobody_knows(struct scenario *s) {
    static const uint8_t boot[WIRE_BOOT_BYTES] = {0xfe};
    of_boot(unwatched(s, 1, 290, 295, "configmaps"), boot);
}
/* Nor does anybody know the clock of who watched last, which may be ahead. */
static void unwatched_since_an_unknown_clock(struct scenario *s) {
    size_t a = scenario_agent(s, "n3");
    of_boot(unwatched(s, 1, 3640, 105, "configmaps"), s->c.ev.streams[a].boot);
}

static void unwatched_together(struct scenario *s) {
    unwatched(s, 1, 40, 50, "configmaps");
    unwatched(s, 1, 39, 51, "services");
    unwatched(s, 1, 41, 52, "events");
    unwatched(s, 1, 40, 150, "secrets"); /* another absence, of the same begin */
}

static void sources_of_one_absence_are_one(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &none);
    unwatched_together(&s);
    json_decref(scenario_judge(&s, 290));
    const struct facts *f = &s.c.stages[0];
    assert_int_equal(f->n_missing, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct fact_missing *m = &f->missing[i];
        int64_t lo = m->lo / WHEN_S - SCENARIO_T0;
        int64_t hi = m->hi / WHEN_S - SCENARIO_T0;
        if (strcmp(m->sources, "configmaps, services") == 0)
            assert_true(lo >= 38 && lo <= 39 && hi >= 51 && hi <= 52 && m->blind);
        else if (strcmp(m->sources, "events") == 0)
            assert_false(m->blind);
        else
            assert_string_equal(m->sources, "secrets");
    }
    scenario_end(&s);
}

static void what_nobody_watched_may_hide_a_change(void **state) {
    (void)state;
    expect(unwatched_in_upgrade, "config-safety", "INCONCLUSIVE",
           "change shop.v2: nobody watched deployments, configmaps for a while");
    expect(unwatched_before_all, "config-safety", "INCONCLUSIVE", "nobody watched configmaps for a while");
    expect(unwatched_before_all, "config-safety", "INCONCLUSIVE", "a later `pilotgate drill` that passes");
    expect(unwatched_before_drill, "config-safety", "PASS", "");
    expect(unwatched_in_rollback, "rollback", "INCONCLUSIVE", "nobody watched services, releases");
    expect(unwatched_unnamed, "config-safety", "INCONCLUSIVE", "nobody watched the stage for a while");
    expect(unwatched_events, "config-safety", "PASS", "");
}

static void span_of(pilot_extra *extra, int64_t *ret_lo, int64_t *ret_hi, bool *ret_blind) {
    struct scenario s;
    pilot_play(&s, &none);
    extra(&s);
    json_decref(scenario_judge(&s, 290));
    const struct facts *f = &s.c.stages[0];
    assert_int_equal(f->n_missing, 1);
    assert_int_equal(f->missing[0].kind, FACT_MISSING_UNWATCHED);
    *ret_lo = f->missing[0].lo - SCENARIO_T0 * WHEN_S;
    *ret_hi = f->missing[0].hi - SCENARIO_T0 * WHEN_S;
    *ret_blind = f->missing[0].blind;
    scenario_end(&s);
}

static void it_began_on_the_clock_of_who_watched_last(void **state) {
    (void)state;
    int64_t lo;
    int64_t hi;
    bool blind;
    span_of(unwatched_since_another, &lo, &hi, &blind);
    assert_true(lo > 39 * WHEN_S && lo <= 40 * WHEN_S && hi >= 50 * WHEN_S && hi < 51 * WHEN_S && blind);
    span_of(unwatched_since_nobody_knows, &lo, &hi, &blind);
    assert_true(lo == -SCENARIO_T0 * WHEN_S && hi >= 295 * WHEN_S && blind);
    span_of(unwatched_since_an_unknown_clock, &lo, &hi, &blind);
    assert_true(lo == -SCENARIO_T0 * WHEN_S && hi >= 105 * WHEN_S && hi < 106 * WHEN_S && blind);
    span_of(unwatched_events, &lo, &hi, &blind);
    assert_false(blind);
}

/* ---- deletions */

static void deleted_inside(struct scenario *s) {
    scenario_deletion(s, 0, 90, 105, 280);
}
static void deleted_outside(struct scenario *s) {
    scenario_deletion(s, 0, 20, 80, 280);
    scenario_deletion(s, 1, 140, 190, 280);
}

static void deletions_count_where_a_verdict_needed_them(void **state) {
    (void)state;
    expect(deleted_inside, "config-safety", "INCONCLUSIVE",
           "change shop.v2: records of this window were deleted on 2027-01-15T08:04:40Z");
    expect(deleted_inside, "rollback", "PASS", "");
    expect(deleted_outside, "config-safety", "PASS", "");
    expect(deleted_outside, "rollback", "PASS", "");
}

/* ---- what people are told of it */

static void has_hole(pilot_extra *extra, const struct fault *x, const char *what, const char *what_to_do) {
    struct scenario s;
    pilot_play(&s, x);
    if (extra)
        extra(&s);
    json_decref(scenario_judge(&s, 290));
    json_t *holes = holes_of_stage(&s.c.stages[0]), *h;
    bool found = !*what && json_array_size(holes) == 0;
    size_t i;
    json_array_foreach(holes, i, h) {
        found |= *what && strstr(js_str(h, "what", ""), what) && strstr(js_str(h, "do", ""), what_to_do);
    }
    if (!found) {
        char *text = json_dumps(holes, 0);
        fail_msg("no '%s' (%s) in %s", what, what_to_do, text);
    }
    json_decref(holes);
    scenario_end(&s);
}

static void twins(struct scenario *s);

static void people_are_told_what_and_what_to_do(void **state) {
    (void)state;
    static const struct fault killed = {.killed_in_change = 1};
    has_hole(whole, &none, "", "");
    has_hole(before_all, &none, "5 records of node n3 never arrived", "keep its spool on a volume");
    has_hole(before_all, &none, "(they tell of 2027-01-15T07:59:2", "");
    has_hole(unwatched_before_all, &none, "nobody watched configmaps for a while, and the Kubernetes API",
             "keep the agents running");
    has_hole(unwatched_events, &none, "nobody watched events, endpoints, endpoints/gateway:8080", "");
    has_hole(unwatched_before_all, &none, "meanwhile (2027-01-15T08:00:3", "");
    has_hole(loss_of_calls, &none, "3 records of node n1 were lost by its agent", "give its spool more room");
    has_hole(deleted_outside, &none, "8 blocks of completed calls were deleted by retention",
             "nothing: no verdict");
    has_hole(deleted_inside, &none, "needed by change shop.v2", "keep calls longer");
    has_hole(twins, &none, "two agents said", "run one agent a node");
    has_hole(NULL, &killed, "change shop.v2: nobody watched on node n2", "repeat the change");
}

/* ---- doubts */

static void twins(struct scenario *s) {
    s->c.ev.streams[1].doubts = 1u << EV_DOUBT_TWO_AGENTS;
}
static void clones(struct scenario *s) {
    s->c.ev.streams[1].doubts = 1u << EV_DOUBT_TWO_STAGES;
}
static void conflicts(struct scenario *s) {
    s->c.ev.streams[1].conflicts = 4;
}

static void doubts_leave_nothing_decided(void **state) {
    (void)state;
    static const char *const gates[] = {"helm-deployment", "config-safety", "rollback"};
    for (size_t i = 0; i < 3; i++) {
        expect(twins, gates[i], "INCONCLUSIVE",
               "two agents said at the same time that they are node n2: run one");
        expect(clones, gates[i], "INCONCLUSIVE", "records of node n2 came under another stage, too");
        expect(conflicts, gates[i], "INCONCLUSIVE",
               "4 records came twice with different content, first of node n2");
    }
}

/* ---- expected agents */

static void three_wanted(struct scenario *s) {
    s->expected = 3;
    scenario_coverage(s, 0, 100, 104, 0);
}
static void three_wanted_earlier(struct scenario *s) {
    three_wanted(s);
    s->expected = 2;
    scenario_coverage(s, 0, 105, 106, 0);
    scenario_coverage(s, 0, 190, 191, 0);
}
static void three_wanted_later(struct scenario *s) {
    s->expected = 3;
    scenario_coverage(s, 0, 280, 281, 0);
}
static void fewer_wanted(struct scenario *s) {
    s->expected = 1;
    scenario_coverage(s, 0, 100, 104, 0);
}
static void no_end_of_wishes(struct scenario *s) {
    s->expected = UINT32_MAX;
    scenario_coverage(s, 0, 100, 104, 0);
}

static void expected_agents_are_those_that_kubernetes_wants(void **state) {
    (void)state;
    static const struct fault alone = {.no_second_agent = 1};
    expect(three_wanted, "config-safety", "INCONCLUSIVE", "than their DaemonSet wants");
    expect(three_wanted_earlier, "config-safety", "PASS", "");
    expect(three_wanted_later, "config-safety", "PASS", "");
    expect(no_end_of_wishes, "config-safety", "INCONCLUSIVE", "than their DaemonSet wants");
    pilot_expect(&alone, fewer_wanted, 290, "config-safety", "INCONCLUSIVE", "than the pilot expects");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_leave_their_window_undecided),
        cmocka_unit_test(gaps_elsewhere_may_hide_a_change_until_a_drill_passes),
        cmocka_unit_test(gaps_do_not_unsay_what_was_seen),
        cmocka_unit_test(losses_hide_a_change_only_where_objects_were_lost),
        cmocka_unit_test(what_nobody_watched_may_hide_a_change),
        cmocka_unit_test(sources_of_one_absence_are_one),
        cmocka_unit_test(it_began_on_the_clock_of_who_watched_last),
        cmocka_unit_test(deletions_count_where_a_verdict_needed_them),
        cmocka_unit_test(people_are_told_what_and_what_to_do),
        cmocka_unit_test(doubts_leave_nothing_decided),
        cmocka_unit_test(expected_agents_are_those_that_kubernetes_wants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
