/* An agent that comes weeks after the product: all it has are the lists of the API, served here by a fake
 * that answers lists only. Every figure that follows says whether it is exact, at most or at least. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "caught.h"
#include "fake.h"
#include "kube/kube_priv.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_##x
#define AT PILOTGATE__TIME_BOUND__TIME_BOUND_AT
#define AT_MOST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST
#define AT_LEAST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST
#define API PILOTGATE__ORIGIN__ORIGIN_API_TIMESTAMP
#define FOUND PILOTGATE__ORIGIN__ORIGIN_LIST
#define EVENT PILOTGATE__ORIGIN__ORIGIN_EVENT

#define META(name, uid, more)                                                            \
    "\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"5\"," \
    "\"creationTimestamp\":\"2026-10-01T08:00:00Z\"" more "}"
#define LIST(items) "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" items "]}"
#define CONDITION(type, st, t) \
    "{\"type\":\"" type "\",\"status\":\"" st "\",\"lastTransitionTime\":\"" t "\"}"

#define NOTHING \
    { .expect = "limit=", .status = 200, .body = LIST("") }

#define POD                                                                                                  \
    "{" META(                                                                                                \
        "web-1", "p1",                                                                                       \
        "") ",\"spec\":{\"initContainers\":[{}]},\"status\":{\"conditions\":"                                \
            "[" CONDITION("PodScheduled", "True", "2026-10-01T08:00:01Z") "," CONDITION(                     \
                "Initialized", "True",                                                                       \
                "2026-10-01T08:00:05Z") "," CONDITION("ContainersReady", "True",                             \
                                                      "2026-11-02T03:00:00Z") "," CONDITION("Ready", "True", \
                                                                                            "2026-11-02T03:" \
                                                                                            "00:00Z") "],"   \
                                                                                                      "\"co" \
                                                                                                      "ntai" \
                                                                                                      "nerS" \
                                                                                                      "tatu" \
                                                                                                      "ses"  \
                                                                                                      "\":[" \
                                                                                                      "{"    \
                                                                                                      "\"na" \
                                                                                                      "me\"" \
                                                                                                      ":\"a" \
                                                                                                      "pp\"" \
                                                                                                      ",\"r" \
                                                                                                      "esta" \
                                                                                                      "rtCo" \
                                                                                                      "unt"  \
                                                                                                      "\":"  \
                                                                                                      "4,"   \
                                                                                                      "\"st" \
                                                                                                      "ate"  \
                                                                                                      "\":{" \
                                                                                                      "\"ru" \
                                                                                                      "nnin" \
                                                                                                      "g\":" \
                                                                                                      "{"    \
                                                                                                      "\"st" \
                                                                                                      "arte" \
                                                                                                      "dAt"  \
                                                                                                      "\":"  \
                                                                                                      "\"20" \
                                                                                                      "26-"  \
                                                                                                      "11-"  \
                                                                                                      "02T0" \
                                                                                                      "2:"   \
                                                                                                      "59:"  \
                                                                                                      "50Z"  \
                                                                                                      "\"}}" \
                                                                                                      ","    \
                                                                                                      "\"la" \
                                                                                                      "stSt" \
                                                                                                      "ate"  \
                                                                                                      "\":{" \
                                                                                                      "\"te" \
                                                                                                      "rmin" \
                                                                                                      "ated" \
                                                                                                      "\":{" \
                                                                                                      "\"re" \
                                                                                                      "ason" \
                                                                                                      "\":"  \
                                                                                                      "\"OO" \
                                                                                                      "MKil" \
                                                                                                      "led"  \
                                                                                                      "\","  \
                                                                                                      "\"ex" \
                                                                                                      "itCo" \
                                                                                                      "de\"" \
                                                                                                      ":"    \
                                                                                                      "137," \
                                                                                                      "\"fi" \
                                                                                                      "nish" \
                                                                                                      "edAt" \
                                                                                                      "\":"  \
                                                                                                      "\"20" \
                                                                                                      "26-"  \
                                                                                                      "11-"  \
                                                                                                      "02T0" \
                                                                                                      "2:"   \
                                                                                                      "59:"  \
                                                                                                      "40Z"  \
                                                                                                      "\"}}" \
                                                                                                      "}"    \
                                                                                                      "]}}"

/* Its rollout ended at 08:00:07 if it never changed; flip: since when it has been available. */
#define DEPLOYMENT(name, uid, generation, flip)                                                              \
    "{" META(name, uid,                                                                                      \
             ",\"generation\":" generation) ",\"spec\":{\"replicas\":1},\"status\":{"                        \
                                            "\"observedGeneration\":" generation                             \
                                            ",\"replicas\":1,\"updatedReplicas\":1,\"availableReplicas\":1," \
                                            "\"conditions\":[" CONDITION(                                    \
                                                "Available", "True",                                         \
                                                flip) ",{\"type\":\"Progressing\",\"status\":\"True\","      \
                                                      "\"reason\":\"NewReplicaSetAvailable\","               \
                                                      "\"lastUpdateTime\":\"2026-10-01T08:00:07Z\"}]}}"
