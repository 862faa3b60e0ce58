/* What becomes of calls, well or not, against a server that fails on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "prober_scene.h"

/* ------------------------------------------------------------------ what is well */

static void check_phases(struct scene *s) {
    const Pilotgate__Phase *listed =
        witness_phase(&s->witness, PILOTGATE__PHASE__KIND__KIND_FIRST_TOOL_LISTED);
    const Pilotgate__Phase *call = witness_phase(&s->witness, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL);
    assert_non_null(listed);
    assert_string_equal(listed->subject, "Target/gateway");
    assert_non_null(call);
    assert_string_equal(call->subject, "Probe/hold");
    assert_string_equal(call->owner, "Target/gateway");
    assert_string_equal(call->reason, "custom-server");
    int64_t age = when_wall_ns() - call->t_wall_ns;
    assert_true(age > 0 && age < 60 * WHEN_S);
}

static void test_json(void **state) {
    struct scene *s = *state;
    s->probe.interval = 20 * WHEN_MS;
    s->target.catalogue_interval = WHEN_S;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 10));
    mcp_stop(&s->mcp, WHEN_S);
    int n = witness_calls(&s->witness, OUT(COMPLETED), 0);
    assert_int_equal(witness_calls(&s->witness, 0, 0), n);
    assert_int_equal(fault_get(&s->server, &s->server.calls), n);
    assert_true(witness_calls(&s->witness, 0, FLAG(REUSED)) > n / 2);
    assert_null(witness_row(&s->witness, 0));
    assert_int_equal(s->server.bad, 0);
    assert_int_equal(s->server.initializes, 1);
    assert_int_equal(s->server.deletes, 1);
    assert_covered(s, n);
    check_phases(s);
    const Pilotgate__Object *o = witness_object(&s->witness, "ToolCatalogue", 0, 0);
    assert_int_equal(o->op, OP(LISTED));
    assert_string_equal(o->name, "gateway");
    assert_string_equal(o->normal, "{\"tools\":[\"echo\",\"hold\"]}");
    assert_true(witness_last_coverage(&s->witness)->sources[0]->ok);
}

static void test_sse_reuses_connections(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_SSE, 0);
    s->probe.interval = 20 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 5));
    mcp_stop(&s->mcp, WHEN_S);
    int n = witness_calls(&s->witness, 0, 0);
    assert_int_equal(witness_calls(&s->witness, OUT(COMPLETED), 0), n);
    assert_true(witness_calls(&s->witness, 0, FLAG(REUSED)) > n / 2);
}

/* The answer decides, not the end of the stream. */
static void test_sse_left_open(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_SSE_OPEN, 0);
    s->probe.interval = 50 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 3));
    mcp_stop(&s->mcp, WHEN_S);
    assert_null(witness_row(&s->witness, 0));
    uint64_t shortest = UINT64_MAX; /* of any, as the machine may be busy: with the end it would be 200 ms */
    for (size_t i = 0; i < s->witness.n; i++) {
        const Pilotgate__Record *r = s->witness.records[i];
        for (size_t j = 0; r->body_case == PILOTGATE__RECORD__BODY_CALLS && j < r->calls->n_outcome; j++)
            shortest = r->calls->duration_us[j] < shortest ? r->calls->duration_us[j] : shortest;
    }
    assert_true(shortest < 150000);
}

static void test_no_sessions(void **state) {
    struct scene *s = *state;
    s->server.sessions = false;
    s->probe.interval = 20 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 3));
    mcp_stop(&s->mcp, WHEN_S);
    assert_int_equal(s->server.bad, 0);
    assert_int_equal(s->server.deletes, 0);
}

static void check_connection(const Pilotgate__CallBlock *b, size_t i, uint32_t *newest) {
    if (b->flags[i] & FLAG(REUSED)) {
        assert_in_range(b->connection[i], 1, *newest);
    } else {
        assert_true(b->connection[i] > *newest);
        *newest = b->connection[i];
    }
}

/* Both kinds of connection, and the numbers that tell them apart. */
static void test_connection_kinds(void **state) {
    struct scene *s = *state;
    uint32_t newest = 0;
    s->probe.interval = 50 * WHEN_MS;
    s->probe.connection = CONFIG_CONNECTION_BOTH;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 20));
    mcp_stop(&s->mcp, WHEN_S);
    for (size_t i = 0; i < s->witness.n; i++)
        for (size_t j = 0; s->witness.records[i]->body_case == PILOTGATE__RECORD__BODY_CALLS &&
                           j < s->witness.records[i]->calls->n_flags;
             j++)
            check_connection(s->witness.records[i]->calls, j, &newest);
    int n = witness_calls(&s->witness, 0, 0);
    int reused = witness_calls(&s->witness, 0, FLAG(REUSED));
    assert_in_range(reused, n / 4, n / 2 + 1);
}

