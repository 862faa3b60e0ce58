/* alert: what a person must be told while a pilot runs, and telling it once.
 *
 *   verdicts, agents, coverage ─ alert_look (pure) ─► state: what holds, what waits to be told
 *                                                        │ alert_next, in order ─ alert_post ─► webhook
 *
 * Conditions (names are the contract of the webhook and of the metric pilotgate_alert_active):
 *   verdict-changed   a gate of a stage says something else than at the last look; begins only
 *   agent-gone        an agent that the pilot expects (declared number, or what its DaemonSet wants) has no
 *                     session
 *   coverage-stale    for longer than the rubric's coverage_gap, or `stale` if longer, no newer coverage of a
 *                     node came; by the collector's clock, whatever the agent's says
 *   stage-unwatched   for a minute agents told of their nodes, and none of the whole stage
 *   store-full        records are being refused because the disk is full, or the store fails
 *   conflict          two agents on one node, a cloned spool, a record with other bytes; what came so stays,
 *                     and so does the alert
 *
 * agent-gone, coverage-stale and stage-unwatched hold only while the pilot runs, and the first two begin
 * after they held for `hold`. An alert begins once when its condition holds and ends once when it no longer
 * does. The state is one JSON document, kept in the store's operations after each look and each post, so that
 * a restart repeats nothing and forgets nothing; only a kill -9 between the receiver's answer and the write
 * posts once more, with the same id. A post that fails is tried again with growing waits, in order, for at
 * most ALERT_KEEP_S, then counted as dropped.
 *
 * The webhook gets POST, application/json, one object:
 * {"id","pilot","alert","state":"begin"|"end","stage","gate","node","before","after","at","since","reason"};
 * absent where they do not apply. Any 2xx is an answer; redirects are none. Its URL may carry a secret: it is
 * read from a file before each post, and never logged. Only https, or http to a loopback address or where
 * plain text was allowed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define ALERT_KEEP_S 86400
#define ALERT_UNHELD_S 60 /* a successor takes the stage's work over within half of it */
#define ALERT_ACTIVE_MAX 4096
#define ALERT_QUEUE_MAX 8192       /* waiting to be told; the oldest give way, and are counted as dropped */
#define ALERT_WAIT_MAX_S 300       /* between two attempts */
#define ALERT_POST_TIMEOUT_S 10    /* of one attempt */
#define ALERT_ANSWER_MAX 65536     /* bytes of an answer, which nobody reads */
#define ALERT_STATE_MAX (8u << 20) /* bytes of the state as text */

/* One look. What is NULL is not known just now, and neither begins nor ends anything. */
struct alert_seen {
    const char *pilot;
    bool running;           /* the pilot has begun and is not over */
    const json_t *verdicts; /* document of gates_evaluate */
    const json_t
        *stages; /* [{"stage","expected","conflicts","unheld_ns" (since when no agent watches all of it,
                    -1: not known), "nodes":[{"node","connected","last_seen_ns",
                    "age_ns" of its coverage, -1: not known}]}] */
    const char *store_full; /* why records are refused; "": they are taken; NULL: not known */
    const char *store_id;   /* of the ids */
    int64_t now_ns, stale_ns, hold_ns;
};

/* Brings the state (an object, {} at first) up to what is seen. Pure. *ret_changed: it must be kept. */
int alert_look(const struct alert_seen *seen, json_t *state, bool *ret_changed, struct err *e) MUST_CHECK;

/* The event that is to be told next, borrowed; NULL: none. Drops what is older than ALERT_KEEP_S. */
const json_t *alert_next(json_t *state, int64_t now_ns, bool *ret_changed);
/* It was told. */
void alert_told(json_t *state);
/* How long to wait after so many failed attempts in a row, ns. */
int64_t alert_wait(unsigned failures);

/* How many alerts of a name are active in a stage ("" where they have none), for metrics. */
unsigned alert_active(const json_t *state, const char *alert, const char *stage);
uint64_t alert_waiting(const json_t *state);
uint64_t alert_dropped(const json_t *state);

/* Posts one event to the URL in the file. 0: it was taken. The error's text holds no part of the URL.
 * *stop becoming true ends a post that is under way. */
struct alert_hook {
    const char *url_file;
    bool plain; /* http to any host */
    const _Atomic bool *stop;
};
int alert_post(const struct alert_hook *h, const json_t *event, struct err *e) MUST_CHECK;
/* The file can be read and holds a URL of an allowed kind; libcurl is ready. Before the first post, and
 * before another thread posts. */
int alert_hook_check(const struct alert_hook *h, struct err *e) MUST_CHECK;
