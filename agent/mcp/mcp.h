/* mcp: the prober. One thread drives every probe, catalogue poll and configuration document over one
 * libcurl multi handle and emits call blocks, failed calls, object and coverage records.
 *
 * Schedule: open loop. A probe with an interval starts a call at t0 + k * interval whatever earlier
 * calls do; a probe with in_flight = N keeps N calls open, spread evenly in time. A call is in flight
 * once its request bytes are sent. Nothing is retried: CURLOPT_PREREQFUNCTION aborts a second attempt
 * of libcurl, and such a call is a reset. What kind of connection a call used is read from libcurl
 * (CURLINFO_NUM_CONNECTS), not from intent.
 *
 * Paths: every probe of a target calls by its URL; with replica_in_flight it also keeps calls open to each
 * replica by its address. Each path has its own session, schedule, counts and catalogue, so that every
 * replica is witnessed. A replica is called from the moment it is first ready; one that is going keeps its
 * connections and gets no new ones; MCP_PATH_GONE_NS after it has left the list it gets no calls.
 *
 * Quotas: what max_in_flight leaves beside the calls by URL is shared equally among the replicas; what
 * max_rate does not allow is unsent.
 *
 * Eras: modern (2026-07-28, stateless) and legacy (sessions); see peer.h. Era "auto" asks the server.
 * One session a target is shared by its probes; calls that are due while there is none are unsent.
 *
 * Blocks are closed after one second, or WIRE_BLOCK_CALLS_MAX calls.
 * Protocol facts: MCP specifications 2026-07-28 and 2025-11-25, basic and basic/transports.
 * Limits: an answer MCP_ANSWER_MAX bytes, an SSE line MCP_SSE_LINE_MAX, all answers under way 64 MiB.
 */
#pragma once

#include "base/norm.h"
#include "config.h"
#include "source.h"

#define MCP_ANSWER_MAX (16u << 20)
#define MCP_SSE_LINE_MAX (MCP_ANSWER_MAX + 1024) /* "data: " before an answer, a newline behind */

struct mcp; /* opaque; one thread of its own between start and stop */

/* Starts the thread. config, key and emit must outlive it. No probe: the thread only covers. */
int mcp_start(const struct config *c, const struct norm_key *key, const uint8_t boot[16],
              const struct emit *emit, struct mcp **ret, struct err *e) MUST_CHECK;

/* Lets open calls end for at most grace_ns, counts the rest as aborted, waits, frees. NULL-safe. */
void mcp_stop(struct mcp **m, int64_t grace_ns);

/* Raises every probe with drill_in_flight to it for ttl_ns, or lowers at once (ttl_ns 0); polls
 * catalogues and documents four times a second meanwhile. Callable from any thread. */
void mcp_set_load(struct mcp *m, int64_t ttl_ns);

/* What is known of a Service's replicas, for every target that names it so. Bounded, checked, copied.
 * Callable from any thread. */
void mcp_set_replicas(struct mcp *m, const struct replicas *r);

/* Counts since the start, for metrics. */
#define MCP_OUTCOMES (PILOTGATE__OUTCOME__OUTCOME_MALFORMED + 1)
#define MCP_DELAY_BOUNDS 10
extern const int64_t mcp_delay_bounds_ns[MCP_DELAY_BOUNDS];
struct mcp_counts {
    uint64_t outcomes[MCP_OUTCOMES]; /* calls that were sent, by outcome; over all paths */
    uint64_t unsent;                 /* due, and not sent */
};
/* Of the probe at this place of the configuration. Callable from any thread. */
void mcp_counts(const struct mcp *m, size_t probe, struct mcp_counts *ret);
/* How much later than due calls of probes with an interval began: delays[i] of at most
 * mcp_delay_bounds_ns[i], the last one above all. Callable from any thread. */
struct mcp_delays {
    uint64_t delays[MCP_DELAY_BOUNDS + 1];
    uint64_t sum_ns;
};
void mcp_delays(const struct mcp *m, struct mcp_delays *ret);

/* For `pilotgate-agent check`: each target, tool, probe (one call, 15 s at most) and document is tried.
 * Returns the number of failures. */
int mcp_check(const struct config *c, check_say *say, void *ctx);
