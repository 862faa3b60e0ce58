/* generate: threads that emit as the agent's sources do, faster, with content that no other record has. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "source.h"

struct generator {
    enum { GENERATE_CALLS, GENERATE_KUBE, GENERATE_TIMING, GENERATORS } kind;
    const struct emit *emit;
    int64_t interval_ns;
    uint64_t random;
    const atomic_bool *stop;
    /* its own */
    uint64_t unique, calls, failed;
    int64_t next_coverage;
};

void *generate(void *generator); /* until *stop; for pthread_create */
