/* What must not become a PASS because nobody saw it, and what must not become a FAIL because it was innocent:
 * the good pilot with one more thing in it each. */
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

#define AT(t) ((SCENARIO_T0 + (t)) * WHEN_S)
#define STREAM_ENDED PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED
#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED
#define FIRST_CALL PILOTGATE__PHASE__KIND__KIND_FIRST_CALL
#define FAILED PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED
#define GONE PILOTGATE__PHASE__KIND__KIND_POD_GONE
#define DELETING PILOTGATE__PHASE__KIND__KIND_POD_DELETING
#define DOWN PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE
#define UP PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE

static const struct fault none;

static void expect(pilot_extra *extra, const char *gate, const char *verdict, const char *reason) {
    pilot_expect(&none, extra, 290, gate, verdict, reason);
}

static void config_fails(pilot_extra *extra, const char *reason) {
    expect(extra, "config-safety", "FAIL", reason);
}

static void config_undecided(pilot_extra *extra, const char *reason) {
    expect(extra, "config-safety", "INCONCLUSIVE", reason);
}

static void passes(pilot_extra *extra, const char *gate) {
    expect(extra, gate, "PASS", "");
}

/* The objects of a kind, as they were recorded; fn edits them. */
static void each_object(struct scenario *s, const char *kind, void (*fn)(Pilotgate__Object *o)) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, kind) == 0)
            fn(r->object);
    }
}

static void replace(char **text, const char *with) {
    if (*text != protobuf_c_empty_string)
        free(*text);
    *text = strdup(with);
    assert_non_null(*text);
}

/* ---- tools */

static void list_flickers(struct scenario *s) {
    scenario_tools(s, 0, MODIFIED, 103, 102.5, "");
    scenario_tools(s, 0, MODIFIED, 104, 103.5, TOOLS_2);
    scenario_calls(s, 0, 1, "hold", 101, 103, STREAM_ENDED, 0);
}

static void list_flickers_only(struct scenario *s) {
    scenario_tools(s, 0, MODIFIED, 103, 102.5, "\"echo\",\"sum\"");
    scenario_tools(s, 0, MODIFIED, 104, 103.5, TOOLS_2);
}

static void added_tool_breaks(struct scenario *s) {
    scenario_calls(s, 0, 1, "sum", 112, 112.1, PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR, 0);
}

static void added_tool_comes(struct scenario *s) {
    scenario_calls(s, 0, 1, "sum", 100.5, 100.6, PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR, 0);
}

static void cut(Pilotgate__Object *o) {
    replace(&o->normal, "{\"tools\":[\"ec");
}

static void cut_catalogues(struct scenario *s) {
    each_object(s, "ToolCatalogue", cut);
    scenario_calls(s, 0, 1, "hold", 101, 103, STREAM_ENDED, 0);
}

static void cut_catalogues_only(struct scenario *s) {
    each_object(s, "ToolCatalogue", cut);
}

static void no_net_effect(struct scenario *s) {
    scenario_release(s, 0, ADDED, 250, 250.2, 4, "pending-upgrade", "Preparing upgrade", "m1");
    scenario_tools(s, 0, MODIFIED, 251, 250.5, "");
    scenario_tools(s, 0, MODIFIED, 252, 251.5, TOOLS_1);
    scenario_release(s, 0, MODIFIED, 250, 253, 4, "deployed", "Upgrade complete", "m1");
}

static void tool_passes_by(struct scenario *s) {
    scenario_tools(s, 0, MODIFIED, 100.8, 100.4, "\"echo\",\"hold\",\"brief\"");
    scenario_tools(s, 0, MODIFIED, 101.2, 100.9, TOOLS_1);
    scenario_calls(s, 0, 1, "brief", 101.1, 101.3, PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR, 0);
}

/* Of an object that changed, and nobody said why, nothing follows; a person's word is to be judged. */
static void object_alone(struct scenario *s) {
    s->c.rubric.rules.merge_gap_ns = 10 * WHEN_S;
    scenario_object(s, 0, MODIFIED, 250, 249, "ConfigMap", "other", "o1");
}

static void mark_change(struct scenario *s, int t) {
    json_t *mark = json_pack("{s:s, s:s, s:s, s:I}", "stage", "east/shop", "what", "change", "by", "Ann",
                             "t_ns", (json_int_t)AT(t));
    assert_int_equal(json_array_append_new(s->c.ev.marks, mark), 0);
}

