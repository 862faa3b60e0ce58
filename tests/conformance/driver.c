/* conformance-driver: the client that the MCP conformance suite tests: the agent's own peer
 * (agent/mcp/peer.h), asked to do what a scenario wants seen. It opens the server, lists its tools, calls
 * them all at once, and parts. No protocol is in here.
 *
 * usage: conformance-driver URL       the suite calls it so, with
 *
 *   MCP_CONFORMANCE_SCENARIO           the scenario's name
 *   MCP_CONFORMANCE_PROTOCOL_VERSION   a revision before 2026-07-28 is offered and nothing else; with
 *                                      2026-07-28 the peer finds out the era by itself
 *   MCP_CONFORMANCE_CONTEXT            JSON; {"toolCalls":[{"name","arguments"}]}: these calls instead
 *
 * Exit status: 0, 1 when something did not succeed (one line each on standard error), 2 for wrong usage. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "base/js.h"
#include "base/when.h"
#include "mcp/peer.h"

#define MODERN "2026-07-28"
#define LIMIT_NS (20 * WHEN_S) /* of everything; the suite gives up after 30 s */
#define CALL_NS (10 * WHEN_S)
#define STEP_NS (10 * WHEN_MS)
#define CALLS_MAX 64

struct driver {
    const char *scenario;
    json_t *context;
    struct mcp_transport transport;
    struct peer *peer;
    struct peer_list list;
    struct peer_call calls[CALLS_MAX];
    size_t n;
    int64_t end; /* monotonic */
    int failures;
};

