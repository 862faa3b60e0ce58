/* transport_priv: what the two files of the transport share. */
#pragma once

#include "mcp/transport.h"

/* Sets every option of the easy handle for the request. */
int mcp_xfer_setup(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) MUST_CHECK;
size_t mcp_xfer_on_body(char *bytes, size_t size, size_t n, void *ctx);
