/* hist: see hist.h. */
#include "hist.h"

#define LINEAR 64 /* below it every value has its own bucket */
#define PER_OCTAVE 32

static unsigned bucket_of(uint64_t v) {
    if (v < LINEAR)
        return (unsigned)v;
    unsigned shift = 58 - (unsigned)__builtin_clzll(v); /* v >> shift is 32..63 */
    unsigned b = LINEAR + (shift - 1) * PER_OCTAVE + (unsigned)(v >> shift) - PER_OCTAVE;
    return b < HIST_BUCKETS ? b : HIST_BUCKETS - 1;
}

static uint64_t end_of(unsigned b) {
    if (b < LINEAR)
        return b;
    unsigned shift = (b - LINEAR) / PER_OCTAVE + 1;
    uint64_t top = (b - LINEAR) % PER_OCTAVE + PER_OCTAVE;
    return ((top + 1) << shift) - 1;
}

void hist_add(struct hist *h, int64_t ns) {
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    h->n++;
    h->buckets[bucket_of(v)]++;
    if (v > h->max)
        h->max = v;
}

uint64_t hist_quantile(const struct hist *h, double q) {
    uint64_t seen = 0;
    double wanted = q * (double)h->n;
    for (unsigned b = 0; b < HIST_BUCKETS && h->n; b++) {
        seen += h->buckets[b];
        if (seen && (double)seen >= wanted)
            return end_of(b) < h->max ? end_of(b) : h->max;
    }
    return 0;
}
