/* names: what the wire's numbers are called, and which names are names; see wire.h. */
#include <stdio.h>
#include <string.h>

#include "wire/wire.h"

enum wire_family wire_family(const Pilotgate__Record *r) {
    switch (r->body_case) {
    case PILOTGATE__RECORD__BODY_TIMING:
        return WIRE_FAMILY_TIMING;
    case PILOTGATE__RECORD__BODY_PHASE:
        return WIRE_FAMILY_PHASE;
    case PILOTGATE__RECORD__BODY_CALLS:
    case PILOTGATE__RECORD__BODY_PACKED_CALLS:
        return WIRE_FAMILY_CALLS;
    case PILOTGATE__RECORD__BODY_CALL:
        return WIRE_FAMILY_CALL;
    case PILOTGATE__RECORD__BODY_OBJECT:
        return r->object->op == PILOTGATE__OBJECT__OP__OP_CONFIRMED ? WIRE_FAMILY_CONFIRMED
                                                                    : WIRE_FAMILY_OBJECT;
    case PILOTGATE__RECORD__BODY_COVERAGE:
        return WIRE_FAMILY_COVERAGE;
    case PILOTGATE__RECORD__BODY_LOSS:
        return WIRE_FAMILY_LOSS;
    default:
        return WIRE_FAMILY_NONE;
    }
}

const char *wire_family_name(enum wire_family f) {
    static const char *const names[WIRE_FAMILIES] = {
        [WIRE_FAMILY_NONE] = "unknown",        [WIRE_FAMILY_TIMING] = "timing",
        [WIRE_FAMILY_PHASE] = "phase",         [WIRE_FAMILY_CALLS] = "calls",
        [WIRE_FAMILY_CALL] = "call",           [WIRE_FAMILY_OBJECT] = "object",
        [WIRE_FAMILY_COVERAGE] = "coverage",   [WIRE_FAMILY_LOSS] = "loss",
        [WIRE_FAMILY_CONFIRMED] = "confirmed",
    };
    return (unsigned)f < WIRE_FAMILIES ? names[f] : "unknown";
}

static const char *name_in(const char *const *names, size_t n, int value) {
    return value > 0 && (size_t)value < n && names[value] ? names[value] : "unknown";
}

#define NAME_IN(table, value) name_in(table, sizeof(table) / sizeof *(table), value)

const char *wire_outcome_name(int outcome) {
    static const char *const names[] = {
        [PILOTGATE__OUTCOME__OUTCOME_COMPLETED] = "completed",
        [PILOTGATE__OUTCOME__OUTCOME_COMPLETED_LATE] = "completed-late",
        [PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR] = "tool-error",
        [PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR] = "rpc-error",
        [PILOTGATE__OUTCOME__OUTCOME_HTTP_ERROR] = "http-error",
        [PILOTGATE__OUTCOME__OUTCOME_REFUSED] = "refused",
        [PILOTGATE__OUTCOME__OUTCOME_RESET] = "reset",
        [PILOTGATE__OUTCOME__OUTCOME_CLOSED] = "closed",
        [PILOTGATE__OUTCOME__OUTCOME_TRUNCATED] = "truncated",
        [PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED] = "stream-ended",
        [PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST] = "session-lost",
        [PILOTGATE__OUTCOME__OUTCOME_TIMEOUT] = "timeout",
        [PILOTGATE__OUTCOME__OUTCOME_TLS] = "tls",
        [PILOTGATE__OUTCOME__OUTCOME_DNS] = "dns",
        [PILOTGATE__OUTCOME__OUTCOME_ABORTED] = "aborted",
        [PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED] = "rate-limited",
        [PILOTGATE__OUTCOME__OUTCOME_MALFORMED] = "malformed",
    };
    return NAME_IN(names, outcome);
}

