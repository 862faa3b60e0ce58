/* What a leaf means by its place, and when two of them mean the same: images, selectors, secrets ... */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/values.h"

#define SHA "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA_2 "sha256:f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text, *repository, *tag, *digest; /* repository NULL: refused */
} images[] = {
    {"nginx", "docker.io/library/nginx", "latest", ""},
    {"nginx:1.2", "docker.io/library/nginx", "1.2", ""},
    {"docker.io/nginx", "docker.io/library/nginx", "latest", ""},
    {"docker.io/library/nginx:latest", "docker.io/library/nginx", "latest", ""},
    {"index.docker.io/library/nginx", "docker.io/library/nginx", "latest", ""},
    {"bitnami/redis:7", "docker.io/bitnami/redis", "7", ""},
    {"localhost/app", "localhost/app", "latest", ""},
    {"localhost:5000/app:v1", "localhost:5000/app", "v1", ""},
    {"registry.example.com:5000/team/app", "registry.example.com:5000/team/app", "latest", ""},
    {"registry.example.com:5000/team/app:v1", "registry.example.com:5000/team/app", "v1", ""},
    {"ghcr.io/org/app@" SHA, "ghcr.io/org/app", "", SHA},
    {"ghcr.io/org/app:v1@" SHA, "ghcr.io/org/app", "v1", SHA},
    {"Registry/app", "Registry/app", "latest", ""},
    {"[::1]:5000/app", "[::1]:5000/app", "latest", ""},
    {"", NULL, "", ""},
    {":1", NULL, "", ""},
    {"nginx:", NULL, "", ""},
    {"nginx:a b", NULL, "", ""},
    {"nginx@", NULL, "", ""},
    {"nginx@sha256:12", NULL, "", ""},
    {"Nginx", NULL, "", ""},
    {"a//b", NULL, "", ""},
    {"/a", NULL, "", ""},
    {"a/", NULL, "", ""},
    {"a b", NULL, "", ""},
    {"{{ .Values.image }}", NULL, "", ""},
};

static void images_have_parts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        struct ref_image r;
        bool good = ref_image(images[i].text, &r) == 0;
        if (good != (images[i].repository != NULL))
            fail_msg("%s: taken: %d", images[i].text, good);
        if (good && (strcmp(r.repository, images[i].repository) != 0 || strcmp(r.tag, images[i].tag) != 0 ||
                     strcmp(r.digest, images[i].digest) != 0))
            fail_msg("%s: %s %s %s", images[i].text, r.repository, r.tag, r.digest);
    }
}

#define TEMPLATE "/spec/template/spec"

static const struct {
    const char *kind, *pointer;
    enum ref_meaning meaning;
} places[] = {
    {"Deployment", TEMPLATE "/containers/0/resources/limits/cpu", REF_QUANTITY},
    {"Deployment", TEMPLATE "/containers/0/resources/requests/nvidia.com~1gpu", REF_QUANTITY},
    {"Deployment", TEMPLATE "/volumes/0/emptyDir/sizeLimit", REF_QUANTITY},
    {"Deployment", TEMPLATE "/containers/0/env/0/valueFrom/resourceFieldRef/divisor", REF_QUANTITY},
    {"StatefulSet", "/spec/volumeClaimTemplates/0/spec/resources/requests/storage", REF_QUANTITY},
    {"PersistentVolumeClaim", "/spec/resources/requests/storage", REF_QUANTITY},
    {"PersistentVolume", "/spec/capacity/storage", REF_QUANTITY},
    {"ResourceQuota", "/spec/hard/requests.cpu", REF_QUANTITY},
    {"LimitRange", "/spec/limits/0/max/memory", REF_QUANTITY},
    {"HorizontalPodAutoscaler", "/spec/metrics/0/resource/target/averageValue", REF_QUANTITY},
    {"Kafka.kafka.strimzi.io", "/spec/storage", REF_QUANTITY},
    {"Deployment", TEMPLATE "/containers/0/env/0/value", REF_TEXT},
    {"Deployment", "/metadata/labels/image", REF_TEXT},
    {"Deployment", "/metadata/annotations/storage", REF_TEXT},
    {"ConfigMap", "/data/timeout", REF_TEXT},
    {"ConfigMap", "/data/image", REF_TEXT},
    {"ConfigMap", "/binaryData/logo.png", REF_BYTES},
    {"Deployment", TEMPLATE "/containers/0/image", REF_IMAGE},
    {"CronJob", "/spec/jobTemplate/spec/template/spec/initContainers/3/image", REF_IMAGE},
    {"Deployment", TEMPLATE "/volumes/0/image/reference", REF_IMAGE},
    {"Deployment", TEMPLATE "/volumes/0/rbd/image", REF_TEXT},
    {"Prometheus.monitoring.coreos.com", "/spec/image", REF_IMAGE},
    {"Service", "/spec/ports/0/targetPort", REF_INT_OR_STRING},
    {"Service", "/spec/ports/0/port", REF_TEXT},
    {"Deployment", TEMPLATE "/containers/0/ports/0/containerPort", REF_TEXT},
    {"Deployment", TEMPLATE "/containers/0/livenessProbe/httpGet/port", REF_INT_OR_STRING},
    {"Deployment", TEMPLATE "/containers/0/livenessProbe/grpc/port", REF_TEXT},
    {"NetworkPolicy", "/spec/ingress/0/ports/0/port", REF_INT_OR_STRING},
    {"PodDisruptionBudget", "/spec/minAvailable", REF_INT_OR_STRING},
    {"Deployment", "/spec/strategy/rollingUpdate/maxSurge", REF_INT_OR_STRING},
    {"HelmRelease.helm.toolkit.fluxcd.io", "/spec/interval", REF_DURATION},
    {"GitRepository.source.toolkit.fluxcd.io", "/spec/timeout", REF_DURATION},
    {"Certificate.cert-manager.io", "/spec/renewBefore", REF_DURATION},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/0/timeouts/request", REF_DURATION},
    {"SecretStore.external-secrets.io", "/spec/provider/vault/caBundle", REF_BYTES},
    {"Deployment", "", REF_TEXT},
};

