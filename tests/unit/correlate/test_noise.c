/* What is a change of the configuration, and what only looks like one: the rubric's rules, one by one; and
 * what a person marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/norm.h"
#include "gates/gates.h"
#include "told.h"

#define TLS "\"type\":\"kubernetes.io/tls\",\"data\":{\"tls.crt\":\"keyed:"
#define ISSUED "\"metadata\":{\"annotations\":{\"cert-manager.io/certificate-name\":\"gw\"}}"

/* One object in two states; NULL: it is not there. A change, or why it is none. */
static const struct {
    const char *what, *kind, *name, *before, *after, *noise;
} cases[] = {
    {"a ConfigMap", "ConfigMap", "gateway", "{\"data\":{\"a\":\"1\"}}", "{\"data\":{\"a\":\"2\"}}", NULL},
    {"the cluster's CA", "ConfigMap", "kube-root-ca.crt", "{\"data\":{\"a\":\"1\"}}",
     "{\"data\":{\"a\":\"2\"}}", "CA bundle"},
    {"a lock of leader election that comes", "ConfigMap", "gateway-leader", NULL,
     "{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"gateway-leader\",\"annotations\":{\"control-plane."
     "alpha."
     "kubernetes.io/leader\":\"{}\"}}}",
     "leader election"},
    {"a lock that becomes configuration", "ConfigMap", "gateway-leader", "{\"metadata\":{\"name\":\"x\"}}",
     "{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"1\"}}", NULL},
    {"a ConfigMap of a release that is emptied", "ConfigMap", "gateway", "{\"data\":{\"a\":\"1\"}}",
     "{\"metadata\":{\"name\":\"gateway\"}}", NULL},
    {"a Lease", "Lease", "gateway", "{\"spec\":{\"holderIdentity\":\"a\"}}",
     "{\"spec\":{\"holderIdentity\":\"b\"}}", "lock"},
    {"Endpoints", "Endpoints", "gateway", "{\"subsets\":[]}", "{\"subsets\":[1]}", "addresses"},
    {"a Service that loses its last address", "Endpoints", "gateway", "{\"ready\":true}", "{\"ready\":false}",
     "addresses"},
    {"a Service that comes", "Endpoints", "gateway", NULL, "{\"ready\":false}", "addresses"},
    {"a Pod", "Pod", "gateway-1", NULL, "{\"spec\":{}}", "workload"},
    {"a run of a CronJob", "Job", "clean-2", NULL,
     "{\"metadata\":{\"ownerReferences\":[{\"kind\":\"CronJob\",\"name\":\"clean\"}]}}", "CronJob"},
    {"a Job", "Job", "migrate", NULL, "{\"metadata\":{\"name\":\"migrate\"}}", NULL},
    {"a claim of a StatefulSet's pod", "PersistentVolumeClaim", "data-gateway-2", NULL, "{\"spec\":{}}",
     "StatefulSet"},
    {"a claim of a release", "PersistentVolumeClaim", "data-0", NULL,
     "{\"metadata\":{\"annotations\":{\"meta.helm.sh/release-name\":\"shop\"}}}", NULL},
    {"a service account's token", "Secret", "x-token-abc", NULL,
     "{\"type\":\"kubernetes.io/service-account-token\",\"data\":{\"token\":\"keyed:1\"}}", "token"},
    {"an opaque Secret", "Secret", "x", "{\"type\":\"Opaque\",\"data\":{\"a\":\"keyed:1\"}}",
     "{\"type\":\"Opaque\",\"data\":{\"a\":\"keyed:2\"}}", NULL},
    {"a renewed certificate", "Secret", "gw-tls", "{" TLS "1\"}," ISSUED "}", "{" TLS "2\"}," ISSUED "}",
     "cert-manager"},
    {"a certificate that a person put there", "Secret", "gw-tls", "{" TLS "1\"}}", "{" TLS "2\"}}", NULL},
    {"a certificate that is cert-manager's from now on", "Secret", "gw-tls", "{" TLS "1\"}}",
     "{" TLS "2\"}," ISSUED "}", NULL},
    {"cert-manager's next key", "Secret", "gw-x7", NULL,
     "{\"metadata\":{\"labels\":{\"cert-manager.io/next-private-key\":\"true\"}},\"type\":\"Opaque\"}",
     "renews"},
    {"replicas that a person set", "Deployment", "free", "{\"spec\":{\"replicas\":1}}",
     "{\"spec\":{\"replicas\":2}}", NULL},
    {"replicas that an autoscaler set", "Deployment", "scaled", "{\"spec\":{\"replicas\":1}}",
     "{\"spec\":{\"replicas\":2}}", "autoscaler"},
    {"replicas to zero, which no autoscaler sets", "Deployment", "scaled", "{\"spec\":{\"replicas\":1}}",
     "{\"spec\":{\"replicas\":0}}", NULL},
    {"replicas from zero, which it leaves alone", "Deployment", "scaled", "{\"spec\":{\"replicas\":0}}",
     "{\"spec\":{\"replicas\":2}}", NULL},
    {"replicas that one to zero set", "Deployment", "idle", "{\"spec\":{\"replicas\":1}}",
     "{\"spec\":{\"replicas\":0}}", "autoscaler"},
    {"replicas that KEDA set", "Deployment", "keda", "{\"spec\":{\"replicas\":0}}",
     "{\"spec\":{\"replicas\":1}}", "autoscaler"},
    {"replicas and an image", "Deployment", "scaled",
     "{\"spec\":{\"replicas\":1,\"template\":{\"image\":\"a\"}}}",
     "{\"spec\":{\"replicas\":2,\"template\":{\"image\":\"b\"}}}", NULL},
    {"replicas and the order of what runs first", "Deployment", "scaled",
     "{\"spec\":{\"replicas\":1,\"initContainers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
     "{\"spec\":{\"replicas\":2,\"initContainers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}", NULL},
    {"nothing but the order", "Deployment", "scaled",
     "{\"spec\":{\"replicas\":1,\"env\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
     "{\"spec\":{\"replicas\":1,\"env\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}", NULL},
    {"a reconciliation that is paused", "HelmRelease.helm.toolkit.fluxcd.io", "gw",
     "{\"spec\":{\"chart\":1}}", "{\"spec\":{\"chart\":1,\"suspend\":true}}", "paused"},
    {"a HelmRelease of Flux", "HelmRelease.helm.toolkit.fluxcd.io", "gw", "{\"spec\":{\"chart\":1}}",
     "{\"spec\":{\"chart\":2}}", NULL},
    {"what could not be kept whole is a change", "Deployment", "scaled", "{\"spec\":{\"replicas\":1}}",
     "{\"spec\":{\"repl", NULL},
    {"a Service that goes", "Service", "gw", "{\"spec\":{}}", NULL, NULL},
    {"a Lease that goes", "Lease", "gw", "{\"spec\":{}}", NULL, "lock"},
};

