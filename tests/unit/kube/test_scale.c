/* Tests of what a stage of 5,000 objects costs the agent: memory at rest, per object, and at its peak while
 * it lists them. The lists are made here and go the way of an answer's bytes (take.c); the records go
 * nowhere, as the spool is another part's. What a sanitizer adds is not measured. */
#include <malloc.h>

#include "memory.h"
#include "rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED false
#else
#define MEASURED true
#endif

#define OBJECTS 5000u
#define KINDS 5u
#define REST_BYTES 400u /* of an object at rest */
#define PEAK_MIB 6u

static const struct {
    const char *source, *head, *tail; /* of the object's text after metadata, around ... */
    size_t fill;                      /* ... so many bytes */
} kinds[KINDS] = {
    {"deployments",
     "\"spec\":{\"replicas\":2,\"selector\":{\"matchLabels\":{\"app\":\"a\"}},\"template\":{\"metadata\":{"
     "\"labels\":{\"app\":\"a\"}},\"spec\":{\"containers\":[{\"name\":\"main\",\"args\":[\"--config=",
     "\"],\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"128Mi\"}}}]}}},"
     "\"status\":{\"observedGeneration\":1,\"replicas\":2,\"readyReplicas\":2}",
     4000},
    {"services", "\"spec\":{\"selector\":{\"app\":\"", "\"},\"ports\":[{\"port\":80,\"targetPort\":8080}]}",
     60},
    {"configmaps", "\"data\":{\"app.yaml\":\"", "\"}", 16000},
    {"secrets", "\"type\":\"Opaque\",\"data\":{\"token\":\"", "\"}", 4000},
    {"networkpolicies", "\"spec\":{\"podSelector\":{\"matchLabels\":{\"app\":\"",
     "\"}},\"policyTypes\":[\"Ingress\"]}", 60},
};

static struct norm_key key;
static uint64_t told;

static void count(void *ctx, Pilotgate__Record *r) {
    (void)ctx;
    told += r->body_case == PILOTGATE__RECORD__BODY_OBJECT;
}

static const struct emit nowhere = {.fn = count};
static struct kube_scope scope = {.own_release = "", .namespace_name = "mcp", .key = &key, .emit = &nowhere};
static struct kube_source sources[KINDS];

static size_t object(size_t kind, unsigned i, unsigned version, char *out, size_t size) {
    static char fill[16001];
    memset(fill, 'x', kinds[kind].fill);
    fill[kinds[kind].fill] = 0;
    return (size_t)snprintf(
        out, size,
        "{\"metadata\":{\"name\":\"shop-component-%05u\",\"namespace\":\"mcp\",\"uid\":\"%08x-5bd6-4f3e-9c1a-"
        "%012x\","
        "\"resourceVersion\":\"%u\",\"labels\":{\"app.kubernetes.io/"
        "name\":\"component-%05u\"},\"annotations\":{"
        "\"meta.helm.sh/"
        "release-name\":\"shop\"},\"managedFields\":[{\"manager\":\"helm\",\"fieldsV1\":{\"f:spec\":{"
        "\"f:a\":{},\"f:b\":{},\"f:c\":{}}}}]},%s%s%s}",
        i, (unsigned)kind, i, 1000000 + version * OBJECTS + i, i, kinds[kind].head, fill, kinds[kind].tail);
}

static void feed(struct kube_source *s, const char *data, size_t len) {
    for (size_t at = 0; at < len; at += 16384)
        assert_int_equal(kube_take_list(s, data + at, len - at < 16384 ? len - at : 16384), 0);
}

/* One page with all objects of a kind, as an API server may answer. */
static void list(size_t kind) {
    static char text[32768];
    static const char head[] =
        "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"99999999\"},\"items\":[";
    struct kube_source *s = &sources[kind];
    s->watch.state = KUBE_LIST;
    s->list_wall = s->byte_wall = when_wall_ns();
    kube_view_begin(&s->view);
    feed(s, head, sizeof head - 1);
    for (unsigned i = 0; i < OBJECTS / KINDS; i++) {
        size_t n = object(kind, i, 0, text, sizeof text);
        text[n++] = i + 1 < OBJECTS / KINDS ? ',' : ']';
        feed(s, text, n);
    }
    feed(s, "}", 1);
    assert_int_equal(kube_take_page_end(s), KUBE_LISTED);
    kube_items_free(&s->items);
    assert_int_equal(s->view.known.n, OBJECTS / KINDS);
}

/* Each object once more, with the same content under a newer version, as a controller's status makes it. */
static void watch(size_t kind) {
    static char text[32768], line[33000];
    struct kube_source *s = &sources[kind];
    s->watch.state = KUBE_WATCH;
    s->established = true;
    for (unsigned i = 0; i < OBJECTS / KINDS; i++) {
        (void)object(kind, i, 1, text, sizeof text);
        int n = snprintf(line, sizeof line, "{\"type\":\"MODIFIED\",\"object\":%s}\n", text);
        s->byte_wall = when_wall_ns();
        assert_int_equal(kube_take_watch(s, line, (size_t)n), 0);
    }
    kube_frames_clear(&s->frames);
}

static void test_a_stage_of_5000_objects(void **state) {
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const struct kube_kind *k = kube_kinds;
        while (strcmp(k->source, kinds[i].source) != 0)
            k++;
        kube_source_init(&sources[i], k, &scope, NULL, NULL, "n1");
    }
    (void)malloc_trim(0);
    size_t before = memory_kib("RssAnon:");
    size_t resident = memory_kib("VmRSS:");
    (void)memory_reset_peak();
    for (size_t i = 0; i < KINDS; i++)
        list(i);
    assert_int_equal(told, OBJECTS);
    for (size_t i = 0; i < KINDS; i++)
        watch(i);
    assert_int_equal(told, OBJECTS); /* nothing changed but the version */
    size_t peak = memory_kib("VmHWM:") - resident;
    size_t rest = memory_kib("RssAnon:") - before;
    print_message("5,000 objects: %zu KiB at rest (%zu bytes each), %zu KiB at the peak\n", rest,
                  (rest << 10) / OBJECTS, peak);
    if (MEASURED) {
        assert_true((rest << 10) / OBJECTS <= REST_BYTES);
        assert_true(peak <= PEAK_MIB << 10);
    }
    for (size_t i = 0; i < KINDS; i++)
        kube_source_free(&sources[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_stage_of_5000_objects)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
