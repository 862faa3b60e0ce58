/* cover: see cover.h. */
#include "cli/cover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

#define US 1000LL

struct reading {
    struct cover *cover;
    size_t cap;
    struct err *e;
};

/* Records come by stream: the last one is the one, or a new one begins. */
static struct cover_stream *stream_of(struct reading *r, int64_t id) {
    struct cover *c = r->cover;
    if (c->n && c->streams[c->n - 1].id == id)
        return &c->streams[c->n - 1];
    if (c->n == COVER_STREAMS_MAX)
        return NULL;
    if (c->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        struct cover_stream *more = realloc(c->streams, cap * sizeof *more);
        if (!more)
            return NULL;
        c->streams = more;
        r->cap = cap;
    }
    c->streams[c->n] = (struct cover_stream){.id = id};
    return &c->streams[c->n++];
}

static void take_calls(struct cover_stream *st, const Pilotgate__Record *rec) {
    const Pilotgate__Coverage *c = rec->coverage;
    st->calls_wall_ns = rec->wall_ns;
    st->open = 0;
    st->oldest_ns = 0;
    for (size_t k = 0; k < c->n_probes; k++) {
        const Pilotgate__Coverage__Probe *p = c->probes[k];
        st->open += p->n_open_start_us;
        for (size_t j = 0; j < p->n_open_start_us; j++) {
            int64_t start = rec->wall_ns + p->open_start_us[j] * US;
            if (st->oldest_ns == 0 || start < st->oldest_ns)
                st->oldest_ns = start;
        }
    }
}

/* Every agent's kube thread watches the pods of its node. */
bool cover_is_kube(const Pilotgate__Coverage *cov) {
    for (size_t k = 0; k < cov->n_sources; k++)
        if (strcmp(cov->sources[k]->name, "pods") == 0)
            return true;
    return false;
}

static int take_sources(struct cover_stream *st, const Pilotgate__Record *rec) {
    const Pilotgate__Coverage *cov = rec->coverage;
    json_t **all = cover_is_kube(cov) ? &st->kube : &st->products;
    if (cov->n_sources == 0)
        return 0;
    if (all == &st->kube && st->kube_since_ns == 0)
        st->kube_since_ns = rec->wall_ns;
    if (all == &st->kube && cov->stage_scoped)
        st->stage_wall_ns = rec->wall_ns;
    json_decref(*all);
    *all = json_object();
    for (size_t k = 0; *all && k < cov->n_sources; k++)
        if (!cov->sources[k]->ok)
            (void)json_object_set_new(*all, cov->sources[k]->name, json_string(cov->sources[k]->reason));
    return *all ? 0 : -ENOMEM;
}

static int take(void *ctx, const struct store_record *row, uint64_t commit) {
    struct reading *r = ctx;
    (void)commit;
    Pilotgate__Record *rec = NULL;
    int code = wire_record_unpack(row->payload, row->len, &rec, r->e);
    if (code < 0)
        return code;
    struct cover_stream *st = stream_of(r, row->stream);
    if (!st) {
        wire_record_free(&rec);
        return err_set(r->e, -E2BIG, "more than %d streams in one stage lately: restart fewer agents",
                       COVER_STREAMS_MAX);
    }
    st->wall_ns = rec->wall_ns;
    st->bye = st->bye || rec->coverage->bye;
    if (rec->wall_ns > r->cover->newest_ns)
        r->cover->newest_ns = rec->wall_ns;
    if (rec->coverage->n_probes)
        take_calls(st, rec);
    code = take_sources(st, rec);
    wire_record_free(&rec);
    return code < 0 ? err_oom(r->e) : 0;
}

static bool lives(const struct cover *c, const struct cover_stream *st) {
    return !st->bye && c->newest_ns - st->wall_ns <= COVER_STALE_S * WHEN_S;
}

/* What the living agents cannot read; and whether one of them does the work of the whole stage. */
static void sum_up(struct cover *c) {
    int64_t since = INT64_MAX, held = 0;
    for (size_t k = 0; k < c->n; k++) {
        struct cover_stream *st = &c->streams[k];
        held = st->stage_wall_ns > held ? st->stage_wall_ns : held;
        if (!lives(c, st))
            continue;
        if (st->kube_since_ns && st->kube_since_ns < since)
            since = st->kube_since_ns;
        (void)json_object_update(c->unreadable, st->kube);
        (void)json_object_update(c->unreadable, st->products);
    }
    held = held > since ? held : since;
    if (c->newest_ns - COVER_UNHELD_S * WHEN_S > held)
        (void)json_object_set_new(
            c->unreadable, "stage",
            json_string("no agent watches releases, workloads and configuration: look at "
                        "kube.stage_scoped and at the Lease kube.lease"));
}

int cover_read(struct store *s, const char *cluster, const char *ns, int64_t from_ns, struct cover *ret,
               struct err *e) {
    struct cover c = {.unreadable = json_object()};
    struct reading r = {.cover = &c, .e = e};
    struct store_query q = {.cluster = cluster,
                            .namespace_name = ns,
                            .families = 1u << WIRE_FAMILY_COVERAGE,
                            .from_ns = from_ns,
                            .to_ns = INT64_MAX};
    int code = c.unreadable ? store_records(s, &q, take, &r, e) : err_oom(e);
    if (code < 0)
        cover_free(&c);
    else
        sum_up(&c);
    if (code == 0)
        *ret = c;
    return code;
}

void cover_free(struct cover *c) {
    for (size_t k = 0; k < c->n; k++) {
        json_decref(c->streams[k].kube);
        json_decref(c->streams[k].products);
    }
    free(c->streams);
    json_decref(c->unreadable);
    *c = (struct cover){0};
}

size_t cover_open(const struct cover *c, uint64_t *ret_open, int64_t *ret_oldest_ns) {
    uint64_t open = 0;
    int64_t oldest = 0;
    size_t telling = 0;
    for (size_t k = 0; k < c->n; k++) {
        const struct cover_stream *st = &c->streams[k];
        if (!lives(c, st) || st->calls_wall_ns == 0)
            continue;
        telling++;
        open += st->open;
        if (st->oldest_ns && (oldest == 0 || st->oldest_ns < oldest))
            oldest = st->oldest_ns;
    }
    *ret_open = open;
    *ret_oldest_ns = oldest;
    return telling;
}
