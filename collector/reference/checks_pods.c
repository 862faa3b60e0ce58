/* checks_pods: what the pod template of a workload says of its containers: probes, resources, rights, and how
 * its pods are spread. Fields: k8s.io/api core/v1 Container, SecurityContext, PodSecurityContext, Affinity,
 * TopologySpreadConstraint. See checks.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"

/* ---- probes: of containers that go on running; init containers and Jobs end by themselves */

static void check_probes(struct ref_checking *c, const struct ref_object *o) {
    static const char *const both[] = {"readiness", "liveness", NULL};
    const char *of;
    if (!ref_workload_has_containers(c, o))
        return;
    for (struct ref_container it = {0}; ref_container_next(o, &it);)
        for (size_t i = 0; (of = ref_with_text(c->with, "of", both, i)); i++) {
            char rest[64];
            char pointer[REF_AT_MAX];
            (void)snprintf(rest, sizeof rest, "/%.32sProbe", of);
            if (json_object_size(js_at(it.spec, rest)) == 0)
                ref_checking_unmet(c, o, ref_pointer(pointer, it.pointer, rest), it.name, "a probe", NULL);
        }
}

int ref_check_probes(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_running, check_probes);
    return ref_checking_end(&c, "workload");
}

/* ---- resources: a request that is not given is as high as the limit (core/v1 ResourceRequirements) */

static const json_t *amount_in_force(const json_t *container, const char *list, const char *name) {
    char path[160];
    (void)snprintf(path, sizeof path, "/resources/%s/%.96s", list, name);
    const json_t *v = js_at(container, path);
    if (!v && strcmp(list, "requests") == 0) {
        (void)snprintf(path, sizeof path, "/resources/limits/%.96s", name);
        v = js_at(container, path);
    }
    return v;
}

static void need_amount(struct ref_checking *c, const struct ref_object *o, const struct ref_container *it,
                        const char *list, const char *name, const json_t *least) {
    char rest[160];
    char pointer[REF_AT_MAX];
    char expected[160];
    const json_t *found = amount_in_force(it->spec, list, name);
    bool known = true;
    json_t *zero = json_integer(0);
    if (!zero) {
        c->error = -ENOMEM;
        return;
    }
    bool enough = found && ref_order(found, zero, &known) > 0 && known &&
                  (!least || (ref_order(found, least, &known) >= 0 && known));
    json_decref(zero);
    if (enough)
        return;
    const char *text = json_string_value(least);
    (void)snprintf(rest, sizeof rest, "/resources/%s/%.96s", list, name);
    if (text)
        (void)snprintf(expected, sizeof expected, "at least %.64s", text);
    else if (least)
        (void)snprintf(expected, sizeof expected, "at least %g", json_number_value(least));
    else
        (void)snprintf(expected, sizeof expected, "more than 0");
    ref_checking_unmet_value(c, o, ref_pointer(pointer, it->pointer, rest), it->name, expected, found);
}

static void check_amounts(struct ref_checking *c, const struct ref_object *o, const struct ref_container *it,
                          const char *list) {
    const char *name;
    const json_t *least;
    const json_t *leasts = json_object_get(json_object_get(c->with, "at_least"), list);
    for (size_t i = 0; (name = ref_with_text(c->with, list, NULL, i)); i++)
        if (!json_object_get(leasts, name))
            need_amount(c, o, it, list, name, NULL);
    json_object_foreach((json_t *)leasts, name, least) need_amount(c, o, it, list, name, least);
}

static void check_resources(struct ref_checking *c, const struct ref_object *o) {
    if (!ref_workload_has_containers(c, o))
        return;
    for (struct ref_container it = {.init_too = true}; ref_container_next(o, &it);) {
        check_amounts(c, o, &it, "requests");
        check_amounts(c, o, &it, "limits");
    }
}

int ref_check_resources(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_all, check_resources);
    return ref_checking_end(&c, "workload");
}

/* ---- security-context: the container's where it says something, else the pod's. What is asked for follows
 * the Pod Security Standards, "Restricted" (kubernetes.io/docs/concepts/security/pod-security-standards). */

/* One container, and what is in force there. */
struct rights {
    struct ref_checking *c;
    const struct ref_object *o;
    const struct ref_container *it;
    const json_t *own, *pods; /* securityContext */
};

static void lacks(const struct rights *r, const char *rest, const char *expected, const json_t *found) {
    char pointer[REF_AT_MAX];
    ref_checking_unmet_value(r->c, r->o, ref_pointer(pointer, r->it->pointer, rest), r->it->name, expected,
                             found);
}

static const json_t *in_force(const struct rights *r, const char *name) {
    const json_t *v = json_object_get(r->own, name);
    return v && !json_is_null(v) ? v : json_object_get(r->pods, name);
}

