/* Architecture: a stage against the pilot's reference, since when it differs, over time, and two stages with
 * each other. What of an object differs at all is tests/unit/reference's; here is what of a stage there is to
 * compare, and what must be known of it. */
#include <errno.h>
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
#include "gates/hindrance.h"
#include "pilot.h"
#include "reference/reference.h"

#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED

static const char reference_yaml[] = "schema: pilotgate.reference/1\n"
                                     "id: test\n"
                                     "title: Two of everything\n"
                                     "expectations:\n"
                                     "  - id: replicas\n"
                                     "    title: At least two replicas\n"
                                     "    severity: required\n"
                                     "    why: one node may go\n"
                                     "    source: the test\n"
                                     "    for: {kind: Deployment, name: gateway}\n"
                                     "    expect: [{at: /spec/replicas, at_least: 2}]\n"
                                     "  - id: budget\n"
                                     "    title: A disruption budget\n"
                                     "    severity: required\n"
                                     "    why: nodes are drained\n"
                                     "    source: the test\n"
                                     "    all_of: [{kind: PodDisruptionBudget, name: gateway}]\n"
                                     "  - id: policy\n"
                                     "    title: A network policy\n"
                                     "    severity: recommended\n"
                                     "    why: pods talk to each other\n"
                                     "    source: the test\n"
                                     "    all_of: [{kind: NetworkPolicy}]\n";

static const char *const all[] = {"Pod",
                                  "Deployment",
                                  "StatefulSet",
                                  "DaemonSet",
                                  "PodDisruptionBudget",
                                  "NetworkPolicy",
                                  "HorizontalPodAutoscaler",
                                  NULL};

static void declare(struct scenario *s, const char *yaml, const struct norm_key *key) {
    struct reference r;
    struct err e = {""};
    if (ref_load_text("test.yaml", NULL, yaml, strlen(yaml), key, &r, &e) < 0)
        fail_msg("%s", e.text);
    s->c.ev.reference = json_incref(r.doc);
    json_object_set_new(s->c.ev.pilot, "architecture",
                        json_pack("{s:[s], s:s, s:b}", "use", "test.yaml", "digest", r.digest, "keyed", 0));
    ref_free(&r);
}

static void deployment(struct scenario *s, size_t agent, int op, double t, unsigned replicas) {
    char content[32];
    (void)snprintf(content, sizeof content, "d%u", replicas);
    s->replicas = replicas;
    scenario_object(s, agent, op, t, op == ADDED ? 0 : t - 1, "Deployment", "gateway", content);
}

/* Two agents, n1 does the stage's work; what the reference asks for is there from 10 on. */
static void begin(struct scenario *s) {
    scenario_begin(s, "{}");
    for (int i = 0; i < 2; i++) {
        size_t a = scenario_agent(s, i ? "n2" : "n1");
        scenario_clock(s, a, 2, 0, 0.001);
    }
    declare(s, reference_yaml, NULL);
    scenario_phase(s, 0, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    deployment(s, 0, ADDED, 10, 2);
    scenario_object(s, 0, ADDED, 11, 0, "PodDisruptionBudget", "gateway", "b1");
    scenario_object(s, 0, ADDED, 12, 0, "NetworkPolicy", "gateway", "n1");
}

static void read_at(struct scenario *s, double t, const char *const *sources) {
    static const char *const pods[] = {"Pod", NULL};
    scenario_sources(s, 0, t, true, sources);
    scenario_sources(s, 1, t, false, pods);
}

static json_t *judged; /* the result that `stage` is of */

static const json_t *stage_at(struct scenario *s, double t) {
    json_decref(judged);
    judged = scenario_judge(s, t);
    return scenario_gate(judged, "architecture");
}

static void expect(const json_t *stage, const char *verdict, const char *reason) {
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason)) {
        char *text = json_dumps(stage, JSON_INDENT(1));
        fail_msg("wanted %s (%s), got %s: %s\n%s", verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""), text);
    }
}

static const json_t *row(const json_t *stage, const char *id) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(stage, "rows"), i, x) {
        if (strcmp(js_str(x, "id", ""), id) == 0)
            return x;
    }
    fail_msg("no row %s", id);
    return NULL;
}

