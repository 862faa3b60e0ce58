/* hist: how often each duration occurred, in buckets of at most 1/32 of their value; not thread-safe. */
#pragma once

#include <stdint.h>

#define HIST_BUCKETS (32 * 42) /* up to 2^46 ns, about 19 hours; longer ones count in the last */

struct hist {
    uint64_t n, max;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, int64_t ns);

/* The least value that at least q (0..1) of all are not above, rounded up to its bucket's end; 0 when empty.
 */
uint64_t hist_quantile(const struct hist *h, double q);
