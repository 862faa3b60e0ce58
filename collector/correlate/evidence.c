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

/* Keeps the order by wall_ns; after a step back of the agent's clock a later answer comes earlier. */
static int add_offset(struct ev_stream *s, const Pilotgate__Record *r) {
    if (corr_grow_into((void **)&s->clock, s->n_clock, &s->cap_clock, sizeof *s->clock) < 0)
        return -ENOMEM;
    size_t i = s->n_clock++;
    for (; i > 0 && s->clock[i - 1].wall_ns > r->wall_ns; i--)
        s->clock[i] = s->clock[i - 1];
    s->clock[i] = (struct ev_clock){r->wall_ns, r->timing->value_ns, (int64_t)r->timing->error_ns};
    return 0;
}

static int add_step(struct ev_stream *s, const Pilotgate__Record *r) {
    struct ev_step *step = CORR_PUSH(s->steps, s->n_steps, s->cap_steps);
    if (!step)
        return -ENOMEM;
    *step = (struct ev_step){r->wall_ns, r->timing->value_ns};
    s->n_steps++;
    return 0;
}

static int add_clock(struct ev_stream *s, const Pilotgate__Record *r) {
    if (r->body_case != PILOTGATE__RECORD__BODY_TIMING)
        return 0;
    if (r->timing->kind == PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET)
        return add_offset(s, r);
    return r->timing->kind == PILOTGATE__TIMING__KIND__KIND_CLOCK_STEP ? add_step(s, r) : 0;
}

static int by_place(const void *a, const void *b) {
    const struct ev_record *x = a;
    const struct ev_record *y = b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void ev_sort(struct ev_list *l) {
    size_t kept = 0;
    if (l->n)
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
    if (!slot || add_clock(&ev->streams[stream], r) < 0) {
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
    for (size_t i = 0; i < ev->n_streams; i++) {
        free(ev->streams[i].clock);
        free(ev->streams[i].steps);
    }
    free(ev->streams);
    free(ev->missing);
    json_decref(ev->pilot);
    json_decref(ev->marks);
    json_decref(ev->drills);
    json_decref(ev->attestations);
    *ev = (struct evidence){0};
}
