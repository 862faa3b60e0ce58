/* norm: see norm.h. Two tables say what is dropped and why; the rest is one walk over the object that
 * reduces secrets to keyed hashes. */
#include "base/norm.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"

#define TOKEN_MIN 16                      /* of a user in a URL: longer ones are tokens */
#define NORM_KEYED_MAX (NORM_HEX_MAX + 8) /* "keyed:" and the hash */

struct drop {
    const char *pointer; /* JSON Pointer; "*" is every element of a list */
    const char *reason;
};

/* Places that hold metadata of their own: the object, and the templates inside it. */
static const char *const metadata_places[] = {
    "/metadata",
    "/spec/template/metadata",
    "/spec/jobTemplate/metadata",
    "/spec/jobTemplate/spec/template/metadata",
    "/spec/volumeClaimTemplates/*/metadata",
};

/* Below each of those places. */
static const struct drop metadata_drops[] = {
    {"/uid", "given by the API server to each creation"},
    {"/resourceVersion", "counts writes"},
    {"/generation", "counts writes of the spec"},
    {"/creationTimestamp", "time of creation, not configuration"},
    {"/deletionTimestamp", "a deletion under way, not configuration"},
    {"/deletionGracePeriodSeconds", "a deletion under way, not configuration"},
    {"/managedFields", "bookkeeping of who wrote which field and when"},
    {"/selfLink", "address of the object, filled in by old API servers"},
    {"/ownerReferences/*/uid", "the owner's uid changes when it is created again"},
    {"/annotations/kubectl.kubernetes.io~1last-applied-configuration",
     "kubectl's copy of the last input; holds a Secret's values in clear"},
    {"/annotations/kubectl.kubernetes.io~1restartedAt", "time of `kubectl rollout restart`"},
    {"/annotations/deployment.kubernetes.io~1revision", "counts rollouts; a rollback raises it"},
    {"/annotations/deployment.kubernetes.io~1revision-history", "list of earlier rollout numbers"},
    {"/annotations/deployment.kubernetes.io~1desired-replicas", "the controller's copy of replicas"},
    {"/annotations/deployment.kubernetes.io~1max-replicas", "the controller's copy of replicas"},
    {"/annotations/deprecated.daemonset.template.generation", "counts rollouts of a DaemonSet"},
    {"/annotations/control-plane.alpha.kubernetes.io~1leader", "leader election, renewed all the time"},
    {"/annotations/endpoints.kubernetes.io~1last-change-trigger-time", "time of the last change"},
    {"/annotations/reconcile.fluxcd.io~1requestedAt", "time of `flux reconcile`"},
    {"/labels/pod-template-hash", "named after the template by the Deployment controller"},
    {"/labels/controller-revision-hash", "named after the revision by its controller"},
    {"/labels/controller-uid", "uid of the Job that made the pod"},
    {"/labels/batch.kubernetes.io~1controller-uid", "uid of the Job that made the pod"},
    {"/annotations/autoscaling.alpha.kubernetes.io~1conditions", "status of an autoscaler in autoscaling/v1"},
    {"/annotations/autoscaling.alpha.kubernetes.io~1current-metrics",
     "status of an autoscaler in autoscaling/v1"},
    {"/annotations/pv.kubernetes.io~1bind-completed", "written as a claim's volume is bound"},
    {"/annotations/pv.kubernetes.io~1bound-by-controller", "written as a claim's volume is bound"},
    {"/annotations/volume.beta.kubernetes.io~1storage-provisioner", "written as a claim's volume is made"},
    {"/annotations/volume.kubernetes.io~1storage-provisioner", "written as a claim's volume is made"},
    {"/annotations/volume.kubernetes.io~1selected-node", "chosen by the scheduler"},
};

