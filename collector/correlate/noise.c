/* noise: new states of objects that say nothing about the product's configuration: locks, certificates that
 * are renewed, what controllers make. The rubric says which, each with its reason; how often they came is
 * shown. Texts are parsed only where a rule asks for what is in them. */
#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "correlate/correlate_priv.h"
#include "correlate/differences.h"

#define NOISE_MAX 256 /* objects that are counted one by one */

struct step {
    const struct facts *f;
    const struct corr_known *known;
    const Pilotgate__Object *before, *after; /* NULL: there was, or is, none */
    json_t *old, *new;                       /* their texts; NULL: not parsed, or cut */
    bool parsed;
};

static json_t *parse(const Pilotgate__Object *o) {
    json_t *doc = NULL;
    if (!o || o->truncated || js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return NULL;
    return doc;
}

static void look_inside(struct step *p) {
    if (p->parsed)
        return;
    p->parsed = true;
    p->old = parse(p->before);
    p->new = parse(p->after);
}

/* Both states are as the rule says; one that cannot be read is not. */
static bool fits(struct step *p, const struct rubric_ignore *rule) {
    if (!rule->looks_inside)
        return true;
    look_inside(p);
    return (!p->before || (p->old && rubric_ignore_fits(rule, p->old))) &&
           (!p->after || (p->new &&rubric_ignore_fits(rule, p->new)));
}

static bool is_below(const char *pointer, const json_t *places) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)places, i, v) {
        const char *place = json_string_value(v);
        size_t n = place ? strlen(place) : 0;
        if (n && strncmp(pointer, place, n) == 0 && (pointer[n] == 0 || pointer[n] == '/'))
            return true;
    }
    return false;
}

/* 1: nothing else changed than what the rule names. */
static int is_confined(const struct step *p, const struct rubric_ignore *rule, struct err *e) {
    struct differences d;
    if (!rule->only)
        return 1;
    if (!p->before || !p->after)
        return 0;
    int r = diff_objects(p->before, p->after, &d, e);
    if (r < 0)
        return r;
    /* a new order makes new pods; and of a new digest the texts must say why */
    bool confined = !d.unknown && d.more == 0 && !d.reordered && d.n;
    for (size_t i = 0; i < d.n && confined; i++)
        confined = is_below(d.items[i].pointer, rule->only);
    diff_free(&d);
    return confined;
}

bool facts_scales_to_zero(const json_t *scaler) {
    size_t i;
    json_t *owner;
    json_array_foreach(js_at(scaler, "metadata.ownerReferences"), i, owner) {
        if (strcmp(js_str(owner, "kind", ""), "ScaledObject") == 0)
            return true;
    }
    return js_int(scaler, "spec.minReplicas", 1) == 0;
}

/* From or to no replica at all. */
static bool meets_zero(struct step *p) {
    look_inside(p);
    return js_int(p->old, "spec.replicas", 1) == 0 || js_int(p->new, "spec.replicas", 1) == 0;
}

static bool scales(const Pilotgate__Object *scaler, struct step *p) {
    const Pilotgate__Object *o = p->after ? p->after : p->before;
    json_t *doc = parse(scaler);
    bool found = strcmp(js_str(doc, "spec.scaleTargetRef.kind", ""), o->kind) == 0 &&
                 strcmp(js_str(doc, "spec.scaleTargetRef.name", ""), o->name) == 0 &&
                 (facts_scales_to_zero(doc) || !meets_zero(p));
    json_decref(doc);
    return found;
}

/* An autoscaler that was there then has this workload. */
static bool is_autoscaled(struct step *p) {
    for (size_t i = 0; i < p->f->n_objects; i++) {
        const struct fact_state *s = p->known[i].s;
        if (s && strcmp(s->o->kind, "HorizontalPodAutoscaler") == 0 &&
            s->o->op != PILOTGATE__OBJECT__OP__OP_DELETED && scales(s->o, p))
            return true;
    }
    return false;
}

static int applies(struct step *p, const struct rubric_ignore *rule, struct err *e) {
    if (!fits(p, rule))
        return 0;
    int r = is_confined(p, rule, e);
    return r > 0 && rule->autoscaled ? is_autoscaled(p) : r;
}

static const Pilotgate__Object *there(const struct fact_state *s) {
    return s && s->o->op != PILOTGATE__OBJECT__OP__OP_DELETED ? s->o : NULL;
}

int corr_noise(const struct facts *f, const struct rubric *rubric, const struct corr_known *known,
               const struct fact_state *s, const struct fact_state *old, const char **ret_reason,
               struct err *e) {
    struct step p = {.f = f, .known = known, .before = there(old), .after = there(s)};
    int r = 0;
    *ret_reason = NULL;
    for (size_t i = 0; i < rubric->n_ignores && r == 0; i++) {
        const struct rubric_ignore *rule = &rubric->ignores[i];
        if (!rubric_ignore_names(rule, s->o->kind, s->o->name))
            continue;
        r = applies(&p, rule, e);
        if (r > 0)
            *ret_reason = rule->reason;
    }
    json_decref(p.old);
    json_decref(p.new);
    return r < 0 ? r : 0;
}

static struct fact_noise *noise_of(struct facts *f, const Pilotgate__Object *o, const char *reason) {
    for (size_t i = 0; i < f->n_noise; i++)
        if (strcmp(f->noise[i].kind, o->kind) == 0 && strcmp(f->noise[i].name, o->name) == 0 &&
            strcmp(f->noise[i].reason, reason) == 0)
            return &f->noise[i];
    if (f->n_noise == NOISE_MAX) /* of many the last stands for the rest */
        return &f->noise[NOISE_MAX - 1];
    struct fact_noise *n = CORR_PUSH(f->noise, f->n_noise, f->cap_noise);
    if (n) {
        *n = (struct fact_noise){.kind = o->kind, .name = o->name, .reason = reason};
        f->n_noise++;
    }
    return n;
}

int corr_count_noise(struct facts *f, const struct fact_state *s, const char *reason, struct err *e) {
    struct fact_noise *n = noise_of(f, s->o, reason);
    if (!n)
        return err_oom(e);
    n->n++;
    n->last_hi = s->hi;
    n->ref = s->ref;
    return 0;
}
