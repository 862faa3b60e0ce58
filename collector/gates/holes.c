/* holes: see holes.h. */
#include "gates/holes.h"

#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "gates/gates_priv.h"

#define TEXT_MAX 640
#define NEW_STORE "and begin the pilot again with a new store: what is there cannot be told apart"

static void note(json_t *list, const struct facts *f, const char *what, const char *what_to_do) {
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "stage", f->stage, "what", what, "do", what_to_do));
}

static void doubts(json_t *list, const struct facts *f) {
    char what[TEXT_MAX];
    if (f->twin_node) {
        (void)snprintf(what, sizeof what, "two agents said at the same time that they are node %.253s",
                       f->twin_node);
        note(list, f, what, "run one agent a node, each with its own node name and spool, " NEW_STORE);
    }
    if (f->clone_node) {
        (void)snprintf(what, sizeof what, "records of node %.253s came under another stage, too",
                       f->clone_node);
        note(list, f, what, "its spool was copied: give each agent a volume of its own, " NEW_STORE);
    }
    if (f->conflicts) {
        (void)snprintf(what, sizeof what,
                       "%llu records came twice with different content, first of node %.253s",
                       (unsigned long long)f->conflicts, f->conflict_node);
        note(list, f, what, "give each agent its own node name and spool, " NEW_STORE);
    }
}

/* "from A to B"; what has no end, or no begin, says so. */
static void span_text(int64_t from, int64_t to, char out[2 * WHEN_TEXT_MAX + 32]) {
    char a[WHEN_TEXT_MAX] = "the begin", b[WHEN_TEXT_MAX] = "now";
    if (from > 0)
        (void)when_format(from, 0, a);
    if (to < WIRE_NS_MAX)
        (void)when_format(to, 0, b);
    (void)snprintf(out, 2 * WHEN_TEXT_MAX + 32, "%s to %s", a, b);
}

/* "what: what to do", with the time between. */
static void missing(json_t *list, const struct facts *f, const struct fact_missing *m) {
    char text[GATE_MISSING_MAX], what[TEXT_MAX], span[2 * WHEN_TEXT_MAX + 32];
    gate_missing_text(f, m, text);
    span_text(m->lo, m->hi, span);
    char *colon = strstr(text, ": ");
    if (colon)
        *colon = 0;
    bool records = m->kind != FACT_MISSING_UNWATCHED && m->kind != FACT_MISSING_UNCOMPARED;
    (void)snprintf(what, sizeof what, records ? "%s (they tell of %s)" : "%s (%s)", text, span);
    note(list, f, what, colon ? colon + 2 : "repeat the drill");
}

/* Deletions are many and small: one line for those that nobody needs, and for those that a change does. */
static void deletions(json_t *list, const struct facts *f) {
    char what[TEXT_MAX], span[2 * WHEN_TEXT_MAX + 32];
    unsigned long long n = 0;
    int64_t from = INT64_MAX, to = 0;
    const struct fact_change *needs = NULL;
    for (size_t i = 0; i < f->n_missing; i++) {
        const struct fact_missing *m = &f->missing[i];
        if (m->kind != FACT_MISSING_DELETED)
            continue;
        n += m->records;
        from = m->lo < from ? m->lo : from;
        to = m->hi > to ? m->hi : to;
    }
    for (size_t i = 0; i < f->n_changes; i++)
        if (f->changes[i].missing && f->changes[i].missing->kind == FACT_MISSING_DELETED &&
            gate_change_qualifies(f, &f->changes[i]))
            needs = &f->changes[i];
    if (n == 0)
        return;
    span_text(from, to, span);
    (void)snprintf(what, sizeof what, "%llu blocks of completed calls were deleted by retention (%s)%s%s", n,
                   span, needs ? "; needed by change " : "", needs ? needs->id : "");
    note(list, f, what,
         needs ? "keep calls longer (--keep-calls), and repeat the change"
               : "nothing: no verdict needs them");
}

/* Of each change that was not watched as a whole, the first hole. */
static void unwatched(json_t *list, const struct facts *f) {
    char what[TEXT_MAX], span[2 * WHEN_TEXT_MAX + 32];
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct fact_change *c = &f->changes[i];
        const struct fact_span *s = c->unwitnessed;
        if (!c->n_unwitnessed || !gate_change_qualifies(f, c))
            continue;
        span_text(s->from, s->to, span);
        (void)snprintf(what, sizeof what, "change %s: nobody watched on %s%.253s from %s: %s%s", c->id,
                       *s->node == '(' ? "" : "node ", s->node, span, s->why,
                       c->n_unwitnessed > 1 ? "; and more" : "");
        note(list, f, what, "see `pilotgate agents` and the agent's log, then repeat the change");
    }
}

json_t *holes_of_stage(const struct facts *f) {
    json_t *list = json_array();
    if (!list)
        return NULL;
    doubts(list, f);
    for (size_t i = 0; i < f->n_missing; i++)
        if (f->missing[i].kind != FACT_MISSING_DELETED)
            missing(list, f, &f->missing[i]);
    unwatched(list, f);
    deletions(list, f);
    return list;
}