static const json_t *difference(const json_t *stage, const char *id) {
    const json_t *d = js_at(row(stage, id), "differences.0");
    assert_non_null(d);
    return d;
}

static void expect_since(const json_t *stage, const char *id, double t, const char *bound) {
    char want[WHEN_TEXT_MAX];
    const json_t *d = difference(stage, id);
    (void)when_format(SCENARIO_T0 * WHEN_S + (int64_t)(t * 1e9), 3, want);
    /* a clock's bound widens the moment */
    if (strncmp(js_str(d, "since", ""), want, 19) != 0 || strcmp(js_str(d, "since_bound", ""), bound) != 0)
        fail_msg("%s: since %s (%s), wanted %s (%s)", id, js_str(d, "since", ""),
                 js_str(d, "since_bound", ""), want, bound);
}

static void end(struct scenario *s) {
    json_decref(judged);
    judged = NULL;
    scenario_end(s);
}

/* ---- verdicts */

static void test_pass(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "PASS", "");
    assert_string_equal(js_str(o, "reference.id", ""), "test");
    assert_int_equal(json_array_size(json_object_get(o, "not_read")), 0);
    assert_true(json_array_size(json_object_get(o, "evidence")) > 0);
    assert_string_equal(js_str(judged, "gates.3.reference", ""), js_str(o, "reference.digest", "-"));
    end(&s);
}

static void test_fail_names_place_and_time(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    deployment(&s, 0, MODIFIED, 50, 1);
    s.normal = "{\"spec\":{\"replicas\":1,\"paused\":true}}"; /* another change of the same object */
    scenario_object(&s, 0, MODIFIED, 60, 59, "Deployment", "gateway", "d1b");
    s.normal = "{\"spec\":{\"replicas\":1,\"paused\":false}}";
    scenario_object(&s, 0, MODIFIED, 70, 69, "Deployment", "gateway", "d1c");
    s.normal = NULL;
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "FAIL", "");
    const json_t *d = difference(o, "replicas");
    assert_string_equal(js_str(d, "object", ""), "Deployment/gateway");
    assert_string_equal(js_str(d, "pointer", ""), "/spec/replicas");
    assert_string_equal(js_str(d, "found", ""), "1");
    assert_null(json_object_get(d, "tag"));
    assert_non_null(strstr(js_str(d, "evidence.0", ""), "east/shop/n1@"));
    expect_since(o, "replicas", 50, "at");
    assert_string_equal(js_str(row(o, "budget"), "verdict", ""), "PASS");
    end(&s);
}

/* One replica, then none: both are too few. Enough of them in between begin anew. */
static void test_since_it_is_unmet(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    deployment(&s, 0, MODIFIED, 50, 1);
    s.normal = "{\"spec\":{\"replicas\":0}}";
    scenario_object(&s, 0, MODIFIED, 60, 59, "Deployment", "gateway", "d0");
    s.normal = NULL;
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    assert_string_equal(js_str(difference(o, "replicas"), "found", ""), "0");
    expect_since(o, "replicas", 50, "at");
    deployment(&s, 0, MODIFIED, 110, 3);
    deployment(&s, 0, MODIFIED, 120, 1);
    read_at(&s, 130, all);
    expect_since(stage_at(&s, 131), "replicas", 120, "at");
    end(&s);
}

static void test_missing_since_it_went(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    scenario_object(&s, 0, DELETED, 70, 69, "PodDisruptionBudget", "gateway", "");
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "FAIL", "");
    expect_since(o, "budget", 70, "at");
    expect(stage_at(&s, 101), "FAIL", "");
    end(&s);
}

static void test_before_it_came(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    scenario_object(&s, 0, DELETED, 70, 69, "PodDisruptionBudget", "gateway", "");
    read_at(&s, 60, all);
    expect(stage_at(&s, 61), "PASS", "");
    end(&s);
}

