/* transport: HTTP exchanges of the prober over libcurl: HTTP/1.1 and 2, headers, credentials, limits, times,
 * JSON and event streams, and which connection was used.
 *
 * When a request counts as sent: libcurl calls the progress function in the same step in which it handed
 * bytes to the connection (tried with 7.88: at once after the send call, before it waits for anything),
 * so the first call that reports the whole body as uploaded is the moment just after the last byte went
 * to the kernel; a stream of HTTP/2 that waits for its turn has uploaded nothing. The read callback would be
 * too early, CURLINFO_PRETRANSFER_TIME as well.
 *
 * Never sent twice: see before_request in connection.c.
 *
 * An answer found in an event stream decides at that moment. The stream may then end in order, so that
 * its connection can be used again, but for at most MCP_LINGER_NS.
 *
 * Memory: an answer may have MCP_ANSWER_MAX bytes, decoded. When all answers under way, as texts and parsed,
 * come to hold more than MCP_HELD_MAX, the exchange that holds most is ended, not the one whose byte was the
 * last.
 *
 * One thread. Everything borrowed in a request must live until the exchange is done, except where noted. */
#pragma once

#include <curl/curl.h>

#include "config.h"
#include "mcp/cred.h"
#include "mcp/outcome.h"
#include "mcp/sse.h"

#define MCP_LINGER_NS 200000000LL
#define MCP_HELD_MAX (64u << 20)   /* of all answers under way: a hostile server must not take the memory */
#define MCP_STREAM_MAX (64u << 20) /* bytes of one body, decoded: streams that never end have an end */
#define MCP_CONNECT_MAX_NS 10000000000LL

struct mcp_socket {
    curl_socket_t fd;
    uint32_t number;
    long local_port, remote_port; /* 0: not asked yet */
    char remote_ip[64];
};

struct mcp_lane;

struct mcp_transport {
    bool open;
    int epoll, timer, wakeup;
    long max_connections; /* kept open by each lane */
    struct mcp_lane *lanes;
    struct mcp_xfer *first;     /* every exchange that runs or waits */
    size_t held;                /* bytes of answers under way, of all exchanges */
    size_t listed;              /* bytes of lists that are being read page by page (peer_list.c) */
    size_t condemned;           /* exchanges that are to end for want of memory */
    struct mcp_socket *sockets; /* the open ones; n_sockets of cap_sockets */
    size_t n_sockets, cap_sockets;
    uint32_t last_connection;
    struct mcp_xfer *linger_first, *linger_last; /* in the order of their ends */
};

struct mcp_xfer;

enum mcp_method { MCP_POST, MCP_GET, MCP_DELETE };

struct mcp_header {
    const char *name, *value;
};

struct mcp_request {
    enum mcp_method method;
    const char *url;
    const char
        *connect_to; /* "ADDRESS:PORT" (IPv6 in brackets) to connect to in place of url's; NULL: url's */
    char *body;      /* owned by the exchange from mcp_xfer_begin on, also on failure */
    const struct conf_strings *headers;             /* NULL: none */
    struct mcp_header_files *header_files;          /* NULL: none */
    struct mcp_bearer *bearer;                      /* NULL: none */
    const char *ca_file;                            /* NULL: the system's */
    const char *client_cert_file, *client_key_file; /* NULL: none */
    const char *session, *revision;                 /* "" or NULL: not sent; copied */
    const char *nonce;                              /* NULL: not sent; copied */
    const char *last_event_id;                      /* "" or NULL: not sent; copied */
    const struct mcp_header *extra;                 /* further ones; copied */
    size_t n_extra;
    const char *id; /* JSON-RPC id whose answer is awaited, in JSON or in an event stream; NULL: none is */
    bool stream;    /* without id: an event stream whose every message goes to `message` */
    /* A message that is not the answer: a request or a notice of the server, or an answer to another id.
     * Borrowed. NULL: they are passed over. May begin other exchanges, not clear this one. */
    void (*message)(struct mcp_xfer *x, const json_t *message);
    void *owner;        /* of the exchange, for `message` */
    int64_t timeout_ns; /* hard maximum from when it goes out; so long it may wait for its turn before, too */
    bool fresh;         /* a connection of its own, closed afterwards */
    bool reuse_only;    /* on a kept connection or not at all: then it was withheld, and not sent */
    long streams;       /* 0: HTTP/1.1; else HTTP/2, with so many exchanges on one connection at most */
};

