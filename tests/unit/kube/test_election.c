/* Tests of the election (a pure table, in virtual time, also as several agents around one Lease) and of the
 * positions that it hands over. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "kube/lease.h"

#define HALF 0x80000000u

/* ---------------------------------------------------------------- cases */

struct expected {
    enum election_state from;
    enum election_event event;
    enum election_state to;
    enum election_act next;
    double least, most; /* seconds until it is due, over all chances */
};

static const struct expected cases[] = {
    /* nobody has it: at once */
    {ELECTION_FOLLOW, ELECTION_FREE, ELECTION_FOLLOW, ELECTION_UPDATE, 0, 0},
    {ELECTION_FOLLOW, ELECTION_ABSENT, ELECTION_FOLLOW, ELECTION_CREATE, 0, 0},
    {ELECTION_FOLLOW, ELECTION_EXPIRED, ELECTION_FOLLOW, ELECTION_UPDATE, 0, 0},
    {ELECTION_FOLLOW, ELECTION_WRITTEN, ELECTION_HOLD, ELECTION_UPDATE, 2, 2},
    {ELECTION_FOLLOW, ELECTION_OURS, ELECTION_HOLD, ELECTION_UPDATE, 0, 0},
    /* somebody has it, or was faster */
    {ELECTION_FOLLOW, ELECTION_OTHER, ELECTION_FOLLOW, ELECTION_READ, 8, 10},
    {ELECTION_FOLLOW, ELECTION_LIVING, ELECTION_FOLLOW, ELECTION_READ, 8, 10},
    {ELECTION_FOLLOW, ELECTION_CONFLICT, ELECTION_FOLLOW, ELECTION_READ, 0.5, 1},
    /* who holds it, does until it reads that another one does */
    {ELECTION_HOLD, ELECTION_WRITTEN, ELECTION_HOLD, ELECTION_UPDATE, 5, 5},
    {ELECTION_HOLD, ELECTION_CONFLICT, ELECTION_HOLD, ELECTION_READ, 0.5, 1},
    {ELECTION_HOLD, ELECTION_SILENT, ELECTION_HOLD, ELECTION_UPDATE, 0.8, 1.6},
    {ELECTION_HOLD, ELECTION_FAILED, ELECTION_HOLD, ELECTION_UPDATE, 0.8, 1.6},
    {ELECTION_HOLD, ELECTION_ABSENT, ELECTION_HOLD, ELECTION_CREATE, 0, 0},
    {ELECTION_HOLD, ELECTION_OURS, ELECTION_HOLD, ELECTION_UPDATE, 0, 0},
    {ELECTION_HOLD, ELECTION_FREE, ELECTION_HOLD, ELECTION_UPDATE, 0, 0},
    {ELECTION_HOLD, ELECTION_OTHER, ELECTION_FOLLOW, ELECTION_READ, 8, 10},
    {ELECTION_HOLD, ELECTION_LIVING, ELECTION_FOLLOW, ELECTION_READ, 8, 10},
    /* silence and a short refusal change nobody's mind */
    {ELECTION_FOLLOW, ELECTION_SILENT, ELECTION_FOLLOW, ELECTION_READ, 0.8, 1.6},
    {ELECTION_FOLLOW, ELECTION_REFUSED, ELECTION_FOLLOW, ELECTION_READ, 0.5, 1},
    {ELECTION_HOLD, ELECTION_REFUSED, ELECTION_HOLD, ELECTION_READ, 0.5, 1},
    /* alone, until somebody is seen to live or a write is taken */
    {ELECTION_ALONE, ELECTION_REFUSED, ELECTION_ALONE, ELECTION_READ, 30, 60},
    {ELECTION_ALONE, ELECTION_FAILED, ELECTION_ALONE, ELECTION_READ, 30, 60},
    {ELECTION_ALONE, ELECTION_SILENT, ELECTION_ALONE, ELECTION_READ, 0.8, 1.6},
    {ELECTION_ALONE, ELECTION_OTHER, ELECTION_ALONE, ELECTION_READ, 8, 10},
    {ELECTION_ALONE, ELECTION_LIVING, ELECTION_FOLLOW, ELECTION_READ, 8, 10},
    {ELECTION_ALONE, ELECTION_FREE, ELECTION_ALONE, ELECTION_UPDATE, 0, 0},
    {ELECTION_ALONE, ELECTION_EXPIRED, ELECTION_ALONE, ELECTION_UPDATE, 0, 0},
    {ELECTION_ALONE, ELECTION_WRITTEN, ELECTION_HOLD, ELECTION_UPDATE, 2, 2},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expected *x = &cases[i];
        static const uint32_t chances[] = {0, HALF, UINT32_MAX};
        for (size_t c = 0; c < 3; c++) {
            struct kube_election e = {.second = WHEN_S, .state = x->from};
            kube_election_step(&e, x->event, 1000 * WHEN_S, 0, chances[c]);
            double due = (double)(e.due_mono - 1000 * WHEN_S) / 1e9;
            if (e.state != x->to || e.next != x->next || due < x->least - 1e-6 || due > x->most + 1e-6)
                fail_msg("case %zu: state %d, next %d, due in %g s", i, (int)e.state, (int)e.next, due);
        }
    }
}

