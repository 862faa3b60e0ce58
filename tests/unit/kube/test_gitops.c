/* Tests of what objects of Flux and Argo CD become: objects as their controllers write them (the API types
 * named in gitops.h), not by the controllers themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "caught.h"
#include "kube/elsewhere.h"
#include "kube/gitops.h"
#include "kube/kube_priv.h"

#define OP(x) PILOTGATE__OBJECT__OP__OP_##x
#define T0 1795000000000000000LL

static struct caught caught;
static struct norm_key key = {.bytes = {1, 2, 3}};
static struct kube_apps apps;
static struct kube_scope scope = {
    .own_release = "pilotgate", .namespace_name = "mcp", .key = &key, .emit = &caught.emit, .apps = &apps};
static struct kube_view view;

static int set_up(void **state) {
    (void)state;
    caught_init(&caught);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kube_view_free(&view);
    caught_free(&caught);
    return 0;
}

static void open_view(const char *source) {
    const struct kube_kind *k = kube_kinds;
    while (k->source && strcmp(k->source, source) != 0)
        k++;
    assert_non_null(k->source);
    view = (struct kube_view){.scope = &scope, .kind = k};
}

static json_t *parse(const char *text) {
    json_t *doc = NULL;
    struct err e;
    if (js_parse(text, strlen(text), JS_TEXT_MAX, &doc, &e) < 0)
        fail_msg("%s in %s", e.text, text);
    return doc;
}

static void see(json_t *object, const char *rv, bool listed) {
    struct kube_sight s = {.recv_wall = T0, .previous_wall = T0 - 5, .listed = listed};
    struct err e;
    json_object_set_new(json_object_get(object, "metadata"), "resourceVersion", json_string(rv));
    assert_int_equal(kube_view_see(&view, &s, object, &e), 0);
}

static json_t *form(const char *text, const char *kind, const char *group) {
    json_t *object = parse(text);
    json_t *f = gitops_form(&key, object, kind, group);
    assert_non_null(f);
    json_decref(object);
    return f;
}

/* ---- Flux */

#define CONDITION(type, status, reason, message)                                                        \
    "{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason "\",\"message\":\"" message \
    "\",\"lastTransitionTime\":\"2026-11-23T04:00:05Z\",\"observedGeneration\":3}"
#define SNAPSHOT(version, status, chart_version)                                                         \
    "{\"digest\":\"sha256:aa" version "\",\"name\":\"shop\",\"namespace\":\"mcp\",\"version\":" version  \
    ",\"status\":\"" status "\",\"chartName\":\"shop\",\"chartVersion\":\"" chart_version                \
    "\",\"appVersion\":\"9\",\"configDigest\":\"sha256:bb\",\"firstDeployed\":\"2026-11-23T03:00:00Z\"," \
    "\"lastDeployed\":\"2026-11-23T04:00:00Z\"}"
#define HELM_RELEASE(spec, status)                                                                          \
    "{\"apiVersion\":\"helm.toolkit.fluxcd.io/"                                                             \
    "v2\",\"kind\":\"HelmRelease\",\"metadata\":{\"name\":\"shop\","                                        \
    "\"namespace\":\"mcp\",\"uid\":\"u1\",\"labels\":{\"kustomize.toolkit.fluxcd.io/name\":\"apps\","       \
    "\"kustomize.toolkit.fluxcd.io/namespace\":\"flux-system\"}},\"spec\":{\"interval\":\"5m\",\"chart\":{" \
    "\"spec\":{\"chart\":\"shop\",\"sourceRef\":{\"kind\":\"GitRepository\",\"name\":\"charts\"}}},"        \
    "\"values\":{\"replicas\":2,\"db\":{\"pw\":\"hunter2\"}}" spec "},\"status\":{" status "}}"

