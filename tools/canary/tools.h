/* tools: the canary's tools, their schemas, and which of them are offered now.
 *
 * One table describes every tool; the MCP catalogue, Arcade's catalogue and the validation of arguments
 * come from it. Owned by one thread (http's), but tool_* functions have no state.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The last two have the names that the MCP conformance suite calls; they are offered only when named. */
enum tool { TOOL_ECHO, TOOL_HOLD, TOOL_WHOAMI, TOOL_SUM, TOOL_SUITE_TEXT, TOOL_SUITE_ERROR };
#define TOOL_COUNT (TOOL_SUITE_ERROR + 1)
#define TOOL_ANY ((1u << TOOL_COUNT) - 1)
#define TOOL_DEFAULT ((1u << TOOL_SUITE_TEXT) - 1)

#define TOOL_NONCE_MAX 129    /* bytes, with the NUL */
#define TOOL_TEXT_MAX 16384   /* bytes of echo's text */
#define TOOL_HOLD_MAX_S 120.0 /* longest hold */
#define TOOLS_FILE_MAX 4096   /* bytes of a tools file */
#define TOOLS_FILE_CHECK_MS 200

/* Who answers: told by `whoami`, so that replicas and restarts can be told apart. */
struct tool_identity {
    char host[65];
    char start[17]; /* 64 random bits of this process, hex */
    int pid;
};

struct tool_call {
    enum tool tool;
    char nonce[TOOL_NONCE_MAX]; /* "" when the caller gave none */
    double seconds;             /* how long the answer waits */
    bool stream;                /* the caller chose between JSON and events ... */
    bool stream_set;            /* ... here */
};

void tool_identify(struct tool_identity *ret);

/* True for 1..128 of [A-Za-z0-9._:-]: safe in logs, headers and answers. */
bool tool_nonce_ok(const char *s);

const char *tool_name(enum tool t);
/* By MCP name, or by Arcade's name in any case; -1 when there is none. */
int tool_find(const char *name);

/* Checks the arguments (an object or NULL) and gives the call and its answer's text, malloc'ed.
 * -EINVAL with a text for the caller of the tool. */
int tool_prepare(enum tool t, const json_t *arguments, const struct tool_identity *who, struct tool_call *ret,
                 char **ret_text, struct err *e) MUST_CHECK;

json_t *tool_describe(enum tool t);        /* MCP: name, description, inputSchema; new reference or NULL */
json_t *tool_describe_arcade(enum tool t); /* Arcade's ToolDefinition; new reference or NULL */

/* Names separated by sep (spaces around them ignored) as bits. strict: an unknown name is -EINVAL, else
 * it is passed over: a gateway may list tools of other servers. */
int tools_parse(const char *text, char sep, bool strict, unsigned *ret, struct err *e) MUST_CHECK;

struct tools; /* what is offered now; opaque */

/* list: comma-separated names, NULL for TOOL_DEFAULT. file: one name a line, '#' begins a comment; NULL for
 * none; it replaces the list and is read again when it has changed. warn hears once of each bad change, after
 * which the former tools stay; it may be NULL. */
int tools_open(const char *list, const char *file, void (*warn)(const char *text), struct tools **ret,
               struct err *e) MUST_CHECK;
unsigned tools_offered(struct tools *t, int64_t mono_ns);
void tools_close(struct tools **t);
