/* load: from the store to facts. The one part of correlate that does I/O. */
#pragma once

#include "correlate/facts.h"
#include "store/store.h"

struct corr { /* everything that the gates need */
    struct evidence ev;
    struct rubric rubric;
    struct facts *stages; /* one for each declared stage */
    size_t n_stages;
    uint64_t commit;
    int64_t at_ns; /* time T of the verdict */
};

/* commit 0: newest. at_ns: T. Without a pilot: no stages. The caller frees with corr_free. */
int corr_load(struct store *s, uint64_t commit, int64_t at_ns, struct corr *ret, struct err *e) MUST_CHECK;
void corr_free(struct corr *c);
