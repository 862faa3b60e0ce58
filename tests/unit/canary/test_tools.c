/* The tools: arguments, answers, and which are offered. */
#include "check.h"

#include <errno.h>
#include <sys/stat.h>

#include "canary/tools.h"

static const struct tool_identity who = {.host = "h", .start = "0123456789abcdef", .pid = 7};

/* What the tool answers, or its error; the caller frees. NULL arguments: none were given. */
static char *answer(enum tool t, const char *arguments, struct tool_call *call, int *rc) {
    json_t *o = arguments ? parse(arguments) : NULL;
    struct err e;
    char *text = NULL;
    *rc = tool_prepare(t, o, &who, call, &text, &e);
    json_decref(o);
    return *rc ? strdup(e.text) : text;
}

static void good(enum tool t, const char *arguments, const char *expected) {
    struct tool_call call;
    int rc;
    char *text = answer(t, arguments, &call, &rc);
    assert_string_equal(text, expected);
    assert_int_equal(rc, 0);
    free(text);
}

static void bad(enum tool t, const char *arguments, const char *part) {
    struct tool_call call;
    int rc;
    char *text = answer(t, arguments, &call, &rc);
    assert_int_equal(rc, -EINVAL);
    assert_non_null(strstr(text, part));
    free(text);
}

static void answers(void **state) {
    good(TOOL_ECHO, "{\"text\":\"hi\"}", "hi");
    good(TOOL_ECHO, "{\"text\":\"\"}", "");
    good(TOOL_ECHO, "{\"nonce\":\"n-1\"}", "n-1");
    good(TOOL_ECHO, "{\"text\":\"hi\",\"nonce\":\"n-1\",\"other\":[]}", "hi n-1");
    good(TOOL_HOLD, "{\"seconds\":2.5,\"nonce\":\"x\"}", "held 2.5 s x");
    good(TOOL_SUM, "{\"a\":2,\"b\":40}", "42");
    good(TOOL_SUM, "{\"a\":2.5,\"b\":40,\"nonce\":\"x\"}", "42.5 x");
    good(TOOL_SUM, "{\"a\":9223372036854775807,\"b\":1}", "9.2233720368547758e+18");
    good(TOOL_WHOAMI, NULL, "pilotgate-canary " PILOTGATE_VERSION " host h pid 7 start 0123456789abcdef");
    (void)state;
}

static void refuses(void **state) {
    bad(TOOL_ECHO, "{}", "text");
    bad(TOOL_ECHO, NULL, "text");
    bad(TOOL_ECHO, "{\"text\":1}", "must be a string");
    bad(TOOL_ECHO, "{\"nonce\":\"a\\\"b\"}", "nonce");
    bad(TOOL_ECHO, "{\"nonce\":\"\"}", "nonce");
    bad(TOOL_HOLD, "{\"nonce\":\"x\"}", "seconds");
    bad(TOOL_HOLD, "{\"seconds\":\"1\"}", "must be a number");
    bad(TOOL_HOLD, "{\"seconds\":-0.1}", "0 to 120");
    bad(TOOL_HOLD, "{\"seconds\":120.1}", "0 to 120");
    bad(TOOL_HOLD, "{\"seconds\":1,\"stream\":1}", "must be a boolean");
    bad(TOOL_SUM, "{\"a\":1e308,\"b\":1e308}", "range");
    (void)state;
}

static void long_texts(void **state) {
    char *arguments = malloc(TOOL_TEXT_MAX + 100);
    snprintf(arguments, TOOL_TEXT_MAX + 100, "{\"text\":\"%*s\"}", TOOL_TEXT_MAX, "x");
    struct tool_call call;
    int rc;
    char *text = answer(TOOL_ECHO, arguments, &call, &rc);
    assert_int_equal(rc, 0);
    assert_int_equal(strlen(text), TOOL_TEXT_MAX);
    free(text);
    snprintf(arguments, TOOL_TEXT_MAX + 100, "{\"text\":\"%*s\"}", TOOL_TEXT_MAX + 1, "x");
    bad(TOOL_ECHO, arguments, "limit");
    snprintf(arguments, TOOL_TEXT_MAX + 100, "{\"seconds\":0,\"nonce\":\"%0128d\"}", 0);
    char expected[256];
    snprintf(expected, sizeof expected, "held 0 s %0128d", 0);
    good(TOOL_HOLD, arguments, expected);
    snprintf(arguments, TOOL_TEXT_MAX + 100, "{\"seconds\":0,\"nonce\":\"%0129d\"}", 0);
    bad(TOOL_HOLD, arguments, "nonce");
    free(arguments);
    (void)state;
}

