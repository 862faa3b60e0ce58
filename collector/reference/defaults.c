/* defaults: what the API server writes into an object that left it out. See values.h.
 *
 * One table; above each group of rows the place in Kubernetes' source. Custom resources: defaults_custom.c.
 * Read for 1.20 to 1.34: a default that came or went in between is a row as well, as it does not change what
 * the object means. A row's pattern begins at a place: the object, its pod spec, a container ...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/values.h"
#include "reference/values_priv.h"

#define DEPTH_MAX 16

/* ---- places */

enum place { OBJECT, POD, CONTAINER, PROBE, HANDLER, VOLUME, CLAIM, PLACES };

/* Where a pod's spec stands, by kind. */
static const char *pod_place(const char *kind) {
    static const char *const with_template[] = {
        "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController", NULL};
    for (const char *const *k = with_template; *k; k++)
        if (strcmp(*k, kind) == 0)
            return "/spec/template/spec";
    if (strcmp(kind, "CronJob") == 0)
        return "/spec/jobTemplate/spec/template/spec";
    if (strcmp(kind, "PodTemplate") == 0)
        return "/template/spec";
    return strcmp(kind, "Pod") == 0 ? "/spec" : NULL;
}

static const char *first_after(const char *pointer, const char *const *patterns) {
    for (; *patterns; patterns++) {
        const char *rest = ref_pointer_after(pointer, *patterns);
        if (rest)
            return rest;
    }
    return NULL;
}

/* What the pointer says below each place; NULL where it does not lie there. */
static void find_places(const char *kind, const char *pointer, const char *rest[PLACES]) {
    static const char *const containers[] = {"/containers/*", "/initContainers/*", "/ephemeralContainers/*",
                                             NULL};
    static const char *const probes[] = {"/livenessProbe", "/readinessProbe", "/startupProbe", NULL};
    static const char *const hooks[] = {"/lifecycle/postStart", "/lifecycle/preStop", NULL};
    static const char *const of_set[] = {"/spec/volumeClaimTemplates/*/spec", NULL};
    rest[OBJECT] = pointer;
    rest[POD] = ref_pointer_after(pointer, pod_place(kind));
    rest[CONTAINER] = first_after(rest[POD], containers);
    rest[PROBE] = first_after(rest[CONTAINER], probes);
    rest[HANDLER] = rest[PROBE] ? rest[PROBE] : first_after(rest[CONTAINER], hooks);
    rest[VOLUME] = ref_pointer_after(rest[POD], "/volumes/*");
    rest[CLAIM] = ref_pointer_after(rest[VOLUME], "/ephemeral/volumeClaimTemplate/spec");
    if (strcmp(kind, "PersistentVolumeClaim") == 0)
        rest[CLAIM] = ref_pointer_after(pointer, "/spec");
    else if (strcmp(kind, "StatefulSet") == 0 && !rest[CLAIM])
        rest[CLAIM] = first_after(pointer, of_set);
}

/* ---- defaults that follow from other fields */

struct spot {
    const char *kind, *pointer;
    const json_t *value, *object;
};

/* What stands `levels` steps above the spot; NULL: nothing that far. */
static const json_t *above(const struct spot *s, int levels) {
    char path[REF_POINTER_MAX];
    int n = snprintf(path, sizeof path, "%s", s->pointer);
    if (n < 0 || (size_t)n >= sizeof path)
        return NULL;
    for (; levels > 0; levels--) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return NULL;
        *slash = 0;
    }
    return js_at(s->object, path);
}

static const char *last_step(const struct spot *s) {
    return strrchr(s->pointer, '/') + 1;
}

/* The field of the map that holds the spot. */
static const json_t *beside(const struct spot *s, const char *field) {
    return json_object_get(above(s, 1), field);
}

static const char *text_beside(const struct spot *s, const char *field) {
    const char *text = json_string_value(beside(s, field));
    return text ? text : "";
}

static bool is_text(const json_t *v, const char *text) {
    return json_is_string(v) && strcmp(json_string_value(v), text) == 0;
}

