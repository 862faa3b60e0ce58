/* scenario: see scenario.h. */
#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates.h"

static int64_t ns(double t) {
    return SCENARIO_T0 * WHEN_S + (int64_t)(t * 1e9);
}

static char *dup(const char *s) {
    char *p = strdup(s);
    assert_non_null(p);
    return p;
}

static void add(struct scenario *s, struct ev_list *l, size_t agent, Pilotgate__Record *r, double t) {
    r->wall_ns = ns(t);
    r->mono_ns = (uint64_t)(t * 1e9) + 1000000000000ULL;
    r->seq = ++s->seq[agent];
    assert_int_equal(ev_add(&s->c.ev, l, agent, r->seq, r), 0);
}

static Pilotgate__Record *record(Pilotgate__Record__BodyCase body) {
    Pilotgate__Record *r = malloc(sizeof *r);
    assert_non_null(r);
    pilotgate__record__init(r);
    r->body_case = body;
    return r;
}

void scenario_begin(struct scenario *s, const char *rules_json) {
    *s = (struct scenario){0};
    json_t *rules = json_loads(rules_json, 0, NULL);
    struct err e;
    assert_int_equal(rubric_load(rules, &s->c.rubric, &e), 0);
    json_decref(rules);
    s->c.ev.marks = json_array();
    s->c.ev.drills = json_array();
    s->c.ev.attestations = json_array();
    s->c.ev.pilot = json_pack("{s:s}", "name", "test");
    s->c.commit = s->c.ev.commit = 7;
    s->stage = json_pack("{s:s, s:i, s:s, s:s}", "stage", "east/shop", "agents", 2, "gateway",
                         "Deployment/gateway", "release", "shop");
}

void scenario_end(struct scenario *s) {
    corr_free(&s->c);
    json_decref(s->stage);
}

size_t scenario_agent(struct scenario *s, const char *node) {
    struct ev_stream st = {.id = (int64_t)s->c.ev.n_streams + 1, .cluster = "east", .namespace_name = "shop"};
    (void)snprintf(st.node, sizeof st.node, "%s", node);
    st.boot[0] = (uint8_t)st.id;
    int i = ev_add_stream(&s->c.ev, &st);
    assert_true(i >= 0);
    return (size_t)i;
}

void scenario_timing(struct scenario *s, size_t agent, int64_t wall_ns, int kind, int64_t value,
                     uint64_t error) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_TIMING);
    r->timing = malloc(sizeof *r->timing);
    pilotgate__timing__init(r->timing);
    r->timing->kind = (Pilotgate__Timing__Kind)kind;
    r->timing->value_ns = value;
    r->timing->error_ns = error;
    r->wall_ns = wall_ns;
    r->seq = ++s->seq[agent];
    assert_int_equal(ev_add(&s->c.ev, &s->c.ev.records, agent, r->seq, r), 0);
}

void scenario_clock(struct scenario *s, size_t agent, double t, double offset_s, double error_s) {
    scenario_timing(s, agent, ns(t), PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET, (int64_t)(offset_s * 1e9),
                    (uint64_t)(error_s * 1e9));
}

void scenario_phase(struct scenario *s, size_t agent, double t, int kind, const char *subject,
                    const char *reason) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_PHASE);
    r->phase = malloc(sizeof *r->phase);
    pilotgate__phase__init(r->phase);
    r->phase->kind = (Pilotgate__Phase__Kind)kind;
    r->phase->subject = dup(subject);
    r->phase->reason = dup(reason);
    if (s->owner)
        r->phase->owner = dup(s->owner);
    if (s->uid)
        r->phase->uid = dup(s->uid);
    r->phase->t_wall_ns = ns(t);
    if (s->image)
        r->phase->image = dup(s->image);
    r->phase->count = s->count;
    r->phase->duration_ns = (uint64_t)(s->seconds * 1e9);
    r->phase->bytes = s->seconds > 0 ? 5u << 20 : 0;
    r->phase->cached = s->image && s->seconds <= 0;
    r->phase->precision_ns = 1000000;
    r->phase->bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
    r->phase->origin = PILOTGATE__ORIGIN__ORIGIN_WATCH;
    add(s, &s->c.ev.records, agent, r, t);
}