static void autoscale(struct scenario *s, size_t agent) {
    static const struct {
        const char *name, *normal;
    } scalers[] = {
        {"h", "{\"spec\":{\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"scaled\"}}}"},
        {"i",
         "{\"spec\":{\"minReplicas\":0,\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"idle\"}}}"},
        {"k", "{\"metadata\":{\"ownerReferences\":[{\"kind\":\"ScaledObject\",\"name\":\"k\"}]},"
              "\"spec\":{\"minReplicas\":1,\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"keda\"}}}"},
    };
    for (size_t i = 0; i < sizeof scalers / sizeof *scalers; i++)
        told_add(s, &(struct tell){.agent = agent,
                                   .op = LISTED,
                                   .t = 5,
                                   .kind = "HorizontalPodAutoscaler",
                                   .name = scalers[i].name,
                                   .uid = scalers[i].name,
                                   .version = "2",
                                   .digest = scalers[i].name,
                                   .normal = scalers[i].normal});
}

/* As an agent tells it; what is no JSON as it is. malloc'ed. */
static char *normal_of(const char *object, const char *kind) {
    static const struct norm_key key = {.bytes = {1}};
    json_t *doc = json_loads(object, 0, NULL);
    json_t *normal = doc ? norm_object(&key, doc, kind) : NULL;
    char *text = normal ? js_canonical(normal) : strdup(object);
    json_decref(doc);
    json_decref(normal);
    assert_non_null(text);
    return text;
}