/* SetDefaults_Container, SetDefaults_Volume: "latest", said or not, is pulled always. */
static bool pull_policy(const struct spot *s) {
    struct ref_image image;
    bool volume = strcmp(last_step(s), "pullPolicy") == 0;
    if (ref_image(text_beside(s, volume ? "reference" : "image"), &image) < 0)
        return false;
    return is_text(s->value, strcmp(image.tag, "latest") == 0 ? "Always" : "IfNotPresent");
}

/* SetDefaults_Pod: what is limited and not requested is requested as it is limited. */
static bool request_of_limit(const struct spot *s) {
    const json_t *limit = json_object_get(json_object_get(above(s, 2), "limits"), last_step(s));
    return limit && ref_same_value(REF_QUANTITY, limit, s->value);
}

/* SetDefaults_Service: a port's target is the port. */
static bool target_port(const struct spot *s) {
    const json_t *port = beside(s, "port");
    return port && ref_same_value(REF_INT_OR_STRING, port, s->value);
}

/* defaultHostNetworkPorts: on the node's network a port is the node's. */
static bool host_port(const struct spot *s) {
    const json_t *pod = above(s, 5);
    const json_t *port = beside(s, "containerPort");
    return json_is_true(json_object_get(pod, "hostNetwork")) && port &&
           ref_same_value(REF_TEXT, port, s->value);
}

/* SetDefaults_PodSpec and conversion: serviceAccount is the old name of serviceAccountName. */
static bool service_account(const struct spot *s) {
    const char *other = strcmp(last_step(s), "serviceAccount") == 0 ? "serviceAccountName" : "serviceAccount";
    const json_t *name = beside(s, other);
    return name && json_equal((json_t *)name, (json_t *)s->value);
}

/* SetDefaults_NetworkPolicy */
static bool policy_types(const struct spot *s) {
    size_t n = json_array_size(beside(s, "egress")) > 0 ? 2 : 1;
    return json_array_size(s->value) == n && is_text(json_array_get(s->value, 0), "Ingress") &&
           (n == 1 || is_text(json_array_get(s->value, 1), "Egress"));
}

static bool is_headless_without_selector(const struct spot *s) {
    return strcmp(text_beside(s, "clusterIP"), "None") == 0 && json_object_size(beside(s, "selector")) == 0;
}

/* Services of one address family, the cluster's; of two where nothing is selected, kubernetes.io "IPv4/IPv6
 * dual-stack", "Headless Services without selectors". */
static bool family_policy(const struct spot *s) {
    return is_text(s->value, "SingleStack") ||
           (is_text(s->value, "RequireDualStack") && is_headless_without_selector(s));
}

/* The first is the cluster's; a second one where the policy asks for two. */
static bool families(const struct spot *s) {
    size_t n = json_array_size(s->value);
    const char *policy = text_beside(s, "ipFamilyPolicy");
    if (n == 2 && strcmp(policy, "PreferDualStack") != 0 && strcmp(policy, "RequireDualStack") != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_text(json_array_get(s->value, i), "IPv4") && !is_text(json_array_get(s->value, i), "IPv6"))
            return false;
    return n == 1 || n == 2;
}

/* clusterIPs begins with clusterIP, and holds nothing else of one that is not the cluster's to give (core/v1
 * types.go, ServiceSpec.ClusterIPs). */
static bool addresses(const struct spot *s) {
    const json_t *first = beside(s, "clusterIP");
    return first && json_array_size(s->value) == 1 &&
           json_equal(json_array_get(s->value, 0), (json_t *)first);
}

/* pkg/api/v1/service/util.go, ExternallyAccessible */
static bool external_policy(const struct spot *s) {
    const char *type = text_beside(s, "type");
    bool accessible = strcmp(type, "NodePort") == 0 || strcmp(type, "LoadBalancer") == 0 ||
                      json_array_size(beside(s, "externalIPs")) > 0;
    return accessible && is_text(s->value, "Cluster");
}

static bool balancer_ports(const struct spot *s) {
    return strcmp(text_beside(s, "type"), "LoadBalancer") == 0 && json_is_true(s->value);
}

