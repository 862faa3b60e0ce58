/* mcp: what both eras share, and the legacy era; see mcp.h. */
#include "canary/mcp_priv.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"

static const char *const legacy_versions[] = {MCP_LEGACY, "2025-06-18"};
#define LEGACY_VERSIONS (sizeof legacy_versions / sizeof *legacy_versions)

int mcp_new(const struct mcp_config *config, struct mcp **ret) {
    struct mcp *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->config = *config;
    int rc = seen_new(MCP_SESSIONS_MAX, &m->sessions);
    if (rc)
        mcp_free(&m);
    else
        *ret = m;
    return rc;
}

void mcp_free(struct mcp **m) {
    if (!*m)
        return;
    seen_free(&(*m)->sessions);
    free(*m);
    *m = NULL;
}

json_t *mcp_server_info(void) {
    return json_pack("{s:s,s:s}", "name", "pilotgate-canary", "version", PILOTGATE_VERSION);
}

json_t *mcp_versions(void) {
    json_t *list = json_array();
    json_array_append_new(list, json_string(MCP_MODERN));
    for (size_t i = 0; i < LEGACY_VERSIONS; i++)
        json_array_append_new(list, json_string(legacy_versions[i]));
    return list;
}

json_t *mcp_capabilities(const struct mcp *m) {
    return m->config.notices ? json_pack("{s:{s:b}}", "tools", "listChanged", 1)
                             : json_pack("{s:{}}", "tools");
}

bool mcp_speaks_legacy(const char *version) {
    for (size_t i = 0; i < LEGACY_VERSIONS; i++)
        if (!strcmp(version, legacy_versions[i]))
            return true;
    return false;
}

/* Steals payload: "result" or "error" of a response to id (NULL: null). */
static json_t *response(const struct mcp_call *c, const char *key, json_t *payload) {
    json_t *id = c->id ? json_incref((json_t *)c->id) : json_null();
    return json_pack("{s:s,s:o,s:o}", "jsonrpc", "2.0", "id", id, key, payload);
}

static void respond(const struct mcp_call *c, int status, json_t *message) {
    reply_set(c->reply, status, message ? json_dumps(message, JSON_COMPACT) : NULL);
    json_decref(message);
}

void mcp_fail_data(const struct mcp_call *c, int status, enum mcp_error code, const char *text,
                   json_t *data) {
    json_t *error = json_pack("{s:i,s:s}", "code", (int)code, "message", text);
    if (data)
        json_object_set_new(error, "data", data);
    respond(c, status, response(c, "error", error));
}

void mcp_fail(const struct mcp_call *c, int status, enum mcp_error code, const char *text) {
    mcp_fail_data(c, status, code, text, NULL);
}

void mcp_fail_version(const struct mcp_call *c, const char *requested) {
    json_t *data = json_pack("{s:o}", "supported", mcp_versions());
    if (data) /* a header's text may be none that JSON can hold: then it is left out */
        json_object_set_new(data, "requested", json_string(requested));
    mcp_fail_data(c, 400, MCP_UNSUPPORTED_VERSION, "unsupported protocol version", data);
}

json_t *mcp_response(const struct mcp_call *c, json_t *result) {
    if (c->modern) {
        json_object_set_new(result, "resultType", json_string("complete"));
        json_object_set_new(result, "_meta",
                            json_pack("{s:o}", "io.modelcontextprotocol/serverInfo", mcp_server_info()));
    }
    return response(c, "result", result);
}

void mcp_result(const struct mcp_call *c, json_t *result) {
    respond(c, 200, mcp_response(c, result));
}

/* True when the Accept header admits the type, by name or wildcard. Parameters are not looked at. */
static bool accepts(const char *accept, const char *type, const char *any_subtype) {
    for (const char *p = accept; *p;) {
        p += strspn(p, " \t,");
        size_t n = strcspn(p, ",; \t");
        if ((n == strlen(type) && !strncasecmp(p, type, n)) ||
            (n == strlen(any_subtype) && !strncasecmp(p, any_subtype, n)) || (n == 3 && !memcmp(p, "*/*", 3)))
            return true;
        p += strcspn(p, ",");
    }
    return false;
}

static bool is_json_type(const char *type) {
    size_t n = strcspn(type, "; \t");
    return n == strlen("application/json") && !strncasecmp(type, "application/json", n);
}

bool mcp_accepts_events(const struct mcp_request *q) {
    return q->accept && accepts(q->accept, "text/event-stream", "text/*");
}

static bool transport_ok(const struct mcp_call *c) {
    const struct mcp_request *q = c->q;
    if (!mcp_accepts_events(q) || !accepts(q->accept, "application/json", "application/*")) {
        mcp_fail(c, 406, MCP_INVALID_REQUEST, "Accept must list application/json and text/event-stream");
        return false;
    }
    if (!q->content_type || !is_json_type(q->content_type)) {
        mcp_fail(c, 415, MCP_INVALID_REQUEST, "Content-Type must be application/json");
        return false;
    }
    return true;
}

