/* deployment: from the earliest sign of the stage to the first successful tool call through the gateway.
 *
 * t0 is the namespace's creation or the first release object, whichever is earlier; only a mark named "t0"
 * that says who set it makes it later, and then it is displayed. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

struct moment {
    int64_t lo, hi; /* hi 0: did not happen */
    struct fact_ref ref;
    int bound; /* Pilotgate__TimeBound */
};

static void earlier(struct moment *m, int64_t lo, int64_t hi, struct fact_ref ref, int bound) {
    if (m->hi == 0 || lo < m->lo)
        *m = (struct moment){lo, hi, ref, bound};
}

static void later(struct moment *m, const struct fact_phase *p) {
    if (m->hi == 0 || p->hi > m->hi)
        *m = (struct moment){p->lo, p->hi, p->ref, (int)p->p->bound};
}

static struct moment first_phase(const struct facts *f, int kind, const char *reason) {
    struct moment m = {0};
    for (size_t i = 0; i < f->n_phases; i++)
        if (f->phases[i].kind == kind && (!reason || strcmp(f->phases[i].p->reason, reason) == 0))
            earlier(&m, f->phases[i].lo, f->phases[i].hi, f->phases[i].ref, (int)f->phases[i].p->bound);
    return m;
}

/* The first call to succeed once the clock ran; one before a mark belongs to an earlier attempt. */
static struct moment first_call(const struct facts *f, const struct moment *t0, int *ret_earlier) {
    struct moment m = {0};
    *ret_earlier = 0;
    for (size_t i = 0; i < f->n_phases; i++) {
        const struct fact_phase *p = &f->phases[i];
        if (p->kind != PILOTGATE__PHASE__KIND__KIND_FIRST_CALL || strcmp(p->p->reason, "custom-server") != 0)
            continue;
        if (p->hi <= t0->lo)
            *ret_earlier = 1;
        else
            earlier(&m, p->lo, p->hi, p->ref, (int)p->p->bound);
    }
    return m;
}

/* When the first agent of the stage began to tell; INT64_MAX: none did. */
static int64_t witnessed_from(const struct facts *f) {
    int64_t from = INT64_MAX;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        int64_t error;
        int64_t t = facts_clock(f->ev, r->stream, r->r->wall_ns, &error);
        if (t < from && facts_has_stream(f, r->stream))
            from = t;
    }
    return from;
}

/* The last time that this happened to a pod before the moment `until`: "all pods scheduled". */
static struct moment last_phase_before(const struct facts *f, int kind, const struct moment *until) {
    struct moment m = {0};
    for (size_t i = 0; i < f->n_phases; i++)
        if (f->phases[i].kind == kind && f->phases[i].lo <= until->hi)
            later(&m, &f->phases[i]);
    return m;
}

static struct moment release_created(const struct facts *f) {
    struct moment m = {0};
    for (size_t i = 0; i < f->n_revisions; i++)
        earlier(&m, f->revisions[i].created_lo, f->revisions[i].created_hi, f->revisions[i].ref,
                PILOTGATE__TIME_BOUND__TIME_BOUND_AT);
    return m;
}

