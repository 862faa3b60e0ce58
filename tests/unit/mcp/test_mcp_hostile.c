/* What a hostile server can do to the prober beside wrong answers: take its memory with small texts that
 * become large, make it poll without end, hold up its one thread. */
#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "mcp/mcp.h"
#include "mcp/message.h"
#include "mcp/peer.h"
#include "raw_server.h"
#include "script_server.h"
#include "shot.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name

/* "[{},{},...]" with n objects: three bytes each, and some hundreds when parsed. */
static char *objects(size_t n) {
    char *text = malloc(3 * n + 2);
    for (size_t i = 0; i < n; i++)
        memcpy(text + 3 * i, i ? ",{}" : "[{}", 3);
    memcpy(text + 3 * n, "]", 2);
    return text;
}

/* ------------------------------------------------------------------ memory: streams */

#define STREAMS 8
#define STREAM_OBJECTS 60000 /* about 21 MB parsed */

static atomic_int begun, ready;

/* All but the end of the answer; the end when all streams are so far. */
static void serve_large_event(struct raw_server *s, int fd) {
    static char request[STREAMS][RAW_REQUEST_MAX];
    char id[64];
    char *large = objects(STREAM_OBJECTS);
    int i = atomic_fetch_add(&begun, 1);
    if (i < STREAMS && raw_request(s, fd, request[i])) {
        raw_id(request[i], id);
        (void)raw_say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        (void)raw_say(fd, "data: {\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"x\":%s", id, large);
        atomic_fetch_add(&ready, 1);
        while (atomic_load(&ready) < STREAMS)
            (void)usleep(1000);
        (void)raw_say(fd, "}}\n\n");
        raw_wait_closed(fd, 5000);
    }
    free(large);
}

static bool all_ended(const struct shot *shots) {
    for (size_t i = 0; i < STREAMS; i++)
        if (!shots[i].ended)
            return false;
    return true;
}

static void test_answers_that_linger_are_counted_as_parsed(void **state) {
    (void)state;
    struct raw_server server;
    struct mcp_transport t;
    struct err e;
    static struct shot shots[STREAMS];
    char nonces[STREAMS][8];
    int completed = 0;
    raw_start(&server, serve_large_event, NULL);
    assert_int_equal(mcp_transport_open(&t, 16, &e), 0);
    for (size_t i = 0; i < STREAMS; i++) {
        (void)snprintf(nonces[i], sizeof nonces[i], "n-%zu", i);
        struct mcp_request r = shot_request(server.url, nonces[i]);
        shot_fire(&shots[i], &t, &r);
    }
    for (int64_t until = when_mono_ns() + 15 * WHEN_S; !all_ended(shots) && when_mono_ns() < until;) {
        size_t parsed = 0;
        mcp_transport_turn(&t);
        mcp_transport_wait(&t, 10 * WHEN_MS);
        for (size_t i = 0; i < STREAMS; i++)
            parsed += shots[i].x.message ? (size_t)STREAM_OBJECTS * 300 : 0;
        assert_true(parsed <= MCP_HELD_MAX);
    }
    assert_true(all_ended(shots));
    for (size_t i = 0; i < STREAMS; i++) {
        completed += shots[i].outcome == OUT(COMPLETED);
        assert_true(shots[i].outcome == OUT(COMPLETED) || shots[i].outcome == OUT(MALFORMED));
    }
    assert_true(completed >= 1); /* it is not all or nothing */
    shot_clear(shots, STREAMS);
    assert_int_equal(t.held, 0);
    mcp_transport_close(&t);
    raw_stop(&server);
}

/* ------------------------------------------------------------------ memory: lists */

struct lister {
    struct raw_server server;
    struct mcp_transport transport;
    struct peer *peer;
    struct peer_list list;
    bool listed;
    Pilotgate__Outcome outcome;
    size_t page_objects;
    const char *secret_file;
};

static void answer(int fd, const char *headers, const char *body) {
    (void)raw_say(fd,
                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sConnection: close\r\n"
                  "Content-Length: %zu\r\n\r\n%s",
                  headers, strlen(body), body);
}

