/* Architecture: what must be known of a stage before it can pass: who read what and when, what was lost,
 * whose agents and lives it was. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "architecture.h"
#include "base/js.h"
#include "base/when.h"
#include "gates/gates.h"

static void test_pending(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    json_object_del(s.c.ev.pilot, "architecture");
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "PENDING", "architecture:");
    arch_end(&s);
    scenario_begin(&s, "{}");
    arch_declare(&s, arch_reference, NULL);
    arch_expect(arch_stage_at(&s, 101), "PENDING", "no agent");
    arch_end(&s);
    scenario_begin(&s, "{}"); /* an empty namespace */
    scenario_clock(&s, scenario_agent(&s, "n1"), 2, 0, 0.001);
    scenario_agent(&s, "n2");
    arch_declare(&s, arch_reference, NULL);
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "PENDING", "nothing is deployed");
    arch_end(&s);
}

static void test_reference_is_not_there(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_read_at(&s, 100, arch_all);
    json_object_set_new(json_object_get(s.c.ev.pilot, "architecture"), "digest", json_string("00ff"));
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "has the digest");
    json_decref(s.c.ev.reference);
    s.c.ev.reference = NULL;
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "not in the store");
    s.c.ev.reference = json_pack("{s:s}", "schema", "something else");
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "cannot be read");
    arch_end(&s);
}

static void test_nobody_read(void **state) {
    (void)state;
    static const char *const no_budgets[] = {
        "Pod",       "Deployment",    "StatefulSet",
        "DaemonSet", "NetworkPolicy", "PodDisruptionBudget!RBAC: allow list",
        NULL};
    static const char *const without[] = {"Pod",       "Deployment",    "StatefulSet",
                                          "DaemonSet", "NetworkPolicy", NULL};
    static const char *const stale[] = {"Pod",           "Deployment@100",      "StatefulSet", "DaemonSet",
                                        "NetworkPolicy", "PodDisruptionBudget", NULL};
    struct scenario s;
    arch_begin(&s);
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE",
                "no agent that does the stage's work"); /* no coverage at all */
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 399), "PASS", "");
    arch_expect(arch_stage_at(&s, 402), "INCONCLUSIVE",
                "no agent that does the stage's work"); /* too long ago */
    arch_end(&s);
    const struct {
        const char *const *sources;
        const char *kind, *reason;
    } cases[] = {{no_budgets, "PodDisruptionBudget", "RBAC: allow list"},
                 {without, "PodDisruptionBudget", "kube.resources"},
                 {stale, "Deployment", "architecture_fresh"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        arch_begin(&s);
        arch_read_at(&s, 500, cases[i].sources);
        const json_t *o = arch_stage_at(&s, 501);
        arch_expect(o, "INCONCLUSIVE", cases[i].kind);
        assert_string_equal(js_str(o, "not_read.0.kind", ""), cases[i].kind);
        assert_non_null(strstr(js_str(o, "not_read.0.reason", ""), cases[i].reason));
        arch_end(&s);
    }
    arch_begin(&s); /* what is known to fail, fails whatever else is not known */
    arch_deployment(&s, 0, MODIFIED, 50, 1);
    arch_read_at(&s, 500, no_budgets);
    arch_expect(arch_stage_at(&s, 501), "FAIL", "");
    arch_end(&s);
}

/* Agents before 0.4 name no kinds: their sources' names say them. */
static void test_old_agents(void **state) {
    (void)state;
    static const char *const names[] = {"pods",
                                        "deployments",
                                        "statefulsets",
                                        "daemonsets",
                                        "poddisruptionbudgets",
                                        "networkpolicies",
                                        "horizontalpodautoscalers"};
    struct scenario s;
    arch_begin(&s);
    arch_read_at(&s, 100, arch_all);
    Pilotgate__Coverage *c = s.c.ev.sources.items[0].r->coverage;
    for (size_t i = 0; i < c->n_sources; i++) {
        free(c->sources[i]->name);
        free(c->sources[i]->kind);
        c->sources[i]->name = strdup(names[i]);
        c->sources[i]->kind = strdup("");
    }
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
}

