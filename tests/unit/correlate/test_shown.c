/* Changes as a person sees them: one line each in any width, one in full with what it changed, and nothing of
 * it that a terminal would obey. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "gates/gates.h"
#include "report/report.h"
#include "told.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define RELEASE(n, version)               \
    "{\"name\":\"shop\",\"revision\":" #n \
    ",\"status\":\"deployed\",\"chart\":{\"name\":\"shop\",\"version\":\"" version "\"}}"
#define IMAGE(i) \
    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"gateway\",\"image\":\"" i "\"}]}}}}"

static void object(struct scenario *s, int op, double t, const char *kind, const char *name,
                   const char *version, const char *normal) {
    told_add(s, &(struct tell){.op = op,
                               .t = t,
                               .kind = kind,
                               .name = name,
                               .uid = name,
                               .version = version,
                               .digest = version,
                               .normal = normal});
}

/* A release, an image, a Secret, a file, and a ConfigMap that came back to what it was. */
static json_t *play(struct scenario *s) {
    json_t *list;
    struct err e;
    scenario_begin(s, "{}");
    scenario_clock(s, scenario_agent(s, "n1"), 1, 0, 0.001);
    told_add(s, &(struct tell){.op = LISTED,
                               .t = 5,
                               .kind = "HelmRelease",
                               .name = "shop.v1",
                               .uid = "r1",
                               .version = "1",
                               .digest = "r1",
                               .normal = RELEASE(1, "1.0"),
                               .created = 2});
    object(s, LISTED, 5, "Deployment", "gateway", "5", IMAGE("g:1"));
    object(s, LISTED, 5, "Secret", "token", "6", "{\"data\":{\"t\":\"keyed:0" HASH "\"}}");
    object(s, LISTED, 5, "ConfigMap", "files", "7", "{\"data\":{\"c.yaml\":\"a: 1\\nb: 2\\n\"}}");
    object(s, LISTED, 5, "ConfigMap", "back", "8", "{\"data\":{\"a\":\"1\"}}");
    told_add(s, &(struct tell){.op = ADDED,
                               .t = 100.2,
                               .kind = "HelmRelease",
                               .name = "shop.v2",
                               .uid = "r2",
                               .version = "10",
                               .digest = "r2",
                               .normal = RELEASE(2, "1.1"),
                               .created = 100});
    object(s, MODIFIED, 101, "Deployment", "gateway", "11", IMAGE("g:2\\u001b[31m"));
    object(s, MODIFIED, 101, "Secret", "token", "12", "{\"data\":{\"t\":\"keyed:f" HASH "\"}}");
    object(s, MODIFIED, 102, "ConfigMap", "files", "13", "{\"data\":{\"c.yaml\":\"a: 1\\nb: 3\\n\"}}");
    object(s, MODIFIED, 102, "ConfigMap", "back", "14", "{\"data\":{\"a\":\"2\"}}");
    told_add(s, &(struct tell){.op = MODIFIED,
                               .t = 103,
                               .kind = "ConfigMap",
                               .name = "back",
                               .uid = "back",
                               .version = "15",
                               .digest = "8",
                               .normal = "{\"data\":{\"a\":\"1\"}}"});
    object(s, MODIFIED, 900, "ConfigMap", "files", "16", "{\"data\":{\"c.yaml\":\"a: 1\\n\"}}");
    (void)told_facts(s);
    s->c.at_ns = told_ns(2000);
    assert_int_equal(facts_exposure(&s->c.stages[0], &s->c.rubric, s->c.at_ns, &e), 0);
    assert_int_equal(gates_changes(&s->c, NULL, &list, &e), 0);
    assert_int_equal(gates_details(&s->c, list, NULL, &e), 0);
    return list;
}

static char *shown(const json_t *list, const char *id, unsigned width, int markdown) {
    char *text = NULL;
    size_t len = 0;
    struct report r = {.to = open_memstream(&text, &len), .width = width};
    if (markdown)
        assert_true(report_changes_markdown(&r, list, id));
    else
        assert_true(report_changes(&r, list, id));
    assert_int_equal(fclose(r.to), 0);
    return text;
}

