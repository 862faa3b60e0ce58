/* session: one MCP session of the legacy era for each target, shared by all that calls it.
 *
 *            retry_at                result                    2xx
 *   DOWN ---------------> INITIALIZING -----> CONFIRMING ---------------> UP
 *    ^    initialize            |             notifications/     |        |
 *    |                          | failed      initialized        | failed | 404 or 400 to a request
 *    +--------------------------+--------------------------------+        | with our session id
 *    +--------------------------------------------------------------------+ (retry at once)
 */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

static void down(struct mcp_target *t, const struct mcp_failure *why, int64_t retry_at) {
    t->state = MCP_SESSION_DOWN;
    t->failure = *why;
    t->session[0] = 0;
    t->revision[0] = 0;
    t->retry_at = retry_at;
}

static void handshake_failed(struct mcp_target *t, const struct mcp_failure *why) {
    mcp_xfer_clear(&t->handshake);
    t->tried = true;
    down(t, why, when_mono_ns() + MCP_RETRY_NS);
}

static void own_failure(struct mcp_target *t, const struct err *e) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", e->text);
    handshake_failed(t, &why);
}

static void on_confirmed(struct mcp_xfer *x) {
    struct mcp_target *t = (struct mcp_target *)((char *)x - offsetof(struct mcp_target, handshake));
    struct mcp_seen seen;
    struct mcp_failure why = {0};
    mcp_xfer_seen(x, &seen);
    if (seen.curl != CURLE_OK || seen.status < 200 || seen.status > 299) {
        why.outcome = mcp_outcome(&seen, why.detail);
        why.status = seen.status;
        handshake_failed(t, &why);
        return;
    }
    mcp_xfer_clear(x);
    t->state = MCP_SESSION_UP;
    t->tried = true;
    t->generation++;
}

static void confirm(struct mcp_target *t) {
    struct err e;
    struct mcp_request r = mcp_target_request(t, mcp_rpc_initialized(), NULL);
    if (!r.body)
        (void)err_oom(&e);
    t->state = MCP_SESSION_CONFIRMING;
    if (!r.body || mcp_xfer_begin(&t->handshake, &t->m->transport, &r, on_confirmed, &e) < 0)
        own_failure(t, &e);
}

static void on_initialized(struct mcp_xfer *x) {
    struct mcp_target *t = (struct mcp_target *)((char *)x - offsetof(struct mcp_target, handshake));
    struct mcp_failure why = mcp_result_of(x, false);
    const char *revision = js_str(x->message, "result.protocolVersion", "");
    if (why.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED && !mcp_rpc_revision_ok(revision)) {
        why.outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED;
        (void)snprintf(why.detail, sizeof why.detail,
                       "initialize offers no protocol revision that we speak (%s)", MCP_REVISION);
    }
    if (why.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED) {
        handshake_failed(t, &why);
        return;
    }
    (void)snprintf(t->session, sizeof t->session, "%s", mcp_xfer_session(x));
    (void)snprintf(t->revision, sizeof t->revision, "%s", revision);
    mcp_xfer_clear(x);
    confirm(t);
}

static void initialize(struct mcp_target *t) {
    struct err e;
    char id[MCP_ID_MAX];
    mcp_next_id(t->m, id);
    struct mcp_request r = mcp_target_request(t, mcp_rpc_initialize(id), id);
    if (!r.body)
        (void)err_oom(&e);
    t->state = MCP_SESSION_INITIALIZING;
    if (!r.body || mcp_xfer_begin(&t->handshake, &t->m->transport, &r, on_initialized, &e) < 0)
        own_failure(t, &e);
}

void mcp_session_turn(struct mcp_target *t, int64_t now) {
    if (t->state == MCP_SESSION_DOWN && now >= t->retry_at)
        initialize(t);
}

void mcp_session_lost(struct mcp_target *t, uint64_t generation, const struct mcp_failure *why) {
    if (t->state == MCP_SESSION_UP && generation == t->generation)
        down(t, why, 0);
}

/* The answer does not matter: a server may refuse to end a session (405). */
static void on_deleted(struct mcp_xfer *x) {
    mcp_xfer_clear(x);
}

void mcp_session_delete(struct mcp_target *t) {
    if (t->state != MCP_SESSION_UP || !t->session[0])
        return;
    struct mcp_request r = mcp_target_request(t, NULL, NULL);
    r.method = MCP_DELETE;
    r.timeout_ns = WHEN_S;
    if (mcp_xfer_begin(&t->handshake, &t->m->transport, &r, on_deleted, NULL) < 0)
        mcp_xfer_clear(&t->handshake);
}
