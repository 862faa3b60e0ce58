/* The whole server in this process, spoken to over loopback. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "canary/http.h"

#define HOLD_CALL                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"hold\",\"arguments\":{" \
    "\"seconds\":%g,\"nonce\":\"%s\",\"stream\":%s},\"_meta\":{"                                            \
    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                           \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}"
#define MCP_HEADERS                                                                     \
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" \
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: hold\r\n"

#define LISTEN                                                                                              \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{\"notifications\":{%s}," \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                                \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}"
#define LISTEN_HEADERS                                                                  \
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" \
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n"

struct fixture {
    char offered[64]; /* the tools file */
    struct tool_identity who;
    struct tools *tools;
    struct mcp *mcp;
    struct worker *worker;
    struct execlog *log;
    struct http *http;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e;
    write_temp(f->offered, "hold\n");
    if (sodium_init() < 0 || tools_open(NULL, f->offered, NULL, &f->tools, &e))
        return -1;
    tool_identify(&f->who);
    struct mcp_config mcp = {.tools = f->tools, .who = &f->who, .notices = true};
    if (mcp_new(&mcp, &f->mcp) || worker_new(NULL, f->tools, &f->who, &f->worker, &e) ||
        execlog_open("/dev/null", &f->log, &e))
        return -1;
    struct http_config http = {.listen = "127.0.0.1:0",
                               .connections = 100,
                               .origins = "https://good.example",
                               .who = &f->who,
                               .mcp = f->mcp,
                               .worker = f->worker,
                               .log = f->log};
    *state = f;
    return http_start(&http, &f->http, &e);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    http_stop(&f->http, 0, NULL);
    execlog_close(&f->log);
    worker_free(&f->worker);
    mcp_free(&f->mcp);
    tools_close(&f->tools);
    unlink(f->offered);
    free(f);
    return 0;
}

static int dial(const struct fixture *f) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_port(f->http))};
    struct timeval limit = {.tv_sec = 10};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void send_text(int fd, const char *start, const char *headers, const char *body) {
    char text[4096];
    int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s", start,
                     headers, strlen(body), body);
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* Reads until the text has come, or the peer closed, or the answer stayed out for 10 s. */
static bool read_until(int fd, char *out, size_t size, const char *text) {
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = recv(fd, out + n, size - n - 1, 0)) > 0;) {
        out[n += (size_t)got] = 0;
        if (strstr(out, text))
            return true;
    }
    out[n] = 0;
    return false;
}

static int call_hold(const struct fixture *f, double seconds, const char *nonce, bool stream) {
    char body[512];
    int fd = dial(f);
    assert_true(fd >= 0);
    snprintf(body, sizeof body, HOLD_CALL, seconds, nonce, stream ? "true" : "false");
    send_text(fd, "POST /mcp", MCP_HEADERS, body);
    return fd;
}

/* The number after the key in GET /executions. */
static int64_t executions(const struct fixture *f, const char *query, const char *key) {
    char text[2048], start[128];
    int fd = dial(f);
    snprintf(start, sizeof start, "GET /executions%s", query);
    send_text(fd, start, "Connection: close\r\n", "");
    assert_false(read_until(fd, text, sizeof text, "never"));
    close(fd);
    json_t *o = parse(strstr(text, "\r\n\r\n") + 4);
    int64_t n = js_int(o, key, -1);
    json_decref(o);
    return n;
}

static void status(const struct fixture *f, const char *start, const char *headers, const char *body,
                   int expected) {
    char text[4096];
    int fd = dial(f);
    send_text(fd, start, headers, body);
    assert_true(read_until(fd, text, sizeof text, "\r\n\r\n"));
    close(fd);
    assert_int_equal(atoi(text + strlen("HTTP/1.1 ")), expected);
}