static const json_t *difference(const json_t *change, const char *name) {
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(change, "differences"), i, o) {
        if (strcmp(js_str(o, "object", ""), name) == 0)
            return o;
    }
    return NULL;
}

static void what_it_changed(void **state) {
    (void)state;
    struct scenario s;
    json_t *list = play(&s);
    assert_int_equal(json_array_size(list), 2);
    const json_t *c = json_array_get(list, 0);
    assert_string_equal(js_str(c, "id", ""), "shop.v2");
    const json_t *o = difference(c, "HelmRelease/shop.v2");
    assert_string_equal(js_str(o, "items.0.pointer", ""), "/chart/version");
    assert_string_equal(js_str(o, "items.0.before", ""), "1.0");
    assert_string_equal(js_str(o, "items.0.after", ""), "1.1");
    o = difference(c, "Deployment/gateway");
    assert_string_equal(js_str(o, "items.0.pointer", ""), "/spec/template/spec/containers/0/image");
    assert_string_equal(js_str(o, "items.0.where", ""), "gateway");
    o = difference(c, "Secret/token");
    assert_true(js_bool(o, "items.0.secret", false));
    o = difference(c, "ConfigMap/files");
    assert_string_equal(js_str(o, "items.0.lines_after", ""), "2");
    o = difference(c, "ConfigMap/back");
    assert_string_equal(js_str(o, "what", ""), "changed and came back");
    assert_int_equal(json_array_size(json_object_get(o, "items")), 0);
    char *text = json_dumps(list, 0);
    assert_null(strstr(text, HASH));
    free(text);
    json_decref(list);
    scenario_end(&s);
}

static void longest_line(const char *text, size_t *ret) {
    *ret = 0;
    while (*text) {
        size_t n = strcspn(text, "\n");
        *ret = n > *ret ? n : *ret;
        text += n + (text[n] == '\n');
    }
}

/* In every width that a terminal has the table is one line a change, and no longer than it. */
static void one_line_a_change(void **state) {
    (void)state;
    struct scenario s;
    json_t *list = play(&s);
    for (unsigned width = 78; width <= 200; width++) {
        char *text = shown(list, NULL, width, 0);
        size_t longest;
        size_t lines = 0;
        longest_line(text, &longest);
        for (const char *p = text; *p; p++)
            lines += *p == '\n';
        assert_int_equal(lines, 5); /* an empty one, the stage, the heading */
        assert_true(longest <= width);
        assert_non_null(strstr(text, "shop.v2"));
        free(text);
    }
    char *text = shown(list, NULL, 0, 0);
    assert_non_null(strstr(text, "release, 4 objects"));
    assert_non_null(strstr(text, "REASON"));
    free(text);
    json_decref(list);
    scenario_end(&s);
}

static void one_in_full(void **state) {
    (void)state;
    struct scenario s;
    json_t *list = play(&s);
    char *text = shown(list, "shop.v2", 100, 0);
    assert_non_null(strstr(
        text,
        "      /spec/template/spec/containers/0/image  (gateway)\n        - g:1\n        + g:2?[31m\n"));
    assert_non_null(strstr(text, "      /data/t\n        changed; agents tell a keyed hash of it alone\n"));
    assert_non_null(strstr(text, "      /data/c.yaml  line 2\n        - b: 2\n        + b: 3\n"));
    assert_non_null(strstr(text, "told by node n1 (watch)"));
    assert_null(strstr(text, "\033"));
    free(text);
    text = shown(list, "shop.v2", 0, 1);
    assert_non_null(strstr(text, "| ConfigMap/files | /data/c.yaml | b: 2 | b: 3 |\n"));
    free(text);
    json_decref(list);
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_changed),
        cmocka_unit_test(one_line_a_change),
        cmocka_unit_test(one_in_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
