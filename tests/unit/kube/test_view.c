/* Tests of what objects become: phases and object records, out of canned API objects. */
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
#include "caught.h"
#include "kube/kube_priv.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_##x
#define OP(x) PILOTGATE__OBJECT__OP__OP_##x
#define T0 1795000000000000000LL

static struct caught caught;
static struct norm_key key = {.bytes = {1, 2, 3}};
static struct kube_scope scope = {
    .own_release = "pilotgate", .namespace_name = "mcp", .key = &key, .emit = &caught.emit};
static struct kube_view view;

static const struct kube_kind *kind_of(const char *source) {
    const struct kube_kind *k = kube_kinds;
    while (k->source && strcmp(k->source, source) != 0)
        k++;
    assert_non_null(k->source);
    return k;
}

static void open_view(const char *source) {
    view = (struct kube_view){.scope = &scope, .kind = kind_of(source)};
}

static int set_up(void **state) {
    (void)state;
    caught_init(&caught);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kube_view_free(&view);
    caught_free(&caught);
    return 0;
}

static json_t *parse(const char *text) {
    json_t *doc = NULL;
    struct err e;
    assert_int_equal(js_parse(text, strlen(text), JS_TEXT_MAX, &doc, &e), 0);
    return doc;
}

static int see(const char *text, bool listed, struct err *e) {
    struct kube_sight s = {.recv_wall = T0, .previous_wall = T0 - 5, .listed = listed};
    json_t *doc = parse(text);
    int r = kube_view_see(&view, &s, doc, e);
    json_decref(doc);
    return r;
}

static void listed(const char *text) {
    struct err e;
    assert_int_equal(see(text, true, &e), 0);
}

static void watched(const char *text) {
    struct err e;
    assert_int_equal(see(text, false, &e), 0);
}

static void end_list(void) {
    struct kube_sight s = {.recv_wall = T0 + 1, .previous_wall = T0 - 5, .listed = true};
    kube_view_end(&view, &s);
}

static void deleted(const char *text) {
    struct kube_sight s = {.recv_wall = T0 + 9, .previous_wall = T0 + 4};
    json_t *doc = parse(text);
    assert_int_equal(kube_view_delete(&view, &s, doc, NULL), 0);
    json_decref(doc);
}

/* ---- pods */

#define POD_HEAD(rv)                                                                                        \
    "{\"metadata\":{\"name\":\"web-abc-x1\",\"uid\":\"u1\",\"resourceVersion\":\"" rv "\","                 \
    "\"creationTimestamp\":\"2026-11-23T04:00:01Z\",\"labels\":{\"pod-template-hash\":\"abc\","             \
    "\"app.kubernetes.io/instance\":\"web\"},\"ownerReferences\":[{\"kind\":\"ReplicaSet\","                \
    "\"name\":\"web-abc\",\"controller\":true}]%s},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\"," \
    "\"status\":\"True\",\"lastTransitionTime\":\"2026-11-23T04:00:02Z\"}%s],\"containerStatuses\":[%s]}}"

#define READY(st, t) ",{\"type\":\"Ready\",\"status\":\"" st "\",\"lastTransitionTime\":\"" t "\"}"
#define RUNNING(n, t) \
    "{\"name\":\"a\",\"restartCount\":" n ",\"state\":{\"running\":{\"startedAt\":\"" t "\"}}}"
#define WAITING(n, why) \
    "{\"name\":\"a\",\"restartCount\":" n ",\"state\":{\"waiting\":{\"reason\":\"" why "\"}}}"
#define ENDED(n, why, code, t)                                                                  \
    "{\"name\":\"a\",\"restartCount\":" n ",\"state\":{\"terminated\":{\"reason\":\"" why "\"," \
    "\"exitCode\":" code ",\"startedAt\":\"2026-11-23T04:00:04Z\",\"finishedAt\":\"" t "\"}}}"

static void pod(const char *rv, const char *meta, const char *conditions, const char *containers) {
    char text[4096];
    snprintf(text, sizeof text, POD_HEAD("%s"), rv, meta, conditions, containers);
    watched(text);
}

