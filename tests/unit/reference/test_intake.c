/* Intake: what becomes of secrets, hooks and several files; tolerances; merging; a first reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "reference/reference.h"

#define HEAD "schema: pilotgate.reference/1\nid: t\ntitle: A test\n"
#define SET "manifests:\n- id: m\n  why: w\n  source: s\n"
#define SECRETS                                                                                            \
    "  objects:\n"                                                                                         \
    "  - {apiVersion: v1, kind: Secret, metadata: {name: k}, stringData: {a: hunter2}, data: {b: "         \
    "aHVudGVyMg==}}\n"                                                                                     \
    "  - apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: d}\n    spec:\n      template:\n" \
    "        spec:\n          containers:\n          - {name: c, image: x, args: ['--api-token=hunter2', " \
    "plain],\n"                                                                                            \
    "             env: [{name: DB_PASSWORD, value: hunter2}, {name: MODE, value: plain}]}\n"

static const struct norm_key key = {{1, 2, 3}};
static const struct norm_key other = {{4}};

static struct reference load(const char *text, const struct norm_key *k) {
    struct reference r;
    struct err e;
    if (ref_load_text("r.yaml", NULL, text, strlen(text), k, &r, &e) < 0)
        fail_msg("%s\n%s", text, e.text);
    return r;
}

static json_t *evaluate(const struct reference *r, const struct ref_side *side, const char *stage,
                        const char *now) {
    struct err e;
    json_t *ret = NULL;
    int64_t ns;
    assert_int_equal(when_parse(now, &ns), 0);
    if (ref_evaluate(r, side, stage, ns, &ret, &e) < 0)
        fail_msg("%s", e.text);
    return ret;
}

#define INNER                                                                                             \
    "{apiVersion: v1, kind: Secret, metadata: {name: k}, stringData: {a: hunter2, b: [{c: hunter2}], d: " \
    "1234567}}"

/* Wherever a Secret stands, and however it is spelt. */
static const char *const hidden_ones[] = {
    "{apiVersion: v1, kind: List, metadata: {name: l}, items: [" INNER "]}",
    "{apiVersion: v1, kind: List, metadata: {name: l}, items: [{kind: List, items: [" INNER "]}]}",
    "{apiVersion: template.openshift.io/v1, kind: Template, metadata: {name: t}, objects: [" INNER "]}",
    "{apiVersion: kyverno.io/v1, kind: Policy, metadata: {name: p}, spec: {rules: [{generate: " INNER "}]}}",
    "{apiVersion: v1, kind: secret, metadata: {name: k}, data: {a: hunter2, d: 1234567}}",
    "{apiVersion: v1, kind: Secret, metadata: {name: k}, stringdata: {a: hunter2}, Data: 1234567}",
};

static void no_secret_stays_inside_of_others(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * sizeof hidden_ones / sizeof *hidden_ones; i++) {
        char text[1024];
        (void)snprintf(text, sizeof text, HEAD SET "  objects:\n  - %s\n", hidden_ones[i / 2]);
        struct reference r = load(text, i % 2 ? &key : NULL);
        char *doc = js_canonical(r.doc);
        if (strstr(doc, "hunter2") || strstr(doc, "1234567"))
            fail_msg("%s\n%s", text, doc);
        assert_non_null(strstr(doc, "(secret)"));
        free(doc);
        ref_free(&r);
    }
}

static size_t occurrences(const char *text, const char *word) {
    size_t n = 0;
    for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
        n++;
    return n;
}

/* ---- secrets */

static void no_secret_stays(void **state) {
    (void)state;
    struct reference without = load(HEAD SET SECRETS, NULL);
    struct reference with = load(HEAD SET SECRETS, &key);
    char *a = js_canonical(without.doc);
    char *b = js_canonical(with.doc);
    assert_null(strstr(a, "hunter2"));
    assert_null(strstr(b, "hunter2"));
    assert_null(strstr(a, "aHVudGVyMg"));
    assert_null(strstr(a, "keyed:"));
    assert_int_equal(occurrences(a, "(secret)"), 4);
    assert_non_null(strstr(a, "--api-token=(secret)"));
    assert_int_equal(occurrences(b, "keyed:"), 4);
    assert_null(strstr(b, "(secret)"));
    assert_int_equal(occurrences(a, "plain"), 2);
    assert_null(strstr(a, "stringData")); /* the API server writes it into data */
    assert_false(without.keyed);
    assert_true(with.keyed);
    free(a);
    free(b);
    ref_free(&without);
    ref_free(&with);
}

