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
    CURLcode curl;     /* how libcurl ended the transfer */
    bool sent;         /* the whole request was handed to the connection */
    bool reused;       /* the connection had served an earlier request */
    bool resend;       /* libcurl wanted to send the request again and was stopped */
    bool orderly;      /* the peer ended the connection without RST, though TLS calls it an error */
    bool aborted;      /* by ourselves */
    bool late;         /* the answer came after the limit */
    bool had_session;  /* the request carried a session id */
    bool sse;          /* the answer is an event stream */
    bool overflow;     /* the answer exceeds our limit */
    bool is_error;     /* result.isError */
    bool expected;     /* the result holds what was expected */
    long status;       /* HTTP status, 0: none came */
    uint64_t received; /* bytes of the answer, head and body */
    enum mcp_answer answer;
    int64_t rpc_code; /* of MCP_ANSWER_ERROR */
    long os_error;    /* errno of the connect that failed; 0: not known */
};

/* detail: one line, how far it got; never content of the call. */
Pilotgate__Outcome mcp_outcome(const struct mcp_seen *s, char detail[MCP_DETAIL_MAX]);
