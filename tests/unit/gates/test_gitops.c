/* Tests of GitOps coverage and of revisions tied to Helm's and to changes: records as agents send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "correlate/gitops.h"
#include "gates/gates.h"
#include "gates/hindrance.h"
#include "scenario.h"

#define OP(x) PILOTGATE__OBJECT__OP__OP_##x

static struct scenario s;
static json_t *doc;

static int set_up(void **state) {
    (void)state;
    memset(&s, 0, sizeof s);
    scenario_begin(&s, "{}");
    (void)scenario_agent(&s, "n1");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    json_decref(doc);
    doc = NULL;
    scenario_end(&s);
    return 0;
}

static Pilotgate__Object *put(double t, int op, const char *kind, const char *name, const char *managed_by,
                              const char *normal) {
    scenario_object(&s, 0, op, t, t - 1, kind, name, normal);
    Pilotgate__Object *o = s.c.ev.records.items[s.c.ev.records.n - 1].r->object;
    free(o->normal);
    o->normal = strdup(normal);
    o->managed_by = strdup(managed_by);
    return o;
}

static void not_of_helm(Pilotgate__Object *o) {
    free(o->release);
    o->release = strdup("");
}

#define RELEASED(revision, history)                                                                         \
    "{\"controller\":\"flux\",\"kind\":\"HelmRelease\",\"name\":\"shop\",\"namespace\":\"shop\",\"ready\":" \
    "\"True\",\"revision\":\"" revision "\",\"suspended\":true,\"drifted\":false,\"source\":{\"kind\":"     \
    "\"GitRepository\",\"name\":\"charts\",\"namespace\":\"shop\"},\"release\":{\"name\":\"shop\","         \
    "\"namespace\":\"shop\"},\"history\":[" history "]}"
#define SNAPSHOT(version, status, chart_version, started)                                               \
    "{\"helm_revision\":" version ",\"release\":\"shop\",\"status\":\"" status "\",\"chart\":\"shop\"," \
    "\"chart_version\":\"" chart_version "\",\"started\":\"" started "\"}"
#define SOURCE(revision)                                                                                \
    "{\"controller\":\"flux\",\"kind\":\"GitRepository\",\"name\":\"charts\",\"namespace\":\"shop\","   \
    "\"revision\":\"" revision "\",\"source\":{\"kind\":\"GitRepository\",\"name\":\"charts\",\"url\":" \
    "\"https://git.example/charts\"}}"
#define HR "HelmRelease.helm.toolkit.fluxcd.io"
#define GIT "GitRepository.source.toolkit.fluxcd.io"

static void read_at(double t) {
    struct err e;
    json_decref(scenario_judge(&s, t));
    json_decref(doc);
    doc = NULL;
    assert_int_equal(gitops_read(&s.c.stages[0], &s.c.rubric, s.c.at_ns, &doc, &e), 0);
}

static const json_t *owner(const char *name) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(doc, "owners"), i, x) {
        if (strcmp(js_str(x, "owner", ""), name) == 0)
            return x;
    }
    fail_msg("%s is no owner", name);
    return NULL;
}

static void flux_install(void) {
    not_of_helm(put(10, OP(LISTED), GIT, "charts", "", "{}"));
    put(10, OP(LISTED), "GitOps", GIT "/charts", "", SOURCE("main@sha1:1111"));
    put(10, OP(LISTED), HR, "shop", "flux:Kustomization/flux-system/apps", "{}");
    put(11, OP(LISTED), "GitOps", HR "/shop", "",
        RELEASED("1.0.0", SNAPSHOT("1", "deployed", "1.0.0", "2027-01-15T08:00:05Z")));
    scenario_release(&s, 0, OP(LISTED), 5, 11, 1, "deployed", "Install complete", "a");
    put(12, OP(LISTED), "Deployment", "gateway", "flux:HelmRelease/shop/shop", "{}");
    put(12, OP(LISTED), "ConfigMap", "config", "helm:shop",
        "{\"data\":{\"a\":\"1\"}}"); /* by a Helm that Flux says is its */
    not_of_helm(put(12, OP(LISTED), "ConfigMap", "by-hand", "", "{\"data\":{\"a\":\"1\"}}"));
    not_of_helm(put(12, OP(LISTED), "Secret", "made", "",
                    "{\"metadata\":{\"ownerReferences\":[{\"kind\":\"X\",\"controller\":true}]}}"));
    not_of_helm(put(12, OP(LISTED), "ServiceAccount", "default", "", "{}"));
    not_of_helm(put(12, OP(LISTED), "Namespace", "shop", "", "{}"));
    not_of_helm(put(12, OP(LISTED), "Secret", "default-token", "",
                    "{\"type\":\"kubernetes.io/service-account-token\"}"));
    not_of_helm(put(12, OP(LISTED), "Ingress", "edge", "flux:Kustomization/flux-system/edge", "{}"));
}