static void stream_choice(void **state) {
    struct tool_call call;
    int rc;
    free(answer(TOOL_HOLD, "{\"seconds\":1}", &call, &rc));
    assert_false(call.stream_set);
    free(answer(TOOL_HOLD, "{\"seconds\":1,\"stream\":false}", &call, &rc));
    assert_true(call.stream_set && !call.stream);
    free(answer(TOOL_HOLD, "{\"seconds\":1,\"stream\":true}", &call, &rc));
    assert_true(call.stream_set && call.stream);
    (void)state;
}

static void names(void **state) {
    unsigned mask = 0;
    struct err e;
    assert_int_equal(tools_parse("echo, sum", ',', true, &mask, &e), 0);
    assert_int_equal(mask, 1u << TOOL_ECHO | 1u << TOOL_SUM);
    assert_int_equal(tools_parse("# all\nhold\r\n\n", '\n', true, &mask, &e), 0);
    assert_int_equal(mask, 1u << TOOL_HOLD);
    assert_int_equal(tools_parse("", ',', true, &mask, &e), 0);
    assert_int_equal(mask, 0);
    assert_int_equal(tools_parse("hold,rm -rf", ',', true, &mask, &e), -EINVAL);
    assert_non_null(strstr(e.text, "rm -rf"));
    assert_int_equal(tools_parse("hold,rm", ',', false, &mask, &e), 0);
    assert_int_equal(mask, 1u << TOOL_HOLD);
    assert_int_equal(tool_find("hold"), TOOL_HOLD);
    assert_int_equal(tool_find("HOLD"), TOOL_HOLD);
    assert_int_equal(tool_find(""), -1);
    (void)state;
}

static int warnings;

static void count_warning(const char *text) {
    assert_non_null(strstr(text, "tools file"));
    warnings++;
}

static void replace_file(const char *path, const char *text) {
    char fresh[64];
    write_temp(fresh, text);
    assert_int_equal(rename(fresh, path), 0);
}

static void follows_its_file(void **state) {
    char path[64];
    struct tools *t;
    struct err e;
    int64_t now = 1000 * WHEN_S;
    warnings = 0;
    write_temp(path, "echo\nhold\n");
    assert_int_equal(tools_open("sum", path, count_warning, &t, &e), 0);
    assert_int_equal(tools_offered(t, now), 1u << TOOL_ECHO | 1u << TOOL_HOLD);
    replace_file(path, "sum\n");
    assert_int_equal(tools_offered(t, now + 199 * WHEN_MS), 1u << TOOL_ECHO | 1u << TOOL_HOLD);
    assert_int_equal(tools_offered(t, now += 200 * WHEN_MS), 1u << TOOL_SUM);
    replace_file(path, "nonsense\n");
    assert_int_equal(tools_offered(t, now += WHEN_S), 1u << TOOL_SUM);
    assert_int_equal(tools_offered(t, now += WHEN_S), 1u << TOOL_SUM);
    assert_int_equal(warnings, 1);
    unlink(path);
    assert_int_equal(tools_offered(t, now += WHEN_S), 1u << TOOL_SUM);
    assert_int_equal(tools_offered(t, now += WHEN_S), 1u << TOOL_SUM);
    assert_int_equal(warnings, 2);
    replace_file(path, "whoami");
    assert_int_equal(tools_offered(t, now += WHEN_S), 1u << TOOL_WHOAMI);
    unlink(path);
    tools_close(&t);
    assert_null(t);
    assert_int_equal(tools_open(NULL, path, NULL, &t, &e), -ENOENT);
    assert_int_equal(tools_open("x", NULL, NULL, &t, &e), -EINVAL);
    (void)state;
}

static void catalogues_are_complete(void **state) {
    for (int i = 0; i < TOOL_COUNT; i++) {
        json_t *mcp = tool_describe((enum tool)i), *arcade = tool_describe_arcade((enum tool)i);
        assert_string_equal(js_str(mcp, "name", ""), tool_name((enum tool)i));
        assert_string_equal(js_str(mcp, "inputSchema.type", ""), "object");
        assert_int_equal(tool_find(js_str(arcade, "name", "")), i);
        assert_int_equal(json_array_size(js_at(arcade, "input.parameters")),
                         json_object_size(js_at(mcp, "inputSchema.properties")));
        json_decref(mcp);
        json_decref(arcade);
    }
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers),
                                       cmocka_unit_test(refuses),
                                       cmocka_unit_test(long_texts),
                                       cmocka_unit_test(stream_choice),
                                       cmocka_unit_test(names),
                                       cmocka_unit_test(follows_its_file),
                                       cmocka_unit_test(catalogues_are_complete)};
    return cmocka_run_group_tests(tests, sodium_ready, NULL);
}
