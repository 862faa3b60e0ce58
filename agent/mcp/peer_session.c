/* peer_session: how a server is opened (the states are drawn in peer.h): which era it speaks, and in the
 * legacy era its session.
 *
 * MCP 2026-07-28, basic/transports/streamable-http, Backward Compatibility: a modern request is tried first,
 * here server/discover; a known modern error identifies a modern server, anything else a legacy one. An
 * answer that a gateway gives while its server is away identifies nothing, and so does none at all. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/peer_priv.h"

#define OFFERS_MAX 3          /* of revisions in one attempt to open */
#define DOUBT_NS (2 * WHEN_S) /* between two looks at an era that is in doubt */
#define COMPLETED PILOTGATE__OUTCOME__OUTCOME_COMPLETED

static struct peer *peer_of(struct mcp_xfer *x) {
    return (struct peer *)((char *)x - offsetof(struct peer, handshake));
}

/* ------------------------------------------------------------------ up and down */

static void down(struct peer *p, const struct mcp_failure *why, int64_t retry_at) {
    mcp_xfer_clear(&p->handshake);
    peer_notice_stop(p);
    peer_list_forget(p);
    p->failure = *why;
    p->session[0] = 0;
    p->revision[0] = 0;
    p->doubted = false;
    p->retry_at = retry_at;
    peer_enter(p, PEER_DOWN);
}

void peer_handshake_failed(struct peer *p, const struct mcp_failure *why) {
    p->tried = true;
    down(p, why, when_mono_ns() + PEER_RETRY_NS);
}

static void malformed(struct peer *p, const char *text) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", text);
    peer_handshake_failed(p, &why);
}

void peer_up(struct peer *p, enum peer_era era) {
    mcp_xfer_clear(&p->handshake);
    p->known = era;
    p->tried = true;
    p->doubted = false;
    p->generation++;
    peer_enter(p, PEER_UP);
}

/* Sends the next step of the handshake, or fails it. */
static void step(struct peer *p, enum peer_state state, const char *method, const json_t *params,
                 const char *id, void (*done)(struct mcp_xfer *x)) {
    struct err e;
    struct peer_out out = {.method = method, .params = params, .id = id, .fresh = true};
    mcp_xfer_clear(&p->handshake);
    if (peer_send(p, &p->handshake, &out, done, &e) == 0) {
        peer_enter(p, state);
        return;
    }
    struct mcp_failure why = peer_own_failure(&e);
    peer_handshake_failed(p, &why);
}

/* ------------------------------------------------------------------ legacy */

static void initialize(struct peer *p, const char *revision);

static void on_confirmed(struct mcp_xfer *x) {
    struct peer *p = peer_of(x);
    struct mcp_seen seen;
    struct mcp_failure why = {0};
    mcp_xfer_seen(x, &seen);
    if (seen.curl == CURLE_OK && seen.status >= 200 && seen.status <= 299) {
        peer_up(p, PEER_LEGACY);
        return;
    }
    why.outcome = mcp_outcome(&seen, why.detail);
    why.status = seen.status;
    peer_handshake_failed(p, &why);
}

/* A refusal says which revisions there are (2025-11-25, basic/lifecycle, Error Handling). An answer to an
 * era that was known from before, and is not any more, begins the detection anew. */
static void initialize_refused(struct peer *p, struct mcp_xfer *x, const struct mcp_failure *why) {
    const char *other = mcp_modern_choose(js_at(x->message, "error.data.supported"), true);
    if (*other && strcmp(other, p->offered) != 0 && p->offers < OFFERS_MAX) {
        char revision[sizeof p->offered];
        (void)snprintf(revision, sizeof revision, "%s", other);
        initialize(p, revision);
        return;
    }
    bool was_known = p->o.era == PEER_AUTO && p->known == PEER_LEGACY && why->status >= 200;
    peer_handshake_failed(p, why);
    if (was_known) {
        p->known = PEER_AUTO;
        p->retry_at = 0;
    }
}

