/* The checks on a large stage: a thousand each of workloads, budgets, policies, autoscalers and Services,
 * whose labels have one pair in common, as charts write them. Asking each about each takes seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "reference/checks.h"

#define EACH 1000
#define CPU_MAX 2.0 /* seconds; it takes 0.05, and a quadratic one 5 */

static double cpu(void) {
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add(struct ref_side *s, json_t *keep, const char *kind, json_t *normal) {
    assert_non_null(normal);
    assert_int_equal(json_array_append_new(keep, normal), 0);
    const char *name = json_string_value(json_object_get(json_object_get(normal, "metadata"), "name"));
    const struct ref_object o = {.kind = kind, .name = name, .normal = normal, .release = "shop"};
    assert_int_equal(ref_side_add(s, &o), 0);
}

static void add_one(struct ref_side *s, json_t *keep, int i) {
    char n[32];
    (void)snprintf(n, sizeof n, "w%d", i);
    add(s, keep, "Deployment",
        json_pack("{s:{s:s}, s:{s:i, s:{s:{s:{s:s, s:s}}, s:{s:[{s:s, s:s}]}}}}", "metadata", "name", n,
                  "spec", "replicas", 2, "template", "metadata", "labels", "of", "shop", "app", n, "spec",
                  "containers", "name", "c", "image", "acme/x:1"));
    add(s, keep, "PodDisruptionBudget",
        json_pack("{s:{s:s}, s:{s:i, s:{s:{s:s, s:s}}}}", "metadata", "name", n, "spec", "minAvailable", 1,
                  "selector", "matchLabels", "of", "shop", "app", n));
    add(s, keep, "NetworkPolicy",
        json_pack("{s:{s:s}, s:{s:{s:{s:s, s:s}}}}", "metadata", "name", n, "spec", "podSelector",
                  "matchLabels", "of", "shop", "app", n));
    add(s, keep, "HorizontalPodAutoscaler",
        json_pack("{s:{s:s}, s:{s:i, s:{s:s, s:s}}}", "metadata", "name", n, "spec", "minReplicas", 3,
                  "scaleTargetRef", "kind", "Deployment", "name", n));
    add(s, keep, "Service",
        json_pack("{s:{s:s}, s:{s:{s:s}, s:[{s:i}]}}", "metadata", "name", n, "spec", "selector", "app", n,
                  "ports", "port", 80));
}

static void test_many(void **state) {
    (void)state;
    static const char *const met[] = {"replicas", "disruption-budgets", "network-policies", "external-stores",
                                      NULL};
    static const struct reference r;
    struct ref_side s = {.release = "shop", .namespace_name = "shop", .chart = "shop", .live = true};
    json_t *keep = json_array();
    for (int i = 0; i < EACH; i++)
        add_one(&s, keep, i);
    assert_int_equal(ref_side_finish(&s), 0);
    const struct ref_scope scope = {.r = &r, .live = &s};
    double begin = cpu();
    for (const char *const *m = met; *m; m++) {
        struct ref_outcome out = {0};
        json_t *e = json_pack("{s:s}", "check", *m);
        assert_int_equal(ref_check(&scope, e, &out), 0);
        assert_int_equal(out.objects, EACH);
        assert_false(out.unknown);
        assert_int_equal(out.differences.n, 0);
        ref_outcome_free(&out);
        json_decref(e);
    }
    assert_true(cpu() - begin < CPU_MAX);
    ref_side_free(&s);
    json_decref(keep);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
