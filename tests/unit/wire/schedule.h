/* schedule: blocks of calls as the prober makes them, for tests: open-loop probes with jitter. */
#pragma once

#include "wire/block.h"

struct schedule {
    const char *name;
    size_t probes;        /* entries; each starts its calls at the interval */
    int64_t interval_us;  /* between the calls of a probe */
    int64_t late_us;      /* a call starts up to this much later than it is due */
    uint64_t duration_us; /* at least, and up to `spread_us` more; now and then ten times that */
    uint64_t spread_us;
    uint32_t connections; /* kept ones, taken as they are free; 0: each call makes one */
    bool turns;           /* every other call makes a connection */
};

/* The first n calls to end, in the order in which they do. */
void schedule_fill(const struct schedule *s, size_t n, uint32_t seed, struct block_calls *c);

uint32_t schedule_random(uint32_t *state);
