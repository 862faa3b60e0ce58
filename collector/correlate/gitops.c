/* gitops: see gitops.h. Here the coverage; gitops_history.c has the revisions. */
#include "correlate/gitops_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "correlate/correlate_priv.h"

/* ---- gathering */

static bool is_custom(const char *kind) {
    return strstr(kind, ".toolkit.fluxcd.io") || strcmp(kind, "Application.argoproj.io") == 0;
}

static bool has_controller(const json_t *normal) {
    size_t i;
    json_t *owner;
    json_array_foreach(js_at(normal, "metadata.ownerReferences"), i, owner) {
        if (js_bool(owner, "controller", false))
            return true;
    }
    return false;
}

/* Every namespace has these without anybody's doing. */
static bool is_clusters_own(const Pilotgate__Object *o, const json_t *normal) {
    return strcmp(js_str(normal, "type", ""), "kubernetes.io/service-account-token") == 0 ||
           (strcmp(o->kind, "ServiceAccount") == 0 && strcmp(o->name, "default") == 0) ||
           strcmp(o->kind, "Namespace") == 0;
}

static bool is_source(const json_t *form) {
    const char *kind = js_str(form, "kind", "");
    return strcmp(js_str(form, "controller", ""), "flux") == 0 && strcmp(kind, "HelmRelease") != 0 &&
           strcmp(kind, "Kustomization") != 0;
}

static void source_key(const char *kind, const char *ns, const char *name, char *out) {
    (void)snprintf(out, GITOPS_OWNER_MAX, "source:%.63s/%.253s/%.253s", kind, ns, name);
}

/* A HelmRelease of Flux says which release of Helm's is its, and in which namespace. */
static int take_status(struct gitops *g, const char *evidence, json_t *form) {
    char key[GITOPS_OWNER_MAX];
    const char *release = js_str(form, "release.name", "");
    const char *stage = strchr(g->f->stage, '/');
    gitops_owner_of(form, key);
    int bad = json_object_set_new(form, "evidence", json_string(evidence)) < 0;
    if (!bad && *release && stage && strcmp(js_str(form, "release.namespace", ""), stage + 1) == 0)
        bad = json_object_set_new(g->helm, release, json_string(key)) < 0;
    if (is_source(form))
        source_key(js_str(form, "kind", ""), js_str(form, "namespace", ""), js_str(form, "name", ""), key);
    return bad || json_object_set(g->status, key, form) < 0 ? -ENOMEM : 0;
}

static int take_object(struct gitops *g, const Pilotgate__Object *o, const char *evidence,
                       const json_t *normal) {
    char name[2 * WIRE_TEXT_MAX + 2];
    (void)snprintf(name, sizeof name, "%s/%s", o->kind, o->name);
    if (is_custom(o->kind) && json_object_set_new(g->claims, name, json_string(o->managed_by)) < 0)
        return -ENOMEM;
    if (has_controller(normal) || is_clusters_own(o, normal))
        return 0;
    return json_array_append_new(g->objects,
                                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "object", name, "managed_by",
                                           o->managed_by, "release", o->release, "instance",
                                           js_str(normal, "/metadata/labels/app.kubernetes.io~1instance", ""),
                                           "evidence", evidence));
}

static int take(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct gitops *g = ctx;
    char evidence[WIRE_REF_MAX];
    json_t *normal = NULL;
    int r = 0;
    if (strcmp(o->kind, "HelmRelease") == 0)
        return 0;
    if (js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &normal, NULL) < 0)
        normal = NULL; /* it was cut */
    if (rubric_ignores(g->rubric, o->kind, o->name, normal)) {
        json_decref(normal);
        return 0;
    }
    (void)facts_ref(g->f->ev, ref, evidence);
    if (strcmp(o->kind, "GitOps") != 0)
        r = take_object(g, o, evidence, normal);
    else if (json_is_object(normal))
        r = take_status(g, evidence, normal);
    json_decref(normal);
    return r;
}

/* ---- owners */

