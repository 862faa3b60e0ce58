/* phases: deployment phases, Helm revisions and what could not be read, of one stage. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

static int by_time(const void *a, const void *b) {
    const struct fact_phase *x = a;
    const struct fact_phase *y = b;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    if (x->ref.stream != y->ref.stream)
        return x->ref.stream < y->ref.stream ? -1 : 1;
    return x->ref.seq < y->ref.seq ? -1 : x->ref.seq > y->ref.seq;
}

/* Timestamps inside objects and Events are of the cluster's clocks, not the agent's: their whole seconds
 * carry no offset of ours. */
static bool is_cluster_time(const Pilotgate__Phase *p) {
    return p->origin == PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP ||
           p->origin == PILOTGATE__ORIGIN__ORIGIN_EVENT;
}

#define CONTAINERS_MAX 256 /* of a pod that are told apart: more than a pod has */

/* How a phase says when: by the cluster's clock, by the state of its object, or by nothing but the moment. */
static int when_kind(const struct fact_phase *p) {
    return is_cluster_time(p->p) ? 0 : *p->p->resource_version ? 1 : 2;
}

static int by_when(const struct fact_phase *x, const struct fact_phase *y) {
    int kind = when_kind(x);
    int64_t a = kind == 2 ? x->lo / WHEN_S : x->p->t_wall_ns;
    int64_t b = kind == 2 ? y->lo / WHEN_S : y->p->t_wall_ns;
    if (kind != when_kind(y))
        return kind - when_kind(y);
    if (kind == 1)
        return strcmp(x->p->resource_version, y->p->resource_version);
    return a < b ? -1 : a > b;
}

/* What makes two tellings one: the same phase of the same object at the same time of the cluster, or in the
 * same state of the object. */
static int by_key(const struct fact_phase *x, const struct fact_phase *y) {
    int c = strcmp(x->p->uid, y->p->uid);
    if (c == 0)
        c = x->kind - y->kind;
    if (c == 0)
        c = strcmp(x->p->subject, y->p->subject);
    if (c == 0)
        c = by_when(x, y);
    return c ? c : strcmp(x->p->reason, y->p->reason);
}

/* Those of one key in the order in which they stand: by time. */
static int by_key_and_place(const void *a, const void *b) {
    const struct fact_phase *x = *(struct fact_phase *const *)a;
    const struct fact_phase *y = *(struct fact_phase *const *)b;
    int c = by_key(x, y);
    return c ? c : x < y ? -1 : x > y;
}

static bool is_surer(const struct fact_phase *a, const struct fact_phase *b) {
    return a->lo == b->lo && a->p->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT &&
           b->p->bound != PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
}

/* Agents before `container` name none: their telling is that of any container of the pod, and of each. */
static bool same_container(const Pilotgate__Phase *a, const Pilotgate__Phase *b) {
    return !*a->container || !*b->container || strcmp(a->container, b->container) == 0;
}

/* Of those of one key, what was told before takes the place of what repeats it; the surest stays: an agent
 * that comes later finds only the last flip of a condition. */
static void keep_one_each(struct fact_phase **group, size_t n, bool *dropped, const struct fact_phase *base) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < kept && !same_container(group[k]->p, group[i]->p))
            k++;
        if (k == kept && k < CONTAINERS_MAX) {
            group[kept++] = group[i];
            continue;
        }
        if (k < kept && is_surer(group[i], group[k]))
            *group[k] = *group[i];
        dropped[group[i] - base] = true;
    }
}

/* Several agents, or one in two lives, may tell of one phase of one object: the earliest telling stays. */
static int drop_repeats(struct fact_phase *p, size_t *n) {
    struct fact_phase **sorted = calloc(*n + 1, sizeof(struct fact_phase *));
    bool *dropped = calloc(*n + 1, sizeof *dropped);
    size_t kept = 0;
    int r = sorted && dropped ? 0 : -ENOMEM;
    for (size_t i = 0; i < *n && r == 0; i++)
        sorted[i] = &p[i];
    if (r == 0)
        qsort(sorted, *n, sizeof(struct fact_phase *), by_key_and_place);
    for (size_t i = 0, j; i < *n && r == 0; i = j) {
        for (j = i + 1; j < *n && by_key(sorted[i], sorted[j]) == 0; j++) {
        }
        keep_one_each(sorted + i, j - i, dropped, p);
    }
    for (size_t i = 0; i < *n && r == 0; i++)
        if (!dropped[i])
            p[kept++] = p[i];
    if (r == 0)
        *n = kept;
    free(sorted);
    free(dropped);
    return r;
}

/* ---- pods of pilotgate's own release: Events of pods do not carry whose they are */

static int note_own(const struct facts *f, json_t *own) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_PHASE && r->r->phase->own && *r->r->phase->uid &&
            corr_in_stage(f, r->stream) && json_object_set_new(own, r->r->phase->uid, json_true()) < 0)
            return -ENOMEM;
    }
    return 0;
}

