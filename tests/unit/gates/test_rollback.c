/* Rollbacks of every kind: said by Helm, by Flux or by nobody; what is left over, missing or different, and
 * what may differ. One gateway "shop" with two revisions; each test says what else there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "gates/gates.h"
#include "pilot.h"

#define UP PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE
#define DOWN PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE
#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED

/* With what lies elsewhere: another namespace, an object in it, and one whose name the API server makes. */
#define MANIFEST(deployment, secret)                                                                    \
    "[{\"kind\":\"Deployment\",\"name\":\"gateway\",\"namespace\":\"\",\"digest\":\"" deployment "\"}," \
    "{\"kind\":\"Namespace\",\"name\":\"other\",\"namespace\":\"\",\"digest\":\"mn\"},"                 \
    "{\"kind\":\"ConfigMap\",\"name\":\"there\",\"namespace\":\"other\",\"digest\":\"mo\"},"            \
    "{\"kind\":\"ConfigMap\",\"name\":\"\",\"namespace\":\"\",\"digest\":\"mg\"},"                      \
    "{\"kind\":\"ConfigMap\",\"name\":\"gateway-config\",\"namespace\":\"shop\",\"digest\":\"mc\"},"    \
    "{\"kind\":\"ServiceAccount\",\"name\":\"gateway\",\"namespace\":\"\",\"digest\":\"ma\"},"          \
    "{\"kind\":\"Secret\",\"name\":\"tls\",\"namespace\":\"\",\"digest\":\"" secret "\"}]"

/* What is different from a rollback that passes. */
struct story {
    const char *description, *content, *manifest, *inputs; /* of revision 3 */
    const char *status2;                                   /* revision 2 ended so; NULL: deployed */
    const char *secret, *checksum;                         /* after it */
    const char *replicas;                                  /* after it; NULL: 1 */
    bool autoscaler, annotated, reordered, lost_late, later_kind, leftover, job, missing, same_config,
        no_call_after, hook, never_deployed, no_secret;
    double up;         /* the Deployment is available again then; 0: it was all the time */
    double down_again; /* and is not from then on */
    const char *image; /* a difference in the Deployment's normal form */
};

static const struct story good = {.description = "Rollback to 1", .content = "m1"};

/* The object that was told last is nobody's. */
static void disown(struct scenario *s) {
    s->c.ev.records.items[s->c.ev.records.n - 1].r->object->release[0] = 0;
}

static void live(struct scenario *s, int op, double t, const struct story *x, bool after) {
    char text[512];
    const char *checksum = after && x->checksum ? x->checksum : "c1";
    const char *replicas = after && x->replicas ? x->replicas : "1";
    const char *secret = after && x->secret ? x->secret : "h1";
    (void)snprintf(
        text, sizeof text,
        "{\"kind\":\"Deployment\",%s\"spec\":{\"replicas\":%s,\"template\":{\"metadata\":{"
        "\"annotations\":{\"checksum/"
        "secret\":\"%s\"}},\"spec\":{\"image\":\"%s\",\"env\":[{\"name\":\"%s\"},{\"name\":\"%s\"}]}}}}",
        after && x->annotated ? "\"metadata\":{\"annotations\":{\"helm.sh/hook\":\"test\"}}," : "", replicas,
        checksum, after && x->image ? x->image : "gateway:1", after && x->reordered ? "B" : "A",
        after && x->reordered ? "A" : "B");
    s->normal = text;
    scenario_object(s, 0, op, t, t - 0.4, "Deployment", "gateway", text);
    if (!x->no_secret) {
        (void)snprintf(text, sizeof text, "{\"kind\":\"Secret\",\"data\":{\"ca.crt\":\"keyed:%s\"}}", secret);
        scenario_object(s, 0, op, t, t - 0.4, "Secret", "tls", text);
    }
    s->normal = NULL;
}

