/* source: what every source of records (kube, mcp) sees of the rest of the agent: one callback.
 *
 * Sources run in threads of their own, never see spool or uplink, and hand every record to `emit`.
 * emit takes no ownership: it packs the record at once; the caller frees what it made. It fills wall_ns
 * and mono_ns when they are 0; seq is given later, by the journal. Callable from any thread. It may
 * block briefly; it never fails towards the source: what cannot be kept is counted as loss.
 *
 * Each source emits a Coverage record of its own every second from the same thread that does its work,
 * so that a thread that hangs stops covering: kube fills `sources`, mcp `probes` and the catalogues'
 * `sources`. The journal emits the last one, with `bye`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/wire.h"

struct emit {
    void (*fn)(void *ctx, Pilotgate__Record *record);
    void *ctx;
};

static inline void emit_record(const struct emit *e, Pilotgate__Record *r) {
    e->fn(e->ctx, r);
}

/* One line of `pilotgate-agent check`: what was tried, whether it worked, and if not what to do. */
typedef void check_say(void *ctx, bool ok, const char *what, const char *advice);
