/* gates: binds the rubric's gates to evaluators and adds the stages up; see gates.h. */
#include "gates/gates.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

static const struct {
    const char *name;
    json_t *(*judge)(const struct corr *c, const struct facts *f);
} evaluators[] = {
    {"helm-deployment", gate_helm_deployment},
    {"config-safety", gate_config_safety},
    {"rollback", gate_rollback},
    {"architecture", gate_architecture},
};

static const char *const verdict_names[] = {"PASS", "PENDING", "INCONCLUSIVE", "FAIL"};

const char *gate_verdict_name(enum gate_verdict v) {
    return verdict_names[v];
}

enum gate_verdict gate_verdict_of(const json_t *object) {
    const char *name = js_str(object, "verdict", "");
    for (int v = GATE_PASS; v <= GATE_FAIL; v++)
        if (strcmp(verdict_names[v], name) == 0)
            return (enum gate_verdict)v;
    return GATE_INCONCLUSIVE;
}

static void decide(json_t *object, enum gate_verdict v, const char *fmt, va_list ap) {
    char reason[ERR_TEXT_MAX];
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    (void)json_object_set_new(object, "verdict", json_string(gate_verdict_name(v)));
    json_t *text = json_string(reason);
    (void)json_object_set_new(object, "reason", text ? text : json_string("(the reason is not UTF-8)"));
}

void gate_decide(json_t *object, enum gate_verdict v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    decide(object, v, fmt, ap);
    va_end(ap);
}

json_t *gate_stage(const struct facts *f, enum gate_verdict v, const char *fmt, ...) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:{}, s:{}}", "stage", f->stage, "verdict", "", "reason", "",
                          "evidence", "measured");
    if (!o)
        return NULL;
    va_list ap;
    va_start(ap, fmt);
    decide(o, v, fmt, ap);
    va_end(ap);
    return o;
}

void gate_cite(json_t *object, const struct facts *f, struct fact_ref ref) {
    if (ref.seq == 0)
        return;
    char text[WIRE_REF_MAX];
    json_t *set = json_object_get(object, "evidence");
    (void)facts_ref(f->ev, ref, text);
    if (!json_object_get(set, text)) /* the order of the first citation stays */
        (void)json_object_set_new(set, text, json_true());
}

void gate_seal(json_t *object) {
    const json_t *set = json_object_get(object, "evidence");
    json_t *list = json_array();
    const char *text;
    json_t *v;
    if (!json_is_object(set) || !list) {
        json_decref(list);
        return;
    }
    json_object_foreach((json_t *)set, text, v) {
        (void)json_array_append_new(list, json_string(text));
    }
    (void)json_object_set_new(object, "evidence", list);
}

void gate_set_time(json_t *object, const char *key, int64_t ns) {
    char text[WHEN_TEXT_MAX];
    (void)json_object_set_new(object, key, json_string(when_format(ns, 3, text)));
}

void gate_set_seconds(json_t *object, const char *key, int64_t ns) {
    (void)json_object_set_new(object, key, json_real((double)(ns / 1000) / 1e6));
}

static const struct fact_unreadable *unreadable(const struct facts *f, const char *kind) {
    for (size_t i = 0; i < f->n_unreadable; i++)
        if (strcmp(f->unreadable[i].kind, kind) == 0)
            return &f->unreadable[i];
    return NULL;
}

/* Streams of this stage that cannot be believed; NULL: all can. */
static json_t *unbelievable(const struct facts *f) {
    if (f->twin_node)
        return gate_stage(
            f, GATE_INCONCLUSIVE,
            "two agents said at the same time that they are node %s: run one agent a node, each "
            "with its own node name and spool, and begin the pilot again with a new store",
            f->twin_node);
    if (f->clone_node)
        return gate_stage(
            f, GATE_INCONCLUSIVE,
            "records of node %s came under another stage, too, so its spool was copied: give each "
            "agent a volume of its own, and begin the pilot again with a new store",
            f->clone_node);
    if (f->twins[0])
        return gate_stage(
            f, GATE_INCONCLUSIVE,
            "agents of two namespaces (uids %.40s and %.40s) told at the same time that they are this "
            "stage, so two clusters have one name: give each its own, and begin the pilot again with "
            "a new store",
            f->twins[0]->uid, f->twins[1]->uid);
    if (f->conflicts)
        return gate_stage(
            f, GATE_INCONCLUSIVE,
            "%llu records came twice with different content, first of node %s: two agents share "
            "one identity, or a spool was copied; give each its own, and begin the pilot again "
            "with a new store",
            (unsigned long long)f->conflicts, f->conflict_node);
    return NULL;
}

json_t *gate_unjudgeable(const struct facts *f, int need_release) {
    if (f->n_streams == 0)
        return gate_stage(
            f, GATE_PENDING,
            "no agent of this stage has reported yet: install the agents, then `pilotgate agents`");
    json_t *doubt = unbelievable(f);
    if (doubt)
        return doubt;
    if (f->ev->unknown_records)
        return gate_stage(f, GATE_INCONCLUSIVE,
                          "%llu records are of a kind that this version does not know: upgrade the collector",
                          (unsigned long long)f->ev->unknown_records);
    const struct fact_unreadable *u = need_release ? unreadable(f, "HelmRelease") : NULL;
    if (!u)
        return NULL;
    json_t *o = gate_stage(f, GATE_INCONCLUSIVE, "Helm's releases could not be read: %s", u->reason);
    if (o)
        gate_cite(o, f, u->ref);
    return o;
}

