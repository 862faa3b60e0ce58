/* What a change of an object changed, as a table: two normal forms, and what a person must read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "correlate/differences.h"

#define HASH_1 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASH_2 "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CONTAINERS(x) "{\"spec\":{\"template\":{\"spec\":{\"containers\":[" x "]}}}}"

static Pilotgate__Object object(const char *kind, const char *normal) {
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.kind = (char *)kind;
    o.normal = (char *)normal;
    return o;
}

/* One line a difference: "POINTER [WHERE] BEFORE -> AFTER (lines)". */
static void write_item(FILE *to, const struct difference *d) {
    (void)fprintf(to, "%s", d->pointer);
    if (*d->where)
        (void)fprintf(to, " [%s]", d->where);
    (void)fprintf(to, " %s -> %s", d->before ? d->before : "nothing", d->after ? d->after : "nothing");
    if (d->line_from || d->after_from)
        (void)fprintf(to, " (lines %u-%u, then %u-%u)", d->line_from, d->line_to, d->after_from, d->after_to);
    (void)fputc('\n', to);
}

static char *differ(const Pilotgate__Object *a, const Pilotgate__Object *b) {
    struct differences d;
    struct err e;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(diff_objects(a, b, &d, &e), 0);
    FILE *to = open_memstream(&text, &len);
    if (d.unknown)
        (void)fprintf(to, "not known: %s\n", d.unknown);
    for (size_t i = 0; i < d.n; i++)
        write_item(to, &d.items[i]);
    if (d.more)
        (void)fprintf(to, "and %llu more\n", (unsigned long long)d.more);
    assert_int_equal(fclose(to), 0);
    diff_free(&d);
    return text;
}

