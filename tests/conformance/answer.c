/* answer: see answer.h. */
#include "answer.h"

#include <string.h>

#include "base/js.h"

/* A value that the schema of a parameter or field admits: its default, or one of its type. */
static json_t *value_for(const json_t *schema) {
    const json_t *fallback = json_object_get(schema, "default");
    const char *type = js_str(schema, "type", "string");
    if (fallback)
        return json_deep_copy(fallback);
    if (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0)
        return json_integer(7);
    if (strcmp(type, "boolean") == 0)
        return json_true();
    return strcmp(type, "object") == 0 ? json_object() : json_string("text");
}

static bool is_required(const json_t *schema, const char *name) {
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(schema, "required"), i, one) {
        if (json_is_string(one) && strcmp(json_string_value(one), name) == 0)
            return true;
    }
    return false;
}

/* json-schema-2020-12-preservation: this tool wants back, unchanged, the schema of the other. */
static json_t *echoed_schema(const json_t *tools) {
    return json_pack("{s:O?}", "schema", js_at(tools, "0.inputSchema"));
}

json_t *answer_arguments(const json_t *tool, const json_t *tools) {
    const json_t *schema = json_object_get(tool, "inputSchema");
    if (strcmp(js_str(tool, "name", ""), "json_schema_echo") == 0)
        return echoed_schema(tools);
    json_t *arguments = json_object();
    const char *name;
    json_t *one;
    json_object_foreach(json_object_get(schema, "properties"), name, one) {
        if (is_required(schema, name))
            json_object_set_new(arguments, name, value_for(one));
    }
    return arguments;
}

/* SEP-1034: a field that the user leaves out gets its default. */
static json_t *accept_defaults(const json_t *schema) {
    json_t *content = json_object();
    const char *name;
    json_t *one;
    json_object_foreach(json_object_get(schema, "properties"), name, one) {
        json_object_set_new(content, name, value_for(one));
    }
    return json_pack("{s:s,s:o}", "action", "accept", "content", content);
}

json_t *answer_request(const char *method, const json_t *params) {
    if (strcmp(method, "elicitation/create") == 0)
        return accept_defaults(json_object_get(params, "requestedSchema"));
    if (strcmp(method, "roots/list") == 0)
        return json_pack("{s:[]}", "roots");
    return NULL;
}
