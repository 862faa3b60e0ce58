/* worker: see worker.h. */
#include "canary/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/js.h"
#include "base/when.h"

struct worker {
    struct tools *tools;
    const struct tool_identity *who;
    char started[WHEN_TEXT_MAX];
    unsigned char secret[WORKER_SECRET_MAX];
    size_t secret_len; /* 0: no secret, everything but health is refused */
};

static int read_secret(struct worker *w, const char *path, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, w->secret, sizeof w->secret);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return err_set(e, -EINVAL, "worker secret file %s: cannot be read", path);
    while (n > 0 && (w->secret[n - 1] == '\n' || w->secret[n - 1] == '\r'))
        n--;
    if (n == 0 || n == WORKER_SECRET_MAX)
        return err_set(e, -EINVAL, "worker secret file %s: give a secret of 1 to %d bytes", path,
                       WORKER_SECRET_MAX - 1);
    w->secret_len = (size_t)n;
    return 0;
}

int worker_new(const char *secret_file, struct tools *tools, const struct tool_identity *who,
               struct worker **ret, struct err *e) {
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return err_oom(e);
    w->tools = tools;
    w->who = who;
    when_format(when_wall_ns(), 6, w->started);
    int rc = secret_file ? read_secret(w, secret_file, e) : 0;
    if (rc)
        worker_free(&w);
    else
        *ret = w;
    return rc;
}

void worker_free(struct worker **w) {
    if (!*w)
        return;
    sodium_memzero((*w)->secret, sizeof(*w)->secret);
    free(*w);
    *w = NULL;
}

/* One base64url part of a token as JSON, or NULL. */
static json_t *decode_part(const char *part, size_t len) {
    unsigned char json[WORKER_TOKEN_MAX];
    size_t n;
    json_t *o = NULL;
    if (sodium_base642bin(json, sizeof json, part, len, NULL, &n, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
        js_parse((const char *)json, n, sizeof json, &o, NULL))
        return NULL;
    return o;
}

static bool signature_ok(const struct worker *w, const char *token, size_t signed_len,
                         const char *signature) {
    unsigned char given[crypto_auth_hmacsha256_BYTES], right[crypto_auth_hmacsha256_BYTES];
    size_t n;
    if (sodium_base642bin(given, sizeof given, signature, strlen(signature), NULL, &n, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
        n != sizeof given)
        return false;
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, w->secret, w->secret_len);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)token, signed_len);
    crypto_auth_hmacsha256_final(&state, right);
    bool same = !sodium_memcmp(given, right, sizeof right);
    sodium_memzero(&state, sizeof state);
    return same;
}

static bool audience_ok(const json_t *claims) {
    const json_t *aud = json_object_get(claims, "aud"), *one;
    size_t i;
    if (json_is_string(aud))
        return !strcmp(json_string_value(aud), "worker");
    json_array_foreach(aud, i,
                       one) if (json_is_string(one) && !strcmp(json_string_value(one), "worker")) return true;
    return false;
}

static int check_claims(const json_t *claims, int64_t wall_ns, struct err *e) {
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    double now = (double)wall_ns / 1e9;
    if (!audience_ok(claims))
        return err_set(e, -EACCES, "the token is not for a worker (aud)");
    if (strcmp(js_str(claims, "ver", ""), "1"))
        return err_set(e, -EACCES, "unsupported token version (ver)");
    if ((exp && !json_is_number(exp)) || (nbf && !json_is_number(nbf)))
        return err_set(e, -EACCES, "exp and nbf must be numbers");
    if (exp && now >= json_number_value(exp))
        return err_set(e, -EACCES, "the token has expired");
    if (nbf && now < json_number_value(nbf))
        return err_set(e, -EACCES, "the token is not valid yet");
    return 0;
}

int worker_check_token(const struct worker *w, const char *token, int64_t wall_ns, struct err *e) {
    if (!w->secret_len)
        return err_set(e, -EACCES, "no worker secret is configured: start with --worker-secret-file");
    const char *dot = strchr(token, '.'), *last = dot ? strchr(dot + 1, '.') : NULL;
    if (!last || strlen(token) > WORKER_TOKEN_MAX)
        return err_set(e, -EACCES, "not a token of three parts");
    if (!signature_ok(w, token, (size_t)(last - token), last + 1))
        return err_set(e, -EACCES, "wrong signature: do both sides have the same worker secret?");
    json_t *header = decode_part(token, (size_t)(dot - token));
    json_t *claims = decode_part(dot + 1, (size_t)(last - dot - 1));
    int rc = 0;
    if (!json_is_object(header) || !json_is_object(claims) || strcmp(js_str(header, "alg", ""), "HS256"))
        rc = err_set(e, -EACCES, "not a token signed by HS256");
    else
        rc = check_claims(claims, wall_ns, e);
    json_decref(header);
    json_decref(claims);
    return rc;
}

