/* calls_judge: one call in two records of it, ours and somebody else's: do they tell the same? Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum calls_match {
    CALLS_MATCH_AGREES,
    /* both may be right: told, and no disagreement */
    CALLS_MATCH_NEVER_REACHED, /* lost here, and not there: it was lost before it came that far */
    CALLS_MATCH_UNANSWERED,    /* lost here; executed there, and its answer not taken */
    /* one of the two is wrong, or an answer was lost between them */
    CALLS_MATCH_ABSENT,      /* completed here, and not there */
    CALLS_MATCH_BROKEN,      /* completed here, and broken off there */
    CALLS_MATCH_REPEATED,    /* there more than once */
    CALLS_MATCH_ANSWER_LOST, /* answered there, lost here */
    CALLS_MATCH_UNKNOWN,     /* there, and not here */
};
#define CALLS_MATCHES (CALLS_MATCH_UNKNOWN + 1)

/* What the other record says of a call: lines of each kind (calls_log.h). */
struct calls_there {
    uint32_t named, answered, failed, starts, ends, gone;
};

/* outcome, flags: Pilotgate__Outcome and CALL_FLAG_* of our record. tells_ends: the other record tells the
 * ends of executions, not only their beginnings. */
enum calls_match calls_judge(uint32_t outcome, uint32_t flags, const struct calls_there *t, bool tells_ends);
bool calls_match_agrees(enum calls_match m);
const char *calls_match_name(enum calls_match m); /* "answer-lost" ... */
const char *calls_match_text(enum calls_match m); /* for people */