static int64_t at(const char *text) {
    int64_t t = 0;
    assert_int_equal(when_parse(text, &t), 0);
    return t;
}

static void test_pod_from_birth_to_end(void **state) {
    (void)state;
    open_view("pods");
    end_list();
    pod("1", "", "", "");
    pod("2", "", READY("False", "2026-11-23T04:00:02Z"), WAITING("0", "ContainerCreating"));
    pod("3", "", READY("False", "2026-11-23T04:00:02Z"), RUNNING("0", "2026-11-23T04:00:04Z"));
    pod("4", "", READY("True", "2026-11-23T04:00:06Z"), RUNNING("0", "2026-11-23T04:00:04Z"));
    pod("5", "", READY("True", "2026-11-23T04:00:06Z"), RUNNING("0", "2026-11-23T04:00:04Z"));
    pod("6", ",\"deletionTimestamp\":\"2026-11-23T05:00:00Z\"", READY("False", "2026-11-23T05:00:01Z"),
        ENDED("0", "Error", "143", "2026-11-23T05:00:01Z"));
    deleted("{\"metadata\":{\"name\":\"web-abc-x1\",\"uid\":\"u1\",\"resourceVersion\":\"7\"}}");

    static const Pilotgate__Phase__Kind order[] = {
        PHASE(POD_CREATED), PHASE(POD_SCHEDULED), PHASE(IMAGE_PULLED), PHASE(CONTAINER_STARTED),
        PHASE(POD_READY),   PHASE(POD_UNREADY),   PHASE(POD_DELETING), PHASE(POD_GONE)};
    assert_int_equal(caught.n, sizeof order / sizeof *order);
    for (size_t i = 0; i < caught.n; i++) {
        assert_int_equal(caught.items[i]->phase->kind, order[i]);
        assert_string_equal(caught.items[i]->phase->subject, "Pod/web-abc-x1");
        assert_string_equal(caught.items[i]->phase->owner, "Deployment/web");
        assert_string_equal(caught.items[i]->phase->uid, "u1");
        assert_false(caught.items[i]->phase->own);
    }
    const Pilotgate__Phase *created = caught_phase(&caught, PHASE(POD_CREATED), 0);
    assert_int_equal(created->t_wall_ns, at("2026-11-23T04:00:01Z"));
    assert_int_equal(created->precision_ns, WHEN_S);
    assert_int_equal(created->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT);
    assert_int_equal(created->origin, PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP);
    const Pilotgate__Phase *pulled = caught_phase(&caught, PHASE(IMAGE_PULLED), 0);
    assert_int_equal(pulled->t_wall_ns, at("2026-11-23T04:00:04Z"));
    assert_int_equal(pulled->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    assert_int_equal(caught_phase(&caught, PHASE(POD_READY), 0)->t_wall_ns, at("2026-11-23T04:00:06Z"));
    const Pilotgate__Phase *deleting = caught_phase(&caught, PHASE(POD_DELETING), 0);
    assert_int_equal(deleting->t_wall_ns, T0);
    assert_int_equal(deleting->origin, PILOTGATE__ORIGIN__ORIGIN_WATCH);
    const Pilotgate__Phase *gone = caught_phase(&caught, PHASE(POD_GONE), 0);
    assert_int_equal(gone->t_wall_ns, T0 + 9);
    assert_int_equal(gone->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    assert_int_equal(gone->precision_ns, 0);
}

static void test_container_failures_once_a_run(void **state) {
    (void)state;
    open_view("pods");
    end_list();
    pod("1", "", "", WAITING("0", "ErrImagePull"));
    pod("2", "", "", WAITING("0", "ImagePullBackOff"));
    pod("3", "", "", WAITING("0", "ErrImagePull"));
    pod("4", "", "", ENDED("0", "Error", "3", "2026-11-23T04:00:05Z"));
    pod("5", "", "", ENDED("0", "Error", "3", "2026-11-23T04:00:05Z"));
    pod("6", "", "", WAITING("1", "CrashLoopBackOff"));
    pod("7", "", "", WAITING("1", "CrashLoopBackOff"));
    /* the second end itself was missed; only lastState tells of it */
    pod("8", "", "",
        "{\"name\":\"a\",\"restartCount\":2,\"state\":{\"running\":{\"startedAt\":\"2026-11-23T04:00:09Z\"}},"
        "\"lastState\":{\"terminated\":{\"reason\":\"OOMKilled\",\"exitCode\":137,"
        "\"finishedAt\":\"2026-11-23T04:00:08Z\"}}}");
    static const char *const reasons[] = {"ErrImagePull", "ImagePullBackOff", "Error", "CrashLoopBackOff",
                                          "OOMKilled"};
    assert_int_equal(caught_phases(&caught, PHASE(CONTAINER_FAILED)), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(caught_phase(&caught, PHASE(CONTAINER_FAILED), i)->reason, reasons[i]);
    const Pilotgate__Phase *oom = caught_phase(&caught, PHASE(CONTAINER_FAILED), 4);
    assert_int_equal(oom->count, 2);
    assert_int_equal(oom->t_wall_ns, at("2026-11-23T04:00:08Z"));
    assert_int_equal(caught_phases(&caught, PHASE(CONTAINER_STARTED)), 2);
}

static void test_completed_container_is_no_failure(void **state) {
    (void)state;
    open_view("pods");
    pod("1", "", "", ENDED("0", "Completed", "0", "2026-11-23T04:00:05Z"));
    assert_int_equal(caught_phases(&caught, PHASE(CONTAINER_FAILED)), 0);
}

static void test_flaps_of_readiness_are_all_told(void **state) {
    (void)state;
    open_view("pods");
    pod("1", "", READY("True", "2026-11-23T04:00:06Z"), "");
    pod("2", "", READY("False", "2026-11-23T04:00:07Z"), "");
    pod("3", "", READY("True", "2026-11-23T04:00:08Z"), "");
    pod("4", "", READY("True", "2026-11-23T04:00:10Z"), ""); /* a flap that no event showed */
    assert_int_equal(caught_phases(&caught, PHASE(POD_READY)), 3);
    assert_int_equal(caught_phases(&caught, PHASE(POD_UNREADY)), 1);
}

static void test_pod_missing_in_a_relist_is_gone(void **state) {
    (void)state;
    open_view("pods");
    kube_view_begin(&view);
    listed("{\"metadata\":{\"name\":\"a\",\"uid\":\"u1\",\"resourceVersion\":\"1\"}}");
    listed("{\"metadata\":{\"name\":\"b\",\"uid\":\"u2\",\"resourceVersion\":\"1\"}}");
    end_list();
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 0);
    kube_view_begin(&view);
    listed("{\"metadata\":{\"name\":\"b\",\"uid\":\"u2\",\"resourceVersion\":\"1\"}}");
    end_list();
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 1);
    assert_string_equal(caught_phase(&caught, PHASE(POD_GONE), 0)->subject, "Pod/a");
    assert_int_equal(caught_phase(&caught, PHASE(POD_GONE), 0)->origin, PILOTGATE__ORIGIN__ORIGIN_LIST);
}

static void test_own_release_is_marked(void **state) {
    (void)state;
    open_view("pods");
    watched("{\"metadata\":{\"name\":\"a\",\"uid\":\"u1\",\"resourceVersion\":\"1\","
            "\"labels\":{\"app.kubernetes.io/instance\":\"pilotgate\"}}}");
    assert_true(caught_phase(&caught, PHASE(POD_CREATED), 0)->own);
}

/* ---- objects */

#define CONFIGMAP(rv, value, extra)                                                                      \
    "{\"metadata\":{\"name\":\"c\",\"uid\":\"u1\",\"resourceVersion\":\"" rv "\",\"creationTimestamp\":" \
    "\"2026-11-23T04:00:01Z\",\"annotations\":{\"meta.helm.sh/release-name\":\"web\"}" extra "},"        \
    "\"data\":{\"k\":\"" value "\"}}"

static void test_object_operations(void **state) {
    (void)state;
    open_view("configmaps");
    kube_view_begin(&view);
    listed(CONFIGMAP("1", "v", ""));
    listed("{\"metadata\":{\"name\":\"kube-root-ca.crt\",\"uid\":\"u0\",\"resourceVersion\":\"1\"}}");
    end_list();
    watched(CONFIGMAP("2", "v", ",\"managedFields\":[{\"time\":\"x\"}]"));
    watched(CONFIGMAP("3", "w", ""));
    deleted(CONFIGMAP("4", "w", ""));
    watched("{\"metadata\":{\"name\":\"d\",\"uid\":\"u2\",\"resourceVersion\":\"5\"}}");
    assert_int_equal(caught.n, 4);
    const Pilotgate__Object *o = caught_object(&caught, "ConfigMap", OP(LISTED), 0);
    assert_string_equal(o->name, "c");
    assert_string_equal(o->release, "web");
    assert_int_equal(o->previous_wall_ns, 0);
    assert_int_equal(o->created_wall_ns, at("2026-11-23T04:00:01Z"));
    assert_int_equal(o->origin, PILOTGATE__ORIGIN__ORIGIN_LIST);
    assert_int_equal(strlen(o->digest), 64);
    const Pilotgate__Object *m = caught_object(&caught, "ConfigMap", OP(MODIFIED), 0);
    assert_string_equal(m->resource_version, "3");
    assert_string_not_equal(m->digest, o->digest);
    assert_int_equal(m->previous_wall_ns, T0 - 5);
    assert_int_equal(m->t_wall_ns, T0);
    const Pilotgate__Object *d = caught_object(&caught, "ConfigMap", OP(DELETED), 0);
    assert_string_equal(d->digest, "");
    assert_string_equal(d->name, "c");
    assert_string_equal(d->release, "web");
    assert_int_equal(d->previous_wall_ns, T0 + 4);
    assert_non_null(caught_object(&caught, "ConfigMap", OP(ADDED), 0));
}

static void test_relist_tells_only_differences(void **state) {
    (void)state;
    open_view("configmaps");
    kube_view_begin(&view);
    listed(CONFIGMAP("1", "v", ""));
    listed("{\"metadata\":{\"name\":\"gone\",\"uid\":\"u2\",\"resourceVersion\":\"1\"}}");
    listed("{\"metadata\":{\"name\":\"same\",\"uid\":\"u3\",\"resourceVersion\":\"1\"}}");
    end_list();
    caught_clear(&caught);
    kube_view_begin(&view);
    listed(CONFIGMAP("7", "w", ""));
    listed("{\"metadata\":{\"name\":\"same\",\"uid\":\"u3\",\"resourceVersion\":\"6\"}}");
    listed("{\"metadata\":{\"name\":\"new\",\"uid\":\"u4\",\"resourceVersion\":\"5\"}}");
    end_list();
    assert_int_equal(caught.n, 3);
    assert_int_equal(caught_object(&caught, "ConfigMap", OP(MODIFIED), 0)->previous_wall_ns, T0 - 5);
    assert_string_equal(caught_object(&caught, "ConfigMap", OP(ADDED), 0)->name, "new");
    assert_string_equal(caught_object(&caught, "ConfigMap", OP(DELETED), 0)->name, "gone");
}

static void test_secret_values_never_leave(void **state) {
    (void)state;
    open_view("secrets");
    watched(
        "{\"metadata\":{\"name\":\"s\",\"uid\":\"u1\",\"resourceVersion\":\"1\"},"
        "\"data\":{\"password\":\"aHVudGVyMg==\"},\"stringData\":{\"x\":\"hunter2\"},\"type\":\"Opaque\"}");
    const Pilotgate__Object *o = caught_object(&caught, "Secret", OP(ADDED), 0);
    assert_non_null(o);
    assert_null(strstr(o->normal, "aHVudGVyMg"));
    assert_null(strstr(o->normal, "hunter2"));
    assert_non_null(strstr(o->normal, "keyed:"));
}

static void test_long_normal_form_is_cut_at_a_character(void **state) {
    (void)state;
    enum { CHARS = 40000 };
    char *text = malloc(3 * CHARS + 256);
    assert_non_null(text);
    int n = sprintf(
        text, "{\"metadata\":{\"name\":\"c\",\"uid\":\"u1\",\"resourceVersion\":\"1\"},\"data\":{\"k\":\"");
    for (int i = 0; i < CHARS; i++, n += 3)
        memcpy(text + n, "\xe2\x82\xac", 3);
    strcpy(text + n, "\"}}");
    open_view("configmaps");
    watched(text);
    free(text);
    const Pilotgate__Object *o = caught_object(&caught, "ConfigMap", OP(ADDED), 0);
    assert_true(o->truncated);
    size_t len = strlen(o->normal);
    assert_true(len <= WIRE_NORMAL_MAX && len > WIRE_NORMAL_MAX - 4);
    assert_memory_equal(o->normal + len - 3, "\xe2\x82\xac", 3);
}

static void test_namespace_is_told_once_and_again_when_made_anew(void **state) {
    (void)state;
    open_view("namespace");
    for (int i = 0; i < 2; i++) {
        kube_view_begin(&view);
        listed(
            "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"mcp\",\"uid\":\"u1\",\"resourceVersion\":\"1\","
            "\"creationTimestamp\":\"2026-11-23T04:00:01Z\"}}");
        end_list();
    }
    assert_int_equal(caught.n, 2);
    assert_string_equal(caught_phase(&caught, PHASE(NAMESPACE_CREATED), 0)->subject, "Namespace/mcp");
    kube_view_begin(&view);
    listed(
        "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"mcp\",\"uid\":\"u2\",\"resourceVersion\":\"9\"}}");
    end_list();
    assert_int_equal(caught_phases(&caught, PHASE(NAMESPACE_CREATED)), 2);
    assert_string_equal(caught_object(&caught, "Namespace", OP(DELETED), 0)->uid, "u1");
}

/* ---- workloads */

#define DEPLOYMENT(rv, gen, obs, want, have, updated, available, cond)                                      \
    "{\"metadata\":{\"name\":\"web\",\"uid\":\"u1\",\"resourceVersion\":\"" rv "\",\"generation\":" gen     \
    ",\"creationTimestamp\":\"2026-11-23T04:00:01Z\"},\"spec\":{\"replicas\":" want "},\"status\":{"        \
    "\"observedGeneration\":" obs ",\"replicas\":" have ",\"updatedReplicas\":" updated                     \
    ",\"availableReplicas\":" available ",\"conditions\":[{\"type\":\"Available\",\"status\":\"" cond "\"," \
    "\"lastTransitionTime\":\"2026-11-23T04:00:05Z\"},{\"type\":\"Progressing\",\"status\":\"True\","       \
    "\"reason\":\"NewReplicaSetAvailable\",\"lastUpdateTime\":\"2026-11-23T04:00:07Z\"}]}}"

static void test_deployment_rollout(void **state) {
    (void)state;
    open_view("deployments");
    end_list();
    watched(DEPLOYMENT("1", "1", "0", "2", "0", "0", "0", "False"));
    watched(DEPLOYMENT("2", "1", "1", "2", "2", "2", "1", "True"));
    assert_int_equal(caught_phases(&caught, PHASE(WORKLOAD_AVAILABLE)), 0);
    watched(DEPLOYMENT("3", "1", "1", "2", "2", "2", "2", "True"));
    watched(DEPLOYMENT("4", "1", "1", "2", "2", "2", "2", "True"));
    assert_int_equal(caught_phases(&caught, PHASE(WORKLOAD_AVAILABLE)), 1);
    assert_int_equal(caught_phases(&caught, PHASE(WORKLOAD_UNAVAILABLE)), 0);
    watched(DEPLOYMENT("5", "2", "1", "2", "2", "2", "2", "True")); /* the new spec is not observed yet */
    watched(DEPLOYMENT("6", "2", "2", "2", "3", "1", "2", "True")); /* an old pod is left */
    assert_int_equal(caught_phases(&caught, PHASE(WORKLOAD_UNAVAILABLE)), 1);
    watched(DEPLOYMENT("7", "2", "2", "2", "2", "2", "2", "True"));
    assert_int_equal(caught_phases(&caught, PHASE(WORKLOAD_AVAILABLE)), 2);
    const Pilotgate__Phase *p = caught_phase(&caught, PHASE(WORKLOAD_AVAILABLE), 1);
    assert_int_equal(p->t_wall_ns, T0);
    assert_int_equal(p->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    assert_int_equal(caught_phases(&caught, PHASE(WORKLOAD_CREATED)), 1);
    assert_int_equal(caught_objects(&caught, "Deployment", 0), 1); /* status alone is no change */
    assert_non_null(strstr(caught_object(&caught, "Deployment", 0, 0)->normal, "\"spec\""));
}

static void test_deployment_found_available(void **state) {
    (void)state;
    open_view("deployments");
    listed(DEPLOYMENT("1", "1", "1", "2", "2", "2", "2", "True"));
    const Pilotgate__Phase *p = caught_phase(&caught, PHASE(WORKLOAD_AVAILABLE), 0);
    assert_int_equal(p->t_wall_ns, at("2026-11-23T04:00:07Z"));
    assert_int_equal(p->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT);
    kube_view_free(&view);
    caught_clear(&caught);
    open_view("deployments"); /* changed since: the API does not know since when it is whole */
    listed(DEPLOYMENT("1", "2", "2", "2", "2", "2", "2", "True"));
    p = caught_phase(&caught, PHASE(WORKLOAD_AVAILABLE), 0);
    assert_int_equal(p->t_wall_ns, T0);
    assert_int_equal(p->bound, PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    assert_int_equal(p->origin, PILOTGATE__ORIGIN__ORIGIN_LIST);
}

/* ---- hostile input */

#define SET(uid, generation, desired)                                                                       \
    "{\"metadata\":{\"name\":\"" uid "-set\",\"uid\":\"" uid "\",\"resourceVersion\":\"" desired generation \
    "\",\"generation\":" generation                                                                         \
    "},\"status\":{\"observedGeneration\":1,\"desiredNumberScheduled\":" desired "}}"
#define OWNED(name, kind, uid)                              \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"" name  \
    "-uid\",\"resourceVersion\":\"1\",\"ownerReferences\":" \
    "[{\"kind\":\"" kind "\",\"name\":\"x\",\"uid\":\"" uid "\",\"controller\":true}]}}"

static void seen(const char *source, const char *text) {
    struct err e;
    open_view(source);
    if (see(text, false, &e) < 0)
        fail_msg("%s", e.text);
    kube_view_free(&view);
}

static void test_expected_agents_are_what_the_own_daemonset_wants(void **state) {
    (void)state;
    static struct kube_fleet fleet;
    kube_fleet_init(&fleet, "agent-x");
    scope.fleet = &fleet;
    assert_int_equal(kube_fleet_expected(&fleet), 0);
    seen("daemonsets", SET("other", "1", "9"));
    seen("daemonsets", SET("ours", "1", "3"));
    assert_int_equal(kube_fleet_expected(&fleet), 0); /* the own pod is not known yet */
    seen("pods", OWNED("agent-y", "DaemonSet", "other"));
    seen("pods", OWNED("agent-x", "DaemonSet", "ours"));
    assert_int_equal(kube_fleet_expected(&fleet), 3);
    seen("daemonsets", SET("ours", "2", "7")); /* the controller has not looked at generation 2 */
    assert_int_equal(kube_fleet_expected(&fleet), 3);
    seen("daemonsets", SET("ours", "1", "4"));
    assert_int_equal(kube_fleet_expected(&fleet), 4);
    seen("daemonsets", SET("ours", "1", "-1"));
    assert_int_equal(kube_fleet_expected(&fleet), 0);
    seen("daemonsets", SET("ours", "1", "99999999999"));
    assert_int_equal(kube_fleet_expected(&fleet), 0);
    seen("daemonsets", SET("ours", "1", "5"));
    kube_fleet_gone(&fleet, "other");
    assert_int_equal(kube_fleet_expected(&fleet), 5);
    kube_fleet_gone(&fleet, "ours");
    assert_int_equal(kube_fleet_expected(&fleet), 0);
    seen("pods", OWNED("agent-x", "ReplicaSet", "ours"));
    seen("daemonsets", SET("ours", "1", "5"));
    assert_int_equal(kube_fleet_expected(&fleet), 0);
    scope.fleet = NULL;
}

static void test_more_daemonsets_than_are_kept(void **state) {
    (void)state;
    static struct kube_fleet fleet;
    char uid[32];
    json_t *set = parse(SET("x", "1", "6"));
    struct kube_meta m = {.uid = uid};
    kube_fleet_init(&fleet, "agent-x");
    for (int i = 0; i < 2 * KUBE_DAEMONS_MAX; i++) {
        (void)snprintf(uid, sizeof uid, "set-%d", i);
        kube_fleet_daemons(&fleet, &m, set);
    }
    assert_int_equal(fleet.n, KUBE_DAEMONS_MAX);
    (void)snprintf(fleet.owner, sizeof fleet.owner, "ours");
    (void)snprintf(uid, sizeof uid, "ours");
    kube_fleet_daemons(&fleet, &m, set);
    assert_int_equal(kube_fleet_expected(&fleet), 6);
    json_decref(set);
}

static void test_hostile_objects_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "{}",
        "[]",
        "\"x\"",
        "{\"metadata\":7}",
        "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}",
        "{\"metadata\":{\"name\":\"\",\"uid\":\"u\",\"resourceVersion\":\"1\"}}",
        "{\"metadata\":{\"name\":\"a\\nb\",\"uid\":\"u\",\"resourceVersion\":\"1\"}}",
        "{\"metadata\":{\"name\":[\"a\"],\"uid\":\"u\",\"resourceVersion\":\"1\"}}",
        "{\"metadata\":{\"name\":\"a\",\"uid\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123\","
        "\"resourceVersion\":\"1\"}}",
    };
    open_view("pods");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e;
        assert_int_equal(see(bad[i], false, &e), -EBADMSG);
    }
    assert_int_equal(caught.n, 0);
    assert_int_equal(view.known.n, 0);
}

