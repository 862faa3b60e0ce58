/* gitops: see gitops.h. */
#include "kube/gitops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "kube/kube_priv.h"

#define TEXT_MAX 256 /* of a name, revision or reason, with NUL */

struct form {
    const struct norm_key *key;
    const json_t *object;
    const char *kind;
    json_t *out;
    bool failed; /* out of memory */
};

/* ---- setting members */

static void set(struct form *f, json_t *to, const char *name, json_t *value) {
    f->failed |= json_object_set_new(to, name, value) < 0;
}

/* A short text of the API: a name, a revision, a reason; cut at a character. */
static void set_text(struct form *f, json_t *to, const char *name, const char *text) {
    char shown[TEXT_MAX];
    size_t n = strnlen(text, TEXT_MAX - 1);
    while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    (void)snprintf(shown, sizeof shown, "%.*s", (int)n, text);
    set(f, to, name, json_string(shown));
}

static void copy_text(struct form *f, json_t *to, const char *name, const json_t *from, const char *path) {
    set_text(f, to, name, js_str(from, path, ""));
}

static void copy_number(struct form *f, json_t *to, const char *name, const json_t *from, const char *path) {
    set(f, to, name, json_integer(js_int(from, path, 0)));
}

/* Only what is there: most members of a history are of one controller. */
static void copy_given(struct form *f, json_t *to, const char *name, const json_t *from, const char *path) {
    if (*js_str(from, path, ""))
        copy_text(f, to, name, from, path);
}

/* A digest that anyone can compute becomes one that only the pilot's key can. */
static void copy_keyed(struct form *f, json_t *to, const char *name, const json_t *from, const char *path) {
    char hex[NORM_HEX_MAX];
    const char *text = js_str(from, path, "");
    if (*text)
        set(f, to, name, json_string(norm_hash(f->key, text, strlen(text), hex)));
}

/* Without user, password and query, which hold tokens. */
static void set_url(struct form *f, json_t *source, const char *url) {
    char shown[TEXT_MAX];
    const char *host = strstr(url, "://");
    if (!host)
        host = url;
    else
        host += 3;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    for (const char *p = at; p; p = memchr(p + 1, '@', strcspn(p + 1, "/?#")))
        at = p;
    (void)snprintf(shown, sizeof shown, "%.*s%.*s", (int)(host - url < 32 ? host - url : 0), url,
                   (int)strcspn(at ? at + 1 : host, "?#"), at ? at + 1 : host);
    if (*url)
        set_text(f, source, "url", shown);
}

static void set_message(struct form *f, const char *text) {
    char words[KUBE_WORDS_MAX];
    kube_words_reduce(f->key, text, words);
    set(f, f->out, "message", json_string(words));
}

/* ---- what all have */

static const json_t *condition(const json_t *object, const char *type) {
    size_t i;
    json_t *c;
    json_array_foreach(js_at(object, "status.conditions"), i, c) {
        if (strcmp(js_str(c, "type", ""), type) == 0)
            return c;
    }
    return NULL;
}

static bool holds(const json_t *object, const char *type) {
    return strcmp(js_str(condition(object, type), "status", ""), "True") == 0;
}

/* Conditions of Argo CD have no status: being there is what they say. */
static void set_conditions(struct form *f) {
    json_t *all = json_object();
    size_t i;
    json_t *c;
    json_array_foreach(js_at(f->object, "status.conditions"), i, c) {
        const char *type = js_str(c, "type", "");
        json_t *one = json_object();
        if (i >= GITOPS_CONDITIONS_MAX || !*type || strlen(type) >= TEXT_MAX) {
            json_decref(one);
            continue;
        }
        set_text(f, one, "status", js_str(c, "status", "True"));
        copy_text(f, one, "reason", c, "reason");
        copy_text(f, one, "since", c, "lastTransitionTime");
        set(f, all, type, one);
    }
    set(f, f->out, "conditions", all);
}

