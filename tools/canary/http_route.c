/* http_route: which part of the program a request is for; see http.h. */
#include "canary/http_priv.h"

#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/when.h"

#define HEADER_MAX 512

static const char *header(const struct exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* The header without the white space after it, which libmicrohttpd keeps: copied to out if there is any. */
static const char *trimmed(const struct exchange *x, const char *name, char *out, size_t size) {
    const char *value = header(x, name);
    size_t n = value ? strlen(value) : 0, all = n;
    while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
        n--;
    if (n == all || n >= size)
        return value;
    memcpy(out, value, n);
    out[n] = 0;
    return out;
}

static const char *tools_limit(const struct exchange *x) {
    return x->http->config.tools_header ? header(x, x->http->config.tools_header) : NULL;
}

/* True when the request has no Origin or one of the list. */
static bool origin_ok(const struct exchange *x) {
    const char *origin = header(x, "Origin"), *list = x->http->config.origins;
    if (!origin)
        return true;
    for (const char *p = list ? list : ""; *p;) {
        p += strspn(p, ", ");
        size_t n = strcspn(p, ", ");
        if (n && n == strlen(origin) && !strncasecmp(p, origin, n))
            return true;
        p += n;
    }
    return false;
}

static enum MHD_Result add_accept(void *list, enum MHD_ValueKind kind, const char *key, const char *value) {
    (void)kind;
    if (strcasecmp(key, "Accept") || !value)
        return MHD_YES;
    struct buf *b = list;
    return buf_addf(b, "%s%s", b->len ? "," : "", value) ? MHD_NO : MHD_YES;
}

static void route_mcp(struct exchange *x, const char *method, int64_t mono_ns) {
    struct buf accept = BUF_INIT(1024); /* the header may come in several lines */
    char values[4][HEADER_MAX];
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, add_accept, &accept);
    struct mcp_request q = {
        .http_method = method,
        .accept = accept.len ? accept.data : NULL,
        .content_type = header(x, "Content-Type"),
        .version = trimmed(x, "MCP-Protocol-Version", values[0], HEADER_MAX),
        .session = trimmed(x, "Mcp-Session-Id", values[1], HEADER_MAX),
        .method = trimmed(x, "Mcp-Method", values[2], HEADER_MAX),
        .name = trimmed(x, "Mcp-Name", values[3], HEADER_MAX),
        .tools = tools_limit(x),
        .body = buf_str(&x->body),
        .len = x->body.len,
        .mono_ns = mono_ns,
    };
    mcp_handle(x->http->config.mcp, &q, &x->reply);
    buf_free(&accept);
}

static void route_worker(struct exchange *x, const char *method, const char *path, int64_t mono_ns) {
    struct worker_request q = {
        .http_method = method,
        .path = path,
        .authorization = header(x, "Authorization"),
        .tools = tools_limit(x),
        .body = buf_str(&x->body),
        .len = x->body.len,
        .wall_ns = when_wall_ns(),
        .mono_ns = mono_ns,
    };
    worker_handle(x->http->config.worker, &q, &x->reply);
}

/* A count of 0 is certain only while no nonce was forgotten; "start" tells which process has counted. */
static void route_executions(struct exchange *x) {
    struct execlog *log = x->http->config.log;
    struct execlog_counts c = execlog_counts(log);
    const char *nonce = MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "nonce");
    const char *start = x->http->config.who->start;
    json_t *o;
    if (nonce && !tool_nonce_ok(nonce)) {
        reply_message(&x->reply, 400, "nonce must be 1 to 128 of A-Z a-z 0-9 . _ : -");
        return;
    }
    if (nonce) {
        uint32_t n = execlog_executions(log, nonce);
        o = json_pack("{s:s,s:I,s:b,s:s}", "nonce", nonce, "executions", (json_int_t)n, "certain",
                      n > 0 || !c.forgotten, "start", start);
    } else {
        o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:s}", "started", (json_int_t)c.started, "ended",
                      (json_int_t)c.ended, "gone", (json_int_t)c.gone, "nonces_forgotten",
                      (json_int_t)c.forgotten, "log_lines_lost", (json_int_t)c.lost, "start", start);
    }
    reply_set(&x->reply, 200, o ? json_dumps(o, JSON_COMPACT) : NULL);
    json_decref(o);
}

static void take_peer(struct exchange *x) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char host[48] = "?", port[8] = "0";
    if (info && info->client_addr)
        getnameinfo(info->client_addr,
                    info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                             : sizeof(struct sockaddr_in),
                    host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    bool v6 = strchr(host, ':') != NULL;
    snprintf(x->run.peer, sizeof x->run.peer, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

/* The tool runs from now on. */
static void begin_execution(struct exchange *x) {
    const char *call = header(x, "X-Pilotgate-Call"), *session = header(x, "Mcp-Session-Id");
    x->run.call = x->reply.call;
    if (call && tool_nonce_ok(call))
        memcpy(x->run.call_id, call, strlen(call) + 1);
    if (session) {
        unsigned char hash[crypto_generichash_BYTES_MIN];
        crypto_generichash(hash, sizeof hash, (const unsigned char *)session, strlen(session), NULL, 0);
        sodium_bin2hex(x->run.session, sizeof x->run.session, hash, 4);
    }
    take_peer(x);
    x->run.started_ns = when_wall_ns();
    x->entry.due_ns = when_mono_ns() + (int64_t)(x->run.call.seconds * 1e9);
    execlog_start(x->http->config.log, &x->run);
}

void http_route(struct exchange *x, const char *method, const char *url) {
    bool get = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    if (!strcmp(url, "/healthz") && get)
        reply_message(&x->reply, 200, "ok");
    else if (!origin_ok(x))
        reply_message(&x->reply, 403, "this Origin is not allowed: see --origins");
    else if (x->too_large)
        reply_message(&x->reply, 413, "the body is over the limit of 1 MiB");
    else if (!strcmp(url, "/mcp"))
        route_mcp(x, method, when_mono_ns());
    else if (!strncmp(url, "/worker/", 8))
        route_worker(x, method, url + 7, when_mono_ns());
    else if (!strcmp(url, "/executions") && get)
        route_executions(x);
    else
        reply_message(&x->reply, 404, "no such path");
    if (x->reply.executes)
        begin_execution(x);
}
