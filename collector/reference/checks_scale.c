/* checks_scale: how many pods a workload keeps, and what a drain may take of them. See checks.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

/* ---- replicas */

static bool targets(const struct ref_object *scaler, const struct ref_object *o) {
    return strcmp(js_str(scaler->normal, "spec.scaleTargetRef.kind", ""), o->kind) == 0 &&
           strcmp(js_str(scaler->normal, "spec.scaleTargetRef.name", ""), o->name) == 0;
}

/* k8s.io/api autoscaling/v2 HorizontalPodAutoscalerSpec.minReplicas: 1 where it is not said. A workload at 0
 * replicas is not autoscaled (kubernetes pkg/controller/podautoscaler/horizontal.go, "ScalingDisabled"). */
int64_t ref_workload_replicas(struct ref_checking *c, const struct ref_object *o,
                              const struct ref_object **ret_from, const char **ret_pointer) {
    int64_t n = js_int(o->normal, "spec.replicas", 1);
    bool autoscaled = false;
    size_t scalers;
    const struct ref_object *h = ref_checking_kind(c, "HorizontalPodAutoscaler", &scalers);
    *ret_from = o;
    *ret_pointer = "/spec/replicas";
    if (!ref_checking_read(c, "HorizontalPodAutoscaler"))
        return -1;
    for (size_t i = 0; i < scalers && n != 0; i++) {
        if (!ref_checking_whole(c, &h[i]))
            return -1;
        if (!targets(&h[i], o))
            continue;
        int64_t min = js_int(h[i].normal, "spec.minReplicas", 1);
        if (autoscaled && min >= n)
            continue;
        autoscaled = true;
        n = min;
        *ret_from = &h[i];
        *ret_pointer = "/spec/minReplicas";
    }
    return n < 0 ? 0 : n;
}

static void check_replicas(struct ref_checking *c, const struct ref_object *o) {
    int64_t wanted = js_int(c->with, "at_least", 2);
    const struct ref_object *from;
    const char *pointer;
    int64_t n = ref_workload_replicas(c, o, &from, &pointer);
    if (n < 0 || n >= wanted)
        return;
    char expected[64];
    char where[2 * REF_NAME_MAX] = "";
    if (from != o)
        (void)snprintf(where, sizeof where, "%s/%s", o->kind, o->name);
    (void)snprintf(expected, sizeof expected, "at least %lld", (long long)wanted);
    json_t *found = json_integer(n);
    if (found)
        ref_checking_unmet_value(c, from, pointer, where, expected, found);
    else
        c->error = -ENOMEM;
    json_decref(found);
}

int ref_check_replicas(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_scaled, check_replicas);
    return ref_checking_end(&c, "Deployment or StatefulSet");
}

/* ---- disruption budgets
 *
 * k8s.io/api policy/v1 PodDisruptionBudgetSpec; what it allows: kubernetes pkg/controller/disruption/
 * disruption.go, getExpectedPodCount (percentages are rounded up, of minAvailable and of maxUnavailable) and
 * updatePdbStatus. Pods that two budgets select cannot be evicted at all (pkg/registry/core/pod/storage/
 * eviction.go: "This pod has more than one PodDisruptionBudget"). */

struct budget {
    const struct ref_object *of;
    const char *pointer; /* of what says how many */
    int64_t pods;        /* of all workloads that it selects */
    int64_t allowed;     /* of them that may go at once */
};

enum fit { FITS, FITS_NOT, FITS_UNKNOWN };

/* An empty selector: all pods of the namespace in policy/v1, none in policy/v1beta1. In v1 what was written
 * as an empty one in v1beta1 names a key that no pod has (pkg/apis/policy/v1beta1/conversion.go). */
static enum fit selects_pods(const struct ref_object *pdb, const json_t *labels) {
    const json_t *selector = js_at(pdb->normal, "spec.selector");
    if (!json_is_object(selector))
        return FITS_NOT;
    if (json_array_size(json_object_get(selector, "matchExpressions")) > 0 ||
        json_object_size(json_object_get(selector, "matchLabels")) > 0)
        return ref_selects(selector, false, labels) ? FITS : FITS_NOT;
    const char *version = js_str(pdb->normal, "apiVersion", "");
    return strcmp(version, "policy/v1") == 0        ? FITS
           : strcmp(version, "policy/v1beta1") == 0 ? FITS_NOT
                                                    : FITS_UNKNOWN;
}

/* intstr.GetScaledValueFromIntOrPercent with roundUp; -1: it is neither. */
static int64_t scaled(const json_t *v, int64_t of) {
    if (json_is_integer(v))
        return json_integer_value(v) < 0 ? 0 : json_integer_value(v);
    const char *text = json_string_value(v);
    char *end = NULL;
    errno = 0;
    long long n = text ? strtoll(text, &end, 10) : -1;
    if (!text || end == text || errno != 0 || n < 0 || n > 1000000)
        return -1;
    if (!*end)
        return n;
    return strcmp(end, "%") == 0 ? (n * of + 99) / 100 : -1;
}

/* Pods that are counted as available and are no replicas of a Deployment or StatefulSet: minAvailable may be
 * kept by them alone. */
static bool selects_others(struct ref_checking *c, const struct ref_object *pdb) {
    static const char *const others[] = {"DaemonSet", "CronJob", "Job", NULL};
    for (const char *const *k = others; *k; k++) {
        size_t n;
        const struct ref_object *o = ref_checking_kind(c, *k, &n);
        for (size_t i = 0; i < n; i++)
            if (!o[i].normal || selects_pods(pdb, ref_workload_labels(&o[i])) != FITS_NOT) {
                ref_outcome_unknown(c->out, "PodDisruptionBudget/%s also counts pods of %s/%s", pdb->name,
                                    o[i].kind, o[i].name);
                return true;
            }
    }
    return false;
}