static void set_head(struct form *f, const char *controller) {
    set_text(f, f->out, "controller", controller);
    set_text(f, f->out, "kind", f->kind);
    copy_text(f, f->out, "name", f->object, "metadata.name");
    copy_text(f, f->out, "namespace", f->object, "metadata.namespace");
    set(f, f->out, "source", json_null());
    set(f, f->out, "release", json_null());
    set(f, f->out, "history", json_array());
    copy_text(f, f->out, "storage_namespace", f->object, "status.storageNamespace");
    copy_text(f, f->out, "action", f->object, "status.lastAttemptedReleaseAction");
    copy_number(f, f->out, "failures", f->object, "status.failures");
    set_text(f, f->out, "phase", "");
    set_text(f, f->out, "fetched", "");
    set_conditions(f);
}

/* ---- Flux */

static void set_flux_source(struct form *f, const json_t *reference) {
    if (!json_is_object(reference))
        return;
    json_t *source = json_object();
    const char *ns = js_str(reference, "namespace", "");
    copy_text(f, source, "kind", reference, "kind");
    copy_text(f, source, "name", reference, "name");
    set_text(f, source, "namespace", *ns ? ns : js_str(f->object, "metadata.namespace", ""));
    copy_given(f, source, "path", f->object, "spec.path");
    set(f, f->out, "source", source);
}

/* A source is its own: what it fetches from where. */
static void set_flux_origin(struct form *f) {
    json_t *source = json_object();
    set_text(f, source, "kind", f->kind);
    copy_text(f, source, "name", f->object, "metadata.name");
    copy_text(f, source, "namespace", f->object, "metadata.namespace");
    set_url(f, source,
            js_str(f->object, "spec.url", js_str(f->object, "spec.endpoint", ""))); /* of a Bucket */
    static const char *const refs[] = {"branch", "tag", "semver", "name", "commit", "digest"};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "spec.ref.%s", refs[i]);
        copy_given(f, source, "ref", f->object, path);
    }
    set(f, f->out, "source", source);
}

/* spec.releaseName, else [targetNamespace-]name (HelmRelease v2, "Release name"). */
static void set_helm_release(struct form *f) {
    const json_t *last = json_array_get(js_at(f->object, "status.history"), 0);
    const char *target = js_str(f->object, "spec.targetNamespace", "");
    const char *name = js_str(last, "name", js_str(f->object, "spec.releaseName", ""));
    char composed[2 * KUBE_NAME_MAX];
    (void)snprintf(composed, sizeof composed, "%.253s%s%.253s", target, *target ? "-" : "",
                   js_str(f->object, "metadata.name", ""));
    json_t *release = json_object();
    set_text(f, release, "name", *name ? name : composed);
    set_text(f, release, "namespace",
             js_str(last, "namespace", *target ? target : js_str(f->object, "metadata.namespace", "")));
    set(f, f->out, "release", release);
}

static json_t *snapshot(struct form *f, const json_t *s) {
    json_t *h = json_object();
    copy_number(f, h, "helm_revision", s, "version");
    copy_text(f, h, "status", s, "status");
    copy_given(f, h, "action", s, "action");
    copy_text(f, h, "chart", s, "chartName");
    copy_text(f, h, "chart_version", s, "chartVersion");
    copy_given(f, h, "app_version", s, "appVersion");
    copy_keyed(f, h, "config_digest", s, "configDigest");
    copy_keyed(f, h, "digest", s, "digest");
    copy_given(f, h, "oci_digest", s, "ociDigest");
    copy_given(f, h, "release", s, "name");
    copy_given(f, h, "namespace", s, "namespace");
    copy_given(f, h, "started", s, "lastDeployed"); /* Helm's last_deployed is the start */
    return h;
}

static json_t *reconciliation(struct form *f, const json_t *s) {
    json_t *h = json_object();
    copy_text(f, h, "status", s, "lastReconciledStatus");
    copy_given(f, h, "revision", s, "metadata.revision");
    copy_keyed(f, h, "digest", s, "digest");
    copy_given(f, h, "started", s, "firstReconciled");
    return h;
}

