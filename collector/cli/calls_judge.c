/* calls_judge: see calls_judge.h. */
#include "cli/calls_judge.h"

#include "pilotgate.pb-c.h"

enum here { HERE_COMPLETED, HERE_ANSWERED, HERE_LOST, HERE_UNKNOWN };

static enum here read_outcome(uint32_t outcome) {
    switch (outcome) {
    case PILOTGATE__OUTCOME__OUTCOME_COMPLETED:
    case PILOTGATE__OUTCOME__OUTCOME_COMPLETED_LATE:
        return HERE_COMPLETED;
    case PILOTGATE__OUTCOME__OUTCOME_TOOL_ERROR:
    case PILOTGATE__OUTCOME__OUTCOME_RPC_ERROR:
    case PILOTGATE__OUTCOME__OUTCOME_HTTP_ERROR:
    case PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED:
    case PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST:
    case PILOTGATE__OUTCOME__OUTCOME_MALFORMED:
        return HERE_ANSWERED; /* by whom, is not known */
    case PILOTGATE__OUTCOME__OUTCOME_REFUSED:
    case PILOTGATE__OUTCOME__OUTCOME_RESET:
    case PILOTGATE__OUTCOME__OUTCOME_CLOSED:
    case PILOTGATE__OUTCOME__OUTCOME_TRUNCATED:
    case PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED:
    case PILOTGATE__OUTCOME__OUTCOME_TIMEOUT:
    case PILOTGATE__OUTCOME__OUTCOME_TLS:
    case PILOTGATE__OUTCOME__OUTCOME_DNS:
        return HERE_LOST;
    default:
        return HERE_UNKNOWN; /* our agent ended before the answer, or tells what we do not know */
    }
}

/* A resumed event stream is asked for again by a request of its own (MCP 2025-11-25, Transports). */
static bool repeated(uint32_t flags, const struct calls_there *t) {
    bool resumed = flags & PILOTGATE__CALL_FLAG__CALL_FLAG_RESUMED;
    return t->starts > 1 || t->ends > 1 || (!resumed && t->answered + t->failed > 1);
}

enum calls_match calls_judge(uint32_t outcome, uint32_t flags, const struct calls_there *t, bool tells_ends) {
    enum here here = read_outcome(outcome);
    bool there = t->named + t->answered + t->failed + t->starts + t->ends + t->gone > 0;
    bool answered = t->answered || t->ends;
    bool failed = t->failed || t->gone || (tells_ends && t->starts && !t->ends);
    bool control = flags & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL; /* a gateway's log cannot have it */
    if (repeated(flags, t))
        return CALLS_MATCH_REPEATED;
    if (here == HERE_COMPLETED && !there)
        return control ? CALLS_MATCH_AGREES : CALLS_MATCH_ABSENT;
    if (here == HERE_COMPLETED)
        return failed && !answered ? CALLS_MATCH_BROKEN : CALLS_MATCH_AGREES;
    if (here == HERE_LOST && !there)
        return CALLS_MATCH_NEVER_REACHED;
    bool lost =
        here == HERE_LOST || outcome == PILOTGATE__OUTCOME__OUTCOME_HTTP_ERROR; /* what came was no result */
    if (lost && answered)
        return CALLS_MATCH_ANSWER_LOST;
    if ((lost || here == HERE_ANSWERED) && !answered && (t->starts || t->gone))
        return CALLS_MATCH_UNANSWERED;
    return CALLS_MATCH_AGREES;
}

bool calls_match_agrees(enum calls_match m) {
    return m <= CALLS_MATCH_UNANSWERED;
}

const char *calls_match_name(enum calls_match m) {
    static const char *const names[CALLS_MATCHES] = {"agrees", "never-reached", "unanswered",  "absent",
                                                     "broken", "repeated",      "answer-lost", "unknown"};
    return names[m];
}

const char *calls_match_text(enum calls_match m) {
    static const char *const texts[CALLS_MATCHES] = {
        "both tell the same",
        "lost here, never reached there",
        "lost here; executed there, its answer not taken",
        "completed here, and not in the log",
        "completed here, broken off there",
        "more than once in the log",
        "answered there, lost here",
        "in the log, and not known here",
    };
    return texts[m];
}
