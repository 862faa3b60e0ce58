/* gitops_history: every revision that Flux and Argo CD said they applied, out of all that they said in time
 * (the API keeps five, or ten), each tied to the Helm revision and the change that it was. See gitops.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"
#include "correlate/gitops_priv.h"

struct told { /* one record of kind GitOps */
    const struct ev_record *r;
    json_t *form; /* owned */
    int64_t hi;
};

struct history {
    const struct gitops *g;
    json_t *entries; /* key -> entry */
    json_t *sources; /* "KIND/NS/NAME" -> revision, as of the replay's position */
    json_t *charts;  /* "NAME of a HelmChart@chart version" -> revision of the chart's source */
};

/* ---- in time */

static int by_time(const void *a, const void *b) {
    const struct told *x = a;
    const struct told *y = b;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    if (x->r->stream != y->r->stream)
        return x->r->stream < y->r->stream ? -1 : 1;
    return x->r->seq < y->r->seq ? -1 : x->r->seq > y->r->seq;
}

static void free_told(struct told *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        json_decref(all[i].form);
    free(all);
}

static bool is_told(const struct gitops *g, const struct ev_record *r, int64_t *ret_hi) {
    int64_t lo;
    if (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT || !corr_in_stage(g->f, r->stream) ||
        strcmp(r->r->object->kind, "GitOps") != 0 || !corr_tells_state(r->r->object))
        return false;
    corr_interval(g->f->ev, r->stream, r->r->object->t_wall_ns, 0, &lo, ret_hi);
    return *ret_hi <= g->t;
}

static int collect(const struct gitops *g, struct told **ret, size_t *ret_n) {
    struct told *all = NULL;
    size_t n = 0;
    size_t cap = 0;
    for (size_t i = 0; i < g->f->ev->records.n; i++) {
        const struct ev_record *r = &g->f->ev->records.items[i];
        struct told one = {.r = r};
        if (!is_told(g, r, &one.hi) || js_parse(r->r->object->normal, strlen(r->r->object->normal),
                                                WIRE_NORMAL_MAX, &one.form, NULL) < 0)
            continue;
        struct told *slot = CORR_PUSH(all, n, cap);
        if (!slot) {
            json_decref(one.form);
            free_told(all, n);
            return -ENOMEM;
        }
        *slot = one;
        n++;
    }
    if (n)
        qsort(all, n, sizeof *all, by_time);
    *ret = all;
    *ret_n = n;
    return 0;
}

/* ---- which change it was */

static int64_t distance(int64_t a, int64_t b) {
    return a > b ? a - b : b - a;
}

/* The change of this Helm revision; of several installs the one that began nearest. */
static const struct fact_change *change_of_release(const struct facts *f, const char *release,
                                                   int64_t revision, int64_t at) {
    const struct fact_change *found = NULL;
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct fact_change *c = &f->changes[i];
        const struct fact_revision *v = c->revision ? &f->revisions[c->revision - 1] : NULL;
        if (v && v->revision == revision && strcmp(v->release, release) == 0 &&
            (!found || distance(c->begin_lo, at) < distance(found->begin_lo, at)))
            found = c;
    }
    return found;
}

/* The last change whose window what happened in [from, to] meets. */
static const struct fact_change *change_at(const struct facts *f, int64_t from, int64_t to) {
    const struct fact_change *found = NULL;
    for (size_t i = 0; i < f->n_changes; i++)
        if (f->changes[i].begin_lo <= to && f->changes[i].window_to >= from)
            found = &f->changes[i];
    return found;
}

/* ---- one revision */

static int64_t time_of(const json_t *h, const char *key) {
    int64_t t = 0;
    return when_parse(js_str(h, key, ""), &t) < 0 ? 0 : t;
}

static void tie(const struct facts *f, const json_t *form, const json_t *h, json_t *x) {
    int64_t revision = js_int(h, "helm_revision", 0);
    int64_t from = time_of(h, "started");
    int64_t to = time_of(h, "deployed");
    const char *release = js_str(h, "release", js_str(form, "release.name", ""));
    const struct fact_change *c = NULL;
    char helm[2 * WIRE_NAME_MAX] = "";
    if (revision > 0) {
        (void)snprintf(helm, sizeof helm, "%.253s.v%lld", release, (long long)revision);
        c = change_of_release(f, release, revision, from);
    } else if (from || to) {
        c = change_at(f, from ? from : to, (to ? to : from) + WHEN_S);
    }
    (void)json_object_set_new(x, "helm", json_string(helm));
    (void)json_object_set_new(x, "change", json_string(c ? c->id : ""));
    (void)json_object_set_new(x, "tied_by", json_string(!c ? "" : revision > 0 ? "release" : "time"));
}

/* Where the code of a chart's version came from: what the HelmChart made of it says; else, of the newest
 * release, what its source had when it was told. */
static const char *source_revision(const struct history *p, const json_t *form, const json_t *h, size_t i) {
    char key[4 * WIRE_NAME_MAX];
    (void)snprintf(key, sizeof key, "%.253s-%.253s@%.253s", js_str(form, "namespace", ""),
                   js_str(form, "name", ""), js_str(h, "chart_version", ""));
    const char *chart = json_string_value(json_object_get(p->charts, key));
    (void)snprintf(key, sizeof key, "%.63s/%.253s/%.253s", js_str(form, "source.kind", ""),
                   js_str(form, "source.namespace", ""), js_str(form, "source.name", ""));
    const char *source = json_string_value(json_object_get(p->sources, key));
    return chart ? chart : i == 0 && source ? source : "";
}

