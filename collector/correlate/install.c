/* install: where an install ends, and what somebody changes shortly after it begins. An install is not
 * judged, so that what joins it would pass unseen.
 *
 * It is over once the product served (an agent told of its first successful call), Helm says that the release
 * is deployed, and no workload is known to be not available. What is told later may still be its own:
 * catalogues that arrive, first readings, objects that controllers make of it. But an object that was there
 * and is another one, or gone, is somebody's doing, and so is a NetworkPolicy that comes, as no controller
 * makes those. Where one of the three is not known, the install goes on until merge_gap ends it. */
#include <string.h>

#include "correlate/correlate_priv.h"

#define KIND(k) PILOTGATE__PHASE__KIND__KIND_##k

static bool is_edit(const struct fact_sign *s) {
    return s->kind == FACT_SIGN_OBJECT && (s->before || strcmp(s->object_kind, "NetworkPolicy") == 0);
}

static bool is_call_of(const struct facts *f, const struct fact_change *c, const struct fact_phase *p) {
    return p->kind == KIND(FIRST_CALL) && facts_life_at(f, p->lo) == c->life;
}

static const struct fact_sign *install_of(const struct fact_change *c) {
    for (size_t i = 0; i < c->n_signs; i++) {
        const char *end = strrchr(c->signs[i]->name, '.');
        if (c->signs[i]->kind == FACT_SIGN_RELEASE && end && strcmp(end, ".v1") == 0)
            return c->signs[i];
    }
    return NULL;
}

/* It began as an install, or before the product served at all. */
static bool is_install(const struct facts *f, const struct fact_change *c) {
    if (install_of(c))
        return true;
    for (size_t i = 0; i < f->n_phases; i++)
        if (is_call_of(f, c, &f->phases[i]) && f->phases[i].lo < c->signs[0]->hi)
            return false;
    return true;
}

/* When it first served in this install; 0: not by t. */
static int64_t served(const struct facts *f, const struct fact_change *c, int64_t t) {
    int64_t first = 0;
    for (size_t i = 0; i < f->n_phases; i++) {
        const struct fact_phase *p = &f->phases[i];
        if (is_call_of(f, c, p) && p->lo >= c->signs[0]->order && p->hi <= t && (!first || p->hi < first))
            first = p->hi;
    }
    return first;
}

/* When its newest revision was deployed; -1 where it has none, 0: not by t. */
static int64_t deployed(const struct facts *f, const struct fact_change *c, int64_t t) {
    int64_t at = -1;
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *s = c->signs[i];
        if (s->kind != FACT_SIGN_RELEASE)
            continue;
        at = 0;
        for (size_t v = 0; v < f->n_revisions; v++)
            if (f->revisions[v].created_lo == s->after->created_wall_ns && f->revisions[v].deployed_hi &&
                f->revisions[v].deployed_hi <= t)
                at = f->revisions[v].deployed_hi;
    }
    return at;
}

/* It went down before the old state was last seen, and was not up again by t: what it does in between may be
 * the edit's own effect. */
static bool is_down(const struct facts *f, const struct fact_phase *down, const struct fact_sign *s) {
    for (size_t i = 0; i < f->n_phases; i++) {
        const struct fact_phase *p = &f->phases[i];
        if (p->kind == KIND(WORKLOAD_AVAILABLE) && p->lo >= down->lo && p->lo <= s->hi &&
            strcmp(p->p->subject, down->p->subject) == 0)
            return false;
    }
    return true;
}

static bool is_settled(const struct facts *f, const struct fact_change *c, const struct fact_sign *s) {
    for (size_t i = 0; i < f->n_phases; i++) {
        const struct fact_phase *p = &f->phases[i];
        if ((p->kind == KIND(WORKLOAD_CREATED) || p->kind == KIND(WORKLOAD_UNAVAILABLE)) && p->hi <= s->lo &&
            p->lo >= c->signs[0]->order && is_down(f, p, s))
            return false;
    }
    return true;
}

int64_t corr_install_ended(const struct facts *f, const struct fact_change *c, const struct fact_sign *s) {
    if (!is_edit(s) || !is_install(f, c))
        return 0;
    int64_t call = served(f, c, s->hi);
    int64_t release = deployed(f, c, s->hi);
    if (!call || !release || !is_settled(f, c, s))
        return 0;
    return call > release ? call : release;
}