static void test_always_so_is_at_most(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    scenario_clock(&s, scenario_agent(&s, "n1"), 2, 0, 0.001);
    scenario_agent(&s, "n2");
    declare(&s, reference_yaml, NULL);
    s.replicas = 1;
    scenario_object(&s, 0, LISTED, 10, 0, "Deployment", "gateway", "d1");
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "FAIL", "");
    expect_since(o, "replicas", 10, "at most");
    expect_since(o, "budget", 10, "at most");
    end(&s);
}

static void test_recommended_alone_passes(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    scenario_object(&s, 0, DELETED, 70, 69, "NetworkPolicy", "gateway", "");
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "PASS", "");
    assert_string_equal(js_str(row(o, "policy"), "verdict", ""), "FAIL");
    end(&s);
}

static void test_tolerated(void **state) {
    (void)state;
    struct scenario s;
    char yaml[2048];
    begin(&s);
    json_decref(s.c.ev.reference);
    (void)snprintf(
        yaml, sizeof yaml,
        "%stolerate:\n  - {expectation: replicas, stage: east/shop, reason: a small cluster, owner: "
        "platform team}\n",
        reference_yaml);
    declare(&s, yaml, NULL);
    deployment(&s, 0, MODIFIED, 50, 1);
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "PASS", "");
    assert_string_equal(js_str(difference(o, "replicas"), "tolerated.owner", ""), "platform team");
    end(&s);
}

/* ---- never a pass on what is not known */

static void test_pending(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    json_object_del(s.c.ev.pilot, "architecture");
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "PENDING", "architecture:");
    end(&s);
    scenario_begin(&s, "{}");
    declare(&s, reference_yaml, NULL);
    expect(stage_at(&s, 101), "PENDING", "no agent");
    end(&s);
    scenario_begin(&s, "{}"); /* an empty namespace */
    scenario_clock(&s, scenario_agent(&s, "n1"), 2, 0, 0.001);
    scenario_agent(&s, "n2");
    declare(&s, reference_yaml, NULL);
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "PENDING", "nothing is deployed");
    end(&s);
}

