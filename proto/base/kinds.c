/* kinds: see kinds.h. The groups and kinds are those of the Kubernetes API reference (v1.20 to v1.34). */
#include "base/kinds.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const groups[] = {
    "", /* core */
    "apps",
    "autoscaling",
    "batch",
    "extensions",
    "policy",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
    NULL,
};

const char *const kinds_builtin[] = {"APIService",
                                     "CSIDriver",
                                     "CSINode",
                                     "CSIStorageCapacity",
                                     "CertificateSigningRequest",
                                     "ClusterRole",
                                     "ClusterRoleBinding",
                                     "ConfigMap",
                                     "ControllerRevision",
                                     "CronJob",
                                     "CustomResourceDefinition",
                                     "DaemonSet",
                                     "Deployment",
                                     "DeviceClass",
                                     "EndpointSlice",
                                     "Endpoints",
                                     "Event",
                                     "FlowSchema",
                                     "HorizontalPodAutoscaler",
                                     "IPAddress",
                                     "Ingress",
                                     "IngressClass",
                                     "Job",
                                     "Lease",
                                     "LimitRange",
                                     "MutatingAdmissionPolicy",
                                     "MutatingAdmissionPolicyBinding",
                                     "MutatingWebhookConfiguration",
                                     "Namespace",
                                     "NetworkPolicy",
                                     "Node",
                                     "PersistentVolume",
                                     "PersistentVolumeClaim",
                                     "Pod",
                                     "PodDisruptionBudget",
                                     "PodSecurityPolicy",
                                     "PodTemplate",
                                     "PriorityClass",
                                     "PriorityLevelConfiguration",
                                     "ReplicaSet",
                                     "ReplicationController",
                                     "ResourceClaim",
                                     "ResourceClaimTemplate",
                                     "ResourceQuota",
                                     "Role",
                                     "RoleBinding",
                                     "RuntimeClass",
                                     "Secret",
                                     "Service",
                                     "ServiceAccount",
                                     "ServiceCIDR",
                                     "StatefulSet",
                                     "StorageClass",
                                     "ValidatingAdmissionPolicy",
                                     "ValidatingAdmissionPolicyBinding",
                                     "ValidatingWebhookConfiguration",
                                     "VolumeAttachment",
                                     "VolumeAttributesClass",
                                     NULL};

static const char *const cluster_scoped[] = {"APIService",
                                             "CSIDriver",
                                             "CSINode",
                                             "CertificateSigningRequest",
                                             "ClusterRole",
                                             "ClusterRoleBinding",
                                             "CustomResourceDefinition",
                                             "DeviceClass",
                                             "FlowSchema",
                                             "IPAddress",
                                             "IngressClass",
                                             "MutatingAdmissionPolicy",
                                             "MutatingAdmissionPolicyBinding",
                                             "MutatingWebhookConfiguration",
                                             "Namespace",
                                             "Node",
                                             "PersistentVolume",
                                             "PodSecurityPolicy",
                                             "PriorityClass",
                                             "PriorityLevelConfiguration",
                                             "RuntimeClass",
                                             "ServiceCIDR",
                                             "StorageClass",
                                             "ValidatingAdmissionPolicy",
                                             "ValidatingAdmissionPolicyBinding",
                                             "ValidatingWebhookConfiguration",
                                             "VolumeAttachment",
                                             "VolumeAttributesClass",
                                             NULL};

static bool is_one_of(const char *word, const char *const *list) {
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

bool kinds_builtin_group(const char *group) {
    return is_one_of(group, groups);
}

bool kinds_cluster_scoped(const char *kind) {
    return is_one_of(kind, cluster_scoped);
}

/* Letters and digits; of a group also '.' and '-' (Kubernetes API conventions: a DNS subdomain). */
static bool is_word(const char *s, size_t len, const char *also) {
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr(also, s[i]))
            return false;
    return len > 0;
}

int kinds_name(const char *api_version, const char *kind, char *out, size_t size) {
    const char *slash = strchr(api_version, '/');
    size_t len = slash ? (size_t)(slash - api_version) : 0;
    const char *version = slash ? slash + 1 : api_version;
    if (!is_word(kind, strlen(kind), "") || !is_word(version, strlen(version), "") || len > 253 ||
        (slash && !is_word(api_version, len, ".-")))
        return -EINVAL;
    char group[254];
    memcpy(group, api_version, len);
    group[len] = 0;
    bool own = kinds_builtin_group(group);
    size_t n = strlen(kind) + (own ? 0 : 1 + len);
    if (n >= size)
        return -EINVAL;
    (void)snprintf(out, size, "%s%s%s", kind, own ? "" : ".", own ? "" : group);
    return 0;
}
