/* hindrance: what keeps a gate from ever passing as the stage is watched now, each with what to do. Pure. It
 * decides nothing: verdicts come from the gates. */
#pragma once

#include <jansson.h>

#include "correlate/corr.h"
#include "gates/plan.h"

struct hindrance_input {
    const struct facts *f;
    const struct plan_stage *load;
    const struct plan_rules *rules;
    unsigned missing_agents; /* expected, and never seen */
    int64_t now;
    const json_t *architecture; /* this stage in the gate Architecture, as judged; NULL: not asked */
};

/* Adds {"gate","stage","what","do"} to list, for each gate that is judged. */
void hindrances_of_stage(const struct hindrance_input *in, json_t *list);
/* The same, without "stage", for gates that this version does not judge. */
void hindrances_of_rubric(const struct rubric *rubric, json_t *list);
