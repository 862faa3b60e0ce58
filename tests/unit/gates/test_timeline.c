/* A stage's timeline as its users see it: rows, figures, bounds, windows, folded quiet, many pods, any
 * terminal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "report/report.h"
#include "scenario.h"

#define KIND(x) PILOTGATE__PHASE__KIND__KIND_##x
#define AT PILOTGATE__TIME_BOUND__TIME_BOUND_AT
#define AT_MOST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST
#define AT_LEAST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST
#define API PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP
#define WATCH PILOTGATE__ORIGIN__ORIGIN_WATCH
#define EVENT PILOTGATE__ORIGIN__ORIGIN_EVENT
#define ADDED PILOTGATE__OBJECT__OP__OP_ADDED
#define MODIFIED PILOTGATE__OBJECT__OP__OP_MODIFIED
#define DAY 86400.0

static struct scenario s;

static Pilotgate__Phase make(int kind, double t, const char *subject, const char *owner, int origin) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = (Pilotgate__Phase__Kind)kind;
    p.subject = p.uid = (char *)subject;
    p.owner = (char *)owner;
    p.t_wall_ns = (int64_t)(t * 1e9);
    p.precision_ns = origin == WATCH ? 0 : WHEN_S;
    p.bound = origin == WATCH ? AT_MOST : AT;
    p.origin = (Pilotgate__Origin)origin;
    return p;
}

static void tell(int kind, double t, const char *subject, const char *owner, int origin) {
    Pilotgate__Phase p = make(kind, t, subject, owner, origin);
    scenario_told_phase(&s, 0, t + 0.2, &p);
}

static void bounded(int kind, double t, const char *subject, int bound) {
    Pilotgate__Phase p = make(kind, t, subject, "Deployment/gateway", API);
    p.bound = (Pilotgate__TimeBound)bound;
    scenario_told_phase(&s, 0, 5000, &p);
}

static void revision(int n, double t, const char *description, double took) {
    char subject[32];
    snprintf(subject, sizeof subject, "Release/shop.v%d", n);
    scenario_release(&s, 0, ADDED, t, t + 0.2, n, "pending-upgrade", "under way", subject);
    tell(KIND(RELEASE_CREATED), t, subject, "shop", API);
    if (took > 0) {
        scenario_release(&s, 0, MODIFIED, t, t + took, n, "deployed", description, subject);
        tell(KIND(RELEASE_DEPLOYED), t + took, subject, "shop", WATCH);
    }
}

static void pod_born(const char *name, double t) {
    tell(KIND(POD_CREATED), t, name, "Deployment/gateway", API);
    tell(KIND(POD_SCHEDULED), t + 1, name, "Deployment/gateway", API);
}

static void pod_ready(const char *name, double t) {
    tell(KIND(CONTAINER_STARTED), t + 4, name, "Deployment/gateway", API);
    tell(KIND(POD_READY), t + 7, name, "Deployment/gateway", API);
}

static void pull(const char *name, double t) {
    Pilotgate__Phase p = make(KIND(IMAGE_PULLING), t, name, "", EVENT);
    p.image = p.container = (char *)"app";
    scenario_told_phase(&s, 0, t + 0.3, &p);
    p.kind = KIND(IMAGE_PULLED);
    p.t_wall_ns += 3 * WHEN_S;
    p.duration_ns = 2500 * WHEN_MS;
    p.bytes = 88123456;
    scenario_told_phase(&s, 0, t + 3.3, &p);
}

static void failed(const char *name, double t, const char *reason, unsigned count) {
    Pilotgate__Phase p = make(KIND(CONTAINER_FAILED), t, name, "", EVENT);
    p.reason = (char *)reason;
    p.count = count;
    scenario_told_phase(&s, 0, t + 0.1, &p);
}

/* An install; three days later an upgrade whose image cannot be pulled, and its rollback. */
static void pilot(void) {
    tell(KIND(NAMESPACE_CREATED), 0, "Namespace/shop", "", API);
    revision(1, 5, "Install complete", 8);
    tell(KIND(WORKLOAD_CREATED), 5, "Deployment/gateway", "shop", API);
    tell(KIND(WORKLOAD_AVAILABLE), 12.8, "Deployment/gateway", "shop", WATCH);
    pod_born("Pod/gateway-1-aaaa", 5);
    pull("Pod/gateway-1-aaaa", 6);
    pod_ready("Pod/gateway-1-aaaa", 5);
    Pilotgate__Phase call = make(KIND(FIRST_CALL), 20, "Probe/hold", "", PILOTGATE__ORIGIN__ORIGIN_PROBE);
    scenario_told_phase(&s, 0, 20, &call);
    revision(2, 3 * DAY, "", 0);
    pod_born("Pod/gateway-2-bbbb", 3 * DAY + 1);
    failed("Pod/gateway-2-bbbb", 3 * DAY + 5, "ErrImagePull", 1);
    failed("Pod/gateway-2-bbbb", 3 * DAY + 60, "ErrImagePull", 4);
    revision(3, 3 * DAY + 100, "Rollback to 1", 3);
    tell(KIND(POD_DELETING), 3 * DAY + 101, "Pod/gateway-2-bbbb", "Deployment/gateway", WATCH);
    tell(KIND(POD_GONE), 3 * DAY + 103, "Pod/gateway-2-bbbb", "Deployment/gateway", WATCH);
}