static void marked(struct scenario *s) {
    s->c.rubric.rules.merge_gap_ns = 10 * WHEN_S;
    mark_change(s, 250);
}

/* Somebody switched something by hand; a call was dropped, and Helm came a little later. */
static void marked_before_a_release(struct scenario *s) {
    s->c.rubric.rules.merge_gap_ns = 10 * WHEN_S;
    mark_change(s, 92);
    scenario_calls(s, 0, 1, "hold", 91, 94, STREAM_ENDED, 0);
}

/* The product serves, and its install is not long ago. */
static void marked_after_the_install(struct scenario *s) {
    mark_change(s, 40);
    scenario_calls(s, 0, 1, "hold", 39, 42, STREAM_ENDED, 0);
}

static void tools_are_judged_by_first_and_last(void **state) {
    (void)state;
    config_fails(list_flickers, "1 calls dropped");
    config_undecided(list_flickers_only, "the tool hold was not in the catalogue for a while");
    config_fails(added_tool_breaks, "1 interrupted");
    passes(added_tool_comes, "config-safety");
    passes(tool_passes_by, "config-safety");
    config_fails(cut_catalogues, "1 calls dropped");
    config_undecided(cut_catalogues_only, "names of the tools");
    config_undecided(no_net_effect, "changed nothing");
    passes(object_alone, "config-safety");
    config_undecided(marked, "changed nothing");
    config_fails(marked_before_a_release, "1 calls dropped");
    config_fails(marked_after_the_install, "1 calls dropped");
}

/* ---- what nobody saw */

static void outlasting_call(struct scenario *s) {
    scenario_open_call(s, 0, 299.5, 101);
}

/* Nothing was asked of the collector since: before it or after it, who knows. */
static void step(struct scenario *s) {
    scenario_timing(s, 0, AT(140), PILOTGATE__TIMING__KIND__KIND_CLOCK_STEP, 10 * WHEN_S, 0);
}

static void unset_gateway(struct scenario *s) {
    assert_int_equal(json_object_del(s->stage, "gateway"), 0);
}

static void wrong_gateway(struct scenario *s) {
    assert_int_equal(json_object_set_new(s->stage, "gateway", json_string("Deployment/gatway")), 0);
}

static void make_two(Pilotgate__Object *o) {
    replace(&o->normal, "{\"spec\":{\"replicas\":2}}");
}

static void two_replicas(struct scenario *s) {
    each_object(s, "Deployment", make_two);
}

static void pod_still_ending(struct scenario *s) {
    scenario_phase(s, 0, 201, DELETING, "Pod/gateway-1", "");
    replace(&s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->owner, "Deployment/gateway");
}

static void drop_when_pod_ends(struct scenario *s) {
    pod_still_ending(s);
    scenario_phase(s, 0, 240, GONE, "Pod/gateway-1", "");
    replace(&s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->owner, "Deployment/gateway");
    scenario_calls(s, 0, 1, "hold", 230, 239, STREAM_ENDED, REUSED);
}

static void one_connection(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.watched.n; i++) {
        Pilotgate__Record *r = s->c.ev.watched.items[i].r;
        if (r->body_case != PILOTGATE__RECORD__BODY_CALLS)
            continue;
        for (size_t k = 0; k < r->calls->n_connection; k++)
            r->calls->connection[k] = 7;
    }
}

static void hide_row(struct scenario *s) {
    scenario_calls(s, 0, 1, "hold", 101, 103, STREAM_ENDED, 0);
    struct ev_list *l = &s->c.ev.records;
    wire_record_free(&l->items[--l->n].r);
}

/* The second agent goes on telling that it is there, and its calls are all unsent, for its own reasons. */
static void one_agent_calls_nobody(struct scenario *s) {
    struct ev_list *l = &s->c.ev.watched;
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i].r->body_case == PILOTGATE__RECORD__BODY_CALLS && l->items[i].stream == 1)
            wire_record_free(&l->items[i].r);
        else
            l->items[kept++] = l->items[i];
    }
    l->n = kept;
    scenario_calls(s, 1, 1, "hold", 101, 101, PILOTGATE__OUTCOME__OUTCOME_ABORTED,
                   PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT);
}

