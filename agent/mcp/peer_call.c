/* peer_call: one call, from its begin to what was seen of it.
 *
 *   begin --> SENT -- an answer, or a failure --------------------------------------------> done
 *              ^ |
 *              | +-- modern: input_required, and there is a `request` callback: sent again, another id
 *              | |   (basic/patterns/mrtr)
 *              | +-- legacy: its event stream ended before the answer, and had an event id: WAITS for
 *              |     what the server asked for (retry), then GET with Last-Event-ID (2025-11-25,
 *              +---- basic/transports, Resumability); what was seen first stays what is told, unless
 *                    the answer comes: then it is that, `resumed`
 *
 * The call's hard maximum covers all of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/peer_priv.h"

#define RESUMES_MAX 32
#define RESUME_NS (500 * WHEN_MS) /* before a stream is taken up, unless the server says otherwise */

static struct peer_call *call_of(struct mcp_xfer *x) {
    return (struct peer_call *)((char *)x - offsetof(struct peer_call, xfer));
}

/* ------------------------------------------------------------------ waiting */

static void wait_until(struct peer_call *c, int64_t at) {
    c->resume_at = at;
    c->prev = NULL;
    c->next = c->peer->waiting;
    if (c->next)
        c->next->prev = c;
    c->peer->waiting = c;
}

static void wait_no_more(struct peer_call *c) {
    if (!c->resume_at)
        return;
    *(c->prev ? &c->prev->next : &c->peer->waiting) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->prev = c->next = NULL;
    c->resume_at = 0;
}

/* ------------------------------------------------------------------ what was seen */

static void look_at_first(struct peer_call *c) {
    struct mcp_xfer *x = &c->xfer;
    struct peer_times began = c->times;
    mcp_xfer_seen(x, &c->seen);
    c->seen.had_session = c->had_session;
    c->times = (struct peer_times){.began_mono = x->began_mono,
                                   .sent_mono = x->sent_mono,
                                   .sent_wall = x->sent_wall,
                                   .first_byte_mono = x->first_byte_mono,
                                   .end_mono = mcp_xfer_end_mono(x)};
    if (c->rounds > 1) { /* later rounds belong to the call that began with the first */
        began.end_mono = c->times.end_mono;
        c->times = began;
    }
    c->bytes_sent += mcp_xfer_bytes_sent(x);
    c->connection = x->connection;
}

/* Of a stream that was taken up only the answer counts. */
static void look_at_rest(struct peer_call *c) {
    struct mcp_seen seen;
    mcp_xfer_seen(&c->xfer, &seen);
    c->times.end_mono = mcp_xfer_end_mono(&c->xfer);
    if (seen.status < 200 || seen.status > 299 ||
        (seen.answer != MCP_ANSWER_RESULT && seen.answer != MCP_ANSWER_ERROR))
        return;
    c->seen.curl = CURLE_OK;
    c->seen.answer = seen.answer;
    c->seen.rpc_code = seen.rpc_code;
    c->seen.received += seen.received;
    c->seen.resumed = true;
}

void peer_call_look(struct peer_call *c) {
    if (c->resume_at)
        c->times.end_mono = when_mono_ns();
    else if (c->broken)
        look_at_rest(c);
    else
        look_at_first(c);
    c->result = c->seen.answer == MCP_ANSWER_RESULT ? json_object_get(c->xfer.message, "result") : NULL;
    c->seen.error_kind = c->peer->kind ? kind_error(c->result) : NULL;
}

int64_t peer_call_sent(const struct peer_call *c) {
    return c->broken || c->rounds > 1 ? c->times.sent_mono : c->xfer.sent_mono;
}

/* ------------------------------------------------------------------ the end */

static bool is_in_session(const struct peer_call *c) {
    const struct peer *p = c->peer;
    return p->state == PEER_UP && p->generation == c->generation;
}

/* 2025-11-25, basic/utilities/cancellation: a client that gives up says so; a closed connection does not.
 * In the modern era it does. */
static void tell_cancelled(struct peer_call *c, const char *reason) {
    if (!is_in_session(c) || c->modern || c->peer->o.kind != PEER_MCP)
        return;
    json_t *params = mcp_rpc_cancelled(c->id, reason);
    peer_post(c->peer, mcp_rpc_notification("notifications/cancelled", params));
    json_decref(params);
}

