/* Tests of norm: secrets stay inside, what the API server counts goes, what a person wrote stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/js.h"
#include "base/norm.h"

static const struct norm_key key = {.bytes = {1, 2, 3}};

/* A Deployment as the API server gives it back; the arguments are what changes without anybody's will. */
#define DEPLOYMENT                                                                                          \
    "{\"apiVersion\":\"apps/"                                                                               \
    "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"gateway\",\"namespace\":\"shop\","               \
    "\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"generation\":%s,\"creationTimestamp\":\"2026-11-23T04:05:" \
    "06Z\","                                                                                                \
    "\"labels\":{\"app\":\"gateway\"},\"annotations\":{\"deployment.kubernetes.io/revision\":\"%s\","       \
    "\"meta.helm.sh/release-name\":\"shop\"},\"managedFields\":[{\"manager\":\"helm\",\"time\":\"%s\"}]},"  \
    "\"spec\":{\"replicas\":2,\"progressDeadlineSeconds\":600,\"revisionHistoryLimit\":10,\"selector\":"    \
    "{\"matchLabels\":{\"app\":\"gateway\"}},\"template\":{\"metadata\":{\"creationTimestamp\":null,"       \
    "\"labels\":"                                                                                           \
    "{\"app\":\"gateway\"},\"annotations\":{\"kubectl.kubernetes.io/restartedAt\":\"%s\"}},\"spec\":{"      \
    "\"containers\":[{\"name\":\"gateway\",\"image\":\"%s\",\"imagePullPolicy\":\"IfNotPresent\",\"env\":[" \
    "{\"name\":\"API_TOKEN\",\"value\":\"hunter2\"},{\"name\":\"MODE\",\"value\":\"fast\"},{\"name\":"      \
    "\"DB\","                                                                                               \
    "\"value\":\"postgres://u:hunter3@db/x\"},{\"name\":\"OTHER_KEY\",\"valueFrom\":{\"secretKeyRef\":"     \
    "{\"name\":\"s\",\"key\":\"k\"}}}],\"args\":[\"--api-key=hunter4\",\"--port=80\"]}],"                   \
    "\"terminationGracePeriodSeconds\":30}}},\"status\":{\"readyReplicas\":%s}}"

static json_t *parse(const char *text) {
    json_t *v = NULL;
    struct err e;
    if (js_parse(text, strlen(text), 1 << 20, &v, &e) < 0)
        fail_msg("%s in %s", e.text, text);
    return v;
}

/* Normal text; *hex gets the digest. */
static char *normal(const char *object, const char *kind, char *hex) {
    json_t *v = parse(object);
    json_t *before = json_deep_copy(v);
    json_t *n = norm_object(&key, v, kind);
    assert_non_null(n);
    assert_true(json_equal(v, before)); /* the input is not changed */
    char *text = NULL;
    assert_int_equal(norm_digest(&key, n, &text, hex), 0);
    json_decref(n);
    json_decref(before);
    json_decref(v);
    return text;
}

static char *deployment(const char *image, bool after, char *hex) {
    char object[4096];
    if (after)
        (void)snprintf(object, sizeof object, DEPLOYMENT, "uid-2", "991", "9", "3", "later", "today", image,
                       "1");
    else
        (void)snprintf(object, sizeof object, DEPLOYMENT, "uid-1", "17", "1", "1", "now", "yesterday", image,
                       "2");
    return normal(object, NULL, hex);
}

static void rollback_restores_the_digest(void **state) {
    (void)state;
    char before[NORM_HEX_MAX];
    char changed[NORM_HEX_MAX];
    char after[NORM_HEX_MAX];
    char *a = deployment("gateway:1", false, before);
    char *b = deployment("gateway:2", true, changed);
    char *c = deployment("gateway:1", true, after);
    assert_string_equal(a, c);
    assert_string_equal(before, after);
    assert_string_not_equal(before, changed);
    assert_int_equal(strlen(before), 64);
    free(a);
    free(b);
    free(c);
}

