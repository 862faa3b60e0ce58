/* config_safety: gateway configuration changes do not drop in-flight calls.
 *
 * Every qualifying change is judged alone (change.c). For the stage: any FAIL fails; every change must
 * have settled; PASS needs enough clean units over all passing changes to rule out the rubric's drop
 * rate. A change that could not be judged keeps the stage INCONCLUSIVE until a later drill passes, except a
 * weak one: with too few calls in flight, or of an object that no release or drill touched and that changed
 * nothing at the gateway. It proves nothing either way and only counts when nothing else was seen. All of
 * them stay displayed. */
#include <stdio.h>

#include "base/js.h"
#include "gates/gates_priv.h"

struct tally {
    unsigned judged, failed, passed, pending, inconclusive;
    uint64_t units, dropped, interrupted;
    const json_t *failing, *unsettled, *undecided, *weak;
};

static void count(struct tally *t, const json_t *change) {
    t->judged++;
    switch (gate_verdict_of(change)) {
    case GATE_FAIL:
        t->failed++;
        t->failing = t->failing ? t->failing : change;
        t->dropped += (uint64_t)js_int(change, "measured.dropped", 0);
        t->interrupted += (uint64_t)js_int(change, "measured.interrupted", 0);
        break;
    case GATE_PASS:
        t->passed++;
        t->units += (uint64_t)js_int(change, "measured.in_flight", 0);
        if (json_object_get(change, "drill"))
            t->undecided = NULL;
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

static void decide(json_t *o, const struct corr *c, const struct tally *t) {
    const struct rubric_rules *r = &c->rubric.rules;
    uint64_t need = gates_units_needed(r->max_drop_rate, r->confidence);
    if (t->judged == 0)
        gate_decide(o, GATE_PENDING,
                    "no configuration change was witnessed yet: `pilotgate drill config-change` makes one");
    else if (t->failed)
        gate_decide(o, GATE_FAIL, "change %s: %s", js_str(t->failing, "id", ""),
                    js_str(t->failing, "reason", ""));
    else if (t->pending)
        gate_decide(o, GATE_PENDING, "change %s: %s", js_str(t->unsettled, "id", ""),
                    js_str(t->unsettled, "reason", ""));
    else if (t->undecided || t->passed == 0)
        gate_decide(o, GATE_INCONCLUSIVE, "change %s: %s",
                    js_str(t->undecided ? t->undecided : t->weak, "id", ""),
                    js_str(t->undecided ? t->undecided : t->weak, "reason", ""));
    else if (t->units < need)
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "%u changes without a drop, but %llu clean units bound the drop rate only to %.3g %%; %llu "
            "are needed for %.3g %% at %.3g %%: repeat the drill",
            t->passed, (unsigned long long)t->units, 100 * gates_rate_bound(t->units, r->confidence),
            (unsigned long long)need, 100 * r->max_drop_rate, 100 * r->confidence);
    else
        gate_decide(o, GATE_PASS,
                    "0 of %llu calls in flight across %u changes dropped; drop rate below %.3g %% at %.3g %% "
                    "confidence%s",
                    (unsigned long long)t->units, t->passed, 100 * gates_rate_bound(t->units, r->confidence),
                    100 * r->confidence, t->inconclusive ? "; earlier changes could not be judged" : "");
}

json_t *gate_config_safety(const struct corr *c, const struct facts *f) {
    json_t *o = gate_unjudgeable(f, 0);
    if (o)
        return o;
    o = gate_stage(f, GATE_PENDING, "%s", "");
    json_t *changes = json_array();
    struct tally t = {0};
    for (size_t i = 0; o && changes && i < f->n_changes; i++) {
        if (!gate_change_qualifies(f, &f->changes[i]))
            continue;
        json_t *change = gate_change(c, f, &f->changes[i]);
        if (!change) { /* a change that is left out might be the one that fails */
            gate_decide(o, GATE_INCONCLUSIVE, "out of memory while the changes were judged");
            json_decref(changes);
            return o;
        }
        (void)json_array_append_new(changes, change);
        count(&t, change);
        for (size_t s = 0; s < f->changes[i].n_signs; s++)
            gate_cite(o, f, f->changes[i].signs[s]->ref);
        for (size_t s = 0; s < f->changes[i].n_lost; s++)
            gate_cite(o, f, f->changes[i].lost[s].ref);
    }
    if (o) {
        const struct rubric_rules *r = &c->rubric.rules;
        decide(o, c, &t);
        (void)json_object_set_new(o, "measured",
                                  json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "changes",
                                            (json_int_t)t.judged, "units", (json_int_t)t.units, "dropped",
                                            (json_int_t)t.dropped, "interrupted", (json_int_t)t.interrupted,
                                            "rate_bound", gates_rate_bound(t.units, r->confidence),
                                            "confidence", r->confidence, "units_needed",
                                            (json_int_t)gates_units_needed(r->max_drop_rate, r->confidence)));
        (void)json_object_set(o, "changes", changes);
    }
    json_decref(changes);
    return o;
}
