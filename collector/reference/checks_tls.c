/* checks_tls: does each way in from outside end TLS? Ingress (k8s.io/api networking/v1 IngressSpec) and
 * HTTPRoute with its Gateways (gateway.networking.k8s.io/v1 HTTPRouteSpec, GatewaySpec). See checks.h. */
#include "reference/checks_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"

#define GATEWAY_GROUP "gateway.networking.k8s.io"
#define ROUTE "HTTPRoute." GATEWAY_GROUP
#define GATEWAY "Gateway." GATEWAY_GROUP

/* Does the pattern, "shop.example" or "*.example", stand for this host? How many labels the star takes:
 * exactly one in an Ingress (IngressRule.host), one or more in a Gateway (Hostname). */
static bool host_in(const char *pattern, const char *host, bool many) {
    if (strcasecmp(pattern, host) == 0)
        return true;
    if (strncmp(pattern, "*.", 2) != 0)
        return false;
    const char *rest = strchr(host, '.');
    for (; rest; rest = many ? strchr(rest + 1, '.') : NULL)
        if (strcasecmp(rest, pattern + 1) == 0)
            return rest != host;
    return false;
}

static bool has_text(const json_t *v) {
    return json_is_string(v) && json_string_length(v) > 0;
}

/* ---- Ingress */

/* A list without hosts is for every host (IngressTLS.hosts). */
static bool tls_names(const json_t *tls, const char *host) {
    const json_t *hosts = json_object_get(tls, "hosts");
    size_t i;
    const json_t *h;
    if (json_array_size(hosts) == 0)
        return true;
    json_array_foreach(hosts, i,
                       h) if (*host && has_text(h) && host_in(json_string_value(h), host, false)) return true;
    return false;
}

/* A Secret that is named and is not there, or holds no certificate (core/v1, kubernetes.io/tls): the
 * controller serves its own one. Of a Secret the keys are known, never the values. */
static void check_secret(struct ref_checking *c, const struct ref_object *o, const char *name,
                         const char *pointer) {
    const char *why = c->live->unread ? c->live->unread(c->live->unread_ctx, "Secret") : NULL;
    const struct ref_object *secret = ref_side_find(c->live, "Secret", name);
    if (!c->live->live || why || (secret && !secret->normal))
        return;
    if (!secret)
        ref_checking_unmet(c, o, pointer, name, "a Secret of the stage", "there is none of this name");
    else if (!js_at(secret->normal, "/data/tls.crt") || !js_at(secret->normal, "/data/tls.key"))
        ref_checking_unmet(c, o, pointer, name, "a Secret with tls.crt and tls.key", "it has no such keys");
}

/* ingress-nginx sends clients on to https where there is TLS, unless it is told not to
 * (kubernetes/ingress-nginx, user-guide/nginx-configuration/annotations, "Server-side HTTPS enforcement
 * through redirect"). */
static void check_redirect(struct ref_checking *c, const struct ref_object *o) {
    static const char at[] = "/metadata/annotations/nginx.ingress.kubernetes.io~1ssl-redirect";
    bool forced =
        strcmp(js_str(o->normal, "/metadata/annotations/nginx.ingress.kubernetes.io~1force-ssl-redirect", ""),
               "true") == 0;
    if (strcmp(js_str(o->normal, at, ""), "false") == 0 && !forced &&
        !json_is_true(json_object_get(c->with, "allow_plain")))
        ref_checking_unmet(c, o, at, "", "TLS only", "it is served without TLS as well");
}

static void check_host(struct ref_checking *c, const struct ref_object *o, const char *host,
                       const char *pointer) {
    const json_t *list = js_at(o->normal, "spec.tls");
    size_t i;
    const json_t *tls;
    char at[REF_AT_MAX];
    const char *name = *host ? host : "every host";
    json_array_foreach(list, i, tls) {
        if (!tls_names(tls, host))
            continue;
        (void)snprintf(at, sizeof at, "/spec/tls/%zu/secretName", i);
        if (has_text(json_object_get(tls, "secretName")))
            check_secret(c, o, js_str(tls, "secretName", ""), at);
        else
            ref_checking_unmet(c, o, at, name, "the Secret of a certificate", NULL);
        return;
    }
    ref_checking_unmet(c, o, pointer, name, "named by spec.tls",
                       json_array_size(list) > 0 ? "in none of its hosts" : "there is no spec.tls");
}

