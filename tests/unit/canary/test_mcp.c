/* The protocol of both eras as a function: what each request gets. */
#include "check.h"

#include "canary/mcp.h"

#define INIT \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\"}}"
#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

#define CALL "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\"}}"

static const struct tool_identity who = {.host = "h", .start = "0123456789abcdef", .pid = 7};

struct fixture {
    struct tools *tools;
    struct mcp *mcp;
    struct reply reply;
    uint32_t executions; /* what is known of them when the answer goes out */
    json_t *body;
    char session[REPLY_SESSION_MAX];
};

/* Hands over the request with the usual headers filled in; then reply and body say what came. */
static void send_request(struct fixture *f, struct mcp_request q, const char *body) {
    reply_free(&f->reply);
    json_decref(f->body);
    f->body = NULL;
    q.http_method = q.http_method ? q.http_method : "POST";
    q.accept = q.accept ? q.accept : "application/json, text/event-stream";
    q.content_type = q.content_type ? q.content_type : "application/json; charset=utf-8";
    q.body = body;
    q.len = strlen(body);
    mcp_handle(f->mcp, &q, &f->reply);
    reply_finish(&f->reply, &(struct reply_end){.executions = f->executions});
    if (f->reply.body)
        f->body = parse(f->reply.body);
}

static void expect(struct fixture *f, int status, int64_t code) {
    assert_int_equal(f->reply.status, status);
    assert_int_equal(js_int(f->body, "error.code", 0), code);
}

static void open_session(struct fixture *f, const char *version, const char *answered) {
    char body[256];
    snprintf(body, sizeof body, INIT, version);
    send_request(f, (struct mcp_request){0}, body);
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "result.protocolVersion", ""), answered);
    assert_int_equal(strlen(f->reply.session), 32);
    memcpy(f->session, f->reply.session, sizeof f->session);
}

static void in_session(struct fixture *f, const char *body) {
    send_request(f, (struct mcp_request){.session = f->session, .version = "2025-11-25"}, body);
}

static int set_up_with(void **state, size_t page_size, bool notices) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e;
    if (sodium_init() < 0 || tools_open(NULL, NULL, NULL, &f->tools, &e))
        return -1;
    struct mcp_config config = {.tools = f->tools, .who = &who, .page_size = page_size, .notices = notices};
    *state = f;
    return mcp_new(&config, &f->mcp);
}

static int set_up(void **state) {
    return set_up_with(state, 0, false);
}

static int set_up_pages_of_3(void **state) {
    return set_up_with(state, 3, false);
}

static int set_up_notices(void **state) {
    return set_up_with(state, 0, true);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    reply_free(&f->reply);
    json_decref(f->body);
    mcp_free(&f->mcp);
    tools_close(&f->tools);
    free(f);
    return 0;
}

static void legacy_session(void **state) {
    struct fixture *f = *state;
    open_session(f, "2025-06-18", "2025-06-18");
    open_session(f, "1999-01-01", "2025-11-25");
    send_request(f, (struct mcp_request){.session = f->session},
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    assert_int_equal(f->reply.status, 202);
    assert_null(f->reply.body);
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "id", ""), "p");
    assert_int_equal(json_object_size(js_at(f->body, "result")), 0);
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"prompts/list\"}");
    expect(f, 200, -32601);
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    assert_int_equal(f->reply.status, 202);
    send_request(f, (struct mcp_request){.http_method = "DELETE", .session = f->session}, "");
    assert_int_equal(f->reply.status, 204);
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}");
    expect(f, 404, -32001);
}