static void tell(struct scenario *s, size_t agent, size_t i, double t, const char *object,
                 const char *version) {
    bool first = t < 15;
    struct tell x = {.agent = agent,
                     .t = t,
                     .kind = cases[i].kind,
                     .name = cases[i].name,
                     .uid = "u",
                     .version = version,
                     .digest = version};
    if (!object && first)
        return;
    char *normal = object ? normal_of(object, cases[i].kind) : NULL;
    x.normal = normal;
    x.op = !object ? DELETED : first ? LISTED : cases[i].before ? MODIFIED : ADDED;
    told_add(s, &x);
    free(normal);
}

static void each_rule(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scenario s;
        scenario_begin(&s, "{}");
        size_t a = scenario_agent(&s, "n1");
        scenario_clock(&s, a, 1, 0, 0.001);
        autoscale(&s, a);
        tell(&s, a, i, 10, cases[i].before, "5");
        tell(&s, a, i, 20, cases[i].after, "6");
        const struct facts *f = told_facts(&s);
        const char *noise = f->n_noise ? f->noise[0].reason : "";
        if (f->n_signs != (cases[i].noise ? 0 : 1) || f->n_noise != (cases[i].noise ? 1 : 0) ||
            (cases[i].noise && !strstr(noise, cases[i].noise)))
            fail_msg("%s: %zu signs, noise: %s", cases[i].what, f->n_signs, noise);
        scenario_end(&s);
    }
}

/* What is counted is shown, once an object; what follows is compared with the newest state. */
static void noise_is_counted(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    for (int i = 0; i < 9; i++) {
        char version[8];
        (void)snprintf(version, sizeof version, "%d", i + 5);
        told_add(&s, &(struct tell){.agent = a,
                                    .op = i ? MODIFIED : LISTED,
                                    .t = 10 + i,
                                    .kind = "Lease",
                                    .name = "l",
                                    .uid = "u",
                                    .version = version,
                                    .digest = version});
    }
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_noise, 1);
    assert_int_equal(f->noise[0].n, 8);
    assert_int_equal(f->noise[0].last_hi / 1000000000, told_ns(18) / 1000000000);
    scenario_end(&s);
}

/* ---- a pilot's own rules */

static void a_pilot_adds_rules(void **state) {
    (void)state;
    struct scenario s;
    scenario_begin(
        &s, "{\"ignore_objects\":[{\"kind\":\"ConfigMap\",\"name\":\"cache-*\",\"reason\":\"a cache\"}]}");
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    static const char *const names[] = {"cache-1", "kube-root-ca.crt", "gateway"};
    for (size_t i = 0; i < 3; i++) {
        told_add(&s, &(struct tell){.agent = a,
                                    .op = LISTED,
                                    .t = 10,
                                    .kind = "ConfigMap",
                                    .name = names[i],
                                    .uid = names[i],
                                    .version = "5",
                                    .digest = "a"});
        told_add(&s, &(struct tell){.agent = a,
                                    .op = MODIFIED,
                                    .t = 20,
                                    .kind = "ConfigMap",
                                    .name = names[i],
                                    .uid = names[i],
                                    .version = "6",
                                    .digest = "b"});
    }
    assert_string_equal(told_signs(told_facts(&s)), "ConfigMap/gateway a>b");
    scenario_end(&s);
}

