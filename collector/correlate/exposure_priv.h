/* exposure_priv: what exposure.c, calls.c and open.c share while they look at one change. */
#pragma once

#include "correlate/correlate_priv.h"

struct corr_call { /* one call, on the collector's clock */
    size_t stream;
    uint64_t number;
    const char *probe, *tool, *target, *path; /* borrowed */
    int64_t start, end, error;                /* give or take error */
    int64_t start_wall;                       /* on its agent's own clock */
    uint32_t outcome, flags, connection;
};

struct corr_moment { /* of one stream, on its agent's own clock */
    size_t stream;
    int64_t from, to;
    int64_t reach; /* the latest `to` of this one and those of its stream before it */
};

struct corr_moments {          /* by stream, then from */
    struct corr_moment *items; /* owned */
    size_t n, cap;
};

struct corr_work {
    struct facts *f;
    struct fact_change *c;
    const struct corr_moments *stalls;  /* seconds in which a node stood still */
    const struct corr_moments *control; /* calls past the gateway that did not complete */
    struct corr_keys resolved;          /* (stream, number) of calls whose end is known */
    struct corr_keys units;             /* (stream and switch, connection) that are counted already */
    bool *proven;                       /* added tools that gave an expected answer */
    bool *called;                       /* streams that called through the gateway */
};

/* calls.c: rows and blocks. Every call that meets the window is taken once. */
int corr_read_calls(struct corr_work *w) MUST_CHECK;
/* open.c: calls whose end nobody saw. */
int corr_read_open(struct corr_work *w, int64_t now, int64_t gap) MUST_CHECK;

int corr_add_lost(struct corr_work *w, const struct fact_lost_call *l) MUST_CHECK;
int corr_meets_window(const struct fact_change *c, int64_t start, int64_t end, int64_t error);
/* Begun at [start +- error] on this path: after the replica there was told to end? enum corr_told */
int corr_told(const struct facts *f, const char *path, int64_t start, int64_t error);
bool corr_moment_meets(const struct corr_moments *m, size_t stream, int64_t from, int64_t to);

/* open.c: what coverage says. The stream's last record of the prober's half, or NULL; *ret_bye: it ended in
 * order. Is this probe one that goes past the gateway? Old agents say so in their blocks only. */
const struct ev_record *corr_last_coverage(const struct facts *f, size_t stream, int *ret_bye);
int corr_is_control_probe(const struct facts *f, size_t stream, const Pilotgate__Coverage__Probe *p);
