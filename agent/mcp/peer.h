/* peer: one server as a client sees it, at one path: the era that it speaks, its session, its tools, calls
 * to them, its notices of changes, and what it asks of us. Knows nothing of probes, records or files of
 * configuration; two programs use it, the prober and the driver of the conformance suite.
 *
 *   DOWN -- due --> DETECTING -- result of server/discover ------------------------------> UP (modern)
 *    |                  |
 *    | known to         | any other answer than a modern error
 *    | be legacy        v
 *    +----------> INITIALIZING -- result --> CONFIRMING -- 2xx to notifications/initialized --> UP (legacy)
 *
 *   any state -- failed --> DOWN, again after PEER_RETRY_NS
 *   UP -- 404 or 400 to a request with our session id: the session is lost --> DOWN, again at once
 *   UP -- answers like those of the other era: server/discover is asked beside; if it is so --> DOWN, at once
 *
 * Nothing that was sent is ever sent again by itself: a call that fails is told as what it came to. What the
 * protocol itself asks of a client is done, and visible in what the call tells: taking up a broken event
 * stream
 * (`resumed`), and answering input_required when there is a `request` callback (`rounds`).
 *
 * One thread, that of the transport: callbacks come from mcp_transport_turn, peer_turn and peer_serve, never
 * from within peer_call_begin or peer_list_begin. They may begin and clear calls and lists, not close the
 * peer. Protocol: MCP specification 2026-07-28 ("modern"); 2025-11-25, 2025-06-18, 2025-03-26 ("legacy"). */
#pragma once

#include "mcp/transport.h"

#define PEER_RETRY_NS 500000000LL            /* between attempts to open the server */
#define PEER_CONTROL_TIMEOUT_NS 5000000000LL /* of everything but calls */
#define PEER_TOOLS_MAX 4096                  /* of one catalogue, in at most ... */
#define PEER_PAGES_MAX 64                    /* ... pages, ... */
#define PEER_CATALOGUE_MAX (16u << 20)       /* ... and bytes */
#define PEER_ROUNDS_MAX 8                    /* of input_required in one call */

enum peer_kind { PEER_MCP, PEER_ARCADE, PEER_WORKER };
enum peer_era { PEER_AUTO, PEER_LEGACY, PEER_MODERN };
enum peer_state { PEER_DOWN, PEER_DETECTING, PEER_INITIALIZING, PEER_CONFIRMING, PEER_UP };

/* Everything borrowed here outlives the peer. NULL and 0 mean: none, or the default. */
struct peer_options {
    enum peer_kind kind;
    enum peer_era era;
    const char *url;
    const char
        *connect_to;       /* "ADDRESS:PORT" (IPv6 in brackets) that is connected to in place of url's host */
    const char *revision;  /* that is offered first; default: the newest of the era */
    const char *id_prefix; /* of JSON-RPC ids that are not a call's */
    const struct conf_strings *headers;      /* "Name: value" */
    const struct conf_strings *header_files; /* "Name: path" */
    const char *bearer_file, *ca_file, *client_cert_file, *client_key_file;
    const char *secret_file;    /* kind worker: signs its JWT */
    const char *user_id;        /* kind arcade */
    long streams;               /* 0: HTTP/1.1; else HTTP/2, with so many calls on one connection at most */
    bool notices;               /* listen for changes of the catalogue, and for the server's requests */
    const json_t *capabilities; /* of ours, as declared to the server; default: none */
};

struct peer; /* opaque */

/* All may be NULL. */
struct peer_events {
    void *ctx;
    void (*changed)(void *ctx, struct peer *p);   /* peer_state, peer_failure or peer_revision */
    void (*catalogue)(void *ctx, struct peer *p); /* the server says that its tools have changed */
    /* The server asks: the result, a new reference; NULL: we cannot (-32601, or the call's end). `ping` is
     * answered without asking. */
    json_t *(*request)(void *ctx, struct peer *p, const char *method, const json_t *params);
};

/* How something that was no call ended, when it failed. */
struct mcp_failure {
    Pilotgate__Outcome outcome;
    long status;
    int64_t rpc_code;
    char detail[MCP_DETAIL_MAX];
};

/* Options are checked: -EINVAL with what to do. The transport must outlive the peer. */
int peer_open(struct peer **ret, struct mcp_transport *t, const struct peer_options *o,
              const struct peer_events *events, struct err *e) MUST_CHECK;
/* Every call and list must be cleared before. NULL-safe. */
void peer_close(struct peer **p);
/* Starts what is due; call it before each mcp_transport_turn. */
void peer_turn(struct peer *p, int64_t now);
/* When peer_turn has something to do next, by itself; INT64_MAX: nothing. */
int64_t peer_next(const struct peer *p);
/* The same two for calls that are open, where nothing is to be opened again: streams are taken up, and the
 * server's requests answered. */
void peer_serve(struct peer *p, int64_t now);
int64_t peer_serve_next(const struct peer *p);

