/* pods: the life of each pod of the gateway, and how many its workload asked for. Agents tell of the pods of
 * their own node, each agent lifetime anew of those that it finds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

struct teller {        /* what one stream told */
    int64_t first_pod; /* when it began to tell of pods; 0: never */
    int64_t last;      /* its last record of those that are loaded for the whole pilot */
};

struct hearing { /* of one pod: who told of it last, and when */
    size_t stream;
    int64_t at;
};

struct gathering {
    struct facts *f;
    int64_t lag;   /* by which a watch may be late */
    json_t *index; /* "subject uid" -> position in f->pods and in heard */
    struct hearing *heard;
    size_t cap_heard;
    struct teller *tellers; /* one a stream */
};

static const Pilotgate__Phase *pod_phase(const struct facts *f, const struct ev_record *r) {
    if (r->r->body_case != PILOTGATE__RECORD__BODY_PHASE || !corr_in_stage(f, r->stream))
        return NULL;
    const Pilotgate__Phase *p = r->r->phase;
    return !p->own && strncmp(p->subject, "Pod/", 4) == 0 ? p : NULL;
}

/* Told by the agent of the pod's own node: Events, and pods that no node has yet (created, not schedulable),
 * are told by whoever does the stage's work. */
static bool is_of_its_node(const Pilotgate__Phase *p) {
    return p->origin != PILOTGATE__ORIGIN__ORIGIN_EVENT &&
           p->kind != PILOTGATE__PHASE__KIND__KIND_POD_CREATED &&
           p->kind != PILOTGATE__PHASE__KIND__KIND_POD_UNSCHEDULABLE;
}

static int same_node(const struct facts *f, size_t a, size_t b) {
    return strcmp(f->ev->streams[a].node, f->ev->streams[b].node) == 0;
}

static void hear_tellers(struct gathering *g) {
    for (size_t i = 0; i < g->f->ev->records.n; i++) {
        const struct ev_record *r = &g->f->ev->records.items[i];
        struct teller *t = &g->tellers[r->stream];
        int64_t lo;
        int64_t hi;
        corr_interval(g->f->ev, r->stream, r->r->wall_ns, 0, &lo, &hi);
        t->last = hi > t->last ? hi : t->last;
        const Pilotgate__Phase *p = pod_phase(g->f, r);
        if (p && is_of_its_node(p) && (t->first_pod == 0 || hi < t->first_pod))
            t->first_pod = hi;
    }
}

/* The pod's position, or -ENOMEM. */
static long pod_at(struct gathering *g, const Pilotgate__Phase *p) {
    struct facts *f = g->f;
    char key[2 * WIRE_TEXT_MAX + 2];
    (void)snprintf(key, sizeof key, "%s %s", p->subject, p->uid);
    json_t *at = json_object_get(g->index, key);
    if (at)
        return (long)json_integer_value(at);
    size_t n = f->n_pods;
    struct fact_pod *pod = CORR_PUSH(f->pods, n, f->cap_pods);
    struct hearing *heard = CORR_PUSH(g->heard, n, g->cap_heard);
    if (!pod || !heard || json_object_set_new(g->index, key, json_integer((json_int_t)n)) < 0)
        return -ENOMEM;
    *pod = (struct fact_pod){.subject = p->subject, .uid = p->uid};
    f->n_pods++;
    return (long)n;
}

/* Found in a list as one that is ending: it was told since its node was last heard of by another stream. */
static int64_t told_since(const struct gathering *g, size_t stream, int64_t hi) {
    int64_t since = 0;
    for (size_t s = 0; s < g->f->ev->n_streams; s++)
        if (s != stream && corr_in_stage(g->f, s) && same_node(g->f, s, stream) && g->tellers[s].last < hi &&
            g->tellers[s].last > since)
            since = g->tellers[s].last;
    return since ? since : hi - g->lag;
}

static void take_end(const struct gathering *g, struct fact_pod *pod, const Pilotgate__Phase *p,
                     size_t stream, int64_t lo, int64_t hi) {
    if (p->kind == PILOTGATE__PHASE__KIND__KIND_POD_GONE && (pod->gone_hi == 0 || hi < pod->gone_hi))
        pod->gone_hi = hi;
    if (p->kind != PILOTGATE__PHASE__KIND__KIND_POD_DELETING || (pod->told_hi && pod->told_hi <= hi))
        return;
    pod->told_hi = hi;
    pod->told_lo = lo;
    if (p->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST)
        pod->told_lo = p->origin == PILOTGATE__ORIGIN__ORIGIN_LIST ? told_since(g, stream, hi) : lo - g->lag;
}

