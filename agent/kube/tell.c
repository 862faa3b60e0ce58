/* tell: makes the records. Nothing of a Secret gets here but its normal form (norm.h). See kube_priv.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

struct kube_time kube_time_seen(const struct kube_sight *s) {
    return (struct kube_time){
        .wall = s->recv_wall,
        .bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST,
        .origin = s->listed ? PILOTGATE__ORIGIN__ORIGIN_LIST : PILOTGATE__ORIGIN__ORIGIN_WATCH,
    };
}

struct kube_time kube_time_api(const char *text, const struct kube_sight *s) {
    int64_t t;
    if (when_parse(text, &t) < 0)
        return kube_time_seen(s);
    return (struct kube_time){
        .wall = t,
        .precision = WHEN_S,
        .bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT,
        .origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP,
    };
}

struct kube_time kube_time_flip(const char *text, const struct kube_sight *s) {
    struct kube_time t = kube_time_api(text, s);
    if (s->listed)
        t.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST;
    return t;
}

bool kube_rate_take(int64_t *full, int64_t now, int64_t each_ns, int burst) {
    if (*full < now || *full - now > burst * each_ns) /* whole again; or the clock was set back */
        *full = now;
    if (*full - now > (burst - 1) * each_ns)
        return false;
    *full += each_ns;
    return true;
}

void kube_tell_phase(const struct kube_scope *sc, Pilotgate__Phase *p, const char *subject_kind,
                     const struct kube_meta *m, struct kube_time t) {
    char subject[2 * KUBE_NAME_MAX];
    (void)snprintf(subject, sizeof subject, "%s/%s", subject_kind, m->name);
    p->subject = subject;
    p->uid = (char *)m->uid;
    p->resource_version = (char *)m->rv;
    p->t_wall_ns = t.wall;
    p->precision_ns = t.precision;
    p->bound = (Pilotgate__TimeBound)t.bound;
    p->origin = (Pilotgate__Origin)t.origin;
    p->own = m->own;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.body_case = PILOTGATE__RECORD__BODY_PHASE;
    r.phase = p;
    emit_record(sc->emit, &r);
}

static void emit_object(const struct kube_scope *sc, Pilotgate__Object *o) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.body_case = PILOTGATE__RECORD__BODY_OBJECT;
    r.object = o;
    emit_record(sc->emit, &r);
}

static Pilotgate__Object__Op op_of(const struct kube_sight *s, bool had_digest) {
    if (had_digest)
        return PILOTGATE__OBJECT__OP__OP_MODIFIED;
    return s->first ? PILOTGATE__OBJECT__OP__OP_LISTED : PILOTGATE__OBJECT__OP__OP_ADDED;
}

/* Cuts to WIRE_NORMAL_MAX at the beginning of a UTF-8 character. */
static bool cut(char *text) {
    size_t n = strnlen(text, WIRE_NORMAL_MAX + 1);
    if (n <= WIRE_NORMAL_MAX)
        return false;
    n = WIRE_NORMAL_MAX;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    text[n] = 0;
    return true;
}

static int replace(char **old, const char *text) {
    if (*old && strcmp(*old, text) == 0)
        return 0;
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*old);
    *old = copy;
    return 0;
}

static int remember(struct kube_entry *x, const struct kube_meta *m, const char *name, const char *hex) {
    int r = replace(&x->name, name);
    if (r == 0 && (*m->release || x->release))
        r = replace(&x->release, m->release);
    if (r < 0)
        return r;
    x->own = m->own;
    (void)snprintf(x->digest, sizeof x->digest, "%s", hex);
    return 0;
}

int kube_tell_object(const struct kube_scope *sc, const char *kind, const char *name,
                     const struct kube_sight *s, const struct kube_meta *m, const json_t *normal,
                     struct kube_entry *x, struct err *e) {
    char hex[NORM_HEX_MAX];
    char *text;
    if (norm_digest(sc->key, normal, &text, hex) < 0)
        return err_oom(e);
    bool had = *x->digest;
    if (had && strcmp(x->digest, hex) == 0) {
        free(text);
        return 0;
    }
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.op = op_of(s, had);
    o.kind = (char *)kind;
    o.name = (char *)name;
    o.uid = (char *)m->uid;
    o.resource_version = (char *)m->rv;
    o.digest = hex;
    o.truncated = cut(text);
    o.normal = text;
    o.norm = NORM_VERSION;
    o.t_wall_ns = s->recv_wall;
    o.previous_wall_ns = s->first ? 0 : s->previous_wall;
    o.origin = s->listed ? PILOTGATE__ORIGIN__ORIGIN_LIST : PILOTGATE__ORIGIN__ORIGIN_WATCH;
    o.own = m->own;
    o.release = (char *)m->release;
    o.managed_by = (char *)m->managed_by;
    o.created_wall_ns = m->created_wall;
    int r = remember(x, m, name, hex);
    if (r == 0)
        emit_object(sc, &o);
    free(text);
    return r < 0 ? err_oom(e) : 0;
}

void kube_tell_deleted(const struct kube_scope *sc, const char *kind, const struct kube_sight *s,
                       const struct kube_entry *x) {
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.op = PILOTGATE__OBJECT__OP__OP_DELETED;
    o.kind = (char *)kind;
    o.name = x->name;
    o.uid = x->uid;
    o.resource_version = (char *)x->rv;
    o.t_wall_ns = s->recv_wall;
    o.previous_wall_ns = s->previous_wall;
    o.origin = s->listed ? PILOTGATE__ORIGIN__ORIGIN_LIST : PILOTGATE__ORIGIN__ORIGIN_WATCH;
    o.own = x->own;
    o.release = x->release ? x->release : (char *)protobuf_c_empty_string;
    emit_object(sc, &o);
}

void kube_tell_unreadable(const struct kube_scope *sc, const char *kind, const char *name,
                          const char *reason) {
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.op = PILOTGATE__OBJECT__OP__OP_UNREADABLE;
    o.kind = (char *)kind;
    o.name = (char *)name;
    o.reason = (char *)reason;
    o.t_wall_ns = when_wall_ns();
    o.origin = PILOTGATE__ORIGIN__ORIGIN_LIST;
    emit_object(sc, &o);
}

void kube_tell_unwatched(const struct kube_scope *sc, const char *sources, int64_t from_wall,
                         const uint8_t *from_boot, int64_t to_wall) {
    Pilotgate__Loss loss = PILOTGATE__LOSS__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    loss.cause = PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED;
    loss.from_wall_ns = from_wall;
    loss.to_wall_ns = to_wall;
    loss.families = (char *)sources;
    if (from_boot) {
        loss.from_boot.data = (uint8_t *)(uintptr_t)from_boot;
        loss.from_boot.len = WIRE_BOOT_BYTES;
    }
    r.body_case = PILOTGATE__RECORD__BODY_LOSS;
    r.loss = &loss;
    emit_record(sc->emit, &r);
}
