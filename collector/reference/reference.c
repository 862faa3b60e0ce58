/* reference: loading, merging and freeing. Files are read here and nowhere else in this module. See
 * reference.h. */
#include "reference/reference.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "correlate/differences.h"
#include "reference/reference_priv.h"
#include "wire/wire.h"

#define PATH_LIMIT 4096

struct load {
    const char *name, *folder;
    const char *text; /* for the places of errors; NULL: there is none */
    size_t len;
    const struct norm_key *key;
    struct err *e;
};

/* ---- errors */

/* Puts the place before what the error says: where the text has it, else the pointer. */
static int at_place(const struct load *l, const char *pointer, int r) {
    size_t line, column;
    if (l->text && conf_yaml_place(l->text, l->len, pointer, &line, &column))
        return err_prefix(l->e, r, "%.300s:%zu:%zu", l->name, line, column);
    return err_prefix(l->e, r, "%.300s%s%.300s", l->name, *pointer ? ": " : "", pointer);
}

/* ---- manifests */

static int path_of(const struct load *l, const char *file, char *out) {
    if (!l->folder)
        return err_set(l->e, -EINVAL, "%s: names the file %.200s, which cannot be read from here", l->name,
                       file);
    int n = snprintf(out, PATH_LIMIT, "%s/%s", l->folder, file);
    return n < PATH_LIMIT ? 0 : err_set(l->e, -ENAMETOOLONG, "%.300s: the path is too long", file);
}

static int read_objects(const struct load *l, const char *file, json_t *into) {
    char path[PATH_LIMIT];
    char *text;
    size_t len;
    int r = path_of(l, file, path);
    if (r == 0)
        r = conf_read_file(path, REF_FILE_MAX, &text, &len, l->e);
    if (r < 0)
        return r;
    r = ref_manifests_read(path, text, len, l->key, into, NULL, l->e);
    sodium_memzero(text, len); /* it may hold the values of Secrets */
    free(text);
    return r;
}

static int take_objects(const struct load *l, size_t set, const json_t *written, json_t *into) {
    size_t i;
    json_t *object;
    json_array_foreach((json_t *)written, i, object) {
        char pointer[64];
        json_t *normal = NULL;
        (void)snprintf(pointer, sizeof pointer, "/manifests/%zu/objects/%zu", set, i);
        int r =
            ref_manifest_normal(js_str(object, "metadata.name", "an object"), object, l->key, &normal, l->e);
        if (r < 0)
            return at_place(l, pointer, r);
        if (normal && json_array_append_new(into, normal) != 0)
            return err_oom(l->e);
    }
    return 0;
}

/* Puts the objects of a set in normal form into its place. */
static int expand_set(const struct load *l, size_t i, json_t *set) {
    const char *file = js_str(set, "file", NULL);
    json_t *objects = json_array();
    int r = !objects ? err_oom(l->e)
            : file   ? read_objects(l, file, objects)
                     : take_objects(l, i, json_object_get(set, "objects"), objects);
    if (r == 0 && json_array_size(objects) == 0)
        r = err_set(l->e, -EINVAL, "%s: the set '%s' has no object", l->name, js_str(set, "id", ""));
    if (r < 0) {
        json_decref(objects);
        return r;
    }
    (void)json_object_del(set, "file");
    return json_object_set_new(set, "objects", objects) == 0 ? 0 : err_oom(l->e);
}

static int expand_sets(const struct load *l, json_t *doc) {
    size_t i, objects = 0;
    json_t *set;
    json_array_foreach(json_object_get(doc, "manifests"), i, set) {
        int r = expand_set(l, i, set);
        objects += json_array_size(json_object_get(set, "objects"));
        if (r < 0)
            return r;
    }
    return objects <= REF_OBJECTS_MAX
               ? 0
               : err_set(l->e, -EINVAL, "%s: more than %d objects", l->name, REF_OBJECTS_MAX);
}

/* ---- what is known to be a default, hashed as agents hash values of Secrets */

static int hash_known(const struct load *l, json_t *with) {
    json_t *keyed = ref_known_keyed(l->key, json_object_get(with, "known"));
    return json_object_set_new(with, "known_keyed", keyed) == 0 ? 0 : err_oom(l->e);
}

static int hash_defaults(const struct load *l, json_t *doc) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(doc, "expectations"), i, item) {
        json_t *with = json_object_get(item, "with");
        if (strcmp(js_str(item, "check", ""), "default-secrets") != 0 || !json_object_get(with, "known"))
            continue;
        int r = l->key ? hash_known(l, with) : json_object_del(with, "known_keyed");
        if (r < 0 && l->key)
            return r;
    }
    char id[NORM_KEY_ID_MAX] = "";
    json_t *key = json_string(l->key ? norm_key_id(l->key, id) : id);
    return json_object_set_new(doc, "keyed", json_boolean(l->key != NULL)) == 0 &&
                   json_object_set_new(doc, "key_id", key) == 0
               ? 0
               : err_oom(l->e);
}

/* ---- the struct */

static int digest_of(const json_t *doc, char out[REF_DIGEST_MAX]) {
    unsigned char hash[32];
    char *text = js_canonical(doc);
    if (!text)
        return -ENOMEM;
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)text, strlen(text), NULL, 0);
    free(text);
    (void)sodium_bin2hex(out, REF_DIGEST_MAX, hash, sizeof hash);
    return 0;
}