static void read_product(struct scenario *s, double t, int op, const char *tools, const char *document) {
    for (size_t a = 0; a < 2; a++)
        scenario_tools(s, a, op, t + 0.1 * (double)a, op == LISTED ? 0 : t - 0.5, tools);
    scenario_object(s, 0, op, t, t - 0.5, "ProductConfiguration", "caddy", document);
}

static void calls(struct scenario *s, double from, double to) {
    for (size_t a = 0; a < 2; a++) {
        scenario_calls(s, a, 40, "hold", from, to, OK, 0);
        scenario_calls(s, a, 40, "hold", from, to, OK, REUSED);
    }
}

static void first_revision(struct scenario *s, const struct story *x) {
    scenario_phase(s, 0, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    scenario_object(s, 0, LISTED, 3, 0, "Namespace", "shop", "n1");
    disown(s);
    s->manifest = MANIFEST("md", "ms");
    s->inputs = "i1";
    scenario_release(s, 0, ADDED, 5, 5.2, 1, "pending-install", "Initial install underway", "m1");
    scenario_object(s, 0, ADDED, 5.5, 0, "ConfigMap", "gateway-config", "c1");
    live(s, ADDED, 5.5, x, false);
    if (x->autoscaler) {
        s->normal = "{\"spec\":{\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"gateway\"}}}";
        scenario_object(s, 0, ADDED, 5.5, 0, "HorizontalPodAutoscaler", "gateway", "hpa");
        s->normal = NULL;
    }
    if (x->job)
        scenario_object(s, 0, ADDED, 5.5, 0, "Job", "migrate", "j1");
    scenario_phase(s, 0, 7, UP, "Deployment/gateway", "");
    scenario_release(s, 0, MODIFIED, 5, 8, 1, "deployed", "Install complete", "m1");
    scenario_phase(s, 0, 10, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL, "Probe/hold", "custom-server");
    read_product(s, 9, LISTED, TOOLS_1, "p1");
}

static void second_revision(struct scenario *s, const struct story *x) {
    bool failed = x->status2 != NULL;
    s->manifest = MANIFEST("md", "ms2");
    s->inputs = "i2";
    scenario_release(s, 0, ADDED, 100, 100.3, 2, "pending-upgrade", "Preparing upgrade", "m2");
    if (!x->same_config)
        scenario_object(s, 0, MODIFIED, 100.5, 90, "ConfigMap", "gateway-config", "c2");
    if (x->leftover)
        scenario_object(s, 0, ADDED, 101, 100, "Service", "debug", "s1");
    if (x->hook)
        scenario_phase(s, 0, 100.4, PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED, "Job/migrate",
                       "pre-upgrade");
    if (!failed && !x->same_config)
        read_product(s, 102, MODIFIED, TOOLS_2, "p2");
    scenario_release(s, 0, MODIFIED, 100, 103, 2, failed ? x->status2 : "deployed", "Upgrade", "m2");
    calls(s, 98, 106);
    if (!failed)
        scenario_calls(s, 0, 1, "sum", 104, 104.1, OK, 0);
}

static void third_revision(struct scenario *s, const struct story *x) {
    bool failed = x->status2 != NULL;
    s->manifest = x->manifest ? x->manifest : MANIFEST("md", "ms");
    s->inputs = x->inputs ? x->inputs : "i1";
    scenario_release(s, 0, ADDED, 200, 200.2, 3, "pending-rollback", x->description, x->content);
    if (x->up > 0)
        scenario_phase(s, 0, 200.6, DOWN, "Deployment/gateway", "");
    if (!x->same_config)
        scenario_object(s, 0, MODIFIED, 200.5, 190, "ConfigMap", "gateway-config", "c1");
    live(s, MODIFIED, 200.5, x, true);
    if (x->later_kind) { /* agents were upgraded meanwhile, and now watch ServiceAccounts and Roles, too */
        scenario_object(s, 0, LISTED, 150, 0, "ServiceAccount", "gateway", "sa");
        s->created = 5;
        scenario_object(s, 0, LISTED, 150, 0, "Role", "gateway", "r1");
        s->created = 101;
        if (x->leftover)
            scenario_object(s, 0, LISTED, 150, 0, "RoleBinding", "debug", "r2");
        s->created = 0;
    }
    if (x->job)
        scenario_object(s, 0, DELETED, 200.6, 200, "Job", "migrate", "");
    if (x->missing)
        scenario_object(s, 0, DELETED, 200.6, 200, "Secret", "tls", "");
    if (!failed && !x->same_config)
        read_product(s, 202, MODIFIED, TOOLS_1, "p1");
    else
        scenario_object(s, 0, PILOTGATE__OBJECT__OP__OP_CONFIRMED, 203, 202, "ProductConfiguration", "caddy",
                        "p1");
    for (size_t a = 0; a < 2 && (failed || x->same_config); a++)
        scenario_tools(s, a, PILOTGATE__OBJECT__OP__OP_CONFIRMED, 203, 202, TOOLS_1);
    if (!x->never_deployed)
        scenario_release(s, 0, MODIFIED, 200, 204, 3, "deployed", x->description, x->content);
    if (x->up > 0)
        scenario_phase(s, 0, x->up, UP, "Deployment/gateway", "");
    if (x->down_again > 0)
        scenario_phase(s, 0, x->down_again, DOWN, "Deployment/gateway", "");
    calls(s, 198, 206);
    if (!x->no_call_after)
        scenario_calls(s, 0, 3, "hold", 208, 209, OK, REUSED);
    if (x->lost_late) { /* its catalogue came late, and a call was dropped with it */
        read_product(s, 250, MODIFIED, TOOLS_1, "p1");
        scenario_calls(s, 0, 1, "hold", 249, 251, PILOTGATE__OUTCOME__OUTCOME_RESET, 0);
    }
}

static void tell(struct scenario *s, const struct story *x) {
    scenario_begin(s, RULES);
    for (int i = 1; i <= 2; i++) {
        char node[8];
        (void)snprintf(node, sizeof node, "n%d", i);
        size_t a = scenario_agent(s, node);
        scenario_clock(s, a, 2, 0, 0.001);
    }
    first_revision(s, x);
    second_revision(s, x);
    third_revision(s, x);
    for (size_t a = 0; a < 2; a++)
        scenario_coverage(s, a, 3, 300, 0);
}

/* The stage, to be looked at further; *result is the caller's. */
static const json_t *judged(const struct story *x, double at, const char *verdict, const char *reason,
                            json_t **result) {
    struct scenario s;
    tell(&s, x);
    *result = scenario_judge(&s, at);
    const json_t *stage = scenario_gate(*result, "rollback");
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason))
        fail_msg("wanted %s (%s), got %s: %s", verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""));
    scenario_end(&s);
    return stage;
}

