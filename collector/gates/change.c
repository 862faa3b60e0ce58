/* change: the verdict on one configuration change, from its exposure. Used by Config safety, Rollback and
 * the `changes` subcommand. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

/* When the first sign of the change was seen; it began some time before. */
static int64_t first_seen(const struct fact_change *c) {
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < c->n_signs; i++)
        first = c->signs[i]->hi < first ? c->signs[i]->hi : first;
    return first;
}

static int first_call_before(const struct facts *f, int64_t t) {
    for (size_t i = 0; i < f->n_phases; i++)
        if (f->phases[i].kind == PILOTGATE__PHASE__KIND__KIND_FIRST_CALL && f->phases[i].lo < t)
            return 1;
    return 0;
}

/* The product was uninstalled before this change, and what was installed again is not deployed yet. */
static int still_uninstalled(const struct facts *f, const struct fact_change *c) {
    const struct fact_change *gone = NULL;
    for (const struct fact_change *o = f->changes; o < c; o++)
        if (o->uninstall)
            gone = o;
    if (!gone)
        return 0;
    for (size_t i = 0; i < f->n_revisions; i++) {
        const struct fact_revision *v = &f->revisions[i];
        if (v->created_hi >= gone->begin_lo && v->deployed_hi && v->deployed_hi <= c->begin_lo)
            return 0;
    }
    return 1;
}

/* Why this is no change of a configuration in service; NULL: it is one. */
static const char *no_change(const struct facts *f, const struct fact_change *c) {
    if (c->uninstall)
        return "the product's uninstall; not a change of its configuration";
    if (c->revision && f->revisions[c->revision - 1].revision <= 1)
        return "the install; not a change of a configuration";
    if (still_uninstalled(f, c))
        return "part of installing again; not a change of a configuration in service";
    if (!c->served_before && !first_call_before(f, first_seen(c)))
        return "before the first successful call; not a change of a configuration in service";
    return NULL;
}

int gate_change_qualifies(const struct facts *f, const struct fact_change *c) {
    return no_change(f, c) == NULL;
}

/* ---- parts of the document */

static const char *sign_word(const struct fact_sign *s) {
    if (!*s->old_digest)
        return "added";
    return *s->new_digest ? "changed" : "removed";
}

static json_t *signs_json(const struct facts *f, const struct fact_change *c, json_t *change) {
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *s = c->signs[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", s->object_kind, "name", s->name, "what",
                              sign_word(s), "old", s->old_digest, "new", s->new_digest);
        if (!o)
            continue;
        (void)json_object_set_new(o, "node", json_string(f->ev->streams[s->ref.stream].node));
        gate_set_time(o, "old_seen_until", s->lo);
        gate_set_time(o, "new_seen_from", s->hi);
        (void)json_array_append_new(list, o);
        gate_cite(change, f, s->ref);
    }
    return list;
}

static json_t *names_json(const struct fact_tool *tools, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, json_string(tools[i].name));
    return list;
}

static void add_call_detail(json_t *o, const Pilotgate__Call *k) {
    (void)json_object_set_new(o, "call", json_string(k->nonce));
    (void)json_object_set_new(o, "outcome", json_string(wire_outcome_name((int)k->outcome)));
    (void)json_object_set_new(o, "target", json_string(k->target));
    (void)json_object_set_new(o, "tool", json_string(k->tool));
    (void)json_object_set_new(o, "http_status", json_integer(k->http_status));
    (void)json_object_set_new(o, "bytes_received", json_integer((json_int_t)k->bytes_received));
    (void)json_object_set_new(
        o, "connection", json_string(k->flags & PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED ? "reused" : "new"));
    (void)json_object_set_new(o, "how_far", json_string(k->detail));
}

static json_t *lost_json(const struct facts *f, const struct fact_change *c) {
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_lost; i++) {
        const struct fact_lost_call *l = &c->lost[i];
        char ref[WIRE_REF_MAX];
        json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s}", "number", (json_int_t)l->number, "probe", l->probe,
                              "reading", fact_reading_name(l->reading), "why", l->why, "evidence",
                              facts_ref(f->ev, l->ref, ref));
        if (!o)
            continue;
        gate_set_time(o, "start", l->start);
        if (l->end)
            gate_set_seconds(o, "seconds", l->end - l->start);
        if (l->call)
            add_call_detail(o, l->call);
        (void)json_array_append_new(list, o);
    }
    return list;
}

static json_t *spans_json(const struct fact_change *c) {
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_unwitnessed; i++) {
        json_t *o = json_pack("{s:s, s:s}", "node", c->unwitnessed[i].node, "why", c->unwitnessed[i].why);
        if (!o)
            continue;
        gate_set_time(o, "from", c->unwitnessed[i].from);
        gate_set_time(o, "to", c->unwitnessed[i].to);
        (void)json_array_append_new(list, o);
    }
    return list;
}

