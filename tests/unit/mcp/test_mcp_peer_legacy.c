/* The peer against servers of the legacy era: sessions and their loss, pages, streams that are taken up,
 * notices, requests of the server, limits. MCP 2025-11-25. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "peer_scene.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name

static void set_stage(struct scene *s, int stage) {
    pthread_mutex_lock(&s->server.lock);
    s->stage = stage;
    pthread_cond_broadcast(&s->server.wake);
    pthread_mutex_unlock(&s->server.lock);
}

/* ------------------------------------------------------------------ opening */

static void plain(void *ctx, const struct script_request *q, struct script_answer *a) {
    if (!scene_legacy(ctx, q, a))
        scene_tool_result(q, a);
}

static void test_open_and_part(void **state) {
    struct scene *s = *state;
    scene_open(s, plain);
    assert_string_equal(peer_revision(s->peer), "2025-11-25");
    assert_true(peer_has_session(s->peer));
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_int_equal(s->call.rounds, 1);
    const struct script_request *discover = script_request(&s->server, "server/discover", 0);
    assert_string_equal(discover->version, "2026-07-28");
    assert_string_equal(discover->mcp_method, "server/discover");
    const struct script_request *initialize = script_request(&s->server, "initialize", 0);
    assert_string_equal(initialize->session, "");
    assert_string_equal(initialize->version, "");
    assert_string_equal(initialize->mcp_method, "");
    assert_string_equal(js_str(initialize->body, "params.protocolVersion", ""), "2025-11-25");
    const struct script_request *call = script_request(&s->server, "tools/call", 0);
    assert_string_equal(call->session, "one");
    assert_string_equal(call->version, "2025-11-25");
    assert_string_equal(call->mcp_method, "");
    assert_null(js_at(call->body, "params._meta"));
    peer_goodbye(s->peer);
    scene_turn(s, 100 * WHEN_MS);
    assert_true(peer_parted(s->peer));
    assert_int_equal(script_count(&s->server, "DELETE"), 1);
    assert_string_equal(script_request(&s->server, "DELETE", 0)->session, "one");
    assert_string_equal(script_request(&s->server, "DELETE", 0)->version, "2025-11-25");
}

static void no_session(void *ctx, const struct script_request *q, struct script_answer *a) {
    plain(ctx, q, a);
    a->session = NULL;
}

static void test_no_session_no_delete(void **state) {
    struct scene *s = *state;
    scene_open(s, no_session);
    assert_false(peer_has_session(s->peer));
    scene_call_is(s, "c-1", OUT(COMPLETED));
    peer_goodbye(s->peer);
    scene_turn(s, 50 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "DELETE"), 0);
}

/* The era is remembered: a lost session is followed by initialize, not by another question for the era. */
static void forgetful(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    bool lost = s->stage == 1 && strcmp(q->method, "tools/call") == 0 && strcmp(q->session, "one") == 0;
    if (strcmp(q->method, "initialize") == 0 && s->stage == 1)
        s->stage = 2;
    if (lost)
        a->status = 404;
    else
        plain(ctx, q, a);
}

static bool is_reopened(struct scene *s) {
    return scene_is_up(s) && script_count(&s->server, "initialize") == 2;
}

static void test_session_lost(void **state) {
    struct scene *s = *state;
    scene_open(s, forgetful);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    set_stage(s, 1);
    scene_call_is(s, "c-2", OUT(SESSION_LOST));
    assert_int_equal(s->call.seen.status, 404);
    assert_int_not_equal(peer_state(s->peer), PEER_UP);
    assert_int_equal(peer_failure(s->peer)->outcome, OUT(SESSION_LOST));
    UNTIL(s, is_reopened);
    assert_string_equal(script_request(&s->server, "initialize", 1)->session, "");
    scene_call_is(s, "c-3", OUT(COMPLETED));
    assert_string_equal(script_request(&s->server, "tools/call", 2)->session, "two");
    assert_int_equal(script_count(&s->server, "server/discover"), 1);
    assert_int_equal(script_count(&s->server, "tools/call"), 3); /* nothing was sent again by itself */
}

/* A late answer to a call of an older session does not lose the newer one. */
static bool later(void *ctx) {
    return ((struct scene *)ctx)->stage == 2;
}

static void late_loss(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    plain(ctx, q, a);
    if (strcmp(q->method, "tools/call") == 0 && strcmp(q->id, "\"old\"") == 0) {
        a->status = 404;
        a->text[0] = 0;
        (void)snprintf(a->rest, sizeof a->rest, "gone");
        a->until = later;
    } else if (strcmp(q->method, "tools/call") == 0 && s->stage == 0) {
        a->status = 404;
    }
}