/* Below the object, for one kind or (NULL) every kind. */
static const struct {
    const char *kind;
    struct drop drop;
} object_drops[] = {
    {NULL, {"/status", "what was observed, not what was configured"}},
    {NULL, {"/apiVersion", "the version it was read in, which items of a list do not have"}},
    {"Pod", {"/spec/nodeName", "chosen by the scheduler"}},
    {"ReplicaSet", {"/spec/selector/matchLabels/pod-template-hash", "named by the Deployment controller"}},
    {"Job", {"/spec/selector/matchLabels/controller-uid", "the Job's own uid"}},
    {"Job", {"/spec/selector/matchLabels/batch.kubernetes.io~1controller-uid", "the Job's own uid"}},
    {"Service", {"/spec/clusterIP", "given by the API server to each creation"}},
    {"Service", {"/spec/clusterIPs", "given by the API server to each creation"}},
    {"Service", {"/spec/healthCheckNodePort", "given by the API server to each creation"}},
    {"Service", {"/spec/ports/*/nodePort", "given by the API server to each creation"}},
    {"PersistentVolumeClaim", {"/spec/volumeName", "the volume that was bound"}},
    {"StatefulSet", {"/spec/volumeClaimTemplates/*/status", "what was observed, not what was configured"}},
    {"ServiceAccount", {"/secrets", "token Secrets with random names, made before Kubernetes 1.24"}},
    {"ValidatingWebhookConfiguration",
     {"/webhooks/*/clientConfig/caBundle", "injected and renewed by a certificate controller"}},
    {"MutatingWebhookConfiguration",
     {"/webhooks/*/clientConfig/caBundle", "injected and renewed by a certificate controller"}},
    {"CustomResourceDefinition",
     {"/spec/conversion/webhook/clientConfig/caBundle", "injected and renewed by a certificate controller"}},
    {"APIService", {"/spec/caBundle", "injected and renewed by a certificate controller"}},
};

/* ---------------------------------------------------------------- dropping */

/* Splits the first step off a pointer; returns the rest ("" or "/..."). */
static const char *split_step(const char *pointer, char *step, size_t size) {
    const char *p = pointer + 1;
    size_t n = 0;
    while (*p && *p != '/' && n + 1 < size) {
        char c = *p++;
        if (c == '~' && (*p == '0' || *p == '1'))
            c = *p++ == '0' ? '~' : '/';
        step[n++] = c;
    }
    step[n] = 0;
    return p;
}

/* A headless Service is a choice of a person, not an address. */
static bool is_choice(const json_t *value) {
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
    const char *text = json_string_value(first);
    return text && strcmp(text, "None") == 0;
}

/* Removes what the pointer names. True when node lost its last member by that: the API server keeps no
 * empty maps, so that "no annotation" and "no annotations" are one state. */
static bool drop(json_t *node, const char *pointer) {
    char step[128];
    const char *rest = split_step(pointer, step, sizeof step);
    if (strcmp(step, "*") == 0) {
        size_t i;
        json_t *item;
        json_array_foreach(node, i, item)(void) drop(item, rest);
        return false;
    }
    json_t *child = json_object_get(node, step);
    if (!child || is_choice(child))
        return false;
    if (*rest && !drop(child, rest))
        return false;
    (void)json_object_del(node, step);
    return json_object_size(node) == 0;
}

static void drop_metadata(json_t *object) {
    char pointer[256];
    for (size_t p = 0; p < sizeof metadata_places / sizeof *metadata_places; p++)
        for (size_t d = 0; d < sizeof metadata_drops / sizeof *metadata_drops; d++) {
            (void)snprintf(pointer, sizeof pointer, "%s%s", metadata_places[p], metadata_drops[d].pointer);
            (void)drop(object, pointer);
        }
}

static void drop_by_kind(json_t *object, const char *kind) {
    for (size_t i = 0; i < sizeof object_drops / sizeof *object_drops; i++)
        if (!object_drops[i].kind || strcmp(object_drops[i].kind, kind) == 0)
            (void)drop(object, object_drops[i].drop.pointer);
}

