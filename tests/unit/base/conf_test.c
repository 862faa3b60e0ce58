/* Tests of conf: one table, four sources of values, errors that point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/when.h"

struct item {
    char *name;
    char *nested;
    int64_t wait;
    struct conf_strings words;
    char *json;
};

struct settings {
    char *endpoint;
    char *key_file;
    bool on;
    int64_t count;
    int64_t wait;
    int64_t bytes;
    int colour;
    struct conf_strings words;
    char *json;
    struct conf_list items;
};

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct conf_key item_keys[] = {
    {"name", CONF_STRING, .offset = offsetof(struct item, name), .required = true, .doc = "name"},
    {"deep.nested", CONF_STRING, .offset = offsetof(struct item, nested), .fallback = "d", .doc = "nested"},
    {"wait", CONF_DURATION, .offset = offsetof(struct item, wait), .fallback = "2s", .doc = "wait"},
    {"words", CONF_STRINGS, .offset = offsetof(struct item, words), .max = 3, .doc = "words"},
    {"json", CONF_JSON, .offset = offsetof(struct item, json), .fallback = "{}", .doc = "json"},
    {0},
};

static const struct conf_key keys[] = {
    {"collector.endpoint", CONF_STRING, .offset = offsetof(struct settings, endpoint), .required = true,
     .doc = "where"},
    {"collector.key_file", CONF_PATH, .offset = offsetof(struct settings, key_file), .fallback = "/k",
     .secret = true, .doc = "a|b"},
    {"on", CONF_BOOL, .offset = offsetof(struct settings, on), .fallback = "true", .doc = "switch"},
    {"count", CONF_INT, .offset = offsetof(struct settings, count), .fallback = "5", .min = 1, .max = 10,
     .doc = "count"},
    {"wait", CONF_DURATION, .offset = offsetof(struct settings, wait), .fallback = "1s", .min = WHEN_MS,
     .max = 60 * WHEN_S, .doc = "wait"},
    {"bytes", CONF_BYTES, .offset = offsetof(struct settings, bytes), .fallback = "64MiB", .doc = "bytes"},
    {"colour", CONF_ENUM, .offset = offsetof(struct settings, colour), .fallback = "green",
     .choices = colours, .doc = "colour"},
    {"words", CONF_STRINGS, .offset = offsetof(struct settings, words), .fallback = "a, b", .max = 3,
     .doc = "words"},
    {"json", CONF_JSON, .offset = offsetof(struct settings, json), .doc = "json"},
    {"items", CONF_LIST, .offset = offsetof(struct settings, items), .items = item_keys,
     .item_size = sizeof(struct item), .max = 3, .doc = "items"},
    {0},
};

static const struct conf_program program = {
    .name = "test",
    .env_prefix = "CONFTEST",
    .file_env = "CONFTEST_CONFIG",
    .summary = "a test",
    .usage = "usage: test\n",
    .keys = keys,
};

static const struct settings nothing;

static void load(const char *yaml, struct settings *s) {
    struct err e = {0};
    if (conf_load_text(&program, "f", yaml, strlen(yaml), s, &e) < 0)
        fail_msg("%s", e.text);
}

static void expect_error(const char *yaml, const char *error) {
    struct settings s = {0};
    struct err e = {0};
    assert_int_equal(conf_load_text(&program, "f", yaml, strlen(yaml), &s, &e), -EINVAL);
    if (strncmp(e.text, error, strlen(error)) != 0)
        fail_msg("'%s' does not begin with '%s'", e.text, error);
    assert_memory_equal(&s, &nothing, sizeof s); /* freed */
}

static void defaults(void **state) {
    (void)state;
    struct settings s = {0};
    load("collector: {endpoint: here}", &s);
    assert_string_equal(s.endpoint, "here");
    assert_string_equal(s.key_file, "/k");
    assert_true(s.on);
    assert_int_equal(s.count, 5);
    assert_int_equal(s.wait, WHEN_S);
    assert_int_equal(s.bytes, 64 << 20);
    assert_int_equal(s.colour, 1);
    assert_int_equal(s.words.n, 2);
    assert_string_equal(s.words.items[1], "b");
    assert_null(s.json);
    assert_int_equal(s.items.n, 0);
    conf_free(&program, &s);
    assert_memory_equal(&s, &nothing, sizeof s);
}