static void legacy_refusals(void **state) {
    struct fixture *f = *state;
    const char *ping = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
    send_request(f, (struct mcp_request){0}, ping);
    expect(f, 400, -32600);
    send_request(f, (struct mcp_request){.session = "0123"}, ping);
    expect(f, 404, -32001);
    open_session(f, "2025-11-25", "2025-11-25");
    send_request(f, (struct mcp_request){.session = f->session, .version = "2031-01-01"}, ping);
    expect(f, 400, -32022);
    assert_int_equal(json_array_size(js_at(f->body, "error.data.supported")), 3);
    send_request(f, (struct mcp_request){.http_method = "GET", .session = f->session}, "");
    expect(f, 405, -32600);
    assert_string_equal(f->reply.allow, "POST, DELETE");
    send_request(f, (struct mcp_request){.http_method = "DELETE"}, "");
    expect(f, 400, -32600);
    send_request(f, (struct mcp_request){0}, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}");
    expect(f, 400, -32602);
    assert_string_equal(f->reply.session, "");
}

static void transport(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *accept;
        int status;
    } cases[] = {{"application/json, text/event-stream", 200},
                 {"text/event-stream;q=0.5 ,APPLICATION/JSON;q=1", 200},
                 {"*/*", 200},
                 {"application/*, text/*", 200},
                 {"application/json", 406},
                 {"text/event-stream", 406},
                 {"application/jsonx, text/event-stream", 406},
                 {"", 406},
                 {",,;;,", 406}};
    char body[256];
    snprintf(body, sizeof body, INIT, "2025-11-25");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_request(f, (struct mcp_request){.accept = cases[i].accept}, body);
        assert_int_equal(f->reply.status, cases[i].status);
    }
    send_request(f, (struct mcp_request){.content_type = "text/plain"}, body);
    expect(f, 415, -32600);
}

static void malformed(void **state) {
    struct fixture *f = *state;
    static const char *const bodies[] = {"[]",
                                         "1",
                                         "null",
                                         "\"x\"",
                                         "{}",
                                         "{\"jsonrpc\":\"2.0\"}",
                                         "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}",
                                         "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
                                         "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}",
                                         "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}",
                                         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
                                         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}",
                                         "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        send_request(f, (struct mcp_request){0}, bodies[i]);
        expect(f, 400, -32600);
    }
    static const char *const texts[] = {"", "{", "{\"jsonrpc\":\"2.0\"} x", "{\"id\":1,\"id\":2}",
                                        "\xff\xfe"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        send_request(f, (struct mcp_request){0}, texts[i]);
        expect(f, 400, -32700);
    }
}

static void calls(void **state) {
    struct fixture *f = *state;
    open_session(f, "2025-11-25", "2025-11-25");
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"hold\","
                  "\"arguments\":{\"seconds\":3,\"nonce\":\"n1\",\"stream\":true}}}");
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "result.content.0.text", ""), "held 3 s n1");
    assert_null(js_at(f->body, "result.resultType"));
    assert_true(f->reply.executes && f->reply.stream);
    assert_true(f->reply.call.seconds == 3);
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"hold\"}}");
    expect(f, 200, 0);
    assert_true(js_bool(f->body, "result.isError", false));
    assert_false(f->reply.executes);
    static const char *const wrong[] = {"{\"name\":\"nope\"}",
                                        "{\"name\":\"Hold\"}",
                                        "{\"name\":7}",
                                        "{}",
                                        "{\"name\":\"echo\",\"arguments\":[]}",
                                        "{\"name\":\"echo\",\"arguments\":1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":%s}",
                 wrong[i]);
        in_session(f, body);
        expect(f, 200, -32602);
        assert_false(f->reply.executes);
    }
}

static void executions_are_told(void **state) {
    struct fixture *f = *state;
    const char *hold =
        "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"hold\","
        "\"arguments\":{\"seconds\":3,\"nonce\":\"n1\"}}}";
    open_session(f, "2025-11-25", "2025-11-25");
    in_session(f, hold);
    assert_null(js_at(f->body, "result.structuredContent"));
    assert_int_equal(json_array_size(js_at(f->body, "result.content")), 1);
    f->executions = 2;
    in_session(f, hold);
    assert_int_equal(js_int(f->body, "result.structuredContent.executions", 0), 2);
    assert_string_equal(js_str(f->body, "result.content.0.text", ""), "held 3 s n1");
    assert_string_equal(js_str(f->body, "result.content.1.text", ""), "{\"executions\":2}");
    assert_null(js_at(f->body, "result.content.2"));
}

