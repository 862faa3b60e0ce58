/* correlate_priv: what the files of this module share. */
#pragma once

#include <jansson.h>

#include "correlate/facts.h"

/* Room for one more item in an array of n: the new item, zeroed, or NULL. Does not raise n. */
#define CORR_PUSH(items, n, cap) \
    (corr_grow_into((void **)&(items), (n), &(cap), sizeof *(items)) == 0 ? &(items)[n] : NULL)
int corr_grow_into(void **items, size_t n, size_t *cap, size_t size);

/* clock.c: what a timing record says of its stream's clock; the same record twice counts once. */
int corr_add_clock(struct ev_stream *s, const Pilotgate__Record *r, uint64_t seq) MUST_CHECK;

/* An interval of the collector's clock for an agent's time; an unknown offset counts as offset 0. */
void corr_interval(const struct evidence *ev, size_t stream, int64_t wall_ns, int64_t precision_ns,
                   int64_t *ret_lo, int64_t *ret_hi);

int corr_in_stage(const struct facts *f, size_t stream);

/* A set of pairs of numbers; zeroed when empty. */
struct corr_key {
    uint64_t a, b;
    bool used;
};
struct corr_keys {
    struct corr_key *slots; /* owned */
    size_t n, cap;
};
int corr_keys_add(struct corr_keys *k, uint64_t a, uint64_t b) MUST_CHECK; /* 1: new; 0: was in it; -ENOMEM */
bool corr_keys_has(const struct corr_keys *k, uint64_t a, uint64_t b);
void corr_keys_free(struct corr_keys *k);

/* The parts of facts_build, in that order. */
int corr_phases(struct facts *f, struct err *e) MUST_CHECK;
int corr_lives(struct facts *f, struct err *e) MUST_CHECK;
int corr_states(struct facts *f, struct err *e) MUST_CHECK; /* then corr_set_lives */
void corr_set_lives(struct facts *f);
int corr_revisions(struct facts *f, struct err *e) MUST_CHECK;
int corr_signs(struct facts *f, const struct rubric *rubric, struct err *e) MUST_CHECK;
int corr_pods(struct facts *f, const struct rubric *rubric, struct err *e) MUST_CHECK;
int corr_changes(struct facts *f, const struct rubric *rubric, struct err *e) MUST_CHECK;

/* What the replay of states knows of an object. */
struct corr_known {
    const struct fact_state *s; /* NULL: nothing yet */
    int64_t lo;                 /* last moment at which it was seen so */
};

/* noise.c: why the step from old (NULL: there was none) to s says nothing about the configuration, as the
 * rubric has it; *ret_reason NULL: it does. known: all objects, as they were then. */
int corr_noise(const struct facts *f, const struct rubric *rubric, const struct corr_known *known,
               const struct fact_state *s, const struct fact_state *old, const char **ret_reason,
               struct err *e) MUST_CHECK;
int corr_count_noise(struct facts *f, const struct fact_state *s, const char *reason,
                     struct err *e) MUST_CHECK;

/* install.c: the change is an install, over by then, and this sign is an edit of what was installed: when it
 * was over; 0: not so. */
int64_t corr_install_ended(const struct facts *f, const struct fact_change *c, const struct fact_sign *s);

/* switches.c: parts of corr_changes. More than one replica is asked for, or was seen to change. */
bool corr_several_replicas(const struct facts *f, const struct fact_change *c);
/* Pods that were told to end widen a change's switch and its window; then,
 * once the window is known, the switch of each pod. Each end of a pod is of one change. */
void corr_include_pods(const struct facts *f, struct fact_change *c);
int corr_switches(const struct facts *f, struct fact_change *c) MUST_CHECK;

/* Tells the state of an object: a confirmation repeats a digest without the text, and a failed read says
 * nothing. */
int corr_tells_state(const Pilotgate__Object *o);

/* A tool catalogue or a document of the product's configuration. */
int corr_is_product(const Pilotgate__Object *o);

/* missing.c, once the windows are loaded; pointers into f->missing stand from then on. */
int corr_missing(struct facts *f, struct err *e) MUST_CHECK;

/* True when a coverage record tells of calls (the prober's half), not of Kubernetes sources. */
int corr_is_call_coverage(const Pilotgate__Coverage *c);