static void deployment_keeps_what_was_written(void **state) {
    (void)state;
    char hex[NORM_HEX_MAX];
    char *text = deployment("gateway:1", false, hex);
    static const char *const kept[] = {"meta.helm.sh/release-name", "\"replicas\":2",        "gateway:1",
                                       "\"value\":\"fast\"",        "secretKeyRef",          "--port=80",
                                       "--api-key=keyed:",          "\"namespace\":\"shop\""};
    static const char *const dropped[] = {"hunter",          "uid",
                                          "resourceVersion", "managedFields",
                                          "restartedAt",     "creationTimestamp",
                                          "status",          "deployment.kubernetes.io/revision",
                                          "generation",      "postgres://"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!strstr(text, kept[i]))
            fail_msg("%s is missing in %s", kept[i], text);
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (strstr(text, dropped[i]))
            fail_msg("%s is still in %s", dropped[i], text);
    free(text);
}

static void secrets_are_reduced(void **state) {
    (void)state;
    char hex[NORM_HEX_MAX];
    char other[NORM_HEX_MAX];
    char *text =
        normal("{\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"annotations\":{\"kubectl.kubernetes.io/"
               "last-applied-configuration\":\"{\\\"stringData\\\":{\\\"p\\\":\\\"hunter2\\\"}}\"}},"
               "\"type\":\"Opaque\",\"data\":{\"p\":\"aHVudGVyMg==\",\"empty\":\"\"},"
               "\"stringData\":{\"q\":\"hunter2\",\"odd\":5}}",
               NULL, hex);
    assert_null(strstr(text, "hunter2"));
    assert_null(strstr(text, "aHVudGVyMg"));
    assert_null(strstr(text, "annotations")); /* emptied by the drop */
    json_t *n = parse(text);
    const char *p = js_str(n, "data.p", "");
    assert_int_equal(strncmp(p, "keyed:", 6), 0);
    assert_int_equal(strlen(p), 70);
    assert_string_equal(p, js_str(n, "stringData.q", "")); /* data and stringData of one value hash alike */
    assert_int_equal(strncmp(js_str(n, "stringData.odd", ""), "keyed:", 6), 0);
    assert_string_equal(js_str(n, "type", ""), "Opaque");
    json_decref(n);
    free(text);
    /* a list item carries no kind */
    text = normal("{\"metadata\":{\"name\":\"s\"},\"data\":{\"p\":\"aHVudGVyMg==\"}}", "Secret", hex);
    assert_non_null(strstr(text, "\"kind\":\"Secret\""));
    assert_null(strstr(text, "aHVudGVyMg"));
    free(text);
    text = normal("{\"metadata\":{\"name\":\"s\"},\"data\":{\"p\":\"aHVudGVyMw==\"}}", "Secret", other);
    assert_string_not_equal(hex, other); /* another value, another digest */
    free(text);
}