static void ignore(struct peer_call *c) {
    (void)c;
}

static void test_old_call_cannot_lose_new_session(void **state) {
    struct scene *s = *state;
    struct err e;
    struct peer_call old = {.tool = "hold", .id = "old", .timeout_ns = 9 * WHEN_S, .done = ignore};
    scene_open(s, late_loss);
    assert_int_equal(peer_call_begin(s->peer, &old, &e), 0);
    scene_call_is(s, "c-1", OUT(SESSION_LOST));
    set_stage(s, 1);
    UNTIL(s, is_reopened);
    set_stage(s, 2);
    for (int i = 0; i < 200 && peer_call_running(&old); i++)
        scene_turn(s, 10 * WHEN_MS);
    assert_false(peer_call_running(&old));
    assert_int_equal(old.seen.status, 404);
    scene_turn(s, 50 * WHEN_MS);
    assert_true(scene_is_up(s));
    assert_int_equal(script_count(&s->server, "initialize"), 2);
    peer_call_clear(&old);
}

static void other_revision(void *ctx, const struct script_request *q, struct script_answer *a) {
    const char *wanted = js_str(q->body, "params.protocolVersion", "");
    plain(ctx, q, a);
    if (strcmp(q->method, "initialize") == 0 && strcmp(wanted, "2025-06-18") != 0)
        script_error(a, q, 400,
                     "{\"code\":-32602,\"message\":\"m\",\"data\":{\"supported\":[\"2025-06-18\"]}}");
    else if (strcmp(q->method, "initialize") == 0)
        script_result(a, q, "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}");
}

static void test_revision_is_agreed_on(void **state) {
    struct scene *s = *state;
    s->o.era = PEER_LEGACY;
    scene_open(s, other_revision);
    assert_string_equal(peer_revision(s->peer), "2025-06-18");
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_string_equal(script_request(&s->server, "tools/call", 0)->version, "2025-06-18");
    assert_int_equal(script_count(&s->server, "initialize"), 2);
    assert_int_equal(script_count(&s->server, "server/discover"), 0); /* the era was given */
}

static void unknown_revision(void *ctx, const struct script_request *q, struct script_answer *a) {
    plain(ctx, q, a);
    if (strcmp(q->method, "initialize") == 0)
        script_result(a, q, "{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{}}");
}

static bool was_tried(struct scene *s) {
    return peer_tried(s->peer);
}

static void test_unknown_revision(void **state) {
    struct scene *s = *state;
    scene_begin(s, unknown_revision);
    UNTIL(s, was_tried);
    assert_int_equal(peer_state(s->peer), PEER_DOWN);
    assert_int_equal(peer_failure(s->peer)->outcome, OUT(MALFORMED));
    assert_non_null(strstr(peer_failure(s->peer)->detail, "revision"));
    struct err e;
    s->call = (struct peer_call){.tool = "hold", .id = "c", .timeout_ns = WHEN_S, .done = ignore};
    assert_int_equal(peer_call_begin(s->peer, &s->call, &e), -107 /* ENOTCONN */);
}

/* ------------------------------------------------------------------ pages */

#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"x\":[1.5,\"\xc3\xa4\"]}}"

/* stage: how many cursors are still refused; 100: nextCursor is no text; 101: pages without end. */
static void pages(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    const char *cursor = js_str(q->body, "params.cursor", NULL);
    if (strcmp(q->method, "tools/list") != 0)
        plain(ctx, q, a);
    else if (s->stage == 100)
        script_result(a, q, "{\"tools\":[],\"nextCursor\":7}");
    else if (s->stage == 101)
        script_result(a, q, "{\"tools\":[" TOOL("a") "],\"nextCursor\":\"on\"}");
    else if (!cursor)
        script_result(a, q, "{\"tools\":[" TOOL("a") "],\"nextCursor\":\"page/2\"}");
    else if (strcmp(cursor, "page/2") != 0)
        a->status = 500;
    else if (s->stage-- > 0)
        script_error(a, q, 200, "{\"code\":-32602,\"message\":\"cursor\"}");
    else
        script_result(a, q, "{\"tools\":[" TOOL("b") "],\"nextCursor\":\"\"}");
}

static void test_pages(void **state) {
    struct scene *s = *state;
    scene_open(s, pages);
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(COMPLETED));
    assert_int_equal(json_array_size(s->list.tools), 2);
    assert_int_equal(script_count(&s->server, "tools/list"), 2);
    json_t *as_given = json_loads(TOOL("b"), 0, NULL);
    assert_true(json_equal(json_array_get(s->list.tools, 1), as_given));
    json_decref(as_given);
    assert_true(s->list.asked_wall > 0);
}