static void unseen_is_no_pass(void **state) {
    (void)state;
    config_undecided(one_agent_calls_nobody, "no call from node n2 met the change");
    config_undecided(outlasting_call, "nobody saw their end");
    config_undecided(step, "clock");
    config_undecided(unset_gateway, "which workload is the gateway");
    config_undecided(wrong_gateway, "Deployment/gatway");
    config_undecided(two_replicas, "2 replicas");
    config_undecided(one_connection, "too few calls");
    expect(pod_still_ending, "config-safety", "PENDING", "Pod/gateway-1 was told to end");
    config_fails(drop_when_pod_ends, "1 calls dropped");
    config_fails(hide_row, "1 calls dropped");
}

static void a_quick_restart_is_a_gap(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &(struct fault){.killed_in_change = 1});
    size_t third = s.c.ev.n_streams - 1;
    scenario_coverage(&s, third, 102.5, 112, 0);
    ev_sort(&s.c.ev.watched);
    json_t *result = scenario_judge(&s, 290);
    const json_t *stage = scenario_gate(result, "config-safety");
    assert_string_equal(js_str(stage, "verdict", ""), "INCONCLUSIVE");
    assert_non_null(strstr(js_str(stage, "reason", ""), "nobody watched on node n2"));
    json_decref(result);
    scenario_end(&s);
}

/* ---- not in service */

static void before_the_first_call(struct scenario *s) {
    scenario_object(s, 0, ADDED, -100, 0, "Secret", "licence", "l1");
    scenario_calls(s, 0, 1, "hold", -99, -98.9, PILOTGATE__OUTCOME__OUTCOME_REFUSED,
                   PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT);
}

static void reinstall(struct scenario *s) {
    scenario_release(s, 0, MODIFIED, 200, 240, 3, "uninstalling", "Deletion in progress", "m1");
    scenario_object(s, 0, DELETED, 240.5, 240, "ConfigMap", "gateway-config", "");
    scenario_release(s, 0, DELETED, 200, 241, 3, "uninstalled", "", "m1");
    scenario_calls(s, 0, 3, "hold", 241, 241.1, PILOTGATE__OUTCOME__OUTCOME_REFUSED, 0);
    scenario_release(s, 0, ADDED, 260, 260.2, 1, "pending-install", "Initial install underway", "m1");
    scenario_object(s, 0, ADDED, 260.5, 240.5, "ConfigMap", "gateway-config", "c1");
    scenario_release(s, 0, MODIFIED, 260, 262, 1, "deployed", "Install complete", "m1");
    scenario_calls(s, 0, 3, "hold", 261, 261.1, PILOTGATE__OUTCOME__OUTCOME_REFUSED, 0);
}

static void uninstalled_at_once(struct scenario *s) {
    scenario_release(s, 0, MODIFIED, 200, 210, 3, "uninstalling", "Deletion in progress", "m1");
    scenario_calls(s, 0, 3, "hold", 209, 211, PILOTGATE__OUTCOME__OUTCOME_RESET, 0);
}

static void unrelated_object(struct scenario *s) {
    scenario_object(s, 0, ADDED, 30, 0, "ConfigMap", "leader", "l1");
    scenario_object(s, 0, MODIFIED, 260, 259, "ConfigMap", "leader", "l2");
}

static void what_is_not_in_service_does_not_fail(void **state) {
    (void)state;
    passes(before_the_first_call, "config-safety");
    passes(reinstall, "config-safety");
    config_undecided(uninstalled_at_once, "uninstall");
    passes(unrelated_object, "config-safety");
}

static void a_reinstall_is_seen_as_one(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &none);
    reinstall(&s);
    json_t *result = scenario_judge(&s, 290);
    json_t *changes;
    struct err e;
    assert_int_equal(gates_changes(&s.c, NULL, &changes, &e), 0);
    size_t n = json_array_size(changes);
    assert_string_equal(js_str(json_array_get(changes, n - 1), "id", ""), "shop.v1~2");
    assert_non_null(strstr(js_str(json_array_get(changes, n - 2), "reason", ""), "uninstall"));
    assert_int_equal(json_array_size(js_at(scenario_gate(result, "helm-deployment"), "installs")), 2);
    json_decref(changes);
    json_decref(result);
    scenario_end(&s);
}

/* ---- deployment */