/* How many pods the budget's workloads keep, together; -1: not known. */
static int64_t pods_of(struct ref_checking *c, const struct ref_object *pdb) {
    int64_t sum = 0;
    const struct ref_object *from;
    const char *pointer;
    for (const char *const *k = ref_workloads_scaled; *k; k++) {
        size_t n;
        const struct ref_object *o = ref_checking_kind(c, *k, &n);
        if (!ref_checking_read(c, *k))
            return -1;
        for (size_t i = 0; i < n; i++) {
            if (!ref_checking_whole(c, &o[i]))
                return -1;
            if (selects_pods(pdb, ref_workload_labels(&o[i])) != FITS)
                continue;
            int64_t replicas = ref_workload_replicas(c, &o[i], &from, &pointer);
            if (replicas < 0)
                return -1;
            sum += replicas;
        }
    }
    return sum;
}

/* false: it is not known what it allows. */
static bool read_budget(struct ref_checking *c, const struct ref_object *pdb, struct budget *ret) {
    const json_t *max = js_at(pdb->normal, "spec.maxUnavailable");
    const json_t *min = js_at(pdb->normal, "spec.minAvailable");
    bool by_max = max && !json_is_null(max);
    int64_t pods = selects_others(c, pdb) ? -1 : pods_of(c, pdb);
    if (pods < 0)
        return false;
    int64_t n = by_max ? scaled(max, pods) : min && !json_is_null(min) ? scaled(min, pods) : pods;
    if (n < 0) {
        ref_outcome_unknown(
            c->out, "PodDisruptionBudget/%s: what it allows is neither a number nor a percentage", pdb->name);
        return false;
    }
    int64_t allowed = by_max ? (n < pods ? n : pods) : pods - n;
    *ret = (struct budget){pdb, by_max ? "/spec/maxUnavailable" : "/spec/minAvailable", pods,
                           allowed > 0 ? allowed : 0};
    return true;
}

/* The budgets that select the workload's pods: the first one into *ret; how many there are. -1: not known. */
static int find_budget(struct ref_checking *c, const struct ref_object *o, const struct ref_object **ret) {
    size_t n;
    int found = 0;
    const struct ref_object *pdb = ref_checking_kind(c, "PodDisruptionBudget", &n);
    for (size_t i = 0; i < n; i++) {
        if (!ref_checking_whole(c, &pdb[i]))
            return -1;
        enum fit fit = selects_pods(&pdb[i], ref_workload_labels(o));
        if (fit == FITS_UNKNOWN) {
            ref_outcome_unknown(
                c->out,
                "PodDisruptionBudget/%s has an empty selector, which means all pods in policy/v1 "
                "and none in policy/v1beta1; the record does not say which one it is",
                pdb[i].name);
            return -1;
        }
        if (fit == FITS && found++ == 0)
            *ret = &pdb[i];
    }
    return found;
}

static void judge_budget(struct ref_checking *c, const struct ref_object *o, const struct budget *b,
                         int64_t n) {
    char where[2 * REF_NAME_MAX];
    char found[160];
    (void)snprintf(where, sizeof where, "%s/%s", o->kind, o->name);
    const json_t *value = js_at(b->of->normal, b->pointer);
    const char *as_text = json_string_value(value);
    char number[32];
    (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    const char *said = as_text ? as_text : value ? number : "nothing";
    const char *name = strrchr(b->pointer, '/') + 1;
    if (b->allowed < 1) {
        (void)snprintf(found, sizeof found, "%s %.32s of %lld pods: none may go, every drain waits", name,
                       said, (long long)b->pods);
        ref_checking_unmet(c, b->of, b->pointer, where, "lets at least one pod go", found);
    } else if (b->allowed >= n) {
        (void)snprintf(found, sizeof found,
                       "%s %.32s of %lld pods: %lld may go at once, the workload has %lld", name, said,
                       (long long)b->pods, (long long)b->allowed, (long long)n);
        ref_checking_unmet(c, b->of, b->pointer, where, "keeps at least one pod", found);
    }
}

static void check_budgets(struct ref_checking *c, const struct ref_object *o) {
    const struct ref_object *from;
    const char *pointer;
    int64_t n = ref_workload_replicas(c, o, &from, &pointer);
    if (n >= 0 && n < js_int(c->with, "at_least_replicas", 1)) {
        c->selected--;
        return;
    }
    if (n < 0 || !ref_checking_read(c, "PodDisruptionBudget"))
        return;
    const struct ref_object *pdb = NULL;
    int budgets = find_budget(c, o, &pdb);
    struct budget b;
    if (budgets == 0)
        ref_checking_unmet(c, o, "/spec/template/metadata/labels", "", "selected by one PodDisruptionBudget",
                           "none selects its pods");
    else if (budgets > 1)
        ref_checking_unmet(c, o, "/spec/template/metadata/labels", "", "selected by one PodDisruptionBudget",
                           "several select its pods: they cannot be evicted at all");
    else if (budgets == 1 && read_budget(c, pdb, &b))
        judge_budget(c, o, &b, n);
}

int ref_check_budgets(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_scaled, check_budgets);
    return ref_checking_end(&c, "Deployment or StatefulSet of so many replicas");
}
