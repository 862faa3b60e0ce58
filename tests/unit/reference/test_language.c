/* The language: what is loaded, what is refused and where, what comes of evaluating it against a stage that
 * is written as manifests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/js.h"
#include "base/when.h"
#include "reference/checks.h"
#include "reference/reference.h"

#define HEAD "schema: pilotgate.reference/1\nid: t\ntitle: A test\n"
#define ONE(form) HEAD "expectations:\n- id: a\n  severity: required\n  why: w\n  source: s\n" form
#define KEY ((struct norm_key){{1, 2, 3}})

static const char stage_text[] =
    "# Source: shop/templates/engine.yaml\n"
    "apiVersion: apps/v1\nkind: Deployment\n"
    "metadata: {name: shop-engine, namespace: pilot, labels: {app.kubernetes.io/instance: shop, tier: api}}\n"
    "spec:\n  replicas: 2\n  template:\n    spec:\n      containers:\n"
    "      - {name: engine, image: 'ghcr.io/acme/engine:1.2', resources: {requests: {memory: 512Mi}},\n"
    "         env: [{name: MODE, value: prod}, {name: API_TOKEN, value: dev}]}\n"
    "      - {name: side, image: 'nginx'}\n"
    "---\n\n---\n# nothing\n---\n"
    "apiVersion: v1\nkind: List\nitems:\n"
    "- {apiVersion: v1, kind: Service, metadata: {name: shop-engine}, spec: {ports: [{port: 80}]}}\n"
    "- {apiVersion: v1, kind: Secret, metadata: {name: shop-keys}, stringData: {worker: dev}, data: {b: "
    "ZGV2}}\n"
    "- {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop}, spec: {}}\n"
    "---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {generateName: shop-test-, annotations: {helm.sh/hook: test}}\n";

struct stage {
    struct ref_side side;
    json_t *docs;
};

/* In place: a side that found its names points into itself. */
static void load_stage(const char *text, struct stage *s) {
    struct err e;
    struct norm_key key = KEY;
    if (ref_side_of_manifests("stage.yaml", text, strlen(text), &key, &s->side, &s->docs, &e) < 0)
        fail_msg("%s", e.text);
}

static void free_stage(struct stage *s) {
    ref_side_free(&s->side);
    json_decref(s->docs);
}

static struct reference load(const char *text) {
    struct reference r;
    struct err e;
    struct norm_key key = KEY;
    if (ref_load_text("r.yaml", NULL, text, strlen(text), &key, &r, &e) < 0)
        fail_msg("%s\n%s", text, e.text);
    return r;
}

/* The result of the reference against the stage; a new reference. */
static json_t *evaluate(const char *text, const struct ref_side *side, const char *now) {
    struct reference r = load(text);
    struct err e;
    json_t *ret = NULL;
    int64_t ns;
    assert_int_equal(when_parse(now, &ns), 0);
    if (ref_evaluate(&r, side, "east/pilot", ns, &ret, &e) < 0)
        fail_msg("%s", e.text);
    ref_free(&r);
    return ret;
}

static json_t *first_row(json_t *result) {
    return json_array_get(json_object_get(result, "rows"), 0);
}

/* ---- conditions and groups: one line a case: what is asked, the verdict, what the reason begins with */