static void mark_t0(struct scenario *s, int64_t t, const char *by) {
    assert_int_equal(json_array_append_new(s->c.ev.marks, json_pack("{s:s, s:s, s:s, s:I, s:s}", "stage",
                                                                    "east/shop", "what", "t0", "by", by,
                                                                    "t_ns", (json_int_t)t, "at", "then")),
                     0);
}

static void mark_after_the_call(struct scenario *s) {
    mark_t0(s, AT(50), "ann");
}

static void mark_before_the_call(struct scenario *s) {
    mark_t0(s, AT(4), "ann");
}

static void mark_by_nobody(struct scenario *s) {
    mark_t0(s, AT(4), "");
}

static void call_on_unknown_clock(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.n_streams; i++)
        s->c.ev.streams[i].n_clock = 0;
}

static void first_call_after_the_mark(struct scenario *s) {
    mark_t0(s, AT(50), "ann");
    scenario_phase(s, 1, 60, FIRST_CALL, "Probe/hold", "custom-server");
}

static void deployment_doubts(void **state) {
    (void)state;
    expect(mark_after_the_call, "helm-deployment", "INCONCLUSIVE", "before the clock started");
    expect(mark_before_the_call, "helm-deployment", "PASS", "6.01 s from the marked t0");
    expect(mark_by_nobody, "helm-deployment", "PASS", "from clean namespace");
    expect(call_on_unknown_clock, "helm-deployment", "INCONCLUSIVE", "clock");
    expect(first_call_after_the_mark, "helm-deployment", "INCONCLUSIVE", "nothing was installed since");
}

/* Two days after the namespace was made the agents come, and their first call succeeds. */
static void a_late_witness_fails_nobody(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, RULES);
    size_t a = scenario_agent(&s, "n1");
    double two_days = 2 * 86400.0;
    scenario_clock(&s, a, two_days, 0, 0.001);
    scenario_phase(&s, a, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    s.c.ev.records.items[1].r->wall_ns = AT(2 * 86400);
    scenario_release(&s, a, LISTED, 5, two_days + 1, 1, "deployed", "Install complete", "m1");
    scenario_phase(&s, a, two_days + 2, FIRST_CALL, "Probe/hold", "custom-server");
    json_t *result = scenario_judge(&s, two_days + 60);
    const json_t *stage = scenario_gate(result, "helm-deployment");
    assert_string_equal(js_str(stage, "verdict", ""), "INCONCLUSIVE");
    assert_non_null(strstr(js_str(stage, "reason", ""), "the first agent came only"));
    json_decref(result);
    scenario_end(&s);
}

/* ---- rollback */

static void other_node_stays(struct scenario *s) {
    scenario_tools(s, 1, MODIFIED, 203, 202.5, TOOLS_2);
}

static void document_unreadable(struct scenario *s) {
    scenario_unreadable(s, 0, 203, "ProductConfiguration", "HTTP 502");
    replace(&s->c.ev.records.items[s->c.ev.records.n - 1].r->object->name, "caddy");
}

static void document_silent(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT &&
            strcmp(r->object->kind, "ProductConfiguration") == 0 && r->object->t_wall_ns > AT(90))
            r->object->own = 1; /* as if it had never been read again */
    }
}

static void disown(Pilotgate__Object *o) {
    replace(&o->release, "");
}

static void no_live_objects(struct scenario *s) {
    each_object(s, "ConfigMap", disown);
    each_object(s, "Deployment", disown);
}

static void secrets_unreadable(struct scenario *s) {
    scenario_unreadable(s, 0, 3, "ConfigMap", "RBAC: allow list on configmaps");
    Pilotgate__Record *r = s->c.ev.records.items[s->c.ev.records.n - 1].r;
    r->object->t_wall_ns = AT(280);
}

static void old_pod_crashes(struct scenario *s) {
    scenario_phase(s, 0, 201, FAILED, "Pod/gateway-bad", "CrashLoopBackOff");
    scenario_phase(s, 0, 204, GONE, "Pod/gateway-bad", "");
}

static void removed_workload_is_down(struct scenario *s) {
    scenario_object(s, 0, ADDED, 101, 0, "Deployment", "extra", "x1");
    scenario_phase(s, 0, 150, DOWN, "Deployment/extra", "");
    scenario_object(s, 0, DELETED, 201, 200, "Deployment", "extra", "");
}

