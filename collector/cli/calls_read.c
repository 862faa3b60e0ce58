/* calls_read: see calls.h. Two passes over the store: first the full rows, of which there are few, then the
 * blocks; a call that has a row is told from the row. */
#include "cli/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/show.h"
#include "gates/gates.h"

#define US 1000LL
#define CLOCKS_APART_NS \
    (60 * WHEN_S) /* by which an agent's clock may be off before a window misses its records */

struct kept { /* a call's full row */
    size_t stream;
    uint64_t number;
    Pilotgate__Record *rec; /* owned */
};

struct reading {
    struct calls *w;
    call_fn *fn;
    void *ctx;
    struct kept *rows; /* by (stream, number) once all are there; owned */
    size_t n, cap;
    struct err *e;
};

char *calls_nonce(uint32_t boot, uint64_t number, char out[CALLS_NONCE_MAX]) {
    (void)snprintf(out, CALLS_NONCE_MAX, "%08x-%llu", (unsigned)boot, (unsigned long long)number);
    return out;
}

bool calls_completed(uint32_t outcome) {
    return outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
}

static uint32_t boot_of(const struct ev_stream *s) {
    return (uint32_t)s->boot[0] << 24 | (uint32_t)s->boot[1] << 16 | (uint32_t)s->boot[2] << 8 | s->boot[3];
}

