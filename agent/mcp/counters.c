/* counters: calls by probe and outcome, and how late they began, since the start. Written by the prober's
 * thread, read by any: each number is an atomic of its own, none is compared with another. */
#include "mcp/counters.h"

#include <stdlib.h>

const int64_t mcp_delay_bounds_ns[MCP_DELAY_BOUNDS] = {500000,   1000000,  2500000,   5000000,   10000000,
                                                       25000000, 50000000, 100000000, 250000000, 1000000000};

int mcp_counters_open(struct mcp_counters *c, size_t probes, struct err *e) {
    c->probes = calloc(probes ? probes : 1, sizeof *c->probes);
    c->n = probes;
    return c->probes ? 0 : err_oom(e);
}

void mcp_counters_close(struct mcp_counters *c) {
    free(c->probes);
    c->probes = NULL;
    c->n = 0;
}

static void add(_Atomic uint64_t *to, uint64_t value) {
    (void)atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

void mcp_count_call(struct mcp_counters *c, size_t probe, int outcome) {
    if (probe < c->n)
        add(&c->probes[probe].outcomes[outcome > 0 && outcome < MCP_OUTCOMES ? outcome : 0], 1);
}

void mcp_count_unsent(struct mcp_counters *c, size_t probe) {
    if (probe < c->n)
        add(&c->probes[probe].unsent, 1);
}

void mcp_count_delay(struct mcp_counters *c, int64_t delay_ns) {
    size_t i = 0;
    while (i < MCP_DELAY_BOUNDS && delay_ns > mcp_delay_bounds_ns[i])
        i++;
    add(&c->delays[i], 1);
    add(&c->delay_ns, delay_ns > 0 ? (uint64_t)delay_ns : 0);
}