static int add_entry(struct history *p, const struct told *t, const json_t *h, size_t i) {
    char owner[GITOPS_OWNER_MAX];
    char key[2 * GITOPS_OWNER_MAX];
    char evidence[WIRE_REF_MAX];
    const char *revision = js_str(h, "chart_version", js_str(h, "revision", ""));
    gitops_owner_of(t->form, owner);
    (void)snprintf(
        key, sizeof key, "%s %s %lld %s %.253s", owner, js_str(h, "started", js_str(h, "deployed", "")),
        (long long)js_int(h, "helm_revision", js_int(h, "id", 0)), js_str(h, "digest", ""), revision);
    json_t *x = json_object_get(p->entries, key);
    if (!x) {
        x = json_pack("{s:s, s:s, s:s, s:s, s:s}", "owner", owner, "revision", revision, "source_revision",
                      source_revision(p, t->form, h, i), "at",
                      js_str(h, "started", js_str(h, "deployed", "")), "evidence",
                      facts_ref(p->g->f->ev, (struct fact_ref){t->r->stream, t->r->seq}, evidence));
        if (!x || json_object_set_new(p->entries, key, x) < 0)
            return -ENOMEM;
        tie(p->g->f, t->form, h, x);
    }
    (void)json_object_set_new(x, "chart", json_string(js_str(h, "chart", "")));
    (void)json_object_set_new(x, "status", json_string(js_str(h, "status", "")));
    (void)json_object_set_new(x, "action", json_string(js_str(h, "action", "")));
    return 0;
}

/* An older Kustomization keeps no history: each revision that it says it applied, since its Ready condition
 * says so.
 */
static int add_applied(struct history *p, const struct told *t) {
    const char *revision = js_str(t->form, "revision", "");
    if (!*revision || strcmp(js_str(t->form, "kind", ""), "Kustomization") != 0)
        return 0;
    json_t *h = json_pack("{s:s, s:s, s:s}", "revision", revision, "status",
                          js_str(t->form, "conditions.Ready.reason", ""), "started",
                          js_str(t->form, "conditions.Ready.since", ""));
    int r = h ? add_entry(p, t, h, 0) : -ENOMEM;
    json_decref(h);
    return r;
}

static int note_source(struct history *p, const json_t *form) {
    char key[4 * WIRE_NAME_MAX];
    const char *kind = js_str(form, "kind", "");
    const char *name = js_str(form, "name", "");
    (void)snprintf(key, sizeof key, "%.63s/%.253s/%.253s", kind, js_str(form, "namespace", ""), name);
    if (json_object_set_new(p->sources, key, json_string(js_str(form, "revision", ""))) < 0)
        return -ENOMEM;
    if (strcmp(kind, "HelmChart") != 0)
        return 0;
    (void)snprintf(key, sizeof key, "%.253s@%.253s", name, js_str(form, "revision", ""));
    return json_object_set_new(p->charts, key, json_string(js_str(form, "fetched", ""))) < 0 ? -ENOMEM : 0;
}

static int replay(struct history *p, const struct told *t) {
    const json_t *history = js_at(t->form, "history");
    size_t n = json_array_size(history);
    int r = n ? 0 : add_applied(p, t);
    for (size_t i = n; i > 0 && r == 0; i--)
        r = add_entry(p, t, json_array_get(history, i - 1), i - 1);
    return r == 0 ? note_source(p, t->form) : r;
}

/* ---- oldest first */

static int by_at(const void *a, const void *b) {
    const json_t *x = *(json_t *const *)a;
    const json_t *y = *(json_t *const *)b;
    int c = strcmp(js_str(x, "at", ""), js_str(y, "at", ""));
    if (c == 0)
        c = strcmp(js_str(x, "owner", ""), js_str(y, "owner", ""));
    return c ? c : strcmp(js_str(x, "revision", ""), js_str(y, "revision", ""));
}

static json_t *sorted(const json_t *entries) {
    size_t n = 0;
    const char *key;
    json_t *x;
    json_t *list = json_array();
    json_t **items = calloc(json_object_size(entries) + 1, sizeof(json_t *));
    json_object_foreach((json_t *)entries, key, x) {
        if (items)
            items[n++] = x;
    }
    if (items && n)
        qsort(items, n, sizeof(json_t *), by_at);
    for (size_t i = 0; i < n && list; i++)
        (void)json_array_append(list, items[i]);
    free(items);
    return list;
}

json_t *gitops_history(const struct gitops *g) {
    struct history p = {.g = g, .entries = json_object(), .sources = json_object(), .charts = json_object()};
    struct told *all = NULL;
    size_t n = 0;
    int r = p.entries && p.sources && p.charts ? collect(g, &all, &n) : -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        r = replay(&p, &all[i]);
    json_t *list = r == 0 ? sorted(p.entries) : NULL;
    free_told(all, n);
    json_decref(p.entries);
    json_decref(p.sources);
    json_decref(p.charts);
    return list;
}