/* What a SET was rendered for is one namespace: an agent sees no other. */
static int one_namespace(const char *name, const struct ref_side *s, struct err *e) {
    for (size_t i = 0; i < s->n; i++) {
        const char *ns = js_str(s->objects[i].normal, "metadata.namespace", s->namespace_name);
        if (strcmp(ns, s->namespace_name) != 0)
            return err_set(
                e, -EINVAL,
                "%s: %s/%s is of namespace '%s', and the set of '%s': a stage is one namespace; take it "
                "out (`pilotgate reference init` does)",
                name, s->objects[i].kind, s->objects[i].name, ns, s->namespace_name);
    }
    return 0;
}

static int make_side(const json_t *set, const char *key_id, struct ref_side *s, json_t *normals,
                     struct err *e) {
    const char *id = js_str(set, "id", "");
    s->label = id;
    s->release = js_str(set, "release", NULL);
    s->namespace_name = js_str(set, "namespace", NULL);
    s->chart = js_str(set, "chart", NULL);
    s->key_id = key_id;
    int r = ref_side_of_objects(json_object_get(set, "objects"), normals, s, e);
    return r < 0 ? err_prefix(e, r, "%s", id) : one_namespace(id, s, e);
}

/* Takes doc over. */
static int fill(json_t *doc, struct reference *ret, struct err *e) {
    const json_t *sets = json_object_get(doc, "manifests");
    struct reference r = {.doc = doc,
                          .n_sets = json_array_size(sets),
                          .keyed = js_bool(doc, "keyed", false),
                          .key_id = js_str(doc, "key_id", "")};
    r.normals = json_array();
    r.sets = calloc(r.n_sets ? r.n_sets : 1, sizeof *r.sets);
    int status = r.normals && r.sets && digest_of(doc, r.digest) == 0 ? 0 : err_oom(e);
    for (size_t i = 0; i < r.n_sets && status == 0; i++)
        status = make_side(json_array_get(sets, i), r.key_id, &r.sets[i], r.normals, e);
    if (status < 0)
        ref_free(&r);
    else
        *ret = r;
    return status;
}

void ref_free(struct reference *r) {
    if (!r)
        return;
    for (size_t i = 0; r->sets && i < r->n_sets; i++)
        ref_side_free(&r->sets[i]);
    free(r->sets);
    json_decref(r->normals);
    json_decref(r->doc);
    *r = (struct reference){0};
}

/* ---- loading */

static int take_doc(void *ctx, json_t *doc, size_t line, struct err *e) {
    json_t **into = ctx;
    (void)line;
    (void)e;
    json_decref(*into);
    *into = doc;
    return 0;
}

/* Takes doc over. */
static int load_doc(const struct load *l, json_t *doc, struct reference *ret) {
    char pointer[REF_AT_MAX];
    int r = ref_parse(doc, false, pointer, l->e);
    if (r < 0)
        r = at_place(l, pointer, r);
    if (r == 0)
        r = expand_sets(l, doc);
    if (r == 0)
        r = hash_defaults(l, doc);
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    r = fill(doc, ret, l->e);
    return r < 0 ? err_prefix(l->e, r, "%.300s", l->name) : 0;
}

int ref_load_text(const char *name, const char *folder, const char *text, size_t len,
                  const struct norm_key *key, struct reference *ret, struct err *e) {
    struct err own;
    struct load l = {name, folder, text, len, key, e ? e : &own};
    json_t *doc = NULL;
    int r = conf_yaml_documents(name, text, len, REF_FILE_MAX, CONF_YAML_CLEAR, take_doc, &doc, l.e);
    if (r == 0 && !doc)
        r = err_set(l.e, -EINVAL, "%s: empty: docs/reference.md shows what a reference is", name);
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    return load_doc(&l, doc, ret);
}

/* The folder of a path; out holds PATH_LIMIT bytes. */
static void folder_of(const char *path, char *out) {
    (void)snprintf(out, PATH_LIMIT, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash)
        slash[slash == out] = 0;
    else
        strcpy(out, ".");
}

static int no_such(const char *name, struct err *e) {
    const char *near = word_nearest(name, ref_builtin_names);
    return near ? err_set(e, -ENOENT, "%s: no such file, and no built-in reference: did you mean '%s'?", name,
                          near)
                : err_set(
                      e, -ENOENT,
                      "%s: no such file, and no built-in reference; `pilotgate reference list` names those",
                      name);
}

int ref_load(const char *name_or_path, const struct norm_key *key, struct reference *ret, struct err *e) {
    size_t len;
    char *text;
    char folder[PATH_LIMIT];
    const char *builtin = ref_builtin_text(name_or_path, &len);
    if (builtin)
        return ref_load_text(name_or_path, NULL, builtin, len, key, ret, e);
    if (strlen(name_or_path) >= PATH_LIMIT)
        return err_set(e, -EINVAL, "%.100s...: the path is too long", name_or_path);
    int r = conf_read_file(name_or_path, REF_FILE_MAX, &text, &len, e);
    if (r == -ENOENT)
        return no_such(name_or_path, e);
    if (r < 0)
        return r;
    folder_of(name_or_path, folder);
    r = ref_load_text(name_or_path, folder, text, len, key, ret, e);
    sodium_memzero(text, len);
    free(text);
    return r;
}

int ref_from_document(const json_t *doc, struct reference *ret, struct err *e) {
    char pointer[REF_AT_MAX];
    struct load l = {.name = "the stored reference", .e = e};
    int r = ref_parse(doc, true, pointer, e);
    if (r < 0)
        return at_place(&l, pointer, r);
    return fill(json_incref((json_t *)doc), ret, e);
}
