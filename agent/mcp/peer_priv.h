/* peer_priv: what the files of the peer share (see peer.h).
 *
 *   peer.c          life, state              peer_call.c    one call: rounds of input, resumption
 *   peer_send.c     what a request carries   peer_list.c    the catalogue
 *   peer_rest.c     the REST interfaces
 *   peer_session.c  how a server is opened   peer_notice.c  its notices, requests, our answers
 */
#pragma once

#include "mcp/kind.h"
#include "mcp/modern.h"
#include "mcp/peer.h"

#define PEER_PREFIX_MAX 24
#define PEER_POSTS_MAX 64          /* answers and notifications of ours under way; more are not sent */
#define PEER_ASKED_MAX (64u << 10) /* bytes of one request of the server; a larger one is not answered */
#define PEER_INBOX_MAX (1u << 20)  /* of all that wait */

struct peer {
    struct mcp_transport *transport;
    struct peer_options o;
    struct peer_events events;
    struct mcp_bearer bearer;
    struct mcp_header_files header_files;
    uint64_t last_id;
    bool tried, held, leaving;
    /* peer_rest.c */
    const struct kind *kind;  /* NULL: MCP */
    struct mcp_bearer secret; /* that signs the worker's token */
    int64_t health_wall;      /* 0: not asked yet */
    bool healthy;
    char health_reason[MCP_DETAIL_MAX];
    /* peer_session.c */
    struct mcp_failure failure; /* why it is not UP */
    uint64_t generation;        /* of the session */
    int64_t retry_at;           /* while DOWN */
    int64_t doubt_at;           /* the era is not asked for again before */
    struct mcp_xfer handshake;  /* of opening, asking again for the era, and parting */
    enum peer_state state;
    enum peer_era known;               /* as last detected; AUTO: not known */
    int offers;                        /* of revisions in this attempt */
    bool modern;                       /* of the session */
    bool tells_changes;                /* capability tools.listChanged */
    bool doubted;                      /* the era, while UP */
    char session[MCP_SESSION_MAX + 1]; /* "": the server keeps none */
    char revision[16];                 /* that requests declare; "" before it is agreed on */
    char offered[16];
    /* peer_list.c: what the last catalogue says of calls, in the modern era */
    json_t *annotations; /* name of a tool: as mcp_modern_annotations gives them; NULL: none */
    json_t *refused;     /* name of a tool: why it must not be called */
    /* peer_call.c */
    struct peer_call *waiting; /* to resume */
    /* peer_notice.c */
    struct mcp_xfer notice;
    uint64_t notice_generation; /* of the session for which it is open, or was refused */
    int64_t notice_at, notice_began, notice_pause;
    json_t *inbox; /* requests of the server that are not answered yet */
    size_t inbox_bytes;
    struct peer_post *posts;
    size_t n_posts;
    bool notice_refused;
    bool notified; /* its tools have changed, and nobody was told yet */
    char notice_event_id[MCP_EVENT_ID_MAX + 1];
};

/* peer.c */
void peer_enter(struct peer *p, enum peer_state state);

/* peer_send.c */
void peer_next_id(struct peer *p, char id[MCP_ID_MAX]);
/* A JSON-RPC message to send. Everything is borrowed until it is sent. */
struct peer_out {
    const char *method;
    const json_t *params; /* NULL: none */
    const char *id;       /* NULL: a notification */
    const char *nonce;
    const char *as; /* a modern revision in place of what was agreed on, without session */
    bool fresh, reuse_only;
    int64_t timeout_ns; /* 0: PEER_CONTROL_TIMEOUT_NS */
};
/* Begins the exchange in the form of the era in which the peer is, or is being opened. */
int peer_send(struct peer *p, struct mcp_xfer *x, const struct peer_out *out,
              void (*done)(struct mcp_xfer *x), struct err *e) MUST_CHECK;
/* Address, headers, credentials and session; body is owned by the request. */
struct mcp_request peer_request(struct peer *p, char *body, const char *id);
/* What an exchange that was to give a result came to; COMPLETED when it did. */
struct mcp_failure peer_result_of(struct mcp_xfer *x, bool had_session);
struct mcp_failure peer_own_failure(const struct err *e);

/* peer_session.c */
void peer_session_turn(struct peer *p, int64_t now);
/* A request of this generation failed so: is its session lost, or the era another one? */
void peer_session_failed(struct peer *p, uint64_t generation, const struct mcp_failure *why);
void peer_session_delete(struct peer *p);

void peer_up(struct peer *p, enum peer_era era);
void peer_handshake_failed(struct peer *p, const struct mcp_failure *why);

/* peer_rest.c: the same for the REST interfaces */
void peer_rest_turn(struct peer *p, int64_t now);
int peer_rest_call(struct peer_call *c, int64_t timeout_ns, void (*done)(struct mcp_xfer *x),
                   struct err *e) MUST_CHECK;
/* Reads the answer to a call, and leaves in the exchange what MCP's would be. */
void peer_rest_read(struct mcp_xfer *x);
int peer_rest_list(struct peer_list *l, struct err *e) MUST_CHECK;

/* peer_list.c */
/* False: with a page of that cost (mcp_message_cost) it holds more than a list, or all that are being read,
 * may. */
bool peer_list_afford(struct peer_list *l, size_t cost);
void peer_list_finish(struct peer_list *l, const struct mcp_failure *how);
void peer_list_forget(struct peer *p);

/* peer_call.c */
void peer_calls_turn(struct peer *p, int64_t now);
int64_t peer_calls_next(const struct peer *p);

/* peer_notice.c */
/* Keeps what counts of a message of the server, that came on an exchange of the peer, until the next turn. */
void peer_on_message(struct mcp_xfer *x, const json_t *message);
void peer_inbox_turn(struct peer *p);
bool peer_inbox_waits(const struct peer *p);
void peer_notice_turn(struct peer *p, int64_t now);
int64_t peer_notice_next(const struct peer *p);
void peer_notice_stop(struct peer *p);
/* Sends an answer or a notification whose own fate does not matter; body is owned, may be NULL. */
void peer_post(struct peer *p, char *body);
void peer_posts_clear(struct peer *p);