/* Hashes of another key equal nothing: that no known default is among them says nothing. */
static void test_another_key(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: secrets, title: r, severity: required, why: w, source: s,\n"
                               "     check: default-secrets, with: {known: [dev]}}\n";
    static const char *const sources[] = {"Pod",       "Deployment", "StatefulSet", "DaemonSet", "CronJob",
                                          "ConfigMap", "Secret",     "Job",         NULL};
    static const struct norm_key key = {{7}};
    static const struct norm_key other = {{8}};
    static const char normal[] =
        "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"worker\"},\"data\":{\"secret\":\"keyed:"
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}}";
    char id[NORM_KEY_ID_MAX];
    struct scenario s;
    arch_begin(&s);
    json_decref(s.c.ev.reference);
    arch_declare(&s, yaml, &key);
    s.normal = normal;
    scenario_object(&s, 0, ADDED, 13, 0, "Secret", "worker", "s1");
    s.normal = NULL;
    arch_read_at(&s, 100, sources);
    const json_t *stage = arch_stage_at(&s, 101);
    arch_expect(stage, "INCONCLUSIVE", "");
    assert_non_null(strstr(js_str(arch_row(stage, "secrets"), "reason", ""), "do not say which key"));
    Pilotgate__Coverage *c = s.c.ev.sources.items[0].r->coverage;
    c->key_id = strdup(norm_key_id(&other, id));
    stage = arch_stage_at(&s, 101);
    arch_expect(stage, "INCONCLUSIVE", "");
    assert_non_null(strstr(js_str(arch_row(stage, "secrets"), "reason", ""), "another key"));
    free(c->key_id);
    c->key_id = strdup(norm_key_id(&key, id));
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
}

static void test_unserved(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: route, title: r, severity: required, why: w, source: s,\n"
                               "     none_of: [{kind: HTTPRoute.gateway.networking.k8s.io}]}\n";
    static const char *const sources[] = {"Pod", "Deployment", "StatefulSet", "DaemonSet", NULL};
    struct scenario s;
    arch_begin(&s);
    json_decref(s.c.ev.reference);
    arch_declare(&s, yaml, NULL);
    arch_read_at(&s, 100, sources);
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "HTTPRoute");
    Pilotgate__Coverage__Source *x = s.c.ev.sources.items[0].r->coverage->sources[0];
    free(x->name);
    free(x->reason);
    x->name = strdup("httproutes.gateway.networking.k8s.io");
    x->reason = strdup("the API server does not serve it");
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
}

static void test_cut_text_is_unknown(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    s.c.ev.records.items[s.c.ev.records.n - 3].r->object->truncated = true; /* the Deployment */
    assert_string_equal(s.c.ev.records.items[s.c.ev.records.n - 3].r->object->kind, "Deployment");
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "");
    assert_string_equal(
        js_str(arch_row(scenario_gate(arch_judged(), "architecture"), "budget"), "verdict", ""), "PASS");
    arch_end(&s);
}

static void test_doubts(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_read_at(&s, 100, arch_all);
    s.c.ev.streams[0].conflicts = 1;
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "came twice");
    arch_end(&s);
}

/* n2's agent was to go on where n1's ended, and could not with this source: it listed it. */
static void taken_over(struct scenario *s, const char *source) {
    scenario_loss(s, 1, 60, 79, 0);
    Pilotgate__Loss *l = s->c.ev.records.items[s->c.ev.records.n - 1].r->loss;
    l->cause = PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED;
    l->families = strdup(source);
    l->from_boot.data = calloc(1, WIRE_BOOT_BYTES);
    l->from_boot.len = WIRE_BOOT_BYTES;
    l->from_boot.data[0] = 1; /* of n1's stream */
}