static const struct {
    const char *form, *verdict, *reason;
} cases[] = {
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/replicas, at_least: 2}]\n", "PASS", "met by 1 object"},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/replicas, at_least: 3}]\n", "FAIL",
     "Deployment/shop-engine: /spec/replicas: found 2, expected at least 3"},
    {"  for: {kind: Deployment, name: '{release}-engine'}\n  expect: [{at: /spec/replicas, at_most: 2}]\n",
     "PASS", ""},
    {"  for: {kind: Deployment, name: other}\n  expect: [{at: /spec/replicas, equals: 2}]\n", "FAIL",
     "Deployment/other is not there"},
    {"  for: {kind: Deployment, name: other}\n  if_any: true\n  expect: [{at: /spec/replicas, equals: 2}]\n",
     "PASS", "there is none"},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/template/spec/containers/*/resources/requests/memory, "
     "present: "
     "true}]\n",
     "FAIL",
     "Deployment/shop-engine: /spec/template/spec/containers/1/resources/requests/memory (side) is not set"},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/template/spec/containers/*/resources/requests/memory, "
     "at_least: "
     "0.5Gi, every: false}]\n",
     "PASS", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/template/spec/containers/*/image, image: {not_tag: "
     "latest}}]\n",
     "FAIL", "Deployment/shop-engine: /spec/template/spec/containers/1/image (side): found nginx"},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/template/spec/containers/1/image, image: {repository: "
     "nginx, "
     "digest: false}}]\n",
     "PASS", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/template/spec/containers/0/env/0/value, in: [test, "
     "prod]}]\n",
     "PASS", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/template/spec/containers/0/env/1/value, not: dev}]\n",
     "INCONCLUSIVE", "not known: Deployment/shop-engine: /spec/template/spec/containers/0/env/1/value"},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/paused, equals: false, absent: false}]\n", "PASS", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/paused, not: true}]\n", "PASS", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/paused, equals: true}]\n", "FAIL", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /spec/none/*/x, present: true}]\n", "FAIL", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /metadata/labels/tier, matches: [w*, a?i]}]\n", "PASS", ""},
    {"  for: {kind: Deployment}\n  expect: [{at: /metadata/labels, contains: tier}]\n", "PASS", ""},
    {"  for: {kind: Deployment, where: [{at: /spec/replicas, at_least: 5}]}\n  expect: [{at: /x, present: "
     "true}]\n",
     "FAIL", "Deployment as asked is not there"},
    {"  for: {kind: Deployment, not: {labels: {tier: api}}}\n  if_any: true\n  expect: [{at: /x, present: "
     "true}]\n",
     "PASS", "there is none"},
    {"  all_of: [{kind: Service}, {kind: PodDisruptionBudget}]\n", "FAIL",
     "PodDisruptionBudget is not there"},
    {"  all_of: [{kind: Service}, {kind: Node}]\n", "INCONCLUSIVE", "not known: Node: nobody reads it"},
    {"  any_of: [{kind: Ingress}, {kind: HTTPRoute.gateway.networking.k8s.io}]\n", "PASS", ""},
    {"  any_of: [{kind: Ingress}, {kind: Node}]\n", "INCONCLUSIVE", ""},
    {"  one_of: [{kind: Service}, {kind: Deployment}]\n", "FAIL",
     "Service or Deployment: found Service, Deployment, expected exactly one of them"},
    {"  one_of: [{kind: Service}, {kind: StatefulSet}]\n", "PASS", ""},
    {"  none_of: [{kind: [Service, Ingress]}]\n", "FAIL", "Service/shop-engine is there, and should not be"},
    {"  none_of: [{kind: Node}]\n", "INCONCLUSIVE", ""},
    {"  none_of: [{kind: StatefulSet}]\n", "PASS", ""},
    {"  optional: [{kind: StatefulSet}, {kind: Service}]\n", "PASS",
     "there: Service; not there: StatefulSet"},
    {"  for: {kind: Deployment}\n  check: replicas\n  with: {at_least: 2}\n", "PASS", ""},
    {"  for: {kind: Deployment}\n  check: replicas\n  with: {at_least: 3}\n", "FAIL", ""},
};

static const char *unread(void *ctx, const char *kind) {
    (void)ctx;
    return strcmp(kind, "Node") == 0 ? "nobody reads it" : NULL;
}

static void what_is_asked(void **state) {
    (void)state;
    struct stage s;
    load_stage(stage_text, &s);
    s.side.unread = unread;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        (void)snprintf(text, sizeof text, "%s%s", ONE(""), cases[i].form);
        json_t *result = evaluate(text, &s.side, "2026-11-23T00:00:00Z");
        const char *reason = js_str(first_row(result), "reason", "?");
        if (strcmp(js_str(first_row(result), "verdict", ""), cases[i].verdict) != 0 ||
            strncmp(reason, cases[i].reason, strlen(cases[i].reason)) != 0)
            fail_msg("%s is %s: %s", cases[i].form, js_str(first_row(result), "verdict", ""), reason);
        assert_string_equal(js_str(result, "verdict", ""), cases[i].verdict);
        json_decref(result);
    }
    free_stage(&s);
}

