/* raw_server: see raw_server.h. */
#include "raw_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    struct raw_server *server;
    int fd;
};

static int fds[RAW_CONNECTIONS_MAX];

static void *run_connection(void *arg) {
    struct connection *c = arg;
    c->server->serve(c->server, c->fd);
    pthread_mutex_lock(&c->server->lock);
    for (size_t i = 0; i < c->server->n; i++)
        if (fds[i] == c->fd)
            fds[i] = -1;
    (void)close(c->fd);
    pthread_mutex_unlock(&c->server->lock);
    free(c);
    return NULL;
}

static void take(struct raw_server *s, int fd) {
    struct connection *c = calloc(1, sizeof *c);
    pthread_mutex_lock(&s->lock);
    if (s->ending || s->n == RAW_CONNECTIONS_MAX) {
        (void)close(fd);
        free(c);
    } else {
        *c = (struct connection){.server = s, .fd = fd};
        fds[s->n] = fd;
        if (pthread_create(&s->threads[s->n], NULL, run_connection, c) != 0)
            abort();
        s->n++;
    }
    pthread_mutex_unlock(&s->lock);
}

static void *run_acceptor(void *arg) {
    struct raw_server *s = arg;
    int fd;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0)
        take(s, fd);
    return NULL;
}

void raw_start(struct raw_server *s, void (*serve)(struct raw_server *s, int fd), void *ctx) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *s = (struct raw_server){.serve = serve, .ctx = ctx};
    pthread_mutex_init(&s->lock, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(s->listener, 128) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &n) < 0 ||
        pthread_create(&s->acceptor, NULL, run_acceptor, s) != 0)
        abort();
    s->port = ntohs(a.sin_port);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/mcp", s->port);
}

void raw_stop(struct raw_server *s) {
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    for (size_t i = 0; i < s->n; i++)
        if (fds[i] >= 0)
            (void)shutdown(fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    (void)shutdown(s->listener, SHUT_RDWR);
    (void)pthread_join(s->acceptor, NULL);
    for (size_t i = 0; i < s->n; i++)
        (void)pthread_join(s->threads[i], NULL);
    (void)close(s->listener);
    pthread_mutex_destroy(&s->lock);
}

static size_t wanted(const char *text) {
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "content-length:");
    if (!end)
        return RAW_REQUEST_MAX;
    return (size_t)(end + 4 - text) + (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
}

bool raw_request(struct raw_server *s, int fd, char out[RAW_REQUEST_MAX]) {
    size_t len = 0;
    out[0] = 0;
    while (len < RAW_REQUEST_MAX - 1 && len < wanted(out)) {
        ssize_t n = recv(fd, out + len, RAW_REQUEST_MAX - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = 0;
    }
    pthread_mutex_lock(&s->lock);
    s->requests++;
    pthread_mutex_unlock(&s->lock);
    return true;
}

void raw_id(const char *request, char out[64]) {
    const char *id = strstr(request, "\"id\":\"");
    (void)snprintf(out, 64, "%.*s", id ? (int)strcspn(id + 6, "\"") : 0, id ? id + 6 : "");
}

bool raw_send(int fd, const char *bytes, size_t len) {
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

bool raw_say(int fd, const char *format, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    bool ok = n >= 0 && raw_send(fd, text, (size_t)n);
    free(text);
    return ok;
}

void raw_result(const char *request, char *out, size_t size) {
    char id[64];
    raw_id(request, id);
    (void)snprintf(out, size, "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"content\":[]}}", id);
}

void raw_reset(int fd) {
    struct linger now = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void raw_wait_closed(int fd, int ms) {
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, ms) > 0 && recv(fd, &byte, 1, 0) > 0) {
    }
}