static int set_up(void **state) {
    (void)state;
    scenario_begin(&s, "{}");
    size_t a = scenario_agent(&s, "n1");
    for (int i = 0; i < 4 * 24 * 60; i++)
        scenario_clock(&s, a, 60.0 * i, 0, 0.001);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scenario_end(&s);
    return 0;
}

static const struct facts *judged(void) {
    json_decref(scenario_judge(&s, 4 * DAY));
    return &s.c.stages[0];
}

static char *shown(const struct facts *f, struct report_timeline how, unsigned width) {
    char *text = NULL;
    size_t len = 0;
    struct report r = {.to = open_memstream(&text, &len), .width = width};
    struct err e = {.text = ""};
    assert_non_null(r.to);
    if (report_timeline(&r, f, &how, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(fclose(r.to), 0);
    return text;
}

static bool has_line(const char *text, const char *begins, const char *holds) {
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char one[1024];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
        if (strncmp(one, begins, strlen(begins)) == 0 && strstr(one, holds))
            return true;
    }
    return false;
}

static void expect(const char *text, const char *begins, const char *holds) {
    if (!has_line(text, begins, holds))
        fail_msg("no line that begins with \"%s\" and holds \"%s\" in\n%s", begins, holds, text);
}

static void test_rows_and_figures(void **state) {
    (void)state;
    pilot();
    char *text = shown(judged(), (struct report_timeline){.ascii = true}, 140);
    expect(text, "namespace shop", "since 2027-01-15 08:00");
    expect(text, "release shop.v1", "deployed after 8 s");
    expect(text, "release shop.v2", "never ended");
    expect(text, "release shop.v3", "rollback to v1, deployed after 3 s");
    expect(text, "Deployment/gateway", "available after 8 s");
    expect(text, "  gateway-1-aaaa", "ready after 7 s, pull 2.50 s 88 MB");
    expect(text, "  gateway-2-bbbb", "ErrImagePull x4");
    expect(text, "  gateway-2-bbbb", "!");
    expect(text, "  a  ", "first call: Probe/hold");
    expect(text, "  1  ", "change shop.v1: Install complete");
    expect(text, "  3  ", "change shop.v3: Rollback to 1");
    expect(text, "", ": long quiet, folded"); /* three days of nothing do not hide the seconds */
    expect(text, "  gateway-1-aaaa", "p");    /* pulling, started: seen as of their own */
    expect(text, "  gateway-1-aaaa", "s#");
    free(text);
}

static void unschedulable(const char *name, double t, unsigned count) {
    Pilotgate__Phase p = make(KIND(POD_UNSCHEDULABLE), t, name, "", EVENT);
    p.reason = (char *)"0/2 nodes are available";
    p.count = count;
    scenario_told_phase(&s, 0, t + 0.1, &p);
}

static void hook(int kind, double t, const char *name, const char *reason) {
    Pilotgate__Phase p = make(kind, t, name, "shop", API);
    p.reason = (char *)reason;
    scenario_told_phase(&s, 0, t + 0.1, &p);
}

/* Each phase has a character of its own, in the order in which it happened. */
static void test_characters(void **state) {
    (void)state;
    tell(KIND(NAMESPACE_CREATED), 0, "Namespace/shop", "", API);
    hook(KIND(HOOK_STARTED), 1, "Job/migrate", "pre-install");
    hook(KIND(HOOK_SUCCEEDED), 9, "Job/migrate", "pre-install");
    hook(KIND(HOOK_STARTED), 12, "Job/check", "post-install");
    hook(KIND(HOOK_FAILED), 21, "Job/check", "post-install: BackoffLimitExceeded");
    const char *pod = "Pod/gateway-1";
    tell(KIND(POD_CREATED), 0, pod, "Deployment/gateway", API);
    unschedulable(pod, 5, 3);
    tell(KIND(POD_SCHEDULED), 10, pod, "Deployment/gateway", API);
    tell(KIND(CONTAINER_STARTED), 15, pod, "Deployment/gateway", API); /* of an init container */
    tell(KIND(POD_INITIALIZED), 20, pod, "Deployment/gateway", API);
    pull(pod, 22);
    tell(KIND(CONTAINER_STARTED), 30, pod, "Deployment/gateway", API);
    tell(KIND(POD_READY), 35, pod, "Deployment/gateway", API);
    tell(KIND(POD_UNREADY), 40, pod, "Deployment/gateway", API);
    tell(KIND(POD_DELETING), 45, pod, "Deployment/gateway", API);
    tell(KIND(POD_GONE), 50, pod, "Deployment/gateway", API);
    tell(KIND(POD_CREATED), 0, "Pod/gateway-2", "Deployment/gateway", API);
    unschedulable("Pod/gateway-2", 1, 1);
    unschedulable("Pod/gateway-2", 25, 9);
    tell(KIND(POD_CREATED), 0, "Pod/bare", "", API);
    unschedulable("Pod/bare", 1, 1);
    tell(KIND(WORKLOAD_CREATED), 0, "Deployment/gateway", "shop", API);
    tell(KIND(WORKLOAD_AVAILABLE), 36, "Deployment/gateway", "shop", WATCH);
    char *text = shown(judged(), (struct report_timeline){.ascii = true}, 140);
    const char *line = strstr(text, "  gateway-1 ");
    assert_non_null(line);
    static const char order[] = ".!?-i-p-s#~\\";
    size_t at = 0;
    for (line += strlen("  gateway-1 "); *line != '\n' && order[at]; line++) {
        if (at && *line == order[at - 1])
            continue;
        if (*line == order[at])
            at++;
    }
    if (order[at])
        fail_msg("no '%s' in its place in\n%s", order + at, text);
    expect(text, "hook Job/migrate", "succeeded after 8 s");
    expect(text, "hook Job/check", "post-install: BackoffLimitExceeded");
    expect(text, "hook Job/check", "ooo!");
    expect(text, "  gateway-2", "0/2 nodes are available x9");
    expect(text, "  gateway-2", "???  "); /* its workload has all its pods: it is none of them any more */
    expect(text, "  bare", "??? 0/2");    /* for all we know, it is there still */
    free(text);
}

static size_t columns(const char *line, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)line[i] & 0xc0) != 0x80;
    return n;
}