void scenario_told_phase(struct scenario *s, size_t agent, double t, const Pilotgate__Phase *phase) {
    size_t len = pilotgate__phase__get_packed_size(phase);
    uint8_t *bytes = malloc(len + 1);
    assert_non_null(bytes);
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_PHASE);
    r->phase = pilotgate__phase__unpack(NULL, pilotgate__phase__pack(phase, bytes), bytes);
    free(bytes);
    assert_non_null(r->phase);
    r->phase->t_wall_ns += ns(0);
    add(s, &s->c.ev.records, agent, r, t);
}

static Pilotgate__Object *object(Pilotgate__Record *r, int op, const char *kind, const char *name) {
    r->object = malloc(sizeof *r->object);
    pilotgate__object__init(r->object);
    r->object->op = (Pilotgate__Object__Op)op;
    r->object->kind = dup(kind);
    r->object->name = dup(name);
    return r->object;
}

void scenario_object(struct scenario *s, size_t agent, int op, double t, double previous, const char *kind,
                     const char *name, const char *content) {
    char version[32];
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_OBJECT);
    Pilotgate__Object *o = object(r, op, kind, name);
    (void)snprintf(version, sizeof version, "%llu", ++s->version);
    o->resource_version = dup(s->version_of ? s->version_of : version);
    o->digest = dup(content);
    char normal[64] = "{}";
    if (strcmp(kind, "Deployment") == 0)
        (void)snprintf(normal, sizeof normal, "{\"spec\":{\"replicas\":%u}}", s->replicas ? s->replicas : 1);
    o->normal = dup(s->normal ? s->normal : normal);
    o->norm = s->norm;
    o->created_wall_ns = s->created > 0 ? ns(s->created) : 0;
    o->release = dup("shop");
    o->t_wall_ns = ns(t);
    o->previous_wall_ns = previous > 0 ? ns(previous) : 0;
    add(s, &s->c.ev.records, agent, r, t);
}

void scenario_tools(struct scenario *s, size_t agent, int op, double t, double previous, const char *tools) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_OBJECT);
    Pilotgate__Object *o = object(r, op, "ToolCatalogue", "canary");
    char normal[512];
    (void)snprintf(normal, sizeof normal, "{\"tools\":[%s]}", tools);
    o->digest = dup(tools);
    o->normal = dup(normal);
    if (s->path)
        o->path = dup(s->path);
    o->t_wall_ns = ns(t);
    o->previous_wall_ns = previous > 0 ? ns(previous) : 0;
    add(s, &s->c.ev.records, agent, r, t);
}

void scenario_unreadable(struct scenario *s, size_t agent, double t, const char *kind, const char *reason) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_OBJECT);
    Pilotgate__Object *o = object(r, PILOTGATE__OBJECT__OP__OP_UNREADABLE, kind, "*");
    o->reason = dup(reason);
    o->t_wall_ns = ns(t);
    add(s, &s->c.ev.records, agent, r, t);
}

void scenario_release(struct scenario *s, size_t agent, int op, double t_created, double t_seen, int revision,
                      const char *status, const char *description, const char *content) {
    char name[64];
    char normal[2048];
    char version[32];
    (void)snprintf(name, sizeof name, "shop.v%d", revision);
    (void)snprintf(
        normal, sizeof normal,
        "{\"name\":\"shop\",\"revision\":%d,\"status\":\"%s\",\"description\":\"%s\",\"manifest_digest\":"
        "\"%s\",\"config_digest\":\"%s\",\"chart\":{\"name\":\"shop\",\"version\":\"1\"}%s%s}",
        revision, status, description, content, s->inputs ? s->inputs : content,
        s->manifest ? ",\"objects\":" : "", s->manifest ? s->manifest : "");
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_OBJECT);
    Pilotgate__Object *o = object(r, op, "HelmRelease", name);
    (void)snprintf(version, sizeof version, "%llu", ++s->version);
    o->resource_version = dup(version);
    (void)snprintf(name, sizeof name, "%s-%s-%d", content, status, revision);
    o->digest = dup(name);
    o->normal = dup(normal);
    o->norm = s->norm;
    o->created_wall_ns = ns(t_created) / WHEN_S * WHEN_S;
    o->t_wall_ns = ns(t_seen);
    add(s, &s->c.ev.records, agent, r, t_seen);
}

