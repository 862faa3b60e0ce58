/* oracle: what matters, by tables of its own. See mutate.h. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "mutate.h"

static bool is_one_of(const char *const *list, const char *text) {
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

const char *oracle_exception(const struct run *r, const char *operation, const char *pointer,
                             const json_t *v) {
    size_t i;
    const json_t *x;
    json_array_foreach((json_t *)r->exceptions, i, x) {
        const json_t *value = json_object_get(x, "value");
        if (fnmatch(js_str(x, "operation", "*"), operation, 0) == 0 &&
            fnmatch(js_str(x, "kind", "*"), r->pair->a->kind, 0) == 0 &&
            fnmatch(js_str(x, "pointer", ""), pointer, 0) == 0 && (!value || json_equal(value, v)))
            return js_str(x, "reason", "");
    }
    return NULL;
}

/* Of two stages nothing is a default that is not the API's own, and a label that tools write is none of
 * theirs. */
enum expectation oracle_between(const struct run *r, const char *operation, const char *pointer,
                                enum expectation expected) {
    bool custom = strchr(r->pair->a->kind, '.') != NULL && strncmp(pointer, "/spec", 5) == 0;
    if (custom && (strncmp(operation, "a default", 9) == 0 || strcmp(operation, "a field more") == 0))
        return AT_THE_PLACE;
    if (strcmp(operation, "removed") == 0 && oracle_exception(r, "removed, of two stages", pointer, NULL))
        return NOTHING;
    return expected;
}

/* Kubernetes API reference: where a list is a set, a map by a key, or rules that add up. */
bool oracle_order_matters(const char *kind, const char *pointer) {
    static const char *const free_lists[] = {
        "containers",
        "ports",
        "env",
        "volumes",
        "volumeMounts",
        "imagePullSecrets",
        "tolerations",
        "rules",
        "verbs",
        "resources",
        "apiGroups",
        "resourceNames",
        "policyTypes",
        "hosts",
        "accessModes",
        "values",
        "from",
        "to",
        "ingress",
        "egress",
        "paths",
        "tls",
        "items",
        "volumeClaimTemplates",
        "add",
        "drop",
        "except",
        "subjects",
        "matchExpressions",
        "nodeSelectorTerms",
        "metrics",
        "policies",
        "secrets",
        "hostAliases",
        "loadBalancerSourceRanges",
        "finalizers",
        "topologySpreadConstraints",
        "preferredDuringSchedulingIgnoredDuringExecution",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "shards", /* of the operator's custom resource: elements with names */
        NULL};
    (void)kind;
    return !is_one_of(free_lists, place_step(pointer)) || strstr(pointer, "/podFailurePolicy/");
}

static bool is_element(const char *pointer) {
    const char *step = place_step(pointer);
    return *step && strspn(step, "0123456789") == strlen(step);
}

/* What an element of a list is known by: with another one it is another element, told as a whole. */
static bool is_key_of_element(const char *pointer, const char *told) {
    static const char *const keys[] = {"name",        "containerPort",
                                       "protocol",    "port",
                                       "mountPath",   "key",
                                       "operator",    "effect",
                                       "ip",          "host",
                                       "path",        "pathType",
                                       "topologyKey", "whenUnsatisfiable",
                                       "secretName",  "kind",
                                       "namespace",   "type",
                                       NULL};
    size_t n = strlen(told);
    const char *rest = pointer + n;
    if (!is_element(told) || strncmp(pointer, told, n) != 0 || *rest != '/')
        return false;
    return (!strchr(rest + 1, '/') && is_one_of(keys, rest + 1)) || strcmp(rest, "/metadata/name") == 0 ||
           strcmp(rest, "/resource/name") == 0 || strcmp(rest, "/resource") == 0 ||
           strcmp(rest, "/metadata") == 0;
}

bool oracle_is_right(const char *pointer, const char *told) {
    size_t n = strlen(pointer);
    if (strncmp(told, pointer, n) == 0 && (!told[n] || told[n] == '/'))
        return true;
    if (strcmp(pointer, "/spec/clusterIP") == 0 && strncmp(told, "/spec/clusterIPs", 16) == 0)
        return true; /* the API server writes both */
    return is_key_of_element(pointer, told);
}

bool oracle_removal_matters(const struct run *r, const char *pointer, const json_t *manifest) {
    char below[2048];
    const char *key;
    json_t *v;
    if (oracle_exception(r, "removed", pointer, manifest))
        return false;
    if (!json_is_object(manifest) || json_object_size(manifest) == 0)
        return true;
    json_object_foreach((json_t *)manifest, key, v) {
        place_below(pointer, key, below, sizeof below);
        if (!json_is_null(v) && oracle_removal_matters(r, below, v))
            return true;
    }
    return false;
}

/* ---- spellings */

/* "250m" as "0.25", "2" as "2000m", "64Mi" as "65536Ki", "1Gi" as "1024Mi": resource.Quantity. */
static json_t *quantity(const json_t *v) {
    const char *text = json_string_value(v);
    char *end;
    if (json_is_integer(v))
        return json_sprintf("%lld000m", (long long)json_integer_value(v));
    if (!text)
        return NULL;
    long long n = strtoll(text, &end, 10);
    if (end == text)
        return NULL;
    if (!*end)
        return json_sprintf("%lld000m", n);
    if (strcmp(end, "m") == 0)
        return json_sprintf("%lld.%03lld", n / 1000, n % 1000);
    if (strcmp(end, "Mi") == 0)
        return json_sprintf("%lldKi", n * 1024);
    if (strcmp(end, "Gi") == 0)
        return json_sprintf("%lldMi", n * 1024);
    return NULL;
}

static json_t *image(const char *text) {
    size_t n = strcspn(text, "/");
    if (!text[n])
        return json_sprintf("docker.io/library/%s", text);
    bool host = memchr(text, '.', n) || memchr(text, ':', n) || strncmp(text, "localhost/", 10) == 0;
    return host ? NULL : json_sprintf("docker.io/%s", text);
}

json_t *oracle_spelling(const char *kind, const char *pointer, const json_t *v) {
    const char *step = place_step(pointer);
    if (strchr(kind, '.'))
        return NULL;
    if (strstr(pointer, "/limits/") || strstr(pointer, "/requests/") || strcmp(step, "sizeLimit") == 0)
        return quantity(v);
    if (strcmp(step, "image") == 0 && json_is_string(v))
        return image(json_string_value(v));
    if (strcmp(step, "targetPort") == 0 || strstr(pointer, "/httpGet/port") ||
        strstr(pointer, "/tcpSocket/port"))
        return json_is_integer(v) ? json_sprintf("%lld", (long long)json_integer_value(v)) : NULL;
    return NULL;
}
