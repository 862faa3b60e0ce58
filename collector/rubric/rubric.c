/* rubric: see rubric.h. One table names every rule, its type, its range and its field. */
#include "rubric/rubric.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "rubric/rubric_priv.h"

enum rule_type { RULE_DURATION, RULE_REAL, RULE_COUNT };

static const struct rule {
    const char *name;
    enum rule_type type;
    size_t offset;
    double min, max; /* durations in seconds */
} rules[] = {
    {"deployment_limit", RULE_DURATION, offsetof(struct rubric_rules, deployment_limit_ns), 1, 366 * 86400.0},
    {"max_drop_rate", RULE_REAL, offsetof(struct rubric_rules, max_drop_rate), 1e-7, 0.5},
    {"confidence", RULE_REAL, offsetof(struct rubric_rules, confidence), 0.5, 0.999999},
    {"min_in_flight_per_kind", RULE_COUNT, offsetof(struct rubric_rules, min_in_flight_per_kind), 1, 1e9},
    {"min_in_flight_per_replica", RULE_COUNT, offsetof(struct rubric_rules, min_in_flight_per_replica), 1,
     1e9},
    {"longest_call", RULE_DURATION, offsetof(struct rubric_rules, longest_call_ns), 0.1, 86400},
    {"keep_alive", RULE_DURATION, offsetof(struct rubric_rules, keep_alive_ns), 0, 86400},
    {"merge_gap", RULE_DURATION, offsetof(struct rubric_rules, merge_gap_ns), 0.1, 86400},
    {"coverage_gap", RULE_DURATION, offsetof(struct rubric_rules, coverage_gap_ns), 1, 3600},
    {"clock_error_max", RULE_DURATION, offsetof(struct rubric_rules, clock_error_max_ns), 0.001, 60},
    {"stall_max", RULE_DURATION, offsetof(struct rubric_rules, stall_max_ns), 0.01, 60},
    {"watch_lag", RULE_DURATION, offsetof(struct rubric_rules, watch_lag_ns), 0, 60},
    {"rollback_limit", RULE_DURATION, offsetof(struct rubric_rules, rollback_limit_ns), 1, 86400},
    {"architecture_fresh", RULE_DURATION, offsetof(struct rubric_rules, architecture_fresh_ns), 5, 86400},
};
#define N_RULES (sizeof rules / sizeof *rules)

static const struct rule *find_rule(const char *name) {
    for (size_t i = 0; i < N_RULES; i++)
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

static int rule_value(const struct rule *rule, const json_t *v, double *ret_number, int64_t *ret_ns) {
    *ret_number = json_number_value(v);
    *ret_ns = 0;
    if (rule->type == RULE_DURATION) {
        if (!json_is_string(v) || when_parse_duration(json_string_value(v), ret_ns) < 0)
            return -EINVAL;
        *ret_number = (double)*ret_ns / 1e9;
    } else if (!json_is_number(v) || (rule->type == RULE_COUNT && !json_is_integer(v))) {
        return -EINVAL;
    }
    return *ret_number >= rule->min && *ret_number <= rule->max ? 0 : -ERANGE;
}

static int set_rule(struct rubric_rules *to, const char *name, const json_t *v, struct err *e) {
    static const char *const wants[] = {"a duration such as 60s", "a number", "a whole number"};
    const struct rule *rule = find_rule(name);
    if (!rule)
        return err_set(e, -EINVAL, "rubric: unknown rule '%s'; the rules are listed in docs/verdicts.md",
                       name);
    double number;
    int64_t ns;
    int r = rule_value(rule, v, &number, &ns);
    if (r == -EINVAL)
        return err_set(e, r, "rubric: rule '%s' must be %s", name, wants[rule->type]);
    if (r < 0)
        return err_set(e, r, "rubric: rule '%s' must lie between %g and %g%s", name, rule->min, rule->max,
                       rule->type == RULE_DURATION ? " seconds" : "");
    char *field = (char *)to + rule->offset;
    if (rule->type == RULE_REAL)
        memcpy(field, &number, sizeof number);
    else if (rule->type == RULE_DURATION)
        memcpy(field, &ns, sizeof ns);
    else
        memcpy(field, &(int64_t){json_integer_value(v)}, sizeof(int64_t));
    return 0;
}

/* A pilot's own noise comes after the rubric's. */
static int add_ignores(struct rubric *r, const json_t *list, struct err *e) {
    if (!json_is_array(list))
        return err_set(e, -EINVAL, "rubric: ignore_objects must be a list");
    return json_array_extend(json_object_get(r->doc, "ignore_objects"), (json_t *)list) < 0 ? err_oom(e) : 0;
}

static int set_rules(struct rubric *r, const json_t *from, struct err *e) {
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)from, name, v) {
        if (strcmp(name, "tolerate") == 0)
            continue;
        if (strcmp(name, "ignore_objects") == 0) {
            if (add_ignores(r, v, e) < 0)
                return -EINVAL;
            continue;
        }
        int rc = set_rule(&r->rules, name, v, e);
        if (rc < 0)
            return rc;
        if (json_object_set(json_object_get(r->doc, "rules"), name, v) < 0)
            return err_oom(e);
    }
    return 0;
}

