/* deployment_steps: what came between the start of the clock and the first successful call, and what failed
 * on the way. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/deployment_priv.h"

static const char *bound_name(int bound) {
    return bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST    ? "at most"
           : bound == PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST ? "at least"
                                                                 : "at";
}

static void add_step(const struct deployment *d, json_t *steps, json_t *stage, const char *what,
                     const struct moment *m) {
    json_t *o = json_pack("{s:s, s:b}", "phase", what, "seen", m->hi != 0);
    if (!o)
        return;
    if (m->hi) {
        char ref[WIRE_REF_MAX];
        gate_set_time(o, "at", m->lo);
        gate_set_seconds(o, "since_t0_s", m->lo - d->t0.lo);
        gate_set_seconds(o, "precision_s", m->hi - m->lo);
        (void)json_object_set_new(o, "bound", json_string(bound_name(m->bound)));
        if (m->ref.seq)
            (void)json_object_set_new(o, "evidence", json_string(facts_ref(d->f->ev, m->ref, ref)));
        gate_cite(stage, d->f, m->ref);
    }
    (void)json_array_append_new(steps, o);
}

/* Until when phases belong to this deployment: its first call. */
static int64_t until(const struct deployment *d) {
    return d->call.hi ? d->call.hi : INT64_MAX;
}

/* The last time that this happened before the first call: "all pods scheduled". */
static struct moment last_phase(const struct deployment *d, int kind) {
    struct moment m = {0};
    for (size_t i = 0; i < d->f->n_phases; i++)
        if (d->f->phases[i].kind == kind && d->f->phases[i].lo <= until(d) &&
            deployment_has_phase(d, &d->f->phases[i]))
            moment_later(&m, &d->f->phases[i]);
    return m;
}

/* Not every product has hooks, init containers or an agent that tells of them: those are left out unseen. */
static const struct {
    int kind;
    const char *what;
    bool first, always;
} between[] = {
    {PILOTGATE__PHASE__KIND__KIND_HOOK_STARTED, "first hook started", true, false},
    {PILOTGATE__PHASE__KIND__KIND_HOOK_SUCCEEDED, "last hook succeeded", false, false},
    {PILOTGATE__PHASE__KIND__KIND_WORKLOAD_CREATED, "workloads created", false, false},
    {PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED, "pods scheduled", false, true},
    {PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLING, "first image pulling", true, false},
    {PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, "images present", false, true},
    {PILOTGATE__PHASE__KIND__KIND_POD_INITIALIZED, "pods initialized", false, false},
    {PILOTGATE__PHASE__KIND__KIND_CONTAINER_STARTED, "containers started", false, true},
    {PILOTGATE__PHASE__KIND__KIND_CONTAINERS_READY, "containers ready", false, false},
    {PILOTGATE__PHASE__KIND__KIND_POD_READY, "pods ready", false, true},
    {PILOTGATE__PHASE__KIND__KIND_WORKLOAD_AVAILABLE, "workloads available", false, false},
};

json_t *deployment_steps(const struct deployment *d, json_t *stage) {
    json_t *steps = json_array();
    struct moment m = deployment_first(d, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED);
    add_step(d, steps, stage, "namespace created", &m);
    m = deployment_created(d);
    add_step(d, steps, stage, "release created", &m);
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) {
        m = between[i].first ? deployment_first(d, between[i].kind) : last_phase(d, between[i].kind);
        if (m.lo > until(d))
            m.hi = 0;
        if (m.hi || between[i].always)
            add_step(d, steps, stage, between[i].what, &m);
    }
    m = deployment_deployed(d);
    add_step(d, steps, stage, "release deployed", &m);
    m = deployment_first(d, PILOTGATE__PHASE__KIND__KIND_FIRST_TOOL_LISTED);
    add_step(d, steps, stage, "first tool listed", &m);
    add_step(d, steps, stage, "first successful call to the custom server, through the gateway", &d->call);
    return steps;
}

/* ---- images: of each the pull that took longest */