static void test_reference_is_not_there(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    read_at(&s, 100, all);
    json_object_set_new(json_object_get(s.c.ev.pilot, "architecture"), "digest", json_string("00ff"));
    expect(stage_at(&s, 101), "INCONCLUSIVE", "has the digest");
    json_decref(s.c.ev.reference);
    s.c.ev.reference = NULL;
    expect(stage_at(&s, 101), "INCONCLUSIVE", "not in the store");
    s.c.ev.reference = json_pack("{s:s}", "schema", "something else");
    expect(stage_at(&s, 101), "INCONCLUSIVE", "cannot be read");
    end(&s);
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
    begin(&s);
    expect(stage_at(&s, 101), "INCONCLUSIVE", "no agent that does the stage's work"); /* no coverage at all */
    read_at(&s, 100, all);
    expect(stage_at(&s, 399), "PASS", "");
    expect(stage_at(&s, 402), "INCONCLUSIVE", "no agent that does the stage's work"); /* too long ago */
    end(&s);
    const struct {
        const char *const *sources;
        const char *kind, *reason;
    } cases[] = {{no_budgets, "PodDisruptionBudget", "RBAC: allow list"},
                 {without, "PodDisruptionBudget", "kube.resources"},
                 {stale, "Deployment", "architecture_fresh"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(&s);
        read_at(&s, 500, cases[i].sources);
        const json_t *o = stage_at(&s, 501);
        expect(o, "INCONCLUSIVE", cases[i].kind);
        assert_string_equal(js_str(o, "not_read.0.kind", ""), cases[i].kind);
        assert_non_null(strstr(js_str(o, "not_read.0.reason", ""), cases[i].reason));
        end(&s);
    }
    begin(&s); /* what is known to fail, fails whatever else is not known */
    deployment(&s, 0, MODIFIED, 50, 1);
    read_at(&s, 500, no_budgets);
    expect(stage_at(&s, 501), "FAIL", "");
    end(&s);
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
    begin(&s);
    read_at(&s, 100, all);
    Pilotgate__Coverage *c = s.c.ev.sources.items[0].r->coverage;
    for (size_t i = 0; i < c->n_sources; i++) {
        free(c->sources[i]->name);
        free(c->sources[i]->kind);
        c->sources[i]->name = strdup(names[i]);
        c->sources[i]->kind = strdup("");
    }
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
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
    begin(&s);
    json_decref(s.c.ev.reference);
    declare(&s, yaml, &key);
    s.normal = normal;
    scenario_object(&s, 0, ADDED, 13, 0, "Secret", "worker", "s1");
    s.normal = NULL;
    read_at(&s, 100, sources);
    const json_t *stage = stage_at(&s, 101);
    expect(stage, "INCONCLUSIVE", "");
    assert_non_null(strstr(js_str(row(stage, "secrets"), "reason", ""), "do not say which key"));
    Pilotgate__Coverage *c = s.c.ev.sources.items[0].r->coverage;
    c->key_id = strdup(norm_key_id(&other, id));
    stage = stage_at(&s, 101);
    expect(stage, "INCONCLUSIVE", "");
    assert_non_null(strstr(js_str(row(stage, "secrets"), "reason", ""), "another key"));
    free(c->key_id);
    c->key_id = strdup(norm_key_id(&key, id));
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
}

static void test_unserved(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: route, title: r, severity: required, why: w, source: s,\n"
                               "     none_of: [{kind: HTTPRoute.gateway.networking.k8s.io}]}\n";
    static const char *const sources[] = {"Pod", "Deployment", "StatefulSet", "DaemonSet", NULL};
    struct scenario s;
    begin(&s);
    json_decref(s.c.ev.reference);
    declare(&s, yaml, NULL);
    read_at(&s, 100, sources);
    expect(stage_at(&s, 101), "INCONCLUSIVE", "HTTPRoute");
    Pilotgate__Coverage__Source *x = s.c.ev.sources.items[0].r->coverage->sources[0];
    free(x->name);
    free(x->reason);
    x->name = strdup("httproutes.gateway.networking.k8s.io");
    x->reason = strdup("the API server does not serve it");
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
}

static void test_cut_text_is_unknown(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    s.c.ev.records.items[s.c.ev.records.n - 3].r->object->truncated = true; /* the Deployment */
    assert_string_equal(s.c.ev.records.items[s.c.ev.records.n - 3].r->object->kind, "Deployment");
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "INCONCLUSIVE", "");
    assert_string_equal(js_str(row(scenario_gate(judged, "architecture"), "budget"), "verdict", ""), "PASS");
    end(&s);
}

static void test_doubts(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    read_at(&s, 100, all);
    s.c.ev.streams[0].conflicts = 1;
    expect(stage_at(&s, 101), "INCONCLUSIVE", "came twice");
    end(&s);
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
    begin(&s);
    scenario_loss(&s, 0, 40, 41, 5);
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "INCONCLUSIVE", "5 records of node n1");
    expect(stage_at(&s, 39), "INCONCLUSIVE", "no agent that does"); /* of then nothing was lost, but read */
    end(&s);
    begin(&s); /* another agent listed all of it anew since */
    scenario_loss(&s, 0, 40, 41, 5);
    scenario_object(&s, 1, LISTED, 80, 0, "ServiceAccount", "default", "a");
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_object(&s, 1, LISTED, 80, 0, "PodDisruptionBudget", "gateway", "b1");
    scenario_object(&s, 1, LISTED, 80, 0, "NetworkPolicy", "gateway", "n1");
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
    begin(&s); /* of one kind alone nobody did */
    scenario_loss(&s, 0, 40, 41, 5);
    s.replicas = 2;
    for (int i = 0; i < 3; i++) /* what it could not go on with */
        taken_over(&s, i == 0 ? "deployments" : i == 1 ? "networkpolicies" : "services");
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_object(&s, 1, LISTED, 80, 0, "NetworkPolicy", "gateway", "n1");
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "INCONCLUSIVE", "5 records of node n1");
    assert_string_equal(js_str(row(o, "replicas"), "verdict", ""), "PASS");
    assert_string_equal(js_str(row(o, "budget"), "verdict", ""), "INCONCLUSIVE");
    end(&s);
}

