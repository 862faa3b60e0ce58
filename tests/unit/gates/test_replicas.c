/* Several replicas of the gateway: what must not become a PASS because one of them was not witnessed, and
 * what must not become a FAIL because no client would have been there. Two pods, a and b, are replaced by c
 * and d. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates.h"
#include "pilot.h"

#define RESET PILOTGATE__OUTCOME__OUTCOME_RESET
#define REFUSED PILOTGATE__OUTCOME__OUTCOME_REFUSED
#define TIMEOUT PILOTGATE__OUTCOME__OUTCOME_TIMEOUT
#define UNSENT PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT
#define HTTP2 PILOTGATE__CALL_FLAG__CALL_FLAG_HTTP2
#define CREATED PILOTGATE__PHASE__KIND__KIND_POD_CREATED
#define READY PILOTGATE__PHASE__KIND__KIND_POD_READY
#define UNREADY PILOTGATE__PHASE__KIND__KIND_POD_UNREADY
#define DELETING PILOTGATE__PHASE__KIND__KIND_POD_DELETING
#define GONE PILOTGATE__PHASE__KIND__KIND_POD_GONE
#define FIRST_CALL PILOTGATE__PHASE__KIND__KIND_FIRST_CALL
#define A_TOLD 104
#define B_TOLD 108.5

struct cluster {            /* what differs from the good one */
    unsigned before, after; /* replicas asked for; 0: 2 */
    unsigned at_a, at_b; /* calls across their switches at their addresses, each agent; 0: 20; 9999: none */
    int no_new_calls;    /* at d */
    int b_stays, b_reloads, b_gone_unseen;
    int no_ready_d;
    double b_calls_end; /* 0: 110 */
    double b_later;     /* so much later the pod b ends */
    double a_gone;      /* 0: 108 */
    const char *name_d; /* of the pod d: NULL: "Pod/d" */
    uint32_t connection_b;
    unsigned flags_b;
};

static void pod(struct scenario *s, int kind, double t, const char *name, const char *uid) {
    s->owner = "Deployment/gateway";
    s->uid = uid;
    scenario_phase(s, 0, t, kind, name, "");
    s->owner = s->uid = NULL;
}

static void calls_at(struct scenario *s, const char *path, unsigned n, double from, double to,
                     unsigned flags) {
    s->path = path;
    for (size_t a = 0; a < 2 && n && n != 9999; a++)
        scenario_calls(s, a, n, "hold", from, to, OK, flags);
    s->path = NULL;
}

