/* load_check: what the store has of every agent, compared with what it made: each seq once, every call. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

struct stored {
    int64_t stream;
    struct load_agent *agent;
    uint64_t next, calls; /* the seq that must come next */
};

struct check {
    struct load *load;
    struct stored *all;
    size_t n, at;
    uint64_t wrong; /* streams with conflicts, doubts or unknown boots */
};

static int by_boot(const void *a, const void *b) {
    return memcmp(((const struct load_agent *)a)->boot, ((const struct load_agent *)b)->boot,
                  WIRE_BOOT_BYTES);
}

static int by_stream(const void *a, const void *b) {
    const struct stored *x = a, *y = b;
    return (x->stream > y->stream) - (x->stream < y->stream);
}

static int take_stream(void *ctx, const struct store_stream_row *row) {
    struct check *c = ctx;
    struct load_agent wanted;
    memcpy(wanted.boot, row->boot, sizeof wanted.boot);
    struct load_agent *a =
        bsearch(&wanted, c->load->agents, c->load->o.agents, sizeof *c->load->agents, by_boot);
    if (!a)
        return 0; /* of an earlier run in this store */
    c->wrong += row->conflicts != 0 || row->doubts != 0;
    if (c->n < c->load->o.agents)
        c->all[c->n++] = (struct stored){.stream = row->id, .agent = a, .next = 1};
    return 0;
}

static int take_record(void *ctx, const struct store_record *r, uint64_t commit) {
    struct check *c = ctx;
    struct stored wanted = {.stream = r->stream};
    (void)commit;
    struct stored *s = bsearch(&wanted, c->all, c->n, sizeof *c->all, by_stream);
    if (!s)
        return 0;
    c->load->stored_records++;
    if (r->seq < s->next) {
        c->load->stored_doubles++;
    } else {
        c->load->missing += r->seq - s->next;
        s->next = r->seq + 1;
    }
    if (r->family != WIRE_FAMILY_CALLS)
        return 0;
    Pilotgate__Record *record = NULL;
    struct err e;
    if (wire_record_unpack(r->payload, r->len, &record, &e) == 0)
        s->calls += record->calls->n_outcome;
    wire_record_free(&record);
    return 0;
}

static int read_store(struct check *c, struct err *e) {
    struct store *s = NULL;
    const struct store_query all = {0};
    int r = store_open(c->load->o.store, STORE_READ, &s, e);
    if (r == 0)
        r = store_streams(s, take_stream, c, e);
    if (r == 0 && c->n)
        qsort(c->all, c->n, sizeof *c->all, by_stream);
    if (r == 0)
        r = store_records(s, &all, take_record, c, e);
    store_close(&s);
    return r;
}

int load_check(struct load *l, struct err *e) {
    struct check c = {.load = l, .all = calloc(l->o.agents, sizeof *c.all)};
    if (!c.all)
        return err_oom(e);
    qsort(l->agents, l->o.agents, sizeof *l->agents, by_boot);
    int r = read_store(&c, e);
    uint64_t short_of_calls = 0;
    for (size_t i = 0; r == 0 && i < c.n; i++) {
        l->stored_calls += c.all[i].calls;
        short_of_calls += c.all[i].calls != c.all[i].agent->made_calls;
        if (c.all[i].next < c.all[i].agent->next_seq)
            l->missing += c.all[i].agent->next_seq - c.all[i].next;
    }
    if (r == 0 && (c.n != l->o.agents || l->missing || l->stored_doubles || c.wrong || short_of_calls))
        r = err_set(e, -EBADMSG,
                    "the store differs: %zu of %u streams, %llu records missing, %llu twice, %llu streams in "
                    "doubt, %llu with other calls",
                    c.n, l->o.agents, (unsigned long long)l->missing, (unsigned long long)l->stored_doubles,
                    (unsigned long long)c.wrong, (unsigned long long)short_of_calls);
    free(c.all);
    return r;
}