static void set_flux_history(struct form *f) {
    bool helm = strcmp(f->kind, "HelmRelease") == 0;
    json_t *to = json_object_get(f->out, "history");
    size_t i;
    json_t *s;
    json_array_foreach(js_at(f->object, "status.history"), i, s) {
        if (i < GITOPS_HISTORY_MAX)
            f->failed |= json_array_append_new(to, helm ? snapshot(f, s) : reconciliation(f, s)) < 0;
    }
    int64_t revision = js_int(f->object, "status.lastReleaseRevision", 0); /* v2beta1 */
    if (helm && i == 0 && revision > 0) {
        json_t *h = json_object();
        set(f, h, "helm_revision", json_integer(revision));
        copy_given(f, h, "chart_version", f->object, "status.lastAppliedRevision");
        f->failed |= json_array_append_new(to, h) < 0;
    }
}

/* What a HelmRelease has deployed: the chart's version of the newest snapshot that was deployed. */
static const char *deployed_version(const json_t *object) {
    size_t i;
    json_t *s;
    json_array_foreach(js_at(object, "status.history"), i, s) {
        if (strcmp(js_str(s, "status", ""), "deployed") == 0)
            return js_str(s, "chartVersion", "");
    }
    return js_str(object, "status.lastAppliedRevision", "");
}

static void set_flux_revisions(struct form *f) {
    bool helm = strcmp(f->kind, "HelmRelease") == 0;
    bool applies = helm || strcmp(f->kind, "Kustomization") == 0;
    const char *fetched = js_str(f->object, "status.artifact.revision", "");
    const char *applied =
        helm ? deployed_version(f->object) : js_str(f->object, "status.lastAppliedRevision", "");
    set_text(f, f->out, "revision", applies ? applied : fetched);
    set_text(f, f->out, "attempted",
             applies ? js_str(f->object, "status.lastAttemptedRevision", "")
                     : js_str(f->object, "status.observedSourceArtifactRevision", fetched));
    set_text(f, f->out, "fetched",
             applies ? "" : js_str(f->object, "status.observedSourceArtifactRevision", fetched));
}

static void fill_flux(struct form *f) {
    const json_t *ready = condition(f->object, "Ready");
    const json_t *source = js_at(f->object, "spec.sourceRef");
    bool suspended = js_bool(f->object, "spec.suspend", false);
    if (!source)
        source = js_at(f->object, "spec.chartRef");
    if (!source)
        source = js_at(f->object, "spec.chart.spec.sourceRef");
    set_head(f, "flux");
    set(f, f->out, "suspended", json_boolean(suspended));
    set(f, f->out, "automated", json_boolean(!suspended));
    copy_text(f, f->out, "ready", ready, "status");
    copy_text(f, f->out, "reason", ready, "reason");
    set_message(f, js_str(ready, "message", ""));
    set(f, f->out, "drifted", json_boolean(holds(f->object, "Drifted")));
    set(f, f->out, "stalled", json_boolean(holds(f->object, "Stalled")));
    copy_text(f, f->out, "targets", f->object, "spec.targetNamespace");
    if (source)
        set_flux_source(f, source);
    else
        set_flux_origin(f);
    if (strcmp(f->kind, "HelmRelease") == 0)
        set_helm_release(f);
    set_flux_revisions(f);
    set_flux_history(f);
}

/* ---- Argo CD */

/* Of several sources the first, and how many there are. */
static void set_argo_source(struct form *f) {
    const json_t *given = js_at(f->object, "spec.source");
    const json_t *all = js_at(f->object, "spec.sources");
    if (!given)
        given = json_array_get(all, 0);
    json_t *source = json_object();
    const char *chart = js_str(given, "chart", "");
    set_text(f, source, "kind", *chart ? "HelmRepository" : "GitRepository");
    set_text(f, source, "name", *chart ? chart : "");
    set_url(f, source, js_str(given, "repoURL", ""));
    copy_given(f, source, "path", given, "path");
    copy_given(f, source, "ref", given, "targetRevision");
    if (json_array_size(all) > 1)
        set(f, source, "sources", json_integer((json_int_t)json_array_size(all)));
    set(f, f->out, "source", source);
}