static void install(struct scenario *s, const struct cluster *x) {
    scenario_phase(s, 0, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    scenario_release(s, 0, ADDED, 5, 5.2, 1, "pending-install", "Initial install underway", "m1");
    s->replicas = x->before ? x->before : 2;
    scenario_object(s, 0, ADDED, 5.5, 0, "Deployment", "gateway", "d1");
    static const char *const names[] = {"Pod/a", "Pod/b"};
    for (int i = 0; i < 2; i++) {
        pod(s, CREATED, 6, names[i], names[i]);
        pod(s, READY, 8, names[i], names[i]);
    }
    scenario_release(s, 0, MODIFIED, 5, 8, 1, "deployed", "Install complete", "m1");
    scenario_phase(s, 0, 10, FIRST_CALL, "Probe/hold", "custom-server");
    for (size_t a = 0; a < 2; a++)
        scenario_tools(s, a, LISTED, 9, 0, TOOLS_1);
}

static void roll_out(struct scenario *s, const struct cluster *x) {
    const char *d = x->name_d ? x->name_d : "Pod/d";
    scenario_release(s, 0, ADDED, 100, 100.3, 2, "pending-upgrade", "Preparing upgrade", "m2");
    s->replicas = x->after ? x->after : 2;
    scenario_object(s, 0, MODIFIED, 100.5, 90, "Deployment", "gateway", "d2");
    pod(s, CREATED, 101, "Pod/c", "c");
    pod(s, READY, 103, "Pod/c", "c");
    pod(s, DELETING, A_TOLD, "Pod/a", "Pod/a");
    pod(s, GONE, x->a_gone > 0 ? x->a_gone : 108, "Pod/a", "Pod/a");
    if (!x->b_stays) {
        pod(s, CREATED, 105, d, "d");
        if (!x->no_ready_d)
            pod(s, READY, 107, d, "d");
        pod(s, DELETING, B_TOLD + x->b_later, "Pod/b", "Pod/b");
        if (!x->b_gone_unseen)
            pod(s, GONE, 112 + x->b_later, "Pod/b", "Pod/b");
        if (!x->no_new_calls)
            calls_at(s, d, 3, 113, 114, 0);
    }
    for (size_t a = 0; a < 2; a++) {
        scenario_tools(s, a, MODIFIED, 112, 111.5, TOOLS_2);
        s->path = "Pod/b";
        if (x->b_reloads) {
            scenario_tools(s, a, LISTED, 9, 0, TOOLS_1);
            scenario_tools(s, a, MODIFIED, 108.6, 108.4, TOOLS_2);
        }
        s->path = NULL;
    }
    scenario_release(s, 0, MODIFIED, 100, 113, 2, "deployed", "Upgrade complete", "m2");
}

static void play(struct scenario *s, const struct cluster *x) {
    scenario_begin(s, RULES);
    for (size_t a = 0; a < 2; a++)
        scenario_clock(s, scenario_agent(s, a ? "n2" : "n1"), 2, 0, 0.001);
    install(s, x);
    roll_out(s, x);
    for (size_t a = 0; a < 2; a++) {
        scenario_calls(s, a, 40, "hold", 99, 113.9, OK, 0);
        scenario_calls(s, a, 40, "hold", 99, 113.9, OK, REUSED);
        scenario_coverage(s, a, 3, 200, 0);
    }
    calls_at(s, "Pod/a", x->at_a ? x->at_a : 20, 101, 106, REUSED);
    s->connection = x->connection_b;
    calls_at(s, "Pod/b", x->at_b ? x->at_b : 20, 105 + x->b_later,
             (x->b_calls_end > 0 ? x->b_calls_end : 110) + x->b_later, REUSED | x->flags_b);
    s->connection = 0;
    calls_at(s, "Pod/c", 3, 104, 105, 0);
    scenario_calls(s, 0, 1, "sum", 114 + x->b_later, 114.1 + x->b_later, OK, 0);
}

static const struct cluster good;

static void judge(const struct cluster *x, pilot_extra *extra, const char *verdict, const char *reason) {
    struct scenario s;
    play(&s, x);
    if (extra)
        extra(&s);
    json_t *result = scenario_judge(&s, 190);
    const json_t *stage = scenario_gate(result, "config-safety");
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason))
        fail_msg("wanted %s (%s), got %s: %s", verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""));
    json_decref(result);
    scenario_end(&s);
}

/* ---- nobody saw one of them */

static void each_replica_must_be_seen(void **state) {
    (void)state;
    judge(&good, NULL, "PASS", "80 at the own addresses of 2 replicas, 240 in all surely");
    judge(&(struct cluster){.at_a = 14}, NULL, "INCONCLUSIVE", "switch of Pod/a: 28 at its own address, 30");
    judge(&(struct cluster){.at_b = 9999}, NULL, "INCONCLUSIVE", "switch of Pod/b: 0 at its own address");
    judge(&(struct cluster){.at_a = 200, .at_b = 9999}, NULL, "INCONCLUSIVE", "replica_drill_in_flight");
    judge(&(struct cluster){.no_new_calls = 1}, NULL, "INCONCLUSIVE", "new replica Pod/d");
    judge(&(struct cluster){.before = 3}, NULL, "INCONCLUSIVE",
          "3 replicas before the change, and agents saw 2");
    judge(&(struct cluster){.after = 3}, NULL, "INCONCLUSIVE",
          "3 replicas after the change, and agents saw 2");
    judge(&(struct cluster){.no_ready_d = 1}, NULL, "INCONCLUSIVE", "agents saw 1 of its pods ready");
    judge(&(struct cluster){.b_gone_unseen = 1}, NULL, "PENDING", "Pod/b was told to end");
    /* Over before this one was told to end, though after the other was. */
    judge(&(struct cluster){.b_calls_end = 108}, NULL, "INCONCLUSIVE", "switch of Pod/b: 0");
    /* It ends so late that no call through the target's URL spans the whole roll-out: later than the longest
     * call after the last sign, but not after the pod that ended before it was gone. */
    judge(&(struct cluster){.b_later = 20.5, .a_gone = 120}, NULL, "INCONCLUSIVE", "80 clean units");
    judge(&(struct cluster){.connection_b = 77, .flags_b = HTTP2}, NULL, "INCONCLUSIVE",
          "switch of Pod/b: 2");
}

