/* replicas: which addresses the pods behind a Service have, from its Endpoints (core/v1, deprecated since
 * 1.33 but served; a Service of more than 1000 addresses has them cut there, far over REPLICAS_MAX).
 * See kube_priv.h.
 *
 * Only addresses that name a pod are called; others are counted. A port is chosen by number, whether the
 * Service has it or not, or by the name that the Service's port has; without one the Service must have a
 * single port. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

/* ---------------------------------------------------------------- reading */

/* What no address of an Endpoints object may be (Kubernetes, ValidateNonSpecialIP): nowhere, a group, the
 * node's own link (with the metadata services of clouds), or this very host, which is the node where we share
 * its network. A hostile API must not send our calls, and the credentials that they carry, there. */
static bool ip_ok(const char *text) {
    struct in_addr v4;
    struct in6_addr v6;
    if (strlen(text) >= REPLICA_IP_MAX)
        return false;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        uint32_t a = ntohl(v4.s_addr);
        return a >> 24 != 0 && a >> 24 != 127 && a >> 28 < 14 && a >> 16 != 0xa9fe;
    }
    return inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&v6) &&
           !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_MULTICAST(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6) &&
           !IN6_IS_ADDR_V4MAPPED(&v6) && !IN6_IS_ADDR_V4COMPAT(&v6);
}

static bool is_tcp(const json_t *port) {
    return strcmp(js_str(port, "protocol", "TCP"), "TCP") == 0;
}

static uint16_t number_of(const json_t *port) {
    int64_t n = js_int(port, "port", 0);
    return n > 0 && n <= UINT16_MAX ? (uint16_t)n : 0;
}

/* The port of a subset; 0: it has none of that name. *many: none is named, and there are several. */
static uint16_t choose_port(const json_t *subset, const char *wanted, bool *many) {
    const json_t *ports = js_at(subset, "ports");
    size_t i;
    json_t *port;
    uint16_t found = 0;
    if (wanted && strspn(wanted, "0123456789") == strlen(wanted))
        return (uint16_t)strtoul(wanted, NULL, 10); /* its range is config's to check */
    json_array_foreach(ports, i, port) {
        if (!is_tcp(port) || number_of(port) == 0 ||
            (wanted && strcmp(js_str(port, "name", ""), wanted) != 0))
            continue;
        *many = *many || found;
        found = number_of(port);
    }
    return found;
}

/* Keeps the list in the order of names, each once, and the first REPLICAS_MAX of them. */
static void insert(struct replica *list, struct replicas *r, const struct replica *x) {
    size_t at = r->n;
    while (at > 0 && strcmp(list[at - 1].pod, x->pod) > 0)
        at--;
    if (at > 0 && strcmp(list[at - 1].pod, x->pod) == 0)
        return;
    r->left_out += r->n == REPLICAS_MAX;
    if (at == REPLICAS_MAX)
        return;
    size_t tail = (r->n < REPLICAS_MAX ? r->n++ : REPLICAS_MAX - 1) - at;
    memmove(&list[at + 1], &list[at], tail * sizeof *list);
    list[at] = *x;
}

/* What is no address of a pod that may be called is left out, and said to be: the Service may send calls
 * there, and nobody would witness them. */
static void read_addresses(const json_t *addresses, uint16_t port, bool ready, struct replica *list,
                           struct replicas *r) {
    size_t i;
    json_t *a;
    json_array_foreach(addresses, i, a) {
        const char *pod = js_str(a, "targetRef.name", "");
        const char *ip = js_str(a, "ip", "");
        struct replica x = {.port = port, .ready = ready};
        if (strcmp(js_str(a, "targetRef.kind", ""), "Pod") != 0 || !wire_name_ok(pod) || !ip_ok(ip)) {
            r->left_out++;
            continue;
        }
        (void)snprintf(x.pod, sizeof x.pod, "%s", pod);
        (void)snprintf(x.ip, sizeof x.ip, "%s", ip);
        insert(list, r, &x);
    }
}

