/* Tests of word (nearest words, globs), kinds, and of YAML with several documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/js.h"
#include "base/kinds.h"
#include "base/word.h"

static void the_nearest_word_is_named(void **state) {
    (void)state;
    static const char *const names[] = {"gates", "explain", "timeline", "ab", NULL};
    assert_string_equal(word_nearest("gate", names), "gates");
    assert_string_equal(word_nearest("explian", names), "explain");
    assert_null(word_nearest("nothing-like-it", names));
    assert_null(word_nearest("x", names)); /* every letter would be another one */
    char longest[200];
    memset(longest, 'g', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(word_nearest(longest, names));
    assert_true(word_distance(longest, "g") == SIZE_MAX);
    assert_int_equal(word_distance("kitten", "sitting"), 3);
}

static void globs(void **state) {
    (void)state;
    static const struct {
        const char *glob, *text;
        bool match;
    } cases[] = {
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"a*c", "abbc", true},
        {"a*c", "abbcd", false},
        {"*-engine", "a-b-engine", true},
        {"?", "", false},
        {"?b", "ab", true},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b*", "xxbxxaxx", false},
        {"Deployment/*", "Deployment/a/b", true},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"a", "a*", false},
        {"**", "x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (word_glob(cases[i].glob, cases[i].text) != cases[i].match)
            fail_msg("'%s' and '%s'", cases[i].glob, cases[i].text);
    /* Where recursion would take longer than the universe has been there. */
    char glob[129], text[20001];
    for (size_t i = 0; i < 64; i++)
        memcpy(glob + 2 * i, "*a", 2);
    glob[128] = 0;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_true(word_glob(glob, text));
    text[sizeof text - 2] = 'b';
    assert_false(word_glob(glob, text));
}

static void kinds_have_their_group(void **state) {
    (void)state;
    static const struct {
        const char *version, *kind, *name; /* NULL: refused */
    } cases[] = {
        {"v1", "Pod", "Pod"},
        {"apps/v1", "Deployment", "Deployment"},
        {"networking.k8s.io/v1", "Ingress", "Ingress"},
        {"extensions/v1beta1", "Ingress", "Ingress"},
        {"gateway.networking.k8s.io/v1", "HTTPRoute", "HTTPRoute.gateway.networking.k8s.io"},
        {"helm.toolkit.fluxcd.io/v2", "HelmRelease", "HelmRelease.helm.toolkit.fluxcd.io"},
        {"", "Pod", NULL},
        {"v1", "", NULL},
        {"/v1", "Pod", NULL},
        {"a/b/c", "Pod", NULL},
        {"v1", "Pod/x", NULL},
        {"a b/v1", "Pod", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[KINDS_NAME_MAX] = "untouched";
        int r = kinds_name(cases[i].version, cases[i].kind, name, sizeof name);
        assert_int_equal(r, cases[i].name ? 0 : -EINVAL);
        assert_string_equal(name, cases[i].name ? cases[i].name : "untouched");
    }
    char small[4];
    assert_int_equal(kinds_name("v1", "Service", small, sizeof small), -EINVAL);
    assert_true(kinds_cluster_scoped("ClusterRole"));
    assert_false(kinds_cluster_scoped("Role"));
}

/* ---- documents */

static int take(void *ctx, json_t *doc, size_t line, struct err *e) {
    struct buf *all = ctx;
    char *text = js_canonical(doc);
    (void)e;
    assert_int_equal(buf_addf(all, "%zu:%s ", line, text), 0);
    free(text);
    json_decref(doc);
    return 0;
}

static int read_all(const char *text, enum conf_yaml how, struct buf *all, struct err *e) {
    buf_clear(all);
    return conf_yaml_documents("t", text, strlen(text), CONF_YAML_TEXT_MAX, how, take, all, e);
}

/* Read as sigs.k8s.io/yaml reads: goyaml.v2/resolve.go, and the keys as convertToJSONableObject makes them.
 */
static void manifests_are_read_as_helm_reads_them(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"---\n# Source: a\n---\na: 1\n---\n---\nb: 2\n...\n---\n", "4:{\"a\":1} 7:{\"b\":2} "},
        {"[yes, No, ON, off, y, n, Y, true]", "1:[true,false,true,false,true,false,true,true] "},
        {"['yes', \"no\", !!str on]", "1:[\"yes\",\"no\",true] "},
        {"[010, 0o17, 0x1F, 0b11, -0x10, 1_000, +5, 089]", "1:[8,15,31,3,-16,1000,5,89] "},
        {"[1e3, .5, 1.50, 1.2.3, 12:30:45, 2001-01-01, -, 0x, 1a]",
         "1:[1000.0,0.5,1.5,\"1.2.3\",\"12:30:45\",\"2001-01-01\",\"-\",\"0x\",\"1a\"] "},
        {"on: 1\n8080: 2\n010: 3\n'yes': 4\n", "1:{\"8\":3,\"8080\":2,\"true\":1,\"yes\":4} "},
        {"a: 1\na: 2\n", "1:{\"a\":2} "},
        {"9223372036854775807", "1:9223372036854775807 "},
        {"{\"a\":\"\\ud83d\\ude00\",\n\t\"b\": [1]}", "1:{\"a\":\"\xf0\x9f\x98\x80\",\"b\":[1]} "},
        {"", ""},
    };
    struct buf all = BUF_INIT(1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e;
        if (read_all(cases[i].yaml, CONF_YAML_HELM, &all, &e) < 0)
            fail_msg("%s: %s", cases[i].yaml, e.text);
        assert_string_equal(buf_str(&all), cases[i].json);
    }
    buf_free(&all);
}

