/* Phases as facts: several agents, agents of several versions and agents that come late tell of the same
 * ones; what the stage's holder tells of other nodes' pods says nothing about those nodes' agents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "scenario.h"

#define KIND(x) PILOTGATE__PHASE__KIND__KIND_##x
#define RULES "{}"
#define AT PILOTGATE__TIME_BOUND__TIME_BOUND_AT
#define AT_MOST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST
#define API PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP
#define WATCH PILOTGATE__ORIGIN__ORIGIN_WATCH
#define EVENT PILOTGATE__ORIGIN__ORIGIN_EVENT

struct said { /* what a phase says besides */
    const char *container, *reason, *version, *uid, *owner;
    int bound, origin;
    bool own;
};

static struct scenario s;

static int set_up(void **state) {
    (void)state;
    scenario_begin(&s, RULES);
    for (int i = 0; i < 2; i++) {
        size_t a = scenario_agent(&s, i ? "n2" : "n1");
        scenario_clock(&s, a, 1, i ? 0.25 : 0, 0.001);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scenario_end(&s);
    return 0;
}

static void tell(size_t agent, double told, int kind, double t, struct said x) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = (Pilotgate__Phase__Kind)kind;
    p.subject = (char *)"Pod/gateway-1";
    p.uid = (char *)(x.uid ? x.uid : "p1");
    p.owner = (char *)(x.owner ? x.owner : "");
    p.container = (char *)(x.container ? x.container : "");
    p.reason = (char *)(x.reason ? x.reason : "");
    p.resource_version = (char *)(x.version ? x.version : "");
    p.t_wall_ns = (int64_t)(t * 1e9);
    p.precision_ns = x.origin == WATCH ? 0 : WHEN_S;
    p.bound = (Pilotgate__TimeBound)(x.bound ? x.bound : AT);
    p.origin = (Pilotgate__Origin)x.origin;
    p.own = x.own;
    scenario_told_phase(&s, agent, told, &p);
}

static const struct facts *judged(void) {
    json_decref(scenario_judge(&s, 100));
    return &s.c.stages[0];
}

static void test_the_same_state_is_one_phase(void **state) {
    (void)state;
    for (size_t a = 0; a < 2; a++) {
        tell(a, 11, KIND(CONTAINER_FAILED), 11 + 0.3 * (double)a,
             (struct said){.container = "app", .reason = "ErrImagePull", .version = "7", .origin = WATCH});
        tell(a, 12, KIND(POD_READY), 10, (struct said){.version = "8", .origin = API});
        tell(a, 13, KIND(IMAGE_PULLED), 10, (struct said){.container = "app", .origin = EVENT});
    }
    const struct facts *f = judged();
    assert_int_equal(f->n_phases, 3);
    /* the cluster's seconds carry no offset of the agent's clock: not even by the agent whose clock is off */
    assert_true(f->phases[0].hi - f->phases[0].lo == WHEN_S);
    assert_int_equal(f->phases[0].lo, (SCENARIO_T0 + 10) * WHEN_S);
}

static void test_containers_are_apart(void **state) {
    (void)state;
    struct said x = {.container = "a", .reason = "ErrImagePull", .version = "7", .origin = WATCH};
    tell(0, 11, KIND(CONTAINER_FAILED), 11, x);
    x.container = "b";
    tell(0, 11, KIND(CONTAINER_FAILED), 11, x);
    assert_int_equal(judged()->n_phases, 2);
}

/* Agents before `container` named none: their telling and a newer agent's are one, whichever came first. */
static void test_older_agents_name_no_container(void **state) {
    (void)state;
    struct said old = {.reason = "app", .version = "7", .origin = API};
    struct said new = {.container = "app", .reason = "app", .version = "7", .origin = API};
    tell(0, 11, KIND(CONTAINER_STARTED), 10, old);
    tell(1, 12, KIND(CONTAINER_STARTED), 10, new);
    tell(0, 21, KIND(CONTAINER_STARTED), 20, new);
    tell(1, 22, KIND(CONTAINER_STARTED), 20, old);
    assert_int_equal(judged()->n_phases, 2);
}

/* The agent that watched it is surer than one that found it later, although that one's stream is the older.
 */
static void test_the_surest_telling_stays(void **state) {
    (void)state;
    tell(0, 50, KIND(POD_READY), 10, (struct said){.bound = AT_MOST, .origin = API});
    tell(1, 12, KIND(POD_READY), 10, (struct said){.bound = AT, .origin = API});
    const struct facts *f = judged();
    assert_int_equal(f->n_phases, 1);
    assert_int_equal(f->phases[0].p->bound, AT);
    assert_int_equal(f->phases[0].ref.stream, 1);
}

static void test_events_of_own_pods_are_our_own(void **state) {
    (void)state;
    tell(0, 11, KIND(CONTAINER_FAILED), 11,
         (struct said){.uid = "ours", .reason = "ErrImagePull", .origin = EVENT});
    tell(1, 12, KIND(POD_CREATED), 9, (struct said){.uid = "ours", .own = true, .origin = API});
    tell(0, 13, KIND(CONTAINER_FAILED), 11,
         (struct said){.uid = "theirs", .reason = "ErrImagePull", .origin = EVENT});
    const struct facts *f = judged();
    assert_int_equal(f->n_phases, 1);
    assert_string_equal(f->phases[0].p->uid, "theirs");
}

/* The holder (n1) tells of Events of a pod on n2, ends, and comes back without it: the pod is not gone for
 * that, as only n2's agent knows. */
static void test_a_returning_holder_ends_no_other_nodes_pod(void **state) {
    (void)state;
    struct said pod = {.owner = "Deployment/gateway", .origin = API};
    tell(1, 10, KIND(POD_CREATED), 10, pod);
    tell(1, 12, KIND(POD_SCHEDULED), 11, pod);
    tell(0, 13, KIND(IMAGE_PULLED), 12,
         (struct said){.container = "app", .owner = "Deployment/gateway", .origin = EVENT});
    tell(0, 13.5, KIND(POD_UNSCHEDULABLE), 10, pod);
    tell(0, 13.6, KIND(POD_CREATED), 10, pod);
    size_t again = scenario_agent(&s, "n1");
    scenario_clock(&s, again, 40, 0, 0.001);
    tell(again, 41, KIND(POD_SCHEDULED), 5,
         (struct said){.uid = "other", .owner = "Deployment/gateway", .origin = API});
    const struct facts *f = judged();
    assert_int_equal(f->n_pods, 2);
    for (size_t i = 0; i < f->n_pods; i++)
        assert_int_equal(f->pods[i].gone_hi, 0);
    size_t back = scenario_agent(&s, "n2"); /* but n2's own does end it */
    scenario_clock(&s, back, 50, 0, 0.001);
    tell(back, 51, KIND(POD_SCHEDULED), 5,
         (struct said){.uid = "third", .owner = "Deployment/gateway", .origin = API});
    f = judged();
    size_t gone = 0;
    for (size_t i = 0; i < f->n_pods; i++)
        gone += f->pods[i].gone_hi != 0 && strcmp(f->pods[i].uid, "p1") == 0;
    assert_int_equal(gone, 1);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(the_same_state_is_one_phase),    T(containers_are_apart),
        T(older_agents_name_no_container), T(the_surest_telling_stays),
        T(events_of_own_pods_are_our_own), T(a_returning_holder_ends_no_other_nodes_pod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
