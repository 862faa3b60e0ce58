/* The transport over HTTP/2, against a real implementation (libnghttp2) on the other side: streams on one
 * connection, limits, and every way in which a stream can end, each told apart and never sent again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "h2_server.h"
#include "mcp/mcp.h"
#include "shot.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define SHOTS 60

struct scene {
    struct h2_server server;
    struct mcp_transport transport;
    struct shot shots[SHOTS];
};

static int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e;
    h2_start(&s->server, NULL, NULL, NULL);
    if (mcp_transport_open(&s->transport, 200, &e) < 0)
        fail_msg("%s", e.text);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    shot_clear(s->shots, SHOTS);
    mcp_transport_close(&s->transport);
    h2_stop(&s->server);
    free(s);
    return 0;
}

static void fire(struct scene *s, size_t i, long streams, bool fresh) {
    char nonce[40];
    (void)snprintf(nonce, sizeof nonce, "n-%zu", i);
    struct mcp_request r = shot_request(s->server.url, nonce);
    r.streams = streams;
    r.fresh = fresh;
    shot_fire(&s->shots[i], &s->transport, &r);
}

static void assert_completed(const struct shot *s) {
    if (s->outcome != OUT(COMPLETED))
        fail_msg("%s: %s; libcurl %d, connection %u", s->nonce, s->detail, (int)s->seen.curl, s->connection);
}

static void run(struct scene *s, size_t i, long streams) {
    fire(s, i, streams, false);
    shot_wait(&s->transport, &s->shots[i], 1);
}

/* One request each at the server, whatever became of it. */
static void assert_once(struct scene *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_int_equal(h2_executions(&s->server, s->shots[i].nonce), 1);
    assert_int_equal(h2_get(&s->server, &s->server.requests), (int)n);
}

/* The i-th call's connection number must be one of `connections`, each with `streams` calls at most. */
static size_t count_connections(const struct scene *s, size_t n, size_t streams) {
    uint32_t numbers[SHOTS];
    size_t uses[SHOTS] = {0};
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        assert_int_not_equal(s->shots[i].connection, 0);
        while (k < found && numbers[k] != s->shots[i].connection)
            k++;
        numbers[k] = s->shots[i].connection;
        found += k == found;
        assert_true(++uses[k] <= streams);
    }
    return found;
}

/* ------------------------------------------------------------------ streams */

static void test_calls_share_a_connection(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_NONE, 300);
    for (size_t i = 0; i < 25; i++)
        fire(s, i, 10, false);
    shot_wait(&s->transport, s->shots, 25);
    for (size_t i = 0; i < 25; i++) {
        assert_completed(&s->shots[i]);
        assert_true(s->shots[i].seen.http2);
        assert_true(s->shots[i].took_ns >= 290 * WHEN_MS);
    }
    assert_int_equal(count_connections(s, 25, 10), 3);
    assert_int_equal(h2_get(&s->server, &s->server.connections), 3);
    assert_int_equal(h2_get(&s->server, &s->server.most_open), 10);
    assert_once(s, 25);
    int reused = 0;
    for (size_t i = 0; i < 25; i++)
        reused += s->shots[i].seen.reused;
    assert_int_equal(reused, 22);
}

/* The server allows fewer streams than we do: no call is refused for it. */
static void test_the_servers_limit(void **state) {
    struct scene *s = *state;
    s->server.max_streams = 3;
    h2_set(&s->server, H2_NONE, 200);
    for (size_t i = 0; i < 12; i++)
        fire(s, i, 10, false);
    shot_wait(&s->transport, s->shots, 12);
    for (size_t i = 0; i < 12; i++)
        assert_completed(&s->shots[i]);
    assert_int_equal(count_connections(s, 12, 3), 4);
    assert_int_equal(h2_get(&s->server, &s->server.most_open), 3);
    assert_once(s, 12);
}

static bool ten_are_out(void *ctx) {
    struct scene *s = ctx;
    size_t out = 0;
    for (size_t i = 0; i < 11; i++)
        out += s->shots[i].x.sent_mono != 0;
    return out == 10;
}