static Pilotgate__Coverage *coverage(Pilotgate__Record *r, double t) {
    Pilotgate__Coverage *c = r->coverage = malloc(sizeof *c);
    pilotgate__coverage__init(c);
    c->base_mono_ns = (uint64_t)(t * 1e9) + 1000000000000ULL;
    c->n_probes = 1;
    c->probes = malloc(sizeof *c->probes);
    c->probes[0] = malloc(sizeof **c->probes);
    pilotgate__coverage__probe__init(c->probes[0]);
    c->probes[0]->name = dup("hold");
    return c;
}

void scenario_coverage(struct scenario *s, size_t agent, double from, double to, int bye) {
    for (double t = from; t < to; t += 1) {
        Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_COVERAGE);
        Pilotgate__Coverage *c = coverage(r, t);
        c->bye = bye && t + 1 >= to;
        c->expected_agents = s->expected;
        c->probes[0]->resolved = (uint64_t)((t - from) * s->per_second);
        c->probes[0]->executions_told = s->told ? (uint64_t)(t - from) : 0;
        add(s, &s->c.ev.watched, agent, r, t);
    }
}

void scenario_stall(struct scenario *s, size_t agent, double t, double seconds) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_COVERAGE);
    coverage(r, t)->stalled_us = (uint64_t)(seconds * 1e6);
    add(s, &s->c.ev.watched, agent, r, t);
}

void scenario_open_call(struct scenario *s, size_t agent, double t, double start) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_COVERAGE);
    Pilotgate__Coverage__Probe *p = coverage(r, t)->probes[0];
    p->first_open = 999000;
    if (s->path)
        p->path = dup(s->path);
    p->n_open_number_delta = p->n_open_start_us = 1;
    p->open_number_delta = calloc(1, sizeof *p->open_number_delta);
    p->open_start_us = calloc(1, sizeof *p->open_start_us);
    p->open_start_us[0] = (int64_t)((start - t) * 1e6);
    add(s, &s->c.ev.watched, agent, r, t);
}

static void add_row(struct scenario *s, size_t agent, uint64_t number, const char *tool, double start,
                    double end, int outcome, unsigned flags) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_CALL);
    Pilotgate__Call *k = r->call = malloc(sizeof *k);
    pilotgate__call__init(k);
    k->number = number;
    k->nonce = dup("nonce");
    k->probe = dup("hold");
    k->target = dup("canary");
    k->tool = dup(tool);
    k->start_wall_ns = ns(start);
    k->duration_us = (uint64_t)((end - start) * 1e6);
    k->outcome = (Pilotgate__Outcome)outcome;
    k->flags = flags;
    k->executions = s->executions;
    if (s->path)
        k->path = dup(s->path);
    add(s, &s->c.ev.records, agent, r, end);
}

void scenario_calls(struct scenario *s, size_t agent, unsigned n, const char *tool, double start, double end,
                    int outcome, unsigned flags) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_CALLS);
    Pilotgate__CallBlock *b = r->calls = malloc(sizeof *b);
    pilotgate__call_block__init(b);
    b->base_wall_ns = ns(start);
    b->first_number = s->next_call[agent] + 1;
    b->n_probes = b->n_tools = b->n_targets = 1;
    b->probes = malloc(sizeof *b->probes);
    b->tools = malloc(sizeof *b->tools);
    b->targets = malloc(sizeof *b->targets);
    b->probes[0] = dup("hold");
    b->tools[0] = dup(tool);
    b->targets[0] = dup("canary");
    if (s->path) {
        b->n_paths = 1;
        b->paths = malloc(sizeof *b->paths);
        b->paths[0] = dup(s->path);
    }
    b->n_number_delta = b->n_probe = b->n_start_us = b->n_duration_us = b->n_outcome = b->n_connection =
        b->n_flags = n;
    b->number_delta = calloc(n, sizeof *b->number_delta);
    b->probe = calloc(n, sizeof *b->probe);
    b->start_us = calloc(n, sizeof *b->start_us);
    b->duration_us = calloc(n, sizeof *b->duration_us);
    b->outcome = calloc(n, sizeof *b->outcome);
    b->connection = calloc(n, sizeof *b->connection);
    b->flags = calloc(n, sizeof *b->flags);
    for (unsigned i = 0; i < n; i++) {
        uint64_t number = ++s->next_call[agent];
        b->number_delta[i] = i ? 1 : 0;
        b->duration_us[i] = (uint64_t)((end - start) * 1e6);
        b->outcome[i] = (uint32_t)outcome;
        b->connection[i] = s->connection ? s->connection : (uint32_t)number;
        b->flags[i] = flags;
        if (outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED || s->executions)
            add_row(s, agent, number, tool, start, end, outcome, flags);
    }
    add(s, &s->c.ev.watched, agent, r, end);
}

