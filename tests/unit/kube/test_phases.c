/* Tests of what pods, their Events and Helm's hooks become: each phase with its time, bound and count; what
 * an agent that comes late may say; how many records any of them can cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "caught.h"
#include "kube/kube_priv.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_##x
#define AT PILOTGATE__TIME_BOUND__TIME_BOUND_AT
#define AT_MOST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST
#define EVENT PILOTGATE__ORIGIN__ORIGIN_EVENT
#define API PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP
#define T0 1795000000000000000LL

static struct caught caught;
static struct norm_key key = {.bytes = {1, 2, 3}};
static struct kube_events events;
static struct kube_scope scope = {.own_release = "pilotgate",
                                  .namespace_name = "mcp",
                                  .key = &key,
                                  .emit = &caught.emit,
                                  .events = &events};
static struct kube_view view;
static int64_t now;

static void open_view(const char *source) {
    const struct kube_kind *k = kube_kinds;
    while (k->source && strcmp(k->source, source) != 0)
        k++;
    assert_non_null(k->source);
    view = (struct kube_view){.scope = &scope, .kind = k};
}

static int set_up(void **state) {
    (void)state;
    now = T0;
    caught_init(&caught);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kube_view_free(&view);
    kube_events_free(&events);
    caught_free(&caught);
    return 0;
}

static void see(const char *text, bool listed) {
    struct kube_sight s = {.recv_wall = now, .previous_wall = now - 5, .listed = listed};
    json_t *doc = NULL;
    struct err e = {.text = ""};
    if (js_parse(text, strlen(text), JS_TEXT_MAX, &doc, &e) < 0)
        fail_msg("%s in %s", e.text, text);
    if (kube_view_see(&view, &s, doc, &e) < 0)
        fail_msg("%s", e.text);
    json_decref(doc);
}

static int64_t at(const char *text) {
    int64_t t = 0;
    assert_int_equal(when_parse(text, &t), 0);
    return t;
}

static const Pilotgate__Phase *phase(Pilotgate__Phase__Kind kind, size_t nth) {
    const Pilotgate__Phase *p = caught_phase(&caught, kind, nth);
    if (!p)
        fail_msg("no phase %d number %zu", (int)kind, nth);
    return p;
}

/* ---- events */

/* uid of the Event, count, first and last time, reason, message */
static void event(const char *uid, int count, const char *first, const char *last, const char *reason,
                  const char *message, bool listed) {
    static unsigned version;
    char text[2048];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"e\",\"uid\":\"%s\",\"resourceVersion\":\"%u\"},\"involvedObject\":{"
        "\"kind\":"
        "\"Pod\",\"name\":\"web-1\",\"uid\":\"p1\",\"fieldPath\":\"spec.containers{app}\"},\"reason\":\"%s\","
        "\"message\":\"%s\",\"firstTimestamp\":\"%s\",\"lastTimestamp\":\"%s\",\"count\":%d}",
        uid, ++version, reason, message, first, last, count);
    see(text, listed);
}

#define NOON "2026-11-23T12:00:00Z"
#define LATER "2026-11-23T12:00:07Z"

static void pulled(const char *message) {
    caught_clear(&caught);
    kube_events_free(&events);
    event("e1", 1, NOON, NOON, "Pulled", message, false);
    assert_int_equal(caught.n, 1);
}