/* ------------------------------------------------------------------ what fails */

static const struct {
    enum fault fault;
    int hold_ms;
    Pilotgate__Outcome outcome;
    unsigned status;
    bool first_byte;
} faults[] = {
    {FAULT_SSE_ENDED, 0, OUT(STREAM_ENDED), 200, true},
    {FAULT_SSE_CUT, 0, OUT(STREAM_ENDED), 200, true},
    {FAULT_CLOSE, 0, OUT(CLOSED), 0, false},
    {FAULT_RST, 0, OUT(RESET), 0, false},
    {FAULT_TRUNCATED, 0, OUT(TRUNCATED), 200, true},
    {FAULT_429, 0, OUT(RATE_LIMITED), 429, true},
    {FAULT_503, 0, OUT(HTTP_ERROR), 503, true},
    {FAULT_401, 0, OUT(HTTP_ERROR), 401, true},
    {FAULT_IS_ERROR, 0, OUT(TOOL_ERROR), 200, true},
    {FAULT_IS_ERROR_TEXT, 0, OUT(TOOL_ERROR), 200, true},
    {FAULT_OTHER_NONCE, 0, OUT(TOOL_ERROR), 200, true},
    {FAULT_RPC_ERROR, 0, OUT(RPC_ERROR), 200, true},
    {FAULT_GARBAGE, 0, OUT(MALFORMED), 200, true},
    {FAULT_WRONG_ID, 0, OUT(MALFORMED), 200, true},
    {FAULT_EMPTY, 0, OUT(MALFORMED), 202, true},
    {FAULT_LATE, 300, OUT(COMPLETED_LATE), 200, true},
    {FAULT_LATE, 900, OUT(TIMEOUT), 0, false},
};

static void one_fault(struct scene *s, size_t i) {
    fault_set(&s->server, faults[i].fault, faults[i].hold_ms);
    s->probe.in_flight = 1;
    s->probe.connection = CONFIG_CONNECTION_NEW;
    s->probe.limit = 200 * WHEN_MS;
    s->probe.timeout = 600 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, has_rows, 1));
    mcp_stop(&s->mcp, WHEN_S);
    const Pilotgate__Call *row = witness_row(&s->witness, 0);
    if (row->outcome != faults[i].outcome)
        fail_msg("case %zu: %s (%s), want %s", i, wire_outcome_name((int)row->outcome), row->detail,
                 wire_outcome_name((int)faults[i].outcome));
    assert_int_equal(row->http_status, faults[i].status);
    assert_int_equal(row->first_byte_us > 0, faults[i].first_byte);
    assert_int_equal(row->flags, 0);
    assert_int_equal(fault_executions(&s->server, row->nonce), 1);
    assert_int_equal(witness_calls(&s->witness, 0, 0), witness_calls(&s->witness, (int)row->outcome, 0));
    assert_true(row->bytes_sent > 100);
    assert_true(row->outcome != OUT(TIMEOUT) || row->duration_us / 1000 - 590 < 100);
}

static void test_faults(void **state) {
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (i) { /* a scene of its own for each */
            assert_int_equal(tear_down(state), 0);
            (void)set_up(state);
        }
        one_fault(*state, i);
    }
}

static bool some_malformed(const struct witness *w, int n) {
    return witness_calls(w, OUT(MALFORMED), 0) >= n;
}

/* Many answers, each within its limit, would take all memory together. */
static void test_answers_that_fill_the_memory(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_HUGE, 0);
    s->probe.in_flight = 60;
    s->probe.connection = CONFIG_CONNECTION_NEW;
    s->probe.timeout = 20 * WHEN_S;
    begin(s);
    assert_true(witness_wait(&s->witness, some_malformed, 1));
    mcp_stop(&s->mcp, 0);
}

