/* change_judge: the verdict on one change of a configuration in service, from its exposure. */
#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "gates/gates_priv.h"

const struct fact_switch *gate_whole(const struct fact_change *c) {
    return c->n_switches && c->switches[0].kind == FACT_SWITCH_GATEWAY ? &c->switches[0] : NULL;
}

uint64_t gate_whole_units(const struct fact_change *c, enum fact_kind kind) {
    const struct fact_switch *s = gate_whole(c);
    return s ? s->units[kind] : 0;
}

/* One before and one after: whatever took the target's URL took it. */
static bool has_one_replica(const struct fact_change *ch) {
    return ch->replicas_before == 1 && ch->replicas_after == 1 && ch->pods_before <= 1 && ch->pods_after <= 1;
}

uint64_t gate_url_units(const struct fact_change *c, enum fact_kind kind) {
    const struct fact_switch *s = gate_whole(c);
    if (!s)
        return 0;
    return has_one_replica(c) ? s->units[kind] : s->some[kind];
}

uint64_t gate_replica_units(const struct fact_change *c) {
    uint64_t n = 0;
    for (size_t i = 0; i < c->n_switches; i++)
        if (c->switches[i].pod)
            n += c->switches[i].units[FACT_KIND_REUSED] + c->switches[i].units[FACT_KIND_NEW];
    return n;
}

uint64_t gate_units(const struct fact_change *c) {
    return gate_whole_units(c, FACT_KIND_REUSED) + gate_whole_units(c, FACT_KIND_NEW) + gate_replica_units(c);
}

/* ---- replicas */

static int is_workload(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    int *found = ctx;
    (void)ref;
    *found |= strcmp(o->kind, "Deployment") == 0 || strcmp(o->kind, "StatefulSet") == 0 ||
              strcmp(o->kind, "DaemonSet") == 0;
    return 0;
}

/* Which workload the gateway is, or how many replicas it has, is not known. True when a reason was given. */
static bool gateway_unknown(json_t *o, const struct facts *f, const struct fact_change *ch) {
    int workloads = 0;
    if (!f->gateway) {
        if (facts_snapshot(f, ch->window_to, is_workload, &workloads, NULL) == 0 && !workloads)
            return false; /* nothing here says that Kubernetes runs it */
        gate_decide(o, GATE_INCONCLUSIVE,
                    "it is not known which workload is the gateway: name it in the pilot file, as "
                    "`gateway: Deployment/NAME`");
        return true;
    }
    if (ch->replicas_before >= 1 && ch->replicas_after >= 1)
        return false;
    gate_decide(o, GATE_INCONCLUSIVE,
                "the replicas of the gateway %s are not known: was it named rightly in the pilot file, as a "
                "Deployment or StatefulSet, and may the agents list its kind?",
                f->gateway);
    return true;
}

static bool pods_missing(json_t *o, const struct facts *f, long long replicas, unsigned pods,
                         const char *when) {
    if (pods >= replicas)
        return false;
    gate_decide(
        o, GATE_INCONCLUSIVE,
        "%s has %lld replicas %s the change, and agents saw %u of its pods ready: is there an agent on "
        "every node, and may it list pods?",
        f->gateway, replicas, when, pods);
    return true;
}

static bool replica_unseen(json_t *o, const struct fact_switch *s) {
    if (s->kind == FACT_SWITCH_UNSEEN)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "%s stayed, and no catalogue read at its own address shows when it took the change over: "
                    "set targets[].replicas in the agent's configuration",
                    s->path);
    else if (s->kind == FACT_SWITCH_NEW && s->reached == 0)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "no call completed at the address of the new replica %s: set targets[].replicas and "
                    "probes[].replica_in_flight in the agent's configuration",
                    s->path);
    else
        return false;
    return true;
}

/* The switch of some replica was not witnessed. True when a reason was given. */
static bool replicas_unproven(json_t *o, const struct facts *f, const struct fact_change *ch) {
    if (gateway_unknown(o, f, ch))
        return true;
    if (!f->gateway || has_one_replica(ch))
        return false;
    if (pods_missing(o, f, ch->replicas_before, ch->ready_before, "before") ||
        pods_missing(o, f, ch->replicas_after, ch->pods_after, "after"))
        return true;
    for (size_t i = 0; i < ch->n_switches; i++)
        if (replica_unseen(o, &ch->switches[i]))
            return true;
    return false;
}

/* ---- the witness and the effect */

/* The witness itself was not whole. True when a reason was given. */
static bool witness_failed(json_t *o, const struct corr *c, const struct facts *f,
                           const struct fact_change *ch) {
    char a[WHEN_TEXT_MAX];
    char b[WHEN_TEXT_MAX];
    char missing[GATE_MISSING_MAX];
    if (ch->missing) {
        gate_missing_text(f, ch->missing, missing);
        gate_decide(o, GATE_INCONCLUSIVE, "%s, and repeat the change", missing);
        gate_cite(o, f, ch->missing->ref);
    } else if (ch->n_unwitnessed) {
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
    } else if (ch->clock_error_ns < 0 || ch->clock_error_ns > c->rubric.rules.clock_error_max_ns) {
        gate_decide(o, GATE_INCONCLUSIVE,
                    "an agent's clock is not known well enough against the collector's");
    } else {
        return false;
    }
    return true;
}

static bool is_marked(const struct fact_change *ch) {
    for (size_t i = 0; i < ch->n_signs; i++)
        if (ch->signs[i]->kind == FACT_SIGN_MARK)
            return true;
    return false;
}

