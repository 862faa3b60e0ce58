/* arcade: the REST interface of Arcade's engine (see kind.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "mcp/kind.h"

/* ExecuteToolRequest: tool_name, input, tool_version, user_id. */
static int ask_call(struct kind_question *ret, const struct kind_call *c, struct err *e) {
    size_t n = strcspn(c->tool, "@");
    const char *version = c->tool[n] ? c->tool + n + 1 : NULL;
    json_t *name = json_stringn(c->tool, n);
    json_t *body = json_pack("{s:o,s:O*,s:s*,s:s*}", "tool_name", name, "input", c->arguments, "tool_version",
                             version, "user_id", c->user_id);
    *ret = (struct kind_question){.post = true, .suffix = "/v1/tools/execute"};
    ret->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return ret->body ? 0 : err_oom(e);
}

static void ask_page(struct kind_question *ret, enum kind_list what, size_t offset) {
    *ret = (struct kind_question){0};
    (void)snprintf(ret->suffix, sizeof ret->suffix, "/v1/%s?limit=%d&offset=%zu",
                   what == KIND_TOOLS ? "tools" : "workers", KIND_PAGE_ITEMS, offset);
}

static void ask_health(struct kind_question *ret) {
    *ret = (struct kind_question){.open = true, .suffix = "/v1/health"};
}

/* {"healthy":true}, or false and a reason, with 200 or with 503. */
static bool read_health(const json_t *body, char reason[KIND_REASON_MAX]) {
    const char *why = js_str(body, "reason", "");
    bool healthy = js_bool(body, "healthy", false);
    (void)snprintf(reason, KIND_REASON_MAX, "%s",
                   healthy ? ""
                   : *why  ? why
                           : "it does not say that it is healthy");
    for (char *c = reason; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
    return healthy;
}

/* OffsetPage: items, total_count, offset. */
static const json_t *read_page(const json_t *body, size_t *ret_total) {
    const json_t *items = json_object_get(body, "items");
    int64_t total = js_int(body, "total_count", 0);
    *ret_total = total > 0 ? (size_t)total : 0;
    return json_is_array(items) ? items : NULL;
}

const struct kind kind_arcade = {.name = "arcade",
                                 .configuration = true,
                                 .ask_call = ask_call,
                                 .ask_page = ask_page,
                                 .ask_health = ask_health,
                                 .read_health = read_health,
                                 .read_page = read_page};
