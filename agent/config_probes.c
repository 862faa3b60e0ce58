/* config_probes: checks across the keys of probes, and of targets whose replicas are called. See
 * config_priv.h. */
#include "config_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "wire/wire.h"

static const struct config_target *target_of(const struct config *c, const struct config_probe *p) {
    const struct config_target *t = c->targets.items;
    for (size_t i = 0; i < c->targets.n; i++)
        if (strcmp(t[i].name, p->target) == 0)
            return &t[i];
    return NULL;
}

/* ---------------------------------------------------------------- replicas */

/* A number of a port, or a name as ports of Services have it. */
static bool port_ok(const char *s) {
    size_t digits = strspn(s, "0123456789");
    if (digits == strlen(s))
        return digits >= 1 && digits <= 5 && strtol(s, NULL, 10) >= 1 && strtol(s, NULL, 10) <= 65535;
    return strlen(s) <= 63 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

static bool replicas_ok(const char *s) {
    char name[64] = "";
    size_t n = strcspn(s, ":");
    if (n == 0 || n >= sizeof name)
        return false;
    memcpy(name, s, n);
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && wire_name_ok(name) &&
           (!s[n] || port_ok(s + n + 1));
}

static bool told_before(const struct config_target *t, size_t i) {
    for (size_t j = 0; j < i; j++)
        if (t[j].replicas && strcmp(t[j].replicas, t[i].replicas) == 0)
            return true;
    return false;
}

int config_check_replicas(const struct config *c, struct err *e) {
    const struct config_target *t = c->targets.items;
    size_t services = 0;
    for (size_t i = 0; i < c->targets.n; i++) {
        const char *s = t[i].replicas;
        if (!s || !*s)
            continue;
        if (!replicas_ok(s))
            return err_set(e, -EINVAL,
                           "target '%s': replicas '%.100s': write the name of a Service of this namespace, "
                           "NAME or NAME:PORT",
                           t[i].name, s);
        if (!c->kube.enabled)
            return err_set(e, -EINVAL,
                           "target '%s': replicas are found by the Kubernetes API: set kube.enabled true, or "
                           "remove replicas",
                           t[i].name);
        services += !told_before(t, i);
        if (services > CONFIG_SERVICES_MAX)
            return err_set(e, -EINVAL,
                           "targets name more than %d different `replicas`: share them or remove some",
                           CONFIG_SERVICES_MAX);
    }
    return 0;
}

/* ---------------------------------------------------------------- probes */

/* What is asked and what must come back. */
static int check_answer(const struct config_probe *p, struct err *e) {
    json_t *arguments = NULL;
    int r = js_parse(p->arguments, strlen(p->arguments), CONF_FILE_MAX, &arguments, e);
    if (r < 0)
        return err_prefix(e, r, "probe '%s': arguments", p->name);
    bool object = json_is_object(arguments);
    json_decref(arguments);
    if (!object)
        return err_set(e, -EINVAL, "probe '%s': arguments must be a section of keys and values", p->name);
    if (!*p->expect)
        return err_set(e, -EINVAL, "probe '%s': expect is empty: no answer could be told from a wrong one",
                       p->name);
    if (strstr(p->expect, "{nonce}") && !strstr(p->arguments, "{nonce}"))
        return err_set(e, -EINVAL,
                       "probe '%s': expects {nonce}, but no argument holds {nonce}: name one that the "
                       "tool gives back, or another expect",
                       p->name);
    return 0;
}

static int check_probe(const struct config *c, const struct config_probe *p, struct err *e) {
    const struct config_target *t = target_of(c, p);
    bool by_replica = p->replica_in_flight > 0 || p->replica_drill_in_flight > 0;
    if (!t)
        return err_set(e, -EINVAL, "probe '%s': target '%.100s' is not among targets", p->name, p->target);
    if (!*p->tool || strlen(p->tool) > WIRE_NAME_MAX)
        return err_set(e, -EINVAL, "probe '%s': tool must have 1 to %d characters", p->name, WIRE_NAME_MAX);
    if (p->interval == 0 && p->in_flight == 0 && p->drill_in_flight == 0 && !by_replica)
        return err_set(e, -EINVAL, "probe '%s' never calls: set interval, in_flight or drill_in_flight",
                       p->name);
    if (by_replica && (!t->replicas || !*t->replicas))
        return err_set(
            e, -EINVAL,
            "probe '%s': replica_in_flight needs `replicas` of target '%s': name the Service there", p->name,
            t->name);
    if (p->interval > 0 && p->interval < 10 * WHEN_MS)
        return err_set(e, -EINVAL, "probe '%s': interval is below 10ms", p->name);
    if (p->limit > p->timeout)
        return err_set(e, -EINVAL, "probe '%s': limit is over timeout: no answer could be late", p->name);
    return check_answer(p, e);
}

/* How many replicas there will be is not known here: what max_in_flight leaves beside the URLs' own calls is
 * shared among them at run time. */
int config_check_probes(const struct config *c, struct err *e) {
    const struct config_probe *p = c->probes.items;
    int64_t sum = 0;
    double rate = 0;
    for (size_t i = 0; i < c->probes.n; i++) {
        int r = check_probe(c, &p[i], e);
        if (r < 0)
            return r;
        sum += p[i].in_flight > p[i].drill_in_flight ? p[i].in_flight : p[i].drill_in_flight;
        rate += p[i].interval > 0 ? (double)WHEN_S / (double)p[i].interval : 0;
    }
    if (sum > c->max_in_flight)
        return err_set(e, -EINVAL,
                       "the probes keep up to %lld calls open, over max_in_flight %lld: raise it, or "
                       "lower in_flight",
                       (long long)sum, (long long)c->max_in_flight);
    if (c->max_rate > 0 && rate > (double)c->max_rate)
        return err_set(e, -EINVAL,
                       "the probes' intervals begin %.0f calls a second, over max_rate %lld: raise it, or "
                       "the intervals",
                       rate, (long long)c->max_rate);
    return 0;
}
