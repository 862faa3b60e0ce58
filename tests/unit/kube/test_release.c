/* Tests of Helm release Secrets: built here as Helm builds them (JSON, gzip, base64, base64). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <zlib.h>

#include "base/js.h"
#include "base/when.h"
#include "caught.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_RELEASE_##x
#define OP(x) PILOTGATE__OBJECT__OP__OP_##x
#define T0 1795000000000000000LL

static struct caught caught;
static struct norm_key key = {.bytes = {1, 2, 3}};
static struct kube_scope scope = {
    .own_release = "pilotgate", .namespace_name = "mcp", .key = &key, .emit = &caught.emit};
static struct kube_view view;

static int set_up(void **state) {
    (void)state;
    const struct kube_kind *k = kube_kinds;
    while (strcmp(k->source, "releases") != 0)
        k++;
    caught_init(&caught);
    view = (struct kube_view){.scope = &scope, .kind = k};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kube_view_free(&view);
    caught_free(&caught);
    return 0;
}

/* ---- building Secrets */

static char *base64(const void *data, size_t len) {
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *out = malloc(size);
    assert_non_null(out);
    return sodium_bin2base64(out, size, data, len, sodium_base64_VARIANT_ORIGINAL);
}

static char *base64_twice(const void *data, size_t len) {
    char *once = base64(data, len);
    char *twice = base64(once, strlen(once));
    free(once);
    return twice;
}

static size_t gzip(const void *data, size_t len, unsigned char **ret) {
    z_stream z = {.next_in = (unsigned char *)data, .avail_in = (unsigned)len};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t size = deflateBound(&z, len);
    *ret = malloc(size);
    assert_non_null(*ret);
    z.next_out = *ret;
    z.avail_out = (unsigned)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size = z.total_out;
    (void)deflateEnd(&z);
    return size;
}

static char *packed(const void *data, size_t len) {
    unsigned char *zipped;
    size_t n = gzip(data, len, &zipped);
    char *out = base64_twice(zipped, n);
    free(zipped);
    return out;
}

static const char manifest[] = "---\n# Source: web/templates/config.yaml\napiVersion: v1\nkind: ConfigMap\n"
                               "metadata:\n  name: c\ndata:\n  text: |\n    a\n    ---\n    b\n"
                               "---\n# only a comment\n"
                               "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: other}\n"
                               "stringData: {password: hunter2}\n"
                               "---\n{{ not: yaml\n";

static json_t *release(int revision, const char *status, const char *description) {
    json_t *r = json_pack(
        "{s:s, s:s, s:i, s:{s:s, s:s, s:s, s:s, s:s}, s:{s:{s:s, s:s, s:s}, s:[{s:s}], s:[{s:s}], s:s},"
        " s:{s:{s:s}, s:i}, s:s, s:[{s:s, s:s, s:[s], s:s, s:{s:s, s:s}}, {}]}",
        "name", "web", "namespace", "mcp", "version", revision, "info", "first_deployed",
        "2026-11-23T04:00:01.5Z", "last_deployed", "2026-11-23T04:00:01.5Z", "deleted", "", "status", status,
        "description", description, "chart", "metadata", "name", "web", "version", "1.2.3", "appVersion", "9",
        "files", "name", "README.md", "templates", "name", "templates/NOTES.txt", "schema", "", "config",
        "db", "password", "hunter2", "replicas", 2, "manifest", manifest, "hooks", "name", "migrate", "kind",
        "Job", "events", "pre-upgrade", "manifest", "password: hunter2", "last_run", "phase", "Succeeded",
        "started_at", "2026-11-23T04:00:02Z");
    assert_non_null(r);
    return r;
}

static char *release_data(int revision, const char *status) {
    json_t *r = release(revision, status, "Install complete\nsecond line");
    char *text = json_dumps(r, 0);
    char *out = packed(text, strlen(text));
    free(text);
    json_decref(r);
    return out;
}

/* written: when the API server says that it was written last; its label, which Helm carried over, says
 * earlier. */
static json_t *secret(const char *rv, int revision, const char *status, const char *written) {
    char name[64];
    char *data = release_data(revision, status);
    snprintf(name, sizeof name, "sh.helm.release.v1.web.v%d", revision);
    json_t *s =
        json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:[{s:s}]}, s:s, s:{s:s}}", "metadata", "name", name,
                  "uid", name, "resourceVersion", rv, "creationTimestamp", "2026-11-23T04:00:01Z", "labels",
                  "owner", "helm", "modifiedAt", "1795406400", "managedFields", "time", written, "type",
                  "helm.sh/release.v1", "data", "release", data);
    free(data);
    assert_non_null(s);
    return s;
}

