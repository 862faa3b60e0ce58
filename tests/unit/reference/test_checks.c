/* Runs every check on small stages: the files of checks/ hold the cases, objects in and what
 * must come of them out. A case:
 *
 *   name, check, with, for, if_any     the expectation
 *   objects: [OBJECT]                  as they are written; they become normal forms with the test's key
 *   unread: {KIND: WHY}, cut: [KIND/NAME], pods: ["Deployment/web node-a"], rendered: BOOL, no_key: BOOL
 *   want: met | {met: TEXT} | none-selected | {unmet: ["KIND/NAME POINTER"]} | {unknown: TEXT} | {refused:
 * TEXT}
 *
 * unmet: exactly these, in any order, and nothing is left unknown; unknown: the reason holds the text, and
 * nothing is unmet unless `unmet` stands beside it. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/js.h"
#include "reference/checks.h"

#define FILE_MAX (1u << 20)
#define TOLD 128

static const struct norm_key test_key = {{1, 2, 3}};

struct stage {
    struct ref_side side;
    struct reference r;
    json_t *normals, *unread;
    char names[64][2][REF_NAME_MAX];
};

static const char *why_unread(void *ctx, const char *kind) {
    return json_string_value(json_object_get(ctx, kind));
}

static bool has_text(const json_t *list, const char *text) {
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v) if (strcmp(json_string_value(v), text) == 0) return true;
    return false;
}

static void add_object(struct stage *s, const json_t *c, const json_t *written) {
    char name[2 * REF_NAME_MAX];
    json_t *normal = norm_object(&test_key, written, "");
    assert_non_null(normal);
    if (json_object_get(written, "apiVersion")) /* as in manifests */
        (void)json_object_set(normal, "apiVersion", json_object_get(written, "apiVersion"));
    (void)json_array_append_new(s->normals, normal);
    struct ref_object o = {.kind = js_str(normal, "kind", ""),
                           .name = js_str(normal, "metadata.name", ""),
                           .normal = normal,
                           .release = js_str(normal, "/metadata/annotations/meta.helm.sh~1release-name", "")};
    (void)snprintf(name, sizeof name, "%s/%s", o.kind, o.name);
    if (has_text(json_object_get(c, "cut"), name)) {
        o.normal = NULL;
        o.unknown = "its text is cut";
    }
    assert_int_equal(ref_side_add(&s->side, &o), 0);
}

static void add_pods(struct stage *s, const json_t *pods) {
    size_t i;
    const json_t *v;
    s->side.pods_known = pods != NULL;
    assert_true(json_array_size(pods) <= 64);
    json_array_foreach(pods, i, v) {
        assert_int_equal(sscanf(json_string_value(v), "%319s %319s", s->names[i][0], s->names[i][1]), 2);
        assert_int_equal(ref_side_add_pod(&s->side, s->names[i][0], s->names[i][1]), 0);
    }
}

static void build(struct stage *s, const json_t *c) {
    size_t i;
    const json_t *o;
    *s = (struct stage){.normals = json_array(), .unread = json_incref(json_object_get(c, "unread"))};
    s->side.label = "east/shop";
    s->side.release = js_str(c, "release", "shop");
    s->side.namespace_name = "shop";
    s->side.live = !js_bool(c, "rendered", false);
    s->side.unread = why_unread;
    s->side.unread_ctx = s->unread;
    s->r.keyed = !js_bool(c, "no_key", false);
    json_array_foreach(json_object_get(c, "objects"), i, o) add_object(s, c, o);
    add_pods(s, json_object_get(c, "pods"));
    assert_int_equal(ref_side_finish(&s->side), 0);
}

static void destroy(struct stage *s) {
    ref_side_free(&s->side);
    json_decref(s->normals);
    json_decref(s->unread);
}

/* As ref_load does: the known defaults beside their keyed hashes. */
static json_t *expectation_of(const json_t *c) {
    json_t *e = json_deep_copy(c);
    const json_t *known = js_at(e, "with.known");
    if (known)
        (void)json_object_set_new(json_object_get(e, "with"), "known_keyed",
                                  ref_known_keyed(&test_key, known));
    return e;
}

static void explain(const char *file, const json_t *c, const struct ref_outcome *out) {
    print_error("%s: \"%s\":%s %s\n", file, js_str(c, "name", "?"), out->unknown ? " unknown:" : "",
                out->why);
    for (size_t i = 0; i < out->differences.n; i++) {
        const struct ref_difference *d = &out->differences.items[i];
        print_error("    %s %s (%s): expected %s, found %s\n", d->object, d->pointer, d->where,
                    d->expected ? d->expected : "-", d->found ? d->found : "-");
    }
}

