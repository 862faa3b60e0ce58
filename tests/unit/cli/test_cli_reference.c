/* test_cli_reference: a reference made of rendered manifests, checked, compared offline and explained. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "cli_fixture.h"

static struct run r; /* large */

static const char manifests[] =
    "# Source: shop/templates/a.yaml\napiVersion: apps/v1\nkind: Deployment\n"
    "metadata: {name: shop-a, namespace: prod, labels: {app.kubernetes.io/instance: shop}}\n"
    "spec: {replicas: 2, template: {spec: {containers: [{name: c, image: 'x:1', env: [{name: TOKEN, value: "
    "hunter2}]}]}}}\n"
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData: {p: hunter2}\n"
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n";

static void test_made_checked_and_compared(void **state) {
    write_text(*state, "m.yaml", manifests);
    run_cli(&r, *state, "reference init --from m.yaml --out r.yaml");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "a test of the chart"));
    run_cli(&r, *state, "reference init --from m.yaml --out r.yaml");
    said_error(&r, "r.yaml exists: move it away");
    run_cli(&r, *state,
            "--version >/dev/null; { cat m.yaml | " PILOTGATE_BIN
            " reference init --from - | cmp - r.yaml; }");
    assert_int_equal(r.status, 0); /* the same from standard input */
    run_cli(&r, *state, "reference show r.yaml -o yaml");
    assert_null(strstr(r.out, "hunter2"));
    assert_non_null(strstr(r.out, "(secret)"));

    run_cli(&r, *state, "reference check r.yaml");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "2 objects, 1 expectations"));
    run_cli(&r, *state, "reference check r.yaml -o json");
    json_t *valid = said(&r, 0);
    assert_int_equal(js_int(valid, "objects", 0), 2);
    json_decref(valid);
    run_cli(&r, *state, "reference check r.yaml --against m.yaml");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "PASS"));

    run_cli(&r, *state,
            "--version >/dev/null; { cat m.yaml | " PILOTGATE_BIN
            " reference check r.yaml --against - -o json; }");
    json_t *result = said(&r, 0);
    assert_string_equal(js_str(result, "verdict", ""), "PASS");
    json_decref(result);
}

static void test_exit_status_is_as_of_gates(void **state) {
    char changed[sizeof manifests];
    memcpy(changed, manifests, sizeof manifests);
    strstr(changed, "x:1")[2] = '2';
    write_text(*state, "m.yaml", manifests);
    write_text(*state, "changed.yaml", changed);
    run_cli(&r, *state, "reference init --from m.yaml --out r.yaml");
    run_cli(&r, *state, "reference check r.yaml --against changed.yaml -o json");
    json_t *result = said(&r, 1);
    assert_string_equal(js_str(result, "verdict", ""), "FAIL");
    json_decref(result);
    run_cli(&r, *state, "reference check r.yaml --against changed.yaml");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.out, "Deployment/shop-a /spec/template/spec/containers/0/image"));
    run_cli(&r, *state, "reference check r.yaml --against changed.yaml -o junit");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.out, "<failure"));
    write_text(*state, "open.yaml",
               "schema: pilotgate.reference/1\nid: t\ntitle: t\nexpectations:\n- {id: a, severity: required, "
               "why: w,\n"
               "   source: s, check: default-secrets, with: {known: [dev]}}\n");
    run_cli(&r, *state, "reference check open.yaml --against m.yaml");
    assert_int_equal(r.status, 3); /* not known without the key */
    run_cli(&r, *state, "reference check open.yaml --against nowhere.yaml");
    said_error(&r, "nowhere.yaml: cannot open");
}

static void test_builtin_and_schema(void **state) {
    run_cli(&r, *state, "reference list -o json");
    json_t *all = said(&r, 0);
    assert_true(json_array_size(all) > 0);
    assert_string_equal(js_str(json_array_get(all, 0), "name", ""), "arcade");
    json_decref(all);
    run_cli(&r, *state, "reference show arcade");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "  why       "));
    assert_non_null(strstr(r.out, "  source    "));
    run_cli(&r, *state, "reference schema");
    json_t *schema = said(&r, 0);
    assert_string_equal(js_str(schema, "$schema", ""), "https://json-schema.org/draft/2020-12/schema");
    json_decref(schema);
}

static void test_errors_say_what_to_do(void **state) {
    run_cli(&r, *state, "reference");
    assert_int_equal(r.status, 2);
    run_cli(&r, *state, "reference chek arcade");
    said_error(&r, "did you mean 'check'?");
    run_cli(&r, *state, "reference check");
    said_error(&r, "name the reference to check");
    run_cli(&r, *state, "reference init");
    said_error(&r, "name the manifests: --from FILE");
    run_cli(&r, *state, "reference check arcad");
    said_error(&r, "did you mean 'arcade'?");
    write_text(*state, "bad.yaml", "schema: pilotgate.reference/1\nid: t\ntitle: t\nexpectatons: []\n");
    run_cli(&r, *state, "reference check bad.yaml");
    said_error(&r, "bad.yaml:4:1: a reference has no 'expectatons': did you mean 'expectations'?");
    write_text(*state, "crd.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n");
    run_cli(&r, *state, "reference init --from crd.yaml");
    said_error(&r, "no object of a namespace is in it");
    run_cli(&r, *state, "reference check arcade -o csv");
    assert_int_equal(r.status, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_checked_and_compared, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_exit_status_is_as_of_gates, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_builtin_and_schema, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_errors_say_what_to_do, dir_setup, dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
