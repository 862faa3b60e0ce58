/* checks: the table of checks by name, and whether their `with` is well-formed. See checks.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "reference/checks_priv.h"

/* ---- with */

const char *ref_with_text(const json_t *with, const char *key, const char *const *fallback, size_t i) {
    const json_t *v = json_object_get(with, key);
    if (json_is_array(v))
        return json_string_value(json_array_get(v, i));
    if (v)
        return i == 0 ? json_string_value(v) : NULL;
    for (size_t at = 0; fallback && fallback[at]; at++)
        if (at == i)
            return fallback[at];
    return NULL;
}

int ref_with_number(const json_t *with, const char *key, int64_t min, int64_t max, struct err *e) {
    const json_t *v = json_object_get(with, key);
    if (v && (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max))
        return err_set(e, -EINVAL, "%s: give a whole number from %lld to %lld", key, (long long)min,
                       (long long)max);
    return 0;
}

int ref_with_bool(const json_t *with, const char *key, struct err *e) {
    const json_t *v = json_object_get(with, key);
    return v && !json_is_boolean(v) ? err_set(e, -EINVAL, "%s: give true or false", key) : 0;
}

static int check_text(const char *key, const char *text, const char *const *allowed, struct err *e) {
    if (!text || !*text)
        return err_set(e, -EINVAL, "%s: give a text, or a list of texts", key);
    const char *const *a = allowed;
    while (a && *a && strcmp(*a, text) != 0)
        a++;
    if (a && !*a) {
        char list[256] = "";
        for (a = allowed; *a; a++)
            (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", a == allowed ? "" : ", ",
                           *a);
        return err_set(e, -EINVAL, "%s: \"%s\" is none of %s", key, text, list);
    }
    return 0;
}

int ref_with_texts(const json_t *with, const char *key, const char *const *allowed, struct err *e) {
    const json_t *v = json_object_get(with, key);
    if (!v)
        return 0;
    if (!json_is_array(v))
        return check_text(key, json_string_value(v), allowed, e);
    if (json_array_size(v) == 0)
        return err_set(e, -EINVAL, "%s: the list is empty: leave it out, or name something", key);
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(v); i++)
        r = check_text(key, json_string_value(json_array_get(v, i)), allowed, e);
    return r;
}

/* ---- the table */

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int valid_replicas(const json_t *with, struct err *e) {
    return ref_with_number(with, "at_least", 1, 100000, e);
}

static int valid_budgets(const json_t *with, struct err *e) {
    return ref_with_number(with, "at_least_replicas", 1, 100000, e);
}

static int valid_spread(const json_t *with, struct err *e) {
    int r = ref_with_texts(with, "by", NULL, e);
    if (r == 0)
        r = ref_with_bool(with, "seen", e);
    if (r == 0)
        r = ref_with_bool(with, "hard", e);
    if (r == 0 && !json_object_get(with, "by") && !json_is_true(json_object_get(with, "seen")))
        r = err_set(e, -EINVAL,
                    "give \"by\", a list of topology keys such as kubernetes.io/hostname, or "
                    "\"seen: true\", or both");
    return r;
}

static int valid_probes(const json_t *with, struct err *e) {
    static const char *const probes[] = {"readiness", "liveness", "startup", NULL};
    return ref_with_texts(with, "of", probes, e);
}

static int valid_amounts(const json_t *with, struct err *e) {
    const char *list;
    const char *name;
    const json_t *amounts;
    const json_t *amount;
    json_object_foreach((json_t *)json_object_get(with, "at_least"), list, amounts) {
        if ((strcmp(list, "requests") != 0 && strcmp(list, "limits") != 0) || !json_is_object(amounts))
            return err_set(e, -EINVAL, "at_least: give {requests: {memory: 512Mi}, limits: {..}}");
        json_object_foreach((json_t *)amounts, name, amount) {
            __int128 n;
            const char *text = json_string_value(amount);
            if (!json_is_number(amount) && (!text || ref_quantity(text, &n) < 0))
                return err_set(e, -EINVAL, "at_least: %s.%s is no quantity", list, name);
        }
    }
    return 0;
}

static int valid_resources(const json_t *with, struct err *e) {
    const json_t *least = json_object_get(with, "at_least");
    int r = ref_with_texts(with, "requests", NULL, e);
    if (r == 0)
        r = ref_with_texts(with, "limits", NULL, e);
    if (r == 0 && least && !json_is_object(least))
        r = err_set(e, -EINVAL, "at_least: give {requests: {memory: 512Mi}, limits: {..}}");
    if (r == 0)
        r = valid_amounts(with, e);
    if (r == 0 && json_object_size(with) == 0)
        r = err_set(e, -EINVAL,
                    "give \"requests\" or \"limits\", lists such as [cpu, memory], or \"at_least\"");
    return r;
}

static int valid_security(const json_t *with, struct err *e) {
    const char *key;
    const json_t *value;
    bool any = false;
    json_object_foreach((json_t *)with, key, value) {
        int r = ref_with_bool(with, key, e);
        if (r < 0)
            return r;
        any = any || json_is_true(value);
    }
    return any ? 0 : err_set(e, -EINVAL, "ask for something, as {run_as_non_root: true}");
}

static int valid_policies(const json_t *with, struct err *e) {
    static const char *const types[] = {"Ingress", "Egress", NULL};
    int r = ref_with_texts(with, "types", types, e);
    return r < 0 ? r : ref_with_bool(with, "allow_open", e);
}

