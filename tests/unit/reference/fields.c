/* fields: fields of the Kubernetes API that somebody sets by hand where the manifests say nothing. Each one
 * changes what the object does, and none is a default or what a tool writes. See mutate.h. */
#include <fnmatch.h>
#include <string.h>

#include "base/js.h"
#include "mutate.h"

#define POD "/spec/template/spec"
#define JOB_POD "/spec/jobTemplate/spec/template/spec"

static const struct {
    const char *kind, *holder, *field, *value;
} fields[] = {
    {"*", "/metadata/labels", "team", "\"other\""},
    {"*", "/metadata/annotations", "prometheus.io/scrape", "\"false\""},
    {"*Set", POD, "hostNetwork", "true"},
    {"Deployment", POD, "hostNetwork", "true"},
    {"Deployment", POD, "hostPID", "true"},
    {"Deployment", POD, "hostUsers", "false"},
    {"Deployment", POD, "serviceAccountName", "\"admin\""},
    {"Deployment", POD, "automountServiceAccountToken", "true"},
    {"Deployment", POD, "priorityClassName", "\"system-node-critical\""},
    {"Deployment", POD, "nodeSelector", "{\"disk\":\"ssd\"}"},
    {"Deployment", POD, "tolerations", "[{\"operator\":\"Exists\"}]"},
    {"Deployment", POD, "initContainers", "[{\"name\":\"injected\",\"image\":\"x:1\"}]"},
    {"Deployment", POD, "imagePullSecrets", "[{\"name\":\"other\"}]"},
    {"Deployment", POD, "hostAliases", "[{\"ip\":\"10.0.0.1\",\"hostnames\":[\"api\"]}]"},
    {"Deployment", POD, "shareProcessNamespace", "true"},
    {"Deployment", POD, "runtimeClassName", "\"gvisor\""},
    {"Deployment", POD, "activeDeadlineSeconds", "60"},
    {"Deployment", POD, "dnsConfig", "{\"nameservers\":[\"10.0.0.1\"]}"},
    {"Deployment", POD "/containers/0", "command", "[\"sh\"]"},
    {"Deployment", POD "/containers/0", "args", "[\"--debug\"]"},
    {"Deployment", POD "/containers/0", "env", "[{\"name\":\"DEBUG\",\"value\":\"1\"}]"},
    {"Deployment", POD "/containers/0", "envFrom", "[{\"configMapRef\":{\"name\":\"other\"}}]"},
    {"Deployment", POD "/containers/0", "lifecycle", "{\"preStop\":{\"exec\":{\"command\":[\"true\"]}}}"},
    {"Deployment", POD "/containers/0", "livenessProbe", "{\"tcpSocket\":{\"port\":1}}"},
    {"Deployment", POD "/containers/0", "startupProbe", "{\"tcpSocket\":{\"port\":1}}"},
    {"Deployment", POD "/containers/0", "stdin", "true"},
    {"Deployment", POD "/containers/0", "workingDir", "\"/tmp\""},
    {"Deployment", POD "/containers/0", "restartPolicy", "\"Always\""},
    {"Deployment", POD "/containers/0/securityContext", "privileged", "true"},
    {"Deployment", POD "/containers/0/securityContext", "runAsUser", "0"},
    {"Deployment", POD "/containers/0/resources/limits", "ephemeral-storage", "\"1Gi\""},
    {"Deployment", POD "/containers/0/resources/requests", "nvidia.com/gpu", "\"1\""},
    {"Deployment", POD "/securityContext", "runAsGroup", "0"},
    {"Deployment", POD "/securityContext", "sysctls", "[{\"name\":\"a\",\"value\":\"1\"}]"},
    {"Deployment", "/spec", "paused", "true"},
    {"Deployment", "/spec", "minReadySeconds", "30"},
    {"StatefulSet", "/spec", "persistentVolumeClaimRetentionPolicy",
     "{\"whenDeleted\":\"Delete\",\"whenScaled\":\"Delete\"}"},
    {"StatefulSet", POD, "hostIPC", "true"},
    {"CronJob", "/spec", "timeZone", "\"Europe/Berlin\""},
    {"CronJob", "/spec", "startingDeadlineSeconds", "60"},
    {"CronJob", "/spec/jobTemplate/spec", "activeDeadlineSeconds", "60"},
    {"CronJob", "/spec/jobTemplate/spec", "ttlSecondsAfterFinished", "60"},
    {"CronJob", JOB_POD, "hostNetwork", "true"},
    {"Service", "/spec", "externalIPs", "[\"192.0.2.1\"]"},
    {"Service", "/spec", "loadBalancerIP", "\"192.0.2.1\""},
    {"Service", "/spec", "loadBalancerClass", "\"other\""},
    {"Service", "/spec/selector", "version", "\"2\""},
    {"Service", "/spec/ports/0", "appProtocol", "\"h2c\""},
    {"Ingress", "/spec", "defaultBackend", "{\"service\":{\"name\":\"x\",\"port\":{\"number\":80}}}"},
    {"HorizontalPodAutoscaler", "/spec/behavior/scaleDown", "selectPolicy", "\"Disabled\""},
    {"PodDisruptionBudget", "/spec", "unhealthyPodEvictionPolicy", "\"AlwaysAllow\""},
    {"NetworkPolicy", "/spec/podSelector/matchLabels", "role", "\"db\""},
    {"ConfigMap", "", "immutable", "true"},
    {"ConfigMap", "/data", "more", "\"\""},
    {"Secret", "", "immutable", "true"},
    {"Secret", "/data", "more", "\"keyed:00\""},
    {"Role", "/rules/0", "resourceNames", "[\"one\"]"},
    {"ServiceAccount", "", "imagePullSecrets", "[{\"name\":\"other\"}]"},
    {"ServiceAccount", "", "automountServiceAccountToken", "true"},
    {"PersistentVolumeClaim", "/spec", "selector", "{\"matchLabels\":{\"a\":\"b\"}}"},
};

static void try_field(struct run *r, const char *holder, const char *field, const char *value) {
    char pointer[2048];
    json_t *mutated = json_deep_copy(r->pair->b->normal);
    place_below(holder, field, pointer, sizeof pointer);
    if (!json_is_object(place_at(mutated, holder)) || place_at(mutated, pointer) ||
        place_at((json_t *)r->pair->a->normal, pointer)) {
        json_decref(mutated);
        return;
    }
    place_set(mutated, pointer, json_loads(value, JSON_DECODE_ANY, NULL));
    if (!place_at((json_t *)r->pair->a->normal, holder)) /* then all of the holder is there besides */
        (void)snprintf(pointer, sizeof pointer, "%s", holder);
    bool told = !oracle_exception(r, "a field set", pointer, NULL);
    mutate_try(r, "a field set", pointer, mutated, told ? AT_THE_PLACE : NOTHING);
}

void mutate_fields(struct run *r) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fnmatch(fields[i].kind, r->pair->a->kind, 0) == 0)
            try_field(r, fields[i].holder, fields[i].field, fields[i].value);
}