static json_t *measured_json(const struct corr *c, const struct fact_change *ch) {
    uint64_t n = ch->in_flight[FACT_KIND_REUSED] + ch->in_flight[FACT_KIND_NEW];
    json_t *m =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "calls_in_window",
                  (json_int_t)ch->calls_in_window, "in_flight", (json_int_t)n, "in_flight_reused",
                  (json_int_t)ch->in_flight[FACT_KIND_REUSED], "in_flight_new",
                  (json_int_t)ch->in_flight[FACT_KIND_NEW], "dropped", (json_int_t)ch->dropped, "interrupted",
                  (json_int_t)ch->interrupted, "unresolved", (json_int_t)ch->unresolved, "unattributed",
                  (json_int_t)ch->unattributed, "excluded", (json_int_t)ch->excluded, "control_failures",
                  (json_int_t)ch->control_failures);
    if (!m)
        return NULL;
    (void)json_object_set_new(m, "rate_bound", json_real(gates_rate_bound(n, c->rubric.rules.confidence)));
    (void)json_object_set_new(m, "witnesses", json_integer(ch->witnesses));
    gate_set_seconds(m, "longest_in_flight_s", ch->longest_in_flight_ns);
    if (ch->clock_error_ns >= 0)
        gate_set_seconds(m, "clock_error_s", ch->clock_error_ns);
    return m;
}

static void add_window(json_t *o, const struct fact_change *ch) {
    gate_set_time(o, "begin", ch->begin_lo);
    gate_set_time(o, "last_sign", ch->last_hi);
    gate_set_time(o, "window_to", ch->window_to);
    if (!ch->has_switch)
        return;
    gate_set_time(o, "switch_from", ch->switch_lo);
    gate_set_time(o, "switch_to", ch->switch_hi);
}

/* ---- the decision */

struct replicas {
    const char *gateway;
    int64_t n; /* 0: not known */
};

static int find_replicas(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct replicas *r = ctx;
    char name[2 * WIRE_NAME_MAX + 2];
    json_t *doc;
    (void)ref;
    (void)snprintf(name, sizeof name, "%s/%s", o->kind, o->name);
    if (strcmp(name, r->gateway) != 0 ||
        js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return 0;
    r->n = js_int(doc, "spec.replicas", 0); /* the API server always fills it in */
    json_decref(doc);
    return 0;
}

/* 0: not known. */
static int64_t replicas_at(const struct facts *f, int64_t t) {
    struct replicas r = {.gateway = f->gateway};
    return facts_snapshot(f, t, find_replicas, &r, NULL) < 0 ? 0 : r.n;
}

static int is_workload(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    int *found = ctx;
    (void)ref;
    *found |= strcmp(o->kind, "Deployment") == 0 || strcmp(o->kind, "StatefulSet") == 0 ||
              strcmp(o->kind, "DaemonSet") == 0;
    return 0;
}

/* How many gateways switch is not known, or is more than one. True when a reason was given. */
static int replicas_unproven(json_t *o, const struct facts *f, const struct fact_change *ch) {
    int workloads = 0;
    if (!f->gateway) {
        if (facts_snapshot(f, ch->window_to, is_workload, &workloads, NULL) == 0 && !workloads)
            return 0; /* nothing here says that Kubernetes runs it */
        gate_decide(o, GATE_INCONCLUSIVE,
                    "it is not known which workload is the gateway: name it in the pilot file, as "
                    "`gateway: Deployment/NAME`");
        return 1;
    }
    int64_t before = replicas_at(f, ch->begin_lo);
    int64_t after = replicas_at(f, ch->window_to);
    if (before == 1 && after == 1)
        return 0;
    if (before < 1 || after < 1)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the replicas of the gateway %s are not known: was it named rightly in the pilot file, "
                    "and may the agents list its kind?",
                    f->gateway);
    else
        gate_decide(o, GATE_INCONCLUSIVE,
                    "%s has %lld replicas, and this version witnesses the switch of one only", f->gateway,
                    (long long)(before > after ? before : after));
    return 1;
}

/* The witness itself was not whole. True when a reason was given. */
static int witness_failed(json_t *o, const struct corr *c, const struct fact_change *ch) {
    char a[WHEN_TEXT_MAX];
    char b[WHEN_TEXT_MAX];
    if (ch->n_unwitnessed) {
        const struct fact_span *s = &ch->unwitnessed[0];
        gate_decide(o, GATE_INCONCLUSIVE, "nobody watched on %s%s from %s to %s: %s",
                    *s->node == '(' ? "" : "node ", s->node, when_format(s->from, 1, a),
                    when_format(s->to, 1, b), s->why);
    } else if (ch->unknown_outcomes) {
        gate_decide(o, GATE_INCONCLUSIVE, "%llu calls have an outcome that this version does not know",
                    (unsigned long long)ch->unknown_outcomes);
    } else if (ch->unresolved) {
        gate_decide(o, GATE_INCONCLUSIVE, "%llu calls were open and nobody saw their end",
                    (unsigned long long)ch->unresolved);
    } else if (ch->losses) {
        gate_decide(o, GATE_INCONCLUSIVE, "an agent lost %llu records inside the window",
                    (unsigned long long)ch->losses);
    } else if (ch->clock_error_ns < 0 || ch->clock_error_ns > c->rubric.rules.clock_error_max_ns) {
        gate_decide(o, GATE_INCONCLUSIVE,
                    "an agent's clock is not known well enough against the collector's");
    } else {
        return 0;
    }
    return 1;
}

