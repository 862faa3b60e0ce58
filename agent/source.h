/* source: what every source of records (kube, mcp) sees of the rest of the agent: one callback; and the
 * replicas of a Service, which kube tells and mcp calls, so that neither sees the other.
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

#define REPLICAS_MAX 64   /* of one Service */
#define REPLICA_IP_MAX 46 /* INET6_ADDRSTRLEN */

struct emit {
    void (*fn)(void *ctx, Pilotgate__Record *record);
    void *ctx;
};

static inline void emit_record(const struct emit *e, Pilotgate__Record *r) {
    e->fn(e->ctx, r);
}

/* One pod behind a Service, as the API says: nothing in it is trusted, all of it is bounded and valid. */
struct replica {
    char pod[WIRE_NAME_MAX + 1];
    char ip[REPLICA_IP_MAX]; /* numeric, IPv4 or IPv6 without brackets */
    uint16_t port;
    bool ready;
};

/* What is known of a Service's replicas from now on. reason not NULL: it cannot be known, and why; what was
 * known before stays in force. The list is in the order of pod names; left_out: how many more
 * there are, with those that are no address of a pod. */
struct replicas {
    const char *service; /* "NAME" or "NAME:PORT", as the target's `replicas` has it */
    const struct replica *list;
    size_t n, left_out; /* n at most REPLICAS_MAX */
    const char *reason;
};

/* Called from the thread that watches. Everything is borrowed for the call. */
struct replicas_to {
    void (*fn)(void *ctx, const struct replicas *r);
    void *ctx;
};

/* One line of `pilotgate-agent check`: what was tried, whether it worked, and if not what to do. */
typedef void check_say(void *ctx, bool ok, const char *what, const char *advice);