void gitops_owner_of(const json_t *form, char *out) {
    if (strcmp(js_str(form, "controller", ""), "argocd") == 0)
        (void)snprintf(out, GITOPS_OWNER_MAX, "argocd:%.253s", js_str(form, "name", ""));
    else
        (void)snprintf(out, GITOPS_OWNER_MAX, "flux:%.63s/%.253s/%.253s", js_str(form, "kind", ""),
                       js_str(form, "namespace", ""), js_str(form, "name", ""));
}

/* The names of Argo CD's instances may begin with "NAMESPACE_", which no name of an object holds. */
static const char *app_name(const char *instance) {
    const char *end = strrchr(instance, '_');
    return end ? end + 1 : instance;
}

static bool is_app(const struct gitops *g, const char *instance) {
    char owner[GITOPS_OWNER_MAX];
    (void)snprintf(owner, sizeof owner, "argocd:%.253s", app_name(instance));
    return *instance && json_object_get(g->status, owner);
}

/* Who owns it as code, "" for nobody. */
static void owner_of(const struct gitops *g, const json_t *object, char *out) {
    const char *managed_by = js_str(object, "managed_by", "");
    const char *instance = js_str(object, "instance", "");
    const char *release =
        strncmp(managed_by, "helm:", 5) == 0 ? managed_by + 5 : js_str(object, "release", "");
    const char *owner = json_string_value(json_object_get(g->helm, release));
    out[0] = 0;
    if (strncmp(managed_by, "argocd:", 7) == 0)
        (void)snprintf(out, GITOPS_OWNER_MAX, "argocd:%.253s", app_name(managed_by + 7));
    else if (strncmp(managed_by, "flux:", 5) == 0)
        (void)snprintf(out, GITOPS_OWNER_MAX, "%.700s", managed_by);
    else if (owner)
        (void)snprintf(out, GITOPS_OWNER_MAX, "%.700s", owner);
    else if (is_app(g, instance))
        (void)snprintf(out, GITOPS_OWNER_MAX, "argocd:%.253s", app_name(instance));
}

const json_t *gitops_source(const struct gitops *g, const char *kind, const char *ns, const char *name) {
    char key[GITOPS_OWNER_MAX];
    source_key(kind, ns, name, key);
    return json_object_get(g->status, key);
}

/* Who owns the owner itself, when that is an object of the stage; "": nobody, or it is not known. */
static const char *via_of(const struct gitops *g, const json_t *form) {
    char name[4 * WIRE_NAME_MAX];
    const char *kind = js_str(form, "kind", "");
    const char *stage = strchr(g->f->stage, '/');
    if (!stage || strcmp(js_str(form, "namespace", ""), stage + 1) != 0)
        return "";
    (void)snprintf(name, sizeof name, "%.63s.%s/%.253s", kind,
                   strcmp(kind, "HelmRelease") == 0     ? "helm.toolkit.fluxcd.io"
                   : strcmp(kind, "Kustomization") == 0 ? "kustomize.toolkit.fluxcd.io"
                                                        : "argoproj.io",
                   js_str(form, "name", ""));
    const char *via = json_string_value(json_object_get(g->claims, name));
    return via ? via : "";
}

/* What it is made from; of a source of Flux also where that fetches from, and what it has. */
static json_t *source_of(const struct gitops *g, const json_t *form) {
    const json_t *given = js_at(form, "source");
    if (!json_is_object(given))
        return json_null();
    json_t *source = json_deep_copy(given);
    const json_t *from = gitops_source(g, js_str(given, "kind", ""), js_str(given, "namespace", ""),
                                       js_str(given, "name", ""));
    if (from) {
        (void)json_object_update_missing(source, js_at(from, "source"));
        (void)json_object_set_new(source, "revision", json_string(js_str(from, "revision", "")));
        (void)json_object_set_new(source, "suspended", json_boolean(js_bool(from, "suspended", false)));
    }
    return source;
}