static bool is_told(const struct ref_outcome *out, const char *wanted) {
    char told[2 * REF_NAME_MAX + 512];
    for (size_t i = 0; i < out->differences.n; i++) {
        const struct ref_difference *d = &out->differences.items[i];
        (void)snprintf(told, sizeof told, "%s%s%s", d->object, *d->pointer ? " " : "", d->pointer);
        if (d->what == REF_UNMET && d->expected && strcmp(told, wanted) == 0)
            return true;
    }
    return false;
}

static bool as_wanted(const json_t *want, const struct ref_outcome *out) {
    const char *word = json_string_value(want);
    const json_t *unmet = json_object_get(want, "unmet");
    const char *unknown = js_str(want, "unknown", NULL);
    size_t i;
    const json_t *v;
    if (word && strcmp(word, "met") == 0)
        return !out->unknown && out->differences.n == 0;
    if (json_object_get(want, "met"))
        return !out->unknown && out->differences.n == 0 && strstr(out->why, js_str(want, "met", ""));
    if (word && strcmp(word, "none-selected") == 0)
        return !out->unknown && out->differences.n == 1 && out->objects == 0 && !out->differences.items[0].of;
    if (out->unknown != (unknown != NULL) || (unknown && !strstr(out->why, unknown)) ||
        out->differences.n != json_array_size(unmet))
        return false;
    json_array_foreach(unmet, i, v) if (!is_told(out, json_string_value(v))) return false;
    return true;
}

enum { MET = 1, UNMET = 2, UNKNOWN = 4, ALL = 7 };

static unsigned kind_of(const json_t *want) {
    const char *word = json_string_value(want);
    return (word && strcmp(word, "met") == 0) || json_object_get(want, "met") ? MET
           : json_object_get(want, "unknown")                                 ? UNKNOWN
                                                                              : UNMET;
}

/* ---- hostile objects: whatever stands in a place, the check comes to some end */

static size_t harmed; /* runs with hostile objects */

struct harm {
    const struct ref_scope *scope;
    const json_t *expectation;
};

static void run_harmed(struct harm *h) {
    struct ref_outcome out = {0};
    assert_int_equal(ref_check(h->scope, h->expectation, &out), 0);
    ref_outcome_free(&out);
    harmed++;
}

static json_t *bad_value(int i) {
    switch (i) {
    case 0:
        return json_null();
    case 1:
        return json_integer(-7);
    case 2:
        return json_string("keyed:x");
    case 3:
        return json_pack("[n, i, {}]", 7);
    default:
        return json_pack("{s:[]}", "");
    }
}
#define BAD_VALUES 5

static void harm_all(struct harm *h, json_t *v);

static void harm_element(struct harm *h, json_t *list, size_t at) {
    json_t *was = json_incref(json_array_get(list, at));
    for (int b = 0; b < BAD_VALUES; b++) {
        (void)json_array_set_new(list, at, bad_value(b));
        run_harmed(h);
    }
    (void)json_array_set(list, at, was);
    harm_all(h, was);
    json_decref(was);
}

static void harm_member(struct harm *h, json_t *map, const char *key) {
    json_t *was = json_incref(json_object_get(map, key));
    for (int b = 0; b < BAD_VALUES; b++) {
        (void)json_object_set_new(map, key, bad_value(b));
        run_harmed(h);
    }
    (void)json_object_set(map, key, was);
    harm_all(h, was);
    json_decref(was);
}

/* Each place in turn; kind and name stay, as the side borrows them. */
static void harm_all(struct harm *h, json_t *v) {
    const char *key;
    json_t *child;
    void *next;
    for (size_t i = 0; i < json_array_size(v); i++)
        harm_element(h, v, i);
    json_object_foreach_safe(v, next, key, child) {
        if (strcmp(key, "kind") != 0 && strcmp(key, "name") != 0 && strcmp(key, "metadata") != 0)
            harm_member(h, v, key);
    }
}

/* A `with` that is not well-formed: the message says what to do. */
static bool run_refused(const char *file, const json_t *c) {
    const struct ref_check_type *type = ref_check_type(js_str(c, "check", ""));
    struct err e = {""};
    bool ok = type && type->valid && type->valid(json_object_get(c, "with"), &e) == -EINVAL &&
              strstr(e.text, js_str(c, "want.refused", "?"));
    if (!ok)
        print_error("%s: \"%s\": not refused as it should be: %s\n", file, js_str(c, "name", "?"), e.text);
    return ok;
}

