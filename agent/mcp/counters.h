/* counters: what mcp_counts reads; see counters.c. Private to mcp. */
#pragma once

#include <stdatomic.h>

#include "mcp/mcp.h"

struct mcp_counters {
    struct mcp_probe_counters {
        _Atomic uint64_t outcomes[MCP_OUTCOMES];
        _Atomic uint64_t unsent;
    } * probes; /* owned; one for each probe of the configuration, whatever its paths */
    size_t n;
    _Atomic uint64_t delays[MCP_DELAY_BOUNDS + 1], delay_ns;
};

int mcp_counters_open(struct mcp_counters *c, size_t probes, struct err *e) MUST_CHECK;
void mcp_counters_close(struct mcp_counters *c);
/* probe: its place in the configuration. */
void mcp_count_call(struct mcp_counters *c, size_t probe, int outcome);
void mcp_count_unsent(struct mcp_counters *c, size_t probe);
void mcp_count_delay(struct mcp_counters *c, int64_t delay_ns);
