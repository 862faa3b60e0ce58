/* told: see told.h. */
#include "told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"

int64_t told_ns(double t) {
    return SCENARIO_T0 * WHEN_S + (int64_t)(t * 1e9);
}

static void add(struct scenario *s, size_t agent, Pilotgate__Record *r, double t) {
    r->wall_ns = told_ns(t);
    r->mono_ns = (uint64_t)(t * 1e9) + 1000000000000ULL;
    r->seq = ++s->seq[agent];
    assert_int_equal(ev_add(&s->c.ev, &s->c.ev.records, agent, r->seq, r), 0);
}

static Pilotgate__Record *record(void) {
    Pilotgate__Record *r = malloc(sizeof *r);
    assert_non_null(r);
    pilotgate__record__init(r);
    return r;
}

void told_add(struct scenario *s, const struct tell *x) {
    char normal[256];
    Pilotgate__Record *r = record();
    Pilotgate__Object *o = r->object = malloc(sizeof *o);
    r->body_case = PILOTGATE__RECORD__BODY_OBJECT;
    pilotgate__object__init(o);
    (void)snprintf(normal, sizeof normal, "{\"data\":{\"is\":\"%s\"}}", x->digest);
    o->op = (Pilotgate__Object__Op)x->op;
    o->kind = strdup(x->kind);
    o->name = strdup(x->name);
    o->uid = strdup(x->uid);
    o->resource_version = strdup(x->version);
    o->digest = strdup(x->op == DELETED ? "" : x->digest);
    o->normal = strdup(x->op == DELETED ? "" : x->normal ? x->normal : normal);
    o->release = strdup("");
    o->t_wall_ns = told_ns(x->t);
    o->previous_wall_ns = x->previous > 0 ? told_ns(x->previous) : 0;
    o->created_wall_ns = x->created > 0 ? told_ns(x->created) / WHEN_S * WHEN_S : 0;
    o->origin = x->op == LISTED || x->list ? PILOTGATE__ORIGIN__ORIGIN_LIST : PILOTGATE__ORIGIN__ORIGIN_WATCH;
    add(s, x->agent, r, x->t);
}

void told_namespace(struct scenario *s, size_t agent, double t, const char *uid, double created) {
    Pilotgate__Record *r = record();
    Pilotgate__Phase *p = r->phase = malloc(sizeof *p);
    r->body_case = PILOTGATE__RECORD__BODY_PHASE;
    pilotgate__phase__init(p);
    p->kind = PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED;
    p->subject = strdup("Namespace/shop");
    p->uid = strdup(uid);
    p->t_wall_ns = told_ns(created) / WHEN_S * WHEN_S;
    p->precision_ns = WHEN_S;
    p->bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
    p->origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    add(s, agent, r, t);
}

const struct facts *told_facts(struct scenario *s) {
    struct err e;
    ev_sort(&s->c.ev.records);
    s->c.stages = calloc(1, sizeof *s->c.stages);
    s->c.n_stages = 1;
    assert_int_equal(facts_build(&s->c.ev, &s->c.rubric, s->stage, &s->c.stages[0], &e), 0);
    return &s->c.stages[0];
}

static char text[65536];

const char *told_signs(const struct facts *f) {
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < f->n_signs; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s/%s %s>%s", i ? "; " : "",
                              f->signs[i].object_kind, f->signs[i].name, f->signs[i].old_digest,
                              f->signs[i].new_digest);
    return text;
}

static int write_object(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    size_t *n = ctx;
    (void)ref;
    *n += (size_t)snprintf(text + *n, sizeof text - *n, "%s%s/%s=%s", *n ? "; " : "", o->kind, o->name,
                           o->digest);
    return 0;
}

const char *told_snapshot(const struct facts *f, double t) {
    size_t n = 0;
    struct err e;
    text[0] = 0;
    assert_int_equal(facts_snapshot(f, told_ns(t), write_object, &n, &e), 0);
    return text;
}
