/* peer_notice: what a server sends without being asked: notices that its tools have changed, and requests of
 * its own; and what we send without waiting for an answer.
 *
 * They come on any stream, and on one kept open for them when the server says that it gives notices
 * (capability tools.listChanged) or we have answers to requests: in the legacy era a GET (2025-11-25,
 * basic/transports, Listening for Messages from the Server; 405: it has none), in the modern era the answer
 * to subscriptions/listen (2026-07-28, basic/patterns/subscriptions). The stream is renewed every STREAM_NS:
 * a proxy that is reloaded keeps what it was before for as long as one of its streams is open. After each gap
 * the catalogue counts as changed, as a notice may have been missed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/peer_priv.h"

#define STREAM_NS (60 * WHEN_S)
#define PAUSE_MIN_NS WHEN_S
#define PAUSE_MAX_NS (60 * WHEN_S)

/* ------------------------------------------------------------------ posts */

struct peer_post {
    struct peer_post *prev, *next;
    struct peer *peer;
    struct mcp_xfer xfer;
};

static void post_free(struct peer_post *o) {
    *(o->prev ? &o->prev->next : &o->peer->posts) = o->next;
    if (o->next)
        o->next->prev = o->prev;
    o->peer->n_posts--;
    mcp_xfer_clear(&o->xfer);
    free(o);
}

static void on_posted(struct mcp_xfer *x) {
    post_free((struct peer_post *)((char *)x - offsetof(struct peer_post, xfer)));
}

void peer_post(struct peer *p, char *body) {
    struct peer_post *o = body && p->n_posts < PEER_POSTS_MAX ? calloc(1, sizeof *o) : NULL;
    if (!o) {
        free(body);
        return;
    }
    o->peer = p;
    o->next = p->posts;
    if (o->next)
        o->next->prev = o;
    p->posts = o;
    p->n_posts++;
    struct mcp_request r = peer_request(p, body, NULL);
    r.fresh = false;
    if (mcp_xfer_begin(&o->xfer, p->transport, &r, on_posted, NULL) < 0)
        post_free(o);
}

void peer_posts_clear(struct peer *p) {
    for (struct peer_post *o = p->posts, *next; o; o = next) {
        next = o->next;
        post_free(o);
    }
}

/* ------------------------------------------------------------------ the inbox */

/* Without somebody to ask, what is asked does not matter, and could be large. */
static json_t *essence(const struct peer *p, const json_t *message) {
    if (p->events.request)
        return json_incref((json_t *)message);
    return json_pack("{s:O,s:O}", "id", json_object_get(message, "id"), "method",
                     json_object_get(message, "method"));
}

/* 2025-11-25, basic, Requests: an id is a string or an integer. */
static void keep_request(struct peer *p, const json_t *message) {
    const json_t *id = json_object_get(message, "id");
    size_t bytes = json_dumpb(message, NULL, 0, JSON_COMPACT);
    if (p->modern || bytes > PEER_ASKED_MAX || p->inbox_bytes + bytes > PEER_INBOX_MAX ||
        (!json_is_string(id) && !json_is_integer(id)))
        return;
    if (json_array_append_new(p->inbox, essence(p, message)) == 0)
        p->inbox_bytes += bytes;
}

void peer_on_message(struct mcp_xfer *x, const json_t *message) {
    struct peer *p = x->owner;
    const char *method = js_str(message, "method", "");
    if (*method && json_object_get(message, "id"))
        keep_request(p, message);
    else if (strcmp(method, "notifications/tools/list_changed") == 0)
        p->notified = true;
}

/* 2025-11-25, basic/utilities/ping. A server of the modern era asks nothing this way. */
static void answer(struct peer *p, const json_t *message) {
    const char *method = js_str(message, "method", "");
    json_t *result = NULL;
    if (p->modern || p->state == PEER_DOWN)
        return;
    if (strcmp(method, "ping") == 0)
        result = json_object();
    else if (p->events.request)
        result = p->events.request(p->events.ctx, p, method, json_object_get(message, "params"));
    peer_post(p, mcp_rpc_answer(json_object_get(message, "id"), result));
    json_decref(result);
}

bool peer_inbox_waits(const struct peer *p) {
    return p->notified || json_array_size(p->inbox) > 0;
}

