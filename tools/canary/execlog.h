/* execlog: the log of executions, and how many there were of each nonce.
 *
 * One JSON object a line:
 *   {"t":"2026-11-23T04:05:06.123456789Z","event":"start","tool":"hold","nonce":"n1","call":"c1",
 *    "session":"1f2e3d4c","peer":"10.0.0.7:40112","seconds":5.000}
 * event: start (the tool runs), end (its answer was handed to the client's socket whole), gone (the
 * connection ended before that, or the canary stopped). seconds: of start the wait that was asked for, of
 * end and gone what passed. nonce, call (the X-Pilotgate-Call header) and session (a short hash) are left
 * out when there were none. Arguments and answers are never logged.
 *
 * Lines are written by a thread of the log's own, so that a stalled reader of the log cannot hold up
 * answers; EXECLOG_PENDING_MAX bytes may wait, further lines are lost and counted. All functions are for
 * one caller thread.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "canary/tools.h"

#define EXECLOG_PENDING_MAX (4u << 20)
#define EXECLOG_NONCES_MAX 100000

struct execlog; /* opaque */

struct execution {
    struct tool_call call;
    char call_id[TOOL_NONCE_MAX]; /* "" for none */
    char session[9];              /* "" for none */
    char peer[64];
    int64_t started_ns; /* wall clock */
};

struct execlog_counts {
    uint64_t started, ended, gone;
    uint64_t forgotten; /* nonces no longer remembered */
    uint64_t lost;      /* lines that could not be written */
};

/* path: "-" for standard output; a file is appended to. */
int execlog_open(const char *path, struct execlog **ret, struct err *e) MUST_CHECK;

/* Writes what waits, ends the thread. NULL-safe. */
void execlog_close(struct execlog **log);

void execlog_start(struct execlog *log, const struct execution *x);
void execlog_end(struct execlog *log, const struct execution *x, int64_t now_ns);
void execlog_gone(struct execlog *log, const struct execution *x, int64_t now_ns);

uint32_t execlog_executions(const struct execlog *log, const char *nonce);
struct execlog_counts execlog_counts(struct execlog *log);