/* How the call would be told: `expected` is the caller's to say. */
static struct mcp_failure judge(const struct peer_call *c) {
    struct mcp_seen seen = c->seen;
    struct mcp_failure how = {.status = seen.status};
    seen.expected = seen.answer == MCP_ANSWER_RESULT;
    how.outcome = mcp_outcome(&seen, how.detail);
    how.rpc_code = seen.answer == MCP_ANSWER_ERROR ? seen.rpc_code : 0;
    return how;
}

static void finish(struct peer_call *c, const struct mcp_failure *how) {
    struct peer *p = c->peer;
    if ((how->outcome == PILOTGATE__OUTCOME__OUTCOME_TIMEOUT && c->seen.sent) ||
        (c->broken && !c->seen.resumed))
        tell_cancelled(c, "timeout");
    if (how->rpc_code == MCP_HEADER_MISMATCH && p->events.catalogue)
        p->events.catalogue(p->events.ctx, p); /* the tool's annotations are not those that we know */
    peer_session_failed(p, c->generation, how);
    c->running = false;
    c->done(c);
}

/* ------------------------------------------------------------------ resumption */

/* Notes where the stream can be taken up; false: nowhere, or there is no time for it. */
static bool may_resume(struct peer_call *c, const struct mcp_failure *how) {
    const char *id = mcp_xfer_event_id(&c->xfer);
    int64_t retry_ms = mcp_xfer_retry_ms(&c->xfer);
    if (c->modern || !is_in_session(c) || c->resumes >= RESUMES_MAX)
        return false;
    if (!c->broken && how->outcome != PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED)
        return false;
    if (*id) {
        free(c->event_id);
        c->event_id = strdup(id);
    }
    int64_t at = when_mono_ns() + (retry_ms >= 0 ? retry_ms * WHEN_MS : RESUME_NS);
    if (!c->event_id || at >= c->deadline)
        return false;
    wait_until(c, at);
    return true;
}

/* 405: the server does not resume; 4xx: it does not know the stream any more. */
static bool is_refused(const struct mcp_seen *seen) {
    return seen->status >= 400 && seen->status <= 499 && seen->status != 429;
}

static void on_rest(struct mcp_xfer *x) {
    struct peer_call *c = call_of(x);
    struct mcp_seen seen;
    mcp_xfer_seen(x, &seen);
    peer_call_look(c);
    struct mcp_failure how = judge(c);
    if (!c->seen.resumed && !is_refused(&seen) && may_resume(c, &how)) {
        mcp_xfer_clear(x);
        return;
    }
    struct mcp_failure rest = peer_result_of(x, c->had_session);
    if (rest.status == 404)
        peer_session_failed(c->peer, c->generation, &rest);
    finish(c, &how);
}

static void resume(struct peer_call *c, int64_t now) {
    struct peer *p = c->peer;
    wait_no_more(c);
    c->resumes++;
    if (is_in_session(c) && c->deadline - now >= WHEN_MS) {
        struct mcp_request r = peer_request(p, NULL, c->id);
        r.method = MCP_GET;
        r.last_event_id = c->event_id;
        r.owner = p;
        r.message = peer_on_message;
        r.timeout_ns = c->deadline - now;
        if (mcp_xfer_begin(&c->xfer, p->transport, &r, on_rest, NULL) == 0)
            return;
    }
    struct mcp_failure how = judge(c);
    finish(c, &how);
}

void peer_calls_turn(struct peer *p, int64_t now) {
    for (struct peer_call *c = p->waiting, *next; c; c = next) {
        next = c->next;
        if (c->resume_at <= now)
            resume(c, now);
    }
}

int64_t peer_calls_next(const struct peer *p) {
    int64_t next = INT64_MAX;
    for (const struct peer_call *c = p->waiting; c; c = c->next)
        next = c->resume_at < next ? c->resume_at : next;
    return next;
}

/* ------------------------------------------------------------------ rounds of input */

static int send_round(struct peer_call *c, const char *id, int64_t timeout_ns, struct err *e);

/* The answers to what the server asks for; NULL: we have none for one of them. */
static json_t *answers_to(struct peer *p, const json_t *requests) {
    json_t *answers = json_object();
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)requests, key, item) {
        json_t *answer = p->events.request ? p->events.request(p->events.ctx, p, js_str(item, "method", ""),
                                                               json_object_get(item, "params"))
                                           : NULL;
        if (!answer || json_object_set_new(answers, key, answer) < 0) {
            json_decref(answers);
            return NULL;
        }
    }
    return answers;
}