static const char remediated[] = HELM_RELEASE(
    "",
    "\"failures\":1,\"lastAttemptedRevision\":\"1.3.0\",\"lastAttemptedReleaseAction\":\"upgrade\","
    "\"storageNamespace\":\"mcp\",\"observedGeneration\":3,\"conditions\":[" CONDITION("Ready", "False", "UpgradeFailed", "upgrade retries exhausted") "," CONDITION(
        "Remediated", "True", "RollbackSucceeded",
        "rolled back") "," CONDITION("Released", "False", "UpgradeFailed",
                                     "x") "],\"history\":[" SNAPSHOT("6", "deployed",
                                                                     "1.2.0") "," SNAPSHOT("5", "failed",
                                                                                           "1.3.0") "," SNAPSHOT("4",
                                                                                                                 "superseded",
                                                                                                                 "1.2.0") "]");

static void test_helm_release_that_was_remediated(void **state) {
    (void)state;
    json_t *f = form(remediated, "HelmRelease", "helm.toolkit.fluxcd.io");
    assert_string_equal(js_str(f, "controller", ""), "flux");
    assert_string_equal(js_str(f, "ready", ""), "False");
    assert_string_equal(js_str(f, "reason", ""), "UpgradeFailed");
    assert_string_equal(js_str(f, "message", ""), "upgrade retries exhausted");
    assert_string_equal(js_str(f, "revision", ""), "1.2.0");
    assert_string_equal(js_str(f, "attempted", ""), "1.3.0");
    assert_string_equal(js_str(f, "action", ""), "upgrade");
    assert_int_equal(js_int(f, "failures", 0), 1);
    assert_string_equal(js_str(f, "conditions.Remediated.reason", ""), "RollbackSucceeded");
    assert_string_equal(js_str(f, "release.name", ""), "shop");
    assert_string_equal(js_str(f, "release.namespace", ""), "mcp");
    assert_string_equal(js_str(f, "source.kind", ""), "GitRepository");
    assert_string_equal(js_str(f, "source.namespace", ""), "mcp");
    assert_int_equal(json_array_size(js_at(f, "history")), 3);
    assert_int_equal(js_int(f, "history.1.helm_revision", 0), 5);
    assert_string_equal(js_str(f, "history.1.status", ""), "failed");
    assert_string_equal(js_str(f, "history.0.chart_version", ""), "1.2.0");
    assert_string_equal(js_str(f, "history.0.started", ""), "2026-11-23T04:00:00Z");
    assert_null(
        strstr(js_str(f, "history.0.config_digest", ""), "bb")); /* keyed, so it does not tell values */
    assert_string_equal(js_str(f, "history.0.config_digest", ""), js_str(f, "history.2.config_digest", "x"));
    json_decref(f);
}

static void test_helm_release_before_its_first_release(void **state) {
    (void)state;
    json_t *f = form(HELM_RELEASE(",\"targetNamespace\":\"prod\",\"suspend\":true", ""), "HelmRelease",
                     "helm.toolkit.fluxcd.io");
    assert_string_equal(js_str(f, "release.name", ""), "prod-shop");
    assert_string_equal(js_str(f, "release.namespace", ""), "prod");
    assert_true(js_bool(f, "suspended", false));
    assert_string_equal(js_str(f, "ready", "x"), "");
    assert_int_equal(json_array_size(js_at(f, "history")), 0);
    json_decref(f);
}

/* v2beta1 keeps no history. */
static void test_helm_release_of_an_old_flux(void **state) {
    (void)state;
    json_t *f = form(HELM_RELEASE("", "\"lastAppliedRevision\":\"1.2.0\",\"lastReleaseRevision\":7"),
                     "HelmRelease", "helm.toolkit.fluxcd.io");
    assert_string_equal(js_str(f, "revision", ""), "1.2.0");
    assert_int_equal(js_int(f, "history.0.helm_revision", 0), 7);
    json_decref(f);
}