static void expect(const struct story *x, const char *verdict, const char *reason) {
    json_t *result;
    (void)judged(x, 290, verdict, reason, &result);
    json_decref(result);
}

/* The entry of one object in a list of the only rollback. */
static const json_t *entry(const json_t *stage, const char *list, const char *object) {
    char path[64];
    size_t i;
    json_t *o;
    (void)snprintf(path, sizeof path, "rollbacks.0.%s", list);
    json_array_foreach(js_at(stage, path), i, o) {
        if (strcmp(js_str(o, "object", js_str(o, "what", "")), object) == 0)
            return o;
    }
    return NULL;
}

static void whoever_rolls_back(void **state) {
    (void)state;
    expect(&good, "PASS", "revision 3 restored revision 1: manifest, 3 live objects");
    /* --rollback-on-failure, and Flux's remediation: an upgrade failed, and nobody drilled */
    struct story failed = good;
    failed.status2 = "failed";
    expect(&failed, "PASS", "revision 3 restored revision 1");
    /* a git revert is an upgrade to Helm; its content says what it is */
    struct story revert = good;
    revert.description = "Upgrade complete";
    json_t *result;
    const json_t *stage = judged(&revert, 290, "PASS", "revision 3 restored revision 1", &result);
    assert_string_equal(js_str(stage, "rollbacks.0.recognised", ""), "by its rendered manifest");
    json_decref(result);
    /* an upgrade to something new is none */
    struct story upgrade = {.description = "Upgrade complete", .content = "m3", .inputs = "i3"};
    expect(&upgrade, "PENDING", "no rollback was witnessed");
}

