/* phases: deployment phases, Helm revisions and what could not be read, of one stage. */
#include <errno.h>
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

static void repeat_key(const struct fact_phase *p, char *out, size_t size) {
    if (p->p->origin == PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP || !*p->p->resource_version)
        (void)snprintf(out, size, "%d %s %s %s @%lld", p->kind, p->p->subject, p->p->uid, p->p->reason,
                       (long long)(p->p->origin == PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP ? p->p->t_wall_ns
                                                                                           : p->lo / WHEN_S));
    else
        (void)snprintf(out, size, "%d %s %s %s %s", p->kind, p->p->subject, p->p->uid, p->p->reason,
                       p->p->resource_version);
}

/* Several agents, or one in two lives, may tell of one phase of one object: the earliest telling stays. */
static size_t drop_repeats(struct fact_phase *p, size_t n) {
    size_t kept = 0;
    json_t *seen = json_object();
    for (size_t i = 0; i < n; i++) {
        char key[4 * WIRE_TEXT_MAX];
        repeat_key(&p[i], key, sizeof key);
        if (seen && json_object_get(seen, key))
            continue;
        if (seen)
            (void)json_object_set_new(seen, key, json_true());
        p[kept++] = p[i];
    }
    json_decref(seen);
    return kept;
}

int corr_phases(struct facts *f, struct err *e) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_PHASE || !corr_in_stage(f, r->stream) ||
            r->r->phase->own)
            continue;
        const Pilotgate__Phase *p = r->r->phase;
        struct fact_phase *slot = CORR_PUSH(f->phases, f->n_phases, f->cap_phases);
        if (!slot)
            return err_oom(e);
        slot->kind = (int)p->kind;
        slot->p = p;
        slot->ref = (struct fact_ref){r->stream, r->seq};
        /* The API server's clock is not the agent's: its whole seconds carry no offset of ours. */
        if (p->origin == PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP) {
            slot->lo = p->t_wall_ns;
            slot->hi = p->t_wall_ns + (int64_t)p->precision_ns;
        } else {
            corr_interval(f->ev, r->stream, p->t_wall_ns, (int64_t)p->precision_ns, &slot->lo, &slot->hi);
        }
        f->n_phases++;
    }
    if (f->n_phases)
        qsort(f->phases, f->n_phases, sizeof *f->phases, by_time);
    f->n_phases = drop_repeats(f->phases, f->n_phases);
    return 0;
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
