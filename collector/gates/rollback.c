/* rollback: it completes cleanly, and the prior configuration is restored.
 *
 *   revision N active ... | change away from N ... | rollback R          | settled
 *              baseline ──┘           before ──────┘            after ───┘
 *
 * Restored means three comparisons of `after` with `baseline`: the rendered manifest, the live objects in
 * normal form, the product's configuration and tool catalogue. `before` must differ from `baseline`, or
 * nothing was rolled back. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "gates/rollback_priv.h"

/* ---- which revisions are rollbacks */

bool rollback_same_content(const struct fact_revision *a, const struct fact_revision *b) {
    return strcmp(a->release, b->release) == 0 && *a->manifest_digest &&
           strcmp(a->manifest_digest, b->manifest_digest) == 0;
}

bool rollback_same_inputs(const struct fact_revision *a, const struct fact_revision *b) {
    return strcmp(a->release, b->release) == 0 && *a->config_digest &&
           strcmp(a->config_digest, b->config_digest) == 0 && *a->chart && strcmp(a->chart, b->chart) == 0 &&
           strcmp(a->chart_version, b->chart_version) == 0;
}

/* The one before it of the same install: a reinstall counts from 1 again, and rolls nothing back; neither
 * does one in another namespace of the same name. */
static const struct fact_revision *previous(const struct facts *f, const struct fact_revision *v) {
    const struct fact_revision *p = v;
    while (p > f->revisions && strcmp((--p)->release, v->release) != 0) {
    }
    bool same_install = p < v && strcmp(p->release, v->release) == 0 && p->revision < v->revision &&
                        facts_life_at(f, p->created_hi) == facts_life_at(f, v->created_hi);
    return same_install ? p : NULL;
}

static const struct fact_revision *named_target(const struct facts *f, const struct fact_revision *v,
                                                long number) {
    const struct fact_revision *p = previous(f, v);
    while (p && p->revision != number)
        p = previous(f, p);
    return p;
}

/* What was never in service cannot be gone back to, unless somebody says so. */
static bool was_active(const struct fact_revision *v) {
    return v->deployed_hi || strcmp(v->status, "superseded") == 0 || strcmp(v->status, "deployed") == 0;
}

/* An older revision, not the predecessor, with the same content; the predecessor has another one. */
static const struct fact_revision *same_target(const struct facts *f, const struct fact_revision *v,
                                               bool same(const struct fact_revision *,
                                                         const struct fact_revision *)) {
    const struct fact_revision *prev = previous(f, v);
    if (!prev || same(prev, v))
        return NULL;
    for (const struct fact_revision *p = previous(f, prev); p; p = previous(f, p))
        if (was_active(p) && same(p, v))
            return p;
    return NULL;
}

/* The revision that this one says, or shows by its content, that it goes back to; NULL: none. What was
 * rendered from an older chart and values may differ by random material: whether it does no more is seen
 * later. */
static const struct fact_revision *target_of(const struct facts *f, const struct fact_revision *v,
                                             bool *ret_by_inputs) {
    static const char words[] = "Rollback to ";
    *ret_by_inputs = false;
    if (strncmp(v->description, words, sizeof words - 1) == 0)
        return named_target(f, v, strtol(v->description + sizeof words - 1, NULL, 10));
    const struct fact_revision *to = same_target(f, v, rollback_same_content);
    if (to)
        return to;
    to = same_target(f, v, rollback_same_inputs);
    *ret_by_inputs = to != NULL;
    return to;
}

const struct fact_revision *gates_rollback_target(const struct facts *f, const struct fact_revision *v) {
    bool by_inputs;
    const struct fact_revision *to = target_of(f, v, &by_inputs);
    return by_inputs ? NULL : to;
}

const struct fact_change *rollback_change_of(const struct facts *f, const struct fact_revision *v) {
    for (size_t i = 0; i < f->n_changes; i++)
        if (f->changes[i].revision == (size_t)(v - f->revisions) + 1)
            return &f->changes[i];
    return NULL;
}

/* The last settled moment while the target was active: just before the next revision's change began. */
static int64_t baseline_time(const struct rollback *r) {
    for (size_t i = 0; i < r->f->n_changes; i++) {
        const struct fact_change *c = &r->f->changes[i];
        const struct fact_revision *v = c->revision ? &r->f->revisions[c->revision - 1] : NULL;
        if (v && v > r->to && strcmp(v->release, r->to->release) == 0)
            return c->begin_lo;
    }
    return 0;
}

/* Signs that follow the rollback while its workloads still start are its own: a catalogue that comes late. */
static bool is_aftermath(const struct fact_change *c) {
    return !c->revision && !c->uninstall && !c->drill;
}

/* When what the rollback left is read: once it settled, or just before the next change when that comes
 * earlier; 0 when the next change began before the rollback's last sign, and no such moment exists. */
static int64_t after_time(const struct rollback *r) {
    const struct fact_change *last = r->f->changes + r->f->n_changes;
    const struct fact_change *next = r->change + 1;
    while (r->settled > r->change->window_to && next < last && is_aftermath(next))
        next++;
    if (next == last || next->begin_lo >= r->settled)
        return r->settled;
    return next->begin_lo >= r->change->last_hi ? next->begin_lo : 0;
}