/* Everything that is required is met, because nothing is. */
static void nothing_required_proves_nothing(void **state) {
    (void)state;
    struct stage s;
    load_stage(stage_text, &s);
    json_t *result = evaluate(
        HEAD "expectations:\n- {id: a, severity: info, why: w, source: s, all_of: [{kind: Service}]}\n",
        &s.side, "2026-11-23T00:00:00Z");
    assert_string_equal("PASS", js_str(first_row(result), "verdict", ""));
    assert_string_equal("INCONCLUSIVE", js_str(result, "verdict", ""));
    json_decref(result);
    free_stage(&s);
}

/* ---- what is refused, and where */

static const struct {
    const char *text, *error;
} refused[] = {
    {"", "r.yaml: empty"},
    {"a: [", "r.yaml:2:1: did not find"},
    {HEAD, "r.yaml:1:1: a reference needs 'manifests' or 'expectations'"},
    {HEAD "expectation: []\n", "r.yaml:4:1: a reference has no 'expectation': did you mean 'expectations'?"},
    {"schema: other/1\n", "r.yaml:1:1: must be pilotgate.reference/1"},
    {ONE("  al_of: [{kind: Service}]\n"),
     "r.yaml:9:3: an expectation has no 'al_of': did you mean 'all_of'?"},
    {ONE("  all_of: [{kind: Servce}]\n"), "r.yaml:9:13: there is no kind 'Servce': did you mean 'Service'?"},
    {ONE("  all_of: [{kind: HTTPRoute}]\n"), "r.yaml:9:13: Kubernetes has no kind 'HTTPRoute' of its own"},
    {ONE("  all_of: [{name: x}]\n"), "r.yaml:9:12: a selector needs 'kind'"},
    {ONE(""), "r.yaml:5:3: an expectation needs one of all_of"},
    {ONE("  all_of: [{kind: Service}]\n  check: probes\n"),
     "r.yaml:5:3: an expectation has both 'all_of' and 'check'"},
    {ONE("  check: prboes\n"), "r.yaml:9:3: there is no check 'prboes': did you mean 'probes'?"},
    {ONE("  check: replicas\n  with: {at_leest: 2}\n"),
     "r.yaml:10:3: the check replicas has no 'at_leest': did you mean"},
    {ONE("  expect: [{at: /x, present: true}]\n"), "r.yaml:5:3: 'expect' needs 'for'"},
    {ONE("  all_of: [{kind: Service}]\n  if_any: true\n"), "r.yaml:5:3: 'if_any' goes with 'expect'"},
    {ONE("  for: {kind: Service}\n  expect: [{at: x, present: true}]\n"),
     "r.yaml:10:13: must be a JSON Pointer"},
    {ONE("  for: {kind: Service}\n  expect: [{at: /x~2, present: true}]\n"),
     "r.yaml:10:13: in a JSON Pointer '~'"},
    {ONE("  for: {kind: Service}\n  expect: [{at: /x, at_least: lots}]\n"),
     "r.yaml:10:21: must be a number, a quantity"},
    {ONE("  for: {kind: Service}\n  expect: [{at: /x, in: [yes]}]\n"),
     "r.yaml:10:26: this means one thing to Helm"},
    {ONE("  for: {kind: Service}\n  expect: [{at: /x, equals: 0777}]\n"),
     "r.yaml:10:29: this means one thing to Helm"},
    {ONE("  for: {kind: Service}\n  expect: [{at: /x}]\n"), "r.yaml:10:12: a condition needs one of equals"},
    {HEAD "expectations:\n- {id: a, severity: must, why: w, source: s, all_of: [{kind: Service}]}\n",
     "r.yaml:5:11: must be one of required, recommended, info"},
    {HEAD "expectations:\n- {id: a, severity: info, source: s, all_of: [{kind: Service}]}\n",
     "r.yaml:5:3: an expectation needs 'why'"},
    {HEAD "expectations:\n- {id: a, severity: info, why: w, all_of: [{kind: Service}]}\n",
     "r.yaml:5:3: an expectation needs 'source'"},
    {HEAD "expectations:\n- {id: a, severity: info, why: w, source: s, all_of: [{kind: Service}]}\n"
          "- {id: a, severity: info, why: w, source: s, all_of: [{kind: Service}]}\n",
     "r.yaml:6:4: the id 'a' is there twice"},
    {ONE("  all_of: [{kind: Service}]\ntolerate: [{reason: r, owner: o}]\n"),
     "r.yaml:10:12: a tolerance needs 'exp"},
    {ONE("  all_of: [{kind: Service}]\ntolerate: [{object: x, owner: o}]\n"),
     "r.yaml:10:12: a tolerance needs 'reason'"},
    {ONE("  all_of: [{kind: Service}]\ntolerate: [{object: x, owner: o, reason: r, until: soon}]\n"),
     "r.yaml:10:45: must be a day"},
    {HEAD "manifests: [{id: m, why: w, source: s, file: x.yaml}]\n", "r.yaml: names the file x.yaml, which"},
    {HEAD "manifests: [{id: m, why: w, source: s, file: ../x.yaml}]\n", "r.yaml:4:40: must be a file in"},
    {HEAD "manifests: [{id: m, why: w, source: s, objects: [{kind: Service}]}]\n",
     "r.yaml:4:50: an object: Service"},
    {HEAD "manifests: [{id: m, why: w, source: s, objects: [\n"
          "  {apiVersion: v1, kind: Service, metadata: {name: a, namespace: x}},\n"
          "  {apiVersion: v1, kind: Service, metadata: {name: b, namespace: x}},\n"
          "  {apiVersion: v1, kind: Service, metadata: {name: c, namespace: z}}]}]\n",
     "r.yaml: m: Service/c is of namespace 'z', and the set of 'x'"},
    {HEAD "manifests: [{id: m, why: w, source: s, objects: [\n"
          "  {apiVersion: v1, kind: Service, metadata: {name: a}},\n"
          "  {apiVersion: v1, kind: Service, metadata: {name: a}}]}]\n",
     "r.yaml: m: Service/a is there twice"},
    {HEAD "manifests: [{id: m, why: w, source: s, objects: [\n"
          "  {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: 'keys:all'}}]}]\n",
     "r.yaml:5:3: keys:all: Role/keys:all: agents take the name for a secret"},
};

