/* The bounded memory: counts, order of forgetting, growth. */
#include "check.h"

#include "canary/seen.h"

static uint32_t add(struct seen *s, const char *text) {
    uint32_t count = 0;
    assert_int_equal(seen_add(s, text, &count), 0);
    return count;
}

static void counts(void **state) {
    struct seen *s;
    assert_int_equal(seen_new(10, &s), 0);
    assert_int_equal(seen_count(s, "a"), 0);
    assert_int_equal(seen_touch(s, "a"), 0);
    seen_remove(s, "a");
    assert_int_equal(add(s, "a"), 1);
    assert_int_equal(add(s, "a"), 2);
    assert_int_equal(add(s, "b"), 1);
    assert_int_equal(seen_count(s, "a"), 2);
    seen_remove(s, "a");
    assert_int_equal(seen_count(s, "a"), 0);
    assert_int_equal(seen_size(s), 1);
    assert_int_equal(add(s, "a"), 1);
    seen_free(&s);
    assert_null(s);
    seen_free(&s);
    (void)state;
}

static void forgets_the_least_recent(void **state) {
    struct seen *s;
    assert_int_equal(seen_new(3, &s), 0);
    add(s, "a");
    add(s, "b");
    add(s, "c");
    assert_int_equal(seen_touch(s, "a"), 1);
    add(s, "d"); /* b goes */
    assert_int_equal(seen_forgotten(s), 1);
    assert_int_equal(seen_count(s, "b"), 0);
    assert_int_equal(seen_count(s, "a"), 1);
    add(s, "c");
    add(s, "e"); /* a goes: c was touched by adding */
    assert_int_equal(seen_count(s, "a"), 0);
    assert_int_equal(seen_count(s, "c"), 2);
    assert_int_equal(seen_size(s), 3);
    seen_free(&s);
    (void)state;
}

static void grows_and_stays_bounded(void **state) {
    struct seen *s;
    char text[32];
    assert_int_equal(seen_new(5000, &s), 0);
    for (int i = 0; i < 12000; i++) {
        snprintf(text, sizeof text, "n%d", i);
        assert_int_equal(add(s, text), 1);
        if (i % 3 == 0)
            seen_remove(s, text);
    }
    assert_int_equal(seen_size(s), 5000);
    assert_int_equal(seen_forgotten(s), 8000 - 5000);
    for (int i = 11999; i > 11000; i--) {
        snprintf(text, sizeof text, "n%d", i);
        assert_int_equal(seen_count(s, text), i % 3 == 0 ? 0 : 1);
    }
    assert_int_equal(seen_count(s, "n1"), 0);
    seen_free(&s);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts), cmocka_unit_test(forgets_the_least_recent),
                                       cmocka_unit_test(grows_and_stays_bounded)};
    return cmocka_run_group_tests(tests, sodium_ready, NULL);
}
