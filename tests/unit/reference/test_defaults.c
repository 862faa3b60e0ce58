/* What the API server and tools write into an object that left it out, and what its author might have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "reference/values.h"

#define POD "/spec/template/spec"
#define BOX POD "/containers/0"
#define IN_POD(x) "{\"spec\":{\"template\":{\"spec\":{" x "}}}}"
#define IN_BOX(x) IN_POD("\"containers\":[{" x "}]")

static const struct {
    const char *kind, *object, *pointer;
    bool is;
} defaults[] = {
    {"Deployment", "{\"spec\":{\"replicas\":1}}", "/spec/replicas", true},
    {"Deployment", "{\"spec\":{\"replicas\":2}}", "/spec/replicas", false},
    {"ReplicaSet", "{\"spec\":{\"replicas\":1}}", "/spec/replicas", true},
    {"Thing.example.com", "{\"spec\":{\"replicas\":1}}", "/spec/replicas", false},
    {"Deployment",
     "{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"25%\","
     "\"maxUnavailable\":"
     "\"25%\"}}}}",
     "/spec/strategy", true},
    {"Deployment",
     "{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}}}}",
     "/spec/strategy", false},
    {"Deployment", "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}", "/spec/strategy", false},
    {"StatefulSet",
     "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Retain\",\"whenScaled\":"
     "\"Retain\"}}}",
     "/spec/persistentVolumeClaimRetentionPolicy", true},
    {"StatefulSet",
     "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Delete\",\"whenScaled\":"
     "\"Retain\"}}}",
     "/spec/persistentVolumeClaimRetentionPolicy", false},
    {"StatefulSet", "{\"spec\":{\"volumeClaimTemplates\":[{\"spec\":{\"volumeMode\":\"Filesystem\"}}]}}",
     "/spec/volumeClaimTemplates/0/spec/volumeMode", true},
    {"PersistentVolumeClaim", "{\"spec\":{\"volumeMode\":\"Block\"}}", "/spec/volumeMode", false},
    {"Deployment", IN_BOX("\"image\":\"nginx\",\"imagePullPolicy\":\"Always\""), BOX "/imagePullPolicy",
     true},
    {"Deployment", IN_BOX("\"image\":\"nginx:1\",\"imagePullPolicy\":\"Always\""), BOX "/imagePullPolicy",
     false},
    {"Deployment", IN_BOX("\"image\":\"nginx:1\",\"imagePullPolicy\":\"IfNotPresent\""),
     BOX "/imagePullPolicy", true},
    {"Deployment", IN_BOX("\"imagePullPolicy\":\"Always\""), BOX "/imagePullPolicy", false},
    {"Deployment", IN_BOX("\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"1000m\"}}"),
     BOX "/resources/requests/cpu", true},
    {"Deployment", IN_BOX("\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"1000m\"}}"),
     BOX "/resources/requests", true},
    {"Deployment", IN_BOX("\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"900m\"}}"),
     BOX "/resources/requests", false},
    {"Deployment", IN_BOX("\"resources\":{}"), BOX "/resources", true},
    {"Deployment", IN_BOX("\"ports\":[{\"containerPort\":80,\"protocol\":\"TCP\"}]"), BOX "/ports/0/protocol",
     true},
    {"Deployment", IN_BOX("\"ports\":[{\"containerPort\":80,\"protocol\":\"UDP\"}]"), BOX "/ports/0/protocol",
     false},
    {"Deployment",
     IN_POD("\"hostNetwork\":true,\"containers\":[{\"ports\":[{\"containerPort\":80,\"hostPort\":80}]}]"),
     BOX "/ports/0/hostPort", true},
    {"Deployment", IN_BOX("\"ports\":[{\"containerPort\":80,\"hostPort\":80}]"), BOX "/ports/0/hostPort",
     false},
    {"Deployment", IN_BOX("\"livenessProbe\":{\"timeoutSeconds\":1}"), BOX "/livenessProbe/timeoutSeconds",
     true},
    {"Deployment", IN_BOX("\"livenessProbe\":{\"timeoutSeconds\":5}"), BOX "/livenessProbe/timeoutSeconds",
     false},
    {"Deployment", IN_BOX("\"livenessProbe\":{\"tcpSocket\":{\"port\":1},\"timeoutSeconds\":1}"),
     BOX "/livenessProbe", false},
    {"Deployment", IN_BOX("\"lifecycle\":{\"preStop\":{\"httpGet\":{\"scheme\":\"HTTP\"}}}"),
     BOX "/lifecycle/preStop/httpGet/scheme", true},
    {"Deployment", IN_POD("\"volumes\":[{\"secret\":{\"defaultMode\":420}}]"),
     POD "/volumes/0/secret/defaultMode", true},
    {"Deployment", IN_POD("\"volumes\":[{\"secret\":{\"defaultMode\":256}}]"),
     POD "/volumes/0/secret/defaultMode", false},
    {"Deployment", IN_POD("\"serviceAccount\":\"a\",\"serviceAccountName\":\"a\""), POD "/serviceAccount",
     true},
    {"Deployment", IN_POD("\"serviceAccount\":\"a\",\"serviceAccountName\":\"b\""), POD "/serviceAccount",
     false},
    {"CronJob",
     "{\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"dnsPolicy\":\"ClusterFirst\"}}}}}}",
     "/spec/jobTemplate/spec/template/spec/dnsPolicy", true},
    {"Job", "{\"spec\":{\"completions\":1,\"parallelism\":1}}", "/spec/completions", true},
    {"Job", "{\"spec\":{\"completions\":1,\"parallelism\":2}}", "/spec/completions", false},
    {"Job", "{\"spec\":{\"backoffLimit\":6}}", "/spec/backoffLimit", true},
    {"Job", "{\"spec\":{\"backoffLimit\":2147483647,\"backoffLimitPerIndex\":1}}", "/spec/backoffLimit",
     true},
    {"Service", "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":80}]}}", "/spec/ports/0/targetPort", true},
    {"Service", "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":8080}]}}", "/spec/ports/0/targetPort",
     false},
    {"Service", "{\"spec\":{\"ipFamilies\":[\"IPv4\"]}}", "/spec/ipFamilies", true},
    {"Service", "{\"spec\":{\"ipFamilies\":[\"IPv4\",\"IPv6\"]}}", "/spec/ipFamilies", false},
    {"Service", "{\"spec\":{\"ipFamilyPolicy\":\"PreferDualStack\",\"ipFamilies\":[\"IPv4\",\"IPv6\"]}}",
     "/spec/ipFamilies", true},
    {"Service", "{\"spec\":{\"ipFamilyPolicy\":\"RequireDualStack\"}}", "/spec/ipFamilyPolicy", false},
    {"Service", "{\"spec\":{\"clusterIP\":\"None\",\"ipFamilyPolicy\":\"RequireDualStack\"}}",
     "/spec/ipFamilyPolicy", true},
    {"Service", "{\"spec\":{\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Cluster\"}}",
     "/spec/externalTrafficPolicy", true},
    {"Service", "{\"spec\":{\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\"}}",
     "/spec/externalTrafficPolicy", false},
    {"Service", "{\"spec\":{\"externalIPs\":[\"192.0.2.1\"],\"externalTrafficPolicy\":\"Cluster\"}}",
     "/spec/externalTrafficPolicy", true},
    {"Service", "{\"spec\":{\"externalTrafficPolicy\":\"Cluster\"}}", "/spec/externalTrafficPolicy", false},
    {"Job",
     "{\"metadata\":{\"labels\":{\"a/b\":\"x\"}},\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"a/"
     "b\":\"x\"}}}}}",
     "/metadata/labels", true},
    {"Job", "{\"metadata\":{\"labels\":{\"a\":\"x\"}},\"spec\":{}}", "/metadata/labels", false},
    {"Deployment", IN_POD("\"volumes\":[{\"image\":{\"reference\":\"a\",\"pullPolicy\":\"Always\"}}]"),
     POD "/volumes/0/image/pullPolicy", true},
    {"Deployment", IN_POD("\"volumes\":[{\"image\":{\"reference\":\"a:1\",\"pullPolicy\":\"Always\"}}]"),
     POD "/volumes/0/image/pullPolicy", false},
    {"NetworkPolicy", "{\"spec\":{\"policyTypes\":[\"Ingress\"]}}", "/spec/policyTypes", true},
    {"NetworkPolicy", "{\"spec\":{\"policyTypes\":[\"Ingress\",\"Egress\"]}}", "/spec/policyTypes", false},
    {"NetworkPolicy", "{\"spec\":{\"egress\":[{}],\"policyTypes\":[\"Ingress\",\"Egress\"]}}",
     "/spec/policyTypes", true},
    {"NetworkPolicy", "{\"spec\":{\"egress\":[{}],\"policyTypes\":[\"Ingress\"]}}", "/spec/policyTypes",
     false},
    {"RoleBinding", "{\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s.io\"}]}",
     "/subjects/0/apiGroup", true},
    {"RoleBinding",
     "{\"subjects\":[{\"kind\":\"ServiceAccount\",\"apiGroup\":\"rbac.authorization.k8s.io\"}]}",
     "/subjects/0/apiGroup", false},
    {"LimitRange",
     "{\"spec\":{\"limits\":[{\"type\":\"Container\",\"max\":{\"cpu\":\"1\"},\"default\":{\"cpu\":\"1\"}}]}}",
     "/spec/limits/0/default", true},
    {"Secret", "{\"type\":\"Opaque\"}", "/type", true},
    {"HorizontalPodAutoscaler", "{\"spec\":{\"minReplicas\":1}}", "/spec/minReplicas", true},
    {"HorizontalPodAutoscaler",
     "{\"spec\":{\"behavior\":{\"scaleDown\":{\"selectPolicy\":\"Max\",\"policies\":"
     "[{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}}}}",
     "/spec/behavior", true},
    {"HTTPRoute.gateway.networking.k8s.io", "{\"spec\":{\"rules\":[{\"backendRefs\":[{\"weight\":1}]}]}}",
     "/spec/rules/0/backendRefs/0/weight", true},
    {"HTTPRoute.gateway.networking.k8s.io", "{\"spec\":{\"rules\":[{\"backendRefs\":[{\"weight\":2}]}]}}",
     "/spec/rules/0/backendRefs/0/weight", false},
    {"GitRepository.source.toolkit.fluxcd.io", "{\"spec\":{\"timeout\":\"1m0s\"}}", "/spec/timeout", true},
    {"GitRepository.source.toolkit.fluxcd.io", "{\"spec\":{\"timeout\":\"2m\"}}", "/spec/timeout", false},
    {"Deployment", "{\"spec\":{\"paused\":true}}", "/spec/paused", false},
    {"Deployment", "{\"spec\":{\"x\":{}}}", "/spec/x", false},
    {"Deployment", "{\"spec\":{\"x\":[]}}", "/spec/x", false},
    {"Deployment", "{}", "", false},
};

static void defaults_are_known(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        json_t *o = json_loads(defaults[i].object, 0, NULL);
        assert_non_null(o);
        json_t *v = *defaults[i].pointer ? js_at(o, defaults[i].pointer) : o;
        assert_non_null(v);
        if (ref_is_default(defaults[i].kind, defaults[i].pointer, v, o) != defaults[i].is)
            fail_msg("%s %s of %s", defaults[i].kind, defaults[i].pointer, defaults[i].object);
        json_decref(o);
    }
}

#define META(x) "{\"metadata\":{" x "}}"

static const struct {
    const char *kind, *object, *pointer;
    bool is;
} additions[] = {
    {"Service", META("\"namespace\":\"shop\""), "/metadata/namespace", true},
    {"Service", META("\"labels\":{\"app.kubernetes.io/managed-by\":\"Helm\"}"), "/metadata/labels", true},
    {"Service", META("\"labels\":{\"app.kubernetes.io/managed-by\":\"hand\"}"), "/metadata/labels", false},
    {"Service", META("\"labels\":{\"app.kubernetes.io/managed-by\":\"Helm\",\"x\":\"y\"}"),
     "/metadata/labels", false},
    {"Service", META("\"annotations\":{\"meta.helm.sh/release-name\":\"shop\"}"), "/metadata/annotations",
     true},
    {"Service", META("\"labels\":{\"helm.toolkit.fluxcd.io/name\":\"shop\"}"),
     "/metadata/labels/helm.toolkit.fluxcd.io~1name", true},
    {"Service", META("\"labels\":{\"helm.toolkit.example.com/name\":\"shop\"}"),
     "/metadata/labels/helm.toolkit.example.com~1name", false},
    {"Service", META("\"annotations\":{\"argocd.argoproj.io/tracking-id\":\"x\"}"),
     "/metadata/annotations/argocd.argoproj.io~1tracking-id", true},
    {"Service", META("\"labels\":{\"app.kubernetes.io/instance\":\"shop\"}"),
     "/metadata/labels/app.kubernetes.io~1instance", true},
    {"Service",
     META("\"labels\":{\"app.kubernetes.io/instance\":\"shop\"},\"annotations\":{\"meta.helm.sh/"
          "release-name\":\"shop\"}"),
     "/metadata/labels/app.kubernetes.io~1instance", false},
    {"PersistentVolumeClaim", META("\"finalizers\":[\"kubernetes.io/pvc-protection\"]"),
     "/metadata/finalizers", true},
    {"PersistentVolumeClaim", META("\"finalizers\":[\"kubernetes.io/pvc-protection\",\"mine\"]"),
     "/metadata/finalizers", false},
    {"PersistentVolumeClaim", META("\"finalizers\":[\"mine\"]"), "/metadata/finalizers/0", false},
    {"PersistentVolumeClaim", "{\"spec\":{\"storageClassName\":\"standard\"}}", "/spec/storageClassName",
     true},
    {"StatefulSet", "{\"spec\":{\"storageClassName\":\"standard\"}}", "/spec/storageClassName", false},
    {"Ingress", "{\"spec\":{\"ingressClassName\":\"nginx\"}}", "/spec/ingressClassName", true},
    {"Ingress",
     "{\"metadata\":{\"annotations\":{\"kubernetes.io/ingress.class\":\"nginx\"}},"
     "\"spec\":{\"ingressClassName\":\"nginx\"}}",
     "/spec/ingressClassName", false},
    {"Deployment", "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"x\":\"y\"}}}}}",
     "/spec/template/metadata/annotations/x", false},
};

static void additions_are_known(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof additions / sizeof *additions; i++) {
        json_t *o = json_loads(additions[i].object, 0, NULL);
        assert_non_null(o);
        json_t *v = js_at(o, additions[i].pointer);
        assert_non_null(v);
        if (ref_is_added(additions[i].kind, additions[i].pointer, v, o) != additions[i].is)
            fail_msg("%s %s of %s", additions[i].kind, additions[i].pointer, additions[i].object);
        json_decref(o);
    }
}

static const struct {
    const char *kind, *pointer, *value;
    bool is;
} absences[] = {
    {"Deployment", "/spec/paused", "false", true},
    {"Deployment", "/spec/paused", "true", false},
    {"Deployment", "/spec/replicas", "0", false},
    {"Deployment", "/spec/minReadySeconds", "0", true},
    {"Deployment", POD "/automountServiceAccountToken", "false", false},
    {"Deployment", POD "/hostNetwork", "false", true},
    {"Deployment", BOX "/securityContext/privileged", "false", false},
    {"Deployment", BOX "/securityContext", "{}", true},
    {"Deployment", BOX "/env", "[]", true},
    {"Deployment", BOX "/env/0/value", "\"\"", true},
    {"Deployment", BOX "/args/0", "\"\"", false},
    {"Deployment", POD "/volumes/0/emptyDir", "{}", false},
    {"Deployment", POD "/nodeSelector", "{}", true},
    {"Deployment", POD "/priorityClassName", "null", true},
    {"Deployment", "/metadata/annotations", "{}", true},
    {"Deployment", "/metadata/annotations/x", "\"\"", false},
    {"ConfigMap", "/data/x", "\"\"", false},
    {"ConfigMap", "/data", "{}", true},
    {"Service", "/spec/selector", "{}", true},
    {"NetworkPolicy", "/spec/podSelector", "{}", false},
    {"NetworkPolicy", "/spec/ingress", "[]", true},
    {"NetworkPolicy", "/spec/ingress/0", "{}", false},
    {"PersistentVolumeClaim", "/spec/storageClassName", "\"\"", false},
    {"Thing.example.com", "/spec/list", "[]", false},
    {"Thing.example.com", "/spec/x", "null", true},
    {"Thing.example.com", "/metadata/labels", "{}", true},
};

static void what_says_nothing_is_known(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof absences / sizeof *absences; i++) {
        json_t *v = json_loads(absences[i].value, JSON_DECODE_ANY, NULL);
        if (ref_is_left_out(absences[i].kind, absences[i].pointer, v) != absences[i].is)
            fail_msg("%s %s %s", absences[i].kind, absences[i].pointer, absences[i].value);
        json_decref(v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_known),
        cmocka_unit_test(additions_are_known),
        cmocka_unit_test(what_says_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
