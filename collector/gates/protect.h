/* protect: which moments of a stage retention must leave as they are. Pure. */
#pragma once

#include "correlate/corr.h"

struct protect_span { /* of the agents' clocks */
    int64_t from_ns, to_ns;
};

/* The windows of all changes, drills, marks and the deployment's first call, each with a margin: whatever a
 * verdict cites or counts lies in one of them. By time, none overlaps another; the caller frees. -ENOMEM. */
int protect_spans(const struct facts *f, struct protect_span **ret, size_t *ret_n) MUST_CHECK;