static const struct {
    const char *what, *kind, *before, *after, *expected;
} cases[] = {
    {"equal", "Service", "{\"a\":[1,{\"b\":2}]}", "{\"a\":[1,{\"b\":2}]}", ""},
    {"a value", "Deployment", "{\"spec\":{\"replicas\":1}}", "{\"spec\":{\"replicas\":2}}",
     "/spec/replicas 1 -> 2\n"},
    {"a key that came and one that went", "ConfigMap", "{\"data\":{\"a\":\"x\",\"b\":\"y\"}}",
     "{\"data\":{\"b\":\"y\",\"c\":\"z\"}}", "/data/a x -> nothing\n/data/c nothing -> z\n"},
    {"keys that need escaping", "Service", "{\"metadata\":{\"annotations\":{\"a.b/c~d\":\"1\"}}}",
     "{\"metadata\":{\"annotations\":{\"a.b/c~d\":\"2\"}}}", "/metadata/annotations/a.b~1c~0d 1 -> 2\n"},
    {"containers by name, whatever their place", "Deployment",
     CONTAINERS("{\"name\":\"gateway\",\"image\":\"g:1\"},{\"name\":\"side\",\"image\":\"s:1\"}"),
     CONTAINERS("{\"name\":\"side\",\"image\":\"s:1\"},{\"name\":\"gateway\",\"image\":\"g:2\"}"),
     "/spec/template/spec/containers/1/image [gateway] g:1 -> g:2\n"},
    {"a container that went has its old place", "Deployment",
     CONTAINERS("{\"name\":\"a\"},{\"name\":\"side\"},{\"name\":\"c\"}"),
     CONTAINERS("{\"name\":\"a\"},{\"name\":\"c\"}"),
     "/spec/template/spec/containers/1 [side] {\"name\":\"side\"} -> nothing\n"},
    {"environment inside a container", "Deployment",
     CONTAINERS("{\"name\":\"g\",\"env\":[{\"name\":\"LOG\",\"value\":\"info\"}]}"),
     CONTAINERS("{\"name\":\"g\",\"env\":[{\"name\":\"NEW\",\"value\":\"1\"},{\"name\":\"LOG\",\"value\":"
                "\"debug\"}]}"),
     "/spec/template/spec/containers/0/env/1/value [g LOG] info -> debug\n"
     "/spec/template/spec/containers/0/env/0 [g NEW] nothing -> {\"name\":\"NEW\",\"value\":\"1\"}\n"},
    {"a container's ports by number and protocol", "Deployment",
     CONTAINERS(
         "{\"name\":\"g\",\"ports\":[{\"containerPort\":53,\"protocol\":\"TCP\"},{\"containerPort\":53,"
         "\"protocol\":\"UDP\",\"name\":\"dns\"}]}"),
     CONTAINERS("{\"name\":\"g\",\"ports\":[{\"containerPort\":53,\"protocol\":\"UDP\",\"name\":\"named\"},{"
                "\"containerPort\":53,\"protocol\":\"TCP\"}]}"),
     "/spec/template/spec/containers/0/ports/0/name [g 53/UDP] dns -> named\n"},
    {"a Service's ports by port", "Service",
     "{\"spec\":{\"ports\":[{\"port\":80,\"targetPort\":8080},{\"port\":443,\"targetPort\":8443}]}}",
     "{\"spec\":{\"ports\":[{\"port\":443,\"targetPort\":9443},{\"port\":80,\"targetPort\":8080}]}}",
     "/spec/ports/0/targetPort [443] 8443 -> 9443\n"},
    {"mounts by path, and two mounts of one volume", "Deployment",
     CONTAINERS("{\"name\":\"g\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/"
                "a\"},{\"name\":\"v\",\"mountPath\":"
                "\"/b\"}]}"),
     CONTAINERS("{\"name\":\"g\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/"
                "b\",\"readOnly\":true},{\"name\":"
                "\"v\",\"mountPath\":\"/a\"}]}"),
     "/spec/template/spec/containers/0/volumeMounts/0/readOnly [g /b] nothing -> true\n"},
    {"tolerations by key and effect", "Deployment",
     "{\"tolerations\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"},{\"operator\":\"Exists\"}]}",
     "{\"tolerations\":[{\"operator\":\"Exists\"},{\"key\":\"b\",\"effect\":\"NoSchedule\"}]}",
     "/tolerations/0 [a/NoSchedule] {\"effect\":\"NoSchedule\",\"key\":\"a\"} -> nothing\n"
     "/tolerations/1 [b/NoSchedule] nothing -> {\"effect\":\"NoSchedule\",\"key\":\"b\"}\n"},
    {"two elements of one key are compared by place", "Service",
     "{\"ports\":[{\"port\":80,\"x\":1},{\"port\":80,\"x\":2}]}",
     "{\"ports\":[{\"port\":80,\"x\":1},{\"port\":80,\"x\":3}]}", "/ports/1/x 2 -> 3\n"},
    {"arguments by place, without what stands around", "Deployment",
     CONTAINERS("{\"name\":\"g\",\"args\":[\"run\",\"--a\",\"--z\"]}"),
     CONTAINERS("{\"name\":\"g\",\"args\":[\"run\",\"--a\",\"--b\",\"--z\"]}"),
     "/spec/template/spec/containers/0/args/2 [g] nothing -> --b\n"},
    {"tools as a set", "ToolCatalogue", "{\"tools\":[\"echo\",\"hold\"]}",
     "{\"tools\":[\"echo\",\"add\",\"hold\"]}", "/tools/1 [add] nothing -> add\n"},
    {"a product's own things by name", "ProductConfiguration",
     "{\"routes\":[{\"id\":\"r1\",\"to\":\"a\"},{\"id\":\"r2\",\"to\":\"b\"}]}",
     "{\"routes\":[{\"id\":\"r2\",\"to\":\"c\"},{\"id\":\"r1\",\"to\":\"a\"}]}",
     "/routes/0/to [r2] b -> c\n"},
    {"another type", "ConfigMap", "{\"a\":{\"b\":1}}", "{\"a\":[1]}", "/a {\"b\":1} -> [1]\n"},
    {"null is not nothing", "ConfigMap", "{\"a\":null}", "{}", "/a null -> nothing\n"},
    {"a file: which lines", "ConfigMap", "{\"data\":{\"config.yaml\":\"a: 1\\nb: 2\\nc: 3\\nd: 4\\n\"}}",
     "{\"data\":{\"config.yaml\":\"a: 1\\nb: 9\\nc: 8\\nnew: 1\\nd: 4\\n\"}}",
     "/data/config.yaml b: 2\nc: 3 -> b: 9\nc: 8\nnew: 1 (lines 2-3, then 2-4)\n"},
    {"a file: lines that came", "ConfigMap", "{\"f\":\"a\\nb\\n\"}", "{\"f\":\"a\\nx\\nb\\n\"}",
     "/f nothing -> x (lines 0-0, then 2-2)\n"},
    {"a file: lines that went at the end", "ConfigMap", "{\"f\":\"a\\nb\\nc\"}", "{\"f\":\"a\\n\"}",
     "/f b\nc -> nothing (lines 2-3, then 0-0)\n"},
    {"a file: one line of several alike", "ConfigMap", "{\"f\":\"a\\na\\na\\n\"}", "{\"f\":\"a\\na\\n\"}",
     "/f a -> nothing (lines 3-3, then 0-0)\n"},
    {"a secret is changed and its hash is not shown", "Secret", "{\"data\":{\"token\":\"keyed:" HASH_1 "\"}}",
     "{\"data\":{\"token\":\"keyed:" HASH_2 "\"}}", "/data/token (secret) -> (secret, changed)\n"},
    {"a secret that came, inside an object", "Secret", "{}", "{\"data\":{\"a\":\"keyed:" HASH_1 "\"}}",
     "/data nothing -> {\"a\":\"(secret)\"}\n"},
    {"a secret in an argument", "Deployment", "{\"args\":[\"--token=keyed:" HASH_1 "\"]}",
     "{\"args\":[\"--token=keyed:" HASH_2 "\"]}", "/args/0 --token=(secret) -> (secret, changed)\n"},
    {"what only looks like one stays", "ConfigMap", "{\"a\":\"keyed:short\"}", "{\"a\":\"keyed:\"}",
     "/a keyed:short -> keyed:\n"},
    {"a release: what Helm counts by itself is left out", "HelmRelease",
     "{\"revision\":1,\"status\":\"superseded\",\"chart\":{\"version\":\"1.0\"},\"manifest_digest\":\"" HASH_1
     "\",\"objects\":[{\"kind\":\"Service\",\"name\":\"g\",\"digest\":\"" HASH_1 "\"}]}",
     "{\"revision\":2,\"status\":\"deployed\",\"chart\":{\"version\":\"1.1\"},\"manifest_digest\":\"" HASH_2
     "\",\"objects\":[{\"kind\":\"Service\",\"name\":\"g\",\"digest\":\"" HASH_2
     "\"},{\"kind\":\"Job\",\"name\":\"j\",\"digest\":\"" HASH_1 "\"}]}",
     "/chart/version 1.0 -> 1.1\n/manifest_digest (secret) -> (secret, changed)\n"
     "/objects/0/digest [Service/g] (secret) -> (secret, changed)\n"
     "/objects/1 [Job/j] nothing -> {\"digest\":\"(secret)\",\"kind\":\"Job\",\"name\":\"j\"}\n"},
    {"no text", "Service", "", "{}", "not known: the text of the object was not told\n"},
    {"no JSON", "Service", "{\"a\"", "{}", "not known: the text of the object cannot be read\n"},
};