static void paths(void **state) {
    struct fixture *f = *state;
    status(f, "GET /healthz", "", "", 200);
    status(f, "GET /healthz", "Origin: https://evil.example\r\n", "", 200);
    status(f, "GET /executions", "Origin: https://evil.example\r\n", "", 403);
    status(f, "GET /executions", "Origin: https://good.example.evil\r\n", "", 403);
    status(f, "GET /executions", "Origin: https://good.example\r\n", "", 200);
    status(f, "GET /executions?nonce=%22", "", "", 400);
    status(f, "GET /mcp", "Accept: text/event-stream\r\n", "", 400);
    status(f, "PUT /mcp", "", "", 405);
    status(f, "POST /mcp", "Content-Type: application/json\r\nAccept: text/html\r\n", "{}", 406);
    status(f, "GET /worker/health", "", "", 200);
    status(f, "GET /worker/tools", "", "", 401);
    status(f, "GET /", "", "", 404);
}

static void waits_and_answers(void **state) {
    struct fixture *f = *state;
    char text[4096];
    int64_t start = when_mono_ns();
    int json = call_hold(f, 0.3, "j1", false), events = call_hold(f, 0.3, "e1", true);
    assert_true(read_until(events, text, sizeof text, ": pilotgate-canary"));
    assert_true(when_mono_ns() - start < 250 * WHEN_MS); /* the stream begins before the wait */
    assert_non_null(strstr(text, "text/event-stream"));
    assert_true(read_until(events, text, sizeof text, "held 0.3 s e1"));
    assert_true(when_mono_ns() - start >= 300 * WHEN_MS);
    assert_true(read_until(json, text, sizeof text, "held 0.3 s j1"));
    assert_non_null(strstr(text, "Content-Type: application/json"));
    close(json);
    close(events);
    WAIT_FOR(executions(f, "", "ended") == 2);
    assert_int_equal(executions(f, "", "gone"), 0);
    assert_int_equal(executions(f, "?nonce=j1", "executions"), 1);
    assert_int_equal(executions(f, "?nonce=j2", "executions"), 0);
}

/* A repeated call is told by both answers, also by that of the execution that began first. */
static void executions_are_told(void **state) {
    struct fixture *f = *state;
    char text[4096];
    int first = call_hold(f, 1, "r1", false);
    WAIT_FOR(executions(f, "", "started") == 1);
    int again = call_hold(f, 0, "r1", true), other = call_hold(f, 0, "r2", false);
    assert_true(read_until(again, text, sizeof text, "\"structuredContent\":{\"executions\":2}"));
    assert_true(read_until(other, text, sizeof text, "\"structuredContent\":{\"executions\":1}"));
    assert_true(read_until(first, text, sizeof text, "\"structuredContent\":{\"executions\":2}"));
    assert_non_null(strstr(text, "held 1 s r1"));
    close(first);
    close(again);
    close(other);
}

/* Opens a stream of notices; it has been acknowledged. */
static int listen_for_notices(const struct fixture *f, const char *filter) {
    char body[512], text[4096];
    int fd = dial(f);
    assert_true(fd >= 0);
    snprintf(body, sizeof body, LISTEN, filter);
    send_text(fd, "POST /mcp", LISTEN_HEADERS, body);
    assert_true(read_until(fd, text, sizeof text, "acknowledged"));
    return fd;
}

static void change_tools(const struct fixture *f, const char *names) {
    char fresh[64];
    write_temp(fresh, names);
    assert_int_equal(rename(fresh, f->offered), 0);
}

static void tells_of_changed_tools(void **state) {
    struct fixture *f = *state;
    char text[4096];
    int fd = listen_for_notices(f, "\"toolsListChanged\":true");
    int other = listen_for_notices(f, "\"promptsListChanged\":true");
    for (int i = 0; i < 2; i++) {
        change_tools(f, i ? "hold\n" : "hold\nsum\n");
        assert_true(read_until(fd, text, sizeof text, "notifications/tools/list_changed"));
    }
    int64_t start = when_mono_ns();
    http_stop(&f->http, 20 * WHEN_S, NULL);
    assert_true(when_mono_ns() - start < 10 * WHEN_S); /* streams do not hold up a drain */
    assert_true(read_until(fd, text, sizeof text, "\"resultType\":\"complete\""));
    assert_true(read_until(other, text, sizeof text, "\"resultType\":\"complete\""));
    assert_null(strstr(text, "list_changed"));
    close(fd);
    close(other);
}