static void a_wrong_rule_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *rule, *error;
    } wrong[] = {
        {"{}", "needs a kind and a reason"},
        {"{\"kind\":\"A\"}", "needs a kind and a reason"},
        {"{\"kind\":\"A\",\"reason\":\"\"}", "reason must be a text"},
        {"{\"kind\":\"A\",\"reason\":\"r\",\"nmae\":\"x\"}", "unknown part 'nmae'"},
        {"{\"kind\":\"A\",\"reason\":\"r\",\"only\":\"/a\"}", "only must be a list of JSON Pointers"},
        {"{\"kind\":\"A\",\"reason\":\"r\",\"only\":[\"a\"]}", "only must be a list of JSON Pointers"},
        {"{\"kind\":\"A\",\"reason\":\"r\",\"where\":{\"/a\":1}}", "where must be a mapping"},
        {"{\"kind\":\"A\",\"reason\":\"r\",\"where\":{\"a\":\"b\"}}", "where must be a mapping"},
        {"{\"kind\":\"A\",\"reason\":\"r\",\"autoscaled\":1}", "autoscaled must be true or false"},
        {"1", "needs a kind and a reason"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct rubric r;
        struct err e = {""};
        json_t *rules =
            json_pack("{s:[o]}", "ignore_objects", json_loads(wrong[i].rule, JSON_DECODE_ANY, NULL));
        assert_true(rubric_load(rules, &r, &e) < 0);
        if (!strstr(e.text, wrong[i].error))
            fail_msg("%s: %s", wrong[i].rule, e.text);
        json_decref(rules);
    }
}

/* ---- marks */

static void mark(struct scenario *s, const char *stage, const char *what, double t) {
    assert_int_equal(
        json_array_append_new(s->c.ev.marks,
                              json_pack("{s:s, s:s, s:s, s:s, s:I}", "stage", stage, "what", what, "by",
                                        "Ann", "note", "dashboard", "t_ns", (json_int_t)told_ns(t))),
        0);
}

/* A mark is a sign as any other: alone it is a change, and beside others one way in which a change shows. */
static void a_mark_is_a_sign(void **state) {
    (void)state;
    struct scenario s;
    json_t *list;
    struct err e;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    mark(&s, "east/shop", "change", 100);
    mark(&s, "east/shop", "t0", 300);
    mark(&s, "west/shop", "change", 310);
    mark(&s, "east/shop", "change", 1001);
    told_add(&s, &(struct tell){.agent = a,
                                .op = LISTED,
                                .t = 10,
                                .kind = "ConfigMap",
                                .name = "c",
                                .uid = "u",
                                .version = "5",
                                .digest = "a"});
    told_add(&s, &(struct tell){.agent = a,
                                .op = MODIFIED,
                                .t = 1000,
                                .previous = 999,
                                .kind = "ConfigMap",
                                .name = "c",
                                .uid = "u",
                                .version = "6",
                                .digest = "b"});
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_changes, 2);
    assert_int_equal(f->changes[0].n_signs, 1);
    assert_int_equal(f->changes[0].begin_lo, told_ns(100));
    assert_int_equal(f->changes[1].n_signs, 2);
    s.c.at_ns = told_ns(3000);
    assert_int_equal(facts_exposure(&s.c.stages[0], &s.c.rubric, s.c.at_ns, &e), 0);
    assert_int_equal(gates_changes(&s.c, NULL, &list, &e), 0);
    assert_int_equal(gates_details(&s.c, list, NULL, &e), 0);
    const json_t *sign = json_array_get(json_object_get(json_array_get(list, 0), "signs"), 0);
    assert_string_equal(js_str(sign, "kind", ""), "Mark");
    assert_string_equal(js_str(sign, "what", ""), "marked");
    assert_string_equal(js_str(sign, "by", ""), "Ann");
    assert_string_equal(js_str(sign, "note", ""), "dashboard");
    json_decref(list);
    scenario_end(&s);
}

/* What asked for a revision is of its change, whose window begins with the revision, or with what a person
 * marked; what came long before is not. */