/* ---------------------------------------------------------------- reducing secrets */

static json_t *keyed(const struct norm_key *k, const void *data, size_t len) {
    char text[NORM_KEYED_MAX] = "keyed:";
    (void)norm_hash(k, data, len, text + 6);
    return json_string(text);
}

/* The bytes behind a value of `data`, so that data and stringData of one value hash alike. */
static json_t *keyed_base64(const struct norm_key *k, const char *text, size_t len) {
    unsigned char *bytes = malloc(len + 1);
    size_t n = 0;
    if (!bytes)
        return NULL;
    json_t *r;
    if (sodium_base642bin(bytes, len + 1, text, len, "\r\n ", &n, NULL, sodium_base64_VARIANT_ORIGINAL) == 0)
        r = keyed(k, bytes, n);
    else
        r = keyed(k, text, len);
    sodium_memzero(bytes, len + 1);
    free(bytes);
    return r;
}

/* Reduces any value: a text by its bytes, anything else by its canonical text. */
static json_t *keyed_value(const struct norm_key *k, const json_t *v, bool base64) {
    if (json_is_string(v)) {
        const char *s = json_string_value(v);
        size_t len = json_string_length(v);
        return base64 ? keyed_base64(k, s, len) : keyed(k, s, len);
    }
    char *text = js_canonical(v);
    json_t *r = text ? keyed(k, text, strlen(text)) : NULL;
    free(text);
    return r;
}

static const char *const secret_words[] = {"PASSWORD", "PASSWD",     "PASSPHRASE",    "TOKEN", "SECRET",
                                           "KEY",      "CREDENTIAL", "AUTHORIZATION", NULL};

static bool looks_secret(const char *name) {
    for (const char *const *w = secret_words; *w; w++)
        if (strcasestr(name, *w))
            return true;
    return false;
}

/* "scheme://user:password@host" or "scheme://token@host" somewhere in the text. */
static bool has_password_url(const char *text) {
    for (const char *p = strstr(text, "://"); p; p = strstr(p, "://")) {
        p += 3;
        size_t n = strcspn(p, "/?#@ \t\r\n\"'");
        if (p[n] == '@' && (n >= TOKEN_MIN || memchr(p, ':', n)))
            return true;
    }
    return false;
}

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static const char *name_end(const char *p) {
    while (is_name(*p))
        p++;
    return p;
}

/* The name that text[at..] is part of is given a value: name=x, "name": x, or a flag, --name x. */
static bool is_given(const char *text, const char *at) {
    const char *begin = at;
    while (begin > text && is_name(begin[-1]))
        begin--;
    const char *p = name_end(at);
    p += *p == '"' || *p == '\'';
    bool spaced = *p == ' ' || *p == '\t';
    p += strspn(p, " \t");
    bool assigned = *p == ':' || *p == '=';
    p += assigned;
    p += strspn(p, " \t");
    return (assigned || (spaced && *begin == '-')) && *p && *p != '\n' && *p != '\r';
}

/* A file, command line or URL that gives a value to a name that looks secret, or holds a private key. Each
 * name is looked at once: the text may be hostile and long. */
static bool gives_secret(const char *text) {
    for (const char *const *w = secret_words; *w; w++)
        for (const char *p = strcasestr(text, *w); p; p = strcasestr(name_end(p), *w))
            if (is_given(text, p))
                return true;
    return strstr(text, "-----BEGIN ") && strstr(text, "PRIVATE ");
}

/* Every member of map[name] becomes its hash; only those that look secret when `all` is false. */
static int reduce_map(const struct norm_key *k, json_t *object, const char *name, bool base64, bool all) {
    json_t *map = json_object_get(object, name);
    if (all && map && !json_is_object(map) && !json_is_null(map)) /* hostile: no map at all */
        return json_object_set_new(object, name, keyed_value(k, map, false));
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) {
        if (!all && !looks_secret(key))
            continue;
        if (json_object_set_new(map, key, keyed_value(k, value, base64)) != 0)
            return -ENOMEM;
    }
    return 0;
}

