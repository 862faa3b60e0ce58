/* Tests of what coverage says of the sources: kinds as records spell them, kinds that are not served, when a
 * record is a full one, and what all of that costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/when.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

#define SOURCES 80
#define RECORDS 600 /* ten minutes */
#define WALL 1800000000123456789LL

static struct kube_scope stage = {.own_release = "", .namespace_name = "mcp"};
static struct kube_scope other = {.own_release = "", .namespace_name = "flux", .stage_namespace = "mcp"};
static struct kube_source sources[SOURCES];
static size_t n;
static struct kube_cover state;
static Pilotgate__Coverage__Source items[SOURCES], *list[SOURCES];
static size_t told;

/* Every kind is read, but for what the Gateway API, Flux and Argo CD bring. */
static int a_stage_at_rest(void **ctx) {
    (void)ctx;
    n = 0;
    state = (struct kube_cover){0};
    for (const struct kube_kind *k = kube_kinds; k->source; k++) {
        if (k->older)
            continue;
        assert_true(n < SOURCES);
        sources[n] = (struct kube_source){.kind = k, .newest = k, .scope = &stage};
        sources[n].absent = sources[n].unserved = k->gitops || k->custom;
        sources[n].ok = !sources[n].absent;
        sources[n++].covered_wall = WALL;
    }
    return 0;
}

static void cover(void) {
    told = kube_cover_sources(&state, sources, n, WALL, items, list);
}

static const Pilotgate__Coverage__Source *find(const char *name) {
    for (size_t i = 0; i < told; i++)
        if (strcmp(list[i]->name, name) == 0)
            return list[i];
    return NULL;
}

static struct kube_source *source_of(const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(sources[i].kind->source, name) == 0)
            return &sources[i];
    fail_msg("no source %s", name);
    return NULL;
}

static const char *kind_told(const char *name) {
    const Pilotgate__Coverage__Source *s = find(name);
    assert_non_null(s);
    return s->kind;
}

static void test_kinds_as_records_spell_them(void **ctx) {
    (void)ctx;
    cover();
    assert_string_equal(kind_told("deployments"), "Deployment");
    assert_string_equal(kind_told("releases"), "HelmRelease");
    assert_string_equal(kind_told("secrets"), "Secret");
    assert_string_equal(kind_told("namespace"), "Namespace");
    assert_string_equal(kind_told("helmreleases.helm.toolkit.fluxcd.io"),
                        "HelmRelease.helm.toolkit.fluxcd.io");
    static const char *const phases[] = {"pods", "pods-unscheduled", "jobs", "events"};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        assert_string_equal(kind_told(phases[i]), "");
    source_of("applications.argoproj.io")->scope = &other;
    state = (struct kube_cover){0};
    cover();
    assert_string_equal(kind_told("applications.argoproj.io"), "GitOps");
}

static void test_what_is_not_served_is_told(void **ctx) {
    (void)ctx;
    struct kube_source *s = source_of("ingresses");
    *s = (struct kube_source){.kind = s->kind, .newest = s->kind, .scope = &stage, .absent = true};
    (void)snprintf(s->reason, sizeof s->reason, "not read yet");
    cover();
    assert_null(find("ingresses")); /* nobody knows yet */
    s->unserved = true;
    s->covered_wall = WALL;
    cover();
    const Pilotgate__Coverage__Source *c = find("ingresses");
    assert_non_null(c);
    assert_true(c->ok);
    assert_non_null(strstr(c->reason, "the API server does not serve it"));
    assert_string_equal(c->kind, "Ingress");
    assert_true(c->last_wall_ns == WALL);
}

/* The first, each tenth, and one for each change of what is read; the others tell what is read, without
 * kinds. */
