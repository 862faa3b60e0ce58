/* test_yaml: what is written as YAML is read back as the same document, whatever is in it, and readers of
 * either version of YAML are told the same by it. */
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
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "report/report.h"

static char *written(const json_t *doc) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    assert_int_equal(report_yaml(to, doc), 0);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void assert_round(const json_t *doc) {
    struct err e = {""};
    json_t *back = NULL;
    char *text = written(doc), *before = json_dumps(doc, JSON_ENCODE_ANY);
    if (conf_yaml_to_json("written", text, strlen(text), &back, &e) < 0)
        fail_msg("%s\n%s\nwas written as\n%s", e.text, before, text);
    if (!json_equal(doc, back))
        fail_msg("%s\nwas written as\n%s", before, text);
    json_decref(back);
    free(before);
    free(text);
}

/* YAML text of {"k": the JSON text}. */
static char *written_as(const char *json) {
    struct err e = {""};
    json_t *doc = NULL;
    char whole[512];
    (void)snprintf(whole, sizeof whole, "{\"k\":%s}", json);
    if (js_parse(whole, strlen(whole), sizeof whole, &doc, &e) < 0)
        fail_msg("%s", e.text);
    assert_round(doc);
    char *text = written(doc);
    json_decref(doc);
    return text;
}

static void assert_written(const char *json, const char *yaml) {
    char *text = written_as(json);
    assert_string_equal(text, yaml);
    free(text);
}

static void test_block_style_in_the_documents_order(void **state) {
    (void)state;
    json_t *doc = json_pack("{s:s, s:[i,{s:s,s:[]},[s]], s:{s:n,s:{}}, s:b}", "zone", "b", "list", 1, "name",
                            "x", "none", "nested", "map", "null", "empty", "yes", 1);
    char *text = written(doc);
    assert_string_equal(text, "zone: b\n"
                              "list:\n"
                              "- 1\n"
                              "- name: x\n"
                              "  none: []\n"
                              "- - nested\n"
                              "map:\n"
                              "  'null': null\n"
                              "  empty: {}\n"
                              "'yes': true\n");
    assert_round(doc);
    free(text);
    json_decref(doc);
}

/* Each of these is something else than a text to some reader of YAML 1.1 or 1.2. */
static void test_texts_stay_texts(void **state) {
    (void)state;
    static const char *const odd[] = {"",
                                      "~",
                                      "null",
                                      "Null",
                                      "NULL",
                                      "y",
                                      "Y",
                                      "n",
                                      "yes",
                                      "No",
                                      "on",
                                      "OFF",
                                      "true",
                                      "False",
                                      "0",
                                      "-1",
                                      "+1",
                                      "0x1f",
                                      "0o17",
                                      "017",
                                      "0b101",
                                      "1_000",
                                      "1.5",
                                      "1e3",
                                      ".5",
                                      "190:20:30",
                                      "6.02e+23",
                                      ".inf",
                                      "-.INF",
                                      ".NaN",
                                      "<<",
                                      "=",
                                      "1.",
                                      "2026-11-23",
                                      "12:30:45",
                                      "2026-11-23T04:05:06Z",
                                      "- list",
                                      "-",
                                      "...",
                                      "---",
                                      "2001-12-14 21:59:43.10 -5",
                                      "{a}",
                                      "[a]",
                                      "&anchor",
                                      "*alias",
                                      "!tag",
                                      "%YAML",
                                      "@a",
                                      "`a",
                                      "? a",
                                      "a: b",
                                      "a:",
                                      "a #b",
                                      "#a",
                                      " a",
                                      "a ",
                                      "|",
                                      ">",
                                      ", a"};
    char json[80], plain[80];
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        (void)snprintf(json, sizeof json, "\"%s\"", odd[i]);
        (void)snprintf(plain, sizeof plain, "k: '%s'\n", odd[i]);
        assert_written(json, plain);
        (void)snprintf(json, sizeof json, "{\"%s\":1}", odd[i]);
        free(written_as(json)); /* as a key */
    }
}

static void test_plain_where_nobody_errs(void **state) {
    (void)state;
    assert_written("\"east/shop\"", "k: east/shop\n");
    assert_written("\"registry.example.org:5000/engine@sha256:0f\"",
                   "k: registry.example.org:5000/engine@sha256:0f\n");
    assert_written("\"it's said, nullable (yesterday)\"", "k: it's said, nullable (yesterday)\n");
    assert_written("\"gr\xc3\xb6\xc3\x9f"
                   "er\"",
                   "k: gr\xc3\xb6\xc3\x9f"
                   "er\n");
    assert_written("\"/spec/template\"", "k: /spec/template\n");
}

