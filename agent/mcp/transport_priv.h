/* transport_priv: what the files of the transport share.
 *
 *   transport.c   life, one exchange, what its body says      request.c      options of the libcurl handle
 *   lane.c        where exchanges run, and wait               connection.c   sockets, sent once, how it ended
 */
#pragma once

#include "mcp/lane.h"
#include "mcp/transport.h"

/* request.c: every option of the easy handle for the request. */
int mcp_xfer_setup(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) MUST_CHECK;

/* connection.c: the callbacks that say what became of request and connection. */
void mcp_connection_watch(struct mcp_xfer *x, bool http2);
/* Fills what is known of how the connection ended. */
void mcp_connection_seen(const struct mcp_xfer *x, struct mcp_seen *s);

/* transport.c */
size_t mcp_xfer_on_body(char *bytes, size_t size, size_t n, void *ctx);
/* The transfer is over: reads a JSON body, takes the handle out and tells the owner. Not from within a
 * callback of libcurl. */
void mcp_xfer_finish(struct mcp_xfer *x, CURLcode code);