static void every_type_from_yaml(void **state) {
    (void)state;
    struct settings s = {0};
    load("collector:\n  endpoint: \"tcp://x:1\"\n  key_file: rel\n"
         "on: no\ncount: 10\nwait: 1ms\nbytes: 500kB\ncolour: blue\nwords: [x, '', z]\n"
         "json: {b: [1, ~, true], a: 'x'}\n"
         "items:\n  - name: one\n  - {name: two, deep: {nested: n}, wait: 3s, words: [w], json: [1]}\n",
         &s);
    assert_string_equal(s.key_file, "rel"); /* no file, no folder */
    assert_false(s.on);
    assert_int_equal(s.count, 10);
    assert_int_equal(s.wait, WHEN_MS);
    assert_int_equal(s.bytes, 500000);
    assert_int_equal(s.colour, 2);
    assert_int_equal(s.words.n, 3);
    assert_string_equal(s.words.items[1], "");
    assert_string_equal(s.json, "{\"a\":\"x\",\"b\":[1,null,true]}");
    assert_int_equal(s.items.n, 2);
    const struct item *i = s.items.items;
    assert_string_equal(i[0].name, "one");
    assert_string_equal(i[0].nested, "d");
    assert_string_equal(i[0].json, "{}");
    assert_int_equal(i[0].wait, 2 * WHEN_S);
    assert_string_equal(i[1].nested, "n");
    assert_int_equal(i[1].words.n, 1);
    assert_string_equal(i[1].json, "[1]");
    conf_free(&program, &s);
}

static void null_is_not_given(void **state) {
    (void)state;
    struct settings s = {0};
    load("collector: {endpoint: x, key_file: ~}\non:\nitems:\nwords: null\n", &s);
    assert_string_equal(s.key_file, "/k");
    assert_true(s.on);
    assert_int_equal(s.words.n, 2);
    conf_free(&program, &s);
    expect_error("collector: {endpoint: ~}", "f: 'collector.endpoint' is missing: set it there, in "
                                             "CONFTEST_COLLECTOR_ENDPOINT or by --collector-endpoint");
    expect_error("collector:\n", "f: 'collector.endpoint' is missing");
    expect_error("", "f: 'collector.endpoint' is missing");
}

static void unknown_keys(void **state) {
    (void)state;
    expect_error("collector:\n  endpont: x\n",
                 "f:2:3: unknown key 'collector.endpont'; did you mean 'collector.endpoint'?");
    expect_error("cuont: 1\n", "f:1:1: unknown key 'cuont'; did you mean 'count'?");
    expect_error("zzzzzz: 1\n", "f:1:1: unknown key 'zzzzzz'; --help lists what there is");
    expect_error("items:\n  - name: x\n    deep: {nestet: 1}\n",
                 "f:3:12: unknown key 'deep.nestet'; did you mean 'deep.nested'?");
    expect_error("'': 1\n", "f:1:1: unknown key ''");
    expect_error("\"a\\x1bb\": 1\n", "f:1:1: unknown key 'a?b'");
}

static void wrong_types(void **state) {
    (void)state;
    expect_error("collector: 5\n", "f:1:12: collector: must be a section");
    expect_error("collector: {endpoint: [x]}\n", "f:1:23: collector.endpoint: must be a single value");
    expect_error("count: 1.5\n", "f:1:8: count: '1.5' is not a whole number");
    expect_error("count: ' 1'\n", "f:1:8: count: ' 1' is not a whole number");
    expect_error("count: 0\n", "f:1:8: count: 0 is out of range: 1 to 10");
    expect_error("count: 99999999999999999999\n", "f:1:8: count: '99999999999999999999' is not");
    expect_error("wait: 5\n", "f:1:7: wait: '5' is not a duration: write for example");
    expect_error("wait: 61s\n", "f:1:7: wait: 61s is out of range: 1 ms to 1 min 00 s");
    expect_error("bytes: 5MB/s\n", "f:1:8: bytes: '5MB/s' is not a size");
    expect_error("bytes: 9999999999TiB\n", "f:1:8: bytes: '9999999999TiB' is not a size");
    expect_error("bytes: -1\n", "f:1:8: bytes: '-1' is not a size");
    expect_error("on: maybe\n", "f:1:5: on: 'maybe' is not true or false");
    expect_error("colour: pink\n", "f:1:9: colour: 'pink' is none of: red, green, blue");
    expect_error("words: [a, b, c, d]\n", "f:1:18: words: more than 3 elements");
    expect_error("words: [[a]]\n", "f:1:9: words: every element must be a text");
    expect_error("items: x\n", "f:1:8: items: must be a list");
    expect_error("items: [x]\n", "f:1:9: items[0]: must be a section");
    expect_error("items: [{name: a}, {wait: 1s}]\n", "f:1:20: items[1]: 'name' is missing");
    expect_error("items: [{name: a},{name: a},{name: a},{name: a}]\n", "f:1:8: items: 4 elements, over");
    expect_error("[1]\n", "f:1:1: must hold keys and values");
    expect_error("collector: {key_file: \"a\\0b\"}\n", "f:1:23: collector.key_file: a NUL");
}

