/* When calls start: open loop, quotas, calls kept in flight, drills, stalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "prober_scene.h"

/* Slow answers do not slow the schedule down. */
static void test_open_loop(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_NONE, 700);
    s->probe.interval = 25 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, seconds, 4));
    pthread_mutex_lock(&s->witness.lock);
    const Pilotgate__Coverage__Probe *p = witness_last_coverage(&s->witness)->probes[0];
    uint64_t scheduled = p->scheduled;
    size_t open = p->n_open_number_delta;
    uint64_t in_flight = p->started - p->resolved;
    uint64_t number = p->first_open;
    assert_int_equal(p->open_number_delta[0], 0);
    for (size_t i = 1; i < open; i++) {
        assert_true(p->open_number_delta[i] > 0);
        assert_in_range(-p->open_start_us[i], 0, 1000000);
        number += p->open_number_delta[i];
    }
    assert_true(number >= p->started);
    assert_int_equal(p->unsent, 0);
    pthread_mutex_unlock(&s->witness.lock);
    assert_in_range(scheduled, 100, 125); /* three seconds of 40 */
    assert_int_equal(open, in_flight);
    assert_in_range(open, 22, 34); /* 700 ms of 40 a second */
    mcp_stop(&s->mcp, 2 * WHEN_S);
    assert_null(witness_row(&s->witness, 0));
    assert_covered(s, witness_calls(&s->witness, 0, 0));
}

/* A row of a call that was never sent gives this reason. */
static bool told_as_unsent(const struct witness *w, const char *why) {
    const Pilotgate__Call *row;
    for (int i = 0; (row = witness_row(w, i)) != NULL; i++)
        if (row->flags & FLAG(UNSENT) && strstr(row->detail, why))
            return true;
    return false;
}

static void test_rate(void **state) {
    struct scene *s = *state;
    s->probe.interval = 10 * WHEN_MS;
    s->config.max_rate = 25;
    begin(s);
    assert_true(witness_wait(&s->witness, seconds, 6)); /* five seconds at least, and one in advance */
    mcp_stop(&s->mcp, WHEN_S);
    const Pilotgate__Coverage__Probe *p = witness_last_coverage(&s->witness)->probes[0];
    double share = (double)p->started / (double)p->scheduled;
    assert_true(share > 0.15 && share < 0.35); /* 25 of 100 in a second, whatever the machine's pace */
    assert_int_equal(p->scheduled, p->started + p->unsent);
    assert_true(told_as_unsent(&s->witness, "max_rate 25 of this agent is reached"));
    assert_int_equal(p->interval_us, 10000);
    assert_int_equal(p->in_flight, 0);
    assert_int_equal(p->queued, 0);
}

/* The tool server says that it executed a call twice: it is told although it completed. */
static void test_repeated(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_TWICE, 0);
    s->probe.interval = 20 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, has_rows, 2));
    mcp_stop(&s->mcp, WHEN_S);
    const Pilotgate__Call *row = witness_row(&s->witness, 0);
    assert_int_equal(row->outcome, OUT(COMPLETED));
    assert_int_equal(row->executions, 2);
    assert_true(row->flags & FLAG(REPEATED));
    int n = witness_calls(&s->witness, OUT(COMPLETED), 0);
    assert_int_equal(witness_calls(&s->witness, OUT(COMPLETED), FLAG(REPEATED)), n);
    assert_int_equal(witness_last_coverage(&s->witness)->probes[0]->executions_told, n);
}

/* What coverage counts as resolved was told before it: nothing that it says can die with the agent. */
static void test_resolved_is_told_before(void **state) {
    struct scene *s = *state;
    uint64_t told = 0;
    int seen = 0;
    s->probe.interval = 20 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, seconds, 3));
    mcp_stop(&s->mcp, 0);
    for (size_t i = 0; i < s->witness.n; i++) {
        const Pilotgate__Record *r = s->witness.records[i];
        if (r->body_case == PILOTGATE__RECORD__BODY_CALLS)
            told += r->calls->n_outcome;
        if (r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
            continue;
        assert_int_equal(r->coverage->probes[0]->resolved, told);
        seen += told > 0;
    }
    assert_true(seen >= 2);
}

/* An emit that stands still once stands for a thread that gets no time: the record says so. */
static void slow_emit(void *ctx, Pilotgate__Record *r) {
    struct scene *s = ctx;
    if (r->body_case == PILOTGATE__RECORD__BODY_PACKED_CALLS && !s->slept) {
        s->slept = true;
        (void)usleep(400000);
    }
    emit_record(&s->witness.emit, r);
}

static bool stalled(const struct witness *w, int ms) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    return c && c->stalled_us >= (uint64_t)ms * 1000 && c->probes[0]->max_delay_us >= (uint64_t)ms * 1000 / 2;
}

static void test_stall_is_told(void **state) {
    struct scene *s = *state;
    struct emit slow = {slow_emit, s};
    struct err e;
    s->probe.interval = 20 * WHEN_MS;
    assert_int_equal(mcp_start(&s->config, &scene_key, scene_boot, &slow, &s->mcp, &e), 0);
    assert_true(witness_wait(&s->witness, stalled, 390));
    mcp_stop(&s->mcp, WHEN_S);
}