/* Which check the case was of, and what it wanted, is added to seen. */
static bool run_case(const char *file, const json_t *c, unsigned seen[TOLD]) {
    if (js_str(c, "want.refused", NULL))
        return run_refused(file, c);
    struct stage s;
    struct ref_outcome out = {0};
    struct err e;
    json_t *expectation = expectation_of(c);
    build(&s, c);
    struct ref_scope scope = {.r = &s.r, .live = &s.side};
    const struct ref_check_type *type = ref_check_type(js_str(c, "check", ""));
    bool ok = type != NULL;
    if (ok && type->valid && type->valid(json_object_get(c, "with"), &e) < 0) {
        print_error("%s: \"%s\": %s\n", file, js_str(c, "name", "?"), e.text);
        ok = false;
    }
    assert_int_equal(ref_check(&scope, expectation, &out), 0);
    if (!as_wanted(json_object_get(c, "want"), &out)) {
        explain(file, c, &out);
        ok = false;
    }
    struct harm h = {&scope, expectation};
    for (size_t i = 0; ok && i < json_array_size(s.normals); i++)
        harm_all(&h, json_array_get(s.normals, i));
    if (type)
        seen[type - ref_check_types] |= kind_of(json_object_get(c, "want"));
    ref_outcome_free(&out);
    json_decref(expectation);
    destroy(&s);
    return ok;
}

static size_t run_file(const char *path, unsigned seen[TOLD], size_t *ret_bad) {
    char *text = NULL;
    size_t len = 0;
    json_t *doc = NULL;
    struct err e;
    size_t i;
    const json_t *c;
    int r = conf_read_file(path, FILE_MAX, &text, &len, &e);
    if (r == 0)
        r = conf_yaml_to_json(path, text, len, &doc, &e);
    if (r < 0)
        fail_msg("%s", e.text);
    json_array_foreach(doc, i, c) *ret_bad += !run_case(strrchr(path, '/') + 1, c, seen);
    size_t n = json_array_size(doc);
    free(text);
    json_decref(doc);
    return n;
}

/* Every check is shown met, unmet and unknown. */
static void test_cases(void **state) {
    (void)state;
    unsigned seen[TOLD] = {0};
    size_t n = 0;
    size_t bad = 0;
    DIR *dir = opendir(TEST_SOURCE_DIR "/checks");
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        char path[1024];
        if (!strstr(d->d_name, ".yaml"))
            continue;
        (void)snprintf(path, sizeof path, "%s/checks/%s", TEST_SOURCE_DIR, d->d_name);
        n += run_file(path, seen, &bad);
    }
    (void)closedir(dir);
    for (const struct ref_check_type *t = ref_check_types; t->name; t++)
        if (seen[t - ref_check_types] != ALL) {
            print_error("%s: not shown%s%s%s\n", t->name, seen[t - ref_check_types] & MET ? "" : " met",
                        seen[t - ref_check_types] & UNMET ? "" : " unmet",
                        seen[t - ref_check_types] & UNKNOWN ? "" : " unknown");
            bad++;
        }
    print_message("%zu cases, %zu runs with hostile objects\n", n, harmed);
    assert_true(harmed > 5000);
    assert_int_equal(bad, 0);
}

/* docs/reference-checks.md has a section for each check, and names every key of its `with` there. */
static void test_documented(void **state) {
    (void)state;
    char *text = NULL;
    size_t len = 0;
    struct err e;
    assert_int_equal(
        conf_read_file(TEST_SOURCE_DIR "/../../../docs/reference-checks.md", FILE_MAX, &text, &len, &e), 0);
    for (const struct ref_check_type *t = ref_check_types; t->name; t++) {
        char title[64];
        (void)snprintf(title, sizeof title, "\n## %s\n", t->name);
        char *section = strstr(text, title);
        if (!section)
            fail_msg("no section for %s", t->name);
        char *end = strstr(section + 1, "\n## ");
        char kept = end ? *end : 0;
        if (end)
            *end = 0;
        for (const char *const *k = t->keys; *k; k++)
            if (!strstr(section, *k))
                fail_msg("%s: %s is not named", t->name, *k);
        if (end)
            *end = kept;
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_documented)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