static int valid_tls(const json_t *with, struct err *e) {
    return ref_with_bool(with, "allow_plain", e);
}

static int valid_known(const json_t *with, struct err *e) {
    if (!json_is_array(json_object_get(with, "known")))
        return err_set(e, -EINVAL, "known: give a list of default values, as [dev, changeme]");
    return ref_with_texts(with, "known", NULL, e);
}

/* One of external-stores' tls. */
static int valid_ask(const json_t *rule, struct err *e) {
    static const char *const texts[] = {"of", "env", "at", "kind", "in", "beside", NULL};
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)rule, key, value) {
        const char *const *t = texts;
        while (*t && strcmp(*t, key) != 0)
            t++;
        if (!*t)
            return err_set(e, -EINVAL, "tls: \"%.64s\" is none of of, env, at, kind, in, beside", key);
        int r = ref_with_texts(rule, key, NULL, e);
        if (r < 0)
            return err_prefix(e, r, "tls");
    }
    const char *at = js_str(rule, "at", "");
    if (!json_object_get(rule, "in") || !json_object_get(rule, "env") == !*at || (*at && *at != '/'))
        return err_set(e, -EINVAL,
                       "tls: give \"in\", and either \"env\" or \"at\", a JSON Pointer with \"kind\"");
    return 0;
}

static int valid_stores(const json_t *with, struct err *e) {
    const json_t *tls = json_object_get(with, "tls");
    const json_t *ports = json_object_get(with, "ports");
    size_t i;
    const json_t *v;
    const json_t *images = json_object_get(with, "images");
    bool none = json_is_array(images) && json_array_size(images) == 0; /* it is about TLS only */
    int r = none ? 0 : ref_with_texts(with, "images", NULL, e);
    if (r == 0)
        r = ref_with_texts(with, "kinds", NULL, e);
    if (r == 0 && tls && !json_is_array(tls))
        r = err_set(e, -EINVAL, "tls: give a list, as [{of: PostgreSQL, env: \"*SSLMODE\", in: [require]}]");
    if (r == 0 && ports && !json_is_array(ports))
        r = err_set(e, -EINVAL, "ports: give a list of port numbers; an empty one for none");
    json_array_foreach(ports, i, v) if (r == 0 && !json_is_integer(v)) r =
        err_set(e, -EINVAL, "ports: give numbers");
    json_array_foreach(tls, i, v) if (r == 0) r = valid_ask(v, e);
    return r;
}

static int valid_environment(const json_t *with, struct err *e) {
    int r = ref_with_texts(with, "env", NULL, e);
    if (r == 0)
        r = ref_with_texts(with, "in", NULL, e);
    if (r == 0)
        r = ref_with_texts(with, "not_in", NULL, e);
    if (r == 0)
        r = ref_with_bool(with, "set", e);
    bool in = json_object_get(with, "in") != NULL;
    bool not_in = json_object_get(with, "not_in") != NULL;
    bool set = json_is_true(json_object_get(with, "set"));
    if (r == 0 && (!json_object_get(with, "env") || (in && not_in) || (!in && !not_in && !set)))
        r = err_set(e, -EINVAL, "give \"env\", and one of \"in\" and \"not_in\", or \"set: true\"");
    return r;
}

const struct ref_check_type ref_check_types[] = {
    {"replicas", "each workload, or its autoscaler, keeps at least so many replicas", KEYS("at_least"),
     ref_check_replicas, valid_replicas},
    {"disruption-budgets", "a drain may take one pod of each workload, and never all of them",
     KEYS("at_least_replicas"), ref_check_budgets, valid_budgets},
    {"service-endpoints", "each Service has a ready endpoint", KEYS(NULL), ref_check_endpoints, NULL},
    {"network-policies", "NetworkPolicies select the pods of each workload, and are not open",
     KEYS("types", "allow_open"), ref_check_policies, valid_policies},
    {"tls", "each Ingress and HTTPRoute ends TLS for each of its hosts", KEYS("allow_plain"), ref_check_tls,
     valid_tls},
    {"external-stores", "stores of state are outside of the stage, and spoken to over TLS",
     KEYS("images", "kinds", "ports", "tls"), ref_check_stores, valid_stores},
    {"environment", "a variable of the containers' environment has one of these values, or none of those",
     KEYS("env", "in", "not_in", "set"), ref_check_environment, valid_environment},
    {"default-secrets", "no value of a Secret is a known default", KEYS("known"), ref_check_secrets,
     valid_known},
    {"spread", "the pods of each workload are kept apart, and (seen) are apart", KEYS("by", "seen", "hard"),
     ref_check_spread, valid_spread},
    {"probes", "each container has its probes", KEYS("of"), ref_check_probes, valid_probes},
    {"resources", "each container says what it needs and may take", KEYS("requests", "limits", "at_least"),
     ref_check_resources, valid_resources},
    {"security-context", "each container runs with no more rights than it needs",
     KEYS("run_as_non_root", "no_privilege_escalation", "drop_all", "read_only_root", "not_privileged",
          "seccomp", "no_host"),
     ref_check_security, valid_security},
    {.name = NULL},
};

int ref_check(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out) {
    const char *name = js_str(expectation, "check", "");
    const struct ref_check_type *type = ref_check_type(name);
    if (type)
        return type->run(s, expectation, out);
    ref_outcome_unknown(out, "there is no check \"%.64s\"", name);
    return 0;
}