static void a_replica_that_stays_must_show_its_switch(void **state) {
    (void)state;
    judge(&(struct cluster){.b_stays = 1}, NULL, "INCONCLUSIVE", "Pod/b stayed");
    judge(&(struct cluster){.b_stays = 1, .b_reloads = 1}, NULL, "PASS", "2 replicas");
    judge(&(struct cluster){.b_stays = 1, .b_reloads = 1, .b_calls_end = 108.2}, NULL, "INCONCLUSIVE",
          "switch of Pod/b: 0");
}

/* Both stay; each reading allows a switch at the same moment, and nobody says that it was the same. Calls
 * that span only what both allow may have begun when one had switched already. */
static void both_reload(struct scenario *s, unsigned replicas, double begin, double end) {
    static const char *const names[] = {"Pod/a", "Pod/b"};
    scenario_begin(s, RULES);
    for (size_t a = 0; a < 2; a++)
        scenario_clock(s, scenario_agent(s, a ? "n2" : "n1"), 2, 0, 0.001);
    install(s, &(struct cluster){.before = replicas});
    scenario_release(s, 0, ADDED, 98, 98.3, 2, "pending-upgrade", "Preparing upgrade", "m2");
    for (size_t a = 0; a < 2; a++) {
        scenario_tools(s, a, MODIFIED, 104, 100, TOOLS_2);
        for (int i = 0; i < 2; i++) {
            s->path = names[i];
            scenario_tools(s, a, LISTED, 9, 0, TOOLS_1);
            scenario_tools(s, a, MODIFIED, i ? 106 : 104, i ? 102 : 100, TOOLS_2);
            s->path = NULL;
            calls_at(s, names[i], 20, 99, 107, REUSED);
        }
        scenario_calls(s, a, 40, "hold", begin, end, OK, 0);
        scenario_calls(s, a, 40, "hold", begin, end, OK, REUSED);
        scenario_coverage(s, a, 3, 200, 0);
    }
    scenario_calls(s, 0, 1, "sum", 107, 107.1, OK, 0);
}

static void switches_of_two_are_not_one(void **state) {
    (void)state;
    static const struct {
        unsigned replicas;
        double begin, end;
        const char *verdict, *reason;
    } cases[] = {{2, 99, 107, "PASS", "0 of 320 calls"},
                 {2, 101, 105, "INCONCLUSIVE", "0 on reused connections"},
                 /* Across the switch of one of them: enough for each kind, and no unit of the whole. */
                 {2, 99, 105, "PASS", "0 of 320 calls"},
                 {2, 101, 107, "PASS", "160 in all surely at one that switched"},
                 {2, 102.5, 105.5, "INCONCLUSIVE", "0 on reused connections"},
                 {1, 99, 107, "PASS", "0 of 320 calls"},
                 {1, 101, 105, "INCONCLUSIVE", "0 on reused connections"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scenario s;
        both_reload(&s, cases[i].replicas, cases[i].begin, cases[i].end);
        json_t *result = scenario_judge(&s, 190);
        const json_t *stage = scenario_gate(result, "config-safety");
        if (strcmp(js_str(stage, "verdict", ""), cases[i].verdict) != 0 ||
            !strstr(js_str(stage, "reason", ""), cases[i].reason))
            fail_msg("case %zu: %s", i, js_str(stage, "reason", ""));
        json_decref(result);
        scenario_end(&s);
    }
}

/* Its catalogue, at the same address, was another pod's before. */
static void catalogue_of_its_forerunner(struct scenario *s) {
    for (size_t a = 0; a < 2; a++) {
        s->path = "Pod/a";
        scenario_tools(s, a, LISTED, 9, 0, TOOLS_1);
        scenario_tools(s, a, MODIFIED, 112.5, 103, TOOLS_2);
        s->path = NULL;
    }
}

/* The address of a replica that ended serves another pod of the same name, as in a StatefulSet. */
static void a_name_may_come_again(void **state) {
    (void)state;
    judge(&(struct cluster){.name_d = "Pod/a"}, NULL, "PASS", "2 replicas");
    judge(&(struct cluster){.name_d = "Pod/a"}, catalogue_of_its_forerunner, "PASS", "2 replicas");
    judge(&(struct cluster){.name_d = "Pod/a", .no_new_calls = 1}, NULL, "INCONCLUSIVE", "new replica Pod/a");
    judge(&(struct cluster){.name_d = "Pod/a", .at_a = 9999}, NULL, "INCONCLUSIVE", "switch of Pod/a: 0");
}

/* Its telling came late: calls that began shortly before it may have begun after the pod was told. */
static void telling_is_late(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_PHASE && r->phase->kind == DELETING)
            r->phase->bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST;
    }
    s->path = "Pod/a";
    scenario_calls(s, 0, 1, "hold", 103, 103.1, REFUSED, UNSENT);
    s->path = NULL;
}

