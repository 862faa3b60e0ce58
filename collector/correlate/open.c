/* open: calls whose end nobody saw, from the coverage records that list the open ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/exposure_priv.h"
#include "correlate/reading.h"

const struct ev_record *corr_last_coverage(const struct facts *f, size_t stream, int *ret_bye) {
    const struct ev_record *last = NULL;
    *ret_bye = 0;
    for (size_t i = 0; i < f->ev->watched.n; i++) {
        const struct ev_record *r = &f->ev->watched.items[i];
        if (r->stream != stream || r->r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
            continue;
        *ret_bye |= r->r->coverage->bye;
        if (corr_is_call_coverage(r->r->coverage))
            last = r;
    }
    return last;
}

int corr_is_control_probe(const struct facts *f, size_t stream, const Pilotgate__Coverage__Probe *p) {
    for (size_t i = 0; !p->control && i < f->ev->watched.n; i++) {
        const struct ev_record *r = &f->ev->watched.items[i];
        if (r->stream != stream || r->r->body_case != PILOTGATE__RECORD__BODY_CALLS)
            continue;
        const Pilotgate__CallBlock *b = r->r->calls;
        for (size_t k = 0; k < b->n_probe; k++)
            if (b->probe[k] < b->n_probes && strcmp(b->probes[b->probe[k]], p->name) == 0)
                return (b->flags[k] & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL) != 0;
    }
    return p->control;
}

static int64_t open_since(const struct ev_record *r, int64_t before_us) {
    int64_t lag = (int64_t)r->r->coverage->base_mono_ns - (int64_t)r->r->mono_ns;
    if (llabs(lag) > WHEN_S) /* both are of one moment */
        lag = 0;
    int64_t start = r->r->wall_ns + lag + before_us * 1000;
    return start < 0 ? 0 : start;
}

/* until: calls that began later are not asked for. */
static int add_open_calls(struct corr_work *w, const struct ev_record *r, const Pilotgate__Coverage__Probe *p,
                          int64_t until) {
    uint64_t number = p->first_open;
    for (size_t i = 0; i < p->n_open_start_us && i < p->n_open_number_delta; i++) {
        number += p->open_number_delta[i];
        int64_t error;
        int64_t start = facts_clock(w->f->ev, r->stream, open_since(r, p->open_start_us[i]), &error);
        if (corr_keys_has(&w->resolved, r->stream, number) || start > until)
            continue;
        struct fact_lost_call l = {
            .number = number, .probe = p->name, .path = p->path, .start = start, .ref = {r->stream, r->seq}};
        struct corr_case what = {
            .open = true, .told = (enum corr_told)corr_told(w->f, p->path, start, error < 0 ? 0 : error)};
        l.reading = corr_read(&what, &l.why);
        if (corr_add_lost(w, &l) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_stream(struct corr_work *w, size_t stream, int64_t now, int64_t gap) {
    int bye;
    const struct ev_record *r = corr_last_coverage(w->f, stream, &bye);
    if (!r || bye)
        return 0;
    int64_t error;
    int64_t t = facts_clock(w->f->ev, stream, r->r->wall_ns, &error);
    int64_t heard_until = w->c->window_to < now ? w->c->window_to : now;
    int silent = t < heard_until - gap;
    if (t < w->c->begin_lo || (!silent && now < w->c->window_to))
        return 0;
    int64_t until = silent ? w->c->window_to : w->c->last_hi;
    for (size_t i = 0; i < r->r->coverage->n_probes; i++)
        if (!corr_is_control_probe(w->f, stream, r->r->coverage->probes[i]) &&
            add_open_calls(w, r, r->r->coverage->probes[i], until) < 0)
            return -ENOMEM;
    return 0;
}

/* Of a stream that fell silent inside the window every open call is unresolved; of one that lives, those that
 * were in flight across the change and outlast its window. */
int corr_read_open(struct corr_work *w, int64_t now, int64_t gap) {
    for (size_t s = 0; s < w->f->ev->n_streams; s++)
        if (corr_in_stage(w->f, s) && read_stream(w, s, now, gap) < 0)
            return -ENOMEM;
    return 0;
}
