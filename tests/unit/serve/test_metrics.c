/* metrics: what is written. `test_serve_metrics print` writes a sample of everything, which read-metrics has
 * Prometheus' own reader read. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/metrics.h"

static const double bounds[] = {0.001, 0.01, 1};
static const uint64_t counts[] = {2, 0, 3, 1};
static const struct metric_histogram histogram = {3, bounds, counts, 2.5};

static int write_all(struct buf *out) {
    int r = metric_single(out, "pilotgate_plain_total", "counter", "A counter.", 12345678901.0);
    if (r == 0)
        r = metric_head(out, "pilotgate_part", "gauge", "Labels of any text.");
    if (r == 0)
        r = metric_value(out, "pilotgate_part",
                         METRIC_LABELS({"of", ""}, {"name", "back\\slash \"quote\"\nline"}), 0.25);
    if (r == 0)
        r = metric_value(out, "pilotgate_part", METRIC_LABELS({"of", "x"}, {"name", "\xc3\xa9"}), -1e-9);
    if (r == 0)
        r = metric_head(out, "pilotgate_time_seconds", "histogram", "Buckets.");
    return r == 0 ? metric_histogram(out, "pilotgate_time_seconds", METRIC_LABELS({"probe", "p"}), &histogram)
                  : r;
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "x 0\n"},
                {-0.0, "x 0\n"},
                {1e14, "x 100000000000000\n"},
                {0.1, "x 0.1\n"},
                {0.0000025, "x 2.5e-06\n"},
                {INFINITY, "x +Inf\n"},
                {-INFINITY, "x -Inf\n"},
                {NAN, "x NaN\n"},
                {1e300, "x 1e+300\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = BUF_INIT(100);
        assert_int_equal(metric_value(&out, "x", METRIC_NO_LABELS, rows[i].value), 0);
        assert_string_equal(buf_str(&out), rows[i].text);
        buf_free(&out);
    }
}

static void test_labels_are_escaped(void **state) {
    (void)state;
    struct buf out = BUF_INIT(1000);
    assert_int_equal(metric_value(&out, "x", METRIC_LABELS({"a", "\"} 1\ny 2"}, {"b", "\\"}), 3), 0);
    assert_string_equal(buf_str(&out), "x{a=\"\\\"} 1\\ny 2\",b=\"\\\\\"} 3\n");
    buf_free(&out);
}

static void test_what_does_not_fit_is_an_error(void **state) {
    (void)state;
    struct buf whole = BUF_INIT(10000);
    assert_int_equal(write_all(&whole), 0);
    for (size_t max = 0; max < whole.len; max += 7) {
        struct buf out = BUF_INIT(max);
        assert_int_equal(write_all(&out), -EMSGSIZE);
        buf_free(&out);
    }
    buf_free(&whole);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_what_does_not_fit_is_an_error),
    };
    if (argc > 1 && strcmp(argv[1], "print") == 0) {
        struct buf out = BUF_INIT(10000);
        int r = write_all(&out);
        (void)fputs(buf_str(&out), stdout);
        buf_free(&out);
        return r == 0 ? 0 : 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
