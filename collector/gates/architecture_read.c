/* architecture_read: which kinds of objects were read at a moment, as coverage says.
 *
 * A kind was read when an agent that does the stage's work says that its picture of it was current at most
 * the rubric's architecture_fresh before the moment. What agents told before 0.4 names no kinds: there the
 * source's name says it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/architecture_priv.h"

/* Sources of agents that name no kinds (agent/kube/kinds.c). */
static const struct {
    const char *source, *kind;
} old_sources[] = {
    {"namespace", "Namespace"},
    {"releases", "HelmRelease"},
    {"deployments", "Deployment"},
    {"statefulsets", "StatefulSet"},
    {"daemonsets", "DaemonSet"},
    {"services", "Service"},
    {"configmaps", "ConfigMap"},
    {"secrets", "Secret"},
    {"ingresses", "Ingress"},
    {"networkpolicies", "NetworkPolicy"},
    {"horizontalpodautoscalers", "HorizontalPodAutoscaler"},
    {"poddisruptionbudgets", "PodDisruptionBudget"},
    {"cronjobs", "CronJob"},
    {"roles", "Role"},
    {"rolebindings", "RoleBinding"},
    {"serviceaccounts", "ServiceAccount"},
    {"persistentvolumeclaims", "PersistentVolumeClaim"},
    {"resourcequotas", "ResourceQuota"},
    {"limitranges", "LimitRange"},
    {"endpoints", "Endpoints"},
};

/* What agents call a custom resource's kind, coverage says. */
static const char *kind_told(const struct evidence *ev, const char *name) {
    for (size_t i = 0; i < ev->sources.n; i++) {
        const Pilotgate__Coverage *c = ev->sources.items[i].r->coverage;
        for (size_t k = 0; k < c->n_sources; k++)
            if (*c->sources[k]->kind && strcmp(c->sources[k]->name, name) == 0)
                return c->sources[k]->kind;
    }
    return "";
}

const char *gate_kind_of_source(const struct evidence *ev, const char *name) {
    for (size_t i = 0; i < sizeof old_sources / sizeof *old_sources; i++)
        if (strcmp(old_sources[i].source, name) == 0)
            return old_sources[i].kind;
    return kind_told(ev, name);
}

/* ---- coverage: who is there, and what it reads */

struct cover { /* of one stream: its newest record by t, and its newest by t that names kinds */
    const struct ev_record *newest, *full;
};

static bool names_kinds(const Pilotgate__Coverage *c) {
    for (size_t i = 0; i < c->n_sources; i++)
        if (*c->sources[i]->kind)
            return true;
    return false;
}

