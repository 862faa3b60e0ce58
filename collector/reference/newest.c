/* newest: objects that an older version of their API says, as the newest one says them. See values.h.
 *
 * autoscaling/v1 as v2: k8s.io/kubernetes pkg/apis/autoscaling/v1/conversion.go; what v1 has no field for it
 * keeps in annotations (autoscaling.MetricSpecsAnnotation, BehaviorSpecsAnnotation), metrics as v2beta1 says
 * them, the behavior with Go's names. networking.k8s.io/v1beta1: pkg/apis/networking/v1beta1/conversion.go.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "reference/values.h"

#define METRICS "autoscaling.alpha.kubernetes.io/metrics"
#define BEHAVIOR "autoscaling.alpha.kubernetes.io/behavior"
#define ANNOTATION_MAX (256u << 10) /* bytes of all annotations, apimachinery TotalAnnotationSizeLimitB */
#define DEPTH_MAX 8

/* Sets a new value; false: out of memory. */
static bool put(json_t *map, const char *key, json_t *value) {
    return json_object_set_new(map, key, value) == 0;
}

/* Moves a field, if it is there, under another name of another map. */
static bool move_field(json_t *from, const char *key, json_t *to, const char *name) {
    json_t *v = json_object_get(from, key);
    if (!v)
        return true;
    if (json_object_set(to, name, v) != 0)
        return false;
    return json_object_del(from, key) == 0;
}

/* ---- autoscalers */

/* {"targetAverageUtilization": 80} as {"target": {"type": "Utilization", "averageUtilization": 80}}. */
static bool take_target(json_t *source) {
    static const struct {
        const char *old, *name, *type;
    } targets[] = {{"targetAverageUtilization", "averageUtilization", "Utilization"},
                   {"targetAverageValue", "averageValue", "AverageValue"},
                   {"averageValue", "averageValue", "AverageValue"},
                   {"targetValue", "value", "Value"}};
    json_t *target = json_object();
    bool good = target != NULL;
    for (size_t i = 0; good && i < sizeof targets / sizeof *targets; i++) {
        const json_t *v = json_object_get(source, targets[i].old);
        if (v && json_object_size(target) == 0)
            good = put(target, "type", json_string(targets[i].type)) &&
                   move_field(source, targets[i].old, target, targets[i].name);
        else if (v)
            good = json_object_del(source, targets[i].old) == 0;
    }
    if (good && json_object_size(target) > 0)
        return put(source, "target", target);
    json_decref(target);
    return good;
}

/* "metricName", "selector" and "metricSelector" of v2beta1 as v2's "metric". */
static bool take_metric(json_t *source) {
    json_t *metric = json_object();
    bool good = metric && move_field(source, "metricName", metric, "name") &&
                move_field(source, "selector", metric, "selector") &&
                move_field(source, "metricSelector", metric, "selector");
    if (good && json_object_size(metric) > 0)
        return put(source, "metric", metric);
    json_decref(metric);
    return good;
}

static bool newest_metric(json_t *metric) {
    static const char *const sources[] = {"resource", "containerResource", "pods", "object", "external"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        json_t *source = json_object_get(metric, sources[i]);
        if (!source || json_object_get(json_object_get(source, "target"), "type"))
            continue;
        bool of_object = strcmp(sources[i], "object") == 0;
        if (of_object && !move_field(source, "target", source, "describedObject"))
            return false;
        if ((i >= 2 && !take_metric(source)) || !take_target(source))
            return false;
    }
    return true;
}

/* A copy with Go's field names as JSON's: "ScaleUp" as "scaleUp"; nulls are left out. */
static json_t *lower_keys(const json_t *v, int depth) {
    const char *key;
    json_t *item;
    size_t i;
    if (depth > DEPTH_MAX || (!json_is_object(v) && !json_is_array(v)))
        return json_deep_copy(v);
    json_t *out = json_is_object(v) ? json_object() : json_array();
    int r = out ? 0 : -1;
    json_array_foreach(v, i, item) {
        r = r == 0 ? json_array_append_new(out, lower_keys(item, depth + 1)) : r;
    }
    json_object_foreach((json_t *)v, key, item) {
        char name[64];
        size_t n = strlen(key);
        if (r != 0 || json_is_null(item) || n == 0 || n >= sizeof name)
            continue;
        memcpy(name, key, n + 1);
        name[0] = (char)tolower((unsigned char)name[0]);
        r = json_object_set_new(out, name, lower_keys(item, depth + 1));
    }
    if (r == 0)
        return out;
    json_decref(out);
    return NULL;
}

