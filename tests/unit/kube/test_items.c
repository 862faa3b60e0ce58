/* Tests of the list scanner: elements and metadata in any order and any pieces, what is too long, what is no
 * list; and of what is read of a text that cannot be parsed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "kube/items.h"

struct seen {
    char text[512];
    int n, stop_at;
    size_t longest;
    bool cut;
};

static int add(void *ctx, char *text, size_t len, bool whole, struct err *e) {
    struct seen *s = ctx;
    assert_int_equal(strlen(text), len);
    if (s->n < 16 && strlen(s->text) + len + 2 < sizeof s->text)
        strcat(strcat(s->text, text), "|");
    s->longest = len > s->longest ? len : s->longest;
    s->cut |= !whole;
    return ++s->n == s->stop_at ? err_set(e, -ECANCELED, "enough") : 0;
}

/* Feeds in pieces of that size; the result, with what was seen and whether it is complete. */
static int feed(const char *text, size_t len, size_t piece, struct seen *s, char *meta, bool *complete) {
    struct kube_items l;
    struct err e;
    int r = 0;
    kube_items_init(&l, add, s);
    for (size_t at = 0; at < len && r == 0; at += piece)
        r = kube_items_feed(&l, text + at, len - at < piece ? len - at : piece, &e);
    if (meta)
        (void)snprintf(meta, 128, "%s", buf_str(&l.meta));
    *complete = r == 0 && kube_items_complete(&l);
    kube_items_free(&l);
    return r;
}

static void gives(const char *text, const char *elements, const char *wanted_meta) {
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct seen s = {.n = 0};
        char meta[128];
        bool complete;
        assert_int_equal(feed(text, strlen(text), piece, &s, meta, &complete), 0);
        assert_true(complete);
        assert_string_equal(s.text, elements);
        assert_string_equal(meta, wanted_meta);
        assert_false(s.cut);
    }
}

static void test_elements_and_metadata(void **state) {
    (void)state;
    gives("{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":1},{\"b\":[{}]}]}"
          "\n",
          "{\"a\":1}|{\"b\":[{}]}|", "{\"resourceVersion\":\"7\"}");
    gives(" { \"items\" : [ {\"a\" : \"],}\"} , {\"b\":\"\\\"]\\\\\"} ] , \"metadata\" : "
          "{\"continue\":\"}\"} } ",
          "{\"a\" : \"],}\"}|{\"b\":\"\\\"]\\\\\"}|", "{\"continue\":\"}\"}");
    gives("{\"items\":[],\"metadata\":{}}", "", "{}");
    gives("{\"items\":null,\"metadata\":{}}", "", "{}");
    gives("{\"items\":[1, true,\"x\",null,-2.5e3]}", "1|true|\"x\"|null|-2.5e3|", "");
    gives("{\"other\":[{\"items\":[1]}],\"n\":12,\"items\":[{}]}", "{}|", "");
    gives("{\"a-key-that-is-longer-than-any\":{\"items\":[5]},\"items\":[{}]}", "{}|", "");
}

static void refused(const char *text) {
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct seen s = {.n = 0};
        bool complete;
        int r = feed(text, strlen(text), piece, &s, NULL, &complete);
        if (r != -EBADMSG)
            fail_msg("%s gives %d", text, r);
    }
}

static void test_what_is_no_list_is_refused(void **state) {
    (void)state;
    refused("<html>");
    refused("[{}]");
    refused("{\"items\":\"none\"}");
    refused("{\"items\":{}}");
    refused("{\"items\":[{},]}");
    refused("{\"items\":[,]}");
    refused("{\"items\":[{} {}]}");
    refused("{\"items\":[],\"items\":[]}");
    refused("{\"metadata\":{},\"metadata\":{},\"items\":[]}");
    refused("{\"items\":[]}x");
    refused("{\"items\":[]},");
    refused("{\"items\":[],}");
    refused("{\"items\" []}");
    refused("{\"kind\":,\"items\":[]}");
    refused("{items:[]}");
}

/* A document that was cut, or has no items, is not complete: nothing may be said to be gone by it. */
static void test_what_is_cut_is_not_complete(void **state) {
    (void)state;
    static const char text[] = "{\"metadata\":{},\"items\":[{\"a\":1}]}";
    struct seen s = {.n = 0};
    bool complete;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        s = (struct seen){.n = 0};
        assert_int_equal(feed(text, n, 5, &s, NULL, &complete), 0);
        assert_false(complete);
    }
    assert_int_equal(feed("{\"metadata\":{}}", 15, 15, &s, NULL, &complete), 0);
    assert_false(complete);
}