static void what_is_left_over_or_missing_fails(void **state) {
    (void)state;
    struct story x = good;
    json_t *result;
    x.leftover = true;
    const json_t *stage = judged(&x, 290, "FAIL", "1 of them left over, first Service/debug", &result);
    assert_string_equal(js_str(entry(stage, "objects", "Service/debug"), "what", ""), "left over");
    assert_string_equal(json_string_value(js_at(stage, "rollbacks.0.leftover.0")), "Service/debug");
    assert_int_equal(json_array_size(js_at(stage, "rollbacks.0.missing")), 0);
    assert_int_equal(js_int(stage, "rollbacks.0.measured.left_over", 0), 1);
    assert_int_equal(js_int(stage, "rollbacks.0.measured.equal", 0), 3 + 3);
    json_decref(result);
    x = good;
    x.missing = true;
    stage = judged(&x, 290, "FAIL", "1 of them missing, first Secret/tls", &result);
    assert_string_equal(js_str(entry(stage, "objects", "Secret/tls"), "what", ""), "missing");
    json_decref(result);
    /* named by the manifest, and never seen alive */
    x = good;
    x.no_secret = true;
    expect(&x, "PASS", "2 live objects"); /* nobody told of any Secret: their kind is not watched */
    x.status2 = "failed";
    stage = judged(&x, 290, "PASS", "", &result);
    assert_string_equal(json_string_value(js_at(stage, "rollbacks.0.not_compared.0")),
                        "ServiceAccount/gateway");
    assert_string_equal(json_string_value(js_at(stage, "rollbacks.0.not_compared.1")), "Secret/tls");
    json_decref(result);
}

/* What agents learned to watch after the baseline is not held against the rollback. */
static void kinds_that_were_not_watched_are_not_compared(void **state) {
    (void)state;
    struct story x = good;
    json_t *result;
    x.later_kind = true;
    const json_t *stage = judged(&x, 290, "PASS", "3 live objects", &result);
    assert_int_equal(json_array_size(js_at(stage, "rollbacks.0.not_compared")), 2);
    json_decref(result);
    x.leftover = true; /* made under revision 2 */
    stage = judged(&x, 290, "FAIL", "2 of them left over", &result);
    assert_string_equal(js_str(entry(stage, "objects", "RoleBinding/debug"), "what", ""), "left over");
    json_decref(result);
}

static void differences_are_told_by_pointer(void **state) {
    (void)state;
    struct story x = good;
    json_t *result;
    x.image = "gateway:2";
    const json_t *stage =
        judged(&x, 290, "FAIL", "first Deployment/gateway at /spec/template/spec/image", &result);
    const json_t *o = entry(stage, "objects", "Deployment/gateway");
    assert_string_equal(js_str(o, "fields.0.pointer", ""), "/spec/template/spec/image");
    assert_string_equal(js_str(o, "fields.0.before", ""), "gateway:1");
    assert_string_equal(js_str(o, "fields.0.after", ""), "gateway:2");
    assert_int_equal(json_array_size(js_at(o, "fields")), 1);
    assert_string_equal(json_string_value(js_at(stage, "rollbacks.0.different.0")), "Deployment/gateway");
    json_decref(result);
}