static void test_a_refusal_that_lasts_means_work(void **state) {
    (void)state;
    for (int from = ELECTION_FOLLOW; from <= ELECTION_HOLD; from++) {
        struct kube_election e = {.second = WHEN_S, .state = (enum election_state)from};
        kube_election_step(&e, ELECTION_REFUSED, 100 * WHEN_S, 0, 0);
        kube_election_step(&e, ELECTION_FREE, 101 * WHEN_S, 0, 0); /* it can be read, and not written */
        kube_election_step(&e, ELECTION_REFUSED, 104 * WHEN_S, 0, 0);
        assert_int_equal(e.state, from);
        kube_election_step(&e, ELECTION_REFUSED, 105 * WHEN_S, 0, 0);
        assert_int_equal(e.state, ELECTION_ALONE);
    }
    struct kube_election e = {.second = WHEN_S};
    kube_election_step(&e, ELECTION_FAILED, 100 * WHEN_S, 0, 0);
    kube_election_step(&e, ELECTION_FAILED, 129 * WHEN_S, 0, 0);
    assert_int_equal(e.state, ELECTION_FOLLOW);
    kube_election_step(&e, ELECTION_FAILED, 130 * WHEN_S, 0, 0);
    assert_int_equal(e.state, ELECTION_ALONE);
}

static void test_a_refusal_that_ended_is_forgotten(void **state) {
    (void)state;
    struct kube_election e = {.second = WHEN_S};
    kube_election_step(&e, ELECTION_REFUSED, 100 * WHEN_S, 0, 0);
    kube_election_step(&e, ELECTION_WRITTEN, 101 * WHEN_S, 0, 0);
    kube_election_step(&e, ELECTION_REFUSED, 900 * WHEN_S, 0, 0);
    assert_int_equal(e.state, ELECTION_HOLD);
}

static void test_silence_backs_off_and_retry_after_is_kept(void **state) {
    (void)state;
    struct kube_election e = {.second = WHEN_S};
    int64_t last = 0;
    for (int i = 0; i < 10; i++) {
        kube_election_step(&e, ELECTION_SILENT, 0, 0, 0);
        assert_true(e.due_mono >= last && e.due_mono <= 10 * WHEN_S);
        last = e.due_mono;
    }
    assert_int_equal(last, 10 * WHEN_S);
    kube_election_step(&e, ELECTION_SILENT, 0, 30 * WHEN_S, 0);
    assert_int_equal(e.due_mono, 30 * WHEN_S);
    kube_election_step(&e, ELECTION_SILENT, 0, 86399 * WHEN_S, 0);
    assert_int_equal(e.due_mono, 60 * WHEN_S);
}

/* Whatever times stand in the Lease: only what this process saw counts. */
static void test_a_term_ends_by_our_own_clock(void **state) {
    (void)state;
    struct kube_election e = {.second = WHEN_S};
    assert_int_equal(kube_election_other(&e, 100 * WHEN_S, true, true), ELECTION_OTHER);
    kube_election_changed(&e, 100 * WHEN_S, 15);
    assert_int_equal(kube_election_other(&e, 114 * WHEN_S, false, false), ELECTION_OTHER);
    assert_int_equal(kube_election_other(&e, 114 * WHEN_S, false, true), ELECTION_LIVING);
    assert_int_equal(kube_election_other(&e, 115 * WHEN_S, false, false), ELECTION_EXPIRED);
    kube_election_step(&e, ELECTION_OTHER, 110 * WHEN_S, 0, 0);
    assert_true(e.due_mono >= 115 * WHEN_S && e.due_mono <= 117 * WHEN_S); /* not later than needed */
    kube_election_changed(&e, 0, 1000000); /* nobody can keep it for good without renewing it */
    assert_int_equal(e.expires_mono, 60 * WHEN_S);
    kube_election_changed(&e, 0, -1);
    assert_int_equal(e.expires_mono, 15 * WHEN_S);
}

