/* Messages of a server: parsed within bounds, an envelope that answers is one that may, and what both eras
 * read from it does not trust its types. The awaited id is "n-1". */
#include <string.h>

#include "fuzz.h"
#include "mcp/message.h"
#include "mcp/modern.h"
#include "mcp/rpc.h"

static void read_answer(const json_t *message, enum mcp_answer kind, int64_t code) {
    const json_t *id = json_object_get(message, "id");
    if (kind == MCP_ANSWER_RESULT) {
        MUST(json_is_string(id) && strcmp(json_string_value(id), "n-1") == 0);
        MUST(json_is_object(json_object_get(message, "result")) && !json_object_get(message, "error"));
        (void)mcp_rpc_contains(json_object_get(message, "result"), "n-1");
        (void)mcp_modern_result_type(json_object_get(message, "result"));
    }
    if (kind == MCP_ANSWER_ERROR) {
        MUST(!json_object_get(message, "result"));
        (void)mcp_modern_is_error(code);
    }
}

/* A tool's schema, and arguments for it, are a server's and a user's. */
static void read_schema(const json_t *message) {
    json_t *annotations = NULL;
    struct err e;
    if (mcp_modern_annotations(message, &annotations, &e) < 0)
        return;
    size_t i;
    const json_t *a;
    MUST(json_array_size(annotations) <= MCP_MODERN_HEADERS_MAX);
    json_array_foreach(annotations, i, a) {
        char *value = NULL;
        if (mcp_modern_param(a, message, &value, &e) == 0 && value)
            MUST(strlen(value) <= MCP_MODERN_VALUE_MAX && !strpbrk(value, "\r\n"));
        free(value);
    }
    json_decref(annotations);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *message = NULL;
    int64_t code = 0;
    if (mcp_message_parse((const char *)data, size, &message) < 0)
        return 0;
    MUST(message);
    read_answer(message, mcp_rpc_classify(message, "n-1", &code), code);
    read_schema(message);
    (void)mcp_modern_choose(message, false);
    (void)mcp_modern_choose(message, true);
    char *answer = mcp_rpc_answer(json_object_get(message, "id"), NULL);
    free(answer);
    if (mcp_rpc_has_nonce(message)) {
        json_t *filled = mcp_rpc_filled(message, "n-2");
        MUST(filled);
        json_decref(filled);
    }
    json_decref(message);
    return 0;
}
