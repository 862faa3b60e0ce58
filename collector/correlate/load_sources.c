/* load_sources: which kinds of objects agents were reading at a moment: of each stream the newest coverage of
 * Kubernetes sources before it, and the newest that names kinds. Agents tell it each second; it is looked for
 * close to the moment first, and further away only when nobody who does the stage's work is found, so that
 * the work does not grow with the pilot's length. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/load_priv.h"
#include "correlate/slim.h"

#define NEAR_NS (15 * WHEN_S) /* a record that names kinds comes each 10 s */
#define FAR_NS (90 * WHEN_S)

struct found {      /* one packed record */
    uint8_t *bytes; /* owned: WIRE_RECORD_MAX */
    size_t len;     /* 0: none */
    uint64_t seq;
};

struct seeking {
    struct evidence *ev;
    struct err *e;
    int64_t t;
    struct found newest, full; /* of one stream so far; full: that names kinds, too */
    size_t stream;
    bool found; /* somebody did the stage's work */
};

static int keep_one(struct seeking *k, struct found *x) {
    Pilotgate__Record *r;
    if (x->len == 0)
        return 0;
    int rc = wire_record_unpack(x->bytes, x->len, &r, k->e);
    x->len = 0;
    if (rc < 0)
        return rc;
    if (r->body_case != PILOTGATE__RECORD__BODY_COVERAGE) {
        wire_record_free(&r);
        return 0;
    }
    k->found |= r->coverage->stage_scoped && !r->coverage->bye;
    return ev_add(k->ev, &k->ev->sources, k->stream, x->seq, r) < 0 ? err_oom(k->e) : 0;
}

/* Keeps what was found of a stream. */
static int keep(struct seeking *k) {
    int r = keep_one(k, &k->full);
    return r == 0 ? keep_one(k, &k->newest) : r;
}

/* They come by stream and number: the last one that is not after the moment is the newest. */
static int take(void *ctx, const struct store_record *row, uint64_t commit) {
    struct seeking *k = ctx;
    size_t i;
    int64_t error;
    bool full;
    (void)commit;
    if (!load_stream(k->ev, row->stream, &i))
        return err_set(k->e, -EBADMSG, "the store names a stream that it does not have: restore a backup");
    int r = i != k->stream ? keep(k) : 0;
    int64_t at = facts_clock(k->ev, i, row->t_from_ns, &error);
    if (r < 0 || at - (error > 0 ? error : 0) > k->t || row->len > WIRE_RECORD_MAX ||
        !corr_covers_kube(row->payload, row->len, &full))
        return r;
    struct found *x = full ? &k->full : &k->newest;
    k->newest.len = 0;
    memcpy(x->bytes, row->payload, row->len);
    x->len = row->len;
    x->seq = row->seq;
    k->stream = i;
    return 0;
}

/* The answer of the collector's clock that was nearest to t. */
static const struct ev_clock *nearest(const struct ev_stream *s, int64_t t) {
    const struct ev_clock *best = s->clock;
    for (size_t i = 1; i < s->n_clock; i++)
        if (llabs(s->clock[i].wall_ns + s->clock[i].offset_ns - t) <=
            llabs(best->wall_ns + best->offset_ns - t))
            best = &s->clock[i];
    return best;
}

static int64_t bounded(int64_t v, int64_t most) {
    return v > most ? most : v < -most ? -most : v;
}

/* From `back` before t until t, on the clock of each agent. */
static size_t spans_of(const struct evidence *ev, const char *cluster, const char *ns, int64_t t,
                       int64_t back, struct load_span *out) {
    size_t n = 0;
    for (size_t i = 0; i < ev->n_streams; i++) {
        const struct ev_stream *s = &ev->streams[i];
        if (!load_in_stage(s, cluster, ns))
            continue;
        const struct ev_clock *k = s->n_clock ? nearest(s, t) : NULL;
        int64_t at = t - (k ? bounded(k->offset_ns, WIRE_NS_MAX / 2) : 0);
        int64_t margin = k && !s->n_steps ? bounded(k->error_ns, LOAD_MARGIN_MAX_NS) : LOAD_MARGIN_NS;
        out[n++] = (struct load_span){at - back - margin, at + margin + LOAD_SLACK_NS};
    }
    return load_join_spans(out, n);
}

static int seek_span(struct store *s, struct seeking *k, const struct store_query *q) {
    int r = store_records(s, q, take, k, k->e);
    return r == 0 ? keep(k) : r;
}

/* What is close to t; where nobody is, further away, as far as a picture may be old. */
static int seek(struct store *s, struct seeking *k, const char *stage, int64_t fresh, struct err *e) {
    const int64_t steps[] = {NEAR_NS, FAR_NS, fresh};
    char cluster[FACTS_STAGE_MAX];
    const char *ns;
    struct load_span *spans = calloc(k->ev->n_streams + 1, sizeof *spans);
    int r = spans ? 0 : err_oom(e);
    bool is_stage = load_split_stage(stage, cluster, &ns);
    k->found = false;
    for (size_t i = 0; is_stage && r == 0 && !k->found && i < sizeof steps / sizeof *steps; i++) {
        if (steps[i] > fresh && i + 1 < sizeof steps / sizeof *steps)
            continue;
        struct store_query q = {.commit = k->ev->commit,
                                .cluster = cluster,
                                .namespace_name = ns,
                                .families = 1u << WIRE_FAMILY_COVERAGE};
        size_t n = spans_of(k->ev, cluster, ns, k->t, steps[i], spans);
        for (size_t j = 0; j < n && r == 0; j++) {
            q.from_ns = spans[j].from;
            q.to_ns = spans[j].to;
            r = seek_span(s, k, &q);
        }
    }
    free(spans);
    return r;
}

int corr_load_sources(struct store *s, struct corr *c, const char *stage, const int64_t *t, size_t n,
                      struct err *e) {
    struct seeking k = {.ev = &c->ev,
                        .e = e,
                        .newest = {.bytes = malloc(WIRE_RECORD_MAX)},
                        .full = {.bytes = malloc(WIRE_RECORD_MAX)}};
    int r = k.newest.bytes && k.full.bytes ? 0 : err_oom(e);
    for (size_t i = 0; i < c->n_stages && r == 0; i++) {
        if (stage && strcmp(stage, c->stages[i].stage) != 0)
            continue;
        for (size_t j = 0; j < n && r == 0; j++) {
            k.t = t[j];
            r = seek(s, &k, c->stages[i].stage, c->rubric.rules.architecture_fresh_ns, e);
        }
    }
    free(k.newest.bytes);
    free(k.full.bytes);
    ev_sort(&c->ev.sources);
    return r;
}