/* ---------------------------------------------------------------- several agents around one Lease */

#define AGENTS 5
#define STEP (100 * WHEN_MS)

struct agent {
    struct kube_election e;
    int seen;        /* version of a Lease that names another one; 0: none was seen */
    int known;       /* version that our writes name */
    bool dead, deaf; /* deaf: requests get no answer */
};

struct world {
    int version, holder; /* version 0: there is no Lease; holder -1: nobody */
    struct agent agents[AGENTS];
    unsigned requests, writes;
    uint32_t random;
};

static uint32_t chance(struct world *w) {
    w->random = w->random * 1664525u + 1013904223u;
    return w->random;
}

static enum election_event read_it(struct world *w, struct agent *a, int me, int64_t now) {
    if (w->version == 0)
        return ELECTION_ABSENT;
    bool changed = a->seen != w->version;
    bool first = a->seen == 0;
    a->known = w->version;
    if (w->holder == me || w->holder < 0) {
        a->seen = 0;
        return w->holder == me ? ELECTION_OURS : ELECTION_FREE;
    }
    if (changed)
        kube_election_changed(&a->e, now, 15);
    a->seen = w->version;
    return kube_election_other(&a->e, now, first, changed);
}

static enum election_event write_it(struct world *w, struct agent *a, int me) {
    bool create = a->e.next == ELECTION_CREATE;
    if (create ? w->version != 0 : w->version != a->known)
        return w->version == 0 ? ELECTION_ABSENT : ELECTION_CONFLICT;
    a->known = ++w->version;
    a->seen = 0;
    w->holder = me;
    w->writes++;
    return ELECTION_WRITTEN;
}

static void turn(struct world *w, int64_t now) {
    int first = (int)(chance(w) >> 8) % AGENTS;
    for (int i = 0; i < AGENTS; i++) {
        int me = (first + i) % AGENTS;
        struct agent *a = &w->agents[me];
        if (a->dead || a->e.due_mono > now)
            continue;
        w->requests++;
        enum election_event ev = a->deaf                      ? ELECTION_SILENT
                                 : a->e.next == ELECTION_READ ? read_it(w, a, me, now)
                                                              : write_it(w, a, me);
        kube_election_step(&a->e, ev, now, 0, chance(w));
    }
}

static unsigned working(const struct world *w) {
    unsigned n = 0;
    for (int i = 0; i < AGENTS; i++)
        n += !w->agents[i].dead && kube_election_works(&w->agents[i].e);
    return n;
}

static void begin(struct world *w, uint32_t seed) {
    *w = (struct world){.holder = -1, .random = seed};
    for (int i = 0; i < AGENTS; i++)
        w->agents[i].e.second = WHEN_S;
}

static void test_one_is_elected_and_stays(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 50; seed++) {
        struct world w;
        begin(&w, seed);
        for (int64_t now = WHEN_S; now < 600 * WHEN_S; now += STEP) {
            turn(&w, now);
            if (now > 3 * WHEN_S)
                assert_int_equal(working(&w), 1);
        }
        /* what lease.h says it costs: 12 writes a minute of one, 6 to 7.5 reads of each other */
        assert_in_range(w.writes, 115, 122);
        assert_in_range(w.requests - w.writes, 10 * 4 * 6 - 10, 10 * 4 * 8);
    }
}

