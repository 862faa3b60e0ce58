/* signs: every way in which a change of configuration shows in the records of one stage.
 *
 * The states of an object are replayed in their order (states.c); a new digest is a sign, placed between the
 * last moment at which the old state was seen and the first at which the new one was. A state belongs to
 * (kind, name); a catalogue or configuration also to the node that read it, since each node asks for itself.
 * What the rubric calls noise is counted and is no sign (noise.c). What a person marks as a change is one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

struct told { /* when some stream told of a Helm release */
    size_t stream;
    int64_t hi; /* 0: never */
};

struct replay {
    struct facts *f;
    const struct rubric *rubric;
    struct corr_known *known; /* of each object; as of the replay's position */
    struct told last, other;  /* the newest telling of a release, and the newest by another stream */
};

/* ---- what can be read */

struct seen {
    const struct ev_record *r;
    const Pilotgate__Object *o;
    int64_t hi; /* of t_wall_ns, on the collector's clock */
};

static int by_time(const void *a, const void *b) {
    const struct seen *x = a;
    const struct seen *y = b;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    if (x->r->stream != y->r->stream)
        return x->r->stream < y->r->stream ? -1 : 1;
    return x->r->seq < y->r->seq ? -1 : x->r->seq > y->r->seq;
}

static int collect(const struct facts *f, struct seen **ret, size_t *ret_n) {
    struct seen *all = NULL;
    size_t n = 0;
    size_t cap = 0;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT || !corr_in_stage(f, r->stream) ||
            r->r->object->own)
            continue;
        struct seen *slot = CORR_PUSH(all, n, cap);
        if (!slot) {
            free(all);
            return -ENOMEM;
        }
        int64_t lo;
        *slot = (struct seen){.r = r, .o = r->r->object};
        corr_interval(f->ev, r->stream, r->r->object->t_wall_ns, 0, &lo, &slot->hi);
        n++;
    }
    if (n)
        qsort(all, n, sizeof *all, by_time);
    *ret = all;
    *ret_n = n;
    return 0;
}

static int is_release(const Pilotgate__Object *o) {
    return strcmp(o->kind, "HelmRelease") == 0;
}

/* "shop.v2" is of release "shop". */
static int of_release(const char *object_name, const char *release) {
    size_t n = strlen(release);
    return strncmp(object_name, release, n) == 0 && strncmp(object_name + n, ".v", 2) == 0;
}

/* A release of somebody else that cannot be decoded is none of ours. */
static int is_foreign(const struct facts *f, const Pilotgate__Object *o) {
    static const char prefix[] = "sh.helm.release.v1.";
    return f->release && is_release(o) && strncmp(o->name, prefix, sizeof prefix - 1) == 0 &&
           !of_release(o->name + sizeof prefix - 1, f->release);
}

static int set_unreadable(struct facts *f, const struct seen *s, struct err *e) {
    if (is_foreign(f, s->o) || *s->o->path) /* replicas come and go */
        return 0;
    for (size_t i = 0; i < f->n_unreadable; i++)
        if (strcmp(f->unreadable[i].kind, s->o->kind) == 0 && strcmp(f->unreadable[i].name, s->o->name) == 0)
            return 0;
    struct fact_unreadable *u = CORR_PUSH(f->unreadable, f->n_unreadable, f->cap_unreadable);
    if (!u)
        return err_oom(e);
    *u = (struct fact_unreadable){s->o->kind, s->o->name, s->o->reason, {s->r->stream, s->r->seq}, s->hi};
    f->n_unreadable++;
    return 0;
}

