/* config_safety: gateway configuration changes do not drop in-flight calls.
 *
 * Every qualifying change is judged alone (change.c). For the stage: any FAIL fails; every change must
 * have settled; PASS needs enough clean units over all passing changes to rule out the rubric's drop
 * rate. A change that could not be judged keeps the stage INCONCLUSIVE until a later drill passes, except a
 * weak one: with too few calls in flight, or of an object that no release, drill or mark touched and that
 * changed nothing at the gateway. It proves nothing either way and only counts when nothing else was seen.
 * All of them stay displayed.
 *
 * Records that nobody can read may hide a change: outside of all windows they do as such a change would.
 *
 * A failed change that an attestation supersedes stays displayed, too, and no longer decides. Units count
 * from there on only: clean calls from before the failure do not speak for what was repaired after it. */
#include <stdio.h>

#include "base/js.h"
#include "gates/gates_priv.h"

struct tally {
    unsigned judged, failed, superseded, passed, pending, inconclusive;
    uint64_t units, reused, new, replica_units, dropped, interrupted, repeated;
    unsigned replicas; /* switches of single replicas */
    bool hidden;       /* of some passing change no tool server told its executions */
    const json_t *failing, *unsettled, *undecided, *weak;
    const struct fact_missing *unseen; /* in which a change may have happened that nobody saw */
};

static void count_pass(struct tally *t, const json_t *change) {
    size_t i;
    json_t *s;
    t->passed++;
    t->units += (uint64_t)js_int(change, "measured.units", 0);
    t->reused += (uint64_t)js_int(change, "measured.in_flight_reused", 0);
    t->new += (uint64_t)js_int(change, "measured.in_flight_new", 0);
    t->replica_units += (uint64_t)js_int(change, "measured.in_flight_replicas", 0);
    t->hidden |= js_int(change, "measured.executions_told", 0) == 0;
    json_array_foreach(json_object_get(change, "switches"), i, s) {
        t->replicas += *js_str(s, "path", "") && js_at(s, "units") &&
                       js_int(s, "units.reused", 0) + js_int(s, "units.new", 0) > 0;
    }
    if (json_object_get(change, "drill"))
        t->undecided = NULL;
}

/* What was repaired after a failure is another configuration: its units count anew. */
static void count_superseded(struct tally *t) {
    t->superseded++;
    t->units = t->reused = t->new = t->replica_units = 0;
    t->replicas = t->passed = 0;
    t->hidden = false;
}

static void count_failed(struct tally *t, const json_t *change) {
    t->failed++;
    t->failing = t->failing ? t->failing : change;
    t->dropped += (uint64_t)js_int(change, "measured.dropped", 0);
    t->interrupted += (uint64_t)js_int(change, "measured.interrupted", 0);
}

static void count(struct tally *t, const json_t *change) {
    t->judged++;
    t->repeated += (uint64_t)js_int(change, "measured.repeated", 0);
    switch (gate_verdict_of(change)) {
    case GATE_FAIL:
        if (gate_is_superseded(change))
            count_superseded(t);
        else
            count_failed(t, change);
        break;
    case GATE_PASS:
        count_pass(t, change);
        break;
    case GATE_PENDING:
        t->pending++;
        t->unsettled = change;
        break;
    case GATE_INCONCLUSIVE:
    default:
        t->inconclusive++;
        if (js_bool(change, "weak", false))
            t->weak = change;
        else
            t->undecided = change;
        break;
    }
}

static void decide_by(json_t *o, enum gate_verdict v, const json_t *change, const char *superseded) {
    gate_decide(o, v, "change %s: %s%s", js_str(change, "id", ""), js_str(change, "reason", ""), superseded);
}

static void decide_pass(json_t *o, const struct rubric_rules *r, const struct tally *t,
                        const char *superseded) {
    char replicas[128] = "";
    if (t->replica_units)
        (void)snprintf(replicas, sizeof replicas,
                       ", %llu at the own addresses of %u replicas, %llu in all surely at one that switched",
                       (unsigned long long)t->replica_units, t->replicas, (unsigned long long)t->units);
    gate_decide(
        o, GATE_PASS,
        "0 of %llu calls in flight across %u changes dropped (%llu on reused and %llu on new "
        "connections through the target's URL%s); drop rate below %.3g %% at %.3g %% confidence%s%s%s",
        (unsigned long long)(t->reused + t->new + t->replica_units), t->passed, (unsigned long long)t->reused,
        (unsigned long long)t->new, replicas, 100 * gates_rate_bound(t->units, r->confidence),
        100 * r->confidence, t->inconclusive ? "; earlier changes could not be judged" : "",
        t->hidden ? "; " GATE_HIDDEN_RETRIES : "", superseded);
}

