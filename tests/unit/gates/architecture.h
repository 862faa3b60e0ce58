/* architecture: a stage of two agents with a small reference, for tests of the gate Architecture. */
#pragma once

#include "base/norm.h"
#include "pilot.h"

#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED

/* Two replicas and a budget are required, a network policy is recommended. */
extern const char arch_reference[];
/* Kinds that an agent reads which reads all that this asks for; ended by NULL. */
extern const char *const arch_all[];

/* Stores the reference as `pilot init` does. */
void arch_declare(struct scenario *s, const char *yaml, const struct norm_key *key);
void arch_deployment(struct scenario *s, size_t agent, int op, double t, unsigned replicas);
/* Two agents, n1 does the stage's work; what the reference asks for is there from 10 on. */
void arch_begin(struct scenario *s);
void arch_end(struct scenario *s);
/* Coverage of both at t: these kinds were read. */
void arch_read_at(struct scenario *s, double t, const char *const *sources);
/* The stage as judged at t; borrowed until the next one. */
const json_t *arch_stage_at(struct scenario *s, double t);
const json_t *arch_judged(void); /* the whole result that it is of */

void arch_expect(const json_t *stage, const char *verdict, const char *reason);
const json_t *arch_row(const json_t *stage, const char *id);
const json_t *arch_difference(const json_t *stage, const char *id); /* the row's first */
void arch_expect_since(const json_t *stage, const char *id, double t, const char *bound);