static void test_what_a_pull_cost(void **state) {
    (void)state;
    open_view("events");
    pulled("Successfully pulled image \\\"r.example/app:1\\\" in 1m2.5s (1m4.25s including waiting). Image "
           "size: "
           "88123456 bytes.");
    const Pilotgate__Phase *p = phase(PHASE(IMAGE_PULLED), 0);
    assert_string_equal(p->subject, "Pod/web-1");
    assert_string_equal(p->uid, "p1");
    assert_string_equal(p->container, "app");
    assert_string_equal(p->image, "r.example/app:1");
    assert_true(p->bytes == 88123456);
    assert_true(p->duration_ns == 64250000000ULL);
    assert_false(p->cached);
    assert_int_equal(p->t_wall_ns, at(NOON));
    assert_int_equal(p->precision_ns, WHEN_S);
    assert_int_equal(p->bound, AT);
    assert_int_equal(p->origin, EVENT);

    pulled("Successfully pulled image \\\"app\\\" in 532.7ms"); /* 1.20 */
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->duration_ns == 532700000);
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->bytes == 0);
    pulled("Successfully pulled image \\\"app\\\" in 5s (5s including waiting)"); /* 1.25 */
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->duration_ns == 5000000000ULL);
    pulled("Successfully pulled image \\\"app\\\" in 12.5\xc2\xb5s");
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->duration_ns == 12500);
    pulled("Successfully pulled image \\\"app\\\""); /* 1.19 and before */
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->duration_ns == 0);
    pulled("Container image \\\"app:2\\\" already present on machine");
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->cached);
    assert_string_equal(phase(PHASE(IMAGE_PULLED), 0)->image, "app:2");
    pulled("Container image \\\"app:2\\\" already present on machine and can be accessed by the pod");
    assert_true(phase(PHASE(IMAGE_PULLED), 0)->cached);
}

static void test_hostile_messages(void **state) {
    (void)state;
    static const char *const messages[] = {"",
                                           "\\\"",
                                           "\\\"\\\"",
                                           "x \\\" in ",
                                           "x\\\" in 1e999h",
                                           "x\\\" in 9999999999999999h",
                                           "x\\\" in 0x1p99s",
                                           "x\\\" in 5 (",
                                           "x\\\" in 5s (5",
                                           "Image size: 99999999999999999999999 bytes",
                                           "\\\"a\\u0007b\\\"",
                                           "\\\"unfinished"};
    open_view("events");
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        pulled(messages[i]); /* caught unpacks what was told as a collector does */
        assert_string_equal(phase(PHASE(IMAGE_PULLED), 0)->image, "");
        assert_true(phase(PHASE(IMAGE_PULLED), 0)->bytes == 0);
    }
    caught_clear(&caught);
    see("{\"metadata\":{\"name\":\"e\",\"uid\":\"e9\",\"resourceVersion\":\"1\"},\"involvedObject\":{"
        "\"kind\":\"Pod\"},"
        "\"reason\":\"Pulled\"}",
        false);
    see("{\"metadata\":{\"name\":\"e\",\"uid\":\"e9\",\"resourceVersion\":\"2\"},\"involvedObject\":[],"
        "\"reason\":5}",
        false);
    event("e2", 1, NOON, NOON, "Killing", "Stopping container app", false);
    event("e3", 1, "no time", "no time", "Pulling", "Pulling image \\\"app\\\"", false);
    assert_int_equal(caught.n, 0);
}

static void test_a_repeated_event_raises_the_count_once_a_minute(void **state) {
    (void)state;
    open_view("events");
    const char *message = "Back-off pulling image \\\"app\\\"";
    event("e1", 1, NOON, NOON, "BackOff", message, false);
    for (int i = 2; i <= 500; i++) { /* half a minute of them */
        now += WHEN_S / 20;
        event("e1", i, NOON, LATER, "BackOff", message, false);
        kube_events_tick(&scope, now);
    }
    assert_int_equal(caught.n, 1);
    now += 60 * WHEN_S;
    kube_events_tick(&scope, now);
    kube_events_tick(&scope, now + WHEN_S);
    assert_int_equal(caught.n, 2); /* nothing is lost: the count says what was left out */
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 0)->count, 1);
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 1)->count, 500);
    assert_string_equal(phase(PHASE(CONTAINER_FAILED), 1)->reason, "ImagePullBackOff");
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 1)->t_wall_ns, at(LATER));
    now += 300 * WHEN_S;
    event("e1", 500, NOON, LATER, "BackOff", message, true); /* a relist tells nothing new */
    assert_int_equal(caught.n, 2);
}

static void test_an_event_found_late_tells_first_and_last(void **state) {
    (void)state;
    open_view("events");
    event("e1", 7, NOON, LATER, "Failed", "Failed to pull image \\\"app\\\": rpc error: secret", true);
    assert_int_equal(caught.n, 1);
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 0)->t_wall_ns, at(NOON));
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 0)->count, 1);
    assert_string_equal(phase(PHASE(CONTAINER_FAILED), 0)->reason, "ErrImagePull"); /* and nothing else */
    kube_events_tick(&scope, now + 61 * WHEN_S);
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 1)->t_wall_ns, at(LATER));
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 1)->count, 7);
    kube_events_free(&events);
    caught_clear(&caught);
    event("e2", 3, NOON, LATER, "Failed",
          "(combined from similar events): Failed to pull image \\\"app\\\": x", true);
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), 0)->bound, AT_MOST); /* others came before it */
}

