/* The peer against servers of the modern era (MCP 2026-07-28), and how it tells the eras apart, also when a
 * gateway is upgraded under it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static void modern(void *ctx, const struct script_request *q, struct script_answer *a) {
    (void)ctx;
    if (!scene_modern(q, a))
        scene_tool_result(q, a);
}

/* ------------------------------------------------------------------ requests */

static void check_meta(const struct script_request *q, const char *method) {
    assert_string_equal(q->version, "2026-07-28");
    assert_string_equal(q->mcp_method, method);
    assert_string_equal(q->session, "");
    const json_t *meta = js_at(q->body, "params._meta");
    assert_string_equal(js_str(meta, "/io.modelcontextprotocol~1protocolVersion", ""), "2026-07-28");
    assert_true(json_is_object(js_at(meta, "/io.modelcontextprotocol~1clientCapabilities")));
}

static void test_requests(void **state) {
    struct scene *s = *state;
    scene_open(s, modern);
    assert_string_equal(peer_revision(s->peer), "2026-07-28");
    assert_false(peer_has_session(s->peer));
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(COMPLETED));
    assert_int_equal(json_array_size(s->list.tools), 2);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    check_meta(script_request(&s->server, "server/discover", 0), "server/discover");
    check_meta(script_request(&s->server, "tools/list", 0), "tools/list");
    const struct script_request *call = script_request(&s->server, "tools/call", 0);
    check_meta(call, "tools/call");
    assert_string_equal(call->mcp_name, "hold");
    assert_string_equal(call->region, "us-west1");
    assert_string_equal(js_str(call->body, "params.arguments.region", ""), "us-west1");
    assert_int_equal(script_count(&s->server, "initialize"), 0);
    peer_goodbye(s->peer);
    scene_turn(s, 50 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "DELETE"), 0);
}

static void ignore(struct peer_call *c) {
    (void)c;
}

static void test_refused_tool(void **state) {
    struct scene *s = *state;
    struct err e;
    scene_open(s, modern);
    assert_null(peer_tool_refused(s->peer, "odd"));
    scene_list(s);
    assert_null(peer_tool_refused(s->peer, "hold"));
    assert_non_null(peer_tool_refused(s->peer, "odd"));
    s->call = (struct peer_call){.tool = "odd", .id = "c-1", .timeout_ns = WHEN_S, .done = ignore};
    assert_int_equal(peer_call_begin(s->peer, &s->call, &e), -EINVAL);
    assert_non_null(strstr(e.text, "x-mcp-header"));
    assert_int_equal(script_count(&s->server, "tools/call"), 0);
}

static void mismatch(void *ctx, const struct script_request *q, struct script_answer *a) {
    modern(ctx, q, a);
    if (strcmp(q->method, "tools/call") == 0 && !q->region[0])
        script_error(a, q, 400, "{\"code\":-32020,\"message\":\"Mcp-Param-Region is missing\"}");
}

/* Called before it knows what the tool's schema asks for: the catalogue is to be read, nothing is repeated.
 */
static void test_header_mismatch(void **state) {
    struct scene *s = *state;
    scene_open(s, mismatch);
    scene_call_is(s, "c-1", OUT(HTTP_ERROR));
    assert_int_equal(s->call.seen.rpc_code, -32020);
    assert_int_equal(s->notices, 1);
    assert_int_equal(script_count(&s->server, "tools/call"), 1);
    scene_list(s);
    scene_call_is(s, "c-2", OUT(COMPLETED));
    scene_turn(s, 100 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "server/discover"), 1); /* no doubt about the era */
}

static void odd_type(void *ctx, const struct script_request *q, struct script_answer *a) {
    modern(ctx, q, a);
    if (strcmp(q->method, "tools/call") == 0)
        script_result(a, q, "{\"resultType\":\"task\",\"content\":[]}");
}

static void test_unknown_result_type(void **state) {
    struct scene *s = *state;
    scene_open(s, odd_type);
    scene_call_is(s, "c-1", OUT(MALFORMED));
    assert_null(s->call.result);
}

/* ------------------------------------------------------------------ input */

#define STATE "\\u00e4 \\\"opaque\\\" =?"

static void asks(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    const char *given = js_str(q->body, "params.requestState", NULL);
    modern(ctx, q, a);
    if (strcmp(q->method, "tools/call") != 0)
        return;
    if (s->stage == 1 || !json_object_get(js_at(q->body, "params"), "inputResponses"))
        script_result(a, q,
                      "{\"resultType\":\"input_required\",\"inputRequests\":{\"k\":{\"method\":"
                      "\"elicitation/create\",\"params\":{\"message\":\"m\"}}},\"requestState\":\"" STATE
                      "\"}");
    else if (!given || strcmp(given, "\xc3\xa4 \"opaque\" =?") != 0)
        a->status = 500;
}

