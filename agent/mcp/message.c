/* message: see message.h. */
#include "mcp/message.h"

#include <errno.h>
#include <stdbool.h>

#include "base/js.h"
#include "mcp/mcp.h"

/* What a value costs in jansson 2.14 with malloc's overhead: an object has a table of eight buckets, an
 * array room for eight values, and each member or element its own allocation. */
#define OBJECT_BYTES 320
#define ARRAY_BYTES 144
#define MEMBER_BYTES 96
#define ELEMENT_BYTES 40

static size_t cost_of(char c) {
    switch (c) {
    case '{':
        return OBJECT_BYTES;
    case '[':
        return ARRAY_BYTES;
    case ':':
        return MEMBER_BYTES;
    case ',':
        return ELEMENT_BYTES;
    default:
        return 0;
    }
}

/* Text inside strings costs its length; whether the text is JSON at all does not matter here. */
size_t mcp_message_cost(const char *text, size_t len) {
    size_t cost = len;
    bool inside = false;
    for (size_t i = 0; i < len; i++) {
        if (inside && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            inside = !inside;
        else if (!inside)
            cost += cost_of(text[i]);
    }
    return cost;
}

int mcp_message_parse(const char *text, size_t len, json_t **ret) {
    if (len > MCP_ANSWER_MAX || mcp_message_cost(text, len) > MCP_PARSED_MAX)
        return -EMSGSIZE;
    return js_parse(text, len, MCP_ANSWER_MAX, ret, NULL) < 0 ? -EBADMSG : 0;
}