static void test_full_records(void **ctx) {
    (void)ctx;
    for (int i = 0; i < 3 * KUBE_COVER_FULL_S; i++) {
        cover();
        bool full = i % KUBE_COVER_FULL_S == 0;
        assert_int_equal(find("applications.argoproj.io") != NULL, full);
        assert_string_equal(kind_told("services"), full ? "Service" : "");
        assert_true(find("services")->ok);
    }
    cover();
    source_of("services")->ok = false;
    cover();
    assert_string_equal(kind_told("services"), "Service");
    cover();
    assert_string_equal(kind_told("services"), "");
    source_of("applications.argoproj.io")->unserved = false;
    source_of("applications.argoproj.io")->absent = false;
    cover();
    assert_string_equal(kind_told("services"), "Service");
}

/* ---- bytes */

struct cost {
    size_t plain, deflated;
};

static int compare_sources(const void *a, const void *b) {
    return strcmp((*(Pilotgate__Coverage__Source *const *)a)->name,
                  (*(Pilotgate__Coverage__Source *const *)b)->name);
}

/* Of ten minutes of records, deflated together as a pack does; bare: without kinds and what is not served. */
static struct cost cost_of(bool bare) {
    static uint8_t bytes[RECORDS << 12], packed[RECORDS << 12];
    uLongf len = sizeof packed;
    size_t at = 0;
    a_stage_at_rest(NULL);
    for (int i = 0; i < RECORDS; i++) {
        Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
        Pilotgate__Record r = PILOTGATE__RECORD__INIT;
        if (bare)
            state = (struct kube_cover){.since = 0, .states = state.states};
        for (size_t k = 0; k < n; k++)
            sources[k].covered_wall = WALL + i * WHEN_S + (int64_t)(i % 7) * 1000;
        cover();
        if (bare && i == 0)
            cover();
        qsort(list, told, sizeof *list, compare_sources);
        c.base_mono_ns = (uint64_t)WALL;
        c.sources = list;
        c.n_sources = told;
        c.stage_scoped = true;
        c.rss_bytes = 12345678;
        r.wall_ns = WALL + i * WHEN_S;
        r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
        r.coverage = &c;
        assert_true(pilotgate__record__get_packed_size(&r) < 4096);
        at += pilotgate__record__pack(&r, bytes + at);
    }
    assert_int_equal(compress2(packed, &len, bytes, at, 6), Z_OK);
    return (struct cost){at, len};
}

static void test_what_it_costs(void **ctx) {
    (void)ctx;
    struct cost before = cost_of(true), now = cost_of(false);
    print_message(
        "a coverage record of a stage at rest: %zu bytes, and deflated %zu; without kinds and what is "
        "not served %zu and %zu\n",
        now.plain / RECORDS, now.deflated / RECORDS, before.plain / RECORDS, before.deflated / RECORDS);
    assert_true(now.plain <= before.plain + before.plain / 3);
    assert_true(now.deflated <= before.deflated + before.deflated / 2);
}

/* The most sources that there can be, each with the longest reason, are a record that the wire takes. */
static void test_the_largest_record(void **ctx) {
    (void)ctx;
    static Pilotgate__Coverage__Source all[WIRE_SOURCES_MAX], *each[WIRE_SOURCES_MAX];
    static char name[WIRE_NAME_MAX + 1], reason[KUBE_REASON_MAX];
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    memset(name, 'x', sizeof name - 1);
    memset(reason, 'y', sizeof reason - 1);
    for (size_t i = 0; i < WIRE_SOURCES_MAX; i++) {
        pilotgate__coverage__source__init(&all[i]);
        all[i].name = all[i].kind = name;
        all[i].reason = reason;
        all[i].last_wall_ns = INT64_MAX;
        each[i] = &all[i];
    }
    c.sources = each;
    c.n_sources = WIRE_SOURCES_MAX;
    assert_true(pilotgate__coverage__get_packed_size(&c) < WIRE_RECORD_MAX);
}

#define TEST(f) cmocka_unit_test_setup(f, a_stage_at_rest)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_kinds_as_records_spell_them),
        TEST(test_what_is_not_served_is_told),
        TEST(test_full_records),
        TEST(test_what_it_costs),
        TEST(test_the_largest_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
