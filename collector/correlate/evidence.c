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

static int add_clock(struct ev_stream *s, const Pilotgate__Record *r) {
    if (r->body_case != PILOTGATE__RECORD__BODY_TIMING ||
        r->timing->kind != PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET)
        return 0;
    struct ev_clock *c = CORR_PUSH(s->clock, s->n_clock, s->cap_clock);
    if (!c)
        return -ENOMEM;
    *c = (struct ev_clock){r->wall_ns, r->timing->value_ns, (int64_t)r->timing->error_ns};
    s->n_clock++;
    return 0;
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
    for (size_t i = 0; i < ev->n_streams; i++)
        free(ev->streams[i].clock);
    free(ev->streams);
    json_decref(ev->pilot);
    json_decref(ev->marks);
    json_decref(ev->drills);
    *ev = (struct evidence){0};
}
