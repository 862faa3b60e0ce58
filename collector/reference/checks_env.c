/* checks_env: what the environment of a container is, as far as it can be known, and the check that asks for
 * values in it. A value stands in the template, comes from a ConfigMap (which is looked up), or from a Secret
 * (which nobody reads). Fields: k8s.io/api core/v1 EnvVar, EnvVarSource, EnvFromSource. See checks_priv.h. */
#include "reference/checks_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/word.h"
#include "correlate/differences.h"

/* ---- texts */

bool ref_with_glob(const json_t *with, const char *key, const char *text) {
    const char *glob;
    for (size_t i = 0; (glob = ref_with_text(with, key, NULL, i)); i++)
        if (word_glob(glob, text))
            return true;
    return false;
}

/* What the agent reduced, or what the kubelet puts together as it starts, is not known. */
const char *ref_env_text(const json_t *value, char number[32]) {
    const char *text = json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value)) {
        (void)snprintf(number, 32, "%lld", (long long)json_integer_value(value));
        return number;
    }
    return text && !strstr(text, "keyed:") && !strstr(text, DIFF_SECRET) && !strstr(text, "$(") ? text : NULL;
}

void ref_checking_unmet_in(struct ref_checking *c, const struct ref_object *o, const char *pointer,
                           const char *where, const json_t *with, const char *found) {
    char expected[REF_VALUE_MAX] = "one of";
    const char *one;
    for (size_t i = 0; (one = ref_with_text(with, "in", NULL, i)); i++) {
        size_t n = strlen(expected);
        (void)snprintf(expected + n, sizeof expected - n, "%s %s", i ? "," : "", one);
    }
    ref_checking_unmet(c, o, pointer, where, expected, found);
}

/* ---- the environment of one container */

struct walk {
    struct ref_checking *c;
    const struct ref_container *it;
    ref_env_fn *fn;
    void *ctx;
};

/* The last one of a name counts. */
static bool named_after(const json_t *list, size_t from, const char *name) {
    for (size_t i = from; i < json_array_size(list); i++)
        if (strcmp(js_str(json_array_get(list, i), "name", ""), name) == 0)
            return true;
    return false;
}

static void tell(const struct walk *w, const char *name, const json_t *value, const char *rest,
                 const char *unknown) {
    char pointer[REF_AT_MAX];
    struct ref_env env = {name, value, ref_pointer(pointer, w->it->pointer, rest), unknown};
    w->fn(w->ctx, &env);
}

/* The object that an environment takes values from; NULL, and *ret_why (NULL: it may be missing, and is). */
static const struct ref_object *source(const struct walk *w, const char *kind, const json_t *ref,
                                       const char **ret_why) {
    const char *unread = w->c->live->unread ? w->c->live->unread(w->c->live->unread_ctx, kind) : NULL;
    const struct ref_object *o = ref_side_find(w->c->live, kind, js_str(ref, "name", ""));
    *ret_why = NULL;
    if (o && o->normal)
        return o;
    bool gone = !o && !unread && w->c->live->live && js_bool(ref, "optional", false);
    if (!gone)
        *ret_why =
            strcmp(kind, "Secret") == 0 ? "a Secret that is not known" : "a ConfigMap that is not known";
    return NULL;
}

static void tell_env(const struct walk *w, const json_t *env, size_t at) {
    const char *name = js_str(env, "name", "");
    const json_t *from = json_object_get(env, "valueFrom");
    const json_t *map = json_object_get(from, "configMapKeyRef");
    const json_t *value = json_object_get(env, "value");
    const char *why = "a place that is not known";
    char rest[64];
    json_t *empty = json_string("");
    (void)snprintf(rest, sizeof rest, "/env/%zu%s", at, from ? "/valueFrom" : "/value");
    const struct ref_object *o = map ? source(w, "ConfigMap", map, &why) : NULL;
    if (o)
        value = json_object_get(js_at(o->normal, "data"), js_str(map, "key", ""));
    if (!from)
        tell(w, name, value ? value : empty, rest, NULL);
    else if (value || why)
        tell(w, name, value, rest, value ? NULL : why);
    json_decref(empty);
}

/* A Secret as it is written may have its values in stringData (core/v1 Secret); one that lives has none
 * there. */
static const char *const value_maps[] = {"data", "stringData", NULL};

static bool gives(const struct ref_object *o, const char *prefix, const char *name) {
    char given[512];
    const char *key;
    const json_t *value;
    for (const char *const *m = value_maps; o && *m; m++)
        json_object_foreach(json_object_get(o->normal, *m), key, value) {
            (void)snprintf(given, sizeof given, "%s%s", prefix, key);
            if (value && strcmp(given, name) == 0)
                return true;
        }
    return false;
}