static json_t *accept_input(void *ctx, struct peer *p, const char *method, const json_t *params) {
    (void)p;
    ((struct scene *)ctx)->asked++;
    assert_string_equal(method, "elicitation/create");
    assert_string_equal(js_str(params, "message", ""), "m");
    return json_pack("{s:s}", "action", "accept");
}

static void test_input_is_given(void **state) {
    struct scene *s = *state;
    s->events.request = accept_input;
    scene_open(s, asks);
    scene_call_is(s, "c-1", OUT(COMPLETED));
    assert_int_equal(s->call.rounds, 2);
    assert_int_equal(s->asked, 1);
    const struct script_request *first = script_request(&s->server, "tools/call", 0);
    const struct script_request *second = script_request(&s->server, "tools/call", 1);
    assert_string_equal(first->id, "\"c-1\"");
    assert_string_not_equal(second->id, first->id);
    assert_string_equal(js_str(second->body, "params.inputResponses.k.action", ""), "accept");
    assert_string_equal(js_str(second->body, "params.arguments.region", ""), "us-west1");
    assert_string_equal(second->mcp_name, "hold");
    assert_true(s->call.times.sent_mono < second->at);
    assert_true(s->call.times.end_mono >= second->at);
    assert_int_equal(script_count(&s->server, "tools/call"), 2);
    scene_call_is(s, "c-2", OUT(COMPLETED)); /* what belonged to that call is not part of another one */
    assert_null(js_at(script_request(&s->server, "tools/call", 2)->body, "params.requestState"));
}

static void test_input_without_end(void **state) {
    struct scene *s = *state;
    s->events.request = accept_input;
    s->stage = 1;
    scene_open(s, asks);
    scene_call_is(s, "c-1", OUT(TOOL_ERROR));
    assert_int_equal(script_count(&s->server, "tools/call"), PEER_ROUNDS_MAX);
}

/* A probe has nobody to ask. */
static void test_input_that_nobody_gives(void **state) {
    struct scene *s = *state;
    scene_open(s, asks);
    scene_call_is(s, "c-1", OUT(TOOL_ERROR));
    assert_non_null(strstr(s->detail, "asks for input"));
    assert_int_equal(script_count(&s->server, "tools/call"), 1);
}

/* ------------------------------------------------------------------ streams */

static bool is_second_stage(void *ctx) {
    return ((struct scene *)ctx)->stage == 2;
}

static void listens(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    modern(ctx, q, a);
    if (strcmp(q->method, "subscriptions/listen") != 0)
        return;
    if (s->stage == 9) {
        script_error(a, q, 404, "{\"code\":-32601,\"message\":\"method not found\"}");
        return;
    }
    a->type = "sse";
    (void)snprintf(
        a->text, sizeof a->text,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":"
        "{\"notifications\":{\"toolsListChanged\":true}}}\n\n");
    (void)snprintf(
        a->rest, sizeof a->rest,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{}}\n\n");
    a->until = is_second_stage;
    a->open = true;
}

static bool is_listening(struct scene *s) {
    return script_count(&s->server, "subscriptions/listen") > 0;
}

static bool has_notice(struct scene *s) {
    return s->notices > 0;
}

static void test_subscription(void **state) {
    struct scene *s = *state;
    s->o.notices = true;
    scene_open(s, listens);
    UNTIL(s, is_listening);
    const struct script_request *q = script_request(&s->server, "subscriptions/listen", 0);
    check_meta(q, "subscriptions/listen");
    assert_true(json_is_true(js_at(q->body, "params.notifications.toolsListChanged")));
    scene_turn(s, 100 * WHEN_MS);
    assert_int_equal(s->notices, 0);
    set_stage(s, 2);
    UNTIL(s, has_notice);
    assert_int_equal(script_count(&s->server, "subscriptions/listen"), 1);
}

static void test_no_subscription(void **state) {
    struct scene *s = *state;
    s->o.notices = true;
    s->stage = 9;
    scene_open(s, listens);
    UNTIL(s, is_listening);
    scene_turn(s, 1500 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "subscriptions/listen"), 1);
    assert_int_equal(script_count(&s->server, "server/discover"), 1);
    scene_call_is(s, "c-1", OUT(COMPLETED));
}

static void never_ends(void *ctx, const struct script_request *q, struct script_answer *a) {
    modern(ctx, q, a);
    if (strcmp(q->method, "tools/call") != 0)
        return;
    a->type = "sse";
    (void)snprintf(a->text, sizeof a->text, "id: 1\nretry: 1\ndata:\n\n");
    a->open = true;
}

static bool is_cut(struct scene *s) {
    pthread_mutex_lock(&s->server.lock);
    bool cut = false;
    for (int i = 0; i < s->server.n; i++)
        cut = cut || (strcmp(s->server.requests[i].method, "tools/call") == 0 && s->server.requests[i].cut);
    pthread_mutex_unlock(&s->server.lock);
    return cut;
}