/* The scheduler's come by events.k8s.io: microseconds, a series, and no firstTimestamp. */
static void test_what_could_not_be_scheduled(void **state) {
    (void)state;
    open_view("events");
    see("{\"metadata\":{\"name\":\"e\",\"uid\":\"e1\",\"resourceVersion\":\"1\"},\"involvedObject\":{"
        "\"kind\":\"Pod\","
        "\"name\":\"web-1\",\"uid\":\"p1\"},\"reason\":\"FailedScheduling\",\"message\":\"0/2 nodes are "
        "available: 2 "
        "Insufficient cpu.\",\"firstTimestamp\":null,\"lastTimestamp\":null,\"eventTime\":"
        "\"2026-11-23T12:00:00.123456Z\",\"series\":{\"count\":4,\"lastObservedTime\":\"2026-11-23T12:01:00."
        "5Z\"}}",
        false);
    const Pilotgate__Phase *p = phase(PHASE(POD_UNSCHEDULABLE), 0);
    assert_string_equal(p->reason, "0/2 nodes are available: 2 Insufficient cpu.");
    assert_string_equal(p->container, "");
    assert_int_equal(p->t_wall_ns, at("2026-11-23T12:00:00.123456Z"));
    assert_int_equal(p->precision_ns, 1000);
    kube_events_tick(&scope, now + 61 * WHEN_S);
    assert_int_equal(phase(PHASE(POD_UNSCHEDULABLE), 1)->count, 4);
    assert_int_equal(phase(PHASE(POD_UNSCHEDULABLE), 1)->t_wall_ns, at("2026-11-23T12:01:00.5Z"));
}

static void test_a_flood_of_events_is_bounded(void **state) {
    (void)state;
    char text[1024];
    open_view("events");
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text,
                 "{\"metadata\":{\"name\":\"e\",\"uid\":\"e%d\",\"resourceVersion\":\"%d\"},"
                 "\"involvedObject\":{\"kind\":"
                 "\"Pod\",\"name\":\"p\",\"uid\":\"p%d\"},\"reason\":\"Pulling\",\"message\":\"Pulling image "
                 "\\\"app\\\"\",\"firstTimestamp\":\"" NOON "\",\"count\":1}",
                 i, i, i);
        see(text, false);
        now += WHEN_S / 1000;
    }
    assert_true(caught.n <= 1000 + 20 * 5 + 1);
    assert_true(caught.n >= 1000);
    assert_int_equal(events.n, KUBE_EVENTS_MAX);
    assert_int_equal(view.known.n, 0); /* no Event is remembered by itself */
    kube_events_tick(&scope, now + 3600 * WHEN_S);
    assert_int_equal(events.n, KUBE_EVENTS_MAX);
    size_t told = caught.n;
    kube_events_tick(&scope, now + 2 * 3600 * WHEN_S); /* the API has dropped them all */
    assert_int_equal(events.n, 0);
    assert_true(caught.n - told <= 1000);
}

/* ---- pods */

#define CONDITION(type, st, t) \
    "{\"type\":\"" type "\",\"status\":\"" st "\",\"lastTransitionTime\":\"" t "\"}"

static void pod(unsigned version, const char *spec, const char *conditions, const char *statuses,
                bool listed) {
    char text[4096];
    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"name\":\"web-1\",\"uid\":\"p1\",\"resourceVersion\":\"%u\",\"creationTimestamp\":"
        "\"2026-11-23T11:00:00Z\"},\"spec\":{%s},\"status\":{\"conditions\":[%s],\"containerStatuses\":[%s]}"
        "}",
        version, spec, conditions, statuses);
    see(text, listed);
}

