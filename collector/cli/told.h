/* told: what the agents of a stage told lately of their load: from their newest coverage, and from the calls
 * of the last minutes how long calls take and on which kind of connection. */
#pragma once

#include "cli/cli.h"
#include "correlate/corr.h"
#include "gates/plan.h"

#define TOLD_MAX 16384    /* loads: probes x paths x agents */
#define TOLD_RECENT_S 600 /* how far back is lately */

struct told {
    struct plan_load *loads; /* owned, and so are its texts */
    size_t n;
};

/* As of now_ns. The caller frees with told_free. */
int told_read(struct store *s, const char *cluster, const char *ns, int64_t now_ns, struct told *ret,
              struct err *e) MUST_CHECK;
void told_free(struct told *t);

/* All that a plan for a stage needs; strings are borrowed from f and t. gates: the verdicts. */
struct plan_stage told_plan_stage(const struct facts *f, const struct told *t, const json_t *gates);
struct plan_rules told_plan_rules(const struct rubric *rubric);
