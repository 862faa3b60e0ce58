/* added: what controllers and tools write into an object that its author did not, and what the API server
 * leaves out of what its author wrote. See values.h. */
#include <string.h>

#include "base/js.h"
#include "reference/values.h"
#include "reference/values_priv.h"

#define DEPTH_MAX 4

/* ---- what is added */

/* A pattern whose last step ends in '*' stands for every key that begins so; value NULL: whatever it is. */
static const struct row {
    const char *kind; /* NULL: every kind */
    const char *pattern, *value;
} rows[] = {
    /* The API server: the namespace that a manifest is applied to; owners, written by controllers */
    {NULL, "/metadata/namespace", NULL},
    {NULL, "/metadata/ownerReferences", NULL},
    {NULL, "/metadata/generateName", NULL},
    {"Namespace", "/metadata/labels/kubernetes.io~1metadata.name", NULL}, /* from 1.21 */
    {"Namespace", "/spec/finalizers", NULL},
    /* What a distribution gives each namespace: OpenShift's ranges of user ids and labels of SELinux
     * (openshift/api security/v1/consts.go), Rancher's project and its state (rancher.com/docs, "Projects and
     * Namespaces") */
    {"Namespace", "/metadata/annotations/openshift.io~1*", NULL},
    {"Namespace", "/metadata/annotations/cattle.io~1status", NULL},
    {"Namespace", "/metadata/annotations/field.cattle.io~1*", NULL},
    {"Namespace", "/metadata/annotations/lifecycle.cattle.io~1*", NULL},
    {"Namespace", "/metadata/labels/field.cattle.io~1projectId", NULL},
    /* helm/helm pkg/action/validate.go, setMetadataVisitor */
    {NULL, "/metadata/labels/app.kubernetes.io~1managed-by", "Helm"},
    {NULL, "/metadata/annotations/meta.helm.sh~1release-name", NULL},
    {NULL, "/metadata/annotations/meta.helm.sh~1release-namespace", NULL},
    /* fluxcd: helm-controller internal/postrender/build.go, kustomize-controller (owner labels);
     * docs "Reconcile a suspended or changed object" */
    {NULL, "/metadata/labels/helm.toolkit.fluxcd.io~1*", NULL},
    {NULL, "/metadata/labels/kustomize.toolkit.fluxcd.io~1*", NULL},
    {NULL, "/metadata/annotations/kustomize.toolkit.fluxcd.io~1checksum", NULL},
    {NULL, "/metadata/annotations/reconcile.fluxcd.io~1*", NULL},
    /* argoproj/argo-cd docs/user-guide/resource_tracking.md */
    {NULL, "/metadata/labels/argocd.argoproj.io~1instance", NULL},
    {NULL, "/metadata/annotations/argocd.argoproj.io~1tracking-id", NULL},
    {NULL, "/metadata/annotations/argocd.argoproj.io~1installation-id", NULL},
    {NULL, "/metadata/annotations/argocd.argoproj.io~1refresh", NULL},
    /* kubectl: apply --record; kubernetes.io "Well-Known Labels, Annotations and Taints" */
    {NULL, "/metadata/annotations/kubernetes.io~1change-cause", NULL},
    {NULL, "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt", NULL},
    {NULL, "/metadata/annotations/deployment.kubernetes.io~1*", NULL},
    {NULL, "/metadata/annotations/autoscaling.alpha.kubernetes.io~1conditions", NULL},
    {NULL, "/metadata/annotations/autoscaling.alpha.kubernetes.io~1current-metrics", NULL},
    {"PersistentVolumeClaim", "/metadata/annotations/pv.kubernetes.io~1*", NULL},
    {"PersistentVolumeClaim", "/metadata/annotations/volume.beta.kubernetes.io~1*", NULL},
    {"PersistentVolumeClaim", "/metadata/annotations/volume.kubernetes.io~1*", NULL},
    {"Job", "/metadata/annotations/batch.kubernetes.io~1job-tracking", NULL},
    {"Job", "/metadata/annotations/batch.kubernetes.io~1cronjob-scheduled-timestamp", NULL},
    {"Job", "/metadata/annotations/cronjob.kubernetes.io~1instantiate", NULL},
    /* pkg/registry/batch/job/strategy.go, generateSelector: what tells the pods of a Job */
    {"Job", "/spec/template/metadata/labels/job-name", NULL},
    {"Job", "/spec/template/metadata/labels/batch.kubernetes.io~1job-name", NULL},
    {"Job", "/spec/template/metadata/labels/controller-uid", NULL},
    {"Job", "/spec/template/metadata/labels/batch.kubernetes.io~1controller-uid", NULL},
    {"Job", "/metadata/labels/job-name", NULL},
    {"Job", "/metadata/labels/batch.kubernetes.io~1job-name", NULL},
    /* plugin/pkg/admission/storage/storageclass/setdefault: the cluster's choice where the author made none
     */
    {"PersistentVolumeClaim", "/spec/storageClassName", NULL},
    /* Clouds and their controllers: cloud.google.com/neg and neg-status (GKE), ingress.kubernetes.io (GCE's
     * controller), field.cattle.io/publicEndpoints (Rancher) */
    {"Service", "/metadata/annotations/cloud.google.com~1neg", NULL},
    {"Service", "/metadata/annotations/cloud.google.com~1neg-status", NULL},
    {"Ingress", "/metadata/annotations/ingress.kubernetes.io~1*", NULL},
    {NULL, "/metadata/annotations/field.cattle.io~1publicEndpoints", NULL},
    /* Pods alone: plugin/pkg/admission/defaulttolerationseconds, .../serviceaccount */
    {"Pod", "/spec/tolerations/*/key", "node.kubernetes.io/not-ready"},
    {"Pod", "/spec/tolerations/*/key", "node.kubernetes.io/unreachable"},
    {"Pod", "/spec/tolerations/*/effect", "NoExecute"},
    {"Pod", "/spec/tolerations/*/operator", "Exists"},
    {"Pod", "/spec/tolerations/*/tolerationSeconds", NULL},
    {"Pod", "/spec/containers/*/volumeMounts/*/mountPath", "/var/run/secrets/kubernetes.io/serviceaccount"},
    {"Pod", "/spec/initContainers/*/volumeMounts/*/mountPath",
     "/var/run/secrets/kubernetes.io/serviceaccount"},
};