/* A call that waits for its turn is queued, and known as such, until its bytes are out. */
static void test_queued_is_not_in_flight(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_NONE, 1000);
    for (size_t i = 0; i < 11; i++)
        fire(s, i, 10, false);
    for (size_t i = 0; i < 11; i++)
        assert_true(mcp_xfer_queued(&s->shots[i].x));
    shot_until(&s->transport, ten_are_out, s);
    assert_true(mcp_xfer_queued(&s->shots[10].x));
    assert_false(mcp_xfer_queued(&s->shots[0].x));
    shot_wait(&s->transport, s->shots, 11);
    assert_false(mcp_xfer_queued(&s->shots[10].x));
    assert_once(s, 11);
}

/* Nobody accepts: the calls behind the first wait in our queue, and their time ends there. */
static void test_queued_calls_time_out(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_NONE, 3000);
    for (size_t i = 0; i < 3; i++) {
        char nonce[40];
        (void)snprintf(nonce, sizeof nonce, "n-%zu", i);
        struct mcp_request r = shot_request("http://localhost:9/mcp", nonce);
        r.connect_to = "192.0.2.1:9"; /* TEST-NET-1 (RFC 5737): nothing answers, or there is no route */
        r.streams = 10;
        r.timeout_ns = 150 * WHEN_MS;
        shot_fire(&s->shots[i], &s->transport, &r);
    }
    shot_wait(&s->transport, s->shots, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(s->shots[i].outcome == OUT(TIMEOUT) || s->shots[i].outcome == OUT(REFUSED));
        assert_false(s->shots[i].seen.sent);
    }
}

/* New connections are made one after the other: the last call waits for hundreds of ms, and still has all of
 * its time when it goes out. */
static void test_waiting_takes_no_time_away(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_NONE, 700);
    for (size_t i = 0; i < 25; i++) {
        char nonce[40];
        (void)snprintf(nonce, sizeof nonce, "n-%zu", i);
        struct mcp_request r = shot_request(s->server.url, nonce);
        r.streams = 1;
        r.timeout_ns = 1000 * WHEN_MS;
        shot_fire(&s->shots[i], &s->transport, &r);
    }
    shot_wait(&s->transport, s->shots, 25);
    for (size_t i = 0; i < 25; i++)
        assert_completed(&s->shots[i]);
    assert_int_equal(count_connections(s, 25, 1), 25);
}

static void test_fresh_connections(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_NONE, 50);
    for (size_t i = 0; i < 5; i++)
        fire(s, i, 10, true);
    shot_wait(&s->transport, s->shots, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_completed(&s->shots[i]);
        assert_false(s->shots[i].seen.reused);
        assert_true(s->shots[i].seen.http2);
    }
    assert_int_equal(count_connections(s, 5, 1), 5);
    assert_int_equal(h2_get(&s->server, &s->server.most_open), 1);
}

/* Giving one call up leaves the others of its connection alone. */
static void test_one_is_given_up(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_NONE, 400);
    char nonce[] = "n-0";
    struct mcp_request r = shot_request(s->server.url, nonce);
    r.streams = 10;
    r.timeout_ns = 150 * WHEN_MS;
    shot_fire(&s->shots[0], &s->transport, &r);
    for (size_t i = 1; i < 4; i++)
        fire(s, i, 10, false);
    shot_wait(&s->transport, s->shots, 4);
    assert_int_equal(s->shots[0].outcome, OUT(TIMEOUT));
    assert_true(s->shots[0].seen.sent);
    for (size_t i = 1; i < 4; i++)
        assert_completed(&s->shots[i]);
    assert_int_equal(count_connections(s, 4, 10), 1);
}

/* ------------------------------------------------------------------ ends */

