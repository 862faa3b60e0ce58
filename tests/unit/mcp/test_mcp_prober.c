/* The prober as main uses it (mcp.h) against a server that fails on purpose, over real sockets. Every
 * record goes through the wire's checks on its way. */
#include <errno.h>
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
#include "fault_server.h"
#include "mcp/mcp.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define FLAG(name) PILOTGATE__CALL_FLAG__CALL_FLAG_##name
#define OP(name) PILOTGATE__OBJECT__OP__OP_##name

static const uint8_t boot[16] = {0xa1, 0xb2, 0xc3, 0xd4};
static const struct norm_key key = {{1}};

/* One target, one probe, one document; tests change what they need before begin(). */
struct scene {
    struct fault_server server;
    struct witness witness;
    struct config config;
    struct config_target target;
    struct config_probe probe;
    struct config_document document;
    struct mcp *mcp;
    bool slept;
};

static int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    fault_start(&s->server);
    witness_init(&s->witness);
    s->target =
        (struct config_target){.name = (char *)"gateway", .url = s->server.url, .custom_server = true};
    s->probe = (struct config_probe){.name = (char *)"hold",
                                     .target = (char *)"gateway",
                                     .tool = (char *)"hold",
                                     .arguments = (char *)"{\"nonce\":\"{nonce}\"}",
                                     .timeout = 5 * WHEN_S,
                                     .limit = 2 * WHEN_S};
    s->document = (struct config_document){.name = (char *)"gateways", .url = s->server.document};
    s->config.targets = (struct conf_list){&s->target, 1};
    s->config.probes = (struct conf_list){&s->probe, 1};
    s->config.max_in_flight = 100;
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    mcp_stop(&s->mcp, 0);
    fault_stop(&s->server);
    if (s->witness.error[0])
        print_error("a record that the wire refuses: %s\n", s->witness.error);
    int r = s->witness.error[0] ? -1 : 0;
    witness_free(&s->witness);
    free(s);
    return r;
}

static void begin(struct scene *s) {
    struct err e;
    if (mcp_start(&s->config, &key, boot, &s->witness.emit, &s->mcp, &e) < 0)
        fail_msg("%s", e.text);
}

static bool completed(const struct witness *w, int n) {
    return witness_calls(w, OUT(COMPLETED), 0) >= n;
}

static bool has_rows(const struct witness *w, int n) {
    return witness_row(w, n - 1) != NULL;
}

/* What is covered adds up: nothing is open, and every due call was sent or counted as unsent. */
static void assert_covered(struct scene *s, int sent) {
    const Pilotgate__Coverage *c = witness_last_coverage(&s->witness);
    assert_non_null(c);
    assert_int_equal(c->n_probes, 1);
    assert_int_equal(c->probes[0]->started, sent);
    assert_int_equal(c->probes[0]->resolved, sent);
    assert_int_equal(c->probes[0]->scheduled, c->probes[0]->started + c->probes[0]->unsent);
    assert_int_equal(c->probes[0]->n_open_number_delta, 0);
}

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
    for (size_t i = 0; i < s->witness.n; i++) {
        const Pilotgate__Record *r = s->witness.records[i];
        for (size_t j = 0; r->body_case == PILOTGATE__RECORD__BODY_CALLS && j < r->calls->n_outcome; j++)
            assert_true(r->calls->duration_us[j] < 150000);
    }
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
    int before = witness_calls(&s->witness, OUT(COMPLETED), 0);
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

/* ------------------------------------------------------------------ schedules */

static bool seconds(const struct witness *w, int n) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    int covered = 0;
    for (size_t i = 0; i < w->n; i++)
        covered += w->records[i]->body_case == PILOTGATE__RECORD__BODY_COVERAGE;
    return c && covered >= n;
}

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

/* An emit that stands still once stands for a thread that gets no time: the record says so. */
static void slow_emit(void *ctx, Pilotgate__Record *r) {
    struct scene *s = ctx;
    if (r->body_case == PILOTGATE__RECORD__BODY_CALLS && !s->slept) {
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
    assert_int_equal(mcp_start(&s->config, &key, boot, &slow, &s->mcp, &e), 0);
    assert_true(witness_wait(&s->witness, stalled, 390));
    mcp_stop(&s->mcp, WHEN_S);
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

/* ------------------------------------------------------------------ polled states */

static bool modified(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(MODIFIED), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(MODIFIED), n - 1);
}

static bool listed(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(LISTED), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(LISTED), n - 1);
}

static bool unreadable(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(UNREADABLE), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(UNREADABLE), n - 1);
}

static bool confirmed(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(CONFIRMED), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(CONFIRMED), n - 1);
}

static void script(struct scene *s, int tools, bool broken) {
    pthread_mutex_lock(&s->server.lock);
    s->server.tools = tools;
    s->server.broken_list = broken;
    pthread_mutex_unlock(&s->server.lock);
}

static void check_change(const struct scene *s, const char *kind, int64_t changed_wall) {
    const Pilotgate__Object *before = witness_object(&s->witness, kind, OP(LISTED), 0);
    const Pilotgate__Object *after = witness_object(&s->witness, kind, OP(MODIFIED), 0);
    assert_string_not_equal(before->digest, after->digest);
    assert_true(after->previous_wall_ns <= changed_wall && changed_wall <= after->t_wall_ns);
    assert_true(changed_wall - after->previous_wall_ns < 3 * WHEN_S);
    assert_null(strstr(after->normal, "plain-secret"));
}

