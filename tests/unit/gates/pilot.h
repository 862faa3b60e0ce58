/* pilot: one pilot that passes everything, on scenario.h: an install at 5, an upgrade at 100 that adds the
 * tool "sum", a rollback at 200; agents 0 and 1 on n1 and n2. And what can be wrong with it. */
#pragma once

#include "scenario.h"

#define OK PILOTGATE__OUTCOME__OUTCOME_COMPLETED
#define REUSED PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED
#define CONTROL PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL
#define LISTED PILOTGATE__OBJECT__OP__OP_LISTED
#define ADDED PILOTGATE__OBJECT__OP__OP_ADDED
#define MODIFIED PILOTGATE__OBJECT__OP__OP_MODIFIED
#define RULES \
    "{\"max_drop_rate\":0.02,\"longest_call\":\"15s\",\"keep_alive\":\"5s\",\"min_in_flight_per_kind\":30}"

#define TOOLS_1 "\"echo\",\"hold\""
#define TOOLS_2 "\"echo\",\"hold\",\"sum\""

/* What differs from the good pilot. */
struct fault {
    int no_clock, no_second_agent, killed_in_change, killed_before_change, bye_in_change, few, no_effect,
        uncalled, unreadable, lost_call, control_fails, conflict, loss, leftover, product_differs,
        unread_product, late_first_call, open_at_end, rate_limited, unknown_outcome, live_differs,
        not_deployed, crash;
};

void pilot_play(struct scenario *s, const struct fault *x);

/* Judges the pilot, with more records from extra (or NULL), and fails the test unless the gate says so. */
typedef void pilot_extra(struct scenario *s);
void pilot_expect(const struct fault *x, pilot_extra *extra, double at, const char *gate, const char *verdict,
                  const char *reason);
