/* deployment: from the earliest sign of the stage to the first successful tool call through the gateway.
 *
 * t0 is the namespace's creation or the first release object, whichever is earlier; only a mark named "t0"
 * that says who set it makes it later, and then it is displayed. What was there before the first agent is
 * known from what the API server still knows: then the time to the first call is an upper bound, "at most".
 */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/deployment_priv.h"

void moment_earlier(struct moment *m, int64_t lo, int64_t hi, struct fact_ref ref, int bound) {
    if (m->hi == 0 || lo < m->lo)
        *m = (struct moment){lo, hi, ref, bound};
}

void moment_later(struct moment *m, const struct fact_phase *p) {
    if (m->hi == 0 || p->hi > m->hi)
        *m = (struct moment){p->lo, p->hi, p->ref, (int)p->p->bound};
}

bool deployment_has_phase(const struct deployment *d, const struct fact_phase *p) {
    if (p->kind == PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED && d->life)
        return strcmp(p->p->uid, d->life->uid) == 0;
    return p->lo >= d->since;
}

bool deployment_has_revision(const struct deployment *d, const struct fact_revision *v) {
    return v->created_hi > d->since;
}

struct moment deployment_first(const struct deployment *d, int kind) {
    struct moment m = {0};
    for (size_t i = 0; i < d->f->n_phases; i++) {
        const struct fact_phase *p = &d->f->phases[i];
        if (p->kind == kind && deployment_has_phase(d, p))
            moment_earlier(&m, p->lo, p->hi, p->ref, (int)p->p->bound);
    }
    return m;
}

struct moment deployment_created(const struct deployment *d) {
    struct moment m = {0};
    for (size_t i = 0; i < d->f->n_revisions; i++) {
        const struct fact_revision *v = &d->f->revisions[i];
        if (deployment_has_revision(d, v))
            moment_earlier(&m, v->created_lo, v->created_hi, v->ref, PILOTGATE__TIME_BOUND__TIME_BOUND_AT);
    }
    return m;
}

struct moment deployment_deployed(const struct deployment *d) {
    struct moment m = {0};
    for (size_t i = 0; i < d->f->n_revisions; i++) {
        const struct fact_revision *v = &d->f->revisions[i];
        if (deployment_has_revision(d, v) && v->deployed_hi)
            moment_earlier(&m, v->deployed_lo, v->deployed_hi, v->ref,
                           v->live ? PILOTGATE__TIME_BOUND__TIME_BOUND_AT
                                   : PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    }
    return m;
}

/* The first call to succeed once the clock ran. Each agent tells of its own first one: where the product
 * served before a mark, the one of an agent that came later is no first call of the stage. Only an install
 * that began once the clock ran is another attempt. */
static void find_call(struct deployment *d) {
    int64_t error = 0;
    for (size_t i = 0; i < d->f->n_phases; i++) {
        const struct fact_phase *p = &d->f->phases[i];
        if (p->kind != PILOTGATE__PHASE__KIND__KIND_FIRST_CALL ||
            strcmp(p->p->reason, "custom-server") != 0 || !deployment_has_phase(d, p))
            continue;
        if (p->hi <= d->t0.lo)
            d->earlier_call = true;
        else
            moment_earlier(&d->call, p->lo, p->hi, p->ref, (int)p->p->bound);
    }
    d->served = d->earlier_call && !deployment_installed_from(d, d->t0.lo);
    if (d->served)
        d->call = (struct moment){0};
    if (d->call.hi)
        (void)facts_clock(d->f->ev, d->call.ref.stream, d->call.lo, &error);
    d->clock_known = error >= 0;
    if (d->adopted && d->call.hi)
        d->call.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST;
}

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

/* The product was there before any agent was: nobody can say how late it really was. */
static void nobody_saw(json_t *o, const struct deployment *d, const char *allowed) {
    char took[WHEN_TEXT_MAX];
    if (d->watched_from > d->t0.lo + d->c->rubric.rules.deployment_limit_ns)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the first agent came only %s after the clock started, so nobody saw whether a call "
                    "succeeded within %s: `pilotgate mark --name t0` for an attempt that is watched",
                    when_format_duration(d->watched_from - d->t0.lo, took), allowed);
    else
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "the product was deployed when the first agent came, %s after the clock started, so a call "
            "may have succeeded before anybody watched: `pilotgate mark --name t0` for an attempt that "
            "is watched",
            when_format_duration(d->watched_from - d->t0.lo, took));
}

/* Late, but was it the product or the witness? True when a verdict was given. */
static int too_late(json_t *o, const struct deployment *d, const char *allowed) {
    int64_t limit = d->c->rubric.rules.deployment_limit_ns;
    char took[WHEN_TEXT_MAX];
    const struct fact_missing *m;
    int64_t at_least = (d->call.hi ? d->call.lo : d->c->at_ns) - d->t0.hi;
    int64_t at_most = (d->call.hi ? d->call.hi : d->c->at_ns) - d->t0.lo;
    if (at_most < limit || (!d->call.hi && at_least <= limit))
        return 0;
    if (d->adopted || d->watched_from > d->t0.lo + limit)
        nobody_saw(o, d, allowed);
    else if ((m = facts_missing(d->f, d->t0.lo, d->t0.lo + limit, true)) != NULL)
        call_may_be_missing(o, d->f, m);
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
    if (d->served)
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "the first successful call came before the clock started%s, and nothing was installed since: "
            "the clock must start before an install that is watched",
            d->mark ? " (t0 was set by a mark)" : "");
    else if (d->earlier_call)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the first successful call came before the clock started%s: start the agents anew "
                    "(`kubectl rollout restart`) so that they tell of their first call again",
                    d->mark ? " (t0 was set by a mark)" : "");
    else
        gate_decide(
            o, GATE_PENDING,
            "no successful call to the custom server through the gateway yet: a probe of a target with "
            "custom_server: true must get its expected answer");
    return 1;
}