/* A release that cannot be decoded has its Secret's name: "sh.helm.release.v1.shop.v3". */
static int ends_with(const char *name, const char *end) {
    size_t n = strlen(name);
    size_t m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* One object that was read shows that its kind can be listed, not that another one can be read. */
static void set_readable(struct facts *f, const Pilotgate__Object *o) {
    size_t kept = 0;
    for (size_t i = 0; i < f->n_unreadable; i++) {
        const struct fact_unreadable *u = &f->unreadable[i];
        if (strcmp(u->kind, o->kind) != 0 || (strcmp(u->name, "*") != 0 && !ends_with(u->name, o->name)))
            f->unreadable[kept++] = *u;
    }
    f->n_unreadable = kept;
}

static int read_one(struct facts *f, const struct seen *s, struct err *e) {
    const Pilotgate__Object *o = s->o;
    if (o->op == PILOTGATE__OBJECT__OP__OP_UNREADABLE)
        return set_unreadable(f, s, e);
    set_readable(f, o);
    if (!o->control) {
        f->catalogue_seen |= strcmp(o->kind, "ToolCatalogue") == 0;
        f->configuration_seen |= strcmp(o->kind, "ProductConfiguration") == 0;
    }
    return 0;
}

static int read_all(struct facts *f, struct err *e) {
    struct seen *all;
    size_t n;
    if (collect(f, &all, &n) < 0)
        return err_oom(e);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = read_one(f, &all[i], e);
    free(all);
    return r;
}

/* ---- kinds of signs */

/* "deployed", "uninstalling" ... as its Secret says; "" when it was deleted. */
static void release_status(const Pilotgate__Object *o, char out[32]) {
    json_t *doc = NULL;
    out[0] = 0;
    if (o->op == PILOTGATE__OBJECT__OP__OP_DELETED ||
        js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return;
    (void)snprintf(out, 32, "%s", js_str(doc, "status", ""));
    json_decref(doc);
}

/* Helm says so before it takes anything away; only of what it has deployed it deletes the Secret otherwise
 * (of a superseded revision too, when the history grows too long). */
static int is_uninstall(const Pilotgate__Object *old, const Pilotgate__Object *now) {
    char was[32];
    char is[32];
    if (!old || !is_release(now))
        return 0;
    release_status(old, was);
    release_status(now, is);
    if (strncmp(was, "uninstall", 9) == 0)
        return 0;
    return strncmp(is, "uninstall", 9) == 0 ||
           (now->op == PILOTGATE__OBJECT__OP__OP_DELETED && strcmp(was, "deployed") == 0);
}

static enum fact_sign_kind sign_kind(const Pilotgate__Object *o) {
    if (is_release(o))
        return FACT_SIGN_RELEASE;
    if (strcmp(o->kind, "ToolCatalogue") == 0)
        return FACT_SIGN_CATALOGUE;
    return strcmp(o->kind, "ProductConfiguration") == 0 ? FACT_SIGN_CONFIGURATION : FACT_SIGN_OBJECT;
}

/* The moment that orders a sign; an uninstall's lies shortly before it was seen. */
static int64_t order_of(enum fact_sign_kind kind, int64_t lo, int64_t hi, int64_t lag) {
    if (kind == FACT_SIGN_UNINSTALL && hi - lo > lag)
        return hi - lag;
    return kind == FACT_SIGN_RELEASE || kind == FACT_SIGN_UNINSTALL ? lo : hi;
}

/* ---- signs */

/* When the state before was last seen: it was told, or the agent that told of the new one was current then.
 */
static int64_t last_old(const struct facts *f, const struct fact_state *s, const struct corr_known *old) {
    int64_t lo = old->s ? old->lo : s->lo;
    int64_t prev_lo;
    int64_t prev_hi;
    if (!s->told->previous_wall_ns)
        return lo;
    corr_interval(f->ev, s->ref.stream, s->told->previous_wall_ns, 0, &prev_lo, &prev_hi);
    return prev_lo > lo || !old->s ? prev_lo : lo;
}

/* lag: by which the watches of two kinds may differ. */
static int add_sign(struct facts *f, const struct fact_state *s, const struct corr_known *old, int64_t lag,
                    struct err *e) {
    const Pilotgate__Object *before = old->s ? old->s->o : NULL;
    struct fact_sign *sign = CORR_PUSH(f->signs, f->n_signs, f->cap_signs);
    if (!sign)
        return err_oom(e);
    enum fact_sign_kind kind = is_uninstall(before, s->o) ? FACT_SIGN_UNINSTALL : sign_kind(s->o);
    /* Helm makes the revision's Secret before it touches anything else */
    int64_t lo = kind == FACT_SIGN_RELEASE ? s->o->created_wall_ns : last_old(f, s, old);
    lo = lo < s->hi ? lo : s->hi;
    *sign = (struct fact_sign){
        .kind = kind,
        .life = s->life,
        .object_kind = s->o->kind,
        .name = s->o->name,
        .old_digest = before ? before->digest : "",
        .new_digest = s->o->op == PILOTGATE__OBJECT__OP__OP_DELETED ? "" : s->o->digest,
        .before = before,
        .after = s->o,
        .lo = lo,
        .hi = s->hi,
        .order = order_of(kind, lo, s->hi, lag),
        .place = s->place,
        .ref = s->ref,
    };
    f->n_signs++;
    return 0;
}

static void note_release(struct replay *p, const struct fact_state *s) {
    if (p->last.stream != s->ref.stream)
        p->other = p->last;
    p->last = (struct told){s->ref.stream, s->hi};
}

/* A revision that came while nobody watched, and that a later stream found in its first list. */
static int came_unwatched(const struct replay *p, const struct fact_state *s) {
    const struct told *before = p->last.stream == s->ref.stream ? &p->other : &p->last;
    return before->hi && s->o->created_wall_ns + WHEN_S > before->hi;
}

/* The state before is of this very revision, not of one of an earlier install. */
static int same_revision(const struct corr_known *old, const Pilotgate__Object *now) {
    return old->s && old->s->o->op != PILOTGATE__OBJECT__OP__OP_DELETED &&
           old->s->o->created_wall_ns == now->created_wall_ns;
}

/* One sign a revision, its creation, and one its uninstall; what else becomes of it is its own story. */
static int is_release_sign(const struct replay *p, const struct fact_state *s, const struct corr_known *old) {
    if (p->f->release && !of_release(s->o->name, p->f->release))
        return 0;
    if (is_uninstall(old->s ? old->s->o : NULL, s->o))
        return 1;
    if (s->o->op == PILOTGATE__OBJECT__OP__OP_DELETED || same_revision(old, s->o))
        return 0;
    return s->news || came_unwatched(p, s);
}

/* Is a new state of this object a sign at all? A first sight is a baseline, not a change. */
static int is_sign(const struct replay *p, const struct fact_state *s, const struct corr_known *old) {
    const Pilotgate__Object *o = s->o;
    if (sign_kind(o) == FACT_SIGN_RELEASE)
        return is_release_sign(p, s, old);
    bool gone = o->op == PILOTGATE__OBJECT__OP__OP_DELETED;
    if ((!s->news || *o->path || gone) && !old->s)
        return 0;
    if (*o->path && gone) /* the replica went, not its catalogue */
        return 0;
    if (o->control || strcmp(o->kind, "Namespace") == 0)
        return 0;
    return !(p->f->release && *o->release && strcmp(o->release, p->f->release) != 0);
}

/* Whether it changed is not known: that is a change which nobody saw, or none. */
static int add_uncompared(struct facts *f, const struct fact_state *s, const struct corr_known *old,
                          struct err *e) {
    struct fact_missing *m = CORR_PUSH(f->missing, f->n_missing, f->cap_missing);
    if (!m)
        return err_oom(e);
    int64_t lo = last_old(f, s, old);
    *m = (struct fact_missing){.kind = FACT_MISSING_UNCOMPARED,
                               .stream = s->ref.stream,
                               .lo = lo < s->hi ? lo : s->hi,
                               .hi = s->hi,
                               .blind = true,
                               .sources = s->o->kind,
                               .name = s->o->name,
                               .ref = s->ref};
    f->n_missing++;
    return 0;
}

/* A state that is, or may be, another one than before: noise, a sign, or not known. */
static int tell(struct replay *p, const struct fact_state *s, const struct corr_known *old,
                enum fact_same same, struct err *e) {
    const char *noise = NULL;
    int r = corr_noise(p->f, p->rubric, p->known, s, old->s, &noise, e);
    if (r < 0)
        return r;
    if (noise)
        return same == FACT_DIFFERS ? corr_count_noise(p->f, s, noise, e) : 0;
    return same == FACT_DIFFERS ? add_sign(p->f, s, old, p->rubric->rules.watch_lag_ns, e)
                                : add_uncompared(p->f, s, old, e);
}

static int replay_one(struct replay *p, const struct fact_state *s, struct err *e) {
    struct corr_known *known = &p->known[s->object];
    struct corr_known old = *known;
    if (strcmp(s->o->kind, "GitOps") == 0) /* what a controller says of its work is no configuration */
        return 0;
    if (old.s && old.s->life != s->life) /* what the namespace held before it was made again is gone */
        old.s = NULL;
    enum fact_same same = old.s ? facts_same(old.s->o, s->o) : FACT_DIFFERS;
    if (same == FACT_SAME) {
        known->lo = s->lo;
        if (strcmp(old.s->o->digest, s->o->digest) != 0) /* in another form */
            known->s = s;
        return 0;
    }
    if (s->o->op == PILOTGATE__OBJECT__OP__OP_CONFIRMED && !old.s)
        return 0;
    int r = is_sign(p, s, &old) ? tell(p, s, &old, same, e) : 0;
    if (sign_kind(s->o) == FACT_SIGN_RELEASE)
        note_release(p, s);
    *known = (struct corr_known){s, s->lo};
    return r;
}

/* ---- marks */

static int add_mark(struct facts *f, const json_t *mark, struct err *e) {
    static const Pilotgate__Object nothing = PILOTGATE__OBJECT__INIT;
    int64_t t = js_int(mark, "t_ns", 0);
    if (strcmp(js_str(mark, "stage", ""), f->stage) != 0 || strcmp(js_str(mark, "what", ""), "change") != 0 ||
        t <= 0)
        return 0;
    struct fact_sign *sign = CORR_PUSH(f->signs, f->n_signs, f->cap_signs);
    if (!sign)
        return err_oom(e);
    *sign = (struct fact_sign){.kind = FACT_SIGN_MARK,
                               .life = facts_life_at(f, t),
                               .object_kind = "Mark",
                               .name = js_str(mark, "by", ""),
                               .old_digest = "",
                               .new_digest = "",
                               .after = &nothing,
                               .lo = t,
                               .hi = t,
                               .order = t,
                               .mark = mark};
    f->n_signs++;
    return 0;
}

static int add_marks(struct facts *f, struct err *e) {
    size_t i;
    json_t *mark;
    int r = 0;
    json_array_foreach(f->ev->marks, i, mark) {
        if (r == 0)
            r = add_mark(f, mark, e);
    }
    return r;
}

int corr_signs(struct facts *f, const struct rubric *rubric, struct err *e) {
    int r = read_all(f, e);
    if (r < 0)
        return r;
    struct replay p = {.f = f, .rubric = rubric, .known = calloc(f->n_objects + 1, sizeof *p.known)};
    if (!p.known)
        return err_oom(e);
    for (size_t i = 0; i < f->n_states && r == 0; i++)
        r = replay_one(&p, &f->states[i], e);
    free(p.known);
    return r == 0 ? add_marks(f, e) : r;
}