static void see(json_t *s, bool listed) {
    struct kube_sight sight = {.recv_wall = T0, .previous_wall = T0 - 5, .listed = listed};
    struct err e;
    assert_int_equal(kube_view_see(&view, &sight, s, &e), 0);
    json_decref(s);
}

static void watched(const char *rv, int revision, const char *status) {
    see(secret(rv, revision, status, ""), false);
}

static void end_list(void) {
    struct kube_sight sight = {.recv_wall = T0, .listed = true};
    kube_view_end(&view, &sight);
}

static void deleted(int revision) {
    struct kube_sight sight = {.recv_wall = T0 + 7, .previous_wall = T0};
    json_t *s = secret("99", revision, "x", "");
    assert_int_equal(kube_view_delete(&view, &sight, s, NULL), 0);
    json_decref(s);
}

/* ---- tests */

static void test_normal_form(void **state) {
    (void)state;
    struct kube_release r;
    struct err e;
    char hex[NORM_HEX_MAX];
    char *data = release_data(3, "deployed");
    assert_int_equal(kube_release_decode(&key, data, strlen(data), &r, &e), 0);
    free(data);
    assert_string_equal(r.name, "web");
    assert_int_equal(r.revision, 3);
    assert_string_equal(r.status, "deployed");
    assert_string_equal(js_str(r.normal, "description", ""), "Install complete\nsecond line");
    assert_string_equal(js_str(r.normal, "chart.version", ""), "1.2.3");
    assert_true(js_bool(r.normal, "chart.has_readme", false));
    assert_true(js_bool(r.normal, "chart.has_notes", false));
    assert_false(js_bool(r.normal, "chart.has_schema", true));
    assert_int_equal(js_int(r.normal, "hooks", 0), 2);
    assert_string_equal(js_str(r.normal, "manifest_digest", ""),
                        norm_hash(&key, manifest, strlen(manifest), hex));
    assert_int_equal(json_array_size(js_at(r.normal, "config_keys")), 2);
    const json_t *values = js_at(r.normal, "values");
    assert_int_equal(json_integer_value(json_object_get(values, "/replicas")), 2);
    assert_memory_equal(json_string_value(json_object_get(values, "/db/password")), "keyed:", 6);
    assert_string_equal(js_str(r.normal, "hook_list.0.name", ""), "migrate");
    assert_string_equal(js_str(r.normal, "hook_list.0.events.0", ""), "pre-upgrade");
    assert_string_equal(js_str(r.normal, "hook_list.0.phase", ""), "Succeeded");
    const json_t *objects = js_at(r.normal, "objects");
    assert_int_equal(json_array_size(objects), 3);
    assert_string_equal(js_str(objects, "0.kind", ""), "ConfigMap");
    assert_string_equal(js_str(objects, "0.name", ""), "c");
    assert_string_equal(js_str(objects, "1.kind", ""), "Secret");
    assert_string_equal(js_str(objects, "1.namespace", ""), "other");
    assert_true(js_bool(objects, "2.unparsed", false));
    char *text = js_canonical(r.normal);
    assert_null(strstr(text, "hunter2"));
    free(text);
    kube_release_free(&r);
}

/* The digest of an object in the manifest equals that of the same object read from elsewhere. */
static void test_manifest_objects_are_normalised(void **state) {
    (void)state;
    struct kube_release r;
    char hex[NORM_HEX_MAX];
    char *text;
    json_t *same = json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "kind", "ConfigMap", "apiVersion", "v1",
                             "metadata", "name", "c", "data", "text", "a\n---\nb\n");
    json_t *normal = norm_object(&key, same, "");
    assert_int_equal(norm_digest(&key, normal, &text, hex), 0);
    char *data = release_data(1, "deployed");
    assert_int_equal(kube_release_decode(&key, data, strlen(data), &r, NULL), 0);
    assert_string_equal(js_str(r.normal, "objects.0.digest", ""), hex);
    free(data);
    free(text);
    json_decref(normal);
    json_decref(same);
    kube_release_free(&r);
}