void peer_inbox_turn(struct peer *p) {
    size_t i;
    json_t *message;
    if (p->notified && p->events.catalogue)
        p->events.catalogue(p->events.ctx, p);
    p->notified = false;
    if (json_array_size(p->inbox) == 0)
        return;
    json_t *inbox = p->inbox;
    p->inbox = json_array();
    p->inbox_bytes = 0;
    json_array_foreach(inbox, i, message) {
        answer(p, message);
    }
    json_decref(inbox);
}

/* ------------------------------------------------------------------ the stream of notices */

static bool wants_notices(const struct peer *p) {
    bool worth = p->tells_changes || (!p->modern && p->events.request);
    return p->o.notices && p->o.kind == PEER_MCP && p->state == PEER_UP && worth &&
           !(p->notice_refused && p->notice_generation == p->generation);
}

/* 4xx, or an error as its answer: this server does not do it, whatever it says of itself. */
static bool is_refused(const struct mcp_seen *seen) {
    return (seen->status >= 400 && seen->status <= 499 && seen->status != 429) ||
           seen->answer == MCP_ANSWER_ERROR;
}

/* A stream that lasted is renewed at once; one that did not, after a pause that grows. */
static void on_stream_ended(struct mcp_xfer *x) {
    struct peer *p = (struct peer *)((char *)x - offsetof(struct peer, notice));
    struct mcp_seen seen;
    int64_t now = when_mono_ns();
    int64_t retry_ms = mcp_xfer_retry_ms(x);
    mcp_xfer_seen(x, &seen);
    if (*mcp_xfer_event_id(x))
        (void)snprintf(p->notice_event_id, sizeof p->notice_event_id, "%s", mcp_xfer_event_id(x));
    mcp_xfer_clear(x);
    p->notice_refused = is_refused(&seen);
    bool lasted = now - p->notice_began > STREAM_NS / 2;
    p->notice_pause = lasted ? 0 : p->notice_pause < PAUSE_MIN_NS ? PAUSE_MIN_NS : 2 * p->notice_pause;
    if (p->notice_pause > PAUSE_MAX_NS)
        p->notice_pause = PAUSE_MAX_NS;
    if (p->notice_pause < retry_ms * WHEN_MS)
        p->notice_pause = retry_ms * WHEN_MS;
    p->notice_at = now + p->notice_pause;
}

static int open_get(struct peer *p) {
    struct mcp_request r = peer_request(p, NULL, NULL);
    r.method = MCP_GET;
    r.stream = true;
    r.last_event_id = p->notice_event_id;
    r.owner = p;
    r.message = peer_on_message;
    r.timeout_ns = STREAM_NS;
    return mcp_xfer_begin(&p->notice, p->transport, &r, on_stream_ended, NULL);
}

static int open_listen(struct peer *p) {
    char id[MCP_ID_MAX];
    json_t *params = json_pack("{s:{s:b}}", "notifications", "toolsListChanged", 1);
    struct peer_out out = {
        .method = "subscriptions/listen", .params = params, .id = id, .fresh = true, .timeout_ns = STREAM_NS};
    peer_next_id(p, id);
    int r = peer_send(p, &p->notice, &out, on_stream_ended, NULL);
    json_decref(params);
    return r;
}

static void open_stream(struct peer *p, int64_t now) {
    bool gap = p->notice_generation == p->generation;
    p->notice_generation = p->generation;
    p->notice_began = now;
    if ((p->modern ? open_listen(p) : open_get(p)) < 0)
        p->notice_at = now + PAUSE_MAX_NS;
    else if (gap && p->events.catalogue)
        p->events.catalogue(p->events.ctx, p);
}

void peer_notice_turn(struct peer *p, int64_t now) {
    if (wants_notices(p) && !mcp_xfer_running(&p->notice) && now >= p->notice_at)
        open_stream(p, now);
}

int64_t peer_notice_next(const struct peer *p) {
    return wants_notices(p) && !mcp_xfer_running(&p->notice) ? p->notice_at : INT64_MAX;
}

void peer_notice_stop(struct peer *p) {
    mcp_xfer_clear(&p->notice);
    p->notice_event_id[0] = 0;
    p->notice_at = 0;
    p->notice_pause = 0;
}