/* {"name": "API_TOKEN", "value": "..."}, as in the env of containers. */
static int reduce_pair(const struct norm_key *k, json_t *object) {
    const char *name = json_string_value(json_object_get(object, "name"));
    const json_t *value = json_object_get(object, "value");
    if (!name || !json_is_string(value) || json_string_length(value) == 0 || !looks_secret(name))
        return 0;
    return json_object_set_new(object, "value", keyed_value(k, value, false)) == 0 ? 0 : -ENOMEM;
}

/* Any text: flags such as --api-token=..., URLs and files with a password in them. NULL: leave it. */
static json_t *reduce_text(const struct norm_key *k, const json_t *v, bool *ret_oom) {
    const char *s = json_string_value(v);
    if (!s)
        return NULL;
    json_t *r = NULL;
    const char *eq = *s == '-' ? strchr(s, '=') : NULL;
    char flag[128];
    if (eq && (size_t)(eq - s) < sizeof flag && name_end(s) == eq) {
        memcpy(flag, s, (size_t)(eq - s));
        flag[eq - s] = 0;
    } else {
        eq = NULL;
    }
    if (eq && looks_secret(flag)) {
        char hex[NORM_HEX_MAX];
        r = json_sprintf("%s=keyed:%s", flag, norm_hash(k, eq + 1, strlen(eq + 1), hex));
    } else if (has_password_url(s) || gives_secret(s)) {
        r = keyed_value(k, v, false);
    } else {
        return NULL;
    }
    *ret_oom = *ret_oom || !r;
    return r;
}

/* ["--api-token", "..."], as in the arguments of containers. */
static bool is_secret_flag(const json_t *v) {
    const char *s = json_string_value(v);
    return s && *s == '-' && !strchr(s, '=') && looks_secret(s);
}

