/* missing: what is said of records that nobody can read, and how long that keeps a stage from PASS. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

static const char *why_of(enum fact_missing_kind k) {
    static const char *const texts[] = {
        [FACT_MISSING_LOST] = "were lost by its agent: its log says why; give its spool more room",
        [FACT_MISSING_AGENT] = "never arrived, and its agent no longer has them: keep its spool on a volume "
                               "and give it more room",
        [FACT_MISSING_RESTORED] = "were gone when the store was restored from an older copy, and its agent "
                                  "no longer had them: back "
                                  "up more often than `spool.grace`",
        [FACT_MISSING_REPLACED] =
            "are in another store, which this one replaced: serve that one, or go on with this one",
        [FACT_MISSING_DELETED] = "were deleted by retention: keep them longer with --keep-calls",
    };
    return texts[k];
}

void gate_missing_text(const struct facts *f, const struct fact_missing *m, char out[GATE_MISSING_MAX]) {
    char at[WHEN_TEXT_MAX];
    const char *node = f->ev->streams[m->stream].node;
    if (m->kind == FACT_MISSING_DELETED)
        (void)snprintf(
            out, GATE_MISSING_MAX,
            "records of this window were deleted on %s (%llu of node %.253s): keep them longer with "
            "--keep-calls",
            when_format(m->at, 0, at), (unsigned long long)m->records, node);
    else if (m->kind == FACT_MISSING_UNWATCHED)
        (void)snprintf(
            out, GATE_MISSING_MAX,
            "nobody watched %.250s for a while, and the Kubernetes API no longer told what happened "
            "meanwhile: keep the agents running",
            *m->sources ? m->sources : "the stage");
    else if (m->kind == FACT_MISSING_UNCOMPARED)
        (void)snprintf(
            out, GATE_MISSING_MAX,
            "nobody can say whether %.100s/%.253s changed, which agents of two versions told in two "
            "forms that do not compare: upgrade agents and collector together, outside of changes",
            m->sources, m->name);
    else
        (void)snprintf(out, GATE_MISSING_MAX, "%llu records of node %.253s %s",
                       (unsigned long long)m->records, node, why_of(m->kind));
}

static const char *name_of(enum fact_missing_kind k) {
    static const char *const names[] = {
        [FACT_MISSING_LOST] = "lost by the agent",
        [FACT_MISSING_AGENT] = "no longer held by the agent",
        [FACT_MISSING_RESTORED] = "store restored",
        [FACT_MISSING_REPLACED] = "store replaced",
        [FACT_MISSING_DELETED] = "deleted",
        [FACT_MISSING_UNWATCHED] = "nobody watched",
        [FACT_MISSING_UNCOMPARED] = "states that do not compare",
    };
    return names[k];
}

json_t *gate_missing_json(const struct facts *f, int64_t from, int64_t to, bool deleted) {
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_missing; i++) {
        const struct fact_missing *m = &f->missing[i];
        if (m->lo > to || m->hi < from || (m->kind == FACT_MISSING_DELETED && !deleted))
            continue;
        json_t *o = json_pack("{s:s, s:s, s:I}", "node", f->ev->streams[m->stream].node, "why",
                              name_of(m->kind), "records", (json_int_t)m->records);
        if (!o)
            continue;
        if (m->kind == FACT_MISSING_UNWATCHED)
            (void)json_object_set_new(o, "sources", json_string(m->sources));
        if (m->kind == FACT_MISSING_UNCOMPARED)
            (void)json_object_set_new(o, "object", json_sprintf("%s/%s", m->sources, m->name));
        gate_set_time(o, "from", m->lo > 0 ? m->lo : 0);
        if (m->hi < WIRE_NS_MAX)
            gate_set_time(o, "to", m->hi);
        if (m->kind == FACT_MISSING_DELETED)
            gate_set_time(o, "deleted", m->at);
        (void)json_array_append_new(list, o);
    }
    return list;
}

/* When the last drill began that passed; 0: none did. */
static int64_t last_passed_drill(const struct facts *f, const json_t *changes) {
    int64_t last = 0;
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct fact_change *c = &f->changes[i];
        size_t k;
        json_t *o;
        json_array_foreach((json_t *)changes, k, o) {
            if (c->drill && strcmp(js_str(o, "id", ""), c->id) == 0 && gate_verdict_of(o) == GATE_PASS &&
                c->begin_lo > last)
                last = c->begin_lo;
        }
    }
    return last;
}

const struct fact_missing *gate_unseen(const struct facts *f, const json_t *changes) {
    int64_t passed = last_passed_drill(f, changes);
    const struct fact_missing *newest = NULL;
    for (size_t i = 0; i < f->n_missing; i++) {
        const struct fact_missing *m = &f->missing[i];
        if (m->blind && (passed == 0 || m->hi >= passed) && (!newest || m->hi > newest->hi))
            newest = m;
    }
    return newest;
}
