/* Tests of the source over HTTPS, for faults: 410, 403, 401, 429, cut lines, rubbish, a wrong CA. Only the
 * pods of the node are watched, so that the script of answers is one sequence; and a Service's Endpoints
 * beside them, where the test is of those. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "caught.h"
#include "fake.h"
#include "kube/kube.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_##x
#define POD(name, uid, rv) \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"" rv "\"}}"
#define LIST(rv, more, items)                                                                        \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" more "\"}," \
    "\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define STATUS(code, words) \
    "{\"kind\":\"Status\",\"metadata\":{},\"code\":" code ",\"message\":\"" words "\"}"

static struct caught caught;
static struct norm_key key;
static struct fake *fake;
static struct config config;
static struct kube *kube;

/* What the callback was told of replicas, as text, one line a call. */
static struct told {
    struct replicas_to to;
    char text[4096];
} told;

static void hear_replicas(void *ctx, const struct replicas *r) {
    struct told *t = ctx;
    (void)pthread_mutex_lock(&caught.lock);
    size_t n = strlen(t->text);
    n += (size_t)snprintf(t->text + n, sizeof t->text - n, "%s%s%s", r->service, r->reason ? " " : "",
                          r->reason ? r->reason : "");
    for (size_t i = 0; i < r->n && n < sizeof t->text; i++)
        n += (size_t)snprintf(t->text + n, sizeof t->text - n, " %s=%s:%u%s", r->list[i].pod, r->list[i].ip,
                              (unsigned)r->list[i].port, r->list[i].ready ? "" : "-");
    if (n < sizeof t->text)
        (void)snprintf(t->text + n, sizeof t->text - n, "\n");
    (void)pthread_cond_broadcast(&caught.more);
    (void)pthread_mutex_unlock(&caught.lock);
}

static bool was_told(struct caught *c, const void *words) {
    (void)c;
    return strstr(told.text, words);
}

static void begin(const struct fake_step *steps, size_t n, bool tls) {
    caught_init(&caught);
    told = (struct told){.to = {hear_replicas, &told}};
    fake = fake_start(steps, n, tls);
    config = (struct config){.kube = {.enabled = true,
                                      .api = (char *)fake_url(fake),
                                      .token_file = (char *)fake_token_file(fake),
                                      .ca_file = (char *)fake_ca_file(fake)},
                             .stage = {.namespace_name = (char *)"mcp", .node = (char *)"n1"}};
}

static void run(void) {
    struct err e;
    assert_int_equal(kube_start(&config, &key, &caught.emit, &told.to, NULL, &kube, &e), 0);
}

#define BEGIN(steps) begin(steps, sizeof(steps) / sizeof *(steps), true)

static int tear_down(void **state) {
    (void)state;
    kube_stop(&kube);
    if (fake)
        fake_stop(&fake);
    caught_free(&caught);
    return 0;
}

static struct fake_request request(size_t nth) {
    struct fake_request r = {.expected = false};
    assert_true(fake_request(fake, nth, &r));
    if (!r.expected)
        fail_msg("request %zu was %s", nth, r.url);
    return r;
}

static bool is_covered(struct caught *c, const void *arg) {
    (void)arg;
    const Pilotgate__Coverage__Source *s = caught_source(c, "pods");
    return s && s->ok && !*s->reason && s->last_wall_ns > 0;
}

static bool is_uncovered(struct caught *c, const void *words) {
    const Pilotgate__Coverage__Source *s = caught_source(c, "pods");
    return s && !s->ok && strstr(s->reason, words);
}

static bool has_created(struct caught *c, const void *subject) {
    const Pilotgate__Phase *p;
    for (size_t i = 0; (p = caught_phase(c, PHASE(POD_CREATED), i)); i++)
        if (strcmp(p->subject, subject) == 0)
            return true;
    return false;
}

static bool has_gone(struct caught *c, const void *subject) {
    const Pilotgate__Phase *p = caught_phase(c, PHASE(POD_GONE), 0);
    return p && strcmp(p->subject, subject) == 0;
}

