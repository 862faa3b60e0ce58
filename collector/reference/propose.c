/* propose: see propose.h. Each candidate is a check that is asked of all objects of a kind; those that do not
 * meet it are left out, and what is left is asked again. So nothing is proposed that the manifests do not
 * have. */
#include "reference/propose.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

#define NAMED_MAX 40 /* objects of a kind that are named one by one where all of them meet it */

static const struct candidate {
    const char *id, *check, *with; /* with: JSON; NULL: none */
    const char *kinds[5];
    const char *title, *why;
} candidates[] = {
    {"replicas",
     "replicas",
     "{\"at_least\":2}",
     {"Deployment", "StatefulSet"},
     "at least two replicas",
     "one pod may go without the service going"},
    {"disruption-budgets",
     "disruption-budgets",
     NULL,
     {"Deployment", "StatefulSet"},
     "a disruption budget",
     "a drained node must not take all pods at once"},
    {"spread-nodes",
     "spread",
     "{\"by\":[\"kubernetes.io/hostname\"]}",
     {"Deployment", "StatefulSet"},
     "spread over nodes",
     "one node may go without the service going"},
    {"spread-zones",
     "spread",
     "{\"by\":[\"topology.kubernetes.io/zone\"]}",
     {"Deployment", "StatefulSet"},
     "spread over zones",
     "one zone may go without the service going"},
    {"readiness",
     "probes",
     "{\"of\":[\"readiness\"]}",
     {"Deployment", "StatefulSet", "DaemonSet"},
     "readiness probes",
     "no request is sent to a pod that cannot answer it"},
    {"liveness",
     "probes",
     "{\"of\":[\"liveness\"]}",
     {"Deployment", "StatefulSet", "DaemonSet"},
     "liveness probes",
     "what hangs is started again"},
    {"requests",
     "resources",
     "{\"requests\":[\"cpu\",\"memory\"]}",
     {"Deployment", "StatefulSet", "DaemonSet", "CronJob"},
     "requests of CPU and memory",
     "the scheduler knows what a pod needs"},
    {"memory-limits",
     "resources",
     "{\"limits\":[\"memory\"]}",
     {"Deployment", "StatefulSet", "DaemonSet", "CronJob"},
     "limits of memory",
     "one container cannot take its node down"},
    {"non-root",
     "security-context",
     "{\"run_as_non_root\":true}",
     {"Deployment", "StatefulSet", "DaemonSet", "CronJob"},
     "no container runs as root",
     "what breaks out of a container is not root"},
    {"no-escalation",
     "security-context",
     "{\"no_privilege_escalation\":true}",
     {"Deployment", "StatefulSet", "DaemonSet", "CronJob"},
     "no container gains rights",
     "a program in a container cannot gain rights that it was not given"},
    {"ingress-policies",
     "network-policies",
     "{\"types\":[\"Ingress\"]}",
     {"Deployment", "StatefulSet", "DaemonSet"},
     "network policies for what comes in",
     "only who is named may reach a pod"},
    {"egress-policies",
     "network-policies",
     "{\"types\":[\"Egress\"]}",
     {"Deployment", "StatefulSet", "DaemonSet"},
     "network policies for what goes out",
     "a pod reaches only what is named"},
    {"tls", "tls", NULL, {"Ingress"}, "TLS", "what is sent cannot be read or changed on the way"},
};

/* The expectation, about these (borrowed); a new reference. */
static json_t *ask(const struct candidate *c, json_t *selectors, const char *source) {
    json_t *with = c->with ? json_loads(c->with, 0, NULL) : NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o*, s:O}", "id", c->id, "title", c->title, "severity",
                     "recommended", "why", c->why, "source",
                     source ? source : "the manifests that it was made from, which have it", "check",
                     c->check, "with", with, "for", selectors);
}

static int outcome_of(const struct ref_scope *s, const struct candidate *c, json_t *selectors,
                      struct ref_outcome *out) {
    json_t *expectation = ask(c, selectors, NULL);
    int r = expectation ? ref_check(s, expectation, out) : -ENOMEM;
    json_decref(expectation);
    return r;
}

