/* mcp_modern: revision 2026-07-28: no sessions; each request declares itself in _meta, and its headers
 * must say the same as its body; see mcp.h. */
#include "canary/mcp_priv.h"

#include <sodium.h>
#include <string.h>

#include "base/js.h"

#define NAME_MAX_BYTES 256

/* True when the header's value, decoded when it is wrapped as =?base64?...?=, equals the text. */
static bool header_equals(const char *header, const char *text) {
    static const char prefix[] = "=?base64?", suffix[] = "?=";
    size_t n = strlen(header), ends = sizeof prefix - 1 + sizeof suffix - 1;
    if (n < ends || strncmp(header, prefix, sizeof prefix - 1) || strcmp(header + n - 2, suffix))
        return !strcmp(header, text);
    unsigned char name[NAME_MAX_BYTES];
    size_t len;
    if (sodium_base642bin(name, sizeof name, header + sizeof prefix - 1, n - ends, NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL))
        return false;
    return len == strlen(text) && !memcmp(name, text, len);
}

static bool version_ok(const struct mcp_call *c) {
    const char *header = c->q->version;
    const char *meta = js_str(c->message, "/params/_meta/io.modelcontextprotocol~1protocolVersion", NULL);
    if (!header)
        mcp_fail(c, 400, MCP_HEADER_MISMATCH, "the MCP-Protocol-Version header is missing");
    else if (!meta)
        mcp_fail(c, 400, MCP_INVALID_PARAMS, "_meta must hold io.modelcontextprotocol/protocolVersion");
    else if (strcmp(header, meta))
        mcp_fail(c, 400, MCP_HEADER_MISMATCH, "MCP-Protocol-Version differs from the version in _meta");
    else if (strcmp(header, MCP_MODERN))
        mcp_fail_version(c, meta);
    else
        return true;
    return false;
}

static bool headers_ok(const struct mcp_call *c) {
    const char *name = js_str(c->message, "params.name", NULL);
    if (!c->q->method || strcmp(c->q->method, c->method))
        mcp_fail(c, 400, MCP_HEADER_MISMATCH, "the Mcp-Method header is missing or differs from the method");
    else if (!json_is_object(js_at(c->message, "/params/_meta/io.modelcontextprotocol~1clientCapabilities")))
        mcp_fail(c, 400, MCP_INVALID_PARAMS, "_meta must hold io.modelcontextprotocol/clientCapabilities");
    else if (!strcmp(c->method, "tools/call") && name && (!c->q->name || !header_equals(c->q->name, name)))
        mcp_fail(c, 400, MCP_HEADER_MISMATCH, "the Mcp-Name header is missing or differs from params.name");
    else
        return true;
    return false;
}

/* A day: what this answers changes only with the program. */
static void discover(const struct mcp_call *c) {
    mcp_result(c, json_pack("{s:o,s:o,s:i,s:s}", "supportedVersions", mcp_versions(), "capabilities",
                            mcp_capabilities(c->m), "ttlMs", 86400000, "cacheScope", "public"));
}

void mcp_modern(const struct mcp_call *c) {
    if (!c->method)
        mcp_fail(c, 400, MCP_INVALID_REQUEST, "responses are not accepted");
    else if (!c->id) /* this revision defines no notification from clients */
        c->reply->status = 202;
    else if (!version_ok(c) || !headers_ok(c))
        return;
    else if (!strcmp(c->method, "server/discover"))
        discover(c);
    else if (!strcmp(c->method, "tools/list"))
        mcp_tools_list(c);
    else if (!strcmp(c->method, "tools/call"))
        mcp_tools_call(c);
    else if (c->m->config.notices && !strcmp(c->method, "subscriptions/listen"))
        mcp_notices_listen(c);
    else
        mcp_fail(c, 404, MCP_METHOD_NOT_FOUND, "method not found");
}
