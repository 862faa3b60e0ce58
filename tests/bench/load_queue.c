/* load_queue: see load.h; a ring that grows. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct load_queue *q, struct err *e) {
    size_t cap = q->cap ? q->cap * 2 : 16;
    if (cap > LOAD_RECORDS_MAX)
        return err_set(e, -ENOSPC, "more than %u records of one agent wait: the collector is too slow",
                       LOAD_RECORDS_MAX);
    struct load_record *ring = malloc(cap * sizeof *ring);
    if (!ring)
        return err_oom(e);
    for (size_t i = 0; i < q->n; i++)
        ring[i] = q->ring[(q->head + i) % q->cap];
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
    return 0;
}

int load_queue_add(struct load_queue *q, const struct buf *data, int64_t now, uint32_t calls, struct err *e) {
    int r = q->n == q->cap ? grow(q, e) : 0;
    if (r < 0)
        return r;
    uint8_t *copy = malloc(data->len);
    if (!copy)
        return err_oom(e);
    memcpy(copy, data->data, data->len);
    q->ring[(q->head + q->n++) % q->cap] =
        (struct load_record){.data = copy, .len = data->len, .emitted_ns = now, .calls = calls};
    return 0;
}

const struct load_record *load_queue_at(const struct load_queue *q, uint64_t seq) {
    return &q->ring[(q->head + (size_t)(seq - q->first_seq)) % q->cap];
}

void load_queue_drop(struct load_queue *q) {
    free(q->ring[q->head].data);
    q->head = (q->head + 1) % q->cap;
    q->n--;
    q->first_seq++;
}

void load_queue_free(struct load_queue *q) {
    while (q->n)
        load_queue_drop(q);
    free(q->ring);
    q->ring = NULL;
}
