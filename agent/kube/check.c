/* check: tries each thing the source needs, for `pilotgate-agent check`, and reads the stage's identity for
 * Hello. Blocking; in the caller's thread. See kube.h. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "kube/extra.h"
#include "kube/lease.h"

#define CA_MAX (1u << 20)
#define ANSWER_MAX (4u << 20)

struct check {
    const struct config *config;
    const char *ns; /* whose objects are tried */
    struct kube_http http;
    struct buf body;
    struct kube_served served; /* only what it answered */
    check_say *say;
    void *ctx;
    int failures;
};

static void say(struct check *k, bool ok, const char *what, const char *advice) {
    k->failures += ok ? 0 : 1;
    k->say(k->ctx, ok, what, ok ? "" : advice);
}

static bool try_server(struct check *k) {
    char what[512];
    struct err e;
    long status = 0;
    (void)snprintf(what, sizeof what, "Kubernetes API %.300s answers%s", k->http.base,
                   k->http.tls ? ", its certificate is verified" : " (plain http: no token is sent)");
    int r = kube_http_get(&k->http, "/version", 5, &k->body, &status, &e);
    if (r < 0) {
        err_prefix(&e, r, "check kube.api, kube.ca_file, kube.token_file and the network policy");
        say(k, false, what, e.text);
        return false;
    }
    if (status == 401) {
        say(k, false, what, "the token is not accepted: mount a service account's token of this cluster");
        return false;
    }
    say(k, status == 200 || status == 403, what, "kube.api is no Kubernetes API server: correct it");
    return status == 200 || status == 403;
}

/* One answer, into k->body. */
static int ask(struct check *k, const struct kube_kind *kind, long *ret_status, struct err *e) {
    char *path = kube_kind_path(kind, k->ns, k->config->stage.node, kind->poll ? "" : "limit=1");
    int r = path ? kube_http_get(&k->http, path, 5, &k->body, ret_status, e) : err_oom(e);
    free(path);
    return r;
}

/* What no gate waits for may be denied; its changes are not seen then. */
static bool is_spared(const struct kube_kind *kind, long status) {
    return status == 403 && (kind->optional || kind->spare);
}

/* True when it can be read; the answer is in k->body then. Nothing is said of an optional kind that is not
 * there. */
static bool try_kind(struct check *k, const struct kube_kind *kind) {
    char what[512];
    char advice[KUBE_REASON_MAX];
    struct err e;
    long status = 0;
    (void)snprintf(what, sizeof what, "%s %s in namespace %.253s", kind->poll ? "get" : "list", kind->source,
                   k->ns);
    int r = ask(k, kind, &status, &e);
    if (r == 0 && status == 404 && kind->optional) {
        kind = kind[1].older ? kube_served_choose(&k->served, kind + 1) : NULL;
        return kind && try_kind(k, kind);
    }
    if (r < 0) {
        say(k, false, what, e.text);
        return false;
    }
    if (status == 403)
        kube_kind_advice(kind, k->ns, advice);
    else
        (void)snprintf(advice, sizeof advice, "the API server answered HTTP %ld%s", status,
                       status == 404 && kind->poll ? ": create the namespace or correct stage.namespace"
                                                   : "");
    if (is_spared(kind, status))
        (void)snprintf(what + strlen(what), sizeof what - strlen(what),
                       ": not allowed, so that its changes are not seen; no gate waits for it");
    say(k, status == 200 || is_spared(kind, status), what, advice);
    return status == 200;
}

/* Whether the Service is there, has pods, and its port is clear. */
static void try_service(struct check *k, const struct kube_kind *kind) {
    struct replica list[REPLICAS_MAX];
    struct replicas r = {.n = 0};
    char what[512];
    char reason[KUBE_REASON_MAX];
    json_t *doc = NULL;
    struct err e;
    if (!try_kind(k, kind))
        return;
    int code = js_parse(buf_str(&k->body), k->body.len, ANSWER_MAX, &doc, &e);
    const json_t *first = json_array_get(js_at(doc, "items"), 0);
    bool clear = code == 0 && first && kube_replicas_read(kind->replicas, first, list, &r, reason);
    if (!clear && first == NULL)
        (void)snprintf(reason, sizeof reason, "there is no such Service here: correct replicas");
    else if (clear && r.n == 0)
        (void)snprintf(reason, sizeof reason, "it has no pods: look at its selector, and at its PORT");
    (void)snprintf(what, sizeof what, "replicas of Service %.300s: %zu", kind->replicas, r.n + r.left_out);
    say(k, clear && r.n > 0, what, reason);
    json_decref(doc);
}