/* SetDefaults_Job: neither completions nor parallelism: one each; parallelism alone: one. */
static bool job_count(const struct spot *s) {
    if (!json_is_integer(s->value) || json_integer_value(s->value) != 1)
        return false;
    const char *other = strcmp(last_step(s), "completions") == 0 ? "parallelism" : "completions";
    return strcmp(other, "completions") == 0 || json_integer_value(beside(s, other)) == 1;
}

/* SetDefaults_Job: unlimited where each index has a limit of its own. */
static bool backoff_limit(const struct spot *s) {
    json_int_t n = json_integer_value(s->value);
    return json_is_integer(s->value) && n == (beside(s, "backoffLimitPerIndex") ? INT32_MAX : 6);
}

/* SetDefaults_Job: one without labels gets its template's. */
static bool template_label(const struct spot *s) {
    const json_t *labels = js_at(s->object, "/spec/template/metadata/labels");
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)labels, key, v) {
        char step[REF_POINTER_MAX];
        if (ref_escape_step(key, step, sizeof step) && strcmp(step, last_step(s)) == 0)
            return json_equal(v, (json_t *)s->value);
    }
    return false;
}

/* SetDefaults_Job: with a podFailurePolicy only what failed is replaced. */
static bool replacement_policy(const struct spot *s) {
    return is_text(s->value, beside(s, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
}

/* rbac/v1 SetDefaults_Subject: people and groups are of the group that rules them. */
static bool subject_group(const struct spot *s) {
    const char *kind = text_beside(s, "kind");
    bool person = strcmp(kind, "User") == 0 || strcmp(kind, "Group") == 0;
    return is_text(s->value, person ? "rbac.authorization.k8s.io" : "");
}

/* SetDefaults_LimitRangeItem: default is max, defaultRequest is default, else min. */
static bool range_default(const struct spot *s) {
    const json_t *item = above(s, 2);
    bool request = strstr(s->pointer, "/defaultRequest/") != NULL;
    const json_t *of = json_object_get(json_object_get(item, request ? "default" : "max"), last_step(s));
    if (request && !of)
        of = json_object_get(json_object_get(item, "min"), last_step(s));
    return strcmp(json_string_value(json_object_get(item, "type"))
                      ? json_string_value(json_object_get(item, "type"))
                      : "",
                  "Container") == 0 &&
           of && ref_same_value(REF_QUANTITY, of, s->value);
}

/* dataSource and dataSourceRef of a claim are copies (persistentvolumeclaim strategy, NormalizeDataSources).
 */
static bool data_source(const struct spot *s) {
    const char *other = strcmp(last_step(s), "dataSource") == 0 ? "dataSourceRef" : "dataSource";
    const json_t *copy = beside(s, other);
    return copy && json_equal((json_t *)copy, (json_t *)s->value);
}

/* ---- the table */

#define POLICIES_UP                                          \
    "[{\"periodSeconds\":15,\"type\":\"Pods\",\"value\":4}," \
    "{\"periodSeconds\":15,\"type\":\"Percent\",\"value\":100}]"
#define POLICIES_DOWN "[{\"periodSeconds\":15,\"type\":\"Percent\",\"value\":100}]"
#define HALF_BUSY                                                                                        \
    "[{\"resource\":{\"name\":\"cpu\",\"target\":{\"averageUtilization\":80,\"type\":\"Utilization\"}}," \
    "\"type\":\"Resource\"}]"

static const struct row {
    const char *kind; /* NULL: whatever has the place */
    enum place place;
    const char *pattern, *value; /* value: a scalar as text, or JSON of a list or map */
    bool (*rule)(const struct spot *s);
} rows[] = {
    /* k8s.io/kubernetes pkg/apis/apps/v1/defaults.go, SetDefaults_Deployment */
    {"Deployment", OBJECT, "/spec/replicas", "1", NULL},
    {"Deployment", OBJECT, "/spec/revisionHistoryLimit", "10", NULL},
    {"Deployment", OBJECT, "/spec/progressDeadlineSeconds", "600", NULL},
    {"Deployment", OBJECT, "/spec/strategy/type", "RollingUpdate", NULL},
    {"Deployment", OBJECT, "/spec/strategy/rollingUpdate/maxSurge", "25%", NULL},
    {"Deployment", OBJECT, "/spec/strategy/rollingUpdate/maxUnavailable", "25%", NULL},
    /* ... SetDefaults_StatefulSet; the retention policy from 1.27, maxUnavailable behind a feature gate;
     * apiVersion and kind of claim templates from 1.17 (pkg/registry/apps/statefulset/strategy.go) */
    {"StatefulSet", OBJECT, "/spec/replicas", "1", NULL},
    {"StatefulSet", OBJECT, "/spec/revisionHistoryLimit", "10", NULL},
    {"StatefulSet", OBJECT, "/spec/podManagementPolicy", "OrderedReady", NULL},
    {"StatefulSet", OBJECT, "/spec/updateStrategy/type", "RollingUpdate", NULL},
    {"StatefulSet", OBJECT, "/spec/updateStrategy/rollingUpdate/partition", "0", NULL},
    {"StatefulSet", OBJECT, "/spec/updateStrategy/rollingUpdate/maxUnavailable", "1", NULL},
    {"StatefulSet", OBJECT, "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted", "Retain", NULL},
    {"StatefulSet", OBJECT, "/spec/persistentVolumeClaimRetentionPolicy/whenScaled", "Retain", NULL},
    {"StatefulSet", OBJECT, "/spec/volumeClaimTemplates/*/apiVersion", "v1", NULL},
    {"StatefulSet", OBJECT, "/spec/volumeClaimTemplates/*/kind", "PersistentVolumeClaim", NULL},
    {"StatefulSet", OBJECT, "/spec/volumeClaimTemplates/*/status/phase", "Pending", NULL},
    /* ... SetDefaults_DaemonSet; maxSurge from 1.22 */
    {"DaemonSet", OBJECT, "/spec/revisionHistoryLimit", "10", NULL},
    {"DaemonSet", OBJECT, "/spec/updateStrategy/type", "RollingUpdate", NULL},
    {"DaemonSet", OBJECT, "/spec/updateStrategy/rollingUpdate/maxUnavailable", "1", NULL},
    {"DaemonSet", OBJECT, "/spec/updateStrategy/rollingUpdate/maxSurge", "0", NULL},
    /* ... SetDefaults_ReplicaSet; pkg/apis/core/v1/defaults.go, SetDefaults_ReplicationController */
    {"ReplicaSet", OBJECT, "/spec/replicas", "1", NULL},
    {"ReplicationController", OBJECT, "/spec/replicas", "1", NULL},
    /* pkg/apis/batch/v1/defaults.go, SetDefaults_Job; completionMode from 1.22, suspend from 1.21,
     * podReplacementPolicy from 1.29 */
    {"Job", OBJECT, "/spec/completions", NULL, job_count},
    {"Job", OBJECT, "/spec/parallelism", NULL, job_count},
    {"Job", OBJECT, "/metadata/labels/*", NULL, template_label},
    {"Job", OBJECT, "/spec/backoffLimit", NULL, backoff_limit},
    {"Job", OBJECT, "/spec/completionMode", "NonIndexed", NULL},
    {"Job", OBJECT, "/spec/suspend", "false", NULL},
    {"Job", OBJECT, "/spec/manualSelector", "false", NULL},
    {"Job", OBJECT, "/spec/podReplacementPolicy", NULL, replacement_policy},
    {"Job", OBJECT, "/spec/podFailurePolicy/rules/*/onPodConditions/*/status", "True", NULL},
    /* ... SetDefaults_CronJob */
    {"CronJob", OBJECT, "/spec/concurrencyPolicy", "Allow", NULL},
    {"CronJob", OBJECT, "/spec/suspend", "false", NULL},
    {"CronJob", OBJECT, "/spec/successfulJobsHistoryLimit", "3", NULL},
    {"CronJob", OBJECT, "/spec/failedJobsHistoryLimit", "1", NULL},
    /* pkg/apis/core/v1/defaults.go, SetDefaults_Service; ipFamilies and ipFamilyPolicy from 1.20
     * (pkg/registry/core/service/storage/alloc.go), internalTrafficPolicy from 1.22 */
    {"Service", OBJECT, "/spec/type", "ClusterIP", NULL},
    {"Service", OBJECT, "/spec/sessionAffinity", "None", NULL},
    {"Service", OBJECT, "/spec/sessionAffinityConfig/clientIP/timeoutSeconds", "10800", NULL},
    {"Service", OBJECT, "/spec/internalTrafficPolicy", "Cluster", NULL},
    {"Service", OBJECT, "/spec/externalTrafficPolicy", NULL, external_policy},
    {"Service", OBJECT, "/spec/allocateLoadBalancerNodePorts", NULL, balancer_ports},
    {"Service", OBJECT, "/spec/ipFamilyPolicy", NULL, family_policy},
    {"Service", OBJECT, "/spec/ipFamilies", NULL, families},
    {"Service", OBJECT, "/spec/clusterIPs", NULL, addresses},
    {"Service", OBJECT, "/spec/ports/*/protocol", "TCP", NULL},
    {"Service", OBJECT, "/spec/ports/*/targetPort", NULL, target_port},
    /* ... SetDefaults_Secret, SetDefaults_LimitRangeItem, SetDefaults_PersistentVolume */
    {"Secret", OBJECT, "/type", "Opaque", NULL},
    {"LimitRange", OBJECT, "/spec/limits/*/default/*", NULL, range_default},
    {"LimitRange", OBJECT, "/spec/limits/*/defaultRequest/*", NULL, range_default},
    {"PersistentVolume", OBJECT, "/spec/persistentVolumeReclaimPolicy", "Retain", NULL},
    {"PersistentVolume", OBJECT, "/spec/volumeMode", "Filesystem", NULL},
    /* ... SetDefaults_PersistentVolumeClaim and SetDefaults_PersistentVolumeClaimSpec */
    {NULL, CLAIM, "/volumeMode", "Filesystem", NULL},
    {NULL, CLAIM, "/dataSource", NULL, data_source},
    {NULL, CLAIM, "/dataSourceRef", NULL, data_source},
    /* pkg/apis/networking/v1/defaults.go, SetDefaults_NetworkPolicy, SetDefaults_NetworkPolicyPort */
    {"NetworkPolicy", OBJECT, "/spec/policyTypes", NULL, policy_types},
    {"NetworkPolicy", OBJECT, "/spec/ingress/*/ports/*/protocol", "TCP", NULL},
    {"NetworkPolicy", OBJECT, "/spec/egress/*/ports/*/protocol", "TCP", NULL},
    /* pkg/apis/networking/v1beta1/defaults.go, SetDefaults_HTTPIngressPath */
    {"Ingress", OBJECT, "/spec/rules/*/http/paths/*/pathType", "ImplementationSpecific", NULL},
    /* pkg/apis/autoscaling/v2/defaults.go, SetDefaults_HorizontalPodAutoscaler, GenerateHPAScaleUpRules,
     * GenerateHPAScaleDownRules; v1/defaults.go */
    {"HorizontalPodAutoscaler", OBJECT, "/spec/minReplicas", "1", NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/metrics", HALF_BUSY, NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/targetCPUUtilizationPercentage", "80", NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/selectionStrategy", "LabelSelector", NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/behavior/*/selectPolicy", "Max", NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/behavior/scaleUp/stabilizationWindowSeconds", "0", NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/behavior/scaleUp/policies", POLICIES_UP, NULL},
    {"HorizontalPodAutoscaler", OBJECT, "/spec/behavior/scaleDown/policies", POLICIES_DOWN, NULL},
    /* pkg/apis/rbac/v1/defaults.go */
    {"RoleBinding", OBJECT, "/roleRef/apiGroup", "rbac.authorization.k8s.io", NULL},
    {"RoleBinding", OBJECT, "/subjects/*/apiGroup", NULL, subject_group},
    {"ClusterRoleBinding", OBJECT, "/roleRef/apiGroup", "rbac.authorization.k8s.io", NULL},
    {"ClusterRoleBinding", OBJECT, "/subjects/*/apiGroup", NULL, subject_group},
    /* pkg/apis/core/v1/defaults.go, SetDefaults_PodSpec, SetDefaults_Pod; serviceAccount: conversion.go */
    {NULL, POD, "/restartPolicy", "Always", NULL},
    {NULL, POD, "/dnsPolicy", "ClusterFirst", NULL},
    {NULL, POD, "/schedulerName", "default-scheduler", NULL},
    {NULL, POD, "/terminationGracePeriodSeconds", "30", NULL},
    {NULL, POD, "/securityContext", "{}", NULL},
    {NULL, POD, "/enableServiceLinks", "true", NULL},
    {NULL, POD, "/serviceAccount", NULL, service_account},
    {NULL, POD, "/serviceAccountName", NULL, service_account},
    {NULL, CONTAINER, "/ports/*/hostPort", NULL, host_port},
    /* plugin/pkg/admission/priority, plugin/pkg/admission/serviceaccount: of pods alone */
    {"Pod", POD, "/preemptionPolicy", "PreemptLowerPriority", NULL},
    {"Pod", POD, "/priority", "0", NULL},
    {"Pod", POD, "/serviceAccountName", "default", NULL},
    /* ... SetDefaults_Container, SetDefaults_ContainerPort, SetDefaults_ObjectFieldSelector; resizePolicy
       from 1.33 */
    {NULL, CONTAINER, "/imagePullPolicy", NULL, pull_policy},
    {NULL, CONTAINER, "/terminationMessagePath", "/dev/termination-log", NULL},
    {NULL, CONTAINER, "/terminationMessagePolicy", "File", NULL},
    {NULL, CONTAINER, "/resources", "{}", NULL},
    {NULL, CONTAINER, "/resources/requests/*", NULL, request_of_limit},
    {NULL, CONTAINER, "/ports/*/protocol", "TCP", NULL},
    {NULL, CONTAINER, "/env/*/valueFrom/fieldRef/apiVersion", "v1", NULL},
    {NULL, CONTAINER, "/env/*/valueFrom/resourceFieldRef/divisor", "0", NULL},
    {NULL, CONTAINER, "/securityContext/procMount", "Default", NULL},
    {NULL, CONTAINER, "/resizePolicy/*/resourceName", "cpu", NULL},
    {NULL, CONTAINER, "/resizePolicy/*/resourceName", "memory", NULL},
    {NULL, CONTAINER, "/resizePolicy/*/restartPolicy", "NotRequired", NULL},
    /* ... SetDefaults_Probe, SetDefaults_HTTPGetAction; GRPC service: zz_generated.defaults.go */
    {NULL, PROBE, "/timeoutSeconds", "1", NULL},
    {NULL, PROBE, "/periodSeconds", "10", NULL},
    {NULL, PROBE, "/successThreshold", "1", NULL},
    {NULL, PROBE, "/failureThreshold", "3", NULL},
    {NULL, PROBE, "/grpc/service", "", NULL},
    {NULL, HANDLER, "/httpGet/path", "/", NULL},
    {NULL, HANDLER, "/httpGet/scheme", "HTTP", NULL},
    /* ... SetDefaults_Volume and SetDefaults_*VolumeSource (0644 is 420) */
    {NULL, VOLUME, "/emptyDir", "{}", NULL},
    {NULL, VOLUME, "/secret/defaultMode", "420", NULL},
    {NULL, VOLUME, "/configMap/defaultMode", "420", NULL},
    {NULL, VOLUME, "/downwardAPI/defaultMode", "420", NULL},
    {NULL, VOLUME, "/projected/defaultMode", "420", NULL},
    {NULL, VOLUME, "/downwardAPI/items/*/fieldRef/apiVersion", "v1", NULL},
    {NULL, VOLUME, "/downwardAPI/items/*/resourceFieldRef/divisor", "0", NULL},
    {NULL, VOLUME, "/projected/sources/*/downwardAPI/items/*/fieldRef/apiVersion", "v1", NULL},
    {NULL, VOLUME, "/projected/sources/*/downwardAPI/items/*/resourceFieldRef/divisor", "0", NULL},
    {NULL, VOLUME, "/projected/sources/*/serviceAccountToken/expirationSeconds", "3600", NULL},
    {NULL, VOLUME, "/hostPath/type", "", NULL},
    {NULL, VOLUME, "/image/pullPolicy", NULL, pull_policy},
    {NULL, VOLUME, "/iscsi/iscsiInterface", "default", NULL},
    {NULL, VOLUME, "/rbd/pool", "rbd", NULL},
    {NULL, VOLUME, "/rbd/user", "admin", NULL},
    {NULL, VOLUME, "/rbd/keyring", "/etc/ceph/keyring", NULL},
    {NULL, VOLUME, "/azureDisk/cachingMode", "ReadWrite", NULL},
    {NULL, VOLUME, "/azureDisk/kind", "Shared", NULL},
    {NULL, VOLUME, "/azureDisk/fsType", "ext4", NULL},
    {NULL, VOLUME, "/azureDisk/readOnly", "false", NULL},
    {NULL, VOLUME, "/scaleIO/storageMode", "ThinProvisioned", NULL},
    {NULL, VOLUME, "/scaleIO/fsType", "xfs", NULL},
};

/* ---- looking up */

bool ref_is_written(const json_t *v, const char *text) {
    char number[32];
    if (json_is_string(v))
        return strcmp(json_string_value(v), text) == 0;
    if (json_is_boolean(v))
        return strcmp(json_is_true(v) ? "true" : "false", text) == 0;
    if (json_is_integer(v)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        return strcmp(number, text) == 0;
    }
    if ((!json_is_object(v) || *text != '{') && (!json_is_array(v) || *text != '['))
        return false;
    json_t *expected = json_loads(text, 0, NULL);
    bool same = expected && json_equal(expected, (json_t *)v);
    json_decref(expected);
    return same;
}

static bool has_row(const struct spot *s) {
    const char *rest[PLACES];
    if (ref_is_custom(s->kind))
        return ref_custom_default(s->kind, s->pointer, s->value);
    find_places(s->kind, s->pointer, rest);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        if (!rest[r->place] || (r->kind && strcmp(r->kind, s->kind) != 0) ||
            !ref_pointer_is(rest[r->place], r->pattern))
            continue;
        if (r->rule ? r->rule(s) : ref_is_written(s->value, r->value))
            return true;
    }
    return false;
}

bool ref_each_below(const char *pointer, const json_t *value, ref_below_fn *fn, const void *ctx) {
    char below[REF_POINTER_MAX];
    const char *key;
    json_t *v;
    size_t i;
    int n = snprintf(below, sizeof below, "%s/", pointer);
    if (n < 0 || (size_t)n >= sizeof below || json_object_size(value) + json_array_size(value) == 0)
        return false;
    size_t room = sizeof below - (size_t)n;
    json_array_foreach(value, i, v) {
        (void)snprintf(below + n, room, "%zu", i);
        if (!json_is_object(v) || !fn(ctx, below, v))
            return false;
    }
    json_object_foreach((json_t *)value, key, v) {
        if (!ref_escape_step(key, below + n, room) || !fn(ctx, below, v))
            return false;
    }
    return true;
}

struct query {
    const char *kind;
    const json_t *object;
    int depth;
};

static bool look(const void *ctx, const char *pointer, const json_t *value) {
    const struct query *q = ctx;
    const struct query deeper = {q->kind, q->object, q->depth + 1};
    const struct spot s = {q->kind, pointer, value, q->object};
    if (q->depth > DEPTH_MAX || *pointer != '/')
        return false;
    return has_row(&s) || ref_each_below(pointer, value, look, &deeper);
}

bool ref_is_default(const char *kind, const char *pointer, const json_t *value, const json_t *object) {
    const struct query q = {kind, object, 0};
    return look(&q, pointer, value);
}
