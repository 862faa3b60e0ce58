/* told: what agents tell of objects, as a table in a test; on scenario.h of the gates' tests. */
#pragma once

#include "../gates/scenario.h"

#define LISTED PILOTGATE__OBJECT__OP__OP_LISTED
#define ADDED PILOTGATE__OBJECT__OP__OP_ADDED
#define MODIFIED PILOTGATE__OBJECT__OP__OP_MODIFIED
#define DELETED PILOTGATE__OBJECT__OP__OP_DELETED

struct tell {
    size_t agent;
    int op;
    double t; /* by the agent's own clock */
    const char *kind, *name, *uid, *version, *digest;
    const char *normal; /* NULL: {"data": {"is": DIGEST}} */
    double created;     /* 0: not told */
    double previous;    /* 0: none */
    int list;           /* it was a list that showed it */
};

void told_add(struct scenario *s, const struct tell *x);
void told_namespace(struct scenario *s, size_t agent, double t, const char *uid, double created);
/* Facts of the stage; s->c.stages[0]. */
const struct facts *told_facts(struct scenario *s);
/* "ConfigMap/a x>y; ...": the signs in their order; static buffer. */
const char *told_signs(const struct facts *f);
/* "ConfigMap/a=x; ...": what there is at t; static buffer. */
const char *told_snapshot(const struct facts *f, double t);
int64_t told_ns(double t);
