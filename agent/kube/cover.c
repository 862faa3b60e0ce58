/* cover: what a coverage record says of the sources. A record of each second says of every source that is
 * read, or is to be, whether it is current. Kinds, and sources of kinds that the API server does not serve,
 * are in *full* records only, of which one comes every KUBE_COVER_FULL_S, and at once when a source begins or
 * ceases to be read or served: they double a record, and change as seldom as a cluster's APIs do. A spool
 * keeps these records for two days. See kube_priv.h. */
#include "kube/kube_priv.h"

/* An optional kind of which nothing is known yet is nothing to tell of. */
static bool is_told(const struct kube_source *s) {
    return !s->absent || s->unserved;
}

/* FNV-1a over what makes a record a full one; 0 is none. */
static uint64_t states_of(const struct kube_source *sources, size_t n) {
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint64_t)(is_told(&sources[i]) | sources[i].unserved << 1 | sources[i].ok << 2)) *
            1099511628211ull;
    return h | 1;
}

size_t kube_cover_sources(struct kube_cover *c, struct kube_source *sources, size_t n, int64_t now_wall,
                          Pilotgate__Coverage__Source *items, Pilotgate__Coverage__Source **list) {
    uint64_t states = states_of(sources, n);
    bool full = states != c->states || ++c->since >= KUBE_COVER_FULL_S;
    size_t told = 0;
    if (full)
        *c = (struct kube_cover){.states = states};
    for (size_t i = 0; i < n; i++) {
        if (!is_told(&sources[i]) || (sources[i].unserved && !full))
            continue;
        pilotgate__coverage__source__init(&items[told]);
        kube_source_cover(&sources[i], now_wall, &items[told]);
        if (full)
            items[told].kind = (char *)(uintptr_t)kube_source_kind(&sources[i]);
        list[told] = &items[told];
        told++;
    }
    return told;
}