#define DEPLOYMENTS                                                                                 \
    DEPLOYMENT("steady", "d1", "1", "2026-10-01T08:00:06Z")                                         \
    "," DEPLOYMENT("shaky", "d2", "1", "2026-10-20T00:00:00Z") "," DEPLOYMENT("changed", "d3", "7", \
                                                                              "2026-10-01T08:00:06Z")

#define JOB                                                                                        \
    "{" META("migrate", "j1",                                                                      \
             ",\"annotations\":{\"helm.sh/hook\":\"post-install\"}") ",\"status\":{"               \
                                                                     "\"conditions\":[" CONDITION( \
                                                                         "Complete", "True",       \
                                                                         "2026-10-01T08:01:00Z") "]}}"
#define PULLED                                                                                           \
    "{" META(                                                                                            \
        "e", "e1",                                                                                       \
        "") ",\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"web-1\",\"uid\":\"p1\"},"                  \
            "\"reason\":\"Pulled\",\"count\":1,\"firstTimestamp\":\"2026-11-02T02:59:45Z\",\"message\":" \
            "\"Container image \\\"app\\\" already present on machine\"}"

static struct caught caught;
static struct norm_key key;
static struct fake *fake;
static struct config config;
static struct kube *kube;

/* data.release of a revision without values of its own (no "config"): base64 twice, by Helm and by the API.
 */
static void release_data(const char *name, char *out, size_t size) {
    char json[512];
    char once[1024];
    (void)snprintf(json, sizeof json,
                   "{\"name\":\"%s\",\"version\":1,\"info\":{\"status\":\"deployed\",\"last_deployed\":"
                   "\"2026-10-01T07:59:59Z\",\"description\":\"Install complete\"},\"chart\":{\"metadata\":{"
                   "\"name\":\"shop\",\"version\":\"1.0.0\"}},\"manifest\":\"\"}",
                   name);
    (void)sodium_bin2base64(once, sizeof once, (const unsigned char *)json, strlen(json),
                            sodium_base64_VARIANT_ORIGINAL);
    (void)sodium_bin2base64(out, size, (const unsigned char *)once, strlen(once),
                            sodium_base64_VARIANT_ORIGINAL);
}

/* One whose Secret says when it was written last, and one of which only Helm's start is known. */
static const char *releases(void) {
    static char list[8192];
    char a[2048];
    char b[2048];
    release_data("labelled", a, sizeof a);
    release_data("plain", b, sizeof b);
    (void)snprintf(
        list, sizeof list,
        LIST("{" META("sh.helm.release.v1.labelled.v1", "s1",
                      ",\"labels\":{\"modifiedAt\":\"1790841601\"},\"managedFields\":[{\"time\":\"2026-10-"
                      "01T08:00:05Z\"},"
                      "{\"time\":\"2026-10-01T08:00:30Z\"},{}]") ",\"data\":{\"release\":\"%s\"}},"
                                                                 "{" META(
                                                                     "sh.helm.release.v1.plain.v1", "s2",
                                                                     "") ",\"data\":{\"release\":\"%s\"}}"),
        a, b);
    return list;
}

static int64_t at(const char *text) {
    int64_t t = 0;
    assert_int_equal(when_parse(text, &t), 0);
    return t;
}

static const Pilotgate__Phase *find(Pilotgate__Phase__Kind kind, const char *subject) {
    const Pilotgate__Phase *p;
    for (size_t i = 0; (p = caught_phase(&caught, kind, i)); i++)
        if (strcmp(p->subject, subject) == 0)
            return p;
    return NULL;
}

static bool is_told(struct caught *c, const void *arg) {
    (void)arg;
    return caught_phase(c, PHASE(POD_READY), 0) && find(PHASE(WORKLOAD_AVAILABLE), "Deployment/changed") &&
           caught_phase(c, PHASE(HOOK_SUCCEEDED), 0) && caught_phase(c, PHASE(RELEASE_DEPLOYED), 1) &&
           caught_phase(c, PHASE(NAMESPACE_CREATED), 0) && caught_phase(c, PHASE(IMAGE_PULLED), 1) &&
           caught_object(c, "ConfigMap", 0, 0);
}

static void expect(Pilotgate__Phase__Kind kind, const char *subject, const char *t, int bound) {
    const Pilotgate__Phase *p = find(kind, subject);
    if (!p)
        fail_msg("nothing told of phase %d of %s", (int)kind, subject);
    assert_int_equal(p->t_wall_ns, at(t));
    assert_int_equal(p->bound, bound);
    assert_int_equal(p->origin, API);
}

