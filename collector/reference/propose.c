/* propose: see propose.h. Each candidate is a check that is asked of every object by itself: what meets it is
 * named, and only that. So nothing is proposed that the manifests do not have. */
#include "reference/propose.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

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

static json_t *ask(const struct candidate *c) {
    json_t *with = c->with ? json_loads(c->with, 0, NULL) : NULL;
    return json_pack("{s:s, s:o*}", "check", c->check, "with", with);
}

/* Does this one object meet it, and is it something that the check is about? */
static int meets(const struct ref_scope *s, json_t *expectation, const struct ref_object *o, bool *ret) {
    struct ref_outcome out = {0};
    json_t *selector = json_pack("{s:s, s:s}", "kind", o->kind, "name", o->name);
    int r = selector && json_object_set_new(expectation, "for", selector) == 0 ? 0 : -ENOMEM;
    if (r == 0)
        r = ref_check(s, expectation, &out);
    *ret = r == 0 && out.objects > 0 && out.differences.n == 0 && !out.unknown;
    ref_outcome_free(&out);
    return r;
}

/* The names of one kind that meet it, release-relative. */
static int names_of_kind(const struct ref_scope *s, const struct candidate *c, const char *kind,
                         json_t *names) {
    json_t *expectation = ask(c);
    int r = expectation ? 0 : -ENOMEM;
    for (size_t i = 0; i < s->live->n && r == 0; i++) {
        const struct ref_object *o = &s->live->objects[i];
        char relative[REF_NAME_MAX];
        bool yes = false;
        if (strcmp(o->kind, kind) != 0)
            continue;
        r = meets(s, expectation, o, &yes);
        if (r < 0 || !yes)
            continue;
        bool whole = ref_name_relative(s->live, o->name, relative, sizeof relative);
        r = json_array_append_new(names, ref_json_text(whole ? relative : o->name)) == 0 ? 0 : -ENOMEM;
    }
    json_decref(expectation);
    return r;
}

/* [SELECTOR] of what meets it, one for each kind. */
static int selectors_of(const struct ref_scope *s, const struct candidate *c, json_t *into) {
    for (const char *const *kind = c->kinds; *kind; kind++) {
        json_t *names = json_array();
        int r = names ? names_of_kind(s, c, *kind, names) : -ENOMEM;
        size_t n = json_array_size(names);
        if (r == 0 && n > 0 && n <= REF_LIST_MAX)
            r = json_array_append_new(into, json_pack("{s:s, s:O}", "kind", *kind, "name", names)) == 0
                    ? 0
                    : -ENOMEM;
        json_decref(names);
        if (r < 0)
            return r;
    }
    return 0;
}

static int propose(const struct ref_scope *s, const struct candidate *c, const char *source, json_t *into) {
    json_t *selectors = json_array();
    int r = selectors && ref_check_type(c->check) ? selectors_of(s, c, selectors) : 0;
    if (r == 0 && json_array_size(selectors)) {
        json_t *with = c->with ? json_loads(c->with, 0, NULL) : NULL;
        json_t *x = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o*, s:O}", "id", c->id, "title", c->title,
                              "severity", "recommended", "why", c->why, "source",
                              source ? source : "the manifests that it was made from, which have it", "check",
                              c->check, "with", with, "for", selectors);
        r = x && json_array_append_new(into, x) == 0 ? 0 : -ENOMEM;
    }
    json_decref(selectors);
    return r;
}

int ref_propose(const struct ref_side *s, const char *source, json_t *into, struct err *e) {
    struct reference none = {0};
    struct ref_scope scope = {&none, s};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (propose(&scope, &candidates[i], source, into) < 0)
            return err_oom(e);
    return 0;
}