static bool is_own(const json_t *own, const Pilotgate__Phase *p) {
    return p->own || (p->origin == PILOTGATE__ORIGIN__ORIGIN_EVENT && json_object_get(own, p->uid));
}

static int add_phases(struct facts *f, const json_t *own) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_PHASE || !corr_in_stage(f, r->stream) ||
            is_own(own, r->r->phase))
            continue;
        const Pilotgate__Phase *p = r->r->phase;
        struct fact_phase *slot = CORR_PUSH(f->phases, f->n_phases, f->cap_phases);
        if (!slot)
            return -ENOMEM;
        slot->kind = (int)p->kind;
        slot->p = p;
        slot->ref = (struct fact_ref){r->stream, r->seq};
        slot->lo = p->t_wall_ns;
        slot->hi = p->t_wall_ns + (int64_t)p->precision_ns;
        if (!is_cluster_time(p))
            corr_interval(f->ev, r->stream, p->t_wall_ns, (int64_t)p->precision_ns, &slot->lo, &slot->hi);
        f->n_phases++;
    }
    return 0;
}

int corr_phases(struct facts *f, struct err *e) {
    json_t *own = json_object();
    int r = own ? note_own(f, own) : -ENOMEM;
    if (r == 0)
        r = add_phases(f, own);
    json_decref(own);
    if (r == 0 && f->n_phases) {
        qsort(f->phases, f->n_phases, sizeof *f->phases, by_time);
        r = drop_repeats(f->phases, &f->n_phases);
    }
    return r < 0 ? err_oom(e) : 0;
}

/* ---- revisions */

static struct fact_revision *find_revision(struct facts *f, const char *release, int revision,
                                           int64_t created) {
    for (size_t i = 0; i < f->n_revisions; i++) {
        struct fact_revision *v = &f->revisions[i];
        if (v->revision == revision && strcmp(v->release, release) == 0 && v->created_lo == created)
            return v;
    }
    return NULL;
}

static void fill_revision(struct fact_revision *v, const Pilotgate__Object *o) {
    v->release = js_str(v->normal, "name", "");
    v->revision = (int)js_int(v->normal, "revision", 0);
    v->status = js_str(v->normal, "status", "");
    v->description = js_str(v->normal, "description", "");
    v->chart = js_str(v->normal, "chart.name", "");
    v->chart_version = js_str(v->normal, "chart.version", "");
    v->manifest_digest = js_str(v->normal, "manifest_digest", "");
    v->config_digest = js_str(v->normal, "config_digest", "");
    v->norm = o->norm ? o->norm : 1;
    v->created_lo = o->created_wall_ns;
    v->created_hi = o->created_wall_ns + WHEN_S;
}

static int add_release_object(struct facts *f, const struct fact_state *s, struct err *e) {
    const Pilotgate__Object *o = s->o;
    json_t *normal;
    if (js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &normal, NULL) < 0)
        return 0; /* cut or deleted: tells nothing of the content */
    struct fact_revision now = {.normal = normal};
    fill_revision(&now, o);
    if (f->release && strcmp(now.release, f->release) != 0) {
        json_decref(normal);
        return 0;
    }
    struct fact_revision *v = find_revision(f, now.release, now.revision, now.created_lo);
    if (!v) {
        v = CORR_PUSH(f->revisions, f->n_revisions, f->cap_revisions);
        if (!v) {
            json_decref(normal);
            return err_oom(e);
        }
        f->n_revisions++;
        v->ref = s->ref;
    }
    now.live = v->live || s->came;
    now.ref = v->ref;
    now.deployed_lo = v->deployed_lo;
    now.deployed_hi = v->deployed_hi;
    if (strcmp(now.status, "deployed") == 0 && (now.deployed_hi == 0 || s->hi < now.deployed_hi)) {
        now.deployed_lo = s->news ? s->lo : now.created_lo;
        now.deployed_hi = s->hi;
    }
    json_decref((json_t *)v->normal);
    *v = now;
    return 0;
}

static int by_creation(const void *a, const void *b) {
    const struct fact_revision *x = a;
    const struct fact_revision *y = b;
    if (x->created_lo != y->created_lo)
        return x->created_lo < y->created_lo ? -1 : 1;
    return x->revision < y->revision ? -1 : x->revision > y->revision;
}

/* In the order of its states: what is told of a revision last is what became of it. */
int corr_revisions(struct facts *f, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < f->n_states && rc == 0; i++)
        if (strcmp(f->states[i].o->kind, "HelmRelease") == 0 && *f->states[i].o->normal)
            rc = add_release_object(f, &f->states[i], e);
    if (f->n_revisions)
        qsort(f->revisions, f->n_revisions, sizeof *f->revisions, by_creation);
    return rc;
}
