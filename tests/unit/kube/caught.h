/* caught: an emit that keeps copies of the records, and waits for them, for the tests of kube. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "source.h"

struct caught {
    pthread_mutex_t lock;
    pthread_cond_t more;
    Pilotgate__Record **items;
    size_t n;
    struct emit emit;
};

void caught_init(struct caught *c);
void caught_free(struct caught *c);
void caught_clear(struct caught *c);

/* Number of phases of a kind. */
size_t caught_phases(struct caught *c, Pilotgate__Phase__Kind kind);
/* The nth (0..) phase of a kind, or NULL. Valid until caught_clear. */
const Pilotgate__Phase *caught_phase(struct caught *c, Pilotgate__Phase__Kind kind, size_t nth);
/* The nth object record of a kind and op (0: any op), or NULL. */
const Pilotgate__Object *caught_object(struct caught *c, const char *kind, int op, size_t nth);
size_t caught_objects(struct caught *c, const char *kind, int op);
/* The newest coverage entry of a source, or NULL. */
const Pilotgate__Coverage__Source *caught_source(struct caught *c, const char *name);

/* Waits until the condition holds, at most 20 s; false: it did not. */
typedef bool caught_condition(struct caught *c, const void *arg);
bool caught_wait(struct caught *c, caught_condition *holds, const void *arg);

/* The nth loss record, or NULL. */
const Pilotgate__Loss *caught_loss(struct caught *c, size_t nth);
size_t caught_losses(struct caught *c);