static void twice(void **state) {
    (void)state;
    expect_error("count: 1\ncount: 2\n", "f:2:1: 'count' is there twice");
    expect_error("collector: {endpoint: a}\ncollector: {endpoint: b}\n", "f:2:1: 'collector' is there twice");
    expect_error("collector: {endpoint: a}\ncollector.endpoint: b\n",
                 "f:2:1: 'collector.endpoint' is there twice");
    expect_error("items: [{name: a, name: b}]\n", "f:1:19: 'name' is there twice");
}

static void hostile_yaml(void **state) {
    (void)state;
    expect_error("a: &a [x]\n", "f:1:4: anchors");
    expect_error("json: [[[[[[[[[1]]]]]]]]]\n", "f:1:14: nested deeper than 8");
    expect_error("count: 1\n---\ncount: 2\n", "f:2:1: a second document");
    expect_error("count: [1\n", "f:2:1: ");
}

/* -------- file, environment, flags -------- */

struct place {
    char folder[32];
    char file[64];
};

static int make_file(void **state) {
    static struct place p;
    (void)snprintf(p.folder, sizeof p.folder, "/tmp/conf-test-XXXXXX");
    if (!mkdtemp(p.folder))
        return -1;
    (void)snprintf(p.file, sizeof p.file, "%s/c.yaml", p.folder);
    FILE *f = fopen(p.file, "w");
    (void)fputs("collector: {endpoint: from-file, key_file: keys/k}\ncount: 2\nwords: [f]\n", f);
    *state = &p;
    return fclose(f);
}

static int remove_file(void **state) {
    struct place *p = *state;
    (void)unsetenv("CONFTEST_CONFIG");
    (void)unsetenv("CONFTEST_COUNT");
    (void)unsetenv("CONFTEST_WORDS");
    (void)unsetenv("CONFTEST_JSON");
    (void)unsetenv("CONFTEST_COLLECTOR_ENDPOINT");
    (void)unlink(p->file);
    return rmdir(p->folder);
}

/* Loads with the given flags. */
static int load_flags(int argc, const char *const *args, struct settings *s, int *rest, struct err *e) {
    char *argv[8];
    for (int i = 0; i < argc; i++)
        argv[i] = strdup(args[i]);
    int r = conf_load(&program, argc, argv, s, rest, e);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return r;
}

static void precedence(void **state) {
    struct place *p = *state;
    struct settings s = {0};
    struct err e;
    int rest = -1;
    char expected[128];
    (void)snprintf(expected, sizeof expected, "%s/keys/k", p->folder);
    assert_int_equal(setenv("CONFTEST_CONFIG", p->file, 1), 0);
    assert_int_equal(conf_load(&program, 0, NULL, &s, &rest, &e), 0);
    assert_int_equal(rest, 0);
    assert_int_equal(s.count, 2);
    assert_string_equal(s.key_file, expected); /* relative to the file */
    conf_free(&program, &s);

    assert_int_equal(setenv("CONFTEST_COUNT", "3", 1), 0);
    assert_int_equal(setenv("CONFTEST_WORDS", "x,y", 1), 0);
    assert_int_equal(setenv("CONFTEST_COLLECTOR_ENDPOINT", "", 1), 0); /* empty: not given */
    assert_int_equal(setenv("CONFTEST_JSON", "{\"k\": [1]}", 1), 0);
    assert_int_equal(conf_load(&program, 0, NULL, &s, &rest, &e), 0);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.words.n, 2);
    assert_string_equal(s.endpoint, "from-file");
    assert_string_equal(s.json, "{\"k\":[1]}");
    conf_free(&program, &s);

    const char *argv[] = {"--count=4", "--no-on",  "--collector-key-file", "r", "--wait", "2s",
                          "rest",      "--count=5"};
    assert_int_equal(load_flags(8, argv, &s, &rest, &e), 0);
    assert_int_equal(rest, 6);
    assert_int_equal(s.count, 4);
    assert_false(s.on);
    assert_int_equal(s.wait, 2 * WHEN_S);
    assert_string_equal(s.key_file, "r");
    conf_free(&program, &s);
}

