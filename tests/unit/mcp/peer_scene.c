/* peer_scene: see peer_scene.h. */
#include "peer_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"

#define WAIT_NS (10 * WHEN_S)
#define TURN_NS (5 * WHEN_MS)

static void on_changed(void *ctx, struct peer *p) {
    (void)p;
    ((struct scene *)ctx)->changed++;
}

static void on_notice(void *ctx, struct peer *p) {
    (void)p;
    ((struct scene *)ctx)->notices++;
}

int scene_setup(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    s->events = (struct peer_events){.ctx = s, .changed = on_changed, .catalogue = on_notice};
    *state = s;
    return mcp_transport_open(&s->transport, 16, NULL);
}

int scene_teardown(void **state) {
    struct scene *s = *state;
    peer_call_clear(&s->call);
    peer_list_clear(&s->list);
    peer_close(&s->peer);
    mcp_transport_close(&s->transport);
    if (s->server.daemon)
        script_stop(&s->server);
    free(s);
    return 0;
}

void scene_begin(struct scene *s, script_fn *answer) {
    struct err e;
    if (!s->o.url) {
        s->server.answer = answer;
        s->server.ctx = s;
        script_start(&s->server);
        s->o.url = s->server.url;
    }
    s->o.id_prefix = "scene";
    if (peer_open(&s->peer, &s->transport, &s->o, &s->events, &e) < 0)
        fail_msg("%s", e.text);
}

static void one_turn(struct scene *s) {
    int64_t now = when_mono_ns();
    peer_turn(s->peer, now);
    mcp_transport_turn(&s->transport);
    int64_t wait = peer_next(s->peer) - when_mono_ns();
    mcp_transport_wait(&s->transport, wait < TURN_NS ? wait : TURN_NS);
}

void scene_until(struct scene *s, bool (*test)(struct scene *s), const char *what) {
    int64_t end = when_mono_ns() + WAIT_NS;
    while (!test(s)) {
        if (when_mono_ns() > end)
            fail_msg("not within ten seconds: %s (%s)", what, peer_failure(s->peer)->detail);
        one_turn(s);
    }
}

void scene_turn(struct scene *s, int64_t ns) {
    for (int64_t end = when_mono_ns() + ns; when_mono_ns() < end;)
        one_turn(s);
}

bool scene_is_up(struct scene *s) {
    return peer_state(s->peer) == PEER_UP;
}

bool scene_called(struct scene *s) {
    return s->called;
}

bool scene_listed(struct scene *s) {
    return s->listed;
}

void scene_open(struct scene *s, script_fn *answer) {
    scene_begin(s, answer);
    UNTIL(s, scene_is_up);
}

/* ------------------------------------------------------------------ calls and lists */

static void on_called(struct peer_call *c) {
    struct scene *s = (struct scene *)((char *)c - offsetof(struct scene, call));
    struct mcp_seen seen = c->seen;
    assert_false(peer_call_running(c));
    seen.expected = c->result != NULL;
    s->outcome = mcp_outcome(&seen, s->detail);
    s->called = true;
}

void scene_call(struct scene *s, const char *id, int64_t timeout_ns) {
    struct err e;
    peer_call_clear(&s->call);
    s->called = false;
    json_t *arguments = json_loads(s->arguments ? s->arguments : "{\"region\":\"us-west1\"}", 0, NULL);
    s->call = (struct peer_call){.tool = s->tool ? s->tool : "hold",
                                 .arguments = arguments,
                                 .timeout_ns = timeout_ns,
                                 .done = on_called};
    (void)snprintf(s->call.id, sizeof s->call.id, "%s", id);
    if (peer_call_begin(s->peer, &s->call, &e) < 0)
        fail_msg("%s", e.text);
    json_decref(arguments);
}

void scene_call_is(struct scene *s, const char *id, Pilotgate__Outcome outcome) {
    scene_call(s, id, 5 * WHEN_S);
    UNTIL(s, scene_called);
    if (s->outcome != outcome)
        fail_msg("%s: %s (%s)", id, wire_outcome_name((int)s->outcome), s->detail);
}

static void on_listed(struct peer_list *l) {
    ((struct scene *)((char *)l - offsetof(struct scene, list)))->listed = true;
}

void scene_list(struct scene *s) {
    struct err e;
    peer_list_clear(&s->list);
    s->listed = false;
    s->list.done = on_listed;
    if (peer_list_begin(s->peer, &s->list, &e) < 0)
        fail_msg("%s", e.text);
    UNTIL(s, scene_listed);
}

/* ------------------------------------------------------------------ scripts */

#define TOOLS "{\"tools\":[{\"name\":\"hold\",\"inputSchema\":{\"type\":\"object\"}}]}"

bool scene_legacy(struct scene *s, const struct script_request *q, struct script_answer *a) {
    static const char *const sessions[] = {"one", "one", "two", "three", "four"};
    if (strcmp(q->http, "DELETE") == 0) {
        a->status = 204;
    } else if (strcmp(q->method, "server/discover") == 0) {
        a->status = 400;
        a->type = "text/plain";
        (void)snprintf(a->text, sizeof a->text, "Bad Request: no session");
    } else if (strcmp(q->method, "initialize") == 0) {
        a->session = sessions[s->stage < 5 ? s->stage : 4];
        script_result(
            a, q,
            "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{\"listChanged\":true}},"
            "\"serverInfo\":{\"name\":\"script\",\"version\":\"1\"}}");
    } else if (strncmp(q->method, "notifications/", 14) == 0 || (!q->method[0] && q->body)) {
        a->status = 202;
    } else if (strcmp(q->method, "tools/list") == 0) {
        script_result(a, q, TOOLS);
    } else {
        return false;
    }
    return true;
}

bool scene_modern(const struct script_request *q, struct script_answer *a) {
    if (strcmp(q->method, "server/discover") == 0)
        script_result(
            a, q,
            "{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],"
            "\"capabilities\":{\"tools\":{\"listChanged\":true}},\"ttlMs\":1,\"cacheScope\":\"private\"}");
    else if (strcmp(q->method, "tools/list") == 0)
        script_result(a, q,
                      "{\"resultType\":\"complete\",\"ttlMs\":1,\"cacheScope\":\"public\",\"tools\":["
                      "{\"name\":\"hold\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"region\":"
                      "{\"type\":\"string\",\"x-mcp-header\":\"Region\"}}}},"
                      "{\"name\":\"odd\",\"inputSchema\":{\"type\":\"object\",\"x-mcp-header\":\"Odd\"}}]}");
    else
        return false;
    return true;
}

void scene_tool_result(const struct script_request *q, struct script_answer *a) {
    script_result(a, q, "{\"content\":[{\"type\":\"text\",\"text\":%s}]}", q->id);
}