static void test_coverage(void **state) {
    (void)state;
    flux_install();
    read_at(30);
    /* GitRepository, HelmRelease, Deployment, two ConfigMaps, Ingress; not what has a controller */
    assert_int_equal(js_int(doc, "objects", 0), 6);
    assert_int_equal(js_int(doc, "owned", 0), 4);
    assert_int_equal((int)json_number_value(json_object_get(doc, "percent")), 66);
    const json_t *hr = owner("flux:HelmRelease/shop/shop");
    assert_int_equal(js_int(hr, "objects", 0), 2);
    assert_true(js_bool(hr, "seen", false));
    assert_true(js_bool(hr, "suspended", false));
    assert_string_equal(js_str(hr, "via", ""), "flux:Kustomization/flux-system/apps");
    assert_string_equal(js_str(hr, "source.url", ""), "https://git.example/charts");
    assert_string_equal(js_str(hr, "source.revision", ""), "main@sha1:1111");
    assert_false(js_bool(owner("flux:Kustomization/flux-system/edge"), "seen", true));
    assert_int_equal(json_array_size(json_object_get(doc, "unowned")), 2);
    assert_string_equal(js_str(doc, "unowned.0.object", ""), "ConfigMap/by-hand");
    assert_true(strlen(js_str(doc, "unowned.0.evidence", "")) > 10);
}

/* Flux's own objects often stand in a namespace of theirs; the agent tells the status of those that apply
 * here. */
static void test_owners_in_another_namespace(void **state) {
    (void)state;
    flux_install();
    put(20, OP(LISTED), "GitOps", "Kustomization.kustomize.toolkit.fluxcd.io/flux-system/apps", "",
        "{\"controller\":\"flux\",\"kind\":\"Kustomization\",\"name\":\"apps\",\"namespace\":\"flux-system\","
        "\"ready\":\"True\",\"revision\":\"main@sha1:9999\",\"source\":{\"kind\":\"GitRepository\",\"name\":"
        "\"fleet\","
        "\"namespace\":\"flux-system\"},\"history\":[]}");
    put(20, OP(LISTED), "GitOps", "GitRepository.source.toolkit.fluxcd.io/flux-system/fleet", "",
        "{\"controller\":\"flux\",\"kind\":\"GitRepository\",\"name\":\"fleet\",\"namespace\":\"flux-"
        "system\","
        "\"revision\":\"main@sha1:9999\",\"source\":{\"url\":\"https://git.example/fleet\"}}");
    read_at(30);
    const json_t *x = owner("flux:Kustomization/flux-system/apps");
    assert_true(js_bool(x, "seen", false));
    assert_int_equal(js_int(x, "objects", 0), 1); /* the HelmRelease */
    assert_string_equal(js_str(x, "revision", ""), "main@sha1:9999");
    assert_string_equal(js_str(x, "source.url", ""), "https://git.example/fleet");
    assert_int_equal(js_int(doc, "objects", 0), 6); /* what is elsewhere is no object of the stage */
}