/* Does a later element of envFrom give the same name? */
static bool given_after(const struct walk *w, const json_t *list, size_t from, const char *name) {
    const char *why;
    for (size_t i = from; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const json_t *map = json_object_get(one, "configMapRef");
        const json_t *ref = map ? map : json_object_get(one, "secretRef");
        if (gives(source(w, map ? "ConfigMap" : "Secret", ref, &why), js_str(one, "prefix", ""), name))
            return true;
    }
    return false;
}

/* All keys of a ConfigMap or a Secret, with a prefix; env goes before. Of a Secret the keys are known. */
static void tell_from(const struct walk *w, const json_t *list, size_t at) {
    const json_t *from = json_array_get(list, at);
    const json_t *map = json_object_get(from, "configMapRef");
    const json_t *env = json_object_get(w->it->spec, "env");
    const char *why;
    const struct ref_object *o =
        source(w, map ? "ConfigMap" : "Secret", map ? map : json_object_get(from, "secretRef"), &why);
    const char *key;
    const json_t *value;
    char name[512];
    char rest[64];
    (void)snprintf(rest, sizeof rest, "/envFrom/%zu", at);
    if (!o && why)
        tell(w, NULL, NULL, rest, why);
    for (const char *const *m = value_maps; o && *m; m++)
        json_object_foreach(json_object_get(o->normal, *m), key, value) {
            (void)snprintf(name, sizeof name, "%s%s", js_str(from, "prefix", ""), key);
            if (!named_after(env, 0, name) && !given_after(w, list, at + 1, name))
                tell(w, name, map ? value : NULL, rest, map ? NULL : "a Secret");
        }
}

void ref_env_each(struct ref_checking *c, const struct ref_container *it, ref_env_fn *fn, void *ctx) {
    const struct walk w = {c, it, fn, ctx};
    const json_t *env = json_object_get(it->spec, "env");
    const json_t *from = json_object_get(it->spec, "envFrom");
    for (size_t i = 0; i < json_array_size(env); i++)
        if (!named_after(env, i + 1, js_str(json_array_get(env, i), "name", "")))
            tell_env(&w, json_array_get(env, i), i);
    for (size_t i = 0; i < json_array_size(from); i++)
        tell_from(&w, from, i);
}

/* ---- the check */

struct looked {
    struct ref_checking *c;
    const struct ref_object *o;
    bool said;
    const char *hidden;
};

static void judge(void *ctx, const struct ref_env *env) {
    struct looked *x = ctx;
    char number[32];
    if (!env->name) {
        x->hidden = env->unknown;
        return;
    }
    if (!ref_with_glob(x->c->with, "env", env->name))
        return;
    x->said = true;
    const char *text = ref_env_text(env->value, number);
    if (!json_object_get(x->c->with, "in") && !json_object_get(x->c->with, "not_in"))
        return; /* that it is set is all that is asked */
    if (!text)
        ref_outcome_unknown(x->c->out, "%s/%s: %.64s comes from %s, or is reduced", x->o->kind, x->o->name,
                            env->name, env->unknown ? env->unknown : "what is put together");
    else if (json_object_get(x->c->with, "in") && !ref_with_glob(x->c->with, "in", text))
        ref_checking_unmet_in(x->c, x->o, env->pointer, env->name, x->c->with, text);
    else if (ref_with_glob(x->c->with, "not_in", text))
        ref_checking_unmet(x->c, x->o, env->pointer, env->name, "another value", text);
}

static void check_environment(struct ref_checking *c, const struct ref_object *o) {
    struct looked x = {c, o, false, NULL};
    const char *name = ref_with_text(c->with, "env", NULL, 0);
    char pointer[REF_AT_MAX];
    if (!ref_workload_has_containers(c, o))
        return;
    for (struct ref_container it = {.init_too = true}; ref_container_next(o, &it);)
        ref_env_each(c, &it, judge, &x);
    if (x.hidden && !x.said)
        ref_outcome_unknown(c->out, "%s/%s: %.64s may be set by %s", o->kind, o->name, name, x.hidden);
    else if (!x.said && json_is_true(json_object_get(c->with, "set")))
        ref_checking_unmet(c, o, ref_pointer(pointer, ref_workload_template(o->kind), "/spec/containers"),
                           name, "set in its environment", "not set");
}

int ref_check_environment(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) {
    struct ref_checking c;
    ref_checking_begin(&c, s, e, out);
    ref_checking_each(&c, ref_workloads_all, check_environment);
    return ref_checking_end(&c, "workload");
}
