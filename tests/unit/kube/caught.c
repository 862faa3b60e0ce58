/* caught: see caught.h. */
#include "caught.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void keep(void *ctx, Pilotgate__Record *r) {
    struct caught *c = ctx;
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *bytes = malloc(len);
    pilotgate__record__pack(r, bytes);
    Pilotgate__Record *copy = NULL;
    struct err e;
    if (wire_record_unpack(bytes, len, &copy, &e) < 0) { /* the collector would refuse it */
        (void)fprintf(stderr, "emitted an invalid record: %s\n", e.text);
        abort();
    }
    free(bytes);
    pthread_mutex_lock(&c->lock);
    c->items = realloc(c->items, (c->n + 1) * sizeof *c->items);
    c->items[c->n++] = copy;
    pthread_cond_broadcast(&c->more);
    pthread_mutex_unlock(&c->lock);
}

void caught_init(struct caught *c) {
    *c = (struct caught){.emit = {.fn = keep, .ctx = c}};
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&c->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_cond_init(&c->more, NULL);
}

void caught_clear(struct caught *c) {
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n; i++)
        wire_record_free(&c->items[i]);
    free(c->items);
    c->items = NULL;
    c->n = 0;
    pthread_mutex_unlock(&c->lock);
}

void caught_free(struct caught *c) {
    caught_clear(c);
    pthread_cond_destroy(&c->more);
    pthread_mutex_destroy(&c->lock);
}

const Pilotgate__Phase *caught_phase(struct caught *c, Pilotgate__Phase__Kind kind, size_t nth) {
    const Pilotgate__Phase *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n && !found; i++) {
        const Pilotgate__Record *r = c->items[i];
        if (r->body_case == PILOTGATE__RECORD__BODY_PHASE && r->phase->kind == kind && nth-- == 0)
            found = r->phase;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

size_t caught_phases(struct caught *c, Pilotgate__Phase__Kind kind) {
    size_t n = 0;
    while (caught_phase(c, kind, n))
        n++;
    return n;
}

const Pilotgate__Object *caught_object(struct caught *c, const char *kind, int op, size_t nth) {
    const Pilotgate__Object *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n && !found; i++) {
        const Pilotgate__Record *r = c->items[i];
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, kind) == 0 &&
            (op == 0 || (int)r->object->op == op) && nth-- == 0)
            found = r->object;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

size_t caught_objects(struct caught *c, const char *kind, int op) {
    size_t n = 0;
    while (caught_object(c, kind, op, n))
        n++;
    return n;
}

const Pilotgate__Coverage__Source *caught_source(struct caught *c, const char *name) {
    const Pilotgate__Coverage__Source *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = c->n; i > 0 && !found; i--) {
        const Pilotgate__Record *r = c->items[i - 1];
        if (r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
            continue;
        for (size_t j = 0; j < r->coverage->n_sources && !found; j++)
            if (strcmp(r->coverage->sources[j]->name, name) == 0)
                found = r->coverage->sources[j];
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

const Pilotgate__Loss *caught_loss(struct caught *c, size_t nth) {
    const Pilotgate__Loss *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n && !found; i++)
        if (c->items[i]->body_case == PILOTGATE__RECORD__BODY_LOSS && nth-- == 0)
            found = c->items[i]->loss;
    pthread_mutex_unlock(&c->lock);
    return found;
}

size_t caught_losses(struct caught *c) {
    size_t n = 0;
    while (caught_loss(c, n))
        n++;
    return n;
}

bool caught_wait(struct caught *c, caught_condition *holds, const void *arg) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&c->lock);
    bool ok = holds(c, arg);
    while (!ok && pthread_cond_timedwait(&c->more, &c->lock, &until) == 0)
        ok = holds(c, arg);
    pthread_mutex_unlock(&c->lock);
    return ok;
}
