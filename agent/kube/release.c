/* release: a Helm release out of its Secret, reduced to what may be sent and compared.
 *
 *   data.release = base64( base64( gzip( JSON ) ) )     the outer base64 is the Secret's
 *   (Helm: pkg/storage/driver/util.go; uncompressed JSON is read as well)
 *
 * Normal form:
 *   {"name","revision","status","description","first_deployed","last_deployed","deleted","apply_method",
 *    "chart":{"name","version","appVersion","has_readme","has_schema","has_notes"},
 *    "manifest_digest","config_digest","config_keys":[...],
 *    "values":{JSON Pointer: value},"values_cut":bool,
 *    "hooks":N,"hook_list":[{"name","kind","events":[...],"weight","phase","started","completed"}],
 *    "objects":[{"kind","name","namespace","digest"}],"objects_cut":bool}
 * The manifest and the chart's templates never leave: only keyed hashes of them do, and of the values what
 * values.c lets out: each text as keyed hash, so that two revisions compare by JSON Pointer. A document of
 * the manifest that is no YAML is listed with "unparsed": true and the hash of its text. The whole fits into
 * a record: of what is too much, values are left out first, then objects (manifest_digest still stands for
 * all).
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

#define DOCUMENTS_MAX 4096
#define TEXT_SHOWN_MAX 512
#define VALUES_MAX (24u << 10) /* bytes of "values" */
#define HOOKS_MAX 128

/* ---- from the Secret's bytes to JSON */