const char *wire_phase_name(int kind) {
    static const char *const names[] = {
        [PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED] = "namespace-created",
        [PILOTGATE__PHASE__KIND__KIND_RELEASE_CREATED] = "release-created",
        [PILOTGATE__PHASE__KIND__KIND_RELEASE_DEPLOYED] = "release-deployed",
        [PILOTGATE__PHASE__KIND__KIND_RELEASE_FAILED] = "release-failed",
        [PILOTGATE__PHASE__KIND__KIND_RELEASE_SUPERSEDED] = "release-superseded",
        [PILOTGATE__PHASE__KIND__KIND_RELEASE_UNINSTALLED] = "release-uninstalled",
        [PILOTGATE__PHASE__KIND__KIND_WORKLOAD_CREATED] = "workload-created",
        [PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE] = "workload-available",
        [PILOTGATE__PHASE__KIND__KIND_WORKLOAD_UNAVAILABLE] = "workload-unavailable",
        [PILOTGATE__PHASE__KIND__KIND_POD_CREATED] = "pod-created",
        [PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED] = "pod-scheduled",
        [PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED] = "image-pulled",
        [PILOTGATE__PHASE__KIND__KIND_CONTAINER_STARTED] = "container-started",
        [PILOTGATE__PHASE__KIND__KIND_POD_READY] = "pod-ready",
        [PILOTGATE__PHASE__KIND__KIND_POD_UNREADY] = "pod-unready",
        [PILOTGATE__PHASE__KIND__KIND_POD_DELETING] = "pod-deleting",
        [PILOTGATE__PHASE__KIND__KIND_POD_GONE] = "pod-gone",
        [PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED] = "container-failed",
        [PILOTGATE__PHASE__KIND__KIND_FIRST_TOOL_LISTED] = "first-tool-listed",
        [PILOTGATE__PHASE__KIND__KIND_FIRST_CALL] = "first-call",
        [PILOTGATE__PHASE__KIND__KIND_POD_INITIALIZED] = "pod-initialized",
        [PILOTGATE__PHASE__KIND__KIND_CONTAINERS_READY] = "containers-ready",
        [PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLING] = "image-pulling",
        [PILOTGATE__PHASE__KIND__KIND_POD_UNSCHEDULABLE] = "pod-unschedulable",
        [PILOTGATE__PHASE__KIND__KIND_HOOK_STARTED] = "hook-started",
        [PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED] = "hook-succeeded",
        [PILOTGATE__PHASE__KIND__KIND_HOOK_FAILED] = "hook-failed",
        [PILOTGATE__PHASE__KIND__KIND_RELEASE_PENDING] = "release-pending",
    };
    return NAME_IN(names, kind);
}

const char *wire_origin_name(int origin) {
    static const char *const names[] = {
        [PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP] = "api-timestamp",
        [PILOTGATE__ORIGIN__ORIGIN_WATCH] = "watch",
        [PILOTGATE__ORIGIN__ORIGIN_LIST] = "list",
        [PILOTGATE__ORIGIN__ORIGIN_PROBE] = "probe",
        [PILOTGATE__ORIGIN__ORIGIN_EVENT] = "event",
    };
    return NAME_IN(names, origin);
}

static bool alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool wire_name_ok(const char *s) {
    size_t n = s ? strnlen(s, WIRE_NAME_MAX + 1) : 0;
    if (n == 0 || n > WIRE_NAME_MAX || !alphanumeric(s[0]) || !alphanumeric(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!alphanumeric(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-')
            return false;
    return true;
}

char *wire_ref(const char *cluster, const char *ns, const char *node, const uint8_t *boot, uint64_t seq,
               char *out) {
    (void)snprintf(out, WIRE_REF_MAX, "%.*s/%.*s/%.*s@%02x%02x%02x%02x:%llu", WIRE_NAME_MAX, cluster,
                   WIRE_NAME_MAX, ns, WIRE_NAME_MAX, node, boot[0], boot[1], boot[2], boot[3],
                   (unsigned long long)seq);
    return out;
}