static void hostile_secrets_are_reduced(void **state) {
    (void)state;
    char hex[NORM_HEX_MAX];
    static const char *const objects[] = {
        "{\"kind\":\"Secret\",\"data\":\"hunter2\"}",
        "{\"kind\":\"Secret\",\"data\":[\"hunter2\",{\"a\":\"hunter2\"}]}",
        "{\"kind\":\"Secret\",\"data\":{\"a\":{\"b\":[\"hunter2\"]}}}",
        "{\"kind\":\"Secret\",\"data\":{\"a\":\"not base64! hunter2\"}}",
        "{\"kind\":\"Secret\",\"binaryData\":{\"a\":\"hunter2\"}}",
        "{\"kind\":\"X\",\"spec\":[[{\"name\":\"db_password\",\"value\":\"hunter2\"}]]}",
        "{\"kind\":\"X\",\"spec\":\"see https://me:hunter2@host/ and more\"}",
        "{\"kind\":\"ConfigMap\",\"data\":{\"apiKey\":\"hunter2\"}}",
        "{\"kind\":\"ConfigMap\",\"data\":{\"a.yaml\":\"server:\\n  password: hunter2\\n\"}}",
        "{\"kind\":\"ConfigMap\",\"data\":{\"a.json\":\"{\\\"apiKey\\\" : \\\"hunter2\\\"}\"}}",
        "{\"kind\":\"ConfigMap\",\"data\":{\"a\":\"-----BEGIN RSA PRIVATE KEY-----\\nhunter2\"}}",
        "{\"kind\":\"ConfigMap\",\"data\":{\"u\":\"https://h/mcp?apiKey=hunter2\"}}",
        "{\"kind\":\"ConfigMap\",\"data\":{\"u\":\"https://ghp_hunter2hunter2@h/x\"}}",
        "{\"kind\":\"X\",\"spec\":\"- token: hunter2\\n  q: a=b\"}",
        "{\"kind\":\"X\",\"args\":[\"--db-password\",\"hunter2\"]}",
        "{\"kind\":\"X\",\"command\":[\"sh\",\"-c\",\"app --token hunter2\"]}",
        "{\"kind\":\"X\",\"command\":[\"sh\",\"-c\",\"export API_TOKEN=hunter2; app\"]}",
        "{\"kind\":\"X\",\"headers\":[{\"name\":\"Authorization\",\"value\":\"hunter2\"}]}",
        "{\"kind\":\"X\",\"metadata\":{\"annotations\":{\"x/api-token\":\"hunter2\"}}}",
    };
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        char *text = normal(objects[i], NULL, hex);
        if (strstr(text, "hunter2") || !strstr(text, "keyed:"))
            fail_msg("%s became %s", objects[i], text);
        free(text);
    }
}

/* What was asked for as a Secret is one, whatever a broken API server calls it. */
static void a_secret_by_another_name(void **state) {
    (void)state;
    char hex[NORM_HEX_MAX];
    char *text = normal("{\"kind\":\"ConfigMap\",\"data\":{\"p\":\"hunter2\"}}", "Secret", hex);
    assert_null(strstr(text, "hunter2"));
    free(text);
}

/* A text that is nothing but words that look secret costs no more time than its length. */
static void hostile_texts_take_no_time(void **state) {
    (void)state;
    size_t n = 3 << 20;
    char *long_text = malloc(n + 1);
    assert_non_null(long_text);
    for (size_t i = 0; i < n; i++)
        long_text[i] = "KEY"[i % 3];
    long_text[n] = 0;
    json_t *o = json_pack("{s:s,s:{s:s}}", "kind", "ConfigMap", "data", "a", long_text);
    clock_t begin = clock();
    json_t *out = norm_object(&key, o, NULL);
    assert_non_null(out);
    assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
    json_decref(out);
    json_decref(o);
    free(long_text);
}

static void configmaps_stay_readable(void **state) {
    (void)state;
    char hex[NORM_HEX_MAX];
    char *text = normal("{\"kind\":\"ConfigMap\",\"data\":{\"mode\":\"fast\",\"url\":\"http://a/b@c\"},"
                        "\"metadata\":{\"name\":\"c\",\"uid\":\"u\"}}",
                        NULL, hex);
    assert_string_equal(text, "{\"data\":{\"mode\":\"fast\",\"url\":\"http://a/b@c\"},\"kind\":\"ConfigMap\","
                              "\"metadata\":{\"name\":\"c\"}}");
    free(text);
}