/* One revision, or the first of several sources'. */
static const char *argo_revision(const json_t *at) {
    const char *one = js_str(at, "revision", "");
    const char *first = json_string_value(json_array_get(js_at(at, "revisions"), 0));
    return *one ? one : first ? first : "";
}

static void set_argo_history(struct form *f) {
    const json_t *history = js_at(f->object, "status.history");
    json_t *to = json_object_get(f->out, "history");
    size_t n = json_array_size(history);
    for (size_t i = 0; i < n && i < GITOPS_HISTORY_MAX; i++) {
        const json_t *s = json_array_get(history, n - 1 - i);
        json_t *h = json_object();
        set_text(f, h, "revision", argo_revision(s));
        set_text(f, h, "status", "synced"); /* only a sync that succeeded gets in */
        set(f, h, "id", json_integer(js_int(s, "id", 0)));
        copy_given(f, h, "started", s, "deployStartedAt");
        copy_given(f, h, "deployed", s, "deployedAt");
        f->failed |= json_array_append_new(to, h) < 0;
    }
    set_text(f, f->out, "revision", argo_revision(json_array_get(history, n ? n - 1 : 0)));
}

/* Argo CD's health in the words of a Ready condition. */
static const char *ready_of(const char *health) {
    if (!*health)
        return "";
    if (strcmp(health, "Healthy") == 0)
        return "True";
    return strcmp(health, "Degraded") == 0 || strcmp(health, "Missing") == 0 ? "False" : "Unknown";
}

static bool argo_automated(const json_t *object) {
    const json_t *automated = js_at(object, "spec.syncPolicy.automated");
    return json_is_object(automated) && js_bool(automated, "enabled", true);
}

static void fill_argo(struct form *f) {
    const char *sync = js_str(f->object, "status.sync.status", "");
    const char *health = js_str(f->object, "status.health.status", "");
    const char *phase = js_str(f->object, "status.operationState.phase", "");
    set_head(f, "argocd");
    set(f, f->out, "suspended",
        json_boolean(strcmp(js_str(f->object, "/metadata/annotations/argocd.argoproj.io~1skip-reconcile", ""),
                            "true") == 0));
    set(f, f->out, "automated", json_boolean(argo_automated(f->object)));
    set_text(f, f->out, "ready", ready_of(health));
    set_text(f, f->out, "reason", health);
    set_message(f, js_str(f->object, "status.operationState.message", ""));
    set(f, f->out, "drifted", json_boolean(strcmp(sync, "OutOfSync") == 0));
    set(f, f->out, "stalled", json_boolean(strcmp(phase, "Failed") == 0 || strcmp(phase, "Error") == 0));
    set_text(f, f->out, "phase", phase);
    copy_text(f, f->out, "targets", f->object, "spec.destination.namespace");
    set_text(f, f->out, "attempted", argo_revision(js_at(f->object, "status.operationState.syncResult")));
    copy_number(f, f->out, "failures", f->object, "status.operationState.retryCount");
    set_argo_source(f);
    set_argo_history(f);
}

json_t *gitops_form(const struct norm_key *key, const json_t *object, const char *kind, const char *group) {
    struct form f = {.key = key, .object = object, .kind = kind, .out = json_object()};
    if (!f.out)
        return NULL;
    if (strcmp(group, "argoproj.io") == 0)
        fill_argo(&f);
    else
        fill_flux(&f);
    /* URLs with a password, and whatever else looks secret, as in any document */
    json_t *reduced = f.failed ? NULL : norm_document(key, f.out);
    json_decref(f.out);
    return reduced;
}

/* ---- handler */