static void answer_page(struct lister *l, int fd, const char *request) {
    bool rest = strstr(request, "/worker/tools") != NULL;
    char id[64];
    char *large = objects(l->page_objects);
    char *body = NULL;
    raw_id(request, id);
    if (rest
            ? asprintf(&body, "[{\"fully_qualified_name\":\"A.b\",\"input\":%s}]", large) < 0
            : asprintf(&body,
                       "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"tools\":[{\"name\":\"a\",\"x\":%s}],"
                       "\"nextCursor\":\"more\"}}",
                       id, large) < 0)
        abort();
    answer(fd, "", body);
    free(body);
    free(large);
}

static void serve_list(struct raw_server *s, int fd) {
    char *request = malloc(RAW_REQUEST_MAX);
    char body[256];
    char id[64];
    if (raw_request(s, fd, request)) {
        raw_id(request, id);
        (void)snprintf(body, sizeof body,
                       "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"protocolVersion\":\"2025-11-25\","
                       "\"capabilities\":{}}}",
                       id);
        if (strstr(request, "/worker/health"))
            answer(fd, "", "{\"status\":\"ok\"}");
        else if (strstr(request, "\"initialize\""))
            answer(fd, "", body);
        else if (strstr(request, "tools/list") || strstr(request, "/worker/tools"))
            answer_page(s->ctx, fd, request);
        else
            (void)raw_say(fd, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    free(request);
}

static void on_list(struct peer_list *list) {
    struct lister *l = (struct lister *)((char *)list - offsetof(struct lister, list));
    l->listed = true;
    l->outcome = list->failure.outcome;
    peer_list_clear(list);
}

static void turn_until(struct lister *l, bool up) {
    for (int64_t until = when_mono_ns() + 15 * WHEN_S; when_mono_ns() < until;) {
        if (up ? peer_state(l->peer) == PEER_UP : l->listed)
            return;
        peer_turn(l->peer, when_mono_ns());
        mcp_transport_turn(&l->transport);
        mcp_transport_wait(&l->transport, 10 * WHEN_MS);
    }
    fail_msg("it never came");
}

static void list(struct lister *l, enum peer_kind kind) {
    struct err e;
    char path[] = "/tmp/pilotgate-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    (void)close(fd);
    raw_start(&l->server, serve_list, l);
    assert_int_equal(mcp_transport_open(&l->transport, 16, &e), 0);
    if (kind == PEER_WORKER) /* url of the base */
        (void)snprintf(l->server.url, sizeof l->server.url, "http://127.0.0.1:%d", l->server.port);
    struct peer_options o = {.kind = kind, .era = PEER_LEGACY, .url = l->server.url, .secret_file = path};
    if (peer_open(&l->peer, &l->transport, &o, NULL, &e) < 0)
        fail_msg("%s", e.text);
    turn_until(l, true);
    l->list.done = on_list;
    assert_int_equal(peer_list_begin(l->peer, &l->list, &e), 0);
    turn_until(l, false);
    assert_int_equal(l->transport.listed, 0);
    peer_close(&l->peer);
    mcp_transport_close(&l->transport);
    raw_stop(&l->server);
    (void)unlink(path);
}

static void test_a_page_that_becomes_large_is_refused(void **state) {
    (void)state;
    struct lister l = {.page_objects = 1000000}; /* 3 MB, and more than 300 MB parsed */
    list(&l, PEER_WORKER);
    assert_int_equal(l.outcome, OUT(MALFORMED));
}

static void test_pages_that_add_up_are_refused(void **state) {
    (void)state;
    struct lister l = {.page_objects = 30000}; /* about 11 MB parsed; 64 pages would be 690 MB */
    list(&l, PEER_MCP);
    assert_int_equal(l.outcome, OUT(MALFORMED));
    assert_true(l.server.requests < 10);
}

/* ------------------------------------------------------------------ notices without end */

struct noisy {
    struct script_server server;
    struct witness witness;
    struct config config;
    struct config_target target;
    struct mcp *mcp;
};

/* Says that its tools have changed whenever they are listed. */
static void noisy_answer(void *ctx, const struct script_request *q, struct script_answer *a) {
    (void)ctx;
    if (strcmp(q->method, "initialize") == 0) {
        script_result(a, q, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}");
    } else if (strcmp(q->method, "tools/list") == 0) {
        script_result(a, q, "{\"tools\":[{\"name\":\"a\"}]}");
        script_event(a, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
    } else {
        a->status = 202;
    }
}

static bool covered(const struct witness *w, int n) {
    int seen = 0;
    for (size_t i = 0; i < w->n; i++)
        seen += w->records[i]->body_case == PILOTGATE__RECORD__BODY_COVERAGE;
    return seen >= n;
}

static void test_notices_make_no_storm(void **state) {
    (void)state;
    static const uint8_t boot[16] = {1};
    static const struct norm_key key = {{1}};
    static struct noisy s;
    struct err e;
    s.server.answer = noisy_answer;
    script_start(&s.server);
    witness_init(&s.witness);
    s.target = (struct config_target){.name = (char *)"gateway",
                                      .url = s.server.url,
                                      .era = CONFIG_ERA_LEGACY,
                                      .catalogue_interval = 60 * WHEN_S};
    s.config.targets = (struct conf_list){&s.target, 1};
    s.config.max_in_flight = 10;
    int64_t began = when_mono_ns();
    assert_int_equal(mcp_start(&s.config, &key, boot, &s.witness.emit, &s.mcp, &e), 0);
    assert_true(witness_wait(&s.witness, covered, 3));
    mcp_stop(&s.mcp, 0);
    int64_t polls = script_count(&s.server, "tools/list");
    assert_true(polls >= 2); /* they are heard */
    assert_true(polls <= (when_mono_ns() - began) / (250 * WHEN_MS) + 2);
    script_stop(&s.server);
    witness_free(&s.witness);
}

/* ------------------------------------------------------------------ a name that does not resolve */

#define SLOW "slow.invalid"

/* A fake in place of the C library's: real resolvers cannot be made to stand still here. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!host || strcmp(host, SLOW) != 0)
        return real(host, service, hints, ret);
    (void)sleep(4);
    return EAI_AGAIN;
}

static void test_a_slow_resolver_does_not_hold_up_the_thread(void **state) {
    (void)state;
    struct mcp_transport t;
    struct shot shot;
    struct err e;
    int64_t longest = 0;
    assert_int_equal(mcp_transport_open(&t, 16, &e), 0);
    struct mcp_request r = shot_request("http://" SLOW "/mcp", "n-1");
    r.timeout_ns = 300 * WHEN_MS;
    shot_fire(&shot, &t, &r);
    while (!shot.ended) {
        int64_t began = when_mono_ns();
        mcp_transport_turn(&t);
        int64_t took = when_mono_ns() - began;
        longest = took > longest ? took : longest;
        mcp_transport_wait(&t, 10 * WHEN_MS);
    }
    assert_int_equal(shot.outcome, OUT(TIMEOUT));
    assert_false(shot.seen.sent);
    assert_true(longest < 2 * WHEN_S);
    shot_clear(&shot, 1);
    mcp_transport_close(&t);
    (void)sleep(5); /* the resolver's thread ends by itself: nothing may be left for it to touch */
}

/* What we did not try is no refusal of the gateway's: a replica that is not ready need not end. */
static void test_what_was_withheld_blames_nobody(void **state) {
    (void)state;
    struct raw_server server;
    struct mcp_transport t;
    struct shot shot;
    struct err e;
    raw_start(&server, serve_list, NULL);
    assert_int_equal(mcp_transport_open(&t, 16, &e), 0);
    struct mcp_request r = shot_request(server.url, "n-1");
    r.reuse_only = true;
    shot_fire(&shot, &t, &r);
    shot_wait(&t, &shot, 1);
    assert_int_equal(shot.outcome, OUT(ABORTED));
    assert_false(shot.seen.sent);
    shot_clear(&shot, 1);
    mcp_transport_close(&t);
    raw_stop(&server);
    assert_int_equal(server.n, 0); /* connections */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_that_linger_are_counted_as_parsed),
        cmocka_unit_test(test_a_page_that_becomes_large_is_refused),
        cmocka_unit_test(test_pages_that_add_up_are_refused),
        cmocka_unit_test(test_notices_make_no_storm),
        cmocka_unit_test(test_what_was_withheld_blames_nobody),
        cmocka_unit_test(test_a_slow_resolver_does_not_hold_up_the_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
