/* between: two living stages with each other, field by field. See reference.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"
#include "reference/tolerate.h"

#define WHY_MAX 1024

struct between {
    const struct ref_side *a, *b;
    struct ref_matches matches;
    struct ref_differences found; /* of all objects */
    json_t *not_compared;         /* an array; owned */
    const json_t *rules;          /* tolerances; borrowed */
    size_t n_a, n_b, paired, tolerated;
};

/* ---- what takes part */

/* What the cluster itself puts into every namespace, and holds its own certificates:
 * kube-controller-manager's root CA publisher and token controller, OpenShift's service CA, Istio. */
static bool is_of_cluster(const struct ref_object *o) {
    static const char *const maps[] = {"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert",
                                       NULL};
    if (strcmp(o->kind, "Secret") == 0)
        return strcmp(js_str(o->normal, "type", ""), "kubernetes.io/service-account-token") == 0;
    for (const char *const *m = maps; strcmp(o->kind, "ConfigMap") == 0 && *m; m++)
        if (strcmp(o->name, *m) == 0)
            return true;
    return false;
}

/* Hooks are there while Helm runs them, and later or not. */
static bool takes_part(const struct ref_object *o) {
    return ref_is_configuration(o) && !(o->traits & REF_HOOK) && !is_of_cluster(o);
}

static const char *why_unread(const struct ref_side *s, const char *kind) {
    return s->unread ? s->unread(s->unread_ctx, kind) : NULL;
}

static int add_not_compared(struct between *w, const char *what, const struct ref_side *s, const char *why) {
    char text[WHY_MAX];
    (void)snprintf(text, sizeof text, "%s: %s", s->label ? s->label : "a stage", why);
    json_t *item = json_pack("{s:o, s:o}", "what", ref_json_text(what), "why", ref_json_text(text));
    return item && json_array_append_new(w->not_compared, item) == 0 ? 0 : -ENOMEM;
}

/* Which kinds were looked at on each side: those that agents watch, and those that one side has. */
static int add_kind(struct between *w, json_t *seen, const char *kind) {
    const struct ref_side *sides[] = {w->a, w->b};
    if (json_object_get(seen, kind))
        return 0;
    int r = json_object_set_new(seen, kind, json_true()) == 0 ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < 2; i++) {
        const char *why = why_unread(sides[i], kind);
        if (why)
            r = add_not_compared(w, kind, sides[i], why);
    }
    return r;
}

static int add_kinds_of(struct between *w, json_t *seen, const struct ref_side *s) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < s->n; i++)
        if (takes_part(&s->objects[i]))
            r = add_kind(w, seen, s->objects[i].kind);
    return r;
}

/* Of what charts make. */
const char *const ref_watched_kinds[] = {"ConfigMap",
                                         "CronJob",
                                         "DaemonSet",
                                         "Deployment",
                                         "Ingress",
                                         "HorizontalPodAutoscaler",
                                         "NetworkPolicy",
                                         "Role",
                                         "PersistentVolumeClaim",
                                         "RoleBinding",
                                         "Secret",
                                         "PodDisruptionBudget",
                                         "Service",
                                         "ServiceAccount",
                                         "StatefulSet",
                                         NULL};

static int add_kinds(struct between *w) {
    json_t *seen = json_object();
    int r = seen ? 0 : -ENOMEM;
    for (const char *const *k = ref_watched_kinds; r == 0 && *k; k++)
        r = add_kind(w, seen, *k);
    if (r == 0)
        r = add_kinds_of(w, seen, w->a);
    if (r == 0)
        r = add_kinds_of(w, seen, w->b);
    json_decref(seen);
    return r;
}

/* ---- comparing */

static int compare_pair(struct between *w, const struct ref_match *m) {
    struct ref_differences d = {0};
    char name[2 * REF_NAME_MAX];
    const struct ref_object *unknown = !m->a->normal ? m->a : !m->b->normal ? m->b : NULL;
    if (unknown) {
        (void)snprintf(name, sizeof name, "%s/%s", unknown->kind, unknown->name);
        return add_not_compared(w, name, unknown == m->a ? w->a : w->b,
                                unknown->unknown ? unknown->unknown : "its text is not known");
    }
    w->paired++;
    int r = ref_compare_objects(&w->matches, m->a, m->b, true, &d);
    w->found.more += d.more;
    for (size_t i = 0; i < d.n; i++)
        if (ref_differences_take(&w->found, &d.items[i]) < 0)
            r = -ENOMEM;
    d.n = 0;
    ref_differences_free(&d);
    return r;
}

/* On one side only, where the other side's objects of this kind are known. */
static int add_alone(struct between *w, const struct ref_object *a, const struct ref_object *b) {
    char name[2 * REF_NAME_MAX];
    const struct ref_object *o = a ? a : b;
    if (why_unread(a ? w->b : w->a, o->kind))
        return 0;
    (void)snprintf(name, sizeof name, "%s/%s", o->kind, o->name);
    size_t n = w->found.n;
    int r = ref_differences_add(&w->found, a ? REF_MISSING : REF_EXTRA, b, name, NULL, NULL, NULL, NULL);
    if (r == 0 && w->found.n > n)
        w->found.items[n].of_a = a;
    return r;
}