/* Puts what the next round carries beside the call's own params. requestState goes back as it came. */
static bool prepare_round(struct peer_call *c, const json_t *result) {
    const json_t *requests = json_object_get(result, "inputRequests");
    const json_t *state = json_object_get(result, "requestState");
    json_t *answers = requests ? answers_to(c->peer, requests) : NULL;
    if ((requests && !answers) || (!requests && !state) || !c->peer->events.request)
        return false;
    (void)json_object_del(c->params, "inputResponses");
    (void)json_object_del(c->params, "requestState");
    return (!answers || json_object_set_new(c->params, "inputResponses", answers) == 0) &&
           (!state || json_object_set(c->params, "requestState", (json_t *)state) == 0);
}

/* True: another round is under way. */
static bool another_round(struct peer_call *c) {
    char id[MCP_ID_MAX];
    int64_t left = c->deadline - when_mono_ns();
    if (c->rounds >= PEER_ROUNDS_MAX || left < WHEN_MS || !is_in_session(c) || !prepare_round(c, c->result))
        return false;
    mcp_xfer_clear(&c->xfer);
    c->result = NULL;
    c->rounds++;
    peer_next_id(c->peer, id);
    return send_round(c, id, left, NULL) == 0;
}

static void on_answer(struct mcp_xfer *x) {
    struct peer_call *c = call_of(x);
    if (c->peer->kind)
        peer_rest_read(x);
    peer_call_look(c);
    enum mcp_result_type type = c->modern ? mcp_modern_result_type(c->result) : MCP_RESULT_COMPLETE;
    if (type == MCP_RESULT_INPUT_REQUIRED) {
        if (another_round(c))
            return;
        c->seen.asks = true;
    }
    if (type == MCP_RESULT_UNKNOWN)
        c->seen.answer = MCP_ANSWER_MALFORMED;
    if (type != MCP_RESULT_COMPLETE)
        c->result = NULL;
    struct mcp_failure how = judge(c);
    if (may_resume(c, &how)) {
        c->broken = true;
        mcp_xfer_clear(x);
        return;
    }
    finish(c, &how);
}

/* ------------------------------------------------------------------ begin and end */

static int send_round(struct peer_call *c, const char *id, int64_t timeout_ns, struct err *e) {
    struct peer_out out = {.method = c->method ? c->method : "tools/call",
                           .params = c->params,
                           .id = id,
                           .nonce = c->id,
                           .fresh = c->fresh,
                           .reuse_only = c->reuse_only,
                           .timeout_ns = timeout_ns};
    if (c->peer->kind)
        return peer_rest_call(c, timeout_ns, on_answer, e);
    return peer_send(c->peer, &c->xfer, &out, on_answer, e);
}

int peer_call_begin(struct peer *p, struct peer_call *c, struct err *e) {
    const char *why = c->tool ? peer_tool_refused(p, c->tool) : NULL;
    if (p->state != PEER_UP)
        return err_set(e, -ENOTCONN, "%s", p->failure.detail);
    if (why)
        return err_set(e, -EINVAL, "tool %s cannot be called: %s", c->tool, why);
    c->params = c->method ? json_deep_copy(c->arguments) : mcp_rpc_tools_call(c->tool, c->arguments);
    if (!c->params && !(c->method && !c->arguments))
        return err_oom(e);
    c->peer = p;
    c->generation = p->generation;
    c->running = true;
    c->modern = p->modern;
    c->had_session = p->session[0];
    c->rounds = 1;
    c->deadline = when_mono_ns() + c->timeout_ns;
    int r = send_round(c, c->id, c->timeout_ns, e);
    if (r < 0)
        peer_call_clear(c);
    return r;
}

void peer_call_clear(struct peer_call *c) {
    if (c->running && (c->resume_at || peer_call_sent(c)))
        tell_cancelled(c, "given up");
    wait_no_more(c);
    mcp_xfer_clear(&c->xfer);
    json_decref(c->params);
    free(c->event_id);
    c->event_id = NULL;
    c->params = NULL;
    c->result = NULL;
    c->running = false;
    c->peer = NULL;
}
