/* request: second half of the transport (transport.h): the options of one libcurl handle, its callbacks,
 * credentials, and the numbers of connections. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "mcp/mcp.h"
#include "mcp/transport_priv.h"

/* ------------------------------------------------------------------ connections */

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a) {
    (void)purpose;
    struct mcp_xfer *x = ctx;
    struct mcp_transport *t = x->transport;
    if (x->reuse_only)
        return CURL_SOCKET_BAD;
    if (t->n_sockets == t->cap_sockets) {
        size_t cap = t->cap_sockets ? t->cap_sockets * 2 : 16;
        struct mcp_socket *p = realloc(t->sockets, cap * sizeof *p);
        if (!p)
            return CURL_SOCKET_BAD;
        t->sockets = p;
        t->cap_sockets = cap;
    }
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

/* ------------------------------------------------------------------ callbacks */

/* libcurl asks before it sends a request. It would ask again, and send again, when a reused connection
 * closes with zero bytes of answer: that must not happen, as the first request may have been executed. */
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

/* The first byte of the head. A request without a body is known to be sent only by now. */
static size_t on_header(char *bytes, size_t size, size_t n, void *ctx) {
    (void)bytes;
    struct mcp_xfer *x = ctx;
    mark_sent(x);
    if (!x->first_byte_mono)
        x->first_byte_mono = when_mono_ns();
    return size * n;
}

/* ------------------------------------------------------------------ credentials */

static bool token_ok(const char *s) {
    for (const char *p = s; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return false;
    return *s;
}

static bool unchanged(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int mcp_bearer_get(struct mcp_bearer *b, const char **ret_token, struct err *e) {
    struct stat now;
    char *text = NULL;
    size_t len;
    if (!b->path) {
        *ret_token = NULL;
        return 0;
    }
    if (stat(b->path, &now) < 0)
        return err_set(e, -errno, "%s: %s; give the file with the bearer token", b->path, strerror(errno));
    if (!b->token || !unchanged(&now, &b->seen)) {
        int r = conf_read_file(b->path, MCP_TOKEN_MAX, &text, &len, e);
        if (r < 0)
            return r;
        text[strcspn(text, "\r\n")] = 0;
        if (!token_ok(text)) {
            free(text);
            return err_set(e, -EINVAL, "%s: holds no bearer token; put one line of visible ASCII there",
                           b->path);
        }
        free(b->token);
        b->token = text;
        b->seen = now;
    }
    *ret_token = b->token;
    return 0;
}

void mcp_bearer_free(struct mcp_bearer *b) {
    free(b->token);
    b->token = NULL;
}

/* ------------------------------------------------------------------ options */

static int add_header(struct mcp_xfer *x, const char *name, const char *value) {
    if (!value || !*value)
        return 0;
    struct buf line = BUF_INIT(MCP_TOKEN_MAX + 256);
    int r = buf_addf(&line, "%s%s", name, value);
    struct curl_slist *list = r == 0 ? curl_slist_append(x->headers, line.data) : NULL;
    buf_free(&line);
    if (!list)
        return -ENOMEM;
    x->headers = list;
    return 0;
}

static int add_headers(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    const char *token = NULL;
    int code = r->bearer ? mcp_bearer_get(r->bearer, &token, e) : 0;
    if (code < 0)
        return code;
    bool mcp = r->method != MCP_GET;
    code = add_header(x, "Expect", ":"); /* none: libcurl would wait for a 100 */
    code = code ? code
                : add_header(x, "Accept: ", mcp ? "application/json, text/event-stream" : "application/json");
    if (x->body)
        code = code ? code : add_header(x, "Content-Type: ", "application/json");
    code = code ? code : add_header(x, "Authorization: Bearer ", token);
    code = code ? code : add_header(x, "Mcp-Session-Id: ", r->session);
    code = code ? code : add_header(x, "MCP-Protocol-Version: ", r->revision);
    code = code ? code : add_header(x, "X-Pilotgate-Call: ", r->nonce);
    for (size_t i = 0; code == 0 && r->headers && i < r->headers->n; i++)
        code = add_header(x, "", r->headers->items[i]);
    return code ? err_oom(e) : 0;
}

/* Host, SNI and certificate stay those of the url. */
static int set_address(struct mcp_xfer *x, const struct mcp_request *r) {
    struct buf entry = BUF_INIT(1024);
    if (!r->connect_to)
        return 0;
    if (buf_addf(&entry, "::%s", r->connect_to) == 0)
        x->connect_to = curl_slist_append(NULL, entry.data);
    buf_free(&entry);
    if (!x->connect_to)
        return -ENOMEM;
    return curl_easy_setopt(x->easy, CURLOPT_CONNECT_TO, x->connect_to) == CURLE_OK ? 0 : -ENOMEM;
}

static void set_method(struct mcp_xfer *x, const struct mcp_request *r) {
    if (r->method == MCP_DELETE)
        (void)curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    if (r->method != MCP_POST)
        return;
    x->body_len = x->body ? strlen(x->body) : 0;
    (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body_len);
    (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->body ? x->body : "");
}

static void set_callbacks(struct mcp_xfer *x) {
    CURL *h = x->easy;
    (void)curl_easy_setopt(h, CURLOPT_PRIVATE, x);
    (void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, x->error);
    (void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, mcp_xfer_on_body);
    (void)curl_easy_setopt(h, CURLOPT_WRITEDATA, x);
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
}

/* Small buffers, as many calls wait at once; no proxy, redirect or compression comes between. */
static void set_limits(CURL *h, const struct mcp_request *r) {
    int64_t connect_ns = r->timeout_ns < MCP_CONNECT_MAX_NS ? r->timeout_ns : MCP_CONNECT_MAX_NS;
    (void)curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(r->timeout_ns / WHEN_MS));
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ns / WHEN_MS));
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 4096L);
    (void)curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    (void)curl_easy_setopt(h, CURLOPT_DNS_CACHE_TIMEOUT, 5L);
    (void)curl_easy_setopt(h, CURLOPT_CA_CACHE_TIMEOUT, 60L);
    (void)curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(h, CURLOPT_USERAGENT, "pilotgate-agent/" PILOTGATE_VERSION);
    (void)curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, r->fresh ? 1L : 0L);
    (void)curl_easy_setopt(h, CURLOPT_FORBID_REUSE, r->fresh ? 1L : 0L);
}

int mcp_xfer_setup(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    x->rpc = r->id;
    x->reuse_only = r->reuse_only;
    if (r->id && strlen(r->id) < sizeof x->id)
        memcpy(x->id, r->id, strlen(r->id) + 1);
    int code = add_headers(x, r, e);
    if (code < 0)
        return code;
    if (curl_easy_setopt(x->easy, CURLOPT_URL, r->url) != CURLE_OK || set_address(x, r) < 0)
        return err_oom(e);
    if (r->ca_file && curl_easy_setopt(x->easy, CURLOPT_CAINFO, r->ca_file) != CURLE_OK)
        return err_oom(e);
    set_method(x, r);
    set_limits(x->easy, r);
    set_callbacks(x);
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    return 0;
}
