/* test_load_sources: which coverage is loaded to say what was read at a moment: of each stream the newest and
 * the newest that names kinds, close to the moment or as far back as a picture may be old, and nothing of
 * later. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli_fixture.h"
#include "correlate/load.h"
#include "stored_pilot.h"

#define FROM 150
#define TO 250 /* the agent ends */

static void put_sources(struct stored *s, double t, bool full) {
    Pilotgate__Coverage__Source pods = PILOTGATE__COVERAGE__SOURCE__INIT, deployments = pods,
                                catalogue = pods;
    Pilotgate__Coverage__Source *kube[] = {&pods, &deployments}, *mcp[] = {&catalogue};
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    pods.name = (char *)"pods";
    deployments.name = (char *)"deployments";
    deployments.kind = (char *)(full ? "Deployment" : "");
    catalogue.name = (char *)"catalogue/gateway";
    catalogue.kind = (char *)"pods"; /* only a name is one */
    rec.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    rec.coverage = &c;
    c.stage_scoped = true;
    c.n_sources = 2;
    c.sources = kube;
    stored_put(s, &rec, t);
    c.stage_scoped = false;
    c.n_sources = 1;
    c.sources = mcp;
    stored_put(s, &rec, t + 0.1);
}

static void put_pilot(struct stored *s) {
    struct err e = {""};
    json_t *pilot = json_pack("{s:s, s:[{s:s}], s:{s:s}}", "name", "demo", "stages", "stage", "c1/shop",
                              "architecture", "digest", "00ff");
    json_t *reference = json_pack("{s:s}", "id", "test");
    json_t *other = json_pack("{s:s}", "id", "other");
    assert_int_equal(store_put_document(s->store, "pilot", "demo", pilot, &e), 0);
    assert_int_equal(store_put_document(s->store, "reference", "00ff", reference, &e), 0);
    assert_int_equal(store_put_document(s->store, "reference", "00fe", other, &e), 0);
    json_decref(pilot);
    json_decref(reference);
    json_decref(other);
}

static int64_t make(const char *dir) {
    struct stored s;
    stored_open(&s, dir);
    put_pilot(&s);
    for (int t = FROM; t < TO; t++)
        put_sources(&s, t, t % 10 == 0);
    stored_close(&s);
    return s.begin_ns;
}

/* Seconds of those that were loaded, "240 full, 245". */
static const char *loaded(const struct corr *c, int64_t begin) {
    static char text[256];
    *text = 0;
    for (size_t i = 0; i < c->ev.sources.n; i++) {
        const Pilotgate__Record *r = c->ev.sources.items[i].r;
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "%s%lld%s", i ? ", " : "",
                       (long long)((r->wall_ns - begin) / WHEN_S),
                       *r->coverage->sources[1]->kind ? " full" : "");
    }
    return text;
}

static void test_close_to_the_moment(void **state) {
    static const struct {
        double t;
        const char *want;
    } cases[] = {{225.5, "220 full, 225"}, {230.2, "230 full"},    {149.5, ""},
                 {151.5, "150 full, 151"}, {280, "240 full, 249"}, {500, "240 full, 249"},
                 {249 + 302.0, ""},        {160.05, "160 full"}};
    struct err e = {""};
    struct store *s;
    char dir[64], url[128];
    (void)state;
    make_dir(dir);
    int64_t begin = make(dir);
    (void)snprintf(url, sizeof url, "sqlite:%s/p.db", dir);
    assert_int_equal(store_open(url, STORE_READ, &s, &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct corr c;
        if (corr_load(s, 0, begin + (int64_t)(cases[i].t * 1e9), &c, &e) < 0)
            fail_msg("%s", e.text);
        assert_string_equal(js_str(c.ev.reference, "id", ""), "test");
        if (strcmp(loaded(&c, begin), cases[i].want) != 0)
            fail_msg("at %g: %s instead of %s", cases[i].t, loaded(&c, begin), cases[i].want);
        corr_free(&c);
    }
    store_close(&s);
    remove_dir(dir);
}

static void test_several_moments(void **state) {
    struct err e = {""};
    struct store *s;
    struct corr c;
    char dir[64], url[128];
    (void)state;
    make_dir(dir);
    int64_t begin = make(dir);
    (void)snprintf(url, sizeof url, "sqlite:%s/p.db", dir);
    assert_int_equal(store_open(url, STORE_READ, &s, &e), 0);
    assert_int_equal(corr_load(s, 0, begin + 225 * WHEN_S + WHEN_S / 2, &c, &e), 0);
    const int64_t moments[] = {begin + 165 * WHEN_S + WHEN_S / 2, begin + 225 * WHEN_S + WHEN_S / 2};
    assert_int_equal(corr_load_sources(s, &c, "c1/shop", moments, 2, &e), 0);
    assert_string_equal(loaded(&c, begin), "160 full, 165, 220 full, 225");
    assert_int_equal(corr_load_sources(s, &c, "c1/other", moments, 2, &e), 0);
    assert_int_equal(c.ev.sources.n, 4);
    corr_free(&c);
    store_close(&s);
    remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_to_the_moment),
        cmocka_unit_test(test_several_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