/* A change that is shown names the revision of code that it was. */
static void look_at_change(void) {
    struct err e;
    json_t *list;
    assert_int_equal(gates_changes(&s.c, NULL, &list, &e), 0);
    assert_int_equal(gates_details(&s.c, list, "shop.v2", &e), 0);
    size_t i;
    json_t *c;
    json_array_foreach(list, i, c) {
        bool wanted = strcmp(js_str(c, "id", ""), "shop.v2") == 0;
        assert_int_equal(json_array_size(json_object_get(c, "gitops")), wanted);
        if (wanted)
            assert_string_equal(js_str(c, "gitops.0.source_revision", ""), "main@sha1:2222");
    }
    json_decref(list);
}

static void test_revisions_are_archived_and_tied(void **state) {
    (void)state;
    flux_install();
    put(100, OP(MODIFIED), "GitOps", GIT "/charts", "", SOURCE("main@sha1:2222"));
    scenario_release(&s, 0, OP(ADDED), 101, 101, 2, "pending-upgrade", "", "b");
    scenario_object(&s, 0, OP(MODIFIED), 102, 100, "Deployment", "gateway", "b");
    scenario_release(&s, 0, OP(MODIFIED), 101, 105, 2, "deployed", "Upgrade complete", "b");
    /* the first snapshot is gone from the API, as Flux truncates it */
    put(106, OP(MODIFIED), "GitOps", HR "/shop", "",
        RELEASED("1.1.0", SNAPSHOT("2", "deployed", "1.1.0", "2027-01-15T08:01:41Z")));
    read_at(200);
    const json_t *list = json_object_get(doc, "revisions");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(js_str(list, "0.revision", ""), "1.0.0");
    assert_string_equal(js_str(list, "0.helm", ""), "shop.v1");
    assert_string_equal(js_str(list, "0.source_revision", ""), "main@sha1:1111");
    assert_string_equal(js_str(list, "1.helm", ""), "shop.v2");
    assert_string_equal(js_str(list, "1.source_revision", ""), "main@sha1:2222");
    assert_string_equal(js_str(list, "1.change", ""), "shop.v2");
    assert_string_equal(js_str(list, "1.tied_by", ""), "release");
    assert_string_equal(js_str(list, "1.status", ""), "deployed");
    look_at_change();
}

/* Helm was killed: nobody says so but the Secret that stays as it is. */
static void test_an_operation_that_never_ended(void **state) {
    (void)state;
    static const struct plan_rules rules;
    static const struct plan_stage load;
    scenario_release(&s, 0, OP(LISTED), 5, 11, 1, "deployed", "Install complete", "a");
    scenario_release(&s, 0, OP(ADDED), 100, 101, 2, "pending-upgrade", "Preparing upgrade", "b");
    json_decref(scenario_judge(&s, 2000));
    for (int minutes = 5; minutes <= 20; minutes += 15) {
        json_t *list = json_array();
        struct hindrance_input in = {
            &s.c.stages[0], &load, &rules, 0, (SCENARIO_T0 + 60LL * minutes) * 1000000000LL, NULL};
        hindrances_of_stage(&in, list);
        char *text = json_dumps(list, 0);
        assert_true((strstr(text, "release shop.v2 is pending-upgrade since") != NULL) == (minutes > 15));
        free(text);
        json_decref(list);
    }
}

#define APP(sync, history)                                                                          \
    "{\"controller\":\"argocd\",\"kind\":\"Application\",\"name\":\"shop\",\"namespace\":\"shop\"," \
    "\"ready\":"                                                                                    \
    "\"True\",\"suspended\":false,\"drifted\":" sync ",\"revision\":\"abc\",\"source\":{\"kind\":"  \
    "\"GitRepository\",\"name\":\"\",\"url\":\"https://git.example/shop\"},\"history\":[" history "]}"
#define SYNC(id, revision, started, deployed)                                                   \
    "{\"id\":" id ",\"revision\":\"" revision "\",\"status\":\"synced\",\"started\":\"" started \
    "\",\"deployed\":\"" deployed "\"}"

