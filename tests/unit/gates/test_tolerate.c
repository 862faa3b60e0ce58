/* The rubric's list of what may differ: what it matches, and which entries are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "rubric/rubric.h"

static struct rubric rubric;

static int load(void **state) {
    (void)state;
    struct err e;
    json_t *own =
        json_loads("{\"longest_call\":\"15s\",\"tolerate\":[{\"kind\":\"Deployment\",\"name\":\"web-*\","
                   "\"pointer\":\"/metadata/labels/team\",\"reason\":\"ours\"},"
                   "{\"kind\":\"PersistentVolumeClaim\",\"when\":\"kept\",\"reason\":\"data\"}]}",
                   0, NULL);
    int r = rubric_load(own, &rubric, &e);
    json_decref(own);
    return r;
}

static int unload(void **state) {
    (void)state;
    rubric_free(&rubric);
    return 0;
}

static const char *why(const char *kind, const char *name, const char *pointer, unsigned traits) {
    int unused;
    return rubric_tolerates(&rubric, &(struct rubric_place){kind, name, pointer, traits}, &unused);
}

static void entries_match_by_place_and_trait(void **state) {
    (void)state;
    assert_null(why("Deployment", "a", "/spec/replicas", 0));
    assert_non_null(why("Deployment", "a", "/spec/replicas", RUBRIC_AUTOSCALED));
    assert_null(why("Deployment", "a", "/spec/replicasX", RUBRIC_AUTOSCALED));
    assert_null(why("Deployment", "a", NULL, RUBRIC_AUTOSCALED)); /* that it is gone is another thing */
    assert_non_null(why("Job", "a", NULL, 0));
    assert_non_null(why("Job", "a", "/spec/anything", 0));
    assert_null(why("CronJob", "a", NULL, 0));
    assert_null(
        why("ConfigMap", "a", NULL, RUBRIC_KEPT)); /* what Helm was told to keep is left over all the same */
    assert_non_null(why("ConfigMap", "a", NULL, RUBRIC_HOOK));
    assert_string_equal(why("PersistentVolumeClaim", "a", NULL, RUBRIC_KEPT), "data");
    assert_null(why("ConfigMap", "a", "/data/x", 0));
    assert_null(why("Secret", "a", "/data/x", 0));
    assert_non_null(why("Secret", "a", "/data/x", RUBRIC_REGENERATED));
    assert_null(why("Secret", "a", "/type", RUBRIC_REGENERATED));
    const char *checksum = "/spec/template/metadata/annotations/checksum~1secret";
    assert_non_null(why("StatefulSet", "a", checksum, RUBRIC_REGENERATED));
    assert_null(why("StatefulSet", "a", checksum, 0));
}

static void a_pilot_adds_its_own(void **state) {
    (void)state;
    assert_string_equal(why("Deployment", "web-1", "/metadata/labels/team", 0), "ours");
    assert_string_equal(why("Deployment", "web-1", "/metadata/labels/team/x", 0), "ours");
    assert_null(why("Deployment", "db", "/metadata/labels/team", 0));
    struct rubric plain;
    struct err e;
    assert_int_equal(rubric_load(NULL, &plain, &e), 0);
    assert_string_not_equal(plain.digest, rubric.digest); /* whatever is in force is part of the digest */
    rubric_free(&plain);
}

static void refused(const char *text, const char *reason) {
    struct rubric r;
    struct err e;
    json_t *own = json_loads(text, 0, NULL);
    assert_non_null(own);
    assert_true(rubric_load(own, &r, &e) < 0);
    if (!strstr(e.text, reason))
        fail_msg("wanted %s, got %s", reason, e.text);
    json_decref(own);
}

static void entries_that_cannot_be_meant_are_refused(void **state) {
    (void)state;
    refused("{\"tolerate\":{}}", "must be a list");
    refused("{\"tolerate\":[{\"kind\":\"Job\"}]}", "a reason");
    refused("{\"tolerate\":[{\"reason\":\"x\"}]}", "a kind");
    refused("{\"tolerate\":[{\"kind\":\"Job\",\"reason\":\"x\",\"when\":\"rainy\"}]}", "no 'rainy'");
    refused("{\"tolerate\":[{\"kind\":\"Job\",\"reason\":\"x\",\"pointer\":\"spec\"}]}", "begins with '/'");
    refused("{\"tolerate\":[7]}", "a kind");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_match_by_place_and_trait),
        cmocka_unit_test(a_pilot_adds_its_own),
        cmocka_unit_test(entries_that_cannot_be_meant_are_refused),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