static void pass(json_t *o, const struct deployment *d, const char *allowed) {
    char took[WHEN_TEXT_MAX];
    size_t past = json_array_size(json_object_get(o, "past"));
    char besides[64] = "";
    if (past)
        (void)snprintf(besides, sizeof besides, "; the namespace was made anew %zu time%s", past,
                       past == 1 ? "" : "s");
    gate_decide(o, GATE_PASS, "%s%s from %s to the first successful tool call; the limit is %s%s",
                d->adopted ? "at most " : "", when_format_duration(d->call.hi - d->t0.lo, took),
                d->mark ? "the marked t0" : "clean namespace", allowed, besides);
}

/* Argo CD renders charts itself and leaves nothing of Helm's behind. */
static bool is_argos(const struct facts *f) {
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case == PILOTGATE__RECORD__BODY_OBJECT && facts_has_stream(f, r->stream) &&
            strncmp(r->r->object->managed_by, "argocd:", 7) == 0)
            return true;
    }
    return false;
}

static void decide(json_t *o, const struct deployment *d) {
    char allowed[WHEN_TEXT_MAX];
    (void)when_format_duration(d->c->rubric.rules.deployment_limit_ns, allowed);
    if (d->t0.hi == 0 || !deployment_created(d).hi)
        gate_decide(o, GATE_PENDING, "no Helm release was seen in this stage yet%s",
                    is_argos(d->f)
                        ? ": Argo CD, which owns objects here, renders charts itself and leaves none; "
                          "Helm or Flux must install it to be judged here"
                        : "");
    else if (d->call.hi && !d->clock_known)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the clock of the agent that made the first call is not known against the collector's");
    else if (!d->earlier_call && too_late(o, d, allowed))
        return;
    else if (no_call_yet(o, d))
        return;
    else if (!deployment_deployed(d).hi)
        gate_decide(o, GATE_PENDING, "the Helm release was not seen deployed yet");
    else if (!d->namespace_known)
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "the namespace's creation could not be read, so the clock's start is not known: allow get "
            "on the namespace, or `pilotgate mark --name t0`");
    else
        pass(o, d, allowed);
}

/* "at most" where nobody watched from the beginning; "at least" while no call succeeded. */
static void measure(json_t *o, const struct deployment *d) {
    json_t *m = json_object_get(o, "measured");
    gate_set_seconds(m, "limit_s", d->c->rubric.rules.deployment_limit_ns);
    if (d->call.hi) {
        gate_set_seconds(m, "seconds", d->call.hi - d->t0.lo);
        (void)json_object_set_new(m, "bound", json_string(d->adopted ? "at most" : "at"));
    } else if (!d->earlier_call && !d->adopted) {
        gate_set_seconds(m, "seconds", d->c->at_ns - d->t0.hi);
        (void)json_object_set_new(m, "bound", json_string("at least"));
    }
}

static void show(json_t *o, const struct deployment *d) {
    if (d->life)
        (void)json_object_set_new(o, "namespace_uid", json_string(d->life->uid));
    (void)json_object_set_new(o, "installs", deployment_installs(d));
    (void)json_object_set_new(o, "t0_marks", deployment_marks(d));
    if (!d->t0.hi)
        return;
    gate_set_time(o, "t0", d->t0.lo);
    (void)json_object_set_new(o, "t0_sign", json_string(d->t0_sign));
    if (d->mark) {
        (void)json_object_set_new(o, "t0_marked", json_string(js_str(d->mark, "at", "")));
        (void)json_object_set_new(o, "t0_set_by", json_string(js_str(d->mark, "by", "")));
    }
    if (d->watched_from != INT64_MAX)
        gate_set_time(o, "watched_from", d->watched_from);
    (void)json_object_set_new(o, "adopted", json_boolean(d->adopted));
    (void)json_object_set_new(o, "phases", deployment_steps(d, o));
    (void)json_object_set_new(o, "images", deployment_images(d));
    (void)json_object_set_new(o, "failures", deployment_failures(d, o));
    measure(o, d);
}

json_t *gate_helm_deployment(const struct corr *c, const struct facts *f) {
    json_t *o = gate_unjudgeable(f, 1);
    if (o)
        return o;
    o = gate_stage(f, GATE_PENDING, "%s", "");
    if (!o)
        return NULL;
    struct deployment d = {.c = c, .f = f, .t0_sign = ""};
    deployment_start(&d);
    find_call(&d);
    (void)json_object_set_new(o, "past", deployment_past(&d));
    decide(o, &d);
    show(o, &d);
    return o;
}