/* A client that leaves its stream does not stay counted as open. */
static void forgets_who_stopped_listening(void **state) {
    struct fixture *f = *state;
    close(listen_for_notices(f, "\"toolsListChanged\":true"));
    int64_t start = when_mono_ns();
    http_stop(&f->http, 20 * WHEN_S, NULL);
    assert_true(when_mono_ns() - start < 10 * WHEN_S);
}

static void notices_who_left(void **state) {
    struct fixture *f = *state;
    char text[4096];
    int json = call_hold(f, 60, "j1", false), events = call_hold(f, 60, "e1", true);
    assert_true(read_until(events, text, sizeof text, ": pilotgate-canary"));
    WAIT_FOR(executions(f, "", "started") == 2);
    assert_int_equal(executions(f, "", "gone"), 0);
    int64_t left = when_mono_ns();
    close(json);
    close(events);
    WAIT_FOR(executions(f, "", "gone") == 2);
    assert_true(when_mono_ns() - left < WHEN_S);
    assert_int_equal(executions(f, "", "ended"), 0);
}

static void a_large_body_is_refused(void **state) {
    struct fixture *f = *state;
    char block[4096], text[1024];
    int fd = dial(f);
    memset(block, 'x', sizeof block);
    int n = snprintf(text, sizeof text,
                     "POST /mcp HTTP/1.1\r\nHost: x\r\n" MCP_HEADERS "Content-Length: %u\r\n\r\n",
                     MCP_BODY_MAX + 4096);
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
    for (size_t sent = 0; sent < MCP_BODY_MAX + 4096; sent += sizeof block)
        assert_int_equal(send(fd, block, sizeof block, MSG_NOSIGNAL), (ssize_t)sizeof block);
    assert_true(read_until(fd, text, sizeof text, "413"));
    close(fd);
}

/* It is not read for ever. */
static void an_endless_body_is_cut(void **state) {
    struct fixture *f = *state;
    char block[65536], text[1024];
    int fd = dial(f);
    ssize_t sent = 0;
    memset(block, 'x', sizeof block);
    int n = snprintf(text, sizeof text,
                     "POST /mcp HTTP/1.1\r\nHost: x\r\n" MCP_HEADERS "Content-Length: 4000000000\r\n\r\n");
    assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
    for (int i = 0; i < 4096 && sent >= 0; i++) /* 256 MiB at most */
        sent = send(fd, block, sizeof block, MSG_NOSIGNAL);
    assert_int_equal(sent, -1);
    close(fd);
}

static void drains(void **state) {
    struct fixture *f = *state;
    char text[4096];
    int fd = call_hold(f, 0.3, "d1", false);
    WAIT_FOR(executions(f, "", "started") == 1);
    http_stop(&f->http, 10 * WHEN_S, NULL);
    assert_true(read_until(fd, text, sizeof text, "held 0.3 s d1"));
    assert_non_null(strstr(text, "Connection: close"));
    close(fd);
    struct execlog_counts c = execlog_counts(f->log);
    assert_true(c.ended == 1 && c.gone == 0);
}

static bool at_once(void) {
    return true;
}

static void ends_what_does_not_drain(void **state) {
    struct fixture *f = *state;
    char text[4096];
    int json = call_hold(f, 60, "d1", false), events = call_hold(f, 60, "d2", true);
    WAIT_FOR(executions(f, "", "started") == 2);
    int64_t start = when_mono_ns();
    http_stop(&f->http, 60 * WHEN_S, at_once);
    assert_true(when_mono_ns() - start < 4 * WHEN_S);
    assert_false(read_until(json, text, sizeof text, "held"));
    assert_false(read_until(events, text, sizeof text, "held"));
    close(json);
    close(events);
    struct execlog_counts c = execlog_counts(f->log);
    assert_true(c.ended == 0 && c.gone == 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(paths),
                                       TEST(waits_and_answers),
                                       TEST(executions_are_told),
                                       TEST(notices_who_left),
                                       TEST(tells_of_changed_tools),
                                       TEST(forgets_who_stopped_listening),
                                       TEST(a_large_body_is_refused),
                                       TEST(an_endless_body_is_cut),
                                       TEST(drains),
                                       TEST(ends_what_does_not_drain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
