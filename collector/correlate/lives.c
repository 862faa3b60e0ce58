/* lives: a namespace that was deleted and made again is a new stage under an old name. Its lives are told
 * apart by the namespace's uid, which no other namespace of any cluster ever has; what happened belongs to
 * the life that the namespace had then. The last one is judged, the others are its past. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/correlate_priv.h"

/* Whoever tells of a namespace says when it was made, by the API server's clock. */
static bool namespace_of(const struct facts *f, const struct ev_record *r, struct fact_life *ret) {
    *ret = (struct fact_life){.to = INT64_MAX, .ref = {r->stream, r->seq}};
    if (!corr_in_stage(f, r->stream))
        return false;
    if (r->r->body_case == PILOTGATE__RECORD__BODY_PHASE &&
        r->r->phase->kind == PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED &&
        r->r->phase->origin == PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP) {
        ret->uid = r->r->phase->uid;
        ret->from = r->r->phase->t_wall_ns;
    } else if (r->r->body_case == PILOTGATE__RECORD__BODY_OBJECT &&
               strcmp(r->r->object->kind, "Namespace") == 0) {
        ret->uid = r->r->object->uid;
        ret->from = r->r->object->created_wall_ns;
    }
    return ret->uid && *ret->uid && ret->from > 0;
}

static int take(struct facts *f, const struct fact_life *l) {
    for (size_t i = 0; i < f->n_lives; i++)
        if (strcmp(f->lives[i].uid, l->uid) == 0)
            return 0;
    struct fact_life *slot = CORR_PUSH(f->lives, f->n_lives, f->cap_lives);
    if (!slot)
        return -ENOMEM;
    *slot = *l;
    f->n_lives++;
    return 0;
}

static int by_birth(const void *a, const void *b) {
    const struct fact_life *x = a;
    const struct fact_life *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return strcmp(x->uid, y->uid);
}

int corr_lives(struct facts *f, struct err *e) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        struct fact_life l;
        if (namespace_of(f, &f->ev->records.items[i], &l) && take(f, &l) < 0)
            return err_oom(e);
    }
    if (f->n_lives)
        qsort(f->lives, f->n_lives, sizeof *f->lives, by_birth);
    for (size_t i = 1; i < f->n_lives; i++)
        f->lives[i - 1].to = f->lives[i].from;
    return 0;
}

size_t facts_life_at(const struct facts *f, int64_t t) {
    size_t at = 0;
    while (at + 1 < f->n_lives && f->lives[at + 1].from <= t)
        at++;
    return at;
}

/* A custom resource, as those of Flux and Argo CD, may live in another namespace, and longer. */
static bool is_of_namespace(const Pilotgate__Object *o) {
    return !strchr(o->kind, '.') && strcmp(o->kind, "GitOps") != 0;
}

/* Where the object says when it was made, the API server's clock made both times. */
void corr_set_lives(struct facts *f) {
    for (size_t i = 0; i < f->n_states; i++) {
        const struct fact_state *s = &f->states[i];
        int64_t created = is_of_namespace(s->o) ? s->o->created_wall_ns : 0;
        f->states[i].life = facts_life_at(f, created ? created : s->hi);
    }
}