static void what_asked_for_a_revision(void **state) {
    (void)state;
    static const struct {
        double asked;
        size_t changes;
    } when[] = {{980, 1}, {800, 2}};
    for (size_t i = 0; i < 4; i++) {
        struct scenario s;
        static const char flux[] = "HelmRelease.helm.toolkit.fluxcd.io";
        double t = when[i % 2].asked;
        scenario_begin(&s, "{}");
        size_t a = scenario_agent(&s, "n1");
        scenario_clock(&s, a, 1, 0, 0.001);
        told_add(&s, &(struct tell){.agent = a,
                                    .op = LISTED,
                                    .t = 10,
                                    .kind = flux,
                                    .name = "c",
                                    .uid = "u",
                                    .version = "5",
                                    .digest = "a"});
        if (i < 2)
            told_add(&s, &(struct tell){.agent = a,
                                        .op = MODIFIED,
                                        .t = t,
                                        .previous = t - 1,
                                        .kind = flux,
                                        .name = "c",
                                        .uid = "u",
                                        .version = "6",
                                        .digest = "b"});
        else
            mark(&s, "east/shop", "change", t);
        told_add(&s, &(struct tell){.agent = a,
                                    .op = ADDED,
                                    .t = 1000.5,
                                    .kind = "HelmRelease",
                                    .name = "shop.v2",
                                    .uid = "r",
                                    .version = "7",
                                    .digest = "r",
                                    .created = 1000,
                                    .normal = "{\"name\":\"shop\",\"revision\":2}"});
        const struct facts *f = told_facts(&s);
        assert_int_equal(f->n_changes, when[i % 2].changes);
        const struct fact_change *last = &f->changes[f->n_changes - 1];
        assert_string_equal(last->id, "shop.v2");
        assert_int_equal(last->begin_lo, told_ns(i == 2 ? t : 1000));
        scenario_end(&s);
    }
}

/* Two revisions that Flux makes within the merge gap: the second wish is of the second change, and leaves the
 * window of the first as it was. */
static void a_wish_in_a_change_is_of_the_next(void **state) {
    (void)state;
    struct scenario s;
    static const char flux[] = "HelmRelease.helm.toolkit.fluxcd.io";
    static const char *const releases[] = {"{\"name\":\"shop\",\"revision\":2}",
                                           "{\"name\":\"shop\",\"revision\":3}"};
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    scenario_clock(&s, a, 1, 0, 0.001);
    told_add(&s, &(struct tell){.agent = a,
                                .op = LISTED,
                                .t = 10,
                                .kind = flux,
                                .name = "c",
                                .uid = "u",
                                .version = "5",
                                .digest = "a"});
    for (int i = 0; i < 2; i++) {
        double t = 1000 + 90 * i;
        const char *version = i ? "9" : "6";
        told_add(&s, &(struct tell){.agent = a,
                                    .op = MODIFIED,
                                    .t = t,
                                    .previous = t - 1,
                                    .kind = flux,
                                    .name = "c",
                                    .uid = "u",
                                    .version = version,
                                    .digest = version});
        told_add(&s, &(struct tell){.agent = a,
                                    .op = ADDED,
                                    .t = t + 5.5,
                                    .kind = "HelmRelease",
                                    .name = i ? "shop.v3" : "shop.v2",
                                    .uid = i ? "r3" : "r2",
                                    .version = version,
                                    .digest = version,
                                    .created = t + 5,
                                    .normal = releases[i]});
    }
    const struct facts *f = told_facts(&s);
    assert_int_equal(f->n_changes, 2);
    assert_int_equal(f->changes[0].n_signs, 2);
    assert_true(f->changes[0].last_hi < told_ns(1010));
    assert_string_equal(f->changes[1].id, "shop.v3");
    assert_int_equal(f->changes[1].n_signs, 2);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule),
        cmocka_unit_test(noise_is_counted),
        cmocka_unit_test(a_pilot_adds_rules),
        cmocka_unit_test(a_wrong_rule_is_refused),
        cmocka_unit_test(a_mark_is_a_sign),
        cmocka_unit_test(what_asked_for_a_revision),
        cmocka_unit_test(a_wish_in_a_change_is_of_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
