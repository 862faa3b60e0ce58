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

/* ---- two namespaces at a time */

#define NO_LIFE SIZE_MAX
#define SOME_LIVES (SIZE_MAX - 1) /* an agent outside of it saw one go and another come */
/* Agents end with their namespace; what one wrote down meanwhile may have the time of a clock that is off. */
#define TWIN_NS (60 * WHEN_S)

static size_t life_of_uid(const struct facts *f, const char *uid) {
    size_t i = 0;
    while (i < f->n_lives && strcmp(f->lives[i].uid, uid) != 0)
        i++;
    return i;
}

/* Which life each stream told of. */
static void find_tellers(const struct facts *f, size_t *of) {
    for (size_t i = 0; i < f->ev->n_streams; i++)
        of[i] = NO_LIFE;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        struct fact_life l;
        if (!namespace_of(f, r, &l))
            continue;
        size_t life = life_of_uid(f, l.uid);
        of[r->stream] = of[r->stream] == NO_LIFE || of[r->stream] == life ? life : SOME_LIVES;
    }
}

static void hear(struct facts *f, const size_t *of) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (of[r->stream] >= f->n_lives)
            continue;
        struct fact_life *l = &f->lives[of[r->stream]];
        int64_t lo;
        int64_t hi;
        corr_interval(f->ev, r->stream, r->r->wall_ns, 0, &lo, &hi);
        l->heard_lo = l->heard_hi == 0 || lo < l->heard_lo ? lo : l->heard_lo;
        l->heard_hi = hi > l->heard_hi ? hi : l->heard_hi;
    }
}

/* A namespace that was made again has the agents of the old one gone. Two whose agents tell at the same time
 * are on two clusters: the same name was given twice. */
static int find_twins(struct facts *f, struct err *e) {
    size_t *of = f->n_lives > 1 ? calloc(f->ev->n_streams + 1, sizeof *of) : NULL;
    if (f->n_lives > 1 && !of)
        return err_oom(e);
    if (of) {
        find_tellers(f, of);
        hear(f, of);
    }
    for (size_t i = 0; i < f->n_lives; i++)
        for (size_t k = i + 1; k < f->n_lives; k++) {
            const struct fact_life *a = &f->lives[i];
            const struct fact_life *b = &f->lives[k];
            if (!f->twins[0] && a->heard_hi && b->heard_hi && a->heard_hi > b->heard_lo + TWIN_NS &&
                b->heard_hi > a->heard_lo + TWIN_NS) {
                f->twins[0] = a;
                f->twins[1] = b;
            }
        }
    free(of);
    return 0;
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
    return find_twins(f, e);
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