static const struct {
    enum h2_fault fault;
    Pilotgate__Outcome outcome;
    const char *detail; /* a part of it */
} ends[] = {
    {H2_REFUSE, OUT(RESET), "HTTP/2 REFUSED_STREAM: "},
    {H2_RESET, OUT(RESET), "HTTP/2 RST_STREAM (INTERNAL_ERROR): "},
    {H2_RESET_BODY, OUT(RESET), "HTTP/2 RST_STREAM (INTERNAL_ERROR): "},
    {H2_RESET_EVENTS, OUT(STREAM_ENDED), "HTTP/2 RST_STREAM (INTERNAL_ERROR): "},
    {H2_1_1, OUT(RESET), "HTTP/2 RST_STREAM (HTTP_1_1_REQUIRED): "},
    {H2_GOAWAY, OUT(RESET), "HTTP/2 GOAWAY (NO_ERROR): "},
    {H2_GOAWAY_DROP, OUT(RESET), "HTTP/2 GOAWAY (NO_ERROR): "},
    {H2_RST, OUT(RESET), "zero bytes of answer"},
    {H2_CLOSE, OUT(RESET), "closed with zero bytes"},
    {H2_CLEAN, OUT(RESET), "closed with zero bytes"},
};

/* As the first stream of a connection, and as a later one. */
static void one_end(struct scene *s, size_t i, size_t earlier) {
    for (size_t k = 0; k < earlier; k++) {
        run(s, k, 10);
        assert_completed(&s->shots[k]);
    }
    h2_set(&s->server, ends[i].fault, 50);
    run(s, earlier, 10);
    struct shot *shot = &s->shots[earlier];
    bool closed = !earlier &&
                  (ends[i].fault == H2_CLOSE || ends[i].fault == H2_CLEAN || ends[i].fault == H2_GOAWAY_DROP);
    Pilotgate__Outcome want = closed ? OUT(CLOSED) : ends[i].outcome;
    if (shot->outcome != want || !strstr(shot->detail, ends[i].detail))
        fail_msg("end %zu after %zu: %s, %s", i, earlier, wire_outcome_name((int)shot->outcome),
                 shot->detail);
    assert_true(shot->seen.sent);
    assert_true(shot->seen.http2);
    assert_int_equal(shot->seen.reused, earlier > 0);
    shot_turn(&s->transport, 50 * WHEN_MS); /* a second request would come now */
    assert_once(s, earlier + 1);
}

static void test_ends(void **state) {
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (size_t earlier = 0; earlier < 2; earlier++) {
            one_end(*state, i, earlier);
            (void)tear_down(state); /* a scene of its own for each */
            (void)set_up(state);
        }
}

/* A server that ends in good order answers what it has; new calls go elsewhere. */
static void test_graceful(void **state) {
    struct scene *s = *state;
    h2_set(&s->server, H2_GRACEFUL, 100);
    for (size_t i = 0; i < 5; i++)
        fire(s, i, 10, false);
    shot_wait(&s->transport, s->shots, 1);
    fire(s, 5, 10, false);
    shot_wait(&s->transport, s->shots, 6);
    for (size_t i = 0; i < 6; i++)
        if (s->shots[i].outcome != OUT(COMPLETED) && !strstr(s->shots[i].detail, "GOAWAY"))
            fail_msg("call %zu: %s", i, s->shots[i].detail);
    assert_completed(&s->shots[0]);
    assert_completed(&s->shots[5]);
    assert_true(s->shots[5].connection != s->shots[0].connection);
    for (size_t i = 0; i < 6; i++)
        assert_true(h2_executions(&s->server, s->shots[i].nonce) <= 1);
}

/* GOAWAY on an idle connection loses nothing: the next call has another one. */
static void test_goaway_while_idle(void **state) {
    struct scene *s = *state;
    for (size_t i = 0; i < 5; i++) {
        h2_set(&s->server, H2_IDLE_GOAWAY, 0);
        run(s, i, 10);
        assert_completed(&s->shots[i]);
        shot_turn(&s->transport, 30 * WHEN_MS);
    }
    assert_int_equal(count_connections(s, 5, 1), 5);
    assert_once(s, 5);
}

