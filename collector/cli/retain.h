/* retain: retention's driver. What may go is decided here and in gates/protect.h; store_delete_passes deletes
 * it.
 *
 * Only one process and thread deletes: the daemon's, where --keep-calls or --keep-bytes was said, in a thread
 * with a handle of its own (each step is a transaction of some 20 ms, for which ingest's may wait), or
 * `retain --now`, which takes the daemon's place and is refused while one serves.
 *
 * Blocks of completed calls go when all of this is so:
 *   - older than --keep-calls, or, oldest first, while the store is larger than --keep-bytes;
 *   - in no protected span (protect_spans);
 *   - before the lowest watermark of all declared stages, less RETAIN_GRACE_NS. A stage's watermark is the
 * time up to which each of its nodes has told: the least of their newest coverage, leaving out nodes that
 * ended in order and those that were not heard of for RETAIN_ABSENT_NS. A stage that never told keeps
 * everything.
 */
#pragma once

#include <stdatomic.h>

#include "base/when.h"
#include "cli/cli.h"

#define RETAIN_GRACE_NS (3600 * WHEN_S)
#define RETAIN_ABSENT_NS (7 * 86400 * WHEN_S)
#define RETAIN_EVERY_S 3600

struct retain_options {
    int64_t keep_ns;    /* 0: no age */
    int64_t keep_bytes; /* 0: no size */
};

/* One round as of now. *ret:
 * {"before","why","deleted","stages":[{"stage","watermark" or "waits_for_nobody","protected":[{"from","to"}],
 * "deleted"}],"bytes","unused"}; a new reference. dry: nothing is deleted. stop may be NULL. */
int retain_once(struct store *s, const struct retain_options *o, int64_t now_ns, bool dry,
                const atomic_bool *stop, json_t **ret, struct err *e) MUST_CHECK;

/* "30d", "500GiB"; "" or NULL: not said. */
int retain_parse(const char *keep_calls, const char *keep_bytes, struct retain_options *ret,
                 struct err *e) MUST_CHECK;

/* The daemon's thread: a round at the start, and then each hour. c must outlive it. */
struct retainer; /* opaque */
int retain_start(const struct cli *c, const struct retain_options *o, struct retainer **ret,
                 struct err *e) MUST_CHECK;
void retain_stop(struct retainer **r); /* NULL-safe */