static void deleted(void) {
    struct kube_sight s = {.recv_wall = now, .previous_wall = now - 5};
    json_t *doc = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "name", "web-1", "uid", "p1",
                            "resourceVersion", "999999");
    assert_int_equal(kube_view_delete(&view, &s, doc, NULL), 0);
    json_decref(doc);
}

#define ALL_CONDITIONS                                                                    \
    CONDITION("PodScheduled", "True", "2026-11-23T11:00:01Z")                             \
    "," CONDITION("Initialized", "True", "2026-11-23T11:00:05Z") "," CONDITION(           \
        "ContainersReady", "True", "2026-11-23T11:00:08Z") "," CONDITION("Ready", "True", \
                                                                         "2026-11-23T11:00:09Z")
#define RUNNING \
    "{\"name\":\"app\",\"restartCount\":0,\"state\":{\"running\":{\"startedAt\":\"2026-11-23T11:00:06Z\"}}}"

static void expect(Pilotgate__Phase__Kind kind, const char *t, int bound) {
    const Pilotgate__Phase *p = phase(kind, 0);
    assert_int_equal(p->t_wall_ns, at(t));
    assert_int_equal(p->bound, bound);
    assert_int_equal(p->origin, API);
    assert_int_equal(p->precision_ns, WHEN_S);
}

static void test_a_pod_that_was_watched(void **state) {
    (void)state;
    open_view("pods");
    pod(1, "\"initContainers\":[{}]", ALL_CONDITIONS, RUNNING, false);
    expect(PHASE(POD_CREATED), "2026-11-23T11:00:00Z", AT);
    expect(PHASE(POD_SCHEDULED), "2026-11-23T11:00:01Z", AT);
    expect(PHASE(POD_INITIALIZED), "2026-11-23T11:00:05Z", AT);
    expect(PHASE(CONTAINER_STARTED), "2026-11-23T11:00:06Z", AT);
    expect(PHASE(CONTAINERS_READY), "2026-11-23T11:00:08Z", AT);
    expect(PHASE(POD_READY), "2026-11-23T11:00:09Z", AT);
    assert_string_equal(phase(PHASE(CONTAINER_STARTED), 0)->container, "app");
}

/* Adoption: a condition's time is that of its last flip; before it, the pod may have been ready, too. */
static void test_a_pod_that_was_there_before_the_agent(void **state) {
    (void)state;
    open_view("pods");
    pod(1, "\"initContainers\":[{}]", ALL_CONDITIONS, RUNNING, true);
    expect(PHASE(POD_CREATED), "2026-11-23T11:00:00Z", AT);
    expect(PHASE(POD_SCHEDULED), "2026-11-23T11:00:01Z", AT);
    expect(PHASE(POD_INITIALIZED), "2026-11-23T11:00:05Z", AT_MOST);
    expect(PHASE(CONTAINER_STARTED), "2026-11-23T11:00:06Z", AT); /* of this run, which has its number */
    expect(PHASE(IMAGE_PULLED), "2026-11-23T11:00:06Z", AT_MOST);
    expect(PHASE(CONTAINERS_READY), "2026-11-23T11:00:08Z", AT_MOST);
    expect(PHASE(POD_READY), "2026-11-23T11:00:09Z", AT_MOST);
}

static void test_without_init_containers_there_is_no_init_phase(void **state) {
    (void)state;
    open_view("pods");
    pod(1, "", ALL_CONDITIONS, RUNNING, false);
    assert_int_equal(caught_phases(&caught, PHASE(POD_INITIALIZED)), 0);
}

static void flap(unsigned i) {
    char conditions[256];
    char t[WHEN_TEXT_MAX];
    snprintf(conditions, sizeof conditions,
             "{\"type\":\"Ready\",\"status\":\"%s\",\"lastTransitionTime\":\"%s\"}", i % 2 ? "False" : "True",
             when_format(at(NOON) + i * WHEN_S, 0, t));
    pod(i + 1, "", conditions, "", false);
}

