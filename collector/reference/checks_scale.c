/* checks_scale: how many pods a workload keeps, and what a drain may take of them. See checks.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

/* ---- replicas */

/* What each autoscaler targets; of several the one that keeps the fewest. */
static int add_scaler(struct ref_checking *c, const struct ref_object *all, size_t i) {
    char target[2 * REF_NAME_MAX];
    (void)snprintf(target, sizeof target, "%s/%s", js_str(all[i].normal, "spec.scaleTargetRef.kind", ""),
                   js_str(all[i].normal, "spec.scaleTargetRef.name", ""));
    const json_t *other = json_object_get(c->scalers, target);
    if (other && js_int(all[json_integer_value(other)].normal, "spec.minReplicas", 1) <=
                     js_int(all[i].normal, "spec.minReplicas", 1))
        return 0;
    return json_object_set_new(c->scalers, target, json_integer((json_int_t)i));
}

static void find_scalers(struct ref_checking *c, const struct ref_object *all, size_t n) {
    c->scalers = json_object();
    int bad = c->scalers ? 0 : -1;
    for (size_t i = 0; bad == 0 && i < n; i++) {
        if (all[i].normal)
            bad = add_scaler(c, all, i);
        else
            c->cut_scaler = &all[i];
    }
    if (bad != 0)
        c->error = -ENOMEM;
}

/* k8s.io/api autoscaling/v2 HorizontalPodAutoscalerSpec.minReplicas: 1 where it is not said. A workload at 0
 * replicas is not autoscaled (kubernetes pkg/controller/podautoscaler/horizontal.go, "ScalingDisabled"). */
int64_t ref_workload_replicas(struct ref_checking *c, const struct ref_object *o,
                              const struct ref_object **ret_from, const char **ret_pointer) {
    char name[2 * REF_NAME_MAX];
    size_t n;
    int64_t replicas = js_int(o->normal, "spec.replicas", 1);
    const struct ref_object *all = ref_checking_kind(c, "HorizontalPodAutoscaler", &n);
    *ret_from = o;
    *ret_pointer = "/spec/replicas";
    if (!c->scalers)
        find_scalers(c, all, n);
    if (!ref_checking_read(c, "HorizontalPodAutoscaler") ||
        (c->cut_scaler && !ref_checking_whole(c, c->cut_scaler)))
        return -1;
    (void)snprintf(name, sizeof name, "%s/%s", o->kind, o->name);
    const json_t *scaler = json_object_get(c->scalers, name);
    if (scaler && replicas != 0) {
        *ret_from = &all[json_integer_value(scaler)];
        *ret_pointer = "/spec/minReplicas";
        replicas = js_int((*ret_from)->normal, "spec.minReplicas", 1);
    }
    return replicas < 0 ? 0 : replicas;
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

/* One run over the workloads: which budgets may be about which, and how many pods each counts. */
struct budgets {
    struct ref_selectors selectors;
    int64_t *pods; /* of each budget; -1: not known, -2: not counted yet */
};

struct count {
    struct ref_checking *c;
    const struct ref_object *pdb;
    int64_t sum; /* -1: not known */
};

static bool is_scaled(const char *kind) {
    const char *const *k = ref_workloads_scaled;
    while (*k && strcmp(*k, kind) != 0)
        k++;
    return *k != NULL;
}

/* Pods of a DaemonSet or Job count as available and are no replicas: they may keep minAvailable alone. */
static bool count_pods(void *ctx, const struct ref_object *o) {
    struct count *x = ctx;
    const struct ref_object *from;
    const char *pointer;
    if (selects_pods(x->pdb, ref_workload_labels(o)) == FITS_NOT)
        return true;
    int64_t n = is_scaled(o->kind) ? ref_workload_replicas(x->c, o, &from, &pointer) : -1;
    if (n < 0)
        ref_outcome_unknown(x->c->out, "PodDisruptionBudget/%s also counts pods of %s/%s", x->pdb->name,
                            o->kind, o->name);
    x->sum = n < 0 ? -1 : x->sum + n;
    return n >= 0;
}

/* How many pods the budget's workloads keep, together; -1: not known. */
static int64_t pods_of(struct ref_checking *c, const struct ref_object *pdb) {
    struct budgets *b = c->ctx;
    int64_t *pods = &b->pods[pdb - b->selectors.objects];
    struct count x = {c, pdb, 0};
    if (*pods != -2)
        return *pods;
    for (const char *const *k = ref_workloads_scaled; *k; k++)
        if (!ref_checking_read(c, *k))
            return *pods = -1;
    if (b->selectors.cut_workload && !ref_checking_whole(c, b->selectors.cut_workload))
        return *pods = -1;
    ref_selectors_meant(&b->selectors, pdb, count_pods, &x);
    return *pods = x.sum;
}

/* false: it is not known what it allows. */
static bool read_budget(struct ref_checking *c, const struct ref_object *pdb, struct budget *ret) {
    const json_t *max = js_at(pdb->normal, "spec.maxUnavailable");
    const json_t *min = js_at(pdb->normal, "spec.minAvailable");
    bool by_max = max && !json_is_null(max);
    int64_t pods = pods_of(c, pdb);
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

/* The budgets that select a workload's pods. */
struct found {
    struct ref_checking *c;
    const json_t *labels;
    const struct ref_object *first;
    int n; /* -1: not known */
};

static bool find_budget(void *ctx, const struct ref_object *pdb) {
    struct found *x = ctx;
    enum fit fit = selects_pods(pdb, x->labels);
    if (fit == FITS_UNKNOWN) {
        ref_outcome_unknown(x->c->out,
                            "PodDisruptionBudget/%s has an empty selector, which means all pods in policy/v1 "
                            "and none in policy/v1beta1; the record does not say which one it is",
                            pdb->name);
        x->n = -1;
        return false;
    }
    if (fit == FITS && x->n++ == 0)
        x->first = pdb;
    return true;
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
    struct budgets *all = c->ctx;
    if (n < 0 || !ref_checking_read(c, "PodDisruptionBudget") ||
        (all->selectors.cut && !ref_checking_whole(c, all->selectors.cut)))
        return;
    struct found x = {c, ref_workload_labels(o), NULL, 0};
    ref_selectors_about(&all->selectors, o, find_budget, &x);
    struct budget b;
    if (x.n == 0)
        ref_checking_unmet(c, o, "/spec/template/metadata/labels", "", "selected by one PodDisruptionBudget",
                           "none selects its pods");
    else if (x.n > 1)
        ref_checking_unmet(c, o, "/spec/template/metadata/labels", "", "selected by one PodDisruptionBudget",
                           "several select its pods: they cannot be evicted at all");
    else if (x.n == 1 && read_budget(c, x.first, &b))
        judge_budget(c, o, &b, n);
}

int ref_check_budgets(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    struct budgets b = {{0}, NULL};
    ref_checking_begin(&c, s, e, out);
    c.error = ref_selectors_make(&c, "PodDisruptionBudget", "spec.selector", &b.selectors);
    b.pods = c.error < 0 ? NULL : malloc((b.selectors.n + 1) * sizeof *b.pods);
    for (size_t i = 0; b.pods && i < b.selectors.n; i++)
        b.pods[i] = -2;
    c.ctx = &b;
    if (b.pods)
        ref_checking_each(&c, ref_workloads_scaled, check_budgets);
    else
        c.error = -ENOMEM;
    free(b.pods);
    ref_selectors_free(&b.selectors);
    return ref_checking_end(&c, "Deployment or StatefulSet of so many replicas");
}
