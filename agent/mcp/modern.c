/* modern: see modern.h. */
#include "mcp/modern.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/js.h"
#include "mcp/rpc.h"

#define META "io.modelcontextprotocol/"
#define ANNOTATION "x-mcp-header"
#define SAFE_INTEGER ((1LL << 53) - 1)

/* ------------------------------------------------------------------ envelopes */

bool mcp_modern_is_error(int64_t code) {
    return code == MCP_HEADER_MISMATCH || code == MCP_MISSING_CAPABILITY || code == MCP_UNSUPPORTED_VERSION;
}

bool mcp_modern_revision_ok(const char *revision) {
    return strcmp(revision, MCP_MODERN_REVISION) == 0;
}

const char *mcp_modern_choose(const json_t *revisions, bool legacy) {
    size_t i;
    json_t *item;
    json_array_foreach(revisions, i, item) {
        const char *name = json_is_string(item) ? json_string_value(item) : "";
        if (legacy ? mcp_rpc_revision_ok(name) : mcp_modern_revision_ok(name))
            return name;
    }
    return "";
}

json_t *mcp_modern_params(const json_t *params, const char *revision, const json_t *capabilities) {
    json_t *own = params ? json_copy((json_t *)params) : json_object();
    const json_t *given = json_object_get(own, "_meta");
    json_t *meta = json_is_object(given) ? json_copy((json_t *)given) : json_object();
    json_t *declared = capabilities ? json_incref((json_t *)capabilities) : json_object();
    json_t *info = json_pack("{s:s,s:s}", "name", "pilotgate-agent", "version", PILOTGATE_VERSION);
    int bad = json_object_set_new(meta, META "protocolVersion", json_string(revision));
    bad |= json_object_set_new(meta, META "clientCapabilities", declared);
    bad |= json_object_set_new(meta, META "clientInfo", info);
    bad |= json_object_set_new(own, "_meta", meta);
    if (!bad)
        return own;
    json_decref(own);
    return NULL;
}

enum mcp_result_type mcp_modern_result_type(const json_t *result) {
    const json_t *type = json_object_get(result, "resultType");
    if (!type)
        return MCP_RESULT_COMPLETE;
    const char *text = json_is_string(type) ? json_string_value(type) : "";
    if (strcmp(text, "complete") == 0)
        return MCP_RESULT_COMPLETE;
    return strcmp(text, "input_required") == 0 ? MCP_RESULT_INPUT_REQUIRED : MCP_RESULT_UNKNOWN;
}

/* ------------------------------------------------------------------ header values */

/* Visible ASCII and inner spaces, and nothing that looks encoded. An empty value is encoded, as proxies may
 * drop headers that are empty. */
static bool is_plain(const char *value, size_t len) {
    static const char prefix[] = "=?base64?";
    if (len == 0 || value[0] == ' ' || value[len - 1] == ' ')
        return false;
    for (size_t i = 0; i < len; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return false;
    return strncmp(value, prefix, sizeof prefix - 1) != 0 || len < sizeof prefix + 1 ||
           strcmp(value + len - 2, "?=") != 0;
}

char *mcp_modern_header_value(const char *value, size_t len) {
    if (is_plain(value, len))
        return strndup(value, len);
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *encoded = malloc(size);
    struct buf b = BUF_INIT(size + 16);
    if (!encoded)
        return NULL;
    (void)sodium_bin2base64(encoded, size, (const unsigned char *)value, len, sodium_base64_VARIANT_ORIGINAL);
    if (buf_addf(&b, "=?base64?%s?=", encoded) < 0)
        buf_free(&b);
    free(encoded);
    return b.data;
}

/* ------------------------------------------------------------------ annotations */

/* RFC 9110, 5.6.2: token. */
static bool is_token(const char *s) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    size_t n = strlen(s);
    for (const char *p = s; *p; p++)
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
              strchr(others, *p)))
            return false;
    return n > 0 && n <= MCP_MODERN_NAME_MAX;
}

/* "type" is, or lists beside null nothing but, string, integer and boolean. */
static bool is_primitive(const json_t *type) {
    static const char *const good[] = {"string", "integer", "boolean"};
    size_t i;
    json_t *item;
    if (json_is_array(type)) {
        size_t primitive = 0;
        json_array_foreach(type, i, item) {
            bool null = json_is_string(item) && strcmp(json_string_value(item), "null") == 0;
            if (!null && (!json_is_string(item) || !is_primitive(item)))
                return false;
            primitive += !null;
        }
        return primitive > 0;
    }
    for (i = 0; json_is_string(type) && i < sizeof good / sizeof *good; i++)
        if (strcmp(json_string_value(type), good[i]) == 0)
            return true;
    return false;
}

static bool is_taken(const json_t *found, const char *header) {
    size_t i;
    json_t *item;
    json_array_foreach(found, i, item) {
        if (strcasecmp(js_str(item, "header", ""), header) == 0)
            return true;
    }
    return false;
}