/* What was reduced before is not reduced again: a reference without key meets every value, one with the key
 * those that it was made of, and neither changes when it is read again. */
static void what_was_reduced_stays(void **state) {
    (void)state;
    const struct norm_key *const keys[] = {NULL, &key};
    for (size_t i = 0; i < 2; i++) {
        struct reference first = load(HEAD SET SECRETS, keys[i]);
        char *text = json_dumps(first.doc, 0);
        struct reference again = load(text, &key);
        json_t *now = json_object_get(again.doc, "manifests");
        assert_true(json_equal(json_object_get(first.doc, "manifests"), now));
        ref_free(&again);
        free(text);
        ref_free(&first);
    }
}

/* The verdict of a stage that was made with this text and key, against a reference with (or without) the key.
 */
static const char *verdict_of(const char *stage, const struct norm_key *stage_key, const char *id,
                              const struct norm_key *ref_key) {
    static char verdict[20];
    struct reference r = load(HEAD SET SECRETS, ref_key);
    struct ref_side side;
    json_t *docs;
    struct err e;
    assert_int_equal(ref_side_of_manifests("s", stage, strlen(stage), stage_key, &side, &docs, &e), 0);
    side.key_id = id;
    json_t *result = evaluate(&r, &side, "a/b", "2026-11-23T00:00:00Z");
    (void)snprintf(verdict, sizeof verdict, "%s", js_str(result, "verdict", ""));
    json_decref(result);
    ref_side_free(&side);
    json_decref(docs);
    ref_free(&r);
    return verdict;
}

/* Titles that are too long together are cut, between characters or not. */
static void long_titles_merge(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        char title[402] = "xx", text[1024];
        for (size_t n = extra; n + 2 < sizeof title; n += 2)
            memcpy(title + n, "\xc3\xa9", 3);
        (void)snprintf(
            text, sizeof text, "schema: pilotgate.reference/1\nid: t\ntitle: %s\n%s", title,
            "expectations:\n- {id: a, severity: info, why: w, source: s, all_of: [{kind: Job}]}\n");
        struct reference a = load(text, NULL);
        memcpy(strstr(text, "\nid: t") + 5, "u", 1);
        struct reference b = load(text, NULL), whole;
        const struct reference *const list[] = {&a, &b};
        struct err e;
        if (ref_merge(list, 2, NULL, &whole, &e) < 0)
            fail_msg("%s", e.text);
        ref_free(&whole);
        ref_free(&a);
        ref_free(&b);
    }
}