static void by_kind(void **state) {
    (void)state;
    static const struct {
        const char *object;
        const char *text;
    } cases[] = {
        {"{\"kind\":\"Service\",\"spec\":{\"clusterIP\":\"10.0.0.1\",\"clusterIPs\":[\"10.0.0.1\"],\"ports\":"
         "["
         "{\"port\":80,\"nodePort\":31000}]}}",
         "{\"kind\":\"Service\",\"spec\":{\"ports\":[{\"port\":80}]}}"},
        {"{\"kind\":\"Service\",\"spec\":{\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"]}}",
         "{\"kind\":\"Service\",\"spec\":{\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"]}}"},
        {"{\"kind\":\"Pod\",\"metadata\":{\"labels\":{\"pod-template-hash\":\"x\"},\"ownerReferences\":[{"
         "\"name\":\"r\","
         "\"uid\":\"u\"}]},\"spec\":{\"nodeName\":\"n\",\"x\":1}}",
         "{\"kind\":\"Pod\",\"metadata\":{\"ownerReferences\":[{\"name\":\"r\"}]},\"spec\":{\"x\":1}}"},
        {"{\"kind\":\"MutatingWebhookConfiguration\",\"webhooks\":[{\"clientConfig\":{\"caBundle\":\"x\","
         "\"url\":"
         "\"u\"}}]}",
         "{\"kind\":\"MutatingWebhookConfiguration\",\"webhooks\":[{\"clientConfig\":{\"url\":\"u\"}}]}"},
        {"{\"kind\":\"StatefulSet\",\"spec\":{\"volumeClaimTemplates\":[{\"metadata\":{\"creationTimestamp\":"
         "null,"
         "\"name\":\"d\"},\"status\":{\"phase\":\"Pending\"}}]}}",
         "{\"kind\":\"StatefulSet\",\"spec\":{\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"d\"}}]}}"},
        {"{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"controller-uid\":\"u\",\"a\":\"b\"}},\"spec\":{"
         "\"selector\":{\"matchLabels\":{\"batch.kubernetes.io/controller-uid\":\"u\"}},\"template\":{"
         "\"metadata\":{\"labels\":{\"batch.kubernetes.io/controller-uid\":\"u\"}},\"spec\":1}}}",
         "{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"template\":{\"spec\":1}}}"},
        {"{\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":{\"annotations\":{"
         "\"autoscaling.alpha.kubernetes.io/conditions\":\"[]\",\"a\":\"b\"}}}",
         "{\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":{\"annotations\":{\"a\":\"b\"}}}"},
        {"{\"kind\":7,\"metadata\":[1],\"spec\":null}", "{\"kind\":\"\",\"metadata\":[1],\"spec\":null}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[NORM_HEX_MAX];
        char *text = normal(cases[i].object, NULL, hex);
        assert_string_equal(text, cases[i].text);
        free(text);
    }
    json_t *list = json_array();
    assert_null(norm_object(&key, list, "Pod"));
    assert_null(norm_object(&key, NULL, "Pod"));
    json_decref(list);
}

/* What an older version told becomes what this one tells; and its own form stays. */
static void an_older_form_is_brought_up_to_date(void **state) {
    (void)state;
    json_t *old =
        parse("{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"controller-uid\":\"u\",\"a\":\"b\"}}}");
    json_t *now = parse("{\"kind\":\"Job\",\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
    norm_again(old);
    assert_true(json_equal(old, now));
    norm_again(old);
    assert_true(json_equal(old, now));
    json_decref(old);
    json_decref(now);
    json_t *odd = parse("[1]");
    norm_again(odd);
    assert_int_equal(json_array_size(odd), 1);
    json_decref(odd);
}

/* Items of a list have neither kind nor apiVersion, objects of a watch have both, by the version that was
 * asked. */
static void the_way_of_reading_is_no_difference(void **state) {
    (void)state;
    char listed[NORM_HEX_MAX];
    char watched[NORM_HEX_MAX];
    free(normal("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"minAvailable\":1}}", "PodDisruptionBudget",
                listed));
    free(normal(
        "{\"apiVersion\":\"policy/v1beta1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":\"a\"},"
        "\"spec\":{\"minAvailable\":1}}",
        "PodDisruptionBudget", watched));
    assert_string_equal(listed, watched);
}

static void hash_depends_on_the_key(void **state) {
    (void)state;
    static const struct norm_key second = {.bytes = {9}};
    char a[NORM_HEX_MAX];
    char b[NORM_HEX_MAX];
    assert_string_not_equal(norm_hash(&key, "x", 1, a), norm_hash(&second, "x", 1, b));
    assert_string_equal(norm_hash(&key, "x", 1, b), a);
    assert_int_equal(strspn(a, "0123456789abcdef"), 64);
}

static int load_key(const char *text, struct norm_key *k, struct err *e) {
    char path[] = "/tmp/norm-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    int r = norm_key_load(path, k, e);
    (void)unlink(path);
    return r;
}

static void key_files(void **state) {
    (void)state;
    struct norm_key k = {{0}};
    struct err e;
    char text[128];
    memset(text, 'a', 64);
    memcpy(text, "00fF", 4);
    memcpy(text + 64, "\n", 2);
    assert_int_equal(load_key(text, &k, &e), 0);
    assert_int_equal(k.bytes[0], 0);
    assert_int_equal(k.bytes[1], 0xff);
    assert_int_equal(k.bytes[31], 0xaa);
    text[63] = 'g';
    assert_int_equal(load_key(text, &k, &e), -EINVAL);
    assert_null(strstr(e.text, "aaaa")); /* a key is never quoted */
    text[63] = 0;
    assert_int_equal(load_key(text, &k, &e), -EINVAL);
    assert_int_equal(load_key("", &k, &e), -EINVAL);
    assert_int_equal(norm_key_load("/nowhere/key", &k, &e), -ENOENT);
}

/* ---- custom resources */

static char *custom_text(const char *object, const char *kind) {
    struct norm_key k = {.bytes = {1}};
    json_t *doc = json_loads(object, 0, NULL);
    json_t *normal = norm_custom(&k, doc, kind);
    char *text = js_canonical(normal);
    json_decref(doc);
    json_decref(normal);
    assert_non_null(text);
    return text;
}

static void custom_resources(void **state) {
    (void)state;
    char *text =
        custom_text("{\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\",\"uid\":\"1\"},\"spec\":{\"size\":1,"
                    "\"login\":{\"password\":\"hunter2\"}},\"status\":{\"ready\":true}}",
                    "Widget.example.com");
    assert_null(strstr(text, "hunter2"));
    assert_null(strstr(text, "status"));
    assert_non_null(strstr(text, "\"size\":1"));
    free(text);
    text = custom_text(
        "{\"kind\":\"HelmRelease\",\"metadata\":{\"name\":\"w\",\"annotations\":{"
        "\"reconcile.fluxcd.io/requestedAt\":\"now\"}},\"spec\":{\"values\":{\"a\":\"anything\",\"n\":2},"
        "\"interval\":\"5m\"}}",
        "HelmRelease.helm.toolkit.fluxcd.io");
    assert_null(strstr(text, "anything"));
    assert_null(strstr(text, "annotations"));
    assert_non_null(strstr(text, "\"n\":2"));
    assert_non_null(strstr(text, "\"interval\":\"5m\""));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(custom_resources),
        cmocka_unit_test(rollback_restores_the_digest),
        cmocka_unit_test(deployment_keeps_what_was_written),
        cmocka_unit_test(secrets_are_reduced),
        cmocka_unit_test(hostile_secrets_are_reduced),
        cmocka_unit_test(a_secret_by_another_name),
        cmocka_unit_test(hostile_texts_take_no_time),
        cmocka_unit_test(configmaps_stay_readable),
        cmocka_unit_test(by_kind),
        cmocka_unit_test(the_way_of_reading_is_no_difference),
        cmocka_unit_test(hash_depends_on_the_key),
        cmocka_unit_test(key_files),
        cmocka_unit_test(an_older_form_is_brought_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