static bool find_stream(const struct evidence *ev, int64_t id, size_t *ret) {
    size_t lo = 0, hi = ev->n_streams;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ev->streams[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret = lo;
    return lo < ev->n_streams && ev->streams[lo].id == id;
}

/* ---- which calls are asked for */

static bool outcome_passes(const struct call_filter *f, const struct call_row *r) {
    if (f->outcome && strcmp(f->outcome, wire_outcome_name((int)r->outcome)) != 0)
        return false;
    if (!f->lost)
        return true;
    return f->lost_in ? *r->reading && strcmp(r->reading, "excluded") != 0 : !calls_completed(r->outcome);
}

/* A call that the change's verdict reads as lost meets its window, clock bounds counted in. */
static bool in_time(const struct call_filter *f, const struct call_row *r) {
    return *r->reading || ((!f->since_ns || r->start_ns + r->duration_ns >= f->since_ns) &&
                           (!f->until_ns || r->start_ns <= f->until_ns));
}

static bool passes(const struct call_filter *f, const struct call_row *r) {
    return (!f->probe || strcmp(f->probe, r->probe) == 0) &&
           (!f->target || strcmp(f->target, r->target) == 0) && in_time(f, r) && outcome_passes(f, r);
}

/* Fills in what the stream says, and hands the call on if it is asked for. */
static int hand_on(struct reading *rd, size_t stream, int64_t start_wall, struct call_row *row) {
    const struct evidence *ev = &rd->w->corr.ev;
    const struct ev_stream *s = &ev->streams[stream];
    const struct call_filter *f = &rd->w->filter;
    char nonce[CALLS_NONCE_MAX];
    int64_t error;
    row->cluster = s->cluster;
    row->namespace_name = s->namespace_name;
    row->node = s->node;
    row->boot = boot_of(s);
    row->start_ns = facts_clock(ev, stream, start_wall, &error);
    row->reading = f->lost_in ? js_str(f->lost_in, calls_nonce(row->boot, row->number, nonce), "") : "";
    return passes(f, row) ? rd->fn(rd->ctx, row) : 0;
}

/* ---- full rows */

static int keep_row(void *ctx, const struct store_record *r, uint64_t commit) {
    struct reading *rd = ctx;
    (void)commit;
    size_t stream;
    if (!find_stream(&rd->w->corr.ev, r->stream, &stream))
        return 0; /* it came after the commit that we look at */
    if (rd->n == CALLS_ROWS_MAX)
        return err_set(rd->e, -E2BIG, "more than %d calls did not complete: narrow with --since and --until",
                       CALLS_ROWS_MAX);
    if (rd->n == rd->cap) {
        size_t cap = rd->cap ? 2 * rd->cap : 64;
        struct kept *more = realloc(rd->rows, cap * sizeof *more);
        if (!more)
            return err_oom(rd->e);
        rd->rows = more;
        rd->cap = cap;
    }
    Pilotgate__Record *rec = NULL;
    int code = wire_record_unpack(r->payload, r->len, &rec, rd->e);
    if (code < 0)
        return code;
    rd->rows[rd->n++] = (struct kept){stream, rec->call->number, rec};
    return 0;
}

static int by_number(const void *a, const void *b) {
    const struct kept *x = a, *y = b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool has_row(const struct reading *rd, size_t stream, uint64_t number) {
    const struct kept key = {stream, number, NULL};
    return rd->n && bsearch(&key, rd->rows, rd->n, sizeof key, by_number) != NULL;
}

static int hand_rows_on(struct reading *rd) {
    int code = 0;
    for (size_t i = 0; i < rd->n && code == 0; i++) {
        const Pilotgate__Call *k = rd->rows[i].rec->call;
        if (i && by_number(&rd->rows[i - 1], &rd->rows[i]) == 0)
            continue;
        struct call_row row = {.number = k->number,
                               .probe = k->probe,
                               .target = k->target,
                               .tool = k->tool,
                               .path = k->path,
                               .duration_ns = (int64_t)k->duration_us * US,
                               .outcome = (uint32_t)k->outcome,
                               .flags = k->flags,
                               .connection = k->connection,
                               .detail = k};
        code = hand_on(rd, rd->rows[i].stream, k->start_wall_ns, &row);
    }
    return code;
}

/* ---- blocks */

static const char *entry(char **table, size_t n, uint32_t i) {
    return i < n ? table[i] : "";
}

static int hand_block_on(struct reading *rd, size_t stream, const Pilotgate__CallBlock *b) {
    uint64_t number = b->first_number;
    for (size_t i = 0; i < b->n_number_delta; i++) {
        number += (uint64_t)b->number_delta[i];
        if (has_row(rd, stream, number))
            continue;
        struct call_row row = {.number = number,
                               .probe = entry(b->probes, b->n_probes, b->probe[i]),
                               .target = entry(b->targets, b->n_targets, b->probe[i]),
                               .tool = entry(b->tools, b->n_tools, b->probe[i]),
                               .path = entry(b->paths, b->n_paths, b->probe[i]),
                               .duration_ns = (int64_t)b->duration_us[i] * US,
                               .outcome = b->outcome[i],
                               .flags = b->flags[i],
                               .connection = b->connection[i]};
        int code = hand_on(rd, stream, b->base_wall_ns + b->start_us[i] * US, &row);
        if (code != 0)
            return code;
    }
    return 0;
}

static int take_block(void *ctx, const struct store_record *r, uint64_t commit) {
    struct reading *rd = ctx;
    (void)commit;
    size_t stream;
    Pilotgate__Record *rec = NULL;
    if (!find_stream(&rd->w->corr.ev, r->stream, &stream))
        return 0;
    int code = wire_record_unpack(r->payload, r->len, &rec, rd->e);
    if (code < 0)
        return code;
    code = hand_block_on(rd, stream, rec->calls);
    wire_record_free(&rec);
    return code;
}

int calls_read(struct calls *w, call_fn *fn, void *ctx, struct err *e) {
    struct reading rd = {.w = w, .fn = fn, .ctx = ctx, .e = e};
    const struct call_filter *f = &w->filter;
    struct store_query q = {.commit = w->corr.commit,
                            .cluster = w->cli->stage ? w->cli->cluster : NULL,
                            .namespace_name = w->cli->stage ? w->cli->namespace_name : NULL,
                            .families = 1u << WIRE_FAMILY_CALL,
                            .from_ns = f->since_ns ? f->since_ns - CLOCKS_APART_NS : INT64_MIN,
                            .to_ns = f->until_ns ? f->until_ns + CLOCKS_APART_NS : INT64_MAX};
    if (w->corr.commit == 0)
        return 0; /* an empty store */
    int r = store_records(w->store, &q, keep_row, &rd, e);
    if (r == 0 && rd.n)
        qsort(rd.rows, rd.n, sizeof *rd.rows, by_number);
    q.families = 1u << WIRE_FAMILY_CALLS;
    if (r == 0)
        r = hand_rows_on(&rd);
    if (r == 0)
        r = store_records(w->store, &q, take_block, &rd, e);
    for (size_t i = 0; i < rd.n; i++)
        wire_record_free(&rd.rows[i].rec);
    free(rd.rows);
    return r;
}

/* ---- --change */

/* "c1/shop/n1@0011aabb:7" and a number: the nonce. */
static bool nonce_of(const json_t *lost, char out[CALLS_NONCE_MAX]) {
    const char *at = strrchr(js_str(lost, "evidence", ""), '@');
    char *end;
    unsigned long boot = at ? strtoul(at + 1, &end, 16) : 0;
    if (!at || *end != ':')
        return false;
    (void)calls_nonce((uint32_t)boot, (uint64_t)js_int(lost, "number", 0), out);
    return true;
}

static int take_change(struct calls *w, const json_t *change, struct err *e) {
    struct call_filter *f = &w->filter;
    int64_t begin, end;
    size_t i;
    json_t *lost;
    if (when_parse(js_str(change, "begin", ""), &begin) < 0 ||
        when_parse(js_str(change, "window_to", ""), &end) < 0)
        return err_set(e, -EBADMSG, "the change %s has no window", f->change);
    f->since_ns = begin > f->since_ns ? begin : f->since_ns;
    f->until_ns = f->until_ns && f->until_ns < end ? f->until_ns : end;
    json_array_foreach(json_object_get(change, "lost"), i, lost) {
        char nonce[CALLS_NONCE_MAX];
        if (nonce_of(lost, nonce) &&
            json_object_set_new(w->lost_in, nonce, json_string(js_str(lost, "reading", ""))) < 0)
            return err_oom(e);
    }
    return 0;
}

/* The change of --change, in --stage or in the only stage that has one of that name. */
static int find_change(struct calls *w, struct err *e) {
    json_t *changes = NULL, *o;
    const json_t *found = NULL;
    size_t i;
    struct cli *c = w->cli;
    const char *id = w->filter.change;
    int r = gates_changes(&w->corr, c->stage, &changes, e);
    if (r < 0)
        return r;
    json_array_foreach(changes, i, o) {
        if (strcmp(js_str(o, "id", ""), id) != 0)
            continue;
        if (found)
            r = err_set(e, -EINVAL, "%s and %s both have a change '%s': name one with --stage",
                        js_str(found, "stage", ""), js_str(o, "stage", ""), id);
        found = o;
    }
    if (r == 0 && !found)
        r = err_set(e, -ENOENT, "no change is called '%s'; `pilotgate changes` lists them", id);
    if (r == 0)
        r = take_change(w, found, e);
    for (size_t s = 0; r == 0 && s < w->corr.n_stages; s++)
        if (strcmp(w->corr.stages[s].stage, js_str(found, "stage", "")) == 0) {
            c->stage = w->corr.stages[s].stage;
            (void)cli_split_stage(c->stage, c->cluster, c->namespace_name);
        }
    w->filter.lost_in = w->lost_in;
    json_decref(changes);
    return r;
}

int calls_open(struct cli *c, const struct call_filter *f, struct calls *w, struct err *e) {
    *w = (struct calls){.cli = c, .filter = *f, .lost_in = json_object()};
    int r = w->lost_in ? cli_store(c, STORE_READ, &w->store, e) : err_oom(e);
    if (r == 0)
        r = show_facts(c, w->store, &w->corr, e);
    if (r == 0 && f->change)
        r = find_change(w, e);
    if (r < 0)
        calls_close(w);
    return r;
}

void calls_close(struct calls *w) {
    corr_free(&w->corr);
    json_decref(w->lost_in);
    store_close(&w->store);
}
