/* shot: single exchanges over a transport, and what came of them, for the tests of the transport. */
#pragma once

#include "mcp/transport.h"

struct shot {
    struct mcp_xfer x;
    char nonce[40];
    bool ended;
    struct mcp_seen seen;
    Pilotgate__Outcome outcome;
    char detail[MCP_DETAIL_MAX];
    int64_t took_ns; /* from sent to its end */
    uint32_t connection;
    int messages; /* that were no answer */
    char event_id[64];
    int64_t retry_ms;
};

/* A POST of a call to url, ten seconds at most; tests change what they need before shot_fire. */
struct mcp_request shot_request(const char *url, const char *nonce);
/* Begins it, or fails the test. The request gets a body and s's nonce as id. */
void shot_fire(struct shot *s, struct mcp_transport *t, struct mcp_request *r);
/* Turns the transport until all have ended, or fails the test after 15 s. */
void shot_wait(struct mcp_transport *t, struct shot *s, size_t n);
/* Turns the transport until test(ctx), or fails the test after 15 s. */
void shot_until(struct mcp_transport *t, bool (*test)(void *ctx), void *ctx);
/* Turns the transport for so long. */
void shot_turn(struct mcp_transport *t, int64_t ns);
/* One shot from begin to end. */
void shot_one(struct shot *s, struct mcp_transport *t, const char *url, const char *nonce);
void shot_clear(struct shot *s, size_t n);
