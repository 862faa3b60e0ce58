/* What two agents tell of one version of one object counts once: for a moment two may hold that they do the
 * work of the stage, and a successor tells again what its predecessor told last. The good pilot, and the same
 * with records that a second agent tells some time later, give the same verdicts, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "pilot.h"

static bool is_kubernetes(const Pilotgate__Record *r) {
    if (r->body_case == PILOTGATE__RECORD__BODY_PHASE)
        return r->phase->kind != PILOTGATE__PHASE__KIND__KIND_FIRST_CALL;
    return r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "ToolCatalogue") != 0 &&
           strcmp(r->object->kind, "ProductConfiguration") != 0;
}

/* As kube tells them: each phase of a version of its object. */
static void give_versions(struct scenario *s) {
    for (size_t i = 0; i < s->c.ev.records.n; i++) {
        Pilotgate__Record *r = s->c.ev.records.items[i].r;
        char version[32];
        if (r->body_case != PILOTGATE__RECORD__BODY_PHASE || !is_kubernetes(r))
            continue;
        (void)snprintf(version, sizeof version, "p%zu", i);
        r->phase->resource_version = strdup(version);
    }
}

static Pilotgate__Record *copy_of(const Pilotgate__Record *r, int64_t later) {
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *bytes = malloc(len);
    (void)pilotgate__record__pack(r, bytes);
    Pilotgate__Record *copy = pilotgate__record__unpack(NULL, len, bytes);
    free(bytes);
    assert_non_null(copy);
    copy->wall_ns += later;
    if (copy->body_case == PILOTGATE__RECORD__BODY_OBJECT)
        copy->object->t_wall_ns += later;
    else
        copy->phase->t_wall_ns += later;
    return copy;
}

/* Agent n2 tells so much later what n1 told in [from, to). listed: as what it found in its first list. */
static void tell_again(struct scenario *s, double from, double to, double later, bool listed) {
    size_t n = s->c.ev.records.n;
    for (size_t i = 0; i < n; i++) {
        const struct ev_record x = s->c.ev.records.items[i];
        double t = (double)x.r->wall_ns / 1e9 - (double)SCENARIO_T0;
        if (x.stream != 0 || !is_kubernetes(x.r) || t < from || t >= to)
            continue;
        Pilotgate__Record *copy = copy_of(x.r, (int64_t)(later * 1e9));
        copy->seq = ++s->seq[1];
        if (listed && copy->body_case == PILOTGATE__RECORD__BODY_OBJECT) {
            copy->object->op = LISTED;
            copy->object->previous_wall_ns = 0;
        }
        assert_int_equal(ev_add(&s->c.ev, &s->c.ev.records, 1, copy->seq, copy), 0);
    }
}

static char *judged(const struct fault *x, double from, double to, double later, bool listed) {
    struct scenario s;
    pilot_play(&s, x);
    give_versions(&s);
    if (later > 0)
        tell_again(&s, from, to, later, listed);
    json_t *result = scenario_judge(&s, 290);
    char *text = js_canonical(result);
    json_decref(result);
    scenario_end(&s);
    return text;
}

static void expect_same(const struct fault *x, double from, double to, double later, bool listed) {
    char *once = judged(x, 0, 0, 0, false);
    char *twice = judged(x, from, to, later, listed);
    if (strcmp(once, twice) != 0)
        fail_msg("[%g, %g) again %g s later:\n%s\n%s", from, to, later, once, twice);
    free(once);
    free(twice);
}

static const struct fault none;
static const struct fault crash = {.crash = 1};
static const struct fault leftover = {.leftover = 1};

static void all_of_it_twice(void **state) {
    (void)state;
    static const double delays[] = {0.05, 0.9, 3, 25, 70};
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        expect_same(&none, 0, 300, delays[i], false);
        expect_same(&crash, 0, 300, delays[i], false);
        expect_same(&leftover, 0, 300, delays[i], false);
    }
}

/* A successor that ended in the middle of telling it again: older states come last. */
static void a_part_of_it_twice(void **state) {
    (void)state;
    for (double to = 100.1; to < 104; to += 0.1)
        expect_same(&none, 100, to, 25, false);
    for (double to = 200.1; to < 205; to += 0.1)
        expect_same(&none, 200, to, 25, false);
}

static void found_in_a_first_list(void **state) {
    (void)state;
    expect_same(&none, 0, 90, 60, true);
    expect_same(&none, 100, 150, 0.4, true);
    expect_same(&none, 200, 300, 30, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_twice),
        cmocka_unit_test(a_part_of_it_twice),
        cmocka_unit_test(found_in_a_first_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