/* Fields of wrong types and lengths: nothing is believed, nothing crashes (run under ASan). */
static void test_hostile_pod_fields(void **state) {
    (void)state;
    open_view("pods");
    pod("1", ",\"deletionTimestamp\":{}", ",7,{\"type\":[]},{\"type\":\"Ready\",\"status\":\"True\"}",
        "3,{\"name\":\"this-name-of-a-container-is-longer-than-the-sixty-three-characters-that-are-allowed\","
        "\"restartCount\":99999999999999,\"state\":{\"terminated\":{\"exitCode\":\"x\"}}},"
        "{\"restartCount\":-5,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}");
    assert_int_equal(caught_phases(&caught, PHASE(POD_READY)), 1);
    assert_int_equal(caught_phase(&caught, PHASE(POD_READY), 0)->bound,
                     PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST);
    assert_int_equal(caught_phases(&caught, PHASE(CONTAINER_FAILED)), 1);
    assert_int_equal(caught_phase(&caught, PHASE(CONTAINER_FAILED), 0)->count, 0);
}

static void test_memory_is_bounded(void **state) {
    (void)state;
    struct err e;
    open_view("services");
    view.known.n = KUBE_KNOWN_MAX; /* as if so many were known */
    assert_int_equal(
        see("{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"1\"}}", false, &e), -EMSGSIZE);
    assert_non_null(strstr(e.text, "more than 20000 services"));
    view.known.n = 0;
}