static void test_bad_cursor_begins_again(void **state) {
    struct scene *s = *state;
    scene_open(s, pages);
    set_stage(s, 1);
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(COMPLETED));
    assert_int_equal(json_array_size(s->list.tools), 2); /* not what was read before, too */
    assert_int_equal(script_count(&s->server, "tools/list"), 4);
}

static void test_bad_cursor_twice_fails(void **state) {
    struct scene *s = *state;
    scene_open(s, pages);
    set_stage(s, 50);
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(RPC_ERROR));
    assert_int_equal(s->list.failure.rpc_code, -32602);
    assert_int_equal(script_count(&s->server, "tools/list"), 4);
    set_stage(s, 100);
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(MALFORMED));
    set_stage(s, 101);
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(MALFORMED));
    assert_non_null(strstr(s->list.failure.detail, "pages"));
    assert_int_equal(script_count(&s->server, "tools/list"), 5 + PEER_PAGES_MAX);
    assert_true(scene_is_up(s));
}

/* ------------------------------------------------------------------ notices and requests of the server */

static void notices(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (strcmp(q->http, "GET") != 0) {
        plain(ctx, q, a);
    } else if (s->stage == 9) {
        a->status = 405;
    } else {
        a->type = "sse";
        (void)snprintf(a->text, sizeof a->text, "id: n-1\ndata:\n\n");
        (void)snprintf(a->rest, sizeof a->rest,
                       "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
        a->until = later;
        a->open = true;
    }
}

static bool has_stream(struct scene *s) {
    return script_count(&s->server, "GET") > 0;
}

static bool has_notice(struct scene *s) {
    return s->notices > 0;
}

static void test_list_changed(void **state) {
    struct scene *s = *state;
    s->o.notices = true;
    scene_open(s, notices);
    UNTIL(s, has_stream);
    assert_string_equal(script_request(&s->server, "GET", 0)->session, "one");
    scene_turn(s, 100 * WHEN_MS);
    assert_int_equal(s->notices, 0);
    set_stage(s, 2);
    UNTIL(s, has_notice);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_int_equal(script_count(&s->server, "GET"), 1);
}

static void test_no_stream_of_notices(void **state) {
    struct scene *s = *state;
    s->o.notices = true;
    s->stage = 9;
    scene_open(s, notices);
    UNTIL(s, has_stream);
    scene_turn(s, 1500 * WHEN_MS); /* longer than the pause between attempts */
    assert_int_equal(script_count(&s->server, "GET"), 1);
    assert_true(scene_is_up(s));
    scene_call_is(s, "c-1", OUT(COMPLETED));
}

static bool answered(void *ctx) {
    const struct scene *s = ctx;
    return script_response(&s->server, "\"p-1\"") && script_response(&s->server, "7");
}

/* Three requests and a notice before the answer, which waits until two of them are answered. */
static void asking(void *ctx, const struct script_request *q, struct script_answer *a) {
    if (strcmp(q->method, "tools/call") != 0) {
        plain(ctx, q, a);
        return;
    }
    scene_tool_result(q, a);
    (void)snprintf(a->rest, sizeof a->rest, "event: message\r\ndata: %.1500s\r\n\r\n", a->text);
    (void)snprintf(a->text, sizeof a->text,
                   "data: {\"jsonrpc\":\"2.0\",\"id\":\"p-1\",\"method\":\"ping\"}\n\n"
                   "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"roots/list\"}\n\n"
                   "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n"
                   "data: {\"jsonrpc\":\"2.0\",\"id\":\"e-1\",\"method\":\"elicitation/create\",\"params\":"
                   "{\"message\":\"m\",\"requestedSchema\":{}}}\n\n");
    a->type = "sse";
    a->until = answered;
}

/* The server's threads go on. */
static const struct script_request *response(struct scene *s, const char *id) {
    pthread_mutex_lock(&s->server.lock);
    const struct script_request *q = script_response(&s->server, id);
    pthread_mutex_unlock(&s->server.lock);
    return q;
}

static void test_requests_before_the_answer(void **state) {
    struct scene *s = *state;
    scene_open(s, asking);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_int_equal(s->notices, 1);
    const struct script_request *ping = response(s, "\"p-1\"");
    assert_int_equal(json_object_size(js_at(ping->body, "result")), 0);
    assert_true(json_is_object(js_at(ping->body, "result")));
    assert_string_equal(ping->session, "one");
    assert_int_equal(js_int(response(s, "7")->body, "error.code", 0), -32601);
    assert_false(s->call.seen.resumed);
}

static json_t *accept_input(void *ctx, struct peer *p, const char *method, const json_t *params) {
    (void)p;
    ((struct scene *)ctx)->asked++;
    if (strcmp(method, "elicitation/create") != 0)
        return NULL;
    assert_string_equal(js_str(params, "message", ""), "m");
    return json_pack("{s:s,s:{}}", "action", "accept", "content");
}

static bool elicited(struct scene *s) {
    pthread_mutex_lock(&s->server.lock);
    bool yes = script_response(&s->server, "\"e-1\"") != NULL;
    pthread_mutex_unlock(&s->server.lock);
    return yes;
}

static void test_requests_with_a_callback(void **state) {
    struct scene *s = *state;
    s->events.request = accept_input;
    scene_open(s, asking);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    UNTIL(s, elicited);
    assert_int_equal(s->asked, 2); /* roots/list and elicitation/create; ping is not asked */
    const json_t *body = response(s, "\"e-1\"")->body;
    assert_string_equal(js_str(body, "result.action", ""), "accept");
    assert_int_equal(js_int(response(s, "7")->body, "error.code", 0), -32601);
}

/* ------------------------------------------------------------------ limits */

static void progress(void *ctx, const struct script_request *q, struct script_answer *a) {
    if (strcmp(q->method, "tools/call") != 0) {
        plain(ctx, q, a);
        return;
    }
    a->type = "sse";
    (void)snprintf(a->text, sizeof a->text, ": begin\n\n");
    (void)snprintf(a->rest, sizeof a->rest,
                   "id: 5\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":"
                   "{\"progressToken\":1,\"progress\":1}}\n\n");
    a->every_ms = 20;
}

static bool was_cancelled(struct scene *s) {
    return script_count(&s->server, "notifications/cancelled") > 0;
}

/* Progress moves no limit, and a call that is given up is cancelled by its id. */
static void test_progress_and_cancellation(void **state) {
    struct scene *s = *state;
    scene_open(s, progress);
    int64_t began = when_mono_ns();
    scene_call(s, "c-1", 400 * WHEN_MS);
    UNTIL(s, scene_called);
    int64_t took = when_mono_ns() - began;
    assert_int_equal(s->outcome, OUT(TIMEOUT));
    assert_in_range(took, 400 * WHEN_MS, 3 * WHEN_S);
    UNTIL(s, was_cancelled);
    const struct script_request *cancelled = script_request(&s->server, "notifications/cancelled", 0);
    assert_string_equal(js_str(cancelled->body, "params.requestId", ""), "c-1");
    assert_null(js_at(cancelled->body, "id"));
    assert_string_equal(cancelled->session, "one");
    scene_turn(s, 100 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "notifications/cancelled"), 1);
    assert_int_equal(script_count(&s->server, "GET"), 0); /* a limit that is reached is not a broken stream */
}

