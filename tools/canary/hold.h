/* hold: waits for many deadlines and watches the sockets of those who wait.
 *
 * One thread, one epoll set, one heap of deadlines. libmicrohttpd does not look at the sockets of
 * suspended connections, so this does: an entry ends at its deadline or as soon as its peer hangs up,
 * whichever comes first. A peer that closes only its sending side counts as hung up: it cannot be told
 * from one that is gone.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum hold_end {
    HOLD_DUE,   /* the deadline came */
    HOLD_GONE,  /* the peer hung up first */
    HOLD_ENDED, /* hold_end_all */
};

/* Lives inside its owner; no other thread may touch it between hold_add and done. */
struct hold_entry {
    int64_t due_ns; /* CLOCK_BOOTTIME (when_mono_ns) */
    int fd;         /* watched for hang-up; -1: none. It must stay open until done */
    /* Called once, in hold's thread, when the entry is in no list any more: it may be freed. */
    void (*done)(struct hold_entry *entry, enum hold_end why);
    size_t index; /* private: place in the heap */
};

struct hold; /* opaque */

int hold_start(struct hold **ret, struct err *e) MUST_CHECK;

/* Ends the thread; entries that still wait are given HOLD_ENDED first. NULL-safe. */
void hold_stop(struct hold **h);

/* From any thread. On failure the entry is not waiting and done will not be called. */
int hold_add(struct hold *h, struct hold_entry *entry) MUST_CHECK;

/* Every entry ends now with HOLD_ENDED, those added later too. From any thread; does not wait. */
void hold_end_all(struct hold *h);