bool mcp_session_ok(const struct mcp_call *c) {
    if (!c->q->session) {
        mcp_fail(c, 400, MCP_INVALID_REQUEST, "Mcp-Session-Id is missing: send initialize first");
        return false;
    }
    if (!seen_touch(c->m->sessions, c->q->session)) {
        mcp_fail(c, 404, MCP_SESSION_NOT_FOUND, "session not found: send initialize without Mcp-Session-Id");
        return false;
    }
    return true;
}

static void initialize(const struct mcp_call *c) {
    const char *wanted = js_str(c->message, "params.protocolVersion", NULL);
    if (!wanted) {
        mcp_fail(c, 400, MCP_INVALID_PARAMS, "initialize: params.protocolVersion is missing");
        return;
    }
    uint8_t random[16];
    uint32_t count;
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(c->reply->session, sizeof c->reply->session, random, sizeof random);
    if (seen_add(c->m->sessions, c->reply->session, &count)) {
        *c->reply->session = 0;
        reply_set(c->reply, 500, NULL);
        return;
    }
    mcp_result(c,
               json_pack("{s:s,s:o,s:o}", "protocolVersion", mcp_speaks_legacy(wanted) ? wanted : MCP_LEGACY,
                         "capabilities", mcp_capabilities(c->m), "serverInfo", mcp_server_info()));
}

static void legacy(const struct mcp_call *c) {
    const char *method = c->method;
    if (method && c->id && !strcmp(method, "initialize"))
        initialize(c);
    else if (!mcp_session_ok(c))
        return;
    else if (!method || !c->id) /* a response or a notification */
        c->reply->status = 202;
    else if (!strcmp(method, "ping"))
        mcp_result(c, json_object());
    else if (!strcmp(method, "tools/list"))
        mcp_tools_list(c);
    else if (!strcmp(method, "tools/call"))
        mcp_tools_call(c);
    else
        mcp_fail(c, 200, MCP_METHOD_NOT_FOUND, "method not found");
}

/* A JSON-RPC request, notification or response; ids are strings or integers. */
static bool message_ok(const struct mcp_call *c) {
    const json_t *o = c->message;
    bool answer = json_object_get(o, "result") || json_object_get(o, "error");
    if (strcmp(js_str(o, "jsonrpc", ""), "2.0") || (!c->method && !answer))
        return false;
    const json_t *params = json_object_get(o, "params");
    if (params && !json_is_object(params))
        return false;
    return !c->id || json_is_string(c->id) || json_is_integer(c->id);
}

static void dispatch(struct mcp_call *c) {
    const char *version = c->q->version;
    c->id = json_object_get(c->message, "id");
    c->method = js_str(c->message, "method", NULL);
    if (!json_is_object(c->message) || !message_ok(c)) {
        c->id = NULL;
        mcp_fail(c, 400, MCP_INVALID_REQUEST, "not a single JSON-RPC 2.0 message");
        return;
    }
    bool has_meta = js_at(c->message, "/params/_meta/io.modelcontextprotocol~1protocolVersion") != NULL;
    c->modern = has_meta || (version && !strcmp(version, MCP_MODERN));
    if (c->modern)
        mcp_modern(c);
    else if (version && !mcp_speaks_legacy(version) && strcmp(version, "2025-03-26"))
        mcp_fail_version(c, version);
    else
        legacy(c);
}

static void post(struct mcp_call *c) {
    json_t *message;
    if (!transport_ok(c))
        return;
    if (js_parse(c->q->body, c->q->len, MCP_BODY_MAX, &message, NULL)) {
        mcp_fail(c, 400, MCP_PARSE_ERROR, "the body is not JSON");
        return;
    }
    c->message = message;
    dispatch(c);
    json_decref(message);
}

/* The modern era has neither streams of a session nor sessions to end. */
void mcp_handle(struct mcp *m, const struct mcp_request *q, struct reply *ret) {
    struct mcp_call c = {.m = m, .q = q, .reply = ret};
    bool session = !q->version || strcmp(q->version, MCP_MODERN);
    if (!strcmp(q->http_method, "POST")) {
        post(&c);
    } else if (session && m->config.notices && !strcmp(q->http_method, "GET")) {
        mcp_notices_get(&c);
    } else if (!session || strcmp(q->http_method, "DELETE")) {
        mcp_fail(&c, 405, MCP_INVALID_REQUEST, "use POST");
        ret->allow = !session ? "POST" : m->config.notices ? "POST, GET, DELETE" : "POST, DELETE";
    } else if (mcp_session_ok(&c)) {
        seen_remove(m->sessions, q->session);
        ret->status = 204;
    }
}
