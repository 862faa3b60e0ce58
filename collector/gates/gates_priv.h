/* gates_priv: what the evaluators share. Each evaluator judges one stage and returns one stage object. */
#pragma once

#include "correlate/differences.h"
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

/* missing.c: "5 records of node n1 ...: what to do", of one thing that is missing. */
#define GATE_MISSING_MAX 512
void gate_missing_text(const struct facts *f, const struct fact_missing *m, char out[GATE_MISSING_MAX]);
/* All that meet [from, to]; what was deleted only where a verdict may have needed it. */
json_t *gate_missing_json(const struct facts *f, int64_t from, int64_t to, bool deleted);
/* The newest that may hold signs of a change which nobody saw, if no later drill passed; NULL: none.
 * changes: as judged. */
const struct fact_missing *gate_unseen(const struct facts *f, const json_t *changes);

/* One change with its own verdict, exposure and lost calls. */
json_t *gate_change(const struct corr *c, const struct facts *f, const struct fact_change *change);
/* change_judge.c: its verdict, and the units that it rests on. */
void gate_judge_change(json_t *o, const struct corr *c, const struct facts *f, const struct fact_change *ch);
const struct fact_switch *gate_whole(const struct fact_change *c); /* NULL: no switch is known */
/* Through the target's URL, across the switch of the gateway as a whole. */
uint64_t gate_whole_units(const struct fact_change *c, enum fact_kind kind);
/* Through the target's URL, as each change needs them of each kind: with several replicas those count, too,
 * that span the switch of some replica, which they may not have been at. */
uint64_t gate_url_units(const struct fact_change *c, enum fact_kind kind);
uint64_t gate_replica_units(const struct fact_change *c); /* at replicas' own addresses */
uint64_t gate_units(const struct fact_change *c);         /* that bound the drop rate: surely exposed */
#define GATE_HIDDEN_RETRIES "hidden retries are not visible: no tool server says how often it executed a call"

/* change_exposure.c: parts of the document; new references. */
json_t *gate_measured_json(const struct corr *c, const struct facts *f, const struct fact_change *ch);
json_t *gate_switches_json(const struct corr *c, const struct fact_change *ch);
json_t *gate_replicas_json(const struct facts *f, const struct fact_change *ch);
json_t *gate_background_json(const struct facts *f);

/* change_details.c: one difference, {"pointer","where","before","after","secret",...}; a new reference. */
json_t *gate_difference_json(const struct difference *d);

/* supersede.c: marks those of `judged` (each with "id" and "verdict") that an attestation supersedes, and
 * shows every attestation in o. unknown_too: also those that name nothing in `judged`. */
void gate_supersede(json_t *o, const struct facts *f, const json_t *judged, bool unknown_too);
bool gate_is_superseded(const json_t *judged);
/* "" or "; 1 failed change superseded: shop.v3 by shop.v5, attested by Ann" */
void gate_superseded_text(const json_t *judged, char *out, size_t size);

/* False for installs and uninstalls, and for what came before the product was in service. */
int gate_change_qualifies(const struct facts *f, const struct fact_change *change);

json_t *gate_helm_deployment(const struct corr *c, const struct facts *f);
json_t *gate_config_safety(const struct corr *c, const struct facts *f);
json_t *gate_rollback(const struct corr *c, const struct facts *f);
json_t *gate_architecture(const struct corr *c, const struct facts *f);
