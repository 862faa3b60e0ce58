/* facts: the order of the steps, snapshots and small questions about facts; see facts.h. */
#include "correlate/corr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

int corr_in_stage(const struct facts *f, size_t stream) {
    const struct ev_stream *s = &f->ev->streams[stream];
    size_t n = strlen(s->cluster);
    return strncmp(f->stage, s->cluster, n) == 0 && f->stage[n] == '/' &&
           strcmp(f->stage + n + 1, s->namespace_name) == 0;
}

bool facts_has_stream(const struct facts *f, size_t stream) {
    return corr_in_stage(f, stream) != 0;
}

char *facts_ref(const struct evidence *ev, struct fact_ref ref, char *out) {
    const struct ev_stream *s = &ev->streams[ref.stream];
    return wire_ref(s->cluster, s->namespace_name, s->node, s->boot, ref.seq, out);
}

const char *fact_reading_name(enum fact_reading r) {
    static const char *const names[] = {"completed",  "interrupted",  "dropped",
                                        "unresolved", "unattributed", "excluded"};
    return names[r];
}

/* Of several nodes with a doubt the first is named. */
static void take_stream(struct facts *f, const struct ev_stream *s) {
    f->n_streams++;
    f->conflicts += s->conflicts;
    if (s->conflicts && !f->conflict_node)
        f->conflict_node = s->node;
    if (s->doubts & 1u << EV_DOUBT_TWO_AGENTS && !f->twin_node)
        f->twin_node = s->node;
    if (s->doubts & 1u << EV_DOUBT_TWO_STAGES && !f->clone_node)
        f->clone_node = s->node;
}

static void read_stage(struct facts *f, const struct rubric *rubric, const json_t *stage) {
    (void)snprintf(f->stage, sizeof f->stage, "%s", js_str(stage, "stage", ""));
    f->gateway = js_str(stage, "gateway", NULL);
    f->release = js_str(stage, "release", NULL);
    f->expected_agents = (unsigned)js_int(stage, "agents", 1);
    f->longest_call_ns = rubric->rules.longest_call_ns;
    f->keep_alive_ns = rubric->rules.keep_alive_ns;
    for (size_t i = 0; i < f->ev->n_streams; i++) {
        if (!corr_in_stage(f, i))
            continue;
        take_stream(f, &f->ev->streams[i]);
    }
}

int facts_build(const struct evidence *ev, const struct rubric *rubric, const json_t *stage,
                struct facts *ret, struct err *e) {
    struct facts f = {.ev = ev};
    read_stage(&f, rubric, stage);
    int r = corr_phases(&f, e);
    if (r == 0)
        r = corr_lives(&f, e);
    if (r == 0)
        r = corr_states(&f, e);
    corr_set_lives(&f);
    if (r == 0)
        r = corr_revisions(&f, e);
    if (r == 0)
        r = corr_signs(&f, rubric, e);
    if (r == 0)
        r = corr_pods(&f, rubric, e);
    if (r == 0)
        r = corr_changes(&f, rubric, e);
    if (r < 0) {
        facts_free(&f);
        return r;
    }
    *ret = f;
    return 0;
}

void facts_free(struct facts *f) {
    if (!f)
        return;
    for (size_t i = 0; i < f->n_revisions; i++)
        json_decref((json_t *)f->revisions[i].normal);
    for (size_t i = 0; i < f->n_changes; i++) {
        struct fact_change *c = &f->changes[i];
        free(c->signs);
        free(c->added);
        free(c->removed);
        free(c->passing);
        free(c->switches);
        free(c->lost);
        free(c->unwitnessed);
    }
    json_decref(f->texts);
    free(f->phases);
    free(f->lives);
    free(f->states);
    free(f->noise);
    free(f->revisions);
    free(f->signs);
    free(f->changes);
    free(f->unreadable);
    free(f->pods);
    free(f->scales);
    free(f->missing);
    *f = (struct facts){0};
}

int64_t corr_state_time(const struct corr *c, int64_t t) {
    int64_t end = js_int(c->ev.pilot, "end_ns", 0);
    return end > 0 && end < t ? end : t;
}

void corr_free(struct corr *c) {
    if (!c)
        return;
    for (size_t i = 0; i < c->n_stages; i++)
        facts_free(&c->stages[i]);
    free(c->stages);
    rubric_free(&c->rubric);
    ev_free(&c->ev);
    *c = (struct corr){0};
}

int corr_tells_state(const Pilotgate__Object *o) {
    return o->op == PILOTGATE__OBJECT__OP__OP_LISTED || o->op == PILOTGATE__OBJECT__OP__OP_ADDED ||
           o->op == PILOTGATE__OBJECT__OP__OP_MODIFIED || o->op == PILOTGATE__OBJECT__OP__OP_DELETED;
}

int facts_states_at(const struct facts *f, int64_t t, facts_state_fn *fn, void *ctx, struct err *e) {
    const struct fact_state **last = calloc(f->n_objects + 1, sizeof *last);
    if (!last)
        return err_oom(e);
    size_t life = facts_life_at(f, t);
    for (size_t i = 0; i < f->n_states && f->states[i].hi <= t; i++)
        last[f->states[i].object] = &f->states[i];
    int r = 0;
    for (size_t i = 0; i < f->n_objects && r == 0; i++)
        if (last[i] && last[i]->life == life && !corr_is_product(last[i]->o) &&
            last[i]->o->op != PILOTGATE__OBJECT__OP__OP_DELETED)
            r = fn(ctx, last[i]);
    free(last);
    return r;
}

struct telling_objects {
    facts_object_fn *fn;
    void *ctx;
};

static int tell_object(void *ctx, const struct fact_state *s) {
    struct telling_objects *t = ctx;
    return t->fn(t->ctx, s->o, s->ref);
}

int facts_snapshot(const struct facts *f, int64_t t, facts_object_fn *fn, void *ctx, struct err *e) {
    return facts_states_at(f, t, tell_object, &(struct telling_objects){fn, ctx}, e);
}