/* A git revert says that it is an upgrade. */
static void test_a_rollback_by_content(void **state) {
    (void)state;
    for (int i = 1; i <= 3; i++) {
        char subject[32];
        snprintf(subject, sizeof subject, "Release/shop.v%d", i);
        scenario_release(&s, 0, ADDED, 1000 * i, 1000 * i + 0.2, i, "deployed", "Upgrade complete",
                         i == 2 ? "new" : "old");
        tell(KIND(RELEASE_CREATED), 1000 * i, subject, "shop", API);
        tell(KIND(RELEASE_DEPLOYED), 1000 * i + 1, subject, "shop", WATCH);
    }
    char *text = shown(judged(), (struct report_timeline){.ascii = true}, 120);
    expect(text, "release shop.v3", "rollback to v1, deployed after 1 s");
    expect(text, "release shop.v2", "deployed after 1 s");
    expect(text, "  3  ", "change shop.v3, rollback to v1: Upgrade complete");
    free(text);
}

/* No line is wider than the terminal, and in a plain one there is nothing but ASCII. */
static void test_any_terminal(void **state) {
    (void)state;
    static const unsigned widths[] = {60, 61, 80, 100, 133, 400};
    pilot();
    const struct facts *f = judged();
    for (size_t i = 0; i < 2 * sizeof widths / sizeof *widths; i++) {
        unsigned width = widths[i / 2];
        char *text = shown(f, (struct report_timeline){.ascii = i % 2}, width);
        bool legend = false;
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
            size_t n = strcspn(line, "\n");
            legend = legend || line[n + 1] == 0;
            if (!legend && line != text && columns(line, n) > width)
                fail_msg("%zu columns of %u: %.*s", columns(line, n), width, (int)n, line);
        }
        for (const char *p = text; i % 2 && *p; p++)
            assert_true((unsigned char)*p < 0x80);
        free(text);
    }
}