/* A user that is named is known; 0 is root whatever runAsNonRoot says (the kubelet then refuses to start). */
static void run_as_non_root(const struct rights *r) {
    const json_t *user = in_force(r, "runAsUser");
    const json_t *flag = in_force(r, "runAsNonRoot");
    if (json_is_integer(user) && json_integer_value(user) == 0)
        lacks(r, "/securityContext/runAsUser", "not 0", user);
    else if (!json_is_integer(user) && !json_is_true(flag))
        lacks(r, "/securityContext/runAsNonRoot", "true", flag);
}

static void no_privilege_escalation(const struct rights *r) {
    const json_t *v = json_object_get(r->own, "allowPrivilegeEscalation");
    if (!json_is_false(v))
        lacks(r, "/securityContext/allowPrivilegeEscalation", "false", v);
}

static void drop_all(const struct rights *r) {
    const json_t *list = js_at(r->own, "capabilities.drop");
    const json_t *add = js_at(r->own, "capabilities.add");
    size_t i;
    const json_t *v;
    bool all = false;
    json_array_foreach(list, i, v) {
        const char *text = json_string_value(v);
        all = all || (text && strcasecmp(text, "ALL") == 0);
    }
    if (!all)
        lacks(r, "/securityContext/capabilities/drop", "ALL", list);
    json_array_foreach(add, i, v) {
        const char *text = json_string_value(v);
        if (!text || strcmp(text, "NET_BIND_SERVICE") != 0) {
            lacks(r, "/securityContext/capabilities/add", "none but NET_BIND_SERVICE", add);
            return;
        }
    }
}

static void read_only_root(const struct rights *r) {
    const json_t *v = json_object_get(r->own, "readOnlyRootFilesystem");
    if (!json_is_true(v))
        lacks(r, "/securityContext/readOnlyRootFilesystem", "true", v);
}

static void not_privileged(const struct rights *r) {
    const json_t *v = json_object_get(r->own, "privileged");
    if (v && !json_is_null(v) && !json_is_false(v))
        lacks(r, "/securityContext/privileged", "false", v);
}

static void seccomp(const struct rights *r) {
    const json_t *profile = in_force(r, "seccompProfile");
    const char *type = js_str(profile, "type", "");
    if (strcmp(type, "RuntimeDefault") != 0 && strcmp(type, "Localhost") != 0)
        lacks(r, "/securityContext/seccompProfile/type", "RuntimeDefault or Localhost",
              json_object_get(profile, "type"));
}

static void no_host_ports(const struct rights *r) {
    size_t i;
    const json_t *port;
    json_array_foreach(json_object_get(r->it->spec, "ports"), i, port) {
        const json_t *v = json_object_get(port, "hostPort");
        char rest[64];
        (void)snprintf(rest, sizeof rest, "/ports/%zu/hostPort", i);
        if (json_is_integer(v) && json_integer_value(v) != 0)
            lacks(r, rest, "none", v);
    }
}

/* Of the pod: the node's network, processes, memory and files. */
static void no_host(struct ref_checking *c, const struct ref_object *o) {
    static const char *const spaces[] = {"hostNetwork", "hostPID", "hostIPC", NULL};
    const json_t *pod = ref_workload_podspec(o);
    const char *at = ref_workload_template(o->kind);
    char rest[64];
    char pointer[REF_AT_MAX];
    for (const char *const *s = spaces; *s; s++) {
        (void)snprintf(rest, sizeof rest, "/spec/%s", *s);
        if (json_is_true(json_object_get(pod, *s)))
            ref_checking_unmet(c, o, ref_pointer(pointer, at, rest), "", "false", "true");
    }
    size_t i;
    const json_t *volume;
    json_array_foreach(json_object_get(pod, "volumes"), i, volume) {
        (void)snprintf(rest, sizeof rest, "/spec/volumes/%zu/hostPath", i);
        if (json_object_get(volume, "hostPath"))
            ref_checking_unmet(c, o, ref_pointer(pointer, at, rest), js_str(volume, "name", ""), "none",
                               js_str(volume, "hostPath.path", "a path of the node"));
    }
}

static const struct {
    const char *name;
    void (*look)(const struct rights *r);
} rights_table[] = {
    {"run_as_non_root", run_as_non_root},
    {"no_privilege_escalation", no_privilege_escalation},
    {"drop_all", drop_all},
    {"read_only_root", read_only_root},
    {"not_privileged", not_privileged},
    {"seccomp", seccomp},
    {"no_host", no_host_ports},
};

static void check_security(struct ref_checking *c, const struct ref_object *o) {
    if (!ref_workload_has_containers(c, o))
        return;
    for (struct ref_container it = {.init_too = true}; ref_container_next(o, &it);) {
        struct rights r = {c, o, &it, json_object_get(it.spec, "securityContext"),
                           json_object_get(ref_workload_podspec(o), "securityContext")};
        for (size_t i = 0; i < sizeof rights_table / sizeof *rights_table; i++)
            if (json_is_true(json_object_get(c->with, rights_table[i].name)))
                rights_table[i].look(&r);
    }
    if (json_is_true(json_object_get(c->with, "no_host")))
        no_host(c, o);
}