/* Finalizers that controllers put on what others made. */
static const char *const finalizers[] = {
    "kubernetes.io/pvc-protection",                /* pkg/controller/volume/pvcprotection */
    "kubernetes.io/pv-protection",                 /* ... pvprotection */
    "service.kubernetes.io/load-balancer-cleanup", /* k8s.io/cloud-provider/service/helpers */
    "batch.kubernetes.io/job-tracking",            /* pkg/controller/job */
    "finalizers.fluxcd.io",                        /* fluxcd/pkg/apis/meta */
    "foregroundDeletion",                          /* garbage collector */
    "orphan",
    NULL,
};

static bool is_finalizer(const char *pointer, const json_t *value) {
    const char *text = json_string_value(value);
    if (!text || !ref_pointer_is(pointer, "/metadata/finalizers/*"))
        return false;
    for (const char *const *f = finalizers; *f; f++)
        if (strcmp(*f, text) == 0)
            return true;
    return false;
}

/* A list of nothing but such finalizers. */
static bool all_finalizers(const char *pointer, const json_t *value) {
    size_t n = json_array_size(value);
    for (size_t i = 0; i < n; i++)
        if (!is_finalizer("/metadata/finalizers/0", json_array_get(value, i)))
            return false;
    return n > 0 && strcmp(pointer, "/metadata/finalizers") == 0;
}

/* plugin/pkg/admission/serviceaccount/admission.go: the token's volume, "kube-api-access-" and five
 * characters (before 1.22 a Secret's, "NAME-token-..."), as a volume or where it is mounted. */
static bool is_token_volume(const char *kind, const char *pointer, const json_t *value) {
    const char *name = json_string_value(json_object_get(value, "name"));
    const char *path = json_string_value(json_object_get(value, "mountPath"));
    if (strcmp(kind, "Pod") != 0 || !name)
        return false;
    if (path)
        return strcmp(path, "/var/run/secrets/kubernetes.io/serviceaccount") == 0;
    return ref_pointer_is(pointer, "/spec/volumes/*") &&
           (strncmp(name, "kube-api-access-", 16) == 0 || strstr(name, "-token-"));
}

/* Argo CD's label for what it tracks by label; what Helm installed has it from its chart, or not at all. */
static bool is_tracking_label(const char *pointer, const json_t *object) {
    return strcmp(pointer, "/metadata/labels/app.kubernetes.io~1instance") == 0 &&
           !js_at(object, "/metadata/annotations/meta.helm.sh~1release-name");
}

/* plugin/pkg/admission/network/defaultingressclass/admission.go: the cluster's class where the author named
 * none. */