static void try_services(struct check *k) {
    struct kube_service *services = calloc(CONFIG_SERVICES_MAX, sizeof *services);
    size_t n = services ? kube_services_find(k->config, services) : 0;
    for (size_t i = 0; i < n; i++)
        try_service(k, &services[i].kind);
    free(services);
}

static bool is_asked_for(const struct config *c, const struct kube_kind *kind) {
    return (kind->node_scoped || c->kube.stage_scoped) && (!kind->needs_secrets || c->kube.secrets) &&
           (!kind->gitops || c->kube.gitops) && !kind->older;
}

/* Kinds of GitOps in the other namespaces. */
static void try_elsewhere(struct check *k) {
    const struct conf_strings *all = &k->config->kube.gitops_namespaces;
    for (size_t i = 0; i < all->n; i++) {
        k->ns = all->items[i];
        for (const struct kube_kind *kind = kube_kinds; kind->source; kind++) {
            const struct kube_kind *there = kind->gitops ? kube_served_choose(&k->served, kind) : NULL;
            if (is_asked_for(k->config, kind) && there)
                (void)try_kind(k, there);
        }
    }
    k->ns = k->config->stage.namespace_name;
}

/* A custom resource that the configuration names: looked up as extra.h draws it. */
static void try_extra(struct check *k, struct kube_extra *x) {
    char what[512];
    struct err e;
    long status = 0;
    int r = 0;
    (void)snprintf(what, sizeof what, "look up %s of kube.resources", x->source);
    while (kube_extra_ask(x, &k->served) == KUBE_EXTRA_ASKING) {
        r = kube_http_get(&k->http, x->at, 5, &k->body, &status, &e);
        if (r < 0 || !kube_extra_answered(x, &k->served, status, buf_str(&k->body), k->body.len))
            break;
    }
    if (x->answer == KUBE_EXTRA_FOUND) {
        kube_extra_take(x);
        (void)try_kind(k, &x->kind);
    } else if (x->answer == KUBE_EXTRA_UNSERVED) {
        say(k, true, strcat(what, ": the API server does not serve it"), "");
    } else {
        say(k, false, what, r < 0 ? e.text : x->reason);
    }
}

static void try_extras(struct check *k) {
    struct kube_extras *all = calloc(1, sizeof *all);
    if (!all)
        return;
    k->served.round = 1;
    kube_extras_init(all, k->config, &k->http, NULL, &k->served);
    for (size_t i = 0; k->config->kube.stage_scoped && i < all->n; i++)
        try_extra(k, &all->items[i]);
    kube_extras_free(all);
    free(all);
}

static void try_kinds(struct check *k) {
    struct err e;
    long status = 0;
    if (!k->config->kube.stage_scoped || kube_http_get(&k->http, "/apis", 5, &k->body, &status, &e) < 0 ||
        status != 200 || kube_served_read(buf_str(&k->body), k->body.len, &k->served.list, &e) < 0)
        k->served.list = NULL; /* not told: each kind is tried */
    for (const struct kube_kind *kind = kube_kinds; kind->source; kind++) {
        const struct kube_kind *there = kind->optional ? kube_served_choose(&k->served, kind) : kind;
        if (is_asked_for(k->config, kind) && there)
            (void)try_kind(k, there);
    }
    try_extras(k);
    try_elsewhere(k);
    free(k->served.list);
    k->served.list = NULL;
}

/* Reading it, making it, changing it; nothing is changed. A conflict, or that there is none yet, shows that
 * it is allowed. */
