/* outcome: what one expectation, or one object of a SET, came to. See checks.h. */
#include <stdarg.h>
#include <stdio.h>

#include "reference/checks.h"

void ref_outcome_free(struct ref_outcome *o) {
    ref_differences_free(&o->differences);
    *o = (struct ref_outcome){0};
}

void ref_outcome_unknown(struct ref_outcome *o, const char *fmt, ...) {
    if (o->unknown)
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(o->why, sizeof o->why, fmt, args);
    va_end(args);
    o->unknown = true;
}
