/* intake: what the wire and an exported file have in common: how a stream is found or made, what of it is a
 * gap, and how one record is checked and put. The caller owns the transaction. */
#include "ingest/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crash.h"
#include "wire/block.h"

#define US 1000LL

int intake_new(struct store *s, struct intake **ret, struct err *e) {
    struct intake *t = calloc(1, sizeof *t);
    if (!t)
        return err_oom(e);
    t->store = s;
    *ret = t;
    return 0;
}

void intake_free(struct intake **t) {
    if (!t || !*t)
        return;
    free(*t);
    *t = NULL;
}

/* ---- streams */

enum store_gap_cause intake_cause(const struct intake *t, const Pilotgate__Hello *h) {
    if (!*h->store_id)
        return STORE_GAP_AGENT;
    if (strcmp(h->store_id, store_id(t->store)) != 0)
        return STORE_GAP_REPLACED;
    return h->restore_epoch < store_restore_epoch(t->store) ? STORE_GAP_RESTORED : STORE_GAP_AGENT;
}

int intake_gap(struct intake *t, int64_t stream, uint64_t *hwm, uint64_t first, enum store_gap_cause cause,
               struct err *e) {
    if (first <= *hwm + 1)
        return 0;
    int r = store_put_gap(t->store, stream, *hwm + 1, first - 1, cause, e);
    CRASH_POINT("ingest-gap-put");
    if (r == 0)
        *hwm = first - 1;
    return r;
}

int intake_stream(struct intake *t, const Pilotgate__Hello *h, const Pilotgate__StreamState *state,
                  int64_t *ret_id, uint64_t *ret_hwm, struct err *e) {
    struct store_stream_key key = {h->cluster, h->namespace_name, h->node, state->boot.data};
    bool elsewhere = false;
    int64_t id = 0;
    uint64_t hwm = 0;
    int r = store_stream(t->store, &key, &id, &hwm, &elsewhere, e);
    if (r == 0 && elsewhere)
        r = store_put_doubt(t->store, id, STORE_DOUBT_TWO_STAGES, e);
    if (r == 0)
        r = intake_gap(t, id, &hwm, state->first_seq, intake_cause(t, h), e);
    if (r < 0)
        return r;
    *ret_id = id;
    *ret_hwm = hwm;
    return 0;
}

/* ---- records */

/* An agent older than 0.2 sends its blocks unpacked. wire_record_unpack has checked them. */
static void take_columns(const Pilotgate__CallBlock *b, struct block_calls *c) {
    int64_t number = (int64_t)b->first_number;
    c->n = b->n_start_us;
    c->base_wall_ns = b->base_wall_ns;
    c->base_mono_ns = b->base_mono_ns;
    for (size_t k = 0; k < c->n; k++) {
        number += b->number_delta[k];
        c->number[k] = (uint64_t)number;
        c->start_us[k] = b->start_us[k];
        c->duration_us[k] = b->duration_us[k];
        c->connection[k] = b->connection[k];
        c->flags[k] = b->flags[k];
        c->outcome[k] = b->outcome[k];
        c->entry[k] = (uint8_t)b->probe[k];
    }
}

/* From the first start to the last end. */
static void span_of_calls(const struct block_calls *c, int64_t *ret_from, int64_t *ret_to) {
    int64_t from = c->n ? c->start_us[0] : 0, to = from;
    for (size_t k = 0; k < c->n; k++) {
        int64_t end = c->start_us[k] + (int64_t)c->duration_us[k];
        from = c->start_us[k] < from ? c->start_us[k] : from;
        to = end > to ? end : to;
    }
    *ret_from = c->base_wall_ns + from * US;
    *ret_to = c->base_wall_ns + to * US;
}

struct names {
    const char *probes[WIRE_BLOCK_PROBES_MAX], *targets[WIRE_BLOCK_PROBES_MAX], *paths[WIRE_BLOCK_PROBES_MAX];
    size_t n;
};

static void names_of_packed(const Pilotgate__PackedCalls *p, struct names *n) {
    n->n = p->n_entries;
    for (size_t k = 0; k < n->n; k++) {
        n->probes[k] = p->entries[k]->probe;
        n->targets[k] = p->entries[k]->target;
        n->paths[k] = p->entries[k]->path;
    }
}

static void names_of_block(const Pilotgate__CallBlock *b, struct names *n) {
    n->n = b->n_probes;
    for (size_t k = 0; k < n->n; k++) {
        n->probes[k] = b->probes[k];
        n->targets[k] = b->targets[k];
        n->paths[k] = b->n_paths ? b->paths[k] : "";
    }
}

/* 1: there are calls in it, in t->calls; 0: not that family. */
static int take_calls(struct intake *t, const Pilotgate__Record *r, struct names *names, struct err *e) {
    if (r->body_case == PILOTGATE__RECORD__BODY_PACKED_CALLS) {
        int code = block_decode(r->packed_calls, &t->calls, e);
        if (code < 0)
            return code;
        t->count.decoded += t->calls.n;
        names_of_packed(r->packed_calls, names);
        return 1;
    }
    if (r->body_case != PILOTGATE__RECORD__BODY_CALLS)
        return 0;
    take_columns(r->calls, &t->calls);
    t->count.decoded += t->calls.n;
    names_of_block(r->calls, names);
    return 1;
}

static int put(struct intake *t, const struct intake_place *at, const struct store_record *row,
               const struct names *names, struct err *e) {
    enum store_put done = STORE_PUT_NEW;
    int r = store_put_record(t->store, row, &done, e);
    if (r < 0)
        return r;
    CRASH_POINT("ingest-record-put");
    t->count.records += done == STORE_PUT_NEW;
    t->count.duplicates += done == STORE_PUT_DUPLICATE;
    t->count.conflicts += done == STORE_PUT_CONFLICT;
    if (done != STORE_PUT_NEW || row->family != WIRE_FAMILY_CALLS)
        return 0;
    const struct store_calls calls = {&t->calls, names->n, names->probes, names->targets, names->paths};
    t->count.calls += t->calls.n;
    return store_add_calls(t->store, at->cluster, at->namespace_name, &calls, e);
}

int intake_record(struct intake *t, const struct intake_place *at, uint64_t seq,
                  const ProtobufCBinaryData *packed, struct err *ret_why, struct err *e) {
    Pilotgate__Record *r = NULL;
    struct names names;
    if (wire_record_unpack_packed(packed->data, packed->len, &r, ret_why) < 0)
        return 1;
    struct store_record row = {.stream = at->stream,
                               .seq = seq,
                               .family = wire_family(r),
                               .payload = packed->data,
                               .len = packed->len};
    int code = take_calls(t, r, &names, ret_why);
    if (code > 0)
        span_of_calls(&t->calls, &row.t_from_ns, &row.t_to_ns);
    else if (code == 0)
        wire_record_span(r, &row.t_from_ns, &row.t_to_ns);
    if (code >= 0 && r->seq != seq)
        code = err_set(ret_why, -EBADMSG, "a record's number is not its place in the batch");
    code = code < 0 ? 1 : put(t, at, &row, &names, e);
    wire_record_free(&r);
    return code;
}