static void test_kustomization_and_its_source(void **state) {
    (void)state;
    json_t *f =
        form("{\"metadata\":{\"name\":\"apps\",\"namespace\":\"flux-system\"},\"spec\":{\"path\":\"./"
             "prod\",\"sourceRef\":{"
             "\"kind\":\"GitRepository\",\"name\":\"fleet\"},\"targetNamespace\":\"mcp\"},\"status\":{"
             "\"lastAppliedRevision\":\"main@sha1:1111\",\"lastAttemptedRevision\":\"main@sha1:2222\","
             "\"conditions\":[" CONDITION("Ready", "True", "ReconciliationSucceeded",
                                          "Applied") "],\"history\":[{\"digest\":\"sha256:cc\","
                                                     "\"firstReconciled\":\"2026-11-23T04:00:00Z\","
                                                     "\"lastReconciled\":\"2026-11-23T04:09:00Z\","
                                                     "\"lastReconciledStatus\":\"ReconciliationSucceeded\","
                                                     "\"totalReconciliations\":3,\"metadata\":{\"revision\":"
                                                     "\"main@sha1:1111\"}}]}}",
             "Kustomization", "kustomize.toolkit.fluxcd.io");
    assert_string_equal(js_str(f, "revision", ""), "main@sha1:1111");
    assert_string_equal(js_str(f, "attempted", ""), "main@sha1:2222");
    assert_string_equal(js_str(f, "source.path", ""), "./prod");
    assert_string_equal(js_str(f, "targets", ""), "mcp");
    assert_string_equal(js_str(f, "history.0.revision", ""), "main@sha1:1111");
    char *text = js_canonical(f);
    assert_null(strstr(text, "04:09:00")); /* moves with every reconciliation */
    free(text);
    json_decref(f);
    f = form(
        "{\"metadata\":{\"name\":\"fleet\",\"namespace\":\"flux-system\"},\"spec\":{\"url\":"
        "\"https://git.example/fleet\",\"ref\":{\"branch\":\"main\"}},\"status\":{\"artifact\":{\"revision\":"
        "\"main@sha1:1111\"}}}",
        "GitRepository", "source.toolkit.fluxcd.io");
    assert_string_equal(js_str(f, "revision", ""), "main@sha1:1111");
    assert_string_equal(js_str(f, "source.url", ""), "https://git.example/fleet");
    assert_string_equal(js_str(f, "source.ref", ""), "main");
    json_decref(f);
    f = form("{\"metadata\":{\"name\":\"mcp-shop\"},\"spec\":{\"chart\":\"shop\",\"sourceRef\":{\"kind\":"
             "\"GitRepository\",\"name\":\"charts\"}},\"status\":{\"artifact\":{\"revision\":\"1.2.0\"},"
             "\"observedSourceArtifactRevision\":\"main@sha1:3333\"}}",
             "HelmChart", "source.toolkit.fluxcd.io");
    assert_string_equal(js_str(f, "revision", ""), "1.2.0");
    assert_string_equal(js_str(f, "fetched", ""), "main@sha1:3333");
    json_decref(f);
}

/* ---- Argo CD */

#define APPLICATION(more_spec, status)                                                                       \
    "{\"apiVersion\":\"argoproj.io/v1alpha1\",\"kind\":\"Application\",\"metadata\":{\"name\":\"shop\","     \
    "\"namespace\":\"mcp\",\"uid\":\"u1\"},\"spec\":{\"destination\":{\"namespace\":\"mcp\"},\"source\":{"   \
    "\"repoURL\":\"https://git.example/shop\",\"path\":\"chart\",\"targetRevision\":\"main\",\"helm\":{"     \
    "\"values\":\"db: hunter2\",\"parameters\":[{\"name\":\"pw\",\"value\":\"hunter3\"}],\"valuesObject\":{" \
    "\"x\":\"hunter4\"}}}" more_spec "},\"status\":{" status "}}"