static void test_windows(void **state) {
    (void)state;
    pilot();
    const struct facts *f = judged();
    char *text = shown(f, (struct report_timeline){.ascii = true, .revision = 1}, 100);
    assert_non_null(strstr(text, "gateway-1-aaaa"));
    assert_null(strstr(text, "gateway-2-bbbb"));
    free(text);
    text = shown(f, (struct report_timeline){.ascii = true, .revision = 2}, 100);
    assert_non_null(strstr(text, "2027-01-18 07:59:58 to 2027-01-18 08:01:40"));
    free(text);
    text = shown(f, (struct report_timeline){.ascii = true, .change = "shop.v3"}, 100);
    assert_non_null(strstr(text, "release shop.v3"));
    free(text);
    text = shown(f,
                 (struct report_timeline){
                     .ascii = true, .from = (SCENARIO_T0 + 3) * WHEN_S, .to = (SCENARIO_T0 + 30) * WHEN_S},
                 100);
    assert_non_null(strstr(text, "(27.00 s)"));
    assert_null(strstr(text, "shop.v2"));
    free(text);
    struct report r = {.to = stdout};
    struct err e;
    assert_int_equal(report_timeline(&r, f, &(struct report_timeline){.revision = 9}, &e), -ENOENT);
    assert_non_null(strstr(e.text, "no revision 9"));
    assert_int_equal(report_timeline(&r, f, &(struct report_timeline){.change = "shop.v9"}, &e), -ENOENT);
}

/* What an agent found when it came weeks later: every figure that follows from it says so. */
static void test_backfill_is_bounded(void **state) {
    (void)state;
    bounded(KIND(NAMESPACE_CREATED), 0, "Namespace/shop", AT);
    bounded(KIND(RELEASE_CREATED), 5, "Release/shop.v1", AT);
    bounded(KIND(RELEASE_SUPERSEDED), 50, "Release/shop.v1", AT_MOST);
    bounded(KIND(RELEASE_CREATED), 40, "Release/shop.v2", AT);
    bounded(KIND(RELEASE_DEPLOYED), 50, "Release/shop.v2", AT_MOST);
    bounded(KIND(POD_CREATED), 41, "Pod/gateway-2", AT);
    bounded(KIND(POD_READY), 49, "Pod/gateway-2", AT_MOST);
    bounded(KIND(WORKLOAD_CREATED), 5, "Deployment/gateway", AT);
    bounded(KIND(WORKLOAD_AVAILABLE), 60, "Deployment/gateway", AT_MOST);
    bounded(KIND(RELEASE_CREATED), 70, "Release/other.v1", AT);
    bounded(KIND(RELEASE_DEPLOYED), 72, "Release/other.v1", AT_LEAST);
    Pilotgate__Phase call = make(KIND(FIRST_CALL), 5001.5, "Probe/hold", "", PILOTGATE__ORIGIN__ORIGIN_PROBE);
    scenario_told_phase(&s, 0, 5001, &call);
    scenario_release(&s, 0, PILOTGATE__OBJECT__OP__OP_LISTED, 5, 5000, 1, "superseded", "Install complete",
                     "m");
    const struct facts *f = judged();
    char *text = shown(f, (struct report_timeline){.ascii = true}, 120);
    expect(text, "  a  <= 2027-01-15 09:23:21", "first call"); /* of the agents: of the stage, at most */
    expect(text, "release shop.v1", "was here before the agents");
    expect(text, "release shop.v2", "deployed after <= 10 s");
    expect(text, "release other.v1", "deployed after >= 2 s");
    expect(text, "  gateway-2", "ready after <= 8 s");
    expect(text, "  gateway-2", "<#");
    expect(text, "Deployment/gateway", "available after <= 55 s");
    free(text);
    text = shown(f, (struct report_timeline){.ascii = false}, 120);
    expect(text, "  gateway-2", "ready after \xe2\x89\xa4 8 s");
    free(text);
}