static void what_two_readers_read_otherwise_is_refused(void **state) {
    (void)state;
    static const char *const traps[] = {"yes", "Off", "n", "Y", "0777", "089", "-07", "1_000", "0b11"};
    static const char *const fine[] = {"true",      "0",     "10", "0x1F", "0.5", "'yes'",
                                       "yesterday", "1.2_3", "_",  "-",    "0.07"};
    struct buf all = BUF_INIT(1 << 20);
    struct err e;
    for (size_t i = 0; i < sizeof traps / sizeof *traps; i++)
        if (read_all(traps[i], CONF_YAML_CLEAR, &all, &e) != -EINVAL ||
            !strstr(e.text, "means one thing to Helm"))
            fail_msg("%s is taken", traps[i]);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (read_all(fine[i], CONF_YAML_CLEAR, &all, &e) < 0)
            fail_msg("%s: %s", fine[i], e.text);
    assert_int_equal(read_all("a: 1\n---\nb: 2\n", CONF_YAML_CLEAR, &all, &e), -EINVAL);
    assert_int_equal(read_all("a: 1\na: 2\n", CONF_YAML_CLEAR, &all, &e), -EINVAL);
    assert_int_equal(read_all("a: &x 1\nb: *x\n", CONF_YAML_HELM, &all, &e), -EINVAL);
    buf_free(&all);
}

static void many_documents_are_bounded(void **state) {
    (void)state;
    struct buf all = BUF_INIT(1 << 20);
    struct err e;
    assert_int_equal(conf_yaml_documents("t", "a: 12345\n", 9, 5, CONF_YAML_HELM, take, &all, &e), -EINVAL);
    assert_string_equal(e.text, "t: longer than 5 bytes");
    size_t n = 4200001;
    char *text = malloc(n + 1);
    for (size_t i = 1; i < n; i += 2)
        memcpy(text + i, "1,", 2);
    text[0] = '[';
    text[n] = 0;
    assert_int_equal(read_all(text, CONF_YAML_HELM, &all, &e), -EINVAL);
    if (!strstr(e.text, "too many values"))
        fail_msg("%s", e.text);
    free(text);
    for (size_t depth = CONF_YAML_DEPTH; depth <= CONF_YAML_DEPTH + 1; depth++) {
        char nested[4 * CONF_YAML_DEPTH] = "";
        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        assert_int_equal(read_all(nested, CONF_YAML_HELM, &all, &e), depth > CONF_YAML_DEPTH ? -EINVAL : 0);
    }
    buf_free(&all);
}

static void places_are_found(void **state) {
    (void)state;
    static const char text[] = "# head\na:\n- b: 1\n  c/d: {e: 2}\n- x\n";
    static const struct {
        const char *pointer;
        size_t line, column;
    } cases[] = {
        {"", 2, 1},     {"/a", 2, 1},   {"/a/0", 3, 3},      {"/a/0/c~1d", 4, 3}, {"/a/0/c~1d/e", 4, 9},
        {"/a/1", 5, 3}, {"/a/7", 2, 1}, {"/a/0/none", 3, 3}, {"/z", 2, 1},        {"nonsense", 2, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t line = 0, column = 0;
        assert_true(conf_yaml_place(text, strlen(text), cases[i].pointer, &line, &column));
        if (line != cases[i].line || column != cases[i].column)
            fail_msg("%s is at %zu:%zu", cases[i].pointer, line, column);
    }
    size_t line, column;
    assert_false(conf_yaml_place("a: [", 4, "/a", &line, &column));
    assert_false(conf_yaml_place("", 0, "/a", &line, &column));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_word_is_named),
        cmocka_unit_test(globs),
        cmocka_unit_test(kinds_have_their_group),
        cmocka_unit_test(manifests_are_read_as_helm_reads_them),
        cmocka_unit_test(what_two_readers_read_otherwise_is_refused),
        cmocka_unit_test(many_documents_are_bounded),
        cmocka_unit_test(places_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