static void flapping_workload(struct scenario *s) {
    scenario_phase(s, 0, 205.0, DOWN, "Deployment/gateway", "");
    replace(&s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->resource_version, "1");
    scenario_phase(s, 0, 205.2, UP, "Deployment/gateway", "");
    replace(&s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->resource_version, "2");
    scenario_phase(s, 0, 205.4, DOWN, "Deployment/gateway", "");
    replace(&s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->resource_version, "3");
}

static void empty_manifest(Pilotgate__Object *o) {
    char *p = strstr(o->normal, "\"manifest_digest\"");
    if (p)
        memcpy(p, "\"manifest_dig_st\"", 17);
}

static void manifest_unknown(struct scenario *s) {
    each_object(s, "HelmRelease", empty_manifest);
}

static void no_calls_at_rollback(struct scenario *s) {
    struct ev_list *l = &s->c.ev.watched;
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->items[i].r->body_case == PILOTGATE__RECORD__BODY_CALLS && l->items[i].r->wall_ns > AT(150))
            wire_record_free(&l->items[i].r);
        else
            l->items[kept++] = l->items[i];
    }
    l->n = kept;
}

/* Only a quota speaks there: nothing was called. */
static void only_unsent_at_rollback(struct scenario *s) {
    no_calls_at_rollback(s);
    scenario_calls(s, 0, 1, "hold", 201, 201, PILOTGATE__OUTCOME__OUTCOME_ABORTED,
                   PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT);
}

static void rollback_doubts(void **state) {
    (void)state;
    expect(other_node_stays, "rollback", "FAIL", "ToolCatalogue/canary on n2");
    expect(document_unreadable, "rollback", "INCONCLUSIVE", "caddy on n1 was not read after");
    expect(document_silent, "rollback", "INCONCLUSIVE", "caddy on n1 was not read after");
    expect(no_live_objects, "rollback", "INCONCLUSIVE", "no live object");
    expect(secrets_unreadable, "rollback", "INCONCLUSIVE", "configmaps");
    expect(manifest_unknown, "rollback", "INCONCLUSIVE", "rendered manifest");
    expect(no_calls_at_rollback, "rollback", "INCONCLUSIVE", "no call met");
    expect(only_unsent_at_rollback, "rollback", "INCONCLUSIVE", "no call met");
    expect(flapping_workload, "rollback", "FAIL", "Deployment/gateway is not available");
    passes(old_pod_crashes, "rollback");
    passes(removed_workload_is_down, "rollback");
}

/* ---- the store itself, and rollbacks by content */

static void unknown_family(struct scenario *s) {
    s->c.ev.unknown_records = 2;
}

/* "git revert": no revision says so, its content does. */
static void reverted(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        char *p =
            r->body_case == PILOTGATE__RECORD__BODY_OBJECT ? strstr(r->object->normal, "Rollback to") : NULL;
        if (p)
            memcpy(p, "Upgraded on", 11);
    }
}

static void the_store_has_holes(void **state) {
    (void)state;
    static const char *const gates[] = {"helm-deployment", "config-safety", "rollback"};
    for (size_t i = 0; i < 3; i++) {
        expect(unknown_family, gates[i], "INCONCLUSIVE", "2 records are of a kind");
    }
    expect(reverted, "rollback", "PASS", "revision 3 restored revision 1");
}

