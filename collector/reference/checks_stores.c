/* checks_stores: are the stores that hold state outside of the stage, and spoken to over TLS; and is no value
 * of a Secret one that everybody knows? See checks.h. */
#include "reference/checks_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/word.h"
#include "correlate/differences.h"

/* ---- images: the last part of a repository, or all of it for a pattern with a '/'. Exporters, proxies and
 * command line clients are none. */

static const char *const store_images[] = {"postgres",
                                           "postgresql",
                                           "postgresql-*",
                                           "postgresql_*",
                                           "pgvector",
                                           "timescaledb*",
                                           "spilo*",
                                           "postgis",
                                           "redis",
                                           "redis-stack*",
                                           "redis-server",
                                           "redis-cluster",
                                           "redis-sentinel",
                                           "redis-ha",
                                           "valkey",
                                           "valkey-*",
                                           "keydb",
                                           "dragonfly",
                                           "mysql",
                                           "mysql-server",
                                           "mariadb",
                                           "mariadb-*",
                                           "mongo",
                                           "mongodb",
                                           "mongodb-*",
                                           "cockroach",
                                           "crunchy-postgres*",
                                           "etcd",
                                           NULL};
/* What stands beside a store and holds nothing. */
static const char *const helper_images[] = {"*exporter*", "*operator*", "*proxy*",
                                            "*backup*",   "*client*",   NULL};
static const int store_ports[] = {5432, 6379};

static bool is_store(const json_t *with, const struct ref_image *image) {
    const char *slash = strrchr(image->repository, '/');
    const char *last = slash ? slash + 1 : image->repository;
    const char *glob;
    for (const char *const *h = helper_images; !json_object_get(with, "images") && *h; h++)
        if (word_glob(*h, last))
            return false;
    for (size_t i = 0; (glob = ref_with_text(with, "images", store_images, i)); i++)
        if (word_glob(glob, strchr(glob, '/') ? image->repository : last))
            return true;
    return false;
}

static bool is_store_port(const json_t *with, const json_t *port) {
    const json_t *ports = json_object_get(with, "ports");
    size_t i;
    const json_t *p;
    if (!json_is_integer(port))
        return false;
    json_array_foreach(ports, i, p) if (json_integer_value(p) == json_integer_value(port)) return true;
    for (i = 0; !ports && i < sizeof store_ports / sizeof *store_ports; i++)
        if (json_integer_value(port) == store_ports[i])
            return true;
    return false;
}

/* An image that no pattern knows, behind a port that stores have: a mirrored name, or a proxy. */
static void check_ports(struct ref_checking *c, const struct ref_object *o, const struct ref_container *it) {
    size_t i;
    const json_t *port;
    json_array_foreach(json_object_get(it->spec, "ports"), i, port) {
        const json_t *number = json_object_get(port, "containerPort");
        if (is_store_port(c->with, number))
            ref_outcome_unknown(c->out,
                                "%s/%s: container %.64s listens on port %lld, which a store does, and its "
                                "image %.200s is not known",
                                o->kind, o->name, it->name, (long long)json_integer_value(number),
                                js_str(it->spec, "image", ""));
    }
}

static void check_images(struct ref_checking *c, const struct ref_object *o) {
    char pointer[REF_AT_MAX];
    for (struct ref_container it = {.init_too = true}; ref_container_next(o, &it);) {
        struct ref_image image;
        const char *text = js_str(it.spec, "image", "");
        if (it.init && strcmp(js_str(it.spec, "restartPolicy", ""), "Always") != 0)
            continue; /* it ends before the others begin; with Always it is a sidecar */
        if (ref_image(text, &image) < 0)
            ref_outcome_unknown(c->out, "%s/%s: the image of container %.64s cannot be read", o->kind,
                                o->name, it.name);
        else if (is_store(c->with, &image))
            ref_checking_unmet(c, o, ref_pointer(pointer, it.pointer, "/image"), it.name,
                               "no store inside of the stage", text);
        else
            check_ports(c, o, &it);
    }
}

/* Of the whole stage, whoever's release it is. */
static void scan_workloads(struct ref_checking *c) {
    for (const char *const *k = ref_workloads_running; *k; k++) {
        size_t n;
        const struct ref_object *o = ref_checking_kind(c, *k, &n);
        (void)ref_checking_read(c, *k);
        for (size_t i = 0; i < n; i++)
            if (ref_checking_whole(c, &o[i])) {
                c->selected++;
                if (ref_workload_has_containers(c, &o[i]))
                    check_images(c, &o[i]);
            }
    }
}

/* Is this one of the stage's workloads whose pods the Service selects, and which runs a known store? */
static bool leads_to_store(struct ref_checking *c, const json_t *selector) {
    for (const char *const *k = ref_workloads_running; *k; k++) {
        size_t n;
        const struct ref_object *o = ref_checking_kind(c, *k, &n);
        for (size_t i = 0; i < n; i++) {
            if (!o[i].normal || !ref_selects(selector, true, ref_workload_labels(&o[i])))
                continue;
            for (struct ref_container it = {0}; ref_container_next(&o[i], &it);) {
                struct ref_image image;
                if (ref_image(js_str(it.spec, "image", ""), &image) == 0 && is_store(c->with, &image))
                    return true;
            }
        }
    }
    return false;
}

/* A Service of a store's port that selects pods of the stage, whatever they run: containers need not say on
 * which ports they listen. */