static int unbase64(const char *data, size_t len, struct buf *out, struct err *e) {
    size_t n = 0;
    const char *end = NULL;
    buf_clear(out);
    int r = buf_reserve(out, len / 4 * 3 + 3);
    if (r < 0)
        return r == -EMSGSIZE ? err_set(e, r, "the release is larger than %u bytes", KUBE_RELEASE_MAX)
                              : err_oom(e);
    if (sodium_base642bin((unsigned char *)out->data, out->cap - 1, data, len, "\r\n", &n, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != data + len)
        return err_set(e, -EBADMSG, "the release is not base64");
    out->len = n;
    out->data[n] = 0;
    return 0;
}

static int inflate_some(z_stream *z, struct buf *out, int *ret_z, struct err *e) {
    int r = buf_reserve(out, out->len < 65536 ? 65536 : out->len);
    if (r == -EMSGSIZE) /* the last piece before the limit */
        r = buf_reserve(out, out->max - out->len);
    if (r < 0)
        return err_oom(e);
    size_t room =
        out->max - out->len < out->cap - 1 - out->len ? out->max - out->len : out->cap - 1 - out->len;
    if (room == 0)
        return err_set(e, -EMSGSIZE, "the release unpacks to more than %zu bytes", out->max);
    z->next_out = (unsigned char *)out->data + out->len;
    z->avail_out = (unsigned)room;
    *ret_z = inflate(z, Z_NO_FLUSH);
    out->len += room - z->avail_out;
    out->data[out->len] = 0;
    return 0;
}

static int gunzip(const struct buf *in, struct buf *out, struct err *e) {
    z_stream z = {.next_in = (unsigned char *)in->data, .avail_in = (unsigned)in->len};
    int state = Z_OK;
    int r = 0;
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return err_oom(e);
    while (r == 0 && state == Z_OK)
        r = inflate_some(&z, out, &state, e);
    (void)inflateEnd(&z);
    if (r < 0)
        return r;
    return state == Z_STREAM_END ? 0 : err_set(e, -EBADMSG, "the release is damaged gzip");
}

static int unpack(const char *data, size_t len, json_t **ret, struct err *e) {
    struct buf outer = BUF_INIT(KUBE_RELEASE_MAX);
    struct buf inner = BUF_INIT(KUBE_RELEASE_MAX);
    struct buf plain = BUF_INIT(KUBE_RELEASE_MAX);
    int r = unbase64(data, len, &outer, e);
    if (r == 0)
        r = unbase64(buf_str(&outer), outer.len, &inner, e);
    bool packed = r == 0 && inner.len >= 3 && memcmp(inner.data, "\x1f\x8b\x08", 3) == 0;
    if (packed)
        r = gunzip(&inner, &plain, e);
    const struct buf *text = packed ? &plain : &inner;
    if (r == 0)
        r = js_parse(buf_str(text), text->len, KUBE_RELEASE_MAX, ret, e);
    if (r < 0)
        err_prefix(e, r, "Helm release");
    buf_free(&outer);
    buf_free(&inner);
    buf_free(&plain);
    return r;
}

/* ---- the manifest: which objects the release owns */

static int list_object(const struct norm_key *key, const json_t *doc, json_t *objects) {
    char hex[NORM_HEX_MAX];
    char *text = NULL;
    json_t *normal = norm_object(key, doc, "");
    if (!normal)
        return -ENOMEM;
    int r = norm_digest(key, normal, &text, hex);
    free(text);
    json_decref(normal);
    if (r < 0)
        return r;
    return json_array_append_new(objects, json_pack("{s:s, s:s, s:s, s:s}", "kind", js_str(doc, "kind", ""),
                                                    "name", js_str(doc, "metadata.name", ""), "namespace",
                                                    js_str(doc, "metadata.namespace", ""), "digest", hex)) < 0
               ? -ENOMEM
               : 0;
}

static int list_unparsed(const struct norm_key *key, const char *text, size_t len, json_t *objects) {
    char hex[NORM_HEX_MAX];
    json_t *x = json_pack("{s:s, s:s, s:s, s:s, s:b}", "kind", "", "name", "", "namespace", "", "digest",
                          norm_hash(key, text, len, hex), "unparsed", 1);
    return json_array_append_new(objects, x) < 0 ? -ENOMEM : 0;
}

static int list_document(const struct norm_key *key, const char *text, size_t len, json_t *objects) {
    json_t *doc = NULL;
    if (strspn(text, " \t\r\n") >= len)
        return 0;
    if (conf_yaml_to_json("manifest", text, len, &doc, NULL) < 0)
        return list_unparsed(key, text, len, objects);
    int r = 0;
    if (json_is_object(doc) && json_object_size(doc) > 0)
        r = list_object(key, doc, objects);
    else if (!json_is_null(doc) && !json_is_object(doc))
        r = list_unparsed(key, text, len, objects);
    json_decref(doc);
    return r;
}

/* The next line that begins with "---", or the end. */
static const char *next_separator(const char *p) {
    while (*p) {
        if (strncmp(p, "---", 3) == 0)
            return p;
        const char *nl = strchr(p, '\n');
        if (!nl)
            return p + strlen(p);
        p = nl + 1;
    }
    return p;
}

/* Documents are separated by lines "---"; what follows on such a line ("# Source: ...") is dropped. */
static int list_manifest(const struct norm_key *key, const char *manifest, json_t *objects, struct err *e) {
    const char *p = manifest;
    for (int i = 0; *p; i++) {
        const char *end = next_separator(p);
        if (i >= DOCUMENTS_MAX)
            return err_set(e, -EMSGSIZE, "Helm release: more than %d documents in its manifest",
                           DOCUMENTS_MAX);
        if (list_document(key, p, (size_t)(end - p), objects) < 0)
            return err_oom(e);
        p = *end ? end + strcspn(end, "\n") : end;
    }
    return 0;
}

/* ---- the normal form */

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s);
    size_t m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool has_file(const json_t *files, const char *end) {
    size_t i;
    json_t *f;
    json_array_foreach(files, i, f) {
        if (ends_with(js_str(f, "name", ""), end))
            return true;
    }
    return false;
}

static json_t *chart_form(const json_t *release) {
    const json_t *chart = js_at(release, "chart");
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:b, s:b}", "name", js_str(chart, "metadata.name", ""), "version",
        js_str(chart, "metadata.version", ""), "appVersion", js_str(chart, "metadata.appVersion", ""),
        "has_readme", has_file(js_at(chart, "files"), "README.md"), "has_schema",
        *js_str(chart, "schema", "") != 0, "has_notes", has_file(js_at(chart, "templates"), "NOTES.txt"));
}