/* Closing the stream is what cancels: no notification, and nothing is taken up. */
static void test_cancellation_is_the_close(void **state) {
    struct scene *s = *state;
    scene_open(s, never_ends);
    scene_call(s, "c-1", 300 * WHEN_MS);
    UNTIL(s, scene_called);
    assert_int_equal(s->outcome, OUT(TIMEOUT));
    UNTIL(s, is_cut);
    assert_int_equal(script_count(&s->server, "notifications/cancelled"), 0);
    assert_int_equal(script_count(&s->server, "GET"), 0);
}

static void breaks(void *ctx, const struct script_request *q, struct script_answer *a) {
    never_ends(ctx, q, a);
    a->open = false;
}

/* This era takes nothing up (basic/transports/streamable-http, Receiving Messages). */
static void test_broken_stream_is_lost(void **state) {
    struct scene *s = *state;
    scene_open(s, breaks);
    scene_call_is(s, "c-1", OUT(STREAM_ENDED));
    assert_int_equal(script_count(&s->server, "GET"), 0);
    assert_int_equal(script_count(&s->server, "tools/call"), 1);
}

/* ------------------------------------------------------------------ eras */

static void other_version(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    modern(ctx, q, a);
    if (s->stage++ == 0)
        script_error(a, q, 400,
                     "{\"code\":-32022,\"message\":\"m\",\"data\":{\"supported\":[\"2026-07-28\"]}}");
}

static void test_refused_version_is_chosen_again(void **state) {
    struct scene *s = *state;
    scene_open(s, other_version);
    assert_string_equal(peer_revision(s->peer), "2026-07-28");
    assert_int_equal(script_count(&s->server, "server/discover"), 2);
    assert_int_equal(script_count(&s->server, "initialize"), 0);
}

static void no_common_version(void *ctx, const struct script_request *q, struct script_answer *a) {
    (void)ctx;
    script_error(a, q, 400, "{\"code\":-32022,\"message\":\"m\",\"data\":{\"supported\":[\"2031-01-01\"]}}");
}

static bool was_tried(struct scene *s) {
    return peer_tried(s->peer);
}

static void test_no_common_version(void **state) {
    struct scene *s = *state;
    scene_begin(s, no_common_version);
    UNTIL(s, was_tried);
    assert_int_equal(peer_state(s->peer), PEER_DOWN);
    assert_non_null(strstr(peer_failure(s->peer)->detail, "revision"));
    assert_int_equal(script_count(&s->server, "initialize"), 0);
}

static void legacy_on_offer(void *ctx, const struct script_request *q, struct script_answer *a) {
    if (strcmp(q->method, "server/discover") == 0)
        script_error(a, q, 400,
                     "{\"code\":-32022,\"message\":\"m\",\"data\":{\"supported\":[\"2025-06-18\"]}}");
    else if (!scene_legacy(ctx, q, a))
        scene_tool_result(q, a);
}

static void test_legacy_on_offer(void **state) {
    struct scene *s = *state;
    scene_open(s, legacy_on_offer);
    const struct script_request *q = script_request(&s->server, "initialize", 0);
    assert_string_equal(js_str(q->body, "params.protocolVersion", ""), "2025-06-18");
}

static void away(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (s->stage == 0)
        a->status = 503;
    else
        modern(ctx, q, a);
}

/* A gateway whose server is away says nothing of an era. */
static void test_503_is_no_era(void **state) {
    struct scene *s = *state;
    scene_begin(s, away);
    UNTIL(s, was_tried);
    assert_int_equal(peer_failure(s->peer)->outcome, OUT(HTTP_ERROR));
    set_stage(s, 1);
    UNTIL(s, scene_is_up);
    assert_string_equal(peer_revision(s->peer), "2026-07-28");
    assert_int_equal(script_count(&s->server, "initialize"), 0);
}

static void only_modern(void *ctx, const struct script_request *q, struct script_answer *a) {
    if (strcmp(q->method, "server/discover") == 0)
        a->status = 404;
    else
        modern(ctx, q, a);
}

static void test_modern_by_order(void **state) {
    struct scene *s = *state;
    s->o.era = PEER_MODERN;
    scene_begin(s, only_modern);
    UNTIL(s, was_tried);
    assert_int_equal(peer_state(s->peer), PEER_DOWN);
    scene_turn(s, 100 * WHEN_MS);
    assert_int_equal(script_count(&s->server, "initialize"), 0);
}

/* What a server that was upgraded says to requests of the era before: stage 0 legacy with sessions, 1
 * modern. */