static const char drifted[] = APPLICATION(
    ",\"syncPolicy\":{\"automated\":{}}",
    "\"reconciledAt\":\"2026-11-23T04:05:00Z\",\"sync\":{\"status\":\"OutOfSync\",\"revision\":\"2222\"},"
    "\"health\":{"
    "\"status\":\"Degraded\"},\"operationState\":{\"phase\":\"Failed\",\"message\":\"one or more objects "
    "failed\","
    "\"retryCount\":2,\"syncResult\":{\"revision\":\"2222\"}},\"history\":[{\"id\":0,\"revision\":\"0000\","
    "\"deployedAt\":\"2026-11-23T03:00:00Z\"},{\"id\":1,\"revision\":\"1111\",\"deployStartedAt\":"
    "\"2026-11-23T03:59:59Z\",\"deployedAt\":\"2026-11-23T04:00:00Z\",\"initiatedBy\":{\"username\":\"jane\"}"
    "}],"
    "\"conditions\":[{\"type\":\"SyncError\",\"message\":\"x\",\"lastTransitionTime\":\"2026-11-23T04:00:"
    "00Z\"}]");

static void test_application_that_drifted(void **state) {
    (void)state;
    json_t *f = form(drifted, "Application", "argoproj.io");
    assert_string_equal(js_str(f, "controller", ""), "argocd");
    assert_true(js_bool(f, "drifted", false));
    assert_true(js_bool(f, "stalled", false));
    assert_true(js_bool(f, "automated", false));
    assert_string_equal(js_str(f, "ready", ""), "False");
    assert_string_equal(js_str(f, "revision", ""), "1111");
    assert_string_equal(js_str(f, "attempted", ""), "2222");
    assert_string_equal(js_str(f, "history.0.revision", ""), "1111"); /* newest first */
    assert_string_equal(js_str(f, "history.1.revision", ""), "0000");
    assert_string_equal(js_str(f, "history.0.started", ""), "2026-11-23T03:59:59Z");
    assert_string_equal(js_str(f, "conditions.SyncError.status", ""), "True");
    char *text = js_canonical(f);
    assert_null(strstr(text, "jane"));
    assert_null(strstr(text, "04:05:00"));
    free(text);
    json_decref(f);
}

static void test_urls_without_credentials(void **state) {
    (void)state;
    static const char *const urls[][2] = {
        {"https://u:p@w@git.example/x?token=1", "https://git.example/x"},
        {"ssh://git@git.example/x", "ssh://git.example/x"},
        {"git@git.example:x", "git.example:x"},
        {"oci://r.example/x", "oci://r.example/x"},
        {"https://git.example/@scope", "https://git.example/@scope"},
        {"://", "://"},
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        json_t *object = json_pack("{s:{s:{s:s}}}", "spec", "source", "repoURL", urls[i][0]);
        json_t *f = gitops_form(&key, object, "Application", "argoproj.io");
        assert_string_equal(js_str(f, "source.url", ""), urls[i][1]);
        json_decref(f);
        json_decref(object);
    }
}

static void test_application_of_several_sources(void **state) {
    (void)state;
    json_t *f = form(
        "{\"metadata\":{\"name\":\"a\",\"annotations\":{\"argocd.argoproj.io/skip-reconcile\":\"true\"}},"
        "\"spec\":{\"sources\":[{\"repoURL\":\"https://charts.example\",\"chart\":\"shop\","
        "\"targetRevision\":\"1.2.0\"},{\"repoURL\":\"https://git.example/values\"}]},\"status\":{"
        "\"sync\":{\"status\":\"Synced\"},\"health\":{\"status\":\"Healthy\"},\"history\":[{\"id\":4,"
        "\"revisions\":[\"1.2.0\",\"abc\"],\"deployedAt\":\"2026-11-23T03:00:00Z\"}]}}",
        "Application", "argoproj.io");
    assert_string_equal(js_str(f, "revision", ""), "1.2.0");
    assert_string_equal(js_str(f, "source.kind", ""), "HelmRepository");
    assert_int_equal(js_int(f, "source.sources", 0), 2);
    assert_true(js_bool(f, "suspended", false));
    assert_false(js_bool(f, "automated", true));
    assert_string_equal(js_str(f, "ready", ""), "True");
    json_decref(f);
}

/* ---- records */

