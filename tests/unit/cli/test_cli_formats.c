/* test_cli_formats: -o json and -o yaml of every subcommand on a real store: one document, written twice. */
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

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "cli_fixture.h"
#include "stored_pilot.h"

static struct run r; /* large */

static json_t *read_as(const char *format) {
    json_t *doc = NULL;
    struct err e = {""};
    int rc = strcmp(format, "yaml") == 0 ? conf_yaml_to_json("output", r.out, strlen(r.out), &doc, &e)
                                         : js_parse(r.out, strlen(r.out), JS_TEXT_MAX, &doc, &e);
    if (rc < 0 || *r.err)
        fail_msg("%s: %s\n%s", e.text, r.err, r.out);
    return doc;
}

static void test_one_document_twice(void **state) {
    static const char *const lines[] = {"gates",
                                        "explain config-safety",
                                        "timeline",
                                        "changes",
                                        "gitops",
                                        "calls",
                                        "plan",
                                        "status",
                                        "pilot status",
                                        "agents",
                                        "calls --per minute",
                                        "calls --lost",
                                        "calls --outcome timeout"};
    char at[WHEN_TEXT_MAX];
    (void)when_format(when_wall_ns(), 6, at);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        run_cli(&r, *state, "%s --at %s -o json", lines[i], at);
        int status = r.status;
        assert_int_not_equal(status, 2);
        json_t *json = read_as("json");
        run_cli(&r, *state, "%s --at %s -o yaml", lines[i], at);
        assert_int_equal(r.status, status);
        json_t *yaml = read_as("yaml");
        if (!json_equal(json, yaml))
            fail_msg("%s: not the same document:\n%s", lines[i], r.out);
        assert_true(*r.out != '{' && (*r.out != '[' || json_array_size(json) == 0));
        json_decref(json);
        json_decref(yaml);
    }
}

static void test_retain_tells_what_it_would_do(void **state) {
    run_cli(&r, *state, "retain --dry-run --keep-calls 1d -o yaml");
    assert_int_equal(r.status, 0);
    json_t *doc = read_as("yaml");
    assert_int_equal(json_array_size(json_object_get(doc, "stages")), 1);
    json_decref(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_document_twice, stored_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_retain_tells_what_it_would_do, stored_setup, dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
