/* witness: see witness.h. */
#include "witness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S 10

static void take(void *ctx, Pilotgate__Record *record) {
    struct witness *w = ctx;
    struct err e;
    Pilotgate__Record *copy = NULL;
    size_t size = pilotgate__record__get_packed_size(record);
    uint8_t *packed = malloc(size ? size : 1);
    (void)pilotgate__record__pack(record, packed);
    pthread_mutex_lock(&w->lock);
    if (wire_record_unpack(packed, size, &copy, &e) < 0) {
        (void)snprintf(w->error, sizeof w->error, "%s", e.text);
    } else {
        if (w->n == w->cap) {
            w->cap = w->cap ? w->cap * 2 : 64;
            w->records = realloc(w->records, w->cap * sizeof *w->records);
        }
        w->records[w->n++] = copy;
    }
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    free(packed);
}

void witness_init(struct witness *w) {
    *w = (struct witness){0};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    w->emit = (struct emit){.fn = take, .ctx = w};
}

void witness_free(struct witness *w) {
    for (size_t i = 0; i < w->n; i++)
        wire_record_free(&w->records[i]);
    free(w->records);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
}

bool witness_wait(struct witness *w, bool (*test)(const struct witness *w, int arg), int arg) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&w->lock);
    bool ok = test(w, arg);
    while (!ok && pthread_cond_timedwait(&w->more, &w->lock, &until) != ETIMEDOUT)
        ok = test(w, arg);
    pthread_mutex_unlock(&w->lock);
    return ok;
}

int witness_calls(const struct witness *w, int outcome, uint32_t flags) {
    int n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const Pilotgate__Record *r = w->records[i];
        if (r->body_case != PILOTGATE__RECORD__BODY_CALLS)
            continue;
        for (size_t j = 0; j < r->calls->n_outcome; j++)
            n += (!outcome || (int)r->calls->outcome[j] == outcome) && (r->calls->flags[j] & flags) == flags;
    }
    return n;
}

const Pilotgate__Call *witness_row(const struct witness *w, int i) {
    for (size_t k = 0; k < w->n; k++)
        if (w->records[k]->body_case == PILOTGATE__RECORD__BODY_CALL && i-- == 0)
            return w->records[k]->call;
    return NULL;
}

const Pilotgate__Object *witness_object(const struct witness *w, const char *kind, int op, int i) {
    for (size_t k = 0; k < w->n; k++) {
        const Pilotgate__Record *r = w->records[k];
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, kind) == 0 &&
            (!op || (int)r->object->op == op) && i-- == 0)
            return r->object;
    }
    return NULL;
}

const Pilotgate__Phase *witness_phase(const struct witness *w, int kind) {
    for (size_t k = 0; k < w->n; k++)
        if (w->records[k]->body_case == PILOTGATE__RECORD__BODY_PHASE &&
            (int)w->records[k]->phase->kind == kind)
            return w->records[k]->phase;
    return NULL;
}

const Pilotgate__Coverage *witness_last_coverage(const struct witness *w) {
    for (size_t k = w->n; k > 0; k--)
        if (w->records[k - 1]->body_case == PILOTGATE__RECORD__BODY_COVERAGE)
            return w->records[k - 1]->coverage;
    return NULL;
}
