/* The prober where event streams break and are taken up: what its records say of such calls, and that one
 * which waits is still in flight, also while the agent ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp.h"
#include "script_server.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define FLAG(name) PILOTGATE__CALL_FLAG__CALL_FLAG_##name

static const uint8_t boot[16] = {0xa1, 0xb2, 0xc3, 0xd4};
static const struct norm_key key = {{1}};

struct scene {
    struct script_server server;
    struct witness witness;
    struct config config;
    struct config_target target;
    struct config_probe probe;
    struct mcp *mcp;
    int retry_ms;
    bool resumes; /* else GET gives 405 */
};

/* The event id of a call's stream is the call's own id. */
static void answer_get(struct scene *s, const struct script_request *q, struct script_answer *a) {
    a->status = s->resumes ? 200 : 405;
    a->type = "sse";
    (void)snprintf(
        a->text, sizeof a->text,
        "data: {\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"content\":[{\"type\":\"text\",\"text\":"
        "\"held %s\"}]}}\n\n",
        q->last_event, q->last_event);
}

static void answer(void *ctx, const struct script_request *q, struct script_answer *a) {
    struct scene *s = ctx;
    if (strcmp(q->http, "GET") == 0) {
        answer_get(s, q, a);
    } else if (strcmp(q->method, "initialize") == 0) {
        script_result(a, q, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}");
        a->session = "one";
    } else if (strcmp(q->method, "tools/call") == 0) {
        a->type = "sse";
        (void)snprintf(a->text, sizeof a->text, "id: %s\nretry: %d\ndata:\n\n", js_str(q->body, "id", ""),
                       s->retry_ms);
    } else {
        a->status = strncmp(q->method, "notifications/", 14) == 0 ? 202 : 400;
    }
}

static int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    s->server.answer = answer;
    s->server.ctx = s;
    s->retry_ms = 100;
    s->resumes = true;
    script_start(&s->server);
    witness_init(&s->witness);
    s->target = (struct config_target){.name = (char *)"gateway", .url = s->server.url};
    s->probe = (struct config_probe){.name = (char *)"hold",
                                     .target = (char *)"gateway",
                                     .tool = (char *)"hold",
                                     .arguments = (char *)"{\"nonce\":\"{nonce}\"}",
                                     .interval = 200 * WHEN_MS,
                                     .timeout = 5 * WHEN_S,
                                     .limit = 4 * WHEN_S};
    s->config.targets = (struct conf_list){&s->target, 1};
    s->config.probes = (struct conf_list){&s->probe, 1};
    s->config.max_in_flight = 100;
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    mcp_stop(&s->mcp, 0);
    script_stop(&s->server);
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

static bool has_rows(const struct witness *w, int n) {
    return witness_row(w, n - 1) != NULL;
}

static void test_recovered_is_told(void **state) {
    struct scene *s = *state;
    begin(s);
    assert_true(witness_wait(&s->witness, has_rows, 3));
    mcp_stop(&s->mcp, 2 * WHEN_S);
    int n = witness_calls(&s->witness, 0, 0);
    assert_int_equal(witness_calls(&s->witness, OUT(COMPLETED), FLAG(RESUMED)), n);
    assert_int_equal(script_count(&s->server, "tools/call"), n);
    const Pilotgate__Call *row = witness_row(&s->witness, 0);
    assert_int_equal(row->outcome, OUT(COMPLETED));
    assert_true(row->flags & FLAG(RESUMED));
    assert_true(row->duration_us >= 95000); /* from its first byte sent to its answer */
    assert_int_equal(row->http_status, 200);
}

static void test_not_recovered_is_lost(void **state) {
    struct scene *s = *state;
    s->resumes = false;
    begin(s);
    assert_true(witness_wait(&s->witness, has_rows, 2));
    mcp_stop(&s->mcp, 2 * WHEN_S);
    int n = witness_calls(&s->witness, 0, 0);
    assert_int_equal(witness_calls(&s->witness, OUT(STREAM_ENDED), 0), n);
    assert_int_equal(witness_calls(&s->witness, 0, FLAG(RESUMED)), 0);
}

static bool one_waits(const struct witness *w, int n) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    return c && c->n_probes == 1 && (int)c->probes[0]->n_open_number_delta >= n;
}

/* Stopped while calls wait for their streams: they are taken up within the grace. */
static void test_waiting_is_in_flight(void **state) {
    struct scene *s = *state;
    s->retry_ms = 1800;
    begin(s);
    assert_true(witness_wait(&s->witness, one_waits, 2));
    mcp_stop(&s->mcp, 4 * WHEN_S);
    int n = witness_calls(&s->witness, 0, 0);
    assert_true(n >= 2);
    assert_int_equal(witness_calls(&s->witness, OUT(COMPLETED), FLAG(RESUMED)), n);
    const Pilotgate__Coverage *c = witness_last_coverage(&s->witness);
    assert_int_equal(c->probes[0]->started, n);
    assert_int_equal(c->probes[0]->resolved, n);
}

/* Its stream broke before the agent was stopped: that it was not taken up again is no reason to say less. */
static void test_broken_stays_broken_when_stopped(void **state) {
    struct scene *s = *state;
    s->retry_ms = 4500;
    begin(s);
    assert_true(witness_wait(&s->witness, one_waits, 2));
    mcp_stop(&s->mcp, 0);
    int n = witness_calls(&s->witness, 0, 0);
    int broken = witness_calls(&s->witness, OUT(STREAM_ENDED), 0);
    assert_true(broken >= 1 && broken >= n - 1); /* the last may not have come so far */
    assert_int_equal(witness_calls(&s->witness, OUT(ABORTED), 0), n - broken);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_recovered_is_told),
        T(test_not_recovered_is_lost),
        T(test_waiting_is_in_flight),
        T(test_broken_stays_broken_when_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