enum peer_state peer_state(const struct peer *p);
/* True once the first attempt to open it has ended, either way. */
bool peer_tried(const struct peer *p);
/* Why it is not UP. */
const struct mcp_failure *peer_failure(const struct peer *p);
/* The revision agreed on, "" while not UP or for kinds without. */
const char *peer_revision(const struct peer *p);
bool peer_has_session(const struct peer *p);
/* Why the tool must not be called, though it is in the catalogue; NULL: it may be. Modern servers can say
 * that arguments are to be repeated in headers (x-mcp-header), and must say so in a valid way. */
const char *peer_tool_refused(const struct peer *p, const char *tool);

/* Of kinds arcade and worker: what the server said when it was last asked for its health, at *ret_wall (0:
 * never), which begins each list; false: not that it is healthy, and why. */
bool peer_health(const struct peer *p, int64_t *ret_wall, const char **ret_reason);

/* While it is held, it opens nothing by itself: no session, no notices. Calls under way get what they need.
 */
void peer_hold(struct peer *p, bool held);
/* Ends notices and the session with the server, and opens nothing any more; turn the transport until it
 * has parted, as long as you like to wait. */
void peer_goodbye(struct peer *p);
bool peer_parted(const struct peer *p);

struct peer_times {
    int64_t began_mono, sent_mono, sent_wall, first_byte_mono, end_mono; /* 0: did not come to it */
};

/* One call. Zeroed is idle; fill `in`, then begin; clear after done, or earlier to give it up. */
struct peer_call {
    /* in */
    const char *tool;        /* borrowed until begun, as is ... */
    const json_t *arguments; /* ... this object; NULL: none */
    const char *method;      /* instead of tool: any request, with arguments as its params */
    char id[MCP_ID_MAX];     /* JSON-RPC id, and the header that joins with server logs */
    bool fresh;              /* on a connection of its own */
    bool reuse_only;         /* on a kept connection or not at all */
    int64_t timeout_ns;      /* hard maximum over everything, whatever progress the server reports */
    void (*done)(struct peer_call *c);
    /* out, in done; the caller adds what it expected, and asks mcp_outcome */
    struct mcp_seen seen;
    const json_t *result; /* NULL, or the result; of every kind in the form of MCP's CallToolResult */
    struct peer_times times;
    uint64_t bytes_sent;
    uint32_t connection;
    int rounds; /* requests sent for it, but for resuming; 1 without input_required */
    /* private */
    struct peer *peer;
    json_t *params;
    uint64_t generation; /* of the session it uses: it cannot lose a newer one */
    int64_t deadline;
    bool running, modern, had_session, broken; /* broken: the stream of its answer, and out tells of that */
    char *event_id;                            /* from which the stream is taken up; owned; NULL: none */
    int64_t resume_at;                         /* 0: not waiting */
    int resumes;
    struct peer_call *prev, *next; /* while it waits */
    struct mcp_xfer xfer;
};

/* -ENOTCONN: not UP. On failure it is idle and done is not called. */
int peer_call_begin(struct peer *p, struct peer_call *c, struct err *e) MUST_CHECK;
static inline bool peer_call_running(const struct peer_call *c) {
    return c->running;
}
/* When the call was in flight from; 0: not yet. */
int64_t peer_call_sent(const struct peer_call *c);
/* Fills `out` of a running call with what was seen so far, to give it up. */
void peer_call_look(struct peer_call *c);
void peer_call_clear(struct peer_call *c);

/* The whole catalogue, page by page, each on a connection of its own: an old one may still be served by the
 * configuration that was in force when it was made. Zeroed is idle. */
struct peer_list {
    void (*done)(struct peer_list *l); /* in */
    /* out, in done */
    struct mcp_failure failure; /* outcome COMPLETED: it did not fail */
    json_t *tools;              /* array of objects with a name, as the server gave them; owned. Those that
                                 * must not be called are among them: see peer_tool_refused */
    int64_t asked_wall;         /* when the first request was sent */
    /* Kind arcade: the parts of the product's own configuration, owned; NULL: they could not be read, and
     * why. Other kinds: NULL, without a reason (outcome 0). */
    json_t *configuration;
    int64_t configuration_wall;
    struct mcp_failure configuration_failure;
    /* private */
    struct peer *peer;
    uint64_t generation;
    int pages;
    size_t bytes, cost; /* as text, and parsed */
    size_t offset;      /* of the next page, in the REST interfaces */
    bool again;         /* it began anew, as a cursor was refused */
    struct mcp_xfer xfer;
};

/* -ENOTCONN: not UP. On failure it is idle and done is not called. */
int peer_list_begin(struct peer *p, struct peer_list *l, struct err *e) MUST_CHECK;
static inline bool peer_list_running(const struct peer_list *l) {
    return l->peer;
}
void peer_list_clear(struct peer_list *l);