/* The JSON in an annotation, which is then dropped; NULL: there is none that can be read. */
static json_t *take_annotation(json_t *object, const char *name) {
    json_t *annotations = js_at(object, "metadata.annotations");
    const char *text = json_string_value(json_object_get(annotations, name));
    json_t *v = NULL;
    if (!text || js_parse(text, strlen(text), ANNOTATION_MAX, &v, NULL) < 0)
        return NULL;
    (void)json_object_del(annotations, name);
    if (json_object_size(annotations) == 0)
        (void)json_object_del(json_object_get(object, "metadata"), "annotations");
    return v;
}

/* targetCPUUtilizationPercentage as a metric, last of all as the conversion does. */
static bool take_cpu(json_t *spec, json_t *metrics) {
    json_t *v = json_object_get(spec, "targetCPUUtilizationPercentage");
    if (!v)
        return true;
    json_t *metric = json_pack("{s:s, s:{s:s, s:{s:s, s:O}}}", "type", "Resource", "resource", "name", "cpu",
                               "target", "type", "Utilization", "averageUtilization", v);
    (void)json_object_del(spec, "targetCPUUtilizationPercentage");
    return metric && json_array_append_new(metrics, metric) == 0;
}

static bool newest_autoscaler(json_t *object) {
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec))
        return true;
    json_t *told = take_annotation(object, METRICS);
    json_t *behavior = take_annotation(object, BEHAVIOR);
    json_t *metrics = json_object_get(spec, "metrics");
    metrics = json_is_array(metrics) ? json_incref(metrics) : json_array();
    bool good =
        metrics && (!json_is_array(told) || json_array_extend(metrics, told) == 0) && take_cpu(spec, metrics);
    for (size_t i = 0; good && i < json_array_size(metrics); i++)
        good = newest_metric(json_array_get(metrics, i));
    if (good && json_array_size(metrics) > 0)
        good = json_object_set(spec, "metrics", metrics) == 0;
    if (good && json_is_object(behavior))
        good = put(spec, "behavior", lower_keys(behavior, 0));
    json_decref(metrics);
    json_decref(told);
    json_decref(behavior);
    return good;
}

/* ---- Ingresses */

/* {"serviceName": "web", "servicePort": 80} as {"service": {"name": "web", "port": {"number": 80}}}. */
static bool newest_backend(json_t *backend) {
    const json_t *name = json_object_get(backend, "serviceName");
    const json_t *port = json_object_get(backend, "servicePort");
    if (!name && !port)
        return true;
    json_t *service = json_object();
    bool good = service && (!name || json_object_set(service, "name", (json_t *)name) == 0);
    if (good && port)
        good = put(service, "port", json_pack("{s:O}", json_is_string(port) ? "name" : "number", port));
    (void)json_object_del(backend, "serviceName");
    (void)json_object_del(backend, "servicePort");
    if (good)
        return put(backend, "service", service);
    json_decref(service);
    return false;
}

static bool newest_ingress(json_t *object) {
    json_t *spec = json_object_get(object, "spec");
    size_t i;
    size_t k;
    json_t *rule;
    json_t *path;
    bool good = move_field(spec, "backend", spec, "defaultBackend") &&
                newest_backend(json_object_get(spec, "defaultBackend"));
    json_array_foreach(json_object_get(spec, "rules"), i, rule)
        json_array_foreach(js_at(rule, "http.paths"), k, path) good =
            good && newest_backend(json_object_get(path, "backend"));
    return good;
}

json_t *ref_newest_form(const char *kind, const json_t *normal) {
    bool scaler = strcmp(kind, "HorizontalPodAutoscaler") == 0;
    if (!scaler && strcmp(kind, "Ingress") != 0)
        return json_incref((json_t *)normal);
    json_t *copy = json_deep_copy(normal);
    if (copy && (scaler ? newest_autoscaler(copy) : newest_ingress(copy)))
        return copy;
    json_decref(copy);
    return NULL;
}