static void check_ingress(struct ref_checking *c, const struct ref_object *o) {
    const json_t *rules = js_at(o->normal, "spec.rules");
    size_t i;
    const json_t *rule;
    char pointer[REF_AT_MAX];
    json_array_foreach(rules, i, rule) {
        (void)snprintf(pointer, sizeof pointer, "/spec/rules/%zu/host", i);
        check_host(c, o, js_str(rule, "host", ""), pointer);
    }
    if (json_array_size(rules) == 0)
        check_host(c, o, "", "/spec/defaultBackend");
    check_redirect(c, o);
}

/* A way in past every Ingress: what speaks there is not visible. */
static void check_service(struct ref_checking *c, const struct ref_object *o) {
    const char *type = js_str(o->normal, "spec.type", "ClusterIP");
    c->selected--;
    if (strcmp(type, "LoadBalancer") == 0 || strcmp(type, "NodePort") == 0 ||
        json_array_size(js_at(o->normal, "spec.externalIPs")) > 0)
        ref_outcome_unknown(
            c->out,
            "Service/%s is a way in from outside by itself (%.16s), and whether it speaks TLS is "
            "not visible",
            o->name, type);
}

/* ---- HTTPRoute */

/* One route and one of the Gateways that it names. */
struct parent {
    struct ref_checking *c;
    const struct ref_object *route, *gateway;
    const json_t *ref;
    size_t index; /* among parentRefs */
};

/* Does the listener take the route (ParentReference.sectionName and port)? */
static bool listens(const struct parent *p, const json_t *listener) {
    const char *section = js_str(p->ref, "sectionName", "");
    int64_t port = js_int(p->ref, "port", 0);
    return (!*section || strcmp(section, js_str(listener, "name", "")) == 0) &&
           (port == 0 || port == js_int(listener, "port", 0));
}

/* No host on either side is every host. */
static bool hosts_meet(const json_t *listener, const char *host) {
    const char *own = js_str(listener, "hostname", "");
    return !*own || !*host || host_in(own, host, true) || host_in(host, own, true);
}

/* GatewayTLSConfig: Terminate where no mode is said; certificates are named, or options say whose. */
static bool ends_tls(const json_t *listener) {
    const json_t *tls = json_object_get(listener, "tls");
    return strcmp(js_str(listener, "protocol", ""), "HTTPS") == 0 &&
           strcmp(js_str(tls, "mode", "Terminate"), "Terminate") == 0 &&
           (json_array_size(json_object_get(tls, "certificateRefs")) > 0 ||
            json_object_size(json_object_get(tls, "options")) > 0);
}

static void judge_host(const struct parent *p, const char *host, bool covered, const json_t *plain) {
    char pointer[REF_AT_MAX];
    char found[512];
    const char *name = *host ? host : "every host";
    (void)snprintf(pointer, sizeof pointer, "/spec/parentRefs/%zu", p->index);
    if (!covered) {
        (void)snprintf(found, sizeof found, "no such listener of Gateway %.320s", p->gateway->name);
        ref_checking_unmet(p->c, p->route, pointer, name, "a listener that ends TLS", found);
    } else if (plain && !json_is_true(json_object_get(p->c->with, "allow_plain"))) {
        (void)snprintf(found, sizeof found,
                       "listener \"%.64s\" of Gateway %.320s serves it without TLS as well",
                       js_str(plain, "name", ""), p->gateway->name);
        ref_checking_unmet(p->c, p->route, pointer, name, "TLS only", found);
    }
}

static void check_listeners(const struct parent *p, const char *host) {
    size_t i;
    const json_t *listener;
    const json_t *plain = NULL;
    bool covered = false;
    json_array_foreach(js_at(p->gateway->normal, "spec.listeners"), i, listener) {
        if (!listens(p, listener) || !hosts_meet(listener, host))
            continue;
        const char *own = js_str(listener, "hostname", "");
        if (ends_tls(listener)) /* of every host only a listener of every host is a cover */
            covered = covered || !*own || (*host && host_in(own, host, true));
        else if (strcmp(js_str(listener, "protocol", ""), "HTTP") == 0)
            plain = listener;
    }
    judge_host(p, host, covered, plain);
}

