/* The peer when the event stream of an answer breaks (MCP 2025-11-25, basic/transports, Resumability and
 * Redelivery): it is taken up where the server allows it, within the call's hard maximum, and said to be;
 * nothing is sent twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "peer_scene.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name

/* How a call's stream ends before its answer, and what a GET then gives. */
enum {
    GIVES_ANSWER,
    GIVES_ANSWER_SECOND, /* the first GET ends without it, too, under another id */
    GIVES_405,
    GIVES_404,
    GIVES_503_FIRST,
    GIVES_NOTHING, /* the stream stays open */
    GIVES_ERROR,   /* a JSON-RPC error as the answer */
    NO_ID,         /* the call's stream had no event id */
    NO_RETRY,      /* ... no retry time */
    LONG_RETRY,    /* ... one beyond the hard maximum */
};

static void give(struct scene *s, const struct script_request *q, struct script_answer *a) {
    int nth = 0;
    for (int i = 0; i < s->server.n; i++)
        nth += strcmp(s->server.requests[i].http, "GET") == 0;
    struct script_request call = {.id = "\"c-1\""};
    scene_tool_result(&call, a);
    if (s->stage == GIVES_ERROR)
        script_error(a, &call, 200, "{\"code\":-32603,\"message\":\"m\"}");
    script_event(a, "id: e-9\n");
    if (s->stage == GIVES_ANSWER_SECOND && nth == 1)
        (void)snprintf(a->text, sizeof a->text, "id: e-2\nretry: 20\ndata:\n\n");
    if (s->stage == GIVES_NOTHING) {
        (void)snprintf(a->text, sizeof a->text, ": wait\n\n");
        a->open = true;
    }
    if (s->stage == GIVES_405 || s->stage == GIVES_404)
        a->status = s->stage == GIVES_405 ? 405 : 404;
    if (s->stage == GIVES_503_FIRST && nth == 1)
        a->status = 503;
    (void)q;
}

static void broken(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (strcmp(q->http, "GET") == 0) {
        give(s, q, a);
    } else if (!scene_legacy(s, q, a)) {
        const char *retry = s->stage == NO_RETRY     ? ""
                            : s->stage == LONG_RETRY ? "retry: 60000\n"
                                                     : "retry: 150\n";
        a->type = "sse";
        (void)snprintf(a->text, sizeof a->text, "%s%sdata: \n\n", s->stage == NO_ID ? "" : "id: e-1\n",
                       retry);
    }
}

/* The scene's session is "one" for stages 0 and 1 only; the others do not look. */
static void open_at(struct scene *s, int stage) {
    scene_open(s, broken);
    pthread_mutex_lock(&s->server.lock);
    s->stage = stage;
    pthread_mutex_unlock(&s->server.lock);
}

static void test_taken_up(void **state) {
    struct scene *s = *state;
    open_at(s, GIVES_ANSWER);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_true(s->call.seen.resumed);
    assert_int_equal(s->call.rounds, 1);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(s->call.result, "content"), 0), "text")),
                        "c-1");
    const struct script_request *get = script_request(&s->server, "GET", 0);
    const struct script_request *call = script_request(&s->server, "tools/call", 0);
    assert_string_equal(get->last_event, "e-1");
    assert_string_equal(get->session, "one");
    assert_string_equal(get->version, "2025-11-25");
    assert_true(get->at - call->at >= 145 * WHEN_MS); /* retry is a MUST */
    assert_int_equal(script_count(&s->server, "tools/call"), 1);
    assert_true(s->call.times.sent_mono < call->at + 100 * WHEN_MS); /* not of the GET */
    assert_true(s->call.times.end_mono >= get->at);
    assert_true(peer_call_sent(&s->call) == s->call.times.sent_mono);
}

/* A replica that is going gets no new session, but what was asked of it is seen through. */
static void test_taken_up_while_held(void **state) {
    struct scene *s = *state;
    open_at(s, GIVES_ANSWER);
    scene_call(s, "c-1", 5 * WHEN_S);
    peer_hold(s->peer, true);
    UNTIL(s, scene_called);
    assert_int_equal(s->outcome, OUT(COMPLETED));
    assert_true(s->call.seen.resumed);
}