static Pilotgate__Coverage__Source *source(const char *text, double t) {
    Pilotgate__Coverage__Source *x = malloc(sizeof *x);
    pilotgate__coverage__source__init(x);
    size_t n = strcspn(text, "!@");
    x->kind = strndup(text, n);
    x->name = dup(strcmp(x->kind, "Pod") == 0 ? "pods" : x->kind);
    if (strcmp(x->kind, "Pod") == 0)
        *x->kind = 0;
    x->ok = text[n] != '!';
    x->reason = dup(text[n] == '!' ? text + n + 1 : "");
    x->last_wall_ns = ns(text[n] == '@' ? strtod(text + n + 1, NULL) : t);
    return x;
}

void scenario_sources(struct scenario *s, size_t agent, double t, bool stage, const char *const *sources) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_COVERAGE);
    Pilotgate__Coverage *c = r->coverage = malloc(sizeof *c);
    pilotgate__coverage__init(c);
    c->stage_scoped = stage;
    c->expected_agents = s->expected;
    while (sources[c->n_sources])
        c->n_sources++;
    c->sources = calloc(c->n_sources + 1, sizeof *c->sources);
    for (size_t i = 0; i < c->n_sources; i++)
        c->sources[i] = source(sources[i], t);
    add(s, &s->c.ev.sources, agent, r, t);
}

void scenario_loss(struct scenario *s, size_t agent, double from, double to, uint64_t n) {
    Pilotgate__Record *r = record(PILOTGATE__RECORD__BODY_LOSS);
    r->loss = malloc(sizeof *r->loss);
    pilotgate__loss__init(r->loss);
    r->loss->cause = PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL;
    r->loss->records = n;
    r->loss->from_wall_ns = ns(from);
    r->loss->to_wall_ns = ns(to);
    add(s, &s->c.ev.records, agent, r, to);
}

void scenario_gap(struct scenario *s, size_t agent, uint64_t records, enum ev_cause cause) {
    struct ev_missing m = {.stream = agent,
                           .from_seq = s->seq[agent] + 1,
                           .to_seq = s->seq[agent] + records,
                           .records = records,
                           .cause = cause};
    s->seq[agent] += records;
    assert_int_equal(ev_add_missing(&s->c.ev, &m), 0);
}

void scenario_deletion(struct scenario *s, size_t agent, double from, double to, double at) {
    struct ev_missing m = {.stream = agent,
                           .from_seq = 1,
                           .to_seq = 9,
                           .records = 4,
                           .cause = EV_CAUSE_DELETED,
                           .t_from_ns = ns(from),
                           .t_to_ns = ns(to),
                           .at_ns = ns(at)};
    assert_int_equal(ev_add_missing(&s->c.ev, &m), 0);
}

json_t *scenario_judge(struct scenario *s, double t) {
    struct err e;
    s->c.at_ns = ns(t);
    ev_sort(&s->c.ev.records);
    ev_sort(&s->c.ev.watched);
    ev_sort(&s->c.ev.sources);
    if (s->c.stages) /* it was judged before */
        facts_free(s->c.stages);
    free(s->c.stages);
    s->c.stages = calloc(1, sizeof *s->c.stages);
    s->c.n_stages = 1;
    assert_int_equal(facts_build(&s->c.ev, &s->c.rubric, s->stage, &s->c.stages[0], &e), 0);
    assert_int_equal(facts_exposure(&s->c.stages[0], &s->c.rubric, s->c.at_ns, &e), 0);
    json_t *result;
    assert_int_equal(gates_evaluate(&s->c, &result, &e), 0);
    return result;
}

const json_t *scenario_gate(const json_t *result, const char *gate) {
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        if (strcmp(js_str(g, "id", ""), gate) == 0)
            return js_at(g, "stages.0");
    }
    return NULL;
}
