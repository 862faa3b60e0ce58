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

/* Coverage and blocks of a stage, so that each can be found by stream, node and time. */
struct corr_tick { /* one coverage record: of the prober, or the stream's orderly end */
    int64_t t;     /* on the collector's clock */
    const struct ev_record *r;
    bool calls, bye;
};
struct corr_wish { /* of kube: so many agents its DaemonSet wants */
    int64_t t;
    unsigned agents;
};
struct corr_watch { /* one stream of the stage */
    size_t stream, node;
    const struct corr_tick *ticks; /* by t */
    size_t n_ticks;
    const struct ev_record **blocks; /* of calls, by seq */
    size_t n_blocks;
    bool control; /* some block has calls past the gateway */
};
struct corr_view {
    struct corr_watch *streams; /* of the stage, in their order; owned, as all that follows */
    size_t n_streams;
    const char **nodes; /* in the order of their first stream */
    size_t n_nodes;
    struct corr_tick *ticks;
    struct corr_wish *wishes;
    const struct ev_record **blocks;
    size_t n_ticks, n_wishes, n_blocks;
};
int corr_view_make(const struct facts *f, struct corr_view *ret) MUST_CHECK;
void corr_view_free(struct corr_view *v);
/* The first of the stream's ticks that is not before t; n_ticks: there is none. */
size_t corr_view_since(const struct corr_watch *w, int64_t t);

struct corr_work {
    struct facts *f;
    const struct corr_view *view;
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

/* coverage.c: who watched. background.c: sums over the whole pilot, and inside each window. */
int corr_coverage(struct facts *f, const struct corr_view *v, struct fact_change *c,
                  const struct rubric *rubric, int64_t now, struct err *e) MUST_CHECK;
int corr_background(struct facts *f, const struct corr_view *v, struct err *e) MUST_CHECK;

/* open.c: is this probe one that goes past the gateway? Old agents say so in their blocks only. */
bool corr_is_control_probe(const struct corr_watch *w, const Pilotgate__Coverage__Probe *p);