/* ---- Endpoints */

#define ENDPOINTS(rv, subsets)                                                   \
    "{\"metadata\":{\"name\":\"gw\",\"uid\":\"u1\",\"resourceVersion\":\"" rv    \
    "\",\"labels\":{\"app\":\"gw\"},\"annotations\":{\"endpoints.kubernetes.io/" \
    "last-change-trigger-time\":\"" rv "\"}},\"subsets\":" subsets "}"
#define SUBSET(ready, not_ready) "[{\"addresses\":[" ready "],\"notReadyAddresses\":[" not_ready "]}]"
#define ADDRESS(ip) "{\"ip\":\"" ip "\"}"

static const char *nth_endpoints(int op, size_t n) {
    const Pilotgate__Object *o = caught_object(&caught, "Endpoints", op, n);
    return o ? o->normal : NULL;
}

/* Pods come and go one by one; what is told is that there is none, and that there is one again. */
static void test_ready_endpoints(void **state) {
    (void)state;
    open_view("endpoints");
    listed(ENDPOINTS("1", "null"));
    end_list();
    assert_string_equal(nth_endpoints(OP(LISTED), 0), "{\"kind\":\"Endpoints\",\"metadata\":{\"labels\":{"
                                                      "\"app\":\"gw\"},\"name\":\"gw\"},\"ready\":false}");
    watched(ENDPOINTS("2", SUBSET("", ADDRESS("10.0.0.1"))));
    assert_int_equal(caught.n, 1);
    watched(ENDPOINTS("3", SUBSET(ADDRESS("10.0.0.1"), "")));
    assert_non_null(strstr(nth_endpoints(OP(MODIFIED), 0), "\"ready\":true"));
    watched(ENDPOINTS("4", SUBSET(ADDRESS("10.0.0.1"), ADDRESS("10.0.0.2"))));
    watched(ENDPOINTS("5", SUBSET(ADDRESS("10.0.0.1") "," ADDRESS("10.0.0.2"), "")));
    watched(ENDPOINTS("6", SUBSET(ADDRESS("10.0.0.2"), "")));
    assert_int_equal(caught.n, 2);
    watched(ENDPOINTS("7", "[]"));
    assert_non_null(strstr(nth_endpoints(OP(MODIFIED), 1), "\"ready\":false"));
    deleted(ENDPOINTS("8", "[]"));
    assert_int_equal(caught_objects(&caught, "Endpoints", OP(DELETED)), 1);
    assert_int_equal(caught.n, 4);
}