static void test_pages_watch_and_bookmarks(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=250", .status = 200, .body = LIST("10", "a/b=", POD("a", "u1", "1"))},
        {.expect = "continue=a/b=", .status = 200, .body = LIST("11", "", POD("b", "u2", "2"))},
        {.expect = "resourceVersion=11",
         .status = 200,
         .body = EVENT("ADDED", POD("c", "u3", "12")) EVENT("DELETED", POD("a", "u1", "13"))
             EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"opaque-20\"}}")},
        {.expect = "resourceVersion=opaque-20", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    struct fake_request first = request(0);
    assert_non_null(strstr(first.url, "/api/v1/namespaces/mcp/pods?fieldSelector=spec.nodeName=n1&"));
    assert_string_equal(first.authorization, "Bearer token-1");
    struct fake_request watch = request(2);
    assert_non_null(strstr(watch.url, "watch=1"));
    assert_non_null(strstr(watch.url, "allowWatchBookmarks=true"));
    assert_non_null(strstr(watch.url, "timeoutSeconds="));
    (void)request(3);
    assert_true(caught_wait(&caught, has_created, "Pod/c"));
    assert_true(caught_wait(&caught, has_gone, "Pod/a"));
    assert_true(caught_wait(&caught, is_covered, NULL));
    assert_int_equal(caught_phases(&caught, PHASE(POD_CREATED)), 3);
}

static void test_410_as_event_lists_again(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=",
         .status = 200,
         .body = LIST("1", "", POD("a", "u1", "1") "," POD("b", "u2", "1"))},
        {.expect = "watch=1",
         .status = 200,
         .body = EVENT("ERROR", STATUS("410", "too old resource version")),
         .end = FAKE_HOLD},
        {.expect = "limit=",
         .status = 200,
         .body = LIST("9", "", POD("b", "u2", "1") "," POD("c", "u3", "8"))},
        {.expect = "resourceVersion=9", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    struct fake_request watch = request(1);
    struct fake_request again = request(2);
    assert_true(again.mono_ns - watch.mono_ns < WHEN_S); /* at once, no backoff */
    (void)request(3);
    assert_true(caught_wait(&caught, has_created, "Pod/c"));
    assert_true(caught_wait(&caught, has_gone, "Pod/a"));
    assert_int_equal(caught_phases(&caught, PHASE(POD_CREATED)), 3);
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 1);
    assert_true(caught_wait(&caught, is_covered, NULL));
}

static void test_410_as_status_lists_again(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 200, .body = LIST("1", "more", "")},
        {.expect = "continue=more", .status = 410, .body = STATUS("410", "continue expired")},
        {.expect = "limit=", .status = 200, .body = LIST("2", "", "")},
        {.expect = "resourceVersion=2", .status = 410, .body = STATUS("410", "Expired")},
        {.expect = "limit=", .status = 200, .body = LIST("3", "", POD("a", "u1", "3"))},
        {.expect = "resourceVersion=3", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    struct fake_request again = request(2);
    assert_null(strstr(again.url, "continue"));
    (void)request(5);
    assert_true(caught_wait(&caught, has_created, "Pod/a"));
}

static void test_403_is_told_once_and_heals(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 403, .body = STATUS("403", "pods is forbidden")},
        {.expect = "limit=", .status = 403, .body = STATUS("403", "pods is forbidden")},
        {.expect = "limit=", .status = 200, .body = LIST("3", "", POD("a", "u1", "3"))},
        {.expect = "watch=1", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    static const char advice[] = "RBAC: allow list, watch on pods in namespace mcp for this service account";
    BEGIN(steps);
    run();
    assert_true(caught_wait(&caught, is_uncovered, advice));
    (void)request(2);
    assert_int_equal(caught_objects(&caught, "Pod", PILOTGATE__OBJECT__OP__OP_UNREADABLE), 1);
    const Pilotgate__Object *o = caught_object(&caught, "Pod", 0, 0);
    assert_string_equal(o->name, "*");
    assert_string_equal(o->reason, advice);
    assert_true(caught_wait(&caught, has_created, "Pod/a"));
    assert_true(caught_wait(&caught, is_covered, NULL));
}

