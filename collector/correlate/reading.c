/* reading: how the gates read one call that meets a change's window. One pure function over two tables: what
 * an outcome says by itself, then what else happened in the same moments, in the order of the rows.
 *
 * Inside a change anything but the expected answer, given once and at once, is at best interrupted: the
 * criterion is that changes do not interrupt calls in flight. Only evidence that something else than the
 * gateway may be at fault takes a call out, and then it proves nothing in either direction. */
#include "correlate/reading.h"

#include "correlate/facts.h"

#define DROPPED_WHY "no answer came to a call that meets the change's window"
#define ANSWER_WHY "an answer came, but not the expected one"

static const struct row {
    enum fact_reading reading;
    bool stall; /* a node that stands still can make it */
    const char *why;
} outcomes[] = {
    [PILOTGATE__OUTCOME__OUTCOME_UNSPECIFIED] = {FACT_READING_UNRESOLVED, false, "its outcome is missing"},
    [PILOTGATE__OUTCOME__OUTCOME_COMPLETED] = {FACT_READING_COMPLETED, false, ""},
    [PILOTGATE__OUTCOME__OUTCOME_COMPLETED_LATE] = {FACT_READING_INTERRUPTED, true,
                                                    "the expected answer came only after the probe's limit"},
    [PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR] = {FACT_READING_INTERRUPTED, false, ANSWER_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR] = {FACT_READING_INTERRUPTED, false, ANSWER_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_HTTP_ERROR] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_REFUSED] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_RESET] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_CLOSED] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_TRUNCATED] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_TIMEOUT] = {FACT_READING_DROPPED, true, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_TLS] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_DNS] = {FACT_READING_DROPPED, false, DROPPED_WHY},
    [PILOTGATE__OUTCOME__OUTCOME_ABORTED] = {FACT_READING_UNRESOLVED, false,
                                             "the agent ended before the answer"},
    [PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED] = {FACT_READING_UNATTRIBUTED, false,
                                                  "refused by a rate limit (429)"},
    [PILOTGATE__OUTCOME__OUTCOME_MALFORMED] = {FACT_READING_DROPPED, false, DROPPED_WHY},
};
#define N_OUTCOMES (sizeof outcomes / sizeof *outcomes)

bool corr_outcome_known(uint32_t outcome) {
    return outcome != PILOTGATE__OUTCOME__OUTCOME_UNSPECIFIED && outcome < N_OUTCOMES;
}

static struct row by_outcome(const struct corr_case *k) {
    if (k->open)
        return (struct row){FACT_READING_UNRESOLVED, false, "still open when its agent was last heard"};
    if (k->outcome >= N_OUTCOMES)
        return (struct row){FACT_READING_UNRESOLVED, false,
                            "its outcome is one that this version does not know"};
    struct row r = outcomes[k->outcome];
    if (r.reading == FACT_READING_DROPPED && k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT)
        r.why = "the gateway could not be reached inside the change's window";
    return r;
}

/* The expected answer, but not by the straight way. */
static struct row recovered(const struct corr_case *k, struct row r) {
    if (r.reading != FACT_READING_COMPLETED)
        return r;
    if (k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_REPEATED)
        return (struct row){FACT_READING_INTERRUPTED, false,
                            "answered, but the tool server executed it more than once: something between "
                            "retried"};
    if (k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_RESUMED)
        return (struct row){FACT_READING_INTERRUPTED, false,
                            "its event stream broke, and the answer came after it was resumed"};
    return r;
}

static bool refused_at_the_end(const struct corr_case *k) {
    return k->told == CORR_TOLD_ABOUT && (k->outcome == PILOTGATE__OUTCOME__OUTCOME_REFUSED ||
                                          k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT);
}

/* A quota, or the agent's end: nothing of the gateway shows in it. */
static bool never_sent(const struct corr_case *k) {
    return !k->open && k->outcome == PILOTGATE__OUTCOME__OUTCOME_ABORTED &&
           k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT;
}

enum fact_reading corr_read(const struct corr_case *k, const char **ret_why) {
    struct row r = recovered(k, by_outcome(k));
    bool gateways = r.reading == FACT_READING_DROPPED || r.reading == FACT_READING_INTERRUPTED;
    const struct {
        bool applies;
        enum fact_reading reading;
        const char *why;
    } rules[] = {
        {r.reading == FACT_READING_COMPLETED, FACT_READING_COMPLETED, ""},
        {k->own_change, FACT_READING_EXCLUDED,
         "its tool is one that a change of these moments added or removed"},
        {never_sent(k), FACT_READING_EXCLUDED, "never sent, for a reason of the agent's own"},
        {k->told == CORR_TOLD_AFTER, FACT_READING_EXCLUDED,
         "begun at a replica's own address after it was told to end: a Service would not have sent it there"},
        {refused_at_the_end(k) && !k->open, FACT_READING_EXCLUDED,
         "a replica that was told to end took no new connection at its own address"},
        {gateways && r.stall && k->stalled, FACT_READING_UNATTRIBUTED,
         "the agent's own node stood still while it waited"},
        {gateways && k->control_failed, FACT_READING_UNATTRIBUTED,
         "the control probe, past the gateway, failed in the same moments"},
        {gateways && k->uninstalled, FACT_READING_UNATTRIBUTED,
         "the product was being uninstalled in the same moments"},
        {true, r.reading, r.why},
    };
    size_t i = 0;
    while (!rules[i].applies)
        i++;
    *ret_why = rules[i].why;
    return rules[i].reading;
}