/* Killed or cut off again and again: another one takes over, and never for long there are two. */
static void test_holders_die_and_are_replaced(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct world w;
        begin(&w, seed);
        int64_t nobody = 0;
        int64_t two = 0;
        for (int64_t now = WHEN_S; now < 900 * WHEN_S; now += STEP) {
            turn(&w, now);
            bool hit = now % (60 * WHEN_S) == 0 && w.holder >= 0;
            if (hit) {
                struct agent *a = &w.agents[w.holder];
                bool kill = chance(&w) & HALF;
                a->dead = kill;
                a->deaf = !kill;
            }
            for (int i = 0; i < AGENTS && now % (60 * WHEN_S) == 40 * WHEN_S; i++) { /* it is back */
                if (w.agents[i].dead)
                    w.agents[i] = (struct agent){.e = {.second = WHEN_S, .due_mono = now}};
                w.agents[i].deaf = false;
            }
            unsigned n = working(&w);
            nobody = n == 0 ? nobody + STEP : 0;
            two = n > 1 ? two + STEP : 0;
            if (nobody > 30 * WHEN_S)
                fail_msg("seed %u: nobody works for 30 s", (unsigned)seed);
            /* one that is cut off goes on until it can read that another one holds it */
            if (two > 60 * WHEN_S)
                fail_msg("seed %u: two work for a minute", (unsigned)seed);
            if (now > 3 * WHEN_S && now < 60 * WHEN_S)
                assert_int_equal(n, 1);
        }
    }
}

/* A Lease that somebody deletes, or frees. */
static void test_it_is_made_again_and_taken_at_once_when_free(void **state) {
    (void)state;
    struct world w;
    begin(&w, 7);
    for (int64_t now = WHEN_S; now < 300 * WHEN_S; now += STEP) {
        turn(&w, now);
        if (now == 50 * WHEN_S)
            w.version = 0;
        if (now == 100 * WHEN_S) { /* in order: its holder is gone, and has said so */
            w.agents[w.holder].dead = true;
            w.holder = -1;
            w.version++;
        }
        if (now > 3 * WHEN_S && (now < 100 * WHEN_S || now > 111 * WHEN_S))
            assert_int_equal(working(&w), 1);
    }
    assert_true(w.version > 0 && w.holder >= 0);
}

/* ---------------------------------------------------------------- positions */

static struct kube_position position(const char *source, const char *rv, int64_t wall) {
    struct kube_position p = {.wall = wall, .clock_known = true, .offset_ns = -5, .bound_ns = 7};
    (void)snprintf(p.source, sizeof p.source, "%s", source);
    (void)snprintf(p.rv, sizeof p.rv, "%s", rv);
    memset(p.boot, 0xab, sizeof p.boot);
    return p;
}

static struct kube_positions *some(void) {
    struct kube_positions *p = calloc(1, sizeof *p);
    assert_non_null(p);
    return p;
}

static void test_positions_survive_the_annotation(void **state) {
    (void)state;
    struct kube_positions *p = some();
    struct kube_positions *q = some();
    p->items[p->n++] = position("deployments", "8812", 1800000000123456789);
    p->items[p->n++] = position("kustomizations.kustomize.toolkit.fluxcd.io", "opaque\"\\x", 5);
    p->items[1].clock_known = false;
    char *text = kube_positions_write(p);
    assert_non_null(text);
    kube_positions_read(text, q);
    assert_int_equal(q->n, 2);
    const struct kube_position *d = kube_positions_find(q, "deployments");
    assert_non_null(d);
    assert_string_equal(d->rv, "8812");
    assert_true(d->wall == 1800000000123456789 && d->clock_known && d->offset_ns == -5 && d->bound_ns == 7);
    assert_memory_equal(d->boot, p->items[0].boot, WIRE_BOOT_BYTES);
    const struct kube_position *k = kube_positions_find(q, "kustomizations.kustomize.toolkit.fluxcd.io");
    assert_non_null(k);
    assert_string_equal(k->rv, "opaque\"\\x");
    assert_false(k->clock_known);
    assert_null(kube_positions_find(q, "services"));
    free(text);
    free(p);
    free(q);
}

static void test_newer_positions_replace_those_of_their_source_only(void **state) {
    (void)state;
    struct kube_positions *p = some();
    struct kube_positions *q = some();
    p->items[p->n++] = position("a", "1", 1);
    p->items[p->n++] = position("b", "1", 1);
    q->items[q->n++] = position("b", "2", 2);
    q->items[q->n++] = position("c", "2", 2);
    kube_positions_merge(p, q);
    assert_int_equal(p->n, 3);
    assert_string_equal(kube_positions_find(p, "a")->rv, "1");
    assert_string_equal(kube_positions_find(p, "b")->rv, "2");
    assert_string_equal(kube_positions_find(p, "c")->rv, "2");
    free(p);
    free(q);
}