/* libcurl alone would send such a call again and report success. */
static void test_reused_closed_is_not_sent_again(void **state) {
    struct scene *s = *state;
    fault_set(&s->server, FAULT_CLOSE_REUSED, 0);
    s->probe.interval = 30 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, has_rows, 3));
    mcp_stop(&s->mcp, WHEN_S);
    for (int i = 0; i < 3; i++) {
        const Pilotgate__Call *row = witness_row(&s->witness, i);
        assert_int_equal(row->outcome, OUT(RESET));
        assert_int_equal(row->flags, FLAG(REUSED));
        assert_int_equal(fault_executions(&s->server, row->nonce), 1);
    }
    assert_int_equal(fault_get(&s->server, &s->server.calls), witness_calls(&s->witness, 0, 0));
    assert_true(witness_calls(&s->witness, OUT(COMPLETED), 0) >= 3);
}

static bool completed_after_row(const struct witness *w, int n) {
    return witness_row(w, 0) && witness_calls(w, OUT(COMPLETED), 0) >= n;
}

static void test_session_lost(void **state) {
    struct scene *s = *state;
    s->probe.interval = 30 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 3));
    pthread_mutex_lock(&s->witness.lock);
    int before = witness_calls(&s->witness, OUT(COMPLETED), 0);
    pthread_mutex_unlock(&s->witness.lock);
    fault_set(&s->server, FAULT_FORGET, 0);
    assert_true(witness_wait(&s->witness, completed_after_row, before + 40));
    mcp_stop(&s->mcp, WHEN_S);
    const Pilotgate__Call *row = witness_row(&s->witness, 0);
    assert_int_equal(row->outcome, OUT(SESSION_LOST));
    assert_int_equal(row->http_status, 404);
    assert_int_equal(row->flags & FLAG(UNSENT), 0);
    assert_int_equal(s->server.initializes, 2);
}

static void test_refused(void **state) {
    struct scene *s = *state;
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/mcp", fault_free_port());
    s->target.url = url;
    s->target.control = true;
    s->probe.interval = 20 * WHEN_MS;
    s->target.catalogue_interval = 100 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, has_rows, 2));
    mcp_stop(&s->mcp, WHEN_S);
    const Pilotgate__Call *first = witness_row(&s->witness, 0);
    const Pilotgate__Call *second = witness_row(&s->witness, 1);
    assert_int_equal(first->outcome, OUT(REFUSED));
    assert_int_equal(first->flags, FLAG(UNSENT) | FLAG(CONTROL));
    assert_true(second->number > first->number);
    assert_true(second->start_mono_ns - first->start_mono_ns >= (uint64_t)WHEN_S);
    assert_int_equal(witness_calls(&s->witness, 0, 0), 0);
    assert_covered(s, 0);
    assert_true(witness_last_coverage(&s->witness)->probes[0]->unsent > 40);
    const Pilotgate__Object *o = witness_object(&s->witness, "ToolCatalogue", 0, 0);
    assert_int_equal(o->op, OP(UNREADABLE));
    assert_true(o->control);
    assert_non_null(strstr(o->reason, "refused"));
    assert_null(witness_object(&s->witness, "ToolCatalogue", 0, 1));
    assert_false(witness_last_coverage(&s->witness)->sources[0]->ok);
}

/* The first row with this outcome, or NULL. */
static const Pilotgate__Call *row_with(const struct witness *w, int outcome) {
    const Pilotgate__Call *row;
    for (int i = 0; (row = witness_row(w, i)) != NULL; i++)
        if ((int)row->outcome == outcome)
            return row;
    return NULL;
}

static bool has_outcome(const struct witness *w, int outcome) {
    return row_with(w, outcome) != NULL;
}

/* The session stands, but new connections are refused: the calls of that time were never in flight. One
 * that the listener had queued when it closed is reset instead, by the kernel. */
static void test_refused_with_session(void **state) {
    struct scene *s = *state;
    s->probe.interval = 20 * WHEN_MS;
    s->probe.connection = CONFIG_CONNECTION_NEW;
    begin(s);
    assert_true(witness_wait(&s->witness, completed, 3));
    fault_stop_listening(&s->server);
    assert_true(witness_wait(&s->witness, has_outcome, OUT(REFUSED)));
    mcp_stop(&s->mcp, WHEN_S);
    const Pilotgate__Call *row = row_with(&s->witness, OUT(REFUSED));
    assert_int_equal(row->flags, FLAG(UNSENT));
    assert_int_equal(row->connection, 0);
    assert_int_equal(fault_executions(&s->server, row->nonce), 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_json),
        T(test_sse_reuses_connections),
        T(test_sse_left_open),
        T(test_no_sessions),
        T(test_connection_kinds),
        T(test_faults),
        T(test_answers_that_fill_the_memory),
        T(test_reused_closed_is_not_sent_again),
        T(test_session_lost),
        T(test_refused),
        T(test_refused_with_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