static void on_initialized(struct mcp_xfer *x) {
    struct peer *p = peer_of(x);
    struct mcp_failure why = peer_result_of(x, false);
    const char *revision = js_str(x->message, "result.protocolVersion", "");
    if (why.outcome == COMPLETED && !mcp_rpc_revision_ok(revision)) {
        malformed(p, "initialize offers no protocol revision that we speak (2025-03-26 to " MCP_REVISION ")");
        return;
    }
    if (why.outcome != COMPLETED) {
        initialize_refused(p, x, &why);
        return;
    }
    (void)snprintf(p->session, sizeof p->session, "%s", mcp_xfer_session(x));
    (void)snprintf(p->revision, sizeof p->revision, "%s", revision);
    p->tells_changes = js_bool(x->message, "result.capabilities.tools.listChanged", false);
    step(p, PEER_CONFIRMING, "notifications/initialized", NULL, NULL, on_confirmed);
}

static void initialize(struct peer *p, const char *revision) {
    char id[MCP_ID_MAX];
    peer_next_id(p, id);
    p->modern = false;
    p->revision[0] = 0;
    p->offers++;
    (void)snprintf(p->offered, sizeof p->offered, "%s", revision);
    json_t *params = mcp_rpc_initialize(revision, p->o.capabilities);
    step(p, PEER_INITIALIZING, "initialize", params, id, on_initialized);
    json_decref(params);
}

/* The options' revision when it is of the legacy era. */
static const char *legacy_revision(const struct peer *p) {
    return p->o.revision && !mcp_modern_revision_ok(p->o.revision) ? p->o.revision : MCP_REVISION;
}

/* ------------------------------------------------------------------ which era */

enum era_sign { SIGN_MODERN, SIGN_LEGACY, SIGN_NONE };

/* What the answer to server/discover says of the server's era. */
static enum era_sign sign_of(const struct mcp_failure *how) {
    switch (how->status) {
    case 0: /* no answer */
    case 401:
    case 403:
    case 407:
    case 429:
    case 502:
    case 503:
    case 504:
        return SIGN_NONE;
    default:
        return how->outcome == COMPLETED || mcp_modern_is_error(how->rpc_code) ? SIGN_MODERN : SIGN_LEGACY;
    }
}

static void discover(struct peer *p, const char *revision);

/* The server names the revisions that it speaks: takes one of them, or fails. */
static void take_offer(struct peer *p, const json_t *revisions, const struct mcp_failure *why) {
    const char *modern = mcp_modern_choose(revisions, false);
    const char *legacy = p->o.era == PEER_AUTO ? mcp_modern_choose(revisions, true) : "";
    char revision[sizeof p->offered];
    (void)snprintf(revision, sizeof revision, "%s", *modern ? modern : legacy);
    if (*revision && p->offers >= OFFERS_MAX)
        peer_handshake_failed(p, why);
    else if (*modern)
        discover(p, revision);
    else if (*legacy)
        initialize(p, revision);
    else
        malformed(p, "the server speaks no revision that we speak (2025-03-26 to " MCP_MODERN_REVISION ")");
}

static void on_discovered(struct mcp_xfer *x) {
    struct peer *p = peer_of(x);
    struct mcp_failure how = peer_result_of(x, false);
    const json_t *revisions = js_at(x->message, "result.supportedVersions");
    enum era_sign sign = sign_of(&how);
    if (how.outcome == PILOTGATE__OUTCOME__OUTCOME_TIMEOUT)
        sign = SIGN_LEGACY; /* a server that does not know the method may be silent (basic/versioning) */
    if (sign == SIGN_LEGACY && p->o.era == PEER_AUTO)
        initialize(p, legacy_revision(p));
    else if (how.rpc_code == MCP_UNSUPPORTED_VERSION)
        take_offer(p, js_at(x->message, "error.data.supported"), &how);
    else if (how.outcome != COMPLETED)
        peer_handshake_failed(p, &how);
    else if (revisions && !*mcp_modern_choose(revisions, false))
        take_offer(p, revisions, &how);
    else {
        p->tells_changes = js_bool(x->message, "result.capabilities.tools.listChanged", false);
        peer_up(p, PEER_MODERN);
    }
}