static void test_spec_and_status_are_two_objects(void **state) {
    (void)state;
    open_view("helmreleases.helm.toolkit.fluxcd.io");
    json_t *object = parse(remediated);
    see(object, "1", true);
    const Pilotgate__Object *spec =
        caught_object(&caught, "HelmRelease.helm.toolkit.fluxcd.io", OP(LISTED), 0);
    const Pilotgate__Object *status = caught_object(&caught, "GitOps", OP(LISTED), 0);
    assert_non_null(spec);
    assert_non_null(status);
    assert_string_equal(spec->name, "shop");
    assert_string_equal(spec->managed_by, "flux:Kustomization/flux-system/apps");
    assert_string_equal(status->name, "HelmRelease.helm.toolkit.fluxcd.io/shop");
    assert_string_equal(status->uid, "u1");
    /* nothing but counters moved */
    (void)json_object_set_new(json_object_get(object, "status"), "observedGeneration", json_integer(4));
    (void)json_object_set_new(json_object_get(object, "status"), "lastHandledReconcileAt", json_string("x"));
    (void)json_object_set_new(json_object_get(object, "metadata"), "annotations",
                              parse("{\"reconcile.fluxcd.io/requestedAt\":\"x\"}"));
    see(object, "2", false);
    assert_int_equal(caught.n, 2);
    (void)json_object_set_new(json_object_get(object, "status"), "failures", json_integer(0));
    see(object, "3", false);
    assert_int_equal(caught_objects(&caught, "GitOps", OP(MODIFIED)), 1);
    assert_int_equal(caught_objects(&caught, "HelmRelease.helm.toolkit.fluxcd.io", 0), 1);
    (void)json_object_set_new(json_object_get(object, "spec"), "interval", json_string("1m"));
    see(object, "4", false);
    assert_int_equal(caught_objects(&caught, "GitOps", 0), 2);
    assert_int_equal(caught_objects(&caught, "HelmRelease.helm.toolkit.fluxcd.io", OP(MODIFIED)), 1);
    struct kube_sight s = {.recv_wall = T0 + 7, .previous_wall = T0};
    assert_int_equal(kube_view_delete(&view, &s, object, NULL), 0);
    assert_string_equal(caught_object(&caught, "GitOps", OP(DELETED), 0)->name,
                        "HelmRelease.helm.toolkit.fluxcd.io/shop");
    assert_string_equal(caught_object(&caught, "HelmRelease.helm.toolkit.fluxcd.io", OP(DELETED), 0)->name,
                        "shop");
    json_decref(object);
}

/* Of another namespace: only what applies to the stage, or may be its source, and only the status. */
static void test_elsewhere(void **state) {
    (void)state;
    static struct kube_elsewhere w;
    kube_elsewhere_init(&w, &scope, "flux-system");
    const struct kube_kind *k = w.kinds;
    while (k->source && strcmp(k->source, "kustomizations.kustomize.toolkit.fluxcd.io/flux-system") != 0)
        k++;
    assert_non_null(k->source);
    assert_true(k[1].older && strcmp(k[1].source, k->source) == 0);
    view = (struct kube_view){.scope = &w.scope, .kind = k};
    json_t *object =
        parse("{\"metadata\":{\"name\":\"other\",\"namespace\":\"flux-system\",\"uid\":\"u1\"},\"spec\":{},"
              "\"status\":{\"inventory\":{\"entries\":[{\"id\":\"mcp2_a__ConfigMap\",\"v\":\"v1\"}]}}}");
    see(object, "1", true);
    assert_int_equal(caught.n, 0);
    (void)json_array_append_new(js_at(object, "status.inventory.entries"),
                                json_pack("{s:s}", "id", "mcp_a__ConfigMap"));
    see(object, "2", false);
    assert_int_equal(caught.n, 1);
    assert_string_equal(caught.items[0]->object->kind, "GitOps");
    assert_string_equal(caught.items[0]->object->name,
                        "Kustomization.kustomize.toolkit.fluxcd.io/flux-system/other");
    struct kube_sight s = {.recv_wall = T0 + 7};
    assert_int_equal(kube_view_delete(&view, &s, object, NULL), 0);
    assert_int_equal(caught.n, 2);
    assert_string_equal(caught.items[1]->object->name,
                        "Kustomization.kustomize.toolkit.fluxcd.io/flux-system/other");
    json_decref(object);
}