static void upgraded(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (s->stage == 0) {
        if (!scene_legacy(s, q, a))
            scene_tool_result(q, a);
    } else if (strcmp(q->version, "2026-07-28") != 0) {
        script_error(a, q, 400, "{\"code\":-32020,\"message\":\"Mcp-Method is missing\"}");
    } else {
        modern(ctx, q, a);
    }
}

static bool is_modern(struct scene *s) {
    return scene_is_up(s) && strcmp(peer_revision(s->peer), "2026-07-28") == 0;
}

static void test_upgrade_to_modern(void **state) {
    struct scene *s = *state;
    scene_open(s, upgraded);
    assert_string_equal(peer_revision(s->peer), "2025-11-25");
    set_stage(s, 1);
    scene_call_is(s, "c-1", OUT(SESSION_LOST));
    UNTIL(s, is_modern);
    scene_call_is(s, "c-2", OUT(COMPLETED));
    assert_int_equal(script_count(&s->server, "tools/call"), 2);
}

/* Without sessions it is the error's code that says it, and calls go on until the answer is there. */
static void upgraded_without_sessions(void *ctx, const struct script_request *q, struct script_answer *a) {
    upgraded(ctx, q, a);
    a->session = NULL;
}

static void test_upgrade_without_sessions(void **state) {
    struct scene *s = *state;
    scene_open(s, upgraded_without_sessions);
    set_stage(s, 1);
    scene_call_is(s, "c-1", OUT(HTTP_ERROR));
    assert_true(scene_is_up(s)); /* asked beside, not down at once */
    UNTIL(s, is_modern);
    assert_int_equal(peer_failure(s->peer)->outcome, OUT(HTTP_ERROR)); /* of what was not sent meanwhile */
    scene_call_is(s, "c-2", OUT(COMPLETED));
}

/* Stage 0 modern, 1 legacy: a rollback. */
static void rolled_back(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (s->stage == 0)
        modern(ctx, q, a);
    else if (strcmp(q->method, "initialize") != 0 && strcmp(q->session, "one") != 0)
        a->status = 400;
    else if (!scene_legacy(s, q, a))
        scene_tool_result(q, a);
}

static bool is_legacy(struct scene *s) {
    return scene_is_up(s) && strcmp(peer_revision(s->peer), "2025-11-25") == 0;
}

static void test_rollback_to_legacy(void **state) {
    struct scene *s = *state;
    scene_open(s, rolled_back);
    assert_true(is_modern(s));
    set_stage(s, 1);
    scene_call_is(s, "c-1", OUT(HTTP_ERROR));
    UNTIL(s, is_legacy);
    scene_call_is(s, "c-2", OUT(COMPLETED));
    assert_int_equal(script_count(&s->server, "tools/call"), 2);
}

/* A proxy whose path is gone for a while says 404 to everything, and that is no other era. */
static void path_gone(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (s->stage == 1)
        a->status = 404;
    else
        modern(ctx, q, a);
}

static bool asked_again(struct scene *s) {
    return script_count(&s->server, "server/discover") == 2;
}

static void test_path_gone_is_no_other_era(void **state) {
    struct scene *s = *state;
    scene_open(s, path_gone);
    set_stage(s, 1);
    scene_call_is(s, "c-1", OUT(HTTP_ERROR));
    UNTIL(s, asked_again);
    scene_turn(s, 100 * WHEN_MS);
    assert_true(is_modern(s));
    scene_call_is(s, "c-2", OUT(HTTP_ERROR));
    set_stage(s, 0);
    scene_call_is(s, "c-3", OUT(COMPLETED));
    assert_int_equal(script_count(&s->server, "initialize"), 0);
    assert_int_equal(s->changed, 2); /* DETECTING, UP */
}

static void silent(void *ctx, const struct script_request *q, struct script_answer *a) {
    if (strcmp(q->method, "server/discover") == 0) {
        a->type = "sse";
        a->open = true;
    } else if (!scene_legacy(ctx, q, a)) {
        scene_tool_result(q, a);
    }
}

static void test_silence_is_legacy(void **state) {
    struct scene *s = *state;
    scene_open(s, silent);
    assert_true(is_legacy(s));
    scene_call_is(s, "c-1", OUT(COMPLETED));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        T(test_requests),
        T(test_refused_tool),
        T(test_header_mismatch),
        T(test_unknown_result_type),
        T(test_input_is_given),
        T(test_input_without_end),
        T(test_input_that_nobody_gives),
        T(test_subscription),
        T(test_no_subscription),
        T(test_cancellation_is_the_close),
        T(test_broken_stream_is_lost),
        T(test_refused_version_is_chosen_again),
        T(test_no_common_version),
        T(test_legacy_on_offer),
        T(test_503_is_no_era),
        T(test_modern_by_order),
        T(test_upgrade_to_modern),
        T(test_upgrade_without_sessions),
        T(test_rollback_to_legacy),
        T(test_path_gone_is_no_other_era),
        T(test_silence_is_legacy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
