/* releases: what Helm's release Secrets tell: the objects "HelmRelease" and the phases of a revision.
 *
 * - RELEASE_CREATED at the Secret's creationTimestamp: pending-* was written first.
 * - PENDING (reason: "pending-upgrade", "uninstalling" ...), DEPLOYED, FAILED, SUPERSEDED, UNINSTALLED when
 * the status changes on the watch, at the latest now. A PENDING that nothing follows never ended: Helm was
 * killed, and refuses the next operation.
 * - A status found in the first list: at the latest when the Secret was written last, which the API server
 * notes in managedFields (API conventions, "metav1.ManagedFieldsEntry": time of the last change of a
 * manager's fields); without that not before info.last_deployed, which is the START. Helm's label modifiedAt
 * is no such time: a new revision gets the labels of the one before (Helm pkg/storage/driver/secrets.go,
 * newSecretsObject).
 * - UNINSTALLED when a Secret is deleted whose last status was "uninstalling".
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

/* When the Secret was written last, as the API server noted it; 0: it did not. */
static int64_t written_at(const json_t *secret, int64_t created) {
    const json_t *fields = js_at(secret, "metadata.managedFields");
    int64_t newest = 0;
    size_t i;
    json_t *field;
    json_array_foreach(fields, i, field) {
        int64_t t;
        if (when_parse(js_str(field, "time", ""), &t) == 0 && t > newest)
            newest = t;
    }
    return newest >= created ? newest : 0;
}

static struct kube_time status_since(const struct kube_sight *s, const struct kube_meta *m,
                                     const json_t *secret, const struct kube_release *r) {
    struct kube_time t = kube_time_seen(s);
    int64_t written = written_at(secret, m->created_wall);
    int64_t begun = r->last_deployed > m->created_wall ? r->last_deployed : m->created_wall;
    if (!s->first || (written == 0 && begun == 0))
        return t;
    t.wall = written ? written : begun;
    t.precision = written ? WHEN_S : 0;
    t.bound =
        written ? PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST : PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST;
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
        tell(sc, m, phase, status_since(s, m, secret, r), why);
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
