/* kind: see kind.h. What the REST interfaces have in common: answers to calls, tools, pages. */
#include "mcp/kind.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"

/* ------------------------------------------------------------------ calls */

/* An error's kind is a word of a vocabulary, as TOOL_RUNTIME_FATAL; anything else may be content. */
static bool error_word_ok(const char *s) {
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && n < KIND_ERROR_MAX && !s[n];
}

static json_t *failed(const char *kind) {
    return json_pack("{s:b,s:{s:{s:s}}}", "isError", 1, "structuredContent", "error", "kind",
                     error_word_ok(kind) ? kind : "UNKNOWN");
}

static bool is_there(const json_t *value) {
    return value && !json_is_null(value);
}

json_t *kind_read_call(const json_t *body) {
    const json_t *success = json_object_get(body, "success");
    const json_t *output = json_object_get(body, "output");
    json_t *value = json_object_get(output, "value");
    if (!json_is_boolean(success))
        return NULL;
    if (!json_is_true(success) || is_there(json_object_get(output, "error")))
        return failed(js_str(output, "error.kind", ""));
    return json_pack("{s:b,s:{s:O*,s:O*}}", "isError", 0, "structuredContent", "value", value, "executions",
                     json_object_get(body, "executions"));
}

const char *kind_error(const json_t *result) {
    return js_str(result, "structuredContent.error.kind", "");
}

/* ------------------------------------------------------------------ tools and configuration */

/* Told anew for every user and moment under `requirements`, and no part of what somebody configured. */
static const char *const volatile_keys[] = {"met", "status", "status_reason", "token_status"};

static void drop_volatile(json_t *value) {
    const char *key;
    json_t *item;
    size_t i;
    for (i = 0; i < sizeof volatile_keys / sizeof *volatile_keys; i++)
        (void)json_object_del(value, volatile_keys[i]); /* not an object: nothing happens */
    json_object_foreach(value, key, item) {
        drop_volatile(item);
    }
    json_array_foreach(value, i, item) {
        drop_volatile(item);
    }
}

/* What the item requires, without the volatile; a new reference, NULL: nothing. */
static json_t *requirements_of(const json_t *item) {
    json_t *kept = json_deep_copy(json_object_get(item, "requirements"));
    drop_volatile(kept);
    return kept;
}

/* "Toolkit.Name" of a definition: the engine tells it, a worker tells it with or without a version. */
static json_t *name_of(const json_t *tool) {
    const char *name = js_str(tool, "qualified_name", NULL);
    if (!name)
        name = js_str(tool, "fully_qualified_name", "");
    size_t n = strcspn(name, "@");
    return n > 0 ? json_stringn(name, n) : NULL;
}

static json_t *take_tool(const json_t *tool) {
    json_t *name = name_of(tool);
    if (!name)
        return NULL;
    return json_pack("{s:o,s:s,s:{s:O*,s:O*,s:O*,s:o*}}", "name", name, "description",
                     js_str(tool, "description", ""), "inputSchema", "input", json_object_get(tool, "input"),
                     "output", json_object_get(tool, "output"), "version", js_at(tool, "toolkit.version"),
                     "requirements", requirements_of(tool));
}

static json_t *take_part(const json_t *part) {
    json_t *kept = json_is_object(part) ? json_copy((json_t *)part) : NULL;
    json_t *requirements = requirements_of(part);
    if (requirements)
        (void)json_object_set_new(kept, "requirements", requirements);
    return kept;
}

int kind_take_page(const struct kind *k, enum kind_list what, const json_t *body, size_t offset, size_t max,
                   json_t *into, size_t *ret_next, struct err *e) {
    size_t total = 0;
    size_t i;
    json_t *item;
    const json_t *items = k->read_page(body, &total);
    size_t n = json_array_size(items);
    if (!items || json_array_size(into) + n > max)
        return err_set(e, -EPROTO, "%s", items ? "the list is too long" : "the answer is no page of a list");
    if (n == 0 && offset < total)
        return err_set(e, -EPROTO, "a page before the end is empty");
    json_array_foreach(items, i, item) {
        json_t *taken = what == KIND_TOOLS ? take_tool(item) : take_part(item);
        if (!taken || json_array_append_new(into, taken) < 0)
            return err_set(e, -EPROTO, "the list holds something that is no %s",
                           what == KIND_TOOLS ? "named tool" : "object");
    }
    *ret_next = offset + n < total ? offset + n : 0;
    return 0;
}
