/* open: calls whose end nobody saw, from the coverage records that list the open ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/exposure_priv.h"
#include "correlate/reading.h"

/* The stream's last record of the prober's half, or NULL; *ret_bye: it ended in order. */
static const struct corr_tick *last_coverage(const struct corr_watch *w, bool *ret_bye) {
    const struct corr_tick *last = NULL;
    *ret_bye = false;
    for (size_t i = 0; i < w->n_ticks; i++) {
        *ret_bye |= w->ticks[i].bye;
        if (w->ticks[i].calls)
            last = &w->ticks[i];
    }
    return last;
}

bool corr_is_control_probe(const struct corr_watch *w, const Pilotgate__Coverage__Probe *p) {
    for (size_t i = 0; w->control && !p->control && i < w->n_blocks; i++) {
        const Pilotgate__CallBlock *b = w->blocks[i]->r->calls;
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

static int read_stream(struct corr_work *w, const struct corr_watch *of, int64_t now, int64_t gap) {
    bool bye;
    const struct corr_tick *last = last_coverage(of, &bye);
    if (!last || bye)
        return 0;
    int64_t heard_until = w->c->window_to < now ? w->c->window_to : now;
    bool silent = last->t < heard_until - gap;
    if (last->t < w->c->begin_lo || (!silent && now < w->c->window_to))
        return 0;
    int64_t until = silent ? w->c->window_to : w->c->last_hi;
    const Pilotgate__Coverage *c = last->r->r->coverage;
    for (size_t i = 0; i < c->n_probes; i++)
        if (!corr_is_control_probe(of, c->probes[i]) && add_open_calls(w, last->r, c->probes[i], until) < 0)
            return -ENOMEM;
    return 0;
}

/* Of a stream that fell silent inside the window every open call is unresolved; of one that lives, those that
 * were in flight across the change and outlast its window. */
int corr_read_open(struct corr_work *w, int64_t now, int64_t gap) {
    for (size_t i = 0; i < w->view->n_streams; i++)
        if (read_stream(w, &w->view->streams[i], now, gap) < 0)
            return -ENOMEM;
    return 0;
}
