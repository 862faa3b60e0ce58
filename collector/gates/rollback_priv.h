/* rollback_priv: what rollback.c, rollback_clean.c and rollback_state.c share. */
#pragma once

#include "gates/gates_priv.h"

struct rollback {
    const struct corr *c;
    const struct facts *f;
    const struct fact_revision *from, *to, *now; /* state before, target, the rollback itself */
    const struct fact_change *change;
};

/* Of one release, with equal rendered manifests. */
bool rollback_same_content(const struct fact_revision *a, const struct fact_revision *b);
/* The change that a revision made; NULL: none was seen. */
const struct fact_change *rollback_change_of(const struct facts *f, const struct fact_revision *v);

/* Each gives o a verdict. True when there is one: it did not end cleanly, or not yet. */
bool rollback_not_clean(json_t *o, const struct rollback *r);
/* The state at base_at against that at after_at, and against what was before the rollback. */
void rollback_compare(json_t *o, const struct rollback *r, int64_t base_at, int64_t after_at);
