/* Tests of the handover (agents.h). The holder is killed in the middle of changes again and again. Every
 * event must be told all the same, in order, once after duplicates by (uid, resourceVersion) are dropped, or
 * declared to be in a gap. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agents.h"
#include "base/when.h"
#include "kube/kube.h"

#define KILLS 5

static bool is_declared(void) {
    return agents_losses() > 0;
}

static bool has_position(void) {
    return api_positions(agents.api);
}

/* What agents said to have found, of ConfigMaps. */
static unsigned listed(void) {
    unsigned n = 0;
    for (size_t i = 0; i < agents.n; i++)
        n += agents_configmap(i) && agents_configmap(i)->op == PILOTGATE__OBJECT__OP__OP_LISTED;
    return n;
}

static int holder_child(void) {
    char holder[256];
    agents_wait_for(agents_has_holder, "somebody holds the Lease");
    api_holder(agents.api, holder, sizeof holder);
    int child = atoi(holder + 1);
    return agents.children[child].pid ? child : -1;
}

static bool in_a_gap(const struct api_event *ev) {
    for (size_t i = 0; i < agents.n; i++) {
        const Pilotgate__Loss *l = agents_loss(i);
        if (l && strcmp(l->families, "configmaps") == 0 && l->from_wall_ns <= ev->wall_ns &&
            l->to_wall_ns >= ev->wall_ns)
            return true;
    }
    return false;
}

static int op_of(const struct api_event *ev) {
    return strcmp(ev->type, "ADDED") == 0      ? PILOTGATE__OBJECT__OP__OP_ADDED
           : strcmp(ev->type, "MODIFIED") == 0 ? PILOTGATE__OBJECT__OP__OP_MODIFIED
                                               : PILOTGATE__OBJECT__OP__OP_DELETED;
}

/* Each event from the `first` on was told as what it was, seen no earlier than it happened, and known to be
 * otherwise no later than that; or it is in a gap. Returns how many were told. */
static unsigned check_events(size_t first) {
    unsigned told = 0;
    size_t n = api_events(agents.api);
    for (size_t i = first; i < n; i++) {
        struct api_event ev = api_event(agents.api, i);
        const Pilotgate__Object *o = agents_telling(&ev);
        if (!o && !in_a_gap(&ev))
            fail_msg("event %lld (%s c%d) was never told", (long long)ev.rv, ev.type, ev.name);
        if (!o)
            continue;
        told++;
        bool listed = o->op == PILOTGATE__OBJECT__OP__OP_LISTED;
        if ((int)o->op != op_of(&ev) && !(listed && in_a_gap(&ev)))
            fail_msg("event %lld (%s c%d) was told as op %d", (long long)ev.rv, ev.type, ev.name, (int)o->op);
        if (o->t_wall_ns < ev.wall_ns ||
            (!listed && (o->previous_wall_ns == 0 || o->previous_wall_ns > ev.wall_ns)))
            fail_msg("event %lld: told at %lld, %lld after it; before it by %lld ns", (long long)ev.rv,
                     (long long)o->t_wall_ns, (long long)(o->t_wall_ns - ev.wall_ns),
                     (long long)(ev.wall_ns - o->previous_wall_ns));
    }
    return told;
}

/* ---------------------------------------------------------------- tests */

static void test_holder_is_killed_again_and_again(void **state) {
    (void)state;
    (void)agents_start();
    (void)agents_start();
    agents_wait_for(agents_is_told, "the first list");
    size_t first = api_events(agents.api);
    for (int i = 0; i < KILLS; i++) {
        agents_change_for((100 + agents_chance() % 500) * WHEN_MS);
        int child = holder_child();
        if (child >= 0) {
            agents_end(child, SIGKILL);
            (void)agents_start();
        }
        agents_change_for(700 * WHEN_MS); /* nobody watches, then the successor does */
        if (i % 3 == 2)
            api_cut(agents.api);
    }
    agents_wait_for(agents_is_told, "the last event");
    assert_int_equal(agents_losses(), 0);
    assert_in_range(listed(), 1, AGENTS_NAMES); /* by the first list: one at a position tells nothing */
    unsigned told = check_events(first);
    unsigned repeats = agents_check_order();
    print_message("%u events told, %u repeats dropped, %u lists at a position\n", told, repeats,
                  api_exact(agents.api));
    assert_true(told > 200 && api_exact(agents.api) >= KILLS);
}

