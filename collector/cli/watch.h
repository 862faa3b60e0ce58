/* watch: the daemon's look at its own pilot. A thread with a read handle of its own judges the gates now and
 * then, keeps what the metrics of pilot, stages and store say, and tells a webhook what begins and ends
 * (alert/alert.h). Ingest is never held up: the thread shares nothing with it but the database file and the
 * snapshots that ingest publishes. */
#pragma once

#include "cli/cli.h"
#include "ingest/ingest.h"

struct watch_options {
    const char *hook_file; /* NULL: nobody is told */
    bool hook_plain;
    int64_t every_ns; /* between two looks; a look that takes long comes less often */
    int64_t stale_ns; /* of coverage; the rubric's coverage_gap if that is longer */
};

struct watch; /* opaque; one thread between start and stop */

/* The store is there and served. c and i must outlive it. */
int watch_start(const struct cli *c, const struct watch_options *o, struct ingest *i, struct watch **ret,
                struct err *e) MUST_CHECK;
void watch_stop(struct watch **w); /* NULL-safe */
/* Adds what the last look saw, in Prometheus' text. Any thread. */
int watch_metrics(struct watch *w, struct buf *out) MUST_CHECK;