static void secrets_compare_with_the_key_only(void **state) {
    (void)state;
    static const char same[] =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\ndata: {a: aHVudGVyMg==, b: aHVudGVyMg==}\n---\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {containers: "
        "[{name: c,\n"
        "  image: x, args: ['--api-token=hunter2', plain],\n"
        "  env: [{name: DB_PASSWORD, value: hunter2}, {name: MODE, value: plain}]}]}}}\n";
    char changed[sizeof same];
    memcpy(changed, same, sizeof same);
    memcpy(strstr(changed, "hunter2"), "hunter3", 7);
    char id[NORM_KEY_ID_MAX];
    assert_string_equal(verdict_of(same, &key, NULL, &key), "PASS");
    assert_string_equal(verdict_of(changed, &key, NULL, &key), "FAIL");
    assert_string_equal(verdict_of(changed, &key, norm_key_id(&key, id), &key), "FAIL");
    assert_string_equal(verdict_of(same, &other, NULL, &key), "FAIL"); /* another pilot's */
    assert_string_equal(verdict_of(changed, &key, NULL, NULL), "PASS");
    /* where agents say that their key is another one, or say none, unlike hashes say nothing */
    assert_string_equal(verdict_of(same, &other, norm_key_id(&other, id), &key), "INCONCLUSIVE");
    assert_string_equal(verdict_of(same, &other, "", &key), "INCONCLUSIVE");
    assert_string_equal(verdict_of(same, &other, norm_key_id(&other, id), NULL), "PASS");
}

static void known_defaults_are_hashed(void **state) {
    (void)state;
    static const char text[] = HEAD "expectations:\n- {id: a, severity: required, why: w, source: s, "
                                    "check: default-secrets, with: {known: [dev]}}\n";
    struct reference with = load(text, &key);
    struct reference without = load(text, NULL);
    const json_t *a = json_array_get(json_object_get(with.doc, "expectations"), 0);
    const json_t *b = json_array_get(json_object_get(without.doc, "expectations"), 0);
    assert_non_null(js_at(a, "with.known_keyed"));
    assert_null(js_at(b, "with.known_keyed"));
    struct reference stored;
    struct err e;
    if (ref_from_document(with.doc, &stored, &e) < 0)
        fail_msg("%s", e.text);
    assert_true(stored.keyed);
    ref_free(&stored);
    ref_free(&with);
    ref_free(&without);
}

/* ---- files */

static void write_file(const char *dir, const char *name, const char *text) {
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

static void files_are_read_from_the_references_folder(void **state) {
    (void)state;
    char dir[] = "/tmp/pilotgate-reference-XXXXXX";
    char path[300];
    struct reference r;
    struct err e;
    assert_non_null(mkdtemp(dir));
    write_file(dir, "r.yaml", HEAD SET "  file: m.yaml\n");
    write_file(
        dir, "m.yaml",
        "# Source: x\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {on: yes}\n---\n"
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\n");
    (void)snprintf(path, sizeof path, "%s/r.yaml", dir);
    if (ref_load(path, NULL, &r, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(r.n_sets, 1);
    assert_int_equal(r.sets[0].n, 1); /* no hook */
    assert_string_equal(r.sets[0].objects[0].name, "a");
    assert_true(js_bool(r.sets[0].objects[0].normal, "spec.true", false)); /* as Helm reads it */
    struct reference again;
    assert_int_equal(ref_from_document(r.doc, &again, &e), 0);
    assert_string_equal(again.digest, r.digest);
    ref_free(&again);
    ref_free(&r);
    write_file(dir, "m.yaml", "a: b\n");
    assert_int_equal(ref_load(path, NULL, &r, &e), -EINVAL);
    assert_non_null(strstr(e.text, "m.yaml:1: not a Kubernetes object"));
    write_file(dir, "m.yaml", "# nothing\n");
    assert_int_equal(ref_load(path, NULL, &r, &e), -EINVAL);
    assert_non_null(strstr(e.text, "the set 'm' has no object"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ref_load(path, NULL, &r, &e), -ENOENT);
    (void)snprintf(path, sizeof path, "%s/m.yaml", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(ref_load("arcad", NULL, &r, &e), -ENOENT);
    assert_non_null(strstr(e.text, "did you mean 'arcade'?"));
}

static void builtins_load(void **state) {
    (void)state;
    for (const char *const *name = ref_builtin_names; *name; name++) {
        struct reference r;
        struct err e;
        struct reference stored;
        if (ref_load(*name, &key, &r, &e) < 0 || ref_from_document(r.doc, &stored, &e) < 0)
            fail_msg("%s", e.text);
        assert_string_equal(stored.digest, r.digest);
        ref_free(&stored);
        ref_free(&r);
    }
}

/* ---- tolerances */

static const char deployment[] =
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop-engine}\nspec: {replicas: 1}\n---\n"
    "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\n"
    "spec: {scaleTargetRef: {kind: Deployment, name: shop-engine}}\n";
#define TWO                                                                                             \
    HEAD "expectations:\n- {id: two, severity: required, why: w, source: s, for: {kind: Deployment},\n" \
         "   expect: [{at: /spec/replicas, at_least: 2}]}\n"

static void what_is_tolerated_passes(void **state) {
    (void)state;
    static const struct {
        const char *rule, *verdict, *note;
    } cases[] = {
        {"{expectation: two}", "PASS", ""},
        {"{expectation: 't*'}", "PASS", ""},
        {"{expectation: three}", "FAIL", ""},
        {"{object: Deployment/shop-engine}", "PASS", ""},
        {"{object: 'Deployment/{release}-engine'}", "PASS", ""},
        {"{object: StatefulSet/*}", "FAIL", ""},
        {"{object: '*', pointer: /spec}", "PASS", ""},
        {"{object: '*', pointer: /spec/replicas}", "PASS", ""},
        {"{object: '*', pointer: '/*/replicas'}", "PASS", ""},
        {"{object: '*', pointer: /spec/repl}", "FAIL", ""},
        {"{object: '*', pointer: /spec/replicas/x}", "FAIL", ""},
        {"{object: '*', stage: east/*}", "PASS", ""},
        {"{object: '*', stage: west/*}", "FAIL", ""},
        {"{object: '*', when: autoscaled}", "PASS", ""},
        {"{object: '*', when: hook}", "FAIL", ""},
        {"{object: '*', until: 2026-11-23}", "PASS", ""},
        {"{object: '*', until: 2026-11-22}", "FAIL", "the tolerance of ann (because) was over on 2026-11-22"},
        {"{object: '*', until: 2026-11-23T11:59:00Z}", "FAIL", "the tolerance of ann"},
    };
    struct ref_side side;
    json_t *docs;
    struct err e;
    assert_int_equal(ref_side_of_manifests("s", deployment, strlen(deployment), NULL, &side, &docs, &e), 0);
    side.release = "shop";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        (void)snprintf(text, sizeof text, "%stolerate: [%.*s, reason: because, owner: ann}]\n", TWO,
                       (int)strlen(cases[i].rule) - 1, cases[i].rule);
        struct reference r = load(text, NULL);
        json_t *result = evaluate(&r, &side, "east/shop", "2026-11-23T12:00:00Z");
        json_t *row = json_array_get(json_object_get(result, "rows"), 0);
        if (strcmp(js_str(row, "verdict", ""), cases[i].verdict) != 0 ||
            strncmp(js_str(row, "note", ""), cases[i].note, strlen(cases[i].note)) != 0)
            fail_msg("%s: %s, %s", cases[i].rule, js_str(row, "reason", ""), js_str(row, "note", ""));
        bool passed = strcmp(cases[i].verdict, "PASS") == 0;
        assert_int_equal(js_int(result, "match.required.tolerated", -1), passed);
        assert_int_equal(json_array_size(json_object_get(row, "tolerated")), passed);
        const json_t *difference = json_array_get(json_object_get(row, "differences"), 0);
        assert_string_equal(js_str(difference, "tolerated.owner", ""), passed ? "ann" : "");
        assert_string_equal(js_str(difference, "pointer", ""), "/spec/replicas");
        json_decref(result);
        ref_free(&r);
    }
    ref_side_free(&side);
    json_decref(docs);
}

/* ---- merging */

static void references_are_merged(void **state) {
    (void)state;
    struct reference a = load(TWO, NULL);
    struct reference b = load("schema: pilotgate.reference/1\nid: other\ntitle: Another\n" SET SECRETS, NULL);
    const struct reference *both[] = {&a, &b};
    json_t *tolerate = json_pack("[{s:s, s:s, s:s}]", "expectation", "two", "reason", "r", "owner", "o");
    struct reference all, one;
    struct err e;
    if (ref_merge(both, 2, tolerate, &all, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(js_str(all.doc, "id", ""), "t_other");
    assert_int_equal(json_array_size(json_object_get(all.doc, "expectations")), 1);
    assert_int_equal(json_array_size(json_object_get(all.doc, "parts")), 2);
    assert_int_equal(json_array_size(json_object_get(all.doc, "tolerate")), 1);
    assert_int_equal(all.n_sets, 1);
    assert_int_equal(all.sets[0].n, 2);
    ref_free(&all);
    assert_int_equal(ref_merge(both, 1, NULL, &one, &e), 0);
    assert_string_equal(one.digest, a.digest);
    ref_free(&one);
    const struct reference *twice[] = {&a, &a};
    assert_int_equal(ref_merge(twice, 2, NULL, &one, &e), -EINVAL);
    assert_non_null(strstr(e.text, "two references have the id 't'"));
    (void)json_object_del(json_array_get(tolerate, 0), "owner");
    assert_int_equal(ref_merge(both, 2, tolerate, &one, &e), -EINVAL);
    assert_non_null(strstr(e.text, "needs 'owner'"));
    json_decref(tolerate);
    ref_free(&a);
    ref_free(&b);
}

/* What two references call the same is two rows, and what one tolerates in its own is not let be in the
 * other's. */
static void rows_of_one_id_are_told_apart(void **state) {
    (void)state;
    static const char second[] = "schema: pilotgate.reference/1\nid: own\ntitle: Own\nexpectations:\n"
                                 "- {id: two, severity: info, why: w, source: s, all_of: [{kind: Service}]}\n"
                                 "tolerate: [{expectation: two, reason: r, owner: o}]\n";
    struct reference a = load(TWO, NULL);
    struct reference b = load(second, NULL);
    const struct reference *both[] = {&a, &b};
    struct reference all;
    struct err e = {""};
    if (ref_merge(both, 2, NULL, &all, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(js_str(all.doc, "/expectations/0/id", ""), "two");
    assert_string_equal(js_str(all.doc, "/expectations/1/id", ""), "own.two");
    assert_string_equal(js_str(all.doc, "/tolerate/0/expectation", ""), "own.two");
    assert_string_equal(js_str(b.doc, "/expectations/0/id", ""), "two"); /* as it was */
    ref_free(&all);
    ref_free(&a);
    ref_free(&b);
}

/* A stage is one namespace: of two objects of one name the one elsewhere is no part of it, nor an error. */
static void what_is_elsewhere_is_no_part_of_a_stage(void **state) {
    (void)state;
    static const struct {
        const char *first, *second; /* namespaces */
        const char *kept;           /* that of the object that stays; NULL: both */
    } cases[] = {
        {"prod", "kube-system", "prod"},
        {NULL, "kube-system", ""},
        {"kube-system", "prod", "prod"},
        {NULL, "prod", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600], first[60] = "";
        struct ref_side side;
        json_t *docs;
        struct err e;
        if (cases[i].first)
            (void)snprintf(first, sizeof first, ", namespace: %s", cases[i].first);
        (void)snprintf(text, sizeof text,
                       "{apiVersion: v1, kind: Service, metadata: {name: a%s}}\n---\n"
                       "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}}\n",
                       first, cases[i].kept ? "a" : "b", cases[i].second);
        if (ref_side_of_manifests("s", text, strlen(text), NULL, &side, &docs, &e) < 0)
            fail_msg("%s: %s", text, e.text);
        assert_int_equal(side.n, cases[i].kept ? 1 : 2);
        if (cases[i].kept)
            assert_string_equal(js_str(side.objects[0].normal, "metadata.namespace", ""), cases[i].kept);
        ref_side_free(&side);
        json_decref(docs);
    }
}

/* ---- a first reference */

/* What it makes of manifests is a reference, holds no secret, and is met by them. */
static void expect_made(const char *name, const char *text, json_t **ret, json_t **ret_left_out) {
    struct ref_init how = {.source = "a test"};
    struct err e;
    if (ref_make(name, text, strlen(text), &how, ret, ret_left_out, &e) < 0)
        fail_msg("%s", e.text);
    char *written = json_dumps(*ret, JSON_INDENT(1));
    struct reference r = load(written, NULL);
    struct ref_side side;
    json_t *docs;
    assert_int_equal(ref_side_of_manifests(name, text, strlen(text), &key, &side, &docs, &e), 0);
    json_t *result = evaluate(&r, &side, "a/b", "2026-11-23T00:00:00Z");
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(result, "rows"), i, row) {
        if (strcmp(js_str(row, "verdict", ""), "PASS") != 0)
            fail_msg("%s: %s: %s", name, js_str(row, "id", ""), js_str(row, "reason", ""));
    }
    assert_true(i > 0);
    json_decref(result);
    ref_side_free(&side);
    json_decref(docs);
    ref_free(&r);
    free(written);
}

static bool has_expectation(const json_t *doc, const char *id) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(doc, "expectations"), i, x) {
        if (strcmp(js_str(x, "id", ""), id) == 0)
            return true;
    }
    return false;
}

static void charts_meet_what_is_made_of_them(void **state) {
    (void)state;
    static const char *const charts[] = {"web", "stateful", "ingress", "batch", "operator"};
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++) {
        char path[300], *text;
        size_t len;
        json_t *doc, *left_out;
        (void)snprintf(path, sizeof path, TEST_SOURCE_DIR "/live/%s.yaml", charts[i]);
        assert_int_equal(conf_read_file(path, REF_FILE_MAX, &text, &len, NULL), 0);
        expect_made(charts[i], text, &doc, &left_out);
        json_decref(doc);
        json_decref(left_out);
        free(text);
    }
}

static void what_matters_is_chosen(void **state) {
    (void)state;
    static const char text[] =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop-a, namespace: prod, labels: "
        "{app.kubernetes.io/instance: shop, helm.sh/chart: shop-1.2.3}}\n"
        "spec: {replicas: 3, template: {metadata: {annotations: {checksum/config: abc}}, spec: {containers: "
        "[{name: c, "
        "image: x, readinessProbe: {tcpSocket: {port: 1}}}]}}}\n"
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop-b, namespace: prod}\n"
        "spec: {replicas: 1, template: {spec: {containers: [{name: c, image: x}]}}}\n"
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: k, namespace: prod}\nstringData: {p: hunter2}\n"
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n"
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: kube-system}\n"
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test-success}}\n"
        "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\n"
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: np}\nspec: {ports: [{port: 1, nodePort: "
        "30000}]}\n";
    json_t *doc, *left_out;
    struct ref_init how = {0};
    struct err e;
    if (ref_make("m", text, strlen(text), &how, &doc, &left_out, &e) < 0)
        fail_msg("%s", e.text);
    const json_t *set = json_array_get(json_object_get(doc, "manifests"), 0);
    assert_string_equal(js_str(doc, "id", ""), "shop");
    assert_string_equal(js_str(set, "release", ""), "shop");
    assert_string_equal(js_str(set, "namespace", ""), "prod");
    assert_int_equal(json_array_size(json_object_get(set, "objects")), 4);
    char *all = js_canonical(doc);
    assert_null(strstr(all, "hunter2"));
    assert_null(strstr(all, "30000"));
    assert_non_null(strstr(all, "/spec/template/metadata/annotations/checksum~1config"));
    free(all);
    char *left = js_canonical(left_out);
    assert_string_equal(
        left, "[{\"object\":\"ClusterRole/r\",\"reason\":\"of the whole cluster: agents see their "
              "namespace\"},{\"object\":\"Service/s\",\"reason\":\"of another namespace, kube-system\"},"
              "{\"object\":\"Pod/t\",\"reason\":\"a test of the chart\"},{\"object\":"
              "\"CustomResourceDefinition/x\",\"reason\":\"a definition of the whole cluster: agents see "
              "their namespace\"}]");
    free(left);
    /* Only of those that have it. */
    const json_t *replicas = json_array_get(json_object_get(doc, "expectations"), 0);
    char *for_a = js_canonical(json_object_get(replicas, "for"));
    assert_string_equal(for_a, "[{\"kind\":\"Deployment\",\"name\":[\"{release}-a\"]}]");
    free(for_a);
    assert_true(has_expectation(doc, "readiness"));
    assert_false(has_expectation(doc, "liveness"));
    assert_false(has_expectation(doc, "requests"));
    json_decref(doc);
    json_decref(left_out);
    assert_int_equal(ref_make("m", "# none\n", 7, &how, &doc, &left_out, &e), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_secret_stays),
        cmocka_unit_test(no_secret_stays_inside_of_others),
        cmocka_unit_test(what_was_reduced_stays),
        cmocka_unit_test(secrets_compare_with_the_key_only),
        cmocka_unit_test(long_titles_merge),
        cmocka_unit_test(known_defaults_are_hashed),
        cmocka_unit_test(files_are_read_from_the_references_folder),
        cmocka_unit_test(builtins_load),
        cmocka_unit_test(what_is_tolerated_passes),
        cmocka_unit_test(references_are_merged),
        cmocka_unit_test(rows_of_one_id_are_told_apart),
        cmocka_unit_test(what_is_elsewhere_is_no_part_of_a_stage),
        cmocka_unit_test(charts_meet_what_is_made_of_them),
        cmocka_unit_test(what_matters_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
