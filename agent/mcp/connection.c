/* connection: third part of the transport (transport.h): which connection an exchange used, when its request
 * was out, that it goes out once, and what HTTP/2 said when it ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "mcp/transport_priv.h"

/* ------------------------------------------------------------------ sockets */

static bool make_room(struct mcp_transport *t) {
    if (t->n_sockets < t->cap_sockets)
        return true;
    size_t cap = t->cap_sockets ? t->cap_sockets * 2 : 16;
    struct mcp_socket *p = realloc(t->sockets, cap * sizeof *p);
    if (!p)
        return false;
    t->sockets = p;
    t->cap_sockets = cap;
    return true;
}

/* Once a request went out, a further connection could only serve to send it again. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a) {
    (void)purpose;
    struct mcp_xfer *x = ctx;
    struct mcp_transport *t = x->transport;
    if (x->requests > 0) {
        x->resend = true;
        return CURL_SOCKET_BAD;
    }
    x->withheld = x->reuse_only;
    if (x->reuse_only || x->joins || !make_room(t))
        return CURL_SOCKET_BAD;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd >= 0)
        t->sockets[t->n_sockets++] = (struct mcp_socket){.fd = fd, .number = ++t->last_connection};
    return fd;
}

static int on_close(void *ctx, curl_socket_t fd) {
    struct mcp_transport *t = ctx;
    for (size_t i = 0; i < t->n_sockets; i++)
        if (t->sockets[i].fd == fd) {
            t->sockets[i] = t->sockets[--t->n_sockets];
            break;
        }
    return close(fd);
}

static long port_of(const struct sockaddr_storage *a) {
    if (a->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)a)->sin_port);
    return a->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)a)->sin6_port) : 0;
}

/* Asks the kernel once for the ends of a connected socket. */
static void learn_ends(struct mcp_socket *s) {
    struct sockaddr_storage local;
    struct sockaddr_storage remote;
    socklen_t n = sizeof local;
    socklen_t m = sizeof remote;
    if (s->local_port || getsockname(s->fd, (struct sockaddr *)&local, &n) < 0 ||
        getpeername(s->fd, (struct sockaddr *)&remote, &m) < 0)
        return;
    const void *ip = remote.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&remote)->sin_addr
                                                 : (void *)&((struct sockaddr_in6 *)&remote)->sin6_addr;
    if (!inet_ntop(remote.ss_family, ip, s->remote_ip, sizeof s->remote_ip))
        return;
    s->local_port = port_of(&local);
    s->remote_port = port_of(&remote);
}

/* Number of the connection with these ends; libcurl 7.88 tells them, but not the socket, in time. */
static uint32_t connection_number(struct mcp_transport *t, const char *ip, long port, long local_port) {
    for (size_t i = 0; i < t->n_sockets; i++) {
        struct mcp_socket *s = &t->sockets[i];
        learn_ends(s);
        if (s->local_port == local_port && s->remote_port == port && strcmp(s->remote_ip, ip) == 0)
            return s->number;
    }
    return 0;
}

/* ------------------------------------------------------------------ the request */

/* libcurl asks before it sends a request. It would ask again, and send again, when a reused connection
 * closes with zero bytes of answer, or a stream of HTTP/2 is refused (Curl_retry_request in its transfer.c):
 * that must not happen, as the first request may have been executed. */
static int before_request(void *ctx, char *ip, char *local_ip, int port, int local_port) {
    (void)local_ip;
    struct mcp_xfer *x = ctx;
    if (x->requests++ > 0) {
        x->resend = true;
        return CURL_PREREQFUNC_ABORT;
    }
    long connects = 0;
    (void)curl_easy_getinfo(x->easy, CURLINFO_NUM_CONNECTS, &connects);
    x->reused = connects == 0;
    x->connection = connection_number(x->transport, ip, port, local_port);
    mcp_lane_connected(x->lane, x, connects > 0);
    return CURL_PREREQFUNC_OK;
}

static void mark_sent(struct mcp_xfer *x) {
    if (x->sent_mono)
        return;
    x->sent_mono = when_mono_ns();
    x->sent_wall = when_wall_ns();
}