static bool queues(const struct witness *w, int n) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    return c && c->probes[0]->queued >= (uint64_t)n;
}

/* What waits for a connection is queued, never in flight, and unsent in the end. */
static void test_queued(void **state) {
    struct scene *s = *state;
    s->probe.interval = 25 * WHEN_MS;
    s->probe.connection = CONFIG_CONNECTION_NEW;
    s->probe.timeout = 1500 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 4));
    fault_hang_new(&s->server);
    assert_true(witness_wait(&s->witness, queues, 30));
    pthread_mutex_lock(&s->witness.lock);
    const Pilotgate__Coverage__Probe *p = witness_last_coverage(&s->witness)->probes[0];
    uint64_t queued = p->queued;
    uint64_t in_flight = p->started - p->resolved;
    assert_int_equal(p->n_open_number_delta, in_flight);
    assert_int_equal(p->scheduled, p->started + p->unsent + queued);
    pthread_mutex_unlock(&s->witness.lock);
    assert_in_range(queued, 30, 70); /* 1.5 s of 40 */
    assert_in_range(in_flight, 0, 3);
    assert_true(witness_wait(&s->witness, seconds, 5));
    mcp_stop(&s->mcp, 2 * WHEN_S);
    p = witness_last_coverage(&s->witness)->probes[0];
    assert_int_equal(p->queued, 0);
    assert_true(p->unsent >= queued);
    assert_int_equal(p->scheduled, p->started + p->unsent);
    assert_int_equal(p->started, witness_calls(&s->witness, 0, 0));
}

static int unsent_rows(const struct witness *w, int outcome) {
    const Pilotgate__Call *row;
    int n = 0;
    for (int i = 0; (row = witness_row(w, i)) != NULL; i++)
        n += row->flags & FLAG(UNSENT) && (int)row->outcome == outcome;
    return n;
}

/* A rate that is over its quota all the time does not keep it from being told that no connection came. */
static void test_quota_hides_nothing(void **state) {
    struct scene *s = *state;
    s->probe.interval = 10 * WHEN_MS;
    s->probe.connection = CONFIG_CONNECTION_NEW;
    s->probe.timeout = 200 * WHEN_MS;
    s->config.max_rate = 10;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 4));
    fault_hang_new(&s->server);
    assert_true(witness_wait(&s->witness, seconds, 8));
    mcp_stop(&s->mcp, WHEN_S);
    assert_true(unsent_rows(&s->witness, OUT(ABORTED)) >= 4);
    assert_true(unsent_rows(&s->witness, OUT(TIMEOUT)) >= 4);
}

static void test_quota(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_NONE, 30000);
    s->probe.interval = 10 * WHEN_MS;
    s->config.max_in_flight = 5;
    begin(s);
    assert_true(witness_wait(&s->witness, seconds, 2));
    mcp_stop(&s->mcp, 50 * WHEN_MS);
    assert_int_equal(fault_get(&s->server, &s->server.most_open), 5);
    assert_int_equal(witness_calls(&s->witness, OUT(ABORTED), 0), 5);
    assert_true(told_as_unsent(&s->witness, "max_in_flight 5 of this agent is reached"));
    assert_covered(s, 5);
    assert_true(witness_last_coverage(&s->witness)->probes[0]->unsent > 50);
}

static bool in_flight(const struct witness *w, int n) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    return c && c->probes[0]->n_open_number_delta == (size_t)n;
}

static bool drill_calls(const struct witness *w, int n) {
    return witness_calls(w, OUT(COMPLETED), FLAG(DRILL)) >= n;
}

static void test_in_flight_and_drill(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_NONE, 300);
    s->probe.in_flight = 4;
    s->probe.drill_in_flight = 12;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 24));
    assert_int_equal(fault_get(&s->server, &s->server.most_open), 4);
    assert_int_equal(witness_calls(&s->witness, 0, FLAG(DRILL)), 0);
    mcp_set_load(s->mcp, 60 * WHEN_S);
    assert_true(witness_wait(&s->witness, drill_calls, 20));
    assert_int_equal(fault_get(&s->server, &s->server.most_open), 12);
    mcp_set_load(s->mcp, 0);
    assert_true(witness_wait(&s->witness, in_flight, 4));
    mcp_stop(&s->mcp, WHEN_S);
    assert_null(witness_row(&s->witness, 0));
}

/* Every call fails at once: the ramp keeps the rate low. */
static void test_failing_is_not_hammered(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_503, 0);
    s->probe.in_flight = 50;
    begin(s);
    assert_true(witness_wait(&s->witness, seconds, 3));
    mcp_stop(&s->mcp, WHEN_S);
    int n = fault_get(&s->server, &s->server.calls);
    assert_true(n >= 10 && n <= 70);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_open_loop),
        T(test_rate),
        T(test_repeated),
        T(test_resolved_is_told_before),
        T(test_stall_is_told),
        T(test_queued),
        T(test_quota),
        T(test_quota_hides_nothing),
        T(test_in_flight_and_drill),
        T(test_failing_is_not_hammered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
