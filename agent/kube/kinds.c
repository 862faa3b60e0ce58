/* kinds: the table of everything that is watched. See kube_priv.h. What is watched comes from four places,
 * each a row of the same form, so that a source knows no difference:
 *
 *   kube_kinds, below    what is known by name: of every API server (core, apps, batch), and optional ones,
 * in versions from the newest to the oldest; optional.c chooses extra.c              custom resources that
 * kube.resources names: discovery fills the row elsewhere.c          the rows of GitOps once more for each of
 * kube.gitops_namespaces replicas.c           the Endpoints of one Service, for the prober; no records
 *
 * A new kind is a row here; one that is not to be read as it is needs a handler (kube_see_fn) of its own
 * beside.
 *
 * Cost: one watch each, all but the pods' stage-scoped: 15 that every API server has, 7 for what else a
 * release or an architecture names, and where they are 2 for the Gateway API, 7 for Flux and 1 for Argo CD;
 * those 8 again for each other namespace of kube.gitops_namespaces; one for each of kube.resources. At rest a
 * watch is one request in 5 to 10 minutes and a bookmark a minute. A kind that is not served costs nothing
 * but its share of one GET of /apis a minute. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/kube_priv.h"

#define CORE "/api/v1"
#define APPS "/apis/apps/v1"
#define BATCH "/apis/batch/v1"
/* What the pods themselves do not tell; those that come most often and tell nothing of it stay at the server
 * (selectable fields: kubernetes pkg/apis/core/v1/conversion.go, AddFieldLabelConversionsForEvent). */
#define EVENTS_OF_PODS                                                                           \
    "involvedObject.kind=Pod,reason!=Scheduled,reason!=Created,reason!=Started,reason!=Killing," \
    "reason!=Unhealthy"

/* What a release or an architecture may name and a cluster need not serve, in versions from the newest on. */
#define OPTIONAL(resources, name, group_name, version, ...)                                                 \
    {                                                                                                       \
        .source = resources, .kind = name, .object = name, .resource = resources "." group_name,            \
        .plural = resources, .group = "/apis/" group_name "/" version, .optional = true, .page = KUBE_PAGE, \
        .see = kube_object_see, .gone = kube_object_gone, __VA_ARGS__                                       \
    }
#define NEWEST(resources, name, group_name, version) \
    OPTIONAL(resources, name, group_name, version, .older = false)
#define OLDER(resources, name, group_name, version) \
    OPTIONAL(resources, name, group_name, version, .older = true)
/* Custom resources of GitOps: records name them KIND.GROUP, coverage RESOURCE.GROUP. */
#define GITOPS(resources, name, group_name, version, ...)                                                    \
    {                                                                                                        \
        .source = resources "." group_name, .kind = name, .object = name "." group_name,                     \
        .resource = resources "." group_name, .plural = resources, .group = "/apis/" group_name "/" version, \
        .optional = true, .gitops = true, .page = 32, .see = kube_gitops_see, .gone = kube_gitops_gone,      \
        __VA_ARGS__                                                                                          \
    }
/* Custom resources that an architecture may name: records and coverage name them so, too. */
#define CUSTOM(resources, name, group_name, version, ...)                                                    \
    {                                                                                                        \
        .source = resources "." group_name, .kind = name, .object = name "." group_name,                     \
        .resource = resources "." group_name, .plural = resources, .group = "/apis/" group_name "/" version, \
        .optional = true, .custom = true, .page = KUBE_PAGE, .see = kube_object_see,                         \
        .gone = kube_object_gone, __VA_ARGS__                                                                \
    }
#define GATEWAY(resources, name, version, ...) \
    CUSTOM(resources, name, "gateway.networking.k8s.io", version, __VA_ARGS__)
#define FLUX_HELM(version, ...) \
    GITOPS("helmreleases", "HelmRelease", "helm.toolkit.fluxcd.io", version, __VA_ARGS__)
#define FLUX_KUSTOMIZE(version, ...) \
    GITOPS("kustomizations", "Kustomization", "kustomize.toolkit.fluxcd.io", version, __VA_ARGS__)
#define FLUX_SOURCE(resources, name, version, ...) \
    GITOPS(resources, name, "source.toolkit.fluxcd.io", version, __VA_ARGS__)