static json_t *owner_entry(const struct gitops *g, const char *owner) {
    static const char *const texts[] = {"ready", "reason", "message", "revision", "attempted", "evidence"};
    static const char *const flags[] = {"suspended", "drifted", "stalled", "automated"};
    const json_t *form = json_object_get(g->status, owner);
    json_t *x = json_pack("{s:s, s:i, s:b, s:s, s:o, s:I}", "owner", owner, "objects", 0, "seen",
                          form != NULL, "via", via_of(g, form), "source", source_of(g, form), "failures",
                          (json_int_t)js_int(form, "failures", 0));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        (void)json_object_set_new(x, texts[i], json_string(js_str(form, texts[i], "")));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        (void)json_object_set_new(x, flags[i], json_boolean(js_bool(form, flags[i], false)));
    return x;
}

/* The entry of an owner in the map, made when it is new. NULL: out of memory. */
static json_t *entry(const struct gitops *g, json_t *owners, const char *owner) {
    json_t *x = json_object_get(owners, owner);
    if (x)
        return x;
    x = owner_entry(g, owner);
    return x && json_object_set_new(owners, owner, x) == 0 ? x : NULL;
}

/* Those that own nothing here are shown as well: one that is suspended before its first sync owns nothing
 * yet. */
static int add_seen(const struct gitops *g, json_t *owners) {
    const char *owner;
    json_t *form;
    json_object_foreach(g->status, owner, form) {
        if (!is_source(form) && !entry(g, owners, owner))
            return -ENOMEM;
    }
    return 0;
}

static int count(const struct gitops *g, json_t *owners, json_t *unowned, json_int_t *ret_owned) {
    size_t i;
    json_t *o;
    json_array_foreach(g->objects, i, o) {
        char owner[GITOPS_OWNER_MAX];
        owner_of(g, o, owner);
        json_t *x = *owner ? entry(g, owners, owner) : NULL;
        if (*owner &&
            (!x || json_object_set_new(x, "objects", json_integer(js_int(x, "objects", 0) + 1)) < 0))
            return -ENOMEM;
        *ret_owned += x != NULL;
        if (!*owner &&
            json_array_append_new(unowned, json_pack("{s:s, s:s, s:s}", "object", js_str(o, "object", ""),
                                                     "helm", js_str(o, "release", ""), "evidence",
                                                     js_str(o, "evidence", ""))) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- the document */

static json_t *values_sorted(const json_t *map) {
    json_t *list = json_array();
    char *text = js_canonical(map); /* its keys in order */
    json_t *sorted = text ? json_loads(text, 0, NULL) : NULL;
    const char *key;
    json_t *x;
    json_object_foreach(sorted, key, x) {
        (void)json_array_append(list, x);
    }
    json_decref(sorted);
    free(text);
    return list;
}

static int write_document(const struct gitops *g, json_t **ret) {
    json_t *owners = json_object();
    json_t *unowned = json_array();
    json_t *history = gitops_history(g);
    json_int_t owned = 0;
    json_int_t all = (json_int_t)json_array_size(g->objects);
    int r = owners && unowned && history && count(g, owners, unowned, &owned) == 0 && add_seen(g, owners) == 0
                ? 0
                : -ENOMEM;
    json_t *doc = r == 0
                      ? json_pack("{s:s, s:I, s:I, s:f, s:o, s:O, s:O}", "stage", g->f->stage, "objects", all,
                                  "owned", owned, "percent", all ? 100.0 * (double)owned / (double)all : 0.0,
                                  "owners", values_sorted(owners), "unowned", unowned, "revisions", history)
                      : NULL;
    json_decref(owners);
    json_decref(unowned);
    json_decref(history);
    if (!doc)
        return -ENOMEM;
    *ret = doc;
    return 0;
}

int gitops_read(const struct facts *f, const struct rubric *rubric, int64_t t, json_t **ret, struct err *e) {
    struct gitops g = {.f = f, .rubric = rubric, .t = t};
    g.status = json_object();
    g.objects = json_array();
    g.claims = json_object();
    g.helm = json_object();
    int r = g.status && g.objects && g.claims && g.helm ? facts_snapshot(f, t, take, &g, e) : -ENOMEM;
    if (r == 0)
        r = write_document(&g, ret);
    json_decref(g.status);
    json_decref(g.objects);
    json_decref(g.claims);
    json_decref(g.helm);
    return r == -ENOMEM ? err_oom(e) : r;
}
