/* peer_session: how a server is opened; of the legacy era with initialize (the states are drawn in peer.h).
 */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/peer_priv.h"

static void down(struct peer *p, const struct mcp_failure *why, int64_t retry_at) {
    p->failure = *why;
    p->session[0] = 0;
    p->revision[0] = 0;
    p->retry_at = retry_at;
    peer_enter(p, PEER_DOWN);
}

static void handshake_failed(struct peer *p, const struct mcp_failure *why) {
    mcp_xfer_clear(&p->handshake);
    p->tried = true;
    down(p, why, when_mono_ns() + PEER_RETRY_NS);
}

static void up(struct peer *p) {
    p->tried = true;
    p->generation++;
    peer_enter(p, PEER_UP);
}

/* Sends the next step of the handshake, or fails it. */
static void step(struct peer *p, enum peer_state state, struct mcp_request *r,
                 void (*done)(struct mcp_xfer *x)) {
    struct err e;
    int code = r->body ? mcp_xfer_begin(&p->handshake, p->transport, r, done, &e) : err_oom(&e);
    if (code == 0) {
        peer_enter(p, state);
        return;
    }
    struct mcp_failure why = peer_own_failure(&e);
    handshake_failed(p, &why);
}

static void on_confirmed(struct mcp_xfer *x) {
    struct peer *p = (struct peer *)((char *)x - offsetof(struct peer, handshake));
    struct mcp_seen seen;
    struct mcp_failure why = {0};
    mcp_xfer_seen(x, &seen);
    if (seen.curl != CURLE_OK || seen.status < 200 || seen.status > 299) {
        why.outcome = mcp_outcome(&seen, why.detail);
        why.status = seen.status;
        handshake_failed(p, &why);
        return;
    }
    mcp_xfer_clear(x);
    up(p);
}

static void on_initialized(struct mcp_xfer *x) {
    struct peer *p = (struct peer *)((char *)x - offsetof(struct peer, handshake));
    struct mcp_failure why = peer_result_of(x, false);
    const char *revision = js_str(x->message, "result.protocolVersion", "");
    if (why.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED && !mcp_rpc_revision_ok(revision)) {
        why.outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED;
        (void)snprintf(why.detail, sizeof why.detail,
                       "initialize offers no protocol revision that we speak (%s)", MCP_REVISION);
    }
    if (why.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED) {
        handshake_failed(p, &why);
        return;
    }
    (void)snprintf(p->session, sizeof p->session, "%s", mcp_xfer_session(x));
    (void)snprintf(p->revision, sizeof p->revision, "%s", revision);
    mcp_xfer_clear(x);
    struct mcp_request r = peer_request(p, mcp_rpc_initialized(), NULL);
    step(p, PEER_CONFIRMING, &r, on_confirmed);
}

static void initialize(struct peer *p) {
    char id[MCP_ID_MAX];
    peer_next_id(p, id);
    struct mcp_request r = peer_request(p, mcp_rpc_initialize(id), id);
    step(p, PEER_INITIALIZING, &r, on_initialized);
}

void peer_session_turn(struct peer *p, int64_t now) {
    if (p->state == PEER_DOWN && now >= p->retry_at)
        initialize(p);
}

void peer_session_lost(struct peer *p, uint64_t generation, const struct mcp_failure *why) {
    if (p->state == PEER_UP && generation == p->generation)
        down(p, why, 0);
}

/* The answer does not matter: a server may refuse to end a session (405). */
static void on_deleted(struct mcp_xfer *x) {
    mcp_xfer_clear(x);
}

void peer_session_delete(struct peer *p) {
    if (p->state != PEER_UP || !p->session[0])
        return;
    struct mcp_request r = peer_request(p, NULL, NULL);
    r.method = MCP_DELETE;
    r.timeout_ns = WHEN_S;
    if (mcp_xfer_begin(&p->handshake, p->transport, &r, on_deleted, NULL) < 0)
        mcp_xfer_clear(&p->handshake);
}