#define MCP_ID_MAX 40

/* One exchange, embedded in what owns it. Zeroed is idle. */
struct mcp_xfer {
    struct mcp_transport *transport;
    void (*done)(struct mcp_xfer *x); /* not NULL while the exchange runs */
    void (*on_message)(struct mcp_xfer *x, const json_t *message);
    void *owner;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    char *body;
    size_t body_len;
    char id[MCP_ID_MAX];
    bool rpc, reused, resend, overflow, is_sse, foreign, reuse_only, withheld;
    bool head;                   /* the head of the answer is complete */
    bool http2, refused, goaway; /* as HTTP/2 stream; refused; its connection had a GOAWAY */
    bool stream_reset;           /* by RST_STREAM */
    uint32_t goaway_error, stream_error;
    int requests; /* how often libcurl wanted to send the request */
    int64_t began_mono, sent_mono, sent_wall, first_byte_mono, answered_mono;
    uint32_t connection;
    CURLcode code;
    struct mcp_sse sse;
    struct buf answer;
    uint64_t decoded; /* bytes of the body */
    size_t held;      /* its share of the transport's */
    json_t *message;  /* the envelope that answers id: result or error */
    size_t parsed;    /* bytes that it takes, as estimated */
    enum mcp_answer kind;
    int64_t rpc_code;
    int64_t timeout_ns, ends_at; /* of waiting, then of the exchange */
    struct mcp_lane *lane;
    struct mcp_xfer *next, *prev, *wait_next, *wait_prev, *linger_next, *linger_prev;
    bool waits, lingers, condemned, prior_knowledge, joins; /* see lane.c */
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

/* Begins an exchange on an idle x, also from within callbacks; it moves with the next turn. On failure x is
 * idle and done is not called. */
int mcp_xfer_begin(struct mcp_xfer *x, struct mcp_transport *t, struct mcp_request *r,
                   void (*done)(struct mcp_xfer *x), struct err *e) MUST_CHECK;
static inline bool mcp_xfer_running(const struct mcp_xfer *x) {
    return x->done;
}
/* Begun, but its request is not out: it waits for a connection, or for a stream of one (our limit or the
 * server's), and is not in flight. */
static inline bool mcp_xfer_queued(const struct mcp_xfer *x) {
    return x->done && !x->sent_mono;
}

/* In done, or to give up a running exchange: what was seen so far, from the transport's side. */
void mcp_xfer_seen(struct mcp_xfer *x, struct mcp_seen *ret);
/* The session id that the answer's head carries, "" when none or not valid. Borrowed until clear. */
const char *mcp_xfer_session(struct mcp_xfer *x);
uint64_t mcp_xfer_bytes_sent(struct mcp_xfer *x);
/* Of the event stream so far: id of its last whole event ("": it had none), with which the stream can be
 * taken up again, and the time in ms after which the server wants that (-1: it did not say). */
static inline const char *mcp_xfer_event_id(const struct mcp_xfer *x) {
    return x->sse.id;
}
static inline int64_t mcp_xfer_retry_ms(const struct mcp_xfer *x) {
    return x->sse.retry_ms;
}
/* End of the exchange: when the answer was found, or now. */
int64_t mcp_xfer_end_mono(const struct mcp_xfer *x);
/* Frees what the exchange holds and makes it idle; ends it when it runs. */
void mcp_xfer_clear(struct mcp_xfer *x);
