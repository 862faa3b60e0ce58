/* A coverage record without its sources is the same record otherwise; what is no record is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "correlate/slim.h"
#include "wire/wire.h"

static size_t make(uint8_t *out, size_t sources) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Coverage__Probe p = PILOTGATE__COVERAGE__PROBE__INIT, *probes[] = {&p};
    Pilotgate__Coverage__Source s = PILOTGATE__COVERAGE__SOURCE__INIT,
                                *list[8] = {&s, &s, &s, &s, &s, &s, &s, &s};
    uint64_t delta[] = {0, 3};
    int64_t start[] = {-5000000, -1};
    char probe[] = "hold", source[] = "pods";
    p.name = probe;
    p.resolved = 1ull << 40;
    p.first_open = 7;
    p.n_open_number_delta = p.n_open_start_us = 2;
    p.open_number_delta = delta;
    p.open_start_us = start;
    s.name = source;
    s.last_wall_ns = 12345;
    c.base_mono_ns = 99;
    c.n_probes = 1;
    c.probes = probes;
    c.n_sources = sources;
    c.sources = list;
    c.bye = true;
    c.expected_agents = 1000;
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    r.seq = 300;
    r.wall_ns = 1700000000000000000;
    return pilotgate__record__pack(&r, out);
}

static void only_the_sources_go(void **state) {
    (void)state;
    uint8_t full[1024], none[1024], out[1040], scratch[1040];
    size_t want = make(none, 0);
    for (size_t sources = 0; sources <= 8; sources++) {
        size_t len = make(full, sources);
        assert_int_equal(corr_slim(full, len, out, scratch), want);
        assert_memory_equal(out, none, want);
    }
}

/* Whatever is cut, it reads nothing behind the end (ASan sees to it) and makes nothing longer. */
static void what_is_no_record_is_left_alone(void **state) {
    (void)state;
    uint8_t full[1024], out[1040], scratch[1040];
    size_t len = make(full, 3);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, full, cut);
        assert_true(corr_slim(copy, cut, out, scratch) <= cut);
        for (int bit = 0; cut && bit < 8; bit++) {
            copy[cut - 1] ^= (uint8_t)(1 << bit);
            assert_true(corr_slim(copy, cut, out, scratch) <= cut + 16);
        }
        free(copy);
    }
    static const uint8_t group[] = {0x4b, 0x00};
    assert_int_equal(corr_slim(group, sizeof group, out, scratch), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_sources_go),
        cmocka_unit_test(what_is_no_record_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
