/* checks_network: are Services served, and are pods kept from those that they do not need? See checks.h. */
#include "reference/checks_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"

/* ---- service-endpoints: of what agents tell of a Service's Endpoints (pilotgate.proto, "Endpoints") */

static const struct ref_object *endpoints_of(const struct ref_checking *c, const char *name) {
    return ref_side_find(c->live, "Endpoints", name);
}

/* core/v1 ServiceSpec.publishNotReadyAddresses: its endpoints are called ready whatever the pods say. */
static bool readiness_tells(struct ref_checking *c, const struct ref_object *o) {
    if (!js_bool(o->normal, "spec.publishNotReadyAddresses", false))
        return true;
    ref_outcome_unknown(
        c->out, "Service/%s publishes addresses that are not ready: its endpoints say nothing", o->name);
    return false;
}

static void check_endpoints(struct ref_checking *c, const struct ref_object *o) {
    if (strcmp(js_str(o->normal, "spec.type", "ClusterIP"), "ExternalName") == 0) {
        c->selected--;
        return;
    }
    if (!c->live->live) {
        ref_outcome_unknown(c->out, "rendered manifests have no endpoints");
        return;
    }
    const struct ref_object *e = endpoints_of(c, o->name);
    if (!ref_checking_read(c, "Endpoints") || (e && !ref_checking_whole(c, e)) || !readiness_tells(c, o))
        return;
    const json_t *ready = e ? json_object_get(e->normal, "ready") : NULL;
    bool plain = json_object_size(js_at(o->normal, "spec.selector")) > 0;
    const char *at = plain ? "/spec/selector" : "";
    if (!e)
        ref_checking_unmet(c, o, at, "", "a ready endpoint", "no endpoints");
    else if (json_is_false(ready))
        ref_checking_unmet(c, o, at, "", "a ready endpoint", "none is ready");
    else if (!json_is_true(ready))
        ref_outcome_unknown(c->out, "Endpoints/%s does not say whether any is ready", o->name);
}

int ref_check_endpoints(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    static const char *const kinds[] = {"Service", NULL};
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, kinds, check_endpoints);
    return ref_checking_end(&c, "Service");
}

/* ---- network-policies: k8s.io/api networking/v1 NetworkPolicySpec */

/* policyTypes that are not said: Ingress, and Egress where there are egress rules. */
static bool is_about(const struct ref_object *policy, const char *type) {
    const json_t *types = js_at(policy->normal, "spec.policyTypes");
    if (json_array_size(types) == 0)
        return strcmp(type, "Ingress") == 0 || json_array_size(js_at(policy->normal, "spec.egress")) > 0;
    size_t i;
    const json_t *t;
    json_array_foreach(types, i,
                       t) if (json_is_string(t) && strcmp(json_string_value(t), type) == 0) return true;
    return false;
}

/* A peer that is everybody: every address without exception, or one that says nothing. */
static bool is_everybody(const json_t *peer) {
    if (json_object_size(peer) == 0)
        return true;
    const char *cidr = js_str(peer, "ipBlock.cidr", "");
    return (strcmp(cidr, "0.0.0.0/0") == 0 || strcmp(cidr, "::/0") == 0) &&
           json_array_size(js_at(peer, "ipBlock.except")) == 0;
}

/* No peers are all peers, no ports are all ports. */
static bool is_open(const json_t *rule, const char *peers) {
    const json_t *list = json_object_get(rule, peers);
    size_t i;
    const json_t *peer;
    bool everybody = json_array_size(list) == 0;
    json_array_foreach(list, i, peer) everybody = everybody || is_everybody(peer);
    return everybody && json_array_size(json_object_get(rule, "ports")) == 0;
}

/* Policies add up: one rule that lets everything through is enough. Its place, or -1. */
static int open_rule(const struct ref_object *policy, const char *type) {
    bool in = strcmp(type, "Ingress") == 0;
    const json_t *rules = js_at(policy->normal, in ? "spec.ingress" : "spec.egress");
    size_t i;
    const json_t *rule;
    json_array_foreach(rules, i, rule) if (is_open(rule, in ? "from" : "to")) return (int)i;
    return -1;
}

/* Is the policy's podSelector about these pods? An empty one selects all, and one that is not said is empty.
 */
static bool selects_pods(const struct ref_object *policy, const json_t *labels) {
    const json_t *selector = js_at(policy->normal, "spec.podSelector");
    return !json_is_object(selector) || ref_selects(selector, false, labels);
}

static void tell_open(struct ref_checking *c, const struct ref_object *policy, const char *type, int rule,
                      const struct ref_object *o) {
    char pointer[REF_AT_MAX];
    char where[2 * REF_NAME_MAX];
    (void)snprintf(pointer, sizeof pointer, "/spec/%s/%d",
                   strcmp(type, "Ingress") == 0 ? "ingress" : "egress", rule);
    (void)snprintf(where, sizeof where, "%s/%s", o->kind, o->name);
    ref_checking_unmet(c, policy, pointer, where, "peers or ports", "a rule that lets everything through");
}

/* The policies of one type that are about one workload. */
struct isolation {
    struct ref_checking *c;
    const struct ref_object *o;
    const json_t *labels;
    const char *type;
    bool covered;
};

static bool look_at_policy(void *ctx, const struct ref_object *policy) {
    struct isolation *x = ctx;
    if (!is_about(policy, x->type) || !selects_pods(policy, x->labels))
        return true;
    x->covered = true;
    int rule = open_rule(policy, x->type);
    if (rule >= 0 && !json_is_true(json_object_get(x->c->with, "allow_open")))
        tell_open(x->c, policy, x->type, rule, x->o);
    return true;
}

static void check_type(struct ref_checking *c, const struct ref_object *o, const char *type) {
    struct isolation x = {c, o, ref_workload_labels(o), type, false};
    char pointer[REF_AT_MAX];
    ref_selectors_about(c->ctx, o, look_at_policy, &x);
    if (!x.covered)
        ref_checking_unmet(c, o, ref_pointer(pointer, ref_workload_template(o->kind), "/metadata/labels"),
                           type, "selected by a NetworkPolicy of this type", "none selects its pods");
}

/* What a policy does to pods of the node's own network is not defined, and mostly nothing
 * (kubernetes.io/docs/concepts/services-networking/network-policies, "hostNetwork"). */
static void check_policies(struct ref_checking *c, const struct ref_object *o) {
    static const char *const ingress[] = {"Ingress", NULL};
    const char *type;
    char pointer[REF_AT_MAX];
    const struct ref_selectors *policies = c->ctx;
    if (!ref_checking_read(c, "NetworkPolicy") || (policies->cut && !ref_checking_whole(c, policies->cut)))
        return;
    if (json_is_true(json_object_get(ref_workload_podspec(o), "hostNetwork"))) {
        ref_checking_unmet(c, o, ref_pointer(pointer, ref_workload_template(o->kind), "/spec/hostNetwork"),
                           "", "false, or no NetworkPolicy holds", "true");
        return;
    }
    for (size_t i = 0; (type = ref_with_text(c->with, "types", ingress, i)); i++)
        check_type(c, o, type);
}

int ref_check_policies(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    struct ref_selectors policies = {0};
    ref_checking_begin(&c, s, e, out);
    c.error = ref_selectors_make(&c, "NetworkPolicy", "spec.podSelector", &policies);
    c.ctx = &policies;
    if (c.error == 0)
        ref_checking_each(&c, ref_workloads_all, check_policies);
    ref_selectors_free(&policies);
    return ref_checking_end(&c, "workload");
}