static void test_lost_records(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    scenario_loss(&s, 0, 40, 41, 5);
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "5 records of node n1");
    arch_expect(arch_stage_at(&s, 39), "INCONCLUSIVE",
                "no agent that does"); /* of then nothing was lost, but read */
    arch_end(&s);
    arch_begin(&s); /* another agent listed all of it anew since */
    scenario_loss(&s, 0, 40, 41, 5);
    scenario_object(&s, 1, LISTED, 80, 0, "ServiceAccount", "default", "a");
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_object(&s, 1, LISTED, 80, 0, "PodDisruptionBudget", "gateway", "b1");
    scenario_object(&s, 1, LISTED, 80, 0, "NetworkPolicy", "gateway", "n1");
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
    arch_begin(&s); /* of one kind alone nobody did */
    scenario_loss(&s, 0, 40, 41, 5);
    s.replicas = 2;
    for (int i = 0; i < 3; i++) /* what it could not go on with */
        taken_over(&s, i == 0 ? "deployments" : i == 1 ? "networkpolicies" : "services");
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_object(&s, 1, LISTED, 80, 0, "NetworkPolicy", "gateway", "n1");
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "INCONCLUSIVE", "5 records of node n1");
    assert_string_equal(js_str(arch_row(o, "replicas"), "verdict", ""), "PASS");
    assert_string_equal(js_str(arch_row(o, "budget"), "verdict", ""), "INCONCLUSIVE");
    arch_end(&s);
}

/* It was deleted while no agent was there: the next one lists, and cannot say so. */
/* Found out afterwards: at that time nobody watched, and it may have been otherwise in between. */
static void test_unwatched(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"deployments, poddisruptionbudgets", "INCONCLUSIVE"},
                                           {"services, jobs", "PASS"}};
    for (size_t i = 0; i < 2; i++) {
        struct scenario s;
        arch_begin(&s);
        arch_read_at(&s, 40, arch_all);
        scenario_loss(&s, 0, 40.5, 60, 0);
        Pilotgate__Loss *l = s.c.ev.records.items[s.c.ev.records.n - 1].r->loss;
        l->cause = PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED;
        l->families = strdup(cases[i][0]);
        arch_read_at(&s, 100, arch_all);
        arch_expect(arch_stage_at(&s, 50), cases[i][1], "");
        arch_expect(arch_stage_at(&s, 101), "PASS", "");
        arch_end(&s);
    }
}

/* What is spread over nodes counts as known when each node that should have an agent has one. */
static void test_pods(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: spread, title: r, severity: required, why: w, source: s,\n"
                               "     check: spread, with: {seen: true}, for: {kind: Deployment}}\n";
    struct scenario s;
    arch_begin(&s);
    json_decref(s.c.ev.reference);
    arch_declare(&s, yaml, NULL);
    s.owner = "Deployment/gateway";
    for (int i = 0; i < 2; i++) { /* both on n1 */
        s.uid = i ? "p2" : "p1";
        scenario_phase(&s, 0, 20 + i, PILOTGATE__PHASE__KIND__KIND_POD_READY, i ? "Pod/b" : "Pod/a", "");
    }
    arch_read_at(&s, 30, arch_all);
    arch_expect(arch_stage_at(&s, 31), "FAIL", "");
    arch_expect_since(scenario_gate(arch_judged(), "architecture"), "spread", 21,
                      "at most"); /* one pod alone says nothing */
    scenario_phase(&s, 0, 40, PILOTGATE__PHASE__KIND__KIND_POD_GONE, "Pod/b", "");
    s.uid = "p3";
    scenario_phase(&s, 1, 41, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/c", "");
    arch_read_at(&s, 50, arch_all);
    arch_expect(arch_stage_at(&s, 51), "PASS", "");
    scenario_phase(&s, 1, 60, PILOTGATE__PHASE__KIND__KIND_POD_GONE, "Pod/c", "");
    s.uid = "p4";
    scenario_phase(&s, 0, 61, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/d", "");
    arch_read_at(&s, 70, arch_all);
    arch_expect(arch_stage_at(&s, 71), "FAIL", "");
    scenario_sources(&s, 0, 500, true, arch_all); /* n2's agent is gone: nobody knows of its pods */
    arch_expect(arch_stage_at(&s, 501), "INCONCLUSIVE", "");
    arch_end(&s);
}

static void test_gone_while_nobody_looked(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    scenario_object(&s, 1, LISTED, 80, 0, "ServiceAccount", "default", "a");
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_object(&s, 1, LISTED, 80, 0, "NetworkPolicy", "gateway", "n1");
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "");
    assert_string_equal(
        js_str(arch_row(scenario_gate(arch_judged(), "architecture"), "budget"), "verdict", ""),
        "INCONCLUSIVE");
    arch_expect(arch_stage_at(&s, 79), "INCONCLUSIVE", "no agent that does");
    arch_end(&s);
}

/* One agent lists one kind after the other: what it told before is no older list. */
static void test_one_list_takes_long(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "PodDisruptionBudget", "gateway", "b1");
    scenario_object(&s, 1, LISTED, 90, 0, "NetworkPolicy", "gateway", "n1");
    scenario_object(&s, 1, LISTED, 99, 0, "Deployment", "gateway", "d2");
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
}