static void test_document(void **state) {
    (void)state;
    struct err e;
    json_t *doc;
    pilot();
    const struct facts *f = judged();
    assert_int_equal(report_timeline_json(f, &(struct report_timeline){.from = 0}, &doc, &e), 0);
    assert_string_equal(js_str(doc, "stage", ""), "east/shop");
    assert_int_equal(json_array_size(js_at(doc, "phases")), f->n_phases);
    size_t i;
    json_t *p;
    bool pulled = false;
    json_array_foreach(js_at(doc, "phases"), i,
                       p) { /* every time has its source, bound, precision and record */
        int64_t t;
        assert_int_equal(when_parse(js_str(p, "at", ""), &t), 0);
        assert_true(json_is_number(js_at(p, "precision_s")));
        assert_true(strlen(js_str(p, "bound", "")) > 0 && strlen(js_str(p, "source", "")) > 0);
        assert_non_null(strstr(js_str(p, "evidence", ""), "east/shop/n1@"));
        if (strcmp(js_str(p, "phase", ""), "image-pulled") == 0) {
            pulled = true;
            assert_int_equal(js_int(p, "bytes", 0), 88123456);
            assert_true(json_real_value(js_at(p, "duration_s")) == 2.5);
            assert_string_equal(js_str(p, "source", ""), "event");
        }
    }
    assert_true(pulled);
    json_array_foreach(js_at(doc, "rows"), i, p) {
        if (strcmp(js_str(p, "subject", ""), "Pod/gateway-1-aaaa") != 0)
            continue;
        static const char *const states[] = {"created", "scheduled", "pulling", "started", "ready"};
        assert_string_equal(js_str(p, "owner", ""), "Deployment/gateway");
        for (size_t k = 0; k < 3; k++)
            assert_string_equal(js_str(json_array_get(js_at(p, "spans"), k), "state", ""), states[k]);
        const json_t *last = json_array_get(js_at(p, "spans"), json_array_size(js_at(p, "spans")) - 1);
        assert_string_equal(js_str(last, "state", ""), "ready");
        assert_true(json_is_null(js_at(last, "to")));
        pulled = false;
    }
    assert_false(pulled); /* the row was there */
    json_decref(doc);
}

static void test_pods_of_old_revisions_are_one_row(void **state) {
    (void)state;
    char name[32];
    pilot();
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "Pod/gateway-0-%04d", i);
        pod_born(name, 1000 + 10 * i);
        pod_ready(name, 1000 + 10 * i);
        tell(KIND(POD_GONE), 1000 + 10 * i + 9, name, "Deployment/gateway", WATCH);
    }
    const struct facts *f = judged();
    char *text = shown(f, (struct report_timeline){.ascii = true}, 100);
    expect(text, "  30 pods of old revisions", "#");
    assert_null(strstr(text, "gateway-0-"));
    expect(text, "  gateway-1-aaaa", "#"); /* it is still there */
    free(text);
    text = shown(f, (struct report_timeline){.ascii = true, .all = true}, 100);
    expect(text, "  gateway-0-0029", "#");
    assert_null(strstr(text, "old revisions"));
    free(text);
}

/* Texts of a cluster reach a terminal: whatever they hold. */
static void test_hostile_names(void **state) {
    (void)state;
    char name[900];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memcpy(name, "Pod/\xe2\x80\xae\xf0\x9f\x92\xa9", 11);
    pod_born(name, 5);
    failed(name, 6, "\xe2\x80\xae reason", 3);
    tell(KIND(HOOK_FAILED), 7, "Job/h", "", API);
    tell(KIND(POD_GONE), 3, "Pod/gone-before", "", WATCH);
    tell(999, 8, "What/ever", "", API);
    const struct facts *f = judged();
    char *text = shown(f, (struct report_timeline){.ascii = true}, 60);
    for (const char *p = text; *p; p++)
        assert_true((unsigned char)*p < 0x80 && (*p >= ' ' || *p == '\n'));
    free(text);
    free(shown(f, (struct report_timeline){.as = REPORT_TIMELINE_LIST}, 60));
}

static void test_nothing_yet(void **state) {
    (void)state;
    const struct facts *f = judged();
    char *text = shown(f, (struct report_timeline){.from = 0}, 80);
    assert_string_equal(text, "east/shop: no phase was witnessed yet\n");
    free(text);
    json_t *doc;
    struct err e;
    assert_int_equal(report_timeline_json(f, &(struct report_timeline){.from = 0}, &doc, &e), 0);
    assert_true(json_is_null(js_at(doc, "from")));
    json_decref(doc);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_rollback_by_content),
        T(rows_and_figures),
        T(characters),
        T(any_terminal),
        T(windows),
        T(backfill_is_bounded),
        T(document),
        T(hostile_names),
        T(nothing_yet),
        T(pods_of_old_revisions_are_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
