/* evidence: see evidence.h. */
#include "correlate/evidence.h"

#include <errno.h>
#include <stdlib.h>

#include "correlate/correlate_priv.h"

int corr_grow_into(void **items, size_t n, size_t *cap, size_t size) {
    if (n >= *cap) {
        size_t want = *cap ? *cap * 2 : 16;
        void *p = realloc(*items, want * size);
        if (!p)
            return -ENOMEM;
        *items = p;
        *cap = want;
    }
    char *slot = (char *)*items + n * size;
    for (size_t i = 0; i < size; i++)
        slot[i] = 0;
    return 0;
}

static int by_place(const void *a, const void *b) {
    const struct ev_record *x = a;
    const struct ev_record *y = b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Counts the streams and puts each record in its place: within a stream they come in their order already,
 * where windows were loaded one after the other. False: no memory for it. */
static bool group_by_stream(struct ev_list *l) {
    size_t streams = 0;
    for (size_t i = 0; i < l->n; i++)
        streams = l->items[i].stream >= streams ? l->items[i].stream + 1 : streams;
    size_t *next = calloc(streams + 1, sizeof *next);
    struct ev_record *sorted = malloc((l->n + 1) * sizeof *sorted);
    if (next && sorted) {
        for (size_t i = 0; i < l->n; i++)
            next[l->items[i].stream + 1]++;
        for (size_t s = 1; s <= streams; s++)
            next[s] += next[s - 1];
        for (size_t i = 0; i < l->n; i++)
            sorted[next[l->items[i].stream]++] = l->items[i];
        free(l->items);
        l->items = sorted;
        l->cap = l->n + 1;
        sorted = NULL;
    }
    bool done = sorted == NULL && next;
    free(next);
    free(sorted);
    return done;
}

static bool in_order(const struct ev_list *l) {
    for (size_t i = 1; i < l->n; i++)
        if (by_place(&l->items[i - 1], &l->items[i]) > 0)
            return false;
    return true;
}

void ev_sort(struct ev_list *l) {
    size_t kept = 0;
    if (!in_order(l) && !(group_by_stream(l) && in_order(l)))
        qsort(l->items, l->n, sizeof *l->items, by_place);
    for (size_t i = 0; i < l->n; i++) {
        if (kept && by_place(&l->items[kept - 1], &l->items[i]) == 0)
            wire_record_free(&l->items[i].r);
        else
            l->items[kept++] = l->items[i];
    }
    l->n = kept;
}

int ev_add(struct evidence *ev, struct ev_list *l, size_t stream, uint64_t seq, Pilotgate__Record *r) {
    struct ev_record *slot = CORR_PUSH(l->items, l->n, l->cap);
    if (!slot || corr_add_clock(&ev->streams[stream], r, seq) < 0) {
        wire_record_free(&r);
        return -ENOMEM;
    }
    *slot = (struct ev_record){stream, seq, r};
    l->n++;
    return 0;
}

int ev_add_stream(struct evidence *ev, const struct ev_stream *s) {
    struct ev_stream *slot = CORR_PUSH(ev->streams, ev->n_streams, ev->cap_streams);
    if (!slot)
        return -ENOMEM;
    *slot = *s;
    return (int)ev->n_streams++;
}

int ev_add_missing(struct evidence *ev, const struct ev_missing *m) {
    struct ev_missing *slot = CORR_PUSH(ev->missing, ev->n_missing, ev->cap_missing);
    if (!slot)
        return -ENOMEM;
    *slot = *m;
    ev->n_missing++;
    return 0;
}

static void free_list(struct ev_list *l) {
    for (size_t i = 0; i < l->n; i++)
        wire_record_free(&l->items[i].r);
    free(l->items);
}

void ev_free(struct evidence *ev) {
    if (!ev)
        return;
    free_list(&ev->records);
    free_list(&ev->watched);
    free_list(&ev->sources);
    for (size_t i = 0; i < ev->n_streams; i++) {
        free(ev->streams[i].clock);
        free(ev->streams[i].steps);
    }
    free(ev->streams);
    free(ev->missing);
    json_decref(ev->pilot);
    json_decref(ev->reference);
    json_decref(ev->marks);
    json_decref(ev->drills);
    json_decref(ev->attestations);
    *ev = (struct evidence){0};
}