static void each_case(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Pilotgate__Object a = object(cases[i].kind, cases[i].before);
        Pilotgate__Object b = object(cases[i].kind, cases[i].after);
        char *text = differ(&a, &b);
        if (strcmp(text, cases[i].expected) != 0)
            fail_msg("%s: wanted\n%sgot\n%s", cases[i].what, cases[i].expected, text);
        free(text);
    }
}

static void what_was_cut_is_not_known(void **state) {
    (void)state;
    Pilotgate__Object a = object("ConfigMap", "{\"a\":1}");
    Pilotgate__Object b = object("ConfigMap", "{\"a\":2");
    b.truncated = 1;
    char *text = differ(&a, &b);
    assert_string_equal(text, "not known: the object was too large to be kept whole\n");
    free(text);
}

/* Long values show the place where they part, and their number is bounded. */
static void values_and_their_number_are_bounded(void **state) {
    (void)state;
    char before[4000];
    char after[4000];
    char fill[1001];
    memset(fill, 'x', 1000);
    fill[1000] = 0;
    (void)snprintf(before, sizeof before, "{\"a\":\"%sA%s\"}", fill, fill);
    (void)snprintf(after, sizeof after, "{\"a\":\"%sB%s\"}", fill, fill);
    Pilotgate__Object a = object("ConfigMap", before);
    Pilotgate__Object b = object("ConfigMap", after);
    struct differences d;
    struct err e;
    assert_int_equal(diff_objects(&a, &b, &d, &e), 0);
    assert_int_equal(d.n, 1);
    assert_true(strlen(d.items[0].before) <= DIFF_VALUE_MAX + 6 && strchr(d.items[0].before, 'A'));
    assert_true(strlen(d.items[0].after) <= DIFF_VALUE_MAX + 6 && strchr(d.items[0].after, 'B'));
    assert_memory_equal(d.items[0].before, "...xxx", 6);
    diff_free(&d);

    char *many = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&many, &len);
    (void)fputs("{\"data\":{", to);
    for (int i = 0; i < DIFF_ITEMS_MAX + 7; i++)
        (void)fprintf(to, "%s\"k%d\":\"v\"", i ? "," : "", i);
    (void)fputs("}}", to);
    assert_int_equal(fclose(to), 0);
    a = object("ConfigMap", "{\"data\":{}}");
    b = object("ConfigMap", many);
    assert_int_equal(diff_objects(&a, &b, &d, &e), 0);
    assert_int_equal(d.n, DIFF_ITEMS_MAX);
    assert_int_equal(d.more, 7);
    diff_free(&d);
    free(many);
}

/* Deeper than any object is, and with names longer than any pointer: bounded, and no overrun. */
static void hostile_depth_and_names(void **state) {
    (void)state;
    char *texts[2];
    for (int k = 0; k < 2; k++) {
        size_t len = 0;
        FILE *to = open_memstream(&texts[k], &len);
        for (int i = 0; i < 300; i++)
            (void)fprintf(to, "{\"%0*d\":[", i % 3 ? 1 : 150, i);
        (void)fprintf(to, "%d", k);
        for (int i = 0; i < 300; i++)
            (void)fputs("]}", to);
        assert_int_equal(fclose(to), 0);
    }
    Pilotgate__Object a = object("ConfigMap", texts[0]);
    Pilotgate__Object b = object("ConfigMap", texts[1]);
    struct differences d;
    struct err e;
    assert_int_equal(diff_objects(&a, &b, &d, &e), 0);
    assert_int_equal(d.n, 1);
    diff_free(&d);
    free(texts[0]);
    free(texts[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case),
        cmocka_unit_test(what_was_cut_is_not_known),
        cmocka_unit_test(values_and_their_number_are_bounded),
        cmocka_unit_test(hostile_depth_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
