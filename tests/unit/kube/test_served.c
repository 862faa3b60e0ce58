/* Tests of kinds that an API server need not serve: which version is asked for, that one which is not there
 * is silent, that one which is denied is said, and that one whose API goes away is gone. */
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
#include "kube/served.h"

#define OP(x) PILOTGATE__OBJECT__OP__OP_##x
#define GROUP(name, versions) "{\"name\":\"" name "\",\"versions\":[" versions "]}"
#define VERSION(v) "{\"groupVersion\":\"" v "\",\"version\":\"x\"}"
#define GROUPS(groups) "{\"kind\":\"APIGroupList\",\"groups\":[" groups "]}"
#define CRON(rv)                                                             \
    "{\"metadata\":{\"name\":\"c\",\"uid\":\"u1\",\"resourceVersion\":\"" rv \
    "\"},\"spec\":{\"schedule\":\"x\"}}"
#define LIST(items) "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" items "]}"

static const struct kube_kind *kind_of(const char *source) {
    const struct kube_kind *k = kube_kinds;
    while (k->source && strcmp(k->source, source) != 0)
        k++;
    assert_non_null(k->source);
    return k;
}

/* ---- pure */

static void test_the_newest_version_that_is_served(void **state) {
    (void)state;
    static const char text[] = GROUPS(GROUP("batch", VERSION("batch/v1beta1")) "," GROUP(
        "autoscaling", VERSION("autoscaling/v1") "," VERSION(
                           "autoscaling/v2")) "," GROUP("helm.toolkit.fluxcd.io",
                                                        VERSION("helm.toolkit.fluxcd.io/v2beta2")));
    struct kube_served s = {.known = true};
    assert_int_equal(kube_served_read(text, strlen(text), &s.list, NULL), 0);
    assert_string_equal(kube_served_choose(&s, kind_of("cronjobs"))->group, "/apis/batch/v1beta1");
    assert_string_equal(kube_served_choose(&s, kind_of("horizontalpodautoscalers"))->group,
                        "/apis/autoscaling/v2");
    assert_string_equal(kube_served_choose(&s, kind_of("helmreleases.helm.toolkit.fluxcd.io"))->group,
                        "/apis/helm.toolkit.fluxcd.io/v2beta2");
    assert_null(kube_served_choose(&s, kind_of("poddisruptionbudgets")));
    assert_null(kube_served_choose(&s, kind_of("applications.argoproj.io")));
    free(s.list);
    s.list = NULL; /* not told: the newest is tried */
    assert_string_equal(kube_served_choose(&s, kind_of("cronjobs"))->group, "/apis/batch/v1");
}

static void test_hostile_groups_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"", "[]", "7", "{\"groups\":{}}", "{\"groups\":[", "{\"versions\":[]}"};
    char *list = NULL;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kube_served_read(bad[i], strlen(bad[i]), &list, &e), -EBADMSG);
    static const char odd[] = GROUPS("7," GROUP("a", "{\"groupVersion\":\"x\\n/apis/batch/v1\"},[],7") ",{}");
    struct kube_served s = {.known = true};
    assert_int_equal(kube_served_read(odd, strlen(odd), &s.list, &e), 0);
    assert_null(kube_served_choose(&s, kind_of("cronjobs")));
    free(s.list);
}

/* Rows of one kind stand together, the newest first; every optional one is of a group. */
static void test_table(void **state) {
    (void)state;
    for (const struct kube_kind *k = kube_kinds; k->source; k++) {
        if (k->older) {
            assert_true(k > kube_kinds);
            assert_string_equal(k[-1].source, k->source);
            assert_string_equal(k[-1].object, k->object);
        }
        assert_true(!k->optional || strncmp(k->group, "/apis/", 6) == 0);
        assert_true(!k->gitops || (k->optional && strchr(k->object, '.')));
    }
}

/* ---- over HTTP */

static struct caught caught;
static struct norm_key key;
static struct fake *fake;
static struct kube_http http;
static CURLM *multi;
static struct kube_served served;
static struct kube_source source;
static struct kube_scope scope = {.own_release = "pilotgate",
                                  .namespace_name = "mcp",
                                  .key = &key,
                                  .emit = &caught.emit,
                                  .served = &served};

static void begin(const struct fake_step *steps, size_t n, const char *kind) {
    caught_init(&caught);
    fake = fake_start(steps, n, true);
    struct config config = {.kube = {.api = (char *)fake_url(fake),
                                     .token_file = (char *)fake_token_file(fake),
                                     .ca_file = (char *)fake_ca_file(fake)}};
    assert_int_equal(kube_http_open(&config, &http, NULL), 0);
    multi = curl_multi_init();
    kube_served_init(&served, &http, multi);
    kube_source_init(&source, kind_of(kind), &scope, &http, multi, "n1");
}

#define BEGIN(steps, kind) begin(steps, sizeof(steps) / sizeof *(steps), kind)

static int tear_down(void **state) {
    (void)state;
    kube_source_free(&source);
    kube_served_free(&served);
    (void)curl_multi_cleanup(multi);
    kube_http_close(&http);
    fake_stop(&fake);
    caught_free(&caught);
    return 0;
}

static void turn(void) {
    int left;
    CURLMsg *m;
    (void)curl_multi_perform(multi, &left);
    while ((m = curl_multi_info_read(multi, &left))) {
        CURLcode code = m->data.result;
        if (m->easy_handle == served.easy)
            kube_served_done(&served, code, when_mono_ns());
        else
            kube_source_done(&source, code);
    }
    (void)kube_source_run(&source, when_mono_ns());
    (void)kube_served_run(&served, when_mono_ns());
    (void)curl_multi_poll(multi, NULL, 0, 20, NULL);
}

