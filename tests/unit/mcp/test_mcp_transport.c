/* The transport over HTTP/1.1, byte by byte: how answers may be cut, split and endless,
 * what a request carries, and where it goes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "mcp/mcp.h"
#include "raw_scene.h"

/* ------------------------------------------------------------------ how answers end */

#define RESULT "{\"jsonrpc\":\"2.0\",\"id\":\"n-1\",\"result\":{}}" /* 40 bytes */

static const struct {
    const char *what, *bytes;
    bool resets;
    Pilotgate__Outcome outcome;
} ends[] = {
    {"whole", JSON_HEAD "Content-Length: 40\r\n\r\n" RESULT, false, OUT(COMPLETED)},
    {"to the connection's end", JSON_HEAD "\r\n" RESULT, false, OUT(COMPLETED)},
    {"after interim answers",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" JSON_HEAD
     "Content-Length: 40\r\n\r\n" RESULT,
     false, OUT(COMPLETED)},
    {"only an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", false, OUT(CLOSED)},
    {"an interim answer, then RST", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", true, OUT(RESET)},
    {"nothing", "", false, OUT(CLOSED)},
    {"nothing, RST", "", true, OUT(RESET)},
    {"half a status line", "HTTP/1.", false, OUT(CLOSED)},
    {"a head without its end", JSON_HEAD, false, OUT(TRUNCATED)},
    {"a head without its end, RST", JSON_HEAD, true, OUT(RESET)},
    {"a head alone, with a length", JSON_HEAD "Content-Length: 40\r\n\r\n", false, OUT(TRUNCATED)},
    {"a head alone, RST", JSON_HEAD "Content-Length: 40\r\n\r\n", true, OUT(RESET)},
    {"half a body", JSON_HEAD "Content-Length: 40\r\n\r\n{\"jsonrpc\":", false, OUT(TRUNCATED)},
    {"half a chunk", JSON_HEAD "Transfer-Encoding: chunked\r\n\r\n28\r\n{\"json", false, OUT(TRUNCATED)},
    {"an empty 200", JSON_HEAD "Content-Length: 0\r\n\r\n", false, OUT(MALFORMED)},
    {"202", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", false, OUT(MALFORMED)},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", false, OUT(MALFORMED)},
    {"a type that MCP does not know",
     "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 40\r\n\r\n" RESULT, false,
     OUT(MALFORMED)},
    {"no type", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" RESULT, false, OUT(MALFORMED)},
    {"a type with a parameter",
     "HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: 40\r\n\r\n" RESULT,
     false, OUT(COMPLETED)},
    {"a redirect", "HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", false,
     OUT(HTTP_ERROR)},
    {"a redirect in place", "HTTP/1.1 308 X\r\nLocation: /mcp\r\nContent-Length: 0\r\n\r\n", false,
     OUT(HTTP_ERROR)},
    {"502 cut", "HTTP/1.1 502 X\r\nContent-Length: 90\r\n\r\n<html>", false, OUT(HTTP_ERROR)},
    {"504 without the end of its head", "HTTP/1.1 504 X\r\nServer: y\r\n", false, OUT(HTTP_ERROR)},
    {"429", "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", false, OUT(RATE_LIMITED)},
    {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", false, OUT(MALFORMED)},
    {"garbage for a length", JSON_HEAD "Content-Length: x40\r\n\r\n" RESULT, false, OUT(MALFORMED)},
    {"gzip that is none", JSON_HEAD "Content-Encoding: gzip\r\nContent-Length: 40\r\n\r\n" RESULT, false,
     OUT(MALFORMED)},
    {"an encoding that was not asked for",
     JSON_HEAD "Content-Encoding: br\r\nContent-Length: 40\r\n\r\n" RESULT, false, OUT(MALFORMED)},
    {"events", SSE_HEAD "\r\ndata: " RESULT "\r\n\r\n", false, OUT(COMPLETED)},
    {"events, RST after the answer", SSE_HEAD "\r\ndata: " RESULT "\n\n", true, OUT(COMPLETED)},
    {"an event without its end", SSE_HEAD "\r\ndata: " RESULT "\n", false, OUT(STREAM_ENDED)},
    {"no events", SSE_HEAD "\r\n", false, OUT(STREAM_ENDED)},
    {"events, cut in a chunk", SSE_HEAD "Transfer-Encoding: chunked\r\n\r\n40\r\ndata: {", false,
     OUT(STREAM_ENDED)},
    {"events, RST", SSE_HEAD "\r\ndata: {", true, OUT(STREAM_ENDED)},
    {"garbage in an event", SSE_HEAD "\r\ndata: {\n\n", true, OUT(MALFORMED)},
};

static void serve_bytes(struct scene *s, int fd, const char *request) {
    (void)request;
    (void)raw_say(fd, "%s", s->bytes);
    if (s->resets) {
        usleep(20000); /* RST overtakes what was not read yet */
        raw_reset(fd);
    }
}

static void test_ends(void **state) {
    struct scene *s = *state;
    int wrong = 0;
    s->serve = serve_bytes;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        s->bytes = ends[i].bytes;
        s->resets = ends[i].resets;
        shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
        if (s->shots[0].outcome != ends[i].outcome)
            print_error("%s: %s (%s)\n", ends[i].what, wire_outcome_name((int)s->shots[0].outcome),
                        s->shots[0].detail);
        wrong += s->shots[0].outcome != ends[i].outcome || !s->shots[0].seen.sent;
        pthread_mutex_lock(&s->server.lock);
        int requests = s->server.requests;
        pthread_mutex_unlock(&s->server.lock);
        assert_int_equal(requests, (int)i + 1);
    }
    assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ streams */

/* A CRLF between two pieces, two-byte characters between two pieces, a byte order mark: all one byte each. */
static void serve_single_bytes(struct scene *s, int fd, const char *request) {
    (void)s;
    char id[64];
    char text[512];
    raw_id(request, id);
    (void)snprintf(
        text, sizeof text,
        "\xEF\xBB\xBF: hi\r\nid: \xC3\xA4-1\r\nretry: 20\r\ndata:\r\n\r\n"
        "data: {\"jsonrpc\":\"2.0\",\r\ndata: \"method\":\"notifications/x\\u00e4\xC3\xA4\"}\r\n\r\n"
        "id: last\rdata: {\"jsonrpc\":\"2.0\",\"id\":\"%s\",\rdata: \"result\":{\"a\":\"\xE2\x82\xAC\"}}\r\r",
        id);
    (void)raw_say(fd, SSE_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (const char *p = text; *p; p++) {
        (void)raw_say(fd, "1\r\n%c\r\n", *p);
        if (p - text > 100)
            continue;
        usleep(500);
    }
    raw_wait_closed(fd, 2000);
}

static void test_single_bytes(void **state) {
    struct scene *s = *state;
    s->serve = serve_single_bytes;
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "one byte each", OUT(COMPLETED));
    assert_int_equal(s->shots[0].messages, 1);
    assert_string_equal(s->shots[0].event_id, "last");
    assert_int_equal(s->shots[0].retry_ms, 20);
}

/* Broken off after an event with an id: what is needed to take it up again is known. */
static void test_broken_stream_has_an_id(void **state) {
    struct scene *s = *state;
    s->serve = serve_bytes;
    s->bytes = SSE_HEAD "\r\nid: 7\nretry: 1500\ndata:\n\nid: 8\ndata: {";
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "broken off", OUT(STREAM_ENDED));
    assert_string_equal(s->shots[0].event_id, "7");
    assert_int_equal(s->shots[0].retry_ms, 1500);
}

static void serve_for_ever(struct scene *s, int fd, const char *request) {
    (void)s;
    (void)request;
    (void)raw_say(fd, SSE_HEAD "\r\n");
    while (raw_say(fd, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"))
        usleep(5000);
}

/* Progress resets nothing: the hard maximum ends it. */
static void test_endless_stream(void **state) {
    struct scene *s = *state;
    s->serve = serve_for_ever;
    struct mcp_request r = shot_request(s->server.url, "n-1");
    r.timeout_ns = 400 * WHEN_MS;
    int64_t began = when_mono_ns();
    shot_fire(&s->shots[0], &s->transport, &r);
    shot_wait(&s->transport, s->shots, 1);
    assert_outcome(&s->shots[0], "endless", OUT(TIMEOUT));
    assert_in_range(when_mono_ns() - began, 390 * WHEN_MS, 3 * WHEN_S);
    assert_true(s->shots[0].messages > 3);
}

/* ------------------------------------------------------------------ requests */

static void serve_result(struct scene *s, int fd, const char *request) {
    (void)s;
    char answer[256];
    raw_result(request, answer, sizeof answer);
    (void)raw_say(fd, JSON_HEAD "Content-Length: %zu\r\n\r\n%s", strlen(answer), answer);
}

/* A replica by its address: host and name stay those of the URL, connections are its own. */
static void test_connect_to(void **state) {
    struct scene *s = *state;
    char address[64];
    s->serve = serve_result;
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", s->server.port);
    for (size_t i = 0; i < 4; i++) {
        struct mcp_request r = shot_request("http://gateway.example:8080/mcp", "n-1");
        r.connect_to = address;
        char other[64]; /* the URL that leads to the same place is another path */
        (void)snprintf(other, sizeof other, "http://127.0.0.1:%d/mcp", s->server.port);
        if (i >= 2) {
            r.connect_to = NULL;
            r.url = other;
        }
        shot_fire(&s->shots[i], &s->transport, &r);
        shot_wait(&s->transport, &s->shots[i], 1);
        assert_outcome(&s->shots[i], "by address", OUT(COMPLETED));
        assert_non_null(strstr(s->request, i < 2 ? "Host: gateway.example:8080\r\n" : "Host: 127.0.0.1:"));
    }
    assert_int_equal(s->shots[0].connection, s->shots[1].connection);
    assert_int_equal(s->shots[2].connection, s->shots[3].connection);
    assert_true(s->shots[0].connection != s->shots[2].connection);
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Secret values come from files, as they are now; one that would break the head is refused, and not told. */
static void test_headers_from_files(void **state) {
    struct scene *s = *state;
    char path[] = "/tmp/pilotgate-header-XXXXXX";
    char line[64];
    struct err e;
    struct mcp_header_files files = {0};
    (void)close(mkstemp(path));
    (void)snprintf(line, sizeof line, "X-Api-Key: %s", path);
    char *lines[] = {line};
    struct conf_strings strings = {lines, 1};
    assert_int_equal(mcp_header_files_open(&files, &strings, &e), 0);
    s->serve = serve_result;
    static const char *const values[] = {"first secret\n", "second\r\nX-Other: third\n"};
    static const char *const wanted[] = {"X-Api-Key: first secret\r\n", "X-Api-Key: second\r\n"};
    for (size_t i = 0; i < 2; i++) {
        write_file(path, values[i]);
        struct mcp_request r = shot_request(s->server.url, "n-1");
        r.header_files = &files;
        shot_fire(&s->shots[0], &s->transport, &r);
        shot_wait(&s->transport, s->shots, 1);
        assert_non_null(strstr(s->request, wanted[i]));
        assert_null(strstr(s->request, "X-Other"));
    }
    static const char *const bad[] = {"", "\n", "a\x01secret\n", "  \n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(path, bad[i]);
        struct mcp_request r = shot_request(s->server.url, "n-1");
        r.header_files = &files;
        assert_true(mcp_xfer_begin(&s->shots[1].x, &s->transport, &r, NULL, &e) < 0);
        assert_non_null(strstr(e.text, "holds no value of a header"));
        assert_null(strstr(e.text, "secret"));
    }
    assert_int_equal(unlink(path), 0);
    mcp_header_files_free(&files);
}

static void test_header_lines(void **state) {
    (void)state;
    static const char *const bad[] = {"X-Api-Key", ": /k", "X-Api-Key: ", "X Api: /k"};
    struct mcp_header_files files;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *lines[] = {(char *)bad[i]};
        struct conf_strings strings = {lines, 1};
        assert_int_equal(mcp_header_files_open(&files, &strings, &e), -EINVAL);
    }
}

/* What a server gave must not add headers to ours. */
static void test_values_of_the_server(void **state) {
    struct scene *s = *state;
    struct err e;
    struct mcp_request r = shot_request(s->server.url, "n-1");
    r.last_event_id = "a\r\nX: b";
    assert_int_equal(mcp_xfer_begin(&s->shots[0].x, &s->transport, &r, NULL, &e), -EINVAL);
    assert_false(mcp_xfer_running(&s->shots[0].x));
}

static struct mcp_xfer *second;

static void begin_another(struct mcp_xfer *x, const json_t *message) {
    (void)message;
    struct shot *first = (struct shot *)((char *)x - offsetof(struct shot, x));
    struct mcp_request r = shot_request("http://127.0.0.1:9/mcp", "n-2");
    if (!second)
        shot_fire(first + 1, x->transport, &r);
    second = &(first + 1)->x;
}

/* From within libcurl's callback: a client answers the server's requests there. */
static void test_begin_in_a_callback(void **state) {
    struct scene *s = *state;
    s->serve = serve_single_bytes;
    struct mcp_request r = shot_request(s->server.url, "n-1");
    r.message = begin_another;
    shot_fire(&s->shots[0], &s->transport, &r);
    shot_wait(&s->transport, s->shots, 1);
    assert_ptr_equal(second, &s->shots[1].x);
    shot_wait(&s->transport, s->shots, 2);
    assert_outcome(&s->shots[1], "to a closed port", OUT(REFUSED));
}

int main(void) {
#define IN_SCENE(f) cmocka_unit_test_setup_teardown(f, raw_set_up, raw_tear_down)
    const struct CMUnitTest tests[] = {
        IN_SCENE(test_ends),
        IN_SCENE(test_single_bytes),
        IN_SCENE(test_broken_stream_has_an_id),
        IN_SCENE(test_endless_stream),
        IN_SCENE(test_connect_to),
        IN_SCENE(test_headers_from_files),
        IN_SCENE(test_header_lines),
        IN_SCENE(test_values_of_the_server),
        IN_SCENE(test_begin_in_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