static void an_autoscaler_may_scale(void **state) {
    (void)state;
    struct story x = good;
    json_t *result;
    x.replicas = "3";
    expect(&x, "FAIL", "Deployment/gateway at /spec/replicas");
    x.autoscaler = true;
    const json_t *stage = judged(&x, 290, "PASS", "1 differ as the rubric lets them", &result);
    assert_string_equal(js_str(entry(stage, "objects", "Deployment/gateway"), "what", ""), "tolerated");
    assert_non_null(strstr(js_str(entry(stage, "objects", "Deployment/gateway"), "why", ""), "autoscaler"));
    json_decref(result);
    x.image = "gateway:2"; /* and nothing else */
    expect(&x, "FAIL", "Deployment/gateway at /spec/template/spec/image");
    x.image = NULL;
    x.reordered = true; /* $(A) in B needs it before */
    stage = judged(&x, 290, "FAIL", "first Deployment/gateway", &result);
    assert_non_null(
        strstr(js_str(entry(stage, "objects", "Deployment/gateway"), "why", ""), "another order"));
    json_decref(result);
}

/* It never scales to nothing, nor from there: somebody else did, and it stands still. */
static void an_autoscaler_does_not_scale_to_zero(void **state) {
    (void)state;
    struct story x = good;
    x.autoscaler = true;
    x.replicas = "0";
    expect(&x, "FAIL", "Deployment/gateway at /spec/replicas");
}

/* Whoever annotates a live object makes no hook of what the manifest names. */
static void what_the_manifest_names_is_no_hook(void **state) {
    (void)state;
    struct story x = good;
    x.annotated = true;
    x.image = "gateway:2";
    expect(&x, "FAIL", "Deployment/gateway at /");
}

static void jobs_come_and_go(void **state) {
    (void)state;
    struct story x = good;
    x.job = true;
    expect(&x, "PASS", "1 differ as the rubric lets them");
}

static void random_material_is_regenerated(void **state) {
    (void)state;
    struct story x = {.description = "Upgrade complete",
                      .content = "m3",
                      .manifest = MANIFEST("md3", "ms3"),
                      .inputs = "i1",
                      .secret = "h3",
                      .checksum = "c3"};
    json_t *result;
    const json_t *stage = judged(
        &x, 290, "PASS", "2 hold random material that was regenerated, and 3 calls succeeded", &result);
    assert_string_equal(js_str(stage, "rollbacks.0.recognised", ""), "by its chart and values");
    assert_string_equal(js_str(entry(stage, "objects", "Secret/tls"), "what", ""), "regenerated");
    assert_string_equal(js_str(entry(stage, "objects", "Deployment/gateway"), "what", ""), "regenerated");
    json_decref(result);
    struct story unproven = x;
    unproven.no_call_after = true;
    expect(&unproven, "INCONCLUSIVE", "no call that began after the rollback");
    struct story other = x; /* more than a checksum: an upgrade that happens to have older values */
    other.image = "gateway:2";
    expect(&other, "PENDING", "no rollback was witnessed");
    struct story said = x; /* a rollback that Helm made has the stored manifest: nothing is rendered anew */
    said.description = "Rollback to 1";
    said.content = "m1";
    said.manifest = MANIFEST("md", "ms");
    expect(&said, "FAIL", "2 live objects differ");
}

static void nothing_to_roll_back(void **state) {
    (void)state;
    struct story x = good;
    x.same_config = true;
    expect(&x, "INCONCLUSIVE", "nothing was rolled back");
}

