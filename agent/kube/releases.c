/* releases: what Helm's release Secrets tell: the objects "HelmRelease" and the phases of a revision.
 *
 *   Secret's creationTimestamp      RELEASE_CREATED: pending-* was written first
 *   status changes on the watch     PENDING (reason: "pending-upgrade", "uninstalling" ...), DEPLOYED,
 * FAILED, SUPERSEDED, UNINSTALLED, at the latest now. A PENDING that nothing follows never ended: Helm was
 * killed, and refuses the next operation status found in the first list  at the latest at label modifiedAt
 * (the last update of the Secret); without the label not before info.last_deployed, which is the START Secret
 * deleted UNINSTALLED, when its last status was "uninstalling"
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

struct said_release {
    char release[KUBE_NAME_MAX];
    char status[32];
};

static Pilotgate__Phase__Kind phase_of(const char *status) {
    static const struct {
        const char *status;
        Pilotgate__Phase__Kind phase;
    } phases[] = {
        {"deployed", PILOTGATE__PHASE__KIND__KIND_RELEASE_DEPLOYED},
        {"failed", PILOTGATE__PHASE__KIND__KIND_RELEASE_FAILED},
        {"superseded", PILOTGATE__PHASE__KIND__KIND_RELEASE_SUPERSEDED},
        {"uninstalled", PILOTGATE__PHASE__KIND__KIND_RELEASE_UNINSTALLED},
        {"uninstalling", PILOTGATE__PHASE__KIND__KIND_RELEASE_PENDING},
        {"pending-install", PILOTGATE__PHASE__KIND__KIND_RELEASE_PENDING},
        {"pending-upgrade", PILOTGATE__PHASE__KIND__KIND_RELEASE_PENDING},
        {"pending-rollback", PILOTGATE__PHASE__KIND__KIND_RELEASE_PENDING},
    };
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(status, phases[i].status) == 0)
            return phases[i].phase;
    return PILOTGATE__PHASE__KIND__KIND_UNSPECIFIED;
}

static void tell(const struct kube_scope *sc, const struct kube_meta *m, Pilotgate__Phase__Kind kind,
                 struct kube_time t, const char *reason) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = kind;
    p.owner = (char *)m->release;
    p.reason = (char *)reason;
    kube_tell_phase(sc, &p, "Release", m, t);
}

/* The first line of a description: one line is what a reason is. */
static const char *first_line(const char *text, char *out, size_t size) {
    (void)snprintf(out, size, "%.*s", (int)strcspn(text, "\r\n"), text);
    return out;
}

/* Label modifiedAt, seconds since the epoch; 0: absent. */
static int64_t modified_at(const json_t *secret) {
    const char *text = js_str(secret, "metadata.labels.modifiedAt", "");
    char *end;
    errno = 0;
    long long s = strtoll(text, &end, 10);
    return *text && !*end && errno == 0 && s > 0 && s < WIRE_NS_MAX / WHEN_S ? s * WHEN_S : 0;
}

static struct kube_time status_since(const struct kube_sight *s, const json_t *secret,
                                     const struct kube_release *r) {
    struct kube_time t = kube_time_seen(s);
    int64_t modified = modified_at(secret);
    if (!s->first || (modified == 0 && r->last_deployed == 0))
        return t;
    t.wall = modified ? modified : r->last_deployed;
    t.precision = modified ? WHEN_S : 0;
    t.bound =
        modified ? PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST : PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST;
    t.origin = PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP;
    return t;
}

static void tell_phases(const struct kube_scope *sc, const struct kube_sight *s, const struct kube_meta *m,
                        const json_t *secret, const struct kube_release *r, struct said_release *said) {
    Pilotgate__Phase__Kind phase = phase_of(r->status);
    char why[KUBE_REASON_MAX] = "";
    if (phase == PILOTGATE__PHASE__KIND__KIND_RELEASE_FAILED)
        (void)first_line(js_str(r->normal, "description", ""), why, sizeof why);
    else if (phase == PILOTGATE__PHASE__KIND__KIND_RELEASE_PENDING)
        (void)snprintf(why, sizeof why, "%s", r->status);
    if (!*said->status)
        tell(sc, m, PILOTGATE__PHASE__KIND__KIND_RELEASE_CREATED,
             kube_time_api(js_str(secret, "metadata.creationTimestamp", ""), s), "");
    if (phase != PILOTGATE__PHASE__KIND__KIND_UNSPECIFIED && strcmp(said->status, r->status) != 0)
        tell(sc, m, phase, status_since(s, secret, r), why);
    (void)snprintf(said->status, sizeof said->status, "%s", r->status);
    (void)snprintf(said->release, sizeof said->release, "%s", r->name);
}

static int see_decoded(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                       const struct kube_meta *secret_meta, const json_t *secret,
                       const struct kube_release *r, struct kube_entry *x, struct err *e) {
    char name[KUBE_NAME_MAX + 24];
    struct kube_meta m = *secret_meta;
    (void)snprintf(name, sizeof name, "%s.v%lld", r->name, (long long)r->revision);
    m.name = name;
    m.release = r->name;
    m.own = *sc->own_release && strcmp(r->name, sc->own_release) == 0;
    tell_phases(sc, s, &m, secret, r, x->extra);
    return kube_tell_object(sc, kind->object, name, s, &m, r->normal, x, e);
}

int kube_release_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                     const struct kube_meta *m, const json_t *secret, struct kube_entry *x, struct err *e) {
    const json_t *data = js_at(secret, "data.release");
    struct kube_release release;
    struct err why;
    if (!x->extra)
        x->extra = calloc(1, sizeof(struct said_release));
    if (!x->extra)
        return err_oom(e);
    int r = kube_release_decode(sc->key, json_is_string(data) ? json_string_value(data) : "",
                                json_string_length(data), &release, &why);
    if (r == -ENOMEM)
        return err_oom(e);
    if (r < 0) { /* one that cannot be read keeps none of the others from being read */
        kube_tell_unreadable(sc, kind->object, m->name, why.text);
        return 0;
    }
    r = see_decoded(sc, kind, s, m, secret, &release, x, e);
    kube_release_free(&release);
    return r;
}

void kube_release_gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                       const struct kube_entry *x) {
    const struct said_release *said = x->extra;
    struct kube_meta m = {.name = x->name, .uid = x->uid, .rv = x->rv, .own = x->own};
    m.release = said ? said->release : "";
    if (said && strcmp(said->status, "uninstalling") == 0)
        tell(sc, &m, PILOTGATE__PHASE__KIND__KIND_RELEASE_UNINSTALLED, kube_time_seen(s), "");
    kube_object_gone(sc, kind, s, x);
}
