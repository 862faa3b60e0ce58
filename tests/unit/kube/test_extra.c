/* Tests of custom resources that the configuration names: looked up by discovery, watched like other kinds,
 * found when they are installed later, gone when their API goes, and what cannot be read said by name. */
#include <errno.h>

#include "base/js.h"
#include "kube/extra.h"
#include "rig.h"

#define OP(x) PILOTGATE__OBJECT__OP__OP_##x
#define KIND "Widget.example.com"
#define GROUPS(groups) "{\"kind\":\"APIGroupList\",\"groups\":[" groups "]}"
#define BATCH "{\"name\":\"batch\",\"versions\":[{\"groupVersion\":\"batch/v1\"}]}"
/* the oldest first, so that order is not what decides */
#define EXAMPLE                                                                           \
    "{\"name\":\"example.com\",\"versions\":[{\"groupVersion\":\"example.com/v1beta1\"}," \
    "{\"groupVersion\":\"example.com/v1\"}],\"preferredVersion\":{\"groupVersion\":\"example.com/v1\"}}"
#define EXAMPLE_OLD "{\"name\":\"example.com\",\"versions\":[{\"groupVersion\":\"example.com/v1beta1\"}]}"
#define RESOURCE(plural, kind, namespaced, verbs) \
    "{\"name\":\"" plural "\",\"kind\":\"" kind "\",\"namespaced\":" namespaced ",\"verbs\":[" verbs "]}"
#define RESOURCES(items) "{\"kind\":\"APIResourceList\",\"resources\":[" items "]}"
#define ALL_VERBS "\"delete\",\"list\",\"get\",\"watch\""
#define STATUS RESOURCE("widgets/status", "Widget", "true", "\"get\"")
#define OTHER RESOURCE("gadgets", "Gadget", "true", ALL_VERBS)
#define WIDGETS RESOURCE("widgets", "Widget", "true", ALL_VERBS)
#define WIDGET(rv)                                                  \
    "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\"," META( \
        "w", "u1",                                                  \
        rv) ",\"spec\":{\"size\":3,\"adminPassword\":\"hunter2\"},\"status\":{\"phase\":\"Ready\"}}"
#define ITEMS(items) LIST("9", "", items)
#define V1 "/apis/example.com/v1/namespaces/mcp/widgets?"
#define V1BETA1 "/apis/example.com/v1beta1/namespaces/mcp/widgets?"

/* ---- pure */

static int read_text(const char *text, struct kube_extra_found *ret) {
    return kube_extra_read(text, strlen(text), "widgets", ret, NULL);
}

static void test_what_discovery_says_of_a_resource(void **state) {
    (void)state;
    struct kube_extra_found f;
    assert_int_equal(read_text(RESOURCES(STATUS "," OTHER "," WIDGETS), &f), 0);
    assert_string_equal(f.kind, "Widget");
    assert_true(f.namespaced && f.watched);
    assert_int_equal(read_text(RESOURCES(RESOURCE("widgets", "Widget", "false", "\"list\"")), &f), 0);
    assert_true(!f.namespaced && !f.watched);
    assert_int_equal(read_text(RESOURCES(STATUS "," OTHER), &f), 0);
    assert_string_equal(f.kind, "");
    static const char *const bad[] = {"", "[]", "7", "{}", "{\"resources\":{}}", "{\"resources\":["};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_text(bad[i], &f), -EBADMSG);
    assert_int_equal(read_text(RESOURCES("7,[],{}," RESOURCE("widgets", "../x", "true", ALL_VERBS)), &f), 0);
    assert_string_equal(f.kind, "");
}

static void test_versions_of_a_group(void **state) {
    (void)state;
    static const char text[] = GROUPS(BATCH "," EXAMPLE ",{\"name\":\"odd.com\",\"versions\":["
                                            "{\"groupVersion\":\"odd.com/v1?x\"}]}");
    struct kube_served s = {.known = true};
    char at[KUBE_NAME_MAX];
    assert_int_equal(kube_served_read(text, strlen(text), &s.list, NULL), 0);
    assert_true(kube_served_version(&s, "example.com", 0, at, sizeof at));
    assert_string_equal(at, "/apis/example.com/v1");
    assert_true(kube_served_version(&s, "example.com", 1, at, sizeof at));
    assert_string_equal(at, "/apis/example.com/v1beta1");
    assert_false(kube_served_version(&s, "example.com", 2, at, sizeof at));
    assert_false(kube_served_version(&s, "example", 0, at, sizeof at));
    assert_false(kube_served_version(&s, "odd.com", 0, at, sizeof at));
    assert_false(kube_served_version(&s, "example.com", 0, at, 10));
    free(s.list);
}