/* More objects than a record holds: what is told is whole JSON, and says that it is not all. */
static void test_a_large_release_fits_into_a_record(void **state) {
    (void)state;
    struct kube_release r;
    struct buf text = BUF_INIT(8u << 20);
    for (int i = 0; i < 1500; i++)
        assert_int_equal(buf_addf(&text, "---\nkind: ConfigMap\nmetadata: {name: c%d}\n", i), 0);
    json_t *doc = release(1, "deployed", "x");
    (void)json_object_set_new(doc, "manifest", json_string(buf_str(&text)));
    char *json = json_dumps(doc, 0);
    char *data = packed(json, strlen(json));
    assert_int_equal(kube_release_decode(&key, data, strlen(data), &r, NULL), 0);
    char *canonical = js_canonical(r.normal);
    assert_true(strlen(canonical) <= WIRE_NORMAL_MAX && strlen(canonical) > WIRE_NORMAL_MAX / 2);
    assert_true(js_bool(r.normal, "objects_cut", false));
    assert_string_equal(js_str(r.normal, "objects.0.name", ""), "c0");
    kube_release_free(&r);
    free(canonical);
    free(data);
    free(json);
    json_decref(doc);
    buf_free(&text);
}

static void test_uncompressed_release_is_read(void **state) {
    (void)state;
    struct kube_release r;
    json_t *doc = release(1, "failed", "why");
    char *text = json_dumps(doc, 0);
    char *data = base64_twice(text, strlen(text));
    assert_int_equal(kube_release_decode(&key, data, strlen(data), &r, NULL), 0);
    assert_string_equal(r.status, "failed");
    kube_release_free(&r);
    free(data);
    free(text);
    json_decref(doc);
}

static void refused(const char *data, int code, const char *words) {
    struct kube_release r;
    struct err e;
    assert_int_equal(kube_release_decode(&key, data, strlen(data), &r, &e), code);
    assert_non_null(strstr(e.text, words));
}

static void refused_json(const char *json) {
    char *data = packed(json, strlen(json));
    refused(data, -EBADMSG, "Helm release");
    free(data);
}

static void test_damaged_releases_are_refused(void **state) {
    (void)state;
    refused("", -EBADMSG, "Helm release");
    refused("!!!", -EBADMSG, "not base64");
    refused("QUJD", -EBADMSG, "not base64"); /* base64 once: "ABC" */
    char *data = base64_twice("\x1f\x8b\x08rubbish", 10);
    refused(data, -EBADMSG, "damaged gzip");
    free(data);
    refused_json("{}");
    refused_json("[]");
    refused_json("7");
    refused_json("{\"name\":\"a\",\"version\":0,\"info\":{\"status\":\"deployed\"}}");
    refused_json("{\"name\":\"a\",\"version\":1,\"info\":{\"status\":\"\"}}");
    refused_json("{\"name\":7,\"version\":1,\"info\":{\"status\":\"deployed\"}}");
}

static void test_cut_gzip_is_refused(void **state) {
    (void)state;
    unsigned char *zipped;
    json_t *doc = release(1, "deployed", "x");
    char *text = json_dumps(doc, 0);
    size_t n = gzip(text, strlen(text), &zipped);
    for (size_t cut = 3; cut < n; cut += 7) {
        char *data = base64_twice(zipped, cut);
        refused(data, -EBADMSG, "damaged gzip");
        free(data);
    }
    free(zipped);
    free(text);
    json_decref(doc);
}

static void test_bomb_is_refused(void **state) {
    (void)state;
    size_t size = KUBE_RELEASE_MAX + 4096;
    char *big = calloc(1, size);
    assert_non_null(big);
    memset(big, ' ', size);
    char *data = packed(big, size);
    free(big);
    assert_true(strlen(data) < 1u << 20);
    refused(data, -EMSGSIZE, "unpacks to more than");
    free(data);
}