static struct moment release_deployed(const struct facts *f) {
    struct moment m = {0};
    for (size_t i = 0; i < f->n_revisions; i++)
        if (f->revisions[i].deployed_hi)
            earlier(&m, f->revisions[i].deployed_lo, f->revisions[i].deployed_hi, f->revisions[i].ref,
                    f->revisions[i].live ? PILOTGATE__TIME_BOUND__TIME_BOUND_AT
                                         : PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    return m;
}

static const json_t *t0_mark(const struct facts *f) {
    const json_t *found = NULL;
    size_t i;
    json_t *m;
    json_array_foreach(f->ev->marks, i, m) { /* the one that was said last */
        if (strcmp(js_str(m, "stage", ""), f->stage) == 0 && strcmp(js_str(m, "what", ""), "t0") == 0 &&
            *js_str(m, "by", ""))
            if (!found || js_int(m, "said_ns", 0) >= js_int(found, "said_ns", 0))
                found = m;
    }
    return found;
}

static void add_step(json_t *steps, json_t *stage, const struct facts *f, const char *what,
                     const struct moment *m, int64_t t0) {
    json_t *o = json_pack("{s:s, s:b}", "phase", what, "seen", m->hi != 0);
    if (!o)
        return;
    if (m->hi) {
        char ref[WIRE_REF_MAX];
        gate_set_time(o, "at", m->lo);
        gate_set_seconds(o, "since_t0_s", m->lo - t0);
        gate_set_seconds(o, "precision_s", m->hi - m->lo);
        (void)json_object_set_new(
            o, "bound",
            json_string(m->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST    ? "at most"
                        : m->bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST ? "at least"
                                                                                 : "at"));
        if (m->ref.seq)
            (void)json_object_set_new(o, "evidence", json_string(facts_ref(f->ev, m->ref, ref)));
        gate_cite(stage, f, m->ref);
    }
    (void)json_array_append_new(steps, o);
}

static json_t *steps_json(const struct facts *f, json_t *stage, const struct moment *t0,
                          const struct moment *call) {
    static const struct {
        int kind;
        const char *what;
    } pods[] = {{PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED, "pods scheduled"},
                {PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, "images present"},
                {PILOTGATE__PHASE__KIND__KIND_CONTAINER_STARTED, "containers started"},
                {PILOTGATE__PHASE__KIND__KIND_POD_READY, "pods ready"}};
    json_t *steps = json_array();
    struct moment m = first_phase(f, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, NULL);
    add_step(steps, stage, f, "namespace created", &m, t0->lo);
    m = release_created(f);
    add_step(steps, stage, f, "release created", &m, t0->lo);
    struct moment end = *call;
    if (!end.hi)
        end.hi = INT64_MAX;
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        m = last_phase_before(f, pods[i].kind, &end);
        add_step(steps, stage, f, pods[i].what, &m, t0->lo);
    }
    m = release_deployed(f);
    add_step(steps, stage, f, "release deployed", &m, t0->lo);
    m = first_phase(f, PILOTGATE__PHASE__KIND__KIND_FIRST_TOOL_LISTED, NULL);
    add_step(steps, stage, f, "first tool listed", &m, t0->lo);
    add_step(steps, stage, f, "first successful call to the custom server, through the gateway", call,
             t0->lo);
    return steps;
}

/* Installs before the one that is judged: uninstalling does not reset the clock. */
static json_t *attempts_json(const struct facts *f) {
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_revisions; i++) {
        const struct fact_revision *v = &f->revisions[i];
        if (v->revision != 1)
            continue;
        json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "release", v->release, "chart", v->chart, "version",
                              v->chart_version, "status", v->status);
        if (!o)
            continue;
        gate_set_time(o, "created", v->created_lo);
        (void)json_array_append_new(list, o);
    }
    return list;
}

static struct moment find_t0(const struct facts *f, json_t *o, int *ret_namespace_known) {
    struct moment t0 = first_phase(f, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, NULL);
    *ret_namespace_known = t0.hi != 0;
    struct moment release = release_created(f);
    if (release.hi)
        earlier(&t0, release.lo, release.hi, release.ref, release.bound);
    const json_t *mark = t0_mark(f);
    int64_t at = js_int(mark, "t_ns", 0);
    if (mark && at > t0.lo) {
        t0.lo = t0.hi = at;
        t0.ref.seq = 0;
        *ret_namespace_known = 1;
        (void)json_object_set_new(o, "t0_marked", json_string(js_str(mark, "at", "")));
        (void)json_object_set_new(o, "t0_set_by", json_string(js_str(mark, "by", "")));
    }
    return t0;
}

struct deployment {
    struct moment t0, call;
    int namespace_known, marked;
    int earlier_call; /* one succeeded before the clock started */
    int clock_known;  /* of the agent that made the call */
};

/* The first call that succeeded may be among what nobody can read. */
static void call_may_be_missing(json_t *o, const struct facts *f, const struct fact_missing *m) {
    char text[GATE_MISSING_MAX];
    gate_missing_text(f, m, text);
    gate_decide(
        o, GATE_INCONCLUSIVE,
        "the first successful call may be one that nobody can read: %s, and `pilotgate mark --name t0` "
        "for an attempt that is watched",
        text);
    gate_cite(o, f, m->ref);
}