static void test_hostile_positions_count_as_none(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "null",
        "{\"a\": 1}",
        "{\"a\": {\"rv\": \"\", \"wall\": 1, \"boot\": \"00112233445566778899aabbccddeeff\"}}",
        "{\"a\": {\"rv\": \"1\", \"wall\": 0, \"boot\": \"00112233445566778899aabbccddeeff\"}}",
        "{\"a\": {\"rv\": \"1\", \"wall\": -1, \"boot\": \"00112233445566778899aabbccddeeff\"}}",
        "{\"a\": {\"rv\": \"1\", \"wall\": 9223372036854775807, \"boot\": "
        "\"00112233445566778899aabbccddeeff\"}}",
        "{\"a\": {\"rv\": \"1\", \"wall\": 1, \"boot\": \"0011\"}}",
        "{\"a\": {\"rv\": \"1\", \"wall\": 1, \"boot\": \"zz112233445566778899aabbccddeeff\"}}",
        "{\"a\": {\"rv\": \"1\\n2\", \"wall\": 1, \"boot\": \"00112233445566778899aabbccddeeff\"}}",
        "{\"\": {\"rv\": \"1\", \"wall\": 1, \"boot\": \"00112233445566778899aabbccddeeff\"}}",
    };
    struct kube_positions *p = some();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        kube_positions_read(texts[i], p);
        if (p->n)
            fail_msg("taken: %s", texts[i]);
    }
    kube_positions_read(
        "{\"a\": {\"rv\": \"1\", \"wall\": 1, \"boot\": \"00112233445566778899aabbccddeeff\", "
        "\"offset\": 4611686018427387904, \"bound\": 1}}",
        p);
    assert_int_equal(p->n, 1);
    assert_false(p->items[0].clock_known);
    free(p);
}

static void test_what_has_no_room_is_left_out(void **state) {
    (void)state;
    struct kube_positions *p = some();
    struct kube_positions *q = some();
    for (int i = 0; i < POSITIONS_MAX; i++) {
        char name[KUBE_NAME_MAX + 32];
        (void)snprintf(name, sizeof name, "%03d%0200d", i, 0);
        p->items[p->n++] = position(name, "12345678901234567890", 1800000000123456789);
    }
    char *text = kube_positions_write(p);
    assert_non_null(text);
    assert_true(strlen(text) < POSITIONS_TEXT);
    kube_positions_read(text, q);
    assert_true(q->n > 10 && q->n < POSITIONS_MAX);
    q->items[0] = position("one more", "1", 1);
    q->n = 1;
    kube_positions_merge(p, q);
    assert_int_equal(p->n, POSITIONS_MAX);
    assert_null(kube_positions_find(p, "one more"));
    free(text);
    free(p);
    free(q);
}

/* The collector's clock leads from one agent's to the other's; bounds make the moment earlier, never later.
 */
static void test_the_moment_is_on_our_own_clock_at_the_earliest(void **state) {
    (void)state;
    struct kube_position p = position("a", "1", 1000 * WHEN_S);
    p.offset_ns = 30 * WHEN_S; /* the collector's is ahead of its clock */
    p.bound_ns = WHEN_S;
    assert_int_equal(kube_position_since(&p, true, -10 * WHEN_S, 2 * WHEN_S), 1037 * WHEN_S);
    assert_int_equal(kube_position_since(&p, false, 0, 0), 940 * WHEN_S);
    p.clock_known = false;
    assert_int_equal(kube_position_since(&p, true, 0, 0), 940 * WHEN_S);
    p.wall = 1;
    assert_int_equal(kube_position_since(&p, true, 0, 0), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_a_refusal_that_lasts_means_work),
        cmocka_unit_test(test_a_refusal_that_ended_is_forgotten),
        cmocka_unit_test(test_silence_backs_off_and_retry_after_is_kept),
        cmocka_unit_test(test_a_term_ends_by_our_own_clock),
        cmocka_unit_test(test_one_is_elected_and_stays),
        cmocka_unit_test(test_holders_die_and_are_replaced),
        cmocka_unit_test(test_it_is_made_again_and_taken_at_once_when_free),
        cmocka_unit_test(test_positions_survive_the_annotation),
        cmocka_unit_test(test_newer_positions_replace_those_of_their_source_only),
        cmocka_unit_test(test_hostile_positions_count_as_none),
        cmocka_unit_test(test_what_has_no_room_is_left_out),
        cmocka_unit_test(test_the_moment_is_on_our_own_clock_at_the_earliest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