static bool is_ingress_class(const char *kind, const char *pointer, const json_t *object) {
    return strcmp(kind, "Ingress") == 0 && strcmp(pointer, "/spec/ingressClassName") == 0 &&
           !js_at(object, "/metadata/annotations/kubernetes.io~1ingress.class");
}

struct query {
    const char *kind;
    const json_t *object;
    int depth;
};

static bool look(const void *ctx, const char *pointer, const json_t *value) {
    const struct query *q = ctx;
    const struct query deeper = {q->kind, q->object, q->depth + 1};
    if (is_finalizer(pointer, value) || all_finalizers(pointer, value) ||
        is_token_volume(q->kind, pointer, value) || is_tracking_label(pointer, q->object) ||
        is_ingress_class(q->kind, pointer, q->object))
        return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        if ((r->kind && strcmp(r->kind, q->kind) != 0) || !ref_pointer_is(pointer, r->pattern))
            continue;
        const char *text = json_string_value(value);
        if (!r->value || (text && strcmp(text, r->value) == 0))
            return true;
    }
    return q->depth < DEPTH_MAX && ref_each_below(pointer, value, look, &deeper);
}

bool ref_is_added(const char *kind, const char *pointer, const json_t *value, const json_t *object) {
    const struct query q = {kind, object, 0};
    return look(&q, pointer, value);
}

/* ---- what is left out */

/* Maps whose every text says something, also "". */
static const char *const text_maps[] = {"labels",     "annotations", "matchLabels", "nodeSelector", "data",
                                        "stringData", "binaryData",  "parameters",  "selector",     NULL};
/* Maps that say nothing while they are empty; others, such as emptyDir or a selector, do. */
static const char *const empty_maps[] = {"labels",         "annotations",
                                         "matchLabels",    "nodeSelector",
                                         "data",           "stringData",
                                         "binaryData",     "parameters",
                                         "requests",       "limits",
                                         "hard",           "overhead",
                                         "resources",      "securityContext",
                                         "affinity",       "strategy",
                                         "updateStrategy", "lifecycle",
                                         "dnsConfig",      "metadata",
                                         "status",         NULL};
/* Of pointer type in k8s.io/api, so that "" is stored; the same as nothing only where it is not listed. */
static const char *const kept_texts[] = {"storageClassName",
                                         "ingressClassName",
                                         "runtimeClassName",
                                         "loadBalancerClass",
                                         "appProtocol",
                                         "volumeAttributesClassName",
                                         NULL};
/* Plain bool and int32 with omitempty in k8s.io/api core/v1, apps/v1; all others are pointers, and kept. */
static const char *const plain_bools[] = {"hostNetwork", "hostPID",   "hostIPC",
                                          "stdin",       "stdinOnce", "tty",
                                          "paused",      "readOnly",  "publishNotReadyAddresses",
                                          NULL};
static const char *const plain_ints[] = {
    "initialDelaySeconds", "minReadySeconds",  "hostPort",         "nodePort", "timeoutSeconds",
    "periodSeconds",       "successThreshold", "failureThreshold", NULL};

static bool is_index(const struct ref_step *s) {
    return s->len > 0 && strspn(s->text, "0123456789") >= s->len;
}

static bool is_empty_map(const char *kind, const char *pointer, const struct ref_step *last) {
    return ref_step_in(last, empty_maps) ||
           (strcmp(kind, "Service") == 0 && strcmp(pointer, "/spec/selector") == 0);
}

bool ref_is_left_out(const char *kind, const char *pointer, const json_t *value) {
    struct ref_step s[REF_STEPS];
    ref_last_steps(pointer, s);
    bool map = ref_step_in(&s[1], text_maps);
    if (is_index(&s[0]) || map)
        return json_is_null(value) && !is_index(&s[0]) && ref_step_is(&s[1], "annotations");
    if (json_is_null(value))
        return true;
    if (ref_is_custom(kind)) /* its schema says what is stored: everything */
        return strncmp(pointer, "/metadata/", 10) == 0 && json_is_object(value) &&
               json_object_size(value) == 0;
    if (json_is_array(value))
        return json_array_size(value) == 0;
    if (json_is_object(value))
        return json_object_size(value) == 0 && is_empty_map(kind, pointer, &s[0]);
    if (json_is_string(value))
        return json_string_length(value) == 0 && !ref_step_in(&s[0], kept_texts);
    if (json_is_integer(value))
        return json_integer_value(value) == 0 && ref_step_in(&s[0], plain_ints);
    return json_is_false(value) && ref_step_in(&s[0], plain_bools);
}