static void bounds_never_raise_n(void **state) {
    (void)state;
    judge(&good, telling_is_late, "PASS", "");
    struct scenario s;
    play(&s, &(struct cluster){.at_a = 9999});
    calls_at(&s, "Pod/a", 40, 102.5, 106, 0); /* begun less than watch_lag before it */
    telling_is_late(&s);
    json_t *result = scenario_judge(&s, 190);
    assert_non_null(
        strstr(js_str(scenario_gate(result, "config-safety"), "reason", ""), "switch of Pod/a: 0"));
    json_decref(result);
    scenario_end(&s);
}

/* ---- lost at one address */

static void lost(struct scenario *s, const char *path, double from, double to, int outcome, unsigned flags) {
    s->path = path;
    scenario_calls(s, 0, 1, "hold", from, to, outcome, flags);
    s->path = NULL;
}

static void in_flight_at_a(struct scenario *s) {
    lost(s, "Pod/a", 103.9, 105, RESET, REUSED);
}

static void just_before_the_end_of_a(struct scenario *s) {
    lost(s, "Pod/a", 103.99, 103.995, RESET, 0);
}

static void in_the_moment_of_the_telling(struct scenario *s) {
    lost(s, "Pod/a", 104, 104.5, RESET, 0);
}

static void after_the_telling(struct scenario *s) {
    lost(s, "Pod/a", 104.2, 104.3, RESET, 0);
    lost(s, "Pod/a", 105, 105.1, REFUSED, UNSENT);
    lost(s, "Pod/a", 107, 112, TIMEOUT, 0);
}

static void through_the_url_after_the_telling(struct scenario *s) {
    lost(s, NULL, 104.2, 104.3, REFUSED, UNSENT);
}

static void refused_by_the_new_one(struct scenario *s) {
    lost(s, "Pod/c", 106, 106.1, REFUSED, UNSENT);
}

static void refused_long_before(struct scenario *s) {
    lost(s, "Pod/a", 101, 101.1, REFUSED, UNSENT);
}

static void at_an_unknown_address(struct scenario *s) {
    lost(s, "Pod/nobody", 104.2, 104.3, RESET, 0);
}

static void open_at_an_ended_replica(struct scenario *s) {
    s->path = "Pod/a";
    scenario_open_call(s, 0, 199.5, 106);
    s->path = NULL;
}

static void open_from_before(struct scenario *s) {
    s->path = "Pod/a";
    scenario_open_call(s, 0, 199.5, 102);
    s->path = NULL;
}

static void what_is_lost_at_one_address_counts(void **state) {
    (void)state;
    judge(&good, in_flight_at_a, "FAIL", "1 calls dropped");
    judge(&good, just_before_the_end_of_a, "FAIL", "1 calls dropped");
    judge(&good, in_the_moment_of_the_telling, "FAIL", "1 calls dropped");
    judge(&good, after_the_telling, "PASS", "");
    judge(&good, through_the_url_after_the_telling, "FAIL", "1 calls dropped");
    judge(&good, refused_by_the_new_one, "FAIL", "1 calls dropped");
    judge(&good, refused_long_before, "FAIL", "1 calls dropped");
    judge(&good, at_an_unknown_address, "FAIL", "1 calls dropped");
    judge(&good, open_at_an_ended_replica, "PASS", "");
    judge(&good, open_from_before, "INCONCLUSIVE", "nobody saw their end");
}