/* Pages are small where single objects may be large (a release is up to 1 MiB). */
/* clang-format off */
const struct kube_kind kube_kinds[] = {
    {.source = "pods", .kind = "Pod", .object = "Pod", .resource = "pods", .plural = "pods", .group = CORE,
     .selector = "spec.nodeName=%s", .node_scoped = true, .page = KUBE_PAGE,
     .phases = true, .see = kube_pod_see, .gone = kube_pod_gone, .tick = kube_pod_tick},
    {.source = "namespace", .kind = "Namespace", .object = "Namespace", .resource = "namespaces", .plural = "",
     .group = CORE, .poll = true, .page = 1, .see = kube_namespace_see, .gone = kube_object_gone},
    {.source = "releases", .kind = "Secret", .object = "HelmRelease", .resource = "secrets", .plural = "secrets",
     .group = CORE, .selector = "type=helm.sh/release.v1", .needs_secrets = true, .page = 8,
     .see = kube_release_see, .gone = kube_release_gone},
    {.source = "deployments", .kind = "Deployment", .object = "Deployment", .resource = "deployments.apps",
     .plural = "deployments", .group = APPS, .page = KUBE_PAGE,
     .see = kube_workload_see, .gone = kube_object_gone},
    {.source = "statefulsets", .kind = "StatefulSet", .object = "StatefulSet", .resource = "statefulsets.apps",
     .plural = "statefulsets", .group = APPS, .page = KUBE_PAGE,
     .see = kube_workload_see, .gone = kube_object_gone},
    {.source = "daemonsets", .kind = "DaemonSet", .object = "DaemonSet", .resource = "daemonsets.apps",
     .plural = "daemonsets", .group = APPS, .page = KUBE_PAGE,
     .see = kube_workload_see, .gone = kube_workload_gone},
    {.source = "services", .kind = "Service", .object = "Service", .resource = "services", .plural = "services",
     .group = CORE, .page = KUBE_PAGE, .see = kube_object_see, .gone = kube_object_gone},
    {.source = "configmaps", .kind = "ConfigMap", .object = "ConfigMap", .resource = "configmaps",
     .plural = "configmaps", .group = CORE, .page = 32, .see = kube_object_see, .gone = kube_object_gone},
    {.source = "secrets", .kind = "Secret", .object = "Secret", .resource = "secrets", .plural = "secrets",
     .group = CORE, .selector = "type!=helm.sh/release.v1", .needs_secrets = true, .page = 32,
     .see = kube_object_see, .gone = kube_object_gone},
    {.source = "pods-unscheduled", .kind = "Pod", .object = "Pod", .resource = "pods", .plural = "pods", .group = CORE,
     .selector = "spec.nodeName=", .page = KUBE_PAGE, .phases = true, .see = kube_unscheduled_see},
    {.source = "jobs", .kind = "Job", .object = "Job", .resource = "jobs.batch", .plural = "jobs", .group = BATCH,
     .page = KUBE_PAGE, .phases = true, .see = kube_job_see},
    {.source = "events", .kind = "Event", .object = "Event", .resource = "events", .plural = "events", .group = CORE,
     .selector = EVENTS_OF_PODS, .unkept = true, .phases = true, .page = KUBE_PAGE,
     .see = kube_event_see},
    NEWEST("ingresses", "Ingress", "networking.k8s.io", "v1"), /* from 1.19 */
    NEWEST("networkpolicies", "NetworkPolicy", "networking.k8s.io", "v1"),
    NEWEST("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v2"), /* from 1.23 */
    OLDER("horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v1"),
    NEWEST("poddisruptionbudgets", "PodDisruptionBudget", "policy", "v1"), /* from 1.21 */
    OLDER("poddisruptionbudgets", "PodDisruptionBudget", "policy", "v1beta1"),
    NEWEST("cronjobs", "CronJob", "batch", "v1"), /* from 1.21 */
    OLDER("cronjobs", "CronJob", "batch", "v1beta1"),
    NEWEST("roles", "Role", "rbac.authorization.k8s.io", "v1"),
    NEWEST("rolebindings", "RoleBinding", "rbac.authorization.k8s.io", "v1"),
    {.source = "serviceaccounts", .kind = "ServiceAccount", .object = "ServiceAccount", .resource = "serviceaccounts",
     .plural = "serviceaccounts", .group = CORE, .spare = true, .page = KUBE_PAGE, .see = kube_object_see, .gone = kube_object_gone},
    {.source = "persistentvolumeclaims", .kind = "PersistentVolumeClaim", .object = "PersistentVolumeClaim",
     .resource = "persistentvolumeclaims", .plural = "persistentvolumeclaims", .group = CORE, .spare = true, .page = KUBE_PAGE,
     .see = kube_object_see, .gone = kube_object_gone},
    {.source = "resourcequotas", .kind = "ResourceQuota", .object = "ResourceQuota", .resource = "resourcequotas",
     .plural = "resourcequotas", .group = CORE, .spare = true, .page = KUBE_PAGE, .see = kube_object_see, .gone = kube_object_gone},
    {.source = "limitranges", .kind = "LimitRange", .object = "LimitRange", .resource = "limitranges",
     .plural = "limitranges", .group = CORE, .spare = true, .page = KUBE_PAGE, .see = kube_object_see, .gone = kube_object_gone},
    {.source = "endpoints", .kind = "Endpoints", .object = "Endpoints", .resource = "endpoints", .plural = "endpoints",
     .group = CORE, .spare = true, .page = 32, .see = kube_endpoints_see, .gone = kube_object_gone},
    /* Gateway API: v1 from its release 1.0, v1beta1 from 0.5 (gateway-api.sigs.k8s.io, "Versioning") */
    GATEWAY("gateways", "Gateway", "v1", .older = false), GATEWAY("gateways", "Gateway", "v1beta1", .older = true),
    GATEWAY("httproutes", "HTTPRoute", "v1", .older = false), GATEWAY("httproutes", "HTTPRoute", "v1beta1", .older = true),
    FLUX_HELM("v2", .older = false), FLUX_HELM("v2beta2", .older = true), FLUX_HELM("v2beta1", .older = true),
    FLUX_KUSTOMIZE("v1", .older = false), FLUX_KUSTOMIZE("v1beta2", .older = true),
    FLUX_SOURCE("gitrepositories", "GitRepository", "v1", .older = false),
    FLUX_SOURCE("gitrepositories", "GitRepository", "v1beta2", .older = true),
    FLUX_SOURCE("helmrepositories", "HelmRepository", "v1", .older = false),
    FLUX_SOURCE("helmrepositories", "HelmRepository", "v1beta2", .older = true),
    FLUX_SOURCE("ocirepositories", "OCIRepository", "v1", .older = false),
    FLUX_SOURCE("ocirepositories", "OCIRepository", "v1beta2", .older = true),
    FLUX_SOURCE("helmcharts", "HelmChart", "v1", .older = false),
    FLUX_SOURCE("helmcharts", "HelmChart", "v1beta2", .older = true),
    FLUX_SOURCE("buckets", "Bucket", "v1", .older = false),
    FLUX_SOURCE("buckets", "Bucket", "v1beta2", .older = true),
    GITOPS("applications", "Application", "argoproj.io", "v1alpha1", .older = false),
    {.source = NULL},
};
/* clang-format on */