static void try_lease(struct check *k) {
    static const char *const acts[] = {"get", "create", "update"};
    const char *ns = k->config->stage.namespace_name;
    const char *name = k->config->kube.lease;
    struct kube_scope scope = {.namespace_name = ns, .own_release = ""};
    struct kube_lease *l = malloc(sizeof *l);
    char what[512];
    char advice[KUBE_REASON_MAX];
    struct err e;
    if (!l)
        return;
    kube_lease_init(l, name, "pilotgate-agent check", WHEN_S, &scope, &k->http, NULL);
    for (int act = ELECTION_READ; act <= ELECTION_UPDATE; act++) {
        long status = 0;
        (void)snprintf(what, sizeof what, "%s Lease %.200s in namespace %.200s", acts[act], name, ns);
        int r = kube_lease_try(l, (enum election_act)act, &status, &e);
        kube_lease_advice(ns, name, advice);
        say(k, r == 0 && status != 403 && status != 401 && status < 500, what, r < 0 ? e.text : advice);
    }
    kube_lease_free(l);
    free(l);
}

int kube_check(const struct config *c, check_say *fn, void *ctx) {
    struct check k = {
        .config = c, .ns = c->stage.namespace_name, .body = BUF_INIT(ANSWER_MAX), .say = fn, .ctx = ctx};
    struct err e;
    const char *ns = c->stage.namespace_name;
    const char *node = c->stage.node;
    if (!ns || !*ns || !node || !*node) {
        say(&k, false, "Kubernetes configuration", "set stage.namespace and stage.node");
        return k.failures;
    }
    if (kube_http_open(c, &k.http, &e) < 0) {
        say(&k, false, "Kubernetes configuration", e.text);
        return k.failures;
    }
    if (try_server(&k)) {
        try_kinds(&k);
        if (c->kube.stage_scoped && c->kube.lease && *c->kube.lease)
            try_lease(&k);
        try_services(&k);
    }
    buf_free(&k.body);
    kube_http_close(&k.http);
    return k.failures;
}

/* metadata.uid of a Namespace; "" when it cannot be read. */
static void read_uid(struct kube_http *h, const char *ns, int timeout_s, struct buf *body, char *out,
                     size_t size) {
    char *path = NULL;
    long status = 0;
    json_t *doc = NULL;
    *out = 0;
    char *name = curl_easy_escape(NULL, ns, 0);
    if (!name || asprintf(&path, "/api/v1/namespaces/%s", name) < 0)
        path = NULL;
    curl_free(name);
    if (path && kube_http_get(h, path, timeout_s, body, &status, NULL) == 0 && status == 200 &&
        js_parse(buf_str(body), body->len, ANSWER_MAX, &doc, NULL) == 0) {
        const char *uid = js_str(doc, "metadata.uid", "");
        (void)snprintf(out, size, "%s", strlen(uid) < size ? uid : "");
    }
    json_decref(doc);
    free(path);
}

/* "ca:" and the start of the SHA-256 of the CA's file. */
static void digest_ca(const char *file, char *out, size_t size) {
    unsigned char sum[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof sum + 1];
    char *text;
    size_t len;
    *out = 0;
    if (!file || conf_read_file(file, CA_MAX, &text, &len, NULL) < 0)
        return;
    (void)crypto_hash_sha256(sum, (const unsigned char *)text, len);
    free(text);
    (void)snprintf(out, size, "ca:%s", sodium_bin2hex(hex, sizeof hex, sum, sizeof sum));
}

void kube_identity(const struct config *c, char ns_uid[64], char cluster_identity[80]) {
    struct kube_http h;
    struct buf body = BUF_INIT(ANSWER_MAX);
    ns_uid[0] = cluster_identity[0] = 0;
    if (!c->stage.namespace_name || kube_http_open(c, &h, NULL) < 0)
        return;
    read_uid(&h, c->stage.namespace_name, 3, &body, ns_uid, 64);
    if (*ns_uid) /* else the API does not answer us: do not wait for it twice */
        read_uid(&h, "kube-system", 2, &body, cluster_identity, 80);
    if (!*cluster_identity)
        digest_ca(h.ca_file, cluster_identity, 80);
    buf_free(&body);
    kube_http_close(&h);
}