static void test_endless_flaps_are_bounded_and_counted(void **state) {
    (void)state;
    open_view("pods");
    for (unsigned i = 0; i < 10000; i++) { /* 100 a second, the last is UNREADY */
        flap(i);
        now += WHEN_S / 100;
        kube_view_tick(&view, now);
    }
    size_t told = caught_phases(&caught, PHASE(POD_READY)) + caught_phases(&caught, PHASE(POD_UNREADY));
    assert_true(told >= KUBE_RATE_BURST);
    assert_true(told <= KUBE_RATE_BURST + 100 / 10 + 1); /* 100 s */
    now += 20 * WHEN_S;
    kube_view_tick(&view, now); /* the last word is told, without any further event */
    assert_int_equal(view.held, 0);
    const Pilotgate__Record *last = caught.items[caught.n - 1];
    assert_int_equal(last->phase->kind, PHASE(POD_UNREADY));
    assert_int_equal(last->phase->count, 5000);
    size_t n = caught.n;
    kube_view_tick(&view, now + 100 * WHEN_S);
    assert_int_equal(caught.n, n);
}

static void crash(unsigned run) {
    char status[512];
    snprintf(status, sizeof status,
             "{\"name\":\"app\",\"restartCount\":%u,\"state\":{\"terminated\":{\"reason\":\"Error\","
             "\"exitCode\":1,"
             "\"startedAt\":\"2026-11-23T12:%02u:%02uZ\",\"finishedAt\":\"2026-11-23T12:%02u:%02uZ\"}}}",
             run, run / 60 % 60, run % 60, run / 60 % 60, run % 60);
    pod(run + 1, "", "", status, false);
}

static void test_what_is_held_back_is_told_before_the_pod_is_gone(void **state) {
    (void)state;
    open_view("pods");
    for (unsigned i = 0; i < 200; i++)
        crash(i);
    size_t told = caught_phases(&caught, PHASE(CONTAINER_FAILED));
    assert_true(told <= KUBE_RATE_BURST);
    assert_int_equal(view.held, 1);
    deleted();
    assert_int_equal(view.held, 0);
    assert_int_equal(caught_phases(&caught, PHASE(CONTAINER_FAILED)), told + 1);
    assert_int_equal(phase(PHASE(CONTAINER_FAILED), told)->count, 200);
    assert_string_equal(phase(PHASE(CONTAINER_FAILED), told)->container, "app");
    assert_int_equal(caught.items[caught.n - 1]->phase->kind, PHASE(POD_GONE));
}

static void test_pods_that_no_node_has(void **state) {
    (void)state;
    open_view("pods-unscheduled");
    assert_string_equal(view.kind->selector, "spec.nodeName=");
    pod(1, "", "", "", false); /* on its way */
    assert_int_equal(caught.n, 0);
    static const char *const no = "{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":"
                                  "\"Unschedulable\",\"message\":\"0/2 nodes\\nx\","
                                  "\"lastTransitionTime\":\"2026-11-23T11:00:02Z\"}";
    pod(2, "", no, "", false);
    pod(3, "", no, "", false);
    assert_int_equal(caught.n, 2);
    expect(PHASE(POD_CREATED), "2026-11-23T11:00:00Z", AT);
    expect(PHASE(POD_UNSCHEDULABLE), "2026-11-23T11:00:02Z", AT);
    assert_string_equal(phase(PHASE(POD_UNSCHEDULABLE), 0)->reason, "0/2 nodes");
    for (unsigned i = 0; i < 100; i++) { /* other words each time: once a minute */
        char other[256];
        snprintf(other, sizeof other,
                 "{\"type\":\"PodScheduled\",\"status\":\"False\",\"message\":\"%u\",\"lastTransitionTime\":"
                 "\"2026-11-23T11:00:02Z\"}",
                 i);
        now += 2 * WHEN_S;
        pod(10 + i, "", other, "", false);
    }
    assert_int_equal(caught_phases(&caught, PHASE(POD_UNSCHEDULABLE)), 1 + 3);
    deleted();
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 0); /* it may be on a node now */
}

/* ---- hooks */

#define JOB(rv, annotations, status)                                               \
    "{\"metadata\":{\"name\":\"migrate\",\"uid\":\"j1\",\"resourceVersion\":\"" rv \
    "\",\"creationTimestamp\":"                                                    \
    "\"2026-11-23T11:00:00Z\",\"labels\":{\"app.kubernetes.io/"                    \
    "instance\":\"shop\"},\"annotations\":{" annotations "}},\"status\":{" status "}}"
