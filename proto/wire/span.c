/* span: the time that a record speaks of. wire_record_unpack has bounded every time and duration, so that the
 * sums here cannot overflow. */
#include "wire/wire.h"

#define US 1000LL

static void span_of_calls(const Pilotgate__CallBlock *b, int64_t *from, int64_t *to) {
    *from = *to = b->base_wall_ns;
    for (size_t i = 0; i < b->n_start_us; i++) {
        int64_t start = b->base_wall_ns + b->start_us[i] * US;
        int64_t end = start + (int64_t)b->duration_us[i] * US;
        if (i == 0 || start < *from)
            *from = start;
        if (i == 0 || end > *to)
            *to = end;
    }
}

static int64_t moment(const Pilotgate__Record *r) {
    switch (r->body_case) {
    case PILOTGATE__RECORD__BODY_PHASE:
        return r->phase->t_wall_ns;
    case PILOTGATE__RECORD__BODY_OBJECT:
        return r->object->t_wall_ns;
    default:
        return r->wall_ns;
    }
}

void wire_record_span(const Pilotgate__Record *r, int64_t *ret_from, int64_t *ret_to) {
    if (r->body_case == PILOTGATE__RECORD__BODY_CALLS) {
        span_of_calls(r->calls, ret_from, ret_to);
    } else if (r->body_case == PILOTGATE__RECORD__BODY_CALL) {
        *ret_from = r->call->start_wall_ns;
        *ret_to = *ret_from + (int64_t)r->call->duration_us * US;
    } else {
        *ret_from = *ret_to = moment(r);
    }
}
