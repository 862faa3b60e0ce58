/* checks_priv: what the checks share: one run of a check, the workloads it is about, their containers and how
 * many replicas they keep. Kinds and fields are Kubernetes' (k8s.io/api apps/v1, batch/v1, core/v1,
 * autoscaling/v2). Only checks*.c use it. */
#pragma once

#include "reference/checks.h"

/* One run. What cannot be told for want of memory is kept in `error` and given back by the end. */
struct ref_checking {
    const struct ref_scope *scope;
    const struct ref_side *live;
    const json_t *with, *selector; /* `with` and `for`; NULL: none */
    bool if_any;                   /* nothing selected is fine */
    struct ref_outcome *out;
    size_t selected;
    int error;
    void *ctx;       /* the check's own */
    bool everything; /* without `for` all of the stage, whoever's release it is */
    json_t *scalers; /* owned; "KIND/NAME" of what autoscalers target: the place of the lowest one */
    const struct ref_object *cut_scaler;
};

void ref_checking_begin(struct ref_checking *c, const struct ref_scope *s, const json_t *expectation,
                        struct ref_outcome *out);
/* Nothing selected is unmet; `what` names what was looked for, "workload". Gives what ref_check gives. */
int ref_checking_end(struct ref_checking *c, const char *what) MUST_CHECK;

/* Are all objects of this kind known? If not, the outcome is unknown. */
bool ref_checking_read(struct ref_checking *c, const char *kind);
/* An object whose text is cut leaves the outcome unknown. */
bool ref_checking_whole(struct ref_checking *c, const struct ref_object *o);
/* pointer is the place in o, `where` a name that a person knows, "" for none; texts are shown as they are. */
void ref_checking_unmet(struct ref_checking *c, const struct ref_object *o, const char *pointer,
                        const char *where, const char *expected, const char *found);
/* The same with a value of the object; NULL: there is none. */
void ref_checking_unmet_value(struct ref_checking *c, const struct ref_object *o, const char *pointer,
                              const char *where, const char *expected, const json_t *found);

/* The same where one of the texts of with["in"] is asked. */
void ref_checking_unmet_in(struct ref_checking *c, const struct ref_object *o, const char *pointer,
                           const char *where, const json_t *with, const char *found);

typedef void ref_checking_fn(struct ref_checking *c, const struct ref_object *o);
/* Calls fn for each whole object of these kinds (ended by NULL) that `for` selects and counts it as selected;
 * without `for` all of the release under pilot. */
void ref_checking_each(struct ref_checking *c, const char *const *kinds, ref_checking_fn *fn);

/* Objects of one kind stand side by side: the first one, and how many. */
const struct ref_object *ref_checking_kind(const struct ref_checking *c, const char *kind, size_t *ret_n);

/* ---- workloads */

extern const char *const ref_workloads_scaled[];  /* Deployment, StatefulSet */
extern const char *const ref_workloads_running[]; /* and DaemonSet */
extern const char *const ref_workloads_all[];     /* and CronJob, Job */

/* Where a workload's pod template stands, "/spec/template"; NULL: the kind has none. */
const char *ref_workload_template(const char *kind);
const json_t *ref_workload_labels(const struct ref_object *o);  /* of its pods; NULL: none */
const json_t *ref_workload_podspec(const struct ref_object *o); /* NULL: none */
/* A template without any is none that a check could be about, hostile or of a later API: the outcome is
 * unknown. */
bool ref_workload_has_containers(struct ref_checking *c, const struct ref_object *o);

#define REF_AT_MAX 256 /* bytes of a place that a check makes */
struct ref_container { /* all zero before the first; set init_too */
    bool init_too;
    bool init;
    size_t next;
    const json_t *spec;
    const char *name;
    char pointer[REF_AT_MAX];
};
bool ref_container_next(const struct ref_object *o, struct ref_container *it);
/* "BASE/rest" into out, which holds REF_AT_MAX bytes; returns out. */
const char *ref_pointer(char *out, const char *base, const char *rest);

/* The fewest replicas that a workload keeps: spec.replicas (1 where it is not said), or minReplicas of the
 * autoscalers that target it. -1: it is not known, and the outcome says why. *ret_from: the object that says
 * so, and *ret_pointer where. */
int64_t ref_workload_replicas(struct ref_checking *c, const struct ref_object *o,
                              const struct ref_object **ret_from, const char **ret_pointer);

/* ---- which selectors may be about which workloads (checks_select.c) */

struct ref_selectors {
    const struct ref_object *objects; /* with a label selector at `path` of each */
    size_t n;
    const char *path;
    const struct ref_object *cut; /* one whose text is cut; NULL: none */
    const struct ref_object *cut_workload;
    const struct ref_object **workloads; /* owned */
    size_t n_workloads;
    json_t *having, *asking, *rest; /* owned */
};
int ref_selectors_make(const struct ref_checking *c, const char *kind, const char *path,
                       struct ref_selectors *ret) MUST_CHECK; /* -ENOMEM */
void ref_selectors_free(struct ref_selectors *s);

typedef bool ref_selectors_fn(void *ctx, const struct ref_object *o); /* false: enough */
/* Calls fn for each object that may select the workload's pods: with all that do, and a few that do not. */
void ref_selectors_about(const struct ref_selectors *s, const struct ref_object *workload,
                         ref_selectors_fn *fn, void *ctx);
/* The same the other way round: for each workload that the object may select. */
void ref_selectors_meant(const struct ref_selectors *s, const struct ref_object *o, ref_selectors_fn *fn,
                         void *ctx);

/* ---- environments (checks_env.c) */

struct ref_env {
    const char *name;    /* NULL: names that are not known may be set here */
    const json_t *value; /* NULL: not known */
    const char *pointer; /* of what sets it */
    const char *unknown; /* from where it comes, where name or value is not known; static text */
};
typedef void ref_env_fn(void *ctx, const struct ref_env *env);
/* Each variable of the container's environment, once, as it is in force; what it borrows is of the call. */
void ref_env_each(struct ref_checking *c, const struct ref_container *it, ref_env_fn *fn, void *ctx);
/* As the process sees it; NULL: reduced, or put together as it starts. */
const char *ref_env_text(const json_t *value, char number[32]);

/* ---- the families */

int ref_check_environment(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_replicas(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_budgets(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_endpoints(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_policies(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_tls(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_stores(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_secrets(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_spread(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_probes(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_resources(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;
int ref_check_security(const struct ref_scope *s, const json_t *e, struct ref_outcome *out) MUST_CHECK;

/* ---- is `with` well-formed? Each says what is wrong and what to do. */

int ref_with_number(const json_t *with, const char *key, int64_t min, int64_t max, struct err *e) MUST_CHECK;
int ref_with_bool(const json_t *with, const char *key, struct err *e) MUST_CHECK;
/* A text or a list of texts; allowed, ended by NULL: of these only; NULL: any but the empty one. */
int ref_with_texts(const json_t *with, const char *key, const char *const *allowed, struct err *e) MUST_CHECK;

/* The texts of with[key], a text or a list: the i-th, or of `fallback` (ended by NULL) where with has none.
 * NULL: no more. */
const char *ref_with_text(const json_t *with, const char *key, const char *const *fallback, size_t i);
/* Does one of the globs of with[key] match? */
bool ref_with_glob(const json_t *with, const char *key, const char *text);
