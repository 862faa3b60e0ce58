/* Bodies over HTTP/1.1: large, many at once, endless and compressed ones, and what they may take of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/when.h"
#include "mcp/mcp.h"
#include "raw_scene.h"

static void serve_flood(struct scene *s, int fd, const char *request) {
    (void)s;
    (void)request;
    static char block[65536];
    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < sizeof block; i += 64)
        memcpy(block + i, ": \n", 3);
    (void)raw_say(fd, SSE_HEAD "\r\n");
    while (raw_send(fd, block, sizeof block)) {
    }
}

/* A stream that never says anything ends by its bytes, long before its time. */
static void test_flood(void **state) {
    struct scene *s = *state;
    s->serve = serve_flood;
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "flood", OUT(MALFORMED));
    assert_true(s->shots[0].seen.overflow);
    assert_true(s->shots[0].seen.received <= MCP_STREAM_MAX + (1u << 20));
}

/* ------------------------------------------------------------------ large bodies */

static size_t body_size;
static bool as_events;

static void serve_large(struct scene *s, int fd, const char *request) {
    (void)s;
    char id[64];
    raw_id(request, id);
    char *fill = malloc(body_size + 1);
    memset(fill, 'x', body_size);
    fill[body_size] = 0;
    (void)raw_say(fd, "%s\r\n%s{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"t\":\"%s\"}}%s",
                  as_events ? SSE_HEAD : JSON_HEAD, as_events ? "data: " : "", id, fill,
                  as_events ? "\n\n" : "");
    free(fill);
    (void)shutdown(fd, SHUT_WR);
}

static void test_ten_megabytes(void **state) {
    struct scene *s = *state;
    s->serve = serve_large;
    body_size = 10u << 20;
    for (int events = 0; events < 2; events++) {
        as_events = events;
        shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
        assert_outcome(&s->shots[0], "10 MB", OUT(COMPLETED));
        assert_true(s->shots[0].seen.received > body_size);
    }
    assert_int_equal(s->transport.held, 0);
    body_size = MCP_ANSWER_MAX;
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "over the limit", OUT(MALFORMED));
    assert_non_null(strstr(s->shots[0].detail, "over the limit"));
}

/* Short text, many values: parsed it would take hundreds of megabytes. */
static void serve_many_values(struct scene *s, int fd, const char *request) {
    (void)s;
    char id[64];
    raw_id(request, id);
    static char block[60000];
    for (size_t i = 0; i < sizeof block; i += 3)
        memcpy(block + i, "{},", 3);
    (void)raw_say(fd, JSON_HEAD "\r\n{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"t\":[", id);
    for (int i = 0; i < 150; i++)
        (void)raw_send(fd, block, sizeof block);
    (void)raw_say(fd, "{}]}}");
    (void)shutdown(fd, SHUT_WR);
}

static void test_many_values(void **state) {
    struct scene *s = *state;
    s->serve = serve_many_values;
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "3 million objects", OUT(MALFORMED));
    assert_non_null(strstr(s->shots[0].detail, "over the limit"));
}

/* The small one asks last and holds least: the large ones must not cost it its answer. */
static void serve_hoard(struct scene *s, int fd, const char *request) {
    static char block[65536];
    char answer[256];
    memset(block, ' ', sizeof block);
    if (strstr(request, "\"small\"")) {
        raw_result(request, answer, sizeof answer);
        (void)raw_say(fd, JSON_HEAD "\r\n%.10s", answer);
        for (int ms = 0; ms < 15000 && !s->resets; ms++)
            usleep(1000);
        (void)raw_say(fd, "%s", answer + 10);
        (void)shutdown(fd, SHUT_WR);
        return;
    }
    (void)raw_say(fd, JSON_HEAD "\r\n");
    for (int i = 0; i < 200; i++)
        (void)raw_send(fd, block, sizeof block);
    raw_wait_closed(fd, 5000);
}

static bool some_large_ended(void *ctx) {
    struct scene *s = ctx;
    for (size_t i = 1; i < 7; i++)
        s->resets = s->resets || s->shots[i].ended;
    return s->resets;
}

static void test_the_largest_is_sacrificed(void **state) {
    struct scene *s = *state;
    s->serve = serve_hoard;
    for (size_t i = 0; i < 7; i++) {
        char nonce[40];
        (void)snprintf(nonce, sizeof nonce, i == 0 ? "small" : "large-%zu", i);
        struct mcp_request r = shot_request(s->server.url, nonce);
        r.timeout_ns = i == 0 ? 12 * WHEN_S : 6 * WHEN_S;
        shot_fire(&s->shots[i], &s->transport, &r);
    }
    shot_until(&s->transport, some_large_ended, s);
    assert_true(s->transport.held <= MCP_HELD_MAX);
    shot_wait(&s->transport, s->shots, 1);
    assert_outcome(&s->shots[0], "small", OUT(COMPLETED));
    size_t lost = 0;
    for (size_t i = 1; i < 7; i++)
        lost += s->shots[i].ended && s->shots[i].outcome == OUT(MALFORMED);
    assert_in_range(lost, 1, 4);
}

/* ------------------------------------------------------------------ compression */

static void serve_zipped(struct scene *s, int fd, const char *request) {
    (void)s;
    char id[64];
    uint8_t out[65536];
    char *text = NULL;
    raw_id(request, id);
    int len = asprintf(&text, "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"t\":\"%*s\"}}", id,
                       (int)body_size, "");
    z_stream z = {
        .next_in = (uint8_t *)text, .avail_in = (unsigned)len, .next_out = out, .avail_out = sizeof out};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    (void)raw_say(fd, JSON_HEAD "Content-Encoding: gzip\r\nContent-Length: %lu\r\n\r\n", z.total_out);
    (void)raw_send(fd, (char *)out, z.total_out);
    (void)deflateEnd(&z);
    free(text);
}

static void test_compressed(void **state) {
    struct scene *s = *state;
    s->serve = serve_zipped;
    body_size = 5000000;
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "5 MB in 5 kB", OUT(COMPLETED));
    assert_true(s->shots[0].seen.received < 20000);
    assert_non_null(strcasestr(s->request, "Accept-Encoding: gzip, deflate\r\n"));
    body_size = 40000000; /* a bomb: over the limit only when decoded */
    shot_one(&s->shots[0], &s->transport, s->server.url, "n-1");
    assert_outcome(&s->shots[0], "40 MB in 40 kB", OUT(MALFORMED));
    assert_non_null(strstr(s->shots[0].detail, "over the limit"));
}

int main(void) {
#define IN_SCENE(f) cmocka_unit_test_setup_teardown(f, raw_set_up, raw_tear_down)
    const struct CMUnitTest tests[] = {
        IN_SCENE(test_flood),       IN_SCENE(test_ten_megabytes),
        IN_SCENE(test_many_values), IN_SCENE(test_the_largest_is_sacrificed),
        IN_SCENE(test_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