static void test_polls(void **state) {
    struct scene *s = *state;
    s->config.probes.n = 0;
    s->config.documents = (struct conf_list){&s->document, 1};
    s->target.catalogue_interval = s->document.interval = 20 * WHEN_S;
    begin(s);
    assert_true(witness_wait(&s->witness, listed, 1));
    mcp_set_load(s->mcp, 60 * WHEN_S); /* four times a second from now on */
    int64_t changed = when_wall_ns();
    script(s, 1, false);
    assert_true(witness_wait(&s->witness, modified, 1));
    script(s, 1, true);
    assert_true(witness_wait(&s->witness, unreadable, 1));
    script(s, 1, false);
    assert_true(witness_wait(&s->witness, confirmed, 1));
    mcp_stop(&s->mcp, WHEN_S);
    check_change(s, "ToolCatalogue", changed);
    check_change(s, "ProductConfiguration", changed);
    assert_string_equal(witness_object(&s->witness, "ToolCatalogue", OP(MODIFIED), 0)->normal,
                        "{\"tools\":[\"added\",\"echo\",\"hold\"]}");
    assert_non_null(
        strstr(witness_object(&s->witness, "ProductConfiguration", OP(LISTED), 0)->normal, "keyed:"));
    assert_non_null(strstr(witness_object(&s->witness, "ToolCatalogue", OP(UNREADABLE), 0)->reason, "503"));
    assert_int_equal(witness_last_coverage(&s->witness)->n_sources, 2);
}

/* ------------------------------------------------------------------ configuration, check */

static void refuse(struct scene *s, const char *why) {
    struct err e = {""};
    assert_int_equal(mcp_start(&s->config, &key, boot, &s->witness.emit, &s->mcp, &e), -EINVAL);
    if (!strstr(e.text, why))
        fail_msg("%s", e.text);
    assert_null(s->mcp);
}

static void test_refuses(void **state) {
    struct scene *s = *state;
    char *bad[] = {(char *)"X-A: b\r\nX-C: d"};
    s->target.headers = (struct conf_strings){bad, 1};
    refuse(s, "header");
    s->target.headers.n = 0;
    s->probe.arguments = (char *)"[1]";
    refuse(s, "JSON object");
    s->probe.arguments = NULL;
    s->probe.target = (char *)"nowhere";
    refuse(s, "nowhere");
}

/* Without its token a target is not called at all, and a token is read again when it changes. */
static bool token_row(const struct witness *w, int n) {
    const Pilotgate__Call *row = witness_row(w, n - 1);
    return row && strstr(row->detail, "bearer token");
}

static void write_token(const char *path, const char *token) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(token, f);
    (void)fclose(f);
}

static void test_bearer(void **state) {
    struct scene *s = *state;
    char path[] = "/tmp/pilotgate-token-XXXXXX";
    (void)close(mkstemp(path));
    write_token(path, "two words\n");
    s->target.bearer_file = path;
    s->probe.interval = 20 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, token_row, 1));
    assert_int_equal(fault_get(&s->server, &s->server.initializes), 0);
    write_token(path, "good\n");
    assert_true(witness_wait(&s->witness, completed, 2));
    assert_true(fault_saw_bearer(&s->server, "Bearer good"));
    write_token(path, "other-token\n");
    assert_true(witness_wait(&s->witness, completed, 120));
    assert_true(fault_saw_bearer(&s->server, "Bearer other-token"));
    mcp_stop(&s->mcp, WHEN_S);
    (void)unlink(path);
}

struct said {
    int ok, bad;
    char last_advice[256];
};

static void hear(void *ctx, bool ok, const char *what, const char *advice) {
    struct said *h = ctx;
    assert_true(*what);
    h->ok += ok;
    h->bad += !ok;
    if (!ok)
        (void)snprintf(h->last_advice, sizeof h->last_advice, "%s", advice);
}

static void test_check(void **state) {
    struct scene *s = *state;
    struct said h = {0};
    char url[64];
    s->config.documents = (struct conf_list){&s->document, 1};
    assert_int_equal(mcp_check(&s->config, hear, &h), 0);
    assert_int_equal(h.ok, 4); /* initialize, tools/list, the call, the document */
    assert_int_equal(s->server.deletes, 1);
    s->probe.tool = (char *)"missing";
    script(s, 0, false);
    assert_int_equal(mcp_check(&s->config, hear, &h), 0); /* the probe waits for its tool */
    assert_int_equal(h.ok, 8);
    s->probe.tool = (char *)"hold";
    fault_set(&s->server, FAULT_401, 0);
    assert_int_equal(mcp_check(&s->config, hear, &h), 1);
    assert_non_null(strstr(h.last_advice, "credentials"));
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/mcp", fault_free_port());
    s->target.url = url;
    assert_int_equal(mcp_check(&s->config, hear, &h), 1);
    assert_non_null(strstr(h.last_advice, "listens"));
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
        T(test_open_loop),
        T(test_rate),
        T(test_repeated),
        T(test_stall_is_told),
        T(test_quota),
        T(test_in_flight_and_drill),
        T(test_failing_is_not_hammered),
        T(test_polls),
        T(test_refuses),
        T(test_bearer),
        T(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