/* An object that nobody's release, drill or mark touched may have nothing to do with the product at all. */
static void no_effect(json_t *o, const struct fact_change *ch) {
    gate_decide(o, GATE_INCONCLUSIVE,
                "the change changed nothing that can be seen through the gateway: same tools, same "
                "configuration");
    if (!ch->revision && !ch->drill && !is_marked(ch))
        (void)json_object_set_new(o, "weak", json_true());
}

/* What was changed did not show, or not everywhere. True when a reason was given. */
static bool effect_unproven(json_t *o, const struct facts *f, const struct fact_change *ch) {
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
    else if (ch->split_tool)
        gate_decide(
            o, GATE_INCONCLUSIVE,
            "in the end some nodes listed the tool %s through the gateway, and others did not: do all "
            "its replicas serve the same tools?",
            ch->split_tool);
    else if (ch->gone_tool)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the tool %s was not in the catalogue for a while, and probes do not call what is not "
                    "listed: nobody saw what other clients met",
                    ch->gone_tool);
    else if (replicas_unproven(o, f, ch))
        return true;
    else if (!ch->added_called)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the added tool %s was listed, but no call proved that it works: add a probe for it",
                    ch->added_uncalled);
    else
        return false;
    return true;
}

/* ---- exposure */

static void set_too_few(json_t *o) {
    (void)json_object_set_new(o, "too_few", json_true());
    (void)json_object_set_new(o, "weak", json_true());
}

static bool too_few_on_replicas(json_t *o, const struct corr *c, const struct fact_change *ch) {
    long long need = (long long)c->rubric.rules.min_in_flight_per_replica;
    for (size_t i = 0; i < ch->n_switches; i++) {
        const struct fact_switch *s = &ch->switches[i];
        long long units = (long long)(s->units[FACT_KIND_REUSED] + s->units[FACT_KIND_NEW]);
        if (!s->pod || !s->known || units >= need)
            continue;
        gate_decide(o, GATE_INCONCLUSIVE,
                    "too few calls in flight across the switch of %s: %lld at its own address, %lld are "
                    "needed; use `pilotgate drill`, with targets[].replicas and "
                    "probes[].replica_drill_in_flight set in the agent's configuration",
                    s->path, units, need);
        set_too_few(o);
        return true;
    }
    return false;
}

static bool too_few(json_t *o, const struct corr *c, const struct facts *f, const struct fact_change *ch) {
    static const char *const kinds[] = {"reused", "new"};
    long long need = (long long)c->rubric.rules.min_in_flight_per_kind;
    for (int k = 0; k < FACT_KINDS; k++) {
        uint64_t units = gate_url_units(ch, (enum fact_kind)k);
        if ((long long)units >= need)
            continue;
        gate_decide(o, GATE_INCONCLUSIVE,
                    "too few calls in flight across the switch: %llu on %s connections, %lld are needed; use "
                    "`pilotgate drill`, or raise in_flight and the calls' duration",
                    (unsigned long long)units, kinds[k], need);
        set_too_few(o);
        return true;
    }
    return f->gateway && !has_one_replica(ch) && too_few_on_replicas(o, c, ch);
}

/* Whoever watches and calls nobody, for whatever reason, is no witness. True when a reason was given. */
static bool calls_nobody(json_t *o, const struct fact_change *ch) {
    if (!ch->silent_node)
        return false;
    gate_decide(o, GATE_INCONCLUSIVE,
                "no call from node %s met the change, though its agent was there: `pilotgate calls` and the "
                "agent's log say why",
                ch->silent_node);
    return true;
}

/* ---- the decision */

static void pass(json_t *o, const struct fact_change *ch) {
    char replicas[128] = "";
    unsigned long long own = gate_replica_units(ch);
    unsigned long long reused = gate_url_units(ch, FACT_KIND_REUSED);
    unsigned long long new = gate_url_units(ch, FACT_KIND_NEW);
    if (own)
        (void)snprintf(replicas, sizeof replicas, ", and %llu at replicas' own addresses", own);
    gate_decide(o, GATE_PASS,
                "0 of %llu calls in flight across the switch dropped (%llu reused, %llu new connections%s)%s",
                reused + new + own, reused, new, replicas,
                ch->executions_told ? "" : "; " GATE_HIDDEN_RETRIES);
}

static void fail(json_t *o, const struct fact_change *ch) {
    char repeated[128] = "";
    if (ch->repeated)
        (void)snprintf(repeated, sizeof repeated,
                       "; %llu calls were executed twice or more: something between retried",
                       (unsigned long long)ch->repeated);
    gate_decide(o, GATE_FAIL, "%llu calls dropped and %llu interrupted (%llu others in flight completed)%s",
                (unsigned long long)ch->dropped, (unsigned long long)ch->interrupted,
                (unsigned long long)gate_units(ch), repeated);
}

void gate_judge_change(json_t *o, const struct corr *c, const struct facts *f, const struct fact_change *ch) {
    char t[WHEN_TEXT_MAX];
    if (ch->dropped + ch->interrupted > 0)
        fail(o, ch);
    else if (c->at_ns < ch->window_to)
        gate_decide(o, GATE_PENDING, "not settled: the window closes at %s",
                    when_format(ch->window_to, 0, t));
    else if (ch->ending_pod && !ch->n_unwitnessed)
        gate_decide(o, GATE_PENDING, "not settled: %s was told to end and is not gone yet", ch->ending_pod);
    else if (ch->unattributed)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "%llu calls were lost for reasons that may lie outside the gateway (control probe, 429, "
                    "uninstall, the agent's own node stood still)",
                    (unsigned long long)ch->unattributed);
    else if (!witness_failed(o, c, f, ch) && !effect_unproven(o, f, ch) && !too_few(o, c, f, ch) &&
             !calls_nobody(o, ch))
        pass(o, ch);
}
