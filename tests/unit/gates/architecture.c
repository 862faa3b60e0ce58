/* architecture: see architecture.h. */
#include "architecture.h"

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
#include "pilot.h"
#include "reference/reference.h"

const char arch_reference[] = "schema: pilotgate.reference/1\n"
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

const char *const arch_all[] = {"Pod",
                                "Deployment",
                                "StatefulSet",
                                "DaemonSet",
                                "PodDisruptionBudget",
                                "NetworkPolicy",
                                "HorizontalPodAutoscaler",
                                NULL};

void arch_declare(struct scenario *s, const char *yaml, const struct norm_key *key) {
    struct reference r;
    struct err e = {""};
    if (ref_load_text("test.yaml", NULL, yaml, strlen(yaml), key, &r, &e) < 0)
        fail_msg("%s", e.text);
    s->c.ev.reference = json_incref(r.doc);
    json_object_set_new(s->c.ev.pilot, "architecture",
                        json_pack("{s:[s], s:s, s:b}", "use", "test.yaml", "digest", r.digest, "keyed", 0));
    ref_free(&r);
}

void arch_deployment(struct scenario *s, size_t agent, int op, double t, unsigned replicas) {
    char content[32];
    (void)snprintf(content, sizeof content, "d%u", replicas);
    s->replicas = replicas;
    scenario_object(s, agent, op, t, op == ADDED ? 0 : t - 1, "Deployment", "gateway", content);
}

/* Two agents, n1 does the stage's work; what the reference asks for is there from 10 on. */
void arch_begin(struct scenario *s) {
    scenario_begin(s, "{}");
    for (int i = 0; i < 2; i++) {
        size_t a = scenario_agent(s, i ? "n2" : "n1");
        scenario_clock(s, a, 2, 0, 0.001);
    }
    arch_declare(s, arch_reference, NULL);
    scenario_phase(s, 0, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    arch_deployment(s, 0, ADDED, 10, 2);
    scenario_object(s, 0, ADDED, 11, 0, "PodDisruptionBudget", "gateway", "b1");
    scenario_object(s, 0, ADDED, 12, 0, "NetworkPolicy", "gateway", "n1");
}

void arch_read_at(struct scenario *s, double t, const char *const *sources) {
    static const char *const pods[] = {"Pod", NULL};
    scenario_sources(s, 0, t, true, sources);
    scenario_sources(s, 1, t, false, pods);
}

static json_t *judged; /* the result that `stage` is of */

const json_t *arch_stage_at(struct scenario *s, double t) {
    json_decref(judged);
    judged = scenario_judge(s, t);
    return scenario_gate(judged, "architecture");
}

const json_t *arch_judged(void) {
    return judged;
}

void arch_expect(const json_t *stage, const char *verdict, const char *reason) {
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason)) {
        char *text = json_dumps(stage, JSON_INDENT(1));
        fail_msg("wanted %s (%s), got %s: %s\n%s", verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""), text);
    }
}

const json_t *arch_row(const json_t *stage, const char *id) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(stage, "rows"), i, x) {
        if (strcmp(js_str(x, "id", ""), id) == 0)
            return x;
    }
    fail_msg("no row %s", id);
    return NULL;
}

const json_t *arch_difference(const json_t *stage, const char *id) {
    const json_t *d = js_at(arch_row(stage, id), "differences.0");
    assert_non_null(d);
    return d;
}

void arch_expect_since(const json_t *stage, const char *id, double t, const char *bound) {
    char want[WHEN_TEXT_MAX];
    const json_t *d = arch_difference(stage, id);
    (void)when_format(SCENARIO_T0 * WHEN_S + (int64_t)(t * 1e9), 3, want);
    /* a clock's bound widens the moment */
    if (strncmp(js_str(d, "since", ""), want, 19) != 0 || strcmp(js_str(d, "since_bound", ""), bound) != 0)
        fail_msg("%s: since %s (%s), wanted %s (%s)", id, js_str(d, "since", ""),
                 js_str(d, "since_bound", ""), want, bound);
}

void arch_end(struct scenario *s) {
    json_decref(judged);
    judged = NULL;
    scenario_end(s);
}
