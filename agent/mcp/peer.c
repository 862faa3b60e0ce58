/* peer: see peer.h. This file: life, the state that others see, and what every request carries. */
#include "mcp/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "mcp/peer_priv.h"

/* ------------------------------------------------------------------ life */

static int check_header(const char *line, struct err *e) {
    const char *colon = strchr(line, ':');
    bool ok = colon && colon > line;
    for (const char *p = line; ok && *p; p++)
        ok = (unsigned char)*p >= 0x20 && *p != 0x7f && (*p != ' ' || p > colon);
    return ok ? 0 : err_set(e, -EINVAL, "a header must look like \"Name: value\" on one line");
}

static int check_options(const struct peer_options *o, struct err *e) {
    int r = 0;
    if (o->kind == PEER_MCP && o->era == PEER_MODERN)
        return err_set(e, -EINVAL,
                       "era modern (2026-07-28) is not spoken by this version; set era to legacy or auto");
    for (size_t i = 0; r == 0 && o->headers && i < o->headers->n; i++)
        r = check_header(o->headers->items[i], e);
    return r;
}

int peer_open(struct peer **ret, struct mcp_transport *t, const struct peer_options *o,
              const struct peer_events *events, struct err *e) {
    int r = check_options(o, e);
    struct peer *p = r == 0 ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return r ? r : err_oom(e);
    *p = (struct peer){.transport = t, .o = *o, .bearer = {.path = o->bearer_file}};
    if (events)
        p->events = *events;
    *ret = p;
    return 0;
}

void peer_close(struct peer **ref) {
    struct peer *p = *ref;
    if (!p)
        return;
    mcp_xfer_clear(&p->handshake);
    mcp_bearer_free(&p->bearer);
    free(p);
    *ref = NULL;
}

void peer_turn(struct peer *p, int64_t now) {
    if (!p->leaving)
        peer_session_turn(p, now);
}

int64_t peer_next(const struct peer *p) {
    return !p->leaving && p->state == PEER_DOWN ? p->retry_at : INT64_MAX;
}

void peer_goodbye(struct peer *p) {
    p->leaving = true;
    mcp_xfer_clear(&p->handshake);
    peer_session_delete(p);
}

bool peer_parted(const struct peer *p) {
    return !mcp_xfer_running(&p->handshake);
}

/* ------------------------------------------------------------------ state */

enum peer_state peer_state(const struct peer *p) {
    return p->state;
}

bool peer_tried(const struct peer *p) {
    return p->tried;
}

const struct mcp_failure *peer_failure(const struct peer *p) {
    return &p->failure;
}

const char *peer_revision(const struct peer *p) {
    return p->state == PEER_UP ? p->revision : "";
}

bool peer_has_session(const struct peer *p) {
    return p->session[0];
}

void peer_enter(struct peer *p, enum peer_state state) {
    p->state = state;
    if (p->events.changed)
        p->events.changed(p->events.ctx, p);
}

/* ------------------------------------------------------------------ requests */

void peer_next_id(struct peer *p, char id[MCP_ID_MAX]) {
    const char *prefix = p->o.id_prefix ? p->o.id_prefix : "pilotgate";
    (void)snprintf(id, MCP_ID_MAX, "%.*s-s%llu", PEER_PREFIX_MAX, prefix, (unsigned long long)++p->last_id);
}

struct mcp_request peer_request(struct peer *p, char *body, const char *id) {
    return (struct mcp_request){.method = MCP_POST,
                                .url = p->o.url,
                                .connect_to = p->o.connect_to,
                                .body = body,
                                .headers = p->o.headers,
                                .bearer = &p->bearer,
                                .ca_file = p->o.ca_file,
                                .session = p->session,
                                .revision = p->revision,
                                .id = id,
                                .timeout_ns = PEER_CONTROL_TIMEOUT_NS,
                                .fresh = true};
}

struct mcp_failure peer_result_of(struct mcp_xfer *x, bool had_session) {
    struct mcp_seen seen;
    struct mcp_failure f = {0};
    mcp_xfer_seen(x, &seen);
    seen.had_session = had_session;
    seen.expected = seen.answer == MCP_ANSWER_RESULT;
    f.outcome = mcp_outcome(&seen, f.detail);
    f.status = seen.status;
    f.rpc_code = seen.answer == MCP_ANSWER_ERROR ? seen.rpc_code : 0;
    return f;
}

struct mcp_failure peer_own_failure(const struct err *e) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", e->text);
    return why;
}
