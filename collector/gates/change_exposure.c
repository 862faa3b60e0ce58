/* change_exposure: what a change's exposure looks like in the document: counts, switches, replicas, and what
 * is lost when nothing changes. */
#include <string.h>

#include "gates/gates_priv.h"

static json_t *by_kind(const uint64_t n[FACT_KINDS]) {
    return json_pack("{s:I, s:I}", "reused", (json_int_t)n[FACT_KIND_REUSED], "new",
                     (json_int_t)n[FACT_KIND_NEW]);
}

static json_t *what_switched(const struct fact_switch *s) {
    static const char *const words[] = {
        [FACT_SWITCH_GATEWAY] = "gateway",
        [FACT_SWITCH_REPLACED] = "replaced",
        [FACT_SWITCH_ENDED] = "ended",
        [FACT_SWITCH_RELOADED] = "reloaded",
        [FACT_SWITCH_UNSEEN] = "not seen to switch",
        [FACT_SWITCH_NEW] = "came",
    };
    return s->pod ? json_sprintf("%s %s", s->path, words[s->kind]) : json_string(words[s->kind]);
}

/* {"what","path","from","to","in_flight":{kind: calls},"units":{kind: n},...}; no times where it is not known
 * when, and no counts where nothing can be in flight across it. */
static json_t *switch_json(const struct corr *c, const struct fact_switch *s) {
    uint64_t units = s->units[FACT_KIND_REUSED] + s->units[FACT_KIND_NEW];
    json_t *o = json_pack("{s:o, s:s}", "what", what_switched(s), "path", s->path);
    if (!o)
        return NULL;
    if (s->known) {
        gate_set_time(o, "from", s->lo);
        gate_set_time(o, "to", s->hi);
        (void)json_object_set_new(o, "in_flight", by_kind(s->calls));
        (void)json_object_set_new(o, "units", by_kind(s->units));
        if (!s->pod)
            (void)json_object_set_new(o, "units_some", by_kind(s->some));
        (void)json_object_set_new(o, "units_http2", json_integer((json_int_t)s->http2_units));
        (void)json_object_set_new(o, "rate_bound",
                                  json_real(gates_rate_bound(units, c->rubric.rules.confidence)));
        gate_set_seconds(o, "longest_s", s->longest_ns);
    }
    (void)json_object_set_new(o, "dropped", json_integer((json_int_t)s->dropped));
    (void)json_object_set_new(o, "interrupted", json_integer((json_int_t)s->interrupted));
    if (s->kind == FACT_SWITCH_NEW)
        (void)json_object_set_new(o, "reached", json_integer((json_int_t)s->reached));
    return o;
}

json_t *gate_switches_json(const struct corr *c, const struct fact_change *ch) {
    json_t *list = json_array();
    for (size_t i = 0; i < ch->n_switches; i++)
        (void)json_array_append_new(list, switch_json(c, &ch->switches[i]));
    return list;
}

json_t *gate_background_json(const struct facts *f) {
    const struct fact_background *b = &f->background;
    if (b->unknown)
        return json_pack("{s:b, s:s}", "known", 0, "reason", b->unknown);
    json_t *o = json_pack("{s:b, s:I, s:I, s:f}", "known", 1, "n", (json_int_t)b->n, "lost",
                          (json_int_t)b->lost, "rate", b->n ? (double)b->lost / (double)b->n : 0.0);
    if (!o)
        return NULL;
    (void)json_object_set_new(o, "unsent", json_integer((json_int_t)b->unsent));
    gate_set_time(o, "from", b->from);
    gate_set_time(o, "to", b->to);
    return o;
}

json_t *gate_replicas_json(const struct facts *f, const struct fact_change *ch) {
    return json_pack("{s:s, s:I, s:I, s:I, s:I}", "workload", f->gateway ? f->gateway : "", "before",
                     (json_int_t)ch->replicas_before, "after", (json_int_t)ch->replicas_after, "seen_before",
                     (json_int_t)ch->pods_before, "seen_after", (json_int_t)ch->pods_after);
}

static void set_count(json_t *o, const char *key, uint64_t n) {
    (void)json_object_set_new(o, key, json_integer((json_int_t)n));
}

/* Calls, not units: those of one connection are told apart here. */
static void sum_calls(const struct fact_change *ch, uint64_t *ret_calls, int64_t *ret_longest) {
    *ret_calls = 0;
    *ret_longest = 0;
    for (size_t i = 0; i < ch->n_switches; i++) {
        const struct fact_switch *s = &ch->switches[i];
        *ret_calls += s->calls[FACT_KIND_REUSED] + s->calls[FACT_KIND_NEW];
        *ret_longest = s->longest_ns > *ret_longest ? s->longest_ns : *ret_longest;
    }
}

json_t *gate_measured_json(const struct corr *c, const struct facts *f, const struct fact_change *ch) {
    uint64_t calls;
    int64_t longest;
    uint64_t reused = gate_url_units(ch, FACT_KIND_REUSED);
    uint64_t new = gate_url_units(ch, FACT_KIND_NEW);
    json_t *m = json_object();
    sum_calls(ch, &calls, &longest);
    set_count(m, "calls_in_window", ch->calls_in_window);
    set_count(m, "in_flight", reused + new);
    set_count(m, "in_flight_reused", reused);
    set_count(m, "in_flight_new", new);
    set_count(m, "in_flight_replicas", gate_replica_units(ch));
    set_count(m, "units", gate_units(ch));
    set_count(m, "calls_across", calls);
    set_count(m, "dropped", ch->dropped);
    set_count(m, "interrupted", ch->interrupted);
    set_count(m, "unresolved", ch->unresolved);
    set_count(m, "unattributed", ch->unattributed);
    set_count(m, "excluded", ch->excluded);
    set_count(m, "repeated", ch->repeated);
    set_count(m, "executions_told", ch->executions_told);
    set_count(m, "unsent", ch->unsent);
    set_count(m, "queued", ch->queued);
    set_count(m, "control_failures", ch->control_failures);
    set_count(m, "stalls", ch->stalls);
    if (ch->stalls)
        gate_set_seconds(m, "worst_stall_s", ch->worst_stall_ns);
    (void)json_object_set_new(m, "rate_bound",
                              json_real(gates_rate_bound(gate_units(ch), c->rubric.rules.confidence)));
    set_count(m, "witnesses", ch->witnesses);
    set_count(m, "expected_agents", ch->expected_agents);
    gate_set_seconds(m, "longest_in_flight_s", longest);
    if (ch->clock_error_ns >= 0)
        gate_set_seconds(m, "clock_error_s", ch->clock_error_ns);
    (void)json_object_set_new(m, "background", gate_background_json(f));
    return m;
}