/* "STAGE_name_group_Kind" (Kustomization v1, "Inventory") of something in the namespace. */
static bool has_inventory(const json_t *object, const char *ns) {
    size_t i;
    json_t *entry;
    size_t n = strlen(ns);
    json_array_foreach(js_at(object, "status.inventory.entries"), i, entry) {
        const char *id = js_str(entry, "id", "");
        if (strncmp(id, ns, n) == 0 && id[n] == '_')
            return true;
    }
    return false;
}

/* Of an object in another namespace: does it apply to the stage, or may it be the source of one that does? */
static bool concerns(const json_t *object, const char *kind, const char *stage) {
    if (strcmp(kind, "Application") == 0)
        return strcmp(js_str(object, "spec.destination.namespace", ""), stage) == 0;
    if (strcmp(kind, "HelmRelease") != 0 && strcmp(kind, "Kustomization") != 0)
        return true;
    return strcmp(js_str(object, "spec.targetNamespace", ""), stage) == 0 ||
           strcmp(js_str(object, "status.storageNamespace", ""), stage) == 0 || has_inventory(object, stage);
}

struct said_gitops {
    char digest[NORM_HEX_MAX]; /* of the status last told */
};

/* "KIND.GROUP/NAME"; "KIND.GROUP/NAMESPACE/NAME" of one in another namespace. */
static void status_name(const struct kube_scope *sc, const struct kube_kind *kind, const char *name,
                        char *out, size_t size) {
    bool elsewhere = sc->stage_namespace != NULL;
    (void)snprintf(out, size, "%.120s/%.100s%s%.253s", kind->object, elsewhere ? sc->namespace_name : "",
                   elsewhere ? "/" : "", name);
}

/* The status has a digest of its own, beside that of the spec in the entry. */
static int tell_status(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                       const struct kube_meta *spec, const json_t *object, struct said_gitops *said,
                       struct err *e) {
    char name[2 * KUBE_NAME_MAX];
    struct kube_meta m = *spec;
    struct kube_entry status = {.uid = (char *)m.uid};
    status_name(sc, kind, m.name, name, sizeof name);
    m.name = name;
    json_t *form = gitops_form(sc->key, object, kind->kind, kind->object + strlen(kind->kind) + 1);
    if (!form)
        return err_oom(e);
    (void)snprintf(status.digest, sizeof status.digest, "%s", said->digest);
    int r = kube_tell_object(sc, "GitOps", name, s, &m, form, &status, e);
    (void)snprintf(said->digest, sizeof said->digest, "%s", status.digest);
    free(status.name);
    free(status.release);
    json_decref(form);
    return r;
}

int kube_gitops_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                    const struct kube_meta *m, const json_t *object, struct kube_entry *x, struct err *e) {
    bool elsewhere = sc->stage_namespace != NULL;
    if (elsewhere && !x->extra && !concerns(object, kind->kind, sc->stage_namespace))
        return 0;
    if (!x->extra)
        x->extra = calloc(1, sizeof(struct said_gitops));
    if (!x->extra)
        return err_oom(e);
    if (strcmp(kind->kind, "Application") == 0)
        kube_apps_add(sc->apps, m->name);
    if (elsewhere) /* what is configured there is not the stage's configuration; what comes of it shows here
                    */
        return tell_status(sc, kind, s, m, object, x->extra, e);
    json_t *spec = norm_custom(sc->key, object, kind->object);
    if (!spec)
        return err_oom(e);
    int r = kube_tell_object(sc, kind->object, m->name, s, m, spec, x, e);
    json_decref(spec);
    return r < 0 ? r : tell_status(sc, kind, s, m, object, x->extra, e);
}

void kube_gitops_gone(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                      const struct kube_entry *x) {
    char name[2 * KUBE_NAME_MAX];
    const struct said_gitops *said = x->extra;
    struct kube_entry status = *x;
    status_name(sc, kind, x->name, name, sizeof name);
    status.name = name;
    if (said && strcmp(kind->kind, "Application") == 0)
        kube_apps_remove(sc->apps, x->name);
    kube_object_gone(sc, kind, s, x);
    if (said && *said->digest)
        kube_tell_deleted(sc, "GitOps", s, &status);
}
