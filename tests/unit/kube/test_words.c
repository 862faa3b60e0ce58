/* Tests of what becomes of free text and of a user's values before they are told; and who owns an object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "kube/kube_priv.h"

static const struct norm_key key = {.bytes = {1, 2, 3}};

static void told(const char *text, const char *as) {
    char out[KUBE_WORDS_MAX];
    kube_words_reduce(&key, text, out);
    assert_string_equal(out, as);
}

static void hashed(const char *text) {
    char out[KUBE_WORDS_MAX];
    kube_words_reduce(&key, text, out);
    assert_memory_equal(out, "keyed:", 6);
    assert_int_equal(strlen(out), 6 + 64);
}

static void test_plain_words_stay(void **state) {
    (void)state;
    static const char *const plain[] = {
        "",
        "Install complete",
        "Helm upgrade failed for release shop/shop with chart shop@1.2.3+1234567890ab: context deadline "
        "exceeded",
        "stored artifact for revision 'main@sha1:0123456789abcdef0123456789abcdef01234567'",
        "applied revision sha256:1b2c3d4e5f60718293a4b5c6d7e8f9000112233445566778899aabbccddeeff0",
        "Deployment/shop/gateway-7d9c5bdf8b-x2x9z not ready: HealthCheckFailed",
        "first line\nsecond line",
        "dependency 'flux-system/cert-manager' is not ready",
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        told(plain[i], plain[i]);
}

static void test_tokens_do_not(void **state) {
    (void)state;
    told("refused token-less sk1234567890abcdefgh now", "refused token-less *** now");
    told("Authorized by Bearer abc", "Authorized by Bearer ***");
    told("got QmFzZTY0IGlzIG5vdCBlbmNyeXB0aW9u", "got ***");
    hashed("values: password=hunter2 is too short");
    hashed("cannot clone https://user:hunter2@git.example/x");
    hashed("-----BEGIN RSA PRIVATE KEY-----");
    hashed("env: API_TOKEN: \"x\" is invalid");
}

static void test_long_text_is_cut_at_a_character(void **state) {
    (void)state;
    char long_text[9000];
    char out[KUBE_WORDS_MAX];
    memset(long_text, 0, sizeof long_text);
    for (size_t i = 0; i + 2 < sizeof long_text; i += 2)
        memcpy(long_text + i, "\xc3\xa4", 2);
    kube_words_reduce(&key, long_text, out);
    assert_true(strlen(out) < KUBE_WORDS_MAX && strlen(out) % 2 == 0 && strlen(out) > 200);
}

static json_t *parse(const char *text) {
    json_t *doc = NULL;
    assert_int_equal(js_parse(text, strlen(text), JS_TEXT_MAX, &doc, NULL), 0);
    return doc;
}

static void test_values_by_pointer(void **state) {
    (void)state;
    bool cut = true;
    json_t *values = parse(
        "{\"engine\":{\"replicas\":2,\"image\":\"engine:1\",\"hpa\":{\"enabled\":true}},"
        "\"db\":{\"pw\":\"hunter2\",\"port_key\":5432},\"hosts\":[\"a\",\"a\"],\"none\":{},\"a/b~c\":1}");
    json_t *list = kube_values_list(&key, values, 4096, &cut);
    assert_false(cut);
    assert_int_equal(json_integer_value(json_object_get(list, "/engine/replicas")), 2);
    assert_true(json_is_true(json_object_get(list, "/engine/hpa/enabled")));
    const char *pw = json_string_value(json_object_get(list, "/db/pw"));
    assert_memory_equal(pw, "keyed:", 6);
    assert_memory_equal(json_string_value(json_object_get(list, "/engine/image")), "keyed:", 6);
    assert_true(json_is_string(json_object_get(list, "/db/port_key"))); /* its name looks secret */
    assert_string_equal(json_string_value(json_object_get(list, "/hosts/0")),
                        json_string_value(json_object_get(list, "/hosts/1")));
    assert_non_null(json_object_get(list, "/none"));
    assert_non_null(json_object_get(list, "/a~1b~0c"));
    char *text = js_canonical(list);
    assert_null(strstr(text, "hunter2"));
    free(text);
    json_decref(list);
    list = kube_values_list(&key, values, 120, &cut);
    assert_true(cut);
    json_decref(list);
    json_decref(values);
}

