/* Tests of err, buf, when and js. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/when.h"

static void err_quotes_hostile_input(void **state) {
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, -EINVAL, "bad '%s'", "a\n\033[31mb"), -EINVAL);
    assert_string_equal(e.text, "bad 'a??[31mb'");
    assert_int_equal(err_prefix(&e, -EIO, "%s", "file\n"), -EIO);
    assert_string_equal(e.text, "file?: bad 'a??[31mb'");
    assert_int_equal(err_set(NULL, -5, "ignored"), -5);
}

static void err_cuts_long_texts(void **state) {
    (void)state;
    struct err e;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    (void)err_set(&e, -1, "%s", text);
    assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
    (void)err_prefix(&e, -1, "%s", text);
    assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
}

static void buf_keeps_its_limit(void **state) {
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_adds(&b, "12345"), 0);
    assert_int_equal(buf_addf(&b, "%d", 678), 0);
    assert_int_equal(buf_adds(&b, "abc"), -EMSGSIZE);
    assert_string_equal(buf_str(&b), "12345678");
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
    buf_consume(&b, 6);
    assert_string_equal(buf_str(&b), "78");
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_addf(&b, "%s", "0123456789"), 0);
    assert_int_equal(buf_addf(&b, "%s", ""), 0);
    buf_clear(&b);
    assert_string_equal(buf_str(&b), "");
    buf_free(&b);
    buf_free(NULL);
}

static void when_reads_rfc3339(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-23T04:05:06.789Z", 1795406706789000000},
        {"2026-11-23T05:05:06.789000001+01:00", 1795406706789000001},
        {"2024-02-29T23:59:59z", 1709251199000000000},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ns = -1;
        assert_int_equal(when_parse(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-11-23",
                                      "2026-11-23T04:05:06",
                                      "2026-13-23T04:05:06Z",
                                      "2026-11-23T24:05:06Z",
                                      "2026-11-23T04:05:06.Z",
                                      "2026-11-23T04:05:06Zx",
                                      "0001-01-01T00:00:00Z",
                                      "9999-01-01T00:00:00Z",
                                      "2150-01-01T00:00:00Z",
                                      "1970-01-01T00:00:00+05:00",
                                      "2026-11-23T04:05:06+1:00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ns = 42;
        assert_int_equal(when_parse(bad[i], &ns), -EINVAL);
        assert_int_equal(ns, 42);
    }
}

static void when_formats_what_it_reads(void **state) {
    (void)state;
    char text[WHEN_TEXT_MAX];
    int64_t ns;
    assert_string_equal(when_format(1795406706789000001, 9, text), "2026-11-23T04:05:06.789000001Z");
    assert_int_equal(when_parse(text, &ns), 0);
    assert_int_equal(ns, 1795406706789000001);
    assert_string_equal(when_format(1795406706789000001, 0, text), "2026-11-23T04:05:06Z");
    assert_string_equal(when_format(-1, 3, text), "1969-12-31T23:59:59.999Z");
}

static void when_reads_durations(void **state) {
    (void)state;
    int64_t ns = 0;
    assert_int_equal(when_parse_duration("1h30m", &ns), 0);
    assert_int_equal(ns, 5400 * WHEN_S);
    assert_int_equal(when_parse_duration("250ms", &ns), 0);
    assert_int_equal(ns, 250 * WHEN_MS);
    assert_int_equal(when_parse_duration("0s", &ns), 0);
    assert_int_equal(ns, 0);
    static const char *const bad[] = {"", "5", "-5s", "s", "5 s", "1e400d", "nan", "99999999d", "5sx"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(when_parse_duration(bad[i], &ns), -EINVAL);
    char text[WHEN_TEXT_MAX];
    assert_string_equal(when_format_duration(3420 * WHEN_MS, text), "3.42 s");
    assert_string_equal(when_format_duration(125 * WHEN_S, text), "2 min 05 s");
}

static void js_takes_paths_and_bounds(void **state) {
    (void)state;
    static const char text[] =
        "{\"metadata\":{\"labels\":{\"app.kubernetes.io/name\":\"x\"},\"n\":3},\"list\":[{\"a\":true}]}";
    json_t *v = NULL;
    struct err e;
    assert_int_equal(js_parse(text, sizeof text - 1, 1000, &v, &e), 0);
    assert_string_equal(js_str(v, "/metadata/labels/app.kubernetes.io~1name", "-"), "x");
    assert_int_equal(js_int(v, "metadata.n", -1), 3);
    assert_true(js_bool(v, "list.0.a", false));
    assert_string_equal(js_str(v, "metadata.n", "no text"), "no text");
    assert_null(js_at(v, "list.99999999999999999999.a"));
    assert_null(js_at(v, "list.-1"));
    json_decref(v);
    assert_int_equal(js_parse(text, sizeof text - 1, 10, &v, &e), -EMSGSIZE);
    assert_int_equal(js_parse("{\"a\":1,\"a\":2}", 13, 100, &v, &e), -EBADMSG);
    assert_int_equal(js_parse("{} {}", 5, 100, &v, &e), -EBADMSG);
    assert_int_equal(js_parse("{\"a\":hunter2}", 13, 100, &v, &e), -EBADMSG); /* may be a Secret's text */
    assert_null(strstr(e.text, "hunter2"));
    assert_int_equal(js_parse("{\"hunter2\":1,\"hunter2\":2}", 27, 100, &v, &e), -EBADMSG);
    assert_null(strstr(e.text, "hunter2"));
}

static void js_canonical_sorts(void **state) {
    (void)state;
    json_t *v = json_pack("{s:i,s:{s:s,s:n}}", "z", 1, "a", "y", "t", "b");
    char *text = js_canonical(v);
    assert_string_equal(text, "{\"a\":{\"b\":null,\"y\":\"t\"},\"z\":1}");
    free(text);
    json_decref(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_quotes_hostile_input),   cmocka_unit_test(err_cuts_long_texts),
        cmocka_unit_test(buf_keeps_its_limit),        cmocka_unit_test(when_reads_rfc3339),
        cmocka_unit_test(when_formats_what_it_reads), cmocka_unit_test(when_reads_durations),
        cmocka_unit_test(js_takes_paths_and_bounds),  cmocka_unit_test(js_canonical_sorts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