/* Half of the calls fail in some way, at random: each is at the server exactly once. */
static void test_never_sent_twice(void **state) {
    static const enum h2_fault faults[] = {H2_NONE, H2_REFUSE, H2_RESET, H2_GOAWAY,
                                           H2_NONE, H2_CLOSE,  H2_RST};
    struct scene *s = *state;
    size_t done = 0;
    for (size_t round = 0; round < 7; round++) {
        h2_set(&s->server, faults[round], 20);
        size_t from = done;
        for (; done < from + 8; done++)
            fire(s, done, 4, false);
        shot_wait(&s->transport, s->shots + from, 8);
        for (size_t i = from; i < done; i++)
            if (faults[round] == H2_NONE)
                assert_completed(&s->shots[i]);
            else if (s->shots[i].outcome != OUT(RESET) && s->shots[i].outcome != OUT(CLOSED))
                fail_msg("fault %zu: %s", round, s->shots[i].detail);
    }
    shot_turn(&s->transport, 100 * WHEN_MS);
    for (size_t i = 0; i < done; i++)
        assert_true(h2_executions(&s->server, s->shots[i].nonce) <= 1);
    assert_true(h2_get(&s->server, &s->server.requests) <= (int)done);
}

/* ------------------------------------------------------------------ the prober */

static bool many_completed(const struct witness *w, int n) {
    return witness_calls(w, OUT(COMPLETED), PILOTGATE__CALL_FLAG__CALL_FLAG_HTTP2) >= n;
}

struct counts {
    uint32_t numbers[SHOTS];
    size_t connections, calls;
};

static void count_block(const Pilotgate__CallBlock *b, struct counts *c) {
    for (size_t i = 0; i < b->n_connection; i++) {
        size_t k = 0;
        while (k < c->connections && c->numbers[k] != b->connection[i])
            k++;
        assert_true(k < SHOTS && b->connection[i] != 0);
        c->numbers[k] = b->connection[i];
        c->connections += k == c->connections;
        c->calls++;
    }
}

/* Twelve calls in flight, four on a connection: three connections, by what the records say. */
static void test_prober(void **state) {
    struct scene *s = *state;
    struct witness w;
    struct mcp *m = NULL;
    struct err e;
    const uint8_t boot[16] = {1};
    const struct norm_key key = {{1}};
    struct config_target target = {.name = (char *)"gateway",
                                   .url = s->server.url,
                                   .era = CONFIG_ERA_LEGACY,
                                   .http = CONFIG_HTTP_2,
                                   .streams = 4};
    struct config_probe probe = {.name = (char *)"hold",
                                 .target = (char *)"gateway",
                                 .tool = (char *)"hold",
                                 .arguments = (char *)"{\"nonce\":\"{nonce}\"}",
                                 .timeout = 5 * WHEN_S,
                                 .limit = 4 * WHEN_S,
                                 .in_flight = 12,
                                 .connection = CONFIG_CONNECTION_REUSED};
    struct config config = {.targets = {&target, 1}, .probes = {&probe, 1}, .max_in_flight = 100};
    h2_set(&s->server, H2_NONE, 150);
    witness_init(&w);
    if (mcp_start(&config, &key, boot, &w.emit, &m, &e) < 0)
        fail_msg("%s", e.text);
    assert_true(witness_wait(&w, many_completed, 40));
    mcp_stop(&m, 5 * WHEN_S);
    struct counts c = {0};
    for (size_t i = 0; i < w.n; i++)
        if (w.records[i]->body_case == PILOTGATE__RECORD__BODY_CALLS)
            count_block(w.records[i]->calls, &c);
    assert_int_equal(c.connections, 3);
    assert_int_equal(witness_calls(&w, OUT(COMPLETED), PILOTGATE__CALL_FLAG__CALL_FLAG_HTTP2), (int)c.calls);
    assert_int_equal(h2_get(&s->server, &s->server.most_open), 4);
    assert_null(witness_row(&w, 0));
    if (w.error[0])
        fail_msg("%s", w.error);
    witness_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_share_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_servers_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queued_is_not_in_flight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queued_calls_time_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waiting_takes_no_time_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fresh_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_graceful, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_goaway_while_idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_never_sent_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prober, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