/* Names that look like tokens as in values.c. */
static json_t *config_keys(const struct norm_key *key, const json_t *config) {
    json_t *keys = json_array();
    const char *name;
    json_t *value;
    char hex[NORM_HEX_MAX];
    json_object_foreach((json_t *)config, name, value) {
        size_t n = strlen(name);
        json_t *shown = kube_words_random(name, n) ? json_sprintf("keyed:%.16s", norm_hash(key, name, n, hex))
                                                   : json_string(name);
        if (json_array_append_new(keys, shown) < 0) {
            json_decref(keys);
            return NULL;
        }
    }
    return keys;
}

static int config_digest(const struct norm_key *key, const json_t *config, char *hex) {
    char *text = json_is_object(config) ? js_canonical(config) : strdup("{}");
    if (!text)
        return -ENOMEM;
    norm_hash(key, text, strlen(text), hex);
    free(text);
    return 0;
}

static int set_text(json_t *to, const char *key, const char *text) {
    char shown[TEXT_SHOWN_MAX + 1];
    size_t n = strnlen(text, TEXT_SHOWN_MAX);
    while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(shown, text, n);
    shown[n] = 0;
    return json_object_set_new(to, key, json_string(shown));
}

/* What the hooks did last (Helm: pkg/release, Hook and HookExecution). */
static json_t *hook_form(const json_t *hook) {
    json_t *events = js_at(hook, "events");
    json_t *form = json_object();
    int bad = !form || set_text(form, "name", js_str(hook, "name", "")) |
                           set_text(form, "kind", js_str(hook, "kind", "")) |
                           set_text(form, "phase", js_str(hook, "last_run.phase", "")) |
                           set_text(form, "started", js_str(hook, "last_run.started_at", "")) |
                           set_text(form, "completed", js_str(hook, "last_run.completed_at", "")) |
                           json_object_set_new(form, "weight", json_integer(js_int(hook, "weight", 0))) |
                           json_object_set_new(form, "events", json_array());
    for (size_t i = 0; !bad && i < json_array_size(events) && i < HOOKS_MAX; i++) {
        const char *event = json_string_value(json_array_get(events, i));
        bad = event && strlen(event) < 64 &&
              json_array_append_new(json_object_get(form, "events"), json_string(event)) < 0;
    }
    if (bad)
        json_decref(form);
    return bad ? NULL : form;
}

static int set_hooks(const json_t *release, json_t *to) {
    const json_t *hooks = js_at(release, "hooks");
    json_t *list = json_array();
    int bad = json_object_set_new(to, "hooks", json_integer((json_int_t)json_array_size(hooks))) |
              json_object_set_new(to, "hook_list", list);
    for (size_t i = 0; !bad && i < json_array_size(hooks) && i < HOOKS_MAX; i++)
        bad = json_array_append_new(list, hook_form(json_array_get(hooks, i))) < 0;
    return bad;
}

static int set_values(const struct norm_key *key, const json_t *config, json_t *to) {
    bool cut = false;
    json_t *values = kube_values_list(key, config, VALUES_MAX, &cut);
    return json_object_set_new(to, "values", values) |
           json_object_set_new(to, "values_cut", json_boolean(cut));
}

/* A text of Helm's that may repeat what it met. */
static int set_words(const struct norm_key *key, json_t *to, const char *name, const char *text) {
    char words[KUBE_WORDS_MAX];
    kube_words_reduce(key, text, words);
    return json_object_set_new(to, name, json_string(words));
}

static int set_info(const struct norm_key *key, const struct kube_release *r, const json_t *release,
                    json_t *to) {
    static const char *const keys[] = {"first_deployed", "last_deployed", "deleted"};
    int bad = set_text(to, "name", r->name) | set_text(to, "status", r->status) |
              set_text(to, "apply_method", js_str(release, "apply_method", "")) |
              json_object_set_new(to, "revision", json_integer(r->revision)) | set_hooks(release, to) |
              set_words(key, to, "description", js_str(release, "info.description", ""));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "info.%s", keys[i]);
        bad |= set_text(to, keys[i], js_str(release, path, ""));
    }
    return bad;
}