static bool authorized(const struct worker *w, const struct worker_request *q, struct reply *r) {
    struct err e;
    const char *token = q->authorization ? q->authorization : "";
    token = strncasecmp(token, "Bearer ", 7) ? "" : token + 7;
    if (!worker_check_token(w, token, q->wall_ns, &e))
        return true;
    reply_message(r, 401, e.text);
    return false;
}

static unsigned offered(const struct worker *w, const struct worker_request *q) {
    unsigned mask = tools_offered(w->tools, q->mono_ns), limit = TOOL_ANY;
    if (q->tools && tools_parse(q->tools, ',', false, &limit, NULL))
        limit = 0;
    return mask & limit;
}

static json_t *catalogue(unsigned mask) {
    json_t *list = json_array();
    for (int t = 0; t < TOOL_COUNT; t++)
        if (mask & (1u << t))
            json_array_append_new(list, tool_describe_arcade((enum tool)t));
    return list;
}

/* The engine tells by the hash that tools changed, and by the start which replica is newer. */
static void health(const struct worker *w, const struct worker_request *q, struct reply *r) {
    unsigned mask = offered(w, q);
    json_t *list = catalogue(mask);
    char *text = js_canonical(list), count[16], hex[33];
    unsigned char hash[16];
    snprintf(count, sizeof count, "%zu", json_array_size(list));
    json_decref(list);
    if (!text) {
        reply_set(r, 500, NULL);
        return;
    }
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, strlen(text), NULL, 0);
    free(text);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "status", "ok", "tool_count", count, "tool_definitions_hash",
                          hex, "started_at", w->started);
    reply_set(r, 200, json_dumps(o, JSON_COMPACT));
    json_decref(o);
}

static void tools(const struct worker *w, const struct worker_request *q, struct reply *r) {
    json_t *list = catalogue(offered(w, q));
    reply_set(r, 200, json_dumps(list, JSON_COMPACT));
    json_decref(list);
}

/* The tool that the message names, or -1 when it is not offered here. */
static int find_tool(const struct worker *w, const struct worker_request *q, const json_t *message) {
    int t = tool_find(js_str(message, "tool.name", ""));
    if (t < 0 || strcasecmp(js_str(message, "tool.toolkit", ""), "Canary") || !(offered(w, q) & (1u << t)))
        return -1;
    return t;
}

static void complete(json_t *answer, const struct reply_end *end) {
    char at[WHEN_TEXT_MAX];
    json_object_set_new(answer, "finished_at", json_string(when_format(end->now_ns, 6, at)));
    json_object_set_new(answer, "duration", json_real((double)(end->now_ns - end->started_ns) / 1e6));
    if (end->executions)
        json_object_set_new(answer, "executions", json_integer(end->executions));
}

static void run(const struct worker *w, enum tool t, const json_t *message, struct reply *r) {
    struct err e;
    char *text = NULL;
    const json_t *inputs = json_object_get(message, "inputs");
    const char *id = js_str(message, "execution_id", "");
    int rc = tool_prepare(t, json_is_null(inputs) ? NULL : inputs, w->who, &r->call, &text, &e);
    r->executes = !rc;
    json_t *answer =
        rc ? json_pack("{s:s,s:b,s:{s:{s:s,s:s,s:b,s:i}}}", "execution_id", id, "success", 0, "output",
                       "error", "message", e.text, "kind", "TOOL_RUNTIME_BAD_INPUT_VALUE", "can_retry", 0,
                       "status_code", 400)
           : json_pack("{s:s,s:b,s:{s:s}}", "execution_id", id, "success", 1, "output", "value", text);
    free(text);
    reply_later(r, 200, answer, complete);
}

static void invoke(const struct worker *w, const struct worker_request *q, struct reply *r) {
    json_t *message = NULL;
    struct err e;
    if (js_parse(q->body, q->len, WORKER_BODY_MAX, &message, &e)) {
        reply_message(r, 400, "the body is not JSON");
        return;
    }
    int t = find_tool(w, q, message);
    const json_t *inputs = js_at(message, "inputs");
    if (t < 0)
        reply_message(r, 404, "no such tool: GET /worker/tools names those that are here");
    else if (inputs && !json_is_object(inputs) && !json_is_null(inputs))
        reply_message(r, 400, "inputs must be an object");
    else
        run(w, (enum tool)t, message, r);
    json_decref(message);
}

void worker_handle(struct worker *w, const struct worker_request *q, struct reply *r) {
    static const struct {
        const char *path, *method;
        bool open;
        void (*act)(const struct worker *w, const struct worker_request *q, struct reply *r);
    } routes[] = {{"/health", "GET", true, health},
                  {"/tools", "GET", false, tools},
                  {"/tools/invoke", "POST", false, invoke}};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, q->path))
            continue;
        if (strcmp(routes[i].method, q->http_method)) {
            reply_message(r, 405, "wrong method");
            r->allow = routes[i].method;
        } else if (routes[i].open || authorized(w, q, r)) {
            routes[i].act(w, q, r);
        }
        return;
    }
    reply_message(r, 404, "no such path");
}