static void flags_for_booleans_and_files(void **state) {
    struct place *p = *state;
    struct settings s = {0};
    struct err e;
    int rest = -1;
    const char *argv[] = {"--config", p->file, "--on", "false", "--", "--count"};
    assert_int_equal(load_flags(6, argv, &s, &rest, &e), 0);
    assert_int_equal(rest, 5);
    assert_false(s.on);
    conf_free(&program, &s);
    const char *bare[] = {"--config", p->file, "--on=off", "--on", "check"};
    assert_int_equal(load_flags(5, bare, &s, &rest, &e), 0);
    assert_int_equal(rest, 4);
    assert_true(s.on);
    conf_free(&program, &s);
}

static void expect_flag_error(const char *a, const char *b, const char *error) {
    struct settings s = {0};
    struct err e;
    int rest;
    const char *argv[] = {a, b};
    assert_int_equal(load_flags(b ? 2 : 1, argv, &s, &rest, &e), -EINVAL);
    if (strncmp(e.text, error, strlen(error)) != 0)
        fail_msg("'%s' does not begin with '%s'", e.text, error);
    assert_memory_equal(&s, &nothing, sizeof s);
}

static void wrong_flags(void **state) {
    (void)state;
    expect_flag_error("--cuont=5", NULL, "unknown flag '--cuont'; did you mean '--count'?");
    expect_flag_error("--no-count", NULL, "unknown flag '--no-count'");
    expect_flag_error("--count", NULL, "--count needs a value");
    expect_flag_error("--items", "x", "unknown flag '--items'");
    expect_flag_error("--count=x", NULL, "--count=x: 'x' is not a whole number");
    assert_int_equal(setenv("CONFTEST_COUNT", "11", 1), 0);
    expect_flag_error("--on", NULL, "environment CONFTEST_COUNT: 11 is out of range");
    assert_int_equal(unsetenv("CONFTEST_COUNT"), 0);
    expect_flag_error("--on", NULL, "no configuration file: 'collector.endpoint' is missing");
    struct settings s = {0};
    struct err e;
    int rest;
    const char *argv[] = {"--config=/nowhere/c.yaml"};
    assert_int_equal(load_flags(1, argv, &s, &rest, &e), -ENOENT);
    assert_non_null(strstr(e.text, "/nowhere/c.yaml: cannot open"));
}

static char *text_of(void (*print)(const struct conf_program *, FILE *)) {
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    print(&program, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void help_and_reference_name_every_key(void **state) {
    (void)state;
    char *help = text_of(conf_help);
    assert_non_null(strstr(help, "--collector-endpoint TEXT"));
    assert_non_null(strstr(help, "environment CONFTEST_COLLECTOR_ENDPOINT"));
    assert_non_null(strstr(help, "--colour red|green|blue"));
    free(help);
    char *reference = text_of(conf_markdown);
    for (const struct conf_key *k = keys; k->name; k++) {
        char cell[64];
        (void)snprintf(cell, sizeof cell, "| `%s` |", k->name);
        assert_non_null(strstr(reference, cell));
    }
    assert_non_null(strstr(reference, "| `items[].deep.nested` | text | `d` | nested |"));
    assert_non_null(strstr(reference, "a\\|b"));
    free(reference);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_type_from_yaml),
        cmocka_unit_test(null_is_not_given),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(twice),
        cmocka_unit_test(hostile_yaml),
        cmocka_unit_test_setup_teardown(precedence, make_file, remove_file),
        cmocka_unit_test_setup_teardown(flags_for_booleans_and_files, make_file, remove_file),
        cmocka_unit_test(wrong_flags),
        cmocka_unit_test(help_and_reference_name_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