static void test_values_of_any_shape(void **state) {
    (void)state;
    bool cut = false;
    static const char *const shapes[] = {
        "null", "7", "\"text\"", "{}", "[]", "[[[[1]]]]", "{\"sk1234567890abcdefghij\":{\"x\":\"y\"}}"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        json_t *values = parse(shapes[i]);
        json_t *list = kube_values_list(&key, values, 4096, &cut);
        char *text = js_canonical(list);
        assert_null(strstr(text, "sk1234567890"));
        free(text);
        json_decref(list);
        json_decref(values);
    }
    char deep[2048] = "";
    for (int i = 0; i < 200; i++)
        strcat(deep, "{\"a\":");
    strcat(deep, "1");
    for (int i = 0; i < 200; i++)
        strcat(deep, "}");
    json_t *values = parse(deep);
    json_decref(kube_values_list(&key, values, 4096, &cut));
    assert_true(cut);
    json_decref(values);
}

/* ---- owners */

static void owner(const struct kube_apps *apps, const char *metadata, const char *as) {
    char text[1024];
    char out[KUBE_OWNER_MAX];
    (void)snprintf(text, sizeof text, "{\"metadata\":{%s}}", metadata);
    json_t *doc = parse(text);
    kube_owner_read(apps, doc, out);
    json_decref(doc);
    assert_string_equal(out, as);
}

#define HELM "\"annotations\":{\"meta.helm.sh/release-name\":\"shop\"}"

static void test_owners(void **state) {
    (void)state;
    static struct kube_apps apps;
    owner(NULL, "", "");
    owner(NULL, HELM, "helm:shop");
    owner(NULL,
          HELM ",\"labels\":{\"helm.toolkit.fluxcd.io/name\":\"shop\",\"helm.toolkit.fluxcd.io/"
               "namespace\":\"apps\"}",
          "flux:HelmRelease/apps/shop");
    owner(NULL,
          "\"labels\":{\"kustomize.toolkit.fluxcd.io/name\":\"all\",\"kustomize.toolkit.fluxcd.io/"
          "namespace\":\"flux\"}",
          "flux:Kustomization/flux/all");
    owner(NULL, "\"annotations\":{\"argocd.argoproj.io/tracking-id\":\"shop:apps/Deployment:mcp/gateway\"}",
          "argocd:shop");
    owner(NULL, "\"annotations\":{\"argocd.argoproj.io/tracking-id\":\"no colon\"}", "");
    owner(&apps, "\"labels\":{\"app.kubernetes.io/instance\":\"shop\"}", "");
    kube_apps_add(&apps, "shop");
    kube_apps_add(&apps, "shop");
    assert_int_equal(apps.n, 1);
    owner(&apps, "\"labels\":{\"app.kubernetes.io/instance\":\"shop\"}", "argocd:shop");
    kube_apps_remove(&apps, "shop");
    owner(&apps, "\"labels\":{\"app.kubernetes.io/instance\":\"shop\"}", "");
    owner(NULL,
          "\"labels\":{\"kustomize.toolkit.fluxcd.io/name\":\"a\\nb\",\"kustomize.toolkit.fluxcd.io/"
          "namespace\":[]}," HELM,
          "helm:shop");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_words_stay),
        cmocka_unit_test(test_tokens_do_not),
        cmocka_unit_test(test_long_text_is_cut_at_a_character),
        cmocka_unit_test(test_values_by_pointer),
        cmocka_unit_test(test_values_of_any_shape),
        cmocka_unit_test(test_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