/* No matter of what a hostile API calls so. */
static void test_odd_endpoints(void **state) {
    (void)state;
    static const char *const odd[] = {"7", "{}", "[7,{\"addresses\":{}},{\"addresses\":7}]", "\"x\"",
                                      "[[[]]]"};
    open_view("endpoints");
    listed(ENDPOINTS("0", "[]"));
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char text[512];
        (void)snprintf(
            text, sizeof text,
            "{\"metadata\":{\"name\":\"gw\",\"uid\":\"u1\",\"resourceVersion\":\"1%zu\",\"labels\":[]},"
            "\"subsets\":%s}",
            i, odd[i]);
        watched(text);
    }
    assert_int_equal(caught.n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ready_endpoints),
        TEST(test_odd_endpoints),
        TEST(test_pod_from_birth_to_end),
        TEST(test_container_failures_once_a_run),
        TEST(test_completed_container_is_no_failure),
        TEST(test_flaps_of_readiness_are_all_told),
        TEST(test_pod_missing_in_a_relist_is_gone),
        TEST(test_own_release_is_marked),
        TEST(test_object_operations),
        TEST(test_relist_tells_only_differences),
        TEST(test_secret_values_never_leave),
        TEST(test_long_normal_form_is_cut_at_a_character),
        TEST(test_namespace_is_told_once_and_again_when_made_anew),
        TEST(test_deployment_rollout),
        TEST(test_deployment_found_available),
        TEST(test_expected_agents_are_what_the_own_daemonset_wants),
        TEST(test_more_daemonsets_than_are_kept),
        TEST(test_hostile_objects_are_refused),
        TEST(test_hostile_pod_fields),
        TEST(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