static void discover(struct peer *p, const char *revision) {
    char id[MCP_ID_MAX];
    peer_next_id(p, id);
    p->modern = true;
    p->offers++;
    (void)snprintf(p->offered, sizeof p->offered, "%s", revision);
    (void)snprintf(p->revision, sizeof p->revision, "%s", revision);
    step(p, PEER_DETECTING, "server/discover", NULL, id, on_discovered);
}

static void open_server(struct peer *p) {
    p->offers = 0;
    if (p->known == PEER_LEGACY)
        initialize(p, legacy_revision(p));
    else
        discover(p, p->o.era == PEER_MODERN && p->o.revision ? p->o.revision : MCP_MODERN_REVISION);
}

/* ------------------------------------------------------------------ doubt */

/* An answer that a server of the era that we speak would not give. */
static bool is_doubtful(const struct peer *p, const struct mcp_failure *why) {
    if (p->o.era != PEER_AUTO || p->o.kind != PEER_MCP)
        return false;
    if (why->rpc_code == MCP_METHOD_NOT_FOUND || why->rpc_code == MCP_UNSUPPORTED_VERSION)
        return true;
    if (!p->modern && mcp_modern_is_error(why->rpc_code))
        return true;
    bool odd = why->status == 400 || why->status == 404 || why->status == 405;
    return odd && (why->rpc_code == 0 || why->rpc_code > MCP_INVALID_PARAMS) &&
           !mcp_modern_is_error(why->rpc_code);
}

static void on_asked_again(struct mcp_xfer *x) {
    struct peer *p = peer_of(x);
    struct mcp_failure how = peer_result_of(x, false);
    enum era_sign sign = sign_of(&how);
    mcp_xfer_clear(x);
    if (how.status == 404 && how.rpc_code == 0)
        sign = SIGN_NONE; /* a proxy whose path is gone says the same */
    if (sign == SIGN_NONE || (sign == SIGN_MODERN) == (p->known == PEER_MODERN))
        return;
    struct mcp_failure why = p->failure;
    p->known = sign == SIGN_MODERN ? PEER_MODERN : PEER_LEGACY;
    down(p, &why, 0);
}

/* Asks for the era beside what goes on. */
static void ask_again(struct peer *p, int64_t now) {
    char id[MCP_ID_MAX];
    struct peer_out out = {.method = "server/discover", .id = id, .as = MCP_MODERN_REVISION, .fresh = true};
    peer_next_id(p, id);
    p->doubted = false;
    p->doubt_at = now + DOUBT_NS;
    if (peer_send(p, &p->handshake, &out, on_asked_again, NULL) < 0)
        mcp_xfer_clear(&p->handshake);
}

void peer_session_failed(struct peer *p, uint64_t generation, const struct mcp_failure *why) {
    if (p->state != PEER_UP || generation != p->generation)
        return;
    if (why->outcome == PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST) {
        down(p, why, 0);
    } else if (is_doubtful(p, why)) {
        p->doubted = true;
        p->failure = *why; /* what it is DOWN for, if the doubt is right */
    }
}

void peer_session_turn(struct peer *p, int64_t now) {
    if (p->kind)
        peer_rest_turn(p, now);
    else if (p->state == PEER_DOWN && now >= p->retry_at)
        open_server(p);
    else if (p->state == PEER_UP && p->doubted && now >= p->doubt_at && !mcp_xfer_running(&p->handshake))
        ask_again(p, now);
}

/* ------------------------------------------------------------------ the end */

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