/* What was cut is asked for again from the last whole line, and nothing is taken from half a line. */
static void test_cut_line_goes_on_from_the_last_whole_one(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1",
         .status = 200,
         .body = EVENT("ADDED", POD("a", "u1", "5")) "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"na",
         .end = FAKE_CUT},
        {.expect = "resourceVersion=5",
         .status = 200,
         .body = EVENT("ADDED", POD("b", "u2", "6")) "{\"type\":\"ADDED\",\"obj"}, /* ends "in order" */
        {.expect = "resourceVersion=6",
         .status = 200,
         .body = EVENT("ADDED", POD("c", "u3", "7")),
         .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    (void)request(3);
    assert_true(caught_wait(&caught, has_created, "Pod/c"));
    assert_int_equal(caught_phases(&caught, PHASE(POD_CREATED)), 3);
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 0);
}

static void test_429_waits_as_long_as_asked(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 429, .body = "slow down", .retry_after = "2"},
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "")},
        {.expect = "watch=1", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    struct fake_request first = request(0);
    assert_true(caught_wait(&caught, is_uncovered, "HTTP 429"));
    struct fake_request second = request(1);
    assert_true(second.mono_ns - first.mono_ns >= 2 * WHEN_S);
    assert_true(second.mono_ns - first.mono_ns < 4 * WHEN_S);
    assert_true(caught_wait(&caught, is_covered, NULL));
}

static void test_401_reads_the_token_again(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "")},
        {.expect = "watch=1", .status = 401, .body = STATUS("401", "Unauthorized")},
        {.expect = "resourceVersion=1", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    assert_string_equal(request(1).authorization, "Bearer token-1");
    fake_write_token(fake, "token-2"); /* the pause after a failure is 0.8 s at least */
    assert_string_equal(request(2).authorization, "Bearer token-2");
    assert_true(caught_wait(&caught, is_covered, NULL));
}

static void test_rubbish_is_refused_and_survived(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 200, .body = "<html>"},
        {.expect = "limit=", .status = 200, .body = "{\"items\":\"none\"}"},
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "{\"metadata\":{}}")},
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1", .status = 200, .body = "not json\n", .end = FAKE_HOLD},
        {.expect = "limit=", .status = 200, .body = LIST("2", "", POD("a", "u1", "2"))},
        {.expect = "resourceVersion=2", .status = 200, .body = EVENT("SURPRISE", "{}"), .end = FAKE_HOLD},
        {.expect = "limit=", .status = 200, .body = LIST("3", "", POD("a", "u1", "2"))},
        {.expect = "resourceVersion=3", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps);
    run();
    /* the third in a row: its pause is longer than the second between coverage records */
    assert_true(caught_wait(&caught, is_uncovered, "without a valid metadata.name"));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        (void)request(i);
    assert_true(caught_wait(&caught, is_covered, NULL));
    assert_int_equal(caught_phases(&caught, PHASE(POD_CREATED)), 1);
}

static void test_untrusted_server_gets_no_request(void **state) {
    (void)state;
    static const struct fake_step steps[] = {{.expect = "", .status = 200, .body = ""}};
    BEGIN(steps);
    config.kube.ca_file = (char *)fake_other_ca_file(fake);
    run();
    assert_true(caught_wait(&caught, is_uncovered, "certificate"));
    assert_int_equal(fake_requests(fake), 0);
}

static void test_missing_token_is_said(void **state) {
    (void)state;
    static const struct fake_step steps[] = {{.expect = "", .status = 200, .body = ""}};
    BEGIN(steps);
    config.kube.token_file = (char *)"/nonexistent/token";
    run();
    assert_true(caught_wait(&caught, is_uncovered, "/nonexistent/token"));
    assert_int_equal(fake_requests(fake), 0);
}