static void test_phases_of_an_upgrade(void **state) {
    (void)state;
    end_list();
    watched("1", 1, "pending-install");
    watched("2", 1, "deployed");
    watched("3", 2, "pending-upgrade");
    watched("4", 1, "superseded");
    watched("5", 2, "failed");
    assert_int_equal(caught_phases(&caught, PHASE(CREATED)), 2);
    assert_int_equal(caught_phases(&caught, PHASE(PENDING)), 2);
    assert_string_equal(caught_phase(&caught, PHASE(PENDING), 1)->reason, "pending-upgrade");
    const Pilotgate__Phase *p = caught_phase(&caught, PHASE(CREATED), 0);
    assert_string_equal(p->subject, "Release/web.v1");
    assert_string_equal(p->owner, "web");
    assert_int_equal(p->origin, PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP);
    p = caught_phase(&caught, PHASE(DEPLOYED), 0);
    assert_int_equal(p->t_wall_ns, T0);
    assert_int_equal(p->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    assert_int_equal(p->origin, PILOTGATE__ORIGIN__ORIGIN_WATCH);
    assert_string_equal(caught_phase(&caught, PHASE(SUPERSEDED), 0)->subject, "Release/web.v1");
    assert_string_equal(caught_phase(&caught, PHASE(FAILED), 0)->reason, "Install complete");
    assert_int_equal(caught_objects(&caught, "HelmRelease", OP(ADDED)), 2);
    assert_int_equal(caught_objects(&caught, "HelmRelease", OP(MODIFIED)), 3);
    assert_string_equal(caught_object(&caught, "HelmRelease", OP(ADDED), 1)->name, "web.v2");
    assert_string_equal(caught_object(&caught, "HelmRelease", OP(ADDED), 1)->release, "web");
}

static void test_release_found_deployed(void **state) {
    (void)state;
    int64_t written = 0;
    assert_int_equal(when_parse("2026-11-23T04:00:09Z", &written), 0);
    see(secret("1", 1, "deployed", "2026-11-23T04:00:09Z"), true);
    const Pilotgate__Phase *p = caught_phase(&caught, PHASE(DEPLOYED), 0);
    assert_int_equal(p->t_wall_ns, written);
    assert_int_equal(p->precision_ns, WHEN_S);
    assert_int_equal(p->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    see(secret("1", 3, "deployed", "9999-12-31T23:59:59Z"), true); /* nobody wrote it then */
    assert_true(caught_phase(&caught, PHASE(DEPLOYED), 1)->t_wall_ns < WIRE_NS_MAX);
    see(secret("1", 2, "deployed", ""), true); /* last_deployed is the start: no earlier than that */
    int64_t start = 0;
    assert_int_equal(when_parse("2026-11-23T04:00:01.5Z", &start), 0);
    p = caught_phase(&caught, PHASE(DEPLOYED), 2);
    assert_int_equal(p->t_wall_ns, start);
    assert_int_equal(p->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST);
    see(secret("1", 4, "deployed", "2026-11-23T03:59:00Z"),
        true); /* before it was created: no time of this one */
    assert_int_equal(caught_phase(&caught, PHASE(DEPLOYED), 3)->t_wall_ns, start);
    assert_int_equal(caught_objects(&caught, "HelmRelease", OP(LISTED)), 4);
}

static void test_uninstall(void **state) {
    (void)state;
    end_list();
    watched("1", 1, "superseded");
    watched("2", 2, "uninstalling");
    deleted(1); /* history */
    assert_int_equal(caught_phases(&caught, PHASE(UNINSTALLED)), 0);
    deleted(2);
    assert_int_equal(caught_phases(&caught, PHASE(UNINSTALLED)), 1);
    assert_string_equal(caught_phase(&caught, PHASE(UNINSTALLED), 0)->subject, "Release/web.v2");
    assert_int_equal(caught_objects(&caught, "HelmRelease", OP(DELETED)), 2);
}

static void test_one_undecodable_release_is_named(void **state) {
    (void)state;
    end_list();
    json_t *s = secret("1", 1, "deployed", "");
    json_object_set_new(json_object_get(s, "data"), "release", json_string("broken"));
    see(s, false);
    watched("2", 2, "deployed");
    const Pilotgate__Object *o = caught_object(&caught, "HelmRelease", OP(UNREADABLE), 0);
    assert_string_equal(o->name, "sh.helm.release.v1.web.v1");
    assert_non_null(strstr(o->reason, "base64"));
    assert_int_equal(caught_objects(&caught, "HelmRelease", OP(ADDED)), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_normal_form),
        TEST(test_manifest_objects_are_normalised),
        TEST(test_a_large_release_fits_into_a_record),
        TEST(test_uncompressed_release_is_read),
        TEST(test_damaged_releases_are_refused),
        TEST(test_cut_gzip_is_refused),
        TEST(test_bomb_is_refused),
        TEST(test_phases_of_an_upgrade),
        TEST(test_release_found_deployed),
        TEST(test_uninstall),
        TEST(test_one_undecodable_release_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
