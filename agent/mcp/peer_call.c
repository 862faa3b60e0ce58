/* peer_call: one call, from its begin to what was seen of it. */
#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "mcp/peer_priv.h"

static void link_call(struct peer *p, struct peer_call *c) {
    c->peer = p;
    c->prev = NULL;
    c->next = p->calls;
    if (p->calls)
        p->calls->prev = c;
    p->calls = c;
}

static void unlink_call(struct peer_call *c) {
    if (!c->peer)
        return;
    *(c->prev ? &c->prev->next : &c->peer->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->peer = NULL;
}

void peer_call_look(struct peer_call *c) {
    struct mcp_xfer *x = &c->xfer;
    mcp_xfer_seen(x, &c->seen);
    c->seen.had_session = c->had_session;
    c->result = c->seen.answer == MCP_ANSWER_RESULT ? json_object_get(x->message, "result") : NULL;
    c->times = (struct peer_times){.began_mono = x->began_mono,
                                   .sent_mono = x->sent_mono,
                                   .sent_wall = x->sent_wall,
                                   .first_byte_mono = x->first_byte_mono,
                                   .end_mono = mcp_xfer_end_mono(x)};
    c->bytes_sent = mcp_xfer_bytes_sent(x);
    c->connection = x->connection;
}

static void on_answer(struct mcp_xfer *x) {
    struct peer_call *c = (struct peer_call *)((char *)x - offsetof(struct peer_call, xfer));
    struct mcp_failure how = peer_result_of(x, c->had_session);
    if (how.outcome == PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST)
        peer_session_lost(c->peer, c->generation, &how);
    peer_call_look(c);
    c->done(c);
}

int peer_call_begin(struct peer *p, struct peer_call *c, struct err *e) {
    if (p->state != PEER_UP)
        return err_set(e, -ENOTCONN, "%s", p->failure.detail);
    c->generation = p->generation;
    c->had_session = p->session[0];
    c->rounds = 1;
    char *body = c->method ? mcp_rpc_request(c->id, c->method, c->arguments)
                           : mcp_rpc_tools_call(c->id, c->tool, c->arguments);
    struct mcp_request r = peer_request(p, body, c->id);
    r.nonce = c->id;
    r.fresh = c->fresh;
    r.reuse_only = c->reuse_only;
    r.timeout_ns = c->timeout_ns;
    int code = body ? mcp_xfer_begin(&c->xfer, p->transport, &r, on_answer, e) : err_oom(e);
    if (code == 0)
        link_call(p, c);
    return code;
}

int64_t peer_call_sent(const struct peer_call *c) {
    return c->xfer.sent_mono;
}

void peer_call_clear(struct peer_call *c) {
    unlink_call(c);
    mcp_xfer_clear(&c->xfer);
    c->result = NULL;
}
