/* view: turns lists and watch events of one collection into looks at single objects: new, changed, gone.
 * After a list that is not the first, what it did not hold is gone. See kube_priv.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"

#define PATH_RELEASE "/metadata/annotations/meta.helm.sh~1release-name"
#define PATH_INSTANCE "/metadata/labels/app.kubernetes.io~1instance"

static bool text_ok(const char *s, size_t max) {
    size_t n = 0;
    for (; s[n]; n++)
        if (n + 1 >= max || !isprint((unsigned char)s[n]))
            return false;
    return n > 0;
}

int kube_meta_read(const struct kube_scope *sc, const json_t *object, struct kube_meta *ret, struct err *e) {
    struct kube_meta m = {
        .name = js_str(object, "metadata.name", ""),
        .uid = js_str(object, "metadata.uid", ""),
        .rv = js_str(object, "metadata.resourceVersion", ""),
        .release = js_str(object, PATH_RELEASE, ""),
    };
    if (!text_ok(m.name, KUBE_NAME_MAX) || !text_ok(m.uid, KUBE_UID_MAX) || !text_ok(m.rv, KUBE_RV_MAX)) {
        (void)err_set(e, -EBADMSG, "an object without a valid metadata.name, uid or resourceVersion");
        return -EBADMSG;
    }
    if (*m.release && !text_ok(m.release, KUBE_NAME_MAX))
        m.release = "";
    if (when_parse(js_str(object, "metadata.creationTimestamp", ""), &m.created_wall) < 0)
        m.created_wall = 0;
    m.own = *sc->own_release && (strcmp(m.release, sc->own_release) == 0 ||
                                 strcmp(js_str(object, PATH_INSTANCE, ""), sc->own_release) == 0);
    kube_owner_read(sc->apps, object, m.managed_by);
    *ret = m;
    return 0;
}

const json_t *kube_condition(const json_t *object, const char *type) {
    size_t i;
    json_t *c;
    json_array_foreach(js_at(object, "status.conditions"), i, c) {
        if (strcmp(js_str(c, "type", ""), type) == 0)
            return c;
    }
    return NULL;
}

void kube_view_begin(struct kube_view *v) {
    v->generation++;
}

static int no_room(const struct kube_view *v, struct err *e) {
    if (v->known.n < KUBE_KNOWN_MAX)
        return err_oom(e);
    return err_set(e, -EMSGSIZE, "more than %d %s in the namespace: pilotgate watches no more",
                   KUBE_KNOWN_MAX, v->kind->source);
}

static void note_held(struct kube_view *v, bool before, bool now) {
    v->held += now && !before;
    v->held -= before && !now;
}

int kube_view_see(struct kube_view *v, struct kube_sight *s, const json_t *object, struct err *e) {
    struct kube_meta m;
    int r = kube_meta_read(v->scope, object, &m, e);
    if (r < 0)
        return r;
    if (v->kind->unkept)
        return v->kind->see(v->scope, v->kind, s, &m, object, NULL, e);
    struct kube_entry *x = kube_known_find(&v->known, m.uid);
    bool known = x != NULL;
    if (!known)
        x = kube_known_add(&v->known, m.uid, m.name);
    if (!x)
        return no_room(v, e);
    x->generation = v->generation;
    s->first = s->listed && !v->listed_once;
    if (known && strcmp(x->rv, m.rv) == 0) /* the same state, seen again */
        return 0;
    bool held = x->held;
    r = v->kind->see(v->scope, v->kind, s, &m, object, x, e);
    note_held(v, held, x->held);
    if (r == 0) {
        kube_entry_rv(x, m.rv);
        x->seen = true;
        x->unreadable = false;
    }
    return r;
}

static void tell_skipped(const struct kube_view *v, const char *name, const char *reason) {
    if (v->kind->replicas)
        kube_replicas_unknown(v->scope, v->kind, reason);
    else
        kube_tell_unreadable(v->scope, v->kind->object, name, reason);
}

int kube_view_skip(struct kube_view *v, const struct kube_peek *p, const char *reason, struct err *e) {
    if (!text_ok(p->name, KUBE_NAME_MAX))
        return err_set(e, -EBADMSG, "%s", reason);
    if (!text_ok(p->uid, KUBE_UID_MAX)) {
        if (strcmp(v->skipped, p->name) != 0)
            tell_skipped(v, p->name, reason);
        (void)snprintf(v->skipped, sizeof v->skipped, "%s", p->name);
        return 0;
    }
    if (v->kind->unkept)
        return 0;
    struct kube_entry *x = kube_known_find(&v->known, p->uid);
    if (!x)
        x = kube_known_add(&v->known, p->uid, p->name);
    if (!x)
        return no_room(v, e);
    x->generation = v->generation;
    kube_entry_rv(x, ""); /* its next state is looked at, whichever it is */
    if (!x->unreadable)
        tell_skipped(v, p->name, reason);
    x->unreadable = true;
    return 0;
}

static void forget(struct kube_view *v, const struct kube_sight *s, struct kube_entry *x) {
    note_held(v, x->held, false);
    if (v->kind->gone && x->seen)
        v->kind->gone(v->scope, v->kind, s, x);
    kube_known_remove(&v->known, x);
}

int kube_view_delete(struct kube_view *v, struct kube_sight *s, const json_t *object, struct err *e) {
    struct kube_meta m;
    int r = kube_meta_read(v->scope, object, &m, e);
    if (r < 0)
        return r;
    struct kube_entry *x = kube_known_find(&v->known, m.uid);
    if (!x)
        return 0;
    kube_entry_rv(x, m.rv);
    forget(v, s, x);
    return 0;
}

void kube_view_lost(struct kube_view *v, const struct kube_sight *s, const struct kube_peek *p) {
    struct kube_entry *x = kube_known_find(&v->known, p->uid);
    if (!x)
        return;
    if (text_ok(p->rv, KUBE_RV_MAX))
        kube_entry_rv(x, p->rv);
    forget(v, s, x);
}

void kube_view_end(struct kube_view *v, const struct kube_sight *s) {
    for (struct kube_entry *x = v->known.first, *next; x; x = next) {
        next = x->next;
        if (x->generation != v->generation)
            forget(v, s, x);
    }
    v->listed_once = true;
}

void kube_view_tick(struct kube_view *v, int64_t now_wall) {
    if (v->held == 0)
        return;
    for (struct kube_entry *x = v->known.first; x; x = x->next) {
        if (!x->held)
            continue;
        v->kind->tick(v->scope, now_wall, x);
        note_held(v, true, x->held);
    }
}

void kube_view_free(struct kube_view *v) {
    kube_known_free(&v->known);
}
