/* aliases: one object as several versions of its API write it, brought to the newest. The normal form has no
 * apiVersion: what an object is written in shows by its fields.
 *
 * Sources: k8s.io/api autoscaling/{v1,v2beta1,v2}/types.go (and the conversion in kubernetes
 * pkg/apis/autoscaling/v1/conversion.go), networking/{v1beta1,v1}/types.go, core/v1/types.go (Secret's
 * stringData is write-only and merged over data). policy/v1beta1 and batch/v1beta1 have the fields of their
 * successors. */
#include <string.h>

#include "base/js.h"
#include "reference/compare_priv.h"

/* ---- HorizontalPodAutoscaler */

/* {"type": "Utilization", "averageUtilization": 80} */
static json_t *utilization(const json_t *percent) {
    return json_pack("{s:s, s:O}", "type", "Utilization", "averageUtilization", percent);
}

/* autoscaling/v1: spec.targetCPUUtilizationPercentage */
static void modernise_cpu_target(json_t *spec) {
    const json_t *percent = json_object_get(spec, "targetCPUUtilizationPercentage");
    if (!percent || json_object_get(spec, "metrics"))
        return;
    json_t *metrics = json_pack("[{s:s, s:{s:s, s:o}}]", "type", "Resource", "resource", "name", "cpu",
                                "target", utilization(percent));
    if (metrics && json_object_set_new(spec, "metrics", metrics) == 0)
        (void)json_object_del(spec, "targetCPUUtilizationPercentage");
}

/* autoscaling/v2beta1: metrics[].resource.{targetAverageUtilization, targetAverageValue} */
static void modernise_metric(json_t *metric) {
    json_t *resource = json_object_get(metric, "resource");
    const json_t *percent = json_object_get(resource, "targetAverageUtilization");
    const json_t *value = json_object_get(resource, "targetAverageValue");
    json_t *target = percent ? utilization(percent)
                     : value ? json_pack("{s:s, s:O}", "type", "AverageValue", "averageValue", value)
                             : NULL;
    if (!target || json_object_set_new(resource, "target", target) < 0)
        return;
    (void)json_object_del(resource, "targetAverageUtilization");
    (void)json_object_del(resource, "targetAverageValue");
}

static void modernise_autoscaler(json_t *object) {
    json_t *spec = json_object_get(object, "spec");
    size_t i;
    json_t *metric;
    modernise_cpu_target(spec);
    json_array_foreach(json_object_get(spec, "metrics"), i, metric) modernise_metric(metric);
}

/* ---- Ingress */

/* networking/v1beta1: {serviceName, servicePort} */
static void modernise_backend(json_t *backend) {
    const json_t *name = json_object_get(backend, "serviceName");
    const json_t *port = json_object_get(backend, "servicePort");
    if (!name || json_object_get(backend, "service"))
        return;
    json_t *service = json_pack("{s:O}", "name", name);
    if (service && port)
        (void)json_object_set_new(service, "port",
                                  json_pack("{s:O}", json_is_string(port) ? "name" : "number", port));
    if (!service || json_object_set_new(backend, "service", service) < 0)
        return;
    (void)json_object_del(backend, "serviceName");
    (void)json_object_del(backend, "servicePort");
}

/* The annotation is the older way to name the class (networking/v1, IngressSpec.ingressClassName). */
static void modernise_class(json_t *object, json_t *spec) {
    json_t *annotations = js_at(object, "metadata.annotations");
    json_t *class = json_object_get(annotations, "kubernetes.io/ingress.class");
    if (!class || json_object_get(spec, "ingressClassName") ||
        json_object_set(spec, "ingressClassName", class) < 0)
        return;
    (void)json_object_del(annotations, "kubernetes.io/ingress.class");
}

static void modernise_ingress(json_t *object) {
    json_t *spec = json_object_get(object, "spec");
    json_t *backend = json_object_get(spec, "backend");
    size_t i;
    size_t k;
    json_t *rule;
    json_t *path;
    modernise_class(object, spec);
    if (backend && !json_object_get(spec, "defaultBackend") &&
        json_object_set(spec, "defaultBackend", backend) == 0)
        (void)json_object_del(spec, "backend");
    modernise_backend(json_object_get(spec, "defaultBackend"));
    json_array_foreach(json_object_get(spec, "rules"), i, rule) {
        json_array_foreach(js_at(rule, "http.paths"), k, path)
            modernise_backend(json_object_get(path, "backend"));
    }
}

/* ---- Secret */

static void modernise_secret(json_t *object) {
    json_t *texts = json_object_get(object, "stringData");
    json_t *data = json_object_get(object, "data");
    if (!json_is_object(texts))
        return;
    if (!json_is_object(data)) {
        data = json_object();
        if (!data || json_object_set_new(object, "data", data) < 0)
            return;
    }
    if (json_object_update(data, texts) == 0)
        (void)json_object_del(object, "stringData");
}

static const struct {
    const char *kind;
    const char *sign; /* only with this field it is touched; NULL: always */
    void (*modernise)(json_t *object);
} modern[] = {
    {"HorizontalPodAutoscaler", NULL, modernise_autoscaler},
    {"Ingress", NULL, modernise_ingress},
    {"Secret", "/stringData", modernise_secret},
};

json_t *ref_modern(const char *kind, const json_t *normal) {
    for (size_t i = 0; i < sizeof modern / sizeof *modern; i++) {
        if (strcmp(modern[i].kind, kind) != 0 || (modern[i].sign && !js_at(normal, modern[i].sign)))
            continue;
        json_t *copy = json_deep_copy(normal);
        if (copy)
            modern[i].modernise(copy);
        return copy;
    }
    return json_incref((json_t *)normal);
}