static int take(const json_t *schema, const json_t *annotation, const json_t *path, json_t *found,
                struct err *e) {
    char header[MCP_MODERN_NAME_MAX + 16];
    const char *name = json_is_string(annotation) ? json_string_value(annotation) : "";
    if (json_array_size(path) == 0)
        return err_set(e, -EINVAL, ANNOTATION " stands where no parameter is");
    if (!json_is_string(annotation) || strlen(name) != json_string_length(annotation) || !is_token(name))
        return err_set(e, -EINVAL, ANNOTATION " is no name of a header");
    if (!is_primitive(json_object_get(schema, "type")))
        return err_set(e, -EINVAL, ANNOTATION " %s is on a type other than string, integer and boolean",
                       name);
    (void)snprintf(header, sizeof header, "Mcp-Param-%s", name);
    if (is_taken(found, header))
        return err_set(e, -EINVAL, ANNOTATION " %s is there twice", name);
    if (json_array_size(found) >= MCP_MODERN_HEADERS_MAX)
        return err_set(e, -EINVAL, "more than %d " ANNOTATION, MCP_MODERN_HEADERS_MAX);
    if (json_array_size(path) > MCP_MODERN_DEPTH_MAX)
        return err_set(e, -EINVAL, ANNOTATION " %s stands more than %d levels deep", name,
                       MCP_MODERN_DEPTH_MAX);
    json_t *copy =
        json_copy((json_t *)path); /* the names are shared: they may be long, and of many headers */
    return json_array_append_new(found, json_pack("{s:s,s:o}", "header", header, "path", copy)) < 0
               ? err_oom(e)
               : 0;
}

/* Values of these keywords are data, not schemas. */
static bool is_data(const char *key) {
    static const char *const data[] = {"const", "default", "enum", "examples", "required", ANNOTATION};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        if (strcmp(key, data[i]) == 0)
            return true;
    return false;
}

/* What holds schemas under names of its author's choice. */
static bool is_map(const char *key) {
    static const char *const maps[] = {"properties", "patternProperties", "$defs", "definitions",
                                       "dependentSchemas"};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (strcmp(key, maps[i]) == 0)
            return true;
    return false;
}

/* An annotation here can be reached by no chain of `properties`. map: its keys are names, not keywords. */
static bool is_astray(const json_t *value, bool map) {
    const char *key;
    json_t *item;
    size_t i;
    if (!map && json_object_get(value, ANNOTATION))
        return true;
    json_object_foreach((json_t *)value, key, item) {
        if ((map || !is_data(key)) && is_astray(item, !map && is_map(key)))
            return true;
    }
    json_array_foreach(value, i, item) {
        if (is_astray(item, false))
            return true;
    }
    return false;
}

static int walk(const json_t *schema, json_t *path, json_t *found, struct err *e);

static int walk_properties(const json_t *properties, json_t *path, json_t *found, struct err *e) {
    const char *name;
    json_t *item;
    int r = 0;
    json_object_foreach((json_t *)properties, name, item) {
        if (json_array_append_new(path, json_string(name)) < 0)
            return err_oom(e);
        r = walk(item, path, found, e);
        (void)json_array_remove(path, json_array_size(path) - 1);
        if (r < 0)
            break;
    }
    return r;
}

static int walk(const json_t *schema, json_t *path, json_t *found, struct err *e) {
    const json_t *annotation = json_object_get(schema, ANNOTATION);
    const char *key;
    json_t *item;
    int r = annotation ? take(schema, annotation, path, found, e) : 0;
    if (r < 0)
        return r;
    json_object_foreach((json_t *)schema, key, item) {
        if (strcmp(key, "properties") != 0 && !is_data(key) && is_astray(item, is_map(key)))
            return err_set(e, -EINVAL, ANNOTATION " stands below %.32s, not only below properties", key);
    }
    return walk_properties(json_object_get(schema, "properties"), path, found, e);
}

int mcp_modern_annotations(const json_t *schema, json_t **ret, struct err *e) {
    json_t *found = json_array();
    json_t *path = json_array();
    int r = found && path ? walk(schema, path, found, e) : err_oom(e);
    json_decref(path);
    if (r < 0)
        json_decref(found);
    else
        *ret = found;
    return r;
}

/* The value's text by its type; NULL: it is no primitive, and the server will say so. */
static const char *text_of(const json_t *value, char number[32], size_t *len) {
    double real = json_real_value(value);
    const char *text = NULL;
    if (json_is_integer(value)) {
        (void)snprintf(number, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    } else if (json_is_real(value) && floor(real) == real && fabs(real) <= (double)SAFE_INTEGER) {
        (void)snprintf(number, 32, "%.0f", real); /* 42.0 is an integer, too (JSON Schema) */
        text = number;
    } else if (json_is_boolean(value)) {
        text = json_is_true(value) ? "true" : "false";
    }
    *len = text ? strlen(text) : json_string_length(value);
    return text ? text : json_string_value(value);
}

int mcp_modern_param(const json_t *annotation, const json_t *arguments, char **ret, struct err *e) {
    const json_t *value = arguments;
    char number[32];
    size_t len;
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(annotation, "path"), i, step) {
        value = json_object_get(value, json_string_value(step));
    }
    const char *header = js_str(annotation, "header", "");
    if (json_integer_value(value) > SAFE_INTEGER || json_integer_value(value) < -SAFE_INTEGER)
        return err_set(e, -EINVAL, "the argument for %s is beyond what an integer may be in a header",
                       header);
    const char *text = text_of(value, number, &len);
    char *encoded = text ? mcp_modern_header_value(text, len) : NULL;
    if (text && !encoded)
        return err_oom(e);
    if (encoded && strlen(encoded) > MCP_MODERN_VALUE_MAX) {
        free(encoded);
        return err_set(e, -EINVAL, "the argument for %s is longer than the %u bytes of a header", header,
                       MCP_MODERN_VALUE_MAX);
    }
    *ret = encoded;
    return 0;
}
