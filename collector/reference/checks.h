/* checks: what an expectation asks of one object (conditions.c), of groups of objects (groups.c) and across
 * objects (checks*.c), and what a SET asks of the stage (rows.c). Pure. reference.h has the language;
 * docs/reference.md explains each check.
 *
 * The checks by name, and their `with`:
 *
 *   replicas            {at_least: 2}: a workload's replicas, or its autoscaler's minReplicas
 *   disruption-budgets  every selected workload (with {at_least_replicas: 2}: every such) is selected by a
 *                       PodDisruptionBudget that lets at least one pod go and keeps at least one
 *   service-endpoints   every selected Service has ready endpoints (agents tell Endpoints), ExternalName
 *                       left out
 *   default-secrets     {known: [..]}: no Secret's value, and no reduced value of another object, equals one
 *                       of them; INCONCLUSIVE without the pilot's key, or with another than the agents'.
 * ref_load adds {known_keyed}, of each known one what agents make of it, where it is given the key
 *   external-stores     {images: [GLOB], kinds, ports}: no workload of the stage runs a store's image
 *                       (postgres, redis ...), and {tls: [{of, env|kind and at, in, beside}]}: what names the
 *                       external one asks for TLS
 *   environment         {env: GLOB|[GLOB], in|not_in: [GLOB], set: BOOL}: of every container, where it is
 *                       set (ConfigMaps are looked up; what a Secret sets is not known); set: it must be
 *   network-policies    {types: [Ingress, Egress], allow_open}: every selected workload's pods are
 *                       selected by a NetworkPolicy of each type, and by none that is open
 *   spread              {by: [kubernetes.io/hostname, ..], seen: BOOL}: topologySpreadConstraints or
 *                       podAntiAffinity by each key; seen: and its pods were witnessed on more than one node
 *   probes              {of: [readiness, liveness]}: every container has them
 *   resources           {requests: [cpu, memory], limits: [memory], at_least: {..}}: every container
 *   security-context    {run_as_non_root, no_privilege_escalation, drop_all, read_only_root, not_privileged,
 *                       seccomp, no_host: BOOL}: pod's or container's, in force
 *   tls                 every selected Ingress (HTTPRoute and the Gateways that it names) ends TLS for each
 *                       of its hosts, and there is one
 *
 * Each works on the workloads Deployment, StatefulSet, DaemonSet (and where it makes sense CronJob, Job) that
 * `for` selects; without `for` on all of the release under pilot.
 */
#pragma once

#include "reference/compare.h"

/* What one expectation came to. */
struct ref_outcome {
    struct ref_differences differences; /* owned */
    size_t objects;                     /* that were looked at */
    bool unknown;                       /* it cannot be decided ... */
    char why[512];                      /* ... because; or, of one that is met, what it rests on */
};
void ref_outcome_free(struct ref_outcome *o);
/* Marks it as not decidable, unless it is so already. */
void ref_outcome_unknown(struct ref_outcome *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct ref_scope { /* what an expectation sees */
    const struct reference *r;
    const struct ref_side *live;
    const bool
        *in_sets; /* by place in live's objects: what ref_in_sets says; NULL: found where it is asked */
};

/* ---- selecting */

typedef int ref_select_fn(void *ctx, const struct ref_object *o);
/* Calls fn for each object that the selector (or a list of them; NULL: everything) selects. Kinds that were
 * not read make the outcome unknown. */
int ref_select(const struct ref_scope *s, const json_t *selector, struct ref_outcome *out, ref_select_fn *fn,
               void *ctx) MUST_CHECK;
bool ref_selected(const struct ref_scope *s, const json_t *selector, const struct ref_object *o);

/* ---- conditions: calls for each place that `at` names in the object; adds REF_UNMET to out. */

int ref_condition(const struct ref_scope *s, const json_t *condition, const struct ref_object *o,
                  struct ref_outcome *out) MUST_CHECK;
bool ref_condition_holds(const struct ref_scope *s, const json_t *condition, const struct ref_object *o);

/* ---- groups and checks: each fills out */

int ref_group(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out) MUST_CHECK;
int ref_check(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out) MUST_CHECK;

/* A check by its name, from ref_check_types; NULL: there is none. */
const struct ref_check_type *ref_check_type(const char *name);

/* Of default-secrets: for each known value the list of what agents make of it ("keyed:HEX"). A new reference;
 * NULL: out of memory. */
json_t *ref_known_keyed(const struct norm_key *key, const json_t *known);

/* ---- a SET against the stage (rows.c) */

struct ref_set_row {
    const char *name;     /* "Deployment/{release}-engine"; of what is there besides: "extra objects" and
                             "extra fields" */
    const char *severity; /* "required" ... */
    const char *title;    /* NULL: none */
    struct ref_outcome outcome;
};
/* Takes the outcome over, also on failure; the texts are borrowed for the call. */
typedef int ref_set_row_fn(void *ctx, struct ref_set_row *row);
/* One row for each object of the stage's i-th SET (s->r->sets[i], s->r->doc's manifests[i]) and, unless
 * `extra` says ignore, for what the stage has besides. An optional object that is not there makes no row, nor
 * does one that Helm or the Job controller takes away when it is done. */
/* Which of live's objects some SET has; out holds live->n. Once for all SETs, which may be many. */
int ref_in_sets(const struct reference *r, const struct ref_side *live, bool *out) MUST_CHECK;
int ref_manifests(const struct ref_scope *s, size_t i, ref_set_row_fn *fn, void *ctx) MUST_CHECK;

struct ref_check_type {
    const char *name, *summary;
    const char *const *keys; /* of `with`, ended by NULL */
    int (*run)(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out);
    /* Is `with` well-formed? NULL: the keys are all that is asked. */
    int (*valid)(const json_t *with, struct err *e);
};
extern const struct ref_check_type ref_check_types[]; /* ended by name == NULL */