static int on_progress(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow) {
    (void)dltotal;
    (void)dlnow;
    (void)ultotal;
    struct mcp_xfer *x = ctx;
    if (x->requests == 1 && x->body && ulnow >= (curl_off_t)x->body_len)
        mark_sent(x);
    return 0;
}

/* A line of a head or of trailers. An empty one ends the head, unless it was that of an interim answer (1xx).
 * A request without a body is known to be sent only by the first line. */
static size_t on_header(char *bytes, size_t size, size_t n, void *ctx) {
    struct mcp_xfer *x = ctx;
    long status = 0;
    (void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!x->body || status >= 200) /* an interim answer may come before the request is out */
        mark_sent(x);
    if (!x->first_byte_mono)
        x->first_byte_mono = when_mono_ns();
    if (status >= 200 && size * n > 0 && (bytes[0] == '\r' || bytes[0] == '\n'))
        x->head = true;
    return size * n;
}

/* ------------------------------------------------------------------ HTTP/2 */

static void mark_goaway(struct mcp_xfer *x, uint32_t error) {
    for (struct mcp_xfer *other = x->transport->first; other; other = other->next)
        if (other->connection == x->connection && other->connection) {
            other->goaway = true;
            other->goaway_error = error;
        }
}

/* "HTTP/2 stream 1 was not closed cleanly: INTERNAL_ERROR (err 2)" */
static void take_reset(struct mcp_xfer *x, const char *line) {
    const char *code = strstr(line, "(err ");
    x->stream_reset = code != NULL;
    x->stream_error = code ? (uint32_t)strtoul(code + 5, NULL, 10) : 0;
}

/* libcurl 7.88 tells of GOAWAY, refused streams and stream numbers in its informational texts only. Headers
 * and bodies come here, too, and are not looked at. Texts of a second attempt, which is stopped, do not
 * count. */
static int on_text(CURL *easy, curl_infotype type, char *text, size_t len, void *ctx) {
    (void)easy;
    char line[160];
    struct mcp_xfer *x = ctx;
    if (type != CURLINFO_TEXT || x->resend)
        return 0;
    (void)snprintf(line, sizeof line, "%.*s", (int)(len < sizeof line ? len : sizeof line - 1), text);
    const char *goaway = strstr(line, "GOAWAY, error=");
    if (goaway)
        mark_goaway(x, (uint32_t)strtoul(goaway + 14, NULL, 10));
    else if (strncmp(line, "Connection died", 15) == 0)
        x->refused = x->http2 && !x->error[0]; /* a connection that died left an error text, a stream none */
    else if (strstr(line, "not closed cleanly: "))
        take_reset(x, line);
    else if (strncmp(line, "Using Stream ID", 15) == 0)
        x->http2 = true;
    return 0;
}

void mcp_connection_watch(struct mcp_xfer *x, bool http2) {
    CURL *h = x->easy;
    (void)curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(h, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(h, CURLOPT_XFERINFODATA, x);
    (void)curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, before_request);
    (void)curl_easy_setopt(h, CURLOPT_PREREQDATA, x);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, x);
    (void)curl_easy_setopt(h, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    (void)curl_easy_setopt(h, CURLOPT_CLOSESOCKETDATA, x->transport);
    if (!http2)
        return;
    (void)curl_easy_setopt(h, CURLOPT_DEBUGFUNCTION, on_text);
    (void)curl_easy_setopt(h, CURLOPT_DEBUGDATA, x);
    (void)curl_easy_setopt(h, CURLOPT_VERBOSE, 1L);
}

void mcp_connection_seen(const struct mcp_xfer *x, struct mcp_seen *s) {
    s->http2 = x->http2;
    s->refused = x->refused;
    s->goaway = x->goaway;
    s->goaway_error = x->goaway_error;
    s->stream_reset = x->stream_reset;
    s->stream_error = x->stream_error;
    s->orderly = strstr(x->error, "unexpected eof") || strstr(x->error, "closed cleanly, but before");
    s->tls_alert = strstr(x->error, "SSL routines") && strstr(x->error, "alert");
    s->why = x->error;
}
