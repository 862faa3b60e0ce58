/* checks_stores: are the stores that hold state outside of the stage, and spoken to over TLS; and is no value
 * of a Secret one that everybody knows? See checks.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/word.h"
#include "correlate/differences.h"

/* ---- images: the last part of a repository, or all of it for a pattern with a '/'. Exporters, proxies and
 * command line clients are none. */

static const char *const store_images[] = {
    "postgres",  "postgresql", "postgresql-*", "postgresql_*", "pgvector",      "timescaledb*",   "spilo*",
    "postgis",   "redis",      "redis-stack*", "redis-server", "redis-cluster", "redis-sentinel", "redis-ha",
    "valkey",    "valkey-*",   "keydb",        "dragonfly",    "mysql",         "mysql-server",   "mariadb",
    "mariadb-*", "mongo",      "mongodb",      "mongodb-*",    "cockroach",     "etcd",           NULL};
static const int store_ports[] = {5432, 6379};

static bool is_store(const json_t *with, const struct ref_image *image) {
    const char *slash = strrchr(image->repository, '/');
    const char *last = slash ? slash + 1 : image->repository;
    const char *glob;
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
    for (struct ref_container it = {0}; ref_container_next(o, &it);) {
        struct ref_image image;
        const char *text = js_str(it.spec, "image", "");
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
                check_images(c, &o[i]);
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

static bool any_glob(const json_t *rule, const char *key, const char *text) {
    const char *glob;
    for (size_t i = 0; (glob = ref_with_text(rule, key, NULL, i)); i++)
        if (word_glob(glob, text))
            return true;
    return false;
}

/* What the agent reduced, or what the kubelet puts together as it starts, is not known. */
static bool can_be_read(const char *text) {
    return text && !strstr(text, "keyed:") && !strstr(text, DIFF_SECRET) && !strstr(text, "$(");
}

static void judge(struct asks *a, const struct ref_object *o, const char *pointer, const char *where,
                  const json_t *value) {
    char number[32];
    const char *text = json_string_value(value);
    const char *of = js_str(a->rule, "of", "a store");
    a->seen++;
    if (json_is_boolean(value))
        text = json_is_true(value) ? "true" : "false";
    else if (json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        text = number;
    }
    if (!can_be_read(text))
        ref_outcome_unknown(a->c->out, "%s/%s: whether %.64s asks for TLS to %.64s cannot be read", o->kind,
                            o->name, where, of);
    else if (!any_glob(a->rule, "in", text)) {
        char *in = json_dumps(json_object_get(a->rule, "in"), JSON_ENCODE_ANY | JSON_COMPACT);
        ref_checking_unmet(a->c, o, pointer, where, in ? in : "TLS", text);
        free(in);
    }
}

/* A key of a ConfigMap that an environment takes its value from (core/v1 ConfigMapKeySelector). */
static void judge_key(struct asks *a, const struct ref_object *o, const char *pointer, const char *env,
                      const char *map, const char *key) {
    const struct ref_object *m = ref_side_find(a->c->live, "ConfigMap", map);
    const json_t *value = m && m->normal ? json_object_get(js_at(m->normal, "data"), key) : NULL;
    if (value) {
        judge(a, o, pointer, env, value);
        return;
    }
    a->seen++;
    ref_outcome_unknown(a->c->out,
                        "%s/%s: %.64s comes from key %.64s of ConfigMap %.253s, which is not known", o->kind,
                        o->name, env, key, map);
}

static void judge_env(struct asks *a, const struct ref_object *o, const char *pointer, const json_t *env) {
    const char *name = js_str(env, "name", "");
    const json_t *from = json_object_get(env, "valueFrom");
    const json_t *map = json_object_get(from, "configMapKeyRef");
    if (map)
        judge_key(a, o, pointer, name, js_str(map, "name", ""), js_str(map, "key", ""));
    else if (from)
        judge(a, o, pointer, name, NULL);
    else {
        json_t *empty = json_string("");
        const json_t *value = json_object_get(env, "value");
        judge(a, o, pointer, name, value ? value : empty);
        json_decref(empty);
    }
}

/* The last one of a name counts (core/v1 Container.env: "the last one wins" of duplicates). */
static bool is_last(const json_t *list, size_t at) {
    const char *name = js_str(json_array_get(list, at), "name", "");
    for (size_t i = at + 1; i < json_array_size(list); i++)
        if (strcmp(js_str(json_array_get(list, i), "name", ""), name) == 0)
            return false;
    return true;
}

static bool in_env(const json_t *list, const char *name) {
    size_t i;
    const json_t *env;
    json_array_foreach(list, i, env) if (strcmp(js_str(env, "name", ""), name) == 0) return true;
    return false;
}

/* envFrom: all keys of a ConfigMap, with a prefix; what env names as well, env says. */
static void judge_from(struct asks *a, const struct ref_object *o, const struct ref_container *it, size_t at,
                       const json_t *from, bool *ret_beside) {
    char pointer[REF_AT_MAX];
    char rest[64];
    char name[512];
    const char *map = js_str(from, "configMapRef.name", "");
    const struct ref_object *m = *map ? ref_side_find(a->c->live, "ConfigMap", map) : NULL;
    const char *key;
    const json_t *value;
    (void)snprintf(rest, sizeof rest, "/envFrom/%zu", at);
    json_object_foreach((json_t *)js_at(m ? m->normal : NULL, "data"), key, value) {
        (void)snprintf(name, sizeof name, "%s%s", js_str(from, "prefix", ""), key);
        *ret_beside = *ret_beside || any_glob(a->rule, "beside", name);
        if (any_glob(a->rule, "env", name) && !in_env(json_object_get(it->spec, "env"), name))
            judge(a, o, ref_pointer(pointer, it->pointer, rest), name, value);
    }
}

/* A container that names the store and does not say how it speaks to it. Unless a Secret may say so. */
static void tell_silent(struct asks *a, const struct ref_object *o, const struct ref_container *it) {
    size_t i;
    const json_t *from;
    char pointer[REF_AT_MAX];
    json_array_foreach(json_object_get(it->spec, "envFrom"), i, from) {
        const char *map = js_str(from, "configMapRef.name", "");
        const struct ref_object *m = *map ? ref_side_find(a->c->live, "ConfigMap", map) : NULL;
        if (m && m->normal)
            continue;
        ref_outcome_unknown(a->c->out,
                            "%s/%s: container %.64s may be told how to speak to %.64s by an envFrom that "
                            "is not known",
                            o->kind, o->name, it->name, js_str(a->rule, "of", "a store"));
        return;
    }
    ref_checking_unmet(a->c, o, ref_pointer(pointer, it->pointer, "/env"), it->name,
                       "says how it speaks to the store", "names the store, and nothing asks for TLS");
}

static void judge_container(struct asks *a, const struct ref_object *o, const struct ref_container *it) {
    const json_t *list = json_object_get(it->spec, "env");
    size_t i;
    const json_t *env;
    const json_t *from;
    bool beside = false;
    size_t before = a->seen;
    char pointer[REF_AT_MAX];
    char rest[64];
    json_array_foreach(list, i, env) {
        const char *name = js_str(env, "name", "");
        beside = beside || any_glob(a->rule, "beside", name);
        (void)snprintf(rest, sizeof rest, "/env/%zu/value", i);
        if (any_glob(a->rule, "env", name) && is_last(list, i))
            judge_env(a, o, ref_pointer(pointer, it->pointer, rest), env);
    }
    json_array_foreach(json_object_get(it->spec, "envFrom"), i, from) judge_from(a, o, it, i, from, &beside);
    if (beside && a->seen == before) {
        a->seen++;
        tell_silent(a, o, it);
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

static void judge_workload(struct ref_checking *c, const struct ref_object *o) {
    c->selected--; /* counted as the images were looked at */
    for (struct ref_container it = {.init_too = true}; ref_container_next(o, &it);)
        judge_container(c->ctx, o, &it);
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
    scan_workloads(&c);
    scan_kinds(&c);
    json_array_foreach(json_object_get(c.with, "tls"), i, rule) check_asks(&c, rule);
    return ref_checking_end(&c, "workload");
}
