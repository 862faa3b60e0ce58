/* reading: what the gates make of one call that meets a change's window; pure. The outcome says what became
 * of the call, the rest what else happened to it or beside it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "correlate/facts.h"

/* A call at a replica's own address, and the moment at which that replica was told to end. */
enum corr_told {
    CORR_TOLD_NOT,   /* not told, or told after the call began, or the call took the target's URL */
    CORR_TOLD_ABOUT, /* the call may have begun after it */
    CORR_TOLD_AFTER  /* the call certainly began after it */
};

struct corr_case {
    uint32_t outcome, flags; /* of wire: enum Outcome, CALL_FLAG_* */
    bool open;               /* nobody saw its end; outcome says nothing */
    bool own_change;         /* to a tool that a change of these moments added or removed */
    enum corr_told told;
    bool stalled;        /* its agent's own node stood still meanwhile */
    bool control_failed; /* a call past the gateway failed meanwhile */
    bool uninstalled;    /* the product was taken away meanwhile */
};

/* *ret_why: static text; "" for a completed call. */
enum fact_reading corr_read(const struct corr_case *k, const char **ret_why);

/* False for a number that this version has no name for. */
bool corr_outcome_known(uint32_t outcome);
