/* witness: keeps every record that the prober emits, after a way over the wire's checks, and lets a test
 * wait for what it needs. Thread-safe. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "source.h"

struct witness {
    pthread_mutex_t lock;
    pthread_cond_t more;
    Pilotgate__Record **records;
    size_t n, cap;
    char error[256]; /* the first record that the wire refuses, and why */
    struct emit emit;
};

void witness_init(struct witness *w);
void witness_free(struct witness *w);

/* True as soon as test(w, arg) is true, called under the lock; false after ten seconds. */
bool witness_wait(struct witness *w, bool (*test)(const struct witness *w, int arg), int arg);

/* Calls in blocks with this outcome (0: any) and with all these flags set. */
int witness_calls(const struct witness *w, int outcome, uint32_t flags);
/* The i-th failed call's row, object of this op (0: any), phase of this kind (0: any); NULL: none. */
const Pilotgate__Call *witness_row(const struct witness *w, int i);
const Pilotgate__Object *witness_object(const struct witness *w, const char *kind, int op, int i);
const Pilotgate__Phase *witness_phase(const struct witness *w, int kind);
const Pilotgate__Coverage *witness_last_coverage(const struct witness *w);