static int set_contents(const struct norm_key *key, const json_t *release, json_t *to, struct err *e) {
    char manifest_hex[NORM_HEX_MAX];
    char config_hex[NORM_HEX_MAX];
    const char *manifest = js_str(release, "manifest", "");
    const json_t *config = js_at(release, "config");
    json_t *objects = json_array();
    if (!objects || config_digest(key, config, config_hex) < 0 ||
        json_object_set(to, "objects", objects) < 0 ||
        json_object_set_new(to, "objects_cut", json_false()) < 0) {
        json_decref(objects);
        return err_oom(e);
    }
    norm_hash(key, manifest, strlen(manifest), manifest_hex);
    int r = list_manifest(key, manifest, objects, e);
    json_decref(objects);
    if (r < 0)
        return r;
    int bad = json_object_set_new(to, "chart", chart_form(release)) |
              set_text(to, "manifest_digest", manifest_hex) | set_text(to, "config_digest", config_hex) |
              json_object_set_new(to, "config_keys", config_keys(key, config)) | set_values(key, config, to);
    return bad ? err_oom(e) : 0;
}

static size_t size_of(const json_t *form) {
    return json_dumpb(form, NULL, 0, JSON_COMPACT | JSON_SORT_KEYS);
}

/* A form that is cut in the middle would tell nothing. */
static int fit(json_t *form) {
    json_t *objects = json_object_get(form, "objects");
    size_t n = json_array_size(objects);
    int bad = 0;
    if (size_of(form) > WIRE_NORMAL_MAX)
        bad = json_object_set_new(form, "values", json_object()) |
              json_object_set_new(form, "values_cut", json_true());
    if (!bad && size_of(form) - size_of(objects) > WIRE_NORMAL_MAX / 2) /* hostile */
        bad = json_object_set_new(form, "hook_list", json_array()) |
              json_object_set_new(form, "config_keys", json_array());
    while (!bad && n > 0 && size_of(form) > WIRE_NORMAL_MAX) {
        for (n -= n / 8 + 1; json_array_size(objects) > n;)
            (void)json_array_remove(objects, json_array_size(objects) - 1);
        bad = json_object_set_new(form, "objects_cut", json_true());
    }
    return bad;
}

static int read_head(const json_t *release, struct kube_release *r, struct err *e) {
    const char *name = js_str(release, "name", "");
    const char *status = js_str(release, "info.status", "");
    r->revision = js_int(release, "version", 0);
    if (!*name || strlen(name) >= sizeof r->name || r->revision < 1 || !*status ||
        strlen(status) >= sizeof r->status)
        return err_set(e, -EBADMSG, "Helm release: without a valid name, version or info.status");
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    (void)snprintf(r->status, sizeof r->status, "%s", status);
    if (when_parse(js_str(release, "info.last_deployed", ""), &r->last_deployed) < 0)
        r->last_deployed = 0;
    return 0;
}

int kube_release_decode(const struct norm_key *key, const char *data, size_t len, struct kube_release *ret,
                        struct err *e) {
    struct kube_release out = {.normal = NULL};
    json_t *release = NULL;
    int r = unpack(data, len, &release, e);
    if (r < 0)
        return r;
    r = read_head(release, &out, e);
    if (r == 0) {
        out.normal = json_object();
        r = !out.normal || set_info(key, &out, release, out.normal)
                ? err_oom(e)
                : set_contents(key, release, out.normal, e);
    }
    if (r == 0 && fit(out.normal))
        r = err_oom(e);
    json_decref(release);
    if (r < 0)
        kube_release_free(&out);
    else
        *ret = out;
    return r;
}

void kube_release_free(struct kube_release *r) {
    json_decref(r->normal);
    r->normal = NULL;
}