static void suite_tools(void **state) {
    struct fixture *f = *state;
    struct err e;
    char body[256];
    open_session(f, "2025-11-25", "2025-11-25");
    snprintf(body, sizeof body, CALL, "test_simple_text");
    in_session(f, body);
    expect(f, 200, -32602);
    tools_close(&f->tools);
    assert_int_equal(tools_open("echo,test_simple_text,test_error_handling", NULL, NULL, &f->tools, &e), 0);
    mcp_free(&f->mcp);
    struct mcp_config config = {.tools = f->tools, .who = &who};
    assert_int_equal(mcp_new(&config, &f->mcp), 0);
    open_session(f, "2025-11-25", "2025-11-25");
    in_session(f, body);
    expect(f, 200, 0);
    assert_non_null(strstr(js_str(f->body, "result.content.0.text", ""), "simple text"));
    assert_true(f->reply.executes);
    snprintf(body, sizeof body, CALL, "test_error_handling");
    in_session(f, body);
    expect(f, 200, 0);
    assert_true(js_bool(f->body, "result.isError", false));
    assert_false(f->reply.executes);
}

static void header_limits_tools(void **state) {
    struct fixture *f = *state;
    const char *list = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}";
    const char *call = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"sum\","
                       "\"arguments\":{\"a\":1,\"b\":2}}}";
    open_session(f, "2025-11-25", "2025-11-25");
    in_session(f, list);
    assert_int_equal(json_array_size(js_at(f->body, "result.tools")), 4);
    send_request(f, (struct mcp_request){.session = f->session, .tools = "echo,other,hold"}, list);
    assert_int_equal(json_array_size(js_at(f->body, "result.tools")), 2);
    send_request(f, (struct mcp_request){.session = f->session, .tools = ""}, list);
    assert_int_equal(json_array_size(js_at(f->body, "result.tools")), 0);
    send_request(f, (struct mcp_request){.session = f->session, .tools = "echo,hold"}, call);
    expect(f, 200, -32602);
    send_request(f, (struct mcp_request){.session = f->session, .tools = "echo,sum"}, call);
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "result.content.0.text", ""), "3");
}

static void pages(void **state) {
    struct fixture *f = *state;
    char body[256];
    open_session(f, "2025-11-25", "2025-11-25");
    in_session(f, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}");
    assert_int_equal(json_array_size(js_at(f->body, "result.tools")), 3);
    const char *cursor = js_str(f->body, "result.nextCursor", "");
    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\",\"params\":{\"cursor\":\"%s\"}}",
             cursor);
    in_session(f, body);
    assert_int_equal(json_array_size(js_at(f->body, "result.tools")), 1);
    assert_string_equal(js_str(f->body, "result.tools.0.name", ""), "sum");
    assert_null(js_at(f->body, "result.nextCursor"));
    static const char *const wrong[] = {"\"\"", "\"zz\"", "\"486f6c64\"", "7", "\"00\""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(body, sizeof body,
                 "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\",\"params\":{\"cursor\":%s}}",
                 wrong[i]);
        in_session(f, body);
        expect(f, 200, -32602);
    }
}

/* A modern request with params (without braces) beside _meta. */
static void modern(struct fixture *f, struct mcp_request q, const char *method, const char *params) {
    char body[512];
    snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"%s\",\"params\":{%s%s}}", method,
             params, META);
    q.version = q.version ? q.version : "2026-07-28";
    q.method = q.method ? q.method : method;
    send_request(f, q, body);
}