/* Late, but was it the product or the witness? True when a verdict was given. */
static int too_late(json_t *o, const struct corr *c, const struct facts *f, const struct deployment *d,
                    const char *allowed) {
    int64_t limit = c->rubric.rules.deployment_limit_ns;
    char took[WHEN_TEXT_MAX];
    const struct fact_missing *m;
    int64_t at_least = (d->call.hi ? d->call.lo : c->at_ns) - d->t0.hi;
    int64_t at_most = (d->call.hi ? d->call.hi : c->at_ns) - d->t0.lo;
    if (at_most < limit || (!d->call.hi && at_least <= limit))
        return 0;
    if (witnessed_from(f) > d->t0.lo + limit)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the first agent came only %s after the clock started, so nobody saw whether a call "
                    "succeeded within %s: `pilotgate mark --name t0` for an attempt that is watched",
                    when_format_duration(witnessed_from(f) - d->t0.lo, took), allowed);
    else if ((m = facts_missing(f, d->t0.lo, d->t0.lo + limit, true)) != NULL)
        call_may_be_missing(o, f, m);
    else if (!d->call.hi)
        gate_decide(o, GATE_FAIL, "no successful call to the custom server through the gateway within %s",
                    allowed);
    else if (at_least < limit)
        gate_decide(o, GATE_INCONCLUSIVE, "the clocks are too coarse to say whether it took %s", allowed);
    else
        gate_decide(o, GATE_FAIL,
                    "%s from clean namespace to the first successful tool call; the limit is %s",
                    when_format_duration(at_least, took), allowed);
    return 1;
}

static int no_call_yet(json_t *o, const struct deployment *d) {
    if (d->call.hi)
        return 0;
    if (d->earlier_call)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the first successful call came before the clock started%s: start the agents anew "
                    "(`kubectl rollout restart`) so that they tell of their first call again",
                    d->marked ? " (t0 was set by a mark)" : "");
    else
        gate_decide(
            o, GATE_PENDING,
            "no successful call to the custom server through the gateway yet: a probe of a target with "
            "custom_server: true must get its expected answer");
    return 1;
}

static void decide(json_t *o, const struct corr *c, const struct facts *f, const struct deployment *d) {
    char took[WHEN_TEXT_MAX];
    char allowed[WHEN_TEXT_MAX];
    (void)when_format_duration(c->rubric.rules.deployment_limit_ns, allowed);
    if (d->t0.hi == 0 || f->n_revisions == 0)
        gate_decide(o, GATE_PENDING, "no Helm release was seen in this stage yet");
    else if (d->call.hi && !d->clock_known)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the clock of the agent that made the first call is not known against the collector's");
    else if (!d->earlier_call && too_late(o, c, f, d, allowed))
        return;
    else if (no_call_yet(o, d))
        return;
    else if (!release_deployed(f).hi)
        gate_decide(o, GATE_PENDING, "the Helm release was not seen deployed yet");
    else if (!d->namespace_known)
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "the namespace's creation could not be read, so the clock's start is not known: allow get "
            "on the namespace, or `pilotgate mark --name t0`");
    else
        gate_decide(o, GATE_PASS, "%s from %s to the first successful tool call; the limit is %s",
                    when_format_duration(d->call.hi - d->t0.lo, took),
                    d->marked ? "the marked t0" : "clean namespace", allowed);
}

json_t *gate_helm_deployment(const struct corr *c, const struct facts *f) {
    json_t *o = gate_unjudgeable(f, 1);
    if (o)
        return o;
    o = gate_stage(f, GATE_PENDING, "%s", "");
    if (!o)
        return NULL;
    struct deployment d = {0};
    int64_t error = 0;
    d.t0 = find_t0(f, o, &d.namespace_known);
    d.marked = json_object_get(o, "t0_set_by") != NULL;
    d.call = first_call(f, &d.t0, &d.earlier_call);
    if (d.call.hi)
        (void)facts_clock(f->ev, d.call.ref.stream, d.call.lo, &error);
    d.clock_known = error >= 0;
    decide(o, c, f, &d);
    if (d.t0.hi) {
        gate_set_time(o, "t0", d.t0.lo);
        (void)json_object_set_new(o, "phases", steps_json(f, o, &d.t0, &d.call));
    }
    (void)json_object_set_new(o, "installs", attempts_json(f));
    if (d.t0.hi && d.call.hi) {
        json_t *m = json_object_get(o, "measured");
        gate_set_seconds(m, "seconds", d.call.hi - d.t0.lo);
        gate_set_seconds(m, "limit_s", c->rubric.rules.deployment_limit_ns);
    }
    return o;
}