static void test_plain_http_carries_no_token(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "")},
        {.expect = "watch=1", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    begin(steps, 2, false);
    run();
    assert_string_equal(request(0).authorization, "");
    assert_string_equal(request(1).authorization, "");
}

static void refused(const char *words) {
    struct err e;
    assert_true(kube_start(&config, &key, &caught.emit, NULL, NULL, &kube, &e) < 0);
    assert_non_null(strstr(e.text, words));
    assert_null(kube);
}

static void test_start_refuses_what_it_cannot_do(void **state) {
    (void)state;
    static const struct fake_step steps[] = {{.expect = "", .status = 500, .body = ""}};
    BEGIN(steps);
    config.stage.node = NULL;
    refused("stage.node");
    config.stage.node = (char *)"n1";
    config.kube.api = (char *)"ftp://127.0.0.1";
    refused("kube.api");
    assert_int_equal(fake_requests(fake), 0);
}

#define ENDPOINTS(rv, subsets)                                                                    \
    "{\"metadata\":{\"name\":\"gw\",\"uid\":\"e1\",\"resourceVersion\":\"" rv "\"},\"subsets\":[" \
    "{\"ports\":[{\"name\":\"http\",\"port\":8080}]," subsets "}]}"
#define ADDRESS(pod, ip) "{\"ip\":\"" ip "\",\"targetRef\":{\"kind\":\"Pod\",\"name\":\"" pod "\"}}"

static void watch_service(struct config_target *target) {
    *target = (struct config_target){.name = (char *)"gateway", .replicas = (char *)"gw:http"};
    config.targets = (struct conf_list){target, 1};
    fake_by_url(fake);
}

static void test_replicas_of_a_service(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/pods?fieldSelector=spec.nodeName=n1&limit", .status = 200, .body = LIST("1", "", "")},
        {.expect = "/pods?", .status = 200, .body = "", .end = FAKE_HOLD},
        {.expect = "/endpoints?fieldSelector=metadata.name=gw&limit", .status = 403, .body = "{}"},
        {.expect = "/endpoints?fieldSelector=metadata.name=gw&limit", .status = 403, .body = "{}"},
        {.expect = "/endpoints?", .status = 200, .body = LIST("3", "", "")},
        {.expect = "/endpoints?fieldSelector=metadata.name=gw&watch=1",
         .status = 200,
         .body = EVENT("ADDED", ENDPOINTS("4", "\"addresses\":[" ADDRESS("gw-a", "10.0.0.1") "]")) EVENT(
             "MODIFIED",
             ENDPOINTS("5", "\"addresses\":[" ADDRESS("gw-b", "fd00::2") "],\"notReadyAddresses\":[" ADDRESS(
                                "gw-a", "10.0.0.1") "]")) EVENT("DELETED", ENDPOINTS("6", "\"x\":1")),
         .end = FAKE_HOLD},
        {.expect = "", .status = 500, .body = ""},
    };
    static const char wanted[] =
        "gw:http RBAC: allow list, watch on endpoints in namespace mcp for this service account\n"
        "gw:http namespace mcp has no Service gw:http: correct replicas\n"
        "gw:http gw-a=10.0.0.1:8080\n"
        "gw:http gw-a=10.0.0.1:8080- gw-b=fd00::2:8080\n"
        "gw:http\n";
    struct config_target target;
    BEGIN(steps);
    watch_service(&target);
    run();
    assert_true(caught_wait(&caught, was_told, "gw-b=fd00::2:8080\ngw:http\n"));
    assert_string_equal(told.text, wanted);
    assert_int_equal(caught_objects(&caught, "Endpoints", 0), 0); /* they are no evidence of a change */
    const Pilotgate__Coverage__Source *s = caught_source(&caught, "endpoints/gw:http");
    assert_non_null(s);
}

struct said {
    int ok, bad;
    char advice[4096];
};