static void test_taken_up_twice(void **state) {
    struct scene *s = *state;
    open_at(s, GIVES_ANSWER_SECOND);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_true(s->call.seen.resumed);
    assert_int_equal(script_count(&s->server, "GET"), 2);
    assert_string_equal(script_request(&s->server, "GET", 1)->last_event, "e-2");
}

static void test_tried_again_while_the_gateway_is_away(void **state) {
    struct scene *s = *state;
    open_at(s, GIVES_503_FIRST);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_true(s->call.seen.resumed);
    assert_string_equal(script_request(&s->server, "GET", 1)->last_event, "e-1");
}

static void test_error_as_answer(void **state) {
    struct scene *s = *state;
    open_at(s, GIVES_ERROR);
    scene_call_is(s, "c-1", OUT(RPC_ERROR));
    assert_int_equal(s->call.seen.rpc_code, -32603);
    assert_true(s->call.seen.resumed);
}

/* What was seen first stays what is told. */
static void stays_broken(struct scene *s, int stage, int gets) {
    open_at(s, stage);
    scene_call_is(s, "c-1", OUT(STREAM_ENDED));
    assert_false(s->call.seen.resumed);
    assert_null(s->call.result);
    assert_int_equal(script_count(&s->server, "GET"), gets);
    assert_int_equal(script_count(&s->server, "tools/call"), 1);
}

static void test_server_does_not_resume(void **state) {
    stays_broken(*state, GIVES_405, 1);
}

static void test_server_has_forgotten(void **state) {
    struct scene *s = *state;
    stays_broken(s, GIVES_404, 1);
    assert_int_equal(peer_failure(s->peer)->outcome, OUT(SESSION_LOST)); /* 404 to a request with its id */
}

static void test_stream_without_id(void **state) {
    stays_broken(*state, NO_ID, 0);
}

static void test_retry_beyond_the_limit(void **state) {
    struct scene *s = *state;
    int64_t began = when_mono_ns();
    stays_broken(s, LONG_RETRY, 0);
    assert_true(when_mono_ns() - began < 4 * WHEN_S); /* it does not wait in vain */
}

static void test_default_retry(void **state) {
    struct scene *s = *state;
    open_at(s, NO_RETRY);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    int64_t gap = script_request(&s->server, "GET", 0)->at - script_request(&s->server, "tools/call", 0)->at;
    assert_in_range(gap, 400 * WHEN_MS, 4 * WHEN_S);
}

/* The hard maximum covers the whole, and who waits is still in flight. */
static void test_hard_maximum(void **state) {
    struct scene *s = *state;
    open_at(s, GIVES_NOTHING);
    int64_t began = when_mono_ns();
    scene_call(s, "c-1", 700 * WHEN_MS);
    scene_turn(s, 100 * WHEN_MS); /* it waits for the retry time by now */
    assert_true(peer_call_running(&s->call));
    assert_true(peer_call_sent(&s->call) > 0);
    peer_call_look(&s->call);
    assert_true(s->call.seen.sent);
    UNTIL(s, scene_called);
    assert_in_range(when_mono_ns() - began, 650 * WHEN_MS, 4 * WHEN_S);
    assert_int_equal(s->outcome, OUT(STREAM_ENDED));
    assert_int_equal(script_count(&s->server, "GET"), 1);
    scene_turn(s, 100 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "notifications/cancelled"), 1);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        T(test_taken_up),
        T(test_taken_up_while_held),
        T(test_taken_up_twice),
        T(test_tried_again_while_the_gateway_is_away),
        T(test_error_as_answer),
        T(test_server_does_not_resume),
        T(test_server_has_forgotten),
        T(test_stream_without_id),
        T(test_retry_beyond_the_limit),
        T(test_default_retry),
        T(test_hard_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