/* ---- statistics: n independent clean units, none lost */

uint64_t gates_units_needed(double max_rate, double confidence) {
    return (uint64_t)ceil(log1p(-confidence) / log1p(-max_rate));
}

double gates_rate_bound(uint64_t n, double confidence) {
    return n == 0 ? 1 : -expm1(log1p(-confidence) / (double)n);
}

/* ---- one gate */

static json_t *judge_stages(const struct corr *c, const struct rubric_gate *g) {
    json_t *stages = json_array();
    for (size_t s = 0; s < c->n_stages; s++) {
        json_t *o = NULL;
        for (size_t i = 0; i < sizeof evaluators / sizeof *evaluators; i++)
            if (strcmp(evaluators[i].name, g->evaluator) == 0)
                o = evaluators[i].judge(c, &c->stages[s]);
        if (!o)
            o = gate_stage(&c->stages[s], GATE_PENDING, "%s", g->pending);
        gate_seal(o);
        (void)json_array_append_new(stages, o);
    }
    return stages;
}

/* The worst stage decides; a gate without stages waits for a pilot. */
static void sum_up(json_t *gate, const json_t *stages) {
    int count[GATE_FAIL + 1] = {0};
    enum gate_verdict worst = GATE_PASS;
    const json_t *first = NULL;
    size_t i;
    json_t *s;
    json_array_foreach((json_t *)stages, i, s) {
        enum gate_verdict v = gate_verdict_of(s);
        count[v]++;
        if (!first || v > worst)
            first = s;
        worst = v > worst ? v : worst;
    }
    if (!first) {
        (void)json_object_set_new(gate, "verdict", json_string("PENDING"));
        (void)json_object_set_new(
            gate, "summary", json_string("no stage is declared: `pilotgate pilot init --file pilot.yaml`"));
        return;
    }
    char text[2 * ERR_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%d of %zu stages %s; %s: %s", count[worst], json_array_size(stages),
                   gate_verdict_name(worst), js_str(first, "stage", ""), js_str(first, "reason", ""));
    (void)json_object_set_new(gate, "verdict", json_string(gate_verdict_name(worst)));
    (void)json_object_set_new(gate, "summary", json_string(text));
}

static json_t *judge(const struct corr *c, const struct rubric_gate *g) {
    json_t *stages = judge_stages(c, g);
    json_t *gate = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{}, s:O}", "id", g->id, "title", g->title, "pass",
                             g->pass, "verdict", "", "summary", "", "measured", "stages", stages);
    const json_t *reference = js_at(c->ev.pilot, "architecture.digest");
    if (gate && reference && strcmp(g->evaluator, "architecture") == 0)
        (void)json_object_set(gate, "reference", (json_t *)reference);
    if (gate)
        sum_up(gate, stages);
    json_decref(stages);
    return gate;
}

int gates_evaluate(const struct corr *c, json_t **ret, struct err *e) {
    char at[WHEN_TEXT_MAX];
    json_t *doc = json_pack("{s:s, s:s, s:I, s:s, s:s, s:[]}", "pilot", js_str(c->ev.pilot, "name", ""), "at",
                            when_format(c->at_ns, 9, at), "commit", (json_int_t)c->commit, "evaluator",
                            GATES_EVALUATOR, "rubric", c->rubric.digest, "gates");
    if (!doc)
        return err_oom(e);
    for (size_t i = 0; i < c->rubric.n_gates; i++) {
        json_t *gate = judge(c, &c->rubric.gates[i]);
        if (!gate || json_array_append_new(json_object_get(doc, "gates"), gate) < 0) {
            json_decref(doc);
            return err_oom(e);
        }
    }
    *ret = doc;
    return 0;
}

static int worst_of(const json_t *gate, const char *stage) {
    if (!stage)
        return gate_verdict_of(gate);
    int worst = -1;
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(gate, "stages"), i, s) {
        if (strcmp(js_str(s, "stage", ""), stage) == 0 && (int)gate_verdict_of(s) > worst)
            worst = gate_verdict_of(s);
    }
    return worst < 0 ? GATE_PENDING : worst;
}

int gates_exit_status(const json_t *result, const char *gate, const char *stage) {
    int worst = GATE_PASS;
    int found = 0;
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        if (gate && strcmp(js_str(g, "id", ""), gate) != 0)
            continue;
        found = 1;
        int v = worst_of(g, stage);
        worst = v > worst ? v : worst;
    }
    if (!found)
        return 3;
    return worst == GATE_PASS ? 0 : worst == GATE_FAIL ? 1 : 3;
}

int gates_changes(const struct corr *c, const char *stage, json_t **ret, struct err *e) {
    json_t *list = json_array();
    for (size_t s = 0; list && s < c->n_stages; s++) {
        const struct facts *f = &c->stages[s];
        if (stage && strcmp(stage, f->stage) != 0)
            continue;
        for (size_t i = 0; i < f->n_changes; i++) {
            json_t *o = gate_change(c, f, &f->changes[i]);
            if (o)
                (void)json_object_set_new(o, "stage", json_string(f->stage));
            (void)json_array_append_new(list, o);
        }
    }
    if (!list)
        return err_oom(e);
    *ret = list;
    return 0;
}
