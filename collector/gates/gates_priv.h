/* gates_priv: what the evaluators share. Each evaluator judges one stage and returns one stage object. */
#pragma once

#include "gates/gates.h"

enum gate_verdict { GATE_PASS, GATE_PENDING, GATE_INCONCLUSIVE, GATE_FAIL }; /* ascending: worse wins */

const char *gate_verdict_name(enum gate_verdict v);
enum gate_verdict gate_verdict_of(const json_t *object); /* its "verdict" member */

/* {"stage","verdict","reason","evidence":{},"measured":{}} */
json_t *gate_stage(const struct facts *f, enum gate_verdict v, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Replaces verdict and reason of a stage or change object. */
void gate_decide(json_t *object, enum gate_verdict v, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds to "evidence", once. It is a set until gate_seal makes it the document's array. */
void gate_cite(json_t *object, const struct facts *f, struct fact_ref ref);
void gate_seal(json_t *object);

void gate_set_time(json_t *object, const char *key, int64_t ns); /* RFC 3339, ms */
void gate_set_seconds(json_t *object, const char *key, int64_t ns);

/* Reasons for which nothing can be said of this stage at all; NULL when there are none. `need_release`:
 * the gate cannot do without Helm's releases. */
json_t *gate_unjudgeable(const struct facts *f, int need_release);

/* One change with its own verdict, exposure and lost calls. */
json_t *gate_change(const struct corr *c, const struct facts *f, const struct fact_change *change);
/* False for installs and uninstalls, and for what came before the product was in service. */
int gate_change_qualifies(const struct facts *f, const struct fact_change *change);

json_t *gate_helm_deployment(const struct corr *c, const struct facts *f);
json_t *gate_config_safety(const struct corr *c, const struct facts *f);
json_t *gate_rollback(const struct corr *c, const struct facts *f);