static void scan_services(struct ref_checking *c) {
    size_t n;
    size_t k;
    const json_t *port;
    const struct ref_object *o = ref_checking_kind(c, "Service", &n);
    (void)ref_checking_read(c, "Service");
    for (size_t i = 0; i < n; i++) {
        const json_t *selector = ref_checking_whole(c, &o[i]) ? js_at(o[i].normal, "spec.selector") : NULL;
        if (json_object_size(selector) == 0)
            continue;
        json_array_foreach(js_at(o[i].normal, "spec.ports"), k, port) {
            bool store = is_store_port(c->with, json_object_get(port, "port")) ||
                         is_store_port(c->with, json_object_get(port, "targetPort"));
            if (store && !leads_to_store(c, selector))
                ref_outcome_unknown(
                    c->out,
                    "Service/%s leads to a store's port of pods of the stage, and what they run "
                    "is not known to be a store",
                    o[i].name);
        }
    }
}

/* Custom resources by which an operator runs a store here. */
static void scan_kinds(struct ref_checking *c) {
    const char *kind;
    for (size_t k = 0; (kind = ref_with_text(c->with, "kinds", NULL, k)); k++) {
        size_t n;
        const struct ref_object *o = ref_checking_kind(c, kind, &n);
        (void)ref_checking_read(c, kind);
        for (size_t i = 0; i < n; i++)
            ref_checking_unmet(c, &o[i], "", "", "no store inside of the stage", kind);
    }
}

/* ---- TLS: one rule of `tls`, {of, env | at with kind, in, beside} */

struct asks {
    struct ref_checking *c;
    const json_t *rule;
    size_t seen; /* places that say something, read or not */
};

static void judge(struct asks *a, const struct ref_object *o, const char *pointer, const char *where,
                  const json_t *value) {
    char number[32];
    const char *text = ref_env_text(value, number);
    const char *of = js_str(a->rule, "of", "a store");
    a->seen++;
    if (!text)
        ref_outcome_unknown(a->c->out, "%s/%s: whether %.64s asks for TLS to %.64s cannot be read", o->kind,
                            o->name, where, of);
    else if (!ref_with_glob(a->rule, "in", text))
        ref_checking_unmet_in(a->c, o, pointer, where, a->rule, text);
}

/* One container: does it name the store, and does it say how it speaks to it? */
struct asked {
    struct asks *a;
    const struct ref_object *o;
    bool beside, said;
    const char *hidden; /* why not all of its environment is known */
};

static void judge_env(void *ctx, const struct ref_env *env) {
    struct asked *x = ctx;
    if (!env->name) {
        x->hidden = env->unknown;
        return;
    }
    x->beside = x->beside || ref_with_glob(x->a->rule, "beside", env->name);
    if (!ref_with_glob(x->a->rule, "env", env->name))
        return;
    x->said = true;
    judge(x->a, x->o, env->pointer, env->name, env->value);
}

static void judge_workload(struct ref_checking *c, const struct ref_object *o) {
    struct asks *a = c->ctx;
    const char *of = js_str(a->rule, "of", "a store");
    char pointer[REF_AT_MAX];
    c->selected--; /* counted as the images were looked at */
    for (struct ref_container it = {.init_too = true}; ref_container_next(o, &it);) {
        struct asked x = {a, o, false, false, NULL};
        ref_env_each(c, &it, judge_env, &x);
        if (x.said || !x.beside)
            continue;
        a->seen++;
        if (x.hidden)
            ref_outcome_unknown(c->out, "%s/%s: container %.64s may be told how to speak to %.64s by %s",
                                o->kind, o->name, it.name, of, x.hidden);
        else
            ref_checking_unmet(c, o, ref_pointer(pointer, it.pointer, "/env"), it.name,
                               "says how it speaks to the store",
                               "names the store, and nothing asks for TLS");
    }
}

/* {kind, at}: of every object of the kind, whoever's it is. */
static void judge_places(struct asks *a) {
    const char *kind = js_str(a->rule, "kind", "ConfigMap");
    const char *at = js_str(a->rule, "at", "");
    size_t n;
    const struct ref_object *o = ref_checking_kind(a->c, kind, &n);
    (void)ref_checking_read(a->c, kind);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = ref_checking_whole(a->c, &o[i]) ? js_at(o[i].normal, at) : NULL;
        if (value)
            judge(a, &o[i], at, at, value);
    }
}

static void check_asks(struct ref_checking *c, const json_t *rule) {
    struct asks a = {c, rule, 0};
    c->ctx = &a;
    if (json_object_get(rule, "at"))
        judge_places(&a);
    else
        ref_checking_each(c, ref_workloads_running, judge_workload);
    if (a.seen == 0)
        ref_outcome_unknown(c->out, "nothing that was read says whether %.64s is spoken to over TLS",
                            js_str(rule, "of", "a store"));
}

int ref_check_stores(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    size_t i;
    const json_t *rule;
    ref_checking_begin(&c, s, e, out);
    const json_t *ports = json_object_get(c.with, "ports");
    scan_workloads(&c);
    if (!ports || json_array_size(ports) > 0)
        scan_services(&c);
    scan_kinds(&c);
    json_array_foreach(json_object_get(c.with, "tls"), i, rule) check_asks(&c, rule);
    return ref_checking_end(&c, "workload");
}