static int take_phase(struct gathering *g, const struct ev_record *r) {
    const Pilotgate__Phase *p = pod_phase(g->f, r);
    if (!p || strcmp(p->owner, g->f->gateway) != 0)
        return 0;
    long i = pod_at(g, p);
    if (i < 0)
        return -ENOMEM;
    struct fact_pod *pod = &g->f->pods[i];
    int64_t lo;
    int64_t hi;
    corr_interval(g->f->ev, r->stream, r->r->wall_ns, 0, &lo, &hi);
    if (is_of_its_node(p) && hi > g->heard[i].at)
        g->heard[i] = (struct hearing){r->stream, hi};
    corr_interval(g->f->ev, r->stream, p->t_wall_ns, (int64_t)p->precision_ns, &lo, &hi);
    if (p->kind == PILOTGATE__PHASE__KIND__KIND_POD_CREATED) {
        int api = p->origin == PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP; /* the API server's own clock */
        pod->created_lo = api ? p->t_wall_ns : lo;
        pod->created_hi = api ? p->t_wall_ns + (int64_t)p->precision_ns : hi;
    }
    take_end(g, pod, p, r->stream, lo, hi);
    return 0;
}

/* Its node's agent came back, told of the pods it found, and this one was not among them. */
static void end_unseen(const struct gathering *g, size_t i) {
    struct fact_pod *pod = &g->f->pods[i];
    int64_t missed = 0;
    if (g->heard[i].at == 0) /* no agent of its node told of it */
        return;
    for (size_t s = 0; s < g->f->ev->n_streams; s++) {
        int64_t first = g->tellers[s].first_pod;
        if (corr_in_stage(g->f, s) && same_node(g->f, s, g->heard[i].stream) && first > g->heard[i].at &&
            (missed == 0 || first < missed))
            missed = first;
    }
    if (missed && pod->gone_hi == 0)
        pod->gone_hi = missed;
    if (pod->gone_hi == 0 || pod->told_hi)
        return;
    int64_t last = g->tellers[g->heard[i].stream].last;
    pod->told_hi = pod->gone_hi;
    pod->told_lo = missed && last < missed ? last : pod->gone_hi - g->lag;
}

static int by_creation(const void *a, const void *b) {
    const struct fact_pod *x = a;
    const struct fact_pod *y = b;
    if (x->created_lo != y->created_lo)
        return x->created_lo < y->created_lo ? -1 : 1;
    int c = strcmp(x->subject, y->subject);
    return c ? c : strcmp(x->uid, y->uid);
}

static int gather(struct gathering *g) {
    struct facts *f = g->f;
    hear_tellers(g);
    for (size_t i = 0; i < f->ev->records.n; i++)
        if (take_phase(g, &f->ev->records.items[i]) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < f->n_pods; i++)
        end_unseen(g, i);
    if (f->n_pods)
        qsort(f->pods, f->n_pods, sizeof *f->pods, by_creation);
    return 0;
}

/* ---- replicas asked for */

static int64_t replicas_of(const Pilotgate__Object *o) {
    json_t *doc;
    if (o->op == PILOTGATE__OBJECT__OP__OP_DELETED ||
        js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return 0;
    int64_t n = js_int(doc, "spec.replicas", 0); /* the API server always fills it in */
    json_decref(doc);
    return n;
}

static int is_gateway(const struct facts *f, const Pilotgate__Object *o) {
    size_t n = strlen(o->kind);
    return strncmp(f->gateway, o->kind, n) == 0 && f->gateway[n] == '/' &&
           strcmp(f->gateway + n + 1, o->name) == 0;
}

static int gather_scales(struct facts *f) {
    for (size_t i = 0; i < f->n_states; i++) {
        const struct fact_state *s = &f->states[i];
        if (!is_gateway(f, s->o))
            continue;
        struct fact_scale *slot = CORR_PUSH(f->scales, f->n_scales, f->cap_scales);
        if (!slot)
            return -ENOMEM;
        *slot = (struct fact_scale){.at = s->hi, .o = s->o, .ref = s->ref, .replicas = replicas_of(s->o)};
        f->n_scales++;
    }
    return 0;
}

int corr_pods(struct facts *f, const struct rubric *rubric, struct err *e) {
    if (!f->gateway)
        return 0;
    struct gathering g = {.f = f,
                          .lag = rubric->rules.watch_lag_ns,
                          .index = json_object(),
                          .tellers = calloc(f->ev->n_streams + 1, sizeof *g.tellers)};
    int r = g.index && g.tellers ? gather(&g) : -ENOMEM;
    if (r == 0)
        r = gather_scales(f);
    json_decref(g.index);
    free(g.heard);
    free(g.tellers);
    return r < 0 ? err_oom(e) : 0;
}

bool facts_path_lives(const struct facts *f, const char *path, int64_t t) {
    for (size_t i = 0; i < f->n_pods; i++)
        if (strcmp(f->pods[i].subject, path) == 0 && f->pods[i].created_lo <= t &&
            (f->pods[i].told_hi == 0 || f->pods[i].told_lo > t))
            return true;
    return false;
}
