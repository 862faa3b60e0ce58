/* calls: records as an agent makes them, of calls that nobody made. What they hold is like what a pilot of
 * four probes holds: starts a little after their schedule, durations of some 10 ms with a tail, connections
 * kept by three of the probes, every call completed. Not thread-safe.
 */
#pragma once

#include "base/buf.h"
#include "wire/block.h"

#define CALLS_PROBES 4

struct calls_source {
    uint64_t random;    /* state; not 0 */
    unsigned rate;      /* calls/s of all probes together */
    uint64_t next;      /* number of the next call */
    int64_t wall, mono; /* when it is due, ns */
};

/* The next n calls as one packed Record without seq, into out, which is cleared first. */
int calls_block(struct calls_source *s, size_t n, struct buf *out, struct err *e) MUST_CHECK;

/* The coverage of one second: of the prober, whose counts are those of `s`, or of kube. */
enum calls_cover { CALLS_COVER_MCP, CALLS_COVER_KUBE, CALLS_COVER_BYE };
int calls_coverage(const struct calls_source *s, enum calls_cover which, int64_t wall, int64_t mono,
                   struct buf *out, struct err *e) MUST_CHECK;

/* A clock offset. */
int calls_timing(int64_t wall, int64_t mono, int64_t offset_ns, uint64_t error_ns, struct buf *out,
                 struct err *e) MUST_CHECK;

/* Appends the seq, which a record gets last of all. */
int calls_number(struct buf *record, uint64_t seq) MUST_CHECK;
