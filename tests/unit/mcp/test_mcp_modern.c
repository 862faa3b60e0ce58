/* What revision 2026-07-28 puts into requests: metadata, header values, and headers that a tool's schema asks
 * for. Cases are the specification's (basic/transports/streamable-http) and hostile ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "mcp/modern.h"
#include "mcp/rpc.h"

static json_t *parse(const char *text) {
    json_t *m = json_loads(text, 0, NULL);
    if (!m)
        fail_msg("no JSON: %s", text);
    return m;
}

static void test_header_values(void **state) {
    (void)state;
    static const struct {
        const char *value, *header;
    } cases[] = {
        {"us-west1", "us-west1"},
        {"us west 1", "us west 1"},
        {"Hello, \xe4\xb8\x96\xe7\x95\x8c", "=?base64?SGVsbG8sIOS4lueVjA==?="},
        {" padded ", "=?base64?IHBhZGRlZCA=?="},
        {"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
        {"\tindented", "=?base64?CWluZGVudGVk?="},
        {"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
        {"=?base64?open", "=?base64?open"},
        {"=?base64?=", "=?base64?="}, /* prefix and suffix share characters: not the form */
        {"", "=?base64?"
             "?="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = mcp_modern_header_value(cases[i].value, strlen(cases[i].value));
        assert_string_equal(got, cases[i].header);
        free(got);
    }
    char *got = mcp_modern_header_value("a\0b", 3);
    assert_string_equal(got, "=?base64?YQBi?=");
    free(got);
}

static void test_params(void **state) {
    (void)state;
    json_t *params = parse("{\"name\":\"hold\",\"_meta\":{\"progressToken\":7}}");
    json_t *capabilities = parse("{\"elicitation\":{}}");
    json_t *own = mcp_modern_params(params, MCP_MODERN_REVISION, capabilities);
    const json_t *meta = json_object_get(own, "_meta");
    assert_string_equal(js_str(meta, "/io.modelcontextprotocol~1protocolVersion", ""), "2026-07-28");
    assert_non_null(js_at(meta, "/io.modelcontextprotocol~1clientCapabilities/elicitation"));
    assert_string_equal(js_str(meta, "/io.modelcontextprotocol~1clientInfo/name", ""), "pilotgate-agent");
    assert_int_equal(js_int(meta, "progressToken", 0), 7);
    assert_string_equal(js_str(own, "name", ""), "hold");
    assert_int_equal(json_object_size(json_object_get(params, "_meta")), 1); /* ours is a copy */
    json_decref(own);
    own = mcp_modern_params(NULL, MCP_MODERN_REVISION, NULL);
    assert_int_equal(json_object_size(js_at(own, "/_meta/io.modelcontextprotocol~1clientCapabilities")), 0);
    json_decref(own);
    json_decref(params);
    json_decref(capabilities);
}

