/* latency: which of the 128 buckets of a histogram a call's duration belongs to. Bucket 4k + q holds
 * durations from 2^k * (1 + q / 4) microseconds on; the first also 0, the last everything longer. */
#include "store/store.h"

unsigned store_latency_bucket(uint64_t us) {
    if (us < 2)
        return 0;
    if (us >> 32)
        return STORE_LATENCY_BUCKETS - 1;
    unsigned octave = 63 - (unsigned)__builtin_clzll(us);
    return 4 * octave + (unsigned)((us << 2 >> octave) & 3);
}

uint64_t store_latency_from_us(unsigned bucket) {
    if (bucket == 0)
        return 0;
    if (bucket >= STORE_LATENCY_BUCKETS)
        bucket = STORE_LATENCY_BUCKETS - 1;
    unsigned octave = bucket / 4, quarter = bucket % 4;
    return (((uint64_t)(4 + quarter) << octave) + 3) / 4; /* in the lowest octaves some buckets are empty */
}