static void test_argo_by_label_and_by_time(void **state) {
    (void)state;
    put(10, OP(LISTED), "GitOps", "Application.argoproj.io/shop", "",
        APP("false", SYNC("0", "abc", "2027-01-15T08:00:01Z", "2027-01-15T08:00:04Z")));
    not_of_helm(put(11, OP(LISTED), "ConfigMap", "a", "",
                    "{\"metadata\":{\"labels\":{\"app.kubernetes.io/instance\":\"shop\"}}}"));
    not_of_helm(put(11, OP(LISTED), "ConfigMap", "b", "argocd:argocd_shop", "{\"data\":{\"a\":\"1\"}}"));
    not_of_helm(put(11, OP(LISTED), "ConfigMap", "c", "",
                    "{\"metadata\":{\"labels\":{\"app.kubernetes.io/instance\":\"other\"}}}"));
    not_of_helm(put(102, OP(MODIFIED), "ConfigMap", "b", "argocd:argocd_shop", "{\"data\":{}}"));
    put(104, OP(MODIFIED), "GitOps", "Application.argoproj.io/shop", "",
        APP("true", SYNC("1", "def", "2027-01-15T08:01:41Z", "2027-01-15T08:01:43Z")));
    read_at(200);
    const json_t *x = owner("argocd:shop");
    assert_int_equal(js_int(x, "objects", 0), 2);
    assert_true(js_bool(x, "drifted", false));
    assert_int_equal(js_int(doc, "owned", 0), 2);
    const json_t *list = json_object_get(doc, "revisions");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(js_str(list, "0.change", "x"), ""); /* before anybody watched */
    assert_string_equal(js_str(list, "1.revision", ""), "def");
    assert_string_equal(js_str(list, "1.tied_by", ""), "time");
    assert_true(*js_str(list, "1.change", ""));
}

static void test_a_kustomization_without_history(void **state) {
    (void)state;
    static const char *const forms[] = {
        "{\"controller\":\"flux\",\"kind\":\"Kustomization\",\"name\":\"apps\",\"namespace\":\"shop\","
        "\"revision\":"
        "\"main@sha1:1\",\"conditions\":{\"Ready\":{\"reason\":\"ReconciliationSucceeded\",\"since\":"
        "\"2027-01-15T08:00:01Z\"}},\"history\":[]}",
        "{\"controller\":\"flux\",\"kind\":\"Kustomization\",\"name\":\"apps\",\"namespace\":\"shop\","
        "\"revision\":"
        "\"main@sha1:2\",\"conditions\":{\"Ready\":{\"reason\":\"ReconciliationSucceeded\",\"since\":"
        "\"2027-01-15T08:00:01Z\"}},\"history\":[]}"};
    put(10, OP(LISTED), "GitOps", "Kustomization.kustomize.toolkit.fluxcd.io/apps", "", forms[0]);
    put(50, OP(MODIFIED), "GitOps", "Kustomization.kustomize.toolkit.fluxcd.io/apps", "", forms[1]);
    put(60, OP(MODIFIED), "GitOps", "Kustomization.kustomize.toolkit.fluxcd.io/apps", "", forms[1]);
    read_at(100);
    assert_int_equal(json_array_size(json_object_get(doc, "revisions")), 2);
    assert_string_equal(js_str(doc, "revisions.1.revision", ""), "main@sha1:2");
    assert_int_equal(js_int(owner("flux:Kustomization/shop/apps"), "objects", -1), 0);
}

static void test_nothing_is_known(void **state) {
    (void)state;
    put(10, OP(LISTED), "GitOps", "x", "", "not json");
    put(10, OP(LISTED), "GitOps", "y", "", "[]");
    put(10, OP(LISTED), "GitOps", "z", "", "{\"history\":{},\"source\":7,\"release\":[]}");
    read_at(20);
    assert_int_equal(js_int(doc, "objects", -1), 0);
    assert_int_equal(json_array_size(json_object_get(doc, "revisions")), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_coverage),
        TEST(test_owners_in_another_namespace),
        TEST(test_revisions_are_archived_and_tied),
        TEST(test_an_operation_that_never_ended),
        TEST(test_argo_by_label_and_by_time),
        TEST(test_a_kustomization_without_history),
        TEST(test_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
