/* Tests of conf_yaml_to_json and conf_read_file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/js.h"

static void expect_json(const char *yaml, const char *json) {
    json_t *v = NULL;
    struct err e = {0};
    int r = conf_yaml_to_json("t", yaml, strlen(yaml), &v, &e);
    if (r < 0)
        fail_msg("%s: %s", yaml, e.text);
    char *text = js_canonical(v);
    assert_string_equal(text, json);
    free(text);
    json_decref(v);
}

static void expect_error(const char *yaml, const char *error) {
    json_t *v = (json_t *)&v;
    struct err e = {0};
    assert_int_equal(conf_yaml_to_json("t", yaml, strlen(yaml), &v, &e), -EINVAL);
    if (strncmp(e.text, error, strlen(error)) != 0)
        fail_msg("'%s' does not begin with '%s'", e.text, error);
    assert_ptr_equal(v, &v);
}

static void core_schema(void **state) {
    (void)state;
    expect_json("[~, null, Null, NULL, ]", "[null,null,null,null]");
    expect_json("a:\n", "{\"a\":null}");
    expect_json("[true, True, TRUE, false, yes, no, on]", "[true,true,true,false,\"yes\",\"no\",\"on\"]");
    expect_json("[1, -2, +3, 007, 0o17, 0x1F, 0o8]", "[1,-2,3,7,15,31,\"0o8\"]");
    expect_json("[1.5, -.5, 1e3, 2., '1', \"2\", 1.2.3, 1_000, -]",
                "[1.5,-0.5,1000.0,2.0,\"1\",\"2\",\"1.2.3\",\"1_000\",\"-\"]");
    expect_json("a: !!str 5\nb: |\n  x\n  y\nc: ! 5\n", "{\"a\":5,\"b\":\"x\\ny\\n\",\"c\":5}");
    expect_json("# nothing\n", "null");
    expect_json("", "null");
    expect_json("{\"json\": [1, {\"a\": \"b\\u00e9\"}]}", "{\"json\":[1,{\"a\":\"b\xc3\xa9\"}]}");
}

static void refused(void **state) {
    (void)state;
    expect_error("a: &x 1\n", "t:1:4: anchors are not supported");
    expect_error("a: 1\nb: *x\n", "t:2:4: aliases are not supported");
    expect_error("a: 1\n---\nb: 2\n", "t:2:1: a second document");
    expect_error("a: !!binary eA==\n", "t:1:4: tags other than");
    expect_error("a: !!python/object:x {}\n", "t:1:4: tags other than");
    expect_error("a: 1\nb:\n  a: 2\n  a: 3\n", "t:4:3: 'a' is there twice");
    expect_error("? [a]\n: b\n", "t:1:3: a key must be a text");
    expect_error("a: [1, 2\n", "t:2:1: did not find expected ',' or ']'");
    expect_error("a: 'x\n", "t:2:1: ");
    expect_error("a: .inf\n", "t:1:4: '.inf' has no counterpart");
    expect_error("a: 99999999999999999999\n", "t:1:4: '99999999999999999999' is too large");
    expect_error("a: 1e999\n", "t:1:4: '1e999' is too large");
    expect_error("a: \"x\\0y\"\n", "t:1:4: a NUL");
    expect_error("a: \xff\xfe\n", "t: ");
    expect_error("\ta: 1\n", "t:1:1: ");
}

static void depth_is_bounded(void **state) {
    (void)state;
    char text[4000];
    for (size_t depth = CONF_YAML_DEPTH; depth <= CONF_YAML_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = 0;
        if (depth == CONF_YAML_DEPTH)
            expect_json(text, text);
        else
            expect_error(text, "t:1:65: nested deeper than 64");
    }
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = 0;
    expect_error(text, "t:1:65: nested deeper than 64");
}

static void size_is_bounded(void **state) {
    (void)state;
    char *text = malloc(CONF_FILE_MAX + 2);
    memset(text, ' ', CONF_FILE_MAX + 1);
    text[CONF_FILE_MAX + 1] = 0;
    expect_error(text, "t: longer than");
    for (size_t i = 0; i < CONF_FILE_MAX - 2; i += 2)
        memcpy(text + i, "1,", 2);
    text[0] = '[';
    text[CONF_FILE_MAX - 1] = 0;
    expect_error(text, "t:1:"); /* too many values, found before any is built */
    free(text);
}

/* Every prefix of a document ends in an answer, not in a crash. */
static void prefixes_do_no_harm(void **state) {
    (void)state;
    static const char text[] = "a: [1, {b: \"x\\u00e9\"}]\nc: |\n  text\n\n# end\n? d\n: - e\n  - 'f'\n";
    for (size_t n = 0; n < sizeof text; n++) {
        json_t *v = NULL;
        struct err e;
        char *exact = malloc(n ? n : 1); /* so that a read beyond the end is seen */
        memcpy(exact, text, n);
        if (conf_yaml_to_json("t", exact, n, &v, &e) == 0)
            json_decref(v);
        free(exact);
    }
}

static void files_are_bounded(void **state) {
    (void)state;
    char folder[] = "/tmp/conf-test-XXXXXX";
    char path[64];
    char *text = NULL;
    size_t len = 0;
    struct err e;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/f", folder);
    FILE *f = fopen(path, "w");
    assert_int_equal(fwrite("0123456789", 1, 10, f), 10);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(conf_read_file(path, 10, &text, &len, &e), 0);
    assert_int_equal(len, 10);
    assert_string_equal(text, "0123456789");
    free(text);
    text = NULL;
    assert_int_equal(conf_read_file(path, 9, &text, &len, &e), -EFBIG);
    assert_non_null(strstr(e.text, "longer than 9 bytes"));
    assert_int_equal(conf_read_file(folder, 9, &text, &len, &e), -EISDIR);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(conf_read_file(path, 9, &text, &len, &e), -ENOENT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(conf_read_file(path, 9, &text, &len, &e), -EINVAL); /* and does not wait for a writer */
    assert_null(text);
    (void)unlink(path);
    (void)rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(core_schema),         cmocka_unit_test(refused),
        cmocka_unit_test(depth_is_bounded),    cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(prefixes_do_no_harm), cmocka_unit_test(files_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
