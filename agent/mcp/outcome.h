/* outcome: what became of a call, decided once, by one pure function from what was observed. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mcp/rpc.h"
#include "wire/wire.h"

#define MCP_DETAIL_MAX 160

/* What the transport and the caller saw of one exchange. Zeroed means: nothing happened. */
struct mcp_seen {
    CURLcode curl;         /* how libcurl ended the transfer */
    bool sent;             /* the whole request was handed to the connection */
    bool reused;           /* the connection had served an earlier request, or serves others */
    bool resend;           /* libcurl wanted to send the request again and was stopped */
    bool orderly;          /* the peer ended in an orderly way, though libcurl calls it an error */
    bool tls_alert;        /* the peer ended the connection by an alert of TLS */
    bool http2;            /* a stream of an HTTP/2 connection */
    bool refused;          /* that stream was refused (REFUSED_STREAM), or lay behind a GOAWAY's last one */
    bool stream_reset;     /* RST_STREAM ended that stream ... */
    uint32_t stream_error; /* ... with this code */
    bool goaway;           /* its connection had a GOAWAY while the call was in flight ... */
    uint32_t goaway_error; /* ... with this code */
    bool withheld;         /* we made no connection for it, as it was for kept ones only */
    bool aborted;          /* by ourselves */
    bool late;             /* the answer came after the limit */
    bool had_session;      /* the request carried a session id */
    bool head;             /* the head of the answer came whole */
    bool sse;              /* the answer is an event stream */
    bool foreign;          /* its content type is one that MCP does not know */
    bool overflow;         /* the answer exceeds our limit */
    bool is_error;         /* result.isError */
    bool asks;             /* the result asks us for input */
    bool resumed;          /* the answer came after the broken event stream was taken up */
    bool expected;         /* the result holds what was expected */
    long status;           /* HTTP status, 0: none came; 1xx: only interim ones */
    uint64_t received;     /* bytes of the answer, head and body */
    enum mcp_answer answer;
    int64_t rpc_code;       /* of MCP_ANSWER_ERROR */
    long os_error;          /* errno of the connect that failed; 0: not known */
    const char *error_kind; /* of a REST interface: its word for a tool's error, borrowed; NULL or "": none */
    const char *why;        /* libcurl's words, borrowed; NULL or "": none */
};

/* detail: one line, how far it got; never content of the call. */
Pilotgate__Outcome mcp_outcome(const struct mcp_seen *s, char detail[MCP_DETAIL_MAX]);
