/* http: see http.h. */
#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http {
    struct MHD_Daemon *daemon;
    struct http_source source;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, const char *text,
                              size_t len) {
    struct MHD_Response *r = MHD_create_response_from_buffer(len, (void *)text, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result plain(struct MHD_Connection *c, unsigned status, const char *text) {
    return answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result metrics(const struct http *h, struct MHD_Connection *c) {
    struct buf out = BUF_INIT(HTTP_BODY_MAX);
    enum MHD_Result result;
    if (h->source.metrics(h->source.ctx, &out) < 0)
        result = plain(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "metrics do not fit\n");
    else
        result = answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", buf_str(&out), out.len);
    buf_free(&out);
    return result;
}

static enum MHD_Result not_ready(const struct http *h, struct MHD_Connection *c) {
    char why[HTTP_WHY_MAX] = "", text[HTTP_WHY_MAX + 16];
    if (h->source.why)
        h->source.why(h->source.ctx, why);
    (void)snprintf(text, sizeof text, "not ready%s%s\n", *why ? ": " : "", why);
    return plain(c, MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state) {
    struct http *h = ctx;
    (void)version;
    (void)upload;
    (void)state;
    if (*upload_size > 0)
        return MHD_NO;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return plain(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
    if (strcmp(url, "/healthz") == 0)
        return !h->source.healthy || h->source.healthy(h->source.ctx)
                   ? plain(c, MHD_HTTP_OK, "ok\n")
                   : plain(c, MHD_HTTP_SERVICE_UNAVAILABLE, "stands still\n");
    if (strcmp(url, "/readyz") == 0)
        return h->source.ready(h->source.ctx) ? plain(c, MHD_HTTP_OK, "ready\n") : not_ready(h, c);
    if (strcmp(url, "/metrics") == 0)
        return metrics(h, c);
    return plain(c, MHD_HTTP_NOT_FOUND, "/healthz, /readyz, /metrics\n");
}

/* Numeric addresses only: a listener must not depend on DNS. */
static int parse_address(const char *address, struct sockaddr_storage *ret, struct err *e) {
    const char *colon = strrchr(address, ':');
    char host[64] = "";
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (colon && len >= 2 && address[0] == '[' && address[len - 1] == ']')
        (void)snprintf(host, sizeof host, "%.*s", (int)(len - 2), address + 1);
    else if (colon && len > 0 && len < sizeof host)
        (void)snprintf(host, sizeof host, "%.*s", (int)len, address);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (!*host || getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return err_set(e, -EINVAL, "%s: an HTTP address is written 127.0.0.1:5671 or [::1]:5671", address);
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

int http_start(const char *address, const struct http_source *source, struct http **ret, struct err *e) {
    struct sockaddr_storage at = {0};
    int r = parse_address(address, &at, e);
    if (r < 0)
        return r;
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return err_oom(e);
    h->source = *source;
    /* not select(2): its numbers end at 1024, and every agent is a file descriptor before ours */
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | (at.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, h, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
    if (!h->daemon) {
        int code = errno ? errno : EADDRINUSE;
        free(h);
        return err_set(e, -code, "cannot serve HTTP on %s: %s; choose another address", address,
                       strerror(code));
    }
    *ret = h;
    return 0;
}

unsigned http_port(const struct http *h) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void http_stop(struct http **hp) {
    struct http *h = hp ? *hp : NULL;
    if (!h)
        return;
    MHD_stop_daemon(h->daemon);
    free(h);
    *hp = NULL;
}