static size_t extras_of(bool gitops, struct kube_extras *all) {
    static char widget[] = "widgets.example.com", cron[] = "cronjobs.batch", jobs[] = "jobs.batch",
                flux[] = "helmreleases.helm.toolkit.fluxcd.io";
    static char *names[] = {widget, cron, jobs, flux};
    struct config c = {.kube = {.gitops = gitops, .resources = {.items = names, .n = 4}}};
    kube_extras_init(all, &c, NULL, NULL, NULL);
    kube_extras_free(all);
    return all->n;
}

/* What is told already is left out, however the configuration names it. */
static void test_which_are_extra(void **state) {
    (void)state;
    struct kube_extras *all = calloc(1, sizeof *all);
    assert_non_null(all);
    assert_int_equal(extras_of(true, all), 2);
    assert_string_equal(all->items[0].plural, "widgets");
    assert_string_equal(all->items[0].group, "example.com");
    assert_string_equal(all->items[1].source, "jobs.batch");
    assert_int_equal(extras_of(false, all), 3);
    free(all);
}

/* ---- over HTTP */

static struct norm_key key;
static CURLM *multi;
static struct kube_served served;
static struct kube_extras extras;
static struct kube_source widgets;
static struct kube_scope scope = {
    .own_release = "", .namespace_name = "mcp", .key = &key, .emit = &caught.emit, .served = &served};

static void start(const struct fake_step *steps, size_t n) {
    static char widget[] = "widgets.example.com", *names[] = {widget};
    caught_init(&caught);
    fake = fake_start(steps, n, false);
    struct config config = {.kube = {.api = (char *)fake_url(fake), .resources = {.items = names, .n = 1}}};
    assert_int_equal(kube_http_open(&config, &http, NULL), 0);
    multi = curl_multi_init();
    kube_served_init(&served, &http, multi);
    kube_extras_init(&extras, &config, &http, multi, &served);
    kube_source_init(&widgets, &extras.items[0].kind, &scope, &http, multi, "n1");
}

#define START(steps) start(steps, sizeof(steps) / sizeof *(steps))

static int stop(void **state) {
    (void)state;
    kube_source_free(&widgets);
    kube_extras_free(&extras);
    kube_served_free(&served);
    (void)curl_multi_cleanup(multi);
    kube_http_close(&http);
    fake_stop(&fake);
    caught_free(&caught);
    return 0;
}

/* Once round the loop of kube.c; the pauses after failures are those of test_watch.c. */
static void go_round(void) {
    int left;
    CURLMsg *m;
    if (widgets.watch.due_mono < when_mono_ns() + 10 * WHEN_S)
        widgets.watch.due_mono = 0;
    (void)curl_multi_perform(multi, &left);
    while ((m = curl_multi_info_read(multi, &left))) {
        CURLcode code = m->data.result;
        if (m->easy_handle == served.easy)
            kube_served_done(&served, code, when_mono_ns());
        else if (m->easy_handle == extras.easy)
            kube_extras_done(&extras, code, when_mono_ns());
        else
            kube_source_done(&widgets, code);
    }
    (void)kube_source_run(&widgets, when_mono_ns());
    (void)kube_served_run(&served, when_mono_ns());
    (void)kube_extras_run(&extras, when_mono_ns());
    (void)curl_multi_poll(multi, NULL, 0, 20, NULL);
}

static void until(bool (*holds)(void)) {
    int64_t end = when_mono_ns() + 30 * WHEN_S;
    while (!holds() && when_mono_ns() < end)
        go_round();
    assert_true(holds());
}

static bool is_watching(void) {
    return widgets.established && widgets.watch.state == KUBE_WATCH;
}

static bool is_unserved(void) {
    return widgets.unserved && widgets.watch.due_mono > when_mono_ns() + 10 * WHEN_S;
}

static bool is_gone(void) {
    return is_unserved() && caught_objects(&caught, KIND, OP(DELETED)) == 1;
}

static bool is_said(void) {
    return caught_objects(&caught, KIND, OP(UNREADABLE)) == 1;
}

/* Nobody waits in a test: what is due later is due now, and the answer to /apis is old. */
static void hurry(void) {
    widgets.watch.due_mono = 0;
    served.due_mono = 0;
    served.known_mono -= 3600 * WHEN_S;
}