/* ---- who is a replica */

/* A pod of an earlier life that nobody saw end: its node's agent came back and did not find it. */
static void forgotten_pod(struct scenario *s) {
    size_t old = scenario_agent(s, "n1");
    scenario_clock(s, old, -50, 0, 0.001);
    s->owner = "Deployment/gateway";
    s->uid = "old";
    scenario_phase(s, old, -49, CREATED, "Pod/old", "");
    scenario_phase(s, old, -48, READY, "Pod/old", "");
    s->owner = s->uid = NULL;
}

static void living_pod(struct scenario *s) {
    pod(s, CREATED, 20, "Pod/extra", "x");
    pod(s, READY, 21, "Pod/extra", "x");
}

/* Evicted: it stays listed, and serves nobody. */
static void evicted_pod(struct scenario *s) {
    living_pod(s);
    pod(s, UNREADY, 60, "Pod/extra", "x");
}

/* Made in the second in which the change began, and ready before it: it had calls of the old state. */
static void pod_of_the_same_second(struct scenario *s) {
    pod(s, CREATED, 99, "Pod/extra", "x");
    s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->precision_ns = 2 * WHEN_S;
    pod(s, READY, 99.5, "Pod/extra", "x");
}

/* Made long before, with the old configuration, and ready only now: it is to show its switch like the others.
 */
static void late_bloomer(struct scenario *s) {
    pod(s, CREATED, 60, "Pod/extra", "x");
    pod(s, READY, 101, "Pod/extra", "x");
}

static void pod_of_another_workload(struct scenario *s) {
    s->owner = "Deployment/canary";
    s->uid = "k";
    scenario_phase(s, 0, 20, CREATED, "Pod/canary", "");
    scenario_phase(s, 0, 21, READY, "Pod/canary", "");
    s->owner = s->uid = NULL;
}

static void who_is_a_replica(void **state) {
    (void)state;
    judge(&good, forgotten_pod, "PASS", "2 replicas");
    judge(&good, living_pod, "INCONCLUSIVE", "Pod/extra stayed");
    judge(&good, pod_of_the_same_second, "INCONCLUSIVE", "Pod/extra stayed");
    judge(&good, late_bloomer, "INCONCLUSIVE", "Pod/extra stayed");
    judge(&(struct cluster){.before = 3}, late_bloomer, "INCONCLUSIVE",
          "before the change, and agents saw 2");
    judge(&good, evicted_pod, "PASS", "2 replicas");
    judge(&good, pod_of_another_workload, "PASS", "2 replicas");
}

/* A late agent tells of a state that is past: the workload was scaled, and is not scaled back. */
static void a_late_telling(struct scenario *s) {
    s->replicas = 2;
    scenario_object(s, 1, LISTED, 104, 0, "Deployment", "gateway", "d1");
    Pilotgate__Object *late = s->c.ev.records.items[s->c.ev.records.n - 1].r->object;
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        const Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && r->object != late &&
            strcmp(r->object->kind, "Deployment") == 0 && strcmp(r->object->digest, "d1") == 0) {
            free(late->resource_version);
            late->resource_version = strdup(r->object->resource_version);
        }
    }
}

static void replicas_are_as_last_asked_for(void **state) {
    (void)state;
    judge(&(struct cluster){.after = 3}, a_late_telling, "INCONCLUSIVE", "3 replicas after the change");
}

/* ---- one replica, as before */

static void one_by_one(struct scenario *s) {
    pod(s, CREATED, 6, "Pod/gateway-1", "1");
    pod(s, READY, 7, "Pod/gateway-1", "1");
    pod(s, CREATED, 100, "Pod/gateway-2", "2");
    pod(s, READY, 101, "Pod/gateway-2", "2");
    pod(s, DELETING, 101.5, "Pod/gateway-1", "1");
    pod(s, GONE, 103, "Pod/gateway-1", "1");
}

/* Calls that span the old pod's end, but began when the new one was there already. */
static void begun_meanwhile(struct scenario *s) {
    one_by_one(s);
    scenario_calls(s, 0, 40, "hold", 101.2, 106, OK, 0);
    scenario_calls(s, 0, 40, "hold", 101.2, 106, OK, REUSED);
}

