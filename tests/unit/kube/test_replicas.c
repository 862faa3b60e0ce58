/* Tests of what an Endpoints object says of a Service's replicas: ports, readiness, bounds, rubbish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "kube/kube_priv.h"

#define A(pod, ip) "{'ip':'" ip "','targetRef':{'kind':'Pod','name':'" pod "'}}"
#define TWO \
    "'ports':[{'name':'web','port':80},{'name':'admin','port':9000},{'name':'u','port':1,'protocol':'UDP'}]"
#define ONE "'ports':[{'port':80}]"

static struct replica list[REPLICAS_MAX];
static struct replicas seen;
static char reason[KUBE_REASON_MAX];

/* Quotes are written ' to keep the cases readable. */
static bool look(const char *wanted, const char *text) {
    char json[4096];
    json_t *doc = NULL;
    struct err e;
    (void)snprintf(json, sizeof json, "%s", text);
    for (char *p = json; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (js_parse(json, strlen(json), sizeof json, &doc, &e) < 0)
        fail_msg("%s", e.text);
    bool ok = kube_replicas_read(wanted, doc, list, &seen, reason);
    json_decref(doc);
    return ok;
}

static void test_ports(void **state) {
    (void)state;
    static const char two[] = "{'subsets':[{" TWO ",'addresses':[" A("gw-1", "10.0.0.1") "]}]}";
    assert_false(look("gw", two));
    assert_non_null(strstr(reason, "several ports"));
    assert_true(look("gw:admin", two));
    assert_int_equal(seen.n, 1);
    assert_int_equal(list[0].port, 9000);
    assert_true(look("gw:8443", two));
    assert_int_equal(list[0].port, 8443);
    assert_true(look("gw:other", two));
    assert_int_equal(seen.n, 0);
    assert_true(look("gw:u", two)); /* not TCP */
    assert_int_equal(seen.n, 0);
    assert_true(look("gw", "{'subsets':[{" ONE ",'addresses':[" A("gw-1", "10.0.0.1") "]}]}"));
    assert_int_equal(list[0].port, 80);
}

static void test_readiness_and_order(void **state) {
    (void)state;
    assert_true(look("gw",
                     "{'subsets':[{" ONE
                     ",'addresses':[" A("b", "10.0.0.2") "," A("a", "10.0.0.1") "],'notReadyAddresses':[" A(
                         "c", "10.0.0.3") "," A("b", "10.0.0.9") "]}]}"));
    assert_int_equal(seen.n, 3);
    assert_string_equal(list[0].pod, "a");
    assert_string_equal(list[1].ip, "10.0.0.2");
    assert_true(list[1].ready);
    assert_string_equal(list[2].pod, "c");
    assert_false(list[2].ready);
}

static void test_rubbish_is_left_out(void **state) {
    (void)state;
    static const char *const addresses[] = {
        A("gw", "169.254.169.254"),
        A("gw", "0.0.0.0"),
        A("gw", "127.0.0.1"),
        A("gw", "127.8.8.8"),
        A("gw", "::1"),
        A("gw", "::127.0.0.1"),
        A("gw", "224.0.0.1"),
        A("gw", "fe80::1"),
        A("gw", "ff02::1"),
        A("gw", "::"),
        A("gw", "10.0.0.1\\n"),
        A("gw", "example.org"),
        A("", "10.0.0.1"),
        A("../x", "10.0.0.1"),
        A("a b", "10.0.0.1"),
        A("gw", "::ffff:169.254.169.254"),
        "{'ip':'10.0.0.1'}",
        "{'ip':'10.0.0.1','targetRef':{'kind':'Node','name':'n'}}",
        "7",
        "null",
    };
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "{'subsets':[{" ONE ",'addresses':[%s]}]}", addresses[i]);
        assert_true(look("gw", text));
        if (seen.n)
            fail_msg("taken: %s", addresses[i]);
        assert_int_equal(seen.left_out, 1); /* calls may go there, and nobody witnesses them */
    }
    static const char *const documents[] = {
        "{}",
        "{'subsets':null}",
        "{'subsets':{}}",
        "{'subsets':[null]}",
        "{'subsets':[{'ports':7}]}",
        "{'subsets':[{'ports':[{'port':0}],'addresses':[" A("gw", "10.0.0.1") "]}]}",
        "{'subsets':[{'ports':[{'port':65536}],'addresses':[" A("gw", "10.0.0.1") "]}]}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        assert_true(look("gw", documents[i]));
        assert_int_equal(seen.n, 0);
    }
}

static json_t *many_addresses(int n) {
    json_t *all = json_array();
    for (int i = n; i > 0; i--) { /* the last names first */
        char pod[16];
        (void)snprintf(pod, sizeof pod, "p%03d", i);
        (void)json_array_append_new(
            all, json_pack("{s:s,s:{s:s,s:s}}", "ip", "10.0.0.1", "targetRef", "kind", "Pod", "name", pod));
    }
    return json_pack("{s:[{s:[{s:i}],s:o}]}", "subsets", "ports", "port", 80, "addresses", all);
}

static void test_the_first_by_name_are_kept(void **state) {
    (void)state;
    json_t *doc = many_addresses(REPLICAS_MAX + 36);
    assert_true(kube_replicas_read("gw", doc, list, &seen, reason));
    json_decref(doc);
    assert_int_equal(seen.n, REPLICAS_MAX);
    assert_int_equal(seen.left_out, 36);
    assert_string_equal(list[0].pod, "p001");
    assert_string_equal(list[REPLICAS_MAX - 1].pod, "p064");
}

static void test_one_watch_for_each_different_service(void **state) {
    (void)state;
    struct config_target targets[] = {{.replicas = (char *)"gw"}, {.replicas = NULL},
                                      {.replicas = (char *)""},   {.replicas = (char *)"gw:80"},
                                      {.replicas = (char *)"gw"}, {.replicas = (char *)"other"}};
    struct config c = {.targets = {targets, sizeof targets / sizeof *targets}};
    static struct kube_service services[CONFIG_SERVICES_MAX];
    assert_int_equal(kube_services_find(&c, services), 3);
    char *path = kube_kind_path(&services[1].kind, "mcp", "n1", "limit=1");
    assert_string_equal(path, "/api/v1/namespaces/mcp/endpoints?fieldSelector=metadata.name%3Dgw&limit=1");
    free(path);
    assert_string_equal(services[1].kind.source, "endpoints/gw:80");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_readiness_and_order),
        cmocka_unit_test(test_rubbish_is_left_out),
        cmocka_unit_test(test_the_first_by_name_are_kept),
        cmocka_unit_test(test_one_watch_for_each_different_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