static const Pilotgate__Object *told(int op) {
    return caught_object(&caught, KIND, op, 0);
}

#define APIS(groups) \
    { .expect = "/apis", .whole = true, .status = 200, .body = GROUPS(groups) }
#define OF_V1(items) \
    { .expect = "/apis/example.com/v1", .whole = true, .status = 200, .body = RESOURCES(items) }
#define OF_V1BETA1(items) \
    { .expect = "/apis/example.com/v1beta1", .whole = true, .status = 200, .body = RESOURCES(items) }
#define NOT_FOUND(url) \
    { .expect = url, .status = 404, .body = "404 page not found" }

static void test_a_custom_resource_is_watched(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        APIS(BATCH "," EXAMPLE),
        OF_V1(OTHER), /* not yet in the newest */
        OF_V1BETA1(STATUS "," WIDGETS),
        {.expect = V1BETA1 "limit=", .status = 200, .body = ITEMS(WIDGET("1"))},
        {.expect = V1BETA1 "watch=1", .body = EVENT("DELETED", WIDGET("2")), HOLD},
    };
    START(steps);
    assert_string_equal(kube_source_kind(&widgets), "");
    until(is_watching);
    assert_string_equal(kube_source_kind(&widgets), KIND);
    const Pilotgate__Object *o = told(OP(LISTED));
    assert_non_null(o);
    assert_string_equal(o->name, "w");
    assert_non_null(strstr(o->normal, "\"size\":3"));
    assert_null(strstr(o->normal, "hunter2"));
    assert_non_null(strstr(o->normal, "\"adminPassword\":\"keyed:"));
    assert_null(strstr(o->normal, "Ready"));
    while (!told(OP(DELETED)))
        go_round();
    assert_false(widgets.absent);
}

/* Its API is installed while the agent runs, and the API server needs a moment to serve what it announces. */
static void test_one_that_is_installed_later(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        APIS(BATCH),
        APIS(EXAMPLE),
        OF_V1(WIDGETS),
        NOT_FOUND(V1 "limit="),
        OF_V1(WIDGETS),
        {.expect = V1 "limit=", .status = 200, .body = ITEMS(WIDGET("1"))},
        {.expect = V1 "watch=1", .body = "", HOLD},
    };
    START(steps);
    until(is_unserved);
    assert_string_equal(kube_source_kind(&widgets), "");
    assert_int_equal(caught.n, 0);
    hurry();
    while (!widgets.refused) {
        widgets.watch.due_mono = 0;
        go_round();
    }
    until(is_unserved);
    hurry();
    served.known_mono = when_mono_ns();
    until(is_watching);
    assert_non_null(told(OP(LISTED)));
    assert_null(told(OP(UNREADABLE)));
}

static void test_one_whose_api_goes_is_gone(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        APIS(EXAMPLE),
        OF_V1(WIDGETS),
        {.expect = V1 "limit=", .status = 200, .body = ITEMS(WIDGET("1"))},
        NOT_FOUND(V1 "watch=1"),
        NOT_FOUND(V1 "limit="),
        APIS(BATCH),
    };
    START(steps);
    while (!served.known)
        go_round();
    served.due_mono = 0;
    until(is_gone);
    assert_string_equal(kube_source_kind(&widgets), KIND);
    assert_null(told(OP(UNREADABLE)));
}

/* Of a group of Kubernetes' own it is called as the others of these; what is told already is not told twice.
 */