/* An object that nobody's release or drill touched may have nothing to do with the product at all. */
static void no_effect(json_t *o, const struct fact_change *ch) {
    gate_decide(o, GATE_INCONCLUSIVE,
                "the change changed nothing that can be seen through the gateway: same tools, same "
                "configuration");
    if (!ch->revision && !ch->drill)
        (void)json_object_set_new(o, "weak", json_true());
}

/* What was changed did not show, or not everywhere. True when a reason was given. */
static int effect_unproven(json_t *o, const struct facts *f, const struct fact_change *ch) {
    if (!f->catalogue_seen && !f->configuration_seen)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "neither a tool catalogue nor the product's configuration was read: add targets and "
                    "documents to the agent's configuration");
    else if (!ch->effective)
        no_effect(o, ch);
    else if (ch->tools_unknown)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the names of the tools before or after the change are not known: the catalogue is too "
                    "long, or its record is missing");
    else if (replicas_unproven(o, f, ch))
        return 1;
    else if (!ch->added_called)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the added tool %s was listed, but no call proved that it works: add a probe for it",
                    ch->added_uncalled);
    else
        return 0;
    return 1;
}

static int too_few(json_t *o, const struct corr *c, const struct fact_change *ch) {
    static const char *const kinds[] = {"reused", "new"};
    long long need = (long long)c->rubric.rules.min_in_flight_per_kind;
    for (int k = 0; k < FACT_KINDS; k++) {
        if ((long long)ch->in_flight[k] >= need)
            continue;
        gate_decide(o, GATE_INCONCLUSIVE,
                    "too few calls in flight across the switch: %llu on %s connections, %lld are needed; use "
                    "`pilotgate drill`, or raise in_flight and the calls' duration",
                    (unsigned long long)ch->in_flight[k], kinds[k], need);
        (void)json_object_set_new(o, "too_few", json_true());
        (void)json_object_set_new(o, "weak", json_true());
        return 1;
    }
    return 0;
}

static void judge(json_t *o, const struct corr *c, const struct facts *f, const struct fact_change *ch) {
    char t[WHEN_TEXT_MAX];
    uint64_t n = ch->in_flight[FACT_KIND_REUSED] + ch->in_flight[FACT_KIND_NEW];
    if (ch->dropped + ch->interrupted > 0)
        gate_decide(o, GATE_FAIL, "%llu calls dropped and %llu interrupted (%llu others in flight completed)",
                    (unsigned long long)ch->dropped, (unsigned long long)ch->interrupted,
                    (unsigned long long)n);
    else if (c->at_ns < ch->window_to)
        gate_decide(o, GATE_PENDING, "not settled: the window closes at %s",
                    when_format(ch->window_to, 0, t));
    else if (ch->ending_pod && !ch->n_unwitnessed)
        gate_decide(o, GATE_PENDING, "not settled: %s was told to end and is not gone yet", ch->ending_pod);
    else if (ch->unattributed)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "%llu calls were lost for reasons that may lie outside the gateway (control probe, 429, "
                    "uninstall)",
                    (unsigned long long)ch->unattributed);
    else if (!witness_failed(o, c, ch) && !effect_unproven(o, f, ch) && !too_few(o, c, ch))
        gate_decide(o, GATE_PASS,
                    "0 of %llu calls in flight across the switch dropped (%llu reused, %llu new connections)",
                    (unsigned long long)n, (unsigned long long)ch->in_flight[FACT_KIND_REUSED],
                    (unsigned long long)ch->in_flight[FACT_KIND_NEW]);
}

json_t *gate_change(const struct corr *c, const struct facts *f, const struct fact_change *ch) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:{}}", "id", ch->id, "verdict", "", "reason", "", "evidence");
    if (!o)
        return NULL;
    add_window(o, ch);
    (void)json_object_set_new(o, "tools_added", names_json(ch->added, ch->n_added));
    (void)json_object_set_new(o, "tools_removed", names_json(ch->removed, ch->n_removed));
    (void)json_object_set_new(o, "signs", signs_json(f, ch, o));
    (void)json_object_set_new(o, "measured", measured_json(c, ch));
    (void)json_object_set_new(o, "lost", lost_json(f, ch));
    (void)json_object_set_new(o, "unwitnessed", spans_json(ch));
    if (ch->drill)
        (void)json_object_set_new(o, "drill", json_string(ch->drill));
    const char *why_not = no_change(f, ch);
    (void)json_object_set_new(o, "qualifies", json_boolean(!why_not));
    if (why_not)
        gate_decide(o, GATE_PENDING, "%s", why_not);
    else
        judge(o, c, f, ch);
    for (size_t i = 0; i < ch->n_lost; i++)
        gate_cite(o, f, ch->lost[i].ref);
    gate_seal(o);
    return o;
}
