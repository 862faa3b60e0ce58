/* test_cli_changes: `changes` on a real store: all of them in one line each, one in full, as JSON and
 * Markdown; a mark that becomes one. */
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
#include "stored_pilot.h"

static struct run r; /* large */

static void test_all_and_one(void **state) {
    run_cli(&r, *state, "changes -o json");
    json_t *all = said(&r, 0);
    assert_int_equal(json_array_size(all), 2);
    char id[128];
    (void)snprintf(id, sizeof id, "%s", js_str(json_array_get(all, 1), "id", ""));
    assert_true(json_is_array(json_object_get(json_array_get(all, 0), "differences")));
    json_decref(all);

    run_cli(&r, *state, "changes -o json %s", id);
    json_t *one = said(&r, 0);
    assert_int_equal(json_array_size(one), 1);
    assert_string_equal(js_str(json_array_get(one, 0), "id", ""), id);
    json_decref(one);

    run_cli(&r, *state, "changes");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "IN FLIGHT"));
    assert_non_null(strstr(r.out, id));
    run_cli(&r, *state, "changes %s", id);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "what it changed\n"));
    assert_non_null(strstr(r.out, "/tools/"));
    run_cli(&r, *state, "changes -o markdown %s", id);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "| Object | Field | Before | After |\n"));
    assert_non_null(strstr(r.out, "| /tools/"));
}

static void test_none_of_that_name(void **state) {
    static const char *const formats[] = {"table", "json", "markdown"};
    for (size_t i = 0; i < 3; i++) {
        run_cli(&r, *state, "changes -o %s shop.v77", formats[i]);
        assert_int_equal(r.status, 2);
        assert_non_null(strstr(r.err, "no change is called 'shop.v77'"));
    }
}

static void test_a_mark_becomes_a_change(void **state) {
    run_cli(&r, *state, "mark --stage c1/shop --name change --by Ann --note dashboard");
    assert_int_equal(r.status, 0);
    run_cli(&r, *state, "changes -o json");
    json_t *all = said(&r, 0);
    assert_int_equal(json_array_size(all), 3);
    assert_string_equal(js_str(json_array_get(all, 2), "signs.0.by", ""), "Ann");
    json_decref(all);
    run_cli(&r, *state, "changes");
    assert_non_null(strstr(r.out, "  marked  "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_and_one, stored_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_none_of_that_name, stored_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_becomes_a_change, stored_setup, dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
