/* change: the document of one configuration change, and whether it is one that is judged. Used by Config
 * safety, Rollback and the `changes` subcommand. */
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

/* In the life that the namespace had then: what was called in an earlier one was another product. */
static int first_call_before(const struct facts *f, int64_t t) {
    size_t life = facts_life_at(f, t);
    for (size_t i = 0; i < f->n_phases; i++)
        if (f->phases[i].kind == PILOTGATE__PHASE__KIND__KIND_FIRST_CALL && f->phases[i].lo < t &&
            facts_life_at(f, f->phases[i].lo) == life)
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
    if (c->life + 1 < f->n_lives)
        return "in an earlier life of this stage, before its namespace was made again; its past, and not "
               "judged";
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
    if (s->kind == FACT_SIGN_MARK)
        return "marked";
    if (!*s->old_digest)
        return "added";
    return *s->new_digest ? "changed" : "removed";
}

/* Which agent's word it is, and how it came to know; of a mark whose. */
static void add_teller(json_t *o, const struct facts *f, const struct fact_sign *s) {
    char ref[WIRE_REF_MAX];
    if (s->mark) {
        (void)json_object_set_new(o, "node", json_string(""));
        (void)json_object_set_new(o, "by", json_string(js_str(s->mark, "by", "")));
        (void)json_object_set_new(o, "note", json_string(js_str(s->mark, "note", "")));
        return;
    }
    if (s->kind == FACT_SIGN_UNINSTALL)
        (void)json_object_set_new(o, "uninstall", json_true());
    (void)json_object_set_new(o, "node", json_string(f->ev->streams[s->ref.stream].node));
    (void)json_object_set_new(o, "origin", json_string(wire_origin_name((int)s->after->origin)));
    (void)json_object_set_new(o, "path", json_string(s->after->path));
    (void)json_object_set_new(o, "evidence", json_string(facts_ref(f->ev, s->ref, ref)));
}

static json_t *signs_json(const struct facts *f, const struct fact_change *c, json_t *change) {
    json_t *list = json_array();
    for (size_t i = 0; i < c->n_signs; i++) {
        const struct fact_sign *s = c->signs[i];
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", s->object_kind, "name", s->name, "what",
                              sign_word(s), "old", s->old_digest, "new", s->new_digest);
        if (!o)
            continue;
        add_teller(o, f, s);
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
    if (k->executions)
        (void)json_object_set_new(o, "executions", json_integer(k->executions));
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
        (void)json_object_set_new(o, "path", json_string(l->path));
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

static void add_window(json_t *o, const struct fact_change *ch) {
    gate_set_time(o, "begin", ch->begin_lo);
    gate_set_time(o, "last_sign", ch->last_hi);
    gate_set_time(o, "window_to", ch->window_to);
    if (!ch->has_switch)
        return;
    gate_set_time(o, "switch_from", ch->switch_lo);
    gate_set_time(o, "switch_to", ch->switch_hi);
}

json_t *gate_change(const struct corr *c, const struct facts *f, const struct fact_change *ch) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:{}}", "id", ch->id, "verdict", "", "reason", "", "evidence");
    if (!o)
        return NULL;
    add_window(o, ch);
    (void)json_object_set_new(o, "tools_added", names_json(ch->added, ch->n_added));
    (void)json_object_set_new(o, "tools_removed", names_json(ch->removed, ch->n_removed));
    (void)json_object_set_new(o, "signs", signs_json(f, ch, o));
    (void)json_object_set_new(o, "measured", gate_measured_json(c, f, ch));
    (void)json_object_set_new(o, "switches", gate_switches_json(c, ch));
    (void)json_object_set_new(o, "replicas", gate_replicas_json(f, ch));
    (void)json_object_set_new(o, "lost", lost_json(f, ch));
    (void)json_object_set_new(o, "unwitnessed", spans_json(ch));
    (void)json_object_set_new(o, "missing", gate_missing_json(f, ch->begin_lo, ch->window_to, true));
    if (ch->drill)
        (void)json_object_set_new(o, "drill", json_string(ch->drill));
    if (f->n_lives)
        (void)json_object_set_new(o, "namespace_uid", json_string(f->lives[ch->life].uid));
    const char *why_not = no_change(f, ch);
    (void)json_object_set_new(o, "qualifies", json_boolean(!why_not));
    if (why_not)
        gate_decide(o, GATE_PENDING, "%s", why_not);
    else
        gate_judge_change(o, c, f, ch);
    for (size_t i = 0; i < ch->n_lost; i++)
        gate_cite(o, f, ch->lost[i].ref);
    gate_seal(o);
    return o;
}
