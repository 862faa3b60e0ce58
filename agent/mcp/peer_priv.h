/* peer_priv: what the files of the peer share (see peer.h).
 *
 *   peer.c          life, requests, state         peer_call.c   one call
 *   peer_session.c  how a server is opened        peer_list.c   the catalogue
 */
#pragma once

#include "mcp/peer.h"

#define PEER_PREFIX_MAX 24

struct peer {
    struct mcp_transport *transport;
    struct peer_options o;
    struct peer_events events;
    struct mcp_bearer bearer;
    enum peer_state state;
    struct mcp_xfer handshake;         /* of opening and parting */
    char session[MCP_SESSION_MAX + 1]; /* "": the server keeps none */
    char revision[16];
    uint64_t generation; /* of the session */
    int64_t retry_at;    /* while DOWN */
    bool tried, leaving;
    struct mcp_failure failure; /* why it is not UP */
    struct peer_call *calls;
    uint64_t last_id;
};

/* peer.c */
void peer_next_id(struct peer *p, char id[MCP_ID_MAX]);
/* A request with the peer's address, headers, credentials and session. */
struct mcp_request peer_request(struct peer *p, char *body, const char *id);
void peer_enter(struct peer *p, enum peer_state state);
/* What an exchange that was to give a result came to; COMPLETED when it did. */
struct mcp_failure peer_result_of(struct mcp_xfer *x, bool had_session);
struct mcp_failure peer_own_failure(const struct err *e);

/* peer_session.c */
void peer_session_turn(struct peer *p, int64_t now);
/* A request of this generation was told that its session is unknown. */
void peer_session_lost(struct peer *p, uint64_t generation, const struct mcp_failure *why);
void peer_session_delete(struct peer *p);