static void remember(void *ctx, bool ok, const char *what, const char *advice) {
    struct said *s = ctx;
    (void)what;
    *(ok ? &s->ok : &s->bad) += 1;
    strncat(s->advice, advice, sizeof s->advice - strlen(s->advice) - 1);
}

static void test_check_names_what_to_allow(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/version", .status = 200, .body = "{}"},
        {.expect = "/apis", .status = 200, .body = "{\"groups\":[]}"}, /* nothing that is optional */
        {.expect = "pods", .status = 200, .body = LIST("1", "", "")},
        {.expect = "/api/v1/namespaces/mcp", .status = 404, .body = "{}"},
        {.expect = "secrets", .status = 403, .body = "{}"},
        {.expect = "serviceaccounts", .status = 403, .body = "{}"}, /* no gate waits for them */
        {.expect = "limit=1", .status = 200, .body = "{}"},
    };
    struct said said = {.ok = 0};
    BEGIN(steps);
    fake_by_url(fake);
    config.kube.secrets = config.kube.stage_scoped = true;
    assert_int_equal(kube_check(&config, remember, &said), 2);
    assert_int_equal(said.bad, 2);
    assert_int_equal(said.ok, 16);
    assert_non_null(strstr(said.advice, "allow list, watch on secrets in namespace mcp"));
    assert_non_null(strstr(said.advice, "or set kube.secrets: false"));
    assert_non_null(strstr(said.advice, "create the namespace"));
}

static void test_check_tries_the_replicas(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/version", .status = 200, .body = "{}"},
        {.expect = "/pods?", .status = 200, .body = LIST("1", "", "")},
        {.expect = "/endpoints?",
         .status = 200,
         .body = LIST("1", "", ENDPOINTS("4", "\"addresses\":[" ADDRESS("gw-a", "10.0.0.1") "]"))},
        {.expect = "/version", .status = 200, .body = "{}"},
        {.expect = "/pods?", .status = 200, .body = LIST("1", "", "")},
        {.expect = "/endpoints?", .status = 200, .body = LIST("1", "", "")},
        {.expect = "", .status = 500, .body = ""},
    };
    struct said said = {.ok = 0};
    struct config_target target;
    BEGIN(steps);
    watch_service(&target);
    assert_int_equal(kube_check(&config, remember, &said), 0);
    assert_int_equal(said.ok, 4);
    assert_int_equal(kube_check(&config, remember, &said), 1);
    assert_string_equal(said.advice, "there is no such Service here: correct replicas");
}

static void test_identity(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/api/v1/namespaces/mcp", .status = 200, .body = "{\"metadata\":{\"uid\":\"ns-1\"}}"},
        {.expect = "/api/v1/namespaces/kube-system", .status = 403, .body = "{}"},
        {.expect = "", .status = 200, .body = "{\"metadata\":{\"uid\":\"x-9\"}}"},
    };
    char uid[64], cluster[80];
    BEGIN(steps);
    kube_identity(&config, uid, cluster);
    assert_string_equal(uid, "ns-1");
    assert_int_equal(strlen(cluster), 3 + 64);
    assert_memory_equal(cluster, "ca:", 3);
    kube_identity(&config, uid, cluster);
    assert_string_equal(uid, "x-9");
    assert_string_equal(cluster, "x-9");
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_pages_watch_and_bookmarks),
        TEST(test_410_as_event_lists_again),
        TEST(test_410_as_status_lists_again),
        TEST(test_403_is_told_once_and_heals),
        TEST(test_cut_line_goes_on_from_the_last_whole_one),
        TEST(test_429_waits_as_long_as_asked),
        TEST(test_401_reads_the_token_again),
        TEST(test_rubbish_is_refused_and_survived),
        TEST(test_untrusted_server_gets_no_request),
        TEST(test_missing_token_is_said),
        TEST(test_plain_http_carries_no_token),
        TEST(test_start_refuses_what_it_cannot_do),
        TEST(test_check_names_what_to_allow),
        TEST(test_replicas_of_a_service),
        TEST(test_check_tries_the_replicas),
        TEST(test_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
