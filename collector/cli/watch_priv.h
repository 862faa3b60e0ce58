/* watch_priv: what watch's files share: one look. */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"

/* What is remembered between looks: newest coverage by node, what DaemonSets want and who watches by stage.
 */
struct watch_memory {
    json_t *nodes;    /* "stage\nnode": {"progress","since_mono_ns","moved"} */
    json_t *expected; /* stage: number */
    json_t
        *held; /* stage: monotonic time at which some agent last watched all of it, or was first asked to */
};

struct watch_look {
    json_t *verdicts; /* of gates_evaluate; NULL: could not be judged */
    json_t *stages;   /* as alert_look takes them, with "sessions","gaps","oldest_age_ns" besides */
    struct store_size size;
    char pilot[WIRE_NAME_MAX + 1]; /* "": none is declared */
    bool running;                  /* begun and not over */
    bool complete;                 /* every expected agent has a session */
    int64_t coverage_gap_ns;       /* of the rubric */
    int64_t at_ns, took_ns;
};

/* Reads the store. stale_ns: how long a node must have told nothing new until that is known. */
int watch_read(const struct cli *c, struct store *s, int64_t stale_ns, struct watch_memory *m,
               struct watch_look *ret, struct err *e) MUST_CHECK;
void watch_look_free(struct watch_look *l);
void watch_memory_free(struct watch_memory *m);

/* Metrics of a look and of the alerts' state. */
int watch_write(struct buf *out, const struct watch_look *l, const json_t *state) MUST_CHECK;