/* What this stream said by t, and not too long before. */
static struct cover cover_of(const struct gate_reading *g, size_t stream) {
    const struct ev_list *l = &g->f->ev->sources;
    struct cover c = {0};
    size_t lo = 0, hi = l->n;
    while (lo < hi) { /* the first of the stream */
        size_t mid = lo + (hi - lo) / 2;
        if (l->items[mid].stream < stream)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (size_t i = lo; i < l->n && l->items[i].stream == stream; i++) {
        int64_t error;
        int64_t at = facts_clock(g->f->ev, stream, l->items[i].r->wall_ns, &error);
        if (at - (error > 0 ? error : 0) > g->t || at < g->t - g->c->rubric.rules.architecture_fresh_ns)
            continue;
        c.newest = &l->items[i];
        if (names_kinds(l->items[i].r->coverage))
            c.full = c.newest;
    }
    return c;
}

bool gate_reading_has(const struct gate_reading *r, size_t stream) {
    return facts_has_stream(r->f, stream) && cover_of(r, stream).newest != NULL;
}

static const Pilotgate__Coverage__Source *source_named(const Pilotgate__Coverage *c, const char *name) {
    for (size_t i = 0; i < c->n_sources; i++)
        if (strcmp(c->sources[i]->name, name) == 0)
            return c->sources[i];
    return NULL;
}

static int set_why(json_t *kinds, const char *kind, json_t *why) {
    return json_object_set_new(kinds, kind, why) < 0 ? -ENOMEM : 0;
}

/* Never NULL but for want of memory, whatever an agent said. */
static json_t *reason(const char *fmt, ...) PRINTF_LIKE(1, 2);
static json_t *reason(const char *fmt, ...) {
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_t *s = json_string(text);
    return s ? s : json_string("they could not be read; the reason is not UTF-8");
}

/* Why this source does not tell what there is; null: it does. A new reference. */
static json_t *why_unread(const struct gate_reading *g, size_t stream, const Pilotgate__Coverage__Source *s) {
    char then[WHEN_TEXT_MAX];
    int64_t error;
    if (!s->ok)
        return reason("they could not be read: %.300s", *s->reason ? s->reason : "the agent gives no reason");
    if (s->last_wall_ns <= 0)
        return reason("they were not listed yet: wait, or see `pilotgate agents`");
    int64_t at = facts_clock(g->f->ev, stream, s->last_wall_ns, &error);
    if (at >= g->t - g->c->rubric.rules.architecture_fresh_ns)
        return json_null();
    return reason("the newest picture of them is of %s, older than the rubric's architecture_fresh: see "
                  "`pilotgate agents`",
                  when_format(at, 0, then));
}

/* One kind may have several sources in a stream: it was read when all of them were. Several streams may read
 * it: one that does is enough. */
static int take_source(const struct gate_reading *g, size_t stream, const char *kind,
                       const Pilotgate__Coverage__Source *s, json_t *own) {
    json_t *why = why_unread(g, stream, s);
    const json_t *before = json_object_get(own, kind);
    if (before && !json_is_null(before)) {
        json_decref(why);
        return 0;
    }
    return set_why(own, kind, why);
}

static int merge_kinds(json_t *kinds, const json_t *own) {
    const char *kind;
    json_t *why;
    json_object_foreach((json_t *)own, kind, why) {
        const json_t *before = json_object_get(kinds, kind);
        if ((!before || !json_is_null(before)) && json_object_set(kinds, kind, why) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The newest record says how each source is, the newest that names kinds whose they are, and what is not
 * served. */
static int take_stream(struct gate_reading *g, size_t stream, const struct cover *c) {
    const Pilotgate__Coverage *names = (c->full ? c->full : c->newest)->r->coverage;
    const Pilotgate__Coverage *now = c->newest->r->coverage;
    json_t *own = json_object();
    int r = own ? 0 : -ENOMEM;
    for (size_t i = 0; i < names->n_sources && r == 0; i++) {
        const Pilotgate__Coverage__Source *s = names->sources[i];
        const Pilotgate__Coverage__Source *newer = source_named(now, s->name);
        const char *kind = *s->kind || c->full ? s->kind : gate_kind_of_source(g->f->ev, s->name);
        if (*kind)
            r = take_source(g, stream, kind, newer ? newer : s, own);
        else if (s->ok && *s->reason)
            r = json_object_set_new(g->unserved, s->name, json_true());
    }
    if (r == 0)
        r = merge_kinds(g->kinds, own);
    json_decref(own);
    bool same = !g->reader.seq || strcmp(g->key_id, now->key_id) == 0;
    g->key_id = same ? now->key_id : "";
    g->reader = (struct fact_ref){stream, c->newest->seq};
    return r < 0 ? -ENOMEM : 0;
}

static int take_coverage(struct gate_reading *g) {
    json_t *nodes = json_object();
    int r = nodes ? 0 : -ENOMEM;
    for (size_t i = 0; i < g->f->ev->n_streams && r == 0; i++) {
        struct cover c = facts_has_stream(g->f, i) ? cover_of(g, i) : (struct cover){0};
        if (!c.newest)
            continue;
        const Pilotgate__Coverage *now = c.newest->r->coverage;
        g->expected = now->expected_agents > g->expected ? now->expected_agents : g->expected;
        if (json_object_set_new(nodes, g->f->ev->streams[i].node, json_true()) < 0)
            r = -ENOMEM;
        else if (now->stage_scoped)
            r = take_stream(g, i, &c);
    }
    g->nodes = (unsigned)json_object_size(nodes);
    json_decref(nodes);
    return r;
}

/* ---- what was lost */

/* Nobody watched these sources at that time, as an agent found out afterwards: "deployments, services". */
static int take_unwatched(struct gate_reading *g, const struct fact_missing *m) {
    char text[GATE_MISSING_MAX], name[2 * WIRE_NAME_MAX];
    gate_missing_text(g->f, m, text);
    for (const char *at = m->sources; *at; at += strspn(at, ", ")) {
        size_t n = strcspn(at, ",");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
        const char *kind = gate_kind_of_source(g->f->ev, name);
        if (*kind && set_why(g->kinds, kind, reason("%s", text)) < 0)
            return -ENOMEM;
        at += n;
    }
    return 0;
}

/* "object 3, phase 2": were there any that tell of objects? What is not said counts as the worst. */
static bool lost_objects(const struct facts *f, const struct fact_missing *m) {
    for (size_t i = 0; m->kind == FACT_MISSING_LOST && i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->stream == m->ref.stream && r->seq == m->ref.seq)
            return !*r->r->loss->families || strstr(r->r->loss->families, "object") != NULL;
    }
    return true;
}

/* Only what tells of the stage's objects can lose them. */
static bool told_objects(const struct facts *f, size_t stream) {
    for (size_t i = 0; i < f->n_states; i++)
        if (f->states[i].ref.stream == stream && gate_is_compared(f->states[i].o->kind))
            return true;
    return false;
}

/* Records of objects were lost: the last of it counts for what nobody has listed anew since. */
static int take_lost(struct gate_reading *g) {
    int64_t from = g->f->n_lives ? g->f->lives[facts_life_at(g->f, g->t)].from : INT64_MIN;
    int r = 0;
    for (size_t i = 0; i < g->f->n_missing && r == 0; i++) {
        const struct fact_missing *m = &g->f->missing[i];
        if (m->lo > g->t || m->hi < from || m->kind == FACT_MISSING_DELETED || !m->blind)
            continue;
        if (m->kind == FACT_MISSING_UNWATCHED && m->hi > g->t)
            r = take_unwatched(g, m);
        else if (m->kind != FACT_MISSING_UNWATCHED && (!g->lost || m->hi > g->lost->hi) &&
                 lost_objects(g->f, m) && told_objects(g->f, m->stream))
            g->lost = m;
    }
    return r;
}

static json_t *why_lost(const struct gate_reading *g) {
    char text[GATE_MISSING_MAX];
    gate_missing_text(g->f, g->lost, text);
    char *colon = strstr(text, ": ");
    if (colon)
        *colon = 0;
    return reason(
        "%s, which may have told of any object: delete the agents' Lease while none of them runs, so that "
        "the next one lists the stage anew",
        text);
}

/* ---- all of it */

static int take_nobody(struct gate_reading *g) {
    char then[WHEN_TEXT_MAX];
    if (g->reader.seq)
        return 0;
    json_t *why = reason("no agent that does the stage's work had a current picture of it at %s, nor in the "
                         "time before that the "
                         "rubric's architecture_fresh allows: see `pilotgate agents`",
                         when_format(g->t, 0, then));
    int r = set_why(g->kinds, "", why);
    g->nobody = json_string_value(json_object_get(g->kinds, ""));
    return r;
}

/* What no coverage speaks of, but an agent said so when it was refused. */
static int take_unreadable(struct gate_reading *g) {
    for (size_t i = 0; i < g->f->n_unreadable; i++) {
        const struct fact_unreadable *u = &g->f->unreadable[i];
        if (strcmp(u->name, "*") == 0 && u->at <= g->t && !json_object_get(g->kinds, u->kind) &&
            set_why(g->kinds, u->kind, reason("they could not be read: %.300s", u->reason)) < 0)
            return -ENOMEM;
    }
    return 0;
}

int gate_reading_make(const struct corr *c, const struct facts *f, int64_t t,
                      const struct gate_tellings *tellings, struct gate_reading *ret, struct err *e) {
    struct gate_reading g = {.c = c,
                             .f = f,
                             .t = t,
                             .tellings = tellings,
                             .kinds = json_object(),
                             .asked = json_object(),
                             .unserved = json_object(),
                             .key_id = "",
                             .expected = f->expected_agents};
    int r = g.kinds && g.asked && g.unserved ? take_coverage(&g) : -ENOMEM;
    if (r == 0)
        r = take_unreadable(&g);
    if (r == 0)
        r = take_nobody(&g);
    if (r == 0 && !g.nobody)
        r = take_lost(&g);
    if (r < 0) {
        gate_reading_free(&g);
        return err_oom(e);
    }
    *ret = g;
    return 0;
}

void gate_reading_free(struct gate_reading *r) {
    json_decref(r->kinds);
    json_decref(r->asked);
    json_decref(r->unserved);
    *r = (struct gate_reading){0};
}

/* "HTTPRoute.gateway.networking.k8s.io" is what "httproutes.gateway.networking.k8s.io" would hold: agents
 * cannot name the kind of what was never served. */
static bool is_unserved(const struct gate_reading *g, const char *kind) {
    const char *dot = strchr(kind, '.');
    size_t n = dot ? (size_t)(dot - kind) : 0;
    const char *source;
    json_t *v;
    if (n < 2)
        return false;
    json_object_foreach(g->unserved, source, v) {
        const char *group = strchr(source, '.');
        size_t m = group ? (size_t)(group - source) : 0;
        if (!group || strncmp(group, dot, strlen(dot)) != 0)
            continue;
        size_t stem = kind[n - 1] == 'y' ? n - 1 : n;
        if (m > stem && strncasecmp(kind, source, stem) == 0 &&
            (strncmp(source + stem, "s.", 2) == 0 || strncmp(source + stem, "es.", 3) == 0 ||
             strncmp(source + stem, "ies.", 4) == 0))
            return true;
    }
    return false;
}

/* null: it was read. Borrowed. */
static json_t *why_of(struct gate_reading *g, const char *kind) {
    json_t *why = json_object_get(g->kinds, g->nobody ? "" : kind);
    bool lost = !g->nobody && g->lost && !gate_tellings_listed(g->tellings, kind, g->lost->hi, g->t);
    if (why && !(lost && json_is_null(why)))
        return why;
    if (lost)
        why = why_lost(g);
    else
        why = is_unserved(g, kind)
                  ? json_null()
                  : json_string("no agent reads them: name the resource in the agents' kube.resources");
    (void)json_object_set_new(g->kinds, kind, why);
    return json_object_get(g->kinds, kind);
}

bool gate_reading_was_read(struct gate_reading *g, const char *kind) {
    const json_t *why = why_of(g, kind);
    return why && json_is_null(why);
}

const char *gate_reading_unread(struct gate_reading *g, const char *kind) {
    json_t *why = why_of(g, kind);
    if (why && json_is_null(why))
        return NULL;
    (void)json_object_set(g->asked, kind, why);
    const char *text = json_string_value(why);
    return text ? text : "they were not read";
}

json_t *gate_reading_json(const struct gate_reading *r) {
    json_t *list = json_array();
    const char *kind;
    json_t *why;
    json_object_foreach(r->asked, kind, why) {
        (void)json_array_append_new(list, json_pack("{s:s, s:O}", "kind", kind, "reason", why));
    }
    return list;
}
