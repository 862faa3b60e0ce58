/* defaults_custom: what the schemas of well-known custom resources write into an object that left it out. See
 * values.h. Above each group of rows the place of its source; of other custom resources nothing is known. */
#include <string.h>

#include "reference/values.h"
#include "reference/values_priv.h"

static const struct row {
    const char *kind, *pattern, *value; /* value: a scalar as text, or JSON of a list or map */
} rows[] = {
    /* kubernetes-sigs/gateway-api apis/v1/{httproute,gateway,object_reference}_types.go, markers "default" */
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/parentRefs/*/group", "gateway.networking.k8s.io"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/parentRefs/*/kind", "Gateway"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules",
     "[{\"matches\":[{\"path\":{\"type\":\"PathPrefix\",\"value\":\"/\"}}]}]"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/matches",
     "[{\"path\":{\"type\":\"PathPrefix\",\"value\":\"/\"}}]"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/matches/*/path/type", "PathPrefix"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/matches/*/path/value", "/"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/matches/*/headers/*/type", "Exact"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/matches/*/queryParams/*/type", "Exact"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/backendRefs/*/group", ""},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/backendRefs/*/kind", "Service"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/backendRefs/*/weight", "1"},
    {"HTTPRoute.gateway.networking.k8s.io", "/spec/rules/*/filters/*/requestRedirect/statusCode", "302"},
    {"Gateway.gateway.networking.k8s.io", "/spec/listeners/*/allowedRoutes/namespaces/from", "Same"},
    {"Gateway.gateway.networking.k8s.io", "/spec/listeners/*/tls/mode", "Terminate"},
    {"Gateway.gateway.networking.k8s.io", "/spec/listeners/*/tls/certificateRefs/*/group", ""},
    {"Gateway.gateway.networking.k8s.io", "/spec/listeners/*/tls/certificateRefs/*/kind", "Secret"},
    /* fluxcd/source-controller api/v1, fluxcd/kustomize-controller api/v1, markers "default" */
    {"GitRepository.source.toolkit.fluxcd.io", "/spec/timeout", "60s"},
    {"Bucket.source.toolkit.fluxcd.io", "/spec/timeout", "60s"},
    {"Bucket.source.toolkit.fluxcd.io", "/spec/provider", "generic"},
    {"OCIRepository.source.toolkit.fluxcd.io", "/spec/timeout", "60s"},
    {"OCIRepository.source.toolkit.fluxcd.io", "/spec/provider", "generic"},
    {"HelmRepository.source.toolkit.fluxcd.io", "/spec/provider", "generic"},
    {"HelmChart.source.toolkit.fluxcd.io", "/spec/reconcileStrategy", "ChartVersion"},
    {"HelmChart.source.toolkit.fluxcd.io", "/spec/version", "*"},
    {"Kustomization.kustomize.toolkit.fluxcd.io", "/spec/force", "false"},
    {"HelmRelease.helm.toolkit.fluxcd.io", "/spec/chart/spec/reconcileStrategy", "ChartVersion"},
    {"HelmRelease.helm.toolkit.fluxcd.io", "/spec/chart/spec/version", "*"},
    /* external-secrets/external-secrets apis/externalsecrets/v1/externalsecret_types.go, markers "default" */
    {"ExternalSecret.external-secrets.io", "/spec/refreshInterval", "1h"},
    {"ExternalSecret.external-secrets.io", "/spec/target/creationPolicy", "Owner"},
    {"ExternalSecret.external-secrets.io", "/spec/target/deletionPolicy", "Retain"},
    {"ExternalSecret.external-secrets.io", "/spec/data/*/remoteRef/conversionStrategy", "Default"},
    {"ExternalSecret.external-secrets.io", "/spec/data/*/remoteRef/decodingStrategy", "None"},
    {"ExternalSecret.external-secrets.io", "/spec/data/*/remoteRef/metadataPolicy", "None"},
    {"ExternalSecret.external-secrets.io", "/spec/dataFrom/*/extract/conversionStrategy", "Default"},
    {"ExternalSecret.external-secrets.io", "/spec/dataFrom/*/extract/decodingStrategy", "None"},
    {"ExternalSecret.external-secrets.io", "/spec/dataFrom/*/extract/metadataPolicy", "None"},
    {"ExternalSecret.external-secrets.io", "/spec/dataFrom/*/find/conversionStrategy", "Default"},
    {"ExternalSecret.external-secrets.io", "/spec/dataFrom/*/find/decodingStrategy", "None"},
};

/* "60s" and "1m0s", where a duration stands. */
static bool is_duration(const char *kind, const char *pointer, const json_t *value, const char *text) {
    int64_t a;
    int64_t b;
    return ref_meaning_of(kind, pointer) == REF_DURATION && json_is_string(value) &&
           ref_duration(json_string_value(value), &a) == 0 && ref_duration(text, &b) == 0 && a == b;
}

bool ref_custom_default(const char *kind, const char *pointer, const json_t *value) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].kind, kind) == 0 && ref_pointer_is(pointer, rows[i].pattern) &&
            (ref_is_written(value, rows[i].value) || is_duration(kind, pointer, value, rows[i].value)))
            return true;
    return false;
}