bool kube_replicas_read(const char *wanted, const json_t *endpoints, struct replica *list,
                        struct replicas *ret, char reason[KUBE_REASON_MAX]) {
    struct replicas r = {.service = wanted, .list = list};
    const char *colon = strchr(wanted, ':');
    const json_t *subsets = js_at(endpoints, "subsets");
    size_t i;
    json_t *subset;
    for (int ready = 1; ready >= 0; ready--) { /* a pod that is in both lists is ready */
        json_array_foreach(subsets, i, subset) {
            bool many = false;
            uint16_t port = choose_port(subset, colon ? colon + 1 : NULL, &many);
            if (many) {
                (void)snprintf(
                    reason, KUBE_REASON_MAX,
                    "Service %.250s has several ports: write replicas: %.32s:PORT with one of them", wanted,
                    wanted);
                return false;
            }
            if (port)
                read_addresses(js_at(subset, ready ? "addresses" : "notReadyAddresses"), port, ready, list,
                               &r);
        }
    }
    *ret = r;
    return true;
}

/* ---------------------------------------------------------------- telling */

static void tell(const struct kube_scope *sc, const struct replicas *r) {
    sc->replicas->fn(sc->replicas->ctx, r);
}

void kube_replicas_unknown(const struct kube_scope *sc, const struct kube_kind *kind, const char *reason) {
    tell(sc, &(struct replicas){.service = kind->replicas, .reason = reason});
}

void kube_replicas_absent(const struct kube_scope *sc, const struct kube_kind *kind) {
    char reason[KUBE_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "namespace %.60s has no Service %.250s: correct replicas",
                   sc->namespace_name, kind->replicas);
    kube_replicas_unknown(sc, kind, reason);
}

/* A server that ignores the selector shows other Services, too. */
static bool is_wanted(const struct kube_kind *kind, const char *name) {
    size_t n = strcspn(kind->replicas, ":");
    return strlen(name) == n && strncmp(name, kind->replicas, n) == 0;
}

static int see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
               const struct kube_meta *m, const json_t *object, struct kube_entry *x, struct err *e) {
    struct replica list[REPLICAS_MAX];
    struct replicas r;
    char reason[KUBE_REASON_MAX];
    (void)s;
    (void)x;
    (void)e;
    if (!is_wanted(kind, m->name))
        return 0;
    if (kube_replicas_read(kind->replicas, object, list, &r, reason))
        tell(sc, &r);
    else
        kube_replicas_unknown(sc, kind, reason);
    return 0;
}

static void gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                 const struct kube_entry *x) {
    (void)s;
    if (is_wanted(kind, x->name))
        tell(sc, &(struct replicas){.service = kind->replicas});
}

/* ---------------------------------------------------------------- which Services */

static void fill(struct kube_service *s, const char *wanted) {
    (void)snprintf(s->source, sizeof s->source, "endpoints/%.253s", wanted);
    (void)snprintf(s->selector, sizeof s->selector, "metadata.name=%.*s", (int)strcspn(wanted, ":"), wanted);
    s->kind = (struct kube_kind){.source = s->source,
                                 .kind = "Endpoints",
                                 .object = "Endpoints",
                                 .resource = "endpoints",
                                 .plural = "endpoints",
                                 .group = "/api/v1",
                                 .selector = s->selector,
                                 .node_scoped = true,
                                 .page = 1,
                                 .replicas = wanted,
                                 .see = see,
                                 .gone = gone};
}

size_t kube_services_find(const struct config *c, struct kube_service ret[CONFIG_SERVICES_MAX]) {
    const struct config_target *targets = c->targets.items;
    size_t n = 0;
    for (size_t i = 0; i < c->targets.n && n < CONFIG_SERVICES_MAX; i++) {
        const char *wanted = targets[i].replicas;
        bool known = !wanted || !*wanted;
        for (size_t j = 0; !known && j < n; j++)
            known = strcmp(ret[j].kind.replicas, wanted) == 0;
        if (!known)
            fill(&ret[n++], wanted);
    }
    return n;
}