static void test_result_types(void **state) {
    (void)state;
    static const struct {
        const char *result;
        enum mcp_result_type type;
    } cases[] = {
        {"{}", MCP_RESULT_COMPLETE},
        {"{\"inputRequests\":{}}", MCP_RESULT_COMPLETE},
        {"{\"resultType\":\"complete\"}", MCP_RESULT_COMPLETE},
        {"{\"resultType\":\"input_required\"}", MCP_RESULT_INPUT_REQUIRED},
        {"{\"resultType\":\"task\"}", MCP_RESULT_UNKNOWN},
        {"{\"resultType\":null}", MCP_RESULT_UNKNOWN},
        {"{\"resultType\":1}", MCP_RESULT_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *result = parse(cases[i].result);
        assert_int_equal(mcp_modern_result_type(result), cases[i].type);
        json_decref(result);
    }
}

static void test_choice(void **state) {
    (void)state;
    json_t *list = parse("[\"2031-01-01\",7,\"2025-06-18\",\"2026-07-28\",\"2025-11-25\"]");
    assert_string_equal(mcp_modern_choose(list, false), "2026-07-28");
    assert_string_equal(mcp_modern_choose(list, true), "2025-06-18");
    assert_string_equal(mcp_modern_choose(NULL, true), "");
    json_decref(list);
    assert_true(mcp_modern_is_error(-32020) && mcp_modern_is_error(-32022));
    assert_false(mcp_modern_is_error(-32601) || mcp_modern_is_error(0));
}

/* ------------------------------------------------------------------ annotations */

static json_t *annotations_of(const char *schema) {
    json_t *s = parse(schema);
    json_t *found = NULL;
    struct err e;
    if (mcp_modern_annotations(s, &found, &e) < 0)
        fail_msg("%s: %s", schema, e.text);
    json_decref(s);
    return found;
}

static void test_annotations(void **state) {
    (void)state;
    json_t *found = annotations_of(
        "{\"type\":\"object\",\"properties\":{\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"
        "\"deep\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":[\"integer\",\"null\"],"
        "\"x-mcp-header\":\"N\"}}},\"plain\":{\"type\":\"number\"},\"x-mcp-header\":{\"type\":\"array\"},"
        "\"d\":{\"type\":\"object\",\"default\":{\"x-mcp-header\":\"data\"}}},"
        "\"$defs\":{\"x-mcp-header\":{\"type\":\"string\"}}}");
    assert_int_equal(json_array_size(found), 2);
    assert_string_equal(js_str(found, "0.header", ""), "Mcp-Param-Region");
    assert_string_equal(js_str(found, "0.path.0", ""), "region");
    assert_string_equal(js_str(found, "1.path.0", ""), "deep");
    assert_string_equal(js_str(found, "1.path.1", ""), "n");
    json_decref(found);
    found = annotations_of("{}");
    assert_int_equal(json_array_size(found), 0);
    json_decref(found);
    assert_int_equal(mcp_modern_annotations(NULL, &found, NULL), 0);
    json_decref(found);
}

#define ONE(type, name) "{\"properties\":{\"v\":{\"type\":\"" type "\",\"x-mcp-header\":" name "}}}"

static void test_invalid_annotations(void **state) {
    (void)state;
    static const char *const bad[] = {
        ONE("string", "\"\""),
        ONE("string", "\"My Region\""),
        ONE("string", "\"Region:Primary\""),
        ONE("string", "\"R\xc3\xa9gion\""),
        ONE("string", "\"Region\\t1\""),
        ONE("string", "\"Region\\r\\nX: y\""),
        ONE("string", "7"),
        ONE("string", "null"),
        ONE("object", "\"Data\""),
        ONE("array", "\"Items\""),
        ONE("null", "\"Nil\""),
        ONE("number", "\"Score\""),
        "{\"properties\":{\"v\":{\"x-mcp-header\":\"A\"}}}",
        "{\"properties\":{\"v\":{\"type\":[\"string\",\"number\"],\"x-mcp-header\":\"A\"}}}",
        "{\"properties\":{\"v\":{\"type\":[\"null\"],\"x-mcp-header\":\"A\"}}}",
        "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"My\"},"
        "\"b\":{\"type\":\"string\",\"x-mcp-header\":\"my\"}}}",
        "{\"x-mcp-header\":\"Root\",\"type\":\"string\"}",
        "{\"properties\":{\"v\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}"
        "}",
        "{\"allOf\":[{\"properties\":{\"v\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}]}",
        "{\"$defs\":{\"d\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}",
        "{\"if\":{\"properties\":{\"v\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}}",
        "{\"patternProperties\":{\"^a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *s = parse(bad[i]);
        json_t *found = NULL;
        struct err e = {""};
        if (mcp_modern_annotations(s, &found, &e) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
        assert_true(*e.text);
        assert_null(found);
        json_decref(s);
    }
}

static void test_too_many_annotations(void **state) {
    (void)state;
    json_t *properties = json_object();
    char name[16];
    for (int i = 0; i <= MCP_MODERN_HEADERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "p%d", i);
        (void)json_object_set_new(properties, name,
                                  json_pack("{s:s,s:s}", "type", "string", "x-mcp-header", name));
    }
    json_t *schema = json_pack("{s:o}", "properties", properties);
    json_t *found = NULL;
    assert_int_equal(mcp_modern_annotations(schema, &found, NULL), -EINVAL);
    json_decref(schema);
}

/* The header's value for an argument; NULL: none is sent. */
static char *value_of(const char *argument) {
    char text[256];
    char *value = NULL;
    struct err e;
    (void)snprintf(text, sizeof text, "{\"a\":{\"b\":%s}}", argument);
    json_t *arguments = parse(text);
    json_t *annotation = parse("{\"header\":\"Mcp-Param-B\",\"path\":[\"a\",\"b\"]}");
    if (mcp_modern_param(annotation, arguments, &value, &e) < 0)
        value = strdup("-");
    json_decref(annotation);
    json_decref(arguments);
    return value;
}

static void test_arguments(void **state) {
    (void)state;
    static const struct {
        const char *argument, *value;
    } cases[] = {
        {"\"us-west1\"", "us-west1"},
        {"42", "42"},
        {"-7", "-7"},
        {"42.0", "42"},
        {"true", "true"},
        {"false", "false"},
        {"\"\"", "=?base64?"
                 "?="},
        {"9007199254740991", "9007199254740991"},
        {"9007199254740992", "-"},
        {"-9223372036854775808", "-"},
        {"null", NULL},
        {"{}", NULL},
        {"[1]", NULL},
        {"1.5", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = value_of(cases[i].argument);
        if (!got || !cases[i].value)
            assert_true(!got && !cases[i].value);
        else
            assert_string_equal(got, cases[i].value);
        free(got);
    }
    json_t *annotation = parse("{\"header\":\"Mcp-Param-B\",\"path\":[\"a\",\"b\"]}");
    char *value = NULL;
    assert_int_equal(mcp_modern_param(annotation, NULL, &value, NULL), 0);
    assert_null(value);
    char *large = malloc(MCP_MODERN_VALUE_MAX + 2);
    memset(large, 'x', MCP_MODERN_VALUE_MAX + 1);
    large[MCP_MODERN_VALUE_MAX + 1] = 0;
    json_t *arguments = json_pack("{s:{s:s}}", "a", "b", large);
    assert_int_equal(mcp_modern_param(annotation, arguments, &value, NULL), -EINVAL);
    json_decref(arguments);
    json_decref(annotation);
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_values),        cmocka_unit_test(test_params),
        cmocka_unit_test(test_result_types),         cmocka_unit_test(test_choice),
        cmocka_unit_test(test_annotations),          cmocka_unit_test(test_invalid_annotations),
        cmocka_unit_test(test_too_many_annotations), cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