/* A pilot's own entries come after the rubric's. */
static int set_tolerate(struct rubric *r, const json_t *overrides, struct err *e) {
    const json_t *more = json_object_get(overrides, "tolerate");
    json_t *list = json_object_get(r->doc, "tolerate");
    int rc = rubric_check_tolerate(list, e);
    if (rc == 0)
        rc = rubric_check_tolerate(more, e);
    if (rc == 0 && more && json_array_extend(list, (json_t *)more) < 0)
        return err_oom(e);
    return rc;
}

static int read_gates(struct rubric *r, struct err *e) {
    const json_t *list = js_at(r->doc, "gates");
    size_t n = json_array_size(list);
    if (n > RUBRIC_GATES_MAX)
        return err_set(e, -EINVAL, "rubric: more than %d gates", RUBRIC_GATES_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *g = json_array_get(list, i);
        r->gates[i] = (struct rubric_gate){
            .id = js_str(g, "id", ""),
            .title = js_str(g, "title", ""),
            .pass = js_str(g, "pass", ""),
            .benchmark = js_str(g, "benchmark", ""),
            .evaluator = js_str(g, "evaluator", "none"),
            .pending = js_str(g, "pending", "no evaluator is bound to this gate"),
        };
    }
    r->n_gates = n;
    return 0;
}

static int compute_digest(struct rubric *r, struct err *e) {
    char *text = js_canonical(r->doc);
    if (!text)
        return err_oom(e);
    unsigned char hash[32];
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)text, strlen(text), NULL, 0);
    sodium_bin2hex(r->digest, sizeof r->digest, hash, sizeof hash);
    free(text);
    return 0;
}

int rubric_load(const json_t *overrides, struct rubric *ret, struct err *e) {
    struct rubric r = {0};
    int rc = conf_yaml_to_json("category-8.yaml", rubric_text, rubric_text_len, &r.doc, e);
    if (rc < 0)
        return rc;
    json_t *own = json_copy(json_object_get(r.doc, "rules"));
    rc = own ? set_rules(&r, own, e) : err_oom(e);
    json_decref(own);
    if (rc == 0 && overrides)
        rc = json_is_object(overrides) ? set_rules(&r, overrides, e)
                                       : err_set(e, -EINVAL, "rubric: must be a mapping of rules to values");
    if (rc == 0)
        rc = set_tolerate(&r, overrides, e);
    if (rc == 0)
        rc = read_gates(&r, e);
    if (rc == 0)
        rc = rubric_read_ignores(&r, e);
    if (rc == 0)
        rc = compute_digest(&r, e);
    if (rc < 0) {
        rubric_free(&r);
        return rc;
    }
    *ret = r;
    return 0;
}

void rubric_free(struct rubric *r) {
    if (!r)
        return;
    json_decref(r->doc);
    *r = (struct rubric){0};
}