static void fail(struct driver *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fail(struct driver *d, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)fputs("conformance-driver: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    d->failures++;
}

/* ------------------------------------------------------------------ turning */

static void turn(struct driver *d) {
    int64_t now = when_mono_ns();
    peer_turn(d->peer, now);
    mcp_transport_wait(&d->transport, STEP_NS);
    mcp_transport_turn(&d->transport);
}

static bool may_go_on(const struct driver *d) {
    return when_mono_ns() < d->end;
}

static bool opened(struct driver *d) {
    while (may_go_on(d) && !peer_tried(d->peer))
        turn(d);
    if (peer_state(d->peer) == PEER_UP)
        return true;
    const struct mcp_failure *f = peer_failure(d->peer);
    fail(d, "the server could not be opened: outcome %d, HTTP %ld, JSON-RPC %lld, %s", (int)f->outcome,
         f->status, (long long)f->rpc_code, f->detail);
    return false;
}

/* ------------------------------------------------------------------ list and calls */

static void listed(struct peer_list *l) {
    (void)l;
}

static bool list_tools(struct driver *d) {
    struct err e;
    d->list.done = listed;
    if (peer_list_begin(d->peer, &d->list, &e)) {
        fail(d, "tools/list: %s", e.text);
        return false;
    }
    while (may_go_on(d) && peer_list_running(&d->list))
        turn(d);
    if (d->list.tools && d->list.failure.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
        return true;
    fail(d, "tools/list: outcome %d, %s", (int)d->list.failure.outcome, d->list.failure.detail);
    return false;
}

static void called(struct peer_call *c) {
    (void)c;
}

/* Steals arguments. tool or method is NULL. A tool that must not be called (x-mcp-header) is tried, too: the
 * peer has to refuse. */
static void call(struct driver *d, const char *tool, const char *method, json_t *arguments) {
    struct err e;
    struct peer_call *c = &d->calls[d->n];
    if (d->n == CALLS_MAX) {
        fail(d, "more than %d calls", CALLS_MAX);
        json_decref(arguments);
        return;
    }
    *c = (struct peer_call){
        .tool = tool, .method = method, .arguments = arguments, .timeout_ns = CALL_NS, .done = called};
    (void)snprintf(c->id, sizeof c->id, "call-%zu", d->n);
    bool refuse = tool && peer_tool_refused(d->peer, tool);
    int r = peer_call_begin(d->peer, c, &e);
    if (r == 0)
        d->n++;
    if (refuse != (r == -EINVAL))
        fail(d, "%s: %s", tool ? tool : method, r ? e.text : "was to be refused, and is called");
    else if (r && r != -EINVAL)
        fail(d, "%s: %s", tool ? tool : method, e.text);
    json_decref(arguments);
}

static void call_tools(struct driver *d) {
    const json_t *chosen = js_at(d->context, "toolCalls"), *one;
    size_t i;
    json_array_foreach(chosen, i, one) {
        call(d, js_str(one, "name", ""), NULL, json_deep_copy(js_at(one, "arguments")));
    }
    if (chosen || strcmp(d->scenario, "json-schema-ref-no-deref") == 0) /* a server without tools/call */
        return;
    json_array_foreach(d->list.tools, i, one) {
        call(d, js_str(one, "name", ""), NULL, answer_arguments(one, d->list.tools));
    }
}

/* http-standard-headers wants to see the headers of more than tools. */
static void call_methods(struct driver *d) {
    if (strcmp(d->scenario, "http-standard-headers") != 0)
        return;
    call(d, NULL, "resources/list", json_object());
    call(d, NULL, "resources/read", json_pack("{s:s}", "uri", "file:///path/to/file%20name.txt"));
    call(d, NULL, "prompts/list", json_object());
    call(d, NULL, "prompts/get", json_pack("{s:s}", "name", "test_prompt"));
}

static bool calling(const struct driver *d) {
    for (size_t i = 0; i < d->n; i++)
        if (peer_call_running(&d->calls[i]))
            return true;
    return false;
}

static void judge(struct driver *d, struct peer_call *c) {
    struct mcp_seen seen = c->seen;
    char detail[MCP_DETAIL_MAX];
    seen.expected = seen.answer == MCP_ANSWER_RESULT;
    Pilotgate__Outcome outcome = mcp_outcome(&seen, detail);
    if (outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
        fail(d, "%s: outcome %d, HTTP %ld, JSON-RPC %lld, %s", c->id, (int)outcome, seen.status,
             (long long)seen.rpc_code, detail);
}

static void wait_for_calls(struct driver *d) {
    while (may_go_on(d) && calling(d))
        turn(d);
    for (size_t i = 0; i < d->n; i++) {
        if (peer_call_running(&d->calls[i]))
            peer_call_look(&d->calls[i]);
        judge(d, &d->calls[i]);
        peer_call_clear(&d->calls[i]);
    }
}

/* ------------------------------------------------------------------ the whole */

static json_t *on_request(void *ctx, struct peer *p, const char *method, const json_t *params) {
    (void)ctx;
    (void)p;
    return answer_request(method, params);
}

static void drive(struct driver *d) {
    if (opened(d) && list_tools(d)) {
        if (strcmp(d->scenario, "json-schema-ref-no-deref") != 0) /* its server cannot be called */
            call_tools(d);
        call_methods(d);
        wait_for_calls(d);
    }
    peer_list_clear(&d->list);
    peer_goodbye(d->peer);
    while (may_go_on(d) && !peer_parted(d->peer))
        turn(d);
}

static int run(struct driver *d, const char *url, const char *version) {
    struct err e;
    json_t *capabilities = json_pack("{s:{},s:{}}", "elicitation", "roots");
    struct peer_options o = {
        .kind = PEER_MCP, .url = url, .id_prefix = "driver", .notices = true, .capabilities = capabilities};
    struct peer_events events = {.ctx = d, .request = on_request};
    if (version && strcmp(version, MODERN) != 0) {
        o.era = PEER_LEGACY;
        o.revision = version;
    }
    if (mcp_transport_open(&d->transport, CALLS_MAX, &e)) {
        fail(d, "%s", e.text);
    } else {
        if (peer_open(&d->peer, &d->transport, &o, &events, &e))
            fail(d, "%s", e.text);
        else
            drive(d);
        peer_close(&d->peer);
        mcp_transport_close(&d->transport);
    }
    json_decref(capabilities);
    return d->failures ? 1 : 0;
}

static int usage(const char *text) {
    fprintf(stderr, "conformance-driver: %s\n", text);
    return 2;
}

int main(int argc, char **argv) {
    static struct driver d;
    const char *scenario = getenv("MCP_CONFORMANCE_SCENARIO"), *context = getenv("MCP_CONFORMANCE_CONTEXT");
    if (argc != 2)
        return usage("give the server's URL; see the head of tests/conformance/driver.c");
    d.scenario = scenario ? scenario : "";
    d.end = when_mono_ns() + LIMIT_NS;
    if (context && js_parse(context, strlen(context), JS_TEXT_MAX, &d.context, NULL))
        return usage("MCP_CONFORMANCE_CONTEXT is not JSON");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = run(&d, argv[1], getenv("MCP_CONFORMANCE_PROTOCOL_VERSION"));
    curl_global_cleanup();
    json_decref(d.context);
    return status;
}