static void test_giving_up_cancels(void **state) {
    struct scene *s = *state;
    scene_open(s, progress);
    scene_call(s, "c-1", 9 * WHEN_S);
    scene_turn(s, 200 * WHEN_MS);
    assert_true(peer_call_running(&s->call));
    peer_call_look(&s->call);
    assert_true(s->call.seen.sent);
    peer_call_clear(&s->call);
    UNTIL(s, was_cancelled);
    assert_false(s->called);
}

static void silent(void *ctx, const struct script_request *q, struct script_answer *a) {
    plain(ctx, q, a);
    if (strcmp(q->method, "initialize") == 0) {
        a->type = "sse";
        a->text[0] = 0;
        a->open = true;
    }
}

/* 2025-11-25, basic/utilities/cancellation: the initialize request MUST NOT be cancelled. */
static void test_initialize_is_never_cancelled(void **state) {
    struct scene *s = *state;
    s->o.era = PEER_LEGACY;
    scene_begin(s, silent);
    scene_turn(s, 200 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "initialize"), 1);
    peer_goodbye(s->peer);
    scene_turn(s, 200 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "notifications/cancelled"), 0);
    assert_int_equal(s->server.n, 1);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        T(test_open_and_part),
        T(test_no_session_no_delete),
        T(test_session_lost),
        T(test_old_call_cannot_lose_new_session),
        T(test_revision_is_agreed_on),
        T(test_unknown_revision),
        T(test_pages),
        T(test_bad_cursor_begins_again),
        T(test_bad_cursor_twice_fails),
        T(test_list_changed),
        T(test_no_stream_of_notices),
        T(test_requests_before_the_answer),
        T(test_requests_with_a_callback),
        T(test_progress_and_cancellation),
        T(test_giving_up_cancels),
        T(test_initialize_is_never_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
