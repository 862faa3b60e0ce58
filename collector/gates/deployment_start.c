/* deployment_start: when the clock of a stage starts. The earliest sign counts: the namespace's creation, the
 * first object or revision of the release, also of earlier attempts. Only a mark named "t0" that says who set
 * it makes it later. A namespace that was deleted and made again is a new stage: its own creation is the
 * earliest that can count. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/deployment_priv.h"

/* ---- the earliest sign */

static void sign(struct deployment *d, const struct moment *m, const char *what) {
    if (!m->hi || (d->t0.hi && m->lo >= d->t0.lo))
        return;
    d->t0 = *m;
    d->t0_sign = what;
}

/* Its oldest object may be older than all revisions that Helm still keeps. */
static struct moment first_object(const struct deployment *d) {
    struct moment m = {0};
    for (size_t i = 0; i < d->f->ev->records.n; i++) {
        const struct ev_record *r = &d->f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT || !facts_has_stream(d->f, r->stream))
            continue;
        const Pilotgate__Object *o = r->r->object;
        int64_t made = o->created_wall_ns;
        if (o->own || made <= 0 || made < d->since || !*o->release ||
            (d->f->release && strcmp(o->release, d->f->release) != 0))
            continue;
        moment_earlier(&m, made, made + WHEN_S, (struct fact_ref){r->stream, r->seq},
                       PILOTGATE__TIME_BOUND__TIME_BOUND_AT);
    }
    return m;
}

/* Each revision says when the release was first installed, by the clock of whoever ran Helm: for a history of
 * which the beginning is gone. */
static struct moment first_deployed(const struct deployment *d) {
    struct moment m = {0};
    bool whole = false;
    for (size_t i = 0; i < d->f->n_revisions; i++) {
        const struct fact_revision *v = &d->f->revisions[i];
        int64_t t;
        if (!deployment_has_revision(d, v))
            continue;
        whole = whole || v->revision == 1;
        if (when_parse(js_str(v->normal, "first_deployed", ""), &t) == 0 && t > 0 && t >= d->since)
            moment_earlier(&m, t, t + WHEN_S, v->ref, PILOTGATE__TIME_BOUND__TIME_BOUND_AT);
    }
    return whole ? (struct moment){0} : m;
}

/* ---- marks */

static bool is_t0_mark(const struct deployment *d, const json_t *m) {
    return strcmp(js_str(m, "stage", ""), d->f->stage) == 0 && strcmp(js_str(m, "what", ""), "t0") == 0;
}

/* The one that was said last; one that nobody signs has no effect. */
static const json_t *newest_mark(const struct deployment *d) {
    const json_t *found = NULL;
    size_t i;
    json_t *m;
    json_array_foreach(d->f->ev->marks, i, m) {
        if (is_t0_mark(d, m) && *js_str(m, "by", "") &&
            (!found || js_int(m, "said_ns", 0) >= js_int(found, "said_ns", 0)))
            found = m;
    }
    return found;
}

json_t *deployment_marks(const struct deployment *d) {
    json_t *list = json_array();
    size_t i;
    json_t *m;
    json_array_foreach(d->f->ev->marks, i, m) {
        if (!is_t0_mark(d, m))
            continue;
        json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "at", js_str(m, "at", ""), "by", js_str(m, "by", ""),
                              "note", js_str(m, "note", ""), "used", m == d->mark);
        if (o && js_int(m, "said_ns", 0))
            gate_set_time(o, "said", js_int(m, "said_ns", 0));
        (void)json_array_append_new(list, o);
    }
    return list;
}

/* ---- who watched */

/* Since the namespace was made: whoever watched an earlier one of its name saw nothing of it. */
static int64_t witnessed_from(const struct facts *f, int64_t since) {
    int64_t from = INT64_MAX;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        int64_t error;
        int64_t t = facts_clock(f->ev, r->stream, r->r->wall_ns, &error);
        if (t >= since && t < from && facts_has_stream(f, r->stream))
            from = t;
    }
    return from;
}

/* Found deployed by the first who looked: it may have answered calls before. */
static bool was_adopted(const struct deployment *d) {
    for (size_t i = 0; i < d->f->n_revisions; i++) {
        const struct fact_revision *v = &d->f->revisions[i];
        if (deployment_has_revision(d, v) && !v->live && v->created_lo < d->watched_from &&
            (v->deployed_hi || strcmp(v->status, "superseded") == 0))
            return true;
    }
    return false;
}

void deployment_start(struct deployment *d) {
    if (d->f->n_lives)
        d->life = &d->f->lives[d->f->n_lives - 1];
    d->since = d->f->n_lives > 1 ? d->life->from : INT64_MIN;
    struct moment m = deployment_first(d, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED);
    d->namespace_known = m.hi != 0;
    sign(d, &m, "the namespace was created");
    m = deployment_created(d);
    sign(d, &m, "the first revision of the release was created");
    m = first_object(d);
    sign(d, &m, "the first object of the release was created");
    m = first_deployed(d);
    sign(d, &m, "the release was first installed, as Helm says");
    const json_t *mark = newest_mark(d);
    int64_t at = js_int(mark, "t_ns", 0);
    if (mark && at > d->t0.lo) {
        d->t0 = (struct moment){at, at, {0}, PILOTGATE__TIME_BOUND__TIME_BOUND_AT};
        d->t0_sign = "a mark";
        d->mark = mark;
        d->namespace_known = true;
    }
    d->watched_from = witnessed_from(d->f, d->since);
    d->adopted = was_adopted(d);
}
