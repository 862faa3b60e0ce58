/* drill: a change made on purpose, while the agents hold calls open; drill.c runs it, drill_command.c runs
 * the user's command, drill_wait.c watches its effect, drill_verdict.c waits for the verdict and shows it. */
#pragma once

#include "cli/cli.h"
#include "cli/flux.h"

struct drill {
    struct cli *cli;
    struct store *store;
    const char *kind; /* "config-change" or "rollback" */
    char id[96];
    int64_t ramp_ns;        /* --for: at least this long before each command */
    int64_t settle_ns;      /* --settle */
    int64_t wait_change_ns; /* --wait-change: how long a change may take to be seen; 0: not asked for */
    int64_t ttl_ns;         /* --load-ttl: agents end the load so long after they last heard of it */
    int64_t repeat;
    bool no_wait;              /* --no-wait: the verdict as it is when the drill ends */
    bool raised;               /* the load is up, and to be kept up */
    int64_t raised_mono_ns;    /* when it was last asked for */
    struct flux flux;          /* --suspend-flux */
    json_t *doc;               /* owned */
    volatile int *interrupted; /* a signal asked to end */
};

/* A line on standard error. */
void drill_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* From here on signals ask to end and are passed on to the command; the flag that they set. */
volatile int *drill_handle_signals(void);
/* Runs the words after "--"; *ret_status: its exit status, 128 + N for a signal. Keeps the load up meanwhile.
 */
int drill_run_command(struct drill *d, int64_t iteration, int *ret_status, struct err *e) MUST_CHECK;

/* Sends RAISE_LOAD or LOWER_LOAD and waits until every agent it went to has answered. */
int drill_load(struct drill *d, int kind, int64_t wait_ns, struct err *e) MUST_CHECK;
/* Asks again for a raised load when a third of its time is over; an agent that is not reached lowers it. */
void drill_keep_load(struct drill *d);
/* Between two looks; keeps the load up; -EINTR when a signal came. */
int drill_pause(struct drill *d, struct err *e) MUST_CHECK;
/* Until the open calls of the stage no longer grow, and ramp_ns is over. *ret_open: calls open then. */
int drill_wait_up(struct drill *d, uint64_t *ret_open, struct err *e) MUST_CHECK;
/* Until the change was seen and nothing more changes; *ret_seen false: none was seen in time (-ETIMEDOUT when
 * --wait-change asked for one). */
int drill_wait_settled(struct drill *d, uint64_t commit_before, int64_t begin_ns, bool *ret_seen,
                       struct err *e) MUST_CHECK;
/* Until no call that was open at since_ns is open any more; *ret_done false: some stayed. */
int drill_wait_resolved(struct drill *d, int64_t since_ns, bool *ret_done, struct err *e) MUST_CHECK;

/* What came of the drill. */
struct drill_verdict {
    json_t *gates, *changes; /* owned: gates_evaluate, and gates_changes of the stage */
};
/* Until the windows of the drill's changes are closed and judged, with a bound; at once with --no-wait. */
int drill_judge(struct drill *d, struct drill_verdict *ret, struct err *e) MUST_CHECK;
/* Shows it; the exit status of the contract. */
int drill_show(const struct drill *d, const struct drill_verdict *v);
void drill_verdict_free(struct drill_verdict *v);
