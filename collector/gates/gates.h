/* gates: correlated facts and the rubric to verdicts. Pure: no I/O, no clock; the same store at commit N,
 * rubric, evaluator version and time T give the same bytes.
 *
 * The result is the document of the CLI's contract (fields are only ever added):
 *   {"pilot","at","commit","evaluator","rubric","gates":[
 *     {"id","title","pass","verdict","summary","measured":{...},
 *      "stages":[{"stage","verdict","reason","evidence":[ref...],"measured":{...}, ...}]}]}
 * A change, in Config safety's stages and from gates_changes, has besides id, verdict, reason and window:
 *   "switches":[{"what","path","from","to","in_flight":{"reused","new"},"units":{...},"dropped",...}]
 *   "replicas":{"workload","before","after","seen_before","seen_after"}, "lost":[...], "unwitnessed":[...],
 *   "signs":[{"kind","name","path","what","old","new","node","origin","evidence","old_seen_until","new_seen_from"}];
 * of an uninstall "uninstall":true, of a mark "by" and "note"; "namespace_uid": the life of the stage that it
 * is of, "measured":{"units","in_flight",...,"background":{"known","n","lost","rate","from","to"}},
 *   "superseded":{"by","who",...} when an attestation lets its failure no longer decide; the stage then has
 *   "supersedes":[{"change","by","who","said","valid","reason"}], also those without effect.
 * A stage of Helm deployment has besides:
 *   "t0","t0_sign","t0_marks":[{"at","by","note","used"}],"watched_from","adopted","namespace_uid",
 *   "past":[{"uid","created","until","installs","first_call"}],
 *   "installs":[{"release","chart","version","status","revisions","created","deployed","ended","end",...}],
 *   "phases":[{"phase","seen","at","since_t0_s","precision_s","bound":"at"|"at most"|"at least"}],
 *   "images":[{"image","pulls","cached","bytes","seconds"}],
 *   "failures":[{"what","reason","subject","objects","times","first","last"}]
 * A rollback, in the Rollback's stages:
 *   "id","revision","target","from","recognised","status","baseline_at","after_at",
 *   "objects" and "product":[{"object","baseline","after","equal","what","why","fields","places"}], fields as
 *   differences of a change; what: "equal" "tolerated" "regenerated" "not comparable" "different" "came"
 *   "missing" "left over"; "leftover","missing","different":[name],
 *   "manifest":[{"object","what",...}] of what is rendered otherwise, "not_compared":[name],
 *   "not_restored":[{"what","reason"}], "measured":{how many of each,"completed_after"}
 * A stage of Architecture has the findings of reference/reference.h besides ("reference","rows","match"), and
 *   "as_of" (the state that was compared), "not_read":[{"kind","reason"}]; a difference there has instead of
 * its tag "evidence":[ref], "since" and "since_bound":"at"|"at most" (it was so when it was first looked at).
 * Of gates_compare the same of each side: "evidence_a","since_a","since_bound_a","evidence_b","since_b",
 * "since_bound_b". The gate's "reference" is its digest. verdict: "PASS" "FAIL" "INCONCLUSIVE" "PENDING".
 * Times are RFC 3339, durations seconds as numbers.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "correlate/corr.h"

#define GATES_EVALUATOR "pilotgate " PILOTGATE_VERSION

/* A new reference. */
int gates_evaluate(const struct corr *c, json_t **ret, struct err *e) MUST_CHECK;

/* Exit status of the contract: 0 all PASS, 1 any FAIL, 3 any INCONCLUSIVE or PENDING. gate: one id, or
 * NULL for all. stage: only this one, or NULL. */
int gates_exit_status(const json_t *result, const char *gate, const char *stage);

/* The changes of every stage (or of one), newest last: a JSON array; a new reference. */
int gates_changes(const struct corr *c, const char *stage, json_t **ret, struct err *e) MUST_CHECK;

/* Adds to those of gates_changes (to the one with this id, or to all) what is only for people who look at it:
 * "differences":[{"object","path","what","items":[{"pointer","where","before","after","secret","lines_before",
 * "lines_after"}],"more","not_known"}], an item without "before" or "after" where there was, or is, nothing;
 * and "gitops": those revisions of code (correlate/gitops.h) that are tied to it. */
int gates_details(const struct corr *c, json_t *changes, const char *id, struct err *e) MUST_CHECK;

/* One stage against the pilot's reference as it was at t: the stage object of Architecture. A new reference.
 */
int gates_architecture_at(const struct corr *c, const struct facts *f, int64_t t, json_t **ret,
                          struct err *e) MUST_CHECK;
/* The moments that gates_architecture_over compares, ascending: each at which an object of the stage became
 * otherwise, the newest of them where there are more (cut), one at which it is known what was read then, and
 * `to`. Which kinds were read at them must be in the evidence: corr_load_sources (correlate/load.h). */
#define GATES_MOMENTS_MAX 400
size_t gates_architecture_moments(const struct corr *c, const struct facts *f, int64_t from, int64_t to,
                                  int64_t out[GATES_MOMENTS_MAX], bool *ret_cut);
/* The same over time: [{"at","verdict","match","rows":{ID: VERDICT},"moved":[{"id","from","to"}]}], one entry
 * for each moment from which something came out otherwise, the first as soon as the stage was read whole. */
int gates_architecture_over(const struct corr *c, const struct facts *f, int64_t from, int64_t to,
                            json_t **ret, struct err *e) MUST_CHECK;
/* Two stages with each other as they were at t: the document of ref_between. -ENOENT: there is no such stage.
 * Which kinds were read then must be in the evidence; corr_load has it only where a reference is declared. */
int gates_compare(const struct corr *c, const char *a, const char *b, int64_t t, json_t **ret,
                  struct err *e) MUST_CHECK;

/* The revision that this one goes back to, as it says or by what it renders; NULL: it is no rollback, or that
 * is not sure. */
const struct fact_revision *gates_rollback_target(const struct facts *f, const struct fact_revision *v);

/* Clean independent units that prove a drop rate below max_rate at the confidence when none is lost. */
uint64_t gates_units_needed(double max_rate, double confidence);
/* Upper bound of the drop rate after n clean units. */
double gates_rate_bound(uint64_t n, double confidence);
