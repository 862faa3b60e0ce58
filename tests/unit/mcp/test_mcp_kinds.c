/* The REST interfaces beside MCP: what is asked, how answers are read, and the worker's token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/kind.h"
#include "mcp/rpc.h"

static json_t *parse(const char *text) {
    json_t *value = NULL;
    assert_int_equal(js_parse(text, strlen(text), strlen(text), &value, NULL), 0);
    return value;
}

/* ------------------------------------------------------------------ questions */

static void asks(const struct kind *k, const struct kind_call *call, const char *suffix, const char *body) {
    struct kind_question q;
    struct err e;
    assert_int_equal(k->ask_call(&q, call, &e), 0);
    assert_true(q.post && !q.open);
    assert_string_equal(q.suffix, suffix);
    json_t *got = parse(q.body);
    json_t *want = parse(body);
    assert_true(json_equal(got, want));
    json_decref(got);
    json_decref(want);
    free(q.body);
}

static void calls_are_asked_as_documented(void **state) {
    (void)state;
    json_t *arguments = parse("{\"nonce\":\"n\"}");
    struct kind_call whole = {.tool = "Canary.Hold@1.2", .arguments = arguments, .user_id = "u", .id = "c1"};
    struct kind_call bare = {.tool = "Canary.Hold", .id = "c1"};
    asks(&kind_arcade, &whole, "/v1/tools/execute",
         "{\"tool_name\":\"Canary.Hold\",\"tool_version\":\"1.2\",\"input\":{\"nonce\":\"n\"},\"user_id\":"
         "\"u\"}");
    asks(&kind_arcade, &bare, "/v1/tools/execute", "{\"tool_name\":\"Canary.Hold\"}");
    asks(&kind_worker, &whole, "/worker/tools/invoke",
         "{\"execution_id\":\"c1\",\"tool\":{\"name\":\"Hold\",\"toolkit\":\"Canary\",\"version\":\"1.2\"},"
         "\"inputs\":{\"nonce\":\"n\"},\"context\":{\"user_id\":\"u\"}}");
    asks(&kind_worker, &bare, "/worker/tools/invoke",
         "{\"execution_id\":\"c1\",\"tool\":{\"name\":\"Hold\",\"toolkit\":\"Canary\",\"version\":null},"
         "\"inputs\":{},\"context\":{}}");
    json_decref(arguments);
}

static void a_worker_tool_needs_a_toolkit(void **state) {
    static const char *const names[] = {"Hold", "", ".Hold", "Canary.", "Canary.@1", "Canary@1.0"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct kind_question q;
        struct err e;
        struct kind_call call = {.tool = names[i], .id = "c1"};
        assert_int_equal(kind_worker.ask_call(&q, &call, &e), -EINVAL);
        assert_non_null(strstr(e.text, "Toolkit.Name"));
    }
}

static void lists_and_health_are_asked_as_documented(void **state) {
    struct kind_question q;
    (void)state;
    kind_arcade.ask_page(&q, KIND_TOOLS, 0);
    assert_string_equal(q.suffix, "/v1/tools?limit=100&offset=0");
    assert_true(!q.post && !q.open && !q.body);
    kind_arcade.ask_page(&q, KIND_CONFIGURATION, 200);
    assert_string_equal(q.suffix, "/v1/workers?limit=100&offset=200");
    kind_arcade.ask_page(&q, KIND_CONFIGURATION, SIZE_MAX);
    assert_true(strlen(q.suffix) < KIND_SUFFIX_MAX - 1);
    kind_worker.ask_page(&q, KIND_TOOLS, 0);
    assert_string_equal(q.suffix, "/worker/tools");
    kind_arcade.ask_health(&q);
    assert_true(q.open);
    assert_string_equal(q.suffix, "/v1/health");
    kind_worker.ask_health(&q);
    assert_true(q.open);
    assert_string_equal(q.suffix, "/worker/health");
}

/* ------------------------------------------------------------------ answers to calls */