static void a_place_says_what_is_meant(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (ref_meaning_of(places[i].kind, places[i].pointer) != places[i].meaning)
            fail_msg("%s %s", places[i].kind, places[i].pointer);
}

static const struct {
    enum ref_meaning meaning;
    const char *a, *b; /* JSON */
    int same;          /* 2: only this way round */
} pairs[] = {
    {REF_TEXT, "\"a\"", "\"a\"", 1},
    {REF_TEXT, "\"a\"", "\"b\"", 0},
    {REF_TEXT, "1", "1.0", 1},
    {REF_TEXT, "1", "\"1\"", 0},
    {REF_TEXT, "true", "\"true\"", 0},
    {REF_TEXT, "9007199254740993", "9007199254740992", 0},
    {REF_TEXT, "\"500m\"", "\"0.5\"", 0},
    {REF_QUANTITY, "\"500m\"", "\"0.5\"", 1},
    {REF_QUANTITY, "0.5", "\"500m\"", 1},
    {REF_QUANTITY, "1", "\"1000m\"", 1},
    {REF_QUANTITY, "\"1Gi\"", "\"1024Mi\"", 1},
    {REF_QUANTITY, "\"1Gi\"", "\"1G\"", 0},
    {REF_QUANTITY, "\"0.3333Gi\"", "\"357878149940m\"", 1},
    {REF_QUANTITY, "\"0.3333Gi\"", "\"357878149939m\"", 0},
    {REF_QUANTITY, "\"1100u\"", "\"1200u\"", 0},
    {REF_QUANTITY, "\"0\"", "\"1u\"", 0},
    {REF_QUANTITY, "\"1h\"", "\"60m\"", 0},
    {REF_QUANTITY, "\"x\"", "\"x\"", 1},
    {REF_QUANTITY, "{}", "{}", 1},
    {REF_QUANTITY, "\"1\"", "true", 0},
    {REF_DURATION, "\"1h\"", "\"60m0s\"", 1},
    {REF_DURATION, "\"1h\"", "\"61m\"", 0},
    {REF_DURATION, "\"soon\"", "\"later\"", 0},
    {REF_INT_OR_STRING, "80", "\"80\"", 1},
    {REF_INT_OR_STRING, "80", "\"080\"", 0},
    {REF_INT_OR_STRING, "\"25%\"", "25", 0},
    {REF_INT_OR_STRING, "\"http\"", "80", 0},
    {REF_IMAGE, "\"nginx\"", "\"docker.io/library/nginx:latest\"", 1},
    {REF_IMAGE, "\"nginx:1.2\"", "\"nginx:1.3\"", 0},
    {REF_IMAGE, "\"nginx:1.2\"", "\"nginx:1.2@" SHA "\"", 2},
    {REF_IMAGE, "\"nginx:1.2\"", "\"nginx:1.3@" SHA "\"", 0},
    {REF_IMAGE, "\"nginx:1.2\"", "\"nginx@" SHA "\"", 0},
    {REF_IMAGE, "\"nginx@" SHA "\"", "\"nginx:1.2@" SHA "\"", 1},
    {REF_IMAGE, "\"nginx:1.2@" SHA "\"", "\"nginx:1.2@" SHA_2 "\"", 0},
    {REF_IMAGE, "\"nginx:1.2@" SHA "\"", "\"nginx:1.3@" SHA "\"", 0},
    {REF_IMAGE, "\"quay.io/nginx:1\"", "\"nginx:1\"", 0},
    {REF_IMAGE, "\"not an image\"", "\"not an image\"", 1},
    {REF_BYTES, "\"AAEC\\nAwQ=\"", "\"AAECAwQ=\\n\"", 1},
    {REF_BYTES, "\"AAECAwQ=\"", "\"AAECAwU=\"", 0},
    {REF_BYTES, "\"AAECAwQ=\"", "\"AAECAwQ=AA==\"", 0},
    {REF_TEXT, "\"keyed:aa\"", "\"keyed:aa\"", 1},
    {REF_TEXT, "\"keyed:aa\"", "\"keyed:bb\"", 0},
    {REF_TEXT, "\"keyed:aa\"", "\"aa\"", 0},
    {REF_TEXT, "\"(secret)\"", "\"keyed:bb\"", 1},
    {REF_TEXT, "\"(secret)\"", "\"\"", 1},
    {REF_TEXT, "\"(secret)\"", "5", 0},
    {REF_TEXT, "\"--token=(secret)\"", "\"--token=keyed:aa\"", 1},
    {REF_TEXT, "\"--token=(secret)\"", "\"--tokens=keyed:aa\"", 0},
    {REF_TEXT, "\"a(secret)b(secret)c\"", "\"a1b2c\"", 1},
    {REF_TEXT, "\"a(secret)b(secret)c\"", "\"a1c2b\"", 0},
    {REF_TEXT, "\"a(secret)a\"", "\"a\"", 0},
    {REF_TEXT, "\"(secret)(secret)x\"", "\"x\"", 1},
    {REF_QUANTITY, "\"keyed:aa\"", "\"keyed:bb\"", 0},
};