/* The Gateway that a parentRef names; NULL: none that can be looked at, which is told. */
static const struct ref_object *gateway_of(struct ref_checking *c, const struct ref_object *route,
                                           const json_t *ref, size_t index) {
    const char *name = js_str(ref, "name", "");
    const char *ns = js_str(ref, "namespace", "");
    char pointer[REF_AT_MAX];
    if (*ns && (!c->live->namespace_name || strcmp(ns, c->live->namespace_name) != 0)) {
        ref_outcome_unknown(c->out,
                            "HTTPRoute %s is served by Gateway %.253s of namespace %.253s, which the agents "
                            "of this stage do not read",
                            route->name, name, ns);
        return NULL;
    }
    if (!ref_checking_read(c, GATEWAY))
        return NULL;
    const struct ref_object *g = ref_side_find(c->live, GATEWAY, name);
    (void)snprintf(pointer, sizeof pointer, "/spec/parentRefs/%zu/name", index);
    if (!g)
        ref_checking_unmet(c, route, pointer, "", "a Gateway of the stage", name);
    return g && ref_checking_whole(c, g) ? g : NULL;
}

static bool is_gateway(const json_t *ref) {
    return strcmp(js_str(ref, "group", GATEWAY_GROUP), GATEWAY_GROUP) == 0 &&
           strcmp(js_str(ref, "kind", "Gateway"), "Gateway") == 0;
}

static void check_parent(struct ref_checking *c, const struct ref_object *o, const json_t *ref,
                         size_t index) {
    struct parent p = {c, o, gateway_of(c, o, ref, index), ref, index};
    const json_t *hosts = js_at(o->normal, "spec.hostnames");
    size_t i;
    const json_t *host;
    if (!p.gateway)
        return;
    json_array_foreach(hosts, i, host) check_listeners(&p, has_text(host) ? json_string_value(host) : "");
    if (json_array_size(hosts) == 0)
        check_listeners(&p, "");
}

/* Every rule only sends clients on to https (HTTPRequestRedirectFilter): nothing is served here. */
static bool only_redirects(const struct ref_object *o) {
    const json_t *rules = js_at(o->normal, "spec.rules");
    size_t i;
    size_t k;
    const json_t *rule;
    const json_t *filter;
    json_array_foreach(rules, i, rule) {
        bool redirects = false;
        json_array_foreach(json_object_get(rule, "filters"), k, filter) redirects =
            redirects || strcmp(js_str(filter, "requestRedirect.scheme", ""), "https") == 0;
        if (!redirects)
            return false;
    }
    return json_array_size(rules) > 0;
}

static void check_route(struct ref_checking *c, const struct ref_object *o) {
    const json_t *refs = js_at(o->normal, "spec.parentRefs");
    size_t i;
    const json_t *ref;
    size_t gateways = 0;
    json_array_foreach(refs, i, ref) gateways += is_gateway(ref);
    if (only_redirects(o) || (gateways == 0 && json_array_size(refs) > 0)) { /* inside of the mesh */
        c->selected--;
        return;
    }
    if (gateways == 0)
        ref_checking_unmet(c, o, "/spec/parentRefs", "", "a Gateway", NULL);
    json_array_foreach(refs, i, ref) if (is_gateway(ref)) check_parent(c, o, ref, i);
}

static void check_either(struct ref_checking *c, const struct ref_object *o) {
    if (strcmp(o->kind, "Ingress") == 0)
        check_ingress(c, o);
    else if (strcmp(o->kind, "Service") == 0)
        check_service(c, o);
    else
        check_route(c, o);
}

int ref_check_tls(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    static const char *const kinds[] = {"Ingress", ROUTE, "Service", NULL};
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, kinds, check_either);
    return ref_checking_end(&c, "Ingress or HTTPRoute");
}
