/* peer_scene: one peer and one script_server, turned by the test's own thread until what it waits for. */
#pragma once

#include "mcp/peer.h"
#include "script_server.h"

struct scene {
    struct script_server server;
    struct mcp_transport transport;
    struct peer_options o; /* to change before scene_open; url: another server than the script's */
    const char *tool;      /* of calls; default hold ... */
    const char *arguments; /* ... with {"region":"us-west1"} */
    struct peer_events events;
    struct peer *peer;
    struct peer_call call;
    struct peer_list list;
    int stage;                  /* for scripts; change under the server's lock */
    int changed, notices;       /* events */
    int asked;                  /* requests of the server */
    bool called, listed;        /* done came */
    Pilotgate__Outcome outcome; /* of the call, without an expectation */
    char detail[MCP_DETAIL_MAX];
};

int scene_setup(void **state);
int scene_teardown(void **state);
typedef void script_fn(void *ctx, const struct script_request *q, struct script_answer *a);
/* Starts the peer against this script; ctx is the scene. */
void scene_begin(struct scene *s, script_fn *answer);
/* The same, and waits until it is UP. */
void scene_open(struct scene *s, script_fn *answer);
/* Turns until the test is true; fails the test after ten seconds. */
void scene_until(struct scene *s, bool (*test)(struct scene *s), const char *what);
#define UNTIL(s, test) scene_until(s, test, #test)
/* Turns for so long. */
void scene_turn(struct scene *s, int64_t ns);
bool scene_is_up(struct scene *s);
bool scene_called(struct scene *s);
bool scene_listed(struct scene *s);
/* Begins a call of tool hold, with this id and hard maximum; scene_called says when it is done. */
void scene_call(struct scene *s, const char *id, int64_t timeout_ns);
/* One call from begin to end, which must come to this outcome. */
void scene_call_is(struct scene *s, const char *id, Pilotgate__Outcome outcome);
/* The whole catalogue. */
void scene_list(struct scene *s);
/* Answers what is always the same in the legacy era: server/discover (400), initialize (session "one", or of
 * scene.stage when it is not 0), notifications, tools/list, DELETE (204). False: another method. */
bool scene_legacy(struct scene *s, const struct script_request *q, struct script_answer *a);
/* The same for the modern era: server/discover, tools/list. */
bool scene_modern(const struct script_request *q, struct script_answer *a);
/* A tool's result whose text is the request's id. */
void scene_tool_result(const struct script_request *q, struct script_answer *a);