/* The agents come after the product; then a drill's commands make two changes, without Helm. */
static void an_adopted_product_is_judged_from_then_on(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, RULES);
    assert_int_equal(json_object_del(s.stage, "gateway") | json_object_del(s.stage, "release"), 0);
    size_t a[2] = {scenario_agent(&s, "n1"), scenario_agent(&s, "n2")};
    for (int i = 0; i < 2; i++) {
        scenario_clock(&s, a[i], 20, 0, 0.001);
        scenario_tools(&s, a[i], LISTED, 21, 0, TOOLS_1);
        scenario_phase(&s, a[i], 22, FIRST_CALL, "Probe/hold", "custom-server");
        scenario_calls(&s, a[i], 40, "hold", 96, 104, OK, 0);
        scenario_calls(&s, a[i], 40, "hold", 96, 104, OK, REUSED);
        scenario_tools(&s, a[i], MODIFIED, 102, 101.5, TOOLS_2);
        scenario_calls(&s, a[i], 1, "sum", 105, 105.1, OK, 0);
        scenario_tools(&s, a[i], MODIFIED, 132, 131.5, TOOLS_1);
        scenario_calls(&s, a[i], 1, "sum", 132.5, 132.6, PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR, 0);
        scenario_coverage(&s, a[i], 20, 300, 0);
    }
    scenario_object(&s, a[0], LISTED, 21, 0, "ConfigMap", "gateway-config", "c1");
    json_t *drill = json_pack("{s:s, s:s, s:I, s:[{s:I}, {s:I}]}", "name", "d", "stage", "east/shop",
                              "begin_ns", (json_int_t)AT(90), "iterations", "begin_ns", (json_int_t)AT(100),
                              "begin_ns", (json_int_t)AT(130));
    assert_int_equal(json_array_append_new(s.c.ev.drills, drill), 0);
    json_t *result = scenario_judge(&s, 290);
    const json_t *stage = scenario_gate(result, "config-safety");
    const json_t *changes = js_at(stage, "changes");
    assert_int_equal(json_array_size(changes), 2);
    assert_string_equal(js_str(stage, "changes.0.verdict", ""), "PASS");
    assert_memory_equal(js_str(stage, "changes.0.id", ""), "t20", 3);
    assert_int_equal(js_int(stage, "changes.1.measured.excluded", 0), 2);
    assert_true(js_bool(stage, "changes.1.too_few", false));
    assert_string_equal(js_str(scenario_gate(result, "helm-deployment"), "verdict", ""), "PENDING");
    json_decref(result);
    scenario_end(&s);
}

/* One call is lost after the drill's command, or before it, and before anything shows of the change. */
static void lost_before_the_first_sign(double command, const char *verdict) {
    struct scenario s;
    scenario_begin(&s, RULES);
    assert_int_equal(json_object_del(s.stage, "gateway") | json_object_del(s.stage, "release"), 0);
    size_t a[2] = {scenario_agent(&s, "n1"), scenario_agent(&s, "n2")};
    for (int i = 0; i < 2; i++) {
        scenario_clock(&s, a[i], 20, 0, 0.001);
        scenario_tools(&s, a[i], LISTED, 21, 0, TOOLS_1);
        scenario_phase(&s, a[i], 22, FIRST_CALL, "Probe/hold", "custom-server");
        scenario_calls(&s, a[i], 40, "hold", 96, 104, OK, 0);
        scenario_calls(&s, a[i], 40, "hold", 96, 104, OK, REUSED);
        scenario_tools(&s, a[i], MODIFIED, 102, 101.5, TOOLS_2);
        scenario_calls(&s, a[i], 1, "sum", 105, 105.1, OK, 0);
        scenario_coverage(&s, a[i], 20, 300, 0);
    }
    scenario_calls(&s, a[0], 1, "hold", 97, 100.5, PILOTGATE__OUTCOME__OUTCOME_RESET, 0);
    json_t *drill = json_pack("{s:s, s:s, s:I, s:[{s:I}]}", "name", "d", "stage", "east/shop", "begin_ns",
                              (json_int_t)AT(90), "iterations", "begin_ns", (json_int_t)AT(command));
    assert_int_equal(json_array_append_new(s.c.ev.drills, drill), 0);
    json_t *result = scenario_judge(&s, 290);
    assert_string_equal(js_str(scenario_gate(result, "config-safety"), "changes.0.verdict", ""), verdict);
    json_decref(result);
    scenario_end(&s);
}

static void a_drill_answers_for_what_follows_its_command(void **state) {
    (void)state;
    lost_before_the_first_sign(100, "FAIL");
    lost_before_the_first_sign(101, "PASS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tools_are_judged_by_first_and_last),
        cmocka_unit_test(unseen_is_no_pass),
        cmocka_unit_test(a_quick_restart_is_a_gap),
        cmocka_unit_test(what_is_not_in_service_does_not_fail),
        cmocka_unit_test(a_reinstall_is_seen_as_one),
        cmocka_unit_test(deployment_doubts),
        cmocka_unit_test(a_late_witness_fails_nobody),
        cmocka_unit_test(rollback_doubts),
        cmocka_unit_test(the_store_has_holes),
        cmocka_unit_test(an_adopted_product_is_judged_from_then_on),
        cmocka_unit_test(a_drill_answers_for_what_follows_its_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