static void test_a_sync_that_is_asked_for_is_no_change(void **state) {
    (void)state;
    open_view("applications.argoproj.io");
    json_t *object = parse(drifted);
    see(object, "1", true);
    (void)json_object_set_new(object, "operation", parse("{\"sync\":{\"revision\":\"3333\"}}"));
    (void)json_object_set_new(json_object_get(object, "metadata"), "annotations",
                              parse("{\"argocd.argoproj.io/refresh\":\"hard\"}"));
    see(object, "2", false);
    assert_int_equal(caught.n, 2);
    assert_int_equal(apps.n, 1);
    struct kube_sight s = {.recv_wall = T0 + 7};
    assert_int_equal(kube_view_delete(&view, &s, object, NULL), 0);
    assert_int_equal(apps.n, 0);
    json_decref(object);
}

static void test_secrets_stay(void **state) {
    (void)state;
    open_view("helmreleases.helm.toolkit.fluxcd.io");
    json_t *object = parse(HELM_RELEASE(
        ",\"postBuild\":{\"substitute\":{\"a\":\"hunter5\"}}",
        "\"conditions\":[" CONDITION("Ready", "False", "InstallFailed", "cannot use password: hunter6") "]"));
    see(object, "1", true);
    json_decref(object);
    kube_view_free(&view);
    open_view("applications.argoproj.io");
    object = parse(drifted);
    (void)json_object_set_new(js_at(object, "spec.source"), "repoURL",
                              json_string("https://u:hunter7@git.example/x"));
    (void)json_object_set_new(js_at(object, "status.operationState"), "message",
                              json_string("Authorization: Bearer hunter8"));
    see(object, "2", true);
    json_decref(object);
    assert_int_equal(caught.n, 4);
    for (size_t i = 0; i < caught.n; i++)
        if (strstr(caught.items[i]->object->normal, "hunter"))
            fail_msg("%s", caught.items[i]->object->normal);
}

/* Any shape: nothing is believed, nothing crashes (run under ASan). */
static void test_hostile_shapes(void **state) {
    (void)state;
    static const char *const shapes[] = {
        "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"annotations\":7,\"labels\":[]},\"spec\":7,\"status\":"
        "\"x\"}",
        "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"},\"spec\":{\"values\":7,\"source\":[],\"sources\":{},"
        "\"suspend\":"
        "\"yes\",\"sourceRef\":[],\"postBuild\":7},\"status\":{\"history\":{},\"conditions\":[7,{},{\"type\":"
        "7}]}}",
        "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"},\"spec\":{\"sources\":[7,{\"helm\":[]}],\"source\":{"
        "\"helm\":"
        "{\"parameters\":7,\"values\":{}}}},\"status\":{\"history\":[7,{},[],{\"version\":\"x\"}],"
        "\"operationState\":"
        "[]}}",
    };
    static const char *const kinds[] = {"helmreleases.helm.toolkit.fluxcd.io",
                                        "kustomizations.kustomize.toolkit.fluxcd.io",
                                        "buckets.source.toolkit.fluxcd.io", "applications.argoproj.io"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            open_view(kinds[k]);
            json_t *object = parse(shapes[i]);
            see(object, "1", true);
            json_decref(object);
            kube_view_free(&view);
        }
    kube_apps_remove(&apps, "a");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_helm_release_that_was_remediated),
        TEST(test_helm_release_before_its_first_release),
        TEST(test_helm_release_of_an_old_flux),
        TEST(test_kustomization_and_its_source),
        TEST(test_application_that_drifted),
        TEST(test_urls_without_credentials),
        TEST(test_application_of_several_sources),
        TEST(test_spec_and_status_are_two_objects),
        TEST(test_elsewhere),
        TEST(test_a_sync_that_is_asked_for_is_no_change),
        TEST(test_secrets_stay),
        TEST(test_hostile_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