#define HOOK "\"helm.sh/hook\":\"pre-upgrade\""

static void test_hooks_by_jobs(void **state) {
    (void)state;
    open_view("jobs");
    see(JOB("1", "", "\"conditions\":[" CONDITION("Complete", "True", NOON) "]"), false);
    assert_int_equal(caught.n, 0); /* a Job that is no hook */
    kube_view_free(&view);
    open_view("jobs");
    see(JOB("1", HOOK, ""), false);
    see(JOB("2", HOOK, "\"active\":1"), false);
    see(JOB("3", HOOK, "\"failed\":1,\"conditions\":[" CONDITION("Complete", "True", NOON) "]"), false);
    see(JOB("4", HOOK, "\"failed\":1,\"conditions\":[" CONDITION("Complete", "True", NOON) "]"), false);
    assert_int_equal(caught.n, 2);
    expect(PHASE(HOOK_STARTED), "2026-11-23T11:00:00Z", AT);
    expect(PHASE(HOOK_SUCCEEDED), NOON, AT);
    assert_string_equal(phase(PHASE(HOOK_STARTED), 0)->subject, "Job/migrate");
    assert_string_equal(phase(PHASE(HOOK_STARTED), 0)->reason, "pre-upgrade");
    assert_string_equal(phase(PHASE(HOOK_STARTED), 0)->owner, "shop");
}

/* Both ends of a Job are final, so that a late agent knows them as well as an early one. */
static void test_a_hook_that_failed_before_the_agent_came(void **state) {
    (void)state;
    open_view("jobs");
    see(JOB("1", HOOK,
            "\"failed\":3,\"conditions\":[{\"type\":\"Failed\",\"status\":\"True\",\"reason\":"
            "\"BackoffLimitExceeded\","
            "\"lastTransitionTime\":\"" NOON "\"}]"),
        true);
    expect(PHASE(HOOK_FAILED), NOON, AT);
    assert_string_equal(phase(PHASE(HOOK_FAILED), 0)->reason, "pre-upgrade: BackoffLimitExceeded");
    assert_int_equal(phase(PHASE(HOOK_FAILED), 0)->count, 3);
}

static void test_hooks_by_bare_pods(void **state) {
    (void)state;
    static const char *const ended =
        "{\"metadata\":{\"name\":\"check\",\"uid\":\"p9\",\"resourceVersion\":\"%s\",\"creationTimestamp\":"
        "\"2026-11-23T11:00:00Z\",\"annotations\":{\"helm.sh/"
        "hook\":\"test\"}%s},\"status\":{\"phase\":\"Failed\","
        "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"exitCode\":1,\"finishedAt\":"
        "\"" NOON "\"}}}]}}";
    char text[1024];
    open_view("pods");
    snprintf(text, sizeof text, ended, "1", "");
    see(text, false);
    snprintf(text, sizeof text, ended, "2", "");
    see(text, false);
    assert_int_equal(caught_phases(&caught, PHASE(HOOK_STARTED)), 1);
    assert_int_equal(caught_phases(&caught, PHASE(HOOK_FAILED)), 1);
    expect(PHASE(HOOK_FAILED), NOON, AT);
    kube_view_free(&view);
    caught_clear(&caught);
    open_view("pods"); /* a hook Job's pod: the Job tells */
    snprintf(text, sizeof text, ended, "1", ",\"ownerReferences\":[{\"kind\":\"Job\",\"controller\":true}]");
    see(text, false);
    assert_int_equal(caught_phases(&caught, PHASE(HOOK_STARTED)), 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_a_pull_cost),
        T(hostile_messages),
        T(a_repeated_event_raises_the_count_once_a_minute),
        T(an_event_found_late_tells_first_and_last),
        T(what_could_not_be_scheduled),
        T(a_flood_of_events_is_bounded),
        T(a_pod_that_was_watched),
        T(a_pod_that_was_there_before_the_agent),
        T(without_init_containers_there_is_no_init_phase),
        T(endless_flaps_are_bounded_and_counted),
        T(what_is_held_back_is_told_before_the_pod_is_gone),
        T(pods_that_no_node_has),
        T(hooks_by_jobs),
        T(a_hook_that_failed_before_the_agent_came),
        T(hooks_by_bare_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
