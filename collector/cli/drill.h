/* drill: a change made on purpose, while the agents hold calls open; drill.c runs it, drill_wait.c watches.
 */
#pragma once

#include "cli/cli.h"

struct drill {
    const struct cli *cli;
    struct store *store;
    const char *kind; /* "config-change" or "rollback" */
    char id[96];
    int64_t ramp_ns;   /* --for: at least this long before each command */
    int64_t settle_ns; /* --settle */
    int64_t repeat;
    json_t *doc;               /* owned */
    volatile int *interrupted; /* a signal asked to end */
};

/* Sends RAISE_LOAD or LOWER_LOAD and waits until every agent it went to has answered. */
int drill_load(struct drill *d, int kind, int64_t wait_ns, struct err *e) MUST_CHECK;
/* Until the open calls of the stage no longer grow, and ramp_ns is over. *ret_open: calls open then. */
int drill_wait_up(struct drill *d, uint64_t *ret_open, struct err *e) MUST_CHECK;
/* Until the change was seen and nothing more changes; *ret_seen false: none was seen in time. */
int drill_wait_settled(struct drill *d, uint64_t commit_before, int64_t begin_ns, bool *ret_seen,
                       struct err *e) MUST_CHECK;
/* Until no call that was open at since_ns is open any more; *ret_done false: some stayed. */
int drill_wait_resolved(struct drill *d, int64_t since_ns, bool *ret_done, struct err *e) MUST_CHECK;