/* "fieldSelector=..." percent-encoded, "" without one; malloc'ed, NULL: out of memory. */
static char *selector_of(const struct kube_kind *kind, const char *node) {
    char plain[2 * KUBE_NAME_MAX];
    char *out = NULL;
    if (!kind->selector)
        return strdup("");
    bool wants_node = strstr(kind->selector, "%s") != NULL;
    size_t head = strcspn(kind->selector, "%");
    (void)snprintf(plain, sizeof plain, "%.*s%s", (int)head, kind->selector, wants_node ? node : "");
    char *escaped = curl_easy_escape(NULL, plain, 0);
    if (escaped && asprintf(&out, "fieldSelector=%s&", escaped) < 0)
        out = NULL;
    curl_free(escaped);
    return out;
}

char *kube_kind_path(const struct kube_kind *kind, const char *ns, const char *node, const char *query) {
    char *out = NULL;
    char *selector = selector_of(kind, node);
    char *name = curl_easy_escape(NULL, ns, 0);
    if (selector && name &&
        asprintf(&out, "%s/namespaces/%s%s%s?%s%s", kind->group, name, *kind->plural ? "/" : "", kind->plural,
                 selector, query) < 0)
        out = NULL;
    curl_free(name);
    free(selector);
    return out;
}

void kube_kind_advice(const struct kube_kind *kind, const char *ns, char out[KUBE_REASON_MAX]) {
    if (kind->poll)
        (void)snprintf(out, KUBE_REASON_MAX,
                       "RBAC: allow get on namespaces in namespace %.253s for this service account", ns);
    else
        (void)snprintf(out, KUBE_REASON_MAX,
                       "RBAC: allow list, watch on %s in namespace %.253s for this service account%s",
                       kind->resource, ns,
                       kind->needs_secrets ? ", or set kube.secrets: false"
                       : kind->gitops      ? ", or set kube.gitops: false"
                                           : "");
}