static int compare_all(struct between *w) {
    int r = ref_match_sides(w->a, w->b, &w->matches);
    for (size_t i = 0; r == 0 && i < w->matches.n; i++) {
        const struct ref_match *m = &w->matches.items[i];
        bool a = m->a && takes_part(m->a);
        bool b = m->b && takes_part(m->b);
        w->n_a += a;
        w->n_b += b;
        if (a && b)
            r = compare_pair(w, m);
        else if (a || b)
            r = add_alone(w, a ? m->a : NULL, b ? m->b : NULL);
    }
    return r;
}

/* ---- what is tolerated */

/* On either stage. */
static const json_t *rule_of(const struct between *w, const struct ref_difference *d, int64_t now_ns) {
    const struct ref_side *sides[] = {w->b, w->a};
    const json_t *rule = NULL;
    const json_t *over = NULL;
    for (size_t i = 0; i < 2 && !rule; i++) {
        const struct ref_tolerating t = {.rules = w->rules,
                                         .live = sides[i],
                                         .stage = sides[i]->label ? sides[i]->label : "",
                                         .now_ns = now_ns};
        rule = ref_tolerance(&t, NULL, d, &over);
    }
    return rule;
}

/* ---- as JSON */

static bool set(json_t *o, const char *key, json_t *v) {
    return json_object_set_new(o, key, v) == 0;
}

static json_t *difference_json(const struct ref_difference *d, const json_t *rule) {
    json_t *o = json_object();
    bool good = o && set(o, "object", ref_json_text(d->object)) &&
                set(o, "pointer", ref_json_text(d->pointer)) && set(o, "where", ref_json_text(d->where)) &&
                set(o, "what", json_string(ref_what_name(d->what)));
    if (good && d->expected)
        good = set(o, "expected", ref_json_text(d->expected));
    if (good && d->found)
        good = set(o, "found", ref_json_text(d->found));
    if (good && d->of_a)
        good = set(o, "tag_a", json_integer((json_int_t)d->of_a->tag));
    if (good && d->of)
        good = set(o, "tag_b", json_integer((json_int_t)d->of->tag));
    if (good && rule)
        good = set(o, "tolerated",
                   json_pack("{s:O, s:O}", "reason", json_object_get(rule, "reason"), "owner",
                             json_object_get(rule, "owner")));
    if (good)
        return o;
    json_decref(o);
    return NULL;
}

/* Those that nobody tolerates first. */
static json_t *differences_json(struct between *w, int64_t now_ns) {
    json_t *list = json_array();
    json_t *tolerated = json_array();
    bool good = list && tolerated;
    for (size_t i = 0; good && i < w->found.n; i++) {
        const json_t *rule = rule_of(w, &w->found.items[i], now_ns);
        w->tolerated += rule != NULL;
        good = json_array_append_new(rule ? tolerated : list, difference_json(&w->found.items[i], rule)) == 0;
    }
    good = good && json_array_extend(list, tolerated) == 0;
    json_decref(tolerated);
    if (good)
        return list;
    json_decref(list);
    return NULL;
}

static const char *verdict_of(const struct between *w, char reason[WHY_MAX]) {
    size_t failing = w->found.n + w->found.more - w->tolerated;
    if (failing) {
        (void)snprintf(reason, WHY_MAX, "%zu difference%s", failing, failing == 1 ? "" : "s");
        return "FAIL";
    }
    if (json_array_size(w->not_compared) > 0) {
        const json_t *first = json_array_get(w->not_compared, 0);
        (void)snprintf(reason, WHY_MAX,
                       "no difference is known, but not everything was compared: %.256s: %.512s",
                       js_str(first, "what", ""), js_str(first, "why", ""));
        return "INCONCLUSIVE";
    }
    if (w->paired == 0) {
        (void)snprintf(reason, WHY_MAX, "neither stage has an object to compare");
        return "INCONCLUSIVE";
    }
    (void)snprintf(reason, WHY_MAX, "%zu object%s agree%s", w->paired, w->paired == 1 ? "" : "s",
                   w->tolerated ? ", but for what is tolerated" : "");
    return "PASS";
}

static json_t *document(struct between *w, int64_t now_ns) {
    char reason[WHY_MAX];
    json_t *list = differences_json(w, now_ns);
    const char *verdict = verdict_of(w, reason);
    return json_pack("{s:o, s:o, s:o, s:I, s:O, s:{s:I, s:I, s:I}, s:s, s:o}", "a",
                     ref_json_text(w->a->label ? w->a->label : ""), "b",
                     ref_json_text(w->b->label ? w->b->label : ""), "differences", list, "more",
                     (json_int_t)w->found.more, "not_compared", w->not_compared, "objects", "a",
                     (json_int_t)w->n_a, "b", (json_int_t)w->n_b, "paired", (json_int_t)w->paired, "verdict",
                     verdict, "reason", ref_json_text(reason));
}

int ref_between(const struct reference *r, const struct ref_side *a, const struct ref_side *b, int64_t now_ns,
                json_t **ret, struct err *e) {
    struct between w = {.a = a,
                        .b = b,
                        .rules = r ? json_object_get(r->doc, "tolerate") : NULL,
                        .not_compared = json_array()};
    json_t *doc = NULL;
    if (w.not_compared && add_kinds(&w) == 0 && compare_all(&w) == 0)
        doc = document(&w, now_ns);
    ref_matches_free(&w.matches);
    ref_differences_free(&w.found);
    json_decref(w.not_compared);
    if (!doc)
        return err_oom(e);
    *ret = doc;
    return 0;
}
