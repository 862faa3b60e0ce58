/* schedule: see schedule.h. */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

struct one {
    int64_t end_us, start_us;
    uint64_t number;
    uint64_t duration_us;
    uint32_t connection, flags;
    uint8_t entry;
};

uint32_t schedule_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static int by_end(const void *a, const void *b) {
    const struct one *x = a;
    const struct one *y = b;
    return (x->end_us > y->end_us) - (x->end_us < y->end_us);
}

static int by_start(const void *a, const void *b) {
    const struct one *x = a;
    const struct one *y = b;
    return (x->start_us > y->start_us) - (x->start_us < y->start_us);
}

/* Squared, so that small ones are usual; one in fifty is ten times as large. */
static int64_t jitter(uint32_t *r, int64_t most) {
    uint64_t a = schedule_random(r) & 0xffff;
    int64_t v = (int64_t)((a * a >> 16) * (uint64_t)most >> 16);
    return schedule_random(r) % 50 ? v : 10 * v;
}

static void make(const struct schedule *s, size_t i, uint32_t *r, struct one *o) {
    size_t turn = i / s->probes;
    o->entry = (uint8_t)(i % s->probes);
    o->start_us = (int64_t)turn * s->interval_us + o->entry * s->interval_us / (int64_t)s->probes;
    o->start_us += jitter(r, s->late_us);
    o->duration_us = s->duration_us + (uint64_t)jitter(r, (int64_t)s->spread_us);
    o->end_us = o->start_us + (int64_t)o->duration_us;
    bool fresh = s->connections == 0 || (s->turns && turn % 2);
    o->flags = fresh ? 0 : PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED;
    o->connection = fresh ? (uint32_t)(1000 + i) : 1 + schedule_random(r) % s->connections;
}

void schedule_fill(const struct schedule *s, size_t n, uint32_t seed, struct block_calls *c) {
    struct one *all = calloc(n, sizeof *all);
    uint32_t r = seed;
    for (size_t i = 0; i < n; i++)
        make(s, i, &r, &all[i]);
    qsort(all, n, sizeof *all, by_start);
    for (size_t i = 0; i < n; i++)
        all[i].number = 5000 + i;
    qsort(all, n, sizeof *all, by_end);
    c->n = n;
    c->base_wall_ns = 1700000000000000000;
    c->base_mono_ns = 90000000000000;
    for (size_t i = 0; i < n; i++) {
        c->number[i] = all[i].number;
        c->entry[i] = all[i].entry;
        c->start_us[i] = all[i].start_us - all[0].start_us;
        c->duration_us[i] = all[i].duration_us;
        c->outcome[i] = PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
        c->connection[i] = all[i].connection;
        c->flags[i] = all[i].flags;
    }
    free(all);
}
