/* calls: the calls that agents told of, one by one: from blocks, and from full rows of the few that have
 * one. calls_read.c reads them, calls.c lists them, calls_join.c compares them with somebody's log. */
#pragma once

#include "cli/cli.h"
#include "correlate/corr.h"

#define CALLS_NONCE_MAX 32 /* 8 hex digits, '-', a number, NUL */

/* One call. Texts are borrowed for the time of the callback. */
struct call_row {
    const char *cluster, *namespace_name, *node;
    uint32_t boot; /* first four bytes of the stream's boot: its number is unique with it */
    uint64_t number;
    const char *probe, *target, *tool, *path;
    const char
        *reading; /* how the change's verdict reads it; "" without --change or when it counts as completed */
    int64_t start_ns, duration_ns; /* the collector's clock */
    uint32_t outcome, flags, connection;
    const Pilotgate__Call *detail; /* its full row, or NULL */
};

struct call_filter {
    const char *change, *probe, *target, *outcome; /* NULL: any */
    bool lost;
    int64_t since_ns, until_ns; /* calls that meet [since, until]; 0: no bound */
    const json_t *lost_in;      /* nonce -> reading, of the change; NULL without one */
};

/* What takes part in every use of the calls. */
struct calls {
    struct cli *cli;
    struct call_filter filter;
    struct corr corr; /* streams, clocks and changes */
    json_t *lost_in;  /* owned; see call_filter */
    struct store *store;
};

/* Opens the store and settles what --change means. On failure nothing is left open. w must not be moved. */
int calls_open(struct cli *c, const struct call_filter *f, struct calls *w, struct err *e) MUST_CHECK;
void calls_close(struct calls *w);

/* Calls fn for every call that passes the filter, in no promised order; a non-zero return of fn stops and is
 * returned. Memory: the rows of calls that did not complete, at most CALLS_ROWS_MAX. */
#define CALLS_ROWS_MAX 200000
typedef int call_fn(void *ctx, const struct call_row *row);
int calls_read(struct calls *w, call_fn *fn, void *ctx, struct err *e) MUST_CHECK;

/* "0011aabb-17", as the header X-Pilotgate-Call, gateway and tool server have it. Returns out. */
char *calls_nonce(uint32_t boot, uint64_t number, char out[CALLS_NONCE_MAX]);
bool calls_completed(uint32_t outcome);

/* calls --join FILE. */
struct join_options {
    const char *file, *format, *field;
    int64_t limit; /* of the differences that are shown */
};
int calls_join(struct calls *w, const struct join_options *o, struct err *e) MUST_CHECK;

/* calls --per LEVEL: from the rollups, never the calls. */
struct per_options {
    enum store_level level;
    const char *probe;      /* NULL: all */
    int64_t from_ns, to_ns; /* of the minutes, hours or days that begin inside; 0: no bound */
};
bool calls_per_level(const char *name, enum store_level *ret);
/* The exit status, or negative. */
int calls_per(struct cli *c, const struct per_options *o, struct err *e) MUST_CHECK;
