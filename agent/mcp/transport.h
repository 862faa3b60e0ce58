/* transport: HTTP exchanges of the prober over one libcurl multi handle: headers, credentials, limits,
 * times, JSON and event streams, and which connection was used.
 *
 * When a request counts as sent: libcurl calls the progress function in the same step in which it handed
 * bytes to the connection (tried with 7.88: at once after the send call, before it waits for anything),
 * so the first call that reports the whole body as uploaded is the moment just after the last byte went
 * to the kernel. The read callback would be too early, CURLINFO_PRETRANSFER_TIME as well.
 *
 * Never sent twice: see before_request in transport.c.
 *
 * An answer found in an event stream decides at that moment. The stream may then end in order, so that
 * its connection can be used again, but for at most MCP_LINGER_NS.
 *
 * One thread. Everything borrowed in a request must live until the exchange is done, except where noted. */
#pragma once

#include <curl/curl.h>
#include <sys/stat.h>

#include "config.h"
#include "mcp/outcome.h"
#include "mcp/sse.h"

#define MCP_LINGER_NS 200000000LL
#define MCP_TOKEN_MAX (16u << 10)
#define MCP_HELD_MAX (64u << 20) /* of all answers under way: a hostile server must not take the memory */
#define MCP_CONNECT_MAX_NS 10000000000LL

/* A bearer token in a file, read again when the file changes. path NULL: none. */
struct mcp_bearer {
    const char *path;
    char *token; /* owned */
    struct stat seen;
};

struct mcp_socket {
    curl_socket_t fd;
    uint32_t number;
    long local_port, remote_port; /* 0: not asked yet */
    char remote_ip[64];
};

struct mcp_transport {
    CURLM *multi;
    size_t held;                /* bytes of answers under way, of all exchanges */
    struct mcp_socket *sockets; /* the open ones; n_sockets of cap_sockets */
    size_t n_sockets, cap_sockets;
    uint32_t last_connection;
    struct mcp_xfer *linger_first, *linger_last; /* in the order of their ends */
};

enum mcp_method { MCP_POST, MCP_GET, MCP_DELETE };

struct mcp_request {
    enum mcp_method method;
    const char *url;
    const char *connect_to;             /* "ADDRESS:PORT" in place of the url's host; NULL: as the url says */
    char *body;                         /* owned by the exchange from mcp_xfer_begin on, also on failure */
    const struct conf_strings *headers; /* NULL: none */
    struct mcp_bearer *bearer;          /* NULL: none */
    const char *ca_file;                /* NULL: the system's */
    const char *session, *revision;     /* "" or NULL: not sent; copied */
    const char *nonce;                  /* NULL: not sent; copied */
    const char *id; /* JSON-RPC id whose answer is awaited; NULL: the body is kept as is */
    int64_t timeout_ns;
    bool fresh;      /* a connection of its own, closed afterwards */
    bool reuse_only; /* on a kept connection or not at all: then it ends as refused and was not sent */
};

#define MCP_ID_MAX 40

/* One exchange, embedded in what owns it. Zeroed is idle. */
struct mcp_xfer {
    struct mcp_transport *transport;
    void (*done)(struct mcp_xfer *x); /* not NULL while the exchange runs */
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    char *body;
    size_t body_len;
    char id[MCP_ID_MAX];
    bool rpc, reused, resend, overflow, is_sse, reuse_only;
    int requests; /* how often libcurl wanted to send the request */
    int64_t began_mono, sent_mono, sent_wall, first_byte_mono, answered_mono;
    uint32_t connection;
    CURLcode code;
    struct mcp_sse sse;
    struct buf answer;
    size_t held;     /* its share of the transport's */
    json_t *message; /* the envelope that answers id */
    enum mcp_answer kind;
    int64_t rpc_code;
    struct mcp_xfer *linger_next, *linger_prev;
    bool lingers;
    char error[CURL_ERROR_SIZE];
};

int mcp_transport_open(struct mcp_transport *t, long max_connections, struct err *e) MUST_CHECK;
/* Every exchange must be cleared before. */
void mcp_transport_close(struct mcp_transport *t);

/* Moves everything on and calls done of what ended. */
void mcp_transport_turn(struct mcp_transport *t);
/* Waits until something can move, at most wait_ns. */
void mcp_transport_wait(struct mcp_transport *t, int64_t wait_ns);
/* Ends the wait, or the next one. From any thread. */
void mcp_transport_wake(struct mcp_transport *t);

/* Begins an exchange on an idle x. On failure x is idle and done is not called. */
int mcp_xfer_begin(struct mcp_xfer *x, struct mcp_transport *t, struct mcp_request *r,
                   void (*done)(struct mcp_xfer *x), struct err *e) MUST_CHECK;
static inline bool mcp_xfer_running(const struct mcp_xfer *x) {
    return x->done;
}

/* In done, or to give up a running exchange: what was seen so far, from the transport's side. */
void mcp_xfer_seen(struct mcp_xfer *x, struct mcp_seen *ret);
/* The session id that the answer's head carries, "" when none or not valid. Borrowed until clear. */
const char *mcp_xfer_session(struct mcp_xfer *x);
uint64_t mcp_xfer_bytes_sent(struct mcp_xfer *x);
/* End of the exchange: when the answer was found, or now. */
int64_t mcp_xfer_end_mono(const struct mcp_xfer *x);
/* Frees what the exchange holds and makes it idle; ends it when it runs. */
void mcp_xfer_clear(struct mcp_xfer *x);

/* *ret_token is borrowed, NULL when the path is NULL. -errno: the file cannot be read or holds no token. */
int mcp_bearer_get(struct mcp_bearer *b, const char **ret_token, struct err *e) MUST_CHECK;
void mcp_bearer_free(struct mcp_bearer *b);