static void test_everything_found_says_how_well_it_is_known(void **state) {
    (void)state;
    const struct fake_step steps[] = {
        {.expect = "nodeName=n1&limit", .status = 200, .body = LIST(POD)},
        {.expect = "/deployments?limit", .status = 200, .body = LIST(DEPLOYMENTS)},
        {.expect = "/jobs?limit", .status = 200, .body = LIST(JOB)},
        {.expect = "/events?", .status = 200, .body = LIST(PULLED)},
        {.expect = "fieldSelector=type=helm.sh", .status = 200, .body = releases()},
        {.expect = "/configmaps?limit", .status = 200, .body = LIST("{" META("c", "c1", "") "}")},
        NOTHING,
        NOTHING,
        NOTHING,
        NOTHING,
        NOTHING,
        NOTHING,
        NOTHING,
        NOTHING,
        NOTHING,
        {.expect = "/apis", .status = 200, .body = "{\"groups\":[]}"},
        {.expect = "/api/v1/namespaces/mcp",
         .whole = true,
         .status = 200,
         .body = "{\"kind\":\"Namespace\"," META("mcp", "n1", "") "}"},
        {.expect = "", .status = 500, .body = ""}, /* no watch is served */
    };
    struct err e;
    fake = fake_start(steps, sizeof steps / sizeof *steps, false);
    fake_by_url(fake);
    config = (struct config){
        .kube = {.enabled = true, .api = (char *)fake_url(fake), .secrets = true, .stage_scoped = true},
        .stage = {.namespace_name = (char *)"mcp", .node = (char *)"n1"}};
    assert_int_equal(kube_start(&config, &key, &caught.emit, NULL, NULL, &kube, &e), 0);
    assert_true(caught_wait(&caught, is_told, NULL));
    kube_stop(&kube);

    expect(PHASE(NAMESPACE_CREATED), "Namespace/mcp", "2026-10-01T08:00:00Z", AT);
    expect(PHASE(POD_CREATED), "Pod/web-1", "2026-10-01T08:00:00Z", AT);
    expect(PHASE(POD_SCHEDULED), "Pod/web-1", "2026-10-01T08:00:01Z", AT);
    expect(PHASE(POD_INITIALIZED), "Pod/web-1", "2026-10-01T08:00:05Z", AT_MOST);
    expect(PHASE(CONTAINERS_READY), "Pod/web-1", "2026-11-02T03:00:00Z", AT_MOST);
    expect(PHASE(POD_READY), "Pod/web-1", "2026-11-02T03:00:00Z", AT_MOST);    /* it was so a month before */
    expect(PHASE(CONTAINER_STARTED), "Pod/web-1", "2026-11-02T02:59:50Z", AT); /* its fifth run */
    assert_int_equal(find(PHASE(CONTAINER_STARTED), "Pod/web-1")->count, 4);
    expect(PHASE(CONTAINER_FAILED), "Pod/web-1", "2026-11-02T02:59:40Z", AT);
    expect(PHASE(WORKLOAD_CREATED), "Deployment/steady", "2026-10-01T08:00:00Z", AT);
    expect(PHASE(WORKLOAD_AVAILABLE), "Deployment/steady", "2026-10-01T08:00:07Z", AT);
    expect(PHASE(WORKLOAD_AVAILABLE), "Deployment/shaky", "2026-10-20T00:00:00Z", AT_MOST);
    const Pilotgate__Phase *changed = find(PHASE(WORKLOAD_AVAILABLE), "Deployment/changed");
    assert_int_equal(changed->bound, AT_MOST);
    assert_int_equal(changed->origin, FOUND);
    expect(PHASE(RELEASE_CREATED), "Release/plain.v1", "2026-10-01T08:00:00Z", AT);
    expect(PHASE(RELEASE_DEPLOYED), "Release/labelled.v1", "2026-10-01T08:00:30Z", AT_MOST);
    expect(PHASE(RELEASE_DEPLOYED), "Release/plain.v1", "2026-10-01T08:00:00Z", AT_LEAST);
    expect(PHASE(HOOK_STARTED), "Job/migrate", "2026-10-01T08:00:00Z", AT);
    expect(PHASE(HOOK_SUCCEEDED), "Job/migrate", "2026-10-01T08:01:00Z", AT);
    const Pilotgate__Object *o = caught_object(&caught, "ConfigMap", 0, 0);
    assert_int_equal(o->op, PILOTGATE__OBJECT__OP__OP_LISTED);
    assert_int_equal(o->created_wall_ns, at("2026-10-01T08:00:00Z")); /* not before ... */
    assert_int_equal(o->previous_wall_ns, 0); /* ... and nobody saw what was before it */
    for (size_t i = 0; i < caught.n; i++) { /* whatever was found, no time of it is the agent's as if exact */
        const Pilotgate__Phase *p =
            caught.items[i]->body_case == PILOTGATE__RECORD__BODY_PHASE ? caught.items[i]->phase : NULL;
        assert_true(!p || p->bound != AT || p->origin == API || p->origin == EVENT);
    }
}

static int set_up(void **state) {
    (void)state;
    caught_init(&caught);
    return sodium_init() < 0;
}

static int tear_down(void **state) {
    (void)state;
    kube_stop(&kube);
    if (fake)
        fake_stop(&fake);
    caught_free(&caught);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_found_says_how_well_it_is_known, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
