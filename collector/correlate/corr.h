/* corr: what the gates judge: evidence, rubric and facts of one pilot at one commit. Plain data, so that
 * the gates need nothing of load.h, which makes it from a store. */
#pragma once

#include "correlate/facts.h"

struct corr { /* everything that the gates need */
    struct evidence ev;
    struct rubric rubric;
    struct facts *stages; /* one for each declared stage */
    size_t n_stages;
    uint64_t commit;
    int64_t at_ns; /* time T of the verdict */
};

/* The moment whose state is compared when t is asked for: t, or the pilot's end where t is later. */
int64_t corr_state_time(const struct corr *c, int64_t t);

void corr_free(struct corr *c); /* NULL-safe; the struct itself is the caller's */