static void what_is_wrong_is_refused(void **state) {
    (void)state;
    bool bad = false;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct reference r;
        struct err e = {0};
        int status = ref_load_text("r.yaml", NULL, refused[i].text, strlen(refused[i].text), NULL, &r, &e);
        if (status != -EINVAL || strncmp(e.text, refused[i].error, strlen(refused[i].error)) != 0)
            bad = true, print_error("%s\nis said to be: %s\n", refused[i].text, e.text);
    }
    assert_false(bad);
}

/* ---- the schema knows every check, and what each is asked */

static const json_t *with_of(const json_t *schema, const char *check) {
    size_t i;
    json_t *rule;
    json_array_foreach(js_at(schema, "/$defs/expectation/allOf"), i, rule) {
        if (strcmp(js_str(rule, "if.properties.check.const", ""), check) == 0)
            return js_at(rule, "then.properties.with.properties");
    }
    return NULL;
}

static void the_schema_knows_every_check(void **state) {
    (void)state;
    json_t *schema = NULL;
    struct err e;
    if (js_parse(ref_schema, strlen(ref_schema), 1 << 20, &schema, &e) < 0)
        fail_msg("%s", e.text);
    size_t n = 0;
    for (const struct ref_check_type *t = ref_check_types; t->name; t++, n++) {
        const json_t *with = with_of(schema, t->name);
        size_t keys = 0;
        if (!with)
            fail_msg("schema.json has no check %s", t->name);
        for (; t->keys[keys]; keys++)
            if (!json_object_get(with, t->keys[keys]))
                fail_msg("schema.json: %s has no %s", t->name, t->keys[keys]);
        assert_int_equal(json_object_size(with), keys + (json_object_get(with, "known_keyed") != NULL));
    }
    assert_int_equal(json_array_size(js_at(schema, "/$defs/expectation/properties/check/enum")), n);
    json_decref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(nothing_required_proves_nothing),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(the_schema_knows_every_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