static void test_kinds_of_kubernetes_itself(void **state) {
    (void)state;
    static const char apis[] =
        GROUPS("{\"name\":\"discovery.k8s.io\",\"versions\":[{\"groupVersion\":"
               "\"discovery.k8s.io/v1\"}]},{\"name\":\"extensions\",\"versions\":["
               "{\"groupVersion\":\"extensions/v1beta1\"}]},{\"name\":\"helm.toolkit.fluxcd.io\","
               "\"versions\":[{\"groupVersion\":\"helm.toolkit.fluxcd.io/v2\"}]}");
    static const char slices[] = RESOURCES(RESOURCE("endpointslices", "EndpointSlice", "true", ALL_VERBS));
    static const char releases[] = RESOURCES(RESOURCE("helmreleases", "HelmRelease", "true", ALL_VERBS));
    static const char ingresses[] = RESOURCES(RESOURCE("ingresses", "Ingress", "true", ALL_VERBS));
    struct kube_served s = {.known = true, .round = 1};
    struct kube_extra *x = calloc(1, sizeof *x);
    assert_non_null(x);
    assert_int_equal(kube_served_read(apis, strlen(apis), &s.list, NULL), 0);
    kube_extra_init(x, "endpointslices.discovery.k8s.io");
    assert_int_equal(kube_extra_ask(x, &s), KUBE_EXTRA_ASKING);
    assert_true(kube_extra_answered(x, &s, 200, slices, strlen(slices)));
    assert_int_equal(kube_extra_ask(x, &s), KUBE_EXTRA_FOUND);
    kube_extra_take(x);
    assert_string_equal(x->kind.object, "EndpointSlice");
    assert_false(x->kind.custom);
    kube_extra_init(x, "ingresses.extensions");
    (void)kube_extra_ask(x, &s);
    assert_true(kube_extra_answered(x, &s, 200, ingresses, strlen(ingresses)));
    assert_int_equal(kube_extra_ask(x, &s), KUBE_EXTRA_UNFIT);
    assert_non_null(strstr(x->reason, "is read anyway"));
    kube_extra_init(x, "helmreleases.helm.toolkit.fluxcd.io"); /* kube.gitops is false */
    (void)kube_extra_ask(x, &s);
    assert_true(kube_extra_answered(x, &s, 200, releases, strlen(releases)));
    assert_int_equal(kube_extra_ask(x, &s), KUBE_EXTRA_FOUND);
    kube_extra_take(x);
    assert_string_equal(x->kind.object, "HelmRelease.helm.toolkit.fluxcd.io");
    free(s.list);
    free(x);
}

/* What is served in another version than before is the same object, and was never away. */
static void test_another_version(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        APIS(EXAMPLE_OLD),
        OF_V1BETA1(WIDGETS),
        {.expect = V1BETA1 "limit=", .status = 200, .body = ITEMS(WIDGET("1"))},
        NOT_FOUND(V1BETA1 "watch=1"),
        NOT_FOUND(V1BETA1 "limit="),
        APIS(EXAMPLE),
        OF_V1(WIDGETS),
        {.expect = V1 "limit=", .status = 200, .body = ITEMS(WIDGET("1"))},
        {.expect = V1 "watch=1", .body = "", HOLD},
    };
    START(steps);
    while (!served.known)
        go_round();
    served.due_mono = 0;
    until(is_watching);
    assert_null(told(OP(DELETED)));
    assert_int_equal(caught_objects(&caught, KIND, 0), 1);
}

static void test_what_cannot_be_read_is_said(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        APIS(EXAMPLE),
        OF_V1(WIDGETS),
        {.expect = V1 "limit=", .status = 403, .body = "{}"},
    };
    START(steps);
    until(is_said);
    assert_string_equal(
        told(OP(UNREADABLE))->reason,
        "RBAC: allow list, watch on widgets.example.com in namespace mcp for this service account");
    assert_false(widgets.absent || widgets.ok);
}

static bool is_unfit(void) {
    return !widgets.absent && !widgets.ok && strstr(widgets.reason, "belongs to no stage");
}

static bool is_failing(void) {
    return !widgets.absent && !widgets.ok && strstr(widgets.reason, "HTTP 503");
}

/* A cluster's own; and an API of a server of its own that is down, which says so until it is back. */
static void test_what_cannot_be_watched_is_said(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        APIS(EXAMPLE),
        {.expect = "/apis/example.com/v1", .whole = true, .status = 503, .body = "{}"},
        OF_V1(RESOURCE("widgets", "Widget", "false", ALL_VERBS)),
    };
    START(steps);
    until(is_failing);
    assert_null(caught_object(&caught, "widgets.example.com", OP(UNREADABLE), 0)); /* it may pass */
    extras.items[0].due_mono = 0;
    until(is_unfit);
    assert_non_null(caught_object(&caught, "widgets.example.com", OP(UNREADABLE), 0));
}

#define TEST(f) cmocka_unit_test_teardown(f, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_discovery_says_of_a_resource),
        cmocka_unit_test(test_versions_of_a_group),
        cmocka_unit_test(test_which_are_extra),
        cmocka_unit_test(test_kinds_of_kubernetes_itself),
        TEST(test_a_custom_resource_is_watched),
        TEST(test_one_that_is_installed_later),
        TEST(test_one_whose_api_goes_is_gone),
        TEST(test_another_version),
        TEST(test_what_cannot_be_read_is_said),
        TEST(test_what_cannot_be_watched_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
