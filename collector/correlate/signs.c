/* signs: every way in which a change of configuration shows in the records of one stage.
 *
 * The states of an object are replayed in time; a new digest is a sign, placed between the last moment at
 * which the old state was seen and the first at which the new one was. A state belongs to (kind, name);
 * a catalogue or configuration also to the node that read it, since each node asks for itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "correlate/correlate_priv.h"

struct seen {
    const struct ev_record *r;
    const Pilotgate__Object *o;
    int64_t lo, hi; /* of t_wall_ns, on the collector's clock */
};

struct state {                  /* of one object, as of the replay's position */
    const Pilotgate__Object *o; /* record that told the digest */
    int64_t known_hi;           /* last moment at which it was seen so */
};

struct replay {
    struct facts *f;
    json_t *index; /* key -> position in states */
    struct state *states;
    size_t n, cap;
    json_t *versions;           /* (kind, name, uid, resourceVersion) already told */
    const struct seen *release; /* newest record of a Helm release so far */
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
        *slot = (struct seen){.r = r, .o = r->r->object};
        corr_interval(f->ev, r->stream, r->r->object->t_wall_ns, 0, &slot->lo, &slot->hi);
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

static struct state *state_of(struct replay *p, const struct seen *s) {
    char key[5 * WIRE_NAME_MAX];
    int product = corr_is_product(s->o);
    const char *node = product ? p->f->ev->streams[s->r->stream].node : "";
    (void)snprintf(key, sizeof key, "%s\n%s\n%.253s\n%.400s", node, s->o->kind, s->o->name,
                   product ? s->o->path : "");
    json_t *at = json_object_get(p->index, key);
    if (at)
        return &p->states[json_integer_value(at)];
    struct state *slot = CORR_PUSH(p->states, p->n, p->cap);
    if (!slot || json_object_set_new(p->index, key, json_integer((json_int_t)p->n)) < 0)
        return NULL;
    p->n++;
    return slot;
}

/* A late agent's telling of a version that another has told already is no news. */
static int told_before(struct replay *p, const Pilotgate__Object *o) {
    if (!*o->resource_version || o->op == PILOTGATE__OBJECT__OP__OP_DELETED)
        return 0;
    char key[4 * WIRE_NAME_MAX];
    (void)snprintf(key, sizeof key, "%s\n%s\n%s\n%s", o->kind, o->name, o->uid, o->resource_version);
    if (json_object_get(p->versions, key))
        return 1;
    (void)json_object_set_new(p->versions, key, json_true());
    return 0;
}

/* The state as it is, told again by an agent of another version: what comes next is compared with its form.
 */
static void take_form(struct replay *p, const struct seen *s) {
    struct state *st = state_of(p, s);
    if (st && st->o && strcmp(st->o->uid, s->o->uid) == 0 &&
        strcmp(st->o->resource_version, s->o->resource_version) == 0)
        st->o = s->o;
}

/* The moment that orders a sign; an uninstall's lies shortly before it was seen. */
static int64_t order_of(enum fact_sign_kind kind, int64_t lo, int64_t hi, int64_t lag) {
    if (kind == FACT_SIGN_UNINSTALL && hi - lo > lag)
        return hi - lag;
    return kind == FACT_SIGN_RELEASE || kind == FACT_SIGN_UNINSTALL ? lo : hi;
}

/* lag: by which the watches of two kinds may differ. */
static int add_sign(struct facts *f, const struct seen *s, const struct state *old, int64_t lag,
                    struct err *e) {
    struct fact_sign *sign = CORR_PUSH(f->signs, f->n_signs, f->cap_signs);
    if (!sign)
        return err_oom(e);
    int64_t lo = old->o ? old->known_hi : s->lo;
    enum fact_sign_kind kind = is_uninstall(old->o, s->o) ? FACT_SIGN_UNINSTALL : sign_kind(s->o);
    if (kind == FACT_SIGN_RELEASE) {
        lo = s->o->created_wall_ns; /* Helm makes the revision's Secret before it touches anything else */
    } else if (s->o->previous_wall_ns) {
        int64_t prev_lo;
        int64_t prev_hi;
        corr_interval(f->ev, s->r->stream, s->o->previous_wall_ns, 0, &prev_lo, &prev_hi);
        if (prev_lo > lo || !old->o)
            lo = prev_lo;
    }
    *sign = (struct fact_sign){
        .kind = kind,
        .object_kind = s->o->kind,
        .name = s->o->name,
        .old_digest = old->o ? old->o->digest : "",
        .new_digest = s->o->op == PILOTGATE__OBJECT__OP__OP_DELETED ? "" : s->o->digest,
        .before = old->o,
        .after = s->o,
        .lo = lo < s->hi ? lo : s->hi,
        .hi = s->hi,
        .order = order_of(kind, lo < s->hi ? lo : s->hi, s->hi, lag),
        .ref = {s->r->stream, s->r->seq},
    };
    f->n_signs++;
    return 0;
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

/* A revision that came while nobody watched, and that a later stream found in its first list. */
static int came_unwatched(const struct replay *p, const struct seen *s) {
    return p->release && p->release->r->stream != s->r->stream &&
           s->o->created_wall_ns + WHEN_S > p->release->hi;
}

/* The state before is of this very revision, not of one of an earlier install. */
static int same_revision(const struct state *old, const Pilotgate__Object *now) {
    return old->o && old->o->op != PILOTGATE__OBJECT__OP__OP_DELETED &&
           old->o->created_wall_ns == now->created_wall_ns;
}

/* One sign a revision, its creation, and one its uninstall; what else becomes of it is its own story. */
static int is_release_sign(const struct replay *p, const struct seen *s, const struct state *old) {
    if (p->f->release && !of_release(s->o->name, p->f->release))
        return 0;
    if (is_uninstall(old->o, s->o))
        return 1;
    if (s->o->op == PILOTGATE__OBJECT__OP__OP_DELETED || same_revision(old, s->o))
        return 0;
    return s->o->op == PILOTGATE__OBJECT__OP__OP_MODIFIED || s->o->op == PILOTGATE__OBJECT__OP__OP_ADDED ||
           came_unwatched(p, s);
}

/* Is a new state of this object a sign at all? A first sight is a baseline, not a change. */
static int is_sign(const struct replay *p, const struct seen *s, const struct state *old) {
    const Pilotgate__Object *o = s->o;
    if (sign_kind(o) == FACT_SIGN_RELEASE)
        return is_release_sign(p, s, old);
    if ((o->op == PILOTGATE__OBJECT__OP__OP_LISTED || *o->path) && !old->o)
        return 0;
    if (*o->path && o->op == PILOTGATE__OBJECT__OP__OP_DELETED) /* the replica went, not its catalogue */
        return 0;
    if (o->control || strcmp(o->kind, "Namespace") == 0)
        return 0;
    return !(p->f->release && *o->release && strcmp(o->release, p->f->release) != 0);
}

static int replay_one(struct replay *p, const struct seen *s, const struct rubric *rubric, struct err *e) {
    const Pilotgate__Object *o = s->o;
    if (o->op == PILOTGATE__OBJECT__OP__OP_UNREADABLE)
        return set_unreadable(p->f, s, e);
    set_readable(p->f, o);
    if (!o->control) {
        p->f->catalogue_seen |= strcmp(o->kind, "ToolCatalogue") == 0;
        p->f->configuration_seen |= strcmp(o->kind, "ProductConfiguration") == 0;
    }
    if (rubric_ignores(rubric, o->kind, o->name))
        return 0;
    if (told_before(p, o)) {
        take_form(p, s);
        return 0;
    }
    struct state *st = state_of(p, s);
    if (!st)
        return err_oom(e);
    enum fact_same same = st->o ? facts_same(st->o, o) : FACT_DIFFERS;
    if (same == FACT_SAME) {
        st->known_hi = s->hi;
        if (strcmp(st->o->digest, o->digest) != 0) /* in another form */
            st->o = o;
        return 0;
    }
    if (o->op == PILOTGATE__OBJECT__OP__OP_CONFIRMED && !st->o)
        return 0;
    /* what does not compare is a new baseline */
    int rc =
        same == FACT_DIFFERS && is_sign(p, s, st) ? add_sign(p->f, s, st, rubric->rules.watch_lag_ns, e) : 0;
    if (sign_kind(o) == FACT_SIGN_RELEASE)
        p->release = s;
    *st = (struct state){o, s->hi};
    return rc;
}

int corr_signs(struct facts *f, const struct rubric *rubric, struct err *e) {
    struct seen *all;
    size_t n;
    if (collect(f, &all, &n) < 0)
        return err_oom(e);
    struct replay p = {.f = f, .index = json_object(), .versions = json_object()};
    int rc = p.index && p.versions ? 0 : err_oom(e);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = replay_one(&p, &all[i], rubric, e);
    json_decref(p.index);
    json_decref(p.versions);
    free(p.states);
    free(all);
    return rc;
}