/* It was deleted while no agent was there: the next one lists, and cannot say so. */
/* Found out afterwards: at that time nobody watched, and it may have been otherwise in between. */
static void test_unwatched(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"deployments, poddisruptionbudgets", "INCONCLUSIVE"},
                                           {"services, jobs", "PASS"}};
    for (size_t i = 0; i < 2; i++) {
        struct scenario s;
        begin(&s);
        read_at(&s, 40, all);
        scenario_loss(&s, 0, 40.5, 60, 0);
        Pilotgate__Loss *l = s.c.ev.records.items[s.c.ev.records.n - 1].r->loss;
        l->cause = PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED;
        l->families = strdup(cases[i][0]);
        read_at(&s, 100, all);
        expect(stage_at(&s, 50), cases[i][1], "");
        expect(stage_at(&s, 101), "PASS", "");
        end(&s);
    }
}

/* What is spread over nodes counts as known when each node that should have an agent has one. */
static void test_pods(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: spread, title: r, severity: required, why: w, source: s,\n"
                               "     check: spread, with: {seen: true}, for: {kind: Deployment}}\n";
    struct scenario s;
    begin(&s);
    json_decref(s.c.ev.reference);
    declare(&s, yaml, NULL);
    s.owner = "Deployment/gateway";
    for (int i = 0; i < 2; i++) { /* both on n1 */
        s.uid = i ? "p2" : "p1";
        scenario_phase(&s, 0, 20 + i, PILOTGATE__PHASE__KIND__KIND_POD_READY, i ? "Pod/b" : "Pod/a", "");
    }
    read_at(&s, 30, all);
    expect(stage_at(&s, 31), "FAIL", "");
    expect_since(scenario_gate(judged, "architecture"), "spread", 21,
                 "at most"); /* one pod alone says nothing */
    scenario_phase(&s, 0, 40, PILOTGATE__PHASE__KIND__KIND_POD_GONE, "Pod/b", "");
    s.uid = "p3";
    scenario_phase(&s, 1, 41, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/c", "");
    read_at(&s, 50, all);
    expect(stage_at(&s, 51), "PASS", "");
    scenario_phase(&s, 1, 60, PILOTGATE__PHASE__KIND__KIND_POD_GONE, "Pod/c", "");
    s.uid = "p4";
    scenario_phase(&s, 0, 61, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/d", "");
    read_at(&s, 70, all);
    expect(stage_at(&s, 71), "FAIL", "");
    scenario_sources(&s, 0, 500, true, all); /* n2's agent is gone: nobody knows of its pods */
    expect(stage_at(&s, 501), "INCONCLUSIVE", "");
    end(&s);
}

static void test_gone_while_nobody_looked(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    scenario_object(&s, 1, LISTED, 80, 0, "ServiceAccount", "default", "a");
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_object(&s, 1, LISTED, 80, 0, "NetworkPolicy", "gateway", "n1");
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "INCONCLUSIVE", "");
    assert_string_equal(js_str(row(scenario_gate(judged, "architecture"), "budget"), "verdict", ""),
                        "INCONCLUSIVE");
    expect(stage_at(&s, 79), "INCONCLUSIVE", "no agent that does");
    end(&s);
}

/* One agent lists one kind after the other: what it told before is no older list. */
static void test_one_list_takes_long(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "PodDisruptionBudget", "gateway", "b1");
    scenario_object(&s, 1, LISTED, 90, 0, "NetworkPolicy", "gateway", "n1");
    scenario_object(&s, 1, LISTED, 99, 0, "Deployment", "gateway", "d2");
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
}

/* A successor that went on where another one ended lists only what it could not go on with. */
static void test_handed_over(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    taken_over(&s, "deployments");
    s.replicas = 2;
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "gateway", "d2");
    scenario_sources(&s, 1, 100, true, all);
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
    begin(&s); /* the same, and the Deployment was not there any more */
    taken_over(&s, "deployments");
    scenario_sources(&s, 1, 100, true, all);
    scenario_object(&s, 1, LISTED, 80, 0, "Deployment", "other", "d2");
    const json_t *o = stage_at(&s, 101);
    expect(o, "FAIL", ""); /* another one of its kind was listed, and it was not */
    assert_string_equal(js_str(difference(o, "replicas"), "what", ""), "missing");
    expect_since(o, "replicas", 78.999, "at most");
    end(&s);
}

