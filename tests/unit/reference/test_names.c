/* Texts of two releases, namespaces and charts that say the same, and texts that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/names.h"
#include "reference/reference.h"

static const struct ref_side shop = {.release = "shop", .namespace_name = "shop-east", .chart = "shop"};
static const struct ref_side prod = {.release = "prod", .namespace_name = "west", .chart = "shop"};

static const struct {
    const char *a, *b;
    bool same;
} texts[] = {
    {"", "", true},
    {"engine", "engine", true},
    {"shop", "prod", true},
    {"shop-engine", "prod-shop-engine", true},
    {"shop-engine", "prod-engine", true},
    {"shop-engine", "prod-shop-worker", false},
    {"shop-engine.shop-east.svc.cluster.local", "prod-shop-engine.west.svc.cluster.local", true},
    {"shop-engine.shop-east.svc", "prod-shop-engine.east.svc", false},
    {"http://shop-engine:80/shop", "http://prod-shop-engine:80/shop",
     true}, /* the last one is the chart's word */
    {"workshop", "workprod", false},
    {"shops", "prods", false},
    {"shop_1", "prod_1", true},
    {"vendor/shop:1", "vendor/shop:1", true},
    {"shop", "", false},
    {"", "prod", false},
    {"shop shop shop shop", "prod shop prod-shop prod", true},
    {"shop shop shop shop", "prod shop prod-shop dev", false},
    {"prod", "shop", false}, /* one way only */
};

static void texts_are_relative_to_the_release(void **state) {
    struct ref_names n;
    (void)state;
    assert_int_equal(ref_names_of(&shop, &prod, &n), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (ref_names_same(&n, texts[i].a, texts[i].b) != texts[i].same)
            fail_msg("'%s' and '%s'", texts[i].a, texts[i].b);
    ref_names_free(&n);
}

/* Both readings of a word are tried: first the longer one, then what the texts say letter by letter. */
static void a_second_reading_is_tried(void **state) {
    static const struct ref_side a = {.release = "app", .namespace_name = "n"};
    static const struct ref_side b = {.release = "app-east", .namespace_name = "n"};
    struct ref_names n;
    (void)state;
    assert_int_equal(ref_names_of(&a, &b, &n), 0);
    assert_true(ref_names_same(&n, "app-east/app", "app-east/app-east"));
    assert_true(ref_names_same(&n, "app", "app-east"));
    assert_false(ref_names_same(&n, "app-east", "app"));
    ref_names_free(&n);
}

static void unknown_names_and_equal_ones_are_no_pairs(void **state) {
    static const struct ref_side none = {0};
    struct ref_names n;
    (void)state;
    assert_int_equal(ref_names_of(&none, &prod, &n), 0);
    assert_int_equal(n.n, 0);
    assert_false(ref_names_same(&n, "a", "prod"));
    ref_names_free(&n);
    assert_int_equal(ref_names_of(&prod, &prod, &n), 0);
    assert_int_equal(n.n, 0);
    assert_int_equal(ref_names_add(&n, "config-0123abcd", "config-89abcdef"), 0);
    assert_int_equal(ref_names_add(&n, "config-0123abcd", "config-89abcdef"), 0);
    assert_int_equal(n.n, 1);
    assert_true(ref_names_same(&n, "x/config-0123abcd", "x/config-89abcdef"));
    ref_names_free(&n);
}

/* A long fullname is cut at 63 as Helm's template does. */
static void a_long_fullname_is_cut(void **state) {
    static const struct ref_side a = {.release = "s", .namespace_name = "n", .chart = "shop"};
    static const struct ref_side b = {.release =
                                          "a-very-long-release-name-that-helm-cuts-when-it-makes-names",
                                      .namespace_name = "n",
                                      .chart = "shop"};
    struct ref_names n;
    (void)state;
    assert_int_equal(ref_names_of(&a, &b, &n), 0);
    assert_true(
        ref_names_same(&n, "s-shop", "a-very-long-release-name-that-helm-cuts-when-it-makes-names-sho"));
    ref_names_free(&n);
}

static void hostile_texts_take_bounded_time(void **state) {
    const size_t size = 1u << 20;
    char *a = malloc(size);
    char *b = malloc(size);
    struct ref_names n = {0};
    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(ref_names_add(&n, "x", "x-x"), 0);
    for (size_t i = 0; i + 1 < size; i++) {
        a[i] = i % 2 ? '-' : 'x';
        b[i] = a[i];
    }
    a[size - 1] = b[size - 1] = 0;
    b[size - 2] = 'y';
    assert_false(ref_names_same(&n, a, b));
    ref_names_free(&n);
    free(a);
    free(b);
}

static void a_name_is_told_relative(void **state) {
    static const struct {
        const char *name, *relative;
    } names[] = {{"shop-engine", "{release}-engine"},
                 {"engine-shop", "engine-{release}"},
                 {"shopping", "shopping"},
                 {"west", "west"},
                 {"shop", "{release}"},
                 {"", ""}};
    static const struct ref_side west = {.release = "prod", .namespace_name = "west"};
    char out[64];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(ref_name_relative(&shop, names[i].name, out, sizeof out));
        assert_string_equal(out, names[i].relative);
    }
    assert_true(ref_name_relative(&west, "prod-to-west", out, sizeof out));
    assert_string_equal(out, "{release}-to-{namespace}");
    assert_false(ref_name_relative(&shop, "shop-engine", out, 10));
    assert_string_equal(out, "{release}");
}

static void generated_suffixes_are_known(void **state) {
    static const struct {
        const char *a, *b;
        bool same;
    } names[] = {{"shop-config-7h8f9g2m4k", "prod-config-2g5bt9m7fd", true},
                 {"shop-config-7h8f9g2m4k", "prod-config", true},
                 {"shop-config", "prod-config", false}, /* no suffix: the names are the same anyway */
                 {"shop-config-0123abcd", "prod-config-456789abcdef", true},
                 {"shop-orders-20240101", "prod-orders-20250101", false}, /* a date is nobody's hash */
                 {"shop-config-0123abc", "prod-config-4567def", false},
                 {"shop-config-7h8f9g2m4a", "prod-config-2g5bt9m7fa", false},
                 {"shop-config-7h8f9g2m4k", "prod-other-2g5bt9m7fd", false},
                 {"-0123abcd", "-0123abce", false}};
    struct ref_names n;
    (void)state;
    assert_int_equal(ref_names_of(&shop, &prod, &n), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ref_name_generated(&n, names[i].a, names[i].b) != names[i].same)
            fail_msg("%s and %s", names[i].a, names[i].b);
    ref_names_free(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_relative_to_the_release),
        cmocka_unit_test(a_second_reading_is_tried),
        cmocka_unit_test(unknown_names_and_equal_ones_are_no_pairs),
        cmocka_unit_test(a_long_fullname_is_cut),
        cmocka_unit_test(hostile_texts_take_bounded_time),
        cmocka_unit_test(a_name_is_told_relative),
        cmocka_unit_test(generated_suffixes_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