int ref_check_security(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_all, check_security);
    return ref_checking_end(&c, "workload");
}

/* ---- spread */

/* A constraint with a null selector counts no pods (core/v1 TopologySpreadConstraint), and one that allows a
 * skew of all replicas forbids nothing. */
static bool constraint_spreads(const json_t *t, const char *key, const json_t *labels, int64_t replicas,
                               bool hard) {
    const json_t *selector = json_object_get(t, "labelSelector");
    return strcmp(js_str(t, "topologyKey", ""), key) == 0 && json_is_object(selector) &&
           ref_selects(selector, false, labels) && js_int(t, "maxSkew", 1) < replicas &&
           (!hard || strcmp(js_str(t, "whenUnsatisfiable", "DoNotSchedule"), "DoNotSchedule") == 0);
}

/* core/v1 PodAffinityTerm: of its own namespace where none is named; a null selector matches no pods. */
static bool term_spreads(const struct ref_checking *c, const json_t *t, const char *key,
                         const json_t *labels) {
    const json_t *selector = json_object_get(t, "labelSelector");
    const json_t *namespaces = json_object_get(t, "namespaces");
    bool own = json_array_size(namespaces) == 0 && !json_object_get(t, "namespaceSelector");
    size_t i;
    const json_t *v;
    json_array_foreach(namespaces, i, v) {
        const char *text = json_string_value(v);
        own = own || (text && c->live->namespace_name && strcmp(text, c->live->namespace_name) == 0);
    }
    const json_t *by = json_object_get(t, "namespaceSelector");
    own = own || (json_is_object(by) && json_object_size(by) == 0);
    return own && strcmp(js_str(t, "topologyKey", ""), key) == 0 && json_is_object(selector) &&
           ref_selects(selector, false, labels);
}

static bool spreads_by(const struct ref_checking *c, const struct ref_object *o, const char *key,
                       int64_t replicas) {
    const json_t *pod = ref_workload_podspec(o);
    const json_t *labels = ref_workload_labels(o);
    bool hard = json_is_true(json_object_get(c->with, "hard"));
    size_t i;
    const json_t *t;
    if (json_object_get(json_object_get(pod, "nodeSelector"), key)) /* all of them in one place */
        return false;
    json_array_foreach(json_object_get(pod, "topologySpreadConstraints"), i,
                       t) if (constraint_spreads(t, key, labels, replicas, hard)) return true;
    const json_t *anti = js_at(pod, "affinity.podAntiAffinity");
    json_array_foreach(json_object_get(anti, "requiredDuringSchedulingIgnoredDuringExecution"), i,
                       t) if (term_spreads(c, t, key, labels)) return true;
    if (hard)
        return false;
    json_array_foreach(
        json_object_get(anti, "preferredDuringSchedulingIgnoredDuringExecution"), i,
        t) if (term_spreads(c, json_object_get(t, "podAffinityTerm"), key, labels)) return true;
    return false;
}

/* On how many nodes were its pods witnessed? */
static void check_seen(struct ref_checking *c, const struct ref_object *o) {
    char name[2 * REF_NAME_MAX];
    const char *first = NULL;
    size_t pods = 0;
    (void)snprintf(name, sizeof name, "%s/%s", o->kind, o->name);
    if (!c->live->pods_known) {
        ref_outcome_unknown(c->out, "where the pods of %s run was not witnessed", name);
        return;
    }
    for (size_t i = 0; i < c->live->n_pods; i++) {
        const struct ref_pod *p = &c->live->pods[i];
        if (strcmp(p->workload, name) != 0 || !p->node || !*p->node)
            continue;
        pods++;
        if (first && strcmp(first, p->node) != 0)
            return;
        first = p->node;
    }
    if (pods < 2) {
        ref_outcome_unknown(c->out, "%s: %zu of its pods witnessed on a node", name, pods);
        return;
    }
    char found[128 + REF_NAME_MAX];
    (void)snprintf(found, sizeof found, "all %zu on %s", pods, first);
    ref_checking_unmet(c, o, "", "", "pods on more than one node", found);
}

static void check_spread(struct ref_checking *c, const struct ref_object *o) {
    const struct ref_object *from;
    const char *at;
    const char *key;
    int64_t n = ref_workload_replicas(c, o, &from, &at);
    if (n == 0 || n == 1) { /* there is nothing to spread */
        c->selected--;
        return;
    }
    for (size_t i = 0; n > 1 && (key = ref_with_text(c->with, "by", NULL, i)); i++)
        if (!spreads_by(c, o, key, n))
            ref_checking_unmet(c, o, "/spec/template/spec/topologySpreadConstraints", key,
                               "its pods kept apart by this key",
                               "neither by topologySpreadConstraints nor by "
                               "podAntiAffinity");
    if (json_is_true(json_object_get(c->with, "seen")))
        check_seen(c, o);
}

int ref_check_spread(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_scaled, check_spread);
    return ref_checking_end(&c, "Deployment or StatefulSet of two replicas or more");
}