static void sameness_is_by_meaning(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        json_t *a = json_loads(pairs[i].a, JSON_DECODE_ANY, NULL);
        json_t *b = json_loads(pairs[i].b, JSON_DECODE_ANY, NULL);
        if (ref_same_value(pairs[i].meaning, a, b) != (pairs[i].same > 0) ||
            ref_same_value(pairs[i].meaning, b, a) != (pairs[i].same == 1))
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
        json_decref(a);
        json_decref(b);
    }
}

#define LABELS "{\"app\":\"web\",\"tier\":\"front\"}"

static const struct {
    const char *selector;
    bool plain, selects; /* LABELS */
} selections[] = {
    {"{}", false, true},
    {"{}", true, false},
    {"null", false, false},
    {"[]", false, false},
    {"{\"app\":\"web\"}", true, true},
    {"{\"app\":\"db\"}", true, false},
    {"{\"matchLabels\":{\"app\":\"web\"}}", false, true},
    {"{\"matchLabels\":{\"app\":\"web\",\"x\":\"\"}}", false, false},
    {"{\"matchLabels\":null}", false, true},
    {"{\"matchLabels\":[]}", false, false},
    {"{\"matchExpressions\":{}}", false, false},
    {"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[\"db\",\"web\"]}]}", false,
     true},
    {"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[]}]}", false, false},
    {"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":[\"web\"]}]}", false, false},
    {"{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"NotIn\",\"values\":[\"a\"]}]}", false, true},
    {"{\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"Exists\"}]}", false, true},
    {"{\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"DoesNotExist\"}]}", false, false},
    {"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Like\",\"values\":[\"web\"]}]}", false, false},
    {"{\"matchExpressions\":[1]}", false, false},
};

static void selectors_select(void **state) {
    json_t *labels = json_loads(LABELS, 0, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof selections / sizeof *selections; i++) {
        json_t *s = json_loads(selections[i].selector, JSON_DECODE_ANY, NULL);
        if (ref_selects(s, selections[i].plain, labels) != selections[i].selects)
            fail_msg("%s", selections[i].selector);
        json_decref(s);
    }
    assert_false(ref_selects(NULL, false, labels));
    json_decref(labels);
}

static const struct {
    const char *selector, *form;
} forms[] = {
    {"{}", "{}"},
    {"{\"matchLabels\":{},\"matchExpressions\":[]}", "{}"},
    {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"1\"]}]}",
     "{\"matchLabels\":{\"a\":\"1\"}}"},
    {"{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":["
     "\"1\",\"1\"]}]}",
     "{\"matchLabels\":{\"a\":\"1\"}}"},
    {"{\"matchExpressions\":[{\"key\":\"b\",\"operator\":\"Exists\",\"values\":[]},"
     "{\"operator\":\"NotIn\",\"key\":\"a\",\"values\":[\"2\",\"1\",\"2\"]}]}",
     "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"1\",\"2\"]},"
     "{\"key\":\"b\",\"operator\":\"Exists\"}]}"},
    {"{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":["
     "\"2\"]}]}",
     "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"2\"]}],\"matchLabels\":{\"a\":"
     "\"1\"}}"},
    {"{\"matchExpressions\":[5]}", "{\"matchExpressions\":[5]}"},
    {"{\"other\":1}", "{\"other\":1}"},
    {"[1]", "[1]"},
};

static void equal_selectors_are_equal_json(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        json_t *s = json_loads(forms[i].selector, 0, NULL);
        json_t *form = ref_selector_form(s);
        char *text = json_dumps(form, JSON_SORT_KEYS | JSON_COMPACT);
        assert_string_equal(text, forms[i].form);
        free(text);
        json_decref(form);
        json_decref(s);
    }
}

static void older_versions_are_read_as_the_newest(void **state) {
    static const struct {
        const char *kind, *old, *newest;
    } objects[] = {
        {"HorizontalPodAutoscaler", "{\"spec\":{\"maxReplicas\":3,\"targetCPUUtilizationPercentage\":70}}",
         "{\"spec\":{\"maxReplicas\":3,\"metrics\":[{\"resource\":{\"name\":\"cpu\",\"target\":{"
         "\"averageUtilization\":70,\"type\":\"Utilization\"}},\"type\":\"Resource\"}]}}"},
        {"HorizontalPodAutoscaler",
         "{\"metadata\":{\"annotations\":{\"autoscaling.alpha.kubernetes.io/metrics\":"
         "\"[{\\\"type\\\":\\\"Pods\\\",\\\"pods\\\":{\\\"metricName\\\":\\\"q\\\","
         "\\\"targetAverageValue\\\":\\\"5\\\"}}]\","
         "\"autoscaling.alpha.kubernetes.io/behavior\":"
         "\"{\\\"ScaleUp\\\":{\\\"SelectPolicy\\\":\\\"Max\\\",\\\"Policies\\\":null}}\"}},\"spec\":{"
         "\"maxReplicas\":3}}",
         "{\"metadata\":{},\"spec\":{\"behavior\":{\"scaleUp\":{\"selectPolicy\":\"Max\"}},\"maxReplicas\":3,"
         "\"metrics\":[{\"pods\":{\"metric\":{\"name\":\"q\"},\"target\":{\"averageValue\":\"5\","
         "\"type\":\"AverageValue\"}},\"type\":\"Pods\"}]}}"},
        {"Ingress",
         "{\"spec\":{\"backend\":{\"serviceName\":\"d\",\"servicePort\":\"http\"},\"rules\":[{\"http\":{"
         "\"paths\":["
         "{\"backend\":{\"serviceName\":\"w\",\"servicePort\":80}}]}}]}}",
         "{\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"d\",\"port\":{\"name\":\"http\"}}},"
         "\"rules\":[{\"http\":"
         "{\"paths\":[{\"backend\":{\"service\":{\"name\":\"w\",\"port\":{\"number\":80}}}}]}}]}}"},
        {"Ingress", "{\"spec\":null}", "{\"spec\":null}"},
        {"HorizontalPodAutoscaler", "{\"spec\":7}", "{\"spec\":7}"},
        {"Service", "{\"spec\":{}}", "{\"spec\":{}}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        json_t *old = json_loads(objects[i].old, 0, NULL);
        json_t *newest = ref_newest_form(objects[i].kind, old);
        char *text = json_dumps(newest, JSON_SORT_KEYS | JSON_COMPACT);
        assert_string_equal(text, objects[i].newest);
        free(text);
        json_decref(newest);
        json_decref(old);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_have_parts),
        cmocka_unit_test(a_place_says_what_is_meant),
        cmocka_unit_test(sameness_is_by_meaning),
        cmocka_unit_test(selectors_select),
        cmocka_unit_test(equal_selectors_are_equal_json),
        cmocka_unit_test(older_versions_are_read_as_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