static void modern_answers(void **state) {
    struct fixture *f = *state;
    modern(f, (struct mcp_request){0}, "server/discover", "");
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "result.supportedVersions.0", ""), "2026-07-28");
    assert_string_equal(js_str(f->body, "/result/_meta/io.modelcontextprotocol~1serverInfo/name", ""),
                        "pilotgate-canary");
    assert_string_equal(f->reply.session, "");
    modern(f, (struct mcp_request){.session = "whatever"}, "tools/list", "");
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "result.resultType", ""), "complete");
    assert_true(json_is_integer(js_at(f->body, "result.ttlMs")));
    assert_string_equal(js_str(f->body, "result.cacheScope", ""), "private");
    modern(f, (struct mcp_request){.name = "echo"}, "tools/call",
           "\"name\":\"echo\",\"arguments\":{\"text\":\"t\"},");
    expect(f, 200, 0);
    assert_string_equal(js_str(f->body, "result.content.0.text", ""), "t");
    assert_true(f->reply.executes && !f->reply.stream);
    modern(f, (struct mcp_request){.name = "=?base64?ZWNobw==?="}, "tools/call",
           "\"name\":\"echo\",\"arguments\":{\"text\":\"t\"},");
    expect(f, 200, 0);
    static const char *const gone[] = {"initialize", "ping", "subscriptions/listen", "x"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        modern(f, (struct mcp_request){0}, gone[i], "");
        expect(f, 404, -32601);
        assert_int_equal(js_int(f->body, "id", 0), 9);
    }
}

static const char *text_of(const char *json, const char *path) {
    static char text[256];
    json_t *o = parse(json);
    snprintf(text, sizeof text, "%s", js_str(o, path, ""));
    json_decref(o);
    return text;
}

static void notices_of_a_session(void **state) {
    struct fixture *f = *state;
    open_session(f, "2025-11-25", "2025-11-25");
    assert_true(js_bool(f->body, "result.capabilities.tools.listChanged", false));
    struct mcp_request get = {.http_method = "GET", .session = f->session, .accept = "text/event-stream"};
    send_request(f, get, "");
    assert_true(f->reply.status == 200 && f->reply.listens);
    assert_string_equal(text_of(f->reply.notice, "method"), "notifications/tools/list_changed");
    assert_null(f->reply.body);
    get.accept = "application/json";
    send_request(f, get, "");
    expect(f, 406, -32600);
    assert_false(f->reply.listens);
    send_request(f, (struct mcp_request){.http_method = "GET"}, "");
    expect(f, 400, -32600);
    send_request(f, (struct mcp_request){.http_method = "GET", .session = "0123"}, "");
    expect(f, 404, -32001);
    static const char *const methods[] = {"GET", "DELETE"};
    for (size_t i = 0; i < 2; i++) {
        send_request(
            f,
            (struct mcp_request){.http_method = methods[i], .session = f->session, .version = "2026-07-28"},
            "");
        expect(f, 405, -32600);
        assert_string_equal(f->reply.allow, "POST");
    }
}

