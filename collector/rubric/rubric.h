/* rubric: the scorecard's gates and the thresholds they are judged by, as data.
 *
 * The default is category-8.yaml, compiled in. A pilot's `rubric:` mapping replaces single values of
 * `rules`, and its `tolerate` and `ignore_objects` add to those lists; unknown names and values out of range
 * are errors. The digest is BLAKE2b-256 over the canonical JSON of what is in force. Not thread-safe to
 * build; read-only afterwards.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RUBRIC_GATES_MAX 16
#define RUBRIC_IGNORES_MAX 64
#define RUBRIC_DIGEST_MAX 65

struct rubric_rules {
    int64_t deployment_limit_ns;
    double max_drop_rate; /* 0 < r < 1 */
    double confidence;    /* 0.5 <= c < 1 */
    int64_t min_in_flight_per_kind, min_in_flight_per_replica;
    int64_t longest_call_ns, keep_alive_ns, merge_gap_ns, coverage_gap_ns, clock_error_max_ns;
    int64_t stall_max_ns, watch_lag_ns;
    int64_t rollback_limit_ns;
    int64_t architecture_fresh_ns;
};

struct rubric_gate { /* strings are borrowed from the document */
    const char *id, *title, *pass, *benchmark, *evaluator, *pending;
};

/* Changes of these objects say nothing about the product's configuration. Strings and lists are borrowed from
 * the document; what is NULL asks for nothing. */
struct rubric_ignore {
    const char *kind, *name;        /* globs, as of fnmatch(3) */
    const char *label, *annotation; /* "key" or "key=value" */
    const json_t *where;            /* JSON Pointer to a text, or to null: it is not there */
    const json_t *only;             /* JSON Pointers: only a change that is confined to what they name */
    bool autoscaled;                /* only of a workload that a HorizontalPodAutoscaler has */
    bool looks_inside;              /* label, annotation or where is set */
    const char *reason;
};

struct rubric {
    json_t *doc; /* owned */
    char digest[RUBRIC_DIGEST_MAX];
    struct rubric_rules rules;
    struct rubric_gate gates[RUBRIC_GATES_MAX];
    size_t n_gates;
    struct rubric_ignore ignores[RUBRIC_IGNORES_MAX];
    size_t n_ignores;
};

/* overrides: the pilot's `rubric` object, or NULL. */
int rubric_load(const json_t *overrides, struct rubric *ret, struct err *e) MUST_CHECK;
void rubric_free(struct rubric *r);

/* Does some rule say of this object as a whole, whatever changes in it, that it is no configuration? normal
 * NULL: not known. */
bool rubric_ignores(const struct rubric *r, const char *kind, const char *name, const json_t *normal);
/* Is this rule about such an object? */
bool rubric_ignore_names(const struct rubric_ignore *i, const char *kind, const char *name);
/* Has its normal form the label, annotation and values that the rule asks for? */
bool rubric_ignore_fits(const struct rubric_ignore *i, const json_t *normal);

/* Where two states of an object differ; for rubric_tolerates. */
enum {                         /* traits */
       RUBRIC_AUTOSCALED = 1,  /* an autoscaler targets the object */
       RUBRIC_HOOK = 2,        /* annotated as a hook of Helm's */
       RUBRIC_KEPT = 4,        /* annotated helm.sh/resource-policy: keep */
       RUBRIC_REGENERATED = 8, /* rendered again from the same chart and values, with another result here */
};
struct rubric_place {
    const char *kind, *name;
    const char *pointer; /* JSON Pointer; NULL: the object is there in one state only */
    unsigned traits;
};

/* The reason for which the rubric lets this differ; NULL: it does not. regenerated: random material, which is
 * to be proven by function. */
const char *rubric_tolerates(const struct rubric *r, const struct rubric_place *p, int *ret_regenerated);