static int reduce_walk(const struct norm_key *k, json_t *node) {
    bool oom = false;
    if (json_is_object(node)) {
        const char *key;
        json_t *value;
        if (reduce_pair(k, node) < 0)
            return -ENOMEM;
        json_object_foreach(node, key, value) {
            json_t *reduced = reduce_text(k, value, &oom);
            if (oom || (reduced && json_object_set_new(node, key, reduced) != 0))
                return -ENOMEM;
            if (!reduced && reduce_walk(k, value) < 0)
                return -ENOMEM;
        }
    } else if (json_is_array(node)) {
        for (size_t i = 0; i < json_array_size(node); i++) {
            json_t *value = json_array_get(node, i);
            bool bare = i > 0 && json_is_string(value) && is_secret_flag(json_array_get(node, i - 1));
            json_t *reduced = bare ? keyed_value(k, value, false) : reduce_text(k, value, &oom);
            if (oom || (bare && !reduced) || (reduced && json_array_set_new(node, i, reduced) != 0))
                return -ENOMEM;
            if (!reduced && reduce_walk(k, value) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

/* secret: it was asked for as a Secret, whatever it calls itself. */
static int reduce(const struct norm_key *k, json_t *object, const char *kind, bool secret) {
    json_t *metadata = json_object_get(object, "metadata");
    if (json_is_object(metadata) && reduce_map(k, metadata, "annotations", false, false) < 0)
        return -ENOMEM;
    if (secret || strcmp(kind, "ConfigMap") == 0) {
        int r = reduce_map(k, object, "data", secret, secret);
        if (r == 0)
            r = reduce_map(k, object, "stringData", false, secret);
        if (r == 0)
            r = reduce_map(k, object, "binaryData", true, secret);
        if (r < 0)
            return r;
    }
    return reduce_walk(k, object);
}

/* Every member with a name that looks secret, at any depth; empty values stay. */
static int reduce_named(const struct norm_key *k, json_t *node) {
    const char *key;
    json_t *value;
    json_object_foreach(node, key, value) {
        bool empty = json_is_null(value) || json_is_boolean(value) ||
                     (json_is_string(value) && json_string_length(value) == 0);
        if (looks_secret(key) && !empty) {
            if (json_object_set_new(node, key, keyed_value(k, value, false)) != 0)
                return -ENOMEM;
        } else if (reduce_named(k, value) < 0) {
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < json_array_size(node); i++)
        if (reduce_named(k, json_array_get(node, i)) < 0)
            return -ENOMEM;
    return 0;
}

/* ---------------------------------------------------------------- the contract */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int norm_key_load(const char *path, struct norm_key *ret, struct err *e) {
    char *text = NULL;
    size_t len = 0;
    int r = conf_read_file(path, 256, &text, &len, e);
    if (r < 0)
        return r;
    size_t digits = len;
    while (digits > 0 && (text[digits - 1] == '\n' || text[digits - 1] == '\r'))
        digits--;
    bool good = digits / 2 == NORM_KEY_BYTES && digits % 2 == 0;
    struct norm_key k;
    for (size_t i = 0; good && i < NORM_KEY_BYTES; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        good = high >= 0 && low >= 0;
        k.bytes[i] = (uint8_t)((high & 15) << 4 | (low & 15));
    }
    if (good)
        *ret = k;
    sodium_memzero(text, len);
    sodium_memzero(&k, sizeof k);
    free(text);
    if (!good)
        return err_set(e, -EINVAL, "%s: not a key of 64 hex digits: make one with `pilotgate keygen`", path);
    return 0;
}

char *norm_hash(const struct norm_key *k, const void *data, size_t len, char *out) {
    unsigned char hash[32];
    (void)crypto_generichash(hash, sizeof hash, data, len, k->bytes, sizeof k->bytes);
    return sodium_bin2hex(out, NORM_HEX_MAX, hash, sizeof hash);
}

char *norm_key_id(const struct norm_key *k, char out[NORM_KEY_ID_MAX]) {
    static const char what[] = "pilotgate: which key is this?";
    char hex[NORM_HEX_MAX];
    (void)snprintf(out, NORM_KEY_ID_MAX, "%.16s", norm_hash(k, what, sizeof what - 1, hex));
    return out;
}

json_t *norm_object(const struct norm_key *k, const json_t *object, const char *fallback_kind) {
    if (!json_is_object(object))
        return NULL;
    json_t *copy = json_deep_copy(object);
    if (!copy)
        return NULL;
    const char *given = json_string_value(json_object_get(copy, "kind"));
    char kind[256];
    (void)snprintf(kind, sizeof kind, "%s", given && *given ? given : fallback_kind ? fallback_kind : "");
    if (json_object_set_new(copy, "kind", json_string(kind)) != 0) {
        json_decref(copy);
        return NULL;
    }
    drop_metadata(copy);
    drop_by_kind(copy, kind);
    bool secret = strcmp(kind, "Secret") == 0 || (fallback_kind && strcmp(fallback_kind, "Secret") == 0);
    if (reduce(k, copy, kind, secret) < 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

void norm_again(json_t *normal) {
    drop_metadata(normal);
    drop_by_kind(normal, js_str(normal, "kind", ""));
}

json_t *norm_document(const struct norm_key *k, const json_t *document) {
    if (!json_is_object(document) && !json_is_array(document))
        return NULL;
    json_t *copy = json_deep_copy(document);
    if (copy && (reduce_named(k, copy) < 0 || reduce_walk(k, copy) < 0)) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

int norm_digest(const struct norm_key *k, const json_t *normal, char **ret_text, char *ret_hex) {
    char *text = js_canonical(normal);
    if (!text)
        return -ENOMEM;
    (void)norm_hash(k, text, strlen(text), ret_hex);
    *ret_text = text;
    return 0;
}