static void subscriptions(void **state) {
    struct fixture *f = *state;
    const char *id = "/params/_meta/io.modelcontextprotocol~1subscriptionId";
    modern(f, (struct mcp_request){0}, "server/discover", "");
    assert_true(js_bool(f->body, "result.capabilities.tools.listChanged", false));
    modern(f, (struct mcp_request){.tools = "echo"}, "subscriptions/listen",
           "\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":true},");
    assert_true(f->reply.status == 200 && f->reply.listens);
    assert_int_equal(f->reply.limit, 1u << TOOL_ECHO);
    assert_string_equal(js_str(f->body, "method", ""), "notifications/subscriptions/acknowledged");
    assert_int_equal(js_int(f->body, id, 0), 9);
    assert_true(js_bool(f->body, "params.notifications.toolsListChanged", false));
    assert_int_equal(json_object_size(js_at(f->body, "params.notifications")), 1);
    json_t *notice = parse(f->reply.notice), *last = parse(f->reply.last);
    assert_string_equal(js_str(notice, "method", ""), "notifications/tools/list_changed");
    assert_int_equal(js_int(notice, id, 0), 9);
    assert_int_equal(js_int(last, "id", 0), 9);
    assert_int_equal(js_int(last, "/result/_meta/io.modelcontextprotocol~1subscriptionId", 0), 9);
    assert_string_equal(js_str(last, "result.resultType", ""), "complete");
    json_decref(notice);
    json_decref(last);
    modern(f, (struct mcp_request){0}, "subscriptions/listen",
           "\"notifications\":{\"promptsListChanged\":true},");
    assert_true(f->reply.listens);
    assert_null(f->reply.notice);
    assert_int_equal(json_object_size(js_at(f->body, "params.notifications")), 0);
    static const char *const wrong[] = {"", "\"notifications\":[],", "\"notifications\":null,"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        modern(f, (struct mcp_request){0}, "subscriptions/listen", wrong[i]);
        expect(f, 400, -32602);
        assert_false(f->reply.listens);
    }
}

/* A header may hold bytes that JSON cannot. */
static void a_version_that_is_no_text(void **state) {
    struct fixture *f = *state;
    send_request(f, (struct mcp_request){.version = "\xff\xfe"},
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    expect(f, 400, -32022);
    assert_int_equal(json_array_size(js_at(f->body, "error.data.supported")), 3);
    assert_null(js_at(f->body, "error.data.requested"));
}

static void modern_refusals(void **state) {
    struct fixture *f = *state;
    const char *echo = "\"name\":\"echo\",\"arguments\":{\"text\":\"t\"},";
    static const char *const names[] = {NULL,
                                        "hold",
                                        "ECHO",
                                        "",
                                        "=?base64?aG9sZA==?=",
                                        "=?base64?!?=",
                                        "=?base64?"
                                        "?="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        modern(f, (struct mcp_request){.name = names[i]}, "tools/call", echo);
        expect(f, 400, -32020);
        assert_false(f->reply.executes);
    }
    modern(f, (struct mcp_request){.method = "tools/call"}, "tools/list", "");
    expect(f, 400, -32020);
    modern(f, (struct mcp_request){.version = "2025-11-25"}, "tools/list", "");
    expect(f, 400, -32020);
    send_request(f, (struct mcp_request){.method = "tools/list"},
                 "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{" META "}}");
    expect(f, 400, -32020);
    send_request(f, (struct mcp_request){.version = "2026-07-28"},
                 "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{" META "}}");
    expect(f, 400, -32020);
    send_request(f, (struct mcp_request){.version = "2026-07-28", .method = "tools/list"},
                 "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\"}");
    expect(f, 400, -32602);
    send_request(f, (struct mcp_request){.version = "2027-01-01", .method = "tools/list"},
                 "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
                 "\"io.modelcontextprotocol/protocolVersion\":\"2027-01-01\"}}}");
    expect(f, 400, -32022);
    assert_string_equal(js_str(f->body, "error.data.requested", ""), "2027-01-01");
    send_request(f, (struct mcp_request){.version = "2026-07-28", .method = "tools/list"},
                 "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
                 "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}");
    expect(f, 400, -32602);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(legacy_session),
        TEST(legacy_refusals),
        TEST(transport),
        TEST(malformed),
        TEST(calls),
        TEST(executions_are_told),
        TEST(suite_tools),
        TEST(header_limits_tools),
        cmocka_unit_test_setup_teardown(pages, set_up_pages_of_3, tear_down),
        TEST(modern_answers),
        cmocka_unit_test_setup_teardown(notices_of_a_session, set_up_notices, tear_down),
        cmocka_unit_test_setup_teardown(subscriptions, set_up_notices, tear_down),
        TEST(a_version_that_is_no_text),
        TEST(modern_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