/* What was lost since the target was made may have told how either state came about. True when it was. */
static bool states_unseen(json_t *o, const struct rollback *r, int64_t after_at) {
    char text[GATE_MISSING_MAX];
    const struct fact_missing *m = facts_missing(r->f, r->to->created_lo, after_at, true);
    if (!m)
        return false;
    gate_missing_text(r->f, m, text);
    gate_decide(
        o, GATE_INCONCLUSIVE,
        "the states before and after the rollback may not be the ones that were seen: %s, and roll back "
        "again, to a revision that was made since",
        text);
    gate_cite(o, r->f, m->ref);
    return true;
}

/* How it came about, in a word: what was said, or that its content shows it. */
static const char *how(const struct rollback *r) {
    if (strncmp(r->now->description, "Rollback to ", 12) == 0)
        return "said by Helm";
    return r->by_inputs ? "by its chart and values" : "by its rendered manifest";
}

static json_t *describe(const struct rollback *r) {
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:{}, s:i, s:i, s:s, s:s, s:s, s:s}", "id", r->change ? r->change->id : "",
                  "verdict", "", "reason", "", "evidence", "revision", r->now->revision, "target",
                  r->to->revision, "manifest_baseline", r->to->manifest_digest, "manifest_after",
                  r->now->manifest_digest, "description", r->now->description, "recognised", how(r));
    if (!o)
        return NULL;
    gate_cite(o, r->f, r->now->ref);
    gate_cite(o, r->f, r->to->ref);
    (void)json_object_set_new(o, "status", json_string(r->now->status));
    if (r->from)
        (void)json_object_set_new(o, "from", json_integer(r->from->revision));
    (void)json_object_set_new(o, "from_status", json_string(r->from ? r->from->status : ""));
    gate_set_time(o, "created", r->now->created_lo);
    if (r->now->deployed_hi) {
        gate_set_time(o, "deployed", r->now->deployed_hi);
        gate_set_seconds(o, "seconds", r->now->deployed_hi - r->now->created_lo);
    }
    return o;
}

/* NULL: by its content it is none. */
static json_t *judge_one(struct rollback *r) {
    json_t *o = describe(r);
    bool is_one = true;
    if (!o)
        return json_pack("{s:s, s:s}", "verdict", "INCONCLUSIVE", "reason", "out of memory");
    int64_t base_at = baseline_time(r);
    r->settled = r->change ? rollback_settled(r) : 0;
    int64_t after_at = r->change ? after_time(r) : 0;
    if (!r->change || !r->now->live || !base_at)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "the rollback happened while nobody watched: roll back again under `pilotgate drill`");
    else if (rollback_not_clean(o, r))
        return o;
    else if (!after_at)
        gate_decide(o, GATE_INCONCLUSIVE,
                    "another change began before the rollback had settled: roll back again");
    else if (!rollback_lost_since(o, r, after_at) && !states_unseen(o, r, after_at))
        is_one = rollback_restored(o, r, base_at, after_at);
    if (is_one)
        return o;
    json_decref(o);
    return NULL;
}

/* The stage's verdict is that of the newest rollback, unless one failed that nothing supersedes. */
static void sum_up(json_t *o, const json_t *list) {
    const json_t *chosen = NULL;
    char superseded[ERR_TEXT_MAX];
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) {
        if (!gate_is_superseded(v) && (!chosen || gate_verdict_of(chosen) != GATE_FAIL))
            chosen = v;
    }
    gate_superseded_text(list, superseded, sizeof superseded);
    if (!chosen) {
        gate_decide(o, GATE_PENDING, "no rollback was witnessed yet: `pilotgate drill rollback` makes one");
        return;
    }
    gate_decide(o, gate_verdict_of(chosen), "%s%s", js_str(chosen, "reason", ""), superseded);
    (void)json_object_set(o, "evidence", json_object_get(chosen, "evidence"));
    json_t *m = json_object_get(o, "measured");
    (void)json_object_set_new(m, "rollbacks", json_integer((json_int_t)json_array_size(list)));
    if (json_object_get(chosen, "seconds"))
        (void)json_object_set(m, "seconds", json_object_get(chosen, "seconds"));
}

json_t *gate_rollback(const struct corr *c, const struct facts *f) {
    json_t *o = gate_unjudgeable(f, 1);
    if (o)
        return o;
    o = gate_stage(f, GATE_PENDING, "%s", "");
    json_t *list = json_array();
    for (size_t i = 0; o && list && i < f->n_revisions; i++) {
        bool by_inputs;
        if (facts_life_at(f, f->revisions[i].created_hi) + 1 < f->n_lives) /* its past, and not judged */
            continue;
        const struct fact_revision *to = target_of(f, &f->revisions[i], &by_inputs);
        if (!to || facts_life_at(f, f->revisions[i].created_lo) + 1 < f->n_lives) /* the past is not judged */
            continue;
        struct rollback r = {.c = c,
                             .f = f,
                             .from = previous(f, &f->revisions[i]),
                             .to = to,
                             .now = &f->revisions[i],
                             .change = rollback_change_of(f, &f->revisions[i]),
                             .by_inputs = by_inputs};
        json_t *one = by_inputs && !rollback_renders_alike(&r) ? NULL : judge_one(&r);
        if (!one)
            continue;
        gate_seal(one);
        (void)json_array_append_new(list, one);
    }
    if (o) {
        gate_supersede(o, f, list, false);
        sum_up(o, list);
        (void)json_object_set(o, "rollbacks", list);
    }
    json_decref(list);
    return o;
}