static void only_success_that_holds_no_error_is_a_result(void **state) {
    static const struct {
        const char *body, *error; /* error NULL: a result that holds "held n1" */
    } cases[] = {
        {"{\"success\":true,\"output\":{\"value\":\"held n1\"}}", NULL},
        {"{\"success\":true,\"output\":{\"value\":{\"a\":[\"held n1\"]},\"error\":null}}", NULL},
        {"{\"success\":false,\"output\":{\"value\":\"held n1\"}}", "UNKNOWN"},
        {"{\"success\":false}", "UNKNOWN"},
        {"{\"success\":true,\"output\":{\"value\":\"held n1\",\"error\":{\"kind\":\"TOOL_RUNTIME_FATAL\"}}}",
         "TOOL_RUNTIME_FATAL"},
        {"{\"success\":false,\"output\":{\"error\":{\"kind\":\"NETWORK_TRANSPORT_RUNTIME_UNREACHABLE\","
         "\"message\":\"held n1\"}}}",
         "NETWORK_TRANSPORT_RUNTIME_UNREACHABLE"},
        {"{\"success\":false,\"output\":{\"error\":{\"kind\":\"my password is n1\"}}}", "UNKNOWN"},
        {"{\"success\":false,\"output\":{\"error\":{\"kind\":7}}}", "UNKNOWN"},
        {"{\"success\":false,\"output\":{\"authorization\":{\"status\":\"pending\"}}}", "UNKNOWN"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *body = parse(cases[i].body);
        json_t *result = kind_read_call(body);
        assert_non_null(result);
        assert_int_equal(js_bool(result, "isError", false), cases[i].error != NULL);
        assert_string_equal(kind_error(result), cases[i].error ? cases[i].error : "");
        assert_int_equal(mcp_rpc_contains(result, "held n1"), cases[i].error == NULL);
        json_decref(result);
        json_decref(body);
    }
}

static void a_number_is_found_in_the_value(void **state) {
    (void)state;
    json_t *body = parse("{\"success\":true,\"output\":{\"value\":42}}");
    json_t *result = kind_read_call(body);
    assert_true(mcp_rpc_contains(result, "42"));
    json_decref(result);
    json_decref(body);
}

static void executions_are_carried(void **state) {
    (void)state;
    json_t *body = parse("{\"success\":true,\"executions\":2,\"output\":{\"value\":\"x\"}}");
    json_t *result = kind_read_call(body);
    assert_int_equal(js_int(result, "structuredContent.executions", 0), 2);
    json_decref(result);
    json_decref(body);
}

static void what_does_not_say_success_is_no_answer(void **state) {
    static const char *const bodies[] = {"{}",
                                         "[]",
                                         "{\"success\":1}",
                                         "{\"success\":\"true\"}",
                                         "{\"success\":null,\"output\":{\"value\":\"x\"}}",
                                         "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        json_t *body = parse(bodies[i]);
        assert_null(kind_read_call(body));
        json_decref(body);
    }
    assert_null(kind_read_call(NULL));
}

/* ------------------------------------------------------------------ lists */

static int take(const struct kind *k, enum kind_list what, const char *text, size_t offset, json_t *into,
                size_t *ret_next) {
    struct err e;
    json_t *body = parse(text);
    int r = kind_take_page(k, what, body, offset, 3, into, ret_next, &e);
    json_decref(body);
    return r;
}

#define TOOL(name) "{\"qualified_name\":\"" name "\",\"fully_qualified_name\":\"" name "@1\"}"

static void pages_follow_until_the_total(void **state) {
    (void)state;
    json_t *into = json_array();
    size_t next = 9;
    assert_int_equal(take(&kind_arcade, KIND_TOOLS,
                          "{\"items\":[" TOOL("A.B") "],\"total_count\":2,\"offset\":0}", 0, into, &next),
                     0);
    assert_int_equal(next, 1);
    assert_int_equal(
        take(&kind_arcade, KIND_TOOLS, "{\"items\":[" TOOL("A.C") "],\"total_count\":2}", 1, into, &next), 0);
    assert_int_equal(next, 0);
    assert_int_equal(json_array_size(into), 2);
    assert_string_equal(js_str(into, "1.name", ""), "A.C");
    /* Without a total the list ends with the page, as for the vendor's SDK. */
    assert_int_equal(take(&kind_arcade, KIND_TOOLS, "{\"items\":[" TOOL("A.D") "]}", 2, into, &next), 0);
    assert_int_equal(next, 0);
    /* Full. */
    assert_int_equal(take(&kind_arcade, KIND_TOOLS, "{\"items\":[" TOOL("A.E") "]}", 3, into, &next),
                     -EPROTO);
    json_decref(into);
}

static void what_is_no_page_is_refused(void **state) {
    static const char *const bodies[] = {"{}",
                                         "[]",
                                         "{\"items\":{}}",
                                         "{\"items\":[],\"total_count\":5}",
                                         "{\"items\":[7]}",
                                         "{\"items\":[{\"name\":\"B\"}]}",
                                         "{\"items\":[{\"qualified_name\":\"@1\"}]}"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        json_t *into = json_array();
        size_t next = 0;
        assert_int_equal(take(&kind_arcade, KIND_TOOLS, bodies[i], 0, into, &next), -EPROTO);
        json_decref(into);
    }
    json_t *into = json_array();
    size_t next = 9;
    assert_int_equal(take(&kind_arcade, KIND_TOOLS, "{\"items\":[],\"total_count\":0}", 0, into, &next), 0);
    assert_int_equal(next, 0);
    assert_int_equal(take(&kind_worker, KIND_TOOLS, "{\"items\":[]}", 0, into, &next), -EPROTO);
    assert_int_equal(take(&kind_worker, KIND_TOOLS, "[" TOOL("A.B") "]", 0, into, &next), 0);
    assert_int_equal(take(&kind_arcade, KIND_CONFIGURATION, "{\"items\":[\"x\"]}", 0, into, &next), -EPROTO);
    json_decref(into);
}

/* What a user has authorized, and whether it is met right now, is no configuration. */
static void the_volatile_is_left_out(void **state) {
    (void)state;
    json_t *into = json_array();
    size_t next = 0;
    assert_int_equal(
        take(&kind_arcade, KIND_TOOLS,
             "{\"items\":[{\"fully_qualified_name\":\"A.B@1\",\"description\":\"d\",\"toolkit\":{\"name\":"
             "\"A\","
             "\"version\":\"1\"},\"input\":{\"parameters\":[{\"name\":\"status\"}]},\"formatted_schema\":{},"
             "\"requirements\":{\"met\":true,\"secrets\":[{\"key\":\"K\",\"met\":false}],\"authorization\":{"
             "\"provider_id\":\"p\",\"status\":\"active\",\"token_status\":\"pending\",\"status_reason\":"
             "\"r\"}}}]}",
             0, into, &next),
        0);
    assert_int_equal(take(&kind_arcade, KIND_CONFIGURATION,
                          "{\"items\":[{\"id\":\"w\",\"enabled\":true,\"http\":{\"uri\":\"u\",\"retry\":3},"
                          "\"requirements\":{\"met\":true}}]}",
                          0, into, &next),
                     0);
    json_t *want =
        parse("[{\"name\":\"A.B\",\"description\":\"d\",\"inputSchema\":{\"version\":\"1\",\"input\":{"
              "\"parameters\":[{\"name\":\"status\"}]},\"requirements\":{\"secrets\":[{\"key\":\"K\"}],"
              "\"authorization\":{\"provider_id\":\"p\"}}}},"
              "{\"id\":\"w\",\"enabled\":true,\"http\":{\"uri\":\"u\",\"retry\":3},\"requirements\":{}}]");
    assert_true(json_equal(into, want));
    json_decref(want);
    json_decref(into);
}

static void health_is_what_says_so(void **state) {
    static const struct {
        const struct kind *k;
        const char *body, *reason; /* NULL: healthy */
    } cases[] = {{&kind_arcade, "{\"healthy\":true}", NULL},
                 {&kind_arcade, "{\"healthy\":false,\"reason\":\"no\\u0007 database\"}", "no? database"},
                 {&kind_arcade, "{\"healthy\":\"true\"}", "it does not say that it is healthy"},
                 {&kind_arcade, "[]", "it does not say that it is healthy"},
                 {&kind_worker, "{\"status\":\"ok\"}", NULL},
                 {&kind_worker, "{\"status\":\"down\"}", "its status is not ok"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char reason[KIND_REASON_MAX];
        json_t *body = parse(cases[i].body);
        assert_int_equal(cases[i].k->read_health(body, reason), cases[i].reason == NULL);
        assert_string_equal(reason, cases[i].reason ? cases[i].reason : "");
        json_decref(body);
    }
}

/* ------------------------------------------------------------------ token */

/* RFC 7519, 3.1 and RFC 7515, 5.1: the signature over both parts as they are sent. */
static void a_token_is_signed_and_short_lived(void **state) {
    char token[KIND_TOKEN_MAX];
    char text[KIND_TOKEN_MAX];
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    unsigned char right[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state s;
    size_t n;
    (void)state;
    assert_int_equal(kind_token("a worker secret", 1800000000 * WHEN_S + 5, token), 0);
    char *first = strchr(token, '.');
    char *last = strrchr(token, '.');
    assert_true(first && last > first);
    assert_int_equal(sodium_base642bin((unsigned char *)text, sizeof text, first + 1,
                                       (size_t)(last - first - 1), NULL, &n, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    text[n] = 0;
    assert_string_equal(text, "{\"aud\":\"worker\",\"exp\":1800000060,\"ver\":\"1\"}");
    assert_int_equal(sodium_base642bin(mac, sizeof mac, last + 1, strlen(last + 1), NULL, &n, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    assert_int_equal(n, sizeof mac);
    crypto_auth_hmacsha256_init(&s, (const unsigned char *)"a worker secret", 15);
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)token, (size_t)(last - token));
    crypto_auth_hmacsha256_final(&s, right);
    assert_memory_equal(mac, right, sizeof mac);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_asked_as_documented),
        cmocka_unit_test(a_worker_tool_needs_a_toolkit),
        cmocka_unit_test(lists_and_health_are_asked_as_documented),
        cmocka_unit_test(only_success_that_holds_no_error_is_a_result),
        cmocka_unit_test(a_number_is_found_in_the_value),
        cmocka_unit_test(executions_are_carried),
        cmocka_unit_test(what_does_not_say_success_is_no_answer),
        cmocka_unit_test(pages_follow_until_the_total),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(the_volatile_is_left_out),
        cmocka_unit_test(health_is_what_says_so),
        cmocka_unit_test(a_token_is_signed_and_short_lived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