/* An element that is too long is handed over cut, and the next ones whole. */
static void test_long_elements_are_cut(void **state) {
    (void)state;
    size_t len = KUBE_OBJECT_MAX + 100;
    char *text = malloc(len + 64);
    struct seen s = {.n = 0};
    bool complete;
    int n = sprintf(text, "{\"items\":[{\"a\":1},\"");
    memset(text + n, '{', len);
    strcpy(text + n + len, "\",{\"b\":2}]}");
    assert_int_equal(feed(text, strlen(text), 65536, &s, NULL, &complete), 0);
    assert_true(complete);
    assert_true(s.cut);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.longest, KUBE_OBJECT_MAX);
    free(text);
}

static void test_metadata_is_bounded(void **state) {
    (void)state;
    char *text = malloc(KUBE_META_MAX + 64);
    struct seen s = {.n = 0};
    bool complete;
    int n = sprintf(text, "{\"metadata\":\"");
    memset(text + n, 'x', KUBE_META_MAX);
    strcpy(text + n + KUBE_META_MAX, "\",\"items\":[]}");
    assert_int_equal(feed(text, strlen(text), 1000, &s, NULL, &complete), -EBADMSG);
    free(text);
}

static void test_callback_ends_the_feeding(void **state) {
    (void)state;
    struct seen s = {.stop_at = 2};
    bool complete;
    assert_int_equal(feed("{\"items\":[1,2,3]}", 17, 17, &s, NULL, &complete), -ECANCELED);
    assert_string_equal(s.text, "1|2|");
}

/* Never fewer than there are: the bound on memory stands on it. */
static size_t values_of(const json_t *v) {
    const char *key;
    json_t *each;
    size_t i;
    size_t n = 1;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, each) n += values_of(each);
    }
    json_array_foreach(v, i, each) {
        n += values_of(each);
    }
    return n;
}

static void test_values_are_counted(void **state) {
    (void)state;
    static const char *const texts[] = {
        "1", "{}", "[]", "[1,2,3]", "{\"a\":{\"b\":[{},{},\"x,{[:\"]},\"c\":\"\\\",,,\"}", "[[[[[]]]]]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *doc = NULL;
        assert_int_equal(js_parse(texts[i], strlen(texts[i]), 1024, &doc, NULL), 0);
        size_t counted = kube_items_nodes(texts[i], strlen(texts[i]));
        assert_true(counted >= values_of(doc));
        assert_true(counted <= 2 * values_of(doc) + 1);
        json_decref(doc);
    }
    assert_int_equal(kube_items_nodes("\"{,[:\\\",,\"", 10), 1);
}

static void peeks(const char *text, bool event, const char *wanted) {
    struct kube_peek p;
    char got[1200];
    kube_items_peek(text, strlen(text), event, &p);
    (void)snprintf(got, sizeof got, "%s %s %s %s", p.type, p.name, p.uid, p.rv);
    assert_string_equal(got, wanted);
}

static void test_identity_of_a_cut_text(void **state) {
    (void)state;
    peeks("{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"7\"},\"data\":{\"x\":\"yyyy",
          false, " a u 7");
    peeks("{\"metadata\":{\"annotations\":{\"name\":\"not\"},\"ownerReferences\":[{\"name\":\"nor\",\"uid\":"
          "\"o\"}],"
          "\"name\":\"a\"},\"spec\":{\"metadata\":{\"uid\":\"t\"}}",
          false, " a  ");
    peeks("{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"uid\":\"u\"",
          true, "MODIFIED p u ");
    peeks("{\"object\":{\"type\":\"Opaque\",\"metadata\":{\"name\":\"p\"}},\"type\":\"DELETED\"}", true,
          "DELETED p  ");
    peeks("{\"type\":\"ADDED\",\"other\":{\"metadata\":{\"name\":\"p\"}}}", true, "ADDED   ");
    peeks("{\"metadata\":{\"name\":\"a\\u0062\",\"uid\":\"u\"}}", false, "  u ");
    peeks("{\"metadata\":{\"name\":\"cut", false, "   ");
    peeks("{\"metadata\":[\"name\",\"a\"]}", false, "   ");
    peeks("{\"metadata\":{\"name\":\"first\",\"name\":\"second\"}}", false, " first  ");
    peeks("}}}]]]{\"metadata\":{\"name\":\"a\"}}", false, " a  ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_and_metadata),       cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_what_is_cut_is_not_complete), cmocka_unit_test(test_long_elements_are_cut),
        cmocka_unit_test(test_metadata_is_bounded),         cmocka_unit_test(test_callback_ends_the_feeding),
        cmocka_unit_test(test_values_are_counted),          cmocka_unit_test(test_identity_of_a_cut_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
