/* plan: how many drills prove a drop rate with the load that the agents tell, and what to raise when none
 * ever does. Pure; the units are those that change_judge.c counts: connections in flight across a switch. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum plan_kind { PLAN_KIND_UNKNOWN, PLAN_KIND_REUSED, PLAN_KIND_NEW };

/* One probe of one agent on one path. Texts are borrowed. */
struct plan_load {
    const char *node, *probe, *path; /* path "": the target's URL */
    bool control;
    enum plan_kind kind; /* of most of its calls lately; UNKNOWN: none, or both kinds in turn */
    uint64_t in_flight, drill_in_flight, interval_us;
    int64_t call_ns; /* median of its calls lately; 0: not known */
};

struct plan_rules {
    double max_drop_rate, confidence;
    uint64_t min_per_kind, min_per_replica;
    int64_t longest_call_ns, keep_alive_ns;
};

struct plan_stage {
    const char *stage;
    const struct plan_load *loads;
    size_t n_loads;
    int64_t switch_ns;    /* in which a switch was known to lie, so far; 0: there was none */
    uint64_t units;       /* that the gate counts already */
    uint64_t drill_units; /* of the last drill that passed; 0: none did */
    int64_t command_ns;   /* that the drill's command took last; 0: not known */
    int64_t replicas;     /* of the gateway; 0: not known */
};

#define PLAN_SWITCH_NS 1000000000LL /* assumed while no switch was seen */
#define PLAN_DRILLS_MAX 1000        /* that `drill --repeat` takes */

/* {"stage","units_needed","units","units_per_drill","reused","new","replicas","drills","seconds_per_drill",
 *  "seconds","switch_s","switch_seen","loads":[...],"never":[text...],"notes":[text...]}: a new reference.
 * never: why no number of drills is enough, each with what to do; drills is then 0. */
json_t *plan_make(const struct plan_rules *r, const struct plan_stage *s);

/* Units that one load gives a drill. */
uint64_t plan_units(const struct plan_load *l, int64_t switch_ns);