static bool is_met(const struct ref_outcome *out) {
    return out->objects > 0 && out->differences.n == 0 && !out->unknown;
}

static bool fails(const struct ref_outcome *out, const struct ref_object *o) {
    for (size_t i = 0; i < out->differences.n; i++)
        if (out->differences.items[i].of == o)
            return true;
    return false;
}

/* {"kind","name":[..]}: at most so many names each as a selector may have. */
static int add_selector(json_t *selectors, const char *kind, json_t *names) {
    json_t *selector = json_pack("{s:s, s:O}", "kind", kind, "name", names);
    return selector && json_array_append_new(selectors, selector) == 0 ? 0 : -ENOMEM;
}

/* The selectors of what is of this kind and does not fail; the kind alone when none fails and they are many.
 */
static int select_met(const struct ref_side *live, const char *kind, const struct ref_outcome *out,
                      json_t *selectors) {
    json_t *names = json_array();
    size_t n = 0;
    int r = names ? 0 : -ENOMEM;
    for (size_t i = 0; i < live->n && r == 0; i++) {
        const struct ref_object *o = &live->objects[i];
        char relative[REF_NAME_MAX];
        if (strcmp(o->kind, kind) != 0)
            continue;
        n++;
        if (fails(out, o))
            continue;
        bool whole = ref_name_relative(live, o->name, relative, sizeof relative);
        r = json_array_append_new(names, ref_json_text(whole ? relative : o->name)) == 0 ? 0 : -ENOMEM;
        if (r == 0 && json_array_size(names) == REF_LIST_MAX) {
            r = add_selector(selectors, kind, names);
            json_decref(names);
            names = json_array();
            r = names ? r : -ENOMEM;
        }
    }
    if (r == 0 && out->differences.n == 0 && n > NAMED_MAX)
        r = json_array_clear(selectors) == 0 &&
                    json_array_append_new(selectors, json_pack("{s:s}", "kind", kind)) == 0
                ? 0
                : -ENOMEM;
    else if (r == 0 && json_array_size(names))
        r = add_selector(selectors, kind, names);
    json_decref(names);
    return r;
}

/* Adds the selectors of what meets it of this kind, if anything does. */
static int try_kind(const struct ref_scope *s, const struct candidate *c, const char *kind, json_t *into) {
    struct ref_outcome all = {0};
    struct ref_outcome met = {0};
    json_t *every = json_pack("[{s:s}]", "kind", kind);
    json_t *selectors = json_array();
    int r = every && selectors ? outcome_of(s, c, every, &all) : -ENOMEM;
    if (r == 0 && all.objects > 0 && all.differences.more == 0)
        r = select_met(s->live, kind, &all, selectors);
    if (r == 0 && json_array_size(selectors))
        r = outcome_of(s, c, selectors, &met);
    if (r == 0 && is_met(&met))
        r = json_array_extend(into, selectors) == 0 ? 0 : -ENOMEM;
    ref_outcome_free(&all);
    ref_outcome_free(&met);
    json_decref(every);
    json_decref(selectors);
    return r;
}

static int propose(const struct ref_scope *s, const struct candidate *c, const char *source, json_t *into) {
    json_t *selectors = json_array();
    int r = selectors ? 0 : -ENOMEM;
    for (const char *const *kind = c->kinds; r == 0 && *kind && ref_check_type(c->check); kind++)
        r = try_kind(s, c, *kind, selectors);
    size_t n = json_array_size(selectors);
    if (r == 0 && n > 0 && n <= REF_LIST_MAX)
        r = json_array_append_new(into, ask(c, selectors, source)) == 0 ? 0 : -ENOMEM;
    json_decref(selectors);
    return r;
}

int ref_propose(const struct ref_side *s, const char *source, json_t *into, struct err *e) {
    struct reference none = {0};
    struct ref_scope scope = {.r = &none, .live = s};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (propose(&scope, &candidates[i], source, into) < 0)
            return err_oom(e);
    return 0;
}