static void test_what_the_history_no_longer_has_is_declared(void **state) {
    (void)state;
    int only = agents_start();
    agents_wait_for(agents_is_told, "the first list");
    size_t first = api_events(agents.api);
    agents_change_for(600 * WHEN_MS);
    agents_wait_for(agents_is_told, "what was changed while it was watched");
    agents_change_for(50 * WHEN_MS);
    agents_end(only, SIGKILL);
    agents_change_for(200 * WHEN_MS);
    api_compact(agents.api);
    (void)agents_start();
    agents_wait_for(is_declared, "the gap is declared");
    agents_change_for(100 * WHEN_MS);
    agents_wait_for(agents_is_told, "the last event");
    unsigned told = check_events(first);
    assert_true(told > 50 && told < api_events(agents.api) - first);
    for (size_t i = 0; i < agents.n; i++) {
        const Pilotgate__Loss *l = agents_loss(i);
        if (!l)
            continue;
        assert_int_equal(l->cause, PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED);
        assert_int_equal(l->records, 0);
        assert_int_equal(l->from_boot.len, WIRE_BOOT_BYTES);
        assert_int_equal(l->from_boot.data[0], only + 1);
        assert_true(l->from_wall_ns > 0 && l->to_wall_ns > l->from_wall_ns);
    }
}

static void test_an_orderly_end_hands_over_at_once(void **state) {
    (void)state;
    (void)agents_start();
    (void)agents_start();
    agents_wait_for(agents_is_told, "the first list");
    size_t first = api_events(agents.api);
    agents_change_for(300 * WHEN_MS);
    int child = holder_child();
    agents_end(child, SIGTERM);
    char holder[256];
    api_holder(agents.api, holder, sizeof holder);
    assert_int_not_equal(atoi(holder + 1) == child && *holder, 1);
    agents_change_for(300 * WHEN_MS);
    agents_wait_for(agents_is_told, "the last event");
    assert_int_equal(agents_losses(), 0);
    (void)check_events(first);
    (void)agents_check_order();
}

/* Its earlier life on this node is over: the term, seven seconds and a half here, is not waited for. */
static void test_a_new_life_goes_on_at_once(void **state) {
    (void)state;
    int first = agents_start_on(0, 25);
    agents_wait_for(agents_is_told, "the first list");
    size_t since = api_events(agents.api);
    agents_wait_for(has_position, "a position is noted");
    agents_change_for(100 * WHEN_MS);
    agents_end(first, SIGKILL);
    agents_change_for(100 * WHEN_MS);
    int64_t killed = when_mono_ns();
    (void)agents_start_on(0, 25);
    agents_wait_for(agents_is_told, "the last event");
    assert_true(when_mono_ns() - killed < 6 * WHEN_S);
    assert_int_equal(agents_losses(), 0);
    (void)check_events(since);
    (void)agents_check_order();
}

int main(int argc, char **argv) {
    int agent = agents_main(argc, argv);
    if (agent >= 0)
        return agent;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_holder_is_killed_again_and_again, agents_set_up,
                                        agents_tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_history_no_longer_has_is_declared, agents_set_up,
                                        agents_tear_down),
        cmocka_unit_test_setup_teardown(test_an_orderly_end_hands_over_at_once, agents_set_up,
                                        agents_tear_down),
        cmocka_unit_test_setup_teardown(test_a_new_life_goes_on_at_once, agents_set_up, agents_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