/* A successor that went on where another one ended lists only what it could not go on with. */
static void test_handed_over(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    taken_over(&s, "deployments");
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_sources(&s, 1, 100, true, arch_all);
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
    arch_begin(&s); /* the same, and the Deployment was not there any more */
    taken_over(&s, "deployments");
    scenario_sources(&s, 1, 100, true, arch_all);
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "other", "d2");
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "FAIL", ""); /* another one of its kind was listed, and it was not */
    assert_string_equal(js_str(arch_difference(o, "replicas"), "what", ""), "missing");
    arch_expect_since(o, "replicas", 78.999, "at most");
    arch_end(&s);
}

/* What an agent reads that does not do the stage's work is not what there is. */
static void test_another_agents_kinds(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    scenario_sources(&s, 1, 100, false, arch_all);
    arch_expect(arch_stage_at(&s, 101), "INCONCLUSIVE", "no agent that does the stage's work");
    arch_end(&s);
}

static void test_after_the_end(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    arch_read_at(&s, 100, arch_all);
    arch_deployment(&s, 0, MODIFIED, 150, 1);
    json_object_set_new(s.c.ev.pilot, "end_ns", json_integer((SCENARIO_T0 + 120) * WHEN_S));
    arch_expect(arch_stage_at(&s, 90000), "PASS", "");
    arch_end(&s);
}

static void test_earlier_life(void **state) {
    (void)state;
    struct scenario s;
    arch_begin(&s);
    s.uid = "second";
    s.c.ev.records.items[2].r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    s.c.ev.records.items[2].r->phase->uid = strdup("first");
    scenario_phase(&s, 0, 60, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    s.c.ev.records.items[s.c.ev.records.n - 1].r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    arch_deployment(&s, 0, ADDED, 65, 2);
    arch_read_at(&s, 100, arch_all);
    const json_t *o = arch_stage_at(&s, 101);
    arch_expect(o, "FAIL", ""); /* the budget is of the namespace that is no more */
    assert_string_equal(js_str(arch_row(o, "replicas"), "verdict", ""), "PASS");
    arch_expect_since(o, "budget", 65, "at most");
    arch_end(&s);
}

static void test_own_release_is_left_out(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: one, title: r, severity: required, why: w, source: s,\n"
                               "     for: {kind: Deployment}, expect: [{at: /spec/replicas, at_least: 2}]}\n";
    struct scenario s;
    arch_begin(&s);
    json_decref(s.c.ev.reference);
    arch_declare(&s, yaml, NULL);
    s.replicas = 1;
    scenario_object(&s, 0, ADDED, 20, 0, "Deployment", "pilotgate", "x");
    s.c.ev.records.items[s.c.ev.records.n - 1].r->object->own = true;
    arch_read_at(&s, 100, arch_all);
    arch_expect(arch_stage_at(&s, 101), "PASS", "");
    arch_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_reference_is_not_there),
        cmocka_unit_test(test_nobody_read),
        cmocka_unit_test(test_old_agents),
        cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_unserved),
        cmocka_unit_test(test_cut_text_is_unknown),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_lost_records),
        cmocka_unit_test(test_unwatched),
        cmocka_unit_test(test_pods),
        cmocka_unit_test(test_gone_while_nobody_looked),
        cmocka_unit_test(test_one_list_takes_long),
        cmocka_unit_test(test_handed_over),
        cmocka_unit_test(test_another_agents_kinds),
        cmocka_unit_test(test_after_the_end),
        cmocka_unit_test(test_earlier_life),
        cmocka_unit_test(test_own_release_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