static void decide_unseen(json_t *o, const struct facts *f, const struct tally *t, const char *superseded) {
    char missing[GATE_MISSING_MAX];
    gate_missing_text(f, t->unseen, missing);
    gate_decide(o, GATE_INCONCLUSIVE,
                "%s. A change among them would be one that nobody saw: a later `pilotgate drill` that passes "
                "settles it%s",
                missing, superseded);
    gate_cite(o, f, t->unseen->ref);
}

static void decide(json_t *o, const struct corr *c, const struct facts *f, const struct tally *t,
                   const char *superseded) {
    const struct rubric_rules *r = &c->rubric.rules;
    uint64_t need = gates_units_needed(r->max_drop_rate, r->confidence);
    const json_t *undecided = t->undecided ? t->undecided : t->weak;
    if (t->judged == 0)
        gate_decide(o, GATE_PENDING,
                    "no configuration change was witnessed yet: `pilotgate drill config-change` makes one");
    else if (t->failed)
        decide_by(o, GATE_FAIL, t->failing, superseded);
    else if (t->pending)
        decide_by(o, GATE_PENDING, t->unsettled, superseded);
    else if (t->undecided || t->passed == 0)
        decide_by(o, GATE_INCONCLUSIVE, undecided, superseded);
    else if (t->unseen)
        decide_unseen(o, f, t, superseded);
    else if (t->units < need)
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "%u changes without a drop, but %llu clean units bound the drop rate only to %.3g %%; %llu "
            "are needed for %.3g %% at %.3g %%: repeat the drill%s",
            t->passed, (unsigned long long)t->units, 100 * gates_rate_bound(t->units, r->confidence),
            (unsigned long long)need, 100 * r->max_drop_rate, 100 * r->confidence, superseded);
    else
        decide_pass(o, r, t, superseded);
}

static json_t *measured(const struct corr *c, const struct facts *f, const struct tally *t) {
    const struct rubric_rules *r = &c->rubric.rules;
    json_t *m = json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "changes", (json_int_t)t->judged, "units",
                          (json_int_t)t->units, "dropped", (json_int_t)t->dropped, "interrupted",
                          (json_int_t)t->interrupted, "rate_bound", gates_rate_bound(t->units, r->confidence),
                          "confidence", r->confidence, "units_needed",
                          (json_int_t)gates_units_needed(r->max_drop_rate, r->confidence));
    if (!m)
        return NULL;
    (void)json_object_set_new(m, "units_reused", json_integer((json_int_t)t->reused));
    (void)json_object_set_new(m, "units_new", json_integer((json_int_t)t->new));
    (void)json_object_set_new(m, "units_replicas", json_integer((json_int_t)t->replica_units));
    (void)json_object_set_new(m, "replica_switches", json_integer(t->replicas));
    (void)json_object_set_new(m, "repeated", json_integer((json_int_t)t->repeated));
    (void)json_object_set_new(m, "superseded", json_integer(t->superseded));
    (void)json_object_set_new(m, "background", gate_background_json(f));
    return m;
}

/* Every qualifying change with its own verdict; NULL: out of memory. */
static json_t *judge_changes(json_t *o, const struct corr *c, const struct facts *f) {
    json_t *changes = json_array();
    for (size_t i = 0; changes && i < f->n_changes; i++) {
        const struct fact_change *ch = &f->changes[i];
        if (!gate_change_qualifies(f, ch))
            continue;
        json_t *change = gate_change(c, f, ch);
        if (!change || json_array_append_new(changes, change) < 0) {
            json_decref(changes); /* a change that is left out might be the one that fails */
            return NULL;
        }
        for (size_t s = 0; s < ch->n_signs; s++)
            gate_cite(o, f, ch->signs[s]->ref);
        for (size_t s = 0; s < ch->n_lost; s++)
            gate_cite(o, f, ch->lost[s].ref);
    }
    return changes;
}

json_t *gate_config_safety(const struct corr *c, const struct facts *f) {
    json_t *o = gate_unjudgeable(f, 0);
    if (o)
        return o;
    o = gate_stage(f, GATE_PENDING, "%s", "");
    json_t *changes = o ? judge_changes(o, c, f) : NULL;
    if (o && !changes)
        gate_decide(o, GATE_INCONCLUSIVE, "out of memory while the changes were judged");
    if (!o || !changes)
        return o;
    char superseded[ERR_TEXT_MAX];
    struct tally t = {0};
    size_t i;
    json_t *change;
    gate_supersede(o, f, changes, true);
    gate_superseded_text(changes, superseded, sizeof superseded);
    json_array_foreach(changes, i, change) {
        count(&t, change);
    }
    t.unseen = gate_unseen(f, changes);
    decide(o, c, f, &t, superseded);
    (void)json_object_set_new(o, "measured", measured(c, f, &t));
    (void)json_object_set_new(o, "missing", gate_missing_json(f, INT64_MIN, INT64_MAX, false));
    (void)json_object_set_new(o, "changes", changes);
    return o;
}
