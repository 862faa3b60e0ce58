/* metrics: health and metrics of the agent over HTTP (serve/http.h). Reads what journal and mcp publish,
 * shares nothing else with them.
 *
 *   /healthz   the journal's thread turned within METRICS_STILL_S: a restart helps a process that stands
 * still /readyz    records are kept, and the collector took this agent once since its start, so that a
 * rollout with wrong keys or a wrong address ends at its first pod. A collector that is away later changes
 * nothing: the agent goes on witnessing */
#pragma once

#include "config.h"
#include "mcp/mcp.h"
#include "uplink/journal.h"

#define METRICS_STILL_S 60

struct metrics; /* opaque; one thread of libmicrohttpd's between start and stop */

/* Everything given must outlive it. */
int metrics_start(const struct config *c, struct journal *j, const struct mcp *m, struct metrics **ret,
                  struct err *e) MUST_CHECK;
void metrics_stop(struct metrics **m); /* NULL-safe */
