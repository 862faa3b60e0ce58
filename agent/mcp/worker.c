/* worker: the /worker interface of a self-hosted custom server, and the token that it asks for (see kind.h).
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/kind.h"

/* ToolCallRequest: execution_id, tool {name, toolkit, version}, inputs, context. */
static int ask_call(struct kind_question *ret, const struct kind_call *c, struct err *e) {
    size_t toolkit = strcspn(c->tool, ".@");
    const char *name = c->tool + toolkit + 1;
    if (toolkit == 0 || c->tool[toolkit] != '.' || strcspn(name, "@") == 0)
        return err_set(e, -EINVAL, "tool '%.100s': a worker's tools are named Toolkit.Name", c->tool);
    size_t n = strcspn(name, "@");
    const char *version = name[n] ? name + n + 1 : NULL;
    json_t *none = c->arguments ? NULL : json_object();
    json_t *body = json_pack("{s:s,s:{s:s%,s:s%,s:s?},s:O,s:{s:s*}}", "execution_id", c->id, "tool", "name",
                             name, n, "toolkit", c->tool, toolkit, "version", version, "inputs",
                             c->arguments ? c->arguments : none, "context", "user_id", c->user_id);
    *ret = (struct kind_question){.post = true, .suffix = "/worker/tools/invoke"};
    ret->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    json_decref(none);
    return ret->body ? 0 : err_oom(e);
}

/* All in one answer. */
static void ask_page(struct kind_question *ret, enum kind_list what, size_t offset) {
    (void)what;
    (void)offset;
    *ret = (struct kind_question){.suffix = "/worker/tools"};
}

static void ask_health(struct kind_question *ret) {
    *ret = (struct kind_question){.open = true, .suffix = "/worker/health"};
}

static bool read_health(const json_t *body, char reason[KIND_REASON_MAX]) {
    bool healthy = strcmp(js_str(body, "status", ""), "ok") == 0;
    (void)snprintf(reason, KIND_REASON_MAX, "%s", healthy ? "" : "its status is not ok");
    return healthy;
}

static const json_t *read_page(const json_t *body, size_t *ret_total) {
    *ret_total = 0;
    return json_is_array(body) ? body : NULL;
}

const struct kind kind_worker = {.name = "worker",
                                 .signs = true,
                                 .ask_call = ask_call,
                                 .ask_page = ask_page,
                                 .ask_health = ask_health,
                                 .read_health = read_health,
                                 .read_page = read_page};

/* ------------------------------------------------------------------ token */

#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

/* Appends a part in base64url; false: no room. */
static bool add_part(char ret[KIND_TOKEN_MAX], const void *data, size_t len) {
    size_t at = strlen(ret);
    if (at + sodium_base64_encoded_len(len, BASE64) + 1 > KIND_TOKEN_MAX)
        return false;
    sodium_bin2base64(ret + at, KIND_TOKEN_MAX - at, data, len, BASE64);
    return true;
}

/* aud and ver are what arcade-serve checks (validate_engine_token), exp is what its JWT library checks. No
 * iat: a clock that is ahead of the worker's would make the token one of the future. */
int kind_token(const char *secret, int64_t now_wall_ns, char ret[KIND_TOKEN_MAX]) {
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    char claims[128];
    int n = snprintf(claims, sizeof claims, "{\"aud\":\"worker\",\"exp\":%lld,\"ver\":\"1\"}",
                     (long long)(now_wall_ns / WHEN_S + KIND_TOKEN_SECONDS));
    ret[0] = 0;
    if (!add_part(ret, HEADER, strlen(HEADER)))
        return -ENOMEM;
    (void)strcat(ret, ".");
    if (!add_part(ret, claims, (size_t)n))
        return -ENOMEM;
    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret, strlen(secret));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)ret, strlen(ret));
    (void)crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    (void)strcat(ret, ".");
    return add_part(ret, mac, sizeof mac) ? 0 : -ENOMEM;
}