/* What an agent reads that does not do the stage's work is not what there is. */
static void test_another_agents_kinds(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    scenario_sources(&s, 1, 100, false, all);
    expect(stage_at(&s, 101), "INCONCLUSIVE", "no agent that does the stage's work");
    end(&s);
}

static void test_after_the_end(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    read_at(&s, 100, all);
    deployment(&s, 0, MODIFIED, 150, 1);
    json_object_set_new(s.c.ev.pilot, "end_ns", json_integer((SCENARIO_T0 + 120) * WHEN_S));
    expect(stage_at(&s, 90000), "PASS", "");
    end(&s);
}

static void test_earlier_life(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    s.uid = "second";
    s.c.ev.records.items[2].r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    s.c.ev.records.items[2].r->phase->uid = strdup("first");
    scenario_phase(&s, 0, 60, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    s.c.ev.records.items[s.c.ev.records.n - 1].r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    deployment(&s, 0, ADDED, 65, 2);
    read_at(&s, 100, all);
    const json_t *o = stage_at(&s, 101);
    expect(o, "FAIL", ""); /* the budget is of the namespace that is no more */
    assert_string_equal(js_str(row(o, "replicas"), "verdict", ""), "PASS");
    expect_since(o, "budget", 65, "at most");
    end(&s);
}

static void test_own_release_is_left_out(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: one, title: r, severity: required, why: w, source: s,\n"
                               "     for: {kind: Deployment}, expect: [{at: /spec/replicas, at_least: 2}]}\n";
    struct scenario s;
    begin(&s);
    json_decref(s.c.ev.reference);
    declare(&s, yaml, NULL);
    s.replicas = 1;
    scenario_object(&s, 0, ADDED, 20, 0, "Deployment", "pilotgate", "x");
    s.c.ev.records.items[s.c.ev.records.n - 1].r->object->own = true;
    read_at(&s, 100, all);
    expect(stage_at(&s, 101), "PASS", "");
    end(&s);
}

/* ---- what keeps it from ever passing */

static bool stops(const struct scenario *s, const json_t *stage, const char *text) {
    static const struct plan_rules rules;
    static const struct plan_stage load;
    json_t *list = json_array();
    struct hindrance_input in = {&s->c.stages[0], &load, &rules, 0, s->c.at_ns, stage};
    hindrances_of_stage(&in, list);
    size_t i;
    json_t *x;
    bool found = false;
    json_array_foreach(list, i, x) {
        found |= strcmp(js_str(x, "gate", ""), "architecture") == 0 && strstr(js_str(x, "what", ""), text) &&
                 *js_str(x, "do", "");
    }
    json_decref(list);
    return found;
}

static void test_hindrances(void **state) {
    (void)state;
    static const char yaml[] = "schema: pilotgate.reference/1\nid: test\ntitle: t\nexpectations:\n"
                               "  - {id: secrets, title: r, severity: required, why: w, source: s,\n"
                               "     check: default-secrets, with: {known: [dev]}}\n";
    struct scenario s;
    begin(&s);
    static const char *const no_budgets[] = {"Pod", "Deployment", "PodDisruptionBudget!RBAC: allow list",
                                             NULL};
    read_at(&s, 100, no_budgets);
    const json_t *o = stage_at(&s, 101);
    assert_true(stops(&s, o, "objects of kind PodDisruptionBudget are not read"));
    assert_false(stops(&s, o, "key"));
    assert_false(stops(&s, o, "no reference"));
    json_decref(s.c.ev.reference);
    declare(&s, yaml, NULL);
    o = stage_at(&s, 101);
    expect(o, "INCONCLUSIVE", "");
    assert_true(stops(&s, o, "without the pilot's key"));
    json_decref(s.c.ev.reference);
    s.c.ev.reference = NULL;
    assert_true(stops(&s, NULL, "not in the store"));
    json_object_del(s.c.ev.pilot, "architecture");
    assert_true(stops(&s, NULL, "no reference is declared"));
    end(&s);
}

/* ---- over time, and the same bytes */

static void test_same_bytes(void **state) {
    (void)state;
    struct scenario s;
    begin(&s);
    deployment(&s, 0, MODIFIED, 50, 1);
    read_at(&s, 100, all);
    char *first = json_dumps(stage_at(&s, 101), 0), *second = json_dumps(stage_at(&s, 101), 0);
    assert_string_equal(first, second);
    free(first);
    free(second);
    end(&s);
}

static void test_over(void **state) {
    (void)state;
    struct scenario s;
    struct err e;
    json_t *list;
    begin(&s);
    deployment(&s, 0, MODIFIED, 50, 1);
    deployment(&s, 0, MODIFIED, 80, 3);
    for (double t = 5; t < 100; t += 2)
        read_at(&s, t, all);
    (void)stage_at(&s, 101);
    const struct facts *f = &s.c.stages[0];
    assert_int_equal(gates_architecture_over(&s.c, f, 0, s.c.at_ns, &list, &e), 0);
    /* the budget is there from 11 on, the policy from 12, one replica from 50 to 80 */
    static const char *const verdicts[] = {"FAIL", "PASS", "PASS", "FAIL", "PASS"};
    if (json_array_size(list) != 5)
        fail_msg("%s", json_dumps(list, JSON_INDENT(1)));
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(js_str(json_array_get(list, i), "verdict", ""), verdicts[i]);
    assert_string_equal(js_str(json_array_get(list, 3), "moved.0.id", ""), "replicas");
    assert_string_equal(js_str(json_array_get(list, 3), "moved.0.to", ""), "FAIL");
    assert_string_equal(js_str(json_array_get(list, 4), "rows.replicas", ""), "PASS");
    json_decref(list);
    end(&s);
}

static void test_between(void **state) {
    (void)state;
    static const char *const every[] = {"Pod",
                                        "Deployment",
                                        "StatefulSet",
                                        "DaemonSet",
                                        "CronJob",
                                        "Service",
                                        "ConfigMap",
                                        "Secret",
                                        "Ingress",
                                        "NetworkPolicy",
                                        "Role",
                                        "RoleBinding",
                                        "ServiceAccount",
                                        "PersistentVolumeClaim",
                                        "PodDisruptionBudget",
                                        "HorizontalPodAutoscaler",
                                        NULL};
    struct scenario s;
    struct err e = {""};
    json_t *doc;
    begin(&s);
    read_at(&s, 100, all);
    (void)stage_at(&s, 101);
    assert_int_equal(gates_compare(&s.c, "east/shop", "east/shop", s.c.at_ns, &doc, &e), 0);
    assert_string_equal(js_str(doc, "verdict", ""), "INCONCLUSIVE"); /* the reference's kinds are not all */
    assert_true(json_array_size(json_object_get(doc, "not_compared")) > 0);
    json_decref(doc);
    read_at(&s, 101, every);
    (void)stage_at(&s, 102);
    assert_int_equal(gates_compare(&s.c, "east/shop", "east/shop", s.c.at_ns, &doc, &e), 0);
    assert_string_equal(js_str(doc, "verdict", ""), "PASS");
    json_decref(doc);
    assert_int_equal(gates_compare(&s.c, "east/shop", "west/shop", s.c.at_ns, &doc, &e), -ENOENT);
    assert_non_null(strstr(e.text, "west/shop"));
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass),
        cmocka_unit_test(test_fail_names_place_and_time),
        cmocka_unit_test(test_since_it_is_unmet),
        cmocka_unit_test(test_missing_since_it_went),
        cmocka_unit_test(test_before_it_came),
        cmocka_unit_test(test_always_so_is_at_most),
        cmocka_unit_test(test_recommended_alone_passes),
        cmocka_unit_test(test_tolerated),
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
        cmocka_unit_test(test_hindrances),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_over),
        cmocka_unit_test(test_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