/* Until the server has had so many requests, and was asked what the fake expects. */
static void until_requests(size_t n) {
    int64_t end = when_mono_ns() + 20 * WHEN_S;
    while (fake_requests(fake) < n && when_mono_ns() < end)
        turn();
    assert_true(fake_requests(fake) >= n);
    for (size_t i = 0; i < n; i++) {
        struct fake_request r;
        assert_true(fake_request(fake, i, &r));
        if (!r.expected)
            fail_msg("request %zu was %s", i, r.url);
    }
}

static void until(bool (*holds)(void)) {
    int64_t end = when_mono_ns() + 20 * WHEN_S;
    while (!holds() && when_mono_ns() < end)
        turn();
    assert_true(holds());
}

static bool is_watching(void) {
    return source.established;
}

static bool has_answer(void) {
    return served.known && source.watch.due_mono > when_mono_ns() + 10 * WHEN_S;
}

static const Pilotgate__Coverage__Source *cover(void) {
    static Pilotgate__Coverage__Source told;
    pilotgate__coverage__source__init(&told);
    kube_source_cover(&source, when_wall_ns(), &told);
    return &told;
}

static void is_told_unserved(const char *kind) {
    assert_true(source.absent && source.unserved && cover()->ok);
    assert_string_equal(cover()->reason, "the API server does not serve it");
    assert_true(when_wall_ns() - cover()->last_wall_ns < 60 * WHEN_S);
    assert_string_equal(kube_source_kind(&source), kind);
}

static void test_a_kind_that_is_not_served_is_silent(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/apis", .status = 200, .body = GROUPS(GROUP("batch", VERSION("batch/v1")))}};
    BEGIN(steps, "applications.argoproj.io");
    until(has_answer);
    is_told_unserved("Application.argoproj.io");
    assert_int_equal(fake_requests(fake), 1); /* only whether it is there */
    assert_int_equal(caught.n, 0);
    served.known_mono -=
        3600 * WHEN_S; /* the answer grows old: it is asked for again, and not in a hot loop */
    source.watch.due_mono = 0;
    until_requests(1);
    until(has_answer);
    assert_true(fake_requests(fake) <= 2);
}

/* batch/v1 is served by 1.20, but without CronJobs. */
static void test_an_older_version_is_listed(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/apis",
         .status = 200,
         .body = GROUPS(GROUP("batch", VERSION("batch/v1") "," VERSION("batch/v1beta1")))},
        {.expect = "/apis/batch/v1/namespaces/mcp/cronjobs?limit",
         .status = 404,
         .body = "404 page not found"},
        {.expect = "/apis/batch/v1beta1/namespaces/mcp/cronjobs?limit",
         .status = 200,
         .body = LIST(CRON("1"))},
        {.expect = "/apis/batch/v1beta1/namespaces/mcp/cronjobs?watch",
         .status = 200,
         .body = "",
         .end = FAKE_HOLD},
    };
    BEGIN(steps, "cronjobs");
    until(is_watching);
    until_requests(4);
    assert_false(source.absent || source.unserved);
    assert_string_equal(cover()->reason, "");
    assert_int_equal(caught_objects(&caught, "CronJob", OP(LISTED)), 1);
    assert_int_equal(caught_objects(&caught, "CronJob", OP(UNREADABLE)), 0);
}

static bool is_told(void) {
    return caught_objects(&caught, "CronJob", OP(UNREADABLE)) > 0;
}

static void test_a_denied_kind_is_said_once(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/apis", .status = 200, .body = GROUPS(GROUP("batch", VERSION("batch/v1")))},
        {.expect = "cronjobs?limit", .status = 403, .body = "{}"},
        {.expect = "cronjobs?limit", .status = 403, .body = "{}"},
    };
    BEGIN(steps, "cronjobs");
    until(is_told);
    until_requests(3);
    assert_false(source.absent);
    assert_int_equal(caught_objects(&caught, "CronJob", 0), 1);
    assert_non_null(
        strstr(caught_object(&caught, "CronJob", 0, 0)->reason, "allow list, watch on cronjobs.batch"));
}

static bool is_gone(void) {
    return source.absent && caught_objects(&caught, "CronJob", OP(DELETED)) > 0;
}

static void test_a_kind_whose_api_goes_away_is_gone(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/apis", .status = 200, .body = GROUPS(GROUP("batch", VERSION("batch/v1")))},
        {.expect = "cronjobs?limit", .status = 200, .body = LIST(CRON("1"))},
        {.expect = "cronjobs?watch", .status = 404, .body = "404 page not found"},
        {.expect = "cronjobs?limit", .status = 404, .body = "404 page not found"},
    };
    BEGIN(steps, "cronjobs");
    until(is_gone);
    until_requests(4);
    is_told_unserved("CronJob");
    assert_int_equal(caught_objects(&caught, "CronJob", OP(UNREADABLE)), 0);
}

/* Where /apis is refused, each kind is tried. */
static void test_discovery_denied(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "/apis", .status = 403, .body = "{}"},
        {.expect = "/apis/batch/v1/namespaces/mcp/cronjobs?limit", .status = 200, .body = LIST(CRON("1"))},
        {.expect = "cronjobs?watch", .status = 200, .body = "", .end = FAKE_HOLD},
    };
    BEGIN(steps, "cronjobs");
    until(is_watching);
    assert_int_equal(caught_objects(&caught, "CronJob", OP(LISTED)), 1);
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_version_that_is_served),
        cmocka_unit_test(test_hostile_groups_are_refused),
        cmocka_unit_test(test_table),
        TEST(test_a_kind_that_is_not_served_is_silent),
        TEST(test_an_older_version_is_listed),
        TEST(test_a_denied_kind_is_said_once),
        TEST(test_a_kind_whose_api_goes_away_is_gone),
        TEST(test_discovery_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