static void take_image(json_t *images, const struct fact_phase *p) {
    const Pilotgate__Phase *x = p->p;
    json_t *o = json_object_get(images, x->image);
    if (!o) {
        o = json_pack("{s:s, s:i, s:i, s:I, s:f, s:s}", "image", x->image, "pulls", 0, "cached", 0, "bytes",
                      (json_int_t)0, "seconds", 0.0, "slowest", "");
        if (json_object_set_new(images, x->image, o) < 0)
            return;
    }
    const char *counted = x->cached ? "cached" : "pulls";
    (void)json_object_set_new(o, counted, json_integer(js_int(o, counted, 0) + 1));
    if (x->bytes)
        (void)json_object_set_new(o, "bytes", json_integer((json_int_t)(x->bytes & INT64_MAX)));
    double seconds = (double)x->duration_ns / 1e9;
    if (seconds <= json_number_value(json_object_get(o, "seconds")))
        return;
    (void)json_object_set_new(o, "seconds", json_real(seconds));
    (void)json_object_set_new(o, "slowest", json_string(x->subject));
}

json_t *deployment_images(const struct deployment *d) {
    json_t *images = json_object();
    json_t *list = json_array();
    const char *name;
    json_t *o;
    for (size_t i = 0; i < d->f->n_phases; i++) {
        const struct fact_phase *p = &d->f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED && *p->p->image && p->lo <= until(d) &&
            deployment_has_phase(d, p))
            take_image(images, p);
    }
    json_object_foreach(images, name, o) {
        (void)json_array_append(list, o);
    }
    json_decref(images);
    return list;
}

/* ---- failures */

static const char *failure_of(const struct fact_phase *p) {
    switch (p->kind) {
    case PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED:
        return "container failed";
    case PILOTGATE__PHASE__KIND__KIND_POD_UNSCHEDULABLE:
        return "pod not scheduled";
    case PILOTGATE__PHASE__KIND__KIND_HOOK_FAILED:
        return "hook failed";
    case PILOTGATE__PHASE__KIND__KIND_RELEASE_FAILED:
        return "release failed";
    default:
        return NULL;
    }
}

/* A phase says how often it was so far: what counts of one container is the most that was said, or how often
 * it was told. */
static void count_failure(json_t *o, const struct fact_phase *p) {
    json_t *each = json_object_get(o, "each");
    char key[2 * WIRE_NAME_MAX + 64];
    (void)snprintf(key, sizeof key, "%.300s %.64s %.100s", p->p->subject, p->p->uid, p->p->container);
    json_t *seen = json_object_get(each, key);
    int64_t told = js_int(seen, "told", 0) + 1;
    int64_t said = js_int(seen, "said", 0);
    said = (int64_t)p->p->count > said ? (int64_t)p->p->count : said;
    (void)json_object_set_new(each, key,
                              json_pack("{s:I, s:I}", "told", (json_int_t)told, "said", (json_int_t)said));
}

static void take_failure(const struct deployment *d, json_t *found, json_t *stage, const struct fact_phase *p,
                         const char *what) {
    char key[WIRE_TEXT_MAX + 64];
    (void)snprintf(key, sizeof key, "%s\n%.400s", what, p->p->reason);
    json_t *o = json_object_get(found, key);
    if (!o) {
        o = json_pack("{s:s, s:s, s:s, s:{}}", "what", what, "reason", p->p->reason, "subject", p->p->subject,
                      "each");
        if (json_object_set_new(found, key, o) < 0)
            return;
        gate_set_time(o, "first", p->lo);
        gate_cite(stage, d->f, p->ref);
    }
    gate_set_time(o, "last", p->hi);
    count_failure(o, p);
}

static void sum_failure(json_t *o) {
    const char *key;
    json_t *v;
    int64_t times = 0;
    json_t *each = json_object_get(o, "each");
    json_object_foreach(each, key, v) {
        int64_t told = js_int(v, "told", 0);
        times += js_int(v, "said", 0) > told ? js_int(v, "said", 0) : told;
    }
    (void)json_object_set_new(o, "times", json_integer(times));
    (void)json_object_set_new(o, "objects", json_integer((json_int_t)json_object_size(each)));
    (void)json_object_del(o, "each");
}

json_t *deployment_failures(const struct deployment *d, json_t *stage) {
    json_t *found = json_object();
    json_t *list = json_array();
    const char *key;
    json_t *o;
    for (size_t i = 0; i < d->f->n_phases; i++) {
        const struct fact_phase *p = &d->f->phases[i];
        const char *what = failure_of(p);
        if (what && p->hi >= d->t0.lo && p->lo <= until(d) && deployment_has_phase(d, p))
            take_failure(d, found, stage, p, what);
    }
    json_object_foreach(found, key, o) {
        sum_failure(o);
        (void)json_array_append(list, o);
    }
    json_decref(found);
    return list;
}