/* The new pod is there, and the old one goes on serving: the roll-out is stuck. */
static void none_is_taken_away(struct scenario *s) {
    pod(s, CREATED, 6, "Pod/gateway-1", "1");
    pod(s, READY, 7, "Pod/gateway-1", "1");
    pod(s, CREATED, 200, "Pod/gateway-2", "2");
    pod(s, READY, 201, "Pod/gateway-2", "2");
}

/* Another ready pod of the gateway, which nobody asked for: one replica is what the workload says only. */
static void one_asked_for_and_two_there(struct scenario *s) {
    one_by_one(s);
    pod(s, CREATED, 20, "Pod/gateway-0", "0");
    pod(s, READY, 21, "Pod/gateway-0", "0");
}

static void one_replica_needs_no_address(void **state) {
    (void)state;
    static const struct fault none;
    pilot_expect(&none, one_by_one, 290, "config-safety", "PASS", "0 of 320 calls");
    pilot_expect(&(struct fault){.few = 1}, begun_meanwhile, 290, "config-safety", "INCONCLUSIVE",
                 "20 on reused");
    pilot_expect(&none, none_is_taken_away, 290, "config-safety", "INCONCLUSIVE", "Pod/gateway-1 stayed");
    pilot_expect(&none, one_asked_for_and_two_there, 290, "config-safety", "INCONCLUSIVE",
                 "Pod/gateway-0 stayed");
}

/* ---- what the document says */

static const json_t *switch_of(const json_t *change, const char *what) {
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(change, "switches"), i, s) {
        if (strcmp(js_str(s, "what", ""), what) == 0)
            return s;
    }
    fail_msg("no switch '%s'", what);
    return NULL;
}

static void the_document_names_each_switch(void **state) {
    (void)state;
    struct scenario s;
    play(&s, &(struct cluster){.after = 3});
    lost(&s, "Pod/b", 107, 109, RESET, REUSED);
    json_t *result = scenario_judge(&s, 190);
    const json_t *change = js_at(scenario_gate(result, "config-safety"), "changes.0");
    assert_int_equal(js_int(change, "replicas.before", 0), 2);
    assert_int_equal(js_int(change, "replicas.after", 0), 3);
    assert_int_equal(js_int(switch_of(change, "gateway"), "units.new", 0), 80);
    assert_int_equal(js_int(switch_of(change, "Pod/a replaced"), "in_flight.reused", 0), 40);
    assert_int_equal(js_int(switch_of(change, "Pod/b replaced"), "dropped", 0), 1);
    assert_int_equal(js_int(switch_of(change, "Pod/c came"), "reached", 0), 6);
    assert_string_equal(js_str(switch_of(change, "Pod/b replaced"), "path", ""), "Pod/b");
    assert_int_equal(js_int(change, "measured.in_flight", 0), 160);
    assert_int_equal(js_int(change, "measured.units", 0), 240);
    assert_string_equal(js_str(change, "lost.0.path", ""), "Pod/b");
    json_decref(result);
    scenario_end(&s);
}

/* Of two pods with one name, the call was at the one that was there when it began. */
static void a_loss_is_at_the_pod_of_its_time(void **state) {
    (void)state;
    struct scenario s;
    play(&s, &(struct cluster){.name_d = "Pod/a"});
    in_flight_at_a(&s);
    json_t *result = scenario_judge(&s, 190);
    const json_t *change = js_at(scenario_gate(result, "config-safety"), "changes.0");
    assert_int_equal(js_int(switch_of(change, "Pod/a replaced"), "dropped", -1), 1);
    assert_int_equal(js_int(switch_of(change, "Pod/a came"), "dropped", -1), 0);
    json_decref(result);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_replica_must_be_seen),
        cmocka_unit_test(a_replica_that_stays_must_show_its_switch),
        cmocka_unit_test(switches_of_two_are_not_one),
        cmocka_unit_test(a_name_may_come_again),
        cmocka_unit_test(bounds_never_raise_n),
        cmocka_unit_test(what_is_lost_at_one_address_counts),
        cmocka_unit_test(who_is_a_replica),
        cmocka_unit_test(replicas_are_as_last_asked_for),
        cmocka_unit_test(one_replica_needs_no_address),
        cmocka_unit_test(a_loss_is_at_the_pod_of_its_time),
        cmocka_unit_test(the_document_names_each_switch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