/* Lines are never folded, whatever their length; several are a block; what a terminal obeys is escaped. */
static void test_long_and_several_lines(void **state) {
    (void)state;
    char json[300] = "\"word", text[320] = "k: word";
    for (int i = 0; i < 40; i++) {
        (void)strcat(json, " word");
        (void)strcat(text, " word");
    }
    assert_written(strcat(json, "\""), strcat(text, "\n"));
    assert_written("\"one\\ntwo: 2\\n  three\\n\"", "k: |\n  one\n  two: 2\n    three\n");
    assert_written("\"one\\ntwo\"", "k: |-\n  one\n  two\n");
    assert_written("\"red \\u001b[31m\"", "k: \"red \\e[31m\"\n");
    assert_written("\"a\\r\\nb\"", "k: \"a\\r\\nb\"\n");
    assert_written("\"a\\u0085b\\u2028c\\ufeff\"", "k: \"a\\Nb\\Lc\\uFEFF\"\n");
    assert_written("\"\\nfirst\"", "k: \"\\nfirst\"\n");
}

static void test_numbers(void **state) {
    (void)state;
    assert_written("9223372036854775807", "k: 9223372036854775807\n");
    assert_written("-9223372036854775808", "k: -9223372036854775808\n");
    assert_written("0.1", "k: 0.1\n");
    assert_written("1.0", "k: 1.0\n");
    assert_written("0.30000000000000004", "k: 0.30000000000000004\n");
    assert_written("1e20", "k: 1.0e+20\n");
    assert_written("1.5e-9", "k: 1.5e-09\n");
}

/* ---- any document: texts of the pieces that YAML gives a meaning, in any order and nesting */

static uint64_t seed;

static uint64_t below(uint64_t n) { /* xorshift64 (Marsaglia 2003) */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

static json_t *some_text(void) {
    static const char *const pieces[] = {" ",
                                         "\n",
                                         "\t",
                                         "\r",
                                         ":",
                                         "#",
                                         "-",
                                         "?",
                                         ",",
                                         "[",
                                         "]",
                                         "{",
                                         "}",
                                         "&",
                                         "*",
                                         "!",
                                         "|",
                                         ">",
                                         "'",
                                         "\"",
                                         "%",
                                         "@",
                                         "`",
                                         "\\",
                                         "a",
                                         "Z",
                                         "0",
                                         "9",
                                         ".",
                                         "e",
                                         "true",
                                         "no",
                                         "~",
                                         "null",
                                         "0x",
                                         "\x01",
                                         "\x1b",
                                         "_",
                                         "=",
                                         "\xc2\x85",
                                         "\xe2\x80\xa8",
                                         "\xef\xbb\xbf",
                                         "\xc3\xa9",
                                         "\xf0\x9f\x98\x80",
                                         "\x7f",
                                         "---",
                                         "...",
                                         "<<"};
    char text[256] = "";
    for (uint64_t n = below(12); n > 0; n--)
        (void)strcat(text, pieces[below(sizeof pieces / sizeof *pieces)]);
    return json_string(text);
}

static json_t *some_value(int depth) {
    json_t *v;
    double real;
    switch (below(depth < 6 ? 9 : 6)) {
    case 0:
        return json_integer((json_int_t)below(UINT64_MAX));
    case 1:
        do {
            uint64_t bits = below(UINT64_MAX);
            memcpy(&real, &bits, sizeof real);
        } while (!isfinite(real));
        return json_real(real);
    case 2:
        return below(2) ? json_null() : json_boolean(below(2));
    case 3:
    case 4:
    case 5:
        return some_text();
    case 6:
        v = json_array();
        for (uint64_t n = below(5); n > 0; n--)
            (void)json_array_append_new(v, some_value(depth + 1));
        return v;
    default:
        v = json_object();
        for (uint64_t n = below(5); n > 0; n--) {
            json_t *key = some_text();
            (void)json_object_set_new(v, json_string_value(key), some_value(depth + 1));
            json_decref(key);
        }
        return v;
    }
}

static void test_any_document_is_read_back(void **state) {
    (void)state;
    for (uint64_t i = 1; i <= 20000; i++) {
        seed = i * 0x9e3779b97f4a7c15u;
        json_t *doc = some_value(0);
        assert_non_null(doc);
        assert_round(doc);
        json_decref(doc);
    }
}

/* ---- what cannot be written is told */

static void test_a_full_disk_is_told(void **state) {
    (void)state;
    FILE *to = fopen("/dev/full", "w");
    json_t *doc = json_pack("[s]", "a");
    assert_non_null(to);
    assert_int_equal(setvbuf(to, NULL, _IONBF, 0), 0);
    assert_int_equal(report_yaml(to, doc), -EIO);
    assert_int_equal(report_json(to, doc), -EIO);
    (void)fclose(to);
    json_decref(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_style_in_the_documents_order),
        cmocka_unit_test(test_texts_stay_texts),
        cmocka_unit_test(test_plain_where_nobody_errs),
        cmocka_unit_test(test_long_and_several_lines),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_any_document_is_read_back),
        cmocka_unit_test(test_a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
