/* scenario: a pilot's records, made in the test: what the agents would have sent, second by second.
 * Times are seconds after SCENARIO_T0; one stage "east/shop" with agents on the nodes n1 and n2. */
#pragma once

#include "correlate/corr.h"

#define SCENARIO_T0 1800000000LL

struct scenario {
    struct corr c;
    json_t *stage;
    uint64_t seq[8];
    unsigned long long next_call[8];
    unsigned long long version;
    /* What the next records say besides; reset them by hand. */
    const char *path;        /* of calls and catalogues; NULL: the target's URL */
    const char *owner, *uid; /* of phases; NULL: none */
    unsigned replicas;       /* of a Deployment; 0: 1 */
    uint32_t connection;     /* that all calls of a block share; 0: each has its own */
    double per_second;       /* calls that coverage counts as resolved */
    unsigned executions;     /* of a call's full row */
    unsigned expected;       /* coverage: agents that the DaemonSet wants */
    bool told;               /* coverage: the tool server says how often it executed them */
    const char *normal;      /* of an object; NULL: nothing of interest */
    const char *manifest;    /* of a release: JSON list of what it names; NULL: not told */
    const char *inputs;      /* of a release: digest of its values; NULL: content decides */
    unsigned norm;           /* normal form of objects and releases; 0: the first */
    const char *version_of;  /* resourceVersion of an object; NULL: a new one */
    double created;          /* of an object; 0: not told */
    unsigned count;          /* of phases */
    const char *image;       /* of phases; NULL: none */
    double seconds;          /* of phases: how long a pull took */
};

void scenario_begin(struct scenario *s, const char *rules_json);
void scenario_end(struct scenario *s);
size_t scenario_agent(struct scenario *s, const char *node); /* a new stream */

/* A timing record of any kind (Pilotgate__Timing__Kind), at the agent's own time. */
void scenario_timing(struct scenario *s, size_t agent, int64_t wall_ns, int kind, int64_t value,
                     uint64_t error);
void scenario_clock(struct scenario *s, size_t agent, double t, double offset_s, double error_s);
void scenario_phase(struct scenario *s, size_t agent, double t, int kind, const char *subject,
                    const char *reason);
/* A phase as it stands, told at t; times of it are ns after SCENARIO_T0. The agent's own copy is made. */
void scenario_told_phase(struct scenario *s, size_t agent, double t, const Pilotgate__Phase *phase);
/* A Helm revision's Secret, seen t_seen, created t_created; content decides manifest and config digests. */
void scenario_release(struct scenario *s, size_t agent, int op, double t_created, double t_seen, int revision,
                      const char *status, const char *description, const char *content);
void scenario_object(struct scenario *s, size_t agent, int op, double t, double previous, const char *kind,
                     const char *name, const char *content);
void scenario_tools(struct scenario *s, size_t agent, int op, double t, double previous, const char *tools);
void scenario_unreadable(struct scenario *s, size_t agent, double t, const char *kind, const char *reason);
/* Coverage each second in [from, to). */
void scenario_coverage(struct scenario *s, size_t agent, double from, double to, int bye);
/* A coverage record at t that says that the node stood still for so long in its second. */
void scenario_stall(struct scenario *s, size_t agent, double t, double seconds);
/* A coverage record at t that lists one open call which began at start. */
void scenario_open_call(struct scenario *s, size_t agent, double t, double start);
/* n calls of `tool`, each [start, end], outcome, flags; not completed ones, and those
 * executed more than once, get a full row as well. */
void scenario_calls(struct scenario *s, size_t agent, unsigned n, const char *tool, double start, double end,
                    int outcome, unsigned flags);
/* Coverage of Kubernetes sources at t, each "KIND", "KIND!reason" (not read) or "KIND@seconds" (current
 * then); ended by NULL. stage: this agent does the stage's work. */
void scenario_sources(struct scenario *s, size_t agent, double t, bool stage, const char *const *sources);
void scenario_loss(struct scenario *s, size_t agent, double from, double to, uint64_t n);

/* So many records of the agent's stream never come, from here on in its sequence. */
void scenario_gap(struct scenario *s, size_t agent, uint64_t records, enum ev_cause cause);
/* Retention deleted records whose calls were within [from, to], at the time `at`. */
void scenario_deletion(struct scenario *s, size_t agent, double from, double to, double at);

/* Facts and gates at time t; the caller owns the result. */
json_t *scenario_judge(struct scenario *s, double t);
/* The stage object of a gate in it; borrowed. */
const json_t *scenario_gate(const json_t *result, const char *gate);
