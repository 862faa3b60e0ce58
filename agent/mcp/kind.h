/* kind: the REST interfaces beside MCP, as pure functions: how a call, a page of a list and a question for
 * health are asked, and how their answers are read. Knows nothing of HTTP but method, path and body.
 *
 *   arcade   Arcade's engine: /v1/tools/execute, /v1/tools, /v1/workers, /v1/health
 *            (@arcadeai/arcadejs 2.4.1, resources/{tools/tools,workers,health}.ts, core/pagination.ts)
 *   worker   a self-hosted custom server: /worker/tools/invoke, /worker/tools, /worker/health
 *            (ArcadeAI/arcade-mcp, libs/arcade-serve/arcade_serve/core/{auth,components}.py)
 *
 * Both name a tool "Toolkit.Name", with "@version" for one version of it. Nothing here asks twice: the
 * vendor's SDK repeats 408, 409, 429 and 5xx by itself, which would hide what is to be measured.
 * Thread-safe; every answer is hostile. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KIND_PAGE_ITEMS 100 /* asked for at once */
#define KIND_SUFFIX_MAX 64
#define KIND_ERROR_MAX 48
#define KIND_REASON_MAX 96
#define KIND_TOKEN_MAX 512
#define KIND_TOKEN_SECONDS 60 /* how long a worker's token is good */

/* Method, path and body of a request. */
struct kind_question {
    bool post;                    /* else GET */
    bool open;                    /* needs no credentials */
    char suffix[KIND_SUFFIX_MAX]; /* behind the target's URL */
    char *body;                   /* JSON, malloc'ed; NULL: none */
};

struct kind_call {
    const char *tool;
    const json_t *arguments; /* an object; NULL: none */
    const char *user_id;     /* NULL: none */
    const char *id;          /* the call's own */
};

/* What is listed. */
enum kind_list {
    KIND_TOOLS,
    KIND_CONFIGURATION, /* the product's own */
};

struct kind {
    const char *name;
    bool signs;         /* requests carry a token that kind_token makes */
    bool configuration; /* KIND_CONFIGURATION can be listed */
    /* -ENOMEM, or -EINVAL when the tool cannot be named so. */
    int (*ask_call)(struct kind_question *ret, const struct kind_call *c, struct err *e) MUST_CHECK;
    void (*ask_page)(struct kind_question *ret, enum kind_list what, size_t offset);
    void (*ask_health)(struct kind_question *ret);
    /* False: unhealthy, and why. */
    bool (*read_health)(const json_t *body, char reason[KIND_REASON_MAX]);
    /* The items of a page; NULL: that is none. ret_total: how many there are in all; 0: no more than these.
     */
    const json_t *(*read_page)(const json_t *body, size_t *ret_total);
};

extern const struct kind kind_arcade, kind_worker;

/* The answer to a call as MCP's CallToolResult (2025-11-25, server/tools), a new reference: under
 * structuredContent the value and, where the server says it (as pilotgate-canary does), how many executions
 * there were of the call; or isError, and under structuredContent.error.kind the error's word. Success is
 * what says so and holds no error: a 200 with success:false is none. NULL: no such answer. */
json_t *kind_read_call(const json_t *body);
/* The error's kind in such a result, "" for none. Borrowed. */
const char *kind_error(const json_t *result);

/* Takes the items of a page into a list of at most max: tools as MCP describes them (name, description,
 * inputSchema), parts of the configuration as they are; both without what changes by itself. *ret_next:
 * offset of the page that follows, 0: this was the last. -EPROTO with the reason: that is no page. */
int kind_take_page(const struct kind *k, enum kind_list what, const json_t *body, size_t offset, size_t max,
                   json_t *into, size_t *ret_next, struct err *e) MUST_CHECK;

/* A JWT (RFC 7519) signed by HS256 (RFC 7515, RFC 7518 3.2), for one worker from now on. -ENOMEM. */
int kind_token(const char *secret, int64_t now_wall_ns, char ret[KIND_TOKEN_MAX]) MUST_CHECK;
