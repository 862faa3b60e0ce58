/* deployment_attempts: every install of the release in this stage, with when it began and how it ended, and
 * the namespaces that had this stage's name before. Uninstalling does not reset the clock, and neither does
 * deleting Helm's history: what was told of it stays. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "gates/deployment_priv.h"

struct install {
    const struct fact_revision *first, *last;
    size_t revisions;
    int64_t deployed; /* 0: never */
    int64_t next;     /* the next install of this release began then; INT64_MAX: there is none */
    int64_t ended;    /* 0: it is there, or nobody saw it end */
    const char *end;  /* how: static text */
};

static bool same_release(const struct fact_revision *a, const struct fact_revision *b) {
    return strcmp(a->release, b->release) == 0;
}

/* The revision before it of the same release; NULL: none. */
static const struct fact_revision *before(const struct facts *f, const struct fact_revision *v) {
    for (const struct fact_revision *p = v; p-- > f->revisions;)
        if (same_release(p, v))
            return p;
    return NULL;
}

/* Numbers begin anew with each install; what was in a namespace ends with it. */
static bool begins_install(const struct facts *f, const struct fact_revision *v) {
    const struct fact_revision *p = before(f, v);
    return !p || v->revision <= p->revision ||
           facts_life_at(f, p->created_hi) != facts_life_at(f, v->created_hi);
}

static struct install install_of(const struct facts *f, const struct fact_revision *v) {
    struct install in = {.first = v, .last = v, .next = INT64_MAX, .end = ""};
    for (const struct fact_revision *x = v; x < f->revisions + f->n_revisions; x++) {
        if (!same_release(x, v))
            continue;
        if (x > v && begins_install(f, x)) {
            in.next = x->created_lo;
            break;
        }
        in.last = x;
        in.revisions++;
        if (!in.deployed)
            in.deployed = x->deployed_hi;
    }
    return in;
}

static bool is_of(const char *subject, const char *release) {
    size_t n = strlen(release);
    return strncmp(subject, release, n) == 0 && strncmp(subject + n, ".v", 2) == 0;
}

static int64_t uninstalled(const struct facts *f, const struct install *in) {
    int64_t at = 0;
    for (size_t i = 0; i < f->n_signs; i++) {
        const struct fact_sign *s = &f->signs[i];
        if (s->kind == FACT_SIGN_UNINSTALL && is_of(s->name, in->first->release) &&
            s->hi >= in->first->created_lo && s->lo < in->next && s->hi > at)
            at = s->hi;
    }
    for (size_t i = 0; i < f->n_phases; i++) {
        const struct fact_phase *p = &f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_RELEASE_UNINSTALLED &&
            strncmp(p->p->subject, "Release/", 8) == 0 && is_of(p->p->subject + 8, in->first->release) &&
            p->hi >= in->first->created_lo && p->lo < in->next && p->hi > at)
            at = p->hi;
    }
    return at;
}

static void find_end(const struct deployment *d, struct install *in) {
    in->ended = uninstalled(d->f, in);
    if (in->ended)
        in->end = "uninstalled";
    else if (in->first->created_lo < d->since)
        in->end = "ended with its namespace";
    else if (in->next != INT64_MAX)
        in->end = "nobody saw it end";
    else if (strcmp(in->last->status, "failed") == 0)
        in->end = "failed";
    else if (!in->deployed)
        in->end = "not deployed yet";
    else
        in->end = "there";
}

static json_t *install_json(const struct install *in) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "release", in->first->release, "chart",
                          in->last->chart, "version", in->last->chart_version, "status", in->last->status,
                          "revisions", (json_int_t)in->revisions, "end", in->end);
    if (!o)
        return NULL;
    gate_set_time(o, "created", in->first->created_lo);
    if (in->deployed)
        gate_set_time(o, "deployed", in->deployed);
    if (in->ended)
        gate_set_time(o, "ended", in->ended);
    if (in->first->revision > 1)
        (void)json_object_set_new(o, "first_known_revision", json_integer(in->first->revision));
    return o;
}

json_t *deployment_installs(const struct deployment *d) {
    json_t *list = json_array();
    for (size_t i = 0; i < d->f->n_revisions; i++) {
        if (!begins_install(d->f, &d->f->revisions[i]))
            continue;
        struct install in = install_of(d->f, &d->f->revisions[i]);
        find_end(d, &in);
        json_t *o = install_json(&in);
        bool earlier = !deployment_has_revision(d, in.first);
        (void)json_object_set_new(o, "earlier_namespace", json_boolean(earlier));
        (void)json_array_append_new(list, o);
    }
    return list;
}

bool deployment_installed_from(const struct deployment *d, int64_t t) {
    for (size_t i = 0; i < d->f->n_revisions; i++) {
        const struct fact_revision *v = &d->f->revisions[i];
        if (v->created_hi >= t && deployment_has_revision(d, v) && begins_install(d->f, v))
            return true;
    }
    return false;
}

/* ---- earlier namespaces */

/* When a call first succeeded in [from, to); 0: none did. */
static int64_t called_in(const struct facts *f, int64_t from, int64_t to) {
    for (size_t i = 0; i < f->n_phases; i++) {
        const struct fact_phase *p = &f->phases[i];
        if (p->kind == PILOTGATE__PHASE__KIND__KIND_FIRST_CALL &&
            strcmp(p->p->reason, "custom-server") == 0 && p->lo >= from && p->lo < to)
            return p->hi;
    }
    return 0;
}

static json_t *life_json(const struct facts *f, const struct fact_life *l) {
    json_int_t installs = 0;
    json_t *o = json_pack("{s:s}", "uid", l->uid);
    if (!o)
        return NULL;
    for (size_t i = 0; i < f->n_revisions; i++)
        installs += f->revisions[i].created_lo >= l->from && f->revisions[i].created_lo < l->to &&
                    begins_install(f, &f->revisions[i]);
    gate_set_time(o, "created", l->from);
    gate_set_time(o, "until", l->to);
    (void)json_object_set_new(o, "installs", json_integer(installs));
    int64_t call = called_in(f, l->from, l->to);
    if (call) {
        gate_set_time(o, "first_call", call);
        gate_set_seconds(o, "seconds", call - l->from);
    }
    return o;
}

json_t *deployment_past(const struct deployment *d) {
    json_t *list = json_array();
    for (size_t i = 0; i + 1 < d->f->n_lives; i++)
        (void)json_array_append_new(list, life_json(d->f, &d->f->lives[i]));
    return list;
}
