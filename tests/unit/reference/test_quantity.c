/* Quantities and durations are exact, whatever way they are written; and what comes before what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference/values.h"

#define NANO ((__int128)1000000000)

static const struct {
    const char *text;
    __int128 units, nano; /* units * 1e9 + nano */
} quantities[] = {
    {"0", 0, 0},
    {"-0", 0, 0},
    {"1", 1, 0},
    {"+1", 1, 0},
    {"1.", 1, 0},
    {".5", 0, 500000000},
    {"0.5", 0, 500000000},
    {"500m", 0, 500000000},
    {"500000u", 0, 500000000},
    {"500000000n", 0, 500000000},
    {"-1.5", -1, -500000000},
    {"00012", 12, 0},
    {"1k", 1000, 0},
    {"1M", 1000000, 0},
    {"1G", 1000000000, 0},
    {"1T", 1000000000000, 0},
    {"1P", 1000000000000000, 0},
    {"1E", 1000000000000000000, 0},
    {"1Ki", 1024, 0},
    {"1Mi", 1048576, 0},
    {"1Gi", 1073741824, 0},
    {"1Ti", 1099511627776, 0},
    {"1Pi", 1125899906842624, 0},
    {"1Ei", 1152921504606846976, 0},
    {"0.5Gi", 536870912, 0},
    {"0.1Ki", 102, 400000000},
    {"1e3", 1000, 0},
    {"1E3", 1000, 0},
    {"1e+3", 1000, 0},
    {"5e-1", 0, 500000000},
    {"12.5e1", 125, 0},
    {"1e-9", 0, 1},
    {"1e-10", 0, 1}, /* rounded away from zero */
    {"-1e-10", 0, -1},
    {"1e-999999999999", 0, 1},
    {"0e999999999999", 0, 0},
    {"1.0000000001", 1, 1},
    {"0.000000000000000000867361737988403547205962240695953369140625Ei", 1, 0}, /* 2^-60 */
    {"3.000000000000000000000000000000000000000", 3, 0},
};

static void quantities_are_exact(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof quantities / sizeof *quantities; i++) {
        __int128 q = 77;
        if (ref_quantity(quantities[i].text, &q) != 0 || q != quantities[i].units * NANO + quantities[i].nano)
            fail_msg("%s: %lld units and %lld", quantities[i].text, (long long)(q / NANO),
                     (long long)(q % NANO));
    }
}

static void what_is_too_large_saturates(void **state) {
    __int128 most;
    __int128 least;
    __int128 q;
    (void)state;
    assert_int_equal(ref_quantity("1e400", &most), 0);
    assert_int_equal(ref_quantity("-1e99999999", &least), 0);
    assert_true(most > 0 && least == -most);
    assert_int_equal(ref_quantity("99999999999999999999999999999999999999999999999999Ei", &q), 0);
    assert_true(q == most);
    assert_int_equal(ref_quantity("10E", &q), 0);
    assert_true(q == (__int128)1000000000 * NANO * 10000000000);
}

static void what_is_no_quantity_is_refused(void **state) {
    static const char *const texts[] = {"",    "-",    ".",   "+.",  "m",    "1 ",       " 1",    "1mi",
                                        "1K",  "1ki",  "1e",  "1e+", "1e1m", "1Kim",     "1.2.3", "--1",
                                        "0x1", "1Gib", "inf", "nan", "50%",  "keyed:00", "1_000", "1,5"};
    char longest[200];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        __int128 q = 77;
        if (ref_quantity(texts[i], &q) != -EINVAL || q != 77)
            fail_msg("%s was taken", texts[i]);
    }
    memset(longest, '1', sizeof longest);
    longest[129] = 0;
    __int128 q;
    assert_int_equal(ref_quantity(longest, &q), -EINVAL);
    longest[128] = 0;
    assert_int_equal(ref_quantity(longest, &q), 0);
}

static const struct {
    const char *text;
    int result;
    int64_t ns;
} durations[] = {
    {"0", 0, 0},
    {"1h", 0, 3600000000000},
    {"60m0s", 0, 3600000000000},
    {"3600s", 0, 3600000000000},
    {"1.5h", 0, 5400000000000},
    {"-1m", 0, -60000000000},
    {"+1m", 0, 60000000000},
    {"1h1m1s1ms1us1ns", 0, 3661001001001},
    {"1\xc2\xb5s", 0, 1000},
    {"1\xce\xbcs", 0, 1000},
    {".5s", 0, 500000000},
    {"1.s", 0, 1000000000},
    {"9223372036854775807ns", 0, INT64_MAX},
    {"9223372036854775808ns", -ERANGE, 0},
    {"99999999999999999999999999999999999999999999h", -ERANGE, 0},
    {"2562048h", -ERANGE, 0},
    {"", -EINVAL, 0},
    {"-", -EINVAL, 0},
    {"1", -EINVAL, 0},
    {"h", -EINVAL, 0},
    {".h", -EINVAL, 0},
    {"1d", -EINVAL, 0},
    {"1h ", -EINVAL, 0},
    {"1h30", -EINVAL, 0},
    {"1mm", -EINVAL, 0},
};

static void durations_are_go_s(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        int64_t ns = 77;
        int r = ref_duration(durations[i].text, &ns);
        if (r != durations[i].result || ns != (r ? 77 : durations[i].ns))
            fail_msg("%s: %d, %lld ns", durations[i].text, r, (long long)ns);
    }
}

static const struct {
    const char *a, *b; /* JSON */
    int order;         /* 9: they do not compare */
} orders[] = {
    {"1", "2", -1},
    {"2", "2", 0},
    {"2.0", "2", 0},
    {"0.1", "\"100m\"", 0},
    {"\"1Gi\"", "\"1G\"", 1},
    {"\"512Mi\"", "1", 1},
    {"\"25%\"", "\"50%\"", -1},
    {"\"50%\"", "50", 9},
    {"\"1h\"", "\"60m\"", 0},
    {"\"90s\"", "\"1m\"", 1},
    {"\"abc\"", "\"abd\"", 9},
    {"true", "1", 9},
    {"null", "0", 9},
    {"[1]", "1", 9},
    {"\"\"", "0", 9},
    {"\"1h\"", "\"1Gi\"", 9},
    {"1e300", "1", 1},
    {"-1.5", "\"-1500m\"", 0},
    {"9007199254740993", "\"9007199254740992\"", 1},
};

static void order_is_by_meaning(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        json_t *a = json_loads(orders[i].a, JSON_DECODE_ANY, NULL);
        json_t *b = json_loads(orders[i].b, JSON_DECODE_ANY, NULL);
        bool known[2];
        int r = ref_order(a, b, &known[0]);
        int back = ref_order(b, a, &known[1]);
        if (known[0] != (orders[i].order != 9) || known[1] != known[0] ||
            (known[0] && (r != orders[i].order || back != -r)))
            fail_msg("%s and %s: %d, known: %d", orders[i].a, orders[i].b, r, known[0]);
        json_decref(a);
        json_decref(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities_are_exact),
        cmocka_unit_test(what_is_too_large_saturates),
        cmocka_unit_test(what_is_no_quantity_is_refused),
        cmocka_unit_test(durations_are_go_s),
        cmocka_unit_test(order_is_by_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