static void it_must_become_available(void **state) {
    (void)state;
    struct story x = good;
    json_t *result;
    x.up = 203;
    expect(&x, "PASS", "");
    x.up = 260; /* after the window, inside the limit */
    (void)judged(&x, 240, "PENDING", "its workloads started late", &result);
    json_decref(result);
    (void)judged(&x, 299, "PASS", "", &result);
    json_decref(result);
    x.lost_late = true;
    (void)judged(&x, 299, "INCONCLUSIVE", "1 calls were dropped or interrupted after its window", &result);
    json_decref(result);
    x.lost_late = false;
    x.down_again = 265; /* before what it left is read, and long after its window */
    (void)judged(&x, 299, "FAIL", "and went down again", &result);
    json_decref(result);
    x.down_again = 0;
    x.up = 2000;
    (void)judged(&x, 2100, "FAIL", "it was not within 10 min", &result);
    json_decref(result);
    x.up = 203;
    x.down_again = 210;
    expect(&x, "FAIL", "and went down again");
    x = good;
    x.never_deployed = true;
    (void)judged(&x, 2000, "FAIL", "it is still pending-rollback", &result);
    json_decref(result);
}

static void what_helm_never_restores_is_listed(void **state) {
    (void)state;
    struct story x = good;
    json_t *result;
    x.hook = true;
    const json_t *stage = judged(&x, 290, "PASS", "", &result);
    assert_non_null(entry(stage, "not_restored", "CustomResourceDefinitions"));
    assert_non_null(strstr(js_str(entry(stage, "not_restored", "Job/migrate"), "reason", ""), "pre-upgrade"));
    json_decref(result);
}

/* Uninstalled and installed again with the older content: an install, no rollback. */
static void a_reinstall_is_no_rollback(void **state) {
    (void)state;
    struct scenario s;
    pilot_play(&s, &(struct fault){.not_deployed = 1});
    for (size_t i = 0; i < s.c.ev.records.n; i++) { /* revision 3 never was */
        Pilotgate__Record *r = s.c.ev.records.items[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->name, "shop.v3") == 0)
            r->object->own = 1;
    }
    scenario_release(&s, 0, MODIFIED, 100, 240, 2, "uninstalling", "Deletion in progress", "m2");
    scenario_release(&s, 0, DELETED, 100, 241, 2, "uninstalled", "", "m2");
    scenario_release(&s, 0, ADDED, 260, 260.2, 1, "deployed", "Install complete", "m1");
    json_t *result = scenario_judge(&s, 400);
    assert_string_equal(js_str(scenario_gate(result, "rollback"), "verdict", ""), "PENDING");
    json_decref(result);
    scenario_end(&s);
}

static void namespace_made(struct scenario *s, double t, const char *uid) {
    s->uid = uid;
    scenario_phase(s, 0, t, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    s->c.ev.records.items[s->c.ev.records.n - 1].r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    s->uid = NULL;
}

/* Between the revisions the namespace was made anew: there is nothing in it to go back to. */
static void a_new_namespace_has_nothing_to_go_back_to(void **state) {
    (void)state;
    struct scenario s;
    tell(&s, &good);
    namespace_made(&s, 1, "u1");
    namespace_made(&s, 150, "u2");
    json_t *result = scenario_judge(&s, 290);
    assert_string_equal(js_str(scenario_gate(result, "rollback"), "verdict", ""), "PENDING");
    json_decref(result);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_rolls_back),
        cmocka_unit_test(what_is_left_over_or_missing_fails),
        cmocka_unit_test(kinds_that_were_not_watched_are_not_compared),
        cmocka_unit_test(differences_are_told_by_pointer),
        cmocka_unit_test(an_autoscaler_may_scale),
        cmocka_unit_test(an_autoscaler_does_not_scale_to_zero),
        cmocka_unit_test(what_the_manifest_names_is_no_hook),
        cmocka_unit_test(jobs_come_and_go),
        cmocka_unit_test(random_material_is_regenerated),
        cmocka_unit_test(nothing_to_roll_back),
        cmocka_unit_test(it_must_become_available),
        cmocka_unit_test(what_helm_never_restores_is_listed),
        cmocka_unit_test(a_reinstall_is_no_rollback),
        cmocka_unit_test(a_new_namespace_has_nothing_to_go_back_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
